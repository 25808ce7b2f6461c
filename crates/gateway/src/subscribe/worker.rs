//! One subscription, from its first notification to its end.
//!
//! ```text
//! look for what is new -> keep it, numbered -> send what was not taken yet -> keep that it was taken -+
//!        ^                                        |  not taken: a pause, longer each time             |
//!        +----------- news, a heartbeat, a while -+---------------------------------------------------+
//! ```

use std::{sync::Arc, time::Duration};

use keepwell_fhir::{
    outcome::{Issue, Outcome},
    subscription::{
        Standing, Subscription,
        notification::{Event, Kind, Notification},
    },
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    Subscriptions,
    derive::Looked,
    kept::{self, Spec, State},
    send::{Untaken, uuid},
};
use crate::{
    answer::without_ids,
    gateway::Asker,
    index::subscriptions::{NewEvent, SubscriptionId},
    server::now_ms,
};

/// How long after nobody took a notification the next try is; at first, and at most.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(300);
/// How long nobody may take anything, in milliseconds, before a subscription ends.
const FAILING_MS_MAX: u64 = 24 * 3_600 * 1_000;
/// Handshakes.
const HANDSHAKES_MAX: u32 = 6;
/// How soon after one look the next one is, and how late.
const LOOK_PAUSE: Duration = Duration::from_secs(1);
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often it is asked whether anything may be told, where nothing happens.
const CHECK_PAUSE: Duration = Duration::from_secs(600);

/// Whoever goes on with a subscription.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) all: Arc<Subscriptions>,
    pub(super) id: SubscriptionId,
    pub(super) spec: Spec,
    pub(super) asked: Subscription,
    pub(super) asker: Asker,
    pub(super) state: State,
}

/// Nobody goes on: it has ended, or was forgotten.
struct Over;

/// What happens after a notification was not taken.
#[derive(Debug, Eq, PartialEq)]
enum Then {
    Again(Duration),
    Never(String),
}

impl Worker {
    pub(super) async fn run(mut self) {
        let mut news = self.all.gateway.news.subscribe();
        let (mut sent, mut checked) = (Instant::now(), Instant::now());
        while let Ok(pause) = self.round(&mut sent).await {
            if checked.elapsed() >= CHECK_PAUSE {
                checked = Instant::now();
                if self.check().await.is_err() {
                    return;
                }
            }
            // What came in between is one look.
            sleep(LOOK_PAUSE.min(pause)).await;
            if pause > LOOK_PAUSE {
                wait(&mut news, pause - LOOK_PAUSE, self.state.tries == 0).await;
            }
        }
    }

    /// One round: how long there is nothing to do afterwards, unless there is news.
    async fn round(&mut self, sent: &mut Instant) -> Result<Duration, Over> {
        if self.spec.end_ms <= now_ms() {
            return self.end(Standing::Off, None).await;
        }
        if self.state.standing == Standing::Requested {
            if let Err(untaken) = self.tell(Kind::Handshake, &[]).await {
                return self.not_taken(untaken).await;
            }
            *sent = Instant::now();
            self.keep(self.state.clone().active(now_ms()), &[]).await?;
        }
        let new_from = self.state.count;
        match self.look().await {
            Ok(Looked::Done(state, events)) if *state != self.state => {
                self.keep(*state, &events).await?;
            }
            Ok(Looked::Done(..)) => {}
            Ok(Looked::Ended(why)) => return self.end(Standing::Error, Some(why.to_owned())).await,
            // It is looked again, and what was found before is sent all the same.
            Err(outcome) => said(&outcome),
        }
        if self.state.told < self.state.count {
            return self.tell_events(new_from, sent).await;
        }
        let Some(heartbeat_s) = self.asked.heartbeat_s else { return Ok(LOOK_PAUSE_MAX) };
        let period = Duration::from_secs(heartbeat_s.into());
        if sent.elapsed() < period {
            return Ok((period - sent.elapsed()).min(LOOK_PAUSE_MAX));
        }
        match self.tell(Kind::Heartbeat, &[]).await {
            Ok(()) => {
                *sent = Instant::now();
                self.taken(self.state.told).await?;
                Ok(period.min(LOOK_PAUSE_MAX))
            }
            Err(untaken) => self.not_taken(untaken).await,
        }
    }

    /// Ends what may not be told any more, also where nothing happens.
    async fn check(&mut self) -> Result<(), Over> {
        match self.closed().await {
            Ok(Some(why)) => self.end(Standing::Error, Some(why.to_owned())).await.map(drop),
            Ok(None) => Ok(()),
            Err(outcome) => {
                said(&outcome);
                Ok(())
            }
        }
    }

    /// Sends the next events. Those after `new_from` were found a moment ago.
    async fn tell_events(&mut self, new_from: u64, sent: &mut Instant) -> Result<Duration, Over> {
        let places = (self.state.told + 1, self.state.count);
        let kept = self.all.gateway.index.events(self.id, places, self.asked.count_max).await;
        let kept = match kept {
            Ok(kept) => kept::events(kept),
            Err(error) => {
                tracing::error!(error = without_ids(&error), "events cannot be read");
                return Ok(LOOK_PAUSE_MAX);
            }
        };
        let Some(last) = kept.last().map(|it| it.0) else { return Ok(LOOK_PAUSE_MAX) };
        let events: Vec<_> = if places.0 > new_from {
            kept.into_iter().map(|(number, it)| (number, it.event)).collect()
        } else {
            let content = (&self.spec, self.asked.content);
            match self.all.nameable(&self.asker, content, kept).await {
                Ok(events) => events,
                Err(outcome) => {
                    said(&outcome);
                    return Ok(LOOK_PAUSE);
                }
            }
        };
        match self.tell(Kind::Event, &events).await {
            Ok(()) => {
                *sent = Instant::now();
                self.taken(last).await?;
                Ok(Duration::ZERO)
            }
            Err(untaken) => self.not_taken(untaken).await,
        }
    }

    async fn tell(&self, kind: Kind, events: &[(u64, Event)]) -> Result<(), Untaken> {
        let id = self.id.to_string();
        let notification =
            Notification { events, ..self.all.notification((&id, &self.asked), &self.state, kind) };
        let body = notification.bundle(now_ms(), &uuid()).to_string();
        self.all.sender.send(&self.asked, body).await
    }

    /// Keeps up to which number events were taken.
    async fn taken(&mut self, told: u64) -> Result<(), Over> {
        let next = State { told, tries: 0, failing_since_ms: None, ..self.state.clone() };
        if next == self.state { Ok(()) } else { self.keep(next, &[]).await }
    }

    async fn not_taken(&mut self, untaken: Untaken) -> Result<Duration, Over> {
        let now = now_ms();
        match then(&self.state, untaken, now) {
            Then::Never(why) => self.end(Standing::Error, Some(why)).await,
            Then::Again(pause) => {
                let tries = self.state.tries.saturating_add(1);
                let failing_since_ms = self.state.failing_since_ms.or(Some(now));
                self.keep(State { tries, failing_since_ms, ..self.state.clone() }, &[]).await?;
                Ok(pause)
            }
        }
    }

    async fn end(&mut self, standing: Standing, why: Option<String>) -> Result<Duration, Over> {
        self.keep(self.state.clone().ended(standing, why, now_ms()), &[]).await?;
        Err(Over)
    }

    /// Keeps how far it is; what cannot be kept has not happened.
    async fn keep(&mut self, next: State, events: &[NewEvent]) -> Result<(), Over> {
        let index = &self.all.gateway.index;
        let until_ms = self.spec.until_ms(&next);
        loop {
            match index.advance_subscription(self.id, (&next.encode(), until_ms), events).await {
                Ok(true) => {
                    self.state = next;
                    return Ok(());
                }
                Ok(false) => return Err(Over),
                Err(error) => {
                    tracing::error!(error = without_ids(&error), "a subscription cannot be kept");
                    sleep(LOOK_PAUSE_MAX).await;
                }
            }
        }
    }
}

/// What happens after a notification was not taken.
fn then(state: &State, untaken: Untaken, now_ms: u64) -> Then {
    let is_first = match state.standing {
        Standing::Requested => true,
        Standing::Active | Standing::Error | Standing::Off => false,
    };
    let since_ms = state.failing_since_ms.unwrap_or(now_ms);
    let is_over = match untaken {
        Untaken::Refused(410) => true,
        _ if is_first => untaken.is_final() || state.tries + 1 >= HANDSHAKES_MAX,
        Untaken::Unreachable | Untaken::Late | Untaken::Refused(_) => {
            now_ms.saturating_sub(since_ms) >= FAILING_MS_MAX
        }
    };
    if is_over {
        let says = untaken.says();
        return Then::Never(format!(
            "{says}; put that right, and PUT the subscription with the status requested"
        ));
    }
    Then::Again(RETRY_MAX.min(RETRY_MIN * 2_u32.saturating_pow(state.tries.min(16))))
}

/// Waits for news, if it is wanted, but not longer than this.
async fn wait(news: &mut watch::Receiver<()>, pause: Duration, is_wanted: bool) {
    if !is_wanted {
        sleep(pause).await;
        return;
    }
    // Whoever has news is there for as long as the gateway; if not, it is looked after the pause.
    if let Ok(Err(_)) = timeout(pause, news.changed()).await {
        sleep(pause).await;
    }
}

fn said(outcome: &Outcome) {
    let issues: Vec<_> = outcome.issues().iter().map(Issue::details).collect();
    tracing::warn!(?issues, "a subscription could not look for what is new; it looks again");
}

#[cfg(test)]
mod tests {
    use keepwell_client::verify::LogMark;

    use super::*;

    #[test]
    fn who_takes_nothing_is_asked_again_ever_later_and_then_no_more() {
        let new = State::begun((0, LogMark::START), 0);
        let active = new.clone().active(0);
        let day = FAILING_MS_MAX;
        for (state, tries, since_ms, untaken, now_ms, pause_s) in [
            (&new, 0, None, Untaken::Unreachable, 0, Some(1)),
            (&new, 4, Some(0), Untaken::Late, 40_000, Some(16)),
            (&new, 5, Some(0), Untaken::Late, 60_000, None),
            (&new, 0, None, Untaken::Refused(302), 0, None),
            (&new, 0, None, Untaken::Refused(401), 0, None),
            (&new, 0, None, Untaken::Refused(503), 0, Some(1)),
            (&active, 0, None, Untaken::Refused(401), 0, Some(1)),
            (&active, 3, Some(0), Untaken::Refused(500), 9_000, Some(8)),
            (&active, 60, Some(0), Untaken::Unreachable, day - 1, Some(300)),
            (&active, 60, Some(0), Untaken::Unreachable, day, None),
            (&active, 0, None, Untaken::Refused(410), 0, None),
            // A clock that was set back is none that has waited.
            (&active, 9, Some(day), Untaken::Late, 0, Some(300)),
        ] {
            let state = State { tries, failing_since_ms: since_ms, ..state.clone() };
            let pause = match then(&state, untaken, now_ms) {
                Then::Again(pause) => Some(pause.as_secs()),
                Then::Never(_) => None,
            };
            assert_eq!(pause, pause_s, "{tries} {untaken:?} {now_ms}");
        }
    }
}

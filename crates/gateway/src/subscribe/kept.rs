//! What is kept of a subscription, sealed: what was asked for and by whom, how it stands, and what happened.
//!
//! All are JSON, read by the program that wrote it or a later one; what cannot be read any more is no subscription.

use keepwell_client::verify::LogMark;
use keepwell_fhir::{
    outcome::Outcome,
    subscription::{Standing, Subscription, notification::Event},
};
use keepwell_types::{
    access::{Purpose, RecordName},
    id::{ChartId, Digest, LogPosition},
    member::Party,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use super::{ENDED_KEPT_MS, is_covered, party_bytes, sight_of};
use crate::{
    auth::{Scope, Session, Sessions},
    gateway::Asker,
    smart::Smart,
};

/// What was asked for.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Spec {
    /// The client by which it was asked for.
    pub(super) client: String,
    /// In whose name.
    pub(super) party: Party,
    /// What for.
    pub(super) purpose: Purpose,
    /// With which scopes.
    pub(super) scopes: Vec<String>,
    /// The chart of the patient whom scopes of one patient were of.
    pub(super) scope_chart: Option<ChartId>,
    /// The chart that it is about.
    pub(super) chart: ChartId,
    /// What stands in the chart's log before this is not told.
    pub(super) from: LogPosition,
    /// When it ends, in milliseconds since 1970.
    pub(super) end_ms: u64,
    /// When it was made.
    pub(super) made_ms: u64,
    /// The resource that was sent, secrets included.
    pub(super) body: String,
}

impl Spec {
    pub(super) fn encode(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(encode(self))
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        decode(bytes)
    }

    /// Whose it is.
    pub(super) fn owner(&self) -> Vec<u8> {
        owner(&self.client, self.party)
    }

    pub(super) fn is_of(&self, session: &Session) -> bool {
        self.client == session.client
            && self.party == session.asker.actor.party()
            && self.purpose == session.asker.purpose
            // One patient's token sees nothing of another one's.
            && session.chart().is_none_or(|it| it == self.chart)
    }

    /// What was sent, read again.
    pub(super) fn asked(&self, base: &str) -> Result<Subscription, Outcome> {
        Subscription::parse(self.body.as_bytes(), base, self.made_ms)
    }

    /// Who asks, if the client and the person are still registered, for the purpose and all of the scopes.
    pub(super) fn asker(
        &self,
        sessions: &Sessions,
        smart: Option<&Smart>,
        base: &str,
    ) -> Option<Asker> {
        let scopes: Vec<_> = self.scopes.iter().filter_map(|it| Scope::parse(it)).collect();
        let sight = sight_of(&scopes, self.scope_chart, base);
        if let Some((asker, known)) = sessions.known(&self.client, &self.scopes) {
            let is_same = asker.actor.party() == self.party && asker.purpose == self.purpose;
            let has_all = scopes.iter().all(|it| known.contains(it));
            return (is_same && has_all).then_some(Asker { sight, ..asker });
        }
        let actor = smart?.known(&self.client, (self.party, self.purpose), &self.scopes)?;
        Some(Asker { actor, purpose: self.purpose, sight })
    }

    /// Whether its scopes are good for searches of a type.
    pub(super) fn covers(&self, of: &str) -> bool {
        let scopes: Vec<_> = self.scopes.iter().filter_map(|it| Scope::parse(it)).collect();
        of.parse().is_ok_and(|of| is_covered(&scopes, of))
    }

    /// Until when it is kept, in milliseconds since 1970.
    pub(super) fn until_ms(&self, state: &State) -> u64 {
        let from = match state.standing {
            Standing::Requested | Standing::Active => self.end_ms,
            Standing::Error | Standing::Off => state.changed_ms,
        };
        from.saturating_add(ENDED_KEPT_MS)
    }
}

/// As whose the index knows a subscription.
pub(super) fn owner(client: &str, party: Party) -> Vec<u8> {
    let party = party_bytes(party);
    [&party[..], client.as_bytes()].concat()
}

/// How far it is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct State {
    pub(super) standing: Standing,
    /// Why it has ended.
    pub(super) error: Option<String>,
    /// Which version of the resource this is, from 1, and since when, in milliseconds since 1970.
    pub(super) version: u64,
    pub(super) changed_ms: u64,
    /// Events so far.
    pub(super) count: u64,
    /// Up to which number they were taken.
    pub(super) told: u64,
    /// Up to which row of the index it was looked for more.
    pub(super) after_row: u64,
    /// Up to which line of the chart's log: how many, and the head there.
    pub(super) line: (LogPosition, Digest),
    /// How often in a row nobody took anything, and since when, in milliseconds since 1970.
    pub(super) tries: u32,
    pub(super) failing_since_ms: Option<u64>,
}

impl State {
    pub(super) fn begun((after_row, mark): (u64, LogMark), now_ms: u64) -> Self {
        Self {
            standing: Standing::Requested,
            error: None,
            version: 1,
            changed_ms: now_ms,
            count: 0,
            told: 0,
            after_row,
            line: (mark.count, mark.head),
            tries: 0,
            failing_since_ms: None,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        decode(bytes)
    }

    pub(super) const fn mark(&self) -> LogMark {
        LogMark { count: self.line.0, head: self.line.1 }
    }

    pub(super) const fn set_mark(&mut self, mark: LogMark) {
        self.line = (mark.count, mark.head);
    }

    /// The same, standing otherwise.
    fn now(self, standing: Standing, error: Option<String>, now_ms: u64) -> Self {
        let version = self.version.saturating_add(1);
        let (tries, failing_since_ms) = (0, None);
        Self { standing, error, version, changed_ms: now_ms, tries, failing_since_ms, ..self }
    }

    pub(super) fn ended(self, standing: Standing, error: Option<String>, now_ms: u64) -> Self {
        self.now(standing, error, now_ms)
    }

    pub(super) fn requested(self, now_ms: u64) -> Self {
        self.now(Standing::Requested, None, now_ms)
    }

    pub(super) fn active(self, now_ms: u64) -> Self {
        self.now(Standing::Active, None, now_ms)
    }
}

/// An event, and the record that it is of; of an access, none.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct KeptEvent {
    pub(super) event: Event,
    pub(super) record: Option<RecordName>,
}

impl KeptEvent {
    pub(super) fn encode(&self) -> Vec<u8> {
        encode(self)
    }
}

/// Events as the index has them.
pub(super) fn events(kept: Vec<(u64, Zeroizing<Vec<u8>>)>) -> Vec<(u64, KeptEvent)> {
    kept.into_iter().filter_map(|(number, body)| Some((number, decode(&body)?))).collect()
}

fn encode(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("texts and numbers are JSON")
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    serde_json::from_slice(bytes).ok()
}

//! What becomes of one message, and how it is answered.

use std::{
    collections::BTreeSet,
    future::Future,
    sync::Arc,
    time::{Duration, Instant},
};

use keepwell_crypto::hash::{digest, sha256};
use keepwell_fhir::outcome::{IssueType, Outcome, Status};
use keepwell_hl7v2::{
    acknowledge::{Fault, Level, Outcome as Verdict, acknowledge},
    limits::HEADER_BYTES_MAX,
    map::{Mapped, Merge, Reception, Record, Zone, map},
    message::{Envelope, Message, Processing, Refused, Separators},
    mllp,
    refusal::{ErrorCode, Path},
};
use tokio::{
    sync::{Semaphore, watch},
    task::spawn_blocking,
    time::{sleep, timeout},
};

use super::{
    MESSAGE_BYTES_MAX, Settings,
    commit::{Bundle, Commit, Committed},
    merge, stopped,
};
use crate::{
    answer::without_ids,
    server::{TIME_MAX, now_ms},
};

/// Kibibytes of messages of a feed that are worked on at once, each of which may take some ten times its size: many small
/// ones, or two of the largest.
const PLACES: usize = 2 * MESSAGE_BYTES_MAX.div_ceil(1024);
/// The first pause before something is tried again, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(15);
/// How often a message is tried before which another change was first.
const RACES_MAX: u32 = 4;
/// Places without a place in FHIR that one log line names.
const PLACES_TOLD_MAX: usize = 24;
const NAME_DOMAIN: &str = "keepwell/gateway/feed-entry/v1";
const ANSWER_DOMAIN: &str = "keepwell/gateway/feed-answer/v1";

/// What is to be said to a sender.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Heard {
    /// These messages, in turn; none where none is wanted.
    Answers(Vec<Vec<u8>>),
    /// Nothing: the gateway stops, and the message stays its sender's.
    Stopping,
}

/// What a feed adds to a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    pub(super) namespace: &'a str,
    pub(super) received_ms: u64,
    pub(super) digest: [u8; 32],
}

/// Takes messages of one feed.
#[derive(Debug)]
pub(super) struct Receiver<C> {
    writer: C,
    settings: Arc<Settings>,
    places: Semaphore,
}

/// What is to be done about a message.
enum What {
    Write(Bundle),
    Merge(Box<Message>, Merge, String),
}

impl<C: Commit> Receiver<C> {
    pub(super) fn new(writer: C, settings: Settings) -> Self {
        Self { writer, settings: Arc::new(settings), places: Semaphore::new(PLACES) }
    }

    /// Commits what a message says, and answers it.
    pub(super) async fn receive(
        &self,
        bytes: Vec<u8>,
        stopping: &mut watch::Receiver<bool>,
    ) -> Heard {
        let places = u32::try_from(bytes.len().div_ceil(1024)).unwrap_or(u32::MAX);
        // It is never closed.
        let _place = self.places.acquire_many(places).await;
        if *stopping.borrow() {
            return Heard::Stopping;
        }
        let (settings, digest) = (self.settings.clone(), sha256(&[&bytes]).0);
        let head = bytes[..bytes.len().min(HEADER_BYTES_MAX)].to_vec();
        let understood = spawn_blocking(move || understand(&bytes, digest, &settings)).await;
        let (envelope, what) = understood.unwrap_or_else(|_| {
            tracing::error!("a message could not be read; tell who develops the gateway");
            let text = "the gateway failed; tell its operator";
            let outcome = Outcome::error(IssueType::Exception, text);
            (self.envelope(&head), Err(verdict_of(&outcome)))
        });
        let verdict = match what {
            Err(verdict) => Some(verdict),
            Ok(What::Write(bundle)) => self.commit(&bundle, stopping).await,
            Ok(What::Merge(message, merge, namespace)) => {
                let received_ms = now_ms();
                let arrival = Arrival { namespace: &namespace, received_ms, digest };
                self.merge(&message, &merge, arrival, stopping).await
            }
        };
        match verdict {
            None => Heard::Stopping,
            Some(verdict) => Heard::Answers(self.answers(&envelope, &verdict, digest)),
        }
    }

    /// Answers a frame that was not taken, of which this is the beginning.
    pub(super) fn refuse(&self, head: &[u8], fault: &mllp::Fault) -> Vec<Vec<u8>> {
        let fault = Fault { code: ErrorCode::DataType, path: None, text: fault.to_string() };
        self.answers(&self.envelope(head), &Verdict::Rejected(fault), sha256(&[head]).0)
    }

    /// The envelope of a message that begins so, as far as it can be read.
    fn envelope(&self, head: &[u8]) -> Envelope {
        match Message::parse(head, self.settings.undeclared) {
            Ok(message) => message.envelope().clone(),
            Err(Refused { envelope, .. }) => envelope_of(envelope, &self.settings),
        }
    }

    fn answers(&self, envelope: &Envelope, verdict: &Verdict, digest_of: [u8; 32]) -> Vec<Vec<u8>> {
        told(verdict);
        let levels = [(Level::Accept, "accept"), (Level::Application, "application")];
        let answer = |(level, name): (Level, &str)| {
            // Of the message alone, so that it is answered with the same words again.
            let id = digest(ANSWER_DOMAIN, &[&digest_of, name.as_bytes()]);
            acknowledge(envelope, level, verdict, &hex::encode(&id.0[..8]), now_ms())
        };
        levels.into_iter().filter_map(answer).collect()
    }

    /// Tries until it is committed or refused, or patience ends; nothing if the gateway stops first.
    async fn commit(
        &self,
        bundle: &Bundle,
        stopping: &mut watch::Receiver<bool>,
    ) -> Option<Verdict> {
        let committed = self.tried(stopping, || self.writer.commit(bundle)).await?;
        Some(match committed {
            Ok(committed) => {
                tracing::info!(again = committed == Committed::Before, "a message is committed");
                Verdict::Accepted
            }
            Err(verdict) => verdict,
        })
    }

    async fn merge(
        &self,
        message: &Message,
        merge: &Merge,
        arrival: Arrival<'_>,
        stopping: &mut watch::Receiver<bool>,
    ) -> Option<Verdict> {
        let mut found = Vec::new();
        for numbers in [&merge.surviving, &merge.subsumed] {
            match self.tried(stopping, || self.writer.patients(numbers)).await? {
                Ok(ids) => found.push(ids),
                Err(verdict) => return Some(verdict),
            }
        }
        match merge::who(merge, &found[0], &found[1]) {
            Err(verdict) => Some(verdict),
            Ok((patient, is_open)) => {
                let bundle = merge::case(message, &arrival, (&patient, is_open), merge);
                self.commit(&bundle, stopping).await
            }
        }
    }

    /// Does something that may fail for reasons that pass, until it is done or refused; nothing if the gateway stops.
    async fn tried<T, F: Future<Output = Result<T, Outcome>>>(
        &self,
        stopping: &mut watch::Receiver<bool>,
        what: impl Fn() -> F,
    ) -> Option<Result<T, Verdict>> {
        let (begun, mut pause, mut races) = (Instant::now(), PAUSE_MIN, 0);
        loop {
            let outcome = match timeout(TIME_MAX, what()).await {
                Ok(Ok(done)) => return Some(Ok(done)),
                Ok(Err(outcome)) => outcome,
                Err(_) => {
                    Outcome::error(IssueType::Timeout, "the ledger took too long; send it again")
                }
            };
            let trouble = Trouble::of(&outcome);
            races += u32::from(trouble == Trouble::Raced);
            let is_late = begun.elapsed() + pause > self.settings.patience;
            let is_over = match trouble {
                Trouble::Passes => is_late,
                Trouble::Raced => is_late || races >= RACES_MAX,
                Trouble::Stays => true,
            };
            if is_over {
                return Some(Err(verdict_of(&outcome)));
            }
            tokio::select! {
                () = stopped(stopping) => return None,
                () = sleep(pause) => {}
            }
            pause = PAUSE_MAX.min(2 * pause);
        }
    }
}

/// What a message says, as far as the ledger is not needed for it.
fn understand(
    bytes: &[u8],
    digest: [u8; 32],
    settings: &Settings,
) -> (Envelope, Result<What, Verdict>) {
    match Message::parse(bytes, settings.undeclared) {
        Ok(message) => {
            let envelope = message.envelope().clone();
            (envelope, meaning(message, digest, settings, now_ms()))
        }
        Err(Refused { envelope, refusal }) => {
            (envelope_of(envelope, settings), Err(Verdict::of(&refusal)))
        }
    }
}

fn meaning(
    message: Message,
    digest_of: [u8; 32],
    settings: &Settings,
    received_ms: u64,
) -> Result<What, Verdict> {
    let header = Path::segment("MSH", 1);
    if message.processing() != Processing::Production {
        let text =
            "only messages for production (P) are taken here; send others to a feed for tests";
        return Err(rejected(ErrorCode::UnsupportedProcessing, header.at(11), text));
    }
    let Some(sender) = settings.senders.of(message.envelope()) else {
        let text = "no sender of this name is known to this feed; have its operator list it";
        return Err(rejected(ErrorCode::UnknownKey, header.at(4), text));
    };
    let name = |number: u32| {
        let name = digest(NAME_DOMAIN, &[&digest_of, &number.to_be_bytes()]).0;
        *name.first_chunk().expect("a digest has sixteen bytes")
    };
    let reception = Reception {
        namespace: &sender.namespace,
        received_ms,
        zone: settings.zone.map(Zone::fixed),
        digest: digest_of,
        name: &name,
    };
    match map(&message, &reception).map_err(|refusal| Verdict::of(&refusal))? {
        Mapped::Record(record) => {
            report(&message, &record);
            let (json, original) = (record.bundle.to_string().into_bytes(), record.original);
            Ok(What::Write(Bundle { json, original }))
        }
        Mapped::Merge(merges) => {
            let merge = merge::only(merges)?;
            Ok(What::Merge(Box::new(message), merge, sender.namespace.clone()))
        }
    }
}

/// Says what kind of message it was, and which places of it FHIR has none for.
fn report(message: &Message, record: &Record) {
    // Of a kind that was mapped, so it is one of a short list and says nothing of anybody.
    let Envelope { message_type, trigger, .. } = message.envelope();
    let mut places = BTreeSet::new();
    for unmapped in &record.unmapped {
        let Path { field, .. } = unmapped.path;
        let name = unmapped.path.name();
        places.insert(if field == 0 { name.to_owned() } else { format!("{name}-{field}") });
    }
    let told: Vec<_> = places.iter().take(PLACES_TOLD_MAX).map(String::as_str).collect();
    tracing::info!(
        kind = format!("{message_type}^{trigger}"),
        unmapped = record.unmapped.len() + record.unmapped_more,
        places = told.join(" "),
        "a message is read"
    );
}

/// What stands in the way of a commit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Trouble {
    /// A ledger, custodian or index that cannot be reached.
    Passes,
    /// Another change was first.
    Raced,
    /// What will be the same the next time.
    Stays,
}

impl Trouble {
    fn of(outcome: &Outcome) -> Self {
        match outcome.issues().first().map(|it| it.code()) {
            Some(IssueType::Duplicate | IssueType::Conflict) => Self::Raced,
            _ if matches!(outcome.status(), Status::UNAVAILABLE | Status::TOO_MANY_REQUESTS) => {
                Self::Passes
            }
            _ => Self::Stays,
        }
    }
}

/// What a sender is told of an outcome that is no success.
fn verdict_of(outcome: &Outcome) -> Verdict {
    let issue = outcome.issues().first();
    let text =
        without_ids(&issue.map_or("the gateway failed; tell its operator", |it| it.details()));
    let fault = |code| Fault { code, path: None, text };
    match (Trouble::of(outcome), outcome.status()) {
        (Trouble::Raced, _) => Verdict::Error(fault(ErrorCode::RecordLocked)),
        // Whom or what it is about is not one.
        (_, Status::PRECONDITION_FAILED | Status::UNPROCESSABLE | Status::NOT_FOUND) => {
            Verdict::Error(fault(ErrorCode::UnknownKey))
        }
        (_, Status::CONTENT_TOO_LARGE) => Verdict::Rejected(fault(ErrorCode::DataType)),
        // The ledger, or the member in whose name it is asked: no sender can do anything about it.
        (Trouble::Passes | Trouble::Stays, _) => Verdict::Error(fault(ErrorCode::Internal)),
    }
}

fn rejected(code: ErrorCode, path: Path, text: &str) -> Verdict {
    Verdict::Rejected(Fault { code, path: Some(path), text: text.into() })
}

/// The envelope of a message, or of one that has none: its sender learns at least that it was not taken.
fn envelope_of(envelope: Option<Box<Envelope>>, settings: &Settings) -> Envelope {
    envelope.map_or_else(
        || Envelope {
            separators: Separators::USUAL,
            character_set: settings.undeclared,
            sending_application: String::new(),
            sending_facility: String::new(),
            receiving_application: String::new(),
            receiving_facility: String::new(),
            message_type: String::new(),
            trigger: String::new(),
            control_id: String::new(),
            processing: String::new(),
            version: String::new(),
            accept: None,
            application: None,
            declared_set: String::new(),
        },
        |it| *it,
    )
}

fn told(verdict: &Verdict) {
    let (Verdict::Error(fault) | Verdict::Rejected(fault)) = verdict else { return };
    let (code, _) = fault.code.parts();
    let place = fault.path.map(|it| it.to_string());
    tracing::warn!(code, place, reason = fault.text, "a message is refused");
}

//! Reading every record's sealed object again from time to time, and fetching what is missing or damaged from the
//! record's other custodians.
//!
//! ```text
//! logs of charts ─> records that this custodian took ─> as the ledger says? ─no─> another custodian
//!                                                                                    │ as the ledger says
//!                                                                     the store  <───┘
//! ```
//!
//! # Invariants
//!
//! * Nothing is stored but what the ledger commits to, whoever sent it.
//! * What is redacted is not fetched again. If it was redacted while it was fetched, it is erased again, by the next look
//!   at the latest.
//! * An object that cannot be repaired stays as it is: a damaged body may be all that is left of it.
//! * Reading takes a small share of the disk ([`BYTES_PER_S`]), and stops while this node is behind.
//! * One object that cannot be repaired, or one lender that is slow or lies, keeps no other from being looked at.
//!
//! A chart that no longer names this custodian is left alone: the others would lend it nothing.
//!
//! Not here: small objects (key sheets, seeds, words), which clients ask of each custodian in turn; how others are
//! reached, which is the program's.

use std::{convert::Infallible, pin::pin, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use keepwell_crypto::{body::Layout, capsule::SaltedCapsule};
use keepwell_engine::{
    core::Core,
    index::IndexError,
    reader::{ReadError, Reader},
};
use keepwell_ledger::state::{Key, RecordEntry, Value};
use keepwell_merkle::content::ContentHasher;
use keepwell_types::{
    id::{ChartId, Commitment, Digest, Height, LogPosition, OrganisationId},
    limits::SEALED_BYTES_MAX,
};
use thiserror::Error;
use tokio::{
    task::yield_now,
    time::{Duration, sleep},
};

use super::{
    Custody, CustodyError,
    incoming::{Incoming, Pace},
    store::{RecordObject, StoreError},
};
use crate::clock::Clock;

/// How fast objects are read: 1 TB takes half a day.
const BYTES_PER_S: u64 = 20_000_000;
/// Pause while this node is behind.
const PAUSE: Duration = Duration::from_secs(5);
/// Pause after a look that left something damaged: a lender may have been down, or the store.
const SOON: Duration = Duration::from_secs(60 * 60);
/// Pause after a look that ended early.
const RETRY: Duration = Duration::from_secs(60);

/// How an object is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Condition {
    /// All of it is here, as the ledger commits to it.
    Whole,
    /// Its capsule or its body is not here.
    Missing,
    /// It is here and is another one, or cannot be read.
    Damaged,
}

/// What came from another custodian is no good.
#[derive(Debug, Error)]
pub enum RepairError {
    /// It does not answer, or refuses.
    #[error("it did not give the object: {0}")]
    Lender(String),
    /// Another object.
    #[error("it sent another capsule than the ledger commits to")]
    Capsule,
    /// Another body, or not all of it.
    #[error("the body that it sent was cut off, too slow, or is not what the ledger commits to")]
    Body,
    /// This custodian's own store.
    #[error(transparent)]
    Custody(#[from] CustodyError),
}

/// Why not everything was looked at.
#[derive(Debug, Error)]
pub enum LookError {
    /// The ledger.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// This custodian's own store.
    #[error(transparent)]
    Custody(#[from] CustodyError),
}

/// Other custodians, as this one reaches them.
pub trait Lenders: Send + Sync {
    /// The body as it comes.
    type Body: Stream<Item = Result<Bytes, String>> + Unpin + Send;

    /// Whether a way to this organisation's node is known.
    fn knows(&self, organisation: OrganisationId) -> bool;

    /// The capsule of the record at a position, as the lender has it.
    fn capsule(
        &self,
        lender: OrganisationId,
        chart: ChartId,
        at: LogPosition,
    ) -> impl Future<Output = Result<Bytes, String>> + Send;

    /// Its body.
    fn body(
        &self,
        lender: OrganisationId,
        chart: ChartId,
        at: LogPosition,
    ) -> impl Future<Output = Result<Self::Body, String>> + Send;
}

impl Custody {
    /// How an object is: all of it is read.
    pub async fn condition(&self, object: &RecordObject, commitment: Commitment) -> Condition {
        let capsule = match self.capsule_of(object).await {
            Ok(Some(capsule)) if capsule.commitment() == commitment => capsule,
            Ok(None) => return Condition::Missing,
            Ok(Some(_)) | Err(_) => return Condition::Damaged,
        };
        match self.is_whole(object, &capsule).await {
            Ok(true) => Condition::Whole,
            Err(CustodyError::Store(StoreError::NotFound)) => Condition::Missing,
            Ok(false) | Err(_) => Condition::Damaged,
        }
    }

    /// Whether the stored body is the one that the capsule says.
    async fn is_whole(
        &self,
        object: &RecordObject,
        capsule: &SaltedCapsule,
    ) -> Result<bool, CustodyError> {
        let label = capsule.capsule.label();
        let Ok(layout) = Layout::of_sealed(label.sealed_bytes) else { return Ok(false) };
        let mut hasher = ContentHasher::new(layout.chunk_log2());
        let mut body = self.body(object, None).await?;
        while let Some(piece) = body.bytes.next().await {
            hasher.update(&piece.map_err(StoreError::from)?);
        }
        Ok((hasher.len(), hasher.finish()) == (label.sealed_bytes, label.content))
    }

    /// Puts what another custodian has in the place of what is missing or damaged here, if it is what the ledger
    /// commits to.
    pub async fn put_back<S, E>(
        &self,
        object: &RecordObject,
        commitment: Commitment,
        capsule: Bytes,
        body: S,
    ) -> Result<(), RepairError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let salted = SaltedCapsule::decode(&capsule).map_err(|_| RepairError::Capsule)?;
        if salted.commitment() != commitment {
            return Err(RepairError::Capsule);
        }
        let label = salted.capsule.label();
        let layout = Layout::of_sealed(label.sealed_bytes).map_err(|_| RepairError::Capsule)?;
        let _use = self.take(*object)?;
        self.check_room(label.sealed_bytes.min(SEALED_BYTES_MAX)).map_err(CustodyError::from)?;
        // An upload whose end is an error leaves what is here as it is.
        let hasher = ContentHasher::new(layout.chunk_log2());
        let checked = pin!(checked(body, hasher, (label.sealed_bytes, label.content)));
        let mut body = Incoming::at_pace(checked, label.sealed_bytes, Pace::LENDER);
        match self.store.put_stream(&object.body(), &mut body, |_| ()).await {
            Ok(()) => {}
            Err(StoreError::CutOff | StoreError::TooSlow { .. } | StoreError::TooLong { .. }) => {
                return Err(RepairError::Body);
            }
            Err(error) => return Err(CustodyError::from(error).into()),
        }
        self.store.put(&object.capsule(), capsule).await.map_err(CustodyError::from)?;
        Ok(())
    }
}

/// The same stream, which ends with an error unless all of it had this length and content.
fn checked<S, E>(
    body: S,
    hasher: ContentHasher,
    expected: (u64, Digest),
) -> impl Stream<Item = Result<Bytes, ()>>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    stream::unfold(Some((body, hasher)), move |state| async move {
        let (mut body, mut hasher) = state?;
        match body.next().await {
            Some(Ok(piece)) => {
                hasher.update(&piece);
                Some((Ok(piece), Some((body, hasher))))
            }
            None if (hasher.len(), hasher.finish()) == expected => None,
            Some(Err(_)) | None => Some((Err(()), None)),
        }
    })
}

/// Looks after the records that one custodian took.
pub struct Repairer<L> {
    custody: Arc<Custody>,
    core: Arc<Core>,
    reader: Arc<dyn Reader>,
    clock: Clock,
    lenders: L,
}

/// What a look at everything found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Look {
    /// Objects that were looked at.
    pub objects: u64,
    /// Of them, those that were missing or damaged, and are whole again.
    pub repaired: u64,
    /// Of them, those that still are.
    pub damaged: u64,
}

impl<L: Lenders> Repairer<L> {
    /// For this custodian.
    pub const fn new(
        custody: Arc<Custody>,
        core: Arc<Core>,
        reader: Arc<dyn Reader>,
        clock: Clock,
        lenders: L,
    ) -> Self {
        Self { custody, core, reader, clock, lenders }
    }

    /// Looks at everything again and again, `every` so long, for as long as it is polled.
    pub async fn keep_repaired(self, every: Duration) -> Infallible {
        loop {
            self.wait_for_ledger().await;
            let pause = match self.look().await {
                Ok(look) if look.damaged > 0 => every.min(SOON),
                Ok(_) => every,
                Err(error) => {
                    tracing::warn!(%error, "could not look at all sealed objects; it is tried again");
                    every.min(RETRY)
                }
            };
            sleep(pause).await;
        }
    }

    /// Waits until this node has come so far as the others: what is redacted is not to be missed.
    async fn wait_for_ledger(&self) {
        loop {
            let tip = self.core.tip();
            if tip.height() > Height(0) && self.clock.is_fresh(tip.time()) {
                return;
            }
            sleep(PAUSE).await;
        }
    }

    /// Looks at everything once. It ends early where this custodian's own store fails.
    pub async fn look(&self) -> Result<Look, LookError> {
        let (mut look, mut chart) = (Look::default(), None);
        while let Some(next) = self.core.index.chart_after(chart)? {
            yield_now().await;
            self.look_at_chart(next, &mut look).await?;
            chart = Some(next);
        }
        self.custody.note_looked(&look);
        Ok(look)
    }

    async fn look_at_chart(&self, chart: ChartId, look: &mut Look) -> Result<(), LookError> {
        let own = self.custody.organisation();
        let entry = self.reader.state(&[Key::Chart(chart)]).await?.pop().flatten();
        if !matches!(entry, Some(Value::Chart(it)) if it.custodians.contains(&own)) {
            return Ok(());
        }
        for at in (0..).map(LogPosition) {
            // Most lines are no records of this custodian, and reading them waits for nothing: others get a turn.
            yield_now().await;
            let Some(line) = self.core.index.log(chart, at)? else { return Ok(()) };
            let Some(entry) = line.record.filter(|it| it.custodians.contains(&own)) else {
                continue;
            };
            self.wait_for_ledger().await;
            self.look_at_record(&Place { chart, at, entry }, look).await?;
        }
        Ok(())
    }

    async fn look_at_record(&self, place: &Place, look: &mut Look) -> Result<(), LookError> {
        let object = place.object();
        if self.is_redacted(place).await? {
            // It was, unless a process that repaired it was killed just then.
            return Ok(self.custody.erase(&object).await?);
        }
        look.objects += 1;
        let found = self.custody.condition(&object, place.entry.commitment).await;
        let rest = Duration::from_micros(place.entry.sealed_bytes * 1_000_000 / BYTES_PER_S);
        if found != Condition::Whole {
            self.note_repair(self.repair(place).await?, place, look).await?;
        }
        sleep(rest).await;
        Ok(())
    }

    async fn note_repair(
        &self,
        is_whole: bool,
        place: &Place,
        look: &mut Look,
    ) -> Result<(), LookError> {
        if is_whole {
            look.repaired += 1;
            self.custody.note_repaired();
        } else if !self.is_redacted(place).await? {
            tracing::error!(
                "a sealed object is missing or damaged, and no custodian that could be asked has it whole; see docs/operations/custody.md"
            );
            look.damaged += 1;
            self.custody.note_looking(look);
        }
        Ok(())
    }

    /// Whether an object could be put back.
    async fn repair(&self, place: &Place) -> Result<bool, LookError> {
        let own = self.custody.organisation();
        let others = place.entry.custodians.iter();
        for lender in others.filter(|it| **it != own && self.lenders.knows(**it)) {
            match self.fetch(*lender, place).await {
                Ok(()) => {
                    tracing::warn!(%lender, "a sealed object was missing or damaged; it is whole again");
                    if self.is_redacted(place).await? {
                        self.custody.erase(&place.object()).await?;
                    }
                    return Ok(true);
                }
                // The store fails, and would for others too.
                Err(RepairError::Custody(
                    error @ (CustodyError::Store(StoreError::Failed(_)) | CustodyError::Pending(_)),
                )) => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%lender, %error, "a sealed object could not be repaired from this custodian");
                }
            }
        }
        Ok(false)
    }

    async fn fetch(&self, lender: OrganisationId, place: &Place) -> Result<(), RepairError> {
        let Place { chart, at, entry } = place;
        let capsule = self.lenders.capsule(lender, *chart, *at).await;
        let capsule = capsule.map_err(RepairError::Lender)?;
        let body = self.lenders.body(lender, *chart, *at).await.map_err(RepairError::Lender)?;
        self.custody.put_back(&place.object(), entry.commitment, capsule, body).await
    }

    async fn is_redacted(&self, place: &Place) -> Result<bool, ReadError> {
        let key = Key::RecordState(place.chart, place.entry.original);
        let value = self.reader.state(&[key]).await?.pop().flatten();
        Ok(matches!(value, Some(Value::RecordState(state)) if state.is_redacted()))
    }
}

/// A record, and where it stands.
struct Place {
    chart: ChartId,
    at: LogPosition,
    entry: RecordEntry,
}

impl Place {
    const fn object(&self) -> RecordObject {
        RecordObject { chart: self.chart, record: self.entry.record, version: self.entry.version }
    }
}

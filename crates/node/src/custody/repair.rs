//! Reading every record's sealed object again from time to time, and fetching what is missing or damaged from the
//! record's other custodians.
//!
//! ```text
//! blocks ─> records that this custodian took ─> capsule, body: as the ledger says? ─no─> another custodian
//!                                                                                           │ as the ledger says
//!                                                                            the store  <───┘
//! ```
//!
//! # Invariants
//!
//! * Nothing is stored but what the ledger commits to, whoever sent it.
//! * What is redacted is not fetched again; and if it was redacted meanwhile, it is erased again.
//! * An object that cannot be repaired stays as it is: a damaged body may be all that is left of it.
//! * Reading takes a small share of the disk ([`BYTES_PER_S`]), and stops while this node is behind.
//!
//! Not here: small objects (key sheets, seeds, words), which clients ask of each custodian in turn; how others are
//! reached, which is the program's.

use std::{pin::pin, sync::Arc};

use bytes::Bytes;
use futures::{Stream, StreamExt as _, stream};
use keepwell_crypto::{
    body::Layout, capsule::SaltedCapsule, command::record_id_of, custody::version_of,
};
use keepwell_engine::{
    core::Core,
    reader::{ReadError, Reader, entry_at},
};
use keepwell_ledger::state::{Key, RecordEntry, Value};
use keepwell_merkle::content::ContentHasher;
use keepwell_types::{
    command::{Entry, Payload},
    id::{ChartId, Commitment, Digest, Height, LogPosition, OrganisationId},
    limits::SEALED_BYTES_MAX,
};
use thiserror::Error;
use tokio::time::{Duration, sleep};

use super::{
    Custody, CustodyError,
    incoming::Incoming,
    store::{RecordObject, StoreError},
};
use crate::clock::Clock;

/// How fast objects are read: 1 TB takes half a day.
const BYTES_PER_S: u64 = 20_000_000;
/// Pause while this node is behind.
const PAUSE: Duration = Duration::from_secs(5);
/// Pause after a look that ended early.
const RETRY: Duration = Duration::from_secs(60);
/// Blocks without a record of this custodian that are passed before others get a turn.
const BLOCKS_AT_ONCE: u64 = 64;

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
        let mut body = Incoming::new(checked, label.sealed_bytes);
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

/// A record that this custodian took.
struct Taken {
    object: RecordObject,
    commitment: Commitment,
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
    pub async fn keep_repaired(self, every: Duration) {
        loop {
            self.wait_for_ledger().await;
            match self.look().await {
                Ok(look) => {
                    self.custody.note_look(&look);
                    if look.damaged > 0 {
                        let Look { objects, repaired, damaged } = look;
                        tracing::error!(
                            objects,
                            repaired,
                            damaged,
                            "sealed objects are missing or damaged, and no other custodian could be asked or has them; see docs/operations/custody.md"
                        );
                    }
                    sleep(every).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "could not look at all sealed objects; it is tried again");
                    sleep(RETRY).await;
                }
            }
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

    /// Looks at everything once. It ends early where this custodian's own store does not take what is fetched.
    pub async fn look(&self) -> Result<Look, LookError> {
        let mut look = Look::default();
        for height in (1..=self.core.tip().height().0).map(Height) {
            if height.0.is_multiple_of(BLOCKS_AT_ONCE) {
                tokio::task::yield_now().await;
            }
            for taken in self.taken_in(height).await? {
                self.wait_for_ledger().await;
                look.objects += 1;
                let condition = self.custody.condition(&taken.object, taken.commitment).await;
                if condition == Condition::Whole {
                    self.rest(&taken).await;
                    continue;
                }
                match self.repair(&taken).await? {
                    Repaired::Yes => look.repaired += 1,
                    Repaired::No => look.damaged += 1,
                    Repaired::NotNeeded => {}
                }
            }
        }
        Ok(look)
    }

    /// Leaves the disk to others for as long as the object's bytes are worth.
    async fn rest(&self, taken: &Taken) {
        let bytes = self.custody.body(&taken.object, None).await.map_or(0, |body| body.len);
        sleep(Duration::from_micros(bytes.saturating_mul(1_000_000) / BYTES_PER_S)).await;
    }

    /// The records that accepted entries of a block say this custodian took.
    async fn taken_in(&self, height: Height) -> Result<Vec<Taken>, ReadError> {
        let line = self.core.index.block(height).map_err(|_| ReadError::Storage)?;
        let outcomes = line.ok_or(ReadError::NotHere)?.outcomes;
        let mut taken = Vec::new();
        if outcomes.is_empty() {
            return Ok(taken);
        }
        let block = self.reader.block(height).await?;
        for (index, outcome) in (0..).zip(outcomes.iter()) {
            if !outcome.verdict.is_accepted() {
                continue;
            }
            let Entry::Signed(signed) = entry_at(&block, index)? else { continue };
            let Payload::RecordAdd(it) = &signed.command.payload else { continue };
            let own = self.custody.organisation();
            let Some(record) = record_id_of(&signed.command) else { continue };
            if it.custody.iter().any(|word| word.custodian == own) {
                let object = RecordObject { chart: it.chart, record, version: version_of(it) };
                taken.push(Taken { object, commitment: it.commitment });
            }
        }
        Ok(taken)
    }

    async fn repair(&self, taken: &Taken) -> Result<Repaired, LookError> {
        let Some((at, entry)) = self.entry_of(&taken.object)? else {
            return Ok(Repaired::NotNeeded);
        };
        if self.is_redacted(taken.object.chart, &entry).await? {
            return Ok(Repaired::NotNeeded);
        }
        let own = self.custody.organisation();
        let others = entry.custodians.iter().filter(|it| **it != own && self.lenders.knows(**it));
        for lender in others {
            match self.fetch(*lender, taken, at).await {
                Ok(()) => {
                    tracing::warn!(%lender, "a sealed object was missing or damaged; it is whole again");
                    if self.is_redacted(taken.object.chart, &entry).await? {
                        self.erase_again(&taken.object).await;
                    }
                    return Ok(Repaired::Yes);
                }
                Err(RepairError::Custody(error)) => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%lender, %error, "a sealed object could not be repaired from this custodian");
                }
            }
        }
        Ok(Repaired::No)
    }

    async fn fetch(
        &self,
        lender: OrganisationId,
        taken: &Taken,
        at: LogPosition,
    ) -> Result<(), RepairError> {
        let chart = taken.object.chart;
        let capsule = self.lenders.capsule(lender, chart, at).await.map_err(RepairError::Lender)?;
        let body = self.lenders.body(lender, chart, at).await.map_err(RepairError::Lender)?;
        self.custody.put_back(&taken.object, taken.commitment, capsule, body).await
    }

    async fn erase_again(&self, object: &RecordObject) {
        if let Err(error) = self.custody.erase(object).await {
            tracing::error!(%error, "a record that was redacted while it was repaired could not be erased again");
        }
    }

    /// Where a record stands in its chart's log. The log is looked through, which is seldom done.
    fn entry_of(
        &self,
        object: &RecordObject,
    ) -> Result<Option<(LogPosition, RecordEntry)>, ReadError> {
        for position in (0..).map(LogPosition) {
            let line = self.core.index.log(object.chart, position);
            let Some(line) = line.map_err(|_| ReadError::Storage)? else { break };
            let wanted =
                |it: &RecordEntry| (it.record, it.version) == (object.record, object.version);
            if let Some(entry) = line.record.filter(wanted) {
                return Ok(Some((position, entry)));
            }
        }
        Ok(None)
    }

    async fn is_redacted(&self, chart: ChartId, entry: &RecordEntry) -> Result<bool, ReadError> {
        let key = Key::RecordState(chart, entry.original);
        let value = self.reader.state(&[key]).await?.pop().flatten();
        Ok(matches!(value, Some(Value::RecordState(state)) if state.is_redacted()))
    }
}

/// What became of an object that was not whole.
enum Repaired {
    Yes,
    No,
    /// It is gone because it must be.
    NotNeeded,
}

//! Custody: storing sealed objects for a custodian, and saying so under signature.
//!
//! ```text
//!            PUT body          PUT capsule            record.add accepted
//!  (nothing) --------> body ----------------> sealed ---------------------> named
//!                        |                      |  acknowledged
//!                        +----------------------+--- 24 h ---> deleted
//! ```
//!
//! # Invariants
//!
//! * An acknowledgement is signed only over what is durable, and after it the object never changes:
//!   the same object may be sent again, another one under its name is refused.
//! * A capsule is taken only if its label is that of the stored body: content root, size, chart, record,
//!   version, committee and consortium. So a reader is never sent to a body that does not fit.
//! * Only the party that began an object goes on with it.
//! * An object that no accepted entry names is deleted after [`UNNAMED_MS_MAX`], and no other one. An
//!   entry names the object whose capsule it commits to, not whatever is stored under its record's id.
//! * Until then it counts against its author and the author's organisation, who have so much room and no
//!   more; and no upload takes the last room on the disk, without which the node would stop.
//!
//! * An object that is damaged or gone is fetched again from another custodian of the record, and is then what the
//!   ledger commits to, or stays as it is.
//!
//! Not here: who may store and fetch (`crate::api`); whether a capsule opens, which a custodian cannot
//! know.

pub mod acknowledge;
pub mod challenge;
pub mod close;
pub mod erase;
pub mod follow;
pub mod incoming;
pub mod pending;
pub mod quota;
pub mod repair;
pub mod store;
pub mod uploads;

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use futures::Stream;
use keepwell_crypto::{
    body,
    capsule::SaltedCapsule,
    grant::{self, SealedSeeds},
    guardian::{GuardianEscrow, HandedShare},
    sheet,
    sign::SigningKey,
    trustee::ChartEscrow,
    words::CaseWords,
};
use keepwell_merkle::content::ContentHasher;
use keepwell_types::{
    DecodeError,
    chart::{AheadSheet, KeySheet},
    id::{ChainId, ChartId, Commitment, CommitteeId, Digest, MemberId, OrganisationId},
    limits::{CHART_ESCROW_BYTES_MAX, SEALED_BYTES_MAX, SEALED_SEEDS_BYTES_MAX},
    member::Party,
    record::CustodyAcknowledgement,
    time::BlockTime,
    wire::SeedTable,
};
use object_store::GetRange;
use thiserror::Error;
use tokio::sync::Semaphore;

use self::{
    acknowledge::{Durable, acknowledge, kept_until},
    incoming::Incoming,
    pending::{Pending, PendingError, PendingRecord, StoredBody},
    quota::{Author, Charge, OverQuota},
    repair::Look,
    store::{RecordObject, SmallKind, SmallObject, Store, StoreError, Stretch},
    uploads::Uploads,
};
use crate::config::CustodyLimits;

/// How long an object waits to be named.
pub const UNNAMED_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// Bytes of a small object.
pub const SMALL_BYTES_MAX: usize = SEALED_SEEDS_BYTES_MAX;
/// Bytes of a small object of any kind: an escrow has a sealed share for each trustee.
pub const ANY_SMALL_BYTES_MAX: usize = CHART_ESCROW_BYTES_MAX;

/// Why a custodian did not store or serve an object.
#[derive(Debug, Error)]
pub enum CustodyError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index.
    #[error("this custodian's index failed; try again, or use another custodian")]
    Pending(#[from] PendingError),
    /// Too many uploads, or challenges.
    #[error("{max} uploads or challenges run at this custodian; try again in a second")]
    Busy {
        /// The limit.
        max: usize,
    },
    /// Too many uploads of one organisation.
    #[error(
        "{max} uploads of your organisation run at this custodian; try again when one has ended"
    )]
    OrganisationBusy {
        /// The limit.
        max: usize,
    },
    /// Too much of one party or organisation.
    #[error(transparent)]
    Quota(#[from] OverQuota),
    /// Two uploads of one object.
    #[error("another upload of this object is running; wait for it")]
    InUse,
    /// Someone else began the object.
    #[error(
        "this object was begun by another party; draw another command id, which gives another record id"
    )]
    OtherParty,
    /// Another object has the name.
    #[error("another object is stored under this record and version; nothing was changed")]
    Exists,
    /// Not a sealed body.
    #[error(
        "the body is not a sealed body: its header or its length is none that sealing makes; seal the content again"
    )]
    NotSealed,
    /// The body is missing.
    #[error("the body of this record is not stored here; send the body before its capsule")]
    NoBody,
    /// Not a capsule.
    #[error("not a capsule: {0}")]
    Malformed(#[from] DecodeError),
    /// The capsule is of another object.
    #[error("the capsule's label does not fit ({0}); send the capsule that was made for this body")]
    Label(LabelFault),
    /// The sheet or the seeds are of another chart.
    #[error("the key sheet is of another chart")]
    OtherChart,
}

/// What in a capsule's label does not fit the stored body.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum LabelFault {
    /// The consortium.
    #[error("it is of another consortium")]
    Chain,
    /// Chart, record or version.
    #[error("it is of another chart, record or version")]
    Record,
    /// The committee.
    #[error("it is of another committee")]
    Committee,
    /// The content root.
    #[error("its content root is not that of the stored body")]
    Content,
    /// The size.
    #[error("it says {label} bytes and the stored body has {stored}")]
    SealedBytes {
        /// The label's.
        label: u64,
        /// The body's.
        stored: u64,
    },
}

/// The custodian of one organisation.
pub struct Custody {
    chain: ChainId,
    committee: CommitteeId,
    organisation: OrganisationId,
    key: SigningKey,
    store: Store,
    pending: Pending,
    limits: CustodyLimits,
    uploads: Uploads,
    in_use: Mutex<BTreeSet<RecordObject>>,
    stored_bytes: AtomicU64,
    damaged: AtomicU64,
    repaired: AtomicU64,
    challenges: Semaphore,
}

/// Who the custodian is, in which consortium.
pub struct Identity {
    /// The consortium.
    pub chain: ChainId,
    /// Its committee.
    pub committee: CommitteeId,
    /// Whose custodian it is.
    pub organisation: OrganisationId,
    /// Signs acknowledgements.
    pub key: SigningKey,
}

impl Custody {
    /// A custodian over a store and its index.
    pub fn new(identity: Identity, store: Store, pending: Pending, limits: CustodyLimits) -> Self {
        let Identity { chain, committee, organisation, key } = identity;
        Self {
            chain,
            committee,
            organisation,
            key,
            store,
            pending,
            limits,
            uploads: Uploads::default(),
            in_use: Mutex::default(),
            stored_bytes: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            repaired: AtomicU64::new(0),
            challenges: Semaphore::new(challenge::CHALLENGES_MAX),
        }
    }

    /// Whose custodian it is.
    pub const fn organisation(&self) -> OrganisationId {
        self.organisation
    }

    /// Bytes of bodies stored since the node started.
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes.load(Ordering::Relaxed)
    }

    /// Objects that were missing or damaged at the last look at all of them, and could not be repaired.
    pub fn damaged(&self) -> u64 {
        self.damaged.load(Ordering::Relaxed)
    }

    /// Objects that were repaired since the node started.
    pub fn repaired(&self) -> u64 {
        self.repaired.load(Ordering::Relaxed)
    }

    /// What a look has found so far: it may go on for days.
    fn note_looking(&self, look: &Look) {
        self.damaged.fetch_max(look.damaged, Ordering::Relaxed);
    }

    fn note_repaired(&self) {
        self.repaired.fetch_add(1, Ordering::Relaxed);
    }

    fn note_looked(&self, look: &Look) {
        self.damaged.store(look.damaged, Ordering::Relaxed);
    }

    /// Bytes that are set aside for objects that no entry names yet.
    pub fn unnamed_bytes(&self) -> u64 {
        self.pending.unnamed_bytes()
    }

    /// Stores a body as it comes, and says what its content root is.
    #[tracing::instrument(name = "store body", skip_all)]
    pub async fn put_body<S, E>(
        &self,
        object: RecordObject,
        author: Author,
        now: BlockTime,
        mut body: Incoming<S>,
    ) -> Result<StoredBody, CustodyError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let declared = body.declared();
        if declared > SEALED_BYTES_MAX {
            return Err(StoreError::TooLong { max: SEALED_BYTES_MAX }.into());
        }
        let _upload = self.uploads.begin(author.organisation, declared)?;
        let _use = self.take(object)?;
        let line = self.line(&object, author.party)?;
        if let Some(sealed) = self.capsule_of(&object).await? {
            return digest_same(body, &sealed).await;
        }
        self.check_room(0)?;
        let line = PendingRecord {
            chart: object.chart,
            charge: Charge::of(author, declared),
            since: line.map_or(now, |line| line.since),
            body: None,
            commitment: None,
        };
        self.pending.begin_record(&object, &line, &self.limits)?;
        self.pending.persist().await?;
        match self.store_body(&object, &mut body).await {
            Ok(body) => {
                self.pending.advance_record(&object, Some(body), None)?;
                self.pending.persist().await?;
                self.stored_bytes.fetch_add(body.sealed_bytes, Ordering::Relaxed);
                Ok(body)
            }
            Err(error) => {
                // What is gone waits for nothing. If it cannot be deleted now, the sweep does it.
                if self.store.delete(&object.body()).await.is_ok() {
                    self.pending.forget_record(&object)?;
                }
                Err(error)
            }
        }
    }

    async fn store_body<S, E>(
        &self,
        object: &RecordObject,
        body: &mut Incoming<S>,
    ) -> Result<StoredBody, CustodyError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let mut hasher = begin(body).await?;
        self.store.put_stream(&object.body(), body, |piece| hasher.update(piece)).await?;
        finish(hasher)
    }

    /// Whether the disk has room for what the uploads that run may still bring, and `bytes` more.
    fn check_room(&self, bytes: u64) -> Result<(), StoreError> {
        let Some(free) = self.store.free_bytes()? else { return Ok(()) };
        let taken = self.uploads.declared_bytes().saturating_add(bytes);
        if free < taken.saturating_add(self.limits.free_bytes_min) {
            return Err(StoreError::Full);
        }
        Ok(())
    }

    /// The line of an object, if it waits; it must be this party's, and under this chart.
    fn line(
        &self,
        object: &RecordObject,
        party: Party,
    ) -> Result<Option<PendingRecord>, CustodyError> {
        let Some(line) = self.pending.record(object)? else { return Ok(None) };
        if line.charge.party != party {
            return Err(CustodyError::OtherParty);
        }
        if line.chart != object.chart {
            return Err(CustodyError::Exists);
        }
        Ok(Some(line))
    }

    /// Stores a capsule beside its body, if it fits, and acknowledges both.
    #[tracing::instrument(name = "store capsule", skip_all)]
    pub async fn put_capsule(
        &self,
        object: RecordObject,
        party: Party,
        bytes: Bytes,
    ) -> Result<CustodyAcknowledgement, CustodyError> {
        let salted = SaltedCapsule::decode(&bytes)?;
        let _use = self.take(object)?;
        let line = self.line(&object, party)?;
        let commitment = salted.commitment();
        if let Some(stored) = self.capsule_of(&object).await? {
            if stored != salted {
                return Err(CustodyError::Exists);
            }
        } else {
            let body = line.as_ref().and_then(|line| line.body).ok_or(CustodyError::NoBody)?;
            self.check_label(&object, &salted, &body).map_err(CustodyError::Label)?;
            self.store.put(&object.capsule(), bytes).await?;
        }
        let until = kept_until(line.as_ref());
        if let Some(line) = line.filter(|line| line.commitment != Some(commitment)) {
            self.pending.advance_record(&object, line.body, Some(commitment))?;
        }
        let sealed_bytes = salted.capsule.label().sealed_bytes;
        let durable = Durable { object, commitment, sealed_bytes, until };
        Ok(acknowledge(&self.key, self.chain, self.organisation, &durable))
    }

    fn check_label(
        &self,
        object: &RecordObject,
        salted: &SaltedCapsule,
        body: &StoredBody,
    ) -> Result<(), LabelFault> {
        let label = salted.capsule.label();
        if label.chain != self.chain {
            return Err(LabelFault::Chain);
        }
        let RecordObject { chart, record, version } = *object;
        if (label.chart, label.record, label.version) != (chart, record, version) {
            return Err(LabelFault::Record);
        }
        if label.committee != self.committee {
            return Err(LabelFault::Committee);
        }
        if label.sealed_bytes != body.sealed_bytes {
            let (label, stored) = (label.sealed_bytes, body.sealed_bytes);
            return Err(LabelFault::SealedBytes { label, stored });
        }
        if label.content != body.content {
            return Err(LabelFault::Content);
        }
        Ok(())
    }

    /// The capsule of a record's version.
    #[tracing::instrument(name = "read capsule", skip_all)]
    pub async fn capsule(&self, object: &RecordObject) -> Result<Option<Bytes>, CustodyError> {
        match self.store.get(&object.capsule()).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The body of a record's version, or a stretch of it.
    #[tracing::instrument(name = "open body", skip_all)]
    pub async fn body(
        &self,
        object: &RecordObject,
        range: Option<GetRange>,
    ) -> Result<Stretch, CustodyError> {
        Ok(self.store.read(&object.body(), range).await?)
    }

    /// Stores a key sheet, sealed seeds, a table of them or words of a case under the digest that the ledger names them by.
    #[tracing::instrument(name = "store small object", skip_all)]
    pub async fn put_small(
        &self,
        chart: ChartId,
        kind: SmallKind,
        author: Author,
        now: BlockTime,
        bytes: Bytes,
    ) -> Result<Digest, CustodyError> {
        let mut listed = Vec::new();
        let digest = match kind {
            SmallKind::Sheet => {
                let key_sheet: KeySheet = keepwell_types::decode(&bytes, SMALL_BYTES_MAX)?;
                if key_sheet.chart != chart {
                    return Err(CustodyError::OtherChart);
                }
                sheet::root(&key_sheet)
            }
            SmallKind::Seeds => SealedSeeds::decode(&bytes)?.digest(),
            SmallKind::Guardians => GuardianEscrow::decode(&bytes)?.digest(),
            SmallKind::Share => HandedShare::decode(&bytes)?.digest(),
            SmallKind::Table => {
                let table: SeedTable = keepwell_types::decode(&bytes, SMALL_BYTES_MAX)?;
                let lines: Vec<_> = table.lines.iter().map(|it| (it.grant, it.seeds)).collect();
                listed = lines.iter().map(|(_, seeds)| *seeds).collect();
                grant::table_digest(&lines)
            }
            SmallKind::Words => CaseWords::decode(&bytes)?.digest(),
            SmallKind::Ahead => {
                let ahead: AheadSheet = keepwell_types::decode(&bytes, SMALL_BYTES_MAX)?;
                if ahead.chart != chart {
                    return Err(CustodyError::OtherChart);
                }
                sheet::ahead_digest(&ahead)
            }
            SmallKind::Escrow => {
                let escrow = ChartEscrow::decode(&bytes)?;
                if escrow.chart() != chart {
                    return Err(CustodyError::OtherChart);
                }
                escrow.digest()
            }
        };
        let object = SmallObject { chart, kind, digest };
        if !self.pending.is_named(&object)? {
            let len = bytes.len() as u64;
            self.check_room(len)?;
            self.pending.begin_small(&object, Charge::of(author, len), now, &self.limits)?;
        }
        self.pending.put_table(chart, digest, listed)?;
        self.pending.persist().await?;
        self.store.put(&object.path(), bytes).await?;
        Ok(digest)
    }

    /// A small object.
    #[tracing::instrument(name = "read small object", skip_all)]
    pub async fn small(&self, object: &SmallObject) -> Result<Bytes, CustodyError> {
        Ok(self.store.get(&object.path()).await?)
    }

    /// Stores a member's public key, in the place of an earlier one. The caller has compared it with the
    /// ledger, which is also what bounds how many there are.
    pub async fn put_member_key(&self, member: MemberId, key: Bytes) -> Result<(), CustodyError> {
        self.check_room(key.len() as u64)?;
        Ok(self.store.put(&store::member_key(member), key).await?)
    }

    /// A member's public key, if it is here.
    pub async fn member_key(&self, member: MemberId) -> Result<Bytes, CustodyError> {
        Ok(self.store.get(&store::member_key(member)).await?)
    }

    /// Deletes a small object that nothing names, and what a table of seeds left in the index.
    async fn delete_small(&self, object: &SmallObject) -> Result<(), CustodyError> {
        if object.kind == SmallKind::Table {
            match self.store.get(&object.path()).await {
                Ok(bytes) => {
                    let table: SeedTable = keepwell_types::decode(&bytes, SMALL_BYTES_MAX)?;
                    let seeds = table.lines.iter().map(|line| line.seeds);
                    self.pending.forget_table(object.chart, object.digest, seeds)?;
                }
                Err(StoreError::NotFound) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(self.store.delete(&object.path()).await?)
    }

    /// The commitment of the stored capsule, if the object has come so far.
    async fn commitment_of(
        &self,
        object: &RecordObject,
    ) -> Result<Option<Commitment>, CustodyError> {
        Ok(self.capsule_of(object).await?.map(|salted| salted.commitment()))
    }

    /// The stored capsule, if the object has come so far.
    async fn capsule_of(
        &self,
        object: &RecordObject,
    ) -> Result<Option<SaltedCapsule>, CustodyError> {
        let capsule = self.capsule(object).await?;
        Ok(capsule.map(|bytes| SaltedCapsule::decode(&bytes)).transpose()?)
    }

    /// Takes an object for as long as the value lives.
    fn take(&self, object: RecordObject) -> Result<InUse<'_>, CustodyError> {
        if !self.in_use().insert(object) {
            return Err(CustodyError::InUse);
        }
        Ok(InUse { custody: self, object })
    }

    fn in_use(&self) -> MutexGuard<'_, BTreeSet<RecordObject>> {
        self.in_use.lock().expect("nobody panics while holding this lock")
    }
}

struct InUse<'a> {
    custody: &'a Custody,
    object: RecordObject,
}

impl Drop for InUse<'_> {
    fn drop(&mut self) {
        self.custody.in_use().remove(&self.object);
    }
}

/// Looks at the header of a body, and begins its content root.
async fn begin<S, E>(incoming: &mut Incoming<S>) -> Result<ContentHasher, CustodyError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let mut first = BytesMut::new();
    while first.len() < body::HEADER_BYTES {
        let piece = incoming.next().await?.ok_or(CustodyError::NotSealed)?;
        first.extend_from_slice(&piece);
    }
    let log2 = body::chunk_log2(&first).ok_or(CustodyError::NotSealed)?;
    incoming.put_back(first.freeze());
    Ok(ContentHasher::new(log2))
}

/// The root of a whole body, if it has a length that sealing makes.
fn finish(hasher: ContentHasher) -> Result<StoredBody, CustodyError> {
    let sealed_bytes = hasher.len();
    body::Layout::of_sealed(sealed_bytes).map_err(|_| CustodyError::NotSealed)?;
    Ok(StoredBody { content: hasher.finish(), sealed_bytes })
}

/// A body comes again for an object that is sealed: nothing is written, and only the same body fits.
async fn digest_same<S, E>(
    mut incoming: Incoming<S>,
    sealed: &SaltedCapsule,
) -> Result<StoredBody, CustodyError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let label = sealed.capsule.label();
    let mut hasher = begin(&mut incoming).await?;
    while let Some(piece) = incoming.next().await? {
        hasher.update(&piece);
        if hasher.len() > label.sealed_bytes {
            return Err(CustodyError::Exists);
        }
    }
    let body = StoredBody { sealed_bytes: hasher.len(), content: hasher.finish() };
    if body != (StoredBody { content: label.content, sealed_bytes: label.sealed_bytes }) {
        return Err(CustodyError::Exists);
    }
    Ok(body)
}

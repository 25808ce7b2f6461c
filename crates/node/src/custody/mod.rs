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
//! * An object that no accepted entry names is deleted after [`UNNAMED_MS_MAX`], and no other one.
//!
//! Not here: who may store and fetch (`crate::api`); whether a capsule opens, which a custodian cannot
//! know.

pub mod acknowledge;
pub mod follow;
pub mod pending;
pub mod store;

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use keepwell_crypto::{
    body,
    capsule::SaltedCapsule,
    grant::{self, SealedSeeds},
    sheet,
    sign::SigningKey,
};
use keepwell_merkle::content::ContentHasher;
use keepwell_types::{
    DecodeError,
    chart::KeySheet,
    id::{ChainId, ChartId, CommitteeId, Digest, OrganisationId},
    limits::{SEALED_BYTES_MAX, SEALED_SEEDS_BYTES_MAX},
    member::Party,
    record::CustodyAcknowledgement,
    time::BlockTime,
    wire::SeedTable,
};
use object_store::GetRange;
use thiserror::Error;
use tokio::sync::Semaphore;

use self::{
    acknowledge::{Durable, acknowledge},
    pending::{Pending, PendingError, PendingRecord, StoredBody},
    store::{RecordObject, SmallKind, SmallObject, Store, StoreError, Stretch},
};

/// How long an object waits to be named.
pub const UNNAMED_MS_MAX: u64 = 24 * 60 * 60 * 1_000;
/// Uploads of bodies at one time.
pub const UPLOADS_MAX: usize = 64;
/// Bytes of a small object.
pub const SMALL_BYTES_MAX: usize = SEALED_SEEDS_BYTES_MAX;

/// Why a custodian did not store or serve an object.
#[derive(Debug, Error)]
pub enum CustodyError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The index.
    #[error("this custodian's index failed; try again, or use another custodian")]
    Pending(#[from] PendingError),
    /// Too many uploads.
    #[error("{max} uploads run at this custodian; try again in a second")]
    Busy {
        /// The limit.
        max: usize,
    },
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
    uploads: Semaphore,
    in_use: Mutex<BTreeSet<RecordObject>>,
    stored_bytes: AtomicU64,
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
    pub fn new(identity: Identity, store: Store, pending: Pending) -> Self {
        let Identity { chain, committee, organisation, key } = identity;
        Self {
            chain,
            committee,
            organisation,
            key,
            store,
            pending,
            uploads: Semaphore::new(UPLOADS_MAX),
            in_use: Mutex::default(),
            stored_bytes: AtomicU64::new(0),
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

    /// Stores a body as it comes, and says what its content root is.
    pub async fn put_body<S, E>(
        &self,
        object: RecordObject,
        party: Party,
        now: BlockTime,
        stream: S,
    ) -> Result<StoredBody, CustodyError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let _upload =
            self.uploads.try_acquire().map_err(|_| CustodyError::Busy { max: UPLOADS_MAX })?;
        let _use = self.take(object)?;
        let line = self.pending.record(&object)?;
        if line.as_ref().is_some_and(|line| line.party != party) {
            return Err(CustodyError::OtherParty);
        }
        if let Some(sealed) = self.capsule_of(&object).await? {
            return digest_same(stream, &sealed).await;
        }
        let mut line = line.unwrap_or(PendingRecord {
            chart: object.chart,
            party,
            since: now,
            body: None,
            commitment: None,
        });
        if line.chart != object.chart {
            return Err(CustodyError::Exists);
        }
        line.body = None;
        self.pending.put_record(&object, &line)?;
        self.pending.persist().await?;
        let body = self.store_body(&object, stream).await?;
        line.body = Some(body);
        self.pending.put_record(&object, &line)?;
        self.pending.persist().await?;
        self.stored_bytes.fetch_add(body.sealed_bytes, Ordering::Relaxed);
        Ok(body)
    }

    async fn store_body<S, E>(
        &self,
        object: &RecordObject,
        stream: S,
    ) -> Result<StoredBody, CustodyError>
    where
        S: Stream<Item = Result<Bytes, E>> + Unpin,
    {
        let (mut hasher, mut stream) = begin(stream).await?;
        let path = object.body();
        self.store
            .put_stream(&path, &mut stream, SEALED_BYTES_MAX, |piece| hasher.update(piece))
            .await?;
        match finish(hasher) {
            Ok(body) => Ok(body),
            Err(error) => {
                self.store.delete(&path).await?;
                Err(error)
            }
        }
    }

    /// Stores a capsule beside its body, if it fits, and acknowledges both.
    pub async fn put_capsule(
        &self,
        object: RecordObject,
        party: Party,
        bytes: Bytes,
    ) -> Result<CustodyAcknowledgement, CustodyError> {
        let salted = SaltedCapsule::decode(&bytes)?;
        let _use = self.take(object)?;
        let line = self.pending.record(&object)?;
        if line.as_ref().is_some_and(|line| line.party != party) {
            return Err(CustodyError::OtherParty);
        }
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
        if let Some(line) = line.filter(|line| line.commitment != Some(commitment)) {
            let line = PendingRecord { commitment: Some(commitment), ..line };
            self.pending.put_record(&object, &line)?;
        }
        let sealed_bytes = salted.capsule.label().sealed_bytes;
        let durable = Durable { object, commitment, sealed_bytes };
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
    pub async fn capsule(&self, object: &RecordObject) -> Result<Bytes, CustodyError> {
        Ok(self.store.get(&object.capsule()).await?)
    }

    /// The body of a record's version, or a stretch of it.
    pub async fn body(
        &self,
        object: &RecordObject,
        range: Option<GetRange>,
    ) -> Result<Stretch, CustodyError> {
        Ok(self.store.read(&object.body(), range).await?)
    }

    /// Stores a key sheet, sealed seeds or a table of them under the digest that the ledger names them by.
    pub async fn put_small(
        &self,
        chart: ChartId,
        kind: SmallKind,
        now: BlockTime,
        bytes: Bytes,
    ) -> Result<Digest, CustodyError> {
        let digest = match kind {
            SmallKind::Sheet => {
                let key_sheet: KeySheet = keepwell_types::decode(&bytes, SMALL_BYTES_MAX)?;
                if key_sheet.chart != chart {
                    return Err(CustodyError::OtherChart);
                }
                sheet::root(&key_sheet)
            }
            SmallKind::Seeds => SealedSeeds::decode(&bytes)?.digest(),
            SmallKind::Table => {
                let table: SeedTable = keepwell_types::decode(&bytes, SMALL_BYTES_MAX)?;
                let lines: Vec<_> = table.lines.iter().map(|it| (it.grant, it.seeds)).collect();
                let digest = grant::table_digest(&lines);
                self.pending.put_table(chart, digest, lines.into_iter().map(|(_, seeds)| seeds))?;
                digest
            }
        };
        let object = SmallObject { chart, kind, digest };
        if !self.pending.is_named(&object)? {
            self.pending.put_small(&object, now)?;
            self.pending.persist().await?;
        }
        self.store.put(&object.path(), bytes).await?;
        Ok(digest)
    }

    /// A key sheet or sealed seeds.
    pub async fn small(&self, object: &SmallObject) -> Result<Bytes, CustodyError> {
        Ok(self.store.get(&object.path()).await?)
    }

    /// The stored capsule, if the object has come so far.
    async fn capsule_of(
        &self,
        object: &RecordObject,
    ) -> Result<Option<SaltedCapsule>, CustodyError> {
        match self.store.get(&object.capsule()).await {
            Ok(bytes) => Ok(Some(SaltedCapsule::decode(&bytes)?)),
            Err(StoreError::NotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
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

/// Reads as much of a body as its header has, and begins its content root.
async fn begin<S, E>(
    mut stream: S,
) -> Result<(ContentHasher, impl Stream<Item = Result<Bytes, E>> + Unpin), CustodyError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let mut first = BytesMut::new();
    while first.len() < body::HEADER_BYTES {
        match stream.next().await {
            Some(Ok(piece)) => first.extend_from_slice(&piece),
            Some(Err(_)) => return Err(StoreError::CutOff.into()),
            None => return Err(CustodyError::NotSealed),
        }
    }
    let log2 = body::chunk_log2(&first).ok_or(CustodyError::NotSealed)?;
    let first = futures::stream::iter([Ok(first.freeze())]);
    Ok((ContentHasher::new(log2), first.chain(stream)))
}

/// The root of a whole body, if it has a length that sealing makes.
fn finish(hasher: ContentHasher) -> Result<StoredBody, CustodyError> {
    let sealed_bytes = hasher.len();
    body::Layout::of_sealed(sealed_bytes).map_err(|_| CustodyError::NotSealed)?;
    Ok(StoredBody { content: hasher.finish(), sealed_bytes })
}

/// A body comes again for an object that is sealed: nothing is written, and only the same body fits.
async fn digest_same<S, E>(stream: S, sealed: &SaltedCapsule) -> Result<StoredBody, CustodyError>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
{
    let label = sealed.capsule.label();
    let (mut hasher, mut stream) = begin(stream).await?;
    while let Some(piece) = stream.next().await {
        hasher.update(&piece.map_err(|_| StoreError::CutOff)?);
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

//! What waits to be named by an entry of the ledger, and how far the ledger was followed.
//!
//! ```text
//! record   record ‖ version            -> chart, who sends it, since when, content, commitment
//! small    chart ‖ kind ‖ digest       -> since when
//! named    chart ‖ digest              -> ()      digests of small objects that entries name
//! table    chart ‖ digest of seeds     -> digest of the table that lists them
//! cursor   "cursor"                    -> height of the last block that was followed
//! ```
//!
//! # Invariants
//!
//! * An object that is not named by an entry has a line here, from before its first byte is stored
//!   until it is deleted. So losing this index loses no object: at worst some that nothing names stay.
//!
//! Not here: the objects.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use keepwell_types::{
    id::{ChartId, Commitment, Digest, Height, RecordId, Version},
    member::Party,
    time::BlockTime,
};
use minicbor::{Decode, Encode};
use thiserror::Error;

use super::store::{RecordObject, SmallKind, SmallObject};

/// Bytes of an encoded line.
const LINE_BYTES_MAX: usize = 512;
/// The one key of the cursor: the index takes no empty keys.
const CURSOR: [u8; 6] = *b"cursor";
/// Bytes of cache: the index is small.
const CACHE_BYTES: u64 = 1024 * 1024;

/// The index could not be read or written.
#[derive(Debug, Error)]
pub enum PendingError {
    /// The disk, or the files on it.
    #[error("the custody index cannot be read or written: {0}; check the disk")]
    Storage(#[from] fjall::Error),
    /// A line that cannot be read.
    #[error(
        "a line of the custody index is damaged; stop the node and remove the folder custody-index: no object is lost, and objects that nothing names stay"
    )]
    Damaged,
}

/// A stored body.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
pub struct StoredBody {
    /// Root of the tree of its chunks.
    #[n(0)]
    pub content: Digest,
    /// Its bytes.
    #[n(1)]
    pub sealed_bytes: u64,
}

/// A record's object that no entry names yet.
#[derive(Clone, Debug, Decode, Encode, Eq, PartialEq)]
pub struct PendingRecord {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// Who sends it.
    #[n(1)]
    pub party: Party,
    /// When its first byte came, by this node's clock.
    #[n(2)]
    pub since: BlockTime,
    /// The body, once it is durable.
    #[n(3)]
    pub body: Option<StoredBody>,
    /// The commitment of the capsule, once it is durable.
    #[n(4)]
    pub commitment: Option<Commitment>,
}

/// The index.
#[derive(Clone)]
pub struct Pending {
    database: Database,
    record: Keyspace,
    small: Keyspace,
    named: Keyspace,
    table: Keyspace,
    cursor: Keyspace,
}

impl Pending {
    /// Opens the index in `folder`, or begins one there.
    pub fn open(folder: &Path) -> Result<Self, PendingError> {
        let database =
            Database::builder(folder).cache_size(CACHE_BYTES).worker_threads(1).open()?;
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default);
        Ok(Self {
            record: keyspace("record")?,
            small: keyspace("small")?,
            named: keyspace("named")?,
            table: keyspace("table")?,
            cursor: keyspace("cursor")?,
            database,
        })
    }

    /// The line of a record's object.
    pub fn record(&self, object: &RecordObject) -> Result<Option<PendingRecord>, PendingError> {
        match self.record.get(record_key(object.record, object.version))? {
            Some(bytes) => decode_line(&bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Writes the line of a record's object.
    pub fn put_record(
        &self,
        object: &RecordObject,
        line: &PendingRecord,
    ) -> Result<(), PendingError> {
        let key = record_key(object.record, object.version);
        Ok(self.record.insert(key, keepwell_types::encode(line))?)
    }

    /// An entry names the record, or its object was deleted.
    pub fn forget_record(&self, record: RecordId, version: Version) -> Result<(), PendingError> {
        Ok(self.record.remove(record_key(record, version))?)
    }

    /// Records' objects that have waited since before `before`, at most `max`.
    pub fn records_before(
        &self,
        before: BlockTime,
        max: usize,
    ) -> Result<Vec<RecordObject>, PendingError> {
        let mut old = Vec::new();
        for line in self.record.iter() {
            let (key, value) = line.into_inner()?;
            let pending: PendingRecord = decode_line(&value)?;
            if pending.since < before && old.len() < max {
                let (record, version) = split_record_key(&key).ok_or(PendingError::Damaged)?;
                old.push(RecordObject { chart: pending.chart, record, version });
            }
        }
        Ok(old)
    }

    /// Whether an entry names a small object, or the table that lists it.
    pub fn is_named(&self, object: &SmallObject) -> Result<bool, PendingError> {
        let key = named_key(object.chart, object.digest);
        if self.named.contains_key(key)? {
            return Ok(true);
        }
        let Some(table) = self.table.get(key)? else { return Ok(false) };
        let table = <[u8; 32]>::try_from(&*table).map_err(|_| PendingError::Damaged)?;
        Ok(self.named.contains_key(named_key(object.chart, Digest(table)))?)
    }

    /// A table came that lists these seeds.
    pub fn put_table(
        &self,
        chart: ChartId,
        table: Digest,
        seeds: impl IntoIterator<Item = Digest>,
    ) -> Result<(), PendingError> {
        let mut batch = self.database.batch();
        for seeds in seeds {
            batch.insert(&self.table, named_key(chart, seeds), table.0);
        }
        Ok(batch.commit()?)
    }

    /// A small object came that no entry names.
    pub fn put_small(&self, object: &SmallObject, since: BlockTime) -> Result<(), PendingError> {
        Ok(self.small.insert(small_key(object), since.0.to_be_bytes())?)
    }

    /// A small object was deleted.
    pub fn forget_small(&self, object: &SmallObject) -> Result<(), PendingError> {
        Ok(self.small.remove(small_key(object))?)
    }

    /// An entry names the small objects of a chart with this digest.
    pub fn name_small(&self, chart: ChartId, digest: Digest) -> Result<(), PendingError> {
        let mut batch = self.database.batch();
        batch.insert(&self.named, named_key(chart, digest), []);
        for kind in [SmallKind::Sheet, SmallKind::Seeds, SmallKind::Table] {
            batch.remove(&self.small, small_key(&SmallObject { chart, kind, digest }));
        }
        Ok(batch.commit()?)
    }

    /// Small objects that have waited since before `before`, at most `max`.
    pub fn small_before(
        &self,
        before: BlockTime,
        max: usize,
    ) -> Result<Vec<SmallObject>, PendingError> {
        let mut old = Vec::new();
        for line in self.small.iter() {
            let (key, value) = line.into_inner()?;
            let since = <[u8; 8]>::try_from(&*value).map_err(|_| PendingError::Damaged)?;
            if u64::from_be_bytes(since) < before.0 && old.len() < max {
                old.push(split_small_key(&key).ok_or(PendingError::Damaged)?);
            }
        }
        Ok(old)
    }

    /// The last block that was followed; 0 for none.
    pub fn cursor(&self) -> Result<Height, PendingError> {
        let Some(bytes) = self.cursor.get(CURSOR)? else { return Ok(Height(0)) };
        let bytes = <[u8; 8]>::try_from(&*bytes).map_err(|_| PendingError::Damaged)?;
        Ok(Height(u64::from_be_bytes(bytes)))
    }

    /// Notes that the ledger was followed up to `height`. Need not be durable: a block that is followed
    /// twice changes nothing.
    pub fn put_cursor(&self, height: Height) -> Result<(), PendingError> {
        Ok(self.cursor.insert(CURSOR, height.0.to_be_bytes())?)
    }

    /// Makes everything written so far durable.
    pub async fn persist(&self) -> Result<(), PendingError> {
        let database = self.database.clone();
        let persisted =
            tokio::task::spawn_blocking(move || database.persist(PersistMode::SyncData));
        Ok(persisted.await.map_err(|_| PendingError::Damaged)??)
    }
}

fn decode_line(bytes: &[u8]) -> Result<PendingRecord, PendingError> {
    keepwell_types::decode(bytes, LINE_BYTES_MAX).map_err(|_| PendingError::Damaged)
}

fn record_key(record: RecordId, version: Version) -> [u8; 36] {
    let mut key = [0; 36];
    key[..32].copy_from_slice(&record.0);
    key[32..].copy_from_slice(&version.0.to_be_bytes());
    key
}

fn split_record_key(key: &[u8]) -> Option<(RecordId, Version)> {
    let (record, version) = key.split_first_chunk::<32>()?;
    let version = <[u8; 4]>::try_from(version).ok()?;
    Some((RecordId(*record), Version(u32::from_be_bytes(version))))
}

fn named_key(chart: ChartId, digest: Digest) -> [u8; 64] {
    let mut key = [0; 64];
    key[..32].copy_from_slice(&chart.0);
    key[32..].copy_from_slice(&digest.0);
    key
}

fn small_key(object: &SmallObject) -> [u8; 65] {
    let mut key = [0; 65];
    key[..64].copy_from_slice(&named_key(object.chart, object.digest));
    key[64] = match object.kind {
        SmallKind::Sheet => 0,
        SmallKind::Seeds => 1,
        SmallKind::Table => 2,
    };
    key
}

fn split_small_key(key: &[u8]) -> Option<SmallObject> {
    let (chart, rest) = key.split_first_chunk::<32>()?;
    let (digest, kind) = rest.split_first_chunk::<32>()?;
    let kind = match kind {
        [0] => SmallKind::Sheet,
        [1] => SmallKind::Seeds,
        [2] => SmallKind::Table,
        _ => return None,
    };
    Some(SmallObject { chart: ChartId(*chart), kind, digest: Digest(*digest) })
}

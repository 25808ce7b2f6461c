//! What waits to be named by an entry of the ledger, and how far the ledger was followed.
//!
//! ```text
//! record   record ‖ version                         -> chart, whose, since when, content, commitment
//! small    chart ‖ digest ‖ kind                    -> whose, since when
//! named    chart ‖ digest                           -> ()    digests of small objects that entries name
//! table    chart ‖ digest of seeds ‖ its digest     -> ()    tables that list seeds
//! redacted chart ‖ record                           -> an entry that redacts it, and its height
//! emergency chart                                   -> ()    charts whose emergencies are not all closed
//! cursor   "cursor"                                 -> height of the last block that was followed
//! ```
//!
//! # Invariants
//!
//! * An object that is not named by an entry has a line here, from before its first byte is stored
//!   until it is deleted. So losing this index loses no object: at worst some that nothing names stay.
//! * Each line counts in the usage of its sender and of the sender's organisation, and in no other way is
//!   anything counted.
//! * A table takes nothing from another one: seeds stay as long as any named table lists them.
//!
//! Not here: the objects.

use std::{
    path::Path,
    sync::{Mutex, MutexGuard},
};

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use keepwell_types::{
    access::RecordName,
    id::{ChartId, Commitment, Digest, Height, RecordId, Version},
    time::BlockTime,
};
use minicbor::{Decode, Encode};
use thiserror::Error;

use super::{
    CustodyError,
    quota::{Charge, Usage},
    store::{RecordObject, SmallKind, SmallObject},
};
use crate::config::CustodyLimits;

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
    /// Who sends it, and what it counts for.
    #[n(1)]
    pub charge: Charge,
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

/// A small object that no entry names yet.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
struct PendingSmall {
    /// Who sends it, and what it counts for.
    #[n(0)]
    charge: Charge,
    /// When it came, by this node's clock.
    #[n(1)]
    since: BlockTime,
}

/// A record whose redaction is to be looked at.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, PartialEq)]
pub struct PendingRedaction {
    /// The chart.
    #[n(0)]
    pub chart: ChartId,
    /// The record, in the version that the entry names.
    #[n(1)]
    pub record: RecordName,
    /// The block of the latest entry about it.
    #[n(2)]
    pub height: Height,
}

/// The index.
pub struct Pending {
    database: Database,
    /// Held while a line is replaced, so that both always agree.
    usage: Mutex<Usage>,
    record: Keyspace,
    small: Keyspace,
    named: Keyspace,
    table: Keyspace,
    redacted: Keyspace,
    emergency: Keyspace,
    cursor: Keyspace,
}

impl Pending {
    /// Opens the index in `folder`, or begins one there.
    pub fn open(folder: &Path) -> Result<Self, PendingError> {
        let database =
            Database::builder(folder).cache_size(CACHE_BYTES).worker_threads(1).open()?;
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default);
        let pending = Self {
            usage: Mutex::default(),
            record: keyspace("record")?,
            small: keyspace("small")?,
            named: keyspace("named")?,
            table: keyspace("table")?,
            redacted: keyspace("redacted")?,
            emergency: keyspace("emergency")?,
            cursor: keyspace("cursor")?,
            database,
        };
        pending.count()?;
        Ok(pending)
    }

    /// Counts all lines.
    fn count(&self) -> Result<(), PendingError> {
        let mut usage = self.usage();
        for line in self.record.iter() {
            usage.add(&decode_line::<PendingRecord>(&line.value()?)?.charge);
        }
        for line in self.small.iter() {
            usage.add(&decode_line::<PendingSmall>(&line.value()?)?.charge);
        }
        Ok(())
    }

    /// Bytes of all objects that no entry names yet.
    pub fn unnamed_bytes(&self) -> u64 {
        self.usage().bytes()
    }

    fn usage(&self) -> MutexGuard<'_, Usage> {
        self.usage.lock().expect("nobody panics while holding this lock")
    }

    /// The line of a record's object.
    pub fn record(&self, object: &RecordObject) -> Result<Option<PendingRecord>, PendingError> {
        match self.record.get(record_key(object.record, object.version))? {
            Some(bytes) => decode_line(&bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Begins, or begins again, the line of a record's object, if there is room for it.
    pub fn begin_record(
        &self,
        object: &RecordObject,
        line: &PendingRecord,
        limits: &CustodyLimits,
    ) -> Result<(), CustodyError> {
        let mut usage = self.usage();
        let before = self.record(object)?.map(|line| line.charge);
        recharge(&mut usage, before, line.charge, limits)?;
        let key = record_key(object.record, object.version);
        Ok(self.record.insert(key, keepwell_types::encode(line)).map_err(PendingError::from)?)
    }

    /// Notes how far a record's object has come, if it still waits.
    pub fn advance_record(
        &self,
        object: &RecordObject,
        body: Option<StoredBody>,
        commitment: Option<Commitment>,
    ) -> Result<(), PendingError> {
        // Nothing is counted anew, and nobody takes the line away in between.
        let _usage = self.usage();
        let Some(line) = self.record(object)?.filter(|line| line.chart == object.chart) else {
            return Ok(());
        };
        let line = PendingRecord { body, commitment, ..line };
        let key = record_key(object.record, object.version);
        Ok(self.record.insert(key, keepwell_types::encode(&line))?)
    }

    /// An entry commits to this capsule for the record: its object waits no longer, if it is that one.
    pub fn name_record(
        &self,
        object: &RecordObject,
        commitment: Commitment,
    ) -> Result<(), PendingError> {
        self.forget_record_if(object, |line| line.commitment == Some(commitment))
    }

    /// An entry names the record's object, or it was deleted.
    pub fn forget_record(&self, object: &RecordObject) -> Result<(), PendingError> {
        self.forget_record_if(object, |_| true)
    }

    fn forget_record_if(
        &self,
        object: &RecordObject,
        forget: impl Fn(&PendingRecord) -> bool,
    ) -> Result<(), PendingError> {
        let mut usage = self.usage();
        let line = self.record(object)?.filter(|line| line.chart == object.chart);
        if let Some(line) = line.filter(forget) {
            self.record.remove(record_key(object.record, object.version))?;
            usage.remove(&line.charge);
        }
        Ok(())
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

    /// Whether an entry names a small object, or a table that lists it.
    pub fn is_named(&self, object: &SmallObject) -> Result<bool, PendingError> {
        let key = named_key(object.chart, object.digest);
        if self.named.contains_key(key)? {
            return Ok(true);
        }
        for line in self.table.prefix(key) {
            let line = line.key()?;
            let table = line.get(key.len()..).and_then(|table| table.try_into().ok());
            let table = Digest(table.ok_or(PendingError::Damaged)?);
            if self.named.contains_key(named_key(object.chart, table))? {
                return Ok(true);
            }
        }
        Ok(false)
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
            batch.insert(&self.table, table_key(chart, seeds, table), []);
        }
        Ok(batch.commit()?)
    }

    /// A table was deleted that lists these seeds.
    pub fn forget_table(
        &self,
        chart: ChartId,
        table: Digest,
        seeds: impl IntoIterator<Item = Digest>,
    ) -> Result<(), PendingError> {
        let mut batch = self.database.batch();
        for seeds in seeds {
            batch.remove(&self.table, table_key(chart, seeds, table));
        }
        Ok(batch.commit()?)
    }

    /// A small object comes that no entry names, if there is room for it.
    pub fn begin_small(
        &self,
        object: &SmallObject,
        charge: Charge,
        since: BlockTime,
        limits: &CustodyLimits,
    ) -> Result<(), CustodyError> {
        let mut usage = self.usage();
        let before = self.small_line(object)?.map(|line| line.charge);
        recharge(&mut usage, before, charge, limits)?;
        let line = keepwell_types::encode(&PendingSmall { charge, since });
        Ok(self.small.insert(small_key(object), line).map_err(PendingError::from)?)
    }

    /// An entry names a small object, or it was deleted.
    pub fn forget_small(&self, object: &SmallObject) -> Result<(), PendingError> {
        let mut usage = self.usage();
        if let Some(line) = self.small_line(object)? {
            self.small.remove(small_key(object))?;
            usage.remove(&line.charge);
        }
        Ok(())
    }

    fn small_line(&self, object: &SmallObject) -> Result<Option<PendingSmall>, PendingError> {
        self.small.get(small_key(object))?.map(|line| decode_line(&line)).transpose()
    }

    /// An entry names the small objects of a chart with this digest.
    pub fn name_small(&self, chart: ChartId, digest: Digest) -> Result<(), PendingError> {
        self.named.insert(named_key(chart, digest), [])?;
        for kind in SmallKind::ALL {
            self.forget_small(&SmallObject { chart, kind, digest })?;
        }
        Ok(())
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
            let pending: PendingSmall = decode_line(&value)?;
            if pending.since < before && old.len() < max {
                old.push(split_small_key(&key).ok_or(PendingError::Damaged)?);
            }
        }
        Ok(old)
    }

    /// The glass was broken in a chart.
    pub fn put_emergency(&self, chart: ChartId) -> Result<(), PendingError> {
        Ok(self.emergency.insert(chart.0, [])?)
    }

    /// Charts in which an emergency may still have to be closed.
    pub fn emergencies(&self) -> Result<Vec<ChartId>, PendingError> {
        let chart = |key: &[u8]| <[u8; 32]>::try_from(key).map(ChartId);
        self.emergency
            .iter()
            .map(|line| chart(&line.key()?).map_err(|_| PendingError::Damaged))
            .collect()
    }

    /// All emergencies of a chart are closed.
    pub fn forget_emergency(&self, chart: ChartId) -> Result<(), PendingError> {
        Ok(self.emergency.remove(chart.0)?)
    }

    /// An entry approves the redaction of a record: whether it is redacted by now is in the state.
    pub fn put_redaction(&self, redaction: PendingRedaction) -> Result<(), PendingError> {
        let _lines = self.usage();
        let key = redaction_key(redaction.chart, redaction.record.record);
        Ok(self.redacted.insert(key, keepwell_types::encode(&redaction))?)
    }

    /// The records whose redaction is still to be looked at.
    pub fn redactions(&self) -> Result<Vec<PendingRedaction>, PendingError> {
        self.redacted.iter().map(|line| decode_line(&line.value()?)).collect()
    }

    /// A record's redaction was looked at, unless a later entry asks to look again.
    pub fn forget_redaction(&self, seen: &PendingRedaction) -> Result<(), PendingError> {
        let _lines = self.usage();
        let key = redaction_key(seen.chart, seen.record.record);
        let Some(line) = self.redacted.get(key)? else { return Ok(()) };
        if decode_line::<PendingRedaction>(&line)? == *seen {
            self.redacted.remove(key)?;
        }
        Ok(())
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

/// Counts `charge` in the place of `before`, or leaves it at that if there is no room.
fn recharge(
    usage: &mut Usage,
    before: Option<Charge>,
    charge: Charge,
    limits: &CustodyLimits,
) -> Result<(), CustodyError> {
    if let Some(before) = &before {
        usage.remove(before);
    }
    let room = usage.check(&charge, limits);
    let counted = match room {
        Ok(()) => Some(charge),
        Err(_) => before,
    };
    if let Some(counted) = &counted {
        usage.add(counted);
    }
    Ok(room?)
}

fn decode_line<T>(bytes: &[u8]) -> Result<T, PendingError>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
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

fn table_key(chart: ChartId, seeds: Digest, table: Digest) -> [u8; 96] {
    let mut key = [0; 96];
    key[..64].copy_from_slice(&named_key(chart, seeds));
    key[64..].copy_from_slice(&table.0);
    key
}

fn redaction_key(chart: ChartId, record: RecordId) -> [u8; 64] {
    let mut key = [0; 64];
    key[..32].copy_from_slice(&chart.0);
    key[32..].copy_from_slice(&record.0);
    key
}

fn small_key(object: &SmallObject) -> [u8; 65] {
    let mut key = [0; 65];
    key[..64].copy_from_slice(&named_key(object.chart, object.digest));
    key[64] = match object.kind {
        SmallKind::Sheet => 0,
        SmallKind::Seeds => 1,
        SmallKind::Table => 2,
        SmallKind::Words => 3,
        SmallKind::Guardians => 4,
        SmallKind::Share => 5,
        SmallKind::Ahead => 6,
        SmallKind::Escrow => 7,
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
        [3] => SmallKind::Words,
        [4] => SmallKind::Guardians,
        [5] => SmallKind::Share,
        [6] => SmallKind::Ahead,
        [7] => SmallKind::Escrow,
        _ => return None,
    };
    Some(SmallObject { chart: ChartId(*chart), kind, digest: Digest(*digest) })
}

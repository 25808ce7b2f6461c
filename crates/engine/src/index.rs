//! Where things are: an index of final blocks, derived from them and never the truth. Of a node that began from the state
//! of others it has what came before, too, which only others can tell again.
//!
//! ```text
//! log      chart ‖ position      -> location ‖ record entry, if the outcome added a record
//! command  id                    -> window end ‖ location
//! block    height                -> block id ‖ outcomes
//! history  node position         -> digest, of the mountain range of block ids
//! handover first epoch          -> height ‖ validators, where others take over
//! id       height                -> block id, of blocks that are needed and not kept
//! tip      "tip"                 -> height
//! floor    "floor"               -> the block that this node began from, if that is not the first
//! ```
//!
//! # Invariants
//!
//! * A block is written whole or not at all, in the order of heights.
//! * Being ahead of the state is harmless: positions are bounded by the chart's log in the state, and
//!   what stands at a position of a final chain never changes.
//! * The engine is told that a block is done only after [`Index::persist`], so after a crash it brings
//!   every block again that the index lost.
//!
//! Sequential writes matter more than reads here, which is why this is an LSM tree: a B-tree would
//! rewrite one page for each of thousands of scattered charts in every block.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use keepwell_ledger::{execute::Leaf, state::LogLine};
use keepwell_merkle::{
    block::block_id,
    handover::Handover,
    range::{NodeSource, Peaks},
};
use keepwell_types::{
    encoding::List,
    id::{BlockId, ChartId, CommandId, Digest, Height, Location, LogPosition},
    limits::BLOCK_COMMANDS_MAX,
    outcome::Outcome,
    validators::ValidatorSet,
};
use minicbor::{Decode, Encode};
use thiserror::Error;

use crate::{
    replay::ReplayError,
    speculation::ExecutedBlock,
    sync::{Boundary, Floor, Tip},
};

/// Bytes of cache for the index of one validator.
const CACHE_BYTES: u64 = 16 * 1024 * 1024;
/// The one key of the tip.
const TIP: [u8; 3] = *b"tip";
/// The one key of the floor.
const FLOOR: [u8; 5] = *b"floor";
/// Bytes of an encoded line of the index.
const LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The index could not be read or written.
#[derive(Debug, Error)]
pub enum IndexError {
    /// The disk, or the files on it.
    #[error(
        "the index cannot be read or written: {0}; remove its folder and start again: it is built from the blocks; where this node began from the state of others, remove what is in its folder but the sealed objects, and start it with `archive = true`"
    )]
    Storage(#[from] fjall::Error),
    /// A line that cannot be read.
    #[error(
        "a line of the index is damaged; remove its folder and start again: it is built from the blocks; where this node began from the state of others, remove what is in its folder but the sealed objects, and start it with `archive = true`"
    )]
    Damaged,
    /// The index must be built again, and a block for it is missing.
    #[error(
        "block {height} is missing, so the index cannot be built; restore the node from a backup or a peer"
    )]
    Incomplete {
        /// The block's height.
        height: u64,
    },
    /// The index must be built again, and the blocks are not what validators agreed on.
    #[error(transparent)]
    Replay(#[from] ReplayError),
}

/// A final block.
#[derive(Clone, Debug, Decode, Encode)]
pub struct BlockLine {
    /// Its id.
    #[n(0)]
    pub id: BlockId,
    /// Its outcomes.
    #[n(1)]
    pub outcomes: List<Outcome, BLOCK_COMMANDS_MAX>,
}

/// The end of an epoch, after which others validate.
#[derive(Clone, Debug, Decode, Encode)]
pub struct HandoverLine {
    /// The last block of the epoch.
    #[n(0)]
    pub height: Height,
    /// Who validates after it.
    #[n(1)]
    pub set: ValidatorSet,
}

/// The index of one node.
#[derive(Clone)]
pub struct Index {
    database: Database,
    log: Keyspace,
    command: Keyspace,
    block: Keyspace,
    history: Keyspace,
    handover: Keyspace,
    id: Keyspace,
    tip: Keyspace,
    floor: Keyspace,
}

impl Index {
    /// Opens the index in `folder`, or begins one there.
    pub fn open(folder: &Path) -> Result<Self, IndexError> {
        let database =
            Database::builder(folder).cache_size(CACHE_BYTES).worker_threads(1).open()?;
        let keyspace = |name| database.keyspace(name, KeyspaceCreateOptions::default);
        Ok(Self {
            log: keyspace("log")?,
            command: keyspace("command")?,
            block: keyspace("block")?,
            history: keyspace("history")?,
            handover: keyspace("handover")?,
            id: keyspace("id")?,
            tip: keyspace("tip")?,
            floor: keyspace("floor")?,
            database,
        })
    }

    /// The newest block that it holds; 0 for none.
    pub fn height(&self) -> Result<Height, IndexError> {
        let Some(bytes) = self.tip.get(TIP)? else { return Ok(Height(0)) };
        let bytes = <[u8; 8]>::try_from(&*bytes).map_err(|_| IndexError::Damaged)?;
        Ok(Height(u64::from_be_bytes(bytes)))
    }

    /// Adds a final block, unless it is here already.
    pub fn apply(&self, id: BlockId, executed: &ExecutedBlock) -> Result<(), IndexError> {
        if executed.height <= self.height()? {
            return Ok(());
        }
        let mut batch = self.database.batch();
        for leaf in &executed.leaves {
            batch.insert(&self.log, log_key(leaf), keepwell_types::encode(&leaf.line));
        }
        for (command, outcome) in executed.ids.iter().zip(&executed.outcomes) {
            if let Some(command) = command {
                batch.insert(&self.command, command.0, keepwell_types::encode(&outcome.location));
            }
        }
        let line = BlockLine {
            id,
            outcomes: List::from_vec(executed.outcomes.clone()).map_err(|_| IndexError::Damaged)?,
        };
        batch.insert(&self.block, executed.height.0.to_be_bytes(), keepwell_types::encode(&line));
        for (position, digest) in &executed.history {
            batch.insert(&self.history, position.to_be_bytes(), digest.0);
        }
        if let Some(set) = &executed.next {
            let line = HandoverLine { height: executed.height, set: set.clone() };
            batch.insert(&self.handover, set.since.to_be_bytes(), keepwell_types::encode(&line));
        }
        batch.insert(&self.tip, TIP, executed.height.0.to_be_bytes());
        Ok(batch.commit()?)
    }

    /// Makes everything applied so far durable.
    pub fn persist(&self) -> Result<(), IndexError> {
        Ok(self.database.persist(PersistMode::SyncData)?)
    }

    /// What stands at a position of a chart's log.
    pub fn log(
        &self,
        chart: ChartId,
        position: LogPosition,
    ) -> Result<Option<LogLine>, IndexError> {
        read(&self.log, position_key(chart, position))
    }

    /// All lines of charts after one, in the order of charts and positions.
    pub(crate) fn lines_after(
        &self,
        chart: Option<ChartId>,
    ) -> impl Iterator<Item = Result<(ChartId, LogLine), IndexError>> + use<> {
        let from = chart.map_or([0; 40], |it| position_key(it, LogPosition(u64::MAX)));
        self.log.range(from..).map(|line| {
            let (key, value) = line.into_inner()?;
            let chart = key.get(..32).and_then(|it| it.try_into().ok());
            Ok((ChartId(chart.ok_or(IndexError::Damaged)?), parse(&value)?))
        })
    }

    /// The first chart with a log, or the next one after a chart, in the order of their ids.
    pub fn chart_after(&self, chart: Option<ChartId>) -> Result<Option<ChartId>, IndexError> {
        // No log is so long.
        let from = chart.map_or([0; 40], |it| position_key(it, LogPosition(u64::MAX)));
        let Some(line) = self.log.range(from..).next() else { return Ok(None) };
        let key = line.key()?;
        let chart = key.get(..32).and_then(|it| it.try_into().ok()).ok_or(IndexError::Damaged)?;
        Ok(Some(ChartId(chart)))
    }

    /// Where the command with this id stands.
    pub fn command(&self, id: CommandId) -> Result<Option<Location>, IndexError> {
        read(&self.command, id.0)
    }

    /// Where others took over, with an epoch from `since` on, in order.
    pub fn handovers(&self, since: u64) -> Result<Vec<HandoverLine>, IndexError> {
        let lines = self.handover.range(since.to_be_bytes()..);
        lines.map(|line| parse(&line.value()?)).collect()
    }

    /// The id of a final block, where it is known here.
    pub fn id(&self, height: Height) -> Result<Option<BlockId>, IndexError> {
        if let Some(block) = self.block(height)? {
            return Ok(Some(block.id));
        }
        let Some(bytes) = self.id.get(height.0.to_be_bytes())? else { return Ok(None) };
        let bytes = <[u8; 32]>::try_from(&*bytes).map_err(|_| IndexError::Damaged)?;
        Ok(Some(BlockId(bytes)))
    }

    /// The block that this node began from, if that is not the first.
    pub fn floor(&self) -> Result<Option<Floor>, IndexError> {
        read(&self.floor, FLOOR)
    }

    /// Notes durably what this node begins from; [`Self::begin_at`] says that all of it is here.
    pub(crate) fn set_floor(&self, floor: &Floor) -> Result<(), IndexError> {
        self.floor.insert(FLOOR, keepwell_types::encode(floor))?;
        self.persist()
    }

    /// Takes the whole log of a chart in, up to the floor.
    pub(crate) fn put_log(&self, chart: ChartId, lines: &[LogLine]) -> Result<(), IndexError> {
        let mut batch = self.database.batch();
        for (at, line) in (0..).map(LogPosition).zip(lines) {
            batch.insert(&self.log, position_key(chart, at), keepwell_types::encode(line));
        }
        Ok(batch.commit()?)
    }

    /// All logs up to the floor are here: goes on from there. `history` has the ids of all blocks before it.
    pub(crate) fn begin_at(&self, floor: &Floor, history: &Peaks) -> Result<(), IndexError> {
        let Tip { header, boundary, .. } = &floor.tip;
        let mut batch = self.database.batch();
        for (position, digest) in history.placed() {
            batch.insert(&self.history, position.to_be_bytes(), digest.0);
        }
        for Handover { header, set, .. } in floor.handovers.iter() {
            let line = HandoverLine { height: header.height, set: set.clone() };
            batch.insert(&self.handover, set.since.to_be_bytes(), keepwell_types::encode(&line));
        }
        let height = header.height.0;
        batch.insert(&self.id, height.to_be_bytes(), block_id(header).0);
        if let Some(Boundary { id, path }) = boundary {
            batch.insert(&self.id, path.index.to_be_bytes(), id.0);
        }
        batch.insert(&self.tip, TIP, height.to_be_bytes());
        batch.commit()?;
        self.persist()
    }

    /// Says that blocks up to a height are here.
    #[cfg(test)]
    pub(crate) fn set_height(&self, height: Height) -> Result<(), IndexError> {
        Ok(self.tip.insert(TIP, height.0.to_be_bytes())?)
    }

    /// How many charts have a log.
    pub(crate) fn charts(&self) -> Result<u64, IndexError> {
        let (mut charts, mut last) = (0, None);
        while let Some(chart) = self.chart_after(last)? {
            last = Some(chart);
            charts += 1;
        }
        Ok(charts)
    }

    /// A final block's id and outcomes.
    pub fn block(&self, height: Height) -> Result<Option<BlockLine>, IndexError> {
        read(&self.block, height.0.to_be_bytes())
    }
}

impl NodeSource for Index {
    fn node(&self, position: u64) -> Option<Digest> {
        let bytes = self.history.get(position.to_be_bytes()).ok()??;
        <[u8; 32]>::try_from(&*bytes).ok().map(Digest)
    }
}

fn log_key(leaf: &Leaf) -> [u8; 40] {
    position_key(leaf.chart, leaf.position)
}

fn position_key(chart: ChartId, position: LogPosition) -> [u8; 40] {
    let mut key = [0; 40];
    key[..32].copy_from_slice(&chart.0);
    key[32..].copy_from_slice(&position.0.to_be_bytes());
    key
}

fn read<T>(keyspace: &Keyspace, key: impl AsRef<[u8]>) -> Result<Option<T>, IndexError>
where
    T: Encode<()> + for<'b> Decode<'b, ()>,
{
    keyspace.get(key)?.map(|bytes| parse(&bytes)).transpose()
}

fn parse<T: for<'b> Decode<'b, ()> + Encode<()>>(bytes: &[u8]) -> Result<T, IndexError> {
    keepwell_types::decode(bytes, LINE_BYTES_MAX).map_err(|_| IndexError::Damaged)
}

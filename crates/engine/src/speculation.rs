//! What executing recent blocks brought, kept until the index has it.
//!
//! The engine executes blocks before they are final, on several branches at once. State that is in the
//! database follows a branch by itself; what is outside of it (records, outcomes, ids) follows here.
//!
//! # Invariants
//!
//! * A block is in here from its execution until the index holds it, so a walk from any live block
//!   towards genesis meets every block that the index lacks.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard},
};

use keepwell_ledger::{execute::Leaf, state::RecordEntry};
use keepwell_types::{
    id::{BlockId, ChartId, CommandId, Digest, Height, LogPosition},
    outcome::Outcome,
    validators::ValidatorSet,
};

/// What executing one block brought, beside changes of the state.
#[derive(Debug)]
pub struct ExecutedBlock {
    /// The block's height.
    pub height: Height,
    /// The block before it.
    pub parent: BlockId,
    /// Its outcomes, in order.
    pub outcomes: Vec<Outcome>,
    /// Ids of its commands.
    pub ids: Vec<Option<CommandId>>,
    /// What it appended to logs of charts.
    pub leaves: Vec<Leaf>,
    /// Nodes that the parent's id brought to the history, with their positions.
    pub history: Vec<(u64, Digest)>,
    /// Who validates after it, where that changes with it.
    pub next: Option<ValidatorSet>,
    records: BTreeMap<(ChartId, LogPosition), usize>,
}

impl ExecutedBlock {
    /// Gathers what executing a block brought.
    pub fn new(
        height: Height,
        parent: BlockId,
        outcomes: Vec<Outcome>,
        ids: Vec<Option<CommandId>>,
        leaves: Vec<Leaf>,
        history: Vec<(u64, Digest)>,
        next: Option<ValidatorSet>,
    ) -> Self {
        let records = leaves
            .iter()
            .enumerate()
            .filter(|(_, leaf)| leaf.line.record.is_some())
            .map(|(index, leaf)| ((leaf.chart, leaf.position), index))
            .collect();
        Self { height, parent, outcomes, ids, leaves, history, next, records }
    }

    fn record(&self, chart: ChartId, position: LogPosition) -> Option<&RecordEntry> {
        self.leaves[*self.records.get(&(chart, position))?].line.record.as_ref()
    }
}

/// Executed blocks that the index lacks.
#[derive(Default)]
pub struct Speculation {
    blocks: Mutex<BTreeMap<BlockId, Arc<ExecutedBlock>>>,
}

impl Speculation {
    fn blocks(&self) -> MutexGuard<'_, BTreeMap<BlockId, Arc<ExecutedBlock>>> {
        self.blocks.lock().expect("nobody panics while holding this lock")
    }

    /// Remembers what executing block `id` brought.
    pub fn insert(&self, id: BlockId, executed: ExecutedBlock) {
        self.blocks().insert(id, Arc::new(executed));
    }

    /// What executing block `id` brought, if it is remembered.
    pub fn block(&self, id: BlockId) -> Option<Arc<ExecutedBlock>> {
        self.blocks().get(&id).cloned()
    }

    /// The record at a position, if a block from `tip` back to where memory ends added it.
    pub fn record(
        &self,
        tip: BlockId,
        chart: ChartId,
        position: LogPosition,
    ) -> Option<RecordEntry> {
        let blocks = self.blocks();
        let mut at = blocks.get(&tip);
        while let Some(block) = at {
            if let Some(record) = block.record(chart, position) {
                return Some(record.clone());
            }
            at = blocks.get(&block.parent);
        }
        None
    }

    /// Ids of the commands in the blocks from `tip` back to where memory ends.
    pub fn ids(&self, tip: BlockId) -> BTreeSet<CommandId> {
        let blocks = self.blocks();
        let mut ids = BTreeSet::new();
        let mut at = blocks.get(&tip);
        while let Some(block) = at {
            ids.extend(block.ids.iter().flatten());
            at = blocks.get(&block.parent);
        }
        ids
    }

    /// Forgets blocks up to `height`, which the index holds now.
    pub fn forget(&self, height: Height) {
        self.blocks().retain(|_, block| block.height > height);
    }
}

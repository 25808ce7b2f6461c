//! Executing final blocks again, from the first: how what is derived is built anew and checked.
//!
//! Blocks are the truth. A replay holds the state in memory, needs no database, and recomputes for each
//! block the outcomes and the history that its header commits to. A node replays when its index is
//! gone; `keepwell fsck` replays to compare everything.

use std::collections::BTreeMap;

use keepwell_crypto::command::{validators_digest, verify_all};
use keepwell_ledger::{
    BlockContext,
    execute::{ApplyError, CheckedEntry, Execution, Inadmissible, units},
    state::{Key, Value},
};
use keepwell_types::{
    DecodeError,
    command::Entry,
    genesis::Genesis,
    id::{BlockId, ChainId, ChartId, Height, LogPosition},
    limits::COMMAND_BYTES_MAX,
};
use thiserror::Error;

use crate::{
    block::{Block, RawEntry},
    protocol::{Known, Outdated},
    speculation::ExecutedBlock,
};

/// A block that cannot be what validators agreed on.
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ReplayError {
    /// It does not follow on the block before it.
    #[error("block {height} does not follow on block {parent}")]
    NotNext {
        /// Its height.
        height: Height,
        /// The block that was replayed last.
        parent: BlockId,
    },
    /// An entry cannot be read.
    #[error("an entry of block {height} is damaged: {source}")]
    Damaged {
        /// Its height.
        height: Height,
        /// What is wrong.
        source: DecodeError,
    },
    /// A signature is bad.
    #[error("a signature in block {height} is bad")]
    Signature {
        /// Its height.
        height: Height,
    },
    /// An entry makes the block invalid.
    #[error("block {height} has an entry that no validator accepts: {reason}")]
    Inadmissible {
        /// Its height.
        height: Height,
        /// Why.
        reason: Inadmissible,
    },
    /// The outcomes or the history are not what the header says.
    #[error("the outcomes of block {height} are not what its header commits to")]
    Roots {
        /// Its height.
        height: Height,
    },
    /// Its rules are not known here.
    #[error(transparent)]
    Outdated(#[from] Outdated),
    /// Others validate after it than the header says.
    #[error("the validators after block {height} are not those that its header commits to")]
    Next {
        /// Its height.
        height: Height,
    },
}

/// The state after the blocks replayed so far.
pub struct Replay {
    known: Known,
    chain: ChainId,
    genesis: Genesis,
    parent: BlockId,
    next: Height,
    state: BTreeMap<Key, Value>,
    records: BTreeMap<(ChartId, LogPosition), Value>,
}

impl Replay {
    /// Begins after `first`, the block of the genesis file, which all start from, with the rules that are `known`.
    pub const fn new(genesis: Genesis, first: &Block, known: Known) -> Self {
        Self {
            known,
            chain: first.header().chain,
            genesis,
            parent: first.id(),
            next: Height(1),
            state: BTreeMap::new(),
            records: BTreeMap::new(),
        }
    }

    /// Executes the next block.
    pub fn block(&mut self, block: &Block) -> Result<ExecutedBlock, ReplayError> {
        let header = block.header();
        let height = header.height;
        if height != self.next || header.parent != self.parent {
            return Err(ReplayError::NotNext { height, parent: self.parent });
        }
        let entries = read(block.entries(), height)?;
        let context = BlockContext {
            chain: self.chain,
            parameters: self.genesis.parameters.clone(),
            height,
            time: header.time,
            parent: self.parent,
        };
        let mut execution = match height {
            Height(1) => Execution::founding(context, &self.genesis),
            _ => Execution::new(context),
        };
        execution.load(Key::Protocol, self.value(&Key::Protocol));
        let plan = execution.view().protocol().expect("its key was loaded in the line before");
        self.known.check(plan, height)?;
        for unit in units(&entries) {
            while let Err(error) = execution.apply_unit(unit) {
                match error {
                    ApplyError::Lacks(key) => {
                        let value = self.value(&key);
                        execution.load(key, value);
                    }
                    ApplyError::Inadmissible(reason) => {
                        return Err(ReplayError::Inadmissible { height, reason });
                    }
                }
            }
        }
        let executed = loop {
            match execution.finish() {
                Ok(executed) => break executed,
                Err((unfinished, key)) => {
                    execution = unfinished;
                    let value = self.value(&key);
                    execution.load(key, value);
                }
            }
        };
        if executed.outcome_root != header.outcomes || executed.history_root != header.history {
            return Err(ReplayError::Roots { height });
        }
        if header.next != executed.next.as_ref().map(validators_digest) {
            return Err(ReplayError::Next { height });
        }
        for (key, value) in executed.changes {
            match value {
                Some(value) => drop(self.state.insert(key, value)),
                None => drop(self.state.remove(&key)),
            }
        }
        for leaf in &executed.leaves {
            if let Some(record) = &leaf.line.record {
                let record = Value::Record(record.clone());
                self.records.insert((leaf.chart, leaf.position), record);
            }
        }
        self.parent = block.id();
        self.next = Height(height.0 + 1);
        Ok(ExecutedBlock::new(
            height,
            header.parent,
            executed.outcomes,
            entries.iter().map(CheckedEntry::id).collect(),
            executed.leaves,
            executed.history_nodes,
            executed.next,
        ))
    }

    fn value(&self, key: &Key) -> Option<Value> {
        if let Key::Record(chart, position) = key {
            return self.records.get(&(*chart, *position)).cloned();
        }
        self.state.get(key).cloned()
    }

    /// The state, in the order of its keys.
    pub fn state(&self) -> impl Iterator<Item = (&Key, &Value)> {
        self.state.iter()
    }
}

fn read(entries: &[RawEntry], height: Height) -> Result<Vec<CheckedEntry>, ReplayError> {
    let mut checked = Vec::with_capacity(entries.len());
    let mut signed = Vec::new();
    for (index, raw) in entries.iter().enumerate() {
        let entry = keepwell_types::decode(raw.bytes(), COMMAND_BYTES_MAX)
            .map_err(|source| ReplayError::Damaged { height, source })?;
        match entry {
            Entry::Genesis(payload) => checked.push(CheckedEntry::genesis(payload, index as u32)),
            Entry::Signed(command) => signed.push(command),
        }
    }
    // A block has genesis entries or signed ones, never both: execution refuses the mixture.
    for verified in verify_all(signed) {
        let verified = verified.map_err(|_| ReplayError::Signature { height })?;
        checked.push(CheckedEntry::Signed(verified));
    }
    Ok(checked)
}

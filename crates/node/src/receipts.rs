//! Making receipts from final blocks.
//!
//! # Invariants
//!
//! * A receipt is made from what is final and is checked by whoever gets it: nothing here is trusted.
//! * The trees of a block are hashed once for all receipts of the block that are asked for in a row.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use keepwell_engine::{
    block::{Block, RawEntry},
    core::Core,
    reader::{ReadError, Reader, entry_at},
};
use keepwell_merkle::{
    block::outcome_leaf,
    range,
    receipt::{CertifiedHeader, RECEIPT_VERSION, Receipt},
};
use keepwell_types::{
    id::{Digest, Height, Location},
    outcome::Outcome,
};
use tokio::{sync::OnceCell, time::sleep};

/// Blocks whose trees are kept at hand.
const BLOCKS: usize = 16;
/// How often a block's certificate is looked for, and the pauses in between, which grow: it may come a
/// moment after the block.
const PAUSE_MIN: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(50);
const PAUSES: usize = 60;

/// A block with all that its receipts need.
struct Trees {
    block: Block,
    outcomes: Vec<Outcome>,
    entry_nodes: Vec<Digest>,
    outcome_nodes: Vec<Digest>,
    certified: CertifiedHeader,
}

/// The trees of one block, once someone has made them.
type Cell = Arc<OnceCell<Arc<Trees>>>;

/// Makes receipts.
pub struct Receipts {
    core: Arc<Core>,
    reader: Arc<dyn Reader>,
    recent: Mutex<VecDeque<(Height, Cell)>>,
}

impl Receipts {
    /// From these stores.
    pub fn new(core: Arc<Core>, reader: Arc<dyn Reader>) -> Self {
        Self { core, reader, recent: Mutex::default() }
    }

    /// The receipt of the entry at `location`, or nothing if there is none in this node's chain.
    #[tracing::instrument(name = "receipt", skip_all)]
    pub async fn receipt(&self, location: Location) -> Result<Option<Receipt>, ReadError> {
        let Some(trees) = self.trees(location.height).await? else { return Ok(None) };
        let index = location.index as usize;
        let Some(outcome) = trees.outcomes.get(index) else { return Ok(None) };
        let count = trees.outcomes.len() as u64;
        let path = |nodes: &[Digest]| {
            range::prove(nodes, count, index as u64).map_err(|_| ReadError::Storage)
        };
        Ok(Some(Receipt {
            version: RECEIPT_VERSION,
            entry: entry_at(&trees.block, location.index)?,
            outcome: outcome.clone(),
            entry_path: path(&trees.entry_nodes)?,
            outcome_path: path(&trees.outcome_nodes)?,
            certified: trees.certified.clone(),
            handovers: None,
        }))
    }

    async fn trees(&self, height: Height) -> Result<Option<Arc<Trees>>, ReadError> {
        if height == Height(0) || height > self.core.tip().height() {
            return Ok(None);
        }
        // Whoever comes first makes them, the others of the same block wait for that.
        let cell = self.cell(height);
        let trees = cell.get_or_try_init(|| self.make(height)).await?;
        Ok(Some(trees.clone()))
    }

    fn cell(&self, height: Height) -> Cell {
        let mut recent = self.recent.lock().expect("nobody panics while holding this lock");
        if let Some((_, cell)) = recent.iter().find(|(at, _)| *at == height) {
            return cell.clone();
        }
        if recent.len() == BLOCKS {
            recent.pop_front();
        }
        let cell = Arc::new(OnceCell::new());
        recent.push_back((height, cell.clone()));
        cell
    }

    async fn make(&self, height: Height) -> Result<Arc<Trees>, ReadError> {
        let line = self.core.index.block(height).map_err(|_| ReadError::Storage)?;
        let outcomes = line.ok_or(ReadError::Storage)?.outcomes.into_vec();
        let block = self.reader.block(height).await?;
        let entries: Vec<_> = block.entries().iter().map(RawEntry::leaf).collect();
        let leaves: Vec<_> = outcomes.iter().map(outcome_leaf).collect();
        Ok(Arc::new(Trees {
            certified: once_certified(|| self.reader.certified(height)).await?,
            entry_nodes: range::nodes(&entries),
            outcome_nodes: range::nodes(&leaves),
            block,
            outcomes,
        }))
    }
}

/// What a certificate proves, once there is one.
pub async fn once_certified<T, F: Future<Output = Result<T, ReadError>>>(
    read: impl Fn() -> F,
) -> Result<T, ReadError> {
    let mut pause = PAUSE_MIN;
    for _ in 0..PAUSES {
        match read().await {
            Err(ReadError::NotHere) => sleep(pause).await,
            found => return found,
        }
        pause = PAUSE_MAX.min(2 * pause);
    }
    read().await
}

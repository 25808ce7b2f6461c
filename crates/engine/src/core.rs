//! What the parts of one validator share: the founding facts, the commands that wait, what is final.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use keepwell_crypto::command::chain_id;
use keepwell_merkle::block::block_id;
use keepwell_types::{
    block::Header,
    genesis::Genesis,
    id::{BlockId, ChainId, ChartId, CommandId, Height, LogPosition},
    outcome::Outcome,
    time::BlockTime,
};
use tokio::sync::{broadcast, oneshot, watch};

use crate::{
    block::{Block, RawEntry},
    index::{Index, IndexError},
    mempool::Mempool,
    sets::Sets,
    speculation::Speculation,
};

/// Headers of the newest blocks that are kept at hand.
const RECENT_HEADERS: usize = 64;
/// Final blocks that a slow listener may lag behind before it misses some.
const EVENTS: usize = 256;

/// The newest final block that is executed here.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Tip {
    /// Its id.
    pub id: BlockId,
    /// Its header.
    pub header: Header,
}

impl Tip {
    /// Its height.
    pub const fn height(&self) -> Height {
        self.header.height
    }

    /// Its time.
    pub const fn time(&self) -> BlockTime {
        self.header.time
    }
}

/// A final block, as listeners hear of it.
#[derive(Clone, Debug)]
pub struct FinalBlock {
    /// The block.
    pub tip: Tip,
    /// What it appended to logs of charts.
    pub touched: Arc<[(ChartId, LogPosition)]>,
    /// Its outcomes, in order.
    pub outcomes: Arc<[Outcome]>,
}

/// Why waiting for a command's outcome ended without one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum NoOutcome {
    /// Its window passed before a block had it.
    Expired,
}

type Waiter = oneshot::Sender<Result<Outcome, NoOutcome>>;

/// Shared by everything in one validator.
pub struct Core {
    /// The founding file.
    pub genesis: Genesis,
    /// Its digest.
    pub chain: ChainId,
    /// The block that all start from.
    pub genesis_block: Block,
    /// The entries of block 1.
    pub genesis_entries: Arc<[RawEntry]>,
    /// Commands that wait.
    pub mempool: Mempool,
    /// Executed blocks that the index lacks.
    pub speculation: Speculation,
    /// Where final things are.
    pub index: Index,
    /// Who validates in which epoch.
    pub sets: Arc<Sets>,
    tip: watch::Sender<Tip>,
    recent: Mutex<VecDeque<Header>>,
    waiters: Mutex<BTreeMap<CommandId, Vec<Waiter>>>,
    events: broadcast::Sender<FinalBlock>,
    abstains: AtomicBool,
}

impl Core {
    /// Begins at the genesis block, or at the floor where nothing came after it yet.
    pub fn new(genesis: Genesis, genesis_block: Block, index: Index) -> Result<Self, IndexError> {
        let sets = Sets::new(&genesis);
        for line in index.handovers(0)? {
            sets.follow(line.height, Some(&line.set));
        }
        let height = index.height()?;
        sets.follow(height, None);
        let genesis_entries = genesis
            .entries
            .iter()
            .map(|payload| {
                RawEntry::encode(&keepwell_types::command::Entry::Genesis(payload.clone()))
            })
            .collect();
        let floor = index.floor()?.map(|it| it.tip.header).filter(|it| it.height == height);
        let header = floor.unwrap_or_else(|| genesis_block.header().clone());
        let tip = Tip { id: block_id(&header), header };
        Ok(Self {
            chain: chain_id(&genesis),
            genesis,
            genesis_entries,
            mempool: Mempool::default(),
            speculation: Speculation::default(),
            index,
            sets: Arc::new(sets),
            recent: Mutex::new(VecDeque::from([tip.header.clone()])),
            genesis_block,
            tip: watch::Sender::new(tip),
            waiters: Mutex::default(),
            events: broadcast::Sender::new(EVENTS),
            abstains: AtomicBool::new(false),
        })
    }

    /// The blocks up to this one were executed when it ran before: what it is asked ahead of the next one is answered from it.
    pub(crate) fn goes_on_from(&self, header: Header) {
        self.recent().push_back(header.clone());
        self.tip.send_replace(Tip { id: block_id(&header), header });
    }

    /// The block that this validator began from: it has none before.
    pub fn floor(&self) -> Result<Height, IndexError> {
        Ok(self.index.floor()?.map_or(Height(0), |it| it.tip.header.height))
    }

    /// Whether this validator may have forgotten votes, and does not vote yet.
    pub fn abstains(&self) -> bool {
        self.abstains.load(Ordering::Relaxed)
    }

    pub(crate) fn set_abstains(&self, abstains: bool) {
        self.abstains.store(abstains, Ordering::Relaxed);
    }

    /// The newest final block that is executed here.
    pub fn tip(&self) -> Tip {
        self.tip.borrow().clone()
    }

    /// Follows the tip.
    pub fn watch_tip(&self) -> watch::Receiver<Tip> {
        self.tip.subscribe()
    }

    /// Hears of each final block from now on.
    pub fn events(&self) -> broadcast::Receiver<FinalBlock> {
        self.events.subscribe()
    }

    /// Hears of the outcome of a command, once.
    pub fn wait_for(&self, id: CommandId) -> oneshot::Receiver<Result<Outcome, NoOutcome>> {
        let (sender, receiver) = oneshot::channel();
        self.waiters().entry(id).or_default().push(sender);
        receiver
    }

    /// Forgets those who no longer wait for a command.
    pub fn forget_waiters(&self, id: CommandId) {
        let mut waiters = self.waiters();
        let Some(waiting) = waiters.get_mut(&id) else { return };
        waiting.retain(|waiter| !waiter.is_closed());
        if waiting.is_empty() {
            waiters.remove(&id);
        }
    }

    /// The header of a recent block with this state root.
    pub fn header_with_state(&self, root: [u8; 32]) -> Option<Header> {
        self.recent().iter().rev().find(|header| header.state.0 == root).cloned()
    }

    /// A block is final, executed and in the index: tells everyone who waits for it.
    pub fn finished(&self, block: FinalBlock, ids: &[Option<CommandId>]) {
        self.mempool.remove(ids.iter().flatten().copied());
        let expired = self.mempool.expire(block.tip.time());
        let mut recent = self.recent();
        if recent.len() == RECENT_HEADERS {
            recent.pop_front();
        }
        recent.push_back(block.tip.header.clone());
        drop(recent);
        // The tip first: whoever hears of an outcome finds its block.
        self.tip.send_replace(block.tip.clone());
        let mut waiters = self.waiters();
        for (id, outcome) in ids.iter().zip(block.outcomes.iter()) {
            for waiter in id.and_then(|id| waiters.remove(&id)).unwrap_or_default() {
                // Whoever gave up waiting needs no answer.
                let _ = waiter.send(Ok(outcome.clone()));
            }
        }
        for waiter in expired.iter().filter_map(|id| waiters.remove(id)).flatten() {
            let _ = waiter.send(Err(NoOutcome::Expired));
        }
        drop(waiters);
        // Nobody may be listening.
        let _ = self.events.send(block);
    }

    fn waiters(&self) -> MutexGuard<'_, BTreeMap<CommandId, Vec<Waiter>>> {
        self.waiters.lock().expect("nobody panics while holding this lock")
    }

    fn recent(&self) -> MutexGuard<'_, VecDeque<Header>> {
        self.recent.lock().expect("nobody panics while holding this lock")
    }
}

//! The ledger as the engine sees it: builds blocks, executes blocks, and hears which are final.
//!
//! ```text
//!  commands wait ──> propose ──┐                       ┌──> index, waiters, listeners
//!                              ├─> execute ─> (engine) ─> finalized
//!  a peer's block ──> process ─┘    pure rules of keepwell-ledger
//! ```
//!
//! # Invariants
//!
//! * A block is refused only for what its bytes and its ancestry say, for ever and on every node. The
//!   local clock delays a vote and never refuses one.
//! * Time of blocks strictly increases and grows by at most [`BLOCK_STEP_MS_MAX`], which bounds how
//!   long a leader with a fast clock can make others wait.
//! * Block 1 is the genesis entries, byte for byte; no other block has a genesis entry.
//! * A block whose rules this program does not know is neither executed nor refused: the validator ends.
//! * The state root, outcome root and history root in a header, and who validates after the block, are recomputed
//!   before a vote.

use std::{
    collections::BTreeSet,
    future::pending,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use commonware_consensus::{marshal::ancestry::Ancestry, simplex};
use commonware_cryptography::sha256;
use commonware_glue::stateful::{
    Application as StatefulApplication, Finality, Input, Proposed,
    db::{DatabaseSet, Merkleized as _, Unmerkleized as _},
};
use commonware_runtime::{Clock, Spawner};
use commonware_storage::{Context as StorageContext, qmdb::sync::Target};
use commonware_utils::non_empty_range;
use futures::StreamExt as _;
use keepwell_crypto::command::{validators_digest, verify_all};
use keepwell_ledger::{
    BlockContext,
    execute::{ApplyError, CheckedEntry, Executed, Execution, keys_of, units},
    state::{Key, Value},
};
use keepwell_types::{
    block::{HEADER_VERSION, Header, SyncTarget},
    command::Entry,
    id::{BlockId, CommandId, Digest, Height},
    limits::{BLOCK_AHEAD_MS_MAX, COMMAND_BYTES_MAX},
    time::BlockTime,
};
use rand_core::Rng;
use tracing::{Instrument as _, Span, field::Empty};

use crate::{
    block::{
        Block, Context, EngineDigest, EngineKey, RawEntry, payload_digest, round_of, to_engine,
    },
    core::{Core, FinalBlock, Tip},
    protocol::Known,
    speculation::ExecutedBlock,
    state::Databases,
};

/// The signing scheme of certificates.
pub type Scheme = simplex::scheme::ed25519::Scheme;

/// How long a command is kept out of blocks that was not fit for one, at most.
const LEFT_OUT_MS: u64 = 1_000;
/// How much later than its parent a block may be. After an outage the chain's time catches up in
/// steps of this size.
pub const BLOCK_STEP_MS_MAX: u64 = 20_000;

/// The application.
#[derive(Clone)]
pub struct Application {
    core: Arc<Core>,
    known: Known,
    /// Added to the clock when this validator leads; not zero only in tests of a bad clock.
    clock_skew_ms: i64,
}

type Unmerkleized<E> = <Databases<E> as DatabaseSet<E>>::Unmerkleized;
type Merkleized<E> = <Databases<E> as DatabaseSet<E>>::Merkleized;

/// What executing a block gives.
struct Run<E: StorageContext + Spawner> {
    merkleized: Merkleized<E>,
    executed: Executed,
    included: Vec<(RawEntry, Option<CommandId>)>,
}

impl Application {
    /// The application of the validator that `core` belongs to.
    pub const fn new(core: Arc<Core>, known: Known, clock_skew_ms: i64) -> Self {
        Self { core, known, clock_skew_ms }
    }

    /// Loads keys for executing a block on `parent`.
    #[tracing::instrument(name = "load", skip_all)]
    async fn load<E: StorageContext + Spawner>(
        &self,
        batch: &Unmerkleized<E>,
        parent: BlockId,
        keys: BTreeSet<Key>,
        execution: &mut Execution,
    ) {
        let (records, stored): (Vec<Key>, Vec<Key>) =
            keys.into_iter().partition(|key| matches!(key, Key::Record(..)));
        for key in records {
            let Key::Record(chart, position) = key else { continue };
            let record = self.core.speculation.record(parent, chart, position).or_else(|| {
                let line = self.core.index.log(chart, position);
                line.expect("the index answers; a disk that fails stops the validator")?.record
            });
            execution.load(key, record.map(Value::Record));
        }
        let digests: Vec<_> = stored.iter().map(|key| to_engine(key.to_bytes())).collect();
        let values = batch
            .get_many(&digests.iter().collect::<Vec<_>>())
            .await
            .expect("the state answers; a disk that fails stops the validator");
        for (key, value) in stored.into_iter().zip(values) {
            let value = value.map(|bytes| {
                Value::decode(&bytes).expect("the state holds only what the ledger encoded")
            });
            execution.load(key, value);
        }
    }

    /// Executes `entries` on `parent`. With `skip_unfit`, entries and whole transactions that make a block
    /// invalid are left out; without, they make it invalid.
    #[tracing::instrument(name = "execute", skip_all)]
    async fn run<E: StorageContext + Spawner>(
        &self,
        context: BlockContext,
        mut batch: Unmerkleized<E>,
        entries: Vec<(RawEntry, CheckedEntry)>,
        skip_unfit: bool,
    ) -> Option<Run<E>> {
        let (parent, time, height) = (context.parent, context.time, context.height);
        let mut execution = match context.height {
            Height(1) => Execution::founding(context, &self.core.genesis),
            _ => Execution::new(context),
        };
        let (raw, entries): (Vec<_>, Vec<_>) = entries.into_iter().unzip();
        let mut raw = raw.into_iter();
        let keys = entries.iter().flat_map(keys_of);
        let keys = keys.chain([Key::Protocol]).collect();
        self.load::<E>(&batch, parent, keys, &mut execution).await;
        let plan = execution.view().protocol().expect("its key was loaded in the line before");
        if let Err(outdated) = self.known.check(plan, height) {
            // Refusing the block would say that it is wrong; here nobody can tell.
            self.known.end(outdated);
            return pending().await;
        }
        let mut included = Vec::with_capacity(entries.len());
        for unit in units(&entries) {
            let raw: Vec<_> = raw.by_ref().take(unit.len()).collect();
            loop {
                match execution.apply_unit(unit) {
                    Ok(_) => {
                        included.extend(raw.into_iter().zip(unit.iter().map(CheckedEntry::id)));
                        break;
                    }
                    Err(ApplyError::Lacks(key)) => {
                        self.load::<E>(&batch, parent, BTreeSet::from([key]), &mut execution).await;
                    }
                    Err(ApplyError::Inadmissible(reason)) if skip_unfit => {
                        tracing::debug!(%reason, entries = unit.len(), "left out of the block");
                        for id in unit.iter().filter_map(CheckedEntry::id) {
                            self.core.mempool.postpone(id, again_after(time));
                        }
                        break;
                    }
                    Err(ApplyError::Inadmissible(reason)) => {
                        tracing::warn!(%reason, "refused a block");
                        return None;
                    }
                }
            }
        }
        let executed = loop {
            match execution.finish() {
                Ok(executed) => break executed,
                Err((unfinished, key)) => {
                    execution = unfinished;
                    self.load::<E>(&batch, parent, BTreeSet::from([key]), &mut execution).await;
                }
            }
        };
        for (key, value) in &executed.changes {
            let value = value.as_ref().map(Value::encode);
            batch = batch.write(to_engine(key.to_bytes()), value);
        }
        let merkleized = batch.merkleize().instrument(tracing::info_span!("merkleize")).await;
        let merkleized = merkleized.expect("a disk that fails stops the validator");
        Some(Run { merkleized, executed, included })
    }

    fn context(&self, parent: &Block, time: BlockTime) -> BlockContext {
        BlockContext {
            chain: self.core.chain,
            parameters: self.core.genesis.parameters.clone(),
            height: Height(parent.header().height.0 + 1),
            time,
            parent: parent.id(),
        }
    }

    fn remember(&self, block: &Block, run: Executed, ids: Vec<Option<CommandId>>) {
        let header = block.header();
        let executed = ExecutedBlock::new(
            header.height,
            header.parent,
            run.outcomes,
            ids,
            run.leaves,
            run.history_nodes,
            run.next,
        );
        self.core.speculation.insert(block.id(), executed);
    }

    /// The entries of a block on `parent`: those of the genesis file, or commands that wait. It does not
    /// wait for any ([`crate::pace`] does, before).
    fn entries(&self, parent: &Block, time: BlockTime) -> Vec<(RawEntry, CheckedEntry)> {
        if parent.header().height == Height(0) {
            return self.check(&self.core.genesis_entries).expect("the genesis entries are ours");
        }
        let skip = self.core.speculation.ids(parent.id());
        let candidates = self.core.mempool.candidates(&skip, time);
        candidates
            .into_iter()
            .map(|it| (it.raw.clone(), CheckedEntry::Signed(it.verified.clone())))
            .collect()
    }

    /// Checks everything about entries that needs no state: encoding and signatures. Those that came
    /// in before are not checked again.
    #[tracing::instrument(name = "check signatures", skip_all)]
    fn check(&self, entries: &[RawEntry]) -> Option<Vec<(RawEntry, CheckedEntry)>> {
        let mut checked: Vec<Option<CheckedEntry>> = Vec::with_capacity(entries.len());
        let mut unknown = Vec::new();
        for (index, raw) in entries.iter().enumerate() {
            if let Some(pending) = self.core.mempool.verified(&raw.leaf()) {
                checked.push(Some(CheckedEntry::Signed(pending.verified.clone())));
                continue;
            }
            match keepwell_types::decode(raw.bytes(), COMMAND_BYTES_MAX).ok()? {
                Entry::Genesis(payload) => {
                    checked.push(Some(CheckedEntry::genesis(payload, index as u32)));
                }
                Entry::Signed(signed) => {
                    checked.push(None);
                    unknown.push(signed);
                }
            }
        }
        let mut verified = verify_all(unknown).into_iter();
        entries
            .iter()
            .zip(checked)
            .map(|(raw, entry)| match entry {
                Some(entry) => Some((raw.clone(), entry)),
                None => Some((raw.clone(), CheckedEntry::Signed(verified.next()?.ok()?))),
            })
            .collect()
    }

    /// Waits until the block is no longer ahead of this validator's clock.
    #[tracing::instrument(name = "wait for time", skip_all)]
    async fn wait_for_time<E: Clock>(&self, runtime: &E, time: BlockTime) {
        loop {
            let ahead = time.ms_since(now(runtime).plus_ms(BLOCK_AHEAD_MS_MAX));
            if ahead == 0 {
                return;
            }
            runtime.sleep(Duration::from_millis(ahead)).await;
        }
    }

    fn time_of_proposal<E: Clock>(&self, runtime: &E, parent: &Block) -> BlockTime {
        let clock = BlockTime(now(runtime).0.saturating_add_signed(self.clock_skew_ms));
        let parent = parent.header().time;
        clock.clamp(parent.plus_ms(1), parent.plus_ms(BLOCK_STEP_MS_MAX))
    }
}

/// When a command is looked at again that was not fit for a block of this time. All such are at once: each by itself
/// would have a block made, and then not be fit for it.
const fn again_after(time: BlockTime) -> BlockTime {
    BlockTime((time.0 / LEFT_OUT_MS + 1).saturating_mul(LEFT_OUT_MS))
}

/// The runtime's clock.
pub fn now<E: Clock>(runtime: &E) -> BlockTime {
    let elapsed = runtime.current().duration_since(UNIX_EPOCH).unwrap_or_default();
    BlockTime(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
}

impl<E: Spawner + StorageContext + Rng> StatefulApplication<E> for Application {
    type SigningScheme = Scheme;
    type Context = simplex::types::Context<EngineDigest, EngineKey>;
    type Block = Block;
    type Databases = Databases<E>;
    type Captured = ();
    type Provider = ();
    type Input = ();

    fn sync_targets(block: &Block) -> <Self::Databases as DatabaseSet<E>>::SyncTargets {
        let SyncTarget { root, start, end } = block.header().sync;
        Target::new(sha256::Digest(root.0), non_empty_range!(start.into(), end.into()))
    }

    async fn genesis(&mut self) -> Block {
        self.core.genesis_block.clone()
    }

    #[tracing::instrument(name = "propose block", parent = None, skip_all, fields(height = Empty, commands = Empty))]
    async fn propose(
        &mut self,
        (runtime, context): (E, Context),
        ancestry: impl Ancestry<Block>,
        batch: Unmerkleized<E>,
        _: Input<(), ()>,
    ) -> Option<Proposed<Self, E>> {
        let parent = Box::pin(ancestry).next().await?;
        let parent = parent.inner();
        let time = self.time_of_proposal(&runtime, parent);
        let entries = self.entries(parent, time);
        let block_context = self.context(parent, time);
        let run = self.run::<E>(block_context, batch, entries, true).await?;
        let (entries, ids): (Vec<_>, Vec<_>) = run.included.into_iter().unzip();
        let header = Header {
            version: HEADER_VERSION,
            chain: self.core.chain,
            height: Height(parent.header().height.0 + 1),
            parent: parent.id(),
            time,
            payload: payload_digest(&entries),
            entries: entries.len() as u32,
            outcomes: run.executed.outcome_root,
            state: Digest(run.merkleized.root().0),
            history: run.executed.history_root,
            sync: sync_target::<E>(&run.merkleized),
            round: round_of(&context),
            next: run.executed.next.as_ref().map(validators_digest),
        };
        let block = Block::new(header, entries.into());
        note_in_trace(&block);
        self.remember(&block, run.executed, ids);
        Some(Proposed { block, merkleized: run.merkleized })
    }

    #[tracing::instrument(name = "check block", parent = None, skip_all, fields(height = Empty, commands = Empty))]
    async fn process(
        &mut self,
        (runtime, _): (E, Context),
        ancestry: impl Ancestry<Block>,
        batch: Unmerkleized<E>,
        finality: Finality,
    ) -> Option<Merkleized<E>> {
        let mut ancestry = Box::pin(ancestry);
        let block = ancestry.next().await?;
        let block = block.inner();
        note_in_trace(block);
        let parent = ancestry.next().await?;
        let parent = parent.inner();
        let header = block.header();
        let time_fits = parent.header().time < header.time
            && header.time.ms_since(parent.header().time) <= BLOCK_STEP_MS_MAX;
        let first = parent.header().height == Height(0);
        if !block.is_of(self.core.chain)
            || header.parent != parent.id()
            || !time_fits
            || (first && *block.entries() != self.core.genesis_entries)
        {
            return None;
        }
        if finality == Finality::Candidate {
            self.wait_for_time(&runtime, header.time).await;
        }
        let entries = self.check(block.entries())?;
        let ids = entries.iter().map(|(_, entry)| entry.id()).collect();
        let run = self.run::<E>(self.context(parent, header.time), batch, entries, false).await?;
        let as_executed = header.state.0 == run.merkleized.root().0
            && header.outcomes == run.executed.outcome_root
            && header.history == run.executed.history_root
            && header.sync == sync_target::<E>(&run.merkleized)
            && header.next == run.executed.next.as_ref().map(validators_digest);
        if !as_executed {
            tracing::warn!(
                height = header.height.0,
                "refused a block that is not what executing it gives"
            );
            return None;
        }
        self.remember(block, run.executed, ids);
        Some(run.merkleized)
    }

    async fn capture(
        &mut self,
        _: (E, Context),
        _: &Block,
        _: &Merkleized<E>,
        _: <Self::Databases as DatabaseSet<E>>::Readers,
    ) {
    }

    async fn finalized(
        &mut self,
        _: (E, Context),
        block: &Block,
        (): (),
        _: <Self::Databases as DatabaseSet<E>>::Readers,
    ) {
        let executed = self
            .core
            .speculation
            .block(block.id())
            .expect("a final block was executed here before it was applied");
        self.core.note_final(block, &executed);
    }
}

/// Says which block the current span is about.
fn note_in_trace(block: &Block) {
    let header = block.header();
    // Signed, since what bridges spans to OpenTelemetry makes text of the others.
    let height = i64::try_from(header.height.0).unwrap_or(i64::MAX);
    Span::current().record("height", height).record("commands", i64::from(header.entries));
}

fn sync_target<E: StorageContext + Spawner>(merkleized: &Merkleized<E>) -> SyncTarget {
    SyncTarget {
        root: Digest(merkleized.ops_root().0),
        start: *merkleized.sync_boundary(),
        end: *merkleized.bounds().tip.size,
    }
}

impl Core {
    /// Indexes a final block and tells everyone who waits for it.
    #[tracing::instrument(name = "final block", parent = None, skip_all, fields(height = Empty, commands = Empty))]
    fn note_final(&self, block: &Block, executed: &ExecutedBlock) {
        note_in_trace(block);
        self.index
            .apply(block.id(), executed)
            .expect("the index takes what is final; a disk that fails stops the validator");
        self.sets.follow(executed.height, executed.next.as_ref());
        let touched = executed.leaves.iter().map(|leaf| (leaf.chart, leaf.position)).collect();
        let tip = Tip { id: block.id(), header: block.header().clone() };
        let event = FinalBlock { tip, touched, outcomes: executed.outcomes.as_slice().into() };
        self.finished(event, &executed.ids);
        self.speculation.forget(executed.height);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_that_are_left_out_come_back_together() {
        let again = |ms| again_after(BlockTime(ms)).0;
        assert_eq!([0, 1, 999].map(again), [1_000; 3]);
        assert_eq!([1_000, 1_999].map(again), [2_000; 2]);
        assert_eq!(again(u64::MAX), u64::MAX);
    }
}

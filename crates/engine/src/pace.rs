//! When a block is built: at once if a command waits, else after a heartbeat.
//!
//! ```text
//!   consensus ──propose──> [Paced] ──propose──> the state's actor ──> [`crate::application`]
//!                          waits here           must not wait: final blocks queue behind it
//! ```
//!
//! # Invariants
//!
//! * A leader that could put a command into its block does not wait.
//! * Waiting holds nothing up: blocks become final, and are executed, meanwhile.

use std::{sync::Arc, time::Duration};

use commonware_consensus::{Application as ConsensusApplication, marshal::ancestry::Ancestry};
use commonware_cryptography::Digested;
use commonware_runtime::Clock;
use futures::{FutureExt as _, pin_mut, select_biased};
use keepwell_types::id::BlockId;

use crate::{
    application::{BLOCK_STEP_MS_MAX, now},
    block::{Block, Context},
    core::Core,
};

/// How long a leader with nothing to propose waits before it proposes an empty block.
pub const HEARTBEAT: Duration = Duration::from_millis(1_500);
/// How often a leader looks whether commands that wait have become fit for a block.
const AGAIN: Duration = Duration::from_millis(100);

/// An application whose proposals wait until there is something to propose.
#[derive(Clone)]
pub struct Paced<A> {
    inner: A,
    core: Arc<Core>,
}

impl<A> Paced<A> {
    /// Paces the proposals of `inner`.
    pub const fn new(inner: A, core: Arc<Core>) -> Self {
        Self { inner, core }
    }

    /// Waits until there is something to propose on `parent`, or the heartbeat is due.
    async fn wait<E: Clock>(&self, runtime: &E, parent: BlockId) {
        if parent == self.core.genesis_block.id() {
            return;
        }
        let heartbeat = runtime.sleep(HEARTBEAT).fuse();
        pin_mut!(heartbeat);
        loop {
            let arrival = self.core.mempool.arrival();
            pin_mut!(arrival);
            // From here on an arrival is not missed.
            arrival.as_mut().enable();
            let now = now(runtime);
            // After an outage the chain's time catches up without pauses.
            let is_late = now.ms_since(self.core.tip().time()) > BLOCK_STEP_MS_MAX;
            if is_late || self.core.mempool.has_candidate(&self.core.speculation.ids(parent), now) {
                return;
            }
            let again = if self.core.mempool.is_empty() { HEARTBEAT } else { AGAIN };
            let again = runtime.sleep(again).fuse();
            let mut arrival = arrival.fuse();
            pin_mut!(again);
            // In this order: `select!` draws lots of its own, and a run would not follow from its seed.
            select_biased! {
                () = heartbeat => return,
                () = arrival => {}
                () = again => {}
            }
        }
    }
}

impl<E, A> ConsensusApplication<E> for Paced<A>
where
    E: Clock,
    A: ConsensusApplication<E, Context = Context, Block = Block> + Sync,
{
    type SigningScheme = A::SigningScheme;
    type Context = Context;
    type Block = Block;
    type Input = A::Input;

    async fn propose(
        &mut self,
        (runtime, context): (E, Context),
        ancestry: impl Ancestry<Block>,
        input: A::Input,
    ) -> Option<Digested<Block>> {
        self.wait(&runtime, BlockId(context.parent.1.0)).await;
        self.inner.propose((runtime, context), ancestry, input).await
    }

    async fn verify(&mut self, context: (E, Context), ancestry: impl Ancestry<Block>) -> bool {
        self.inner.verify(context, ancestry).await
    }
}

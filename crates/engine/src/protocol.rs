//! Which versions of the protocol this program knows, and what it does where another one is in force: it stops.
//!
//! # Invariants
//!
//! * A block is executed by the rules that are in force in it, or not at all: a program that does not know them
//!   neither proposes it nor votes for it nor takes its outcome over.
//! * What was final before stays, and a newer program goes on from there.
//!
//! Not here: which version is in force, which the ledger says.

use std::sync::Arc;

use keepwell_ledger::state::ProtocolPlan;
use keepwell_types::id::{Height, Protocol};
use thiserror::Error;
use tokio::sync::watch;

/// The rules of a block are not known here.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error(
    "from block {from} on the rules of protocol {protocol} hold, and this program knows those up to protocol {newest}: install a newer keepwell and start it again; nothing is lost"
)]
pub struct Outdated {
    /// In force.
    pub protocol: Protocol,
    /// The first block that was not understood.
    pub from: Height,
    /// The newest version that is known here.
    pub newest: Protocol,
}

/// The versions that a validator's program knows: all up to the newest.
#[derive(Clone, Debug)]
pub struct Known {
    newest: Protocol,
    /// In force in the newest block that was executed here.
    plan: Arc<watch::Sender<ProtocolPlan>>,
    outdated: Arc<watch::Sender<Option<Outdated>>>,
}

impl Known {
    /// Those up to `newest`.
    pub fn up_to(newest: Protocol) -> Self {
        let plan = Arc::new(watch::Sender::new(ProtocolPlan::FIRST));
        Self { newest, plan, outdated: Arc::new(watch::Sender::new(None)) }
    }

    /// The newest of them.
    pub const fn newest(&self) -> Protocol {
        self.newest
    }

    /// What is in force and planned, as of the newest block that was executed here.
    pub fn plan(&self) -> ProtocolPlan {
        *self.plan.borrow()
    }

    /// Whether the block at `height` can be executed here, on a state with this `plan`.
    pub(crate) fn check(&self, plan: ProtocolPlan, height: Height) -> Result<(), Outdated> {
        self.plan.send_replace(plan);
        let protocol = plan.at(height);
        if protocol <= self.newest {
            return Ok(());
        }
        Err(Outdated { protocol, from: height, newest: self.newest })
    }

    /// Has the validator end: whoever runs it waits for [`Self::ended`].
    pub(crate) fn end(&self, outdated: Outdated) {
        // Only the first one is news.
        self.outdated.send_if_modified(|said| said.replace(outdated).is_none());
    }

    /// Resolves when a block came whose rules are not known here.
    pub async fn ended(&self) -> Outdated {
        let mut said = self.outdated.subscribe();
        let said = said.wait_for(Option::is_some).await.expect("its sender is held here");
        said.expect("it was waited for")
    }
}

impl Default for Known {
    /// What this program knows.
    fn default() -> Self {
        Self::up_to(Protocol::NEWEST)
    }
}

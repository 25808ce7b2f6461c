//! The state machine: decides a command against a view of the state.
//!
//! Every validator runs this crate over the same blocks and comes to the same outcomes, byte for byte.
//! So it is pure: the state comes in as a [`View`], time and the consortium's choices as a
//! [`BlockContext`], the command as a [`Verified`](keepwell_crypto::command::Verified), and nothing
//! else comes in at all.
//!
//! # How a command is decided
//!
//! 1. **Who answers for it?** The state says whose key the first signature is of, and that they may act
//!    ([`accountable`]). Their organisation has quotas for each minute, which refused commands use up as
//!    well.
//! 2. **May it stand in the block?** Its version, chain and window fit, its id is new, somebody answers
//!    for it, and their quota is not used up ([`execute::admissible`]). If not, no block has it, and it
//!    leaves no trace.
//! 3. **Is it allowed?** [`decide`] reads the view and gives [`Changes`], or [`Halt::Rejected`], or
//!    [`Halt::Lacks`]: load that key and ask again. One function for each command, one file for each
//!    family; each begins with its signers.
//! 4. **What comes of it?** Either way an [`Outcome`](keepwell_types::outcome::Outcome), which is a
//!    leaf of the block's tree and, if the command names a chart that exists, the next link of that
//!    chart's log. A refusal changes nothing else.
//!
//! Reads of records follow one more rule, [`consent`]: it decides an access when it is opened, again on
//! each validator when shares are released for it ([`release`]), and explains itself to people. [`trial`] asks it
//! about commands that nobody has sent, and [`past`] about accesses of long ago.
//!
//! # Invariants
//!
//! * Same state, same block, same result: no clock, IO, randomness, environment, floats or hash maps.
//! * What a decision reads is bounded by the command and by `limits`, never by the size of a chart, of
//!   an organisation or of the state.
//! * Commands on different charts touch no key in common but quotas, replay slots and what their
//!   families list.
//! * No value under a key of one chart names another chart.
//!
//! Not here: signatures (`keepwell-crypto`), roots and proofs (`keepwell-merkle`), the database and the
//! order of blocks (`keepwell-engine`).
#![no_std]

extern crate alloc;

pub mod state;
pub mod view;

mod decide;
mod signer;

mod credential;
mod member;
mod motion;
mod organisation;
mod protocol;
mod reshare;
mod validators;

mod case;
mod chart;
mod compartment;
mod record;

mod guardian;
mod proxy;
mod recovery;

pub mod consent;
mod grant;
mod team;

mod access;
mod anchor;
mod emergency;

mod link;
pub mod matching;

pub mod execute;
pub mod release;

pub mod past;
pub mod trial;

pub use decide::{BlockContext, Changes, Halt, decide, decide_genesis};
pub use signer::accountable;
pub use view::{Lacks, View};

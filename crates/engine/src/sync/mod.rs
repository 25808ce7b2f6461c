//! Beginning from the state that others have, instead of executing every block since the first.
//!
//! ```text
//!  hand-overs ──> who validates ──> the newest block of f + 1 validators' answers: the floor
//!                                        │ its header commits to
//!  steps of the state's log ──────> the state's database
//!                                        │ whose values commit to
//!  lines of charts' logs ─────────> the index
//! ```
//!
//! # Invariants
//!
//! * Nobody is believed. Hand-overs lead from the genesis file to the floor's certificate, and each answer is checked
//!   against what is proven already before it is written. Who sends what does not fit is blocked.
//! * The floor is no older than the newest block of an honest validator among f + 1 that answered.
//! * What was chosen stays: the floor is on the disk before anything of it is fetched, and a validator that was stopped
//!   goes on with the same one.
//! * Nothing of it is served, and nobody votes by it, before all of it is there.
//!
//! A validator that began so has no block before its floor. Whoever asks it for one is sent to others.
//!
//! Not here: blocks after the floor, which the engine fetches as for any validator that was away.

mod ask;
mod begin;
mod fetch;
mod serve;
#[cfg(test)]
mod tests;

pub use ask::{
    ANSWER_BYTES_MAX, Ask, Boundary, ChartLines, ChartPage, Floor, LinePage, Tip, TipPage,
};
pub use begin::SyncError;
pub(crate) use begin::{Beginning, begin, finalization, is_certified};
pub(crate) use fetch::start;
pub(crate) use serve::Server;

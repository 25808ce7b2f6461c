//! A consortium on one thread, faults from a seed, named checkers.
//!
//! Four validators run the very code of `keepwell-engine` on the engine's deterministic runtime: time,
//! network, disk and scheduling all follow from a seed, so that a failing seed is the bug report. A
//! client submits real signed commands to all of them while faults are injected.
//!
//! The index is on a real disk, since it is derived: the first restart of a validator finds it as the
//! crash left it, the second finds it gone, and so on in turn.
//!
//! Not here: custody and release, which do not take part in consensus.

use mimalloc::MiMalloc;

pub mod checkers;
pub mod consortium;
mod deputy;
pub mod disk;
pub mod history;
pub mod liars;
pub mod scenario;
pub mod traffic;

/// A disk of the runtime is copied whole at each sync, and a validator takes tens of MiB when it starts: the system's
/// allocator would give the pages back each time, and have each cleared again.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

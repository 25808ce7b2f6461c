//! Reports: who looked, what was disclosed, what is unusual, and how far a stolen key reached.
//!
//! ```text
//! a chart's log, complete ──> looks ──> accounting         for a patient, or whoever accounts to one
//!            own entries ───> cases                        clocks of what the patient asked for
//! an organisation's acts ──> unusual, blast                for its privacy officer
//! ```
//!
//! # Invariants
//!
//! * A report over a chart comes from its whole log or not at all: a node that hides an entry makes it fail, never
//!   shorter.
//! * What a report leaves out it counts, by the reason.
//! * Windows are half-open, in block time.
//! * A million accesses are held at about a hundred bytes each.
//!
//! Not here: how reports are written; what the law asks for (`docs/reports.md`).

pub mod accounting;
pub mod blast;
pub mod cases;
pub mod looks;
pub mod officer;
pub mod unusual;

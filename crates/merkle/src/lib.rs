//! Roots, inclusion and consistency proofs, receipts.
//!
//! Everything here is for someone who trusts no node: it takes bytes that came from anywhere and the
//! genesis file that they hold, and says whether the one follows from the other.
//!
//! ```text
//! genesis file --> chain id, validators --> who follows them        `handover`
//!                      |  n - f votes                       `certificate`
//!                      v
//!                certified header --- history --> earlier header      `range`
//!                                                     |
//!                                  payload root, outcome root         `block`
//!                                       |              |
//!                                     entry         outcome           `tree`
//!                                       |
//!                            anchor.add: root of documents            `anchor`
//!                            record.add: root of a sealed body        `content`
//! ```
//!
//! # Invariants
//!
//! * There is one kind of tree, that of RFC 9162 over SHA-256, so that a verifier in another language
//!   needs one algorithm and has libraries for it.
//! * A path is checked against an index and a size that come from something already proven, never
//!   against those that it claims itself: a root alone does not fix them.
//! * A receipt that verifies is proven in every byte: change one and it is refused.
//! * Pure functions of bytes: no clock, IO, randomness or environment.
//!
//! Not here: proofs of the state (they are the state database's own, see `keepwell-node`), and
//! whether a proven outcome is the one that someone wanted (`keepwell-client`).
#![no_std]

extern crate alloc;

pub mod range;
pub mod tree;

pub mod block;
pub mod chart_log;

pub mod certificate;
pub mod handover;
pub mod receipt;

pub mod anchor;
pub mod content;

//! Identifiers, commands, outcomes, blocks and limits, and their one byte encoding.
//!
//! Everything that crosses a border in Keepwell (a signature, a hash, the network, a file) is a value
//! of this crate, encoded by [`encoding`]. A value that exists is valid in itself: its lengths are
//! within [`limits`], its sets name known members, its bytes are canonical. Whether it is *allowed*
//! is for the ledger to say.
//!
//! # Invariants
//!
//! * One value, one encoding: `encode(decode(bytes)) == bytes`, or the bytes are refused.
//! * No clock, IO, randomness, environment, floats or hash maps: the crate is `no_std`.
//! * Numbers of variants and fields are frozen by `vectors/`; a new one is appended, none is reused.
//!
//! Not here: any algorithm (`keepwell-crypto`), any rule (`keepwell-ledger`).
#![no_std]

extern crate alloc;

mod bytes;
pub mod encoding;
pub mod limits;

pub mod id;
pub mod set;
pub mod time;

pub mod access;
pub mod anchor;
pub mod block;
pub mod case;
pub mod challenge;
pub mod chart;
pub mod command;
pub mod credential;
pub mod founding;
pub mod genesis;
pub mod grant;
pub mod guardian;
pub mod link;
pub mod matching;
pub mod member;
pub mod motion;
pub mod outcome;
pub mod protocol;
pub mod proxy;
pub mod record;
pub mod signoff;
pub mod validators;
pub mod wire;

pub use encoding::{DecodeError, decode, encode};

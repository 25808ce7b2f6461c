//! Sign, seal, grant, release: the only crate that names an algorithm.
//!
//! A record's data key lies under two locks ([`capsule`]). The first opens for the patient and for
//! readers who were granted the record's compartment ([`grant`]); the second for a quorum of validators
//! ([`threshold`]), who open it only for an access that stands on the ledger ([`release`]). So nobody
//! reads unseen, and nobody but the patient's readers reads at all. With another key of their own the
//! validators help organisations to find the persons whom several of them know ([`matching`]). What an organisation keeps
//! beside its systems of what it may read is under a key of its own ([`index`]).
//!
//! # Invariants
//!
//! * Every hash and derived key, every signature and sealing has a domain of its own ([`hash`]), and
//!   is bound to the consortium and to whatever else it depends on.
//! * Security facts are types that only the verifying function makes: [`command::Verified`],
//!   [`request::VerifiedRequest`], [`threshold::ProvenPoint`], [`threshold::VerifiedPartial`],
//!   [`matching::EvaluatedPoint`].
//! * Secrets are types that are erased when dropped, compared in constant time and never printed.
//! * Randomness is an argument. No clock, no IO, no unsafe code; the crate is `no_std`.
//! * Every signed or sealed object that is kept says its suite; a new suite is a new number.
//!
//! Not here: who may do what (`keepwell-ledger`), trees and receipts (`keepwell-merkle`), and any
//! primitive: those come from the crates that `Cargo.toml` names. Nothing here has been reviewed by
//! outsiders yet.
#![no_std]

extern crate alloc;

mod secret;

pub mod hash;
pub mod sign;

pub mod command;
pub mod custody;
pub mod request;

pub mod seal;

pub mod keys;
pub mod sheet;

pub mod padding;

pub mod body;

pub mod threshold;

pub mod capsule;
pub mod release;

pub mod matching;

pub mod grant;

pub mod words;

pub mod index;

pub mod jose;
pub mod sd_jwt;

pub mod ceremony;
pub mod dealing;
pub mod escrow;
pub mod guardian;
pub mod reshare;
pub mod trustee;

pub mod keyfile;

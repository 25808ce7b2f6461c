//! What a block's header commits to, and the block's id.
//!
//! ```text
//! block id       = H("keepwell/merkle/block/v1", header)          header: canonical bytes
//! payload        = root over leaf(entry) of each entry            entry: canonical bytes, signatures too
//! outcomes       = root over leaf(outcome) of each outcome        outcome: canonical bytes
//! history        = root over leaf(block id) of each earlier block, from height 0
//! ```
//!
//! where leaf and root are those of [`crate::tree`].
//!
//! # Invariants
//!
//! * A block's id fixes each byte of the block. The payload is over whole entries, not over the
//!   digests of commands, which leave signatures out: else a peer could serve a final block with
//!   spoilt signatures under its right id.
//! * Entry i and outcome i stand at the same place of two trees of the same size.
//!
//! Not here: whether outcomes are right (`keepwell-ledger`) and whether a block is final
//! ([`crate::certificate`]).

use alloc::vec::Vec;

use keepwell_crypto::hash;
use keepwell_types::{
    block::Header,
    command::Entry,
    encode,
    id::{BlockId, Digest},
    outcome::Outcome,
};

use crate::tree;

/// Separates block ids from every other digest.
const BLOCK_DOMAIN: &str = "keepwell/merkle/block/v1";

/// The id of the block with this header.
pub fn block_id(header: &Header) -> BlockId {
    BlockId(hash::digest(BLOCK_DOMAIN, &[&encode(header)]).0)
}

/// The leaf of an entry in the tree of its block's entries.
pub fn entry_leaf(entry: &Entry) -> Digest {
    tree::leaf_digest(&encode(entry))
}

/// `Header::payload` of the block with these entries.
pub fn payload_digest(entries: &[Entry]) -> Digest {
    tree::root(&entries.iter().map(entry_leaf).collect::<Vec<_>>())
}

/// The leaf of an outcome in the tree of its block's outcomes.
pub fn outcome_leaf(outcome: &Outcome) -> Digest {
    tree::leaf_digest(&encode(outcome))
}

/// `Header::outcomes` of the block with these outcomes.
pub fn outcome_root(outcomes: &[Outcome]) -> Digest {
    tree::root(&outcomes.iter().map(outcome_leaf).collect::<Vec<_>>())
}

/// The leaf of a block in the range of all blocks, whose root is the `Header::history` of later ones.
pub fn history_leaf(block: &BlockId) -> Digest {
    tree::leaf_digest(&block.0)
}

//! Block headers and certificates: what a verifier needs, without what a block carries.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    encoding::List,
    id::{BlockId, ChainId, Digest, Height, PublicKey, Signature},
    limits::VALIDATORS_MAX,
    time::BlockTime,
};

/// The one version of headers.
pub const HEADER_VERSION: u8 = 1;

/// What a block commits to. Its digest is the block's id, and what validators vote on.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Header {
    /// [`HEADER_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The consortium.
    #[n(1)]
    pub chain: ChainId,
    /// Its place in the chain; 0 is the empty block that all start from.
    #[n(2)]
    pub height: Height,
    /// The block before it.
    #[n(3)]
    pub parent: BlockId,
    /// When: strictly later than the parent.
    #[n(4)]
    pub time: BlockTime,
    /// Digest of the entries.
    #[n(5)]
    pub payload: Digest,
    /// Entries in it.
    #[n(6)]
    pub entries: u32,
    /// Root of the Merkle tree of outcomes.
    #[n(7)]
    pub outcomes: Digest,
    /// Root of the state after it.
    #[n(8)]
    pub state: Digest,
    /// Root of the Merkle mountain range of the ids of all earlier blocks.
    #[n(9)]
    pub history: Digest,
    /// Where a node that syncs state finds it.
    #[n(10)]
    pub sync: SyncTarget,
    /// How consensus made it.
    #[n(11)]
    pub round: Round,
    /// In the last block of an epoch after which others validate: the digest of their set, see
    /// [`crate::validators`].
    #[n(12)]
    pub next: Option<Digest>,
}

/// The log of operations of the state's database: its root and the range that is live.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct SyncTarget {
    /// Root of the log.
    #[n(0)]
    pub root: Digest,
    /// First operation that matters.
    #[n(1)]
    pub start: u64,
    /// First operation that is not there yet.
    #[n(2)]
    pub end: u64,
}

/// Where consensus stood when a block was proposed.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Round {
    /// The epoch of validators.
    #[n(0)]
    pub epoch: u64,
    /// The view.
    #[n(1)]
    pub view: u64,
    /// The view of the parent.
    #[n(2)]
    pub parent_view: u64,
    /// Who proposed it.
    #[n(3)]
    pub leader: PublicKey,
}

/// Signatures of n − f validators over a block's id: the block, and all before it, are final.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Certificate {
    /// The epoch of validators.
    #[n(0)]
    pub epoch: u64,
    /// The view.
    #[n(1)]
    pub view: u64,
    /// The view of the parent.
    #[n(2)]
    pub parent_view: u64,
    /// The block.
    #[n(3)]
    pub block: BlockId,
    /// Who signed, in ascending order of `validator`.
    #[n(4)]
    pub votes: List<Vote, VALIDATORS_MAX>,
}

/// One validator's signature.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Vote {
    /// Its place among the epoch's validators, in ascending order of their keys, counted from 0.
    #[n(0)]
    pub validator: u16,
    /// The signature.
    #[n(1)]
    pub signature: Signature,
}

//! Challenges: whether a custodian still has what it said that it stores.
//!
//! A block that nobody knew when the record was stored chooses a leaf of its body. Whoever shows that leaf,
//! with its path to the content root and the capsule that says the root, has read the whole body: the path
//! needs every other leaf as well. The custodian signs what it found either way.
//!
//! Not here: which leaf a block chooses, and whether what is shown fits (`keepwell-crypto`,
//! `keepwell-merkle`).

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    encoding::Blob,
    id::{
        BlockId, ChainId, ChartId, Digest, OrganisationId, PublicKey, RecordId, Signature, Version,
    },
    limits::{CAPSULE_BYTES_MAX, CONTENT_LEAF_BYTES_MAX, PATH_BYTES_MAX},
};

/// What a custodian found when it was asked; signed.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// The consortium.
    #[n(0)]
    pub chain: ChainId,
    /// Who was asked.
    #[n(1)]
    pub custodian: OrganisationId,
    /// The chart.
    #[n(2)]
    pub chart: ChartId,
    /// The record.
    #[n(3)]
    pub record: RecordId,
    /// Its version.
    #[n(4)]
    pub version: Version,
    /// The block that chose the leaf.
    #[n(5)]
    pub block: BlockId,
    /// Digest of what is shown; nothing, if it does not have the object whole.
    #[n(6)]
    pub shown: Option<Digest>,
}

/// What shows that the custodian has the object.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Shown {
    /// The salted capsule.
    #[n(0)]
    pub capsule: Blob<CAPSULE_BYTES_MAX>,
    /// The leaf that the block chose.
    #[n(1)]
    pub leaf: Blob<CONTENT_LEAF_BYTES_MAX>,
    /// Its path to the content root: see `keepwell-merkle`.
    #[n(2)]
    pub path: Blob<PATH_BYTES_MAX>,
}

/// A custodian's answer to a challenge.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ChallengeAnswer {
    /// What it found.
    #[n(0)]
    pub finding: Finding,
    /// The key that it signs with.
    #[n(1)]
    pub key: PublicKey,
    /// Over the finding.
    #[n(2)]
    pub signature: Signature,
    /// What the finding is of.
    #[n(3)]
    pub shown: Option<Shown>,
}

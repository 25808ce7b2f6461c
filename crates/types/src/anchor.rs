//! Anchors: one entry for any number of documents.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::id::Digest;

/// `anchor.add`: the root of a Merkle tree of salted document digests.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct AnchorAdd {
    /// Root of the tree (RFC 9162, section 2.1).
    #[n(0)]
    pub root: Digest,
    /// Leaves of the tree: at least one.
    #[n(1)]
    pub documents: u64,
}

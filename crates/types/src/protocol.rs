//! Versions of the protocol: which rules hold in which block.
//!
//! ```text
//! Upgrade  = [to, from]       an act of a motion; without `from`, the one that is planned is called off
//! ```
//!
//! Every consortium begins with version [`Protocol::FIRST`] and moves on one version at a time, at a block that its
//! administrators choose together. What a version changes is said where the rule is: by comparing with the version in
//! force in the block.
//!
//! Not here: formats that programs without a state read (receipts, headers), which have versions of their own.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::id::{Height, Protocol};

impl Protocol {
    /// What every consortium begins with.
    pub const FIRST: Self = Self(1);
    /// The newest one that this program knows the rules of.
    pub const NEWEST: Self = Self::FIRST;

    /// The one after it.
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// What is moved: that the rules of another version hold from a block on, or that a planned upgrade is called off.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Upgrade {
    /// The version after the one in force.
    #[n(0)]
    pub to: Protocol,
    /// The first block whose rules they are; nothing calls the upgrade off.
    #[n(1)]
    pub from: Option<Height>,
}

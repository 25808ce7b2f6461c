//! Who validates: sets of validators, and from which epoch on they do.
//!
//! An epoch has a fixed number of blocks. A set begins with an epoch and goes on until another one begins; the header
//! of the last block before that commits to the new set ([`crate::block::Header::next`]), under the certificate of the
//! old one.
//!
//! Not here: how a set is decided on, and how its shares come about (`keepwell-ledger`).

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    encoding::{List, Text},
    genesis::{CommitteeKeys, Genesis, Validator},
    id::Height,
    limits::{ADDRESS_BYTES_MAX, VALIDATORS_MAX},
};

/// The validators from an epoch on, and the public side of the shares that they hold.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ValidatorSet {
    /// The first epoch in which they validate.
    #[n(0)]
    pub since: u64,
    /// In ascending order of their consensus keys. The share of each has index (place + 1).
    #[n(1)]
    pub seats: List<Seat, VALIDATORS_MAX>,
    /// Who release together. The key is that of the genesis file, for ever.
    #[n(2)]
    pub committee: CommitteeKeys,
    /// Who evaluate for matching together.
    #[n(3)]
    pub matching: Option<CommitteeKeys>,
}

/// One validator of a set.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Seat {
    /// Its keys.
    #[n(0)]
    pub validator: Validator,
    /// Where the others reach it, address and port: on record for those who joined after the founding, in each node's
    /// configuration for the founders.
    #[n(1)]
    pub address: Option<Text<ADDRESS_BYTES_MAX>>,
}

impl ValidatorSet {
    /// The set that a consortium is founded with.
    pub fn of(genesis: &Genesis) -> Self {
        let mut seats = List::new();
        for validator in genesis.validators.iter() {
            let seat = Seat { validator: *validator, address: None };
            seats.push(seat).expect("a genesis file has no more validators than a set");
        }
        let (committee, matching) = (genesis.committee.clone(), genesis.matching.clone());
        Self { since: 0, seats, committee, matching }
    }

    /// f: how many validators may fail in any way. (n − 1) / 3, rounded down.
    pub fn faults_max(&self) -> usize {
        self.seats.len().saturating_sub(1) / 3
    }

    /// n − f: how many validators certify a block or open a record.
    pub fn quorum(&self) -> usize {
        self.seats.len() - self.faults_max()
    }
}

/// The epoch that a block is of, where each has `epoch_blocks` of them.
pub const fn epoch_of(height: Height, epoch_blocks: u32) -> u64 {
    height.0 / epoch_blocks as u64
}

/// Whether a block is the last one of its epoch.
pub const fn ends_epoch(height: Height, epoch_blocks: u32) -> bool {
    (height.0 + 1).is_multiple_of(epoch_blocks as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_ends_with_the_block_before_the_next_one() {
        let ends: alloc::vec::Vec<_> = (0..8).filter(|it| ends_epoch(Height(*it), 4)).collect();
        assert_eq!(ends, [3, 7]);
        let epochs: alloc::vec::Vec<_> = (2..9).map(|it| epoch_of(Height(it), 4)).collect();
        assert_eq!(epochs, [0, 0, 1, 1, 1, 1, 2]);
    }
}

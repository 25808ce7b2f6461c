//! Who validates: sets of validators, and how one follows another.
//!
//! An epoch has a fixed number of blocks. A set begins with an epoch and goes on until another one begins; the header
//! of the last block before that commits to the new set ([`crate::block::Header::next`]), under the certificate of the
//! old one.
//!
//! The administrators of the consortium move a [`Change`]. Then validators deal the shares anew, on the ledger, which
//! all of them read alike:
//!
//! ```text
//! ready      each of the new set      a key for this change only, to which is dealt
//! deal       each of the old set      one dealing for each key
//! check      each that was ready      whose share to it is wrong; usually nobody's
//! open       who dealt a wrong one    that share, for all to see
//! confirm    each that was ready      proves that it has its shares, and has stored them
//! ```
//!
//! Not here: who may, when, and what comes of it (`keepwell-ledger`); what is inside a dealing (`keepwell-crypto`).

use alloc::vec::Vec;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    chart::COMPARTMENT_KEY_BYTES,
    encoding::{Blob, DecodeError, List, Text},
    genesis::{CommitteeKeys, Genesis, Validator},
    id::{Height, Location, OrganisationId, PublicKey, Signature},
    limits::{
        ADDRESS_BYTES_MAX, COMPLAINTS_MAX, DEALING_BYTES_MAX, JOINS_MAX, VALIDATOR_CARD_BYTES_MAX,
        VALIDATORS_MAX,
    },
};

/// Keys of a validator that sign its card: consensus, release.
pub const VALIDATOR_SIGNATURES: usize = 2;
/// Bytes of a proof that somebody has a share.
pub const SHARE_PROOF_BYTES: usize = 64;

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
        quorum(self.seats.len())
    }

    /// The public side of a shared key.
    pub const fn committee(&self, key: KeyUse) -> Option<&CommitteeKeys> {
        match key {
            KeyUse::Release => Some(&self.committee),
            KeyUse::Match => self.matching.as_ref(),
        }
    }

    /// The index of the share of the seat with this release key.
    pub fn index_of(&self, release: &PublicKey) -> Option<u16> {
        index_of(&self.seats, release)
    }
}

/// A validator on its own word, made for one consortium.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ValidatorCard {
    /// The validator, and where the others reach it.
    #[n(0)]
    pub seat: Seat,
    /// By its keys: consensus, release. They show that it holds them.
    #[n(1)]
    pub signatures: List<Signature, VALIDATOR_SIGNATURES>,
}

impl ValidatorCard {
    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        crate::decode(bytes, VALIDATOR_CARD_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        crate::encode(self)
    }
}

/// What is moved: who joins, and who leaves. Where nobody does, the same validators deal their shares anew.
#[derive(Clone, Debug, Decode, Default, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Change {
    /// Those that join; each organisation among them approves it itself.
    #[n(0)]
    pub joins: List<ValidatorCard, JOINS_MAX>,
    /// The consensus keys of those that leave.
    #[n(1)]
    pub leaves: List<PublicKey, VALIDATORS_MAX>,
}

/// What a shared key is for.
#[derive(
    Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, Ord, PartialEq, PartialOrd, Serialize,
)]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum KeyUse {
    /// It releases.
    #[n(0)]
    Release,
    /// It evaluates for matching.
    #[n(1)]
    Match,
}

/// `reshare.ready`: signed with the release key of one that is to validate.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ReshareReady {
    /// Where the change began, which names it.
    #[n(0)]
    pub change: Location,
    /// X-Wing key, made for this change, to which the others deal.
    #[n(1)]
    pub receiving: Blob<COMPARTMENT_KEY_BYTES>,
}

/// `reshare.deal`: signed with the release key of one that validates.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ReshareDeal {
    /// The change.
    #[n(0)]
    pub change: Location,
    /// Of which key.
    #[n(1)]
    pub key: KeyUse,
    /// The dealing (`keepwell_crypto::dealing`).
    #[n(2)]
    pub dealing: Blob<DEALING_BYTES_MAX>,
}

/// `reshare.check`: signed by one that was ready, once it has looked at every dealing.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ReshareCheck {
    /// The change.
    #[n(0)]
    pub change: Location,
    /// Whose share to the signer does not open or is wrong, in ascending order.
    #[n(1)]
    pub wrong: List<Complaint, COMPLAINTS_MAX>,
}

/// A share that its receiver finds wrong.
#[derive(
    Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct Complaint {
    /// Of which key.
    #[n(0)]
    pub key: KeyUse,
    /// Who dealt it: the index of its own share.
    #[n(1)]
    pub dealer: u16,
}

/// `reshare.open`: signed by a dealer that was complained about.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ReshareOpen {
    /// The change.
    #[n(0)]
    pub change: Location,
    /// The shares that it opens.
    #[n(1)]
    pub shares: List<OpenShare, COMPLAINTS_MAX>,
}

/// A share that is no secret any more.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct OpenShare {
    /// Of which key.
    #[n(0)]
    pub key: KeyUse,
    /// For whom: its place in the new set, counted from 1.
    #[n(1)]
    pub receiver: u16,
    /// The share.
    #[n(2)]
    pub share: Blob<32>,
}

/// `reshare.confirm`: signed by one that was ready, once it has stored its shares.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ReshareConfirm {
    /// The change.
    #[n(0)]
    pub change: Location,
    /// Shows that the signer has its share of the key that releases.
    #[n(1)]
    pub release: Blob<SHARE_PROOF_BYTES>,
    /// And of the one that evaluates for matching, if there is one.
    #[n(2)]
    pub matching: Option<Blob<SHARE_PROOF_BYTES>>,
}

/// n − f of `n` validators.
pub const fn quorum(n: usize) -> usize {
    n - n.saturating_sub(1) / 3
}

/// Whether one of the seats is the organisation's, with this release key.
pub fn sits(seats: &[Seat], organisation: OrganisationId, release: &PublicKey) -> bool {
    let is =
        |it: &Seat| it.validator.organisation == organisation && it.validator.release == *release;
    seats.iter().any(is)
}

/// The index of the share of the seat with this release key: its place plus 1.
pub fn index_of(seats: &[Seat], release: &PublicKey) -> Option<u16> {
    let place = seats.iter().position(|seat| seat.validator.release == *release)?;
    u16::try_from(place + 1).ok()
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

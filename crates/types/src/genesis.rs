//! The genesis file: what everyone in a consortium agrees on before the first block.

use alloc::vec::Vec;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    command::Payload,
    encoding::{DecodeError, List, Text},
    id::{Digest, OrganisationId, PublicKey},
    limits::{GENESIS_BYTES_MAX, GENESIS_COMMANDS_MAX, NAME_BYTES_MAX, VALIDATORS_MAX},
    time::BlockTime,
};

/// The one version of genesis files.
pub const GENESIS_VERSION: u8 = 1;

/// The consortium's founding. Its digest is the chain id.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Genesis {
    /// [`GENESIS_VERSION`].
    #[n(0)]
    pub version: u8,
    /// The consortium's public name.
    #[n(1)]
    pub name: Text<NAME_BYTES_MAX>,
    /// When it was founded; the time of block 0.
    #[n(2)]
    pub founded: BlockTime,
    /// Whether its keys were made by a demonstration and protect nothing.
    #[n(3)]
    pub demonstration: bool,
    /// The validators of epoch 0, in ascending order of `consensus`.
    #[n(4)]
    pub validators: List<Validator, VALIDATORS_MAX>,
    /// The committee that releases.
    #[n(5)]
    pub committee: CommitteeKeys,
    /// What the consortium has chosen.
    #[n(6)]
    pub parameters: Parameters,
    /// The entries of block 1: the first organisations and members.
    #[n(7)]
    pub entries: List<Payload, GENESIS_COMMANDS_MAX>,
}

impl Genesis {
    /// Decodes canonical bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        crate::decode(bytes, GENESIS_BYTES_MAX)
    }

    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        crate::encode(self)
    }

    /// f: how many validators may fail in any way. (n − 1) / 3, rounded down.
    pub fn faults_max(&self) -> usize {
        self.validators.len().saturating_sub(1) / 3
    }

    /// n − f: how many validators certify a block or open a record.
    pub fn quorum(&self) -> usize {
        self.validators.len() - self.faults_max()
    }
}

/// One validator's public keys. The validator's share of the committee has index (place + 1).
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Validator {
    /// Whose it is.
    #[n(0)]
    pub organisation: OrganisationId,
    /// Verifies its votes and its links to peers.
    #[n(1)]
    pub consensus: PublicKey,
    /// Verifies its release answers.
    #[n(2)]
    pub release: PublicKey,
}

/// The public side of the committee's shared key: points of ristretto255.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct CommitteeKeys {
    /// Shares that open.
    #[n(0)]
    pub threshold: u16,
    /// X = s·G.
    #[n(1)]
    pub key: Digest,
    /// Xᵢ = sᵢ·G, for i = 1, 2, ...
    #[n(2)]
    pub shares: List<Digest, VALIDATORS_MAX>,
}

/// Whether treatment inside a chart's own organisation needs the patient's grant.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum OwnOrganisation {
    /// Only a grant allows it.
    #[n(0)]
    OptIn,
    /// It is allowed for treatment, payment and operations until the patient denies it.
    #[n(1)]
    OptOut,
}

/// What the consortium has chosen.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Parameters {
    /// See [`OwnOrganisation`].
    #[n(0)]
    pub own_organisation: OwnOrganisation,
    /// k: how many custodians must have stored a record before it may be added.
    #[n(1)]
    pub custodians_min: u8,
    /// Commands of one organisation in one minute of block time, refused ones included.
    #[n(2)]
    pub commands_per_minute_max: u32,
    /// The redisclosure notice that readers sign.
    #[n(3)]
    pub notice: u8,
}

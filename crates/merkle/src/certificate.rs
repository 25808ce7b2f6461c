//! Certificates of finality: what n − f validators signed, checked without the engine.
//!
//! This is the verifier of finalizations of `commonware-consensus` 2026.10.0, protocol simplex with
//! ed25519 votes, written again as a pure function, so that a certificate can be checked in a browser
//! and in twenty years. A test holds both against each other.
//!
//! ```text
//! chain     "keepwell/consensus/v1/" ‖ chain id                          the engine's namespace
//! namespace chain ‖ "_FINALIZE"                                          simplex/scheme/mod.rs
//! proposal  varint(epoch) ‖ varint(view) ‖ varint(parent view) ‖ block   simplex/types.rs, `Proposal`
//! signed    varint(len(namespace)) ‖ namespace ‖ proposal                utils, `union_unique`
//! ```
//!
//! varint is LEB128: seven bits to a byte, the lowest first, the high bit set on all bytes but the last.
//!
//! # Invariants
//!
//! * Exactly one message is checked, that of a finalization: a vote to notarize or to nullify is signed
//!   in another namespace and proves nothing here.
//! * A validator counts once: votes stand in strictly ascending order.
//! * What the engine accepts is accepted, or else one validator that signs oddly could make the
//!   consortium's certificates worthless to everyone outside of it.
//!
//! * An epoch is checked by the newest known set of validators that began with it or before, and a block is of the
//!   epoch that its height says.
//!
//! Not here: nullifications and notarizations (they never leave the engine); which block is behind the
//! id ([`crate::receipt`]); how sets follow one another ([`crate::handover`]).

use alloc::{vec, vec::Vec};

use keepwell_crypto::{command::chain_id, sign};
use keepwell_types::{
    block::{Certificate, Header},
    genesis::Genesis,
    id::{BlockId, ChainId, Height},
    validators::{ValidatorSet, epoch_of},
};
use thiserror::Error;

use crate::block;

/// First part of the namespace that a consortium's consensus signs in.
const CONSENSUS: &[u8; 22] = b"keepwell/consensus/v1/";
/// What the engine appends to it for votes to finalize.
const FINALIZE: &[u8; 9] = b"_FINALIZE";

/// Bytes of [`consensus_namespace`].
pub const NAMESPACE_BYTES: usize = CONSENSUS.len() + ChainId::LEN;

/// The namespace that a consortium's engine is started with: votes for one chain are none for another.
pub fn consensus_namespace(chain: &ChainId) -> [u8; NAMESPACE_BYTES] {
    let mut namespace = [0; NAMESPACE_BYTES];
    let (prefix, rest) = namespace.split_at_mut(CONSENSUS.len());
    prefix.copy_from_slice(CONSENSUS);
    rest.copy_from_slice(&chain.0);
    namespace
}

/// Why a certificate certifies nothing.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum CertificateError {
    /// The genesis file itself names no validators, or not in ascending order of their keys.
    #[error(
        "the genesis file does not list validators in ascending order of their keys; get the consortium's own file"
    )]
    Genesis,
    /// A block is of one epoch, and the certificate of another.
    #[error("the certificate is of epoch {given}, and block {height} is of epoch {expected}")]
    OtherEpoch {
        /// The certificate's.
        given: u64,
        /// The block's.
        expected: u64,
        /// The block.
        height: Height,
    },
    /// It is for another block than the one shown.
    #[error("it certifies block {certified}, and block {shown} is shown")]
    OtherBlock {
        /// The certificate's.
        certified: BlockId,
        /// The header's.
        shown: BlockId,
    },
    /// Fewer than n − f.
    #[error("{given} validators signed and {needed} must")]
    TooFewVotes {
        /// Votes in it.
        given: usize,
        /// n − f.
        needed: usize,
    },
    /// A validator stands twice, or not in its place.
    #[error("the vote of validator {validator} is out of order or there twice")]
    VoteOrder {
        /// Whose vote.
        validator: u16,
    },
    /// There are not as many validators.
    #[error("there is no validator {validator}")]
    UnknownValidator {
        /// Its place.
        validator: u16,
    },
    /// Not a signature of this validator over this block, in this view, on this chain.
    #[error("the vote of validator {validator} is not its signature over this block")]
    BadVote {
        /// Whose vote.
        validator: u16,
    },
}

/// The validators of a consortium, as its genesis file and hand-overs name them: what certificates are checked by.
///
/// To check many certificates, make it once: it digests the whole genesis file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Validators {
    chain: ChainId,
    epoch_blocks: u32,
    /// By the epoch that each began with, in ascending order; the founders first.
    sets: Vec<ValidatorSet>,
}

/// Whether a set has seats, and in strictly ascending order of their keys.
pub(crate) fn is_ascending(set: &ValidatorSet) -> bool {
    let keys = || set.seats.iter().map(|it| it.validator.consensus);
    !set.seats.is_empty() && keys().zip(keys().skip(1)).all(|(one, next)| one < next)
}

/// A block that is final: n − f validators said so.
///
/// Only [`Validators::verify`] makes one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct VerifiedCertificate {
    chain: ChainId,
    block: BlockId,
    view: u64,
}

impl VerifiedCertificate {
    /// The consortium.
    pub const fn chain(&self) -> ChainId {
        self.chain
    }

    /// The block that is final, and all before it.
    pub const fn block(&self) -> BlockId {
        self.block
    }

    /// The view in which it was finalized.
    pub const fn view(&self) -> u64 {
        self.view
    }
}

/// Checks a certificate by the validators that `genesis` names.
pub fn verify(
    certificate: &Certificate,
    genesis: &Genesis,
) -> Result<VerifiedCertificate, CertificateError> {
    Validators::of(genesis)?.verify(certificate)
}

impl Validators {
    /// The validators that `genesis` names.
    pub fn of(genesis: &Genesis) -> Result<Self, CertificateError> {
        let founders = ValidatorSet::of(genesis);
        if !is_ascending(&founders) {
            return Err(CertificateError::Genesis);
        }
        let epoch_blocks = genesis.parameters.epoch_blocks();
        Ok(Self { chain: chain_id(genesis), epoch_blocks, sets: vec![founders] })
    }

    /// The consortium.
    pub const fn chain(&self) -> ChainId {
        self.chain
    }

    /// Blocks of one epoch.
    pub const fn epoch_blocks(&self) -> u32 {
        self.epoch_blocks
    }

    /// The sets that are known, the founders first.
    pub fn sets(&self) -> impl Iterator<Item = &ValidatorSet> {
        self.sets.iter()
    }

    /// Those whom the genesis file names.
    pub fn founders(&self) -> &ValidatorSet {
        &self.sets[0]
    }

    /// The newest set that is known.
    pub fn newest(&self) -> &ValidatorSet {
        self.sets.last().expect("the founders are known")
    }

    /// By whom certificates of an epoch are checked.
    pub fn in_force(&self, epoch: u64) -> &ValidatorSet {
        let later = self.sets.partition_point(|set| set.since <= epoch);
        &self.sets[later.saturating_sub(1)]
    }

    /// Takes in a set that was checked, and that begins after all others.
    pub(crate) fn push(&mut self, set: ValidatorSet) {
        debug_assert!(self.newest().since < set.since, "sets are pushed in order");
        self.sets.push(set);
    }

    /// Checks that a header is of the block that a certificate is for, and of the epoch whose validators signed.
    pub fn verify_header(
        &self,
        header: &Header,
        certificate: &Certificate,
    ) -> Result<VerifiedCertificate, CertificateError> {
        let (certified, shown) = (certificate.block, block::block_id(header));
        if certified != shown {
            return Err(CertificateError::OtherBlock { certified, shown });
        }
        let (given, height) = (certificate.epoch, header.height);
        let expected = epoch_of(height, self.epoch_blocks);
        if given != expected {
            return Err(CertificateError::OtherEpoch { given, expected, height });
        }
        self.verify(certificate)
    }

    /// Checks the signatures of a certificate. It says nothing of the block's height: [`Self::verify_header`] does.
    pub fn verify(
        &self,
        certificate: &Certificate,
    ) -> Result<VerifiedCertificate, CertificateError> {
        let set = self.in_force(certificate.epoch);
        let (given, needed) = (certificate.votes.len(), set.quorum());
        if given < needed {
            return Err(CertificateError::TooFewVotes { given, needed });
        }
        for pair in certificate.votes.windows(2) {
            if pair[0].validator >= pair[1].validator {
                return Err(CertificateError::VoteOrder { validator: pair[1].validator });
            }
        }
        let signed = signed_bytes(&self.chain, certificate);
        for vote in certificate.votes.iter() {
            let validator = vote.validator;
            let seat = set
                .seats
                .get(usize::from(validator))
                .ok_or(CertificateError::UnknownValidator { validator })?;
            sign::verify_raw(&seat.validator.consensus, &signed, &vote.signature)
                .map_err(|_| CertificateError::BadVote { validator })?;
        }
        Ok(VerifiedCertificate {
            chain: self.chain,
            block: certificate.block,
            view: certificate.view,
        })
    }
}

/// What each validator signed.
fn signed_bytes(chain: &ChainId, certificate: &Certificate) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(1 + NAMESPACE_BYTES + FINALIZE.len() + 3 * 10 + 32);
    put_varint(&mut bytes, (NAMESPACE_BYTES + FINALIZE.len()) as u64);
    bytes.extend_from_slice(&consensus_namespace(chain));
    bytes.extend_from_slice(FINALIZE);
    put_varint(&mut bytes, certificate.epoch);
    put_varint(&mut bytes, certificate.view);
    put_varint(&mut bytes, certificate.parent_view);
    bytes.extend_from_slice(&certificate.block.0);
    bytes
}

/// Appends `value` in LEB128.
fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

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
//! Not here: nullifications and notarizations (they never leave the engine); which block is behind the
//! id ([`crate::receipt`]).

use alloc::vec::Vec;

use keepwell_crypto::{command::chain_id, sign};
use keepwell_types::{
    block::Certificate,
    genesis::Genesis,
    id::{BlockId, ChainId, PublicKey},
};
use thiserror::Error;

/// First part of the namespace that a consortium's consensus signs in.
const CONSENSUS: &[u8; 22] = b"keepwell/consensus/v1/";
/// What the engine appends to it for votes to finalize.
const FINALIZE: &[u8; 9] = b"_FINALIZE";
/// The epoch whose validators the genesis file names.
const GENESIS_EPOCH: u64 = 0;

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
    /// The validators of that epoch are not known.
    #[error("the certificate is of epoch {epoch}, whose validators the genesis file does not name")]
    UnknownEpoch {
        /// The certificate's.
        epoch: u64,
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

/// The validators of a consortium, as its genesis file names them: what certificates are checked by.
///
/// To check many certificates, make it once: it digests the whole genesis file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Validators {
    chain: ChainId,
    /// In strictly ascending order, and at least one.
    keys: Vec<PublicKey>,
    quorum: usize,
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
        let keys: Vec<_> = genesis.validators.iter().map(|it| it.consensus).collect();
        if keys.is_empty() || !keys.is_sorted_by(|one, next| one < next) {
            return Err(CertificateError::Genesis);
        }
        Ok(Self { chain: chain_id(genesis), keys, quorum: genesis.quorum() })
    }

    /// The consortium.
    pub const fn chain(&self) -> ChainId {
        self.chain
    }

    /// n − f: how many must sign.
    pub const fn quorum(&self) -> usize {
        self.quorum
    }

    /// Checks a certificate.
    pub fn verify(
        &self,
        certificate: &Certificate,
    ) -> Result<VerifiedCertificate, CertificateError> {
        let epoch = certificate.epoch;
        if epoch != GENESIS_EPOCH {
            return Err(CertificateError::UnknownEpoch { epoch });
        }
        let (given, needed) = (certificate.votes.len(), self.quorum);
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
            let key = self
                .keys
                .get(usize::from(validator))
                .ok_or(CertificateError::UnknownValidator { validator })?;
            sign::verify_raw(key, &signed, &vote.signature)
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

//! Hand-overs: how whoever knows the founders comes to know who validates now.
//!
//! ```text
//! Handover = [header of the last block of an epoch, its certificate, the validators after it]
//!
//!  genesis file ──> founders ──certify──> header.next ──digest of──> their successors ──certify──> header.next ──> ...
//! ```
//!
//! # Invariants
//!
//! * A set takes over by the word of n − f validators of the set before it, in the last block of an epoch, and for the
//!   epochs after it. Sets that go on need no hand-over.
//! * The joint key of a committee is that of the genesis file for ever: a hand-over to another key is refused, whoever
//!   certified it.
//! * What is known stays. Another set from an epoch on than the one that is known is refused, and so is a set that
//!   should have begun before the newest one.
//!
//! # Why this is sound, and where it ends
//!
//! Whoever trusts the genesis file trusts that at most f of the founders are dishonest while they validate. Then each
//! block that they certify is the one block of its height, so each hand-over names the one set that the ledger came to,
//! and the same holds for that set in turn. Until it has seen a hand-over, a verifier checks later epochs by the older
//! set; whoever was told of no change could not do better, and finds out with the first hand-over. From then on the old
//! set certifies nothing of the epochs that it handed over, even if all of it is dishonest by then.
//!
//! Validators who left long ago and lost their keys can tell another story of the time in which they validated, to
//! someone who knows the genesis file only. They cannot to someone who has seen a later hand-over: who keeps what they
//! have seen, as a wallet does, is safe from it.
//!
//! Not here: how the ledger comes to a set (`keepwell-ledger`).

use alloc::vec::Vec;

use keepwell_crypto::command::validators_digest;
use keepwell_types::{
    block::{Certificate, HEADER_VERSION, Header},
    genesis::CommitteeKeys,
    id::{ChainId, Height},
    validators::{ValidatorSet, ends_epoch, epoch_of},
};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::certificate::{CertificateError, Validators, is_ascending};

/// The end of an epoch after which others validate, and all that proves it.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Handover {
    /// Of the last block of the epoch.
    #[n(0)]
    pub header: Header,
    /// By the validators until then.
    #[n(1)]
    pub certificate: Certificate,
    /// The validators from then on.
    #[n(2)]
    pub set: ValidatorSet,
}

/// Why a hand-over was refused.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum HandoverError {
    /// Of another consortium.
    #[error("the hand-over is of consortium {given}, not {expected}")]
    OtherConsortium {
        /// The header's.
        given: ChainId,
        /// Known here.
        expected: ChainId,
    },
    /// A header of a version that no validator makes.
    #[error("the hand-over has a header of version {0}")]
    HeaderVersion(u8),
    /// Sets change nowhere else.
    #[error("the hand-over is at block {0}, which ends no epoch")]
    NotLast(Height),
    /// The header commits to another set, or to none.
    #[error("block {0} does not hand over to these validators")]
    OtherSet(Height),
    /// The set begins with another epoch than the one after the block.
    #[error("the validators after block {height} would begin with epoch {given}")]
    Since {
        /// The block.
        height: Height,
        /// The set's.
        given: u64,
    },
    /// The set cannot validate: no seats, or not in order, or a committee that does not fit them.
    #[error("the validators from epoch {since} on are not a set that could validate")]
    Unfit {
        /// The set's.
        since: u64,
    },
    /// The joint key is not the genesis file's.
    #[error(
        "the validators from epoch {since} on would open records by another key than the founders' committee"
    )]
    OtherKey {
        /// The set's.
        since: u64,
    },
    /// Another set is known from this epoch on: n − f validators have certified both.
    #[error(
        "two sets of validators were handed over to from epoch {since} on: the validators before have broken the ledger; keep both hand-overs and tell every organisation"
    )]
    Contradicts {
        /// Of both.
        since: u64,
    },
    /// It should have come before one that is known.
    #[error(
        "the hand-over is to validators from epoch {since} on, and those from epoch {newest} on are known already"
    )]
    Replaced {
        /// The set's.
        since: u64,
        /// Of the newest one known.
        newest: u64,
    },
    /// Not certified by those who validated until then.
    #[error(
        "the hand-over to the validators from epoch {since} on is not certified by those before them, or a hand-over between is missing: {fault}"
    )]
    Certificate {
        /// The set's.
        since: u64,
        /// What is wrong.
        fault: CertificateError,
    },
}

impl Handover {
    /// Its canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        keepwell_types::encode(self)
    }
}

impl Validators {
    /// Follows a hand-over. One that is known already changes nothing.
    pub fn advance(&mut self, handover: &Handover) -> Result<(), HandoverError> {
        let Handover { header, certificate, set } = handover;
        self.check_announced(header, set)?;
        let (since, newest) = (set.since, self.newest().since);
        let known = self.sets().find(|it| it.since == since);
        if known == Some(set) {
            return Ok(());
        }
        if known.is_none() && since < newest {
            return Err(HandoverError::Replaced { since, newest });
        }
        // Before anyone is blamed: whoever forged it is none of the validators.
        self.verify_header(header, certificate)
            .map_err(|fault| HandoverError::Certificate { since, fault })?;
        if known.is_some() {
            return Err(HandoverError::Contradicts { since });
        }
        self.check_fit(set)?;
        self.push(set.clone());
        Ok(())
    }

    /// Checks that a header says that this set takes over.
    fn check_announced(&self, header: &Header, set: &ValidatorSet) -> Result<(), HandoverError> {
        let (given, expected) = (header.chain, self.chain());
        if given != expected {
            return Err(HandoverError::OtherConsortium { given, expected });
        }
        if header.version != HEADER_VERSION {
            return Err(HandoverError::HeaderVersion(header.version));
        }
        let height = header.height;
        if !ends_epoch(height, self.epoch_blocks()) {
            return Err(HandoverError::NotLast(height));
        }
        if header.next != Some(validators_digest(set)) {
            return Err(HandoverError::OtherSet(height));
        }
        if set.since != epoch_of(height, self.epoch_blocks()) + 1 {
            return Err(HandoverError::Since { height, given: set.since });
        }
        Ok(())
    }

    /// Checks that a set can validate, with the founders' keys.
    fn check_fit(&self, set: &ValidatorSet) -> Result<(), HandoverError> {
        let since = set.since;
        let founders = self.founders();
        let fits = |keys: &CommitteeKeys| {
            usize::from(keys.threshold) == set.quorum() && keys.shares.len() == set.seats.len()
        };
        if !is_ascending(set) || !fits(&set.committee) || !set.matching.as_ref().is_none_or(fits) {
            return Err(HandoverError::Unfit { since });
        }
        let matching = |set: &ValidatorSet| set.matching.as_ref().map(|it| it.key);
        if set.committee.key != founders.committee.key || matching(set) != matching(founders) {
            return Err(HandoverError::OtherKey { since });
        }
        Ok(())
    }
}

//! What a client knows before it asks anyone: the genesis file, and all that follows from it.

use keepwell_crypto::{
    matching::MatchingCommittee,
    seal::SealError,
    threshold::{Committee, CommitteeError},
    trustee::TrusteeGroup,
};
use keepwell_merkle::certificate::{CertificateError, Validators};
use keepwell_types::{
    DecodeError,
    genesis::{Genesis, GenesisFault},
    id::{ChainId, OrganisationId, PublicKey},
};
use thiserror::Error;

/// Why a genesis file cannot be used: the fault of whoever wrote it, or of whoever chose the file.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum GenesisError {
    /// Not a genesis file.
    #[error("this is not a whole genesis file: {0}; get the consortium's own file")]
    Malformed(#[from] DecodeError),
    /// It names no usable validators.
    #[error("{0}")]
    Validators(#[from] CertificateError),
    /// It names no usable committee.
    #[error("the genesis file names no usable committee: {0}; get the consortium's own file")]
    Committee(#[from] CommitteeError),
    /// It names no usable trustees.
    #[error(
        "the genesis file names a trustee without a usable key: {0}; get the consortium's own file"
    )]
    Trustees(#[from] SealError),
    /// It contradicts itself.
    #[error("{0}; get the consortium's own file")]
    Fault(#[from] GenesisFault),
}

/// A consortium as its genesis file founds it.
#[derive(Clone, Debug)]
pub struct Consortium {
    genesis: Genesis,
    validators: Validators,
    committee: Committee,
    trustees: Option<TrusteeGroup>,
    matching: Option<MatchingCommittee>,
}

impl Consortium {
    /// Reads a genesis file.
    pub fn read(bytes: &[u8]) -> Result<Self, GenesisError> {
        Self::new(Genesis::decode(bytes)?)
    }

    /// Checks that a genesis file names validators and their committee.
    pub fn new(genesis: Genesis) -> Result<Self, GenesisError> {
        genesis.check()?;
        let validators = Validators::of(&genesis)?;
        let committee = Committee::new(&genesis.committee)?;
        let trustees = genesis.trustees.as_ref().map(TrusteeGroup::new).transpose()?;
        let matching = genesis.matching.as_ref().map(MatchingCommittee::new).transpose()?;
        Ok(Self { genesis, validators, committee, trustees, matching })
    }

    /// Who holds what is left to emergencies, if anyone does.
    pub const fn trustees(&self) -> Option<&TrusteeGroup> {
        self.trustees.as_ref()
    }

    /// The genesis file.
    pub const fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// Its digest.
    pub const fn chain(&self) -> ChainId {
        self.validators.chain()
    }

    /// What certificates are checked by.
    pub const fn validators(&self) -> &Validators {
        &self.validators
    }

    /// What the second lock is sealed to.
    pub const fn committee(&self) -> &Committee {
        &self.committee
    }

    /// What evaluates for matching, if the consortium has that.
    pub const fn matching(&self) -> Option<&MatchingCommittee> {
        self.matching.as_ref()
    }

    /// Whose validator has the committee's share `share`, and the key that signs its release answers.
    pub fn releaser(&self, share: u16) -> Option<(OrganisationId, &PublicKey)> {
        let place = usize::from(share).checked_sub(1)?;
        self.genesis.validators.get(place).map(|it| (it.organisation, &it.release))
    }
}

#[cfg(test)]
mod tests {
    use keepwell_crypto::threshold::deal;

    use super::*;
    use crate::{client::rng, testing::World};

    #[test]
    fn a_committee_opens_with_as_many_shares_as_certify() {
        let genesis = World::new("committee").consortium.genesis().clone();
        for (threshold, expected) in [
            (1, Err(GenesisFault::Threshold { threshold: 1, quorum: 3 })),
            (2, Err(GenesisFault::Threshold { threshold: 2, quorum: 3 })),
            (3, Ok(())),
            (4, Err(GenesisFault::Threshold { threshold: 4, quorum: 3 })),
        ] {
            let (committee, _) = deal(&mut rng(), 4, threshold);
            let consortium = Consortium::new(Genesis { committee, ..genesis.clone() });
            assert_eq!(consortium.map(|_| ()), expected.map_err(GenesisError::Fault));
        }
    }
}

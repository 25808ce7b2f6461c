//! What a client knows before it asks anyone: the genesis file, the hand-overs since, and all that follows from them.

use std::ops::RangeInclusive;

use keepwell_crypto::{
    matching::MatchingCommittee,
    seal::SealError,
    threshold::{Committee, CommitteeError},
    trustee::TrusteeGroup,
};
use keepwell_merkle::{
    certificate::{CertificateError, Validators},
    handover::{Handover, HandoverError},
};
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

/// Why hand-overs that were kept cannot be followed: the fault of the file that they are in.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum FollowError {
    /// One does not hold.
    #[error(transparent)]
    Handover(#[from] HandoverError),
    /// The committee that one names.
    #[error("a hand-over names no usable committee: {0}; tell every organisation")]
    Committee(#[from] CommitteeError),
}

/// A consortium as its genesis file founds it, and as hand-overs have changed it since.
#[derive(Clone, Debug)]
pub struct Consortium {
    genesis: Genesis,
    validators: Validators,
    committee: Committee,
    trustees: Option<TrusteeGroup>,
    matching: Option<MatchingCommittee>,
    handovers: Vec<Handover>,
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
        Ok(Self { genesis, validators, committee, trustees, matching, handovers: Vec::new() })
    }

    /// The consortium after more hand-overs. Those that are known already change nothing.
    pub fn followed(&self, handovers: &[Handover]) -> Result<Self, FollowError> {
        let mut then = self.clone();
        for handover in handovers {
            let newest = then.validators.newest().since;
            then.validators.advance(handover)?;
            if then.validators.newest().since > newest {
                then.handovers.push(handover.clone());
            }
        }
        let newest = then.validators.newest();
        let committee = Committee::new(&newest.committee)?;
        let matching = newest.matching.as_ref().map(MatchingCommittee::new).transpose()?;
        (then.committee, then.matching) = (committee, matching);
        Ok(then)
    }

    /// The hand-overs that were followed, in order: what others need to come as far.
    pub fn handovers(&self) -> &[Handover] {
        &self.handovers
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

    /// The numbers of the committee's shares.
    pub fn shares(&self) -> RangeInclusive<u16> {
        1..=self.committee.shares()
    }

    /// Whose validator has the committee's share `share`, and the key that signs its release answers.
    pub fn releaser(&self, share: u16) -> Option<(OrganisationId, &PublicKey)> {
        let place = usize::from(share).checked_sub(1)?;
        let seat = &self.validators.newest().seats.get(place)?.validator;
        Some((seat.organisation, &seat.release))
    }
}

#[cfg(test)]
mod tests {
    use keepwell_crypto::threshold::deal;

    use keepwell_crypto::command::validators_digest;
    use keepwell_types::{
        block::{Header, Round},
        id::{Digest, Height},
        validators::ValidatorSet,
    };

    use super::*;
    use crate::{client::rng, testing::World};

    /// The hand-over to a set that begins with an epoch, by the founders.
    fn handover(world: &World, set: ValidatorSet) -> Handover {
        let genesis = world.consortium.genesis();
        let height = Height(set.since * u64::from(genesis.parameters.epoch_blocks()) - 1);
        let header = world.header(9, Digest([1; 32]));
        let round = Round { epoch: set.since - 1, ..header.round };
        let header = Header { height, next: Some(validators_digest(&set)), round, ..header };
        let certificate = world.certified(header.clone()).certificate;
        Handover { header, certificate, set }
    }

    /// The founders, with seats in which other organisations sit.
    fn successors(world: &World, organisation: u8) -> ValidatorSet {
        let mut set = ValidatorSet { since: 1, ..ValidatorSet::of(world.consortium.genesis()) };
        let mut seats = set.seats.into_vec();
        seats[0].validator.organisation = OrganisationId([organisation; 16]);
        set.seats = keepwell_types::encoding::List::from_vec(seats).unwrap();
        set
    }

    #[test]
    fn hand_overs_are_followed_and_not_gone_back_from() {
        let world = World::new("handovers");
        let good = handover(&world, successors(&world, 0xa1));
        let followed = world.consortium.followed(std::slice::from_ref(&good)).unwrap();
        assert_eq!(followed.releaser(1).unwrap().0, OrganisationId([0xa1; 16]));
        assert_eq!(followed.handovers(), std::slice::from_ref(&good));
        assert_eq!(followed.committee().id(), world.consortium.committee().id());

        // Told again, it changes nothing; told otherwise, it is refused.
        let again = followed.followed(&[good.clone(), good]).unwrap();
        assert_eq!(again.handovers().len(), 1);
        let other = handover(&world, successors(&world, 0xb2));
        assert_eq!(
            followed.followed(&[other]).map(|_| ()),
            Err(HandoverError::Contradicts { since: 1 }.into())
        );
    }

    #[test]
    fn a_forged_hand_over_changes_nothing() {
        let world = World::new("forged handovers");
        let good = handover(&world, successors(&world, 0xa1));
        let mut forged = good.clone();
        forged.set.committee.key = Digest([9; 32]);
        let fault = HandoverError::OtherSet(good.header.height);
        assert_eq!(world.consortium.followed(&[good, forged]).map(|_| ()), Err(fault.into()));
    }

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

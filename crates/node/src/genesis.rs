//! Founding a consortium for a demonstration: one party makes all keys and deals all shares.
//!
//! The genesis file and each key file say that they are a demonstration's, and so does whatever is
//! founded with them: whoever ran this knows every secret.
//!
//! A consortium of strangers is founded by a ceremony between their hosts (`keepwell_crypto::ceremony`), which
//! leaves the form of the genesis file as it is. See `docs/founding.md`.

use keepwell_crypto::{matching, sign::SigningKey, threshold};
use keepwell_types::{
    command::Payload,
    encoding::{List, OverLimit, Text},
    genesis::{
        EmergencyRule, GENESIS_VERSION, Genesis, MatchingRule, OwnOrganisation, Parameters,
        RecoveryRule, Validator,
    },
    id::OrganisationId,
    limits::{IN_STANDING_MAX, VALIDATORS_MAX},
    member::{Administrators, OrganisationAdmit, OrganisationKind},
    set::KindSet,
    time::BlockTime,
};
use rand_core::CryptoRng;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::keys::NodeKeys;

/// Each founder has a validator, and all of them govern together.
const FOUNDERS_MAX: usize = IN_STANDING_MAX as usize;
const _: () = assert!(FOUNDERS_MAX <= VALIDATORS_MAX, "each founder has a validator");

/// What an organisation brings to the founding.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Founder {
    /// Its public name.
    pub name: String,
    /// What it is.
    pub kind: OrganisationKind,
}

/// A founded consortium, with the secrets of everyone in it.
pub struct Demonstration {
    /// The genesis file, in which the validators stand in the order of their consensus keys.
    pub genesis: Genesis,
    /// One for each founder, in the order in which they were given.
    pub nodes: Vec<DemonstrationNode>,
}

/// One organisation of a demonstration.
pub struct DemonstrationNode {
    /// The organisation.
    pub organisation: OrganisationId,
    /// Its node's secrets.
    pub keys: NodeKeys,
    /// Seed of its administrator's signing key.
    pub administrator: Zeroizing<[u8; 32]>,
}

/// A consortium could not be founded.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum FoundError {
    /// No founders, or too many.
    #[error("a consortium has 1 to {max} founders with a validator, not {given}", max = FOUNDERS_MAX)]
    Founders {
        /// Given.
        given: usize,
    },
    /// A name is too long.
    #[error("a public name is too long: {0}")]
    Name(#[from] OverLimit),
}

/// Nobody wants to watch a demonstration for three days.
const DEMONSTRATION_RECOVERY: RecoveryRule = RecoveryRule { delay_ms: 4_000 };

/// Or for an hour until a validator has joined: where nothing happens, this is a minute and a half.
const DEMONSTRATION_EPOCH_BLOCKS: u32 = 64;

/// What a demonstration's consortium chooses.
pub const DEMONSTRATION_PARAMETERS: Parameters = Parameters {
    own_organisation: OwnOrganisation::OptOut,
    custodians_min: 1,
    commands_per_minute_max: 1_000_000,
    notice: 1,
    licensed: KindSet::EMPTY,
    emergency: EmergencyRule::USUAL,
    recovery: Some(DEMONSTRATION_RECOVERY),
    sign_off: None,
    matching: Some(MatchingRule::USUAL),
    epoch_blocks: Some(DEMONSTRATION_EPOCH_BLOCKS),
};

/// Founds a consortium and makes all of its keys.
pub fn found(
    rng: &mut impl CryptoRng,
    name: &str,
    founded: BlockTime,
    founders: &[Founder],
    parameters: Parameters,
) -> Result<Demonstration, FoundError> {
    let given = founders.len();
    let validators = u16::try_from(given).ok().filter(|_| (1..=FOUNDERS_MAX).contains(&given));
    let validators = validators.ok_or(FoundError::Founders { given })?;
    let threshold = validators - (validators - 1) / 3;
    let (committee, shares) = threshold::deal(rng, validators, threshold);
    let (matching, evaluators) = match parameters.matching {
        Some(_) => {
            let (keys, shares) = matching::deal(rng, validators, threshold);
            (Some(keys), shares)
        }
        None => (None, Vec::new()),
    };
    let mut evaluators = evaluators.into_iter();

    // The validator at place i holds share i + 1, and places follow the consensus keys.
    let mut seeds: Vec<_> = founders.iter().map(|_| seed(rng)).collect();
    let mut places: Vec<usize> = (0..given).collect();
    places.sort_by_key(|founder| SigningKey::from_seed(&seeds[*founder]).public());
    let mut nodes: Vec<Option<DemonstrationNode>> = founders.iter().map(|_| None).collect();
    for (founder, share) in places.iter().zip(shares) {
        let consensus = std::mem::take(&mut seeds[*founder]);
        let mut organisation = [0; 16];
        rng.fill_bytes(&mut organisation);
        nodes[*founder] = Some(DemonstrationNode {
            organisation: OrganisationId(organisation),
            keys: NodeKeys {
                consensus,
                release: seed(rng),
                share: Some(share),
                matching: evaluators.next(),
                custodian: seed(rng),
            },
            administrator: seed(rng),
        });
    }
    let nodes: Vec<_> = nodes.into_iter().flatten().collect();

    let entries: Vec<Payload> = founders.iter().zip(&nodes).map(admit).collect::<Result<_, _>>()?;
    let genesis = Genesis {
        version: GENESIS_VERSION,
        name: Text::from_string(name.to_owned())?,
        founded,
        demonstration: true,
        validators: List::from_vec(places.iter().map(|at| validator(&nodes[*at])).collect())?,
        committee,
        parameters,
        entries: List::from_vec(entries)?,
        trustees: None,
        matching,
    };
    Ok(Demonstration { genesis, nodes })
}

fn seed(rng: &mut impl CryptoRng) -> Zeroizing<[u8; 32]> {
    let mut seed = Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *seed);
    seed
}

fn validator(node: &DemonstrationNode) -> Validator {
    Validator {
        organisation: node.organisation,
        consensus: node.keys.consensus_key(),
        release: node.keys.release_key(),
    }
}

fn admit((founder, node): (&Founder, &DemonstrationNode)) -> Result<Payload, FoundError> {
    Ok(Payload::OrganisationAdmit(OrganisationAdmit {
        organisation: node.organisation,
        kind: founder.kind,
        name: Text::from_string(founder.name.clone())?,
        administrators: Administrators::one(SigningKey::from_seed(&node.administrator).public()),
        custodian: Some(node.keys.custodian_key()),
    }))
}

#[cfg(test)]
mod tests {
    use keepwell_crypto::{matching::MatchingCommittee, threshold::Committee};

    use super::*;
    use crate::random::rng;

    fn founders(count: usize) -> Vec<Founder> {
        let founder = |at| Founder { name: format!("H{at}"), kind: OrganisationKind::Hospital };
        (0..count).map(founder).collect()
    }

    #[test]
    fn each_node_holds_the_keys_of_its_place() {
        for count in [1, 3, 4, 7] {
            let it =
                found(&mut rng(), "t", BlockTime(1), &founders(count), DEMONSTRATION_PARAMETERS)
                    .unwrap();
            assert!(it.genesis.demonstration);
            assert!(it.genesis.validators.is_sorted_by_key(|validator| validator.consensus));
            assert_eq!(usize::from(it.genesis.committee.threshold), it.genesis.quorum());
            assert_eq!(it.genesis.check(), Ok(()));
            let committee = Committee::new(&it.genesis.committee).unwrap();
            let matching = it.genesis.matching.as_ref().unwrap();
            let matching = MatchingCommittee::new(matching).unwrap();
            for node in &it.nodes {
                let share = node.keys.share.as_ref().unwrap();
                let place = usize::from(share.index()) - 1;
                let validator = it.genesis.validators[place];
                assert_eq!(validator.organisation, node.organisation);
                assert_eq!(validator.consensus, node.keys.consensus_key());
                assert_eq!(validator.release, node.keys.release_key());
                assert!(share.is_of(&committee));
                let evaluates = node.keys.matching.as_ref().unwrap();
                assert!(evaluates.is_of(&matching) && evaluates.index() == share.index());
            }
        }
    }

    #[test]
    fn a_consortium_may_have_no_matching() {
        let parameters = Parameters { matching: None, ..DEMONSTRATION_PARAMETERS };
        let it = found(&mut rng(), "t", BlockTime(1), &founders(4), parameters).unwrap();
        assert!(it.genesis.matching.is_none());
        assert!(it.nodes.iter().all(|node| node.keys.matching.is_none()));
        assert_eq!(it.genesis.check(), Ok(()));
    }

    #[test]
    fn a_consortium_has_founders_and_not_too_many() {
        for given in [0, FOUNDERS_MAX + 1] {
            let error =
                found(&mut rng(), "t", BlockTime(1), &founders(given), DEMONSTRATION_PARAMETERS);
            assert_eq!(error.err(), Some(FoundError::Founders { given }));
        }
    }
}

//! A genesis file that exists may still contradict itself: each such file is refused, with the fault named.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use keepwell_types::{
    chart::COMPARTMENT_KEY_BYTES,
    command::Payload,
    encoding::{Blob, List, Text},
    genesis::{
        CommitteeKeys, EmergencyRule, GENESIS_VERSION, Genesis, GenesisFault, MatchingRule,
        OwnOrganisation, Parameters, RecoveryRule, Trustee, Trustees, Validator,
    },
    id::{Digest, OrganisationId, PublicKey},
    limits::{
        EMERGENCY_MS_MAX, IN_STANDING_MAX, MATCH_PERIOD_MS_MIN, MATCH_POINTS_PER_PERIOD_MAX,
        RECOVERY_DELAY_MS_MAX,
    },
    member::{Administrators, OrganisationAdmit, OrganisationKind},
    record::RecordKind,
    set::KindSet,
    signoff::KindRule,
    time::BlockTime,
};

fn list<T, const MAX: usize>(items: impl IntoIterator<Item = T>) -> List<T, MAX> {
    List::from_vec(items.into_iter().collect()).unwrap()
}

fn validator(number: u8) -> Validator {
    Validator {
        organisation: OrganisationId([number; 16]),
        consensus: PublicKey([number; 32]),
        release: PublicKey([100 + number; 32]),
    }
}

/// A genesis file of `validators` validators of whom n − f open.
fn genesis(validators: u8) -> Genesis {
    let threshold = u16::from(validators - validators.saturating_sub(1) / 3);
    Genesis {
        version: GENESIS_VERSION,
        name: Text::from_string("t".into()).unwrap(),
        founded: BlockTime(1),
        demonstration: true,
        validators: list((1..=validators).map(validator)),
        committee: CommitteeKeys {
            threshold,
            key: Digest([1; 32]),
            shares: list((1..=validators).map(|it| Digest([it; 32]))),
        },
        parameters: Parameters {
            own_organisation: OwnOrganisation::OptIn,
            custodians_min: 1,
            commands_per_minute_max: 1,
            notice: 1,
            licensed: KindSet::EMPTY,
            emergency: EmergencyRule::USUAL,
            sign_off: None,
            recovery: None,
            matching: None,
            epoch_blocks: None,
        },
        entries: List::new(),
        trustees: None,
        matching: None,
    }
}

fn legal(rule: &str) -> KindRule {
    let kinds = KindSet::EMPTY.with(RecordKind::Legal);
    KindRule { kinds, rule: rule.parse().unwrap(), or_less: false }
}

fn admissions(count: u32) -> impl Iterator<Item = Payload> {
    (0..count).map(|number| {
        Payload::OrganisationAdmit(OrganisationAdmit {
            organisation: OrganisationId(u128::from(number).to_be_bytes()),
            kind: OrganisationKind::Hospital,
            name: Text::from_string("t".into()).unwrap(),
            administrators: Administrators::one(PublicKey([1; 32])),
            custodian: None,
        })
    })
}

#[test]
fn validators_and_committee_belong_together() {
    type Change = fn(&mut Genesis);
    let cases: [(&str, Change, Result<(), GenesisFault>); 15] = [
        ("as it should be", |_| {}, Ok(())),
        ("no validators", |it| it.validators = List::new(), Err(GenesisFault::Validators)),
        (
            "a validator twice",
            |it| it.validators = list([1, 1, 2, 3].map(validator)),
            Err(GenesisFault::Validators),
        ),
        (
            "out of order",
            |it| it.validators = list([2, 1, 3, 4].map(validator)),
            Err(GenesisFault::Validators),
        ),
        (
            "one release key for two",
            |it| {
                let release = validator(1).release;
                let fourth = Validator { release, ..validator(4) };
                it.validators = list([validator(1), validator(2), validator(3), fourth]);
            },
            Err(GenesisFault::ReleaseKey(validator(1).release)),
        ),
        (
            "a share too few",
            |it| it.committee.shares = list((1..=3).map(|it| Digest([it; 32]))),
            Err(GenesisFault::Shares { shares: 3, validators: 4 }),
        ),
        (
            "one share opens",
            |it| it.committee.threshold = 1,
            Err(GenesisFault::Threshold { threshold: 1, quorum: 3 }),
        ),
        (
            "all shares must open",
            |it| it.committee.threshold = 4,
            Err(GenesisFault::Threshold { threshold: 4, quorum: 3 }),
        ),
        (
            "an emergency without end",
            |it| it.parameters.emergency.open_ms_max = EMERGENCY_MS_MAX + 1,
            Err(GenesisFault::Emergency {
                given_ms: EMERGENCY_MS_MAX + 1,
                max_ms: EMERGENCY_MS_MAX,
            }),
        ),
        (
            "a rule for what is signed",
            |it| it.parameters.sign_off = Some(list([legal("consent: patient")])),
            Ok(()),
        ),
        (
            "two rules for one kind",
            |it| {
                let rules = ["consent: patient", "witness: nurse@chart"].map(legal);
                it.parameters.sign_off = Some(list(rules));
            },
            Err(GenesisFault::SignOff { place: 1 }),
        ),
        (
            "a recovery as slow as it may be",
            |it| it.parameters.recovery = Some(RecoveryRule { delay_ms: RECOVERY_DELAY_MS_MAX }),
            Ok(()),
        ),
        (
            "a recovery that would be over before its end",
            |it| {
                it.parameters.recovery = Some(RecoveryRule { delay_ms: RECOVERY_DELAY_MS_MAX + 1 })
            },
            Err(GenesisFault::Recovery {
                given_ms: RECOVERY_DELAY_MS_MAX + 1,
                max_ms: RECOVERY_DELAY_MS_MAX,
            }),
        ),
        (
            "as many organisations as can govern",
            |it| it.entries = list(admissions(IN_STANDING_MAX)),
            Ok(()),
        ),
        (
            "one more",
            |it| it.entries = list(admissions(IN_STANDING_MAX + 1)),
            Err(GenesisFault::Organisations { organisations: 24, max: 23 }),
        ),
    ];
    for (what, change, expected) in cases {
        let mut genesis = genesis(4);
        change(&mut genesis);
        assert_eq!(genesis.check(), expected, "{what}");
    }
    for validators in [1, 2, 3, 5, 6, 7, 10, 64] {
        assert_eq!(genesis(validators).check(), Ok(()), "{validators} validators");
    }
}

/// The separation is the point: validators and trustees together open what was left.
#[test]
fn trustees_are_several_and_have_no_validator() {
    let trustee = |number: u8| Trustee {
        name: Text::from_string("t".into()).unwrap(),
        sealing: Blob::from_vec(vec![number; COMPARTMENT_KEY_BYTES]).unwrap(),
        signing: PublicKey([200 + number; 32]),
        organisation: None,
    };
    let signing = |key| Trustee { signing: key, ..trustee(3) };
    let organisation = Some(validator(2).organisation);
    let refused = |key| Err(GenesisFault::Trustee(key));
    let of = |threshold, third| (threshold, list([trustee(1), trustee(2), third]));
    for ((threshold, trustees), expected) in [
        (of(2, trustee(3)), Ok(())),
        (of(3, trustee(3)), Ok(())),
        (of(1, trustee(3)), Err(GenesisFault::TrusteeThreshold { threshold: 1, trustees: 3 })),
        (of(4, trustee(3)), Err(GenesisFault::TrusteeThreshold { threshold: 4, trustees: 3 })),
        ((2, List::new()), Err(GenesisFault::TrusteeThreshold { threshold: 2, trustees: 0 })),
        (of(2, trustee(2)), refused(trustee(2).signing)),
        (of(2, signing(trustee(1).signing)), refused(trustee(1).signing)),
        (of(2, signing(validator(1).consensus)), refused(validator(1).consensus)),
        (of(2, signing(validator(1).release)), refused(validator(1).release)),
        (of(2, Trustee { organisation, ..trustee(3) }), refused(trustee(3).signing)),
    ] {
        let trustees = Some(Trustees { threshold, trustees });
        assert_eq!(Genesis { trustees, ..genesis(4) }.check(), expected);
    }
}

/// Matching has its own key and a quota within limits, or neither.
#[test]
fn matching_has_a_key_of_its_own_and_a_quota() {
    type Change = fn(&mut Genesis);
    let with_matching = || {
        let mut genesis = genesis(4);
        genesis.matching = Some(CommitteeKeys {
            threshold: 3,
            key: Digest([50; 32]),
            shares: list((51..=54).map(|it| Digest([it; 32]))),
        });
        genesis.parameters.matching = Some(MatchingRule::USUAL);
        genesis
    };
    assert_eq!(with_matching().check(), Ok(()));
    let changes: [(&str, Change); 8] = [
        ("no quota", |it| it.parameters.matching = None),
        ("no key", |it| it.matching = None),
        ("the key that releases", |it| it.matching = Some(it.committee.clone())),
        ("a share of that key", |it| {
            let share = it.committee.shares[0];
            let keys = it.matching.as_mut().unwrap();
            keys.shares = list([share].into_iter().chain(keys.shares.iter().skip(1).copied()));
        }),
        ("a share too few", |it| {
            let keys = it.matching.as_mut().unwrap();
            keys.shares = list(keys.shares.iter().skip(1).copied());
        }),
        ("fewer evaluate than certify", |it| it.matching.as_mut().unwrap().threshold = 2),
        ("too large a quota", |it| {
            let points_max = MATCH_POINTS_PER_PERIOD_MAX + 1;
            it.parameters.matching = Some(MatchingRule { points_max, ..MatchingRule::USUAL });
        }),
        ("too short a period", |it| {
            let period_ms = MATCH_PERIOD_MS_MIN - 1;
            it.parameters.matching = Some(MatchingRule { period_ms, ..MatchingRule::USUAL });
        }),
    ];
    for (what, change) in changes {
        let mut genesis = with_matching();
        change(&mut genesis);
        assert_eq!(genesis.check(), Err(GenesisFault::Matching), "{what}");
    }
    let with = with_matching().encode();
    assert_eq!(Genesis::decode(&with), Ok(with_matching()));
    assert!(genesis(4).encode().len() < with.len(), "without matching nothing is added");
}

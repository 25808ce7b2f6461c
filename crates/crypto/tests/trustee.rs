//! What is left to emergencies, and trustees who answer, lie or are too few.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_crypto::{
    escrow::EscrowFault,
    keys::{ChartSecret, MemberSecret},
    release::Access,
    seal::SealingKey,
    trustee::{
        AnswerCollector, AnswerFault, ChartEscrow, Left, Opens, TrusteeAnswer, TrusteeGroup,
        TrusteeKey,
    },
};
use keepwell_types::{
    encoding::{List, Text},
    genesis::{Trustee, Trustees},
    id::{ChainId, ChartId, CommandDigest, Compartment, Epoch},
    limits::{
        CHART_ESCROW_BYTES_MAX, COMPARTMENTS, EPOCHS_AHEAD_MAX, ESCROW_EPOCHS_MAX, TRUSTEES_MAX,
    },
    set::CompartmentSet,
};
use support::CountingRng;

const CHAIN: ChainId = ChainId([1; 32]);
const CHART: ChartId = ChartId([2; 32]);

fn rng() -> CountingRng {
    CountingRng::new("trustees")
}

fn secret(trustee: u8) -> MemberSecret {
    MemberSecret::from_bytes(&[trustee; 32])
}

fn trustees(threshold: u16, count: u8) -> Trustees {
    let trustee = |number: u8| Trustee {
        name: Text::from_string(format!("T{number}")).unwrap(),
        sealing: secret(number).sealing().public().to_blob(),
        signing: secret(number).signing().public(),
        organisation: None,
    };
    Trustees { threshold, trustees: List::from_vec((1..=count).map(trustee).collect()).unwrap() }
}

fn compartment(index: u8) -> Compartment {
    Compartment::new(index).unwrap()
}

fn left(index: u8, epochs: core::ops::Range<u32>) -> Left {
    let chart = ChartSecret::derive(&[3; 32], CHART);
    let (compartment, from) = (compartment(index), Epoch(epochs.start));
    let seeds = epochs.map(|epoch| chart.epoch_seed(compartment, Epoch(epoch))).collect();
    Left { compartment, from, seeds }
}

/// Compartments 1 and 3 are left: epochs 0 and 1, and epoch 2 for later.
fn escrow() -> ChartEscrow {
    let group = TrusteeGroup::new(&trustees(2, 3)).unwrap();
    let left = [left(1, 0..2), left(1, 2..3), left(3, 0..2), left(3, 2..3)];
    ChartEscrow::deal(&mut rng(), &CHAIN, CHART, &group, &left).unwrap()
}

fn reader() -> SealingKey {
    SealingKey::from_seed(&[9; 32])
}

fn access() -> Access {
    let reader_key = reader().public().digest();
    Access { chain: CHAIN, command: CommandDigest([4; 32]), reader_key }
}

const EPOCHS: [Epoch; COMPARTMENTS] = [Epoch(1); COMPARTMENTS];

fn opens<'a>(access: &'a Access, index: u8, epochs: &'a [Epoch; COMPARTMENTS]) -> Opens<'a> {
    let compartments = CompartmentSet::EMPTY.with(compartment(index));
    Opens { access, compartments, epochs }
}

fn answer(trustee: u8, opens: &Opens<'_>) -> TrusteeAnswer {
    let key = TrusteeKey::new(&trustees(2, 3), &secret(trustee)).unwrap();
    key.answer(&mut rng(), opens, &escrow(), &reader().public()).unwrap()
}

#[test]
fn h3_a_threshold_of_trustees_gives_the_seeds_of_what_was_asked_for() {
    let (group, escrow, reader, access) =
        (TrusteeGroup::new(&trustees(2, 3)).unwrap(), escrow(), reader(), access());
    for two in [[1, 2], [2, 3], [3, 1]] {
        let opens = opens(&access, 1, &EPOCHS);
        let mut collector = AnswerCollector::new(&group, &opens, &escrow, &reader);
        for trustee in two {
            assert!(!collector.is_complete());
            let bytes = answer(trustee, &opens).encode();
            assert_eq!(collector.add(&TrusteeAnswer::decode(&bytes).unwrap()), Ok(()));
        }
        assert!(collector.is_complete());
        let seeds = collector.finish().unwrap();
        let given: Vec<_> = seeds.iter().map(|(c, e, seed)| (*c, *e, *seed.as_bytes())).collect();
        let dealt = left(1, 0..2).seeds;
        let expected: Vec<_> = (0..2)
            .map(|epoch| (compartment(1), Epoch(epoch), *dealt[epoch as usize].as_bytes()))
            .collect();
        assert_eq!(given, expected, "no epoch to come, and no other compartment");
    }
}

/// What comes after is opened when it has come.
#[test]
fn an_epoch_to_come_has_a_line_of_its_own() {
    let (access, group, escrow, reader) =
        (access(), TrusteeGroup::new(&trustees(2, 3)).unwrap(), escrow(), reader());
    let later = [Epoch(2); COMPARTMENTS];
    let opens = opens(&access, 3, &later);
    let mut collector = AnswerCollector::new(&group, &opens, &escrow, &reader);
    collector.add(&answer(1, &opens)).unwrap();
    collector.add(&answer(3, &opens)).unwrap();
    let epochs: Vec<_> = collector.finish().unwrap().iter().map(|(_, epoch, _)| epoch.0).collect();
    assert_eq!(epochs, [0, 1, 2]);
}

#[test]
fn one_trustee_too_few_gives_nothing() {
    let (access, group, escrow, reader) =
        (access(), TrusteeGroup::new(&trustees(2, 3)).unwrap(), escrow(), reader());
    let opens = opens(&access, 1, &EPOCHS);
    let mut collector = AnswerCollector::new(&group, &opens, &escrow, &reader);
    collector.add(&answer(2, &opens)).unwrap();
    assert_eq!(collector.add(&answer(2, &opens)), Err(AnswerFault::Duplicate { trustee: 2 }));
    assert!(!collector.is_complete());
    assert_eq!(collector.finish().unwrap_err(), EscrowFault::TooFew { have: 1, need: 2 });
}

/// Each lie is dropped and named, if it is signed; whoever is left gives the seeds.
#[test]
fn a_lying_trustee_is_named_and_dropped() {
    let (access, group, escrow, reader) =
        (access(), TrusteeGroup::new(&trustees(2, 3)).unwrap(), escrow(), reader());
    let asked = opens(&access, 1, &EPOCHS);
    let key = |trustee| TrusteeKey::new(&trustees(2, 3), &secret(trustee)).unwrap();
    let other = Access { command: CommandDigest([5; 32]), ..access };
    let of_access = answer(1, &opens(&other, 1, &EPOCHS));
    let (none, unsigned) = ([Epoch(0); COMPARTMENTS], AnswerFault::Unsigned { trustee: 1 });
    // Another dealing of the same: good shares, and not of this escrow.
    let again =
        ChartEscrow::deal(&mut CountingRng::new("other"), &CHAIN, CHART, &group, &[left(1, 0..2)]);
    let of_escrow = key(1).answer(&mut rng(), &asked, &again.unwrap(), &reader.public()).unwrap();
    let to_other = SealingKey::from_seed(&[8; 32]).public();
    let of_key = key(1).answer(&mut rng(), &asked, &escrow, &to_other).unwrap();
    let later = [Epoch(2); COMPARTMENTS];
    let more = answer(1, &opens(&access, 1, &later));
    let fewer = answer(1, &opens(&access, 5, &none));
    let another = answer(1, &opens(&access, 3, &EPOCHS));
    for (lie, fault) in [
        (of_access, unsigned),
        (of_escrow, unsigned),
        (of_key, AnswerFault::False { trustee: 1 }),
        (more, AnswerFault::Count { trustee: 1, given: 2, needed: 1 }),
        (fewer, AnswerFault::Count { trustee: 1, given: 0, needed: 1 }),
        (another, AnswerFault::False { trustee: 1 }),
    ] {
        let mut collector = AnswerCollector::new(&group, &asked, &escrow, &reader);
        assert_eq!(collector.add(&lie), Err(fault));
        let named = fault.culprit();
        assert_eq!(named.is_some(), fault != unsigned, "{fault}");
        collector.add(&answer(2, &asked)).unwrap();
        assert!(!collector.is_complete(), "{fault}");
        collector.add(&answer(3, &asked)).unwrap();
        assert_eq!(collector.finish().unwrap().len(), 2, "{fault}");
    }
}

#[test]
fn keys_are_those_of_one_trustee() {
    assert_eq!(TrusteeKey::new(&trustees(2, 3), &secret(3)).map(|it| it.index()), Some(3));
    assert!(TrusteeKey::new(&trustees(2, 3), &secret(4)).is_none());
}

/// The largest there can be fits.
#[test]
fn the_largest_escrow_is_within_its_limit() {
    let group = TrusteeGroup::new(&trustees(4, TRUSTEES_MAX as u8)).unwrap();
    let epochs = ESCROW_EPOCHS_MAX as u32;
    let ahead = epochs + EPOCHS_AHEAD_MAX as u32;
    let all: Vec<_> = (0..12)
        .flat_map(|index| {
            let ahead = (epochs..ahead).map(move |epoch| left(index, epoch..epoch + 1));
            core::iter::once(left(index, 0..epochs)).chain(ahead)
        })
        .collect();
    let escrow = ChartEscrow::deal(&mut rng(), &CHAIN, CHART, &group, &all).unwrap();
    let bytes = escrow.encode();
    assert!(bytes.len() <= CHART_ESCROW_BYTES_MAX, "{} bytes", bytes.len());
    assert_eq!(ChartEscrow::decode(&bytes), Ok(escrow.clone()));
    let key = TrusteeKey::new(&trustees(4, TRUSTEES_MAX as u8), &secret(1)).unwrap();
    let (access, last) = (access(), [Epoch(ahead); COMPARTMENTS]);
    let opens = Opens { access: &access, compartments: CompartmentSet::all(), epochs: &last };
    let answer = key.answer(&mut rng(), &opens, &escrow, &reader().public()).unwrap();
    assert!(TrusteeAnswer::decode(&answer.encode()).is_ok());
    assert!(ChartEscrow::decode(&bytes[1..]).is_err());
}

//! What guardians hold together, and what too few of them do not.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_crypto::{
    escrow::EscrowFault,
    guardian::{Binding, Group, GuardianEscrow, HandedShare},
    keys::ChartSecret,
    seal::SealingKey,
};
use keepwell_types::{
    guardian::GuardianPlace,
    id::{ChainId, ChartId, Compartment, Epoch},
};
use support::CountingRng;

const CHAIN: ChainId = ChainId([1; 32]);
const CHART: ChartId = ChartId([2; 32]);
const BINDING: Binding<'_> = Binding { chain: &CHAIN, chart: &CHART };
const SECRET: &[u8] = b"masters";

/// 2 of 3 people, and 1 of 2 institutions.
fn dealt(rng: &mut CountingRng) -> (Vec<Vec<SealingKey>>, GuardianEscrow) {
    let keys: Vec<Vec<_>> =
        [3, 2].map(|of| (0..of).map(|_| SealingKey::generate(rng)).collect()).into();
    let groups: Vec<_> = keys
        .iter()
        .zip([2, 1])
        .map(|(keys, threshold)| Group {
            threshold,
            guardians: keys.iter().map(SealingKey::public).collect(),
        })
        .collect();
    let escrow = GuardianEscrow::deal(rng, &BINDING, SECRET, 2, &groups).unwrap();
    assert_eq!(GuardianEscrow::decode(&escrow.encode()), Ok(escrow.clone()));
    (keys, escrow)
}

const fn at(group: u8, place: u8) -> GuardianPlace {
    GuardianPlace { group, place }
}

/// What a successor gets back when the guardians at these places hand their shares over.
fn recover(places: &[GuardianPlace]) -> Result<Vec<u8>, EscrowFault> {
    let mut rng = CountingRng::new("guardians");
    let (keys, escrow) = dealt(&mut rng);
    let successor = SealingKey::generate(&mut rng);
    let shares: Vec<_> = places
        .iter()
        .map(|place| {
            let key = &keys[usize::from(place.group)][usize::from(place.place)];
            let handed =
                escrow.hand_over(&mut rng, &BINDING, *place, key, &successor.public()).unwrap();
            let handed = HandedShare::decode(&handed.encode()).unwrap();
            (*place, handed.open(&BINDING, *place, &successor).unwrap())
        })
        .collect();
    escrow.recover(&BINDING, &shares).map(|secret| secret.to_vec())
}

#[test]
fn enough_guardians_of_enough_groups_give_the_secret_back() {
    for places in [
        vec![at(0, 0), at(0, 1), at(1, 0)],
        vec![at(0, 2), at(0, 1), at(1, 1)],
        vec![at(0, 0), at(0, 1), at(0, 2), at(1, 0), at(1, 1)],
    ] {
        assert_eq!(recover(&places).as_deref(), Ok(SECRET), "{places:?}");
    }
}

#[test]
fn one_guardian_too_few_gives_nothing() {
    for places in [
        vec![],
        vec![at(0, 0), at(0, 1), at(0, 2)],
        vec![at(0, 0), at(1, 0), at(1, 1)],
        vec![at(0, 0), at(0, 0), at(1, 0)],
        vec![at(1, 0), at(1, 1)],
    ] {
        let fault = recover(&places);
        assert!(matches!(fault, Err(EscrowFault::TooFew { .. })), "{places:?}: {fault:?}");
    }
}

#[test]
fn a_share_is_for_one_successor_of_one_chart_and_from_one_place() {
    let mut rng = CountingRng::new("one successor");
    let (keys, escrow) = dealt(&mut rng);
    let (successor, other) = (SealingKey::generate(&mut rng), SealingKey::generate(&mut rng));
    let elsewhere = ChartId([9; 32]);
    let there = Binding { chain: &CHAIN, chart: &elsewhere };
    let to = successor.public();
    let handed = escrow.hand_over(&mut rng, &BINDING, at(0, 0), &keys[0][0], &to).unwrap();
    assert!(handed.open(&BINDING, at(0, 0), &successor).is_ok());
    assert!(handed.open(&BINDING, at(0, 0), &other).is_err());
    assert!(handed.open(&BINDING, at(0, 1), &successor).is_err());
    assert!(handed.open(&there, at(0, 0), &successor).is_err());
    for (place, key) in [(at(0, 1), &keys[0][0]), (at(1, 0), &keys[0][0]), (at(0, 0), &other)] {
        assert!(escrow.hand_over(&mut rng, &BINDING, place, key, &to).is_err(), "{place:?}");
    }
    assert!(escrow.hand_over(&mut rng, &there, at(0, 0), &keys[0][0], &to).is_err());
    assert!(escrow.hand_over(&mut rng, &BINDING, at(2, 0), &keys[0][0], &to).is_err());
    assert!(escrow.hand_over(&mut rng, &BINDING, at(0, 3), &keys[0][0], &to).is_err());
}

/// What is put in escrow opens compartments and signs nothing.
#[test]
fn a_master_opens_epochs_and_is_no_signing_key() {
    let secret = ChartSecret::derive(&[3; 32], CHART);
    let compartment = Compartment::new(4).unwrap();
    let master = secret.compartment(compartment);
    assert_eq!(master.epoch_seed(Epoch(9)), secret.epoch_seed(compartment, Epoch(9)));
    let delegate = ChartSecret::delegate(&[3; 32], CHART);
    assert_ne!(delegate.signing().public(), secret.signing().public());
    let elsewhere = ChartSecret::delegate(&[3; 32], ChartId([9; 32]));
    assert_ne!(delegate.signing().public(), elsewhere.signing().public());
}

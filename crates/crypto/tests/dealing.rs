//! Making and handing over the committee's key without anyone knowing it.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_crypto::{
    dealing::{
        self, Dealing, DealingFault, Numbers, anew_share, finish_anew, finish_fresh, fresh_share,
    },
    seal::{SealingKey, SealingPublic},
    threshold::{self, Committee, KeyShare},
};
use keepwell_types::{genesis::CommitteeKeys, id::Digest};
use support::{CountingRng, Record, Validators, access, epoch_key};

const SESSION: Digest = Digest([8; 32]);
const NEXT: Digest = Digest([9; 32]);

fn receivers(rng: &mut CountingRng, count: usize) -> (Vec<SealingKey>, Vec<SealingPublic>) {
    let keys: Vec<_> = (0..count).map(|_| SealingKey::generate(rng)).collect();
    let public = keys.iter().map(SealingKey::public).collect();
    (keys, public)
}

fn numbers(threshold: u16, shares: u16) -> Numbers {
    Numbers::new(threshold, shares).unwrap()
}

/// A ceremony of `shares` dealers who are the receivers too.
fn ceremony(rng: &mut CountingRng, shares: u16, threshold: u16) -> (CommitteeKeys, Vec<KeyShare>) {
    let numbers = numbers(threshold, shares);
    let (keys, public) = receivers(rng, shares.into());
    let dealings: Vec<_> = (1..=shares)
        .map(|dealer| Dealing::fresh(rng, &SESSION, dealer, threshold, &public).unwrap())
        .collect();
    let shares = (1..)
        .zip(&keys)
        .map(|(receiver, key)| {
            let opened =
                dealings.iter().map(|it| it.open(&SESSION, numbers, receiver, key).unwrap());
            fresh_share(receiver, &opened.collect::<Vec<_>>())
        })
        .collect();
    (finish_fresh(&SESSION, numbers, &dealings).unwrap(), shares)
}

/// Whether `shares` of the committee open a record that was sealed for `sealed_for`.
fn opens(
    rng: &mut CountingRng,
    sealed_for: &Committee,
    committee: Committee,
    shares: Vec<KeyShare>,
) -> bool {
    let record = Record::new(rng, sealed_for, 1);
    let (access, reader) = access(rng);
    let validators = Validators::with(committee, shares);
    let items = [(record.expected, record.salted.clone())];
    let capsules = [record.salted.clone()];
    let mut collector = keepwell_crypto::release::Collector::new(
        &validators.committee,
        &access,
        &capsules,
        &reader,
    )
    .unwrap();
    for releaser in &validators.releasers {
        if collector.is_complete() {
            break;
        }
        let answer = releaser.release(rng, &access, &items, &reader.public()).unwrap();
        let key = support::release_key(releaser.share()).public();
        collector.add(&answer, &key).unwrap();
    }
    let released = collector.finish().unwrap().remove(0);
    let granted = record.salted.capsule.open_grant(&epoch_key(2, 0)).unwrap();
    record.salted.capsule.open(&granted, &released) == Ok(record.dek)
}

#[test]
fn a_ceremony_makes_a_committee_that_opens() {
    let rng = &mut CountingRng::new("ceremony");
    let (keys, shares) = ceremony(rng, 4, 3);
    let committee = Committee::new(&keys).unwrap();
    assert!(shares.iter().all(|share| share.is_of(&committee)));
    assert!(opens(rng, &committee, committee.clone(), shares[1..].to_vec()));
}

/// What a committee of 3 of 4 hands to the next one of 5 of 7; dealer 3 is away.
fn handed_over(rng: &mut CountingRng) -> (Committee, Vec<KeyShare>, Vec<Dealing>, Vec<SealingKey>) {
    let (keys, shares) = threshold::deal(rng, 4, 3);
    let (next, public) = receivers(rng, 7);
    let dealings = [0, 1, 3]
        .map(|dealer: usize| Dealing::anew(rng, &NEXT, &shares[dealer], 5, &public).unwrap());
    (Committee::new(&keys).unwrap(), shares, dealings.to_vec(), next)
}

#[test]
fn dealing_anew_keeps_the_key_and_ends_old_shares() {
    let rng = &mut CountingRng::new("anew");
    let (old, old_shares, dealings, next) = handed_over(rng);
    let keys = finish_anew(&old, &NEXT, numbers(5, 7), &dealings).unwrap();
    let committee = Committee::new(&keys).unwrap();
    assert_eq!(committee.id(), old.id(), "capsules stay as they are");
    let shares: Vec<_> = (1..)
        .zip(&next)
        .map(|(receiver, key)| {
            let opened = dealings.iter().map(|it| it.open(&NEXT, numbers(5, 7), receiver, key));
            anew_share(&old, receiver, &opened.collect::<Result<Vec<_>, _>>().unwrap()).unwrap()
        })
        .collect();
    assert!(shares.iter().all(|share| share.is_of(&committee)));
    assert!(old_shares.iter().all(|share| !share.is_of(&committee)));
    assert!(opens(rng, &old, committee, shares[2..].to_vec()));
}

#[test]
fn more_dealings_than_needed_give_one_committee() {
    let rng = &mut CountingRng::new("more");
    let (old, shares, mut dealings, next) = handed_over(rng);
    let public: Vec<_> = next.iter().map(SealingKey::public).collect();
    let keys = finish_anew(&old, &NEXT, numbers(5, 7), &dealings).unwrap();
    // A fourth dealing arrives: of the four, those of dealers 1, 2 and 3 count for everyone.
    dealings.insert(0, Dealing::anew(rng, &NEXT, &shares[2], 5, &public).unwrap());
    let with_third = finish_anew(&old, &NEXT, numbers(5, 7), &dealings).unwrap();
    dealings.reverse();
    assert_eq!(finish_anew(&old, &NEXT, numbers(5, 7), &dealings), Ok(with_third.clone()));
    assert_ne!(with_third, keys);
    let opened: Vec<_> =
        dealings.iter().map(|it| it.open(&NEXT, numbers(5, 7), 1, &next[0]).unwrap()).collect();
    let share = anew_share(&old, 1, &opened).unwrap();
    assert!(share.is_of(&Committee::new(&with_third).unwrap()));
    let too_few = DealingFault::TooFew { have: 2, need: 3 };
    assert_eq!(anew_share(&old, 1, &opened[..2]).err(), Some(too_few));
}

#[test]
fn who_deals_wrongly_is_named() {
    let rng = &mut CountingRng::new("wrong dealings");
    let (old, shares, dealings, next) = handed_over(rng);
    let public: Vec<_> = next.iter().map(SealingKey::public).collect();
    let finish = |dealings: &[Dealing]| finish_anew(&old, &NEXT, numbers(5, 7), dealings);
    let evil = Dealing::fresh(rng, &NEXT, 1, 5, &public).unwrap();

    let swapped = [evil.clone(), dealings[1].clone(), dealings[2].clone()];
    assert_eq!(finish(&swapped), Err(DealingFault::NotItsShare { dealer: 1 }));
    let nobody = Dealing::fresh(rng, &NEXT, 9, 5, &public).unwrap();
    let stranger = [dealings[0].clone(), dealings[1].clone(), nobody];
    assert_eq!(finish(&stranger), Err(DealingFault::NotItsShare { dealer: 9 }));
    let twice = [dealings.as_slice(), &[evil]].concat();
    assert_eq!(finish(&twice), Err(DealingFault::Twice { dealer: 1 }));
    assert_eq!(finish(&dealings[..2]), Err(DealingFault::TooFew { have: 2, need: 3 }));
    let other_session = Dealing::anew(rng, &SESSION, &shares[0], 5, &public).unwrap();
    let mixed = [other_session, dealings[1].clone(), dealings[2].clone()];
    assert_eq!(finish(&mixed), Err(DealingFault::Malformed { dealer: 1 }));
    let smaller = Dealing::anew(rng, &NEXT, &shares[0], 4, &public).unwrap();
    let mixed = [smaller, dealings[1].clone(), dealings[2].clone()];
    assert_eq!(finish(&mixed), Err(DealingFault::Malformed { dealer: 1 }));

    let wrong = |receiver| Some(DealingFault::Share { dealer: 1, receiver });
    let open =
        |receiver, key: &SealingKey| dealings[0].open(&NEXT, numbers(5, 7), receiver, key).err();
    assert_eq!(open(1, &next[0]), None);
    assert_eq!(open(1, &next[1]), wrong(1), "another receiver's key");
    assert_eq!(open(8, &next[0]), wrong(8), "no such receiver");
    assert_eq!(open(0, &next[0]), wrong(0), "no such receiver");
}

#[test]
fn a_share_off_the_polynomial_is_found() {
    let rng = &mut CountingRng::new("off");
    let (_, _, dealings, next) = handed_over(rng);
    let public: Vec<_> = next.iter().map(SealingKey::public).collect();
    let evil = Dealing::fresh(rng, &NEXT, 1, 5, &public).unwrap();
    // The commitments of one dealing with the sealed shares of another: cut in the encoding, where the
    // list of five commitments (34 bytes each) follows session and dealer.
    let (honest, evil) = (keepwell_types::encode(&dealings[0]), keepwell_types::encode(&evil));
    let cut = 1 + 34 + 1 + 1 + 5 * 34;
    let spliced = [&honest[..cut], &evil[cut..]].concat();
    let spliced: Dealing = keepwell_types::decode(&spliced, 1 << 20).unwrap();
    let fault = spliced.open(&NEXT, numbers(5, 7), 3, &next[2]).err();
    assert_eq!(fault, Some(DealingFault::Share { dealer: 1, receiver: 3 }));
    assert_ne!(spliced.digest(), dealings[0].digest());
}

#[test]
fn numbers_are_bounded() {
    for (threshold, shares) in [(0, 4), (5, 4), (1, 65), (0, 0)] {
        let fault = DealingFault::Numbers { threshold, shares: shares.into() };
        assert_eq!(dealing::Numbers::new(threshold, shares), Err(fault));
    }
    assert!(dealing::Numbers::new(43, 64).is_ok());
}

//! What a validator does with its shares when others follow.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_crypto::{
    dealing::{Dealing, DealingFault, Dealt},
    matching,
    reshare::{NoProof, Resharing, Share},
    seal::{SealingKey, SealingPublic},
    threshold::{self, KeyShare},
};
use keepwell_types::{
    genesis::CommitteeKeys,
    id::{Height, Location},
    limits::{DEALING_BYTES_MAX, RESHARE_VALIDATORS_MAX},
    validators::{KeyUse, quorum},
};
use support::{CHAIN, CountingRng};

const CHANGE: Location = Location { height: Height(9), index: 0 };

fn old(rng: &mut CountingRng, shares: u16) -> (CommitteeKeys, Vec<KeyShare>) {
    threshold::deal(rng, shares, quorum(shares.into()) as u16)
}

fn receivers(count: u8) -> (Vec<SealingKey>, Vec<Option<SealingPublic>>) {
    let keys: Vec<_> = (0..count).map(|seed| SealingKey::from_seed(&[seed; 32])).collect();
    let public = keys.iter().map(|key| Some(key.public())).collect();
    (keys, public)
}

fn release(keys: &CommitteeKeys, seats: usize) -> Resharing {
    Resharing::new(&CHAIN, CHANGE, KeyUse::Release, keys, seats).unwrap()
}

/// Who crashed between its dealing and a complaint opens what it had dealt.
#[test]
fn a_dealing_is_the_same_every_time_and_another_for_each_change() {
    let rng = &mut CountingRng::new("again");
    let (keys, shares) = old(rng, 4);
    let (receiving, public) = receivers(4);
    let share = Share::Release(shares[0].clone());
    let deal = |resharing: &Resharing, receivers: &[Option<SealingPublic>]| {
        resharing.deal(&share, receivers).unwrap()
    };
    let first = deal(&release(&keys, 4), &public);
    let again = deal(&release(&keys, 4), &public);
    assert_eq!(first.dealing(), again.dealing());
    let resharing = release(&keys, 4);
    let commitments = resharing.commitments(first.dealing()).unwrap();
    assert!(resharing.check_opened(&commitments, &again.opened(2)).is_ok());

    let later = Location { height: Height(10), ..CHANGE };
    let later = Resharing::new(&CHAIN, later, KeyUse::Release, &keys, 4).unwrap();
    let other = deal(&later, &public);
    assert!(resharing.check_opened(&commitments, &other.opened(2)).is_err());
    let mut fewer = public.clone();
    fewer[3] = None;
    let other = deal(&release(&keys, 4), &fewer);
    assert!(resharing.check_opened(&commitments, &other.opened(2)).is_err());
    // Who was not ready gets nothing; the others get theirs.
    assert!(resharing.open(other.dealing(), 3, &receiving[2]).is_ok());
    let nothing = resharing.open(other.dealing(), 4, &receiving[3]).map(drop);
    assert_eq!(nothing, Err(DealingFault::Share { dealer: 1, receiver: 4 }));
}

#[test]
fn shares_of_one_key_are_not_dealt_for_another() {
    let rng = &mut CountingRng::new("uses");
    let (keys, shares) = old(rng, 4);
    let (matching_keys, matching_shares) = matching::deal(rng, 4, 3);
    let (_, public) = receivers(4);
    let refused = |it: Result<Dealt, DealingFault>| it.map(drop);
    let wrong = Err(DealingFault::NotItsShare { dealer: 1 });
    let matching = Share::Match(matching_shares[0].clone());
    assert_eq!(refused(release(&keys, 4).deal(&matching, &public)), wrong);
    assert_eq!(refused(release(&matching_keys, 4).deal(&matching, &public)), wrong);
    let (_, strangers) = old(rng, 4);
    let stranger = Share::Release(strangers[0].clone());
    assert_eq!(refused(release(&keys, 4).deal(&stranger, &public)), wrong);
    assert!(release(&keys, 4).deal(&Share::Release(shares[0].clone()), &public).is_ok());
}

#[test]
fn only_whoever_has_a_share_shows_that() {
    let rng = &mut CountingRng::new("proofs");
    let (keys, shares) = old(rng, 4);
    let (others, other_shares) = old(rng, 4);
    let resharing = release(&keys, 4);
    let share = |share: &KeyShare| Share::Release(share.clone());
    let proof = resharing.prove(rng, &keys, &share(&shares[1]));
    assert_eq!(resharing.verify(&keys, 2, &proof), Ok(()));
    assert_eq!(resharing.verify(&keys, 1, &proof), Err(NoProof));
    assert_eq!(resharing.verify(&keys, 9, &proof), Err(NoProof));
    assert_eq!(resharing.verify(&others, 2, &proof), Err(NoProof));
    let pretended = resharing.prove(rng, &keys, &share(&other_shares[1]));
    assert_eq!(resharing.verify(&keys, 2, &pretended), Err(NoProof));
    let elsewhere = Location { index: 1, ..CHANGE };
    let elsewhere = Resharing::new(&CHAIN, elsewhere, KeyUse::Release, &keys, 4).unwrap();
    assert_eq!(elsewhere.verify(&keys, 2, &proof), Err(NoProof));
    for at in [0, 31, 32, 63] {
        let mut bytes = proof.to_vec();
        bytes[at] ^= 1;
        let wrong = keepwell_types::encoding::Blob::from_vec(bytes).unwrap();
        assert_eq!(resharing.verify(&keys, 2, &wrong), Err(NoProof), "byte {at}");
    }
}

#[test]
fn the_largest_dealing_fits() {
    let rng = &mut CountingRng::new("largest");
    let (keys, shares) = old(rng, 64);
    let (_, public) = receivers(RESHARE_VALIDATORS_MAX as u8);
    let resharing = release(&keys, RESHARE_VALIDATORS_MAX);
    let dealt = resharing.deal(&Share::Release(shares[63].clone()), &public).unwrap();
    let bytes = dealt.dealing().encode();
    assert!(bytes.len() <= DEALING_BYTES_MAX, "{} bytes", bytes.len());
    assert_eq!(Dealing::decode(&bytes).as_ref(), Ok(dealt.dealing()));
}

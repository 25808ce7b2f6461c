//! Secrets that are shared out: who gets them back, and who does not.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_crypto::{
    escrow::{Escrow, EscrowFault, SHARE_BYTES, Share},
    keys::MemberSecret,
    seal::{SealingKey, SealingPublic},
};
use keepwell_types::limits::{ESCROW_BYTES_MAX, ESCROW_HOLDERS_MAX, ESCROW_SECRET_BYTES_MAX};
use support::{CHAIN, CHART, CountingRng};

const SECRET: &[u8] = b"sixteen seeds of thirty-two bytes";

fn context() -> [&'static [u8]; 2] {
    [&CHAIN.0, &CHART.0]
}

fn holder(number: u16) -> SealingKey {
    MemberSecret::from_bytes(&[number as u8; 32]).sealing()
}

fn holders(count: u16) -> Vec<SealingPublic> {
    (1..=count).map(|number| holder(number).public()).collect()
}

fn deal(threshold: u16, count: u16) -> Escrow {
    let mut rng = CountingRng::new("escrow");
    Escrow::deal(&mut rng, &context(), SECRET, threshold, &holders(count)).unwrap()
}

fn shares(escrow: &Escrow, of: &[u16]) -> Vec<Share> {
    of.iter().map(|it| escrow.open_share(&context(), *it, &holder(*it)).unwrap()).collect()
}

#[test]
fn any_threshold_of_holders_gets_the_secret_back() {
    let escrow = deal(3, 5);
    for of in [[1, 2, 3], [3, 4, 5], [5, 1, 4], [2, 5, 3]] {
        assert_eq!(*escrow.recover(&context(), &shares(&escrow, &of)).unwrap(), SECRET);
    }
    let all = shares(&escrow, &[1, 2, 3, 4, 5]);
    assert_eq!(*escrow.recover(&context(), &all).unwrap(), SECRET);
}

#[test]
fn one_holder_fewer_gets_nothing() {
    let escrow = deal(3, 5);
    let too_few = |have| Err(EscrowFault::TooFew { have, need: 3 });
    assert_eq!(escrow.recover(&context(), &[]), too_few(0));
    assert_eq!(escrow.recover(&context(), &shares(&escrow, &[2, 4])), too_few(2));
    // One share, given twice, is one.
    assert_eq!(escrow.recover(&context(), &shares(&escrow, &[2, 4, 4])), too_few(2));
}

#[test]
fn a_false_share_names_its_holder() {
    let (escrow, other) = (deal(2, 3), {
        let mut rng = CountingRng::new("before");
        Escrow::deal(&mut rng, &[b"before"], SECRET, 2, &holders(3)).unwrap()
    });
    let foreign = other.open_share(&[b"before"], 2, &holder(2)).unwrap();
    let mixed = [shares(&escrow, &[1]), vec![foreign]].concat();
    assert_eq!(escrow.recover(&context(), &mixed), Err(EscrowFault::FalseShare(2)));
    let mut bytes = *shares(&escrow, &[3])[0].to_bytes();
    bytes[2] ^= 1;
    let bent = Share::from_bytes(&bytes).unwrap();
    assert_eq!(escrow.check_share(&context(), &bent), Err(EscrowFault::FalseShare(3)));
    // A share under another holder's number.
    bytes[2] ^= 1;
    bytes[0] = 1;
    let moved = Share::from_bytes(&bytes).unwrap();
    assert_eq!(escrow.check_share(&context(), &moved), Err(EscrowFault::FalseShare(1)));
    bytes[0] = 9;
    let nobody = Share::from_bytes(&bytes).unwrap();
    assert_eq!(escrow.check_share(&context(), &nobody), Err(EscrowFault::NoSuchHolder(9)));
}

#[test]
fn a_share_opens_for_its_holder_and_in_its_context_only() {
    let escrow = deal(2, 3);
    let open = |context: &[&[u8]], number, key: u16| {
        escrow.open_share(context, number, &holder(key)).map(|share| share.holder())
    };
    assert_eq!(open(&context(), 2, 2), Ok(2));
    assert_eq!(open(&context(), 2, 3), Err(EscrowFault::WrongKey(2)));
    assert_eq!(open(&[&CHAIN.0], 2, 2), Err(EscrowFault::WrongKey(2)));
    assert_eq!(open(&context(), 0, 2), Err(EscrowFault::NoSuchHolder(0)));
    assert_eq!(open(&context(), 4, 2), Err(EscrowFault::NoSuchHolder(4)));
    let good = shares(&escrow, &[1, 2]);
    assert_eq!(escrow.recover(&[&CHAIN.0], &good), Err(EscrowFault::FalseShare(1)));
}

#[test]
fn every_byte_of_an_escrow_counts() {
    let escrow = deal(2, 2);
    let good = escrow.encode();
    assert_eq!(Escrow::decode(&good).unwrap(), escrow);
    for place in 0..good.len() {
        let mut bent = good.clone();
        bent[place] ^= 1;
        let Ok(bent) = Escrow::decode(&bent) else { continue };
        assert_ne!(bent.digest(), escrow.digest(), "byte {place}");
        let opened = [1, 2].map(|it| bent.open_share(&context(), it, &holder(it)));
        let [Ok(one), Ok(two)] = opened else { continue };
        assert!(bent.recover(&context(), &[one, two]).is_err(), "byte {place}");
    }
    assert!(Escrow::decode(&good[..good.len() - 1]).is_err());
}

#[test]
fn numbers_and_lengths_are_limited() {
    let mut rng = CountingRng::new("escrow");
    let mut deal = |secret: &[u8], threshold, count| {
        Escrow::deal(&mut rng, &context(), secret, threshold, &holders(count)).map(|it| it.encode())
    };
    for (threshold, count) in [(0, 3), (4, 3), (1, 0), (1, ESCROW_HOLDERS_MAX as u16 + 1)] {
        let holders = usize::from(count);
        assert_eq!(deal(b"", threshold, count), Err(EscrowFault::Numbers { threshold, holders }));
    }
    let longest = vec![7; ESCROW_SECRET_BYTES_MAX + 1];
    let len = longest.len();
    assert_eq!(deal(&longest, 1, 1), Err(EscrowFault::TooLong { len }));
    let largest = deal(&longest[1..], 16, 16).unwrap();
    assert!(largest.len() <= ESCROW_BYTES_MAX, "{} bytes", largest.len());
    assert!(Escrow::decode(&largest).is_ok());
}

#[test]
fn a_share_is_handed_to_one_collector_in_one_context() {
    let escrow = deal(1, 1);
    let share = &shares(&escrow, &[1])[0];
    let (collector, stranger) = (holder(40), holder(41));
    let handed = share.seal(&mut CountingRng::new("escrow"), &collector.public(), &[b"access 1"]);
    let taken = handed.open_handed(&collector, &[b"access 1"]).unwrap();
    assert_eq!(*escrow.recover(&context(), &[taken]).unwrap(), SECRET);
    assert!(handed.open_handed(&stranger, &[b"access 1"]).is_err());
    assert!(handed.open_handed(&collector, &[b"access 2"]).is_err());
}

#[test]
fn groups_nest() {
    // Two of three people, and one of two institutions.
    let mut rng = CountingRng::new("escrow");
    let groups = [
        MemberSecret::from_bytes(&[50; 32]).sealing(),
        MemberSecret::from_bytes(&[51; 32]).sealing(),
    ];
    let both = groups.each_ref().map(SealingKey::public);
    let outer = Escrow::deal(&mut rng, &context(), SECRET, 2, &both).unwrap();
    let open = |number: u16| {
        outer.open_share(&context(), number, &groups[usize::from(number) - 1]).unwrap()
    };
    let people =
        Escrow::deal(&mut rng, &[b"people"], &*open(1).to_bytes(), 2, &holders(3)).unwrap();
    let people_shares = [1, 3].map(|it| people.open_share(&[b"people"], it, &holder(it)).unwrap());
    let first = people.recover(&[b"people"], &people_shares).unwrap();
    assert_eq!(first.len(), SHARE_BYTES);
    let first = Share::from_bytes(&first).unwrap();
    let secret = outer.recover(&context(), &[first.clone(), open(2)]).unwrap();
    assert_eq!(*secret, SECRET);
    let alone = outer.recover(&context(), &[first]);
    assert_eq!(alone, Err(EscrowFault::TooFew { have: 1, need: 2 }));
}

#[test]
fn bytes_that_are_no_share_are_refused() {
    assert!(Share::from_bytes(&[0; SHARE_BYTES - 1]).is_none());
    assert!(Share::from_bytes(&[0; SHARE_BYTES + 1]).is_none());
    // A scalar that is not reduced.
    assert!(Share::from_bytes(&[255; SHARE_BYTES]).is_none());
}

//! Hand-overs: who follows them comes to the validators that the ledger came to, and to no others.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use keepwell_crypto::{command::validators_digest, sign::SigningKey};
use keepwell_merkle::{
    certificate::{CertificateError, Validators},
    handover::{Handover, HandoverError},
    receipt::{CertifiedHeader, Forgery, ReceiptError},
};
use keepwell_types::{
    block::{Certificate, Header, Round},
    encoding::Text,
    genesis::CommitteeKeys,
    id::{ChainId, Digest, Height},
    validators::{Seat, ValidatorSet},
};
use support::{Consortium, certify_by, four, key, list, validator};

/// Blocks of an epoch.
const EPOCH: u64 = 8;

/// A set with the keys of its seats.
struct Reign {
    set: ValidatorSet,
    keys: Vec<SigningKey>,
}

/// Four founders, and two sets after them: from epoch 3 on with a fifth validator, from epoch 5 on without the first
/// founder and the second.
struct Ledger {
    consortium: Consortium,
    founders: Reign,
    five: Reign,
    three: Reign,
}

impl Ledger {
    fn new() -> Self {
        let mut consortium = Consortium::of("Epochs", 4);
        consortium.genesis.parameters.epoch_blocks = Some(EPOCH as u32);
        let set = ValidatorSet::of(&consortium.genesis);
        let founders = Reign { keys: keys([1, 2, 3, 4]), set };
        let five = reign(&founders.set, 3, keys([1, 2, 3, 4, 5]));
        let three = reign(&founders.set, 5, keys([3, 4, 5]));
        Self { consortium, founders, five, three }
    }

    fn validators(&self) -> Validators {
        Validators::of(&self.consortium.genesis).unwrap()
    }

    fn header(&self, height: u64, next: Option<&ValidatorSet>) -> Header {
        let round = Round {
            epoch: height / EPOCH,
            view: height % EPOCH + 1,
            parent_view: height % EPOCH,
            leader: self.founders.keys[0].public(),
        };
        let chain = self.consortium.chain();
        let next = next.map(validators_digest);
        Header { chain, height: Height(height), round, next, ..four().1.blocks[1].header.clone() }
    }

    /// The hand-over from `old` to `new`, at the block before the first epoch of `new`.
    fn handover(&self, old: &Reign, new: &Reign) -> Handover {
        let header = self.header(new.set.since * EPOCH - 1, Some(&new.set));
        Handover { certificate: old.certify(&header), header, set: new.set.clone() }
    }

    fn first(&self) -> Handover {
        self.handover(&self.founders, &self.five)
    }

    fn second(&self) -> Handover {
        self.handover(&self.five, &self.three)
    }
}

impl Reign {
    fn certify(&self, header: &Header) -> Certificate {
        certify_by(&self.keys, header, 0..self.keys.len() as u16)
    }
}

fn keys<const N: usize>(numbers: [u8; N]) -> Vec<SigningKey> {
    let mut keys: Vec<_> = numbers.into_iter().map(key).collect();
    keys.sort_by_key(SigningKey::public);
    keys
}

/// A set of these validators, with shares of the founders' key.
fn reign(founders: &ValidatorSet, since: u64, keys: Vec<SigningKey>) -> Reign {
    let seats = (0..).zip(&keys).map(|(place, key)| Seat {
        validator: validator(place, key.public()),
        address: Some(Text::from_string(format!("192.0.2.{place}:7000")).unwrap()),
    });
    let mut set = ValidatorSet { since, seats: list(seats), ..founders.clone() };
    set.committee = CommitteeKeys {
        threshold: set.quorum() as u16,
        key: founders.committee.key,
        shares: list((0..keys.len() as u8).map(|share| Digest([100 + share; 32]))),
    };
    Reign { set, keys }
}

#[test]
fn who_follows_hand_overs_knows_who_validates() {
    let it = Ledger::new();
    let mut validators = it.validators();
    validators.advance(&it.first()).unwrap();
    validators.advance(&it.second()).unwrap();
    assert_eq!(*validators.newest(), it.three.set);
    let known: Vec<_> = validators.sets().map(|set| set.since).collect();
    assert_eq!(known, [0, 3, 5]);
    for (height, by) in [
        (1, &it.founders),
        (23, &it.founders),
        (24, &it.five),
        (39, &it.five),
        (40, &it.three),
        // Sets that go on need no hand-over.
        (800, &it.three),
    ] {
        let header = it.header(height, None);
        validators.verify_header(&header, &by.certify(&header)).unwrap();
    }
}

#[test]
fn what_is_known_may_be_told_again() {
    let it = Ledger::new();
    let mut validators = it.validators();
    for handover in [it.first(), it.second(), it.first(), it.second()] {
        validators.advance(&handover).unwrap();
    }
    assert_eq!(*validators.newest(), it.three.set);
}

/// Two founders left at epoch 5. With a third one they were a quorum; what they sign since is worth nothing.
#[test]
fn validators_who_left_certify_nothing_later() {
    let it = Ledger::new();
    let mut validators = it.validators();
    let header = it.header(24, None);
    // Whoever was told of no change goes by the founders.
    validators.verify_header(&header, &it.founders.certify(&header)).unwrap();
    validators.advance(&it.first()).unwrap();
    validators.advance(&it.second()).unwrap();
    for height in [40, 47, 800] {
        let header = it.header(height, None);
        let certificate = it.founders.certify(&header);
        assert!(validators.verify_header(&header, &certificate).is_err(), "block {height}");
    }
    // An old epoch on the certificate does not make a new block older.
    let mut header = it.header(800, None);
    header.round.epoch = 2;
    let certificate = it.founders.certify(&header);
    assert_eq!(
        validators.verify_header(&header, &certificate).unwrap_err(),
        CertificateError::OtherEpoch { given: 2, expected: 100, height: Height(800) }
    );
}

/// Alters a good hand-over, gives it to someone who knows the founders, and compares what they say.
fn check(name: &str, expected: HandoverError, alter: impl Fn(&Ledger, &mut Handover)) {
    let it = Ledger::new();
    let mut handover = it.first();
    alter(&it, &mut handover);
    let mut validators = it.validators();
    assert_eq!(validators.advance(&handover), Err(expected), "{name}");
    assert_eq!(validators, it.validators(), "{name} left a trace");
}

fn uncertified(fault: CertificateError) -> HandoverError {
    HandoverError::Certificate { since: 3, fault }
}

/// A hand-over to `set`, certified by the founders: what they could do together and must not.
fn certified(it: &Ledger, handover: &mut Handover, set: ValidatorSet) {
    handover.header.next = Some(validators_digest(&set));
    handover.certificate = it.founders.certify(&handover.header);
    handover.set = set;
}

#[test]
fn forged_hand_overs_are_refused() {
    let bad = |validator| uncertified(CertificateError::BadVote { validator });
    check("of another consortium", other_consortium(), |_, it| it.header.chain = ChainId([9; 32]));
    check("of another version", HandoverError::HeaderVersion(2), |_, it| it.header.version = 2);
    check("in the middle of an epoch", HandoverError::NotLast(Height(22)), |it, handover| {
        handover.header = it.header(22, Some(&handover.set));
        handover.certificate = it.founders.certify(&handover.header);
    });
    check("a set with one seat exchanged", HandoverError::OtherSet(Height(23)), |it, handover| {
        handover.set.seats = it.three.set.seats.clone();
    });
    check("a header that hands over to nobody", HandoverError::OtherSet(Height(23)), |_, it| {
        it.header.next = None;
    });
    check("certified by strangers", bad(0), |_, handover| {
        let strangers = keys([21, 22, 23, 24]);
        handover.certificate = certify_by(&strangers, &handover.header, 0..3);
    });
    check(
        "certified by too few",
        uncertified(CertificateError::TooFewVotes { given: 2, needed: 3 }),
        |it, handover| {
            handover.certificate = certify_by(&it.founders.keys, &handover.header, 0..2);
        },
    );
    check("with another block's certificate", other_block(), |it, handover| {
        handover.certificate = it.founders.certify(&it.header(23, None));
    });
}

fn other_consortium() -> HandoverError {
    let expected = Ledger::new().consortium.chain();
    HandoverError::OtherConsortium { given: ChainId([9; 32]), expected }
}

fn other_block() -> HandoverError {
    let it = Ledger::new();
    let shown = keepwell_merkle::block::block_id(&it.first().header);
    let certified = keepwell_merkle::block::block_id(&it.header(23, None));
    uncertified(CertificateError::OtherBlock { certified, shown })
}

#[test]
fn sets_that_cannot_validate_are_refused_whoever_certifies_them() {
    let since = 3;
    let height = Height(23);
    check(
        "from an epoch long ago on",
        HandoverError::Since { height, given: 0 },
        |it, handover| {
            certified(it, handover, ValidatorSet { since: 0, ..it.five.set.clone() });
        },
    );
    check("from a later epoch on", HandoverError::Since { height, given: 4 }, |it, handover| {
        certified(it, handover, ValidatorSet { since: 4, ..it.five.set.clone() });
    });
    check("with another joint key", HandoverError::OtherKey { since }, |it, handover| {
        let mut set = it.five.set.clone();
        set.committee.key = Digest([66; 32]);
        certified(it, handover, set);
    });
    check(
        "with a committee for matching from nowhere",
        HandoverError::OtherKey { since },
        |it, handover| {
            let mut set = it.five.set.clone();
            set.matching = Some(set.committee.clone());
            certified(it, handover, set);
        },
    );
    check("without seats", HandoverError::Unfit { since }, |it, handover| {
        certified(it, handover, ValidatorSet { seats: list([]), ..it.five.set.clone() });
    });
    check("with a seat twice", HandoverError::Unfit { since }, |it, handover| {
        let mut seats = it.five.set.seats.to_vec();
        seats[1] = seats[0].clone();
        certified(it, handover, ValidatorSet { seats: list(seats), ..it.five.set.clone() });
    });
    check("with fewer shares than seats", HandoverError::Unfit { since }, |it, handover| {
        let mut set = it.five.set.clone();
        set.committee.shares = list(set.committee.shares.iter().copied().skip(1));
        certified(it, handover, set);
    });
    check("that opens with fewer than certify", HandoverError::Unfit { since }, |it, handover| {
        let mut set = it.five.set.clone();
        set.committee.threshold -= 1;
        certified(it, handover, set);
    });
}

#[test]
fn a_hand_over_that_was_left_out_is_missed() {
    let it = Ledger::new();
    let fault = it.validators().advance(&it.second()).unwrap_err();
    assert!(matches!(fault, HandoverError::Certificate { since: 5, .. }), "{fault:?}");
}

#[test]
fn validators_who_handed_over_cannot_hand_over_again() {
    let it = Ledger::new();
    let mut validators = it.validators();
    validators.advance(&it.first()).unwrap();
    let strangers = reign(&it.founders.set, 3, keys([31, 32, 33, 34]));
    let again = it.handover(&it.founders, &strangers);
    assert_eq!(validators.advance(&again), Err(HandoverError::Contradicts { since: 3 }));
    // Nobody is blamed for what someone else forged.
    let forged = Handover { certificate: strangers.certify(&again.header), ..again };
    let fault = validators.advance(&forged).unwrap_err();
    assert!(matches!(fault, HandoverError::Certificate { since: 3, .. }), "{fault:?}");

    let later = reign(&it.founders.set, 4, keys([31, 32, 33, 34]));
    let fault = validators.advance(&it.handover(&it.founders, &later)).unwrap_err();
    assert!(matches!(fault, HandoverError::Certificate { since: 4, .. }), "{fault:?}");

    validators.advance(&it.second()).unwrap();
    let between = it.handover(&it.five, &later);
    assert_eq!(validators.advance(&between), Err(HandoverError::Replaced { since: 4, newest: 5 }));
}

#[test]
fn receipts_bring_the_hand_overs_that_they_need() {
    let (mut of, _) = four();
    of.genesis.parameters.epoch_blocks = Some(EPOCH as u32);
    let entry = (of.record_add(1), keepwell_types::outcome::Verdict::Accepted);
    let blocks = (1..=26).map(|height| if height == 25 { vec![entry.clone()] } else { vec![] });
    let chain = of.chain_of(blocks.collect());
    let it = Ledger::new();
    let five = reign(&ValidatorSet::of(&of.genesis), 3, keys([1, 2, 3, 4, 5]));

    let mut header = chain.blocks[23].header.clone();
    (header.next, header.round.epoch) = (Some(validators_digest(&five.set)), 2);
    let certificate = it.founders.certify(&header);
    let handover = Handover { header, certificate, set: five.set.clone() };

    let mut receipt = chain.receipt(&of, 25, 0, 25);
    receipt.certified.header.round.epoch = 3;
    receipt.certified.certificate = five.certify(&receipt.certified.header);
    let without = receipt.clone().verify(&of.genesis).unwrap_err();
    assert!(matches!(without, ReceiptError::Forged(Forgery::Certificate(_))), "{without:?}");

    receipt.handovers = Some(list([handover.clone()]));
    let bytes = receipt.encode();
    let read = keepwell_merkle::receipt::Receipt::decode(&bytes).unwrap();
    read.verify(&of.genesis).unwrap();

    let mut forged = handover;
    forged.set.committee.key = Digest([1; 32]);
    receipt.handovers = Some(list([forged]));
    let fault = HandoverError::OtherSet(Height(23));
    assert_eq!(
        receipt.verify(&of.genesis).unwrap_err(),
        ReceiptError::Forged(Forgery::Handover(fault))
    );
}

#[test]
fn a_certified_header_is_of_the_epoch_of_its_height() {
    let it = Ledger::new();
    let validators = it.validators();
    let mut header = it.header(9, None);
    let certificate = it.founders.certify(&header);
    let good = CertifiedHeader { header: header.clone(), ancestry: None, certificate };
    good.verify_by(&validators).unwrap();
    header.round.epoch = 0;
    let certificate = it.founders.certify(&header);
    let fault = CertificateError::OtherEpoch { given: 0, expected: 1, height: Height(9) };
    assert_eq!(
        CertifiedHeader { header, ancestry: None, certificate }.verify_by(&validators).unwrap_err(),
        ReceiptError::Forged(Forgery::Certificate(fault))
    );
}

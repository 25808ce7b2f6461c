//! Derived keys, claim codes and key files.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use keepwell_crypto::{
    keyfile::{
        About, Cost, KeyFile, KeyFileError, KeyKind, LockKind, MEMORY_KIB_MAX, SECRET_BYTES_MAX,
    },
    keys::{ChartSecret, ClaimCode, ClaimCodeError, MemberSecret},
};
use keepwell_types::{
    DecodeError,
    encoding::Text,
    id::{ChainId, ChartId, Compartment, Epoch},
};
use proptest::prelude::*;
use support::{CHAIN, CHART, CountingRng, ROOT, compartment};

#[test]
fn every_derived_key_is_its_own() {
    let mut seen = BTreeSet::new();
    for root in [ROOT, [8; 32]] {
        for chart in [CHART, ChartId([4; 32])] {
            let secret = ChartSecret::derive(&root, chart);
            assert!(seen.insert(secret.signing().public().0.to_vec()));
            assert!(seen.insert(secret.sealing().public().to_bytes()));
            for compartment in Compartment::all() {
                for epoch in [0, 1, 256] {
                    let seed = secret.epoch_seed(compartment, Epoch(epoch));
                    assert!(seen.insert(seed.as_bytes().to_vec()));
                }
            }
        }
        let member = MemberSecret::from_bytes(&root);
        assert!(seen.insert(member.signing().public().0.to_vec()));
        assert!(seen.insert(member.sealing().public().to_bytes()));
    }
    let master = ChartSecret::derive(&ROOT, CHART).compartment(compartment(2));
    let seed = ChartSecret::derive(&ROOT, CHART).epoch_seed(compartment(2), Epoch(7));
    assert_eq!(master.epoch_seed(Epoch(7)), seed, "a proxy derives the epochs of its compartment");
}

const CODE: [u8; 16] = [0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

#[test]
fn a_code_is_read_as_people_type_it() {
    let code = ClaimCode::from_bytes(&CODE);
    let printed = code.print();
    assert_eq!(printed.len(), 34);
    let forms = [
        printed.to_string(),
        printed.to_lowercase(),
        printed.replace('-', ""),
        printed.replace('-', " "),
        format!("  {}\n", printed.replace('-', " - ")),
        printed.replace('0', "O").replace('1', "I"),
        printed.replace('0', "o").replace('1', "l"),
    ];
    for typed in forms {
        assert_eq!(ClaimCode::parse(&typed), Ok(code.clone()), "{typed}");
    }
}

#[test]
fn mistyped_codes_are_refused() {
    let printed = ClaimCode::from_bytes(&CODE).print();
    let digits = printed.replace('-', "");
    let parse = |text: &str| ClaimCode::parse(text).err();
    assert_eq!(parse(""), Some(ClaimCodeError::Length { digits: 0 }));
    assert_eq!(parse(&digits[1..]), Some(ClaimCodeError::Length { digits: 27 }));
    assert_eq!(parse(&format!("{digits}0")), Some(ClaimCodeError::Length { digits: 29 }));
    assert_eq!(parse(&digits.replace(&digits[3..4], "U")), Some(ClaimCodeError::Character('U')));
    assert_eq!(parse(&format!("{}é", &digits[1..])), Some(ClaimCodeError::Character('é')));
    assert_eq!(parse(&format!("8{}", &digits[1..])), Some(ClaimCodeError::Check));
    // Of all single slips, one in 1,024 at most goes unnoticed; for this code few enough do.
    let alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let slips: Vec<_> = (0..digits.len())
        .flat_map(|at| {
            let digits = &digits;
            alphabet.chars().filter(move |it| !digits[at..].starts_with(*it)).map(move |it| {
                let slip = format!("{}{it}{}", &digits[..at], &digits[at + 1..]);
                ClaimCode::parse(&slip)
            })
        })
        .collect();
    let unnoticed = slips.iter().filter(|slip| slip.is_ok()).count();
    assert!(unnoticed <= 4, "{unnoticed} of {}", slips.len());
}

#[test]
fn a_code_signs_for_one_chart_of_one_consortium() {
    let code = ClaimCode::from_bytes(&CODE);
    let key = |chain, chart| code.signing(&chain, &chart).public();
    assert_eq!(key(CHAIN, CHART), key(CHAIN, CHART));
    assert_ne!(key(CHAIN, CHART), key(ChainId([2; 32]), CHART));
    assert_ne!(key(CHAIN, CHART), key(CHAIN, ChartId([2; 32])));
    let rng = &mut CountingRng::new("codes");
    assert_ne!(ClaimCode::generate(rng), ClaimCode::generate(rng));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn printed_codes_are_read_again(bytes in any::<[u8; 16]>()) {
        let code = ClaimCode::from_bytes(&bytes);
        prop_assert_eq!(ClaimCode::parse(&code.print()), Ok(code));
    }
}

const SECRET: &[u8] = &[5; 32];
const PASSPHRASE: &str = "correct horse battery staple";

fn about(demonstration: bool) -> About {
    let label = Text::from_string("member 0101".into()).unwrap();
    About { kind: KeyKind::Member, label, demonstration }
}

fn demonstration() -> KeyFile {
    let rng = &mut CountingRng::new("key file");
    KeyFile::with_passphrase(rng, about(true), SECRET, PASSPHRASE, Cost::DEMONSTRATION).unwrap()
}

#[test]
fn a_file_opens_with_its_passphrase() {
    let bytes = demonstration().encode();
    let file = KeyFile::decode(&bytes).unwrap();
    assert_eq!(file, demonstration());
    assert_eq!(file.about(), about(true));
    assert_eq!(file.lock_kind(), LockKind::Passphrase);
    assert_eq!(file.open_with_passphrase(PASSPHRASE).unwrap().as_slice(), SECRET);
    assert_eq!(file.open_with_passphrase("Correct horse"), Err(KeyFileError::Wrong));
    assert_eq!(file.open_with_passphrase(""), Err(KeyFileError::Wrong));
    let needed = LockKind::Passphrase;
    assert_eq!(file.open_with_operator_key(&[0; 32]), Err(KeyFileError::WrongLock { needed }));
    assert_eq!(file.expect_kind(KeyKind::Member), Ok(()));
    let (given, needed) = (KeyKind::Member, KeyKind::Root);
    assert_eq!(file.expect_kind(needed), Err(KeyFileError::WrongKind { given, needed }));
}

#[test]
fn a_file_opens_with_the_operators_key() {
    let rng = &mut CountingRng::new("operator");
    let file = KeyFile::with_operator_key(rng, about(false), SECRET, &[1; 32]).unwrap();
    let file = KeyFile::decode(&file.encode()).unwrap();
    assert_eq!(file.open_with_operator_key(&[1; 32]).unwrap().as_slice(), SECRET);
    assert_eq!(file.open_with_operator_key(&[2; 32]), Err(KeyFileError::Wrong));
    let needed = LockKind::OperatorKey;
    assert_eq!(file.open_with_passphrase(PASSPHRASE), Err(KeyFileError::WrongLock { needed }));
}

#[test]
fn real_keys_are_not_guarded_weakly() {
    let rng = &mut CountingRng::new("weak");
    let mut lock = |secret: &[u8], passphrase, cost| {
        KeyFile::with_passphrase(rng, about(false), secret, passphrase, cost).err()
    };
    for cost in [
        Cost::DEMONSTRATION,
        Cost { passes: 2, ..Cost::MIN },
        Cost { memory_kib: Cost::MIN.memory_kib - 1, ..Cost::MIN },
    ] {
        assert_eq!(lock(SECRET, PASSPHRASE, cost), Some(KeyFileError::CostTooLow(cost)));
    }
    assert_eq!(lock(SECRET, "", Cost::MIN), Some(KeyFileError::EmptyPassphrase));
    let long = [0; SECRET_BYTES_MAX + 1];
    let operator =
        KeyFile::with_operator_key(&mut CountingRng::new("long"), about(false), &long, &[1; 32]);
    let (len, max) = (long.len(), SECRET_BYTES_MAX);
    assert_eq!(operator.err(), Some(KeyFileError::TooLong { len, max }));
}

#[test]
fn a_real_key_is_guarded_with_the_least_cost_allowed() {
    let rng = &mut CountingRng::new("least");
    let file = KeyFile::with_passphrase(rng, about(false), SECRET, PASSPHRASE, Cost::MIN).unwrap();
    assert_eq!(file.open_with_passphrase(PASSPHRASE).unwrap().as_slice(), SECRET);
}

#[test]
fn every_byte_of_a_file_is_authenticated() {
    let bytes = demonstration().encode();
    for at in 0..bytes.len() {
        for bit in [1, 0x10] {
            let mut changed = bytes.clone();
            changed[at] ^= bit;
            let opened =
                KeyFile::decode(&changed).and_then(|file| file.open_with_passphrase(PASSPHRASE));
            assert!(opened.is_err(), "byte {at}");
        }
    }
    for len in 0..bytes.len() {
        let cut = KeyFile::decode(&bytes[..len]);
        assert!(matches!(cut, Err(KeyFileError::Encoding(_))), "cut to {len} bytes");
    }
}

/// The encoding of a demonstration's file with another cost in it.
fn with_cost(memory_kib: u32, passes: u32, lanes: u32) -> Vec<u8> {
    let cost = |cost: Cost| keepwell_types::encode(&cost);
    let (bytes, old) = (demonstration().encode(), cost(Cost::DEMONSTRATION));
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
    let new = cost(Cost { memory_kib, passes, lanes });
    [&bytes[..at], &new, &bytes[at + old.len()..]].concat()
}

#[test]
fn absurd_work_is_refused_before_it_is_done() {
    let table = [
        (MEMORY_KIB_MAX + 1, 1, 1),
        (u32::MAX, 1, 1),
        (64, 17, 1),
        (64, u32::MAX, 1),
        (1024, 1, 17),
        (64, 0, 1),
        (64, 1, 0),
        (0, 1, 1),
        (7, 1, 1),
    ];
    for (memory_kib, passes, lanes) in table {
        let file = KeyFile::decode(&with_cost(memory_kib, passes, lanes)).unwrap();
        let cost = Cost { memory_kib, passes, lanes };
        assert_eq!(file.open_with_passphrase(PASSPHRASE), Err(KeyFileError::Cost(cost)));
    }
    // Within the limits, but not what was locked.
    let file = KeyFile::decode(&with_cost(65, 1, 1)).unwrap();
    assert_eq!(file.open_with_passphrase(PASSPHRASE), Err(KeyFileError::Wrong));
}

#[test]
fn other_versions_are_refused() {
    let mut bytes = demonstration().encode();
    assert_eq!(bytes[1], 1);
    bytes[1] = 2;
    assert_eq!(KeyFile::decode(&bytes), Err(KeyFileError::Version { given: 2 }));
    let long = vec![0; 4_096];
    let too_long = DecodeError::TooLong { len: 4_096, max: 2_048 };
    assert_eq!(KeyFile::decode(&long), Err(KeyFileError::Encoding(too_long)));
}

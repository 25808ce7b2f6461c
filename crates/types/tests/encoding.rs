//! One value, one encoding: whatever else is offered is refused, with the fault named.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use keepwell_types::{
    DecodeError,
    access::{AccessOpen, Purpose, RecordName, Target},
    command::{Command, CommandSignature, Entry, NotAPart, Part, Payload, SignedCommand},
    decode, encode,
    encoding::{Blob, List, Text},
    id::{
        ChainId, ChartId, CommandId, Compartment, Digest, LogPosition, MemberId, PublicKey,
        RecordId, Signature, Suite, TransactionId,
    },
    limits::{ACCESS_RECORDS_MAX, COMMAND_BYTES_MAX, SIGNERS_MAX},
    member::{Party, Role},
    record::RecordKind,
    set::{CompartmentSet, KindSet, PurposeSet, RoleSet},
    time::{BlockTime, Window},
};
use proptest::prelude::*;

const ID: TransactionId = TransactionId([9; 16]);

fn command(target: Target) -> SignedCommand {
    let access = AccessOpen {
        chart: ChartId([7; 32]),
        target,
        purpose: Purpose::Treatment,
        reader_key: Digest([8; 32]),
        notice: 1,
    };
    SignedCommand {
        command: Command {
            version: 1,
            chain: ChainId([1; 32]),
            id: CommandId([2; 16]),
            window: Window { from: BlockTime(10), until: BlockTime(20) },
            signers: List::from_vec(vec![Party::Member(MemberId([3; 16]))]).unwrap(),
            payload: Payload::AccessOpen(access),
            part: None,
        },
        signatures: List::from_vec(vec![CommandSignature {
            suite: Suite::One,
            key: PublicKey([4; 32]),
            signature: Signature([5; 64]),
        }])
        .unwrap(),
    }
}

fn named(count: usize) -> Target {
    let name =
        |index| RecordName { position: LogPosition(index), record: RecordId([index as u8; 32]) };
    Target::Records(List::from_vec((0..count as u64).map(name).collect()).unwrap())
}

fn compartments() -> Target {
    Target::Compartments { compartments: CompartmentSet::all(), until: LogPosition(u64::MAX) }
}

/// Decodes `bytes` as a `T` and says what came of it, in a word.
fn fault<T>(bytes: &[u8]) -> &'static str
where
    T: for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()>,
{
    match decode::<T>(bytes, COMMAND_BYTES_MAX) {
        Ok(_) => "none",
        Err(DecodeError::TooLong { .. }) => "too long",
        Err(DecodeError::Malformed { .. }) => "malformed",
        Err(DecodeError::Trailing { .. }) => "trailing",
        Err(DecodeError::NotCanonical) => "not canonical",
    }
}

#[test]
fn commands_come_back_as_they_went() {
    for target in [named(0), named(1), named(ACCESS_RECORDS_MAX), compartments()] {
        let signed = command(target);
        assert_eq!(SignedCommand::decode(&signed.encode()), Ok(signed));
    }
}

/// A command on its own has the bytes that it had before there were transactions.
#[test]
fn a_part_is_a_seventh_item_and_its_place_is_one() {
    let alone = command(compartments());
    let (head, part) = (alone.command.clone(), |place, parts| Part::new(ID, place, parts));
    assert_eq!(encode(&head)[0], 0x86);
    for (place, parts) in [(0, 2), (1, 2), (1_023, 1_024)] {
        let mut signed = alone.clone();
        signed.command.part = Some(part(place, parts).unwrap());
        let bytes = signed.encode();
        assert_eq!(bytes[1], 0x87);
        assert_eq!(SignedCommand::decode(&bytes), Ok(signed));
    }
    for (place, parts) in [(0, 0), (0, 1), (2, 2), (1_024, 1_024), (0, 1_025), (65_535, 65_535)] {
        assert_eq!(part(place, parts), Err(NotAPart { place, parts }));
        let bytes = encode(&(ID, place, parts));
        assert_eq!(fault::<Part>(&bytes), "malformed", "{place} of {parts}");
        let json = format!("{{\"transaction\":\"{ID}\",\"place\":{place},\"parts\":{parts}}}");
        assert!(serde_json::from_str::<Part>(&json).is_err());
    }
    let bytes = encode(&(ID, 0_u16, 2_u16));
    assert_eq!(fault::<Part>(&bytes), "none");
    assert_eq!(fault::<Part>(&bytes[..bytes.len() - 1]), "malformed");
    let more = encode(&(ID, 0_u16, 2_u16, 7_u16));
    assert_eq!(fault::<Part>(&more), "not canonical");
    // Nothing, written out, is one item too many.
    let mut nothing = encode(&head);
    nothing[0] = 0x87;
    nothing.push(0xf6);
    assert_eq!(fault::<Command>(&nothing), "not canonical");
}

#[test]
fn every_other_encoding_is_refused() {
    let cases: &[(&str, &[u8], &str)] = &[
        ("the number 5", &[0x05], "none"),
        ("5 in two bytes", &[0x18, 0x05], "not canonical"),
        ("5 in nine bytes", &[0x1b, 0, 0, 0, 0, 0, 0, 0, 5], "not canonical"),
        ("nothing", &[], "malformed"),
        ("5 and more", &[0x05, 0x00], "trailing"),
        ("minus 1", &[0x20], "malformed"),
        ("a float", &[0xf9, 0x45, 0x00], "malformed"),
        ("a tagged 5", &[0xc1, 0x05], "malformed"),
        ("null", &[0xf6], "malformed"),
    ];
    for (name, bytes, expected) in cases {
        assert_eq!(fault::<BlockTime>(bytes), *expected, "{name}");
    }
}

#[test]
fn lists_have_limits_and_definite_lengths() {
    type Two = List<u64, 2>;
    let cases: &[(&str, &[u8], &str)] = &[
        ("two", &[0x82, 1, 2], "none"),
        ("three", &[0x83, 1, 2, 3], "malformed"),
        ("of unknown length", &[0x9f, 1, 2, 0xff], "malformed"),
        ("a length in two bytes", &[0x98, 0x02, 1, 2], "not canonical"),
        ("four thousand million, and none there", &[0x9a, 0xff, 0xff, 0xff, 0xff], "malformed"),
        ("cut off", &[0x82, 1], "malformed"),
        ("a map", &[0xa1, 1, 2], "malformed"),
    ];
    for (name, bytes, expected) in cases {
        assert_eq!(fault::<Two>(bytes), *expected, "{name}");
    }
}

#[test]
fn bytes_and_text_have_limits() {
    assert_eq!(fault::<Blob<2>>(&[0x42, 1, 2]), "none");
    assert_eq!(fault::<Blob<2>>(&[0x43, 1, 2, 3]), "malformed");
    assert_eq!(fault::<Blob<2>>(&[0x5f, 0x41, 1, 0xff]), "malformed");
    assert_eq!(fault::<Text<2>>(&[0x62, b'h', b'i']), "none");
    assert_eq!(fault::<Text<2>>(&[0x63, b'h', b'i', b'!']), "malformed");
    assert_eq!(fault::<Text<2>>(&[0x62, 0xff, 0xfe]), "malformed", "not UTF-8");
    assert_eq!(
        fault::<ChainId>(&[0x58, 31].iter().chain(&[0; 31]).copied().collect::<Vec<_>>()),
        "malformed"
    );
}

#[test]
fn sets_have_only_known_words() {
    assert_eq!(fault::<CompartmentSet>(&encode(&0xffff_u32)), "none");
    assert_eq!(fault::<CompartmentSet>(&encode(&0x1_0000_u32)), "malformed");
    assert_eq!(fault::<Compartment>(&[15]), "none");
    assert_eq!(fault::<Compartment>(&[16]), "malformed");
    assert_eq!(KindSet::all().len() as usize, RecordKind::ALL.len());
    assert_eq!(PurposeSet::all().len() as usize, Purpose::ALL.len());
    assert_eq!(RoleSet::all().iter().collect::<Vec<_>>(), Role::ALL);
    assert_eq!(fault::<PurposeSet>(&encode(&(1_u32 << Purpose::ALL.len()))), "malformed");
}

#[test]
fn too_many_signers_are_refused() {
    let mut signed = command(compartments());
    let parties = vec![Party::Member(MemberId([3; 16])); SIGNERS_MAX];
    signed.command.signers = List::from_vec(parties.clone()).unwrap();
    assert!(SignedCommand::decode(&signed.encode()).is_ok());
    assert!(
        List::<Party, SIGNERS_MAX>::from_vec(
            [parties, vec![Party::Member(MemberId([3; 16]))]].concat()
        )
        .is_err()
    );
}

#[test]
fn a_command_that_is_too_long_is_refused_before_it_is_read() {
    let bytes = vec![0x80; COMMAND_BYTES_MAX + 1];
    let error = SignedCommand::decode(&bytes).unwrap_err();
    assert_eq!(error, DecodeError::TooLong { len: COMMAND_BYTES_MAX + 1, max: COMMAND_BYTES_MAX });
}

#[test]
fn json_is_for_people() {
    let text = serde_json::to_string(&command(compartments())).unwrap();
    assert!(text.contains("\"purpose\":\"TREAT\""), "{text}");
    assert_eq!(serde_json::from_str::<SignedCommand>(&text).unwrap(), command(compartments()));
}

proptest! {
    /// Cut anywhere, a command is refused; with any bit turned over, it is refused or another command.
    #[test]
    fn damage_never_goes_unnoticed(at in 0_usize..400, bit in 0_u8..8) {
        let signed = command(named(3));
        let bytes = signed.encode();
        let at = at % bytes.len();
        prop_assert!(SignedCommand::decode(&bytes[..at]).is_err());
        let mut damaged = bytes;
        damaged[at] ^= 1 << bit;
        prop_assert_ne!(SignedCommand::decode(&damaged).ok(), Some(signed));
    }

    /// Whatever decodes is canonical.
    #[test]
    fn what_decodes_encodes_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(entry) = decode::<Entry>(&bytes, COMMAND_BYTES_MAX) {
            prop_assert_eq!(encode(&entry), bytes);
        }
    }
}

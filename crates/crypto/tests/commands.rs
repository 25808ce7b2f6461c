//! Commands, requests and acknowledgements: signed, verified one by one and together.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_crypto::{
    command::{self, SignatureError, command_digest, record_id_of, verify, verify_all},
    custody::{FIRST_VERSION, sign_custody, verify_custody},
    request,
    sign::{self, SigningKey},
};
use keepwell_types::{
    anchor::AnchorAdd,
    command::{COMMAND_VERSION, Command, Entry, Payload, SignedCommand},
    encoding::{List, Text},
    id::{
        ChainId, CommandId, Commitment, Digest, Epoch, MemberId, OrganisationId, PublicKey,
        Signature,
    },
    member::Party,
    record::{CustodyAcknowledgement, CustodyStatement, RecordAdd, RecordKind},
    time::{BlockTime, Window},
    wire::Request,
};
use support::{CHAIN, CHART, compartment};

fn key(number: u8) -> SigningKey {
    SigningKey::from_seed(&[number; 32])
}

fn command(number: u8, signers: u8, payload: Payload) -> Command {
    let signers = (0..signers).map(|it| Party::Member(MemberId([it; 16]))).collect();
    Command {
        version: COMMAND_VERSION,
        chain: CHAIN,
        id: CommandId([number; 16]),
        window: Window { from: BlockTime(10), until: BlockTime(20) },
        signers: List::from_vec(signers).unwrap(),
        payload,
        part: None,
    }
}

fn anchor(number: u8) -> Payload {
    Payload::AnchorAdd(AnchorAdd { root: Digest([number; 32]), documents: 1 })
}

/// A `record.add` that custodians 1 and 2 acknowledge.
fn record_add(number: u8) -> Command {
    let add = RecordAdd {
        chart: CHART,
        compartment: compartment(2),
        epoch: Epoch(0),
        kind: RecordKind::Result,
        commitment: Commitment([number; 32]),
        sealed_bytes: 4_096,
        custody: List::new(),
        approval: None,
        uniqueness: None,
        amends: None,
    };
    let mut command = command(number, 1, Payload::RecordAdd(add.clone()));
    let custody = [1, 2].map(|custodian| {
        let statement = CustodyStatement {
            chain: CHAIN,
            custodian: OrganisationId([custodian; 16]),
            record: record_id_of(&command).unwrap(),
            version: FIRST_VERSION,
            commitment: add.commitment,
            sealed_bytes: add.sealed_bytes,
            until: BlockTime(30),
        };
        let key = key(200 + custodian);
        let signature = sign_custody(&key, &statement);
        assert_eq!(verify_custody(&key.public(), &statement, &signature), Ok(()));
        let CustodyStatement { custodian, until, .. } = statement;
        CustodyAcknowledgement { custodian, key: key.public(), signature, until }
    });
    let custody = List::from_vec(custody.to_vec()).unwrap();
    command.payload = Payload::RecordAdd(RecordAdd { custody, ..add });
    command
}

fn record_of(signed: &mut SignedCommand) -> &mut RecordAdd {
    let Payload::RecordAdd(add) = &mut signed.command.payload else {
        panic!("the command adds no record");
    };
    add
}

#[test]
fn signed_commands_verify_alone_and_together() {
    let alice = key(1);
    let signed: Vec<_> = (0..40)
        .map(|number| match number % 3 {
            0 => command::sign(record_add(number), &[&alice]),
            1 => command::sign(command(number, 1, anchor(number)), &[&alice]),
            _ => command::sign(command(number, 2, anchor(number)), &[&alice, &key(number)]),
        })
        .collect();
    let together = verify_all(signed.clone());
    for (one, signed) in together.into_iter().zip(signed) {
        let one = one.unwrap();
        assert_eq!(one.digest(), command_digest(&signed.command));
        assert_eq!(Ok(&one), verify(signed.clone()).as_ref());
        assert_eq!(one.into_signed(), signed);
    }
}

/// The encoding of the neutral element.
const NEUTRAL: PublicKey = {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    PublicKey(bytes)
};

/// A change to a signed `record.add` by two signers, and what both ways to verify then answer.
type Fault = (&'static str, fn(&mut SignedCommand), SignatureError);

#[test]
fn every_fault_is_found_alone_and_among_64() {
    let (alice, bob) = (key(1).public(), key(2).public());
    let custodian = key(201).public();
    let faults: &[Fault] = &[
        ("another payload", |it| it.command.payload = anchor(1), SignatureError::Wrong(alice)),
        ("another chain", |it| it.command.chain = ChainId([0; 32]), SignatureError::Wrong(alice)),
        ("another id", |it| it.command.id.0[0] ^= 1, SignatureError::Wrong(alice)),
        (
            "a longer window",
            |it| it.command.window.until = BlockTime(21),
            SignatureError::Wrong(alice),
        ),
        (
            "no signers",
            |it| {
                it.command.signers = List::new();
                it.signatures = List::new();
            },
            SignatureError::Unsigned,
        ),
        (
            "a signature missing",
            |it| it.signatures = List::from_vec(it.signatures[..1].to_vec()).unwrap(),
            SignatureError::Count { signers: 2, signatures: 1 },
        ),
        (
            "a signature too many",
            |it| it.signatures.push(it.signatures[0]).unwrap(),
            SignatureError::Count { signers: 2, signatures: 3 },
        ),
        (
            "signature of the second signer damaged",
            |it| edit(it, 1, |by| by.signature.0[40] ^= 1),
            SignatureError::Wrong(bob),
        ),
        (
            "key of another",
            |it| edit(it, 1, |by| by.key = key(1).public()),
            SignatureError::Wrong(alice),
        ),
        ("small-order key", |it| edit(it, 1, |by| by.key = NEUTRAL), SignatureError::Key(NEUTRAL)),
        (
            "S above the order",
            |it| edit(it, 0, |by| by.signature = Signature([0xff; 64])),
            SignatureError::Malformed(alice),
        ),
        (
            "damaged acknowledgement",
            |it| {
                let add = record_of(it);
                add.custody = acknowledged(add, |by| by.signature.0[40] ^= 1);
                resign(it);
            },
            SignatureError::Wrong(custodian),
        ),
    ];
    for (name, change, error) in faults {
        let mut signed = sign_two(100);
        change(&mut signed);
        assert_eq!(verify(signed.clone()), Err(*error), "{name}");
        let mut many: Vec<_> = (0..63).map(sign_two).collect();
        many.insert(37, signed);
        for (place, answer) in verify_all(many).into_iter().enumerate() {
            match answer {
                Ok(_) => assert_ne!(place, 37, "{name}"),
                Err(found) => assert_eq!((place, found), (37, *error), "{name}"),
            }
        }
    }
}

/// Signs what a fault left of the command.
fn resign(signed: &mut SignedCommand) {
    *signed = command::sign(signed.command.clone(), &[&key(1), &key(2)]);
}

fn sign_two(number: u8) -> SignedCommand {
    let mut command = record_add(number);
    command.signers.push(Party::Member(MemberId([1; 16]))).unwrap();
    command::sign(command, &[&key(1), &key(2)])
}

fn edit(
    signed: &mut SignedCommand,
    place: usize,
    change: fn(&mut keepwell_types::command::CommandSignature),
) {
    let mut signatures = signed.signatures.to_vec();
    change(&mut signatures[place]);
    signed.signatures = List::from_vec(signatures).unwrap();
}

/// The acknowledgements with a change to the first.
fn acknowledged<const MAX: usize>(
    add: &RecordAdd,
    change: fn(&mut CustodyAcknowledgement),
) -> List<CustodyAcknowledgement, MAX> {
    let mut custody = add.custody.to_vec();
    change(&mut custody[0]);
    List::from_vec(custody).unwrap()
}

#[test]
fn a_custodian_vouches_for_its_own_statement_only() {
    // Signed honestly around acknowledgements that were made for something else.
    type Change = fn(&mut RecordAdd);
    let changes: [(&str, Change); 4] = [
        ("of another commitment", |add| add.commitment.0[0] ^= 1),
        ("of another size", |add| add.sealed_bytes += 1),
        ("of another custodian", |add| {
            add.custody = acknowledged(add, |by| by.custodian = OrganisationId([9; 16]));
        }),
        ("of a longer promise", |add| add.custody = acknowledged(add, |by| by.until.0 += 1)),
    ];
    let wrong = SignatureError::Wrong(key(201).public());
    for (name, change) in changes {
        let mut command = record_add(1);
        let Payload::RecordAdd(add) = &mut command.payload else { unreachable!() };
        change(add);
        assert_eq!(verify(command::sign(command, &[&key(1)])), Err(wrong), "{name}");
    }
    let mut moved = record_add(1);
    moved.id = CommandId([2; 16]);
    assert_eq!(verify(command::sign(moved, &[&key(1)])), Err(wrong), "of another record");
}

#[test]
fn ids_and_digests_depend_on_all_that_they_name() {
    let base = record_add(1);
    let id = record_id_of(&base).unwrap();
    let changes: [fn(&mut Command); 5] = [
        |it| it.chain.0[0] ^= 1,
        |it| it.id.0[0] ^= 1,
        |it| it.window.until.0 += 1,
        |it| it.signers = List::from_vec(vec![Party::Member(MemberId([9; 16]))]).unwrap(),
        |it| {
            let Payload::RecordAdd(add) = &mut it.payload else { unreachable!() };
            add.chart.0[0] ^= 1;
        },
    ];
    for change in changes {
        let mut other = base.clone();
        change(&mut other);
        assert_ne!(record_id_of(&other).unwrap(), id);
        assert_ne!(command_digest(&other), command_digest(&base));
    }
    assert_eq!(record_id_of(&command(1, 1, anchor(1))), None);
    assert_eq!(record_id_of(&command(1, 0, base.payload.clone())), None);

    // The same payload twice in a genesis file is two entries; a signed command is one anywhere.
    let genesis = Entry::Genesis(anchor(1));
    assert_ne!(command::entry_digest(&genesis, 0), command::entry_digest(&genesis, 1));
    let signed = Entry::Signed(command::sign(base.clone(), &[&key(1)]));
    assert_eq!(command::entry_digest(&signed, 0), command_digest(&base));
    assert_eq!(command::entry_digest(&signed, 1), command_digest(&base));
}

#[test]
fn a_signature_for_one_use_is_worth_nothing_in_another() {
    let signature = key(1).sign("keepwell/test/one/v1", b"message");
    let public = key(1).public();
    assert_eq!(sign::verify(&public, "keepwell/test/one/v1", b"message", &signature), Ok(()));
    let wrong = Err(SignatureError::Wrong(public));
    assert_eq!(sign::verify(&public, "keepwell/test/two/v1", b"message", &signature), wrong);
    assert_eq!(sign::verify(&public, "keepwell/test/one/v1", b"messages", &signature), wrong);
}

#[test]
fn requests_are_bound_to_node_target_body_and_time() {
    let request = Request {
        chain: CHAIN,
        node: OrganisationId([1; 16]),
        party: Party::Member(MemberId([1; 16])),
        id: CommandId([5; 16]),
        at: BlockTime(1_000),
        target: Text::from_string("GET /v1/charts".into()).unwrap(),
        body: request::body_digest(b""),
    };
    let signed = request::sign(&key(1), request.clone());
    let verified = request::verify(signed.clone()).unwrap();
    assert_eq!((verified.request(), verified.key()), (&request, &key(1).public()));
    let changes: [fn(&mut Request); 6] = [
        |it| it.chain.0[0] ^= 1,
        |it| it.node.0[0] ^= 1,
        |it| it.party = Party::Member(MemberId([2; 16])),
        |it| it.at.0 += 1,
        |it| it.target = Text::from_string("PUT /v1/charts".into()).unwrap(),
        |it| it.body = request::body_digest(b"body"),
    ];
    for change in changes {
        let mut changed = signed.clone();
        change(&mut changed.request);
        assert_eq!(request::verify(changed), Err(SignatureError::Wrong(key(1).public())));
    }
}

#[test]
fn secrets_are_not_printed() {
    assert_eq!(format!("{:?}", key(1)), "SigningKey(..)");
    assert_eq!(format!("{:?}", support::epoch_key(0, 0)), "SealingKey(..)");
    let code = keepwell_crypto::keys::ClaimCode::from_bytes(&[1; 16]);
    assert_eq!(format!("{code:?}"), "ClaimCode(..)");
}

//! Files that say more, or less, than was signed: each is refused.

use keepwell_crypto::{
    command::{entry_digest, sign},
    sign::SigningKey,
};
use keepwell_merkle::{block, receipt::RECEIPT_VERSION, tree};
use keepwell_types::{
    command::{COMMAND_VERSION, Command},
    encoding::Blob,
    id::{CommandId, Compartment, Digest, Epoch, Height, MemberId},
    outcome::{Outcome, Rejection, Verdict},
    record::RecordAdd,
    time::Window,
};

use super::*;
use crate::testing::{FOUNDED, World, list, organisation};

const CHART: ChartId = ChartId([0xc0; 32]);
const COMMITMENT: Commitment = Commitment([9; 32]);
const RESIDENT: Party = Party::Member(MemberId([1; 16]));
const ATTENDING: Party = Party::Member(MemberId([2; 16]));

/// The receipt of a command that stands alone in the block at this height.
fn receipt(world: &World, height: u64, by: Party, payload: Payload, verdict: Verdict) -> Receipt {
    let command = Command {
        version: COMMAND_VERSION,
        chain: world.chain(),
        id: CommandId([7; 16]),
        window: Window { from: FOUNDED, until: FOUNDED.plus_ms(60_000) },
        signers: list([by]),
        payload,
        part: None,
    };
    let entry = Entry::Signed(sign(command, &[&SigningKey::from_seed(&[5; 32])]));
    let mut header = world.header(height, Digest([8; 32]));
    let outcome = Outcome {
        command: entry_digest(&entry, 0),
        location: Location { height: Height(height), index: 0 },
        time: header.time,
        verdict,
    };
    (header.entries, header.payload) = (1, block::payload_digest(std::slice::from_ref(&entry)));
    header.outcomes = block::outcome_root(std::slice::from_ref(&outcome));
    let path = |leaf| tree::prove(&[leaf], 0).unwrap();
    Receipt {
        version: RECEIPT_VERSION,
        entry_path: path(block::entry_leaf(&entry)),
        outcome_path: path(block::outcome_leaf(&outcome)),
        entry,
        outcome,
        certified: world.certified(header),
        handovers: None,
    }
}

fn add(world: &World, rule: Option<&str>) -> Receipt {
    let add = RecordAdd {
        chart: CHART,
        compartment: Compartment::new(1).unwrap(),
        epoch: Epoch(0),
        kind: RecordKind::Document,
        commitment: COMMITMENT,
        sealed_bytes: 100,
        custody: List::new(),
        approval: rule.map(|text| text.parse().unwrap()),
        uniqueness: None,
        amends: None,
    };
    receipt(world, 2, RESIDENT, Payload::RecordAdd(add), Verdict::Accepted)
}

fn approve(record: RecordId, meaning: Meaning, seat: u8) -> RecordApprove {
    let record = RecordName { position: LogPosition(3), record };
    RecordApprove { chart: CHART, record, commitment: COMMITMENT, meaning, seat }
}

const RULE: &str = "authorship: author; responsibility: clinician@chart";

/// A file that holds, of a record that both have signed, and the state that it is proven with.
fn signed(world: &World) -> (SignatureFile, Proposal) {
    let record = add(world, Some(RULE));
    let proposed = Proposed::of(&record.clone().verify_by(world.consortium.validators()).unwrap());
    let id = proposed.unwrap().record;
    let by = |height, party, approve| {
        receipt(world, height, party, Payload::RecordApprove(approve), Verdict::Accepted)
    };
    let approvals = [
        by(3, RESIDENT, approve(id, Meaning::Authorship, 0)),
        by(4, ATTENDING, approve(id, Meaning::Responsibility, 1)),
    ];
    let counted =
        approvals.iter().zip([(RESIDENT, 0), (ATTENDING, 1)]).map(|(it, (party, seat))| Approval {
            party,
            location: it.outcome.location,
            seat,
            time: it.outcome.time,
        });
    let proposal = Proposal {
        rule: RULE.parse().unwrap(),
        approvals: list(counted),
        commitment: COMMITMENT,
        until: None,
        final_at: Some(approvals[1].outcome.time),
        withdrawn_at: None,
        organisation: organisation(0),
    };
    let sign_off = prove(world, id, &proposal);
    let file =
        SignatureFile { version: SIGNATURES_VERSION, record, approvals: list(approvals), sign_off };
    (file, proposal)
}

fn prove(world: &World, record: RecordId, proposal: &Proposal) -> StateProof {
    let key = Key::Proposal(CHART, record);
    world.prove(9, &[(key, Value::Proposal(proposal.clone()))], key)
}

fn name(result: &Result<VerifiedSignatures, SignatureFault>) -> &'static str {
    match result {
        Ok(_) => "ok",
        Err(SignatureFault::Version { .. }) => "version",
        Err(SignatureFault::Proof(ProofFault::Receipt(_))) => "receipt",
        Err(SignatureFault::Proof(_)) => "proof",
        Err(SignatureFault::NoProposal) => "no_proposal",
        Err(SignatureFault::OtherSignatures { .. }) => "other_signatures",
    }
}

#[test]
fn t4_a_file_shows_who_signed_when_and_what_it_means() {
    let world = World::new("signatures");
    let (file, proposal) = signed(&world);
    let bytes = file.encode();
    assert!(bytes.len() < SIGNATURES_BYTES_MAX);
    let verified = SignatureFile::decode(&bytes).unwrap().verify(&world.consortium).unwrap();
    let shown: Vec<_> =
        verified.signatures().iter().map(|it| (it.signer, it.time, it.meaning)).collect();
    assert_eq!(
        shown,
        [
            (RESIDENT, FOUNDED.plus_ms(4_500), Meaning::Authorship),
            (ATTENDING, FOUNDED.plus_ms(6_000), Meaning::Responsibility)
        ]
    );
    assert_eq!(verified.proposal(), &proposal);
    assert_eq!(verified.proposed().author, RESIDENT);
    assert_eq!(verified.header().header().height, Height(9));
}

#[test]
fn t5_a_file_of_other_signatures_is_refused() {
    let (world, other) = (World::new("signatures"), World::new("others"));
    let (good, proposal) = signed(&world);
    let record =
        Proposed::of(&good.record.clone().verify_by(world.consortium.validators()).unwrap())
            .unwrap()
            .record;
    let second = |party, approve, verdict| {
        let by = receipt(&world, 4, party, Payload::RecordApprove(approve), verdict);
        list(good.approvals.iter().take(1).cloned().chain([by]))
    };
    let approve = |meaning, seat| approve(record, meaning, seat);
    let elsewhere = RecordApprove {
        record: RecordName { position: LogPosition(3), record: RecordId([1; 32]) },
        ..approve(Meaning::Responsibility, 1)
    };
    let of_other =
        RecordApprove { commitment: Commitment([1; 32]), ..approve(Meaning::Responsibility, 1) };
    let in_other = RecordApprove { chart: ChartId([1; 32]), ..approve(Meaning::Responsibility, 1) };
    let good_approval = approve(Meaning::Responsibility, 1);
    let refused = Verdict::Rejected(Rejection::NotApprover(record));
    let yes = Verdict::Accepted;
    let fewer = Proposal {
        approvals: list(proposal.approvals.iter().take(1).copied()),
        final_at: None,
        ..proposal.clone()
    };
    let of_state = |proposal: &Proposal| prove(&world, record, proposal);
    type Change<'a> = Box<dyn Fn(&mut SignatureFile) + 'a>;
    let cases: [(&str, Change<'_>, &str); 15] = [
        ("as it should be", Box::new(|_| ()), "ok"),
        ("a later version", Box::new(|it| it.version = 2), "version"),
        (
            "one missing",
            Box::new(|it| it.approvals = list(it.approvals[..1].to_vec())),
            "other_signatures",
        ),
        (
            "one twice",
            Box::new(|it| {
                let one = it.approvals[0].clone();
                it.approvals = list([one.clone(), one]);
            }),
            "other_signatures",
        ),
        (
            "in another order",
            Box::new(|it| {
                it.approvals = list(it.approvals.iter().rev().cloned().collect::<Vec<_>>());
            }),
            "other_signatures",
        ),
        (
            "one that was taken back",
            Box::new(|it| it.sign_off = of_state(&fewer)),
            "other_signatures",
        ),
        (
            "one of another record",
            Box::new(|it| it.approvals = second(ATTENDING, elsewhere, yes.clone())),
            "other_signatures",
        ),
        (
            "one of other content",
            Box::new(|it| it.approvals = second(ATTENDING, of_other, yes.clone())),
            "other_signatures",
        ),
        (
            "one in another chart",
            Box::new(|it| it.approvals = second(ATTENDING, in_other, yes.clone())),
            "other_signatures",
        ),
        (
            "one by somebody else",
            Box::new(|it| it.approvals = second(RESIDENT, good_approval, yes.clone())),
            "other_signatures",
        ),
        (
            "one with another meaning",
            Box::new(|it| {
                it.approvals = second(ATTENDING, approve(Meaning::Review, 1), yes.clone());
            }),
            "other_signatures",
        ),
        (
            "one that was refused",
            Box::new(|it| it.approvals = second(ATTENDING, good_approval, refused.clone())),
            "other_signatures",
        ),
        (
            "another sign-off",
            Box::new(|it| {
                it.sign_off = prove(&world, RecordId([1; 32]), &proposal);
            }),
            "proof",
        ),
        (
            "a record that was refused",
            Box::new(|it| {
                let entry = it.record.entry.clone();
                let Entry::Signed(signed) = entry else { panic!("a command") };
                it.record = receipt(&world, 2, RESIDENT, signed.command.payload, refused.clone());
            }),
            "no_proposal",
        ),
        (
            "a record of another consortium",
            Box::new(|it| it.record = add(&other, Some(RULE))),
            "receipt",
        ),
    ];
    for (fault, change, expected) in cases {
        let mut file = good.clone();
        change(&mut file);
        assert_eq!(name(&file.verify(&world.consortium)), expected, "{fault}");
    }
}

#[test]
fn bytes_that_are_no_file_are_refused() {
    let world = World::new("signatures");
    let (file, _) = signed(&world);
    let bytes = file.encode();
    assert!(SignatureFile::decode(&bytes[..bytes.len() - 1]).is_err());
    assert!(SignatureFile::decode(&[bytes.clone(), vec![0]].concat()).is_err());
    assert!(SignatureFile::decode(&vec![0; SIGNATURES_BYTES_MAX + 1]).is_err());
    let mut cut = file;
    cut.sign_off.proof = Blob::from_vec(vec![1; 8]).unwrap();
    assert_eq!(name(&cut.verify(&world.consortium)), "proof");
}

//! Receipts: good ones of every shape, then each way in which one can be wrong.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use keepwell_merkle::{
    anchor::{DOCUMENT_RECEIPT_VERSION, DocumentError, DocumentReceipt, document_leaf},
    block,
    certificate::{CertificateError, Validators},
    receipt::{CertifiedHeader, Forgery, Receipt, ReceiptError},
    tree::{self, InclusionPath, PathError},
};
use keepwell_types::{
    DecodeError,
    access::{AccessOpen, Purpose, RecordName, Target},
    command::{Entry, Payload},
    id::{BlockId, ChartId, Digest, Height, LogPosition, MemberId, RecordId, Salt, Signature},
    limits::{
        ACCESS_RECORDS_MAX, BLOCK_COMMANDS_MAX, PATH_STEPS_MAX, RECEIPT_BYTES_MAX,
        RECEIPT_FILE_BYTES_MAX, SIGNERS_MAX,
    },
    member::{MemberStanding, Party},
    outcome::{Outcome, Rejection, Verdict},
    time::BlockTime,
};
use support::{Chain, Consortium, four, list};

#[test]
fn every_entry_of_every_block_is_proven_by_every_later_block() {
    let (four, chain) = four();
    let mut proven = 0;
    for (height, block) in chain.blocks.iter().enumerate() {
        for (index, by) in
            (0..block.entries.len()).flat_map(|it| (height..6).map(move |by| (it, by)))
        {
            let receipt =
                Receipt::decode(&chain.receipt(&four, height, index, by).encode()).unwrap();
            let verified = receipt.verify(&four.genesis).unwrap();
            assert_eq!(verified.entry(), &block.entries[index]);
            assert_eq!(verified.outcome(), &block.outcomes[index]);
            assert_eq!(verified.header().header(), &block.header);
            assert_eq!(verified.header().id(), block::block_id(&block.header));
            proven += 1;
        }
    }
    assert_eq!(proven, 5 + 5 * 4 + 1);
}

#[test]
fn entries_of_the_genesis_file_have_receipts() {
    let four = Consortium::of("Four", 4);
    let entry = |number| {
        let standing = MemberStanding { member: MemberId([number; 16]) };
        (Entry::Genesis(Payload::MemberReinstate(standing)), Verdict::Accepted)
    };
    // The same entry twice: its place is part of its digest.
    let chain = four.chain_of(vec![vec![entry(1), entry(1)]]);
    chain.receipt(&four, 1, 0, 1).verify(&four.genesis).unwrap();
    chain.receipt(&four, 1, 1, 1).verify(&four.genesis).unwrap();

    let mut moved = chain.receipt(&four, 1, 0, 1);
    moved.outcome = chain.blocks[1].outcomes[1].clone();
    moved.outcome_path = chain.receipt(&four, 1, 1, 1).outcome_path;
    let place = PathError::Place { given_index: 0, given_size: 2, index: 1, size: 2 };
    assert_eq!(moved.verify(&four.genesis), Err(Forgery::Entry(place).into()));
}

#[test]
fn a_header_is_proven_without_an_entry() {
    let (four, chain) = four();
    let certified = chain.certified(&four, 0, 5);
    let decoded = CertifiedHeader::decode(&certified.encode()).unwrap();
    let verified = decoded.verify(&four.genesis).unwrap();
    assert_eq!(verified.header(), &chain.blocks[0].header);
}

/// What is done to a good receipt, and what is said about it.
struct Altering {
    four: Consortium,
    chain: Chain,
}

impl Altering {
    fn check(&self, name: &str, alter: impl FnOnce(&mut Receipt), expected: ReceiptError) {
        let mut receipt = self.chain.receipt(&self.four, 2, 1, 2);
        alter(&mut receipt);
        assert_eq!(receipt.verify(&self.four.genesis), Err(expected), "{name}");
    }

    /// As `check`, for a receipt that another block certifies.
    fn check_by(&self, name: &str, alter: impl FnOnce(&mut Receipt), expected: ReceiptError) {
        let mut receipt = self.chain.receipt(&self.four, 2, 1, 5);
        alter(&mut receipt);
        assert_eq!(receipt.verify(&self.four.genesis), Err(expected), "{name}");
    }
}

fn altering() -> Altering {
    let (four, chain) = four();
    Altering { four, chain }
}

#[test]
fn altered_entries_and_outcomes_are_refused() {
    let it = altering();
    let root = PathError::Root;
    let place =
        |given_index, index| PathError::Place { given_index, given_size: 5, index, size: 5 };

    it.check("another command", |it| swap_id(&mut it.entry), Forgery::OtherCommand.into());
    it.check("another signature", |it| spoil_signature(&mut it.entry), Forgery::Entry(root).into());
    it.check(
        "another verdict",
        |it| it.outcome.verdict = Verdict::Rejected(Rejection::Denied),
        Forgery::Outcome(root).into(),
    );
    it.check(
        "a command that the outcome is not of",
        |it| it.outcome.command.0[0] ^= 1,
        Forgery::OtherCommand.into(),
    );
    it.check(
        "another place",
        |it| it.outcome.location.index = 2,
        Forgery::Outcome(place(1, 2)).into(),
    );
    it.check(
        "a place that the block does not have",
        |it| {
            it.outcome.location.index = 5;
            it.outcome_path.index = 5;
        },
        Forgery::Outcome(PathError::NoSuchLeaf { index: 5, size: 5 }).into(),
    );
    it.check(
        "another height",
        |it| it.outcome.location.height = Height(3),
        Forgery::Height { outcome: Height(3), header: Height(2) }.into(),
    );
    let (time, later) = (it.chain.blocks[2].header.time, it.chain.blocks[2].header.time.plus_ms(1));
    it.check(
        "another time",
        |it| it.outcome.time = later,
        Forgery::Time { outcome: later, header: time }.into(),
    );
    it.check("another version", |it| it.version = 2, ReceiptError::Version { given: 2, known: 1 });
    it.check(
        "a tree of another size",
        |it| it.outcome_path.size = 6,
        Forgery::Outcome(PathError::Place { given_index: 1, given_size: 6, index: 1, size: 5 })
            .into(),
    );
    it.check(
        "a path cut off",
        |it| it.outcome_path.steps = list(it.outcome_path.steps[..2].to_vec()),
        Forgery::Outcome(PathError::Steps { given: 2, needed: 3 }).into(),
    );
    it.check(
        "a path extended",
        |it| it.entry_path.steps.push(Digest([0; 32])).unwrap(),
        Forgery::Entry(PathError::Steps { given: 4, needed: 3 }).into(),
    );
    it.check(
        "the paths of entry and outcome changed for each other",
        |it| core::mem::swap(&mut it.entry_path, &mut it.outcome_path),
        Forgery::Outcome(root).into(),
    );
}

#[test]
fn altered_headers_are_refused() {
    let it = altering();
    let shown = |height: usize| block::block_id(&it.chain.blocks[height].header);
    let certified = shown(2);
    let other = |shown| Forgery::OtherBlock { certified, shown }.into();

    let mut altered = it.chain.blocks[2].header.clone();
    altered.state.0[0] ^= 1;
    it.check(
        "another state",
        |it| it.certified.header.state.0[0] ^= 1,
        other(block::block_id(&altered)),
    );
    let next = it.chain.blocks[3].header.clone();
    it.check("the header of another block", |it| it.certified.header = next, other(shown(3)));
    it.check(
        "the certificate of another block",
        |receipt| receipt.certified.certificate = it.chain.certified(&it.four, 3, 3).certificate,
        Forgery::OtherBlock { certified: shown(3), shown: shown(2) }.into(),
    );
    it.check(
        "a version that does not exist",
        |it| it.certified.header.version = 2,
        Forgery::HeaderVersion(2).into(),
    );
    it.check(
        "too few votes",
        |receipt| {
            let header = &receipt.certified.header;
            receipt.certified.certificate = it.four.certify(header, [0, 3]);
        },
        Forgery::Certificate(CertificateError::TooFewVotes { given: 2, needed: 3 }).into(),
    );
    it.check(
        "a spoilt vote",
        |it| {
            let mut votes = it.certified.certificate.votes.to_vec();
            votes[2].signature = Signature([7; 64]);
            it.certified.certificate.votes = list(votes);
        },
        Forgery::Certificate(CertificateError::BadVote { validator: 2 }).into(),
    );
    it.check(
        "the certificate of another epoch",
        |it| it.certified.certificate.epoch = 1,
        Forgery::Certificate(CertificateError::OtherEpoch {
            given: 1,
            expected: 0,
            height: Height(2),
        })
        .into(),
    );
}

#[test]
fn altered_ancestries_are_refused() {
    let it = altering();
    let place = |given_index, given_size, index, size| {
        Forgery::Ancestry(PathError::Place { given_index, given_size, index, size }).into()
    };
    let path = |receipt: &mut Receipt, alter: &dyn Fn(&mut InclusionPath)| {
        alter(&mut receipt.certified.ancestry.as_mut().unwrap().path);
    };
    let descends = |height, descendant| {
        Forgery::NotDescendant { height: Height(height), descendant: Height(descendant) }.into()
    };

    it.check_by(
        "the path of another block",
        |it| path(it, &|path| path.index = 3),
        place(3, 5, 2, 5),
    );
    it.check_by(
        "a history of another length",
        |it| path(it, &|path| path.size = 6),
        place(2, 6, 2, 5),
    );
    it.check_by(
        "a step of another tree",
        |it| path(it, &|path| path.steps = list([Digest([0; 32]); 3])),
        Forgery::Ancestry(PathError::Root).into(),
    );
    it.check_by(
        "no path",
        |it| path(it, &|path| path.steps = list([])),
        Forgery::Ancestry(PathError::Steps { given: 0, needed: 3 }).into(),
    );
    it.check_by(
        "a block that never was, in front of a good descendant",
        |it| it.certified.header.state.0[0] ^= 1,
        Forgery::Ancestry(PathError::Root).into(),
    );
    for earlier in [0, 1, 2] {
        let header = it.chain.blocks[earlier as usize].header.clone();
        it.check_by(
            "a block that is not later",
            |it| it.certified.ancestry.as_mut().unwrap().descendant = header,
            descends(2, earlier),
        );
    }
    it.check_by(
        "an altered descendant",
        |it| it.certified.ancestry.as_mut().unwrap().descendant.time = BlockTime(1),
        {
            let mut header = it.chain.blocks[5].header.clone();
            let certified = block::block_id(&header);
            header.time = BlockTime(1);
            Forgery::OtherBlock { certified, shown: block::block_id(&header) }.into()
        },
    );
    let (own, last) = (&it.chain.blocks[2].header, &it.chain.blocks[5].header);
    it.check_by(
        "an ancestry left out",
        |it| it.certified.ancestry = None,
        Forgery::OtherBlock { certified: block::block_id(last), shown: block::block_id(own) }
            .into(),
    );
    it.check_by(
        "a descendant of another version",
        |it| it.certified.ancestry.as_mut().unwrap().descendant.version = 0,
        Forgery::HeaderVersion(0).into(),
    );
}

#[test]
fn receipts_of_other_consortia_are_refused() {
    let (four, chain) = four();
    let other = Consortium::of("Another four", 4);
    let foreign = || {
        let (given, expected) = (four.chain(), other.chain());
        ReceiptError::OtherConsortium { given, expected }
    };
    let receipt = || chain.receipt(&four, 2, 1, 5);
    assert_eq!(receipt().verify(&other.genesis), Err(foreign()));

    let mut grafted = receipt();
    grafted.certified.header.chain = other.chain();
    let error = grafted.verify(&other.genesis).unwrap_err();
    assert_eq!(
        error,
        Forgery::Ancestry(PathError::Root).into(),
        "the header is not in its history"
    );

    let mut grafted = chain.receipt(&four, 2, 1, 2);
    grafted.certified.header.chain = other.chain();
    grafted.certified.certificate.block = block::block_id(&grafted.certified.header);
    assert_eq!(
        grafted.verify(&other.genesis),
        Err(Forgery::Certificate(CertificateError::BadVote { validator: 0 }).into())
    );

    let mut unordered = four.genesis.clone();
    unordered.validators = list(unordered.validators.iter().rev().copied());
    assert_eq!(receipt().verify(&unordered), Err(ReceiptError::Genesis));
}

#[test]
fn every_byte_counts() {
    let (four, chain) = four();
    let validators = Validators::of(&four.genesis).unwrap();
    let good = chain.receipt(&four, 2, 4, 5).encode();
    Receipt::decode(&good).unwrap().verify_by(&validators).unwrap();
    for (at, bit) in (0..good.len()).flat_map(|at| [0, 1, 5, 7].map(|bit| (at, bit))) {
        let mut altered = good.clone();
        altered[at] ^= 1 << bit;
        let verified = Receipt::decode(&altered).and_then(|it| it.verify_by(&validators));
        assert!(verified.is_err(), "bit {bit} of byte {at}");
    }
}

#[test]
fn whole_files_only() {
    let (four, chain) = four();
    let good = chain.receipt(&four, 2, 4, 5).encode();
    for len in 0..good.len() {
        let cut = Receipt::decode(&good[..len]);
        assert!(
            matches!(cut, Err(ReceiptError::Malformed(DecodeError::Malformed { .. }))),
            "{len}"
        );
    }
    let malformed = |error| Err(ReceiptError::Malformed(error));
    let extended = [&good[..], &[0]].concat();
    assert_eq!(Receipt::decode(&extended), malformed(DecodeError::Trailing { extra: 1 }));
    for (max, decoded) in [
        (RECEIPT_FILE_BYTES_MAX, (|long| Receipt::decode(long).err()) as fn(&[u8]) -> _),
        (RECEIPT_BYTES_MAX, |long| CertifiedHeader::decode(long).err()),
    ] {
        let len = max + 1;
        let too_long = DecodeError::TooLong { len, max };
        assert_eq!(decoded(&vec![0; len]), Some(ReceiptError::Malformed(too_long)));
    }
    // The same array with its length in two bytes.
    let loose = [&[0x98, 6], &good[1..]].concat();
    assert_eq!(Receipt::decode(&loose), malformed(DecodeError::NotCanonical));
}

#[test]
fn a_receipt_in_a_full_block_of_four_validators_is_small() {
    let four = Consortium::of("Four", 4);
    let decided = (four.record_add(1), Verdict::Accepted);
    let chain = four.chain_of(vec![vec![decided; BLOCK_COMMANDS_MAX], vec![]]);
    let mut receipt = chain.receipt(&four, 1, BLOCK_COMMANDS_MAX - 1, 2);
    receipt.certified.certificate = four.certify(&chain.blocks[2].header, 0..4);
    assert_eq!(receipt.outcome_path.steps.len(), 12);
    receipt.clone().verify(&four.genesis).unwrap();

    // After 2^48 blocks, too.
    let steps = list([Digest([0; 32]); PATH_STEPS_MAX]);
    receipt.certified.ancestry.as_mut().unwrap().path.steps = steps;
    let bytes = receipt.encode().len();
    assert!(bytes <= 8 * 1024, "{bytes} bytes");
}

#[test]
fn a_receipt_of_the_largest_command_and_most_validators_fits() {
    let most = Consortium::of("Most", 64);
    let mut entry = most.record_add(1);
    let Entry::Signed(signed) = &mut entry else { unreachable!("a record.add is signed") };
    let name = RecordName { position: LogPosition(u64::MAX), record: RecordId([1; 32]) };
    signed.command.payload = Payload::AccessOpen(AccessOpen {
        chart: ChartId([1; 32]),
        target: Target::Records(list([name; ACCESS_RECORDS_MAX])),
        purpose: Purpose::Treatment,
        reader_key: Digest([1; 32]),
        notice: 255,
    });
    signed.command.signers = list([Party::Controller(ChartId([1; 32])); SIGNERS_MAX]);
    signed.signatures = list([signed.signatures[0]; SIGNERS_MAX]);

    let chain = most.chain_of(vec![vec![(entry, Verdict::Accepted)], vec![]]);
    let mut receipt = chain.receipt(&most, 1, 0, 2);
    receipt.certified.certificate = most.certify(&chain.blocks[2].header, 0..64);
    receipt.clone().verify(&most.genesis).unwrap();
    let steps = list([Digest([0; 32]); PATH_STEPS_MAX]);
    receipt.certified.ancestry.as_mut().unwrap().path.steps = steps;
    let bytes = receipt.encode().len();
    assert!(bytes <= RECEIPT_BYTES_MAX / 4, "{bytes} bytes");
}

fn swap_id(entry: &mut Entry) {
    let Entry::Signed(signed) = entry else { unreachable!("a record.add is signed") };
    signed.command.id.0[0] ^= 1;
}

fn spoil_signature(entry: &mut Entry) {
    let Entry::Signed(signed) = entry else { unreachable!("a record.add is signed") };
    let mut signatures = signed.signatures.to_vec();
    signatures[0].signature.0[0] ^= 1;
    signed.signatures = list(signatures);
}

fn documents(count: u8) -> Vec<(Salt, Digest)> {
    let digest = |at| tree::leaf_digest(&[at]);
    (0..count).map(|at| (Salt([at; 32]), digest(at))).collect()
}

/// An anchor of nine documents, in block 1 of four validators, with this verdict.
fn anchored(verdict: Verdict) -> (Consortium, Chain, Vec<Digest>) {
    let four = Consortium::of("Four", 4);
    let leaves: Vec<_> =
        documents(9).iter().map(|(salt, document)| document_leaf(salt, document)).collect();
    let anchor = four.anchor_add(tree::root(&leaves), 9);
    let chain =
        four.chain_of(vec![vec![(four.record_add(1), Verdict::Accepted), (anchor, verdict)]]);
    (four, chain, leaves)
}

fn document_receipt(
    four: &Consortium,
    chain: &Chain,
    leaves: &[Digest],
    which: usize,
) -> DocumentReceipt {
    let (salt, document) = documents(9)[which];
    DocumentReceipt {
        version: DOCUMENT_RECEIPT_VERSION,
        salt,
        document,
        path: tree::prove(leaves, which as u64).unwrap(),
        receipt: chain.receipt(four, 1, 1, 1),
    }
}

#[test]
fn each_anchored_document_is_proven() {
    let (four, chain, leaves) = anchored(Verdict::Accepted);
    for (which, (_, document)) in documents(9).iter().enumerate() {
        let bytes = document_receipt(&four, &chain, &leaves, which).encode();
        let receipt = DocumentReceipt::decode(&bytes).unwrap();
        let verified = receipt.verify(&four.genesis, document).unwrap();
        assert_eq!(verified.document(), *document);
        assert_eq!(verified.receipt().outcome(), &chain.blocks[1].outcomes[1]);
    }
}

#[test]
fn documents_that_were_not_anchored_are_refused() {
    let (four, chain, leaves) = anchored(Verdict::Accepted);
    let document = documents(9)[4].1;
    let check = |name: &str, alter: &dyn Fn(&mut DocumentReceipt), expected: DocumentError| {
        let mut receipt = document_receipt(&four, &chain, &leaves, 4);
        alter(&mut receipt);
        assert_eq!(receipt.verify(&four.genesis, &document), Err(expected), "{name}");
    };
    let forged = |forgery: Forgery| DocumentError::from(forgery);
    let root = || forged(Forgery::Document(PathError::Root));
    let other = documents(9)[5].1;

    check(
        "another document",
        &|it| it.document = other,
        DocumentError::OtherDocument { given: document, expected: other },
    );
    check("another salt", &|it| it.salt.0[0] ^= 1, root());
    check("the place of another document", &|it| it.path.index = 5, root());
    check(
        "a tree of another size",
        &|it| it.path.size = 10,
        forged(Forgery::Document(PathError::Place {
            given_index: 4,
            given_size: 10,
            index: 4,
            size: 9,
        })),
    );
    check(
        "a place outside the tree",
        &|it| it.path.index = 9,
        forged(Forgery::Document(PathError::NoSuchLeaf { index: 9, size: 9 })),
    );
    check("a version that does not exist", &|it| it.version = 0, {
        ReceiptError::Version { given: 0, known: 1 }.into()
    });
    check(
        "the receipt of another command",
        &|it| it.receipt = chain.receipt(&four, 1, 0, 1),
        forged(Forgery::NotAccepted("anchor.add")),
    );
    check("a forged receipt", &|it| it.receipt.outcome.command.0[0] ^= 1, {
        forged(Forgery::OtherCommand)
    });
    let truncated = document_receipt(&four, &chain, &leaves, 4).encode();
    assert!(DocumentReceipt::decode(&truncated[..truncated.len() - 1]).is_err());
}

#[test]
fn a_refused_anchor_anchors_nothing() {
    let refused = Verdict::Rejected(Rejection::AnchorSize { documents: 9 });
    let (four, chain, leaves) = anchored(refused);
    let receipt = document_receipt(&four, &chain, &leaves, 0);
    let expected = DocumentError::from(Forgery::NotAccepted("anchor.add"));
    assert_eq!(receipt.verify(&four.genesis, &documents(9)[0].1), Err(expected));
}

#[test]
fn a_chart_log_is_complete_from_any_position() {
    use keepwell_merkle::chart_log::{EMPTY, extend, extend_all};

    let (_, chain) = four();
    let log: Vec<Outcome> = chain.blocks[2].outcomes.clone();
    let heads: Vec<_> =
        (0..=5).map(|len| extend_all(EMPTY, LogPosition(0), &log[..len]).unwrap()).collect();
    assert_eq!(heads[0], EMPTY);
    assert_eq!(heads[1], extend(EMPTY, LogPosition(0), &log[0]));
    for from in 0..=5_usize {
        let suffix = |outcomes: &[Outcome]| {
            extend_all(heads[from], LogPosition(from as u64), outcomes).unwrap()
        };
        assert_eq!(suffix(&log[from..]), heads[5]);
        for lost in from..5 {
            let mut holed = log[from..].to_vec();
            holed.remove(lost - from);
            assert_ne!(suffix(&holed), heads[5], "{lost} lost after {from}");
        }
        if from < 4 {
            let mut swapped = log[from..].to_vec();
            swapped.swap(0, 1);
            assert_ne!(suffix(&swapped), heads[5], "order after {from}");
            let elsewhere = extend_all(heads[from], LogPosition(9), &log[from..]);
            assert_ne!(elsewhere, Some(heads[5]));
        }
        let doubled = [&log[from..], &log[4..]].concat();
        assert_ne!(suffix(&doubled), heads[5], "one too many after {from}");
    }
}

#[test]
fn a_chart_log_ends_at_the_last_position() {
    use keepwell_merkle::chart_log::{EMPTY, extend, extend_all};

    let (_, chain) = four();
    let log: Vec<Outcome> = chain.blocks[2].outcomes.clone();
    let last = LogPosition(u64::MAX);
    assert_eq!(extend_all(EMPTY, last, &log[..0]), Some(EMPTY));
    assert_eq!(extend_all(EMPTY, last, &log[..1]), Some(extend(EMPTY, last, &log[0])));
    assert_eq!(extend_all(EMPTY, last, &log[..2]), None);
    assert_eq!(extend_all(EMPTY, LogPosition(u64::MAX - 1), &log[..3]), None);
}

#[test]
fn each_field_of_a_header_changes_the_blocks_id() {
    let (_, chain) = four();
    let header = &chain.blocks[2].header;
    let mut ids = vec![block::block_id(header)];
    let mut alter = |alter: &dyn Fn(&mut keepwell_types::block::Header)| {
        let mut altered = header.clone();
        alter(&mut altered);
        ids.push(block::block_id(&altered));
    };
    alter(&|it| it.version = 2);
    alter(&|it| it.chain.0[0] ^= 1);
    alter(&|it| it.height.0 += 1);
    alter(&|it| it.parent = BlockId([0; 32]));
    alter(&|it| it.time = it.time.plus_ms(1));
    alter(&|it| it.payload.0[0] ^= 1);
    alter(&|it| it.entries += 1);
    alter(&|it| it.outcomes.0[0] ^= 1);
    alter(&|it| it.state.0[0] ^= 1);
    alter(&|it| it.history.0[0] ^= 1);
    alter(&|it| it.sync.root.0[0] ^= 1);
    alter(&|it| it.sync.start += 1);
    alter(&|it| it.sync.end += 1);
    alter(&|it| it.round.epoch += 1);
    alter(&|it| it.round.view += 1);
    alter(&|it| it.round.parent_view += 1);
    alter(&|it| it.round.leader.0[0] ^= 1);
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
}

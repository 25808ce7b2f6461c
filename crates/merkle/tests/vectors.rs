//! Frozen formats: `vectors/merkle/`. A change here is a change of format, and needs a new version.
//!
//! Each line of a file is a name, what a verifier must say, and bytes in hexadecimal. With
//! `KEEPWELL_VECTORS=write` the files are written anew; otherwise they are compared, and each receipt
//! that they hold is read from them and verified.
#![allow(clippy::unwrap_used, missing_docs)]

mod support;

use std::{env, fmt::Write as _, fs, path::PathBuf};

use keepwell_crypto::command::validators_digest;
use keepwell_merkle::{
    anchor::{DOCUMENT_RECEIPT_VERSION, DocumentError, DocumentReceipt, document_leaf},
    block,
    certificate::{CertificateError, Validators, consensus_namespace},
    chart_log,
    handover::{Handover, HandoverError},
    range::{self, Peaks},
    receipt::{Forgery, Receipt, ReceiptError},
    tree::{self, leaf_digest},
};
use keepwell_types::{
    block::{Header, Round},
    decode, encode,
    genesis::Genesis,
    id::{ChainId, Digest, LogPosition, Salt},
    limits::HANDOVER_BYTES_MAX,
    outcome::Verdict,
    validators::ValidatorSet,
};
use support::{Consortium, four, list};

/// Lines of a vector file: name, verdict, bytes.
#[derive(Default)]
struct Vectors(Vec<(String, &'static str, Vec<u8>)>);

impl Vectors {
    fn add(&mut self, name: &str, verdict: &'static str, bytes: impl Into<Vec<u8>>) {
        assert!(!name.contains(' '), "a name is one word");
        self.0.push((name.into(), verdict, bytes.into()));
    }

    /// Writes or compares `vectors/merkle/<file>`, and returns its lines.
    fn freeze(self, file: &str, about: &str) -> Vec<(String, String, Vec<u8>)> {
        let mut text = format!("# {about}\n");
        for (name, verdict, bytes) in self.0 {
            writeln!(text, "{name} {verdict} {}", hex::encode(bytes)).unwrap();
        }
        let path = folder().join(file);
        if env::var("KEEPWELL_VECTORS").is_ok_and(|it| it == "write") {
            fs::create_dir_all(folder()).unwrap();
            fs::write(&path, &text).unwrap();
        }
        let frozen = fs::read_to_string(&path).unwrap();
        for (now, then) in text.lines().zip(frozen.lines()) {
            assert_eq!(now, then, "a line of {file} has changed");
        }
        assert_eq!(text.lines().count(), frozen.lines().count(), "lines of {file}");
        frozen.lines().skip(1).map(parse).collect()
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/merkle")
}

fn parse(line: &str) -> (String, String, Vec<u8>) {
    let words: Vec<_> = line.split(' ').collect();
    let [name, verdict, bytes] = words[..] else { panic!("three words, not {line}") };
    (name.into(), verdict.into(), hex::decode(bytes).unwrap())
}

#[test]
fn trees_and_ranges() {
    let leaves: Vec<_> = (0..21_u64).map(|at| leaf_digest(&at.to_le_bytes())).collect();
    let mut vectors = Vectors::default();
    let mut peaks = Peaks::new();
    vectors.add("root-of-0", "ok", tree::EMPTY.0);
    for (at, leaf) in (1..).zip(&leaves) {
        drop(peaks.push(*leaf));
        vectors.add(&format!("root-of-{at}"), "ok", peaks.root().0);
    }
    vectors.add("peaks-of-21", "ok", peaks.encode());
    for index in [0, 7, 15, 16, 20] {
        let path = tree::prove(&leaves, index).unwrap();
        vectors.add(&format!("path-of-{index}-in-21"), "ok", encode(&path));
    }
    for before in [0, 1, 8, 13, 16, 20, 21] {
        let path = tree::prove_consistency(&leaves, before).unwrap();
        vectors.add(&format!("growth-from-{before}-to-21"), "ok", encode(&path));
    }
    let positions = (0..21).flat_map(|at| range::position(0, at).to_le_bytes());
    vectors.add("positions-of-leaves", "ok", positions.collect::<Vec<_>>());
    vectors.freeze(
        "trees.txt",
        "Leaf i is the leaf of i as 8 bytes, little endian. See `tree`, `range`.",
    );
}

#[test]
fn blocks() {
    let (four, chain) = four();
    let mut vectors = Vectors::default();
    vectors.add("namespace", "ok", consensus_namespace(&ChainId([1; 32])));
    vectors.add("chain", "ok", four.chain().0);
    for (height, it) in chain.blocks.iter().enumerate() {
        vectors.add(&format!("header-{height}"), "ok", encode(&it.header));
        vectors.add(&format!("id-of-{height}"), "ok", block::block_id(&it.header).0);
    }
    let outcomes = &chain.blocks[2].outcomes;
    vectors.add("entry-leaf", "ok", block::entry_leaf(&chain.blocks[2].entries[0]).0);
    vectors.add("outcome-leaf", "ok", block::outcome_leaf(&outcomes[0]).0);
    let head = chart_log::extend_all(chart_log::EMPTY, LogPosition(0), outcomes).unwrap();
    vectors.add("chart-log-of-5", "ok", head.0);
    let first = chart_log::extend_lines(chart_log::EMPTY, LogPosition(0), b"first line");
    let second = chart_log::extend_lines(first, LogPosition(1), b"second line");
    vectors.add("chart-lines-of-1", "ok", first.0);
    vectors.add("chart-lines-of-2", "ok", second.0);
    vectors.add("document-leaf", "ok", document_leaf(&Salt([1; 32]), &Digest([2; 32])).0);
    vectors.freeze(
        "blocks.txt",
        "Blocks of a consortium of four. See `block`, `chart_log`, `anchor`.",
    );
}

/// What a verifier says of `bytes`, in one word.
fn verdict(bytes: &[u8], genesis: &Genesis) -> &'static str {
    match Receipt::decode(bytes).and_then(|it| it.verify(genesis)) {
        Ok(_) => "ok",
        Err(error) => word(&error),
    }
}

fn word(error: &ReceiptError) -> &'static str {
    match error {
        ReceiptError::Malformed(_) => "malformed",
        ReceiptError::Version { .. } => "version",
        ReceiptError::Genesis => "genesis",
        ReceiptError::OtherConsortium { .. } => "other_consortium",
        ReceiptError::Forged(forgery) => match forgery {
            Forgery::Certificate(CertificateError::TooFewVotes { .. }) => "too_few_votes",
            Forgery::Certificate(CertificateError::VoteOrder { .. }) => "vote_order",
            Forgery::Certificate(CertificateError::UnknownValidator { .. }) => "unknown_validator",
            Forgery::Certificate(CertificateError::BadVote { .. }) => "bad_vote",
            Forgery::Certificate(CertificateError::Genesis) => "genesis",
            Forgery::Certificate(CertificateError::OtherEpoch { .. }) => "other_epoch",
            Forgery::Certificate(CertificateError::OtherBlock { .. }) => "other_block",
            Forgery::Handover(_) => "handover",
            Forgery::OtherBlock { .. } => "other_block",
            Forgery::HeaderVersion(_) => "header_version",
            Forgery::NotDescendant { .. } => "not_descendant",
            Forgery::Ancestry(_) => "ancestry",
            Forgery::Height { .. } => "height",
            Forgery::Time { .. } => "time",
            Forgery::OtherCommand => "other_command",
            Forgery::Outcome(_) => "outcome",
            Forgery::Entry(_) => "entry",
            Forgery::NotAccepted(_) => "not_accepted",
            Forgery::Document(_) => "document",
        },
    }
}

/// How a receipt was altered.
type Alter = fn(&Consortium, &mut Receipt);

#[test]
fn receipts() {
    let (four, chain) = four();
    let mut vectors = Vectors::default();
    vectors.add("genesis", "-", four.genesis.encode());
    vectors.add("own-certificate", "ok", chain.receipt(&four, 2, 1, 2).encode());
    vectors.add("certified-by-a-descendant", "ok", chain.receipt(&four, 2, 1, 5).encode());
    vectors.add("refused-by-the-ledger", "ok", chain.receipt(&four, 2, 4, 3).encode());

    let altered: [(&str, &str, Alter); 19] = [
        ("later-version", "version", |_, it| it.version = 2),
        ("accepted-made-refused", "outcome", |_, it| {
            it.outcome.verdict = Verdict::Rejected(keepwell_types::outcome::Rejection::Denied);
        }),
        ("outcome-of-another-command", "other_command", |_, it| it.outcome.command.0[0] ^= 1),
        ("outcome-of-another-height", "height", |_, it| it.outcome.location.height.0 += 1),
        ("outcome-of-another-time", "time", |_, it| it.outcome.time = it.outcome.time.plus_ms(1)),
        ("outcome-of-another-place", "outcome", |_, it| it.outcome.location.index += 1),
        ("path-of-another-size", "outcome", |_, it| it.outcome_path.size += 1),
        ("path-cut-off", "outcome", |_, it| {
            it.outcome_path.steps = list(it.outcome_path.steps[1..].to_vec());
        }),
        ("entry-path-extended", "entry", |_, it| {
            it.entry_path.steps.push(Digest([0; 32])).unwrap();
        }),
        ("header-altered", "ancestry", |_, it| it.certified.header.state.0[0] ^= 1),
        ("header-of-another-chain", "other_consortium", |_, it| {
            it.certified.header.chain.0[0] ^= 1;
        }),
        ("header-version", "header_version", |_, it| it.certified.header.version = 0),
        ("ancestry-left-out", "other_block", |_, it| it.certified.ancestry = None),
        ("descendant-not-later", "not_descendant", |_, it| {
            let own = it.certified.header.clone();
            it.certified.ancestry.as_mut().unwrap().descendant = own;
        }),
        ("vote-left-out", "too_few_votes", |_, it| {
            it.certified.certificate.votes = list(it.certified.certificate.votes[1..].to_vec());
        }),
        ("vote-twice", "vote_order", |_, it| {
            let votes = &it.certified.certificate.votes;
            it.certified.certificate.votes = list([votes[0], votes[1], votes[1]]);
        }),
        ("vote-of-nobody", "unknown_validator", |_, it| {
            let mut votes = it.certified.certificate.votes.to_vec();
            votes[2].validator = 4;
            it.certified.certificate.votes = list(votes);
        }),
        ("view-altered", "bad_vote", |_, it| it.certified.certificate.view += 1),
        ("epoch-altered", "other_epoch", |_, it| it.certified.certificate.epoch = 1),
    ];
    for (name, verdict, alter) in altered {
        let mut receipt = chain.receipt(&four, 2, 1, 5);
        alter(&four, &mut receipt);
        vectors.add(name, verdict, receipt.encode());
    }
    let good = chain.receipt(&four, 2, 1, 5).encode();
    vectors.add("cut-off", "malformed", &good[..good.len() - 1]);
    vectors.add("extended", "malformed", [&good[..], &[0]].concat());
    vectors.add("length-in-two-bytes", "malformed", [&[0x98, 6], &good[1..]].concat());
    let other = Consortium::of("Another four", 4);
    let (other_chain, entry) = (other.chain(), (other.record_add(1), Verdict::Accepted));
    assert_ne!(other_chain, four.chain());
    let foreign = other.chain_of(vec![vec![entry]]).receipt(&other, 1, 0, 1);
    vectors.add("of-another-consortium", "other_consortium", foreign.encode());

    let frozen = vectors.freeze(
        "receipts.txt",
        "Receipts, to be verified with the genesis file of the first line.",
    );
    let genesis = Genesis::decode(&frozen[0].2).unwrap();
    for (name, expected, bytes) in &frozen[1..] {
        assert_eq!(verdict(bytes, &genesis), expected, "{name}");
    }
}

#[test]
fn handovers() {
    let mut four = Consortium::of("Four", 4);
    four.genesis.parameters.epoch_blocks = Some(8);
    let set = ValidatorSet { since: 2, ..ValidatorSet::of(&four.genesis) };
    let block = four.chain_of(vec![vec![]; 15]).blocks.pop().unwrap();
    let round = Round { epoch: 1, ..block.header.round };
    let header = Header { next: Some(validators_digest(&set)), round, ..block.header };
    let certificate = four.certify_by_quorum(&header);
    let good = Handover { header, certificate, set };

    let mut vectors = Vectors::default();
    vectors.add("genesis", "-", four.genesis.encode());
    vectors.add("set", "-", encode(&good.set));
    vectors.add("digest-of-set", "-", validators_digest(&good.set).0);
    vectors.add("same-validators", "ok", good.encode());
    type Altered = (&'static str, &'static str, fn(&mut Handover));
    let altered: [Altered; 6] = [
        ("since-altered", "other_set", |it| it.set.since = 3),
        ("key-altered", "other_set", |it| it.set.committee.key.0[0] ^= 1),
        ("next-left-out", "other_set", |it| it.header.next = None),
        ("earlier-height", "not_last", |it| it.header.height.0 = 14),
        ("header-altered", "certificate", |it| it.header.state.0[0] ^= 1),
        ("vote-left-out", "certificate", |it| {
            it.certificate.votes = list(it.certificate.votes[1..].to_vec());
        }),
    ];
    for (name, verdict, alter) in altered {
        let mut handover = good.clone();
        alter(&mut handover);
        vectors.add(name, verdict, handover.encode());
    }
    let frozen =
        vectors.freeze("handovers.txt", "Hand-overs, to be followed from the genesis file.");
    let genesis = Genesis::decode(&frozen[0].2).unwrap();
    for (name, expected, bytes) in &frozen[3..] {
        let handover = decode(bytes, HANDOVER_BYTES_MAX).unwrap();
        let verdict = match Validators::of(&genesis).unwrap().advance(&handover) {
            Ok(()) => "ok",
            Err(HandoverError::OtherSet(_)) => "other_set",
            Err(HandoverError::NotLast(_)) => "not_last",
            Err(HandoverError::Certificate { .. }) => "certificate",
            Err(other) => panic!("{name}: {other}"),
        };
        assert_eq!(verdict, expected, "{name}");
    }
}

#[test]
fn documents() {
    let four = Consortium::of("Four", 4);
    let document = leaf_digest(b"a document");
    let leaves: Vec<_> = (0..5).map(|at| document_leaf(&Salt([at; 32]), &document)).collect();
    let anchor = four.anchor_add(tree::root(&leaves), 5);
    let chain = four.chain_of(vec![vec![(anchor, Verdict::Accepted)]]);
    let receipt = || DocumentReceipt {
        version: DOCUMENT_RECEIPT_VERSION,
        salt: Salt([3; 32]),
        document,
        path: tree::prove(&leaves, 3).unwrap(),
        receipt: chain.receipt(&four, 1, 0, 1),
    };
    let mut vectors = Vectors::default();
    vectors.add("genesis", "-", four.genesis.encode());
    vectors.add("document", "-", document.0);
    vectors.add("anchored", "ok", receipt().encode());
    let altered = |alter: fn(&mut DocumentReceipt)| {
        let mut receipt = receipt();
        alter(&mut receipt);
        receipt.encode()
    };
    vectors.add("another-salt", "document", altered(|it| it.salt.0[0] ^= 1));
    vectors.add("another-place", "document", altered(|it| it.path.index = 2));
    vectors.add("another-document", "other_document", altered(|it| it.document.0[0] ^= 1));
    vectors.add("later-version", "version", altered(|it| it.version = 2));

    let frozen =
        vectors.freeze("documents.txt", "Receipts of one document, by its SHA-256 digest.");
    let (genesis, document) = (Genesis::decode(&frozen[0].2).unwrap(), &frozen[1].2);
    let document = Digest(document[..].try_into().unwrap());
    for (name, expected, bytes) in &frozen[2..] {
        let verified = DocumentReceipt::decode(bytes)
            .map_err(DocumentError::from)
            .and_then(|it| it.verify(&genesis, &document));
        let verdict = match verified {
            Ok(_) => "ok",
            Err(DocumentError::OtherDocument { .. }) => "other_document",
            Err(DocumentError::Receipt(error)) => word(&error),
        };
        assert_eq!(verdict, expected, "{name}");
    }
}

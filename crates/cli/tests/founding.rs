//! Four organisations found a consortium, each with a process and a folder of its own, and run it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{fs, path::Path};

use common::{
    founders::{FOUNDERS, Founders},
    keepwell, scratch, wait_until,
};

fn change_byte(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn strangers_found_a_consortium_and_run_it() {
    let scratch = scratch();
    let hosts = Founders::on_loopback(scratch.path());
    hosts.keys(0).refused(&["has keys already"]);

    // A card that was changed on its way is of nobody.
    let cards = FOUNDERS.map(|(kind, _)| hosts.path(&format!("{kind}/founder.card")));
    let changed = hosts.path("changed.card");
    fs::copy(&cards[0], &changed).unwrap();
    change_byte(Path::new(&changed), 100);
    let draft = hosts.path("draft.cbor");
    let make = |cards: &[&str]| {
        let make = ["genesis", "draft", "--name", "Northern Exchange", "--to", &draft];
        keepwell(&[&make[..], cards].concat())
    };
    make(&[&changed]).refused(&["card"]);
    make(&[&cards[0], &cards[0]]).refused(&["twice"]);
    let cards: Vec<_> = cards.iter().map(String::as_str).collect();
    let made = make(&cards).ok();
    let digest = made.word_after("");
    let shown = keepwell(&["genesis", "show", &draft]).ok();
    assert_eq!(shown.word_after("by voice:"), digest);
    for (_, name) in FOUNDERS {
        assert!(shown.stdout.contains(name), "{}", shown.stdout);
    }

    // Whoever has another draft than was read out does not begin, nor does a stranger.
    let mut other = digest.clone();
    other.replace_range(..1, if digest.starts_with('0') { "1" } else { "0" });
    keepwell(&hosts.found(0, &draft, &other)).refused(&["Someone has another draft"]);
    let mut stranger = hosts.found(0, &draft, &digest);
    let operator = stranger.iter().position(|it| it == "--operator-file").unwrap() + 1;
    stranger[operator] = hosts.path("clinic.operator");
    keepwell(&stranger).refused(&["key file"]);

    // A draft that came to nothing is no hindrance for the next one.
    let (failed, of_failed) = hosts.draft();
    let mut begun = hosts.begin(0, &failed, &of_failed);
    begun.wait_for("commit: waits for");
    begun.kill();
    let made = make(&cards).ok();
    let digest = made.word_after("");
    assert_ne!(digest, of_failed);

    // One is killed when it has committed, and comes again; the last one comes late.
    let mut first = hosts.begin(0, &draft, &digest);
    first.wait_for("commit: waits for");
    first.kill();
    let mut all: Vec<_> = (0..3).map(|place| hosts.begin(place, &draft, &digest)).collect();
    all[1].wait_for("commit: waits for");
    all.push(hosts.begin(3, &draft, &digest));
    for process in &mut all {
        process.wait_for("founded: chain ");
    }
    for process in &mut all {
        assert!(process.end().success(), "{}", process.said());
    }

    each_has_the_same_and_can_show_it(&hosts);
    // Founded is founded: the same again shows the posts, and another draft is another consortium.
    let mut again = hosts.begin(0, &draft, &digest);
    again.wait_for("founded already");
    again.interrupt();
    let (other, of_other) = hosts.draft();
    keepwell(&hosts.found(0, &other, &of_other)).refused(&["another draft", "another folder"]);

    its_nodes_run(&hosts);
}

/// The genesis file follows from the record of the founding, and nothing is left from which it could be done again.
fn each_has_the_same_and_can_show_it(hosts: &Founders) {
    let genesis = FOUNDERS.map(|(kind, _)| fs::read(hosts.path(&format!("{kind}/genesis.cbor"))));
    let genesis = genesis.map(Result::unwrap);
    assert!(genesis.iter().all(|it| *it == genesis[0]));
    for (kind, _) in FOUNDERS {
        let there = |name: &str| Path::new(&hosts.path(&format!("{kind}/keys/{name}"))).exists();
        assert!(there("share.key") && there("matching.key"), "{kind}");
        assert!(!there("ceremony.key"), "whoever finds it could deal again");
    }
    let (genesis, founding) = (hosts.path("clinic/genesis.cbor"), hosts.path("founding.cbor"));
    fs::copy(hosts.path("insurer/founding.cbor"), &founding).unwrap();
    let check = || keepwell(&["genesis", "check", "--genesis", &genesis, &founding]);
    check().ok();
    let len = fs::metadata(&founding).unwrap().len() as usize;
    for at in [len / 3, len / 2, len - 1] {
        change_byte(Path::new(&founding), at);
        check().refused(&[]);
        change_byte(Path::new(&founding), at);
    }
}

/// Their nodes run, the hospital enrols someone who anchors a document, and the receipt verifies with every node
/// stopped, against the genesis file that nobody made alone.
fn its_nodes_run(hosts: &Founders) {
    let mut nodes: Vec<_> = (0..4).map(|place| hosts.node(place)).collect();
    let nurse = hosts.member(0, "nurse");
    let enrol = hosts.enrolment(0, "nurse");
    wait_until(|| keepwell(&enrol).status.success());
    let documents = hosts.path("documents");
    fs::create_dir(&documents).unwrap();
    fs::write(hosts.path("documents/one.txt"), "one").unwrap();
    let receipts = hosts.path("receipts");
    keepwell(&["anchor", "--as", &nurse, "--receipts", &receipts, &documents]).ok();
    let receipt = fs::read_dir(&receipts).unwrap().next().unwrap().unwrap().path();
    nodes.iter_mut().for_each(|node| assert!(node.interrupt().success(), "{}", node.said()));
    let genesis = hosts.path("clinic/genesis.cbor");
    let one = hosts.path("documents/one.txt");
    let verify = ["verify", "--genesis", &genesis, "--document", &one];
    keepwell(&[&verify[..], &[receipt.to_str().unwrap()]].concat()).ok();
}

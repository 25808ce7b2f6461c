//! A custodian's disk rots: what is missing or damaged is fetched again from another custodian, and nothing else is.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use common::{
    POLL, Pilot, Place, keepwell,
    nodes::{Node, meet, move_out},
    scratch, wait_until,
    writer::Writer,
};
use serde_json::Value;

/// The objects of a chart at a custodian.
fn objects(place: &Place<'_>, slug: &str, chart: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let records = place.path(&format!("organisations/{slug}/node/custody/records"));
    let entries = fs::read_dir(Path::new(&records).join(chart)).unwrap();
    let paths = entries.map(|it| it.unwrap().path());
    // What is being written has another name, and may be gone.
    paths.filter_map(|path| Some((path.clone(), fs::read(path).ok()?))).collect()
}

fn with_extension(objects: &BTreeMap<PathBuf, Vec<u8>>, part: &str) -> Vec<PathBuf> {
    let of = |path: &&PathBuf| path.extension().is_some_and(|it| it == part);
    objects.keys().filter(of).cloned().collect()
}

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

/// A node looks once a second here.
#[track_caller]
fn holds_for_some_looks(what: impl Fn() -> bool) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(5) {
        assert!(what());
        thread::sleep(POLL);
    }
}

/// What a node says of its custody, and whether it needs its operator for that.
fn custody(config: &str) -> (u64, u64, bool) {
    let done = keepwell(&["--json", "status", "--config", config, "--once"]);
    // Where something needs its operator, the command says so in a second value.
    let first = serde_json::Deserializer::from_str(&done.stdout).into_iter::<Value>().next();
    let status = first.unwrap().unwrap();
    let number = |name: &str| status["custody"][name].as_u64().unwrap();
    let needs = status["needs"].as_array().unwrap().iter().any(|it| it["custody"].is_string());
    (number("damaged"), number("repaired"), needs)
}

#[test]
fn a_rotten_disk_is_repaired_from_another_custodian() {
    let home = scratch();
    let dir = home.path().join("pilot");
    assert!(Pilot::start(&dir).process.interrupt().success());
    let place = Place { dir: &dir };
    move_out(&place);
    let config = place.node_config("hospital");
    let laboratory = place.toml("organisations/laboratory/node.toml");
    let others = format!(
        "custody_check_s = 1\n{}\n[[custodians]]\norganisation = \"{}\"\nurl = \"http://{}\"\n",
        fs::read_to_string(&config).unwrap(),
        place.organisation("laboratory"),
        laboratory["listen_clients"].as_str().unwrap(),
    );
    fs::write(&config, others).unwrap();
    let mut nodes = Node::start_all(&place);
    let mut writer = Writer::new(place);
    meet(&nodes, 1);
    for _ in 0..4 {
        writer.write().unwrap();
    }
    let chart = writer.chart.clone();
    let here = || objects(&Place { dir: &dir }, "hospital", &chart);
    let good = here();
    let (bodies, capsules) = (with_extension(&good, "body"), with_extension(&good, "capsule"));
    assert!(bodies.len() >= 4 && bodies.len() == capsules.len(), "{good:?}");

    // Everything that can happen to a file, at once.
    flip(&bodies[0]);
    flip(&capsules[1]);
    fs::remove_file(&bodies[2]).unwrap();
    fs::write(&bodies[3], &good[&bodies[3]][1..]).unwrap();
    fs::remove_file(&capsules[3]).unwrap();
    wait_until(|| here() == good);
    wait_until(|| custody(&config) == (0, 4, false));

    // The other one's disk rots as well: what it sends is not what the ledger commits to, and changes nothing here.
    let there = objects(&Place { dir: &dir }, "laboratory", &chart);
    let bad = there.keys().find(|it| it.file_name() == bodies[0].file_name()).unwrap();
    flip(bad);
    flip(bad.with_extension("capsule").as_path());
    let mut half = good[&bodies[0]].clone();
    half[0] ^= 1;
    fs::write(&bodies[0], &half).unwrap();
    wait_until(|| custody(&config) == (1, 4, true));
    fs::write(bad.with_extension("capsule"), &there[&bad.with_extension("capsule")]).unwrap();
    holds_for_some_looks(|| fs::read(&bodies[0]).unwrap() == half);
    fs::write(bad, &there[bad]).unwrap();
    wait_until(|| here() == good);
    wait_until(|| custody(&config) == (0, 5, false));

    // Without the other one, what is gone is gone, and comes back with it.
    nodes[2].process.kill();
    fs::remove_file(&bodies[1]).unwrap();
    wait_until(|| custody(&config).0 == 1);
    nodes[2] = Node::start(&Place { dir: &dir }, "laboratory");
    wait_until(|| here() == good);

    // What is redacted is gone because it must be, and stays gone; the other one is asked for nothing.
    let (position, _) = writer.acknowledged.pop_last().unwrap();
    let position = position.to_string();
    for who in [writer.wallet.clone(), Place { dir: &dir }.person("officer")] {
        let redact = ["record", "redact", "--as", &who, "--chart", &chart];
        let which = ["--position", &position, "--ground", "patient_wish"];
        keepwell(&[&redact[..], &which].concat()).ok();
    }
    let left = || with_extension(&here(), "body").len();
    wait_until(|| left() == bodies.len() - 1);
    holds_for_some_looks(|| left() == bodies.len() - 1);
    assert_eq!(custody(&config), (0, 6, false));

    writer.check();
    for node in &mut nodes {
        assert!(node.process.interrupt().success(), "{}", node.process.said());
    }
    keepwell(&["fsck", "--config", &config]).ok();
}

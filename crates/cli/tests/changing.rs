//! Validators join, are killed meanwhile, are expelled, replaced, and deal their shares anew, while a patient writes;
//! what was sealed under the founders opens under those who came after, and receipts still follow from the genesis file.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{fs, io::Write as _, path::Path, time::Instant};

use common::{
    Done, PATIENCE, Pilot, Place, Process, keepwell,
    nodes::{Node, SLUGS, meet, move_out},
    scratch, wait_until,
    writer::Writer,
};
use keepwell_node::ports;
use serde_json::Value;

/// What the administrators of a pilot do, and what they see.
struct Offices<'a> {
    place: Place<'a>,
}

/// The keys of a validator that is to join, and where they are.
struct Newcomer {
    dir: String,
    consensus: String,
    custodian: String,
    clients: String,
}

#[track_caller]
fn said(words: &[&str]) -> Value {
    keepwell(&[words, &["--json"]].concat()).ok().json()
}

#[track_caller]
fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{value}")).to_owned()
}

/// An address that nobody has now.
fn free_address() -> String {
    format!("127.0.0.1:{}", ports::free(1).unwrap()[0])
}

impl Offices<'_> {
    fn of(&self, slug: &str) -> String {
        self.place.person(&format!("{slug}-administrator"))
    }

    /// Moves something as the first of these, and has the others approve it.
    fn decide(&self, slugs: &[&str], words: &[&str]) {
        let (first, others) = slugs.split_first().unwrap();
        let moved = said(&[words, &["--as", &self.of(first)]].concat());
        let motion = text(&moved, "/motion");
        for (at, slug) in others.iter().enumerate() {
            let done = said(&["organisation", "approve", "--as", &self.of(slug), &motion]);
            assert_eq!(done["carried_out"], at + 1 == others.len(), "{slug}: {words:?}");
        }
    }

    fn validators(&self) -> Value {
        said(&["validator", "show", "--as", &self.of("hospital")])
    }

    /// Draws the keys of a validator.
    fn newcomer(&self, slug: &str, dir: &str) -> Newcomer {
        let drawn = self.draw(slug, dir, &free_address()).ok().json();
        let [consensus, custodian, clients] =
            ["/consensus", "/custodian", "/clients"].map(|it| text(&drawn, it));
        Newcomer { dir: dir.to_owned(), consensus, custodian, clients }
    }

    fn draw(&self, slug: &str, dir: &str, address: &str) -> Done {
        let (clients, peers) = (free_address(), self.place.node_config("hospital"));
        let (operator, office) = (self.place.path("operator.key"), self.of(slug));
        let keys = ["--json", "validator", "keys", "--as", &office, "--dir", dir];
        let at = ["--address", address, "--listen-clients", &clients, "--peers", &peers];
        keepwell(&[&keys[..], &at, &["--operator-file", &operator]].concat())
    }

    /// Adds a node to the profiles of these people.
    fn tell(&self, people: &[&str], organisation: &str, url: &str) {
        for profile in people {
            let path = Path::new(profile).join("profile.toml");
            let mut profile = fs::OpenOptions::new().append(true).open(path).unwrap();
            let node = format!("\n[[nodes]]\norganisation = \"{organisation}\"\nurl = \"{url}\"\n");
            profile.write_all(node.as_bytes()).unwrap();
        }
    }
}

impl Newcomer {
    fn path(&self, below: &str) -> String {
        format!("{}/{below}", self.dir)
    }

    fn start(&self) -> Process {
        let mut process = self.begin();
        process.wait_for("peers: ");
        process
    }

    fn begin(&self) -> Process {
        let log = self.path("node.log");
        Process::start(&["node", "--config", &self.path("node.toml")], Path::new(&log))
    }
}

/// The consensus keys of those who validate.
fn seats(validators: &Value) -> Vec<String> {
    let seats = validators["set"]["seats"].as_array().unwrap();
    seats.iter().map(|seat| text(seat, "/validator/consensus")).collect()
}

/// Writes until others validate than since this epoch, and returns who.
#[track_caller]
fn await_others(offices: &Offices<'_>, writer: &mut Writer<'_>, since: &Value) -> Value {
    let start = Instant::now();
    loop {
        // Each record is a block: epochs pass the faster.
        for _ in 0..8 {
            writer.write().unwrap();
        }
        let now = offices.validators();
        if now["set"]["since"] != *since {
            return now;
        }
        assert_ne!(now["change"]["stage"], "failed", "{now}");
        assert!(start.elapsed() < PATIENCE, "{now}");
    }
}

/// The names of the shares in a folder of keys, and what is to be dealt to.
fn shares(keys: &str) -> Vec<String> {
    let names =
        fs::read_dir(keys).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let of_shares =
        |name: &String| ["share", "matching", "receiving"].iter().any(|it| name.starts_with(it));
    let mut names: Vec<_> = names.filter(of_shares).collect();
    names.sort();
    names
}

#[test]
#[allow(clippy::too_many_lines, reason = "a story, told in order")]
fn validators_come_and_go_and_what_was_sealed_stays_open() {
    let home = scratch();
    let dir = home.path().join("pilot");
    assert!(Pilot::start(&dir).process.interrupt().success());
    let place = Place { dir: &dir };
    move_out(&place);
    let mut nodes = Node::start_all(&place);
    let mut writer = Writer::new(place);
    meet(&nodes, 1);
    writer.write().unwrap();
    let offices = Offices { place };
    let founders = offices.validators();
    assert_eq!(seats(&founders).len(), 4);
    assert!(founders["change"].is_null(), "{founders}");

    // A pharmacy draws its keys, and is admitted.
    let file = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let (hospital, operator) = (offices.of("hospital"), place.path("operator.key"));
    let key = ["organisation", "key", "--like", &hospital, "--operator-file", &operator];
    let drawn = said(&[&key[..], &["--to", &offices.of("pharmacy")]].concat());
    let (pharmacy_id, key) = (text(&drawn, "/organisation"), text(&drawn, "/key"));
    offices.draw("pharmacy", &file("nowhere"), "0.0.0.0:7440").refused_in_json();
    let pharmacy = offices.newcomer("pharmacy", &file("pharmacy"));
    offices.draw("pharmacy", &pharmacy.dir, &free_address()).refused_in_json();
    let card = pharmacy.path("validator.card");
    let join = ["validator", "change", "--join", &card];
    keepwell(&[&join[..], &["--as", &hospital]].concat()).refused(&["organisation"]);
    let admit = ["organisation", "admit", "--name", "Corner Pharmacy", "--kind", "pharmacy"];
    let with = ["--key", &key, "--custodian", &pharmacy.custodian, &pharmacy_id];
    let all = ["hospital", "clinic", "laboratory", "insurer"];
    offices.decide(&all, &[&admit[..], &with].concat());

    // Nobody takes a card that was changed on its way, nor keys of somebody else's validator.
    let changed = file("changed.card");
    let mut bytes = fs::read(&card).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&changed, bytes).unwrap();
    keepwell(&["validator", "change", "--as", &hospital, "--join", &changed]).refused(&["card"]);
    let leave = ["validator", "change", "--as", &hospital, "--leave", &pharmacy.consensus];
    keepwell(&leave).refused(&["validator"]);

    // It joins. Its host dies when that begins, and comes back; another one dies in the middle.
    let mut joined = pharmacy.begin();
    let all = ["hospital", "clinic", "laboratory", "insurer", "pharmacy"];
    offices.decide(&all, &join);
    joined.kill();
    let under_way = offices.validators();
    assert_eq!(under_way["change"]["seats"].as_array().unwrap().len(), 5, "{under_way}");
    let mut joined = pharmacy.start();
    nodes[1].process.kill();
    nodes[1] = Node::start(&place, SLUGS[1]);
    let five = await_others(&offices, &mut writer, &founders["set"]["since"]);
    assert!(seats(&five).contains(&pharmacy.consensus), "{five}");
    assert_eq!(seats(&five).len(), 5);

    // Four of five open: without the laboratory it takes the pharmacy's share.
    let (wallet, clinic) = (writer.wallet.clone(), offices.of("clinic"));
    let told = [wallet.as_str(), &hospital, &clinic];
    offices.tell(&told, &pharmacy_id, &pharmacy.clients);
    nodes[2].process.kill();
    writer.write().unwrap();
    writer.check();
    nodes[2] = Node::start(&place, SLUGS[2]);

    // The insurer is expelled, and its validator with it. What it holds of the key opens nothing more.
    let insurer = place.organisation("insurer");
    let held = place.path("organisations/insurer/keys");
    assert_eq!(shares(&held), ["matching.key", "share.key"]);
    let all = ["hospital", "clinic", "laboratory", "board", "pharmacy"];
    offices.decide(&all, &["organisation", "expel", &insurer]);
    let four = await_others(&offices, &mut writer, &five["set"]["since"]);
    assert_eq!(seats(&four).len(), 4);
    wait_until(|| shares(&held).is_empty());
    nodes[3].process.kill();
    writer.check();

    // The laboratory's host is lost for good, with all keys on it: another one takes its seat.
    nodes[2].process.kill();
    let lost = place.toml("organisations/laboratory/node.toml");
    let lost = lost["peers"].as_array().unwrap();
    let own = |it: &&toml::Value| {
        it["address"] == place.toml("organisations/laboratory/node.toml")["listen_peers"]
    };
    let lost = lost.iter().find(own).unwrap()["validator"].as_str().unwrap().to_owned();
    let again = offices.newcomer("laboratory", &file("laboratory"));
    let card = again.path("validator.card");
    let mut replacement = again.begin();
    let all = ["hospital", "clinic", "laboratory", "pharmacy"];
    offices.decide(&all, &["validator", "change", "--join", &card, "--leave", &lost]);
    let replaced = await_others(&offices, &mut writer, &four["set"]["since"]);
    assert!(seats(&replaced).contains(&again.consensus) && !seats(&replaced).contains(&lost));

    // The same ones deal anew: what was on their disks before opens nothing.
    let share = place.path("organisations/hospital/keys/share.key");
    let before = fs::read(&share).unwrap();
    offices.decide(&all, &["validator", "change"]);
    let anew = await_others(&offices, &mut writer, &replaced["set"]["since"]);
    assert_eq!(seats(&anew), seats(&replaced));
    let keys = place.path("organisations/hospital/keys");
    wait_until(|| shares(&keys) == ["matching.key", "share.key"]);
    assert_ne!(fs::read(&share).unwrap(), before);
    writer.check();

    // A receipt of now is proven by the genesis file, with every node stopped.
    let (content, receipt) = (file("content"), file("record.receipt"));
    fs::write(&content, "proven").unwrap();
    let add = ["record", "add", "--as", &wallet, "--chart", &writer.chart, "--receipt", &receipt];
    keepwell(&[&add[..], &[&content]].concat()).ok();
    let [first, second, ..] = &mut nodes;
    for process in [&mut first.process, &mut second.process, &mut joined, &mut replacement] {
        assert!(process.interrupt().success(), "{}", process.said());
    }
    keepwell(&["verify", "--genesis", &place.genesis(), &receipt]).ok();
    keepwell(&["fsck", "--config", &place.node_config("hospital")]).ok();
    keepwell(&["fsck", "--config", &pharmacy.path("node.toml")]).ok();
}

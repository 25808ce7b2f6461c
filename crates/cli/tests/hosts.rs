//! Organisations on hosts of their own: networks of their own, links that are slow, lossy and cut, hosts that die, that
//! come, that are sent away, and that are lost with their disks.
//!
//! The hosts are network namespaces, which the test makes and removes: it needs root and iproute2, and says so where it
//! cannot run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    net::Ipv4Addr,
    path::Path,
    process::{self, Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread,
};

use common::{
    Done, KEEPWELL, Process,
    founders::{FOUNDERS, Founders},
    keepwell_next, scratch, wait_for, wait_until,
};
use serde_json::Value;

/// A switch and the hosts at it, each a network of its own.
struct Lan {
    name: String,
    hosts: Vec<(String, Ipv4Addr)>,
}

fn ip(words: &str) -> bool {
    let mut command = Command::new("ip");
    let done = command.args(words.split(' ')).stdout(Stdio::null()).stderr(Stdio::null()).status();
    done.is_ok_and(|status| status.success())
}

impl Lan {
    /// Nothing where networks cannot be made.
    fn new(hosts: u8) -> Option<Self> {
        // Tests of one process have networks of their own.
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("kw{}x{}", process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let host = |at: u8| (format!("{name}-{at}"), Ipv4Addr::new(10, 77, 0, at));
        let lan = Self { hosts: (1..=hosts).map(host).collect(), name };
        let switch = format!("{}-sw", lan.name);
        if !ip(&format!("netns add {switch}")) {
            return None;
        }
        assert!(ip(&format!("-n {switch} link add br0 type bridge")));
        assert!(ip(&format!("-n {switch} link set br0 up")));
        for (at, (host, address)) in lan.hosts.iter().enumerate() {
            assert!(ip(&format!("netns add {host}")));
            assert!(ip(&format!("-n {host} link set lo up")));
            let link = format!("link add eth0 netns {host} type veth peer p{at} netns {switch}");
            assert!(ip(&link));
            assert!(ip(&format!("-n {switch} link set p{at} master br0 up")));
            assert!(ip(&format!("-n {host} addr add {address}/24 dev eth0")));
            assert!(ip(&format!("-n {host} link set eth0 up")));
        }
        Some(lan)
    }

    /// Takes a host off the network, or puts it back.
    fn link(&self, place: usize, state: &str) {
        assert!(ip(&format!("-n {} link set eth0 {state}", self.hosts[place].0)));
    }

    /// Makes every link slow and lossy, if the kernel can.
    fn worsen(&self) -> bool {
        self.hosts.iter().all(|(host, _)| {
            let netem =
                format!("netns exec {host} tc qdisc add dev eth0 root netem delay 75ms loss 1%");
            ip(&netem)
        })
    }

    fn mend(&self) {
        for (host, _) in &self.hosts {
            assert!(ip(&format!("netns exec {host} tc qdisc del dev eth0 root")));
        }
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for (host, _) in &self.hosts {
            ip(&format!("netns del {host}"));
        }
        ip(&format!("netns del {}-sw", self.name));
    }
}

#[test]
fn a_consortium_of_four_hosts_lives_through_bad_links_and_dead_hosts() {
    let Some(lan) = Lan::new(4) else {
        println!("skipped: network namespaces need root, and `ip` of iproute2");
        return;
    };
    let scratch = scratch();
    let founders = Founders::in_namespaces(scratch.path(), &lan.hosts);
    founders.found_all(&founders.draft());

    let mut nodes: Vec<_> = (0..4).map(|place| founders.node(place)).collect();
    let mut enrolled = Vec::new();
    let mut enrol = |place: usize, name: &str| {
        let profile = founders.member(place, name);
        let shown = founders.run(place, &["wallet", "show", "--as", &profile]).ok();
        let words = founders.enrolment(place, name);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        wait_until(|| founders.run(place, &words).status.success());
        enrolled.push(shown.word_after("member "));
        enrolled.clone()
    };
    // Each asks its own node alone.
    let knows = |place: usize, members: &[String]| {
        let administrator = founders.path(&format!("{}/administrator", FOUNDERS[place].0));
        for member in members {
            let show = ["member", "show", "--as", &administrator, member];
            wait_until(|| founders.run(place, &show).status.success());
        }
    };
    let members = enrol(0, "first");
    (0..4).for_each(|place| knows(place, &members));

    // A cable is pulled: three go on, and the fourth catches up once it is back.
    lan.link(3, "down");
    let members = enrol(1, "second");
    (0..3).for_each(|place| knows(place, &members));
    lan.link(3, "up");
    knows(3, &members);

    // 150 ms there and back, and two of a hundred packets lost.
    if lan.worsen() {
        let members = enrol(2, "third");
        (0..4).for_each(|place| knows(place, &members));
        lan.mend();
    } else {
        println!("without slow links: the kernel has no netem");
    }

    // One host dies under way and comes back; then all die at once.
    nodes[0].kill();
    let members = enrol(1, "fourth");
    nodes[0] = founders.node(0);
    knows(0, &members);
    nodes.iter_mut().for_each(common::Process::kill);
    let mut nodes: Vec<_> = (0..4).map(|place| founders.node(place)).collect();
    (0..4).for_each(|place| knows(place, &members));
    let members = enrol(0, "fifth");
    (0..4).for_each(|place| knows(place, &members));
    nodes.iter_mut().for_each(|node| assert!(node.interrupt().success(), "{}", node.said()));
}

const HOSPITAL: usize = 0;
const CLINIC: usize = 1;
const LABORATORY: usize = 2;
const INSURER: usize = 3;
const PHARMACY: usize = 4;
/// The nodes that are there at the end, with the folder of each.
const NODES: [(usize, &str); 4] = [
    (HOSPITAL, "hospital"),
    (CLINIC, "clinic"),
    (LABORATORY, "laboratory"),
    (PHARMACY, "pharmacy/host"),
];

#[track_caller]
fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{value}")).to_owned()
}

/// Blocks until an upgrade begins: an epoch, and time to approve it.
const BLOCKS_TO_APPROVE: u64 = 32 + 100;

/// A consortium, a patient who writes from the hospital's host, and what was acknowledged to them.
struct World<'a> {
    founders: &'a Founders,
    chart: String,
    wallet: String,
}

impl World<'_> {
    fn said(&self, place: usize, words: &[&str]) -> Value {
        self.founders.run(place, &[words, &["--json"]].concat()).ok().json()
    }

    fn office(&self, place: usize) -> String {
        let kind = FOUNDERS.get(place).map_or("pharmacy", |(kind, _)| *kind);
        self.founders.path(&format!("{kind}/administrator"))
    }

    /// Moves something as the first of these, and has the others approve it, each on its host.
    fn decide(&self, places: &[usize], words: &[&str]) {
        let (first, others) = places.split_first().unwrap();
        let moved = self.said(*first, &[words, &["--as", &self.office(*first)]].concat());
        let motion = text(&moved, "/motion");
        for (at, place) in others.iter().enumerate() {
            let approve = ["organisation", "approve", "--as", &self.office(*place), &motion];
            // The approver's own node hears of the motion a moment later.
            let approve = [&approve[..], &["--json"]].concat();
            let done = wait_for(|| self.founders.run(*place, &approve));
            assert_eq!(done.json()["carried_out"], at + 1 == others.len(), "{words:?}");
        }
    }

    /// Waits until every node is in order, as its own operator sees it: only then may another one be stopped.
    fn settle(&self) {
        for (place, folder) in NODES {
            let config = self.founders.path(&format!("{folder}/node.toml"));
            let status = ["status", "--config", &config, "--once"];
            wait_for(|| self.founders.run(place, &status));
        }
    }

    fn seats(&self) -> Vec<String> {
        let shown = self.said(HOSPITAL, &["validator", "show", "--as", &self.office(HOSPITAL)]);
        let seats = shown["set"]["seats"].as_array().unwrap();
        seats.iter().map(|seat| text(seat, "/validator/consensus")).collect()
    }

    fn add(&self, content: &str) -> Done {
        let file = self.founders.path("content");
        fs::write(&file, content).unwrap();
        let words =
            ["--json", "record", "add", "--as", &self.wallet, "--chart", &self.chart, &file];
        self.founders.run(HOSPITAL, &words)
    }

    /// Writes while something happens. What was acknowledged goes into `acknowledged`; what failed counts for nothing.
    fn write_while(&self, acknowledged: &mut BTreeMap<u64, String>, happens: impl FnOnce() + Send) {
        let end = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                // However it ends, the writer does too.
                let _end = OnDrop(&end);
                happens();
            });
            while !end.load(Ordering::Relaxed) {
                let content = format!("record {}", acknowledged.len());
                let done = self.add(&content);
                if done.status.success() {
                    acknowledged.insert(done.json()["position"].as_u64().unwrap(), content);
                }
            }
        });
    }

    fn check(&self, acknowledged: &BTreeMap<u64, String>) {
        let to = self.founders.path("read");
        for (position, content) in acknowledged {
            let position = position.to_string();
            let get = ["record", "get", "--as", &self.wallet, "--chart", &self.chart];
            let rest = ["--position", &position, "--to", &to];
            self.founders.run(HOSPITAL, &[&get[..], &rest].concat()).ok();
            assert_eq!(fs::read_to_string(&to).unwrap(), *content, "record {position}");
        }
    }
}

struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Adds nodes to a profile.
fn tell(profile: &str, nodes: &[(String, String)]) {
    let path = Path::new(profile).join("profile.toml");
    let mut profile = fs::OpenOptions::new().append(true).open(path).unwrap();
    for (organisation, url) in nodes {
        let node = format!("\n[[nodes]]\norganisation = \"{organisation}\"\nurl = \"{url}\"\n");
        profile.write_all(node.as_bytes()).unwrap();
    }
}

/// A copy of a profile that knows one node alone.
fn only_with(profile: &str, to: &str, url: &str) -> String {
    assert!(Command::new("cp").args(["-r", profile, to]).status().unwrap().success());
    let path = Path::new(to).join("profile.toml");
    let mut settings: toml::Table = fs::read_to_string(&path).unwrap().parse().unwrap();
    let nodes = settings["nodes"].as_array_mut().unwrap();
    nodes.retain(|node| node["url"].as_str() == Some(url));
    assert_eq!(nodes.len(), 1);
    fs::write(&path, settings.to_string()).unwrap();
    to.to_owned()
}

/// The organisation and the address of the node in a founder's own profile.
fn own_node(founders: &Founders, place: usize) -> (String, String) {
    let profile = founders.path(&format!("{}/administrator/profile.toml", FOUNDERS[place].0));
    let profile: toml::Table = fs::read_to_string(profile).unwrap().parse().unwrap();
    let node = &profile["nodes"][0];
    let field = |name: &str| node[name].as_str().unwrap().to_owned();
    (field("organisation"), field("url"))
}

/// Upgrades each node but the laboratory's in its turn, and then all move on to rules that the old program does not know.
/// Returns what the old program says of them.
fn upgrade(
    world: &World<'_>,
    nodes: &mut [Process],
    acknowledged: &mut BTreeMap<u64, String>,
) -> String {
    let next = keepwell_next();
    for (place, folder) in NODES.into_iter().filter(|(place, _)| *place != LABORATORY) {
        world.settle();
        world.write_while(acknowledged, || {
            let ended = nodes[place].interrupt();
            assert!(ended.success(), "{ended}: {}", nodes[place].said());
        });
        nodes[place] = world.founders.node_by(&next, place, folder);
    }
    let protocol = || world.said(HOSPITAL, &["protocol", "show", "--as", &world.office(HOSPITAL)]);
    let from = protocol()["next"].as_u64().unwrap() + BLOCKS_TO_APPROVE;
    world.write_while(acknowledged, || {
        let upgrade = ["protocol", "upgrade", "--to", "2", "--from", &from.to_string()];
        world.decide(&[CLINIC, HOSPITAL, PHARMACY], &upgrade);
        assert_eq!(protocol()["planned"]["from"], from);
        wait_until(|| protocol()["now"] == 2);
    });
    let late = &mut nodes[LABORATORY];
    assert_eq!(late.end().code(), Some(3), "{}", late.said());
    let why = format!("from block {from} on the rules of protocol 2 hold");
    assert!(late.said().contains(&why), "{}", late.said());
    let mut again = world.founders.start_node(KEEPWELL, LABORATORY, "laboratory");
    assert_eq!(again.end().code(), Some(3), "{}", again.said());
    world.write_while(acknowledged, || ());
    nodes[LABORATORY] = world.founders.node_by(&next, LABORATORY, "laboratory");
    nodes[HOSPITAL].kill();
    nodes[HOSPITAL] = world.founders.node_by(&next, HOSPITAL, "hospital");
    why
}

#[test]
#[allow(clippy::too_many_lines, reason = "a story, told in order")]
fn under_load_a_host_joins_one_is_expelled_one_is_lost_and_restored_and_all_are_upgraded() {
    let Some(lan) = Lan::new(5) else {
        println!("skipped: network namespaces need root, and `ip` of iproute2");
        return;
    };
    let scratch = scratch();
    let founders = Founders::in_namespaces(scratch.path(), &lan.hosts);
    founders.found_all(&founders.draft_with("epoch_blocks = 32\ncustodians_min = 2\n"));
    let mut nodes: Vec<_> = (0..4).map(|place| founders.node(place)).collect();
    let known: Vec<_> = (0..4).map(|place| own_node(&founders, place)).collect();
    let mut world = World { founders: &founders, chart: String::new(), wallet: String::new() };

    // The hospital's key agent opens a chart, and the patient claims it.
    let (office, operator) = (world.office(HOSPITAL), founders.path("hospital.operator"));
    let (agent, request) = (founders.path("agent"), founders.path("agent.member"));
    let new = ["member", "new", "--agent", "--like", &office, "--operator-file", &operator];
    founders.run(HOSPITAL, &[&new[..], &["--to", &agent, "--request", &request]].concat()).ok();
    tell(&agent, &known[1..]);
    let roles = ["--role", "key_agent", "--role", "gateway", "--role", "registrar"];
    let enrol = [&["member", "enrol", "--as", &office][..], &roles, &[&request]].concat();
    wait_until(|| founders.run(HOSPITAL, &enrol).status.success());
    let letter = founders.path("letter");
    let custodians = [HOSPITAL, CLINIC, LABORATORY].map(|place| known[place].0.as_str());
    let custodians = custodians.iter().flat_map(|it| ["--custodian", *it]);
    let open = ["chart", "open", "--as", &agent, "--letter", &letter].into_iter();
    let opened = world.said(HOSPITAL, &open.chain(custodians).collect::<Vec<_>>());
    let (chart, code) = (text(&opened, "/chart"), text(&opened, "/code"));
    let wallet = founders.path("wallet");
    let new = ["wallet", "new", "--dir", &wallet, "--like", &agent, "--operator-file", &operator];
    founders.run(HOSPITAL, &new).ok();
    let claim = ["chart", "claim", "--as", &wallet, "--letter", &letter, "--code", &code];
    founders.run(HOSPITAL, &claim).ok();
    (world.chart, world.wallet) = (chart, wallet);
    let mut acknowledged = BTreeMap::new();
    assert!(world.add("the first").ok().json()["position"].is_u64());

    // A pharmacy joins from a fifth host.
    let key = ["organisation", "key", "--like", &office, "--operator-file", &operator];
    let pharmacy = world.office(PHARMACY);
    let drawn = world.said(HOSPITAL, &[&key[..], &["--to", &pharmacy]].concat());
    let (id, key) = (text(&drawn, "/organisation"), text(&drawn, "/key"));
    let (dir, peers) = (founders.path("pharmacy/host"), founders.path("hospital/node.toml"));
    let keys = ["validator", "keys", "--as", &pharmacy, "--dir", &dir, "--peers", &peers];
    let at = ["--address", "10.77.0.5:7440", "--listen-clients", "10.77.0.5:7441"];
    let unlocked = ["--operator-file", operator.as_str()];
    let drawn = world.said(PHARMACY, &[&keys[..], &at, &unlocked].concat());
    let (custodian, consensus) = (text(&drawn, "/custodian"), text(&drawn, "/consensus"));
    tell(&world.wallet, &[(id.clone(), text(&drawn, "/clients"))]);
    let founding = [HOSPITAL, CLINIC, LABORATORY];
    world.write_while(&mut acknowledged, || {
        let admit = ["organisation", "admit", "--name", "Corner Pharmacy", "--kind", "pharmacy"];
        let with = ["--key", &key, "--custodian", &custodian, &id];
        world.decide(&founding, &[&admit[..], &with].concat());
    });
    // It begins from the state of the others, as soon as they keep links with it, and serves it before it has a seat.
    let config = format!("{dir}/node.toml");
    let settings = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("archive = false\n{settings}")).unwrap();
    nodes.push(founders.start_node(KEEPWELL, PHARMACY, "pharmacy/host"));
    let reader = only_with(&world.wallet, &founders.path("reader"), &text(&drawn, "/clients"));
    let show = ["chart", "show", "--as", &reader, &world.chart];
    world.write_while(&mut acknowledged, || {
        let card = format!("{dir}/validator.card");
        let all = [HOSPITAL, CLINIC, LABORATORY, PHARMACY];
        world.decide(&all, &["validator", "change", "--join", &card]);
        wait_until(|| founders.run(PHARMACY, &show).status.success());
        wait_until(|| world.seats().contains(&consensus));
    });
    assert_eq!(world.seats().len(), 5);

    // The insurer is expelled.
    world.write_while(&mut acknowledged, || {
        let all = [HOSPITAL, CLINIC, LABORATORY, PHARMACY];
        world.decide(&all, &["organisation", "expel", &known[INSURER].0]);
        wait_until(|| world.seats().len() == 4);
    });
    nodes[INSURER].kill();

    // The laboratory's host burns, with its disk; another one takes its place from the backup.
    let (backup, own) = (founders.path("backup"), founders.path("laboratory/node.toml"));
    let back_up = ["backup", "--config", &own, "--to", &backup];
    world.write_while(&mut acknowledged, || drop(founders.run(LABORATORY, &back_up).ok()));
    world.write_while(&mut acknowledged, || {
        nodes[LABORATORY].kill();
        for lost in ["laboratory/node", "laboratory/keys"] {
            fs::remove_dir_all(founders.path(lost)).unwrap();
        }
        founders.run(LABORATORY, &["restore", "--from", &backup, "--config", &own]).ok();
        // What was written since the backup, other custodians have.
        let others = known.iter().filter(|(of, _)| *of != known[LABORATORY].0);
        let others = others.map(|(organisation, url)| {
            format!("\n[[custodians]]\norganisation = \"{organisation}\"\nurl = \"{url}\"\n")
        });
        let settings = fs::read_to_string(&own).unwrap();
        let often = format!("custody_check_s = 1\n{settings}{}", others.collect::<String>());
        fs::write(&own, often).unwrap();
    });
    // A process ends with the thread that started it: not in there.
    nodes[LABORATORY] = founders.node(LABORATORY);

    let outdated = upgrade(&world, &mut nodes, &mut acknowledged);
    assert!(acknowledged.len() > 20, "{} were acknowledged", acknowledged.len());
    world.check(&acknowledged);
    for place in [HOSPITAL, CLINIC, LABORATORY, PHARMACY] {
        let node = &mut nodes[place];
        assert!(node.interrupt().success(), "{}", node.said());
    }
    for folder in ["hospital", "clinic", "laboratory"] {
        let config = founders.path(&format!("{folder}/node.toml"));
        let by_old = founders.run(HOSPITAL, &["fsck", "--config", &config]);
        assert!(!by_old.status.success() && by_old.stderr.contains(&outdated), "{by_old:#?}");
        founders.run_by(&keepwell_next(), HOSPITAL, &["fsck", "--config", &config]).ok();
    }
    let sound = founders.run(PHARMACY, &["--json", "fsck", "--config", &config]).ok().json();
    assert!(sound["began_from"].as_u64() > Some(0), "{sound}");
    let backup = founders.path("pharmacy/backup");
    let words = ["backup", "--config", &config, "--to", &backup];
    nodes[PHARMACY] = founders.node_by(&keepwell_next(), PHARMACY, "pharmacy/host");
    founders.run(PHARMACY, &words).refused(&["began from the state at block"]);
}

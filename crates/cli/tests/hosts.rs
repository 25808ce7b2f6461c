//! Four organisations on four hosts: networks of their own, links that are slow, lossy and cut, hosts that die.
//!
//! The hosts are network namespaces, which the test makes and removes: it needs root and iproute2, and says so where it
//! cannot run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    net::Ipv4Addr,
    process::{Command, Stdio},
};

use common::{
    founders::{FOUNDERS, Founders},
    scratch, wait_until,
};

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
        let name = format!("kw{}", std::process::id());
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
    let (draft, digest) = founders.draft();
    let mut all: Vec<_> = (0..4).map(|place| founders.begin(place, &draft, &digest)).collect();
    for process in &mut all {
        process.wait_for("founded: chain ");
    }
    for process in &mut all {
        assert!(process.end().success(), "{}", process.said());
    }

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

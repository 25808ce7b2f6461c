//! Four organisations on hosts of their own: folders, keys, the ceremony, and nodes.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use keepwell_node::ports;

use super::{Done, KEEPWELL, Process, keepwell};

/// Their kinds, which name their folders, and their names.
pub const FOUNDERS: [(&str, &str); 4] = [
    ("hospital", "St. Brigid Hospital"),
    ("clinic", "Meridian Telehealth"),
    ("laboratory", "Northlight Laboratory"),
    ("insurer", "Harbour Mutual"),
];

/// Where one of them is.
#[derive(Clone, Debug)]
struct Host {
    peers: SocketAddr,
    clients: SocketAddr,
    /// The network that it is in, if not this machine's.
    namespace: Option<String>,
}

/// The founders, with the folders that their hosts would have.
#[derive(Debug)]
pub struct Founders {
    home: PathBuf,
    hosts: Vec<Host>,
}

impl Founders {
    /// All on this machine's loopback, with keys.
    pub fn on_loopback(home: &Path) -> Self {
        let free = ports::free(8).unwrap();
        let at = |port: usize| (Ipv4Addr::LOCALHOST, free[port]).into();
        let host =
            |place: usize| Host { peers: at(place), clients: at(4 + place), namespace: None };
        Self::with_keys(home, (0..4).map(host).collect())
    }

    /// Each in a network of its own, by name, with an address in it.
    pub fn in_namespaces(home: &Path, namespaces: &[(String, Ipv4Addr)]) -> Self {
        let host = |(name, address): &(String, Ipv4Addr)| Host {
            peers: (*address, 7440).into(),
            // Beyond loopback: each node gets a certificate, and profiles its key.
            clients: (*address, 7441).into(),
            namespace: Some(name.clone()),
        };
        Self::with_keys(home, namespaces.iter().map(host).collect())
    }

    fn with_keys(home: &Path, hosts: Vec<Host>) -> Self {
        let founders = Self { home: home.to_path_buf(), hosts };
        for (place, (kind, _)) in FOUNDERS.iter().enumerate() {
            let operator = home.join(format!("{kind}.operator"));
            fs::write(&operator, [place as u8; 32]).unwrap();
            fs::set_permissions(&operator, fs::Permissions::from_mode(0o600)).unwrap();
            founders.keys(place).ok();
        }
        founders
    }

    pub fn path(&self, below: &str) -> String {
        self.home.join(below).to_str().unwrap().to_owned()
    }

    /// Makes the keys of a founder.
    pub fn keys(&self, place: usize) -> Done {
        let (kind, name) = FOUNDERS[place];
        let (dir, operator) = (self.path(kind), self.path(&format!("{kind}.operator")));
        let address = self.hosts[place].peers.to_string();
        let keys = ["genesis", "keys", "--dir", &dir, "--operator-file", &operator];
        keepwell(&[&keys[..], &["--name", name, "--kind", kind, "--address", &address]].concat())
    }

    /// The draft of all of them, and its digest.
    pub fn draft(&self) -> (String, String) {
        self.draft_with("")
    }

    /// The same, by these rules.
    pub fn draft_with(&self, rules: &str) -> (String, String) {
        let (draft, file) = (self.path("draft.cbor"), self.path("rules.toml"));
        fs::write(&file, rules).unwrap();
        let cards = FOUNDERS.map(|(kind, _)| self.path(&format!("{kind}/founder.card")));
        let make = ["genesis", "draft", "--name", "Northern Exchange", "--to", &draft];
        let make = [&make[..], &["--rules", &file]].concat();
        let make: Vec<_> = make.into_iter().chain(cards.iter().map(String::as_str)).collect();
        let digest = keepwell(&make).ok().word_after("");
        (draft, digest)
    }

    /// The words with which a founder takes part.
    pub fn found(&self, place: usize, draft: &str, digest: &str) -> Vec<String> {
        let (kind, _) = FOUNDERS[place];
        let clients = self.hosts[place].clients.to_string();
        let (dir, operator) = (self.path(kind), self.path(&format!("{kind}.operator")));
        let found = ["genesis", "found", "--dir", &dir, "--operator-file", &operator];
        let about = ["--draft", draft, "--agreed", digest, "--listen-clients", &clients];
        [&found[..], &about].concat().into_iter().map(str::to_owned).collect()
    }

    /// Lets a founder take part.
    pub fn begin(&self, place: usize, draft: &str, digest: &str) -> Process {
        let log = format!("{}.log", FOUNDERS[place].0);
        self.start(place, &self.found(place, draft, digest), &log)
    }

    /// Starts a founder's node, and waits until it serves.
    pub fn node(&self, place: usize) -> Process {
        self.node_in(place, FOUNDERS[place].0)
    }

    /// Lets all of them found the consortium.
    pub fn found_all(&self, (draft, digest): &(String, String)) {
        let mut all: Vec<_> = (0..4).map(|place| self.begin(place, draft, digest)).collect();
        for process in &mut all {
            process.wait_for("founded: chain ");
        }
        for process in &mut all {
            assert!(process.end().success(), "{}", process.said());
        }
    }

    /// Starts the node in a folder, on the host of this place, and waits until it serves.
    pub fn node_in(&self, place: usize, folder: &str) -> Process {
        self.node_by(KEEPWELL, place, folder)
    }

    /// The same, by another program.
    pub fn node_by(&self, program: &str, place: usize, folder: &str) -> Process {
        let mut node = self.start_node(program, place, folder);
        node.wait_for("peers: ");
        node
    }

    /// The same, without waiting.
    pub fn start_node(&self, program: &str, place: usize, folder: &str) -> Process {
        let words = ["node", "--config", &self.path(&format!("{folder}/node.toml"))];
        let log = self.home.join(format!("{folder}.node"));
        Process::start_in(self.on(program, place), &words, &log)
    }

    fn start(&self, place: usize, words: &[String], log: &str) -> Process {
        Process::start_in(self.on(KEEPWELL, place), words, &self.home.join(log))
    }

    /// Runs a command on a founder's host.
    pub fn run(&self, place: usize, words: &[&str]) -> Done {
        self.run_by(KEEPWELL, place, words)
    }

    /// The same, by another program.
    pub fn run_by(&self, program: &str, place: usize, words: &[&str]) -> Done {
        Done::in_namespace(self.on(program, place), words)
    }

    fn on<'a>(&'a self, program: &'a str, place: usize) -> (Option<&'a str>, &'a str) {
        (self.hosts[place].namespace.as_deref(), program)
    }

    /// Makes the keys of a member of a founder's; its profile is what is returned.
    pub fn member(&self, place: usize, name: &str) -> String {
        let kind = FOUNDERS[place].0;
        let administrator = self.path(&format!("{kind}/administrator"));
        let (member, request) = (self.path(name), self.path(&format!("{name}.member")));
        let operator = self.path(&format!("{kind}.operator"));
        let new = ["member", "new", "--like", &administrator, "--operator-file", &operator];
        keepwell(&[&new[..], &["--to", &member, "--request", &request]].concat()).ok();
        member
    }

    /// The words with which a founder's administrator enrols a member that was made.
    pub fn enrolment(&self, place: usize, name: &str) -> Vec<String> {
        let administrator = self.path(&format!("{}/administrator", FOUNDERS[place].0));
        let request = self.path(&format!("{name}.member"));
        ["member", "enrol", "--as", &administrator, "--role", "nurse", &request]
            .map(str::to_owned)
            .to_vec()
    }
}

//! The four nodes of a stopped pilot as four processes, each with its storage in its own folder, as
//! operators run them.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{PATIENCE, POLL, Place, Process};

/// The organisations of a pilot.
pub const SLUGS: [&str; 4] = ["hospital", "clinic", "laboratory", "insurer"];

/// One node.
pub struct Node {
    pub slug: &'static str,
    pub process: Process,
    address: String,
}

/// Moves the engine's storage of each node from the pilot's folder into the node's own.
pub fn move_out(place: &Place<'_>) {
    for slug in SLUGS {
        let engine = place.dir.join(format!("organisations/{slug}/node/engine"));
        fs::create_dir(&engine).unwrap();
        let config = place.toml(&format!("organisations/{slug}/node.toml"));
        let peers = config["peers"].as_array().unwrap();
        let own = peers.iter().find(|it| it["address"] == config["listen_peers"]).unwrap();
        let prefix = format!("node-{}", &own["validator"].as_str().unwrap()[..16]);
        for entry in fs::read_dir(place.dir.join("engine")).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with(&prefix) {
                fs::rename(entry.path(), engine.join(name)).unwrap();
            }
        }
    }
}

impl Node {
    /// Starts a node and waits until it serves.
    #[track_caller]
    pub fn start(place: &Place<'_>, slug: &'static str) -> Self {
        let mut node = Self::begin(place, slug);
        node.process.wait_for("peers: ");
        node
    }

    /// Starts all of them, side by side, and waits until they serve.
    #[track_caller]
    pub fn start_all(place: &Place<'_>) -> [Self; 4] {
        let mut nodes = SLUGS.map(|slug| Self::begin(place, slug));
        nodes.iter_mut().for_each(|node| node.process.wait_for("peers: "));
        nodes
    }

    /// Starts a node and does not wait.
    pub fn begin(place: &Place<'_>, slug: &'static str) -> Self {
        let log = place.dir.join(format!("{slug}.log"));
        let process = Process::start(&["node", "--config", &place.node_config(slug)], &log);
        Self::of(place, slug, process)
    }

    /// A node that runs in this process.
    pub fn of(place: &Place<'_>, slug: &'static str, process: Process) -> Self {
        let config = place.toml(&format!("organisations/{slug}/node.toml"));
        let address = config["listen_clients"].as_str().unwrap().to_owned();
        Self { slug, process, address }
    }

    /// The newest block's height and the root of the state in it; nothing if it does not answer.
    pub fn tip(&self) -> Option<(u64, String)> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(10))).ok()?;
        let host = &self.address;
        let ask = format!(
            "GET /v1/tip HTTP/1.1\r\nhost: {host}\r\naccept: application/json\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(ask.as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (_, body) = answer.split_once("\r\n\r\n")?;
        let header = serde_json::from_str::<Value>(body).ok()?["header"].clone();
        Some((header["height"].as_u64()?, header["state"].to_string()))
    }
}

/// Waits until all nodes show one tip, at least `height` high, and returns its height.
#[track_caller]
pub fn meet(nodes: &[Node], height: u64) -> u64 {
    let start = Instant::now();
    loop {
        let tips: Vec<_> = nodes.iter().map(Node::tip).collect();
        if let [Some(first), rest @ ..] = &tips[..]
            && first.0 >= height
            && rest.iter().all(|tip| tip.as_ref() == Some(first))
        {
            return first.0;
        }
        let apart: Vec<_> = nodes.iter().map(|node| (node.slug, node.tip())).collect();
        assert!(start.elapsed() < PATIENCE, "they do not meet at {height}: {apart:?}");
        thread::sleep(POLL);
    }
}

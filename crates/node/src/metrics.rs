//! What is counted, for operators: no metric names a chart, record or person.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use keepwell_engine::protocol::Known;
use keepwell_types::{
    id::{Height, PublicKey},
    validators::epoch_of,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use crate::{api::Node, folder::free_bytes, tls::Certificate, traces::SPANS};

/// The last line of a page of metrics.
const END: &str = "# EOF\n";

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct CommandLabels {
    family: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct ReleaseLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

/// The counts of one node.
pub struct Metrics {
    registry: Mutex<Registry>,
    height: Gauge,
    tip_age_ms: Gauge,
    mempool_commands: Gauge,
    mempool_bytes: Gauge,
    custody_bytes: Gauge,
    unnamed_bytes: Gauge,
    custody_damaged: Gauge,
    custody_repaired: Gauge,
    validators: Gauge,
    epoch: Gauge,
    seats: Gauge,
    abstains: Gauge,
    shares: Gauge,
    protocol: Gauge,
    protocol_newest: Gauge,
    protocol_next_from: Gauge,
    peers_connected: Gauge,
    disk_free_bytes: Gauge,
    certificate_ends: Gauge,
    commands: Family<CommandLabels, Counter>,
    releases: Family<ReleaseLabels, Counter>,
    evaluations: Family<ReleaseLabels, Counter>,
    requests: Family<RequestLabels, Histogram>,
    engine: Box<dyn Fn() -> String + Send + Sync>,
    about: About,
}

/// What of the node is shown besides what it counts.
#[derive(Clone, Debug)]
pub struct About {
    /// How the engine's metrics name this validator: several may share a runtime.
    pub validator: String,
    /// The key of its release answers.
    pub release: PublicKey,
    /// Which versions of the protocol its program knows.
    pub known: Known,
    /// The folder whose disk must not be full.
    pub folder: PathBuf,
    /// What clients are shown.
    pub certificate: Option<Arc<Certificate>>,
}

impl Metrics {
    /// Counts of nothing yet; `engine` gives the metrics of the engine's runtime.
    pub fn new(engine: impl Fn() -> String + Send + Sync + 'static, about: About) -> Self {
        let mut registry = Registry::with_prefix("keepwell");
        let commands = Family::default();
        let help = "Commands that clients sent here, by family and by what came of them";
        registry.register("commands", help, commands.clone());
        let releases = Family::default();
        registry.register(
            "releases",
            "Requests for shares, by what came of them",
            releases.clone(),
        );
        let evaluations = Family::default();
        let help = "Requests for evaluations for matching, by what came of them";
        registry.register("evaluations", help, evaluations.clone());
        let help = "Spans that the receiver of traces took";
        registry.register("spans_sent", help, SPANS.sent.clone());
        let help = "Spans that were dropped: the receiver of traces failed or was too slow";
        registry.register("spans_dropped", help, SPANS.dropped.clone());
        let requests = Family::new_with_constructor(durations as fn() -> Histogram);
        let help = "Time until an answer began, by the template of its path";
        registry.register_with_unit("request_duration", help, Unit::Seconds, requests.clone());
        let mut measure = |name: &str, help: &str, unit: Option<Unit>| {
            let gauge = Gauge::default();
            match unit {
                Some(unit) => registry.register_with_unit(name, help, unit, gauge.clone()),
                None => registry.register(name, help, gauge.clone()),
            }
            gauge
        };
        let metrics = Self {
            height: measure("height", "Height of the newest block", None),
            tip_age_ms: measure("tip_age_ms", "Age of the newest block", None),
            mempool_commands: measure("mempool_commands", "Commands that wait for a block", None),
            mempool_bytes: measure("mempool", "Commands that wait for a block", Some(Unit::Bytes)),
            custody_bytes: measure(
                "custody_stored",
                "Sealed bodies stored since the node started",
                Some(Unit::Bytes),
            ),
            unnamed_bytes: measure(
                "custody_unnamed",
                "Room set aside for sealed objects that no entry names yet",
                Some(Unit::Bytes),
            ),
            custody_damaged: measure(
                "custody_damaged",
                "Sealed objects that the last look found missing or damaged and that no other custodian gave",
                None,
            ),
            custody_repaired: measure(
                "custody_repaired",
                "Sealed objects that were fetched again from other custodians since the node started",
                None,
            ),
            validators: measure(
                "validators",
                "Validators of the consortium, this one included",
                None,
            ),
            epoch: measure("epoch", "Epoch of the next block", None),
            seats: measure("seats", "1 where this node validates, 0 where it only follows", None),
            abstains: measure(
                "abstains",
                "1 where this node may have forgotten votes, and does not vote before it has newer blocks",
                None,
            ),
            shares: measure(
                "shares",
                "1 where a share of the committee's key serves here, else 0",
                None,
            ),
            protocol: measure(
                "protocol",
                "Version of the protocol that is in force in the next block",
                None,
            ),
            protocol_newest: measure(
                "protocol_newest",
                "Newest version of the protocol that this program knows",
                None,
            ),
            protocol_next_from: measure(
                "protocol_next_from",
                "First block of the next version of the protocol; 0 where none is planned",
                None,
            ),
            peers_connected: measure(
                "peers_connected",
                "Other validators that this one is connected to",
                None,
            ),
            disk_free_bytes: measure(
                "disk_free",
                "Room on the disk of the node's folder",
                Some(Unit::Bytes),
            ),
            certificate_ends: measure(
                "certificate_ends",
                "When the certificate for clients ends, since 1970; 0 without one",
                Some(Unit::Seconds),
            ),
            commands,
            releases,
            evaluations,
            requests,
            engine: Box::new(engine),
            about,
            registry: Mutex::new(registry),
        };
        // What has not happened yet is shown as 0: whoever watches it sees the first time.
        let refused = CommandLabels { family: "malformed", outcome: "refused" };
        drop(metrics.commands.get_or_create(&refused));
        drop(metrics.releases.get_or_create(&ReleaseLabels { outcome: "given" }));
        drop(metrics.evaluations.get_or_create(&ReleaseLabels { outcome: "given" }));
        metrics
    }

    /// A client's command was decided or refused.
    pub fn command(&self, family: &'static str, outcome: &'static str) {
        self.commands.get_or_create(&CommandLabels { family, outcome }).inc();
    }

    /// A request for shares was answered.
    pub fn release(&self, outcome: &'static str) {
        self.releases.get_or_create(&ReleaseLabels { outcome }).inc();
    }

    /// An evaluation for matching was given, or not.
    pub fn evaluation(&self, outcome: &'static str) {
        self.evaluations.get_or_create(&ReleaseLabels { outcome }).inc();
    }

    /// A request was answered.
    pub fn request(&self, method: &'static str, route: String, status: u16, took: Duration) {
        let labels = RequestLabels { method, route, status };
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// All counts as text, those of the engine first.
    pub fn encode(&self, node: &Node) -> String {
        let tip = node.core.tip();
        let (commands, bytes) = node.core.mempool.load();
        set(&self.height, tip.height().0);
        set(&self.tip_age_ms, node.clock.age_ms(tip.time()));
        set(&self.mempool_commands, commands as u64);
        set(&self.mempool_bytes, bytes as u64);
        set(&self.custody_bytes, node.custody.stored_bytes());
        set(&self.unnamed_bytes, node.custody.unnamed_bytes());
        set(&self.custody_damaged, node.custody.damaged());
        set(&self.custody_repaired, node.custody.repaired());
        let newest = node.core.sets.newest();
        let epoch = epoch_of(Height(tip.height().0 + 1), node.core.sets.epoch_blocks());
        set(&self.validators, newest.seats.len() as u64);
        set(&self.epoch, epoch);
        set(&self.seats, u64::from(newest.index_of(&self.about.release).is_some()));
        set(&self.abstains, u64::from(node.core.abstains()));
        set(&self.shares, u64::from(node.release.has_share()));
        let (plan, next) = (self.about.known.plan(), Height(tip.height().0 + 1));
        set(&self.protocol, plan.at(next).0.into());
        set(&self.protocol_newest, self.about.known.newest().0.into());
        set(&self.protocol_next_from, plan.planned(next).map_or(0, |(_, from)| from.0));
        if let Ok(free) = free_bytes(&self.about.folder) {
            set(&self.disk_free_bytes, free);
        }
        let ends = self.about.certificate.as_ref().map_or(0, |it| it.ends().0 / 1_000);
        set(&self.certificate_ends, ends);
        let mut page = (self.engine)();
        set(&self.peers_connected, connected(&page, &self.about.validator));
        page.truncate(page.trim_end_matches(END).len());
        let registry = self.registry.lock().expect("nobody panics while holding this lock");
        // A `String` takes every write.
        let _ = text::encode(&mut page, &registry);
        page
    }
}

/// To how many peers a validator is connected, by the engine's metrics: it has one for each, with the time since
/// when.
fn connected(page: &str, validator: &str) -> u64 {
    let own = format!("validator=\"{validator}\"");
    let lines = page.lines().filter(|line| !line.starts_with('#') && line.contains(&own));
    lines.filter(|line| line.contains("_tracker_directory_connected{")).count() as u64
}

/// From one millisecond to half a minute.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

fn set(gauge: &Gauge, value: u64) {
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
}

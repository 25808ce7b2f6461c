//! Subscriptions by topic, as R4 has them (Subscriptions R5 Backport 1.1): what is asked for, and what is told.
//!
//! ```text
//! Subscription.criteria           the topic, by its canonical URL
//!   extension filter-criteria     of whom and of which resources: Observation?patient=Patient/1&status=final
//! Subscription.channel            rest-hook: where to, with which headers, how much, how often
//!
//! requested -- handshake --> active -- end, or its maker's word --> off
//!     +--------------------------+---- nobody takes it any more, or nothing may be told --> error
//! ```
//!
//! # Invariants
//!
//! * A [`Subscription`] that exists can be served: it is of one patient, each of its filters is decided of a resource
//!   by itself, and it goes to an address whose text is read in one way.
//! * What is not understood is refused at its element: left out, it would widen what is told, or tell it elsewhere.
//! * A notification names resources, or nothing. What stands in them is read, under an access, by whoever is told.
//!
//! Not here: who may be told what, resolving names ([`endpoint`] says of an address whether it is anybody's), other
//! channels than rest-hook, and payloads with whole resources.

pub mod endpoint;
pub mod notification;
#[cfg(test)]
mod tests;

use alloc::{
    borrow::ToOwned,
    boxed::Box,
    collections::BTreeSet,
    format,
    string::{String, ToString as _},
    vec::Vec,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::endpoint::{Endpoint, Header};
use crate::{
    bundle::{BundleError, Source},
    export,
    header::{instant, parse_instant},
    interaction::Id,
    outcome::{IssueType, Outcome, Status},
    search::{Entry, Query},
    summary::printable,
    tree::Tree,
};

/// Where the guide's extensions and profiles are.
pub(crate) const BACKPORT: &str =
    "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/";
/// The extension of a CapabilityStatement that names a topic.
pub const TOPIC_EXTENSION: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/capabilitystatement-subscriptiontopic-canonical";
/// What a server of the guide instantiates.
pub const SERVER: &str = "http://hl7.org/fhir/uv/subscriptions-backport/CapabilityStatement/backport-subscription-server-r4";

/// Bytes of a Subscription.
pub const BYTES_MAX: usize = 64 * 1024;
/// Filters of one.
pub const FILTERS_MAX: usize = 32;
/// Events of one notification, unless it is asked for less.
pub const COUNT_MAX: u32 = 100;
/// Seconds for which an address may take its time; unless it says, and at most.
pub const TIMEOUT_S: u32 = 10;
/// See [`TIMEOUT_S`].
pub const TIMEOUT_S_MAX: u32 = 30;
/// Seconds between two heartbeats, at least and at most.
pub const HEARTBEAT_S_MIN: u32 = 5;
/// See [`HEARTBEAT_S_MIN`].
pub const HEARTBEAT_S_MAX: u32 = 24 * 3_600;
/// How long a subscription lives at most, and unless it says, in milliseconds.
pub const LIFE_MS_MAX: u64 = 366 * 24 * 3_600 * 1_000;
/// Bytes of a reason.
const REASON_BYTES_MAX: usize = 1_024;
const NAME_CHARS_MAX: usize = 128;

/// What is told of.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Topic {
    /// A record was added to a patient's chart, or a version of one.
    ChartRecord,
    /// Somebody asked for an access to a patient's chart, was refused one, or broke the glass.
    ChartAccess,
}

impl Topic {
    /// All.
    pub const ALL: [Self; 2] = [Self::ChartRecord, Self::ChartAccess];

    /// Its canonical URL.
    pub const fn canonical(self) -> &'static str {
        match self {
            Self::ChartRecord => "urn:keepwell:SubscriptionTopic/chart-record",
            Self::ChartAccess => "urn:keepwell:SubscriptionTopic/chart-access",
        }
    }

    /// What it is, in words.
    pub const fn says(self) -> &'static str {
        match self {
            Self::ChartRecord => {
                "a record was added to the patient's chart, or a version of one; filters are searches of a resource type, each with the patient, or patient=Patient/ID alone"
            }
            Self::ChartAccess => {
                "somebody opened something in the patient's chart, was refused it, or broke the glass, as the AuditEvents of the ledger tell; filters are searches for AuditEvents, each with the patient, or patient=Patient/ID alone"
            }
        }
    }

    fn named(canonical: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.canonical() == canonical)
    }
}

/// How much is told (`backport-payload-content`).
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Content {
    /// That something happened.
    Empty,
    /// And to which resources.
    #[default]
    IdOnly,
}

impl Content {
    /// Its code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::IdOnly => "id-only",
        }
    }

    /// Reads a code, and says of the one that is not served why.
    pub fn parse(code: &str) -> Result<Self, Outcome> {
        match code {
            "empty" => Ok(Self::Empty),
            "id-only" => Ok(Self::IdOnly),
            "full-resource" => {
                let text = "full-resource is not served: what was sent to an address would have been shown before anybody's access to it stands on the ledger; take id-only, and read what it names";
                Err(Outcome::error(IssueType::NotSupported, text))
            }
            _ => Err(bad("payload content is empty or id-only")),
        }
    }
}

/// How a subscription stands (R4, `subscription-status`).
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// Its address has not answered yet.
    Requested,
    /// It is told.
    Active,
    /// It has ended, for a reason that it names.
    Error,
    /// It has ended.
    Off,
}

impl Standing {
    /// Its code.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Active => "active",
            Self::Error => "error",
            Self::Off => "off",
        }
    }

    /// The one with this code.
    pub fn parse(code: &str) -> Option<Self> {
        [Self::Requested, Self::Active, Self::Error, Self::Off]
            .into_iter()
            .find(|it| it.code() == code)
    }
}

/// What a subscription asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Subscription {
    /// The status that was sent.
    pub standing: Standing,
    /// Of what.
    pub topic: Topic,
    /// Of whom.
    pub patient: Id,
    /// Where to.
    pub endpoint: Endpoint,
    /// With what besides.
    pub headers: Vec<Header>,
    /// How much.
    pub content: Content,
    /// After how many seconds without anything to tell it is told so.
    pub heartbeat_s: Option<u32>,
    /// For how many seconds an answer is waited for.
    pub timeout_s: u32,
    /// How many events are told at once.
    pub count_max: u32,
    /// When it ends, in milliseconds since 1970.
    pub end_ms: Option<u64>,
    /// What for.
    pub reason: String,
    /// The filters, as they were sent.
    texts: Vec<String>,
    /// Whether one of them is of resources of all types.
    is_of_all: bool,
    queries: Vec<Query>,
}

impl Subscription {
    /// Reads a Subscription. `base` is the server's public address, and `now_ms` is when it was sent.
    pub fn parse(body: &[u8], base: &str, now_ms: u64) -> Result<Self, Outcome> {
        if body.len() > BYTES_MAX {
            let text = format!("a Subscription has at most {BYTES_MAX} bytes here");
            return Err(Outcome::error(IssueType::TooLong, &text));
        }
        let tree = read(body)?;
        known(&tree, &ELEMENTS, "Subscription")?;
        if tree.text_of("resourceType") != Some("Subscription") {
            return Err(bad("the body is no Subscription").at("resourceType"));
        }
        let standing = tree.text_of("status").and_then(Standing::parse);
        let standing = standing.ok_or_else(|| {
            bad("the status is requested, or off to end a subscription").at("Subscription.status")
        })?;
        let reason = tree.text_of("reason").filter(|it| !it.trim().is_empty());
        let reason = reason.filter(|it| it.len() <= REASON_BYTES_MAX).ok_or_else(|| {
            let text = format!("say what the subscription is for, in {REASON_BYTES_MAX} bytes");
            Outcome::error(IssueType::Required, &text).at("Subscription.reason")
        })?;
        let topic = tree.text_of("criteria").and_then(Topic::named).ok_or_else(no_topic)?;
        let filters = Filters::read(&tree, topic, (base, now_ms))?;
        let end_ms = match tree.text_of("end") {
            Some(text) => Some(parse_instant("end", text)?),
            None => None,
        };
        let channel = tree.field("channel").ok_or_else(|| bad("say where to tell"));
        let channel = Channel::read(channel.map_err(|it| it.at("Subscription.channel"))?)?;
        Ok(Self {
            standing,
            topic,
            patient: filters.patient,
            endpoint: channel.endpoint,
            headers: channel.headers,
            content: channel.content,
            heartbeat_s: channel.heartbeat_s,
            timeout_s: channel.timeout_s.unwrap_or(TIMEOUT_S),
            count_max: channel.count_max.unwrap_or(COUNT_MAX),
            end_ms,
            reason: reason.to_owned(),
            texts: filters.texts,
            is_of_all: filters.is_of_all,
            queries: filters.queries,
        })
    }

    /// The types of which something is told; of all if there are none.
    pub fn types(&self) -> BTreeSet<&'static str> {
        match self.topic {
            Topic::ChartAccess => BTreeSet::from(["AuditEvent"]),
            Topic::ChartRecord if self.is_of_all => BTreeSet::new(),
            Topic::ChartRecord => self.queries.iter().map(|it| it.resource_type).collect(),
        }
    }

    /// Whether a resource of the patient's chart is told of: all filters of its type hold, and there is one of its
    /// type, or one of all.
    pub fn wants(&self, entry: &Entry<'_>) -> bool {
        let mut of_type =
            self.queries.iter().filter(|it| it.resource_type == entry.resource_type()).peekable();
        (self.is_of_all || of_type.peek().is_some()) && of_type.all(|it| it.matches(entry))
    }

    /// Whether another asks for the same, whatever its status, its end and its headers, which nobody is shown.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        let plain = |it: &Self| Self {
            standing: Standing::Off,
            end_ms: None,
            headers: Vec::new(),
            ..it.clone()
        };
        plain(self) == plain(other)
    }

    /// The resource. Headers are secrets of whoever listens, and left out.
    pub fn resource(&self, id: &str, standing: Standing, told: Told<'_>) -> Value {
        let filters: Vec<_> = self
            .texts
            .iter()
            .map(|it| json!({ "url": own("backport-filter-criteria"), "valueString": it }))
            .collect();
        let mut extension = alloc::vec![
            json!({ "url": own("backport-timeout"), "valueUnsignedInt": self.timeout_s }),
            json!({ "url": own("backport-max-count"), "valuePositiveInt": self.count_max }),
        ];
        if let Some(heartbeat_s) = self.heartbeat_s {
            let url = own("backport-heartbeat-period");
            extension.insert(0, json!({ "url": url, "valueUnsignedInt": heartbeat_s }));
        }
        let content =
            json!({ "url": own("backport-payload-content"), "valueCode": self.content.code() });
        let mut resource = json!({
            "resourceType": "Subscription", "id": id,
            "meta": {
                "versionId": told.version.to_string(), "lastUpdated": instant(told.changed_ms),
                "profile": [own("backport-subscription")],
            },
            "status": standing.code(), "end": instant(told.end_ms), "reason": self.reason,
            "criteria": self.topic.canonical(), "_criteria": { "extension": filters },
            "channel": {
                "extension": extension, "type": "rest-hook", "endpoint": self.endpoint.text(),
                "payload": "application/fhir+json", "_payload": { "extension": [content] },
            },
        });
        if let (Some(error), Some(resource)) = (told.error, resource.as_object_mut()) {
            resource.insert("error".to_owned(), json!(error));
        }
        resource
    }
}

/// What is told of a subscription beside what it asks for.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Which version of it this is, from 1.
    pub version: u64,
    /// Since when, in milliseconds since 1970.
    pub changed_ms: u64,
    /// When it ends.
    pub end_ms: u64,
    /// Why it has ended, if it has.
    pub error: Option<&'a str>,
}

const ELEMENTS: [&str; 14] = [
    "resourceType",
    "id",
    "meta",
    "language",
    "text",
    "status",
    "contact",
    "end",
    "reason",
    "criteria",
    "_criteria",
    "error",
    "channel",
    "extension",
];
const CHANNEL_ELEMENTS: [&str; 7] =
    ["type", "endpoint", "payload", "_payload", "header", "extension", "id"];

/// The filters of a subscription.
struct Filters {
    patient: Id,
    texts: Vec<String>,
    is_of_all: bool,
    queries: Vec<Query>,
}

impl Filters {
    fn read(tree: &Tree, topic: Topic, options: (&str, u64)) -> Result<Self, Outcome> {
        let at = "Subscription.criteria.extension";
        if !tree.items_of("extension").is_empty() {
            return Err(unknown("Subscription.extension", "Subscription"));
        }
        let all = tree.field("_criteria").map_or(&[][..], |it| it.items_of("extension"));
        if all.is_empty() || all.len() > FILTERS_MAX {
            let text = format!(
                "a subscription has from 1 to {FILTERS_MAX} extensions {} here, each with the patient, as in Observation?patient=Patient/ID",
                own("backport-filter-criteria")
            );
            return Err(Outcome::error(IssueType::Required, &text).at(at));
        }
        let (mut patients, mut texts) = (BTreeSet::new(), Vec::new());
        let (mut is_of_all, mut queries) = (false, Vec::new());
        for extension in all {
            if extension.text_of("url") != Some(&own("backport-filter-criteria")) {
                return Err(unknown(at, extension.text_of("url").unwrap_or_default()));
            }
            let text = extension.text_of("valueString").unwrap_or_default();
            match Filter::read(text, topic, options).ok_or_else(|| no_filter(topic).at(at))? {
                Filter::OfAll(patient) => {
                    patients.insert(patient);
                    is_of_all = true;
                }
                Filter::Of(patient, query) => {
                    patients.insert(patient);
                    queries.push(*query);
                }
            }
            texts.push(text.to_owned());
        }
        let mut patients = patients.into_iter();
        match (patients.next(), patients.next()) {
            (Some(patient), None) => Ok(Self { patient, texts, is_of_all, queries }),
            _ => Err(bad("all filters name the same patient; subscribe once for each").at(at)),
        }
    }
}

enum Filter {
    /// Resources of all types that the topic has.
    OfAll(Id),
    Of(Id, Box<Query>),
}

impl Filter {
    fn read(text: &str, topic: Topic, options: (&str, u64)) -> Option<Self> {
        if let Some(patient) = text.trim_start_matches('?').strip_prefix("patient=") {
            let below = patient.strip_prefix(options.0).and_then(|it| it.strip_prefix('/'));
            let patient = below.unwrap_or(patient);
            return patient.strip_prefix("Patient/")?.parse().ok().map(Self::OfAll);
        }
        let query = export::filter(text, options)?;
        let is_of_topic = match topic {
            Topic::ChartRecord => true,
            Topic::ChartAccess => query.resource_type == "AuditEvent",
        };
        let patient = {
            let mut patients = query.patients()?.into_iter();
            let patient: Id = patients.next()?.parse().ok()?;
            patients.next().is_none().then_some(patient)?
        };
        is_of_topic.then(|| Self::Of(patient, Box::new(query)))
    }
}

/// The channel of a subscription.
struct Channel {
    endpoint: Endpoint,
    headers: Vec<Header>,
    content: Content,
    heartbeat_s: Option<u32>,
    timeout_s: Option<u32>,
    count_max: Option<u32>,
}

impl Channel {
    fn read(tree: &Tree) -> Result<Self, Outcome> {
        let at = "Subscription.channel";
        known(tree, &CHANNEL_ELEMENTS, at)?;
        if tree.text_of("type") != Some("rest-hook") {
            let text = "the only channel is rest-hook";
            return Err(
                Outcome::error(IssueType::NotSupported, text).at("Subscription.channel.type")
            );
        }
        let payload = tree.text_of("payload").unwrap_or("application/fhir+json");
        if !["application/fhir+json", "application/json"].contains(&payload) {
            let text = "notifications are application/fhir+json";
            let outcome = Outcome::error(IssueType::NotSupported, text);
            return Err(outcome.at("Subscription.channel.payload"));
        }
        let endpoint = tree.text_of("endpoint").unwrap_or_default();
        let endpoint = Endpoint::parse(endpoint)
            .map_err(|error| bad(&error.to_string()).at("Subscription.channel.endpoint"))?;
        let texts = tree.items_of("header").iter().map(|it| it.text().unwrap_or_default());
        let headers = endpoint::headers(texts)
            .map_err(|error| bad(&error.to_string()).at("Subscription.channel.header"))?;
        let mut channel = Self {
            endpoint,
            headers,
            content: content_of(tree)?,
            heartbeat_s: None,
            timeout_s: None,
            count_max: None,
        };
        for extension in tree.items_of("extension") {
            channel.take(extension)?;
        }
        Ok(channel)
    }

    fn take(&mut self, extension: &Tree) -> Result<(), Outcome> {
        let at = "Subscription.channel.extension";
        let url = extension.text_of("url").unwrap_or_default();
        let name = url.strip_prefix(BACKPORT).unwrap_or_default();
        let (into, value, range) = match name {
            "backport-heartbeat-period" => {
                let range = HEARTBEAT_S_MIN..=HEARTBEAT_S_MAX;
                (&mut self.heartbeat_s, "valueUnsignedInt", range)
            }
            "backport-timeout" => (&mut self.timeout_s, "valueUnsignedInt", 1..=TIMEOUT_S_MAX),
            "backport-max-count" => (&mut self.count_max, "valuePositiveInt", 1..=COUNT_MAX),
            _ => return Err(unknown(at, url)),
        };
        let given = match extension.field(value) {
            Some(Tree::Number(digits)) => digits.parse().ok(),
            _ => None,
        };
        let given = given.filter(|it| range.contains(it)).ok_or_else(|| {
            bad(&format!("{name} is from {} to {}", range.start(), range.end())).at(at)
        })?;
        match into.replace(given) {
            Some(_) => Err(bad(&format!("{name} stands twice")).at(at)),
            None => Ok(()),
        }
    }
}

fn content_of(channel: &Tree) -> Result<Content, Outcome> {
    let at = "Subscription.channel.payload.extension";
    let all = channel.field("_payload").map_or(&[][..], |it| it.items_of("extension"));
    match all {
        [] => Ok(Content::default()),
        [one] if one.text_of("url") == Some(&own("backport-payload-content")) => {
            let code = one.text_of("valueCode").unwrap_or_default();
            Content::parse(code).map_err(|it| it.at(at))
        }
        [other, ..] => Err(unknown(at, other.text_of("url").unwrap_or_default())),
    }
}

/// Reads a body as JSON in which no key stands twice.
fn read(body: &[u8]) -> Result<Tree, Outcome> {
    let wrong = |error: BundleError| Outcome::error(IssueType::Structure, &error.to_string());
    let source = Source::check(body, BYTES_MAX).map_err(wrong)?;
    source.parse(source.text).map_err(wrong)
}

/// Refuses elements that are not understood.
fn known(tree: &Tree, names: &[&str], at: &str) -> Result<(), Outcome> {
    let Tree::Object(fields) = tree else { return Err(bad("it is no JSON object").at(at)) };
    match fields.keys().find(|it| !names.contains(&it.as_str())) {
        Some(name) => Err(unknown(at, name)),
        None => Ok(()),
    }
}

/// The guide's own name of something.
fn own(name: &str) -> String {
    format!("{BACKPORT}{name}")
}

fn no_topic() -> Outcome {
    let [first, second] = Topic::ALL.map(Topic::canonical);
    let text = format!("the criteria is the canonical URL of a topic: {first} or {second}");
    Outcome::error(IssueType::NotSupported, &text).at("Subscription.criteria")
}

fn no_filter(topic: Topic) -> Outcome {
    let text = format!(
        "a filter of this topic is a search that is decided of each resource by itself, of one patient; of {}: {}",
        topic.canonical(),
        topic.says()
    );
    Outcome::error(IssueType::Value, &text)
}

fn unknown(at: &str, what: &str) -> Outcome {
    let what = printable(what, NAME_CHARS_MAX);
    let text = format!(
        "{what:?} is not understood here, and to leave it out would change what is asked for"
    );
    Outcome::error(IssueType::NotSupported, &text).with_status(Status::UNPROCESSABLE).at(at)
}

fn bad(text: &str) -> Outcome {
    Outcome::error(IssueType::Value, text)
}

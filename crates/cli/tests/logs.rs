//! After a whole tour, at the level of detail that a developer asks for: what the logs, the metrics and the traces of
//! nodes say of patients, and of secrets. Which is nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use common::{
    KEEPWELL, PATIENCE, Place,
    receiver::{Receiver, ask},
    scratch, wait_until,
};
use keepwell_node::{
    keys::{NodeKeys, Unlock, read_operator_key},
    traces::ATTRIBUTES,
};
use serde_json::Value;

/// A patient as no other: each word that says something of them occurs nowhere else.
const PATIENT: &str = r#"{"resourceType":"Bundle","type":"collection","entry":[
    {"fullUrl":"urn:uuid:zq-1","resource":{"resourceType":"Patient","id":"zqpatient1","name":[{"family":"Zqvorlund","given":["Xyltamara"]}],
        "birthDate":"1931-12-29","identifier":[{"system":"http://hl7.org/fhir/sid/us-ssn","value":"987-65-4329"}],
        "telecom":[{"system":"phone","value":"+49 170 5550199"}],"address":[{"line":["17 Zqendelberg"],"city":"Zqillen","postalCode":"ZQ9 7XW"}]}},
    {"resource":{"resourceType":"Condition","id":"zqcondition","subject":{"reference":"urn:uuid:zq-1"},"code":{"coding":[{"system":"http://snomed.info/sct","code":"99734118006"}],"text":"Zqarthritis of the elbow"}}},
    {"resource":{"resourceType":"Observation","id":"zqobservation","subject":{"reference":"urn:uuid:zq-1"},"status":"final","code":{"coding":[{"system":"http://loinc.org","code":"98765-43"}]},"valueString":"Zqpositive beyond doubt"}},
    {"resource":{"resourceType":"Condition","id":"zqmind","subject":{"reference":"urn:uuid:zq-1"},"meta":{"security":[{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"PSY"}]},"code":{"text":"Zqmelancholia"}}}
]}"#;

/// Words of a resource that are everybody's.
const EVERYBODYS: [&str; 12] = [
    "resourceType",
    "Bundle",
    "collection",
    "Patient",
    "Condition",
    "Observation",
    "phone",
    "final",
    "PSY",
    "DocumentReference",
    "current",
    "normal",
];

/// What the receiver of traces knows its senders by.
const TOKEN: &str = "zqreceiverstoken";

/// The pilot, its log apart from what it says to people. Ends with this value.
struct Pilot(Child);

impl Drop for Pilot {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn logs_metrics_and_traces_say_nothing_of_patients_or_secrets() {
    let home = scratch();
    let (dir, bundles) = (home.path().join("pilot"), home.path().join("bundles"));
    fs::create_dir(&bundles).unwrap();
    fs::write(bundles.join("one.json"), PATIENT).unwrap();
    let (said, log) = (home.path().join("said"), home.path().join("log"));
    let receiver = Receiver::start();
    let child = Command::new(KEEPWELL)
        .args([
            "pilot",
            "--port",
            "0",
            "--traces",
            &receiver.url,
            "--bundles",
            bundles.to_str().unwrap(),
            "--dir",
        ])
        .arg(&dir)
        .env("KEEPWELL_LOG", "debug")
        .env("OTEL_EXPORTER_OTLP_HEADERS", format!("authorization=Bearer {TOKEN}"))
        .stdin(Stdio::null())
        .stdout(File::create(&said).unwrap())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut pilot = Pilot(child);
    let start = Instant::now();
    wait_until(|| {
        assert!(start.elapsed() < 2 * PATIENCE && pilot.0.try_wait().unwrap().is_none());
        fs::read_to_string(&said).unwrap().contains("Ctrl-C stops it")
    });
    let place = Place { dir: &dir };
    let nodes = place.toml("nodes.toml");
    let pages: Vec<_> = nodes["nodes"].as_array().unwrap().iter().map(metrics).collect();
    let id = pilot.0.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    wait_until(|| pilot.0.try_wait().unwrap().is_some());

    let log = fs::read_to_string(&log).unwrap();
    // They do say what was done: silence would prove nothing.
    for word in ["DEBUG", "answered", "/v1/charts/{chart}/log", "/v1/release", "keepwell_node"] {
        assert!(log.contains(word), "nothing of {word:?} in the log");
    }
    // The one that the tour stopped and started has not been asked for anything since.
    let asked = pages.iter().filter(|page| page.contains("route=\"/v1/charts/{chart}/log\""));
    assert!(asked.count() > 0);
    assert!(receiver.told(|it| it.heads.contains(&format!("authorization: bearer {TOKEN}"))));
    let traces = traces(&receiver);
    let mut forbidden = forbidden(&place, &fs::read_to_string(&said).unwrap());
    forbidden.insert(("the token of the receiver", TOKEN.to_owned()));
    for word in ["127.0.0.1", "TREAT", "authorization"] {
        assert!(!traces.contains(word), "{word} is in the traces");
    }
    for (name, text) in [("the log", &log), ("the traces", &traces)]
        .into_iter()
        .chain(pages.iter().map(|it| ("a page of metrics", it)))
    {
        for (what, word) in &forbidden {
            let at = text.find(word.as_str());
            let line = at.map(|at| text[..at].rsplit('\n').next().unwrap().to_owned());
            assert!(at.is_none(), "{what} is in {name}, after {line:?}");
        }
    }
}

/// A node's page of metrics.
fn metrics(node: &toml::Value) -> String {
    ask(node["url"].as_str().unwrap().trim_start_matches("http://"), "/metrics", "")
}

/// Everything that was exported, as text; each span with nothing but what may leave.
fn traces(receiver: &Receiver) -> String {
    let spans = receiver.spans();
    assert!(spans.len() > 500, "{}", spans.len());
    let mut names: BTreeSet<&str> = spans.iter().map(|it| it.name.as_str()).collect();
    for span in &spans {
        let keys: BTreeSet<_> = span.attributes.iter().map(|it| it.key.as_str()).collect();
        assert!(keys.iter().all(|it| ATTRIBUTES.contains(it)), "{span:?}");
        assert!(span.events.is_empty() && span.links.is_empty() && span.trace_state.is_empty());
        assert!(span.status.as_ref().is_none_or(|it| it.message.is_empty()), "{span:?}");
    }
    // Of requests, methods and templates; of all else, a few names that stand in the program.
    assert!(names.contains("GET /v1/charts/{chart}/log"), "{names:?}");
    names.retain(|it| !it.contains(" /v1/"));
    assert!(names.len() < 30, "{names:?}");
    receiver.told(|it| format!("{:?}", it.messages))
}

/// What nobody may read in a log: what it is, and its words.
fn forbidden(place: &Place<'_>, said: &str) -> BTreeSet<(&'static str, String)> {
    let mut forbidden = BTreeSet::new();
    words(&serde_json::from_str(PATIENT).unwrap(), &mut forbidden);
    for name in ["discharge-note.json", "ward-note.json"] {
        let note = fs::read_to_string(place.dir.join(name)).unwrap();
        words(&serde_json::from_str(&note).unwrap(), &mut forbidden);
    }
    assert!(forbidden.len() > 15, "{forbidden:?}");

    let charts = place.toml("pilot.toml");
    for patient in charts["patients"].as_array().unwrap() {
        forbidden.insert(("a chart", patient["chart"].as_str().unwrap().to_owned()));
    }
    // Ids of records, grants and charts, as the tour tells them to people.
    let organisations = place.toml("organisations.toml");
    let organisations: Vec<_> = organisations.values().filter_map(toml::Value::as_str).collect();
    let (mut after, mut ids) = ("", 0);
    for word in said.split(|it: char| !it.is_ascii_alphanumeric()) {
        let is_about_someone = matches!(after, "record" | "chart" | "grant" | "member" | "to");
        let is_hex = word.len() >= 32 && word.bytes().all(|it| it.is_ascii_hexdigit());
        if is_about_someone && is_hex && !organisations.contains(&word) {
            forbidden.insert(("an id of the tour", word.to_owned()));
            ids += 1;
        }
        if !word.is_empty() {
            after = word;
        }
    }
    assert!(ids > 3, "the tour names what it does: {said}");
    let code = said.split_once("--code '").unwrap().1.split('\'').next().unwrap();
    forbidden.insert(("a claim code", code.to_owned()));
    forbidden.insert(("a claim code", code.replace('-', "")));

    let operator = fs::read(place.dir.join("operator.key")).unwrap();
    for secret in node_secrets(place).into_iter().chain([operator]) {
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let list = format!("{secret:?}");
        forbidden.insert(("a secret", list.trim_matches(['[', ']']).to_owned()));
        forbidden.insert(("a secret", STANDARD_NO_PAD.encode(&secret)[..40].to_owned()));
        forbidden.insert(("a secret", hex.to_uppercase()));
        forbidden.insert(("a secret", hex));
    }
    forbidden
}

/// The words of a resource that say something of its patient.
fn words(value: &Value, forbidden: &mut BTreeSet<(&'static str, String)>) {
    match value {
        Value::Object(fields) => fields.values().for_each(|it| words(it, forbidden)),
        Value::Array(all) => all.iter().for_each(|it| words(it, forbidden)),
        Value::String(text) => {
            let is_everybodys = EVERYBODYS.contains(&text.as_str()) || text.starts_with("http://");
            if !is_everybodys && text.len() > 5 {
                forbidden.insert(("of a patient", text.clone()));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn node_secrets(place: &Place<'_>) -> Vec<Vec<u8>> {
    let unlock = Unlock::Operator(read_operator_key(&place.dir.join("operator.key")).unwrap());
    let mut secrets = Vec::new();
    for slug in common::nodes::SLUGS {
        let folder = place.dir.join(format!("organisations/{slug}/keys"));
        let keys = NodeKeys::load(Path::new(&folder), &unlock).unwrap();
        secrets.extend([keys.consensus, keys.release, keys.custodian].map(|it| it.to_vec()));
        secrets.push(keys.share.unwrap().to_bytes().to_vec());
    }
    secrets
}

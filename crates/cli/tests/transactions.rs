//! Bundles that a gateway is sent: batches, of which each entry stands for itself, and transactions, of which all is
//! written or nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{env, fs, path::Path, time::Instant};

use common::desk::{Desk, at_a_desk, refused};
use reqwest::Method;
use serde_json::{Value, json};

/// The largest Bundle of a folder that is sent.
const LARGE_BYTES_MAX: u64 = 1024 * 1024;

#[test]
fn bundles_are_written_whole_or_entry_by_entry() {
    at_a_desk(async |desk| {
        let patient = a_transaction_is_linked(desk).await;
        what_is_changed_follows(desk, &patient).await;
        of_what_cannot_be_nothing_is_written(desk, &patient).await;
        what_is_there_is_not_made_twice(desk).await;
        entries_of_a_batch_stand_for_themselves(desk, &patient).await;
        everything_is_what_the_token_is_good_for(desk, &patient).await;
        real_bundles_come_back(desk).await;
    });
}

fn bundle(kind: &str, entries: &[Value]) -> String {
    json!({ "resourceType": "Bundle", "type": kind, "entry": entries }).to_string()
}

fn post(full_url: &str, resource: Value) -> Value {
    let of = resource["resourceType"].clone();
    json!({ "fullUrl": full_url, "resource": resource, "request": { "method": "POST", "url": of } })
}

fn weight(subject: &str, kg: f64) -> Value {
    json!({
        "resourceType": "Observation", "status": "final", "subject": { "reference": subject },
        "code": { "coding": [{ "system": "http://loinc.org", "code": "29463-7" }] },
        "valueQuantity": { "value": kg, "unit": "kg" },
    })
}

async fn sent(desk: &Desk<'_>, kind: &str, entries: &[Value]) -> Value {
    let answer = desk.send(Method::POST, "", &bundle(kind, entries)).await;
    let status = answer.status();
    let text = answer.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["type"], format!("{kind}-response"));
    assert_eq!(answer["entry"].as_array().unwrap().len(), entries.len());
    answer
}

fn statuses(answer: &Value) -> Vec<&str> {
    let entries = answer["entry"].as_array().unwrap();
    entries.iter().map(|it| &it["response"]["status"].as_str().unwrap()[..3]).collect()
}

/// The id at an entry's location.
fn id_at(answer: &Value, entry: usize) -> String {
    let location = answer["entry"][entry]["response"]["location"].as_str().unwrap();
    let (resource, _) = location.split_once("/_history/").unwrap();
    resource.rsplit_once('/').unwrap().1.to_owned()
}

async fn count(desk: &Desk<'_>, query: &str) -> usize {
    let found = desk.get(query).await;
    found["entry"].as_array().map_or(0, Vec::len)
}

/// A patient with what belongs to them, each referring to the others by names of the Bundle; returns the patient's id.
async fn a_transaction_is_linked(desk: &Desk<'_>) -> String {
    let [patient, laboratory, weighed, report, provenance] = ["1", "2", "3", "4", "5"]
        .map(|it| format!("urn:uuid:00000000-0000-4000-8000-00000000000{it}"));
    let mut observation = weight(&patient, 71.5);
    observation["performer"] = json!([{ "reference": laboratory }]);
    let entries = [
        // What refers stands before what it refers to.
        post(
            &provenance,
            json!({
                "resourceType": "Provenance", "target": [{ "reference": weighed }],
                "recorded": "2026-11-02T10:00:00Z", "agent": [{ "who": { "reference": laboratory } }],
            }),
        ),
        post(
            &report,
            json!({
                "resourceType": "DiagnosticReport", "status": "final", "code": { "text": "weight" },
                "subject": { "reference": "Patient?identifier=urn:mrn|5000" },
                "result": [{ "reference": weighed }],
            }),
        ),
        post(&weighed, observation),
        post(&laboratory, json!({ "resourceType": "Organization", "name": "Laboratory" })),
        post(
            &patient,
            json!({
                "resourceType": "Patient", "identifier": [{ "system": "urn:mrn", "value": "5000" }],
            }),
        ),
        json!({ "request": { "method": "GET", "url": "Patient?identifier=urn:mrn|5000" } }),
    ];
    let answer = sent(desk, "transaction", &entries).await;
    assert_eq!(statuses(&answer), ["201", "201", "201", "201", "201", "200"], "{answer}");
    assert_eq!(answer["entry"][5]["resource"]["entry"].as_array().unwrap().len(), 1, "{answer}");
    let ids: Vec<_> = (0..5).map(|it| id_at(&answer, it)).collect();
    let [provenance, report, weighed, laboratory, patient] = ids.as_slice() else { panic!() };

    let observation = desk.get(&format!("Observation/{weighed}")).await;
    assert_eq!(observation["subject"]["reference"], format!("Patient/{patient}"));
    assert_eq!(observation["performer"][0]["reference"], format!("Organization/{laboratory}"));
    let report = desk.get(&format!("DiagnosticReport/{report}")).await;
    assert_eq!(report["subject"]["reference"], format!("Patient/{patient}"), "by its identifier");
    assert_eq!(report["result"][0]["reference"], format!("Observation/{weighed}"));
    let provenance = desk.get(&format!("Provenance/{provenance}")).await;
    assert_eq!(provenance["target"][0]["reference"], format!("Observation/{weighed}"));
    assert_eq!(desk.get(&format!("Organization/{laboratory}")).await["name"], "Laboratory");
    let query = format!("Observation?patient={patient}&_include=Observation:performer");
    assert_eq!(count(desk, &query).await, 2, "the laboratory is kept with the patient's");
    patient.clone()
}

/// New and changed resources in one transaction, and a patch.
async fn what_is_changed_follows(desk: &Desk<'_>, patient: &str) {
    let found = desk.get(&format!("Observation?patient={patient}")).await;
    let mut observation = found["entry"][0]["resource"].clone();
    let id = observation["id"].as_str().unwrap().to_owned();
    observation["status"] = json!("amended");
    let put = |tag: &str| {
        json!({
            "fullUrl": format!("{}/Observation/{id}", desk.base), "resource": observation,
            "request": { "method": "PUT", "url": format!("Observation/{id}"), "ifMatch": tag },
        })
    };
    let condition = json!({
        "resourceType": "Condition", "subject": { "reference": format!("Patient/{patient}") },
        "evidence": [{ "detail": [{ "reference": format!("Observation/{id}/_history/2") }] }],
    });
    let entries =
        [put("W/\"1\""), post("urn:uuid:00000000-0000-4000-8000-000000000006", condition)];
    let answer = sent(desk, "transaction", &entries).await;
    assert_eq!(statuses(&answer), ["200", "201"], "{answer}");
    assert_eq!(answer["entry"][0]["response"]["etag"], "W/\"2\"");
    let conditions = format!("Condition?patient={patient}");
    assert_eq!(count(desk, &conditions).await, 1);
    // The same again: the version is stale, and so nothing is added.
    let answer = desk.send(Method::POST, "", &bundle("transaction", &entries)).await;
    refused(answer, 412, "Bundle.entry[0]").await;
    assert_eq!(count(desk, &conditions).await, 1);

    let patched = |kind: &'static str, body: &'static str| {
        let ask = desk.ask(Method::PATCH, &format!("Observation/{id}"));
        ask.header("content-type", kind).body(body).send()
    };
    let change = r#"[{ "op": "replace", "path": "/valueQuantity/value", "value": 70.10 }]"#;
    let answer = patched("application/json-patch+json", change).await.unwrap();
    let text = answer.text().await.unwrap();
    assert!(text.contains("70.10") && text.contains("\"versionId\":\"3\""), "{text}");
    refused(patched("application/fhir+json", change).await.unwrap(), 415, "json-patch").await;
    let other = r#"[{ "op": "replace", "path": "/subject/reference", "value": "Patient/other" }]"#;
    refused(patched("application/json-patch+json", other).await.unwrap(), 422, "patient").await;
}

async fn of_what_cannot_be_nothing_is_written(desk: &Desk<'_>, patient: &str) {
    let named = |it: u8| format!("urn:uuid:00000000-0000-4000-8000-0000000000{it:02}");
    let own = format!("Patient/{patient}");
    let before = count(desk, &format!("Observation?patient={patient}")).await;
    let other = json!({ "resourceType": "Patient", "name": [{ "family": "Other" }] });
    let with_id = |id: &str| {
        let mut put = post("", weight(&own, 1.0));
        put["resource"]["id"] = json!(id);
        put["request"] = json!({ "method": "PUT", "url": format!("Observation/{id}") });
        put.as_object_mut().unwrap().remove("fullUrl");
        put
    };
    for (last, status, words) in [
        (
            post(&named(11), weight("urn:uuid:00000000-0000-4000-8000-000000000099", 1.0)),
            422,
            "entry[1]",
        ),
        (post(&named(11), weight("Patient/nobody", 1.0)), 422, "create the Patient first"),
        (post(&named(11), weight("Patient?identifier=urn:mrn|none", 1.0)), 412, "entry[1]"),
        (with_id("0000"), 404, "ids are given by this gateway"),
        (json!({ "request": { "method": "DELETE", "url": own } }), 405, "redact"),
        (json!({ "resource": weight(&own, 1.0) }), 400, "request"),
        (
            post(
                &named(11),
                json!({ "resourceType": "Provenance", "target": [{ "reference": "Observation/1" }], "x": { "reference": named(98) } }),
            ),
            400,
            "Bundle does not have",
        ),
    ] {
        let entries = [post(&named(10), weight(&own, 80.0)), last];
        let answer = desk.send(Method::POST, "", &bundle("transaction", &entries)).await;
        refused(answer, status, words).await;
    }
    // What is about nobody has no chart to be in, where there are two.
    let entries = [
        post(&named(10), weight(&own, 80.0)),
        post(&named(12), other.clone()),
        post(&named(13), json!({ "resourceType": "Organization", "name": "Nobody's" })),
    ];
    let answer = desk.send(Method::POST, "", &bundle("transaction", &entries)).await;
    refused(answer, 422, "names no patient").await;
    assert_eq!(count(desk, &format!("Observation?patient={patient}")).await, before);
    assert_eq!(count(desk, "Patient?family=Other").await, 0);
    let many: Vec<_> = (0..1_025).map(|_| post("", other.clone())).collect();
    refused(desk.send(Method::POST, "", &bundle("transaction", &many)).await, 413, "several").await;
    // A token that may only read may write nothing, in a Bundle neither.
    let reader = desk.token_of("reader");
    let ask = desk.http.post(format!("{}/", desk.base)).bearer_auth(reader);
    let ask = ask.body(bundle("transaction", &[post(&named(10), weight(&own, 80.0))]));
    refused(ask.send().await.unwrap(), 403, "scope").await;
}

/// Transactions that create on a condition, one after the other and two at once.
async fn what_is_there_is_not_made_twice(desk: &Desk<'_>) {
    let entries = |value: &str| {
        let full_url = "urn:uuid:00000000-0000-4000-8000-000000000021";
        let mut patient = post(
            full_url,
            json!({
                "resourceType": "Patient", "identifier": [{ "system": "urn:mrn", "value": value }],
            }),
        );
        patient["request"]["ifNoneExist"] = json!(format!("identifier=urn:mrn|{value}"));
        let mut observation =
            post("urn:uuid:00000000-0000-4000-8000-000000000022", weight(full_url, 60.0));
        observation["resource"]["identifier"] = json!([{ "system": "urn:order", "value": value }]);
        observation["request"]["ifNoneExist"] = json!(format!("identifier=urn:order|{value}"));
        [patient, observation]
    };
    let first = sent(desk, "transaction", &entries("5001")).await;
    assert_eq!(statuses(&first), ["201", "201"]);
    let second = sent(desk, "transaction", &entries("5001")).await;
    assert_eq!(statuses(&second), ["200", "200"]);
    assert_eq!(id_at(&first, 0), id_at(&second, 0));
    assert_eq!(id_at(&first, 1), id_at(&second, 1));

    let (one, two) = (entries("5002"), entries("5002"));
    let (one, two) = tokio::join!(sent(desk, "transaction", &one), sent(desk, "transaction", &two));
    assert_eq!(id_at(&one, 0), id_at(&two, 0));
    let found = desk.get("Patient?identifier=urn:mrn|5002").await;
    assert_eq!(found["entry"].as_array().unwrap().len(), 1, "{found}");

    // An update on a condition creates once, and changes after that.
    let put = |city: &str| {
        let patient = json!({
            "resourceType": "Patient", "identifier": [{ "system": "urn:mrn", "value": "5003" }],
            "address": [{ "city": city }],
        });
        desk.ask(Method::PUT, "Patient?identifier=urn:mrn|5003").body(patient.to_string()).send()
    };
    assert_eq!(put("Bergen").await.unwrap().status(), 201);
    assert_eq!(put("Oslo").await.unwrap().status(), 200);
    let found = desk.get("Patient?identifier=urn:mrn|5003").await;
    assert_eq!(found["entry"][0]["resource"]["address"][0]["city"], "Oslo", "{found}");
}

async fn entries_of_a_batch_stand_for_themselves(desk: &Desk<'_>, patient: &str) {
    let own = format!("Patient/{patient}");
    let before = count(desk, &format!("Observation?patient={patient}")).await;
    let first = "urn:uuid:00000000-0000-4000-8000-000000000031";
    let entries = [
        post(first, weight(&own, 81.0)),
        post(
            "urn:uuid:00000000-0000-4000-8000-000000000032",
            json!({
                "resourceType": "Provenance", "target": [{ "reference": first }],
            }),
        ),
        json!({ "request": { "method": "GET", "url": own } }),
        json!({ "request": { "method": "GET", "url": "Observation?code=29463-7" } }),
        json!({ "request": { "method": "DELETE", "url": own } }),
        json!({ "resource": weight(&own, 1.0) }),
        json!({ "request": { "method": "GET", "url": format!("Observation?patient={patient}") } }),
    ];
    let answer = sent(desk, "batch", &entries).await;
    assert_eq!(statuses(&answer), ["201", "400", "200", "403", "405", "400", "200"], "{answer}");
    assert_eq!(answer["entry"][2]["resource"]["id"], patient);
    assert_eq!(answer["entry"][1]["response"]["outcome"]["resourceType"], "OperationOutcome");
    // Reads see what was written.
    let found = answer["entry"][6]["resource"]["entry"].as_array().unwrap();
    assert_eq!(found.len(), before + 1);
}

/// All about a patient, page by page, and no more of it than the token is good for.
async fn everything_is_what_the_token_is_good_for(desk: &Desk<'_>, patient: &str) {
    let path = format!("Patient/{patient}/$everything");
    let all = desk.get(&path).await;
    let mut types: Vec<_> = all["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["resource"]["resourceType"].as_str().unwrap())
        .collect();
    assert_eq!(types[0], "Patient");
    let count = types.len();
    types.sort_unstable();
    types.dedup();
    let here =
        ["Condition", "DiagnosticReport", "Observation", "Organization", "Patient", "Provenance"];
    assert_eq!(types, here);

    let (mut seen, mut next) = (Vec::new(), Some(format!("{path}?_count=2")));
    while let Some(url) = next {
        let page = desk.get(&url).await;
        seen.extend(page["entry"].as_array().unwrap().iter().map(|it| it["fullUrl"].clone()));
        let links = page["link"].as_array().unwrap();
        let link = links.iter().find(|it| it["relation"] == "next");
        next = link.map(|it| it["url"].as_str().unwrap().to_owned());
    }
    assert_eq!(seen.len(), count, "{seen:?}");
    assert_eq!(self::count(desk, &format!("{path}?_type=Condition")).await, 1);
    assert_eq!(self::count(desk, &format!("{path}?_since=2100-01-01T00:00:00Z")).await, 0);

    let front = desk.token_of("front");
    let ask =
        |path: &str| desk.http.get(format!("{}/{path}", desk.base)).bearer_auth(&front).send();
    let some: Value = ask(&path).await.unwrap().json().await.unwrap();
    assert_eq!(some["entry"].as_array().unwrap().len(), 1, "{some}");
    for query in
        ["Patient?_revinclude=Observation:subject", "Patient?_has:Observation:subject:code=1"]
    {
        refused(ask(query).await.unwrap(), 403, "scope").await;
    }
    refused(ask(&format!("Observation?patient={patient}")).await.unwrap(), 403, "scope").await;
}

/// Bundles of a generator, sent as they are: what was sent is found by search.
async fn real_bundles_come_back(desk: &Desk<'_>) {
    let folder = match env::var_os("KEEPWELL_DATA") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let Ok(files) = fs::read_dir(folder.join("synthea")) else {
        println!("SKIPPED: no synthea/ in {}; set KEEPWELL_DATA", folder.display());
        return;
    };
    let mut files: Vec<_> = files.map(|it| it.unwrap().path()).collect();
    files.retain(|it| fs::metadata(it).unwrap().len() <= LARGE_BYTES_MAX);
    files.sort();
    for file in files.iter().take(2) {
        let text = fs::read_to_string(file).unwrap();
        let bundle: Value = serde_json::from_str(&text).unwrap();
        let entries = bundle["entry"].as_array().unwrap();
        let begun = Instant::now();
        let answer = desk.send(Method::POST, "", &text).await;
        let (status, answer) = (answer.status(), answer.text().await.unwrap());
        println!("{} entries in {} ms", entries.len(), begun.elapsed().as_millis());
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(statuses(&answer).iter().all(|it| *it == "201"), "{answer}");
        let place = entries.iter().position(|it| it["resource"]["resourceType"] == "Patient");
        let patient = id_at(&answer, place.unwrap());
        let observations =
            entries.iter().filter(|it| it["resource"]["resourceType"] == "Observation").count();
        let query = format!("Observation?patient={patient}&_count=200");
        assert_eq!(count(desk, &query).await, observations.min(200), "{}", file.display());
    }
}

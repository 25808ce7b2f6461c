//! What the ledger itself knows of a chart, over FHIR: who looked, and a summary of what may be read. Whoever may not see it
//! is told what is told of a patient who does not exist.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::collections::BTreeSet;

use common::{
    Place,
    desk::{Desk, at_a_desk, pilot, refused},
    keepwell, scratch,
};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const NOBODY: &str = "00000000-0000-4000-8000-000000000000";

#[test]
fn facts_are_served_to_whoever_may_see_them() {
    at_a_desk(async |desk| {
        let patient = a_patient(desk).await;
        a_summary_is_of_what_may_be_read(desk, &patient).await;
        who_looked_is_told(desk, &patient).await;
        an_event_is_read_by_its_id(desk, &patient).await;
        pages_stay_as_they_were(desk, &patient).await;
        events_that_were_sent_are_beside_them(desk, &patient).await;
        what_cannot_be_asked_is_refused(desk, &patient).await;
        origins_are_told_with_what_they_are_of(desk, &patient).await;
    });
}

/// Who asked for what in a chart, what became of it, and who may read there.
#[test]
fn grants_and_requests_are_told() {
    let home = scratch();
    let mut pilot = pilot(home.path());
    let dir = pilot.dir.clone();
    let mut desk = Desk::start(Place { dir: &dir });
    let runtime = Runtime::new().unwrap();
    let pilots = desk.place.toml("pilot.toml");
    let is_open = |it: &&toml::Value| it.get("letter").is_some();
    let open = pilots["patients"].as_array().unwrap().iter().find(is_open).unwrap();
    let chart = open["chart"].as_str().unwrap();
    let clinician = desk.place.person("clinician");
    let ask = ["--json", "grant", "request", "--as", &clinician, "--chart", chart];
    // The agent's profile is the gateway's while it runs.
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    let agent = desk.place.person("agent");
    let shown = keepwell(&["chart", "show", "--as", &agent, chart]).ok();
    let normal = shown.word_after("normal is compartment ");
    let restart = |desk: &mut Desk<'_>| {
        desk.process = Desk::run(&desk.place, &desk.config);
        desk.token = desk.token_of("ehr");
    };
    restart(&mut desk);
    let asked: Vec<_> = (0..3)
        .map(|_| {
            let asked = keepwell(&[&ask[..], &["--compartment", &normal]].concat()).ok().json();
            asked["request"].as_str().unwrap().to_owned()
        })
        .collect();
    let patient = runtime.block_on(whose_task(&desk, &asked[0]));
    let tasks = format!("Task?patient={patient}");
    let found = runtime.block_on(desk.get(&tasks));
    assert_eq!(statuses(&found), ["requested"; 3], "{found}");

    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    let own = |what: &[&str], rest: &[&str]| {
        keepwell(&[&["--json", "grant"], what, &["--as", &agent, "--chart", chart], rest].concat())
            .ok()
            .json()
    };
    let given = own(&["answer"], &[&asked[0]])["grant"].as_str().unwrap().to_owned();
    own(&["answer"], &["--refuse", "not_needed", &asked[1]]);
    let withdraw = ["grant", "withdraw", "--as", &clinician, "--chart", chart, &asked[2]];
    keepwell(&withdraw).ok();
    own(&["limit"], &["--days", "1", &given]);
    let insurer = desk.place.organisation("insurer");
    let forbid = ["--deny", "--organisation", &insurer, "--compartment", "normal"];
    own(&["give"], &forbid);
    restart(&mut desk);
    runtime.block_on(async {
        let found = desk.get(&tasks).await;
        // The newest first.
        assert_eq!(statuses(&found), ["cancelled", "rejected", "completed"], "{found}");
        let task = &entries(&found)[2]["resource"];
        let consent = task["output"][0]["valueReference"]["reference"].as_str().unwrap();
        let consent = desk.get(consent).await;
        assert_eq!(consent["identifier"][0]["value"], given.as_str(), "{consent}");
        assert_eq!(
            (&consent["status"], &consent["meta"]["versionId"]),
            (&json!("active"), &json!("2"))
        );
        let found = desk.get(&format!("Consent?patient={patient}")).await;
        let types: Vec<_> =
            entries(&found).iter().map(|it| it["resource"]["provision"]["type"].clone()).collect();
        assert_eq!(types, ["deny", "permit"], "{found}");
        for of in ["Consent", "Task"] {
            let found = desk.get(&format!("{of}?patient={patient}")).await;
            let one = entries(&found)[0]["resource"].clone();
            let path = format!("{of}/{}", one["id"].as_str().unwrap());
            assert_eq!(desk.get(&path).await, one);
            refused(as_client(&desk, "research", &path).await, 404, "nothing is here").await;
            let query = format!("{of}?patient={patient}");
            let none: Value = as_client(&desk, "research", &query).await.json().await.unwrap();
            assert_eq!(entries(&none).len(), 0, "{none}");
            refused(as_client(&desk, "front", &query).await, 403, "scope").await;
        }
    });
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    own(&["revoke"], &[&given]);
    restart(&mut desk);
    let found = runtime.block_on(desk.get(&format!("Consent?patient={patient}&status=inactive")));
    let ended: Vec<_> =
        entries(&found).iter().map(|it| it["resource"]["meta"]["versionId"].clone()).collect();
    assert_eq!(ended, ["3"], "{found}");
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    assert!(pilot.process.interrupt().success());
}

/// The patient in whose chart something was asked for.
async fn whose_task(desk: &Desk<'_>, request: &str) -> String {
    let patients = desk.get("Patient?_count=50").await;
    for patient in entries(&patients) {
        let id = patient["resource"]["id"].as_str().unwrap();
        let found = desk.get(&format!("Task?patient={id}")).await;
        if found.to_string().contains(request) {
            return id.to_owned();
        }
    }
    panic!("nobody was asked for anything: {patients}");
}

fn statuses(found: &Value) -> Vec<&str> {
    entries(found).iter().map(|it| it["resource"]["status"].as_str().unwrap()).collect()
}

async fn as_client(desk: &Desk<'_>, id: &str, path: &str) -> Response {
    let token = desk.token_of(id);
    desk.http.get(format!("{}/{path}", desk.base)).bearer_auth(token).send().await.unwrap()
}

async fn created(desk: &Desk<'_>, resource: &Value) -> String {
    let of = resource["resourceType"].as_str().unwrap();
    let answer = desk.send(Method::POST, of, &resource.to_string()).await;
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 201, "{text}");
    let resource: Value = serde_json::from_str(&text).unwrap();
    resource["id"].as_str().unwrap().to_owned()
}

fn entries(bundle: &Value) -> &[Value] {
    bundle["entry"].as_array().map_or(&[], Vec::as_slice)
}

fn next_of(bundle: &Value) -> Option<String> {
    let links = bundle["link"].as_array().unwrap();
    let next = links.iter().find(|it| it["relation"] == "next");
    next.map(|it| it["url"].as_str().unwrap().to_owned())
}

/// A patient with a problem and a weight.
async fn a_patient(desk: &Desk<'_>) -> String {
    let patient = json!({ "resourceType": "Patient", "name": [{ "family": "Quist" }] });
    let patient = created(desk, &patient).await;
    let subject = json!({ "reference": format!("Patient/{patient}") });
    for resource in [
        json!({ "resourceType": "Condition", "subject": subject, "code": { "text": "asthma" } }),
        json!({
            "resourceType": "Observation", "status": "final", "subject": subject,
            "category": [{ "coding": [{
                "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                "code": "vital-signs",
            }] }],
            "code": { "coding": [{ "system": "http://loinc.org", "code": "29463-7" }] },
        }),
        json!({ "resourceType": "Encounter", "status": "finished", "subject": subject,
            "class": { "code": "AMB" } }),
    ] {
        created(desk, &resource).await;
    }
    patient
}

/// Each section of a summary by its code: how many entries, or why there are none.
fn sections(summary: &Value) -> Vec<(String, String)> {
    let composition = &summary["entry"][0]["resource"];
    assert_eq!(composition["resourceType"], "Composition", "{summary}");
    let sections = composition["section"].as_array().unwrap();
    let of = |it: &Value| {
        let code = it["code"]["coding"][0]["code"].as_str().unwrap().to_owned();
        let why = it["emptyReason"]["coding"][0]["code"].as_str().map(str::to_owned);
        (code, why.unwrap_or_else(|| it["entry"].as_array().unwrap().len().to_string()))
    };
    sections.iter().map(of).collect()
}

async fn a_summary_is_of_what_may_be_read(desk: &Desk<'_>, patient: &str) {
    let path = format!("Patient/{patient}/$summary");
    let summary = desk.get(&path).await;
    assert_eq!(summary["type"], "document", "{summary}");
    let has = |code: &str, what: &str| (code.to_owned(), what.to_owned());
    let (none, one) = ("unavailable", "1");
    let all = [has("48765-2", none), has("10160-0", none), has("11450-4", one), has("8716-3", one)];
    assert_eq!(sections(&summary), all, "{summary}");
    // Nothing refers to the encounter.
    let types: Vec<_> =
        entries(&summary).iter().map(|it| it["resource"]["resourceType"].clone()).collect();
    assert_eq!(types, ["Composition", "Patient", "Condition", "Observation"]);

    // What the token is not good for reads as what is not there.
    let front: Value = as_client(desk, "front", &path).await.json().await.unwrap();
    let required = [has("48765-2", none), has("10160-0", none), has("11450-4", none)];
    assert_eq!((sections(&front), entries(&front).len()), (required.to_vec(), 2), "{front}");

    let missing = format!("Patient/{NOBODY}/$summary");
    for (client, path) in [("ehr", &missing), ("research", &path), ("research", &missing)] {
        refused(as_client(desk, client, path).await, 404, "nothing is here").await;
    }
    for (query, words) in [
        ("identifier=a|b", "profile"),
        ("_type=Condition", "profile"),
        ("profile=x", "one profile"),
    ] {
        let answer = desk.ask(Method::GET, &format!("{path}?{query}")).send().await.unwrap();
        refused(answer, 400, words).await;
    }
    refused(desk.send(Method::POST, &path, "{}").await, 400, "no body").await;
}

async fn who_looked_is_told(desk: &Desk<'_>, patient: &str) {
    // Refused, and shown all the same: the glass is not broken.
    let path = format!("Patient/{patient}");
    refused(as_client(desk, "glass", &path).await, 404, "nothing is here").await;

    let query = format!("AuditEvent?patient={path}&_count=200");
    let found = desk.get(&query).await;
    let purposes: BTreeSet<_> = entries(&found)
        .iter()
        .map(|it| it["resource"]["purposeOfEvent"][0]["coding"][0]["code"].as_str().unwrap())
        .collect();
    assert_eq!(purposes, BTreeSet::from(["BTG", "HRESCH", "TREAT"]), "{found}");
    let mut recorded = Vec::new();
    for entry in entries(&found) {
        let event = &entry["resource"];
        assert_eq!(event["resourceType"], "AuditEvent");
        assert_eq!(event["entity"][0]["what"]["reference"], path.as_str());
        let is_treatment = event["purposeOfEvent"][0]["coding"][0]["code"] == "TREAT";
        assert_eq!(event["outcome"], if is_treatment { "0" } else { "8" }, "{event}");
        recorded.push(event["recorded"].as_str().unwrap());
    }
    assert!(recorded.is_sorted_by(|one, two| one >= two), "{recorded:?}");
    // Whoever looks at who looked has looked.
    let again = desk.get(&query).await;
    assert_eq!(entries(&again).len(), entries(&found).len() + 1);

    for (more, some) in [
        ("outcome=8&_elements=outcome", true),
        ("date=ge2100-01-01", false),
        ("date=ge2020-01-01&date=le2100-01-01", true),
        ("action=D", false),
    ] {
        let found = desk.get(&format!("AuditEvent?patient={patient}&{more}")).await;
        assert_eq!(!entries(&found).is_empty(), some, "{more}: {found}");
    }
    let found = desk.get(&format!("Patient?_id={patient}&_revinclude=AuditEvent:patient")).await;
    assert!(entries(&found).len() > 1, "{found}");

    // For whom the patient is not there, nobody has looked.
    let missing = format!("AuditEvent?patient={NOBODY}");
    let here = format!("AuditEvent?patient={patient}");
    for (client, path) in [("ehr", &missing), ("research", &here), ("glass", &here)] {
        let found: Value = as_client(desk, client, path).await.json().await.unwrap();
        assert_eq!((&found["type"], entries(&found).len()), (&json!("searchset"), 0), "{found}");
        assert_eq!(next_of(&found), None);
    }
}

async fn an_event_is_read_by_its_id(desk: &Desk<'_>, patient: &str) {
    let found = desk.get(&format!("AuditEvent?patient={patient}&_count=1")).await;
    let (url, event) = (found["entry"][0]["fullUrl"].clone(), &found["entry"][0]["resource"]);
    let url = url.as_str().unwrap();
    assert_eq!(desk.get(url).await, *event);
    assert_eq!(desk.get(&format!("{url}/_history/1")).await, *event);
    let history = desk.get(&format!("{url}/_history")).await;
    assert_eq!(history["entry"][0]["resource"], *event);

    let id = event["id"].as_str().unwrap();
    let (height, rest) = id.split_once('-').unwrap();
    let other = format!("{}-{rest}", height.parse::<u64>().unwrap() - 1);
    for path in [
        format!("AuditEvent/{other}"),
        format!("AuditEvent/{id}0"),
        format!("AuditEvent/{id}/_history/2"),
        format!("Provenance/{id}"),
        format!("AuditEvent/{NOBODY}"),
    ] {
        refused(desk.ask(Method::GET, &path).send().await.unwrap(), 404, "nothing is here").await;
    }
    let path = format!("AuditEvent/{id}");
    refused(as_client(desk, "research", &path).await, 404, "nothing is here").await;
    // No client writes what the ledger says.
    let answer = desk.send(Method::PUT, &path, &event.to_string()).await;
    assert!(answer.status().is_client_error(), "{}", answer.status());
}

/// What comes while a client reads on moves no page.
async fn pages_stay_as_they_were(desk: &Desk<'_>, patient: &str) {
    let query = format!("AuditEvent?patient={patient}");
    let before = desk.get(&format!("{query}&_count=200")).await;
    let mut seen = Vec::new();
    let mut next = Some(format!("{query}&_count=3"));
    while let Some(url) = next {
        let page = desk.get(&url).await;
        seen.extend(entries(&page).iter().map(|it| it["fullUrl"].to_string()));
        next = next_of(&page);
        desk.get(&format!("Patient/{patient}")).await;
    }
    // The first page is one look more.
    assert_eq!(seen.len(), entries(&before).len() + 1);
    let unlike: BTreeSet<_> = seen.iter().collect();
    assert_eq!(unlike.len(), seen.len(), "{seen:?}");
    let old: Vec<_> = entries(&before).iter().map(|it| it["fullUrl"].to_string()).collect();
    assert_eq!(seen[1..], old);
}

async fn events_that_were_sent_are_beside_them(desk: &Desk<'_>, patient: &str) {
    let path = format!("Patient/{patient}");
    let event = json!({
        "resourceType": "AuditEvent", "recorded": "2026-11-02T10:00:00Z",
        "type": { "system": "http://terminology.hl7.org/CodeSystem/audit-event-type", "code": "rest" },
        "agent": [{ "requestor": true, "who": { "display": "another system" } }],
        "source": { "observer": { "display": "another system" } },
        "entity": [{ "what": { "reference": path } }],
    });
    let weight = json!({
        "resourceType": "Observation", "status": "final", "subject": { "reference": path },
        "code": { "coding": [{ "system": "http://loinc.org", "code": "29463-7" }] },
    });
    let post = |it: Value| {
        let url = it["resourceType"].clone();
        json!({ "resource": it, "request": { "method": "POST", "url": url } })
    };
    let bundle = json!({
        "resourceType": "Bundle", "type": "transaction", "entry": [post(weight), post(event)],
    });
    let answer = desk.send(Method::POST, "", &bundle.to_string()).await;
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 200, "{text}");
    let found = desk.get(&format!("AuditEvent?patient={patient}&_count=200")).await;
    let is_sent = |it: &&Value| it["resource"]["source"]["observer"]["display"] == "another system";
    let sent: Vec<_> = entries(&found).iter().filter(is_sent).collect();
    assert_eq!(sent.len(), 1, "{found}");
    assert!(entries(&found).len() > 1, "{found}");
    assert_eq!(desk.get(sent[0]["fullUrl"].as_str().unwrap()).await, sent[0]["resource"]);
}

async fn what_cannot_be_asked_is_refused(desk: &Desk<'_>, patient: &str) {
    let query = format!("AuditEvent?patient={patient}");
    refused(as_client(desk, "front", &query).await, 403, "scope").await;
    for path in ["AuditEvent", "AuditEvent?date=ge2020-01-01"] {
        let answer = desk.ask(Method::GET, path).send().await.unwrap();
        refused(answer, 403, "patient=ID").await;
    }
    for more in ["colour=red", "_page=1", "_page=1.2.3.4", "date=yesterday", "_count=x"] {
        let ask = desk.ask(Method::GET, &format!("{query}&{more}"));
        let answer = ask.header("prefer", "handling=strict").send().await.unwrap();
        assert_eq!(answer.status(), 400, "{more}: {}", answer.text().await.unwrap());
    }
}

async fn origins_are_told_with_what_they_are_of(desk: &Desk<'_>, patient: &str) {
    let path = format!("Patient/{patient}");
    let mut weight = json!({
        "resourceType": "Observation", "status": "final", "subject": { "reference": path },
        "code": { "text": "weight" },
    });
    let id = created(desk, &weight).await;
    weight["id"] = id.as_str().into();
    weight["status"] = "amended".into();
    let put = desk.send(Method::PUT, &format!("Observation/{id}"), &weight.to_string()).await;
    assert_eq!(put.status(), 200);
    let query = format!("Provenance?target=Observation/{id}");
    let found = desk.get(&query).await;
    assert_eq!(entries(&found).len(), 2, "{found}");
    let of = |version: u32| {
        let target = format!("Observation/{id}/_history/{version}");
        let mut all = entries(&found).iter().map(|it| &it["resource"]);
        all.find(|it| it["target"][0]["reference"] == target.as_str()).unwrap().clone()
    };
    for (version, activity) in [(1, "originate"), (2, "amend")] {
        let origin = of(version);
        assert_eq!(origin["activity"]["coding"][0]["code"], activity, "{origin}");
        assert!(origin["agent"][0]["onBehalfOf"]["reference"].is_string(), "{origin}");
        let path = format!("Provenance/{}", origin["id"].as_str().unwrap());
        assert_eq!(desk.get(&path).await, origin);
        for client in ["research", "glass"] {
            refused(as_client(desk, client, &path).await, 404, "nothing is here").await;
        }
    }
    assert!(of(2).to_string().contains(&format!("Observation/{id}/_history/1")), "{}", of(2));
    // The patient's own record has an origin as well, and what is not here has none.
    let found = desk.get(&format!("Provenance?patient={patient}")).await;
    let target = found["entry"][0]["resource"]["target"][0]["reference"].as_str().unwrap();
    assert!(target.starts_with(&path) && entries(&found).len() == 1, "{found}");
    let none = desk.get(&format!("Provenance?target=Observation/{NOBODY}")).await;
    assert_eq!(entries(&none).len(), 0, "{none}");

    let both = format!("Observation?patient={patient}&_id={id}&_revinclude=Provenance:target");
    let found = desk.get(&both).await;
    let types: Vec<_> =
        entries(&found).iter().map(|it| it["resource"]["resourceType"].clone()).collect();
    assert_eq!(types, ["Observation", "Provenance", "Provenance"], "{found}");
    let found = desk.get(&format!("Patient/{patient}/Observation?_id={id}")).await;
    assert_eq!(entries(&found).len(), 1, "{found}");
    for client in ["research", "glass"] {
        let none: Value = as_client(desk, client, &query).await.json().await.unwrap();
        assert_eq!(entries(&none).len(), 0, "{none}");
    }
    refused(as_client(desk, "front", &query).await, 403, "scope").await;
}

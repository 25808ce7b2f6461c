//! A hospital's gateway beside a pilot: what a system of the hospital sends is sealed and final, what it reads is an access
//! that the patient sees, and what it may not see is not there.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    fs,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use common::{
    PATIENCE, Pilot, Place,
    desk::{Desk, header, pilot, refused},
    keepwell, scratch,
};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

#[test]
fn the_gateways_of_a_pilot_are_asked_as_it_says() {
    let home = scratch();
    let dir = home.path().join("a pilot");
    let mut pilot = Pilot::begin_with(&dir, &["--patients", "2", "--gateways"]).until_up();
    let said = pilot.process.said();
    let lines: Vec<_> = said.lines().collect();
    let mut asked = Vec::new();
    for pair in lines.windows(2).filter(|it| it[0].starts_with("  TOKEN=")) {
        let done = Command::new("sh").args(["-c", &pair.join("\n")]).output().unwrap();
        let answer = serde_json::from_slice(&done.stdout);
        let answer: Value = answer.unwrap_or_else(|_| panic!("{pair:?}: {done:?}"));
        assert_eq!(answer["type"], "searchset", "{answer}");
        asked.push(answer["entry"].as_array().map_or(0, Vec::len));
    }
    // The hospital's has the patients who have not claimed their charts; the clinic's has none yet.
    assert!(asked.len() == 2 && asked[0] > 0 && asked[1] == 0, "{asked:?}: {said}");
    let agent = pilot.place().path("people/agent");
    let quota = ["match", "quota", "--as", &agent];
    keepwell(&quota).refused(&["another program has it open"]);
    assert!(pilot.process.interrupt().success(), "{}", pilot.process.said());
}

#[test]
fn a_system_reads_and_writes_records_over_fhir() {
    let home = scratch();
    let mut pilot = pilot(home.path());
    let dir = pilot.dir.clone();
    let mut desk = Desk::start(Place { dir: &dir });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        strangers_get_nothing(&desk).await;
        let patient = what_was_loaded_is_found(&desk).await;
        let (own, observation) = what_is_sent_comes_back(&desk).await;
        versions_follow_one_another(&desk, &observation).await;
        what_is_there_is_not_made_twice(&desk).await;
        what_cannot_be_is_refused(&desk, &patient, &own).await;
    });
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());

    // The same, from the ledger and the custodians alone.
    fs::remove_dir_all(dir.join("gateways/hospital/index")).unwrap();
    desk.process = Desk::run(&desk.place, &desk.config);
    desk.token = desk.token_of("ehr");
    runtime.block_on(async {
        let found = desk.get("Patient?identifier=urn:mrn|4711").await;
        assert_eq!(found["entry"].as_array().unwrap().len(), 1, "{found}");
        let id = found["entry"][0]["resource"]["id"].as_str().unwrap().to_owned();
        let found =
            desk.get(&format!("Observation?patient={id}&code=http://loinc.org|29463-7")).await;
        assert_eq!(found["entry"].as_array().unwrap().len(), 1, "{found}");
        assert_eq!(found["entry"][0]["resource"]["meta"]["versionId"], "3", "{found}");
    });
    let rebuild = ["gateway", "rebuild", "--config", &desk.config];
    keepwell(&rebuild).refused(&["another program has it open"]);
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    let rebuilt = keepwell(&rebuild).ok();
    assert!(!rebuilt.stdout.starts_with("0 "), "{rebuilt:?}");
    // No path, no id and no query is in the log.
    for word in ["Observation", "4711", "Patient/"] {
        assert!(!desk.process.said().contains(word), "{}", desk.process.said());
    }
    assert!(pilot.process.interrupt().success());
}

async fn strangers_get_nothing(desk: &Desk<'_>) {
    let open = Client::new();
    let metadata: Value =
        open.get(format!("{}/metadata", desk.base)).send().await.unwrap().json().await.unwrap();
    assert_eq!(metadata["fhirVersion"], "4.0.1");
    let smart = open.get(format!("{}/.well-known/smart-configuration", desk.base)).send().await;
    let smart: Value = smart.unwrap().json().await.unwrap();
    assert_eq!(smart["token_endpoint"], format!("{}/auth/token", desk.base));
    for token in ["", "00", "not a token"] {
        let url = format!("{}/Patient", desk.base);
        let answer = open.get(url).bearer_auth(token).send().await.unwrap();
        assert_eq!(header(&answer, "www-authenticate"), "Bearer");
        refused(answer, 401, "five minutes").await;
    }
    let reader = desk.token_of("reader");
    let url = format!("{}/Patient", desk.base);
    let answer = open.post(url).bearer_auth(reader).body("{}").send().await.unwrap();
    refused(answer, 403, "scope").await;
    let key = desk.place.path("gateways/hospital/reader/key.pem");
    let other = ["gateway", "token", "--base", &desk.base, "--id", "ehr", "--key", &key];
    keepwell(&other).refused(&["gives no token"]);
}

/// The pilot's patients, page by page; returns the id of one.
async fn what_was_loaded_is_found(desk: &Desk<'_>) -> String {
    let first = desk.get("Patient?_count=1&_sort=family").await;
    assert_eq!(first["entry"].as_array().unwrap().len(), 1, "{first}");
    let next = first["link"].as_array().unwrap().iter().find(|it| it["relation"] == "next");
    assert!(next.is_some(), "{first}");
    let second = desk.get(next.unwrap()["url"].as_str().unwrap()).await;
    let ids = [&first, &second].map(|it| it["entry"][0]["resource"]["id"].as_str().unwrap());
    assert_ne!(ids[0], ids[1]);
    let id = ids[0].to_owned();
    let found = desk.get(&format!("Observation?patient={id}&_sort=-date&_count=5")).await;
    let entries = found["entry"].as_array().unwrap();
    assert!(!entries.is_empty(), "{found}");
    for entry in entries {
        let url = entry["fullUrl"].as_str().unwrap();
        assert_eq!(desk.get(url).await, entry["resource"]);
        let subject = entry["resource"]["subject"]["reference"].as_str().unwrap();
        assert!(subject.ends_with(&id), "{subject}");
    }
    id
}

/// A patient and a weight of theirs; returns their ids.
async fn what_is_sent_comes_back(desk: &Desk<'_>) -> (String, String) {
    let patient = r#"{ "resourceType": "Patient", "identifier": [{"system":"urn:mrn","value":"4711"}], "name": [{"family":"Grønn"}] }"#;
    let answer = desk.send(Method::POST, "Patient", patient).await;
    assert_eq!(answer.status(), 201);
    assert_eq!(header(&answer, "etag"), "W/\"1\"");
    let location = header(&answer, "location");
    let url = location.strip_suffix("/_history/1").unwrap().to_owned();
    let id = url.rsplit_once('/').unwrap().1.to_owned();
    assert_eq!(desk.get(&url).await["name"][0]["family"], "Grønn");
    for query in ["identifier=urn:mrn|4711", "family=Grø", "name:exact=Grønn", "_id=ID"] {
        let found = desk.get(&format!("Patient?{}", query.replace("ID", &id))).await;
        assert_eq!(found["entry"].as_array().map(Vec::len), Some(1), "{query}: {found}");
    }

    let weight = format!(
        r#"{{"resourceType":"Observation","status":"final","code":{{"coding":[{{"system":"http://loinc.org","code":"29463-7"}}]}},"subject":{{"reference":"Patient/{id}"}},"effectiveDateTime":"2026-11-02","valueQuantity":{{"value":72.50,"unit":"kg"}}}}"#
    );
    let answer = desk.send(Method::POST, "Observation", &weight).await;
    assert_eq!(answer.status(), 201);
    let location = header(&answer, "location");
    let observation = location.strip_suffix("/_history/1").unwrap().to_owned();
    let text = desk.ask(Method::GET, &observation).send().await.unwrap().text().await.unwrap();
    // Decimals and order come back as they were sent.
    assert!(text.contains(r#""valueQuantity":{"value":72.50,"unit":"kg"}"#), "{text}");
    let again = desk.ask(Method::GET, &observation).header("if-none-match", "W/\"1\"");
    assert_eq!(again.send().await.unwrap().status(), 304);
    (id, observation)
}

async fn versions_follow_one_another(desk: &Desk<'_>, url: &str) {
    let first = desk.ask(Method::GET, url).send().await.unwrap().text().await.unwrap();
    let second = first.replace("72.50", "73.0");
    let put = |body: &str, tag: &str| {
        desk.ask(Method::PUT, url).header("if-match", tag.to_owned()).body(body.to_owned()).send()
    };
    let answer = put(&second, "W/\"1\"").await.unwrap();
    assert_eq!((answer.status().as_u16(), header(&answer, "etag")), (200, "W/\"2\"".into()));
    refused(put(&first, "W/\"1\"").await.unwrap(), 412, "version 2 is the newest").await;
    // Of two at once the ledger takes one.
    let (one, two) = tokio::join!(put(&first, "W/\"2\""), put(&second, "W/\"2\""));
    let mut statuses = [one, two].map(|it| it.unwrap().status().as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412]);

    let old = desk.get(&format!("{url}/_history/1")).await;
    assert_eq!(old["valueQuantity"]["value"].to_string(), "72.50");
    let history = desk.get(&format!("{url}/_history")).await;
    let versions: Vec<_> = history["entry"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["resource"]["meta"]["versionId"].as_str().unwrap())
        .collect();
    assert_eq!(versions, ["3", "2", "1"]);
    let answer = desk.ask(Method::GET, &format!("{url}/_history/9")).send().await.unwrap();
    refused(answer, 404, "nothing is here that you may read").await;
}

/// Conditional creates, one after the other and two at once.
async fn what_is_there_is_not_made_twice(desk: &Desk<'_>) {
    let create = |value: &str| {
        let body = json!({
            "resourceType": "Patient", "identifier": [{ "system": "urn:mrn", "value": value }],
        });
        let condition = format!("identifier=urn:mrn|{value}");
        desk.ask(Method::POST, "Patient")
            .header("if-none-exist", condition)
            .body(body.to_string())
            .send()
    };
    assert_eq!(create("4711").await.unwrap().status(), 200);
    let (one, two) = tokio::join!(create("4712"), create("4712"));
    let mut statuses = [one, two].map(|it| it.unwrap().status().as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 201]);
    let found = desk.get("Patient?identifier=urn:mrn|4712").await;
    assert_eq!(found["entry"].as_array().unwrap().len(), 1, "{found}");
}

async fn what_cannot_be_is_refused(desk: &Desk<'_>, patient: &str, own: &str) {
    let observation = |subject: &str| {
        json!({
            "resourceType": "Observation", "status": "final", "code": { "text": "weight" },
            "subject": { "reference": subject },
        })
        .to_string()
    };
    let about_nobody =
        r#"{"resourceType":"Observation","status":"final","code":{"text":"weight"}}"#;
    for (path, body, status, words) in [
        ("Observation", "{".to_owned(), 400, "complete"),
        ("Observation", "{\"resourceType\":\"Patient\"}".into(), 400, "their type"),
        ("Observation", observation("Patient/nobody"), 422, "create the Patient first"),
        (
            "Observation",
            observation("https://elsewhere.example/Patient/1"),
            422,
            "create the Patient",
        ),
        ("Organization", "{\"resourceType\":\"Organization\"}".into(), 404, "about no patient"),
        ("Observation", about_nobody.into(), 422, "names no patient"),
        ("Observation", "{\"resourceType\":\"Observation\"}".into(), 422, "Observation.status"),
        ("Nothing", "{}".into(), 404, "no resource type"),
    ] {
        refused(desk.send(Method::POST, path, &body).await, status, words).await;
    }
    for (path, status, words) in [
        ("Observation?code=29463-7", 403, "name the patient"),
        ("Observation?patient=1&nothing=1", 200, "nothing"),
        ("Observation/no such id", 400, "an id has"),
        ("Observation?_page=x", 400, "next links"),
        ("Patient?birthdate=soon", 400, "a date such as"),
        ("Patient/nobody", 404, "nothing is here that you may read"),
        ("Patient?_summary=count", 400, "counted"),
    ] {
        let answer = desk.ask(Method::GET, path).send().await.unwrap();
        let given = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        assert!(given == status && text.contains(words), "{path}: {given} {text}");
    }
    let strict = desk.ask(Method::GET, "Patient?nothing=1").header("prefer", "handling=strict");
    refused(strict.send().await.unwrap(), 400, "nothing").await;
    let answer = desk.ask(Method::DELETE, &format!("Patient/{own}")).send().await.unwrap();
    refused(answer, 405, "redact").await;
    let large =
        format!("{{\"resourceType\":\"Patient\",\"x\":\"{}\"}}", "x".repeat(17 * 1024 * 1024));
    refused(desk.send(Method::POST, "Patient", &large).await, 413, "parts").await;
    let xml = desk
        .ask(Method::GET, &format!("Patient/{patient}"))
        .header("accept", "application/fhir+xml");
    refused(xml.send().await.unwrap(), 406, "only JSON").await;
}

#[test]
fn a_patient_sees_who_asked_and_takes_the_chart_away() {
    let home = scratch();
    let mut pilot = pilot(home.path());
    let dir = pilot.dir.clone();
    let mut desk = Desk::start(Place { dir: &dir });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let patient = runtime.block_on(async {
        let found = desk.get("Patient?_count=1").await;
        found["entry"][0]["resource"]["id"].as_str().unwrap().to_owned()
    });
    // Whose chart it is: the one whose log has the accesses of the physician.
    let officer = desk.place.person("officer");
    let pilots = desk.place.toml("pilot.toml");
    let seen = |chart: &str| {
        let audit = keepwell(&["audit", "--as", &officer, chart, "--json"]).ok();
        audit.json().to_string().matches("TREAT").count()
    };
    let charts: Vec<_> = pilots["patients"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["chart"].as_str().unwrap().to_owned())
        .collect();
    // The gateway's own reading is the key agent's, and says so.
    let audit = keepwell(&["audit", "--as", &officer, &charts[charts.len() - 1]]).ok().stdout;
    assert!(audit.contains("HOPERAT") && !audit.contains("by the patient"), "{audit}");
    let before: Vec<_> = charts.iter().map(|it| seen(it)).collect();
    runtime.block_on(desk.get(&format!("Patient/{patient}")));
    let after: Vec<_> = charts.iter().map(|it| seen(it)).collect();
    let grown: usize = before.iter().zip(&after).map(|(before, after)| after - before).sum();
    assert_eq!(grown, 1, "one read is one access: {before:?} {after:?}");

    // What the ledger refuses is not there, whatever the index has, and the refusal is kept.
    let research = desk.token_of("research");
    let treats = std::mem::replace(&mut desk.token, research);
    runtime.block_on(async {
        for path in ["Patient/ID", "Patient/ID/_history/1", "Patient/ID/_history"] {
            let path = path.replace("ID", &patient);
            let answer = desk.ask(Method::GET, &path).send().await.unwrap();
            refused(answer, 404, "nothing is here that you may read").await;
        }
        for query in ["Patient?_id=ID", "Observation?patient=ID&_count=3", "Patient"] {
            let found = desk.get(&query.replace("ID", &patient)).await;
            assert_eq!(found["entry"], Value::Null, "{found}");
            assert_eq!(found["link"].as_array().unwrap().len(), 1, "{found}");
        }
        let put = json!({ "resourceType": "Patient", "id": patient }).to_string();
        refused(
            desk.send(Method::PUT, &format!("Patient/{patient}"), &put).await,
            404,
            "may change",
        )
        .await;
    });
    let audit = charts.iter().map(|it| keepwell(&["audit", "--as", &officer, it]).ok().stdout);
    assert!(audit.collect::<String>().matches("HRESCH").count() > 5);
    desk.token = treats;

    let mine = before.iter().zip(&after).position(|(before, after)| before != after).unwrap();
    keys_that_change_are_followed(&mut desk, &runtime, (&charts[mine], &patient));

    // The patient takes the chart over: the gateway forgets it.
    let letter = &pilots["patients"][mine];
    let (code, file) = (letter["code"].as_str().unwrap(), letter["letter"].as_str().unwrap());
    claim(&desk.place, home.path(), (file, code));
    let start = Instant::now();
    while runtime.block_on(status_of(&desk, &patient)) != 404 {
        assert!(start.elapsed() < PATIENCE, "{}", desk.process.said());
        thread::sleep(Duration::from_millis(500));
    }
    drop(desk);
    assert!(pilot.process.interrupt().success());
}

/// After an emergency records are sealed to other keys than before: a gateway that wrote shortly before does so too.
fn keys_that_change_are_followed(
    desk: &mut Desk<'_>,
    runtime: &Runtime,
    (chart, patient): (&str, &str),
) {
    let emergency = |what: &str, who: &str, rest: &[&str]| {
        let who = desk.place.person(who);
        let asked = [&["emergency", what, "--as", &who, "--chart", chart], rest].concat();
        keepwell(&[&asked[..], &["--json"]].concat()).ok().json()["emergency"].to_string()
    };
    // The agent's profile is the gateway's while it runs.
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    emergency("prepare", "agent", &["--compartment", "normal"]);
    desk.process = Desk::run(&desk.place, &desk.config);
    desk.token = desk.token_of("ehr");
    let weight = json!({
        "resourceType": "Observation", "status": "final", "code": { "text": "weight" },
        "subject": { "reference": format!("Patient/{patient}") },
    });
    let writes = async || {
        let answer = desk.send(Method::POST, "Observation", &weight.to_string()).await;
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    };
    runtime.block_on(writes());
    let position = emergency("break", "clinician", &["--reason", "danger"]);
    emergency("second", "physician", &[&position]);
    emergency("close", "clinician", &[&position]);
    runtime.block_on(writes());
    let parts = [&weight, &weight]
        .map(|it| json!({ "resource": it, "request": { "method": "POST", "url": "Observation" } }));
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": parts });
    let answer = runtime.block_on(desk.send(Method::POST, "", &bundle.to_string()));
    assert_eq!(answer.status(), 200);
}

async fn status_of(desk: &Desk<'_>, patient: &str) -> u16 {
    let answer = desk.ask(Method::GET, &format!("Patient/{patient}")).send().await.unwrap();
    answer.status().as_u16()
}

/// A new wallet claims the chart of a letter.
fn claim(place: &Place<'_>, home: &Path, (letter, code): (&str, &str)) {
    let wallet = home.join("wallet");
    let (wallet, like) = (wallet.to_str().unwrap(), place.person("agent"));
    let operator = place.path("operator.key");
    keepwell(&["wallet", "new", "--dir", wallet, "--like", &like, "--operator-file", &operator])
        .ok();
    keepwell(&["chart", "claim", "--as", wallet, "--letter", letter, "--code", code]).ok();
}

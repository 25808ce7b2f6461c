//! Bulk exports from a pilot's gateway (Bulk Data Access 2.0): what a system may read, and nothing else, as files that are
//! for it alone, also where it gives up, goes on later, or the gateway is started again meanwhile.
//!
//! A bulk client of others (`smart-fetch`) exports too, where it can be installed.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
    time::{Duration, Instant},
};

use common::{
    PATIENCE, Place,
    desk::{Desk, header, pilot, refused},
    installed::{self, said},
    scratch,
};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, time::sleep};

/// A system that asks, with a token of its own.
struct System {
    http: Client,
    base: String,
    token: String,
}

impl System {
    fn of(desk: &Desk<'_>, id: &str) -> Self {
        Self { http: desk.http.clone(), base: desk.base.clone(), token: desk.token_of(id) }
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        let is_url = path.starts_with("http");
        let url = if is_url { path.to_owned() } else { format!("{}/{path}", self.base) };
        self.http.request(method, url).bearer_auth(&self.token)
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.ask(Method::GET, path).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert_eq!(status, 200, "{path}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn send(&self, path: &str, body: &str) -> Response {
        let ask = self.ask(Method::POST, path).header("content-type", "application/fhir+json");
        ask.body(body.to_owned()).send().await.unwrap()
    }
}

/// What files have, by type and id.
type Exported = BTreeMap<(String, String), Value>;

#[test]
fn a_system_exports_what_it_may_read() {
    let home = scratch();
    let mut pilot = pilot(home.path());
    let dir = pilot.dir.clone();
    let mut desk = Desk::start(Place { dir: &dir });
    let runtime = Runtime::new().unwrap();
    let system = System::of(&desk, "ehr");
    let before = runtime.block_on(async {
        let group = a_group(&system).await;
        what_cannot_be_exported_is_refused(&system, &desk).await;
        let all = all_that_may_be_read_is_exported(&system, &group).await;
        less_is_exported_if_less_is_asked_for(&system, &all).await;
        let all = exported(&system, "$export").await;
        a_group_is_its_members(&system, &all, &group).await;
        what_is_refused_is_absent(&desk).await;
        an_export_is_its_clients(&system, &desk).await;
        a_file_is_sent_in_parts(&system).await;
        so_many_are_under_way_at_once(&system).await;
        all
    });
    a_client_of_others_exports(&desk, &before);

    // Stopped in the middle, it goes on.
    let status = runtime.block_on(begun(&system, kick_off(&system, "$export")));
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    let config = fs::read_to_string(&desk.config).unwrap();
    let config = config.replace("follow_s = 1\n", "follow_s = 1\nexports_kept_s = 3\n");
    fs::write(&desk.config, config).unwrap();
    desk.process = Desk::run(&desk.place, &desk.config);
    let system = System::of(&desk, "ehr");
    runtime.block_on(async {
        let manifest = done(&system, &status).await;
        let after = files(&system, &manifest).await;
        assert_eq!(kinds(&after), kinds(&before), "it is all there, once");
        // And once it is over, nothing is there.
        sleep(Duration::from_secs(5)).await;
        refused(system.ask(Method::GET, &status).send().await.unwrap(), 404, "nothing is here")
            .await;
        let file = manifest["output"][0]["url"].as_str().unwrap();
        refused(system.ask(Method::GET, file).send().await.unwrap(), 404, "nothing is here").await;
    });
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    for word in ["Observation", "Patient/", "bulk/"] {
        assert!(!desk.process.said().contains(word), "{}", desk.process.said());
    }
    assert!(pilot.process.interrupt().success());
}

fn kick_off(system: &System, path: &str) -> RequestBuilder {
    system.ask(Method::GET, path).header("prefer", "respond-async")
}

fn with_parameters(system: &System, path: &str, parameters: &Value) -> RequestBuilder {
    let body = json!({ "resourceType": "Parameters", "parameter": parameters });
    system
        .ask(Method::POST, path)
        .header("prefer", "respond-async")
        .header("content-type", "application/fhir+json")
        .body(body.to_string())
}

/// Where an export says how it stands.
async fn begun(system: &System, request: RequestBuilder) -> String {
    let answer = begun_with(request).await;
    let status = header(&answer, "content-location");
    assert!(status.starts_with(&format!("{}/bulk/", system.base)), "{status}");
    status
}

async fn begun_with(request: RequestBuilder) -> Response {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    assert_eq!(status, 202, "{}", answer.text().await.unwrap());
    answer
}

/// The manifest of an export, once it is done.
async fn done(system: &System, status: &str) -> Value {
    let until = Instant::now() + PATIENCE;
    loop {
        let answer = system.ask(Method::GET, status).send().await.unwrap();
        match answer.status().as_u16() {
            202 => {
                assert!(header(&answer, "x-progress").ends_with(" resources so far"));
                let pause = header(&answer, "retry-after").parse().unwrap();
                assert!(Instant::now() < until, "it is not done");
                sleep(Duration::from_secs(pause)).await;
            }
            200 => {
                assert!(header(&answer, "content-type").starts_with("application/json"));
                assert!(header(&answer, "expires").ends_with(" GMT"));
                let manifest: Value = answer.json().await.unwrap();
                assert_eq!(manifest["requiresAccessToken"], true);
                assert_eq!((&manifest["error"], &manifest["deleted"]), (&json!([]), &json!([])));
                return manifest;
            }
            _ => panic!("{}", answer.text().await.unwrap()),
        }
    }
}

async fn files(system: &System, manifest: &Value) -> Exported {
    let mut all = Exported::new();
    for output in manifest["output"].as_array().unwrap() {
        let (of, url) = (output["type"].as_str().unwrap(), output["url"].as_str().unwrap());
        let answer = system.ask(Method::GET, url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "content-type"), "application/fhir+ndjson");
        let length: usize = header(&answer, "content-length").parse().unwrap();
        let text = answer.text().await.unwrap();
        assert_eq!((text.len(), text.ends_with('\n')), (length, true));
        assert_eq!(output["count"], text.lines().count(), "{of}");
        for line in text.lines() {
            let resource: Value = serde_json::from_str(line).unwrap();
            assert_eq!(resource["resourceType"], of);
            let id = resource["id"].as_str().unwrap().to_owned();
            let twice = all.insert((of.to_owned(), id), resource);
            assert!(twice.is_none(), "{of} is there twice");
        }
    }
    all
}

/// What an export comes to.
async fn exported(system: &System, path: &str) -> Exported {
    let status = begun(system, kick_off(system, path)).await;
    let manifest = done(system, &status).await;
    assert_eq!(manifest["request"], format!("{}/{path}", system.base));
    let all = files(system, &manifest).await;
    ended(system, &status).await;
    all
}

async fn ended(system: &System, status: &str) {
    let answer = system.ask(Method::DELETE, status).send().await.unwrap();
    assert_eq!(answer.status(), 202);
    refused(system.ask(Method::GET, status).send().await.unwrap(), 404, "nothing is here").await;
}

fn kinds(all: &Exported) -> Vec<&(String, String)> {
    all.keys().collect()
}

fn of_type<'e>(all: &'e Exported, of: &str) -> BTreeMap<&'e str, &'e Value> {
    let own = all.iter().filter(|((it, _), _)| it == of);
    own.map(|((_, id), resource)| (id.as_str(), resource)).collect()
}

/// A new patient with a group of them and of the pilot's first: the group's id, and the members'.
async fn a_group(system: &System) -> (String, BTreeSet<String>) {
    let found = system.get("Patient?_count=1").await;
    let first = found["entry"][0]["resource"]["id"].as_str().unwrap().to_owned();
    let entry = |url: &str, resource: Value| {
        let request = json!({ "method": "POST", "url": resource["resourceType"] });
        json!({ "fullUrl": url, "resource": resource, "request": request })
    };
    let own = "urn:uuid:00000000-0000-4000-8000-000000000001";
    let member = |reference: &str| json!({ "entity": { "reference": reference } });
    let mut over = member("Patient/gone");
    over["inactive"] = json!(true);
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [
        entry(own, json!({ "resourceType": "Patient", "name": [{ "family": "Bulk" }] })),
        entry("urn:uuid:00000000-0000-4000-8000-000000000002", json!({
            "resourceType": "Group", "type": "person", "actual": true,
            "member": [member(own), member(&format!("Patient/{first}")), member("Patient/nobody"), over],
        })),
        entry("urn:uuid:00000000-0000-4000-8000-000000000003", json!({
            "resourceType": "Observation", "status": "final", "subject": { "reference": own },
            "code": { "coding": [{ "system": "http://loinc.org", "code": "29463-7" }] },
            "valueQuantity": { "value": 72.50, "unit": "kg" },
        })),
    ]});
    let answer = system.send("", &bundle.to_string()).await;
    let text = answer.text().await.unwrap();
    let bundle: Value = serde_json::from_str(&text).unwrap();
    let id = |at: usize| {
        let location = bundle["entry"][at]["response"]["location"].as_str();
        let location = location.unwrap_or_else(|| panic!("{text}"));
        location.rsplit('/').nth(2).unwrap().to_owned()
    };
    (id(1), [id(0), first].into())
}

async fn what_cannot_be_exported_is_refused(system: &System, desk: &Desk<'_>) {
    let synchronous = system.ask(Method::GET, "$export").send().await.unwrap();
    refused(synchronous, 400, "respond-async").await;
    for (path, status, words) in [
        ("$export?_outputFormat=text/csv", 400, "application/fhir+ndjson"),
        ("$export?_type=Nothing", 400, "_type=Nothing"),
        ("$export?_since=yesterday", 400, "_since"),
        ("$export?_typeFilter=Observation%3Fnothing%3D1", 400, "_typeFilter"),
        ("$export?_typeFilter=Observation%3Fsubject.name%3Dx", 400, "_typeFilter"),
        ("$export?_elements=a.b.c", 400, "_elements"),
        ("$export?includeAssociatedData=LatestProvenanceResources", 400, "handling=lenient"),
        ("Patient/$export?patient=Patient/1", 400, "POST"),
        ("Group/nobody/$export", 404, "nothing is here"),
        ("Group/$export", 404, "not defined there"),
        ("Patient/1/$export", 404, "not defined there"),
        ("Observation/$export", 404, "not defined there"),
    ] {
        refused(kick_off(system, path).send().await.unwrap(), status, words).await;
    }
    let patient = json!([{ "name": "patient", "valueReference": { "reference": "Patient/1" } }]);
    let of_all = with_parameters(system, "$export", &patient).send().await.unwrap();
    refused(of_all, 400, "Patient/$export").await;
    let none = system.ask(Method::POST, "$export").header("prefer", "respond-async").body("{}");
    refused(none.send().await.unwrap(), 400, "Parameters").await;
    let out = kick_off(&System::of(desk, "front"), "$export?_type=Observation");
    refused(out.send().await.unwrap(), 403, "scope").await;

    // What is not served is left out, if that is preferred, and told.
    let path = "$export?_type=Nothing,Patient&includeAssociatedData=LatestProvenanceResources";
    let lenient = system.ask(Method::GET, path).header("prefer", "respond-async, handling=lenient");
    let answer = begun_with(lenient).await;
    let status = header(&answer, "content-location");
    let told: Value = answer.json().await.unwrap();
    assert_eq!(told["issue"].as_array().map(Vec::len), Some(2), "{told}");
    let all = files(system, &done(system, &status).await).await;
    assert_eq!(all.len(), of_type(&all, "Patient").len());
    ended(system, &status).await;
}

async fn all_that_may_be_read_is_exported(
    system: &System,
    group: &(String, BTreeSet<String>),
) -> Exported {
    let all = exported(system, "$export").await;
    let patients = of_type(&all, "Patient");
    assert!(patients.len() > 2 && all.len() > 50, "{} of {}", patients.len(), all.len());
    // As it is found and read, and as often.
    let mut observations = BTreeSet::new();
    for id in patients.keys() {
        let mut next = Some(format!("Observation?patient={id}&_count=200"));
        while let Some(path) = next {
            let page = system.get(&path).await;
            for entry in page["entry"].as_array().into_iter().flatten() {
                let id = entry["resource"]["id"].as_str().unwrap();
                assert_eq!(all[&("Observation".into(), id.to_owned())], entry["resource"]);
                observations.insert(id.to_owned());
            }
            let links = page["link"].as_array().unwrap();
            let link = links.iter().find(|it| it["relation"] == "next");
            next = link.map(|it| it["url"].as_str().unwrap().to_owned());
        }
    }
    let found: BTreeSet<_> = of_type(&all, "Observation").keys().map(|&it| it.to_owned()).collect();
    assert_eq!(found, observations);
    // Whoever looked is told, by one entry for the three records of a chart.
    let own = group
        .1
        .iter()
        .find(|id| all[&("Patient".into(), (*id).clone())]["name"][0]["family"] == "Bulk");
    let events = format!("AuditEvent?patient={}&_count=200", own.unwrap());
    let count = async || system.get(&events).await["entry"].as_array().map_or(0, Vec::len);
    let before = count().await;
    let again = exported(system, "$export").await;
    assert_eq!(kinds(&again), kinds(&all));
    assert_eq!(count().await, before + 2, "one of the export, and one of looking");
    let by_all = exported(system, "Patient/$export").await;
    assert_eq!(kinds(&by_all), kinds(&all));
    all
}

async fn less_is_exported_if_less_is_asked_for(system: &System, all: &Exported) {
    let some = exported(system, "$export?_type=Patient,Observation").await;
    let wanted = of_type(all, "Patient").len() + of_type(all, "Observation").len();
    assert_eq!(some.len(), wanted);
    for (path, is_wanted) in [
        (
            "$export?_type=Observation&_typeFilter=Observation%3Fcode%3Dhttp://loinc.org%257C29463-7",
            "29463-7",
        ),
        (
            "$export?_type=Observation&_typeFilter=Observation%3Fcode%3Dnothing,Observation%3Fcode%3D29463-7",
            "29463-7",
        ),
    ] {
        let some = exported(system, path).await;
        let expected: BTreeSet<_> = of_type(all, "Observation")
            .into_iter()
            .filter(|(_, it)| it["code"].to_string().contains(is_wanted))
            .map(|(id, _)| id.to_owned())
            .collect();
        let found: BTreeSet<_> = some.keys().map(|(_, id)| id.clone()).collect();
        assert!(!found.is_empty(), "{path}");
        assert_eq!(found, expected, "{path}");
    }
    let parts = exported(system, "$export?_type=Patient&_elements=Patient.birthDate").await;
    for patient in parts.values() {
        let tags = patient["meta"]["tag"].as_array().unwrap();
        assert!(tags.iter().any(|it| it["code"] == "SUBSETTED"), "{patient}");
        assert!(patient.get("name").is_none() && patient.get("id").is_some(), "{patient}");
    }
    let future = exported(system, "$export?_since=2999-01-01T00:00:00Z").await;
    assert!(future.is_empty());
    let past = exported(system, "$export?_until=1999-01-01T00:00:00Z").await;
    assert!(past.is_empty());
    // What comes after an export is in the next one since.
    let status = begun(system, kick_off(system, "$export?_type=Patient")).await;
    let time = done(system, &status).await["transactionTime"].as_str().unwrap().to_owned();
    ended(system, &status).await;
    let patient = r#"{"resourceType":"Patient","name":[{"family":"Later"}]}"#;
    let answer = system.send("Patient", patient).await;
    assert_eq!(answer.status(), 201);
    let later: Value = answer.json().await.unwrap();
    let since = exported(system, &format!("Patient/$export?_since={time}&_type=Patient")).await;
    assert_eq!(kinds(&since), [&("Patient".into(), later["id"].as_str().unwrap().to_owned())]);
}

async fn a_group_is_its_members(
    system: &System,
    all: &Exported,
    (group, members): &(String, BTreeSet<String>),
) {
    let path = format!("Group/{group}/$export");
    let of_group = exported(system, &path).await;
    let found: BTreeSet<_> =
        of_type(&of_group, "Patient").keys().map(|&it| it.to_owned()).collect();
    assert_eq!(&found, members);
    assert!(of_group.len() < all.len() && of_group.contains_key(&("Group".into(), group.clone())));
    let one = members.first().unwrap();
    let named = |ids: &[&str]| {
        let of = |id: &&str| json!({ "name": "patient", "valueReference": { "reference": format!("Patient/{id}") } });
        Value::from(ids.iter().map(of).collect::<Vec<_>>())
    };
    for path in [&*path, "Patient/$export"] {
        let of_one = with_parameters(system, path, &named(&[one, "nobody"]));
        let status = begun(system, of_one).await;
        let of_one = files(system, &done(system, &status).await).await;
        let found: Vec<_> = of_type(&of_one, "Patient").into_keys().collect();
        assert_eq!(found, [one]);
        ended(system, &status).await;
    }
}

async fn what_is_refused_is_absent(desk: &Desk<'_>) {
    for (client, is_empty) in [("glass", true), ("front", false)] {
        let system = System::of(desk, client);
        let all = exported(&system, "$export").await;
        assert_eq!(all.len(), of_type(&all, "Patient").len(), "{client}");
        assert_eq!(all.is_empty(), is_empty, "{client}");
    }
}

async fn an_export_is_its_clients(system: &System, desk: &Desk<'_>) {
    let status = begun(system, kick_off(system, "$export")).await;
    let manifest = done(system, &status).await;
    let file = manifest["output"][0]["url"].as_str().unwrap();
    let other = desk.token_of("reader");
    for (method, url) in
        [(Method::GET, status.as_str()), (Method::DELETE, &status), (Method::GET, file)]
    {
        let ask = system.http.request(method.clone(), url).bearer_auth(&other);
        refused(ask.send().await.unwrap(), 404, "nothing is here").await;
        let nobody = system.http.request(method, url);
        refused(nobody.send().await.unwrap(), 401, "who asks").await;
    }
    let narrow = desk.token_for("ehr", "system/Patient.rs");
    let ask = system.http.get(file).bearer_auth(narrow);
    refused(ask.send().await.unwrap(), 403, "scope").await;
    for path in [
        "/0.ndjson",
        "/999.ndjson",
        "/1",
        "/../../metadata/x",
        "/..%2f..%2findex.db",
        "/1.ndjson%00",
    ] {
        let answer = system.ask(Method::GET, &format!("{status}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{path}");
    }
    assert_eq!(system.ask(Method::PUT, &status).send().await.unwrap().status(), 405);
    // It is still there.
    assert_eq!(system.ask(Method::HEAD, file).send().await.unwrap().status(), 200);
    ended(system, &status).await;
    refused(system.ask(Method::GET, file).send().await.unwrap(), 404, "nothing is here").await;
    refused(system.ask(Method::DELETE, &status).send().await.unwrap(), 404, "nothing is here")
        .await;
}

async fn a_file_is_sent_in_parts(system: &System) {
    let status = begun(system, kick_off(system, "$export?_type=Observation")).await;
    let manifest = done(system, &status).await;
    let file = manifest["output"][0]["url"].as_str().unwrap();
    let whole = system.ask(Method::GET, file).send().await.unwrap();
    let tag = header(&whole, "etag");
    assert_eq!(header(&whole, "accept-ranges"), "bytes");
    let whole = whole.bytes().await.unwrap();
    let middle = whole.len() / 2;
    for (range, tag, part) in [
        (format!("bytes=0-{}", middle - 1), &tag, Some(0..middle)),
        (format!("bytes={middle}-"), &tag, Some(middle..whole.len())),
        ("bytes=-1".into(), &tag, Some(whole.len() - 1..whole.len())),
        (format!("bytes={middle}-"), &"\"other\"".to_owned(), None),
    ] {
        let ask = system.ask(Method::GET, file).header("range", &range).header("if-range", tag);
        let answer = ask.send().await.unwrap();
        match part {
            Some(part) => {
                assert_eq!(answer.status(), 206, "{range}");
                let expected = format!("bytes {}-{}/{}", part.start, part.end - 1, whole.len());
                assert_eq!(header(&answer, "content-range"), expected);
                assert_eq!(answer.bytes().await.unwrap(), &whole[part]);
            }
            None => assert_eq!(answer.bytes().await.unwrap(), whole, "{range}"),
        }
    }
    let beyond = format!("bytes={}-", whole.len());
    let beyond = system.ask(Method::GET, file).header("range", beyond).send().await.unwrap();
    assert_eq!(beyond.status(), 416);
    assert_eq!(header(&beyond, "content-range"), format!("bytes */{}", whole.len()));
    ended(system, &status).await;
}

async fn so_many_are_under_way_at_once(system: &System) {
    let one = begun(system, kick_off(system, "$export")).await;
    let two = begun(system, kick_off(system, "$export")).await;
    assert_ne!(one, two);
    let three = kick_off(system, "$export").send().await.unwrap();
    assert_eq!(header(&three, "retry-after"), "5");
    refused(three, 429, "under way").await;
    // One that is ended in the middle makes room.
    ended(system, &one).await;
    let three = begun(system, kick_off(system, "$export")).await;
    let all = [&two, &three];
    let mut found = Vec::new();
    for status in all {
        let manifest = done(system, status).await;
        let exported = files(system, &manifest).await;
        found.push(exported.into_keys().collect::<Vec<_>>());
        ended(system, status).await;
    }
    assert_eq!(found[0], found[1]);
}

/// The bulk client of others, by its own key.
fn a_client_of_others_exports(desk: &Desk<'_>, before: &Exported) {
    let Some(folder) = installed::python_of("bulk.txt") else { return };
    let to = scratch();
    let token = to.path().join("token");
    fs::write(&token, desk.token_of("ehr")).unwrap();
    let program = folder.join("venv/bin/smart-fetch");
    let mut command = Command::new(program);
    command
        .args(["bulk", "--no-compression", "--no-default-filters", "--type", "Patient,Observation"])
        .args(["--fhir-url", &desk.base, "--bearer-token"])
        .arg(&token)
        .arg(to.path().join("out"))
        .env("HOME", to.path());
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", said(&done));
    for of in ["Patient", "Observation"] {
        let files = fs::read_dir(to.path().join("out")).unwrap().map(|it| it.unwrap().path());
        let own = files.filter(|it| it.file_name().unwrap().to_str().unwrap().starts_with(of));
        let lines: usize = own.map(|it| fs::read_to_string(it).unwrap().lines().count()).sum();
        assert!(lines >= of_type(before, of).len() && lines > 0, "{of}: {lines}\n{}", said(&done));
    }
}

//! Subscriptions at a pilot's gateway (Subscriptions R5 Backport 1.1): what is new in a chart and who looked is told to
//! whoever may read it, once and in order, whoever is away or killed meanwhile, and to nobody else and nowhere else.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use common::{
    PATIENCE, Place,
    desk::{Desk, header, pilot, refused},
    keepwell, scratch,
};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const GUIDE: &str = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/";
const RECORD: &str = "urn:keepwell:SubscriptionTopic/chart-record";
const ACCESS: &str = "urn:keepwell:SubscriptionTopic/chart-access";
/// What the listener is sent with each notification, and nobody else sees.
const SECRET: &str = "Bearer 5c1f0e-secret-of-the-ward";

/// Who listens, and takes what comes or does not.
#[derive(Clone)]
struct Listener {
    address: String,
    is_down: Arc<Mutex<bool>>,
    /// Paths, heads and bodies of what was taken.
    taken: Arc<Mutex<Vec<(String, String, Value)>>>,
}

impl Listener {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let all = Self { address, is_down: Arc::default(), taken: Arc::default() };
        let serving = all.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                // Who came may be gone.
                serving.answer(stream.unwrap()).unwrap_or(());
            }
        });
        all
    }

    fn answer(&self, stream: TcpStream) -> std::io::Result<()> {
        if *self.is_down.lock().unwrap() {
            return Ok(());
        }
        let mut reader = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let small = head.to_lowercase();
        let length = small.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        reader.read_exact(&mut body)?;
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let stream = reader.get_mut();
        if path == "/redirect" {
            let to = format!("Location: http://{}/elsewhere\r\n", self.address);
            return write!(stream, "HTTP/1.1 307 Go\r\n{to}Content-Length: 0\r\n\r\n");
        }
        self.taken.lock().unwrap().push((path, head, serde_json::from_slice(&body).unwrap()));
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    }

    fn is_down(&self, is_down: bool) {
        *self.is_down.lock().unwrap() = is_down;
    }

    /// What was taken at a path, of one kind.
    fn told(&self, path: &str, kind: &str) -> Vec<Value> {
        let all = self.taken.lock().unwrap();
        let at = all.iter().filter(|it| it.0 == path).map(|it| it.2.clone());
        at.filter(|it| parameter(&it["entry"][0]["resource"], "type") == kind).collect()
    }

    /// Numbers and focus of the events that were taken at a path, in their order.
    fn events(&self, path: &str) -> Vec<(u64, String)> {
        self.told(path, "event-notification").iter().flat_map(events_in).collect()
    }

    /// Waits for so many events.
    fn wait_for(&self, path: &str, count: usize) -> Vec<(u64, String)> {
        let start = Instant::now();
        loop {
            let events = self.events(path);
            if events.len() >= count {
                return events;
            }
            assert!(start.elapsed() < PATIENCE, "{path} was told of {events:?} alone");
            thread::sleep(Duration::from_millis(50));
        }
    }
}

fn parameter(status: &Value, name: &str) -> String {
    let all = status["parameter"].as_array().unwrap();
    let one = all.iter().find(|it| it["name"] == name).unwrap_or_else(|| panic!("{status}"));
    let value = one.as_object().unwrap().iter().find(|(name, _)| name.starts_with("value"));
    value.unwrap().1.as_str().unwrap().to_owned()
}

fn events_in(bundle: &Value) -> Vec<(u64, String)> {
    let all = bundle["entry"][0]["resource"]["parameter"].as_array().unwrap();
    let events = all.iter().filter(|it| it["name"] == "notificationEvent");
    let of = |part: &Value| {
        let part = part["part"].as_array().unwrap();
        let named = |name| part.iter().find(|it| it["name"] == name);
        let number = named("eventNumber").unwrap()["valueString"].as_str().unwrap();
        let focus = named("focus").map(|it| it["valueReference"]["reference"].clone());
        (number.parse().unwrap(), focus.map_or(String::new(), |it| it.as_str().unwrap().to_owned()))
    };
    events.map(of).collect()
}

fn subscription(topic: &str, filter: &str, endpoint: &str) -> Value {
    json!({
        "resourceType": "Subscription", "status": "requested", "reason": "results for the ward",
        "criteria": topic,
        "_criteria": { "extension": [
            { "url": format!("{GUIDE}backport-filter-criteria"), "valueString": filter },
        ] },
        "channel": {
            "type": "rest-hook", "endpoint": endpoint, "payload": "application/fhir+json",
            "header": [format!("Authorization: {SECRET}")],
        },
    })
}

async fn subscribed(desk: &Desk<'_>, subscription: &Value) -> String {
    let answer = desk.send(Method::POST, "Subscription", &subscription.to_string()).await;
    assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    let location = header(&answer, "location");
    let made: Value = answer.json().await.unwrap();
    assert_eq!(made["status"], "requested", "{made}");
    assert!(!made.to_string().contains("secret"), "{made}");
    assert!(location.ends_with(made["id"].as_str().unwrap()), "{location}");
    made["id"].as_str().unwrap().to_owned()
}

async fn until(desk: &Desk<'_>, id: &str, status: &str) -> Value {
    let start = Instant::now();
    loop {
        let now = desk.get(&format!("Subscription/{id}")).await;
        if now["status"] == status {
            return now;
        }
        assert!(start.elapsed() < PATIENCE, "it never was {status}: {now}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn created(desk: &Desk<'_>, resource: &Value) -> String {
    let of = resource["resourceType"].as_str().unwrap();
    let answer = desk.send(Method::POST, of, &resource.to_string()).await;
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 201, "{text}");
    let id = serde_json::from_str::<Value>(&text).unwrap()["id"].as_str().unwrap().to_owned();
    format!("{}/{of}/{id}", desk.base)
}

async fn weighed(desk: &Desk<'_>, patient: &str, status: &str) -> String {
    let subject = json!({ "reference": format!("Patient/{patient}") });
    let weight = json!({
        "resourceType": "Observation", "status": status, "subject": subject,
        "code": { "coding": [{ "system": "http://loinc.org", "code": "29463-7" }] },
    });
    created(desk, &weight).await
}

async fn as_client(desk: &Desk<'_>, id: &str, path: &str) -> Response {
    let token = desk.token_of(id);
    desk.http.get(format!("{}/{path}", desk.base)).bearer_auth(token).send().await.unwrap()
}

fn restart(desk: &mut Desk<'_>) {
    desk.process = Desk::run(&desk.place, &desk.config);
    desk.token = desk.token_of("ehr");
}

#[test]
fn what_is_new_is_told_to_whoever_may_see_it() {
    let home = scratch();
    let mut pilot = pilot(home.path());
    let dir = pilot.dir.clone();
    let mut desk = Desk::start(Place { dir: &dir });
    let runtime = Runtime::new().unwrap();
    let listener = Listener::start();
    let url = |path: &str| format!("http://{}{path}", listener.address);

    // Without a list nothing is sent anywhere.
    let nobody = subscription(RECORD, "patient=Patient/1", &url("/ward"));
    let answer = runtime.block_on(desk.send(Method::POST, "Subscription", &nobody.to_string()));
    runtime.block_on(refused(answer, 422, "operator lists"));

    // A chart that the organisation keeps, and in which others ask.
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    let pilots = desk.place.toml("pilot.toml");
    let is_open = |it: &&toml::Value| it.get("letter").is_some();
    let open = pilots["patients"].as_array().unwrap().iter().find(is_open).unwrap();
    let chart = open["chart"].as_str().unwrap();
    let (agent, clinician) = (desk.place.person("agent"), desk.place.person("clinician"));
    let shown = keepwell(&["chart", "show", "--as", &agent, chart]).ok();
    let normal = shown.word_after("normal is compartment ");
    let request = [
        "--json",
        "grant",
        "request",
        "--as",
        &clinician,
        "--chart",
        chart,
        "--compartment",
        &normal,
    ];
    let request = keepwell(&request).ok().json()["request"].as_str().unwrap().to_owned();
    let ward = desk.place.path("gateways/hospital/ward");
    keepwell(&["gateway", "client", "--id", "ward", "--to", &ward]).ok();
    let client = "\n[[clients]]\nid = \"ward\"\nkeys = \"ward/keys.json\"\n\
        member = \"../../people/physician\"\npurpose = \"TREAT\"\nscopes = [\"system/*.cruds\"]\n";
    let privacy = desk.place.path("gateways/hospital/privacy");
    keepwell(&["gateway", "client", "--id", "privacy", "--to", &privacy]).ok();
    let officer = client.replace("ward", "privacy").replace("physician", "officer");
    let config = fs::read_to_string(&desk.config).unwrap();
    let list = format!("\n[subscriptions]\nendpoints = [{:?}]\n", listener.address);
    fs::write(&desk.config, format!("{config}{client}{officer}{list}")).unwrap();
    restart(&mut desk);
    let patient = runtime.block_on(whose(&desk, &request));

    let of = |path: &str| {
        subscription(
            RECORD,
            &format!("Observation?patient=Patient/{patient}&status=final"),
            &url(path),
        )
    };
    runtime.block_on(what_may_not_be_told_is_refused(&desk, &of, &patient));
    let looks = subscription(ACCESS, &format!("patient=Patient/{patient}"), &url("/looks"));
    let [one, who, other] = runtime.block_on(async {
        let one = subscribed(&desk, &of("/ward")).await;
        until(&desk, &one, "active").await;
        let who = subscribed(&desk, &looks).await;
        until(&desk, &who, "active").await;
        // Another client of the same member.
        let ward = desk.token_of("ward");
        let token = std::mem::replace(&mut desk.token, ward);
        let other = subscribed(&desk, &of("/other")).await;
        until(&desk, &other, "active").await;
        desk.token = token;
        [one, who, other]
    });
    let handshake = listener.told("/ward", "handshake");
    assert_eq!(handshake.len(), 1, "{handshake:?}");
    assert!(listener.taken.lock().unwrap().iter().all(|it| it.1.contains(SECRET)));

    // One event for a record that is wanted; none for one that is not.
    let first = runtime.block_on(async {
        weighed(&desk, &patient, "preliminary").await;
        weighed(&desk, &patient, "final").await
    });
    assert_eq!(listener.wait_for("/ward", 1), [(1, first.clone())]);
    let bundle = &listener.told("/ward", "event-notification")[0];
    assert_eq!(bundle["type"], "history", "{bundle}");
    assert!(bundle["entry"][1].get("resource").is_none(), "it shows nothing: {bundle}");

    // An access by another member.
    thread::sleep(Duration::from_secs(3));
    let before = listener.events("/looks");
    let looked = runtime.block_on(as_client(&desk, "privacy", &format!("Patient/{patient}")));
    let outcome = if looked.status() == 200 { "0" } else { "8" };
    let seen = listener.wait_for("/looks", before.len() + 1);
    // To read what is told of one access is another one, and told as well.
    let event = runtime.block_on(desk.get(&seen[before.len()].1));
    assert_eq!(
        (&event["resourceType"], &event["outcome"]),
        (&json!("AuditEvent"), &json!(outcome))
    );
    let own = runtime.block_on(desk.get(&seen[0].1));
    assert_ne!(event["agent"], own["agent"], "it is another member");

    // Who listens is away, and the gateway is killed: all comes, in order, once it can.
    listener.is_down(true);
    let second = runtime.block_on(weighed(&desk, &patient, "final"));
    thread::sleep(Duration::from_secs(2));
    desk.process.kill();
    restart(&mut desk);
    let third = runtime.block_on(weighed(&desk, &patient, "final"));
    thread::sleep(Duration::from_secs(2));
    listener.is_down(false);
    let all = [(1, first), (2, second), (3, third)];
    assert_eq!(listener.wait_for("/ward", 3), all);
    assert_eq!(listener.wait_for("/other", 3), all);

    runtime.block_on(async {
        let told = desk.get(&format!("Subscription/{one}/$events")).await;
        assert_eq!(events_in(&told), all);
        let some = format!("Subscription/{one}/$events?eventsSinceNumber=2&eventsUntilNumber=2");
        assert_eq!(events_in(&desk.get(&some).await), all[1..2]);
        let empty = desk.get(&format!("{some}&content=empty")).await;
        assert_eq!(events_in(&empty), [(2, String::new())]);
        let status = desk.get(&format!("Subscription/{one}/$status")).await;
        let status = &status["entry"][0]["resource"];
        assert_eq!(parameter(status, "eventsSinceSubscriptionStart"), "3");
        assert_eq!(parameter(status, "status"), "active");
        another_sees_nothing(&desk, &one, &other).await;
        a_redirect_is_not_followed(&desk, &of("/redirect"), &listener).await;
    });

    // The index is built again: subscriptions stay, and nothing is told twice.
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    keepwell(&["gateway", "rebuild", "--config", &desk.config]).ok();
    restart(&mut desk);
    let fourth = runtime.block_on(weighed(&desk, &patient, "final"));
    let all = [&all[..], &[(4, fourth)]].concat();
    assert_eq!(listener.wait_for("/ward", 4), all);
    let numbers: Vec<_> = listener.events("/looks").iter().map(|it| it.0).collect();
    let gapless: Vec<_> = (1..).take(numbers.len()).collect();
    assert_eq!(numbers, gapless, "accesses have no gaps either");

    // What its client may not do any more, a subscription does not either.
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    let config = fs::read_to_string(&desk.config).unwrap();
    let less = client.replace("system/*.cruds", "system/Subscription.cruds");
    fs::write(&desk.config, config.replace(client, &less)).unwrap();
    // And what the patient's chart does not allow, nobody is told.
    restart(&mut desk);
    runtime.block_on(async {
        let ward = desk.token_of("ward");
        let token = std::mem::replace(&mut desk.token, ward);
        let ended = desk.get(&format!("Subscription/{other}")).await;
        assert_eq!(ended["status"], "error", "{ended}");
        assert!(ended["error"].as_str().unwrap().contains("registered"), "{ended}");
        desk.token = token;
    });
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    let hospital = desk.place.organisation("hospital");
    let whom = ["--deny", "--organisation", &hospital, "--compartment", "normal"];
    let deny = [&["grant", "give", "--as", &agent, "--chart", chart][..], &whom].concat();
    keepwell(&deny).ok();
    restart(&mut desk);
    runtime.block_on(async {
        weighed(&desk, &patient, "final").await;
        let ended = until(&desk, &one, "error").await;
        assert!(ended["error"].as_str().unwrap().contains("may not see"), "{ended}");
        let told = desk.get(&format!("Subscription/{one}/$events")).await;
        let focus: String = events_in(&told).into_iter().map(|it| it.1).collect();
        assert_eq!(focus, "", "{told}");
        an_end_is_an_end(&desk, &one, &who).await;
    });
    assert_eq!(listener.events("/ward"), all, "nothing more was told");
    assert!(listener.told("/elsewhere", "handshake").is_empty());
    assert!(desk.process.interrupt().success(), "{}", desk.process.said());
    let said = desk.process.said();
    for word in ["Observation", "Patient/", "secret", "/ward", &listener.address, &one] {
        assert!(!said.contains(word), "{word} is in the log: {said}");
    }
    assert!(pilot.process.interrupt().success());
}

/// The patient in whose chart something was asked for.
async fn whose(desk: &Desk<'_>, request: &str) -> String {
    let patients = desk.get("Patient?_count=50").await;
    for patient in patients["entry"].as_array().unwrap() {
        let id = patient["resource"]["id"].as_str().unwrap();
        if desk.get(&format!("Task?patient={id}")).await.to_string().contains(request) {
            return id.to_owned();
        }
    }
    panic!("nobody was asked for anything: {patients}");
}

async fn what_may_not_be_told_is_refused(
    desk: &Desk<'_>,
    of: &impl Fn(&str) -> Value,
    patient: &str,
) {
    let at = |endpoint: &str| subscription(RECORD, &format!("patient=Patient/{patient}"), endpoint);
    let mut full = of("/ward");
    let whole =
        json!({ "url": format!("{GUIDE}backport-payload-content"), "valueCode": "full-resource" });
    full["channel"]["_payload"] = json!({ "extension": [whole] });
    let nobody = subscription(
        RECORD,
        "patient=Patient/nobody",
        of("/x")["channel"]["endpoint"].as_str().unwrap(),
    );
    for (sent, status, words) in [
        (full, 400, "before anybody's access"),
        (at("http://127.0.0.1:1/x"), 422, "operator lists"),
        (at("https://10.0.0.1/x"), 422, "operator lists"),
        (at("https://169.254.169.254/latest"), 422, "operator lists"),
        (at("https://localhost/x"), 422, "operator lists"),
        (at("https://a@127.0.0.1/x"), 400, "without a user"),
        (nobody, 404, "nothing is here"),
    ] {
        let answer = desk.send(Method::POST, "Subscription", &sent.to_string()).await;
        refused(answer, status, words).await;
    }
    let entry =
        json!({ "resource": of("/ward"), "request": { "method": "POST", "url": "Subscription" } });
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [entry] });
    refused(desk.send(Method::POST, "", &bundle.to_string()).await, 422, "by itself").await;
}

async fn another_sees_nothing(desk: &Desk<'_>, one: &str, other: &str) {
    for path in ["", "/$status", "/$events"] {
        let path = format!("Subscription/{one}{path}");
        refused(as_client(desk, "ward", &path).await, 404, "nothing is here").await;
    }
    let found: Value = as_client(desk, "ward", "Subscription").await.json().await.unwrap();
    let ids: Vec<_> = found["entry"].as_array().unwrap().iter().collect();
    assert_eq!((ids.len(), &ids[0]["resource"]["id"]), (1, &json!(other)), "{found}");
    let found: Value = as_client(desk, "ward", "Subscription/$status").await.json().await.unwrap();
    assert!(!found.to_string().contains(one), "{found}");
    let token = desk.token_of("ward");
    let gone = desk.http.delete(format!("{}/Subscription/{one}", desk.base)).bearer_auth(token);
    refused(gone.send().await.unwrap(), 404, "nothing is here").await;
}

async fn a_redirect_is_not_followed(desk: &Desk<'_>, sent: &Value, listener: &Listener) {
    let id = subscribed(desk, sent).await;
    let ended = until(desk, &id, "error").await;
    assert!(ended["error"].as_str().unwrap().contains("redirects"), "{ended}");
    assert!(!listener.taken.lock().unwrap().iter().any(|it| it.0 == "/elsewhere"));
    let found = desk.get("Subscription?status=error").await;
    assert_eq!(found["total"], 1, "{found}");
}

/// What has ended is begun again after an error, and ended for good by whoever made it.
async fn an_end_is_an_end(desk: &Desk<'_>, one: &str, who: &str) {
    let path = format!("Subscription/{one}");
    let mut shown = desk.get(&path).await;
    shown["status"] = json!("off");
    let answer = desk.send(Method::PUT, &path, &shown.to_string()).await;
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    assert_eq!(desk.get(&path).await["status"], "off");
    shown["status"] = json!("requested");
    refused(desk.send(Method::PUT, &path, &shown.to_string()).await, 422, "begins no more").await;
    shown["reason"] = json!("another one");
    refused(desk.send(Method::PUT, &path, &shown.to_string()).await, 422, "only the status").await;
    for id in [one, who] {
        let path = format!("Subscription/{id}");
        let gone = desk.ask(Method::DELETE, &path).send().await.unwrap();
        assert_eq!(gone.status(), 204);
        refused(desk.ask(Method::GET, &path).send().await.unwrap(), 404, "nothing is here").await;
    }
}

//! Goal: what is subscribed to is what was asked for, and it goes nowhere but where it may. Method: tables, most of
//! whose lines are hostile.

use core::net::IpAddr;

use super::{
    endpoint::{EndpointError, HeaderError, Listed, headers, is_public},
    notification::{Event, Kind, Notification},
    *,
};

const BASE: &str = "https://g.example/fhir";

fn subscription() -> Value {
    json!({
        "resourceType": "Subscription", "status": "requested", "reason": "results for the ward",
        "criteria": Topic::ChartRecord.canonical(),
        "_criteria": { "extension": [{
            "url": own("backport-filter-criteria"),
            "valueString": "Observation?patient=Patient/1&status=final",
        }] },
        "channel": {
            "type": "rest-hook", "endpoint": "https://hooks.example.org/fhir?a=b",
            "payload": "application/fhir+json",
            "header": ["Authorization: Bearer secret"],
        },
    })
}

fn parse(value: &Value) -> Result<Subscription, Outcome> {
    Subscription::parse(value.to_string().as_bytes(), BASE, 0)
}

fn with(pointer: &str, name: &str, value: Value) -> Value {
    let mut all = subscription();
    let into = all.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
    into.insert(name.to_owned(), value);
    all
}

fn filtered(topic: Topic, filters: &[&str]) -> Result<Subscription, Outcome> {
    let all: Vec<_> = filters
        .iter()
        .map(|it| json!({ "url": own("backport-filter-criteria"), "valueString": it }))
        .collect();
    let mut value = with("", "_criteria", json!({ "extension": all }));
    value["criteria"] = json!(topic.canonical());
    parse(&value)
}

#[test]
fn only_a_listed_host_is_told_and_its_name_is_read_in_one_way() {
    use EndpointError::{NotListed, Open, Unreadable};
    let listed = [
        "hooks.example.org",
        "lab.example.org:8443",
        "ward.example.org=10.0.0.7",
        "127.0.0.1:9000",
        "localhost:9000=127.0.0.1",
        "[::1]:9000",
        "203.0.113.7",
    ];
    let listed = Listed::parse(listed).unwrap();
    let long = format!("https://hooks.example.org/{}", "a".repeat(1_024));
    for (text, expected) in [
        ("https://hooks.example.org/fhir?a=b", Ok(())),
        ("https://hooks.example.org", Ok(())),
        ("https://hooks.example.org:443/x", Ok(())),
        ("https://lab.example.org:8443/x", Ok(())),
        ("https://ward.example.org/x", Ok(())),
        ("https://203.0.113.7/x", Ok(())),
        ("http://127.0.0.1:9000/x", Ok(())),
        ("http://localhost:9000/x", Ok(())),
        ("http://[::1]:9000/x", Ok(())),
        ("http://hooks.example.org:443/x", Err(Open)),
        ("http://ward.example.org:443/x", Err(Open)),
        ("http://hooks.example.org/x", Err(NotListed)),
        ("https://lab.example.org/x", Err(NotListed)),
        ("https://lab.example.org:9443/x", Err(NotListed)),
        ("https://hooks.example.org.evil.example/x", Err(NotListed)),
        ("https://example.org/x", Err(NotListed)),
        ("https://10.0.0.7/x", Err(NotListed)),
        ("https://169.254.169.254/latest/meta-data", Err(NotListed)),
        ("http://127.0.0.1:9001/x", Err(NotListed)),
        ("https://[::ffff:127.0.0.1]/x", Err(NotListed)),
        ("https://hooks.example.org@evil.example/x", Err(Unreadable)),
        ("https://user:pass@hooks.example.org/x", Err(Unreadable)),
        ("https://hooks.example.org\\@evil.example/x", Err(Unreadable)),
        ("https://hooks.example.org#@evil.example/x", Err(Unreadable)),
        ("https://hooks.example.org\t/x", Err(Unreadable)),
        ("https://hooks.example.org/a b", Err(Unreadable)),
        ("https://hooks.example.org/\r\nHost: evil.example", Err(Unreadable)),
        ("https://HOOKS.example.org/x", Err(Unreadable)),
        ("https://hooks.example.org./x", Err(Unreadable)),
        ("https://hooks%2eexample.org/x", Err(Unreadable)),
        ("https://höoks.example.org/x", Err(Unreadable)),
        ("https://hooks.example.org:0443/x", Err(Unreadable)),
        ("https://hooks.example.org:0/x", Err(Unreadable)),
        ("https://hooks.example.org:/x", Err(Unreadable)),
        ("https://hooks.example.org:443:443/x", Err(Unreadable)),
        ("https://2130706433/x", Err(Unreadable)),
        ("https://127.1/x", Err(Unreadable)),
        ("https://0x7f.0.0.1/x", Err(Unreadable)),
        ("https://0x7f000001/x", Err(Unreadable)),
        ("https://0177.0.0.1/x", Err(Unreadable)),
        ("https://[::1%25lo]/x", Err(Unreadable)),
        ("https:///x", Err(Unreadable)),
        ("https:hooks.example.org", Err(Unreadable)),
        ("//hooks.example.org/x", Err(Unreadable)),
        ("HTTPS://hooks.example.org/x", Err(Unreadable)),
        ("ftp://hooks.example.org/x", Err(Unreadable)),
        ("file:///etc/passwd", Err(Unreadable)),
        ("gopher://127.0.0.1:9000/x", Err(Unreadable)),
        (&long, Err(Unreadable)),
        ("", Err(Unreadable)),
    ] {
        let found = Endpoint::parse(text).and_then(|it| listed.check(&it));
        assert_eq!(found, expected, "{text}");
        let nowhere = Endpoint::parse(text).and_then(|it| Listed::default().check(&it));
        assert!(nowhere.is_err(), "without a list nothing is sent anywhere: {text}");
    }
    for bad in [
        "",
        "*",
        "*.example.org",
        "https://a.example",
        "a.example:0",
        "a.example=b",
        "127.0.0.1=10.0.0.1",
        "a.example/x",
        "A.example",
        "10.0.0.0/8",
    ] {
        assert!(Listed::parse([bad]).is_err(), "{bad}");
    }
}

#[test]
fn a_name_leads_out_of_every_network_unless_the_operator_said_where() {
    let listed = Listed::parse(["hooks.example.org", "ward.example.org=10.0.0.7"]).unwrap();
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let found = [ip("127.0.0.1"), ip("93.184.216.34"), ip("10.0.0.1")];
    assert_eq!(listed.allowed("hooks.example.org", &found), [ip("93.184.216.34")]);
    assert_eq!(listed.allowed("ward.example.org", &found), [ip("10.0.0.7")]);
    assert!(listed.allowed("evil.example", &found).is_empty());
    assert!(listed.knows("ward.example.org") && !listed.knows("hooks.example.org"));
    for (address, expected) in [
        ("93.184.216.34", true),
        ("1.1.1.1", true),
        ("172.32.0.1", true),
        ("100.128.0.1", true),
        ("2606:2800:220:1::1", true),
        ("2a00:1450::1", true),
        ("0.0.0.0", false),
        ("0.1.2.3", false),
        ("10.0.0.1", false),
        ("100.64.0.1", false),
        ("127.0.0.1", false),
        ("127.255.255.254", false),
        ("169.254.169.254", false),
        ("172.16.0.1", false),
        ("172.31.255.255", false),
        ("192.0.0.1", false),
        ("192.0.2.1", false),
        ("192.88.99.1", false),
        ("192.168.1.1", false),
        ("198.18.0.1", false),
        ("198.19.255.255", false),
        ("198.51.100.1", false),
        ("203.0.113.1", false),
        ("224.0.0.1", false),
        ("240.0.0.1", false),
        ("255.255.255.255", false),
        ("::", false),
        ("::1", false),
        ("::ffff:127.0.0.1", false),
        ("::ffff:93.184.216.34", false),
        ("::127.0.0.1", false),
        ("64:ff9b::7f00:1", false),
        ("64:ff9b:1::1", false),
        ("100::1", false),
        ("2001::1", false),
        ("2001:db8::1", false),
        ("2002:7f00:1::", false),
        ("3fff::1", false),
        ("fc00::1", false),
        ("fd12:3456::1", false),
        ("fe80::1", false),
        ("fec0::1", false),
        ("ff02::1", false),
    ] {
        assert_eq!(is_public(ip(address)), expected, "{address}");
    }
}

#[test]
fn headers_say_nothing_of_where_a_request_goes() {
    use HeaderError::{NotYours, TooMany, Twice, Unreadable};
    let long = format!("X-Key: {}", "a".repeat(4_096));
    let read = |text: &str| headers(text.split('|')).map(|it| it.len());
    for (text, expected) in [
        ("Authorization: Bearer abc.def", Ok(1)),
        ("X-Ward:7|X-Shift: night and day", Ok(2)),
        ("Authorization: a|authorization: b", Err(Twice)),
        ("Host: evil.example", Err(NotYours)),
        ("hOsT: evil.example", Err(NotYours)),
        ("Content-Length: 0", Err(NotYours)),
        ("Transfer-Encoding: chunked", Err(NotYours)),
        ("Proxy-Authorization: Basic x", Err(NotYours)),
        ("X-Forwarded-For: 127.0.0.1", Err(NotYours)),
        ("Connection: close", Err(NotYours)),
        ("X-A: b\r\nHost: evil.example", Err(Unreadable)),
        ("X-A: b\nX-C: d", Err(Unreadable)),
        ("X-A\r\n: b", Err(Unreadable)),
        ("X-A: b\0", Err(Unreadable)),
        ("X-A: \u{e9}", Err(Unreadable)),
        (" X-A: b", Err(Unreadable)),
        ("X A: b", Err(Unreadable)),
        (": b", Err(Unreadable)),
        ("X-A:", Err(Unreadable)),
        ("X-A", Err(Unreadable)),
        ("", Err(Unreadable)),
        ("A: 1|B: 1|C: 1|D: 1|E: 1|F: 1|G: 1|H: 1|I: 1", Err(TooMany)),
        (&long, Err(TooMany)),
    ] {
        assert_eq!(read(text), expected, "{text:?}");
    }
}

#[test]
fn a_subscription_is_read_whole_or_refused_at_its_element() {
    let read = parse(&subscription()).unwrap();
    assert_eq!((read.content, read.timeout_s, read.count_max), (Content::IdOnly, 10, 100));
    assert_eq!((read.patient.as_str(), read.types().len()), ("1", 1));
    let extension = |name: &str, field: &str, value: Value| {
        with("/channel", "extension", json!([{ "url": own(name), field: value }]))
    };
    let content = |code: &str| {
        let one = json!({ "url": own("backport-payload-content"), "valueCode": code });
        with("/channel", "_payload", json!({ "extension": [one] }))
    };
    for (value, is_good) in [
        (with("", "status", json!("off")), true),
        (with("", "end", json!("2030-01-01T00:00:00Z")), true),
        (with("", "contact", json!([{ "system": "email", "value": "it@example.org" }])), true),
        (content("empty"), true),
        (content("id-only"), true),
        (extension("backport-heartbeat-period", "valueUnsignedInt", json!(60)), true),
        (extension("backport-timeout", "valueUnsignedInt", json!(30)), true),
        (extension("backport-max-count", "valuePositiveInt", json!(1)), true),
        (content("full-resource"), false),
        (content("everything"), false),
        (extension("backport-heartbeat-period", "valueUnsignedInt", json!(1)), false),
        (extension("backport-timeout", "valueUnsignedInt", json!(31)), false),
        (extension("backport-timeout", "valueUnsignedInt", json!("5")), false),
        (extension("backport-max-count", "valuePositiveInt", json!(0)), false),
        (extension("backport-max-count", "valuePositiveInt", json!(1.5)), false),
        (extension("backport-else", "valueCode", json!("x")), false),
        (with("", "status", json!("entered-in-error")), false),
        (with("", "resourceType", json!("Observation")), false),
        (with("", "reason", json!(" ")), false),
        (with("", "reason", json!("a".repeat(2_000))), false),
        (with("", "end", json!("tomorrow")), false),
        (with("", "criteria", json!("Observation?status=final")), false),
        (with("", "modifierExtension", json!([])), false),
        (with("", "extension", json!([{ "url": "urn:x" }])), false),
        (with("", "contained", json!([])), false),
        (with("/channel", "type", json!("websocket")), false),
        (with("/channel", "payload", json!("application/fhir+xml")), false),
        (with("/channel", "endpoint", json!("")), false),
        (with("/channel", "header", json!([7])), false),
        (with("/channel", "retries", json!(7)), false),
    ] {
        assert_eq!(parse(&value).is_ok(), is_good, "{value}");
    }
    let twice = r#"{"resourceType":"Subscription","status":"requested","status":"off"}"#;
    let deep = "[".repeat(100_000);
    for bad in ["", "{}", "[]", "null", twice, &deep] {
        assert!(Subscription::parse(bad.as_bytes(), BASE, 0).is_err(), "{bad:.40}");
    }
}

#[test]
fn filters_are_of_one_patient_and_of_resources_by_themselves() {
    use Topic::{ChartAccess, ChartRecord};
    for (topic, filters, is_good) in [
        (ChartRecord, &["Observation?patient=Patient/1"][..], true),
        (ChartRecord, &["Observation?patient=1&code=x", "Condition?subject=Patient/1"], true),
        (ChartRecord, &["patient=Patient/1"], true),
        (ChartRecord, &["?patient=https://g.example/fhir/Patient/1"], true),
        (ChartRecord, &["Patient?_id=1"], true),
        (ChartAccess, &["AuditEvent?patient=Patient/1&action=R"], true),
        (ChartAccess, &["patient=Patient/1"], true),
        (ChartAccess, &["Observation?patient=Patient/1"], false),
        (ChartRecord, &[], false),
        (ChartRecord, &["Observation?status=final"], false),
        (ChartRecord, &["Observation?patient=1,2"], false),
        (ChartRecord, &["Observation?patient=1", "Condition?patient=2"], false),
        (ChartRecord, &["Observation?patient=Patient/1", "patient=Patient/2"], false),
        (ChartRecord, &["Observation?patient.name=a"], false),
        (ChartRecord, &["Observation?patient=1&_include=Observation:encounter"], false),
        (ChartRecord, &["Observation?patient=1&nothing=x"], false),
        (ChartRecord, &["Observation?patient:not=1"], false),
        (ChartRecord, &["Observation"], false),
        (ChartRecord, &["patient=Patient/.."], false),
        (ChartRecord, &["patient=Group/1"], false),
        (ChartRecord, &["patient=Patient/1&status=final"], false),
        (ChartRecord, &["patient=https://elsewhere.example/Patient/1"], false),
        (ChartRecord, &["Observation?patient=1"; 33], false),
    ] {
        assert_eq!(filtered(topic, filters).is_ok(), is_good, "{topic:?} {filters:?}");
    }
}

#[test]
fn an_event_meets_all_filters_of_its_type() {
    let entry = |of: &str, status: &str| json!({ "resourceType": of, "id": "7", "status": status, "subject": { "reference": "Patient/1" } });
    let two = &["Observation?patient=Patient/1&status=final", "Encounter?patient=Patient/1"];
    let mixed = &["Observation?patient=Patient/1&status=final", "patient=Patient/1"];
    for (filters, of, status, is_wanted) in [
        (&two[..], "Observation", "final", true),
        (two, "Observation", "preliminary", false),
        (two, "Encounter", "finished", true),
        (two, "DiagnosticReport", "final", false),
        (mixed, "DiagnosticReport", "final", true),
        (mixed, "Observation", "preliminary", false),
    ] {
        let subscription = filtered(Topic::ChartRecord, filters).unwrap();
        let resource = entry(of, status);
        let entry = Entry::new(&resource, "7", "2026-01-01T00:00:00Z");
        assert_eq!(subscription.wants(&entry), is_wanted, "{filters:?} {resource}");
    }
}

#[test]
fn what_is_shown_reads_back_and_has_no_secret() {
    let read = parse(&subscription()).unwrap();
    let told = Told { version: 2, changed_ms: 0, end_ms: 1_000, error: Some("nobody answers") };
    let shown = read.resource("abc", Standing::Error, told);
    assert!(!shown.to_string().contains("secret"), "{shown}");
    assert_eq!((&shown["status"], &shown["error"]), (&json!("error"), &json!("nobody answers")));
    let again = parse(&shown).unwrap();
    assert!(again.asks_the_same(&read) && !again.headers.eq(&read.headers));
    let other = with("/channel", "endpoint", json!("https://other.example.org/fhir"));
    assert!(!parse(&other).unwrap().asks_the_same(&read));
}

#[test]
fn a_notification_names_what_happened_and_shows_nothing() {
    let event = |number: u64, is_new| {
        (number, Event { at_ms: number, focus: Some(format!("Observation/{number}")), is_new })
    };
    let events = [event(4, true), event(5, false)];
    let notification = Notification {
        base: BASE,
        id: "abc",
        topic: Topic::ChartRecord,
        standing: Standing::Active,
        kind: Kind::Event,
        content: Content::IdOnly,
        count: 5,
        events: &events,
        error: None,
    };
    let bundle = notification.bundle(0, "u");
    assert_eq!(
        (&bundle["type"], bundle["entry"].as_array().unwrap().len()),
        (&json!("history"), 3)
    );
    let status = &bundle["entry"][0]["resource"];
    assert_eq!(status["parameter"][4]["valueString"], "5", "{status}");
    let part = &status["parameter"][6]["part"];
    assert_eq!(
        (&part[0]["valueString"], &part[2]["valueReference"]["reference"]),
        (&json!("5"), &json!("https://g.example/fhir/Observation/5"))
    );
    assert_eq!(bundle["entry"][1]["request"]["method"], "POST");
    assert_eq!(bundle["entry"][2]["request"]["url"], "Observation/5");
    assert!(bundle["entry"].as_array().unwrap()[1..].iter().all(|it| it.get("resource").is_none()));
    let closed = [(6, Event { at_ms: 6, focus: None, is_new: true })];
    let closed = Notification { events: &closed, ..notification }.bundle(0, "u");
    assert_eq!(closed["entry"].as_array().unwrap().len(), 1, "{closed}");
    assert!(closed.to_string().contains("eventNumber") && !closed.to_string().contains("focus"));
    let empty = Notification { content: Content::Empty, ..notification }.bundle(0, "u");
    assert!(!empty.to_string().contains("Observation"), "{empty}");
}

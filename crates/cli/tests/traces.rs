//! A node with `[traces]`, and receivers of every kind: it serves whatever they do, counts what they did not take,
//! and stops when it is told to.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    fs::OpenOptions,
    io::Write as _,
    net::TcpListener,
    time::{Duration, Instant},
};

use common::{
    Pilot, Place, keepwell,
    nodes::{Node, move_out},
    receiver::{Manner, Receiver, ask, number, text},
    scratch, wait_until,
};

/// How long a node may take to stop, with the last words to its receiver.
const STOP: Duration = Duration::from_secs(15);
/// How long 50 small answers may take together on a busy machine.
const SERVE: Duration = Duration::from_secs(10);

fn configure(place: &Place<'_>, slug: &str, endpoint: &str) {
    let mut config = OpenOptions::new().append(true).open(place.node_config(slug)).unwrap();
    writeln!(config, "\n[traces]\nendpoint = {endpoint:?}\nsample_ratio = 1").unwrap();
}

/// A number of the node's page of metrics.
fn count(address: &str, name: &str) -> u64 {
    let page = ask(address, "/metrics", "");
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).trim().parse().unwrap()
}

/// Fifty requests, each of which the node answers.
#[track_caller]
fn serves(address: &str) {
    let start = Instant::now();
    for _ in 0..50 {
        assert!(ask(address, "/v1/tip", "").starts_with("HTTP/1.1 200 "));
    }
    assert!(start.elapsed() < SERVE, "{:?}", start.elapsed());
}

#[test]
fn a_node_serves_whatever_the_receiver_does() {
    let home = scratch();
    let dir = home.path().join("pilot");
    assert!(Pilot::start(&dir).process.interrupt().success());
    let place = Place { dir: &dir };
    move_out(&place);
    // A port at which nobody listens yet.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    configure(&place, "hospital", &format!("http://{at}"));
    let checked = keepwell(&["config", "check", "--config", &place.node_config("hospital")]);
    assert!(checked.ok().stdout.contains("the receiver was not asked"));

    let [mut hospital, others @ ..] = Node::start_all(&place);
    let address = place.toml("organisations/hospital/node.toml")["listen_clients"]
        .as_str()
        .unwrap()
        .to_owned();
    let (sent, dropped) = ("keepwell_spans_sent_total", "keepwell_spans_dropped_total");
    serves(&address);
    wait_until(|| count(&address, dropped) > 0);
    assert_eq!(count(&address, sent), 0);
    hospital.process.wait_for("do not reach the receiver");

    let receiver = Receiver::listen(TcpListener::bind(at).unwrap());
    serves(&address);
    wait_until(|| count(&address, sent) > 0);
    for (manner, counter) in [
        (Manner::Fails, dropped),
        (Manner::Babbles, dropped),
        (Manner::NeverEnds, sent),
        (Manner::Drips, dropped),
        (Manner::Silent, dropped),
    ] {
        receiver.is_to(manner);
        let before = count(&address, counter);
        serves(&address);
        // What was under way in the manner before is no more than two messages.
        wait_until(|| count(&address, counter) > before + 60);
        serves(&address);
    }
    let begun = Instant::now();
    assert!(hospital.process.interrupt().success());
    assert!(begun.elapsed() < STOP, "{:?}", begun.elapsed());
    drop(others);
}

#[test]
fn requests_and_blocks_are_traced() {
    let home = scratch();
    let dir = home.path().join("pilot");
    let receiver = Receiver::start();
    let mut pilot =
        Pilot::begin_with(&dir, &["--patients", "2", "--traces", &receiver.url]).until_up();
    let nodes = pilot.place().toml("nodes.toml");
    let url = nodes["nodes"][0]["url"].as_str().unwrap().to_owned();
    let address = url.trim_start_matches("http://");
    let ids = ["0af7651916cd43dd8448eb211c80319c", "1af7651916cd43dd8448eb211c80319c"];
    let good = format!("traceparent: 00-{}-b7ad6b7169203331-00\r\ntracestate: zq=1\r\n", ids[0]);
    let bad = format!("traceparent: 00-{}-b7ad6b7169203331\r\n", ids[1]);
    for headers in [&good, &bad] {
        assert!(ask(address, "/v1/tip", headers).starts_with("HTTP/1.1 200 "));
    }
    assert!(pilot.process.interrupt().success());

    let spans = receiver.spans();
    let hex = |bytes: &[u8]| bytes.iter().map(|it| format!("{it:02x}")).collect::<String>();
    let continued: Vec<_> = spans.iter().filter(|it| hex(&it.trace_id) == ids[0]).collect();
    // Its flag said that it is not traced: nobody outside decides that.
    assert_eq!(continued.len(), 1);
    assert_eq!(continued[0].name, "GET /v1/tip");
    assert_eq!(hex(&continued[0].parent_span_id), "b7ad6b7169203331");
    assert_eq!(continued[0].trace_state, "");
    assert!(!spans.iter().any(|it| hex(&it.trace_id) == ids[1]), "what is malformed begins anew");

    let children = |of: &str| {
        let parents = spans.iter().filter(|it| it.name == of).map(|it| &it.span_id);
        let parents: Vec<_> = parents.collect();
        let all = spans.iter().filter(|it| parents.contains(&&it.parent_span_id));
        all.map(|it| it.name.as_str()).collect::<std::collections::BTreeSet<_>>()
    };
    for (parent, expected) in [
        ("POST /v1/commands", &["admission", "wait for block", "receipt"][..]),
        ("POST /v1/release", &["authenticate", "release"]),
        ("release", &["wait for access", "check on newest state", "shares"]),
        ("PUT /v1/charts/{chart}/records/{record}/{version}/body", &["store body"]),
        ("propose block", &["execute"]),
        ("check block", &["check signatures", "execute"]),
        ("execute", &["load", "merkleize"]),
    ] {
        let children = children(parent);
        for name in expected {
            assert!(children.contains(name), "no {name:?} in {parent:?}: {children:?}");
        }
    }
    let commands = spans.iter().filter(|it| it.name == "POST /v1/commands");
    for span in commands.clone() {
        assert_eq!(text(&span.attributes, "http.request.method"), Some("POST"));
        assert_eq!(text(&span.attributes, "http.route"), Some("/v1/commands"));
        assert!(number(&span.attributes, "http.response.status_code").is_some());
        assert!(span.end_time_unix_nano > span.start_time_unix_nano);
    }
    assert!(commands.count() > 10);
    let blocks = spans.iter().filter(|it| it.name == "check block");
    let heights: Vec<_> = blocks.filter_map(|it| number(&it.attributes, "height")).collect();
    assert!(heights.len() > 10 && heights.iter().all(|it| *it > 0));
}

//! A case by hand: asked for, denied, disagreed with and rebutted, and then found with the record.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fs;

use common::{Pilot, keepwell, scratch};
use serde_json::Value;

/// Runs a command that must succeed, and reads its JSON.
#[track_caller]
fn json(arguments: &[&str]) -> Value {
    keepwell(&[arguments, &["--json"]].concat()).ok().json()
}

#[track_caller]
fn text_at(value: &Value, pointer: &str) -> String {
    match value.pointer(pointer) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => panic!("nothing at {pointer}: {value}"),
    }
}

#[test]
fn p5_p6_a_case_by_hand() {
    let home = scratch();
    let mut pilot = Pilot::start(&home.path().join("pilot"));
    let place = pilot.place();
    let (chart, wallet) = place.claimed();
    let [agent, officer, clinician] =
        ["agent", "officer", "clinician"].map(|name| place.person(name));

    // The tour has opened a case, and named the officer who reads it.
    let said = pilot.process.said();
    let line = said.lines().find(|line| line.contains("case open")).unwrap();
    let reader = line.split(" --to ").nth(1).unwrap().split(' ').next().unwrap();
    let told = json(&["case", "list", "--as", &wallet, &chart]);
    assert_eq!(text_at(&told, "/0/late"), "false");
    let position = text_at(&told, "/0/record/position");

    let request = home.path().join("request.txt");
    fs::write(&request, "It was the left hand.").unwrap();
    let request = request.to_str().unwrap();
    let about = ["--chart", &chart, "--kind", "amendment", "--position", &position];
    let open = [&["case", "open", "--as", &wallet][..], &about, &["--to", reader]].concat();
    keepwell(&open).refused(&["--text"]);
    let opened = json(&[&open[..], &["--text-file", request]].concat());
    let case = text_at(&opened, "/case");
    let named = ["--chart", &chart, &case];

    let inbox = json(&["case", "inbox", "--as", &agent]);
    let waits = inbox.as_array().unwrap().iter().find(|it| text_at(it, "/case") == case);
    assert_eq!(text_at(waits.unwrap(), "/entry/kind"), "amendment");
    let shown = json(&[&["case", "show", "--as", &officer][..], &named].concat());
    assert_eq!(text_at(&shown, "/words/0/text"), "It was the left hand.");
    keepwell(&["case", "inbox", "--as", &officer]).refused(&["knows no charts"]);

    let deny = |ground: &str| {
        let deny = [&["case", "deny", "--as", &officer][..], &named].concat();
        keepwell(&[&deny[..], &["--ground", ground, "--text", "It was not."]].concat())
    };
    deny("health_care").refused(&["refused: "]);
    deny("accurate_and_complete").ok();
    for (verb, who, text) in [("disagree", &wallet, "It was."), ("rebut", &officer, "See 4 May.")] {
        let command = [&["case", verb, "--as", who][..], &named, &["--text", text]].concat();
        keepwell(&command).ok();
    }

    let note = home.path().join("note");
    let get = ["record", "get", "--as", &wallet, "--chart", &chart, "--position", &position];
    let got = json(&[&get[..], &["--to", note.to_str().unwrap()]].concat());
    let attached = got["attached"].as_array().unwrap();
    let denied = attached.iter().find(|it| text_at(it, "/case") == case).unwrap();
    let texts: Vec<_> = (0..4).map(|at| text_at(denied, &format!("/texts/{at}"))).collect();
    assert_eq!(texts, ["It was the left hand.", "It was not.", "It was.", "See 4 May."]);

    // Someone from elsewhere says that it was told, once.
    let acknowledge = [&["case", "acknowledge", "--as", &clinician][..], &named].concat();
    keepwell(&acknowledge).ok();
    keepwell(&acknowledge).refused(&["refused: "]);
    assert!(pilot.process.interrupt().success(), "{}", pilot.process.said());
}

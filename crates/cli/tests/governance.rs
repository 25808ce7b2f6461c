//! Administrators at work, with the program alone: members, keys, and what organisations decide together.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::fs;

use common::{Pilot, keepwell, scratch};
use serde_json::Value;

/// Runs a command that must succeed.
#[track_caller]
fn said(arguments: &[&str]) -> Value {
    keepwell(&[arguments, &["--json"]].concat()).ok().json()
}

#[track_caller]
fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{value}")).to_owned()
}

#[test]
fn administrators_enrol_change_keys_and_decide_together() {
    let home = scratch();
    let pilot = Pilot::start(&home.path().join("pilot"));
    let place = pilot.place();
    let file = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let administrator = |slug: &str| place.person(&format!("{slug}-administrator"));
    let [hospital, clinic, laboratory, insurer, board] =
        ["hospital", "clinic", "laboratory", "insurer", "board"].map(administrator);
    let operator = place.path("operator.key");
    fs::create_dir(file("documents")).unwrap();
    fs::write(file("documents/one.txt"), "one").unwrap();
    let anchor = |who: &str, receipts: &str| {
        keepwell(&["anchor", "--as", who, "--receipts", &file(receipts), &file("documents")])
    };

    // A member, from its keys to its suspension.
    let (carl, request) = (file("carl"), file("carl.member"));
    let new = ["member", "new", "--like", &hospital, "--operator-file", &operator];
    let made = said(&[&new[..], &["--to", &carl, "--request", &request]].concat());
    let member = text(&made, "/member");
    keepwell(&[&new[..], &["--to", &carl, "--request", &request]].concat())
        .refused(&["exists already"]);
    keepwell(&["member", "enrol", "--as", &carl, "--role", "nurse", &request])
        .refused(&["administrator.key"]);
    said(&["member", "enrol", "--as", &hospital, "--role", "registrar", &request]);
    keepwell(&["member", "enrol", "--as", &hospital, "--role", "registrar", &request])
        .refused(&["exists already"]);
    anchor(&carl, "r1").ok();
    said(&["member", "suspend", "--as", &hospital, &member]);
    anchor(&carl, "r2").refused(&["suspended"]);
    keepwell(&["member", "reinstate", "--as", &clinic, &member]).refused(&["signed by others"]);
    said(&["member", "reinstate", "--as", &hospital, &member]);
    said(&[
        "member",
        "assign",
        "--as",
        &hospital,
        "--role",
        "registrar",
        "--role",
        "nurse",
        &member,
    ]);
    let shown = keepwell(&["member", "show", "--as", &clinic, &member]).ok();
    assert!(
        shown.stdout.contains("registrar") && shown.stdout.contains("nurse"),
        "{}",
        shown.stdout
    );

    // Its key changes; for a week both count.
    let next = file("carl-2027");
    let rotate = ["member", "rotate", "--as", &hospital, "--from", &carl, "--to", &next];
    said(&rotate);
    anchor(&carl, "r3").ok();
    anchor(&next, "r4").ok();
    said(&[&rotate[..], &["--overlap-days", "0"]].concat());
    anchor(&carl, "r5").refused(&["key"]);
    anchor(&next, "r6").ok();

    // A key agent's charts go with its new key.
    let custodians = ["hospital", "laboratory"].map(|it| place.organisation(it));
    let (agent, renewed) = (place.person("agent"), file("agent-2027"));
    let chart = |who: &str, letter: &str| {
        let open = ["chart", "open", "--as", who, "--custodian", &custodians[0]];
        let open = [&open[..], &["--custodian", &custodians[1], "--letter", letter]].concat();
        text(&said(&open), "/chart")
    };
    let opened = chart(&agent, &file("before.letter"));
    said(&[
        "member",
        "rotate",
        "--as",
        &hospital,
        "--overlap-days",
        "0",
        "--from",
        &agent,
        "--to",
        &renewed,
    ]);
    said(&["chart", "renew-letter", "--as", &renewed, "--letter", &file("after.letter"), &opened]);
    chart(&renewed, &file("new.letter"));
    let open = ["chart", "open", "--as", &agent, "--custodian", &custodians[0]];
    let open = [&open[..], &["--custodian", &custodians[1], "--letter", &file("late.letter")]];
    keepwell(&open.concat()).refused(&["key"]);

    // Two administrators of the hospital, both of whom must sign.
    let hospital_id = place.organisation("hospital");
    let second = file("second");
    let key = ["organisation", "key", "--like", &hospital, "--operator-file", &operator];
    let drawn = said(&[&key[..], &["--organisation", &hospital_id, "--to", &second]].concat());
    let second_key = text(&drawn, "/key");
    let shown = said(&["organisation", "show", "--as", &clinic, &hospital_id]);
    let first_key = text(&shown, "/entry/administrators/keys/0");
    said(&[
        "organisation",
        "rotate",
        "--as",
        &hospital,
        "--key",
        &first_key,
        "--key",
        &second_key,
        "--needed",
        "2",
        "--overlap-days",
        "0",
    ]);
    keepwell(&["member", "suspend", "--as", &hospital, &member]).refused(&["1", "2"]);
    said(&["member", "suspend", "--as", &hospital, "--with", &second, &member]);
    anchor(&next, "r7").refused(&["suspended"]);

    // Five organisations: four decide. The hospital counts once both its administrators approved.
    let insurer_id = place.organisation("insurer");
    let moved = said(&["organisation", "suspend", "--as", &clinic, &insurer_id]);
    let motion = text(&moved, "/motion");
    assert_eq!(moved["carried_out"], false);
    let approve = |who: &str| said(&["organisation", "approve", "--as", who, &motion]);
    for who in [&hospital, &laboratory, &board] {
        assert_eq!(approve(who)["carried_out"], false, "{who}");
    }
    keepwell(&["organisation", "approve", "--as", &board, &motion]).refused(&["already"]);
    let waiting = said(&["organisation", "motions", "--as", &insurer]);
    assert_eq!(waiting[0]["approved_by"].as_array().unwrap().len(), 3, "{waiting}");
    assert_eq!(approve(&second)["carried_out"], true);
    keepwell(&["organisation", "approve", "--as", &laboratory, &motion]).refused(&["no motion"]);
    let listed = keepwell(&["organisation", "list", "--as", &clinic]).ok();
    assert!(listed.stdout.contains("suspended"), "{}", listed.stdout);

    // A new organisation, and a motion that is taken back.
    let pharmacy = file("pharmacy-administrator");
    let drawn = said(&[&key[..], &["--to", &pharmacy]].concat());
    let (id, key) = (text(&drawn, "/organisation"), text(&drawn, "/key"));
    let admit = ["organisation", "admit", "--as", &clinic, "--name", "Corner Pharmacy"];
    let moved = said(&[&admit[..], &["--kind", "pharmacy", "--key", &key, &id]].concat());
    let motion = text(&moved, "/motion");
    for who in [&laboratory, &board] {
        let done = said(&["organisation", "approve", "--as", who, &motion]);
        assert_eq!(done["carried_out"], *who == board, "three of the four in standing decide");
    }
    let listed = keepwell(&["organisation", "list", "--as", &pharmacy]).ok();
    assert!(listed.stdout.contains("Corner Pharmacy"), "{}", listed.stdout);
    let moved = said(&["organisation", "expel", "--as", &pharmacy, &insurer_id]);
    let motion = text(&moved, "/motion");
    keepwell(&["organisation", "withdraw", "--as", &clinic, &motion])
        .refused(&["signed by others"]);
    said(&["organisation", "withdraw", "--as", &pharmacy, &motion]);
}

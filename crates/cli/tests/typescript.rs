//! `clients/typescript`: its own tests, in Node and in Chromium, and a patient who opens, grants, revokes and checks with
//! it what the program here has sealed, at a pilot.
//!
//! Compiler and libraries are installed by `npm ci`; where npm reaches no registry, this is skipped with a word, and so
//! is what needs Chromium where there is none (`apt-get install chromium`).
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use common::{Done, Pilot, Place, installed::said, keepwell, scratch, wait_for};
use serde_json::{Value, json};

const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/typescript");
const CHROMIUM: &str = "/usr/bin/chromium";
/// What npm says where there is no way to a registry. Anything else that it says is a fault of the package.
const NO_WAY: [&str; 7] = [
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
    "ENETUNREACH",
    "ENOTCACHED",
];

/// Where the package is, once it was installed and compiled; nothing where it cannot be installed.
fn package() -> Option<&'static Path> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    BUILT.get_or_init(build).as_deref()
}

fn build() -> Option<PathBuf> {
    let folder = Path::new(PACKAGE);
    let stamp = Path::new(env!("CARGO_TARGET_TMPDIR")).join("typescript.installed");
    let wanted = fs::read(folder.join("package-lock.json")).unwrap();
    let is_there = fs::read(&stamp).is_ok_and(|it| it == wanted);
    if !(is_there && folder.join("node_modules").exists()) {
        let Ok(installed) = npm(&["ci", "--no-audit", "--no-fund"]) else {
            println!("SKIPPED: there is no npm");
            return None;
        };
        if !installed.status.success() {
            let why = said(&installed);
            assert!(NO_WAY.iter().any(|word| why.contains(word)), "npm ci: {why}");
            println!("SKIPPED: npm reaches no registry: {why}");
            return None;
        }
        fs::write(stamp, wanted).unwrap();
    }
    let built = npm(&["run", "build"]).unwrap();
    assert!(built.status.success(), "{}", said(&built));
    Some(folder.to_path_buf())
}

fn npm(arguments: &[&str]) -> std::io::Result<Output> {
    Command::new("npm").args(arguments).current_dir(PACKAGE).output()
}

/// Runs a compiled script of the package's tests; what it printed last is JSON.
#[track_caller]
fn run(package: &Path, script: &str, arguments: &[&str]) -> Value {
    let script = package.join("dist/test/e2e").join(script);
    let done = Command::new("node").arg(script).args(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", said(&done));
    let text = String::from_utf8(done.stdout).unwrap();
    serde_json::from_str(text.trim().lines().last().unwrap()).unwrap()
}

#[test]
fn the_package_passes_its_own_tests() {
    if package().is_none() {
        return;
    }
    let tested = npm(&["run", "test:built"]).unwrap();
    assert!(tested.status.success(), "{}", said(&tested));
}

#[test]
fn vectors_and_a_vault_hold_in_workers_of_chromium() {
    let Some(package) = package() else { return };
    if !Path::new(CHROMIUM).exists() {
        println!("SKIPPED: there is no {CHROMIUM}");
        return;
    }
    let told = run(package, "browser.js", &[CHROMIUM]);
    assert_eq!(told["failed"], Value::Array(Vec::new()), "{told}");
    assert!(told["passed"].as_u64().unwrap() > 20, "{told}");
    // A vault refuses a wrong passphrase, locks itself, and leaves nothing in the page's stores.
    let vault = &told["vault"];
    assert_eq!(
        (&vault["wrong"], &vault["afterwards"]),
        (&json!("wrong"), &json!("locked")),
        "{told}"
    );
    assert_eq!(vault["stored"], 0, "{told}");
}

#[test]
fn a_patient_and_a_reader_do_with_it_what_the_program_does() {
    let Some(package) = package() else { return };
    let home = scratch();
    let mut pilot = Pilot::start(&home.path().join("pilot"));
    let dir = pilot.dir.clone();
    let place = Place { dir: &dir };
    let (chart, patient) = place.claimed();
    // Nobody else has granted the officer anything, so that nothing but this grant opens.
    let (agent, reader) = (place.person("agent"), place.person("clinic-officer"));
    let file = dir.join("note.txt");
    fs::write(&file, "Befund: “unauffällig”. \u{1f9ec}\n".repeat(4_000)).unwrap();
    let added = place.add(&agent, &chart, &file).ok();
    let position = added.json()["position"].to_string();

    // What the Rust sealed opens, byte for byte, and the log says who looked.
    let copy = dir.join("opened.txt");
    let common = [patient.as_str(), chart.as_str()];
    let ask = |words: &[&str]| run(package, "patient.js", &[&common[..], words].concat());
    let opened = ask(&["open", &position, copy.to_str().unwrap()]);
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&file).unwrap());
    assert_eq!(opened["purpose"], "PATRQT");
    assert!(opened["accesses"].as_u64().unwrap() >= 2, "{opened}");
    assert!(opened["opened"].as_u64().unwrap() > 30, "of several generations of keys: {opened}");

    // What is granted there opens here, until it is revoked there.
    let receipt = dir.join("grant.receipt");
    let given = ask(&["give", &reader, "normal", receipt.to_str().unwrap()]);
    let grant = given["grant"].as_str().unwrap();
    let compartment = given["compartment"].to_string();
    let to = dir.join("read");
    let read = || read_by_grant(&reader, &chart, grant, &compartment, &to);
    wait_for(read).ok();
    let written = fs::read_dir(&to).unwrap().map(|it| fs::read(it.unwrap().path()).unwrap());
    assert!(written.collect::<Vec<_>>().contains(&fs::read(&file).unwrap()));
    let copy = dir.join("read.txt");
    ask(&["read", &reader, grant, &position, copy.to_str().unwrap()]);
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&file).unwrap(), "as a reader from elsewhere");
    assert_eq!(ask(&["key", &reader])["own"], true);
    keepwell(&["verify", receipt.to_str().unwrap(), "--genesis", &place.genesis()]).ok();
    ask(&["revoke", grant]);
    read().refused(&["no grant allows this"]);

    // Who asks is answered there, either way.
    let request = || {
        let by = ["grant", "request", "--as", &reader, "--chart", &chart, "--days", "1"];
        let what = ["--compartment", &compartment, "--purpose", "TREAT", "--reason", "referral"];
        keepwell(&[&by[..], &what[..]].concat()).ok()
    };
    request();
    assert_eq!(ask(&["answer", "no"])["answered"], "accepted");
    request();
    let answered = ask(&["answer", "yes"]);
    let by = answered["grant"].as_str().unwrap();
    let again = dir.join("answered");
    wait_for(|| read_by_grant(&reader, &chart, by, &compartment, &again)).ok();

    // What is not so, is not said to be so.
    let hostile = ask(&["hostile", grant]);
    assert_eq!(hostile["failed"], Value::Array(Vec::new()), "{hostile}");
    assert!(hostile["refused"].as_u64().unwrap() > 10, "{hostile}");
    assert!(pilot.process.interrupt().success());
}

fn read_by_grant(who: &str, chart: &str, grant: &str, compartment: &str, to: &Path) -> Done {
    let by = ["open", "--as", who, "--chart", chart, "--grant", grant];
    let what = ["--compartment", compartment, "--purpose", "TREAT", "--to", to.to_str().unwrap()];
    keepwell(&[&by[..], &what[..]].concat())
}

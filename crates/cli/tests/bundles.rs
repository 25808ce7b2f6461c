//! A folder of FHIR files as users have them: one chart for each patient, whatever files speak of the
//! patient, and no second one when the folder is loaded again.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use common::{Pilot, Place, keepwell, scratch};

const ANA: &str = r#"{"resourceType":"Patient","id":"1","name":[{"family":"Ana"}]}"#;
const NURSE: &str = r#"{"resourceType":"Practitioner","id":"1"}"#;
const BOTH: &str = r#"{"resourceType":"Bundle","type":"collection","entry":[
    {"fullUrl":"urn:uuid:b","resource":{"resourceType":"Patient","id":"2","name":[{"family":"Ben"}]}},
    {"resource":{"resourceType":"Observation","id":"w","subject":{"reference":"urn:uuid:b"}}},
    {"resource":{"resourceType":"Observation","id":"h","subject":{"reference":"Patient/1"}}},
    {"resource":{"resourceType":"Organization","id":"o"}}
]}"#;
const OF_NOBODY_HERE: &str =
    r#"{"resourceType":"Condition","id":"c","subject":{"reference":"Patient/9"}}"#;
const CAI: &str = r#"{"resourceType":"Patient","id":"3","name":[{"family":"Cai"}]}"#;

/// Writes files into a new folder.
fn folder(path: PathBuf, files: &[(&str, &str)]) -> PathBuf {
    fs::create_dir_all(path.join("below")).unwrap();
    for (name, content) in files {
        fs::write(path.join(name), content).unwrap();
    }
    path
}

/// Starts a pilot on a folder, and ends it once all is loaded. Returns what it said.
fn load(dir: &Path, bundles: &Path) -> String {
    let mut pilot = Pilot::begin_with(dir, &["--bundles", bundles.to_str().unwrap()]).until_up();
    assert!(pilot.process.interrupt().success(), "{}", pilot.process.said());
    pilot.process.said()
}

/// The patients whom the pilot remembers, with how many records each was loaded with.
fn loaded(dir: &Path) -> BTreeMap<String, i64> {
    let patients = Place { dir }.toml("pilot.toml");
    let patients = patients["patients"].as_array().unwrap().iter();
    let name = |it: &toml::Value| it["name"].as_str().unwrap().to_owned();
    patients.map(|it| (name(it), it["records"].as_integer().unwrap())).collect()
}

fn expected(patients: &[(&str, i64)]) -> BTreeMap<String, i64> {
    patients.iter().map(|(name, records)| ((*name).to_owned(), *records)).collect()
}

#[test]
fn a_folder_is_loaded_once() {
    let home = scratch();
    let files = [
        ("below/ana.json", ANA),
        ("both.json", BOTH),
        ("broken.json", "{"),
        ("condition.json", OF_NOBODY_HERE),
        ("nurse.json", NURSE),
    ];
    let bundles = folder(home.path().join("bundles"), &files);
    let dir = home.path().join("pilot");
    let said = load(&dir, &bundles);
    for words in ["Loaded 3 patients with 5 records", "passed over broken.json: not JSON"] {
        assert!(said.contains(words), "nothing of {words:?}: {said}");
    }
    let three = [("Patient  Ana", 2), ("Patient  Ben", 2), ("Patient/9", 1)];
    assert_eq!(loaded(&dir), expected(&three));

    fs::write(bundles.join("cai.json"), CAI).unwrap();
    let said = load(&dir, &bundles);
    for words in ["3 of 4 patients in", "Loaded 1 patients with 1 records"] {
        assert!(said.contains(words), "nothing of {words:?}: {said}");
    }
    assert_eq!(loaded(&dir), expected(&[&three[..], &[("Patient  Cai", 1)]].concat()));
}

#[test]
fn a_folder_about_nobody_is_refused() {
    let home = scratch();
    let bundles = folder(home.path().join("bundles"), &[("nurse.json", NURSE)]);
    let dir = home.path().join("pilot");
    let [bundles, dir] = [&bundles, &dir].map(|path| path.to_str().unwrap());
    keepwell(&["pilot", "--port", "0", "--bundles", bundles, "--dir", dir])
        .refused(&["has no FHIR JSON about a patient", "passed over nurse.json: nothing here"]);
}

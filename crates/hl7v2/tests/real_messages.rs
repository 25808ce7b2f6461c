//! Messages that others wrote, kept outside the repository. `KEEPWELL_DATA` names the folder that has `hl7v2/`;
//! without it the folder `shared/data` beside the repository is tried.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use keepwell_fhir::bundle::{Owner, split};
use keepwell_hl7v2::{
    charset::CharacterSet,
    map::{Mapped, Reception, Record, map},
    message::Message,
};
use serde_json::Value;

fn messages() -> Vec<(String, Vec<u8>)> {
    let folder = match env::var_os("KEEPWELL_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let Ok(files) = fs::read_dir(folder.join("hl7v2")) else {
        println!("SKIPPED: no hl7v2/ in {}; set KEEPWELL_DATA", folder.display());
        return Vec::new();
    };
    let mut paths: Vec<_> =
        files.map(|file| file.expect("the folder is readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "hl7"));
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let name = path.file_stem().expect("it was listed").to_string_lossy().into_owned();
            (name, fs::read(path).expect("the file is readable"))
        })
        .collect()
}

fn name(number: u32) -> [u8; 16] {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn mapped(name_of_file: &str, bytes: &[u8]) -> Mapped {
    let message = Message::parse(bytes, CharacterSet::Utf8).expect(name_of_file);
    let reception = Reception {
        namespace: "https://hospital.example/feed",
        received_ms: 1_790_000_000_000,
        zone: None,
        name: &name,
    };
    map(&message, &reception).expect(name_of_file)
}

fn records() -> Vec<(String, Vec<u8>, Record)> {
    messages()
        .into_iter()
        .filter_map(|(name, bytes)| match mapped(&name, &bytes) {
            Mapped::Record(record) => Some((name, bytes, record)),
            Mapped::Merge(_) => None,
        })
        .collect()
}

#[test]
#[ignore = "prints a mapping"]
fn show() {
    let wanted = env::var("SHOW").unwrap_or_default();
    for (name, _, record) in records().iter().filter(|(name, ..)| name.contains(&wanted)) {
        println!("== {name}");
        for entry in record.bundle["entry"].as_array().expect("it is a list") {
            println!("{} {}", entry["request"], entry["resource"]);
        }
        for unmapped in &record.unmapped {
            println!("{} {:?}", unmapped.path, unmapped.why);
        }
    }
}

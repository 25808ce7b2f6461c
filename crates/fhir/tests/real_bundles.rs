//! Bundles that others wrote, kept outside the repository. `KEEPWELL_DATA` names the folder that has
//! `synthea/`; without it the folder `shared/data` beside the repository is tried.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use keepwell_fhir::{
    bundle::{BundleError, Owner, split},
    summary::{LINE_CHARS_MAX, one_line},
};
use keepwell_types::record::RecordKind;
use serde_json::Value;

const BYTES_MAX: usize = 16 << 20;

/// Name and bytes of each Bundle; none, said aloud, where the folder is absent.
fn bundles() -> Vec<(String, Vec<u8>)> {
    let folder = match env::var_os("KEEPWELL_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let Ok(files) = fs::read_dir(folder.join("synthea")) else {
        println!("SKIPPED: no synthea/ in {}; set KEEPWELL_DATA", folder.display());
        return Vec::new();
    };
    let mut paths: Vec<_> =
        files.map(|file| file.expect("the folder is readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let name = path.file_name().expect("it was listed").to_string_lossy().into_owned();
            (name, fs::read(path).expect("the file is readable"))
        })
        .collect()
}

/// The two files that list hospitals and practitioners have no patient; the others have one each.
fn is_about_a_patient(name: &str) -> bool {
    !name.contains("Information")
}

#[test]
fn resources_are_the_bytes_of_the_source_and_add_up() {
    for (name, bytes) in bundles().iter().filter(|(name, _)| is_about_a_patient(name)) {
        let bundle = split(bytes, BYTES_MAX).expect(name);
        let value: Value = serde_json::from_slice(bytes).expect(name);
        let entries = value["entry"].as_array().expect(name);

        assert_eq!(bundle.bundle_type.as_deref(), Some("transaction"), "{name}");
        assert_eq!(bundle.resources.len(), entries.len(), "{name}");
        assert_eq!(bundle.warnings, [], "{name}");
        for (resource, entry) in bundle.resources.iter().zip(entries) {
            let source = &bytes[resource.at..resource.at + resource.json.len()];
            assert_eq!(source, resource.json.as_bytes(), "{name}");
            let again: Value = serde_json::from_str(resource.json).expect(name);
            assert_eq!(again, entry["resource"], "{name}");
        }
    }
}

#[test]
fn what_is_clinical_belongs_to_the_one_patient() {
    for (name, bytes) in bundles().iter().filter(|(name, _)| is_about_a_patient(name)) {
        let bundle = split(bytes, BYTES_MAX).expect(name);
        let patient = bundle.resources.iter().position(|r| r.resource_type == "Patient");
        let patient = Owner::Here(patient.expect(name));
        assert_eq!(bundle.patients(), BTreeSet::from([&patient]), "{name}");
        for resource in &bundle.resources {
            let is_other = resource.classify().kind == RecordKind::Other;
            let owner = if is_other { &Owner::Nobody } else { &patient };
            assert_eq!(&resource.owner, owner, "{name} {}", resource.resource_type);
        }
    }
}

#[test]
fn lists_of_hospitals_belong_to_no_chart() {
    for (name, bytes) in bundles().iter().filter(|(name, _)| !is_about_a_patient(name)) {
        assert_eq!(split(bytes, BYTES_MAX), Err(BundleError::NoPatient), "{name}");
    }
}

#[test]
fn a_single_resource_of_a_bundle_stands_alone() {
    for (name, bytes) in bundles().iter().filter(|(name, _)| is_about_a_patient(name)) {
        for resource in split(bytes, BYTES_MAX).expect(name).resources {
            let alone = split(resource.json.as_bytes(), BYTES_MAX);
            if resource.owner == Owner::Nobody {
                assert_eq!(alone, Err(BundleError::NoPatient), "{name}");
                continue;
            }
            let alone = alone.expect(name);
            assert_eq!(alone.bundle_type, None);
            assert_eq!(alone.resources[0].json, resource.json);
            assert_eq!(alone.resources[0].classify(), resource.classify());
        }
    }
}

#[test]
fn every_resource_has_a_line_of_its_own() {
    for (name, bytes) in bundles().iter().filter(|(name, _)| is_about_a_patient(name)) {
        for resource in split(bytes, BYTES_MAX).expect(name).resources {
            let line = one_line(resource.json.as_bytes());
            assert!(line.starts_with(&resource.resource_type), "{line}");
            assert!(line.len() > resource.resource_type.len(), "says nothing: {line}");
            assert!(line.chars().count() <= LINE_CHARS_MAX, "{line}");
        }
    }
}

#[test]
fn a_truncated_bundle_is_refused_wherever_it_ends() {
    let bundles = bundles();
    let Some((name, bytes)) = bundles.iter().min_by_key(|(_, bytes)| bytes.len()) else { return };
    let end = bytes.trim_ascii_end().len();
    for length in (0..end).step_by(997) {
        match split(&bytes[..length], BYTES_MAX) {
            Err(BundleError::NotJson { at } | BundleError::NotUtf8 { at }) => {
                assert!(at <= length, "{name} cut at {length} blames byte {at}");
            }
            other => panic!("{name} cut at {length}: {other:?}"),
        }
        one_line(&bytes[..length]);
    }
}

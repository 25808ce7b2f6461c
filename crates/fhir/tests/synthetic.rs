//! Patients who never lived, held to what is promised of them.

use std::collections::{BTreeMap, BTreeSet};

use keepwell_fhir::{
    bundle::{Owner, split},
    classify::Sensitivity,
    summary::one_line,
    synthetic::Synthetic,
};
use keepwell_types::record::RecordKind;
use serde_json::Value;

const BYTES_MAX: usize = 1 << 20;
/// 2026-09-21.
const NOW_MS: u64 = 1_790_000_000_000;

fn population() -> impl Iterator<Item = Value> {
    (0..300).map(|index| Synthetic::new(42).patient(index, NOW_MS))
}

#[test]
fn the_same_arguments_give_the_same_bytes() {
    let bytes = |seed, index, now_ms| Synthetic::new(seed).patient(index, now_ms).to_string();
    assert_eq!(bytes(1, 2, NOW_MS), bytes(1, 2, NOW_MS));
    let person = &Synthetic::new(42).patient(0, NOW_MS)["entry"][0]["resource"];
    assert_eq!(one_line(person.to_string().as_bytes()), "Patient  1952-07-24  恵子 佐藤");
    assert_ne!(bytes(1, 2, NOW_MS), bytes(2, 2, NOW_MS));
    assert_ne!(bytes(1, 2, NOW_MS), bytes(1, 3, NOW_MS));
    assert_ne!(bytes(1, 2, NOW_MS), bytes(2, 1, NOW_MS));
}

#[test]
fn every_life_splits_without_a_warning_and_belongs_to_its_patient() {
    for patient in population() {
        let json = patient.to_string();
        let bundle = split(json.as_bytes(), BYTES_MAX).expect("it is a Bundle");
        assert_eq!(bundle.warnings, []);
        assert!((30..=90).contains(&bundle.resources.len()), "{}", bundle.resources.len());
        for resource in &bundle.resources {
            assert_eq!(resource.owner, Owner::Here(0));
            assert_ne!(resource.classify().kind, RecordKind::Other);
        }
    }
}

#[test]
fn every_life_has_something_to_keep_apart() {
    let mut met = BTreeMap::new();
    for patient in population() {
        let json = patient.to_string();
        let bundle = split(json.as_bytes(), BYTES_MAX).expect("it is a Bundle");
        let kept: BTreeSet<_> =
            bundle.resources.iter().map(|resource| resource.classify().sensitivity).collect();
        assert!(kept.contains(&Sensitivity::Normal) && kept.contains(&Sensitivity::Psychiatry));
        kept.into_iter().for_each(|sensitivity| *met.entry(sensitivity).or_insert(0) += 1);
    }
    for sensitivity in
        [Sensitivity::SubstanceUse, Sensitivity::Hiv, Sensitivity::PsychotherapyNotes]
    {
        assert!(met[&sensitivity] > 10, "{met:?}");
    }
}

#[test]
fn every_reference_resolves_and_nothing_lies_ahead() {
    for patient in population() {
        let entries = patient["entry"].as_array().expect("entries");
        let names: BTreeSet<_> =
            entries.iter().filter_map(|entry| entry["fullUrl"].as_str()).collect();
        assert_eq!(names.len(), entries.len());
        visit(&patient, &mut |key, text| match key {
            "reference" => assert!(names.contains(text), "{text}"),
            "start" | "end" | "birthDate" | "date" | "issued" | "authoredOn" | "recordedDate"
            | "onsetDateTime" | "effectiveDateTime" | "occurrenceDateTime" | "creation" => {
                assert!(("1900"..="2026-09-21").contains(&text), "{key} {text}");
            }
            _ => {}
        });
    }
}

/// Calls `each` with every text and the key it stands under.
fn visit(value: &Value, each: &mut impl FnMut(&str, &str)) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if let Value::String(text) = value {
                    each(key, text);
                }
                visit(value, each);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| visit(item, each)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn people_differ() {
    let lines: BTreeSet<_> = population()
        .map(|patient| one_line(patient["entry"][0]["resource"].to_string().as_bytes()))
        .collect();
    assert_eq!(lines.len(), 300);
    assert!(lines.iter().any(|line| !line.is_ascii()));
    assert!(lines.iter().any(|line| line.is_ascii()));
}

#[test]
fn values_read_as_a_person_writes_them() {
    let patient = Synthetic::new(42).patient(0, NOW_MS);
    let lines: Vec<_> = patient["entry"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| one_line(entry["resource"].to_string().as_bytes()))
        .collect();
    let weight = lines.iter().find(|line| line.contains("Body weight")).expect("it was measured");
    let words: Vec<_> = weight.split_whitespace().collect();
    assert!(matches!(words[..], ["Observation", _, "Body", "weight", _, "kg"]), "{weight}");
    assert_eq!(words[4].split_once('.').expect("a point").1.len(), 1);
}

#[test]
fn no_time_is_too_early_or_too_late() {
    for now_ms in [0, 1, NOW_MS, u64::MAX] {
        let json = Synthetic::new(u64::MAX).patient(u64::MAX, now_ms).to_string();
        assert_eq!(split(json.as_bytes(), BYTES_MAX).expect("it is a Bundle").warnings, []);
    }
}

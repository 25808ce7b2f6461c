//! Search over Bundles that others wrote: what stands in a resource finds it. `KEEPWELL_DATA` names the folder
//! that has `synthea/`; without it the folder `shared/data` beside the repository is tried.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
};

use keepwell_fhir::search::{
    Entry, Handling, Key, Options, Pool, Query, keys,
    shape::{Shape, shape},
};
use serde_json::Value;

const BASE: &str = "https://us.example/fhir";

/// Each Bundle's resources with their full URLs; none, said aloud, where the folder is absent.
fn bundles() -> Vec<Vec<(String, Value)>> {
    let folder = match env::var_os("KEEPWELL_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
    };
    let Ok(files) = fs::read_dir(folder.join("synthea")) else {
        println!("SKIPPED: no synthea/ in {}; set KEEPWELL_DATA", folder.display());
        return Vec::new();
    };
    let mut paths: Vec<_> = files.map(|file| file.expect("it is readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let bytes = fs::read(path).expect("it is readable");
            let bundle: Value = serde_json::from_slice(&bytes).expect("it is JSON");
            let entries = bundle["entry"].as_array().expect("it has entries");
            let resource = |entry: &Value| {
                let url = entry["fullUrl"].as_str().unwrap_or_default().to_owned();
                (url, entry["resource"].clone())
            };
            entries.iter().map(resource).collect()
        })
        .collect()
}

fn pool(bundle: &[(String, Value)]) -> Pool<'_> {
    let entries = bundle.iter().map(|(url, resource)| {
        let id = resource["id"].as_str().unwrap_or_default();
        Entry::new(resource, id, "2024-05-01T08:00:00Z").with_full_url(url)
    });
    Pool::new(entries.collect())
}

fn query(kind: &str, name: &str, value: &str) -> Query {
    let pairs = [(name.to_owned(), value.to_owned())];
    let options = Options { base: BASE, now_ms: 0, handling: Handling::Strict };
    Query::parse(kind, &pairs, options).unwrap_or_else(|it| panic!("{kind}?{name}={value}: {it:?}"))
}

#[test]
fn each_value_of_each_resource_finds_it() {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for bundle in bundles() {
        let pool = pool(&bundle);
        for entry in pool.entries() {
            let kind = entry.resource_type();
            for (name, key) in keys(entry, BASE) {
                // Of dates there is a test of its own; nobody searches for an empty text.
                let Key::Text(value) = &key else { continue };
                if value.is_empty() {
                    continue;
                }
                let value = value.replace('\\', r"\\").replace(',', r"\,").replace('$', r"\$");
                let query = query(kind, name, &value);
                assert!(query.matches(entry), "{kind}?{name}={value}");
                let probes = query.probes();
                assert!(probes[0].1.iter().any(|probe| probe.hits(&key)), "{kind}?{name}={value}");
                *found.entry(format!("{kind}.{name}")).or_default() += 1;
            }
        }
    }
    if !found.is_empty() {
        println!("{} parameters have values", found.len());
        assert!(found.len() > 60, "{found:?}");
    }
}

#[test]
fn dates_and_quantities_find_what_has_them() {
    for bundle in bundles() {
        for entry in pool(&bundle).entries() {
            let resource = entry.resource();
            let kind = entry.resource_type();
            let dates = [
                ("Observation", "date", "/effectiveDateTime"),
                ("Encounter", "date", "/period/start"),
                ("Condition", "onset-date", "/onsetDateTime"),
                ("Procedure", "date", "/performedPeriod/start"),
                ("Patient", "birthdate", "/birthDate"),
                ("Immunization", "date", "/occurrenceDateTime"),
                ("Claim", "created", "/created"),
            ];
            for (_, name, path) in dates.iter().filter(|(it, ..)| *it == kind) {
                let Some(date) = resource.pointer(path).and_then(Value::as_str) else { continue };
                assert!(query(kind, name, &format!("ge{date}")).matches(entry), "{kind} {date}");
                assert!(!query(kind, name, &format!("lt{date}")).matches(entry), "{kind} {date}");
                let day = &date[..10];
                assert!(!query(kind, name, &format!("eb{day}")).matches(entry), "{kind} {day}");
                assert!(!query(kind, name, "1812").matches(entry), "{kind} {day}");
            }
            if let Some(value) = resource.pointer("/valueQuantity/value") {
                let unit = resource.pointer("/valueQuantity/code").and_then(Value::as_str);
                let value = format!("{value}|http://unitsofmeasure.org|{}", unit.expect("a unit"));
                assert!(query(kind, "value-quantity", &value).matches(entry), "{value}");
                assert!(!query(kind, "value-quantity", &format!("gt{value}")).matches(entry));
                let code = resource.pointer("/code/coding/0/code").and_then(Value::as_str);
                let both = [(
                    "code-value-quantity".to_owned(),
                    format!("{}${value}", code.expect("a code")),
                )];
                let options = Options { base: BASE, now_ms: 0, handling: Handling::Strict };
                assert!(Query::parse(kind, &both, options).expect("it is right").matches(entry));
            }
        }
    }
}

#[test]
fn charts_hang_together() {
    for bundle in bundles() {
        let pool = pool(&bundle);
        let Some(patient) = pool.entries().iter().find(|it| it.resource_type() == "Patient") else {
            continue;
        };
        let family = patient.resource()["name"][0]["family"].as_str().expect("a name");
        let of_patient = query("Condition", "subject.family", family).select(&pool);
        let all = pool.entries().iter().filter(|it| it.resource_type() == "Condition").count();
        assert_eq!(of_patient.len(), all);
        let having = query("Patient", "_has:Condition:patient:code:missing", "false").select(&pool);
        assert_eq!(having.len(), usize::from(all > 0));

        let conditions = query("Condition", "_include", "Condition:encounter");
        let matches = conditions.select(&pool);
        let included = conditions.include(&pool, &matches);
        assert!(included.absent.is_empty());
        let types = included.entries.iter().map(|at| pool.entries()[*at].resource_type());
        assert!(types.into_iter().all(|it| it == "Encounter"));

        let sorted = query("Observation", "_sort", "-date,code");
        let mut places = sorted.select(&pool);
        let (mut turned, key) = (places.clone(), |at: usize| pool.entries()[at].id().to_owned());
        turned.reverse();
        sorted.sort(&pool, &mut places, key);
        sorted.sort(&pool, &mut turned, key);
        assert_eq!(places, turned, "the order is total");
    }
}

#[test]
fn parts_of_each_resource_are_resources() {
    for bundle in bundles() {
        for (_, resource) in bundle {
            let json = resource.to_string();
            for wanted in [Shape::Summary, Shape::Text, Shape::Data] {
                let part = shape(&json, &wanted).expect("it is a resource").expect("it has a part");
                let part: Value = serde_json::from_str(&part).expect("a part is JSON");
                assert_eq!(part["resourceType"], resource["resourceType"]);
                assert_eq!(part["id"], resource["id"]);
                assert_eq!(part["status"], resource["status"]);
                let tags = part["meta"]["tag"].as_array().expect("it has a tag");
                assert_eq!(tags.last().expect("one")["code"], "SUBSETTED");
            }
        }
    }
}

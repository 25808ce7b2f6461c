//! Whether a resource has the structure that R4 gives its type: which elements there are, of which types, and how
//! often.
//!
//! The definitions are those of `fhirkit`, whose types are made from the specification. It reads what was sent and
//! tells all that is wrong, each with its path; what is sealed are the bytes that were sent, and nothing that it has
//! read.
//!
//! # Invariants
//!
//! * Nothing that was sent is said again: a fault has a path and a kind.
//! * Work is bounded before it begins: by [`OBJECTS_MAX`] and [`KEYS_MAX`], beside the bytes and the depth that every
//!   resource has at most. It is done on threads of its own, [`CHECKS_MAX`] at once, whose stacks are as deep as that
//!   takes.
//!
//! Not here: codes that a value set requires, rules (invariants), what references refer to, slices and other rules of
//! profiles, narratives as XHTML.

use std::sync::Arc;

use fhirkit::{Severity as Level, r4::Resource};
use keepwell_fhir::outcome::{Issue, IssueType, Outcome, Severity, Status};
use tokio::sync::{Semaphore, oneshot};

use crate::gateway::Gateway;

/// Objects of one resource.
pub(crate) const OBJECTS_MAX: usize = 100_000;
/// Keys of one object: far more than R4 has anywhere.
pub(crate) const KEYS_MAX: usize = 1_000;
/// Resources that are looked at at once.
const CHECKS_MAX: usize = 2;
/// Bytes of a thread's stack: eight times what the deepest resource takes.
const STACK_BYTES: usize = 16 * 1024 * 1024;

/// Places for checks.
#[derive(Debug)]
pub(crate) struct Checks(Arc<Semaphore>);

impl Default for Checks {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(CHECKS_MAX)))
    }
}

impl Gateway {
    /// Refuses a resource that has not the structure of its type; says all that is wrong with it, and where. `within`
    /// is the path of the resource in what was sent, if it is not all of it.
    pub(crate) async fn check_structure(
        &self,
        json: &str,
        within: Option<&str>,
    ) -> Result<(), Outcome> {
        let issues = self.faults(json, within).await?;
        let mut errors = issues.into_iter().filter(|it| it.severity() >= Severity::Error);
        let Some(first) = errors.next() else { return Ok(()) };
        let mut outcome = Outcome::new(first);
        errors.for_each(|issue| outcome.push(issue));
        Err(outcome.with_status(Status::UNPROCESSABLE))
    }

    /// All that is wrong with the structure of a resource, which was read strictly.
    pub(crate) async fn faults(
        &self,
        json: &str,
        within: Option<&str>,
    ) -> Result<Vec<Issue>, Outcome> {
        if let Some(issue) = too_much(json) {
            return Ok(vec![issue]);
        }
        // It is never closed.
        let place = self.checks.0.clone().acquire_owned().await;
        let (told, faults) = oneshot::channel();
        let (json, within) = (json.to_owned(), within.map(ToOwned::to_owned));
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
            let _place = place;
            // Whoever is gone does not hear it.
            let _ = told.send(faults_of(&json, within.as_deref()));
        });
        thread.map_err(|_| busy())?;
        faults.await.map_err(|_| busy())
    }
}

fn faults_of(json: &str, within: Option<&str>) -> Vec<Issue> {
    match fhirkit::from_json::<Resource>(json) {
        Ok((_, issues)) => issues.iter().map(|it| issue_of(it, within)).collect(),
        Err(_) => {
            let text = "it is no JSON as FHIR has it; see whether its numbers and texts are whole";
            vec![Issue::new(Severity::Error, IssueType::Structure, text)]
        }
    }
}

fn issue_of(fault: &fhirkit::Issue, within: Option<&str>) -> Issue {
    let severity = match fault.severity {
        Level::Error => Severity::Error,
        Level::Warning => Severity::Warning,
    };
    let (code, text) = told(&fault.message);
    // FHIRPath calls a choice by its name alone.
    let own = fault.path.replace("[x]", "");
    let path = match within {
        Some(within) => format!("{within}{}", own.find('.').map_or("", |at| &own[at..])),
        None => own,
    };
    Issue::new(severity, code, &text).at(&path)
}

/// The kind of a fault, and its words without what was sent.
fn told(message: &str) -> (IssueType, String) {
    if message == "unknown element" {
        let text = "R4 has no such element here; leave it out, or send it as an extension";
        return (IssueType::Structure, text.into());
    }
    if message == "required element missing" || message.starts_with("needs at least") {
        let text =
            "R4 requires this element here; send it, or an extension that says why it is absent";
        return (IssueType::Required, text.into());
    }
    // "... is not a valid date": what stands before it was sent.
    let is_of_value = !message.ends_with("leave the element out");
    if let Some((_, what)) = message.rsplit_once(" is not a").filter(|_| is_of_value) {
        return (IssueType::Value, format!("the value is not a{what}; send one that is"));
    }
    let (words, _) = message.split_once(", found").unwrap_or((message, ""));
    (IssueType::Structure, format!("{words}; see how R4 writes this element in JSON"))
}

/// Why a resource is not looked at, if it is not.
fn too_much(json: &str) -> Option<Issue> {
    let (objects, keys) = size_of(json);
    let text = if objects > OBJECTS_MAX {
        format!(
            "it has {objects} objects, and at most {OBJECTS_MAX} are looked at; send it in parts"
        )
    } else if keys > KEYS_MAX {
        format!("an object in it has {keys} keys, and none of R4 has {KEYS_MAX}")
    } else {
        return None;
    };
    Some(Issue::new(Severity::Error, IssueType::TooCostly, &text))
}

/// How many objects JSON has, and how many keys the one that has most.
fn size_of(json: &str) -> (usize, usize) {
    let (mut objects, mut most) = (0, 0);
    let mut open = Vec::new();
    let (mut in_text, mut is_escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' => {
                objects += 1;
                open.push(0);
            }
            b'}' => {
                open.pop();
            }
            // Outside of texts it follows a key.
            b':' => {
                if let Some(keys) = open.last_mut() {
                    *keys += 1;
                    most = most.max(*keys);
                }
            }
            _ => {}
        }
    }
    (objects, most)
}

fn busy() -> Outcome {
    let text = "the resource could not be looked at; send it again in a while";
    Outcome::error(IssueType::Transient, text)
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, process::Command};

    use serde_json::{Value, json};

    use super::*;

    /// The same as a gateway does, where a test has none.
    fn check(json: &str) -> Vec<String> {
        let all = match too_much(json) {
            Some(issue) => vec![issue],
            None => {
                let json = json.to_owned();
                let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
                thread.spawn(move || faults_of(&json, None)).unwrap().join().unwrap()
            }
        };
        let line = |it: &Issue| {
            let it: Value = serde_json::to_value(it).unwrap();
            let at = it["expression"][0].as_str().unwrap_or_default();
            format!("{} {at}", it["code"].as_str().unwrap())
        };
        all.iter().map(line).collect()
    }

    #[test]
    fn each_fault_is_told_where_it_is() {
        let patient = |more: Value| {
            let mut patient = json!({ "resourceType": "Patient" });
            patient.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            patient.to_string()
        };
        for (more, expected) in [
            (json!({}), vec![]),
            (json!({ "birthDate": "1974-12-25", "_birthDate": { "id": "a" } }), vec![]),
            (json!({ "eyeColour": "blue" }), vec!["structure Patient.eyeColour"]),
            (json!({ "name": [{ "familiy": "A" }] }), vec!["structure Patient.name[0].familiy"]),
            (json!({ "name": { "family": "A" } }), vec!["structure Patient.name"]),
            (json!({ "name": [] }), vec!["structure Patient.name"]),
            (json!({ "birthDate": ["1974"] }), vec!["structure Patient.birthDate"]),
            (json!({ "birthDate": "25.12.1974" }), vec!["value Patient.birthDate"]),
            (json!({ "birthDate": "1974-13-25" }), vec!["value Patient.birthDate"]),
            (json!({ "active": "true" }), vec!["structure Patient.active"]),
            (json!({ "multipleBirthInteger": 1.5 }), vec!["value Patient.multipleBirthInteger"]),
            (json!({ "gender": "" }), vec!["structure Patient.gender"]),
            (json!({ "gender": "a  b" }), vec!["value Patient.gender"]),
            (json!({ "gender": null }), vec!["structure Patient.gender"]),
            (
                json!({ "extension": [{ "valueCode": "a" }] }),
                vec!["required Patient.extension[0].url"],
            ),
            (
                json!({ "deceasedBoolean": true, "deceasedDateTime": "2020" }),
                vec!["structure Patient.deceased", "structure Patient.deceasedDateTime"],
            ),
            (
                json!({ "contained": [{ "resourceType": "Observation", "status": "final" }] }),
                vec!["required Patient.contained[0].code"],
            ),
            // All of them, and not the first alone.
            (
                json!({ "a": 1, "b": 2, "birthDate": "x" }),
                vec!["value Patient.birthDate", "structure Patient.a", "structure Patient.b"],
            ),
        ] {
            let sent = patient(more);
            assert_eq!(check(&sent), expected, "{sent}");
        }
        let nothing = check(r#"{"resourceType":"Observation"}"#);
        assert_eq!(nothing, ["required Observation.status", "required Observation.code"]);
    }

    #[test]
    fn what_was_sent_is_not_said_again() {
        let secret = "Xq7 secret";
        let sent = json!({
            "resourceType": "Patient", "birthDate": secret, "gender": [secret], "active": secret,
            "name": secret, "multipleBirthInteger": secret, "photo": [{ "size": secret, "data": secret }],
            "meta": { "lastUpdated": secret },
        });
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
        let sent = sent.to_string();
        let all = thread.spawn(move || faults_of(&sent, Some("Bundle.entry[2].resource"))).unwrap();
        let all = all.join().unwrap();
        assert!(all.len() > 5, "{all:?}");
        for issue in &all {
            let text = serde_json::to_string(issue).unwrap();
            assert!(!text.contains("Xq7") && text.contains("Bundle.entry[2].resource."), "{text}");
        }
    }

    #[test]
    fn hostile_resources_are_bounded() {
        let keys = |count: usize| {
            let all: Vec<_> = (0..count).map(|it| format!("\"k{it}\":\"{{:\\\"\"")).collect();
            format!("{{{}}}", all.join(","))
        };
        let few = keys(KEYS_MAX);
        assert_eq!(size_of(&few), (1, KEYS_MAX));
        assert!(too_much(&few).is_none() && too_much(&keys(KEYS_MAX + 1)).is_some());
        let objects = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
        assert!(too_much(&objects(OBJECTS_MAX)).is_none());
        assert!(too_much(&objects(OBJECTS_MAX + 1)).is_some());
        // As deep as anything that is read.
        for (begin, one, within, end) in [
            (
                "{\"resourceType\":\"Patient\",\"extension\":[",
                "{\"url\":\"a\",\"extension\":[",
                30,
                "]}",
            ),
            (
                "{\"resourceType\":\"Patient\",\"contained\":[",
                "{\"resourceType\":\"Claim\",\"contained\":[",
                30,
                "]}",
            ),
            (
                "{\"resourceType\":\"Bundle\",\"entry\":[{\"resource\":",
                "{\"resourceType\":\"Bundle\",\"entry\":[{\"resource\":",
                20,
                "}]}",
            ),
        ] {
            let innermost = "{\"resourceType\":\"Patient\"}";
            let deep =
                format!("{begin}{}{innermost}{}", one.repeat(within), end.repeat(within + 1));
            check(&deep);
        }
    }

    /// The official examples, where they can be installed: none that is valid is refused.
    #[test]
    fn official_examples_have_the_structure() {
        /// Examples that are not valid R4, and the element that is missing, or that is no code.
        const INVALID: [(&str, &str); 15] = [
            ("Bundle-v2-valuesets", "concept.code"),
            ("CodeSystem-v2-0550", "concept.code"),
            ("ImplementationGuide-fhir", "name"),
            ("Questionnaire-qs1", "item.linkId"),
            ("SearchParameter-codesystem-extensions-CodeSystem-author", "base"),
            ("SearchParameter-codesystem-extensions-CodeSystem-effective", "base"),
            ("SearchParameter-codesystem-extensions-CodeSystem-end", "base"),
            ("SearchParameter-codesystem-extensions-CodeSystem-keyword", "base"),
            ("SearchParameter-codesystem-extensions-CodeSystem-workflow", "base"),
            ("SearchParameter-valueset-extensions-ValueSet-author", "base"),
            ("SearchParameter-valueset-extensions-ValueSet-effective", "base"),
            ("SearchParameter-valueset-extensions-ValueSet-end", "base"),
            ("SearchParameter-valueset-extensions-ValueSet-keyword", "base"),
            ("SearchParameter-valueset-extensions-ValueSet-workflow", "base"),
            ("ig-r4", "name"),
        ];

        let Some(folder) = examples() else { return };
        let (mut count, mut refused) = (0, Vec::new());
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let is_one = path.extension().is_some_and(|it| it == "json")
                && text.contains("\"resourceType\"")
                && !name.starts_with('.');
            if is_one {
                count += 1;
                let faults = check(&text);
                if !faults.is_empty() {
                    refused.push((name, faults));
                }
            }
        }
        assert!(count > 5_000, "{count}");
        let expected = |(name, faults): &(String, Vec<String>)| {
            let known = INVALID.iter().find(|(known, _)| known == name);
            // Without the places in lists.
            let path = |fault: &str| {
                let parts = fault.split('[').map(|it| it.split_once(']').map_or(it, |(_, it)| it));
                parts.collect::<String>()
            };
            known.is_some_and(|(_, element)| faults.iter().any(|it| path(it).ends_with(element)))
        };
        let others: Vec<_> = refused.iter().filter(|it| !expected(it)).collect();
        assert!(others.is_empty(), "{} of {count}: {others:#?}", others.len());
        assert_eq!(refused.len(), INVALID.len(), "and those that are not valid still are not");
    }

    /// The folder of the npm package with all examples; nothing where it cannot be installed.
    fn examples() -> Option<std::path::PathBuf> {
        let tests = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/tests/clients/examples.json");
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tmp/examples");
        let package = target.join("node_modules/hl7.fhir.r4.examples");
        if !package.exists() {
            fs::create_dir_all(&target).ok()?;
            fs::copy(tests, target.join("package.json")).ok()?;
            let npm = ["install", "--silent", "--no-audit", "--no-fund"];
            let done = Command::new("npm").args(npm).current_dir(&target).status();
            if !done.is_ok_and(|it| it.success()) {
                println!("SKIPPED: the examples cannot be installed");
                return None;
            }
        }
        Some(package)
    }
}

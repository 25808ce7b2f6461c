//! Merges (A40): a Task in the chart of the patient who remains, for people to decide.
//!
//! A link of the ledger says that charts of *two* organisations are of one person; a merge says it of two numbers of
//! one organisation, and so of charts of its own. Nothing here joins them. What is written is a case: a Task that is
//! `requested`, with the numbers that are given up, and the message as it came, all in the chart of the patient who
//! remains. Whoever decides finds it by `Task?patient=..&status=requested`, and completes it.
//!
//! # Invariants
//!
//! * Both patients are known and each is one, or nothing is written: an `AE` says which is not.
//! * The Task refers to the chart that it is in and to no other. What it says of the other patient is numbers.
//!
//! Not here: a message with several merges, which is refused, since their charts are several.

use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use keepwell_fhir::header::instant;
use keepwell_hl7v2::{
    acknowledge::{Fault, Outcome as Verdict},
    map::{Identifier, Merge},
    message::Message,
    refusal::{ErrorCode, Path},
};
use serde_json::{Value, json};

use super::{commit::Bundle, receive::Arrival};
use crate::transaction::identifier_query;

/// Numbers of one patient that are looked up.
const NUMBERS_MAX: usize = 64;
/// The registered type of a message in ER7.
const MEDIA_TYPE: &str = "x-application/hl7-v2+er7";
/// What the entries of a case call each other.
const BINARY: &str = "urn:uuid:00000000-0000-8000-8000-000000000001";
const ORIGINAL: &str = "urn:uuid:00000000-0000-8000-8000-000000000002";
const TASK: &str = "urn:uuid:00000000-0000-8000-8000-000000000003";

/// The merge of a message that has one.
pub(super) fn only(merges: Vec<Merge>) -> Result<Merge, Verdict> {
    let [merge] = <[Merge; 1]>::try_from(merges).map_err(|several| {
        let path = several.get(1).map(|it| it.path);
        of_content(path, "each merge is a case of its own chart; send a message for each")
    })?;
    if merge.surviving.len().max(merge.subsumed.len()) > NUMBERS_MAX {
        return Err(of_content(Some(merge.path), "these are more numbers than a patient has"));
    }
    Ok(merge)
}

/// The patient who remains, and whether the other one is in another chart.
pub(super) fn who(
    merge: &Merge,
    surviving: &BTreeSet<String>,
    subsumed: &BTreeSet<String>,
) -> Result<(String, bool), Verdict> {
    let occurrence = merge.path.occurrence;
    let remains = one(surviving, Path::segment("PID", occurrence).at(3))?;
    let given_up = one(subsumed, merge.path.at(1))?;
    Ok((remains.clone(), remains != given_up))
}

fn one(found: &BTreeSet<String>, path: Path) -> Result<&String, Verdict> {
    match (found.len(), found.first()) {
        (1, Some(id)) => Ok(id),
        (0, _) => {
            Err(unknown(path, "no patient here has this number; send the patient first (A28)"))
        }
        _ => Err(unknown(path, "several patients here have these numbers; merge them here first")),
    }
}

fn unknown(path: Path, text: &str) -> Verdict {
    Verdict::Error(Fault { code: ErrorCode::UnknownKey, path: Some(path), text: text.into() })
}

fn of_content(path: Option<Path>, text: &str) -> Verdict {
    Verdict::Error(Fault { code: ErrorCode::SegmentSequence, path, text: text.into() })
}

/// What is written in the chart of the patient who remains: the message and, where there is something to decide, a
/// Task.
pub(super) fn case(
    message: &Message,
    arrival: &Arrival<'_>,
    (patient, is_open): (&str, bool),
    merge: &Merge,
) -> Bundle {
    let patient = json!({ "reference": format!("Patient/{patient}") });
    let numbered = |segment: &str, count: &str| {
        let digest = hex::encode(arrival.digest);
        json!({ "system": format!("{}/{segment}", arrival.namespace), "value": format!("{digest}{count}") })
    };
    let binary = json!({
        "resourceType": "Binary", "contentType": MEDIA_TYPE, "securityContext": patient,
        "data": STANDARD.encode(message.bytes()),
    });
    let original = json!({
        "resourceType": "DocumentReference", "identifier": [numbered("MSH", "")],
        "status": "current", "type": { "text": "HL7 v2 message" }, "subject": patient,
        "date": instant(arrival.received_ms),
        "content": [{ "attachment": {
            "contentType": MEDIA_TYPE, "url": BINARY, "size": message.bytes().len(), "title": "ADT^A40",
        } }],
    });
    let input = |it: &Identifier| {
        json!({
            "type": { "text": "a number that is given up" },
            "valueIdentifier": { "system": it.system, "value": it.value },
        })
    };
    let task = json!({
        "resourceType": "Task", "identifier": [numbered("MRG", "/1")],
        "status": "requested", "intent": "proposal", "code": { "text": "merge of two patients" },
        "description": "A sender says that the patient with these numbers is this one. Decide whether it is so; what \
            belongs in this chart is added here.",
        "focus": { "reference": ORIGINAL }, "for": patient, "authoredOn": instant(arrival.received_ms),
        "input": merge.subsumed.iter().map(input).collect::<Vec<_>>(),
    });
    let mut entries =
        vec![entry(BINARY, binary, None), entry(ORIGINAL, original, Some(numbered("MSH", "")))];
    if is_open {
        entries.push(entry(TASK, task, Some(numbered("MRG", "/1"))));
    }
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": entries });
    Bundle { json: bundle.to_string().into_bytes(), original: 1 }
}

fn entry(full_url: &str, resource: Value, identifier: Option<Value>) -> Value {
    let mut request = json!({ "method": "POST", "url": resource["resourceType"] });
    if let Some(identifier) = identifier {
        let part = |name: &str| identifier[name].as_str().unwrap_or_default();
        request["ifNoneExist"] = identifier_query(part("system"), part("value")).into();
    }
    json!({ "fullUrl": full_url, "resource": resource, "request": request })
}

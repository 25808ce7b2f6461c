//! Requests for grants, and cases, as Task.
//!
//! ```text
//! request      Task.status   case                     Task.status   businessStatus
//! waits        requested     waits                    in-progress   waits, extended or late
//! was given    completed     was accepted             completed     accepted
//! was refused  rejected      was denied               rejected      denied
//! withdrawn    cancelled
//! has lapsed   failed
//! ```
//!
//! # Invariants
//!
//! * Each status of a request reads back from its Task as itself, and so does each of a case.
//! * What was said in a case is sealed and does not stand in its Task; neither does a record's content.
//! * A Task in which a key stands twice says nothing.
//!
//! Not here: answering a request or a case, which is signed on the ledger.

use alloc::vec::Vec;

use keepwell_types::{
    access::RecordName,
    case::{CaseKind, DenialGround},
    grant::{GrantTerms, RefusalReason, RequestReason},
    id::{CaseId, GrantId, MemberId, OrganisationId, RequestId},
    time::BlockTime,
};
use serde_json::{Value, json};
use thiserror::Error;

use super::{
    consent::in_words, instant, last_before, member_reference, organisation_reference, own,
    own_concept, own_identifier, record_identifier, reference, security_label::Meanings,
};
use crate::{
    bundle::DEPTH_MAX,
    tree::{Tree, too_deep},
};

/// Bytes of a Task that is read.
pub const TASK_BYTES_MAX: usize = 1 << 20;

/// What has become of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RequestStatus {
    /// It waits for an answer.
    Waits,
    /// This grant was given.
    Given(GrantId),
    /// It was refused.
    Refused(RefusalReason),
    /// Whoever asked asks no longer.
    Withdrawn,
    /// It has waited too long.
    Lapsed,
}

/// What has become of a case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum CaseStatus {
    /// It waits for an answer.
    Waits,
    /// Its time was extended.
    Extended,
    /// Its answer is late.
    Late,
    /// The organisation does what was asked for.
    Accepted,
    /// It does not.
    Denied(DenialGround),
}

/// A request for a grant.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The resource's id.
    pub name: &'a str,
    /// The request's id.
    pub id: RequestId,
    /// The reference to the chart's patient.
    pub patient: &'a str,
    /// Who asks.
    pub member: MemberId,
    /// For which organisation.
    pub organisation: OrganisationId,
    /// What for.
    pub terms: &'a GrantTerms,
    /// What the compartments are for, as far as the reader of the Task may know.
    pub meanings: &'a Meanings,
    /// Why.
    pub reason: RequestReason,
    /// When it was made.
    pub at: BlockTime,
    /// First instant at which it cannot be answered.
    pub until: BlockTime,
    /// What has become of it.
    pub status: RequestStatus,
    /// The reference to the Consent of the grant that was given, as far as there is one.
    pub consent: Option<&'a str>,
}

/// A case.
#[derive(Clone, Copy, Debug)]
pub struct Case<'a> {
    /// The resource's id.
    pub name: &'a str,
    /// The case's id.
    pub id: CaseId,
    /// The reference to the chart's patient.
    pub patient: &'a str,
    /// Who is to answer.
    pub organisation: OrganisationId,
    /// What is asked for.
    pub kind: CaseKind,
    /// Of which record; of the whole chart without it.
    pub record: Option<RecordName>,
    /// Since when.
    pub opened_at: BlockTime,
    /// First instant at which the answer is late.
    pub due: BlockTime,
    /// What has become of it.
    pub status: CaseStatus,
}

/// A request as a Task for whoever controls the chart.
pub fn request(it: &Request<'_>) -> Value {
    let mut task = json!({
        "resourceType": "Task",
        "id": it.name,
        "identifier": [own_identifier("request", it.id)],
        "status": request_code(it.status),
        "intent": "proposal",
        "code": own_concept("task", "grant-request"),
        "description": in_words(it.terms, it.meanings).join(" "),
        "for": reference(it.patient),
        "authoredOn": instant(it.at),
        "requester": requester(it),
        "owner": reference(it.patient),
        "reasonCode": own_concept("request-reason", it.reason.as_str()),
        "restriction": { "period": { "end": instant(last_before(it.until)) } },
    });
    let purposes = it.terms.purposes.iter().map(|purpose| {
        let value = super::concept(super::ACT_REASON, purpose.as_str());
        json!({ "type": own_concept("task-input", "purpose"), "valueCodeableConcept": value })
    });
    task["input"] = purposes.collect();
    match it.status {
        RequestStatus::Given(grant) => {
            let mut consent = json!({
                "type": "Consent", "identifier": own_identifier("grant", grant),
            });
            if let Some(it) = it.consent {
                consent["reference"] = it.into();
            }
            task["output"] = json!([
                { "type": own_concept("task-output", "grant"), "valueReference": consent },
            ]);
        }
        RequestStatus::Refused(reason) => {
            task["statusReason"] = own_concept("refusal-reason", reason.as_str());
        }
        RequestStatus::Waits | RequestStatus::Withdrawn | RequestStatus::Lapsed => {}
    }
    task
}

/// The member, who asks for its organisation.
fn requester(it: &Request<'_>) -> Value {
    let mut requester = reference(&member_reference(it.member));
    let organisation = reference(&organisation_reference(it.organisation));
    requester["extension"] =
        json!([{ "url": own("on-behalf-of"), "valueReference": organisation }]);
    requester
}

/// A case as a Task for the organisation that answers.
pub fn case(it: &Case<'_>) -> Value {
    let (status, word) = case_codes(it.status);
    let mut task = json!({
        "resourceType": "Task",
        "id": it.name,
        "identifier": [own_identifier("case", it.id)],
        "status": status,
        "businessStatus": own_concept("case-status", word),
        "intent": "order",
        "code": own_concept("case", it.kind.as_str()),
        "for": reference(it.patient),
        "authoredOn": instant(it.opened_at),
        "requester": reference(it.patient),
        "owner": reference(&organisation_reference(it.organisation)),
        "restriction": { "period": { "end": instant(last_before(it.due)) } },
    });
    if let Some(name) = it.record {
        task["focus"] = json!({ "identifier": record_identifier(name) });
    }
    if let CaseStatus::Denied(ground) = it.status {
        task["statusReason"] = own_concept("denial-ground", ground.as_str());
    }
    task
}

const fn request_code(status: RequestStatus) -> &'static str {
    match status {
        RequestStatus::Waits => "requested",
        RequestStatus::Given(_) => "completed",
        RequestStatus::Refused(_) => "rejected",
        RequestStatus::Withdrawn => "cancelled",
        RequestStatus::Lapsed => "failed",
    }
}

const fn case_codes(status: CaseStatus) -> (&'static str, &'static str) {
    match status {
        CaseStatus::Waits => ("in-progress", "waits"),
        CaseStatus::Extended => ("in-progress", "extended"),
        CaseStatus::Late => ("in-progress", "late"),
        CaseStatus::Accepted => ("completed", "accepted"),
        CaseStatus::Denied(_) => ("rejected", "denied"),
    }
}

/// Why a Task says nothing of a request or a case.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum TaskError {
    /// Too many bytes.
    #[error("more than {TASK_BYTES_MAX} bytes; send the Task without what is attached to it")]
    TooLarge,
    /// Not JSON, too deep, a key stands twice, or another resource.
    #[error("no Task in JSON with each key once; send one of FHIR R4")]
    NotATask,
    /// The status is none that a request or a case can have.
    #[error("Task.status is none that it can have here; write one of: {0}")]
    Status(&'static str),
    /// What goes with the status is missing or unknown.
    #[error("{0} is missing or none of the ledger's words; add it")]
    Detail(&'static str),
}

const REQUEST_STATUS: TaskError =
    TaskError::Status("draft, requested, received, ready, completed, rejected, cancelled, failed");
const CASE_STATUS: TaskError =
    TaskError::Status("requested, received, in-progress, completed, rejected");
const OUTPUT: TaskError = TaskError::Detail("Task.output with one Consent");
const REASON: TaskError = TaskError::Detail("Task.statusReason");

fn parse(json: &[u8]) -> Result<Tree, TaskError> {
    if json.len() > TASK_BYTES_MAX {
        return Err(TaskError::TooLarge);
    }
    if too_deep(json, DEPTH_MAX).is_some() {
        return Err(TaskError::NotATask);
    }
    let tree: Tree = serde_json::from_slice(json).map_err(|_| TaskError::NotATask)?;
    if tree.text_of("resourceType") == Some("Task") { Ok(tree) } else { Err(TaskError::NotATask) }
}

/// What a Task of at most [`TASK_BYTES_MAX`] bytes says has become of a request.
pub fn request_status(json: &[u8]) -> Result<RequestStatus, TaskError> {
    let task = parse(json)?;
    match task.text_of("status") {
        Some("draft" | "requested" | "received" | "ready") => Ok(RequestStatus::Waits),
        Some("completed") => {
            let outputs = task.items_of("output").iter();
            let identifiers = outputs.filter_map(|it| it.at(&["valueReference", "identifier"]));
            let of_us =
                identifiers.filter(|it| it.text_of("system") == Some(own("grant").as_str()));
            let grants: Vec<_> = of_us.filter_map(|it| it.text_of("value")).collect();
            match grants[..] {
                [grant] => grant.parse().map(RequestStatus::Given).map_err(|_| OUTPUT),
                _ => Err(OUTPUT),
            }
        }
        Some("rejected") => {
            let word = own_code(&task, "statusReason", "refusal-reason");
            let reason = word.and_then(|word| word.parse().ok());
            reason.map(RequestStatus::Refused).ok_or(REASON)
        }
        Some("cancelled") => Ok(RequestStatus::Withdrawn),
        Some("failed") => Ok(RequestStatus::Lapsed),
        Some(_) | None => Err(REQUEST_STATUS),
    }
}

/// What a Task of at most [`TASK_BYTES_MAX`] bytes says has become of a case.
pub fn case_status(json: &[u8]) -> Result<CaseStatus, TaskError> {
    let task = parse(json)?;
    let word = own_code(&task, "businessStatus", "case-status");
    match (task.text_of("status"), word) {
        (Some("in-progress"), Some("waits")) | (Some("requested" | "received"), None) => {
            Ok(CaseStatus::Waits)
        }
        (Some("in-progress"), Some("extended")) => Ok(CaseStatus::Extended),
        (Some("in-progress"), Some("late")) => Ok(CaseStatus::Late),
        (Some("completed"), Some("accepted") | None) => Ok(CaseStatus::Accepted),
        (Some("rejected"), Some("denied") | None) => {
            let ground = own_code(&task, "statusReason", "denial-ground");
            let ground = ground.and_then(|word| word.parse().ok());
            ground.map(CaseStatus::Denied).ok_or(REASON)
        }
        (Some("requested" | "received" | "in-progress" | "completed" | "rejected"), _) => {
            Err(TaskError::Detail("Task.businessStatus"))
        }
        (Some(_) | None, _) => Err(CASE_STATUS),
    }
}

/// The code of ours in a CodeableConcept.
fn own_code<'a>(task: &'a Tree, element: &str, system: &str) -> Option<&'a str> {
    let codings = task.field(element)?.items_of("coding");
    let of_us = codings.iter().find(|it| it.text_of("system") == Some(own(system).as_str()))?;
    of_us.text_of("code")
}

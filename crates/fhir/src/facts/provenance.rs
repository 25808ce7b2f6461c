//! Versions, signatures and redactions as Provenance.
//!
//! ```text
//! a record was added       originate   agent: author and its organisation; entity: what it was imported from
//! a version of it          amend       entity: the version before it, as revision
//! it was signed            attest      signature: ASTM E1762 type for the meaning, when, who
//! it was redacted          destroy     agents: who approved, and custodians that erased it; reason: the ground;
//!                                      target: the record in all its versions
//! ```
//!
//! # Invariants
//!
//! * Each has the entry's place in the chain, by which its receipt can be asked for. That receipt is the evidence; a
//!   Provenance is what others can read of it.
//! * A signature's meaning is the ledger's word, beside ASTM's code where ASTM has one.
//!
//! Not here: who must sign (docs/signoff.md).

use alloc::{format, vec, vec::Vec};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use keepwell_types::{
    access::RecordName,
    id::{Location, OrganisationId, Version},
    member::Party,
    record::RedactionGround,
    signoff::Meaning,
    time::BlockTime,
};
use serde_json::{Value, json};

use super::{
    LIFECYCLE, coding, concept, entry_identifier, instant, organisation_reference, own,
    own_concept, party_reference, record_identifier, reference,
};

/// The codes of what signatures are for (ASTM E1762-95, by ISO 17090-4).
pub const SIGNATURE_TYPE: &str = "urn:iso-astm:E1762-95:2013";
const PARTICIPANT: &str = "http://terminology.hl7.org/CodeSystem/provenance-participant-type";

/// What all of them say.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The resource's id.
    pub id: &'a str,
    /// Where the entry stands.
    pub location: Location,
    /// The time of its block.
    pub time: BlockTime,
    /// The reference to the chart's patient.
    pub patient: &'a str,
    /// The record's resource as others refer to it, `Observation/id`.
    pub target: &'a str,
    /// The number of its version.
    pub version: Version,
    /// How the ledger names the version.
    pub record: RecordName,
}

/// A version of a record.
#[derive(Clone, Copy, Debug)]
pub struct Authored<'a> {
    /// Who added it.
    pub author: Party,
    /// For which organisation.
    pub organisation: Option<OrganisationId>,
    /// The version before it, if it amends one.
    pub amends: Option<Version>,
    /// What it was imported from, in words that name no person: a system, a message's id.
    pub imported_from: Option<&'a str>,
}

/// One signature.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// Who signed.
    pub signer: Party,
    /// For which organisation, where it is known.
    pub organisation: Option<OrganisationId>,
    /// What it says.
    pub meaning: Meaning,
    /// The signature itself, with the type of its format.
    pub proof: Option<(&'a str, &'a [u8])>,
}

/// A redaction that binds.
#[derive(Clone, Copy, Debug)]
pub struct Redacted<'a> {
    /// Why.
    pub ground: RedactionGround,
    /// Who approved it: one party at least, or it would not bind.
    pub approvals: &'a [Party],
    /// The custodians that say that they erased it.
    pub erased_by: &'a [OrganisationId],
}

/// Where a version comes from.
pub fn authored(origin: &Origin<'_>, it: &Authored<'_>) -> Value {
    let activity = if it.amends.is_some() { "amend" } else { "originate" };
    let mut entities = Vec::new();
    if let Some(before) = it.amends {
        let what = reference(&format!("{}/_history/{before}", origin.target));
        entities.push(json!({ "role": "revision", "what": what }));
    }
    if let Some(source) = it.imported_from {
        entities.push(json!({ "role": "source", "what": { "display": source } }));
    }
    let agent = agent("author", party_reference(it.author, origin.patient), it.organisation);
    provenance(origin, activity, &[agent], &entities)
}

/// A signature of a version.
pub fn signed(origin: &Origin<'_>, it: &Signed<'_>) -> Value {
    let who = party_reference(it.signer, origin.patient);
    let agent = agent("attester", who.clone(), it.organisation);
    let mut provenance = provenance(origin, "attest", &[agent], &[]);
    let mut types: Vec<_> =
        astm_code(it.meaning).map(|code| coding(SIGNATURE_TYPE, code)).into_iter().collect();
    types.push(coding(&own("signature-meaning"), it.meaning.as_str()));
    let mut signature = json!({ "type": types, "when": instant(origin.time), "who": who });
    if let Some((format, bytes)) = it.proof {
        signature["sigFormat"] = json!(format);
        signature["data"] = json!(BASE64_STANDARD.encode(bytes));
    }
    provenance["signature"] = json!([signature]);
    provenance
}

/// The end of a record, in all its versions.
pub fn redacted(origin: &Origin<'_>, it: &Redacted<'_>) -> Value {
    let approvals = it
        .approvals
        .iter()
        .map(|party| agent("verifier", party_reference(*party, origin.patient), None));
    let custodians = it
        .erased_by
        .iter()
        .map(|custodian| agent("custodian", reference(&organisation_reference(*custodian)), None));
    let agents: Vec<_> = approvals.chain(custodians).collect();
    let mut provenance = provenance(origin, "destroy", &agents, &[]);
    // With a version it would say that the others are left.
    provenance["target"][0]["reference"] = json!(origin.target);
    provenance["reason"] = json!([own_concept("redaction-ground", it.ground.as_str())]);
    provenance
}

fn provenance(origin: &Origin<'_>, activity: &str, agents: &[Value], entities: &[Value]) -> Value {
    let mut target = reference(&format!("{}/_history/{}", origin.target, origin.version));
    target["identifier"] = record_identifier(origin.record);
    let mut entities = entities.to_vec();
    entities.push(json!({
        "role": "source",
        "what": { "identifier": entry_identifier(origin.location) },
    }));
    json!({
        "resourceType": "Provenance",
        "id": origin.id,
        "target": vec![target],
        "occurredDateTime": instant(origin.time),
        "recorded": instant(origin.time),
        "activity": concept(LIFECYCLE, activity),
        "agent": agents,
        "entity": entities,
    })
}

fn agent(part: &str, who: Value, organisation: Option<OrganisationId>) -> Value {
    let mut agent = json!({ "type": concept(PARTICIPANT, part), "who": who });
    if let Some(organisation) = organisation {
        agent["onBehalfOf"] = reference(&organisation_reference(organisation));
    }
    agent
}

/// ASTM's code for a meaning; nothing where it has none.
pub const fn astm_code(meaning: Meaning) -> Option<&'static str> {
    match meaning {
        Meaning::Authorship => Some("1.2.840.10065.1.12.1.1"),
        Meaning::Verification => Some("1.2.840.10065.1.12.1.5"),
        Meaning::Approval => Some("1.2.840.10065.1.12.1.6"),
        Meaning::Consent => Some("1.2.840.10065.1.12.1.7"),
        Meaning::Witness => Some("1.2.840.10065.1.12.1.11"),
        Meaning::Review => Some("1.2.840.10065.1.12.1.13"),
        Meaning::Responsibility | Meaning::Dispensing => None,
    }
}

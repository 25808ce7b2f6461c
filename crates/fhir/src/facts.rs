//! What the ledger knows, as FHIR R4 resources for systems that speak nothing else.
//!
//! ```text
//! a grant            Consent      IHE PCF where it fits, and back            consent
//! an access          AuditEvent   IHE BALP patterns, BTG for emergencies     audit_event
//! a version          Provenance   signatures with meaning, redactions        provenance
//! a request, a case  Task         status both ways                           task
//! a compartment      DS4P labels  the inverse of `classify`                  security_label
//! a chart            IPS Bundle   `$summary`                                 summary_document
//! ```
//!
//! What FHIR has no element for stands in extensions under [`NAMESPACE`]. One without which a permission would look
//! wider than it is, is a modifier extension: a reader that does not know it must not act on the resource (FHIR R4,
//! section 2.4.1).
//!
//! # Invariants
//!
//! * Ids, times and references are arguments or follow from the ledger's ids: the same facts give the same bytes.
//! * No network address and nothing of a record's content gets into a resource about it.
//!
//! Not here: who may see these resources, and serving them.

pub mod audit_event;
pub mod consent;
pub mod provenance;
pub mod security_label;
pub mod summary_document;
pub mod task;
mod time;

use alloc::{
    format,
    string::{String, ToString},
};
use core::fmt::Display;

use keepwell_types::{
    access::RecordName,
    grant::Grantee,
    id::{Location, LogPosition, MemberId, OrganisationId},
    member::{Party, Role},
    time::BlockTime,
};
use serde_json::{Value, json};

/// What all identifiers, code systems and extensions of our own begin with.
pub const NAMESPACE: &str = "urn:keepwell:";
/// HL7's purposes of use, which the ledger's purposes are words of.
pub const ACT_REASON: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
const PARTICIPATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
const DICOM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const LIFECYCLE: &str = "http://terminology.hl7.org/CodeSystem/iso-21089-lifecycle";
const LOINC: &str = "http://loinc.org";

/// The last instant that a FHIR dateTime can write: 9999-12-31T23:59:59.999Z.
const CALENDAR_END: BlockTime = BlockTime(253_402_300_799_999);

/// A FHIR instant; times after the last of the calendar are that one.
fn instant(time: BlockTime) -> String {
    time.min(CALENDAR_END).to_string()
}

fn own(name: &str) -> String {
    format!("{NAMESPACE}{name}")
}

fn coding(system: &str, code: &str) -> Value {
    json!({ "system": system, "code": code })
}

fn concept(system: &str, code: &str) -> Value {
    json!({ "coding": [coding(system, code)] })
}

fn own_concept(name: &str, code: &str) -> Value {
    concept(&own(name), code)
}

fn own_identifier(name: &str, value: impl Display) -> Value {
    json!({ "system": own(name), "value": value.to_string() })
}

/// The ledger's name of a record, `position/record`. [`record_at`] reads it back.
fn record_text(name: RecordName) -> String {
    format!("{}/{}", name.position, name.record)
}

fn record_identifier(name: RecordName) -> Value {
    own_identifier("record", record_text(name))
}

/// The record of a [`record_text`].
fn record_at(text: &str) -> Option<RecordName> {
    let (position, record) = text.split_once('/')?;
    Some(RecordName { position: LogPosition(position.parse().ok()?), record: record.parse().ok()? })
}

/// The last instant before `until`: a FHIR period includes its end, a window of the ledger does not.
const fn last_before(until: BlockTime) -> BlockTime {
    BlockTime(until.0.saturating_sub(1))
}

fn reference(text: &str) -> Value {
    json!({ "reference": text })
}

/// Where an entry stands in the chain, by which its receipt can be asked for: `height/index`.
fn entry_identifier(location: Location) -> Value {
    own_identifier("entry", format!("{}/{}", location.height, location.index))
}

fn member_reference(member: MemberId) -> String {
    format!("Practitioner/{member}")
}

fn organisation_reference(organisation: OrganisationId) -> String {
    format!("Organization/{organisation}")
}

/// A role as it may stand in a FHIR id, which has no underscores.
fn role_id(role: Role) -> String {
    role.as_str().replace('_', "-")
}

/// The reference to whom a grant names; nothing for everyone. [`grantee_at`] reads it back.
pub fn grantee_reference(grantee: Grantee) -> Option<String> {
    Some(match grantee {
        Grantee::Member(member) => member_reference(member),
        Grantee::Role { organisation, role } => {
            format!("PractitionerRole/{organisation}.{}", role_id(role))
        }
        Grantee::Organisation(organisation) => organisation_reference(organisation),
        Grantee::Everyone => return None,
        Grantee::Team(team) => format!("CareTeam/{team}"),
        Grantee::Group(group) => format!("Group/{group}"),
    })
}

/// Whom a reference of [`grantee_reference`] names.
pub fn grantee_at(reference: &str) -> Option<Grantee> {
    let (kind, id) = reference.split_once('/')?;
    match kind {
        "Practitioner" => id.parse().ok().map(Grantee::Member),
        "Organization" => id.parse().ok().map(Grantee::Organisation),
        "CareTeam" => id.parse().ok().map(Grantee::Team),
        "Group" => id.parse().ok().map(Grantee::Group),
        "PractitionerRole" => {
            let (organisation, role) = id.split_once('.')?;
            let role = Role::ALL.iter().copied().find(|known| role_id(*known) == role)?;
            Some(Grantee::Role { organisation: organisation.parse().ok()?, role })
        }
        _ => None,
    }
}

/// The reference to whoever signed; `patient` is the one to the chart's patient.
fn party_reference(party: Party, patient: &str) -> Value {
    match party {
        Party::Member(member) => reference(&member_reference(member)),
        Party::Controller(_) | Party::Claimant(_) => reference(patient),
        Party::Administrator(organisation)
        | Party::Custodian(organisation)
        | Party::Validator(organisation) => reference(&organisation_reference(organisation)),
        Party::Proxy(_, proxy) => reference(&format!("RelatedPerson/{proxy}")),
        Party::Guardian(chart) => json!({
            "type": "RelatedPerson",
            "identifier": own_identifier("guardian-of-chart", chart),
        }),
        Party::Successor(chart) => json!({
            "type": "RelatedPerson",
            "identifier": own_identifier("successor-of-chart", chart),
        }),
    }
}

#[cfg(test)]
mod tests {
    use keepwell_types::id::{GroupId, RecordId, TeamId};

    use super::*;

    #[test]
    fn names_of_records_read_back() {
        let name = RecordName { position: LogPosition(u64::MAX), record: RecordId([7; 32]) };
        let written = record_text(name);
        assert_eq!(record_at(&written), Some(name), "{written}");
        for other in ["", "4", "4/", "/", "-4/x", &written.replacen('/', "//", 1)] {
            assert_eq!(record_at(other), None, "{other}");
        }
    }

    #[test]
    fn references_to_grantees_read_back() {
        let organisation = OrganisationId([7; 16]);
        let roles = Role::ALL.iter().map(|role| Grantee::Role { organisation, role: *role });
        let others = [
            Grantee::Member(MemberId([1; 16])),
            Grantee::Organisation(organisation),
            Grantee::Team(TeamId([2; 16])),
            Grantee::Group(GroupId([3; 16])),
        ];
        for grantee in roles.chain(others) {
            let written = grantee_reference(grantee).expect("it is somebody");
            assert_eq!(grantee_at(&written), Some(grantee), "{written}");
            let id = written.split_once('/').expect("a type and an id").1;
            assert!(id.len() <= 64 && !id.contains('_'), "{written}");
        }
        assert_eq!(grantee_reference(Grantee::Everyone), None);
        for other in ["", "Practitioner", "Practitioner/1", "Device/00", "PractitionerRole/x.y"] {
            assert_eq!(grantee_at(other), None, "{other}");
        }
    }
}

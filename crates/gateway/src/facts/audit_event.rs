//! Accesses and emergencies of a chart's log, as AuditEvents by IHE's patterns.
//!
//! ```text
//! access.open            read, search, or why it was refused; for the purpose BTG where the glass was broken
//! access.break_glass     an emergency began
//! access.close           it was ended by hand
//! ```
//!
//! Roles are left out: the ledger says what a member's are now, and not what they were.
//!
//! Not here: writes, of which the records themselves and their versions tell; a glass that the ledger did not let break;
//! ends of emergencies whose time was over, which no entry says; disclosures out of the consortium.

use std::collections::BTreeMap;

use keepwell_client::verify::LogLine;
use keepwell_fhir::facts::audit_event::{Access, Emergency, Event, access, emergency};
use keepwell_types::{
    access::BreakGlass,
    command::Payload,
    id::{LogPosition, OrganisationId},
    outcome::Verdict,
    set::RoleSet,
};
use serde_json::Value;

use super::signer_of;

/// The program that asked for its signer: which one it was the ledger does not know.
const CLIENT: &str = "urn:keepwell:client";
/// The consortium, which decided.
const SERVER: &str = "urn:keepwell:ledger";

/// Whether there is an AuditEvent of a line.
pub(super) fn is_of(line: &LogLine) -> bool {
    match line.entry.payload() {
        Payload::AccessOpen(_) => true,
        Payload::BreakGlass(_) | Payload::EmergencyClose(_) => line.outcome.verdict.is_accepted(),
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others are no accesses")]
        _ => false,
    }
}

/// The emergencies that began, by where.
pub(super) fn broken_in(lines: &[LogLine]) -> BTreeMap<LogPosition, BreakGlass> {
    let broken =
        lines.iter().filter(|it| is_of(it)).filter_map(|line| match line.entry.payload() {
            Payload::BreakGlass(it) => Some((line.position, it.clone())),
            #[expect(clippy::wildcard_enum_match_arm, reason = "all others begin none")]
            _ => None,
        });
    broken.collect()
}

/// The AuditEvent of a line, with this id and about this patient.
pub(super) fn of_line(
    line: &LogLine,
    (id, patient): (&str, &str),
    organisation: Option<OrganisationId>,
    broken: &BTreeMap<LogPosition, BreakGlass>,
) -> Option<Value> {
    if !is_of(line) {
        return None;
    }
    let event = Event {
        id,
        location: line.outcome.location,
        time: line.outcome.time,
        patient,
        who: signer_of(line)?,
        organisation,
        roles: RoleSet::EMPTY,
        client: CLIENT,
        server: SERVER,
    };
    Some(match line.entry.payload() {
        Payload::AccessOpen(it) => {
            let refused = match &line.outcome.verdict {
                Verdict::Accepted => None,
                Verdict::Rejected(rejection) => Some(rejection),
            };
            access(&event, &Access { purpose: it.purpose, target: &it.target, refused })
        }
        Payload::BreakGlass(it) => {
            emergency(&event, Emergency::Started, it.reason, it.compartments)
        }
        Payload::EmergencyClose(it) => {
            let begun = broken.get(&it.emergency)?;
            emergency(&event, Emergency::Stopped, begun.reason, begun.compartments)
        }
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others are no accesses")]
        _ => return None,
    })
}

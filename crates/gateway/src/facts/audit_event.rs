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
    access::{AccessOpen, BreakGlass, EmergencyClose},
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

/// What a line tells.
enum Told<'a> {
    Access(&'a AccessOpen),
    Begun(&'a BreakGlass),
    Ended(&'a EmergencyClose),
}

impl<'a> Told<'a> {
    /// Nothing of a line of which there is no AuditEvent.
    fn by(line: &'a LogLine) -> Option<Self> {
        let is_accepted = line.outcome.verdict.is_accepted();
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others are no accesses")]
        match line.entry.payload() {
            Payload::AccessOpen(it) => Some(Self::Access(it)),
            Payload::BreakGlass(it) => is_accepted.then_some(Self::Begun(it)),
            Payload::EmergencyClose(it) => is_accepted.then_some(Self::Ended(it)),
            _ => None,
        }
    }
}

/// Whether there is an AuditEvent of a line.
pub(super) fn is_of(line: &LogLine) -> bool {
    Told::by(line).is_some()
}

/// Whether a line tells of the end of what began in another.
pub(super) fn is_end(line: &LogLine) -> bool {
    matches!(Told::by(line), Some(Told::Ended(_)))
}

/// The emergencies that began, by where.
pub(super) fn broken_in(lines: &[LogLine]) -> BTreeMap<LogPosition, BreakGlass> {
    let broken = lines.iter().filter_map(|line| match Told::by(line)? {
        Told::Begun(it) => Some((line.position, it.clone())),
        Told::Access(_) | Told::Ended(_) => None,
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
    let told = Told::by(line)?;
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
    Some(match told {
        Told::Access(it) => {
            let refused = match &line.outcome.verdict {
                Verdict::Accepted => None,
                Verdict::Rejected(rejection) => Some(rejection),
            };
            access(&event, &Access { purpose: it.purpose, target: &it.target, refused })
        }
        Told::Begun(it) => emergency(&event, Emergency::Started, it.reason, it.compartments),
        Told::Ended(it) => {
            let begun = broken.get(&it.emergency)?;
            emergency(&event, Emergency::Stopped, begun.reason, begun.compartments)
        }
    })
}

#[cfg(test)]
mod tests {
    use keepwell_types::{
        access::{EmergencyReason, Purpose, Target},
        command::{COMMAND_VERSION, Command, Entry, SignedCommand},
        encoding::List,
        id::{ChainId, ChartId, CommandDigest, CommandId, Digest, Height, Location, MemberId},
        member::Party,
        outcome::{Outcome, Rejection},
        set::CompartmentSet,
        time::{BlockTime, Window},
    };

    use super::*;

    const CHART: ChartId = ChartId([0xc0; 32]);
    const BROKEN_AT: LogPosition = LogPosition(3);

    fn line(position: LogPosition, payload: Payload, verdict: Verdict) -> LogLine {
        let time = BlockTime(1_795_238_400_000 + position.0);
        let command = Command {
            version: COMMAND_VERSION,
            chain: ChainId([1; 32]),
            id: CommandId([2; 16]),
            window: Window { from: time, until: time.plus_ms(1) },
            signers: List::from_vec(vec![Party::Member(MemberId([1; 16]))]).unwrap(),
            payload,
            part: None,
        };
        let location = Location { height: Height(position.0 + 2), index: 0 };
        let outcome = Outcome { location, time, command: CommandDigest([3; 32]), verdict };
        let entry = Entry::Signed(SignedCommand { command, signatures: List::new() });
        LogLine { position, entry, outcome }
    }

    fn opened() -> Payload {
        Payload::AccessOpen(AccessOpen {
            chart: CHART,
            target: Target::Compartments { compartments: CompartmentSet::all(), until: BROKEN_AT },
            purpose: Purpose::BreakGlass,
            reader_key: Digest([2; 32]),
            notice: 1,
        })
    }

    fn broken() -> Payload {
        Payload::BreakGlass(BreakGlass {
            chart: CHART,
            compartments: CompartmentSet::all(),
            reason: EmergencyReason::Danger,
            until: BlockTime(u64::MAX),
        })
    }

    fn closed(emergency: LogPosition) -> Payload {
        Payload::EmergencyClose(EmergencyClose { chart: CHART, emergency })
    }

    #[test]
    fn emergencies_begin_and_end_and_what_is_refused_does_neither() {
        let refused = || Verdict::Rejected(Rejection::NotGranted);
        let known = broken_in(&[line(BROKEN_AT, broken(), Verdict::Accepted)]);
        assert_eq!(broken_in(&[line(BROKEN_AT, broken(), refused())]).len(), 0);
        for (payload, verdict, subtype, outcome) in [
            (broken(), Verdict::Accepted, Some("110127"), "0"),
            (broken(), refused(), None, ""),
            (closed(BROKEN_AT), Verdict::Accepted, Some("110138"), "0"),
            (closed(BROKEN_AT), refused(), None, ""),
            // Of what nobody began.
            (closed(LogPosition(9)), Verdict::Accepted, None, ""),
            (opened(), Verdict::Accepted, Some("search"), "0"),
            (opened(), refused(), Some("AuthZ-Consent"), "8"),
        ] {
            let line = line(LogPosition(5), payload, verdict);
            let event = of_line(&line, ("7-0-a", "Patient/ana"), None, &known);
            let found = event.as_ref().and_then(|it| it["subtype"][0]["code"].as_str());
            assert_eq!(found, subtype, "{line:?}");
            let Some(event) = event else { continue };
            assert_eq!(event["outcome"], outcome, "{event}");
            assert_eq!(event["purposeOfEvent"][0]["coding"][0]["code"], "BTG", "{event}");
            assert_eq!(event["entity"][0]["what"]["reference"], "Patient/ana", "{event}");
            assert_eq!(event["entity"][1]["what"]["identifier"]["value"], "7/0", "{event}");
        }
    }
}

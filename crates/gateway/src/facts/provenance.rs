//! Where the versions of a chart's resources come from, and who signed them, as Provenance.
//!
//! # Invariants
//!
//! * A Provenance tells that its target is there. It is shown as its target is: under an access to that record, and only
//!   where the token is good for the target's type too.
//!
//! Not here: of what a record was imported, which the ledger does not know; redactions, since of what was redacted nothing
//! is in the index.

use keepwell_client::{open::RecordFacts, verify::LogLine};
use keepwell_fhir::{
    facts::provenance::{Authored, Origin, Signed, authored, signed},
    outcome::Outcome,
};
use keepwell_types::{
    access::RecordName,
    command::Payload,
    id::{RecordId, Version},
};

use super::{Fact, Log, signer_of};
use crate::{
    answer::no_index,
    gateway::{Found, Gateway},
};

/// Whether there may be a Provenance of a line.
pub(super) fn is_of(line: &LogLine) -> bool {
    let is_of = matches!(line.entry.payload(), Payload::RecordAdd(_) | Payload::RecordApprove(_));
    is_of && line.outcome.verdict.is_accepted()
}

impl Gateway {
    /// The origins and signatures that a chart's log has, of what is in the index.
    pub(super) async fn origins(&self, log: &Log<'_>) -> Result<Vec<Fact>, Outcome> {
        let mut facts = Vec::new();
        for line in log.lines {
            let Some(record) = record_of(line) else { continue };
            let target = self.index.of_record(log.chart, record).await;
            let target = target.map_err(|error| no_index(&error))?.and_then(Found::of);
            let Some(target) = target else { continue };
            facts.extend(self.origin(log, line, target));
        }
        Ok(facts)
    }

    fn origin(&self, log: &Log<'_>, line: &LogLine, target: Found) -> Option<Fact> {
        let (signer, path) = (signer_of(line)?, target.path());
        let organisation = log.organisations.get(&signer).copied();
        let version = Version(u32::try_from(target.version.number).ok()?);
        let location = line.outcome.location;
        let (position, record) = (target.version.position, target.version.record);
        let origin = Origin {
            id: &self.terms().fact("Provenance", location),
            location,
            time: line.outcome.time,
            patient: &log.patient,
            target: &path,
            version,
            record: RecordName { position, record },
        };
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others are no origins")]
        let resource = match line.entry.payload() {
            Payload::RecordAdd(add) => {
                let amends = add.amends.as_ref().and_then(|_| version.0.checked_sub(1));
                let amends = amends.filter(|it| *it > 0).map(Version);
                let it = Authored { author: signer, organisation, amends, imported_from: None };
                authored(&origin, &it)
            }
            Payload::RecordApprove(it) => {
                signed(&origin, &Signed { signer, organisation, meaning: it.meaning, proof: None })
            }
            _ => return None,
        };
        Some(Fact { target: Some(target), ..Fact::new(line, resource) })
    }
}

/// The record that a line adds or signs.
fn record_of(line: &LogLine) -> Option<RecordId> {
    if let Payload::RecordApprove(it) = line.entry.payload() {
        return Some(it.record.record);
    }
    RecordFacts::of_line(line).map(|it| it.name.record)
}

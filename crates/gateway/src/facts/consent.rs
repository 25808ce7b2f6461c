//! Grants of a chart, as Consents by IHE's Privacy Consent on FHIR.
//!
//! Each is shown as it stands now: as it was given or limited last, and whether it is over.
//!
//! Not here: how it stood before, which the chart's log has; giving, limiting and revoking, which the patient's wallet or
//! the organisation's officer signs on the ledger.

use std::collections::BTreeMap;

use keepwell_client::verify::LogLine;
use keepwell_fhir::{
    facts::consent::{Grant, Setting, write},
    outcome::Outcome,
};
use keepwell_ledger::state;
use keepwell_types::{
    command::Payload,
    grant::Grantee,
    id::{GrantId, LogPosition, OrganisationId},
    member::Party,
    time::BlockTime,
};
use serde_json::Value;

use super::{Fact, Log, given_in};
use crate::{
    answer::refused,
    gateway::{Asker, Gateway, PATIENTS},
};

/// Where the consortium says by which policy grants are given.
const POLICY: &str = "urn:keepwell:policy";

/// Whether a Consent depends on a line.
pub(super) fn is_of(line: &LogLine) -> bool {
    let payload = line.entry.payload();
    line.outcome.verdict.is_accepted()
        && (payload.given_grant().is_some()
            || matches!(
                payload,
                Payload::GrantLimit(_)
                    | Payload::GrantRevoke(_)
                    | Payload::GrantRevokeOrganisation(_)
            ))
}

impl Gateway {
    /// The grants that a chart's log has.
    pub(super) async fn consents(
        &self,
        asker: &Asker,
        log: &Log<'_>,
    ) -> Result<Vec<Fact>, Outcome> {
        let ends = ends_in(log.lines);
        let mut facts = Vec::new();
        for (grant, line) in given_in(log.lines) {
            let entry = self.client.grant(&asker.actor, log.chart, grant).await;
            let entry = entry.map_err(|error| refused(&error))?;
            let ended = self.ended_by(asker, &entry, &ends.organisations).await?;
            let fact = self.consent(log, (grant, line), &entry, ended)?;
            facts.extend(fact.map(|resource| {
                let (number, time) =
                    ends.changes.get(&grant).copied().unwrap_or((0, entry.given_at));
                Fact { number: number + 1, time, ..Fact::new(line, resource) }
            }));
        }
        Ok(facts)
    }

    fn consent(
        &self,
        log: &Log<'_>,
        (id, line): (GrantId, &LogLine),
        entry: &state::Grant,
        ended: Option<BlockTime>,
    ) -> Result<Option<Value>, Outcome> {
        let name = self.terms().fact("Consent", line.outcome.location);
        let grant = Grant {
            name: &name,
            id,
            terms: &entry.terms,
            given_at: entry.given_at,
            location: line.outcome.location,
            revoked_at: entry.revoked_at.or(ended),
            accesses_used: entry.accesses_used,
            passed_from: entry.passed.map(|it| it.from),
        };
        let setting = Setting {
            patient: &log.patient,
            organisation: log.entry.organisation,
            meanings: &log.meanings,
            separate_consent: log.entry.separate_consent,
            policy: POLICY,
            now: log.now,
        };
        match write(&grant, &setting) {
            Ok(written) => Ok(Some(written.consent)),
            Err(error) => {
                tracing::warn!(%error, "a grant cannot be shown as a Consent");
                Ok(None)
            }
        }
    }

    /// When all that the grantee's organisation had was ended, if the grant was given before.
    async fn ended_by(
        &self,
        asker: &Asker,
        grant: &state::Grant,
        ends: &[(OrganisationId, LogPosition, BlockTime)],
    ) -> Result<Option<BlockTime>, Outcome> {
        let organisation = match grant.terms.grantee {
            Grantee::Organisation(it) | Grantee::Role { organisation: it, .. } => Some(it),
            Grantee::Member(it) if !ends.is_empty() => {
                let of = self.organisation_of(&asker.actor, Party::Member(it)).await;
                of.ok().filter(|it| *it != PATIENTS)
            }
            Grantee::Member(_) | Grantee::Everyone | Grantee::Team(_) | Grantee::Group(_) => None,
        };
        let is_ended = |before: LogPosition| grant.is_ended_by(Some(&state::Cutoff { before }));
        let mut ends = ends.iter().filter(|(it, ..)| Some(*it) == organisation);
        Ok(ends.find(|(_, before, _)| is_ended(*before)).map(|(.., at)| *at))
    }
}

/// What became of grants.
struct Ends {
    /// How often each was limited or revoked, and when last.
    changes: BTreeMap<GrantId, (u64, BlockTime)>,
    /// The organisations of which everything ended, where, and when.
    organisations: Vec<(OrganisationId, LogPosition, BlockTime)>,
}

fn ends_in(lines: &[LogLine]) -> Ends {
    let mut ends = Ends { changes: BTreeMap::new(), organisations: Vec::new() };
    for line in lines {
        let time = line.outcome.time;
        #[expect(clippy::wildcard_enum_match_arm, reason = "no other command takes from a grant")]
        let changed = match line.entry.payload() {
            Payload::GrantLimit(it) => it.grant,
            Payload::GrantRevoke(it) => it.grant,
            Payload::GrantRevokeOrganisation(it) => {
                ends.organisations.push((it.organisation, line.position, time));
                continue;
            }
            _ => continue,
        };
        let change = ends.changes.entry(changed).or_insert((0, time));
        *change = (change.0 + 1, time);
    }
    ends
}

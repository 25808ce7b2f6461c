//! Requests for grants, and cases, as Tasks.
//!
//! Each is shown as it stands now.
//!
//! Not here: answering them, which is signed on the ledger; what was said in a case, which is sealed.

use keepwell_client::{request::requests_in, verify::LogLine};
use keepwell_fhir::{
    facts::task::{Case, CaseStatus, Request, RequestStatus, case, request},
    outcome::Outcome,
};
use keepwell_ledger::state::{self, RequestEnd};
use keepwell_types::{
    case::{CaseDecision, CaseOpen},
    command::Payload,
    member::Party,
    time::BlockTime,
};
use serde_json::Value;

use super::{Fact, Log, given_in};
use crate::{
    answer::refused,
    gateway::{Asker, Gateway},
};

/// Whether a Task depends on a line.
pub(super) fn is_of(line: &LogLine) -> bool {
    let is_of = matches!(
        line.entry.payload(),
        Payload::GrantRequest(_)
            | Payload::GrantAnswer(_)
            | Payload::GrantWithdraw(_)
            | Payload::CaseOpen(_)
            | Payload::CaseExtend(_)
            | Payload::CaseDecide(_)
    );
    is_of && line.outcome.verdict.is_accepted()
}

impl Gateway {
    /// The requests and the cases that a chart's log has.
    pub(super) async fn tasks(&self, asker: &Asker, log: &Log<'_>) -> Result<Vec<Fact>, Outcome> {
        let mut facts = self.requests(log);
        for line in log.lines {
            if let Payload::CaseOpen(open) = line.entry.payload() {
                let entry = self.client.case(&asker.actor, log.chart, open.case, None).await;
                let entry = entry.map_err(|error| refused(&error))?;
                facts.push(self.case(log, (line, open), &entry));
            }
        }
        Ok(facts)
    }

    fn requests(&self, log: &Log<'_>) -> Vec<Fact> {
        let mut facts = Vec::new();
        for listed in requests_in(log.lines) {
            let is_it = |line: &&LogLine| matches!(line.entry.payload(), Payload::GrantRequest(it) if it.request == listed.asked.request);
            let Some(line) = log.lines.iter().find(is_it) else { continue };
            let Some(&organisation) = log.organisations.get(&Party::Member(listed.member)) else {
                continue;
            };
            let status = match listed.end {
                Some(RequestEnd::Given(grant)) => RequestStatus::Given(grant),
                Some(RequestEnd::Refused(reason)) => RequestStatus::Refused(reason),
                Some(RequestEnd::Withdrawn) => RequestStatus::Withdrawn,
                None if listed.waits(log.now) => RequestStatus::Waits,
                None => RequestStatus::Lapsed,
            };
            let name = self.terms().fact("Task", line.outcome.location);
            let consent = self.consent_of(log, status);
            let resource = request(&Request {
                name: &name,
                id: listed.asked.request,
                patient: &log.patient,
                member: listed.member,
                organisation,
                terms: &listed.asked.terms,
                meanings: &log.meanings,
                reason: listed.asked.reason,
                at: listed.at,
                until: listed.asked.until,
                status,
                consent: consent.as_deref(),
            });
            let ended = ended(log.lines, &listed.asked.request);
            facts.push(changed(line, resource, ended));
        }
        facts
    }

    /// The reference to the Consent of the grant that a request was answered with.
    fn consent_of(&self, log: &Log<'_>, status: RequestStatus) -> Option<String> {
        let RequestStatus::Given(grant) = status else { return None };
        let (_, line) = given_in(log.lines).find(|(it, _)| *it == grant)?;
        Some(format!("Consent/{}", self.terms().fact("Consent", line.outcome.location)))
    }

    fn case(
        &self,
        log: &Log<'_>,
        (line, open): (&LogLine, &CaseOpen),
        entry: &state::Case,
    ) -> Fact {
        let status = match entry.decided.map(|it| it.decision) {
            Some(CaseDecision::Accept) => CaseStatus::Accepted,
            Some(CaseDecision::Deny { ground, .. }) => CaseStatus::Denied(ground),
            None if entry.is_late(log.now) => CaseStatus::Late,
            None if entry.extended => CaseStatus::Extended,
            None => CaseStatus::Waits,
        };
        let resource = case(&Case {
            name: &self.terms().fact("Task", line.outcome.location),
            id: open.case,
            patient: &log.patient,
            organisation: log.entry.organisation,
            kind: entry.kind,
            record: open.record,
            opened_at: entry.opened_at,
            due: entry.due,
            status,
        });
        changed(line, resource, entry.decided.map(|it| it.at))
    }
}

/// The fact of a line, which has a second version since something became of it.
fn changed(line: &LogLine, resource: Value, since: Option<BlockTime>) -> Fact {
    let fact = Fact::new(line, resource);
    match since {
        Some(time) => Fact { number: 2, time, ..fact },
        None => fact,
    }
}

/// When a request was answered or withdrawn.
fn ended(lines: &[LogLine], id: &keepwell_types::id::RequestId) -> Option<BlockTime> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "no other command ends a request")]
    let of = |line: &LogLine| match line.entry.payload() {
        Payload::GrantAnswer(it) => Some(it.request),
        Payload::GrantWithdraw(it) => Some(it.request),
        _ => None,
    };
    let line = lines.iter().find(|line| of(line).as_ref() == Some(id))?;
    Some(line.outcome.time)
}

//! The ledger's own facts among the resources of a chart: made of its log whenever they are asked for, and kept nowhere.
//!
//! ```text
//! the chart's log, as whoever asks may read it -- facts of keepwell_fhir --> AuditEvent
//!                                                                             | beside the records of that type
//!                                                                             v
//!                                                                  read, vread, history, search
//! ```
//!
//! An id is `HEIGHT-INDEX-TERM`: where the entry stands in the chain, and a term of that under the organisation's key.
//!
//! # Invariants
//!
//! * Who reads the log is the asker, not the gateway: whom the ledger's nodes do not show a chart's log has no facts of it.
//!   They show it to members of the chart's organisation and to whoever acts for the patient.
//! * Before a fact is shown an access to the patient's record is committed and allowed, in the asker's name and for the
//!   asker's purpose. For whom it is refused the patient is not there, and neither is the log.
//! * Nobody but the gateway can make an id of a fact, so that no record that was sent before has one. Of a record that was
//!   given such an id afterwards, in a file, a read shows the fact; searches show both.
//! * What a search finds among facts is decided by the same code as among records: no parameter is understood for the ones
//!   and left out for the others.
//!
//! Not here: facts in `$everything`, in histories of a type and for conditions of writes; writing facts, which the ledger
//! does; grants, versions and requests as Consent, Provenance and Task.

mod audit_event;

use std::collections::BTreeMap;

use keepwell_client::{
    ClientError,
    error::UsageError,
    verify::{LogLine, LogMark},
};
use keepwell_fhir::{
    header::instant,
    interaction::{Id, ResourceType},
    outcome::{IssueType, Outcome},
    search::Entry,
};
use keepwell_types::{
    command::Entry as Signed,
    id::{ChartId, Height, OrganisationId},
    member::Party,
};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{
    answer::{no_index, refused},
    follow::FollowError,
    gateway::{Asker, Found, Gateway, PATIENTS},
    index::{Find, Version},
    search::{POOL_MAX, too_costly},
};

/// The type of which the ledger has facts.
const AUDIT_EVENT: &str = "AuditEvent";

/// Whether the ledger has facts of a type.
pub(crate) fn are_of(resource_type: &str) -> bool {
    resource_type == AUDIT_EVENT
}

/// What is to be said of a type of which the ledger has facts.
pub(crate) fn documentation(resource_type: &str) -> Option<&'static str> {
    are_of(resource_type).then_some("Beside records of this type, read, vread, history-instance and search-type show each access to the patient's chart and each emergency in it, out of the ledger, by IHE BALP. They are shown to members of the chart's organisation who may read the patient's record, and are never written.")
}

/// Facts of one chart, and the block after which they are complete.
pub(crate) type Facts = (Vec<Found>, Height);

impl Gateway {
    /// The facts of a type in a chart that stand in blocks up to `until` and are wanted, the newest first. Nothing for whom
    /// the patient is not there, or who may not read the log.
    pub(crate) async fn facts(
        &self,
        asker: &Asker,
        (chart, of): (ChartId, &str),
        until: Option<Height>,
        is_wanted: impl Fn(&Entry<'_>) -> bool,
    ) -> Result<Option<Facts>, Outcome> {
        let patient = if are_of(of) { self.patient_in(chart).await? } else { None };
        let Some(patient) = patient else { return Ok(None) };
        if !self.may_look_at(asker, &patient.version).await? {
            return Ok(None);
        }
        let Some((lines, height)) = self.lines(asker, chart, until).await? else { return Ok(None) };
        let organisations = self.organisations_in(asker, &lines).await?;
        let (broken, path) = (audit_event::broken_in(&lines), patient.path());
        let mut found = Vec::new();
        for line in lines.iter().rev() {
            let id = self.terms().fact(of, line.outcome.location);
            let who = signer_of(line).and_then(|party| organisations.get(&party).copied());
            let Some(resource) = audit_event::of_line(line, (&id, &path), who, &broken) else {
                continue;
            };
            let time = instant(line.outcome.time.0);
            if is_wanted(&Entry::new(&resource, &id, &time)) {
                let fact = found_of(&patient.version, line, resource);
                found.extend(Some(fact).filter(|it| asker.sight.shows_found(it)));
            }
            if found.len() > POOL_MAX {
                return Err(too_costly());
            }
        }
        Ok(Some((found, height)))
    }

    /// The fact with an id, if it is one of a fact that whoever asks may see.
    pub(crate) async fn fact(
        &self,
        asker: &Asker,
        of: ResourceType,
        id: &Id,
    ) -> Result<Option<Found>, Outcome> {
        let at =
            if are_of(of.as_str()) { self.terms().fact_at(of.as_str(), id.as_str()) } else { None };
        let Some(at) = at else { return Ok(None) };
        let entry = match self.client.receipt(&asker.actor, at).await {
            Ok(decided) => decided,
            Err(error) if is_closed(&error) => return Ok(None),
            Err(error) => return Err(refused(&error)),
        };
        let Some(chart) = entry.verified().entry().payload().chart() else { return Ok(None) };
        let is_it = |it: &Entry<'_>| it.id() == id.as_str();
        let facts = self.facts(asker, (chart, of.as_str()), Some(at.height), is_it).await?;
        Ok(facts.and_then(|(mut found, _)| found.pop()))
    }

    /// The Patient of a chart, as far as it is in the index.
    async fn patient_in(&self, chart: ChartId) -> Result<Option<Found>, Outcome> {
        let (kinds, terms) = ([self.terms().patients()], [vec![self.terms().patient_of(chart)]]);
        let at = self.index.now().await.map_err(|error| no_index(&error))?;
        let find = Find { kinds: &kinds, terms: &terms, at, after: 0, rows_max: 1 };
        let rows = self.index.find(&find).await.map_err(|error| no_index(&error))?;
        Ok(rows.into_iter().find_map(Found::of))
    }

    /// The lines of a chart's log of which there are facts, up to a block, and the block after which they are complete;
    /// nothing for who may not read it.
    async fn lines(
        &self,
        asker: &Asker,
        chart: ChartId,
        until: Option<Height>,
    ) -> Result<Option<(Vec<LogLine>, Height)>, Outcome> {
        let keep = |lines: &mut Vec<LogLine>, line: LogLine| {
            let is_before = until.is_none_or(|until| line.outcome.location.height <= until);
            if is_before && audit_event::is_of(&line) {
                lines.push(line);
            }
        };
        let log = self.client.fold_log(&asker.actor, chart, LogMark::START, Vec::new(), keep).await;
        match log {
            Ok((lines, _, header)) => {
                let height = header.header().height;
                let until = until.unwrap_or(height);
                if height < until { Err(behind()) } else { Ok(Some((lines, until))) }
            }
            Err(error) if is_closed(&error) => Ok(None),
            Err(error) => Err(refused(&error)),
        }
    }

    /// For whom the members acted who signed: nothing of others, and of who is no member of this consortium.
    async fn organisations_in(
        &self,
        asker: &Asker,
        lines: &[LogLine],
    ) -> Result<BTreeMap<Party, OrganisationId>, Outcome> {
        let mut organisations = BTreeMap::new();
        for party in lines.iter().filter_map(signer_of) {
            if organisations.contains_key(&party) {
                continue;
            }
            match self.organisation_of(&asker.actor, party).await {
                Ok(PATIENTS)
                | Err(FollowError::Client(ClientError::Usage(UsageError::NoSuchMember(_)))) => {}
                Ok(organisation) => {
                    organisations.insert(party, organisation);
                }
                Err(FollowError::Client(error)) => return Err(refused(&error)),
                Err(FollowError::Index(error)) => return Err(no_index(&error)),
            }
        }
        Ok(organisations)
    }
}

/// A fact as it is found: under the access to the patient's record, which is there already.
fn found_of(patient: &Version, line: &LogLine, resource: Value) -> Found {
    let body = Zeroizing::new(resource.to_string().into_bytes());
    // Behind all records of the index, and the newest first: what comes after moves none of them.
    let row = u64::MAX - line.position.0;
    let version = Version { row, number: 1, time: line.outcome.time, body, ..patient.clone() };
    Found { version, resource, is_allowed: true }
}

/// A page would lack what the one before it had.
fn behind() -> Outcome {
    let text = "the nodes are behind what they have shown before; ask again in a while";
    Outcome::error(IssueType::Transient, text)
}

/// Who signed first.
fn signer_of(line: &LogLine) -> Option<Party> {
    match &line.entry {
        Signed::Signed(signed) => signed.command.signers.first().copied(),
        Signed::Genesis(_) => None,
    }
}

/// Whether a node says that the asker may not have it, or that it is not there: to whoever asks here the two are one.
fn is_closed(error: &ClientError) -> bool {
    matches!(error, ClientError::Node(error) if error.fault.is_forbidden() || error.fault.is_absent())
}

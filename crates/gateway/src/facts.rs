//! The ledger's own facts among the resources of a chart: made of its log whenever they are asked for, and kept nowhere.
//!
//! ```text
//! the chart's log, as whoever asks may read it -- facts of keepwell_fhir --> AuditEvent, Consent, Provenance, Task
//!                                                                             | beside the records of these types
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
//!   asker's purpose. For whom it is refused the patient is not there, and neither is the log. A fact of one record is shown
//!   under an access to that record as well.
//! * Nobody but the gateway can make an id of a fact, so that no record that was sent before has one. Of a record that was
//!   given such an id afterwards, in a file, a read shows the fact; searches show both.
//! * What a search finds among facts is decided by the same code as among records: no parameter is understood for the ones
//!   and left out for the others.
//!
//! Not here: facts in `$everything`, in histories of a type and for conditions of writes; writing facts, which the ledger
//! does; earlier versions of a fact that changed.

mod audit_event;
mod consent;
mod provenance;
mod task;

use std::{cmp::Reverse, collections::BTreeMap};

use keepwell_client::{
    ClientError,
    error::UsageError,
    verify::{LogLine, LogMark},
};
use keepwell_fhir::{
    facts::security_label::Meanings,
    header::instant,
    interaction::{Id, ResourceType},
    outcome::{IssueType, Outcome},
    search::Entry,
};
use keepwell_ledger::state::Chart;
use keepwell_types::{
    command::Entry as Signed,
    id::{ChartId, GrantId, Height, LogPosition, OrganisationId},
    member::Party,
    set::CompartmentSet,
    time::BlockTime,
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

/// Of what the ledger has facts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    AuditEvent,
    Consent,
    Provenance,
    Task,
}

impl Kind {
    fn of(resource_type: &str) -> Option<Self> {
        match resource_type {
            "AuditEvent" => Some(Self::AuditEvent),
            "Consent" => Some(Self::Consent),
            "Provenance" => Some(Self::Provenance),
            "Task" => Some(Self::Task),
            _ => None,
        }
    }

    /// Whether a fact of the kind depends on a line.
    fn is_of(self, line: &LogLine) -> bool {
        match self {
            Self::AuditEvent => audit_event::is_of(line),
            Self::Consent => consent::is_of(line),
            Self::Provenance => provenance::is_of(line),
            // A Task refers to the Consent of the grant that was given.
            Self::Task => task::is_of(line) || consent::is_of(line),
        }
    }

    /// Whether a fact stays as it was when its line was written.
    const fn is_of_one_line(self) -> bool {
        match self {
            Self::AuditEvent | Self::Provenance => true,
            Self::Consent | Self::Task => false,
        }
    }

    const fn says(self) -> &'static str {
        match self {
            Self::AuditEvent => {
                "each access to the patient's chart and each emergency in it, out of the ledger, by IHE BALP"
            }
            Self::Consent => {
                "each grant in the patient's chart as it stands, out of the ledger, by IHE PCF"
            }
            Self::Provenance => {
                "who added each version of the patient's resources and who signed it, out of the ledger, to whoever may read that version"
            }
            Self::Task => {
                "each request for a grant in the patient's chart and each case of the patient's as it stands, out of the ledger"
            }
        }
    }
}

/// Whether the ledger has facts of a type.
pub(crate) fn are_of(resource_type: &str) -> bool {
    Kind::of(resource_type).is_some()
}

/// What is to be said of a type of which the ledger has facts.
pub(crate) fn documentation(resource_type: &str) -> Option<String> {
    let says = Kind::of(resource_type)?.says();
    Some(format!(
        "Beside records of this type, read, vread, history-instance and search-type show {says}. They are shown to members of the chart's organisation who may read the patient's record, and are never written."
    ))
}

/// Facts of one chart, and the block after which they are complete.
pub(crate) type Facts = (Vec<Found>, Height);

/// What facts of a chart are made of.
struct Log<'a> {
    chart: ChartId,
    entry: &'a Chart,
    meanings: Meanings,
    /// The reference to the patient.
    patient: String,
    lines: &'a [LogLine],
    /// For whom the members acted who signed.
    organisations: BTreeMap<Party, OrganisationId>,
    now: BlockTime,
}

/// A fact.
struct Fact {
    /// Where the line stands that it is of.
    position: LogPosition,
    /// The number and the time of its version.
    number: u64,
    time: BlockTime,
    resource: Value,
    /// The resource that it is of; the patient's without one.
    target: Option<Found>,
}

impl Fact {
    fn new(line: &LogLine, resource: Value) -> Self {
        let time = line.outcome.time;
        Self { position: line.position, number: 1, time, resource, target: None }
    }

    /// As it is found: under the access to the patient's record, which is there already, or one to what it is of.
    fn found(self, patient: &Version) -> Found {
        let body = Zeroizing::new(self.resource.to_string().into_bytes());
        // Behind all records of the index, and the newest first: what comes after moves none of them.
        let row = u64::MAX - self.position.0;
        let is_allowed = self.target.is_none();
        let under = self.target.map_or_else(|| patient.clone(), |it| it.version);
        let version = Version { row, number: self.number, time: self.time, body, ..under };
        Found { version, resource: self.resource, is_allowed }
    }
}

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
        let Some(kind) = Kind::of(of) else { return Ok(None) };
        let Some(patient) = self.patient_in(chart).await? else { return Ok(None) };
        if !self.may_look_at(asker, &patient.version).await? {
            return Ok(None);
        }
        let lines = self.lines(asker, (chart, kind), until).await?;
        let Some((lines, height, now)) = lines else { return Ok(None) };
        let mut facts = self.facts_in(asker, (chart, kind), (&lines, now), &patient).await?;
        facts.sort_by_key(|it| Reverse(it.position));
        let mut found = Vec::new();
        for fact in facts {
            let id = fact.resource["id"].as_str().unwrap_or_default().to_owned();
            let time = instant(fact.time.0);
            let is_in_sight = fact.target.as_ref().is_none_or(|it| asker.sight.shows_found(it));
            if is_in_sight && is_wanted(&Entry::new(&fact.resource, &id, &time)) {
                let fact = fact.found(&patient.version);
                found.extend(Some(fact).filter(|it| asker.sight.shows_found(it)));
            }
            if found.len() > POOL_MAX {
                return Err(too_costly());
            }
        }
        Ok(Some((found, height)))
    }

    /// The AuditEvents of lines after a mark that are wanted, in their order, without an access that would be one of them;
    /// and where the log ends. Nothing for who may not read it. Whether the patient may be seen is asked elsewhere.
    pub(crate) async fn accesses_after(
        &self,
        asker: &Asker,
        (chart, mark): (ChartId, LogMark),
        is_wanted: impl Fn(&Entry<'_>) -> bool,
    ) -> Result<Option<(Vec<Found>, LogMark)>, Outcome> {
        let Some(patient) = self.patient_in(chart).await? else {
            return Ok(Some((Vec::new(), mark)));
        };
        let log = match self.client.log_after(&asker.actor, chart, mark).await {
            Ok(log) => log,
            Err(error) if is_closed(&error) => return Ok(None),
            Err(error) => return Err(refused(&error)),
        };
        let (kind, end, now) = (Kind::AuditEvent, log.mark(), log.header().header().time);
        let mut lines = log.into_lines();
        lines.retain(|line| kind.is_of(line));
        // What has ended began before.
        if lines.iter().any(audit_event::is_end) {
            let whole = self.lines(asker, (chart, kind), None).await?;
            let Some((whole, ..)) = whole else { return Ok(None) };
            lines = whole;
            lines.retain(|line| line.position < end.count);
        }
        let facts = self.facts_in(asker, (chart, kind), (&lines, now), &patient).await?;
        let mut found = Vec::new();
        for fact in facts.into_iter().filter(|it| it.position >= mark.count) {
            let id = fact.resource["id"].as_str().unwrap_or_default().to_owned();
            let is_wanted = is_wanted(&Entry::new(&fact.resource, &id, &instant(fact.time.0)));
            let fact = fact.found(&patient.version);
            found.extend(Some(fact).filter(|it| is_wanted && asker.sight.shows_found(it)));
        }
        Ok(Some((found, end)))
    }

    /// All facts of a kind that a chart's lines have.
    async fn facts_in(
        &self,
        asker: &Asker,
        (chart, kind): (ChartId, Kind),
        (lines, now): (&[LogLine], BlockTime),
        patient: &Found,
    ) -> Result<Vec<Fact>, Outcome> {
        let entry = self.client.chart(&asker.actor, chart).await;
        let entry = entry.map_err(|error| refused(&error))?;
        let meanings = self.ordinary_meanings(chart, &entry).await?;
        let organisations = self.organisations_in(asker, lines).await?;
        let patient = patient.path();
        let log = Log { chart, entry: &entry, meanings, patient, lines, organisations, now };
        match kind {
            Kind::AuditEvent => Ok(self.audit_events(&log)),
            Kind::Consent => self.consents(asker, &log).await,
            Kind::Provenance => self.origins(&log).await,
            Kind::Task => self.tasks(asker, &log).await,
        }
    }

    /// What the compartments of a chart are for, but for those that need separate consent: that somebody asks for one of
    /// them, or was given it, tells of the patient what only its readers may know.
    async fn ordinary_meanings(&self, chart: ChartId, entry: &Chart) -> Result<Meanings, Outcome> {
        let agent = self.agent.lock().await;
        let known = agent.chart(chart).map_err(|error| refused(&ClientError::from(error)))?;
        let ordinary = CompartmentSet::all().without(entry.separate_consent);
        let ordinary = known.meanings().of(ordinary);
        let pairs =
            ordinary.iter().filter_map(|it| Some((it.compartment, it.name.as_str().parse().ok()?)));
        // A name of another kind of meaning is none that FHIR has a label for.
        Ok(Meanings::new(&pairs.collect::<Vec<_>>()).unwrap_or_default())
    }

    fn audit_events(&self, log: &Log<'_>) -> Vec<Fact> {
        let broken = audit_event::broken_in(log.lines);
        let of_line = |line: &LogLine| {
            let id = self.terms().fact("AuditEvent", line.outcome.location);
            let who = signer_of(line).and_then(|party| log.organisations.get(&party).copied());
            let event = audit_event::of_line(line, (&id, &log.patient), who, &broken)?;
            Some(Fact::new(line, event))
        };
        log.lines.iter().filter_map(of_line).collect()
    }

    /// The fact with an id, if it is one of a fact that whoever asks may see.
    pub(crate) async fn fact(
        &self,
        asker: &Asker,
        of: ResourceType,
        id: &Id,
    ) -> Result<Option<Found>, Outcome> {
        let Some(kind) = Kind::of(of.as_str()) else { return Ok(None) };
        let Some(at) = self.terms().fact_at(of.as_str(), id.as_str()) else { return Ok(None) };
        let entry = match self.client.receipt(&asker.actor, at).await {
            Ok(decided) => decided,
            Err(error) if is_closed(&error) => return Ok(None),
            Err(error) => return Err(refused(&error)),
        };
        let Some(chart) = entry.verified().entry().payload().chart() else { return Ok(None) };
        let is_it = |it: &Entry<'_>| it.id() == id.as_str();
        // What comes later says nothing new of what happened, and changes what stands.
        let until = kind.is_of_one_line().then_some(at.height);
        let facts = self.facts(asker, (chart, of.as_str()), until, is_it).await?;
        Ok(facts.and_then(|(mut found, _)| found.pop()))
    }

    /// The Patient of a chart, as far as it is in the index.
    pub(crate) async fn patient_in(&self, chart: ChartId) -> Result<Option<Found>, Outcome> {
        let (kinds, terms) = ([self.terms().patients()], [vec![self.terms().patient_of(chart)]]);
        let at = self.index.now().await.map_err(|error| no_index(&error))?;
        let find = Find { kinds: &kinds, terms: &terms, at, after: 0, rows_max: 1 };
        let rows = self.index.find(&find).await.map_err(|error| no_index(&error))?;
        Ok(rows.into_iter().find_map(Found::of))
    }

    /// The lines of a chart's log of which there are facts, up to a block, the block after which they are complete, and
    /// the time of the newest; nothing for who may not read it.
    async fn lines(
        &self,
        asker: &Asker,
        (chart, kind): (ChartId, Kind),
        until: Option<Height>,
    ) -> Result<Option<(Vec<LogLine>, Height, BlockTime)>, Outcome> {
        let keep = |lines: &mut Vec<LogLine>, line: LogLine| {
            let is_before = until.is_none_or(|until| line.outcome.location.height <= until);
            if is_before && kind.is_of(&line) {
                lines.push(line);
            }
        };
        let log = self.client.fold_log(&asker.actor, chart, LogMark::START, Vec::new(), keep).await;
        match log {
            Ok((lines, _, header)) => {
                let (height, now) = (header.header().height, header.header().time);
                let until = until.unwrap_or(height);
                if height < until { Err(behind()) } else { Ok(Some((lines, until, now))) }
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

/// A page would lack what the one before it had.
fn behind() -> Outcome {
    let text = "the nodes are behind what they have shown before; ask again in a while";
    Outcome::error(IssueType::Transient, text)
}

/// The grants that lines give, with the line of each.
fn given_in(lines: &[LogLine]) -> impl Iterator<Item = (GrantId, &LogLine)> {
    let accepted = lines.iter().filter(|line| line.outcome.verdict.is_accepted());
    accepted.filter_map(|line| Some((line.entry.payload().given_grant()?.0, line)))
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

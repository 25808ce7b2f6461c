//! Writing: a create adds a record, an update adds a version of one (R4 RESTful API, 3.1.0.4 and 3.1.0.7).
//!
//! ```text
//! Patient   ─> a chart is opened, which the organisation's key agent holds until the patient claims it
//! others    ─> the chart of the patient whom they name
//!                  └─> sealed, stored at custodians, committed, final ─> index ─> 201 or 200
//! ```
//!
//! # Invariants
//!
//! * What is sealed is what was sent, but for the id that a create gives.
//! * Whether a condition holds is decided by the ledger: `If-Match` by the version that an amendment names, and a create on
//!   one identifier by a tag that only one live record of the organisation may have.
//! * Once a record is final its writer is told so, whatever becomes of the index: that catches up.
//!
//! Not here: batches and transactions, patches, conditional updates, conditions of anything but one identifier, and
//! whether a resource is one by its profile.

use getrandom::SysRng;
use std::sync::PoisonError;

use keepwell_client::{
    ClientError,
    author::{AddedRecord, NewRecord},
    error::LedgerError,
    identity::Actor,
};
use keepwell_fhir::{
    bundle::{self, BundleError, Owner},
    header::TagList,
    interaction::{Id, Query as Condition, ResourceType},
    outcome::{IssueType, Outcome, Status},
    search::{Handling, Options, Query},
    splice,
};
use keepwell_types::{
    access::RecordName,
    id::{ChartId, RecordId, UniquenessTag, Version as Number},
    outcome::Rejection,
    record::{Amended, RecordKind},
    time::BlockTime,
};
use rand_core::{Rng as _, UnwrapErr};

use crate::{
    answer::{Answer, not_found, refused, without_ids},
    follow::{BODY_BYTES_MAX, Incoming},
    gateway::{Asker, Gateway},
    read::answer_of,
};

/// A resource that was sent, read strictly.
struct Sent {
    json: String,
    id: Option<String>,
    owner: Owner,
    sensitivity: &'static str,
    kind: RecordKind,
}

impl Gateway {
    /// Adds a resource. `condition` is `If-None-Exist`: nothing is added if what it asks for is there.
    pub async fn create(
        &self,
        asker: &Asker,
        of: ResourceType,
        body: &[u8],
        condition: Option<&Condition>,
    ) -> Result<Answer, Outcome> {
        let mut sent = Sent::read(of, body)?;
        let known = match of.as_str() {
            "Patient" => None,
            _ => Some(self.chart_of_owner(&sent.owner).await?),
        };
        let mut uniqueness = None;
        let mut alone = None;
        if let Some(condition) = condition {
            uniqueness = Some(self.tag(of, condition)?);
            alone = Some(self.conditional.lock().await);
            if let Some(answer) = self.existing(asker, (of, known), condition).await? {
                return Ok(answer);
            }
        }
        let id = random_id();
        let json = splice::with_id(&sent.json, &id);
        sent.json = json.map_err(|error| not_a_resource(&error.to_string()))?.json;
        let chart = match known {
            Some(chart) => chart,
            None => self.open_chart().await?,
        };
        let added = self.add(asker, chart, &sent, (uniqueness, None)).await;
        drop(alone);
        if known.is_none() && matches!(added, Err(Refusal::Ledger(_))) {
            // Nothing is in it, and nothing ever will be of what was refused.
            self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(chart);
        }
        match (added, condition) {
            (Ok(version), _) => Ok(self.written((of, &id), &sent, version, Status::CREATED)),
            (Err(Refusal::Ledger(Rejection::TagTaken(_))), Some(condition)) => {
                self.lost_race(asker, (of, known), condition).await
            }
            (Err(refusal), _) => Err(refusal.outcome()),
        }
    }

    /// Adds a version of a resource. `matches` is `If-Match`.
    pub async fn update(
        &self,
        asker: &Asker,
        (of, id): (ResourceType, &Id),
        body: &[u8],
        matches: Option<&TagList>,
    ) -> Result<Answer, Outcome> {
        let sent = Sent::read(of, body)?;
        if sent.id.as_deref() != Some(id.as_str()) {
            let text =
                "the resource's id and the URL's differ; send the resource with the id of the URL";
            return Err(Outcome::error(IssueType::Value, text).at("Resource.id"));
        }
        let newest = match self.one(asker, of, id).await {
            Err(outcome) if outcome.status() == Status::NOT_FOUND => return Err(no_such_id()),
            newest => newest?,
        };
        let number = newest.version.number;
        if matches.is_some_and(|tags| !tags.matches(Some(number))) {
            let text =
                format!("version {number} is the newest: read it, and send your change of it");
            let stale = Outcome::error(IssueType::Conflict, &text);
            return Err(stale.with_status(Status::PRECONDITION_FAILED));
        }
        let chart = newest.version.chart;
        if of.as_str() != "Patient" && self.chart_of_owner(&sent.owner).await? != chart {
            let text = "a resource stays with its patient; add a new one for the other, and mark this one as entered in error";
            return Err(Outcome::error(IssueType::BusinessRule, text));
        }
        let record =
            RecordName { position: newest.version.position, record: newest.version.record };
        let version = u32::try_from(number + 1).map_err(|_| not_found())?;
        let amended = Amended { record, version: Number(version) };
        match self.add(asker, chart, &sent, (None, Some(amended))).await {
            Ok(version) => Ok(self.written((of, id), &sent, version, Status::OK)),
            Err(refusal @ Refusal::Ledger(Rejection::NotNewest { .. })) if matches.is_none() => {
                Err(refusal.outcome().with_status(Status::CONFLICT))
            }
            Err(refusal) => Err(refusal.outcome()),
        }
    }

    /// What a create's condition finds, among the Patients or in one chart: one is the answer, several are an error.
    async fn existing(
        &self,
        asker: &Asker,
        (of, chart): (ResourceType, Option<ChartId>),
        condition: &Condition,
    ) -> Result<Option<Answer>, Outcome> {
        let (system, value) = condition.identifier().ok_or_else(one_identifier)?;
        let pairs = [("identifier".to_owned(), format!("{system}|{value}"))];
        let options = Options { base: self.base(), now_ms: 0, handling: Handling::Strict };
        let query = Query::parse(of.as_str(), &pairs, options).map_err(|_| one_identifier())?;
        let mut found = self.matching(&query, chart).await?;
        match found.len() {
            0 => Ok(None),
            1 => {
                let found = found.remove(0);
                // Whoever may not see it learns no more than that it is there.
                match self.may_show(asker, &[&found.version]).await?.as_slice() {
                    [true] => Ok(Some(answer_of(&found))),
                    _ => Err(taken()),
                }
            }
            many => Err(Outcome::error(
                IssueType::MultipleMatches,
                &format!("{many} resources match the condition; merge them first"),
            )),
        }
    }

    /// Another one was first: it is the answer, as soon as the index has it.
    async fn lost_race(
        &self,
        asker: &Asker,
        among: (ResourceType, Option<ChartId>),
        condition: &Condition,
    ) -> Result<Answer, Outcome> {
        if let Err(error) = self.follow().await {
            tracing::warn!(error = without_ids(&error), "the ledger could not be followed");
        }
        self.existing(asker, among, condition).await?.ok_or_else(taken)
    }

    /// What the ledger holds unique for a condition.
    fn tag(&self, of: ResourceType, condition: &Condition) -> Result<UniquenessTag, Outcome> {
        let (system, value) = condition.identifier().ok_or_else(one_identifier)?;
        let parts = [b"identifier", of.as_str().as_bytes(), system.as_bytes(), value.as_bytes()];
        Ok(self.index.key().tag(&parts))
    }

    /// Opens a chart for a patient who is new.
    async fn open_chart(&self) -> Result<ChartId, Outcome> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(spare) = spare {
            return Ok(spare);
        }
        let new = &self.settings.new_charts;
        let mut agent = self.agent.lock().await;
        let now = self.client.tip().await.map_err(|error| refused(&error))?.header().time;
        let until = BlockTime(now.0.saturating_add(new.claim_ms));
        let opened = self
            .client
            .open_chart_for_patient(&mut agent, &new.compartments, &new.arrangement, until)
            .await
            .map_err(|error| refused(&error))?;
        Ok(opened.chart)
    }

    /// The chart of the patient whom a resource is about.
    async fn chart_of_owner(&self, owner: &Owner) -> Result<ChartId, Outcome> {
        let reference = match owner {
            Owner::Elsewhere(reference) => reference,
            Owner::Several => {
                let text = "it is about several patients, and each chart is one patient's; send one resource for each";
                return Err(Outcome::error(IssueType::BusinessRule, text));
            }
            Owner::Nobody | Owner::Here(_) => return Err(no_patient()),
        };
        let below = reference.strip_prefix(self.base()).and_then(|it| it.strip_prefix('/'));
        let id = below.unwrap_or(reference).strip_prefix("Patient/");
        let id = id.map(|it| it.split_once("/_history/").map_or(it, |(id, _)| id));
        let unknown = || {
            let text = "the patient whom it is about is not here; create the Patient first, and refer to it as Patient/ID";
            Outcome::error(IssueType::BusinessRule, text)
        };
        let id: Id = id.and_then(|id| id.parse().ok()).ok_or_else(unknown)?;
        self.chart_of(&id).await?.ok_or_else(unknown)
    }

    /// Seals, stores and commits a resource, and keeps it in the index: its number, and when it became final.
    async fn add(
        &self,
        asker: &Asker,
        chart: ChartId,
        sent: &Sent,
        (uniqueness, amends): (Option<UniquenessTag>, Option<Amended>),
    ) -> Result<(u64, BlockTime), Refusal> {
        let compartment = {
            let agent = self.agent.lock().await;
            let known = agent.chart(chart).map_err(ClientError::from)?;
            known.meanings().compartment(sent.sensitivity).map_err(ClientError::from)?
        };
        let new = NewRecord { uniqueness, amends, ..NewRecord::new(compartment, sent.kind) };
        let authoring = self.client.authoring(&asker.actor, chart).await?;
        let content = (sent.json.as_bytes(), sent.json.len() as u64);
        let added = self.client.add_record(&asker.actor, &authoring, &new, content).await;
        let added = added.map_err(Refusal::of_command)?;
        let follows = amends.map(|it| it.record.record);
        self.keep_own(&asker.actor, chart, (&added, follows), &sent.json).await;
        Ok((added.label.version.0.into(), added.decided.outcome().time))
    }

    /// Keeps what is final in the index. Where that fails the ledger is followed to it later.
    async fn keep_own(
        &self,
        actor: &Actor,
        chart: ChartId,
        (added, follows): (&AddedRecord, Option<RecordId>),
        json: &str,
    ) {
        let position = match self.client.position(actor, chart, &added.decided).await {
            Ok(position) => position,
            Err(error) => {
                let error = without_ids(&error);
                tracing::warn!(error, "what was written is final, and not in the index yet");
                return;
            }
        };
        let incoming = Incoming {
            chart,
            record: RecordName { position, record: added.record },
            follows,
            number: added.label.version.0.into(),
            time: added.decided.outcome().time,
            author: self.organisation,
            json,
        };
        if let Err(error) = self.put(&[incoming]).await {
            let error = without_ids(&error);
            tracing::error!(error, "what was written is final, and not in the index yet");
        }
    }

    fn written(
        &self,
        (of, id): (ResourceType, &Id),
        sent: &Sent,
        version: (u64, BlockTime),
        status: Status,
    ) -> Answer {
        let location = format!("{}/{of}/{id}/_history/{}", self.base(), version.0);
        Answer { location: Some(location), ..Answer::shows(status, &sent.json, version) }
    }
}

impl Sent {
    fn read(of: ResourceType, body: &[u8]) -> Result<Self, Outcome> {
        let bytes_max = usize::try_from(BODY_BYTES_MAX).unwrap_or(usize::MAX);
        let split = bundle::split(body, bytes_max);
        let split = split.map_err(|error| {
            let is_nobodys = error == BundleError::NoPatient;
            if is_nobodys { no_patient() } else { not_a_resource(&error.to_string()) }
        })?;
        let [resource] = split.resources.as_slice() else {
            return Err(not_a_resource("a Bundle is sent to the base, and not to a type"));
        };
        if resource.resource_type != of.as_str() {
            let text = format!(
                "this is where resources of type {of} are created; send others to their type"
            );
            return Err(Outcome::error(IssueType::Value, &text).at("Resource.resourceType"));
        }
        let class = resource.classify();
        Ok(Self {
            json: resource.json.to_owned(),
            id: resource.id.clone(),
            owner: resource.owner.clone(),
            sensitivity: class.sensitivity.as_str(),
            kind: class.kind,
        })
    }
}

/// Why nothing was added.
enum Refusal {
    Ledger(Rejection),
    Other(Outcome),
}

impl Refusal {
    fn outcome(self) -> Outcome {
        match self {
            Self::Ledger(rejection) => crate::answer::of_rejection(&rejection),
            Self::Other(outcome) => outcome,
        }
    }

    /// Of a command that was sent: where no answer came, it may have been decided all the same.
    fn of_command(error: ClientError) -> Self {
        match Self::from(error) {
            Self::Other(outcome) if outcome.status() == Status::UNAVAILABLE => {
                let text = "the ledger or a custodian stopped answering, and whether this was written is not known; look for it before you send it again (a create on a condition may simply be repeated)";
                Self::Other(Outcome::error(IssueType::Transient, text))
            }
            refusal @ (Self::Ledger(_) | Self::Other(_)) => refusal,
        }
    }
}

impl From<ClientError> for Refusal {
    fn from(error: ClientError) -> Self {
        if let ClientError::Ledger(LedgerError::Rejected { rejection, .. }) = error {
            return Self::Ledger(rejection);
        }
        Self::Other(refused(&error))
    }
}

fn not_a_resource(text: &str) -> Outcome {
    Outcome::error(IssueType::Structure, text)
}

fn no_patient() -> Outcome {
    let text = "it names no patient; this gateway keeps what is about one, as subject or patient: Patient/ID";
    Outcome::error(IssueType::BusinessRule, text)
}

fn one_identifier() -> Outcome {
    let text = "a create is conditional on one identifier alone, as in If-None-Exist: identifier=system|value";
    Outcome::error(IssueType::NotSupported, text)
}

fn taken() -> Outcome {
    let text = "what the condition asks for is there already";
    Outcome::error(IssueType::Duplicate, text).with_status(Status::PRECONDITION_FAILED)
}

fn no_such_id() -> Outcome {
    let text = "nothing is here that you may change; ids are given by this gateway, so create it with POST";
    Outcome::error(IssueType::NotFound, text)
}

/// An id that nothing has.
fn random_id() -> Id {
    let mut bytes = [0; 16];
    UnwrapErr(SysRng).fill_bytes(&mut bytes);
    hex::encode(bytes).parse().expect("hexadecimal digits are an id")
}

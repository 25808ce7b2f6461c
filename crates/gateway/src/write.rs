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
//! * What is sealed is what was sent, but for the id that a create gives; and has the structure that R4 gives its type.
//! * Whether a condition holds is decided by the ledger: `If-Match` by the version that an amendment names, and a create on
//!   one identifier by a tag that only one live record of the organisation may have.
//! * Once a record is final its writer is told so, whatever becomes of the index: that catches up.
//!
//! Not here: several at once ([`crate::transaction`]), conditions of anything but one identifier, and whether a resource is
//! one by its profile.

use getrandom::SysRng;
use std::sync::PoisonError;

use keepwell_client::{
    ClientError,
    author::{AddedRecord, NewRecord},
    error::LedgerError,
    identity::Actor,
};
use keepwell_fhir::{
    bundle::{self, Owner},
    classify::Sensitivity,
    header::TagList,
    interaction::{Id, Query as Condition, ResourceType, Target},
    outcome::{IssueType, Outcome, Status},
    patch::Patch,
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
    authoring::may_be_outdated,
    follow::{BODY_BYTES_MAX, Incoming},
    gateway::{Asker, Found, Gateway},
    index::Version,
    read::answer_of,
    transaction::Write,
};

/// A resource that was sent, read strictly.
pub(crate) struct Sent {
    json: String,
    id: Option<String>,
    pub(crate) owner: Owner,
    sensitivity: Sensitivity,
    kind: RecordKind,
}

/// `If-Match` and `If-None-Match`.
pub type Tags<'a> = (Option<&'a TagList>, Option<&'a TagList>);

impl Gateway {
    /// Adds a resource. `condition` is `If-None-Exist`: nothing is added if what it asks for is there.
    pub async fn create(
        &self,
        asker: &Asker,
        of: ResourceType,
        (body, inherited): (&[u8], Sensitivity),
        condition: Option<&Condition>,
    ) -> Result<Answer, Outcome> {
        let sent = Sent::read(of, body)?.within(inherited);
        self.check_structure(sent.json(), None).await?;
        let chart = self.chart_of_sent(of, &sent).await?;
        let Some(condition) = condition else {
            return self.create_in(asker, (of, chart), sent, None).await;
        };
        let tag = self.tag(of, condition)?;
        let _alone = self.tags.alone([tag].into()).await;
        match self.only_by(asker, (of, chart), condition).await? {
            Some(found) => Ok(self.there(&found)),
            None => self.create_in(asker, (of, chart), sent, Some((tag, condition))).await,
        }
    }

    /// Adds a version of a resource. With a condition for a target, that of what it finds, or the first.
    pub async fn update(
        &self,
        asker: &Asker,
        target: &Target,
        (body, inherited): (&[u8], Sensitivity),
        tags: Tags<'_>,
    ) -> Result<Answer, Outcome> {
        let sent = Sent::read(target.resource_type(), body)?.within(inherited);
        self.check_structure(sent.json(), None).await?;
        let (of, condition) = match target {
            Target::Instance(of, id) => {
                if sent.id.as_deref() != Some(id.as_str()) {
                    return Err(other_id());
                }
                let newest = self.to_change(asker, *of, id).await?;
                return self.amend(asker, (newest, sent), tags).await;
            }
            Target::Matching(of, condition) => (*of, condition),
        };
        let tag = self.tag(of, condition)?;
        let chart = self.chart_of_sent(of, &sent).await?;
        let _alone = self.tags.alone([tag].into()).await;
        let Some(newest) = self.only_by(asker, (of, chart), condition).await? else {
            return self.create_in(asker, (of, chart), sent, Some((tag, condition))).await;
        };
        if sent.id.as_deref().is_some_and(|id| id != newest.id()) {
            return Err(other_id());
        }
        let id: Id = newest.id().parse().map_err(|_| not_found())?;
        let sent = sent.called(&id)?;
        self.amend(asker, (newest, sent), tags).await
    }

    /// Adds a version that is the newest one with changes.
    pub async fn patch(
        &self,
        asker: &Asker,
        target: &Target,
        patch: &Patch,
        tags: Tags<'_>,
    ) -> Result<Answer, Outcome> {
        let Target::Instance(of, id) = target else {
            let text = "a patch is of one resource by its id; search for it first";
            return Err(Outcome::error(IssueType::NotSupported, text));
        };
        let newest = self.to_change(asker, *of, id).await?;
        let sent = Sent::of_json(*of, &patch.apply(newest.json())?)?;
        self.check_structure(sent.json(), None).await?;
        self.amend(asker, (newest, sent), tags).await
    }

    pub(crate) async fn create_in(
        &self,
        asker: &Asker,
        (of, chart): (ResourceType, Option<ChartId>),
        sent: Sent,
        once: Option<(UniquenessTag, &Condition)>,
    ) -> Result<Answer, Outcome> {
        let id = random_id();
        let sent = sent.called(&id)?;
        let uniqueness = once.map(|(tag, _)| tag);
        let opened = match chart {
            Some(chart) => chart,
            None => self.open_chart().await?,
        };
        let write = Write { chart: opened, sent, uniqueness, amends: None };
        let added = self.add(asker, &write).await;
        if chart.is_none() && matches!(added, Err(Refusal::Ledger(..))) {
            // Nothing is in it, and nothing ever will be of what was refused.
            self.keep_spare(opened);
        }
        match (added, once) {
            (Ok(version), _) => Ok(self.written((of, &id), &write.sent, version, Status::CREATED)),
            (Err(refusal), Some((_, condition))) if refusal.is_tag_taken() => {
                self.lost_race(asker, (of, chart), condition).await
            }
            (Err(refusal), _) => Err(refusal.outcome()),
        }
    }

    /// The newest version of what is to be changed.
    async fn to_change(&self, asker: &Asker, of: ResourceType, id: &Id) -> Result<Found, Outcome> {
        match self.one(asker, of, id).await {
            Err(outcome) if outcome.status() == Status::NOT_FOUND => Err(no_such_id()),
            newest => newest,
        }
    }

    pub(crate) async fn amend(
        &self,
        asker: &Asker,
        (newest, sent): (Found, Sent),
        tags: Tags<'_>,
    ) -> Result<Answer, Outcome> {
        self.check_tags(&newest, tags)?;
        let chart = newest.version.chart;
        let stays = match self.owner_of(newest.resource_type(), &sent.owner) {
            // A Patient, or what came with the only patient of a Bundle.
            Owner::Here(_) | Owner::Nobody => true,
            owner @ (Owner::Elsewhere(_) | Owner::Several) => {
                self.chart_of_owner(&owner).await? == chart
            }
        };
        if !stays {
            return Err(other_patient());
        }
        let amends = Some(follows(&newest)?);
        let write = Write { chart, sent, uniqueness: None, amends };
        let of = newest.resource_type().parse().map_err(|_| not_found())?;
        let id: Id = newest.id().parse().map_err(|_| not_found())?;
        match self.add(asker, &write).await {
            Ok(version) => Ok(self.written((of, &id), &write.sent, version, Status::OK)),
            Err(refusal @ Refusal::Ledger(_, Rejection::NotNewest { .. })) if tags.0.is_none() => {
                Err(refusal.outcome().with_status(Status::CONFLICT))
            }
            Err(refusal) => Err(refusal.outcome()),
        }
    }

    /// Refuses what is to be changed if it is not as whoever asks knows it.
    pub(crate) fn check_tags(
        &self,
        newest: &Found,
        (matches, none_match): Tags<'_>,
    ) -> Result<(), Outcome> {
        let number = newest.version.number;
        let stale = matches.is_some_and(|tags| !tags.matches(Some(number)))
            || none_match.is_some_and(|tags| tags.matches(Some(number)));
        if !stale {
            return Ok(());
        }
        let text = format!("version {number} is the newest: read it, and send your change of it");
        let outcome = Outcome::error(IssueType::Conflict, &text);
        Err(outcome.with_status(Status::PRECONDITION_FAILED))
    }

    /// The one resource that a condition finds among the Patients or in one chart, and that may be shown; several are an
    /// error.
    pub(crate) async fn only_by(
        &self,
        asker: &Asker,
        (of, chart): (ResourceType, Option<ChartId>),
        condition: &Condition,
    ) -> Result<Option<Found>, Outcome> {
        let mut found = self.found_by(of, chart, condition).await?;
        match found.len() {
            0 => Ok(None),
            1 => {
                let found = found.remove(0);
                // Whoever may not see it learns no more than that it is there.
                match self.may_show(asker, &[&found.version]).await?.as_slice() {
                    [true] => Ok(Some(found)),
                    _ => Err(taken()),
                }
            }
            many => {
                let text = format!("{many} resources match the condition; merge them first");
                Err(Outcome::error(IssueType::MultipleMatches, &text))
            }
        }
    }

    /// What a condition finds among the Patients or in one chart, whoever may see it.
    pub(crate) async fn found_by(
        &self,
        of: ResourceType,
        chart: Option<ChartId>,
        condition: &Condition,
    ) -> Result<Vec<Found>, Outcome> {
        let (system, value) = condition.identifier().ok_or_else(one_identifier)?;
        let pairs = [("identifier".to_owned(), format!("{system}|{value}"))];
        let options = Options { base: self.base(), now_ms: 0, handling: Handling::Strict };
        let query = Query::parse(of.as_str(), &pairs, options).map_err(|_| one_identifier())?;
        self.matching(&query, chart).await
    }

    /// The chart in which what was sent belongs; nothing for a Patient, who gets one.
    async fn chart_of_sent(
        &self,
        of: ResourceType,
        sent: &Sent,
    ) -> Result<Option<ChartId>, Outcome> {
        match of.as_str() {
            "Patient" => Ok(None),
            _ => Ok(Some(self.chart_of_owner(&sent.owner).await?)),
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
        let found = self.only_by(asker, among, condition).await?;
        found.map(|it| self.there(&it)).ok_or_else(taken)
    }

    /// What the ledger holds unique for a condition.
    pub(crate) fn tag(
        &self,
        of: ResourceType,
        condition: &Condition,
    ) -> Result<UniquenessTag, Outcome> {
        let (system, value) = condition.identifier().ok_or_else(one_identifier)?;
        let parts = [b"identifier", of.as_str().as_bytes(), system.as_bytes(), value.as_bytes()];
        Ok(self.index.key().tag(&parts))
    }

    /// Keeps a chart in which nothing is for the next Patient.
    pub(crate) fn keep_spare(&self, chart: ChartId) {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).push(chart);
    }

    /// Opens a chart for a patient who is new.
    pub(crate) async fn open_chart(&self) -> Result<ChartId, Outcome> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(spare) = spare {
            return Ok(spare);
        }
        let new = &self.settings.new_charts;
        let now = self.client.tip().await.map_err(|error| refused(&error))?.header().time;
        let until = BlockTime(now.0.saturating_add(new.claim_ms));
        let drawn = {
            let mut agent = self.agent.lock().await;
            self.client.draw_chart(&mut agent, &new.compartments, &new.arrangement, until)
        };
        let drawn = drawn.map_err(|error| refused(&error))?;
        // Others have the agent meanwhile.
        if let Err(error) = self.client.open_drawn(&drawn).await {
            let mut agent = self.agent.lock().await;
            return Err(refused(&drawn.failed(&mut agent, error)));
        }
        let published = self.client.publish_keys(drawn.holder()).await;
        published.map_err(|error| refused(&error))?;
        Ok(drawn.holder().chart())
    }

    /// Whom a resource is about: what another server's Bundle calls its patient says nothing here.
    pub(crate) fn owner_of(&self, of: &str, owner: &Owner) -> Owner {
        let is_elsewhere = matches!(owner, Owner::Elsewhere(url)
            if url.contains("://") && !url.contains('|') && !url.starts_with(self.base()));
        if of == "Bundle" && is_elsewhere { Owner::Nobody } else { owner.clone() }
    }

    /// The chart of the patient whom a resource is about.
    pub(crate) async fn chart_of_owner(&self, owner: &Owner) -> Result<ChartId, Outcome> {
        let reference = match owner {
            Owner::Elsewhere(reference) => reference,
            Owner::Several => return Err(several_patients()),
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
    pub(crate) async fn add(
        &self,
        asker: &Asker,
        write: &Write,
    ) -> Result<(u64, BlockTime), Refusal> {
        let Write { chart, sent, .. } = write;
        let new = self.new_record(write).await?;
        let content = || (sent.json.as_bytes(), sent.json.len() as u64);
        let authoring = self.authoring(&asker.actor, *chart).await?;
        let mut added = self.client.add_record(&asker.actor, &authoring, &new, content()).await;
        if added.as_ref().err().is_some_and(may_be_outdated) {
            self.authorings.forget(*chart);
            let authoring = self.authoring(&asker.actor, *chart).await?;
            added = self.client.add_record(&asker.actor, &authoring, &new, content()).await;
        }
        let added = added.map_err(Refusal::of_command)?;
        let follows = write.amends.map(|it| it.record.record);
        self.keep_own(&asker.actor, *chart, (&added, follows), &sent.json).await;
        Ok((added.label.version.0.into(), added.decided.outcome().time))
    }

    pub(crate) async fn new_record(&self, write: &Write) -> Result<NewRecord, Refusal> {
        let Write { chart, sent, uniqueness, amends } = write;
        let agent = self.agent.lock().await;
        let known = agent.chart(*chart).map_err(ClientError::from)?;
        let compartment = known.meanings().compartment(sent.sensitivity.as_str());
        let compartment = compartment.map_err(ClientError::from)?;
        let (uniqueness, amends) = (*uniqueness, *amends);
        Ok(NewRecord { uniqueness, amends, ..NewRecord::new(compartment, sent.kind) })
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

    /// What was there before it was written, and where it is.
    pub(crate) fn there(&self, found: &Found) -> Answer {
        let location =
            format!("{}/{}/_history/{}", self.base(), found.path(), found.version.number);
        Answer { location: Some(location), ..answer_of(found) }
    }

    pub(crate) fn written(
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
        let resource = bundle::whole(body, bytes_max);
        let resource = resource.map_err(|it| not_a_resource(&it.to_string()))?;
        if resource.resource_type != of.as_str() {
            let text = format!(
                "this is where resources of type {of} are created; send others to their type, and a Bundle to be carried out to the base"
            );
            return Err(Outcome::error(IssueType::Value, &text).at("Resource.resourceType"));
        }
        let class = resource.classify();
        Ok(Self {
            json: resource.json.to_owned(),
            id: resource.id.clone(),
            owner: resource.owner.clone(),
            sensitivity: class.sensitivity,
            kind: class.kind,
        })
    }

    pub(crate) fn json(&self) -> &str {
        &self.json
    }

    /// One that was made of what was sent.
    pub(crate) fn of_json(of: ResourceType, json: &str) -> Result<Self, Outcome> {
        Self::read(of, json.as_bytes())
    }

    /// The same, as sensitive as what it came in.
    pub(crate) fn within(self, inherited: Sensitivity) -> Self {
        Self { sensitivity: self.sensitivity.max(inherited), ..self }
    }

    /// The same with this id.
    pub(crate) fn called(self, id: &Id) -> Result<Self, Outcome> {
        let json = splice::with_id(&self.json, id);
        let json = json.map_err(|error| not_a_resource(&error.to_string()))?.json;
        Ok(Self { json, id: Some(id.to_string()), ..self })
    }
}

/// What follows a version.
pub(crate) fn follows(newest: &Found) -> Result<Amended, Outcome> {
    let Version { position, record, number, .. } = newest.version;
    let version = u32::try_from(number + 1).map_err(|_| not_found())?;
    Ok(Amended { record: RecordName { position, record }, version: Number(version) })
}

/// Why nothing was added.
pub(crate) enum Refusal {
    /// Of this one of several, counted from 0.
    Ledger(usize, Rejection),
    Other(Outcome),
}

impl Refusal {
    /// Whether another one has what a condition asks for.
    pub(crate) const fn is_tag_taken(&self) -> bool {
        matches!(self, Self::Ledger(_, Rejection::TagTaken(_)))
    }

    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::Ledger(_, rejection) => crate::answer::of_rejection(&rejection),
            Self::Other(outcome) => outcome,
        }
    }

    /// Of a command that was sent: where no answer came, it may have been decided all the same.
    pub(crate) fn of_command(error: ClientError) -> Self {
        match Self::from(error) {
            Self::Other(outcome) if outcome.status() == Status::UNAVAILABLE => {
                let text = "the ledger or a custodian stopped answering, and whether this was written is not known; look for it before you send it again (a create on a condition may simply be repeated)";
                Self::Other(Outcome::error(IssueType::Transient, text))
            }
            refusal @ (Self::Ledger(..) | Self::Other(_)) => refusal,
        }
    }
}

impl From<ClientError> for Refusal {
    fn from(error: ClientError) -> Self {
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others are no word of the rules")]
        match error {
            ClientError::Ledger(LedgerError::Rejected { rejection, .. }) => {
                Self::Ledger(0, rejection)
            }
            ClientError::Ledger(LedgerError::RejectedPart { place, rejection, .. }) => {
                Self::Ledger(place, rejection)
            }
            error => Self::Other(refused(&error)),
        }
    }
}

fn not_a_resource(text: &str) -> Outcome {
    Outcome::error(IssueType::Structure, text)
}

pub(crate) fn no_patient() -> Outcome {
    let text = "it names no patient; this gateway keeps what is about one, as subject or patient: Patient/ID, and what is about nobody with the Patient of a transaction";
    Outcome::error(IssueType::BusinessRule, text)
}

fn one_identifier() -> Outcome {
    let text = "a create is conditional on one identifier alone, as in If-None-Exist: identifier=system|value";
    Outcome::error(IssueType::NotSupported, text)
}

pub(crate) fn taken() -> Outcome {
    let text = "what the condition asks for is there already";
    Outcome::error(IssueType::Duplicate, text).with_status(Status::PRECONDITION_FAILED)
}

pub(crate) fn no_such_id() -> Outcome {
    let text = "nothing is here that you may change; ids are given by this gateway, so create it with POST";
    Outcome::error(IssueType::NotFound, text)
}

pub(crate) fn several_patients() -> Outcome {
    let text =
        "it is about several patients, and each chart is one patient's; send one resource for each";
    Outcome::error(IssueType::BusinessRule, text)
}

pub(crate) fn other_id() -> Outcome {
    let text =
        "the resource's id is not that of what is to be changed; send the resource with its id";
    Outcome::error(IssueType::Value, text).at("Resource.id")
}

pub(crate) fn other_patient() -> Outcome {
    let text = "a resource stays with its patient; add a new one for the other, and mark this one as entered in error";
    Outcome::error(IssueType::BusinessRule, text)
}

/// An id that nothing has.
pub(crate) fn random_id() -> Id {
    let mut bytes = [0; 16];
    UnwrapErr(SysRng).fill_bytes(&mut bytes);
    hex::encode(bytes).parse().expect("hexadecimal digits are an id")
}

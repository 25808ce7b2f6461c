//! Transactions: a Bundle of which all is written, or nothing (R4 RESTful API, 3.1.0.11).
//!
//! ```text
//! entries ─> patients: their charts, those there are and those to be opened
//!         ─> the others: whose each is, what its condition finds, the version that it follows
//!         ─> references as they will be sealed, ids
//!         ─> sealed, at custodians ─> one transaction of the ledger ─> index ─> answers, in the order of the entries
//! ```
//!
//! # Invariants
//!
//! * Nothing is sealed before everything is resolved, and nothing shows before the ledger has taken all of it.
//! * Each resource goes into the chart of the patient whom it is about; what is about nobody goes with the only patient
//!   of the Bundle, or the Bundle is refused.
//! * Conditions are decided as those of single requests: by tags that only one live record may have.
//!
//! Not here: batches, whose entries are requests of their own, and reads, which are answered after the writes
//! ([`crate::server`]); values that patches add are sealed as they stand.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry as MapEntry};

use keepwell_client::{author::AddedRecords, error::ClientError, identity::Actor};
use keepwell_fhir::{
    bundle::{self, Owner},
    classify::Sensitivity,
    header::TagList,
    interaction::{Id, Query as Condition, ResourceType, Target},
    outcome::{IssueType, Outcome, Status},
    splice,
    transaction::{
        Action, Body, Entry, Transaction,
        links::{self, Links, Resolved},
    },
};
use keepwell_types::{
    access::RecordName,
    id::{ChartId, Location, UniquenessTag},
    record::Amended,
    time::BlockTime,
};

use crate::{
    answer::{Answer, not_found, without_ids},
    authoring::may_be_outdated,
    follow::{BODY_BYTES_MAX, Incoming},
    gateway::{Asker, Found, Gateway},
    write::{Refusal, Sent, follows, no_patient, no_such_id, random_id, several_patients},
};

/// Entries of a Bundle.
pub const ENTRIES_MAX: usize = 1_024;
/// Resources that are put into the index at one time.
const KEPT_AT_ONCE: usize = 128;
/// How often a transaction is resolved anew because another one was first.
const TRIES: usize = 3;

/// In whose chart something is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Whose {
    /// Of a patient whom the ledger has.
    Known(ChartId),
    /// Of the Patient that this entry creates.
    New(usize),
}

/// What an entry comes to.
struct Step<'a> {
    index: usize,
    of: ResourceType,
    id: Id,
    full_url: Option<&'a str>,
    whose: Whose,
    what: What<'a>,
    inherited: Sensitivity,
}

enum What<'a> {
    /// What a conditional create would have made is there.
    Nothing(Box<Found>),
    Create {
        body: &'a str,
        tag: Option<UniquenessTag>,
    },
    Update {
        newest: Box<Found>,
        body: String,
    },
}

/// A resource that is ready to be sealed.
pub(crate) struct Write {
    pub(crate) chart: ChartId,
    pub(crate) sent: Sent,
    pub(crate) uniqueness: Option<UniquenessTag>,
    pub(crate) amends: Option<Amended>,
}

impl Gateway {
    /// Writes all entries that write, or none: what became of each, by its place. Reads are not among them.
    pub async fn transaction(
        &self,
        asker: &Asker,
        sent: (&[u8], &Transaction<'_>),
    ) -> Result<BTreeMap<usize, Answer>, Outcome> {
        Ok(self.written_once(asker, sent, None).await?.unwrap_or_default())
    }

    /// The same, once: nothing is written, and nothing returned, if the entry `once` is a create on a condition and
    /// what it asks for is there. Then all of it was written before, since that entry never is without the others.
    pub async fn transaction_once(
        &self,
        asker: &Asker,
        sent: (&[u8], &Transaction<'_>),
        once: usize,
    ) -> Result<Option<BTreeMap<usize, Answer>>, Outcome> {
        self.written_once(asker, sent, Some(once)).await
    }

    async fn written_once(
        &self,
        asker: &Asker,
        (json, transaction): (&[u8], &Transaction<'_>),
        once: Option<usize>,
    ) -> Result<Option<BTreeMap<usize, Answer>>, Outcome> {
        // What is no condition of one identifier is refused by the entry that has it, when that one is looked at.
        let tags = transaction.entries.iter().filter_map(|entry| {
            self.tag(of_action(&entry.action)?, condition_of(&entry.action)?).ok()
        });
        let _alone = self.tags.alone(tags.collect()).await;
        let mut tries = 0;
        loop {
            tries += 1;
            let resolver = Resolver::new(self, asker, json, transaction)?;
            // Before any entry is looked at: what was written before costs no access.
            if let Some(once) = once
                && resolver.is_there(once).await?
            {
                return Ok(None);
            }
            let steps = resolver.steps().await?;
            match self.carry_out(asker, transaction, &steps).await {
                // Another one was first: what it wrote is found now.
                Err(Failed::Raced) if tries < TRIES => {
                    if let Err(error) = self.follow().await {
                        let error = without_ids(&error);
                        tracing::warn!(error, "the ledger could not be followed");
                    }
                }
                Err(Failed::Raced) => return Err(crate::write::taken()),
                Err(Failed::Refused(outcome)) => return Err(outcome),
                Ok(answers) => return Ok(Some(answers)),
            }
        }
    }

    async fn carry_out(
        &self,
        asker: &Asker,
        transaction: &Transaction<'_>,
        steps: &[Step<'_>],
    ) -> Result<BTreeMap<usize, Answer>, Failed> {
        let ready = self.ready(asker, transaction, steps).await?;
        let mut charts = BTreeMap::new();
        for (step, _) in &ready {
            if let Whose::New(patient) = step.whose
                && !charts.contains_key(&patient)
            {
                charts.insert(patient, self.open_chart().await?);
            }
        }
        let writes: Vec<_> = ready
            .into_iter()
            .map(|(step, sent)| {
                let chart = match step.whose {
                    Whose::Known(chart) => chart,
                    Whose::New(patient) => charts[&patient],
                };
                let (uniqueness, amends) = match &step.what {
                    What::Create { tag, .. } => (*tag, None),
                    What::Update { newest, .. } => (None, Some(follows(newest)?)),
                    What::Nothing(_) => (None, None),
                };
                Ok((step, Write { chart, sent, uniqueness, amends }))
            })
            .collect::<Result<_, Outcome>>()?;
        let (steps_of, writes): (Vec<_>, Vec<_>) = writes.into_iter().unzip();
        let versions = match self.add_all(asker, &writes).await {
            Ok(versions) => versions,
            Err(refusal) => {
                if matches!(refusal, Refusal::Ledger(..)) {
                    // Nothing is in them, and nothing ever will be of what was refused.
                    charts.into_values().for_each(|chart| self.keep_spare(chart));
                }
                return Err(Failed::of(refusal, &steps_of));
            }
        };
        let written = steps_of.iter().zip(&writes).zip(versions).map(|((step, write), version)| {
            let status = match step.what {
                What::Update { .. } => Status::OK,
                What::Create { .. } | What::Nothing(_) => Status::CREATED,
            };
            (step.index, self.written((step.of, &step.id), &write.sent, version, status))
        });
        let found = steps.iter().filter_map(|step| match &step.what {
            What::Nothing(found) => Some((step.index, self.there(found))),
            What::Create { .. } | What::Update { .. } => None,
        });
        Ok(written.chain(found).collect())
    }

    /// Seals, stores and commits resources, all or none, and keeps them in the index: their numbers, and when they became
    /// final.
    async fn add_all(
        &self,
        asker: &Asker,
        writes: &[Write],
    ) -> Result<Vec<(u64, BlockTime)>, Refusal> {
        match writes {
            [] => return Ok(Vec::new()),
            [write] => return Ok(vec![self.add(asker, write).await?]),
            _ => {}
        }
        let mut added = self.add_together(asker, writes).await?;
        if added.as_ref().err().is_some_and(may_be_outdated) {
            writes.iter().for_each(|it| self.authorings.forget(it.chart));
            added = self.add_together(asker, writes).await?;
        }
        let added = added.map_err(Refusal::of_command)?;
        let time = added.decided.first().outcome().time;
        if let Err(error) = self.keep_all(&asker.actor, writes, &added, time).await {
            tracing::warn!(error, "what was written is final, and not in the index yet");
        }
        Ok(added.records.iter().map(|it| (it.label.version.0.into(), time)).collect())
    }

    /// Seals, stores and commits resources, all or none: what came of that, once it could be tried.
    async fn add_together(
        &self,
        asker: &Asker,
        writes: &[Write],
    ) -> Result<Result<AddedRecords, ClientError>, Refusal> {
        let mut charts = BTreeMap::new();
        for write in writes {
            if let MapEntry::Vacant(chart) = charts.entry(write.chart) {
                chart.insert(self.authoring(&asker.actor, write.chart).await?);
            }
        }
        let mut records = Vec::new();
        for write in writes {
            let new = self.new_record(write).await?;
            records.push((&*charts[&write.chart], new, write.sent.json().as_bytes()));
        }
        Ok(self.client.add_records(&asker.actor, records).await)
    }

    /// Keeps what is final in the index. Where that fails the ledger is followed to it later.
    async fn keep_all(
        &self,
        actor: &Actor,
        writes: &[Write],
        added: &AddedRecords,
        time: BlockTime,
    ) -> Result<(), String> {
        let mut by_chart: BTreeMap<ChartId, BTreeSet<Location>> = BTreeMap::new();
        for (write, record) in writes.iter().zip(&added.records) {
            by_chart.entry(write.chart).or_default().insert(record.location);
        }
        let mut positions = BTreeMap::new();
        for (chart, locations) in by_chart {
            let found = self.client.positions(actor, chart, &locations).await;
            positions.extend(found.map_err(|error| without_ids(&error))?);
        }
        let incoming = writes.iter().zip(&added.records).filter_map(|(write, record)| {
            Some(Incoming {
                chart: write.chart,
                record: RecordName {
                    position: *positions.get(&record.location)?,
                    record: record.record,
                },
                follows: write.amends.map(|it| it.record.record),
                number: record.label.version.0.into(),
                time,
                author: self.organisation,
                json: write.sent.json(),
            })
        });
        let incoming: Vec<_> = incoming.collect();
        for some in incoming.chunks(KEPT_AT_ONCE) {
            self.put(some).await.map_err(|error| without_ids(&error))?;
        }
        Ok(())
    }

    /// What is to be sealed: references are those of what is stored, and each has its id.
    async fn ready<'s, 'a>(
        &self,
        asker: &Asker,
        transaction: &Transaction<'_>,
        steps: &'s [Step<'a>],
    ) -> Result<Vec<(&'s Step<'a>, Sent)>, Outcome> {
        let sent = links::Sent::of(&transaction.entries);
        let named = named(steps);
        let mut by_chart: BTreeMap<Whose, Links> = BTreeMap::new();
        let mut looked: BTreeSet<(Whose, String)> = BTreeSet::new();
        let mut ready = Vec::new();
        for step in steps {
            let body = match &step.what {
                What::Nothing(_) => continue,
                What::Create { body, .. } => body,
                What::Update { body, .. } => body.as_str(),
            };
            let at = |outcome: Outcome| outcome.at(&format!("Bundle.entry[{}]", step.index));
            let links = by_chart.entry(step.whose).or_insert_with(|| named.clone());
            let conditions =
                links::conditions(body, Some(self.base())).map_err(|it| at(it.into()))?;
            for (text, condition) in conditions {
                if !looked.insert((step.whose, text.clone())) {
                    continue;
                }
                let here = sent.matching(&condition);
                let here = here.filter_map(|index| steps.iter().find(|it| it.index == index));
                let mut found: BTreeSet<_> = here.map(|it| (it.of, it.id.clone())).collect();
                let among = (condition.resource_type, step.whose);
                let stored = self.stored(asker, among, &condition.query).await.map_err(at)?;
                found.extend(stored);
                if let (1, Some((of, id))) = (found.len(), found.pop_first()) {
                    links.resolve(&text, of, id);
                }
            }
            let json = links.rewrite(body, step.full_url).map_err(|it| at(it.into()))?.json;
            let json = splice::with_id(&json, &step.id).map_err(|it| at(it.into()))?.json;
            let sent = Sent::of_json(step.of, &json).map_err(at)?.within(step.inherited);
            let within = format!("Bundle.entry[{}].resource", step.index);
            self.check_structure(sent.json(), Some(&within)).await?;
            self.check_owner(steps, step, &sent).await.map_err(at)?;
            ready.push((step, sent));
        }
        Ok(ready)
    }

    /// Refuses what would go into another chart than that of the patient whom it names as it is sealed.
    async fn check_owner(
        &self,
        steps: &[Step<'_>],
        step: &Step<'_>,
        sent: &Sent,
    ) -> Result<(), Outcome> {
        let owner = self.owner_of(step.of.as_str(), &sent.owner);
        let reference = match &owner {
            Owner::Here(_) | Owner::Nobody => return Ok(()),
            Owner::Several => return Err(several_patients()),
            Owner::Elsewhere(reference) => reference,
        };
        let id = reference.strip_prefix("Patient/");
        let named = steps.iter().find(|it| it.of == patient() && Some(it.id.as_str()) == id);
        let whose = match named {
            Some(patient) => patient.whose,
            // Whom an identifier means was found before.
            None if by_identifier(reference).is_some() => return Ok(()),
            None => Whose::Known(self.chart_of_owner(&owner).await?),
        };
        if whose == step.whose { Ok(()) } else { Err(crate::write::other_patient()) }
    }

    /// What a condition finds among what is stored and may be seen.
    async fn stored(
        &self,
        asker: &Asker,
        (of, whose): (ResourceType, Whose),
        condition: &Condition,
    ) -> Result<Vec<(ResourceType, Id)>, Outcome> {
        let chart = match (of.as_str(), whose) {
            ("Patient", _) => None,
            (_, Whose::Known(chart)) => Some(chart),
            // Nothing is in a chart that is not open yet.
            (_, Whose::New(_)) => return Ok(Vec::new()),
        };
        let found = self.found_by(of, chart, condition).await?;
        let versions: Vec<_> = found.iter().map(|it| &it.version).collect();
        let shown = self.may_show(asker, &versions).await?;
        let shown = found.iter().zip(shown).filter_map(|(it, shown)| shown.then_some(it));
        Ok(shown.filter_map(|it| Some((of, it.id().parse().ok()?))).collect())
    }
}

/// How sensitive a Bundle is, where its entries do not say.
pub(crate) fn inherited(json: &[u8]) -> Result<Sensitivity, Outcome> {
    let bytes_max = usize::try_from(BODY_BYTES_MAX).unwrap_or(usize::MAX);
    let cut = bundle::cut(json, bytes_max)?;
    Ok(cut.resources.first().map_or(Sensitivity::Normal, |it| it.inherited))
}

/// What full URLs stand for.
fn named(steps: &[Step<'_>]) -> Links {
    let mut links = Links::default();
    for step in steps {
        let Some(full_url) = step.full_url else { continue };
        let version = match &step.what {
            What::Nothing(found) => found.version.number,
            What::Create { .. } => 1,
            What::Update { newest, .. } => newest.version.number + 1,
        };
        let resolved =
            Resolved { resource_type: step.of, id: step.id.clone(), version: Some(version) };
        links.name(full_url, resolved);
    }
    links
}

/// Why nothing was written.
enum Failed {
    /// Another one took a tag first.
    Raced,
    Refused(Outcome),
}

impl Failed {
    /// Of what was to be written for each of these.
    fn of(refusal: Refusal, steps: &[&Step<'_>]) -> Self {
        if refusal.is_tag_taken() {
            return Self::Raced;
        }
        let step = match &refusal {
            Refusal::Ledger(place, _) => steps.get(*place),
            Refusal::Other(_) => None,
        };
        let outcome = refusal.outcome();
        Self::Refused(match step {
            Some(step) => outcome.at(&format!("Bundle.entry[{}]", step.index)),
            None => outcome,
        })
    }
}

impl From<Outcome> for Failed {
    fn from(outcome: Outcome) -> Self {
        Self::Refused(outcome)
    }
}

/// By what an entry finds what it is about.
const fn condition_of<'a>(action: &'a Action<'_>) -> Option<&'a Condition> {
    match action {
        Action::Create { if_none_exist, .. } => if_none_exist.as_ref(),
        Action::Update { target, .. } | Action::Patch { target, .. } => match target {
            Target::Matching(_, condition) => Some(condition),
            Target::Instance(..) => None,
        },
        Action::Delete { .. } | Action::Invoke { .. } | Action::Read { .. } => None,
    }
}

/// Finds out what each entry comes to.
struct Resolver<'a> {
    gateway: &'a Gateway,
    asker: &'a Asker,
    transaction: &'a Transaction<'a>,
    /// Whom each entry that sends a resource is about.
    owners: BTreeMap<usize, Owned>,
    /// How sensitive the Bundle is, where its entries do not say.
    inherited: Sensitivity,
    sent: links::Sent,
}

/// Whom an entry is about, as it was sent.
#[derive(Clone)]
enum Owned {
    Entry(usize),
    Reference(String),
    Several,
    Nobody,
}

impl<'a> Resolver<'a> {
    fn new(
        gateway: &'a Gateway,
        asker: &'a Asker,
        json: &'a [u8],
        transaction: &'a Transaction<'a>,
    ) -> Result<Self, Outcome> {
        let bytes_max = usize::try_from(BODY_BYTES_MAX).unwrap_or(usize::MAX);
        let cut = bundle::cut(json, bytes_max)?;
        let at = |json: &str| json.as_ptr();
        let entries = transaction.entries.iter();
        let bodies = entries.filter_map(|it| Some((at(it.action.body()?.json), it.index)));
        let bodies: BTreeMap<_, _> = bodies.collect();
        let owned = |it: &bundle::Resource<'_>| match gateway.owner_of(&it.resource_type, &it.owner)
        {
            Owner::Here(place) => {
                let entry = bodies.get(&at(cut.resources[place].json));
                entry.map_or(Owned::Nobody, |entry| Owned::Entry(*entry))
            }
            Owner::Elsewhere(reference) => Owned::Reference(reference),
            Owner::Several => Owned::Several,
            Owner::Nobody => Owned::Nobody,
        };
        let of_resource = cut.resources.iter();
        let owners =
            of_resource.filter_map(|it| Some((*bodies.get(&at(it.json))?, owned(it)))).collect();
        let sent = links::Sent::of(&transaction.entries);
        let inherited = cut.resources.first().map_or(Sensitivity::Normal, |it| it.inherited);
        Ok(Self { gateway, asker, transaction, owners, inherited, sent })
    }

    /// What the entries that write come to, in the order in which they are carried out.
    async fn steps(&self) -> Result<Vec<Step<'a>>, Outcome> {
        let mut steps: BTreeMap<usize, Step<'a>> = BTreeMap::new();
        let order = self.transaction.order();
        let entries = order.iter().map(|index| &self.transaction.entries[*index]);
        let (patients, others): (Vec<_>, Vec<_>) = entries
            .partition(|it| of_action(&it.action).is_some_and(|of| of.as_str() == "Patient"));
        for entry in patients {
            let step = self.step(entry, None).await.map_err(|it| at(entry, it))?;
            steps.extend(step.map(|step| (entry.index, step)));
        }
        let mut of_nobody = Vec::new();
        for entry in others {
            let whose = match entry.action.body() {
                Some(_) => match self.whose(entry, &steps).await.map_err(|it| at(entry, it))? {
                    Some(whose) => Some(whose),
                    None => {
                        of_nobody.push(entry);
                        continue;
                    }
                },
                None => None,
            };
            let step = self.step(entry, whose).await.map_err(|it| at(entry, it))?;
            steps.extend(step.map(|step| (entry.index, step)));
        }
        let whose: BTreeSet<_> = steps.values().map(|it| it.whose).collect();
        for entry in of_nobody {
            let (1, Some(whose)) = (whose.len(), whose.first()) else {
                return Err(at(entry, no_patient()));
            };
            let step = self.step(entry, Some(*whose)).await.map_err(|it| at(entry, it))?;
            steps.extend(step.map(|step| (entry.index, step)));
        }
        let mut changed = vec![None; self.transaction.entries.len()];
        for step in steps.values().filter(|it| !matches!(it.what, What::Nothing(_))) {
            changed[step.index] = Some((step.of, step.id.clone()));
        }
        self.transaction.check_resolved(&changed)?;
        Ok(order.into_iter().filter_map(|index| steps.remove(&index)).collect())
    }

    /// Whether what an entry would create on a condition is in its patient's chart, whoever may see it.
    async fn is_there(&self, index: usize) -> Result<bool, Outcome> {
        let entry = self.transaction.entries.iter().find(|it| it.index == index);
        let Some(entry) = entry else { return Ok(false) };
        let Action::Create { body, if_none_exist: Some(condition) } = &entry.action else {
            return Ok(false);
        };
        for chart in self.charts_of(entry).await? {
            let found = self.gateway.found_by(body.resource_type, Some(chart), condition).await?;
            if !found.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The charts that there are of the patient whom an entry is about.
    async fn charts_of(&self, entry: &Entry<'_>) -> Result<Vec<ChartId>, Outcome> {
        let Some(Owned::Entry(patient)) = self.owners.get(&entry.index) else {
            return Ok(match self.whose(entry, &BTreeMap::new()).await? {
                Some(Whose::Known(chart)) => vec![chart],
                Some(Whose::New(_)) | None => Vec::new(),
            });
        };
        let of_patient = self.transaction.entries.iter().find(|it| it.index == *patient);
        let Some(condition) = of_patient.and_then(|it| condition_of(&it.action)) else {
            return Ok(Vec::new());
        };
        let found = self.gateway.found_by(self::patient(), None, condition).await?;
        Ok(found.iter().map(|it| it.version.chart).collect())
    }

    /// In whose chart an entry belongs; nothing if it is about nobody.
    async fn whose(
        &self,
        entry: &Entry<'_>,
        patients: &BTreeMap<usize, Step<'a>>,
    ) -> Result<Option<Whose>, Outcome> {
        let of_entry = |index: &usize| patients.get(index).map(|it| it.whose);
        let reference = match self.owners.get(&entry.index) {
            None | Some(Owned::Nobody) => return Ok(None),
            Some(Owned::Several) => return Err(several_patients()),
            Some(Owned::Entry(index)) => return Ok(of_entry(index)),
            Some(Owned::Reference(reference)) => reference,
        };
        let condition = match reference.split_once('?') {
            Some((of, query)) if of.rsplit('/').next() == Some("Patient") => {
                Some(Condition::parse(query).map_err(Outcome::from)?)
            }
            Some(_) => None,
            None => by_identifier(reference),
        };
        let Some(query) = condition else {
            let chart = self.gateway.chart_of_owner(&Owner::Elsewhere(reference.clone())).await?;
            return Ok(Some(Whose::Known(chart)));
        };
        let condition = links::Condition { resource_type: patient(), query };
        let mut found: BTreeSet<_> =
            self.sent.matching(&condition).filter_map(|index| of_entry(&index)).collect();
        let stored = self.gateway.found_by(patient(), None, &condition.query).await?;
        found.extend(stored.iter().map(|it| Whose::Known(it.version.chart)));
        match found.len() {
            1 => Ok(found.pop_first()),
            many => {
                let text = format!(
                    "the patient whom it is about is to be one, and {many} are; refer to Patient/ID"
                );
                let outcome = Outcome::error(IssueType::MultipleMatches, &text);
                Err(outcome.with_status(Status::PRECONDITION_FAILED))
            }
        }
    }

    /// What an entry comes to, in the chart of `whose`; nothing if it writes nothing.
    async fn step(
        &self,
        entry: &'a Entry<'a>,
        whose: Option<Whose>,
    ) -> Result<Option<Step<'a>>, Outcome> {
        let full_url = entry.full_url.as_deref();
        let new = whose.unwrap_or(Whose::New(entry.index));
        let (of, what) = match &entry.action {
            Action::Read { .. } => return Ok(None),
            Action::Delete { .. } => return Err(crate::capability::no_deletes()),
            Action::Invoke { .. } => return Err(crate::capability::not_served()),
            Action::Create { body, if_none_exist } => {
                let of = body.resource_type;
                (of, self.create((of, whose), body, if_none_exist.as_ref()).await?)
            }
            Action::Update { target, body, if_match, if_none_match } => {
                let tags = (if_match.as_ref(), if_none_match.as_ref());
                (target.resource_type(), self.update((target, whose), body, tags).await?)
            }
            Action::Patch { target, patch, if_match } => {
                let newest = self.target(target, None).await?.ok_or_else(no_such_id)?;
                self.gateway.check_tags(&newest, (if_match.as_ref(), None))?;
                let body = patch.apply(newest.json()).map_err(Outcome::from)?;
                (target.resource_type(), What::Update { newest: Box::new(newest), body })
            }
        };
        let (id, whose) = match &what {
            What::Create { .. } => (random_id(), new),
            What::Nothing(found) | What::Update { newest: found, .. } => {
                (found.id().parse().map_err(|_| not_found())?, Whose::Known(found.version.chart))
            }
        };
        let inherited = self.inherited;
        Ok(Some(Step { index: entry.index, of, id, full_url, whose, what, inherited }))
    }

    async fn create(
        &self,
        (of, whose): (ResourceType, Option<Whose>),
        body: &Body<'a>,
        condition: Option<&Condition>,
    ) -> Result<What<'a>, Outcome> {
        let Some(condition) = condition else {
            return Ok(What::Create { body: body.json, tag: None });
        };
        let tag = Some(self.gateway.tag(of, condition)?);
        let found = match whose {
            Some(Whose::New(_)) => None,
            Some(Whose::Known(chart)) => {
                self.gateway.only_by(self.asker, (of, Some(chart)), condition).await?
            }
            None => self.gateway.only_by(self.asker, (of, None), condition).await?,
        };
        let nothing = found.map(|it| What::Nothing(Box::new(it)));
        Ok(nothing.unwrap_or(What::Create { body: body.json, tag }))
    }

    async fn update(
        &self,
        (target, whose): (&Target, Option<Whose>),
        body: &Body<'a>,
        tags: (Option<&TagList>, Option<&TagList>),
    ) -> Result<What<'a>, Outcome> {
        let newest = match self.target(target, whose).await? {
            Some(newest) => newest,
            None => match target {
                Target::Instance(..) => return Err(no_such_id()),
                Target::Matching(of, condition) => {
                    let tag = Some(self.gateway.tag(*of, condition)?);
                    return Ok(What::Create { body: body.json, tag });
                }
            },
        };
        self.gateway.check_tags(&newest, tags)?;
        if body.id.as_deref().is_some_and(|id| id != newest.id()) {
            return Err(crate::write::other_id());
        }
        if whose.is_some_and(|it| it != Whose::Known(newest.version.chart)) {
            return Err(crate::write::other_patient());
        }
        Ok(What::Update { newest: Box::new(newest), body: body.json.to_owned() })
    }

    /// The newest version of what is meant, if it is there.
    async fn target(
        &self,
        target: &Target,
        whose: Option<Whose>,
    ) -> Result<Option<Found>, Outcome> {
        match target {
            Target::Instance(of, id) => match self.gateway.one(self.asker, *of, id).await {
                Err(outcome) if outcome.status() == Status::NOT_FOUND => Ok(None),
                found => found.map(Some),
            },
            Target::Matching(of, condition) => {
                let chart = match whose {
                    Some(Whose::New(_)) => return Ok(None),
                    Some(Whose::Known(chart)) => Some(chart),
                    None => None,
                };
                self.gateway.only_by(self.asker, (*of, chart), condition).await
            }
        }
    }
}

/// The type of what an entry writes.
fn of_action(action: &Action<'_>) -> Option<ResourceType> {
    match action {
        Action::Create { body, .. } => Some(body.resource_type),
        Action::Update { target, .. }
        | Action::Patch { target, .. }
        | Action::Delete { target, .. } => Some(target.resource_type()),
        Action::Invoke { .. } | Action::Read { .. } => None,
    }
}

fn at(entry: &Entry<'_>, outcome: Outcome) -> Outcome {
    outcome.at(&format!("Bundle.entry[{}]", entry.index))
}

fn patient() -> ResourceType {
    "Patient".parse().expect("R4 has it")
}

/// The condition that a reference by identifier alone is, `system|value`.
fn by_identifier(reference: &str) -> Option<Condition> {
    let (system, value) = reference.split_once('|')?;
    Condition::parse(&identifier_query(system, value)).ok()
}

/// A query for one identifier.
pub(crate) fn identifier_query(system: &str, value: &str) -> String {
    let mut query = "identifier=".to_owned();
    for byte in format!("{system}|{value}").bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => query.push(char::from(byte)),
            byte => query += &format!("%{byte:02X}"),
        }
    }
    query
}

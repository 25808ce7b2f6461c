//! Following the ledger: what was added to the charts of the organisation's key agent is opened, and kept in the index.
//!
//! # Invariants
//!
//! * A chart's mark moves on only together with all that stands before it: whoever is stopped in between begins again
//!   there. What did not open is tried again, after pauses that grow, since each try is an access that the patient
//!   sees.
//! * What a patient has claimed is forgotten, and what was redacted too. This is the organisation's memory of what it
//!   may read, and no archive.
//! * Each stretch of a log that has something new costs one access for every 32 records, by the key agent, for the
//!   purpose of operations; what this gateway wrote itself costs none.
//!
//! Each chart's log is asked for in turn: a look at the ledger takes a request for each chart, whether it has anything
//! new or not.
//!
//! Not here: charts that their patients control, which need grants to the key agent; records that are no FHIR resources
//! in JSON, have no id, or have more than [`BODY_BYTES_MAX`]; of two records in a chart with one author, type
//! and id, the second.

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use keepwell_client::{
    ClientError,
    error::LedgerError,
    identity::{Actor, ChartHolder},
    open::{Opened, Opening, RecordFacts, What, records_in},
    verify::{LogMark, VerifiedLog},
};
use keepwell_crypto::body::sealed_len;
use keepwell_fhir::{bundle, header::instant, search::Entry};
use keepwell_ledger::state::Chart;
use keepwell_types::{
    access::{Purpose, RecordName},
    command::{Entry as LedgerEntry, Payload},
    id::{ChartId, OrganisationId, RecordId},
    limits::ACCESS_RECORDS_MAX,
    member::Party,
    set::CompartmentSet,
    time::BlockTime,
};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::{
    gateway::{Gateway, PATIENTS},
    index::{IndexError, NewVersion},
};

/// How long a chart is left alone of which a record did not open; at first, and at most.
const REST_MIN: Duration = Duration::from_secs(30);
const REST_MAX: Duration = Duration::from_secs(600);
/// Bytes of a resource that is kept in the index.
pub const BODY_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What was brought in.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Followed {
    /// Charts that had something new.
    pub charts: usize,
    /// Versions of resources that are in the index now.
    pub versions: usize,
    /// Records that are no resources, or did not open.
    pub left_out: usize,
    /// Charts that are forgotten: their patients have claimed them.
    pub forgotten: usize,
}

/// Why the ledger could not be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The ledger, a custodian or a key.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// A version that is about to be kept.
pub(crate) struct Incoming<'a> {
    pub(crate) chart: ChartId,
    pub(crate) record: RecordName,
    /// The version that it amends.
    pub(crate) follows: Option<RecordId>,
    pub(crate) number: u64,
    pub(crate) time: BlockTime,
    pub(crate) author: OrganisationId,
    pub(crate) json: &'a str,
}

impl Gateway {
    /// Brings the index to where the ledger is.
    pub async fn follow(&self) -> Result<Followed, FollowError> {
        let (charts, actor) = {
            let agent = self.agent.lock().await;
            let charts: Vec<_> = agent.charts().map(|it| it.chart()).collect();
            (charts, agent.identity().actor())
        };
        let all = self.client.organisations(&actor).await?;
        *self.organisations.lock().unwrap_or_else(PoisonError::into_inner) = all.all.into_vec();
        let (mut followed, mut failed) = (Followed::default(), None);
        for chart in charts {
            if self.rests(chart) {
                continue;
            }
            // What is wrong with one chart keeps no other one back.
            if let Err(error) = self.follow_chart(&actor, chart, &mut followed).await {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(followed), Err)
    }

    fn rests(&self, chart: ChartId) -> bool {
        let resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        resting.get(&chart).is_some_and(|(until, _)| *until > Instant::now())
    }

    /// Leaves a chart alone for a while, of which some records did not open; longer each time.
    fn rest(&self, chart: ChartId, is_whole: bool) {
        let mut resting = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        if is_whole {
            resting.remove(&chart);
            return;
        }
        let pause = resting.get(&chart).map_or(REST_MIN, |(_, pause)| REST_MAX.min(2 * *pause));
        resting.insert(chart, (Instant::now() + pause, pause));
    }

    /// Forgets all: the next time that the ledger is followed everything is built again.
    pub async fn forget_all(&self) -> Result<(), FollowError> {
        // Files of exports are made of rows that are not there then.
        self.index.forget_exports_until(u64::MAX).await?;
        for chart in self.index.charts().await? {
            self.index.forget(chart).await?;
        }
        Ok(())
    }

    async fn follow_chart(
        &self,
        actor: &Actor,
        chart: ChartId,
        followed: &mut Followed,
    ) -> Result<(), FollowError> {
        let mark = self.index.mark(chart).await?;
        let mark = mark.and_then(|bytes| keepwell_types::decode(&bytes, bytes.len()).ok());
        let mark: LogMark = mark.unwrap_or(LogMark::START);
        let log = self.client.log_after(actor, chart, mark).await?;
        if log.lines().is_empty() {
            return Ok(());
        }
        self.news.send_replace(());
        let entry = self.client.chart(actor, chart).await?;
        if entry.claimed {
            self.index.forget(chart).await?;
            // Its log is not read from the start each time.
            self.index.put(&[], Some((chart, &keepwell_types::encode(&log.mark())))).await?;
            followed.forgotten += 1;
            return Ok(());
        }
        followed.charts += 1;
        let mut new = Vec::new();
        for facts in records_in(&log) {
            if facts.sealed_bytes > sealed_len(BODY_BYTES_MAX) {
                followed.left_out += 1;
            } else if !self.index.has(facts.name.record).await? {
                new.push(facts);
            }
        }
        let mut closed = 0;
        if !new.is_empty() {
            let holder = self.agent.lock().await.holder(chart).map_err(ClientError::from)?;
            // So many at once are in memory.
            for some in new.chunks(ACCESS_RECORDS_MAX) {
                let kept = self.open((actor, &holder), &entry, some).await?;
                self.keep(chart, &kept).await?;
                closed += kept.closed;
                followed.versions += kept.bodies.len();
                followed.left_out += some.len() - kept.bodies.len();
            }
        }
        // Before the mark moves on: whoever is stopped in between comes by the redactions again.
        self.forget_redacted(actor, &log).await?;
        self.rest(chart, closed == 0);
        if closed == 0 {
            self.index.put(&[], Some((chart, &keepwell_types::encode(&log.mark())))).await?;
        }
        Ok(())
    }

    /// Opens some records, and reads them. What the ledger refuses is left out: nobody reads it any more.
    async fn open(
        &self,
        (actor, holder): (&Actor, &ChartHolder),
        entry: &Chart,
        facts: &[RecordFacts],
    ) -> Result<Kept, FollowError> {
        let mut kept = Kept::default();
        let compartments: CompartmentSet = facts.iter().map(|it| it.compartment).collect();
        let seeds = holder.seeds(entry, compartments);
        let mut waiting = vec![facts];
        while let Some(some) = waiting.pop() {
            let what = What::Records(some.iter().map(|it| it.name).collect());
            let (chart, purpose) = (holder.chart(), Purpose::Operations);
            let opening = Opening { actor, chart, what: &what, purpose, seeds: &seeds };
            match self.client.open(&opening).await {
                // One of them may not be read by anyone any more: the others still are.
                Err(ClientError::Ledger(LedgerError::Rejected { .. })) => {
                    if some.len() > 1 {
                        let (first, second) = some.split_at(some.len() / 2);
                        waiting.extend([second, first]);
                    }
                }
                opened => self.take(actor, &opened?, &mut kept).await?,
            }
        }
        Ok(kept)
    }

    /// Reads what was opened.
    async fn take(
        &self,
        actor: &Actor,
        opened: &Opened,
        kept: &mut Kept,
    ) -> Result<(), FollowError> {
        kept.closed += opened.withheld.len();
        for record in &opened.records {
            let facts = record.facts();
            let mut body = Zeroizing::new(Vec::new());
            self.client.read(actor, record, &mut *body).await?;
            if resource_in(&body).is_some() {
                let author = self.organisation_of(actor, facts.author).await?;
                kept.bodies.push((facts.clone(), author, body));
            }
        }
        Ok(())
    }

    /// Whose member an author is.
    pub(crate) async fn organisation_of(
        &self,
        actor: &Actor,
        author: Party,
    ) -> Result<OrganisationId, FollowError> {
        let Party::Member(member) = author else { return Ok(PATIENTS) };
        let known =
            self.authors.lock().unwrap_or_else(PoisonError::into_inner).get(&member).copied();
        if let Some(known) = known {
            return Ok(known);
        }
        let organisation = self.client.member(actor, member).await?.organisation;
        self.authors.lock().unwrap_or_else(PoisonError::into_inner).insert(member, organisation);
        Ok(organisation)
    }

    async fn keep(&self, chart: ChartId, kept: &Kept) -> Result<(), IndexError> {
        let incoming = kept.bodies.iter().filter_map(|(facts, author, body)| {
            Some(Incoming {
                chart,
                record: facts.name,
                follows: facts.amends.map(|it| it.record),
                number: facts.version.0.into(),
                time: facts.time,
                author: *author,
                json: resource_in(body)?,
            })
        });
        self.put(&incoming.collect::<Vec<_>>()).await
    }

    /// Keeps versions, with what they are found by.
    pub(crate) async fn put(&self, incoming: &[Incoming<'_>]) -> Result<(), IndexError> {
        let versions: Vec<_> = incoming.iter().filter_map(|it| self.version_of(it)).collect();
        self.index.put(&versions, None).await?;
        self.news.send_replace(());
        Ok(())
    }

    fn version_of<'a>(&self, incoming: &Incoming<'a>) -> Option<NewVersion<'a>> {
        let resource: Value = serde_json::from_str(incoming.json).ok()?;
        let id = resource.get("id")?.as_str()?.to_owned();
        let entry = Entry::new(&resource, &id, &instant(incoming.time.0));
        let terms = self.terms();
        Some(NewVersion {
            record: incoming.record.record,
            chart: incoming.chart,
            position: incoming.record.position,
            follows: incoming.follows,
            name: terms.name(incoming.author, entry.resource_type(), &id),
            kind: terms.kind_of(incoming.chart, entry.resource_type()),
            number: incoming.number,
            time: incoming.time,
            body: incoming.json.as_bytes(),
            terms: terms.of_entry(incoming.chart, &entry, self.base()),
        })
    }

    /// Forgets what the parties have agreed to redact.
    async fn forget_redacted(&self, actor: &Actor, log: &VerifiedLog) -> Result<(), FollowError> {
        let asked: Vec<_> = log.lines().iter().filter_map(redaction_in).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let chart = log.chart();
        let whole = self.client.log(actor, chart, LogMark::START).await?;
        let records: Vec<_> = records_in(&whole).collect();
        for name in asked {
            let Some(facts) = records.iter().find(|it| it.name == name) else { continue };
            let first = facts.original(&records);
            let (state, _) = self.client.record_state(actor, chart, first).await?;
            if state.is_redacted() {
                for version in records.iter().filter(|it| it.original(&records) == first) {
                    self.index.forget_resource(chart, version.name.record).await?;
                }
            }
        }
        Ok(())
    }
}

/// What was opened and is kept.
#[derive(Default)]
struct Kept {
    /// Records that did not open, and may another time: a custodian is away, or too few validators answer.
    closed: usize,
    bodies: Vec<(RecordFacts, OrganisationId, Zeroizing<Vec<u8>>)>,
}

/// The one resource with an id that these are the bytes of. It may be about nobody: what came with the only patient of
/// a Bundle is in that patient's chart.
fn resource_in(body: &[u8]) -> Option<&str> {
    bundle::whole(body, body.len()).ok().filter(|it| it.id.is_some()).map(|it| it.json)
}

/// The record that a line of the log approves to be redacted.
fn redaction_in(line: &keepwell_client::verify::LogLine) -> Option<RecordName> {
    let LedgerEntry::Signed(signed) = &line.entry else { return None };
    let Payload::RecordRedact(redact) = &signed.command.payload else { return None };
    line.outcome.verdict.is_accepted().then_some(redact.record)
}

//! What is new in a chart for one subscription, and what of it may be named.
//!
//! Records come in the order of the index's rows, since a record that a custodian could not show at first comes later
//! than its place in the log; accesses come in the order of the log.
//!
//! Not here: sending.

use keepwell_client::{explain::Rules, verify::LogMark};
use keepwell_fhir::{
    header::instant,
    outcome::Outcome,
    search::Entry,
    subscription::{Content, Topic, notification::Event},
};
use keepwell_types::access::RecordName;

use super::{
    Subscriptions,
    kept::{KeptEvent, Spec, State},
    worker::Worker,
};
use crate::{
    answer::{no_index, refused},
    gateway::{Asker, Found},
    index::subscriptions::NewEvent,
};

/// Subscriptions for which is looked at once: each holds one resource, and what a log has new.
pub(super) const LOOKS_MAX: usize = 4;
/// Events that are numbered in one write.
const EVENTS_MAX: usize = 256;

/// What came of looking.
#[derive(Debug)]
pub(super) enum Looked {
    /// It is at the end of what is there, or so many events further.
    Done(Box<State>, Vec<NewEvent>),
    /// Nothing may be told any more, for this reason.
    Ended(&'static str),
}

/// Something that happened and is wanted.
struct Candidate {
    source: Vec<u8>,
    event: KeptEvent,
}

/// Whether the patient is in the index.
enum Patient {
    Here(RecordName),
    Claimed,
    /// Not yet, or not at the moment.
    Building,
}

const NOT_ALLOWED: &str = "who made it may not see the patient any more; ask the patient, or whoever keeps the chart, for a grant";
const CLAIMED: &str = "the patient's record is not kept here any more: the patient has claimed the chart, or it was redacted";

impl Worker {
    /// Looks for what is new.
    pub(super) async fn look(&self) -> Result<Looked, Outcome> {
        // It is never closed.
        let _place = self.all.looks.acquire().await;
        let gateway = &self.all.gateway;
        let mut state = self.state.clone();
        let candidates = match self.asked.topic {
            Topic::ChartRecord => self.records(&mut state).await?,
            Topic::ChartAccess => match self.accesses(&mut state).await? {
                Some(found) => found,
                None => return Ok(Looked::Ended(NOT_ALLOWED)),
            },
        };
        if candidates.is_empty() {
            return Ok(Looked::Done(Box::new(state), Vec::new()));
        }
        let patient = match self.patient().await? {
            Patient::Here(name) => name,
            Patient::Claimed => return Ok(Looked::Ended(CLAIMED)),
            // What is there is looked for again.
            Patient::Building => return Ok(Looked::Done(Box::new(self.state.clone()), Vec::new())),
        };
        let actor = gateway.agent.lock().await.identity().actor();
        let rules = gateway.client.rules(&actor, self.spec.chart, LogMark::START).await;
        let mut rules = rules.map_err(|error| refused(&error))?;
        if !would_allow(&mut rules, &self.asker, patient).await? {
            return Ok(Looked::Ended(NOT_ALLOWED));
        }
        let mut events = Vec::new();
        for Candidate { source, event } in candidates {
            let known = gateway.index.has_event(self.id, &source).await;
            if known.map_err(|error| no_index(&error))? {
                continue;
            }
            if let Some(name) = event.record
                && !would_allow(&mut rules, &self.asker, name).await?
            {
                continue;
            }
            state.count += 1;
            events.push(NewEvent { number: state.count, source, body: event.encode() });
        }
        Ok(Looked::Done(Box::new(state), events))
    }

    /// Why nothing may be told any more, if so: asked now and then, also where nothing happens.
    pub(super) async fn closed(&self) -> Result<Option<&'static str>, Outcome> {
        let gateway = &self.all.gateway;
        let patient = match self.patient().await? {
            Patient::Here(name) => name,
            Patient::Claimed => return Ok(Some(CLAIMED)),
            Patient::Building => return Ok(None),
        };
        let actor = gateway.agent.lock().await.identity().actor();
        let rules = gateway.client.rules(&actor, self.spec.chart, LogMark::START).await;
        let mut rules = rules.map_err(|error| refused(&error))?;
        let may = would_allow(&mut rules, &self.asker, patient).await?;
        Ok((!may).then_some(NOT_ALLOWED))
    }

    async fn patient(&self) -> Result<Patient, Outcome> {
        let (gateway, chart) = (&self.all.gateway, self.spec.chart);
        if let Some(found) = gateway.patient_in(chart).await? {
            let (position, record) = (found.version.position, found.version.record);
            return Ok(Patient::Here(RecordName { position, record }));
        }
        // A chart that its patient has claimed is followed, and nothing of it is kept.
        let mark = gateway.index.mark(chart).await.map_err(|error| no_index(&error))?;
        Ok(if mark.is_some() { Patient::Claimed } else { Patient::Building })
    }

    /// Records after the row up to which it was looked, and moves that on.
    async fn records(&self, state: &mut State) -> Result<Vec<Candidate>, Outcome> {
        let index = &self.all.gateway.index;
        let mut candidates = Vec::new();
        while candidates.len() < EVENTS_MAX {
            let after = (self.spec.chart, state.after_row);
            let found = index.versions_after(after, 1).await.map_err(|error| no_index(&error))?;
            let Some(version) = found.into_iter().next() else { break };
            state.after_row = version.row;
            if version.position < self.spec.from {
                continue;
            }
            candidates.extend(Found::of(version).and_then(|it| self.record(&it)));
        }
        Ok(candidates)
    }

    /// A record that is wanted.
    fn record(&self, found: &Found) -> Option<Candidate> {
        let (version, time) = (&found.version, instant(found.version.time.0));
        let entry = Entry::new(&found.resource, found.id(), &time);
        let is_wanted = self.spec.covers(found.resource_type())
            && self.asker.sight.shows_found(found)
            && self.asked.wants(&entry);
        is_wanted.then(|| Candidate {
            source: [&b"record"[..], &version.record.0].concat(),
            event: KeptEvent {
                event: Event {
                    at_ms: version.time.0,
                    focus: Some(found.path()),
                    is_new: version.number == 1,
                },
                record: Some(RecordName { position: version.position, record: version.record }),
            },
        })
    }

    /// Accesses after the line up to which it was looked, and moves that on; nothing if who asks may not read the log.
    async fn accesses(&self, state: &mut State) -> Result<Option<Vec<Candidate>>, Outcome> {
        let after = (self.spec.chart, state.mark());
        let wants = |entry: &Entry<'_>| self.asked.wants(entry);
        let found = self.all.gateway.accesses_after(&self.asker, after, wants).await?;
        let Some((found, mark)) = found else { return Ok(None) };
        state.set_mark(mark);
        let candidates = found.iter().map(|found| Candidate {
            source: [&b"access"[..], found.id().as_bytes()].concat(),
            event: KeptEvent {
                event: Event {
                    at_ms: found.version.time.0,
                    focus: Some(found.path()),
                    is_new: true,
                },
                record: None,
            },
        });
        Ok(Some(candidates.collect()))
    }
}

impl Subscriptions {
    /// Events as whoever asks may see them now: of a record that they may not read any more, the number alone is told.
    pub(super) async fn nameable(
        &self,
        asker: &Asker,
        (spec, content): (&Spec, Content),
        events: Vec<(u64, KeptEvent)>,
    ) -> Result<Vec<(u64, Event)>, Outcome> {
        let is_named = match content {
            Content::Empty => false,
            Content::IdOnly => !events.is_empty(),
        };
        let mut all = Vec::new();
        if !is_named {
            all.extend(events.into_iter().map(|(number, it)| (number, it.event)));
            return Ok(all);
        }
        let gateway = &self.gateway;
        let actor = gateway.agent.lock().await.identity().actor();
        let rules = gateway.client.rules(&actor, spec.chart, LogMark::START).await;
        let mut rules = rules.map_err(|error| refused(&error))?;
        let patient = gateway.patient_in(spec.chart).await?;
        let may_look = match patient.map(|it| it.version) {
            Some(it) => {
                let name = RecordName { position: it.position, record: it.record };
                would_allow(&mut rules, asker, name).await?
            }
            None => false,
        };
        for (number, KeptEvent { mut event, record }) in events {
            let may = may_look
                && match record {
                    Some(name) => would_allow(&mut rules, asker, name).await?,
                    None => true,
                };
            if !may {
                event.focus = None;
            }
            all.push((number, event));
        }
        Ok(all)
    }
}

/// Whether the ledger would allow an access to a record now.
async fn would_allow(
    rules: &mut Rules<'_>,
    asker: &Asker,
    name: RecordName,
) -> Result<bool, Outcome> {
    let allowed = rules.would_allow(asker.actor.party(), asker.purpose, &[name]).await;
    Ok(allowed.map_err(|error| refused(&error))?.is_ok())
}

//! Subscriptions: whoever may read a chart is told what is new in it, and who looked (Subscriptions R5 Backport 1.1).
//!
//! ```text
//! POST Subscription --> an access to the patient, kept: requested --> worker, one for each subscription
//!
//! worker   what is new in the chart --> may its maker see it now? --> events, numbered, kept --> notification
//!            rows of the index, lines of the log    the ledger's rule, on proven values    2xx: told up to there
//! ```
//!
//! # Invariants
//!
//! * A subscription belongs to who made it, by client and by member; another's is nobody's. It asks as that member, for
//!   the purpose and with the scopes of the token that made it, and for no more than its client may ask for now.
//! * An event is numbered once what has happened may be seen by who asks, and before it is sent. Number and place in
//!   the chart are kept in one write: after a crash the same event has the same number, or none yet, and is told again.
//! * What is sent names resources and shows none, so no access is committed for it. Whether the ledger would allow one
//!   is asked before an event is numbered, and again before it is named later. To commit one for each notification
//!   would be told of in turn, to everyone who asks who looked.
//! * Of one subscription, one notification is under way at a time, so that its order is kept; each has a worker of its
//!   own, so that nobody waits for another's address.
//! * Memory is bounded: so many subscriptions, each with so many events at once, and so many looked at at once.
//! * No log line has an address, an id, or anything of a patient.
//!
//! Not here: facts of the ledger other than accesses; charts that their patients control; what R4 calls criteria, which
//! are searches over everything; subscriptions in transactions, since they stand on no ledger.

mod derive;
mod kept;
mod send;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use keepwell_client::{ClientError, identity::Actor, verify::LogMark};
use keepwell_fhir::{
    interaction::{Id, Query as RawQuery, ResourceType},
    outcome::{IssueType, Outcome, Status},
    parameters::Parameters,
    response::{self, Link, SearchMode},
    search::form,
    subscription::{
        Content, LIFE_MS_MAX, Standing, Subscription, Told, Topic,
        notification::{Kind, Notification},
    },
};
use keepwell_types::{id::ChartId, member::Party};
use serde_json::{Value, value::RawValue};
use tokio::{sync::Semaphore, task::JoinHandle};

use self::{
    derive::LOOKS_MAX,
    kept::{Spec, State},
    send::{Sender, uuid},
    worker::Worker,
};
use crate::{
    answer::{Answer, no_index, not_found, refused, without_ids},
    auth::{Permission, Scope, Session, Sessions, lock},
    gateway::{Asker, Gateway},
    index::{
        IndexError,
        subscriptions::{NewSubscription, SubscriptionId},
    },
    server::{not_in_scope, now_ms},
    sight::Sight,
    smart::Smart,
};

/// Subscriptions of one owner, and of all.
pub const OWNER_KEPT_MAX: usize = 32;
/// See [`OWNER_KEPT_MAX`].
pub const KEPT_MAX: usize = 256;
/// How long one that has ended is kept, in milliseconds.
pub(crate) const ENDED_KEPT_MS: u64 = 30 * 24 * 3_600 * 1_000;
/// Events of one answer to `$events`.
const EVENTS_MAX: u32 = 1_000;
/// How often it is looked for what is over.
const SWEEP_PAUSE: Duration = Duration::from_secs(60);

/// What is asked of subscriptions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Asked {
    /// POST.
    Create,
    /// GET of an id.
    Read(Id),
    /// PUT of an id: an end, or a new beginning after an error.
    Update(Id),
    /// DELETE of an id.
    Delete(Id),
    /// GET of the type.
    Search(RawQuery),
    /// `$status`, of one or of several.
    Status(Option<Id>, RawQuery),
    /// `$events` of one.
    Events(Id, RawQuery),
}

/// The subscriptions of a gateway.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    gateway: Arc<Gateway>,
    sender: Sender,
    /// Places to look for what is new.
    looks: Semaphore,
    running: Mutex<BTreeMap<SubscriptionId, JoinHandle<()>>>,
    /// Whoever changes one, or begins one and counts those that are there, does so alone.
    changing: tokio::sync::Mutex<()>,
}

impl Subscriptions {
    pub(crate) fn new(gateway: Arc<Gateway>) -> Self {
        let sender = Sender::new(gateway.settings.endpoints.clone());
        let (running, changing) = (Mutex::default(), tokio::sync::Mutex::default());
        Self { gateway, sender, looks: Semaphore::new(LOOKS_MAX), running, changing }
    }

    /// Goes on with what has not ended. What may not be gone on with ends, and says why.
    pub(crate) async fn resume(self: &Arc<Self>, sessions: &Sessions, smart: Option<&Smart>) {
        let all = self.gateway.index.subscriptions().await.unwrap_or_else(|error| {
            tracing::error!(error = without_ids(&error), "subscriptions cannot be gone on with");
            Vec::new()
        });
        for id in all {
            let Ok(Some((spec, state))) = self.kept(id).await else { continue };
            match state.standing {
                Standing::Requested | Standing::Active => {}
                Standing::Error | Standing::Off => continue,
            }
            match self.worker((id, spec.clone(), state.clone()), sessions, smart) {
                Ok(worker) => self.go_on(id, worker),
                Err(why) => {
                    let ended = state.ended(Standing::Error, Some(why), now_ms());
                    if let Err(error) = self.keep(id, &spec, &ended).await {
                        tracing::error!(error = without_ids(&error), "an end could not be kept");
                    }
                }
            }
        }
    }

    /// Whoever goes on with a subscription, or why nobody may.
    fn worker(
        self: &Arc<Self>,
        (id, spec, state): (SubscriptionId, Spec, State),
        sessions: &Sessions,
        smart: Option<&Smart>,
    ) -> Result<Worker, String> {
        let asker = spec.asker(sessions, smart, self.gateway.base()).ok_or_else(|| {
            "its client, its person or their scopes are not registered here any more".to_owned()
        })?;
        let asked = spec
            .asked(self.gateway.base())
            .map_err(|_| "it cannot be read by this program any more; make it anew".to_owned())?;
        let listed = &self.gateway.settings.endpoints;
        listed.check(&asked.endpoint).map_err(|error| error.to_string())?;
        Ok(Worker { all: self.clone(), id, spec, asked, asker, state })
    }

    fn go_on(&self, id: SubscriptionId, worker: Worker) {
        lock(&self.running).insert(id, tokio::spawn(worker.run()));
    }

    /// Waits until nobody goes on with a subscription any more.
    async fn halt(&self, id: SubscriptionId) {
        let running = lock(&self.running).remove(&id);
        if let Some(task) = running {
            task.abort();
            // It is over either way.
            let _ = task.await;
        }
    }

    /// Goes on with none of them.
    pub(crate) fn stop(&self) {
        lock(&self.running).values().for_each(JoinHandle::abort);
    }

    /// Forgets what is over, for as long as the gateway runs.
    pub(crate) async fn sweep(&self) -> Infallible {
        loop {
            tokio::time::sleep(SWEEP_PAUSE).await;
            lock(&self.running).retain(|_, task| !task.is_finished());
            if let Err(error) = self.gateway.index.forget_subscriptions_until(now_ms()).await {
                let error = without_ids(&error);
                tracing::error!(error, "subscriptions that are over are still kept");
            }
        }
    }

    /// Answers what is asked by a session.
    pub(crate) async fn answer(
        self: &Arc<Self>,
        (sessions, smart): (&Sessions, Option<&Smart>),
        session: &Session,
        (asked, body): (&Asked, &[u8]),
    ) -> Result<Answer, Outcome> {
        match asked {
            Asked::Create => self.create((sessions, smart), session, body).await,
            Asked::Read(id) => {
                let (id, spec, state) = self.own(session, id).await?;
                Ok(self.shown(Status::OK, (id, &spec.asked(self.base())?, spec.end_ms), &state))
            }
            Asked::Update(id) => self.update((sessions, smart), session, (id, body)).await,
            Asked::Delete(id) => {
                let (id, ..) = self.own(session, id).await?;
                let _alone = self.changing.lock().await;
                self.halt(id).await;
                index_of(self.gateway.index.forget_subscription(id).await)?;
                Ok(Answer { body: None, ..Answer::of(Status::NO_CONTENT, String::new()) })
            }
            Asked::Search(query) => self.search(session, query, body).await,
            Asked::Status(id, query) => self.status(session, id.as_ref(), query, body).await,
            Asked::Events(id, query) => self.events(session, id, (query, body)).await,
        }
    }

    async fn create(
        self: &Arc<Self>,
        (sessions, smart): (&Sessions, Option<&Smart>),
        session: &Session,
        body: &[u8],
    ) -> Result<Answer, Outcome> {
        let now = now_ms();
        let asked = Subscription::parse(body, self.base(), now)?;
        if asked.standing != Standing::Requested {
            return Err(value("a subscription begins with the status requested", "status"));
        }
        self.may_be_told(&asked)?;
        let end_ms = match asked.end_ms {
            Some(end_ms) if end_ms <= now => {
                return Err(value("a subscription ends later than now", "end"));
            }
            end_ms => end_ms.unwrap_or(u64::MAX).min(now.saturating_add(LIFE_MS_MAX)),
        };
        in_scope(session, &asked)?;
        let (chart, after_row, mark) = self.begin(&session.asker, &asked).await?;
        let spec = Spec {
            client: session.client.clone(),
            party: session.asker.actor.party(),
            purpose: session.asker.purpose,
            scopes: session.scopes().iter().map(Scope::text).collect(),
            scope_chart: session.chart(),
            chart,
            from: mark.count,
            end_ms,
            made_ms: now,
            body: String::from_utf8_lossy(body).into_owned(),
        };
        let state = State::begun((after_row, mark), now);
        let _alone = self.changing.lock().await;
        self.check_room(&spec).await?;
        let id = SubscriptionId::random();
        let worker = self.worker((id, spec.clone(), state.clone()), sessions, smart);
        let worker = worker.map_err(|why| Outcome::error(IssueType::Forbidden, &why))?;
        let new = NewSubscription {
            id,
            owner: &spec.owner(),
            until_ms: spec.until_ms(&state),
            spec: &spec.encode(),
            state: &state.encode(),
        };
        index_of(self.gateway.index.keep_subscription(&new).await)?;
        self.go_on(id, worker);
        let location = Some(format!("{}/Subscription/{id}", self.base()));
        Ok(Answer { location, ..self.shown(Status::CREATED, (id, &asked, end_ms), &state) })
    }

    /// Looks at the patient, in the name of who asks, and says where what is new begins.
    async fn begin(
        &self,
        asker: &Asker,
        asked: &Subscription,
    ) -> Result<(ChartId, u64, LogMark), Outcome> {
        let gateway = &self.gateway;
        let of: ResourceType = "Patient".parse().expect("R4 has it");
        let found =
            gateway.only_in_sight(asker, of, &asked.patient).await?.ok_or_else(not_found)?;
        let chart = found.version.chart;
        if !gateway.may_look_at(asker, &found.version).await? {
            return Err(not_found());
        }
        // Rows before lines: what is between is after both, and was added after the subscription began.
        let rows = index_of(gateway.index.now().await)?;
        let agent = gateway.agent.lock().await.identity().actor();
        let whole = async |actor: &Actor| {
            let fold = gateway.client.fold_log(actor, chart, LogMark::START, (), |(), _| {});
            fold.await.map(|(_, mark, _)| mark)
        };
        let mark = match asked.topic {
            Topic::ChartRecord => whole(&agent).await,
            Topic::ChartAccess => whole(&asker.actor).await,
        };
        match mark {
            Ok(mark) => Ok((chart, rows.0, mark)),
            Err(error) if is_closed(&error) => Err(not_found()),
            Err(error) => Err(refused(&error)),
        }
    }

    async fn update(
        self: &Arc<Self>,
        (sessions, smart): (&Sessions, Option<&Smart>),
        session: &Session,
        (id, body): (&Id, &[u8]),
    ) -> Result<Answer, Outcome> {
        let (id, spec, _) = self.own(session, id).await?;
        let sent = Subscription::parse(body, self.base(), spec.made_ms)?;
        let kept = spec.asked(self.base())?;
        let is_same_end = sent.end_ms.is_none_or(|it| it == spec.end_ms);
        if !sent.asks_the_same(&kept) || !is_same_end {
            let text = "of a subscription only the status is changed: off ends it, and requested begins again after an error; for anything else make another one, and end this";
            return Err(Outcome::error(IssueType::BusinessRule, text));
        }
        let _alone = self.changing.lock().await;
        self.halt(id).await;
        // It may have gone on until a moment ago.
        let (_, state) = self.kept(id).await?.ok_or_else(not_found)?;
        let now = now_ms();
        let next = match (sent.standing, state.standing) {
            (Standing::Off, Standing::Off) | (Standing::Error, Standing::Error) => state,
            (Standing::Off, _) => state.ended(Standing::Off, None, now),
            (Standing::Requested | Standing::Active, Standing::Requested | Standing::Active) => {
                state
            }
            (Standing::Requested, Standing::Error) if spec.end_ms > now => state.requested(now),
            (Standing::Requested | Standing::Active | Standing::Error, _) => {
                let text = "a subscription that was ended begins no more; make another one";
                return Err(Outcome::error(IssueType::BusinessRule, text));
            }
        };
        let is_over = match next.standing {
            Standing::Requested | Standing::Active => false,
            Standing::Error | Standing::Off => true,
        };
        let worker = self.worker((id, spec.clone(), next.clone()), sessions, smart);
        match worker {
            Ok(worker) if !is_over => {
                index_of(self.keep(id, &spec, &next).await)?;
                self.go_on(id, worker);
            }
            Err(why) if !is_over => return Err(Outcome::error(IssueType::Forbidden, &why)),
            Ok(_) | Err(_) => {
                index_of(self.keep(id, &spec, &next).await)?;
            }
        }
        Ok(self.shown(Status::OK, (id, &kept, spec.end_ms), &next))
    }

    async fn search(
        &self,
        session: &Session,
        query: &RawQuery,
        body: &[u8],
    ) -> Result<Answer, Outcome> {
        let mut pairs: Vec<_> = query.parameters().collect();
        if !body.is_empty() {
            let form = std::str::from_utf8(body).ok().and_then(|it| RawQuery::parse(it).ok());
            let form = form.ok_or_else(|| value("the body of a search is a form", ""))?;
            pairs.extend(form.parameters());
        }
        let known = ["_id", "status", "url", "criteria", "_format"];
        if pairs.iter().any(|(name, _)| !known.contains(&name.as_str())) {
            return Err(value("subscriptions are searched by _id, status, url and criteria", ""));
        }
        let mut found = Vec::new();
        for (id, spec, state) in self.of_owner(session).await? {
            let resource = resource_of((id, &spec.asked(self.base())?, spec.end_ms), &state);
            let is_met = pairs.iter().all(|(name, wanted)| {
                let own = match name.as_str() {
                    "_id" => &resource["id"],
                    "status" => &resource["status"],
                    "url" => &resource["channel"]["endpoint"],
                    "criteria" => &resource["criteria"],
                    _ => return true,
                };
                let own = own.as_str().unwrap_or_default();
                own == wanted || (name != "url" && wanted.split(',').any(|it| it == own))
            });
            if is_met {
                found.push((format!("{}/Subscription/{id}", self.base()), resource));
            }
        }
        Ok(self.searchset(&format!("Subscription?{}", form::encode(&pairs)), &found))
    }

    async fn status(
        &self,
        session: &Session,
        id: Option<&Id>,
        query: &RawQuery,
        body: &[u8],
    ) -> Result<Answer, Outcome> {
        let pairs = pairs_of(query, body)?;
        let (mut ids, mut standings) = (BTreeSet::new(), BTreeSet::new());
        for (name, text) in &pairs {
            let parts = text.split(',').map(str::to_owned);
            match name.as_str() {
                "id" if id.is_none() => ids.extend(parts),
                "status" if id.is_none() => standings.extend(parts),
                "_format" => {}
                _ => return Err(value("$status is asked with id and status, of the type", "")),
            }
        }
        let all = match id {
            Some(id) => vec![self.own(session, id).await?],
            None => self.of_owner(session).await?,
        };
        let mut found = Vec::new();
        for (id, spec, state) in all {
            let is_wanted = (ids.is_empty() || ids.contains(&id.to_string()))
                && (standings.is_empty() || standings.contains(state.standing.code()));
            if is_wanted {
                let (asked, text) = (spec.asked(self.base())?, id.to_string());
                let notification = self.notification((&text, &asked), &state, Kind::QueryStatus);
                found.push((format!("urn:uuid:{}", uuid()), notification.status()));
            }
        }
        Ok(self.searchset("Subscription/$status", &found))
    }

    async fn events(
        &self,
        session: &Session,
        id: &Id,
        (query, body): (&RawQuery, &[u8]),
    ) -> Result<Answer, Outcome> {
        let (id, spec, state) = self.own(session, id).await?;
        let asked = spec.asked(self.base())?;
        let (mut from, mut until, mut content) = (1_u64, u64::MAX, asked.content);
        for (name, text) in pairs_of(query, body)? {
            let number = || text.parse().map_err(|_| value("numbers of events are digits", ""));
            match name.as_str() {
                "eventsSinceNumber" => from = number()?,
                "eventsUntilNumber" => until = number()?,
                "content" => content = Content::parse(&text)?,
                "_format" => {}
                _ => {
                    let text =
                        "$events is asked with eventsSinceNumber, eventsUntilNumber and content";
                    return Err(value(text, ""));
                }
            }
        }
        let kept = self.gateway.index.events(id, (from, until), EVENTS_MAX).await;
        let kept = kept::events(index_of(kept)?);
        let asker = match session.asker.actor.party() == spec.party {
            true => Asker { purpose: spec.purpose, ..session.asker.clone() },
            false => return Err(not_found()),
        };
        let shown = self.nameable(&asker, (&spec, content), kept).await?;
        let text = id.to_string();
        let notification = Notification {
            content,
            events: &shown,
            ..self.notification((&text, &asked), &state, Kind::QueryEvent)
        };
        let bundle = notification.bundle(now_ms(), &uuid());
        Ok(Answer::of(Status::OK, bundle.to_string()))
    }

    fn notification<'a>(
        &'a self,
        (id, asked): (&'a str, &Subscription),
        state: &'a State,
        kind: Kind,
    ) -> Notification<'a> {
        Notification {
            base: self.gateway.base(),
            id,
            topic: asked.topic,
            standing: state.standing,
            kind,
            content: asked.content,
            count: state.count,
            events: &[],
            error: state.error.as_deref(),
        }
    }

    fn searchset(&self, below: &str, found: &[(String, Value)]) -> Answer {
        let url = format!("{}/{}", self.base(), below.trim_end_matches('?'));
        let links = [Link { relation: "self", url: &url }];
        let texts = found.iter().filter_map(|(_, it)| RawValue::from_string(it.to_string()).ok());
        let texts: Vec<_> = texts.collect();
        let entries = found.iter().zip(&texts).map(|((url, _), resource)| response::Found {
            full_url: Some(url),
            resource,
            mode: SearchMode::Match,
        });
        let count = u64::try_from(found.len()).ok();
        Answer::of(Status::OK, response::searchset(&links, count, &entries.collect::<Vec<_>>()))
    }

    fn shown(
        &self,
        status: Status,
        (id, asked, end_ms): (SubscriptionId, &Subscription, u64),
        state: &State,
    ) -> Answer {
        let resource = resource_of((id, asked, end_ms), state);
        Answer {
            version: Some(state.version),
            last_modified_ms: Some(state.changed_ms),
            ..Answer::of(status, resource.to_string())
        }
    }

    /// What is kept of a session's subscription; another's is nobody's.
    async fn own(
        &self,
        session: &Session,
        id: &Id,
    ) -> Result<(SubscriptionId, Spec, State), Outcome> {
        let id = SubscriptionId::parse(id.as_str()).ok_or_else(not_found)?;
        let (spec, state) = self.kept(id).await?.ok_or_else(not_found)?;
        spec.is_of(session).then_some((id, spec, state)).ok_or_else(not_found)
    }

    async fn of_owner(
        &self,
        session: &Session,
    ) -> Result<Vec<(SubscriptionId, Spec, State)>, Outcome> {
        let owner = kept::owner(&session.client, session.asker.actor.party());
        let (ids, _) = index_of(self.gateway.index.subscriptions_of(&owner).await)?;
        let mut all = Vec::new();
        for id in ids {
            let kept = self.kept(id).await?.filter(|(spec, _)| spec.is_of(session));
            all.extend(kept.map(|(spec, state)| (id, spec, state)));
        }
        Ok(all)
    }

    async fn kept(&self, id: SubscriptionId) -> Result<Option<(Spec, State)>, Outcome> {
        let kept = index_of(self.gateway.index.subscription(id).await)?;
        Ok(kept.and_then(|(spec, state)| Some((Spec::decode(&spec)?, State::decode(&state)?))))
    }

    async fn keep(
        &self,
        id: SubscriptionId,
        spec: &Spec,
        state: &State,
    ) -> Result<bool, IndexError> {
        let kept = (&state.encode()[..], spec.until_ms(state));
        self.gateway.index.advance_subscription(id, kept, &[]).await
    }

    async fn check_room(&self, spec: &Spec) -> Result<(), Outcome> {
        let (own, all) = index_of(self.gateway.index.subscriptions_of(&spec.owner()).await)?;
        let text = if own.len() >= OWNER_KEPT_MAX {
            "too many subscriptions of yours are kept; DELETE those that you do not need"
        } else if all >= KEPT_MAX {
            "too many subscriptions are kept here; tell the gateway's operator"
        } else {
            return Ok(());
        };
        Err(Outcome::error(IssueType::Throttled, text).with_status(Status::TOO_MANY_REQUESTS))
    }

    fn may_be_told(&self, asked: &Subscription) -> Result<(), Outcome> {
        let listed = self.gateway.settings.endpoints.check(&asked.endpoint);
        listed.map_err(|error| {
            let outcome = Outcome::error(IssueType::Forbidden, &error.to_string());
            outcome.with_status(Status::UNPROCESSABLE).at("Subscription.channel.endpoint")
        })
    }

    fn base(&self) -> &str {
        self.gateway.base()
    }
}

fn index_of<T>(answer: Result<T, IndexError>) -> Result<T, Outcome> {
    answer.map_err(|error| no_index(&error))
}

/// The resource, as it stands.
fn resource_of((id, asked, end_ms): (SubscriptionId, &Subscription, u64), state: &State) -> Value {
    let told = Told {
        version: state.version,
        changed_ms: state.changed_ms,
        end_ms,
        error: state.error.as_deref(),
    };
    asked.resource(&id.to_string(), state.standing, told)
}

/// Refuses a token that is not good for searches of what it would be told of.
fn in_scope(session: &Session, asked: &Subscription) -> Result<(), Outcome> {
    let types = asked.types();
    let mut of = types.iter().filter_map(|it| it.parse::<ResourceType>().ok());
    let may = match types.is_empty() {
        true => session.scopes().iter().any(|it| it.allows(it.resource_type(), Permission::Search)),
        false => of.all(|of| is_covered(session.scopes(), of)),
    };
    may.then_some(()).ok_or_else(not_in_scope)
}

/// Whether scopes are good for searches of a type.
fn is_covered(scopes: &[Scope], of: ResourceType) -> bool {
    scopes.iter().any(|it| it.allows(Some(of), Permission::Search))
}

/// The parameters of an operation, in its URL and in its body.
fn pairs_of(query: &RawQuery, body: &[u8]) -> Result<Vec<(String, String)>, Outcome> {
    let mut pairs: Vec<_> = query.parameters().collect();
    if !body.is_empty() {
        let read = Parameters::read(body)?.filter(|it| it.resources.is_empty());
        pairs.extend(read.ok_or_else(|| value("the body is a Parameters resource", ""))?.pairs);
    }
    Ok(pairs)
}

fn value(text: &str, element: &str) -> Outcome {
    let outcome = Outcome::error(IssueType::Value, text);
    if element.is_empty() { outcome } else { outcome.at(&format!("Subscription.{element}")) }
}

/// Whether a node says that the asker may not have it, or that it is not there: to whoever asks here the two are one.
fn is_closed(error: &ClientError) -> bool {
    matches!(error, ClientError::Node(error) if error.fault.is_forbidden() || error.fault.is_absent())
}

/// What scopes show to whoever searches.
fn sight_of(scopes: &[Scope], chart: Option<ChartId>, base: &str) -> Sight {
    Sight::of(scopes, Permission::Search, chart, base)
}

/// Who owns what, as the index knows them.
fn party_bytes(party: Party) -> Vec<u8> {
    keepwell_types::encode(&party)
}

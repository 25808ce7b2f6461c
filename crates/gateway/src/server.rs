//! The interface: requests in, answers out, and who may ask.
//!
//! ```text
//! BASE/metadata, BASE/.well-known/smart-configuration, BASE/auth/token     anyone
//! BASE/auth/...                                                            people who sign in (smart), and their apps
//! BASE/bulk/...                                                            the system whose export it is
//! BASE/...                                                                 whoever shows a token that is good for it
//! BASE/../dicomweb/...                                                     the same
//! ```
//!
//! # Invariants
//!
//! * Every answer to a FHIR request that fails is an OperationOutcome.
//! * No log line and no metric has an id, a query or a body.
//! * A body has at most [`BODY_BYTES_MAX`](crate::follow::BODY_BYTES_MAX) bytes, and a request takes at most [`TIME_MAX`],
//!   but for what is streamed; so many are worked on at once that memory is bounded, and others wait.
//!
//! Not here: TLS, and keeping slow clients and floods away, which are the work of the proxy on the same computer; XML.

mod cors;
mod exports;
mod streams;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_LOCATION, CONTENT_TYPE, ETAG,
            IF_MATCH, IF_NONE_MATCH, LAST_MODIFIED, LOCATION, ORIGIN, RETRY_AFTER,
            WWW_AUTHENTICATE,
        },
    },
    response::{IntoResponse as _, Response},
};
use futures::FutureExt as _;
use keepwell_fhir::{
    classify::Sensitivity,
    header::{self, Prefer, Return, TagList},
    interaction::{Interaction, Method, Query as RawQuery, ResourceType, Scope as Of, Within},
    outcome::{Issue, IssueType, Outcome, Severity, Status},
    patch::Patch,
    response,
    search::{Handling, Options, Query, form},
    transaction::{self, Action, Entry, EntryError, JSON_PATCH, Limits, Submission, links::Links},
};
use serde_json::value::RawValue;
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
    time::timeout,
};

use crate::{
    answer::Answer,
    auth::{Session, Sessions, TokenError},
    capability::{SUBSCRIPTION, Served, not_served, smart_configuration, statement},
    ccda::{MEDIA_TYPES, not_a_document},
    everything::Everything,
    export::Exports,
    follow::BODY_BYTES_MAX,
    gateway::Gateway,
    search::{PAGE, Page},
    smart::{Route, Smart, refused},
    subscribe::Subscriptions,
    summary,
    transaction::{ENTRIES_MAX, inherited},
    validate,
};

/// How long a request may take, its body included.
pub const TIME_MAX: Duration = Duration::from_secs(120);
/// How long after a refusal that may pass a client should wait, in seconds.
const RETRY_AFTER_S: HeaderValue = HeaderValue::from_static("5");
const FHIR_JSON: HeaderValue = HeaderValue::from_static("application/fhir+json; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const IF_NONE_EXIST: HeaderName = HeaderName::from_static("if-none-exist");
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Searches at once, documents that are taken apart, and other requests.
const SEARCHES_MAX: usize = 4;
const IMPORTS_MAX: usize = 2;
const OTHERS_MAX: usize = 32;
/// Bytes of a form.
const FORM_BYTES_MAX: usize = 64 * 1024;

/// A gateway and its clients.
#[derive(Debug)]
struct Service {
    gateway: Arc<Gateway>,
    sessions: Sessions,
    /// For people, where any may sign in.
    smart: Option<Smart>,
    /// The path of the base, without a slash at the end.
    path: String,
    /// Since when it serves.
    since: String,
    /// Places for searches, each of which may hold many resources, for documents, of each of which there is a tree many
    /// times its size, and for the rest, each of which may hold a body.
    searches: Semaphore,
    imports: Semaphore,
    others: Semaphore,
    /// Places for transfers, each of which holds a few chunks, and for files of exports.
    streams: Semaphore,
    files: Arc<Semaphore>,
    exports: Arc<Exports>,
    subscriptions: Arc<Subscriptions>,
}

/// Serves a gateway at its base until it is told to stop. The listener is of this computer alone.
pub async fn serve(
    listener: TcpListener,
    gateway: Arc<Gateway>,
    (sessions, smart): (Sessions, Option<Smart>),
    mut stopping: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let path = path_of(gateway.base()).to_owned();
    let (searches, others) = (Semaphore::new(SEARCHES_MAX), Semaphore::new(OTHERS_MAX));
    let imports = Semaphore::new(IMPORTS_MAX);
    let streams = Semaphore::new(streams::STREAMS_MAX);
    let since = header::instant(now_ms());
    let files = Arc::new(Semaphore::new(exports::FILES_MAX));
    let exports = Arc::new(Exports::new(gateway.clone()));
    exports.resume(&sessions).await;
    let subscriptions = Arc::new(Subscriptions::new(gateway.clone()));
    subscriptions.resume(&sessions, smart.as_ref()).await;
    let service = Service {
        gateway,
        sessions,
        smart,
        path,
        since,
        searches,
        imports,
        others,
        streams,
        files,
        exports: exports.clone(),
        subscriptions: subscriptions.clone(),
    };
    let router = Router::new().fallback(answer).with_state(Arc::new(service));
    let stopped = async move {
        // Whoever could tell is gone: it stops as well.
        let _ = stopping.wait_for(|stopping| *stopping).await;
    };
    let served = axum::serve(listener, router).with_graceful_shutdown(stopped).into_future();
    let served = tokio::select! {
        served = served => served,
        never = exports.sweep() => match never {},
        never = subscriptions.sweep() => match never {},
    };
    subscriptions.stop();
    served
}

/// The path of an address, without a slash at the end: `/fhir` of `https://gateway.example/fhir`.
pub fn path_of(base: &str) -> &str {
    let rest = base.split_once("://").map_or(base, |(_, rest)| rest);
    rest.find('/').map_or("", |at| rest[at..].trim_end_matches('/'))
}

/// Where tokens are asked for: the audience of assertions.
pub fn token_endpoint(base: &str) -> String {
    format!("{base}/auth/token")
}

async fn answer(State(service): State<Arc<Service>>, request: Request) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let origin = origin.filter(|it| {
        let text = it.to_str().unwrap_or_default();
        service.smart.as_ref().is_some_and(|smart| smart.knows_origin(text))
    });
    if cors::is_preflight(&request) {
        return cors::allowed(StatusCode::NO_CONTENT.into_response(), origin);
    }
    cors::allowed(service.answer(request).await, origin)
}

impl Service {
    async fn answer(&self, mut request: Request) -> Response {
        // These have times of their own, by their length.
        if let Some(streamed) = streams::Streamed::of(&request, &self.path) {
            request = match self.stream(streamed, request).boxed().await {
                Ok(response) => return response,
                Err(request) => request,
            };
        }
        let answered = timeout(TIME_MAX, self.answer_of(request)).await;
        answered.unwrap_or_else(|_| {
            let text = "it took too long; ask for less at once, or again in a while";
            of_outcome(&Outcome::error(IssueType::Timeout, text))
        })
    }

    async fn answer_of(&self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let Some(below) = path.strip_prefix(self.path.as_str()) else {
            let text = format!("nothing is here; the FHIR interface is at {}", self.gateway.base());
            let outcome = Outcome::error(IssueType::NotFound, &text);
            return of_outcome(&outcome);
        };
        if let (Some(smart), Some(route)) = (&self.smart, Route::of(below)) {
            let session = self.session(request.headers());
            let answer = smart.answer((&self.gateway, &self.sessions), route, session, request);
            return answer.await.unwrap_or_else(|outcome| of_outcome(&outcome));
        }
        if let Some(route) = exports::Route::of(below) {
            let answer = self.of_export(route, request).await;
            return answer.unwrap_or_else(|outcome| of_outcome(&outcome));
        }
        match below {
            "/.well-known/smart-configuration" => {
                let told = smart_configuration(self.gateway.base(), self.smart.is_some());
                json(StatusCode::OK, &told.to_string())
            }
            "/auth/token" => self.token(request).await,
            below => match self.fhir(below, request).await {
                Ok(answer) => of_answer(answer),
                Err(outcome) => of_outcome(&outcome),
            },
        }
    }

    async fn token(&self, request: Request) -> Response {
        let form = match to_bytes(request.into_body(), FORM_BYTES_MAX).await {
            Ok(body) => std::str::from_utf8(&body).ok().and_then(|it| form::decode(it).ok()),
            Err(_) => None,
        };
        let Some(form) = form else { return refused(TokenError::InvalidRequest) };
        let (now, now_s) = (Instant::now(), now_ms() / 1_000);
        let is_code = form.contains(&("grant_type".into(), "authorization_code".into()));
        let granted = match &self.smart {
            Some(smart) if is_code => smart.token(&self.sessions, &form, (now, now_s)),
            Some(_) | None => {
                self.sessions.grant(&form, now_s).map(|granted| serde_json::json!(granted))
            }
        };
        let mut response = match granted {
            Ok(granted) => json(StatusCode::OK, &granted.to_string()),
            Err(error) => return refused(error),
        };
        // RFC 6749, section 5.1.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    async fn fhir(&self, below: &str, request: Request) -> Result<Answer, Outcome> {
        let method: Method = request.method().as_str().parse()?;
        let interaction = Interaction::parse(method, below, request.uri().query())?;
        let base = self.gateway.base();
        if interaction == Interaction::Capabilities {
            let statement = statement(base, &self.since, self.smart.is_some());
            return Ok(Answer::of(Status::OK, statement.to_string()));
        }
        let session = self.session(request.headers())?;
        acceptable(request.headers())?;
        let served = served(&session, interaction)?;
        let places = match served {
            Served::Search(..) | Served::Everything(..) | Served::Summary(..) => &self.searches,
            Served::ImportCcda => &self.imports,
            Served::Create(..)
            | Served::Read(..)
            | Served::VersionRead(..)
            | Served::Update(..)
            | Served::Patch(..)
            | Served::History(..)
            | Served::Export(..)
            | Served::Validate(..)
            | Served::Subscription(_)
            | Served::Bundle => &self.others,
        };
        // It is never closed; whoever waits too long is told so.
        let _place = places.acquire().await;
        let (parts, body) = request.into_parts();
        let body = body_of(body).await?;
        let headers = Headers::read(&parts.headers)?;
        if served == Served::Bundle {
            return self.bundle(&session, &headers, &body).await;
        }
        if served == Served::ImportCcda {
            is_one_of(&parts.headers, &MEDIA_TYPES).then_some(()).ok_or_else(not_a_document)?;
            may_import(&session).then_some(()).ok_or_else(not_in_scope)?;
            let may = |action: &Action<'_>| session.may(&interaction_of(action));
            return self.gateway.import_ccda(&session.asker, body, may).await;
        }
        let prefer = headers.prefer.returned;
        let content = if matches!(served, Served::Patch(_)) {
            Content::Patch(patch_of(&parts.headers, &body)?)
        } else {
            Content::Body(&body, Sensitivity::Normal)
        };
        let answer = self.serve(&session, served, &headers, &content).await?;
        Ok(as_preferred(answer, prefer))
    }

    async fn serve(
        &self,
        session: &Session,
        served: Served,
        headers: &Headers,
        content: &Content<'_>,
    ) -> Result<Answer, Outcome> {
        let (gateway, asker) = (&self.gateway, &session.asker_of(&served));
        let tags = (headers.matches.as_ref(), headers.none_match.as_ref());
        let (body, inherited) = match content {
            Content::Body(body, inherited) => (*body, *inherited),
            Content::Patch(_) => (&[][..], Sensitivity::Normal),
        };
        match served {
            Served::Read(of, id) => gateway.read(asker, (of, &id), tags.1).await,
            Served::VersionRead(of, id, version) => {
                gateway.read_version(asker, (of, &id), &version).await
            }
            Served::History(of, id, query) => {
                gateway.history(asker, (of, &id), history_page(&query)?).await
            }
            Served::Search(of, query) => self.search(session, of, &query, headers, body).await,
            Served::Everything(id, query) => {
                without_body("$everything", body)?;
                let asked = Everything::parse(&query)?;
                gateway.everything(asker, (&id, &asked), |of| may_search(session, of)).await
            }
            Served::Summary(id, query) => {
                without_body("$summary", body)?;
                summary::check(&query)?;
                gateway.summary(asker, &id, |of| may_search(session, of)).await
            }
            Served::Export(of, query) => {
                self.begin_export(session, (&of, &query), headers, body).await
            }
            Served::Validate(of, query) => self.validate(session, (&of, &query), body).await,
            Served::Create(of, query) => {
                let condition = headers.condition(of)?;
                // Some clients send the condition of a create as a query.
                let condition = condition.or_else(|| query.is_condition().then_some(query));
                gateway.create(asker, of, (body, inherited), condition.as_ref()).await
            }
            Served::Update(target) => gateway.update(asker, &target, (body, inherited), tags).await,
            Served::Patch(target) => match content {
                Content::Patch(patch) => gateway.patch(asker, &target, patch, tags).await,
                Content::Body(..) => Err(not_a_patch()),
            },
            Served::Subscription(asked) => {
                let registered = (&self.sessions, self.smart.as_ref());
                self.subscriptions.answer(registered, session, (&asked, body)).await
            }
            Served::Bundle | Served::ImportCcda => Err(not_served()),
        }
    }

    /// A batch, each entry for itself, or a transaction, all or nothing.
    async fn bundle(
        &self,
        session: &Session,
        headers: &Headers,
        body: &[u8],
    ) -> Result<Answer, Outcome> {
        let limits = Limits {
            bytes_max: usize::try_from(BODY_BYTES_MAX).unwrap_or(usize::MAX),
            entries_max: ENTRIES_MAX,
            base: Some(self.gateway.base()),
        };
        let shows = headers.prefer.returned == Some(Return::Representation);
        match transaction::parse(body, &limits)? {
            Submission::Batch(entries) => {
                let answers = self.batch(session, body, entries).await?;
                Ok(bundle_of(&answers, response::batch_response, shows))
            }
            Submission::Transaction(transaction) => {
                for entry in &transaction.entries {
                    let may = session.may(&interaction_of(&entry.action));
                    let at = format!("Bundle.entry[{}]", entry.index);
                    may.then_some(()).ok_or_else(|| not_in_scope().at(&at))?;
                    if is_subscription(&entry.action) {
                        return Err(by_itself().at(&at));
                    }
                }
                let written = self.gateway.transaction(&session.asker, (body, &transaction));
                let mut written = written.await?;
                let mut answers = Vec::new();
                for entry in transaction.entries {
                    // Reads see what was written.
                    answers.push(match written.remove(&entry.index) {
                        Some(answer) => Ok(answer),
                        None => self.entry(session, entry, Sensitivity::Normal).await,
                    });
                }
                Ok(bundle_of(&answers, response::transaction_response, shows))
            }
        }
    }

    async fn batch(
        &self,
        session: &Session,
        body: &[u8],
        entries: Vec<Result<Entry<'_>, EntryError>>,
    ) -> Result<Vec<Result<Answer, Outcome>>, Outcome> {
        let inherited = inherited(body)?;
        let mut answers: Vec<_> = entries.iter().map(|_| Err(not_served())).collect();
        let mut waiting = BTreeMap::new();
        for (index, entry) in entries.into_iter().enumerate() {
            match entry {
                Ok(entry) => {
                    waiting.insert((entry.action.phase(), index), entry);
                }
                Err(error) => answers[index] = Err(error.into()),
            }
        }
        for ((_, index), entry) in waiting {
            answers[index] = self.entry(session, entry, inherited).await;
        }
        Ok(answers)
    }

    /// What one entry of a batch asks for, as if it had been sent by itself.
    async fn entry(
        &self,
        session: &Session,
        entry: Entry<'_>,
        inherited: Sensitivity,
    ) -> Result<Answer, Outcome> {
        let served = served(session, interaction_of(&entry.action))?;
        let mut headers = Headers::default();
        let (json, patch) = match entry.action {
            Action::Create { body, .. } => (Some(body.json), None),
            Action::Update { body, if_match, if_none_match, .. } => {
                (headers.matches, headers.none_match) = (if_match, if_none_match);
                (Some(body.json), None)
            }
            Action::Patch { patch, if_match, .. } => {
                headers.matches = if_match;
                (None, Some(patch))
            }
            Action::Read { if_none_match, .. } => {
                headers.none_match = if_none_match;
                (None, None)
            }
            Action::Delete { .. } | Action::Invoke { .. } => (None, None),
        };
        if let Some(json) = json {
            // Entries of a batch know nothing of each other: what refers to another one is refused.
            Links::default().rewrite(json, entry.full_url.as_deref())?;
        }
        let content = match patch {
            Some(patch) => Content::Patch(patch),
            None => Content::Body(json.unwrap_or_default().as_bytes(), inherited),
        };
        self.serve(session, served, &headers, &content).await
    }

    async fn validate(
        &self,
        session: &Session,
        (scope, query): (&Of, &RawQuery),
        body: &[u8],
    ) -> Result<Answer, Outcome> {
        let asked = validate::Asked::read(query, body)?;
        let needed = match scope {
            Of::Instance(of, id) if asked.is_of_stored() => Interaction::Read(*of, id.clone()),
            Of::Instance(of, _) | Of::Type(of) => Interaction::Create(*of, RawQuery::default()),
            Of::System => return Err(not_served()),
        };
        if !session.may(&needed) {
            return Err(not_in_scope());
        }
        self.gateway.validate(&session.reader(), scope, &asked).await
    }

    async fn search(
        &self,
        session: &Session,
        of: ResourceType,
        query: &RawQuery,
        headers: &Headers,
        body: &[u8],
    ) -> Result<Answer, Outcome> {
        let mut pairs = form::decode(query.as_str()).map_err(of_search)?;
        if !body.is_empty() {
            let text = std::str::from_utf8(body).map_err(|_| not_a_form())?;
            pairs.extend(form::decode(text).map_err(of_search)?);
        }
        let mut page = None;
        pairs.retain(|(name, value)| {
            if name == PAGE {
                page = Some(Page::parse(value));
            }
            name != PAGE
        });
        let page = match page {
            Some(None) => {
                let text = "the page is none of this gateway's; follow its next links as they are";
                return Err(Outcome::error(IssueType::Value, text));
            }
            Some(page) => page,
            None => None,
        };
        let handling = match headers.prefer.handling {
            Some(header::Handling::Strict) => Handling::Strict,
            Some(header::Handling::Lenient) | None => Handling::Lenient,
        };
        let options = Options { base: self.gateway.base(), now_ms: now_ms(), handling };
        let query = Query::parse(of.as_str(), &pairs, options).map_err(|errors| {
            let mut issues = errors
                .into_iter()
                .map(|error| Issue::new(Severity::Error, IssueType::Value, &error.to_string()));
            let first = issues.next().unwrap_or_else(|| {
                Issue::new(Severity::Error, IssueType::Value, "the search cannot be read")
            });
            let mut outcome = Outcome::new(first);
            issues.for_each(|issue| outcome.push(issue));
            outcome
        })?;
        // What it includes or looks through is shown, or told, as well.
        for touched in query.types() {
            if touched.parse().is_ok_and(|of| !may_search(session, of)) {
                return Err(not_in_scope());
            }
        }
        self.gateway.search(&session.asker, &query, page).await
    }

    fn session(&self, headers: &HeaderMap) -> Result<Session, Outcome> {
        let header = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
        header.and_then(|it| self.sessions.of_header(it)).ok_or_else(|| {
            let text = "who asks? Send a token of this gateway as Authorization: Bearer ..; .well-known/smart-configuration says where tokens are given, and each is good for five minutes";
            Outcome::error(IssueType::Login, text)
        })
    }
}

/// What a request sends.
enum Content<'a> {
    /// Bytes, and how sensitive what they came in is.
    Body(&'a [u8], Sensitivity),
    Patch(Patch),
}

/// What is asked for, if it is served and the token is good for it.
pub(crate) fn served(session: &Session, interaction: Interaction) -> Result<Served, Outcome> {
    if !session.may(&interaction) {
        return Err(not_in_scope());
    }
    Served::of(interaction)
}

/// Whether the token is good for searches of a type.
fn may_search(session: &Session, of: ResourceType) -> bool {
    session.may(&Interaction::Search(Within::Type(of), RawQuery::default()))
}

/// Whether the token is good for what is looked at before a document is read: what is refused because of whoever is here
/// would tell of them.
fn may_import(session: &Session) -> bool {
    let [patient, document] =
        ["Patient", "DocumentReference"].map(|it| it.parse().expect("R4 has it"));
    may_search(session, patient)
        && may_search(session, document)
        && session.may(&Interaction::Create(document, RawQuery::default()))
}

pub(crate) fn not_in_scope() -> Outcome {
    let text = "the token is not good for this; ask for one with a scope that is, such as system/Observation.rs";
    Outcome::error(IssueType::Forbidden, text)
}

/// What an entry asks for, as a request of its own would.
fn interaction_of(action: &Action<'_>) -> Interaction {
    match action {
        Action::Delete { target, .. } => Interaction::Delete(target.clone()),
        Action::Create { body, if_none_exist } => {
            Interaction::Create(body.resource_type, if_none_exist.clone().unwrap_or_default())
        }
        Action::Update { target, .. } => Interaction::Update(target.clone()),
        Action::Patch { target, .. } => Interaction::Patch(target.clone()),
        Action::Invoke { interaction, .. } | Action::Read { interaction, .. } => {
            interaction.clone()
        }
    }
}

/// The answer to a Bundle. What was written is shown to whoever prefers to see it.
fn bundle_of(
    answers: &[Result<Answer, Outcome>],
    write: fn(&[response::Answer<'_>]) -> String,
    shows: bool,
) -> Answer {
    let parts: Vec<_> = answers
        .iter()
        .map(|answer| {
            let body = answer.as_ref().ok().and_then(|it| {
                let shows = shows || it.location.is_none();
                it.body.as_ref().filter(|_| shows)
            });
            body.and_then(|it| RawValue::from_string(it.clone()).ok())
        })
        .collect();
    let entries: Vec<_> = answers
        .iter()
        .zip(&parts)
        .map(|(answer, part)| match answer {
            Ok(answer) => response::Answer {
                full_url: answer.location.as_deref().and_then(|it| it.split("/_history/").next()),
                resource: part.as_deref(),
                response: response::Response {
                    status: answer.status,
                    location: answer.location.as_deref(),
                    version: answer.version,
                    last_modified_ms: answer.last_modified_ms,
                    outcome: None,
                },
            },
            Err(outcome) => response::Answer {
                full_url: None,
                resource: None,
                response: response::Response::failed(outcome),
            },
        })
        .collect();
    Answer::of(Status::OK, write(&entries))
}

/// Whether an entry writes a subscription.
fn is_subscription(action: &Action<'_>) -> bool {
    let of = match action {
        Action::Create { body, .. } => body.resource_type,
        Action::Update { target, .. }
        | Action::Patch { target, .. }
        | Action::Delete { target, .. } => target.resource_type(),
        Action::Read { .. } | Action::Invoke { .. } => return false,
    };
    of.as_str() == SUBSCRIPTION
}

fn by_itself() -> Outcome {
    let text = "a Subscription is in no patient's chart, and no part of what happens there all or nothing; send it by itself, or in a batch";
    Outcome::error(IssueType::BusinessRule, text)
}

/// Reads a patch, which says by its media type how it is written.
fn patch_of(headers: &HeaderMap, body: &[u8]) -> Result<Patch, Outcome> {
    if is_one_of(headers, &[JSON_PATCH]) {
        return Ok(Patch::parse(body)?);
    }
    Err(not_a_patch())
}

/// Whether a body is of one of these types.
fn is_one_of(headers: &HeaderMap, kinds: &[&str]) -> bool {
    let sent = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok()).unwrap_or_default();
    let sent = sent.split(';').next().unwrap_or_default().trim();
    kinds.iter().any(|it| it.eq_ignore_ascii_case(sent))
}

fn not_a_patch() -> Outcome {
    let text = format!("a patch is a JSON Patch; send it with Content-Type: {JSON_PATCH}");
    let outcome = Outcome::error(IssueType::NotSupported, &text);
    outcome.with_status(Status::UNSUPPORTED_MEDIA_TYPE)
}

/// The headers that say something of a FHIR request.
#[derive(Default)]
struct Headers {
    matches: Option<TagList>,
    none_match: Option<TagList>,
    none_exist: Option<String>,
    prefer: Prefer,
}

impl Headers {
    fn read(headers: &HeaderMap) -> Result<Self, Outcome> {
        let text = |name: &HeaderName| {
            let values: Vec<_> =
                headers.get_all(name).iter().filter_map(|it| it.to_str().ok()).collect();
            (!values.is_empty()).then(|| values.join(", "))
        };
        let tags = |header: &HeaderName, name| {
            text(header).map(|it| TagList::parse(name, &it)).transpose()
        };
        let prefer = text(&PREFER).map(|it| Prefer::parse(&it)).transpose()?;
        Ok(Self {
            matches: tags(&IF_MATCH, "If-Match")?,
            none_match: tags(&IF_NONE_MATCH, "If-None-Match")?,
            none_exist: text(&IF_NONE_EXIST),
            prefer: prefer.unwrap_or_default(),
        })
    }

    fn condition(&self, of: ResourceType) -> Result<Option<RawQuery>, Outcome> {
        let condition = self.none_exist.as_deref();
        Ok(condition.map(|it| RawQuery::if_none_exist(of, it)).transpose()?)
    }
}

/// Which versions of a history are asked for: below a number, and how many.
fn history_page(query: &RawQuery) -> Result<(Option<u64>, Option<usize>), Outcome> {
    let (mut below, mut count) = (None, None);
    for (name, value) in query.parameters() {
        let bad = || {
            let text = format!(
                "{} of a history is a number",
                if name == "_below" { "_below" } else { "_count" }
            );
            Outcome::error(IssueType::Value, &text)
        };
        match name.as_str() {
            "_below" => below = Some(value.parse().map_err(|_| bad())?),
            "_count" => count = Some(value.parse().ok().filter(|it| *it > 0).ok_or_else(bad)?),
            "_format" => {}
            _ => {
                let text = "a history is asked for with _count alone";
                return Err(Outcome::error(IssueType::NotSupported, text));
            }
        }
    }
    Ok((below, count))
}

/// Refuses whoever takes nothing but what is not served.
fn acceptable(headers: &HeaderMap) -> Result<(), Outcome> {
    let Some(accept) = headers.get(ACCEPT).and_then(|it| it.to_str().ok()) else { return Ok(()) };
    let is_served = |it: &str| {
        let kind = it.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        matches!(
            kind.as_str(),
            "*/*"
                | "application/*"
                | "application/json"
                | "application/fhir+json"
                | "json"
                | "text/json"
        )
    };
    if accept.split(',').any(is_served) {
        return Ok(());
    }
    let text = "only JSON is served; accept application/fhir+json";
    Err(Outcome::error(IssueType::NotSupported, text).with_status(Status::NOT_ACCEPTABLE))
}

async fn body_of(body: Body) -> Result<axum::body::Bytes, Outcome> {
    let bytes_max = usize::try_from(BODY_BYTES_MAX).unwrap_or(usize::MAX);
    to_bytes(body, bytes_max).await.map_err(|_| {
        let text = format!(
            "the body did not come whole, or has more than {BODY_BYTES_MAX} bytes; send it in parts"
        );
        Outcome::error(IssueType::TooLong, &text)
    })
}

/// Refuses parameters of an operation that stand in a body.
fn without_body(operation: &str, body: &[u8]) -> Result<(), Outcome> {
    if body.is_empty() {
        return Ok(());
    }
    let text = format!("parameters of {operation} stand in the URL; send no body");
    Err(Outcome::error(IssueType::NotSupported, &text))
}

fn not_a_form() -> Outcome {
    Outcome::error(
        IssueType::Value,
        "the body of a search is a form, application/x-www-form-urlencoded",
    )
}

fn of_search(error: keepwell_fhir::search::SearchError) -> Outcome {
    Outcome::error(IssueType::Value, &error.to_string())
}

/// What a client prefers to see of what it wrote.
fn as_preferred(answer: Answer, prefer: Option<Return>) -> Answer {
    match prefer {
        Some(Return::Minimal) if answer.location.is_some() => Answer { body: None, ..answer },
        Some(Return::OperationOutcome) if answer.location.is_some() => {
            let text = "it is final, and stored by its custodians";
            let done = Issue::new(Severity::Information, IssueType::Informational, text);
            Answer { body: Some(Outcome::new(done).to_json()), ..answer }
        }
        Some(Return::Minimal | Return::OperationOutcome | Return::Representation) | None => answer,
    }
}

fn of_outcome(outcome: &Outcome) -> Response {
    let status = outcome.status();
    let mut response = of_answer(Answer::of(status, outcome.to_json()));
    let headers = response.headers_mut();
    match status {
        Status::UNAVAILABLE | Status::TOO_MANY_REQUESTS => {
            headers.insert(RETRY_AFTER, RETRY_AFTER_S);
        }
        // What is left of the body is not read: the connection is good for nothing more.
        Status::CONTENT_TOO_LARGE => {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        Status::UNAUTHORIZED => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        _ => {}
    }
    response
}

pub(crate) fn of_answer(answer: Answer) -> Response {
    let status = StatusCode::from_u16(answer.status.code());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let tag = answer.tag();
    let modified = answer.last_modified_ms.map(header::last_modified);
    let mut response = match answer.body {
        Some(body) => (status, [(CONTENT_TYPE, FHIR_JSON)], body).into_response(),
        None => status.into_response(),
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (ETAG, tag),
        (LAST_MODIFIED, modified),
        (LOCATION, answer.location),
        (CONTENT_LOCATION, answer.content_location),
    ] {
        if let Some(value) = value.and_then(|it| HeaderValue::from_str(&it).ok()) {
            headers.insert(name, value);
        }
    }
    // What is read is the patient's: no cache keeps it.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(crate) fn json(status: StatusCode, body: &str) -> Response {
    (status, [(CONTENT_TYPE, JSON)], body.to_owned()).into_response()
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_has_a_path_or_none() {
        for (base, path) in [
            ("http://127.0.0.1:7480/fhir", "/fhir"),
            ("https://fhir.example.org", ""),
            ("https://fhir.example.org/", ""),
            ("https://example.org/a/b/", "/a/b"),
        ] {
            assert_eq!(path_of(base), path, "{base}");
        }
    }

    #[test]
    fn a_history_is_asked_for_by_numbers() {
        let page = |text: &str| history_page(&RawQuery::parse(text).unwrap());
        assert_eq!(page("").unwrap(), (None, None));
        assert_eq!(page("_count=5&_below=9&_format=json").unwrap(), (Some(9), Some(5)));
        for bad in ["_count=0", "_count=x", "_below=-1", "_since=2026", "_count=1e9"] {
            assert!(page(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn json_is_served_to_whoever_takes_it() {
        for (accept, is_served) in [
            ("application/fhir+json", true),
            ("text/html, application/xhtml+xml, */*;q=0.1", true),
            ("APPLICATION/JSON; charset=utf-8", true),
            ("application/fhir+xml", false),
            ("", false),
            ("text/html,,", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(acceptable(&headers).is_ok(), is_served, "{accept}");
        }
        assert!(acceptable(&HeaderMap::new()).is_ok());
    }

    #[test]
    fn conditions_are_read_from_headers() {
        let header = |name: HeaderName, value: &'static str| {
            HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
        };
        let of: ResourceType = "Patient".parse().unwrap();
        let none_exist = Headers::read(&header(IF_NONE_EXIST, "identifier=a|b")).unwrap();
        assert_eq!(none_exist.condition(of).unwrap().unwrap().as_str(), "identifier=a|b");
        let empty = Headers::read(&header(IF_NONE_EXIST, "_format=json")).unwrap();
        assert!(empty.condition(of).is_err());
        let tags = Headers::read(&header(IF_MATCH, "W/\"3\"")).unwrap().matches.unwrap();
        assert!(tags.matches(Some(3)) && !tags.matches(Some(4)));
        assert!(Headers::read(&header(IF_MATCH, "three")).is_err());
    }
}

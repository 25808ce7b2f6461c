//! The interface for clients: HTTP, version 1.
//!
//! Answers are canonical CBOR, or JSON of the same value where the asker accepts only that. Errors are
//! JSON ([`error::ErrorBody`]). Everything that is about someone takes a signed request ([`auth`]).
//!
//! # Invariants
//!
//! * No answer needs to be believed: receipts and proofs go with what they prove, bodies and capsules
//!   are checked against what the ledger commits to.
//! * A chart's entries go to whoever controls the chart or acts for its patient, to its organisation with its
//!   auditors, and to the actors in an entry; of an access, also to the privacy officers of the reader's
//!   organisation; a sealed object also to the reader of an accepted access that asks for it.
//! * Logs, metrics and traces name paths by their templates: no identifier of a chart, record or person is in
//!   them, nor any content.
//!
//! Not here: meaning. Each path finds out who asks, asks the part that knows, and passes the answer on.

pub mod auth;
pub mod error;
pub mod form;
pub mod requests;

pub mod health;

pub mod commands;
pub mod receipts;
pub mod transactions;

pub mod accesses;
pub mod blocks;
pub mod charts;
pub mod events;
pub mod logs;
pub mod members;
pub mod organisations;
pub mod rules;
pub mod validators;

pub mod custody;
pub mod matching;
pub mod release;

mod paced;
pub mod server;
pub mod visitors;

use std::sync::Arc;

use axum::{
    Router, middleware,
    routing::{get, post, put},
};
use keepwell_engine::{
    admission::Admission,
    core::Core,
    reader::{ReadError, Reader},
};
use keepwell_ledger::state::{Chart, Key, Value};
use keepwell_types::id::{ChartId, OrganisationId};
use tokio::sync::{Semaphore, watch};
use utoipa::OpenApi;

use self::{error::ApiError, requests::Requests};
use crate::{
    clock::Clock, custody::Custody, matching::MatchingService, metrics::Metrics,
    receipts::Receipts, release::ReleaseService,
};

/// Streams of events at one time.
pub const EVENT_STREAMS_MAX: usize = 1_024;

/// What the paths share.
pub struct Node {
    /// What the parts of the validator share.
    pub core: Arc<Core>,
    /// Reads what is final.
    pub reader: Arc<dyn Reader>,
    /// Takes commands in.
    pub admission: Admission,
    /// Stores sealed objects.
    pub custody: Arc<Custody>,
    /// Releases shares.
    pub release: ReleaseService,
    /// Evaluates for matching.
    pub matching: MatchingService,
    /// Makes receipts.
    pub receipts: Receipts,
    /// Heads of logs that were computed.
    pub heads: logs::Heads,
    /// Requests that were answered.
    pub requests: Requests,
    /// The machine's clock.
    pub clock: Clock,
    /// Counts.
    pub metrics: Metrics,
    /// Streams of events that may still begin.
    pub streams: Semaphore,
    /// Turns true when the node stops.
    pub stopping: watch::Receiver<bool>,
}

impl Node {
    /// A value of the newest state.
    pub async fn value(&self, key: Key) -> Result<Option<Value>, ReadError> {
        Ok(self.reader.state(&[key]).await?.pop().flatten())
    }

    /// A chart of the newest state.
    pub async fn chart(&self, chart: ChartId) -> Result<Chart, ApiError> {
        match self.value(Key::Chart(chart)).await? {
            Some(Value::Chart(entry)) => Ok(entry),
            _ => Err(ApiError::not_found("the chart")),
        }
    }

    /// Whether an organisation is suspended.
    pub async fn is_suspended(&self, organisation: OrganisationId) -> Result<bool, ReadError> {
        let entry = self.value(Key::Organisation(organisation)).await?;
        Ok(matches!(entry, Some(Value::Organisation(entry)) if entry.suspended))
    }
}

/// The paths of the interface.
pub fn router(node: Arc<Node>) -> Router {
    let answers = Router::new()
        .route("/v1/health", get(health::health))
        .route("/v1/ready", get(health::ready))
        .route("/metrics", get(health::metrics))
        .route("/v1/openapi.json", get(health::openapi))
        .route("/v1/genesis", get(health::genesis))
        .route("/v1/blocks", get(blocks::blocks))
        .route("/v1/tip", get(health::tip))
        .route("/v1/handovers", get(health::handovers))
        .route("/v1/receipts/{height}/{index}", get(receipts::receipt))
        .route("/v1/commands/{id}", get(receipts::command))
        .route("/v1/charts/{chart}", get(charts::chart))
        .route("/v1/charts/{chart}/grants/{grant}", get(charts::grant))
        .route("/v1/charts/{chart}/requests/{request}", get(charts::request))
        .route("/v1/charts/{chart}/record-states/{record}", get(charts::record_state))
        .route("/v1/charts/{chart}/proposals/{record}", get(charts::proposal))
        .route("/v1/charts/{chart}/cases/{case}", get(charts::case))
        .route("/v1/charts/{chart}/emergencies", get(charts::emergencies))
        .route("/v1/charts/{chart}/subjects/{grantee}", get(rules::subject))
        .route("/v1/charts/{chart}/cutoffs/{organisation}", get(rules::cutoff))
        .route("/v1/charts/{chart}/teams", get(rules::teams))
        .route("/v1/groups/{group}", get(rules::group))
        .route("/v1/organisations/{organisation}/accesses", get(accesses::accesses))
        .route("/v1/charts/{chart}/guardians", get(charts::guardians))
        .route("/v1/charts/{chart}/recoveries", get(charts::recoveries))
        .route("/v1/charts/{chart}/proxies", get(charts::proxies))
        .route("/v1/organisations/{organisation}/emergencies", get(charts::emergency_use))
        .route("/v1/members/{member}/credentials", get(charts::credentials))
        .route("/v1/members/{member}/key", get(members::key).put(members::put_key))
        .route("/v1/members/{member}", get(charts::member))
        .route("/v1/organisations", get(organisations::list))
        .route("/v1/organisations/{organisation}", get(charts::organisation))
        .route("/v1/organisations/{organisation}/motions", get(organisations::motions))
        .route("/v1/motions/{motion}", get(organisations::motion))
        .route("/v1/validators", get(validators::validators))
        .route("/v1/validators/change", get(validators::change))
        .route("/v1/protocol", get(validators::protocol))
        .route("/v1/charts/{chart}/log", get(logs::page))
        .route("/v1/charts/{chart}/log/{position}", get(logs::entry))
        .route("/v1/charts/{chart}/log/{position}/receipt", get(logs::receipt))
        .route("/v1/charts/{chart}/log/{position}/records", get(logs::records))
        .route("/v1/charts/{chart}/explain", get(logs::explain))
        .route("/v1/release", post(release::release))
        .route("/v1/match", post(matching::evaluate))
        .route("/v1/links/{link}", get(matching::link))
        .route("/v1/organisations/{organisation}/match-quota", get(matching::quota))
        .route("/v1/charts/{chart}/records/{record}/{version}/capsule", put(custody::put_capsule))
        .route("/v1/charts/{chart}/capsules", post(custody::capsules))
        .route("/v1/charts/{chart}/sealed", put(custody::put_small))
        .route("/v1/charts/{chart}/sealed/{digest}", get(custody::small))
        .layer(middleware::from_fn(server::in_time));
    // These take as long as a block, an upload, a download or a stream takes, and bound it themselves.
    let long = Router::new()
        .route("/v1/commands", post(commands::submit))
        .route("/v1/transactions", post(transactions::submit))
        .route("/v1/events", get(events::blocks))
        .route("/v1/charts/{chart}/events", get(events::chart))
        .route("/v1/charts/{chart}/records/{record}/{version}/body", put(custody::put_body))
        .route("/v1/charts/{chart}/records/{position}/body", get(custody::body))
        .route("/v1/charts/{chart}/records/{position}/challenge", get(custody::challenge));
    answers
        .merge(long)
        .fallback(form::no_such_path)
        .method_not_allowed_fallback(form::no_such_method)
        .layer(middleware::from_fn_with_state(node.clone(), server::caught_up))
        .layer(middleware::from_fn(visitors::bounded))
        .layer(middleware::from_fn_with_state(node.clone(), server::observe))
        .with_state(node)
}

/// The interface's description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Keepwell node",
        description = "The client interface of one node. Bodies are canonical CBOR of the named type of \
            keepwell-types, or JSON of the same value with `accept: application/json`. Paths marked \
            `signed` take `authorization: Keepwell <base64url of a SignedRequest>`. With \
            `keepwell-seen: <height>` a node answers once it has that block, or with 503 after 2 s.",
        license(name = "Apache-2.0")
    ),
    paths(
        health::health,
        health::ready,
        health::metrics,
        health::openapi,
        health::genesis,
        health::tip,
        health::handovers,
        blocks::blocks,
        commands::submit,
        transactions::submit,
        receipts::receipt,
        receipts::command,
        charts::chart,
        charts::grant,
        charts::request,
        charts::record_state,
        charts::proposal,
        charts::case,
        charts::emergencies,
        rules::subject,
        rules::cutoff,
        rules::teams,
        rules::group,
        accesses::accesses,
        charts::guardians,
        charts::recoveries,
        charts::proxies,
        charts::emergency_use,
        charts::credentials,
        members::put_key,
        members::key,
        charts::member,
        charts::organisation,
        organisations::list,
        organisations::motions,
        organisations::motion,
        validators::validators,
        validators::change,
        validators::protocol,
        logs::page,
        logs::entry,
        logs::receipt,
        logs::records,
        logs::explain,
        events::blocks,
        events::chart,
        release::release,
        matching::evaluate,
        matching::link,
        matching::quota,
        custody::put_body,
        custody::put_capsule,
        custody::capsules,
        custody::body,
        custody::challenge,
        custody::put_small,
        custody::small,
    ),
    components(schemas(
        error::ErrorBody,
        error::Fault,
        health::Health,
        custody::Stored,
        custody::Digested
    ))
)]
pub struct Description;

//! How the node is, and what it starts from.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use keepwell_types::limits::HANDOVERS_PAGE_MAX;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi as _, ToSchema};

use super::{
    Description, Node,
    error::ApiError,
    form::{Accept, Params, cbor},
};
use crate::{clock::TIP_AGE_MS_MAX, receipts::once_certified};

/// The node's health.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`.
    status: &'static str,
    /// Height of the newest block.
    height: u64,
}

impl Health {
    fn of(node: &Node) -> Self {
        Self { status: "ok", height: node.core.tip().height().0 }
    }
}

/// Whether the process runs.
#[utoipa::path(get, path = "/v1/health", responses((status = 200, body = Health)))]
pub async fn health(State(node): State<Arc<Node>>) -> Json<Health> {
    Json(Health::of(&node))
}

/// Whether the node follows the ledger: its newest block is younger than 30 s.
#[utoipa::path(get, path = "/v1/ready", responses(
    (status = 200, body = Health),
    (status = 503, body = super::error::ErrorBody),
))]
pub async fn ready(State(node): State<Arc<Node>>) -> Result<Json<Health>, ApiError> {
    if node.clock.is_fresh(node.core.tip().time()) {
        return Ok(Json(Health::of(&node)));
    }
    let message = format!(
        "the newest block here is older than {} s: this node is catching up or cut off; ask another",
        TIP_AGE_MS_MAX / 1_000
    );
    Err(ApiError::node(StatusCode::SERVICE_UNAVAILABLE, "not_ready", message))
}

/// Counts, as Prometheus reads them.
#[utoipa::path(get, path = "/metrics", responses((status = 200, body = String)))]
pub async fn metrics(State(node): State<Arc<Node>>) -> Response {
    const TEXT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, TEXT)], node.metrics.encode(&node)).into_response()
}

/// This description.
#[utoipa::path(get, path = "/v1/openapi.json", responses((status = 200, body = String)))]
pub async fn openapi() -> Response {
    Json(Description::openapi()).into_response()
}

/// The genesis file, which nobody should trust who got it from here only.
#[utoipa::path(get, path = "/v1/genesis", responses(
    (status = 200, content_type = "application/cbor", description = "Genesis"),
))]
pub async fn genesis(State(node): State<Arc<Node>>) -> Response {
    cbor(node.core.genesis.encode())
}

/// Where a page of hand-overs begins.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HandoversFrom {
    from: Option<u64>,
}

/// How others came to validate: hand-overs to those who do from this epoch on, in order, at most 16 of them.
#[utoipa::path(get, path = "/v1/handovers",
    params(("from" = Option<u64>, Query, description = "First epoch of the first set; 1 unless given")),
    responses(
        (status = 200, content_type = "application/cbor", description = "List of Handover"),
        (status = 400, body = super::error::ErrorBody),
    ))]
pub async fn handovers(
    State(node): State<Arc<Node>>,
    accept: Accept,
    Params(HandoversFrom { from }): Params<HandoversFrom>,
) -> Result<Response, ApiError> {
    let page = node.reader.handovers(from.unwrap_or(1), HANDOVERS_PAGE_MAX).await?;
    Ok(accept.answer(&page))
}

/// The newest header that is certified.
#[utoipa::path(get, path = "/v1/tip", responses(
    (status = 200, content_type = "application/cbor", description = "CertifiedHeader"),
    (status = 503, body = super::error::ErrorBody),
))]
pub async fn tip(State(node): State<Arc<Node>>, accept: Accept) -> Result<Response, ApiError> {
    let newest = once_certified(|| node.reader.newest_certified()).await?;
    Ok(accept.answer(&newest))
}

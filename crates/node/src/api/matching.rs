//! Evaluations for matching, links, and what an organisation has left of its quota.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use keepwell_ledger::state::{Key, Value};
use keepwell_types::{
    chart::COMPARTMENT_KEY_BYTES,
    id::{LinkId, OrganisationId},
    limits::MATCH_POINTS_MAX,
    wire::MatchRequest,
};

use super::{
    Node,
    auth::{Caller, Signed},
    charts::prove,
    error::ApiError,
    form::{Accept, Segments},
};

/// Bytes of a request: its points and its key, and room for what is around them.
const REQUEST_BYTES_MAX: usize = MATCH_POINTS_MAX * 34 + COMPARTMENT_KEY_BYTES + 256;

/// This validator's evaluation of the blinded points of a committed `match.evaluate`. Signed by whoever
/// signed that.
#[utoipa::path(post, path = "/v1/match",
    request_body(content_type = "application/cbor", description = "MatchRequest"),
    responses(
        (status = 200, content_type = "application/cbor", description = "MatchAnswer"),
        (status = 400, body = super::error::ErrorBody),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
        (status = 404, body = super::error::ErrorBody), (status = 425, body = super::error::ErrorBody),
        (status = 503, body = super::error::ErrorBody),
    ))]
pub async fn evaluate(
    State(node): State<Arc<Node>>,
    accept: Accept,
    Signed { caller, body }: Signed<REQUEST_BYTES_MAX>,
) -> Result<Response, ApiError> {
    let request: MatchRequest = keepwell_types::decode(&body, REQUEST_BYTES_MAX)?;
    let answer = node.matching.evaluate(caller.party(), request).await;
    node.metrics.evaluation(match &answer {
        Ok(_) => "given",
        Err(error) => error.code(),
    });
    Ok(accept.answer(&answer?))
}

/// A link. Signed by those of its two organisations, or by whoever controls a chart of one of them.
#[utoipa::path(get, path = "/v1/links/{link}",
    params(("link" = String, Path, description = "LinkId in hexadecimal digits")),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of the link, or of its absence"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn link(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments(link): Segments<LinkId>,
) -> Result<Response, ApiError> {
    let key = Key::Link(link);
    let entry = node.value(key).await?;
    if let Some(Value::Link(entry)) = &entry
        && !entry.is_of(caller.accountable())
    {
        return Err(ApiError::forbidden("the two organisations of the link and their patients"));
    }
    Ok(accept.answer(&prove(&node, &key).await?))
}

/// What an organisation has had evaluated in the latest period. Signed by any member.
#[utoipa::path(get, path = "/v1/organisations/{organisation}/match-quota",
    params(("organisation" = String, Path, description = "OrganisationId in hexadecimal digits")),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of the quota, or of its absence"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn quota(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments(organisation): Segments<OrganisationId>,
) -> Result<Response, ApiError> {
    if caller.organisation().is_none() {
        return Err(ApiError::forbidden("members"));
    }
    Ok(accept.answer(&prove(&node, &Key::MatchQuota(organisation)).await?))
}

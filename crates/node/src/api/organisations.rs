//! Organisations, and what their administrators are to decide together.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use keepwell_ledger::state::Key;
use keepwell_types::id::{MotionId, OrganisationId};

use super::{
    Node,
    auth::Caller,
    charts::prove,
    error::ApiError,
    form::{Accept, Segments},
};

/// The list of organisations. Signed by any member or by the controller of any chart.
#[utoipa::path(get, path = "/v1/organisations",
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of the list"),
        (status = 401, body = super::error::ErrorBody),
    ))]
pub async fn list(
    State(node): State<Arc<Node>>,
    _: Caller,
    accept: Accept,
) -> Result<Response, ApiError> {
    Ok(accept.answer(&prove(&node, &Key::Organisations).await?))
}

/// The motions that an organisation's administrators have made and that wait. Signed by any member or administrator.
#[utoipa::path(get, path = "/v1/organisations/{organisation}/motions",
    params(("organisation" = String, Path, description = "OrganisationId in hexadecimal digits")),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of their ids, or of their absence"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn motions(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments(organisation): Segments<OrganisationId>,
) -> Result<Response, ApiError> {
    check_of_consortium(&caller)?;
    Ok(accept.answer(&prove(&node, &Key::OpenMotions(organisation)).await?))
}

/// A motion. Signed by any member or administrator.
#[utoipa::path(get, path = "/v1/motions/{motion}",
    params(("motion" = String, Path, description = "MotionId in hexadecimal digits")),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of the motion, or of its absence"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn motion(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments(motion): Segments<MotionId>,
) -> Result<Response, ApiError> {
    check_of_consortium(&caller)?;
    Ok(accept.answer(&prove(&node, &Key::Motion(motion)).await?))
}

fn check_of_consortium(caller: &Caller) -> Result<(), ApiError> {
    match caller.organisation() {
        Some(_) => Ok(()),
        None => Err(ApiError::forbidden("members and administrators")),
    }
}

//! Who validates, how far a change of that is, and by which version of the protocol.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use keepwell_ledger::state::Key;

use super::{Node, auth::Caller, charts::prove, error::ApiError, form::Accept};

/// Who validates, with the public side of their shares. Signed by any member or by the controller of any chart.
#[utoipa::path(get, path = "/v1/validators",
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of the set"),
        (status = 401, body = super::error::ErrorBody),
    ))]
pub async fn validators(
    State(node): State<Arc<Node>>,
    _: Caller,
    accept: Accept,
) -> Result<Response, ApiError> {
    Ok(accept.answer(&prove(&node, &Key::Validators).await?))
}

/// The change of validators that is under way, or the last one that failed. Signed by any member or by the controller
/// of any chart.
#[utoipa::path(get, path = "/v1/validators/change",
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of the change, or of its absence"),
        (status = 401, body = super::error::ErrorBody),
    ))]
pub async fn change(
    State(node): State<Arc<Node>>,
    _: Caller,
    accept: Accept,
) -> Result<Response, ApiError> {
    Ok(accept.answer(&prove(&node, &Key::Changing).await?))
}

/// Which version of the protocol is in force, and from which block on the next one is to be. Signed by any member or by
/// the controller of any chart.
#[utoipa::path(get, path = "/v1/protocol",
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of it, or of its absence before the first upgrade is planned"),
        (status = 401, body = super::error::ErrorBody),
    ))]
pub async fn protocol(
    State(node): State<Arc<Node>>,
    _: Caller,
    accept: Accept,
) -> Result<Response, ApiError> {
    Ok(accept.answer(&prove(&node, &Key::Protocol).await?))
}

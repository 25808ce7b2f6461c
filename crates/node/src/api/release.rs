//! Shares for a committed access.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use keepwell_types::{
    limits::{CAPSULE_BYTES_MAX, RELEASE_CAPSULES_MAX},
    wire::ReleaseRequest,
};

use super::{Node, auth::Signed, error::ApiError, form::Accept};

/// Bytes of a request: its capsules, and room for what is around them.
const REQUEST_BYTES_MAX: usize = RELEASE_CAPSULES_MAX * (CAPSULE_BYTES_MAX + 32) + 4_096;

/// This validator's shares for a committed access. Signed by whoever opened it.
#[utoipa::path(post, path = "/v1/release",
    request_body(content_type = "application/cbor", description = "ReleaseRequest"),
    responses(
        (status = 200, content_type = "application/cbor", description = "ReleaseAnswer"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
        (status = 404, body = super::error::ErrorBody), (status = 425, body = super::error::ErrorBody),
        (status = 503, body = super::error::ErrorBody),
    ))]
pub async fn release(
    State(node): State<Arc<Node>>,
    accept: Accept,
    Signed { caller, body }: Signed<REQUEST_BYTES_MAX>,
) -> Result<Response, ApiError> {
    let request: ReleaseRequest = keepwell_types::decode(&body, REQUEST_BYTES_MAX)?;
    let answer = node.release.release(caller.party(), request).await;
    node.metrics.release(match &answer {
        Ok(_) => "given",
        Err(error) => error.code(),
    });
    Ok(accept.answer(&answer?))
}

//! The way in for commands.

use std::{sync::Arc, time::Duration};

use axum::{body::Body, extract::State, http::StatusCode, response::Response};
use keepwell_engine::reader::ReadError;
use keepwell_types::{command::SignedCommand, limits::COMMAND_BYTES_MAX, outcome::Verdict};

use super::{Node, auth::read_body, error::ApiError, form::Accept};

/// How long a command may take to come.
const READ: Duration = Duration::from_secs(15);
/// How long a command's sender waits for its block.
const WAIT: Duration = Duration::from_secs(60);

/// Decides a command: answers with its receipt once it is final. The same bytes again get the same
/// receipt.
#[utoipa::path(post, path = "/v1/commands",
    request_body(content_type = "application/cbor", description = "SignedCommand"),
    responses(
        (status = 200, content_type = "application/cbor", description = "Receipt"),
        (status = 400, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
        (status = 408, body = super::error::ErrorBody),
        (status = 409, body = super::error::ErrorBody), (status = 413, body = super::error::ErrorBody),
        (status = 429, body = super::error::ErrorBody), (status = 503, body = super::error::ErrorBody),
    ))]
pub async fn submit(
    State(node): State<Arc<Node>>,
    accept: Accept,
    body: Body,
) -> Result<Response, ApiError> {
    let bytes = tokio::time::timeout(READ, read_body(body, COMMAND_BYTES_MAX)).await;
    let bytes = bytes.map_err(|_| {
        let message = "the command came too slowly; send it again, which is safe";
        ApiError::client(StatusCode::REQUEST_TIMEOUT, "too_slow", message)
    })??;
    // For the count only: whether it is a command is decided where it is taken in.
    let family = SignedCommand::decode(&bytes).map_or("malformed", |it| it.command.payload.name());
    let outcome = match tokio::time::timeout(WAIT, node.admission.submit(bytes.into())).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(refused)) => {
            node.metrics.command(family, "refused");
            return Err(refused.into());
        }
        Err(_) => {
            let message = "no block has had the command for a minute; send the same bytes again, which is safe, or to another node";
            return Err(ApiError::node(StatusCode::SERVICE_UNAVAILABLE, "pending", message));
        }
    };
    node.metrics.command(
        family,
        match outcome.verdict {
            Verdict::Accepted => "accepted",
            Verdict::Rejected(_) => "rejected",
        },
    );
    let receipt = node.receipts.receipt(outcome.location).await?.ok_or(ReadError::NotHere)?;
    Ok(accept.answer(&receipt))
}

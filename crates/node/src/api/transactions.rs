//! The way in for transactions: commands of one first signer that take effect all or none.
//!
//! What is sent has up to [`TRANSACTION_PARTS_BYTES_MAX`] bytes and a thousand signatures, so unlike a command it comes
//! in a request that somebody signed, who is answered so many at a time ([`super::requests`]).

use std::{sync::Arc, time::Duration};

use axum::{
    extract::{FromRequest as _, Request, State},
    http::StatusCode,
    response::Response,
};
use keepwell_engine::reader::ReadError;
use keepwell_types::{
    command::SignedCommand,
    encoding::Blob,
    id::Location,
    limits::RECEIPT_BYTES_MAX,
    outcome::{Outcome, Rejection, Verdict},
    wire::{TRANSACTION_PARTS_BYTES_MAX, TransactionParts, TransactionReceipts},
};

use super::{Node, auth::Signed, error::ApiError, form::Accept};

/// How long a transaction may take to come.
const READ: Duration = Duration::from_secs(60);
/// How long a transaction's sender waits for its block.
const WAIT: Duration = Duration::from_secs(60);

/// Decides a transaction, in a signed request: answers once it is final, with the receipt of its first part, and that of
/// the part for whose sake all were refused. The same parts again get the same.
///
/// The parts stand next to each other: the receipt of each other one is at the place that follows from the first.
#[utoipa::path(post, path = "/v1/transactions",
    request_body(content_type = "application/cbor", description = "TransactionParts"),
    responses(
        (status = 200, content_type = "application/cbor", description = "TransactionReceipts"),
        (status = 400, body = super::error::ErrorBody), (status = 401, body = super::error::ErrorBody),
        (status = 403, body = super::error::ErrorBody), (status = 408, body = super::error::ErrorBody),
        (status = 409, body = super::error::ErrorBody), (status = 413, body = super::error::ErrorBody),
        (status = 429, body = super::error::ErrorBody), (status = 503, body = super::error::ErrorBody),
    ))]
pub async fn submit(
    State(node): State<Arc<Node>>,
    accept: Accept,
    request: Request,
) -> Result<Response, ApiError> {
    type Sent = Signed<TRANSACTION_PARTS_BYTES_MAX>;
    let sent = tokio::time::timeout(READ, Sent::from_request(request, &node)).await;
    let Signed { body, .. } = sent.map_err(|_| {
        let message = "the transaction came too slowly; send it again, which is safe";
        ApiError::client(StatusCode::REQUEST_TIMEOUT, "too_slow", message)
    })??;
    let parts: TransactionParts = keepwell_types::decode(&body, TRANSACTION_PARTS_BYTES_MAX)?;
    drop(body);
    let families: Vec<_> = parts.iter().map(|it| it.command.payload.name()).collect();
    let parts = parts.iter().map(SignedCommand::encode).collect();
    let outcomes = tokio::time::timeout(WAIT, node.admission.submit_transaction(parts)).await;
    let outcomes = match outcomes {
        Ok(Ok(outcomes)) => outcomes,
        Ok(Err(refused)) => {
            families.into_iter().for_each(|family| node.metrics.command(family, "refused"));
            return Err(refused.into());
        }
        Err(_) => {
            let message = "no block has had the transaction for a minute; send the same bytes again, which is safe, or to another node";
            return Err(ApiError::node(StatusCode::SERVICE_UNAVAILABLE, "pending", message));
        }
    };
    for (family, outcome) in families.into_iter().zip(&outcomes) {
        let word = if outcome.verdict.is_accepted() { "accepted" } else { "rejected" };
        node.metrics.command(family, word);
    }
    Ok(accept.answer(&receipts(&node, &outcomes).await?))
}

async fn receipts(node: &Node, outcomes: &[Outcome]) -> Result<TransactionReceipts, ApiError> {
    let first = outcomes.first().ok_or(ReadError::NotHere)?;
    let refused = match &first.verdict {
        Verdict::Rejected(Rejection::Transaction { place }) => outcomes.get(usize::from(*place)),
        Verdict::Accepted | Verdict::Rejected(_) => None,
    };
    let refused = match refused {
        Some(outcome) => Some(receipt(node, outcome.location).await?),
        None => None,
    };
    Ok(TransactionReceipts { first: receipt(node, first.location).await?, refused })
}

async fn receipt(node: &Node, at: Location) -> Result<Blob<RECEIPT_BYTES_MAX>, ApiError> {
    let receipt = node.receipts.receipt(at).await?.ok_or(ReadError::NotHere)?;
    let receipt = Blob::from_vec(keepwell_types::encode(&receipt));
    Ok(receipt.map_err(|_| ReadError::Storage)?)
}

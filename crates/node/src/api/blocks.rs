//! Whole blocks, for backups of this node.
//!
//! Blocks say which organisations' charts are touched, by whom and for what, so they go to nobody but those who have
//! them anyway: the organisation that runs this node.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use keepwell_engine::reader::ReadError;
use keepwell_types::{
    encoding::List,
    id::Height,
    member::Party,
    wire::{STORED_BLOCKS_BYTES, StoredBlocks},
};
use serde::Deserialize;

use super::{
    Node,
    auth::Caller,
    error::ApiError,
    form::{Accept, Params},
};

/// Where to begin.
#[derive(Deserialize)]
pub struct From {
    from: u64,
}

/// Final blocks from a height on, as many as an answer takes; none at the end. Signed by an administrator or with the
/// custodian's key of this node's organisation.
#[utoipa::path(get, path = "/v1/blocks",
    params(("from" = u64, Query, description = "The first block, from 1")),
    responses(
        (status = 200, content_type = "application/cbor", description = "StoredBlocks"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
        (status = 410, body = super::error::ErrorBody, description = "The node began from a later block"),
    ))]
pub async fn blocks(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Params(From { from }): Params<From>,
) -> Result<Response, ApiError> {
    check_operator(&node, &caller)?;
    let (floor, from) = (node.core.floor()?, from.max(1));
    if Height(from) <= floor {
        let message = format!(
            "this node began from the state at block {floor} and has no earlier block; ask a node that has executed all"
        );
        return Err(ApiError::node(StatusCode::GONE, "began_later", message));
    }
    let (mut blocks, mut bytes) = (List::new(), 0);
    for height in from..=node.core.tip().height().0 {
        let stored = match node.reader.stored(Height(height)).await {
            Ok(stored) => stored,
            Err(ReadError::NotHere) => break,
            Err(error @ ReadError::Storage) => return Err(error.into()),
        };
        bytes += stored.block.len();
        if blocks.push(stored).is_err() || bytes >= STORED_BLOCKS_BYTES {
            break;
        }
    }
    Ok(accept.answer(&StoredBlocks { blocks }))
}

fn check_operator(node: &Node, caller: &Caller) -> Result<(), ApiError> {
    let operates = match caller.party() {
        Party::Administrator(it) | Party::Custodian(it) => it == node.custody.organisation(),
        Party::Member(_)
        | Party::Controller(_)
        | Party::Claimant(_)
        | Party::Proxy(..)
        | Party::Guardian(_)
        | Party::Successor(_)
        | Party::Validator(_) => false,
    };
    if operates { Ok(()) } else { Err(ApiError::forbidden("whoever runs this node")) }
}

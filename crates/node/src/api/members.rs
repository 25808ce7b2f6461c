//! Public keys of members, to which whoever grants them something seals it.
//!
//! # Invariants
//!
//! * A key is taken and shown only if it is the one whose digest the ledger has for the member.

use std::sync::Arc;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use keepwell_crypto::seal::SealingPublic;
use keepwell_ledger::state::{Key, Member, Value};
use keepwell_types::{chart::COMPARTMENT_KEY_BYTES, id::MemberId, member::Party};

use super::{
    Node,
    auth::{Caller, Signed},
    error::ApiError,
    form::Segments,
};

/// Stores a member's X-Wing public key, in the place of an earlier one. Signed by the member, or by the
/// administrator of its organisation.
#[utoipa::path(put, path = "/v1/members/{member}/key",
    params(("member" = String, Path, description = "MemberId in hexadecimal digits")),
    request_body(content_type = "application/octet-stream", description = "The key, 1,216 bytes"),
    responses(
        (status = 204, description = "Stored"),
        (status = 400, body = super::error::ErrorBody), (status = 401, body = super::error::ErrorBody),
        (status = 403, body = super::error::ErrorBody), (status = 507, body = super::error::ErrorBody),
    ))]
pub async fn put_key(
    State(node): State<Arc<Node>>,
    Segments(member): Segments<MemberId>,
    Signed { caller, body }: Signed<COMPARTMENT_KEY_BYTES>,
) -> Result<Response, ApiError> {
    let entry = known(&node, member).await?;
    let is_own = caller.party() == Party::Member(member)
        || caller.party() == Party::Administrator(entry.organisation);
    if !is_own {
        return Err(ApiError::forbidden("the member and its administrator"));
    }
    if !is_of(&body, &entry) {
        return Err(ApiError::malformed(
            "this is not the public key whose digest the ledger has for the member".to_owned(),
        ));
    }
    node.custody.put_member_key(member, body).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// A member's X-Wing public key. Signed by any member or by the controller of any chart.
#[utoipa::path(get, path = "/v1/members/{member}/key",
    params(("member" = String, Path, description = "MemberId in hexadecimal digits")),
    responses(
        (status = 200, content_type = "application/octet-stream", description = "The key, 1,216 bytes"),
        (status = 401, body = super::error::ErrorBody), (status = 404, body = super::error::ErrorBody),
    ))]
pub async fn key(
    State(node): State<Arc<Node>>,
    _: Caller,
    Segments(member): Segments<MemberId>,
) -> Result<Response, ApiError> {
    let entry = known(&node, member).await?;
    let key = node.custody.member_key(member).await?;
    // One that the member has changed since is nobody's any more.
    if !is_of(&key, &entry) {
        return Err(ApiError::not_found("the member's key"));
    }
    Ok(key.into_response())
}

async fn known(node: &Node, member: MemberId) -> Result<Member, ApiError> {
    match node.value(Key::Member(member)).await? {
        Some(Value::Member(entry)) => Ok(entry),
        Some(_) | None => Err(ApiError::not_found("the member")),
    }
}

fn is_of(key: &[u8], member: &Member) -> bool {
    SealingPublic::from_bytes(key).is_ok_and(|key| key.digest() == member.sealing)
}

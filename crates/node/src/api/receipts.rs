//! Receipts of what is final.

use std::sync::Arc;

use axum::{extract::State, response::Response};
use keepwell_crypto::command::record_id_of;
use keepwell_ledger::state::{Key, Value};
use keepwell_merkle::receipt::Receipt;
use keepwell_types::{
    command::{Entry, Payload},
    id::{CommandId, Height, Location, RecordId},
    member::Party,
};

use super::{
    Node,
    auth::Caller,
    charts::{is_grantee, is_officer, is_party},
    error::ApiError,
    form::{Accept, Segments},
};

/// The receipt of the entry at a place in the chain. Signed.
#[utoipa::path(get, path = "/v1/receipts/{height}/{index}",
    params(
        ("height" = u64, Path, description = "The block"),
        ("index" = u32, Path, description = "The entry's place in it, from 0"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", description = "Receipt"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
        (status = 404, body = super::error::ErrorBody),
    ))]
pub async fn receipt(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments((height, index)): Segments<(Height, u32)>,
) -> Result<Response, ApiError> {
    let receipt = find(&node, &caller, Location { height, index }).await?;
    Ok(accept.answer(&receipt))
}

/// The receipt of the command with an id. Signed.
#[utoipa::path(get, path = "/v1/commands/{id}",
    params(("id" = String, Path, description = "CommandId in hexadecimal digits")),
    responses(
        (status = 200, content_type = "application/cbor", description = "Receipt"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
        (status = 404, body = super::error::ErrorBody),
    ))]
pub async fn command(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments(id): Segments<CommandId>,
) -> Result<Response, ApiError> {
    let location = node.core.index.command(id)?;
    let location = location.ok_or_else(|| ApiError::not_found("the command"))?;
    let receipt = find(&node, &caller, location).await?;
    Ok(accept.answer(&receipt))
}

async fn find(node: &Node, caller: &Caller, location: Location) -> Result<Receipt, ApiError> {
    let receipt = node.receipts.receipt(location).await?;
    let receipt = receipt.ok_or_else(|| ApiError::not_found("the entry"))?;
    if may_see(node, caller, &receipt.entry).await? {
        return Ok(receipt);
    }
    Err(ApiError::forbidden("the chart's controller and organisation, and the actors in an entry"))
}

/// Whether an entry may be shown: to its actors, and at home in its chart, to whose organisation its
/// auditors belong; to all members if it touches no chart. What a sign-off consists of is shown to its parties as
/// well: each may keep a copy that it can verify. What gave a grant is shown to whom it is for: the keys are sealed under
/// the terms that were signed. A privacy officer of the organisation whose member broke the
/// glass sees that, to review it.
pub async fn may_see(node: &Node, caller: &Caller, entry: &Entry) -> Result<bool, ApiError> {
    let is_actor = match entry {
        Entry::Genesis(_) => false,
        Entry::Signed(signed) => signed.command.signers.contains(&caller.party()),
    };
    if is_actor {
        return Ok(true);
    }
    let Some(chart) = entry.payload().chart() else {
        return may_see_without_chart(node, caller, entry).await;
    };
    if caller.acts_in(chart) {
        return Ok(true);
    }
    // A refused command may name a chart that is not there.
    let is_at_home = match node.chart(chart).await {
        Ok(entry) => caller.is_at_home(chart, &entry),
        Err(error) if error.code() == "not_found" => false,
        Err(error) => return Err(error),
    };
    if is_at_home || answers_for(node, caller, entry).await? {
        return Ok(true);
    }
    if let Some((grant, _)) = entry.payload().given_grant() {
        return is_grantee(node, caller, chart, grant).await;
    }
    match signed_off(entry) {
        Some(record) => is_party(node, caller, chart, record).await,
        None => Ok(false),
    }
}

/// Whether an entry that touches no chart may be shown: to every member, but for what two organisations have to do
/// with each other, which is theirs.
async fn may_see_without_chart(
    node: &Node,
    caller: &Caller,
    entry: &Entry,
) -> Result<bool, ApiError> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others are public among members")]
    let link = match entry.payload() {
        Payload::LinkPropose(it) => it.link,
        Payload::LinkConfirm(it) => it.link,
        Payload::LinkReverse(it) => it.link,
        Payload::MatchEvaluate(_) => return is_by_own_organisation(node, caller, entry).await,
        _ => return Ok(caller.organisation().is_some()),
    };
    match (node.value(Key::Link(link)).await?, caller.organisation()) {
        (Some(Value::Link(link)), Some(organisation)) => Ok(link.is_of(organisation)),
        _ => Ok(false),
    }
}

async fn is_by_own_organisation(
    node: &Node,
    caller: &Caller,
    entry: &Entry,
) -> Result<bool, ApiError> {
    let Entry::Signed(signed) = entry else { return Ok(false) };
    let Some(Party::Member(member)) = signed.command.signers.first() else { return Ok(false) };
    match node.value(Key::Member(*member)).await? {
        Some(Value::Member(it)) => Ok(caller.is_of(it.organisation)),
        Some(_) | None => Ok(false),
    }
}

/// Whether the caller is a privacy officer who answers for what a member did in another organisation's chart: reviews
/// the emergency that an entry began, or has a say in what becomes of the record that it added.
async fn answers_for(node: &Node, caller: &Caller, entry: &Entry) -> Result<bool, ApiError> {
    let Entry::Signed(signed) = entry else { return Ok(false) };
    if !matches!(entry.payload(), Payload::BreakGlass(_) | Payload::RecordAdd(_)) {
        return Ok(false);
    }
    let Some(Party::Member(member)) = signed.command.signers.first() else { return Ok(false) };
    match node.value(Key::Member(*member)).await? {
        Some(Value::Member(it)) => Ok(is_officer(node, caller, it.organisation).await?),
        Some(_) | None => Ok(false),
    }
}

/// The record that an entry proposes or approves.
fn signed_off(entry: &Entry) -> Option<RecordId> {
    let Entry::Signed(signed) = entry else { return None };
    if let Payload::RecordApprove(approve) = &signed.command.payload {
        return Some(approve.record.record);
    }
    record_id_of(&signed.command)
}

//! Values of the state, with proof.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use keepwell_engine::reader::ReadError;
use keepwell_ledger::state::{Key, Value};
use keepwell_types::{
    grant::Grantee,
    id::{ChartId, GrantId, MemberId, OrganisationId},
    wire::StateProof,
};
use tokio::time::sleep;

use super::{
    Node,
    auth::Caller,
    error::ApiError,
    form::{Accept, Segments},
};

/// How often a proof is tried, and the pause in between: the newest state may lack its certificate for
/// a moment.
const TRIES: usize = 60;
const PAUSE: Duration = Duration::from_millis(50);

/// A chart. Signed by any member or by its controller.
#[utoipa::path(get, path = "/v1/charts/{chart}",
    params(("chart" = String, Path, description = "ChartId in hexadecimal digits")),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of the chart, or of its absence"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn chart(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments(chart): Segments<ChartId>,
) -> Result<Response, ApiError> {
    if caller.organisation().is_none() && !caller.controls(chart) {
        return Err(ApiError::forbidden("members and the chart's controller"));
    }
    Ok(accept.answer(&prove(&node, &Key::Chart(chart)).await?))
}

/// A grant. Signed by the chart's controller, or a member of its or of the grantee's organisation.
#[utoipa::path(get, path = "/v1/charts/{chart}/grants/{grant}",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("grant" = String, Path, description = "GrantId in hexadecimal digits"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of the grant, or of its absence"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn grant(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments((chart, grant)): Segments<(ChartId, GrantId)>,
) -> Result<Response, ApiError> {
    let entry = node.chart(chart).await?;
    if !caller.is_at_home(chart, &entry) && !is_for(&node, &caller, chart, grant).await? {
        return Err(ApiError::forbidden(
            "the chart's controller and organisation, and the grantee's",
        ));
    }
    Ok(accept.answer(&prove(&node, &Key::Grant(chart, grant)).await?))
}

/// Whether the grant is for the caller's organisation or someone in it.
async fn is_for(
    node: &Node,
    caller: &Caller,
    chart: ChartId,
    grant: GrantId,
) -> Result<bool, ApiError> {
    let Some(organisation) = caller.organisation() else { return Ok(false) };
    let Some(Value::Grant(grant)) = node.value(Key::Grant(chart, grant)).await? else {
        return Ok(false);
    };
    match grant.terms.grantee {
        Grantee::Everyone => Ok(true),
        Grantee::Organisation(grantee) | Grantee::Role { organisation: grantee, .. } => {
            Ok(grantee == organisation)
        }
        Grantee::Member(member) => {
            let member = node.value(Key::Member(member)).await?;
            Ok(matches!(member, Some(Value::Member(it)) if it.organisation == organisation))
        }
    }
}

/// A member. Signed by any member or by the controller of any chart.
#[utoipa::path(get, path = "/v1/members/{member}",
    params(("member" = String, Path, description = "MemberId in hexadecimal digits")),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of the member, or of its absence"),
        (status = 401, body = super::error::ErrorBody),
    ))]
pub async fn member(
    State(node): State<Arc<Node>>,
    _: Caller,
    accept: Accept,
    Segments(member): Segments<MemberId>,
) -> Result<Response, ApiError> {
    Ok(accept.answer(&prove(&node, &Key::Member(member)).await?))
}

/// An organisation. Signed by any member or by the controller of any chart.
#[utoipa::path(get, path = "/v1/organisations/{organisation}",
    params(("organisation" = String, Path, description = "OrganisationId in hexadecimal digits")),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of the organisation, or of its absence"),
        (status = 401, body = super::error::ErrorBody),
    ))]
pub async fn organisation(
    State(node): State<Arc<Node>>,
    _: Caller,
    accept: Accept,
    Segments(organisation): Segments<OrganisationId>,
) -> Result<Response, ApiError> {
    Ok(accept.answer(&prove(&node, &Key::Organisation(organisation)).await?))
}

/// Proves a value, once there is a certificate that covers the newest state.
pub async fn prove(node: &Node, key: &Key) -> Result<StateProof, ReadError> {
    for _ in 1..TRIES {
        match node.reader.prove(key).await {
            Err(ReadError::NotHere) => sleep(PAUSE).await,
            found => return found,
        }
    }
    node.reader.prove(key).await
}

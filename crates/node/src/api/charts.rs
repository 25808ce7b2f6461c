//! Values of the state, with proof.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use keepwell_engine::reader::ReadError;
use keepwell_ledger::state::{Key, Value};
use keepwell_types::{
    grant::Grantee,
    id::{CaseId, ChartId, GrantId, MemberId, OrganisationId, RecordId, RequestId, TeamId},
    member::{Party, Role},
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
        Grantee::Group(group) => {
            let group = node.value(Key::Group(group)).await?;
            Ok(matches!(group, Some(Value::Group(it)) if it.organisation == organisation))
        }
        Grantee::Team(team) => is_in_team(node, chart, team, organisation).await,
        Grantee::Organisation(grantee) | Grantee::Role { organisation: grantee, .. } => {
            Ok(grantee == organisation)
        }
        Grantee::Member(member) => {
            let member = node.value(Key::Member(member)).await?;
            Ok(matches!(member, Some(Value::Member(it)) if it.organisation == organisation))
        }
    }
}

/// Whether someone of the organisation is in the care team.
async fn is_in_team(
    node: &Node,
    chart: ChartId,
    team: TeamId,
    organisation: OrganisationId,
) -> Result<bool, ApiError> {
    let Some(Value::Teams(teams)) = node.value(Key::Teams(chart)).await? else {
        return Ok(false);
    };
    for id in teams.teams.iter().filter(|it| it.team == team).flat_map(|it| it.members.iter()) {
        if let Some(Value::Member(member)) = node.value(Key::Member(*id)).await?
            && member.organisation == organisation
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A request for a grant. Signed by those at home in the chart, or by the asker's organisation.
#[utoipa::path(get, path = "/v1/charts/{chart}/requests/{request}",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("request" = String, Path, description = "RequestId in hexadecimal digits"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of it, or of its absence"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn request(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments((chart, request)): Segments<(ChartId, RequestId)>,
) -> Result<Response, ApiError> {
    let key = Key::Request(chart, request);
    if !caller.is_at_home(chart, &node.chart(chart).await?) {
        let entry = node.value(key).await?;
        let asker = match entry {
            Some(Value::Request(entry)) => Some(entry.organisation),
            Some(_) | None => None,
        };
        if asker.is_none() || asker != caller.organisation() {
            return Err(ApiError::forbidden(
                "the chart's controller and organisation, and the asker's",
            ));
        }
    }
    Ok(accept.answer(&prove(&node, &key).await?))
}

/// What has happened to a record since it was added: versions, restrictions, redaction and who has erased it.
/// Signed by those at home in the chart.
#[utoipa::path(get, path = "/v1/charts/{chart}/record-states/{record}",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("record" = String, Path, description = "RecordId in hexadecimal digits"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of it, or of its absence"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn record_state(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments((chart, record)): Segments<(ChartId, RecordId)>,
) -> Result<Response, ApiError> {
    at_home(&node, &caller, chart).await?;
    Ok(accept.answer(&prove(&node, &Key::RecordState(chart, record)).await?))
}

/// A case. Signed by those at home in the chart.
#[utoipa::path(get, path = "/v1/charts/{chart}/cases/{case}",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("case" = String, Path, description = "CaseId in hexadecimal digits"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of it, or of its absence"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn case(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments((chart, case)): Segments<(ChartId, CaseId)>,
) -> Result<Response, ApiError> {
    at_home(&node, &caller, chart).await?;
    Ok(accept.answer(&prove(&node, &Key::Case(chart, case)).await?))
}

/// The emergencies of a chart. Signed by those at home in the chart, or by any member: who breaks the
/// glass, and who seconds or reviews it, may be of another organisation.
#[utoipa::path(get, path = "/v1/charts/{chart}/emergencies",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of it, or of its absence"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn emergencies(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments(chart): Segments<ChartId>,
) -> Result<Response, ApiError> {
    if caller.organisation().is_none() && !caller.controls(chart) {
        return Err(ApiError::forbidden("members and the chart's controller"));
    }
    Ok(accept.answer(&prove(&node, &Key::Emergencies(chart)).await?))
}

/// How an organisation's members used emergencies, and what waits for review. Signed by its privacy officers or
/// its administrator.
#[utoipa::path(get, path = "/v1/organisations/{organisation}/emergencies",
    params(
        ("organisation" = String, Path, description = "OrganisationId in hexadecimal digits"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of it, or of its absence"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn emergency_use(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments(organisation): Segments<OrganisationId>,
) -> Result<Response, ApiError> {
    if !is_officer(&node, &caller, organisation).await? {
        return Err(ApiError::forbidden("the organisation's privacy officers and administrator"));
    }
    Ok(accept.answer(&prove(&node, &Key::EmergencyUse(organisation)).await?))
}

/// Whether the caller answers for how an organisation's members use emergencies.
pub async fn is_officer(
    node: &Node,
    caller: &Caller,
    organisation: OrganisationId,
) -> Result<bool, ReadError> {
    match caller.party() {
        Party::Administrator(id) => Ok(id == organisation),
        Party::Member(id) => {
            let member = node.value(Key::Member(id)).await?;
            Ok(matches!(member, Some(Value::Member(it)) if it.organisation == organisation
                && it.roles.contains(Role::PrivacyOfficer)))
        }
        Party::Controller(_) | Party::Claimant(_) | Party::Custodian(_) => Ok(false),
    }
}

/// The credentials of a member. Signed by any member or by the controller of any chart.
#[utoipa::path(get, path = "/v1/members/{member}/credentials",
    params(
        ("member" = String, Path, description = "MemberId in hexadecimal digits"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of it, or of its absence"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn credentials(
    State(node): State<Arc<Node>>,
    _: Caller,
    accept: Accept,
    Segments(member): Segments<MemberId>,
) -> Result<Response, ApiError> {
    Ok(accept.answer(&prove(&node, &Key::Credentials(member)).await?))
}

async fn at_home(node: &Node, caller: &Caller, chart: ChartId) -> Result<(), ApiError> {
    if caller.is_at_home(chart, &node.chart(chart).await?) {
        return Ok(());
    }
    Err(ApiError::forbidden("the chart's controller and organisation"))
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

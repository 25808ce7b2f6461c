//! Values of the state, with proof.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, response::Response};
use keepwell_engine::reader::ReadError;
use keepwell_ledger::state::{Key, Value};
use keepwell_types::{
    grant::Grantee,
    guardian::Guardian,
    id::{
        CaseId, ChartId, GrantId, LogPosition, MemberId, OrganisationId, RecordId, RequestId,
        TeamId,
    },
    member::{Party, Role},
    signoff::{Approver, Of},
    wire::StateProof,
};
use serde::Deserialize;
use tokio::time::sleep;

use super::{
    Node,
    auth::Caller,
    error::ApiError,
    form::{Accept, Params, Segments},
};
use crate::opened::opened;

/// How often a proof is tried, and the pause in between: the newest state may lack its certificate for
/// a moment.
const TRIES: usize = 60;
const PAUSE: Duration = Duration::from_millis(50);

/// A chart. Signed by any member, by its controller or proxy, or by a guardian or successor.
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
    if caller.organisation().is_none() && !caller.acts_in(chart) && !caller.recovers(chart) {
        return Err(ApiError::forbidden("members, and those who have a part in the chart"));
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
    if !caller.is_at_home(chart, &entry) && !is_grantee(&node, &caller, chart, grant).await? {
        return Err(ApiError::forbidden(
            "the chart's controller and organisation, and the grantee's",
        ));
    }
    Ok(accept.answer(&prove(&node, &Key::Grant(chart, grant)).await?))
}

/// Whether the grant is for the caller's organisation or someone in it.
pub async fn is_grantee(
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
/// Signed by those at home in the chart, or by a member of an organisation that has opened the record.
#[utoipa::path(get, path = "/v1/charts/{chart}/record-states/{record}",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("record" = String, Path, description = "RecordId in hexadecimal digits"),
        ("access" = Option<u64>, Query, description = "Place of an accepted access of the asker's organisation"),
        ("position" = Option<u64>, Query, description = "Place of a version of the record that it asks for"),
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
    Params(through): Params<Through>,
) -> Result<Response, ApiError> {
    may_follow(&node, &caller, chart, Some(record), &through).await?;
    Ok(accept.answer(&prove(&node, &Key::RecordState(chart, record)).await?))
}

/// The sign-off of a record: its rule, and who has signed. Signed by those at home in the chart, by the organisation
/// that the record is from, or by whom the rule names.
#[utoipa::path(get, path = "/v1/charts/{chart}/proposals/{record}",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("record" = String, Path, description = "RecordId in hexadecimal digits"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of it, or of its absence"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn proposal(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments((chart, record)): Segments<(ChartId, RecordId)>,
) -> Result<Response, ApiError> {
    let is_at_home = caller.is_at_home(chart, &node.chart(chart).await?);
    if !is_at_home && !is_party(&node, &caller, chart, record).await? {
        return Err(ApiError::forbidden(
            "the chart's controller and organisation, and the parties to the sign-off",
        ));
    }
    Ok(accept.answer(&prove(&node, &Key::Proposal(chart, record)).await?))
}

/// Whether the caller is a party to the sign-off of a record: of its organisation, named by its rule, or one who has
/// signed.
pub async fn is_party(
    node: &Node,
    caller: &Caller,
    chart: ChartId,
    record: RecordId,
) -> Result<bool, ApiError> {
    let Some(Value::Proposal(proposal)) = node.value(Key::Proposal(chart, record)).await? else {
        return Ok(false);
    };
    let names = |who: &Approver| match *who {
        Approver::Member(id) => caller.party() == Party::Member(id),
        Approver::Administrator(id) => caller.party() == Party::Administrator(id),
        Approver::Role(_, Of::Organisation(id)) | Approver::Credential(_, Of::Organisation(id)) => {
            caller.is_of(id)
        }
        // Those of the chart are at home in it, and those of the author's organisation are asked about below.
        Approver::Role(_, Of::Author | Of::Chart)
        | Approver::Credential(_, Of::Author | Of::Chart)
        | Approver::Patient
        | Approver::Proxy
        | Approver::Author => false,
    };
    Ok(caller.is_of(proposal.organisation)
        || proposal.rule.seats().any(|place| names(&place.seat.who))
        || proposal.approvals.iter().any(|approval| approval.party == caller.party()))
}

/// A case. Signed by those at home in the chart, or by a member of an organisation that has opened the record
/// that the case is about, or any record if it is about all.
#[utoipa::path(get, path = "/v1/charts/{chart}/cases/{case}",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("case" = String, Path, description = "CaseId in hexadecimal digits"),
        ("access" = Option<u64>, Query, description = "Place of an accepted access of the asker's organisation"),
        ("position" = Option<u64>, Query, description = "Place of a version of the record that it asks for"),
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
    Params(through): Params<Through>,
) -> Result<Response, ApiError> {
    let key = Key::Case(chart, case);
    let about = match node.value(key).await? {
        Some(Value::Case(entry)) => entry.record,
        Some(_) | None => None,
    };
    may_follow(&node, &caller, chart, about, &through).await?;
    Ok(accept.answer(&prove(&node, &key).await?))
}

/// Through which access someone from elsewhere learns what became of what it has opened.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Through {
    /// Place of an accepted access in the chart's log.
    access: Option<LogPosition>,
    /// Place of a record that it asks for.
    position: Option<LogPosition>,
}

/// Whether the caller may follow what becomes of a record, or of a chart as a whole: at home in the chart, or of
/// an organisation that has opened the record at any time, and has to be told.
async fn may_follow(
    node: &Node,
    caller: &Caller,
    chart: ChartId,
    record: Option<RecordId>,
    through: &Through,
) -> Result<(), ApiError> {
    if caller.is_at_home(chart, &node.chart(chart).await?) {
        return Ok(());
    }
    let forbidden = || {
        ApiError::forbidden(
            "the chart's controller and organisation, and organisations that have opened the record (`access`, and the `position` of a version of it)",
        )
    };
    let access = through.access.ok_or_else(forbidden)?;
    let opened = opened(&node.core, &*node.reader, chart, access).await.map_err(|_| forbidden())?;
    let Party::Member(reader) = opened.reader else { return Err(forbidden()) };
    let is_own = match node.value(Key::Member(reader)).await? {
        Some(Value::Member(reader)) => caller.is_of(reader.organisation),
        Some(_) | None => false,
    };
    if !is_own {
        return Err(forbidden());
    }
    let Some(record) = record else { return Ok(()) };
    let position = through.position.ok_or_else(forbidden)?;
    let line = node.core.index.log(chart, position)?;
    let entry = line.and_then(|line| line.record).ok_or_else(forbidden)?;
    let has_opened = entry.original == record && opened.covers(position, &entry);
    if has_opened { Ok(()) } else { Err(forbidden()) }
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
    if caller.organisation().is_none() && !caller.acts_in(chart) {
        return Err(ApiError::forbidden("members, and the chart's controller and proxies"));
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
        Party::Controller(_)
        | Party::Claimant(_)
        | Party::Custodian(_)
        | Party::Proxy(..)
        | Party::Guardian(_)
        | Party::Successor(_)
        | Party::Validator(_) => Ok(false),
    }
}

/// Who guards a chart. Signed by those at home in the chart, or by a guardian or successor.
#[utoipa::path(get, path = "/v1/charts/{chart}/guardians",
    params(("chart" = String, Path, description = "ChartId in hexadecimal digits")),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of it, or of its absence"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn guardians(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments(chart): Segments<ChartId>,
) -> Result<Response, ApiError> {
    at_home_or_guarding(&node, &caller, chart).await?;
    Ok(accept.answer(&prove(&node, &Key::Guardians(chart)).await?))
}

/// The recoveries of a chart that wait. Signed as for its guardians.
#[utoipa::path(get, path = "/v1/charts/{chart}/recoveries",
    params(("chart" = String, Path, description = "ChartId in hexadecimal digits")),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of it, or of its absence"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn recoveries(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments(chart): Segments<ChartId>,
) -> Result<Response, ApiError> {
    at_home_or_guarding(&node, &caller, chart).await?;
    Ok(accept.answer(&prove(&node, &Key::Recoveries(chart)).await?))
}

/// Who acts for the patient of a chart. Signed by those at home in the chart.
#[utoipa::path(get, path = "/v1/charts/{chart}/proxies",
    params(("chart" = String, Path, description = "ChartId in hexadecimal digits")),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of it, or of its absence"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn proxies(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments(chart): Segments<ChartId>,
) -> Result<Response, ApiError> {
    at_home(&node, &caller, chart).await?;
    Ok(accept.answer(&prove(&node, &Key::Proxies(chart)).await?))
}

/// Whether the caller is at home in the chart, or has a part in a recovery of it.
pub async fn at_home_or_guarding(
    node: &Node,
    caller: &Caller,
    chart: ChartId,
) -> Result<(), ApiError> {
    if guards(node, caller, chart).await? {
        return Ok(());
    }
    at_home(node, caller, chart).await
}

/// Whether the caller has a part in a recovery of the chart: with a key of its own, or as a member.
pub async fn guards(node: &Node, caller: &Caller, chart: ChartId) -> Result<bool, ApiError> {
    if caller.recovers(chart) {
        return Ok(true);
    }
    let Party::Member(id) = caller.party() else { return Ok(false) };
    let value = node.value(Key::Guardians(chart)).await?;
    let Some(Value::Guardians(guardians)) = value else { return Ok(false) };
    Ok(guardians.policy.place_of(&Guardian::Member(id)).is_some())
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

/// Refuses whoever is not at home in the chart.
pub async fn at_home(node: &Node, caller: &Caller, chart: ChartId) -> Result<(), ApiError> {
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

//! The rules of a chart, value by value and with proof: whoever has them can decide for themselves who may read.
//!
//! Not here: what is proven elsewhere ([`super::charts`]), and the rule itself (`keepwell_ledger::consent`).

use std::sync::Arc;

use axum::{extract::State, response::Response};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use keepwell_ledger::state::Key;
use keepwell_types::{
    grant::Grantee,
    id::{ChartId, GroupId, OrganisationId},
};

use super::{
    Node,
    auth::Caller,
    charts::{at_home, prove},
    error::ApiError,
    form::{Accept, Segments},
};

/// Bytes of an encoded grantee.
const GRANTEE_BYTES_MAX: usize = 64;

/// The grants that someone has in a chart and that are not revoked. Signed by those at home in the chart.
#[utoipa::path(get, path = "/v1/charts/{chart}/subjects/{grantee}",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("grantee" = String, Path, description = "Base64url, without padding, of the canonical Grantee"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of the list, or of its absence"),
        (status = 400, body = super::error::ErrorBody),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn subject(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments((chart, grantee)): Segments<(ChartId, String)>,
) -> Result<Response, ApiError> {
    at_home(&node, &caller, chart).await?;
    let grantee = read_grantee(&grantee)?;
    Ok(accept.answer(&prove(&node, &Key::Subject(chart, grantee)).await?))
}

fn read_grantee(text: &str) -> Result<Grantee, ApiError> {
    let malformed =
        || ApiError::malformed("the grantee is not the base64url of a canonical Grantee");
    if text.len() > GRANTEE_BYTES_MAX * 4 / 3 + 4 {
        return Err(malformed());
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed())?;
    keepwell_types::decode(&bytes, GRANTEE_BYTES_MAX).map_err(|_| malformed())
}

/// Up to where grants in a chart do not reach the readers of an organisation. Signed by those at home in the
/// chart.
#[utoipa::path(get, path = "/v1/charts/{chart}/cutoffs/{organisation}",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("organisation" = String, Path, description = "OrganisationId in hexadecimal digits"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of it, or of its absence"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn cutoff(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments((chart, organisation)): Segments<(ChartId, OrganisationId)>,
) -> Result<Response, ApiError> {
    at_home(&node, &caller, chart).await?;
    Ok(accept.answer(&prove(&node, &Key::Cutoff(chart, organisation)).await?))
}

/// The care teams of a chart. Signed by those at home in the chart.
#[utoipa::path(get, path = "/v1/charts/{chart}/teams",
    params(("chart" = String, Path, description = "ChartId in hexadecimal digits")),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of them, or of their absence"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
    ))]
pub async fn teams(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments(chart): Segments<ChartId>,
) -> Result<Response, ApiError> {
    at_home(&node, &caller, chart).await?;
    Ok(accept.answer(&prove(&node, &Key::Teams(chart)).await?))
}

/// A group of members: whose it is, and for which purposes it reads. Signed by any member or by the controller
/// of any chart.
#[utoipa::path(get, path = "/v1/groups/{group}",
    params(("group" = String, Path, description = "GroupId in hexadecimal digits")),
    responses(
        (status = 200, content_type = "application/cbor", description = "StateProof of the group, or of its absence"),
        (status = 401, body = super::error::ErrorBody),
    ))]
pub async fn group(
    State(node): State<Arc<Node>>,
    _: Caller,
    accept: Accept,
    Segments(group): Segments<GroupId>,
) -> Result<Response, ApiError> {
    Ok(accept.answer(&prove(&node, &Key::Group(group)).await?))
}

#[cfg(test)]
mod tests {
    use keepwell_types::{id::MemberId, member::Role};

    use super::*;

    #[test]
    fn a_grantee_is_read_in_its_one_encoding() {
        for grantee in [
            Grantee::Everyone,
            Grantee::Member(MemberId([7; 16])),
            Grantee::Role { organisation: OrganisationId([1; 16]), role: Role::Nurse },
        ] {
            let text = BASE64_URL_SAFE_NO_PAD.encode(keepwell_types::encode(&grantee));
            assert_eq!(read_grantee(&text).ok(), Some(grantee));
            assert!(read_grantee(&format!("{text}=")).is_err());
            assert!(read_grantee(&text[..text.len() - 1]).is_err());
        }
        for hostile in ["", "_", "!", &"A".repeat(10_000), "../../charts"] {
            assert!(read_grantee(hostile).is_err(), "{hostile:.20}");
        }
    }
}

//! Who asks: the signed request in the `authorization` header, and what the state says of its signer.
//!
//! ```text
//! authorization: Keepwell <base64url, no padding, of the canonical SignedRequest>
//! ```
//!
//! # Invariants
//!
//! * Nothing is answered to a [`Caller`] but what a request was signed for: its method, path, query and
//!   body, at this organisation's node in this consortium, once, now.
//! * The cheap refusals come first: lengths, then form, then clock, then the signature, then the memory
//!   of requests, then the state. A body is read after all of them.
//!
//! Not here: what a caller may ask for, which each path decides.

use std::sync::Arc;

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Request as HttpRequest},
    http::{StatusCode, header::AUTHORIZATION, request::Parts},
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::BytesMut;
use futures::StreamExt as _;
use keepwell_crypto::request::{VerifiedRequest, body_digest, verify};
use keepwell_ledger::state::{Chart, Key, Value};
use keepwell_types::{
    guardian::Guardian,
    id::{ChartId, Digest, OrganisationId, PublicKey},
    limits::REQUEST_SKEW_MS_MAX,
    member::Party,
    validators::sits,
    wire::SignedRequest,
};

use super::{Node, error::ApiError, requests::Stale};

/// Bytes of an encoded signed request.
const REQUEST_BYTES_MAX: usize = 2_048;
/// Begins the header.
const SCHEME: &str = "Keepwell ";

/// Whoever signed a request, with the standing that the newest state gives them.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Caller {
    party: Party,
    organisation: Option<OrganisationId>,
    accountable: OrganisationId,
}

impl Caller {
    /// Who signed.
    pub const fn party(&self) -> Party {
        self.party
    }

    /// For whom they act; nothing for whoever controls a chart.
    pub const fn organisation(&self) -> Option<OrganisationId> {
        self.organisation
    }

    /// The organisation that answers for them: the one they act for; for whoever controls a chart, the
    /// chart's.
    pub const fn accountable(&self) -> OrganisationId {
        self.accountable
    }

    /// Whether they act for this organisation.
    pub fn is_of(&self, organisation: OrganisationId) -> bool {
        self.organisation == Some(organisation)
    }

    /// Whether they control this chart.
    pub fn controls(&self, chart: ChartId) -> bool {
        self.party == Party::Controller(chart)
    }

    /// Whether they control this chart, or act for its patient.
    pub fn acts_in(&self, chart: ChartId) -> bool {
        matches!(self.party, Party::Controller(it) | Party::Proxy(it, _) if it == chart)
    }

    /// Whether they have a part in a recovery of this chart, with a key made for it: as guardian or successor.
    pub fn recovers(&self, chart: ChartId) -> bool {
        matches!(self.party, Party::Guardian(it) | Party::Successor(it) if it == chart)
    }

    /// Whether they control the chart, act for its patient or for its organisation.
    pub fn is_at_home(&self, chart: ChartId, entry: &Chart) -> bool {
        self.acts_in(chart) || self.is_of(entry.organisation)
    }
}

impl FromRequestParts<Arc<Node>> for Caller {
    type Rejection = ApiError;

    /// A caller of a path without a body, or one whose body is streamed.
    async fn from_request_parts(parts: &mut Parts, node: &Arc<Node>) -> Result<Self, ApiError> {
        let (caller, body) = authenticate(parts, node).await?;
        check_body(&body, &[])?;
        Ok(caller)
    }
}

/// A caller with the whole body that they signed, of at most `MAX` bytes.
pub struct Signed<const MAX: usize> {
    /// Who signed.
    pub caller: Caller,
    /// The body.
    pub body: Bytes,
}

impl<const MAX: usize> FromRequest<Arc<Node>> for Signed<MAX> {
    type Rejection = ApiError;

    async fn from_request(request: HttpRequest, node: &Arc<Node>) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let (caller, digest) = authenticate(&parts, node).await?;
        let body = read_body(body, MAX).await?;
        check_body(&digest, &body)?;
        Ok(Self { caller, body })
    }
}

/// Reads a whole body of at most `max` bytes.
pub async fn read_body(body: Body, max: usize) -> Result<Bytes, ApiError> {
    let mut stream = body.into_data_stream();
    let mut whole = BytesMut::new();
    while let Some(piece) = stream.next().await {
        let piece = piece
            .map_err(|_| ApiError::malformed("the body broke off before its end; send it again"))?;
        if whole.len() + piece.len() > max {
            return Err(ApiError::too_long(max as u64));
        }
        whole.extend_from_slice(&piece);
    }
    Ok(whole.freeze())
}

fn unauthorized(code: &'static str, message: impl Into<String>) -> ApiError {
    ApiError::client(StatusCode::UNAUTHORIZED, code, message)
}

fn check_body(signed: &Digest, body: &[u8]) -> Result<(), ApiError> {
    if *signed == body_digest(body) {
        return Ok(());
    }
    Err(unauthorized("wrong_body", "the body is not the one that was signed; sign what is sent"))
}

#[tracing::instrument(name = "authenticate", skip_all)]
async fn authenticate(parts: &Parts, node: &Node) -> Result<(Caller, Digest), ApiError> {
    let signed = read_header(parts)?;
    let request = &signed.request;
    if request.chain != node.core.chain {
        let (given, ours) = (request.chain, node.core.chain);
        let message = format!(
            "the request is for consortium {given}, this is {ours}; check which genesis file the client uses"
        );
        return Err(unauthorized("wrong_chain", message));
    }
    let ours = node.custody.organisation();
    if request.node != ours {
        let message = format!(
            "the request is for a node of organisation {}, this is one of {ours}; check the nodes that the client was given",
            request.node
        );
        return Err(unauthorized("wrong_node", message));
    }
    if request.target.as_str() != target(parts) {
        let message =
            "the request was signed for another method, path or query; sign exactly what is sent";
        return Err(unauthorized("wrong_target", message));
    }
    let now = node.clock.now();
    let (at, party, id) = (request.at, request.party, request.id);
    if at.ms_since(now).max(now.ms_since(at)) > REQUEST_SKEW_MS_MAX {
        return Err(Stale::Skew { given: at, now, max_ms: REQUEST_SKEW_MS_MAX }.into());
    }
    let verified =
        verify(signed).map_err(|error| unauthorized("bad_signature", error.to_string()))?;
    let caller = standing(node, party, &verified).await?;
    node.requests.take(now, (caller.accountable, party), id, at)?;
    Ok((caller, verified.request().body))
}

/// What was asked for, as it was signed.
fn target(parts: &Parts) -> String {
    let path = parts.uri.path_and_query().map_or("/", |it| it.as_str());
    format!("{} {path}", parts.method)
}

fn read_header(parts: &Parts) -> Result<SignedRequest, ApiError> {
    let malformed = || {
        let message = "the authorization header is not `Keepwell <base64url of a signed request>`";
        unauthorized("malformed_request", message)
    };
    let Some(header) = parts.headers.get(AUTHORIZATION) else {
        return Err(unauthorized("unsigned", "this path takes signed requests only; sign it"));
    };
    let text = header.to_str().ok().and_then(|it| it.strip_prefix(SCHEME)).ok_or_else(malformed)?;
    if text.len() > REQUEST_BYTES_MAX * 4 / 3 + 4 {
        return Err(malformed());
    }
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed())?;
    keepwell_types::decode(&bytes, REQUEST_BYTES_MAX).map_err(|_| malformed())
}

impl From<Stale> for ApiError {
    fn from(stale: Stale) -> Self {
        let message = stale.to_string();
        match stale {
            Stale::Skew { .. } => unauthorized("skew", message),
            Stale::Replayed => unauthorized("replayed", message),
            Stale::TooMany { .. } => {
                Self::client(StatusCode::TOO_MANY_REQUESTS, "too_many", message)
            }
        }
    }
}

/// What the newest state says of whoever signed.
async fn standing(
    node: &Node,
    party: Party,
    verified: &VerifiedRequest,
) -> Result<Caller, ApiError> {
    let (key, now) = (*verified.key(), node.core.tip().time());
    match party {
        Party::Member(id) => {
            let Some(Value::Member(member)) = node.value(Key::Member(id)).await? else {
                return Err(not_signers_key());
            };
            check_its_key(member.signs_with(&key, now))?;
            let suspended = member.suspended || node.is_suspended(member.organisation).await?;
            check_standing(suspended)?;
            let organisation = member.organisation;
            Ok(Caller { party, organisation: Some(organisation), accountable: organisation })
        }
        Party::Controller(id) => {
            let Some(Value::Chart(chart)) = node.value(Key::Chart(id)).await? else {
                return Err(not_signers_key());
            };
            check_its_key(chart.keys.signing == key)?;
            Ok(Caller { party, organisation: None, accountable: chart.organisation })
        }
        Party::Proxy(chart, _) | Party::Guardian(chart) | Party::Successor(chart) => {
            check_key_for_chart(node, party, chart, key).await?;
            let accountable = node.chart(chart).await?.organisation;
            Ok(Caller { party, organisation: None, accountable })
        }
        Party::Administrator(id) => {
            let Some(Value::Organisation(entry)) = node.value(Key::Organisation(id)).await? else {
                return Err(not_signers_key());
            };
            check_its_key(entry.has_administrator(&key, now))?;
            check_standing(entry.suspended)?;
            Ok(Caller { party, organisation: Some(id), accountable: id })
        }
        Party::Custodian(id) => {
            let Some(Value::Organisation(entry)) = node.value(Key::Organisation(id)).await? else {
                return Err(not_signers_key());
            };
            check_its_key(entry.has_custodian(&key, now))?;
            Ok(Caller { party, organisation: Some(id), accountable: id })
        }
        Party::Validator(id) => {
            let present = match node.value(Key::Validators).await? {
                Some(Value::Validators(it)) => sits(&it.set.seats, id, &key),
                Some(_) | None => false,
            };
            let next = match node.value(Key::Changing).await? {
                Some(Value::Changing(it)) => sits(&it.seats, id, &key),
                Some(_) | None => false,
            };
            check_its_key(present || next)?;
            // It speaks for no member and no chart of its organisation.
            Ok(Caller { party, organisation: None, accountable: id })
        }
        Party::Claimant(_) => {
            let message =
                "whoever holds a claim code claims the chart first, then asks as its controller";
            Err(unauthorized("claimant", message))
        }
    }
}

/// Whether `key` is the one with which the party acts in the chart, now.
async fn check_key_for_chart(
    node: &Node,
    party: Party,
    chart: ChartId,
    key: PublicKey,
) -> Result<(), ApiError> {
    let now = node.core.tip().time();
    let is_its_key = match party {
        Party::Proxy(_, id) => match node.value(Key::Proxies(chart)).await? {
            Some(Value::Proxies(proxies)) => proxies
                .all
                .iter()
                .any(|it| it.proxy == id && it.signing == key && it.terms.window.contains(now)),
            Some(_) | None => false,
        },
        Party::Guardian(_) => match node.value(Key::Guardians(chart)).await? {
            Some(Value::Guardians(it)) => it.policy.place_of(&Guardian::Key(key)).is_some(),
            Some(_) | None => false,
        },
        Party::Successor(_) => match node.value(Key::Recoveries(chart)).await? {
            Some(Value::Recoveries(it)) => {
                it.open.iter().any(|open| open.successor == key && now < open.until)
            }
            Some(_) | None => false,
        },
        Party::Member(_)
        | Party::Controller(_)
        | Party::Claimant(_)
        | Party::Administrator(_)
        | Party::Custodian(_)
        | Party::Validator(_) => false,
    };
    check_its_key(is_its_key)
}

fn check_its_key(is_its_key: bool) -> Result<(), ApiError> {
    if is_its_key { Ok(()) } else { Err(not_signers_key()) }
}

fn check_standing(suspended: bool) -> Result<(), ApiError> {
    if !suspended {
        return Ok(());
    }
    let message =
        "the signer or its organisation is suspended; ask the organisation's administrator";
    Err(ApiError::ledger(StatusCode::FORBIDDEN, "suspended", message))
}

/// One answer for an unknown signer and for a wrong key, so that a stranger learns nothing.
fn not_signers_key() -> ApiError {
    unauthorized(
        "not_signers_key",
        "the key that signed is not the signer's at this node's newest block",
    )
}

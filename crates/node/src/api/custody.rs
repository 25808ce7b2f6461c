//! Sealed objects: storing them, and fetching them.

use std::sync::Arc;

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE},
    },
    response::{IntoResponse as _, Response},
};
use keepwell_ledger::state::{Chart, RecordEntry};
use keepwell_types::{
    encoding::{Blob, List},
    id::{ChartId, Digest, Height, LogPosition, RecordId, Version},
    limits::{CAPSULE_BYTES_MAX, RELEASE_CAPSULES_MAX},
    member::Party,
    wire::{CapsuleAnswer, CapsuleRequest},
};
use object_store::GetRange;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Node,
    auth::{Caller, Signed},
    charts::{at_home_or_guarding, guards},
    error::ApiError,
    form::{Accept, Params, Segments, cbor},
    logs::By,
};
use crate::{
    custody::{
        ANY_SMALL_BYTES_MAX, UNNAMED_MS_MAX,
        incoming::Incoming,
        quota::Author,
        store::{RecordObject, SmallKind, SmallObject},
    },
    opened::{Opened, opened},
};

/// Bytes of a request for capsules: positions alone.
const CAPSULE_REQUEST_BYTES_MAX: usize = 9 * RELEASE_CAPSULES_MAX + 64;
/// Age of an access, in milliseconds of block time, from which on a custodian serves nothing for it.
const ACCESS_AGE_MS_MAX: u64 = UNNAMED_MS_MAX;

/// A stored body.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stored {
    /// Root of the tree of its chunks, in hexadecimal digits.
    #[schema(value_type = String)]
    content: Digest,
    /// Its bytes.
    sealed_bytes: u64,
}

/// A stored small object.
#[derive(Debug, Serialize, ToSchema)]
pub struct Digested {
    /// The digest that the ledger names it by, in hexadecimal digits.
    #[schema(value_type = String)]
    digest: Digest,
}

/// Which small object.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kind {
    kind: KindName,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum KindName {
    Sheet,
    Seeds,
    Table,
    Words,
    Guardians,
    Share,
    Ahead,
    Escrow,
}

impl Kind {
    const fn small(&self) -> SmallKind {
        match self.kind {
            KindName::Sheet => SmallKind::Sheet,
            KindName::Seeds => SmallKind::Seeds,
            KindName::Table => SmallKind::Table,
            KindName::Words => SmallKind::Words,
            KindName::Guardians => SmallKind::Guardians,
            KindName::Share => SmallKind::Share,
            KindName::Ahead => SmallKind::Ahead,
            KindName::Escrow => SmallKind::Escrow,
        }
    }
}

/// Whoever may author in the chart, which this custodian must store for.
async fn author(node: &Node, caller: &Caller, chart: ChartId) -> Result<Author, ApiError> {
    let entry = node.chart(chart).await?;
    let contributes = caller.organisation().is_some_and(|it| entry.contributors.contains(&it));
    if !caller.is_at_home(chart, &entry) && !contributes {
        return Err(ApiError::forbidden(
            "the chart's controller, its organisation and its contributors",
        ));
    }
    check_custodian(node, &entry)?;
    Ok(author_of(caller))
}

fn check_custodian(node: &Node, chart: &Chart) -> Result<(), ApiError> {
    if chart.custodians.contains(&node.custody.organisation()) {
        return Ok(());
    }
    let message = "this organisation is not a custodian of the chart; use one that the chart names";
    Err(ApiError::ledger(StatusCode::FORBIDDEN, "not_custodian", message))
}

const fn author_of(caller: &Caller) -> Author {
    Author { party: caller.party(), organisation: caller.accountable() }
}

/// How long the body is, as it was declared: for so much room is set aside before it comes.
fn declared(headers: &HeaderMap) -> Result<u64, ApiError> {
    let length = headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok()?.parse().ok());
    length.ok_or_else(|| {
        let message = "a body is stored only if its length is known; send content-length";
        ApiError::client(StatusCode::LENGTH_REQUIRED, "length_required", message)
    })
}

/// Stores a record's body as it comes; an entry must name it within 24 h. Signed, over no body, by
/// whoever may author in the chart.
#[utoipa::path(put, path = "/v1/charts/{chart}/records/{record}/{version}/body",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("record" = String, Path, description = "RecordId in hexadecimal digits"),
        ("version" = u32, Path, description = "1, 2, ..."),
    ),
    request_body(content_type = "application/octet-stream", description = "The sealed body"),
    responses(
        (status = 200, body = Stored),
        (status = 400, body = super::error::ErrorBody), (status = 401, body = super::error::ErrorBody),
        (status = 403, body = super::error::ErrorBody), (status = 408, body = super::error::ErrorBody),
        (status = 409, body = super::error::ErrorBody), (status = 411, body = super::error::ErrorBody),
        (status = 413, body = super::error::ErrorBody), (status = 429, body = super::error::ErrorBody),
        (status = 507, body = super::error::ErrorBody),
    ))]
pub async fn put_body(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Segments((chart, record, version)): Segments<(ChartId, RecordId, Version)>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Stored>, ApiError> {
    let author = author(&node, &caller, chart).await?;
    let object = RecordObject { chart, record, version };
    let now = node.clock.now();
    let incoming = Incoming::new(body.into_data_stream(), declared(&headers)?);
    let stored = node.custody.put_body(object, author, now, incoming).await?;
    Ok(Json(Stored { content: stored.content, sealed_bytes: stored.sealed_bytes }))
}

/// Stores a record's capsule beside its body, and acknowledges both. Signed by whoever sent the body.
#[utoipa::path(put, path = "/v1/charts/{chart}/records/{record}/{version}/capsule",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("record" = String, Path, description = "RecordId in hexadecimal digits"),
        ("version" = u32, Path, description = "1, 2, ..."),
    ),
    request_body(content_type = "application/cbor", description = "SaltedCapsule"),
    responses(
        (status = 200, content_type = "application/cbor", description = "CustodyAcknowledgement"),
        (status = 400, body = super::error::ErrorBody), (status = 401, body = super::error::ErrorBody),
        (status = 403, body = super::error::ErrorBody), (status = 409, body = super::error::ErrorBody),
        (status = 507, body = super::error::ErrorBody),
    ))]
pub async fn put_capsule(
    State(node): State<Arc<Node>>,
    Segments((chart, record, version)): Segments<(ChartId, RecordId, Version)>,
    accept: Accept,
    Signed { caller, body }: Signed<CAPSULE_BYTES_MAX>,
) -> Result<Response, ApiError> {
    let author = author(&node, &caller, chart).await?;
    let object = RecordObject { chart, record, version };
    Ok(accept.answer(&node.custody.put_capsule(object, author.party, body).await?))
}

/// The record at a position, if the caller may have its sealed object.
async fn record_for(
    node: &Node,
    caller: &Caller,
    chart: ChartId,
    position: LogPosition,
    access: Option<LogPosition>,
) -> Result<RecordObject, ApiError> {
    let entry = node.chart(chart).await?;
    let record = if caller.is_at_home(chart, &entry) || is_custodian(caller, &entry) {
        record_at(node, chart, position)?
    } else {
        check_access(node, caller, chart, position, access).await?
    };
    Ok(RecordObject { chart, record: record.record, version: record.version })
}

fn is_custodian(caller: &Caller, chart: &Chart) -> bool {
    match caller.party() {
        Party::Administrator(organisation) | Party::Custodian(organisation) => {
            chart.custodians.contains(&organisation)
        }
        Party::Member(_)
        | Party::Controller(_)
        | Party::Claimant(_)
        | Party::Proxy(..)
        | Party::Guardian(_)
        | Party::Successor(_)
        | Party::Validator(_) => false,
    }
}

/// The record at a position of a chart's log.
pub fn record_at(
    node: &Node,
    chart: ChartId,
    position: LogPosition,
) -> Result<RecordEntry, ApiError> {
    let line = node.core.index.log(chart, position)?;
    line.and_then(|line| line.record).ok_or_else(|| ApiError::not_found("the record"))
}

fn no_access() -> ApiError {
    ApiError::forbidden(
        "the chart's controller and organisation, and the reader of an accepted access of the last 24 hours that asks for it (`access`)",
    )
}

/// The accepted access at `access`, if it is the caller's and younger than a day.
pub async fn access_of(
    node: &Node,
    caller: &Caller,
    chart: ChartId,
    access: Option<LogPosition>,
) -> Result<Opened, ApiError> {
    let access = access.ok_or_else(no_access)?;
    let opened = opened(&node.core, &*node.reader, chart, access).await.map_err(|_| no_access())?;
    let age_ms = node.core.tip().time().ms_since(opened.time);
    let is_good = opened.reader == caller.party() && age_ms < ACCESS_AGE_MS_MAX;
    if is_good { Ok(opened) } else { Err(no_access()) }
}

/// The record at a position, if an access asks for it.
fn covered(
    node: &Node,
    chart: ChartId,
    position: LogPosition,
    opened: &Opened,
) -> Result<RecordEntry, ApiError> {
    let record = record_at(node, chart, position).map_err(|_| no_access())?;
    if opened.covers(position, &record) { Ok(record) } else { Err(no_access()) }
}

/// The record at a position, if the accepted access at `access` is the caller's, asks for it, and is
/// younger than a day.
pub async fn check_access(
    node: &Node,
    caller: &Caller,
    chart: ChartId,
    position: LogPosition,
    access: Option<LogPosition>,
) -> Result<RecordEntry, ApiError> {
    covered(node, chart, position, &access_of(node, caller, chart, access).await?)
}

/// Capsules of records, as many as are released at one time. Signed by those at home in the chart, a
/// custodian's administrator, or the reader of an accepted access that asks for all of them.
#[utoipa::path(post, path = "/v1/charts/{chart}/capsules",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("access" = Option<u64>, Query, description = "Place of an accepted access of the asker"),
    ),
    request_body(content_type = "application/cbor", description = "CapsuleRequest"),
    responses(
        (status = 200, content_type = "application/cbor", description = "CapsuleAnswer"),
        (status = 400, body = super::error::ErrorBody),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
        (status = 404, body = super::error::ErrorBody),
    ))]
pub async fn capsules(
    State(node): State<Arc<Node>>,
    Segments(chart): Segments<ChartId>,
    Params(by): Params<By>,
    accept: Accept,
    Signed { caller, body }: Signed<CAPSULE_REQUEST_BYTES_MAX>,
) -> Result<Response, ApiError> {
    let request: CapsuleRequest = keepwell_types::decode(&body, CAPSULE_REQUEST_BYTES_MAX)
        .map_err(|error| ApiError::malformed(format!("not a request for capsules: {error}")))?;
    let entry = node.chart(chart).await?;
    let by_access = if caller.is_at_home(chart, &entry) || is_custodian(&caller, &entry) {
        None
    } else {
        Some(access_of(&node, &caller, chart, by.access).await?)
    };
    let mut capsules = List::new();
    for position in request.positions.iter() {
        let record = match &by_access {
            None => record_at(&node, chart, *position)?,
            Some(opened) => covered(&node, chart, *position, opened)?,
        };
        let object = RecordObject { chart, record: record.record, version: record.version };
        let capsule = node.custody.capsule(&object).await.unwrap_or_else(|error| {
            // One that cannot be read does not keep the others from their reader; another custodian may have it.
            tracing::error!(%error, "a capsule could not be read");
            None
        });
        let capsule = capsule.and_then(|bytes| Blob::from_vec(bytes.into()).ok());
        capsules.push(capsule).expect("as many as were asked for");
    }
    Ok(accept.answer(&CapsuleAnswer { capsules }))
}

/// A record's body, or a stretch of it (`range: bytes=`). Signed as for capsules.
#[utoipa::path(get, path = "/v1/charts/{chart}/records/{position}/body",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("position" = u64, Path, description = "Place of its `record.add` in the log"),
        ("access" = Option<u64>, Query, description = "Place of an accepted access of the asker"),
    ),
    responses(
        (status = 200, content_type = "application/octet-stream", description = "The sealed body"),
        (status = 206, content_type = "application/octet-stream", description = "A stretch of it"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
        (status = 404, body = super::error::ErrorBody), (status = 416, body = super::error::ErrorBody),
    ))]
pub async fn body(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Segments((chart, position)): Segments<(ChartId, LogPosition)>,
    Params(by): Params<By>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let object = record_for(&node, &caller, chart, position, by.access).await?;
    let range = headers.get(RANGE).map(read_range).transpose()?;
    let partial = range.is_some();
    if partial {
        let len = record_at(&node, chart, position)?.sealed_bytes;
        check_range(range.as_ref(), len)?;
    }
    let stretch = node.custody.body(&object, range).await?;
    let mut response = Body::from_stream(stretch.bytes).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, (stretch.range.end - stretch.range.start).into());
    if partial {
        let (start, end) = (stretch.range.start, stretch.range.end - 1);
        let range = format!("bytes {start}-{end}/{}", stretch.len);
        let range = HeaderValue::from_str(&range).expect("digits and punctuation are a header");
        headers.insert(CONTENT_RANGE, range);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

/// Which block asks.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskedBy {
    /// Its height.
    block: Height,
}

/// Whether the custodian still has a record whole: the leaf of the body that a block chooses, with its path,
/// or the custodian's word that it has not. Signed by those at home in the chart or by another custodian.
#[utoipa::path(get, path = "/v1/charts/{chart}/records/{position}/challenge",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("position" = u64, Path, description = "Place of its `record.add` in the log"),
        ("block" = u64, Query, description = "Height of a block after the record's"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", description = "ChallengeAnswer"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
        (status = 404, body = super::error::ErrorBody), (status = 429, body = super::error::ErrorBody),
    ))]
pub async fn challenge(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Segments((chart, position)): Segments<(ChartId, LogPosition)>,
    Params(asked): Params<AskedBy>,
    accept: Accept,
) -> Result<Response, ApiError> {
    let object = record_for(&node, &caller, chart, position, None).await?;
    let block = node.core.index.block(asked.block)?;
    let block = block.ok_or_else(|| ApiError::not_found("the block"))?;
    Ok(accept.answer(&node.custody.challenge(&object, block.id).await?))
}

/// One range of bytes (RFC 9110, section 14.1.2).
fn read_range(header: &HeaderValue) -> Result<GetRange, ApiError> {
    let malformed =
        || ApiError::malformed("the range is not one of: bytes=a-b, bytes=a-, bytes=-n");
    let text = header.to_str().ok().and_then(|it| it.strip_prefix("bytes="));
    let (first, last) = text.and_then(|it| it.split_once('-')).ok_or_else(malformed)?;
    let number = |text: &str| text.parse::<u64>().map_err(|_| malformed());
    match (first, last) {
        ("", last) => Ok(GetRange::Suffix(number(last)?)),
        (first, "") => Ok(GetRange::Offset(number(first)?)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(malformed());
            }
            Ok(GetRange::Bounded(first..last.saturating_add(1)))
        }
    }
}

fn check_range(range: Option<&GetRange>, len: u64) -> Result<(), ApiError> {
    let outside = match range {
        Some(GetRange::Bounded(it)) => it.start >= len,
        Some(GetRange::Offset(start)) => *start >= len,
        Some(GetRange::Suffix(last)) => *last == 0,
        None => false,
    };
    if !outside {
        return Ok(());
    }
    let message = format!("the body has {len} bytes; ask for a range inside of it");
    Err(ApiError::client(StatusCode::RANGE_NOT_SATISFIABLE, "range", message))
}

/// Stores a key sheet, sealed seeds, a table of them, words of a case, what guardians hold together or a share
/// of it, keys of epochs to come or what is left to emergencies (`kind`), which the ledger names by digest. Signed
/// by those at home in the chart, which names this custodian; a share by a guardian.
#[utoipa::path(put, path = "/v1/charts/{chart}/sealed",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("kind" = String, Query, description = "`sheet`, `seeds`, `table`, `words`, `guardians`, `share`, `ahead` or `escrow`"),
    ),
    request_body(content_type = "application/cbor", description = "KeySheet, SealedSeeds, SeedTable, CaseWords, GuardianEscrow, HandedShare, AheadSheet or ChartEscrow"),
    responses(
        (status = 200, body = Digested),
        (status = 400, body = super::error::ErrorBody), (status = 401, body = super::error::ErrorBody),
        (status = 403, body = super::error::ErrorBody), (status = 507, body = super::error::ErrorBody),
    ))]
pub async fn put_small(
    State(node): State<Arc<Node>>,
    Segments(chart): Segments<ChartId>,
    Params(kind): Params<Kind>,
    Signed { caller, body }: Signed<ANY_SMALL_BYTES_MAX>,
) -> Result<Json<Digested>, ApiError> {
    let entry = node.chart(chart).await?;
    let hands_over = matches!(kind.kind, KindName::Share) && guards(&node, &caller, chart).await?;
    if !hands_over && !caller.is_at_home(chart, &entry) {
        return Err(ApiError::forbidden("the chart's controller and organisation"));
    }
    check_custodian(&node, &entry)?;
    let (author, now) = (author_of(&caller), node.clock.now());
    let digest = node.custody.put_small(chart, kind.small(), author, now, body).await?;
    Ok(Json(Digested { digest }))
}

/// What [`put_small`] stored. Signed by any member, or by the chart's controller or proxy; what guardians hold
/// and shares of it, by those at home in the chart, a guardian or a successor.
#[utoipa::path(get, path = "/v1/charts/{chart}/sealed/{digest}",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("digest" = String, Path, description = "Digest in hexadecimal digits"),
        ("kind" = String, Query, description = "`sheet`, `seeds`, `table`, `words`, `guardians`, `share`, `ahead` or `escrow`"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", description = "KeySheet, SealedSeeds, SeedTable, CaseWords, GuardianEscrow, HandedShare, AheadSheet or ChartEscrow"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
        (status = 404, body = super::error::ErrorBody),
    ))]
pub async fn small(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Segments((chart, digest)): Segments<(ChartId, Digest)>,
    Params(kind): Params<Kind>,
) -> Result<Response, ApiError> {
    match kind.small() {
        SmallKind::Sheet
        | SmallKind::Seeds
        | SmallKind::Table
        | SmallKind::Words
        | SmallKind::Ahead
        | SmallKind::Escrow => {
            if caller.organisation().is_none() && !caller.acts_in(chart) {
                return Err(ApiError::forbidden("members, and the chart's controller and proxies"));
            }
        }
        SmallKind::Guardians | SmallKind::Share => {
            at_home_or_guarding(&node, &caller, chart).await?;
        }
    }
    let object = SmallObject { chart, kind: kind.small(), digest };
    Ok(cbor(node.custody.small(&object).await?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_a_number() {
        let of = |value: &'static str| {
            declared(&HeaderMap::from_iter([(CONTENT_LENGTH, HeaderValue::from_static(value))]))
                .ok()
        };
        assert_eq!((of("0"), of("17"), of("-1"), of("many")), (Some(0), Some(17), None, None));
        let missing = declared(&HeaderMap::new()).unwrap_err();
        assert_eq!((missing.status().as_u16(), missing.code()), (411, "length_required"));
    }

    #[test]
    fn ranges_are_read_strictly() {
        let read = |text: &'static str| read_range(&HeaderValue::from_static(text)).ok();
        assert_eq!(read("bytes=0-0"), Some(GetRange::Bounded(0..1)));
        assert_eq!(read("bytes=5-9"), Some(GetRange::Bounded(5..10)));
        assert_eq!(read("bytes=5-"), Some(GetRange::Offset(5)));
        assert_eq!(read("bytes=-5"), Some(GetRange::Suffix(5)));
        for malformed in
            ["bytes=9-5", "bytes=", "bytes=-", "bytes=1-2,4-5", "lines=1-2", "bytes=a-b"]
        {
            assert_eq!(read(malformed), None, "{malformed}");
        }
        assert!(check_range(Some(&GetRange::Offset(10)), 10).is_err());
        assert!(check_range(Some(&GetRange::Offset(9)), 10).is_ok());
    }
}

//! The logs of charts: what was asked and decided about each, and why something would be.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use keepwell_engine::{core::Core, reader::ReadError};
use keepwell_ledger::{
    View,
    consent::{Consent, Counting, Item, Question, Reader as Asker},
    state::{Chart, ChartLog, Key, RecordEntry, Value},
};
use keepwell_merkle::chart_log;
use keepwell_types::{
    access::Purpose,
    encoding::{Blob, List},
    id::{ChartId, Compartment, Digest, LogPosition, MemberId},
    record::RecordKind,
    wire::{LOG_PAGE_MAX, LogEntry, LogPage, OPENED_PAGE_MAX, OpenedPage, PlacedReceipt},
};
use serde::Deserialize;

use super::{
    Node,
    auth::Caller,
    charts::prove,
    custody::{access_of, check_access, record_at},
    error::ApiError,
    form::{Accept, Params, Segments},
    receipts::may_see,
};
use crate::opened::Log;

/// Positions that one page of an access's records looks at.
const STRETCH_MAX: u64 = 4 * 1024;
/// Heads of logs that are remembered.
const HEADS_MAX: usize = 64 * 1024;

/// Which page.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Page {
    from: Option<u64>,
    limit: Option<usize>,
}

/// Whoever may follow a chart: at home in it. An auditor of one organisation audits its charts alone.
async fn follow(node: &Node, caller: &Caller, chart: ChartId) -> Result<Chart, ApiError> {
    let entry = node.chart(chart).await?;
    if caller.is_at_home(chart, &entry) {
        return Ok(entry);
    }
    Err(ApiError::forbidden("the chart's controller and organisation"))
}

/// A stretch of a chart's log, with proof of its head. Signed by the chart's controller or organisation.
#[utoipa::path(get, path = "/v1/charts/{chart}/log",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("from" = Option<u64>, Query, description = "First position; 0 unless given"),
        ("limit" = Option<usize>, Query, description = "Entries, at most and unless given 256"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", description = "LogPage"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
        (status = 404, body = super::error::ErrorBody),
    ))]
pub async fn page(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments(chart): Segments<ChartId>,
    Params(page): Params<Page>,
) -> Result<Response, ApiError> {
    follow(&node, &caller, chart).await?;
    let limit = page.limit.unwrap_or(LOG_PAGE_MAX);
    if limit == 0 || limit > LOG_PAGE_MAX {
        return Err(ApiError::malformed(format!("limit is a number from 1 to {LOG_PAGE_MAX}")));
    }
    let head = prove(&node, &Key::ChartLog(chart)).await?;
    let value = head.value.as_ref().and_then(|bytes| Value::decode(bytes).ok());
    let Some(Value::ChartLog(ChartLog { count, .. })) = value else {
        return Err(ReadError::Storage.into());
    };
    let from = LogPosition(page.from.unwrap_or(0).min(count.0));
    let until = count.0.min(from.0.saturating_add(limit as u64));
    let before = node.heads.before(&node.core, chart, from)?;
    let mut entries = Vec::new();
    let mut log = Log::new(&node.core, &*node.reader, chart);
    for position in from.0..until {
        let found = log.entry(LogPosition(position)).await?;
        let (entry, outcome) = found.ok_or(ReadError::NotHere)?;
        entries.push(LogEntry { entry, outcome });
    }
    let entries = List::from_vec(entries).map_err(|_| ReadError::Storage)?;
    Ok(accept.answer(&LogPage { head, from, before, entries }))
}

/// On whose access someone sees what they would not else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct By {
    /// Position of an accepted access in the chart's log.
    pub access: Option<LogPosition>,
}

/// One entry of a chart's log. Signed by those who may follow it, by its actors, or by the reader of an
/// accepted access (`access`) that asks for the record in it.
#[utoipa::path(get, path = "/v1/charts/{chart}/log/{position}",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("position" = u64, Path, description = "Place in the log, from 0"),
        ("access" = Option<u64>, Query, description = "Place of an accepted access of the asker"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", description = "LogEntry"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
        (status = 404, body = super::error::ErrorBody),
    ))]
pub async fn entry(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments((chart, position)): Segments<(ChartId, LogPosition)>,
    Params(by): Params<By>,
) -> Result<Response, ApiError> {
    Ok(accept.answer(&visible(&node, &caller, chart, position, by.access).await?))
}

/// The receipt of one entry of a chart's log. Signed by whoever may see the entry.
#[utoipa::path(get, path = "/v1/charts/{chart}/log/{position}/receipt",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("position" = u64, Path, description = "Place in the log, from 0"),
        ("access" = Option<u64>, Query, description = "Place of an accepted access of the asker"),
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
    Segments((chart, position)): Segments<(ChartId, LogPosition)>,
    Params(by): Params<By>,
) -> Result<Response, ApiError> {
    let LogEntry { outcome, .. } = visible(&node, &caller, chart, position, by.access).await?;
    let receipt = node.receipts.receipt(outcome.location).await?;
    Ok(accept.answer(&receipt.ok_or(ReadError::NotHere)?))
}

/// Which stretch.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stretch {
    from: Option<LogPosition>,
}

/// The records that an accepted access asks for, each with its receipt. Signed by the reader of the access.
#[utoipa::path(get, path = "/v1/charts/{chart}/log/{position}/records",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("position" = u64, Path, description = "Place of the access in the log"),
        ("from" = Option<u64>, Query, description = "First position to look at; 0 unless given"),
    ),
    responses(
        (status = 200, content_type = "application/cbor", description = "OpenedPage"),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
        (status = 404, body = super::error::ErrorBody),
    ))]
pub async fn records(
    State(node): State<Arc<Node>>,
    caller: Caller,
    accept: Accept,
    Segments((chart, position)): Segments<(ChartId, LogPosition)>,
    Params(stretch): Params<Stretch>,
) -> Result<Response, ApiError> {
    let opened = access_of(&node, &caller, chart, Some(position)).await?;
    let from = stretch.from.unwrap_or(LogPosition(0));
    let until = opened.open.target.end().0.min(from.0.saturating_add(STRETCH_MAX));
    let (mut next, mut records) = (from, Vec::new());
    while next.0 < until && records.len() < OPENED_PAGE_MAX {
        let Some(line) = node.core.index.log(chart, next)? else {
            next = opened.open.target.end();
            break;
        };
        if line.record.is_some_and(|record| opened.covers(next, &record)) {
            let receipt = node.receipts.receipt(line.location).await?.ok_or(ReadError::NotHere)?;
            let receipt = Blob::from_vec(receipt.encode()).map_err(|_| ReadError::Storage)?;
            records.push(PlacedReceipt { position: next, receipt });
        }
        next = LogPosition(next.0 + 1);
    }
    let records = List::from_vec(records).map_err(|_| ReadError::Storage)?;
    Ok(accept.answer(&OpenedPage { next, records }))
}

/// The entry at a position, if the caller may see it.
async fn visible(
    node: &Node,
    caller: &Caller,
    chart: ChartId,
    position: LogPosition,
    access: Option<LogPosition>,
) -> Result<LogEntry, ApiError> {
    let found = Log::new(&node.core, &*node.reader, chart).entry(position).await?;
    let (entry, outcome) = found.ok_or_else(|| ApiError::not_found("the entry"))?;
    if !may_see(node, caller, &entry).await? {
        check_access(node, caller, chart, position, access).await?;
    }
    Ok(LogEntry { entry, outcome })
}

/// What is to be explained: one record, or any of a kind in a compartment.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct What {
    member: MemberId,
    purpose: Purpose,
    record: Option<LogPosition>,
    compartment: Option<Compartment>,
    kind: Option<RecordKind>,
}

/// What an explanation is about.
enum About {
    Record(LogPosition, Box<RecordEntry>),
    Item(Item),
}

impl What {
    fn about(&self, node: &Node, chart: ChartId) -> Result<About, ApiError> {
        match (self.record, self.compartment, self.kind) {
            (Some(position), None, None) => {
                Ok(About::Record(position, Box::new(record_at(node, chart, position)?)))
            }
            (None, Some(compartment), Some(kind)) => {
                Ok(About::Item(Item { compartment, kind, record: None }))
            }
            (Some(_) | None, _, _) => {
                Err(ApiError::malformed("name a record, or a compartment and a kind"))
            }
        }
    }
}

/// Why a member may, or may not, open a record, or records of a kind in a compartment, now. Signed by the
/// chart's controller or organisation.
#[utoipa::path(get, path = "/v1/charts/{chart}/explain",
    params(
        ("chart" = String, Path, description = "ChartId in hexadecimal digits"),
        ("member" = String, Query, description = "MemberId in hexadecimal digits"),
        ("purpose" = String, Query, description = "Purpose of use, such as `TREAT`"),
        ("record" = Option<u64>, Query, description = "Place of a record in the log"),
        ("compartment" = Option<u8>, Query, description = "Instead: 0 to 15 ..."),
        ("kind" = Option<String>, Query, description = "... and RecordKind, such as `result`"),
    ),
    responses(
        (status = 200, content_type = "application/json", description = "Each hard stop on the record and each rule that covers it, in the order of precedence, and what came of it"),
        (status = 400, body = super::error::ErrorBody),
        (status = 401, body = super::error::ErrorBody), (status = 403, body = super::error::ErrorBody),
        (status = 404, body = super::error::ErrorBody),
    ))]
pub async fn explain(
    State(node): State<Arc<Node>>,
    caller: Caller,
    Segments(chart): Segments<ChartId>,
    Params(what): Params<What>,
) -> Result<Response, ApiError> {
    let entry = node.chart(chart).await?;
    if !caller.is_at_home(chart, &entry) {
        return Err(ApiError::forbidden("the chart's controller and organisation"));
    }
    let Some(Value::Member(member)) = node.value(Key::Member(what.member)).await? else {
        return Err(ApiError::not_found("the member"));
    };
    let about = what.about(&node, chart)?;
    let asker = Asker::member(what.member, &member);
    let question = Question {
        chart,
        purpose: what.purpose,
        time: node.core.tip().time(),
        counting: Counting::Opening,
    };
    let mut view = View::new();
    loop {
        let consent = Consent::of(&view, &node.core.genesis.parameters, &entry, asker, question);
        let trace = consent.and_then(|consent| match &about {
            About::Record(position, record) => consent.explain(*position, record),
            About::Item(item) => Ok(consent.explain_item(item)),
        });
        match trace {
            Ok(trace) => return Ok(Json(trace).into_response()),
            Err(lacks) => view.load(lacks.0, node.value(lacks.0).await?),
        }
    }
}

/// Heads of logs, computed from the outcomes and kept for the next page.
#[derive(Default)]
pub struct Heads(Mutex<BTreeMap<(ChartId, LogPosition), Digest>>);

impl Heads {
    /// The head of a chart's log before the entry at `position`.
    pub fn before(
        &self,
        core: &Core,
        chart: ChartId,
        position: LogPosition,
    ) -> Result<Digest, ReadError> {
        let start = (chart, LogPosition(0))..=(chart, position);
        let known = self.heads().range(start).next_back().map(|((_, at), head)| (*at, *head));
        let (mut at, mut head) = known.unwrap_or((LogPosition(0), chart_log::EMPTY));
        // Read once for all that follow one another in a block.
        let mut last = None;
        while at < position {
            let line = core.index.log(chart, at).map_err(|_| ReadError::Storage)?;
            let location = line.ok_or(ReadError::NotHere)?.location;
            let (_, outcomes) = match last.take() {
                Some(block @ (height, _)) if height == location.height => last.insert(block),
                Some(_) | None => {
                    let block = core.index.block(location.height);
                    let block = block.map_err(|_| ReadError::Storage)?;
                    let outcomes = block.ok_or(ReadError::NotHere)?.outcomes;
                    last.insert((location.height, outcomes))
                }
            };
            let outcome = outcomes.get(location.index as usize).ok_or(ReadError::Storage)?;
            head = chart_log::extend(head, at, outcome);
            at = LogPosition(at.0 + 1);
            if at.0.is_multiple_of(LOG_PAGE_MAX as u64) {
                self.remember(chart, at, head);
            }
        }
        self.remember(chart, position, head);
        Ok(head)
    }

    fn remember(&self, chart: ChartId, position: LogPosition, head: Digest) {
        let mut heads = self.heads();
        if heads.len() >= HEADS_MAX {
            // All can be computed again.
            heads.clear();
        }
        heads.insert((chart, position), head);
    }

    fn heads(&self) -> MutexGuard<'_, BTreeMap<(ChartId, LogPosition), Digest>> {
        self.0.lock().expect("nobody panics while holding this lock")
    }
}

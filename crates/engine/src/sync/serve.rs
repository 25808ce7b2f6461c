//! Answering others, one question at a time: who asks much waits, and consensus does not.
//!
//! # Invariants
//!
//! * What an answer costs is bounded by what it may hold, whatever is asked. A log that does not fit one is the exception:
//!   its chain is followed from the first line, by a thread of its own, and no more of it is kept than is answered.

use std::{
    collections::VecDeque,
    iter::Peekable,
    num::NonZeroU64,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use commonware_codec::Encode as _;
use commonware_resolver::p2p::Producer;
use commonware_storage::{
    mmr,
    qmdb::sync::{Request, Source as _},
};
use commonware_utils::channel::{mpsc, oneshot};
use keepwell_ledger::state::LogLine;
use keepwell_merkle::{chart_log, range};
use keepwell_types::{
    encoding::List,
    id::{ChartId, Height, LogPosition},
    limits::HANDOVERS_PAGE_MAX,
    validators::epoch_of,
};

use super::{
    ask::{
        ANSWER_BYTES_MAX, Ask, Boundary, CHARTS_MAX, ChartLines, ChartPage, LINES_MAX, LinePage,
        STEPS_MAX, Tip, TipPage,
    },
    fetch::Fetcher,
};
use crate::{
    core::Core,
    index::{Index, IndexError},
    reader::{ReadError, Reader},
    state::{Databases, StateContext},
};

/// Questions that may wait.
const WAITING_MAX: usize = 64;
/// Bytes of lines after which an answer ends; one more line, or hand-over, fits into what is left.
const ANSWER_BYTES: usize = ANSWER_BYTES_MAX / 2;

type Question = (Ask, oneshot::Sender<Bytes>);

/// Takes questions in, once there is something to answer from.
#[derive(Clone, Default)]
pub struct Server(Arc<OnceLock<mpsc::Sender<Question>>>);

impl Producer for Server {
    type Key = Ask;

    /// Without an answer the asker is told that there is none.
    fn produce(&mut self, ask: Ask) -> oneshot::Receiver<Bytes> {
        let (answer, answered) = oneshot::channel();
        if let Some(questions) = self.0.get() {
            drop(questions.try_send((ask, answer)));
        }
        answered
    }
}

impl Server {
    /// Answers from these from now on. The resolver ends once nobody could ask by it, so a way to ask is kept.
    pub fn begin<E: StateContext>(
        &self,
        context: &E,
        fetcher: Fetcher,
        core: Arc<Core>,
        reader: Arc<dyn Reader>,
        databases: Databases<E>,
    ) {
        let (questions, mut asked) = mpsc::channel::<Question>(WAITING_MAX);
        let library = Library { context: context.child("walker"), core, reader, databases };
        context.child("library").spawn(move |_| async move {
            let _kept = fetcher;
            while let Some((ask, answer)) = asked.recv().await {
                match library.answer(&ask).await {
                    // Who asked may have gone.
                    Ok(bytes) => drop(answer.send(bytes)),
                    Err(error) => {
                        tracing::debug!(%ask, %error, "another validator was not answered")
                    }
                }
            }
        });
        // A server begins once.
        let _ = self.0.set(questions);
    }
}

/// What is answered from.
struct Library<E: StateContext> {
    context: E,
    core: Arc<Core>,
    reader: Arc<dyn Reader>,
    databases: Databases<E>,
}

impl<E: StateContext> Library<E> {
    async fn answer(&self, ask: &Ask) -> Result<Bytes, ReadError> {
        Ok(match ask {
            Ask::Tip { since, .. } => keepwell_types::encode(&self.tip_page(*since).await?).into(),
            Ask::Steps(request) => self.steps(*request).await?,
            Ask::Charts { floor, after } => {
                keepwell_types::encode(&chart_page(&self.core.index, *floor, *after)?).into()
            }
            Ask::Log { chart, until } => {
                let (index, chart, until) = (self.core.index.clone(), *chart, *until);
                let walk = self.context.child("walk").shared(true);
                let page = walk.spawn(async move |_| line_page(&index, chart, until));
                keepwell_types::encode(&page.await.map_err(|_| ReadError::Storage)??).into()
            }
        })
    }

    async fn tip_page(&self, since: u64) -> Result<TipPage, ReadError> {
        // Before the hand-overs: one that came since does no harm, and one that lacked would look like a lie.
        let tip = self.tip().await?;
        let mut handovers = Vec::new();
        let mut bytes = 0;
        let all = self.reader.handovers(since, HANDOVERS_PAGE_MAX).await?;
        let mut more = all.len() == HANDOVERS_PAGE_MAX;
        for handover in all {
            bytes += handover.encode().len();
            if !handovers.is_empty() && bytes > ANSWER_BYTES {
                more = true;
                break;
            }
            handovers.push(handover);
        }
        let handovers = List::from_vec(handovers).map_err(|_| ReadError::Storage)?;
        Ok(TipPage { handovers, tip: (!more).then_some(tip) })
    }

    /// The newest block with a certificate of its own.
    async fn tip(&self) -> Result<Tip, ReadError> {
        let newest = self.reader.newest_certified().await?;
        let boundary = self.boundary(newest.header.height.0)?;
        Ok(Tip { header: newest.header, certificate: newest.certificate, boundary })
    }

    /// The last block of the epoch before the one that goes on after the block at this height.
    fn boundary(&self, height: u64) -> Result<Option<Boundary>, ReadError> {
        let blocks = self.core.sets.epoch_blocks();
        let last = epoch_of(Height(height + 1), blocks) * u64::from(blocks);
        let Some(last) = last.checked_sub(1).filter(|it| (1..height).contains(it)) else {
            return Ok(None);
        };
        let id = self.core.index.id(Height(last)).map_err(|_| ReadError::Storage)?;
        let path = range::prove(&self.core.index, height, last).map_err(|_| ReadError::Storage)?;
        Ok(Some(Boundary { id: id.ok_or(ReadError::NotHere)?, path }))
    }

    /// As many of the steps as an answer holds.
    async fn steps(&self, request: Request<mmr::Family>) -> Result<Bytes, ReadError> {
        let mut fewer = match request {
            Request::Operations { size, start, max_ops } => {
                Request::Operations { size, start, max_ops: max_ops.min(STEPS_MAX) }
            }
            bounded => bounded,
        };
        loop {
            // Held for one answer only: blocks wait for whoever reads.
            let served = self.databases.read().await.serve(fewer).await;
            let (steps, _) = served.map_err(|_| ReadError::NotHere)?;
            let bytes = steps.encode();
            if bytes.len() <= ANSWER_BYTES_MAX {
                return Ok(bytes);
            }
            let Request::Operations { size, start, max_ops } = fewer else {
                return Err(ReadError::Storage);
            };
            let max_ops = NonZeroU64::new(max_ops.get() / 2).ok_or(ReadError::Storage)?;
            fewer = Request::Operations { size, start, max_ops };
        }
    }
}

/// Logs of charts up to a block.
pub(super) fn chart_page(
    index: &Index,
    floor: Height,
    after: Option<ChartId>,
) -> Result<ChartPage, ReadError> {
    // Who lags would answer with less than there is, and be blocked for it.
    if index.height().map_err(|_| ReadError::Storage)? < floor {
        return Err(ReadError::NotHere);
    }
    let (mut charts, mut bytes, mut next) = (Vec::new(), 0, after);
    let mut lines = index.lines_after(after).peekable();
    for _ in 0..CHARTS_MAX {
        let Some(log) = next_log(&mut lines, floor).map_err(|_| ReadError::Storage)? else {
            next = None;
            break;
        };
        bytes += log.bytes;
        // What makes the answer too long stands at the beginning of the next one.
        if !charts.is_empty() && bytes > ANSWER_BYTES {
            break;
        }
        next = Some(log.chart);
        // The rest of a log that ended early is not looked at.
        if matches!(lines.peek(), Some(Ok((chart, _))) if *chart == log.chart) {
            lines = index.lines_after(next).peekable();
        }
        charts.extend(log.into_lines());
    }
    let charts = List::from_vec(charts).map_err(|_| ReadError::Storage)?;
    Ok(ChartPage { charts, next })
}

/// The last lines of a chart before a position.
///
/// The chain is followed from its first line: such logs are rare, and a head for each line would cost more.
pub(super) fn line_page(
    index: &Index,
    chart: ChartId,
    until: LogPosition,
) -> Result<LinePage, ReadError> {
    let (mut lines, mut bytes) = (VecDeque::new(), 0);
    let (mut before, mut first) = (chart_log::EMPTY, LogPosition(0));
    for at in (0..until.0).map(LogPosition) {
        let line = index.log(chart, at).map_err(|_| ReadError::Storage)?;
        let line = line.ok_or(ReadError::NotHere)?;
        let length = keepwell_types::encode(&line).len();
        bytes += length;
        lines.push_back((line, length));
        while lines.len() > LINES_MAX || (bytes > ANSWER_BYTES && lines.len() > 1) {
            let Some((line, length)) = lines.pop_front() else { break };
            before = line.extend(before, first);
            (bytes, first) = (bytes - length, LogPosition(first.0 + 1));
        }
    }
    let lines: Vec<_> = lines.into_iter().map(|(line, _)| line).collect();
    Ok(LinePage { before, lines: List::from_vec(lines).map_err(|_| ReadError::Storage)? })
}

/// The log of one chart up to a block.
struct Log {
    chart: ChartId,
    /// As many as fit an answer.
    lines: Vec<LogLine>,
    is_whole: bool,
    bytes: usize,
}

impl Log {
    /// As it stands in an answer; nothing if there is nothing up to the block.
    fn into_lines(self) -> Option<ChartLines> {
        let is_there = !self.lines.is_empty();
        let lines = if self.is_whole { self.lines } else { Vec::new() };
        let lines = List::from_vec(lines).ok().filter(|_| is_there)?;
        Some(ChartLines { chart: self.chart, lines })
    }
}

/// The log of the next chart. Lines after the block, and those that do not fit, stay in the iterator.
fn next_log(
    lines: &mut Peekable<impl Iterator<Item = Result<(ChartId, LogLine), IndexError>>>,
    floor: Height,
) -> Result<Option<Log>, IndexError> {
    let Some((chart, first)) = lines.next().transpose()? else { return Ok(None) };
    let mut log = Log { chart, lines: Vec::new(), is_whole: true, bytes: ChartId::LEN };
    let mut next = Some(first);
    while let Some(line) = next.filter(|line| line.location.height <= floor) {
        let bytes = keepwell_types::encode(&line).len();
        if log.bytes + bytes > ANSWER_BYTES || log.lines.len() == LINES_MAX {
            log.is_whole = false;
            break;
        }
        log.bytes += bytes;
        log.lines.push(line);
        let same = lines.next_if(|it| !matches!(it, Ok((other, _)) if *other != chart));
        next = same.transpose()?.map(|(_, line)| line);
    }
    if !log.is_whole {
        log.bytes = ChartId::LEN;
    }
    Ok(Some(log))
}

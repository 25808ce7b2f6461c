//! From nothing to the state of a certified block, and the index that belongs to it.

use std::{
    iter,
    time::{Duration, SystemTime},
};

use commonware_consensus::{marshal::standard::Standard, simplex::types::Finalization};
use commonware_cryptography::sha256;
use commonware_glue::stateful::SyncPlan;
use commonware_runtime::{Clock, Metrics, Spawner, Storage, buffer::paged::CacheRef};
use commonware_storage::qmdb::sync::{Target, engine, sync};
use commonware_utils::{NZU64, NZUsize, non_empty_range};
use futures::{
    StreamExt as _, TryStreamExt as _, future::Either, pin_mut, stream::FuturesUnordered,
};
use keepwell_ledger::state::{ChartLog, Key, LogLine, Value};
use keepwell_merkle::{
    block::history_leaf,
    certificate::{CertificateError, Validators},
    chart_log,
};
use keepwell_types::{
    encoding::List,
    genesis::Genesis,
    id::{ChartId, Digest, Height, LogPosition},
    limits::HANDOVERS_MAX,
    validators::epoch_of,
};
use rand_core::CryptoRng;
use thiserror::Error;

use super::{
    ask::{ANSWER_BYTES_MAX, Ask, ChartPage, Floor, LinePage, STEPS_MAX, Tip, TipPage},
    fetch::{Candidate, Candidates, Fetcher},
};
use crate::{
    abstention,
    application::Scheme,
    block::{Block, EngineDigest, EngineKey, to_engine},
    import::finalization_of,
    index::{Index, IndexError},
    sets::engine_keys,
    state::{StateDb, state_config},
};

/// How long one of the others may take with what only it is asked.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the logs of all charts may take, of all together or of one of the others, the first time. It is twice as long
/// each time that all have had a turn: one that drips costs no more than the honest one that is asked after it.
const TURN: Duration = Duration::from_secs(60);
/// Pause before a newer floor is looked for.
const PAUSE: Duration = Duration::from_secs(1);
/// How often it is told that this validator still waits for others.
const REMINDER: Duration = Duration::from_secs(30);

/// Why a validator cannot begin from the state of others.
#[derive(Debug, Error)]
pub enum SyncError {
    /// The genesis file.
    #[error("the genesis file cannot be used: {0}")]
    Genesis(#[from] CertificateError),
    /// Too few of those who validate now are known here.
    #[error(
        "the newest block must be told by {needed} of those who validate now, and the configuration names fewer; add them to `peers`"
    )]
    TooFew {
        /// How many must tell it.
        needed: usize,
    },
    /// Validators changed more often than a verifier follows.
    #[error(
        "validators changed more than {HANDOVERS_MAX} times since the genesis file, which no verifier follows; start this node with `archive = true`"
    )]
    Handovers,
    /// The index.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The state's database.
    #[error(
        "the state cannot be stored: {0}; make room, remove what is in the node's folder, and start again"
    )]
    State(String),
    /// Validators certified two things that do not fit together.
    #[error(
        "the state of block {0} is not the one that its header commits to, and validators certified both; tell the consortium, and start this node with `archive = true`"
    )]
    Root(Height),
}

/// What the engine keeps of its beginning.
pub type Plan<E> = SyncPlan<E, Scheme, Standard<Block>>;

/// Where a new validator gets what it begins from, and where it puts it.
#[derive(Clone, Copy)]
pub struct Beginning<'a> {
    /// The founding file.
    pub genesis: &'a Genesis,
    /// Begins the names of its partitions.
    pub prefix: &'a str,
    /// Its index.
    pub index: &'a Index,
    /// Whom it asks; nobody where it executes all blocks instead.
    pub peers: &'a [EngineKey],
    /// How.
    pub fetcher: &'a Fetcher,
}

/// Fetches the state of a certified block and what belongs to it, unless this validator began before. It waits for
/// others as long as it takes.
pub async fn begin<E>(
    context: E,
    page_cache: &CacheRef,
    mut plan: Plan<E>,
    it: Beginning<'_>,
) -> Result<Plan<E>, SyncError>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
{
    let is_new = it.index.height()? == Height(0);
    if !plan.should_sync(is_new && !it.peers.is_empty()) {
        return Ok(plan);
    }
    // It may have had a seat, and a disk, before.
    abstention::note(&context, it.prefix).await.map_err(stored)?;
    let floor = match it.index.floor()? {
        Some(floor) => {
            plan = plan.set_floor(finalization(&floor)).await;
            floor
        }
        None => loop {
            let floor = it.choose(&context).await?;
            plan = plan.set_floor(finalization(&floor)).await;
            // An earlier attempt may have come further, and have lost its index since.
            if plan.floor() == Some(&finalization(&floor)) {
                it.index.set_floor(&floor)?;
                break floor;
            }
            context.sleep(PAUSE).await;
        },
    };
    let height = floor.tip.header.height;
    if it.index.height()? < height {
        tracing::info!(%height, "fetching the state that others have at this block");
        let state = it.fetch_state::<E>(context.child("sync"), page_cache, &floor.tip).await?;
        it.fetch_logs(&context, &state, height).await?;
        let history = read(&state, Key::History).await?;
        let Some(Value::History(history)) = history else { return Err(SyncError::Root(height)) };
        it.index.begin_at(&floor, &history)?;
        tracing::info!(%height, "the state is complete; blocks before this one are not kept here");
    }
    Ok(plan)
}

/// The certificate of the block that a validator began from, as the engine has it.
pub(crate) fn finalization(floor: &Floor) -> Finalization<Scheme, EngineDigest> {
    finalization_of(&floor.tip.certificate, floor.validators)
        .expect("a certificate that was verified has this form")
}

/// The newest block of one of the others, and the way to it.
struct Heard {
    from: EngineKey,
    validators: Validators,
    floor: Floor,
}

impl Beginning<'_> {
    /// The newest block of those of whom so many have told theirs that an honest validator is among them.
    async fn choose(&self, clock: &impl Clock) -> Result<Floor, SyncError> {
        let founders = Validators::of(self.genesis)?;
        tracing::info!(peers = self.peers.len(), "asking others for their newest block");
        let asked = (0..).zip(self.peers);
        let mut answers: FuturesUnordered<_> =
            asked.map(|(place, key)| self.hear(key, place, founders.clone())).collect();
        let mut heard: Vec<Heard> = Vec::new();
        let mut needed = founders.newest().faults_max() + 1;
        loop {
            let (next, late) = (answers.next(), clock.sleep(REMINDER));
            pin_mut!(late);
            match futures::future::select(next, late).await {
                Either::Left((Some(one), _)) => heard.push(one?),
                Either::Left((None, _)) => return Err(SyncError::TooFew { needed }),
                Either::Right(_) => {
                    let (told, asked) = (heard.len(), self.peers.len());
                    tracing::warn!(
                        "{told} of {asked} others have told their newest block, and {needed} validators must: see whether they run and reach this node; where no block was ever made, start with `archive = true`"
                    );
                    continue;
                }
            }
            let sets = heard.iter().map(|it| it.validators.newest());
            let Some(newest) = sets.max_by_key(|set| set.since) else { continue };
            let seats: Vec<_> = engine_keys(newest).collect();
            needed = newest.faults_max() + 1;
            if heard.iter().filter(|it| seats.contains(&it.from)).count() >= needed {
                let floors = heard.into_iter().map(|it| it.floor);
                let newest = floors.max_by_key(|floor| floor.tip.header.height);
                return newest.ok_or(SyncError::TooFew { needed });
            }
        }
    }

    async fn hear(
        &self,
        from: &EngineKey,
        place: u16,
        mut validators: Validators,
    ) -> Result<Heard, SyncError> {
        let mut handovers = Vec::new();
        loop {
            let ask = Ask::Tip { place, since: validators.newest().since + 1 };
            let mut candidates = self.fetcher.ask_of(from.clone(), ask.clone());
            let page = loop {
                let candidate = candidates.next().await;
                if let Some((further, page)) = further(&validators, &candidate.bytes) {
                    candidate.accept();
                    validators = further;
                    break page;
                }
                candidate.refuse(&ask);
            };
            handovers.extend(page.handovers.into_vec());
            let handed_over = List::from_vec(std::mem::take(&mut handovers));
            match (page.tip, handed_over) {
                (Some(tip), Ok(handovers)) => {
                    let seats = validators.in_force(tip.certificate.epoch).seats.len() as u32;
                    let floor = Floor { tip, handovers, validators: seats };
                    return Ok(Heard { from: from.clone(), validators, floor });
                }
                (None, Ok(so_far)) => handovers = so_far.into_vec(),
                (_, Err(_)) => return Err(SyncError::Handovers),
            }
        }
    }

    /// The state's database at a block, from the steps of others.
    async fn fetch_state<E>(
        &self,
        context: E,
        page_cache: &CacheRef,
        tip: &Tip,
    ) -> Result<StateDb<E>, SyncError>
    where
        E: Clock + CryptoRng + Spawner + Storage + Metrics,
    {
        let header = &tip.header;
        let range = non_empty_range!(header.sync.start.into(), header.sync.end.into());
        let state: StateDb<E> = sync(engine::Config {
            context,
            source: self.fetcher.clone(),
            target: Target::new(sha256::Digest(header.sync.root.0), range),
            max_outstanding_requests: NZUsize!(8),
            fetch_batch_size: STEPS_MAX,
            apply_batch_size: NZU64!(1_024),
            db_config: state_config(self.prefix, page_cache.clone()),
            update_rx: None,
            finish_rx: None,
            reached_target_tx: None,
        })
        .await
        .map_err(|error| SyncError::State(error.to_string()))?;
        if state.root().0 != header.state.0 {
            return Err(SyncError::Root(header.height));
        }
        Ok(state)
    }

    /// The logs of all charts in the state. Whoever leaves a chart out is found by their number.
    async fn fetch_logs<E>(
        &self,
        context: &E,
        state: &StateDb<E>,
        floor: Height,
    ) -> Result<(), SyncError>
    where
        E: Clock + CryptoRng + Spawner + Storage + Metrics,
    {
        let expected = charts_in(state).await?;
        tracing::info!(charts = expected, "the state is here; fetching the logs of its charts");
        let (everyone, each) = (iter::once(None), self.peers.iter().map(Some));
        let round: Vec<_> = everyone.chain(each).collect();
        let mut turn = TURN;
        loop {
            for whom in &round {
                let until = context.current() + turn;
                let found = self.fetch_charts(context, state, floor, *whom, until).await?;
                if found >= expected || self.index.charts()? >= expected {
                    return Ok(());
                }
                tracing::warn!("others left out logs of charts; they are asked for again");
            }
            turn = turn.saturating_mul(2);
        }
    }

    /// The logs of charts that the others have, or that one of them has, as far as they are told until a time; returns how
    /// many there were.
    async fn fetch_charts<E>(
        &self,
        context: &E,
        state: &StateDb<E>,
        floor: Height,
        whom: Option<&EngineKey>,
        until: SystemTime,
    ) -> Result<u64, SyncError>
    where
        E: Clock + CryptoRng + Spawner + Storage + Metrics,
    {
        let (mut count, mut after) = (0, None);
        while context.current() < until {
            let ask = Ask::Charts { floor, after };
            let mut candidates = self.ask(whom, ask.clone());
            let late = match whom {
                // One that says nothing does not use up its turn.
                Some(_) => until.min(context.current() + PATIENCE),
                None => until,
            };
            let (charts, next) = loop {
                let Some(candidate) = before(context, late, &mut candidates).await else {
                    return Ok(count);
                };
                if let Some(page) = charts_of(state, after, &candidate.bytes).await? {
                    candidate.accept();
                    break page;
                }
                candidate.refuse(&ask);
            };
            for (chart, log, lines) in charts {
                count += 1;
                let lines = match lines {
                    Some(lines) => lines,
                    None => self.fetch_log(chart, &log).await,
                };
                self.index.put_log(chart, &lines)?;
            }
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        Ok(count)
    }

    /// A log that does not fit an answer, from its end on: each part is checked by the head after it.
    async fn fetch_log(&self, chart: ChartId, log: &ChartLog) -> Vec<LogLine> {
        let (mut until, mut head) = (log.count, log.lines);
        let mut parts = Vec::new();
        while until > LogPosition(0) {
            let ask = Ask::Log { chart, until };
            let mut candidates = self.fetcher.ask(ask.clone());
            let page = loop {
                let candidate = candidates.next().await;
                if let Some(page) = log_of(until, head, &candidate.bytes) {
                    candidate.accept();
                    break page;
                }
                candidate.refuse(&ask);
            };
            until = LogPosition(until.0 - page.lines.len() as u64);
            head = page.before;
            parts.push(page.lines.into_vec());
        }
        parts.into_iter().rev().flatten().collect()
    }

    fn ask(&self, whom: Option<&EngineKey>, ask: Ask) -> Candidates {
        match whom {
            Some(key) => self.fetcher.ask_of(key.clone(), ask),
            None => self.fetcher.ask(ask),
        }
    }
}

/// The next answer; nothing if none comes before this time.
async fn before(
    clock: &impl Clock,
    late: SystemTime,
    candidates: &mut Candidates,
) -> Option<Candidate> {
    let (next, late) = (candidates.next(), clock.sleep_until(late));
    pin_mut!(next, late);
    match futures::future::select(next, late).await {
        Either::Left((candidate, _)) => Some(candidate),
        Either::Right(_) => None,
    }
}

/// What a page says, and the validators that it leads to, if all of it is certified.
fn further(validators: &Validators, bytes: &[u8]) -> Option<(Validators, TipPage)> {
    let page: TipPage = keepwell_types::decode(bytes, ANSWER_BYTES_MAX).ok()?;
    let mut further = validators.clone();
    for handover in page.handovers.iter() {
        further.advance(handover).ok()?;
    }
    let leads_on = match &page.tip {
        Some(tip) => is_certified(&further, tip),
        None => further.newest().since > validators.newest().since,
    };
    leads_on.then_some((further, page))
}

/// Whether those who validate certified a block, and the boundary that is said to be before it.
pub fn is_certified(validators: &Validators, tip: &Tip) -> bool {
    let (header, blocks) = (&tip.header, validators.epoch_blocks());
    let height = header.height.0;
    // Nothing is proven yet: it may be any number.
    let Some(next) = height.checked_add(1) else { return false };
    let last = (epoch_of(Height(next), blocks) * u64::from(blocks)).checked_sub(1);
    let boundary = match (last.filter(|last| (1..height).contains(last)), &tip.boundary) {
        (Some(last), Some(it)) => {
            it.path.verify(&header.history, height, last, &history_leaf(&it.id)).is_ok()
        }
        (None, None) => true,
        _ => false,
    };
    boundary
        && height > 0
        && header.chain == validators.chain()
        && header.sync.start < header.sync.end
        && validators.verify_header(header, &tip.certificate).is_ok()
}

/// Charts of an answer that follow on the ones before, with their logs in the state, and their lines where they are in
/// the answer, and the chart to go on after; nothing if anything of it does not fit.
#[allow(clippy::type_complexity, reason = "it is taken apart where it arrives")]
async fn charts_of<E>(
    state: &StateDb<E>,
    after: Option<ChartId>,
    bytes: &[u8],
) -> Result<Option<(Vec<(ChartId, ChartLog, Option<Vec<LogLine>>)>, Option<ChartId>)>, SyncError>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
{
    let Ok(page) = keepwell_types::decode::<ChartPage>(bytes, ANSWER_BYTES_MAX) else {
        return Ok(None);
    };
    let (mut charts, mut last) = (Vec::new(), after);
    for it in page.charts.into_vec() {
        let value = read(state, Key::ChartLog(it.chart)).await?;
        let Some(Value::ChartLog(log)) = value.filter(|_| last < Some(it.chart)) else {
            return Ok(None);
        };
        last = Some(it.chart);
        let lines = Some(it.lines.into_vec()).filter(|lines| !lines.is_empty());
        let fits = lines.as_ref().is_none_or(|lines| {
            lines.len() as u64 == log.count.0
                && head_after(chart_log::EMPTY, LogPosition(0), lines) == log.lines
        });
        if !fits {
            return Ok(None);
        }
        charts.push((it.chart, log, lines));
    }
    let goes_on = page.next.is_none_or(|next| Some(next) > after && Some(next) >= last);
    Ok(goes_on.then_some((charts, page.next)))
}

/// Lines that end before `until`, where the head of their chain is `head`, if the answer has such.
pub(super) fn log_of(until: LogPosition, head: Digest, bytes: &[u8]) -> Option<LinePage> {
    let page: LinePage = keepwell_types::decode(bytes, ANSWER_BYTES_MAX).ok()?;
    let from = until.0.checked_sub(page.lines.len() as u64)?;
    let begins = from > 0 || page.before == chart_log::EMPTY;
    let fits = begins && head_after(page.before, LogPosition(from), &page.lines) == head;
    (fits && !page.lines.is_empty()).then_some(page)
}

pub(super) fn head_after(head: Digest, from: LogPosition, lines: &[LogLine]) -> Digest {
    let places = (from.0..).map(LogPosition).zip(lines);
    places.fold(head, |head, (at, line)| line.extend(head, at))
}

async fn charts_in<E>(state: &StateDb<E>) -> Result<u64, SyncError>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
{
    let entries = state.stream_range(..);
    pin_mut!(entries);
    let mut charts = 0;
    while let Some((_, value)) = entries.try_next().await.map_err(stored)? {
        let value = Value::decode(&value).map_err(stored)?;
        charts += u64::from(matches!(value, Value::ChartLog(_)));
    }
    Ok(charts)
}

async fn read<E>(state: &StateDb<E>, key: Key) -> Result<Option<Value>, SyncError>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
{
    let value = state.get(&to_engine(key.to_bytes())).await.map_err(stored)?;
    value.map(|bytes| Value::decode(&bytes)).transpose().map_err(stored)
}

fn stored(error: impl std::fmt::Display) -> SyncError {
    SyncError::State(error.to_string())
}

//! Checking a validator that began from the state of others: without the blocks before, nothing can be executed again.
//!
//! What it has is compared with what validators certified: hand-overs from the genesis file to the block that it began
//! from, the blocks since, one by one, every entry of the state with the root in its block's header, and the index with
//! both.

use commonware_cryptography::Sha256;
use commonware_runtime::{Clock, Metrics, Spawner, Storage};
use commonware_storage::qmdb::any::value::VariableEncoding;
use futures::{TryStreamExt as _, pin_mut};
use keepwell_ledger::state::{ChartLog, Key, Value};
use keepwell_merkle::{
    block::{block_id, outcome_root},
    certificate::Validators,
    chart_log,
};
use keepwell_types::id::{ChartId, Height, LogPosition};
use rand_core::CryptoRng;

use super::{Sound, Stores, Unsound, hand_over, store};
use crate::{
    block::to_engine,
    index::Index,
    replay::ReplayError,
    state::{StateDb, StateValue},
    sync::{Floor, is_certified},
};

/// Checks what came after a floor, and the floor.
pub(super) async fn check<E>(
    stores: &Stores<E>,
    mut validators: Validators,
    floor: &Floor,
    index: &Index,
    mut progress: impl FnMut(u64),
) -> Result<Sound, Unsound>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
{
    for handover in floor.handovers.iter() {
        validators.advance(handover)?;
    }
    if !is_certified(&validators, &floor.tip) {
        return Err(Unsound::Floor);
    }
    let header = &floor.tip.header;
    let mut sound = Sound { floor: Some(header.height), certificates: 1, ..Sound::default() };
    if index.height()? < header.height {
        sound.unbuilt = true;
        return Ok(sound);
    }
    let root = stores.state.root();
    let (mut last, mut is_known) = (block_id(header), header.state.0 == root.0);
    for height in header.height.0 + 1.. {
        let Some(block) = stores.block(height).await? else { break };
        let (at, header) = (Height(height), block.header());
        if header.parent != last || header.height != at {
            return Err(ReplayError::NotNext { height: at, parent: last }.into());
        }
        last = block.id();
        sound.blocks += 1;
        let certificate = stores.certificate(&block, &validators).await?;
        sound.certificates += u64::from(certificate.is_some());
        if header.next.is_some() {
            let lines = index.handovers(0)?;
            let line = lines.into_iter().find(|it| it.height == at);
            let line = line.ok_or(Unsound::LinesDiffer)?;
            hand_over(&mut validators, &block, certificate, line.set)?;
        }
        if let Some(line) = index.block(at)?
            && (line.id != block.id() || outcome_root(&line.outcomes) != header.outcomes)
        {
            return Err(Unsound::LinesDiffer);
        }
        is_known |= header.state.0 == root.0;
        progress(height);
    }
    if !is_known {
        return Err(Unsound::StateRoot);
    }
    let charts = compare_entries(&stores.state, &mut sound).await?;
    compare_logs(&stores.state, index, charts).await?;
    Ok(sound)
}

/// Proves every entry of the state by its root; returns how many charts have a log.
async fn compare_entries<E>(state: &StateDb<E>, sound: &mut Sound) -> Result<u64, Unsound>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
{
    let root = state.root();
    let entries = state.stream_range(..);
    pin_mut!(entries);
    let mut charts = 0;
    while let Some((key, value)) = entries.try_next().await.map_err(store("the state"))? {
        let decoded = Value::decode(&value).map_err(store("the state"))?;
        charts += u64::from(matches!(decoded, Value::ChartLog(_)));
        let proof = state.key_value_proof(key).await.map_err(store("the state"))?;
        if !proof.verify::<Sha256, VariableEncoding<StateValue>>(key, value, &root) {
            return Err(Unsound::StateDiffers);
        }
        sound.entries += 1;
    }
    Ok(charts)
}

/// Follows the log of each chart to the head that the state has.
async fn compare_logs<E>(state: &StateDb<E>, index: &Index, charts: u64) -> Result<(), Unsound>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
{
    let (mut found, mut last) = (0, None);
    while let Some(chart) = index.chart_after(last)? {
        last = Some(chart);
        let Some(log) = log_of(state, chart).await? else { continue };
        let mut head = chart_log::EMPTY;
        // The index may be ahead of the state.
        for at in (0..log.count.0).map(LogPosition) {
            let line = index.log(chart, at)?.ok_or(Unsound::LinesDiffer)?;
            head = line.extend(head, at);
        }
        if head != log.lines {
            return Err(Unsound::LinesDiffer);
        }
        found += 1;
    }
    if found == charts { Ok(()) } else { Err(Unsound::LinesDiffer) }
}

async fn log_of<E>(state: &StateDb<E>, chart: ChartId) -> Result<Option<ChartLog>, Unsound>
where
    E: Clock + CryptoRng + Spawner + Storage + Metrics,
{
    let value = state.get(&to_engine(Key::ChartLog(chart).to_bytes())).await;
    let value = value.map_err(store("the state"))?.map(|bytes| Value::decode(&bytes));
    match value.transpose().map_err(store("the state"))? {
        Some(Value::ChartLog(log)) => Ok(Some(log)),
        _ => Ok(None),
    }
}

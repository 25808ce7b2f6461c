//! What must hold whatever happened, checked when a run ends; and when it ends.

use std::{pin::Pin, sync::atomic::Ordering};

use commonware_glue::simulate::{
    exit::ExitCondition, property::Property, tracker::ProgressTracker,
};
use keepwell_engine::{
    block::EngineKey,
    index::IndexError,
    reader::{ReadError, entry_at},
};
use keepwell_ledger::state::{Key, LogLine, Value};
use keepwell_merkle::certificate::Validators;
use keepwell_types::{
    command::{Entry, Part, Payload},
    id::{ChartId, Height, LogPosition, Protocol, PublicKey},
    limits::{BLOCK_AHEAD_MS_MAX, HANDOVERS_PAGE_MAX},
    time::BlockTime,
    validators::{ends_epoch, epoch_of},
};

use crate::{consortium::State, history::Model};

/// Accesses of a run of histories that must have been accepted, or the rules were hardly tried.
const ACCEPTED_MIN: usize = 10;

type Verdict<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Validators that have a block of some height have the same one; and so the same outcomes and state,
/// since a block's id commits to both.
#[derive(Clone, Copy)]
pub struct OneHistory;

/// Every command that a client was told is final has that outcome on every validator that has come
/// so far.
#[derive(Clone, Copy)]
pub struct NothingAcknowledgedIsLost;

/// Wherever a block has a part of a transaction it has all of them, side by side and in order, and all were accepted or
/// none was.
#[derive(Clone, Copy)]
pub struct TransactionsAreWhole;

/// The state of every honest validator is what the header of its newest block says, and proves it.
#[derive(Clone, Copy)]
pub struct RootsAreEqual;

/// Every access in a history came to what the rules before it in the chain say: none was opened that they forbid, and
/// none refused that they allow.
#[derive(Clone, Copy)]
pub struct AccessesAreWhatRulesSay(
    /// At least so many were checked, some of which were accepted.
    pub usize,
);

/// Commands were acknowledged at all.
#[derive(Clone, Copy)]
pub struct CommandsAreServed;

/// How many commands show that.
const SERVED: usize = 10;

/// How many commands were acknowledged.
fn served(states: &[&State]) -> usize {
    states.first().map_or(0, |it| it.acknowledged.all().len())
}

/// Commands were decided between two times: those who were there then could do without the others.
#[derive(Clone, Copy)]
pub struct ServedBetween(
    /// The first.
    pub BlockTime,
    /// The last.
    pub BlockTime,
);

/// Every validator came through epochs, and each block is of the epoch that its height says.
#[derive(Clone, Copy)]
pub struct EpochsPass(
    /// At least so many.
    pub u64,
);

/// The first block of an epoch comes hardly later than any other: the median of the steps over a boundary is at most
/// so much above the median of all steps.
#[derive(Clone, Copy)]
pub struct BoundariesAreQuick {
    /// In milliseconds.
    pub pause_ms_max: u64,
}

/// Where nothing fails, no block comes later than a heartbeat after the one before, and a little.
#[derive(Clone, Copy)]
pub struct NothingStalls {
    /// In milliseconds.
    pub step_ms_max: u64,
}

/// Every node knows that these validate now, and who has the genesis file alone comes to know it by hand-overs: as many
/// as there were changes. A run may end once this is so for all honest ones.
#[derive(Clone)]
pub struct ValidatorsFollow {
    /// Their keys, in ascending order.
    pub seats: Vec<PublicKey>,
    /// Hand-overs.
    pub changes: usize,
}

/// The protocol was upgraded, and no program executed a block whose rules it does not know.
#[derive(Clone, Copy)]
pub struct ProtocolIsUpgraded {
    /// The version in force at the end.
    pub to: Protocol,
    /// So many validators had to end because their programs were too old.
    pub outdated: u64,
}

/// Whether validators opened shares to all, because others complained about them.
#[derive(Clone, Copy)]
pub struct SharesAreOpened(
    /// Whether they must have.
    pub bool,
);

/// A validator began from the state of others, and its index has of each chart what theirs have.
#[derive(Clone, Copy)]
pub struct BeganFromState(
    /// Its place.
    pub usize,
);

/// No block was final before its time by the clock of honest validators, give or take what
/// [`BLOCK_AHEAD_MS_MAX`] allows.
#[derive(Clone, Copy)]
pub struct TimeIsKept;

/// No honest validator blocked an honest one, as it does with who votes for two things or sends what does not fit.
#[derive(Clone, Copy)]
pub struct NobodyIsBlocked;

/// The trouble of a disk was met: the run is one with it.
#[derive(Clone, Copy)]
pub struct TroubleIsMet;

/// A run goes on until every honest validator has a block of this time, which is after the last fault, and votes, and
/// commands are served: calm must bring all of that back. A run that never gets there fails by its limit of time.
#[derive(Clone, Copy)]
pub struct AliveAt(
    /// The time.
    pub BlockTime,
);

/// Whether this holds for every validator of so many that does not lie.
fn all_honest(states: &[&State], count: usize, holds: impl Fn(&State) -> bool) -> bool {
    let there = states.iter().filter(|state| !state.lies && holds(state)).count();
    let liars = states.first().map_or(0, |state| state.liars);
    there + liars >= count
}

impl ExitCondition<EngineKey, State> for AliveAt {
    fn name(&self) -> &'static str {
        "alive after the last fault"
    }

    fn requires_polling(&self) -> bool {
        true
    }

    fn reached<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
        target_count: usize,
    ) -> Pin<Box<dyn Future<Output = Result<bool, String>> + Send + 'a>> {
        let is_there = |state: &State| state.core.tip().time() >= self.0 && !state.core.abstains();
        Box::pin(async move {
            Ok(served(states) >= SERVED && all_honest(states, target_count, is_there))
        })
    }
}

impl ExitCondition<EngineKey, State> for ValidatorsFollow {
    fn name(&self) -> &'static str {
        "validators have changed"
    }

    fn requires_polling(&self) -> bool {
        true
    }

    fn reached<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
        target_count: usize,
    ) -> Pin<Box<dyn Future<Output = Result<bool, String>> + Send + 'a>> {
        // An epoch of theirs is over: there are certificates of theirs to look at.
        let is_there = |state: &State| {
            let newest = state.core.sets.newest();
            let seats = newest.seats.iter().map(|it| it.validator.consensus);
            seats.eq(self.seats.iter().copied())
                && state.core.tip().header.round.epoch > newest.since
        };
        Box::pin(async move { Ok(all_honest(states, target_count, is_there)) })
    }
}

impl Property<EngineKey, State> for TimeIsKept {
    fn name(&self) -> &'static str {
        "time is kept"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
    ) -> Verdict<'a> {
        Box::pin(async move {
            let ahead_ms = states.first().map_or(0, |it| it.ahead_ms.load(Ordering::Relaxed));
            if ahead_ms > BLOCK_AHEAD_MS_MAX {
                return Err(format!("a block was final {ahead_ms} ms before its time"));
            }
            Ok(())
        })
    }
}

impl Property<EngineKey, State> for OneHistory {
    fn name(&self) -> &'static str {
        "one history"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
    ) -> Verdict<'a> {
        Box::pin(async move {
            let top = states.iter().map(|it| it.core.tip().height().0).max().unwrap_or_default();
            for height in (1..=top).map(Height) {
                let ids: Vec<_> = states
                    .iter()
                    .filter_map(|it| it.core.index.block(height).ok().flatten())
                    .map(|line| (line.id, line.outcomes))
                    .collect();
                if ids.windows(2).any(|pair| pair[0] != pair[1]) {
                    return Err(format!("validators differ at height {height}"));
                }
            }
            Ok(())
        })
    }
}

impl Property<EngineKey, State> for ServedBetween {
    fn name(&self) -> &'static str {
        "commands are decided meanwhile"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
    ) -> Verdict<'a> {
        Box::pin(async move {
            let Some(first) = states.first() else { return Ok(()) };
            let between = self.0..self.1;
            match first.acknowledged.all().values().any(|it| between.contains(&it.time)) {
                true => Ok(()),
                false => Err(format!("none was decided from {} to {}", self.0, self.1)),
            }
        })
    }
}

impl Property<EngineKey, State> for NothingAcknowledgedIsLost {
    fn name(&self) -> &'static str {
        "nothing acknowledged is lost"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
    ) -> Verdict<'a> {
        Box::pin(async move {
            let Some(first) = states.first() else { return Ok(()) };
            for (id, outcome) in first.acknowledged.all().iter() {
                for state in states {
                    let floor = state.core.floor().map_err(|error| error.to_string())?;
                    let at = outcome.location.height;
                    if state.core.tip().height() < at || at <= floor {
                        continue;
                    }
                    let line = state.core.index.block(outcome.location.height).ok().flatten();
                    let here = line.and_then(|line| {
                        line.outcomes.get(outcome.location.index as usize).cloned()
                    });
                    if here.as_ref() != Some(outcome) {
                        return Err(format!("{id}: told {outcome:?}, found {here:?}"));
                    }
                }
            }
            Ok(())
        })
    }
}

impl Property<EngineKey, State> for TransactionsAreWhole {
    fn name(&self) -> &'static str {
        "transactions are whole"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
    ) -> Verdict<'a> {
        Box::pin(async move {
            let highest = states.iter().max_by_key(|it| it.core.tip().height());
            let Some((state, reader)) = highest.and_then(|it| Some((it, it.reader.upgrade()?)))
            else {
                return Ok(());
            };
            let floor = state.core.floor().map_err(|error| error.to_string())?;
            for height in (floor.0 + 1..=state.core.tip().height().0).map(Height) {
                let Ok(block) = reader.block(height).await else { continue };
                let line = state.core.index.block(height).map_err(|error| error.to_string())?;
                let outcomes = line.ok_or("a final block has no outcomes")?.outcomes;
                let mut entries = Vec::new();
                for (outcome, at) in outcomes.iter().zip(0..) {
                    let entry = entry_at(&block, at).map_err(|error| error.to_string())?;
                    entries.push((entry, outcome.verdict.is_accepted()));
                }
                whole(&entries).map_err(|what| format!("in block {height}: {what}"))?;
            }
            Ok(())
        })
    }
}

/// Whether the parts among a block's entries, with whether each was accepted, make whole transactions.
fn whole(entries: &[(Entry, bool)]) -> Result<(), String> {
    let of = |entry: &Entry| match entry {
        Entry::Genesis(_) => None,
        Entry::Signed(signed) => {
            let signer = signed.command.signers.first().copied();
            signed.command.part.map(|part| (part, signer))
        }
    };
    let mut at = 0;
    while let Some((entry, accepted)) = entries.get(at) {
        let Some((first, signer)) = of(entry) else {
            at += 1;
            continue;
        };
        for place in 0..first.parts() {
            let part = Part::new(first.transaction(), place, first.parts()).ok();
            let found = entries.get(at + usize::from(place));
            let fits = found.is_some_and(|(entry, verdict)| {
                of(entry) == part.map(|part| (part, signer)) && verdict == accepted
            });
            if !fits {
                return Err(format!("part {place} of {first:?} is not there, or fared otherwise"));
            }
        }
        at += usize::from(first.parts());
    }
    Ok(())
}

impl Property<EngineKey, State> for RootsAreEqual {
    fn name(&self) -> &'static str {
        "roots are equal"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
    ) -> Verdict<'a> {
        Box::pin(async move {
            // A liar may be stopped anywhere.
            for state in states.iter().filter(|it| !it.lies) {
                let Some(reader) = state.reader.upgrade() else { continue };
                let root = reader.root().await;
                if state.core.header_with_state(root).is_none() {
                    let tip = state.core.tip().height();
                    return Err(format!(
                        "a validator's state at block {tip} is no recent header's"
                    ));
                }
            }
            Ok(())
        })
    }
}

impl Property<EngineKey, State> for CommandsAreServed {
    fn name(&self) -> &'static str {
        "commands are served"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
    ) -> Verdict<'a> {
        Box::pin(async move {
            let served = served(states);
            if served < SERVED {
                return Err(format!("{served} commands were acknowledged, {SERVED} expected"));
            }
            Ok(())
        })
    }
}

impl Property<EngineKey, State> for AccessesAreWhatRulesSay {
    fn name(&self) -> &'static str {
        "accesses are what rules say"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
    ) -> Verdict<'a> {
        Box::pin(async move {
            let highest = states.iter().max_by_key(|it| it.core.tip().height());
            let Some((state, reader)) = highest.and_then(|it| Some((it, it.reader.upgrade()?)))
            else {
                return Err("no validator is there to be asked".into());
            };
            let mut model = Model::default();
            for height in (1..=state.core.tip().height().0).map(Height) {
                let block = reader.block(height).await.map_err(|error| error.to_string())?;
                let line = state.core.index.block(height).map_err(|error| error.to_string())?;
                let outcomes = line.ok_or("a final block has no outcomes")?.outcomes;
                for (outcome, at) in outcomes.iter().zip(0..) {
                    let entry = entry_at(&block, at).map_err(|error| error.to_string())?;
                    model.take(&entry, outcome.verdict.is_accepted(), outcome.time)?;
                }
            }
            let (checked, accepted) = model.checked;
            if checked < self.0 || accepted < ACCEPTED_MIN {
                return Err(format!("{checked} accesses were checked, {accepted} accepted"));
            }
            Ok(())
        })
    }
}

impl Property<EngineKey, State> for BeganFromState {
    fn name(&self) -> &'static str {
        "a validator begins from the state of others"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
    ) -> Verdict<'a> {
        Box::pin(async move {
            let begun = states.get(self.0).ok_or("it is not there")?;
            let floor = begun.core.floor().map_err(|error| error.to_string())?;
            if floor == Height(0) {
                return Err("it executed all blocks".into());
            }
            if lines(begun, floor)?.is_empty() {
                return Err("no chart was there when it began".into());
            }
            if begun.core.abstains() {
                return Err("it has newer blocks, and does not vote".into());
            }
            let others = states.iter().enumerate().filter(|(place, _)| *place != self.0);
            for (_, other) in others {
                let both = [begun, other].map(|it| it.core.tip().height());
                let until = both.into_iter().min().unwrap_or_default();
                let [here, there] = [begun, other].map(|it| lines(it, until));
                if here? != there? {
                    return Err(format!("logs of charts differ up to block {until}"));
                }
            }
            Ok(())
        })
    }
}

/// All lines of all charts up to a block.
fn lines(state: &State, until: Height) -> Result<Vec<(ChartId, LogLine)>, String> {
    let (index, mut lines, mut last) = (&state.core.index, Vec::new(), None);
    let said = |error: IndexError| error.to_string();
    while let Some(chart) = index.chart_after(last).map_err(said)? {
        last = Some(chart);
        for at in (0..).map(LogPosition) {
            let line = index.log(chart, at).map_err(said)?;
            let Some(line) = line.filter(|it| it.location.height <= until) else { break };
            lines.push((chart, line));
        }
    }
    Ok(lines)
}

impl Property<EngineKey, State> for EpochsPass {
    fn name(&self) -> &'static str {
        "epochs pass"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
    ) -> Verdict<'a> {
        Box::pin(async move {
            for state in states {
                let blocks = state.core.sets.epoch_blocks();
                let tip = state.core.tip().header;
                let (of, expected) = (tip.round.epoch, epoch_of(tip.height, blocks));
                if of != expected || of < self.0 {
                    return Err(format!(
                        "block {} is of epoch {of}, {expected} by its height; at least {} expected",
                        tip.height, self.0
                    ));
                }
            }
            Ok(())
        })
    }
}

impl Property<EngineKey, State> for NobodyIsBlocked {
    fn name(&self) -> &'static str {
        "nobody is blocked"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
    ) -> Verdict<'a> {
        Box::pin(async move {
            let Some(state) = states.first() else { return Ok(()) };
            let blocked = state.blocked.lock().expect("nobody panics while holding this lock");
            match blocked.first() {
                Some((who, whom)) => {
                    Err(format!("validator {who} blocked {whom}, and neither lies"))
                }
                None => Ok(()),
            }
        })
    }
}

impl Property<EngineKey, State> for TroubleIsMet {
    fn name(&self) -> &'static str {
        "the trouble of a disk is met"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
    ) -> Verdict<'a> {
        Box::pin(async move {
            match states.first().map(|state| state.troubles.load(Ordering::Relaxed)) {
                Some(1..) => Ok(()),
                Some(0) | None => Err("nothing was written meanwhile".into()),
            }
        })
    }
}

/// How much later each block is than the one before, in milliseconds, as the highest validator has them.
async fn steps(states: &[&State]) -> Result<Vec<(Height, u64)>, String> {
    let highest = states.iter().max_by_key(|it| it.core.tip().height());
    let Some((state, reader)) = highest.and_then(|it| Some((it, it.reader.upgrade()?))) else {
        return Err("no validator is there to be asked".into());
    };
    let (mut steps, mut before) = (Vec::new(), None);
    for height in (1..=state.core.tip().height().0).map(Height) {
        let block = reader.block(height).await.map_err(|error| error.to_string())?;
        let time = block.header().time;
        steps.extend(before.replace(time).map(|before| (height, time.ms_since(before))));
    }
    Ok(steps)
}

impl Property<EngineKey, State> for NothingStalls {
    fn name(&self) -> &'static str {
        "nothing stalls"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
    ) -> Verdict<'a> {
        Box::pin(async move {
            let steps = steps(states).await?;
            match steps.into_iter().find(|(_, step)| *step > self.step_ms_max) {
                Some((height, step)) => {
                    Err(format!("block {} came {step} ms after the one before", height.0))
                }
                None => Ok(()),
            }
        })
    }
}

impl Property<EngineKey, State> for BoundariesAreQuick {
    fn name(&self) -> &'static str {
        "boundaries are quick"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
    ) -> Verdict<'a> {
        Box::pin(async move {
            let (mut over, mut within) = (Vec::new(), Vec::new());
            for (height, step) in steps(states).await? {
                let blocks = states[0].core.sets.epoch_blocks();
                let first = ends_epoch(Height(height.0 - 1), blocks);
                (if first { &mut over } else { &mut within }).push(step);
            }
            let (over, within) = (median(over), median(within));
            println!("a step over a boundary takes {over} ms, any other {within} ms");
            if over > within + self.pause_ms_max {
                return Err(format!(
                    "a step over a boundary takes {over} ms, any other {within} ms"
                ));
            }
            Ok(())
        })
    }
}

fn median(mut steps: Vec<u64>) -> u64 {
    steps.sort_unstable();
    steps.get(steps.len() / 2).copied().unwrap_or_default()
}

impl Property<EngineKey, State> for ValidatorsFollow {
    fn name(&self) -> &'static str {
        "validators follow"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
    ) -> Verdict<'a> {
        Box::pin(async move {
            for state in states {
                let newest = state.core.sets.newest();
                let seats: Vec<_> = newest.seats.iter().map(|it| it.validator.consensus).collect();
                if seats != self.seats {
                    return Err(format!(
                        "a node knows {} validators since epoch {}",
                        seats.len(),
                        newest.since
                    ));
                }
                let Some(reader) = state.reader.upgrade() else { continue };
                let told = |error: ReadError| error.to_string();
                let handovers = reader.handovers(1, HANDOVERS_PAGE_MAX).await.map_err(told)?;
                if handovers.len() != self.changes {
                    return Err(format!(
                        "{} hand-overs, {} expected",
                        handovers.len(),
                        self.changes
                    ));
                }
                let mut validators =
                    Validators::of(&state.core.genesis).map_err(|error| error.to_string())?;
                for handover in &handovers {
                    validators.advance(handover).map_err(|error| error.to_string())?;
                }
                let recent = Height(state.core.tip().height().0.saturating_sub(4));
                let certified = reader.certified(recent).await.map_err(told)?;
                certified.verify_by(&validators).map_err(|error| error.to_string())?;
            }
            Ok(())
        })
    }
}

impl Property<EngineKey, State> for ProtocolIsUpgraded {
    fn name(&self) -> &'static str {
        "the protocol is upgraded"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
    ) -> Verdict<'a> {
        Box::pin(async move {
            for state in states {
                let Some(reader) = state.reader.upgrade() else { continue };
                let plan = reader.state(&[Key::Protocol]).await.map_err(|it| it.to_string())?;
                let [Some(Value::Protocol(plan))] = &plan[..] else {
                    return Err("no upgrade is on record".into());
                };
                let now = plan.at(state.core.tip().height());
                if now != self.to {
                    return Err(format!("protocol {now} is in force, {} expected", self.to));
                }
            }
            let outdated = states.first().map_or(0, |it| it.outdated.load(Ordering::Relaxed));
            if outdated != self.outdated {
                let expected = self.outdated;
                return Err(format!("{outdated} validators were too old, {expected} expected"));
            }
            Ok(())
        })
    }
}

impl Property<EngineKey, State> for SharesAreOpened {
    fn name(&self) -> &'static str {
        "shares are opened where, and only where, someone complains"
    }

    fn check<'a>(
        &'a self,
        _: &'a ProgressTracker<EngineKey>,
        states: &'a [&'a State],
    ) -> Verdict<'a> {
        Box::pin(async move {
            let mut opened = 0;
            for state in states {
                let Some(reader) = state.reader.upgrade() else { continue };
                for height in 2..=state.core.tip().height().0 {
                    let told = |error: ReadError| error.to_string();
                    let block = reader.block(Height(height)).await.map_err(told)?;
                    for index in 0..block.header().entries {
                        let entry = entry_at(&block, index).map_err(told)?;
                        opened += usize::from(matches!(entry.payload(), Payload::ReshareOpen(_)));
                    }
                }
                break;
            }
            if (opened > 0) == self.0 {
                return Ok(());
            }
            Err(format!("{opened} commands opened shares"))
        })
    }
}

//! Running scenarios from seeds, under the checkers that hold for all of them.
//!
//! Here and not beside the tests, so that the whole of a consortium is compiled once and not in each of them.

use std::{
    any::Any,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use commonware_glue::simulate::plan::{PlanBuilder, PlanResult};
use commonware_p2p::simulated::Link;
use commonware_utils::probability;
use keepwell_types::time::BlockTime;
use tracing_subscriber::EnvFilter;

use crate::{
    checkers::{
        AliveAt, CommandsAreServed, NobodyIsBlocked, NothingAcknowledgedIsLost, OneHistory,
        RootsAreEqual, TimeIsKept, TransactionsAreWhole,
    },
    consortium::Consortium,
};

/// The links of a network without faults.
pub const GOOD: Link = Link {
    latency: Duration::from_millis(5),
    jitter: Duration::from_millis(2),
    success_rate: probability!(1.0),
};

/// One seed from `SEED` to replay a failure, those of `KEEPWELL_SIM_SEEDS` (`100`, or `100..200`), or the first few.
fn seeds() -> Range<u64> {
    let number = |text: &str| text.parse().expect("a seed is a number");
    let named = |name| std::env::var(name).ok();
    if let Some(seed) = named("SEED").as_deref().map(number) {
        return seed..seed + 1;
    }
    match named("KEEPWELL_SIM_SEEDS") {
        Some(seeds) => match seeds.split_once("..") {
            Some((first, end)) => number(first)..number(end),
            None => 0..number(&seeds),
        },
        None => 0..3,
    }
}

/// Every validator has come so far, in seconds: the last fault of a schedule is well before it.
pub const fn alive_at(seconds: u64) -> AliveAt {
    AliveAt(BlockTime(seconds * 1_000))
}

/// Runs a scenario from each seed, and says of each how it ended: `seed 7 passed` and the state of its run, which is
/// the same whenever the same program runs it again, or `seed 7 failed` and why.
///
/// # Panics
///
/// After the last seed, if a checker found a fault or a validator panicked; the message names a seed that replays it.
pub fn check(
    scenario: &str,
    consortium: impl Fn() -> Consortium,
    build: impl Fn(Consortium) -> PlanBuilder<Consortium>,
) {
    log();
    let mut failed = None;
    for seed in seeds() {
        let plan = || {
            build(consortium())
                .seed(seed)
                .timeout(Duration::from_secs(600))
                .property(OneHistory)
                .property(NothingAcknowledgedIsLost)
                .property(TransactionsAreWhole)
                .property(RootsAreEqual)
                .property(TimeIsKept)
                .property(NobodyIsBlocked)
                .property(CommandsAreServed)
        };
        match catch_unwind(AssertUnwindSafe(|| run(plan()))).unwrap_or_else(|it| Err(said(&*it))) {
            Ok(results) => println!("seed {seed} passed {}", results[0].state),
            Err(fault) => {
                println!("seed {seed} failed: {fault}");
                failed = Some((seed, fault));
            }
        }
    }
    if let Some((seed, fault)) = failed {
        panic!("{scenario}: {fault}; replay with SEED={seed}");
    }
}

/// Tells what validators log, if `KEEPWELL_LOG` says of whom, such as `commonware_consensus=debug`.
fn log() {
    if let Ok(filter) = EnvFilter::try_from_env("KEEPWELL_LOG") {
        // Another scenario of this program may have begun it.
        let _ = tracing_subscriber::fmt().with_env_filter(filter).without_time().try_init();
    }
}

/// What a panic said.
fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|it| String::from(*it)));
    text.unwrap_or_else(|| "a panic without words".into())
}

/// Runs a plan; every run begins here.
///
/// # Errors
///
/// What a checker found, or that the plan's end was not reached in time.
pub fn run(plan: PlanBuilder<Consortium>) -> Result<Vec<PlanResult<Consortium>>, String> {
    plan.run()
}

//! Running scenarios from seeds, under the checkers that hold for all of them.
//!
//! Here and not beside the tests, so that the whole of a consortium is compiled once and not in each of them.

use std::time::Duration;

use commonware_glue::simulate::plan::{PlanBuilder, PlanResult};
use commonware_p2p::simulated::Link;
use commonware_utils::probability;
use keepwell_types::time::BlockTime;

use crate::{
    checkers::{
        AliveAt, CommandsAreServed, NothingAcknowledgedIsLost, OneHistory, RootsAreEqual,
        TimeIsKept,
    },
    consortium::Consortium,
};

/// The links of a network without faults.
pub const GOOD: Link = Link {
    latency: Duration::from_millis(5),
    jitter: Duration::from_millis(2),
    success_rate: probability!(1.0),
};

/// One seed from `SEED` to replay a failure, or the first few.
fn seeds() -> Vec<u64> {
    let number = |name| std::env::var(name).ok().map(|it| it.parse().expect("a number"));
    match number("SEED") {
        Some(seed) => vec![seed],
        None => (0..number("KEEPWELL_SIM_SEEDS").unwrap_or(3)).collect(),
    }
}

/// Every validator has come so far, in seconds: the last fault of a schedule is well before it.
pub const fn alive_at(seconds: u64) -> AliveAt {
    AliveAt(BlockTime(seconds * 1_000))
}

/// Runs a scenario from each seed.
///
/// # Panics
///
/// Where a checker finds a fault; the message names the seed that replays it.
pub fn check(
    scenario: &str,
    consortium: impl Fn() -> Consortium,
    build: impl Fn(Consortium) -> PlanBuilder<Consortium>,
) {
    for seed in seeds() {
        let plan = build(consortium())
            .seed(seed)
            .timeout(Duration::from_secs(600))
            .property(OneHistory)
            .property(NothingAcknowledgedIsLost)
            .property(RootsAreEqual)
            .property(TimeIsKept)
            .property(CommandsAreServed(10));
        if let Err(fault) = run(plan) {
            panic!("{scenario}: {fault}; replay with SEED={seed}");
        }
    }
}

/// Runs a plan; every run begins here.
///
/// # Errors
///
/// What a checker found, or that the plan's end was not reached in time.
pub fn run(plan: PlanBuilder<Consortium>) -> Result<Vec<PlanResult<Consortium>>, String> {
    plan.run()
}

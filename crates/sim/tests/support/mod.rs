//! Running scenarios from seeds, under the checkers that hold for all of them.
#![allow(missing_docs, unreachable_pub, reason = "it is compiled into each test by itself")]

use std::time::Duration;

use commonware_glue::simulate::plan::PlanBuilder;
use commonware_p2p::simulated::Link;
use commonware_utils::probability;
use keepwell_sim::{
    checkers::{
        AliveAt, CommandsAreServed, NothingAcknowledgedIsLost, OneHistory, RootsAreEqual,
        TimeIsKept,
    },
    consortium::Consortium,
};
use keepwell_types::time::BlockTime;

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

/// Runs a scenario from each seed; a failure names the seed that replays it.
pub fn check_with(
    scenario: &str,
    consortium: impl Fn() -> Consortium,
    build: impl Fn(Consortium) -> PlanBuilder<Consortium>,
) {
    for seed in seeds() {
        let run = build(consortium())
            .seed(seed)
            .timeout(Duration::from_secs(600))
            .property(OneHistory)
            .property(NothingAcknowledgedIsLost)
            .property(RootsAreEqual)
            .property(TimeIsKept)
            .property(CommandsAreServed(10))
            .run();
        if let Err(fault) = run {
            panic!("{scenario}: {fault}; replay with SEED={seed}");
        }
    }
}

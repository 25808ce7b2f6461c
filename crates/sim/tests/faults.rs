//! Goal: whatever network, disks and processes do, honest validators keep one history, lose nothing
//! acknowledged, and go on once the faults stop. Method: many seeds, named faults, named checkers.
//!
//! `KEEPWELL_SIM_SEEDS=1000 cargo test -p keepwell-sim --release` runs many; `SEED=7` replays one.

use std::time::Duration;

use commonware_glue::simulate::{
    action::{Action, Crash, Schedule},
    engine::EngineDefinition as _,
    plan::PlanBuilder,
};
use commonware_p2p::simulated::Link;
use commonware_runtime::deterministic::{FaultConfig, PartialWriteMode, WriteConfig};
use commonware_utils::probability;
use keepwell_sim::{
    checkers::{AccessesAreWhatRulesSay, NothingStalls, TroubleIsMet},
    consortium::Consortium,
    disk::{Spell, Trouble},
    scenario::{self, GOOD, alive_at},
};

/// Four validators, whose clients ask no more than shows that they are served.
fn four() -> Consortium {
    Consortium::new(4).with_pace(Duration::from_secs(1))
}

/// Runs a scenario from each seed; a failure names the seed that replays it.
fn check(scenario: &str, build: impl Fn(Consortium) -> PlanBuilder<Consortium>) {
    scenario::check(scenario, four, build);
}

#[test]
fn calm() {
    check("calm", |consortium| PlanBuilder::new(consortium).link(GOOD).exit_condition(alive_at(6)));
}

#[test]
fn crashes_and_restarts() {
    check("crashes and restarts", |consortium| {
        PlanBuilder::new(consortium)
            .link(GOOD)
            .crash(Crash::Random {
                frequency: Duration::from_secs(4),
                downtime: Duration::from_secs(2),
                count: 1,
            })
            .exit_condition(alive_at(40))
    });
}

/// Whatever crashes and whatever order it brings, nobody opens what the rules so far forbid, and nobody is refused
/// what they allow.
#[test]
fn histories_of_consent_with_crashes() {
    scenario::check(
        "histories of consent with crashes",
        || Consortium::new(4).with_histories(Duration::from_millis(80)),
        |consortium| {
            PlanBuilder::new(consortium)
                .link(GOOD)
                .crash(Crash::Random {
                    frequency: Duration::from_secs(4),
                    downtime: Duration::from_secs(2),
                    count: 1,
                })
                .property(AccessesAreWhatRulesSay(200))
                .exit_condition(alive_at(40))
        },
    );
}

#[test]
fn a_lossy_wide_area_network() {
    check("a lossy wide-area network", |consortium| {
        PlanBuilder::new(consortium)
            .link(Link {
                latency: Duration::from_millis(40),
                jitter: Duration::from_millis(20),
                success_rate: probability!(0.9),
            })
            .crash(Crash::Random {
                frequency: Duration::from_secs(6),
                downtime: Duration::from_secs(3),
                count: 1,
            })
            .exit_condition(alive_at(40))
    });
}

#[test]
fn a_partition_that_heals() {
    check("a partition that heals", |consortium| {
        let ids = consortium.participants();
        let cut = Link { success_rate: probability!(0.0), ..GOOD };
        let mut schedule = Schedule::new();
        for other in &ids[1..] {
            for (from, to) in [(&ids[0], other), (other, &ids[0])] {
                let (from, to, link) = (from.clone(), to.clone(), cut.clone());
                schedule =
                    schedule.at(Duration::from_secs(4), Action::UpdateLink { from, to, link });
            }
        }
        schedule = schedule.at(Duration::from_secs(8), Action::Heal(GOOD));
        PlanBuilder::new(consortium)
            .link(GOOD)
            .crash(Crash::Schedule(schedule))
            .exit_condition(alive_at(11))
    });
}

#[test]
fn everyone_stops_at_once() {
    check("everyone stops at once", |consortium| {
        let ids = consortium.participants();
        let mut schedule = Schedule::new();
        for id in &ids {
            schedule = schedule.at(Duration::from_secs(4), Action::Crash(id.clone()));
        }
        for id in &ids {
            schedule = schedule.at(Duration::from_secs(5), Action::Restart(id.clone()));
        }
        PlanBuilder::new(consortium)
            .link(GOOD)
            .crash(Crash::Schedule(schedule))
            .exit_condition(alive_at(11))
    });
}

/// Writes are torn and syncs fail for a while: a validator that cannot trust its disk stops, and
/// comes back when the disk is good again.
#[test]
fn torn_writes() {
    check("torn writes", |consortium| {
        let ids = consortium.participants();
        let faults = FaultConfig {
            sync_rate: Some(probability!(0.02)),
            write_rate: Some(WriteConfig {
                failure_rate: probability!(0.01),
                retention_rate: probability!(0.5),
                mode: PartialWriteMode::Subset,
            }),
            ..FaultConfig::default()
        };
        let mut schedule = Schedule::new()
            .at(Duration::from_secs(3), Action::SetStorageFault(faults))
            .at(Duration::from_secs(5), Action::SetStorageFault(FaultConfig::default()));
        for id in &ids {
            schedule = schedule
                .at(Duration::from_secs(6), Action::Crash(id.clone()))
                .at(Duration::from_secs(6), Action::Restart(id.clone()));
        }
        PlanBuilder::new(consortium)
            .link(GOOD)
            .crash(Crash::Schedule(schedule))
            .exit_condition(alive_at(12))
    });
}

/// One validator's disk takes most of a second for what those of the others do at once: nobody waits for it.
#[test]
fn a_disk_that_is_slow() {
    let spell = Spell { trouble: Trouble::Slow(Duration::from_millis(700)), from: 3, to: 10 };
    scenario::check(
        "a disk that is slow",
        || four().with_spell(2, spell),
        |consortium| {
            PlanBuilder::new(consortium)
                .link(GOOD)
                .property(NothingStalls { step_ms_max: 8_000 })
                .property(TroubleIsMet)
                .exit_condition(alive_at(13))
        },
    );
}

/// One validator's disk fills up under way. It ends, the others go on, and once there is room it comes back.
#[test]
fn a_disk_that_fills_up() {
    let spell = Spell { trouble: Trouble::Full, from: 4, to: 9 };
    scenario::check(
        "a disk that fills up",
        || four().with_spell(2, spell),
        |consortium| {
            let id = consortium.participants()[2].clone();
            // Where a schedule has faults of disks, a validator that panics for one does not end the run.
            let schedule = Schedule::new()
                .at(Duration::from_secs(1), Action::SetStorageFault(FaultConfig::default()))
                .at(Duration::from_secs(10), Action::Crash(id.clone()))
                .at(Duration::from_secs(10), Action::Restart(id));
            PlanBuilder::new(consortium)
                .link(GOOD)
                .crash(Crash::Schedule(schedule))
                .property(NothingStalls { step_ms_max: 8_000 })
                .property(TroubleIsMet)
                .exit_condition(alive_at(14))
        },
    );
}

#[test]
fn a_leader_whose_clock_is_an_hour_ahead() {
    scenario::check(
        "a leader whose clock is an hour ahead",
        || four().with_clock_skew(1, 3_600_000),
        |consortium| PlanBuilder::new(consortium).link(GOOD).exit_condition(alive_at(10)),
    );
}

#[test]
fn a_leader_whose_clock_stands_still() {
    scenario::check(
        "a leader whose clock stands still",
        || four().with_clock_skew(2, -3_600_000),
        |consortium| PlanBuilder::new(consortium).link(GOOD).exit_condition(alive_at(10)),
    );
}

/// The same seed gives the same run, to the last event.
#[test]
fn runs_repeat() {
    let run = || {
        let plan = PlanBuilder::new(Consortium::new(4)).seed(7).link(GOOD);
        scenario::run(plan.required_finalizations(20)).expect("a calm run")[0].state.clone()
    };
    assert_eq!(run(), run());
}

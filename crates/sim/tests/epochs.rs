//! Goal: epochs follow one another whatever happens, also where they are short and faults hit where one ends; the
//! chain loses nothing at a boundary and hardly pauses there. Method: as in `faults`.

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
    checkers::{BoundariesAreQuick, EpochsPass, NothingStalls},
    consortium::Consortium,
    scenario::{self, GOOD, alive_at},
};

/// Runs a scenario in which each epoch has 8 blocks: several pass in a second.
fn check(scenario: &str, epochs: u64, build: impl Fn(Consortium) -> PlanBuilder<Consortium>) {
    scenario::check(
        scenario,
        || Consortium::new(4).with_epochs(8),
        |consortium| build(consortium).property(EpochsPass(epochs)),
    );
}

#[test]
fn epochs_in_calm() {
    check("epochs in calm", 20, |consortium| {
        PlanBuilder::new(consortium)
            .link(GOOD)
            .property(BoundariesAreQuick { pause_ms_max: 250 })
            .property(NothingStalls { step_ms_max: 2_000 })
            .exit_condition(alive_at(20))
    });
}

#[test]
fn epochs_with_crashes_and_restarts() {
    check("epochs with crashes and restarts", 10, |consortium| {
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

/// A validator falls and comes back every 400 ms, each at another point of an epoch.
#[test]
fn restarts_at_every_point_of_an_epoch() {
    check("restarts at every point of an epoch", 5, |consortium| {
        let ids = consortium.participants();
        let mut schedule = Schedule::new();
        for (turn, id) in (0..40_u64).zip(ids.iter().cycle()) {
            let at = Duration::from_millis(2_000 + 437 * turn);
            schedule = schedule
                .at(at, Action::Crash(id.clone()))
                .at(at + Duration::from_millis(150), Action::Restart(id.clone()));
        }
        PlanBuilder::new(consortium)
            .link(GOOD)
            .crash(Crash::Schedule(schedule))
            .exit_condition(alive_at(40))
    });
}

#[test]
fn epochs_over_a_lossy_wide_area_network() {
    check("epochs over a lossy wide-area network", 3, |consortium| {
        PlanBuilder::new(consortium)
            .property(BoundariesAreQuick { pause_ms_max: 5_000 })
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
            .exit_condition(alive_at(120))
    });
}

/// One validator misses many epochs, and comes through each of them by itself.
#[test]
fn epochs_that_one_validator_misses() {
    check("epochs that one validator misses", 10, |consortium| {
        let ids = consortium.participants();
        let cut = Link { success_rate: probability!(0.0), ..GOOD };
        let mut schedule = Schedule::new();
        for other in &ids[1..] {
            for (from, to) in [(&ids[0], other), (other, &ids[0])] {
                let (from, to, link) = (from.clone(), to.clone(), cut.clone());
                schedule =
                    schedule.at(Duration::from_secs(2), Action::UpdateLink { from, to, link });
            }
        }
        schedule = schedule.at(Duration::from_secs(16), Action::Heal(GOOD));
        PlanBuilder::new(consortium)
            .link(GOOD)
            .crash(Crash::Schedule(schedule))
            .exit_condition(alive_at(24))
    });
}

#[test]
fn epochs_when_everyone_stops_at_once() {
    check("epochs when everyone stops at once", 10, |consortium| {
        let ids = consortium.participants();
        let mut schedule = Schedule::new();
        for turn in 0..6 {
            let at = Duration::from_millis(4_000 + 4_630 * turn);
            for id in &ids {
                schedule = schedule.at(at, Action::Crash(id.clone()));
            }
            for id in &ids {
                schedule =
                    schedule.at(at + Duration::from_millis(500), Action::Restart(id.clone()));
            }
        }
        PlanBuilder::new(consortium)
            .link(GOOD)
            .crash(Crash::Schedule(schedule))
            .exit_condition(alive_at(40))
    });
}

#[test]
fn epochs_with_torn_writes() {
    check("epochs with torn writes", 5, |consortium| {
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
            .at(Duration::from_secs(6), Action::SetStorageFault(FaultConfig::default()));
        for id in &ids {
            schedule = schedule
                .at(Duration::from_secs(7), Action::Crash(id.clone()))
                .at(Duration::from_secs(7), Action::Restart(id.clone()));
        }
        PlanBuilder::new(consortium)
            .link(GOOD)
            .crash(Crash::Schedule(schedule))
            .exit_condition(alive_at(20))
    });
}

/// A validator joins, one leaves, one is expelled: each deals its share anew to those that follow.
fn check_changes(scenario: &str, build: impl Fn(Consortium) -> PlanBuilder<Consortium>) {
    scenario::check(
        scenario,
        || Consortium::new(4).with_changes().with_epochs(32),
        |consortium| {
            let changed = consortium.after_changes();
            build(consortium).property(changed.clone()).exit_condition(changed)
        },
    );
}

#[test]
fn validators_change_in_calm() {
    check_changes("validators change in calm", |consortium| {
        PlanBuilder::new(consortium).link(GOOD)
    });
}

#[test]
fn validators_change_with_crashes_and_restarts() {
    check_changes("validators change with crashes and restarts", |consortium| {
        PlanBuilder::new(consortium).link(GOOD).crash(Crash::Random {
            frequency: Duration::from_secs(5),
            downtime: Duration::from_secs(1),
            count: 1,
        })
    });
}

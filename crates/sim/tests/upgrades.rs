//! Goal: the protocol is upgraded while validators run old and new programs; old ones end before the first block that
//! they do not understand, and come back with new ones. Method: as in `faults`; the new program knows one version more.

use std::time::Duration;

use commonware_glue::simulate::{
    action::{Action, Crash, Schedule},
    engine::EngineDefinition as _,
    plan::PlanBuilder,
};
use keepwell_sim::{
    checkers::ProtocolIsUpgraded,
    consortium::{Consortium, NEXT},
    scenario::{self, GOOD, alive_at},
};

/// Starts these validators again at these seconds.
fn restarts(
    consortium: &Consortium,
    at: &[(u64, usize)],
) -> Crash<commonware_cryptography::ed25519::PublicKey> {
    let ids = consortium.participants();
    let schedule = at.iter().fold(Schedule::new(), |schedule, (second, place)| {
        let id = &ids[*place];
        schedule
            .at(Duration::from_secs(*second), Action::Crash(id.clone()))
            .at(Duration::from_millis(second * 1_000 + 500), Action::Restart(id.clone()))
    });
    Crash::Schedule(schedule)
}

fn check(scenario: &str, outdated: u64, at: &'static [(u64, usize)]) {
    scenario::check(
        scenario,
        || Consortium::new(4).with_epochs(64).with_upgrade(),
        |consortium| {
            let crash = restarts(&consortium, at);
            PlanBuilder::new(consortium)
                .link(GOOD)
                .crash(crash)
                .property(ProtocolIsUpgraded { to: NEXT, outdated })
                .exit_condition(alive_at(40))
        },
    );
}

/// Everyone has a new program in time.
#[test]
fn an_upgrade_that_everyone_is_ready_for() {
    check("an upgrade that everyone is ready for", 0, &[(1, 2), (2, 3)]);
}

/// One is late: the others go on, and it catches up.
#[test]
fn an_upgrade_that_one_is_late_for() {
    check("an upgrade that one is late for", 1, &[(1, 2), (30, 3)]);
}

/// Two of four are late, so nothing is final until one of them is there.
#[test]
fn an_upgrade_that_two_are_late_for() {
    check("an upgrade that two are late for", 2, &[(20, 2), (30, 3)]);
}

//! Goal: one validator of four may do what it likes, and the others keep one history and go on. Method: as in `faults`;
//! the liar's keys are good, and what it does with them is not.

use std::time::Duration;

use commonware_glue::simulate::{
    action::{Action, Crash, Schedule},
    engine::EngineDefinition as _,
    plan::PlanBuilder,
};
use keepwell_sim::{
    checkers::SharesAreOpened,
    consortium::Consortium,
    liars::Lie,
    scenario::{self, GOOD, alive_at},
};

/// Four validators, whose clients ask no more than shows that they are served.
fn four() -> Consortium {
    Consortium::new(4).with_pace(Duration::from_secs(1))
}

/// Runs a scenario in which the second validator lies.
fn check(scenario: &str, lie: Lie) {
    scenario::check(
        scenario,
        || four().with_liar(1, lie),
        |consortium| PlanBuilder::new(consortium).link(GOOD).exit_condition(alive_at(15)),
    );
}

#[test]
fn a_leader_that_proposes_two_blocks() {
    check("a leader that proposes two blocks", Lie::Twins);
}

#[test]
fn a_validator_that_sends_garbage() {
    check("a validator that sends garbage", Lie::Garbage);
}

#[test]
fn a_leader_that_is_silent() {
    check("a leader that is silent", Lie::Silence);
}

/// Its host is lost again and again, and each new one knows nothing of how the last one voted.
#[test]
fn a_validator_that_is_wiped() {
    scenario::check(
        "a validator that is wiped",
        || four().with_liar(1, Lie::Forgetting),
        |consortium| {
            let wiped = consortium.participants()[1].clone();
            let mut schedule = Schedule::new();
            for at in [4, 6, 8] {
                schedule = schedule
                    .at(Duration::from_secs(at), Action::Crash(wiped.clone()))
                    .at(Duration::from_secs(at + 1), Action::Restart(wiped.clone()));
            }
            PlanBuilder::new(consortium)
                .link(GOOD)
                .crash(Crash::Schedule(schedule))
                .exit_condition(alive_at(13))
        },
    );
}

/// Runs a scenario in which validators change and the fourth, which is expelled in the end, does not do its part.
fn check_changes(scenario: &str, lie: Lie, opened: bool) {
    scenario::check(
        scenario,
        || Consortium::new(4).with_epochs(16).with_changes().with_liar(3, lie),
        |consortium| {
            let changed = consortium.after_changes();
            PlanBuilder::new(consortium)
                .link(GOOD)
                .property(changed.clone())
                .property(SharesAreOpened(opened))
                .exit_condition(changed)
        },
    );
}

/// Its dealings are complained about and do not count; validators change all the same.
#[test]
fn a_validator_that_deals_bad_shares() {
    check_changes("a validator that deals bad shares", Lie::Dealing, false);
}

/// The others open what they dealt to it, for all to see that it was right, and their dealings count.
#[test]
fn a_validator_that_complains_of_everyone() {
    check_changes("a validator that complains of everyone", Lie::Accusing, true);
}

/// It cannot tell what it was dealt. That is no reason for the others to show it to everyone.
#[test]
fn a_validator_that_loses_the_key_it_is_dealt_to() {
    check_changes("a validator that loses the key it is dealt to", Lie::Losing, false);
}

/// More liars than may be: the others stop, as they must, and the run sees it, so it would see it elsewhere too.
#[test]
#[should_panic(expected = "runtime timeout")]
fn two_liars_of_four_are_more_than_may_be() {
    let consortium = Consortium::new(4).with_liar(0, Lie::Silence).with_liar(1, Lie::Silence);
    let plan = PlanBuilder::new(consortium).link(GOOD).seed(0);
    let _ = scenario::run(plan.timeout(Duration::from_secs(60)).exit_condition(alive_at(12)));
}

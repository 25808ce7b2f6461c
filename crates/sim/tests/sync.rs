//! Goal: a validator that lost everything begins from the state of the others, whatever they say, and is one of them
//! again. Method: as in `faults`.

use std::time::Duration;

use commonware_glue::simulate::{
    action::{Action, Crash, Schedule},
    engine::EngineDefinition as _,
    plan::PlanBuilder,
};
use commonware_p2p::simulated::Link;
use commonware_utils::probability;
use keepwell_sim::{
    checkers::{BeganFromState, ServedBetween},
    consortium::Consortium,
    liars::Lie,
    scenario::{self, GOOD, alive_at},
};
use keepwell_types::time::BlockTime;

/// The validator that begins.
const BEGINNER: usize = 2;

/// Four validators, and histories: what is begun from has charts.
fn four() -> Consortium {
    Consortium::new(4).with_histories(Duration::from_millis(250))
}

/// Seven, two of whom may lie or be away, and are waited for: charts come later.
fn seven() -> Consortium {
    Consortium::new(7).with_histories(Duration::from_millis(80))
}

/// Crashes a validator at these seconds, and starts it again a second later.
fn crashes(consortium: &Consortium, at: &[u64]) -> Crash<keepwell_engine::block::EngineKey> {
    let id = &consortium.participants()[BEGINNER];
    let schedule = at.iter().fold(Schedule::new(), |schedule, second| {
        schedule
            .at(Duration::from_secs(*second), Action::Crash(id.clone()))
            .at(Duration::from_secs(second + 1), Action::Restart(id.clone()))
    });
    Crash::Schedule(schedule)
}

fn check(scenario: &str, link: Link, at: &'static [u64], consortium: impl Fn() -> Consortium) {
    scenario::check(
        scenario,
        || consortium().with_beginner(BEGINNER),
        |consortium| {
            let crash = crashes(&consortium, at);
            PlanBuilder::new(consortium)
                .link(link.clone())
                .crash(crash)
                .property(BeganFromState(BEGINNER))
                .exit_condition(alive_at(at.last().expect("one crash at least") + 9))
        },
    );
}

#[test]
fn a_validator_begins_from_the_state_of_the_others() {
    check("a validator begins from the state of the others", GOOD, &[8], four);
}

/// It goes on from there, and from nothing before.
#[test]
fn a_validator_that_began_from_the_state_crashes_and_goes_on() {
    check("a validator that began from the state crashes and goes on", GOOD, &[8, 12, 15], four);
}

/// Without its vote there would be no block while another one is away: it does not abstain for ever.
#[test]
fn a_validator_that_began_from_the_state_votes_again() {
    scenario::check(
        "a validator that began from the state votes again",
        || four().with_beginner(BEGINNER),
        |consortium| {
            let ids = consortium.participants();
            let [lost, other] = [BEGINNER, BEGINNER + 1].map(|at| ids[at].clone());
            let crash = Schedule::new()
                .at(Duration::from_secs(8), Action::Crash(lost.clone()))
                .at(Duration::from_secs(9), Action::Restart(lost))
                .at(Duration::from_secs(15), Action::Crash(other.clone()))
                .at(Duration::from_secs(27), Action::Restart(other));
            let seconds = |it: u64| BlockTime(it * 1_000);
            PlanBuilder::new(consortium)
                .link(GOOD)
                .crash(Crash::Schedule(crash))
                .property(BeganFromState(BEGINNER))
                .property(ServedBetween(seconds(19), seconds(26)))
                .exit_condition(alive_at(33))
        },
    );
}

/// What it has on its disk by then is enough to go on, or it fetches it again.
#[test]
fn a_validator_is_killed_while_it_begins() {
    check("a validator is killed while it begins", GOOD, &[8], || four().with_interruptions(8));
}

/// Epochs pass while it is away and while it fetches.
#[test]
fn a_validator_begins_in_a_later_epoch() {
    check("a validator begins in a later epoch", GOOD, &[8, 13], || four().with_epochs(8));
}

#[test]
fn a_validator_begins_over_a_lossy_wide_area_network() {
    let link = Link {
        latency: Duration::from_millis(75),
        jitter: Duration::from_millis(20),
        success_rate: probability!(0.98),
    };
    check("a validator begins over a lossy wide-area network", link, &[8], four);
}

/// What it is told wrongly it finds out, and asks the others.
#[test]
fn a_validator_misleads_one_that_begins() {
    check("a validator misleads one that begins", GOOD, &[8], || {
        four().with_liar(0, Lie::Misleading)
    });
}

/// One names no chart and says that there are more, for as long as it is asked; another one says that there are none.
#[test]
fn validators_hold_up_one_that_begins() {
    check("validators hold up one that begins", GOOD, &[14], || {
        seven().with_liar(0, Lie::Dripping).with_liar(1, Lie::Misleading)
    });
}

/// Two of seven do not vote meanwhile: the one that the others block, and the one that begins.
#[test]
fn a_validator_sends_garbage_to_one_that_begins() {
    check("a validator sends garbage to one that begins", GOOD, &[14], || {
        seven().with_liar(0, Lie::Garbage)
    });
}

/// Of three, all are needed: it votes at once, and remembers what it has voted since when newer blocks are there.
#[test]
fn one_of_three_begins_from_the_state_of_the_others() {
    check("one of three begins from the state of the others", GOOD, &[8, 15], || {
        Consortium::new(3).with_histories(Duration::from_millis(250))
    });
}

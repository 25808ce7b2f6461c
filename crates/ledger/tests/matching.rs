//! Matching and links: what is evaluated, who confirms, who reverses, and what the ledger does not know.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_ledger::{
    matching::{EvaluationHalt, EvaluationRefusal, evaluation_check},
    state::{Key, Link, LinkStatus, MatchQuota, Value},
};
use keepwell_types::{
    genesis::{MatchingRule, Parameters},
    limits::{MATCH_PERIOD_MS_MIN, MATCH_POINTS_MAX},
};
use support::{
    PARAMETERS, World, chart_id, check, check_with, link_id, member_id, name_of, organisation_id,
    script,
};

/// Ten points in a day.
const RULE: MatchingRule = MatchingRule { points_max: 10, period_ms: MATCH_PERIOD_MS_MIN };
const MATCHING: Parameters = Parameters { matching: Some(RULE), ..PARAMETERS };
/// Registrars at the clinic and the laboratory, as rex is at the hospital, and a gateway.
const DESKS: &str = "
    t0  clinic    enrol  rita  of=clinic roles=registrar            ok
    t0  clinic    enrol  ruth  of=clinic roles=privacy_officer,registrar  ok
    t0  lab       enrol  lou   of=lab roles=gateway                 ok
";
const DAY: u64 = 24 * 60 * 60;

fn check_match(script: &str) -> World {
    let mut world = check_with(MATCHING, DESKS);
    world.run(script);
    world
}

fn link(world: &World, name: &str) -> Link {
    match world.stored(&Key::Link(link_id(name))) {
        Some(Value::Link(link)) => link,
        other => panic!("{other:?}"),
    }
}

fn quota(world: &World, organisation: &str) -> MatchQuota {
    match world.stored(&Key::MatchQuota(organisation_id(organisation))) {
        Some(Value::MatchQuota(quota)) => quota,
        other => panic!("{other:?}"),
    }
}

#[test]
fn whoever_admits_patients_has_points_evaluated() {
    check_match(
        "
        t1  rex   evaluate  regional  points=a            ok
        t1  lou   evaluate  regional  points=a,b          ok
        t1  rita  evaluate  research  points=a for=HRESCH ok
        t1  drey  evaluate  regional  points=a            role_missing
        t1  hugh  evaluate  regional  points=a            role_missing
        t1  rex!  evaluate  regional  points=a            ~key_not_of_signer
        t1  rex+drey  evaluate  regional  points=a        wrong_signers
        t1  hospital  evaluate  regional  points=a        wrong_signers
        t1  rex   evaluate  regional                      match_points
        t1  rex   evaluate  regional  points=a,b,a        match_points
    ",
    );
}

#[test]
fn a_consortium_without_matching_evaluates_nothing() {
    check("t1 rex evaluate regional points=a no_matching");
}

#[test]
fn each_point_counts_against_the_quota_of_the_organisation_in_its_period() {
    let world = check_match(&format!(
        "
        t1      rex   evaluate  one  points=a,b,c,d            ok
        t1      rex   evaluate  one  points=a,a                match_points
        t2      rex   evaluate  two  points=a,b,c,d for=HRESCH ok
        t2      rex   evaluate  one  points=a,b,c              match_quota
        t3      rex   evaluate  one  points=a,b                ok
        t3      rex   evaluate  one  points=a                  match_quota
        t3      lou   evaluate  one  points=a,b                ok
        t{day}  rex   evaluate  one  points=a                  ok
    ",
        day = 2 * DAY
    ));
    let hospital = quota(&world, "hospital");
    assert_eq!((hospital.used, hospital.total), (1, 11), "what was refused counts nowhere");
    assert_eq!(quota(&world, "lab").used, 2);
}

#[test]
fn a_period_is_half_open() {
    // The script's second 0 is not the beginning of a day.
    let period = MATCH_PERIOD_MS_MIN;
    let left = period - support::START.0 % period;
    let (last, next) = (left - 1, left);
    check_match(&format!(
        "
        t1         rex  evaluate  one  points=a,b,c,d,e,f,g,h,i,j  ok
        t0+{last}  rex  evaluate  one  points=a                    match_quota
        t0+{next}  rex  evaluate  one  points=a                    ok
    "
    ));
}

#[test]
fn as_many_points_as_one_command_may_name() {
    let rule = MatchingRule { points_max: MATCH_POINTS_MAX as u32, ..RULE };
    let parameters = Parameters { matching: Some(rule), ..PARAMETERS };
    let points: Vec<_> = (0..MATCH_POINTS_MAX).map(|at| at.to_string()).collect();
    check_with(
        parameters,
        &format!(
            "
            t1  rex  evaluate  one  points={}  ok
            t1  rex  evaluate  one  points=a   match_quota
        ",
            points.join(",")
        ),
    );
}

#[test]
fn an_evaluation_is_sent_once() {
    check_match(
        "
        t1  rex  evaluate  one  points=a  ok
        t1  rex  repeat    one            replayed
        t2  rex  repeat    one            replayed
    ",
    );
}

/// What a validator says at `now` to an evaluation of rex that was accepted at t1.
fn answered(world: &World, now: &str) -> String {
    let (accepted, now) = (script::instant("t1"), script::instant(now));
    let answer = world.ask(
        |view| evaluation_check(view, now, member_id("rex"), accepted),
        |halt| match halt {
            EvaluationHalt::Lacks(lacks) => Some(*lacks),
            EvaluationHalt::Refused(_) => None,
        },
    );
    match answer {
        Ok(()) => "ok".into(),
        Err(EvaluationHalt::Refused(EvaluationRefusal::Requester(why))) => name_of(&why),
        Err(EvaluationHalt::Refused(refusal)) => name_of(&refusal),
        Err(EvaluationHalt::Lacks(_)) => unreachable!("what lacks is loaded"),
    }
}

#[test]
fn an_evaluation_is_answered_for_two_minutes() {
    let world = check_match("t1 rex evaluate one points=a ok");
    for (now, expected) in [("t1", "ok"), ("t121", "ok"), ("t121+1", "too_old")] {
        assert_eq!(answered(&world, now), expected, "{now}");
    }
}

#[test]
fn who_may_not_act_any_more_is_answered_nothing() {
    let after = |script: &str| {
        let mut world = check_match("t1 rex evaluate one points=a ok");
        world.run(script);
        answered(&world, "t3")
    };
    assert_eq!(after("t2 hospital suspend rex ok"), "member_suspended");
    assert_eq!(after("t2 hospital assign rex roles=nurse ok"), "role_missing");
    let suspended = "t2 clinic+lab+insurer suspend_organisation hospital ok";
    assert_eq!(after(suspended), "organisation_suspended");
}

#[test]
fn a_link_holds_when_both_sides_and_a_privacy_officer_say_so() {
    let world = check_match(
        "
        t1  rex   propose  l1 with=clinic   ok
        t1  rex   propose  l1 with=lab      link_exists
        t2  rita  confirm  l1               ok
        t3  hugh  confirm  l1 officer       ok
        t4  cora  confirm  l1 officer       link_closed
        t4  rita  confirm  l1               link_closed
    ",
    );
    let link = link(&world, "l1");
    assert_eq!(link.status(script::instant("t2000")), LinkStatus::Confirmed);
    assert_eq!(link.since, Some(script::instant("t3")));
    assert_ne!(link.proposed.commitment, link.confirmed.unwrap().commitment);
}

#[test]
fn a_link_that_one_side_confirms_alone_does_not_hold() {
    let world = check_match(
        "
        t1  rex   propose  l1 with=clinic   ok
        t2  rex   confirm  l1               not_of_link
        t2  hugh  confirm  l1 officer       ok
        t2  hugh  confirm  l1 officer       link_confirmed_already
        t2  rex   confirm  l1 patient       link_confirmed_already
        t2  lou   confirm  l1               not_of_link
        t2  lara  confirm  l1 officer       not_of_link
        t2  rita! confirm  l1               ~key_not_of_signer
    ",
    );
    assert_eq!(link(&world, "l1").status(world.time), LinkStatus::Proposed);
    let world = check_match(
        "
        t1  rex   propose  l1 with=clinic   ok
        t2  rita  confirm  l1               ok
        t2  rita  confirm  l1               link_confirmed_already
        t3  ruth  confirm  l1               link_confirmed_already
    ",
    );
    assert_eq!(link(&world, "l1").status(world.time), LinkStatus::Proposed);
}

#[test]
fn the_patients_consent_stands_for_the_officer() {
    let world = check_match(
        "
        t1  rex   propose  l1 with=clinic   ok
        t2  drey  confirm  l1 patient       role_missing
        t2  hugh  confirm  l1 patient       role_missing
        t2  rex   confirm  l1 patient       ok
        t3  rita  confirm  l1               ok
    ",
    );
    let link = link(&world, "l1");
    assert_eq!(link.status(world.time), LinkStatus::Confirmed);
    assert!(link.approved.unwrap().consent.is_some());
}

/// Four eyes: whoever confirms a side is not the officer, in whichever order it is said.
#[test]
fn the_officer_is_neither_side() {
    check_match(
        "
        t1  ruth  propose  l1 with=hospital   ok
        t2  ruth  confirm  l1 officer         link_same_member
        t2  rex   confirm  l1                 ok
        t2  ruth  confirm  l1 officer         link_same_member
        t2  cora  confirm  l1 officer         ok
        t3  rex   propose  l2 with=clinic     ok
        t3  ruth  confirm  l2 officer         ok
        t3  ruth  confirm  l2                 link_same_member
        t3  rita  confirm  l2                 ok
        t3  drey  confirm  l9 officer         unknown_link
        t3  rex   propose  l3 with=clinic     ok
        t3  carl  confirm  l3 officer         role_missing
        t3  carl  confirm  l3                 role_missing
    ",
    );
}

#[test]
fn who_proposes_what() {
    check_match(
        "
        t1  drey  propose  l1 with=clinic                role_missing
        t1  rex   propose  l1 with=hospital              link_within
        t1  rex   propose  l1 with=nowhere               unknown_organisation
        t1  rex   propose  l1 waits=t1                   window_passed
        t1  rex   propose  l1 waits=t2592001+1           link_waits_too_long
        t1  rex   propose  l1 waits=t2592001             ok
        t1  c1    propose  l2                            ~unknown_chart
        t1  hospital  propose  l2                        wrong_signers
    ",
    );
}

#[test]
fn a_proposal_ends_at_its_instant() {
    let world = check_match(
        "
        t1    rex   propose  l1 waits=t5   ok
        t1    rex   propose  l2 waits=t5   ok
        t1    hugh  confirm  l1 officer    ok
        t1    hugh  confirm  l2 officer    ok
        t5-1  rita  confirm  l1            ok
        t5    rita  confirm  l2            link_closed
    ",
    );
    assert_eq!(link(&world, "l1").status(world.time), LinkStatus::Confirmed);
    assert_eq!(link(&world, "l2").status(world.time), LinkStatus::Lapsed);
}

#[test]
fn a_link_is_reversed_once_and_for_good_by_either_organisation() {
    let world = check_match(
        "
        t1  rex   propose  l1                      ok
        t2  rita  confirm  l1                      ok
        t3  hugh  confirm  l1 officer              ok
        t4  drey  reverse  l1                      role_missing
        t4  lou   reverse  l1                      not_of_link
        t4  rex   reverse  l9                      unknown_link
        t4  cora  reverse  l1                      ok
        t5  rex   reverse  l1                      link_reversed
        t5  cora  reverse  l1                      link_reversed
        t5  rita  confirm  l1                      link_reversed
        t5  ruth  confirm  l1 officer              link_reversed
        t5  rex   confirm  l1 patient              link_reversed
        t5  rex   propose  l1                      link_exists
    ",
    );
    let link = link(&world, "l1");
    let reversed = link.reversed.unwrap();
    assert_eq!(link.status(world.time), LinkStatus::Reversed);
    assert_eq!(reversed.member, member_id("cora"));
    assert_eq!(link.since, Some(script::instant("t3")), "the trail stays");
}

#[test]
fn a_withdrawal_is_there_if_and_only_if_consent_was_withdrawn() {
    let world = check_match(
        "
        t1  rex   propose  l1                                        ok
        t2  rex   reverse  l1 because=consent_withdrawn              link_withdrawal
        t2  rex   reverse  l1 because=wrong_person signed=no         link_withdrawal
        t2  rex   reverse  l1 because=consent_withdrawn signed=no    ok
        t2  rita  confirm  l1                                        link_reversed
    ",
    );
    assert!(link(&world, "l1").reversed.unwrap().withdrawal.is_some());
}

#[test]
fn a_suspended_organisation_takes_no_part_and_a_link_with_it_can_be_reversed() {
    check_match(
        "
        t1  rex   propose  l1                                            ok
        t1  rex   propose  l2                                            ok
        t2  hospital+lab+insurer  suspend_organisation  clinic           ok
        t3  rita  confirm  l1                                            ~organisation_suspended
        t3  rita  evaluate one points=a                                  ~organisation_suspended
        t3  hugh  confirm  l1 officer                                    organisation_suspended
        t3  rex   propose  l3 with=clinic                                organisation_suspended
        t3  rex   reverse  l2                                            ok
        t3  cora  reverse  l1                                            ~organisation_suspended
        t4  hospital+lab+insurer  reinstate_organisation  clinic         ok
        t5  rita  confirm  l1                                            ok
    ",
    );
}

/// Nothing that the ledger keeps of links and evaluations, and nothing that it reads for them, names a chart.
#[test]
fn no_link_and_no_evaluation_names_a_chart() {
    let mut world = check_match("t1 rex open c1 ok");
    world.loaded.clear();
    world.run(
        "
        t2  rex   evaluate  one  points=a,b    ok
        t2  rex   propose   l1                 ok
        t2  rita  confirm   l1                 ok
        t2  hugh  confirm   l1 officer         ok
        t3  cora  reverse   l1                 ok
    ",
    );
    let chart = chart_id("c1").0;
    for key in &world.loaded {
        assert!(!matches!(key, Key::Chart(_) | Key::ChartLog(_)), "{key:?}");
    }
    let value = world.state[&Key::Link(link_id("l1"))].clone();
    assert!(!value.windows(chart.len()).any(|bytes| bytes == chart));
    assert!(world.last.as_ref().unwrap().leaves.is_empty(), "no chart's log tells of a link");
}

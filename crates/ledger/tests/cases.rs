//! What a patient asks for by right, with its clocks and its grounds.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use keepwell_ledger::state::{Case, Key, Value};
use keepwell_types::{
    case::{CaseKind, DenialGround},
    id::CaseId,
    limits::{CASE_STATEMENTS_MAX, RECORD_CASES_MAX},
    time::BlockTime,
};
use support::{START, World, case_id, chart_id, check};

const RECORDS: &str = "
    t0  rex   open   c1                         ok
    t1  drey  add    note  kind=document        ok
    t1  c1    give   g1 to=carl                 ok
";
const DAY: u64 = 24 * 60 * 60;

fn check_case(script: &str) -> World {
    let mut world = check(RECORDS);
    world.run(script);
    world
}

fn case(world: &World, name: &str) -> Case {
    match world.stored(&Key::Case(chart_id("c1"), case_id(name))) {
        Some(Value::Case(case)) => case,
        other => panic!("{other:?}"),
    }
}

fn cases_of_note(world: &World) -> Vec<CaseId> {
    let record = world.record("c1", "note").1.original;
    let key = Key::RecordState(chart_id("c1"), record);
    let Some(Value::RecordState(state)) = world.stored(&key) else { panic!() };
    state.cases[..].into()
}

#[test]
fn p5_an_amendment_is_asked_for_and_decided() {
    let world = check_case(
        "
        t2  carl  case    k1 of=note                                       not_controller
        t2  c1    case    k1                                               case_subject
        t2  c1    case    k1 kind=access of=note                           case_subject
        t2  c1    case    k1 of=nothing                                    unknown_record
        t2  c1    case    k1 of=note                                       ok
        t2  c1    case    k1 of=note                                       case_exists
        t3  c1    decide  k1                                               wrong_signers
        t3  drey  decide  k1                                               role_missing
        t3  cora  decide  k1                                               wrong_signers
        t3  hugh  decide  k9                                               unknown_case
        t3  hugh  decide  k1 deny=legal_claims                             wrong_ground
        t3  hugh  decide  k1 deny=health_care                              wrong_ground
        t3  hugh  decide  k1 deny=accurate_and_complete                    ok
        t3  hugh  decide  k1                                               case_not_waiting
    ",
    );
    assert_eq!(case(&world, "k1").due.0, START.0 + (2 + 60 * DAY) * 1_000);
}

#[test]
fn p6_disagreement_and_rebuttal_stay_with_the_record() {
    let world = check_case(
        "
        t2  c1    case    k1 of=note                           ok
        t2  c1    state   k1                                   case_not_waiting
        t3  hugh  decide  k1 deny=not_created_here             ok
        t3  hugh  state   k1                                   case_not_waiting
        t3  carl  state   k1                                   role_missing
        t3  cora  state   k1                                   wrong_signers
        t3  c1    state   k1                                   ok
        t3  hugh  state   k1                                   ok
        t4  c1    case    k2 of=note                           ok
        t4  hugh  decide  k2                                   ok
        t4  c1    state   k2                                   case_not_waiting
    ",
    );
    assert_eq!(case(&world, "k1").statements.len(), 2);
    assert_eq!(cases_of_note(&world), [case_id("k1"), case_id("k2")]);
}

/// Whoever reads the record finds from the state what was said, and custodians what to erase.
#[test]
fn p6_all_words_of_a_case_stand_in_the_state() {
    let world = check_case(
        "
        t2  c1    case    k1 of=note says=request      ok
        t3  hugh  extend  k1                           ok
        t4  hugh  decide  k1 deny=not_in_record_set    ok
        t5  c1    state   k1                           ok
        t6  hugh  state   k1                           ok
        t6  c1    case    k2 of=note                   ok
        t7  hugh  decide  k2                           ok
    ",
    );
    let words: BTreeSet<_> = case(&world, "k1").words().collect();
    assert_eq!(words.len(), 5, "request, extension, denial, disagreement, rebuttal");
    assert_eq!(case(&world, "k2").words().count(), 0);
}

#[test]
fn p5_a_case_is_late_from_the_very_instant_on() {
    let mut world = check_case("t2  c1  case  k1 of=note  ok");
    let waits = case(&world, "k1");
    let just_before = BlockTime(waits.due.0 - 1);
    assert!(!waits.is_late(just_before) && waits.is_late(waits.due));
    world.run("t3  hugh  decide  k1  ok");
    assert!(!case(&world, "k1").is_late(waits.due));
}

/// Earlier recipients say that they were told, once each.
#[test]
fn p6_g6_earlier_recipients_acknowledge() {
    let world = check_case(
        "
        t2  c1    case         k1 of=note    ok
        t2  carl  acknowledge  k1            case_not_waiting
        t3  hugh  decide       k1            ok
        t3  carl  acknowledge  k9            unknown_case
        t3  carl  acknowledge  k1            ok
        t3  cleo  acknowledge  k1            case_not_waiting
        t3  ivy   acknowledge  k1            ok
    ",
    );
    assert_eq!(case(&world, "k1").told.len(), 2);
}

#[test]
fn p1_g1_clocks_run_from_the_block_and_are_extended_once() {
    let world = check_case(&format!(
        "
        t2       c1    case    k1 kind=access              ok
        t2       c1    case    k2 kind=erasure             ok
        t3       carl  extend  k1                          role_missing
        t3       hugh  extend  k1                          ok
        t3       hugh  extend  k1                          case_not_waiting
        t{late}  hugh  extend  k2                          case_not_waiting
        t{late}  hugh  decide  k2 deny=retention_duty      ok
    ",
        late = 2 + 30 * DAY
    ));
    assert_eq!(case(&world, "k1").due.0, START.0 + (2 + 60 * DAY) * 1_000);
    let late = case(&world, "k2");
    assert!(late.decided.unwrap().at >= late.due, "a late answer is visible as one");
}

/// P2, P5: which ground fits which kind; only endangerment is reviewable.
#[test]
fn p2_p5_each_kind_has_its_own_grounds() {
    let fitting = |kind| {
        let grounds = DenialGround::ALL.iter().filter(move |ground| ground.fits(kind));
        grounds.map(|ground| ground.as_str()).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        fitting(CaseKind::Amendment),
        "not_created_here not_in_record_set not_accessible accurate_and_complete"
    );
    assert_eq!(
        fitting(CaseKind::Access),
        "psychotherapy_notes litigation trial endangers excessive"
    );
    assert_eq!(fitting(CaseKind::Erasure), "health_care public_health legal_claims retention_duty");
    assert_eq!(fitting(CaseKind::Accounting), "excessive");
    assert_eq!(fitting(CaseKind::Restriction), "legal_claims");
    let reviewable: Vec<_> = DenialGround::ALL.iter().filter(|it| it.is_reviewable()).collect();
    assert_eq!(reviewable, [&DenialGround::Endangers]);
}

/// Whoever had the chart's keys before may have filled the list of a record's cases.
#[test]
fn a_claim_makes_room_for_the_patients_own_cases() {
    let mut world = check(
        "
        t0  rex   open   c1 claim=t1000             ok
        t1  drey  add    note  kind=document        ok
    ",
    );
    for number in 0..RECORD_CASES_MAX {
        world.run(&format!("t2+{number} c1 case k{number} of=note ok"));
    }
    world.run(
        "
        t3  c1                 case   mine of=note  too_many_cases
        t4  code:c1+wallet:c1  claim  c1            ok
        t5  c1                 case   mine of=note  ok
    ",
    );
    assert_eq!(cases_of_note(&world).last(), Some(&case_id("mine")));
}

#[test]
fn cases_and_statements_are_limited() {
    let mut world = check_case("");
    for number in 0..RECORD_CASES_MAX {
        world.run(&format!("t2+{number} c1 case k{number} of=note ok"));
    }
    world.run(
        "
        t3  c1    case    more of=note                        too_many_cases
        t3  c1    case    copy kind=access                    ok
        t3  hugh  decide  k0 deny=accurate_and_complete       ok
        t3  c1    state   k0                                  ok
        t3  c1    case    more of=note                        too_many_cases
        t3  hugh  decide  k3                                  ok
        t4  c1    case    more of=note                        ok
        t4  c1    case    yet_another of=note                 too_many_cases
    ",
    );
    assert_eq!(cases_of_note(&world).last(), Some(&case_id("more")));
    assert!(!cases_of_note(&world).contains(&case_id("k3")), "k3 was decided, with nothing said");
    for who in ["c1", "hugh"] {
        let said = usize::from(who == "c1");
        for _ in said..CASE_STATEMENTS_MAX / 2 {
            let ms = world.height.0;
            world.run(&format!("t4+{ms} {who} state k0 ok"));
        }
        let ms = world.height.0;
        world.run(&format!("t4+{ms} {who} state k0 case_not_waiting"));
    }
}

//! Breaking the glass, and what it opens.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_ledger::state::{EmergencyUse, Key, Tally, Value};
use keepwell_types::limits::{
    EMERGENCIES_MAX, EMERGENCIES_OPEN_MAX, EMERGENCIES_WAITING_MAX, EMERGENCY_MEMBERS_MAX,
};
use support::{World, check};

/// Licensed clinicians at two organisations, and a chart whose compartment 1 is left to emergencies.
const SETTING: &str = "
    t0  hospital+clinic+lab  admit  medboard                        ok
    t0  medboard  enrol    liz of=medboard roles=licensor           ok
    t0  hospital  enrol    dora of=hospital                         ok
    t0  liz       issue    l1 to=drey                               ok
    t0  liz       issue    l2 to=dora                               ok
    t0  liz       issue    l3 to=carl                               ok
    t0  rex       open     c1                                       ok
    t1  drey      add      result compartment=1 kind=result         ok
    t1  drey      add      note   compartment=2 kind=document       ok
    t1  c1        prepare  c1 compartments=1,3                      ok
";

fn check_emergency(script: &str) -> World {
    let mut world = check(SETTING);
    world.run(script);
    world
}

#[test]
fn h3_a_licensed_clinician_breaks_the_glass_and_another_agrees() {
    check_emergency(
        "
        t10  drey  read    result for=BTG                    not_granted
        t10  nora  break   e1                                role_missing
        t10  c1    break   e1                                wrong_signers
        t10  drey  break   e1 in=c2                          unknown_chart
        t10  drey  break   e1 compartments=none              empty_terms
        t10  drey  break   e1 compartments=1,2               not_for_emergencies
        t10  drey  break   e1 ends=t10                       window_passed
        t10  drey  break   e1 ends=t70+1                     emergency_too_long
        t10  drey  break   e1 ends=t50                       ok
        t10  drey  read    result for=BTG                    outside_window
        t10  drey  second  e1                                not_for_emergency
        t10  nora  second  e1                                role_missing
        t10  dora  second  nothing                           no_such_emergency
        t11  dora  second  e1                                ok
        t11  carl  second  e1                                no_such_emergency
        t11  drey  read    result for=BTG                    ok
        t11  drey  read    result                            purpose_not_granted
        t11  drey  read    note for=BTG                      not_granted
        t11  dora  read    result for=BTG                    not_granted
        t50-1  drey  read  result for=BTG                    ok
        t50    drey  read  result for=BTG                    outside_window
    ",
    );
}

#[test]
fn one_clinician_alone_waits() {
    check_emergency(
        "
        t10    drey  break  e1 ends=t50          ok
        t15-1  drey  read   result for=BTG       outside_window
        t15    drey  read   result for=BTG       ok
        t50    dora  second e1                   no_such_emergency
    ",
    );
}

/// The licence must hold when the glass is broken, when another agrees, and at each access.
#[test]
fn a_suspended_licence_breaks_no_glass() {
    check_emergency(
        "
        t10  liz   suspend_credential   l1 of=drey   ok
        t10  drey  break  e1                         unlicensed
        t10  liz   reinstate_credential l1 of=drey   ok
        t10  drey  break  e1                         ok
        t10  liz   suspend_credential   l2 of=dora   ok
        t10  dora  second e1                         unlicensed
        t10  carl  second e1                         ok
        t11  drey  read   result for=BTG             ok
        t12  liz   suspend_credential   l1 of=drey   ok
        t12  drey  read   result for=BTG             not_granted
        t13  liz   reinstate_credential l1 of=drey   ok
        t13  drey  read   result for=BTG             ok
        t14  hospital  suspend  drey                 ok
        t14  drey  read   result for=BTG             ~member_suspended
    ",
    );
}

#[test]
fn the_patient_says_what_is_left_to_emergencies() {
    check_emergency(
        "
        t10  drey  prepare  c1 compartments=1,2                     not_controller
        t10  c1    prepare  c1 compartments=1,12                    separate_consent
        t10  c1    prepare  c1 compartments=none                    ok
        t10  drey  break    e1                                      not_for_emergencies
        t10  c1    prepare  c1 compartments=1                       ok
        t10  c1    give     g1 to=organisation:hospital deny purposes=BTG   ok
        t10  drey  break    e1                                      ok
        t10  dora  second   e1                                      ok
        t11  drey  read     result for=BTG                          denied
        t12  c1    revoke   g1                                      ok
        t12  c1    give     g2 to=organisation:hospital deny        ok
        t12  drey  read     result for=BTG                          ok
        t13  c1    revoke_all  hospital                             ok
        t13  drey  read     result for=BTG                          not_granted
    ",
    );
}

#[test]
fn h3_a_review_is_by_a_privacy_officer_of_the_clinicians_organisation() {
    check_emergency(
        "
        t10  drey  break   e1                        ok
        t10  drey  review  e1                        not_for_emergency
        t10  cora  review  e1                        not_for_emergency
        t10  hospital  assign  drey roles=clinician,privacy_officer  ok
        t10  drey  review  e1                        not_for_emergency
        t10  hugh  review  nothing                   no_such_emergency
        t10  hugh  review  e1                        ok
        t10  hugh  review  e1                        no_such_emergency
    ",
    );
}

/// One clinician cannot keep others from an emergency.
#[test]
fn a_member_has_few_emergencies_open() {
    let mut world = check_emergency("");
    for number in 0..EMERGENCIES_OPEN_MAX {
        world.run(&format!("t10+{number} drey break e{number} ends=t40 ok"));
    }
    world.run(
        "
        t11  drey  break  more ends=t60       too_many_emergencies
        t11  carl  break  theirs ends=t60     ok
        t40  drey  break  more ends=t60       ok
    ",
    );
}

/// What the organisation prepared before the patient claimed the chart is not the patient's word.
#[test]
fn a_claim_leaves_nothing_to_emergencies() {
    check_emergency(
        "
        t10  rex   open     c2 claim=t100                   ok
        t10  c2    prepare  c2 compartments=1               ok
        t11  code:c2+wallet:c2  claim  c2                   ok
        t12  drey  break    e1 in=c2                        not_for_emergencies
    ",
    );
}

/// What is over makes room, what is open never does.
#[test]
fn a_chart_remembers_so_many_emergencies() {
    let mut world = check_emergency("");
    for number in 0..EMERGENCIES_MAX / EMERGENCIES_OPEN_MAX {
        world.run(&format!(
            "t9+{number}  hospital  enrol  m{number} of=hospital    ok
             t9+{number}  liz       issue  lm{number} to=m{number}  ok"
        ));
    }
    for number in 0..EMERGENCIES_MAX {
        let (who, ends) = (format!("m{}", number / EMERGENCIES_OPEN_MAX), 40 + number);
        world.run(&format!("t10+{number} {who} break e{number} ends=t{ends} ok"));
    }
    world.run(
        "
        t20  carl  break   more ends=t60             too_many_emergencies
        t20  hugh  review  e3                        ok
        t20  carl  break   more ends=t60             too_many_emergencies
        t40  carl  break   more ends=t60             ok
        t40  hugh  review  e0                        no_such_emergency
        t40  carl  break   most ends=t60             too_many_emergencies
        t43  carl  break   most ends=t60             ok
    ",
    );
}

/// A patient's chart, one of whose compartments has keys of two more epochs.
fn check_ahead(script: &str) -> World {
    let mut world = check_emergency("t5  c1  prepare  c1 compartments=1 ahead=2   ok");
    world.run(script);
    world
}

#[test]
fn keys_ahead_are_of_what_is_left_to_emergencies_and_of_few_epochs() {
    check_emergency(
        "
        t5  c1   prepare  c1 compartments=1 ahead=0             keys_ahead
        t5  c1   prepare  c1 compartments=1 ahead=5             keys_ahead
        t5  c1   prepare  c1 compartments=1,3 ahead=2 of=1      keys_ahead
        t5  c1   prepare  c1 compartments=1 ahead=2 of=1,3      keys_ahead
        t5  c1   prepare  c1 compartments=1,3 ahead=4           ok
        t5  c1   advance  c1 compartments=1                     ok
        t5  c1   prepare  c1 compartments=1 ahead=5             ok
        t6  rex  open     c2 claim=t100                         ok
        t6  c2   prepare  c2 compartments=1 ahead=2             ahead_of_claim
        t6  c2   prepare  c2 compartments=1                     ok
    ",
    );
}

/// The patient is not there; what was opened is at its next epoch all the same, twice and no more.
#[test]
fn h3_epochs_move_on_afterwards_by_keys_published_ahead() {
    check_ahead(
        "
        t10  drey   break  e1 ends=t20                          ok
        t10  dora   second e1                                   ok
        t20  nora   close  e1                                   ok
        t20  nora   close  e1                                   no_such_emergency
        t21  drey   add    old compartment=1 kind=result        wrong_epoch
        t21  drey   add    new compartment=1 kind=result epoch=1   ok
        t21  drey   add    same compartment=3 kind=result       ok
        t30  drey   break  e2 ends=t40                          ok
        t41  custodian:lab     close  e2                        not_to_close
        t41  custodian:clinic  close  e2                        ok
        t42  drey   add    newer compartment=1 kind=result epoch=2   ok
        t50  drey   break  e3 ends=t60                          ok
        t60  hugh   review e3                                   ok
        t61  drey   add    last compartment=1 kind=result epoch=2    ok
        t61  nora   close  e3                                   no_such_emergency
    ",
    );
}

/// What the patient leaves to emergencies no more, is closed in those that are open as well.
#[test]
fn an_open_emergency_opens_no_more_than_is_left_now() {
    check_ahead(
        "
        t10  carl  break    e1 ends=t50                          ok
        t10  dora  second   e1                                   ok
        t11  carl  read     result for=BTG                       ok
        t12  c1    prepare  c1 compartments=none                 ok
        t13  carl  read     result for=BTG                       not_granted
    ",
    );
}

/// Breaking the glass and closing at once gives nobody a key, and uses none up.
#[test]
fn an_emergency_that_never_began_moves_nothing_on() {
    check_ahead(
        "
        t10  carl  break  e1 ends=t50                            ok
        t11  carl  close  e1                                     ok
        t12  carl  break  e2 ends=t50                            ok
        t12  carl  close  e2                                     ok
        t13  drey  add    same compartment=1 kind=result         ok
        t14  drey  add    new compartment=1 kind=result epoch=1  wrong_epoch
    ",
    );
}

#[test]
fn an_emergency_is_ended_by_those_it_concerns() {
    check_ahead(
        "
        t10    carl   break  e1 ends=t50                        ok
        t10    dora   second e1                                 ok
        t11    drey   close  e1                                 not_to_close
        t11    nora   close  e1                                 not_to_close
        t11    hugh   close  e1                                 not_to_close
        t11    custodian:lab  close  e1                         not_to_close
        t11    lena   close  e1                                 not_to_close
        t12    carl   read   result for=BTG                     ok
        t12    cora   close  e1                                 ok
        t12    carl   read   result for=BTG                     outside_window
        t13    carl   break  e2 ends=t50                        ok
        t14    carl   close  e2                                 ok
        t15    carl   break  e3 ends=t50                        ok
        t15    c1     close  e3                                 ok
        t16    carl   break  e4 ends=t30                        ok
        t30-1  drey   close  e4                                 not_to_close
        t30    lena   close  e4                                 not_to_close
        t30    ivy    close  e4                                 not_to_close
        t30    custodian:lab  close  e4                         not_to_close
        t30    drey   close  e4                                 ok
        t31    drey   close  nothing                            no_such_emergency
    ",
    );
}

/// A claim ends what the organisation prepared; a patient's own rotation uses the same keys.
#[test]
fn a_controllers_rotation_uses_up_keys_ahead() {
    check_ahead(
        "
        t6   c1     advance  c1 compartments=1                  ok
        t6   c1     advance  c1 compartments=1                  ok
        t10  drey   break  e1 ends=t20                          ok
        t20  nora   close  e1                                   ok
        t21  drey   add    new compartment=1 kind=result epoch=2   ok
    ",
    );
}

fn used(world: &World, organisation: &str) -> EmergencyUse {
    let key = Key::EmergencyUse(support::organisation_id(organisation));
    match world.state.get(&key).map(|bytes| Value::decode(bytes).unwrap()) {
        Some(Value::EmergencyUse(used)) => used,
        Some(other) => panic!("{other:?}"),
        None => EmergencyUse::default(),
    }
}

#[test]
fn h3_use_is_counted_by_member_and_organisation() {
    let world = check_emergency(
        "
        t10  drey  break   e1                          ok
        t10  carl  second  e1                          ok
        t11  drey  break   e2                          ok
        t12  carl  break   e3                          ok
        t12  nora  break   e4                          role_missing
        t13  hugh  review  e1                          ok
        t14  cora  review  e3 finding=unjustified      ok
        t15  hugh  review  e1                          no_such_emergency
        t16  drey  second  e3                          ok
    ",
    );
    let tallies = |name| {
        let used = used(&world, name);
        let of = |it: Tally| (it.broken, it.seconded, it.justified, it.unjustified);
        let members: Vec<_> = used.members.iter().map(|it| (it.member, of(it.tally))).collect();
        (members, of(used.total()), used.waiting.len())
    };
    let (drey, carl) = (support::member_id("drey"), support::member_id("carl"));
    assert_eq!(tallies("hospital"), (vec![(drey, (2, 1, 1, 0))], (2, 1, 1, 0), 1));
    assert_eq!(tallies("clinic"), (vec![(carl, (1, 1, 0, 1))], (1, 1, 0, 1), 0));
    let waiting = used(&world, "hospital").waiting[0];
    assert_eq!(waiting.member, drey);
    assert_eq!(waiting.review_until, support::script::instant("t150"));
}

/// What nobody reviews stays in the counts when newer ones push it out of the list.
#[test]
fn an_absent_review_is_visible_however_many_there_are() {
    let mut world = check_emergency("");
    for number in 0..=EMERGENCIES_WAITING_MAX {
        let at = 100 + 70 * number;
        world.run(&format!("t{at} drey break e{number} ends=t{} ok", at + 60));
    }
    let used = used(&world, "hospital");
    assert_eq!(used.waiting.len(), EMERGENCIES_WAITING_MAX);
    assert_eq!(used.total().unreviewed() as usize, EMERGENCIES_WAITING_MAX + 1);
}

#[test]
fn members_who_did_not_take_part_for_longest_are_counted_together() {
    let mut world = check_emergency("");
    for number in 0..=EMERGENCY_MEMBERS_MAX {
        let at = 100 + 70 * number;
        world.run(&format!(
            "t{at} hospital enrol m{number} of=hospital ok
             t{at} liz issue lm{number} to=m{number} ok
             t{at} m{number} break e{number} ends=t{} ok
             t{at} m0 break f{number} ends=t{} ok",
            at + 60,
            at + 50
        ));
    }
    let used = used(&world, "hospital");
    assert_eq!((used.members.len(), used.others.broken), (EMERGENCY_MEMBERS_MAX, 1));
    assert!(used.members.iter().any(|it| it.member == support::member_id("m0")));
    assert!(used.members.iter().all(|it| it.member != support::member_id("m1")));
}

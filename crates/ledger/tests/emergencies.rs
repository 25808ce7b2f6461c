//! Breaking the glass, and what it opens.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_types::limits::{EMERGENCIES_MAX, EMERGENCIES_OPEN_MAX};
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

//! Guardians, and what brings a chart to new keys.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_ledger::state::{Key, Recoveries, Value};
use keepwell_types::{
    id::Epoch,
    limits::{GUARDIANS_MAX, RECOVERY_MS_MAX},
};
use support::{World, chart_id, check};

/// A patient's chart with a record, guarded by 2 of 3 people and 1 of 2 institutions' officers.
const GUARDED: &str = "
    t0  rex  open   c1                                                  ok
    t0  c1   guard  c1 groups=2:@ann,@ben,@eve;1:hugh,cora min=2        ok
    t1  drey add    old                                                 ok
";

fn check_guarded(script: &str) -> World {
    let mut world = check(GUARDED);
    world.run(script);
    world
}

fn open_recoveries(world: &World) -> usize {
    match world.stored(&Key::Recoveries(chart_id("c1"))) {
        Some(Value::Recoveries(Recoveries { open })) => open.len(),
        Some(other) => panic!("{other:?}"),
        None => 0,
    }
}

#[test]
fn guardians_bring_a_chart_to_new_keys_after_the_delay() {
    let world = check_guarded(
        "
        t10     @ann        recover  r1                  ok
        t11     hugh        vouch    r1                  ok
        t12     next:phone  finish   r1                  recovery_not_approved
        t20     @ben        vouch    r1                  ok
        t30-1   next:phone  finish   r1                  recovery_too_soon
        t30-1   next:phone! finish   r1                  ~key_not_of_signer
        t30     next:phone  finish   r1 sheet=another    letter_out_of_date
        t30     next:phone  finish   r1 epoch=7          letter_out_of_date
        t30     next:phone  finish   r1                  ok
        t31     c1          read     old                 ok
        t31     next:phone  finish   r1                  ~key_not_of_signer
    ",
    );
    assert_eq!(open_recoveries(&world), 0);
    assert_eq!(world.stored(&Key::Guardians(chart_id("c1"))), None);
    let Some(Value::Chart(chart)) = world.stored(&Key::Chart(chart_id("c1"))) else { panic!() };
    assert!(chart.epochs.iter().all(|epoch| *epoch == Epoch(1)));
    assert_eq!(chart.keys.signing, support::key("next:phone").public());
}

/// Whoever found the lost device may have named proxies with it: they end with its keys.
#[test]
fn proxies_that_lost_keys_named_end_with_them() {
    check_guarded(
        "
        t5      c1          name_proxy  cara compartments=1  ok
        t6      proxy:cara  read     old                 ok
        t10     @ann        recover  r1                  ok
        t11     hugh        vouch    r1                  ok
        t20     @ben        vouch    r1                  ok
        t30     next:phone  finish   r1                  ok
        t31     proxy:cara  read     old                 ~unknown_proxy
    ",
    );
}

/// Whoever had the lost keys may have approved that a record be destroyed: that is not the patient's word.
#[test]
fn what_lost_keys_approved_redacts_nothing() {
    let world = check_guarded(
        "
        t5      c1          redact   old ground=order    ok
        t10     @ann        recover  r1                  ok
        t11     hugh        vouch    r1                  ok
        t20     @ben        vouch    r1                  ok
        t30     next:phone  finish   r1                  ok
        t31     hugh        redact   old ground=error    ok
        t31     c1          read     old                 ok
        t32     c1          redact   old ground=order    other_ground
        t32     c1          redact   old ground=error    ok
        t33     c1          read     old                 redacted
    ",
    );
    assert_eq!(open_recoveries(&world), 0);
}

/// The old keys control nothing once the chart has come to new ones.
#[test]
fn whoever_has_the_lost_device_has_nothing_any_more() {
    let mut world = check_guarded(
        "
        t10  @ann        recover  r1                     ok
        t10  hugh        vouch    r1                     ok
        t10  @ben        vouch    r1                     ok
        t20  next:phone  finish   r1                     ok
    ",
    );
    world.seeds.clear();
    world.run("t21  c1  read  old  ~key_not_of_signer");
}

#[test]
fn a_patient_vetoes() {
    let world = check_guarded(
        "
        t10     @ann        recover  r1                  ok
        t10     @ben        vouch    r1                  ok
        t10     hugh        vouch    r1                  ok
        t19     @ann        veto     r1                  wrong_signers
        t19     drey        veto     r1                  not_controller
        t20-1   c1          veto     r1                  ok
        t20-1   c1          veto     r1                  no_such_recovery
        t20     next:phone  finish   r1                  ~key_not_of_signer
        t20     hugh        vouch    r1                  no_such_recovery
        t20     @eve        vouch    r1                  no_such_recovery
    ",
    );
    assert_eq!(open_recoveries(&world), 0);
}

/// An attacker among the guardians brings what one guardian can: a start, which the patient sees.
#[test]
fn one_guardian_too_few_gets_nothing_however_long_it_waits() {
    check_guarded(
        "
        t10   @eve        recover  r1 to=thief           ok
        t10   @eve        recover  r2 to=thief           recovery_started
        t10   @eve        vouch    r1 to=thief           recovery_approved
        t10   cora        vouch    r1 to=thief           ok
        t10   hugh        vouch    r1 to=thief           ok
        t10   nora        vouch    r1 to=thief           not_guardian
        t10   @mallory    vouch    r1 to=thief           ~key_not_of_signer
        t10   @eve!       vouch    r1 to=thief           ~key_not_of_signer
        t10   c1          vouch    r1 to=thief           not_guardian
        t999  next:thief  finish   r1 to=thief           recovery_not_approved
    ",
    );
}

/// What is approved is one recovery, of one chart, to one key.
#[test]
fn an_approval_counts_for_one_recovery() {
    check_guarded(
        "
        t5   rex         open     c2                          ok
        t5   c2          guard    c2 groups=1:@ann/c2         ok
        t10  @ann        recover  r1                          ok
        t10  @eve        recover  r2 to=thief                 ok
        t10  @ben        vouch    r1                          ok
        t10  hugh        vouch    r1                          ok
        t10  hugh        vouch    r2                          other_successor
        t10  @ben        vouch    r2                          other_successor
        t10  @ann/c2     vouch    r1 in=c2                    no_such_recovery
        t10  @ann/c2     vouch    r1                          not_guardian
        t10  @ann        vouch    r1 in=c2                    not_guardian
        t10  @ben        repeat   r1                          replayed
        t20  next:thief  finish   r2 to=thief                 recovery_not_approved
        t20  next:thief  finish   r1 to=thief                 other_successor
        t20  next:phone  finish   r2                          other_successor
        t20  next:phone  finish   r1                          ok
        t21  next:thief  finish   r2 to=thief                 ~key_not_of_signer
    ",
    );
}

/// The delay is the patient's, whole, from the last approval that was needed.
#[test]
fn an_approval_that_is_withdrawn_starts_the_delay_again() {
    check_guarded(
        "
        t10     @ann        recover  r1                  ok
        t10     @ben        vouch    r1                  ok
        t10     hugh        vouch    r1                  ok
        t15     @eve        unvouch  r1                  no_such_recovery
        t15     @ben        unvouch  r1                  ok
        t15     @ben        unvouch  r1                  no_such_recovery
        t20     next:phone  finish   r1                  recovery_not_approved
        t25     @ben        vouch    r1                  ok
        t25     @eve        vouch    r1                  ok
        t26     @eve        unvouch  r1                  ok
        t35-1   next:phone  finish   r1                  recovery_too_soon
        t35     next:phone  finish   r1                  ok
    ",
    );
}

#[test]
fn whoever_started_a_recovery_ends_it() {
    check_guarded(
        "
        t10  @ann        recover  r1                     ok
        t10  @ben        vouch    r1                     ok
        t10  hugh        vouch    r1                     ok
        t11  @ann        unvouch  r1                     ok
        t20  next:phone  finish   r1                     ~key_not_of_signer
        t20  @ben        vouch    r1                     no_such_recovery
        t20  @ann        recover  r1                     ok
    ",
    );
}

#[test]
fn a_suspended_officer_has_no_say() {
    check_guarded(
        "
        t10  hospital    suspend  hugh                   ok
        t10  @ann        recover  r1                     ok
        t10  @ben        vouch    r1                     ok
        t10  hugh        vouch    r1                     ~member_suspended
        t10  hospital    reinstate  hugh                 ok
        t10  hugh        vouch    r1                     ok
        t11  hospital    suspend  hugh                   ok
        t20  next:phone  finish   r1                     recovery_not_approved
        t21  cora        vouch    r1                     ok
        t21  next:phone  finish   r1                     ok
    ",
    );
}

/// Two at once: the first that is finished ends the other.
#[test]
fn the_first_recovery_that_is_finished_ends_the_others() {
    let world = check_guarded(
        "
        t10  @ann         recover  r1                    ok
        t10  @ben         recover  r2 to=tablet          ok
        t10  @ben         vouch    r1                    ok
        t10  @ann         vouch    r2 to=tablet          ok
        t10  hugh         vouch    r1                    ok
        t10  hugh         vouch    r2 to=tablet          ok
        t20  next:tablet  finish   r2 to=tablet          ok
        t20  next:phone   finish   r1                    ~key_not_of_signer
    ",
    );
    assert_eq!(open_recoveries(&world), 0);
}

#[test]
fn new_guardians_end_what_the_earlier_ones_began() {
    check_guarded(
        "
        t10  @ann        recover  r1                     ok
        t10  @ben        vouch    r1                     ok
        t10  hugh        vouch    r1                     ok
        t11  c1          guard    c1 groups=1:@zoe       ok
        t20  next:phone  finish   r1                     ~key_not_of_signer
        t20  @ann        recover  r1                     ~key_not_of_signer
        t20  hugh        recover  r1                     not_guardian
        t20  @zoe        recover  r1                     ok
        t21  c1          guard    c1                     ok
        t21  @zoe        recover  r1                     ~key_not_of_signer
        t40  next:phone  finish   r1                     ~key_not_of_signer
    ",
    );
}

#[test]
fn a_recovery_that_nobody_finishes_is_over() {
    let over = 10 + RECOVERY_MS_MAX / 1_000;
    check_guarded(&format!(
        "
        t10          @ann        recover  r1             ok
        t10          @ben        vouch    r1             ok
        t10          hugh        vouch    r1             ok
        t{over}      next:phone  finish   r1             ~key_not_of_signer
        t{over}      @eve        vouch    r1             no_such_recovery
        t{over}      @ann        recover  r1             ok
    "
    ));
}

#[test]
fn a_policy_can_be_met_and_names_nobody_twice() {
    let crowd: Vec<_> = (0..=GUARDIANS_MAX / 2).map(|it| format!("@g{it}")).collect();
    let other: Vec<_> = (0..=GUARDIANS_MAX / 2).map(|it| format!("@h{it}")).collect();
    let (crowd, other) = (crowd.join(","), other.join(","));
    check_guarded(&format!(
        "
        t5  c1    guard  c1 groups=2:@ann                         guardian_policy
        t5  c1    guard  c1 groups=0:@ann                         guardian_policy
        t5  c1    guard  c1 groups=1:@ann,@ann                    guardian_policy
        t5  c1    guard  c1 groups=1:@ann;1:@ann                  guardian_policy
        t5  c1    guard  c1 groups=1:@ann min=2                   guardian_policy
        t5  c1    guard  c1 groups=1:@ann min=0                   guardian_policy
        t5  c1    guard  c1 groups=1:hugh,hugh                    guardian_policy
        t5  c1    guard  c1 groups=1:nobody                       unknown_member
        t5  c1    guard  c1 groups=1:{crowd};1:{other}            guardian_policy
        t5  drey  guard  c1 groups=1:drey                         not_controller
        t5  c1    guard  c1 groups=1:@ann;1:hugh                  ok
    "
    ));
}

/// An organisation leaves nobody behind who could take the chart from its patient.
#[test]
fn a_chart_that_is_not_claimed_has_no_guardians() {
    check(
        "
        t0  rex                open   c1 claim=t100             ok
        t1  c1                 guard  c1 groups=1:hugh          not_claimed
        t1  hugh               recover r1                       not_guardian
        t2  code:c1+wallet:c1  claim  c1                        ok
        t3  c1                 guard  c1 groups=1:hugh          ok
    ",
    );
}

#[test]
fn a_recovery_goes_to_a_new_key() {
    check_guarded(
        "
        t10  @ann  recover  r1 to=own                    not_successor
        t10  @ann  recover  r1                           ok
    ",
    );
}

/// When a patient dies the chart comes to whom the patient named, and nobody acts for the patient any more.
#[test]
fn a_chart_comes_to_the_executor_who_closes_it() {
    check_guarded(
        "
        t5   c1         guard      c1 groups=2:@ann,@ben executor=heir   ok
        t5   c1         name_proxy cara                                  ok
        t10  @ann       recover    r1 ground=death to=thief              not_successor
        t10  @ann       recover    r1 ground=death to=heir               ok
        t10  @ben       vouch      r1 to=heir                            ok
        t19  proxy:cara read       old                                   ok
        t20  next:heir  finish     r1 to=heir                            ok
        t21  proxy:cara read       old                                   ~unknown_proxy
        t21  c1         read       old                                   ok
        t21  drey       close_chart      c1                                    not_controller
        t22  c1         close_chart      c1                                    ok
        t22  c1         close_chart      c1                                    chart_closed
        t23  drey       add        late epoch=1                          chart_closed
        t23  c1         add        late epoch=1                          chart_closed
        t23  drey       ask        q1                                    chart_closed
        t23  c1         read       old                                   ok
        t23  c1         give       g1 to=drey                            ok
        t24  drey       read       old                                   ok
    ",
    );
}

#[test]
fn without_an_executor_guardians_decide_who_has_the_chart() {
    check_guarded(
        "
        t10  @ann        recover  r1 ground=death        ok
        t10  @ben        vouch    r1                     ok
        t10  cora        vouch    r1                     ok
        t20  next:phone  finish   r1                     ok
    ",
    );
}

//! Rules of the field that the ledger itself keeps: each test begins with the code of its line in
//! docs/compliance.md.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_ledger::state::{Key, Value};
use keepwell_types::{member::Role, record::RecordKind};
use support::{World, chart_id, check};

const RECORDS: &str = "
    t0  rex   open  c1                              ok
    t1  drey  add   result  kind=result             ok
    t1  drey  add   note    kind=document           ok
";

fn check_rule(script: &str) -> World {
    let mut world = check(RECORDS);
    world.run(script);
    world
}

fn entries(world: &World) -> u64 {
    match world.stored(&Key::ChartLog(chart_id("c1"))) {
        Some(Value::ChartLog(log)) => log.count.0,
        other => panic!("{other:?}"),
    }
}

/// No role by itself opens any kind of record; a grant to a role opens what it names to that role.
#[test]
fn h1_each_role_and_each_kind() {
    let mut world = check("t0 rex open c1 ok");
    let mut ms = 0;
    let mut run = |line: &str| {
        ms += 1;
        world.run(&format!("t1+{ms} {line}"));
    };
    for kind in RecordKind::ALL {
        run(&format!("drey add {kind} kind={kind} ok"));
    }
    for role in Role::ALL {
        run(&format!("clinic assign carl roles={role} ok"));
        for kind in RecordKind::ALL {
            run(&format!("carl read {kind} not_granted"));
        }
    }
    run("c1 give g1 to=role:clinic:pharmacist kinds=medication,prescription ok");
    for role in [Role::Pharmacist, Role::Nurse] {
        run(&format!("clinic assign carl roles={role} ok"));
        for kind in RecordKind::ALL {
            let named = matches!(kind, RecordKind::Medication | RecordKind::Prescription);
            let may = named && role == Role::Pharmacist;
            run(&format!("carl read {kind} {}", if may { "ok" } else { "not_granted" }));
        }
    }
}

/// Nobody acts together with another where one acts, and nobody as another.
#[test]
fn h2_t6_an_act_is_one_persons() {
    check_rule(
        "
        t2  c1         give  g1 to=organisation:clinic    ok
        t2  carl+cleo  read  result                       wrong_signers
        t2  carl!      read  result                       ~key_not_of_signer
        t2  clinic     enrol carl of=clinic               member_exists
        t2  carl       read  result                       ok
    ",
    );
}

/// What is done and what is refused stand in the chart's log, each once.
#[test]
fn h6_every_act_on_a_chart_stands_in_its_log() {
    let mut world = check_rule("");
    let before = entries(&world);
    let acts = [
        "carl  read     result                    not_granted",
        "c1    give     g1 to=carl                ok",
        "carl  read     result                    ok",
        "c1    limit    g1 kinds=document         ok",
        "carl  read     result                    not_granted",
        "drey  add      v2 amends=note kind=document  ok",
        "c1    restrict note of=processing        ok",
        "c1    redact   note                      ok",
        "hugh  redact   note                      ok",
        "c1    read     note                      redacted",
        "c1    revoke   g1                        ok",
    ];
    for (act, ms) in acts.iter().zip(1..) {
        world.run(&format!("t2+{ms} {act}"));
    }
    assert_eq!(entries(&world) - before, acts.len() as u64);
}

#[test]
fn h8_a_false_key_and_a_replay_are_refused() {
    check_rule(
        "
        t2  c1     give    g1 to=carl     ok
        t2  carl!  read    result         ~key_not_of_signer
        t2  carl   read    result         ok
        t2  carl   repeat  result         replayed
        t3  carl   repeat  result         replayed
    ",
    );
}

/// A consent says who, what, to whom, for which purpose and until when, is signed by the patient, and can be
/// revoked.
#[test]
fn s1_a_consent_without_one_of_its_elements_is_none() {
    check_rule(
        "
        t2  drey  give    g1 to=carl                          not_controller
        t2  c1!   give    g1 to=carl                          ~key_not_of_signer
        t2  c1    give    g1 to=nobody                        unknown_member
        t2  c1    give    g1 to=organisation:pharmacy         unknown_organisation
        t2  c1    give    g1 to=carl compartments=none        empty_terms
        t2  c1    give    g1 to=carl kinds=none               empty_terms
        t2  c1    give    g1 to=carl purposes=none            empty_terms
        t2  c1    give    g1 to=carl from=t9 ends=t9          empty_terms
        t2  c1    give    g1 to=carl ends=t2                  window_passed
        t2  c1    give    g1 to=carl                          ok
        t3  c1    revoke  g1                                  ok
        t3  carl  read    result                              not_granted
    ",
    );
}

/// The reader signs the notice against redisclosure, the current one, in the access itself.
#[test]
fn s2_s4_an_access_without_the_notice_is_refused() {
    check_rule(
        "
        t2  c1    give  g1 to=carl            ok
        t2  carl  read  result notice=0       wrong_notice
        t2  carl  read  result notice=2       wrong_notice
        t2  carl  read  result notice=1       ok
    ",
    );
}

/// What a payer reads is of the kinds that the patient named, for payment, and nothing more.
#[test]
fn p11_a_payer_reads_the_kinds_that_were_named() {
    check_rule(
        "
        t2  drey  add   claim kind=financial                                          ok
        t2  c1    give  g1 to=role:insurer:claims_assessor kinds=financial purposes=HPAYMT  ok
        t2  ivy   read  claim for=HPAYMT                                              ok
        t2  ivy   read  claim for=HRESCH                                              purpose_not_granted
        t2  ivy   read  result for=HPAYMT                                             not_granted
        t2  ivy   read  claim,result for=HPAYMT                                       not_granted
    ",
    );
}

/// An approval is of the very bytes that the signer was shown, and cannot be moved to others.
#[test]
fn t5_an_approval_cannot_be_moved_to_another_record() {
    check_rule(
        "
        t2  drey  add      one approval=1:carl                    ok
        t2  drey  add      two approval=1:carl                    ok
        t2  carl  approve  one commitment=other                   commitment_mismatch
        t2  carl  approve  two                                    ok
        t3  c1    give     g1 to=ivy                              ok
        t3  ivy   read     two                                    ok
        t3  ivy   read     one                                    not_final
    ",
    );
}

/// A lost key is of no use from the next command on.
#[test]
fn t8_a_lost_key_is_disabled_at_once() {
    check_rule(
        "
        t2  c1      give       g1 to=carl       ok
        t2  carl    read       result           ok
        t2  clinic  suspend    carl             ok
        t2  carl    read       result           ~member_suspended
        t2  clinic+new:carl  rotate  carl       ok
        t2  clinic  reinstate  carl             ok
        t2  carl!   read       result           ~key_not_of_signer
        t2  carl    read       result           ok
    ",
    );
}

/// Restriction, amendment and redaction leave earlier entries as they are: the log only grows.
#[test]
fn t2_g3_nothing_obscures_what_was_before() {
    let mut world = check_rule("t2 drey add v2 amends=result ok");
    let (before, original) = (entries(&world), world.record("c1", "result").1);
    world.run(
        "
        t3  c1    restrict  result of=self_pay  ok
        t3  c1    redact    result              ok
        t3  hugh  redact    v2                  ok
    ",
    );
    assert_eq!(world.record("c1", "result").1, original);
    assert_eq!(entries(&world), before + 3);
}

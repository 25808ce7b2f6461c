//! What becomes of a record after it was added: amendment, restriction, redaction.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_ledger::state::{Key, RecordState, Value};
use keepwell_types::limits::ERASURE_MS;
use support::{World, chart_id, check, organisation_id};

/// A hospital's chart with a result of the hospital, one of the laboratory, and one of the patient.
const RECORDS: &str = "
    t0  rex   open   c1                                      ok
    t1  drey  add    ours    kind=result tag=ours            ok
    t1  lena  add    theirs  kind=result                     ok
    t1  c1    add    own     kind=result                     ok
    t1  c1    give   g1 to=everyone purposes=TREAT,HPAYMT,HLEGAL  ok
";

fn check_records(script: &str) -> World {
    let mut world = check(RECORDS);
    world.run(script);
    world
}

fn state_of(world: &World, name: &str) -> RecordState {
    let original = world.record("c1", name).1.original;
    match world.stored(&Key::RecordState(chart_id("c1"), original)) {
        Some(Value::RecordState(state)) => state,
        Some(other) => panic!("{other:?}"),
        None => RecordState::default(),
    }
}

#[test]
fn t2_an_amendment_keeps_the_original_and_follows_the_newest() {
    let world = check_records(
        "
        t2  drey  add   v2     amends=ours                     ok
        t2  drey  add   other  amends=ours                     not_newest
        t2  drey  add   other  amends=v2                       not_newest
        t2  drey  add   v3     amends=v2 version_is=3          ok
        t2  drey  add   other  amends=v3 version_is=5          not_newest
        t2  drey  add   other  amends=v3 version_is=3          not_newest
        t3  carl  read  ours,v2,v3                             ok
    ",
    );
    let entry = |name| world.record("c1", name).1;
    assert_eq!(entry("ours").record, entry("v3").original);
    assert_ne!(entry("ours").record, entry("v3").record);
    let newest = state_of(&world, "ours").newest.unwrap();
    assert_eq!(newest.position, world.named["v3"].0.position);
}

/// G3: what is wrong is put right by whom it is from, and by nobody else.
#[test]
fn g3_an_amendment_is_by_whom_the_record_is_from() {
    check_records(
        "
        t2  nora  add  v2  amends=ours                         ok
        t2  drey  add  v2  amends=theirs                       not_amendable
        t2  c1    add  v2  amends=theirs                       not_amendable
        t2  c1    add  v2  amends=ours                         not_newest
        t2  c1    add  v3  amends=v2 version_is=3              not_amendable
        t2  drey  add  v2  amends=own                          not_amendable
        t2  c1    add  v2  amends=own                          ok
        t2  lena  add  v2  amends=theirs kind=document         not_amendable
        t2  lena  add  v2  amends=theirs tag=another           not_amendable
        t2  lena  add  v2  amends=nothing                      unknown_record
        t2  carl  add  v2  amends=ours                         not_contributor
    ",
    );
}

#[test]
fn p10_what_the_patient_paid_for_is_hidden_from_insurers() {
    check_records(
        "
        t2  ivy   read      ours for=HPAYMT                    ok
        t2  drey  restrict  ours of=self_pay                   not_for_record
        t2  carl  restrict  ours of=self_pay                   not_for_record
        t2  rex   restrict  ours of=none                       empty_terms
        t2  rex   restrict  ours of=self_pay                   ok
        t3  ivy   read      ours for=HPAYMT                    hidden_from_insurers
        t3  ivy   read      theirs,ours for=HPAYMT             hidden_from_insurers
        t3  ivy   read      theirs for=HPAYMT                  ok
        t3  carl  read      ours for=HPAYMT                    ok
        t3  drey  add       v2 amends=ours                     ok
        t3  ivy   read      v2 for=HPAYMT                      hidden_from_insurers
        t4  rex   lift      ours of=self_pay                   not_for_record
        t4  hugh  lift      ours of=self_pay                   not_for_record
        t4  c1    lift      v2 of=self_pay                     ok
        t4  ivy   read      ours for=HPAYMT                    ok
    ",
    );
}

#[test]
fn g5_restricted_processing_leaves_the_patient_and_legal_claims() {
    check_records(
        "
        t2  rex   restrict  ours of=processing                 not_for_record
        t2  cora  restrict  ours of=processing                 not_for_record
        t2  hugh  restrict  ours of=processing                 ok
        t3  carl  read      ours                               restricted
        t3  drey  read      ours                               restricted
        t3  carl  read      ours for=HLEGAL                    ok
        t3  c1    read      ours                               ok
        t4  hugh  lift      ours of=processing                 not_for_record
        t4  c1    lift      ours of=processing                 ok
        t4  carl  read      ours                               ok
        t4  c1    restrict  ours of=processing                 ok
        t4  carl  read      ours                               restricted
    ",
    );
}

#[test]
fn a_legal_hold_is_the_privacy_officers() {
    check_records(
        "
        t2  c1    restrict  ours of=legal_hold                 not_for_record
        t2  lara  restrict  ours of=legal_hold                 not_for_record
        t2  hugh  restrict  ours of=legal_hold,self_pay        ok
        t3  carl  read      ours                               ok
        t3  c1    redact    ours                               legal_hold
        t3  c1    lift      ours of=legal_hold                 not_for_record
        t4  hugh  lift      ours of=legal_hold                 ok
        t4  c1    redact    ours                               ok
        t5  hugh  restrict  ours of=legal_hold                 ok
        t5  hugh  redact    ours                               legal_hold
        t5  carl  read      ours                               ok
    ",
    );
}

#[test]
fn g4_a_redaction_binds_when_every_required_party_has_approved() {
    let world = check_records(
        "
        t2  c1    redact    theirs                             ok
        t2  c1    redact    theirs                             already_approved
        t2  carl  read      theirs                             ok
        t2  drey  redact    theirs                             not_for_record
        t2  cora  redact    theirs                             not_for_record
        t2  c2    redact    theirs                             ~unknown_chart
        t2  hugh  redact    theirs ground=order                other_ground
        t2  hugh  redact    theirs                             ok
        t2  carl  read      theirs                             ok
        t3  lara  redact    theirs                             ok
        t3  carl  read      theirs                             redacted
        t3  c1    read      theirs                             redacted
        t3  c1    keep      theirs                             redacted
        t3  lena  add       v2 amends=theirs                   redacted
        t3  c1    restrict  theirs of=processing               redacted
        t3  c1    redact    theirs                             redacted
        t3  carl  read      ours                               ok
    ",
    );
    let redaction = state_of(&world, "theirs").redaction.unwrap();
    let bound = redaction.bound.unwrap();
    assert_eq!((bound.at, bound.erase_until), (world.time, world.time.plus_ms(ERASURE_MS)));
    assert_eq!(redaction.outstanding[..], [organisation_id("hospital"), organisation_id("clinic")]);
}

#[test]
fn an_approval_taken_back_is_no_approval() {
    let world = check_records(
        "
        t2  c1    keep      ours                               not_redacted
        t2  c1    redact    ours                               ok
        t2  hugh  keep      ours                               not_redacted
        t2  c1    keep      ours                               ok
        t2  hugh  redact    ours                               ok
        t2  carl  read      ours                               ok
        t3  hugh  keep      ours                               ok
    ",
    );
    assert_eq!(state_of(&world, "ours"), RecordState::default());
}

#[test]
fn custodians_say_that_they_erased_and_who_has_not_is_outstanding() {
    let world = check_records(
        "
        t2  custodian:hospital   erased  ours                  not_redacted
        t2  lena  add       v2 amends=theirs custody=clinic,hospital  ok
        t2  c1    redact    v2                                 ok
        t2  hugh  redact    theirs                             ok
        t2  lara  redact    theirs                             ok
        t3  carl  read      theirs                             redacted
        t3  carl  read      v2                                 redacted
        t3  custodian:hospital!  erased  theirs                ~key_not_of_signer
        t3  custodian:insurer    erased  theirs                ~not_custodian
        t3  custodian:lab        erased  theirs                not_custodian
        t3  hospital             erased  theirs                wrong_signers
        t3  custodian:hospital   erased  theirs                ok
        t3  custodian:hospital   erased  theirs                not_custodian
        t4  hospital+lab+insurer suspend_organisation clinic   ok
    ",
    );
    let outstanding = state_of(&world, "theirs").redaction.unwrap().outstanding;
    assert_eq!(outstanding[..], [organisation_id("clinic")]);
    let mut world = world;
    world.run("t5 custodian:clinic erased v2 ok");
    assert!(state_of(&world, "theirs").redaction.unwrap().outstanding.is_empty());
}

/// The tag of a redacted record is free again, whichever version the last party named.
#[test]
fn a_redacted_record_gives_its_tag_back() {
    for last in ["ours", "v2"] {
        let mut world = check_records(
            "
            t2  drey  add     v2 amends=ours                   ok
            t2  drey  add     same tag=ours                    tag_taken
            t2  c1    redact  ours                             ok
        ",
        );
        world.run(&format!("t3 hugh redact {last} ok"));
        world.run("t4 drey add same tag=ours ok");
    }
}

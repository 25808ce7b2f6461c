//! Sign-off: whose approvals make a record final, in which order, until when, and what does not count.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use std::fmt::Write as _;

use keepwell_crypto::command::verify;
use keepwell_ledger::state::{Key, Proposal, Value};
use keepwell_types::{
    command::{Payload, SignedCommand},
    encoding::List,
    genesis::Parameters,
    limits::STATE_VALUE_BYTES_MAX,
    record::RecordKind,
    set::KindSet,
    signoff::{KindRule, Meaning},
};
use support::{
    PARAMETERS, World, chart_id, check, check_with, member_id, name_of,
    script::{instant, rule},
};

/// A hospital's chart that everyone may read, and more of the hospital's people.
const SETTING: &str = "
    t0  rex       open   c1                               ok
    t0  hospital  enrol  dora  of=hospital roles=clinician        ok
    t0  hospital  enrol  both  of=hospital roles=clinician,nurse  ok
    t0  c1        give   g1  to=everyone                  ok
";
/// A resident's note, which an attending answers for.
const NOTE: &str = "
    t1  drey  add  note rule=authorship:author;responsibility:clinician@chart;within10seconds  ok
";

fn check_setting(script: &str) -> World {
    let mut world = check(SETTING);
    world.run(script);
    world
}

fn check_note(script: &str) -> World {
    let mut world = check_setting(NOTE);
    world.run(script);
    world
}

fn proposal(world: &World, name: &str) -> Proposal {
    match world.stored(&Key::Proposal(chart_id("c1"), world.named[name].0.record)) {
        Some(Value::Proposal(proposal)) => proposal,
        other => panic!("{other:?}"),
    }
}

#[test]
fn t3_steps_are_signed_in_order() {
    check_setting(
        "
        t1  drey  add      note rule=authorship:author;review:nurse@chart;responsibility:clinician@chart  ok
        t1  dora  approve  note seat=2                    step_not_open
        t1  nora  approve  note seat=1                    step_not_open
        t2  drey  approve  note seat=0                    ok
        t2  dora  approve  note seat=2                    step_not_open
        t3  nora  approve  note seat=1                    ok
        t3  ivy   read     note                           not_final
        t4  dora  approve  note seat=2                    ok
        t4  ivy   read     note                           ok
    ",
    );
}

#[test]
fn t3_only_whom_a_seat_is_for_signs_there() {
    check_setting(
        "
        t1  drey  add      note rule=review:2of(nurse@chart,clinician@author,member:$lena,patient)  ok
        t2  dora  approve  note seat=0                    role_missing
        t2  cleo  approve  note seat=0                    not_approver
        t2  carl  approve  note seat=1                    not_approver
        t2  nora  approve  note seat=2                    not_approver
        t2  c1    approve  note seat=2                    not_approver
        t2  lena  approve  note seat=3                    not_approver
        t2  lena  approve  note seat=4                    no_such_seat
        t2  lena  approve  note seat=255                  no_such_seat
        t2  hospital  approve  note seat=0                not_approver
        t2  lena! approve  note seat=2                    ~key_not_of_signer
        t3  lena  approve  note seat=2                    ok
        t3  c1    approve  note seat=3                    ok
        t3  ivy   read     note                           ok
    ",
    );
}

#[test]
fn t4_a_signature_has_a_signer_a_time_and_a_meaning() {
    let world = check_note(
        "
        t2  drey  approve  note seat=0 meaning=approval        wrong_meaning
        t2  drey  approve  note seat=0 meaning=authorship      ok
        t3  dora  approve  note seat=1 meaning=authorship      wrong_meaning
        t3  dora  approve  note seat=1 meaning=responsibility  ok
    ",
    );
    let proposal = proposal(&world, "note");
    let shown: Vec<_> = proposal
        .approvals
        .iter()
        .map(|it| (it.party, it.time, proposal.rule.seat(it.seat).unwrap().meaning))
        .collect();
    let by = |name| keepwell_types::member::Party::Member(member_id(name));
    assert_eq!(
        shown,
        [
            (by("drey"), instant("t2"), Meaning::Authorship),
            (by("dora"), instant("t3"), Meaning::Responsibility)
        ]
    );
    assert_eq!(proposal.final_at, Some(instant("t3")));
}

/// An approval is for one record in one chart of one consortium, and for what the signer was shown of it.
#[test]
fn t5_an_approval_is_of_one_record_and_counts_once() {
    let world = check_setting(
        "
        t1  drey  add      one approval=1:carl            ok
        t1  drey  add      two approval=1:carl            ok
        t2  carl  approve  two commitment=other           commitment_mismatch
        t2  carl  approve  one                            ok
        t2  carl  repeat   one                            replayed
        t2  ivy   read     one                            ok
        t2  ivy   read     two                            not_final
        t3  rex   open     c2                             ok
        t3  carl  approve  two in=c2                      unknown_record
        t3  carl  approve  two chain=other                wrong_chain
        t4  carl  approve  one                            already_approved
    ",
    );
    // The same signature under the name of the other record.
    let signed = world.last_command.clone().unwrap();
    let mut command = signed.command().clone();
    let Payload::RecordApprove(approve) = &mut command.payload else { panic!("an approval") };
    (approve.record, approve.commitment) = world.named["two"];
    let signatures = List::from_vec(signed.signatures().to_vec()).unwrap();
    assert!(verify(SignedCommand { command, signatures }).is_err());
}

#[test]
fn nobody_approves_from_the_end_of_the_window_on() {
    check_note(
        "
        t2     drey  approve  note seat=0                 ok
        t11-1  both  approve  note seat=1                 ok
        t11    dora  approve  note seat=1                 approval_expired
        t12    ivy   read     note                        ok
    ",
    );
    check_note(
        "
        t2     drey  approve  note seat=0                 ok
        t11    dora  approve  note seat=1                 approval_expired
        t12    ivy   read     note                        not_final
        t12    drey  unpropose  note                      ok
    ",
    );
}

#[test]
fn an_approval_is_taken_back_while_nothing_rests_on_it() {
    check_note(
        "
        t2  dora  retract  note                           not_approved
        t2  drey  approve  note seat=0                    ok
        t2  drey  retract  note                           ok
        t2  drey  retract  note                           not_approved
        t2  dora  approve  note seat=1                    step_not_open
        t3  drey  approve  note seat=0                    ok
        t3  dora  approve  note seat=1                    ok
        t3  dora  retract  note                           already_final
        t3  drey  retract  note                           already_final
        t3  ivy   read     note                           ok
    ",
    );
    check_setting(
        "
        t1  drey  add      note rule=authorship:author;review:2nurse@chart  ok
        t2  drey  approve  note seat=0                    ok
        t2  nora  approve  note seat=1                    ok
        t3  drey  retract  note                           relied_on
        t3  nora  retract  note                           ok
        t3  drey  retract  note                           ok
        t4  nora  approve  note seat=1                    step_not_open
    ",
    );
}

/// Whoever kept the command of an approval that was taken back cannot send it again.
#[test]
fn what_was_taken_back_is_not_sent_again() {
    let mut world = check_note("t2 drey approve note seat=0 ok");
    let approval = world.last_command.clone().unwrap();
    world.run("t3 drey retract note ok");
    world.at(instant("t4"));
    assert_eq!(name_of(&world.submit(approval).unwrap_err()), "replayed");
    world.run("t4 dora approve note seat=1 step_not_open");
}

#[test]
fn only_its_author_withdraws_a_proposal_and_nothing_follows() {
    check_note(
        "
        t2  drey  approve    note seat=0                  ok
        t2  dora  unpropose  note                         not_author
        t2  hugh  unpropose  note                         not_author
        t2  c1    unpropose  note                         not_author
        t3  drey  unpropose  note                         ok
        t3  dora  approve    note seat=1                  proposal_withdrawn
        t3  drey  retract    note                         proposal_withdrawn
        t3  drey  unpropose  note                         proposal_withdrawn
        t3  ivy   read       note                         not_final
        t3  drey  read       note                         ok
        t4  drey  add        v2 amends=note               ok
        t4  drey  approve    v2 seat=0                    ok
        t4  dora  approve    v2 seat=1                    ok
        t4  ivy   read       v2                           ok
    ",
    );
    check_note(
        "
        t2  drey  approve    note seat=0                  ok
        t2  dora  approve    note seat=1                  ok
        t3  drey  unpropose  note                         already_final
        t3  drey  add        plain                        ok
        t3  drey  unpropose  plain                        not_proposed
        t3  drey  retract    plain                        not_proposed
    ",
    );
}

/// T3: authority is checked when somebody signs, and what they lose later does not undo it.
#[test]
fn t3_a_role_counts_at_the_height_of_use() {
    check_setting(
        "
        t1  drey      add      note rule=review:2nurse@chart  ok
        t2  hospital  assign   both roles=clinician           ok
        t2  both      approve  note seat=0                    role_missing
        t2  nora      approve  note seat=0                    ok
        t3  hospital  assign   nora roles=registrar           ok
        t3  hospital  suspend  nora                           ok
        t3  nora      retract  note                           ~member_suspended
        t3  hospital  assign   both roles=nurse               ok
        t4  both      approve  note seat=0                    ok
        t4  ivy       read     note                           ok
    ",
    );
}

#[test]
fn t3_a_credential_counts_at_the_height_of_use() {
    check(
        "
        t0  hospital+clinic+lab  admit  medboard                      ok
        t0  medboard  enrol   liz of=medboard roles=licensor          ok
        t0  rex       open    c1                                      ok
        t0  c1        give    g1 to=ivy                               ok
        t1  nora      add     drug rule=approval:2controlled_substance@chart  ok
        t1  liz       issue   l1 to=drey kind=licence                 ok
        t1  drey      approve drug seat=0                             unlicensed
        t1  liz       issue   s1 to=drey kind=controlled_substance ends=t4   ok
        t1  liz       issue   s2 to=nora kind=controlled_substance from=t3 ends=t9  ok
        t1  liz       issue   s3 to=carl kind=controlled_substance    ok
        t2  carl      approve drug seat=0                             not_approver
        t2  nora      approve drug seat=0                             unlicensed
        t2  drey      approve drug seat=0                             ok
        t2  liz       revoke_credential s1 of=drey                    ok
        t3  ivy       read    drug                                    not_final
        t3  liz       suspend_credential s2 of=nora                   ok
        t3  nora      approve drug seat=0                             unlicensed
        t4  liz       reinstate_credential s2 of=nora                 ok
        t4  nora      approve drug seat=0                             ok
        t4  ivy       read    drug                                    ok
    ",
    );
}

#[test]
fn one_member_is_not_counted_for_two_roles() {
    check_setting(
        "
        t1  drey  add      note rule=review:all(nurse@chart,clinician@chart)  ok
        t2  both  approve  note seat=0                    ok
        t2  both  approve  note seat=1                    already_approved
        t2  ivy   read     note                           not_final
        t3  both  retract  note                           ok
        t3  both  approve  note seat=1                    ok
        t3  nora  approve  note seat=0                    ok
        t3  ivy   read     note                           ok
        t4  drey  add      two rule=review:2clinician@chart   ok
        t4  both  approve  two seat=0                     ok
        t4  both  approve  two seat=0                     already_approved
        t4  ivy   read     two                            not_final
    ",
    );
}

/// Enrols so many nurses of the hospital, `n0` and on.
fn nurses(count: u32) -> String {
    (0..count).fold(String::new(), |mut lines, number| {
        writeln!(lines, "t0+1 hospital enrol n{number} of=hospital roles=nurse ok").unwrap();
        lines
    })
}

fn all_approve(
    time: &str,
    name: &str,
    by: impl Iterator<Item = u32>,
    seat: impl Fn(u32) -> u32,
) -> String {
    by.fold(String::new(), |mut lines, number| {
        writeln!(lines, "{time} n{number} approve {name} seat={} ok", seat(number)).unwrap();
        lines
    })
}

#[test]
fn a_hundred_approve_in_one_block() {
    let mut world = check_setting(&nurses(100));
    let named: Vec<_> = (0..100).map(|it| format!("member:$n{it}")).collect();
    world.run(&format!(
        "
        t1  drey  add  every rule=review:100nurse@chart           ok
        t1  drey  add  named rule=consent:all({})                 ok
        t1  drey  add  few   rule=review:3nurse@chart             ok
    ",
        named.join(",")
    ));
    world.run(&all_approve("t2", "every", 0..99, |_| 0));
    world.run("t3 ivy read every not_final");
    world.run(&all_approve("t4", "every", 99..100, |_| 0));
    world.run(&all_approve("t5", "named", (0..100).rev(), |number| number));
    // All are accepted, also those whom the rule does not need any more.
    world.run(&all_approve("t6", "few", 0..100, |_| 0));
    world.run("t7 ivy read every,named,few ok");
    for (name, count) in [("every", 100), ("named", 100), ("few", 3)] {
        let proposal = proposal(&world, name);
        assert_eq!(proposal.approvals.len(), count, "{name}");
        assert!(Value::from(proposal).encode().len() < STATE_VALUE_BYTES_MAX / 2, "{name}");
    }
}

/// In one block: what comes first decides.
#[test]
fn approvals_race_with_an_amendment() {
    check_note(
        "
        t2  drey  approve  note seat=0                    ok
        t3  dora  approve  note seat=1                    ok
        t3  drey  add      v2 amends=note                 ok
        t3  ivy   read     note                           ok
        t3  ivy   read     v2                             not_final
    ",
    );
    check_note(
        "
        t2  drey  approve  note seat=0                    ok
        t3  drey  add      v2 amends=note                 ok
        t3  dora  approve  note seat=1                    not_newest
        t3  drey  retract  note                           ok
        t3  drey  approve  v2 seat=0                      ok
        t3  dora  approve  v2 seat=1                      ok
        t4  ivy   read     note                           not_final
        t4  ivy   read     v2                             ok
    ",
    );
}

#[test]
fn approvals_race_with_a_redaction() {
    check_note(
        "
        t2  drey  approve    note seat=0                  ok
        t2  c1    redact     note                         ok
        t3  hugh  redact     note                         ok
        t3  dora  approve    note seat=1                  redacted
        t3  drey  retract    note                         redacted
        t3  drey  unpropose  note                         redacted
    ",
    );
    check_note(
        "
        t2  drey  approve    note seat=0                  ok
        t2  c1    redact     note                         ok
        t3  dora  approve    note seat=1                  ok
        t3  ivy   read       note                         ok
        t3  hugh  redact     note                         ok
        t3  ivy   read       note                         redacted
    ",
    );
}

/// A seat for a proxy is for one that may sign, in its compartments and its time, and never the patient's seat.
#[test]
fn h2_a_proxy_signs_where_the_rule_has_a_seat_for_one() {
    check_setting(
        "
        t1   drey  add         plan rule=consent:any(patient,proxy)        ok
        t1   drey  add         own rule=consent:patient                    ok
        t1   drey  add         other compartment=2 rule=consent:proxy             ok
        t1   c1    name_proxy  cara compartments=1 powers=sign ends=t9     ok
        t1   c1    name_proxy  ro compartments=1 powers=read ends=t9       ok
        t2   proxy:ro    approve  plan seat=1                              outside_proxy
        t2   proxy:cara  approve  plan seat=0                              not_approver
        t2   proxy:cara  approve  own                                      not_approver
        t2   proxy:cara  approve  other                                    not_approver
        t2   c1          approve  other                                    not_approver
        t3   proxy:cara  approve  plan seat=1                              ok
        t4   drey  add         late rule=consent:proxy                     ok
        t9-1 proxy:cara  approve  late                                     ok
        t9   drey  add         later rule=consent:proxy                    ok
        t9   proxy:cara  approve  later                                    ~proxy_not_in_force
    ",
    );
    // Nor one whom the organisation names that holds an adult's chart.
    check(
        "
        t0   rex   open        c1 claim=t100                               ok
        t1   drey  add         plan rule=consent:any(patient,proxy)        ok
        t1   c1    name_proxy  max compartments=1 ends=t90                 ok
        t2   proxy:max  approve  plan seat=1                               not_patient
    ",
    );
}

/// Whoever holds the key of a chart that nobody has claimed is not the patient.
#[test]
fn nobody_signs_in_the_place_of_a_patient() {
    check_setting(
        "
        t1  rex   open     c2 claim=t100                  ok
        t1  drey  add      plan in=c2 rule=consent:patient    ok
        t1  c2    add      own in=c2 rule=authorship:author   approval_rule
        t2  c2    approve  plan in=c2                     not_patient
        t2  c1    approve  plan in=c2                     not_controller
        t3  code:c2+wallet:c2  claim  c2                  ok
        t4  c2!   approve  plan in=c2                     ~key_not_of_signer
        t4  c2    approve  plan in=c2                     ok
        t5  c2    add      own in=c2 epoch=1 rule=authorship:author  ok
        t5  c2    approve  own in=c2 seat=0               ok
    ",
    );
}

#[test]
fn a_rule_that_nobody_could_meet_is_refused() {
    check_setting(
        "
        t1  drey  add  r rule=review:member:$joe                       unknown_member
        t1  drey  add  r rule=review:administrator:$board              unknown_organisation
        t1  drey  add  r rule=review:nurse@$board                      unknown_organisation
        t1  drey  add  r rule=review:all(author,member:$drey)          approval_rule
        t1  drey  add  r rule=authorship:author;review:member:$drey    approval_rule
        t1  c1    add  r rule=review:all(author,patient)               approval_rule
        t1  drey  add  r rule=review:all(author,patient)               ok
    ",
    );
}

fn sign_off(rules: &[(RecordKind, &str, bool)]) -> Parameters {
    let rules = rules.iter().map(|(kind, text, or_less)| KindRule {
        kinds: KindSet::EMPTY.with(*kind),
        rule: rule(text),
        or_less: *or_less,
    });
    Parameters { sign_off: Some(List::from_vec(rules.collect()).unwrap()), ..PARAMETERS }
}

const OF_CONSORTIUM: &str = "authorship:author;responsibility:clinician@chart;within1days";

fn check_consortium(script: &str) -> World {
    let rules = [
        (RecordKind::Document, OF_CONSORTIUM, false),
        (RecordKind::Plan, OF_CONSORTIUM, true),
        (RecordKind::Legal, "consent:patient;witness:nurse@chart", false),
    ];
    let mut world = check_with(sign_off(&rules), SETTING);
    world.run(script);
    world
}

#[test]
fn an_author_may_ask_for_more_than_the_consortium_and_not_for_less() {
    check_consortium(
        "
        t1  drey  add  note kind=document                                                    ok
        t1  drey  add  less kind=document rule=authorship:author                             weaker_rule
        t1  drey  add  less kind=document rule=review:nurse@chart                            weaker_rule
        t1  drey  add  less kind=document rule=responsibility:clinician@chart;authorship:author;within1days  weaker_rule
        t1  drey  add  less kind=document rule=authorship:author;responsibility:clinician@chart  weaker_rule
        t1  drey  add  less kind=document rule=authorship:author;responsibility:any(clinician@chart,nurse@chart);within1days  weaker_rule
        t1  drey  add  more kind=document rule=authorship:author;review:nurse@chart;responsibility:clinician@chart;within1hours  ok
        t1  drey  add  plan kind=plan     rule=authorship:author                             ok
        t1  drey  add  due  kind=plan                                                        ok
        t1  drey  add  free kind=result                                                      ok
        t2  ivy   read note                                                                  not_final
        t2  ivy   read free                                                                  ok
        t2  drey  approve  note seat=0                                                       ok
        t2  dora  approve  note seat=1                                                       ok
        t2  ivy   read note                                                                  ok
        t2  drey  approve  plan seat=0                                                       ok
        t2  ivy   read plan                                                                  ok
        t2  drey  approve  due  seat=0                                                       ok
        t2  ivy   read due                                                                   not_final
    ",
    );
}

/// What patients write of their own needs nobody; what the organisation writes with the chart's key does.
#[test]
fn the_consortium_binds_organisations_and_not_patients() {
    check_consortium(
        "
        t1  c1    add  own  kind=document                          ok
        t1  ivy   read own                                         ok
        t1  c1    add  will kind=legal                             ok
        t1  ivy   read will                                        ok
        t1  c1    add  asks kind=document rule=review:nurse@chart  ok
        t1  ivy   read asks                                        not_final
        t2  rex   open c2 claim=t100                               ok
        t2  c2    add  note kind=document in=c2                    approval_rule
        t2  c2    add  will kind=legal in=c2                       ok
        t2  c2    approve will in=c2                               not_patient
    ",
    );
}

/// T9: a participant consents, and an impartial witness signs after that.
#[test]
fn t9_consent_is_signed_by_the_patient_and_then_by_a_witness() {
    let world = check_consortium(
        "
        t1  drey  add      consent kind=legal                 ok
        t2  nora  approve  consent seat=1                     step_not_open
        t2  drey  approve  consent seat=0                     not_approver
        t2  c1    approve  consent seat=0                     ok
        t3  nora  approve  consent seat=1 meaning=consent     wrong_meaning
        t3  nora  approve  consent seat=1                     ok
        t3  ivy   read     consent                            ok
    ",
    );
    assert_eq!(proposal(&world, "consent").final_at, Some(instant("t3")));
}

#[test]
fn an_amendment_needs_what_the_version_before_it_needed() {
    check_setting(
        "
        t1  drey  add      note rule=authorship:author;responsibility:clinician@chart    ok
        t2  drey  approve  note seat=0                                                  ok
        t2  dora  approve  note seat=1                                                  ok
        t3  drey  add      v2 amends=note rule=authorship:author                        weaker_rule
        t3  drey  add      v2 amends=note                                               ok
        t3  ivy   read     v2                                                           not_final
        t3  ivy   read     note                                                         ok
        t4  drey  approve  v2 seat=0                                                    ok
        t4  dora  approve  v2 seat=1                                                    ok
        t4  ivy   read     v2                                                           ok
    ",
    );
}

/// Whom a seat names may see what they are asked to sign, if they may read it once it is final.
#[test]
fn those_who_are_asked_see_what_they_sign() {
    check_setting(
        "
        t1  lena  add   draft rule=review:any(member:$carl,nurse@chart,patient)   ok
        t2  carl  read  draft                                                     ok
        t2  cleo  read  draft                                                     not_final
        t2  nora  read  draft                                                     ok
        t2  drey  read  draft                                                     not_final
        t2  lena  read  draft                                                     ok
        t2  c1    read  draft                                                     ok
        t3  c1    give  g2 to=carl deny                                           ok
        t3  carl  read  draft                                                     denied
    ",
    );
}

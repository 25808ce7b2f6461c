//! Who may open what: the conflict rule, line by line, and its explanation.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_ledger::{
    Lacks,
    consent::{Consent, Counting, Decision, Fared, Question, Reader, Refusal},
    state::{Key, Value},
};
use keepwell_types::{
    access::Purpose,
    genesis::{OwnOrganisation, Parameters},
    set::CompartmentSet,
};
use support::{PARAMETERS, World, chart_id, check_chart, check_with, grant_id, member_id};

/// A chart with a result in compartment 1, a note in 2 and a note in a separate-consent compartment.
const RECORDS: &str = "
    t0  rex   open  c1                              ok
    t1  drey  add   result kind=result compartment=1    ok
    t1  drey  add   note   kind=document compartment=2  ok
    t1  drey  add   secret kind=document compartment=12 ok
";

fn check_reads(script: &str) -> World {
    let mut world = World::new(PARAMETERS);
    world.run(RECORDS);
    world.run(script);
    world
}

#[test]
fn nothing_is_open_without_a_grant() {
    check_reads(
        "
        t2  drey  read  result                       not_granted
        t2  carl  read  result,note                  not_granted
        t2  c1    read  result,note,secret for=PATRQT ok
        t2  c1    read  secret for=BTG               ok
        t2  c1    give  g1 to=carl                   ok
        t2  carl  read  result,note                  ok
        t2  drey  read  result                       not_granted
    ",
    );
}

#[test]
fn an_access_is_checked_from_the_signer_inwards() {
    check_reads(
        "
        t2  carl!  read  r9 notice=2                 ~key_not_of_signer
        t2  clinic read  result                      wrong_signers
        t2  c2     read  result                      ~unknown_chart
        t2  carl   read  result in=c2 notice=2       unknown_chart
        t2  carl   read  r9 notice=2                 wrong_notice
        t2  c1     read  result notice=0             wrong_notice
        t2  carl   read  r9                          unknown_record
        t2  carl   read  result,r9                   unknown_record
        t2  carl   read  nothing                     empty_target
        t2  carl   read  none until=3                empty_target
        t2  carl   read  1 until=0                   empty_target
        t2  c1     read  1 until=12                  ok
        t2  c1     read  1 until=14                  empty_target
    ",
    );
}

/// Or else whoever takes something from a grant would lift a prohibition with it.
#[test]
fn a_permission_that_was_limited_ranks_as_it_did() {
    check_reads(
        "
        t2  c1    give   g1 to=carl                        ok
        t2  c1    give   g2 to=carl compartments=2 deny    ok
        t2  carl  read   note                              denied
        t2  c1    limit  g1 kinds=document                 ok
        t2  carl  read   note                              denied
        t2  carl  read   result                            not_granted
        t2  c1    limit  g1 kinds=document compartments=2  ok
        t2  carl  read   note                              denied
    ",
    );
}

/// Each kind of subject, from the most specific to the least, against the next.
#[test]
fn the_most_specific_subject_wins() {
    check_reads(
        "
        t2  c1    give  g1 to=everyone                              ok
        t2  ivy   read  result                                      ok
        t3  c1    give  g2 to=organisation:clinic deny              ok
        t3  ivy   read  result                                      ok
        t3  carl  read  result                                      denied
        t4  c1    give  g3 to=role:clinic:clinician                 ok
        t4  carl  read  result                                      ok
        t4  cleo  read  result                                      denied
        t5  c1    give  g4 to=carl deny                             ok
        t5  carl  read  result                                      denied
        t6  c1    revoke g4                                         ok
        t6  carl  read  result                                      ok
        t7  clinic assign carl roles=nurse                          ok
        t7  carl  read  result                                      denied
    ",
    );
}

#[test]
fn then_the_most_specific_object_wins() {
    check_reads(
        "
        t2  c1    give  g1 to=carl                                  ok
        t2  carl  read  result,note                                 ok
        t3  c1    give  g2 to=carl deny compartments=1,2            ok
        t3  carl  read  result                                      denied
        t3  carl  read  note                                        denied
        t4  c1    give  g3 to=carl kinds=document                   ok
        t4  carl  read  result                                      denied
        t4  carl  read  note                                        ok
        t5  c1    give  g4 to=carl deny records=note                ok
        t5  carl  read  note                                        denied
        t6  c1    give  g5 to=carl records=result                   ok
        t6  carl  read  result                                      ok
    ",
    );
}

/// A specific subject beats a specific object.
#[test]
fn the_subject_comes_before_the_object() {
    check_reads(
        "
        t2  c1    give  g1 to=carl                                         ok
        t2  c1    give  g2 to=organisation:clinic deny records=result      ok
        t2  carl  read  result                                             ok
        t2  cleo  read  result                                             denied
    ",
    );
}

#[test]
fn among_equals_deny_wins_whichever_came_first() {
    check_reads(
        "
        t2  c1    give  g1 to=carl deny                   ok
        t3  c1    give  g2 to=carl                        ok
        t3  carl  read  result                            denied
        t3  c1    give  g3 to=cleo                        ok
        t4  c1    give  g4 to=cleo deny                   ok
        t4  cleo  read  result                            denied
        t5  c1    revoke g4                               ok
        t5  cleo  read  result                            ok
    ",
    );
}

#[test]
fn a_prohibition_reaches_as_far_as_its_terms() {
    check_reads(
        "
        t2  c1    give  g1 to=carl purposes=TREAT,HPAYMT           ok
        t2  c1    give  g2 to=carl deny purposes=HPAYMT from=t4 ends=t6  ok
        t4-1  carl  read  result for=HPAYMT                        ok
        t4    carl  read  result for=HPAYMT                        denied
        t4    carl  read  result                                   ok
        t6-1  carl  read  result for=HPAYMT                        denied
        t6    carl  read  result for=HPAYMT                        ok
    ",
    );
}

#[test]
fn windows_are_half_open_to_the_millisecond() {
    check_reads(
        "
        t2    c1    give  g1 to=carl from=t4 ends=t6     ok
        t4-1  carl  read  result                         outside_window
        t4    carl  read  result                         ok
        t6-1  carl  read  result                         ok
        t6    carl  read  result                         outside_window
    ",
    );
}

#[test]
fn a_near_miss_says_what_is_missing() {
    check_reads(
        "
        t2  c1    give  g1 to=carl purposes=HPAYMT                       ok
        t2  carl  read  result                                           purpose_not_granted
        t2  c1    give  g2 to=carl from=t8 ends=t9                       ok
        t2  carl  read  result                                           outside_window
        t2  carl  read  result for=BTG                                   purpose_not_granted
        t3  c1    give  g3 to=carl max=1                                 ok
        t3  carl  read  result                                           ok
        t3  carl  read  result                                           accesses_used_up
        t3  c1    give  g4 to=cleo compartments=2                        ok
        t3  cleo  read  result                                           not_granted
        t3  c1    give  g5 to=cleo kinds=document compartments=1         ok
        t3  cleo  read  result                                           not_granted
    ",
    );
}

/// The worst of what the records of one access meet with.
#[test]
fn an_access_is_refused_whole() {
    check_reads(
        "
        t2  c1    give  g1 to=carl records=note                          ok
        t2  carl  read  note                                             ok
        t2  carl  read  note,result                                      not_granted
        t2  carl  read  note,result,secret                               separate_consent
        t2  c1    give  g2 to=carl deny records=result                   ok
        t2  carl  read  note,secret,result                               denied
        t2  c1    give  g3 to=cleo purposes=HPAYMT compartments=1        ok
        t2  c1    give  g4 to=cleo from=t8 ends=t9 compartments=2        ok
        t2  cleo  read  note                                             outside_window
        t2  cleo  read  note,result                                      purpose_not_granted
        t2  cleo  read  result,note                                      purpose_not_granted
    ",
    );
}

#[test]
fn separate_consent_is_never_implied() {
    check_reads(
        "
        t2  c1    give  g1 to=carl                                           ok
        t2  carl  read  secret                                               separate_consent
        t2  c1    give  g2 to=carl compartments=13,14,15 separate            ok
        t2  carl  read  secret                                               separate_consent
        t2  c1    give  g3 to=carl compartments=12 separate purposes=BTG     ok
        t2  carl  read  secret                                               purpose_not_granted
        t2  carl  read  secret for=BTG                                       ok
        t2  c1    give  g4 to=organisation:clinic compartments=12 separate   ok
        t2  carl  read  secret                                               ok
        t2  c1    give  g5 to=carl compartments=12 separate deny             ok
        t2  carl  read  secret                                               denied
        t2  carl  read  result                                               ok
    ",
    );
}

#[test]
fn two_accesses_in_one_block_use_up_two() {
    check_reads(
        "
        t2  c1    give  g1 to=carl max=2             ok
        t2  carl  read  result                       ok
        t2  carl  read  result,note                  ok
        t2  carl  read  result                       accesses_used_up
        t3  carl  read  result                       accesses_used_up
        t3  c1    limit g1 max=1                     ok
        t3  carl  read  result                       accesses_used_up
    ",
    );
}

/// Refused accesses, and those that another rule allows, are not counted.
#[test]
fn only_the_rule_that_decides_is_counted() {
    let world = check_reads(
        "
        t2  c1    give  g1 to=carl records=result max=5        ok
        t2  c1    give  g2 to=carl kinds=document max=5        ok
        t2  c1    give  g3 to=carl max=5                       ok
        t2  c1    give  g4 to=carl kinds=document              ok
        t2  carl  read  result                                 ok
        t2  carl  read  result,note                            ok
        t2  carl  read  result,secret                          separate_consent
        t2  c1    read  result                                 ok
    ",
    );
    let used = |name| match world.stored(&Key::Grant(chart_id("c1"), grant_id(name))) {
        Some(Value::Grant(grant)) => (grant.accesses_used, grant.counted.len()),
        _ => panic!("{name} exists"),
    };
    assert_eq!(["g1", "g2", "g3", "g4"].map(used), [(2, 2), (0, 0), (0, 0), (0, 0)]);
}

#[test]
fn revoked_means_refused_from_the_next_command_on() {
    check_reads(
        "
        t2  c1    give    g1 to=carl          ok
        t2  carl  read    result              ok
        t2  c1    revoke  g1                  ok
        t2  carl  read    result              not_granted
        t3  carl  read    result              not_granted
    ",
    );
}

#[test]
fn compartments_are_opened_where_some_kind_is_allowed() {
    check_reads(
        "
        t2  carl  read  1 until=4                                     not_granted
        t2  carl  read  12 until=4                                    separate_consent
        t2  c1    give  g1 to=carl compartments=1 kinds=imaging       ok
        t2  carl  read  1 until=4                                     ok
        t2  carl  read  1,2 until=4                                   not_granted
        t2  c1    give  g2 to=carl records=note                       ok
        t2  carl  read  2 until=4                                     not_granted
        t2  c1    give  g3 to=carl compartments=2 from=t8             ok
        t2  c1    give  g4 to=carl compartments=2 kinds=result deny   ok
        t2  carl  read  2 until=4                                     outside_window
        t2  c1    give  g5 to=carl compartments=2 deny                ok
        t2  carl  read  2 until=4                                     denied
        t8  carl  read  1,2 until=4                                   denied
        t8  carl  read  1 until=4 for=BTG                             purpose_not_granted
    ",
    );
}

#[test]
fn a_proposed_record_is_for_its_organisation_and_its_approvers() {
    check_reads(
        "
        t2  lena  add   draft approval=1:carl,cleo     ok
        t2  c1    give  g1 to=everyone                 ok
        t3  ivy   read  draft                          not_final
        t3  drey  read  draft                          not_final
        t3  ivy   read  draft,result                   not_final
        t3  ivy   read  draft,secret                   separate_consent
        t3  lena  read  draft                          ok
        t3  carl  read  draft                          ok
        t3  c1    read  draft                          ok
        t4  carl  approve draft                        ok
        t4  ivy   read  draft                          ok
        t5  cleo  approve draft                        ok
        t5  ivy   read  draft                          ok
        t5  c1    give  g2 to=lena deny                ok
        t5  lena  read  draft                          denied
    ",
    );
}

#[test]
fn under_opt_out_the_own_organisation_needs_no_grant() {
    let parameters = Parameters { own_organisation: OwnOrganisation::OptOut, ..PARAMETERS };
    let mut world = check_with(parameters, RECORDS);
    world.run(
        "
        t2  drey  read  result,note                                      ok
        t2  nora  read  result for=COC                                   ok
        t2  nora  read  result for=ETREAT                                ok
        t2  nora  read  result for=HPAYMT                                ok
        t2  nora  read  result for=HOPERAT                               ok
        t2  nora  read  result for=HRESCH                                purpose_not_granted
        t2  drey  read  secret                                           separate_consent
        t2  carl  read  result                                           not_granted
        t2  c1    give  g1 to=organisation:hospital deny records=note    ok
        t2  drey  read  result                                           ok
        t2  drey  read  note                                             denied
        t2  c1    give  g2 to=everyone deny                              ok
        t2  drey  read  result                                           ok
        t2  c1    give  g3 to=organisation:hospital deny                 ok
        t2  drey  read  result                                           denied
        t2  c1    give  g4 to=drey                                       ok
        t2  drey  read  result                                           ok
    ",
    );
}

#[test]
fn what_an_access_reads_depends_on_its_reader_alone() {
    let mut world = check_chart(
        "
        t1  drey  add  r1                      ok
        t1  c1    give g1 to=carl              ok
    ",
    );
    let before = keys_of_a_read(&mut world, 3);
    add_ten_thousand_grants(&mut world);
    let after = keys_of_a_read(&mut world, 4);
    assert_eq!(before, after);
    assert!(after < 20, "{after} keys for one read");
}

fn keys_of_a_read(world: &mut World, second: u64) -> usize {
    world.loaded.clear();
    world.run(&format!("t{second}  carl  read  r1  ok"));
    world.loaded.len()
}

/// Puts grants to others straight into the state, as ten thousand commands would.
fn add_ten_thousand_grants(world: &mut World) {
    use keepwell_ledger::state::{Grant, Subject};
    use keepwell_types::grant::Grantee;
    let chart = chart_id("c1");
    let Some(Value::Grant(given)) = world.stored(&Key::Grant(chart, grant_id("g1"))) else {
        panic!("g1 exists")
    };
    for number in 0..10_000 {
        let (id, grantee) = (grant_id(&number.to_string()), member_id(&number.to_string()));
        let grantee = Grantee::Member(grantee);
        let mut grant = Grant::clone(&given);
        grant.terms.grantee = grantee;
        let mut subject = Subject::default();
        subject.grants.push(id).unwrap();
        world.state.insert(Key::Grant(chart, id), Value::from(grant).encode());
        world.state.insert(Key::Subject(chart, grantee), Value::from(subject).encode());
    }
}

#[test]
fn the_explanation_names_each_rule_in_order() {
    let world = check_reads(
        "
        t2  c1  give  g1 to=everyone                               ok
        t3  c1  give  g2 to=organisation:clinic deny kinds=result  ok
        t4  c1  give  g3 to=carl purposes=HPAYMT                   ok
        t5  c1  give  g4 to=organisation:clinic                    ok
        t6  c1  give  g5 to=ivy                                    ok
        t7  c1  give  g6 to=carl compartments=2                    ok
    ",
    );
    let trace = explain(&world, "carl", "result");
    let steps: Vec<_> =
        trace.steps.iter().map(|step| (step.origin.to_string(), step.fared)).collect();
    let grant = |name| format!("grant {}", grant_id(name));
    assert_eq!(
        steps,
        [
            (grant("g3"), Fared::Misses(Refusal::PurposeNotGranted)),
            (grant("g2"), Fared::Decides),
            (grant("g4"), Fared::Overruled),
            (grant("g1"), Fared::Overruled),
        ]
    );
    assert_eq!(trace.decision, Decision::Refused(Refusal::Denied));
    let text = trace.to_string();
    assert!(text.starts_with("refused: the patient has forbidden this\n1. grant "), "{text}");
    assert!(text.contains("does not apply: no grant allows this for this purpose"), "{text}");

    let trace = explain(&world, "ivy", "secret");
    let separate = CompartmentSet::from_bits(1 << 12).unwrap();
    assert_eq!(trace.decision, Decision::Refused(Refusal::SeparateConsent(separate)));
    assert!(trace.steps.is_empty());
}

fn explain(world: &World, member: &str, record: &str) -> keepwell_ledger::consent::Trace {
    let (position, entry) = world.record("c1", record);
    world
        .ask(
            |view| {
                let chart = view.chart(chart_id("c1"))?.expect("the chart exists");
                let id = member_id(member);
                let reader = Reader::member(id, view.member(id)?.expect("the member exists"));
                let question = Question {
                    chart: chart_id("c1"),
                    purpose: Purpose::Treatment,
                    time: world.time,
                    counting: Counting::Opening,
                };
                Consent::of(view, &world.parameters, chart, reader, question)?
                    .explain(position, &entry)
            },
            |lacks: &Lacks| Some(*lacks),
        )
        .unwrap()
}

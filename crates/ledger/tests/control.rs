//! What a patient can allow and end beyond single grants: teams, groups, requests, passing on, and all
//! that an organisation has at once.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_types::{
    genesis::{OwnOrganisation, Parameters},
    limits::{OPEN_REQUESTS_MAX, PASSED_ON_MAX, REQUEST_WAIT_MS_MAX, TEAMS_MAX},
};
use support::{PARAMETERS, START, World, check, check_with};

/// A chart with a result in compartment 1, a note in 2, and a note of separate consent in 12.
const RECORDS: &str = "
    t0  rex   open   c1                                               ok
    t1  drey  add    result  compartment=1  kind=result               ok
    t1  drey  add    note    compartment=2  kind=document             ok
    t1  drey  add    psyth   compartment=12 kind=document             ok
";

fn check_reads(script: &str) -> World {
    let mut world = check(RECORDS);
    world.run(script);
    world
}

#[test]
fn g9_a_new_record_is_unshared_outside_its_organisation() {
    check_reads(
        "
        t2  carl  read   result   not_granted
        t2  ivy   read   result   not_granted
        t2  drey  read   result   not_granted
        t2  c1    read   result   ok
    ",
    );
}

#[test]
fn p9_s3_notes_of_separate_consent_are_never_covered_by_an_ordinary_grant() {
    check_reads(
        "
        t2  c1    give   g1 to=carl                                       ok
        t2  carl  read   result                                           ok
        t2  carl  read   psyth                                            separate_consent
        t2  c1    give   g2 to=carl compartments=1,12                     separate_consent
        t2  c1    give   g2 to=carl compartments=1,12 separate            separate_consent
        t2  c1    give   g2 to=carl compartments=12 separate              ok
        t2  carl  read   psyth                                            ok
        t2  c1    give   g3 to=cleo onward                                ok
        t2  cleo  pass   g4 of=g3 to=ivy compartments=12 separate         not_onward
        t2  cleo  ask    q1 to=cleo compartments=1,12                     separate_consent
    ",
    );
}

#[test]
fn a_care_team_is_whom_the_patient_says() {
    check_reads(
        "
        t2  drey  team    t1 members=carl                 not_controller
        t2  c1    give    g1 to=team:t1                   unknown_team
        t2  c1    team    t1 members=carl,nobody          unknown_member
        t2  c1    team    t1 members=carl,carl            member_twice
        t2  c1    team    t1 members=carl,ivy             ok
        t2  c1    give    g1 to=team:t1                   ok
        t3  carl  read    result                          ok
        t3  ivy   read    result                          ok
        t3  cleo  read    result                          not_granted
        t4  c1    team    t1 members=carl,cleo            ok
        t4  ivy   read    result                          not_granted
        t4  cleo  read    result                          ok
        t5  c1    team    t1 members=                     ok
        t5  carl  read    result                          not_granted
        t5  rex   open    c2                              ok
        t5  c2    give    g1 in=c2 to=team:t1             unknown_team
    ",
    );
}

#[test]
fn a_chart_has_few_teams() {
    let mut world = check_reads("");
    for number in 0..TEAMS_MAX {
        world.run(&format!("t2+{number} c1 team t{number} members=carl ok"));
    }
    world.run(
        "
        t3  c1  team  more members=carl   too_many_teams
        t3  c1  team  t0 members=cleo     ok
        t3  c1  team  t0 members=         ok
        t3  c1  team  more members=carl   ok
    ",
    );
}

/// A group reads for its purposes only, whatever the grant says and whoever is in it.
#[test]
fn a_group_is_bound_to_its_purposes() {
    check_reads(
        "
        t2  carl      form    board of=clinic purposes=COC                 wrong_signers
        t2  hospital  form    board of=clinic purposes=COC                 wrong_signers
        t2  clinic    form    board of=clinic purposes=none                empty_terms
        t2  clinic    form    board of=clinic purposes=COC                 ok
        t2  clinic    form    board of=clinic purposes=TREAT               group_exists
        t2  hospital  assign  drey groups=board                            unknown_group
        t2  clinic    assign  carl groups=board,board                      unknown_group
        t2  clinic    assign  carl groups=board                            ok
        t2  c1        give    g1 to=group:nowhere                          unknown_group
        t2  c1        give    g1 to=group:board purposes=TREAT             not_of_group
        t2  c1        give    g1 to=group:board purposes=TREAT,COC         not_of_group
        t2  c1        give    g1 to=group:board purposes=COC               ok
        t3  carl      read    result for=COC                               ok
        t3  carl      read    result for=TREAT                             purpose_not_granted
        t3  cleo      read    result for=COC                               not_granted
        t4  clinic    assign  carl groups=                                 ok
        t4  carl      read    result for=COC                               not_granted
    ",
    );
}

/// Team, role and group are equals: deny wins among them, a member's own grant comes before all.
#[test]
fn teams_roles_and_groups_rank_alike() {
    check_reads(
        "
        t2  clinic    form    board of=clinic purposes=TREAT               ok
        t2  clinic    assign  carl groups=board                            ok
        t2  c1        team    t1 members=carl                              ok
        t2  c1        give    g1 to=team:t1                                ok
        t2  carl      read    result                                       ok
        t3  c1        give    g2 to=group:board deny                       ok
        t3  carl      read    result                                       denied
        t4  c1        revoke  g2                                           ok
        t4  c1        give    g3 to=role:clinic:clinician deny             ok
        t4  carl      read    result                                       denied
        t5  c1        give    g4 to=carl                                   ok
        t5  carl      read    result                                       ok
        t6  c1        revoke  g3                                           ok
        t6  c1        revoke  g4                                           ok
        t6  c1        give    g5 to=organisation:clinic deny               ok
        t6  carl      read    result                                       ok
        t6  cleo      read    result                                       denied
    ",
    );
}

/// S8: what was granted so far ends from the next command on, to whomever of the organisation it was
/// given; what is given after that counts.
#[test]
fn s8_everything_from_one_organisation_is_revoked_at_once() {
    check_reads(
        "
        t2  c1    team        t1 members=carl,ivy                   ok
        t2  c1    give        g1 to=carl                            ok
        t2  c1    give        g2 to=role:clinic:nurse               ok
        t2  c1    give        g3 to=organisation:clinic             ok
        t2  c1    give        g4 to=everyone                        ok
        t2  c1    give        g5 to=team:t1                         ok
        t3  carl  read        result                                ok
        t3  cleo  read        result                                ok
        t3  ivy   read        result                                ok
        t4  carl  revoke_all  clinic                                not_controller
        t4  c1    revoke_all  pharmacy                              unknown_organisation
        t4  c1    revoke_all  clinic                                ok
        t4  carl  read        result                                not_granted
        t4  cleo  read        result                                not_granted
        t4  ivy   read        result                                ok
        t5  c1    give        g6 to=cleo                            ok
        t5  cleo  read        result                                ok
        t5  carl  read        result                                not_granted
        t6  c1    revoke_all  clinic                                ok
        t6  cleo  read        result                                not_granted
    ",
    );
}

/// Revoking opens nothing: what was forbidden before is forbidden after it.
#[test]
fn a_prohibition_outlasts_the_end_of_everything() {
    check_reads(
        "
        t2  c1    give        g1 to=organisation:clinic             ok
        t2  c1    give        g2 to=carl deny                       ok
        t2  carl  read        result                                denied
        t3  c1    revoke_all  clinic                                ok
        t3  carl  read        result                                denied
        t3  cleo  read        result                                not_granted
        t4  c1    give        g3 to=organisation:clinic             ok
        t4  carl  read        result                                denied
        t4  cleo  read        result                                ok
        t5  c1    revoke      g2                                    ok
        t5  carl  read        result                                ok
    ",
    );
}

#[test]
fn what_the_consortium_allows_the_own_organisation_ends_with_it() {
    let parameters = Parameters { own_organisation: OwnOrganisation::OptOut, ..PARAMETERS };
    let mut world = check_with(parameters, RECORDS);
    world.run(
        "
        t2  drey  read        result     ok
        t3  c1    revoke_all  hospital   ok
        t3  drey  read        result     not_granted
        t4  c1    give        g1 to=drey ok
        t4  drey  read        result     ok
    ",
    );
}

#[test]
fn a_grant_is_passed_on_if_it_says_so() {
    check_reads(
        "
        t2  c1    give  g1 to=carl                                             ok
        t2  carl  pass  g2 of=g1 to=ivy                                        not_onward
        t3  c1    give  g3 to=carl onward max=3                                not_onward
        t3  c1    give  g3 to=carl onward deny                                 not_onward
        t3  c1    give  g3 to=carl onward compartments=1 ends=t50              ok
        t3  carl  pass  g4 of=g9 to=ivy compartments=1 ends=t50                unknown_grant
        t3  c1    pass  g4 of=g3 to=ivy compartments=1 ends=t50                not_onward
        t3  cleo  pass  g4 of=g3 to=ivy compartments=1 ends=t50                not_onward
        t3  carl! pass  g4 of=g3 to=ivy compartments=1 ends=t50                ~key_not_of_signer
        t3  carl  pass  g4 of=g3 to=carl compartments=1 ends=t50               not_onward
        t3  carl  pass  g4 of=g3 to=organisation:insurer compartments=1 ends=t50  not_onward
        t3  carl  pass  g4 of=g3 to=ivy compartments=1 ends=t50 onward         not_onward
        t3  carl  pass  g4 of=g3 to=ivy compartments=1 ends=t50 deny           not_onward
        t3  carl  pass  g4 of=g3 to=ivy compartments=1,2 ends=t50              not_narrower
        t3  carl  pass  g4 of=g3 to=ivy compartments=1 ends=t51                not_narrower
        t3  carl  pass  g4 of=g3 to=ivy compartments=1 ends=t50 purposes=HPAYMT  not_narrower
        t3  carl  pass  g1 of=g3 to=ivy compartments=1 ends=t50                grant_exists
        t3  ivy   read  result                                                 not_granted
        t3  carl  pass  g4 of=g3 to=ivy compartments=1 ends=t50                ok
        t3  ivy   read  result                                                 ok
        t3  ivy   read  note                                                   not_granted
        t3  ivy   pass  g5 of=g4 to=cleo compartments=1 ends=t50               not_onward
    ",
    );
}

/// What was passed on ends when what it comes from ends, by whatever way that does.
#[test]
fn what_was_passed_on_lasts_as_long_as_its_ground() {
    for (end, again) in [
        ("t5 c1 revoke g1 ok", None),
        ("t5 c1 revoke g2 ok", None),
        ("t5 carl revoke g2 ok", None),
        ("t5 c1 revoke_all clinic ok", None),
        ("t5 c1 revoke_all insurer ok", None),
        ("t5 clinic suspend carl ok", Some("t6 clinic reinstate carl ok")),
        ("t5 hospital+lab+insurer suspend_organisation clinic ok", None),
        ("t5 c1 limit g1 compartments=2 ok", None),
        ("t5 c1 limit g1 purposes=COC ok", None),
        ("t5 c1 limit g1 ends=t5+1 ok\nt5+1 c1 team t1 members=ivy ok", None),
        ("t5 c1 give g3 to=everyone deny ok", Some("t6 c1 revoke g3 ok")),
        ("t5 c1 give g3 to=carl deny ok", Some("t6 c1 revoke g3 ok")),
        (
            "t5 c1 give g3 to=role:clinic:clinician deny ends=t6 ok",
            Some("t6 c1 team t1 members=ivy ok"),
        ),
    ] {
        let mut world = check_reads(
            "
            t2  c1    give  g1 to=carl onward purposes=TREAT,COC   ok
            t3  carl  pass  g2 of=g1 to=ivy                        ok
            t4  ivy   read  result                                 ok
        ",
        );
        world.run(end);
        let now = world.time.0 - START.0;
        assert!(!reads(&mut world, "ivy", now), "after {end}");
        if let Some(again) = again {
            world.run(again);
            let now = world.time.0 - START.0;
            assert!(reads(&mut world, "ivy", now), "after {end} and {again}");
        }
    }
}

/// Whoever is shut out lets nobody else in.
#[test]
fn whoever_is_forbidden_passes_nothing_on() {
    check_reads(
        "
        t2  c1    give    g1 to=role:clinic:clinician onward     ok
        t3  c1    give    g2 to=carl deny                        ok
        t3  carl  pass    g3 of=g1 to=ivy                        not_onward
        t4  c1    revoke  g2                                     ok
        t4  carl  pass    g3 of=g1 to=ivy                        ok
        t4  ivy   read    result                                 ok
        t5  c1    give    g4 to=carl deny kinds=document         ok
        t5  ivy   read    result                                 not_granted
        t6  c1    give    g5 to=carl deny purposes=HPAYMT        ok
        t6  c1    revoke  g4                                     ok
        t6  ivy   read    result                                 ok
    ",
    );
}

/// Whether a member may open the result at the open block's time.
fn reads(world: &mut World, who: &str, ms: u64) -> bool {
    let line = format!("t0+{} {who} read result ok", ms + 1);
    let line = support::lines(&line).remove(0);
    world.at(line.time);
    let command = keepwell_crypto::command::verify(line.command(world)).unwrap();
    world.submit(command).unwrap().verdict.is_accepted()
}

/// A role may be passed on by whoever has it, and is not once they have it no more.
#[test]
fn a_passed_grant_needs_its_passer_in_the_role() {
    check_reads(
        "
        t2  c1      give    g1 to=role:clinic:clinician onward   ok
        t2  cleo    pass    g2 of=g1 to=ivy                      not_onward
        t2  carl    pass    g2 of=g1 to=ivy                      ok
        t3  ivy     read    result                               ok
        t4  clinic  assign  carl roles=nurse                     ok
        t4  ivy     read    result                               not_granted
        t5  cleo    revoke  g2                                   not_controller
        t5  carl    revoke  g1                                   not_controller
        t5  carl    revoke  g2                                   ok
    ",
    );
}

#[test]
fn listed_records_stay_listed_when_passed_on() {
    check_reads(
        "
        t2  c1    give  g1 to=carl onward records=result             ok
        t2  carl  pass  g2 of=g1 to=ivy                              not_narrower
        t2  carl  pass  g2 of=g1 to=ivy records=note                 not_narrower
        t2  carl  pass  g2 of=g1 to=ivy records=result               ok
        t2  ivy   read  result                                       ok
        t2  ivy   read  note                                         not_granted
    ",
    );
}

#[test]
fn a_grant_is_passed_on_so_often_and_no_more() {
    let mut world = check_reads("t2 c1 give g1 to=carl onward ok");
    for number in 0..PASSED_ON_MAX {
        world.run(&format!("t3+{number} carl pass p{number} of=g1 to=ivy ok"));
    }
    world.run(
        "
        t4  carl  pass    more of=g1 to=cleo   passed_on_too_often
        t4  carl  revoke  p0                   ok
        t4  carl  pass    more of=g1 to=cleo   passed_on_too_often
    ",
    );
}

#[test]
fn a_clinician_asks_and_the_patient_answers() {
    check_reads(
        "
        t2  carl  ask       q1 to=carl compartments=1,2 ends=t90           ok
        t2  carl  ask       q1 to=carl                                     request_exists
        t2  carl  read      result                                         not_granted
        t3  carl  answer    q1 grant=g1 to=carl compartments=1 ends=t50    not_controller
        t3  c1    answer    q9 grant=g1 to=carl compartments=1 ends=t50    unknown_request
        t3  c1    answer    q1 grant=g1 to=cleo compartments=1 ends=t50    more_than_asked
        t3  c1    answer    q1 grant=g1 to=carl compartments=1,2,3 ends=t50  more_than_asked
        t3  c1    answer    q1 grant=g1 to=carl compartments=1 ends=t91    more_than_asked
        t3  c1    answer    q1 grant=g1 to=carl compartments=1 ends=t50 onward  more_than_asked
        t3  c1    answer    q1 grant=g1 to=carl compartments=1 ends=t50 deny  more_than_asked
        t3  c1    answer    q1 grant=g1 to=carl compartments=1 ends=t50    ok
        t4  carl  read      result                                         ok
        t4  carl  read      note                                           not_granted
        t4  c1    answer    q1 grant=g2 to=carl compartments=1 ends=t50    request_closed
        t4  carl  withdraw  q1                                             request_closed
        t5  c1    revoke    g1                                             ok
        t5  carl  read      result                                         not_granted
    ",
    );
}

#[test]
fn one_asks_for_oneself_only() {
    check_reads(
        "
        t2  carl  ask       q1 to=cleo                        not_for_asker
        t2  carl  ask       q1 to=everyone                    not_for_asker
        t2  carl  ask       q1 to=organisation:insurer        not_for_asker
        t2  carl  ask       q1 to=role:clinic:nurse           not_for_asker
        t2  carl  ask       q1 to=carl deny                   not_for_asker
        t2  c1    ask       q1 to=carl                        wrong_signers
        t2  carl  ask       q1 to=carl records=nothing        unknown_record
        t2  carl  ask       q1 to=carl compartments=none      empty_terms
        t2  carl  ask       q1 in=c2 to=carl                  unknown_chart
        t2  carl  ask       q1 to=role:clinic:clinician       ok
        t2  carl  ask       q2 to=organisation:clinic         ok
        t3  cleo  withdraw  q1                                wrong_signers
        t3  carl  withdraw  q1                                ok
        t3  c1    answer    q1 grant=g1 to=role:clinic:clinician  request_closed
        t3  c1    answer    q2                                ok
        t3  cleo  read      result                            not_granted
    ",
    );
}

#[test]
fn a_request_waits_so_long_and_no_longer() {
    let max = REQUEST_WAIT_MS_MAX;
    check_reads(&format!(
        "
        t2    carl  ask     q1 to=carl waits=t2                   window_passed
        t2    carl  ask     q1 to=carl waits=t2+{}                request_waits_too_long
        t2    carl  ask     q1 to=carl waits=t2+{max}             ok
        t2    carl  ask     q2 to=carl waits=t4                   ok
        t2    carl  ask     q3 to=carl waits=t4                   ok
        t4-1  c1    answer  q2 grant=g2 to=carl                   ok
        t4    c1    answer  q3 grant=g3 to=carl                   request_closed
    ",
        max + 1
    ));
}

#[test]
fn an_organisation_cannot_bury_a_patient_in_requests() {
    let mut world = check_reads("");
    for number in 0..OPEN_REQUESTS_MAX {
        world.run(&format!("t2+{number} carl ask q{number} to=carl waits=t9 ok"));
    }
    world.run(
        "
        t3  cleo  ask       more to=cleo     too_many_requests
        t3  ivy   ask       theirs to=ivy    ok
        t4  c1    answer    q0               ok
        t4  cleo  ask       more to=cleo     ok
        t4  cleo  ask       most to=cleo     too_many_requests
        t9  cleo  ask       most to=cleo     ok
    ",
    );
}

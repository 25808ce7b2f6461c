//! What each command needs to be accepted, and every way in which it is refused.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_crypto::command::verify;
use keepwell_ledger::{
    execute::Inadmissible,
    state::{Key, Value},
};
use keepwell_types::{
    anchor::AnchorAdd,
    command::Payload,
    genesis::Parameters,
    id::{Digest, Epoch, LogPosition, OrganisationId},
    limits::{GRANTS_PER_SUBJECT_MAX, IN_STANDING_MAX, SIGNERS_MAX},
    member::Party,
    outcome::Rejection,
};
use support::{
    CHART, ORGANISATIONS, PARAMETERS, START, World, chart_id, check, check_chart, check_with, key,
    member_id, organisation_id,
};

#[test]
fn more_than_two_thirds_admit_an_organisation() {
    check(
        "
        t1  hospital+clinic             admit  pharmacy   too_few_administrators
        t1  hospital+clinic+lab         admit  pharmacy   ok
        t1  hospital+clinic+lab         admit  board      too_few_administrators
        t1  hospital+clinic+lab+insurer admit  pharmacy   organisation_exists
        t1  hospital+clinic+lab+lab     admit  board      wrong_signers
        t1  hospital+clinic+lab+drey    admit  board      wrong_signers
        t1  hospital!+clinic+lab+insurer admit board      ~key_not_of_signer
        t1  hospital+clinic+lab+board   admit  board      unknown_organisation
        t1  hospital+clinic+lab+pharmacy admit board      ok
    ",
    );
}

#[test]
fn suspended_organisations_neither_act_nor_count() {
    check(
        "
        t1  hospital+clinic+lab  suspend_organisation   insurer   ok
        t1  hospital+clinic+lab  suspend_organisation   insurer   organisation_suspended
        t1  insurer              enrol  eve of=insurer            ~organisation_suspended
        t1  ivy                  anchor 5                         ~organisation_suspended
        t1  hospital+clinic+insurer admit pharmacy                organisation_suspended
        t1  hospital+clinic      admit  pharmacy                  too_few_administrators
        t1  hospital+clinic+lab  suspend_organisation   lab       ok
        t1  hospital+clinic      suspend_organisation   clinic    ok
        t1  hospital             suspend_organisation   hospital  last_organisation
        t1  hospital             suspend_organisation   board     unknown_organisation
        t1  hospital             reinstate_organisation insurer   ok
        t1  hospital             reinstate_organisation insurer   too_few_administrators
        t1  hospital+insurer     reinstate_organisation insurer   ok
        t1  ivy                  anchor 5                         ok
    ",
    );
}

#[test]
fn administrators_enrol_and_suspend_their_own_members() {
    check(
        "
        t1  clinic     enrol      eve of=clinic          ok
        t1  clinic     enrol      eve of=clinic          member_exists
        t1  clinic     enrol      joe of=hospital        wrong_signers
        t1  clinic!    enrol      joe of=clinic          ~key_not_of_signer
        t1  board      enrol      joe of=board           ~unknown_organisation
        t1  eve        anchor     5                      ok
        t1  hospital   suspend    eve                    wrong_signers
        t1  clinic     suspend    joe                    unknown_member
        t1  clinic     suspend    eve                    ok
        t1  clinic     suspend    eve                    member_suspended
        t1  eve        anchor     5                      ~member_suspended
        t1  clinic     reinstate  eve                    ok
        t1  clinic     reinstate  eve                    ok
        t1  eve        anchor     5                      ok
        t1  joe        anchor     5                      ~unknown_member
    ",
    );
}

#[test]
fn a_key_counts_until_the_command_that_changes_it() {
    check(
        "
        t1  hospital            rotate  drey   wrong_signers
        t1  hospital+nora       rotate  drey   wrong_signers
        t1  hospital+drey       rotate  drey   key_not_of_signer
        t1  clinic+new:drey     rotate  drey   wrong_signers
        t1  hospital!+new:drey  rotate  drey   ~key_not_of_signer
        t1  hospital+new:joe    rotate  joe    unknown_member
        t1  drey                anchor  5      ok
        t1  hospital+new:drey   rotate  drey   ok
        t1  drey                anchor  5      ok
        t1  drey!               anchor  5      ~key_not_of_signer
    ",
    );
}

#[test]
fn roles_open_charts() {
    check(
        "
        t1  nora      open    c1                            role_missing
        t1  hospital  assign  nora roles=nurse,registrar    ok
        t1  clinic    assign  nora roles=nurse              wrong_signers
        t1  nora      open    c1                            ok
        t1  nora      open    c1                            chart_exists
        t1  carl      open    c2                            ok
        t1  hospital  open    c3                            wrong_signers
        t1  rex+drey  open    c3                            wrong_signers
        t1  rex!      open    c3                            ~key_not_of_signer
    ",
    );
}

#[test]
fn a_chart_is_cut_like_every_other() {
    check(
        "
        t1  rex  open  c1 separate=1,2,3                       separate_consent_count
        t1  rex  open  c1 separate=1,2,3,4,5                   separate_consent_count
        t1  rex  open  c1 separate=none                        separate_consent_count
        t1  rex  open  c1 custodians=hospital                  too_few_custodians
        t1  rex  open  c1 custodians=hospital,hospital         not_custodian
        t1  rex  open  c1 custodians=hospital,insurer          not_custodian
        t1  rex  open  c1 custodians=hospital,board            unknown_organisation
        t1  rex  open  c1 contributors=board                   unknown_organisation
        t1  rex  open  c1 contributors=lab,lab                 named_twice
        t1  rex  open  c1 claim=t1                             claim_expired
        t1  rex  open  c1 separate=0,5,9,15 claim=t1+1         ok
    ",
    );
}

#[test]
fn a_code_claims_once_and_in_time() {
    check(
        "
        t1      rex                 open   c1 claim=t9      ok
        t1      rex                 open   c2               ok
        t1      rex                 open   c3 claim=t9      ok
        t2      code:c1             claim  c1               wrong_signers
        t2      wallet:c1+code:c1   claim  c1               ~key_not_of_signer
        t2      code:c1!+wallet:c1  claim  c1               ~key_not_of_signer
        t2      code:c1+wallet:c1!  claim  c1               key_not_of_signer
        t2      code:c3+wallet:c1   claim  c1               wrong_signers
        t2      code:c2+wallet:c2   claim  c2               ~not_claimable
        t2      code:c4+wallet:c4   claim  c4               ~unknown_chart
        t9-1    code:c1+wallet:c1   claim  c1               ok
        t9      code:c1+wallet:c1   claim  c1               ~not_claimable
        t9      code:c3+wallet:c3   claim  c3               claim_expired
        t9      c1                  arrange c1              ok
        t9      c1!                 arrange c1              ~key_not_of_signer
    ",
    );
}

#[test]
fn a_claim_moves_every_compartment() {
    let mut world = check(
        "
        t1  rex                open   c1 claim=t9    ok
        t2  c1                 advance c1 compartments=3  ok
    ",
    );
    world.run("t3  code:c1+wallet:c1  claim  c1  ok");
    let Some(Value::Chart(chart)) = world.stored(&Key::Chart(chart_id("c1"))) else { panic!() };
    let expected = core::array::from_fn(|at| Epoch(if at == 3 { 2 } else { 1 }));
    assert_eq!((chart.epochs, chart.claimed, chart.claim), (expected, true, None));
}

#[test]
fn a_letter_from_before_a_rotation_claims_nothing() {
    check(
        "
        t1  rex                open     c1 claim=t9                     ok
        t2  c1                 advance  c1 compartments=3               ok
        t3  code:c1+wallet:c1  claim    c1 letter=controller:c1         letter_out_of_date
        t3  code:c1+wallet:c1  claim    c1                              ok
    ",
    );
}

#[test]
fn a_code_is_replaced_until_the_chart_is_claimed() {
    check(
        "
        t1   rex                    open     c1 claim=t9                 ok
        t1   rex                    open     c2                          ok
        t2   drey                   arrange  c1 claim=t9                 not_controller
        t9   code:c1+wallet:c1      claim    c1                          claim_expired
        t9   c1                     arrange  c1 claim=t9                 claim_expired
        t9   c1                     arrange  c1 claim=t20 code=c1:new    ok
        t10  code:c1+wallet:c1      claim    c1                          ~key_not_of_signer
        t10  c1                     arrange  c1                          ok
        t10  code:c1:new+wallet:c1  claim    c1                          ok
        t11  c1                     arrange  c1 claim=t20                not_claimable
        t11  c2                     arrange  c2 claim=t20                not_claimable
    ",
    );
}

#[test]
fn an_unclaimed_chart_is_its_organisations() {
    check(
        "
        t1  rex                      open     c1 claim=t9          ok
        t1  rex                      open     c2                   ok
        t2  c1                       give     g1 in=c1 to=drey     ok
        t2  clinic+lab+insurer       suspend_organisation hospital ok
        t2  c1                       revoke   g1 in=c1             ~organisation_suspended
        t2  c2                       give     g1 in=c2 to=carl     ok
        t2  code:c1+wallet:c1        claim    c1                   ok
        t2  c1                       revoke   g1 in=c1             ok
    ",
    );
}

#[test]
fn only_the_controller_arranges_and_rotates() {
    check_chart(
        "
        t1  rex   open     c2                                      ok
        t1  drey  arrange  c1                                      not_controller
        t1  c2    arrange  c1                                      not_controller
        t1  hospital arrange c1                                    wrong_signers
        t1  c1!   arrange  c1                                      ~key_not_of_signer
        t1  c3    arrange  c3                                      ~unknown_chart
        t1  c1    arrange  c1 custodians=hospital                  too_few_custodians
        t1  c1    arrange  c1 custodians=hospital,lab contributors=clinic  ok
        t2  drey  advance  c1 compartments=1                       not_controller
        t2  c1    advance  c1 compartments=none                    empty_terms
        t2  c1    advance  c1 compartments=1,2                     ok
        t2  drey  add  r1 custody=hospital,lab                     wrong_epoch
        t2  drey  add  r1 custody=hospital,lab epoch=1             ok
        t2  drey  add  r2 custody=hospital,lab compartment=3       ok
        t2  lena  add  r3 custody=hospital,lab compartment=3       not_contributor
        t2  carl  add  r3 custody=hospital,lab compartment=3       ok
    ",
    );
}

#[test]
fn records_come_from_authors_and_stay_with_custodians() {
    check_chart(
        "
        t1  drey  add  r1                                    ok
        t1  lena  add  r2                                    ok
        t1  c1    add  r3                                    ok
        t1  carl  add  r4                                    not_contributor
        t1  ivy   add  r4                                    role_missing
        t1  lab   add  r4                                    wrong_signers
        t1  drey+nora add r4                                 wrong_signers
        t1  drey  add  r4 in=c9                              unknown_chart
        t1  c9    add  r4                                    ~unknown_chart
        t1  drey  add  r4 epoch=1                            wrong_epoch
        t1  drey  add  r4 bytes=0                            record_size
        t1  drey  add  r4 bytes=max+1                        record_size
        t1  drey  add  r4 bytes=max                          ok
        t1  drey  add  r5 custody=hospital                   too_few_custodians
        t1  drey  add  r5 custody=                           too_few_custodians
        t1  drey  add  r5 custody=hospital,hospital          not_custodian
        t1  drey  add  r5 custody=hospital,lab               not_custodian
        t1  drey  add  r5 custody=hospital,clinic!           custodian_key
        t2  drey  add  r5 kept=t2                            custody_ended
        t2  drey  add  r5 kept=t2+1                          ok
        t2  hospital+lab+insurer suspend_organisation clinic ok
        t2  drey  add  r6                                    organisation_suspended
    ",
    );
}

#[test]
fn roles_author() {
    let roles = [
        ("clinician", "ok"),
        ("nurse", "ok"),
        ("pharmacist", "ok"),
        ("laboratory_scientist", "ok"),
        ("registrar", "ok"),
        ("claims_assessor", "role_missing"),
        ("privacy_officer", "role_missing"),
        ("key_agent", "role_missing"),
        ("gateway", "ok"),
        ("researcher", "role_missing"),
        ("auditor", "role_missing"),
        ("none", "role_missing"),
        ("auditor,nurse", "ok"),
    ];
    let mut world = check(CHART);
    for ((role, verdict), number) in roles.into_iter().zip(1..) {
        world.run(&format!(
            "
            t{number}  hospital  assign  drey roles={role}  ok
            t{number}  drey      add     r{number}          {verdict}
        "
        ));
    }
}

#[test]
fn a_tag_is_taken_once_in_an_organisation() {
    check_chart(
        "
        t1  rex   open c2            ok
        t1  drey  add  r1 tag=mrn-1  ok
        t1  nora  add  r2 tag=mrn-1  tag_taken
        t1  nora  add  r2 tag=mrn-1 in=c2  tag_taken
        t1  lena  add  r2 tag=mrn-1  ok
        t2  drey  add  r3 tag=mrn-1  tag_taken
        t2  drey  add  r3 tag=mrn-2  ok
    ",
    );
}

#[test]
fn a_proposed_record_waits_for_its_parties() {
    check_chart(
        "
        t1  drey  add      r0                                ok
        t1  drey  add      r1 approval=2:drey,carl,c1        ok
        t1  drey  approve  r0                                not_proposed
        t1  drey  approve  r9                                unknown_record
        t1  nora  approve  r1                                not_approver
        t1  hospital approve r1                              not_approver
        t1  drey! approve  r1                                ~key_not_of_signer
        t1  code:c1 approve r1                               ~not_claimable
        t1  drey  approve  r1 commitment=other               commitment_mismatch
        t1  drey  approve  r1                                ok
        t1  drey  approve  r1                                already_approved
        t1  c1    approve  r1                                ok
        t2  carl  approve  r1                                ok
        t2  carl  approve  r1                                already_approved
        t2  drey  approve  r1 in=c9                          unknown_chart
        t2  drey  add      r2 approval=1:hospital            ok
        t2  hospital approve r2                              ok
    ",
    );
}

#[test]
fn an_approval_rule_can_be_met() {
    check_chart(
        "
        t1  rex   open  c2                                   ok
        t1  drey  add   r1 approval=0:drey                   approval_rule
        t1  drey  add   r1 approval=2:drey                   approval_rule
        t1  drey  add   r1 approval=1:                       approval_rule
        t1  drey  add   r1 approval=1:drey,drey              approval_rule
        t1  drey  add   r1 approval=1:joe                    unknown_member
        t1  drey  add   r1 approval=1:board                  unknown_organisation
        t1  drey  add   r1 approval=2:drey,c1                ok
    ",
    );
}

#[test]
fn grants_are_given_limited_and_revoked_by_the_controller() {
    check_chart("
        t1    drey  give    g1                                   not_controller
        t1    c1    give    g1 to=drey                           ok
        t1    c1    give    g1 to=nora                           grant_exists
        t1    c1    give    g2 to=joe                            unknown_member
        t1    c1    give    g2 to=organisation:board             unknown_organisation
        t1    c1    give    g2 to=role:board:nurse               unknown_organisation
        t1    c1    give    g2 records=r9                        unknown_record
        t1    c1    give    g2 compartments=none                 empty_terms
        t1    c1    give    g2 kinds=none                        empty_terms
        t1    c1    give    g2 purposes=none                     empty_terms
        t1    c1    give    g2 max=0                             empty_terms
        t1    c1    give    g2 from=t3 ends=t3                   empty_terms
        t1    c1    give    g2 from=t0 ends=t1                   window_passed
        t1    c1    give    g2 from=t0 ends=t1+1                 ok
        t1    c1    give    g3 compartments=1,12                 separate_consent
        t1    c1    give    g3 compartments=1,12 separate        separate_consent
        t1    c1    give    g3 compartments=12 separate          ok
        t1    drey  limit   g1                                   not_controller
        t1    c1    limit   g9                                   unknown_grant
        t1    c1    limit   g1 compartments=1,2 kinds=result ends=t9 max=3  ok
        t1    c1    limit   g1 compartments=1,2,3 kinds=result ends=t9 max=3  not_narrower
        t1    c1    limit   g1 compartments=1 kinds=all ends=t9 max=3  not_narrower
        t1    c1    limit   g1 compartments=1 kinds=result ends=t9+1 max=3  not_narrower
        t1    c1    limit   g1 compartments=1 kinds=result ends=t9 max=4  not_narrower
        t1    c1    limit   g1 compartments=1 kinds=result ends=t9  not_narrower
        t1    c1    limit   g1 compartments=1 kinds=result purposes=TREAT,BTG ends=t9 max=3  not_narrower
        t1    c1    limit   g1 compartments=none kinds=result ends=t9 max=3  empty_terms
        t2    c1    limit   g1 compartments=1 kinds=result ends=t2 max=3  window_passed
        t2    drey  revoke  g1                                   not_controller
        t2    c1    revoke  g9                                   unknown_grant
        t2    c1    revoke  g1                                   ok
        t2    c1    revoke  g1                                   grant_ended
        t2    c1    limit   g1 compartments=1 kinds=result ends=t9 max=3  grant_ended
        t2    c1    give    g1 to=drey                           grant_exists
    ");
}

#[test]
fn a_subject_has_a_limited_number_of_grants() {
    let mut world = check(CHART);
    for at in 0..GRANTS_PER_SUBJECT_MAX {
        world.run(&format!("t{}  c1  give  g{at} to=drey  ok", at + 1));
    }
    world.run(
        "
        t100  c1  give    more to=drey                    too_many_grants
        t100  c1  give    other to=role:hospital:nurse    ok
        t100  c1  revoke  g7                              ok
        t100  c1  give    more to=drey                    ok
        t100  c1  give    still-more to=drey              too_many_grants
    ",
    );
}

#[test]
fn anchors_are_added_by_members() {
    check_chart(
        "
        t1  drey      anchor  1                ok
        t1  drey      anchor  0                anchor_size
        t1  drey      anchor  1099511627776    ok
        t1  drey      anchor  1099511627777    anchor_size
        t1  c1        anchor  1                wrong_signers
        t1  hospital  anchor  1                wrong_signers
        t1  code:c1   anchor  1                ~not_claimable
    ",
    );
}

#[test]
fn commands_are_decided_once_and_inside_their_window() {
    check(
        "
        t10     drey  anchor  1 window=t10..t20         ok
        t10     drey  repeat  it                        replayed
        t11     drey  repeat  it                        replayed
        t20-1   drey  repeat  it                        replayed
        t20     drey  repeat  it                        expired
        t20     drey  anchor  1 window=t20+1..t30       not_yet
        t20     drey  anchor  1 window=t10..t20         expired
        t20     drey  anchor  1 window=t10..t20+1       ok
        t20     drey  anchor  1 window=t20..t20         expired
        t20     drey  anchor  1 window=t30..t10         not_yet
        t20     drey  anchor  1 window=t20..t620        ok
        t20     drey  anchor  1 window=t20..t620+1      window_too_long
        t20     drey  anchor  1 chain=other             wrong_chain
        t20     drey  anchor  1 version=2               unknown_version
    ",
    );
}

/// Three hours and a half for the largest body there may be, and not a moment more for a larger claim.
#[test]
fn a_record_has_the_longer_to_come_the_larger_it_is() {
    check(
        "
        t1      rex   open    c1                                    ok
        t20     drey  add     r1 bytes=999 window=t20..t620+1       window_too_long
        t20     drey  add     r1 bytes=999 window=t20..t620         ok
        t20     drey  add     r2 bytes=9999 window=t20..t620+10     window_too_long
        t20     drey  add     r2 bytes=max window=t20..t13504+902   window_too_long
        t20     drey  add     r2 bytes=max+1 window=t20..t13504+902 window_too_long
        t20     drey  add     r2 bytes=max window=t20..t13504+901   ok
        t20     drey  add     r3 bytes=9999 window=t20..t620+9      ok
        t600    drey  repeat  it                                    replayed
        t620+8  drey  repeat  it                                    replayed
        t620+9  drey  repeat  it                                    expired
    ",
    );
}

#[test]
fn a_refused_command_is_not_decided_again() {
    check(
        "
        t1  drey  add     r1          unknown_chart
        t1  rex   open    c1          ok
        t2  drey  add     r1          ok
        t3  nora  anchor  0           anchor_size
        t4  nora  repeat  it          replayed
    ",
    );
}

#[test]
fn a_quota_is_per_organisation_and_minute_and_counts_refusals() {
    let parameters = Parameters { commands_per_minute_max: 3, ..PARAMETERS };
    check_with(
        parameters,
        "
        t58     rex   open    c1          ok
        t59     drey  anchor  0           anchor_size
        t59     nora  anchor  1           ok
        t59     nora  anchor  1           quota_exceeded
        t59     carl  anchor  1           ok
        t60-1   nora  anchor  1           quota_exceeded
        t60     nora  repeat  it          ok
        t61     nora! anchor  1           ~key_not_of_signer
        t61     nora! anchor  1           ~key_not_of_signer
        t61     nora  anchor  1           ok
        t62     nora  anchor  1           ok
        t62     nora  anchor  1           quota_exceeded
    ",
    );
}

/// Whoever floods with a member's key stops neither the patients nor the administrator who suspends it.
#[test]
fn members_charts_and_administrators_have_quotas_of_their_own() {
    let parameters = Parameters { commands_per_minute_max: 2, ..PARAMETERS };
    check_with(
        parameters,
        "
        t1   rex       open      c1              ok
        t1   drey      anchor    1               ok
        t1   drey      anchor    1               quota_exceeded
        t1   c1        arrange   c1              ok
        t1   c1        arrange   c1              ok
        t1   c1        arrange   c1              quota_exceeded
        t1   hospital  suspend   drey            ok
        t1   drey      anchor    1               ~member_suspended
        t1   hospital  reinstate drey            ok
        t1   hospital  suspend   drey            quota_exceeded
    ",
    );
}

#[test]
fn a_command_over_quota_can_stand_in_a_later_block() {
    let parameters = Parameters { commands_per_minute_max: 0, ..PARAMETERS };
    let mut world = World::new(parameters);
    world.at(START);
    let drey = (Party::Member(member_id("drey")), key("member:drey"));
    let anchor = Payload::AnchorAdd(AnchorAdd { root: Digest([1; 32]), documents: 1 });
    let signed = world.sign(&[drey], anchor);
    let why = world.submit(verify(signed).unwrap()).unwrap_err();
    let organisation = organisation_id("hospital");
    assert_eq!(why, Inadmissible::QuotaExceeded { organisation, per_minute: 0 });
    assert!(why.may_pass());
}

/// A leader that puts such commands into a block makes no block of it, and nothing that it could leave
/// behind is left.
#[test]
fn what_nobody_answers_for_leaves_no_trace() {
    let mut world = check(
        "
        t0  rex       open     c1 claim=t9    ok
        t0  drey      add      r1             ok
        t0  clinic    suspend  cleo           ok
    ",
    );
    let before = world.clone();
    world.run(
        "
        t1  drey!     read     r1             ~key_not_of_signer
        t1  joe       read     r1             ~unknown_member
        t1  cleo      read     r1             ~member_suspended
        t1  c1!       read     r1             ~key_not_of_signer
        t1  c9        read     r1             ~unknown_chart
        t1  code:c1!  read     r1             ~key_not_of_signer
        t1  hospital! suspend  drey           ~key_not_of_signer
    ",
    );
    let executed = world.last.take().unwrap();
    assert!(executed.outcomes.is_empty() && executed.leaves.is_empty());
    let history = |key: &&Key| !matches!(key, Key::History);
    for key in before.state.keys().chain(world.state.keys()).filter(history) {
        assert_eq!(world.stored(key), before.stored(key), "{key:?}");
    }
    assert!(!Inadmissible::Signer(Rejection::WrongSigners).may_pass());
}

#[test]
fn refusals_stand_in_the_log_of_the_chart_they_name() {
    let world = check(
        "
        t1  drey   add   r1             unknown_chart
        t1  rex    open  c1             ok
        t1  drey   add   r1 bytes=0     record_size
        t1  drey   add   r1             ok
        t1  drey!  add   r2             ~key_not_of_signer
        t1  rex    open  c1             chart_exists
        t1  drey   anchor 1             ok
    ",
    );
    let executed = world.last.as_ref().unwrap();
    let leaves: Vec<_> = executed
        .leaves
        .iter()
        .map(|leaf| (leaf.position.0, leaf.line.location.index, leaf.line.record.is_some()))
        .collect();
    let expected = [(0, 1, false), (1, 2, false), (2, 3, true), (3, 4, false)];
    assert_eq!(leaves, expected);
    let Some(Value::ChartLog(log)) = world.stored(&Key::ChartLog(chart_id("c1"))) else { panic!() };
    let head = keepwell_merkle::chart_log::extend_all(
        keepwell_merkle::chart_log::EMPTY,
        LogPosition(0),
        &executed.outcomes[1..5],
    );
    assert_eq!((log.count, Some(log.head)), (LogPosition(4), head));
}

#[test]
fn a_refusal_changes_nothing_else() {
    let mut world = check_chart("t1 c1 give g1 to=drey ok");
    let before = world.state.clone();
    world.run(
        "
        t2  c1    give  g1 to=nora   grant_exists
        t2  carl  read  r9           unknown_record
    ",
    );
    let changed: Vec<_> = world.state.iter().filter(|it| before.get(it.0) != Some(it.1)).collect();
    for (key, _) in changed {
        let expected =
            matches!(key, Key::ReplaySlot(_) | Key::Quota(..) | Key::ChartLog(_) | Key::History);
        assert!(expected, "{key:?}");
    }
}

#[test]
fn what_is_full_stays_as_it_is() {
    let mut world = check(CHART);
    let Some(Value::Chart(mut chart)) = world.stored(&Key::Chart(chart_id("c1"))) else { panic!() };
    chart.epochs[3] = Epoch(u32::MAX);
    world.state.insert(Key::Chart(chart_id("c1")), Value::from(chart).encode());
    let Some(Value::Organisations(mut list)) = world.stored(&Key::Organisations) else { panic!() };
    let mut number = 0_u128;
    while list.all.push(OrganisationId(number.to_be_bytes())).is_ok() {
        number += 1;
    }
    list.suspended = number as u32;
    world.state.insert(Key::Organisations, Value::from(list).encode());
    world.run(
        "
        t1  c1                           advance  c1 compartments=3    too_large
        t1  c1                           advance  c1 compartments=2    ok
        t1  hospital+clinic+lab+insurer  admit    pharmacy             too_large
    ",
    );
}

/// More organisations could never again admit, suspend or reinstate any.
#[test]
fn no_more_organisations_are_in_standing_than_can_sign_together() {
    let mut names: Vec<String> = ORGANISATIONS.map(String::from).to_vec();
    let mut world = World::new(PARAMETERS);
    let together = |names: &[String]| names[..names.len() * 2 / 3 + 1].join("+");
    while names.len() < IN_STANDING_MAX as usize {
        let (who, new) = (together(&names), format!("site{}", names.len()));
        world.run(&format!("t{} {who} admit {new} ok", names.len()));
        names.push(new);
    }
    let who = together(&names);
    assert_eq!(who.split('+').count(), SIGNERS_MAX);
    world.run(&format!(
        "
        t50  {who}  admit                   board   too_many_organisations
        t50  {who}  suspend_organisation    site22  ok
        t50  {who}  admit                   board   ok
        t50  {who}  reinstate_organisation  site22  too_many_organisations
        t50  {who}  suspend_organisation    board   ok
        t50  {who}  reinstate_organisation  site22  ok
    "
    ));
}

/// Genesis entries need no signers, only a sound order.
#[test]
fn the_genesis_file_founds_the_consortium() {
    let world = World::new(PARAMETERS);
    let Some(Value::Organisations(list)) = world.stored(&Key::Organisations) else { panic!() };
    assert_eq!((list.all.len(), list.suspended, list.administrators_min()), (4, 0, 3));
    let Some(Value::Member(member)) = world.stored(&Key::Member(member_id("drey"))) else {
        panic!()
    };
    assert_eq!(member.organisation, organisation_id("hospital"));
}

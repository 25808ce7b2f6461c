//! How organisations decide together, and who speaks for each: motions, administrators, new keys, expulsion.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_ledger::state::{Key, Motion, Organisation, Organisations, Value};
use keepwell_types::limits::{KEY_OVERLAP_MS_MAX, MOTION_WAIT_MS_MAX, MOTIONS_MAX};
use support::{World, check, motion_id, organisation_id};

fn organisation(world: &World, name: &str) -> Organisation {
    match world.stored(&Key::Organisation(organisation_id(name))) {
        Some(Value::Organisation(it)) => it,
        other => panic!("{other:?}"),
    }
}

fn organisations(world: &World) -> Organisations {
    match world.stored(&Key::Organisations) {
        Some(Value::Organisations(it)) => it,
        other => panic!("{other:?}"),
    }
}

fn motion(world: &World, name: &str) -> Option<Motion> {
    match world.stored(&Key::Motion(motion_id(name))) {
        Some(Value::Motion(it)) => Some(it),
        None => None,
        other => panic!("{other:?}"),
    }
}

/// Four organisations: three are more than two thirds.
#[test]
fn a_motion_is_carried_out_by_the_approval_that_is_enough() {
    let world = check(
        "
        t1  hospital   move   m1 act=admit:pharmacy   ok
        t1  hospital   move   m1 act=admit:pharmacy   motion_exists
        t1  hospital   agree  m1 act=admit:pharmacy   motion_approved
        t2  clinic     agree  m1 act=admit:pharmacy   ok
        t2  hospital   suspend_organisation pharmacy  too_few_administrators
        t3  lab        agree  m1 act=admit:pharmacy   ok
        t4  insurer    agree  m1 act=admit:pharmacy   no_such_motion
        t4  pharmacy   move   m2 act=suspend:clinic   ok
    ",
    );
    assert_eq!(organisations(&world).all.len(), 5);
    assert_eq!(motion(&world, "m1"), None);
    assert_eq!(world.stored(&Key::OpenMotions(organisation_id("hospital"))), None);
    assert_eq!(motion(&world, "m2").unwrap().approvals.len(), 1);
}

/// What is signed is the act: not whatever stands under the motion's name by then.
#[test]
fn an_approval_is_for_one_act_alone() {
    check(
        "
        t1  hospital   move   m1 act=suspend:insurer  ok
        t1  clinic     agree  m1 act=expel:insurer    other_motion
        t1  clinic     agree  m1 act=suspend:lab      other_motion
        t1  clinic     drop   m1                      wrong_signers
        t2  hospital   drop   m1                      ok
        t2  hospital   drop   m1                      no_such_motion
        t2  hospital   move   m1 act=suspend:clinic   ok
        t3  clinic     agree  m1 act=suspend:insurer  other_motion
        t3  drey       agree  m1 act=suspend:clinic   wrong_signers
        t3  lab!       agree  m1 act=suspend:clinic   ~key_not_of_signer
        t3  lab+insurer  agree  m1 act=suspend:clinic  wrong_signers
    ",
    );
}

#[test]
fn a_motion_waits_until_its_end_and_no_longer() {
    let far = MOTION_WAIT_MS_MAX / 1_000;
    let mut world = check(&format!(
        "
        t1      hospital  move   m0 act=expel:insurer until=t1            window_passed
        t1      hospital  move   m0 act=expel:insurer until=t{more}       motion_waits_too_long
        t1      hospital  move   m1 act=expel:insurer until=t50           ok
        t2      clinic    agree  m1 act=expel:insurer                     ok
        t50     lab       agree  m1 act=expel:insurer                     no_such_motion
        t50     hospital  drop   m1                                       no_such_motion
        t50     clinic    move   m1 act=expel:insurer                     motion_exists
        t51     hospital  move   m2 act=expel:insurer                     ok
    ",
        more = far + 2,
    ));
    assert_eq!(motion(&world, "m1"), None, "the next motion of its organisation clears it away");
    for number in 1..MOTIONS_MAX {
        world.run(&format!("t52+{number} hospital move n{number} act=suspend:lab until=t60 ok"));
    }
    world.run(
        "
        t59  hospital  move   more act=suspend:lab    too_many_motions
        t59  clinic    move   more act=suspend:lab    ok
        t60  hospital  move   next act=suspend:lab    ok
    ",
    );
}

/// An approval counts while its key is an administrator's of an organisation in standing.
#[test]
fn approvals_of_the_suspended_and_of_lost_keys_do_not_count() {
    check(
        "
        t1  hospital       move   m1 act=admit:pharmacy                    ok
        t1  clinic         agree  m1 act=admit:pharmacy                    ok
        t2  clinic         rotate_organisation  clinic keys=ann            ok
        t3  lab            agree  m1 act=admit:pharmacy                    ok
        t3  insurer        suspend_organisation pharmacy                   too_few_administrators
        t3  clinic         agree  m1 act=admit:pharmacy                    ~key_not_of_signer
        t4  hospital+clinic:ann+insurer  suspend_organisation lab          ok
        t5  insurer        agree  m1 act=admit:pharmacy                    ok
        t6  clinic:ann     agree  m1 act=admit:pharmacy                    ok
        t7  pharmacy       move   m2 act=reinstate:lab                     ok
    ",
    );
}

/// The approval that would carry out what cannot be is refused, and the motion waits on.
#[test]
fn a_motion_that_cannot_be_carried_out_waits_on() {
    check(
        "
        t1  hospital       move   m1 act=suspend:insurer                   ok
        t1  clinic         agree  m1 act=suspend:insurer                   ok
        t2  hospital+clinic+lab  suspend_organisation insurer              ok
        t3  lab            agree  m1 act=suspend:insurer                   organisation_suspended
        t4  hospital+clinic+lab  reinstate_organisation insurer            ok
        t5  lab            agree  m1 act=suspend:insurer                   ok
        t6  ivy            anchor 5                                        ~organisation_suspended
    ",
    );
}

#[test]
fn who_is_expelled_never_comes_back() {
    let world = check(
        "
        t1  hospital+clinic          expel_organisation lab                too_few_administrators
        t1  hospital+clinic+insurer  expel_organisation nowhere            unknown_organisation
        t1  hospital+clinic+insurer  expel_organisation lab                ok
        t1  hospital+clinic+insurer  expel_organisation lab                organisation_expelled
        t1  hospital+clinic+insurer  suspend_organisation lab              organisation_expelled
        t1  hospital+clinic+insurer  reinstate_organisation lab            organisation_expelled
        t1  hospital+clinic+insurer  admit lab                             organisation_exists
        t1  hospital+clinic+insurer  rotate_organisation lab               organisation_expelled
        t2  lena       anchor  5                                           ~organisation_suspended
        t2  lab        move    m1 act=suspend:clinic                       ~organisation_suspended
        t3  hospital+clinic+insurer  suspend_organisation insurer          ok
        t3  hospital+clinic          expel_organisation insurer            ok
    ",
    );
    let list = organisations(&world);
    assert_eq!((list.all.len(), list.suspended, list.in_standing()), (2, 0, 2));
    assert!(organisation(&world, "lab").suspended);
}

#[test]
fn the_last_organisation_is_not_expelled() {
    check(
        "
        t1  hospital+clinic+lab  expel_organisation insurer                ok
        t1  hospital+clinic+lab  expel_organisation lab                    ok
        t1  hospital+clinic      expel_organisation clinic                 ok
        t1  hospital             expel_organisation hospital               last_organisation
    ",
    );
}

/// Two of three administrators of the hospital: neither one alone, nor one twice.
#[test]
fn several_administrators_speak_for_an_organisation() {
    check(
        "
        t1  hospital   rotate_organisation hospital keys=ann,ann needed=1         unsound_administrators
        t1  hospital   rotate_organisation hospital keys=ann,bob needed=3         unsound_administrators
        t1  hospital   rotate_organisation hospital keys=ann,bob needed=0         unsound_administrators
        t1  hospital   rotate_organisation hospital keys= needed=0                unsound_administrators
        t1  clinic     rotate_organisation hospital keys=ann                      wrong_signers
        t1  hospital   rotate_organisation hospital keys=ann,bob,eve needed=2     ok
        t2  hospital   suspend  drey                                       ~key_not_of_signer
        t2  hospital:ann               suspend  drey                       too_few_administrators
        t2  hospital:ann+hospital:ann  suspend  drey                       wrong_signers
        t2  hospital:ann+clinic        suspend  drey                       wrong_signers
        t2  hospital:ann+hospital:kim  suspend  drey                       key_not_of_signer
        t2  hospital:ann+hospital:eve  suspend  drey                       ok
        t2  hospital:ann+hospital:bob  reinstate  drey                     ok
        t3  hospital:ann+new:drey      rotate   drey                       too_few_administrators
        t3  hospital:ann+hospital:bob+new:drey  rotate  drey               ok
        t4  hospital:ann+clinic+lab    admit    pharmacy                   too_few_administrators
        t4  hospital:ann+clinic+lab+hospital:eve  admit  pharmacy          ok
        t5  hospital:ann  move   m1 act=suspend:insurer                    ok
        t5  clinic        agree  m1 act=suspend:insurer                    ok
        t5  lab           agree  m1 act=suspend:insurer                    ok
        t5  pharmacy      agree  m1 act=suspend:insurer                    ok
        t6  ivy           anchor 5                                         ok
        t7  hospital:eve  agree  m1 act=suspend:insurer                    ok
        t8  ivy           anchor 5                                         ~organisation_suspended
    ",
    );
}

/// A motion is also how administrators of one organisation agree who sit apart.
#[test]
fn an_organisation_gives_itself_new_keys_by_a_motion() {
    let world = check(
        "
        t1  hospital      rotate_organisation hospital keys=ann,bob needed=2      ok
        t2  hospital:ann  move   m1 act=rotate:hospital keys=kim           ok
        t3  hospital:bob  agree  m1 act=rotate:hospital keys=eve           other_motion
        t3  hospital:bob  agree  m1 act=rotate:hospital keys=kim           ok
        t4  hospital:ann+hospital:bob  suspend  drey                       ~key_not_of_signer
        t4  hospital:kim  suspend  drey                                    ok
    ",
    );
    assert_eq!(organisation(&world, "hospital").former, None);
}

/// Lost keys of an organisation are replaced by the others.
#[test]
fn the_consortium_gives_an_organisation_new_keys() {
    check(
        "
        t1  clinic+lab          rotate_organisation hospital keys=ann      wrong_signers
        t1  clinic+lab+insurer  rotate_organisation hospital keys=ann      ok
        t2  hospital            suspend  drey                              ~key_not_of_signer
        t2  hospital:ann        suspend  drey                              ok
    ",
    );
}

/// Nobody needs to be in one place for it; and who is asked first, the organisation or the others, is all one.
#[test]
fn an_organisation_is_given_new_keys_by_a_motion_of_others() {
    check(
        "
        t1  clinic        move   m1 act=rotate:hospital keys=ann           ok
        t2  lab           agree  m1 act=rotate:hospital keys=ann           ok
        t2  hospital      suspend  drey                                    ok
        t3  insurer       agree  m1 act=rotate:hospital keys=ann           ok
        t4  hospital      reinstate  drey                                  ~key_not_of_signer
        t4  hospital:ann  reinstate  drey                                  ok
        t5  hospital:ann  rotate_organisation hospital keys=ann,bob needed=2  ok
        t6  hospital:ann  move   m2 act=rotate:hospital keys=kim           ok
        t6  clinic        agree  m2 act=rotate:hospital keys=kim           ok
        t7  hospital:ann  reinstate  drey                                  too_few_administrators
        t7  hospital:bob  agree  m2 act=rotate:hospital keys=kim           ok
        t8  hospital:kim  suspend  drey                                    ok
    ",
    );
}

/// Old and new keys count for a while, so that nobody is shut out between; then the new ones alone.
#[test]
fn former_keys_count_until_the_overlap_ends() {
    let far = KEY_OVERLAP_MS_MAX / 1_000;
    check(&format!(
        "
        t0      rex       open   c1                                               ok
        t1      hospital  rotate_organisation hospital keys=ann overlap=t1        window_passed
        t1      hospital  rotate_organisation hospital keys=ann overlap=t{more}   overlap_too_long
        t1      hospital  rotate_organisation hospital keys=ann,bob needed=2 custodian=vault overlap=t50  ok
        t2      hospital  suspend    nora                                  ok
        t2      hospital+hospital:ann  reinstate  nora                     ok
        t2      hospital:ann  suspend  nora                                too_few_administrators
        t2      hospital:ann+hospital:bob  suspend  nora                   ok
        t2      drey      add        note                                  ok
        t3      hospital  rotate_organisation hospital keys=eve            too_few_administrators
        t3      hospital  move   m1 act=rotate:hospital keys=eve           ok
        t3      hospital:ann  agree  m1 act=rotate:hospital keys=eve       ok
        t4      hospital:bob  agree  m1 act=rotate:hospital keys=ann,bob needed=2  other_motion
        t50-1   hospital  reinstate  nora                                  ok
        t50     hospital  suspend    nora                                  ~key_not_of_signer
        t50     drey      add        more                                  custodian_key
        t51     hospital:ann+hospital:bob+new:drey  rotate  drey overlap=t60      ok
        t52     drey      anchor 5                                         ok
        t52     new:drey  anchor 5                                         ok
        t60-1   new:drey  anchor 5                                         ok
    ",
        more = far + 2
    ));
}

#[test]
fn a_members_former_key_counts_until_the_overlap_ends() {
    let mut world = check(
        "
        t1      hospital+new:drey  rotate  drey overlap=t20                ok
    ",
    );
    world.seeds.clear();
    world.run(
        "
        t19     drey      anchor 5                                         ok
        t19     new:drey  anchor 5                                         ok
        t20-1   drey      anchor 5                                         ok
        t20     drey      anchor 5                                         ~key_not_of_signer
        t20     new:drey  anchor 5                                         ok
        t21     hospital  suspend drey                                     ok
        t21     new:drey  anchor 5                                         ~member_suspended
    ",
    );
}

/// Stolen keys are replaced without any overlap, and suspension stops former keys as well.
#[test]
fn a_stolen_key_counts_no_more_at_once() {
    let mut world = check(
        "
        t1      hospital+new:drey  rotate  drey                            ok
    ",
    );
    world.seeds.clear();
    world.run("t2  drey  anchor  5  ~key_not_of_signer");
    let mut world = check(
        "
        t1      hospital+new:drey  rotate   drey overlap=t20               ok
        t2      hospital           suspend  drey                           ok
    ",
    );
    world.seeds.clear();
    world.run("t3  drey  anchor  5  ~member_suspended");
}

//! Credentials: who may issue them, and what is refused without one.
#![allow(missing_docs, clippy::unwrap_used)]

mod support;

use keepwell_types::{
    genesis::Parameters, limits::CREDENTIALS_MAX, record::RecordKind, set::KindSet,
};
use support::{PARAMETERS, World, check_with};

/// Two boards with a licensor each; prescriptions need a licence.
pub(crate) const BOARDS: &str = "
    t0  hospital+clinic+lab           admit  medboard                     ok
    t0  hospital+clinic+lab+medboard  admit  otherboard                   ok
    t0  medboard    enrol   liz of=medboard roles=licensor                ok
    t0  medboard    enrol   moe of=medboard roles=auditor                 ok
    t0  otherboard  enrol   oli of=otherboard roles=licensor              ok
    t0  rex         open    c1                                            ok
";

fn check_boards(script: &str) -> World {
    let licensed = KindSet::EMPTY.with(RecordKind::Prescription);
    let mut world = check_with(Parameters { licensed, ..PARAMETERS }, BOARDS);
    world.run(script);
    world
}

#[test]
fn a_licensing_board_issues_suspends_and_revokes() {
    check_boards(
        "
        t1  moe   issue  l1 to=drey                        role_missing
        t1  hospital  assign  drey roles=licensor,clinician  ok
        t1  drey  issue  l1 to=carl                        not_board
        t1  liz   issue  l1 to=nobody                      unknown_member
        t1  liz   issue  l1 to=drey ends=t1                window_passed
        t1  liz   issue  l1 to=drey from=t9 ends=t8        window_passed
        t1  liz   issue  l1 to=drey                        ok
        t1  liz   issue  l1 to=drey                        credential_exists
        t1  oli   issue  l1 to=drey                        credential_exists
        t2  oli   suspend_credential   l1 of=drey          not_board
        t2  liz   suspend_credential   l1 of=carl          no_such_credential
        t2  liz   suspend_credential   l2 of=drey          no_such_credential
        t2  liz   suspend_credential   l1 of=drey          ok
        t2  liz   reinstate_credential l1 of=drey          ok
        t3  liz   revoke_credential    l1 of=drey          ok
        t3  liz   reinstate_credential l1 of=drey          no_such_credential
        t3  liz   revoke_credential    l1 of=drey          no_such_credential
        t3  liz   issue  l1 to=drey                        credential_exists
    ",
    );
}

#[test]
fn a_member_has_so_many_credentials() {
    let mut world = check_boards("");
    for number in 0..CREDENTIALS_MAX {
        world.run(&format!("t1+{number} liz issue l{number} to=drey ok"));
    }
    world.run(
        "
        t2  liz  issue              more to=drey        too_many_credentials
        t2  oli  revoke_credential  l3 of=drey          not_board
        t2  liz  revoke_credential  l3 of=drey          ok
        t3  liz  issue              more to=drey        ok
        t3  liz  issue              most to=drey        too_many_credentials
        t3  liz  revoke_credential  l3 of=drey          no_such_credential
        t3  liz  suspend_credential l0 of=drey          ok
    ",
    );
}

/// T3: authority is checked before a signature counts.
#[test]
fn t3_an_unlicensed_signature_on_a_kind_that_needs_a_licence_is_refused() {
    check_boards(
        "
        t1  drey  add  note   kind=document                   ok
        t1  drey  add  drug   kind=prescription               unlicensed
        t1  liz   issue  s1 to=drey kind=specialty            ok
        t1  drey  add  drug   kind=prescription               unlicensed
        t1  liz   issue  l1 to=drey from=t2 ends=t4           ok
        t2-1  drey  add  drug kind=prescription               unlicensed
        t2    drey  add  drug kind=prescription               ok
        t4-1  drey  add  two  kind=prescription               ok
        t4    drey  add  three kind=prescription              unlicensed
        t4  c1    add  own    kind=prescription               ok
    ",
    );
}

/// What was signed while the licence held stays signed.
#[test]
fn a_later_suspension_does_not_erase_earlier_signatures() {
    check_boards(
        "
        t1  liz   issue  l1 to=drey                                  ok
        t1  liz   issue  l2 to=carl                                  ok
        t2  drey  add    drug kind=prescription approval=2:drey,carl,cleo  ok
        t2  cleo  approve  drug                                      unlicensed
        t2  drey  approve  drug                                      ok
        t3  liz   suspend_credential  l1 of=drey                     ok
        t3  liz   suspend_credential  l2 of=carl                     ok
        t3  carl  approve  drug                                      unlicensed
        t3  drey  add    more kind=prescription                      unlicensed
        t4  liz   reinstate_credential  l2 of=carl                   ok
        t4  carl  approve  drug                                      ok
        t5  c1    give   g1 to=ivy                                   ok
        t5  ivy   read   drug                                        ok
    ",
    );
}

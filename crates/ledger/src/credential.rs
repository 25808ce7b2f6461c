//! Credentials: issued, suspended, reinstated and revoked by licensing boards.
//!
//! ```text
//!           issue           suspend
//!  (none) --------> Holds <---------> Suspended        revoke: for good, from either
//!                          reinstate
//! ```
//!
//! # Invariants
//!
//! * Only the board that issued a credential changes it.
//! * A credential is checked at the height of use. What was signed while it held stays signed.
//! * A revoked credential never revives. One that has ended makes room for another when there are many.

use keepwell_types::{
    credential::{CredentialIssue, CredentialKind, CredentialStanding},
    id::{MemberId, OrganisationId},
    limits::CREDENTIALS_MAX,
    member::{OrganisationKind, Role},
    outcome::Rejection,
    time::BlockTime,
};

use crate::{
    decide::{Case, Changes, Halt},
    signer::{known_member, known_organisation},
    state::{Credential, Credentials, Key},
};

pub(crate) fn issue(case: &Case<'_>, it: &CredentialIssue) -> Result<Changes, Halt> {
    let issuer = acting_board(case)?;
    known_member(case.view, it.member)?;
    let mut credentials = case.view.credentials(it.member)?.cloned().unwrap_or_default();
    if credentials.all.iter().any(|known| known.credential == it.credential) {
        return Err(Rejection::CredentialExists(it.credential).into());
    }
    if it.window.is_empty() || it.window.until <= case.now() {
        return Err(Rejection::WindowPassed { until: it.window.until, now: case.now() }.into());
    }
    let credential = Credential {
        credential: it.credential,
        issuer,
        kind: it.kind,
        scope: it.scope.clone(),
        window: it.window,
        evidence: it.evidence,
        suspended: false,
        revoked_at: None,
    };
    if credentials.all.len() == CREDENTIALS_MAX {
        forget_oldest_ended(&mut credentials, case.now());
    }
    let max = CREDENTIALS_MAX as u32;
    credentials.all.push(credential).map_err(|_| Rejection::TooManyCredentials { max })?;
    Ok(Changes::NONE.put(Key::Credentials(it.member), credentials))
}

/// Forgets the oldest that will not hold again: it was checked where it was used, and its entries stay.
fn forget_oldest_ended(credentials: &mut Credentials, now: BlockTime) {
    let ended = |known: &&Credential| known.revoked_at.is_some() || known.window.until <= now;
    let oldest = credentials.all.iter().find(ended).map(|known| known.credential);
    credentials.all.retain(|known| Some(known.credential) != oldest);
}

pub(crate) fn suspend(case: &Case<'_>, it: &CredentialStanding) -> Result<Changes, Halt> {
    change(case, it, |credential| credential.suspended = true)
}

pub(crate) fn reinstate(case: &Case<'_>, it: &CredentialStanding) -> Result<Changes, Halt> {
    change(case, it, |credential| credential.suspended = false)
}

pub(crate) fn revoke(case: &Case<'_>, it: &CredentialStanding) -> Result<Changes, Halt> {
    change(case, it, |credential| credential.revoked_at = Some(case.now()))
}

/// Changes one credential that is not revoked, for the board that issued it.
fn change(
    case: &Case<'_>,
    it: &CredentialStanding,
    change: impl Fn(&mut Credential),
) -> Result<Changes, Halt> {
    let board = acting_board(case)?;
    let mut credentials = case.view.credentials(it.member)?.cloned().unwrap_or_default();
    let found = credentials.all.iter_mut().find(|known| known.credential == it.credential);
    let Some(known) = found.filter(|known| known.revoked_at.is_none()) else {
        return Err(Rejection::NoSuchCredential(it.credential).into());
    };
    if known.issuer != board {
        return Err(Rejection::NotBoard(board).into());
    }
    change(known);
    Ok(Changes::NONE.put(Key::Credentials(it.member), credentials))
}

/// The licensing board, one of whose licensors signed alone.
fn acting_board(case: &Case<'_>) -> Result<OrganisationId, Halt> {
    let (_, member) = case.acting_member()?;
    if !member.roles.contains(Role::Licensor) {
        return Err(Rejection::RoleMissing(Role::Licensor).into());
    }
    let board = known_organisation(case.view, member.organisation)?;
    if board.kind != OrganisationKind::LicensingBoard {
        return Err(Rejection::NotBoard(member.organisation).into());
    }
    Ok(member.organisation)
}

/// Whether the member has a licence that holds now.
pub(crate) fn check_licensed(case: &Case<'_>, member: MemberId) -> Result<(), Halt> {
    let kind = CredentialKind::Licence;
    let credentials = case.view.credentials(member)?;
    if credentials.is_some_and(|credentials| credentials.hold(kind, case.now())) {
        return Ok(());
    }
    Err(Rejection::Unlicensed { member, kind }.into())
}

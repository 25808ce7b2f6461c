//! Motions: the administrators of several organisations decide without signing one command together.
//!
//! ```text
//!           open                 approve, and it is enough
//!  (none) --------> Waiting ---------------------------------> carried out, and gone
//!                     | withdraw, or the next one of its organisation after `until`
//!                     +--------------------------------------> gone
//! ```
//!
//! # Invariants
//!
//! * A motion is carried out by the approval that is enough, in the same entry, as if all who approved had signed the
//!   command itself. If it cannot be carried out then, that approval is refused with the reason, and nothing changes.
//! * An approval is for one act, and counts while its key is an administrator's of an organisation in standing.
//! * Few motions of one organisation wait, so that nobody can bury the others in them.

use alloc::vec::Vec;

use keepwell_types::{
    encoding::List,
    id::{MotionId, OrganisationId},
    limits::{MOTION_APPROVALS_MAX, MOTION_WAIT_MS_MAX, MOTIONS_MAX},
    motion::{Act, MotionApprove, MotionOpen, MotionWithdraw},
    outcome::Rejection,
};

use crate::{
    decide::{Case, Changes, Halt},
    organisation, protocol,
    signer::{Authority, administrator_in_standing},
    state::{Key, Motion, MotionApproval, OpenMotions},
    validators,
};

pub(crate) fn open(case: &Case<'_>, it: &MotionOpen) -> Result<Changes, Halt> {
    let (organisation, key) = case.acting_administrator()?;
    if case.view.motion(it.motion)?.is_some() {
        return Err(Rejection::MotionExists(it.motion).into());
    }
    if it.until <= case.now() {
        return Err(Rejection::WindowPassed { until: it.until, now: case.now() }.into());
    }
    if it.until.ms_since(case.now()) > MOTION_WAIT_MS_MAX {
        return Err(Rejection::MotionWaitsTooLong { max_ms: MOTION_WAIT_MS_MAX }.into());
    }
    let mut motion =
        Motion { organisation, act: it.act.clone(), until: it.until, approvals: List::new() };
    motion.approvals.push(MotionApproval { organisation, key }).expect("it is the first one");
    if let Some(changes) = carried_out(case, &motion)? {
        return Ok(changes);
    }
    let (mut list, over) = listed(case, organisation)?;
    let max = MOTIONS_MAX as u32;
    list.open.push(it.motion).map_err(|_| Rejection::TooManyMotions { organisation, max })?;
    let changes = over.into_iter().map(Key::Motion).fold(Changes::NONE, Changes::remove);
    Ok(changes.put(Key::Motion(it.motion), motion).put(Key::OpenMotions(organisation), list))
}

pub(crate) fn approve(case: &Case<'_>, it: &MotionApprove) -> Result<Changes, Halt> {
    let (organisation, key) = case.acting_administrator()?;
    let mut motion = waiting(case, it.motion)?.ok_or(Rejection::NoSuchMotion(it.motion))?;
    if motion.act != it.act {
        return Err(Rejection::OtherMotion(it.motion).into());
    }
    motion.approvals = counting(case, &motion)?;
    let approval = MotionApproval { organisation, key };
    if motion.approvals.contains(&approval) {
        return Err(Rejection::MotionApproved(it.motion).into());
    }
    motion.approvals.push(approval).map_err(|_| Rejection::TooLarge)?;
    match carried_out(case, &motion)? {
        Some(changes) => removed(case, it.motion, motion.organisation, changes),
        None => Ok(Changes::NONE.put(Key::Motion(it.motion), motion)),
    }
}

pub(crate) fn withdraw(case: &Case<'_>, it: &MotionWithdraw) -> Result<Changes, Halt> {
    let (organisation, _) = case.acting_administrator()?;
    let motion = waiting(case, it.motion)?.ok_or(Rejection::NoSuchMotion(it.motion))?;
    if motion.organisation != organisation {
        return Err(Rejection::WrongSigners.into());
    }
    removed(case, it.motion, organisation, Changes::NONE)
}

/// What comes of a motion, if enough approved it.
fn carried_out(case: &Case<'_>, motion: &Motion) -> Result<Option<Changes>, Halt> {
    let case = Case { authority: Authority::Approved(&motion.approvals), ..*case };
    let changes = match &motion.act {
        Act::Admit(it) => organisation::admit(&case, it),
        Act::Suspend(it) => organisation::suspend(&case, it),
        Act::Reinstate(it) => organisation::reinstate(&case, it),
        Act::Expel(it) => organisation::expel(&case, it),
        Act::Rotate(it) => organisation::rotate(&case, it),
        Act::Change(it) => validators::change(&case, it),
        Act::Upgrade(it) => protocol::upgrade(&case, it),
    };
    match changes {
        Ok(changes) => Ok(Some(changes)),
        Err(Halt::Rejected(Rejection::TooFewAdministrators { .. })) => Ok(None),
        Err(halt) => Err(halt),
    }
}

/// The approvals whose keys still count.
fn counting(
    case: &Case<'_>,
    motion: &Motion,
) -> Result<List<MotionApproval, MOTION_APPROVALS_MAX>, Halt> {
    let mut counting = List::new();
    for approval in motion.approvals.iter() {
        let (organisation, key) = (approval.organisation, &approval.key);
        if administrator_in_standing(case.view, organisation, key, case.now())? {
            counting.push(*approval).map_err(|_| Rejection::TooLarge)?;
        }
    }
    Ok(counting)
}

/// The motion, if it waits.
fn waiting(case: &Case<'_>, id: MotionId) -> Result<Option<Motion>, Halt> {
    Ok(case.view.motion(id)?.filter(|it| case.now() < it.until).cloned())
}

/// The motions that an organisation has listed: those that still wait, and those that are over.
fn listed(
    case: &Case<'_>,
    organisation: OrganisationId,
) -> Result<(OpenMotions, Vec<MotionId>), Halt> {
    let mut list = case.view.open_motions(organisation)?.cloned().unwrap_or_default();
    let mut over = Vec::new();
    for id in list.open.iter() {
        if waiting(case, *id)?.is_none() {
            over.push(*id);
        }
    }
    list.open.retain(|id| !over.contains(id));
    Ok((list, over))
}

fn removed(
    case: &Case<'_>,
    id: MotionId,
    organisation: OrganisationId,
    changes: Changes,
) -> Result<Changes, Halt> {
    let mut list = case.view.open_motions(organisation)?.cloned().unwrap_or_default();
    list.open.retain(|open| *open != id);
    let key = Key::OpenMotions(organisation);
    let changes = if list.open.is_empty() { changes.remove(key) } else { changes.put(key, list) };
    Ok(changes.remove(Key::Motion(id)))
}

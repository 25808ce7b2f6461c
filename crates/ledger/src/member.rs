//! Members and their groups: enrolled, formed, given keys and roles, suspended and reinstated by the
//! administrator of their organisation.
//!
//! # Invariants
//!
//! * A member's organisation never changes, and neither does what it signed before a suspension.
//! * What a group reads for never changes: patients who granted it something rely on that.
//! * A rotation is signed by the new key as well: a member is never left with a key that nobody holds. The key so far
//!   counts on for as long as the rotation says, unless the member is suspended.

use keepwell_types::{
    encoding::List,
    id::MemberId,
    member::{GroupForm, MemberAssign, MemberEnrol, MemberRotate, MemberStanding},
    outcome::Rejection,
};

use crate::{
    decide::{Case, Changes, Halt},
    organisation::check_overlap,
    signer::known_member,
    state::{FormerKey, Group, Key, Member},
};

pub(crate) fn enrol(case: &Case<'_>, it: &MemberEnrol) -> Result<Changes, Halt> {
    case.by_administrators(it.organisation)?;
    if case.view.member(it.member)?.is_some() {
        return Err(Rejection::MemberExists(it.member).into());
    }
    let member = Member {
        organisation: it.organisation,
        signing: it.signing,
        sealing: it.sealing,
        roles: it.roles,
        suspended: false,
        groups: List::new(),
        former: None,
    };
    Ok(Changes::NONE.put(Key::Member(it.member), member))
}

pub(crate) fn rotate(case: &Case<'_>, it: &MemberRotate) -> Result<Changes, Halt> {
    let member = known_member(case.view, it.member)?;
    case.by_administrators_and_new_key(member.organisation, it.member, &it.signing)?;
    check_overlap(case.now(), it.overlap_until)?;
    let former = it.overlap_until.map(|until| FormerKey { signing: member.signing, until });
    let member = Member { signing: it.signing, sealing: it.sealing, former, ..member.clone() };
    Ok(Changes::NONE.put(Key::Member(it.member), member))
}

pub(crate) fn assign(case: &Case<'_>, it: &MemberAssign) -> Result<Changes, Halt> {
    let member = administered(case, it.member)?;
    for (place, group) in it.groups.iter().enumerate() {
        let of = case.view.group(*group)?.map(|group| group.organisation);
        if of != Some(member.organisation) || it.groups[..place].contains(group) {
            return Err(Rejection::UnknownGroup(*group).into());
        }
    }
    let (roles, groups) = (it.roles, it.groups.clone());
    Ok(Changes::NONE.put(Key::Member(it.member), Member { roles, groups, ..member.clone() }))
}

pub(crate) fn form_group(case: &Case<'_>, it: &GroupForm) -> Result<Changes, Halt> {
    case.by_administrators(it.organisation)?;
    if case.view.group(it.group)?.is_some() {
        return Err(Rejection::GroupExists(it.group).into());
    }
    if it.purposes.is_empty() {
        return Err(Rejection::EmptyTerms.into());
    }
    let group = Group { organisation: it.organisation, purposes: it.purposes };
    Ok(Changes::NONE.put(Key::Group(it.group), group))
}

pub(crate) fn suspend(case: &Case<'_>, it: &MemberStanding) -> Result<Changes, Halt> {
    let member = administered(case, it.member)?;
    if member.suspended {
        return Err(Rejection::MemberSuspended(it.member).into());
    }
    Ok(Changes::NONE.put(Key::Member(it.member), Member { suspended: true, ..member.clone() }))
}

/// Reinstates; of a member that is not suspended, this is done already.
pub(crate) fn reinstate(case: &Case<'_>, it: &MemberStanding) -> Result<Changes, Halt> {
    let member = administered(case, it.member)?;
    if !member.suspended {
        return Ok(Changes::NONE);
    }
    Ok(Changes::NONE.put(Key::Member(it.member), Member { suspended: false, ..member.clone() }))
}

/// The member, whose administrator signed.
fn administered<'a>(case: &Case<'a>, id: MemberId) -> Result<&'a Member, Halt> {
    let member = known_member(case.view, id)?;
    case.by_administrators(member.organisation)?;
    Ok(member)
}

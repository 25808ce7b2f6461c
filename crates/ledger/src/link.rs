//! Links: two organisations say that a chart of the one and a chart of the other are of one person.
//!
//! ```text
//!           propose            side + officer or patient
//!  (none) -----------> Proposed --------------------------> Confirmed
//!                       |  |  until <= now                      |
//!                       |  +---------------> Lapsed             | reverse
//!                       |  reverse             | reverse        v
//!                       +----------------------+-----------> Reversed
//! ```
//!
//! # Invariants
//!
//! * The ledger has of each side a salted digest, and of the patient's word one. Nothing tells which charts
//!   are linked, and no command names more than one side.
//! * A link holds when three have said so: a member of each organisation for its side, and a privacy officer
//!   who is neither, or the patient.
//! * A reversed link never holds again, and everything that was said of it stays.
//! * What is read is the link, the signer, and the two organisations.
//!
//! Not here: whether the charts are of one person, which nobody can decide from digests; and what becomes of
//! records that were written meanwhile (`keepwell-client`).

use keepwell_types::{
    id::{Commitment, Digest, LinkId, MemberId},
    limits::LINK_WAIT_MS_MAX,
    link::{Confirmation, LinkConfirm, LinkPropose, LinkReversal, LinkReverse},
    member::Role,
    outcome::Rejection,
};

use crate::{
    decide::{Case, Changes, Halt},
    matching::registers,
    signer::organisation_in_standing,
    state::{Key, Link, LinkApproval, LinkReversed, LinkSide, LinkStatus, Member},
};

pub(crate) fn propose(case: &Case<'_>, it: &LinkPropose) -> Result<Changes, Halt> {
    let (id, member) = case.acting_member()?;
    registers(member)?;
    if it.with == member.organisation {
        return Err(Rejection::LinkWithin(it.with).into());
    }
    organisation_in_standing(case.view, it.with)?;
    if case.view.link(it.link)?.is_some() {
        return Err(Rejection::LinkExists(it.link).into());
    }
    let (until, now) = (it.until, case.now());
    if until <= now {
        return Err(Rejection::WindowPassed { until, now }.into());
    }
    if until.ms_since(now) > LINK_WAIT_MS_MAX {
        return Err(Rejection::LinkWaitsTooLong { max_ms: LINK_WAIT_MS_MAX }.into());
    }
    let link = Link {
        proposed: side(case, id, member, it.commitment),
        with: it.with,
        confirmed: None,
        approved: None,
        until,
        since: None,
        reversed: None,
    };
    Ok(Changes::NONE.put(Key::Link(it.link), link))
}

pub(crate) fn confirm(case: &Case<'_>, it: &LinkConfirm) -> Result<Changes, Halt> {
    let (id, member) = case.acting_member()?;
    let mut link = of_signer(case, it.link, member)?;
    match link.status(case.now()) {
        LinkStatus::Proposed => {}
        LinkStatus::Confirmed | LinkStatus::Lapsed => {
            return Err(Rejection::LinkClosed(it.link).into());
        }
        LinkStatus::Reversed => return Err(Rejection::LinkReversed(it.link).into()),
    }
    organisation_in_standing(case.view, link.proposed.organisation)?;
    organisation_in_standing(case.view, link.with)?;
    match it.confirmation {
        Confirmation::Side(commitment) => {
            confirm_side(case, it.link, (id, member), &mut link, commitment)?;
        }
        Confirmation::Officer => {
            if !member.roles.contains(Role::PrivacyOfficer) {
                return Err(Rejection::RoleMissing(Role::PrivacyOfficer).into());
            }
            approve(case, it.link, id, &mut link, None)?;
        }
        Confirmation::Patient(consent) => {
            registers(member)?;
            approve(case, it.link, id, &mut link, Some(consent))?;
        }
    }
    check_officer(it.link, &link)?;
    if link.confirmed.is_some() && link.approved.is_some() {
        link.since = Some(case.now());
    }
    Ok(Changes::NONE.put(Key::Link(it.link), link))
}

/// The side of the organisation that was asked.
fn confirm_side(
    case: &Case<'_>,
    id: LinkId,
    (signer, member): (MemberId, &Member),
    link: &mut Link,
    commitment: Commitment,
) -> Result<(), Halt> {
    registers(member)?;
    if member.organisation != link.with {
        return Err(Rejection::NotOfLink(id).into());
    }
    if link.confirmed.is_some() {
        return Err(Rejection::LinkConfirmedAlready(id).into());
    }
    link.confirmed = Some(side(case, signer, member, commitment));
    Ok(())
}

/// The third word.
fn approve(
    case: &Case<'_>,
    id: LinkId,
    member: MemberId,
    link: &mut Link,
    consent: Option<Digest>,
) -> Result<(), Rejection> {
    if link.approved.is_some() {
        return Err(Rejection::LinkConfirmedAlready(id));
    }
    link.approved = Some(LinkApproval { member, consent, at: case.now() });
    Ok(())
}

/// Whoever approves as privacy officer has confirmed neither side, in whichever order it was said.
fn check_officer(id: LinkId, link: &Link) -> Result<(), Rejection> {
    let Some(LinkApproval { member, consent: None, .. }) = link.approved else { return Ok(()) };
    let confirmed = link.confirmed.map(|side| side.member);
    if member == link.proposed.member || confirmed == Some(member) {
        return Err(Rejection::LinkSameMember(id));
    }
    Ok(())
}

pub(crate) fn reverse(case: &Case<'_>, it: &LinkReverse) -> Result<Changes, Halt> {
    let (id, member) = case.acting_member()?;
    let mut link = of_signer(case, it.link, member)?;
    if !member.roles.contains(Role::PrivacyOfficer) {
        registers(member)?;
    }
    if link.reversed.is_some() {
        return Err(Rejection::LinkReversed(it.link).into());
    }
    let by_patient = it.reason == LinkReversal::ConsentWithdrawn;
    if by_patient != it.withdrawal.is_some() {
        return Err(Rejection::LinkWithdrawal.into());
    }
    link.reversed = Some(LinkReversed {
        organisation: member.organisation,
        member: id,
        reason: it.reason,
        withdrawal: it.withdrawal,
        at: case.now(),
    });
    Ok(Changes::NONE.put(Key::Link(it.link), link))
}

/// The link, if the signer's organisation is one of its two.
fn of_signer(case: &Case<'_>, id: LinkId, member: &Member) -> Result<Link, Halt> {
    let link = case.view.link(id)?.ok_or(Rejection::UnknownLink(id))?;
    if !link.is_of(member.organisation) {
        return Err(Rejection::NotOfLink(id).into());
    }
    Ok(link.clone())
}

fn side(case: &Case<'_>, id: MemberId, member: &Member, commitment: Commitment) -> LinkSide {
    LinkSide { organisation: member.organisation, member: id, commitment, at: case.now() }
}

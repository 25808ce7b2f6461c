//! Organisations: admitted, suspended, reinstated and expelled by the consortium, and given new keys.
//!
//! Each of these is signed by the administrators of more than two thirds of the organisations that are
//! not suspended, or is a motion that as many approved, or stands in the genesis file. New keys an organisation
//! gives itself, as long as enough of its administrators have theirs.
//!
//! # Invariants
//!
//! * The list of organisations names each of them once, but for those that were expelled, and counts those that are
//!   suspended.
//! * Former keys that still count give nobody new ones: whoever has lost them to a thief replaces them for good.
//! * Who is expelled never comes back under the same id: what it signed stays its own.
//! * At least one organisation is not suspended, or nobody could reinstate any.
//! * No more are in standing than can sign together, or nobody could decide anything.

use keepwell_types::{
    id::OrganisationId,
    limits::{ADMINISTRATORS_MAX, IN_STANDING_MAX, KEY_OVERLAP_MS_MAX},
    member::{Administrators, OrganisationAdmit, OrganisationRotate, OrganisationStanding},
    outcome::Rejection,
    time::BlockTime,
};

use crate::{
    decide::{Case, Changes, Halt},
    signer::known_organisation,
    state::{FormerKeys, Key, Organisation, Organisations},
    validators,
};

pub(crate) fn admit(case: &Case<'_>, it: &OrganisationAdmit) -> Result<Changes, Halt> {
    case.by_consortium()?;
    if case.view.organisation(it.organisation)?.is_some() {
        return Err(Rejection::OrganisationExists(it.organisation).into());
    }
    check_sound(&it.administrators)?;
    let mut list = organisations(case)?;
    list.all.push(it.organisation).map_err(|_| Rejection::TooLarge)?;
    check_in_standing(&list)?;
    let organisation = Organisation {
        kind: it.kind,
        name: it.name.clone(),
        administrators: it.administrators.clone(),
        custodian: it.custodian,
        suspended: false,
        expelled_at: None,
        former: None,
    };
    Ok(Changes::NONE
        .put(Key::Organisations, list)
        .put(Key::Organisation(it.organisation), organisation))
}

pub(crate) fn suspend(case: &Case<'_>, it: &OrganisationStanding) -> Result<Changes, Halt> {
    let mut list = organisations(case)?;
    let organisation = standing(case, it.organisation)?;
    check_not_expelled(it.organisation, organisation)?;
    if organisation.suspended {
        return Err(Rejection::OrganisationSuspended(it.organisation).into());
    }
    if list.in_standing() == 1 {
        return Err(Rejection::LastOrganisation(it.organisation).into());
    }
    list.suspended += 1;
    Ok(with_standing(it.organisation, organisation, true, list))
}

/// Reinstates; of an organisation that is not suspended, this is done already.
pub(crate) fn reinstate(case: &Case<'_>, it: &OrganisationStanding) -> Result<Changes, Halt> {
    let mut list = organisations(case)?;
    let organisation = standing(case, it.organisation)?;
    if !organisation.suspended {
        return Ok(Changes::NONE);
    }
    check_not_expelled(it.organisation, organisation)?;
    list.suspended -= 1;
    check_in_standing(&list)?;
    Ok(with_standing(it.organisation, organisation, false, list))
}

/// Expels, suspended or not, and begins a change without its validator. Its charts, and what was granted to it, stay as a suspension leaves them.
pub(crate) fn expel(case: &Case<'_>, it: &OrganisationStanding) -> Result<Changes, Halt> {
    let mut list = organisations(case)?;
    let organisation = standing(case, it.organisation)?;
    check_not_expelled(it.organisation, organisation)?;
    if organisation.suspended {
        list.suspended -= 1;
    } else if list.in_standing() == 1 {
        return Err(Rejection::LastOrganisation(it.organisation).into());
    }
    list.all.retain(|id| *id != it.organisation);
    let expelled = Organisation { expelled_at: Some(case.now()), ..organisation.clone() };
    let validators = validators::expelled(case, it.organisation)?;
    Ok(with_standing(it.organisation, &expelled, true, list).and(validators))
}

/// Gives new keys. Those so far count on for as long as is said, so that nobody is shut out between.
pub(crate) fn rotate(case: &Case<'_>, it: &OrganisationRotate) -> Result<Changes, Halt> {
    case.by_present_administrators_or_consortium(it.organisation)?;
    let organisation = known_organisation(case.view, it.organisation)?;
    check_not_expelled(it.organisation, organisation)?;
    check_sound(&it.administrators)?;
    check_overlap(case.now(), it.overlap_until)?;
    let (administrators, custodian) = (organisation.administrators.clone(), organisation.custodian);
    let organisation = Organisation {
        administrators: it.administrators.clone(),
        custodian: it.custodian,
        former: it.overlap_until.map(|until| FormerKeys { administrators, custodian, until }),
        ..organisation.clone()
    };
    Ok(Changes::NONE.put(Key::Organisation(it.organisation), organisation))
}

/// Whether former keys may count until then.
pub(crate) fn check_overlap(now: BlockTime, until: Option<BlockTime>) -> Result<(), Rejection> {
    let Some(until) = until else { return Ok(()) };
    if until <= now {
        return Err(Rejection::WindowPassed { until, now });
    }
    if until.ms_since(now) > KEY_OVERLAP_MS_MAX {
        return Err(Rejection::OverlapTooLong { max_ms: KEY_OVERLAP_MS_MAX });
    }
    Ok(())
}

fn check_sound(administrators: &Administrators) -> Result<(), Rejection> {
    let max = ADMINISTRATORS_MAX as u32;
    if administrators.are_sound() { Ok(()) } else { Err(Rejection::UnsoundAdministrators { max }) }
}

fn check_not_expelled(id: OrganisationId, organisation: &Organisation) -> Result<(), Rejection> {
    match organisation.expelled_at {
        Some(_) => Err(Rejection::OrganisationExpelled(id)),
        None => Ok(()),
    }
}

/// Whether the administrators of those in standing can still sign one command together.
fn check_in_standing(list: &Organisations) -> Result<(), Rejection> {
    let max = IN_STANDING_MAX;
    if list.in_standing() > max { Err(Rejection::TooManyOrganisations { max }) } else { Ok(()) }
}

fn standing<'a>(case: &Case<'a>, id: OrganisationId) -> Result<&'a Organisation, Halt> {
    case.by_consortium()?;
    known_organisation(case.view, id)
}

fn with_standing(
    id: OrganisationId,
    organisation: &Organisation,
    suspended: bool,
    list: Organisations,
) -> Changes {
    Changes::NONE
        .put(Key::Organisations, list)
        .put(Key::Organisation(id), Organisation { suspended, ..organisation.clone() })
}

fn organisations(case: &Case<'_>) -> Result<Organisations, Halt> {
    Ok(case.view.organisations()?.cloned().unwrap_or_default())
}

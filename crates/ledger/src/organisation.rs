//! Organisations: admitted, suspended and reinstated by the consortium.
//!
//! Each of these is signed by the administrators of more than two thirds of the organisations that are
//! not suspended, or stands in the genesis file.
//!
//! # Invariants
//!
//! * The list of organisations names each of them once, and counts those that are suspended.
//! * At least one organisation is not suspended, or nobody could reinstate any.
//! * No more are in standing than can sign together, or nobody could decide anything.

use keepwell_types::{
    id::OrganisationId,
    limits::IN_STANDING_MAX,
    member::{OrganisationAdmit, OrganisationStanding},
    outcome::Rejection,
};

use crate::{
    decide::{Case, Changes, Halt},
    signer::known_organisation,
    state::{Key, Organisation, Organisations},
};

pub(crate) fn admit(case: &Case<'_>, it: &OrganisationAdmit) -> Result<Changes, Halt> {
    case.by_consortium()?;
    if case.view.organisation(it.organisation)?.is_some() {
        return Err(Rejection::OrganisationExists(it.organisation).into());
    }
    let mut list = organisations(case)?;
    list.all.push(it.organisation).map_err(|_| Rejection::TooLarge)?;
    check_in_standing(&list)?;
    let organisation = Organisation {
        kind: it.kind,
        name: it.name.clone(),
        administrator: it.administrator,
        custodian: it.custodian,
        suspended: false,
    };
    Ok(Changes::NONE
        .put(Key::Organisations, list)
        .put(Key::Organisation(it.organisation), organisation))
}

pub(crate) fn suspend(case: &Case<'_>, it: &OrganisationStanding) -> Result<Changes, Halt> {
    let mut list = organisations(case)?;
    let organisation = standing(case, it.organisation)?;
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
    list.suspended -= 1;
    check_in_standing(&list)?;
    Ok(with_standing(it.organisation, organisation, false, list))
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

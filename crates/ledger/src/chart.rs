//! Charts: opened by a member, claimed by the patient, arranged by whoever controls them.
//!
//! ```text
//!             open, with a ticket                      claim
//!  (none) ---------------------------> Of the agent ----------> Of the patient
//!     |         open, without one           |  ^                     ^
//!     |                                     +--+ arrange, with       |
//!     |                                          another ticket      |
//!     +--------------------------------------------------------------+
//!
//!  Of the agent, Of the patient --- close ---> the same, Closed
//! ```
//!
//! # Invariants
//!
//! * A chart always has as many separate-consent compartments, and which they are never changes: how a
//!   chart is cut says nothing about its patient.
//! * A claim moves every compartment to its next epoch, so the organisation that opened the chart has
//!   no key to what is sealed after it.
//! * A claim ends whoever acted for the patient before, unless the patient is a minor.
//! * A chart that is closed takes no record, request or emergency any more, and never opens again.
//! * A claim comes from a letter of the chart's present keys: with any other, the patient would not have
//!   the keys to what was sealed before.
//!
//! Not here: the keys themselves. The ledger holds the root over them.

use keepwell_types::{
    chart::{ChartArrange, ChartClaim, ChartOpen, ClaimTicket},
    id::{ChartId, Epoch, OrganisationId},
    limits::{COMPARTMENTS, SEPARATE_CONSENT},
    member::Role,
    outcome::Rejection,
    proxy::{ChartClose, Power},
    set::{CompartmentSet, PowerSet, RoleSet},
};

use crate::{
    compartment,
    decide::{Case, Changes, Halt},
    signer::known_organisation,
    state::{Chart, ChartLog, Key, Proxies, Taken},
};

/// Who may open a chart for their organisation; the first is named where none of them is there.
const OPENERS: [Role; 4] = [Role::Registrar, Role::Clinician, Role::KeyAgent, Role::Gateway];

pub(crate) fn open(case: &Case<'_>, it: &ChartOpen) -> Result<Changes, Halt> {
    let (_, member) = case.acting_member()?;
    if member.roles.and(RoleSet::from_iter(OPENERS)).is_empty() {
        return Err(Rejection::RoleMissing(OPENERS[0]).into());
    }
    if case.view.chart(it.chart)?.is_some() {
        return Err(Rejection::ChartExists(it.chart).into());
    }
    let (given, needed) = (it.separate_consent.len(), SEPARATE_CONSENT as u32);
    if given != needed {
        return Err(Rejection::SeparateConsentCount { given, needed }.into());
    }
    check_arrangement(case, &it.custodians, &it.contributors)?;
    check_ticket(case, it.claim)?;
    let chart = Chart {
        organisation: member.organisation,
        keys: it.keys,
        epochs: [Epoch(0); COMPARTMENTS],
        separate_consent: it.separate_consent,
        custodians: it.custodians.clone(),
        contributors: it.contributors.clone(),
        claim: it.claim,
        claimed: false,
        emergency: CompartmentSet::EMPTY,
        escrow: None,
        seeds: None,
        closed_at: None,
        taken: None,
        ahead: None,
    };
    Ok(Changes::NONE.put(Key::Chart(it.chart), chart).put(Key::ChartLog(it.chart), ChartLog::EMPTY))
}

pub(crate) fn claim(case: &Case<'_>, it: &ChartClaim) -> Result<Changes, Halt> {
    let mut chart = case.claimed_by(it.chart, &it.keys.signing)?.clone();
    if it.inherited != chart.keys.sheet {
        return Err(Rejection::LetterOutOfDate(it.chart).into());
    }
    chart.keys = it.keys;
    chart.claim = None;
    chart.claimed = true;
    // What was shared out opens no epoch from now on, and it was not the patient who prepared it.
    chart.emergency = CompartmentSet::EMPTY;
    chart.escrow = None;
    chart.ahead = None;
    chart.taken = Some(Taken { location: case.location, at: case.now() });
    compartment::advance(&mut chart, CompartmentSet::all())?;
    let changes = Changes::NONE.put(Key::Chart(it.chart), chart);
    let Some(proxies) = case.view.proxies(it.chart)? else { return Ok(changes) };
    if proxies.of_age_at.is_none_or(|at| at <= case.now()) {
        return Ok(changes.remove(Key::Proxies(it.chart)));
    }
    Ok(changes.put(Key::Proxies(it.chart), of_minor(proxies)))
}

/// Who acted for a minor goes on reading until majority. More is for whoever has claimed the chart to give: that
/// the patient is a minor is the organisation's word.
fn of_minor(proxies: &Proxies) -> Proxies {
    let mut proxies = proxies.clone();
    for proxy in proxies.all.iter_mut() {
        proxy.terms.powers = proxy.terms.powers.and(PowerSet::EMPTY.with(Power::Read));
    }
    proxies
}

/// Ends a chart for good: nothing is added any more. Whoever controls it decides who reads on.
pub(crate) fn close(case: &Case<'_>, it: &ChartClose) -> Result<Changes, Halt> {
    let chart = case.acting_controller(it.chart)?;
    check_not_closed(it.chart, chart)?;
    let chart = Chart { closed_at: Some(case.now()), ..chart.clone() };
    Ok(Changes::NONE.put(Key::Chart(it.chart), chart))
}

/// Whether something can be added to the chart.
pub(crate) fn check_not_closed(id: ChartId, chart: &Chart) -> Result<(), Rejection> {
    if chart.closed_at.is_none() { Ok(()) } else { Err(Rejection::ChartClosed(id)) }
}

pub(crate) fn arrange(case: &Case<'_>, it: &ChartArrange) -> Result<Changes, Halt> {
    let chart = case.acting_controller(it.chart)?;
    check_arrangement(case, &it.custodians, &it.contributors)?;
    if it.claim.is_some() && chart.claim.is_none() {
        return Err(Rejection::NotClaimable(it.chart).into());
    }
    check_ticket(case, it.claim)?;
    let chart = Chart {
        custodians: it.custodians.clone(),
        contributors: it.contributors.clone(),
        claim: it.claim.or(chart.claim),
        ..chart.clone()
    };
    Ok(Changes::NONE.put(Key::Chart(it.chart), chart))
}

/// Whether a ticket, if there is one, can be used at all.
fn check_ticket(case: &Case<'_>, ticket: Option<ClaimTicket>) -> Result<(), Rejection> {
    match ticket {
        Some(ClaimTicket { until, .. }) if until <= case.now() => {
            Err(Rejection::ClaimExpired { until })
        }
        Some(_) | None => Ok(()),
    }
}

/// Whether these may be named, each once. One that is suspended may: suspension stops its acts.
fn check_arrangement(
    case: &Case<'_>,
    custodians: &[OrganisationId],
    contributors: &[OrganisationId],
) -> Result<(), Halt> {
    for (place, id) in custodians.iter().enumerate() {
        let organisation = known_organisation(case.view, *id)?;
        if organisation.custodian.is_none() || custodians[..place].contains(id) {
            return Err(Rejection::NotCustodian(*id).into());
        }
    }
    check_custodian_count(case, custodians.len())?;
    for (place, id) in contributors.iter().enumerate() {
        known_organisation(case.view, *id)?;
        if contributors[..place].contains(id) {
            return Err(Rejection::NamedTwice(*id).into());
        }
    }
    Ok(())
}

/// Whether `given` custodians are as many as the consortium asks for.
pub(crate) fn check_custodian_count(case: &Case<'_>, given: usize) -> Result<(), Rejection> {
    let needed = u32::from(case.block.parameters.custodians_min);
    let given = u32::try_from(given).map_err(|_| Rejection::TooLarge)?;
    if given < needed {
        return Err(Rejection::TooFewCustodians { given, needed });
    }
    Ok(())
}

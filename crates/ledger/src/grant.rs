//! Grants: given, limited and revoked by whoever controls the chart.
//!
//! ```text
//!           give            revoke
//!  (none) --------> Given ----------> Revoked        limit: Given, with less
//! ```
//!
//! # Invariants
//!
//! * A grant id is used once in its chart. A revoked grant never revives; a patient who changes their
//!   mind gives another one.
//! * A grant of separate consent names only compartments that need it; any other grant names none of
//!   them: such consent is never bundled.
//! * A grant ends for good from the next command on, not from the next block on.
//!
//! Not here: what grants mean together ([`crate::consent`]).

use keepwell_types::{
    encoding::List,
    grant::{GrantGive, GrantLimit, GrantRevoke, GrantTerms, Grantee},
    id::{ChartId, GrantId},
    limits::GRANTS_PER_SUBJECT_MAX,
    outcome::Rejection,
    time::BlockTime,
};

use crate::{
    consent::Object,
    decide::{Case, Changes, Halt},
    record,
    signer::{known_member, known_organisation},
    state::{Chart, Grant, Key, Subject},
};

pub(crate) fn give(case: &Case<'_>, it: &GrantGive) -> Result<Changes, Halt> {
    let chart = case.acting_controller(it.chart)?;
    if case.view.grant(it.chart, it.grant)?.is_some() {
        return Err(Rejection::GrantExists(it.grant).into());
    }
    check_terms(&it.terms, case.now())?;
    check_separate_consent(chart, &it.terms)?;
    check_names(case, it.chart, &it.terms)?;
    let key = Key::Subject(it.chart, it.terms.grantee);
    let mut subject = case.view.subject(it.chart, it.terms.grantee)?.cloned().unwrap_or_default();
    let max = GRANTS_PER_SUBJECT_MAX as u32;
    subject.grants.push(it.grant).map_err(|_| Rejection::TooManyGrants { max })?;
    let grant = Grant {
        terms: it.terms.clone(),
        seeds: it.seeds,
        given_at: case.now(),
        revoked_at: None,
        accesses_used: 0,
        counted: List::new(),
        object: Object::of(&it.terms, chart.separate_consent),
    };
    Ok(Changes::NONE.put(Key::Grant(it.chart, it.grant), grant).put(key, subject))
}

pub(crate) fn limit(case: &Case<'_>, it: &GrantLimit) -> Result<Changes, Halt> {
    case.acting_controller(it.chart)?;
    let grant = live(case, it.chart, it.grant)?;
    let terms = GrantTerms {
        compartments: it.compartments,
        kinds: it.kinds,
        purposes: it.purposes,
        window: it.window,
        accesses_max: it.accesses_max,
        ..grant.terms.clone()
    };
    if !is_within(&terms, &grant.terms) {
        return Err(Rejection::NotNarrower(it.grant).into());
    }
    check_terms(&terms, case.now())?;
    Ok(Changes::NONE.put(Key::Grant(it.chart, it.grant), Grant { terms, ..grant.clone() }))
}

pub(crate) fn revoke(case: &Case<'_>, it: &GrantRevoke) -> Result<Changes, Halt> {
    case.acting_controller(it.chart)?;
    let grant = live(case, it.chart, it.grant)?;
    let key = Key::Subject(it.chart, grant.terms.grantee);
    let subject = case.view.subject(it.chart, grant.terms.grantee)?;
    let mut subject = subject.expect("the subject of a live grant lists it").clone();
    subject.grants.retain(|id| *id != it.grant);
    let revoked = Grant { revoked_at: Some(case.now()), ..grant.clone() };
    let changes = Changes::NONE.put(Key::Grant(it.chart, it.grant), revoked);
    Ok(if subject == Subject::default() { changes.remove(key) } else { changes.put(key, subject) })
}

/// The grant, if it was not revoked.
fn live<'a>(case: &Case<'a>, chart: ChartId, id: GrantId) -> Result<&'a Grant, Halt> {
    let grant = case.view.grant(chart, id)?.ok_or(Rejection::UnknownGrant(id))?;
    if grant.revoked_at.is_some() {
        return Err(Rejection::GrantEnded(id).into());
    }
    Ok(grant)
}

/// Whether the terms can ever do anything.
fn check_terms(terms: &GrantTerms, now: BlockTime) -> Result<(), Rejection> {
    let empty = terms.compartments.is_empty()
        || terms.kinds.is_empty()
        || terms.purposes.is_empty()
        || terms.window.is_empty()
        || terms.accesses_max == Some(0);
    if empty {
        return Err(Rejection::EmptyTerms);
    }
    if terms.window.until <= now {
        return Err(Rejection::WindowPassed { until: terms.window.until, now });
    }
    Ok(())
}

fn check_separate_consent(chart: &Chart, terms: &GrantTerms) -> Result<(), Rejection> {
    let misplaced = if terms.separate_consent {
        terms.compartments.without(chart.separate_consent)
    } else {
        terms.compartments.and(chart.separate_consent)
    };
    if misplaced.is_empty() { Ok(()) } else { Err(Rejection::SeparateConsent(misplaced)) }
}

/// Whether the grantee and the listed records exist: a rule about nobody or nothing, a prohibition
/// above all, would leave its giver in a false belief.
fn check_names(case: &Case<'_>, chart: ChartId, terms: &GrantTerms) -> Result<(), Halt> {
    match terms.grantee {
        Grantee::Member(id) => known_member(case.view, id).map(|_| ())?,
        Grantee::Role { organisation: id, .. } | Grantee::Organisation(id) => {
            known_organisation(case.view, id).map(|_| ())?;
        }
        Grantee::Everyone => {}
    }
    terms.records.iter().try_for_each(|name| record::named(case.view, chart, name).map(|_| ()))
}

/// Whether `less` gives nothing that `more` does not.
fn is_within(less: &GrantTerms, more: &GrantTerms) -> bool {
    let fewer_accesses = match (less.accesses_max, more.accesses_max) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(less), Some(more)) => less <= more,
    };
    more.compartments.includes(less.compartments)
        && more.kinds.includes(less.kinds)
        && more.purposes.includes(less.purposes)
        && more.window.from <= less.window.from
        && less.window.until <= more.window.until
        && fewer_accesses
}

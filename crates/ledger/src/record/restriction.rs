//! Restrictions: what the patient, or the law, keeps from being read or from being redacted.
//!
//! | restriction | set by | lifted by |
//! |---|---|---|
//! | self-pay | controller, the chart organisation's registrar or privacy officer | controller |
//! | processing | controller, the chart organisation's privacy officer | controller |
//! | legal hold | the chart organisation's privacy officer | the same |
//!
//! # Invariants
//!
//! * A restriction is of the record in all its versions, and outlives none of them.
//! * What one asks the organisation to restrict, the organisation cannot lift.

use keepwell_types::{
    id::RecordId,
    member::Role,
    outcome::Rejection,
    proxy::Power,
    record::{RecordRestrict, Restriction},
    set::{CompartmentSet, RestrictionSet},
};

use super::{named, state_of};
use crate::{
    decide::{Case, Changes, Halt},
    signer::Actor,
    state::{Chart, Key, RecordState},
};

pub(crate) fn restrict(case: &Case<'_>, it: &RecordRestrict) -> Result<Changes, Halt> {
    let (original, state) = asked(case, it, may_restrict)?;
    let restrictions = state.restrictions.or(it.restrictions);
    Ok(put(it, original, RecordState { restrictions, ..state }))
}

pub(crate) fn lift(case: &Case<'_>, it: &RecordRestrict) -> Result<Changes, Halt> {
    let (original, state) = asked(case, it, may_lift)?;
    let restrictions = state.restrictions.without(it.restrictions);
    Ok(put(it, original, RecordState { restrictions, ..state }))
}

fn put(it: &RecordRestrict, original: RecordId, state: RecordState) -> Changes {
    let key = Key::RecordState(it.chart, original);
    if state == RecordState::default() {
        return Changes::NONE.remove(key);
    }
    Changes::NONE.put(key, state)
}

/// The record's first version and its state, if the signer may do this for each restriction that the command names.
fn asked(
    case: &Case<'_>,
    it: &RecordRestrict,
    may: fn(Restriction, Actor<'_>, &Chart) -> bool,
) -> Result<(RecordId, RecordState), Halt> {
    let (actor, chart) = case.actor_with(it.chart, Power::Restrict)?;
    let entry = named(case.view, it.chart, &it.record)?;
    actor.check_within(CompartmentSet::EMPTY.with(entry.compartment))?;
    actor.check_names_first(entry)?;
    let (record, original) = (entry.record, entry.original);
    if it.restrictions == RestrictionSet::EMPTY {
        return Err(Rejection::EmptyTerms.into());
    }
    if !it.restrictions.iter().all(|restriction| may(restriction, actor, chart)) {
        return Err(Rejection::NotForRecord(record).into());
    }
    let state = state_of(case.view, it.chart, original)?;
    if state.is_redacted() {
        return Err(Rejection::Redacted(record).into());
    }
    Ok((original, state))
}

fn may_restrict(restriction: Restriction, actor: Actor<'_>, chart: &Chart) -> bool {
    let Actor::Member { member, .. } = actor else { return restriction != Restriction::LegalHold };
    let officer = member.roles.contains(Role::PrivacyOfficer);
    let may = match restriction {
        Restriction::SelfPay => officer || member.roles.contains(Role::Registrar),
        Restriction::Processing | Restriction::LegalHold => officer,
    };
    may && member.organisation == chart.organisation
}

fn may_lift(restriction: Restriction, actor: Actor<'_>, chart: &Chart) -> bool {
    let of_officer = restriction == Restriction::LegalHold;
    match actor {
        Actor::Controller | Actor::Proxy { .. } => !of_officer,
        Actor::Member { .. } => of_officer && may_restrict(restriction, actor, chart),
    }
}

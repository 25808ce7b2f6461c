//! Redaction: the end of all releases of a record, in all its versions.
//!
//! ```text
//!           redact, by one party      redact, by the last        erased, by each custodian
//!  (none) -----------------------> Asked ----------------> Bound ------------------------> Erased
//!     ^                              | keep, by who asked
//!     +------------------------------+
//! ```
//!
//! The parties are the chart's controller, a privacy officer of the chart's organisation, and one of the
//! organisation that the record is from where that is another.
//!
//! # Invariants
//!
//! * It binds when the last party approves, and nothing revives the record after that.
//! * All parties approve on the same ground.
//! * A legal hold keeps it from binding, whoever has approved.
//! * A custodian says once that it has erased. Who has not said so is outstanding, and visible.
//!
//! Not here: that a custodian which says so has done it. Nobody can prove that.

use keepwell_types::{
    encoding::List,
    id::{ChartId, OrganisationId},
    limits::{ERASURE_MS, RECORD_CUSTODIANS_MAX},
    member::Role,
    outcome::Rejection,
    record::{RecordErased, RecordKeep, RecordRedact, Restriction},
};

use super::{named, state_of};
use crate::{
    decide::{Case, Changes, Halt},
    signer::{Actor, known_chart},
    state::{Bound, Chart, Key, RecordEntry, RecordState, Redaction, RedactionApproval},
};

pub(crate) fn redact(case: &Case<'_>, it: &RecordRedact) -> Result<Changes, Halt> {
    let (actor, chart) = case.actor(it.chart)?;
    let entry = named(case.view, it.chart, &it.record)?;
    let record = entry.record;
    let organisation = required(actor, chart, entry)?;
    let mut state = unbound(case, it.chart, entry)?;
    if state.restrictions.contains(Restriction::LegalHold) {
        return Err(Rejection::LegalHold(record).into());
    }
    let mut redaction = state.redaction.take().unwrap_or(Redaction {
        ground: it.ground,
        approvals: List::new(),
        bound: None,
        outstanding: List::new(),
    });
    // What a former controller approved is not the word of whoever controls the chart now.
    let is_former = |approval: &RedactionApproval| {
        let taken = chart.taken.is_some_and(|taken| approval.location < taken.location);
        approval.organisation.is_none() && taken
    };
    redaction.approvals.retain(|approval| !is_former(approval));
    if redaction.approvals.is_empty() {
        redaction.ground = it.ground;
    }
    if redaction.ground != it.ground {
        return Err(Rejection::OtherGround { record, ground: redaction.ground }.into());
    }
    if redaction.approvals.iter().any(|approval| approval.organisation == organisation) {
        return Err(Rejection::AlreadyApproved(record).into());
    }
    let (party, location) = (actor.party(it.chart), case.location);
    let approval = RedactionApproval { organisation, party, location };
    redaction.approvals.push(approval).map_err(|_| Rejection::TooLarge)?;
    let binds = redaction.approvals.len() == parties(chart, entry);
    if binds {
        let at = case.now();
        redaction.bound = Some(Bound { at, erase_until: at.plus_ms(ERASURE_MS) });
        redaction.outstanding = custodians(entry, &state)?;
    }
    let tag = state.uniqueness.or(entry.uniqueness).filter(|_| binds);
    let state = RecordState { redaction: Some(redaction), ..state };
    let changes = Changes::NONE.put(Key::RecordState(it.chart, entry.original), state);
    // Another record may have the tag from now on.
    Ok(match tag {
        None => changes,
        Some(tag) => changes.remove(Key::Tag(entry.organisation, tag)),
    })
}

pub(crate) fn keep(case: &Case<'_>, it: &RecordKeep) -> Result<Changes, Halt> {
    let (actor, chart) = case.actor(it.chart)?;
    let entry = named(case.view, it.chart, &it.record)?;
    let organisation = required(actor, chart, entry)?;
    let mut state = unbound(case, it.chart, entry)?;
    let not_redacted = Rejection::NotRedacted(entry.record);
    let Some(mut redaction) = state.redaction.take() else { return Err(not_redacted.into()) };
    let before = redaction.approvals.len();
    redaction.approvals.retain(|approval| approval.organisation != organisation);
    if redaction.approvals.len() == before {
        return Err(not_redacted.into());
    }
    state.redaction = (!redaction.approvals.is_empty()).then_some(redaction);
    let key = Key::RecordState(it.chart, entry.original);
    let nothing = state == RecordState::default();
    Ok(if nothing { Changes::NONE.remove(key) } else { Changes::NONE.put(key, state) })
}

pub(crate) fn erased(case: &Case<'_>, it: &RecordErased) -> Result<Changes, Halt> {
    let custodian = case.acting_custodian()?;
    known_chart(case.view, it.chart)?;
    let entry = named(case.view, it.chart, &it.record)?;
    let mut state = state_of(case.view, it.chart, entry.original)?;
    let not_redacted = Rejection::NotRedacted(entry.record);
    let bound = state.redaction.as_mut().filter(|redaction| redaction.bound.is_some());
    let Some(redaction) = bound else { return Err(not_redacted.into()) };
    if !redaction.outstanding.contains(&custodian) {
        return Err(Rejection::NotCustodian(custodian).into());
    }
    redaction.outstanding.retain(|outstanding| *outstanding != custodian);
    Ok(Changes::NONE.put(Key::RecordState(it.chart, entry.original), state))
}

/// For whom the signer approves: an organisation, or the chart's controller.
fn required(
    actor: Actor<'_>,
    chart: &Chart,
    entry: &RecordEntry,
) -> Result<Option<OrganisationId>, Rejection> {
    let Actor::Member { member, .. } = actor else { return Ok(None) };
    let organisation = member.organisation;
    let concerned = organisation == chart.organisation || organisation == entry.organisation;
    if !concerned || !member.roles.contains(Role::PrivacyOfficer) {
        return Err(Rejection::NotForRecord(entry.record));
    }
    Ok(Some(organisation))
}

/// How many parties must approve.
fn parties(chart: &Chart, entry: &RecordEntry) -> usize {
    if chart.organisation == entry.organisation { 2 } else { 3 }
}

/// The state of a record that is not redacted.
fn unbound(case: &Case<'_>, chart: ChartId, entry: &RecordEntry) -> Result<RecordState, Halt> {
    let state = state_of(case.view, chart, entry.original)?;
    if state.is_redacted() {
        return Err(Rejection::Redacted(entry.record).into());
    }
    Ok(state)
}

/// Who has stored any version of it.
fn custodians(
    entry: &RecordEntry,
    state: &RecordState,
) -> Result<List<OrganisationId, RECORD_CUSTODIANS_MAX>, Rejection> {
    let all = if state.newest.is_some() { &state.custodians[..] } else { &entry.custodians[..] };
    List::from_vec(all.to_vec()).map_err(|_| Rejection::TooLarge)
}

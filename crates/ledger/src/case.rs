//! Cases: what a patient asks of the chart's organisation by right, and its answer.
//!
//! ```text
//!           open            decide                  state                  state
//!  (none) --------> Open -----------> Accepted
//!                    |  +-----------> Denied -------------> Disagreed ------------> Rebutted
//!                    | extend, once              by the patient   by the organisation
//! ```
//!
//! # Invariants
//!
//! * The time for an answer runs from the block that opened the case. A late answer is an answer, and late.
//! * A denial names a ground that the law has for cases of its kind.
//! * What is said after a denial, and the case itself, stay attached to the record that it is about.

use keepwell_types::{
    case::{
        CaseAcknowledge, CaseDecide, CaseDecision, CaseExtend, CaseKind, CaseOpen, CaseStatement,
    },
    encoding::List,
    id::{CaseId, ChartId, RecordId},
    limits::{CASE_STATEMENTS_MAX, RECORD_CASES_MAX},
    member::{Party, Role},
    outcome::Rejection,
    proxy::Power,
    set::CompartmentSet,
};

use crate::{
    decide::{Case, Changes, Halt},
    record,
    signer::{Actor, known_chart},
    state::{self, Decided, Key, Statement},
};

pub(crate) fn open(case: &Case<'_>, it: &CaseOpen) -> Result<Changes, Halt> {
    let (actor, _) = case.acting_with(it.chart, Power::Case)?;
    if case.view.case(it.chart, it.case)?.is_some() {
        return Err(Rejection::CaseExists(it.case).into());
    }
    let named = match it.kind {
        CaseKind::Amendment => it.record.is_some(),
        CaseKind::Access | CaseKind::Accounting => it.record.is_none(),
        CaseKind::Erasure | CaseKind::Restriction => true,
    };
    if !named {
        return Err(Rejection::CaseSubject(it.kind).into());
    }
    let name = it.record.as_ref();
    let record = name.map(|name| record::named(case.view, it.chart, name)).transpose()?;
    // What is asked of the whole chart is asked for all of it.
    let about =
        record.map_or(CompartmentSet::all(), |it| CompartmentSet::EMPTY.with(it.compartment));
    actor.check_within(about)?;
    if let Some(entry) = record {
        actor.check_names_first(entry)?;
    }
    let record = record.map(|entry| entry.original);
    let entry = state::Case {
        kind: it.kind,
        record,
        opened_at: case.now(),
        due: case.now().plus_ms(it.kind.due_ms()),
        extended: false,
        decided: None,
        statements: List::new(),
        told: List::new(),
        asked: it.statement,
        put_off: None,
    };
    let changes = Changes::NONE.put(Key::Case(it.chart, it.case), entry);
    record.map_or(Ok(changes.clone()), |record| attach(case, it.chart, record, it.case, changes))
}

/// Attaches a case to the record that it is about.
fn attach(
    case: &Case<'_>,
    chart: ChartId,
    record: RecordId,
    id: CaseId,
    changes: Changes,
) -> Result<Changes, Halt> {
    let mut state = record::state_of(case.view, chart, record)?;
    if state.cases.len() == RECORD_CASES_MAX {
        make_room(case, chart, &mut state)?;
    }
    let too_many = Rejection::TooManyCases { record, max: RECORD_CASES_MAX as u32 };
    state.cases.push(id).map_err(|_| too_many)?;
    Ok(changes.put(Key::RecordState(chart, record), state))
}

/// Takes the oldest case off a record's list that nobody speaks of any more: one that was decided and not
/// disagreed with, or that a former controller opened. The case itself stays.
fn make_room(case: &Case<'_>, chart: ChartId, state: &mut state::RecordState) -> Result<(), Halt> {
    let taken = known_chart(case.view, chart)?.taken;
    for (place, id) in state.cases.iter().enumerate() {
        let entry = known(case, chart, *id)?;
        let settled = entry.decided.is_some() && entry.statements.is_empty();
        if settled || taken.is_some_and(|taken| entry.opened_at < taken.at) {
            state.cases.remove(place);
            return Ok(());
        }
    }
    Ok(())
}

pub(crate) fn decide(case: &Case<'_>, it: &CaseDecide) -> Result<Changes, Halt> {
    let mut entry = of_officer(case, it.chart, it.case)?;
    if entry.decided.is_some() {
        return Err(Rejection::CaseNotWaiting(it.case).into());
    }
    if let CaseDecision::Deny { ground, .. } = it.decision
        && !ground.fits(entry.kind)
    {
        return Err(Rejection::WrongGround { kind: entry.kind, ground }.into());
    }
    entry.decided = Some(Decided { decision: it.decision, at: case.now() });
    Ok(Changes::NONE.put(Key::Case(it.chart, it.case), entry))
}

pub(crate) fn extend(case: &Case<'_>, it: &CaseExtend) -> Result<Changes, Halt> {
    let mut entry = of_officer(case, it.chart, it.case)?;
    if entry.decided.is_some() || entry.extended || entry.due <= case.now() {
        return Err(Rejection::CaseNotWaiting(it.case).into());
    }
    entry.extended = true;
    entry.put_off = Some(it.statement);
    entry.due = entry.due.plus_ms(entry.kind.extension_ms());
    Ok(Changes::NONE.put(Key::Case(it.chart, it.case), entry))
}

pub(crate) fn state(case: &Case<'_>, it: &CaseStatement) -> Result<Changes, Halt> {
    let (actor, chart) = case.actor_with(it.chart, Power::Case)?;
    let mut entry = known(case, it.chart, it.case)?.clone();
    // What a case is about may be anywhere in the chart, and words are few.
    actor.check_within(CompartmentSet::all())?;
    let of_patient = matches!(actor, Actor::Controller | Actor::Proxy { .. });
    if let Actor::Member { member, .. } = actor {
        check_officer(member.roles.contains(Role::PrivacyOfficer))?;
        if member.organisation != chart.organisation {
            return Err(Rejection::WrongSigners.into());
        }
    }
    let denied = matches!(entry.decided, Some(Decided { decision: CaseDecision::Deny { .. }, .. }));
    let disagreed = !entry.statements.is_empty();
    // The patient has the first word, and the organisation answers.
    if !denied || !(of_patient || disagreed) {
        return Err(Rejection::CaseNotWaiting(it.case).into());
    }
    // Neither side leaves the other without room for an answer.
    let is_patients =
        |said: &&Statement| matches!(said.party, Party::Controller(_) | Party::Proxy(..));
    let patients = entry.statements.iter().filter(is_patients).count();
    let own = if of_patient { patients } else { entry.statements.len() - patients };
    if own >= CASE_STATEMENTS_MAX / 2 {
        return Err(Rejection::CaseNotWaiting(it.case).into());
    }
    let statement = Statement { party: actor.party(it.chart), statement: it.statement };
    entry.statements.push(statement).map_err(|_| Rejection::CaseNotWaiting(it.case))?;
    Ok(Changes::NONE.put(Key::Case(it.chart, it.case), entry))
}

pub(crate) fn acknowledge(case: &Case<'_>, it: &CaseAcknowledge) -> Result<Changes, Halt> {
    let (_, member) = case.acting_member()?;
    known_chart(case.view, it.chart)?;
    let mut entry = known(case, it.chart, it.case)?.clone();
    let organisation = member.organisation;
    if entry.decided.is_none() || entry.told.contains(&organisation) {
        return Err(Rejection::CaseNotWaiting(it.case).into());
    }
    entry.told.push(organisation).map_err(|_| Rejection::TooLarge)?;
    Ok(Changes::NONE.put(Key::Case(it.chart, it.case), entry))
}

fn known<'a>(case: &Case<'a>, chart: ChartId, id: CaseId) -> Result<&'a state::Case, Halt> {
    Ok(case.view.case(chart, id)?.ok_or(Rejection::UnknownCase(id))?)
}

/// The case, if a privacy officer of the chart's organisation signed alone.
fn of_officer(case: &Case<'_>, chart: ChartId, id: CaseId) -> Result<state::Case, Halt> {
    let (_, member) = case.acting_member()?;
    let organisation = known_chart(case.view, chart)?.organisation;
    check_officer(member.roles.contains(Role::PrivacyOfficer))?;
    if member.organisation != organisation {
        return Err(Rejection::WrongSigners.into());
    }
    known(case, chart, id).cloned()
}

const fn check_officer(is_officer: bool) -> Result<(), Rejection> {
    if is_officer { Ok(()) } else { Err(Rejection::RoleMissing(Role::PrivacyOfficer)) }
}

//! Accesses: reads, decided and counted before anything is released.
//!
//! An access is accepted whole or refused whole. Refused, it says the worst that any of what it names
//! met with: denied, then separate consent, then no grant, then no grant for the purpose, then none at
//! this time, then no access left, then not final.
//!
//! # Invariants
//!
//! * An access that is accepted counts once for each grant with a number of accesses that allowed a
//!   part of it, and a grant remembers for which accesses it was counted.
//! * Nothing is decided about what does not stand in the chart's log.
//!
//! Not here: what the reader gets. Validators release, after deciding again ([`crate::release`]).

use alloc::collections::BTreeSet;

use keepwell_types::{
    access::{AccessOpen, RecordName, Target},
    encoding::List,
    genesis::Parameters,
    id::{ChartId, LogPosition},
    limits::COUNTED_ACCESSES_MAX,
    outcome::Rejection,
    proxy::Power,
    set::CompartmentSet,
    time::BlockTime,
};

use crate::{
    consent::{Consent, Counting, Decision, Origin, Question, Reader, Refusal},
    decide::{Case, Changes, Halt},
    record,
    signer::Actor,
    state::{Chart, Grant, Key},
    view::View,
};

pub(crate) fn open(case: &Case<'_>, it: &AccessOpen) -> Result<Changes, Halt> {
    let (actor, chart) = case.actor_with(it.chart, Power::Read)?;
    let current = case.block.parameters.notice;
    if it.notice != current {
        return Err(Rejection::WrongNotice { given: it.notice, current }.into());
    }
    let position = case.view.chart_log(it.chart)?.expect("a chart has a log").count;
    actor.check_within(compartments_of(case.view, it)?)?;
    let parameters = &case.block.parameters;
    let allowed = allow(case.view, parameters, (chart, reader(actor)), it, case.now())?;
    count(case.view, it.chart, position, allowed)
}

/// By which rules everything that an access names is allowed at `time`.
pub(crate) fn allow(
    view: &View,
    parameters: &Parameters,
    (chart, reader): (&Chart, Reader<'_>),
    it: &AccessOpen,
    time: BlockTime,
) -> Result<BTreeSet<Origin>, Halt> {
    let end = view.chart_log(it.chart)?.expect("a chart has a log").count;
    check_target(view, it, end)?;
    let (chart_id, purpose) = (it.chart, it.purpose);
    let question = Question { chart: chart_id, purpose, time, counting: Counting::Opening };
    let consent = Consent::of(view, parameters, chart, reader, question)?;
    Ok(match &it.target {
        Target::Records(names) => allow_records(view, &consent, it.chart, names)?,
        Target::Compartments { compartments, .. } => allow_compartments(&consent, *compartments)?,
    })
}

const fn reader(actor: Actor<'_>) -> Reader<'_> {
    match actor {
        Actor::Member { id, member } => Reader::member(id, member),
        // What a proxy may open is bounded by its terms, and within them it opens what the patient may.
        Actor::Controller | Actor::Proxy { .. } => Reader::Controller,
    }
}

/// The compartments of what the access names.
pub(crate) fn compartments_of(view: &View, it: &AccessOpen) -> Result<CompartmentSet, Halt> {
    match &it.target {
        Target::Compartments { compartments, .. } => Ok(*compartments),
        Target::Records(names) => names.iter().try_fold(CompartmentSet::EMPTY, |set, name| {
            Ok(set.with(record::named(view, it.chart, name)?.compartment))
        }),
    }
}

/// Whether everything that the access names stands in the chart's log, which ends at `end`.
fn check_target(view: &View, it: &AccessOpen, end: LogPosition) -> Result<(), Halt> {
    let names_nothing = match &it.target {
        Target::Records(names) => names.is_empty(),
        Target::Compartments { compartments, until } => {
            compartments.is_empty() || *until == LogPosition(0) || *until > end
        }
    };
    if names_nothing {
        return Err(Rejection::EmptyTarget.into());
    }
    match &it.target {
        Target::Records(names) => {
            names.iter().try_for_each(|name| record::named(view, it.chart, name).map(|_| ()))
        }
        Target::Compartments { .. } => Ok(()),
    }
}

/// By which rules all of the records are allowed.
fn allow_records(
    view: &View,
    consent: &Consent<'_>,
    chart: ChartId,
    names: &[RecordName],
) -> Result<BTreeSet<Origin>, Halt> {
    let mut allowed = BTreeSet::new();
    let mut worst: Option<Refusal> = None;
    for name in names {
        match consent.record(name.position, record::named(view, chart, name)?)? {
            Decision::Allowed(origin) => {
                allowed.insert(origin);
            }
            Decision::Refused(refusal) => {
                worst = Some(worst.map_or(refusal, |worst| worst.worse(refusal)));
            }
        }
    }
    worst.map_or(Ok(allowed), |worst| Err(Rejection::from(worst).into()))
}

/// By which rules at least one kind in each of the compartments is allowed.
fn allow_compartments(
    consent: &Consent<'_>,
    compartments: CompartmentSet,
) -> Result<BTreeSet<Origin>, Rejection> {
    let mut allowed = BTreeSet::new();
    let mut worst: Option<Refusal> = None;
    for compartment in compartments.iter() {
        match consent.compartment(compartment) {
            Ok(origins) => allowed.extend(origins),
            Err(refusal) => worst = Some(worst.map_or(refusal, |worst| worst.worse(refusal))),
        }
    }
    worst.map_or(Ok(allowed), |worst| Err(worst.into()))
}

/// Counts the access that will stand at `position` for each grant with a number of accesses.
fn count(
    view: &View,
    chart: ChartId,
    position: LogPosition,
    allowed: BTreeSet<Origin>,
) -> Result<Changes, Halt> {
    let mut changes = Changes::NONE;
    for origin in allowed {
        let Origin::Grant(id) = origin else { continue };
        let grant = view.grant(chart, id)?.expect("a grant that allowed something exists");
        if grant.terms.accesses_max.is_some() {
            changes = changes.put(Key::Grant(chart, id), counted(grant, position)?);
        }
    }
    Ok(changes)
}

/// The grant, counted once more.
pub(crate) fn counted(grant: &Grant, position: LogPosition) -> Result<Grant, Rejection> {
    let accesses_used = grant.accesses_used.checked_add(1).ok_or(Rejection::TooLarge)?;
    let kept = grant.counted.len().saturating_sub(COUNTED_ACCESSES_MAX - 1);
    let mut counted = grant.counted[kept..].to_vec();
    counted.push(position);
    let counted = List::from_vec(counted).map_err(|_| Rejection::TooLarge)?;
    Ok(Grant { accesses_used, counted, ..grant.clone() })
}

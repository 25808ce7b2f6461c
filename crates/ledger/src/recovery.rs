//! Recoveries: a chart comes to new keys, by its guardians' approvals, after a delay in which its patient can
//! say no.
//!
//! ```text
//!           start              enough approve            delay passes        finish
//!  (none) --------> Waiting --------------------> Ready ------------> Due ----------> (none): new keys
//!                      ^  \                        / |                 |
//!                      |   +-- one is withdrawn --+  |                 |
//!                      |                             |                 |
//!                      +--- veto, the starter withdraws, new guardians, too late: (none)
//! ```
//!
//! # Invariants
//!
//! * The delay begins when enough guardians have approved, not before, and anew whenever one of the approvals
//!   that were needed is withdrawn: the patient always has all of it.
//! * An approval is for one recovery of one chart and names the new key. It counts while the guardian is one,
//!   and a member while in standing, up to the end.
//! * Each guardian has at most one recovery open that it started, so none keeps the others out; the first that
//!   is finished ends all others.
//! * When a patient has died the chart comes to the executor whom the patient has named, if one was, and nobody
//!   acts for the patient any more.
//! * A recovery moves every compartment to its next epoch and leaves no guardians: what is sealed from then on
//!   opens with keys that none of them has a share of.
//!
//! Not here: the shares with which the successor opens what was sealed before (`keepwell-crypto`). They open
//! the first of two locks; without control of the chart nobody gets a release, so they give nothing before the
//! delay is over.

use keepwell_types::{
    encoding::List,
    guardian::{
        Guardian, GuardianPlace, GuardianPolicy, RecoveryApprove, RecoveryEnd, RecoveryFinish,
        RecoveryGround, RecoveryStart,
    },
    id::{ChartId, LogPosition},
    limits::{GUARDIANS_MAX, RECOVERY_MS_MAX},
    outcome::Rejection,
    proxy::Power,
    set::CompartmentSet,
};

use crate::{
    compartment,
    decide::{Case, Changes, Halt},
    signer::{known_chart, member_in_standing},
    state::{Chart, Guardians, Key, Recoveries, Recovery, RecoveryApproval, Taken},
};

pub(crate) fn start(case: &Case<'_>, it: &RecoveryStart) -> Result<Changes, Halt> {
    let by = case.acting_guardian(it.chart)?;
    let policy = policy(case, it.chart)?;
    let of_executor = |key| it.ground == RecoveryGround::Death && key != it.successor;
    let is_own = known_chart(case.view, it.chart)?.keys.signing == it.successor;
    if is_own || policy.executor.is_some_and(of_executor) {
        return Err(Rejection::NotSuccessor(it.chart).into());
    }
    let mut recoveries = still_open(case, it.chart)?;
    if let Some(own) = recoveries.open.iter().find(|open| is_started_by(open, by)) {
        return Err(Rejection::RecoveryStarted(own.position).into());
    }
    let mut recovery = Recovery {
        position: case.view.chart_log(it.chart)?.expect("a chart has a log").count,
        ground: it.ground,
        successor: it.successor,
        sealing: it.sealing,
        approvals: List::new(),
        ready_at: None,
        until: case.now().plus_ms(RECOVERY_MS_MAX),
    };
    add_approval(case, policy, &mut recovery, RecoveryApproval { by, share: it.share })?;
    recoveries.open.push(recovery).map_err(|_| Rejection::TooLarge)?;
    Ok(put(it.chart, recoveries))
}

pub(crate) fn approve(case: &Case<'_>, it: &RecoveryApprove) -> Result<Changes, Halt> {
    let by = case.acting_guardian(it.chart)?;
    let policy = policy(case, it.chart)?;
    change(case, it.chart, it.recovery, |recovery| {
        if recovery.successor != it.successor {
            return Err(Rejection::OtherSuccessor(it.recovery));
        }
        if recovery.approvals.iter().any(|approval| approval.by == by) {
            return Err(Rejection::RecoveryApproved(it.recovery));
        }
        add_approval(case, policy, recovery, RecoveryApproval { by, share: it.share })
    })
}

/// Takes an approval back; of whoever started the recovery, the recovery itself.
pub(crate) fn withdraw(case: &Case<'_>, it: &RecoveryEnd) -> Result<Changes, Halt> {
    let by = case.acting_guardian(it.chart)?;
    let policy = policy(case, it.chart)?;
    let mut recoveries = still_open(case, it.chart)?;
    let own = |open: &&mut Recovery| {
        open.position == it.recovery && open.approvals.iter().any(|approval| approval.by == by)
    };
    let found = recoveries.open.iter_mut().find(own);
    let recovery = found.ok_or(Rejection::NoSuchRecovery(it.recovery))?;
    if is_started_by(recovery, by) {
        return end(case, it.chart, it.recovery);
    }
    recovery.approvals.retain(|approval| approval.by != by);
    if !policy.is_met_by(&places(recovery)) {
        recovery.ready_at = None;
    }
    Ok(put(it.chart, recoveries))
}

pub(crate) fn veto(case: &Case<'_>, it: &RecoveryEnd) -> Result<Changes, Halt> {
    case.acting_with(it.chart, Power::Veto)?;
    end(case, it.chart, it.recovery)
}

pub(crate) fn finish(case: &Case<'_>, it: &RecoveryFinish) -> Result<Changes, Halt> {
    case.acting_successor(it.chart, &it.keys.signing)?;
    let chart = known_chart(case.view, it.chart)?;
    let recoveries = still_open(case, it.chart)?;
    let recovery = found(&recoveries, it.recovery)?;
    if recovery.successor != it.keys.signing {
        return Err(Rejection::OtherSuccessor(it.recovery).into());
    }
    if !policy(case, it.chart)?.is_met_by(&in_standing(case, it.chart, recovery)?) {
        return Err(Rejection::RecoveryNotApproved(it.recovery).into());
    }
    let not_approved = Rejection::RecoveryNotApproved(it.recovery);
    let ready_at = recovery.ready_at.ok_or(not_approved)?;
    if case.now() < ready_at {
        return Err(Rejection::RecoveryTooSoon { ready_at }.into());
    }
    // An emergency that is closed moves epochs on under the same sheet.
    if it.replaces != chart.keys.sheet || it.epochs != chart.epochs {
        return Err(Rejection::LetterOutOfDate(it.chart).into());
    }
    let changes = Changes::NONE
        .put(Key::Chart(it.chart), taken_over(case, chart, it)?)
        .remove(Key::Guardians(it.chart))
        .remove(Key::Recoveries(it.chart));
    Ok(match recovery.ground {
        // Whoever found the lost keys may have named proxies; a minor's were the organisation's to name.
        RecoveryGround::Lost if of_minor(case, it.chart)? => changes,
        RecoveryGround::Lost | RecoveryGround::Death => changes.remove(Key::Proxies(it.chart)),
    })
}

fn of_minor(case: &Case<'_>, chart: ChartId) -> Result<bool, Halt> {
    let of_age_at = case.view.proxies(chart)?.and_then(|proxies| proxies.of_age_at);
    Ok(of_age_at.is_some_and(|at| case.now() < at))
}

/// The chart under the successor's keys. What was left to emergencies opens no epoch from now on.
fn taken_over(case: &Case<'_>, chart: &Chart, it: &RecoveryFinish) -> Result<Chart, Rejection> {
    let mut chart = Chart {
        keys: it.keys,
        emergency: CompartmentSet::EMPTY,
        escrow: None,
        ahead: None,
        taken: Some(Taken { location: case.location, at: case.now() }),
        ..chart.clone()
    };
    compartment::advance(&mut chart, CompartmentSet::all())?;
    Ok(chart)
}

/// Adds an approval, and lets the delay begin with the one that was missing.
fn add_approval(
    case: &Case<'_>,
    policy: &GuardianPolicy,
    recovery: &mut Recovery,
    approval: RecoveryApproval,
) -> Result<(), Rejection> {
    recovery.approvals.push(approval).map_err(|_| Rejection::TooLarge)?;
    if recovery.ready_at.is_none() && policy.is_met_by(&places(recovery)) {
        let delay_ms = case.block.parameters.recovery().delay_ms;
        recovery.ready_at = Some(case.now().plus_ms(delay_ms));
    }
    Ok(())
}

fn places(recovery: &Recovery) -> List<GuardianPlace, GUARDIANS_MAX> {
    let places = recovery.approvals.iter().map(|approval| approval.by).collect();
    List::from_vec(places).expect("there are no more places than approvals")
}

/// The places of those who approve and may still act.
fn in_standing(
    case: &Case<'_>,
    chart: ChartId,
    recovery: &Recovery,
) -> Result<List<GuardianPlace, GUARDIANS_MAX>, Halt> {
    let policy = policy(case, chart)?;
    let mut standing = List::new();
    for approval in &recovery.approvals {
        let barred = match policy.guardian_at(approval.by) {
            Some(Guardian::Key(_)) => false,
            Some(Guardian::Member(id)) => match member_in_standing(case.view, id) {
                Ok(_) => false,
                Err(Halt::Rejected(_)) => true,
                Err(lacks @ Halt::Lacks(_)) => return Err(lacks),
            },
            None => true,
        };
        if !barred {
            standing.push(approval.by).map_err(|_| Rejection::TooLarge)?;
        }
    }
    Ok(standing)
}

fn is_started_by(recovery: &Recovery, by: GuardianPlace) -> bool {
    recovery.approvals.first().is_some_and(|approval| approval.by == by)
}

fn policy<'a>(case: &Case<'a>, chart: ChartId) -> Result<&'a GuardianPolicy, Halt> {
    let Guardians { policy, .. } =
        case.view.guardians(chart)?.ok_or(Rejection::NotGuardian(chart))?;
    Ok(policy)
}

/// The recoveries that are not over.
fn still_open(case: &Case<'_>, chart: ChartId) -> Result<Recoveries, Halt> {
    let mut recoveries = case.view.recoveries(chart)?.cloned().unwrap_or_default();
    recoveries.open.retain(|open| case.now() < open.until);
    Ok(recoveries)
}

fn found(recoveries: &Recoveries, position: LogPosition) -> Result<&Recovery, Rejection> {
    let found = recoveries.open.iter().find(|open| open.position == position);
    found.ok_or(Rejection::NoSuchRecovery(position))
}

fn change(
    case: &Case<'_>,
    chart: ChartId,
    position: LogPosition,
    change: impl Fn(&mut Recovery) -> Result<(), Rejection>,
) -> Result<Changes, Halt> {
    let mut recoveries = still_open(case, chart)?;
    let found = recoveries.open.iter_mut().find(|open| open.position == position);
    change(found.ok_or(Rejection::NoSuchRecovery(position))?)?;
    Ok(put(chart, recoveries))
}

fn end(case: &Case<'_>, chart: ChartId, position: LogPosition) -> Result<Changes, Halt> {
    let mut recoveries = still_open(case, chart)?;
    found(&recoveries, position)?;
    recoveries.open.retain(|open| open.position != position);
    Ok(put(chart, recoveries))
}

fn put(chart: ChartId, recoveries: Recoveries) -> Changes {
    let key = Key::Recoveries(chart);
    if recoveries.open.is_empty() {
        return Changes::NONE.remove(key);
    }
    Changes::NONE.put(key, recoveries)
}

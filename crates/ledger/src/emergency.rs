//! Emergencies: a licensed clinician breaks the glass, another agrees or time passes, and someone reviews it.
//!
//! ```text
//!            break_glass           second, or the delay           until, or revoked
//!  (none) ---------------> Waiting ------------------> Open --------------------> Over
//!                                                        review, by when it is due: any time
//! ```
//!
//! # Invariants
//!
//! * Both clinicians are licensed, and are two. The licence must hold when the glass is broken and at each
//!   access.
//! * Nothing is opened that the patient has not left to emergencies, and none of separate consent.
//! * A prohibition of the patient's that names the purpose `BTG` holds in an emergency too.
//! * A member has few of them open in one chart, so that nobody keeps others from an emergency.
//! * A review is by a privacy officer of the clinician's organisation, who did not break the glass. An
//!   emergency that nobody reviews stays listed, unless newer ones push it out when it is over: its entry
//!   in the chart's log stays.
//!
//! Not here: what is read, by accesses for the purpose `BTG` ([`crate::consent`]).

use keepwell_types::{
    access::{BreakGlass, EmergencyReview, EmergencySecond},
    chart::ChartPrepare,
    id::{ChartId, LogPosition, MemberId},
    limits::{EMERGENCIES_MAX, EMERGENCIES_OPEN_MAX},
    member::Role,
    outcome::Rejection,
    time::Window,
};

use crate::{
    chart::check_not_closed,
    credential::check_licensed,
    decide::{Case, Changes, Halt},
    signer::known_chart,
    state::{Chart, Emergencies, Emergency, Key, Member},
};

pub(crate) fn prepare(case: &Case<'_>, it: &ChartPrepare) -> Result<Changes, Halt> {
    let chart = case.acting_controller(it.chart)?;
    let separate = it.emergency.and(chart.separate_consent);
    if !separate.is_empty() {
        return Err(Rejection::SeparateConsent(separate).into());
    }
    let chart = Chart { emergency: it.emergency, escrow: Some(it.escrow), ..chart.clone() };
    Ok(Changes::NONE.put(Key::Chart(it.chart), chart))
}

pub(crate) fn break_glass(case: &Case<'_>, it: &BreakGlass) -> Result<Changes, Halt> {
    let (member, entry) = licensed_clinician(case)?;
    let chart = known_chart(case.view, it.chart)?;
    check_not_closed(it.chart, chart)?;
    if it.compartments.is_empty() {
        return Err(Rejection::EmptyTerms.into());
    }
    let closed = it.compartments.without(chart.emergency);
    if !closed.is_empty() {
        return Err(Rejection::NotForEmergencies(closed).into());
    }
    let (now, rule) = (case.now(), case.block.parameters.emergency);
    if it.until <= now {
        return Err(Rejection::WindowPassed { until: it.until, now }.into());
    }
    if it.until.ms_since(now) > rule.open_ms_max {
        return Err(Rejection::EmergencyTooLong { max_ms: rule.open_ms_max }.into());
    }
    let emergency = Emergency {
        position: case.view.chart_log(it.chart)?.expect("a chart has a log").count,
        member,
        organisation: entry.organisation,
        second: None,
        compartments: it.compartments,
        reason: it.reason,
        open: Window { from: now.plus_ms(rule.delay_ms), until: it.until },
        review_until: it.until.plus_ms(rule.review_ms),
        review: None,
    };
    let mut emergencies = case.view.emergencies(it.chart)?.cloned().unwrap_or_default();
    make_room(case, &mut emergencies);
    let own = |known: &&Emergency| known.member == member && now < known.open.until;
    if emergencies.all.iter().filter(own).count() >= EMERGENCIES_OPEN_MAX {
        return Err(Rejection::TooManyEmergencies { max: EMERGENCIES_OPEN_MAX as u32 }.into());
    }
    let max = EMERGENCIES_MAX as u32;
    emergencies.all.push(emergency).map_err(|_| Rejection::TooManyEmergencies { max })?;
    Ok(Changes::NONE.put(Key::Emergencies(it.chart), emergencies))
}

/// Forgets what is over and was reviewed; and if that is not enough, the oldest that is over.
fn make_room(case: &Case<'_>, emergencies: &mut Emergencies) {
    let over = |emergency: &Emergency| emergency.open.until <= case.now();
    emergencies.all.retain(|emergency| !over(emergency) || emergency.review.is_none());
    if emergencies.all.len() < EMERGENCIES_MAX {
        return;
    }
    let oldest = emergencies.all.iter().find(|emergency| over(emergency)).map(|it| it.position);
    emergencies.all.retain(|emergency| Some(emergency.position) != oldest);
}

pub(crate) fn second(case: &Case<'_>, it: &EmergencySecond) -> Result<Changes, Halt> {
    let (member, _) = licensed_clinician(case)?;
    let now = case.now();
    change(case, it.chart, it.emergency, |emergency| {
        if emergency.second.is_some() || emergency.open.until <= now {
            return Err(Rejection::NoSuchEmergency(it.emergency));
        }
        if emergency.member == member {
            return Err(Rejection::NotForEmergency);
        }
        emergency.second = Some(member);
        emergency.open.from = emergency.open.from.min(now);
        Ok(())
    })
}

pub(crate) fn review(case: &Case<'_>, it: &EmergencyReview) -> Result<Changes, Halt> {
    let (member, entry) = case.acting_member()?;
    known_chart(case.view, it.chart)?;
    change(case, it.chart, it.emergency, |emergency| {
        let officer = entry.roles.contains(Role::PrivacyOfficer)
            && entry.organisation == emergency.organisation
            && emergency.member != member;
        if !officer {
            return Err(Rejection::NotForEmergency);
        }
        if emergency.review.is_some() {
            return Err(Rejection::NoSuchEmergency(it.emergency));
        }
        emergency.review = Some(it.finding);
        Ok(())
    })
}

fn change(
    case: &Case<'_>,
    chart: ChartId,
    position: LogPosition,
    change: impl Fn(&mut Emergency) -> Result<(), Rejection>,
) -> Result<Changes, Halt> {
    let mut emergencies = case.view.emergencies(chart)?.cloned().unwrap_or_default();
    let found = emergencies.all.iter_mut().find(|emergency| emergency.position == position);
    change(found.ok_or(Rejection::NoSuchEmergency(position))?)?;
    Ok(Changes::NONE.put(Key::Emergencies(chart), emergencies))
}

/// The clinician who signed, alone, and has a licence that holds.
fn licensed_clinician<'a>(case: &Case<'a>) -> Result<(MemberId, &'a Member), Halt> {
    let (id, member) = case.acting_member()?;
    if !member.roles.contains(Role::Clinician) {
        return Err(Rejection::RoleMissing(Role::Clinician).into());
    }
    check_licensed(case, id)?;
    Ok((id, member))
}

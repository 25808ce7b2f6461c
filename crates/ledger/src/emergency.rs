//! Emergencies: a licensed clinician breaks the glass, another agrees or time passes, and someone reviews it.
//!
//! ```text
//!            break_glass           second, or the delay           until, revoked, or close
//!  (none) ---------------> Waiting ------------------> Open ------------------------------> Over
//!                                                        review, by when it is due: any time
//!  Over, closed: what was opened is at its next epoch, if a key of it was published ahead
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
//!   in the chart's log stays, and so does its place among what waits for review at its organisation.
//! * An emergency is closed once, and so moves what it opened on once: by keys that the patient published
//!   before, so the patient need not be there. A review of one that is over closes it.
//! * What an organisation's members did is counted where they did it, in the same command: no count can
//!   be forgotten, and none names a chart.
//!
//! Not here: what is read, by accesses for the purpose `BTG` ([`crate::consent`]); whose shares of the
//! compartments' keys open then, which trustees decide from the same state (`keepwell-client`).

use keepwell_types::{
    access::{BreakGlass, EmergencyClose, EmergencyReview, EmergencySecond, Finding},
    chart::{ChartPrepare, KeysAhead},
    encoding::List,
    id::{ChartId, Compartment, Epoch, LogPosition, MemberId, OrganisationId},
    limits::{EMERGENCIES_MAX, EMERGENCIES_OPEN_MAX, EPOCHS_AHEAD_MAX},
    member::Role,
    outcome::Rejection,
    time::Window,
};

use crate::{
    chart::check_not_closed,
    compartment::advance_ahead,
    credential::check_licensed,
    decide::{Case, Changes, Halt},
    signer::{Actor, known_chart},
    state::{Chart, Emergencies, Emergency, EmergencyUse, Key, Member, MemberUse, Tally, Waiting},
};

pub(crate) fn prepare(case: &Case<'_>, it: &ChartPrepare) -> Result<Changes, Halt> {
    let chart = case.acting_controller(it.chart)?;
    let separate = it.emergency.and(chart.separate_consent);
    if !separate.is_empty() {
        return Err(Rejection::SeparateConsent(separate).into());
    }
    if let Some(ahead) = &it.ahead {
        if chart.claim.is_some() {
            return Err(Rejection::AheadOfClaim(it.chart).into());
        }
        check_ahead(chart, it, ahead)?;
    }
    let chart = Chart {
        emergency: it.emergency,
        escrow: Some(it.escrow),
        ahead: it.ahead,
        ..chart.clone()
    };
    Ok(Changes::NONE.put(Key::Chart(it.chart), chart))
}

/// Whether there are keys of each compartment that is left to emergencies, of no other, and not of too
/// many epochs.
fn check_ahead(chart: &Chart, it: &ChartPrepare, ahead: &KeysAhead) -> Result<(), Rejection> {
    let max = EPOCHS_AHEAD_MAX as u32;
    let fits = Compartment::all().all(|compartment| {
        let (present, until) =
            (chart.epoch(compartment), ahead.until[usize::from(compartment.index())]);
        let epochs = until.0.saturating_sub(present.0.saturating_add(1));
        if it.emergency.contains(compartment) {
            (1..=max).contains(&epochs)
        } else {
            until == Epoch(0)
        }
    });
    if fits { Ok(()) } else { Err(Rejection::KeysAhead { max }) }
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
        location: Some(case.location),
        closed: None,
    };
    let mut emergencies = case.view.emergencies(it.chart)?.cloned().unwrap_or_default();
    make_room(case, &mut emergencies);
    let own = |known: &&Emergency| known.member == member && now < known.open.until;
    if emergencies.all.iter().filter(own).count() >= EMERGENCIES_OPEN_MAX {
        return Err(Rejection::TooManyEmergencies { max: EMERGENCIES_OPEN_MAX as u32 }.into());
    }
    let max = EMERGENCIES_MAX as u32;
    emergencies.all.push(emergency).map_err(|_| Rejection::TooManyEmergencies { max })?;
    let used = count(case, entry.organisation, |used| {
        let tally = tally(used, member);
        tally.broken = tally.broken.saturating_add(1);
        wait(
            used,
            Waiting { member, location: case.location, review_until: emergency.review_until },
        );
    })?;
    Ok(used.put(Key::Emergencies(it.chart), emergencies))
}

/// Forgets what is over, was closed and was reviewed; and if that is not enough, the oldest that is over.
fn make_room(case: &Case<'_>, emergencies: &mut Emergencies) {
    let over = |emergency: &Emergency| emergency.open.until <= case.now();
    let done = |emergency: &Emergency| emergency.review.is_some() && emergency.closed.is_some();
    emergencies.all.retain(|emergency| !over(emergency) || !done(emergency));
    if emergencies.all.len() < EMERGENCIES_MAX {
        return;
    }
    let oldest = emergencies.all.iter().find(|emergency| over(emergency)).map(|it| it.position);
    emergencies.all.retain(|emergency| Some(emergency.position) != oldest);
}

pub(crate) fn second(case: &Case<'_>, it: &EmergencySecond) -> Result<Changes, Halt> {
    let (member, entry) = licensed_clinician(case)?;
    let now = case.now();
    let (emergencies, _) = change(case, it.chart, it.emergency, |emergency| {
        if emergency.second.is_some() || emergency.open.until <= now {
            return Err(Rejection::NoSuchEmergency(it.emergency));
        }
        if emergency.member == member {
            return Err(Rejection::NotForEmergency);
        }
        emergency.second = Some(member);
        emergency.open.from = emergency.open.from.min(now);
        Ok(())
    })?;
    let used = count(case, entry.organisation, |used| {
        let tally = tally(used, member);
        tally.seconded = tally.seconded.saturating_add(1);
    })?;
    Ok(used.put(Key::Emergencies(it.chart), emergencies))
}

pub(crate) fn review(case: &Case<'_>, it: &EmergencyReview) -> Result<Changes, Halt> {
    let (member, entry) = case.acting_member()?;
    let chart = known_chart(case.view, it.chart)?;
    let mut closes = false;
    let (emergencies, reviewed) = change(case, it.chart, it.emergency, |emergency| {
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
        closes = emergency.open.until <= case.now() && emergency.closed.is_none();
        emergency.closed = if closes { Some(case.now()) } else { emergency.closed };
        Ok(())
    })?;
    let used = count(case, reviewed.organisation, |used| {
        let tally = tally(used, reviewed.member);
        let found = match it.finding {
            Finding::Justified => &mut tally.justified,
            Finding::Unjustified => &mut tally.unjustified,
        };
        *found = found.saturating_add(1);
        used.waiting.retain(|waiting| Some(waiting.location) != reviewed.location);
    })?;
    let changes = used.put(Key::Emergencies(it.chart), emergencies);
    if closes { move_on(changes, it.chart, chart, &reviewed) } else { Ok(changes) }
}

pub(crate) fn close(case: &Case<'_>, it: &EmergencyClose) -> Result<Changes, Halt> {
    let chart = known_chart(case.view, it.chart)?;
    let closer = closer(case, it.chart)?;
    let now = case.now();
    let (emergencies, closed) = change(case, it.chart, it.emergency, |emergency| {
        if emergency.closed.is_some() {
            return Err(Rejection::NoSuchEmergency(it.emergency));
        }
        if !closer.may_close(chart, emergency, emergency.open.until <= now) {
            return Err(Rejection::NotToClose);
        }
        emergency.open.until = emergency.open.until.min(now);
        emergency.closed = Some(now);
        Ok(())
    })?;
    let changes = Changes::NONE.put(Key::Emergencies(it.chart), emergencies);
    // Nothing was open, so nobody was given a key: the ones ahead are kept for when somebody was.
    if closed.open.until <= closed.open.from {
        return Ok(changes);
    }
    move_on(changes, it.chart, chart, &closed)
}

/// Who wants to end an emergency.
enum Closer<'a> {
    Member { id: MemberId, entry: &'a Member },
    Controller,
    Custodian(OrganisationId),
}

fn closer<'a>(case: &Case<'a>, chart: ChartId) -> Result<Closer<'a>, Halt> {
    match case.acting_custodian() {
        Ok(id) => return Ok(Closer::Custodian(id)),
        Err(Halt::Rejected(Rejection::WrongSigners)) => {}
        Err(halt) => return Err(halt),
    }
    let (actor, _) = case.actor(chart)?;
    Ok(match actor {
        Actor::Member { id, member } => Closer::Member { id, entry: member },
        Actor::Controller | Actor::Proxy { .. } => Closer::Controller,
    })
}

impl Closer<'_> {
    /// While it is open, whoever is answerable for it or for the chart; when it is over, also those who
    /// only see to it that what comes is sealed to other keys.
    fn may_close(&self, chart: &Chart, emergency: &Emergency, over: bool) -> bool {
        match self {
            Self::Controller => true,
            Self::Custodian(id) => over && chart.custodians.contains(id),
            Self::Member { id, entry } => {
                let officer = entry.roles.contains(Role::PrivacyOfficer)
                    && entry.organisation == emergency.organisation;
                let concerned = [chart.organisation, emergency.organisation];
                *id == emergency.member
                    || officer
                    || over && concerned.contains(&entry.organisation)
            }
        }
    }
}

/// Moves what a closed emergency opened to its next epoch, as far as keys were published ahead.
fn move_on(
    changes: Changes,
    id: ChartId,
    chart: &Chart,
    closed: &Emergency,
) -> Result<Changes, Halt> {
    let mut chart = chart.clone();
    advance_ahead(&mut chart, closed.compartments)?;
    Ok(changes.put(Key::Chart(id), chart))
}

/// Changes one emergency of a chart; also returns it as it is then.
fn change(
    case: &Case<'_>,
    chart: ChartId,
    position: LogPosition,
    change: impl FnOnce(&mut Emergency) -> Result<(), Rejection>,
) -> Result<(Emergencies, Emergency), Halt> {
    let mut emergencies = case.view.emergencies(chart)?.cloned().unwrap_or_default();
    let found = emergencies.all.iter_mut().find(|emergency| emergency.position == position);
    let found = found.ok_or(Rejection::NoSuchEmergency(position))?;
    change(found)?;
    let changed = *found;
    Ok((emergencies, changed))
}

/// Changes the counts of an organisation.
fn count(
    case: &Case<'_>,
    organisation: OrganisationId,
    change: impl FnOnce(&mut EmergencyUse),
) -> Result<Changes, Halt> {
    let mut used = case.view.emergency_use(organisation)?.cloned().unwrap_or_default();
    change(&mut used);
    Ok(Changes::NONE.put(Key::EmergencyUse(organisation), used))
}

/// The counts of a member, who stands last from now on. Whoever has not taken part for longest makes room.
fn tally(used: &mut EmergencyUse, member: MemberId) -> &mut Tally {
    let known = used.members.iter().position(|it| it.member == member);
    let counts = known.map_or_else(Tally::default, |place| used.members.remove(place).tally);
    push_out(&mut used.members, MemberUse { member, tally: counts }, |oldest| {
        used.others = used.others.plus(&oldest.tally);
    });
    let last = used.members.iter_mut().last().expect("it was pushed just now");
    &mut last.tally
}

/// Lists what waits for review. The oldest makes room; that it waits still shows in the counts.
fn wait(used: &mut EmergencyUse, waiting: Waiting) {
    push_out(&mut used.waiting, waiting, |_| {});
}

fn push_out<T, const MAX: usize>(list: &mut List<T, MAX>, item: T, out: impl FnOnce(T)) {
    if list.len() == MAX {
        out(list.remove(0));
    }
    list.push(item).unwrap_or_else(|_| unreachable!("there is room for one more"));
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

//! Requests: a member asks for a grant, and whoever controls the chart answers.
//!
//! ```text
//!           request          answer
//!  (none) ----------> Open ----------> Given, or Refused
//!                      | withdraw
//!                      +-------------> Withdrawn             until: nothing happens to it any more
//! ```
//!
//! # Invariants
//!
//! * One asks for oneself, or for what one is in at one's own organisation.
//! * An answer gives what was asked for or less.
//! * An organisation has few open requests in a chart, so that nobody can bury a patient in them.

use keepwell_types::{
    encoding::List,
    grant::{Answer, Effect, GrantAnswer, GrantRequest, GrantTerms, GrantWithdraw, Grantee},
    id::{ChartId, MemberId, RequestId},
    limits::{OPEN_REQUESTS_MAX, REQUEST_WAIT_MS_MAX},
    outcome::Rejection,
    proxy::Power,
};

use super::{Draft, add, check_names, check_separate_consent, check_terms, is_within};
use crate::{
    chart::check_not_closed,
    decide::{Case, Changes, Halt},
    signer::known_chart,
    state::{Key, Member, OpenRequest, OpenRequests, Request, RequestEnd},
};

pub(crate) fn ask(case: &Case<'_>, it: &GrantRequest) -> Result<Changes, Halt> {
    let (id, member) = case.acting_member()?;
    let chart = known_chart(case.view, it.chart)?;
    check_not_closed(it.chart, chart)?;
    if case.view.request(it.chart, it.request)?.is_some() {
        return Err(Rejection::RequestExists(it.request).into());
    }
    if !is_for_asker(&it.terms, id, member) {
        return Err(Rejection::NotForAsker.into());
    }
    check_terms(&it.terms, case.now())?;
    check_separate_consent(chart, &it.terms)?;
    check_names(case, it.chart, &it.terms)?;
    if it.until <= case.now() {
        return Err(Rejection::WindowPassed { until: it.until, now: case.now() }.into());
    }
    if it.until.ms_since(case.now()) > REQUEST_WAIT_MS_MAX {
        return Err(Rejection::RequestWaitsTooLong { max_ms: REQUEST_WAIT_MS_MAX }.into());
    }
    let organisation = member.organisation;
    let mut open = still_open(case, it.chart, member)?;
    let too_many = Rejection::TooManyRequests { organisation, max: OPEN_REQUESTS_MAX as u32 };
    let waits = OpenRequest { request: it.request, until: it.until };
    open.open.push(waits).map_err(|_| too_many)?;
    let (terms, until) = (it.terms.clone(), it.until);
    let request = Request { member: id, organisation, terms, until, end: None };
    Ok(Changes::NONE
        .put(Key::Request(it.chart, it.request), request)
        .put(Key::OpenRequests(it.chart, organisation), open))
}

pub(crate) fn answer(case: &Case<'_>, it: &GrantAnswer) -> Result<Changes, Halt> {
    let (actor, chart) = case.acting_with(it.chart, Power::Grant)?;
    let request = open(case, it.chart, it.request)?;
    actor.check_within(request.terms.compartments)?;
    match &it.answer {
        Answer::Give { grant, terms, seeds } => {
            let as_asked = terms.grantee == request.terms.grantee
                && terms.effect == Effect::Allow
                && terms.separate_consent == request.terms.separate_consent
                && (request.terms.onward || !terms.onward)
                && is_within(terms, &request.terms);
            if !as_asked {
                return Err(Rejection::MoreThanAsked(it.request).into());
            }
            actor.check_until(terms.window.until)?;
            let (chart_id, grant, seeds) = (it.chart, *grant, *seeds);
            let draft = Draft { chart: chart_id, grant, terms, seeds, passed: None };
            let changes = add(case, chart, &draft)?;
            end(case, it.chart, it.request, RequestEnd::Given(grant), changes)
        }
        Answer::Refuse(reason) => {
            end(case, it.chart, it.request, RequestEnd::Refused(*reason), Changes::NONE)
        }
    }
}

pub(crate) fn withdraw(case: &Case<'_>, it: &GrantWithdraw) -> Result<Changes, Halt> {
    let (id, _) = case.acting_member()?;
    known_chart(case.view, it.chart)?;
    if open(case, it.chart, it.request)?.member != id {
        return Err(Rejection::WrongSigners.into());
    }
    end(case, it.chart, it.request, RequestEnd::Withdrawn, Changes::NONE)
}

/// Whether what is asked for is a permission for the asker, or for what it is in.
fn is_for_asker(terms: &GrantTerms, id: MemberId, member: &Member) -> bool {
    let own = match terms.grantee {
        Grantee::Member(grantee) => grantee == id,
        Grantee::Role { organisation, role } => {
            organisation == member.organisation && member.roles.contains(role)
        }
        Grantee::Organisation(organisation) => organisation == member.organisation,
        Grantee::Group(group) => member.groups.contains(&group),
        Grantee::Everyone | Grantee::Team(_) => false,
    };
    own && terms.effect == Effect::Allow
}

/// The request, if it waits.
fn open<'a>(case: &Case<'a>, chart: ChartId, id: RequestId) -> Result<&'a Request, Halt> {
    let request = case.view.request(chart, id)?.ok_or(Rejection::UnknownRequest(id))?;
    if request.end.is_some() || request.until <= case.now() {
        return Err(Rejection::RequestClosed(id).into());
    }
    Ok(request)
}

/// The requests of a member's organisation that still wait.
fn still_open(case: &Case<'_>, chart: ChartId, member: &Member) -> Result<OpenRequests, Halt> {
    let listed = case.view.open_requests(chart, member.organisation)?;
    let mut open = listed.cloned().unwrap_or(OpenRequests { open: List::new() });
    open.open.retain(|request| case.now() < request.until);
    Ok(open)
}

/// Ends an open request, with what else comes of it.
fn end(
    case: &Case<'_>,
    chart: ChartId,
    id: RequestId,
    end: RequestEnd,
    changes: Changes,
) -> Result<Changes, Halt> {
    let request = open(case, chart, id)?;
    let listed = case.view.open_requests(chart, request.organisation)?;
    let mut list = listed.cloned().unwrap_or_default();
    list.open.retain(|open| open.request != id);
    let key = Key::OpenRequests(chart, request.organisation);
    let changes = if list.open.is_empty() { changes.remove(key) } else { changes.put(key, list) };
    Ok(changes.put(Key::Request(chart, id), Request { end: Some(end), ..request.clone() }))
}

//! Sign-off: approvals of a proposed record, each an entry of its own, until it is final.
//!
//! ```text
//!            approve, at a seat of the open step          approve, the last that the rule needs
//!  Proposed <----------------------------------> Proposed -------------------------------------> Final
//!     |       retract, while no later step is signed
//!     |
//!     +-- withdraw, by the author -------------> Withdrawn     nobody approves any more
//!     +-- block time reaches the rule's end ---> Expired       nobody approves any more
//! ```
//!
//! # Invariants
//!
//! * A record is final only after different parties took the seats that its rule needs, step after step.
//! * Approvals never conflict: one at a seat that has enough is accepted as well, and counts for nothing. So does the
//!   order among those of one step.
//! * Who signs must fit the seat when they sign. What they lose later does not undo what they signed.
//! * What is final stays final.
//! * An approval is of the newest version: nobody signs what was amended meanwhile.
//! * A rule is no weaker than what the consortium asks for, or the version that the record amends, unless the
//!   consortium leaves that to authors.
//!
//! Not here: what a rule is and when it is met (`keepwell_types::signoff`).

use alloc::vec::Vec;

use keepwell_types::{
    encoding::List,
    id::{ChartId, MemberId, OrganisationId},
    member::Party,
    outcome::Rejection,
    record::{RecordAdd, RecordApprove, RecordKind, RecordRetract, RecordWithdraw},
    signoff::{ApprovalRule, Approver, Of, rule_for},
};

use super::{check_licence, named, state_of};
use crate::{
    decide::{Case, Changes, Halt},
    signer::{Actor, known_chart, known_member, known_organisation, proxy_in_force},
    state::{Approval, Chart, Key, Member, Proposal, RecordEntry},
    view::{Lacks, View},
};

pub(crate) fn approve(case: &Case<'_>, it: &RecordApprove) -> Result<Changes, Halt> {
    let party = case.approver(it.chart)?;
    let chart = known_chart(case.view, it.chart)?;
    let entry = named(case.view, it.chart, &it.record)?;
    if let Party::Member(id) = party {
        check_licence(case, entry.kind, id)?;
    }
    let record = entry.record;
    let mut proposal = proposal_of(case, it.chart, entry)?;
    let no_such_seat = Rejection::NoSuchSeat { record, seat: it.seat };
    let place = proposal.rule.seat(it.seat).ok_or(no_such_seat)?;
    check_fits(case, (it.chart, chart), entry, party, &place.seat.who)?;
    check_waits(case, it.chart, entry, &proposal)?;
    if proposal.commitment != it.commitment {
        return Err(Rejection::CommitmentMismatch(record).into());
    }
    if place.meaning != it.meaning {
        return Err(Rejection::WrongMeaning { given: it.meaning, needed: place.meaning }.into());
    }
    if proposal.approvals.iter().any(|approval| approval.party == party) {
        return Err(Rejection::AlreadyApproved(record).into());
    }
    if proposal.steps_met() < place.step {
        let step = u32::try_from(place.step + 1).expect("steps are limited far below 2^32");
        return Err(Rejection::StepNotOpen { record, step }.into());
    }
    // Enough have signed there; this signature stands in the log alone.
    if proposal.taken(it.seat) >= usize::from(place.seat.min) {
        return Ok(Changes::NONE);
    }
    let approval = Approval { party, location: case.location, seat: it.seat, time: case.now() };
    proposal.approvals.push(approval).map_err(|_| Rejection::TooLarge)?;
    if proposal.final_at.is_none() && proposal.steps_met() == proposal.rule.steps.len() {
        proposal.final_at = Some(case.now());
    }
    Ok(Changes::NONE.put(Key::Proposal(it.chart, record), proposal))
}

pub(crate) fn retract(case: &Case<'_>, it: &RecordRetract) -> Result<Changes, Halt> {
    let party = case.approver(it.chart)?;
    known_chart(case.view, it.chart)?;
    let entry = named(case.view, it.chart, &it.record)?;
    let record = entry.record;
    let mut proposal = proposal_of(case, it.chart, entry)?;
    let own = proposal.approvals.iter().find(|approval| approval.party == party);
    let step = proposal.step_of(own.ok_or(Rejection::NotApproved(record))?);
    check_not_final(case, it.chart, entry, &proposal)?;
    if proposal.approvals.iter().any(|approval| proposal.step_of(approval) > step) {
        return Err(Rejection::ReliedOn(record).into());
    }
    proposal.approvals.retain(|approval| approval.party != party);
    Ok(Changes::NONE.put(Key::Proposal(it.chart, record), proposal))
}

pub(crate) fn withdraw(case: &Case<'_>, it: &RecordWithdraw) -> Result<Changes, Halt> {
    let party = case.approver(it.chart)?;
    known_chart(case.view, it.chart)?;
    let entry = named(case.view, it.chart, &it.record)?;
    let record = entry.record;
    if entry.author != party {
        return Err(Rejection::NotAuthor(record).into());
    }
    let proposal = proposal_of(case, it.chart, entry)?;
    check_not_final(case, it.chart, entry, &proposal)?;
    let proposal = Proposal { withdrawn_at: Some(case.now()), ..proposal };
    Ok(Changes::NONE.put(Key::Proposal(it.chart, record), proposal))
}

/// The sign-off that a new record enters with, if it needs one.
pub(super) fn propose(
    case: &Case<'_>,
    (actor, chart): (Actor<'_>, &Chart),
    it: &RecordAdd,
    organisation: OrganisationId,
) -> Result<Option<Proposal>, Halt> {
    let by_patient = matches!(actor, Actor::Controller) && chart.claim.is_none();
    let rules = case.block.parameters.sign_off.as_deref().unwrap_or_default();
    let of_consortium = rule_for(rules, it.kind).filter(|_| !by_patient);
    let or_less = of_consortium.is_some_and(|rule| rule.or_less);
    let base = match inherited(case, it)? {
        None => of_consortium.map(|rule| &rule.rule),
        inherited @ Some(_) => inherited,
    };
    let rule = match (&it.approval, base) {
        (None, None) => return Ok(None),
        (None, Some(base)) => base.clone(),
        (Some(given), base) => {
            check_override(given, base.filter(|_| !or_less), it.kind)?;
            given.clone()
        }
    };
    check_parties(case.view, (it.chart, chart), &rule, actor.party(it.chart))?;
    let until = rule.until(case.now());
    Ok(Some(Proposal {
        rule,
        approvals: List::new(),
        commitment: it.commitment,
        until,
        final_at: None,
        withdrawn_at: None,
        organisation,
    }))
}

/// The rule of the version that the record amends.
fn inherited<'a>(case: &Case<'a>, it: &RecordAdd) -> Result<Option<&'a ApprovalRule>, Halt> {
    let Some(amended) = it.amends else { return Ok(None) };
    let last = named(case.view, it.chart, &amended.record)?;
    Ok(case.view.proposal(it.chart, last.record)?.map(|proposal| &proposal.rule))
}

/// Whether an author's own rule can be met, and asks for no less than `base`.
fn check_override(
    given: &ApprovalRule,
    base: Option<&ApprovalRule>,
    kind: RecordKind,
) -> Result<(), Rejection> {
    if !given.check() {
        return Err(Rejection::ApprovalRule);
    }
    if base.is_some_and(|base| !given.is_as_strict_as(base)) {
        return Err(Rejection::WeakerRule(kind));
    }
    Ok(())
}

/// Whether those whom a rule names exist, and no two of its seats are one party's.
fn check_parties(
    view: &View,
    (id, chart): (ChartId, &Chart),
    rule: &ApprovalRule,
    author: Party,
) -> Result<(), Halt> {
    let mut parties: Vec<Party> = Vec::new();
    for place in rule.seats() {
        let party = match place.seat.who {
            Approver::Patient => Party::Controller(id),
            // Whoever holds the chart's key later would sign as an author who they are not.
            Approver::Author if author == Party::Controller(id) && chart.claim.is_some() => {
                return Err(Rejection::ApprovalRule.into());
            }
            Approver::Author => author,
            Approver::Member(member) => {
                known_member(view, member)?;
                Party::Member(member)
            }
            Approver::Administrator(organisation) => {
                known_organisation(view, organisation)?;
                Party::Administrator(organisation)
            }
            Approver::Proxy => continue,
            Approver::Role(_, of) | Approver::Credential(_, of) => {
                if let Of::Organisation(organisation) = of {
                    known_organisation(view, organisation)?;
                }
                continue;
            }
        };
        if parties.contains(&party) {
            return Err(Rejection::ApprovalRule.into());
        }
        parties.push(party);
    }
    Ok(())
}

/// Whether the party is one that a seat is for, as of now.
fn check_fits(
    case: &Case<'_>,
    (id, chart): (ChartId, &Chart),
    entry: &RecordEntry,
    party: Party,
    who: &Approver,
) -> Result<(), Halt> {
    let is = match *who {
        Approver::Patient if party == Party::Controller(id) && chart.claim.is_some() => {
            return Err(Rejection::NotPatient(id).into());
        }
        Approver::Patient => party == Party::Controller(id),
        Approver::Author => party == entry.author,
        Approver::Proxy => is_proxy(case, (id, chart), entry, party)?,
        Approver::Member(member) => party == Party::Member(member),
        Approver::Administrator(organisation) => party == Party::Administrator(organisation),
        Approver::Role(role, of) => {
            let (_, member) = member_of(case.view, chart, entry, party, of)?;
            if !member.roles.contains(role) {
                return Err(Rejection::RoleMissing(role).into());
            }
            true
        }
        Approver::Credential(kind, of) => {
            let (member, _) = member_of(case.view, chart, entry, party, of)?;
            let credentials = case.view.credentials(member)?;
            if !credentials.is_some_and(|credentials| credentials.hold(kind, case.now())) {
                return Err(Rejection::Unlicensed { member, kind }.into());
            }
            true
        }
    };
    if is { Ok(()) } else { Err(Rejection::NotApprover(entry.record).into()) }
}

/// Whether the party is a proxy of the chart's patient for the record's compartment.
fn is_proxy(
    case: &Case<'_>,
    (chart_id, chart): (ChartId, &Chart),
    entry: &RecordEntry,
    party: Party,
) -> Result<bool, Halt> {
    let Party::Proxy(of, id) = party else { return Ok(false) };
    let terms = &proxy_in_force(case.view, of, id, case.now())?.terms;
    // Whoever holds the chart's key for an adult names no proxy who would sign in the adult's place.
    let of_age_at = case.view.proxies(of)?.and_then(|proxies| proxies.of_age_at);
    if chart.claim.is_some() && of_age_at.is_none_or(|at| at <= case.now()) {
        return Err(Rejection::NotPatient(chart_id).into());
    }
    Ok(of == chart_id && terms.compartments.contains(entry.compartment))
}

/// The party, if it is a member of the organisation that a seat is of.
fn member_of<'a>(
    view: &'a View,
    chart: &Chart,
    entry: &RecordEntry,
    party: Party,
    of: Of,
) -> Result<(MemberId, &'a Member), Halt> {
    let not_approver = Rejection::NotApprover(entry.record);
    let Party::Member(id) = party else { return Err(not_approver.into()) };
    let member = known_member(view, id)?;
    if member.organisation != organisation_of(of, chart, entry) {
        return Err(not_approver.into());
    }
    Ok((id, member))
}

const fn organisation_of(of: Of, chart: &Chart, entry: &RecordEntry) -> OrganisationId {
    match of {
        Of::Author => entry.organisation,
        Of::Chart => chart.organisation,
        Of::Organisation(id) => id,
    }
}

fn proposal_of(case: &Case<'_>, chart: ChartId, entry: &RecordEntry) -> Result<Proposal, Halt> {
    let proposal = case.view.proposal(chart, entry.record)?;
    Ok(proposal.ok_or(Rejection::NotProposed(entry.record))?.clone())
}

/// Whether the record is one that can be approved now.
fn check_waits(
    case: &Case<'_>,
    chart: ChartId,
    entry: &RecordEntry,
    proposal: &Proposal,
) -> Result<(), Halt> {
    let record = entry.record;
    let state = state_of(case.view, chart, entry.original)?;
    if state.is_redacted() {
        return Err(Rejection::Redacted(record).into());
    }
    if proposal.withdrawn_at.is_some() {
        return Err(Rejection::ProposalWithdrawn(record).into());
    }
    if let Some(until) = proposal.until.filter(|until| *until <= case.now()) {
        return Err(Rejection::ApprovalExpired { record, until }.into());
    }
    match state.newest.filter(|newest| newest.version != entry.version) {
        None => Ok(()),
        Some(newest) => Err(Rejection::NotNewest { record, newest: newest.version }.into()),
    }
}

/// Whether something about the sign-off can still be taken back.
fn check_not_final(
    case: &Case<'_>,
    chart: ChartId,
    entry: &RecordEntry,
    proposal: &Proposal,
) -> Result<(), Halt> {
    let record = entry.record;
    if state_of(case.view, chart, entry.original)?.is_redacted() {
        return Err(Rejection::Redacted(record).into());
    }
    if proposal.withdrawn_at.is_some() {
        return Err(Rejection::ProposalWithdrawn(record).into());
    }
    if proposal.is_final() {
        return Err(Rejection::AlreadyFinal(record).into());
    }
    Ok(())
}

/// Whether a member is one of those who may sign a record, so that they may see what they are asked to sign. That a
/// credential holds is asked when they sign.
pub(crate) fn is_asked(
    view: &View,
    chart: ChartId,
    entry: &RecordEntry,
    proposal: &Proposal,
    (id, member): (MemberId, &Member),
) -> Result<bool, Lacks> {
    let Some(chart) = view.chart(chart)? else { return Ok(false) };
    let of = |of| member.organisation == organisation_of(of, chart, entry);
    Ok(proposal.rule.seats().any(|place| match place.seat.who {
        Approver::Member(named) => named == id,
        Approver::Role(role, its) => of(its) && member.roles.contains(role),
        Approver::Credential(_, its) => of(its),
        Approver::Author => entry.author == Party::Member(id),
        Approver::Patient | Approver::Proxy | Approver::Administrator(_) => false,
    }))
}

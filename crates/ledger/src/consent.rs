//! Consent: the one rule by which grants that disagree are settled, and its explanation.
//!
//! Whoever controls a chart may open everything in it that is not redacted. For everyone else, each record
//! is decided by itself, from the grants that name the reader:
//!
//! 1. **Hard stops.** A redacted record is for nobody. One whose processing the patient restricts is for
//!    legal claims only, and one that the patient paid for is not for insurers. A record that still waits
//!    for approvals is for its own organisation and for its approvers, whatever a grant says. A compartment
//!    that needs separate consent is covered by grants of separate consent and by nothing else.
//! 2. **What applies.** A rule applies if it covers the record (compartment, kind, and, where it lists
//!    records, this one), the purpose is one of its purposes, its window contains block time, and its
//!    accesses are not used up. A rule that covers the record and fails one of the others is a *near
//!    miss*: it decides nothing, and makes the refusal say what was missing.
//! 3. **The most specific subject wins**: member, then role, group or care team, then organisation, then
//!    everyone. What a grantee passed on comes last, so that no prohibition of the patient's is passed by.
//! 4. **Then the most specific object wins**: listed records, then some kinds, then some compartments,
//!    then the chart, which is every compartment that such a grant can name. That is the object which
//!    the grant was given for: one that was limited since ranks as it did.
//! 5. **Among equals, deny wins.** Age decides nothing; it orders the explanation.
//! 6. **No rule, no access.**
//!
//! Where the consortium has chosen [`OwnOrganisation::OptOut`] there is one more rule: the chart's own
//! organisation may, on the whole chart, for treatment, coordination, payment and operations. It is a
//! rule like any other, at the least specific object.
//!
//! Whoever broke the glass has one more as well: what the emergency opens, for the purpose `BTG`, while it is
//! open and the clinician's licence holds. It comes last too.
//!
//! What the patient has revoked from a whole organisation allows its readers nothing any more: neither a
//! grant that was given before, whomever it names, nor an emergency, nor what the consortium allows. What
//! was forbidden before stays forbidden.
//!
//! # Invariants
//!
//! * Rules stand in the order of precedence, so the first that applies decides.
//! * Limiting a permission never turns a refusal into a permission, and neither does revoking one.
//! * What is read depends on the reader's own subjects: neither on how many grants the chart has nor on
//!   how many members the organisation has.
//! * Of permissions that are otherwise equal, one without a number of accesses comes first: an access
//!   uses up nothing that it does not need.
//! * What was passed on allows no more than the grant that it comes from allows by now, and nothing once
//!   that grant does not reach the member who passed it on, or the patient forbids that member any of it.
//!
//! Not here: whether the reader is who signed ([`crate::accountable`]), what an access names and
//! counts (`access`), and how old it may be when shares are released ([`crate::release`]).

mod rule;
mod trace;

use alloc::vec::Vec;
use core::mem;

use keepwell_types::{
    access::{Purpose, RecordName},
    credential::CredentialKind,
    genesis::{OwnOrganisation, Parameters},
    grant::{Effect, GrantTerms, Grantee},
    id::{ChartId, Compartment, GrantId, LogPosition, MemberId, RecordId},
    member::OrganisationKind,
    outcome::Rejection,
    record::{RecordKind, Restriction},
    set::{CompartmentSet, KindSet},
    time::BlockTime,
};
use serde::Serialize;

use self::rule::Rule;
pub use self::{
    rule::Object,
    trace::{Cause, Fared, Step, Stop, Trace},
};
use crate::{
    record::signoff::is_asked,
    state::{Chart, Cutoff, Emergency, Grant, Member, Passed, Proposal, RecordEntry, Teams},
    view::{Lacks, View},
};

/// Who wants to read.
#[derive(Clone, Copy, Debug)]
pub enum Reader<'a> {
    /// Whoever controls the chart.
    Controller,
    /// A member.
    Member {
        /// Who.
        id: MemberId,
        /// What the ledger has of it.
        entry: &'a Member,
    },
}

impl<'a> Reader<'a> {
    /// The member with this id and entry.
    pub const fn member(id: MemberId, entry: &'a Member) -> Self {
        Self::Member { id, entry }
    }
}

/// Everything that a grant to this member can name, the most specific first.
pub fn subjects(id: MemberId, entry: &Member, teams: Option<&Teams>) -> Vec<Grantee> {
    let organisation = entry.organisation;
    let mut subjects = Vec::from([Grantee::Member(id)]);
    subjects.extend(entry.roles.iter().map(|role| Grantee::Role { organisation, role }));
    subjects.extend(entry.groups.iter().map(|group| Grantee::Group(*group)));
    subjects.extend(teams.iter().flat_map(|teams| teams.of(id)).map(Grantee::Team));
    subjects.extend([Grantee::Organisation(organisation), Grantee::Everyone]);
    subjects
}

/// What is asked of all records alike.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Question {
    /// The chart.
    pub chart: ChartId,
    /// What the access is for.
    pub purpose: Purpose,
    /// Block time.
    pub time: BlockTime,
    /// How accesses are counted.
    pub counting: Counting,
}

/// When a grant with a number of accesses is used up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Counting {
    /// When another access would be one too many.
    Opening,
    /// Unless it was counted for the access that stands here in the chart's log, and still has as many.
    Opened(LogPosition),
}

/// What one decision is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Item {
    /// The compartment.
    pub compartment: Compartment,
    /// The kind.
    pub kind: RecordKind,
    /// The record; without it, any record of that kind in that compartment.
    pub record: Option<RecordName>,
}

impl Item {
    /// The record that stands at `position`.
    pub const fn of(position: LogPosition, entry: &RecordEntry) -> Self {
        let record = Some(RecordName { position, record: entry.record });
        Self { compartment: entry.compartment, kind: entry.kind, record }
    }
}

/// Where a rule comes from.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Control of the chart.
    Controller,
    /// A grant.
    Grant(GrantId),
    /// The consortium's choice for the chart's own organisation.
    OwnOrganisation,
    /// Breaking the glass, where that stands in the chart's log.
    Emergency(LogPosition),
}

/// Why a reader may not, from the refusal that lacks least to the one that lacks most.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// The record waits for approvals.
    NotFinal(RecordId),
    /// See [`Rejection::AccessesUsedUp`].
    AccessesUsedUp,
    /// See [`Rejection::OutsideWindow`].
    OutsideWindow,
    /// See [`Rejection::PurposeNotGranted`].
    PurposeNotGranted,
    /// See [`Rejection::NotGranted`].
    NotGranted,
    /// No grant of separate consent covers these.
    SeparateConsent(CompartmentSet),
    /// See [`Rejection::Denied`].
    Denied,
    /// See [`Rejection::HiddenFromInsurers`].
    HiddenFromInsurers(RecordId),
    /// See [`Rejection::Restricted`].
    Restricted(RecordId),
    /// See [`Rejection::Redacted`].
    Redacted(RecordId),
}

impl Refusal {
    /// The refusal of an access that met both: the one that lacks more, of equals the first.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        if let (Self::SeparateConsent(one), Self::SeparateConsent(two)) = (self, other) {
            return Self::SeparateConsent(one.iter().chain(two.iter()).collect());
        }
        let alike = mem::discriminant(&self) == mem::discriminant(&other);
        if alike || other < self { self } else { other }
    }
}

impl From<Refusal> for Rejection {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotFinal(record) => Self::NotFinal(record),
            Refusal::AccessesUsedUp => Self::AccessesUsedUp,
            Refusal::OutsideWindow => Self::OutsideWindow,
            Refusal::PurposeNotGranted => Self::PurposeNotGranted,
            Refusal::NotGranted => Self::NotGranted,
            Refusal::SeparateConsent(compartments) => Self::SeparateConsent(compartments),
            Refusal::Denied => Self::Denied,
            Refusal::HiddenFromInsurers(record) => Self::HiddenFromInsurers(record),
            Refusal::Restricted(record) => Self::Restricted(record),
            Refusal::Redacted(record) => Self::Redacted(record),
        }
    }
}

/// What the rules say about one item.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The reader may, by this.
    Allowed(Origin),
    /// The reader may not.
    Refused(Refusal),
}

/// The rules that name one reader in one chart.
#[derive(Clone, Debug)]
pub struct Consent<'a> {
    view: &'a View,
    reader: Reader<'a>,
    question: Question,
    separate_consent: CompartmentSet,
    /// In the order of precedence.
    rules: Vec<Rule<'a>>,
}

impl<'a> Consent<'a> {
    /// Gathers the rules that name `reader`.
    pub fn of(
        view: &'a View,
        parameters: &Parameters,
        chart: &Chart,
        reader: Reader<'a>,
        question: Question,
    ) -> Result<Self, Lacks> {
        let separate_consent = chart.separate_consent;
        let mut rules = Vec::new();
        if let Reader::Member { id, entry } = reader {
            let cutoff = view.cutoff(question.chart, entry.organisation)?;
            rules = granted(view, &question, id, entry, cutoff)?;
            let opt_out = parameters.own_organisation == OwnOrganisation::OptOut;
            if opt_out && entry.organisation == chart.organisation && cutoff.is_none() {
                rules.push(Rule::of_own_organisation(entry.organisation, separate_consent));
            }
            rules.extend(emergencies(view, id, &question, (chart, cutoff))?);
        }
        rules.sort_by_key(Rule::precedence);
        Ok(Self { view, reader, question, separate_consent, rules })
    }

    /// Whether the reader may open the record that stands at `position`.
    pub fn record(&self, position: LogPosition, entry: &RecordEntry) -> Result<Decision, Lacks> {
        if let Some(refusal) = self.stopped(entry)? {
            return Ok(Decision::Refused(refusal));
        }
        Ok(match self.decide(&Item::of(position, entry)) {
            Decision::Allowed(_) if !self.passes_approval(entry)? => {
                Decision::Refused(Refusal::NotFinal(entry.record))
            }
            decision @ (Decision::Allowed(_) | Decision::Refused(_)) => decision,
        })
    }

    /// By which rules the reader may open records in `compartment`, for at least one kind; which
    /// records those are is decided for each when it is released.
    pub fn compartment(&self, compartment: Compartment) -> Result<Vec<Origin>, Refusal> {
        let mut allowed = Vec::new();
        let mut nearest = Refusal::Denied;
        for kind in KindSet::all().iter() {
            match self.decide(&Item { compartment, kind, record: None }) {
                Decision::Allowed(origin) => allowed.push(origin),
                Decision::Refused(refusal) => nearest = nearest.min(refusal),
            }
        }
        if allowed.is_empty() { Err(nearest) } else { Ok(allowed) }
    }

    /// [`Self::record`], with how each rule that covers the record fared, and each hard stop on it, whether
    /// it stops this reader or not.
    pub fn explain(&self, position: LogPosition, entry: &RecordEntry) -> Result<Trace, Lacks> {
        let decision = self.record(position, entry)?;
        let trace = self.explain_item(&Item::of(position, entry));
        let mut stops = self.stops(entry)?;
        stops.extend(trace.stops.iter().copied());
        Ok(Trace { decision, stops, ..trace })
    }

    /// [`Self::explain`] without the hard stops on single records: for any record of a kind in a
    /// compartment, if `item` names none.
    pub fn explain_item(&self, item: &Item) -> Trace {
        let decider = self.decider(item).map(|rule| rule.origin);
        let covering = self.rules.iter().filter(|rule| rule.covers(item));
        let steps = covering.map(|rule| rule.step(&self.question, decider)).collect();
        let (compartment, kind) = (item.compartment, item.kind);
        let decision = self.decide(item);
        let stops = if self.separate_consent.contains(compartment) {
            let stops = matches!(decision, Decision::Refused(Refusal::SeparateConsent(_)));
            Vec::from([Stop { cause: Cause::SeparateConsent, stops }])
        } else {
            Vec::new()
        };
        Trace { compartment, kind, stops, steps, decision }
    }

    /// What the rules say, hard stops on single records aside.
    fn decide(&self, item: &Item) -> Decision {
        match (self.reader, self.decider(item).map(|rule| (rule.effect, rule.origin))) {
            (Reader::Controller, _) => Decision::Allowed(Origin::Controller),
            (Reader::Member { .. }, Some((Effect::Allow, origin))) => Decision::Allowed(origin),
            (Reader::Member { .. }, Some((Effect::Deny, _))) => Decision::Refused(Refusal::Denied),
            (Reader::Member { .. }, None) => Decision::Refused(self.nearest_miss(item)),
        }
    }

    /// The rule that decides: the first that applies.
    fn decider(&self, item: &Item) -> Option<&Rule<'a>> {
        self.rules.iter().find(|rule| rule.covers(item) && rule.fit(&self.question).is_ok())
    }

    /// What the permission that lacks least lacks.
    fn nearest_miss(&self, item: &Item) -> Refusal {
        let permissions = self.rules.iter().filter(|it| it.effect == Effect::Allow);
        permissions
            .filter(|rule| rule.covers(item))
            .filter_map(|rule| rule.fit(&self.question).err())
            .min()
            .unwrap_or_else(|| self.nothing_covers(item.compartment))
    }

    fn nothing_covers(&self, compartment: Compartment) -> Refusal {
        if self.separate_consent.contains(compartment) {
            Refusal::SeparateConsent(CompartmentSet::EMPTY.with(compartment))
        } else {
            Refusal::NotGranted
        }
    }

    /// What stops the reader from this record whatever is granted.
    fn stopped(&self, entry: &RecordEntry) -> Result<Option<Refusal>, Lacks> {
        let state = self.view.record_state(self.question.chart, entry.original)?;
        let Some(state) = state else { return Ok(None) };
        if state.is_redacted() {
            return Ok(Some(Refusal::Redacted(entry.record)));
        }
        if state.restrictions.contains(Restriction::Processing) && self.heeds_processing() {
            return Ok(Some(Refusal::Restricted(entry.record)));
        }
        if state.restrictions.contains(Restriction::SelfPay) && self.is_insurer()? {
            return Ok(Some(Refusal::HiddenFromInsurers(entry.record)));
        }
        Ok(None)
    }

    /// Every hard stop on a record, whether it stops this reader or not.
    fn stops(&self, entry: &RecordEntry) -> Result<Vec<Stop>, Lacks> {
        let mut stops = Vec::new();
        let state = self.view.record_state(self.question.chart, entry.original)?;
        if let Some(state) = state {
            if state.is_redacted() {
                stops.push(Stop { cause: Cause::Redacted, stops: true });
            }
            if state.restrictions.contains(Restriction::Processing) {
                stops.push(Stop { cause: Cause::Restricted, stops: self.heeds_processing() });
            }
            if state.restrictions.contains(Restriction::SelfPay) {
                stops.push(Stop { cause: Cause::SelfPay, stops: self.is_insurer()? });
            }
        }
        if entry.proposed && !self.is_final(entry)? {
            let stops_reader = !self.passes_approval(entry)?;
            stops.push(Stop { cause: Cause::Proposed, stops: stops_reader });
        }
        Ok(stops)
    }

    /// Whether a restriction of processing stops the reader: it stops nobody who controls the chart, and
    /// nothing for legal claims.
    const fn heeds_processing(&self) -> bool {
        let is_member = matches!(self.reader, Reader::Member { .. });
        is_member && !matches!(self.question.purpose, Purpose::Legal)
    }

    /// Whether the reader acts for an insurer.
    fn is_insurer(&self) -> Result<bool, Lacks> {
        let Reader::Member { entry: member, .. } = self.reader else { return Ok(false) };
        let organisation = self.view.organisation(member.organisation)?;
        Ok(organisation.is_some_and(|it| it.kind == OrganisationKind::Insurer))
    }

    /// Whether a record that entered under an approval rule has its approvals.
    fn is_final(&self, entry: &RecordEntry) -> Result<bool, Lacks> {
        let proposal = self.view.proposal(self.question.chart, entry.record)?;
        Ok(proposal.is_none_or(Proposal::is_final))
    }

    /// Whether approvals are no obstacle: the record needs none, has them, or is shown to those who
    /// are asked for them.
    fn passes_approval(&self, entry: &RecordEntry) -> Result<bool, Lacks> {
        if !entry.proposed {
            return Ok(true);
        }
        let Reader::Member { id, entry: member } = self.reader else { return Ok(true) };
        if member.organisation == entry.organisation {
            return Ok(true);
        }
        let chart = self.question.chart;
        let Some(proposal) = self.view.proposal(chart, entry.record)? else { return Ok(true) };
        Ok(proposal.is_final() || is_asked(self.view, chart, entry, proposal, (id, member))?)
    }
}

/// The rules of the grants that reach a member and are in force.
fn granted<'a>(
    view: &'a View,
    question: &Question,
    id: MemberId,
    entry: &Member,
    cutoff: Option<&Cutoff>,
) -> Result<Vec<Rule<'a>>, Lacks> {
    let mut rules = Vec::new();
    let chart = question.chart;
    for subject in subjects(id, entry, view.teams(chart)?) {
        let Some(list) = view.subject(chart, subject)? else { continue };
        for id in &list.grants {
            let grant = known_grant(view, chart, *id)?;
            if !grant.is_ended_by(cutoff) {
                rules.extend(rule_of(view, chart, *id, grant, question.time)?);
            }
        }
    }
    Ok(rules)
}

/// The rules of emergencies in which the member broke the glass, while its licence holds.
fn emergencies<'a>(
    view: &'a View,
    id: MemberId,
    question: &Question,
    (chart, cutoff): (&Chart, Option<&Cutoff>),
) -> Result<Vec<Rule<'a>>, Lacks> {
    let all = view.emergencies(question.chart)?.map_or(&[][..], |emergencies| &emergencies.all);
    let own = |emergency: &&Emergency| {
        emergency.member == id && cutoff.is_none_or(|cutoff| cutoff.before <= emergency.position)
    };
    // What is not left to emergencies any more is closed in those that are open, too.
    let left = |emergency: &Emergency| Emergency {
        compartments: emergency.compartments.and(chart.emergency),
        ..*emergency
    };
    let rules: Vec<_> =
        all.iter().filter(own).map(|emergency| Rule::of_emergency(&left(emergency))).collect();
    if rules.is_empty() {
        return Ok(rules);
    }
    let credentials = view.credentials(id)?;
    let licensed = credentials.is_some_and(|it| it.hold(CredentialKind::Licence, question.time));
    Ok(if licensed { rules } else { Vec::new() })
}

/// The rule of a grant; none of one that was passed on and has lost its ground.
fn rule_of<'a>(
    view: &'a View,
    chart: ChartId,
    id: GrantId,
    grant: &'a Grant,
    time: BlockTime,
) -> Result<Option<Rule<'a>>, Lacks> {
    let rule = Rule::of_grant(id, grant);
    let Some(Passed { from, by }) = grant.passed else { return Ok(Some(rule)) };
    let ground = known_grant(view, chart, from)?;
    let holds = reaches(view, chart, ground, by, time)?;
    Ok(holds.then(|| rule.within(&ground.terms)))
}

/// Whether a grant is in force and names a member who may act and is forbidden nothing of what it is about:
/// whoever is shut out does not let others in.
pub(crate) fn reaches(
    view: &View,
    chart: ChartId,
    grant: &Grant,
    id: MemberId,
    time: BlockTime,
) -> Result<bool, Lacks> {
    let Some(member) = view.member(id)? else { return Ok(false) };
    let organisation = view.organisation(member.organisation)?;
    let stands = !member.suspended && organisation.is_some_and(|it| !it.suspended);
    let ended =
        grant.revoked_at.is_some() || grant.is_ended_by(view.cutoff(chart, member.organisation)?);
    let subjects = subjects(id, member, view.teams(chart)?);
    if !stands || ended || !subjects.contains(&grant.terms.grantee) {
        return Ok(false);
    }
    for subject in subjects {
        let Some(list) = view.subject(chart, subject)? else { continue };
        for id in &list.grants {
            if forbids(&known_grant(view, chart, *id)?.terms, &grant.terms, time) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Whether these terms forbid, at `time`, any of what the others allow.
fn forbids(terms: &GrantTerms, of: &GrantTerms, time: BlockTime) -> bool {
    terms.effect == Effect::Deny
        && terms.window.contains(time)
        && !terms.compartments.and(of.compartments).is_empty()
        && !terms.kinds.and(of.kinds).is_empty()
        && !terms.purposes.and(of.purposes).is_empty()
}

fn known_grant(view: &View, chart: ChartId, id: GrantId) -> Result<&Grant, Lacks> {
    Ok(view.grant(chart, id)?.expect("a grant that is listed or was passed on exists"))
}

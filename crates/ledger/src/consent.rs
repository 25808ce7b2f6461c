//! Consent: the one rule by which grants that disagree are settled, and its explanation.
//!
//! Whoever controls a chart may open everything in it. For everyone else, each record is decided by
//! itself, from the grants that name the reader:
//!
//! 1. **Hard stops.** A record that still waits for approvals is for its own organisation and for its
//!    approvers, whatever a grant says. A compartment that needs separate consent is covered by grants
//!    of separate consent and by nothing else.
//! 2. **What applies.** A rule applies if it covers the record (compartment, kind, and, where it lists
//!    records, this one), the purpose is one of its purposes, its window contains block time, and its
//!    accesses are not used up. A rule that covers the record and fails one of the others is a *near
//!    miss*: it decides nothing, and makes the refusal say what was missing.
//! 3. **The most specific subject wins**: member, then role, then organisation, then everyone.
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
//! # Invariants
//!
//! * Rules stand in the order of precedence, so the first that applies decides.
//! * Limiting a permission never turns a refusal into a permission.
//! * What is read depends on the reader's own subjects: neither on how many grants the chart has nor on
//!   how many members the organisation has.
//! * Of permissions that are otherwise equal, one without a number of accesses comes first: an access
//!   uses up nothing that it does not need.
//!
//! Not here: whether the reader is who signed ([`crate::accountable`]), what an access names and
//! counts (`access`), and how old it may be when shares are released ([`crate::release`]).

use alloc::vec::Vec;
use core::fmt;

use keepwell_types::{
    access::{Purpose, RecordName},
    genesis::{OwnOrganisation, Parameters},
    grant::{Effect, GrantTerms, Grantee},
    id::{ChartId, Compartment, GrantId, LogPosition, MemberId, OrganisationId, RecordId},
    member::Party,
    outcome::Rejection,
    record::RecordKind,
    set::{CompartmentSet, KindSet, PurposeSet, RoleSet},
    time::{BlockTime, Window},
};
use minicbor::{Decode, Encode};
use serde::Serialize;

use crate::{
    state::{Chart, Grant, Member, RecordEntry},
    view::{Lacks, View},
};

/// What the chart's own organisation may do where the consortium has chosen
/// [`OwnOrganisation::OptOut`].
const OWN_PURPOSES: [Purpose; 5] = [
    Purpose::Treatment,
    Purpose::EmergencyTreatment,
    Purpose::Coordination,
    Purpose::Payment,
    Purpose::Operations,
];

/// Who wants to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reader {
    /// Whoever controls the chart.
    Controller,
    /// A member.
    Member {
        /// Who.
        member: MemberId,
        /// Whose member it is.
        organisation: OrganisationId,
        /// What it does there.
        roles: RoleSet,
    },
}

impl Reader {
    /// The member with this id and entry.
    pub const fn member(id: MemberId, entry: &Member) -> Self {
        Self::Member { member: id, organisation: entry.organisation, roles: entry.roles }
    }

    /// Everything that a grant to this reader can name, the most specific first.
    pub fn subjects(&self) -> Vec<Grantee> {
        let Self::Member { member, organisation, roles } = *self else { return Vec::new() };
        let mut subjects = Vec::with_capacity(3 + roles.len() as usize);
        subjects.push(Grantee::Member(member));
        subjects.extend(roles.iter().map(|role| Grantee::Role { organisation, role }));
        subjects.extend([Grantee::Organisation(organisation), Grantee::Everyone]);
        subjects
    }
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
}

impl Refusal {
    /// The refusal of an access that met both: the one that lacks more, of equals the first.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        if let (Self::SeparateConsent(one), Self::SeparateConsent(two)) = (self, other) {
            return Self::SeparateConsent(one.iter().chain(two.iter()).collect());
        }
        let both_wait = matches!((self, other), (Self::NotFinal(_), Self::NotFinal(_)));
        if both_wait || other < self { self } else { other }
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
    reader: Reader,
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
        reader: Reader,
        question: Question,
    ) -> Result<Self, Lacks> {
        let separate_consent = chart.separate_consent;
        let mut rules = Vec::new();
        for subject in reader.subjects() {
            let Some(list) = view.subject(question.chart, subject)? else { continue };
            for id in &list.grants {
                let grant = view.grant(question.chart, *id)?;
                let grant = grant.expect("each grant that a subject lists exists");
                rules.push(Rule::of_grant(*id, grant));
            }
        }
        if let (OwnOrganisation::OptOut, Reader::Member { organisation, .. }) =
            (parameters.own_organisation, reader)
            && organisation == chart.organisation
        {
            rules.push(Rule::of_own_organisation(organisation, separate_consent));
        }
        rules.sort_by_key(Rule::precedence);
        Ok(Self { view, reader, question, separate_consent, rules })
    }

    /// Whether the reader may open the record that stands at `position`.
    pub fn record(&self, position: LogPosition, entry: &RecordEntry) -> Result<Decision, Lacks> {
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

    /// [`Self::record`], with how each rule that covers the record fared.
    pub fn explain(&self, position: LogPosition, entry: &RecordEntry) -> Result<Trace, Lacks> {
        let decision = self.record(position, entry)?;
        Ok(Trace { decision, ..self.explain_item(&Item::of(position, entry)) })
    }

    /// [`Self::explain`] without the hard stops on single records: for any record of a kind in a
    /// compartment, if `item` names none.
    pub fn explain_item(&self, item: &Item) -> Trace {
        let decider = self.decider(item).map(|rule| rule.origin);
        let covering = self.rules.iter().filter(|rule| rule.covers(item));
        let steps = covering.map(|rule| rule.step(&self.question, decider)).collect();
        let (compartment, kind) = (item.compartment, item.kind);
        Trace { compartment, kind, steps, decision: self.decide(item) }
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

    /// Whether approvals are no obstacle: the record needs none, has them, or is shown to those who
    /// give them.
    fn passes_approval(&self, entry: &RecordEntry) -> Result<bool, Lacks> {
        if !entry.proposed {
            return Ok(true);
        }
        let Reader::Member { member, organisation, .. } = self.reader else { return Ok(true) };
        if organisation == entry.organisation {
            return Ok(true);
        }
        let proposal = self.view.proposal(self.question.chart, entry.record)?;
        Ok(proposal
            .is_none_or(|it| it.is_final() || it.rule.parties.contains(&Party::Member(member))))
    }
}

/// One rule, of a grant or of the consortium.
#[derive(Clone, Debug)]
struct Rule<'a> {
    origin: Origin,
    effect: Effect,
    grantee: Grantee,
    object: Object,
    compartments: CompartmentSet,
    kinds: KindSet,
    records: &'a [RecordName],
    purposes: PurposeSet,
    window: Window,
    count: Option<Count<'a>>,
    given_at: BlockTime,
}

/// How many accesses a grant has left.
#[derive(Clone, Copy, Debug)]
struct Count<'a> {
    max: u32,
    used: u32,
    /// Positions of the latest accesses, the newest last.
    latest: &'a [LogPosition],
}

impl Count<'_> {
    fn allows(&self, counting: Counting) -> bool {
        match counting {
            Counting::Opening => self.used < self.max,
            Counting::Opened(position) => {
                let later = self.latest.iter().rev().position(|at| *at == position);
                later.is_some_and(|later| self.used as usize - later <= self.max as usize)
            }
        }
    }
}

impl<'a> Rule<'a> {
    fn of_grant(id: GrantId, grant: &'a Grant) -> Self {
        let terms = &grant.terms;
        Self {
            origin: Origin::Grant(id),
            effect: terms.effect,
            grantee: terms.grantee,
            object: grant.object,
            compartments: terms.compartments,
            kinds: terms.kinds,
            records: &terms.records,
            purposes: terms.purposes,
            window: terms.window,
            count: terms.accesses_max.map(|max| Count {
                max,
                used: grant.accesses_used,
                latest: &grant.counted,
            }),
            given_at: grant.given_at,
        }
    }

    fn of_own_organisation(organisation: OrganisationId, separate_consent: CompartmentSet) -> Self {
        Self {
            origin: Origin::OwnOrganisation,
            effect: Effect::Allow,
            grantee: Grantee::Organisation(organisation),
            object: Object::Chart,
            compartments: CompartmentSet::all().without(separate_consent),
            kinds: KindSet::all(),
            records: &[],
            purposes: PurposeSet::from_iter(OWN_PURPOSES),
            window: Window { from: BlockTime(0), until: BlockTime(u64::MAX) },
            count: None,
            given_at: BlockTime(0),
        }
    }

    /// Orders rules: a smaller one is decided first. What comes after deny never changes whether a
    /// reader may, only which rule is named and counted.
    fn precedence(&self) -> impl Ord + use<> {
        let subject = match self.grantee {
            Grantee::Member(_) => 0,
            Grantee::Role { .. } => 1,
            Grantee::Organisation(_) => 2,
            Grantee::Everyone => 3,
        };
        let allows = self.effect == Effect::Allow;
        (subject, self.object, allows, self.count.is_some(), self.given_at, self.origin)
    }

    fn covers(&self, item: &Item) -> bool {
        let listed = match &item.record {
            Some(name) => self.records.is_empty() || self.records.contains(name),
            None => self.records.is_empty(),
        };
        self.compartments.contains(item.compartment) && self.kinds.contains(item.kind) && listed
    }

    /// Whether a rule that covers an item applies, or what it lacks.
    fn fit(&self, question: &Question) -> Result<(), Refusal> {
        if !self.purposes.contains(question.purpose) {
            return Err(Refusal::PurposeNotGranted);
        }
        if !self.window.contains(question.time) {
            return Err(Refusal::OutsideWindow);
        }
        // A prohibition is never used up.
        let counts = self.effect == Effect::Allow;
        if counts && self.count.is_some_and(|count| !count.allows(question.counting)) {
            return Err(Refusal::AccessesUsedUp);
        }
        Ok(())
    }

    fn step(&self, question: &Question, decider: Option<Origin>) -> Step {
        let fared = match self.fit(question) {
            Ok(()) if decider == Some(self.origin) => Fared::Decides,
            Ok(()) => Fared::Overruled,
            Err(refusal) => Fared::Misses(refusal),
        };
        Step {
            origin: self.origin,
            effect: self.effect,
            grantee: self.grantee,
            object: self.object,
            given_at: self.given_at,
            fared,
        }
    }
}

/// What a rule is about, from the most specific to the least.
#[derive(Clone, Copy, Debug, Decode, Encode, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[cbor(index_only)]
#[serde(rename_all = "snake_case")]
pub enum Object {
    /// Listed records.
    #[n(0)]
    Records,
    /// Some kinds of records.
    #[n(1)]
    Kinds,
    /// All kinds in some compartments.
    #[n(2)]
    Compartments,
    /// Every compartment that such a rule can name.
    #[n(3)]
    Chart,
}

impl Object {
    /// What a grant of these terms is about, in a chart with these compartments of separate consent.
    pub(crate) fn of(terms: &GrantTerms, separate_consent: CompartmentSet) -> Self {
        let nameable = if terms.separate_consent {
            separate_consent
        } else {
            CompartmentSet::all().without(separate_consent)
        };
        if !terms.records.is_empty() {
            Self::Records
        } else if terms.kinds != KindSet::all() {
            Self::Kinds
        } else if terms.compartments != nameable {
            Self::Compartments
        } else {
            Self::Chart
        }
    }
}

/// Why a record may be opened or not: each rule that covers it, in the order of precedence.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Trace {
    /// The record's compartment.
    pub compartment: Compartment,
    /// The record's kind.
    pub kind: RecordKind,
    /// How each rule fared.
    pub steps: Vec<Step>,
    /// What came of it, hard stops included.
    pub decision: Decision,
}

/// One rule in a [`Trace`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Step {
    /// Where the rule comes from.
    pub origin: Origin,
    /// Allow or deny.
    pub effect: Effect,
    /// Whom it names.
    pub grantee: Grantee,
    /// What it is about.
    pub object: Object,
    /// When it was given.
    pub given_at: BlockTime,
    /// How it fared.
    pub fared: Fared,
}

/// How a rule that covers a record fared.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fared {
    /// It decides.
    Decides,
    /// It applies, and another has precedence.
    Overruled,
    /// It does not apply, for want of this.
    Misses(Refusal),
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.decision {
            Decision::Allowed(origin) => write!(f, "allowed by {origin}")?,
            Decision::Refused(refusal) => write!(f, "refused: {}", Rejection::from(refusal))?,
        }
        self.steps.iter().zip(1..).try_for_each(|(step, place)| write!(f, "\n{place}. {step}"))
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.effect {
            Effect::Allow => "allows",
            Effect::Deny => "forbids",
        };
        write!(f, "{} {verb} ", self.origin)?;
        match self.grantee {
            Grantee::Member(member) => write!(f, "member {member}")?,
            Grantee::Role { organisation, role } => {
                write!(f, "the role {role} of organisation {organisation}")?;
            }
            Grantee::Organisation(organisation) => write!(f, "organisation {organisation}")?,
            Grantee::Everyone => write!(f, "everyone")?,
        }
        let object = match self.object {
            Object::Records => "listed records",
            Object::Kinds => "some kinds",
            Object::Compartments => "some compartments",
            Object::Chart => "the chart",
        };
        write!(f, " {object}: ")?;
        match self.fared {
            Fared::Decides => write!(f, "decides"),
            Fared::Overruled => write!(f, "overruled by one that comes before it"),
            Fared::Misses(refusal) => write!(f, "does not apply: {}", Rejection::from(refusal)),
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Controller => write!(f, "control of the chart"),
            Self::Grant(id) => write!(f, "grant {id}"),
            Self::OwnOrganisation => write!(f, "the rule for the chart's own organisation"),
        }
    }
}

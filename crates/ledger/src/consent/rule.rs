//! One rule: what it is about, whether it applies, and where it stands among the others.

use keepwell_types::{
    access::{Purpose, RecordName},
    grant::{Effect, GrantTerms, Grantee},
    id::{GrantId, LogPosition, OrganisationId},
    set::{CompartmentSet, KindSet, PurposeSet},
    time::{BlockTime, Window},
};
use minicbor::{Decode, Encode};
use serde::Serialize;

use super::{Counting, Fared, Item, Origin, Question, Refusal, Step};
use crate::state::{Emergency, Grant};

/// What the chart's own organisation may do where the consortium has chosen
/// [`OwnOrganisation::OptOut`].
const OWN_PURPOSES: [Purpose; 5] = [
    Purpose::Treatment,
    Purpose::EmergencyTreatment,
    Purpose::Coordination,
    Purpose::Payment,
    Purpose::Operations,
];

/// One rule, of a grant or of the consortium.
#[derive(Clone, Debug)]
pub(super) struct Rule<'a> {
    pub(super) origin: Origin,
    pub(super) effect: Effect,
    grantee: Grantee,
    object: Object,
    compartments: CompartmentSet,
    kinds: KindSet,
    records: &'a [RecordName],
    purposes: PurposeSet,
    window: Window,
    count: Option<Count<'a>>,
    given_at: BlockTime,
    /// Whether every prohibition comes before it.
    yields: bool,
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
    pub(super) fn of_grant(id: GrantId, grant: &'a Grant) -> Self {
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
            yields: grant.passed.is_some(),
        }
    }

    pub(super) fn of_emergency(emergency: &Emergency) -> Self {
        Self {
            origin: Origin::Emergency(emergency.position),
            effect: Effect::Allow,
            grantee: Grantee::Member(emergency.member),
            object: Object::Compartments,
            compartments: emergency.compartments,
            kinds: KindSet::all(),
            records: &[],
            purposes: PurposeSet::EMPTY.with(Purpose::BreakGlass),
            window: emergency.open,
            count: None,
            given_at: emergency.open.from,
            yields: true,
        }
    }

    /// The rule, with no more than the terms of the grant that it was passed on from allow by now.
    pub(super) fn within(self, ground: &GrantTerms) -> Self {
        let from = self.window.from.max(ground.window.from);
        let until = self.window.until.min(ground.window.until);
        Self {
            compartments: self.compartments.and(ground.compartments),
            kinds: self.kinds.and(ground.kinds),
            purposes: self.purposes.and(ground.purposes),
            window: Window { from, until },
            ..self
        }
    }

    pub(super) fn of_own_organisation(
        organisation: OrganisationId,
        separate_consent: CompartmentSet,
    ) -> Self {
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
            yields: false,
        }
    }

    /// Orders rules: a smaller one is decided first. What comes after deny never changes whether a
    /// reader may, only which rule is named and counted.
    pub(super) fn precedence(&self) -> impl Ord + use<> {
        let subject = match self.grantee {
            Grantee::Member(_) => 0,
            Grantee::Role { .. } | Grantee::Team(_) | Grantee::Group(_) => 1,
            Grantee::Organisation(_) => 2,
            Grantee::Everyone => 3,
        };
        let allows = self.effect == Effect::Allow;
        let counts = self.count.is_some();
        (self.yields, subject, self.object, allows, counts, self.given_at, self.origin)
    }

    pub(super) fn covers(&self, item: &Item) -> bool {
        let listed = match &item.record {
            Some(name) => self.records.is_empty() || self.records.contains(name),
            None => self.records.is_empty(),
        };
        self.compartments.contains(item.compartment) && self.kinds.contains(item.kind) && listed
    }

    /// Whether a rule that covers an item applies, or what it lacks.
    pub(super) fn fit(&self, question: &Question) -> Result<(), Refusal> {
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

    pub(super) fn step(&self, question: &Question, decider: Option<Origin>) -> Step {
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

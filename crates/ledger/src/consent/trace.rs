//! Why a record may be opened or not, for people.

use alloc::vec::Vec;
use core::fmt;

use keepwell_types::{
    grant::{Effect, Grantee},
    id::Compartment,
    outcome::Rejection,
    record::RecordKind,
    time::BlockTime,
};
use serde::Serialize;

use super::{Decision, Object, Origin, Refusal};

/// Why a record may be opened or not: each rule that covers it, in the order of precedence.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Trace {
    /// The record's compartment.
    pub compartment: Compartment,
    /// The record's kind.
    pub kind: RecordKind,
    /// What comes before every rule, whether it stops this reader or not.
    pub stops: Vec<Stop>,
    /// How each rule fared.
    pub steps: Vec<Step>,
    /// What came of it, hard stops included.
    pub decision: Decision,
}

/// A hard stop: something about a record that comes before every rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Stop {
    /// What it is.
    pub cause: Cause,
    /// Whether it stops this reader, for this purpose.
    pub stops: bool,
}

/// What a hard stop is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The record is redacted.
    Redacted,
    /// The patient restricts its processing.
    Restricted,
    /// The patient paid for it.
    SelfPay,
    /// It waits for approvals.
    Proposed,
    /// Its compartment needs separate consent.
    SeparateConsent,
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
        self.stops.iter().try_for_each(|stop| write!(f, "\n-  {stop}"))?;
        self.steps.iter().zip(1..).try_for_each(|(step, place)| write!(f, "\n{place}. {step}"))
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, whom) = match self.cause {
            Cause::Redacted => ("the record is redacted", "nobody reads it"),
            Cause::Restricted => {
                ("the patient restricts its processing", "it is read for legal claims only")
            }
            Cause::SelfPay => ("the patient paid for it", "no insurer reads it"),
            Cause::Proposed => (
                "it waits for approvals",
                "it is read by its organisation and by those who approve it",
            ),
            Cause::SeparateConsent => (
                "its compartment needs separate consent",
                "no rule but a grant of separate consent covers it",
            ),
        };
        let stops = if self.stops { "stops this reader" } else { "does not stop this reader" };
        write!(f, "{what}, so {whom}: {stops}")
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
            Grantee::Team(team) => write!(f, "care team {team}")?,
            Grantee::Group(group) => write!(f, "group {group}")?,
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
            Self::Emergency(position) => write!(f, "the emergency at {position}"),
            Self::OwnOrganisation => write!(f, "the rule for the chart's own organisation"),
        }
    }
}

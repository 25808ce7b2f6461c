//! Sign-off: whose approvals make a proposed record final, and what each signature says.
//!
//! ```text
//! rule     authorship: author;                        step 0
//!          review: 2 of (nurse@chart, 2 clinician@chart, member:0a..);    step 1, open once step 0 is met
//!          approval: all(licence@author, patient);    step 2
//!          within 14 days                             from the record's entry
//!
//! step 1   2 of 3 ── seat 1  nurse@chart          x 1
//!                 ├─ seat 2  clinician@chart      x 2
//!                 └─ seat 3  member:0a..          x 1
//! ```
//!
//! A *seat* is a leaf of a step: who may sign there, and how many different parties must. Seats are numbered through
//! all steps, from 0. Whoever approves names the seat, so that nobody is counted for two.
//!
//! The tree of a step is written flat, each branch before what it is of, and read from its end: neither a decoder nor an
//! evaluation descends, whatever bytes come in.
//!
//! # Invariants
//!
//! * A rule that passed [`ApprovalRule::check`] can be met by different parties, if there are such.
//! * All seats together count at most [`APPROVERS_MAX`] approvals.
//!
//! Not here: whether a party is one that a seat is for (`keepwell-ledger`); how people write rules ([`text`]).

pub mod text;

use alloc::vec::Vec;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{
    credential::CredentialKind,
    encoding::List,
    id::{MemberId, OrganisationId},
    limits::{APPROVERS_MAX, SIGN_OFF_DEPTH_MAX, SIGN_OFF_NEEDS_MAX, SIGN_OFF_STEPS_MAX},
    member::Role,
    record::RecordKind,
    set::{KindSet, vocabulary},
    time::BlockTime,
};

vocabulary! {
    /// What a signature says (21 CFR 11.50(a)(3)).
    Meaning {
        /// I wrote it.
        Authorship = 0, "authorship";
        /// I have read it.
        Review = 1, "review";
        /// I approve it.
        Approval = 2, "approval";
        /// I answer for it.
        Responsibility = 3, "responsibility";
        /// I have checked it against what it is about.
        Verification = 4, "verification";
        /// I was there when it was agreed to.
        Witness = 5, "witness";
        /// I agree to it.
        Consent = 6, "consent";
        /// I have given out what it orders.
        Dispensing = 7, "dispensing";
    }
}

/// Which organisation a seat is of.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// The one that the record is from.
    #[n(0)]
    Author,
    /// The chart's.
    #[n(1)]
    Chart,
    /// This one.
    #[n(2)]
    Organisation(#[n(0)] OrganisationId),
}

/// Who may take a seat.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Approver {
    /// The patient, with the chart's key; nobody while an organisation still holds that key.
    #[n(0)]
    Patient,
    /// Who added the record.
    #[n(1)]
    Author,
    /// This member.
    #[n(2)]
    Member(#[n(0)] MemberId),
    /// The administrator of this organisation.
    #[n(3)]
    Administrator(#[n(0)] OrganisationId),
    /// Members who have this role there when they sign.
    #[n(4)]
    Role(#[n(0)] Role, #[n(1)] Of),
    /// Members there with a credential of this kind that holds when they sign.
    #[n(5)]
    Credential(#[n(0)] CredentialKind, #[n(1)] Of),
    /// A proxy of the patient that may sign, in force when it signs and for the record's compartment.
    #[n(6)]
    Proxy,
}

impl Approver {
    /// Whether no more than one party can ever take the seat.
    const fn is_one_party(&self) -> bool {
        match self {
            Self::Patient | Self::Author | Self::Member(_) | Self::Administrator(_) => true,
            Self::Role(..) | Self::Credential(..) | Self::Proxy => false,
        }
    }
}

/// A part of a step's tree.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// A seat.
    #[n(0)]
    Seat(#[n(0)] Seat),
    /// So many of the branches that follow.
    #[n(1)]
    AtLeast(#[n(0)] AtLeast),
}

/// `min` different parties of one kind.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Seat {
    /// Who they are.
    #[n(0)]
    pub who: Approver,
    /// How many must sign.
    #[n(1)]
    pub min: u8,
}

/// `min` of the next `branches` branches: all of them, any of them, or some number between.
#[derive(Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct AtLeast {
    /// How many must be met.
    #[n(0)]
    pub min: u8,
    /// How many there are.
    #[n(1)]
    pub branches: u8,
}

/// Approvals that may be given at the same time and say the same.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct Step {
    /// What each signature in it says.
    #[n(0)]
    pub meaning: Meaning,
    /// Its tree.
    #[n(1)]
    pub needs: List<Need, SIGN_OFF_NEEDS_MAX>,
}

/// Whose approvals make a proposed record final.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct ApprovalRule {
    /// One after the other: a step opens once those before it are met.
    #[n(0)]
    pub steps: List<Step, SIGN_OFF_STEPS_MAX>,
    /// How long it waits from the record's entry on, in milliseconds; for ever, if this says nothing.
    #[n(1)]
    pub within_ms: Option<u64>,
}

/// What the consortium asks of records of some kinds.
#[derive(Clone, Debug, Decode, Deserialize, Encode, Eq, PartialEq, Serialize)]
pub struct KindRule {
    /// The kinds; each stands in one rule at most.
    #[n(0)]
    pub kinds: KindSet,
    /// What such a record waits for, unless its author asks for more.
    #[n(1)]
    pub rule: ApprovalRule,
    /// Whether an author may also ask for less.
    #[n(2)]
    pub or_less: bool,
}

/// Where a seat is, and what signing there says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// The step, from 0.
    pub step: usize,
    /// What a signature says.
    pub meaning: Meaning,
    /// The seat.
    pub seat: Seat,
}

impl ApprovalRule {
    /// The seats, in the order of their numbers.
    pub fn seats(&self) -> impl Iterator<Item = Place> {
        self.steps.iter().enumerate().flat_map(|(number, step)| {
            step.seats().map(move |seat| Place { step: number, meaning: step.meaning, seat })
        })
    }

    /// The seat of this number.
    pub fn seat(&self, number: u8) -> Option<Place> {
        self.seats().nth(usize::from(number))
    }

    /// How many steps are met, from the first on; `taken` says how many have signed at a seat.
    pub fn steps_met(&self, taken: impl Fn(u8) -> usize) -> usize {
        let mut first = 0_usize;
        let is_met = |step: &&Step| {
            let here = first;
            first += step.seats().count();
            step.fold(
                |at, seat| number(here + at).is_some_and(|it| taken(it) >= usize::from(seat.min)),
                |it, met| met.iter().filter(|met| **met).count() >= usize::from(it.min),
            )
            .is_some_and(|met| met)
        };
        self.steps.iter().take_while(is_met).count()
    }

    /// First instant at which nobody approves any more a record that entered at `entered`.
    pub fn until(&self, entered: BlockTime) -> Option<BlockTime> {
        self.within_ms.map(|within_ms| entered.plus_ms(within_ms))
    }

    /// Whether it can be met at all: each step is one tree within the limits, asks for no more than it has, and names
    /// nobody twice.
    pub fn check(&self) -> bool {
        let seats: Vec<Seat> = self.seats().map(|place| place.seat).collect();
        let parties: usize = seats.iter().map(|seat| usize::from(seat.min)).sum();
        let once = |(place, seat): (usize, &Seat)| {
            let one = seat.who.is_one_party();
            seat.min > 0
                && !(one && seat.min > 1)
                && !(one && seats[..place].iter().any(|earlier| earlier.who == seat.who))
        };
        !self.steps.is_empty()
            && self.within_ms != Some(0)
            && parties <= APPROVERS_MAX
            && self.steps.iter().all(Step::is_tree)
            && seats.iter().enumerate().all(once)
    }

    /// Whether whatever makes a record final by this rule would by `other` as well: it has each step of `other` as it
    /// is and in their order, with more steps perhaps, and waits no longer.
    ///
    /// It is what one can see at a glance. A rule may be stricter in a way that this does not see; its author then
    /// adds a step.
    pub fn is_as_strict_as(&self, other: &Self) -> bool {
        let mut steps = self.steps.iter();
        let has_all = other.steps.iter().all(|needed| steps.any(|step| step == needed));
        let ends = match (self.within_ms, other.within_ms) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(most)) => own <= most,
        };
        has_all && ends
    }
}

impl Step {
    /// Its seats, in order.
    fn seats(&self) -> impl Iterator<Item = Seat> {
        self.needs.iter().filter_map(|need| match need {
            Need::Seat(seat) => Some(*seat),
            Need::AtLeast(_) => None,
        })
    }

    /// Whether its needs are one tree, not too deep, and no branch asks for more than it has.
    fn is_tree(&self) -> bool {
        let depth = self.fold(
            |_, _| Some(1),
            |it, depths: &[Option<usize>]| {
                let fits = it.min > 0 && it.min <= it.branches;
                let deepest =
                    depths.iter().copied().collect::<Option<Vec<_>>>()?.into_iter().max()?;
                fits.then_some(deepest + 1)
            },
        );
        depth.flatten().is_some_and(|depth| depth <= SIGN_OFF_DEPTH_MAX)
    }

    /// Works the tree up from its seats, each with its place among the step's; nothing, if it is not one tree.
    fn fold<T>(
        &self,
        seat: impl Fn(usize, Seat) -> T,
        at_least: impl Fn(AtLeast, &[T]) -> T,
    ) -> Option<T> {
        let mut above = self.seats().count();
        // What was worked out, the last branch first.
        let mut done: Vec<T> = Vec::new();
        for need in self.needs.iter().rev() {
            let worked_out = match need {
                Need::Seat(it) => {
                    above -= 1;
                    seat(above, *it)
                }
                Need::AtLeast(it) => {
                    let first = done.len().checked_sub(usize::from(it.branches))?;
                    let worked_out = at_least(*it, &done[first..]);
                    done.truncate(first);
                    worked_out
                }
            };
            done.push(worked_out);
        }
        let root = done.pop()?;
        done.is_empty().then_some(root)
    }
}

/// The number of a seat.
fn number(place: usize) -> Option<u8> {
    u8::try_from(place).ok()
}

/// The rule of the consortium for records of a kind.
pub fn rule_for(rules: &[KindRule], kind: RecordKind) -> Option<&KindRule> {
    rules.iter().find(|rule| rule.kinds.contains(kind))
}

/// The first of the consortium's rules that no record could meet, or that speaks of a kind that one before it
/// speaks of.
pub fn first_fault(rules: &[KindRule]) -> Option<usize> {
    rules.iter().enumerate().position(|(place, rule)| {
        let again = rules[..place].iter().any(|it| !it.kinds.and(rule.kinds).is_empty());
        again || rule.kinds.is_empty() || !rule.rule.check()
    })
}

#[cfg(test)]
mod tests;

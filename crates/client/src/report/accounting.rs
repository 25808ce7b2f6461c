//! The accounting of disclosures (45 CFR 164.528), from the looks at one chart.
//!
//! ```text
//! looks ── outside the window? ── refused? ── not to be accounted for? ── suspended? ──> listed
//!              counted             counted     counted, by its ground      recorded
//! ```
//!
//! # Invariants
//!
//! * Every look is listed, or counted under exactly one reason: the sums are compared.
//! * A disclosure is left out only on a ground that the rule has. A grant of the patient is not taken for an
//!   authorisation (164.508) unless the organisation says that it is: it lacks statements that one must have.
//! * A suspension leaves out what went to its agency while it holds, at the instant of the report, and no longer; an
//!   oral one holds thirty days at most. Who gets the accounting does not learn of it; who makes it gets the list of
//!   what is missing.
//!
//! Not here: the patient's own log, which no suspension touches ([`super::looks`]).

use std::collections::{BTreeMap, BTreeSet};

use keepwell_ledger::consent::Origin;
use keepwell_types::{
    access::Purpose,
    id::{GrantId, OrganisationId},
    member::Party,
    time::{BlockTime, Window},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::looks::{By, Look, Looks};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// For how long back disclosures are accounted for: six years, with their leap days.
pub const ACCOUNTED_MS: u64 = (6 * 365 + 2) * DAY_MS;
/// For how long an oral statement suspends an accounting (164.528(a)(2)(ii)(C)).
pub const ORAL_MS_MAX: u64 = 30 * DAY_MS;
/// Suspensions in one file.
pub const SUSPENSIONS_MAX: usize = 1_024;

/// Why a look is not in an accounting.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeftOut {
    /// It is not of the time that is accounted for.
    OutsideWindow,
    /// It was refused: nothing was disclosed.
    Refused,
    /// A use within the organisation that accounts, and no disclosure.
    Inside,
    /// To the individual, or whoever controls the chart (164.528(a)(1)(ii)).
    Individual,
    /// For treatment (164.528(a)(1)(i)).
    Treatment,
    /// For payment (164.528(a)(1)(i)).
    Payment,
    /// For health-care operations (164.528(a)(1)(i)).
    Operations,
    /// To persons involved in the individual's care (164.528(a)(1)(v)).
    Involved,
    /// By an authorisation (164.528(a)(1)(iv)).
    Authorised,
}

impl LeftOut {
    /// In words, with the rule.
    pub const fn text(self) -> &'static str {
        match self {
            Self::OutsideWindow => "not of the time that is accounted for",
            Self::Refused => "refused, so that nothing was disclosed",
            Self::Inside => "used within the organisation, which is no disclosure",
            Self::Individual => "to the individual (45 CFR 164.528(a)(1)(ii))",
            Self::Treatment => "for treatment (164.528(a)(1)(i))",
            Self::Payment => "for payment (164.528(a)(1)(i))",
            Self::Operations => "for health-care operations (164.528(a)(1)(i))",
            Self::Involved => "to persons involved in the care (164.528(a)(1)(v))",
            Self::Authorised => "by an authorisation (164.528(a)(1)(iv))",
        }
    }
}

/// A statement of an agency that an accounting would impede it (164.528(a)(2)).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Suspension {
    /// The agency, or whose official asked.
    pub recipient: OrganisationId,
    /// While this holds, in milliseconds since 1970.
    pub window: Window,
    /// Whether it was said, and not written.
    #[serde(default)]
    pub oral: bool,
    /// What was said, by whom: for the organisation's own file.
    #[serde(default)]
    pub statement: String,
}

/// A suspension that the rule does not allow.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum SuspensionFault {
    /// An oral statement holds thirty days.
    #[error(
        "an oral statement suspends an accounting for thirty days at most (45 CFR 164.528(a)(2)(ii)); shorten its window, or get it in writing"
    )]
    OralTooLong,
    /// Nothing is in its window.
    #[error("the window of a suspension is empty: its end must come after its beginning")]
    Empty,
    /// Too many.
    #[error("a file has {SUSPENSIONS_MAX} suspensions at most; remove those that are over")]
    TooMany,
}

impl Suspension {
    /// Whether the rule allows it.
    pub const fn check(&self) -> Result<(), SuspensionFault> {
        if self.window.is_empty() {
            return Err(SuspensionFault::Empty);
        }
        if self.oral && self.window.len_ms() > ORAL_MS_MAX {
            return Err(SuspensionFault::OralTooLong);
        }
        Ok(())
    }
}

/// Checks all suspensions of a file.
pub fn check_suspensions(all: &[Suspension]) -> Result<(), SuspensionFault> {
    if all.len() > SUSPENSIONS_MAX {
        return Err(SuspensionFault::TooMany);
    }
    all.iter().try_for_each(Suspension::check)
}

/// What is accounted for, and how.
#[derive(Clone, Debug)]
pub struct Scope<'a> {
    /// Disclosures of this time.
    pub window: Window,
    /// The instant of the report.
    pub now: BlockTime,
    /// List what the rule leaves out, too; what is suspended is left out all the same.
    pub all: bool,
    /// Grants that the organisation holds to be authorisations under 164.508.
    pub authorised: &'a BTreeSet<GrantId>,
    /// What agencies have asked for.
    pub suspensions: &'a [Suspension],
}

/// What became of the looks.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Totals {
    /// All looks of the chart.
    pub looks: usize,
    /// Listed.
    pub listed: usize,
    /// Not listed, by reason.
    pub left_out: BTreeMap<LeftOut, usize>,
    /// Suspended; whoever gets the accounting is not told.
    #[serde(skip)]
    pub suspended: usize,
}

/// A line of an accounting.
#[derive(Clone, Copy, Debug)]
pub struct Disclosure<'a> {
    /// The look.
    pub look: &'a Look,
    /// Why the rule would leave it out; it is listed because all was asked for.
    pub beyond: Option<LeftOut>,
}

/// Several disclosures to one recipient for one purpose (164.528(b)(3)).
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Summary {
    /// Place of the first, among the looks.
    pub first: usize,
    /// How many there were.
    pub count: usize,
    /// When the last was.
    pub last: BlockTime,
}

/// Goes through the looks in order: what is to be listed is given to `list`, what an agency had suspended to
/// `suspended`.
///
/// # Panics
///
/// If a look was neither listed nor counted, which is a fault here.
pub fn account<'a>(
    looks: &'a Looks,
    scope: &Scope<'_>,
    mut list: impl FnMut(usize, Disclosure<'a>),
    mut suspended: impl FnMut(&'a Look),
) -> Totals {
    let mut totals = Totals { looks: looks.looks.len(), ..Totals::default() };
    for (place, look) in looks.looks.iter().enumerate() {
        let left_out = left_out(looks, scope, look);
        let beyond = left_out.filter(|_| scope.all && scope.window.contains(look.time));
        if let (Some(reason), None) = (left_out, beyond) {
            *totals.left_out.entry(reason).or_default() += 1;
        } else if is_suspended(looks, scope, look) {
            totals.suspended += 1;
            suspended(look);
        } else {
            totals.listed += 1;
            list(place, Disclosure { look, beyond });
        }
    }
    let counted = totals.left_out.values().sum::<usize>() + totals.suspended + totals.listed;
    assert_eq!(counted, totals.looks, "each look is listed or counted once");
    totals
}

/// Puts the disclosures to one recipient for one purpose together.
pub fn summarise(looks: &Looks, scope: &Scope<'_>) -> (Vec<Summary>, Totals) {
    let mut places: BTreeMap<(Option<OrganisationId>, Party, Purpose), usize> = BTreeMap::new();
    let mut summaries: Vec<Summary> = Vec::new();
    let totals = account(
        looks,
        scope,
        |first, Disclosure { look, .. }| {
            let organisation = looks.reader_is(look).map(|it| it.organisation);
            // A recipient is an organisation; one who is of none stands alone.
            let party = match organisation {
                Some(organisation) => Party::Administrator(organisation),
                None => looks.reader(look),
            };
            let next = summaries.len();
            let at = *places.entry((organisation, party, look.purpose)).or_insert(next);
            match summaries.get_mut(at) {
                Some(known) => {
                    known.count += 1;
                    known.last = known.last.max(look.time);
                }
                None => summaries.push(Summary { first, count: 1, last: look.time }),
            }
        },
        |_| {},
    );
    (summaries, totals)
}

fn left_out(looks: &Looks, scope: &Scope<'_>, look: &Look) -> Option<LeftOut> {
    if !scope.window.contains(look.time) {
        return Some(LeftOut::OutsideWindow);
    }
    if look.refused.is_some() {
        return Some(LeftOut::Refused);
    }
    if matches!(looks.reader(look), Party::Controller(_)) {
        let inside = looks.is_by_agent(look);
        return Some(if inside { LeftOut::Inside } else { LeftOut::Individual });
    }
    if looks.reader_is(look).is_some_and(|it| it.organisation == looks.organisation) {
        return Some(LeftOut::Inside);
    }
    match look.purpose {
        Purpose::Treatment
        | Purpose::EmergencyTreatment
        | Purpose::BreakGlass
        | Purpose::Coordination => Some(LeftOut::Treatment),
        Purpose::Payment => Some(LeftOut::Payment),
        Purpose::Operations | Purpose::Administration => Some(LeftOut::Operations),
        Purpose::FamilyRequest => Some(LeftOut::Involved),
        Purpose::Research
        | Purpose::ClinicalTrial
        | Purpose::PublicHealth
        | Purpose::PatientRequest
        | Purpose::Legal => is_authorised(looks, scope, look).then_some(LeftOut::Authorised),
    }
}

/// Whether all of it was allowed by authorisations.
fn is_authorised(looks: &Looks, scope: &Scope<'_>, look: &Look) -> bool {
    let By::Rules(rules) = looks.by(look) else { return false };
    let authorised =
        |it: &Origin| matches!(it, Origin::Grant(grant) if scope.authorised.contains(grant));
    !rules.is_empty() && rules.iter().all(authorised)
}

fn is_suspended(looks: &Looks, scope: &Scope<'_>, look: &Look) -> bool {
    let Some(reader) = looks.reader_is(look) else { return false };
    let holds = |it: &Suspension| {
        it.recipient == reader.organisation && it.window.contains(scope.now) && it.check().is_ok()
    };
    scope.suspensions.iter().any(holds)
}

#[cfg(test)]
mod tests;

//! How people write a sign-off rule, and how a rule is shown to them.
//!
//! ```text
//! rule  = step *( ";" step ) [ ";" "within" number unit ]     unit: days, hours, minutes, seconds
//! step  = meaning ":" need
//! need  = ( "any" / "all" / number "of" ) "(" need *( "," need ) ")" / [ number ] who
//! who   = "patient" / "author" / "member:" id / "administrator:" id / ( role / credential ) "@" where
//! where = "author" / "chart" / id
//! ```
//!
//! Spaces and line breaks are where one likes. `2 clinician@chart` are two different clinicians of the chart's
//! organisation.

use alloc::{
    string::{String, ToString as _},
    vec::Vec,
};
use core::{
    fmt::{self, Display, Formatter},
    str::FromStr,
};

use thiserror::Error;

use super::{ApprovalRule, Approver, AtLeast, Meaning, Need, Of, Seat, Step};
use crate::{credential::CredentialKind, encoding::List, limits::SIGN_OFF_DEPTH_MAX, member::Role};

const UNITS: [(&str, u64); 4] =
    [("days", 86_400_000), ("hours", 3_600_000), ("minutes", 60_000), ("seconds", 1_000)];

/// Why a text is no rule.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum RuleTextError {
    /// Something else was expected.
    #[error("{expected} was expected at {rest:?}")]
    Expected {
        /// What.
        expected: &'static str,
        /// What stands there, without spaces.
        rest: String,
    },
    /// It can be read and never be met.
    #[error(
        "the rule can never be met, is too deep or too large, or names somebody twice; see docs/signoff.md"
    )]
    Unmeetable,
}

impl FromStr for ApprovalRule {
    type Err = RuleTextError;

    fn from_str(text: &str) -> Result<Self, RuleTextError> {
        let packed: String = text.chars().filter(|it| !it.is_whitespace()).collect();
        let mut parts: Vec<&str> = packed.trim_end_matches(';').split(';').collect();
        let within = parts.pop_if(|last| last.starts_with("within"));
        let steps = parts.into_iter().map(step).collect::<Result<Vec<_>, _>>()?;
        let rule = Self {
            steps: List::from_vec(steps).map_err(|_| RuleTextError::Unmeetable)?,
            within_ms: within.map(span).transpose()?,
        };
        if rule.check() { Ok(rule) } else { Err(RuleTextError::Unmeetable) }
    }
}

fn expected(expected: &'static str, rest: &str) -> RuleTextError {
    RuleTextError::Expected { expected, rest: rest.into() }
}

fn span(text: &str) -> Result<u64, RuleTextError> {
    let what = "a number of days, hours, minutes or seconds";
    let (number, unit) = leading_number(text.strip_prefix("within").unwrap_or(text));
    let unit = UNITS.iter().find(|(name, _)| *name == unit).map(|(_, ms)| ms);
    unit.zip(number).map(|(ms, number)| number.saturating_mul(*ms)).ok_or(expected(what, text))
}

fn step(text: &str) -> Result<Step, RuleTextError> {
    let (meaning, tree) = text.split_once(':').ok_or(expected("a meaning and a colon", text))?;
    let meaning = Meaning::from_str(meaning).map_err(|_| expected("a meaning", meaning))?;
    let mut needs = Vec::new();
    let rest = need(tree, &mut needs, 1)?;
    if !rest.is_empty() {
        return Err(expected("the end of the step", rest));
    }
    let needs = List::from_vec(needs).map_err(|_| RuleTextError::Unmeetable)?;
    Ok(Step { meaning, needs })
}

/// Reads one branch at this depth, and says what follows it.
fn need<'t>(text: &'t str, needs: &mut Vec<Need>, depth: usize) -> Result<&'t str, RuleTextError> {
    let (min, inside) = if let Some(inside) = text.strip_prefix("any(") {
        (Some(1), inside)
    } else if let Some(inside) = text.strip_prefix("all(") {
        (None, inside)
    } else {
        let (number, rest) = leading_number(text);
        match rest.strip_prefix("of(") {
            Some(inside) => (Some(number.ok_or(expected("a number", text))?), inside),
            None => return seat(number.unwrap_or(1), rest, needs),
        }
    };
    if depth >= SIGN_OFF_DEPTH_MAX {
        return Err(RuleTextError::Unmeetable);
    }
    branches(min, inside, needs, depth)
}

/// Reads what stands in parentheses, of which `min` must be met, or all.
fn branches<'t>(
    min: Option<u64>,
    mut text: &'t str,
    needs: &mut Vec<Need>,
    depth: usize,
) -> Result<&'t str, RuleTextError> {
    let place = needs.len();
    needs.push(Need::AtLeast(AtLeast { min: 0, branches: 0 }));
    let mut count = 0_u64;
    loop {
        text = need(text, needs, depth + 1)?;
        count += 1;
        match text.split_at_checked(1) {
            Some((",", rest)) => text = rest,
            Some((")", rest)) => {
                let (min, branches) = (small(min.unwrap_or(count))?, small(count)?);
                needs[place] = Need::AtLeast(AtLeast { min, branches });
                return Ok(rest);
            }
            _ => return Err(expected("a comma or a parenthesis", text)),
        }
    }
}

fn seat<'t>(min: u64, text: &'t str, needs: &mut Vec<Need>) -> Result<&'t str, RuleTextError> {
    let (word, rest) = text.split_at(text.find([',', ')', '(']).unwrap_or(text.len()));
    needs.push(Need::Seat(Seat { who: who(word)?, min: small(min)? }));
    Ok(rest)
}

fn who(word: &str) -> Result<Approver, RuleTextError> {
    let no_id = || expected("an id of 32 hexadecimal digits", word);
    if let Some(id) = word.strip_prefix("member:") {
        return Ok(Approver::Member(id.parse().map_err(|_| no_id())?));
    }
    if let Some(id) = word.strip_prefix("administrator:") {
        return Ok(Approver::Administrator(id.parse().map_err(|_| no_id())?));
    }
    match word.split_once('@') {
        None if word == "patient" => Ok(Approver::Patient),
        None if word == "author" => Ok(Approver::Author),
        None if word == "proxy" => Ok(Approver::Proxy),
        None => {
            Err(expected("patient, proxy, author, member:ID, or a role or credential with @", word))
        }
        Some((what, place)) => {
            let of = match place {
                "author" => Of::Author,
                "chart" => Of::Chart,
                id => Of::Organisation(id.parse().map_err(|_| no_id())?),
            };
            let role = Role::from_str(what).map(|role| Approver::Role(role, of));
            let kind = || CredentialKind::from_str(what).map(|kind| Approver::Credential(kind, of));
            role.or_else(|_| kind()).map_err(|_| expected("a role or a credential", word))
        }
    }
}

/// The number that a text begins with, if it does and the number is one, and what follows.
fn leading_number(text: &str) -> (Option<u64>, &str) {
    let (digits, rest) =
        text.split_at(text.find(|it: char| !it.is_ascii_digit()).unwrap_or(text.len()));
    (digits.parse().ok(), rest)
}

fn small(number: u64) -> Result<u8, RuleTextError> {
    u8::try_from(number).map_err(|_| RuleTextError::Unmeetable)
}

impl Display for ApprovalRule {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (place, step) in self.steps.iter().enumerate() {
            let separator = if place == 0 { "" } else { "; " };
            write!(f, "{separator}{step}")?;
        }
        let Some(ms) = self.within_ms else { return Ok(()) };
        // A rule that was made otherwise may have a span that no unit counts; it is shown rounded down.
        let (unit, unit_ms) = UNITS.iter().find(|(_, it)| ms % it == 0).unwrap_or(&UNITS[3]);
        write!(f, "; within {} {unit}", ms / unit_ms)
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let written = self.fold(
            |_, seat| seat.to_string(),
            |at_least, parts| {
                let AtLeast { min, branches } = at_least;
                let parts: Vec<&str> = parts.iter().rev().map(String::as_str).collect();
                let parts = parts.join(", ");
                match min {
                    1 => alloc::format!("any({parts})"),
                    all if all == branches => alloc::format!("all({parts})"),
                    some => alloc::format!("{some} of ({parts})"),
                }
            },
        );
        write!(f, "{}: {}", self.meaning, written.as_deref().unwrap_or("no tree"))
    }
}

impl Display for Seat {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.min {
            1 => write!(f, "{}", self.who),
            min => write!(f, "{min} {}", self.who),
        }
    }
}

impl Display for Approver {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Patient => f.write_str("patient"),
            Self::Proxy => f.write_str("proxy"),
            Self::Author => f.write_str("author"),
            Self::Member(id) => write!(f, "member:{id}"),
            Self::Administrator(id) => write!(f, "administrator:{id}"),
            Self::Role(role, of) => write!(f, "{role}@{of}"),
            Self::Credential(kind, of) => write!(f, "{kind}@{of}"),
        }
    }
}

impl Display for Of {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Author => f.write_str("author"),
            Self::Chart => f.write_str("chart"),
            Self::Organisation(id) => write!(f, "{id}"),
        }
    }
}

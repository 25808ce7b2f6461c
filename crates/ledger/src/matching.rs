//! Matching: who may have blinded points evaluated, and how many.
//!
//! Each answer of the validators is one guess at a person. So every evaluation stands on the ledger first,
//! with who, what for and how much, and counts against a quota of the organisation.
//!
//! # Invariants
//!
//! * The quota is over all programmes and purposes: validators cannot tell them apart in a blinded point.
//! * What was refused gives no answer and uses up no quota; the commands themselves have their own.
//! * An evaluation that is accepted is answered for a short time, and only while whoever asked may act.
//!
//! Not here: the points (`keepwell-crypto`), and that the command was accepted (`keepwell-node`).

use keepwell_types::{
    genesis::MatchingRule, id::MemberId, limits::MATCH_AGE_MS_MAX, matching::MatchEvaluate,
    member::Role, outcome::Rejection, time::BlockTime,
};
use thiserror::Error;

use crate::{
    decide::{Case, Changes, Halt},
    signer::member_in_standing,
    state::{Key, MatchQuota, Member},
    view::{Lacks, View},
};

pub(crate) fn evaluate(case: &Case<'_>, it: &MatchEvaluate) -> Result<Changes, Halt> {
    let (_, member) = case.acting_member()?;
    registers(member)?;
    let rule = case.block.parameters.matching.ok_or(Rejection::NoMatching)?;
    let again = |(place, point)| it.points[..place].contains(point);
    if it.points.is_empty() || it.points.iter().enumerate().any(again) {
        return Err(Rejection::MatchPoints.into());
    }
    let organisation = member.organisation;
    let period = period(&rule, case.now());
    let quota = case.view.match_quota(organisation)?.copied().unwrap_or_default();
    let used = if quota.period == period { quota.used } else { 0 };
    let given = u32::try_from(it.points.len()).expect("a command names at most MATCH_POINTS_MAX");
    let (max, left) = (rule.points_max, rule.points_max.saturating_sub(used));
    if given > left {
        return Err(Rejection::MatchQuota { organisation, max, left }.into());
    }
    let total = quota.total.saturating_add(given.into());
    let quota = MatchQuota { period, used: used + given, total };
    Ok(Changes::NONE.put(Key::MatchQuota(organisation), quota))
}

/// Whole periods since 1970. A genesis file with a period of nothing is refused; here it is one of a
/// millisecond.
fn period(rule: &MatchingRule, now: BlockTime) -> u64 {
    now.0 / rule.period_ms.max(1)
}

/// Whoever admits patients, or the device that does.
pub(crate) fn registers(member: &Member) -> Result<(), Rejection> {
    let may = [Role::Registrar, Role::Gateway].iter().any(|role| member.roles.contains(*role));
    if may { Ok(()) } else { Err(Rejection::RoleMissing(Role::Registrar)) }
}

/// Why a validator evaluates nothing for an accepted command.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum EvaluationRefusal {
    /// The command is too old.
    #[error("the evaluation of {accepted} is over at {now}: send another command")]
    TooOld {
        /// When it was accepted.
        accepted: BlockTime,
        /// Newest block time.
        now: BlockTime,
    },
    /// Whoever asked may not act any more.
    #[error("whoever asked may not act any more: {0}")]
    Requester(Rejection),
}

/// Why [`evaluation_check`] did not say yes.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum EvaluationHalt {
    /// A key must be loaded first; nothing is decided.
    #[error(transparent)]
    Lacks(#[from] Lacks),
    /// Nothing is evaluated.
    #[error(transparent)]
    Refused(#[from] EvaluationRefusal),
}

/// Decides whether a `match.evaluate` of `member` that was accepted at `accepted` may be answered at the
/// newest block time `now`.
pub fn evaluation_check(
    view: &View,
    now: BlockTime,
    member: MemberId,
    accepted: BlockTime,
) -> Result<(), EvaluationHalt> {
    if now.ms_since(accepted) > MATCH_AGE_MS_MAX {
        return Err(EvaluationRefusal::TooOld { accepted, now }.into());
    }
    let standing = member_in_standing(view, member).and_then(|it| Ok(registers(it)?));
    standing.map_err(|halt| match halt {
        Halt::Lacks(lacks) => lacks.into(),
        Halt::Rejected(why) => EvaluationRefusal::Requester(why).into(),
    })
}

//! Guardians: whose approvals let a chart come to new keys.
//!
//! # Invariants
//!
//! * Only whoever controls a chart that is a patient's names its guardians: an organisation that opened a
//!   chart for a patient leaves nobody behind who could take it.
//! * A policy can be met, and nobody has two says in it.
//! * New guardians end the recoveries that the earlier ones began: whoever controls the chart has its keys.
//!
//! Not here: what guardians approve ([`crate::recovery`]), and the shares that open what was sealed before
//! (`keepwell-crypto`).

use keepwell_types::{
    guardian::{Guardian, GuardianPolicy, GuardianSet},
    outcome::Rejection,
};

use crate::{
    decide::{Case, Changes, Halt},
    signer::known_member,
    state::{Guardians, Key},
};

pub(crate) fn set(case: &Case<'_>, it: &GuardianSet) -> Result<Changes, Halt> {
    let chart = case.acting_controller(it.chart)?;
    if chart.claim.is_some() {
        return Err(Rejection::NotClaimed(it.chart).into());
    }
    let changes = Changes::NONE.remove(Key::Recoveries(it.chart));
    if it.policy.groups.is_empty() {
        return Ok(changes.remove(Key::Guardians(it.chart)));
    }
    check_policy(case, &it.policy)?;
    let guardians = Guardians { policy: it.policy.clone(), escrow: it.escrow };
    Ok(changes.put(Key::Guardians(it.chart), guardians))
}

/// Whether the policy can be met, by guardians who exist.
fn check_policy(case: &Case<'_>, policy: &GuardianPolicy) -> Result<(), Halt> {
    if !policy.is_sound() {
        return Err(Rejection::GuardianPolicy.into());
    }
    for guardian in policy.groups.iter().flat_map(|group| group.guardians.iter()) {
        if let Guardian::Member(id) = guardian {
            known_member(case.view, *id)?;
        }
    }
    Ok(())
}

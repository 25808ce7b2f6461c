//! Upgrades of the protocol: by motions, at a block that is chosen ahead.
//!
//! # Invariants
//!
//! * One version follows the other, and none is left out.
//! * Between the approval that is enough and the first block of the new rules lies an epoch at least: every validator
//!   that keeps up has heard of it by then.
//! * Until it begins, an upgrade can be moved for another block, or called off. Begun, it stays.
//!
//! Not here: what a version changes, which is said where the rule is; and what a program does that does not know the
//! rules in force (`keepwell_engine::protocol`).

use keepwell_types::{id::Height, outcome::Rejection, protocol::Upgrade};

use crate::{
    decide::{Case, Changes, Halt},
    state::{Key, ProtocolPlan},
};

pub(crate) fn upgrade(case: &Case<'_>, it: &Upgrade) -> Result<Changes, Halt> {
    let (plan, here) = (case.view.protocol()?, case.block.height);
    let now = plan.at(here);
    // What can never be carried out is refused before anybody approves it.
    if it.to != now.next() {
        return Err(Rejection::OtherProtocol { given: it.to, now }.into());
    }
    match it.from {
        Some(from) => {
            let blocks = case.block.parameters.epoch_blocks();
            let earliest = Height(here.0.saturating_add(u64::from(blocks)));
            if from < earliest {
                return Err(Rejection::UpgradeTooSoon { from, earliest }.into());
            }
        }
        None if plan.planned(here).is_none() => return Err(Rejection::NoUpgrade(it.to).into()),
        None => {}
    }
    case.by_consortium()?;
    Ok(Changes::NONE.put(Key::Protocol, ProtocolPlan { protocol: now, next_from: it.from }))
}

//! What if: commands that nobody has sent and accesses that were asked for once, against a state of today.
//!
//! # Invariants
//!
//! * The rules are the ledger's own: a command is decided as in a block, an access as when it is opened.
//! * Nothing comes of it. What a trial would change is in a view of its own.
//!
//! Not here: whether a block would have the command, which its window, its id and quotas say.

use alloc::collections::BTreeSet;

use keepwell_crypto::command::Verified;
use keepwell_types::{
    access::AccessOpen, genesis::Parameters, member::Party, outcome::Rejection, proxy::Power,
    time::BlockTime,
};

use crate::{
    access,
    consent::{Origin, Reader},
    decide::{BlockContext, Halt, decide},
    signer::{controlled_chart, known_chart, member_in_standing, proxy_in_force},
    view::View,
};

/// The state as it would be after `command`.
pub fn after(view: &View, block: &BlockContext, command: &Verified) -> Result<View, Halt> {
    let changes = decide(view, block, 0, command)?;
    let mut after = view.clone();
    for (key, value) in changes.writes {
        after.write(key, value);
    }
    Ok(after)
}

/// By which rules an access of `reader` would be allowed at `time`. It is not counted.
pub fn access(
    view: &View,
    parameters: &Parameters,
    reader: Party,
    open: &AccessOpen,
    time: BlockTime,
) -> Result<BTreeSet<Origin>, Halt> {
    let chart = known_chart(view, open.chart)?;
    let reader = match reader {
        Party::Member(id) => Reader::member(id, member_in_standing(view, id)?),
        Party::Controller(id) if id == open.chart => {
            controlled_chart(view, id)?;
            Reader::Controller
        }
        Party::Proxy(of, id) if of == open.chart => {
            let terms = &proxy_in_force(view, of, id, time)?.terms;
            let within = terms.compartments.includes(access::compartments_of(view, open)?);
            if !within || !terms.powers.contains(Power::Read) {
                return Err(Rejection::OutsideProxy(id).into());
            }
            Reader::Controller
        }
        Party::Controller(_)
        | Party::Claimant(_)
        | Party::Administrator(_)
        | Party::Custodian(_)
        | Party::Proxy(..)
        | Party::Guardian(_)
        | Party::Successor(_)
        | Party::Validator(_) => return Err(Rejection::WrongSigners.into()),
    };
    access::allow(view, parameters, (chart, reader), open, time)
}

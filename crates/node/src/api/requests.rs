//! Requests that were answered: a signed request is good for one answer.
//!
//! # Invariants
//!
//! * The id of a request is remembered for as long as its time is within the skew: after that its time
//!   refuses it.
//! * Memory is bounded, and no id is forgotten early for it: a full memory refuses, and no single party
//!   can fill it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use keepwell_types::{id::CommandId, limits::REQUEST_SKEW_MS_MAX, member::Party, time::BlockTime};
use thiserror::Error;

/// Requests that are remembered, of all parties.
pub const REQUESTS_MAX: usize = 512 * 1024;
/// Requests that are remembered, of one party.
pub const PARTY_REQUESTS_MAX: usize = 64 * 1024;

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Stale {
    /// Its time is too far from the node's.
    #[error(
        "the request was signed at {given} and it is {now} here, more than {max_ms} ms apart; set the clock right and sign it again"
    )]
    Skew {
        /// The request's.
        given: BlockTime,
        /// The node's.
        now: BlockTime,
        /// The limit.
        max_ms: u64,
    },
    /// It was answered before.
    #[error("this request was answered before; sign a new one with another id")]
    Replayed,
    /// The party asks too often.
    #[error("more than {max} requests of one party in two minutes; ask more slowly")]
    TooMany {
        /// The limit.
        max: usize,
    },
}

/// The memory of requests.
#[derive(Debug)]
pub struct Requests {
    max: usize,
    party_max: usize,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    ids: BTreeSet<(Party, CommandId)>,
    by_end: BTreeSet<(BlockTime, Party, CommandId)>,
    of_party: BTreeMap<Party, usize>,
}

impl Default for Requests {
    fn default() -> Self {
        Self::new(REQUESTS_MAX, PARTY_REQUESTS_MAX)
    }
}

impl Requests {
    /// A memory of so many requests, in all and of one party.
    pub fn new(max: usize, party_max: usize) -> Self {
        Self { max, party_max, seen: Mutex::default() }
    }

    /// Takes a request whose signature is good, once.
    pub fn take(
        &self,
        now: BlockTime,
        party: Party,
        id: CommandId,
        at: BlockTime,
    ) -> Result<(), Stale> {
        if at.ms_since(now).max(now.ms_since(at)) > REQUEST_SKEW_MS_MAX {
            return Err(Stale::Skew { given: at, now, max_ms: REQUEST_SKEW_MS_MAX });
        }
        let mut seen = self.seen.lock().expect("nobody panics while holding this lock");
        seen.forget_before(now);
        if seen.ids.contains(&(party, id)) {
            return Err(Stale::Replayed);
        }
        if seen.of_party.get(&party).is_some_and(|count| *count >= self.party_max) {
            return Err(Stale::TooMany { max: self.party_max });
        }
        if seen.ids.len() >= self.max {
            return Err(Stale::TooMany { max: self.max });
        }
        seen.ids.insert((party, id));
        // The last instant at which its time is within the skew.
        seen.by_end.insert((at.plus_ms(REQUEST_SKEW_MS_MAX), party, id));
        *seen.of_party.entry(party).or_default() += 1;
        Ok(())
    }
}

impl Seen {
    fn forget_before(&mut self, now: BlockTime) {
        while let Some((end, party, id)) = self.by_end.first().copied() {
            if now <= end {
                return;
            }
            self.by_end.remove(&(end, party, id));
            self.ids.remove(&(party, id));
            if let Some(count) = self.of_party.get_mut(&party) {
                *count -= 1;
                if *count == 0 {
                    self.of_party.remove(&party);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use keepwell_types::id::MemberId;

    use super::*;

    const START: u64 = 1_000_000;
    const SKEW: u64 = REQUEST_SKEW_MS_MAX;

    /// Each line: the node's clock, the party, the id, the request's time, what comes of it.
    fn check(requests: &Requests, lines: &[(u64, u8, u8, u64, &str)]) {
        for &(now, party, id, at, expected) in lines {
            let taken = requests.take(
                BlockTime(START + now),
                Party::Member(MemberId([party; 16])),
                CommandId([id; 16]),
                BlockTime(START + at),
            );
            let name = match taken {
                Ok(()) => "ok",
                Err(Stale::Skew { .. }) => "skew",
                Err(Stale::Replayed) => "replayed",
                Err(Stale::TooMany { .. }) => "too_many",
            };
            assert_eq!(name, expected, "at {now}: party {party} id {id} signed at {at}");
        }
    }

    #[test]
    fn a_request_is_answered_once_while_its_time_is_near() {
        check(
            &Requests::new(10, 10),
            &[
                (SKEW, 1, 1, SKEW, "ok"),
                (SKEW, 1, 1, SKEW, "replayed"),
                (SKEW, 2, 1, SKEW, "ok"),
                (SKEW, 1, 2, 2 * SKEW, "ok"),
                (SKEW, 1, 3, 2 * SKEW + 1, "skew"),
                (SKEW, 1, 3, 0, "ok"),
                (SKEW + 1, 1, 4, 0, "skew"),
                (2 * SKEW, 1, 1, SKEW, "replayed"),
                (2 * SKEW + 1, 1, 1, SKEW, "skew"),
                (3 * SKEW, 1, 2, 2 * SKEW, "replayed"),
                (3 * SKEW + 1, 1, 2, 2 * SKEW, "skew"),
            ],
        );
    }

    #[test]
    fn no_party_fills_the_memory() {
        check(
            &Requests::new(3, 2),
            &[
                (0, 1, 1, 0, "ok"),
                (0, 1, 2, 0, "ok"),
                (0, 1, 3, 0, "too_many"),
                (0, 2, 1, 0, "ok"),
                (0, 2, 2, 0, "too_many"),
                (SKEW + 1, 1, 3, SKEW, "ok"),
            ],
        );
    }
}

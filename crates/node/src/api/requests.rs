//! Requests that were answered: a signed request is good for one answer.
//!
//! # Invariants
//!
//! * The id of a request is remembered for as long as its time is within the skew: after that its time
//!   refuses it.
//! * Memory is bounded, and no id is forgotten early for it: a full memory refuses. No party fills its
//!   organisation's share, and no organisation fills the memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use keepwell_types::{
    id::{CommandId, OrganisationId},
    limits::REQUEST_SKEW_MS_MAX,
    member::Party,
    time::BlockTime,
};
use thiserror::Error;

/// Requests that are remembered, of all parties.
pub const REQUESTS_MAX: usize = 512 * 1024;
/// Requests that are remembered, of all parties that one organisation answers for.
pub const ORGANISATION_REQUESTS_MAX: usize = 64 * 1024;
/// Requests that are remembered, of one party.
pub const PARTY_REQUESTS_MAX: usize = 16 * 1024;

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
    /// The party, its organisation or all together ask too often.
    #[error("more than {max} requests of {whose} in two minutes; ask more slowly")]
    TooMany {
        /// Who asks too often.
        whose: Whose,
        /// The limit.
        max: usize,
    },
}

/// Who asks too often.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Whose {
    /// The party.
    #[error("one party")]
    Party,
    /// The parties that its organisation answers for.
    #[error("one organisation")]
    Organisation,
    /// Everyone.
    #[error("all parties")]
    All,
}

/// How many requests are remembered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Capacity {
    /// Of all parties.
    pub all: usize,
    /// Of one organisation.
    pub organisation: usize,
    /// Of one party.
    pub party: usize,
}

/// The memory of requests.
#[derive(Debug)]
pub struct Requests {
    capacity: Capacity,
    seen: Mutex<Seen>,
}

/// Who asks, and the organisation that answers for them.
type Asker = (OrganisationId, Party);

#[derive(Debug, Default)]
struct Seen {
    ids: BTreeSet<(Party, CommandId)>,
    by_end: BTreeSet<(BlockTime, Asker, CommandId)>,
    of_party: BTreeMap<Party, usize>,
    of_organisation: BTreeMap<OrganisationId, usize>,
}

impl Default for Requests {
    fn default() -> Self {
        Self::new(Capacity {
            all: REQUESTS_MAX,
            organisation: ORGANISATION_REQUESTS_MAX,
            party: PARTY_REQUESTS_MAX,
        })
    }
}

impl Requests {
    /// A memory of so many requests.
    pub fn new(capacity: Capacity) -> Self {
        Self { capacity, seen: Mutex::default() }
    }

    /// Takes a request whose signature is good, once.
    pub fn take(
        &self,
        now: BlockTime,
        (organisation, party): Asker,
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
        let of_party = seen.of_party.get(&party).copied().unwrap_or_default();
        let of_organisation = seen.of_organisation.get(&organisation).copied().unwrap_or_default();
        for (whose, count, max) in [
            (Whose::Party, of_party, self.capacity.party),
            (Whose::Organisation, of_organisation, self.capacity.organisation),
            (Whose::All, seen.ids.len(), self.capacity.all),
        ] {
            if count >= max {
                return Err(Stale::TooMany { whose, max });
            }
        }
        seen.ids.insert((party, id));
        // The last instant at which its time is within the skew.
        seen.by_end.insert((at.plus_ms(REQUEST_SKEW_MS_MAX), (organisation, party), id));
        *seen.of_party.entry(party).or_default() += 1;
        *seen.of_organisation.entry(organisation).or_default() += 1;
        Ok(())
    }
}

impl Seen {
    fn forget_before(&mut self, now: BlockTime) {
        while let Some((end, (organisation, party), id)) = self.by_end.first().copied() {
            if now <= end {
                return;
            }
            self.by_end.remove(&(end, (organisation, party), id));
            self.ids.remove(&(party, id));
            take_one(&mut self.of_party, party);
            take_one(&mut self.of_organisation, organisation);
        }
    }
}

fn take_one<K: Ord>(counts: &mut BTreeMap<K, usize>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use keepwell_types::id::MemberId;

    use super::*;

    const START: u64 = 1_000_000;
    const SKEW: u64 = REQUEST_SKEW_MS_MAX;

    fn memory(all: usize, organisation: usize, party: usize) -> Requests {
        Requests::new(Capacity { all, organisation, party })
    }

    /// Each line: the node's clock, the party, the id, the request's time, what comes of it. Parties 1 to
    /// 9 are of one organisation, 10 to 19 of the next.
    fn check(requests: &Requests, lines: &[(u64, u8, u8, u64, &str)]) {
        for &(now, party, id, at, expected) in lines {
            let taken = requests.take(
                BlockTime(START + now),
                (OrganisationId([party / 10; 16]), Party::Member(MemberId([party; 16]))),
                CommandId([id; 16]),
                BlockTime(START + at),
            );
            let name = match taken {
                Ok(()) => "ok",
                Err(Stale::Skew { .. }) => "skew",
                Err(Stale::Replayed) => "replayed",
                Err(Stale::TooMany { whose: Whose::Party, .. }) => "party",
                Err(Stale::TooMany { whose: Whose::Organisation, .. }) => "organisation",
                Err(Stale::TooMany { whose: Whose::All, .. }) => "all",
            };
            assert_eq!(name, expected, "at {now}: party {party} id {id} signed at {at}");
        }
    }

    #[test]
    fn a_request_is_answered_once_while_its_time_is_near() {
        check(
            &memory(10, 10, 10),
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
    fn no_party_and_no_organisation_fills_the_memory() {
        check(
            &memory(4, 3, 2),
            &[
                (0, 1, 1, 0, "ok"),
                (0, 1, 2, 0, "ok"),
                (0, 1, 3, 0, "party"),
                (0, 2, 1, 0, "ok"),
                (0, 3, 1, 0, "organisation"),
                (0, 10, 1, 0, "ok"),
                (0, 10, 2, 0, "all"),
                (SKEW + 1, 1, 3, SKEW, "ok"),
                (SKEW + 1, 2, 2, SKEW, "ok"),
            ],
        );
    }
}

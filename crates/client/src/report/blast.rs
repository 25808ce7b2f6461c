//! The blast radius of a key or device that was lost: what was opened with it, whether what was lost counts as
//! unsecured (45 CFR 164.402), and by when whom to tell (164.404 to 164.408).
//!
//! A record is sealed under two locks, of which the validators open one, and only for an access that stands on the
//! ledger. So what was opened with a stolen key is what the ledger says was opened with it: no more.
//!
//! # Invariants
//!
//! * A safe harbour is said to hold only with the evidence for it. Where something is not known the answer is that it
//!   is not shown.
//! * What counts is the time from when the key may have been in other hands until the ledger had another one in its
//!   place, and that one alone; the first instant counts, the last one not. A suspension ends nothing that a
//!   reinstatement brings back. Who of two holders of keys that count together did something is not asked.
//!
//! Not here: what could have been released ([`crate::explain`] tells it, chart by chart).

use std::collections::BTreeSet;

use keepwell_types::{
    id::{ChartId, Location, MemberId},
    member::Party,
    time::BlockTime,
};
use serde::Serialize;

use super::officer::{Act, Acts, Did};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// By when individuals are told, after discovery.
pub const NOTICE_MS: u64 = 60 * DAY_MS;
/// From how many individuals on the Secretary and the media are told with them.
pub const MANY_INDIVIDUALS: usize = 500;

/// What was lost.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Lost {
    /// A member's key, or the device that it was on.
    Key(MemberId),
    /// What a custodian stores, or a copy of it.
    Custody,
    /// A validator's host, with its share of the release key.
    Validator,
}

/// What is known of an incident beside the ledger.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Incident {
    /// What was lost.
    pub lost: Lost,
    /// First instant at which it may have been in other hands.
    pub since: BlockTime,
    /// When it was discovered.
    pub discovered: BlockTime,
    /// Whether what unlocks it (passphrase, operator's key) may have been with it.
    pub unlocked: bool,
    /// Whether opened records may have been kept on it.
    pub plaintext: bool,
}

/// Whether what was lost was secured.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Harbour {
    /// It was: no notice is due for it.
    Holds,
    /// It was not.
    DoesNotHold,
    /// It cannot be said yet.
    NotShown,
}

/// What an incident comes to.
#[derive(Clone, Debug)]
pub struct Blast<'a> {
    /// The incident.
    pub incident: Incident,
    /// When the ledger took the key out of force; nothing while it is in force.
    pub ended: Option<BlockTime>,
    /// What was opened with the key in that time.
    pub opened: Vec<&'a Act>,
    /// What was tried with it and refused.
    pub refused: Vec<&'a Act>,
    /// Charts of which something was opened.
    pub charts: BTreeSet<ChartId>,
    /// Whether what was lost was secured.
    pub harbour: Harbour,
    /// Why.
    pub evidence: Vec<&'static str>,
}

/// What follows from an incident over the acts of the organisation.
pub fn blast(acts: &Acts, incident: Incident) -> Blast<'_> {
    let force = force(acts, incident);
    let is_in = |act: &&Act| {
        let by_key = matches!((incident.lost, act.by), (Lost::Key(member), Party::Member(by)) if member == by);
        by_key && incident.since <= act.time && force.covers(act)
    };
    let reads = |act: &&Act| matches!(act.did, Did::Open { .. });
    let (opened, refused): (Vec<_>, Vec<_>) =
        acts.acts.iter().filter(is_in).filter(reads).partition(|act| act.refused.is_none());
    let charts: BTreeSet<_> = opened.iter().filter_map(|act| act.did.chart()).collect();
    let (harbour, evidence) = harbour(incident, !opened.is_empty(), force.ended.is_some());
    Blast { incident, ended: force.ended, opened, refused, charts, harbour, evidence }
}

/// How long a lost key was in force.
#[derive(Clone, Copy, Default)]
struct Force {
    /// Where another key came in its place.
    replaced: Option<Location>,
    /// First instant at which another key counted alone, if both did for a while.
    overlap: Option<BlockTime>,
    /// Since when it is out of force, by a suspension or by another key.
    ended: Option<BlockTime>,
}

impl Force {
    fn covers(&self, act: &Act) -> bool {
        // Of two acts in one block, only their places tell which came first.
        self.replaced.is_none_or(|at| act.location < at)
            && self.overlap.is_none_or(|until| act.time < until)
    }
}

fn force(acts: &Acts, incident: Incident) -> Force {
    let mut force = Force::default();
    let Lost::Key(member) = incident.lost else { return force };
    let about = |act: &&Act| {
        let is_about = act.did.member() == Some(member) && act.refused.is_none();
        is_about && incident.since <= act.time
    };
    for act in acts.acts.iter().filter(about) {
        if !force.covers(act) {
            break;
        }
        match act.did {
            Did::Suspend(_) => force.ended = force.ended.or(Some(act.time)),
            Did::Reinstate(_) => force.ended = None,
            // Another key after that one leaves no room for the key that was lost.
            Did::Rotate { overlap_until: Some(until), .. } if force.overlap.is_none() => {
                force.overlap = Some(until);
            }
            Did::Rotate { .. } => {
                let ended = force.ended.or(Some(act.time));
                return Force { replaced: Some(act.location), ended, ..force };
            }
            Did::Open { .. } | Did::BreakGlass { .. } | Did::Second { .. } | Did::Review { .. } => {
            }
        }
    }
    let over = force.overlap.filter(|until| *until <= acts.window.until);
    Force { ended: force.ended.or(over), ..force }
}

fn harbour(incident: Incident, opened: bool, ended: bool) -> (Harbour, Vec<&'static str>) {
    const SEALED: &str = "every record at a custodian is sealed under two keys; the compartment's is with patients and whom they granted it, the other is in shares at the validators";
    const KEPT: &str = "opened records may have been kept on what was lost: they are in the clear";
    if incident.plaintext {
        return (Harbour::DoesNotHold, vec![KEPT]);
    }
    match incident.lost {
        Lost::Custody => {
            (Harbour::Holds, vec![SEALED, "no key that opens a record is stored at a custodian"])
        }
        Lost::Validator if incident.unlocked => (
            Harbour::Holds,
            vec![
                SEALED,
                "one share is fewer than a release takes; that no other validator lost one at the same time is for its operator to confirm",
            ],
        ),
        Lost::Validator => (
            Harbour::Holds,
            vec![SEALED, "the share is encrypted, and what unlocks it was elsewhere"],
        ),
        Lost::Key(_) if opened => (
            Harbour::DoesNotHold,
            vec![
                "the ledger has accesses with the key since it may have been in other hands: what they name was released to whoever had it",
            ],
        ),
        Lost::Key(_) if !incident.unlocked => (
            Harbour::Holds,
            vec![
                "the key file is encrypted, and what unlocks it was elsewhere",
                "the ledger has no accepted access with the key since",
            ],
        ),
        Lost::Key(_) if ended => (
            Harbour::Holds,
            vec![
                SEALED,
                "the ledger has no accepted access with the key from then until it was taken out of force, and nothing is released without one",
            ],
        ),
        Lost::Key(_) => (
            Harbour::NotShown,
            vec![
                "the key is still in force and may be used at any moment: suspend the member, or give it a new key with no overlap, then ask again",
            ],
        ),
    }
}

impl Blast<'_> {
    /// By when individuals are told, if they must be.
    pub const fn notice_due(&self) -> BlockTime {
        self.incident.discovered.plus_ms(NOTICE_MS)
    }

    /// Whether so many are concerned that the Secretary and the media are told with them. A patient may have several
    /// charts and nothing links them, so there are at most as many patients as charts.
    pub fn is_large(&self) -> bool {
        self.charts.len() >= MANY_INDIVIDUALS
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use keepwell_types::{
        access::{Purpose, Target},
        id::{Height, LogPosition, OrganisationId},
        outcome::Rejection,
        set::CompartmentSet,
        time::Window,
    };

    use super::*;

    const THIEF: MemberId = MemberId([1; 16]);

    fn rotated(overlap_until: Option<BlockTime>) -> Did {
        Did::Rotate { member: THIEF, overlap_until }
    }

    fn acts(events: &[(u64, &str)]) -> Acts {
        let act = |(index, &(time, what)): (u32, &(u64, &str))| {
            let (chart, purpose) = (ChartId([3; 32]), Purpose::Treatment);
            let target =
                Target::Compartments { compartments: CompartmentSet::all(), until: LogPosition(1) };
            let open = Did::Open { chart, purpose, target };
            let administrator = Party::Administrator(OrganisationId([9; 16]));
            let (by, did, refused) = match what {
                "opens" => (Party::Member(THIEF), open, false),
                "refused" => (Party::Member(THIEF), open, true),
                "other" => (Party::Member(MemberId([2; 16])), open, false),
                "suspended" => (administrator, Did::Suspend(THIEF), false),
                "reinstated" => (administrator, Did::Reinstate(THIEF), false),
                "rotated" => (administrator, rotated(None), false),
                "rotated until 18" => (administrator, rotated(Some(BlockTime(18))), false),
                "rotated until 101" => (administrator, rotated(Some(BlockTime(101))), false),
                other => panic!("{other}"),
            };
            let refused = refused.then(|| Box::new(Rejection::NotGranted));
            let location = Location { height: Height(time), index };
            Act { location, time: BlockTime(time), by, did, refused }
        };
        Acts {
            organisation: OrganisationId([9; 16]),
            window: Window { from: BlockTime(0), until: BlockTime(100) },
            acts: (0..).zip(events).map(act).collect(),
            members: BTreeMap::new(),
            charts: BTreeMap::new(),
            tip: Height(100),
            compared: None,
            hidden: Vec::new(),
        }
    }

    fn stolen(unlocked: bool, plaintext: bool) -> Incident {
        let (since, discovered) = (BlockTime(10), BlockTime(20));
        Incident { lost: Lost::Key(THIEF), since, discovered, unlocked, plaintext }
    }

    #[test]
    fn b1_the_safe_harbour_follows_from_the_ledger_and_what_is_known() {
        use Harbour::{DoesNotHold, Holds, NotShown};
        for (events, incident, expected) in [
            (&[][..], stolen(false, false), Holds),
            (&[], stolen(true, false), NotShown),
            (&[(15, "suspended")], stolen(true, false), Holds),
            (&[(15, "suspended")], stolen(true, true), DoesNotHold),
            (&[(10, "opens"), (15, "suspended")], stolen(true, false), DoesNotHold),
            (&[(10, "opens")], stolen(false, false), DoesNotHold),
            (&[(9, "opens"), (15, "suspended")], stolen(true, false), Holds),
            (&[(11, "refused"), (15, "suspended")], stolen(true, false), Holds),
            (&[(11, "other"), (15, "suspended")], stolen(true, false), Holds),
            (&[(5, "suspended")], stolen(true, false), NotShown),
            (&[(15, "suspended"), (16, "reinstated")], stolen(true, false), NotShown),
            (
                &[(15, "suspended"), (16, "reinstated"), (17, "opens"), (18, "rotated")],
                stolen(true, false),
                DoesNotHold,
            ),
            (&[(15, "rotated"), (16, "opens")], stolen(true, false), Holds),
            (&[(15, "rotated until 18"), (17, "opens")], stolen(true, false), DoesNotHold),
            (&[(15, "rotated until 18"), (18, "opens")], stolen(true, false), Holds),
            (&[(15, "rotated until 101")], stolen(true, false), NotShown),
            (&[(15, "rotated until 101"), (16, "suspended")], stolen(true, false), Holds),
            (&[(15, "rotated until 101"), (16, "rotated until 101")], stolen(true, false), Holds),
            (
                &[(15, "rotated until 101"), (16, "rotated until 101"), (17, "opens")],
                stolen(true, false),
                Holds,
            ),
            (
                &[(15, "suspended"), (16, "rotated until 18"), (19, "reinstated")],
                stolen(true, false),
                Holds,
            ),
            (&[], Incident { lost: Lost::Custody, ..stolen(true, false) }, Holds),
            (&[], Incident { lost: Lost::Validator, ..stolen(true, false) }, Holds),
            (&[], Incident { lost: Lost::Validator, ..stolen(false, true) }, DoesNotHold),
        ] {
            let acts = acts(events);
            let blast = blast(&acts, incident);
            assert_eq!(blast.harbour, expected, "{events:?} {incident:?}");
            assert!(!blast.evidence.is_empty());
        }
    }

    #[test]
    fn b3_what_was_opened_counts_until_the_key_is_replaced_and_notice_is_due_in_sixty_days() {
        let acts = acts(&[
            (9, "opens"),
            (10, "opens"),
            (14, "refused"),
            (15, "opens"),
            (15, "rotated"),
            (15, "opens"),
        ]);
        let blast = blast(&acts, stolen(true, false));
        let at = |acts: &[&Act]| acts.iter().map(|it| it.time.0).collect::<Vec<_>>();
        assert_eq!((at(&blast.opened), at(&blast.refused)), (vec![10, 15], vec![14]));
        assert_eq!(blast.ended, Some(BlockTime(15)));
        assert_eq!(blast.charts.len(), 1);
        assert_eq!(blast.notice_due(), BlockTime(20 + 60 * DAY_MS));
        assert!(!blast.is_large());
    }
}

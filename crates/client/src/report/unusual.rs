//! What is unusual in what an organisation answers for: hints for a person who looks, no verdicts.
//!
//! * **Far from the usual.** On one day a member opened more different charts than is usual for that very member: more
//!   than a multiple of the median of its other days, and more than a floor.
//! * **Many at once.** Many different charts within a short time.
//! * **Related.** A chart of someone whom the organisation lists as of the member's household, or as a colleague.
//! * **Refused again and again.**
//!
//! # Invariants
//!
//! * Pure: the same acts and thresholds give the same hints, in the same order.
//! * A member is compared with itself alone. One with few days is not compared at all, which is said by silence only:
//!   bursts and relations still count.
//! * Memory grows with acts within one short time, not with all of them, but for one number a member and day.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use keepwell_types::{
    id::{ChartId, MemberId},
    member::Party,
    time::BlockTime,
};
use serde::Serialize;
use thiserror::Error;

use super::officer::{Act, Did};

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
/// Relations in one file.
pub const RELATIONS_MAX: usize = 1_000_000;
/// Characters of what a relation is called.
const RELATION_CHARS_MAX: usize = 64;

/// From where on something is unusual.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Thresholds {
    /// Days with accesses that a member must have besides the one in question.
    pub days_min: usize,
    /// How many times the median of those days is unusual.
    pub times: usize,
    /// Charts on a day below which nothing is.
    pub charts_min: usize,
    /// Different charts within [`Self::burst_ms`] that are many at once.
    pub burst_charts: usize,
    /// How long that is.
    pub burst_ms: u64,
    /// Refusals within an hour that are many.
    pub refusals: usize,
}

impl Thresholds {
    /// To begin with; what fits an organisation, its own days show.
    pub const USUAL: Self = Self {
        days_min: 5,
        times: 3,
        charts_min: 10,
        burst_charts: 20,
        burst_ms: 10 * 60 * 1_000,
        refusals: 5,
    };
}

/// A hint.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Hint {
    /// About whom.
    pub member: MemberId,
    /// Since when.
    pub from: BlockTime,
    /// What.
    pub what: Unusual,
}

/// What is unusual.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unusual {
    /// More charts on a day than usual.
    FarFromUsual {
        /// On that day.
        charts: usize,
        /// The median of the other days.
        usual: usize,
    },
    /// Many charts at once.
    ManyAtOnce {
        /// How many, at the peak.
        charts: usize,
        /// When the last of them was opened.
        until: BlockTime,
    },
    /// A chart of someone close.
    Related {
        /// The chart.
        chart: ChartId,
        /// As the organisation's list says.
        relation: String,
    },
    /// Refused again and again.
    RefusedOften {
        /// How often, at the peak within an hour.
        times: usize,
        /// The last time.
        until: BlockTime,
    },
}

/// Which charts are of people close to a member.
#[derive(Clone, Debug, Default)]
pub struct Relations {
    all: BTreeMap<(MemberId, ChartId), String>,
}

/// A list of relations that cannot be read.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
pub enum RelationsFault {
    /// A line.
    #[error(
        "line {0} is not `member,chart,relation`: two identifiers in hexadecimal digits, and a word of at most {RELATION_CHARS_MAX} characters"
    )]
    Line(usize),
    /// Too many.
    #[error("a list has {RELATIONS_MAX} relations at most; split it")]
    TooMany,
}

impl Relations {
    /// Reads lines of `member,chart,relation`. Empty lines and those that begin with `#` are skipped.
    pub fn read(text: &str) -> Result<Self, RelationsFault> {
        let mut all = BTreeMap::new();
        for (place, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let fault = || RelationsFault::Line(place + 1);
            let mut parts = line.splitn(3, ',').map(str::trim);
            let mut next = || parts.next().ok_or_else(fault);
            let member: MemberId = next()?.parse().map_err(|_| fault())?;
            let chart: ChartId = next()?.parse().map_err(|_| fault())?;
            let relation = next()?;
            if relation.is_empty() || relation.chars().count() > RELATION_CHARS_MAX {
                return Err(fault());
            }
            all.insert((member, chart), relation.to_owned());
            if all.len() > RELATIONS_MAX {
                return Err(RelationsFault::TooMany);
            }
        }
        Ok(Self { all })
    }
}

/// What is unusual among acts, which are in the order of time.
pub fn unusual(acts: &[Act], thresholds: &Thresholds, relations: &Relations) -> Vec<Hint> {
    let mut hints = Vec::new();
    let opened = || acts.iter().filter_map(opened_by);
    hints.extend(far_from_usual(opened(), thresholds));
    let bursts = opened().filter(|it| !it.refused).map(|it| (it.member, it.time, it.chart));
    let (least, within) = (thresholds.burst_charts, thresholds.burst_ms);
    for Peak { member, from, until, count } in peaks(bursts, least, within) {
        hints.push(Hint { member, from, what: Unusual::ManyAtOnce { charts: count, until } });
    }
    let mut place = 0_u64;
    let refusals = opened().filter(|it| it.refused).map(|it| {
        place += 1;
        (it.member, it.time, place)
    });
    let (least, hour) = (thresholds.refusals, 60 * 60 * 1_000);
    for Peak { member, from, until, count } in peaks(refusals, least, hour) {
        hints.push(Hint { member, from, what: Unusual::RefusedOften { times: count, until } });
    }
    let mut told = BTreeSet::new();
    for Opened { member, chart, time, .. } in opened() {
        if let Some(relation) = relations.all.get(&(member, chart))
            && told.insert((member, chart))
        {
            let what = Unusual::Related { chart, relation: relation.clone() };
            hints.push(Hint { member, from: time, what });
        }
    }
    hints.sort_by_key(|hint| (hint.from, hint.member));
    hints
}

/// A chart that a member asked for.
#[derive(Clone, Copy)]
struct Opened {
    member: MemberId,
    chart: ChartId,
    time: BlockTime,
    refused: bool,
}

fn opened_by(act: &Act) -> Option<Opened> {
    let (Did::Open { chart, .. }, Party::Member(member)) = (&act.did, act.by) else {
        return None;
    };
    Some(Opened { member, chart: *chart, time: act.time, refused: act.refused.is_some() })
}

fn far_from_usual(opened: impl Iterator<Item = Opened>, thresholds: &Thresholds) -> Vec<Hint> {
    let mut charts: BTreeMap<(MemberId, u64), BTreeSet<ChartId>> = BTreeMap::new();
    for Opened { member, chart, time, refused } in opened {
        if !refused {
            charts.entry((member, time.0 / DAY_MS)).or_default().insert(chart);
        }
    }
    let mut days: BTreeMap<MemberId, Vec<(u64, usize)>> = BTreeMap::new();
    for ((member, day), charts) in charts {
        days.entry(member).or_default().push((day, charts.len()));
    }
    let mut hints = Vec::new();
    for (member, days) in days {
        for &(day, charts) in &days {
            let others = days.iter().filter(|it| it.0 != day).map(|it| it.1);
            let Some(usual) = median(others.collect(), thresholds.days_min) else { continue };
            if charts >= thresholds.charts_min && charts > usual.saturating_mul(thresholds.times) {
                let what = Unusual::FarFromUsual { charts, usual };
                hints.push(Hint { member, from: BlockTime(day * DAY_MS), what });
            }
        }
    }
    hints
}

/// The middle value, the higher one of two; nothing of fewer than `least`.
fn median(mut values: Vec<usize>, least: usize) -> Option<usize> {
    values.sort_unstable();
    (values.len() >= least.max(1)).then(|| values[values.len() / 2])
}

/// A time in which many different things came together.
struct Peak {
    member: MemberId,
    from: BlockTime,
    until: BlockTime,
    count: usize,
}

/// What came within a short time, of one member.
struct Recent<T> {
    events: VecDeque<(BlockTime, T)>,
    distinct: BTreeMap<T, usize>,
    open: Option<Peak>,
}

/// Times in which at least `least` different things of one member came within `within_ms`.
fn peaks<T: Copy + Ord>(
    events: impl Iterator<Item = (MemberId, BlockTime, T)>,
    least: usize,
    within_ms: u64,
) -> Vec<Peak> {
    let mut members: BTreeMap<MemberId, Recent<T>> = BTreeMap::new();
    let mut peaks = Vec::new();
    for (member, time, what) in events {
        let recent = members.entry(member).or_insert_with(|| Recent {
            events: VecDeque::new(),
            distinct: BTreeMap::new(),
            open: None,
        });
        recent.forget(time, within_ms);
        recent.events.push_back((time, what));
        *recent.distinct.entry(what).or_default() += 1;
        let count = recent.distinct.len();
        let from = recent.events.front().map_or(time, |it| it.0);
        if count < least.max(1) {
            peaks.extend(recent.open.take());
        } else {
            let open = recent.open.get_or_insert(Peak { member, from, until: time, count });
            open.until = time;
            open.count = open.count.max(count);
        }
    }
    peaks.extend(members.into_values().filter_map(|recent| recent.open));
    peaks
}

impl<T: Copy + Ord> Recent<T> {
    /// Forgets what is older than the window, which is half-open: what came just so long ago is out of it.
    fn forget(&mut self, now: BlockTime, within_ms: u64) {
        while let Some((time, what)) = self.events.front().copied()
            && now.ms_since(time) >= within_ms
        {
            self.events.pop_front();
            if let Some(count) = self.distinct.get_mut(&what) {
                *count -= 1;
                if *count == 0 {
                    self.distinct.remove(&what);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use keepwell_types::{
        access::{Purpose, Target},
        id::{Height, Location, LogPosition},
        outcome::Rejection,
        set::CompartmentSet,
    };

    use super::*;

    const MINUTE: u64 = 60_000;

    fn act(member: u8, chart: u8, time: u64, refused: bool) -> Act {
        let target =
            Target::Compartments { compartments: CompartmentSet::all(), until: LogPosition(1) };
        let (chart, purpose) = (ChartId([chart; 32]), Purpose::Treatment);
        Act {
            location: Location { height: Height(time), index: 0 },
            time: BlockTime(time),
            by: Party::Member(MemberId([member; 16])),
            did: Did::Open { chart, purpose, target },
            refused: refused.then(|| Box::new(Rejection::NotGranted)),
        }
    }

    fn hints(acts: &[Act]) -> Vec<Unusual> {
        let hints = unusual(acts, &Thresholds::USUAL, &Relations::default());
        hints.into_iter().map(|it| it.what).collect()
    }

    /// Days of a member with so many different charts each, an hour between two of them.
    fn days(charts: &[u8]) -> Vec<Act> {
        let day = |(day, count): (u64, &u8)| {
            let at = move |it: u8| day * DAY_MS + u64::from(it) * 30 * MINUTE;
            (0..*count).map(move |it| act(1, it, at(it), false)).collect::<Vec<_>>()
        };
        (0..).zip(charts).flat_map(day).collect()
    }

    #[test]
    fn a_member_is_compared_with_its_own_other_days() {
        assert_eq!(hints(&days(&[4, 5, 4, 3, 5, 4])), []);
        let far = Unusual::FarFromUsual { charts: 13, usual: 4 };
        for days_with_one in [[4, 5, 4, 3, 5, 13], [13, 4, 5, 4, 3, 5]] {
            assert_eq!(hints(&days(&days_with_one)), std::slice::from_ref(&far));
        }
        assert_eq!(hints(&days(&[4, 5, 4, 3, 5, 12])), [], "three times as many is not more");
        assert_eq!(hints(&days(&[1, 1, 1, 1, 1, 9])), [], "below the floor");
        assert_eq!(hints(&days(&[1, 1, 1, 1, 30])), [], "too few days to say what is usual");
    }

    #[test]
    fn many_charts_at_once_are_one_hint() {
        let burst =
            |gap: u64| (0..25).map(|it| act(1, it, u64::from(it) * gap, false)).collect::<Vec<_>>();
        let [Unusual::ManyAtOnce { charts: 25, until }] = hints(&burst(20_000))[..] else {
            panic!("{:?}", hints(&burst(20_000)));
        };
        assert_eq!(until, BlockTime(24 * 20_000));
        // Twenty in ten minutes, half-open: the first is just out of the window of the twenty-first.
        assert_eq!(hints(&burst(MINUTE)), []);
        // The same chart again and again is one chart.
        let same: Vec<_> = (0..100).map(|it| act(1, 7, it * 1_000, false)).collect();
        assert_eq!(hints(&same), []);
        // Two members do not make one burst.
        let two: Vec<_> = (0..30).map(|it| act(it % 2, it, u64::from(it) * 1_000, false)).collect();
        assert_eq!(hints(&two), []);
    }

    #[test]
    fn refusals_in_a_row_are_told() {
        let refused: Vec<_> = (0..5).map(|it| act(1, it, u64::from(it) * MINUTE, true)).collect();
        let expected = Unusual::RefusedOften { times: 5, until: BlockTime(4 * MINUTE) };
        assert_eq!(hints(&refused), [expected]);
        assert_eq!(hints(&refused[..4]), []);
    }

    #[test]
    fn charts_of_people_close_are_told_once() {
        let (member, chart) = (MemberId([1; 16]), ChartId([7; 32]));
        let text = format!("# household\n\n {member} , {chart} , sister, half\n");
        let relations = Relations::read(&text).unwrap();
        let acts = [act(1, 7, 5, true), act(1, 7, 9, false), act(2, 7, 9, false)];
        let hints = unusual(&acts, &Thresholds::USUAL, &relations);
        let what = Unusual::Related { chart, relation: "sister, half".into() };
        assert_eq!(hints, [Hint { member, from: BlockTime(5), what }]);
    }

    #[test]
    fn a_list_of_relations_is_read_line_by_line_or_not_at_all() {
        let (member, chart) = (MemberId([1; 16]), ChartId([7; 32]));
        for (text, line) in [
            ("x".to_owned(), 1),
            (format!("{member},{chart},"), 1),
            (format!("{member},{chart},a\n{chart},{member},a"), 2),
            (format!("{member},{chart},{}", "a".repeat(65)), 1),
        ] {
            let given = Relations::read(&text).err();
            assert_eq!(given, Some(RelationsFault::Line(line)), "{text:.80}");
        }
    }
}

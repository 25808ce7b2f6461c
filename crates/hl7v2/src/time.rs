//! Times: v2's `YYYYMMDDHHMMSS.SSSS+ZZZZ` (data types DTM, TS, DT, TM) and FHIR's.
//!
//! # Invariants
//!
//! * A time is as precise as it was sent, and never more: what v2 cuts off, FHIR's text lacks too. Only seconds, which
//!   FHIR asks for wherever there are minutes, become `:00`.
//! * FHIR's times need an offset. One that was sent without is in the message's own zone, else in the feed's; without
//!   either only the date is known.
//! * Where clocks change, an offset is that of the time that it is of: an hour that clocks show twice, or skip, has
//!   none.
//!
//! Not here: a database of zones. It changes several times a year, and the same message would mean something else after
//! an update; whoever receives messages looks a zone up, and gives its changes with them.

use alloc::{format, string::String};

use crate::limits::ZONE_CHANGES_MAX;

const DAY_SECONDS: u64 = 24 * 60 * 60;

/// Minutes east of UTC, -840 to 840.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Offset(i16);

impl Offset {
    /// UTC itself.
    pub const UTC: Self = Self(0);

    /// `+HHMM` or `-HHMM`, of at most fourteen hours.
    pub fn parse(text: &str) -> Option<Self> {
        let (sign, digits) = text.split_at_checked(1)?;
        let sign = match sign {
            "+" => 1,
            "-" => -1,
            _ => return None,
        };
        let (hours, minutes) = (number(digits.get(..2)?)?, number(digits.get(2..)?)?);
        let total = hours * 60 + minutes;
        let is_valid = digits.len() == 4 && minutes < 60 && total <= 14 * 60;
        is_valid.then(|| i16::try_from(total).map(|total| Self(sign * total)).ok()).flatten()
    }

    fn seconds(self) -> i64 {
        i64::from(self.0) * 60
    }

    fn text(self) -> String {
        let minutes = self.0.unsigned_abs();
        let sign = if self.0 < 0 { '-' } else { '+' };
        format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

/// Clocks show another offset.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Change {
    /// From when, in seconds since 1970, UTC.
    pub from_s: i64,
    /// Which.
    pub offset: Offset,
}

/// Where clocks are that say no offset.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Zone<'a>(Rule<'a>);

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rule<'a> {
    Always(Offset),
    Changes { changes: &'a [Change], until_s: i64 },
}

impl<'a> Zone<'a> {
    /// Clocks that never change.
    pub const fn fixed(offset: Offset) -> Self {
        Self(Rule::Always(offset))
    }

    /// Clocks that change, as a database of zones has it: each offset holds until the next change, and the last until
    /// `until_s`, in seconds since 1970, UTC. Before the first and from `until_s` on no offset is known. Take enough of
    /// both sides: of births and of what is planned, a time outside has its date only.
    ///
    /// Nothing if there are no changes or more than [`ZONE_CHANGES_MAX`], or if they are not in order.
    pub fn changing(changes: &'a [Change], until_s: i64) -> Option<Self> {
        let last = changes.last()?;
        let is_ordered = changes.is_sorted_by(|one, next| one.from_s < next.from_s);
        let is_valid = is_ordered && last.from_s < until_s && changes.len() <= ZONE_CHANGES_MAX;
        is_valid.then_some(Self(Rule::Changes { changes, until_s }))
    }

    /// The offset of clocks that show `local_s`, in seconds since 1970 as if they were in UTC.
    fn offset_of(&self, local_s: i64) -> Option<Offset> {
        let (changes, until_s) = match self.0 {
            Rule::Always(offset) => return Some(offset),
            Rule::Changes { changes, until_s } => (changes, until_s),
        };
        let ends = changes.iter().skip(1).map(|change| change.from_s).chain([until_s]);
        let mut found = changes.iter().zip(ends).filter(|(change, end)| {
            let at = local_s - change.offset.seconds();
            change.from_s <= at && at < *end
        });
        let (change, _) = found.next()?;
        // Clocks that go back show an hour twice.
        found.next().is_none().then_some(change.offset)
    }
}

/// Where clocks without an offset are in a message of `sent` (MSH-7). Its offset is that of the day on which it was
/// sent: where the feed's zone has the same then, it knows those of other days.
pub fn zone_of<'a>(sent: &str, zone: Option<Zone<'a>>) -> Option<Zone<'a>> {
    let Some(offset) = offset_of(sent) else { return zone };
    let local = &sent[..sent.find(['+', '-']).unwrap_or(sent.len())];
    let is_there = |zone: &Zone<'a>| {
        Time::parse(local, Some(*zone)).is_some_and(|time| time.offset == Some(offset))
    };
    zone.filter(is_there).or(Some(Zone::fixed(offset)))
}

/// A point in time, as precise as it was sent.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Time {
    /// `YYYY`, `YYYY-MM` or `YYYY-MM-DD`.
    date: String,
    /// `HH:MM:SS` with a fraction if there was one.
    clock: Option<String>,
    offset: Option<Offset>,
    /// An hour was sent without minutes, which is no time in FHIR.
    is_cut: bool,
}

impl Time {
    /// Reads a DTM, TS or DT; nothing if it is none. `zone` is where clocks without an offset are.
    pub fn parse(text: &str, zone: Option<Zone<'_>>) -> Option<Self> {
        let at = text.find(['+', '-']).unwrap_or(text.len());
        let (local, offset) = text.split_at(at);
        let (date, clock) = local.split_at_checked(local.len().min(8))?;
        let clock = if clock.is_empty() { None } else { Some(clock_of(clock)?) };
        let is_cut = clock == Some(None);
        let (date, clock) = (date_of(date)?, clock.flatten());
        let offset = match (offset, &clock, zone) {
            ("", Some(clock), Some(zone)) => zone.offset_of(local_s(&date, clock)?),
            ("", ..) => None,
            (offset, ..) => Some(Offset::parse(offset)?),
        };
        Some(Self { date, clock, offset, is_cut })
    }

    /// FHIR `date`.
    pub fn date(&self) -> &str {
        &self.date
    }

    /// FHIR `dateTime`: with a clock only where an offset is known.
    pub fn date_time(&self) -> String {
        self.instant().unwrap_or_else(|| self.date.clone())
    }

    /// FHIR `instant`, if there is a clock and an offset.
    pub fn instant(&self) -> Option<String> {
        let (clock, offset) = (self.clock.as_ref()?, self.offset?);
        Some(format!("{}T{clock}{}", self.date, offset.text()))
    }

    /// All that was sent of it, which tells it from others where FHIR's text has the date only.
    pub fn told_apart(&self) -> String {
        match &self.clock {
            Some(clock) if self.offset.is_none() => format!("{}T{clock}", self.date),
            _ => self.date_time(),
        }
    }

    /// Seconds since 1970, UTC, by which times are put in order: of what has no clock with an offset, its first midnight.
    pub fn utc_s(&self) -> Option<i64> {
        let day = format!("{}-01-01", self.date);
        let day = match self.date.len() {
            4 => day.as_str(),
            7 => day.get(..10)?,
            _ => self.date.as_str(),
        };
        match (&self.clock, self.offset) {
            (Some(clock), Some(offset)) => Some(local_s(day, clock)? - offset.seconds()),
            _ => local_s(day, "00:00:00"),
        }
    }

    /// A clock was sent, and FHIR's text cannot have it.
    pub const fn loses_clock(&self) -> bool {
        self.is_cut || self.clock.is_some() && self.offset.is_none()
    }
}

/// The offset that a DTM ends in.
pub fn offset_of(text: &str) -> Option<Offset> {
    Offset::parse(&text[text.find(['+', '-'])?..])
}

/// FHIR `time` of a TM; its offset, which FHIR's has not, is left out.
pub fn clock(text: &str) -> Option<String> {
    let at = text.find(['+', '-']).unwrap_or(text.len());
    clock_of(&text[..at])?
}

/// `YYYYMMDDHHMMSS.SSS+0000` of milliseconds since 1970, UTC.
pub fn timestamp(ms: u64) -> String {
    let (year, month, day) = civil(ms / 1_000 / DAY_SECONDS);
    let (hour, minute, second) = clock_at(ms);
    format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}.{:03}+0000", ms % 1_000)
}

/// FHIR `instant` of milliseconds since 1970, UTC.
pub fn instant(ms: u64) -> String {
    let (year, month, day) = civil(ms / 1_000 / DAY_SECONDS);
    let (hour, minute, second) = clock_at(ms);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1_000)
}

fn clock_at(ms: u64) -> (u64, u64, u64) {
    let second = ms / 1_000 % DAY_SECONDS;
    (second / 3_600, second / 60 % 60, second % 60)
}

/// Year, month and day of a day since 1970 in the Gregorian calendar, counted from March so that leap days come last.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    // A year of five digits is no year in either standard; milliseconds that far are nobody's.
    ((year + era * 400 + u64::from(month <= 2)).min(9_999), month, day)
}

/// Seconds since 1970 of `YYYY-MM-DD` and `HH:MM:SS`, as if they were in UTC.
fn local_s(date: &str, clock: &str) -> Option<i64> {
    let part = |text: &str, range: core::ops::Range<usize>| number(text.get(range)?).map(i64::from);
    let (year, month, day) = (part(date, 0..4)?, part(date, 5..7)?, part(date, 8..10)?);
    // Counted from March, so that leap days come last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (153 * month + 2) / 5
        + day
        - 719_469;
    let (hour, minute, second) = (part(clock, 0..2)?, part(clock, 3..5)?, part(clock, 6..8)?);
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

/// `YYYY`, `YYYYMM` or `YYYYMMDD` with dashes.
fn date_of(digits: &str) -> Option<String> {
    let year = digits.get(..4)?;
    let year_number = number(year)?;
    if year_number == 0 {
        return None;
    }
    if digits.len() == 4 {
        return Some(String::from(year));
    }
    let month = digits.get(4..6)?;
    let month_number = number(month).filter(|month| (1..=12).contains(month))?;
    if digits.len() == 6 {
        return Some(format!("{year}-{month}"));
    }
    let day = digits.get(6..8)?;
    number(day).filter(|day| (1..=days_of(year_number, month_number)).contains(day))?;
    Some(format!("{year}-{month}-{day}"))
}

pub(crate) fn days_of(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        _ => 31,
    }
}

/// `HH` (which gives no clock), `HHMM`, `HHMMSS` or `HHMMSS.SSSS`.
#[expect(clippy::option_option, reason = "not a time, and a time that FHIR has no text for")]
fn clock_of(text: &str) -> Option<Option<String>> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(a, b)| (a, Some(b)));
    let hour = whole.get(..2)?;
    number(hour).filter(|hour| *hour < 24)?;
    if whole.len() == 2 && fraction.is_none() {
        return Some(None);
    }
    let minute = whole.get(2..4)?;
    number(minute).filter(|minute| *minute < 60)?;
    let second = if whole.len() == 4 { "00" } else { whole.get(4..)? };
    number(second).filter(|value| *value < 60 && second.len() == 2)?;
    match fraction {
        None => Some(Some(format!("{hour}:{minute}:{second}"))),
        Some(digits) => {
            number(digits).filter(|_| digits.len() <= 4 && whole.len() == 6)?;
            Some(Some(format!("{hour}:{minute}:{second}.{digits}")))
        }
    }
}

/// Decimal digits only: `parse` alone takes a sign.
fn number(digits: &str) -> Option<u32> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `text zone => FHIR dateTime`, `-` for none.
    #[test]
    fn times_are_as_precise_as_sent() {
        let table = "
            2026                      -      => 2026
            202602                    -      => 2026-02
            20240229                  -      => 2024-02-29
            20230229                  -      => -
            19000229                  -      => -
            00000101                  -      => -
            20261301                  -      => -
            20260431                  -      => -
            2026043                   -      => -
            202604301                 -      => -
            2026043013                +0100  => 2026-04-30
            202604301305              -      => 2026-04-30
            202604301305              -0330  => 2026-04-30T13:05:00-03:30
            202604301305+0215         -0330  => 2026-04-30T13:05:00+02:15
            20260430130559.1234+0000  -      => 2026-04-30T13:05:59.1234+00:00
            20260430130559.12345+0000 -      => -
            20260430130560+0000       -      => -
            202604302400+0000         -      => -
            202604301305+1500         -      => -
            202604301305+01:0         -      => -
            202604301305.5+0100       -      => -
            2026+0100                 -      => 2026
            04/24/2007                -      => -
            +0100                     -      => -
            २०२६                      -      => -
        ";
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (input, expected) = line.split_once("=>").expect("input => time");
            let (text, zone) = input.trim().split_once(' ').expect("text zone");
            let time = Time::parse(text, Offset::parse(zone.trim()).map(Zone::fixed));
            let found = time.map_or(String::from("-"), |time| time.date_time());
            assert_eq!(found, expected.trim(), "{text}");
        }
    }

    /// Clocks of Central Europe from 2025 to 2026.
    fn berlin() -> [Change; 4] {
        [
            (1_729_990_800, "+0100"),
            (1_743_296_400, "+0200"),
            (1_761_440_400, "+0100"),
            (1_774_746_000, "+0200"),
        ]
        .map(|(from_s, offset)| Change { from_s, offset: Offset::parse(offset).expect(offset) })
    }

    /// `text => FHIR dateTime`
    #[test]
    fn clocks_change() {
        let changes = berlin();
        let zone = Zone::changing(&changes, 1_792_890_000).expect("they are in order");
        let table = "
            202501011200      => 2025-01-01T12:00:00+01:00
            202507011200      => 2025-07-01T12:00:00+02:00
            20250330015959    => 2025-03-30T01:59:59+01:00
            20250330020000    => 2025-03-30
            20250330025959    => 2025-03-30
            20250330030000    => 2025-03-30T03:00:00+02:00
            20251026015959    => 2025-10-26T01:59:59+02:00
            20251026020000    => 2025-10-26
            20251026025959    => 2025-10-26
            20251026030000    => 2025-10-26T03:00:00+01:00
            20251026023000+0100 => 2025-10-26T02:30:00+01:00
            202410270259      => 2024-10-27T02:59:00+01:00
            202410270159      => 2024-10-27
            202610250259      => 2026-10-25T02:59:00+02:00
            202610250300      => 2026-10-25
            1950              => 1950
        ";
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (text, expected) = line.split_once("=>").expect("text => time");
            let time = Time::parse(text.trim(), Some(zone)).expect(text);
            assert_eq!(time.date_time(), expected.trim(), "{text}");
        }
    }

    #[test]
    fn changes_are_in_order_and_few() {
        let changes = berlin();
        assert_eq!(Zone::changing(&[], 0), None);
        assert_eq!(Zone::changing(&changes, changes[3].from_s), None);
        assert_eq!(Zone::changing(&[changes[1], changes[0]], i64::MAX), None);
        assert_eq!(Zone::changing(&[changes[0], changes[0]], i64::MAX), None);
        let many = |count: usize| -> alloc::vec::Vec<Change> {
            (0..).take(count).map(|from_s| Change { from_s, ..changes[0] }).collect()
        };
        assert!(Zone::changing(&many(ZONE_CHANGES_MAX), i64::MAX).is_some());
        assert!(Zone::changing(&many(ZONE_CHANGES_MAX + 1), i64::MAX).is_none());
    }

    /// A message of winter tells of summer.
    #[test]
    fn offsets_of_messages_are_of_their_day() {
        let changes = berlin();
        let zone = Zone::changing(&changes, 1_792_890_000);
        let of = |sent: &str, zone| {
            let time = Time::parse("202507011200", zone_of(sent, zone)).expect("it is a time");
            time.date_time()
        };
        assert_eq!(of("202501011200+0100", zone), "2025-07-01T12:00:00+02:00");
        assert_eq!(of("202501011200-0500", zone), "2025-07-01T12:00:00-05:00");
        assert_eq!(of("202501011200", zone), "2025-07-01T12:00:00+02:00");
        assert_eq!(of("202501011200+0100", None), "2025-07-01T12:00:00+01:00");
        assert_eq!(of("20250101+0100", zone), "2025-07-01T12:00:00+01:00");
        assert_eq!(of("202501011200", None), "2025-07-01");
    }

    #[test]
    fn milliseconds_become_dates() {
        assert_eq!(instant(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(instant(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(timestamp(1_790_000_000_000), "20260921141320.000+0000");
        assert!(instant(u64::MAX).starts_with("9999"));
    }
}

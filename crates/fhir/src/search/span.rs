//! Dates and times of every precision, as the stretch of time that they say.
//!
//! `2024-05` is all of May. Times are nanoseconds since 1970 in UTC; of a finer fraction, the nanosecond it is
//! in. What names no zone is read as UTC: a date has none, and a server in one place must not answer otherwise
//! than a server in another.
//!
//! # Invariants
//!
//! * A span is never empty: it begins before it ends.
//!
//! Not here: leap seconds. `23:59:60` is the first second of the next day.

use serde_json::Value;

use super::{path::items, query::Prefix};

const SECOND: i128 = 1_000_000_000;
const DAY_S: i64 = 86_400;
/// Digits of a fraction of a second that are kept: nanoseconds.
const FRACTION_DIGITS: usize = 9;

/// A stretch of time: from `first`, included, to `end`, excluded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Span {
    pub(super) first: i128,
    pub(super) end: i128,
}

impl Span {
    /// Longer than whatever has a date.
    const OPEN: Self = Self { first: i128::MIN, end: i128::MAX };

    /// Reads `2024`, `2024-05`, `2024-05-01` and `2024-05-01T08:00[:00[.0]][Z|+02:00]`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let Some((date, time)) = text.split_once('T') else { return days(text) };
        if date.len() != 10 {
            return None;
        }
        let midnight = days(date)?.first;
        // An unescaped `+` in a query arrives as a space.
        let zone = time.find(['Z', '+', '-', ' ']).unwrap_or(time.len());
        let (time, offset_s) = (&time[..zone], offset(&time[zone..])?);
        let (offset_ns, within) = (i128::from(offset_s) * SECOND, time_of_day(time)?);
        let at = |ns: i128| midnight + ns - offset_ns;
        Some(Self { first: at(within.first), end: at(within.end) })
    }

    /// The millisecond `ms` since 1970.
    pub(super) fn millisecond(ms: u64) -> Self {
        let first = i128::from(ms) * 1_000_000;
        Self { first, end: first + 1_000_000 }
    }

    /// What a date, dateTime, instant, Period or Timing says.
    pub(super) fn of(value: &Value) -> Option<Self> {
        if let Some(text) = value.as_str() {
            return Self::parse(text);
        }
        if value.get("event").is_some() || value.get("repeat").is_some() {
            return Self::of_timing(value);
        }
        let side = |name| value.get(name).and_then(Value::as_str).map(Self::parse);
        let (start, end) = (side("start"), side("end"));
        // A side that cannot be read is not an open one.
        if start == Some(None) || end == Some(None) || (start.is_none() && end.is_none()) {
            return None;
        }
        let first = start.flatten().map_or(Self::OPEN.first, |start| start.first);
        let end = end.flatten().map_or(Self::OPEN.end, |end| end.end);
        (first < end).then_some(Self { first, end })
    }

    /// Of a Timing only the outer limits count (R4 Search, "date").
    fn of_timing(timing: &Value) -> Option<Self> {
        let bounds = timing.get("repeat").and_then(|repeat| repeat.get("boundsPeriod"));
        let events = items(timing.get("event")).filter_map(Value::as_str).filter_map(Self::parse);
        let bounds = bounds.filter(|it| it.get("event").is_none() && it.get("repeat").is_none());
        events
            .chain(bounds.and_then(Self::of))
            .reduce(|a, b| Self { first: a.first.min(b.first), end: a.end.max(b.end) })
    }

    /// Whether `target` is to this, the searched one, as `prefix` says (R4 Search, "Prefixes").
    pub(super) fn admits(self, prefix: Prefix, target: Self, now_ms: u64) -> bool {
        let is_in = self.first <= target.first && target.end <= self.end;
        match prefix {
            Prefix::Eq => is_in,
            Prefix::Ne => !is_in,
            Prefix::Gt => target.end > self.end,
            Prefix::Ge => target.end > self.end || is_in,
            Prefix::Lt => target.first < self.first,
            Prefix::Le => target.first < self.first || is_in,
            Prefix::Sa => target.first >= self.end,
            Prefix::Eb => target.end <= self.first,
            Prefix::Ap => self.widened(now_ms).overlaps(target),
        }
    }

    /// With a tenth of the time between it and now to either side.
    pub(super) fn widened(self, now_ms: u64) -> Self {
        let now = Self::millisecond(now_ms).first;
        let gap = (now - self.first).abs() / 10;
        Self { first: self.first - gap, end: self.end + gap }
    }

    pub(super) fn overlaps(self, other: Self) -> bool {
        self.first < other.end && other.first < self.end
    }

    /// The whole seconds that it touches: the first and the last.
    pub(super) fn seconds(self) -> (i64, i64) {
        let second = |ns: i128| {
            let second = ns.div_euclid(SECOND);
            i64::try_from(second).unwrap_or(if second < 0 { i64::MIN } else { i64::MAX })
        };
        (second(self.first), second(self.end.saturating_sub(1)))
    }
}

/// A year, month or day.
fn days(date: &str) -> Option<Span> {
    let mut parts = date.splitn(3, '-');
    let year = number(parts.next()?, 4).filter(|year| *year >= 1)?;
    let month = parts.next().map(|month| number(month, 2));
    let day = parts.next().map(|day| number(day, 2));
    let (first, end) = match (month, day) {
        (None, _) => (day_number(year, 1, 1), day_number(year + 1, 1, 1)),
        (Some(month), None) => {
            let month = month.filter(|month| (1..=12).contains(month))?;
            (day_number(year, month, 1), day_number(year, month, 1) + days_in(year, month))
        }
        (Some(month), Some(day)) => {
            let month = month.filter(|month| (1..=12).contains(month))?;
            let day = day.filter(|day| (1..=days_in(year, month)).contains(day))?;
            let first = day_number(year, month, day);
            (first, first + 1)
        }
    };
    let at = |day: i64| i128::from(day) * i128::from(DAY_S) * SECOND;
    Some(Span { first: at(first), end: at(end) })
}

/// `08:00`, `08:00:00` or `08:00:00.000` as nanoseconds since midnight.
fn time_of_day(time: &str) -> Option<Span> {
    let mut parts = time.splitn(3, ':');
    let hour = number(parts.next()?, 2).filter(|hour| *hour < 24)?;
    let minute = number(parts.next()?, 2).filter(|minute| *minute < 60)?;
    let at = |second: i64| i128::from(hour * 3_600 + minute * 60 + second) * SECOND;
    let Some(seconds) = parts.next() else { return Some(Span { first: at(0), end: at(60) }) };
    let (second, fraction) = match seconds.split_once('.') {
        Some((second, fraction)) => (second, Some(fraction)),
        None => (seconds, None),
    };
    let second = number(second, 2).filter(|second| *second <= 60)?;
    let Some(fraction) = fraction else {
        return Some(Span { first: at(second), end: at(second + 1) });
    };
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = &fraction[..fraction.len().min(FRACTION_DIGITS)];
    let unit = (digits.len()..FRACTION_DIGITS).fold(1_i128, |unit, _| unit * 10);
    let first = at(second) + i128::from(number(digits, digits.len())?) * unit;
    Some(Span { first, end: first + unit })
}

/// `Z`, `+02:00` or nothing, in seconds.
fn offset(zone: &str) -> Option<i64> {
    let sign = match zone.as_bytes().first() {
        None => return Some(0),
        Some(b'Z') => return (zone.len() == 1).then_some(0),
        Some(b'-') => -1,
        Some(_) => 1,
    };
    let (hours, minutes) = zone[1..].split_once(':')?;
    let hours = number(hours, 2).filter(|hours| *hours <= 14)?;
    let minutes = number(minutes, 2).filter(|minutes| *minutes < 60)?;
    Some(sign * (hours * 3_600 + minutes * 60))
}

fn number(digits: &str, length: usize) -> Option<i64> {
    let is_number = digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { digits.parse().ok() } else { None }
}

fn days_in(year: i64, month: i64) -> i64 {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the Gregorian calendar.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let years = year - 1;
    let leaps = years / 4 - years / 100 + years / 400;
    let before: i64 = (1..month).map(|month| days_in(year, month)).sum();
    years * 365 + leaps + before + day - 1 - 719_162
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn span(text: &str) -> Span {
        Span::parse(text).unwrap_or_else(|| panic!("{text}"))
    }

    #[test]
    fn each_precision_is_a_stretch_of_time() {
        for (text, first_s, seconds) in [
            ("1970", 0, 365 * 86_400),
            ("2024-02", 1_706_745_600, 29 * 86_400),
            ("2000-02-29", 951_782_400, 86_400),
            ("1969-12-31", -86_400, 86_400),
            ("2024-05-01T08:30", 1_714_552_200, 60),
            ("2024-05-01T08:30:05Z", 1_714_552_205, 1),
            ("2024-05-01T08:30:05+02:00", 1_714_545_005, 1),
            ("2024-05-01T08:30:05 02:00", 1_714_545_005, 1),
            ("2024-05-01T08:30:05-05:30", 1_714_572_005, 1),
        ] {
            let second = SECOND;
            let expected = Span { first: first_s * second, end: (first_s + seconds) * second };
            assert_eq!(span(text), expected, "{text}");
        }
        assert_eq!(span("1970-01-01T00:00:00.5Z"), Span { first: SECOND / 2, end: 600_000_000 });
        let fine = span("1970-01-01T00:00:00.1234567891Z");
        assert_eq!(fine, Span { first: 123_456_789, end: 123_456_790 });
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "20",
            "02024",
            "0000",
            "2024-",
            "2024-13",
            "2024-1",
            "2023-02-29",
            "2024-05-01T",
            "2024-05T08:00",
            "2024-05-01T08",
            "2024-05-01T24:00",
            "2024-05-01T08:60",
            "2024-05-01T08:00:61",
            "2024-05-01T08:00:00.",
            "2024-05-01T08:00:00+2",
            "2024-05-01T08:00:00+15:00",
            "2024-05-01Z",
            "-024",
            "2024-05-01T08:00:00ZZ",
            "２０２４",
            "2024-05-01T08:00é",
        ] {
            assert!(Span::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn periods_are_open_where_they_have_no_side() {
        let may = span("2024-05");
        for (value, eq, gt, lt, sa, eb) in [
            (json!({"start": "2024-05-03", "end": "2024-05-04"}), true, false, false, false, false),
            (json!({"start": "2024-05-03"}), false, true, false, false, false),
            (json!({"end": "2024-05-03"}), false, false, true, false, false),
            (json!({"start": "2024-06"}), false, true, false, true, false),
            (json!({"end": "2024-04"}), false, false, true, false, true),
            (json!("2024"), false, true, true, false, false),
            (json!({"event": ["2024-04-30", "2024-06-01"]}), false, true, true, false, false),
            (
                json!({"repeat": {"boundsPeriod": {"start": "2024-05-01", "end": "2024-05-02"}}}),
                true,
                false,
                false,
                false,
                false,
            ),
        ] {
            let target = Span::of(&value).unwrap();
            let admits = |prefix| may.admits(prefix, target, 0);
            assert_eq!(admits(Prefix::Eq), eq, "eq {value}");
            assert_eq!(admits(Prefix::Ne), !eq, "ne {value}");
            assert_eq!(admits(Prefix::Gt), gt, "gt {value}");
            assert_eq!(admits(Prefix::Ge), gt || eq, "ge {value}");
            assert_eq!(admits(Prefix::Lt), lt, "lt {value}");
            assert_eq!(admits(Prefix::Le), lt || eq, "le {value}");
            assert_eq!(admits(Prefix::Sa), sa, "sa {value}");
            assert_eq!(admits(Prefix::Eb), eb, "eb {value}");
        }
        for value in [
            json!({}),
            json!({"start": "soon"}),
            json!({"start": "2024", "end": "2023"}),
            json!(["2024"]),
            json!({"repeat": {"boundsPeriod": {"repeat": {}}}}),
            json!(7),
        ] {
            assert_eq!(Span::of(&value), None, "{value}");
        }
    }
}

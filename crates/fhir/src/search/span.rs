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
//! Not here: leap seconds. `23:59:60` is the last second of its day.

use alloc::format;

use serde_json::Value;

use super::{path::items, query::Prefix};
use crate::calendar::{self, DAY_SECONDS};

const SECOND: i128 = 1_000_000_000;
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
    let days = calendar::days_of(date)?;
    let at = |day: i64| i128::from(day) * i128::from(DAY_SECONDS) * SECOND;
    Some(Span { first: at(days.start), end: at(days.end) })
}

/// `08:00`, `08:00:00` or `08:00:00.000` as nanoseconds since midnight.
fn time_of_day(time: &str) -> Option<Span> {
    let ns = |seconds: i64| i128::from(seconds) * SECOND;
    let (whole, fraction) = match time.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (time, None),
    };
    let Some(fraction) = fraction else {
        return match calendar::minute_of_day(whole) {
            Some(minute) => Some(Span { first: ns(minute * 60), end: ns(minute * 60 + 60) }),
            None => calendar::seconds_of_day(whole)
                .map(|second| Span { first: ns(second), end: ns(second + 1) }),
        };
    };
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let kept = &fraction[..fraction.len().min(FRACTION_DIGITS)];
    let unit = (kept.len()..FRACTION_DIGITS).fold(1_i128, |unit, _| unit * 10);
    let within = i128::from(calendar::digits(kept, kept.len())?) * unit;
    let first = ns(calendar::seconds_of_day(whole)?) + within;
    Some(Span { first, end: first + unit })
}

/// `Z`, `+02:00` or nothing, in seconds.
fn offset(zone: &str) -> Option<i64> {
    match zone.strip_prefix(' ') {
        Some(time) => calendar::offset(&format!("+{time}")),
        None if zone.is_empty() => Some(0),
        None => calendar::offset(zone),
    }
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
        assert_eq!(span("2016-12-31T23:59:60Z"), span("2016-12-31T23:59:59Z"));
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

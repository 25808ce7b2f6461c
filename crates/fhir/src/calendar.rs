//! Days and times as FHIR and HTTP write them, to seconds since 1970 in UTC and back.
//!
//! # Invariants
//!
//! * A date that does not exist is none: no February 30th, no year 0.
//! * A leap second, which UTC has and this count has not, is the second before it, of the same day.
//!
//! Not here: fractions of a second, and what a text without a zone means, which each reader chooses.

use alloc::{format, string::String};
use core::ops::Range;

pub(crate) const DAY_SECONDS: i64 = 86_400;
/// 9999-12-31T23:59:59Z: FHIR writes years with four digits.
const LAST_SECOND: i64 = 253_402_300_799;

/// The last year of four digits.
const YEAR_MAX: i64 = 9_999;

/// The second in which `now_ms` lies, at most the last that FHIR can write.
pub(crate) fn seconds(now_ms: u64) -> i64 {
    i64::try_from(now_ms / 1_000).unwrap_or(LAST_SECOND).min(LAST_SECOND)
}

/// `2024-05-01`.
pub(crate) fn day(seconds: i64) -> String {
    let (year, month, day) = civil(seconds.div_euclid(DAY_SECONDS));
    format!("{year:04}-{month:02}-{day:02}")
}

/// `2024-05-01T08:30:00Z`.
pub(crate) fn instant(seconds: i64) -> String {
    let rest = seconds.rem_euclid(DAY_SECONDS);
    let (hour, minute, second) = (rest / 3_600, rest / 60 % 60, rest % 60);
    format!("{}T{hour:02}:{minute:02}:{second:02}Z", day(seconds))
}

/// Year, month and day of a count of days since 1970-01-01, by eras of 400 years that begin in March.
pub(crate) fn civil(days: i64) -> (i64, i64, i64) {
    let from_era = days + 719_468;
    let (era, day_of_era) = (from_era.div_euclid(146_097), from_era.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// The count of days since 1970-01-01 of a date that exists, from year 1 to the first that cannot be written.
pub(crate) fn days(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=YEAR_MAX + 1).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day)
    {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (shifted.div_euclid(400), shifted.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    (civil(days) == (year, month, day)).then_some(days)
}

/// The days of `2024`, `2024-05` or `2024-05-01`, as [`days`] counts them.
pub(crate) fn days_of(date: &str) -> Option<Range<i64>> {
    let mut parts = date.splitn(3, '-');
    let year = digits(parts.next()?, 4)?;
    let Some(month) = parts.next() else { return Some(days(year, 1, 1)?..days(year + 1, 1, 1)?) };
    let month = digits(month, 2)?;
    let Some(day) = parts.next() else {
        let next = if month == 12 { days(year + 1, 1, 1) } else { days(year, month + 1, 1) };
        return Some(days(year, month, 1)?..next?);
    };
    let first = days(year, month, digits(day, 2)?)?;
    Some(first..first + 1)
}

/// Seconds since midnight of `08:49:37`.
pub(crate) fn seconds_of_day(time: &str) -> Option<i64> {
    let (minute, second_of) = time.rsplit_once(':')?;
    Some(minute_of_day(minute)? * 60 + second(second_of)?)
}

/// Minutes since midnight of `08:49`.
pub(crate) fn minute_of_day(time: &str) -> Option<i64> {
    let (hour, minute) = time.split_once(':')?;
    let (hour, minute) = (digits(hour, 2)?, digits(minute, 2)?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

/// The second that two digits say; the one before it for a leap second.
pub(crate) fn second(text: &str) -> Option<i64> {
    digits(text, 2).filter(|second| *second <= 60).map(|second| second.min(59))
}

/// Seconds by which a zone is ahead of UTC: `Z`, `+02:00`.
pub(crate) fn offset(zone: &str) -> Option<i64> {
    if zone == "Z" {
        return Some(0);
    }
    let (sign, time) = match zone.split_at_checked(1)? {
        ("+", time) => (1, time),
        ("-", time) => (-1, time),
        _ => return None,
    };
    let (hours, minutes) = time.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    (hours <= 14 && minutes < 60).then_some(sign * (hours * 3_600 + minutes * 60))
}

/// The number that exactly `count` ASCII digits say.
pub(crate) fn digits(text: &str, count: usize) -> Option<i64> {
    let is_number = text.len() == count && text.bytes().all(|it| it.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_that_exist_have_days() {
        for (text, found) in [
            ("1970", Some(0..365)),
            ("1969-12", Some(-31..0)),
            ("1970-01-01", Some(0..1)),
            ("2000-02-29", Some(11_016..11_017)),
            ("2024-02", Some(19_754..19_783)),
            ("0001-01-01", Some(-719_162..-719_161)),
            ("9999-12", Some(2_932_866..2_932_897)),
            ("9999", Some(2_932_532..2_932_897)),
            ("0000", None),
            ("2100-02-29", None),
            ("2024-04-31", None),
            ("2024-00", None),
            ("2024-13-01", None),
            ("2024-01-00", None),
            ("2024-1-1", None),
            ("2024-01-01-01", None),
            ("+024", None),
            ("", None),
        ] {
            assert_eq!(days_of(text), found, "{text}");
        }
    }

    /// One rule for every reader: what happened in a leap second happened on that day.
    #[test]
    fn a_leap_second_is_the_second_before_it() {
        assert_eq!(seconds_of_day("23:59:60"), seconds_of_day("23:59:59"));
        assert_eq!(seconds_of_day("23:59:59"), Some(DAY_SECONDS - 1));
        for text in ["23:59:61", "24:00:00", "23:60:00", "23:59", "1:00:00", "00:00:00:00", "::"] {
            assert_eq!(seconds_of_day(text), None, "{text}");
        }
    }

    #[test]
    fn zones_are_ahead_or_behind() {
        for (text, found) in [
            ("Z", Some(0)),
            ("+00:00", Some(0)),
            ("-05:30", Some(-19_800)),
            ("+14:59", Some(53_940)),
            ("+15:00", None),
            ("+1:00", None),
            (" 01:00", None),
            ("é01:00", None),
            ("ZZ", None),
            ("", None),
        ] {
            assert_eq!(offset(text), found, "{text}");
        }
    }

    proptest! {
        #[test]
        fn days_read_back(count in -719_162_i64..2_932_897) {
            let text = day(count * DAY_SECONDS);
            prop_assert_eq!(days_of(&text), Some(count..count + 1));
            let (year, month, day) = civil(count);
            prop_assert_eq!(days(year, month, day), Some(count));
            prop_assert!(text.starts_with(&year.to_string()) || year < 1_000);
        }
    }

    #[test]
    fn leap_days_and_ends_of_years() {
        for (at, text) in [
            (-1, "1969-12-31T23:59:59Z"),
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_164_800, "2024-02-29T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (seconds(u64::MAX), "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(instant(at), text);
        }
    }
}

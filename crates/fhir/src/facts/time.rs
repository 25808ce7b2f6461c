//! FHIR dates and times as the instants that they comprise.
//!
//! Not here: leap seconds, which block time does not have: a 60th second is refused.

use keepwell_types::time::BlockTime;

const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// What a date or time comprises: a day is all of it, a second too.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Dated {
    /// The first instant.
    pub from: BlockTime,
    /// The first instant after.
    pub until: BlockTime,
}

/// Reads a dateTime of FHIR R4; a year, month or day begins `zone_minutes` east of UTC. Nothing for what is none, or
/// lies before 1970.
pub(super) fn period(text: &str, zone_minutes: i32) -> Option<Dated> {
    let (date, clock) = match text.split_once('T') {
        Some((date, clock)) => (date, Some(clock)),
        None => (text, None),
    };
    let mut parts = date.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = parts.next().map(|it| digits(it, 2)).map_or(Some(None), |it| it.map(Some))?;
    let day = parts.next().map(|it| digits(it, 2)).map_or(Some(None), |it| it.map(Some))?;
    if parts.next().is_some() || year == 0 || month.is_some_and(|it| !(1..=12).contains(&it)) {
        return None;
    }
    let first = days(year, month.unwrap_or(1), 1);
    let (from_day, until_day) = match (month, day) {
        (None, _) => (first, days(year + 1, 1, 1)),
        (Some(month), None) => (first, next_month(year, month)),
        (Some(month), Some(day)) => {
            let day_in = first + day - 1;
            if day < 1 || day_in >= next_month(year, month) {
                return None;
            }
            (day_in, day_in + 1)
        }
    };
    let zone_ms = i64::from(zone_minutes) * MINUTE_MS;
    let (from, until) = match clock {
        None => (from_day * DAY_MS - zone_ms, until_day * DAY_MS - zone_ms),
        Some(clock) => {
            day?;
            let (ms, step) = clock_ms(clock)?;
            (from_day * DAY_MS + ms, from_day * DAY_MS + ms + step)
        }
    };
    Some(Dated { from: BlockTime(from.try_into().ok()?), until: BlockTime(until.try_into().ok()?) })
}

/// Milliseconds since midnight in UTC, and how long what is written lasts.
fn clock_ms(text: &str) -> Option<(i64, i64)> {
    let (clock, zone) = match text.strip_suffix('Z') {
        Some(clock) => (clock, 0),
        None => {
            let at = text.rfind(['+', '-'])?;
            let (hours, minutes) = text.get(at + 1..)?.split_once(':')?;
            let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
            if hours > 14 || minutes > 59 {
                return None;
            }
            let offset = (hours * 60 + minutes) * MINUTE_MS;
            (&text[..at], if text[at..].starts_with('-') { -offset } else { offset })
        }
    };
    let (whole, fraction) = match clock.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (clock, None),
    };
    let mut parts = whole.split(':');
    let [hour, minute, second] =
        [parts.next()?, parts.next()?, parts.next()?].map(|it| digits(it, 2));
    let (hour, minute, second) = (hour?, minute?, second?);
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (ms, step) = fraction.map_or(Some((0, 1_000)), fraction_ms)?;
    Some(((hour * 60 + minute) * MINUTE_MS + second * 1_000 + ms - zone, step))
}

/// A fraction of a second in milliseconds, and how long it lasts: finer ones last the millisecond they lie in.
fn fraction_ms(text: &str) -> Option<(i64, i64)> {
    const PLACES: [i64; 3] = [100, 10, 1];
    if text.is_empty() || text.len() > 9 || !text.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let ms = text.bytes().zip(PLACES).map(|(digit, place)| i64::from(digit - b'0') * place).sum();
    Some((ms, PLACES[(text.len() - 1).min(PLACES.len() - 1)]))
}

fn digits(text: &str, len: usize) -> Option<i64> {
    let is_number = text.len() == len && text.bytes().all(|it| it.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

fn next_month(year: i64, month: i64) -> i64 {
    if month == 12 { days(year + 1, 1, 1) } else { days(year, month + 1, 1) }
}

/// Days since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`).
const fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::ToString};

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_comprise_what_they_say() {
        for (text, zone_minutes, from, until) in [
            ("2024", 0, "2024-01-01T00:00:00.000Z", "2025-01-01T00:00:00.000Z"),
            ("2024-12", 0, "2024-12-01T00:00:00.000Z", "2025-01-01T00:00:00.000Z"),
            ("2024-02-29", 0, "2024-02-29T00:00:00.000Z", "2024-03-01T00:00:00.000Z"),
            ("2024-02-29", 60, "2024-02-28T23:00:00.000Z", "2024-02-29T23:00:00.000Z"),
            (
                "2024-02-29T01:02:03+01:00",
                9,
                "2024-02-29T00:02:03.000Z",
                "2024-02-29T00:02:04.000Z",
            ),
            (
                "2024-02-29T00:00:00.5-05:30",
                0,
                "2024-02-29T05:30:00.500Z",
                "2024-02-29T05:30:00.600Z",
            ),
            (
                "2024-02-29T00:00:00.1239Z",
                0,
                "2024-02-29T00:00:00.123Z",
                "2024-02-29T00:00:00.124Z",
            ),
        ] {
            let dated = period(text, zone_minutes).expect(text);
            assert_eq!(dated.from.to_string(), from, "{text}");
            assert_eq!(dated.until.to_string(), until, "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "24",
            "2024-",
            "2024-13",
            "2024-00",
            "2023-02-29",
            "2024-04-31",
            "2024-1-1",
            "1969-12-31",
            "2024-01-01T",
            "2024-01-01T00:00Z",
            "2024-01-01T00:00:00",
            "2024-01T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+15:00",
            "2024-01-01T00:00:00+1:00",
            "2024-01-01T00:00:00é",
            "+024-01-01",
            "2024-01-01T00:00:00.0000000001Z",
            "２０２４",
            "2024-01-01-01",
        ] {
            assert_eq!(period(text, 0), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_block_time_prints_is_read_back(ms in 0_u64..253_402_300_799_999) {
            let time = BlockTime(ms);
            let dated = period(&time.to_string(), -600).expect("it is a time");
            prop_assert_eq!(dated, Dated { from: time, until: time.plus_ms(1) });
        }

        #[test]
        fn no_text_panics(text in "[-+0-9T:.Zé]{0,40}", zone_minutes in any::<i32>()) {
            period(&text, zone_minutes);
            period(&format!("2024-01-01T{text}"), zone_minutes);
        }
    }
}

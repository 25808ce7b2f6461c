//! FHIR dates and times as the instants that they comprise, as far as block time goes.
//!
//! # Invariants
//!
//! * Block time begins in 1970: a time before it counts as its beginning, so that what is over stays over.
//!
//! Not here: the calendar ([`crate::calendar`]), and zones of those who write none.

use keepwell_types::time::BlockTime;

use crate::calendar::{DAY_SECONDS, days_of, offset, seconds_of_day};

const MINUTE_MS: i64 = 60_000;
const SECOND_MS: i64 = 1_000;
const DAY_MS: i64 = DAY_SECONDS * SECOND_MS;
/// Digits of a fraction of a second that are read.
const FRACTION_DIGITS_MAX: usize = 9;

/// What a date or time comprises: a day is all of it, a second too.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Dated {
    /// The first instant.
    pub from: BlockTime,
    /// The first instant after.
    pub until: BlockTime,
}

/// Reads a dateTime of FHIR R4; a year, month or day begins `zone_minutes` east of UTC. Nothing for what is none.
pub(super) fn period(text: &str, zone_minutes: i32) -> Option<Dated> {
    let (from, until) = match text.split_once('T') {
        None => {
            let (days, zone_ms) = (days_of(text)?, i64::from(zone_minutes) * MINUTE_MS);
            (days.start * DAY_MS - zone_ms, days.end * DAY_MS - zone_ms)
        }
        Some((date, clock)) => {
            let days = days_of(date).filter(|days| days.end - days.start == 1)?;
            let (ms, step) = clock_ms(clock)?;
            (days.start * DAY_MS + ms, days.start * DAY_MS + ms + step)
        }
    };
    let block_time = |ms: i64| BlockTime(ms.try_into().unwrap_or(0));
    Some(Dated { from: block_time(from), until: block_time(until) })
}

/// Milliseconds since midnight in UTC, and how long what is written lasts.
fn clock_ms(text: &str) -> Option<(i64, i64)> {
    let (clock, zone) = text.split_at_checked(text.find(['Z', '+', '-'])?)?;
    let (whole, fraction) = match clock.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (clock, None),
    };
    let (ms, step) = fraction.map_or(Some((0, SECOND_MS)), fraction_ms)?;
    Some(((seconds_of_day(whole)? - offset(zone)?) * SECOND_MS + ms, step))
}

/// A fraction of a second in milliseconds, and how long it lasts: finer ones last the millisecond they lie in.
fn fraction_ms(text: &str) -> Option<(i64, i64)> {
    const PLACES: [i64; 3] = [100, 10, 1];
    let is_short = (1..=FRACTION_DIGITS_MAX).contains(&text.len());
    if !is_short || !text.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    let ms = text.bytes().zip(PLACES).map(|(digit, place)| i64::from(digit - b'0') * place).sum();
    Some((ms, PLACES[(text.len() - 1).min(PLACES.len() - 1)]))
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

    /// Block time begins in 1970. What began before it began has begun, and what was over then is over.
    #[test]
    fn before_1970_is_its_beginning() {
        let begun = |from, until| Some(Dated { from: BlockTime(from), until: BlockTime(until) });
        for (text, dated) in [
            ("1969-12-31", begun(0, 0)),
            ("1931", begun(0, 0)),
            ("1970-01-01T00:30:00.9+01:00", begun(0, 0)),
            ("1969-12-31T23:59:59Z", begun(0, 0)),
            ("1970-01-01T00:00:00Z", begun(0, 1_000)),
        ] {
            assert_eq!(period(text, 0), dated, "{text}");
        }
        assert_eq!(period("1970-01-01", 60), begun(0, 23 * 3_600_000));
    }

    #[test]
    fn a_leap_second_is_the_second_before_it() {
        assert_eq!(period("2016-12-31T23:59:60Z", 0), period("2016-12-31T23:59:59Z", 0));
        assert_eq!(period("2016-12-31T23:59:60.5Z", 0), period("2016-12-31T23:59:59.5Z", 0));
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
            "2024-01-01T",
            "2024-01-01T00:00Z",
            "2024-01-01T00:00:00",
            "2024-01T00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:61Z",
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

//! Instants as people write them: a day, a time of day in UTC, or milliseconds since 1970.

use keepwell_types::time::BlockTime;

const DAY_MS: u64 = 24 * 60 * 60 * 1_000;
const EXAMPLES: &str = "2026-01-31, 2026-01-31T08:30:00Z, or milliseconds since 1970";

/// Reads an instant. A day is its first instant.
pub(crate) fn instant(text: &str) -> Result<BlockTime, String> {
    let wrong = || format!("not an instant; write {EXAMPLES}");
    if text.len() > 5 && text.bytes().all(|it| it.is_ascii_digit()) {
        return text.parse().map(BlockTime).map_err(|_| wrong());
    }
    let (day, rest) = text.split_once('T').map_or((text, None), |(day, rest)| (day, Some(rest)));
    let [year, month, day] = numbers(day, '-', [4, 2, 2]).ok_or_else(wrong)?;
    let days = days_from_civil(year, month, day).ok_or_else(wrong)?;
    let Some(rest) = rest else { return Ok(BlockTime(days * DAY_MS)) };
    let rest = rest.strip_suffix('Z').ok_or_else(wrong)?;
    let (clock, ms) = match rest.split_once('.') {
        Some((clock, ms)) => {
            let [ms] = numbers(ms, '-', [3]).ok_or_else(wrong)?;
            (clock, ms)
        }
        None => (rest, 0),
    };
    let [hour, minute, second] = numbers(clock, ':', [2, 2, 2]).ok_or_else(wrong)?;
    if hour > 23 || minute > 59 || second > 59 {
        return Err(wrong());
    }
    let seconds = hour * 3_600 + minute * 60 + second;
    Ok(BlockTime(days * DAY_MS + seconds * 1_000 + ms))
}

/// Exactly so many numbers, of so many digits each.
fn numbers<const N: usize>(text: &str, between: char, digits: [usize; N]) -> Option<[u64; N]> {
    let mut numbers = [0; N];
    let mut parts = text.split(between);
    for (number, digits) in numbers.iter_mut().zip(digits) {
        let part = parts.next()?;
        if part.len() != digits || !part.bytes().all(|it| it.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    parts.next().is_none().then_some(numbers)
}

/// Days since 1970-01-01 (Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`).
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if year < 1970 || day == 0 || day > last {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let shifted = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * shifted + 2) / 5 + day - 1;
    let of_era = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    (era * 146_097 + of_era).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_as_they_are_printed() {
        for (text, ms) in [
            ("1970-01-01", 0),
            ("2000-02-29T00:00:00.123Z", 951_782_400_123),
            ("2026-11-21T05:20:00Z", 1_795_238_400_000),
            ("1795238400000", 1_795_238_400_000),
        ] {
            assert_eq!(instant(text), Ok(BlockTime(ms)), "{text}");
        }
        for ms in [0, 86_399_999, 951_782_400_123, 4_102_444_799_999] {
            assert_eq!(instant(&BlockTime(ms).to_string()), Ok(BlockTime(ms)));
        }
        for wrong in [
            "",
            "today",
            "2025-02-29",
            "2026-13-01",
            "2026-1-1",
            "1969-12-31",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+01:00",
            "99999999999999999999999",
        ] {
            assert!(instant(wrong).is_err(), "{wrong}");
        }
    }
}

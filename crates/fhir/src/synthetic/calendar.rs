//! Days and instants as FHIR writes them, from seconds since 1970 in UTC.

use alloc::{format, string::String};

pub(crate) const DAY_SECONDS: i64 = 86_400;
/// 9999-12-31T23:59:59Z: FHIR writes years with four digits.
const LAST_SECOND: i64 = 253_402_300_799;

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

#[cfg(test)]
mod tests {
    use super::{instant, seconds};

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

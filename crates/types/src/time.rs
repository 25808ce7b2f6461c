//! Block time, the only clock of the ledger.

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01T00:00:00Z, as agreed in a block. Strictly increases with height.
#[derive(
    Clone,
    Copy,
    Debug,
    Decode,
    Default,
    Deserialize,
    Encode,
    Eq,
    Hash,
    Ord,
    PartialEq,
    PartialOrd,
    Serialize,
)]
#[cbor(transparent)]
#[serde(transparent)]
pub struct BlockTime(#[n(0)] pub u64);

impl BlockTime {
    /// The time `ms` milliseconds later, or the end of time.
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to `self`, or 0 if `earlier` is later.
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl core::fmt::Display for BlockTime {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (days, ms) = (self.0 / 86_400_000, self.0 % 86_400_000);
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z",
            ms % 1_000
        )
    }
}

/// The proleptic Gregorian date of a day since 1970-01-01 (Hinnant, "chrono-compatible low-level
/// date algorithms", `civil_from_days`).
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

/// A half-open window of block time: `from` is inside, `until` is not.
#[derive(
    Clone, Copy, Debug, Decode, Deserialize, Encode, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize,
)]
pub struct Window {
    /// First instant inside.
    #[n(0)]
    pub from: BlockTime,
    /// First instant after.
    #[n(1)]
    pub until: BlockTime,
}

impl Window {
    /// Whether `at` is inside.
    pub fn contains(&self, at: BlockTime) -> bool {
        self.from <= at && at < self.until
    }

    /// Length in milliseconds; 0 for a window that contains nothing.
    pub const fn len_ms(&self) -> u64 {
        self.until.ms_since(self.from)
    }

    /// Whether it contains no instant.
    pub const fn is_empty(&self) -> bool {
        self.len_ms() == 0
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString as _;

    use super::*;

    #[test]
    fn windows_are_half_open() {
        let window = Window { from: BlockTime(5), until: BlockTime(7) };
        let inside = [4, 5, 6, 7].map(|at| window.contains(BlockTime(at)));
        assert_eq!(inside, [false, true, true, false]);
    }

    #[test]
    fn times_print_as_dates() {
        assert_eq!(BlockTime(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(BlockTime(951_782_400_123).to_string(), "2000-02-29T00:00:00.123Z");
        assert_eq!(BlockTime(1_795_238_400_000).to_string(), "2026-11-21T05:20:00.000Z");
    }
}

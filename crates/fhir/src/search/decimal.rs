//! Decimals as they were written: exact, and with the precision that their digits say.
//!
//! # Invariants
//!
//! * Comparing never rounds and never overflows: digits are compared as digits.
//!
//! Not here: arithmetic beyond half a unit of the last digit and a tenth of the value.

use alloc::string::{String, ToString};
use core::cmp::Ordering;

/// Significant digits; FHIR promises 18.
const DIGITS_MAX: usize = 34;
/// Of the exponent, whichever its sign.
const EXPONENT_MAX: i32 = 10_000;

/// `coefficient * 10^exponent`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decimal {
    coefficient: i128,
    exponent: i32,
}

impl Decimal {
    /// Reads `-5.40`, `1e-3`; nothing if it is no decimal of FHIR or has more digits than are kept.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent_of(exponent)?),
            None => (text, 0),
        };
        let unsigned = mantissa.strip_prefix(['-', '+']).unwrap_or(mantissa);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, "0"));
        let is_number = |it: &str| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(fraction) {
            return None;
        }
        let fraction = match unsigned.contains('.') {
            true => fraction,
            // R4 gives 1e2 the range of 1.0e2: from 95 to 105 (Search, "number").
            false if exponent > 0 => "0",
            false => "",
        };
        let digits = [whole, fraction].concat();
        let digits = digits.trim_start_matches('0');
        if digits.len() > DIGITS_MAX {
            return None;
        }
        let magnitude: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        let coefficient = if mantissa.starts_with('-') { -magnitude } else { magnitude };
        let exponent = exponent - i32::try_from(fraction.len()).ok()?;
        (exponent.abs() <= EXPONENT_MAX).then_some(Self { coefficient, exponent })
    }

    /// The range that its digits stand for: 5.40 is from 5.395, included, to 5.405, excluded.
    pub(super) fn range(self) -> (Self, Self) {
        self.around(5)
    }

    /// A tenth of its value to either side.
    pub(super) fn approximately(self) -> (Self, Self) {
        self.around(self.coefficient.abs())
    }

    /// `distance` is in tenths of the last digit's unit.
    fn around(self, distance: i128) -> (Self, Self) {
        // 34 digits leave room for one more in an i128.
        let (tenfold, exponent) = (self.coefficient * 10, self.exponent - 1);
        let at = |coefficient| Self { coefficient, exponent };
        (at(tenfold - distance), at(tenfold + distance))
    }

    /// Digits without zeros at their end, and the place of the point counted from the first of them.
    fn scientific(self) -> (String, i64) {
        let digits = self.coefficient.unsigned_abs().to_string();
        let count = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        (String::from(digits.trim_end_matches('0')), count + i64::from(self.exponent))
    }
}

fn exponent_of(text: &str) -> Option<i32> {
    let exponent: i32 = text.parse().ok()?;
    (exponent.abs() <= EXPONENT_MAX).then_some(exponent)
}

impl Ord for Decimal {
    fn cmp(&self, other: &Self) -> Ordering {
        let (sign, others) = (self.coefficient.signum(), other.coefficient.signum());
        if sign != others || sign == 0 {
            return sign.cmp(&others);
        }
        let ((digits, point), (others, others_point)) = (self.scientific(), other.scientific());
        // Of equal points, `12` and `123` compare as 0.12 and 0.123: as text.
        let magnitude = point.cmp(&others_point).then_with(|| digits.cmp(&others));
        if sign > 0 { magnitude } else { magnitude.reverse() }
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Decimal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Decimal {}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).unwrap()
    }

    #[test]
    fn order_is_that_of_numbers() {
        let ascending = [
            "-1e9",
            "-100",
            "-99.9",
            "-2",
            "-0.5",
            "-1e-9",
            "0",
            "1e-9",
            "0.09",
            "0.1",
            "0.12",
            "0.123",
            "1",
            "5.399999999999999999999999",
            "5.4",
            "9",
            "10",
            "99.9",
            "1e2",
            "1E+9",
        ];
        for (at, low) in ascending.iter().enumerate() {
            for high in &ascending[at + 1..] {
                assert!(decimal(low) < decimal(high), "{low} {high}");
            }
        }
        for (one, other) in [("5.40", "5.4"), ("100", "1e2"), ("-0", "0.00"), ("0100", "100.0")] {
            assert_eq!(decimal(one), decimal(other));
        }
    }

    #[test]
    fn digits_say_the_range() {
        for (text, low, high) in [
            ("100", "99.5", "100.5"),
            ("100.00", "99.995", "100.005"),
            ("1e2", "95", "105"),
            ("1.0e2", "95", "105"),
            ("1.00e2", "99.5", "100.5"),
            ("-2e3", "-2050", "-1950"),
            ("1e-2", "0.005", "0.015"),
            ("1e0", "0.5", "1.5"),
            ("-5.4", "-5.45", "-5.35"),
            ("0", "-0.5", "0.5"),
        ] {
            assert_eq!(decimal(text).range(), (decimal(low), decimal(high)), "{text}");
        }
        assert_eq!(decimal("-50").approximately(), (decimal("-55"), decimal("-45")));
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        let long = "9".repeat(DIGITS_MAX + 1);
        for text in
            ["", "-", ".", "5.", ".5", "1e", "1e99999", "1e5.0", "0x1", "NaN", "--1", "1 ", &long]
        {
            assert!(Decimal::parse(text).is_none(), "{text}");
        }
        assert!(Decimal::parse(&long[1..]).is_some());
        assert!(decimal(&long[1..]).range().0 < decimal(&long[1..]));
    }
}

//! Padmé: sizes that say little (Nikitin and others, "Reducing metadata leakage from encrypted files
//! and communication with PURBs", 2019, algorithm 1).
//!
//! A length of L bits keeps as many leading bits as it takes to write L, and is rounded up in the rest:
//! at most 12 % longer, while the sizes there are grow with the logarithm of the logarithm.

/// The padded length of `len` bytes: the same for many lengths, and never shorter.
///
/// Lengths so near `u64::MAX` that they have no padded length stay as they are.
pub const fn padded_len(len: u64) -> u64 {
    if len < 2 {
        return len;
    }
    let exponent = len.ilog2();
    // Of 2 and 3 bytes all bits are kept: their exponent, 1, takes one bit to write.
    let kept = exponent.ilog2() + 1;
    let mask = (1 << (exponent - kept)) - 1;
    match len.checked_add(mask) {
        Some(sum) => sum & !mask,
        None => len,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_as_in_the_paper() {
        let table = [
            (0, 0),
            (1, 1),
            (2, 2),
            (3, 3),
            (8, 8),
            (9, 10),
            (15, 16),
            (16, 16),
            (17, 18),
            (100, 104),
            (1_000, 1_024),
            (1_025, 1_088),
            (1_000_000, 1_015_808),
            (u64::MAX, u64::MAX),
        ];
        for (len, padded) in table {
            assert_eq!(padded_len(len), padded, "{len}");
        }
    }

    #[test]
    fn padding_is_short_and_final() {
        for len in (0..1 << 40).step_by(987_654_321).chain(0..5_000) {
            let padded = padded_len(len);
            assert!(len <= padded && padded - len <= len / 8, "{len}");
            assert_eq!(padded_len(padded), padded);
        }
    }
}

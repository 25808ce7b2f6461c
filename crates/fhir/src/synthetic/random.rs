//! SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): small, quick, the same everywhere.
//!
//! Not cryptographic: who sees a few outputs knows all the others. It makes patients who never lived
//! and must never make a key, a salt or an identifier of a real record.

use alloc::{format, string::String};

/// The golden ratio as an odd 64-bit fraction: the step between states.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

pub(super) struct Random(u64);

impl Random {
    /// The stream of item `index` under `seed`.
    pub(super) const fn new(seed: u64, index: u64) -> Self {
        Self(mix(seed.wrapping_add(STEP)).wrapping_add(mix(!index)))
    }

    pub(super) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// A number of `low..=high`. The bias is below one in 2^32 for 32-bit ranges.
    pub(super) const fn between(&mut self, low: u32, high: u32) -> u32 {
        let count = high.saturating_sub(low) as u64 + 1;
        low + (((self.next() >> 32) * count) >> 32) as u32
    }

    pub(super) const fn one_in(&mut self, count: u32) -> bool {
        self.between(1, count) == 1
    }

    pub(super) const fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.between(0, items.len() as u32 - 1) as usize]
    }

    /// A UUID of version 4 in form, though not in unpredictability.
    pub(super) fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        let (high, low) = (high & !0xf000 | 0x4000, low & !(0b11 << 62) | 0b10 << 62);
        let text = format!("{high:016x}{low:016x}");
        let (a, b, c, d, e) = (&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]);
        format!("{a}-{b}-{c}-{d}-{e}")
    }
}

const fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::{Random, STEP, mix};

    #[test]
    fn is_the_published_generator() {
        // The first outputs of the reference implementation from state 0.
        let mut random = Random(0);
        assert_eq!(random.next(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(random.next(), 0x6e78_9e6a_a1b9_65f4);
        assert_eq!(mix(STEP), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn a_range_is_reached_at_both_ends_and_never_left() {
        let mut random = Random::new(1, 2);
        let mut seen = [false; 4];
        for _ in 0..1_000 {
            seen[(random.between(7, 10) - 7) as usize] = true;
        }
        assert_eq!(seen, [true; 4]);
    }
}

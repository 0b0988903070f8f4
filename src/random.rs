//! Seeded random numbers: functions of `(seed, index)`, the same on every machine and in whatever order they are asked for.

use rand::{SeedableRng, rngs::Xoshiro256PlusPlus};

/// A bijective scrambler of 64 bits: the output function of `SplitMix64` (Steele, Lea and Flood 2014), with its increment
/// added first so that zero does not stay zero.
#[must_use]
#[inline]
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The stream of random numbers that belongs to one index: xoshiro256++ (Blackman and Vigna 2019).
#[must_use]
pub fn generator(seed: u64, index: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(mix(seed) ^ index)
}

//! The rules for percentiles: which there are, from how many operations, and how they rank.
//!
//! Everything that shows or stores a percentile asks here. How a figure is written is no matter of this module.

use std::fmt;

use clap::ValueEnum;
use hdrhistogram::Histogram;

/// Largest value of a histogram, in microseconds: 120 s. Later ones are recorded as this.
pub const HISTOGRAM_MAX_US: u64 = 120_000_000;

/// A percentile that results hold; its name as a value is that in the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Percentile {
    /// The median.
    #[value(name = "p50_us")]
    P50,
    /// The 90th.
    #[value(name = "p90_us")]
    P90,
    /// The 99th.
    #[value(name = "p99_us")]
    P99,
    /// The 99.9th.
    #[value(name = "p999_us")]
    P999,
    /// The largest.
    #[value(name = "max_us")]
    Max,
}

impl Percentile {
    /// Its quantile, from 0 to 1, and the least number of operations that it is shown for.
    const fn rule(self) -> (f64, u64) {
        match self {
            // Ten operations and more are later than it.
            Self::P50 => (0.5, 20),
            Self::P90 => (0.9, 100),
            Self::P99 => (0.99, 1_000),
            Self::P999 => (0.999, 10_000),
            Self::Max => (1.0, 1),
        }
    }

    /// The share of the operations that are not later, from 0 to 1.
    #[must_use]
    pub const fn quantile(self) -> f64 {
        self.rule().0
    }

    /// From fewer operations than this it says too little to be shown.
    #[must_use]
    pub const fn least(self) -> u64 {
        self.rule().1
    }

    /// Its value among `total` operations, as [`percentile`] ranks them, in microseconds.
    #[must_use]
    pub fn of(self, histogram: &Histogram<u64>, total: u64) -> Option<u64> {
        percentile(histogram, total, self.quantile())
    }
}

impl fmt::Display for Percentile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::P50 => "p50",
            Self::P90 => "p90",
            Self::P99 => "p99",
            Self::P999 => "p99.9",
            Self::Max => "max",
        })
    }
}

/// An empty histogram of microseconds with 3 significant digits. It grows with the times that [`record`] puts into it.
#[must_use]
pub fn histogram() -> Histogram<u64> {
    // The bounds are constants that hdrhistogram takes: 1 <= low, 2 * low <= high, at most 5 digits.
    let mut histogram =
        Histogram::new_with_bounds(1, 2, 3).unwrap_or_else(|_| unreachable!("constant bounds are valid"));
    histogram.auto(true);
    histogram
}

/// Adds a time in microseconds; one beyond [`HISTOGRAM_MAX_US`] counts as that.
pub fn record(histogram: &mut Histogram<u64>, time_us: u32) {
    // It fails only where a histogram cannot grow as far, which one of 120 s can.
    let _ = histogram.record(u64::from(time_us).min(HISTOGRAM_MAX_US));
}

/// The place, from 1 on, of the least of `count` ascending values that a share `quantile` (0 to 1) of them does not exceed.
#[must_use]
pub fn nearest_rank(quantile: f64, count: u64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
    // The subtraction undoes the rounding error of a product such as 0.999 * 1000 = 999.0000000000001.
    let rank = (quantile * count as f64 - 1e-6).ceil() as u64;
    rank.clamp(1, count.max(1))
}

/// The smallest recorded time that at least a share `quantile` (0 to 1) of `total` operations did not exceed, where the
/// operations that are not in the histogram count as infinitely late. `None` if the rank falls among those, or there
/// are none at all.
///
/// Its rank is [`nearest_rank`].
#[must_use]
pub fn percentile(histogram: &Histogram<u64>, total: u64, quantile: f64) -> Option<u64> {
    let rank = nearest_rank(quantile, total);
    let mut passed: u64 = 0;
    histogram
        .iter_recorded()
        .find(|step| {
            passed = passed.saturating_add(step.count_since_last_iteration());
            passed >= rank
        })
        .map(|step| step.value_iterated_to())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_rank_over_everything_due() {
        let mut served = histogram();
        for value in 1..=1_000 {
            served.record(value).unwrap();
        }
        for (total, quantile, expected) in [
            (1_000, 0.5, Some(500)),
            (1_000, 0.99, Some(990)),
            (1_000, 0.999, Some(999)),
            (1_000, 1.0, Some(1_000)),
            (1_000, 0.0, Some(1)),
            (2_000, 0.5, Some(1_000)),
            (2_000, 0.501, None),
            (1_001, 1.0, None),
            (1_001, 0.999, Some(1_000)),
        ] {
            assert_eq!(percentile(&served, total, quantile), expected, "{quantile} of {total}");
        }
        assert_eq!(percentile(&histogram(), 0, 0.5), None);
        assert_eq!(percentile(&histogram(), 10, 0.5), None);
        let mut any = histogram();
        any.record_n(1, u64::MAX - 1).unwrap();
        any.record_n(2, 5).unwrap();
        assert_eq!(percentile(&any, u64::MAX, 1.0), Some(2), "the counts of a file may be any");
    }

    #[test]
    fn each_percentile_has_its_least_number_of_operations() {
        for (percentile, quantile, least) in [
            (Percentile::P50, 0.5, 20),
            (Percentile::P90, 0.9, 100),
            (Percentile::P99, 0.99, 1_000),
            (Percentile::P999, 0.999, 10_000),
            (Percentile::Max, 1.0, 1),
        ] {
            assert_eq!((percentile.quantile(), percentile.least()), (quantile, least), "{percentile:?}");
            // At the least number, at least one operation is not later.
            assert!(quantile * least as f64 >= 1.0);
        }
    }
}

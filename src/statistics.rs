//! How sure a figure is: exact intervals of shares, and of what few pairs of trials say.
//!
//! Nothing here assumes a distribution. A share has the interval of Clopper and Pearson. The median of pairs has the interval
//! that its order statistics give (the inverse of the sign test), which holds for any shape and any tail of the distribution, and
//! says nothing of fewer than six pairs. What it asks is that the pairs are independent of each other, which a drift of the
//! machine leaves them, since both halves of a pair run next to each other and change places from pair to pair.
//!
//! `tests/suite/coverage.rs` shows by simulation that both cover what they say they do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::distribution::{Beta, Binomial, ContinuousCDF as _, DiscreteCDF as _};

/// How often an interval may miss what it is about, where nothing else is said.
pub const ERROR_SHARE: f64 = 0.05;

/// The fewest pairs of which the median has an interval: of five, the smallest and the largest are on the same side of it in
/// one case of sixteen.
pub const PAIRS_LEAST: usize = 6;

/// Bounds. In files it is a list of both.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "[f64; 2]", into = "[f64; 2]")]
pub struct Interval {
    /// The lower bound.
    pub low: f64,
    /// The upper bound.
    pub high: f64,
}

impl From<[f64; 2]> for Interval {
    fn from([low, high]: [f64; 2]) -> Self {
        Self { low, high }
    }
}

impl From<Interval> for [f64; 2] {
    fn from(Interval { low, high }: Interval) -> Self {
        [low, high]
    }
}

impl Interval {
    /// Whether all of it lies above a value.
    #[must_use]
    pub fn is_above(&self, value: f64) -> bool {
        self.low > value
    }

    /// Whether all of it lies below a value.
    #[must_use]
    pub fn is_below(&self, value: f64) -> bool {
        self.high < value
    }

    /// Both bounds after a change that keeps their order.
    #[must_use]
    pub fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        Self { low: change(self.low), high: change(self.high) }
    }
}

/// The interval of a share, of which `hits` cases of `of` were seen (Clopper and Pearson, 1934); all that can be where nothing
/// was seen.
///
/// Each of its two bounds is missed in half of [`ERROR_SHARE`] of all cases at most. Where all or none were hits there is one bound, which
/// is missed in [`ERROR_SHARE`] of all cases at most, as the rule of three has it: 51 of 51 is at least 94 %. Of a share for which both
/// can happen, a few cases of the same size, that is together one and a half times [`ERROR_SHARE`] at most.
#[must_use]
pub fn share_interval(hits: u64, of: u64) -> Interval {
    let hits = hits.min(of);
    let misses = of - hits;
    let tail = if hits == 0 || misses == 0 { ERROR_SHARE } else { ERROR_SHARE / 2.0 };
    let quantile =
        |share: f64, hits: u64| Beta::new(hits as f64, (of + 1 - hits) as f64).map(|beta| beta.inverse_cdf(share));
    // The parameters are above 0 where they are used.
    let low = if hits == 0 { 0.0 } else { quantile(tail, hits).unwrap_or(0.0) };
    let high = if misses == 0 { 1.0 } else { quantile(1.0 - tail, hits + 1).unwrap_or(1.0) };
    Interval { low, high }
}

/// The median of values, the mean of the two in the middle where their number is even; `None` of none.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// The smallest of the values that so large a share (0 to 1) of them does not exceed; `None` of none.
#[must_use]
pub fn quantile(values: &[f64], share: f64) -> Option<f64> {
    let sorted = sorted(values);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a count")]
    let rank = ((share * sorted.len() as f64 - 1e-9).ceil() as usize).clamp(1, sorted.len().max(1));
    sorted.get(rank - 1).copied()
}

/// The interval of the median of what the values are a sample of, which misses it in `error_share` of all cases at most; `None`
/// of too few values, for 5 % fewer than [`PAIRS_LEAST`].
///
/// It reaches from the k-th smallest value to the k-th largest. The median lies outside where fewer than k of them are on one
/// side of it, as with so many throws of a coin: k is the largest of which both together have at most that share.
#[must_use]
pub fn median_interval(values: &[f64], error_share: f64) -> Option<Interval> {
    let count = values.len();
    let coin = Binomial::new(0.5, count as u64).ok()?;
    let outside = |skipped: &usize| 2.0 * coin.cdf(*skipped as u64);
    let skipped = (0..count / 2).take_while(|skipped| outside(skipped) <= error_share).last()?;
    let sorted = sorted(values);
    Some(Interval { low: sorted[skipped], high: sorted[count - 1 - skipped] })
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_the_interval_of_clopper_and_pearson() {
        // scipy 1.16: scipy.stats.beta.ppf, one-sided where all or none were seen.
        for (hits, of, low, high) in [
            (51, 51, 0.942_952_048, 1.0),
            (4, 4, 0.472_870_805, 1.0),
            (0, 10, 0.0, 0.258_865_551),
            (7, 10, 0.347_547_150, 0.933_260_489),
            (1, 20, 0.001_265_089, 0.248_732_763),
            (299, 300, 0.981_568_748, 0.999_915_611),
            (1, 1, 0.05, 1.0),
            (500, 1_000, 0.468_549_173, 0.531_450_827),
            (0, 0, 0.0, 1.0),
            (9, 4, 0.472_870_805, 1.0),
        ] {
            let found = share_interval(hits, of);
            let is_near = (found.low - low).abs() < 1e-8 && (found.high - high).abs() < 1e-8;
            assert!(is_near, "{hits} of {of}: {found:?}, not {low} to {high}");
        }
    }

    #[test]
    fn medians_and_quantiles_by_table() {
        for (values, expected) in [
            (&[][..], None),
            (&[3.0], Some(3.0)),
            (&[3.0, 1.0], Some(2.0)),
            (&[9.0, 1.0, 2.0], Some(2.0)),
            (&[f64::INFINITY, 1.0, 2.0], Some(2.0)),
        ] {
            assert_eq!(median(values), expected, "{values:?}");
        }
        let ten: Vec<f64> = (1..=10).map(f64::from).collect();
        for (share, expected) in [(0.0, 1.0), (0.1, 1.0), (0.5, 5.0), (0.9, 9.0), (0.91, 10.0), (1.0, 10.0)] {
            assert_eq!(quantile(&ten, share), Some(expected), "{share}");
        }
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn the_median_has_the_interval_of_the_sign_test() {
        // scipy 1.16: the largest k with 2 * scipy.stats.binom.cdf(k, n, 0.5) <= 0.05 values are skipped on each side.
        let skipped = [
            (6, 0),
            (8, 0),
            (9, 1),
            (11, 1),
            (12, 2),
            (14, 2),
            (15, 3),
            (17, 4),
            (20, 5),
            (23, 6),
            (25, 7),
            (28, 8),
            (30, 9),
        ];
        for (count, skipped) in skipped {
            let values: Vec<f64> = (0..count).rev().map(f64::from).collect();
            let expected = Interval { low: f64::from(skipped), high: f64::from(count - 1 - skipped) };
            assert_eq!(median_interval(&values, ERROR_SHARE), Some(expected), "of {count}");
        }
        for count in 0..PAIRS_LEAST {
            assert_eq!(median_interval(&vec![1.0; count], ERROR_SHARE), None, "of {count}");
        }
        // A smaller share takes more of them: 2 / 2^8 is more than a thousandth, 2 / 2^11 is less.
        assert_eq!(median_interval(&[1.0; 8], 0.001), None);
        assert!(median_interval(&[1.0; 11], 0.001).is_some());
    }

    #[test]
    fn an_interval_is_a_list_in_files() {
        let interval = Interval { low: 0.5, high: 2.0 };
        assert_eq!(serde_json::to_string(&interval).unwrap(), "[0.5,2.0]");
        assert_eq!(serde_json::from_str::<Interval>("[0.5, 2]").unwrap(), interval);
        assert!(interval.is_above(0.4) && !interval.is_above(0.5) && interval.is_below(2.1) && !interval.is_below(2.0));
    }
}

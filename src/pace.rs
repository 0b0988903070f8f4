//! When operation `n` is due: pure arithmetic on its index.
//!
//! Load is open-loop: due times follow from the scenario alone, never from how fast the database answers. The `n`-th
//! arrival of a process with one arrival a second on average is at `u(n)`: `n` where arrivals are constant, the sum of
//! `n` exponential gaps where they are Poisson. A rate turns that into seconds.
//!
//! A [`Schedule`] is a cursor: Poisson gaps are functions of `(seed, index)`, so every worker that walks the same
//! schedule sees the same due times, whichever indices it claims. Nobody sleeps here.

use rand_distr::{Distribution, Exp1};
use serde::{Deserialize, Serialize};

use crate::random::generator;

/// How arrivals are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// Equal gaps.
    Constant,
    /// Exponentially distributed gaps, as of many independent clients.
    Poisson,
}

/// The due times of one stream of operations, walked in ascending order of index.
#[derive(Debug, Clone)]
pub struct Schedule {
    arrivals: Arrivals,
    rate_ops: f64,
    seed: u64,
    /// Nanoseconds: nothing is due at or after it.
    end_ns: u64,
    /// The next Poisson gap to add, and the sum of those before it, in units of the mean gap.
    next_gap: u64,
    sum: f64,
}

impl Schedule {
    /// Arrivals at `rate_ops` operations a second, until `end_ns` nanoseconds after the start.
    #[must_use]
    pub fn new(arrivals: Arrivals, rate_ops: f64, seed: u64, end_ns: u64) -> Self {
        Self { arrivals, rate_ops, seed, end_ns, next_gap: 0, sum: 0.0 }
    }

    /// Nanoseconds from the start to the instant at which operation `index` is due, or `None` if that is not before the
    /// end. Indices must not descend from call to call: the cursor does not walk back.
    ///
    /// Operation 0 is due at 0 where arrivals are constant, after one gap where they are Poisson. A Poisson index costs
    /// some 10 ns for each index passed over.
    pub fn due_ns(&mut self, index: u64) -> Option<u64> {
        let units = match self.arrivals {
            Arrivals::Constant => index as f64,
            Arrivals::Poisson => {
                debug_assert!(self.next_gap <= index + 1, "indices ascend");
                while self.next_gap <= index {
                    let gap: f64 = Exp1.sample(&mut generator(self.seed, self.next_gap));
                    self.sum += gap;
                    self.next_gap += 1;
                }
                self.sum
            }
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and saturates")]
        let due_ns = (units / self.rate_ops * 1e9).round() as u64;
        (due_ns < self.end_ns).then_some(due_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn constant_arrivals_by_table() {
        for (rate, index, due) in [
            (1.0, 0, Some(0)),
            (1.0, 9, Some(9 * SECOND)),
            (1.0, 10, None),
            (8_000.0, 1, Some(125_000)),
            (8_000.0, 79_999, Some(9_999_875_000)),
            (8_000.0, 80_000, None),
            (17_000.0, 17_000, Some(SECOND)),
            (3.0, 1, Some(333_333_333)),
            (0.5, 4, Some(8 * SECOND)),
            (0.5, 5, None),
        ] {
            let mut schedule = Schedule::new(Arrivals::Constant, rate, 1, 10 * SECOND);
            assert_eq!(schedule.due_ns(index), due, "operation {index} at {rate}/s");
        }
    }

    #[test]
    fn poisson_arrivals_do_not_depend_on_who_asks() {
        let schedule = Schedule::new(Arrivals::Poisson, 8_000.0, 7, 10 * SECOND);
        let mut every = schedule.clone();
        let all: Vec<_> = (0..1_000).map(|index| every.due_ns(index)).collect();
        let mut odd = schedule.clone();
        for index in (1..1_000).step_by(2) {
            assert_eq!(odd.due_ns(index), all[usize::try_from(index).unwrap()]);
        }
        assert!(all.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_the_spread_of_an_exponential() {
        let mut schedule = Schedule::new(Arrivals::Poisson, 1_000.0, 310, u64::MAX);
        let dues: Vec<f64> = (0..100_000).map(|index| schedule.due_ns(index).unwrap() as f64 / 1e6).collect();
        let gaps: Vec<f64> = dues.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!((mean - 1.0).abs() < 0.02, "mean gap {mean} ms");
        assert!((deviation - 1.0).abs() < 0.02, "standard deviation {deviation} ms");
    }
}

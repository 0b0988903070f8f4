//! When operation `n` is due: pure arithmetic on its index.
//!
//! Load is open-loop: due times follow from the scenario alone, never from how fast the database answers. The `n`-th
//! arrival of a process with one arrival a second on average is at `u(n)`: `n` where arrivals are constant, the sum of
//! `n + 1` exponential gaps where they are Poisson. A [`Rate`] that changes over time turns that into seconds: the
//! instant at which it has brought `u(n)` arrivals.
//!
//! A [`Schedule`] is a cursor: Poisson gaps are functions of `(seed, index)`, so every worker that walks the same
//! schedule sees the same due times, whichever indices it claims. The closed loop, in which an operation is due when
//! the one before it has ended, has no due times and no schedule. Nobody sleeps here.

use rand_distr::{Distribution, Exp1};
use serde::{Deserialize, Serialize};

use crate::random::generator;

/// How arrivals are spread around the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// Equal gaps.
    Constant,
    /// Exponentially distributed gaps, as of many independent clients.
    Poisson,
}

/// Arrivals a second, as they change over time: pieces in which the rate is constant or changes linearly. After the last
/// piece its final rate goes on.
#[derive(Debug, Clone, PartialEq)]
pub struct Rate {
    pieces: Vec<Piece>,
}

/// A stretch of time in which the rate changes linearly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// How long it lasts, in seconds, more than 0.
    pub duration_s: f64,
    /// Arrivals a second at its beginning, not negative.
    pub from_ops: f64,
    /// Arrivals a second at its end, not negative.
    pub to_ops: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Piece {
    starts_s: f64,
    /// Arrivals on average before it, and in it.
    before: f64,
    arrivals: f64,
    step: Step,
}

impl Rate {
    /// The same rate for ever.
    #[must_use]
    pub fn constant(rate_ops: f64) -> Self {
        Self::steps(&[Step { duration_s: 1.0, from_ops: rate_ops, to_ops: rate_ops }])
    }

    /// One step after the other.
    #[must_use]
    pub fn steps(steps: &[Step]) -> Self {
        let (mut starts_s, mut before) = (0.0, 0.0);
        let pieces = steps.iter().map(|step| {
            let arrivals = f64::midpoint(step.from_ops, step.to_ops) * step.duration_s;
            let piece = Piece { starts_s, before, arrivals, step: *step };
            starts_s += step.duration_s;
            before += arrivals;
            piece
        });
        Self { pieces: pieces.collect() }
    }

    /// A share of the rate.
    #[must_use]
    pub fn scaled(&self, share: f64) -> Self {
        let scale = |piece: &Piece| Step {
            from_ops: piece.step.from_ops * share,
            to_ops: piece.step.to_ops * share,
            ..piece.step
        };
        Self::steps(&self.pieces.iter().map(scale).collect::<Vec<_>>())
    }

    /// Arrivals on average from the start until `at_s`.
    #[must_use]
    pub(crate) fn arrivals_until(&self, at_s: f64) -> f64 {
        let index = self.pieces.partition_point(|piece| piece.starts_s <= at_s).saturating_sub(1);
        let Some(piece) = self.pieces.get(index) else { return 0.0 };
        let Step { duration_s, from_ops, to_ops } = piece.step;
        let within_s = (at_s - piece.starts_s).clamp(0.0, duration_s);
        let ramped = from_ops * within_s + (to_ops - from_ops) / (2.0 * duration_s) * within_s * within_s;
        // Only the last piece can be left behind.
        piece.before + ramped + to_ops * (at_s - piece.starts_s - duration_s).max(0.0)
    }

    /// Seconds from the start until there have been `arrivals` on average; infinite where there never are. `piece` is
    /// where to look first, and is moved on.
    fn time_of(&self, arrivals: f64, piece: &mut usize) -> f64 {
        while let Some(at) = self.pieces.get(*piece) {
            let left = arrivals - at.before;
            let Step { duration_s, from_ops, to_ops } = at.step;
            if left <= at.arrivals && at.arrivals > 0.0 {
                // The root of slope / 2 * t^2 + from * t = left that loses no digits where the slope is small.
                let slope = (to_ops - from_ops) / duration_s;
                let root = (from_ops * from_ops + 2.0 * slope * left).max(0.0).sqrt();
                return at.starts_s + if left > 0.0 { 2.0 * left / (from_ops + root) } else { 0.0 };
            }
            if *piece + 1 == self.pieces.len() {
                let more_s = if to_ops > 0.0 { (left - at.arrivals) / to_ops } else { f64::INFINITY };
                return at.starts_s + duration_s + more_s;
            }
            *piece += 1;
        }
        f64::INFINITY
    }
}

/// The due times of one stream of operations, walked in ascending order of index.
#[derive(Debug, Clone)]
pub struct Schedule {
    spread: Spread,
    rate: Rate,
    seed: u64,
    /// Nanoseconds: nothing is due at or after it.
    end_ns: u64,
    /// The next Poisson gap to add, and the sum of those before it, in units of the mean gap.
    next_gap: u64,
    sum: f64,
    /// The piece of the rate that the last answer lay in.
    piece: usize,
}

impl Schedule {
    /// Arrivals at a rate, until `end_ns` nanoseconds after the start.
    #[must_use]
    pub fn new(spread: Spread, rate: Rate, seed: u64, end_ns: u64) -> Self {
        Self { spread, rate, seed, end_ns, next_gap: 0, sum: 0.0, piece: 0 }
    }

    /// Nanoseconds from the start to the instant at which operation `index` is due, or `None` if that is not before the
    /// end. Indices must not descend from call to call: the cursor does not walk back.
    ///
    /// Operation 0 is due at 0 where arrivals are constant, after one gap where they are Poisson. A Poisson index costs
    /// some 10 ns for each index passed over.
    pub fn due_ns(&mut self, index: u64) -> Option<u64> {
        let arrivals = match self.spread {
            Spread::Constant => index as f64,
            Spread::Poisson => {
                while self.next_gap <= index {
                    let gap: f64 = Exp1.sample(&mut generator(self.seed, self.next_gap));
                    self.sum += gap;
                    self.next_gap += 1;
                }
                self.sum
            }
        };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and saturates")]
        let due_ns = (self.rate.time_of(arrivals, &mut self.piece) * 1e9).round() as u64;
        (due_ns < self.end_ns).then_some(due_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn constant_arrivals_by_table() {
        for (rate_ops, index, due) in [
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
            let mut schedule = Schedule::new(Spread::Constant, Rate::constant(rate_ops), 1, 10 * SECOND);
            assert_eq!(schedule.due_ns(index), due, "operation {index} at {rate_ops}/s");
        }
    }

    fn step(duration_s: f64, from_ops: f64, to_ops: f64) -> Step {
        Step { duration_s, from_ops, to_ops }
    }

    #[test]
    fn changing_rates_by_table() {
        let steps = [step(2.0, 10.0, 10.0), step(1.0, 0.0, 0.0), step(4.0, 100.0, 100.0)];
        let ramp = [step(10.0, 0.0, 20.0)];
        let fall = [step(10.0, 20.0, 0.0)];
        for (name, steps, index, due_s) in [
            ("first step", &steps[..], 10, 1.0),
            ("end of the first step", &steps, 20, 2.0),
            ("across the pause", &steps, 21, 3.01),
            ("third step", &steps, 120, 4.0),
            ("after the last step", &steps, 620, 9.0),
            // A ramp from 0 to 20 in 10 s has brought t^2 arrivals after t seconds.
            ("ramp", &ramp, 1, 1.0),
            ("ramp", &ramp, 25, 5.0),
            ("end of the ramp", &ramp, 100, 10.0),
            ("after the ramp", &ramp, 140, 12.0),
            // The way back: 100 - (10 - t)^2.
            ("fall", &fall, 75, 5.0),
            ("fall", &fall, 99, 9.0),
        ] {
            let mut schedule = Schedule::new(Spread::Constant, Rate::steps(steps), 1, u64::MAX);
            let found_s = schedule.due_ns(index).unwrap() as f64 / 1e9;
            assert!((found_s - due_s).abs() < 1e-6, "{name}, operation {index}: {found_s} s, not {due_s} s");
            let arrivals = Rate::steps(steps).arrivals_until(due_s);
            assert!((arrivals - index as f64).abs() < 1e-6, "{name}: {arrivals} arrivals until {due_s} s, not {index}");
        }
        let mut ended = Schedule::new(Spread::Constant, Rate::steps(&fall), 1, u64::MAX);
        assert_eq!(ended.due_ns(101), None, "a rate of 0 brings no more");
    }

    #[test]
    fn a_share_of_a_rate_keeps_its_shape() {
        let rate = Rate::steps(&[step(2.0, 10.0, 30.0), step(1.0, 5.0, 5.0)]).scaled(0.1);
        assert!((rate.arrivals_until(2.0) - 4.0).abs() < 1e-9);
        assert!((rate.arrivals_until(3.0) - 4.5).abs() < 1e-9);
    }

    #[test]
    fn poisson_arrivals_do_not_depend_on_who_asks() {
        let schedule = Schedule::new(Spread::Poisson, Rate::constant(8_000.0), 7, 10 * SECOND);
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
        let mut schedule = Schedule::new(Spread::Poisson, Rate::constant(1_000.0), 310, u64::MAX);
        let dues: Vec<f64> = (0..100_000).map(|index| schedule.due_ns(index).unwrap() as f64 / 1e6).collect();
        let gaps: Vec<f64> = dues.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let deviation = (gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
        assert!((mean - 1.0).abs() < 0.02, "mean gap {mean} ms");
        assert!((deviation - 1.0).abs() < 0.02, "standard deviation {deviation} ms");
    }
}

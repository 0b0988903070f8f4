//! How long a copy takes that begins again at every commit of another connection, and what was seen of such copies.
//!
//! Commits come at random, at a rate r, as many independent clients make them. A copy that takes T undisturbed ends in the first gap
//! between two of them that is as long. A gap is as long with the probability p = e^(-rT), so that a copy begins again 1/p - 1 times
//! on average, and has ended after (e^(rT) - 1)/r: the mean waiting time for the first gap of a length in a Poisson process.

use crate::statistics::Interval;

/// What the logarithm of a likelihood may be below its greatest inside an interval of 95 %: half of the quantile of chi-squared with
/// one degree of freedom (Wilks, 1938).
const LOG_LIKELIHOOD_DROP: f64 = 3.841_458_8 / 2.0;

/// Euler's constant; the standard library has it from Rust 1.94 on.
const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;

/// Copies of one size, made while commits came at one rate: whether a commit came before the first attempt had ended. Later attempts are
/// left out: of those that a deadline cuts off, more would have come to their end than of the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Attempts {
    /// Size of the database.
    pub bytes: f64,
    /// Commits a second.
    pub rate: f64,
    /// Copies that ended at the first attempt.
    pub undisturbed: u64,
    /// Copies that began again.
    pub disturbed: u64,
}

/// A figure that was fitted, with its interval of 95 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fitted {
    /// The likeliest value.
    pub value: f64,
    /// What chance leaves open. That the model holds is taken for granted.
    pub interval: Interval,
}

impl Fitted {
    /// What follows from it, where that grows with it.
    #[must_use]
    pub fn map(&self, change: impl Fn(f64) -> f64) -> Self {
        Self { value: change(self.value), interval: self.interval.map(change) }
    }
}

/// The undisturbed time for a byte, in seconds, that makes what was seen likeliest. `None` where all copies were disturbed, or none: then
/// anything beyond a bound is as likely.
#[must_use]
pub fn fit(seen: &[Attempts]) -> Option<Fitted> {
    let of = |count: fn(&Attempts) -> u64| seen.iter().filter(|one| one.rate > 0.0).map(count).sum::<u64>();
    if of(|one| one.undisturbed) == 0 || of(|one| one.disturbed) == 0 {
        return None;
    }
    // Where the largest r times the bytes takes it, r T is 1: the likeliest value lies within many powers of ten of that.
    let scale = seen.iter().map(|one| one.rate * one.bytes).fold(0.0, f64::max);
    let (least, most) = (1e-9 / scale, 1e6 / scale);
    let value = bisect(least, most, |s_per_byte| slope(seen, s_per_byte) < 0.0);
    let enough = log_likelihood(seen, value) - LOG_LIKELIHOOD_DROP;
    let low = bisect(least, value, |s_per_byte| log_likelihood(seen, s_per_byte) > enough);
    let high = bisect(value, most, |s_per_byte| log_likelihood(seen, s_per_byte) < enough);
    Some(Fitted { value, interval: Interval { low, high } })
}

/// Of what was seen: an attempt ends with the probability e^(-x), x = r T.
fn log_likelihood(seen: &[Attempts], s_per_byte: f64) -> f64 {
    let of = |one: &Attempts| {
        let x = one.rate * one.bytes * s_per_byte;
        // ln(1 - e^(-x)).
        let again = if one.disturbed == 0 { 0.0 } else { one.disturbed as f64 * (-(-x).exp_m1()).ln() };
        again - one.undisturbed as f64 * x
    };
    seen.iter().filter(|one| one.rate > 0.0).map(of).sum()
}

/// Of that, by the time for a byte: it falls all the way.
fn slope(seen: &[Attempts], s_per_byte: f64) -> f64 {
    let of = |one: &Attempts| {
        let factor = one.rate * one.bytes;
        factor * (one.disturbed as f64 / (factor * s_per_byte).exp_m1() - one.undisturbed as f64)
    };
    seen.iter().filter(|one| one.rate > 0.0).map(of).sum()
}

/// How long a copy takes on average that takes `undisturbed_s` where nobody commits.
#[must_use]
pub fn mean_s(rate: f64, undisturbed_s: f64) -> f64 {
    if rate > 0.0 { (rate * undisturbed_s).exp_m1() / rate } else { undisturbed_s }
}

/// The share of such copies that end within a deadline. Those that do not become fewer as e^(-at), for what is not much shorter than T: a is
/// the other root than r of a = r e^(-(r - a)T), where the Laplace transform of the waiting time has its first pole. A simulation
/// agrees within 0.03.
#[must_use]
pub fn share_that_ends(rate: f64, undisturbed_s: f64, deadline_s: f64) -> f64 {
    if undisturbed_s > deadline_s {
        return 0.0;
    }
    let x = rate * undisturbed_s;
    if x <= 0.0 {
        return 1.0;
    }
    // Both in units of 1/T: the roots are one on this side of 1 and one on the other, or both are 1.
    let is_beyond = |a: f64| x.ln() - (x - a) < a.ln();
    let a = if x > 1.0 { bisect(1e-300, 1.0, is_beyond) } else { bisect(1.0, 1e3, |a| !is_beyond(a)) };
    let factor = if (x - 1.0).abs() < 1e-3 { 2.0 } else { (1.0 - a / x) / (1.0 - a) };
    let left = factor * (-a * deadline_s / undisturbed_s).exp();
    // At least as many end as at the first attempt.
    1.0 - left.clamp(0.0, -(-x).exp_m1())
}

/// Up to how many commits a second so large a share of such copies ends within a deadline; `None` where they take longer than that
/// even undisturbed.
#[must_use]
pub fn rate_that_ends(share: f64, undisturbed_s: f64, deadline_s: f64) -> Option<f64> {
    let most = 1e3 / undisturbed_s;
    (undisturbed_s <= deadline_s)
        .then(|| bisect(1e-9 / undisturbed_s, most, |rate| share_that_ends(rate, undisturbed_s, deadline_s) < share))
}

/// The longest gap to expect between commits that come at random, in seconds: the mean of the largest of n = r t exponential times,
/// (1 + 1/2 + ... + 1/n)/r, by Euler's expansion of that sum, which is within 8 % from one commit on, and
/// within 0.1 % from ten on.
#[must_use]
pub fn longest_gap_s(rate: f64, duration_s: f64) -> f64 {
    let gaps = rate * duration_s;
    if gaps < 1.0 {
        return duration_s;
    }
    (gaps.ln() + EULER_GAMMA + 1.0 / (2.0 * gaps)) / rate
}

/// Where a condition begins to hold between two positive numbers of which it holds for the second alone, by their geometric mean.
fn bisect(mut low: f64, mut high: f64, holds: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..200 {
        let middle = (low * high).sqrt();
        if holds(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    (low * high).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt as _;

    use crate::random::generator;

    /// The times after which copies have ended.
    fn simulated(rate: f64, undisturbed_s: f64, deadline_s: f64) -> Vec<(Option<f64>, u64)> {
        let copy = |number: u64| {
            let mut random = generator(7, number);
            let (mut time_s, mut begun_again) = (0.0, 0);
            loop {
                let gap_s = -(1.0 - random.random::<f64>()).ln() / rate;
                if gap_s >= undisturbed_s {
                    let end_s = time_s + undisturbed_s;
                    return ((end_s <= deadline_s).then_some(end_s), begun_again);
                }
                time_s += gap_s;
                if time_s > deadline_s {
                    return (None, begun_again);
                }
                begun_again += 1;
            }
        };
        (0..4_000).map(copy).collect()
    }

    #[test]
    fn the_mean_and_the_share_are_those_of_a_simulation() {
        for (rate, undisturbed_s, deadline_s) in
            [(1.0, 2.0, 1e9), (2.0, 1.5, 40.0), (0.3, 4.0, 20.0), (5.0, 0.7, 30.0), (0.25, 4.0, 9.0), (0.1, 4.0, 6.0)]
        {
            let copies = simulated(rate, undisturbed_s, deadline_s);
            let ended: Vec<f64> = copies.iter().filter_map(|(end_s, _)| *end_s).collect();
            let share = ended.len() as f64 / copies.len() as f64;
            let expected = share_that_ends(rate, undisturbed_s, deadline_s);
            assert!((share - expected).abs() < 0.03, "{rate}, {undisturbed_s}, {deadline_s}: {share}, not {expected}");
            if deadline_s > 1e6 {
                let mean = ended.iter().sum::<f64>() / ended.len() as f64;
                let expected = mean_s(rate, undisturbed_s);
                assert!((mean / expected - 1.0).abs() < 0.05, "{mean}, not {expected}");
            }
        }
        assert!((mean_s(0.0, 3.0) - 3.0).abs() < 1e-12 && share_that_ends(1.0, 3.0, 2.0).abs() < 1e-12);
        assert!((share_that_ends(0.0, 3.0, 4.0) - 1.0).abs() < 1e-12, "nobody commits");
    }

    #[test]
    fn what_was_simulated_is_found_again() {
        const S_PER_BYTE: f64 = 4e-9;
        let seen: Vec<_> = [(0.2e9, 0.5), (0.5e9, 0.5), (1e9, 0.5), (2e9, 0.25)]
            .into_iter()
            .map(|(bytes, rate)| {
                let copies = simulated(rate, bytes * S_PER_BYTE, 20.0);
                let disturbed = copies.iter().filter(|(_, again)| *again > 0).count() as u64;
                Attempts { bytes, rate, undisturbed: copies.len() as u64 - disturbed, disturbed }
            })
            .collect();
        let Fitted { value, interval } = fit(&seen).unwrap();
        assert!(interval.low < S_PER_BYTE && S_PER_BYTE < interval.high, "{value} {interval:?}");
        assert!((value / S_PER_BYTE - 1.0).abs() < 0.03 && interval.high / interval.low < 1.1, "{value} {interval:?}");
    }

    #[test]
    fn one_group_has_the_share_that_ended() {
        let one = Attempts { bytes: 1e9, rate: 2.0, undisturbed: 3, disturbed: 9 };
        let x = (4.0_f64).ln();
        assert!((fit(&[one]).unwrap().value / (x / 2e9) - 1.0).abs() < 1e-6);
        for none in
            [Attempts { undisturbed: 0, ..one }, Attempts { disturbed: 0, ..one }, Attempts { rate: 0.0, ..one }]
        {
            assert_eq!(fit(&[none]), None, "{none:?}");
        }
    }

    #[test]
    fn the_rate_is_the_one_at_which_the_share_ends() {
        for (share, undisturbed_s, deadline_s) in [(0.5, 60.0, 3_600.0), (0.95, 1.0, 10.0), (0.5, 3_000.0, 3_600.0)] {
            let rate = rate_that_ends(share, undisturbed_s, deadline_s).unwrap();
            assert!((share_that_ends(rate, undisturbed_s, deadline_s) - share).abs() < 1e-6, "{rate}");
        }
        assert_eq!(rate_that_ends(0.5, 61.0, 60.0), None);
    }

    #[test]
    fn the_longest_gap_is_the_mean_of_the_largest() {
        for (rate, duration_s, expected_s) in
            [(1.0, 1.0, 1.0), (2.0, 1.0, 0.75), (0.5, 8.0, 25.0 / 6.0), (0.1, 3.0, 3.0)]
        {
            let found_s = longest_gap_s(rate, duration_s);
            assert!((found_s / expected_s - 1.0).abs() < 0.08, "{rate} {duration_s}: {found_s}");
        }
    }

    #[test]
    fn the_failed_night_is_what_the_model_says() {
        // 15.8 hours at one commit a second: the mean of the longest of 57,000 gaps is the sum of their reciprocals.
        let sum: f64 = (1..=56_880).map(|count| 1.0 / f64::from(count)).sum();
        assert!((longest_gap_s(1.0, 56_880.0) / sum - 1.0).abs() < 1e-6);
        // A copy of 17 GB that took but a minute would have ended within that night once in billions of nights.
        assert!(share_that_ends(1.0, 60.0, 56_880.0) < 1e-20);
    }
}

//! The percentiles of times that were measured one by one. Which there are follows the rules of [`crate::measure`].

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::measure::{Percentile, nearest_rank};

/// How long something took that was done several times, in microseconds. A percentile is `None` where there were too few times
/// for it: a median needs 20, p90 100 and p99 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Latencies {
    /// How often it was done.
    pub count: u64,
    /// Median, in microseconds.
    pub p50_us: Option<u64>,
    /// 90th percentile, in microseconds.
    pub p90_us: Option<u64>,
    /// 99th percentile, in microseconds.
    pub p99_us: Option<u64>,
    /// Longest, in microseconds.
    pub max_us: u64,
}

impl Latencies {
    /// Of these times; `None` where there are none.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let microseconds = |time: &Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let max_us = microseconds(times.last()?);
        let count = times.len() as u64;
        let value = |percentile: Percentile| {
            let place = usize::try_from(nearest_rank(percentile.quantile(), count) - 1).ok()?;
            times.get(place).filter(|_| count >= percentile.least()).map(microseconds)
        };
        Some(Self {
            count,
            p50_us: value(Percentile::P50),
            p90_us: value(Percentile::P90),
            p99_us: value(Percentile::P99),
            max_us,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_needs_enough_times() {
        let of = |count: u64| {
            let latencies = Latencies::of((1..=count).rev().map(Duration::from_micros).collect())?;
            let Latencies { count: counted, p50_us, p90_us, p99_us, max_us } = latencies;
            assert_eq!(counted, count);
            Some((p50_us, p90_us, p99_us, max_us))
        };
        for (count, expected) in [
            (0, None),
            (1, Some((None, None, None, 1))),
            (19, Some((None, None, None, 19))),
            (20, Some((Some(10), None, None, 20))),
            (99, Some((Some(50), None, None, 99))),
            (100, Some((Some(50), Some(90), None, 100))),
            (999, Some((Some(500), Some(900), None, 999))),
            (1_000, Some((Some(500), Some(900), Some(990), 1_000))),
            (1_100, Some((Some(550), Some(990), Some(1_089), 1_100))),
        ] {
            assert_eq!(of(count), expected, "of {count}");
        }
    }

    #[test]
    fn a_time_below_a_microsecond_is_none_of_them() {
        let latencies = Latencies::of(vec![Duration::from_nanos(900); 20]).unwrap();
        assert_eq!((latencies.p50_us, latencies.max_us), (Some(0), 0));
    }
}

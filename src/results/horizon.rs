//! What a snapshot cost the others, over the same time for every strategy: the horizon, and the parts of the snapshot in it.

use std::fmt;

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::measure::{Counts, KindTally, OperationKind, Percentile};

/// A part of a horizon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PartName {
    /// The strategy's process runs, or the writer copies.
    Copy,
    /// The harness syncs what the strategy left, where the scenario says so.
    Sync,
    /// The steps after the snapshot, where they are done during the load.
    Steps,
    /// The snapshot has ended; of the control, all of the horizon.
    Settle,
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Copy => "copy",
            Self::Sync => "sync",
            Self::Steps => "steps",
            Self::Settle => "settle",
        })
    }
}

/// From the beginning of a snapshot on, equally long for every strategy, unless the load or the next snapshot ends it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HorizonResult {
    /// All of it.
    #[serde(flatten)]
    pub window: WindowResult,
    /// Its parts, in time order. They follow each other without a gap.
    pub parts: Vec<PartResult>,
}

/// A part of a horizon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "HorizonPart")]
pub struct PartResult {
    /// Which.
    pub name: PartName,
    /// What was measured in it.
    #[serde(flatten)]
    pub window: WindowResult,
}

/// What was measured in a stretch of time. Histograms are kept of phases only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WindowResult {
    /// When it began, in seconds from the start of the load.
    pub started_s: f64,
    /// How long it lasted.
    pub duration_s: f64,
    /// The longest time in it in which a write was due or waiting and none was committed; `None` where it is not known, because
    /// a listener writes what operations queue.
    pub stalled_s: Option<f64>,
    /// By kind.
    pub operations: Vec<WindowOperation>,
}

/// What was measured of one kind of operation in a stretch of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WindowOperation {
    /// Which.
    pub kind: OperationKind,
    /// Operations that were due.
    pub due: u64,
    /// How they ended.
    #[serde(flatten)]
    pub counts: Counts,
    /// Response times; percentiles rank over everything due.
    pub response: Times,
    /// Service times of the operations that were begun.
    pub service: Times,
    /// How many were late, and what that cost their clients.
    pub lateness: Lateness,
}

/// Percentiles of times, in microseconds; `None` where the rank falls among operations that were not served, or where nothing
/// was due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    /// Median.
    pub p50_us: Option<u64>,
    /// 90th percentile.
    pub p90_us: Option<u64>,
    /// 99th percentile.
    pub p99_us: Option<u64>,
    /// 99.9th percentile.
    pub p999_us: Option<u64>,
    /// Largest.
    pub max_us: Option<u64>,
}

/// How many operations were late, whatever the reason, and what that cost their clients. An operation that failed or that its
/// client gave up counts as late by the client timeout; one that was never served because the load ended, as late as it was then,
/// on average of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lateness {
    /// Operations whose response took longer than 10 ms.
    pub over_10_ms: u64,
    /// Longer than 100 ms.
    pub over_100_ms: u64,
    /// Longer than 1 s.
    pub over_1_s: u64,
    /// Client-seconds lost: the response times beyond the baseline's median, added up, in seconds.
    pub lost_client_s: f64,
}

impl Times {
    /// Of a histogram in microseconds, ranked over `total` operations.
    #[must_use]
    pub fn new(histogram: &Histogram<u64>, total: u64) -> Self {
        let value = |percentile: Percentile| percentile.of(histogram, total);
        Self {
            p50_us: value(Percentile::P50),
            p90_us: value(Percentile::P90),
            p99_us: value(Percentile::P99),
            p999_us: value(Percentile::P999),
            max_us: value(Percentile::Max),
        }
    }

    /// The value of a percentile, in microseconds.
    #[must_use]
    pub fn get(&self, percentile: Percentile) -> Option<u64> {
        match percentile {
            Percentile::P50 => self.p50_us,
            Percentile::P90 => self.p90_us,
            Percentile::P99 => self.p99_us,
            Percentile::P999 => self.p999_us,
            Percentile::Max => self.max_us,
        }
    }
}

impl Lateness {
    /// Of what was measured. The baseline's median and the client timeout are in microseconds.
    #[must_use]
    pub fn new(tally: &KindTally, baseline_us: u64, client_timeout_us: u64) -> Self {
        let times = &tally.response;
        // Of the times that a bucket stands for, the least: what took 10 ms did not take longer.
        let least_us = |time_us| times.lowest_equivalent(time_us);
        let served = times.iter_recorded().map(|step| (least_us(step.value_iterated_to()), step.count_at_value()));
        let counts = &tally.counts;
        let given_up = counts.failed + counts.timed_out + counts.dropped;
        let waited_us = tally.never_served_wait_us.checked_div(counts.never_served).unwrap_or(0);
        let all = served.chain([(client_timeout_us, given_up), (waited_us, counts.never_served)]);
        all.fold(Self::default(), |sum, (time_us, times)| {
            let later_than = |limit_us: u64| if time_us > limit_us { times } else { 0 };
            Self {
                over_10_ms: sum.over_10_ms + later_than(10_000),
                over_100_ms: sum.over_100_ms + later_than(100_000),
                over_1_s: sum.over_1_s + later_than(1_000_000),
                lost_client_s: sum.lost_client_s + time_us.saturating_sub(baseline_us) as f64 / 1e6 * times as f64,
            }
        })
    }
}

impl WindowResult {
    /// The operations of one kind.
    #[must_use]
    pub fn operation(&self, kind: OperationKind) -> Option<&WindowOperation> {
        self.operations.iter().find(|operation| operation.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_end_of_the_load_cut_off_is_as_late_as_it_was_then() {
        let mut tally = KindTally::default();
        (tally.counts.never_served, tally.never_served_wait_us) = (4, 800_000);
        let found = Lateness::new(&tally, 0, 15_000_000);
        assert_eq!([found.over_10_ms, found.over_100_ms, found.over_1_s], [4, 4, 0]);
        assert!((found.lost_client_s - 0.8).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn lateness_is_counted_and_added_up_beyond_the_median() {
        let of = |times_us: &[u32], dropped, baseline_us| {
            let mut tally = KindTally::default();
            for time_us in times_us {
                crate::measure::record(&mut tally.response, *time_us);
            }
            (tally.counts.served, tally.counts.dropped) = (times_us.len() as u64, dropped);
            Lateness::new(&tally, baseline_us, 15_000_000)
        };
        for (times_us, dropped, baseline_us, counts, lost_client_s) in [
            (&[][..], 0, 100, [0, 0, 0], 0.0),
            (&[100, 200], 0, 100, [0, 0, 0], 0.000_1),
            (&[9_000, 11_000, 200_000], 0, 1_000, [2, 1, 0], 0.217),
            (&[50, 2_000_000], 0, 100, [1, 1, 1], 1.999_9),
            (&[100], 2, 0, [2, 2, 2], 30.000_1),
        ] {
            let found = of(times_us, dropped, baseline_us);
            assert_eq!([found.over_10_ms, found.over_100_ms, found.over_1_s], counts, "{times_us:?}");
            // A histogram has three digits.
            let difference = (found.lost_client_s - lost_client_s).abs();
            assert!(difference <= lost_client_s * 2e-3, "{} of {times_us:?}", found.lost_client_s);
        }
    }
}

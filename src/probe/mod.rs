//! What a disk does, what the SQLite libraries of a machine are, and what a sync reaches: measured or asked, and told as plain values.
//!
//! A run measures before its first trial, so that every result says on what it was measured; `journalbench probe` measures the
//! same for longer, and `journalbench doctor` judges it. Nothing here judges, but for what one function can tell of one value:
//! limits of what a measurement is worth are [`crate::analysis`]'s.
//!
//! ```text
//! disk     syncs, reads and writes in a folder
//! effect   whether a sync reaches a disk, and what says so
//! sqlite   the SQLite libraries that there are: versions, compile options, the WAL-reset bug
//! latency  the percentiles of times
//! ```

mod disk;
mod effect;
mod latency;
mod sqlite;

use std::time::Duration;

pub use disk::{DiskProbe, Throughput};
pub use effect::SyncEffect;
pub(crate) use effect::{is_in_memory, is_no_sync, is_remote, no_barriers};
pub use latency::Latencies;
pub use sqlite::SqliteFound;
pub(crate) use sqlite::{found, has_wal_reset_bug};

use crate::measure::Percentile;

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// What a run can spend before its first trial: about half a second.
    InRun,
    /// What somebody waits for who asks for nothing else: some seconds.
    Whole,
}

/// When a measurement that is repeated ends.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// After so many times.
    times_most: usize,
    /// After this time.
    patience: Duration,
    /// After this time where there are still too few times for a median.
    patience_for_median: Duration,
}

impl Effort {
    /// A tenth more than a p99 needs.
    const TIMES_MOST: usize = 1_100;

    /// How often a call is made.
    fn pace(self) -> Pace {
        let (patience, patience_for_median) = match self {
            // On a disk that is slow or busy, a median is worth a second; it has one up to some 50 ms a call.
            Self::InRun => (Duration::from_millis(100), Duration::from_secs(1)),
            Self::Whole => (Duration::from_secs(3), Duration::from_secs(3)),
        };
        Pace { times_most: Self::TIMES_MOST, patience, patience_for_median }
    }

    /// As [`Self::pace`], of the call that is measured first. Its median stands in every report, so it may take its time.
    fn pace_of_fsync(self) -> Pace {
        Pace { patience_for_median: Duration::from_secs(3), ..self.pace() }
    }

    /// Bytes that are written and read one after the other, where there is room.
    fn sequential_bytes(self) -> u64 {
        match self {
            Self::InRun => 16 << 20,
            Self::Whole => 256 << 20,
        }
    }

    /// How often a thread sleeps that is to wake on time.
    pub(crate) fn sleeps(self) -> u32 {
        match self {
            Self::InRun => 200,
            Self::Whole => 1_100,
        }
    }
}

impl Pace {
    /// Whether another time is to be measured after so many in this time.
    fn goes_on(self, times: usize, elapsed: Duration) -> bool {
        let has_median = times as u64 >= Percentile::P50.least();
        times < self.times_most && elapsed < if has_median { self.patience } else { self.patience_for_median }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_ends_in_time_and_waits_longer_for_a_median() {
        let seconds = Duration::from_secs_f64;
        for (pace, times, elapsed_s, goes_on) in [
            (Effort::InRun.pace(), 0, 0.0, true),
            (Effort::InRun.pace(), 1_099, 0.05, true),
            (Effort::InRun.pace(), 1_100, 0.05, false),
            (Effort::InRun.pace(), 20, 0.2, false),
            (Effort::InRun.pace(), 19, 0.2, true),
            (Effort::InRun.pace(), 19, 1.0, false),
            (Effort::InRun.pace_of_fsync(), 19, 2.9, true),
            (Effort::InRun.pace_of_fsync(), 20, 2.9, false),
            (Effort::Whole.pace(), 20, 2.9, true),
            (Effort::Whole.pace(), 0, 3.0, false),
        ] {
            assert_eq!(pace.goes_on(times, seconds(elapsed_s)), goes_on, "{times} times in {elapsed_s} s");
        }
        assert!(Effort::TIMES_MOST as u64 >= Percentile::P99.least());
    }
}

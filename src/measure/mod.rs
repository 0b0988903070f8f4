//! Counts and histograms of operations: what a trial measured.
//!
//! A worker puts each operation into the [`Slice`] of 10 ms in which it was *due*, and hands a slice over when it goes
//! on to the next. A slice is a list of plain numbers; everything that costs time (histograms, sums) happens in a
//! [`Tally`], on another thread, and since slices carry their place in time, a phase is whichever slices it spans.
//!
//! Every operation that was due ends in exactly one of five ways, and percentiles rank over all of them: one without an
//! answer counts as infinitely late: [`percentile`] has the rules.

mod percentile;

use std::{collections::BTreeMap, fmt};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

pub use percentile::{HISTOGRAM_MAX_US, Percentile, histogram, percentile};

use crate::workload::{Kind, Work};

/// Length of a slice of time, in nanoseconds. Phases begin and end between slices.
pub const SLICE_NS: u64 = 10_000_000;

/// Slices in so many seconds, to the nearest.
#[must_use]
pub fn slices(seconds: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "validated: not negative and small")]
    let slices = (seconds * 1e9 / SLICE_NS as f64).round() as u64;
    slices
}

/// How long so many slices are, in seconds.
#[must_use]
pub fn seconds(slices: u64) -> f64 {
    (slices * SLICE_NS) as f64 / 1e9
}

/// How an operation that a worker began came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It ended within the client timeout of its due time.
    Served,
    /// It ended later than that.
    TimedOut,
    /// An error was shown.
    Failed(OperationFailure),
}

/// Why an operation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationFailure {
    /// The database was locked until the client had given up.
    Busy,
    /// The disk is full.
    DiskFull,
    /// The operating system could not read or write.
    InputOutput,
    /// SQLite reports damage.
    Corrupt,
    /// Anything else.
    Other,
}

impl fmt::Display for OperationFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Busy => "busy",
            Self::DiskFull => "disk full",
            Self::InputOutput => "input/output error",
            Self::Corrupt => "corrupt",
            Self::Other => "other error",
        })
    }
}

/// One operation that was begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sample {
    /// Announce or scrape.
    pub kind: Kind,
    /// How it came out.
    pub outcome: Outcome,
    /// From the instant it was due to its end, in microseconds.
    pub response_us: u32,
    /// From the instant a worker began it to its end, in microseconds.
    pub service_us: u32,
    /// How late the worker woke for it, in microseconds, if the worker was idle before.
    pub lag_us: Option<u32>,
    /// The slice of time in which it ended.
    pub ended_slice: u32,
    /// SQL statements that it executed, retries included, `BEGIN` and `COMMIT` not counted.
    pub statements: u32,
}

/// What one worker did with the operations that were due in one slice of time.
#[derive(Debug, Default)]
pub struct Slice {
    /// Its place: the slice covers `index * SLICE_NS` up to the next.
    pub index: u64,
    /// The operations that were begun.
    pub samples: Vec<Sample>,
    /// Operations that were not begun because the client timeout had passed, by kind.
    pub dropped: [u64; Kind::ALL.len()],
    /// Operations that had not begun when the load stopped, by kind.
    pub never_served: [u64; Kind::ALL.len()],
    /// Writes that were given up although the client was answered as if all were well, by kind.
    pub lost_writes: [u64; Kind::ALL.len()],
    /// How many of the lost writes were lost because the disk was full.
    pub lost_to_full_disk: u64,
    /// SQL statements that were executed in it beside the operations.
    pub background_statements: u64,
    /// What the operations that were due ask of the database.
    pub asked: Work,
}

/// The five ways in which an operation that was due can end; they add up to [`Counts::due`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Ended within the client timeout of its due time.
    pub served: u64,
    /// An error was shown.
    pub failed: u64,
    /// Began, and ended after the client timeout.
    pub timed_out: u64,
    /// The client timeout passed before it began, so it was not executed.
    pub dropped: u64,
    /// Had not begun when the trial stopped.
    pub never_served: u64,
}

/// What was measured of one kind of operation over some stretch of time.
#[derive(Debug, Clone)]
pub struct KindTally {
    /// How the operations ended.
    pub counts: Counts,
    /// Writes that were given up although the client was answered as if all were well.
    pub lost_writes: u64,
    /// Failures by kind, in the order of [`OperationFailure`].
    pub failures: BTreeMap<OperationFailure, u64>,
    /// Response times of the operations that were served, in microseconds.
    pub response: Histogram<u64>,
    /// Service times of the operations that were begun, in microseconds.
    pub service: Histogram<u64>,
}

/// What was measured over some stretch of time.
#[derive(Debug, Clone)]
pub struct Tally {
    /// By kind, in the order of [`Kind::ALL`].
    pub kinds: [KindTally; Kind::ALL.len()],
    /// How late idle workers woke, in microseconds.
    pub lag: Histogram<u64>,
    /// How many of the lost writes were lost because the disk was full.
    pub lost_to_full_disk: u64,
    /// What the operations that were due ask of the database.
    pub asked: Work,
}

impl Counts {
    /// Operations that were due.
    #[must_use]
    pub fn due(&self) -> u64 {
        let others = [self.failed, self.timed_out, self.dropped, self.never_served];
        others.into_iter().fold(self.served, u64::saturating_add)
    }

    /// Both together. The counts of a file may be any numbers, so sums stop at the largest.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            served: self.served.saturating_add(other.served),
            failed: self.failed.saturating_add(other.failed),
            timed_out: self.timed_out.saturating_add(other.timed_out),
            dropped: self.dropped.saturating_add(other.dropped),
            never_served: self.never_served.saturating_add(other.never_served),
        }
    }
}

impl Slice {
    /// Makes it an empty slice at another place, keeping its memory.
    pub fn reset(&mut self, index: u64) {
        let mut samples = std::mem::take(&mut self.samples);
        samples.clear();
        *self = Self { index, samples, ..Self::default() };
    }

    /// Whether nothing happened in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let counts = self.dropped.iter().chain(&self.never_served).chain(&self.lost_writes);
        let nothing_asked = self.asked == Work::default() && self.background_statements == 0;
        self.samples.is_empty() && nothing_asked && counts.copied().all(|count| count == 0)
    }
}

impl Default for KindTally {
    fn default() -> Self {
        Self {
            counts: Counts::default(),
            lost_writes: 0,
            failures: BTreeMap::new(),
            response: histogram(),
            service: histogram(),
        }
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self { kinds: Default::default(), lag: histogram(), lost_to_full_disk: 0, asked: Work::default() }
    }
}

impl Tally {
    /// Adds what one worker did in one slice.
    pub fn add(&mut self, slice: &Slice) {
        for sample in &slice.samples {
            let tally = &mut self.kinds[sample.kind as usize];
            match sample.outcome {
                Outcome::Served => {
                    tally.counts.served += 1;
                    tally.response.saturating_record(u64::from(sample.response_us));
                }
                Outcome::TimedOut => tally.counts.timed_out += 1,
                Outcome::Failed(failure) => {
                    tally.counts.failed += 1;
                    *tally.failures.entry(failure).or_default() += 1;
                }
            }
            tally.service.saturating_record(u64::from(sample.service_us));
            if let Some(lag_us) = sample.lag_us {
                self.lag.saturating_record(u64::from(lag_us));
            }
        }
        for (kind, tally) in self.kinds.iter_mut().enumerate() {
            tally.counts.dropped += slice.dropped[kind];
            tally.counts.never_served += slice.never_served[kind];
            tally.lost_writes += slice.lost_writes[kind];
        }
        self.lost_to_full_disk += slice.lost_to_full_disk;
        self.asked += slice.asked;
    }

    /// Counts of all kinds together.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.kinds.iter().fold(Counts::default(), |sum, kind| sum.plus(&kind.counts))
    }

    /// Forgets everything, keeping the memory.
    pub fn reset(&mut self) {
        for kind in &mut self.kinds {
            kind.counts = Counts::default();
            kind.lost_writes = 0;
            kind.failures.clear();
            kind.response.reset();
            kind.service.reset();
        }
        self.lag.reset();
        self.lost_to_full_disk = 0;
        self.asked = Work::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(response_us: u32, outcome: Outcome) -> Sample {
        Sample {
            kind: Kind::Announce,
            outcome,
            response_us,
            service_us: response_us / 2,
            lag_us: None,
            ended_slice: 3,
            statements: 1,
        }
    }

    #[test]
    fn every_outcome_is_counted_once() {
        let mut tally = Tally::default();
        tally.add(&Slice {
            index: 3,
            samples: vec![
                sample(100, Outcome::Served),
                sample(200, Outcome::TimedOut),
                sample(300, Outcome::Failed(OperationFailure::Busy)),
                sample(400, Outcome::Failed(OperationFailure::Busy)),
            ],
            dropped: [5, 0],
            never_served: [0, 7],
            lost_writes: [2, 0],
            lost_to_full_disk: 1,
            background_statements: 0,
            asked: Work { statements: 10, commits: 4 },
        });
        let counts = Counts { served: 1, failed: 2, timed_out: 1, dropped: 5, never_served: 7 };
        assert_eq!(tally.counts(), counts);
        assert_eq!(counts.due(), 16);
        assert_eq!(tally.kinds[0].response.len(), 1);
        assert_eq!(tally.kinds[0].service.len(), 4);
        assert_eq!(tally.kinds[0].failures[&OperationFailure::Busy], 2);
        assert_eq!((tally.kinds[0].lost_writes, tally.lost_to_full_disk), (2, 1));
        assert_eq!(tally.kinds[1].counts, Counts { never_served: 7, ..Counts::default() });
    }
}

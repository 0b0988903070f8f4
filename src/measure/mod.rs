//! Counts and histograms of operations: what a trial measured.
//!
//! A worker puts each operation into the [`Slice`] of 10 ms in which it was *due*, and hands a slice over when it goes
//! on to the next. A slice is a list of plain numbers; everything that costs time (histograms, sums) happens in a
//! [`Tally`], on another thread, and since slices carry their place in time, a phase is whichever slices it spans.
//!
//! Every operation that was due ends in exactly one of five ways, and percentiles rank over all of them: one without an
//! answer counts as infinitely late: [`percentile`] has the rules.

mod io;
mod kind;
mod percentile;
mod stall;

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use io::{CheckpointTally, IoRole, IoTally};
pub use kind::{Class, OperationKind};
pub use percentile::{HISTOGRAM_MAX_US, Percentile, histogram, nearest_rank, percentile, record};
pub use stall::StallTracker;

use crate::{
    io::IoLog,
    workload::{Operation, Work},
};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
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
    /// What it asked for.
    pub class: Class,
    /// How it came out.
    pub outcome: Outcome,
    /// From the instant it was due to its end, in microseconds.
    pub response_us: u32,
    /// From the instant a worker began it to its end, in microseconds.
    pub service_us: u32,
    /// How late the generator was with it, in microseconds: how late its worker woke, where that was idle before; over a network how
    /// late it was sent.
    pub lag_us: Option<u32>,
    /// When it ended, in microseconds from the start of the load.
    pub ended_us: u64,
    /// Whether it ended with a commit of its own or of its batch.
    pub committed: bool,
    /// Whether a checkpoint was run in it.
    pub carried_checkpoint: bool,
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
    /// Operations that were not begun because the client timeout had passed, by class.
    pub dropped: [u64; Class::ALL.len()],
    /// Operations that had not begun when the load stopped, by class.
    pub never_served: [u64; Class::ALL.len()],
    /// How long those had waited when the load stopped, added up, in microseconds, by class.
    pub never_served_wait_us: [u64; Class::ALL.len()],
    /// Operations that were not asked for before the load stopped, because the harness had held their stream, by class. They were not
    /// due.
    pub withheld: [u64; Class::ALL.len()],
    /// How long the harness held a stream in it, for reasons of its own, in microseconds.
    pub held_us: u64,
    /// Writes that were given up although the client was answered as if all were well, by class.
    pub lost_writes: [u64; Class::ALL.len()],
    /// How many of the lost writes were lost because the disk was full.
    pub lost_to_full_disk: u64,
    /// SQL statements that were executed in it beside the operations.
    pub background_statements: u64,
    /// What the operations that were due ask of the database.
    pub asked: Work,
    /// Who worked on the files.
    pub io_role: IoRole,
    /// What was asked of the files by the operations that were due.
    pub io: IoLog,
    /// Checkpoints of another program that ended in it.
    pub seen_checkpoints: Vec<SeenCheckpoint>,
}

/// A checkpoint that another program made, seen from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeenCheckpoint {
    /// When it was first seen to be under way.
    pub begun: Instant,
    /// How long it was.
    pub duration: Duration,
}

/// The five ways in which an operation that was due can end; they add up to [`Counts::due`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// How long those that were never served had waited when the load stopped, added up, in microseconds.
    pub never_served_wait_us: u64,
    /// Operations that the harness did not ask for, because it had held their stream: they were not due.
    pub withheld: u64,
    /// Writes that were given up although the client was answered as if all were well.
    pub lost_writes: u64,
    /// Failures by kind, in the order of [`OperationFailure`].
    pub failures: BTreeMap<OperationFailure, u64>,
    /// Response times of the operations that were served, in microseconds.
    pub response: Histogram<u64>,
    /// Service times of the operations that were begun, in microseconds.
    pub service: Histogram<u64>,
    /// How late the generator was with them, in microseconds: as [`Sample::lag_us`].
    pub lag: Histogram<u64>,
}

/// What was measured over some stretch of time.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// By class, in the order of [`Class::ALL`].
    pub classes: [KindTally; Class::ALL.len()],
    /// How many of the lost writes were lost because the disk was full.
    pub lost_to_full_disk: u64,
    /// How long the harness held a stream, for reasons of its own, in microseconds.
    pub held_us: u64,
    /// What the operations that were due ask of the database.
    pub asked: Work,
    /// What was asked of the files.
    pub io: IoTally,
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
    /// The checkpoints that ended in it, whoever made them.
    pub fn checkpoints(&self) -> impl Iterator<Item = SeenCheckpoint> {
        let counted = self.io.checkpoints.iter();
        let counted = counted.map(|one| SeenCheckpoint { begun: one.begun, duration: one.duration() });
        counted.chain(self.seen_checkpoints.iter().copied())
    }

    /// Makes it an empty slice at another place, keeping its memory.
    pub fn reset(&mut self, index: u64) {
        let (mut samples, mut io) = (std::mem::take(&mut self.samples), std::mem::take(&mut self.io));
        samples.clear();
        io.clear();
        *self = Self { index, samples, io, ..Self::default() };
    }

    /// An operation has not begun when the load stops: it was due by then, or it would be later because its stream was held.
    pub fn leave(&mut self, operation: &Operation, due_ns: u64, stop_ns: u64) {
        let class = Class::of(operation) as usize;
        match stop_ns.checked_sub(due_ns).filter(|waited_ns| *waited_ns > 0) {
            Some(waited_ns) => {
                self.never_served[class] += 1;
                self.never_served_wait_us[class] += waited_ns / 1_000;
                self.asked += operation.asks();
            }
            None => self.withheld[class] += 1,
        }
    }

    /// Whether nothing happened in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let counts = self.dropped.iter().chain(&self.never_served).chain(&self.lost_writes).chain(&self.withheld);
        let nothing_asked = self.asked == Work::default() && self.background_statements == 0;
        let nothing_seen = self.io.is_empty() && self.seen_checkpoints.is_empty();
        let nothing_held = self.held_us == 0;
        self.samples.is_empty()
            && nothing_asked
            && nothing_seen
            && nothing_held
            && counts.copied().all(|count| count == 0)
    }
}

impl Default for KindTally {
    fn default() -> Self {
        Self {
            counts: Counts::default(),
            never_served_wait_us: 0,
            withheld: 0,
            lost_writes: 0,
            failures: BTreeMap::new(),
            response: histogram(),
            service: histogram(),
            lag: histogram(),
        }
    }
}

impl Sample {
    /// The slice of time in which it ended.
    #[must_use]
    pub fn ended_slice(&self) -> u64 {
        self.ended_us * 1_000 / SLICE_NS
    }
}

impl KindTally {
    /// Adds what was measured of others.
    pub fn add(&mut self, other: &Self) {
        self.counts = self.counts.plus(&other.counts);
        self.never_served_wait_us += other.never_served_wait_us;
        self.withheld += other.withheld;
        self.lost_writes += other.lost_writes;
        for (failure, times) in &other.failures {
            *self.failures.entry(*failure).or_default() += times;
        }
        for (own, others) in
            [(&mut self.response, &other.response), (&mut self.service, &other.service), (&mut self.lag, &other.lag)]
        {
            // A histogram that grows takes every value that another of its kind has taken.
            let _ = own.add(others);
        }
    }
}

impl Tally {
    /// Adds what one worker did in one slice.
    pub fn add(&mut self, slice: &Slice) {
        for sample in &slice.samples {
            let tally = &mut self.classes[sample.class as usize];
            match sample.outcome {
                Outcome::Served => {
                    tally.counts.served += 1;
                    record(&mut tally.response, sample.response_us);
                }
                Outcome::TimedOut => tally.counts.timed_out += 1,
                Outcome::Failed(failure) => {
                    tally.counts.failed += 1;
                    *tally.failures.entry(failure).or_default() += 1;
                }
            }
            record(&mut tally.service, sample.service_us);
            if let Some(lag_us) = sample.lag_us {
                record(&mut tally.lag, lag_us);
            }
        }
        for (class, tally) in self.classes.iter_mut().enumerate() {
            tally.counts.dropped += slice.dropped[class];
            tally.counts.never_served += slice.never_served[class];
            tally.never_served_wait_us += slice.never_served_wait_us[class];
            tally.withheld += slice.withheld[class];
            tally.lost_writes += slice.lost_writes[class];
        }
        self.lost_to_full_disk += slice.lost_to_full_disk;
        self.held_us += slice.held_us;
        self.asked += slice.asked;
        self.io.add(slice);
    }

    /// Counts of all classes together.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.classes.iter().fold(Counts::default(), |sum, class| sum.plus(&class.counts))
    }

    /// What was measured of one kind.
    #[must_use]
    pub fn of(&self, kind: OperationKind) -> KindTally {
        let mut sum = KindTally::default();
        for (class, tally) in Class::ALL.into_iter().zip(&self.classes) {
            if kind.includes(class) {
                sum.add(tally);
            }
        }
        sum
    }

    /// How late the generator was, in microseconds, with operations of all classes.
    #[must_use]
    pub fn lag(&self) -> Histogram<u64> {
        let mut sum = KindTally::default();
        self.classes.iter().for_each(|class| sum.add(class));
        sum.lag
    }

    /// Adds what was measured over another stretch of time.
    pub fn plus(&mut self, other: &Self) {
        for (own, others) in self.classes.iter_mut().zip(&other.classes) {
            own.add(others);
        }
        self.lost_to_full_disk += other.lost_to_full_disk;
        self.held_us += other.held_us;
        self.asked += other.asked;
        self.io.plus(&other.io);
    }

    /// Forgets everything, keeping the memory.
    pub fn reset(&mut self) {
        for class in &mut self.classes {
            class.counts = Counts::default();
            class.never_served_wait_us = 0;
            class.withheld = 0;
            class.lost_writes = 0;
            class.failures.clear();
            for times in [&mut class.response, &mut class.service, &mut class.lag] {
                times.reset();
            }
        }
        self.lost_to_full_disk = 0;
        self.held_us = 0;
        self.asked = Work::default();
        self.io.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(response_us: u32, outcome: Outcome) -> Sample {
        Sample {
            class: Class::CommittingAnnounce,
            outcome,
            response_us,
            service_us: response_us / 2,
            lag_us: None,
            ended_us: 35_000,
            committed: outcome == Outcome::Served,
            carried_checkpoint: false,
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
            dropped: [5, 0, 0, 0],
            never_served: [0, 0, 0, 7],
            never_served_wait_us: [0, 0, 0, 70],
            lost_writes: [2, 0, 0, 0],
            lost_to_full_disk: 1,
            background_statements: 0,
            asked: Work { statements: 10, commits: 4 },
            ..Slice::default()
        });
        let counts = Counts { served: 1, failed: 2, timed_out: 1, dropped: 5, never_served: 7 };
        assert_eq!(tally.counts(), counts);
        assert_eq!(counts.due(), 16);
        let announces = tally.of(OperationKind::Announce);
        assert_eq!((announces.response.len(), announces.service.len()), (1, 4));
        assert_eq!(announces.failures[&OperationFailure::Busy], 2);
        assert_eq!((announces.lost_writes, tally.lost_to_full_disk), (2, 1));
        assert_eq!(announces.counts, tally.of(OperationKind::Commit).counts);
        assert_eq!(tally.of(OperationKind::Read).counts, Counts::default());
        assert_eq!(tally.of(OperationKind::Scrape).counts, Counts { never_served: 7, ..Counts::default() });
        assert_eq!(tally.of(OperationKind::Scrape).never_served_wait_us, 70);
    }

    #[test]
    fn kinds_are_put_together_from_their_classes() {
        let mut tally = Tally::default();
        let of = |class, response_us, lag_us| Sample { class, lag_us, ..sample(response_us, Outcome::Served) };
        tally.add(&Slice {
            samples: vec![
                of(Class::CommittingAnnounce, 90_000_000, Some(40)),
                of(Class::ReadingAnnounce, 200, Some(30)),
                of(Class::OtherAnnounce, 300, None),
                of(Class::Scrape, 400, Some(20)),
            ],
            ..Slice::default()
        });
        let most = |times: &Histogram<u64>| (times.len(), Percentile::Max.of(times, times.len()));
        for (kind, times, response_us, lag_us) in [
            (OperationKind::Announce, 3, 90_000_000, 40),
            (OperationKind::Scrape, 1, 400, 20),
            (OperationKind::Commit, 1, 90_000_000, 40),
            (OperationKind::Read, 1, 200, 30),
        ] {
            let found = tally.of(kind);
            let (count, longest_us) = most(&found.response);
            // A histogram has three digits.
            assert!(longest_us.is_some_and(|time_us| time_us.abs_diff(response_us) * 1_000 <= response_us), "{kind}");
            assert_eq!((count, most(&found.lag).1), (times, Some(lag_us)), "{kind}");
        }
        assert_eq!(most(&tally.lag()), (3, Some(40)));
        let mut twice = tally.clone();
        twice.plus(&tally);
        assert_eq!((twice.counts().served, twice.of(OperationKind::Read).response.len()), (8, 2));
    }
}

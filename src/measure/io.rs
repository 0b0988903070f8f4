//! What was asked of SQLite's files over some stretch of time, and by whom.

use std::{collections::BTreeMap, fmt, time::Duration};

use hdrhistogram::Histogram;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Slice, histogram, record};
use crate::io::{FileKind, IoCounts, IoLog};

/// Who works on the files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IoRole {
    /// The connections that take announces.
    #[default]
    Announces,
    /// The connections that take scrapes.
    Scrapes,
    /// The connections that take both.
    Requests,
    /// The listener that writes what announces queue.
    Listener,
    /// The checkpoint thread.
    CheckpointThread,
    /// The reader that holds its transactions for long.
    LongReader,
}

impl IoRole {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] =
        [Self::Announces, Self::Scrapes, Self::Requests, Self::Listener, Self::CheckpointThread, Self::LongReader];
}

impl fmt::Display for IoRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Announces => "announces",
            Self::Scrapes => "scrapes",
            Self::Requests => "announces and scrapes",
            Self::Listener => "listener",
            Self::CheckpointThread => "checkpoint thread",
            Self::LongReader => "long reader",
        })
    }
}

/// What was asked of the files over some stretch of time.
#[derive(Debug, Clone)]
pub struct IoTally {
    /// By role, in the order of [`IoRole::ALL`].
    pub roles: [IoCounts; IoRole::ALL.len()],
    /// How long each sync took, in microseconds, by what was made durable.
    pub syncs: BTreeMap<FileKind, Histogram<u64>>,
    /// How long each sync took, in microseconds, of whatever.
    pub sync: Histogram<u64>,
    /// The checkpoints.
    pub checkpoints: CheckpointTally,
    /// Response times of the commits that carried a checkpoint, in microseconds.
    pub carrying: Option<Histogram<u64>>,
}

/// Checkpoints, added up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckpointTally {
    /// How many there were.
    pub count: u64,
    /// Pages that they moved.
    pub pages: u64,
    /// Syncs of the WAL before the pages were moved.
    pub wal_sync: Duration,
    /// Moving the pages.
    pub copy: Duration,
    /// Syncs of the database after the pages were moved.
    pub main_sync: Duration,
    /// How long the longest took.
    pub longest: Duration,
    /// Those that did not come to the end of the WAL, because a reader did not have all of it.
    pub incomplete: u64,
    /// Frames that were left in the WAL by these, the most.
    pub frames_left_most: u32,
}

impl Default for IoTally {
    fn default() -> Self {
        Self {
            roles: Default::default(),
            syncs: BTreeMap::new(),
            sync: histogram(),
            checkpoints: CheckpointTally::default(),
            carrying: None,
        }
    }
}

impl IoTally {
    /// Adds what one thread did in one slice.
    pub fn add(&mut self, slice: &Slice) {
        let IoLog { counts, syncs, checkpoints } = &slice.io;
        self.roles[slice.io_role as usize].add(counts);
        for sync in syncs {
            let time_us = u32::try_from(sync.took.as_micros()).unwrap_or(u32::MAX);
            record(self.syncs.entry(sync.kind).or_insert_with(histogram), time_us);
            record(&mut self.sync, time_us);
        }
        for checkpoint in checkpoints {
            self.checkpoints.count += 1;
            self.checkpoints.pages += checkpoint.pages;
            self.checkpoints.wal_sync += checkpoint.wal_sync;
            self.checkpoints.copy += checkpoint.copy;
            self.checkpoints.main_sync += checkpoint.main_sync;
            self.checkpoints.longest = self.checkpoints.longest.max(checkpoint.duration());
            let left = checkpoint.frames.map_or(0, |frames| frames.of.saturating_sub(frames.moved));
            self.checkpoints.incomplete += u64::from(left > 0);
            self.checkpoints.frames_left_most = self.checkpoints.frames_left_most.max(left);
        }
        for sample in slice.samples.iter().filter(|sample| sample.committed && sample.carried_checkpoint) {
            record(self.carrying.get_or_insert_with(histogram), sample.response_us);
        }
    }

    /// Adds what was asked over another stretch of time.
    pub fn plus(&mut self, other: &Self) {
        for (own, others) in self.roles.iter_mut().zip(&other.roles) {
            own.add(others);
        }
        for (kind, times) in &other.syncs {
            // A histogram that grows takes every value that another of its kind has taken.
            let _ = self.syncs.entry(*kind).or_insert_with(histogram).add(times);
        }
        let _ = self.sync.add(&other.sync);
        if let Some(times) = &other.carrying {
            let _ = self.carrying.get_or_insert_with(histogram).add(times);
        }
        let (own, others) = (&mut self.checkpoints, &other.checkpoints);
        own.count += others.count;
        own.pages += others.pages;
        own.wal_sync += others.wal_sync;
        own.copy += others.copy;
        own.main_sync += others.main_sync;
        own.longest = own.longest.max(others.longest);
        own.incomplete += others.incomplete;
        own.frames_left_most = own.frames_left_most.max(others.frames_left_most);
    }

    /// Forgets everything, keeping the memory.
    pub fn reset(&mut self) {
        self.roles = Default::default();
        self.syncs.values_mut().for_each(Histogram::reset);
        self.sync.reset();
        self.carrying.iter_mut().for_each(Histogram::reset);
        self.checkpoints = CheckpointTally::default();
    }

    /// What all roles asked for together.
    #[must_use]
    pub fn counts(&self) -> IoCounts {
        let mut sum = IoCounts::default();
        self.roles.iter().for_each(|counts| sum.add(counts));
        sum
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::{
        io::{Checkpoint, CheckpointFrames, TimedSync},
        measure::{Class, Outcome, Sample},
    };

    #[test]
    fn what_is_added_twice_is_twice_as_much() {
        let mut io = IoLog::default();
        io.counts.files[FileKind::Wal as usize].writes = 3;
        io.counts.commits = 2;
        io.syncs.push(TimedSync { kind: FileKind::Wal, took: Duration::from_millis(2) });
        io.checkpoints.push(Checkpoint {
            begun: Instant::now(),
            wal_sync: Duration::from_millis(1),
            copy: Duration::from_millis(2),
            main_sync: Duration::from_millis(4),
            pages: 9,
            frames: Some(CheckpointFrames { moved: 4, of: 11 }),
        });
        let sample = |carried_checkpoint| Sample {
            class: Class::CommittingAnnounce,
            outcome: Outcome::Served,
            response_us: 7_500,
            service_us: 7_000,
            lag_us: None,
            ended_us: 9_000,
            committed: true,
            carried_checkpoint,
            statements: 2,
        };
        let samples = vec![sample(true), sample(false)];
        let slice = Slice { io, io_role: IoRole::Listener, samples, ..Slice::default() };
        let mut tally = IoTally::default();
        tally.add(&slice);
        let mut twice = tally.clone();
        twice.plus(&tally);
        assert_eq!((twice.counts().of(FileKind::Wal).writes, twice.counts().commits), (6, 4));
        assert_eq!(twice.roles[IoRole::Announces as usize], IoCounts::default());
        assert_eq!((twice.syncs[&FileKind::Wal].len(), twice.sync.len()), (2, 2));
        assert_eq!(twice.carrying.as_ref().map(Histogram::len), Some(2));
        let CheckpointTally { count, pages, main_sync, longest, .. } = twice.checkpoints;
        assert_eq!((count, pages), (2, 18));
        assert_eq!((twice.checkpoints.incomplete, twice.checkpoints.frames_left_most), (2, 7));
        assert_eq!((main_sync, longest), (Duration::from_millis(8), Duration::from_millis(7)));
        twice.reset();
        assert_eq!(twice.counts(), IoCounts::default());
        assert_eq!(twice.carrying.map(|times| times.len()), Some(0));
    }
}

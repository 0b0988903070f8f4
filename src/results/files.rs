//! What a run found of what SQLite asked of its files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Distribution, Times};
use crate::{
    io::{FileCounts, FileKind, IoCounts},
    measure::{CheckpointTally, IoRole, IoTally},
};

/// What SQLite asked of its files in one phase, by the operations that were due in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IoResult {
    /// Commits that wrote something, by everybody: what they cost is the rest divided by them.
    #[serde(default)]
    pub commits: u64,
    /// By who asked and kind of file; those of which nothing was asked are left out.
    pub files: Vec<FileIo>,
    /// Waits for locks, by who waited; those who never did are left out.
    pub lock_waits: Vec<LockWaits>,
    /// How long syncs took, by what was made durable, with `sqlite.sync_delay_us` in it. The first sync of a new journal or WAL
    /// makes its folder durable, too, and is of the journal or the WAL.
    pub syncs: Vec<SyncTimes>,
    /// The checkpoints that were run.
    pub checkpoints: CheckpointsResult,
}

/// What was asked of one kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileIo {
    /// Who asked.
    pub role: IoRole,
    /// Which files.
    pub file: FileKind,
    /// How often, and how much.
    #[serde(flatten)]
    pub counts: FileCounts,
}

/// How often, and how long, connections slept because the database was locked.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LockWaits {
    /// Who waited.
    pub role: IoRole,
    /// How often.
    pub count: u64,
    /// How long, in all.
    pub duration_s: f64,
}

/// How long syncs took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SyncTimes {
    /// What was made durable.
    pub file: FileKind,
    /// How many calls there were.
    pub count: u64,
    /// How long they took.
    pub latency: Distribution,
}

/// The checkpoints of a phase, by commits and by the checkpoint thread.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckpointsResult {
    /// How many moved a page.
    pub count: u64,
    /// Pages that they moved.
    pub pages: u64,
    /// Syncs of the WAL before pages were moved, in all.
    pub wal_sync_s: f64,
    /// Moving the pages, in all.
    pub copy_s: f64,
    /// Syncs of the database after pages were moved, in all.
    pub main_sync_s: f64,
    /// How long the longest took.
    pub longest_s: f64,
    /// Commits that carried one: their client waited for it.
    pub commits: u64,
    /// Response times of these commits.
    pub commit_response: Times,
}

impl IoResult {
    /// What was counted.
    #[must_use]
    pub fn new(tally: &IoTally) -> Self {
        let roles = || IoRole::ALL.into_iter().zip(&tally.roles);
        let files = |(role, counts): (IoRole, &IoCounts)| {
            let of_kind = |file: FileKind| FileIo { role, file, counts: *counts.of(file) };
            FileKind::ALL.map(of_kind).into_iter().filter(|io| io.counts != FileCounts::default())
        };
        let waits = |(role, counts): (IoRole, &IoCounts)| {
            let waits = LockWaits { role, count: counts.lock_waits, duration_s: counts.lock_wait.as_secs_f64() };
            (counts.lock_waits > 0).then_some(waits)
        };
        let syncs = tally.syncs.iter().filter(|(_, times)| !times.is_empty());
        let CheckpointTally { count, pages, wal_sync, copy, main_sync, longest } = tally.checkpoints;
        let commits = tally.carrying.as_ref().map_or(0, hdrhistogram::Histogram::len);
        let commit_response = tally.carrying.as_ref().map(|times| Times::new(times, commits)).unwrap_or_default();
        Self {
            commits: tally.counts().commits,
            files: roles().flat_map(files).collect(),
            lock_waits: roles().filter_map(waits).collect(),
            syncs: syncs
                .map(|(file, times)| SyncTimes {
                    file: *file,
                    count: times.len(),
                    latency: Distribution::new(times, times.len()),
                })
                .collect(),
            checkpoints: CheckpointsResult {
                count,
                pages,
                wal_sync_s: wal_sync.as_secs_f64(),
                copy_s: copy.as_secs_f64(),
                main_sync_s: main_sync.as_secs_f64(),
                longest_s: longest.as_secs_f64(),
                commits,
                commit_response,
            },
        }
    }

    /// What everybody asked of one kind of file. The counts of a file may be any numbers, so sums stop at the largest.
    #[must_use]
    pub fn of(&self, kind: FileKind) -> FileCounts {
        let of_kind = self.files.iter().filter(|io| io.file == kind);
        of_kind.fold(FileCounts::default(), |sum, io| sum.plus(&io.counts))
    }
}

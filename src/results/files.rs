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
    pub commits: u64,
    /// What everybody asked, by kind of file.
    #[serde(flatten)]
    pub files: FilesIo,
    /// Syncs of all files for each commit; `None` without a commit.
    pub syncs_per_commit: Option<f64>,
    /// Bytes that SQLite wrote to all files for each commit; `None` without a commit.
    pub written_bytes_per_commit: Option<f64>,
    /// Reads of all files a second.
    pub reads_per_s: f64,
    /// Syncs of all files a second.
    pub syncs_per_s: f64,
    /// Bytes that SQLite wrote to all files a second.
    pub written_bytes_per_s: f64,
    /// Bytes of the rows that commits changed, indexes not among them: what had to be written at least.
    pub changed_row_bytes: u64,
    /// How many bytes SQLite wrote for each byte of the rows that commits changed; `None` without a commit.
    pub write_amplification: Option<f64>,
    /// What reached block devices; `None` where the kernel does not tell, or no second lies wholly in the phase.
    pub device: Option<DeviceIo>,
    /// How long every sync took, with `sqlite.sync_delay_us` in it. The first sync of a new journal or WAL makes its folder
    /// durable, too, in the same call.
    pub sync: Distribution,
    /// How long syncs took, by what was made durable; a call that made a folder durable with a file is of the file.
    pub syncs: Vec<SyncTimes>,
    /// What was asked by who asked and kind of file; those of which nothing was asked are left out.
    pub roles: Vec<FileIo>,
    /// Waits for locks, by who waited; those who never did are left out.
    pub lock_waits: Vec<LockWaits>,
    /// The checkpoints that were run.
    pub checkpoints: CheckpointsResult,
    /// Times that a writer began the WAL at its front: all of it had been moved into the database, and nobody read it.
    pub wal_restarts: u64,
    /// How long the longest read transaction that ended in the phase held the WAL, of this program's own connections.
    pub longest_wal_read_s: f64,
}

/// What was asked of files, by kind of file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilesIo {
    /// The database.
    pub main: FileCounts,
    /// Its rollback journal.
    pub journal: FileCounts,
    /// Its write-ahead log.
    pub wal: FileCounts,
    /// The index of the write-ahead log, in shared memory.
    pub shm: FileCounts,
    /// Temporary files.
    pub temp: FileCounts,
    /// The folder that the database lies in.
    pub folder: FileCounts,
}

/// What reached block devices in the seconds that lie wholly in a phase.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeviceIo {
    /// How long these seconds are together.
    pub duration_s: f64,
    /// Commits in them.
    pub commits: u64,
    /// Bytes that were written to block devices, by whomever: the database's, the file system's journal, the harness's ledger.
    pub written_bytes: u64,
    /// The same for each commit; `None` without a commit.
    pub written_bytes_per_commit: Option<f64>,
    /// The same for each byte of the rows that commits changed; `None` without a commit.
    pub write_amplification: Option<f64>,
    /// Bytes that the kernel charged this program with (`/proc/self/io`). It charges a whole large folio of the page cache where
    /// a page of it is written (`docs/sqlite.md`, 43), so this may be many times what reached a device.
    pub charged_bytes: Option<u64>,
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
    /// Those that were not begun, since another was under way: SQLite's `busy`.
    pub busy: u64,
    /// Those that did not come to the end of the WAL (`checkpointed` is less than `log`), because a reader did not have all of it.
    pub incomplete: u64,
    /// Frames that one of these left in the WAL, at the most.
    pub frames_left_most: u64,
}

impl FilesIo {
    /// What all roles asked.
    fn new(counts: &IoCounts) -> Self {
        let of = |kind| *counts.of(kind);
        Self {
            main: of(FileKind::Main),
            journal: of(FileKind::Journal),
            wal: of(FileKind::Wal),
            shm: of(FileKind::Shm),
            temp: of(FileKind::Temp),
            folder: of(FileKind::Folder),
        }
    }

    /// What was asked of one kind of file.
    #[must_use]
    pub fn of(&self, kind: FileKind) -> &FileCounts {
        match kind {
            FileKind::Main => &self.main,
            FileKind::Journal => &self.journal,
            FileKind::Wal => &self.wal,
            FileKind::Shm => &self.shm,
            FileKind::Temp => &self.temp,
            FileKind::Folder => &self.folder,
        }
    }

    /// Of all files together. The counts of a file may be any numbers, so sums stop at the largest.
    #[must_use]
    pub fn sum(&self) -> FileCounts {
        FileKind::ALL.iter().fold(FileCounts::default(), |sum, kind| sum.plus(self.of(*kind)))
    }
}

impl DeviceIo {
    /// Of seconds in which so much was written, but for [`Self::charged_bytes`]. `row_bytes` is what a commit of the phase
    /// changes.
    #[must_use]
    pub fn new(duration_s: f64, commits: u64, written_bytes: u64, row_bytes: Option<f64>) -> Self {
        let written_bytes_per_commit = ratio(written_bytes as f64, commits as f64);
        Self {
            duration_s,
            commits,
            written_bytes,
            written_bytes_per_commit,
            write_amplification: written_bytes_per_commit
                .zip(row_bytes)
                .and_then(|(written, changed)| ratio(written, changed)),
            charged_bytes: None,
        }
    }
}

/// One divided by the other; `None` by 0.
fn ratio(one: f64, other: f64) -> Option<f64> {
    (other > 0.0).then(|| one / other)
}

impl IoResult {
    /// What was counted in so many seconds, but for [`Self::device`].
    #[must_use]
    pub fn new(tally: &IoTally, duration_s: f64) -> Self {
        let counts = tally.counts();
        let files = FilesIo::new(&counts);
        let all = files.sum();
        let a_commit = |count: u64| ratio(count as f64, counts.commits as f64);
        let a_second = |count: u64| ratio(count as f64, duration_s).unwrap_or_default();
        Self {
            commits: counts.commits,
            files,
            syncs_per_commit: a_commit(all.syncs),
            written_bytes_per_commit: a_commit(all.written_bytes),
            reads_per_s: a_second(all.reads),
            syncs_per_s: a_second(all.syncs),
            written_bytes_per_s: a_second(all.written_bytes),
            changed_row_bytes: counts.row_bytes,
            write_amplification: ratio(all.written_bytes as f64, counts.row_bytes as f64),
            device: None,
            sync: Distribution::new(&tally.sync, tally.sync.len()),
            syncs: sync_times(tally),
            roles: roles(tally),
            lock_waits: lock_waits(tally),
            checkpoints: CheckpointsResult::new(tally),
            wal_restarts: counts.wal_restarts,
            longest_wal_read_s: counts.longest_wal_read.as_secs_f64(),
        }
    }

    /// Bytes of the rows that a commit changed, on average; `None` without a commit.
    #[must_use]
    pub fn row_bytes_per_commit(&self) -> Option<f64> {
        ratio(self.changed_row_bytes as f64, self.commits as f64)
    }

    /// How long everybody slept because of locks, in seconds.
    #[must_use]
    pub fn lock_wait_s(&self) -> f64 {
        // A sum of no floating-point numbers is -0.
        self.lock_waits.iter().fold(0.0, |sum, waits| sum + waits.duration_s)
    }
}

fn by_role(tally: &IoTally) -> impl Iterator<Item = (IoRole, &IoCounts)> {
    IoRole::ALL.into_iter().zip(&tally.roles)
}

fn roles(tally: &IoTally) -> Vec<FileIo> {
    let files = |(role, counts): (IoRole, &IoCounts)| {
        let of_kind = |file: FileKind| FileIo { role, file, counts: *counts.of(file) };
        FileKind::ALL.map(of_kind).into_iter().filter(|io| io.counts != FileCounts::default())
    };
    by_role(tally).flat_map(files).collect()
}

fn lock_waits(tally: &IoTally) -> Vec<LockWaits> {
    let waits = |(role, counts): (IoRole, &IoCounts)| {
        let waits = LockWaits { role, count: counts.lock_waits, duration_s: counts.lock_wait.as_secs_f64() };
        (counts.lock_waits > 0).then_some(waits)
    };
    by_role(tally).filter_map(waits).collect()
}

fn sync_times(tally: &IoTally) -> Vec<SyncTimes> {
    let syncs = tally.syncs.iter().filter(|(_, times)| !times.is_empty());
    let times = |(file, times): (&FileKind, &hdrhistogram::Histogram<u64>)| SyncTimes {
        file: *file,
        count: times.len(),
        latency: Distribution::new(times, times.len()),
    };
    syncs.map(times).collect()
}

impl CheckpointsResult {
    fn new(tally: &IoTally) -> Self {
        let CheckpointTally { count, pages, wal_sync, copy, main_sync, longest, incomplete, frames_left_most } =
            tally.checkpoints;
        let commits = tally.carrying.as_ref().map_or(0, hdrhistogram::Histogram::len);
        Self {
            count,
            pages,
            wal_sync_s: wal_sync.as_secs_f64(),
            copy_s: copy.as_secs_f64(),
            main_sync_s: main_sync.as_secs_f64(),
            longest_s: longest.as_secs_f64(),
            commits,
            commit_response: tally.carrying.as_ref().map(|times| Times::new(times, commits)).unwrap_or_default(),
            busy: tally.counts().checkpoints_busy,
            incomplete,
            frames_left_most: u64::from(frames_left_most),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_was_counted_is_divided_by_commits_seconds_and_rows() {
        let mut tally = IoTally::default();
        let counts = &mut tally.roles[IoRole::Announces as usize];
        (counts.commits, counts.row_bytes, counts.wal_restarts) = (4, 400, 2);
        counts.longest_wal_read = Duration::from_millis(3);
        counts.files[FileKind::Wal as usize] =
            FileCounts { writes: 8, written_bytes: 16_000, syncs: 4, ..FileCounts::default() };
        counts.files[FileKind::Folder as usize].syncs = 2;
        let of_scrapes = &mut tally.roles[IoRole::Scrapes as usize];
        of_scrapes.files[FileKind::Main as usize].reads = 20;
        of_scrapes.longest_wal_read = Duration::from_millis(2);
        let io = IoResult::new(&tally, 2.0);
        assert_eq!((io.syncs_per_commit, io.written_bytes_per_commit), (Some(1.5), Some(4_000.0)));
        assert_eq!((io.reads_per_s, io.syncs_per_s, io.written_bytes_per_s), (10.0, 3.0, 8_000.0));
        assert_eq!((io.changed_row_bytes, io.write_amplification), (400, Some(40.0)));
        assert_eq!((io.wal_restarts, io.longest_wal_read_s), (2, 0.003));
        assert_eq!(io.roles.len(), 3);
        let device = DeviceIo::new(1.0, 2, 24_576, io.row_bytes_per_commit());
        assert_eq!((device.written_bytes_per_commit, device.write_amplification), (Some(12_288.0), Some(122.88)));
        let nothing = IoResult::new(&IoTally::default(), 0.0);
        assert_eq!((nothing.syncs_per_commit, nothing.write_amplification, nothing.syncs_per_s), (None, None, 0.0));
        assert_eq!(DeviceIo::new(1.0, 0, 7, None).written_bytes_per_commit, None);
    }
}

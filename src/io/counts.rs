//! Counts of what was asked of files, by kind of file.

use std::{
    fmt,
    time::{Duration, Instant},
};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind of file, as SQLite names it when it opens one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// The database.
    Main,
    /// Its rollback journal.
    Journal,
    /// Its write-ahead log.
    Wal,
    /// The index of the write-ahead log, in shared memory: how often it was mapped, and nothing else is seen of it.
    Shm,
    /// Temporary files, and those of transactions over several databases.
    Temp,
    /// The folder that the database lies in: a sync of it makes names durable.
    Folder,
}

impl FileKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 6] = [Self::Main, Self::Journal, Self::Wal, Self::Shm, Self::Temp, Self::Folder];
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Main => "database",
            Self::Journal => "journal",
            Self::Wal => "WAL",
            Self::Shm => "shm",
            Self::Temp => "temporary",
            Self::Folder => "folder",
        })
    }
}

/// What was asked of the files of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileCounts {
    /// Times one was opened; of shared memory, mapped.
    pub opens: u64,
    /// Calls that read.
    pub reads: u64,
    /// Bytes that these asked for.
    pub read_bytes: u64,
    /// Calls that wrote.
    pub writes: u64,
    /// Bytes that these wrote.
    pub written_bytes: u64,
    /// Calls that made it durable.
    pub syncs: u64,
    /// Times one was cut to a length.
    pub truncates: u64,
    /// Times one was deleted.
    pub deletes: u64,
}

impl FileCounts {
    /// Both together; sums stop at the largest number.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            opens: self.opens.saturating_add(other.opens),
            reads: self.reads.saturating_add(other.reads),
            read_bytes: self.read_bytes.saturating_add(other.read_bytes),
            writes: self.writes.saturating_add(other.writes),
            written_bytes: self.written_bytes.saturating_add(other.written_bytes),
            syncs: self.syncs.saturating_add(other.syncs),
            truncates: self.truncates.saturating_add(other.truncates),
            deletes: self.deletes.saturating_add(other.deletes),
        }
    }
}

/// What was asked of all files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IoCounts {
    /// By kind of file, in the order of [`FileKind::ALL`].
    pub files: [FileCounts; FileKind::ALL.len()],
    /// Times that a connection slept because the database was locked.
    pub lock_waits: u64,
    /// How long it slept, in all.
    pub lock_wait: Duration,
    /// Commits that wrote something, a change of the journal mode among them.
    pub commits: u64,
    /// Bytes of the rows that commits changed, as the thread said ([`super::note_rows`]): what had to be written at least.
    pub row_bytes: u64,
    /// Checkpoints that were not begun, since another was under way: SQLite's `busy` of a passive one.
    pub checkpoints_busy: u64,
    /// Times that a writer began the WAL at its front: all of it had been moved into the database, and nobody read it.
    pub wal_restarts: u64,
    /// How long the longest read transaction in WAL held the log, so that it could not begin at its front.
    pub longest_wal_read: Duration,
}

impl IoCounts {
    /// Of one kind of file.
    #[must_use]
    pub fn of(&self, kind: FileKind) -> &FileCounts {
        &self.files[kind as usize]
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        for (own, others) in self.files.iter_mut().zip(&other.files) {
            *own = own.plus(others);
        }
        self.lock_waits += other.lock_waits;
        self.lock_wait += other.lock_wait;
        self.commits += other.commits;
        self.row_bytes = self.row_bytes.saturating_add(other.row_bytes);
        self.checkpoints_busy += other.checkpoints_busy;
        self.wal_restarts += other.wal_restarts;
        self.longest_wal_read = self.longest_wal_read.max(other.longest_wal_read);
    }
}

/// A call that made something durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedSync {
    /// What of. The first sync of a new journal or WAL takes the folder's with it, and is of the file.
    pub kind: FileKind,
    /// How long it took, an emulated delay included.
    pub took: Duration,
}

/// A checkpoint: pages of the WAL were moved into the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// When it began: with the sync of the WAL, where there was one.
    pub begun: Instant,
    /// The sync of the WAL before the pages are moved.
    pub wal_sync: Duration,
    /// Moving the pages.
    pub copy: Duration,
    /// The sync of the database afterwards.
    pub main_sync: Duration,
    /// Pages that were moved: each of which there are several frames once.
    pub pages: u64,
    /// Frames of the WAL up to which it went, and that there were, where SQLite's index told.
    pub frames: Option<CheckpointFrames>,
}

/// How far a checkpoint went: SQLite's `checkpointed` and `log`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckpointFrames {
    /// Frames that are in the database after it, whoever moved them.
    pub moved: u32,
    /// Frames in the WAL.
    pub of: u32,
}

impl Checkpoint {
    /// How long it took.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.wal_sync + self.copy + self.main_sync
    }
}

/// What one thread's calls came to, since it was last asked.
#[derive(Debug, Default)]
pub struct IoLog {
    /// All calls.
    pub counts: IoCounts,
    /// Those that were timed, in time order.
    pub syncs: Vec<TimedSync>,
    /// In time order.
    pub checkpoints: Vec<Checkpoint>,
}

impl IoLog {
    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        self.counts = IoCounts::default();
        self.syncs.clear();
        self.checkpoints.clear();
    }

    /// Whether nothing was asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts == IoCounts::default() && self.syncs.is_empty() && self.checkpoints.is_empty()
    }
}

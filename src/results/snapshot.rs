//! What a run found of its snapshots.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Recorded;
use crate::{
    child::Resources,
    digest::Digest,
    oracle::{Difference, Findings, Verdict},
    scenario::Step,
    snapshot::{
        PaceResult, Strategy,
        protocol::{CopyIo, PartResult},
    },
};

/// What became of one snapshot. In the JSON all of it lies side by side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotResult {
    /// How it was taken.
    pub strategy: Strategy,
    /// When, and how its taking ended.
    #[serde(flatten)]
    pub run: CopyRun,
    /// How it went on meanwhile, as the strategy told.
    #[serde(flatten)]
    pub progress: CopyCourse,
    /// What it used, and whom it stopped.
    #[serde(flatten)]
    pub cost: CopyCost,
    /// What it left.
    #[serde(flatten)]
    pub copy: CopyFiles,
    /// What became of the WAL; `None` in the other journal modes.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub wal: Recorded<Option<WalResult>>,
    /// What was done with it afterwards, in that order.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub after: Recorded<Vec<StepResult>>,
    /// What the oracle says.
    #[serde(flatten)]
    pub ruling: Ruling,
}

/// When a snapshot was taken, and how that ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CopyRun {
    /// When it began, in seconds from the start of the load.
    pub started_s: f64,
    /// By how much that was later than the schedule says, because the one before it had not ended.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub late_s: Recorded<f64>,
    /// From before its process was started, or its writer asked, to its end.
    pub duration_s: f64,
    /// How long it took to sync the files that it left and their folder, once it had ended well; `None` where it had not.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub sync_s: Recorded<Option<f64>>,
    /// Why that could not be synced.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub sync_error: Recorded<Option<String>>,
    /// When it would have been stopped, from its beginning: earlier than the scenario says where it began late, as the load ends
    /// when it ends.
    pub deadline_s: f64,
    /// Status of its process; `None` where that was killed, and where the writer itself copied.
    pub exit_status: Option<i32>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// The beginning of what its process wrote to standard error, which may be something even where it said that all is well.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub stderr: Recorded<String>,
    /// The last commit acknowledged before it began.
    pub commit_at_start: u64,
    /// The last commit issued when it had ended.
    pub commit_at_end: u64,
    /// How many of those between were asked for and never made; only of a tracker that wrote, and where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commits_lost: Option<u64>,
}

/// How the taking of a snapshot went on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CopyCourse {
    /// How long its parts took, where the strategy says.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub parts: Recorded<Vec<PartResult>>,
    /// How often the backup API began again, where that is known.
    pub restarts: Option<u64>,
    /// Pages that it had copied before it began again, where that is known.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub pages_in_vain: Recorded<Option<u64>>,
    /// How far it was, over time: at most some dozens of points.
    #[serde(rename = "progress", default, skip_serializing_if = "Recorded::is_unknown")]
    pub points: Recorded<Vec<ProgressPoint>>,
}

/// What the taking of a snapshot used, and whom it stopped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CopyCost {
    /// How long no write was let through, because the strategy stops the writers: from when they were asked to stop.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub downtime_s: Recorded<Option<f64>>,
    /// What its process used; `None` where the writer itself copied.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub resources: Recorded<Option<Resources>>,
    /// What it took of the processors on the thread of the writer, where that does the copying.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub writer_cpu_s: Recorded<Option<f64>>,
    /// What it asked of files, where this program copied in a process of its own that ended by itself; `None` where another
    /// program did, or nobody counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io: Option<CopyIo>,
    /// What its pace was, where it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<PaceResult>,
    /// How much of the live database was in memory, where the program `fincore` is installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub live_cached: Option<LiveCached>,
}

/// How much of the live database's main file the page cache held. What a copy throws out of it has to be read again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LiveCached {
    /// Before the copy began, in bytes.
    pub before_bytes: u64,
    /// When it had been made and synced, in bytes.
    pub after_bytes: u64,
}

impl LiveCached {
    /// By how much less it was after the copy than before, in bytes.
    #[must_use]
    pub fn lost_bytes(self) -> u64 {
        self.before_bytes.saturating_sub(self.after_bytes)
    }
}

/// What a snapshot left, before anything opened it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CopyFiles {
    /// Size of everything that it left.
    pub bytes: u64,
    /// The files that it left.
    pub files: Vec<FileLeft>,
    /// Journal mode that the header of its main file asks for; `None` where that is no database.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub copy_journal_mode: Recorded<Option<CopyJournalMode>>,
    /// Whether its main file is all there is to it: no WAL or journal with content lies beside it. `None` where that has
    /// no content.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub stands_alone: Recorded<Option<bool>>,
}

/// What the oracle says of a snapshot.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Ruling {
    /// What it is; `None` where it could not be judged.
    pub verdict: Option<Verdict>,
    /// Why it could not be judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judge_error: Option<String>,
    /// What the verdict rests on.
    pub evidence: Evidence,
    /// The strategy reported success, `integrity_check` says `ok`, and the verdict is not `exact`.
    pub silent_failure: bool,
    /// What `PRAGMA integrity_check` says.
    pub integrity_check: Option<String>,
    /// How long it took, with the oracle's other readings beside it.
    pub integrity_check_s: Option<f64>,
    /// What `PRAGMA quick_check` says.
    pub quick_check: Option<String>,
    /// How long it took, with the oracle's other readings beside it.
    pub quick_check_s: Option<f64>,
    /// k, where the content is S(k).
    pub commit: Option<u64>,
}

/// What the header of a database file says of its journal mode, in bytes 18 and 19.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CopyJournalMode {
    /// One of the rollback modes: which one is each connection's own affair.
    Rollback,
    /// Write-ahead log.
    Wal,
    /// Bytes that SQLite does not write.
    Invalid,
}

/// How far a snapshot was at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProgressPoint {
    /// Seconds since it began.
    pub t_s: f64,
    /// Size of its main file.
    pub bytes: u64,
    /// The part that was done, from 0 to 1, as the strategy said, where it says.
    pub done: Option<f64>,
}

/// A step after a snapshot, on copies of what it left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct StepResult {
    /// Which step it is.
    pub step: Step,
    /// Whether the load was running when it began.
    pub during_load: bool,
    /// How it ended.
    pub status: StepStatus,
    /// How long it took, copies for its own sake not counted; 0 where it was not done.
    pub duration_s: f64,
    /// What it found, or why it failed or was skipped.
    pub answer: String,
    /// Of a compression: bytes before.
    pub input_bytes: Option<u64>,
    /// Of a compression: bytes after.
    pub output_bytes: Option<u64>,
    /// Of a restore: the part of `duration_s` in which the files were decompressed, or copied.
    pub decompress_s: Option<f64>,
    /// Of a retention: the numbers in their trial, from 0, of the snapshots whose backups it kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Vec<usize>>,
}

/// How a step after a snapshot ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepStatus {
    /// It was done, and what was asked of the copy holds.
    Done,
    /// The copy did not pass it, or it could not be done.
    Failed,
    /// It cannot be done here, or there was nothing to do it with.
    Skipped,
}

impl fmt::Display for StepStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        })
    }
}

/// The WAL around a snapshot, looked at every 20 ms. The *file* stays as long as it ever was until it is truncated; *in
/// use* are the frames that were written since the log was last restarted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WalResult {
    /// Size of the file when the snapshot began.
    pub start_bytes: u64,
    /// Largest size while it ran, copy and sync.
    pub peak_bytes: u64,
    /// Largest size after it, until the next began or the load ended.
    pub peak_after_bytes: u64,
    /// In use when it began.
    pub start_used_bytes: u64,
    /// In use at most while it ran.
    pub peak_used_bytes: u64,
    /// In use at most after it, until the next began or the load ended.
    pub peak_after_used_bytes: u64,
    /// In use at most in the baseline.
    pub baseline_peak_used_bytes: u64,
    /// From its end until no more was in use than in the baseline at most; `None` where that did not come before the next
    /// snapshot or the end of the load.
    pub back_after_s: Option<f64>,
    /// How often the log was restarted while it ran: a checkpoint had moved all of it and nobody read it.
    pub restarts: u64,
    /// Checkpoints of the checkpoint thread that ended while it was copied; `None` where there is no such thread.
    pub checkpoints: Option<u64>,
    /// Pages that those found moved to the main file since the one before each, whoever moved them: at least so many.
    pub checkpointed_pages: Option<u64>,
    /// Looks while it ran that found the main file changed since the look before: in WAL, a checkpoint wrote to it.
    pub main_file_changes: u64,
}

impl WalResult {
    /// Of a snapshot that begins.
    #[must_use]
    pub fn at_start(bytes: u64, used_bytes: u64) -> Self {
        Self {
            start_bytes: bytes,
            peak_bytes: bytes,
            peak_after_bytes: 0,
            start_used_bytes: used_bytes,
            peak_used_bytes: used_bytes,
            peak_after_used_bytes: 0,
            baseline_peak_used_bytes: 0,
            back_after_s: None,
            restarts: 0,
            checkpoints: None,
            checkpointed_pages: None,
            main_file_changes: 0,
        }
    }
}

/// A file that a snapshot left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileLeft {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// What a verdict rests on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Why, in words.
    pub reason: String,
    /// What the files left by an unfinished snapshot are.
    pub left_behind: Option<Verdict>,
    /// Commits issued by the end of the snapshot that it does not have.
    pub age_commits: Option<u64>,
    /// From the instant its last commit was made to the end of the snapshot.
    pub age_s: Option<f64>,
    /// Of a stale snapshot: commits acknowledged before it began that it does not have.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub missing_commits: Recorded<Option<u64>>,
    /// Of a stale snapshot: from the instant its last commit was made to that of the last one acknowledged before it
    /// began.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub missing_s: Recorded<Option<f64>>,
    /// Downloads counted by the end of the snapshot that it does not have: what a restore would lose.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub downloads_lost: Recorded<Option<i64>>,
    /// Of a corrupt snapshot: the pages and rows concerned.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub damage: Recorded<Findings>,
    /// Of a torn snapshot: how it differs from the nearest commit.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub difference: Recorded<Option<Difference>>,
    /// How long the oracle took to read every page, in seconds.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub read_s: Recorded<f64>,
    /// Digest of the content.
    pub digest: Option<Digest>,
    /// Part of the copy that was done, from 0 to 1, as the strategy last said, where it says.
    pub progress: Option<f64>,
}

impl SnapshotResult {
    /// Whether it is all that it should be.
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.ruling.verdict.is_some_and(Verdict::is_exact)
    }

    /// Commits that were issued while it was taken, but for those that were never made.
    #[must_use]
    pub fn commits_meanwhile(&self) -> u64 {
        let CopyRun { commit_at_start, commit_at_end, commits_lost, .. } = self.run;
        commit_at_end.saturating_sub(commit_at_start).saturating_sub(commits_lost.unwrap_or(0))
    }
}

impl fmt::Display for CopyJournalMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rollback => "rollback",
            Self::Wal => "wal",
            Self::Invalid => "invalid",
        })
    }
}

//! One snapshot: from the instant at which it is due to the sync of what it left.
//!
//! Everything here happens while the load runs, so the live database is never opened, and what could take long (the sync)
//! is done on a thread of its own.

use std::{
    cell::Cell,
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    CLAIM_FILE,
    after::After,
    elsewhere::elsewhere,
    executing::{Outcome, Writers, execute},
    recorder::{seconds, slices},
};
use crate::{
    child::{Limits, Room},
    ledger::Ledger,
    measure::SLICE_NS,
    oracle::Claim,
    results::{FileLeft, StepResult},
    snapshot::{CopyProgress, SNAPSHOT_FILE, Task},
    sqlite, work,
};

/// A late snapshot that has less time than this until the load ends is not begun.
const LEAST_DEADLINE_S: f64 = 0.1;

/// A snapshot to be taken.
pub struct Job {
    /// Its place in the trial, from 0.
    pub number: usize,
    /// When it is to begin, in seconds, as the schedule counts them.
    pub at_s: f64,
    /// What takes it.
    pub task: Task,
    /// Its own folder, empty.
    pub folder: PathBuf,
}

/// A snapshot that is to begin at a time that is known.
pub struct Due {
    /// What to do.
    pub job: Job,
    /// The slice in which it should begin.
    pub planned_slice: u64,
    /// The slice in which it does: later, where the one before it has not ended in time.
    pub first_slice: u64,
    /// When it is stopped, from its beginning.
    pub deadline: Duration,
}

/// The snapshots that are still to be taken, in time order.
pub struct Queue {
    jobs: std::vec::IntoIter<Job>,
    origin: u64,
    end: u64,
    deadline_s: f64,
}

/// What a snapshot sees of the trial.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    /// When operation 0 was due.
    pub start: Instant,
    /// Where commits are recorded.
    pub ledger: &'a Ledger,
    /// Who can be asked to stop, or to copy.
    pub writers: &'a Writers,
    /// The live database.
    pub live: &'a Path,
    /// What the strategy last said of its progress.
    pub said: &'a Cell<Option<CopyProgress>>,
    /// A snapshot is given up where less than this is free.
    pub least_free_bytes: u64,
    /// What is done with a snapshot afterwards.
    pub steps: &'a After,
    /// When the load ends.
    pub load_end: Instant,
}

/// A snapshot that was taken, or tried.
pub struct Taken {
    /// Its own folder.
    pub folder: PathBuf,
    /// When it began.
    pub begun: Instant,
    /// When it began, from the start of the load.
    pub started_after: Duration,
    /// By how much that was put off, because the one before it had not ended.
    pub late: Duration,
    /// When it would have been stopped, from its beginning.
    pub deadline: Duration,
    /// How its strategy ended.
    pub outcome: Outcome,
    /// What the oracle judges it by.
    pub claim: Claim,
    /// What it last said of its progress.
    pub progress: Option<CopyProgress>,
    /// What it left, before anything opened it.
    pub files: Vec<FileLeft>,
    /// How long the sync of that took; `None` where the copy had failed.
    pub sync: Option<Result<Duration, String>>,
    /// What was done with it afterwards.
    pub after: Vec<StepResult>,
}

impl Queue {
    /// Jobs whose times count from the slice `origin`; in the slice `end` each has passed its deadline.
    pub fn new(jobs: Vec<Job>, origin: u64, end: u64, deadline_s: f64) -> Self {
        Self { jobs: jobs.into_iter(), origin, end, deadline_s }
    }

    /// The next one, to begin at `earliest` or at its time, whichever is later. None where no time is left for it, and so
    /// for none after it either.
    pub fn next(&mut self, earliest: u64) -> Option<Due> {
        let planned_slice = self.origin + slices(self.jobs.as_slice().first()?.at_s);
        let first_slice = planned_slice.max(earliest);
        let left_s = seconds(self.end.saturating_sub(first_slice));
        if left_s < LEAST_DEADLINE_S {
            return None;
        }
        let deadline = Duration::from_secs_f64(self.deadline_s.min(left_s));
        self.jobs.next().map(|job| Due { job, planned_slice, first_slice, deadline })
    }

    /// Those that have not begun.
    pub fn len(&self) -> usize {
        self.jobs.len()
    }
}

/// Waits until the snapshot is due, takes it, and syncs what it left.
pub async fn take(due: Due, around: Around<'_>) -> Taken {
    let Due { job: Job { number, task, folder, .. }, planned_slice, first_slice, deadline } = due;
    let Around { start, ledger, writers, live, said, steps, load_end, .. } = around;
    let time_at = |slice: u64| Duration::from_nanos(slice * SLICE_NS);
    tokio::time::sleep_until((start + time_at(first_slice)).into()).await;
    said.set(None);
    let commit_at_start = ledger.acknowledged();
    let begun = Instant::now();
    let started_after = begun.saturating_duration_since(start);
    let room = Room { folders: vec![folder.clone()], least_free_bytes: around.least_free_bytes };
    let limits = Limits { deadline, room: Some(room) };
    let outcome = execute(task, &limits, writers, said).await;
    let commit_at_end = ledger.issued();
    let ended_us = u64::try_from(ledger.created().elapsed().as_micros()).unwrap_or(u64::MAX);
    let claim = Claim { finished: outcome.finished, commit_at_start, commit_at_end, ended_us };
    let files = files_left(&folder);
    let sync = if claim.finished { Some(sync_elsewhere(folder.clone(), live.to_owned()).await) } else { None };
    write_claim(&folder, &claim, deadline);
    let after =
        if steps.is_during_load() { steps.run(number, &folder, claim.finished, load_end).await } else { Vec::new() };
    let (late, progress) = (time_at(first_slice).saturating_sub(time_at(planned_slice)), said.get());
    Taken { folder, begun, started_after, late, deadline, outcome, claim, progress, files, sync, after }
}

/// The files in the folder of a snapshot, with their sizes.
fn files_left(folder: &Path) -> Vec<FileLeft> {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let file = |path: PathBuf| FileLeft { name: name(&path), bytes: work::file_bytes(&path) };
    work::files_in(folder).unwrap_or_default().into_iter().map(file).collect()
}

/// What somebody needs who judges the snapshot later, from kept files.
fn write_claim(folder: &Path, claim: &Claim, deadline: Duration) {
    let Ok(mut json) = serde_json::to_value(claim) else { return };
    json["deadline_s"] = deadline.as_secs_f64().into();
    // Where it cannot be written (a full disk), the trial still judges by the claim in memory.
    let _ = fs::write(folder.join(CLAIM_FILE), format!("{json:#}\n"));
}

/// Syncs a snapshot's files and their folder on another thread, and says how long it took.
async fn sync_elsewhere(folder: PathBuf, live: PathBuf) -> Result<Duration, String> {
    let synced = elsewhere(move || {
        let begun = Instant::now();
        sync(&folder, &live)?;
        Ok(begun.elapsed())
    });
    synced.await.map_err(|error| error.to_string())
}

/// Makes what lies in a folder durable, and the folder itself.
fn sync(folder: &Path, live: &Path) -> io::Result<()> {
    let identity = |path: &Path| path.symlink_metadata().map(|found| (found.dev(), found.ino())).ok();
    let of_live: Vec<_> =
        [live.to_owned(), sqlite::side_file(live, "-shm")].iter().map(|path| identity(path)).collect();
    for path in work::files_in(folder)? {
        // A link to the live file must not be opened in this process (`docs/sqlite.md`, 1).
        if path.symlink_metadata()?.is_file() && !of_live.contains(&identity(&path)) {
            fs::File::open(&path)?.sync_all()?;
        }
    }
    fs::File::open(folder)?.sync_all()
}

/// The file that a snapshot's strategy makes in its folder.
pub fn main_file(folder: &Path) -> PathBuf {
    folder.join(SNAPSHOT_FILE)
}

//! One snapshot: from the instant at which it is due to the sync of what it left.
//!
//! Everything here happens while the load runs, so the live database is never opened, and what could take long (the sync)
//! is done on a thread of its own.

use std::{
    cell::{Cell, RefCell},
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    blocking, folder, live_cache,
    steps::{Candidate, Steps},
    task_runner::{self, TaskOutcome, Writers},
};
use crate::{
    child::{Limits, Room},
    history::ledger::Ledger,
    measure::SLICE_NS,
    oracle::Claim,
    results::{FileLeft, LiveCached, PartName, StepResult},
    scenario::Turn,
    snapshot::{CopyProgress, Task},
    sqlite,
    torrents::Portion,
    work,
};

/// So long before a snapshot is due it is asked how much of the live database is in memory: long enough for that to be known in time.
const LOOK_AHEAD: Duration = Duration::from_secs(1);

/// A snapshot to be taken.
pub struct Job {
    /// Its place in the trial, from 0.
    pub number: usize,
    /// How much of the database it is to hold.
    pub portion: Portion,
    /// What takes it.
    pub task: Task,
    /// Its own folder, empty.
    pub folder: PathBuf,
}

/// What a snapshot needs of the trial.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// When operation 0 was due.
    pub start: Instant,
    /// Where commits are recorded.
    pub ledger: &'a Ledger,
    /// Who can be asked to stop, or to copy.
    pub writers: &'a Writers,
    /// The live database.
    pub live: &'a Path,
    /// The program that says how much of it is in memory, where it is installed.
    pub fincore: Option<&'a Path>,
    /// Becomes what the strategy last said of its progress.
    pub progress: &'a Cell<Option<CopyProgress>>,
    /// Receives what follows the copy, with the slice in which it begins, which lies ahead.
    pub turns: &'a RefCell<Vec<(PartName, u64)>>,
    /// Whether what the strategy left is synced.
    pub syncs: bool,
    /// A snapshot is given up where less than this is free.
    pub free_bytes_min: u64,
    /// What is done with a snapshot afterwards.
    pub steps: &'a Steps,
    /// When the load ends.
    pub load_end: Instant,
}

/// What was seen of commits while a snapshot was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// The last one that had been issued when it began.
    pub issued_at_start: u64,
    /// The last one that had been acknowledged when it ended.
    pub acknowledged_at_end: u64,
}

/// A snapshot that was taken, or tried.
pub struct SnapshotRun {
    /// Its place in the trial, from 0.
    pub number: usize,
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
    /// How its task ended.
    pub outcome: TaskOutcome,
    /// What the oracle judges it by.
    pub claim: Claim,
    /// What was seen of commits meanwhile.
    pub advance: Advance,
    /// What it last said of its progress.
    pub progress: Option<CopyProgress>,
    /// What it left, before anything opened it.
    pub files: Vec<FileLeft>,
    /// How long the sync of that took; `None` where the copy had failed, or nobody syncs it.
    pub sync: Option<Result<Duration, String>>,
    /// How much of the live database was in memory before it and after its sync.
    pub live_cached: Option<LiveCached>,
    /// What was done with it while the load ran.
    pub steps: Vec<StepResult>,
}

impl SnapshotRun {
    /// What the steps after a snapshot need to know.
    pub fn candidate(&self) -> Candidate<'_> {
        Candidate { number: self.number, folder: &self.folder, finished: self.claim.finished }
    }
}

impl Surroundings<'_> {
    /// Something begins that follows the copy.
    fn turn_to(&self, part: PartName) {
        let now = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX) / SLICE_NS;
        self.turns.borrow_mut().push((part, now + 1));
    }
}

/// Waits until the snapshot is due, takes it, and syncs what it left.
pub async fn take(job: Job, turn: Turn, around: Surroundings<'_>) -> SnapshotRun {
    let Job { number, portion, task, folder } = job;
    let Turn { planned_slice, first_slice, deadline } = turn;
    let Surroundings {
        start, ledger, writers, live, fincore, progress, steps, load_end, free_bytes_min, syncs, ..
    } = around;
    let time_at = |slice: u64| Duration::from_nanos(slice * SLICE_NS);
    let due = start + time_at(first_slice);
    tokio::time::sleep_until(due.checked_sub(LOOK_AHEAD).unwrap_or(due).into()).await;
    let cached_before = live_cache::cached_bytes(fincore, live).await;
    tokio::time::sleep_until(due.into()).await;
    progress.set(None);
    let (commit_at_start, issued_at_start) = (ledger.acknowledged(), ledger.issued());
    let begun = Instant::now();
    let room = Room { folders: vec![folder.clone()], least_free_bytes: free_bytes_min };
    let limits = Limits { deadline, room: Some(room) };
    let outcome = task_runner::run(task, &limits, writers, ledger, progress).await;
    let commit_at_end = outcome.commit_while_stopped.unwrap_or_else(|| ledger.issued());
    let advance = Advance { issued_at_start, acknowledged_at_end: ledger.acknowledged() };
    let ended_us = u64::try_from(ledger.created().elapsed().as_micros()).unwrap_or(u64::MAX);
    let claim = Claim { portion, finished: outcome.finished, commit_at_start, commit_at_end, ended_us };
    let files = sizes(&folder);
    around.turn_to(PartName::Sync);
    let sync = if syncs && claim.finished { Some(sync_aside(folder.clone(), live.to_owned()).await) } else { None };
    let cached_after = live_cache::cached_bytes(fincore, live).await;
    let live_cached =
        cached_before.zip(cached_after).map(|(before_bytes, after_bytes)| LiveCached { before_bytes, after_bytes });
    folder::write_claim(&folder, claim, deadline, None);
    let candidate = Candidate { number, folder: &folder, finished: claim.finished };
    let steps = if steps.are_during_load() {
        around.turn_to(PartName::Steps);
        steps.run(candidate, load_end).await
    } else {
        Vec::new()
    };
    SnapshotRun {
        number,
        folder,
        begun,
        started_after: begun.saturating_duration_since(start),
        late: time_at(first_slice).saturating_sub(time_at(planned_slice)),
        deadline,
        outcome,
        claim,
        advance,
        progress: progress.get(),
        files,
        sync,
        live_cached,
        steps,
    }
}

/// The files in the folder of a snapshot, with their sizes.
fn sizes(folder: &Path) -> Vec<FileLeft> {
    let name = |path: &Path| path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let file = |path: PathBuf| FileLeft { name: name(&path), bytes: work::file_bytes(&path) };
    work::files_in(folder).unwrap_or_default().into_iter().map(file).collect()
}

/// Syncs a snapshot's files and their folder on another thread, and says how long it took.
async fn sync_aside(folder: PathBuf, live: PathBuf) -> Result<Duration, String> {
    let synced = blocking::run(move || {
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

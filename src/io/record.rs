//! The counts of each thread, in that thread's own memory.

use std::{
    cell::RefCell,
    time::{Duration, Instant},
};

use super::counts::{Checkpoint, CheckpointFrames, FileCounts, FileKind, IoLog, TimedSync};

thread_local! {
    static RECORD: RefCell<Option<Record>> = const { RefCell::new(None) };
}

/// The calls of the thread that it belongs to.
#[derive(Default)]
struct Record {
    log: IoLog,
    /// Of the WAL: when its last sync began and ended, unless something was written to it since.
    wal_sync: Option<(Instant, Instant)>,
    /// The checkpoint that goes on: when the first page was to be moved, and the pages so far.
    copying: Option<Copying>,
    /// Whether the last checkpoint still waits for its sync of the database.
    main_sync_due: bool,
    /// Checkpoints since the thread began to count.
    checkpoints: u64,
}

struct Copying {
    wal_sync: Option<(Instant, Instant)>,
    begun: Instant,
    pages: u64,
    log_frames: Option<u32>,
}

/// Counts the calls of this thread from now on, and forgets what it did before.
pub fn count_here() {
    // A thread that is ending has no memory of its own any more, and nobody to take its counts.
    let _ = RECORD.try_with(|record| record.replace(Some(Record::default())));
}

/// Takes what this thread's calls came to since it was last asked, in exchange for a log whose memory it goes on with. What was in
/// that is forgotten. Leaves an empty log where nothing is counted.
pub fn take(log: &mut IoLog) {
    log.clear();
    with(|record| std::mem::swap(&mut record.log, log));
}

/// Checkpoints of this thread since it began to count.
#[must_use]
pub fn checkpoints_here() -> u64 {
    let mut checkpoints = 0;
    with(|record| checkpoints = record.checkpoints);
    checkpoints
}

/// Notes that a commit of this thread has changed rows of so many bytes.
pub fn note_rows(bytes: u64) {
    with(|record| record.log.counts.row_bytes += bytes);
}

fn with(note: impl FnOnce(&mut Record)) {
    let _ = RECORD.try_with(|record| {
        // Nothing that is noted calls SQLite, so nobody else has it.
        if let Ok(mut record) = record.try_borrow_mut()
            && let Some(record) = record.as_mut()
        {
            note(record);
        }
    });
}

pub(super) fn file(kind: FileKind, note: impl FnOnce(&mut FileCounts)) {
    with(|record| note(&mut record.log.counts.files[kind as usize]));
}

pub(super) fn written(kind: FileKind, bytes: u64) {
    with(|record| {
        let counts = &mut record.log.counts.files[kind as usize];
        counts.writes += 1;
        counts.written_bytes += bytes;
        match kind {
            // What is written to the database while pages are moved is a page.
            FileKind::Main => record.copying.iter_mut().for_each(|copying| copying.pages += 1),
            FileKind::Wal => record.wal_sync = None,
            FileKind::Journal | FileKind::Shm | FileKind::Temp | FileKind::Folder => {}
        }
    });
}

/// A file was made durable, and its folder where that was part of the same call.
pub(super) fn synced(kind: FileKind, with_folder: bool, begun: Instant, ended: Instant) {
    with(|record| {
        let took = ended.duration_since(begun);
        record.log.counts.files[kind as usize].syncs += 1;
        if with_folder {
            record.log.counts.files[FileKind::Folder as usize].syncs += 1;
        }
        record.log.syncs.push(TimedSync { kind, took });
        match kind {
            FileKind::Wal => record.wal_sync = Some((begun, ended)),
            FileKind::Main if std::mem::take(&mut record.main_sync_due) => {
                if let Some(last) = record.log.checkpoints.last_mut() {
                    last.main_sync = took;
                }
            }
            FileKind::Main | FileKind::Journal | FileKind::Shm | FileKind::Temp | FileKind::Folder => {}
        }
    });
}

pub(super) fn slept(took: Duration) {
    with(|record| {
        record.log.counts.lock_waits += 1;
        record.log.counts.lock_wait += took;
    });
}

/// A writer has begun the WAL at its front.
pub(super) fn wal_restarted() {
    with(|record| record.log.counts.wal_restarts += 1);
}

/// A read transaction in WAL has ended, which took so long.
pub(super) fn wal_was_read(took: Duration) {
    with(|record| {
        let longest = &mut record.log.counts.longest_wal_read;
        *longest = took.max(*longest);
    });
}

pub(super) fn committed() {
    with(|record| record.log.counts.commits += 1);
}

/// A checkpoint moves its first page, of a log of so many frames: what others add to it meanwhile is not its business.
pub(super) fn checkpoint_begins(log_frames: Option<u32>) {
    with(|record| {
        let wal_sync = record.wal_sync.take();
        record.copying = Some(Copying { wal_sync, begun: Instant::now(), pages: 0, log_frames });
    });
}

/// A checkpoint could not be begun.
pub(super) fn checkpoint_was_busy() {
    with(|record| record.log.counts.checkpoints_busy += 1);
}

/// Its pages are moved, up to this frame.
pub(super) fn checkpoint_has_copied(moved_frames: Option<u32>) {
    with(|record| {
        let Some(Copying { wal_sync, begun, pages, log_frames }) = record.copying.take() else { return };
        let wal_sync_took = wal_sync.map_or(Duration::ZERO, |(begun, ended)| ended.duration_since(begun));
        record.log.checkpoints.push(Checkpoint {
            begun: wal_sync.map_or(begun, |(begun, _)| begun),
            wal_sync: wal_sync_took,
            copy: begun.elapsed(),
            main_sync: Duration::ZERO,
            pages,
            frames: moved_frames.zip(log_frames).map(|(moved, of)| CheckpointFrames { moved, of }),
        });
        record.checkpoints += 1;
        record.main_sync_due = true;
    });
}

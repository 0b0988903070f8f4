//! The checkpoint thread: it moves the WAL into the main file at regular times, so that no commit has to.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use crate::{
    io,
    measure::IoRole,
    sqlite,
    target::{Background, LoadContext},
};

/// A checkpoint of the checkpoint thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// When it had ended.
    pub at: Instant,
    /// Pages of the log that are in the main file after it, whoever moved them, since the log was last restarted.
    pub moved_pages: u64,
}

/// What the checkpoint thread did, in time order: some dozens of bytes a checkpoint.
pub type Checkpoints = Arc<Mutex<Vec<Checkpoint>>>;

/// How many of them ended after `from` and until `to`, and the pages that they found moved since the one before each.
#[must_use]
pub fn checkpoints_between(all: &Checkpoints, from: Instant, to: Instant) -> (u64, u64) {
    let all = all.lock().unwrap_or_else(PoisonError::into_inner);
    let (first, end) = (all.partition_point(|one| one.at <= from), all.partition_point(|one| one.at <= to));
    let moved = (first..end).map(|n| {
        let before = n.checked_sub(1).map_or(0, |before| all[before].moved_pages);
        // Less than before: the log was restarted meanwhile.
        all[n].moved_pages.checked_sub(before).unwrap_or(all[n].moved_pages)
    });
    ((end - first) as u64, moved.sum())
}

/// Runs a passive checkpoint every `interval` on a connection of its own, and notes it.
pub fn checkpointer(connection: Connection, interval: Duration, done: Checkpoints) -> Background {
    Box::new(move |context: &dyn LoadContext| {
        io::count_here();
        let mut next = Instant::now() + interval;
        while !context.is_stopped() {
            let left = next.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                thread::sleep(left.min(Duration::from_millis(50)));
                continue;
            }
            next = Instant::now() + interval;
            match connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(2)) {
                Ok(moved) => {
                    // Negative where the database is in no WAL mode.
                    let checkpoint = Checkpoint { at: Instant::now(), moved_pages: u64::try_from(moved).unwrap_or(0) };
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(checkpoint);
                }
                // A checkpoint that finds the database busy is tried again at its next turn.
                Err(error) if sqlite::is_busy(&error) => {}
                Err(error) => return context.fail(format!("cannot checkpoint: {error}")),
            }
            context.report(Instant::now(), &mut |slice| {
                slice.io_role = IoRole::CheckpointThread;
                io::take(&mut slice.io);
            });
        }
    })
}

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
            match connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], moved_pages) {
                Ok(Some(moved_pages)) => {
                    let checkpoint = Checkpoint { at: Instant::now(), moved_pages };
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(checkpoint);
                }
                // One that finds the database busy is tried again at its next turn.
                Ok(None) => {}
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

/// How many pages of the log are in the main file, of the row that a checkpoint answers with: whether it was busy, frames of the log, and
/// those that were moved. Nothing where another checkpoint was under way: that row knows of no frames.
fn moved_pages(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<u64>> {
    let (busy, moved): (bool, i64) = (row.get(0)?, row.get(2)?);
    // Negative where the database is in no WAL mode.
    Ok((!busy).then(|| u64::try_from(moved).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_checkpoint_knows_of_no_pages() {
        let connection = Connection::open_in_memory().unwrap();
        for (row, expected) in [("0, 9, 7", Some(7)), ("1, -1, -1", None), ("0, -1, -1", Some(0))] {
            assert_eq!(connection.query_row(&format!("SELECT {row}"), [], moved_pages).unwrap(), expected, "{row}");
        }
    }
}

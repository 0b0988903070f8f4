//! What works beside the operations: a newer tracker's listener, and a checkpointer.

use std::{
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::{Background, Beside, database::Database};
use crate::{sqlite, torrents::Torrent, workload::Kind};

/// Downloads that a newer tracker's queue holds at most.
pub const QUEUE_LENGTH: usize = 32_768;

/// How long the listener goes on after the load has stopped, with what is still queued.
const DRAIN: Duration = Duration::from_secs(10);

/// A completed download that waits to be counted.
#[derive(Debug, Clone, Copy)]
pub struct Queued {
    /// Of this torrent.
    pub torrent: Torrent,
    /// Since then.
    pub at: Instant,
}

/// The listener: counts what is queued, one download at a time. What it cannot write is lost, and so is what is still
/// queued some seconds after the load has stopped.
pub fn listener(database: Database, queue: mpsc::Receiver<Queued>) -> Background {
    Box::new(move |beside: Beside| {
        let mut stopped: Option<Instant> = None;
        loop {
            if beside.is_stopped() {
                stopped.get_or_insert_with(Instant::now);
            }
            if stopped.is_some_and(|at| at.elapsed() > DRAIN) {
                break;
            }
            let queued = match queue.recv_timeout(Duration::from_millis(50)) {
                Ok(queued) => queued,
                Err(mpsc::RecvTimeoutError::Timeout) if stopped.is_none() => continue,
                Err(_) => return,
            };
            let executed = database.count_download(queued.torrent);
            beside.report(Instant::now(), |slice| slice.background_statements = u64::from(executed.statements));
            if executed.lost_writes > 0 {
                beside.report(queued.at, |slice| slice.lost_writes[Kind::Announce as usize] = executed.lost_writes);
            }
            if let Some(why) = executed.fatal {
                beside.fail(why);
            }
        }
        for queued in queue.try_iter() {
            // Two writes: the torrent's and the aggregate's.
            beside.report(queued.at, |slice| slice.lost_writes[Kind::Announce as usize] = 2);
        }
    })
}

/// A checkpoint of the checkpointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// When it had ended.
    pub at: Instant,
    /// Pages of the log that are in the main file after it, whoever moved them, since the log was last restarted.
    pub moved_pages: u64,
}

/// What the checkpointer did, in time order: some dozens of bytes a checkpoint.
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

/// The checkpointer: runs a passive checkpoint every `interval` on a connection of its own, so that no commit has to, and
/// notes it.
pub fn checkpointer(connection: Connection, interval: Duration, done: Checkpoints) -> Background {
    Box::new(move |beside: Beside| {
        let mut next = Instant::now() + interval;
        while !beside.is_stopped() {
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
                Err(error) => return beside.fail(format!("cannot checkpoint: {error}")),
            }
        }
    })
}

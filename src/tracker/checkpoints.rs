//! When another program makes checkpoints, seen from outside: the header of the WAL's index says how far they are.
//!
//! The index is read as a file, never mapped or locked, and by a process that has no connection to the database: to close a file
//! drops all POSIX locks that the same process holds on it (`os_unix.c`). Its layout is a part of SQLite's file format
//! (`walformat.html`, 2.2): a checkpoint sets `nBackfillAttempted` before it moves a page, and `nBackfill` when the main file is
//! synced.

use std::{
    fs::File,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use crate::{
    measure::SeenCheckpoint,
    target::{Background, LoadContext},
};

/// How often the index is looked at: what is shorter may be seen as long as this.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// How often it is looked whether there is an index, where there is none.
const SEEK_EVERY: Duration = Duration::from_millis(100);

const BACKFILL_AT: usize = 96;
const ATTEMPTED_AT: usize = 128;
const HEADER_BYTES: usize = 136;

/// Frames of the log, since it was last restarted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Header {
    /// In the main file for good: `nBackfill`.
    moved: u32,
    /// To be moved by the checkpoint that was begun last: `nBackfillAttempted`.
    attempted: u32,
}

/// Reports each checkpoint of a database as it is seen to end.
#[must_use]
pub fn watch_checkpoints(live: &Path) -> Background {
    let mut name = live.as_os_str().to_owned();
    name.push("-shm");
    let path = PathBuf::from(name);
    Box::new(move |context: &dyn LoadContext| {
        let (mut index, mut log) = (None, Log::default());
        while !context.is_stopped() {
            let now = Instant::now();
            if let Some(header) = index.as_ref().and_then(header) {
                if let Some(seen) = log.look(now, header) {
                    context.report(now, &mut |slice| slice.seen_checkpoints.push(seen));
                }
                thread::sleep(LOOK_EVERY);
            } else {
                // Not in WAL mode, or not yet.
                thread::sleep(SEEK_EVERY);
                (index, log) = (File::open(&path).ok(), Log::default());
            }
        }
    })
}

/// `None` where the index has no header or was removed.
fn header(index: &File) -> Option<Header> {
    let mut bytes = [0; HEADER_BYTES];
    index.read_exact_at(&mut bytes, 0).ok()?;
    if index.metadata().ok()?.nlink() == 0 {
        return None;
    }
    let number = |at: usize| bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes);
    Some(Header { moved: number(BACKFILL_AT)?, attempted: number(ATTEMPTED_AT)? })
}

/// What the looks so far come to.
#[derive(Debug, Default)]
struct Log {
    last: Option<(Instant, Header)>,
    /// Since when a checkpoint is seen to be under way.
    since: Option<Instant>,
}

impl Log {
    /// The checkpoint that has ended since the last look.
    fn look(&mut self, now: Instant, header: Header) -> Option<SeenCheckpoint> {
        let (last_at, last) = self.last.replace((now, header))?;
        let is_under_way = header.attempted > header.moved;
        // Where it was begun and ended between two looks, it took less than the time between them.
        let has_ended = if self.since.is_some() { !is_under_way } else { header.moved > last.moved };
        if has_ended {
            let begun = self.since.take().unwrap_or(last_at);
            return Some(SeenCheckpoint { begun, duration: now.saturating_duration_since(begun) });
        }
        if is_under_way && self.since.is_none() {
            self.since = Some(now);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rusqlite::Connection;

    #[test]
    fn checkpoints_are_told_by_two_numbers() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut log = Log::default();
        let mut seen = Vec::new();
        for (ms, moved, attempted) in [
            (0, 0, 0),
            (2, 0, 900), // one begins
            (4, 0, 900),
            (60, 900, 900), // and ends
            (62, 0, 0),     // the log is restarted
            (64, 0, 0),
            (66, 40, 40), // one between two looks
            (68, 40, 40),
            (70, 40, 80), // one that ends with the log restarted
            (72, 0, 0),
        ] {
            seen.extend(log.look(at(ms), Header { moved, attempted }));
        }
        let checkpoint = |from, to| SeenCheckpoint { begun: at(from), duration: Duration::from_millis(to - from) };
        assert_eq!(seen, [checkpoint(2, 60), checkpoint(64, 66), checkpoint(70, 72)]);
    }

    #[test]
    fn they_are_read_where_sqlite_writes_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("live.db");
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("PRAGMA journal_mode=wal; CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
        // Closed after the connection: see above.
        let index = File::open(folder.path().join("live.db-shm")).unwrap();
        assert_eq!(header(&index), Some(Header::default()));
        let frames: u32 = connection.query_row("PRAGMA wal_checkpoint", [], |row| row.get(2)).unwrap();
        assert!(frames > 1);
        assert_eq!(header(&index), Some(Header { moved: frames, attempted: frames }));
        connection.execute_batch("PRAGMA journal_mode=delete").unwrap();
        assert_eq!(header(&index), None, "it was removed");
        drop(connection);
    }
}

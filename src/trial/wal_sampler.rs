//! Samples the WAL of the live database: the size of its file, how much of it is in use, and whether a checkpoint has
//! written to the main file.
//!
//! The conductor takes a sample every [`SAMPLE_INTERVAL`], so what is shorter may be missed. Sampling is harmless: the main file is only
//! asked for its time, and of the files of a live database the WAL alone may be opened in this process (`docs/sqlite.md`, 1).

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{sqlite, work};

/// How often the WAL is sampled, and with it all else that is looked at while a snapshot runs.
pub const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);

/// Samples the WAL of one database.
pub struct WalSampler {
    live: PathBuf,
    wal: PathBuf,
}

/// What one look saw.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WalSample {
    /// Size of the file.
    pub file_bytes: u64,
    /// Bytes of the frames that were written since the log was last restarted, its header included.
    pub used_bytes: u64,
    /// Rises when a writer begins at the front again, after a checkpoint that left nothing to do.
    pub sequence: u32,
    /// When the main file was last changed.
    pub main_changed_ns: i128,
}

/// What the header of a WAL says, and how much of the file is in use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Log {
    sequence: u32,
    used_bytes: u64,
}

impl WalSampler {
    /// Of a live database.
    pub fn new(live: &Path) -> Self {
        Self { live: live.to_owned(), wal: sqlite::side_file(live, "-wal") }
    }

    /// Looks at the files.
    pub fn sample(&self) -> WalSample {
        // There is no WAL before the first write.
        let Log { sequence, used_bytes } = Log::read(&self.wal).unwrap_or_default();
        let changed =
            |main: std::fs::Metadata| i128::from(main.mtime()) * 1_000_000_000 + i128::from(main.mtime_nsec());
        WalSample {
            file_bytes: work::file_bytes(&self.wal),
            used_bytes,
            sequence,
            main_changed_ns: self.live.metadata().map_or(0, changed),
        }
    }
}

impl Log {
    /// Reads the header, and finds the last frame that bears its salts: those behind it are of an earlier round.
    fn read(path: &Path) -> io::Result<Self> {
        const HEADER_BYTES: u64 = 32;
        const FRAME_HEADER_BYTES: u64 = 24;
        let file = File::open(path)?;
        let mut header = [0; 32];
        file.read_exact_at(&mut header, 0)?;
        let word = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let frame_bytes = FRAME_HEADER_BYTES + u64::from(word(8));
        let is_current = |frame: u64| -> io::Result<bool> {
            let mut salts = [0; 8];
            file.read_exact_at(&mut salts, HEADER_BYTES + frame * frame_bytes + 8)?;
            Ok(salts == header[16..24])
        };
        let (mut current, mut end) = (0, file.metadata()?.len().saturating_sub(HEADER_BYTES) / frame_bytes);
        while current < end {
            let middle = current + (end - current) / 2;
            if is_current(middle)? {
                current = middle + 1;
            } else {
                end = middle;
            }
        }
        Ok(Self { sequence: word(12), used_bytes: if current == 0 { 0 } else { HEADER_BYTES + current * frame_bytes } })
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn a_log_is_as_long_as_what_was_written_since_its_restart() {
        let folder = tempfile::tempdir().unwrap();
        let live = folder.path().join("live.db");
        let connection = Connection::open(&live).unwrap();
        connection
            .execute_batch(
                "PRAGMA page_size = 1024; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (x)",
            )
            .unwrap();
        let write = |rows: u32| {
            for _ in 0..rows {
                connection.execute("INSERT INTO t VALUES (zeroblob(600))", []).unwrap();
            }
        };
        // SQLite's own count of frames, from a checkpoint that moves them all.
        let frames = || {
            let frames = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(1));
            u64::try_from(frames.unwrap()).unwrap()
        };
        let wal = sqlite::side_file(&live, "-wal");
        write(100);
        let first = Log::read(&wal).unwrap();
        let file_bytes = work::file_bytes(&wal);
        assert_eq!(first.used_bytes, file_bytes, "nothing but current frames");
        assert_eq!(first.used_bytes, 32 + frames() * (24 + 1024));
        write(3);
        let second = Log::read(&wal).unwrap();
        assert_eq!(work::file_bytes(&wal), file_bytes, "the file stays as long");
        assert_eq!(second.used_bytes, 32 + frames() * (24 + 1024));
        assert!(second.used_bytes * 5 < first.used_bytes);
        assert_eq!(second.sequence, first.sequence + 1);
    }
}

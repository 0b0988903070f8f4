//! What can be seen from outside while a snapshot runs: the WAL, the main file's time of change, the size of the copy.
//!
//! The conductor looks every 20 ms, so what is shorter may be missed. Looking is harmless: the main file is only asked for
//! its time, and of the files of a live database the WAL alone may be opened in this process (`docs/sqlite.md`, 1).

use std::{
    fs::File,
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
};

use super::recorder::seconds;
use crate::{
    results::{ProgressPoint, WalResult},
    snapshot::CopyProgress,
    sqlite::{self, JournalMode},
    work,
};

/// Points of a snapshot's progress that are kept at most; beyond, every second one goes.
const POINTS_MOST: usize = 64;

/// Watches one trial.
pub struct Watch {
    live: PathBuf,
    wal: PathBuf,
    is_wal: bool,
    last: Seen,
    /// Most that was in use in the baseline.
    baseline_used_bytes: u64,
    /// Largest size of the WAL.
    pub wal_bytes_max: u64,
    snapshots: Vec<Watched>,
    /// The slice in which the last of them ended; `None` while it runs.
    ended: Option<u64>,
}

/// The running snapshot, as the conductor knows it.
#[derive(Clone, Copy)]
pub struct Running<'a> {
    /// The slice in which it began.
    pub first_slice: u64,
    /// The file that it makes.
    pub out: &'a Path,
    /// What its strategy last said of its progress.
    pub said: Option<CopyProgress>,
}

/// What was seen of one snapshot.
#[derive(Default)]
pub struct Watched {
    /// Of the WAL; `None` in the other journal modes.
    pub wal: Option<WalResult>,
    /// How far it was, over time.
    pub progress: Vec<ProgressPoint>,
    /// One look in so many adds a point.
    stride: u64,
    looks: u64,
}

/// What one look saw of the live database.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    wal_bytes: u64,
    log: Log,
    main_changed_ns: i128,
}

/// What the header of a WAL says, and how much of it is in use: the frames since it was last restarted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Log {
    /// Rises when a writer begins at the front again, after a checkpoint that left nothing to do.
    sequence: u32,
    used_bytes: u64,
}

impl Watch {
    /// Of a live database in this journal mode.
    pub fn new(live: &Path, journal_mode: JournalMode) -> Self {
        Self {
            live: live.to_owned(),
            wal: sqlite::side_file(live, "-wal"),
            is_wal: journal_mode == JournalMode::Wal,
            last: Seen::default(),
            baseline_used_bytes: 0,
            wal_bytes_max: 0,
            snapshots: Vec::new(),
            ended: Some(0),
        }
    }

    /// Looks, and returns the size of the WAL.
    pub fn look(&mut self, now: u64, in_baseline: bool, running: Option<Running<'_>>) -> u64 {
        let seen = self.see();
        let before = std::mem::replace(&mut self.last, seen);
        self.wal_bytes_max = self.wal_bytes_max.max(seen.wal_bytes);
        if in_baseline {
            self.baseline_used_bytes = self.baseline_used_bytes.max(seen.log.used_bytes);
        }
        if running.is_some() && self.ended.is_some() {
            self.ended = None;
            self.snapshots.push(Watched {
                wal: self.is_wal.then(|| WalResult::at_start(before.wal_bytes, before.log.used_bytes)),
                stride: 1,
                ..Watched::default()
            });
        }
        let ended = self.ended;
        let Some(snapshot) = self.snapshots.last_mut() else { return seen.wal_bytes };
        if let Some(wal) = &mut snapshot.wal {
            note(wal, before, seen, ended.map(|ended| seconds(now - ended)), self.baseline_used_bytes);
        }
        if let Some(running) = running {
            snapshot.follow(now, running);
        }
        seen.wal_bytes
    }

    /// The running snapshot has ended in this slice.
    pub fn end_snapshot(&mut self, now: u64) {
        self.ended = Some(now);
    }

    /// What was seen of each snapshot, in time order.
    pub fn finish(self) -> Vec<Watched> {
        self.snapshots
    }

    fn see(&self) -> Seen {
        if !self.is_wal {
            return Seen::default();
        }
        let main = self.live.metadata();
        Seen {
            wal_bytes: work::file_bytes(&self.wal),
            // There is none before the first write.
            log: Log::read(&self.wal).unwrap_or_default(),
            main_changed_ns: main
                .map_or(0, |main| i128::from(main.mtime()) * 1_000_000_000 + i128::from(main.mtime_nsec())),
        }
    }
}

/// Adds a look to what is known of the WAL around a snapshot that runs, or ended some seconds ago.
fn note(wal: &mut WalResult, before: Seen, seen: Seen, ended_s: Option<f64>, baseline_used_bytes: u64) {
    wal.baseline_peak_used_bytes = baseline_used_bytes;
    let (used_bytes, bytes) = (seen.log.used_bytes, seen.wal_bytes);
    let Some(ended_s) = ended_s else {
        wal.peak_bytes = wal.peak_bytes.max(bytes);
        wal.peak_used_bytes = wal.peak_used_bytes.max(used_bytes);
        wal.restarts += u64::from(before.log.sequence != seen.log.sequence);
        wal.main_file_changes += u64::from(before.main_changed_ns != seen.main_changed_ns);
        return;
    };
    wal.peak_after_bytes = wal.peak_after_bytes.max(bytes);
    wal.peak_after_used_bytes = wal.peak_after_used_bytes.max(used_bytes);
    if wal.back_after_s.is_none() && used_bytes <= baseline_used_bytes {
        wal.back_after_s = Some(ended_s);
    }
}

impl Watched {
    /// Adds how far the snapshot is.
    fn follow(&mut self, now: u64, running: Running<'_>) {
        if self.looks.is_multiple_of(self.stride) {
            self.progress.push(ProgressPoint {
                t_s: seconds(now - running.first_slice),
                bytes: work::file_bytes(running.out),
                done: running.said.and_then(CopyProgress::done),
            });
        }
        self.looks += 1;
        if self.progress.len() > POINTS_MOST {
            let mut is_kept = false;
            self.progress.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            self.stride *= 2;
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

    #[test]
    fn progress_is_thinned_evenly() {
        let mut watched = Watched { stride: 1, ..Watched::default() };
        for now in 0..1_000 {
            watched.follow(now, Running { first_slice: 0, out: Path::new("/no/such"), said: None });
        }
        assert!((POINTS_MOST / 2..=POINTS_MOST).contains(&watched.progress.len()));
        let gaps: Vec<_> = watched.progress.windows(2).map(|pair| pair[1].t_s - pair[0].t_s).collect();
        assert!(gaps.iter().all(|gap| (gap - gaps[0]).abs() < 1e-9), "{gaps:?}");
    }
}

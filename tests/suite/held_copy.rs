//! `held-copy` against a WAL that changes at the worst moment. Nothing here is left to chance: random timing does not find
//! what goes wrong without the look at the WAL's header (`docs/sqlite.md`, 18).
//!
//! The writer and the copy share this process, which is sound as nothing here opens the main file but SQLite and `cp`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use journalbench::{
    snapshot::held_copy::{self, PIECE_BYTES},
    sqlite,
};
use rusqlite::Connection;

const WAIT: Duration = Duration::from_millis(50);

/// Rows of some hundred bytes; every transaction sets all of them to its number.
const ROWS: i64 = 900;

struct Live {
    folder: tempfile::TempDir,
    writer: Connection,
}

impl Live {
    fn new(journal_mode: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let writer = Connection::open(folder.path().join("live.db")).unwrap();
        // A checkpoint that a reader holds up is not to wait for it.
        writer.busy_timeout(WAIT).unwrap();
        writer
            .execute_batch(&format!(
                "PRAGMA page_size = 1024; PRAGMA journal_mode = {journal_mode}; PRAGMA synchronous = off;
                PRAGMA wal_autocheckpoint = 0; CREATE TABLE t (id INTEGER PRIMARY KEY, version INTEGER, pad BLOB);
                WITH RECURSIVE n (id) AS (VALUES (1) UNION ALL SELECT id + 1 FROM n WHERE id < {ROWS})
                INSERT INTO t SELECT id, 0, zeroblob(700) FROM n;"
            ))
            .unwrap();
        Self { folder, writer }
    }

    /// After eight versions; all of its log is in the main file, and nobody reads: the next commit begins at the front again.
    fn about_to_begin_again() -> Self {
        let live = Self::new("wal");
        (1..=8).for_each(|version| live.write(version));
        assert!(!live.checkpoint("PASSIVE").0);
        live
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("live.db")
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("copy.db")
    }

    fn wal_bytes(&self) -> u64 {
        fs::metadata(sqlite::side_file(&self.path(), "-wal")).map_or(0, |wal| wal.len())
    }

    /// Commits a version: every row, so that every page is in the log once more.
    fn write(&self, version: i64) {
        assert_eq!(i64::try_from(self.writer.execute("UPDATE t SET version = ?1", [version]).unwrap()).unwrap(), ROWS);
    }

    /// A checkpoint: whether it was kept from its end, and how many frames of the log are in the main file.
    fn checkpoint(&self, kind: &str) -> (bool, i64) {
        let sql = format!("PRAGMA wal_checkpoint({kind})");
        self.writer.query_row(&sql, [], |row| Ok((row.get(0)?, row.get(2)?))).unwrap()
    }

    /// Takes the copy; `meanwhile` is called after each piece of the WAL with its number, from 1.
    fn copy(&self, meanwhile: &mut dyn FnMut(u64)) -> u64 {
        let mut pieces = 0;
        held_copy::copy(&self.path(), &self.out(), Path::new("cp"), WAIT, &mut |_| {
            pieces += 1;
            meanwhile(pieces);
        })
        .unwrap();
        pieces
    }

    /// The version that the copy has of every row. It must be one file, sound, and of one version.
    fn version_of_copy(&self) -> i64 {
        for suffix in sqlite::SIDE_FILES {
            assert!(!sqlite::side_file(&self.out(), suffix).exists(), "{suffix} was left");
        }
        let copy = Connection::open(self.out()).unwrap();
        let check: String = copy.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok");
        let versions = "SELECT min(version), max(version), count(*) FROM t";
        let (least, most, rows): (i64, i64, i64) =
            copy.query_row(versions, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).unwrap();
        assert_eq!((least, rows), (most, ROWS), "rows of several versions: {least} to {most}");
        least
    }
}

#[test]
fn a_wal_that_begins_again_while_it_is_copied_is_copied_again() {
    let live = Live::about_to_begin_again();
    let wal_bytes = live.wal_bytes();
    let pieces_of_all = wal_bytes.div_ceil(PIECE_BYTES as u64);
    assert!(pieces_of_all >= 4, "{wal_bytes}");
    let pieces = live.copy(&mut |piece| {
        if piece == 1 {
            // What was copied so far is of the old log; all of what follows is overwritten.
            for version in 9..=18 {
                live.write(version);
            }
        }
    });
    assert!(live.wal_bytes() > wal_bytes, "the log was overwritten and went on");
    assert_eq!(live.version_of_copy(), 18);
    assert_eq!(pieces, pieces_of_all + live.wal_bytes().div_ceil(PIECE_BYTES as u64), "it was copied twice");
}

#[test]
fn a_wal_that_is_cut_while_it_is_copied_is_copied_again() {
    let live = Live::about_to_begin_again();
    live.copy(&mut |piece| {
        if piece == 1 {
            let (busy, _) = live.checkpoint("TRUNCATE");
            assert_eq!((busy, live.wal_bytes()), (false, 0));
            live.write(9);
        }
    });
    assert_eq!(live.version_of_copy(), 9);

    // And one that stays away.
    let live = Live::about_to_begin_again();
    live.copy(&mut |piece| {
        if piece == 1 {
            assert!(!live.checkpoint("TRUNCATE").0);
        }
    });
    assert_eq!(live.version_of_copy(), 8);
}

#[test]
fn while_a_log_is_held_it_only_grows_and_is_not_chased() {
    let live = Live::new("wal");
    (1..=8).for_each(|version| live.write(version));
    let wal_bytes = live.wal_bytes();
    let pieces = live.copy(&mut |piece| {
        live.write(8 + i64::try_from(piece).unwrap());
        // Up to the reader's mark it may be moved to the main file; it may not begin again.
        let (_, moved) = live.checkpoint("RESTART");
        assert!(moved > 0);
    });
    assert_eq!(pieces, wal_bytes.div_ceil(PIECE_BYTES as u64), "as long as it was at first");
    // The copy began with version 8. What the first pieces' writes added lies behind the length that was copied.
    assert_eq!(live.version_of_copy(), 8);
}

#[test]
fn without_a_wal_there_is_nothing_to_fold() {
    let live = Live::new("wal");
    live.write(1);
    assert_eq!((live.checkpoint("TRUNCATE").0, live.wal_bytes()), (false, 0));
    assert_eq!(live.copy(&mut |_| ()), 0);
    assert_eq!(live.version_of_copy(), 1);
}

#[test]
fn in_rollback_modes_it_holds_off_commits_and_copies_one_file() {
    for journal_mode in ["delete", "truncate", "persist"] {
        let live = Live::new(journal_mode);
        live.write(1);
        assert_eq!(live.copy(&mut |_| ()), 0);
        assert_eq!(live.version_of_copy(), 1, "{journal_mode}");
    }
    let live = Live::new("delete");
    live.writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let error = held_copy::copy(&live.path(), &live.out(), Path::new("cp"), WAIT, &mut |_| ()).unwrap_err();
    assert!(format!("{error:#}").contains("database is locked"), "{error:#}");
    assert!(!live.out().exists());
}

#[test]
fn a_hot_journal_is_named_and_left_alone() {
    let live = Live::new("delete");
    live.write(1);
    // As a killed writer leaves it: the main file half written, the journal beside it.
    live.writer.execute_batch("PRAGMA cache_size = 10; BEGIN; UPDATE t SET version = 2, pad = zeroblob(600)").unwrap();
    let crashed = tempfile::tempdir().unwrap();
    for suffix in ["", "-journal"] {
        let from = sqlite::side_file(&live.path(), suffix);
        let status = std::process::Command::new("cp").arg(from).arg(crashed.path()).status().unwrap();
        assert!(status.success());
    }
    let path = crashed.path().join("live.db");
    let (journal, out) = (sqlite::side_file(&path, "-journal"), crashed.path().join("copy.db"));
    let before = fs::read(&journal).unwrap();
    let error = held_copy::copy(&path, &out, Path::new("cp"), WAIT, &mut |_| ()).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("live.db-journal is there") && text.contains("rolls it back"), "{text}");
    assert_eq!(fs::read(&journal).unwrap(), before);
    assert!(!out.exists());
}

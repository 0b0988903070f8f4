//! `held-copy` against a WAL that changes at the worst moment. Nothing here is left to chance: random timing does not find
//! what goes wrong without the look at the WAL's header (`docs/sqlite.md`, 18).
//!
//! The writer and the copy share this process. Where the copy reads the main file itself, closing it drops this process's locks, its
//! writer's among them: no other process is here that they would hold off.

use std::{fs, path::PathBuf, time::Duration};

use journalbench::{
    snapshot::{
        CacheUse, HoldOptions,
        held_copy::{self, Copied, PIECE_BYTES, Piece},
        protocol::HeldCopy,
    },
    sqlite,
};
use rusqlite::Connection;

const WAIT: Duration = Duration::from_millis(50);

/// By `cp`, and at every kind of pace.
fn manners() -> Vec<HeldCopy> {
    let by_cp = HoldOptions { busy_timeout_ms: 50, ..HoldOptions::default() };
    let neutral = HoldOptions { cache: Some(CacheUse::Neutral), ..by_cp };
    let options = [
        by_cp,
        neutral,
        HoldOptions { max_rate_bytes_s: Some(100 << 20), ..by_cp },
        HoldOptions { max_rate_bytes_s: Some(100 << 20), ..neutral },
        HoldOptions { writeback_bytes: Some(4096), ..neutral },
        HoldOptions { writeback_bytes: Some(8 << 20), ..neutral },
        // So small that it hurries.
        HoldOptions { wal_bytes_max: Some(64 << 20), ..neutral },
    ];
    options.map(|options| HeldCopy { cp: "cp".into(), options, zstd_level: None }).into()
}

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
    fn copy(&self, manner: &HeldCopy, meanwhile: &mut dyn FnMut(u64)) -> u64 {
        let mut pieces = 0;
        self.copy_main(manner, &mut |piece| {
            if let Piece::Wal(_) = piece {
                pieces += 1;
                meanwhile(pieces);
            }
        });
        pieces
    }

    /// As [`Self::copy`], with what is copied.
    fn copy_main(&self, manner: &HeldCopy, meanwhile: &mut dyn FnMut(Piece)) -> Copied {
        held_copy::copy(&self.path(), &self.out(), manner, meanwhile).unwrap()
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
    for manner in &manners() {
        let live = Live::about_to_begin_again();
        let wal_bytes = live.wal_bytes();
        let pieces_of_all = wal_bytes.div_ceil(PIECE_BYTES as u64);
        assert!(pieces_of_all >= 4, "{wal_bytes}");
        let pieces = live.copy(manner, &mut |piece| {
            if piece == 1 {
                // What was copied so far is of the old log; all of what follows is overwritten.
                for version in 9..=18 {
                    live.write(version);
                }
            }
        });
        assert!(live.wal_bytes() > wal_bytes, "the log was overwritten and went on");
        assert_eq!(live.version_of_copy(), 18, "{manner:?}");
        assert_eq!(pieces, pieces_of_all + live.wal_bytes().div_ceil(PIECE_BYTES as u64), "it was copied twice");
    }
}

#[test]
fn a_wal_that_is_cut_while_it_is_copied_is_copied_again() {
    for manner in &manners() {
        let live = Live::about_to_begin_again();
        live.copy(manner, &mut |piece| {
            if piece == 1 {
                let (busy, _) = live.checkpoint("TRUNCATE");
                assert_eq!((busy, live.wal_bytes()), (false, 0));
                live.write(9);
            }
        });
        assert_eq!(live.version_of_copy(), 9, "{manner:?}");

        // And one that stays away.
        let live = Live::about_to_begin_again();
        live.copy(manner, &mut |piece| {
            if piece == 1 {
                assert!(!live.checkpoint("TRUNCATE").0);
            }
        });
        assert_eq!(live.version_of_copy(), 8, "{manner:?}");
    }
}

#[test]
fn while_a_log_is_held_it_only_grows_and_is_not_chased() {
    for manner in &manners() {
        let live = Live::new("wal");
        (1..=8).for_each(|version| live.write(version));
        let wal_bytes = live.wal_bytes();
        let pieces = live.copy(manner, &mut |piece| {
            live.write(8 + i64::try_from(piece).unwrap());
            // Up to the reader's mark it may be moved to the main file; it may not begin again.
            let (_, moved) = live.checkpoint("RESTART");
            assert!(moved > 0);
        });
        assert_eq!(pieces, wal_bytes.div_ceil(PIECE_BYTES as u64), "as long as it was at first");
        // The copy began with version 8. What the first pieces' writes added lies behind the length that was copied.
        assert_eq!(live.version_of_copy(), 8, "{manner:?}");
    }
}

/// A copy at a pace takes long over the main file. Whatever others do to the database then is in it, or is not, as a whole.
#[test]
fn what_is_done_while_the_main_file_is_copied_does_not_show() {
    let mut pieces_of_all = 0;
    for manner in &manners() {
        for kind in ["PASSIVE", "FULL", "RESTART", "TRUNCATE"] {
            for is_about_to_begin_again in [true, false] {
                let live = if is_about_to_begin_again { Live::about_to_begin_again() } else { Live::new("wal") };
                // More than a piece of the main file.
                live.writer.execute_batch("UPDATE t SET pad = zeroblob(2500)").unwrap();
                live.write(20);
                if is_about_to_begin_again {
                    assert!(!live.checkpoint("PASSIVE").0);
                }
                let mut version = 20;
                live.copy_main(manner, &mut |piece| {
                    if let Piece::Main(_) = piece {
                        pieces_of_all += 1;
                        version += 1;
                        live.write(version);
                        live.checkpoint(kind);
                    }
                });
                let context = format!("{manner:?} {kind} {is_about_to_begin_again}");
                assert_eq!(live.version_of_copy(), 20, "{context}");
            }
        }
    }
    assert!(pieces_of_all > 60, "{pieces_of_all}");
}

/// What a copy at a pace takes from the log is what SQLite takes when it folds the same log in.
#[test]
fn a_copy_at_a_pace_is_the_copy_by_cp_to_the_byte() {
    for prepare in [
        "UPDATE t SET version = 1",
        "UPDATE t SET version = 1; PRAGMA wal_checkpoint(PASSIVE); UPDATE t SET version = 2 WHERE id % 7 = 0",
        "DELETE FROM t WHERE id > 300; VACUUM",
        "UPDATE t SET pad = zeroblob(3000); BEGIN; UPDATE t SET version = 3; ROLLBACK",
        "PRAGMA cache_size = 5; BEGIN; UPDATE t SET version = 4; ROLLBACK; UPDATE t SET version = 5 WHERE id < 9",
        "CREATE TABLE other (x); PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO other VALUES (1), (2)",
        "PRAGMA wal_checkpoint(TRUNCATE)",
    ] {
        let live = Live::new("wal");
        live.writer.execute_batch(prepare).unwrap();
        let mut copies = Vec::new();
        for manner in &manners() {
            live.copy(manner, &mut |_| ());
            copies.push(fs::read(live.out()).unwrap());
            fs::remove_file(live.out()).unwrap();
        }
        assert!(copies.iter().all(|copy| *copy == copies[0]), "{prepare}");
    }
}

/// Under WAL it is compressed on its way, and in rollback modes when the lock has been given back.
#[test]
fn a_compressed_copy_is_the_same_copy() {
    for journal_mode in ["wal", "delete"] {
        let live = Live::new(journal_mode);
        live.write(1);
        let mut copies = Vec::new();
        for zstd_level in [None, Some(1), Some(19)] {
            live.copy(&HeldCopy { zstd_level, ..manners().remove(1) }, &mut |_| ());
            let copy = fs::read(live.out()).unwrap();
            copies.push(if zstd_level.is_some() { zstd::decode_all(&copy[..]).unwrap() } else { copy });
            fs::remove_file(live.out()).unwrap();
            assert_eq!(fs::read_dir(live.folder.path()).unwrap().count(), 1 + 2 * usize::from(journal_mode == "wal"));
        }
        assert!(copies.iter().all(|copy| *copy == copies[0]), "{journal_mode}");
    }
}

#[test]
fn a_writer_that_was_killed_leaves_a_log_with_an_open_end() {
    for manner in &manners() {
        let live = Live::new("wal");
        live.write(1);
        // A transaction that has spilled half of its pages into the log, as it lies there when its process is killed.
        live.writer.execute_batch("PRAGMA cache_size = 5; BEGIN; UPDATE t SET version = 2").unwrap();
        let crashed = tempfile::tempdir().unwrap();
        for suffix in ["", "-wal"] {
            let from = sqlite::side_file(&live.path(), suffix);
            let status = std::process::Command::new("cp").arg(from).arg(crashed.path()).status().unwrap();
            assert!(status.success());
        }
        live.writer.execute_batch("ROLLBACK").unwrap();
        let killed = Live { folder: crashed, writer: Connection::open_in_memory().unwrap() };
        killed.copy(manner, &mut |_| ());
        assert_eq!(killed.version_of_copy(), 1, "{manner:?}");
    }
}

#[test]
fn a_wal_that_grows_beyond_its_bound_ends_the_copy_and_says_what_to_do() {
    let live = Live::new("wal");
    live.writer.execute_batch("UPDATE t SET pad = zeroblob(2500)").unwrap();
    live.write(1);
    let bound = live.wal_bytes() + 100_000;
    let mut manner = manners().remove(1);
    manner.options.wal_bytes_max = Some(bound);
    let error = held_copy::copy(&live.path(), &live.out(), &manner, &mut |_| live.write(2)).unwrap_err();
    let text = format!("{error:#}");
    for part in ["live.db-wal has grown to", &format!("{bound} were allowed"), "Allow more, copy faster"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_copy_at_a_pace_says_what_it_did() {
    let live = Live::new("wal");
    live.writer.execute_batch("UPDATE t SET pad = zeroblob(3000); PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let bytes = fs::metadata(live.path()).unwrap().len();
    let pace = live.copy_main(&manners()[3], &mut |_| ()).pace.unwrap();
    assert_eq!(pace.pieces, bytes.div_ceil(PIECE_BYTES as u64));
    assert_eq!(pace.read_past_cache_bytes + pace.read_through_cache_bytes, bytes, "{pace:?}");
    assert!(pace.rested_s > 0.0 && pace.longest_piece_s > 0.0, "{pace:?}");
    fs::remove_file(live.out()).unwrap();
    assert_eq!(live.copy_main(&manners()[0], &mut |_| ()).pace, None);
}

#[test]
fn without_a_wal_there_is_nothing_to_fold() {
    for manner in &manners() {
        let live = Live::new("wal");
        live.write(1);
        assert_eq!((live.checkpoint("TRUNCATE").0, live.wal_bytes()), (false, 0));
        assert_eq!(live.copy(manner, &mut |_| ()), 0);
        assert_eq!(live.version_of_copy(), 1, "{manner:?}");
    }
}

#[test]
fn in_rollback_modes_it_holds_off_commits_and_copies_one_file() {
    for manner in &manners() {
        for journal_mode in ["delete", "truncate", "persist"] {
            let live = Live::new(journal_mode);
            live.write(1);
            assert_eq!(live.copy(manner, &mut |_| ()), 0);
            assert_eq!(live.version_of_copy(), 1, "{journal_mode} {manner:?}");
        }
        let live = Live::new("delete");
        live.writer.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let error = held_copy::copy(&live.path(), &live.out(), manner, &mut |_| ()).unwrap_err();
        assert!(format!("{error:#}").contains("database is locked"), "{error:#}");
        assert!(!live.out().exists());
    }
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
    let error = held_copy::copy(&path, &out, &manners()[0], &mut |_| ()).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("live.db-journal is there") && text.contains("rolls it back"), "{text}");
    assert_eq!(fs::read(&journal).unwrap(), before);
    assert!(!out.exists());
}

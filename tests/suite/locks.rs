//! No strategy takes away a lock that this process holds on the live database: closing any other descriptor of the main file
//! or of `-shm` would (`docs/sqlite.md`, 1). Another process tries to break in after each.

use crate::common::strategies;

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::Command,
};

use journalbench::{snapshot::Strategy, sqlite};
use rusqlite::Connection;

/// A database that this process reads in one transaction and writes in another.
struct Locked {
    folder: tempfile::TempDir,
    live: PathBuf,
    _connections: [Connection; 2],
}

impl Locked {
    fn new(journal_mode: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let live = folder.path().join("live.db");
        let connections = [Connection::open(&live).unwrap(), Connection::open(&live).unwrap()];
        let [reader, writer] = &connections;
        let sql = format!(
            "PRAGMA journal_mode = {journal_mode}; CREATE TABLE t (x);
            WITH RECURSIVE n (x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < 5000) INSERT INTO t SELECT x FROM n;"
        );
        writer.execute_batch(&sql).unwrap();
        reader.execute_batch("BEGIN; SELECT x FROM t").unwrap();
        writer.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self { folder, live, _connections: connections }
    }

    /// What another process was let do although it should not.
    fn break_in(&self) -> Vec<&'static str> {
        let has_wal = || sqlite::side_file(&self.live, "-wal").exists();
        let began_with_wal = has_wal();
        let mut done = Vec::new();
        for (what, sql, succeeds) in [
            ("write", "BEGIN IMMEDIATE; ROLLBACK;", ""),
            ("lock out the reader", "BEGIN EXCLUSIVE; ROLLBACK;", ""),
            // Busy is the first of its columns.
            ("cut the log that is read", "PRAGMA wal_checkpoint(TRUNCATE);", "0|0|0"),
            ("leave WAL mode", "PRAGMA journal_mode = truncate;", "truncate"),
        ] {
            let output = Command::new("sqlite3").args([self.live.as_os_str(), sql.as_ref()]).output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            // Where it has another journal mode there is no log to cut, and none to leave.
            if output.status.success() && said.trim() == succeeds && (began_with_wal || succeeds.is_empty()) {
                done.push(what);
            }
        }
        if began_with_wal && !has_wal() {
            done.push("delete the log by closing");
        }
        done
    }
}

#[test]
fn no_strategy_takes_a_lock_away() {
    for journal_mode in ["delete", "wal"] {
        for &strategy in Strategy::all() {
            let locked = Locked::new(journal_mode);
            let copies = locked.folder.path().join("copy");
            std::fs::create_dir(&copies).unwrap();
            let ran = strategies::run(strategy, &strategies::impatient(), &locked.live, &copies, &|command| command);
            let ended = ran.map(|ran| (ran.succeeded, ran.said));
            assert_eq!(locked.break_in(), Vec::<&str>::new(), "{strategy} under {journal_mode}: {ended:?}");
        }
    }
}

#[test]
fn to_open_and_close_the_files_here_would_take_the_locks_away() {
    let open_and_close = |path: &Path| drop(File::open(path).unwrap());
    let locked = Locked::new("delete");
    open_and_close(&locked.live);
    assert_eq!(locked.break_in(), ["write", "lock out the reader"]);

    let locked = Locked::new("wal");
    open_and_close(&locked.live);
    assert!(locked.break_in().contains(&"delete the log by closing"), "{:?}", locked.break_in());

    let locked = Locked::new("wal");
    open_and_close(&sqlite::side_file(&locked.live, "-shm"));
    assert!(locked.break_in().contains(&"write"), "{:?}", locked.break_in());
}

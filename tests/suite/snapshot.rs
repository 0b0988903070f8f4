//! `journalbench snapshot` on databases that another process is writing to, and on what goes wrong.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use journalbench::sqlite::{self, SIDE_FILES};
use rusqlite::Connection;

const ROWS: i64 = 20_000;

/// A database of some megabytes; a version is what all of its rows have.
fn database(folder: &Path, journal_mode: &str) -> PathBuf {
    let path = folder.join("live.db");
    let sql = format!(
        "PRAGMA journal_mode = {journal_mode}; CREATE TABLE t (id INTEGER PRIMARY KEY, version INTEGER, pad TEXT UNIQUE);
        WITH RECURSIVE n (id) AS (VALUES (1) UNION ALL SELECT id + 1 FROM n WHERE id < {ROWS})
        INSERT INTO t SELECT id, 0, hex(randomblob(40)) FROM n;"
    );
    Connection::open(&path).unwrap().execute_batch(&sql).unwrap();
    path
}

/// The `sqlite3` program, which writes as fast as it can until it is dropped: every commit sets all rows to one version more.
struct Writer(Child);

impl Writer {
    fn start(live: &Path) -> Self {
        let mut child = Command::new("sqlite3")
            .arg(live)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdin.write_all(b".timeout 20000\nPRAGMA synchronous = off;\nSELECT 'ready';\n").unwrap();
        std::io::Read::read_exact(&mut stdout, &mut [0; 6]).unwrap();
        // Ends when the program is killed.
        thread::spawn(move || while stdin.write_all(b"UPDATE t SET version = version + 1;\n").is_ok() {});
        Self(child)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Holds a lock on a database from another process until it is dropped.
fn hold(live: &Path, begin: &str) -> Writer {
    let mut child = Command::new("sqlite3").arg(live).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let stdin = child.stdin.as_mut().unwrap();
    writeln!(stdin, "{begin}\nSELECT 'held';").unwrap();
    std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut [0; 5]).unwrap();
    Writer(child)
}

fn snapshot(arguments: &[&str], live: &Path, out: &Path) -> Output {
    command(arguments, live, out).output().unwrap()
}

fn command(arguments: &[&str], live: &Path, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_journalbench"));
    command.arg("snapshot").args(arguments).args([live, out]).stdin(Stdio::null());
    command
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Names in a folder but for those of the live database's own files.
fn beside_live(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with("live.db")).collect();
    names.sort();
    names
}

fn version_of(copy: &Path) -> i64 {
    let copy = Connection::open(copy).unwrap();
    let sql = "SELECT min(version), max(version), count(*), count(DISTINCT pad) FROM t";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let (least, most, rows, pads): (i64, i64, i64, i64) = copy.query_row(sql, [], row).unwrap();
    assert_eq!((least, rows, pads), (most, ROWS, ROWS));
    least
}

#[test]
fn copies_of_a_database_that_is_written_to_are_states_of_it_in_their_order() {
    for journal_mode in ["wal", "delete"] {
        let folder = tempfile::tempdir().unwrap();
        let live = database(folder.path(), journal_mode);
        let writer = Writer::start(&live);
        let mut last = -1;
        for number in 0..6 {
            let out = folder.path().join(format!("{number}.db"));
            let output = snapshot(&["--verify"], &live, &out);
            assert!(output.status.success(), "{journal_mode} {number}: {}", words(&output));
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("verified by reading every page: ok") && text.contains("main file"), "{text}");
            assert_eq!(words(&output).contains("nobody can commit until the copy is done"), journal_mode == "delete");
            for suffix in SIDE_FILES {
                assert!(!sqlite::side_file(&out, suffix).exists());
            }
            let version = version_of(&out);
            assert!(version >= last, "{journal_mode}: {version} after {last}");
            last = version;
        }
        drop(writer);
        assert!(last > 0, "the writer did write under {journal_mode}");
        assert_eq!(beside_live(folder.path()).len(), 12, "{:?}", beside_live(folder.path()));
    }
}

#[test]
fn every_strategy_that_suits_copies_a_quiet_database_and_the_others_give_advice() {
    let folder = tempfile::tempdir().unwrap();
    let live = database(folder.path(), "wal");
    let writing = Connection::open(&live).unwrap();
    writing.execute("UPDATE t SET version = 7", []).unwrap();
    for strategy in [
        "held-copy-gentle",
        "held-copy",
        "backup",
        "backup-one-step",
        "cli-backup",
        "cli-backup-timeout",
        "vacuum-into",
    ] {
        let out = folder.path().join(format!("{strategy}.db"));
        let output = snapshot(&["--strategy", strategy, "--verify"], &live, &out);
        assert!(output.status.success(), "{strategy}: {}", words(&output));
        assert_eq!(version_of(&out), 7, "{strategy}");
    }
    let before = beside_live(folder.path());
    for (strategy, advice) in [
        ("cp", "leaves out what is committed and still in the WAL; held-copy"),
        ("cp-all", "copies what is half written; held-copy"),
        ("cp-reflink", "leaves out what is committed"),
        ("backup-in-writer", "by the program that writes"),
        ("stop-copy", "cannot stop another program's writers"),
        ("command", "run it yourself"),
        ("none", "takes no copy"),
    ] {
        let output = snapshot(&["--strategy", strategy], &live, &folder.path().join("no.db"));
        assert_eq!(output.status.code(), Some(2), "{strategy}");
        assert!(words(&output).contains(advice), "{strategy}: {}", words(&output));
    }
    assert_eq!(beside_live(folder.path()), before);
}

#[test]
fn nothing_is_overwritten_and_nothing_foreign_becomes_a_part_of_the_copy() {
    let folder = tempfile::tempdir().unwrap();
    let live = database(folder.path(), "wal");
    let out = folder.path().join("out.db");
    for suffix in ["", "-wal", "-journal", "-shm", ".manifest.json"] {
        let file = sqlite::side_file(&out, suffix);
        fs::write(&file, "mine").unwrap();
        let output = snapshot(&[], &live, &out);
        assert_eq!(output.status.code(), Some(2), "{suffix}: {}", words(&output));
        assert!(words(&output).contains(&format!("out.db{suffix} exists")), "{}", words(&output));
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        fs::remove_file(&file).unwrap();
    }
    assert_eq!(beside_live(folder.path()), Vec::<String>::new());
}

#[test]
fn what_cannot_be_copied_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let live = database(folder.path(), "delete");
    let out = folder.path().join("out.db");
    let text = folder.path().join("live.db.txt");
    fs::write(&text, "no database, but long enough to have a header of one hundred bytes: ".repeat(3)).unwrap();
    let lock = hold(&live, "BEGIN EXCLUSIVE;");
    for (arguments, live, status, expected) in [
        (&["--strategy", "backup"][..], live.as_path(), 1, "database is locked"),
        (&["--strategy", "held-copy", "--deadline-s", "0.5"], &live, 1, "stopped at the deadline"),
        (&["--strategy", "vacuum-into", "--deadline-s", "0.5"], &live, 1, "stopped at the deadline"),
        (&["--keep-free", "5000TB"], &live, 2, "are to stay free"),
        (&[], &folder.path().join("live.db.gone"), 1, "cannot find the database"),
        (&[], &text, 1, "is no SQLite database"),
        (&["--strategy", "scp"], &live, 2, "invalid value 'scp'"),
    ] {
        let output = snapshot(arguments, live, &out);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {}", words(&output));
        assert!(words(&output).contains(expected), "{arguments:?}: {}", words(&output));
        assert_eq!(beside_live(folder.path()), Vec::<String>::new(), "{arguments:?}");
    }
    drop(lock);
    let output = snapshot(&[], &live, &folder.path().join("no/such/folder/out.db"));
    assert_eq!(output.status.code(), Some(1));
    assert!(words(&output).contains("cannot create the folder"), "{}", words(&output));
}

#[test]
fn an_unsound_copy_gets_no_name() {
    let folder = tempfile::tempdir().unwrap();
    let live = database(folder.path(), "delete");
    // A page of the middle, gone: held-copy copies what is there, and the check sees it.
    let mut bytes = fs::read(&live).unwrap();
    let middle = bytes.len() / 4096 / 2 * 4096;
    bytes[middle..middle + 4096].fill(0);
    fs::write(&live, bytes).unwrap();
    let out = folder.path().join("out.db");
    for how in ["--verify", "--verify=integrity-check"] {
        let output = snapshot(&[how], &live, &out);
        assert_eq!(output.status.code(), Some(3), "{how}: {}", words(&output));
        assert!(words(&output).contains("the copy is not sound"), "{how}: {}", words(&output));
        assert_eq!(beside_live(folder.path()), Vec::<String>::new(), "{how}");
    }
}

#[test]
fn what_the_walk_does_not_understand_is_left_to_integrity_check_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (sql, by, because)) in [
        ("CREATE TABLE t (x); CREATE INDEX i ON t (x);", "walk", None),
        (
            "CREATE TABLE t (x); CREATE TABLE p (x); CREATE INDEX i ON p (x) WHERE x > 1;",
            "walk-and-integrity-check",
            Some("p has"),
        ),
        (
            "CREATE VIRTUAL TABLE f USING fts5 (x); INSERT INTO f VALUES ('word');",
            "walk-and-integrity-check",
            Some("f has"),
        ),
        ("PRAGMA auto_vacuum = INCREMENTAL; CREATE TABLE t (x);", "integrity-check", Some("auto_vacuum")),
    ]
    .into_iter()
    .enumerate()
    {
        let live = folder.path().join(format!("live.db-{number}"));
        Connection::open(&live).unwrap().execute_batch(sql).unwrap();
        let output = snapshot(&["--verify", "--json"], &live, &folder.path().join(format!("{number}.db")));
        assert!(output.status.success(), "{sql}: {}", words(&output));
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["verified_by"], by, "{json}");
        let said = json["verified_because"].as_str().unwrap_or_default();
        assert!(because.map_or(said.is_empty(), |because| said.contains(because)), "{json}");
        assert_eq!(json["integrity_check_s"].is_null(), by == "walk", "{json}");
    }
}

/// The copying child of a snapshot.
fn copying_child(process: u32) -> Option<String> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    let copies = |child: &&str| {
        let line = fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains("copy-process")
    };
    children.split_whitespace().find(copies).map(str::to_owned)
}

#[test]
fn an_interrupt_and_a_killed_child_leave_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let live = database(folder.path(), "delete");
    let out = folder.path().join("out.db");
    let _lock = hold(&live, "BEGIN EXCLUSIVE;");
    for (who, signal, status) in [("it", "INT", 130), ("its child", "KILL", 1)] {
        let running = command(&[], &live, &out).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let begun = Instant::now();
        let child = loop {
            if let Some(child) = copying_child(running.id()) {
                break child;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "it did not begin");
            thread::sleep(Duration::from_millis(2));
        };
        let target = if who == "it" { running.id().to_string() } else { child };
        assert!(Command::new("kill").args([format!("-{signal}"), target]).status().unwrap().success());
        let output = running.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{who}: {}", words(&output));
        assert!(who == "it" || words(&output).contains("killed by signal 9"), "{}", words(&output));
        assert_eq!(beside_live(folder.path()), Vec::<String>::new(), "{who}");
    }
}

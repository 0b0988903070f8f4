//! Every strategy on a quiet database, and in what can go wrong with it; the two that ask something of the writers, under
//! load.

use crate::common;
use crate::common::strategies;

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use journalbench::{
    oracle::Verdict,
    results::{SnapshotResult, Status},
    snapshot::{Programs, SNAPSHOT_FILE, Strategy, StrategyOptions, protocol::Part},
    sqlite,
};
use rusqlite::Connection;

const ROWS: i64 = 3_000;

/// A database of some hundred pages.
fn database(folder: &Path, journal_mode: &str) -> (PathBuf, Connection) {
    let live = folder.join("it's live.db");
    let connection = Connection::open(&live).unwrap();
    let sql = format!(
        "PRAGMA journal_mode = {journal_mode}; CREATE TABLE t (x INTEGER PRIMARY KEY, pad TEXT UNIQUE);
        WITH RECURSIVE n (x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM n WHERE x < {ROWS})
        INSERT INTO t SELECT x, hex(randomblob(60)) FROM n;"
    );
    connection.execute_batch(&sql).unwrap();
    (live, connection)
}

/// Rows that somebody finds who restores a copy; none where there is no database.
fn rows_of(copy: &Path) -> Option<i64> {
    let connection = Connection::open_with_flags(copy, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE).ok()?;
    assert_eq!(sqlite::pragma_text(&connection, "integrity_check").ok()?, "ok");
    connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).ok()
}

fn run(strategy: Strategy, live: &Path, folder: &Path) -> Option<strategies::Ran> {
    strategies::run(strategy, &strategies::impatient(), live, folder, &|command| command)
}

#[test]
fn each_copies_a_quiet_database() {
    for journal_mode in ["delete", "wal"] {
        for strategy in strategies::of_any_database() {
            let folder = tempfile::tempdir().unwrap();
            let (live, connection) = database(folder.path(), journal_mode);
            // The last to close folds the WAL.
            drop(connection);
            let Some(ran) = run(strategy, &live, folder.path()) else { continue };
            assert!(ran.succeeded, "{strategy} under {journal_mode}: {ran:?}");
            assert_eq!(rows_of(&folder.path().join(SNAPSHOT_FILE)), Some(ROWS), "{strategy} under {journal_mode}");
        }
    }
}

#[test]
fn what_lies_in_the_wal_is_copied_by_those_that_see_it() {
    use Strategy::{Command, Cp, IoniceCp, Rsync};
    for strategy in strategies::of_any_database() {
        let folder = tempfile::tempdir().unwrap();
        let (live, _writes_on) = database(folder.path(), "wal");
        let Some(ran) = run(strategy, &live, folder.path()) else { continue };
        assert!(ran.succeeded, "{strategy}: {ran:?}");
        let copy = folder.path().join(SNAPSHOT_FILE);
        let with_wal = sqlite::side_file(&copy, "-wal").exists();
        assert_eq!(with_wal, strategy == Strategy::CpAll, "{strategy}");
        // Their copy is what it was before it had a table.
        let expected = if matches!(strategy, Cp | IoniceCp | Rsync | Command) { None } else { Some(ROWS) };
        assert_eq!(rows_of(&copy), expected, "{strategy}");
    }
}

/// Those that take a lock of SQLite's.
const LOCKING: [Strategy; 8] = [
    Strategy::Backup,
    Strategy::BackupOneStep,
    Strategy::BackupInWriter,
    Strategy::CliBackup,
    Strategy::CliBackupTimeout,
    Strategy::VacuumInto,
    Strategy::HeldCopy,
    Strategy::HeldCopyGentle,
];

#[test]
fn those_that_take_a_lock_fail_on_a_locked_database_and_say_so() {
    for strategy in LOCKING {
        let folder = tempfile::tempdir().unwrap();
        let (live, connection) = database(folder.path(), "delete");
        connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let ran = run(strategy, &live, folder.path()).unwrap();
        assert!(!ran.succeeded && ran.said.contains("locked"), "{strategy}: {ran:?}");
        // An empty file passes integrity_check; whoever looks for a file finds one.
        let left = folder.path().join(SNAPSHOT_FILE);
        assert_eq!(left.metadata().map_or(0, |left| left.len()), 0, "{strategy}");
        connection.execute_batch("ROLLBACK; INSERT INTO t (pad) VALUES ('still writable')").unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let (live, connection) = database(folder.path(), "wal");
    connection.execute_batch("BEGIN; SELECT * FROM t").unwrap();
    let other = Connection::open(&live).unwrap();
    other.execute("DELETE FROM t WHERE x = 1", []).unwrap();
    let ran = run(Strategy::StopCopy, &live, folder.path()).unwrap();
    assert!(!ran.succeeded && ran.said.contains("could not be moved into the main file"), "{ran:?}");
}

#[test]
fn a_target_that_cannot_be_written_is_a_failure_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let (live, _connection) = database(folder.path(), "wal");
    let nowhere = folder.path().join("no/such/folder");
    for &strategy in Strategy::all() {
        // `sqlite3` is started in the folder of the copy.
        if matches!(strategy, Strategy::CliBackup | Strategy::CliBackupTimeout) {
            continue;
        }
        let Some(ran) = run(strategy, &live, &nowhere) else { continue };
        assert!(!ran.succeeded && !ran.said.is_empty(), "{strategy}: {ran:?}");
    }
    assert!(!nowhere.exists());
}

/// Runs a command where the folder of the copy has room for a part of it: on a small file system, or where none may be
/// mounted, under a limit on the size of files.
fn with_little_room(folder: &Path, command: &Command) -> Command {
    const MOUNT: &str = r#"mount -t tmpfs -o size=64k none "$0" && cd "$0" && exec "$@""#;
    const LIMIT: &str = r#"trap '' XFSZ; ulimit -f 64; cd "$0" && exec "$@""#;
    let mount = |script: &str| {
        let mut mount = Command::new("unshare");
        mount.args(["--user", "--map-root-user", "--mount", "sh", "-c", script]).arg(folder);
        mount
    };
    let can_mount = mount("mount -t tmpfs none \"$0\"").output().is_ok_and(|output| output.status.success());
    let mut small = if can_mount { mount(MOUNT) } else { Command::new("sh") };
    if !can_mount {
        small.args(["-c", LIMIT]).arg(folder);
    }
    small.arg(command.get_program()).args(command.get_args());
    small
}

#[test]
fn a_full_disk_is_a_failure_in_words_and_nothing_stays_locked() {
    for strategy in strategies::of_any_database() {
        // The writer's copy is made by this process, which has room.
        if strategy == Strategy::BackupInWriter {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let (live, connection) = database(folder.path(), "delete");
        let copies = folder.path().join("copies");
        fs::create_dir(&copies).unwrap();
        let wrap = |command: Command| with_little_room(&copies, &command);
        let Some(ran) = strategies::run(strategy, &strategies::impatient(), &live, &copies, &wrap) else { continue };
        let full = ["full", "No space left", "too large", "disk I/O error"];
        assert!(!ran.succeeded && full.iter().any(|full| ran.said.contains(full)), "{strategy}: {ran:?}");
        connection.execute("INSERT INTO t (pad) VALUES ('still writable')", []).unwrap();
    }
}

/// The one snapshot of each trial of a small run.
fn snapshots(overrides: &[&str]) -> Vec<(String, SnapshotResult)> {
    let folder = tempfile::tempdir().unwrap();
    let results = common::run_kept(folder.path(), overrides);
    let mut all = Vec::new();
    for trial in results.trials {
        assert_eq!((trial.status, trial.live_database_matches_ledger), (Status::Completed, Some(true)), "{trial:?}");
        let [snapshot] = trial.snapshots.try_into().unwrap();
        all.push((trial.id, snapshot));
    }
    all
}

/// Short trials, in which a copy has all the time that it takes on a slow disk, and finds its turn between the commits.
const SHORT: [&str; 5] = [
    "load.completed_share=0.1",
    "snapshots.deadline_s=20",
    "phases.horizon_s=1",
    "phases.recovery_s=0.2",
    "snapshots.sqlite_checks=false",
];

#[test]
fn writers_that_are_stopped_make_no_commit_and_go_on() {
    for (id, snapshot) in snapshots(&[&SHORT[..], &["snapshots.strategies=stop-copy"]].concat()) {
        assert_eq!(snapshot.ruling.verdict, Some(Verdict::Exact), "{id}: {:?}", snapshot.ruling.evidence);
        // At most the one that was under way, on one connection.
        assert!(snapshot.run.commit_at_end - snapshot.run.commit_at_start <= 1, "{id}: {snapshot:?}");
        assert_eq!(snapshot.ruling.commit, Some(snapshot.run.commit_at_end), "{id}");
        let downtime_s = *snapshot.cost.downtime_s.found().unwrap();
        assert!(downtime_s > 0.0 && (downtime_s - snapshot.run.duration_s).abs() < 1e-6, "{id}: {snapshot:?}");
        let parts: Vec<_> = snapshot.progress.parts.entries().iter().map(|part| part.part).collect();
        assert_eq!(parts, [Part::Checkpoint, Part::CopyMain], "{id}");
        assert!(snapshot.cost.resources.found().unwrap().written_bytes > snapshot.copy.bytes, "{id}: {snapshot:?}");
        assert_eq!(snapshot.ruling.integrity_check, None, "it was not asked");
    }
}

#[test]
fn the_writers_own_copy_carries_its_writes_over() {
    // A page a step, so that many transactions fall between the steps.
    let strategy = [
        "snapshots.strategies=backup-in-writer",
        "snapshots.options.backup-in-writer.pages_per_step=1",
        // A fast machine copies a page in 30 us, and a commit comes every 7 ms.
        "dataset.rows=200000",
    ];
    for (id, snapshot) in snapshots(&[&SHORT[..], &strategy].concat()) {
        assert_eq!(snapshot.ruling.verdict, Some(Verdict::Exact), "{id}: {:?}", snapshot.ruling.evidence);
        assert!(snapshot.run.commit_at_end > snapshot.run.commit_at_start, "{id}: {snapshot:?}");
        // Only a commit of its own that found the database busy and was rolled back has it begin again.
        let (commits, restarts) = (snapshot.commits_meanwhile(), snapshot.progress.restarts.unwrap());
        assert!(restarts * 5 <= commits, "{id}: {restarts} restarts in {commits} commits");
        assert_eq!(snapshot.run.exit_status, None, "{id}");
        assert!(
            snapshot.cost.resources.found().is_none() && *snapshot.cost.writer_cpu_s.found().unwrap() > 0.0,
            "{id}: {snapshot:?}"
        );
    }
}

#[test]
fn held_copy_is_exact_under_load_and_says_what_it_did() {
    for (id, snapshot) in snapshots(&[&SHORT[..], &["snapshots.strategies=held-copy"]].concat()) {
        assert_eq!(snapshot.ruling.verdict, Some(Verdict::Exact), "{id}: {:?}", snapshot.ruling.evidence);
        assert_eq!(snapshot.copy.stands_alone, Some(true).into(), "{id}");
        let parts: Vec<_> = snapshot.progress.parts.entries().iter().map(|part| part.part).collect();
        let expected: &[Part] = if id.starts_with("wal") {
            &[Part::Lock, Part::CopyMain, Part::CopyWal, Part::Fold]
        } else {
            &[Part::Lock, Part::CopyMain]
        };
        assert_eq!(parts, expected, "{id}");
    }
}

#[test]
fn a_gentle_copy_is_exact_under_load_and_says_what_it_did() {
    for (id, snapshot) in snapshots(&[&SHORT[..], &["snapshots.strategies=held-copy-gentle"]].concat()) {
        assert_eq!(snapshot.ruling.verdict, Some(Verdict::Exact), "{id}: {:?}", snapshot.ruling.evidence);
        assert_eq!(snapshot.copy.stands_alone, Some(true).into(), "{id}");
        let parts: Vec<_> = snapshot.progress.parts.entries().iter().map(|part| part.part).collect();
        let expected: &[Part] = if id.starts_with("wal") {
            &[Part::Lock, Part::CopyWal, Part::CopyMain]
        } else {
            &[Part::Lock, Part::CopyMain, Part::WriteBack]
        };
        assert_eq!(parts, expected, "{id}");
        assert!(snapshot.cost.pace.is_some_and(|pace| pace.pieces > 0 && pace.rested_s > 0.0), "{id}: {snapshot:?}");
        let can_look = Programs::find("journalbench".into()).fincore.is_some();
        assert_eq!(
            snapshot.cost.live_cached.is_some_and(|cached| cached.after_bytes > 0),
            can_look,
            "{id}: {snapshot:?}"
        );
    }
}

#[test]
fn a_command_is_judged_by_its_exit_status_and_what_it_leaves() {
    for (line, finished, error, left_behind) in [
        ("cp {db} {out}; exit 3", false, "exit status 3", true),
        ("kill -9 $$; echo {db} {out}", false, "killed by signal 9", false),
        ("sqlite3 {db} \"VACUUM INTO {out}\"; echo but >&2", true, "", true),
    ] {
        let line = format!("snapshots.options.command.line={line:?}");
        let by_shell = ["snapshots.strategies=command", "snapshots.options.command.shell=true", &line];
        let overrides = [&SHORT[..], &["sqlite.journal_mode=wal"], &by_shell].concat();
        let (id, snapshot) = snapshots(&overrides).pop().unwrap();
        let verdict = snapshot.ruling.verdict.unwrap();
        assert_eq!(verdict == Verdict::Exact, finished, "{id}: {snapshot:?}");
        assert_eq!(verdict == Verdict::Unfinished, !finished, "{id}: {snapshot:?}");
        assert!(snapshot.run.error.unwrap_or_default().contains(error), "{id}");
        assert_eq!(snapshot.run.stderr.known().unwrap().trim() == "but", finished, "{id}");
        assert_eq!(snapshot.copy.bytes > 0, left_behind, "{id}");
    }
}

/// In another process, since SQLite's locks are between processes: the database is locked until the file `release` is there.
fn lock_until(live: &Path, release: &Path) -> std::process::Child {
    let wait = format!(".shell echo locked; while [ ! -e '{}' ]; do sleep 0.01; done", release.display());
    let mut child = Command::new("sqlite3")
        .arg(live)
        .args(["BEGIN EXCLUSIVE;", &wait, "ROLLBACK;"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut output).unwrap();
    assert_eq!(output, "locked\n");
    child
}

#[test]
fn backup_gives_up_on_a_lock_at_once_and_with_a_timeout_it_waits() {
    let folder = tempfile::tempdir().unwrap();
    let (live, connection) = database(folder.path(), "delete");
    drop(connection);
    for (strategy, waits) in
        [(Strategy::Backup, false), (Strategy::CliBackup, false), (Strategy::CliBackupTimeout, true)]
    {
        let copies = folder.path().join(strategy.to_string());
        fs::create_dir(&copies).unwrap();
        let release = copies.join("release");
        let mut locker = lock_until(&live, &release);
        let unlock = || fs::write(&release, "").unwrap();
        let run = || {
            let as_it_is = |command: Command| command;
            strategies::run(strategy, &StrategyOptions::default(), &live, &copies, &as_it_is).unwrap()
        };
        if waits {
            let ran = thread::scope(|scope| {
                let running = scope.spawn(run);
                // It waits as long as nobody unlocks: up to five seconds by default.
                thread::sleep(Duration::from_millis(500));
                assert!(!running.is_finished(), "{strategy}");
                unlock();
                running.join().unwrap()
            });
            assert!(ran.succeeded, "{strategy}: {ran:?}");
        } else {
            // Had it waited, it would have waited for ever: nobody unlocks before it has ended.
            let ran = run();
            unlock();
            assert!(!ran.succeeded && ran.said.contains("locked"), "{strategy}: {ran:?}");
        }
        assert!(locker.wait().unwrap().success());
    }
}

//! Databases of somebody's own, adopted: made by hand with plain SQL, run, and left as they were.

use crate::common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use journalbench::{
    dataset::{Origin, Source, adopt, cache},
    interrupt::Interrupt,
    machine::Machine,
    oracle::{self, Verdict},
    results::{Results, Stage, Status},
    run::{self, Only, Options},
    scenario::Scenario,
    snapshot::Programs,
    sqlite,
};
use rusqlite::Connection;

/// The tables of a tracker of version 3, in an order and with white space of its own.
const TRACKER_3: &str = "
    CREATE TABLE IF NOT EXISTS torrents (id integer PRIMARY KEY AUTOINCREMENT, info_hash TEXT NOT NULL UNIQUE, completed INTEGER DEFAULT 0 NOT NULL);
    CREATE TABLE whitelist (id INTEGER PRIMARY KEY AUTOINCREMENT,
        info_hash TEXT NOT NULL UNIQUE);
    CREATE TABLE keys (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL UNIQUE, valid_until INTEGER NOT NULL);";

/// What version 4 adds.
const TOTAL: &str = "
    CREATE TABLE torrent_aggregate_metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, metric_name TEXT NOT NULL UNIQUE, value INTEGER DEFAULT 0 NOT NULL);
    INSERT INTO torrent_aggregate_metrics (metric_name, value) VALUES ('torrents_downloads_total', 12345);";

/// Rows with gaps between their ids, a sequence beyond the largest, and something in every table.
const ROWS: &str = "
    WITH RECURSIVE n (id) AS (VALUES (1) UNION ALL SELECT id + 1 FROM n WHERE id < 4000)
    INSERT INTO torrents SELECT id * 3, lower(hex(randomblob(20))), id % 17 FROM n;
    DELETE FROM torrents WHERE id % 7 = 0 OR id > 11990;
    INSERT INTO whitelist (info_hash) SELECT info_hash FROM torrents LIMIT 20;
    INSERT INTO keys (key, valid_until) VALUES ('YZSl4lMZupRuOpSRC3krIKR5BPB14nrJ', 1700000000);";

/// What newer trackers note their migrations in.
const MIGRATIONS: &str = "
    CREATE TABLE _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL,
        installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, checksum BLOB NOT NULL,
        execution_time BIGINT NOT NULL);
    INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) VALUES (1, 'x', 1, x'00', 5);";

fn database(path: &Path, sql: &[&str]) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(&sql.concat()).unwrap();
    connection
}

/// Every file beside a database, with its content and time of modification.
fn all_of(path: &Path) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let files = ["", "-wal", "-journal", "-shm"].map(|suffix| sqlite::side_file(path, suffix));
    let there = files.into_iter().filter(|file| file.exists());
    there.map(|file| (file.clone(), fs::read(&file).unwrap(), file.metadata().unwrap().modified().unwrap())).collect()
}

/// Runs the small scenario of the other tests on a database.
fn run_on(folder: &Path, database: &Path, overrides: &[&str]) -> anyhow::Result<Results> {
    let text = common::SCENARIO.replace("rows = 3000", &format!("path = {:?}", database.display().to_string()));
    let text = text.replace("page_size_bytes = 1024", "");
    // Few enough commits for a copy under delete to find its turn, however slow the disk is and whoever else uses it.
    let short = [
        "load.rate_ops=300",
        "load.completed_share=0.1",
        "snapshots.deadline_s=60",
        "phases.baseline_s=1",
        "phases.horizon_s=1",
        "phases.recovery_s=0.1",
    ];
    let overrides: Vec<_> = short.iter().chain(overrides).map(ToString::to_string).collect();
    let scenario = Scenario::parse("test", &text, Path::new("test.toml"), &overrides)?;
    let options = Options {
        work_dir: folder.join("work"),
        keep_in: None,
        out_dir: folder.join("out"),
        programs: Programs::find(env!("CARGO_BIN_EXE_journalbench").into()),
        only: Only::default(),
        machine: Machine::default(),
        interrupt: Interrupt::default(),
    };
    run::run(&scenario, &options, &mut |_| ())
}

fn assert_exact(results: &Results) {
    assert_eq!(results.trials.len(), 2);
    for trial in &results.trials {
        assert_eq!((trial.status, trial.live_database_matches_ledger), (Status::Completed, Some(true)), "{trial:?}");
        let snapshot = &trial.snapshots[0];
        assert_eq!(snapshot.ruling.verdict, Some(Verdict::Exact), "{}: {:?}", trial.id, snapshot.ruling.evidence);
        assert_eq!(snapshot.ruling.integrity_check.as_deref(), Some("ok"));
        assert!(snapshot.run.commit_at_start > 5, "the load did commit: {}", snapshot.run.commit_at_start);
    }
}

#[test]
fn a_database_of_version_4_is_run_judged_and_left_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("my tracker.db");
    drop(database(&path, &["PRAGMA page_size = 2048;", TRACKER_3, TOTAL, ROWS, MIGRATIONS]));
    let before = all_of(&path);
    let results = run_on(folder.path(), &path, &[]).unwrap();
    assert_exact(&results);
    let described = results.dataset.found().unwrap();
    let rows: u64 = Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM torrents", [], |row| row.get::<_, i64>(0))
        .unwrap()
        .unsigned_abs();
    assert_eq!((described.rows, described.page_size_bytes, described.sampled_rows), (rows, 2048, Some(rows)));
    assert_eq!(all_of(&path), before);

    // Found again; and adopted anew once it has changed, in place of what it was.
    let source = Source::Adopted(path.clone());
    let work_dir = folder.path().join("work");
    let ensure = || {
        let scratch = tempfile::tempdir_in(folder.path()).unwrap();
        let mut told = Vec::new();
        let cached =
            cache::ensure(&work_dir, scratch.path(), &source, &Arc::default(), &mut |progress| told.push(progress));
        (cached.unwrap(), told)
    };
    let (first, told) = ensure();
    assert_eq!(told, [cache::DatasetEvent::Checking]);
    Connection::open(&path).unwrap().execute("UPDATE torrents SET completed = 99 WHERE id = 3", []).unwrap();
    let (second, told) = ensure();
    assert_eq!(told, [cache::DatasetEvent::Adopting]);
    assert_ne!(first.manifest.digest, second.manifest.digest);
    assert!(!first.path.exists() && second.path.exists());
}

#[test]
fn a_database_of_version_3_runs_the_profile_that_needs_no_total() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tracker.db");
    drop(database(&path, &[TRACKER_3, ROWS]));
    let refused = format!("{:#}", run_on(folder.path(), &path, &[]).unwrap_err());
    assert!(refused.contains("load.write_profile = completed-only") && refused.contains("tracker-3"), "{refused}");
    assert_exact(&run_on(folder.path(), &path, &["load.write_profile=tracker-3"]).unwrap());
}

#[test]
fn what_lies_in_a_wal_or_a_journal_is_recovered_in_the_copy_alone() {
    for journal_mode in ["wal", "delete"] {
        let folder = tempfile::tempdir().unwrap();
        let crashed = folder.path().join("crashed");
        fs::create_dir(&crashed).unwrap();
        let live = folder.path().join("tracker.db");
        let mode = format!("PRAGMA journal_mode = {journal_mode}; PRAGMA cache_size = 10;");
        let connection = database(&live, &[&mode, TRACKER_3, TOTAL, ROWS]);
        let expected: i64 = connection.query_row("SELECT sum(completed) FROM torrents", [], |row| row.get(0)).unwrap();
        // Not committed, but in the files: more pages than the cache holds.
        connection.execute_batch("BEGIN; UPDATE torrents SET completed = completed + 1000").unwrap();
        for (file, content, _) in all_of(&live).into_iter().filter(|(file, ..)| !file.ends_with("-shm")) {
            fs::write(crashed.join(file.file_name().unwrap()), content).unwrap();
        }
        let path = crashed.join("tracker.db");
        let suffix = if journal_mode == "wal" { "-wal" } else { "-journal" };
        assert!(sqlite::side_file(&path, suffix).metadata().unwrap().len() > 0);
        let before = all_of(&path);
        let copy = folder.path().join("copy.db");
        let manifest = adopt::adopt(&path, &copy, &Arc::default()).unwrap();
        assert_eq!(all_of(&path), before, "{journal_mode}");
        let adopted = Connection::open(&copy).unwrap();
        let sum: i64 = adopted.query_row("SELECT sum(completed) FROM torrents", [], |row| row.get(0)).unwrap();
        assert_eq!(sum, expected, "{journal_mode}");
        drop(adopted);
        assert_eq!(oracle::content_digest(&copy, &Arc::default()).unwrap(), manifest.digest);
        let Origin::Adopted(adopted) = &manifest.origin else { panic!("{:?}", manifest.origin) };
        assert_eq!(adopted.sample.rows().len() as u64, manifest.rows);
        assert!(manifest.sequence > 11_990, "beyond the largest id: {}", manifest.sequence);
    }
}

#[test]
fn what_is_no_trackers_database_is_refused_with_the_reason() {
    let index = "CREATE INDEX mine ON torrents (completed);";
    let trigger = "CREATE TRIGGER mine AFTER UPDATE ON torrents BEGIN SELECT 1; END;";
    let endless = "UPDATE torrents SET completed = 9223372036854775807";
    let cases: [(&str, &[&str], &str); 10] = [
        ("auto_vacuum", &["PRAGMA auto_vacuum = full;", TRACKER_3, ROWS], "auto_vacuum"),
        ("UTF-16", &["PRAGMA encoding = 'UTF-16le';", TRACKER_3, ROWS], "not UTF-8"),
        ("another table", &[TRACKER_3, ROWS, "CREATE TABLE mine (x);"], "the table mine"),
        ("another index", &[TRACKER_3, ROWS, index], "the index mine"),
        ("a trigger", &[TRACKER_3, ROWS, trigger], "the trigger mine"),
        ("a view", &[TRACKER_3, ROWS, "CREATE VIEW mine AS SELECT 1;"], "the view mine"),
        ("no torrents", &["CREATE TABLE whitelist (id INTEGER PRIMARY KEY)"], "tracker"),
        ("no rows", &[TRACKER_3], "its table torrents is empty"),
        ("counts that no sum holds", &[TRACKER_3, ROWS, endless], "the sum of the counts = 9223372036854775807"),
        ("a foreign text", &[TRACKER_3, "INSERT INTO torrents (info_hash) VALUES ('ABC')"], "40 lower-case"),
    ];
    for (name, sql, reason) in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tracker.db");
        drop(database(&path, sql));
        let error = adopt::adopt(&path, &folder.path().join("copy.db"), &Arc::default()).unwrap_err().to_string();
        assert!(error.contains("tracker.db") && error.contains(reason), "{name}: {error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tracker.db");
    let adopt_text = |error: adopt::AdoptError| format!("{:#}", anyhow::Error::from(error));
    let copy = folder.path().join("copy.db");
    assert!(adopt_text(adopt::adopt(&path, &copy, &Arc::default()).unwrap_err()).contains("tracker.db"));
    fs::write(&path, "no database").unwrap();
    let text = adopt_text(adopt::adopt(&path, &copy, &Arc::default()).unwrap_err());
    assert!(text.contains("it is no SQLite database"), "{text}");
    // A leaf of the index, gone: a torn copy of a live file looks like it.
    fs::remove_file(&path).unwrap();
    drop(database(&path, &[TRACKER_3, ROWS]));
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 4096;
    bytes[last..].fill(0);
    fs::write(&path, bytes).unwrap();
    let text = adopt_text(adopt::adopt(&path, &copy, &Arc::default()).unwrap_err());
    assert!(text.contains("was a tracker writing to it?"), "{text}");
}

#[test]
fn a_reflink_is_made_on_request_only_and_a_file_system_that_cannot_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let results = common::run_kept(
        folder.path(),
        &["dataset.copy=reflink", "sqlite.journal_mode=wal", "snapshots.deadline_s=0.5", "phases.recovery_s=0"],
    );
    let warnings: Vec<_> = results.warnings.iter().map(ToString::to_string).collect();
    assert!(warnings.iter().any(|warning| warning.contains("began as a reflink")), "{warnings:?}");
    // What `cp` can do there, the trial can, too.
    let (from, to) = (folder.path().join("work/from"), folder.path().join("work/to"));
    fs::write(&from, [0; 4096]).unwrap();
    let can_reflink = Command::new("cp").arg("--reflink=always").args([&from, &to]).output().unwrap().status.success();
    let trial = &results.trials[0];
    if can_reflink {
        assert_eq!((trial.status, trial.problems.as_slice()), (Status::Completed, &[][..]), "{trial:?}");
    } else {
        let [problem] = trial.problems.as_slice() else { panic!("{trial:?}") };
        assert_eq!((trial.status, problem.stage), (Status::Failed, Stage::Prepare));
        assert!(problem.message.contains("dataset.copy = reflink: the file system cannot"), "{problem:?}");
        assert_eq!(trial.reason.as_ref(), Some(&problem.message));
    }
}

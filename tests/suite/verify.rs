//! `journalbench verify`: any file against a kept trial, and against one whose harness was killed.

use crate::common;

use std::{
    fs,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use journalbench::history::{History as _, ledger::LedgerFile};
use rusqlite::Connection;
use serde_json::Value;

fn verify(trial: &Path, snapshot: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_journalbench")).arg("verify").args([trial, snapshot]).args(more).output().unwrap()
}

fn json(trial: &Path, snapshot: &Path) -> (Option<i32>, Value) {
    let output = verify(trial, snapshot, &["--json"]);
    let answer = serde_json::from_slice(&output.stdout);
    (output.status.code(), answer.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr))))
}

#[test]
fn a_kept_trial_judges_any_file() {
    let folder = tempfile::tempdir().unwrap();
    let results = common::run_kept(folder.path(), &["sqlite.journal_mode=wal"]);
    let kept = common::kept(folder.path(), &results.trials[0]);
    let snapshot = kept.join("snapshots/0/snapshot.db");
    let before = fs::read(&snapshot).unwrap();
    let (status, exact) = json(&kept, &snapshot);
    assert_eq!((status, &exact["verdict"]), (Some(0), &Value::from("exact")), "{exact}");
    assert_eq!(exact["commit"], Value::from(results.trials[0].snapshots[0].ruling.commit));
    assert_eq!(fs::read(&snapshot).unwrap(), before, "what is judged stays as it is");
    assert!(
        String::from_utf8_lossy(&verify(&kept, &snapshot, &[]).stdout).starts_with("exact: the state after commit")
    );

    let torn = folder.path().join("torn.db");
    fs::copy(&snapshot, &torn).unwrap();
    let change = "UPDATE torrents SET completed = completed + 5000 WHERE id IN (3, 4)";
    Connection::open(&torn).unwrap().execute_batch(change).unwrap();
    let (status, answer) = json(&kept, &torn);
    assert_eq!((status, &answer["verdict"]), (Some(3), &Value::from("torn")));
    assert_eq!((&answer["difference"]["nearest_commit"], &answer["difference"]["rows"]), (&exact["commit"], &2.into()));
    let rows: Vec<_> =
        answer["difference"]["sample"].as_array().unwrap().iter().map(|row| row["row"].as_i64()).collect();
    assert_eq!(rows, [Some(3), Some(4)]);

    // What a link leads to has its WAL beside it.
    let (real, link) = (folder.path().join("real.db"), folder.path().join("link.db"));
    fs::copy(&snapshot, &real).unwrap();
    let connection = Connection::open(&real).unwrap();
    connection.execute_batch(&format!("PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0; {change}")).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    assert_eq!(json(&kept, &link).1["verdict"], Value::from("torn"));

    let bytes = folder.path().join("bytes.db");
    fs::write(&bytes, "no database at all").unwrap();
    assert_eq!((json(&kept, &bytes).0, &json(&kept, &bytes).1["verdict"]), (Some(3), &Value::from("unreadable")));
    // The live database went on after the snapshot, so that it is judged for itself.
    let (status, live) = json(&kept, &kept.join("live.db"));
    assert_eq!((status, &live["verdict"]), (Some(0), &Value::from("exact")), "{live}");
    assert!(live["commit"].as_u64() > exact["commit"].as_u64());
    let elsewhere = folder.path().join("elsewhere.db");
    fs::copy(kept.join("live.db"), &elsewhere).unwrap();
    let refused = verify(&kept, &elsewhere, &[]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("had been issued when it ended"));
}

#[test]
fn a_ledger_that_is_not_whole_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let results = common::run_kept(folder.path(), &["sqlite.journal_mode=wal"]);
    let kept = common::kept(folder.path(), &results.trials[0]);
    let snapshot = kept.join("snapshots/0/snapshot.db");
    let ledger = fs::File::options().write(true).open(kept.join("ledger")).unwrap();
    let whole = ledger.metadata().unwrap().len();
    let last_record = fs::read(kept.join("ledger")).unwrap().split_off(usize::try_from(whole).unwrap() - 32);
    assert_ne!(last_record, [0; 32], "it was cut behind its last record");
    for length in [0, whole / 2 / 32 * 32, whole - 32, whole - 1, whole + 32] {
        ledger.set_len(length).unwrap();
        let output = verify(&kept, &snapshot, &["--oracle-only"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{length} of {whole}: {said}");
        assert!(said.contains("is not whole"), "{said}");
    }
}

#[test]
fn what_cannot_be_judged_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let missing = verify(folder.path(), Path::new("none.db"), &[]);
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("dataset.json"));
}

/// How many commits a ledger has by now.
fn count_commits(ledger: &Path) -> u64 {
    let mut commits = 0;
    let read = LedgerFile::open(ledger).and_then(|history| {
        history.visit(&mut |commit| {
            commits = commit.number;
            Ok(())
        })
    });
    read.map_or(0, |()| commits)
}

/// The run folder of a harness that is at work, once its ledger has some commits.
fn trial_at_work(work_dir: &Path) -> Option<PathBuf> {
    let run = fs::read_dir(work_dir.join("runs")).ok()?.flatten().next()?.path();
    let trials = fs::read_dir(run).ok()?.flatten().map(|entry| entry.path());
    trials.into_iter().find(|trial| count_commits(&trial.join("ledger")) > 200)
}

#[test]
fn the_ledger_outlives_a_killed_harness() {
    let folder = tempfile::tempdir().unwrap();
    let (scenario, work_dir) = (folder.path().join("test.toml"), folder.path().join("work"));
    fs::write(&scenario, common::SCENARIO).unwrap();
    let mut harness = Command::new(env!("CARGO_BIN_EXE_journalbench"))
        .arg("run")
        .arg(&scenario)
        .args(["--set", "phases.baseline_s=60", "--set", "snapshots.strategies=none"])
        .arg("--work-dir")
        .arg(&work_dir)
        .arg("--out")
        .arg(folder.path().join("out"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    let trial = loop {
        assert!(begun.elapsed() < Duration::from_secs(50), "the load never began");
        match trial_at_work(&work_dir) {
            Some(trial) => break trial,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    // This process is not the one that has the database open otherwise.
    let copy = folder.path().join("copy.db");
    let connection = Connection::open(trial.join("live.db")).unwrap();
    connection.busy_timeout(Duration::from_secs(30)).unwrap();
    connection.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
    harness.kill().unwrap();
    assert_eq!(harness.wait().unwrap().signal(), Some(9));
    let (status, answer) = json(&trial, &copy);
    assert_eq!((status, &answer["verdict"], &answer["staleness_known"]), (Some(0), &"exact".into(), &false.into()));
    assert!(answer["commit"].as_u64().unwrap() > 100, "{answer}");
}

//! The real tracker under load: its copies are judged, and whatever goes wrong with it ends in a row or an error that says what.
//!
//! Where the program is not installed, each of these says that it is skipped.

use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use journalbench::{
    oracle::Verdict,
    results::{Recorded, Results, Stage, Status, TrialResult},
    tracker::program::{Start, Tracker},
};

use crate::common::{
    program::{journalbench, text},
    tracker::program,
};

/// A small database, a few writes a second, and nothing that the oracle could not know.
const SCENARIO: &str = r#"
why = "a test"
expect = "that it passes"
[target]
kind = "torrust-tracker"
torrents = 20
sockets = 2
retry_s = 1
[dataset]
rows = 3000
[sqlite]
journal_mode = ["delete", "wal"]
[load]
rate_ops = 400
write_profile = "tracker-3"
completed_rate_ops = 100
started_share = 0
stopped_share = 0
new_torrent_share = 0
[snapshots]
strategies = ["held-copy"]
deadline_s = 20
[phases]
warmup_s = 0.2
baseline_s = 1
recovery_s = 0.2
horizon_s = 1
"#;

/// Starts a run of the scenario with these overrides.
fn start(folder: &Path, overrides: &[&str]) -> Child {
    fs::write(folder.join("test.toml"), SCENARIO).unwrap();
    let sets = overrides.iter().flat_map(|set| ["--set", set]);
    let arguments: Vec<_> = ["run", "test.toml", "--out", "out"].into_iter().chain(sets).collect();
    journalbench(folder, &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn run(folder: &Path, overrides: &[&str]) -> (Output, Results) {
    let output = start(folder, overrides).wait_with_output().unwrap();
    let path = folder.join("out/results.json");
    let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    (output, Results::parse(&bytes, &path).unwrap())
}

/// The process of a tracker that a run has started, once it has opened its database.
fn tracker_of(run: u32) -> Option<u32> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(30) {
        let children = fs::read_to_string(format!("/proc/{run}/task/{run}/children")).unwrap_or_default();
        let threads = fs::read_dir(format!("/proc/{run}/task")).ok()?;
        let of_threads = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok());
        for child in
            of_threads.chain([children]).flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        {
            let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
            if name.starts_with("torrust") {
                return child.parse().ok();
            }
        }
        thread::sleep(Duration::from_millis(20));
    }
    None
}

fn told(trial: &TrialResult) -> String {
    trial.complaints().join("; ")
}

#[test]
fn its_writes_are_all_known_and_a_copy_of_its_database_is_judged() {
    let Some(_) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (output, results) = run(folder.path(), &[]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(results.trials.len(), 2);
    for trial in &results.trials {
        assert_eq!(
            (trial.status, trial.live_database_matches_ledger),
            (Status::Completed, Some(true)),
            "{}",
            told(trial)
        );
        let tracker = trial.tracker.as_ref().unwrap();
        assert_eq!((tracker.lost_writes, tracker.unknown.as_deref()), (Some(0), None));
        assert_eq!(tracker.warming_writes, 20);
        assert_eq!(tracker.program_sha256.as_ref().map(String::len), Some(64));
        let written = i64::try_from(tracker.warming_writes + tracker.writes_asked_for).unwrap();
        assert_eq!(tracker.sequence_advanced_by, Some(written));
        assert!(tracker.writes_asked_for > 50, "{tracker:?}");
        assert!(!tracker.was_killed);
        let snapshot = &trial.snapshots[0];
        // A copy of so small a database takes less time than there is between two writes, and then it is not judged.
        if let Some(verdict) = snapshot.ruling.verdict {
            assert_eq!(verdict, Verdict::Exact, "{:?}", snapshot.ruling.evidence);
        } else {
            let why = snapshot.ruling.judge_error.as_deref().unwrap_or_default();
            assert!(why.contains("no write was seen while it was taken"), "{why}");
            assert!(snapshot.run.commit_at_end <= snapshot.run.commit_at_start + 1);
        }
        assert!(matches!(&trial.silences, Recorded::Known(silences) if !silences.is_empty()));
    }
    // Nobody is left.
    assert!(fs::read_dir(folder.path().join("work/runs")).map_or(0, Iterator::count) == 0);
}

#[test]
fn a_frozen_writer_leaves_copies_unjudged() {
    let Some(_) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (_, results) = run(folder.path(), &["load.completed_rate_ops=0.001", "sqlite.journal_mode=wal"]);
    let trial = &results.trials[0];
    assert_eq!(trial.status, Status::Completed, "{}", told(trial));
    let ruling = &trial.snapshots[0].ruling;
    assert_eq!(ruling.verdict, None, "{ruling:?}");
    assert!(ruling.judge_error.as_ref().unwrap().contains("no write was seen while it was taken"), "{ruling:?}");
}

#[test]
fn a_tracker_that_dies_fails_its_trial_with_its_last_words() {
    let Some(_) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let run = start(folder.path(), &["sqlite.journal_mode=wal", "phases.baseline_s=20"]);
    let tracker = tracker_of(run.id()).expect("the run starts a tracker");
    thread::sleep(Duration::from_secs(1));
    assert!(Command::new("kill").args(["-KILL", &tracker.to_string()]).status().unwrap().success());
    let output = run.wait_with_output().unwrap();
    assert!(!output.status.success());
    let path = folder.path().join("out/results.json");
    let results = Results::parse(&fs::read(&path).unwrap(), &path).unwrap();
    let trial = &results.trials[0];
    assert_eq!(trial.status, Status::Failed);
    assert!(told(trial).contains("the tracker has ended (signal: 9"), "{}", told(trial));
}

#[test]
fn a_lock_of_six_seconds_loses_writes_that_were_answered_and_they_are_found() {
    let Some(_) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let line = r#"snapshots.options.command.line="sqlite3 -cmd '.timeout 5000' {db} 'BEGIN EXCLUSIVE' '.shell sleep 6.5; cp {db} {out}'""#;
    let overrides = ["snapshots.strategies=command", line, "sqlite.journal_mode=delete", "phases.recovery_s=2"];
    let (_, results) = run(folder.path(), &overrides);
    let trial = &results.trials[0];
    let tracker = trial.tracker.as_ref().unwrap_or_else(|| panic!("{}", told(trial)));
    assert!(tracker.doubtful_writes >= 1, "{tracker:?}");
    // Answered after five seconds, as if all were well: not written, and which one it was is known.
    assert!(tracker.lost_writes.unwrap_or(0) >= 1 || tracker.unknown.is_some(), "{tracker:?}");
    // The waiting write keeps one of the tracker's threads. Whether others are served meanwhile is the tracker's luck: by seconds of
    // silence alone such a lock cannot be told.
    assert!(!trial.silences.is_unknown());
    if tracker.lost_writes == Some(1) {
        assert_eq!((tracker.lost.len(), tracker.lost[0].info_hash.len()), (1, 40));
        assert_eq!(trial.live_database_matches_ledger, Some(true), "{}", told(trial));
    }
}

#[test]
fn in_a_network_namespace_of_its_own_it_is_loaded_and_its_drops_are_its_own() {
    let Some(_) = program() else { return };
    let script = "ip link set lo up && exec \"$@\"";
    let inside = ["--user", "--map-root-user", "--net", "sh", "-c", script, "sh"];
    if !Command::new("unshare").args(inside).arg("true").output().is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: no network namespace can be made here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("test.toml"), SCENARIO).unwrap();
    let run = journalbench(folder.path(), &["run", "test.toml", "--out", "out", "--set", "sqlite.journal_mode=wal"]);
    let mut inside_it = Command::new("unshare");
    inside_it.args(inside).arg(run.get_program()).args(run.get_args()).current_dir(folder.path());
    let variables = run.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let output = inside_it.envs(variables).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let path = folder.path().join("out/results.json");
    let results = Results::parse(&fs::read(&path).unwrap(), &path).unwrap();
    let trial = &results.trials[0];
    assert_eq!(trial.snapshots[0].ruling.verdict, Some(Verdict::Exact), "{}", told(trial));
    // Of a namespace in which nobody else is: what is dropped, the tracker drops.
    assert!(trial.tracker.as_ref().unwrap().receive_buffer_errors.is_some());
}

#[test]
fn a_port_that_somebody_has_is_an_error_with_its_last_words() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let taken = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let (live, config) = (folder.path().join("live.db"), toml::Table::new());
    let start = Start { program: &program, config: &config, live: &live, folder: folder.path() };
    let error = Tracker::start_at(start, taken.local_addr().unwrap()).unwrap_err().to_string();
    assert!(error.contains("the tracker has ended") && error.contains("could not bind"), "{error}");
}

#[test]
fn one_that_runs_already_is_loaded_and_never_copied() {
    let Some(program) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (live, config) = (folder.path().join("theirs.db"), toml::Table::new());
    let start = Start { program: &program, config: &config, live: &live, folder: folder.path() };
    let theirs = Tracker::start(start).unwrap();
    let address = format!("target.address={}", theirs.address);
    let one = ["snapshots.strategies=none", "sqlite.journal_mode=wal", &address];
    let (output, results) = run(folder.path(), &one);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let trial = &results.trials[0];
    assert_eq!((trial.status, trial.live_database_matches_ledger), (Status::Completed, None), "{}", told(trial));
    let tracker = trial.tracker.as_ref().unwrap();
    assert_eq!((tracker.sequence_advanced_by, tracker.lost_writes), (None, None));
    assert!(trial.achieved_rate_ops > 300.0, "{}", trial.achieved_rate_ops);
    let refused = start_refused(folder.path(), &["sqlite.journal_mode=wal", &address]);
    assert!(refused.contains("snapshots.strategies") && refused.contains("somebody else's"), "{refused}");
    drop(theirs);
    let gone = start_refused(folder.path(), &one);
    assert!(gone.contains("Connection refused") || gone.contains("no connection id"), "{gone}");
}

/// What a run says that cannot be done, or whose only trial fails.
fn start_refused(folder: &Path, overrides: &[&str]) -> String {
    let _ = fs::remove_dir_all(folder.join("out"));
    let output = start(folder, overrides).wait_with_output().unwrap();
    assert!(!output.status.success());
    text(&output.stderr) + &text(&output.stdout)
}

/// Mounts a small file system, runs the rest of the arguments, and fills it once the tracker of a trial has worked for a second.
const FILL: &str = r#"
    mount -t tmpfs -o size=16m tmpfs disk || exit 70
    "$@" & program=$!
    until ls disk/work/runs/*/*/ledger >/dev/null 2>&1; do kill -0 $program 2>/dev/null || exit 71; sleep 0.02; done
    sleep 1
    dd if=/dev/zero of=disk/filler bs=64k 2>/dev/null
    wait $program
"#;

#[test]
fn writes_that_a_full_disk_took_are_missed_though_all_were_answered() {
    let Some(_) = program() else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("disk")).unwrap();
    fs::write(folder.path().join("test.toml"), SCENARIO).unwrap();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", FILL, "sh"]);
    command.arg(env!("CARGO_BIN_EXE_journalbench")).args([
        "run",
        "test.toml",
        "--out",
        "out",
        "--work-dir",
        "disk/work",
    ]);
    for set in ["snapshots.least_free_bytes=0", "sqlite.journal_mode=wal", "phases.baseline_s=3"] {
        command.args(["--set", set]);
    }
    let output = command.current_dir(folder.path()).output().unwrap();
    let path = folder.path().join("out/results.json");
    let Ok(bytes) = fs::read(&path) else {
        let said = text(&output.stderr);
        assert!(output.status.code() == Some(70) || said.contains("unshare"), "{said}");
        return println!("skipped: no file system can be mounted here");
    };
    let results = Results::parse(&bytes, &path).unwrap();
    let trial = &results.trials[0];
    let tracker = trial.tracker.as_ref().unwrap_or_else(|| panic!("{}", told(trial)));
    let why = tracker.unknown.as_deref().unwrap_or_default();
    assert!(tracker.lost_writes.is_none() && why.contains("writes are missing"), "{tracker:?}");
    let ruling = &trial.snapshots[0].ruling;
    assert!(ruling.verdict.is_none() && ruling.judge_error.as_ref().unwrap().contains(why), "{ruling:?}");
}

#[test]
fn where_it_is_not_installed_it_is_said_how_to_install_it() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("test.toml"), SCENARIO).unwrap();
    let mut run = journalbench(folder.path(), &["run", "test.toml", "--out", "out"]);
    let output = run.env("JOURNALBENCH_TRACKER", "/nowhere/torrust-tracker").output().unwrap();
    let said = text(&output.stderr);
    assert!(!output.status.success());
    assert!(said.contains("/nowhere/torrust-tracker") && said.contains("cargo install torrust-tracker"), "{said}");
}

#[test]
fn what_the_program_could_not_do_is_refused_with_the_key() {
    let folder = tempfile::tempdir().unwrap();
    for (set, key) in [
        ("sqlite.synchronous=off", "sqlite.synchronous"),
        ("sqlite.journal_mode=truncate", "sqlite.journal_mode"),
        ("load.write_profile=every-announce", "load.write_profile"),
        ("load.started_share=0.1", "load.started_share"),
        ("snapshots.strategies=stop-copy", "snapshots.strategies"),
        ("sqlite.busy_timeout_ms=100", "sqlite.busy_timeout_ms"),
        ("target.torrents=0", "target.torrents"),
        ("target.retry_s=0", "target.retry_s"),
    ] {
        let refused = start_refused(folder.path(), &[set]);
        assert!(refused.contains(key) && refused.contains("expected"), "{set}: {refused}");
    }
    assert!(!folder.path().join("out").exists());
}

#[test]
fn trials_of_a_tracker_that_failed_say_at_which_stage() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("tracker");
    fs::write(&script, "#!/bin/sh\necho the config is no good >&2\nexit 3\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&script, mode).unwrap();
    let program = format!("target.program={}", script.display());
    let (output, results) = run(folder.path(), &[&program, "sqlite.journal_mode=wal"]);
    assert!(!output.status.success());
    let trial = &results.trials[0];
    assert_eq!((trial.status, trial.problems[0].stage), (Status::Failed, Stage::Connect));
    assert!(told(trial).contains("exit status: 3") && told(trial).contains("the config is no good"), "{}", told(trial));
}

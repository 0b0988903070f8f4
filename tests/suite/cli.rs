//! The program as its users run it.

use crate::common;

use std::{
    fs,
    io::{BufRead as _, Read as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crate::common::SCENARIO;
use crate::common::program::{folder_with_scenario, journalbench, names, output, text};
use journalbench::{
    oracle,
    results::{Results, Status},
};
use rustix::process::{Pid, Signal, kill_process};

#[test]
fn a_run_prints_its_table_writes_its_results_and_leaves_nothing_else() {
    let folder = folder_with_scenario();
    let strategies = "snapshots.strategies=[\"none\", \"vacuum-into\"]";
    let run = output(folder.path(), &["run", "test.toml", "--out", "out", "--set", strategies]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let stdout = text(&run.stdout);
    let words = stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("Backup under wal: vacuum-into, exact 1 of 1"), "{stdout}");
    let widest = stdout.lines().filter(|line| !line.contains('/')).map(|line| line.chars().count()).max();
    assert!(
        widest.is_some_and(|columns| columns <= 80),
        "{:?}",
        stdout.lines().max_by_key(|line| line.chars().count())
    );
    let json = folder.path().join("out/results.json");
    let named: Vec<_> =
        ["results.json", "report.md", "report.html"].map(|name| folder.path().join("out").join(name)).to_vec();
    let named: Vec<_> = named.iter().map(|path| path.display().to_string()).collect();
    assert!(stdout.ends_with(&format!("\n\n{}\n", named.join("\n"))) && stdout.lines().count() <= 45, "{stdout}");
    let results = Results::load(&json).unwrap();
    assert_eq!(results.trials.len(), 4);
    assert!(results.trials.iter().all(|trial| trial.status == Status::Completed && trial.kept_in.is_none()));
    assert_eq!(names(&folder.path().join("out")), ["report.html", "report.md", "results.json"]);
    assert_eq!(names(&folder.path().join("work")), ["datasets"], "the run's own folder is gone");
    // No terminal, so plain lines, and each trial among them.
    let stderr = text(&run.stderr);
    assert!(stderr.contains("[4/4] wal-full-1500-vacuum-into-1: exact") && !stderr.contains('\x1b'), "{stderr}");

    // `report` makes the same again.
    let again = output(folder.path(), &["report", "out/results.json"]);
    assert_eq!(format!("{}\n{}\n", text(&again.stdout), named.join("\n")), stdout);
    let details = output(folder.path(), &["report", "out/results.json", "--details"]);
    let details = text(&details.stdout);
    assert!(details.starts_with(&text(&again.stdout)) && details.contains("How it was measured"), "{details}");
    let markdown = output(folder.path(), &["report", "out/results.json", "--format", "markdown", "-o", "again.md"]);
    assert!(markdown.status.success());
    let report = fs::read_to_string(folder.path().join("out/report.md")).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("again.md")).unwrap(), report);
    assert!(report.len() < 65_536);

    // An existing file is not replaced unasked, least of all the results.
    let before = fs::read(&json).unwrap();
    let refused = output(folder.path(), &["report", "out/results.json", "-o", "out/results.json"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("out/results.json: exists"), "{}", text(&refused.stderr));
    assert_eq!(fs::read(&json).unwrap(), before);
    let replaced = output(folder.path(), &["report", "out/results.json", "-o", "again.md", "--overwrite"]);
    assert!(replaced.status.success(), "{}", text(&replaced.stderr));
    assert_ne!(fs::read_to_string(folder.path().join("again.md")).unwrap(), report, "it is text now");

    // An existing folder is never written to.
    let refused = output(folder.path(), &["run", "test.toml", "--out", "out"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("out: exists"), "{}", text(&refused.stderr));
}

#[test]
fn a_standard_error_that_nobody_reads_costs_no_result() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (reader, broken) = std::io::pipe().unwrap();
    drop(reader);
    for stderr in [Stdio::from(full), broken.into()] {
        let folder = folder_with_scenario();
        let set = ["--set", "snapshots.strategies=none", "--set", "sqlite.journal_mode=wal", "--out", "out"];
        let mut run = journalbench(folder.path(), &[&["run", "test.toml"][..], &set].concat());
        assert_eq!(run.stdout(Stdio::null()).stderr(stderr).status().unwrap().code(), Some(0));
        let results = Results::load(&folder.path().join("out/results.json")).unwrap();
        assert_eq!(results.trials.len(), 1);
    }
}

#[test]
fn the_names_in_the_json_stand() {
    let folder = tempfile::tempdir().unwrap();
    common::run_kept(folder.path(), &["sqlite.journal_mode=wal", "snapshots.strategies=cp"]);
    let bytes = fs::read(folder.path().join("out/results.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let has = |value: &serde_json::Value, names: &str| {
        for name in names.split_whitespace() {
            assert!(value.get(name).is_some(), "{name} is missing from {value:#}");
        }
    };
    has(&json, "schema_version scenario environment warnings decision trials");
    let trial = &json["trials"][0];
    has(trial, "id journal_mode synchronous strategy strategy_options write_profile repetition offered_rate_ops");
    has(trial, "achieved_rate_ops status kept_in phases snapshots");
    assert_eq!((trial["status"].as_str(), trial["synchronous"].as_str()), (Some("completed"), Some("full")));
    let phases: Vec<_> =
        trial["phases"].as_array().unwrap().iter().map(|phase| phase["name"].as_str().unwrap()).collect();
    assert_eq!(phases, ["warmup", "baseline", "snapshot", "recovery"]);
    let phase = &trial["phases"][1];
    has(phase, "name started_s duration_s operations lag");
    let operation = &phase["operations"][0];
    has(operation, "kind due served failed timed_out dropped never_served lost_writes response service");
    has(&operation["response"], "p50_us p90_us p99_us p999_us max_us histogram");
    assert!(operation["response"]["p999_us"].is_null(), "from fewer than 10,000 operations");
    let sum: u64 = ["served", "failed", "timed_out", "dropped", "never_served"]
        .iter()
        .map(|name| operation[name].as_u64().unwrap())
        .sum();
    assert_eq!(operation["due"].as_u64(), Some(sum));
    let snapshot = &trial["snapshots"][0];
    has(snapshot, "strategy started_s duration_s deadline_s exit_status error bytes restarts verdict evidence");
    has(snapshot, "silent_failure integrity_check quick_check commit commit_at_start commit_at_end");
    let kept = folder.path().join("out").join(trial["kept_in"].as_str().unwrap());
    for file in ["ledger", "live.db", "snapshots/0/snapshot.db", "dataset.json"] {
        assert!(kept.join(file).exists(), "{file}");
    }
}

#[test]
fn a_dry_run_names_the_trials_and_writes_nothing() {
    let folder = folder_with_scenario();
    let run = output(folder.path(), &["run", "test.toml", "--dry-run", "--set", "repetitions=2"]);
    assert!(run.status.success());
    let stdout = text(&run.stdout);
    assert!(stdout.starts_with("delete-full-1500-vacuum-into-1\nwal-full-1500-vacuum-into-1\n"), "{stdout}");
    assert!(stdout.contains("4 trials, 3 s of load each at most, and at most"), "{stdout}");
    let no_room = output(folder.path(), &["run", "test.toml", "--dry-run", "--set", "dataset.rows=10000000000"]);
    assert_eq!(no_room.status.code(), Some(2), "as the run itself");
    assert!(text(&no_room.stderr).contains("the run needs about") && !no_room.stdout.is_empty());
    assert_eq!(names(folder.path()), ["test.toml"]);
    // A database that is none is noticed here, not after an hour.
    let garbage = output(
        folder.path(),
        &["run", "test.toml", "--dry-run", "--set", "sqlite.page_size_bytes=4096", "--set", "dataset.path=test.toml"],
    );
    assert_eq!(garbage.status.code(), Some(1));
    assert!(text(&garbage.stderr).contains("it is no SQLite database"), "{}", text(&garbage.stderr));
}

#[test]
fn bad_input_is_refused_before_anything_is_written() {
    let folder = folder_with_scenario();
    for (arguments, code, message) in [
        (&["run", "missing.toml"][..], 2, "cannot read the scenario missing.toml"),
        (
            &["run", "test.toml", "--set", "load.rate=5"],
            2,
            "test.toml: load.rate: unknown field `rate`, expected one of",
        ),
        (
            &["run", "test.toml", "--set", "dataset.rows=10000000000"],
            2,
            "test.toml: dataset.rows = 10000000000: the run needs",
        ),
        (
            &["run", "test.toml", "--set", "snapshots.strategies=[]"],
            2,
            "snapshots.strategies = []: expected at least one",
        ),
        (
            &["run", "test.toml", "--set", "sqlite.page_size_bytes=4096", "--set", "dataset.path=gone.db"],
            1,
            "gone.db: No such file",
        ),
        (&["run", "test.toml", "--out", "/proc/nowhere/out"], 1, "cannot create the results folder /proc/nowhere/out"),
        (&["run", "test.toml", "--work-dir", "test.toml/work"], 1, "cannot create the work folder"),
        (&["report", "missing.json"], 1, "cannot read missing.json"),
        (&["report", "test.toml"], 1, "is not a results.json"),
        (&["run"], 2, "required arguments"),
        (&["fly"], 2, "unrecognized subcommand"),
    ] {
        let run = output(folder.path(), arguments);
        let stderr = text(&run.stderr);
        assert_eq!(run.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(message), "{arguments:?}: {stderr}");
        assert!(run.stdout.is_empty(), "{arguments:?}");
        assert_eq!(names(folder.path()), ["test.toml"], "{arguments:?}");
    }
}

#[test]
fn a_missing_program_is_a_skipped_trial_with_its_reason() {
    let folder = folder_with_scenario();
    let mut command = journalbench(folder.path(), &["run", "test.toml", "--out", "out", "--set"]);
    command.arg("snapshots.strategies=[\"cli-backup\"]").env("PATH", "/nowhere");
    assert!(command.output().unwrap().status.success());
    let results = Results::load(&folder.path().join("out/results.json")).unwrap();
    assert!(results.trials.iter().all(|trial| trial.status == Status::Skipped));
    assert_eq!(results.trials[0].reason.as_deref(), Some("there is no program `sqlite3` on the PATH"));
}

#[test]
fn an_interrupt_ends_the_run_within_two_seconds_and_keeps_what_was_measured() {
    let folder = folder_with_scenario();
    let long = ["run", "test.toml", "--out", "out", "--set", "phases.baseline_s=60"];
    let mut child = journalbench(folder.path(), &long).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let mut said = String::new();
    let mut buffer = [0; 256];
    while !said.contains("baseline") {
        let length = stderr.read(&mut buffer).unwrap();
        assert!(length > 0, "ended early: {said}");
        said.push_str(&text(&buffer[..length]));
    }
    thread::sleep(Duration::from_millis(300));
    let begun = Instant::now();
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(status.code(), Some(130));
    let results = Results::load(&folder.path().join("out/results.json")).unwrap();
    assert_eq!(results.trials.len(), 1);
    let trial = &results.trials[0];
    assert_eq!((trial.status, &trial.problems[..]), (Status::Interrupted, &[][..]));
    let report = fs::read_to_string(folder.path().join("out/report.md")).unwrap();
    assert!(report.contains("Not complete: of 2 trials 1 are missing and 1 were cut short."), "{report}");
    assert!(trial.phases.iter().any(|phase| phase.counts().served > 100), "{:?}", trial.phases);
    assert_eq!(names(&folder.path().join("work")), ["datasets"]);
}

#[test]
fn an_interrupt_is_no_failure_while_a_worker_waits_for_a_lock() {
    let folder = folder_with_scenario();
    let long = ["run", "test.toml", "--out", "out", "--set", "phases.baseline_s=60"];
    let mut child = journalbench(folder.path(), &long).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.contains("baseline") {
        line.clear();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "ended early");
    }
    let database = live_database(&folder.path().join("work")).expect("a trial has a live database");
    let mut holder = Command::new("sqlite3")
        .arg(database)
        .args([".timeout 60000", "BEGIN EXCLUSIVE;", ".shell echo locked; sleep 10"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    holder.stdout.as_mut().unwrap().read_exact(&mut [0; 7]).unwrap();
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::INT).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    holder.kill().unwrap();
    holder.wait().unwrap();
    let results = Results::load(&folder.path().join("out/results.json")).unwrap();
    let trial = &results.trials[0];
    assert_eq!((trial.status, &trial.problems[..]), (Status::Interrupted, &[][..]));
}

/// The live database of the trial that runs.
fn live_database(folder: &Path) -> Option<std::path::PathBuf> {
    fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find_map(|path| {
        if path.is_dir() { live_database(&path) } else { (path.file_name()? == "live.db").then_some(path) }
    })
}

#[test]
fn generate_makes_a_file_of_the_size_asked_for_and_prints_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let run = output(folder.path(), &["generate", "--size", "3MB", "tracker.db"]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert_eq!(names(folder.path()), ["tracker.db"]);
    let path = folder.path().join("tracker.db");
    let bytes = path.metadata().unwrap().len();
    assert!(bytes.abs_diff(3_000_000) <= 8_192, "{bytes}");
    let digest = oracle::content_digest(&path, &Arc::default()).unwrap();
    let stdout = text(&run.stdout);
    let lines: Vec<_> = stdout.lines().collect();
    assert_eq!(lines[1..], [&format!("bytes   {bytes}"), &format!("digest  {digest}"), "tracker.db"]);
    let rows = lines[0].strip_prefix("rows    ").unwrap();

    let options = ["--rows", rows, "--seed", "310", "--page-size-bytes", "4096", "--index-fill", "0.9"];
    let again = output(folder.path(), &[&["generate", "again.db"], &options[..]].concat());
    assert!(again.status.success(), "{}", text(&again.stderr));
    assert!(fs::read(&path).unwrap() == fs::read(folder.path().join("again.db")).unwrap());
}

#[test]
fn generate_refuses_what_cannot_be_before_it_writes() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("there.db"), "").unwrap();
    fs::write(folder.path().join("new.db-wal"), "").unwrap();
    for (arguments, code, message) in [
        (&["--rows", "10", "there.db"][..], 2, "there.db: exists"),
        (&["--rows", "10", "new.db"], 2, "new.db-wal: exists"),
        (&["--size", "8000TB", "x.db"], 2, "x.db: needs 8000000000 MB, and"),
        (&["--rows", "10000000000", "x.db"], 2, "x.db: needs 950000 MB, and"),
        (&["--rows", "0", "x.db"], 2, "0 is not in 1..="),
        (&["--rows", "10", "--size", "1MB", "x.db"], 2, "cannot be used with"),
        (&["x.db"], 2, "required arguments"),
        (&["--size", "big", "x.db"], 2, "`big` is no size"),
        (&["--rows", "10", "--page-size-bytes", "1000", "x.db"], 2, "expected a power of two"),
        (&["--rows", "10", "--index-fill", "0.1", "x.db"], 2, "expected 0.5 to 1"),
        (&["--rows", "10", "nowhere/x.db"], 1, "cannot write nowhere/x.db: cannot create the folder"),
    ] {
        let run = output(folder.path(), &[&["generate"], arguments].concat());
        let stderr = text(&run.stderr);
        assert_eq!(run.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.contains(message), "{arguments:?}: {stderr}");
        assert!(run.stdout.is_empty(), "{arguments:?}");
        assert_eq!(names(folder.path()), ["new.db-wal", "there.db"], "{arguments:?}");
    }
}

#[test]
fn a_full_disk_leaves_no_file_and_is_said_in_words() {
    let folder = tempfile::tempdir().unwrap();
    // Where the signal is ignored, a write beyond the limit fails, as on a full disk that had room a moment ago.
    let limited = |arguments: &[&str]| {
        let mut command = Command::new("sh");
        command.current_dir(folder.path()).env("JOURNALBENCH_DIR", folder.path().join("work"));
        command.args(["-c", r#"trap '' XFSZ; ulimit -f 1000; exec "$0" "$@""#, env!("CARGO_BIN_EXE_journalbench")]);
        command.args(arguments).output().unwrap()
    };
    let generate = limited(&["generate", "--rows", "50000", "big.db"]);
    assert_eq!(generate.status.code(), Some(1), "{}", text(&generate.stderr));
    assert!(text(&generate.stderr).contains("cannot write big.db"), "{}", text(&generate.stderr));
    assert_eq!(names(folder.path()), Vec::<String>::new());

    fs::write(folder.path().join("test.toml"), SCENARIO).unwrap();
    let run = limited(&["run", "test.toml", "--set", "dataset.rows=50000", "--out", "out"]);
    assert_eq!(run.status.code(), Some(1), "{}", text(&run.stderr));
    assert!(text(&run.stderr).contains("cannot prepare the dataset"), "{}", text(&run.stderr));
    assert_eq!(names(folder.path()), ["test.toml", "work"]);
    assert_eq!(names(&folder.path().join("work/datasets")), Vec::<String>::new());
}

#[test]
fn an_interrupted_generate_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = journalbench(folder.path(), &["generate", "--rows", "100000000", "x.db"]).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(60);
    // It is writing, so the signal is watched for.
    while !names(folder.path()).iter().any(|name| name == ".x.db.journalbench") {
        assert!(Instant::now() < deadline);
        thread::sleep(Duration::from_millis(10));
    }
    thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), Signal::INT).unwrap();
    let status = child.wait().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!((status.code(), names(folder.path())), (Some(130), Vec::new()));
}

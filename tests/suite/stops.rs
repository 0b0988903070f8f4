//! Runs that are stopped, hung up and killed, and what is left of them; runs that go on.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::common::program::{folder_with_scenario, journalbench, names, output, text};
use journalbench::{
    oracle::Verdict,
    results::{Results, Status, Warning},
};
use rustix::process::{Pid, Signal, kill_process};

/// Starts a command, and waits until it says something.
fn start(mut command: Command, until: &str) -> Child {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains(until) {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "ended early: {said}");
    }
    // Read on, as a terminal would.
    std::thread::spawn(move || std::io::copy(&mut stderr, &mut std::io::sink()));
    child
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
}

/// Whether a process with this word in its command line runs.
fn is_running(word: &str) -> bool {
    let lines =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| text(&line)).any(|line| line.contains(word) && !line.contains("watch-parent"))
}

/// A stage of a run: what it says when it comes there, what is to be set for it, and what asks it to stop.
struct Stage {
    name: &'static str,
    says: &'static str,
    settings: &'static [&'static str],
    signals: &'static [Signal],
}

const SIGNALS: &[Signal] = &[Signal::INT, Signal::TERM, Signal::HUP];

const SNAPSHOT: Stage = Stage {
    name: "snapshot",
    says: "snapshot ",
    settings: &["--set", "snapshots.strategies=command", "--set", "snapshots.deadline_s=60"],
    signals: SIGNALS,
};

const GENERATING: Stage =
    Stage { name: "generating", says: "rows", settings: &["--set", "dataset.rows=3000000"], signals: SIGNALS };

const LOAD: Stage =
    Stage { name: "load", says: "baseline", settings: &["--set", "phases.baseline_s=60"], signals: SIGNALS };

const JUDGING: Stage = Stage {
    name: "judging",
    says: "the oracle reads",
    settings: &["--set", "dataset.rows=500000"],
    signals: &[Signal::TERM],
};

/// A command of the user's own that lasts, and what it starts.
fn lasting(folder: &Path) -> String {
    format!("snapshots.options.command={{line = \"sleep 60; : {} {{db}} {{out}}\", shell = true}}", folder.display())
}

/// What asks a run to stop leaves its results and nothing else.
fn stops_in(stage: &Stage) {
    let Stage { name: stage, says, settings, signals } = *stage;
    for &asked in signals {
        let folder = folder_with_scenario();
        let line = lasting(folder.path());
        let arguments = [&["run", "test.toml", "--out", "out", "--set", &line], settings].concat();
        let mut child = start(journalbench(folder.path(), &arguments), says);
        let begun = Instant::now();
        signal(&child, asked);
        let status = child.wait().unwrap();
        let context = format!("{stage}, {asked:?}");
        assert_eq!(status.code(), Some(130), "{context}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{context}: {:?}", begun.elapsed());
        let results = Results::load(&folder.path().join("out/results.json")).unwrap();
        assert!(results.trials.iter().all(|trial| trial.status == Status::Interrupted), "{context}");
        assert_eq!(names(&folder.path().join("out")), ["report.html", "report.md", "results.json"], "{context}");
        assert_eq!(names(&folder.path().join("work")), ["datasets"], "{context}");
        assert!(!is_running(folder.path().to_str().unwrap()), "{context}");
    }
}

#[test]
fn a_run_stops_while_the_dataset_is_generated() {
    stops_in(&GENERATING);
}

#[test]
fn a_run_stops_under_load() {
    stops_in(&LOAD);
}

#[test]
fn a_run_stops_while_a_snapshot_is_taken() {
    stops_in(&SNAPSHOT);
}

#[test]
fn a_run_stops_while_snapshots_are_judged() {
    stops_in(&JUDGING);
}

#[test]
fn a_killed_run_takes_its_children_along_and_the_next_one_removes_what_it_left() {
    let folder = folder_with_scenario();
    let line = lasting(folder.path());
    let arguments = [&["run", "test.toml", "--out", "out", "--set", &line], SNAPSHOT.settings].concat();
    let mut child = start(journalbench(folder.path(), &arguments), SNAPSHOT.says);
    let begun = Instant::now();
    while !is_running("sleep\x0060") {
        assert!(begun.elapsed() < Duration::from_secs(20), "the command did not begin");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let begun = Instant::now();
    while is_running(folder.path().to_str().unwrap()) {
        assert!(begun.elapsed() < Duration::from_secs(1), "the command outlived the run");
    }
    assert_eq!(names(&folder.path().join("work")), ["datasets", "runs"]);
    let output = output(folder.path(), &["run", "test.toml", "--out", "next", "--set", "sqlite.journal_mode=wal"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("which a killed journalbench had left"), "{}", text(&output.stderr));
    assert_eq!(names(&folder.path().join("work")), ["datasets"]);
}

#[test]
fn a_killed_child_is_an_unfinished_snapshot_and_the_run_goes_on() {
    let folder = folder_with_scenario();
    let line = "snapshots.options.command={line = \"kill -9 $$; : {db} {out}\", shell = true}";
    let arguments = [&["run", "test.toml", "--out", "out", "--set", line], SNAPSHOT.settings].concat();
    let output = output(folder.path(), &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let results = Results::load(&folder.path().join("out/results.json")).unwrap();
    assert_eq!(results.trials.len(), 2);
    for trial in &results.trials {
        let snapshot = &trial.snapshots[0];
        assert_eq!((trial.status, snapshot.ruling.verdict), (Status::Completed, Some(Verdict::Unfinished)));
        assert_eq!(snapshot.run.error.as_deref(), Some("killed by signal 9"));
    }
    assert_eq!(names(&folder.path().join("work")), ["datasets"]);
}

#[test]
fn who_ignores_the_closed_terminal_goes_on() {
    let folder = folder_with_scenario();
    let program = env!("CARGO_BIN_EXE_journalbench");
    let mut command = Command::new("nohup");
    command.args([program, "run", "test.toml", "--out", "out", "--set", "sqlite.journal_mode=wal"]);
    command.current_dir(folder.path()).env("JOURNALBENCH_DIR", folder.path().join("work")).stdin(Stdio::null());
    let mut child = start(command, "baseline");
    signal(&child, Signal::HUP);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let results = Results::load(&folder.path().join("out/results.json")).unwrap();
    assert_eq!(results.trials[0].status, Status::Completed);
}

/// Starts a command, and kills it when it says something.
fn kill_at(command: Command, says: &str) {
    let mut child = start(command, says);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_run_that_is_killed_three_times_comes_to_its_end() {
    let folder = folder_with_scenario();
    let set = ["--set", "repetitions=2", "--set", "snapshots.strategies=none"];
    kill_at(journalbench(folder.path(), &[&["run", "test.toml", "--out", "out"], &set[..]].concat()), "[2/4]");
    for says in ["[3/4]", "[4/4]"] {
        kill_at(journalbench(folder.path(), &["run", "--resume", "out"]), says);
    }
    let last = output(folder.path(), &["run", "--resume", "out"]);
    assert!(last.status.success(), "{}", text(&last.stderr));
    let results = Results::load(&folder.path().join("out/results.json")).unwrap();
    let sittings: Vec<_> = results.sittings.entries().iter().map(|sitting| sitting.trials).collect();
    assert_eq!(sittings, [1, 1, 1, 1]);
    assert!(results.trials.iter().all(|trial| trial.status == Status::Completed));
    assert_eq!(results.warnings.iter().find(|warning| matches!(warning, Warning::Unfinished { .. })), None);
    assert_eq!(names(&folder.path().join("work")), ["datasets"]);
}

#[test]
fn a_killed_run_goes_on_with_the_trials_that_are_missing() {
    let folder = folder_with_scenario();
    kill_at(journalbench(folder.path(), &["run", "test.toml", "--out", "out", "--keep"]), "[2/2]");
    let path = folder.path().join("out/results.json");
    let first = Results::load(&path).unwrap();
    assert_eq!(first.trials.len(), 1);
    assert!(first.warnings.contains(&Warning::Unfinished { trials: 1, of: 2 }), "{:?}", first.warnings);

    let refused = output(folder.path(), &["run", "test.toml", "--resume", "out", "--set", "load.rate_ops=1000"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = text(&refused.stderr);
    assert!(said.contains("of another scenario") && said.contains("rate_ops"), "{said}");
    let refused = output(folder.path(), &["run", "--resume", "work"]);
    assert_eq!(refused.status.code(), Some(2), "{}", text(&refused.stderr));

    let resumed = output(folder.path(), &["run", "test.toml", "--resume", "out", "--keep"]);
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    assert!(!text(&resumed.stderr).contains("[1/2]"), "{}", text(&resumed.stderr));
    let all = Results::load(&path).unwrap();
    assert_eq!(all.trials[0], first.trials[0], "what had ended stays as it is");
    let ids: Vec<_> = all.trials.iter().map(|trial| trial.id.as_str()).collect();
    assert_eq!(ids, ["delete-full-1500-vacuum-into-1", "wal-full-1500-vacuum-into-1"]);
    assert!(all.trials.iter().all(|trial| trial.status == Status::Completed));
    let sittings: Vec<_> = all.sittings.entries().iter().map(|sitting| sitting.trials).collect();
    assert_eq!(sittings, [1, 1]);
    assert!(!all.warnings.iter().any(|warning| matches!(warning, Warning::Unfinished { .. })));
    assert_eq!(names(&folder.path().join("out")), ["kept", "report.html", "report.md", "results.json"]);

    // Nothing is missing any more; another machine is told from this one.
    let json = fs::read_to_string(&path).unwrap();
    fs::write(&path, json.replacen("\"processors\": ", "\"processors\": 9", 1)).unwrap();
    let refused = output(folder.path(), &["run", "--resume", "out"]);
    let said = text(&refused.stderr);
    assert!(!refused.status.success() && said.contains("processors is"), "{said}");
}

#[test]
fn a_killed_generate_leaves_what_the_next_one_removes() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = journalbench(folder.path(), &["generate", "--size", "2GB", "big.db"]).spawn().unwrap();
    let begun = Instant::now();
    let hidden = folder.path().join(".big.db.journalbench");
    // Its marker, and the half file.
    while fs::read_dir(&hidden).map_or(0, Iterator::count) < 2 {
        assert!(begun.elapsed() < Duration::from_secs(20), "it did not begin");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(names(folder.path()), [".big.db.journalbench"]);
    let output = output(folder.path(), &["generate", "--rows", "10", "small.db"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains(".big.db.journalbench, which a killed"), "{}", text(&output.stderr));
    assert_eq!(names(folder.path()), ["small.db"]);
}

#[test]
fn two_at_once_are_refused_by_name() {
    let folder = folder_with_scenario();
    let arguments = ["run", "test.toml", "--out", "out", "--set", "phases.baseline_s=60"];
    let mut first = start(journalbench(folder.path(), &arguments), "baseline");
    let second = output(folder.path(), &["run", "test.toml", "--out", "other"]);
    let said = text(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("another run uses the work folder") && said.contains(&first.id().to_string()), "{said}");
    assert!(!folder.path().join("other").exists());
    fs::write(folder.path().join("out/results.json"), "{}").unwrap();
    let resumed = output(folder.path(), &["run", "--resume", "out"]);
    let said = text(&resumed.stderr);
    assert!(said.contains("still going on") && said.contains(&first.id().to_string()), "{said}");
    signal(&first, Signal::INT);
    assert_eq!(first.wait().unwrap().code(), Some(130));
}

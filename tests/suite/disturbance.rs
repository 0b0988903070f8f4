//! Trials that are disturbed by what else the machine does: marked, and run again where the scenario says so.

use std::{cell::Cell, fs, path::Path};

use journalbench::{
    interrupt::Interrupt,
    machine::Machine,
    report::{self, Format},
    results::{DisturbedBy, Results, Status, Warning},
    run::{self, Event, Only, Options, Start},
    scenario::Scenario,
    snapshot::Programs,
};

use crate::common::SCENARIO;

/// A machine of a test's own, whose files are written at each event of a run: a hundred ticks pass from one to the next, and in
/// the trial that is disturbed half of them are stolen.
struct FakeMachine<'a> {
    folder: &'a Path,
    disturbed: &'a str,
    ticks: Cell<(u64, u64)>,
    is_disturbed: Cell<bool>,
}

impl FakeMachine<'_> {
    fn note(&self, event: &Event) {
        if let Event::TrialBegun { id, .. } = event {
            self.is_disturbed.set(id == self.disturbed);
        }
        let (all, stolen) = self.ticks.get();
        let ticks = (all + 100, stolen + if self.is_disturbed.get() { 50 } else { 0 });
        self.ticks.set(ticks);
        let (all, stolen) = ticks;
        let stat = format!(
            "cpu  {} 0 0 0 0 0 0 {stolen} 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\nctxt 1\nbtime 2\nprocesses 3\n",
            all - stolen
        );
        // Whoever reads meanwhile finds the one or the other.
        fs::write(self.folder.join("stat.new"), stat).unwrap();
        fs::rename(self.folder.join("stat.new"), self.folder.join("stat")).unwrap();
    }
}

fn run_disturbed(folder: &Path, disturbed: &str, overrides: &[&str], start: Option<Results>) -> (Results, Vec<String>) {
    let overrides: Vec<_> = overrides.iter().map(ToString::to_string).collect();
    let scenario = Scenario::parse("test", SCENARIO, Path::new("test.toml"), &overrides).unwrap();
    let proc = folder.join("proc");
    fs::create_dir_all(&proc).unwrap();
    let machine = FakeMachine { folder: &proc, disturbed, ticks: Cell::default(), is_disturbed: Cell::default() };
    let options = Options {
        work_dir: folder.join("work"),
        keep_in: None,
        out_dir: folder.to_owned(),
        programs: Programs::find(env!("CARGO_BIN_EXE_journalbench").into()),
        only: Only::default(),
        machine: Machine::of(&proc),
        interrupt: Interrupt::default(),
    };
    let mut begun = Vec::new();
    let mut tell = |event: Event| {
        machine.note(&event);
        if let Event::TrialBegun { id, .. } = event {
            begun.push(id);
        }
    };
    let start = start.map_or(Start::Anew(None), |earlier| Start::From(Box::new(earlier)));
    let results = run::run_on(&scenario, &options, start, &mut |_| Ok(()), &mut tell).unwrap();
    (results, begun)
}

const BASE: [&str; 2] = ["delete-full-1500-cp-1", "wal-full-1500-cp-1"];
const AGAIN: [&str; 2] = ["delete-full-1500-cp-2", "wal-full-1500-cp-2"];

#[test]
fn a_disturbed_trial_is_marked_and_its_pair_is_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let set = ["snapshots.strategies=cp", "snapshots.sqlite_checks=false", "disturbance.rerun=true"];
    let (results, begun) = run_disturbed(folder.path(), BASE[1], &set, None);
    assert_eq!(begun, [BASE, AGAIN].concat());
    assert!(results.trials.iter().all(|trial| trial.status == Status::Completed));
    for trial in &results.trials {
        let found: Vec<_> = trial.disturbed.known().unwrap().iter().map(|found| found.by).collect();
        let expected: &[_] = if trial.id == BASE[1] { &[DisturbedBy::Steal] } else { &[] };
        assert_eq!(found, expected, "{}: {:?}", trial.id, trial.series);
    }
    let warned = results.warnings.iter().any(|warning| {
        matches!(warning, Warning::Disturbed { by, trials } if by[0].starts_with("steal") && *trials == [BASE[1]])
    });
    assert!(warned, "{:?}", results.warnings);
    // Each comparison has one pair, the second, and each verdict counts.
    assert!(results.comparisons.entries().iter().all(|one| one.change.pairs == 1), "{:?}", results.comparisons);
    let report = report::render(&results, Format::Markdown);
    assert!(report.contains("run again"), "{report}");

    // A sitting that was stopped before the second of the trials that are run again goes on with it.
    let mut stopped = results.clone();
    stopped.trials.truncate(3);
    let (resumed, begun) = run_disturbed(folder.path(), "none", &set, Some(stopped));
    assert_eq!((begun, resumed.trials.len()), (vec![AGAIN[1].to_owned()], 4));
}

#[test]
fn without_being_asked_nothing_is_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let set = ["snapshots.strategies=none"];
    let (results, begun) = run_disturbed(folder.path(), "delete-full-1500-none-1", &set, None);
    assert_eq!((begun.len(), results.trials[0].disturbed.entries().len()), (2, 1));
    assert!(results.warnings.iter().any(|warning| matches!(warning, Warning::Disturbed { .. })));
    let share = results.trials[0].disturbed_share(DisturbedBy::Steal).unwrap();
    assert!((share - 0.5).abs() < 0.01, "{share}");
}

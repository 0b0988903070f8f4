//! A small real run, kept, for tests to look into.

pub mod bad_input;
pub mod committed;
pub mod database;
pub mod program;
mod scenario;
pub mod strategies;
pub mod tracker;

use std::path::{Path, PathBuf};

use journalbench::{
    interrupt::Interrupt,
    machine::Machine,
    results::{Results, TrialResult},
    run::{self, Only, Options},
    scenario::Scenario,
    snapshot::Programs,
};

pub use scenario::SCENARIO;

/// Runs [`SCENARIO`] with these overrides in `folder` and keeps everything.
pub fn run_kept(folder: &Path, overrides: &[&str]) -> Results {
    run_kept_with(folder, overrides, Programs::find(env!("CARGO_BIN_EXE_journalbench").into()))
}

/// As [`run_kept`], with programs of the test's choice.
pub fn run_kept_with(folder: &Path, overrides: &[&str], programs: Programs) -> Results {
    let overrides: Vec<_> = overrides.iter().map(ToString::to_string).collect();
    let scenario = Scenario::parse("test", SCENARIO, Path::new("test.toml"), &overrides).unwrap();
    let options = Options {
        work_dir: folder.join("work"),
        keep_in: Some(folder.join("out/kept")),
        out_dir: folder.join("out"),
        programs,
        only: Only::default(),
        machine: Machine::default(),
        interrupt: Interrupt::default(),
    };
    let results = run::run(&scenario, &options, &mut |_| ()).unwrap();
    results.save(&folder.join("out/results.json")).unwrap();
    results
}

/// Where a trial was kept.
pub fn kept(folder: &Path, trial: &TrialResult) -> PathBuf {
    folder.join("out").join(trial.kept_in.as_ref().unwrap())
}

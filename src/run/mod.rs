//! A run from scenario to results: the dataset, then one trial after the other.
//!
//! A trial is prepared and judged in `trial`, and measured in `measured`. Whatever goes wrong in a trial is a row
//! of the results. What happens meanwhile is told as [`Event`]s; drawing them is the business of `progress`.

mod after;
mod display;
mod elsewhere;
mod executing;
mod judging;
mod measured;
mod recorder;
mod series;
mod taking;
mod trial;
mod watch;

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{
    analysis,
    dataset::{
        Source,
        cache::{self, Cached},
    },
    env::Environment,
    interrupt::Interrupt,
    results::{DatasetResult, PhaseName, Results, SCHEMA_VERSION, Status, TrialResult},
    scenario::Scenario,
    snapshot::{Programs, Strategy},
    work::{self, RunFolder},
};

/// The name of the file in a trial's folder that says what its database began as.
pub const MANIFEST_FILE: &str = "dataset.json";
/// The name of the ledger in a trial's folder.
pub const LEDGER_FILE: &str = "ledger";
/// The folder in a trial's folder that has a folder for each snapshot, by number from 0.
pub const SNAPSHOTS_FOLDER: &str = "snapshots";
/// The name of the file in a snapshot's folder that says what to judge it by.
pub const CLAIM_FILE: &str = "claim.json";

/// What a run needs beside its scenario.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where databases and the dataset cache live.
    pub work_dir: PathBuf,
    /// Folder to keep each trial's ledger, live database and snapshots in; removed where `None`.
    pub keep_in: Option<PathBuf>,
    /// The folder that results are written to: kept folders are named relative to it.
    pub out_dir: PathBuf,
    /// The programs that strategies run.
    pub programs: Programs,
    /// Set to stop.
    pub interrupt: Interrupt,
}

/// Something that happened in a run.
#[derive(Debug, Clone)]
pub enum Event {
    /// The dataset is being generated: rows done, and of how many.
    Generating {
        /// Rows done.
        rows: u64,
        /// Rows in all.
        of: u64,
    },
    /// A copy of somebody's own database is being made and read.
    Adopting,
    /// A trial begins.
    TrialBegun {
        /// From 1.
        number: usize,
        /// Trials in all.
        of: usize,
        /// The trial's name.
        id: String,
    },
    /// The trial's database is being copied and brought into the page cache, or out of it.
    Preparing,
    /// The load runs; told once a second and when a phase begins.
    Measuring(Tick),
    /// The steps after a snapshot are done.
    AfterSteps {
        /// From 1.
        number: usize,
        /// Snapshots of the trial.
        of: usize,
    },
    /// The oracle reads a snapshot.
    Judging {
        /// From 1.
        number: usize,
        /// Snapshots of the trial.
        of: usize,
    },
    /// The live database is compared with the ledger.
    Checking,
    /// A trial has ended, with these words.
    TrialEnded {
        /// What came of it, in a line.
        summary: String,
    },
}

/// How a trial is doing.
#[derive(Debug, Clone, Copy)]
pub struct Tick {
    /// The phase that it is in.
    pub phase: PhaseName,
    /// Seconds since the load began.
    pub elapsed_s: f64,
    /// Seconds that it will last.
    pub of_s: f64,
    /// Operations served in the last second.
    pub achieved_rate_ops: f64,
    /// 99th percentile of the response times of the last second.
    pub p99_us: Option<u64>,
    /// Size of the WAL.
    pub wal_bytes: u64,
    /// How much of the snapshot is done, from 0 to 1.
    pub snapshot: Option<f64>,
}

/// Runs every trial of a scenario. An interrupt ends the run early with what was measured so far.
///
/// # Errors
/// When the run cannot begin: the work folder or the dataset cannot be written. An interrupt before the first trial
/// gives results without trials.
pub fn run(scenario: &Scenario, options: &Options, tell: &mut dyn FnMut(Event)) -> Result<Results> {
    let begun = Instant::now();
    let started_at = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let folder = RunFolder::create(&options.work_dir)?;
    let environment = Environment::read(folder.path(), &options.programs);
    let mut trials = Vec::new();
    let mut described = None;
    if let Some(dataset) = prepare_dataset(scenario, options, folder.path(), tell)? {
        described = Some(DatasetResult::new(&dataset.manifest));
        let all = scenario.trials();
        for (number, trial) in (1..).zip(&all) {
            if options.interrupt.is_set() {
                break;
            }
            tell(Event::TrialBegun { number, of: all.len(), id: trial.id() });
            let context = trial::Context { scenario, options, dataset: &dataset, folder: folder.path() };
            let result = trial::run(&context, trial, tell);
            tell(Event::TrialEnded { summary: summary(&result) });
            trials.push(result);
        }
    }
    let results = Results {
        schema_version: SCHEMA_VERSION,
        journalbench_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at,
        duration_s: begun.elapsed().as_secs_f64(),
        scenario: scenario.clone(),
        environment,
        dataset: described.into(),
        warnings: Vec::new(),
        decision: None,
        trials,
    };
    Ok(Results { warnings: analysis::warnings(&results), ..results })
}

/// The cached dataset, generated or adopted if need be; `None` where that was interrupted.
fn prepare_dataset(
    scenario: &Scenario,
    options: &Options,
    scratch: &Path,
    tell: &mut dyn FnMut(Event),
) -> Result<Option<Cached>> {
    let source = scenario.source();
    let of = scenario.keys.dataset.rows;
    let mut progress = |progress| {
        tell(match progress {
            cache::Progress::Rows(rows) => Event::Generating { rows, of },
            cache::Progress::Adopting => Event::Adopting,
        });
    };
    let cached = match cache::ensure(&options.work_dir, scratch, &source, options.interrupt.flag(), &mut progress) {
        Ok(cached) => cached,
        Err(_) if options.interrupt.is_set() => return Ok(None),
        Err(error) => return Err(error.context("cannot prepare the dataset")),
    };
    let profile = scenario.keys.load.write_profile;
    if cached.manifest.aggregate.is_none() && profile.counts_in_total() {
        bail!(
            "load.write_profile = {profile}: it counts downloads in torrent_aggregate_metrics, which the database at \
            dataset.path does not have, as trackers of version 3 do not; expected tracker-3"
        );
    }
    Ok(Some(cached))
}

/// Bytes that a run needs at its peak, on the generous side: the dataset where it is not cached, a trial's copy, its
/// snapshots, the backups that steps make of them, and half as much again for WAL, journal and ledger; all of that for every
/// trial where it is kept, and then a snapshot more, for the oracle.
#[must_use]
pub fn bytes_needed(scenario: &Scenario, work_dir: &Path, keep: bool) -> u64 {
    // A database that is not there is an error of the run.
    let (bytes, cached) = cache::bytes(work_dir, &scenario.source()).unwrap_or_default();
    let after = &scenario.keys.snapshots.after;
    let backups = |snapshots: u64| match (after.steps.as_slice(), after.keep_last) {
        ([], _) => 0,
        // The newest, what it is restored to, and those that are kept.
        (_, keep_last) => 2 + keep_last.map_or(snapshots, |most| snapshots.min(most.into())),
    };
    let trial = |snapshots: u64| bytes * (1 + snapshots + backups(snapshots)) + bytes / 2;
    let trials = scenario.trials();
    let each = trials.iter().map(|planned| trial(snapshots_of(scenario, planned.strategy) as u64));
    cached + if keep { each.sum::<u64>() + bytes } else { each.max().unwrap_or(0) }
}

/// How many snapshots a trial of a strategy takes.
fn snapshots_of(scenario: &Scenario, strategy: Strategy) -> usize {
    if strategy.definition().takes_snapshots { scenario.snapshot_times_s().len() } else { 0 }
}

/// Refuses a run for which there is no room.
///
/// # Errors
/// The bytes needed and those free, in words.
pub fn check_room(scenario: &Scenario, work_dir: &Path, keep: bool) -> Result<(), String> {
    let needed = bytes_needed(scenario, work_dir, keep);
    let Some(free) = work::free_bytes(work_dir).filter(|free| *free < needed) else { return Ok(()) };
    let dataset = match scenario.source() {
        Source::Generated(dataset) => format!("dataset.rows = {}", dataset.rows),
        Source::Adopted(path) => format!("dataset.path = {}", path.display()),
    };
    Err(format!(
        "{dataset}: the run needs about {} MB in {}, and {} MB are free; use a smaller dataset or another --work-dir",
        needed / 1_000_000,
        work_dir.display(),
        free / 1_000_000
    ))
}

/// An upper bound of how long a run takes, without the time that a slow disk adds.
///
/// Assumed: generating, adopting and copying 50 MB a second, and 60 s for the oracle's readings of a gigabyte;
/// a load that ends with everything stuck until the client timeout.
#[must_use]
pub fn duration_bound(scenario: &Scenario, work_dir: &Path) -> Duration {
    let (bytes, to_make) = cache::bytes(work_dir, &scenario.source()).unwrap_or_default();
    let bytes = bytes as f64;
    let generating = to_make as f64 / 50e6 + 1.0;
    let drain = scenario.keys.client_timeout_s + scenario.keys.sqlite.busy_timeout_ms as f64 / 1e3;
    // The live database is read as well.
    let trials = scenario.trials();
    let readings: usize = trials.iter().map(|trial| 1 + snapshots_of(scenario, trial.strategy)).sum();
    let trial = bytes / 50e6 + scenario.load_s() + drain + 1.0;
    Duration::from_secs_f64(generating + trial * trials.len() as f64 + readings as f64 * bytes / 1e9 * 60.0)
}

/// A line for the progress display.
fn summary(result: &TrialResult) -> String {
    let outcome = match (result.status, result.snapshots.as_slice()) {
        (Status::Completed, [snapshot]) => {
            let verdict =
                snapshot.ruling.verdict.map_or_else(|| "not judged".to_owned(), |verdict| verdict.to_string());
            let silent = if snapshot.ruling.silent_failure { ", a silent failure" } else { "" };
            format!("{verdict}{silent}, {:.2} s", snapshot.run.duration_s)
        }
        (Status::Completed, []) => "done".to_owned(),
        (Status::Completed, several) => {
            let exact = several.iter().filter(|snapshot| snapshot.is_exact()).count();
            let silent = several.iter().filter(|snapshot| snapshot.ruling.silent_failure).count();
            let longest_s = several.iter().map(|snapshot| snapshot.run.duration_s).fold(0.0, f64::max);
            format!("{exact} of {} exact, {silent} silent failures, {longest_s:.2} s at most", several.len())
        }
        (status, _) => match &result.reason {
            Some(reason) => format!("{status}: {reason}"),
            None => status.to_string(),
        },
    };
    format!("{}: {outcome}", result.id)
}

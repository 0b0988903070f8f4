//! A run from scenario to results: the dataset, then one trial after the other.
//!
//! What happens meanwhile is told as [`Event`]s; drawing them is the business of `progress`.

mod budget;
mod derive;
mod merge;
mod only;
mod resume;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Result, bail};

pub(crate) use budget::{bytes_needed, check_room, duration_bound, duration_typical};
pub use derive::derive;
pub(crate) use merge::{ShardFile, merge, name_kept_from};
pub use only::Only;
pub(crate) use resume::{KEPT, check_scenario, check_shard, missing};

use crate::{
    dataset::{
        Source,
        cache::{self, Cached},
    },
    env::Environment,
    interrupt::Interrupt,
    machine::Machine,
    own_folder::{self, OwnFolder},
    probe::Effort,
    results::{DatasetResult, Results, SCHEMA_VERSION, Sitting, Status, TrialResult},
    scenario::{Scenario, Shard, TrialPlan},
    snapshot::Programs,
    trial,
};

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
    /// Which of its trials run in this sitting.
    pub only: Only,
    /// The counters of the machine.
    pub machine: Machine,
    /// Set to stop.
    pub interrupt: Interrupt,
}

/// Something that happened in a run.
#[derive(Debug, Clone)]
pub enum Event {
    /// Something that the user should know of, in a line.
    Said(String),
    /// The dataset is being generated: rows done, and of how many.
    Generating {
        /// Rows done.
        rows: u64,
        /// Rows in all.
        of: u64,
    },
    /// A copy of somebody's own database is being made and read.
    Adopting,
    /// The cached dataset is being read, to see whether it is whole.
    Checking,
    /// A trial begins.
    TrialBegun {
        /// From 1.
        number: usize,
        /// Trials in all.
        of: usize,
        /// The trial's name.
        id: String,
        /// Trials that are to run after it.
        more: usize,
    },
    /// Something happened in the trial.
    Trial(trial::Event),
    /// A trial has ended, with these words.
    TrialEnded {
        /// What came of it, in a line.
        summary: String,
    },
}

/// Saves the results so far.
pub type Save<'a> = &'a mut dyn FnMut(&Results) -> Result<()>;

/// What a run begins with.
#[derive(Debug)]
pub enum Start {
    /// Nothing: a shard of the scenario's trials is run, or all where there is none.
    Anew(Option<Shard>),
    /// Results of an earlier sitting: what they lack of their shard, or of the scenario, is run.
    From(Box<Results>),
}

/// Runs every trial of a scenario. An interrupt ends the run early with what was measured so far.
///
/// # Errors
/// When the run cannot begin: the work folder or the dataset cannot be written. An interrupt before the first trial
/// gives results without trials.
pub fn run(scenario: &Scenario, options: &Options, tell: &mut dyn FnMut(Event)) -> Result<Results> {
    run_on(scenario, options, Start::Anew(None), &mut |_| Ok(()), tell)
}

/// As [`run`], of what `start` says, saving the results after each trial. Earlier results are those of this scenario.
///
/// # Errors
/// As [`run`]; when this is not the machine or the dataset of the earlier results; when results cannot be saved.
pub fn run_on(
    scenario: &Scenario,
    options: &Options,
    start: Start,
    save: Save<'_>,
    tell: &mut dyn FnMut(Event),
) -> Result<Results> {
    let begun = Instant::now();
    own_folder::remove_abandoned(&options.work_dir, |words| tell(Event::Said(words.to_owned())));
    let folder = OwnFolder::of_run(&options.work_dir)?;
    let environment = Environment::read(folder.path(), &options.programs, Effort::InRun, options.interrupt.flag());
    let sitting = sitting(&environment);
    let results = match start {
        Start::From(earlier) => {
            resume::check_machine(&earlier, &environment)?;
            *earlier
        }
        Start::Anew(shard) => empty(scenario, shard, environment),
    };
    let mut record = Record::new(results, sitting, begun, save);
    if let Some(dataset) = prepare_dataset(scenario, options, folder.path(), tell)? {
        record.describe(DatasetResult::new(&dataset.manifest))?;
        // Nothing refuses to go on any more.
        record.leave_ended(&options.only, &options.out_dir)?;
        run_trials(scenario, options, &dataset, folder.path(), &mut record, tell)?;
    }
    record.note();
    Ok(record.results)
}

/// The results of a run that has not begun.
fn empty(scenario: &Scenario, shard: Option<Shard>, environment: Environment) -> Results {
    Results {
        schema_version: SCHEMA_VERSION,
        journalbench_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: now(),
        duration_s: 0.0,
        sittings: Vec::new().into(),
        scenario: scenario.clone(),
        shard,
        merged: Vec::new(),
        environment,
        dataset: None.into(),
        warnings: Vec::new(),
        comparisons: Vec::new().into(),
        claims: Vec::new().into(),
        decision: None,
        thresholds: Vec::new().into(),
        trials: Vec::new(),
    }
}

/// A sitting that begins in this environment.
fn sitting(environment: &Environment) -> Sitting {
    Sitting { started_at: now(), duration_s: 0.0, trials: 0, fsync_us_p50: environment.fsync_us_p50.into() }
}

fn now() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The results as they grow.
struct Record<'a> {
    results: Results,
    sittings: Vec<Sitting>,
    /// When the last of the sittings began.
    begun: Instant,
    save: Save<'a>,
}

impl<'a> Record<'a> {
    fn new(results: Results, sitting: Sitting, begun: Instant, save: Save<'a>) -> Self {
        let mut sittings = results.sittings.entries().to_vec();
        sittings.push(sitting);
        Self { results, sittings, begun, save }
    }

    /// Says which dataset the trials begin with, which must be that of an earlier sitting.
    fn describe(&mut self, dataset: DatasetResult) -> Result<()> {
        if self.results.dataset.found().is_some_and(|was| *was != dataset) {
            bail!("the results are of another dataset: the database at dataset.path is not what it was");
        }
        self.results.dataset = Some(dataset).into();
        Ok(())
    }

    /// Drops the trials that this sitting runs again, and removes what they had kept. The results are saved in between, so that they
    /// never name a folder that is gone.
    fn leave_ended(&mut self, only: &Only, out_dir: &Path) -> Result<()> {
        let dropped = resume::leave_ended(&mut self.results, only);
        if dropped.is_empty() {
            return Ok(());
        }
        self.note();
        (self.save)(&self.results)?;
        dropped.iter().try_for_each(|trial| resume::remove_kept_of(trial, out_dir))
    }

    fn has(&self, id: &str) -> bool {
        self.results.trials.iter().any(|trial| trial.id == id)
    }

    /// Adds a trial, and saves all of them.
    fn add(&mut self, trial: TrialResult) -> Result<()> {
        self.results.trials.push(trial);
        if let Some(sitting) = self.sittings.last_mut() {
            sitting.trials += 1;
        }
        self.note();
        (self.save)(&self.results)
    }

    /// Notes the time, and what follows from the results.
    fn note(&mut self) {
        let Self { results, sittings, begun, .. } = self;
        if let Some(sitting) = sittings.last_mut() {
            sitting.duration_s = begun.elapsed().as_secs_f64();
        }
        results.duration_s = sittings.iter().map(|sitting| sitting.duration_s).sum();
        results.sittings = sittings.clone().into();
        derive(results);
    }
}

fn run_trials(
    scenario: &Scenario,
    options: &Options,
    dataset: &Cached,
    folder: &Path,
    record: &mut Record<'_>,
    tell: &mut dyn FnMut(Event),
) -> Result<()> {
    let context = trial::Context {
        dataset,
        folder,
        keep_in: options.keep_in.as_deref(),
        out_dir: &options.out_dir,
        programs: &options.programs,
        machine: &options.machine,
        interrupt: &options.interrupt,
    };
    let plans = options.only.of(scenario.trials_of(record.results.shard));
    run_those(&context, &plans, 0, record, tell)?;
    // What was disturbed is known when all have run: some of it shows beside the others alone.
    let reruns = options.only.of(record.results.reruns());
    if !reruns.is_empty() && !options.interrupt.is_set() {
        tell(Event::Said(format!("{} trials are run again: their pairs were disturbed", reruns.len())));
    }
    run_those(&context, &reruns, plans.len(), record, tell)
}

/// Runs the trials that there are no results of. So many have gone before them.
fn run_those(
    context: &trial::Context<'_>,
    plans: &[TrialPlan],
    before: usize,
    record: &mut Record<'_>,
    tell: &mut dyn FnMut(Event),
) -> Result<()> {
    for (number, plan) in (before + 1..).zip(plans) {
        if context.interrupt.is_set() {
            break;
        }
        if record.has(&plan.id()) {
            continue;
        }
        if let Some(keep_in) = context.keep_in {
            resume::remove_kept(&keep_in.join(plan.id()))?;
        }
        let more = plans[number - before..].iter().filter(|plan| !record.has(&plan.id())).count();
        tell(Event::TrialBegun { number, of: before + plans.len(), id: plan.id(), more });
        let result = trial::run(context, plan, &mut |event| tell(Event::Trial(event)));
        tell(Event::TrialEnded { summary: summary(&result) });
        record.add(result)?;
    }
    Ok(())
}

/// The cached dataset, generated or adopted if need be; `None` where that was interrupted.
fn prepare_dataset(
    scenario: &Scenario,
    options: &Options,
    scratch: &Path,
    tell: &mut dyn FnMut(Event),
) -> Result<Option<Cached>> {
    let source = &scenario.dataset.source;
    let of = match source {
        Source::Generated(dataset) => dataset.rows,
        Source::Adopted(_) => 0,
    };
    let mut progress = |progress| {
        tell(match progress {
            cache::DatasetEvent::Rows(rows) => Event::Generating { rows, of },
            cache::DatasetEvent::Adopting => Event::Adopting,
            cache::DatasetEvent::Checking => Event::Checking,
            cache::DatasetEvent::Damaged => Event::Said("the cached dataset is damaged and is made anew".to_owned()),
        });
    };
    let cached = match cache::ensure(&options.work_dir, scratch, source, options.interrupt.flag(), &mut progress) {
        Ok(cached) => cached,
        Err(_) if options.interrupt.is_set() => return Ok(None),
        Err(error) => return Err(error.context("cannot prepare the dataset")),
    };
    let profile = scenario.load.mix.write_profile;
    if cached.manifest.aggregate.is_none() && profile.counts_in_total() {
        bail!(
            "load.write_profile = {profile}: it counts downloads in torrent_aggregate_metrics, which the database at \
            dataset.path does not have, as trackers of version 3 do not; expected tracker-3"
        );
    }
    Ok(Some(cached))
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{results::samples, snapshot::Strategy, sqlite::JournalMode};

    #[test]
    fn what_is_run_again_is_out_of_the_results_before_its_files_are_gone() {
        let out = tempfile::tempdir().unwrap();
        let of = |status, id: &str| {
            let kept = Path::new("kept").join(id);
            fs::create_dir_all(out.path().join(&kept)).unwrap();
            let trial = samples::trial(JournalMode::Wal, Strategy::Cp);
            TrialResult { status, id: id.to_owned(), kept_in: Some(kept), ..trial }
        };
        let trials = vec![of(Status::Completed, "a"), of(Status::Failed, "b-1"), of(Status::Interrupted, "b-2")];
        let names = |folder: &Path| {
            let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let saved = |only: &str| {
            let mut saved = Vec::new();
            let mut save = |results: &Results| {
                let ids: Vec<_> = results.trials.iter().map(|trial| trial.id.clone()).collect();
                saved.push((ids, names(&out.path().join("kept")).len()));
                Ok(())
            };
            let sitting = sitting(&samples::environment());
            let mut record = Record::new(samples::results(trials.clone()), sitting, Instant::now(), &mut save);
            record.leave_ended(&Only::new(vec![only.to_owned()]), out.path()).unwrap();
            (saved, names(&out.path().join("kept")))
        };
        assert_eq!(saved("a"), (vec![], vec!["a".into(), "b-1".into(), "b-2".into()]));
        let without = vec![(vec!["a".to_owned(), "b-2".to_owned()], 3)];
        assert_eq!(saved("b-1"), (without, vec!["a".into(), "b-2".into()]));
    }

    #[test]
    fn each_sitting_says_how_long_an_fsync_took() {
        let environment = |fsync_us_p50| Environment { fsync_us_p50, ..samples::environment() };
        let mut save = |_: &Results| Ok(());
        let mut results = samples::results(Vec::new());
        for fsync_us_p50 in [Some(100), None, Some(900)] {
            let mut record = Record::new(results, sitting(&environment(fsync_us_p50)), Instant::now(), &mut save);
            record.note();
            results = record.results;
        }
        let times: Vec<_> = results.sittings.entries().iter().map(|sitting| sitting.fsync_us_p50.known()).collect();
        assert_eq!(times, [Some(&Some(100)), Some(&None), Some(&Some(900))]);
    }
}

//! One trial, room by room: its files are prepared, connections are opened, the load is conducted, what was measured is
//! evaluated, the snapshots are judged, and the files are kept or removed. Trials of power losses and of kills have rooms
//! of their own (`power_loss`, `kill`).
//!
//! Whatever goes wrong is part of the result: each room adds its problems, and none hides another's. Which trials there are,
//! and what the results of a run say of all of them, is the business of [`crate::run`].

mod blank;
mod blocking;
mod commits;
mod conduct;
mod connect;
mod disk_watch;
mod evaluate;
mod event;
pub mod folder;
mod judge;
pub mod kill;
mod live_cache;
mod machine_log;
mod observation;
mod power_loss;
mod prepare;
mod recorder;
mod series;
mod silence;
mod snapshot_run;
mod steps;
mod task_runner;
mod ticker;
mod tracker;
mod transactions;
mod wal_sampler;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context as _, Result};

pub use event::{Event, Tick};

use blank::blank;
use commits::Commits;
use conduct::{Measurement, Order, conduct};
use connect::{Connections, connect};
use evaluate::{Figures, Measured};
use folder::TrialFolder;
use judge::Court;
use kill::KillTrial;
use power_loss::PowerLossTrial;
use snapshot_run::Job;
use steps::Steps;
use tracker::{Clients, Obligations};

use crate::{
    dataset::cache::Cached,
    history::{
        ledger::{Ledger, LedgerFile},
        replay::{self, State},
    },
    interrupt::Interrupt,
    machine::Machine,
    measure::OperationFailure,
    oracle::{self, JudgeError},
    results::{Problem, Recorded, Stage, Status, StepResult, TrackerResult, TrialResult},
    scenario::{Experiment, FilesPlan, KillPlan, PowerLossPlan, TargetPlan, TrialPlan},
    snapshot::{Procedure, Programs, Site},
    target::{
        Target,
        checkpoint::{self, Checkpoints},
    },
    work,
    workload::Workload,
};

/// What a trial needs beside its plan.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The dataset that it starts from.
    pub dataset: &'a Cached,
    /// The run's folder, in which it makes its own.
    pub folder: &'a Path,
    /// The folder in which its files are kept; removed where `None`.
    pub keep_in: Option<&'a Path>,
    /// The folder that results are written to: kept folders are named relative to it.
    pub out_dir: &'a Path,
    /// The programs that strategies run.
    pub programs: &'a Programs,
    /// The counters of the machine.
    pub machine: &'a Machine,
    /// Set to stop.
    pub interrupt: &'a Interrupt,
}

/// Runs a trial. Whatever goes wrong is part of the result; its files are removed, or kept where that was asked for.
pub fn run(context: &Context<'_>, plan: &TrialPlan, tell: &mut dyn FnMut(Event)) -> TrialResult {
    let mut result = blank(plan);
    let folder = TrialFolder::new(&context.folder.join(plan.id()));
    match jobs(context, plan, &folder) {
        Ok(jobs) => {
            let mut rooms = Rooms { context, plan, folder: &folder, result: &mut result, tell };
            match &plan.experiment {
                Experiment::Load => rooms.walk(jobs),
                Experiment::PowerLoss(power_loss) => rooms.lose_power(power_loss),
                Experiment::Kill(kill) => rooms.kill(kill),
            }
            finish(context, plan, &folder, &mut result);
        }
        Err(why) => (result.status, result.reason) = (Status::Skipped, Some(why)),
    }
    // The whole folder of the run is removed at its end in any case.
    let _ = fs::remove_dir_all(folder.path());
    result
}

/// Keeps the files, and says how the trial ended.
fn finish(context: &Context<'_>, plan: &TrialPlan, folder: &TrialFolder, result: &mut TrialResult) {
    if let Some(keep_in) = context.keep_in.filter(|_| folder.path().exists()) {
        match folder.keep(&keep_in.join(plan.id()), context.out_dir) {
            Ok(kept_in) => result.kept_in = Some(kept_in),
            Err(error) => add_problem(&mut result.problems, Stage::Keep, &work::explain_full(error, keep_in, None)),
        }
    }
    result.reason = result.problems.first().map(|problem| problem.message.clone());
    result.status = match (result.problems.is_empty(), context.interrupt.is_set()) {
        (false, _) => Status::Failed,
        (true, true) => Status::Interrupted,
        (true, false) => Status::Completed,
    };
}

/// Adds what went wrong. Work that was stopped by an interrupt is no problem.
fn add_problem(problems: &mut Vec<Problem>, stage: Stage, error: &anyhow::Error) {
    if !is_interrupt(error) {
        problems.push(Problem { stage, message: format!("{error:#}") });
    }
}

fn is_interrupt(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::Interrupted);
        let judge = matches!(cause.downcast_ref(), Some(JudgeError::Interrupted));
        io || judge
    })
}

/// What the strategy runs for every snapshot of the plan, or why it cannot run here.
fn jobs(context: &Context<'_>, plan: &TrialPlan, folder: &TrialFolder) -> Result<Vec<Job>, String> {
    let mut jobs = Vec::new();
    for number in 0..plan.timeline.snapshots() {
        let (live, own_folder) = (folder.live(), folder.snapshot(number));
        let site = Site {
            programs: context.programs,
            options: &plan.strategy_options,
            live: &live,
            folder: &own_folder,
            counted_sync_delay: plan.files.sync_delay(),
        };
        match plan.strategy.procedure(&site) {
            Procedure::Unavailable(why) => return Err(why),
            Procedure::Nothing => {}
            Procedure::Run(task) => {
                jobs.push(Job { number, portion: plan.strategy.definition().portion, task, folder: own_folder });
            }
        }
    }
    Ok(jobs)
}

/// The rooms of one trial, and the result that they fill.
struct Rooms<'a, 't> {
    context: &'a Context<'a>,
    plan: &'a TrialPlan,
    folder: &'a TrialFolder,
    result: &'a mut TrialResult,
    tell: &'t mut dyn FnMut(Event),
}

/// A trial whose load has ended.
struct LoadOutcome {
    measurement: Measurement,
    workload: Workload,
    ledger: PathBuf,
    /// When the times of the ledger begin, before operation 0 was due.
    offset_s: f64,
    steps: Steps,
    /// What the oracle may say of snapshots.
    obligations: Obligations,
}

/// What a load is about.
struct LoadSite<'a> {
    live: &'a Path,
    workload: &'a Workload,
    ledger: &'a Arc<Ledger>,
    steps: &'a Steps,
}

/// What the ledger says of a trial.
struct TrialHistory {
    history: LedgerFile,
    last: State,
}

impl Rooms<'_, '_> {
    /// Goes through the rooms, as far as they are open.
    fn walk(&mut self, jobs: Vec<Job>) {
        let Some(loaded) = self.load(jobs) else { return };
        // Before anything is read or moved, while the disk is about as full as the operations found it.
        let full = full_disk(&loaded.measurement, self.folder.path());
        self.evaluate_and_judge(&loaded);
        // The snapshots are judged all the same: what could not be committed is in no history.
        self.result.problems.extend(full);
    }

    fn evaluate_and_judge(&mut self, loaded: &LoadOutcome) {
        let history = self.evaluate(loaded);
        let steps = self.steps(loaded);
        let history = match history {
            Some(history) if self.result.problems.is_empty() => history,
            _ => return self.leave_unjudged(loaded, steps),
        };
        // Where commits are inferred, nothing is judged by them before the live database has borne them out.
        if loaded.obligations.are_inferred() {
            if loaded.obligations.knows_all() {
                self.check_live_database(&history);
            }
            if !self.result.problems.is_empty() {
                return self.leave_unjudged(loaded, steps);
            }
        }
        self.judge(loaded, &history, steps);
        self.note_lost_commits(&loaded.obligations);
        if !loaded.obligations.are_inferred() {
            self.check_live_database(&history);
        }
    }

    /// All that a trial of power losses does.
    fn lose_power(&mut self, power_loss: &PowerLossPlan) {
        let Context { dataset, programs, interrupt, .. } = *self.context;
        let folder = self.folder.path();
        let trial = PowerLossTrial { plan: self.plan, power_loss, dataset, programs, folder, interrupt };
        if self.plan.strategy.definition().takes_snapshots {
            (self.tell)(Event::Recording);
            self.result.copy_durability = self.note(Stage::Load, trial.copy());
        } else {
            let found = trial.run(self.tell);
            self.result.power_loss = self.note(Stage::Load, found);
        }
    }

    /// All that a trial of kills does.
    fn kill(&mut self, kill: &KillPlan) {
        let Context { dataset, programs, interrupt, .. } = *self.context;
        let folder = self.folder.path();
        let found = KillTrial { plan: self.plan, kill, dataset, programs, folder, interrupt }.run(self.tell);
        self.result.kill = self.note(Stage::Load, found);
    }

    /// Passes on what succeeded, and notes what did not.
    fn note<T>(&mut self, stage: Stage, outcome: Result<T>) -> Option<T> {
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                add_problem(&mut self.result.problems, stage, &work::explain_full(error, self.folder.path(), None));
                None
            }
        }
    }

    fn load(&mut self, jobs: Vec<Job>) -> Option<LoadOutcome> {
        let Context { dataset, interrupt, .. } = *self.context;
        (self.tell)(Event::Preparing);
        let prepared = prepare::prepare(self.plan, dataset, self.folder, &jobs, interrupt);
        self.note(Stage::Prepare, prepared)?;
        let live = self.folder.live();
        let workload = Workload::new(self.plan.worker_mix(), dataset.manifest.torrents(), self.plan.workload_seed);
        let ledger = Ledger::create(&self.folder.ledger()).context("cannot create the ledger");
        let ledger = self.note(Stage::Connect, ledger)?;
        let steps = Steps::new(&self.plan.steps, self.folder.backups(), interrupt);
        let site = LoadSite { live: &live, workload: &workload, ledger: &ledger, steps: &steps };
        let (measurement, obligations) = match &self.plan.target {
            TargetPlan::Sqlite => {
                let connections = connect(self.plan, &live, &ledger, &workload);
                let connections = self.note(Stage::Connect, connections)?;
                (self.measure(connections, jobs, &site), Obligations::none())
            }
            TargetPlan::Tracker { requests, .. } | TargetPlan::RunningTracker { requests, .. } => {
                let served = tracker::serve(self.plan, self.folder, interrupt);
                let served = self.note(Stage::Connect, served)?;
                let clients = Clients { plan: self.plan, requests: *requests, ledger: &ledger, workload: &workload };
                let connected = tracker::connect(served, &live, &clients, interrupt);
                let (connections, room) = self.note(Stage::Connect, connected)?;
                let measurement = self.measure(connections, jobs, &site);
                let finished = room.finish(&live, dataset.manifest.sequence, &ledger);
                let (found, obligations) = self.note(Stage::Load, finished)?;
                let writes_withheld = measurement.as_ref().map(Measurement::withheld);
                self.result.tracker = Some(TrackerResult { writes_withheld, ..found });
                (measurement, obligations)
            }
        };
        let closed = ledger.close().context("cannot close the ledger");
        let measurement = measurement?;
        self.note(Stage::Load, closed);
        let offset_s = measurement.start.saturating_duration_since(ledger.created()).as_secs_f64();
        let ledger = ledger.path().to_owned();
        Some(LoadOutcome { measurement, workload, ledger, offset_s, steps, obligations })
    }

    fn measure<T: Target>(
        &mut self,
        connections: Connections<T>,
        jobs: Vec<Job>,
        site: &LoadSite<'_>,
    ) -> Option<Measurement> {
        let Connections { streams, exchanges, background, checkpoints, writers, settings } = connections;
        self.result.settings = settings;
        let order = Order {
            plan: self.plan,
            workload: site.workload,
            streams,
            exchanges,
            background,
            ledger: site.ledger,
            writers: &writers,
            live: site.live,
            fincore: self.context.programs.fincore.as_deref(),
            jobs,
            steps: site.steps,
            machine: self.context.machine,
            interrupt: self.context.interrupt,
        };
        let measurement = conduct(order, self.tell);
        let mut measurement = self.note(Stage::Load, measurement)?;
        count_checkpoints(&mut measurement, checkpoints.as_ref());
        if let Some(fatal) = &measurement.fatal {
            self.result.problems.push(Problem { stage: Stage::Load, message: fatal.clone() });
        }
        Some(measurement)
    }

    fn evaluate(&mut self, loaded: &LoadOutcome) -> Option<TrialHistory> {
        let LoadOutcome { measurement, workload, .. } = loaded;
        self.result.wal_bytes_max = measurement.wal_bytes_max;
        self.result.disk_use = self.plan.target.has_own_database().then_some(measurement.disk_use);
        self.result.snapshots_not_taken = Recorded::Known(measurement.snapshots_not_taken);
        let holds_s = loaded.obligations.holds_s(measurement.start);
        let measured = Measured {
            segments: &measurement.segments,
            crossing_stalls_ms: &measurement.crossing_stalls_ms,
            silences: &measurement.silences,
            series: &measurement.series,
            client_timeout: self.plan.client_timeout,
            knows_stalls: !self.plan.mix.write_profile.has_listener(),
            unclear_s: &loaded.obligations.unclear_s(measurement.start),
            holds_s: &holds_s,
            knows_checkpoints: match self.plan.target {
                TargetPlan::Sqlite => self.plan.files != FilesPlan::Uncounted,
                TargetPlan::Tracker { .. } => true,
                TargetPlan::RunningTracker { .. } => false,
            },
            knows_io: self.plan.files != FilesPlan::Uncounted && self.plan.target == TargetPlan::Sqlite,
        };
        let none = || Commits::new(&evaluate::phases(&measurement.segments), &measurement.series, &holds_s);
        let read = count_commits(loaded, self.context.dataset, none());
        let read = self.note(Stage::Evaluate, read);
        let (commits, history) = read.map_or_else(|| (none(), None), |(commits, history)| (commits, Some(history)));
        let Figures { phases, horizons, silences, series, achieved_rate_ops, offered_rate_ops } =
            evaluate::evaluate(&measured, commits);
        let result = &mut *self.result;
        (result.phases, result.series, result.achieved_rate_ops) = (phases, series, achieved_rate_ops);
        result.horizons = horizons.into();
        result.silences = silences.into();
        // Where the rate changes, the average depends on how long the load lasted.
        if self.plan.conditions.offered_rate_ops.is_none() {
            result.offered_rate_ops = result.offered_rate_ops.map(|_| offered_rate_ops);
        }
        if measurement.fatal.is_none() && measurement.workers_left == 0 {
            let accounts =
                evaluate::check_accounts(&self.plan.streams, workload, &measurement.segments, &measurement.beyond);
            self.note(Stage::Evaluate, accounts.map_err(anyhow::Error::msg));
        }
        history
    }

    /// The results of the steps after each snapshot.
    fn steps(&mut self, loaded: &LoadOutcome) -> Vec<Vec<StepResult>> {
        let LoadOutcome { measurement, steps, .. } = loaded;
        let during_load = || measurement.snapshots.iter().map(|snapshot| snapshot.run.steps.clone()).collect();
        if steps.are_during_load() || measurement.fatal.is_some() {
            return during_load();
        }
        let of = measurement.snapshots.len();
        let candidates = measurement.snapshots.iter().map(|snapshot| snapshot.run.candidate());
        let results =
            steps.run_all(candidates, self.context.interrupt, |number| (self.tell)(Event::Steps { number, of }));
        self.note(Stage::Steps, results.map_err(anyhow::Error::from)).unwrap_or_else(during_load)
    }

    fn leave_unjudged(&mut self, loaded: &LoadOutcome, steps: Vec<Vec<StepResult>>) {
        let why = match self.result.problems.first() {
            Some(problem) => format!("the trial failed: {}", problem.message),
            None => JudgeError::Interrupted.to_string(),
        };
        self.result.snapshots = judge::leave_unjudged(self.plan, &loaded.measurement.snapshots, steps, &why);
    }

    fn judge(&mut self, loaded: &LoadOutcome, history: &TrialHistory, steps: Vec<Vec<StepResult>>) {
        let Context { dataset, keep_in, interrupt, .. } = *self.context;
        let court = Court {
            plan: self.plan,
            folder: self.folder,
            is_kept: keep_in.is_some(),
            start: &dataset.manifest,
            history: &history.history,
            obligations: &loaded.obligations,
            interrupt,
        };
        self.result.snapshots = judge::judge(&court, &loaded.measurement.snapshots, steps, self.tell);
    }

    /// How many of the commits during each snapshot a tracker never made.
    fn note_lost_commits(&mut self, obligations: &Obligations) {
        if obligations.are_inferred() && obligations.knows_all() {
            for run in self.result.snapshots.iter_mut().map(|snapshot| &mut snapshot.run) {
                run.commits_lost = Some(obligations.lost_between(run.commit_at_start, run.commit_at_end));
            }
        }
    }

    /// The harness's check of itself: the live database must be what the ledger says.
    fn check_live_database(&mut self, history: &TrialHistory) {
        (self.tell)(Event::Checking);
        let interrupt = self.context.interrupt;
        let found = oracle::content_digest(&self.folder.live(), interrupt.flag());
        if interrupt.is_set() {
            return;
        }
        let expected = history.last.digest;
        self.result.live_database_matches_ledger = Some(found == Ok(expected));
        let message = match found {
            Ok(digest) if digest == expected => return,
            Ok(_) => "the live database is not what the ledger says: its verdicts are not to be relied on".to_owned(),
            Err(damage) => format!("the live database cannot be compared with the ledger: {damage}"),
        };
        self.result.problems.push(Problem { stage: Stage::Check, message });
    }
}

/// Has all commits of a trial pass by that are known to have been made, and says what the ledger knows: the state after the last.
fn count_commits(loaded: &LoadOutcome, dataset: &Cached, mut commits: Commits) -> Result<(Commits, TrialHistory)> {
    let history = LedgerFile::open(&loaded.ledger)?;
    let last = replay::replay(&history, &dataset.manifest, |state| {
        if state.commit > 0 && !state.void && !loaded.obligations.is_unknown(state.commit) {
            commits.add(state.at_us as f64 / 1e6 - loaded.offset_s);
        }
    })?;
    Ok((commits, TrialHistory { history, last }))
}

/// That operations failed or writes were lost for want of room, where any were.
fn full_disk(measurement: &Measurement, folder: &Path) -> Option<Problem> {
    let tallies = || measurement.segments.iter().map(|segment| &segment.tally);
    let failures = tallies().flat_map(|tally| &tally.classes).map(|class| &class.failures);
    let failed: u64 = failures.filter_map(|failures| failures.get(&OperationFailure::DiskFull)).sum();
    let lost: u64 = tallies().map(|tally| tally.lost_to_full_disk).sum();
    let what = match (failed, lost) {
        (0, 0) => return None,
        (failed, 0) => format!("{failed} operations failed"),
        (0, lost) => format!("{lost} writes were lost"),
        (failed, lost) => format!("{failed} operations failed and {lost} writes were lost"),
    };
    let message = format!("{what} because the disk was full; {}", work::free_room(folder));
    Some(Problem { stage: Stage::Load, message })
}

/// Says of each snapshot what the checkpoint thread did meanwhile.
fn count_checkpoints(measurement: &mut Measurement, checkpoints: Option<&Checkpoints>) {
    let Some(checkpoints) = checkpoints else { return };
    for snapshot in &mut measurement.snapshots {
        let Some(wal) = &mut snapshot.observation.wal else { continue };
        let ended = snapshot.run.begun + snapshot.run.outcome.duration;
        let (count, pages) = checkpoint::checkpoints_between(checkpoints, snapshot.run.begun, ended);
        (wal.checkpoints, wal.checkpointed_pages) = (Some(count), Some(pages));
    }
}

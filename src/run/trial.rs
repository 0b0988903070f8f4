//! One trial: its database is prepared, measured under load while a snapshot is taken, and judged.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool, mpsc},
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{Advice, fadvise, syncfs};

use super::{
    Event, LEDGER_FILE, MANIFEST_FILE, Options, SNAPSHOTS_FOLDER,
    after::After,
    executing::Writers,
    judging,
    measured::{Measured, Plan, measure},
    recorder::{Phase, seconds},
    taking::Job,
};
use crate::{
    dataset::{Manifest, cache::Cached},
    ledger::{self, Ledger},
    load::{
        Background, Pace, Stream,
        background::{self, Checkpoints},
        database::{Database, MemoryCounts},
    },
    measure::SLICE_NS,
    oracle,
    pace::Schedule,
    random::mix,
    results::{Distribution, OperationResult, PhaseName, PhaseResult, Recorded, SeriesPoint, Status, TrialResult},
    scenario::{DatasetCopy, JITTER_S, PageCache, Scenario, Trial},
    snapshot::{Procedure, Site},
    sqlite, work,
    workload::{Kind, Workload, WriteProfile},
};

/// What a trial needs beside its own description.
pub struct Context<'a> {
    /// The scenario that it belongs to.
    pub scenario: &'a Scenario,
    /// The options of the run.
    pub options: &'a Options,
    /// The dataset that it starts from.
    pub dataset: &'a Cached,
    /// The run's folder.
    pub folder: &'a Path,
}

/// Runs a trial. Whatever goes wrong is part of the result; its files are removed, or kept where that was asked for.
pub fn run(context: &Context<'_>, trial: &Trial, tell: &mut dyn FnMut(Event)) -> TrialResult {
    let mut result = blank(context.scenario, trial);
    let folder = context.folder.join(trial.id());
    let outcome = run_in(&folder, context, trial, &mut result, tell);
    let interrupted = context.options.interrupt.is_set();
    (result.status, result.reason) = match outcome {
        _ if interrupted => (Status::Interrupted, None),
        Ok(Done::Completed) => (Status::Completed, None),
        Ok(Done::Skipped(why)) => (Status::Skipped, Some(why)),
        Err(error) => (Status::Failed, Some(format!("{error:#}"))),
    };
    if let Some(keep_in) = context.options.keep_in.as_ref().filter(|_| folder.exists()) {
        match keep(&folder, &keep_in.join(trial.id()), &context.options.out_dir) {
            Ok(kept_in) => result.kept_in = Some(kept_in),
            Err(error) => result.reason = Some(format!("cannot keep the files: {error:#}")),
        }
    }
    // The whole folder of the run is removed at its end in any case.
    let _ = fs::remove_dir_all(&folder);
    result
}

enum Done {
    Completed,
    Skipped(String),
}

fn run_in(
    folder: &Path,
    context: &Context<'_>,
    trial: &Trial,
    result: &mut TrialResult,
    tell: &mut dyn FnMut(Event),
) -> Result<Done> {
    let live = folder.join("live.db");
    let jobs = match jobs(context, trial, &live, &folder.join(SNAPSHOTS_FOLDER)) {
        Ok(jobs) => jobs,
        Err(why) => return Ok(Done::Skipped(why)),
    };
    tell(Event::Preparing);
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for job in &jobs {
        fs::create_dir_all(&job.folder).with_context(|| format!("cannot create {}", job.folder.display()))?;
    }
    // With the ledger it is all that judging a snapshot takes. That of an adopted database is large: it is written before
    // everything is synced.
    fs::write(folder.join(MANIFEST_FILE), serde_json::to_vec_pretty(&context.dataset.manifest)?)?;
    prepare(context, &live)?;
    let ledger = Ledger::create(&folder.join(LEDGER_FILE)).context("cannot create the ledger")?;
    let workload = workload(context, trial);
    let Connected { streams, background, checkpoints, writers, settings } =
        connect(context, trial, &live, &ledger, &workload)?;
    result.settings = settings;
    let steps = &context.scenario.keys.snapshots.after;
    let after = After::new(steps, folder.join("backups"), &context.options.interrupt);
    let mut measured = measure(
        Plan {
            scenario: context.scenario,
            workload: &workload,
            streams,
            background,
            ledger: &ledger,
            writers: &writers,
            live: live.clone(),
            journal_mode: trial.journal_mode,
            jobs,
            after: &after,
            jitter_s: context.scenario.jitter_s(trial),
            interrupt: &context.options.interrupt,
        },
        tell,
    )?;
    count_checkpoints(&mut measured, checkpoints.as_ref());
    evaluate(context, trial, result, Loaded { measured, workload, ledger, live, after }, tell)
}

/// Says of each snapshot what the checkpoint thread did meanwhile.
fn count_checkpoints(measured: &mut Measured, checkpoints: Option<&Checkpoints>) {
    let Some(checkpoints) = checkpoints else { return };
    for (taken, watched) in &mut measured.snapshots {
        let Some(wal) = &mut watched.wal else { continue };
        let ended = taken.begun + taken.outcome.duration;
        let (count, pages) = background::checkpoints_between(checkpoints, taken.begun, ended);
        (wal.checkpoints, wal.checkpointed_pages) = (Some(count), Some(pages));
    }
}

/// A trial whose load has ended.
struct Loaded {
    measured: Measured,
    workload: Workload,
    ledger: Arc<Ledger>,
    live: PathBuf,
    after: After,
}

/// Puts what was measured into the result, does the steps after the snapshots, and judges.
fn evaluate(
    context: &Context<'_>,
    trial: &Trial,
    result: &mut TrialResult,
    loaded: Loaded,
    tell: &mut dyn FnMut(Event),
) -> Result<Done> {
    let interrupt = &context.options.interrupt;
    let Loaded { mut measured, workload, ledger, live, after } = loaded;
    result.wal_bytes_max = measured.wal_bytes_max;
    let commits = commits(&ledger, &context.dataset.manifest, &measured)?;
    result.phases = measured.phases.iter().map(|phase| phase_result(phase, &commits.times_s)).collect();
    place(&measured.phases, &mut result.phases);
    result.series = series(&measured.series, &commits.times_s);
    result.achieved_rate_ops = achieved_rate_ops(&measured.phases);
    check_accounts(context.scenario, trial, &workload, &measured)?;
    if let Some(fatal) = measured.fatal {
        bail!(fatal);
    }
    if !after.is_during_load() {
        let of = measured.snapshots.len();
        let snapshots = measured.snapshots.iter_mut().map(|(taken, _)| taken);
        after.run_all(snapshots, interrupt, |number| tell(Event::AfterSteps { number, of }))?;
    }
    if interrupt.is_set() {
        return Ok(Done::Completed);
    }
    result.snapshots_not_taken = measured.snapshots_not_taken.into();
    result.snapshots = judging::judge(context, trial, &measured.snapshots, &ledger, tell)?;
    tell(Event::Checking);
    let matches = oracle::content_digest(&live, interrupt.flag()).is_ok_and(|digest| digest == commits.last.digest);
    result.live_database_matches_ledger = Some(matches);
    if !matches && !interrupt.is_set() {
        bail!("the live database is not what the ledger says: its verdicts are not to be relied on");
    }
    Ok(Done::Completed)
}

/// What the strategy runs for every snapshot of the schedule, or why it cannot run here.
fn jobs(context: &Context<'_>, trial: &Trial, live: &Path, folder: &Path) -> Result<Vec<Job>, String> {
    let mut jobs = Vec::new();
    for (number, at_s) in context.scenario.snapshot_times_s().into_iter().enumerate() {
        let folder = folder.join(number.to_string());
        let (programs, options) = (&context.options.programs, &context.scenario.keys.snapshots.options);
        match trial.strategy.procedure(&Site { programs, options, live, folder: &folder }) {
            Procedure::Unavailable(reason) => return Err(reason),
            Procedure::Nothing => {}
            Procedure::Run(task) => jobs.push(Job { number, at_s, task, folder }),
        }
    }
    Ok(jobs)
}

fn blank(scenario: &Scenario, trial: &Trial) -> TrialResult {
    TrialResult {
        id: trial.id(),
        journal_mode: trial.journal_mode,
        synchronous: trial.synchronous,
        strategy: trial.strategy,
        strategy_options: trial.strategy.options(&scenario.keys.snapshots.options),
        write_profile: scenario.keys.load.write_profile,
        repetition: trial.repetition,
        offered_rate_ops: trial.rate_ops.or_else(|| {
            let load_s = scenario.load_s() - JITTER_S + scenario.jitter_s(trial);
            scenario.rate(trial).map(|rate| rate.arrivals_until(load_s) / load_s)
        }),
        achieved_rate_ops: 0.0,
        status: Status::Failed,
        reason: None,
        problems: Vec::new(),
        kept_in: None,
        page_cache: scenario.keys.sqlite.page_cache,
        settings: BTreeMap::new(),
        wal_bytes_max: 0,
        live_database_matches_ledger: None,
        phases: Vec::new(),
        snapshots: Vec::new(),
        snapshots_not_taken: 0.into(),
        series: Vec::new(),
    }
}

/// Copies the dataset, writes it and everything else back to the disk, and brings it into the page cache or out of it.
///
/// Nothing has the database open yet, so that reading its file here takes nobody's locks away.
fn prepare(context: &Context<'_>, live: &Path) -> Result<()> {
    match context.scenario.keys.dataset.copy {
        DatasetCopy::Plain => work::copy(&context.dataset.path, live, context.options.interrupt.flag())?,
        DatasetCopy::Reflink => work::reflink(&context.dataset.path, live).context("dataset.copy = reflink")?,
    }
    let mut file = File::open(live)?;
    file.sync_all()?;
    // Waits for the writeback of the whole file system, so that none of it falls into the trial.
    syncfs(&file)?;
    match context.scenario.keys.sqlite.page_cache {
        PageCache::Warm => {
            let mut buffer = vec![0; 1 << 20];
            while file.read(&mut buffer)? > 0 {}
        }
        PageCache::Cold => fadvise(&file, 0, None, Advice::DontNeed)?,
    }
    Ok(())
}

fn workload(context: &Context<'_>, trial: &Trial) -> Workload {
    let torrents = context.dataset.manifest.torrents();
    // Repetitions do different operations; modes and strategies the same ones.
    let seed = mix(context.scenario.keys.load.seed ^ u64::from(trial.repetition));
    Workload::new(context.scenario.mix(), torrents, seed)
}

/// Everything that has the database open while the load runs.
struct Connected {
    streams: Vec<Stream<Database>>,
    background: Vec<Background>,
    /// What the checkpointer does, where there is one.
    checkpoints: Option<Checkpoints>,
    /// Who can be asked to stop, or to copy.
    writers: Writers,
    settings: BTreeMap<String, String>,
}

/// Opens every connection of the trial.
fn connect(
    context: &Context<'_>,
    trial: &Trial,
    live: &Path,
    ledger: &Arc<Ledger>,
    workload: &Workload,
) -> Result<Connected> {
    let keys = &context.scenario.keys;
    let settings = context.scenario.settings(trial);
    let counts = MemoryCounts::default();
    let (queue, queued) = mpsc::sync_channel(background::QUEUE_LENGTH);
    let with_listener = keys.load.write_profile == WriteProfile::Tracker4;
    let (writers, mut asked) = Writers::of(trial.strategy);
    let open = || -> Result<Database> {
        let mut connection = sqlite::open(live, &settings)?;
        let session = ledger.attach(&mut connection)?;
        let database = Database::new(connection, session, workload.torrents().clone(), keys.sqlite.transaction_mode);
        Ok(database.of_tracker(&counts, with_listener.then(|| queue.clone())).behind(writers.gate.clone()))
    };
    let mut streams = Vec::new();
    for kind in stream_kinds(context.scenario) {
        let connections = match kind {
            None => keys.load.pool_connections,
            Some(Kind::Announce) => keys.load.announce_connections,
            Some(Kind::Scrape) => keys.load.scrape_connections,
        };
        let mut backends = (0..connections).map(|_| open()).collect::<Result<Vec<_>>>()?;
        // It is the only one that writes: the scenario was refused otherwise.
        if kind != Some(Kind::Scrape)
            && let Some(asked) = asked.take()
            && let Some(writer) = backends.pop()
        {
            backends.push(writer.with_errands(asked));
        }
        let batch = context.scenario.batch().filter(|_| kind != Some(Kind::Scrape));
        let pace = schedule(context.scenario, trial, kind).map_or(Pace::Closed, Pace::Open);
        streams.push(Stream { kind, pace, batch, backends });
    }
    let mut background = Vec::new();
    let checkpoints = (keys.sqlite.checkpoint_thread_ms > 0).then(Checkpoints::default);
    if with_listener {
        // The listener ends when every queue's sender is gone, its own among them.
        background.push(background::listener(open()?.without_queue(), queued));
    }
    if let Some(checkpoints) = &checkpoints {
        let interval = Duration::from_millis(keys.sqlite.checkpoint_thread_ms);
        background.push(background::checkpointer(sqlite::open(live, &settings)?, interval, Arc::clone(checkpoints)));
    }
    let settings = sqlite::read_back(&sqlite::open(live, &settings)?)?;
    Ok(Connected { streams, background, checkpoints, writers, settings })
}

/// The streams of a scenario: one of each kind, or one of both.
fn stream_kinds(scenario: &Scenario) -> Vec<Option<Kind>> {
    if scenario.is_pooled() { vec![None] } else { Kind::ALL.map(Some).to_vec() }
}

/// When the operations of a stream are due; `None` in the closed loop.
fn schedule(scenario: &Scenario, trial: &Trial, kind: Option<Kind>) -> Option<Schedule> {
    let keys = &scenario.keys.load;
    let share = match kind {
        None => 1.0,
        Some(Kind::Announce) => keys.announce_share,
        Some(Kind::Scrape) => 1.0 - keys.announce_share,
    };
    let stream = kind.map_or(0, |kind| 1 + kind as u64);
    let seed = mix(mix(keys.seed ^ u64::from(trial.repetition)) ^ stream);
    let length_s = scenario.load_s() - JITTER_S + scenario.jitter_s(trial);
    let end_ns = (length_s * 1e9 / SLICE_NS as f64).round() * SLICE_NS as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "validated: not negative and small")]
    let end_ns = end_ns as u64;
    Some(Schedule::new(scenario.spread(), scenario.rate(trial)?.scaled(share), seed, end_ns))
}

/// The commits of a trial.
struct Commits {
    /// When each was made, in seconds from the start of the load, ascending.
    times_s: Vec<f64>,
    last: ledger::State,
}

fn commits(ledger: &Ledger, start: &Manifest, measured: &Measured) -> Result<Commits> {
    let offset_s = measured.start.saturating_duration_since(ledger.created()).as_secs_f64();
    let mut times_s = Vec::new();
    let last = ledger::replay(ledger.path(), start, |state| {
        if state.commit > 0 && !state.void {
            times_s.push(state.at_us as f64 / 1e6 - offset_s);
        }
    })?;
    Ok(Commits { times_s, last })
}

fn phase_result(phase: &Phase, commits_s: &[f64]) -> PhaseResult {
    let (from_s, to_s) = (seconds(phase.first_slice), seconds(phase.end_slice));
    let duration_s = to_s - from_s;
    let first = commits_s.partition_point(|at_s| *at_s < from_s);
    let end = commits_s.partition_point(|at_s| *at_s < to_s);
    let within = &commits_s[first..end.max(first)];
    // A stretch that reaches beyond a snapshot counts whole: a short one is not to look better than it was. What reaches
    // into the phases beside it is not theirs.
    let (before, after) = match phase.name {
        PhaseName::Snapshot => (
            first.checked_sub(1).and_then(|last| commits_s.get(last)).copied().unwrap_or(from_s),
            commits_s.get(end).copied().unwrap_or(to_s),
        ),
        PhaseName::Warmup | PhaseName::Baseline | PhaseName::Recovery => (from_s, to_s),
    };
    let edges: Vec<f64> = std::iter::once(before).chain(within.iter().copied()).chain([after]).collect();
    let tallies = || Kind::ALL.into_iter().zip(&phase.tally.kinds);
    PhaseResult {
        name: phase.name,
        started_s: from_s,
        duration_s,
        offered_rate_ops: phase.tally.counts().due() as f64 / duration_s,
        achieved_rate_ops: phase.completed as f64 / duration_s,
        offered_sql_per_s: phase.tally.asked.statements as f64 / duration_s,
        achieved_sql_per_s: phase.statements as f64 / duration_s,
        offered_commits_per_s: phase.tally.asked.commits as f64 / duration_s,
        achieved_commits_per_s: within.len() as f64 / duration_s,
        commits: within.len() as u64,
        longest_without_commit_s: edges.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max),
        generator_bound: Recorded::Unknown,
        operations: tallies().map(|(kind, tally)| OperationResult::new(kind, tally, &phase.tally.lag)).collect(),
        lag: Distribution::new(&phase.tally.lag, phase.tally.lag.len()),
    }
}

fn achieved_rate_ops(phases: &[Phase]) -> f64 {
    let reported = || phases.iter().filter(|phase| phase.name != PhaseName::Warmup);
    let length_s = seconds(reported().map(|phase| phase.end_slice - phase.first_slice).sum());
    if length_s == 0.0 { 0.0 } else { reported().map(|phase| phase.completed).sum::<u64>() as f64 / length_s }
}

/// Every operation that the schedules hold must have been accounted for, phase by phase and kind by kind. The closed loop
/// has no schedule.
fn check_accounts(scenario: &Scenario, trial: &Trial, workload: &Workload, measured: &Measured) -> Result<()> {
    if measured.fatal.is_some() {
        return Ok(());
    }
    let mut due = vec![[0; Kind::ALL.len()]; measured.phases.len()];
    for stream in stream_kinds(scenario) {
        let Some(mut schedule) = schedule(scenario, trial, stream) else { return Ok(()) };
        let mut phase = 0;
        for index in 0.. {
            let Some(slice) = schedule.due_ns(index).map(|due_ns| due_ns / SLICE_NS) else { break };
            while measured.phases.get(phase).is_some_and(|phase| slice >= phase.end_slice) {
                phase += 1;
            }
            let Some(counts) = due.get_mut(phase) else { break };
            counts[stream.unwrap_or_else(|| workload.kind(index)) as usize] += 1;
        }
    }
    for (phase, due) in measured.phases.iter().zip(due) {
        let accounted = phase.tally.kinds.each_ref().map(|kind| kind.counts.due());
        if due != accounted {
            bail!("{due:?} announces and scrapes were due in {}, but {accounted:?} are accounted for", phase.name);
        }
    }
    Ok(())
}

/// Places the snapshot's percentiles among those of baseline windows of the same length.
fn place(phases: &[Phase], results: &mut [PhaseResult]) {
    let Some(baseline) = phases.iter().find(|phase| phase.name == PhaseName::Baseline) else { return };
    for (phase, result) in phases.iter().zip(results).filter(|(phase, _)| phase.name == PhaseName::Snapshot) {
        let length = phase.end_slice - phase.first_slice;
        for operation in &mut result.operations {
            let range = (baseline.first_slice, baseline.end_slice);
            operation.placement = baseline.log.place(operation.kind, range, length, operation.response.p99_us);
        }
    }
}

/// The series with its commits.
fn series(points: &[SeriesPoint], commits_s: &[f64]) -> Vec<SeriesPoint> {
    let before = |second: u64| commits_s.partition_point(|at_s| *at_s < second as f64) as u64;
    let with_commits =
        |point: &SeriesPoint| SeriesPoint { commits: before(point.t_s + 1) - before(point.t_s), ..point.clone() };
    points.iter().map(with_commits).collect()
}

/// Moves a trial's folder to where it is kept, and says where that is, relative to the results.
fn keep(folder: &Path, kept: &Path, out_dir: &Path) -> Result<PathBuf> {
    if let Some(parent) = kept.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::rename(folder, kept) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            work::copy_folder(folder, kept, &AtomicBool::new(false))?;
        }
        moved => moved?,
    }
    Ok(kept.strip_prefix(out_dir).unwrap_or(kept).to_owned())
}

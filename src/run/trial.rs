//! One trial: its database is prepared, measured under load while a snapshot is taken, and judged.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::{Context as _, Result, bail};
use rustix::fs::{Advice, fadvise, syncfs};

use super::{
    Event, Options,
    measured::{Measured, Phase, Plan, Taken, measure},
};
use crate::{
    dataset::{Manifest, cache::Cached},
    ledger::{self, Ledger},
    load::{Stream, database::Database},
    measure::SLICE_NS,
    oracle::{self, Claim},
    pace::Schedule,
    random::mix,
    results::{
        Distribution, Evidence, FileLeft, OperationResult, PhaseName, PhaseResult, SnapshotResult, Status, TrialResult,
        generator_bound,
    },
    scenario::{PageCache, Scenario, Trial},
    snapshot::{self, SNAPSHOT_FILE},
    sqlite::{self, Settings},
    work,
    workload::{Kind, Workload},
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
    let snapshot_folder = folder.join("snapshots").join("0");
    let snapshot = match trial.strategy.plan(&context.options.programs, &live, &snapshot_folder) {
        snapshot::Plan::Skip(why) => return Ok(Done::Skipped(why)),
        snapshot::Plan::Nothing => None,
        snapshot::Plan::Run(command) => Some((command, snapshot_folder.join(SNAPSHOT_FILE))),
    };
    tell(Event::Preparing);
    fs::create_dir_all(&snapshot_folder).with_context(|| format!("cannot create {}", snapshot_folder.display()))?;
    prepare(context, &live)?;
    // With the ledger it is all that judging a snapshot takes.
    fs::write(folder.join("dataset.json"), serde_json::to_vec_pretty(&context.dataset.manifest)?)?;
    let ledger = Ledger::create(&folder.join("ledger")).context("cannot create the ledger")?;
    let workload = workload(context, trial);
    let (streams, settings) = connect(context, trial, &live, &ledger, &workload)?;
    result.settings = Some(settings);
    let measured = measure(
        Plan {
            scenario: context.scenario,
            workload: &workload,
            streams,
            ledger: &ledger,
            live: live.clone(),
            snapshot,
            interrupt: &context.options.interrupt,
        },
        tell,
    )?;
    result.wal_bytes_max = measured.wal_bytes_max;
    let commits = commits(&ledger, &context.dataset.manifest, &measured)?;
    result.phases = measured.phases.iter().map(|phase| phase_result(phase, &commits.times_s)).collect();
    result.achieved_rate_ops = achieved_rate_ops(&measured.phases);
    check_accounts(context.scenario, trial, &measured)?;
    if let Some(fatal) = measured.fatal {
        bail!(fatal);
    }
    if context.options.interrupt.is_set() {
        return Ok(Done::Completed);
    }
    tell(Event::Judging);
    if let Some(taken) = &measured.snapshot {
        result.snapshots.push(judge(context, trial, taken, &snapshot_folder, &ledger)?);
    }
    let flag = context.options.interrupt.flag();
    let matches = oracle::content_digest(&live, flag).is_ok_and(|digest| digest == commits.last.digest);
    result.live_database_matches_ledger = Some(matches);
    if !matches && !context.options.interrupt.is_set() {
        bail!("the live database is not what the ledger says: its verdicts are not to be relied on");
    }
    Ok(Done::Completed)
}

fn blank(scenario: &Scenario, trial: &Trial) -> TrialResult {
    TrialResult {
        id: trial.id(),
        journal_mode: trial.journal_mode,
        synchronous: trial.synchronous,
        strategy: trial.strategy,
        strategy_options: trial.strategy.options(),
        write_profile: scenario.keys.load.write_profile,
        repetition: trial.repetition,
        offered_rate_ops: trial.rate_ops,
        achieved_rate_ops: 0.0,
        status: Status::Failed,
        reason: None,
        kept_in: None,
        page_cache: scenario.keys.sqlite.page_cache,
        settings: None,
        wal_bytes_max: 0,
        live_database_matches_ledger: None,
        phases: Vec::new(),
        snapshots: Vec::new(),
    }
}

/// Copies the dataset, writes it and everything else back to the disk, and brings it into the page cache or out of it.
///
/// Nothing has the database open yet, so that reading its file here takes nobody's locks away.
fn prepare(context: &Context<'_>, live: &Path) -> Result<()> {
    work::copy(&context.dataset.path, live, context.options.interrupt.flag())?;
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
    let torrents = context.dataset.manifest.dataset.torrents();
    // Repetitions do different operations; modes and strategies the same ones.
    let seed = mix(context.scenario.keys.load.seed ^ u64::from(trial.repetition));
    Workload::new(context.scenario.mix(), torrents, seed)
}

/// Opens every connection of the trial.
fn connect(
    context: &Context<'_>,
    trial: &Trial,
    live: &Path,
    ledger: &Arc<Ledger>,
    workload: &Workload,
) -> Result<(Vec<Stream<Database>>, Settings)> {
    let keys = &context.scenario.keys;
    let settings = context.scenario.settings(trial);
    let mut streams = Vec::new();
    for kind in Kind::ALL {
        let connections = match kind {
            Kind::Announce => keys.load.announce_connections,
            Kind::Scrape => keys.load.scrape_connections,
        };
        let mut backends = Vec::new();
        for _ in 0..connections {
            let mut connection = sqlite::open(live, &settings)?;
            let session = ledger.attach(&mut connection)?;
            backends.push(Database::new(connection, session, *workload.torrents()));
        }
        let schedule = schedule(context.scenario, trial, kind);
        streams.push(Stream { kind, schedule, backends });
    }
    Ok((streams, settings))
}

/// When the operations of a kind are due.
fn schedule(scenario: &Scenario, trial: &Trial, kind: Kind) -> Schedule {
    let keys = &scenario.keys.load;
    let share = match kind {
        Kind::Announce => keys.announce_share,
        Kind::Scrape => 1.0 - keys.announce_share,
    };
    let seed = mix(keys.seed ^ u64::from(trial.repetition)) ^ kind as u64;
    let end_ns = (scenario.load_s() * 1e9 / SLICE_NS as f64).round() * SLICE_NS as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "validated: not negative and small")]
    Schedule::new(keys.arrivals, trial.rate_ops * share, seed, end_ns as u64)
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
    let seconds = |slices: u64| (slices * SLICE_NS) as f64 / 1e9;
    let (from_s, to_s) = (seconds(phase.first_slice), seconds(phase.end_slice));
    let duration_s = to_s - from_s;
    let first = commits_s.partition_point(|at_s| *at_s < from_s);
    let end = commits_s.partition_point(|at_s| *at_s < to_s);
    let within = &commits_s[first..end.max(first)];
    let edges = std::iter::once(from_s).chain(within.iter().copied()).chain(std::iter::once(to_s));
    let edges: Vec<f64> = edges.collect();
    let tallies = || Kind::ALL.into_iter().zip(&phase.tally.kinds);
    PhaseResult {
        name: phase.name,
        started_s: from_s,
        duration_s,
        offered_rate_ops: phase.tally.counts().due() as f64 / duration_s,
        achieved_rate_ops: phase.completed as f64 / duration_s,
        offered_sql_per_s: phase.tally.asked.statements as f64 / duration_s,
        achieved_sql_per_s: phase.tally.statements as f64 / duration_s,
        offered_commits_per_s: phase.tally.asked.commits as f64 / duration_s,
        achieved_commits_per_s: within.len() as f64 / duration_s,
        commits: within.len() as u64,
        longest_without_commit_s: edges.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max),
        generator_bound: generator_bound(&phase.tally),
        operations: tallies().map(|(kind, tally)| OperationResult::new(kind, tally)).collect(),
        lag: Distribution::new(&phase.tally.lag, phase.tally.lag.len()),
    }
}

fn achieved_rate_ops(phases: &[Phase]) -> f64 {
    let reported = || phases.iter().filter(|phase| phase.name != PhaseName::Warmup);
    let seconds = reported().map(|phase| (phase.end_slice - phase.first_slice) * SLICE_NS).sum::<u64>() as f64 / 1e9;
    if seconds == 0.0 { 0.0 } else { reported().map(|phase| phase.completed).sum::<u64>() as f64 / seconds }
}

/// Every operation that the schedule holds must have been accounted for, phase by phase and kind by kind.
fn check_accounts(scenario: &Scenario, trial: &Trial, measured: &Measured) -> Result<()> {
    if measured.fatal.is_some() {
        return Ok(());
    }
    for (index, kind) in Kind::ALL.into_iter().enumerate() {
        let mut schedule = schedule(scenario, trial, kind);
        let mut dues = (0..).map_while(|operation| schedule.due_ns(operation)).peekable();
        for phase in &measured.phases {
            let mut due = 0;
            while dues.next_if(|due_ns| due_ns / SLICE_NS < phase.end_slice).is_some() {
                due += 1;
            }
            let accounted = phase.tally.kinds[index].counts.due();
            if due != accounted {
                bail!("{due} {kind}s were due in {}, but {accounted} are accounted for", phase.name);
            }
        }
    }
    Ok(())
}

/// Judges the snapshot in its folder.
fn judge(
    context: &Context<'_>,
    trial: &Trial,
    taken: &Taken,
    folder: &Path,
    ledger: &Ledger,
) -> Result<SnapshotResult> {
    let files = work::files_in(folder)?;
    let files: Vec<_> = files
        .iter()
        .map(|file| FileLeft {
            name: file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            bytes: work::file_bytes(file),
        })
        .collect();
    // Judging changes the files, so what is kept is set aside first.
    let judged = folder.with_file_name("judged");
    if context.options.keep_in.is_some() {
        work::copy_folder(folder, &judged, context.options.interrupt.flag())?;
    } else {
        fs::rename(folder, &judged)?;
    }
    let inspection = oracle::inspect(&judged.join(SNAPSHOT_FILE), context.options.interrupt.flag())?;
    fs::remove_dir_all(&judged)?;
    let ended_us = taken.ended_at.saturating_duration_since(ledger.created()).as_micros();
    let claim = Claim {
        finished: taken.ended.succeeded(),
        commit_at_start: taken.commit_at_start,
        commit_at_end: taken.commit_at_end,
        ended_us: u64::try_from(ended_us).unwrap_or(u64::MAX),
    };
    let (integrity, quick) = (inspection.integrity_check.clone(), inspection.quick_check.clone());
    let mut judgements = oracle::judge(ledger.path(), &context.dataset.manifest, &[(claim, inspection)])?;
    let judgement = judgements.pop().context("the oracle gave no answer")??;
    Ok(SnapshotResult {
        strategy: trial.strategy,
        started_s: taken.started_ns as f64 / 1e9,
        duration_s: taken.ended.duration.as_secs_f64(),
        deadline_s: context.scenario.keys.snapshots.deadline_s,
        exit_status: taken.ended.exit_status(),
        error: taken.ended.error(),
        bytes: files.iter().map(|file| file.bytes).sum(),
        files,
        restarts: taken.progress.map(|progress| progress.restarts),
        verdict: Some(judgement.verdict),
        silent_failure: judgement.is_silent_failure(&claim, &integrity),
        evidence: Evidence {
            reason: judgement.reason,
            left_behind: judgement.left_behind,
            age_commits: judgement.age_commits,
            age_s: judgement.age_s,
            digest: judgement.digest,
            progress: taken.progress.and_then(snapshot::copy::Progress::done),
        },
        integrity_check: Some(integrity.answer),
        integrity_check_s: Some(integrity.duration_s),
        quick_check: Some(quick.answer),
        quick_check_s: Some(quick.duration_s),
        commit: judgement.commit,
        commit_at_start: taken.commit_at_start,
        commit_at_end: taken.commit_at_end,
    })
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

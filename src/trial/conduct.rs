//! The third room of a trial: load from warm-up to recovery, and the snapshots in its middle.
//!
//! One task conducts: it moves from phase to phase, takes one snapshot after the other, and folds the workers' slices into
//! the tally of the phase that they lie in. The last is exact: phases begin and end between slices, at times that are
//! known from the start or, around the end of a snapshot, lie ahead when they are chosen, so whatever has happened lies in
//! a phase that is known. The load ends when the last snapshot, what is to follow it and the last horizon have.

use std::{
    cell::{Cell, RefCell},
    path::{Path, PathBuf},
    pin::Pin,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    disk_watch::DiskWatch,
    event::Event,
    folder,
    machine_log::MachineLog,
    observation::{Observation, RunningSnapshot},
    recorder::{Part, Recorder, Segment},
    series::SLICES_PER_SECOND,
    snapshot_run::{self, Job, SnapshotRun, Surroundings},
    steps::Steps,
    task_runner::Writers,
    ticker::{Look, Ticker},
    wal_sampler::{SAMPLE_INTERVAL, WalSample, WalSampler},
};
use crate::{
    history::ledger::Ledger,
    interrupt::Interrupt,
    load::{ExchangeStream, Load, Stream},
    machine::Machine,
    measure::{SLICE_NS, Tally},
    results::{DiskUse, FilesBeside, PartName, PhaseName, SeriesPoint, Silence},
    scenario::{Timeline, TrialPlan},
    snapshot::CopyProgress,
    sqlite::JournalMode,
    target::{Background, Target},
    workload::Workload,
};

/// How long operations in flight may take to end after an interrupt.
const INTERRUPT_PATIENCE: Duration = Duration::from_secs(1);

/// What to conduct.
pub struct Order<'a, T> {
    /// Times, limits and journal mode.
    pub plan: &'a TrialPlan,
    /// The operations.
    pub workload: &'a Workload,
    /// When they are due and what executes them.
    pub streams: Vec<Stream<T>>,
    /// Those over a network.
    pub exchanges: Vec<ExchangeStream>,
    /// What works beside them.
    pub background: Vec<Background>,
    /// Where commits are recorded.
    pub ledger: &'a Ledger,
    /// Who can be asked to stop, or to copy.
    pub writers: &'a Writers,
    /// The live database.
    pub live: &'a Path,
    /// The program that says how much of it is in memory, where it is installed.
    pub fincore: Option<&'a Path>,
    /// The snapshots to take, in time order; none in a trial of the control.
    pub jobs: Vec<Job>,
    /// What is done with each of them afterwards.
    pub steps: &'a Steps,
    /// The counters of the machine.
    pub machine: &'a Machine,
    /// Set to stop.
    pub interrupt: &'a Interrupt,
}

/// What was measured.
pub struct Measurement {
    /// The parts of the load, in time order.
    pub segments: Vec<Segment>,
    /// Stalls that reach from one part into another, in milliseconds from the start of the load.
    pub crossing_stalls_ms: Vec<(u64, u64)>,
    /// The longest times after the warm-up in which nobody was served.
    pub silences: Vec<Silence>,
    /// Operations that were due after the end of the load, and begun all the same before it had stopped.
    pub beyond: Tally,
    /// The snapshots that were taken, in time order.
    pub snapshots: Vec<SnapshotMeasurement>,
    /// Snapshots whose turn did not come, because those before them took too long.
    pub snapshots_not_taken: u64,
    /// When operation 0 was due.
    pub start: Instant,
    /// Largest size of the WAL that was seen.
    pub wal_bytes_max: u64,
    /// The most that the files took of the disk.
    pub disk_use: DiskUse,
    /// How it went over time; commits are not filled in.
    pub series: Vec<SeriesPoint>,
    /// Why the load could not go on, if it could not.
    pub fatal: Option<String>,
    /// Workers that were still executing when they were no longer waited for: their operations are in no account.
    pub workers_left: usize,
}

impl Measurement {
    /// Operations that were not asked for before the load ended, because the harness had held their stream.
    pub fn withheld(&self) -> u64 {
        let classes = self.segments.iter().flat_map(|segment| &segment.tally.classes);
        classes.map(|class| class.withheld).fold(0, u64::saturating_add)
    }
}

/// A snapshot, and what was seen of it from outside.
pub struct SnapshotMeasurement {
    /// What taking it came to.
    pub run: SnapshotRun,
    /// What was seen meanwhile and afterwards.
    pub observation: Observation,
}

/// Measures. Returns when the load has ended.
///
/// # Errors
/// When there is no runtime to wait with.
pub fn conduct<T: Target>(order: Order<'_, T>, tell: &mut dyn FnMut(Event)) -> Result<Measurement> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(conduct_async(order, tell)))
}

async fn conduct_async<T: Target>(order: Order<'_, T>, tell: &mut dyn FnMut(Event)) -> Measurement {
    let Order { plan, workload, streams, exchanges, background, interrupt, .. } = order;
    let timeline = &plan.timeline;
    let mut load = Load::start_with(streams, exchanges, background, workload, plan.client_timeout);
    let start = load.start_instant();
    let (progress, turns) = (Cell::new(None), RefCell::default());
    let around = Surroundings {
        start,
        ledger: order.ledger,
        writers: order.writers,
        live: order.live,
        fincore: order.fincore,
        progress: &progress,
        turns: &turns,
        syncs: plan.syncs,
        free_bytes_min: plan.free_bytes_min,
        steps: order.steps,
        load_end: start + Duration::from_nanos(timeline.end_slice() * SLICE_NS),
    };
    let mut recorder = Recorder::new(start, timeline.end_slice(), plan.client_timeout);
    recorder.begin(Part::Baseline, timeline.baseline_slice());
    recorder.begin(Part::Recovery, timeline.baseline_end_slice());
    let mut queue = Queue { jobs: order.jobs.into_iter(), timeline };
    if queue.jobs.len() == 0 {
        begin_control(&mut recorder, timeline);
    }
    let mut running = queue.next(&mut recorder, around, 0);
    let mut watch = Watch::new(order.live, order.ledger.path(), plan.settings.journal_mode);
    let mut machine = MachineLog::begin(recorder.points.width_s(), order.machine.read());
    let mut ticker = Ticker::new(order.live, timeline.end_slice());
    let mut ticks = interval(SAMPLE_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut finished = None;
        tokio::select! {
            biased;
            run = Running::end(&mut running) => finished = Some(run),
            () = interrupt.wait() => {}
            _ = ticks.tick() => {}
        }
        let now = current_slice(&load);
        let seen = running.as_ref().and_then(|running| running.seen(now, progress.get()));
        let wal_bytes = watch.look(now, recorder.phase_at(now), seen);
        recorder.points.note(now, wal_bytes, || load.backlog());
        recorder.points.note_files(now, watch.look_at_disk(now));
        machine.note(now / SLICES_PER_SECOND, || order.machine.read());
        ticker.show(&mut recorder, &Look { now, wal_bytes, running: seen }, tell);
        turns.borrow_mut().drain(..).for_each(|(part, first_slice)| recorder.begin(Part::Of(part), first_slice));
        if let Some(run) = finished {
            watch.end_snapshot(now, run);
            recorder.begin(Part::Of(PartName::Settle), now + 1);
            let begun = running.take().map_or(now, |running| running.first_slice);
            running = queue.next(&mut recorder, around, now + 1);
            if running.is_none() {
                recorder.close(timeline.end_after(begun, now + 1));
            }
        }
        load.drain(|slice| recorder.add(slice));
        let is_over = now >= recorder.end() && running.is_none();
        if is_over || interrupt.is_set() || load.fatal().is_some() {
            break;
        }
    }
    // Kills the child process, where one still runs.
    drop(running);
    recorder.close(current_slice(&load) + 1);
    recorder.points.note_end(watch.last.file_bytes, load.backlog());
    let (fatal, workers_left) = finish(load, &mut recorder, plan, interrupt.is_set());
    let snapshots_not_taken = queue.jobs.len() as u64;
    Measurement { fatal, workers_left, ..measurement(recorder, watch, machine, snapshots_not_taken, start) }
}

/// Stops the load, waits for what is in flight, and says why it could not go on or did not end, and how many workers had
/// not ended.
fn finish(load: Load, recorder: &mut Recorder, plan: &TrialPlan, is_interrupted: bool) -> (Option<String>, usize) {
    let fatal = load.fatal();
    // What is due in the current slice may have been added already.
    load.stop(recorder.close(current_slice(&load) + 1) * SLICE_NS);
    let patience = if is_interrupted { INTERRUPT_PATIENCE } else { drain_patience(plan) };
    let stuck = load.finish(patience, |slice| recorder.add(slice));
    recorder.finish();
    let is_stuck = stuck > 0 && !is_interrupted;
    let patience_s = patience.as_secs();
    (fatal.or(is_stuck.then(|| format!("{stuck} threads had not ended {patience_s} s after the load"))), stuck)
}

fn measurement(
    recorder: Recorder,
    watch: Watch,
    machine: MachineLog,
    snapshots_not_taken: u64,
    start: Instant,
) -> Measurement {
    let Recorder { segments, points, crossing_stalls_ms, silences, beyond, .. } = recorder;
    let mut series = points.finish();
    machine.fill(&mut series);
    Measurement {
        segments,
        crossing_stalls_ms,
        silences: silences.longest(),
        beyond,
        snapshots: watch.snapshots,
        snapshots_not_taken,
        start,
        wal_bytes_max: watch.wal_bytes_max,
        disk_use: watch.disk.seen(),
        series,
        fatal: None,
        workers_left: 0,
    }
}

/// The snapshots that are still to be taken, in time order.
struct Queue<'a> {
    jobs: std::vec::IntoIter<Job>,
    timeline: &'a Timeline,
}

/// The control takes no snapshot; its horizons begin when others would.
fn begin_control(recorder: &mut Recorder, timeline: &Timeline) {
    let last = timeline.snapshot_slices().last().copied().unwrap_or_default();
    for first_slice in timeline.snapshot_slices() {
        recorder.begin_horizon(PartName::Settle, *first_slice, timeline.horizon_slices());
    }
    recorder.close(timeline.end_after(last, last));
}

impl Queue<'_> {
    /// The next snapshot and its phase, not before the slice `earliest`; none where no time is left for it.
    fn next<'a>(&mut self, recorder: &mut Recorder, around: Surroundings<'a>, earliest: u64) -> Option<Running<'a>> {
        let number = self.jobs.as_slice().first()?.number;
        let turn = self.timeline.turn(number, earliest)?;
        let job = self.jobs.next()?;
        recorder.begin_horizon(PartName::Copy, turn.first_slice, self.timeline.horizon_slices());
        let (first_slice, out) = (turn.first_slice, folder::main_file(&job.folder));
        Some(Running { first_slice, out, run: Box::pin(snapshot_run::take(job, turn, around)) })
    }
}

/// The snapshot that runs, or waits for its time.
struct Running<'a> {
    /// The slice in which it begins.
    first_slice: u64,
    /// The file that it makes.
    out: PathBuf,
    run: Pin<Box<dyn Future<Output = SnapshotRun> + 'a>>,
}

impl Running<'_> {
    /// What there is to see of it in a slice; nothing before it begins.
    fn seen(&self, now: u64, said: Option<CopyProgress>) -> Option<RunningSnapshot<'_>> {
        let Self { first_slice, out, .. } = self;
        (*first_slice <= now).then_some(RunningSnapshot { first_slice: *first_slice, out, said })
    }

    /// Waits for its end; for ever where there is none.
    async fn end(running: &mut Option<Self>) -> SnapshotRun {
        match running {
            Some(running) => running.run.as_mut().await,
            None => std::future::pending().await,
        }
    }
}

/// Looks at the WAL and at the snapshots, and keeps what it has seen of each.
struct Watch {
    /// `None` in the rollback modes.
    sampler: Option<WalSampler>,
    last: WalSample,
    /// Most that was in use in the baseline.
    baseline_used_bytes: u64,
    wal_bytes_max: u64,
    disk: DiskWatch,
    /// Of the snapshot that runs.
    current: Option<Observation>,
    /// Those that have ended.
    snapshots: Vec<SnapshotMeasurement>,
}

impl Watch {
    fn new(live: &Path, ledger: &Path, journal_mode: JournalMode) -> Self {
        Self {
            sampler: journal_mode.has_wal().then(|| WalSampler::new(live)),
            last: WalSample::default(),
            baseline_used_bytes: 0,
            wal_bytes_max: 0,
            disk: DiskWatch::new(live, ledger),
            current: None,
            snapshots: Vec::new(),
        }
    }

    /// Takes one look, and returns the size of the WAL.
    fn look(&mut self, now: u64, phase: PhaseName, running: Option<RunningSnapshot<'_>>) -> u64 {
        let sample = self.sampler.as_ref().map(WalSampler::sample).unwrap_or_default();
        let before = std::mem::replace(&mut self.last, sample);
        self.wal_bytes_max = self.wal_bytes_max.max(sample.file_bytes);
        match phase {
            PhaseName::Baseline => self.baseline_used_bytes = self.baseline_used_bytes.max(sample.used_bytes),
            PhaseName::Warmup | PhaseName::Snapshot | PhaseName::Recovery => {}
        }
        if running.is_some() && self.current.is_none() {
            self.current = Some(self.begin(before));
        }
        let latest = self.current.as_mut().or(self.snapshots.last_mut().map(|snapshot| &mut snapshot.observation));
        if let Some(observation) = latest {
            observation.note_wal(now, before, sample, self.baseline_used_bytes);
            if let Some(running) = running {
                observation.note_progress(now, running);
            }
        }
        sample.file_bytes
    }

    /// Looks at the files beside the database; the last look at the WAL is not long ago.
    fn look_at_disk(&mut self, now: u64) -> FilesBeside {
        self.disk.look(now / SLICES_PER_SECOND, self.last)
    }

    fn begin(&self, before: WalSample) -> Observation {
        Observation::begin(self.sampler.as_ref().map(|_| before))
    }

    /// The snapshot that was watched has ended in this slice.
    fn end_snapshot(&mut self, now: u64, run: SnapshotRun) {
        // One that ended before the first look at it was seen by none.
        let mut observation = self.current.take().unwrap_or_else(|| self.begin(self.last));
        observation.end(now);
        // A copy takes the most when it is whole.
        self.disk.sum();
        self.snapshots.push(SnapshotMeasurement { run, observation });
    }
}

/// Everything in flight ends by itself: its client gives up, and SQLite's last try takes a busy timeout at most.
fn drain_patience(plan: &TrialPlan) -> Duration {
    let busy_ms = u64::try_from(plan.settings.busy_timeout_ms).unwrap_or(0);
    plan.client_timeout + Duration::from_millis(busy_ms) * 2 + Duration::from_secs(30)
}

fn current_slice(load: &Load) -> u64 {
    load.elapsed_ns() / SLICE_NS
}

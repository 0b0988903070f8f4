//! The measured part of a trial: load from warm-up to recovery, and the snapshots in its middle.
//!
//! One task conducts: it moves from phase to phase, takes one snapshot after the other, and folds the workers' slices into
//! the tally of the phase that they lie in. The last is exact: phases begin and end between slices, at times that are
//! known from the start or, around the end of a snapshot, lie ahead when they are chosen, so whatever has happened lies in
//! a phase that is known. The load lasts as long whatever the snapshots do.

use std::{
    cell::Cell,
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    Event,
    after::After,
    display::{Display, Look},
    executing::Writers,
    recorder::{Phase, Recorder, slices},
    taking::{self, Around, Job, Queue, Taken},
    watch::{self, Watch, Watched},
};
use crate::{
    interrupt::Interrupt,
    ledger::Ledger,
    load::{Backend, Background, Load, Stream},
    measure::SLICE_NS,
    results::{PhaseName, SeriesPoint},
    scenario::Scenario,
    snapshot::CopyProgress,
    sqlite::JournalMode,
    workload::Workload,
};

/// How often the conductor looks.
const TICK: Duration = Duration::from_millis(20);
/// How long operations in flight may take to end after an interrupt.
const INTERRUPT_PATIENCE: Duration = Duration::from_secs(1);

/// What to measure.
pub struct Plan<'a, B> {
    /// Phases and timeouts.
    pub scenario: &'a Scenario,
    /// The operations.
    pub workload: &'a Workload,
    /// When they are due and what executes them.
    pub streams: Vec<Stream<B>>,
    /// What works beside them.
    pub background: Vec<Background>,
    /// Where commits are recorded.
    pub ledger: &'a Arc<Ledger>,
    /// Who can be asked to stop, or to copy.
    pub writers: &'a Writers,
    /// The live database.
    pub live: PathBuf,
    /// Its journal mode.
    pub journal_mode: JournalMode,
    /// The snapshots to take, in time order.
    pub jobs: Vec<Job>,
    /// What is done with each of them afterwards.
    pub after: &'a After,
    /// By how much the baseline is longer than the scenario says, in seconds.
    pub jitter_s: f64,
    /// Set to stop.
    pub interrupt: &'a Interrupt,
}

/// What was measured.
pub struct Measured {
    /// In time order.
    pub phases: Vec<Phase>,
    /// The snapshots that were taken, in time order.
    pub snapshots: Vec<(Taken, Watched)>,
    /// Snapshots whose turn did not come, because those before them took too long.
    pub snapshots_not_taken: u64,
    /// When operation 0 was due.
    pub start: Instant,
    /// Largest size of the WAL that was seen.
    pub wal_bytes_max: u64,
    /// One for each second; commits are not filled in.
    pub series: Vec<SeriesPoint>,
    /// Why the trial failed, if it did.
    pub fatal: Option<String>,
}

/// Measures. Returns when the load has ended.
///
/// # Errors
/// When there is no runtime to wait with.
pub fn measure<B: Backend>(plan: Plan<'_, B>, tell: &mut dyn FnMut(Event)) -> Result<Measured> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(conduct(plan, tell)))
}

async fn conduct<B: Backend>(plan: Plan<'_, B>, tell: &mut dyn FnMut(Event)) -> Measured {
    let keys = &plan.scenario.keys;
    let baseline_from = slices(keys.phases.warmup_s);
    let origin = baseline_from + slices(keys.phases.baseline_s + plan.jitter_s);
    let times_s = plan.scenario.snapshot_times_s();
    let baseline_end = origin + slices(times_s.first().copied().unwrap_or(0.0));
    let snapshots_end = origin + slices(plan.scenario.snapshots_s());
    let end = snapshots_end + slices(keys.phases.recovery_s);
    let said = Cell::new(None);

    let mut load = Load::start(plan.streams, plan.background, plan.workload, plan.scenario.client_timeout());
    let start = load.start_instant();
    let load_end = start + Duration::from_nanos(end * SLICE_NS);
    let around = Around {
        start,
        ledger: plan.ledger,
        writers: plan.writers,
        live: &plan.live,
        said: &said,
        least_free_bytes: keys.snapshots.least_free_bytes,
        steps: plan.after,
        load_end,
    };
    let mut queue = Queue::new(plan.jobs, origin, snapshots_end, keys.snapshots.deadline_s);
    let mut recorder = Recorder::new(end);
    recorder.begin(PhaseName::Baseline, baseline_from);
    recorder.begin(PhaseName::Recovery, baseline_end);
    let mut running = Running::begin(&mut queue, &mut recorder, around, 0);
    let mut taken = Vec::new();
    let mut watch = Watch::new(&plan.live, plan.journal_mode);
    let mut display = Display::new(&plan.live, end);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let mut finished = None;
        tokio::select! {
            biased;
            snapshot = Running::end(&mut running) => finished = Some(snapshot),
            () = plan.interrupt.wait() => {}
            _ = ticks.tick() => {}
        }
        let now = current_slice(&load);
        let seen = running.as_ref().and_then(|running| running.seen(now, said.get()));
        let wal_bytes = watch.look(now, recorder.phase_at(now) == PhaseName::Baseline, seen);
        display.show(&mut recorder, &mut load, &Look { now, wal_bytes, running: seen }, tell);
        if let Some(snapshot) = finished {
            taken.push(snapshot);
            watch.end_snapshot(now);
            recorder.begin(PhaseName::Recovery, now + 1);
            running = Running::begin(&mut queue, &mut recorder, around, now + 1);
        }
        load.drain(|slice| recorder.add(slice));
        let over = now >= end && running.is_none();
        if over || plan.interrupt.is_set() || load.fatal().is_some() {
            break;
        }
    }
    // Kills the child process, where one still runs.
    drop(running);
    let fatal = load.fatal();
    load.stop(recorder.close(current_slice(&load)) * SLICE_NS);
    let patience = if plan.interrupt.is_set() { INTERRUPT_PATIENCE } else { drain_patience(plan.scenario) };
    let stuck = load.finish(patience, |slice| recorder.add(slice));
    let stuck = (stuck > 0 && !plan.interrupt.is_set())
        .then(|| format!("{stuck} threads had not ended {} s after the load", patience.as_secs()));
    let Recorder { phases, seconds, .. } = recorder;
    let end_slice = phases.last().map_or(0, |phase| phase.end_slice);
    Measured {
        phases: phases.into_iter().filter(|phase| phase.first_slice < phase.end_slice).collect(),
        wal_bytes_max: watch.wal_bytes_max,
        snapshots: taken.into_iter().zip(watch.finish()).collect(),
        snapshots_not_taken: queue.len() as u64,
        start,
        series: seconds.finish(end_slice),
        fatal: fatal.or(stuck),
    }
}

/// The snapshot that runs, or waits for its time.
struct Running<'a> {
    /// The slice in which it begins.
    first_slice: u64,
    /// The file that it makes.
    out: PathBuf,
    taking: Pin<Box<dyn Future<Output = Taken> + 'a>>,
}

impl<'a> Running<'a> {
    /// The next snapshot, if there is one, and its phase: not before the slice `earliest`.
    fn begin(queue: &mut Queue, recorder: &mut Recorder, around: Around<'a>, earliest: u64) -> Option<Self> {
        let due = queue.next(earliest)?;
        let (first_slice, out) = (due.first_slice, taking::main_file(&due.job.folder));
        recorder.begin(PhaseName::Snapshot, first_slice);
        Some(Self { first_slice, out, taking: Box::pin(taking::take(due, around)) })
    }

    /// What there is to see of it in a slice; nothing before it begins.
    fn seen(&self, now: u64, said: Option<CopyProgress>) -> Option<watch::Running<'_>> {
        let Self { first_slice, out, .. } = self;
        (*first_slice <= now).then_some(watch::Running { first_slice: *first_slice, out, said })
    }

    /// Waits for its end; for ever where there is none.
    async fn end(running: &mut Option<Self>) -> Taken {
        match running {
            Some(running) => running.taking.as_mut().await,
            None => std::future::pending().await,
        }
    }
}

/// Everything in flight ends by itself: its client gives up, and SQLite's last try takes a busy timeout at most.
fn drain_patience(scenario: &Scenario) -> Duration {
    let busy_ms = u64::try_from(scenario.keys.sqlite.busy_timeout_ms).unwrap_or(0);
    scenario.client_timeout() + Duration::from_millis(busy_ms) * 2 + Duration::from_secs(30)
}

fn current_slice(load: &Load) -> u64 {
    load.elapsed_ns() / SLICE_NS
}

//! The measured part of a trial: load from warm-up to recovery, and the snapshot in its middle.
//!
//! One task conducts: it moves from phase to phase, starts the snapshot's child process and sees it end, and folds the
//! workers' slices into the tally of the phase that they lie in. The last is exact: phases begin and end between slices,
//! at times that are known from the start or, for the end of a snapshot, lie ahead when they are chosen, so whatever has
//! happened lies in a phase that is known.

use std::{
    cell::Cell,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Result;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    Event, Tick,
    series::{Seconds, WindowLog},
};
use crate::{
    child::{self, Ended},
    interrupt::Interrupt,
    ledger::Ledger,
    load::{Backend, Background, Load, Stream},
    measure::{self, Outcome, SLICE_NS, Slice, Tally},
    results::{PhaseName, SeriesPoint},
    scenario::Scenario,
    snapshot::copy::Progress,
    sqlite, work,
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
    /// The live database.
    pub live: PathBuf,
    /// What takes the snapshot, and the file that it makes.
    pub snapshot: Option<(Command, PathBuf)>,
    /// By how much the baseline is longer than the scenario says, in seconds.
    pub jitter_s: f64,
    /// Set to stop.
    pub interrupt: &'a Interrupt,
}

/// What was measured.
pub struct Measured {
    /// In time order.
    pub phases: Vec<Phase>,
    /// The snapshot, where one was taken.
    pub snapshot: Option<Taken>,
    /// When operation 0 was due.
    pub start: Instant,
    /// Largest size of the WAL that was seen.
    pub wal_bytes_max: u64,
    /// One for each second; commits are not filled in.
    pub series: Vec<SeriesPoint>,
    /// Why the trial failed, if it did.
    pub fatal: Option<String>,
}

/// A phase and what was measured in it.
pub struct Phase {
    /// Which.
    pub name: PhaseName,
    /// Its first slice of time.
    pub first_slice: u64,
    /// The slice after its last.
    pub end_slice: u64,
    /// The operations that were due in it.
    pub tally: Tally,
    /// Operations that were served and ended in it, whenever they were due.
    pub completed: u64,
    /// SQL statements that were executed by operations that ended in it, and beside the operations.
    pub statements: u64,
    /// Of the baseline: every operation, for windows.
    pub log: WindowLog,
}

/// A snapshot that was taken, or tried.
pub struct Taken {
    /// When its process was started, from the start of the load.
    pub started_after: Duration,
    /// How its process ended.
    pub ended: Ended,
    /// The last commit acknowledged before.
    pub commit_at_start: u64,
    /// The last commit issued when it had ended.
    pub commit_at_end: u64,
    /// The instant at which it had ended.
    pub ended_at: Instant,
    /// What it last said of its progress.
    pub progress: Option<Progress>,
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
    let snapshot_from = baseline_from + slices(keys.phases.baseline_s + plan.jitter_s);
    let end = snapshot_from + slices(keys.snapshots.deadline_s + keys.phases.recovery_s);
    let with_snapshot = plan.snapshot.is_some();
    let deadline = Duration::from_secs_f64(keys.snapshots.deadline_s);
    let said = Cell::new(None);

    let mut load = Load::start(plan.streams, plan.background, plan.workload, plan.scenario.client_timeout());
    let after_baseline = if with_snapshot { PhaseName::Snapshot } else { PhaseName::Recovery };
    let mut recorder = Recorder::new(end);
    recorder.begin(PhaseName::Baseline, baseline_from);
    recorder.begin(after_baseline, snapshot_from);
    let mut display = Display::new(&plan.live, plan.snapshot.as_ref().map(|(_, out)| out.clone()), end);
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let start = load.start_instant();
    let mut snapshot = Box::pin(take_snapshot(plan.snapshot, start, plan.ledger, deadline, snapshot_from, &said));
    let mut taken = None;
    let mut waiting = with_snapshot;
    loop {
        let mut finished = None;
        tokio::select! {
            biased;
            result = &mut snapshot, if waiting => finished = result,
            () = plan.interrupt.wait() => {}
            _ = ticks.tick() => {}
        }
        let now = current_slice(&load);
        if finished.is_some() {
            taken = finished;
            waiting = false;
            recorder.begin(PhaseName::Recovery, now + 1);
        }
        load.drain(|slice| recorder.add(slice));
        display.show(&mut recorder, &mut load, now, said.get(), tell);
        let over = now >= end && !waiting;
        if over || plan.interrupt.is_set() || load.fatal().is_some() {
            break;
        }
    }
    // Kills the child process, where it still runs.
    drop(snapshot);
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
        snapshot: taken,
        start,
        wal_bytes_max: display.wal_bytes_max,
        series: seconds.finish(end_slice),
        fatal: fatal.or(stuck),
    }
}

fn slices(seconds: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "validated: not negative and small")]
    let slices = (seconds * 1e9 / SLICE_NS as f64).round() as u64;
    slices
}

/// Everything in flight ends by itself: its client gives up, and SQLite's last try takes a busy timeout at most.
fn drain_patience(scenario: &Scenario) -> Duration {
    let busy_ms = u64::try_from(scenario.keys.sqlite.busy_timeout_ms).unwrap_or(0);
    scenario.client_timeout() + Duration::from_millis(busy_ms) * 2 + Duration::from_secs(30)
}

fn current_slice(load: &Load) -> u64 {
    load.elapsed_ns() / SLICE_NS
}

/// Waits until the snapshot's phase begins, and takes it.
async fn take_snapshot(
    snapshot: Option<(Command, PathBuf)>,
    start: Instant,
    ledger: &Ledger,
    deadline: Duration,
    from_slice: u64,
    said: &Cell<Option<Progress>>,
) -> Option<Taken> {
    let (command, _) = snapshot?;
    let begin = start + Duration::from_nanos(from_slice * SLICE_NS);
    tokio::time::sleep_until(begin.into()).await;
    let commit_at_start = ledger.acknowledged();
    let started_after = start.elapsed();
    let ended = child::run(command, deadline, |line| {
        if let Ok(progress) = serde_json::from_str(line) {
            said.set(Some(progress));
        }
    })
    .await;
    let commit_at_end = ledger.issued();
    Some(Taken { started_after, ended, commit_at_start, commit_at_end, ended_at: Instant::now(), progress: said.get() })
}

/// Puts slices into phases.
struct Recorder {
    phases: Vec<Phase>,
    /// What was added since the display last looked.
    recent: Tally,
    seconds: Seconds,
}

impl Recorder {
    fn new(end_slice: u64) -> Self {
        let mut recorder = Self { phases: Vec::new(), recent: Tally::default(), seconds: Seconds::default() };
        recorder.begin(PhaseName::Warmup, 0);
        recorder.close(end_slice);
        recorder
    }

    /// The phase that a slice lies in; the last one where it lies after the end.
    fn phase_at(&self, slice: u64) -> PhaseName {
        let begun = self.phases.iter().rev().find(|phase| phase.first_slice <= slice);
        begun.map_or(PhaseName::Warmup, |phase| phase.name)
    }

    /// The last phase ends and another begins at a slice that lies ahead.
    fn begin(&mut self, name: PhaseName, first_slice: u64) {
        let end_slice = match self.phases.last_mut() {
            Some(last) => {
                let first_slice = first_slice.min(last.end_slice);
                std::mem::replace(&mut last.end_slice, first_slice)
            }
            None => u64::MAX,
        };
        let first_slice = first_slice.min(end_slice);
        self.phases.push(Phase {
            name,
            first_slice,
            end_slice,
            tally: Tally::default(),
            completed: 0,
            statements: 0,
            log: WindowLog::default(),
        });
    }

    /// The load ends in this slice, or at its planned end where that was before.
    fn close(&mut self, slice: u64) -> u64 {
        for phase in &mut self.phases {
            phase.end_slice = phase.end_slice.min(slice);
        }
        self.phases.last().map_or(slice, |last| last.end_slice)
    }

    fn phase_of(&mut self, slice: u64) -> Option<&mut Phase> {
        self.phases.iter_mut().rev().find(|phase| phase.first_slice <= slice && slice < phase.end_slice)
    }

    fn add(&mut self, slice: &Slice) {
        if slice.is_empty() {
            return;
        }
        if let Some(phase) = self.phase_of(slice.index) {
            phase.tally.add(slice);
            phase.statements += slice.background_statements;
            if phase.name == PhaseName::Baseline {
                phase.log.add(slice);
            }
        }
        for sample in &slice.samples {
            if let Some(phase) = self.phase_of(u64::from(sample.ended_slice)) {
                phase.completed += u64::from(sample.outcome == Outcome::Served);
                phase.statements += u64::from(sample.statements);
            }
        }
        self.recent.add(slice);
        self.seconds.add(slice);
    }
}

/// Tells once a second, and when the phase changes, how the trial is doing; watches the WAL.
struct Display {
    live: PathBuf,
    wal: PathBuf,
    out: Option<PathBuf>,
    of_s: f64,
    phase: Option<PhaseName>,
    last_slice: u64,
    achieved_rate_ops: f64,
    p99_us: Option<u64>,
    wal_bytes_max: u64,
}

impl Display {
    fn new(live: &Path, out: Option<PathBuf>, end_slice: u64) -> Self {
        Self {
            live: live.to_owned(),
            wal: sqlite::side_file(live, "-wal"),
            out,
            of_s: seconds(end_slice),
            phase: None,
            last_slice: 0,
            achieved_rate_ops: 0.0,
            p99_us: None,
            wal_bytes_max: 0,
        }
    }

    fn show(
        &mut self,
        recorder: &mut Recorder,
        load: &mut Load,
        now: u64,
        said: Option<Progress>,
        tell: &mut dyn FnMut(Event),
    ) {
        let wal_bytes = work::file_bytes(&self.wal);
        self.wal_bytes_max = self.wal_bytes_max.max(wal_bytes);
        recorder.seconds.note(now, wal_bytes, || load.backlog());
        let phase = recorder.phase_at(now);
        let since_s = seconds(now - self.last_slice);
        if since_s < 1.0 && self.phase == Some(phase) {
            return;
        }
        // A part of a second says little of a rate; the figures of the second before still stand.
        if since_s >= 0.5 {
            let mut served = measure::histogram();
            for kind in &recorder.recent.kinds {
                // Both have the same bounds.
                let _ = served.add(&kind.response);
            }
            self.achieved_rate_ops = served.len() as f64 / since_s;
            self.p99_us = measure::percentile(&served, served.len(), 0.99);
            recorder.recent.reset();
            self.last_slice = now;
        }
        self.phase = Some(phase);
        tell(Event::Measuring(Tick {
            phase,
            elapsed_s: seconds(now),
            of_s: self.of_s,
            achieved_rate_ops: self.achieved_rate_ops,
            p99_us: self.p99_us,
            wal_bytes,
            snapshot: (phase == PhaseName::Snapshot).then(|| self.snapshot_done(said)).flatten(),
        }));
    }

    /// What the strategy says of itself, or else the size of its file.
    fn snapshot_done(&self, said: Option<Progress>) -> Option<f64> {
        if let Some(done) = said.and_then(Progress::done) {
            return Some(done);
        }
        let live = work::file_bytes(&self.live);
        let out = work::file_bytes(self.out.as_ref()?);
        (live > 0).then(|| (out as f64 / live as f64).min(1.0))
    }
}

fn seconds(slices: u64) -> f64 {
    (slices * SLICE_NS) as f64 / 1e9
}

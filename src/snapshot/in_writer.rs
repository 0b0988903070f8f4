//! The backup API on the connection that writes: it carries that connection's own writes over instead of beginning again, but
//! begins again at any other connection's commit (`docs/sqlite.md`, 16).
//!
//! The only copy that is no process of its own. It is asked for by sending an [`Errand`] to the thread that owns the
//! connection, which goes on with its own work between two steps.

use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use rusqlite::{Connection, backup::Backup};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc::UnboundedSender;

use super::{backup_api::CopyProgress, options::StepOptions};

/// A copy that a writer is asked to make.
#[derive(Debug)]
pub struct Errand {
    /// Where to.
    pub out: PathBuf,
    /// How.
    pub options: StepOptions,
    /// Who is told of it.
    pub listener: UnboundedSender<Heard>,
    /// Set to give it up.
    pub cancelled: Arc<AtomicBool>,
}

/// What the writer tells.
#[derive(Debug)]
pub enum Heard {
    /// How far it is.
    Progress(CopyProgress),
    /// It is done, or why it is not.
    Ended {
        /// What went wrong, in words.
        result: Result<(), String>,
        /// What the steps took of the writer's thread.
        cpu: Duration,
    },
}

/// The other work of a connection: it is given what may be called to use up the time until an instant, and returns whether
/// there will be more of it.
pub type Between<'a> = dyn FnMut(&mut dyn FnMut(Instant)) -> ControlFlow<()> + 'a;

/// Progress is told no more often than this: the listener would be woken for every step.
const BETWEEN_TELLINGS: Duration = Duration::from_millis(20);

/// Does the errand on a connection that is in no transaction; after every step, or several, it is the turn of `between`.
pub fn run(connection: &Connection, errand: &Errand, between: &mut Between<'_>) -> ControlFlow<()> {
    let mut over = ControlFlow::Continue(());
    let mut cpu = Duration::ZERO;
    let result = copy(connection, errand, &mut cpu, &mut |step| {
        over = between(step);
        over
    });
    let result = result.map_err(|error| format!("{error:#}"));
    // Nobody listens where the snapshot was given up.
    let _ = errand.listener.send(Heard::Ended { result, cpu });
    over
}

fn copy(connection: &Connection, errand: &Errand, cpu: &mut Duration, between: &mut Between<'_>) -> Result<()> {
    let out = &errand.out;
    let mut target = Connection::open(out).with_context(|| format!("cannot open {}", out.display()))?;
    let backup = Backup::new(connection, &mut target)?;
    let mut steps = Steps { errand, progress: CopyProgress::default(), told: None };
    let mut outcome = None;
    loop {
        let over = between(&mut |until| {
            // One step in any case, or a writer that is never idle would never be done.
            while outcome.is_none() {
                let begun = thread_cpu();
                outcome = steps.step(&backup);
                *cpu += thread_cpu().saturating_sub(begun);
                if Instant::now() >= until {
                    break;
                }
            }
        });
        if let Some(outcome) = outcome {
            return outcome;
        }
        if over.is_break() {
            bail!("the writer stopped before the copy was done");
        }
    }
}

/// The steps of a copy.
struct Steps<'a> {
    errand: &'a Errand,
    progress: CopyProgress,
    told: Option<Instant>,
}

impl Steps<'_> {
    /// Does one: the outcome of the copy, if that was the last.
    fn step(&mut self, backup: &Backup<'_, '_>) -> Option<Result<()>> {
        if self.errand.cancelled.load(Ordering::Relaxed) {
            return Some(Err(anyhow!("it was given up")));
        }
        let outcome = match self.progress.step(backup, self.errand.options.pages_per_step) {
            Ok(false) => None,
            Ok(true) => Some(Ok(())),
            Err(error) => Some(Err(error)),
        };
        if outcome.is_some() || self.told.is_none_or(|told| told.elapsed() >= BETWEEN_TELLINGS) {
            self.told = Some(Instant::now());
            let _ = self.errand.listener.send(Heard::Progress(self.progress));
        }
        outcome
    }
}

/// What this thread has used of the processors.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

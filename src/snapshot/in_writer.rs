//! The backup API on the connection that writes: it carries that connection's own writes over instead of beginning again, but
//! begins again at any other connection's commit (`docs/sqlite.md`, 16).
//!
//! The only copy that is no process of its own. It is asked for by sending a [`CopyRequest`] to the thread that owns the
//! connection; that thread goes on with its own work and lends the copy the time between two operations.

use std::{
    cell::Cell,
    future::poll_fn,
    ops::ControlFlow,
    path::{Path, PathBuf},
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context as TaskContext, Poll, Waker},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, OpenFlags, backup::Backup};
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::mpsc::UnboundedSender;

use super::{backup_api::CopyProgress, options::StepOptions};
use crate::io;

/// A copy that a writer is asked to make.
#[derive(Debug)]
pub struct CopyRequest {
    /// The file to make.
    pub out: PathBuf,
    /// How it is made.
    pub options: StepOptions,
    /// As [`super::Site::counted_sync_delay`].
    pub counted_sync_delay: Option<Duration>,
    /// Who is told of it.
    pub listener: UnboundedSender<WriterMessage>,
    /// Set to give it up.
    pub cancelled: Arc<AtomicBool>,
}

/// What the writer tells of a copy.
#[derive(Debug)]
pub enum WriterMessage {
    /// How far it is.
    Progress(CopyProgress),
    /// It has ended.
    Ended {
        /// What went wrong, in words.
        result: Result<(), String>,
        /// What the steps took of the writer's thread.
        cpu: Duration,
    },
}

/// Progress is told no more often than this: the listener would be woken for every step.
const TELL_INTERVAL: Duration = Duration::from_millis(20);

/// A copy under way, on a connection that goes on writing.
///
/// SQLite's backup object borrows both connections, so that it cannot be kept in a struct beside them. A future can keep all
/// three: it is polled by hand, and gives the thread back after each stretch of steps.
pub struct WriterCopy<'a> {
    steps: Pin<Box<dyn Future<Output = Result<()>> + 'a>>,
    clock: Rc<Clock>,
    listener: UnboundedSender<WriterMessage>,
    has_ended: bool,
}

/// What the steps and their caller share.
struct Clock {
    /// When the thread is wanted back.
    until: Cell<Instant>,
    /// What the steps have taken of the thread.
    cpu: Cell<Duration>,
}

impl<'a> WriterCopy<'a> {
    /// A copy of the database of a connection that is in no transaction. Nothing is done yet.
    #[must_use]
    pub fn begin(connection: &'a Connection, request: CopyRequest) -> Self {
        let clock = Rc::new(Clock { until: Cell::new(Instant::now()), cpu: Cell::default() });
        let listener = request.listener.clone();
        let steps = Box::pin(copy(connection, request, Rc::clone(&clock)));
        Self { steps, clock, listener, has_ended: false }
    }

    /// Makes steps until an instant, one in any case, or a writer that is never idle would never be done. Breaks when the copy
    /// has ended. The connection must be in no transaction.
    pub fn step_until(&mut self, until: Instant) -> ControlFlow<()> {
        self.clock.until.set(until);
        match self.steps.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
            Poll::Pending => ControlFlow::Continue(()),
            Poll::Ready(result) => {
                self.end(result.map_err(|error| format!("{error:#}")));
                ControlFlow::Break(())
            }
        }
    }

    fn end(&mut self, result: Result<(), String>) {
        self.has_ended = true;
        // Nobody listens where the snapshot was given up.
        let _ = self.listener.send(WriterMessage::Ended { result, cpu: self.clock.cpu.get() });
    }
}

impl Drop for WriterCopy<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            // The copy is closed before anybody hears that it has ended.
            self.steps = Box::pin(async { Ok(()) });
            self.end(Err("the writer stopped before the copy was done".to_owned()));
        }
    }
}

async fn copy(connection: &Connection, request: CopyRequest, clock: Rc<Clock>) -> Result<()> {
    let CopyRequest { out, options, counted_sync_delay, listener, cancelled } = request;
    let mut target = open(&out, counted_sync_delay).with_context(|| format!("cannot open {}", out.display()))?;
    let backup = Backup::new(connection, &mut target)?;
    let mut progress = CopyProgress::default();
    let mut told: Option<Instant> = None;
    loop {
        if cancelled.load(Ordering::Relaxed) {
            bail!("it was given up");
        }
        let begun = thread_cpu();
        let step = progress.step(&backup, options.pages_per_step);
        clock.cpu.set(clock.cpu.get() + thread_cpu().saturating_sub(begun));
        let is_last = !matches!(step, Ok(false));
        if is_last || told.is_none_or(|told| told.elapsed() >= TELL_INTERVAL) {
            told = Some(Instant::now());
            // Nobody listens where the snapshot was given up.
            let _ = listener.send(WriterMessage::Progress(progress));
        }
        if step? {
            return Ok(());
        }
        if Instant::now() >= clock.until.get() {
            give_back().await;
        }
    }
}

/// Opens the copy that is to be made.
fn open(out: &Path, counted_sync_delay: Option<Duration>) -> Result<Connection> {
    Ok(match counted_sync_delay {
        None => Connection::open(out)?,
        Some(delay) => Connection::open_with_flags_and_vfs(out, OpenFlags::default(), io::vfs_with_delay(delay)?)?,
    })
}

/// Lets the caller have the thread once.
async fn give_back() {
    let mut given = false;
    poll_fn(|_| if std::mem::replace(&mut given, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// What this thread has used of the processors.
fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

//! Worker threads that run operations when they are due, and record what came of it.
//!
//! The load is open-loop. Announces and scrapes are two streams with due times and workers of their own, so that
//! blocked writers do not hide whether readers are blocked; a tracker's pool is one stream of both. A worker claims the
//! next index of its stream with an atomic add, sleeps until it is due, executes it on a connection of its own, and notes
//! response time (from the due time) and service time (from the beginning). Beside the ledger's record in the commit hook
//! nothing else is shared while operations run: what was noted is handed over between them, at most once in 10 ms.
//!
//! An operation whose client has given up before it could begin is dropped, so a backlog never grows beyond the client
//! timeout; the backlog is a difference of two numbers, not a queue, and takes no memory.
//!
//! The closed loop ([`Pace::Closed`]) finds a ceiling and nothing else: an operation is due when its worker is free, so
//! its response times hide every stall.
//!
//! What executes an operation is a [`Backend`]: [`database::Database`] in a trial. Which phase an operation belongs to,
//! and what the numbers mean, is not decided here ([`crate::run`], [`crate::measure`]).

pub mod background;
pub mod database;

use std::{
    num::NonZeroU64,
    ops::ControlFlow,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    measure::{Failure, Outcome, SLICE_NS, Sample, Slice},
    pace::Schedule,
    torrents::Torrent,
    workload::{Action, Kind, Operation, Workload},
};

/// Executes operations, one at a time, on the thread that owns it.
pub trait Backend: Send + Sized + 'static {
    /// Executes one operation. `until` is when its client gives up: a backend that retries stops then.
    fn execute(&self, operation: &Operation, until: Instant) -> Executed;

    /// Executes the downloads of several operations in one transaction.
    fn download_together(&self, torrents: &[Torrent], until: Instant) -> Executed;

    /// Calls `turn`, which waits for the next operation and executes it, until it says that there are no more. A backend
    /// with work of its own between operations does it here.
    fn serve(&self, turn: &mut Turn<'_, Self>) {
        while turn(self, &mut |_| ()).is_continue() {}
    }
}

/// Waits for a worker's next operation and executes it. Once before it waits it calls the second argument with the instant
/// at which the wait will end.
pub type Turn<'a, B> = dyn FnMut(&B, &mut dyn FnMut(Instant)) -> ControlFlow<()> + 'a;

/// What came of executing an operation, or several together.
#[derive(Debug, Default)]
pub struct Executed {
    /// What the client was shown, if it was not success.
    pub failure: Option<Failure>,
    /// SQL statements that ran, retries included, `BEGIN` and `COMMIT` not counted.
    pub statements: u32,
    /// Writes that were given up although the client is answered as if all were well.
    pub lost_writes: u64,
    /// Why the trial cannot go on, if it cannot: its ledger is no longer whole.
    pub fatal: Option<String>,
}

/// One stream of operations: which, when they are due, and what executes them (one worker a backend).
pub struct Stream<B> {
    /// The kind of every operation in it; `None` where the workload chooses for each.
    pub kind: Option<Kind>,
    /// When they are due.
    pub pace: Pace,
    /// Downloads that are written together, where they are.
    pub batch: Option<Batch>,
    /// One for each worker.
    pub backends: Vec<B>,
}

/// When the operations of a stream are due.
#[derive(Debug, Clone)]
pub enum Pace {
    /// Open loop: at times of their own.
    Open(Schedule),
    /// Closed loop: when a worker has ended the one before.
    Closed,
}

/// How many downloads are written in one transaction, and how long the first of them waits for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch {
    /// At most so many.
    pub operations: usize,
    /// At most so long.
    pub wait: Duration,
}

/// A load that is running.
pub struct Load {
    control: Arc<Control>,
    claims: Vec<Claims>,
    workload: Workload,
    slices: mpsc::Receiver<Slice>,
    recycled: mpsc::Sender<Slice>,
    threads: Vec<thread::JoinHandle<()>>,
}

/// A stream's next index to claim, and its pace, to count what was not claimed.
struct Claims {
    kind: Option<Kind>,
    next: Arc<AtomicU64>,
    pace: Pace,
    /// Walks ahead with the clock.
    due: u64,
    clock: Pace,
}

/// What all threads of a load share.
#[derive(Debug)]
struct Control {
    start: Instant,
    /// Nanoseconds from the start at which the load stopped; `u64::MAX` while it runs.
    stop_ns: AtomicU64,
    fatal: Mutex<Option<String>>,
}

impl Control {
    fn stop_ns(&self) -> u64 {
        self.stop_ns.load(Ordering::Relaxed)
    }

    fn is_stopped(&self) -> bool {
        self.stop_ns() != u64::MAX
    }

    fn slice_at(&self, instant: Instant) -> u64 {
        nanoseconds(instant.saturating_duration_since(self.start)) / SLICE_NS
    }

    fn fail(&self, why: String) {
        *self.fatal.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

/// What a thread that works beside the operations has of the load.
pub struct Beside {
    control: Arc<Control>,
    slices: mpsc::Sender<Slice>,
}

impl Beside {
    /// Whether the load has stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.control.is_stopped()
    }

    /// Reports what happened at an instant: `fill` is given an empty slice that lies there.
    pub fn report(&self, at: Instant, fill: impl FnOnce(&mut Slice)) {
        let mut slice = Slice { index: self.control.slice_at(at), ..Slice::default() };
        fill(&mut slice);
        // Nobody takes it where the load was given up.
        let _ = self.slices.send(slice);
    }

    /// Says that the trial cannot go on.
    pub fn fail(&self, why: String) {
        self.control.fail(why);
    }
}

/// Work beside the operations, on a thread of its own; it must end soon after [`Beside::is_stopped`].
pub type Background = Box<dyn FnOnce(Beside) + Send>;

impl Load {
    /// Starts all workers and background work; operation 0 of each stream is due from [`Self::start_instant`] on.
    #[must_use]
    pub fn start<B: Backend>(
        streams: Vec<Stream<B>>,
        background: Vec<Background>,
        workload: &Workload,
        client_timeout: Duration,
    ) -> Self {
        // Far enough ahead for every thread to stand ready.
        let start = Instant::now() + Duration::from_millis(20);
        let control = Arc::new(Control { start, stop_ns: AtomicU64::new(u64::MAX), fatal: Mutex::default() });
        let (sender, slices) = mpsc::channel();
        let (recycled, spare) = mpsc::channel::<Slice>();
        let spare = Arc::new(Mutex::new(spare));
        let mut threads = Vec::new();
        let mut claims = Vec::new();
        for Stream { kind, pace, batch, backends } in streams {
            let next = Arc::new(AtomicU64::new(0));
            for backend in backends {
                let worker = Worker {
                    kind,
                    pace: pace.clone(),
                    batch,
                    workload: workload.clone(),
                    next: Arc::clone(&next),
                    control: Arc::clone(&control),
                    client_timeout,
                    waiting: Vec::new(),
                    torrents: Vec::new(),
                    slice: Slice::default(),
                    slices: sender.clone(),
                    spare: Arc::clone(&spare),
                };
                threads.push(thread::spawn(move || worker.run(&backend)));
            }
            claims.push(Claims { kind, next, pace: pace.clone(), due: 0, clock: pace });
        }
        for work in background {
            let beside = Beside { control: Arc::clone(&control), slices: sender.clone() };
            threads.push(thread::spawn(move || work(beside)));
        }
        Self { control, claims, workload: workload.clone(), slices, recycled, threads }
    }

    /// The instant from which due times count.
    #[must_use]
    pub fn start_instant(&self) -> Instant {
        self.control.start
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub fn elapsed_ns(&self) -> u64 {
        nanoseconds(Instant::now().saturating_duration_since(self.control.start))
    }

    /// Operations that are due and that no worker has claimed yet.
    pub fn backlog(&mut self) -> u64 {
        let now_ns = self.elapsed_ns();
        let mut backlog = 0;
        for claims in &mut self.claims {
            if let Pace::Open(clock) = &mut claims.clock {
                while clock.due_ns(claims.due).is_some_and(|due_ns| due_ns <= now_ns) {
                    claims.due += 1;
                }
                backlog += claims.due.saturating_sub(claims.next.load(Ordering::Relaxed));
            }
        }
        backlog
    }

    /// Passes on the slices that workers have finished since the last call.
    pub fn drain(&self, mut take: impl FnMut(&Slice)) {
        while let Ok(slice) = self.slices.try_recv() {
            take(&slice);
            // Workers that have ended need no memory back.
            let _ = self.recycled.send(slice);
        }
    }

    /// Why the load cannot go on, if a backend said so.
    #[must_use]
    pub fn fatal(&self) -> Option<String> {
        self.control.fatal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether every thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(thread::JoinHandle::is_finished)
    }

    /// Stops: no operation begins any more, those in flight end. Returns at once; see [`Self::is_finished`]. Operations
    /// due later than `stop_ns` after the start do not count as due.
    pub fn stop(&self, stop_ns: u64) {
        self.control.stop_ns.fetch_min(stop_ns, Ordering::Relaxed);
    }

    /// After [`Self::stop`]: passes on the remaining slices and the operations that no worker had claimed, once every
    /// thread has ended or `patience` is over. Returns the number of threads that had not ended: their last slices are
    /// missing.
    pub fn finish(self, patience: Duration, mut take: impl FnMut(&Slice)) -> usize {
        let begun = Instant::now();
        while !self.is_finished() && begun.elapsed() < patience {
            self.drain(&mut take);
            thread::sleep(Duration::from_millis(2));
        }
        self.drain(&mut take);
        let stop_ns = self.control.stop_ns();
        let mut operation = Operation::default();
        for stream in self.claims {
            let Pace::Open(mut schedule) = stream.pace else { continue };
            let mut slice = Slice::default();
            for index in stream.next.load(Ordering::Relaxed).. {
                let Some(due_ns) = schedule.due_ns(index).filter(|due_ns| *due_ns < stop_ns) else { break };
                if due_ns / SLICE_NS != slice.index {
                    take(&slice);
                    slice.reset(due_ns / SLICE_NS);
                }
                let kind = stream.kind.unwrap_or_else(|| self.workload.kind(index));
                self.workload.operation(kind, index, &mut operation);
                slice.never_served[kind as usize] += 1;
                slice.asked += operation.asks();
            }
            take(&slice);
        }
        self.threads.iter().filter(|thread| !thread.is_finished()).count()
    }
}

struct Worker {
    kind: Option<Kind>,
    pace: Pace,
    batch: Option<Batch>,
    workload: Workload,
    next: Arc<AtomicU64>,
    control: Arc<Control>,
    client_timeout: Duration,
    /// The downloads that wait to be written together, and their torrents.
    waiting: Vec<InFlight>,
    torrents: Vec<Torrent>,
    slice: Slice,
    slices: mpsc::Sender<Slice>,
    spare: Arc<Mutex<mpsc::Receiver<Slice>>>,
}

/// An operation that a worker has begun.
#[derive(Clone, Copy)]
struct InFlight {
    kind: Kind,
    due: Instant,
    begun: Instant,
    lag: Option<Duration>,
}

/// How a worker came to the instant at which its operation is due.
enum Waited {
    /// It was busy with another operation until after it.
    Late,
    /// It slept, and woke this much later.
    Woke(Duration),
    /// The load stopped meanwhile.
    Stopped,
}

impl Worker {
    fn run<B: Backend>(mut self, backend: &B) {
        // The kernel may delay a wake-up by the timer slack, 50 us by default, to batch it with others.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let mut operation = Operation::default();
        backend.serve(&mut |backend, fill| self.turn(backend, fill, &mut operation));
        self.write_batch(backend);
        self.hand_over();
    }

    /// The next operation of the stream.
    fn turn<B: Backend>(
        &mut self,
        backend: &B,
        fill: &mut dyn FnMut(Instant),
        operation: &mut Operation,
    ) -> ControlFlow<()> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let kind = self.kind.unwrap_or_else(|| self.workload.kind(index));
        let due = match &mut self.pace {
            Pace::Closed if self.control.is_stopped() => return ControlFlow::Break(()),
            Pace::Closed => Instant::now(),
            Pace::Open(schedule) => match schedule.due_ns(index) {
                Some(due_ns) => self.control.start + Duration::from_nanos(due_ns),
                None => return ControlFlow::Break(()),
            },
        };
        // What was done in the slice before is handed over now, not after a long sleep.
        self.enter(due);
        self.workload.operation(kind, index, operation);
        fill(self.batch_due().map_or(due, |together| together.min(due)));
        let lag = match self.wait(backend, due) {
            Waited::Late => None,
            Waited::Woke(lag) => Some(lag),
            Waited::Stopped => {
                if nanoseconds(due - self.control.start) < self.control.stop_ns() {
                    self.enter(due);
                    self.slice.never_served[kind as usize] += 1;
                    self.slice.asked += operation.asks();
                }
                return ControlFlow::Break(());
            }
        };
        self.enter(due);
        self.slice.asked += operation.asks();
        self.execute(backend, operation, due, lag);
        ControlFlow::Continue(())
    }

    fn execute<B: Backend>(&mut self, backend: &B, operation: &Operation, due: Instant, lag: Option<Duration>) {
        let in_flight = InFlight { kind: operation.kind, due, begun: Instant::now(), lag };
        let until = due + self.client_timeout;
        if in_flight.begun > until {
            self.slice.dropped[operation.kind as usize] += 1;
            return;
        }
        if let (Some(batch), Action::Download) = (self.batch, operation.action) {
            self.waiting.push(in_flight);
            self.torrents.extend(&operation.torrents);
            if self.waiting.len() >= batch.operations {
                self.write_batch(backend);
            }
            return;
        }
        let executed = backend.execute(operation, until);
        self.record(in_flight, &executed, Instant::now(), executed.statements);
        self.slice.lost_writes[operation.kind as usize] += executed.lost_writes;
        self.check(executed);
    }

    /// Writes the downloads that wait, in one transaction.
    fn write_batch<B: Backend>(&mut self, backend: &B) {
        let Some(first) = self.waiting.first() else { return };
        let executed = backend.download_together(&self.torrents, first.due + self.client_timeout);
        let ended = Instant::now();
        let mut waiting = std::mem::take(&mut self.waiting);
        let statements = executed.statements / u32::try_from(waiting.len()).unwrap_or(u32::MAX);
        for in_flight in waiting.drain(..) {
            self.enter(in_flight.due);
            self.record(in_flight, &executed, ended, statements);
        }
        self.waiting = waiting;
        self.torrents.clear();
        self.check(executed);
    }

    fn record(&mut self, operation: InFlight, executed: &Executed, ended: Instant, statements: u32) {
        let InFlight { kind, due, begun, lag } = operation;
        let outcome = match executed.failure {
            Some(failure) => Outcome::Failed(failure),
            None if ended > due + self.client_timeout => Outcome::TimedOut,
            None => Outcome::Served,
        };
        self.slice.samples.push(Sample {
            kind,
            outcome,
            response_us: microseconds(ended - due),
            service_us: microseconds(ended - begun),
            lag_us: lag.map(microseconds),
            ended_slice: u32::try_from(self.control.slice_at(ended)).unwrap_or(u32::MAX),
            statements,
        });
    }

    fn check(&self, executed: Executed) {
        if let Some(why) = executed.fatal {
            self.control.fail(why);
        }
    }

    /// When the downloads that wait are to be written.
    fn batch_due(&self) -> Option<Instant> {
        self.batch.zip(self.waiting.first()).map(|(batch, first)| first.begun + batch.wait)
    }

    fn wait<B: Backend>(&mut self, backend: &B, due: Instant) -> Waited {
        // Long sleeps are cut, so that a stop is noticed.
        const LONGEST: Duration = Duration::from_millis(50);
        let mut idle = false;
        loop {
            if self.control.is_stopped() {
                return Waited::Stopped;
            }
            let now = Instant::now();
            let together = self.batch_due();
            if together.is_some_and(|together| now >= together) {
                self.write_batch(backend);
                idle = false;
                continue;
            }
            let left = due.saturating_duration_since(now);
            if left.is_zero() {
                return if idle { Waited::Woke(now - due) } else { Waited::Late };
            }
            let left = together.map_or(left, |together| left.min(together - now));
            thread::sleep(left.min(LONGEST));
            idle = true;
        }
    }

    /// Goes to the slice in which an operation is due.
    fn enter(&mut self, due: Instant) {
        let index = self.control.slice_at(due);
        if index != self.slice.index {
            self.hand_over();
            self.slice.reset(index);
        }
    }

    fn hand_over(&mut self) {
        if self.slice.is_empty() {
            return;
        }
        let spare = self.spare.try_lock().ok().and_then(|spare| spare.try_recv().ok());
        let full = std::mem::replace(&mut self.slice, spare.unwrap_or_default());
        // Nobody takes it where the load was given up.
        let _ = self.slices.send(full);
    }
}

/// Rounded up, so that nothing took 0 us.
fn microseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos().div_ceil(1_000)).unwrap_or(u32::MAX)
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

//! Worker threads that run operations when they are due, and record what came of it.
//!
//! The load is open-loop. Announces and scrapes are two streams with due times and workers of their own, so that
//! blocked writers do not hide whether readers are blocked. A worker claims the next index of its stream with an atomic
//! add, sleeps until it is due, executes it on a connection of its own, and notes response time (from the due time) and
//! service time (from the beginning). Nothing else is shared, locked or logged while operations run.
//!
//! An operation whose client has given up before it could begin is dropped, so a backlog never grows beyond the client
//! timeout; the backlog is a difference of two numbers, not a queue, and takes no memory.
//!
//! What executes an operation is a [`Backend`]: [`database::Database`] in a trial. Which phase an operation belongs to,
//! and what the numbers mean, is not decided here ([`crate::run`], [`crate::measure`]).

pub mod database;

use std::{
    num::NonZeroU64,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    measure::{Outcome, SLICE_NS, Sample, Slice},
    pace::Schedule,
    workload::{Kind, Operation, Workload},
};

/// Executes operations, one at a time, on the thread that owns it.
pub trait Backend: Send + 'static {
    /// Executes one operation. `until` is when its client gives up: a backend that retries stops then.
    fn execute(&mut self, operation: &Operation, until: Instant) -> Executed;
}

/// What came of executing an operation.
#[derive(Debug)]
pub struct Executed {
    /// Success, or what the client was shown.
    pub result: Result<(), crate::measure::Failure>,
    /// SQL statements that ran, `BEGIN` and `COMMIT` not counted.
    pub statements: u64,
    /// Why the trial cannot go on, if it cannot: its ledger is no longer whole.
    pub fatal: Option<String>,
}

/// One stream of operations: a kind, when they are due, and what executes them (one worker a backend).
pub struct Stream<B> {
    /// The kind of every operation in it.
    pub kind: Kind,
    /// When they are due.
    pub schedule: Schedule,
    /// One for each worker.
    pub backends: Vec<B>,
}

/// A load that is running.
pub struct Load {
    start: Instant,
    control: Arc<Control>,
    claims: Vec<Claims>,
    workload: Workload,
    slices: mpsc::Receiver<Slice>,
    recycled: mpsc::Sender<Slice>,
    workers: Vec<thread::JoinHandle<()>>,
}

/// A stream's next index to claim, and the schedule to count what was never claimed.
struct Claims {
    kind: Kind,
    next: Arc<AtomicU64>,
    schedule: Schedule,
}

#[derive(Debug)]
struct Control {
    /// Nanoseconds from the start at which the load stopped; `u64::MAX` while it runs.
    stop_ns: AtomicU64,
    fatal: Mutex<Option<String>>,
}

impl Control {
    fn stop_ns(&self) -> u64 {
        self.stop_ns.load(Ordering::Relaxed)
    }
}

impl Load {
    /// Starts all workers; operation 0 of each stream is due from [`Self::start_instant`] on.
    #[must_use]
    pub fn start<B: Backend>(streams: Vec<Stream<B>>, workload: &Workload, client_timeout: Duration) -> Self {
        let control = Arc::new(Control { stop_ns: AtomicU64::new(u64::MAX), fatal: Mutex::default() });
        let (sender, slices) = mpsc::channel();
        let (recycled, spare) = mpsc::channel::<Slice>();
        let spare = Arc::new(Mutex::new(spare));
        // Far enough ahead for every thread to stand ready.
        let start = Instant::now() + Duration::from_millis(20);
        let mut workers = Vec::new();
        let mut claims = Vec::new();
        for Stream { kind, schedule, backends } in streams {
            let next = Arc::new(AtomicU64::new(0));
            for backend in backends {
                let worker = Worker {
                    kind,
                    schedule: schedule.clone(),
                    backend,
                    workload: *workload,
                    next: Arc::clone(&next),
                    control: Arc::clone(&control),
                    start,
                    client_timeout,
                    slice: Slice::default(),
                    slices: sender.clone(),
                    spare: Arc::clone(&spare),
                };
                workers.push(thread::spawn(move || worker.run()));
            }
            claims.push(Claims { kind, next, schedule });
        }
        Self { start, control, claims, workload: *workload, slices, recycled, workers }
    }

    /// The instant from which due times count.
    #[must_use]
    pub fn start_instant(&self) -> Instant {
        self.start
    }

    /// Nanoseconds since the start.
    #[must_use]
    pub fn elapsed_ns(&self) -> u64 {
        nanoseconds(Instant::now().saturating_duration_since(self.start))
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

    /// Whether every worker has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.workers.iter().all(thread::JoinHandle::is_finished)
    }

    /// Stops: no operation begins any more, those in flight end. Returns at once; see [`Self::is_finished`]. Operations
    /// due later than `stop_ns` after the start (or than now) do not count as due.
    pub fn stop(&self, stop_ns: u64) {
        self.control.stop_ns.fetch_min(stop_ns, Ordering::Relaxed);
    }

    /// After [`Self::stop`]: passes on the remaining slices and the operations that no worker had claimed, once every
    /// worker has ended or `patience` is over. Returns the number of workers that had not ended: their last slices are
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
        for mut stream in self.claims {
            let mut slice = Slice::default();
            for index in stream.next.load(Ordering::Relaxed).. {
                let Some(due_ns) = stream.schedule.due_ns(index).filter(|due_ns| *due_ns < stop_ns) else { break };
                if due_ns / SLICE_NS != slice.index {
                    take(&slice);
                    slice.reset(due_ns / SLICE_NS);
                }
                self.workload.operation(stream.kind, index, &mut operation);
                slice.never_served[stream.kind as usize] += 1;
                slice.asked += operation.asks();
            }
            take(&slice);
        }
        self.workers.iter().filter(|worker| !worker.is_finished()).count()
    }
}

struct Worker<B> {
    kind: Kind,
    schedule: Schedule,
    backend: B,
    workload: Workload,
    next: Arc<AtomicU64>,
    control: Arc<Control>,
    start: Instant,
    client_timeout: Duration,
    slice: Slice,
    slices: mpsc::Sender<Slice>,
    spare: Arc<Mutex<mpsc::Receiver<Slice>>>,
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

impl<B: Backend> Worker<B> {
    fn run(mut self) {
        // The kernel may delay a wake-up by the timer slack, 50 us by default, to batch it with others.
        let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
        let mut operation = Operation::default();
        loop {
            let index = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(due_ns) = self.schedule.due_ns(index) else { break };
            self.enter(due_ns / SLICE_NS);
            self.workload.operation(self.kind, index, &mut operation);
            let due = self.start + Duration::from_nanos(due_ns);
            let lag = match self.wait(due) {
                Waited::Late => None,
                Waited::Woke(lag) => Some(lag),
                Waited::Stopped => {
                    if due_ns < self.control.stop_ns() {
                        self.slice.never_served[self.kind as usize] += 1;
                        self.slice.asked += operation.asks();
                    }
                    break;
                }
            };
            self.slice.asked += operation.asks();
            self.execute(&operation, due, lag);
        }
        self.hand_over();
    }

    fn execute(&mut self, operation: &Operation, due: Instant, lag: Option<Duration>) {
        let begun = Instant::now();
        let until = due + self.client_timeout;
        if begun > until {
            self.slice.dropped[self.kind as usize] += 1;
            return;
        }
        let executed = self.backend.execute(operation, until);
        let ended = Instant::now();
        let outcome = match executed.result {
            Err(failure) => Outcome::Failed(failure),
            Ok(()) if ended > until => Outcome::TimedOut,
            Ok(()) => Outcome::Served,
        };
        self.slice.statements += executed.statements;
        self.slice.samples.push(Sample {
            kind: self.kind,
            outcome,
            response_us: microseconds(ended - due),
            service_us: microseconds(ended - begun),
            lag_us: lag.map(microseconds),
            ended_slice: u32::try_from(nanoseconds(ended - self.start) / SLICE_NS).unwrap_or(u32::MAX),
        });
        if executed.fatal.is_some() {
            *self.control.fatal.lock().unwrap_or_else(PoisonError::into_inner) = executed.fatal;
        }
    }

    fn wait(&self, due: Instant) -> Waited {
        // Long sleeps are cut, so that a stop is noticed.
        const LONGEST: Duration = Duration::from_millis(50);
        let mut idle = false;
        loop {
            if self.control.stop_ns() != u64::MAX {
                return Waited::Stopped;
            }
            let now = Instant::now();
            match due.checked_duration_since(now) {
                Some(left) if !left.is_zero() => thread::sleep(left.min(LONGEST)),
                _ if idle => return Waited::Woke(now - due),
                _ => return Waited::Late,
            }
            idle = true;
        }
    }

    /// Goes on to the slice in which the next operation is due.
    fn enter(&mut self, index: u64) {
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

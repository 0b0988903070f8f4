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
//! What executes an operation is a [`Target`]. Which phase an operation belongs to, and what the numbers mean, is not decided
//! here (`trial`, [`crate::measure`]).

mod background;
mod control;
mod exchange;
mod notes;
mod worker;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use background::BackgroundContext;
use control::{Control, nanoseconds};
use exchange::{Half, InFlight, Receiver, Sender};
use notes::Notes;
use worker::{WaitingBatch, Worker};

use crate::{
    measure::{SLICE_NS, Slice},
    pace::Schedule,
    target::{Answers, Background, Requests, Target},
    workload::{Kind, Operation, Workload},
};

/// One stream of operations: which, when they are due, and what executes them (one worker a target).
pub struct Stream<T> {
    /// The kind of every operation in it; `None` where the workload chooses for each.
    pub kind: Option<Kind>,
    /// When they are due.
    pub pace: Pace,
    /// How many writes go into one transaction, where several do.
    pub batch: Option<Batch>,
    /// What executes them, one for each worker.
    pub targets: Vec<T>,
}

/// One stream of requests over a network, of which none waits for the answers to those before it.
pub struct ExchangeStream {
    /// The kind of every operation in it; `None` where the workload chooses for each.
    pub kind: Option<Kind>,
    /// When they are due, at times of their own.
    pub pace: Schedule,
    /// What they are.
    pub workload: Workload,
    /// After how long a request without an answer is sent again, and after twice that once more.
    pub retry: Duration,
    /// How many may wait for an answer at once, at the least.
    pub most_waiting: usize,
    /// What sends them.
    pub requests: Box<dyn Requests>,
    /// What takes their answers.
    pub answers: Box<dyn Answers>,
}

/// When the operations of a stream are due.
#[derive(Debug, Clone)]
pub enum Pace {
    /// Open loop: at times of their own.
    Open(Schedule),
    /// Closed loop: when a worker has ended the one before.
    Closed,
}

/// How many operations that write share a transaction, and how long the first of them waits for the others.
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
    slices: mpsc::Receiver<Slice>,
    recycled: Recycling,
    threads: Vec<thread::JoinHandle<()>>,
}

/// Slices that wait for a worker to use their memory again, at most. There are more only after a stall.
const SPARE_MOST: usize = 1_024;

/// Gives slices back to the workers.
struct Recycling(mpsc::SyncSender<Slice>);

impl Recycling {
    fn new() -> (Self, mpsc::Receiver<Slice>) {
        let (sender, spare) = mpsc::sync_channel(SPARE_MOST);
        (Self(sender), spare)
    }

    /// Keeps the slice where there is something to use again: background work reports in slices without samples, which no
    /// worker would ever take as fast as they come.
    fn give_back(&self, slice: Slice) {
        if slice.samples.capacity() > 0 {
            // Workers that have ended need no memory back, and of enough no more is kept.
            let _ = self.0.try_send(slice);
        }
    }
}

/// Runs the work of a thread. Where it panics the trial has failed: what it was about to record is missing.
fn guarded(control: &Control, work: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
        let words = panic.downcast_ref::<&str>().copied().map(str::to_owned);
        let words = words.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        control.fail(format!("a thread of the load panicked, which is a fault of this program: {words}"));
    }
}

/// A stream's next index to claim, and its pace, to count what was not claimed.
struct Claims {
    /// What its operations are.
    workload: Workload,
    kind: Option<Kind>,
    next: Arc<AtomicU64>,
    /// By how much later everything is due than its pace says.
    held_ns: Arc<AtomicU64>,
    pace: Pace,
    /// Walks ahead with the clock.
    due: u64,
    clock: Pace,
}

impl Load {
    /// Starts all workers and background work; operation 0 of each stream is due from [`Self::start_instant`] on.
    #[must_use]
    pub fn start<T: Target>(
        streams: Vec<Stream<T>>,
        background: Vec<Background>,
        workload: &Workload,
        client_timeout: Duration,
    ) -> Self {
        Self::start_with(streams, Vec::new(), background, workload, client_timeout)
    }

    /// As [`Self::start`], with streams over a network beside the others.
    #[must_use]
    pub fn start_with<T: Target>(
        streams: Vec<Stream<T>>,
        exchanges: Vec<ExchangeStream>,
        background: Vec<Background>,
        workload: &Workload,
        client_timeout: Duration,
    ) -> Self {
        // Far enough ahead for every thread to stand ready.
        let start = Instant::now() + Duration::from_millis(20);
        let control = Arc::new(Control::new(start));
        let (sender, slices) = mpsc::channel();
        let (recycled, spare) = Recycling::new();
        let spare = Arc::new(Mutex::new(spare));
        let notes = || Notes::new(sender.clone(), Arc::clone(&spare));
        let mut threads = Vec::new();
        let mut claims = Vec::new();
        for Stream { kind, pace, batch, targets } in streams {
            let (next, held_ns) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
            for target in targets {
                let worker = Worker {
                    kind,
                    pace: pace.clone(),
                    batch,
                    workload: workload.clone(),
                    next: Arc::clone(&next),
                    control: Arc::clone(&control),
                    client_timeout,
                    notes: notes(),
                    waiting: WaitingBatch::default(),
                    held_ns: Arc::clone(&held_ns),
                };
                let control = Arc::clone(&control);
                threads.push(thread::spawn(move || guarded(&control, || worker.run(&target))));
            }
            let (workload, clock) = (workload.clone(), pace.clone());
            claims.push(Claims { workload, kind, next, held_ns, pace, due: 0, clock });
        }
        for stream in exchanges {
            let ExchangeStream { kind, pace, workload, retry, most_waiting, mut requests, mut answers } = stream;
            let (next, in_flight) = (Arc::new(AtomicU64::new(0)), Arc::new(InFlight::new(most_waiting)));
            let half = || Half {
                control: Arc::clone(&control),
                client_timeout,
                in_flight: Arc::clone(&in_flight),
                notes: notes(),
            };
            let pace = Pace::Open(pace);
            let sending = Sender::new(half(), kind, pace.clone(), workload.clone(), Arc::clone(&next), retry);
            let receiving = Receiver { half: half() };
            let (of_sender, of_receiver) = (Arc::clone(&control), Arc::clone(&control));
            threads.push(thread::spawn(move || guarded(&of_sender, || sending.run(requests.as_mut()))));
            threads.push(thread::spawn(move || guarded(&of_receiver, || receiving.run(answers.as_mut()))));
            let (held_ns, clock) = (Arc::new(AtomicU64::new(0)), pace.clone());
            claims.push(Claims { workload, kind, next, held_ns, pace, due: 0, clock });
        }
        for work in background {
            let context = BackgroundContext { control: Arc::clone(&control), slices: sender.clone() };
            let control = Arc::clone(&control);
            threads.push(thread::spawn(move || guarded(&control, || work(&context))));
        }
        Self { control, claims, slices, recycled, threads }
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
            let held_ns = claims.held_ns.load(Ordering::Relaxed);
            if let Pace::Open(clock) = &mut claims.clock {
                while clock.due_ns(claims.due).is_some_and(|due_ns| due_ns + held_ns <= now_ns) {
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
            self.recycled.give_back(slice);
        }
    }

    /// Why the load cannot go on, if a target said so.
    #[must_use]
    pub(crate) fn fatal(&self) -> Option<String> {
        self.control.fatal()
    }

    /// Whether every thread has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(thread::JoinHandle::is_finished)
    }

    /// Stops: no operation begins any more, those in flight end. Returns at once; see [`Self::is_finished`]. Operations
    /// due later than `stop_ns` after the start do not count as due.
    pub fn stop(&self, stop_ns: u64) {
        self.control.stop(stop_ns);
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
            let held_ns = stream.held_ns.load(Ordering::Relaxed);
            let mut slice = Slice::default();
            for index in stream.next.load(Ordering::Relaxed).. {
                let Some(due_ns) = schedule.due_ns(index).filter(|due_ns| *due_ns < stop_ns) else { break };
                let due_ns = due_ns + held_ns;
                let place = due_ns.min(stop_ns - 1) / SLICE_NS;
                if place != slice.index {
                    take(&slice);
                    slice.reset(place);
                }
                let kind = stream.kind.unwrap_or_else(|| stream.workload.kind(index));
                stream.workload.operation(kind, index, &mut operation);
                slice.leave(&operation, due_ns, stop_ns);
            }
            take(&slice);
        }
        self.threads.iter().filter(|thread| !thread.is_finished()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_and_no_more_of_it_kept_than_workers_need() {
        let (recycling, spare) = Recycling::new();
        let with_memory = || Slice { samples: Vec::with_capacity(1), ..Slice::default() };
        // As many as a listener reports in a minute, and as a stall of workers brings at once.
        for _ in 0..5_000 {
            recycling.give_back(Slice::default());
            recycling.give_back(with_memory());
        }
        let kept: Vec<_> = spare.try_iter().collect();
        assert_eq!(kept.len(), SPARE_MOST);
        assert!(kept.iter().all(|slice| slice.samples.capacity() > 0), "one without memory is of no use");
        recycling.give_back(with_memory());
        assert!(spare.try_recv().is_ok(), "there is room again");
    }

    #[test]
    fn a_thread_that_panics_fails_the_load() {
        let control = Control::new(Instant::now());
        guarded(&control, || ());
        assert_eq!(control.fatal(), None);
        guarded(&control, || panic!("operation {}", 7));
        assert!(control.fatal().is_some_and(|why| why.contains("panicked") && why.ends_with("operation 7")));
    }
}

//! One worker: it claims the next operation of its stream, waits until that is due, has the target execute it, and records
//! what came of it.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Batch, Pace,
    control::{Control, nanoseconds},
    notes::Notes,
};
use crate::{
    measure::{Class, IoRole, Outcome, Sample},
    target::{Execution, IdleWork, Target},
    timer,
    workload::{Kind, Operation, Workload},
};

/// A worker and the part of the load that is its own.
pub(super) struct Worker {
    /// The kind of every operation; `None` where the workload chooses for each.
    pub kind: Option<Kind>,
    /// When they are due.
    pub pace: Pace,
    /// How many writes share a transaction, where several do.
    pub batch: Option<Batch>,
    pub workload: Workload,
    /// The next index of the stream, shared by its workers.
    pub next: Arc<AtomicU64>,
    pub control: Arc<Control>,
    pub client_timeout: Duration,
    pub notes: Notes,
    pub waiting: WaitingBatch,
    /// How long targets of the stream let nothing begin for reasons of their own: by so much everything after it is due later.
    pub held_ns: Arc<AtomicU64>,
}

/// The operations that wait to be written together. Their memory is used again by the batches that follow.
#[derive(Default)]
pub(super) struct WaitingBatch {
    in_flight: Vec<InFlight>,
    /// As many of them are waiting as there are in flight; those behind are spare.
    operations: Vec<Operation>,
}

impl WaitingBatch {
    /// Takes an operation over, and leaves a spare one in its place.
    fn push(&mut self, in_flight: InFlight, operation: &mut Operation) {
        let place = self.in_flight.len();
        if place == self.operations.len() {
            self.operations.push(Operation::default());
        }
        std::mem::swap(&mut self.operations[place], operation);
        self.in_flight.push(in_flight);
    }

    fn operations(&self) -> &[Operation] {
        &self.operations[..self.in_flight.len()]
    }
}

/// An operation that a worker has begun.
#[derive(Clone, Copy)]
struct InFlight {
    class: Class,
    due: Instant,
    begun: Instant,
    lag: Option<Duration>,
}

/// How a worker came to the instant at which its operation is due.
enum Wait {
    /// It was busy with another operation until after it.
    Late,
    /// It slept, and woke this much later.
    Woke(Duration),
    /// The load stopped meanwhile.
    Stopped,
}

impl Worker {
    /// Executes operations until there are no more, or the load stops.
    pub fn run<T: Target>(mut self, target: &T) {
        timer::wake_on_time();
        target.begin();
        let mut operation = Operation::default();
        let mut idle = target.idle();
        while self.turn(target, &mut idle, &mut operation).is_continue() {}
        // What it has not finished ends here, before the last writes.
        drop(idle);
        self.write_batch(target);
        self.hand_over(target);
    }

    /// The next operation of the stream.
    fn turn<T: Target>(&mut self, target: &T, idle: &mut IdleWork<'_>, operation: &mut Operation) -> ControlFlow<()> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let kind = self.kind.unwrap_or_else(|| self.workload.kind(index));
        let due = match &mut self.pace {
            Pace::Closed if self.control.is_stopped() => return ControlFlow::Break(()),
            Pace::Closed => Instant::now(),
            Pace::Open(schedule) => match schedule.due_ns(index) {
                Some(due_ns) => {
                    self.control.start + Duration::from_nanos(due_ns + self.held_ns.load(Ordering::Relaxed))
                }
                None => return ControlFlow::Break(()),
            },
        };
        // What was done in the slice before is handed over now, not after a long sleep.
        self.enter(target, due);
        self.workload.operation(kind, index, operation);
        idle(self.batch_due().map_or(due, |together| together.min(due)));
        let lag = match self.wait(target, due) {
            Wait::Late => None,
            Wait::Woke(lag) => Some(lag),
            Wait::Stopped => {
                let (due_ns, stop_ns) = (nanoseconds(due - self.control.start), self.control.stop_ns());
                let held_ns = self.held_ns.load(Ordering::Relaxed);
                if due_ns < stop_ns.saturating_add(held_ns) {
                    let at_ns = due_ns.min(stop_ns.saturating_sub(1));
                    self.enter(target, self.control.start + Duration::from_nanos(at_ns));
                    self.notes.slice.leave(operation, due_ns, stop_ns);
                }
                return ControlFlow::Break(());
            }
        };
        self.enter(target, due);
        self.notes.slice.asked += operation.asks();
        self.execute(target, operation, due, lag);
        ControlFlow::Continue(())
    }

    fn execute<T: Target>(&mut self, target: &T, operation: &mut Operation, due: Instant, lag: Option<Duration>) {
        let in_flight = InFlight { class: Class::of(operation), due, begun: Instant::now(), lag };
        let until = due + self.client_timeout;
        if in_flight.begun > until {
            self.notes.slice.dropped[in_flight.class as usize] += 1;
            return;
        }
        if let Some(batch) = self.batch.filter(|_| operation.asks().commits > 0) {
            self.waiting.push(in_flight, operation);
            if self.waiting.in_flight.len() >= batch.operations {
                self.write_batch(target);
            }
            return;
        }
        let execution = target.execute(operation, until);
        self.record(in_flight, &execution, Instant::now(), execution.statements);
        if let Some(until) = execution.hold_until {
            self.hold(target, until);
        }
        self.notes.slice.lost_writes[in_flight.class as usize] += execution.lost_writes;
        self.notes.slice.lost_to_full_disk += execution.lost_to_full_disk;
        self.check(execution);
    }

    /// Begins nothing until a time, for reasons of the target's own.
    fn hold<T: Target>(&mut self, target: &T, until: Instant) {
        let held = until.saturating_duration_since(Instant::now());
        self.held_ns.fetch_add(nanoseconds(held), Ordering::Relaxed);
        self.notes.slice.held_us += nanoseconds(held) / 1_000;
        thread::sleep(held);
        if self.control.is_stopped() {
            // The load has ended meanwhile: only what comes before its end is put off.
            let stop = self.control.start + Duration::from_nanos(self.control.stop_ns());
            let beyond = until.saturating_duration_since(stop).min(held);
            self.held_ns.fetch_sub(nanoseconds(beyond), Ordering::Relaxed);
        }
        target.release();
    }

    /// Has the operations that wait written, in one transaction.
    fn write_batch<T: Target>(&mut self, target: &T) {
        let Some(first) = self.waiting.in_flight.first() else { return };
        let (until, first_class) = (first.due + self.client_timeout, first.class);
        let execution = target.execute_batch(self.waiting.operations(), until);
        let ended = Instant::now();
        let mut in_flight = std::mem::take(&mut self.waiting.in_flight);
        self.notes.slice.lost_writes[first_class as usize] += execution.lost_writes;
        self.notes.slice.lost_to_full_disk += execution.lost_to_full_disk;
        let operations = u32::try_from(in_flight.len()).unwrap_or(u32::MAX);
        // The first one has what cannot be shared out.
        let (statements, mut rest) = (execution.statements / operations, execution.statements % operations);
        for operation in in_flight.drain(..) {
            self.enter(target, operation.due);
            self.record(operation, &execution, ended, statements + std::mem::take(&mut rest));
        }
        self.waiting.in_flight = in_flight;
        self.check(execution);
    }

    fn record(&mut self, operation: InFlight, execution: &Execution, ended: Instant, statements: u32) {
        let InFlight { class, due, begun, lag } = operation;
        let outcome = match execution.failure {
            Some(failure) => Outcome::Failed(failure),
            None if ended > due + self.client_timeout => Outcome::TimedOut,
            None => Outcome::Served,
        };
        self.notes.slice.samples.push(Sample {
            class,
            outcome,
            response_us: microseconds(ended - due),
            service_us: microseconds(ended - begun),
            lag_us: lag.map(microseconds),
            ended_us: nanoseconds(ended.saturating_duration_since(self.control.start)) / 1_000,
            committed: class == Class::CommittingAnnounce && execution.has_committed(),
            carried_checkpoint: execution.carried_checkpoint,
            statements,
        });
    }

    fn check(&self, execution: Execution) {
        if let Some(why) = execution.fatal {
            self.control.fail(why);
        }
    }

    /// When the operations that wait are to be written.
    fn batch_due(&self) -> Option<Instant> {
        self.batch.zip(self.waiting.in_flight.first()).map(|(batch, first)| first.begun + batch.wait)
    }

    fn wait<T: Target>(&mut self, target: &T, due: Instant) -> Wait {
        // Long sleeps are cut, so that a stop is noticed.
        const LONGEST: Duration = Duration::from_millis(50);
        let mut idle = false;
        loop {
            if self.control.is_stopped() {
                return Wait::Stopped;
            }
            let now = Instant::now();
            let together = self.batch_due();
            if together.is_some_and(|together| now >= together) {
                self.write_batch(target);
                idle = false;
                continue;
            }
            let left = due.saturating_duration_since(now);
            if left.is_zero() {
                return if idle { Wait::Woke(now - due) } else { Wait::Late };
            }
            let left = together.map_or(left, |together| left.min(together - now));
            thread::sleep(left.min(LONGEST));
            idle = true;
        }
    }

    /// Goes to the slice in which an operation is due.
    fn enter<T: Target>(&mut self, target: &T, due: Instant) {
        let index = self.control.slice_at(due);
        if index != self.notes.slice.index {
            self.hand_over(target);
            self.notes.enter(index);
        }
    }

    /// What was asked of the files since the slice before was handed over was asked by the operations of this one.
    fn hand_over<T: Target>(&mut self, target: &T) {
        let slice = &mut self.notes.slice;
        target.take_io(&mut slice.io);
        slice.io_role = match self.kind {
            Some(Kind::Announce) => IoRole::Announces,
            Some(Kind::Scrape) => IoRole::Scrapes,
            None => IoRole::Requests,
        };
        self.notes.hand_over();
    }
}

/// Rounded up, so that nothing took 0 us.
fn microseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_nanos().div_ceil(1_000)).unwrap_or(u32::MAX)
}

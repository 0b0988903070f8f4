//! A stream over a network: one thread sends each request when it is due, whether or not those before it were answered, and
//! another one takes the answers.
//!
//! Workers that wait for their answers would send nothing while the other side is silent; clients in the world do, and what they
//! send is then lost in the other side's socket buffer.
//!
//! A request that was not answered within the retry time is sent again, and again after twice that, as BEP 15 has it, until its client
//! gives up. Its response time counts from the instant at which it was due.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{
    Pace,
    control::{Control, nanoseconds},
    notes::Notes,
};
use crate::{
    measure::{Class, OperationFailure, Outcome, SLICE_NS, Sample},
    target::{Answer, Answers, Requests},
    timer,
    workload::{Kind, Operation, Workload},
};

/// How long a thread of an exchange waits at the most before it looks whether the load has stopped.
const LOOK: Duration = Duration::from_millis(20);

/// The requests that wait for an answer. The sender puts them in, and whoever of both comes first takes each out.
pub(super) struct InFlight {
    places: Box<[Place]>,
    /// Set when the sender has ended and nothing waits any more.
    is_over: AtomicBool,
}

/// A request, in one word that says which, and the times that belong to it.
#[derive(Default)]
struct Place {
    /// 0 where it is free; else the number of the request and one more, and its class.
    state: AtomicU64,
    due_ns: AtomicU64,
    sent_ns: AtomicU64,
}

/// A request that waits, or has waited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiting {
    class: Class,
    due_ns: u64,
    sent_ns: u64,
}

const CLASS_BITS: u32 = 2;

impl InFlight {
    /// For so many at once, at the least.
    pub fn new(most: usize) -> Self {
        let places = (0..most.next_power_of_two()).map(|_| Place::default()).collect();
        Self { places, is_over: AtomicBool::new(false) }
    }

    fn place(&self, number: u32) -> &Place {
        // A power of two.
        &self.places[number as usize & (self.places.len() - 1)]
    }

    fn put(&self, number: u32, waiting: Waiting) {
        let Waiting { class, due_ns, sent_ns } = waiting;
        let place = self.place(number);
        place.due_ns.store(due_ns, Ordering::Relaxed);
        place.sent_ns.store(sent_ns, Ordering::Relaxed);
        let name = u64::from(number) + 1;
        let state = name << CLASS_BITS | class as u64;
        place.state.store(state, Ordering::Release);
    }

    /// A request that waits; `None` where it was answered, or given up.
    fn look(&self, number: u32) -> Option<(u64, Waiting)> {
        let place = self.place(number);
        let state = place.state.load(Ordering::Acquire);
        let name = state >> CLASS_BITS;
        let class = Class::ALL[(state & ((1 << CLASS_BITS) - 1)) as usize];
        let [due_ns, sent_ns] = [&place.due_ns, &place.sent_ns].map(|time| time.load(Ordering::Relaxed));
        (name == u64::from(number) + 1).then_some((state, Waiting { class, due_ns, sent_ns }))
    }

    /// Takes it out; `None` where the other thread was faster.
    fn take(&self, number: u32) -> Option<Waiting> {
        let (state, waiting) = self.look(number)?;
        let taken = self.place(number).state.compare_exchange(state, 0, Ordering::AcqRel, Ordering::Acquire);
        taken.is_ok().then_some(waiting)
    }
}

/// What both threads of an exchange note of a request.
fn sample(waiting: Waiting, ended_ns: u64, outcome: Outcome) -> Sample {
    let Waiting { class, due_ns, sent_ns } = waiting;
    let microseconds =
        |from_ns: u64, to_ns: u64| u32::try_from(to_ns.saturating_sub(from_ns).div_ceil(1_000)).unwrap_or(u32::MAX);
    Sample {
        class,
        outcome,
        response_us: microseconds(due_ns, ended_ns),
        service_us: microseconds(sent_ns, ended_ns),
        // The sender waits for nobody, so all of its lateness is its own.
        lag_us: Some(microseconds(due_ns, sent_ns)),
        ended_us: ended_ns / 1_000,
        committed: false,
        carried_checkpoint: false,
        statements: 0,
    }
}

/// What both threads of an exchange have.
pub(super) struct Half {
    pub control: Arc<Control>,
    pub client_timeout: Duration,
    pub in_flight: Arc<InFlight>,
    pub notes: Notes,
}

impl Half {
    fn ns_at(&self, instant: Instant) -> u64 {
        nanoseconds(instant.saturating_duration_since(self.control.start))
    }

    /// When the client of a request gives up.
    fn until_ns(&self, waiting: Waiting) -> u64 {
        waiting.due_ns.saturating_add(nanoseconds(self.client_timeout))
    }

    /// Notes how a request ended, unless the other thread did.
    fn end(&mut self, number: u32, at: Instant, outcome: impl FnOnce(bool) -> Outcome) {
        let Some(waiting) = self.in_flight.take(number) else { return };
        let ended_ns = self.ns_at(at);
        let in_time = ended_ns <= self.until_ns(waiting);
        self.notes.enter(waiting.due_ns / SLICE_NS);
        self.notes.slice.samples.push(sample(waiting, ended_ns, outcome(in_time)));
    }
}

/// Says that nothing waits any more, when it is dropped.
struct Over(Arc<InFlight>);

impl Drop for Over {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Release);
    }
}

/// The thread that sends.
pub(super) struct Sender {
    half: Half,
    /// The kind of every operation; `None` where the workload chooses for each.
    kind: Option<Kind>,
    pace: Pace,
    workload: Workload,
    /// The next index of the stream.
    next: Arc<AtomicU64>,
    /// After how long a request is sent again, and after twice that once more.
    retry: Duration,
    /// The requests from this number on have not been looked at since they were sent.
    oldest: u64,
    /// Those that were sent again, by how often, in the order in which they were.
    again: Vec<VecDeque<u64>>,
}

impl Sender {
    pub fn new(
        half: Half,
        kind: Option<Kind>,
        pace: Pace,
        workload: Workload,
        next: Arc<AtomicU64>,
        retry: Duration,
    ) -> Self {
        Self { half, kind, pace, workload, next, retry, oldest: 0, again: Vec::new() }
    }

    pub fn run(mut self, requests: &mut dyn Requests) {
        // Also where this thread panics: else the other one would go on for ever.
        let _over = Over(Arc::clone(&self.half.in_flight));
        timer::wake_on_time();
        let mut operation = Operation::default();
        let mut sent = 0;
        while let Some(index) = self.send_next(requests, &mut operation) {
            sent = index + 1;
        }
        while self.look_after(requests, &mut operation, sent) {
            thread::sleep(LOOK);
        }
        self.half.notes.hand_over();
    }

    /// Sends the next request of the stream when it is due, and returns its index; none where the load has stopped by then.
    fn send_next(&mut self, requests: &mut dyn Requests, operation: &mut Operation) -> Option<u64> {
        let index = self.next.fetch_add(1, Ordering::Relaxed);
        let Pace::Open(schedule) = &mut self.pace else { return None };
        let due_ns = schedule.due_ns(index)?;
        self.wait(requests, operation, index, due_ns)?;
        self.fill(index, operation);
        let notes = &mut self.half.notes;
        notes.enter(due_ns / SLICE_NS);
        notes.slice.asked += operation.asks();
        let waiting = Waiting { class: Class::of(operation), due_ns, sent_ns: self.half.ns_at(Instant::now()) };
        // Where its place is taken, the one that is there has waited longer than anybody is to wait.
        let before = index.checked_sub(self.half.in_flight.places.len() as u64);
        if let Some(before) = before {
            self.half.end(number(before), Instant::now(), |_| Outcome::TimedOut);
        }
        self.half.in_flight.put(number(index), waiting);
        self.send(requests, index, operation);
        Some(index)
    }

    fn send(&mut self, requests: &mut dyn Requests, index: u64, operation: &Operation) {
        if requests.send(number(index), operation).is_err() {
            self.half.end(number(index), Instant::now(), |_| Outcome::Failed(OperationFailure::InputOutput));
        }
    }

    fn fill(&self, index: u64, operation: &mut Operation) {
        let kind = self.kind.unwrap_or_else(|| self.workload.kind(index));
        self.workload.operation(kind, index, operation);
    }

    /// Waits until a request is due; `None` where the load stops before.
    fn wait(&mut self, requests: &mut dyn Requests, operation: &mut Operation, next: u64, due_ns: u64) -> Option<()> {
        let due = self.half.control.start + Duration::from_nanos(due_ns);
        loop {
            self.look_after(requests, operation, next);
            if due_ns >= self.half.control.stop_ns() {
                return None;
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(());
            }
            thread::sleep(left.min(LOOK));
        }
    }

    /// Sends again what waits too long, and gives up what nobody waits for any more. Whether anything waits at all, of the
    /// requests before `next`.
    fn look_after(&mut self, requests: &mut dyn Requests, operation: &mut Operation, next: u64) -> bool {
        let now_ns = self.half.ns_at(Instant::now());
        while self.oldest < next && !self.is_to_wait(self.oldest, 0, now_ns) {
            self.look_at(requests, operation, self.oldest, 0, now_ns);
            self.oldest += 1;
        }
        for times in 1..=self.again.len() {
            while let Some(&index) = self.again[times - 1].front()
                && !self.is_to_wait(index, times, now_ns)
            {
                self.again[times - 1].pop_front();
                self.look_at(requests, operation, index, times, now_ns);
            }
        }
        self.oldest < next || self.again.iter().any(|indices| !indices.is_empty())
    }

    /// When a request that was sent again so many times is to be looked at next.
    fn look_ns(&self, waiting: Waiting, times: usize) -> u64 {
        let factor = (2_u32 << times.min(16)) - 1;
        let again_ns = waiting.due_ns.saturating_add(nanoseconds(self.retry.saturating_mul(factor)));
        again_ns.min(self.half.until_ns(waiting))
    }

    fn is_to_wait(&self, index: u64, times: usize, now_ns: u64) -> bool {
        let waiting = self.half.in_flight.look(number(index));
        waiting.is_some_and(|(_, waiting)| self.look_ns(waiting, times) > now_ns)
    }

    /// A request whose time to be looked at has come, where it was not answered meanwhile.
    fn look_at(
        &mut self,
        requests: &mut dyn Requests,
        operation: &mut Operation,
        index: u64,
        times: usize,
        now_ns: u64,
    ) {
        let Some((_, waiting)) = self.half.in_flight.look(number(index)) else { return };
        if self.half.until_ns(waiting) <= now_ns {
            return self.half.end(number(index), Instant::now(), |_| Outcome::TimedOut);
        }
        if times == self.again.len() {
            self.again.push(VecDeque::new());
        }
        self.again[times].push_back(index);
        self.fill(index, operation);
        // An error is about this packet: the one before it may still be answered.
        let _ = requests.send(number(index), operation);
    }
}

/// What the request with this index is known by to the other side.
fn number(index: u64) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "those that wait together are fewer than 2^32")]
    let number = index as u32;
    number
}

/// The thread that takes answers.
pub(super) struct Receiver {
    pub half: Half,
}

impl Receiver {
    pub fn run(mut self, answers: &mut dyn Answers) {
        while !self.half.in_flight.is_over.load(Ordering::Acquire) {
            let until = Instant::now() + LOOK;
            let received = answers.receive(until, &mut |answer| self.note(answer));
            if received.is_err() {
                // The other side is gone, or refuses: nobody is answered, and that is noted when clients give up.
                thread::sleep(LOOK);
            }
        }
        self.half.notes.hand_over();
    }

    fn note(&mut self, answer: Answer) {
        let Answer { number, at, failure } = answer;
        self.half.end(number, at, |in_time| match (failure, in_time) {
            (Some(failure), _) => Outcome::Failed(failure),
            (None, true) => Outcome::Served,
            (None, false) => Outcome::TimedOut,
        });
    }
}

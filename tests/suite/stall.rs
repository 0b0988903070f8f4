//! A stall of the target must show in the response times of everything that was due meanwhile, and in the service time
//! once. The distribution is compared with arithmetic.

use std::{
    cell::Cell,
    thread,
    time::{Duration, Instant},
};

use journalbench::{
    load::{Load, Pace, Stream},
    measure::{Counts, OperationKind, SLICE_NS, Tally, percentile},
    pace::{Rate, Schedule, Spread},
    target::{Execution, Target},
    torrents::Torrents,
    workload::{Kind, Mix, Operation, Workload, WriteProfile},
};

/// How often a disturbed machine is given another try.
const TRIES: usize = 5;

const MIX: Mix = Mix::of(WriteProfile::CompletedOnly);

/// Answers at once, but for one freeze.
struct Freezing {
    executed: Cell<u64>,
    freeze_at: u64,
    freeze: Duration,
}

impl Target for Freezing {
    fn execute(&self, _: &Operation, _: Instant) -> Execution {
        if self.executed.get() == self.freeze_at {
            thread::sleep(self.freeze);
        }
        self.executed.set(self.executed.get() + 1);
        Execution::default()
    }

    fn execute_batch(&self, _: &[Operation], _: Instant) -> Execution {
        Execution::default()
    }
}

/// Answers at once, and then lets nothing begin for a while, once.
struct Holding {
    executed: Cell<u64>,
    hold_at: u64,
    /// How long that operation takes.
    slow: Duration,
    /// How long nothing else may begin after its answer.
    hold: Duration,
}

impl Target for Holding {
    fn execute(&self, _: &Operation, _: Instant) -> Execution {
        let mut execution = Execution::default();
        if self.executed.get() == self.hold_at {
            thread::sleep(self.slow);
            execution.hold_until = Some(Instant::now() + self.hold);
        }
        self.executed.set(self.executed.get() + 1);
        execution
    }

    fn execute_batch(&self, _: &[Operation], _: Instant) -> Execution {
        Execution::default()
    }
}

/// Holds its stream after the fiftieth operation.
fn holding(slow: Duration, hold: Duration) -> Holding {
    Holding { executed: Cell::new(0), hold_at: 50, slow, hold }
}

fn stream<T: Target>(rate_ops: f64, end_ns: u64, targets: Vec<T>) -> Stream<T> {
    let schedule = Schedule::new(Spread::Constant, Rate::constant(rate_ops), 1, end_ns);
    Stream { kind: Some(Kind::Announce), pace: Pace::Open(schedule), batch: None, targets }
}

/// When a load is stopped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// When it was to end.
    OnTime,
    /// When all that was due has begun: a machine that has other things to do may be late with the last ones.
    WhenAllHasBegun,
}

fn run<T: Target + Send + 'static>(
    rate_ops: f64,
    length_s: u64,
    client_timeout: Duration,
    target: T,
    stop: Stop,
) -> Tally {
    let end_ns = length_s * 1_000_000_000;
    let workload = Workload::new(MIX, Torrents::new(1_000, 1), 1);
    let load = Load::start(vec![stream(rate_ops, end_ns, vec![target])], Vec::new(), &workload, client_timeout);
    let mut tally = Tally::default();
    let goes_on = |load: &Load| match stop {
        Stop::OnTime => load.elapsed_ns() < end_ns,
        // Its worker ends with the schedule.
        Stop::WhenAllHasBegun => !load.is_finished() && load.elapsed_ns() < end_ns + 60_000_000_000,
    };
    while goes_on(&load) {
        load.drain(|slice| tally.add(slice));
        thread::sleep(Duration::from_millis(10));
    }
    load.stop(end_ns);
    assert_eq!(load.finish(Duration::from_secs(20), |slice| tally.add(slice)), 0);
    tally
}

/// Freezes the target for a second, a second into three, and compares the whole distribution with arithmetic.
///
/// A third of the operations is due while it is frozen. They wait for its end, so their response times are spread evenly
/// over the second: of all, a share `q` above two thirds waited `3 q - 2` seconds at most.
///
/// A machine that does something else works the backlog off later.
fn stall_is_seen_at(rate_ops: u32) {
    one_try_succeeds(|| try_to_see_stall_at(rate_ops));
}

/// One undisturbed try of five is enough.
fn one_try_succeeds(try_it: impl Fn() -> Result<(), String>) {
    let tries = (0..TRIES).map(|_| try_it());
    let disturbed: Vec<_> = tries.map_while(Result::err).collect();
    assert!(disturbed.len() < TRIES, "{disturbed:?}");
}

/// One try. What a busy machine may have changed is said; anything else fails the test.
fn try_to_see_stall_at(rate_ops: u32) -> Result<(), String> {
    let freeze_at = u64::from(rate_ops);
    let due = freeze_at * 3;
    let target = Freezing { executed: Cell::new(0), freeze_at, freeze: Duration::from_secs(1) };
    let tally = run(f64::from(rate_ops), 3, Duration::from_secs(15), target, Stop::WhenAllHasBegun);
    let announces = tally.of(OperationKind::Announce);
    assert_eq!(announces.counts, Counts { served: due, ..Counts::default() });
    for hundredth in 68..=100 {
        let quantile = f64::from(hundredth) / 100.0;
        let expected_ms = (3.0 * quantile - 2.0) * 1e3;
        let found_ms = percentile(&announces.response, due, quantile).unwrap() as f64 / 1e3;
        // An operation of a hundred a second stands for 10 ms; the rest is how late threads wake, and the backlog that
        // takes some milliseconds to be worked off.
        let tolerance_ms = 25.0 + 1e3 / f64::from(rate_ops);
        if (found_ms - expected_ms).abs() > tolerance_ms {
            return Err(format!("at {rate_ops}/s the {hundredth}th percentile is {found_ms} ms, not {expected_ms}"));
        }
    }
    assert_eq!(announces.service.count_between(500_000, u64::MAX), 1, "service time shows the stall once");
    let of_served_at_once_us = percentile(&announces.response, due, 0.6).unwrap();
    if of_served_at_once_us < 50_000 { Ok(()) } else { Err(format!("two thirds waited {of_served_at_once_us} us")) }
}

#[test]
fn response_time_shows_a_stall_at_100_operations_a_second() {
    stall_is_seen_at(100);
}

#[test]
fn response_time_shows_a_stall_at_1000_operations_a_second() {
    stall_is_seen_at(1_000);
}

#[test]
fn response_time_shows_a_stall_at_17000_operations_a_second() {
    stall_is_seen_at(17_000);
}

#[test]
fn what_a_stalled_client_gave_up_is_dropped_and_ranks_as_infinitely_late() {
    // A freeze of 1 s with a client timeout of 0.4 s: the operation in flight ends too late, the 600 due in the first
    // 0.6 s of the freeze are dropped, give or take what falls on the edges.
    one_try_succeeds(|| {
        let target = Freezing { executed: Cell::new(0), freeze_at: 500, freeze: Duration::from_secs(1) };
        let tally = run(1_000.0, 2, Duration::from_millis(400), target, Stop::WhenAllHasBegun);
        let announces = tally.of(OperationKind::Announce);
        let Counts { served, failed, timed_out, dropped, never_served } = announces.counts;
        assert_eq!((announces.counts.due(), failed, never_served), (2_000, 0, 0));
        assert_eq!(announces.response.len(), served);
        if timed_out != 1 || dropped.abs_diff(600) > 30 {
            return Err(format!("{timed_out} timed out and {dropped} dropped"));
        }
        assert_eq!(percentile(&announces.response, 2_000, 0.99), None, "no answer");
        assert!(percentile(&announces.response, 2_000, 0.6).is_some());
        Ok(())
    });
}

#[test]
fn a_wait_that_the_target_makes_for_reasons_of_its_own_is_nobodys_response_time() {
    // Held for 0.5 s after the 50th of 200 answers: all of the 50 that are due meanwhile wait, and no client does.
    one_try_succeeds(|| {
        let target = holding(Duration::ZERO, Duration::from_millis(500));
        let tally = run(100.0, 2, Duration::from_millis(400), target, Stop::WhenAllHasBegun);
        let announces = tally.of(OperationKind::Announce);
        let Counts { served, .. } = announces.counts;
        let longest_us = percentile(&announces.response, 200, 1.0).filter(|_| served == 200);
        match longest_us {
            Some(us) if us < 100_000 => Ok(()),
            _ => Err(format!("{served} served, the longest of which took {longest_us:?} us")),
        }
    });
}

#[test]
fn what_the_target_itself_takes_counts_although_the_harness_waits_after_it() {
    one_try_succeeds(|| {
        let target = holding(Duration::from_millis(300), Duration::from_millis(500));
        let tally = run(100.0, 2, Duration::from_secs(15), target, Stop::WhenAllHasBegun);
        let announces = tally.of(OperationKind::Announce);
        // It is answered after 300 ms, in which 30 others were due: 20 of these waited for longer than 100 ms.
        let longer = announces.response.count_between(100_000, u64::MAX);
        let longest_us = percentile(&announces.response, 200, 1.0);
        match longest_us {
            Some(us) if (295_000..360_000).contains(&us) && longer.abs_diff(21) <= 4 => Ok(()),
            _ => Err(format!("{longer} took longer than 100 ms, and the longest {longest_us:?} us")),
        }
    });
}

#[test]
fn what_the_harness_puts_off_beyond_the_end_was_not_due() {
    one_try_succeeds(|| {
        let target = holding(Duration::ZERO, Duration::from_millis(500));
        let tally = run(100.0, 2, Duration::from_secs(15), target, Stop::OnTime);
        let withheld = tally.of(OperationKind::Announce).withheld;
        let Counts { served, never_served, .. } = tally.counts();
        assert_eq!(served + never_served + withheld, 200);
        assert!(tally.held_us.abs_diff(500_000) < 20_000, "{}", tally.held_us);
        if withheld.abs_diff(50) <= 3 && never_served <= 3 {
            Ok(())
        } else {
            Err(format!("{withheld} withheld and {never_served} never served"))
        }
    });
}

#[test]
fn what_had_not_begun_when_the_load_stopped_is_counted() {
    // A freeze of 0.6 s that begins 0.2 s before the end: everything due in those 0.2 s is never served, but for the
    // operation that was frozen.
    one_try_succeeds(|| {
        let target = Freezing { executed: Cell::new(0), freeze_at: 800, freeze: Duration::from_millis(600) };
        let tally = run(1_000.0, 1, Duration::from_secs(15), target, Stop::OnTime);
        let Counts { served, never_served, .. } = tally.counts();
        assert_eq!(served + never_served, 1_000);
        if never_served.abs_diff(199) <= 10 { Ok(()) } else { Err(format!("{never_served} never served")) }
    });
}

#[test]
fn an_early_stop_counts_what_was_due_until_then() {
    let workload = Workload::new(MIX, Torrents::new(1_000, 1), 1);
    let targets =
        (0..3).map(|_| Freezing { executed: Cell::new(0), freeze_at: u64::MAX, freeze: Duration::ZERO }).collect();
    let streams = vec![stream(100.0, 60_000_000_000, targets)];
    let load = Load::start(streams, Vec::new(), &workload, Duration::from_secs(15));
    let mut tally = Tally::default();
    while load.elapsed_ns() < 300_000_000 {
        thread::sleep(Duration::from_millis(5));
    }
    let stopped_at = load.elapsed_ns() / SLICE_NS * SLICE_NS;
    load.stop(stopped_at);
    let begun = Instant::now();
    assert_eq!(load.finish(Duration::from_secs(5), |slice| tally.add(slice)), 0);
    assert!(begun.elapsed() < Duration::from_secs(1), "sleeping workers notice a stop");
    let due = stopped_at.div_ceil(10_000_000);
    assert!(tally.counts().due().abs_diff(due) <= 1, "{:?}, not {due}", tally.counts());
}

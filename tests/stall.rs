//! A stall of the backend must show in the response times of everything that was due meanwhile, and in the service time
//! once. The distribution is compared with arithmetic.

use std::{
    thread,
    time::{Duration, Instant},
};

use journalbench::{
    load::{Backend, Executed, Load, Stream},
    measure::{Counts, SLICE_NS, Tally, percentile},
    pace::{Arrivals, Schedule},
    torrents::Torrents,
    workload::{Kind, Mix, Operation, Workload, WriteProfile},
};

const MIX: Mix = Mix {
    write_profile: WriteProfile::CompletedOnly,
    completed_share: 0.05,
    new_torrent_share: 0.01,
    zipf_exponent: 1.0,
    scrape_hashes_max: 74,
};
const DONE: Executed = Executed { result: Ok(()), statements: 1, fatal: None };

/// Answers at once, but for one freeze.
struct Freezing {
    executed: u64,
    freeze_at: u64,
    freeze: Duration,
}

impl Backend for Freezing {
    fn execute(&mut self, _: &Operation, _: Instant) -> Executed {
        if self.executed == self.freeze_at {
            thread::sleep(self.freeze);
        }
        self.executed += 1;
        DONE
    }
}

fn run(rate_ops: f64, length_s: u64, client_timeout: Duration, backend: Freezing) -> Tally {
    let end_ns = length_s * 1_000_000_000;
    let schedule = Schedule::new(Arrivals::Constant, rate_ops, 1, end_ns);
    let workload = Workload::new(MIX, Torrents::new(1_000, 1), 1);
    let stream = Stream { kind: Kind::Announce, schedule, backends: vec![backend] };
    let load = Load::start(vec![stream], &workload, client_timeout);
    let mut tally = Tally::default();
    while load.elapsed_ns() < end_ns {
        load.drain(|slice| tally.add(slice));
        thread::sleep(Duration::from_millis(10));
    }
    load.stop(end_ns);
    assert_eq!(load.finish(Duration::from_secs(20), |slice| tally.add(slice)), 0);
    tally
}

#[test]
fn response_time_shows_a_stall_and_service_time_shows_it_once() {
    // 3,000 operations in 3 s, of which the 1,000 due in the second that begins at 1 s wait for its end: their response
    // times are spread evenly over the second. The k-th slowest of all waited 1 s less k ms.
    let backend = Freezing { executed: 0, freeze_at: 1_000, freeze: Duration::from_secs(1) };
    let tally = run(1_000.0, 3, Duration::from_secs(15), backend);
    let announces = &tally.kinds[Kind::Announce as usize];
    assert_eq!(announces.counts, Counts { served: 3_000, ..Counts::default() });
    for (quantile, expected_ms) in [(1.0, 1_000), (0.999, 997), (0.99, 970), (0.9, 700), (0.8, 400), (0.7, 100)] {
        let found_ms = percentile(&announces.response, 3_000, quantile).unwrap() / 1_000;
        assert!(found_ms.abs_diff(expected_ms) <= 30, "p{}: {found_ms} ms, not {expected_ms}", quantile * 100.0);
    }
    assert!(percentile(&announces.response, 3_000, 0.5).unwrap() < 30_000, "two thirds did not wait");
    let slow = announces.service.count_between(500_000, u64::MAX);
    assert_eq!(slow, 1, "service time shows the stall once");
    assert!(percentile(&announces.service, 3_000, 0.99).unwrap() < 5_000);
}

#[test]
fn what_a_stalled_client_gave_up_is_dropped_and_ranks_as_infinitely_late() {
    // A freeze of 1 s with a client timeout of 0.4 s: the operation in flight ends too late, the 600 due in the first
    // 0.6 s of the freeze are dropped, give or take what falls on the edges.
    let backend = Freezing { executed: 0, freeze_at: 500, freeze: Duration::from_secs(1) };
    let tally = run(1_000.0, 2, Duration::from_millis(400), backend);
    let announces = &tally.kinds[Kind::Announce as usize];
    let Counts { served, failed, timed_out, dropped, never_served } = announces.counts;
    assert_eq!((announces.counts.due(), failed, never_served), (2_000, 0, 0));
    assert_eq!(timed_out, 1);
    assert!(dropped.abs_diff(600) <= 30, "{dropped} dropped");
    assert_eq!(announces.response.len(), served);
    assert_eq!(percentile(&announces.response, 2_000, 0.99), None, "no answer");
    assert!(percentile(&announces.response, 2_000, 0.6).is_some());
}

#[test]
fn what_had_not_begun_when_the_load_stopped_is_counted() {
    // A freeze of 0.6 s that begins 0.2 s before the end: everything due in those 0.2 s is never served, but for the
    // operation that was frozen.
    let backend = Freezing { executed: 0, freeze_at: 800, freeze: Duration::from_millis(600) };
    let tally = run(1_000.0, 1, Duration::from_secs(15), backend);
    let Counts { served, never_served, .. } = tally.counts();
    assert_eq!(served + never_served, 1_000);
    assert!(never_served.abs_diff(199) <= 10, "{never_served} never served");
}

#[test]
fn an_early_stop_counts_what_was_due_until_then() {
    let schedule = Schedule::new(Arrivals::Constant, 100.0, 1, 60_000_000_000);
    let workload = Workload::new(MIX, Torrents::new(1_000, 1), 1);
    let backends = (0..3).map(|_| Freezing { executed: 0, freeze_at: u64::MAX, freeze: Duration::ZERO }).collect();
    let load = Load::start(vec![Stream { kind: Kind::Scrape, schedule, backends }], &workload, Duration::from_secs(15));
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

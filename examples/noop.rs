//! What the load generator itself costs and how late it is: a target that does nothing, at a given rate.
//!
//! `cargo run --release --example noop -- 17000 60` runs announces and scrapes with Poisson arrivals at 17,000 operations
//! a second for 60 s, with the five workers of `scenarios/quick.toml`, and prints the rate achieved, the processor time an
//! operation takes, and the lag. Beside it, in the same sitting, one thread that does nothing but sleep until the same
//! kind of instants: what a wake-up costs on this machine, whoever wakes. It says nothing of SQLite.

use std::{
    env, thread,
    time::{Duration, Instant},
};

use journalbench::{
    load::{Load, Pace, Stream},
    measure::{Tally, percentile},
    pace::{Rate, Schedule, Spread},
    target::{Execution, Target},
    torrents::Torrents,
    workload::{Kind, Mix, Operation, Workload, WriteProfile},
};

struct Noop;

impl Target for Noop {
    fn execute(&self, operation: &Operation, _: Instant) -> Execution {
        std::hint::black_box(operation);
        Execution::default()
    }

    fn execute_batch(&self, operations: &[Operation], _: Instant) -> Execution {
        std::hint::black_box(operations);
        Execution::default()
    }
}

const MIX: Mix = Mix::of(WriteProfile::CompletedOnly);

fn main() {
    let mut arguments = env::args().skip(1).filter_map(|argument| argument.parse::<u32>().ok());
    let (Some(rate_ops), Some(length_s)) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: noop RATE SECONDS");
        std::process::exit(2);
    };
    let end_ns = u64::from(length_s) * 1_000_000_000;
    let stream = |kind, share, workers| {
        let rate = Rate::constant(f64::from(rate_ops)).scaled(share);
        let schedule = Schedule::new(Spread::Poisson, rate, kind as u64, end_ns);
        let targets = (0..workers).map(|_| Noop).collect();
        Stream { kind: Some(kind), pace: Pace::Open(schedule), batch: None, targets }
    };
    let streams = vec![stream(Kind::Announce, 0.9, 1), stream(Kind::Scrape, 0.1, 4)];
    let workload = Workload::new(MIX, Torrents::new(2_000_000, 310), 1);
    let mut tally = Tally::default();
    let mut in_time = 0;
    let mut count = |slice: &journalbench::measure::Slice| {
        tally.add(slice);
        let ended = slice.samples.iter().filter(|sample| sample.ended_us * 1_000 < end_ns);
        in_time += ended.count();
    };
    let bare = bare_sleeps(f64::from(rate_ops), end_ns.min(10_000_000_000));
    let processor_before = processor_time();
    let load = Load::start(streams, Vec::new(), &workload, Duration::from_secs(15));
    while load.elapsed_ns() < end_ns {
        load.drain(&mut count);
        thread::sleep(Duration::from_millis(20));
    }
    load.stop(end_ns);
    load.finish(Duration::from_secs(5), &mut count);
    let processor = processor_time().saturating_sub(processor_before);
    let due = tally.counts().due();
    let lags = tally.lag();
    let lag = |quantile| percentile(&lags, lags.len(), quantile).unwrap_or(0);
    println!(
        "offered {:.1}/s, achieved {:.1}/s",
        due as f64 / f64::from(length_s),
        in_time as f64 / f64::from(length_s)
    );
    println!(
        "{:.2} us of processor time an operation; a thread that only sleeps takes {bare:.2} us",
        processor.as_secs_f64() * 1e6 / due as f64
    );
    println!("lag of idle workers: p50 {} us, p99 {} us, max {} us", lag(0.5), lag(0.99), lag(1.0));
}

/// Processor time that one wake-up takes, in microseconds, in a thread that sleeps until each arrival of a schedule.
fn bare_sleeps(rate_ops: f64, end_ns: u64) -> f64 {
    let mut schedule = Schedule::new(Spread::Poisson, Rate::constant(rate_ops), 7, end_ns);
    let before = processor_time();
    let sleeper = thread::spawn(move || {
        let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
        let start = Instant::now();
        let dues = (0..).map_while(|index| schedule.due_ns(index)).map(Duration::from_nanos);
        dues.map(|due| thread::sleep(due.saturating_sub(start.elapsed()))).count()
    });
    // A thread that panicked has slept not once.
    let sleeps = sleeper.join().unwrap_or(0);
    processor_time().saturating_sub(before).as_secs_f64() * 1e6 / sleeps as f64
}

/// Processor time of this process so far.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

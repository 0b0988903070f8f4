//! How surely a service that takes a fifth longer is found: runs of six pairs of trials, as `quick` has them, against a target
//! that sleeps.
//!
//! ```text
//! cargo run --release --example slower [RUNS] [PAIRS] [SECONDS]
//! ```

use std::{
    env, thread,
    time::{Duration, Instant},
};

use journalbench::{
    analysis,
    load::{Load, Pace, Stream},
    measure::{OperationKind, Percentile, Tally},
    pace::{Rate, Schedule, Spread},
    target::{Execution, Target},
    torrents::Torrents,
    workload::{Kind, Mix, Operation, Workload, WriteProfile},
};

/// Operations a second, and how many execute at once.
const RATE_OPS: f64 = 4_000.0;
const CONNECTIONS: usize = 4;
/// What the target takes, and what it takes where it is slower.
const SERVICE: Duration = Duration::from_micros(250);
const SLOWER: Duration = Duration::from_micros(300);

struct Sleeping(Duration);

impl Target for Sleeping {
    fn execute(&self, _operation: &Operation, _until: Instant) -> Execution {
        thread::sleep(self.0);
        Execution { statements: 1, ..Execution::default() }
    }

    fn execute_batch(&self, _operations: &[Operation], until: Instant) -> Execution {
        self.execute(&Operation::default(), until)
    }
}

/// The median service time of a trial, in microseconds.
fn trial(service: Duration, length: Duration, seed: u64) -> f64 {
    let end_ns = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
    let workload = Workload::new(Mix::of(WriteProfile::CompletedOnly), Torrents::new(1_000, 310), seed);
    let pace = Pace::Open(Schedule::new(Spread::Poisson, Rate::constant(RATE_OPS), seed, end_ns));
    let targets = (0..CONNECTIONS).map(|_| Sleeping(service)).collect();
    let stream = Stream { kind: Some(Kind::Announce), pace, batch: None, targets };
    let load = Load::start(vec![stream], Vec::new(), &workload, Duration::from_secs(15));
    let mut tally = Tally::default();
    while !load.is_finished() {
        load.drain(|slice| tally.add(slice));
        thread::sleep(Duration::from_millis(5));
    }
    load.stop(end_ns);
    load.finish(Duration::from_secs(5), |slice| tally.add(slice));
    let service = tally.of(OperationKind::Read).service;
    Percentile::P50.of(&service, service.len()).unwrap_or(0) as f64
}

fn main() {
    let argument =
        |place: usize, default: u64| env::args().nth(place).and_then(|text| text.parse().ok()).unwrap_or(default);
    let (runs, pairs, length) = (argument(1, 20), argument(2, 6), Duration::from_secs(argument(3, 1)));
    let mut found = [0, 0];
    for run in 0..runs {
        // Of the second sort nothing has changed: what is found there is noise.
        for (sort, slower) in [SLOWER, SERVICE].into_iter().enumerate() {
            let ratio = |pair: u64| {
                let seed = run * pairs + pair;
                // A B B A.
                if pair.is_multiple_of(2) {
                    let base = trial(SERVICE, length, seed);
                    trial(slower, length, seed) / base
                } else {
                    let new = trial(slower, length, seed);
                    new / trial(SERVICE, length, seed)
                }
            };
            let ratios: Vec<f64> = (0..pairs).map(ratio).collect();
            let change = analysis::change(&ratios, None);
            found[sort] += u64::from(change.outcome == journalbench::results::Outcome::Worse);
            println!(
                "run {run}, {slower:?} against {SERVICE:?}: {} {:?} {:?}",
                change.outcome, change.ratio, change.interval
            );
        }
    }
    println!("called worse: {} of {runs} that were a fifth slower, {} of {runs} that were not", found[0], found[1]);
}

//! `record` and `pace`: what measuring one operation costs, in nanoseconds.
//!
//! `record/sample` is all that a worker does with an operation that has ended: it is put into the slice of time that it
//! belongs to, which is emptied every 10,000 operations, as a worker does when it hands it over. `record/tally` is what
//! becomes of it elsewhere, on the conductor's thread: histograms and counts. `pace/<constant or poisson>` is the
//! arithmetic of when an operation is due.
//!
//! They cannot show that the generator keeps up: `cargo run --release --example noop` does, and every report says how late
//! it was.

use std::{hint::black_box, time::Duration};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use journalbench::{
    measure::{Class, Outcome, Sample, Slice, Tally},
    pace::{Rate, Schedule, Spread},
};

/// Operations in a slice before it is handed over.
const SLICE: usize = 10_000;

fn sample(number: u32) -> Sample {
    Sample {
        class: if number.is_multiple_of(10) { Class::Scrape } else { Class::ReadingAnnounce },
        outcome: Outcome::Served,
        response_us: 30 + number % 5_000,
        service_us: 25 + number % 400,
        lag_us: number.is_multiple_of(2).then_some(number % 60),
        ended_us: 0,
        committed: false,
        carried_checkpoint: false,
        statements: 2,
    }
}

fn record(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(1));
    let (mut slice, mut number) = (Slice::default(), 0_u32);
    group.bench_function("sample", |bencher| {
        bencher.iter(|| {
            if slice.samples.len() == SLICE {
                slice.reset(0);
            }
            number = number.wrapping_add(1);
            slice.samples.push(black_box(sample(number)));
        });
    });
    slice.reset(0);
    slice.samples.extend((0..SLICE).map(|number| sample(u32::try_from(number).unwrap_or(0))));
    let mut tally = Tally::default();
    group.throughput(Throughput::Elements(SLICE as u64));
    group.bench_function("tally", |bencher| bencher.iter(|| tally.add(black_box(&slice))));
    group.finish();
}

fn pace(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pace");
    group.throughput(Throughput::Elements(1));
    for (name, spread) in [("constant", Spread::Constant), ("poisson", Spread::Poisson)] {
        let (mut schedule, mut index) = (Schedule::new(spread, Rate::constant(17_000.0), 310, u64::MAX), 0);
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                index += 1;
                black_box(schedule.due_ns(index))
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(30);
    targets = record, pace
}
criterion_main!(benches);

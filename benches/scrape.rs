//! `scrape/<journal mode>/<idle or under-writes>`: one scrape of 74 info-hashes, on a connection of its own.
//!
//! `idle` isolates the look-ups. Under `under-writes` another connection commits downloads as fast as it can, with
//! synchronous = full: in rollback modes a scrape then waits for commits, and its mean has those waits in it; in wal it
//! waits for nobody but shares the processors. It cannot show what a scrape waits at a given rate of requests, nor the
//! distribution: `scenarios/quick.toml` does.

mod common;

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use journalbench::{
    sqlite::{JournalMode, Synchronous},
    target::{Target, sqlite::SqliteTarget},
    torrents::Torrent,
    workload::{Action, Kind, Mix, Operation, Workload, WriteProfile},
};

use common::{DATASET, Site};

/// Info-hashes in the largest scrape that a UDP packet holds (BEP 15).
const HASHES: u64 = 74;
const PATIENCE: Duration = Duration::from_secs(60);

fn scrape(criterion: &mut Criterion) {
    let site = Site::new();
    let mut group = criterion.benchmark_group("scrape");
    group.throughput(Throughput::Elements(1));
    for journal_mode in JournalMode::ALL {
        for (what, with_writer) in [("idle", false), ("under-writes", true)] {
            // Criterion calls the routine more than once, each time with a database of its own.
            let mut round = 0;
            group.bench_function(format!("{journal_mode}/{what}"), |bencher| {
                round += 1;
                let name = format!("{journal_mode}-{what}-{round}");
                let live = site.copy(&format!("{name}.db"));
                let connect =
                    |role: &str| site.connect(&live, &format!("{name}-{role}"), journal_mode, Synchronous::Full);
                let (reader, mut writer) = (connect("reader"), connect("writer"));
                let stop = AtomicBool::new(false);
                thread::scope(|scope| {
                    if with_writer {
                        scope.spawn(|| write(&mut writer, &stop));
                    }
                    let mut next = 0;
                    bencher.iter(|| {
                        let operation = scrape_of(next);
                        next += 1;
                        let executed = reader.execute(&operation, Instant::now() + PATIENCE);
                        assert_eq!(executed.failure, None, "a reader gets its turn within its busy timeout");
                        assert!(u64::from(executed.statements) >= HASHES, "every info-hash is looked up");
                    });
                    stop.store(true, Ordering::Relaxed);
                });
            });
        }
    }
    group.finish();
}

fn scrape_of(number: u64) -> Operation {
    let torrents = DATASET.torrents();
    let of = (0..HASHES).map(|place| Torrent::Known(torrents.popular((number * HASHES + place) % DATASET.rows)));
    Operation { kind: Kind::Scrape, action: Action::Read, torrents: of.collect(), ..Operation::default() }
}

fn write(database: &mut SqliteTarget, stop: &AtomicBool) {
    let workload = Workload::new(Mix::of(WriteProfile::EveryAnnounce), DATASET.torrents(), 310);
    let mut operation = Operation::default();
    for index in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        workload.operation(Kind::Announce, index, &mut operation);
        // A commit that readers keep waiting for too long is a result, too: it is tried again as the next one.
        let _ = database.execute(&operation, Instant::now() + PATIENCE);
    }
}

criterion_group! {
    name = benches;
    config = common::criterion(2.0, 20);
    targets = scrape
}
criterion_main!(benches);

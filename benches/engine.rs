//! `engine/<bare or load>`: what pacing and recording cost the closed loop.
//!
//! `bare` is a loop of announce commits on one connection with prepared statements and nothing else: no workload, no
//! ledger, no recording. `load` is the engine that trials use, in its closed loop with one worker, doing the same commits
//! through the ledger. Both run in WAL with synchronous = NORMAL on a copy of the same 100,000 rows, in turn, so that
//! their ratio survives a noisy machine.
//!
//! It cannot show how late the open loop is: `cargo run --release --example noop` does.

use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use journalbench::{
    dataset::{DOWNLOADS_TOTAL, Dataset, generate},
    history::ledger::Ledger,
    load::{Load, Pace, Stream},
    sqlite::{self, JournalMode, Settings, Synchronous, TransactionMode},
    target::sqlite::SqliteTarget,
    torrents::Torrent,
    work,
    workload::{Kind, Mix, Workload, WriteProfile},
};
use rusqlite::{Connection, params};

const DATASET: Dataset = Dataset { rows: 100_000, seed: 310, page_size_bytes: 4096, zero_share_ppm: 0 };
const SETTINGS: Settings = Settings {
    journal_mode: JournalMode::Wal,
    synchronous: Synchronous::Normal,
    cache_size_kib: 2000,
    mmap_size_bytes: 0,
    wal_autocheckpoint_pages: 1000,
    busy_timeout_ms: 5000,
};
const MIX: Mix = Mix { new_torrent_share: 0.0, ..Mix::of(WriteProfile::EveryAnnounce) };

fn engine(criterion: &mut Criterion) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("the target folder is writable");
    let dataset = folder.path().join("dataset.db");
    generate(&DATASET, &dataset, &Arc::default(), &mut |_| ()).expect("the dataset can be generated");
    let copy = |name: &str| {
        let path = folder.path().join(name);
        work::copy(&dataset, &path, &false.into()).expect("there is room for a copy");
        path
    };
    let (bare_path, load_path) = (copy("bare.db"), copy("load.db"));
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(1));
    let bare = sqlite::open(&bare_path, &SETTINGS).expect("the settings are SQLite's own");
    let torrents = popular_torrents();
    let mut next = 0;
    group.bench_function("bare", |bencher| {
        bencher.iter_custom(|commits| {
            let begun = Instant::now();
            commit_bare(&bare, &torrents, &mut next, commits);
            begun.elapsed()
        });
    });
    let mut runs = 0;
    group.bench_function("load", |bencher| {
        bencher.iter_custom(|commits| {
            runs += 1;
            commit_with_engine(&load_path, &folder.path().join(format!("ledger-{runs}")), commits)
        });
    });
    group.finish();
}

/// The torrents of the first operations of the workload, so that both loops write the same rows.
fn popular_torrents() -> Vec<String> {
    let workload = Workload::new(MIX, DATASET.torrents(), 1);
    let mut operation = journalbench::workload::Operation::default();
    let hash = |index| {
        workload.operation(Kind::Announce, index, &mut operation);
        DATASET.torrents().info_hash(*operation.torrents.first().unwrap_or(&Torrent::Known(1))).to_string()
    };
    (0..1 << 16).map(hash).collect()
}

fn commit_bare(connection: &Connection, torrents: &[String], next: &mut usize, commits: u64) {
    let prepare = |sql| connection.prepare(sql).expect("the statement is SQLite's own");
    let mut begin = prepare("BEGIN IMMEDIATE");
    let mut upsert = prepare(
        "INSERT INTO torrents (info_hash, completed) VALUES (?1, 1)
        ON CONFLICT (info_hash) DO UPDATE SET completed = completed + 1",
    );
    let mut count = prepare("UPDATE torrent_aggregate_metrics SET value = value + 1 WHERE metric_name = ?1");
    let mut commit = prepare("COMMIT");
    for _ in 0..commits {
        let torrent = &torrents[*next % torrents.len()];
        *next += 1;
        let done = begin
            .execute([])
            .and_then(|_| upsert.execute(params![torrent]))
            .and_then(|_| count.execute(params![DOWNLOADS_TOTAL]))
            .and_then(|_| commit.execute([]));
        done.expect("nobody else is at the database");
    }
}

/// The time that the engine takes for so many commits, from its first operation to the commit that makes them full.
fn commit_with_engine(live: &Path, ledger: &Path, commits: u64) -> Duration {
    let ledger = Ledger::create(ledger).expect("the folder is writable");
    let mut connection = sqlite::open(live, &SETTINGS).expect("the settings are SQLite's own");
    let session = ledger.attach(&mut connection).expect("a hook can be set");
    let target = SqliteTarget::new(connection, session, DATASET.torrents(), TransactionMode::Immediate);
    let stream = Stream { kind: Some(Kind::Announce), pace: Pace::Closed, batch: None, targets: vec![target] };
    let workload = Workload::new(MIX, DATASET.torrents(), 1);
    let load = Load::start(vec![stream], Vec::new(), &workload, Duration::from_secs(15));
    let start = load.start_instant();
    thread::sleep(start.saturating_duration_since(Instant::now()));
    // The engine ends when it is told to, so the time is scaled to the commits asked for.
    let mut slices = 0;
    while ledger.acknowledged() < commits {
        load.drain(|_| slices += 1);
        thread::sleep(Duration::from_millis(1));
    }
    let (done, elapsed) = (ledger.acknowledged(), start.elapsed());
    load.stop(0);
    load.finish(Duration::from_secs(5), |_| slices += 1);
    elapsed.mul_f64(commits as f64 / done as f64)
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(8)).sample_size(20);
    targets = engine
}
criterion_main!(benches);

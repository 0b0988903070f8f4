//! Good snapshots of a database under load from several connections: none may be called anything but `exact`.
//!
//! A few by default; `JOURNALBENCH_SNAPSHOTS=170 cargo test --release --test exact` takes 170 of each of the six kinds.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use journalbench::{
    dataset::{Dataset, generate},
    ledger::{Change, Ledger},
    oracle::{self, Claim, Verdict},
    sqlite::{self, JournalMode, Settings, Synchronous},
    torrents::Torrent,
};
use rusqlite::{Connection, params};

const DATASET: Dataset = Dataset { rows: 2_000, seed: 310, page_size_bytes: 1024 };

fn settings(journal_mode: JournalMode) -> Settings {
    Settings {
        journal_mode,
        synchronous: Synchronous::Off,
        cache_size_kib: 2000,
        mmap_size_bytes: 0,
        wal_autocheckpoint_pages: 100,
        busy_timeout_ms: 20_000,
    }
}

/// Downloads until told to stop; every third transaction is of two autocommitting statements, as a tracker's are.
fn write(live: &Path, ledger: &Arc<Ledger>, journal_mode: JournalMode, worker: u64, stop: &AtomicBool) {
    let mut connection = sqlite::open(live, &settings(journal_mode)).unwrap();
    let session = ledger.attach(&mut connection).unwrap();
    for number in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let torrent = if number % 4 == 0 {
            Torrent::Unseen(number % 500)
        } else {
            Torrent::Known((number * 37 + worker * 11) % 2_000 + 1)
        };
        let info_hash = DATASET.torrents().info_hash(torrent);
        let upsert = "INSERT INTO torrents (info_hash, completed) VALUES (?1, 1)
            ON CONFLICT (info_hash) DO UPDATE SET completed = completed + 1";
        let count = "UPDATE torrent_aggregate_metrics SET value = value + 1";
        session.begin([Change::Download(torrent)]);
        let attempt = connection.execute_batch("BEGIN IMMEDIATE").and_then(|()| {
            connection.execute(upsert, params![info_hash.as_str()])?;
            connection.execute(count, [])?;
            connection.execute_batch(if number % 7 == 0 { "ROLLBACK" } else { "COMMIT" })
        });
        match attempt {
            Ok(()) => session.acknowledge(),
            Err(error) => {
                assert!(sqlite::is_busy(&error), "{error}");
                if !connection.is_autocommit() {
                    connection.execute_batch("ROLLBACK").unwrap();
                }
                session.fail().unwrap();
            }
        }
        if number % 3 == 0 {
            session.begin([Change::CountTotal]);
            match connection.execute(count, []) {
                Ok(_) => session.acknowledge(),
                Err(error) => {
                    assert!(sqlite::is_busy(&error), "{error}");
                    session.fail().unwrap();
                }
            }
        }
        thread::yield_now();
    }
}

fn all_exact(journal_mode: JournalMode, connections: u64) {
    let count: u64 = std::env::var("JOURNALBENCH_SNAPSHOTS").map_or(6, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live.db");
    let manifest = generate(&DATASET, &live, &Arc::default(), &mut |_| ()).unwrap();
    drop(sqlite::open(&live, &settings(journal_mode)).unwrap());
    let ledger = Ledger::create(&folder.path().join("ledger")).unwrap();
    let stop = AtomicBool::new(false);
    let snapshots = thread::scope(|scope| {
        for worker in 0..connections {
            let (live, ledger, stop) = (&live, &ledger, &stop);
            scope.spawn(move || write(live, ledger, journal_mode, worker, stop));
        }
        let take = |number: u64| {
            let copy = folder.path().join(format!("copy-{number}.db"));
            while ledger.issued() < 20 * (number + 1) {
                thread::yield_now();
            }
            let commit_at_start = ledger.acknowledged();
            let connection = Connection::open(&live).unwrap();
            connection.busy_timeout(std::time::Duration::from_secs(60)).unwrap();
            connection.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
            let (commit_at_end, ended_us) = (ledger.issued(), u64::MAX);
            (Claim { finished: true, commit_at_start, commit_at_end, ended_us }, copy)
        };
        let snapshots: Vec<_> = (0..count).map(take).collect();
        stop.store(true, Ordering::Relaxed);
        snapshots
    });
    let questions: Vec<_> = snapshots
        .into_iter()
        .map(|(claim, copy)| (claim, oracle::inspect(&copy, &manifest, &Arc::default(), &AtomicU64::new(0)).unwrap()))
        .collect();
    let judgements = oracle::judge(ledger.path(), &manifest, &questions).unwrap();
    for (judgement, (claim, _)) in judgements.into_iter().zip(&questions) {
        let judgement = judgement.unwrap();
        assert_eq!(judgement.verdict, Verdict::Exact, "{journal_mode}, {connections}: {judgement:?} {claim:?}");
    }
    println!("{journal_mode}, {connections} connections: {count} of {count} exact, {} commits", ledger.issued());
}

#[test]
fn good_snapshots_of_one_connection_are_exact() {
    for mode in [JournalMode::Delete, JournalMode::Wal] {
        all_exact(mode, 1);
    }
}

#[test]
fn good_snapshots_of_two_connections_are_exact() {
    for mode in [JournalMode::Delete, JournalMode::Wal] {
        all_exact(mode, 2);
    }
}

#[test]
fn good_snapshots_of_ten_connections_are_exact() {
    for mode in [JournalMode::Delete, JournalMode::Wal] {
        all_exact(mode, 10);
    }
}

//! Good snapshots of a database under load from several connections: none may be called anything but `exact`.
//!
//! A few by default; `JOURNALBENCH_SNAPSHOTS=170 cargo test --release --test exact` takes 170 of each of the six kinds.

use crate::common::database;

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
    history::{
        Change,
        ledger::{Ledger, LedgerFile},
    },
    oracle::{self, Claim, SqliteChecks, Verdict},
    sqlite::{self, JournalMode, Settings},
    torrents::{Portion, Torrent},
};
use rusqlite::Connection;

use crate::common::database::{COUNT, try_download};

const DATASET: Dataset = Dataset { rows: 2_000, seed: 310, page_size_bytes: 1024, zero_share_ppm: 0 };

fn settings(journal_mode: JournalMode) -> Settings {
    Settings { wal_autocheckpoint_pages: 100, busy_timeout_ms: 20_000, ..database::settings(journal_mode) }
}

/// Downloads until told to stop; every seventh is taken back, and after every third follows an autocommitting statement, as a
/// tracker's are.
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
        let end = if number % 7 == 0 { "ROLLBACK" } else { "COMMIT" };
        try_download(&connection, &session, info_hash.as_str(), torrent, end);
        if number % 3 == 0 {
            session.begin([Change::CountTotal]);
            match connection.execute(COUNT, []) {
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
            (Claim { portion: Portion::Whole, finished: true, commit_at_start, commit_at_end, ended_us }, copy)
        };
        let snapshots: Vec<_> = (0..count).map(take).collect();
        stop.store(true, Ordering::Relaxed);
        snapshots
    });
    let inspect =
        |copy| oracle::inspect(copy, &manifest, SqliteChecks::Ask, &Arc::default(), &AtomicU64::new(0)).unwrap();
    let inspections: Vec<_> = snapshots.iter().map(|(claim, copy)| (*claim, inspect(copy))).collect();
    let questions: Vec<_> = inspections.iter().map(|(claim, inspection)| (*claim, inspection)).collect();
    let judgements = oracle::judge(&LedgerFile::open(ledger.path()).unwrap(), &manifest, &questions).unwrap();
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

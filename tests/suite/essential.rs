//! `essential`: the database without the torrents that nobody has downloaded, judged as a part of a state, and what a tracker makes
//! of it.

use std::sync::{Arc, atomic::AtomicU64};

use journalbench::{
    dataset::{self, Dataset, Manifest},
    history::ledger::{Ledger, LedgerFile},
    oracle::{self, Claim, Judgement, SqliteChecks, Verdict},
    results::Status,
    snapshot::{SNAPSHOT_FILE, Strategy, StrategyOptions},
    torrents::Portion,
};
use rusqlite::Connection;

use crate::common::{self, strategies};

const DATASET: Dataset = Dataset { rows: 4_000, seed: 310, page_size_bytes: 1024, zero_share_ppm: 969_000 };

#[test]
fn under_load_it_is_the_essential_part_of_one_state() {
    let folder = tempfile::tempdir().unwrap();
    let results = common::run_kept(
        folder.path(),
        &[
            "dataset.rows=20000",
            "dataset.zero_share=0.969",
            "load.completed_share=0.1",
            "snapshots.strategies=essential",
            "snapshots.deadline_s=20",
            "snapshots.sqlite_checks=false",
            "phases.horizon_s=1",
            "phases.recovery_s=0.2",
        ],
    );
    for trial in results.trials {
        assert_eq!((trial.status, trial.live_database_matches_ledger), (Status::Completed, Some(true)), "{trial:?}");
        let [snapshot] = trial.snapshots.try_into().unwrap();
        assert_eq!(snapshot.ruling.verdict, Some(Verdict::Exact), "{}: {:?}", trial.id, snapshot.ruling.evidence);
        assert!(snapshot.copy.bytes < 400_000, "{}: {}", trial.id, snapshot.copy.bytes);
    }
}

/// A database that nobody writes to, and its essential copy.
struct Copied {
    folder: tempfile::TempDir,
    manifest: Manifest,
}

impl Copied {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let live = folder.path().join("live.db");
        let manifest = dataset::generate(&DATASET, &live, &Arc::default(), &mut |_| ()).unwrap();
        let options = StrategyOptions::default();
        let ran = strategies::run(Strategy::Essential, &options, &live, folder.path(), &|command| command).unwrap();
        assert!(ran.succeeded, "{ran:?}");
        Self { folder, manifest }
    }

    fn open(&self) -> Connection {
        Connection::open(self.folder.path().join(SNAPSHOT_FILE)).unwrap()
    }

    fn judge(&self, portion: Portion) -> Judgement {
        let path = self.folder.path().join(SNAPSHOT_FILE);
        let done = AtomicU64::new(0);
        let inspection =
            oracle::inspect(&path, &self.manifest, SqliteChecks::LeaveOut, &Arc::default(), &done).unwrap();
        let ledger = Ledger::create(&self.folder.path().join("ledger")).unwrap();
        let claim = Claim { portion, finished: true, commit_at_start: 0, commit_at_end: 0, ended_us: 0 };
        let history = LedgerFile::open(ledger.path()).unwrap();
        let judged = oracle::judge(&history, &self.manifest, &[(claim, &inspection)]).unwrap().remove(0).unwrap();
        std::fs::remove_file(ledger.path()).unwrap();
        judged
    }
}

#[test]
fn a_copy_that_lacks_more_or_less_than_it_may_is_none() {
    let copied = Copied::new();
    assert_eq!(copied.judge(Portion::Essential).verdict, Verdict::Exact);
    assert_eq!(copied.judge(Portion::Whole).verdict, Verdict::Torn, "a part does not pass for the whole");
    for change in [
        "DELETE FROM torrents WHERE id = (SELECT max(id) FROM torrents)",
        "INSERT INTO torrents (info_hash, completed) VALUES (printf('%040d', 7), 0)",
        "UPDATE torrents SET completed = completed + 1 WHERE id = (SELECT min(id) FROM torrents)",
        "DELETE FROM whitelist WHERE id = 1",
        "UPDATE sqlite_sequence SET seq = seq - 1 WHERE name = 'torrents'",
        "UPDATE torrent_aggregate_metrics SET value = value - 1",
        "DROP TABLE keys",
    ] {
        let copied = Copied::new();
        copied.open().execute_batch(change).unwrap();
        assert_eq!(copied.judge(Portion::Essential).verdict, Verdict::Torn, "{change}");
    }
}

/// The restore drill: what a tracker does with a database of which most torrents are gone.
#[test]
fn a_tracker_makes_anew_what_was_left_out() {
    let copied = Copied::new();
    let (left_out, kept) = {
        let live = Connection::open(copied.folder.path().join("live.db")).unwrap();
        let one = |sql: &str| live.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        (
            one("SELECT info_hash FROM torrents WHERE completed = 0 LIMIT 1"),
            one("SELECT info_hash FROM torrents WHERE completed = 9 LIMIT 1"),
        )
    };
    let restored = copied.open();
    let count = |info_hash: &str| {
        let sql = "SELECT completed FROM torrents WHERE info_hash = ?1";
        restored.query_row(sql, [info_hash], |row| row.get::<_, i64>(0)).ok()
    };
    assert_eq!((count(&left_out), count(&kept)), (None, Some(9)), "a scrape of it finds no downloads, as before");
    let largest: i64 =
        restored.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'torrents'", [], |row| row.get(0)).unwrap();
    assert_eq!(largest, 4_000, "no id is given out twice");
    for info_hash in [&left_out, &kept] {
        let sql = "INSERT INTO torrents (info_hash, completed) VALUES (?1, 1)
            ON CONFLICT (info_hash) DO UPDATE SET completed = completed + 1";
        restored.execute(sql, [info_hash]).unwrap();
    }
    assert_eq!((count(&left_out), count(&kept)), (Some(1), Some(10)));
    let id: i64 =
        restored.query_row("SELECT id FROM torrents WHERE info_hash = ?1", [&left_out], |row| row.get(0)).unwrap();
    assert_eq!(id, 4_001);
}

#[test]
fn a_database_that_is_no_trackers_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live.db");
    Connection::open(&live).unwrap().execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    let options = StrategyOptions::default();
    let ran = strategies::run(Strategy::Essential, &options, &live, folder.path(), &|command| command).unwrap();
    assert!(!ran.succeeded && ran.said.contains("no tracker's database"), "{ran:?}");
}

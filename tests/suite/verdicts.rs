//! The oracle against snapshots that are known to be good, and against the same files broken on purpose.

use crate::common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, atomic::AtomicU64},
};

use journalbench::{
    dataset::{Manifest, Origin, generate},
    history::ledger::{Ledger, LedgerFile},
    oracle::{self, Claim, Judgement, SqliteChecks, Verdict},
    results::Status,
    sqlite::{self, JournalMode},
    torrents::{Portion, Torrent},
};
use rusqlite::Connection;

use crate::common::database::{dataset, download, settings};

/// What a restore of `snapshot` is judged as; the file itself stays as it is.
fn judge(ledger: &Path, manifest: &Manifest, claim: Claim, snapshot: &Path) -> Judgement {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("snapshot.db");
    fs::copy(snapshot, &copy).unwrap();
    for suffix in ["-wal", "-journal"] {
        let beside = sqlite::side_file(snapshot, suffix);
        if beside.exists() {
            fs::copy(beside, sqlite::side_file(&copy, suffix)).unwrap();
        }
    }
    let inspection = oracle::inspect(&copy, manifest, SqliteChecks::Ask, &Arc::default(), &AtomicU64::new(0)).unwrap();
    let history = LedgerFile::open(ledger).unwrap();
    oracle::judge(&history, manifest, &[(claim, &inspection)]).unwrap().pop().unwrap().unwrap()
}

#[test]
fn vacuum_into_is_exact_under_load_and_every_break_of_it_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    // As long as a slow disk takes, and a load no longer than before.
    let results =
        common::run_kept(folder.path(), &["load.completed_share=0.1", "snapshots.deadline_s=20", "phases.horizon_s=2"]);
    assert_eq!(results.trials.len(), 2);
    for trial in &results.trials {
        assert_eq!((trial.status, trial.live_database_matches_ledger), (Status::Completed, Some(true)), "{trial:?}");
        let snapshot = &trial.snapshots[0];
        assert_eq!(snapshot.ruling.verdict, Some(Verdict::Exact), "{}: {:?}", trial.id, snapshot.ruling.evidence);
        assert!(snapshot.run.commit_at_start > 20, "the load did commit: {}", snapshot.run.commit_at_start);
        assert!((snapshot.run.commit_at_start..=snapshot.run.commit_at_end).contains(&snapshot.ruling.commit.unwrap()));

        let kept = common::kept(folder.path(), trial);
        let manifest: Manifest = serde_json::from_slice(&fs::read(kept.join("dataset.json")).unwrap()).unwrap();
        let claim = Claim {
            portion: Portion::Whole,
            finished: true,
            commit_at_start: snapshot.run.commit_at_start,
            commit_at_end: snapshot.run.commit_at_end,
            ended_us: 0,
        };
        let whole = kept.join("snapshots/0/snapshot.db");
        let verdict_of = |path: &Path| judge(&kept.join("ledger"), &manifest, claim, path).verdict;
        assert_eq!(verdict_of(&whole), Verdict::Exact);

        let sql_breaks = [
            "UPDATE torrents SET completed = completed + 1 WHERE id = 1234",
            "DELETE FROM torrents WHERE id = 77",
            "INSERT INTO torrents (info_hash) VALUES ('ffffffffffffffffffffffffffffffffffffffff')",
            "UPDATE torrents SET completed = completed + CASE id WHEN 5 THEN 1 ELSE -1 END WHERE id IN (5, 6)",
            "UPDATE torrent_aggregate_metrics SET value = value - 1",
            "DELETE FROM whitelist",
            "DELETE FROM keys WHERE id = 3",
            "UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'torrents'",
            "CREATE INDEX extra ON torrents (completed)",
        ];
        for (number, sql) in sql_breaks.into_iter().enumerate() {
            let broken = folder.path().join(format!("broken-{}-{number}.db", trial.id));
            fs::copy(&whole, &broken).unwrap();
            Connection::open(&broken).unwrap().execute_batch(sql).unwrap();
            assert_eq!(verdict_of(&broken), Verdict::Torn, "{sql}");
        }

        // In table and index alike, so that both still agree; integrity_check says ok.
        let blob = folder.path().join(format!("blob-{}.db", trial.id));
        fs::copy(&whole, &blob).unwrap();
        let as_blob = "UPDATE torrents SET info_hash = CAST(info_hash AS BLOB) WHERE id = 9";
        Connection::open(&blob).unwrap().execute_batch(as_blob).unwrap();
        assert_eq!(verdict_of(&blob), Verdict::Corrupt);

        let old = folder.path().join(format!("old-{}.db", trial.id));
        let Origin::Generated(dataset) = &manifest.origin else { panic!("{:?}", manifest.origin) };
        generate(dataset, &old, &Arc::default(), &mut |_| ()).unwrap();
        assert_eq!(verdict_of(&old), Verdict::Stale);
        let empty = folder.path().join(format!("empty-{}.db", trial.id));
        fs::write(&empty, []).unwrap();
        assert_eq!(verdict_of(&empty), Verdict::Unreadable);
        assert_eq!(verdict_of(&cut(&whole, &empty, 30_000)), Verdict::Corrupt, "cut short inside a page");
        fs::write(&empty, vec![7; 30_000]).unwrap();
        assert_eq!(verdict_of(&empty), Verdict::Unreadable, "no database");
    }
}

fn cut(whole: &Path, target: &Path, bytes: usize) -> PathBuf {
    fs::write(target, &fs::read(whole).unwrap()[..bytes]).unwrap();
    target.to_owned()
}

#[test]
fn an_index_that_does_not_hold_what_its_table_holds_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let (manifest, path) = dataset(folder.path());
    let ledger = Ledger::create(&folder.path().join("ledger")).unwrap();
    let claim = Claim { portion: Portion::Whole, finished: true, commit_at_start: 0, commit_at_end: 0, ended_us: 0 };
    assert_eq!(judge(ledger.path(), &manifest, claim, &path).verdict, Verdict::Exact);
    // The same hash in table and index, one letter of it changed in the table alone.
    let hash = manifest.torrents().info_hash(Torrent::Known(3)).to_string();
    let mut bytes = fs::read(&path).unwrap();
    let places: Vec<_> = (0..bytes.len() - 40).filter(|at| &bytes[*at..at + 40] == hash.as_bytes()).collect();
    assert_eq!(places.len(), 2, "once in the table, once in the index");
    let original = bytes[places[0]];
    bytes[places[0]] = if original == b'0' { b'1' } else { b'0' };
    let broken = folder.path().join("broken.db");
    fs::write(&broken, &bytes).unwrap();
    assert_eq!(judge(ledger.path(), &manifest, claim, &broken).verdict, Verdict::Corrupt);
}

/// Copies the main file and the WAL of a database that is open here: in a child process, so that no lock is lost.
fn cp_with_wal(live: &Path, to: &Path) {
    for suffix in ["", "-wal"] {
        let status =
            Command::new("cp").args([sqlite::side_file(live, suffix), sqlite::side_file(to, suffix)]).status().unwrap();
        assert!(status.success());
    }
}

#[test]
fn a_wal_beside_the_snapshot_is_part_of_it_and_a_cut_one_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    let (manifest, live) = dataset(folder.path());
    let ledger = Ledger::create(&folder.path().join("ledger")).unwrap();
    let mut connection = sqlite::open(&live, &settings(JournalMode::Wal)).unwrap();
    let session = ledger.attach(&mut connection).unwrap();
    for id in 1..=40 {
        download(&connection, &session, &manifest, Torrent::Known(id));
    }
    let copy = folder.path().join("copy.db");
    cp_with_wal(&live, &copy);
    let claim = Claim {
        portion: Portion::Whole,
        finished: true,
        commit_at_start: ledger.acknowledged(),
        commit_at_end: ledger.issued(),
        ended_us: 1_000_000,
    };
    let verdict = |claim, path: &Path| judge(ledger.path(), &manifest, claim, path);
    let whole = verdict(claim, &copy);
    assert_eq!((whole.verdict, whole.commit, whole.age_commits), (Verdict::Exact, Some(40), Some(0)));

    let wal = sqlite::side_file(&copy, "-wal");
    let bytes = fs::read(&wal).unwrap();
    fs::write(&wal, &bytes[..bytes.len() / 2]).unwrap();
    let cut = verdict(claim, &copy);
    assert_eq!(cut.verdict, Verdict::Stale, "{cut:?}");
    let commit = cut.commit.unwrap();
    assert!((1..40).contains(&commit), "half of the WAL is some commit on the way, not {commit}");
    assert_eq!(cut.age_commits, Some(40 - commit));

    fs::remove_file(&wal).unwrap();
    let without = verdict(claim, &copy);
    assert_eq!((without.verdict, without.commit), (Verdict::Stale, Some(0)));

    // The same copy is exact where no acknowledged commit is missing from it, and unfinished where the strategy failed.
    let early = Claim { commit_at_start: 0, ..claim };
    assert_eq!(verdict(early, &copy).verdict, Verdict::Exact);
    let failed = verdict(Claim { portion: Portion::Whole, finished: false, ..early }, &copy);
    assert_eq!((failed.verdict, failed.left_behind), (Verdict::Unfinished, Some(Verdict::Exact)));
}

#[test]
fn a_snapshot_from_the_future_is_an_error_of_the_harness() {
    let folder = tempfile::tempdir().unwrap();
    let (manifest, live) = dataset(folder.path());
    let ledger = Ledger::create(&folder.path().join("ledger")).unwrap();
    let mut connection = sqlite::open(&live, &settings(JournalMode::Wal)).unwrap();
    let session = ledger.attach(&mut connection).unwrap();
    download(&connection, &session, &manifest, Torrent::Known(1));
    drop((connection, session));
    let inspection = oracle::inspect(&live, &manifest, SqliteChecks::Ask, &Arc::default(), &AtomicU64::new(0)).unwrap();
    let claim = Claim { portion: Portion::Whole, finished: true, commit_at_start: 0, commit_at_end: 0, ended_us: 0 };
    let judged = oracle::judge(&LedgerFile::open(ledger.path()).unwrap(), &manifest, &[(claim, &inspection)])
        .unwrap()
        .pop()
        .unwrap();
    assert!(judged.unwrap_err().to_string().contains("commit 1, but only 0 had been issued"));
}

//! The ledger against SQLite itself: many connections commit through it, and its last digest must be the database's.

#[path = "common/database.rs"]
mod database;

use std::{path::Path, sync::Arc, thread};

use journalbench::{
    dataset::Manifest,
    history::{
        Change, HistoryError,
        ledger::{Ledger, LedgerFile},
        replay::{self, State},
    },
    oracle,
    sqlite::{self, JournalMode, Settings},
    torrents::Torrent,
};

use database::{dataset, download};

/// As those of the other tests, with so little patience that failures before the hook are among the attempts.
fn settings(journal_mode: JournalMode) -> Settings {
    Settings { busy_timeout_ms: 2, wal_autocheckpoint_pages: 50, ..database::settings(journal_mode) }
}

/// Replays a ledger's file as it is now.
fn replay(path: &Path, manifest: &Manifest, visit: impl FnMut(&State)) -> Result<State, HistoryError> {
    replay::replay(&LedgerFile::open(path)?, manifest, visit)
}

#[test]
fn replay_ends_at_the_digest_of_the_database() {
    for journal_mode in [JournalMode::Delete, JournalMode::Wal, JournalMode::Truncate, JournalMode::Persist] {
        let folder = tempfile::tempdir().unwrap();
        let (manifest, path) = dataset(folder.path());
        let ledger = Ledger::create(&folder.path().join("ledger")).unwrap();
        drop(sqlite::open(&path, &Settings { busy_timeout_ms: 5000, ..settings(journal_mode) }).unwrap());
        thread::scope(|scope| {
            for worker in 0..4_u64 {
                let (ledger, path, manifest) = (&ledger, &path, &manifest);
                scope.spawn(move || {
                    let opening = Settings { busy_timeout_ms: 5000, ..settings(journal_mode) };
                    let mut connection = sqlite::open(path, &opening).unwrap();
                    connection.pragma_update(None, "busy_timeout", 2).unwrap();
                    let session = ledger.attach(&mut connection).unwrap();
                    for number in 0..200 {
                        let torrent = match number % 3 {
                            0 => Torrent::Unseen(number / 6),
                            _ => Torrent::Known((worker * 31 + number) % 50 + 1),
                        };
                        download(&connection, &session, manifest, torrent);
                    }
                });
            }
        });
        assert_eq!((ledger.issued(), ledger.acknowledged()), (800, 800));
        let last = replay(ledger.path(), &manifest, |_| ()).unwrap();
        assert_eq!(last.commit, 800);
        assert_eq!(oracle::content_digest(&path, &Arc::default()).unwrap(), last.digest, "{journal_mode}");
    }
}

#[test]
fn every_state_on_the_way_is_a_state_of_the_replay() {
    let folder = tempfile::tempdir().unwrap();
    let (manifest, path) = dataset(folder.path());
    let ledger = Ledger::create(&folder.path().join("ledger")).unwrap();
    let mut connection = sqlite::open(&path, &settings(JournalMode::Delete)).unwrap();
    let session = ledger.attach(&mut connection).unwrap();
    let mut copies = vec![path.clone()];
    let mut seen = vec![oracle::content_digest(&path, &Arc::default()).unwrap()];
    for number in 0..20_u64 {
        download(
            &connection,
            &session,
            &manifest,
            if number % 2 == 0 { Torrent::Unseen(number) } else { Torrent::Known(number) },
        );
        let copy = folder.path().join(format!("copy-{number}.db"));
        connection.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
        seen.push(oracle::content_digest(&copy, &Arc::default()).unwrap());
        copies.push(copy);
    }
    let mut replayed = Vec::new();
    replay(ledger.path(), &manifest, |state| replayed.push(state.digest)).unwrap();
    assert_eq!(seen[0], manifest.digest);
    assert_eq!(replayed, seen);
}

#[test]
fn a_commit_that_fails_after_its_hook_is_a_candidate_and_not_a_state() {
    let folder = tempfile::tempdir().unwrap();
    let (manifest, path) = dataset(folder.path());
    let ledger = Ledger::create(&folder.path().join("ledger")).unwrap();
    let mut connection = sqlite::open(&path, &settings(JournalMode::Delete)).unwrap();
    let session = ledger.attach(&mut connection).unwrap();
    download(&connection, &session, &manifest, Torrent::Known(7));
    // A transaction that took its token and was then given up, as after an I/O error.
    session.begin([Change::Download(Torrent::Unseen(1))]);
    connection.execute_batch("BEGIN IMMEDIATE; UPDATE keys SET key = key; COMMIT").unwrap();
    session.fail().unwrap();
    download(&connection, &session, &manifest, Torrent::Unseen(1));
    let mut states = Vec::new();
    let last = replay(ledger.path(), &manifest, |state| states.push(*state)).unwrap();
    assert_eq!(states.iter().map(|state| state.void).collect::<Vec<_>>(), [false, false, true, false]);
    assert_eq!(states[2].digest, states[3].digest, "the candidate is what the retry then did");
    assert_eq!(last.commit, 3);
    assert_eq!(oracle::content_digest(&path, &Arc::default()).unwrap(), last.digest);
}

#[test]
fn a_damaged_ledger_is_refused_and_a_cut_record_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (manifest, path) = dataset(folder.path());
    let ledger = Ledger::create(&folder.path().join("ledger")).unwrap();
    let mut connection = sqlite::open(&path, &settings(JournalMode::Delete)).unwrap();
    let session = ledger.attach(&mut connection).unwrap();
    for id in 1..=5 {
        download(&connection, &session, &manifest, Torrent::Known(id));
    }
    let whole = std::fs::read(ledger.path()).unwrap();
    let cut = folder.path().join("cut");
    std::fs::write(&cut, &whole[..whole.len() - 5]).unwrap();
    assert_eq!(replay(&cut, &manifest, |_| ()).unwrap().commit, 4);
    // A hole may be that of a void record; that a token is missing shows at the next one.
    for (name, from, to, record) in [("hole", 64, 96, 3), ("kind", 87, 88, 2), ("token", 64, 65, 2)] {
        let mut bytes = whole.clone();
        bytes[from..to].fill(if name == "hole" { 0 } else { 77 });
        let damaged = folder.path().join(name);
        std::fs::write(&damaged, bytes).unwrap();
        let error = replay(&damaged, &manifest, |_| ()).unwrap_err();
        assert!(error.to_string().ends_with(&format!("is damaged at record {record}")), "{name}: {error}");
    }
}

#[test]
fn a_bounded_replay_visits_the_same_states() {
    let folder = tempfile::tempdir().unwrap();
    let (manifest, path) = dataset(folder.path());
    let ledger = Ledger::create(&folder.path().join("ledger")).unwrap();
    let mut connection = sqlite::open(&path, &settings(JournalMode::Wal)).unwrap();
    let session = ledger.attach(&mut connection).unwrap();
    for number in 0..120 {
        let torrent = if number % 3 == 0 { Torrent::Unseen(number / 6) } else { Torrent::Known(number * 7 % 50 + 1) };
        download(&connection, &session, &manifest, torrent);
    }
    // One that failed after its hook.
    session.begin([Change::Download(Torrent::Known(1))]);
    connection.execute("UPDATE torrents SET completed = completed WHERE id = 1", []).unwrap();
    session.fail().unwrap();
    download(&connection, &session, &manifest, Torrent::Known(1));
    let states = |memory_bytes| {
        let mut states = Vec::new();
        replay::replay_within(&LedgerFile::open(ledger.path()).unwrap(), &manifest, memory_bytes, |state| {
            states.push(*state);
        })
        .unwrap();
        states
    };
    let whole = states(u64::MAX);
    assert_eq!((whole.len(), whole[121].void, whole[122].downloads), (123, true, 121));
    for memory_bytes in [1, 2_000, 9_000] {
        assert_eq!(states(memory_bytes), whole, "{memory_bytes}");
    }
}

#[test]
fn a_transaction_cut_between_its_records_did_not_happen() {
    let folder = tempfile::tempdir().unwrap();
    let (manifest, path) = dataset(folder.path());
    let ledger = Ledger::create(&folder.path().join("ledger")).unwrap();
    let mut connection = sqlite::open(&path, &settings(JournalMode::Wal)).unwrap();
    let session = ledger.attach(&mut connection).unwrap();
    download(&connection, &session, &manifest, Torrent::Known(1));
    session.begin([2, 3, 4].map(|id| Change::CountTorrent(Torrent::Known(id))));
    connection.execute("UPDATE torrents SET completed = completed + 1 WHERE id IN (2, 3, 4)", []).unwrap();
    session.acknowledge();
    let bytes = std::fs::read(ledger.path()).unwrap();
    let cut = folder.path().join("cut");
    for (length, commits) in [(128, 2), (127, 1), (96, 1), (64, 1), (32, 1), (31, 0), (0, 0)] {
        std::fs::write(&cut, &bytes[..length]).unwrap();
        assert_eq!(replay(&cut, &manifest, |_| ()).unwrap().commit, commits, "{length} bytes");
    }
}

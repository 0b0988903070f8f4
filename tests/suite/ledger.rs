//! The ledger against SQLite itself: many connections commit through it, and its last digest must be the database's.

use crate::common::database;

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
    thread,
};

use journalbench::{
    dataset::Manifest,
    history::{
        Change, HistoryError,
        ledger::{Ledger, LedgerFile, Session},
        replay::{self, State},
    },
    oracle,
    sqlite::{self, JournalMode, Settings},
    torrents::Torrent,
};

use crate::common::database::{dataset, download};
use rusqlite::Connection;

/// The variable that makes this program the writer that is killed, and names its folder.
const KILLED_IN: &str = "JOURNALBENCH_TEST_KILLED_IN";

/// Records that a ledger grows by at once.
const RECORDS_AT_ONCE: u64 = (1 << 20) / 32;

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
    ledger.close().unwrap();
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
    ledger.close().unwrap();
    let bytes = std::fs::read(ledger.path()).unwrap();
    let cut = folder.path().join("cut");
    for (length, commits) in [(128, 2), (127, 1), (96, 1), (64, 1), (32, 1), (31, 0), (0, 0)] {
        std::fs::write(&cut, &bytes[..length]).unwrap();
        assert_eq!(replay(&cut, &manifest, |_| ()).unwrap().commit, commits, "{length} bytes");
    }
}

/// Commits one download, with so many records beside its own that the ledger soon grows.
fn commit_long(connection: &Connection, session: &Session, torrent: u64) {
    let beside = std::iter::repeat_n(Change::Nothing, 999);
    session.begin([Change::CountTorrent(Torrent::Known(torrent))].into_iter().chain(beside));
    connection.execute("UPDATE torrents SET completed = completed + 1 WHERE id = ?1", [torrent.cast_signed()]).unwrap();
    session.acknowledge();
}

#[test]
fn the_order_holds_while_the_file_grows_and_it_ends_with_its_last_record() {
    let folder = tempfile::tempdir().unwrap();
    let (manifest, path) = dataset(folder.path());
    let ledger = Ledger::create(&folder.path().join("ledger")).unwrap();
    let settings = database::settings(JournalMode::Wal);
    let mut last_connection = sqlite::open(&path, &settings).unwrap();
    thread::scope(|scope| {
        for worker in 1..=3_u64 {
            let (ledger, path) = (&ledger, &path);
            scope.spawn(move || {
                let mut connection = sqlite::open(path, &settings).unwrap();
                let session = ledger.attach(&mut connection).unwrap();
                for number in 0..50 {
                    commit_long(&connection, &session, worker * 31 + number % 50);
                    // A void record, at a moment when others commit.
                    session.begin([Change::Nothing]);
                    connection.execute("UPDATE keys SET key = key WHERE id = 0", []).unwrap();
                    session.fail().unwrap();
                }
            });
        }
    });
    let records = 3 * 50 * (1_000 + 2);
    assert!(records > 4 * RECORDS_AT_ONCE, "it grew four times");
    let grown = fs::metadata(ledger.path()).unwrap().len();
    assert_eq!(grown, records.next_multiple_of(RECORDS_AT_ONCE) * 32);
    let while_open = replay(ledger.path(), &manifest, |_| ()).unwrap();
    ledger.close().unwrap();
    assert_eq!(fs::metadata(ledger.path()).unwrap().len(), records * 32);
    let mut voids = 0;
    let last = replay(ledger.path(), &manifest, |state| voids += u64::from(state.void)).unwrap();
    assert_eq!((last, voids, ledger.issued()), (while_open, 150, 300));
    assert_eq!(oracle::content_digest(&path, &Arc::default()).unwrap(), last.digest);

    let session = ledger.attach(&mut last_connection).unwrap();
    session.begin([Change::Nothing]);
    last_connection.execute("UPDATE keys SET key = 'late' WHERE id = 1", []).unwrap_err();
    assert!(session.fail().unwrap_err().to_string().contains("closed"));
    assert_eq!(oracle::content_digest(&path, &Arc::default()).unwrap(), last.digest, "no commit without its record");
}

#[test]
fn what_a_killed_writer_acknowledged_is_in_the_file() {
    if let Some(folder) = env::var_os(KILLED_IN) {
        return commit_until_killed(folder.as_ref());
    }
    for acknowledged_least in [1, 20, 50, 90] {
        let folder = tempfile::tempdir().unwrap();
        let (manifest, path) = dataset(folder.path());
        let mut writer = Command::new(env::current_exe().unwrap())
            .args(["--exact", "ledger::what_a_killed_writer_acknowledged_is_in_the_file", "--nocapture"])
            .env(KILLED_IN, folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acknowledged = 0;
        let mut lines = BufReader::new(writer.stdout.take().unwrap()).lines().map(Result::unwrap);
        let mut note = |line: String| {
            acknowledged = line.strip_prefix("acknowledged ").map_or(acknowledged, |token| token.parse().unwrap());
            acknowledged
        };
        while note(lines.next().expect("the writer goes on until it is killed")) < acknowledged_least {}
        writer.kill().unwrap();
        assert_eq!(writer.wait().unwrap().signal(), Some(9));
        // What it had said before it was killed.
        for line in lines {
            note(line);
        }

        let ledger = folder.path().join("ledger");
        assert_eq!(fs::metadata(&ledger).unwrap().len() % (RECORDS_AT_ONCE * 32), 0, "nobody has cut it");
        let mut digests = Vec::new();
        let last = replay(&ledger, &manifest, |state| digests.push(state.digest)).unwrap();
        assert!(last.commit >= acknowledged, "{} of {acknowledged}", last.commit);
        // The last transaction of the ledger may not have been committed.
        let found = oracle::content_digest(&path, &Arc::default()).unwrap();
        let place =
            digests.iter().rposition(|digest| *digest == found).expect("the database is in a state of the ledger");
        assert!(place as u64 >= acknowledged.max(last.commit - 1), "{place}: {last:?}, {acknowledged}");
    }
}

/// The killed writer. It says of each commit that it was acknowledged.
fn commit_until_killed(folder: &Path) {
    let ledger = Ledger::create(&folder.join("ledger")).unwrap();
    let mut connection = sqlite::open(&folder.join("live.db"), &database::settings(JournalMode::Wal)).unwrap();
    let session = ledger.attach(&mut connection).unwrap();
    println!();
    for number in 0.. {
        commit_long(&connection, &session, number % 500 + 1);
        println!("acknowledged {}", ledger.acknowledged());
        std::io::stdout().flush().unwrap();
    }
}

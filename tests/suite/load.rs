//! Real loads on small real databases: what each write profile does to them, and to its clients, when all is well and when
//! somebody holds a lock.

use crate::common;
use crate::common::database;

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use journalbench::{
    dataset::{Dataset, generate},
    history::{
        ledger::{Ledger, LedgerFile},
        replay,
    },
    load::{Batch, Load, Pace, Stream},
    measure::{Counts, OperationKind, Tally},
    oracle::{self, Verdict},
    pace::{Rate, Schedule, Spread},
    results::{OperationResult, PhaseName, Results, Status, TrialResult},
    sqlite::{self, JournalMode, Settings, TransactionMode},
    target::{Execution, Target, sqlite::SqliteTarget},
    torrents::Torrents,
    workload::{Kind, Mix, Operation, Workload, WriteProfile},
};
use rusqlite::Connection;

/// Announces that all complete a download.
const EVERY_ANNOUNCE: Mix = Mix {
    completed_share: 1.0,
    started_share: 0.0,
    stopped_share: 0.0,
    new_torrent_share: 0.1,
    ..Mix::of(WriteProfile::EveryAnnounce)
};

/// The announces of the baseline.
fn baseline(trial: &TrialResult) -> &OperationResult {
    trial.phase(PhaseName::Baseline).unwrap().operation(OperationKind::Announce).unwrap()
}

fn run(overrides: &[&str]) -> Results {
    let folder = tempfile::tempdir().unwrap();
    let results = common::run_kept(folder.path(), overrides);
    for trial in &results.trials {
        assert_eq!((trial.status, trial.live_database_matches_ledger), (Status::Completed, Some(true)), "{trial:?}");
        for snapshot in &trial.snapshots {
            assert_eq!(snapshot.ruling.verdict, Some(Verdict::Exact), "{}: {snapshot:?}", trial.id);
        }
    }
    results
}

#[test]
fn every_profile_is_accounted_for_and_its_snapshots_are_exact() {
    let both = r#"["delete", "wal"]"#;
    for (profile, journal_mode) in [
        ("every-announce", both),
        ("completed-only", both),
        ("tracker-3", "delete"),
        ("tracker-4", "wal"),
        ("batched", "delete"),
    ] {
        let results = run(&[
            &format!("load.write_profile={profile}"),
            &format!("sqlite.journal_mode={journal_mode}"),
            "snapshots.deadline_s=20",
            "phases.horizon_s=1",
            "load.rate_ops=600",
            "sqlite.synchronous=off",
            "load.pool_connections=4",
        ]);
        for trial in &results.trials {
            let phase = trial.phase(PhaseName::Baseline).unwrap();
            let announces = baseline(trial);
            assert_eq!(announces.counts.served, announces.due, "{profile}: {announces:?}");
            assert!(phase.commits > 0, "{profile}: {phase:?}");
            assert_eq!(announces.lost_writes, 0, "{profile}");
            // What a tracker of that kind does for a scrape touches no SQL. A newer one reads each torrent once.
            let scrapes_read = phase.achieved_sql_per_s > 5.0 * phase.achieved_commits_per_s;
            assert_eq!(scrapes_read, !profile.starts_with("tracker-"), "{profile}: {phase:?}");
        }
    }
}

#[test]
fn batches_need_fewer_commits_than_writes() {
    let set = [
        "load.write_profile=batched",
        "load.completed_share=0.8",
        "load.batch_wait_ms=20",
        // A single sync of a busy disk takes longer than a batch waits.
        "sqlite.synchronous=off",
        "snapshots.strategies=none",
        "snapshots.deadline_s=0.5",
    ];
    for trial in &run(&set).trials {
        let phase = trial.phase(PhaseName::Baseline).unwrap();
        assert!(phase.achieved_commits_per_s < phase.offered_commits_per_s / 4.0, "{phase:?}");
        let writes = phase.offered_commits_per_s / phase.offered_rate_ops;
        assert!((0.6..0.8).contains(&writes), "nine of ten are announces and four of five of those write: {writes}");
        assert!((phase.achieved_sql_per_s / phase.offered_sql_per_s - 1.0).abs() < 0.2, "{phase:?}");
        let announces = baseline(trial);
        assert_eq!(announces.counts.served, announces.due);
        let p50_us = announces.response.p50_us.unwrap();
        assert!((1_000..60_000).contains(&p50_us), "most wait for their batch: {p50_us} us");
    }
}

#[test]
fn a_closed_loop_works_in_every_transaction_mode() {
    for mode in ["deferred", "immediate", "exclusive"] {
        let transaction = format!("sqlite.transaction_mode={mode}");
        let set = [
            "load.rate_ops=[]",
            "load.arrivals=closed",
            "load.write_profile=every-announce",
            "load.pool_connections=2",
            "sqlite.synchronous=off",
            "sqlite.journal_mode=wal",
            "snapshots.strategies=none",
            "snapshots.deadline_s=0.5",
            &transaction,
        ];
        let trial = &run(&set).trials[0];
        assert_eq!(trial.offered_rate_ops, None);
        assert!(trial.phase(PhaseName::Baseline).unwrap().commits > 100, "{mode}");
        assert_eq!(trial.settings["page_size"], "1024");
    }
}

#[test]
fn a_checkpoint_thread_keeps_the_wal_short_where_no_commit_does() {
    let wal_pages_a_commit = |checkpoint_thread: &str| {
        let set = [
            "load.rate_ops=300",
            "load.write_profile=every-announce",
            "sqlite.synchronous=off",
            "sqlite.journal_mode=wal",
            "sqlite.wal_autocheckpoint_pages=0",
            "snapshots.strategies=none",
            "snapshots.deadline_s=0.5",
            checkpoint_thread,
        ];
        let trial = &run(&set).trials[0];
        assert_eq!(trial.settings["wal_autocheckpoint"], "0");
        let commits: u64 = trial.phases.iter().map(|phase| phase.commits).sum();
        trial.wal_bytes_max / 1024 / commits
    };
    assert!(wal_pages_a_commit("sqlite.checkpoint_thread_ms=0") >= 2, "all of it stands in the WAL");
    assert_eq!(wal_pages_a_commit("sqlite.checkpoint_thread_ms=20"), 0);
}

/// Notes what it is asked to execute.
struct Noting(Arc<Mutex<Vec<Operation>>>);

impl Target for Noting {
    fn execute(&self, operation: &Operation, _: Instant) -> Execution {
        self.0.lock().unwrap().push(operation.clone());
        Execution::default()
    }

    fn execute_batch(&self, operations: &[Operation], _: Instant) -> Execution {
        panic!("{operations:?} were not to be batched")
    }
}

#[test]
fn two_numbers_of_threads_run_the_same_operations() {
    let run = |threads: usize| {
        let noted = Arc::default();
        let targets = (0..threads).map(|_| Noting(Arc::clone(&noted))).collect();
        let end_ns = 500_000_000;
        let schedule = Schedule::new(Spread::Poisson, Rate::constant(4_000.0), 1, end_ns);
        let mix = Mix { announce_share: 0.7, ..EVERY_ANNOUNCE };
        let workload = Workload::new(mix, Torrents::new(1_000, 310), 1);
        let streams = vec![Stream { kind: None, pace: Pace::Open(schedule), batch: None, targets }];
        let load = Load::start(streams, Vec::new(), &workload, Duration::from_secs(15));
        while !load.is_finished() {
            thread::sleep(Duration::from_millis(5));
        }
        load.stop(end_ns);
        load.finish(Duration::from_secs(5), |_| ());
        let mut operations: Vec<_> = noted.lock().unwrap().iter().map(|operation| format!("{operation:?}")).collect();
        operations.sort();
        operations
    };
    let (one, seven) = (run(1), run(7));
    assert!(one.len() > 1_800, "{} operations in half a second at 4,000 a second", one.len());
    assert_eq!(one, seven);
}

/// Writes a batch with two statements for each operation and one for all, and gives one write up.
struct Together;

impl Target for Together {
    fn execute(&self, operation: &Operation, _: Instant) -> Execution {
        panic!("{operation:?} was to be batched")
    }

    fn execute_batch(&self, operations: &[Operation], _: Instant) -> Execution {
        let statements = 2 * u32::try_from(operations.len()).unwrap() + 1;
        Execution { statements, lost_writes: 1, ..Execution::default() }
    }
}

#[test]
fn all_that_a_batch_did_is_counted() {
    let end_ns = 100_000_000;
    let schedule = Schedule::new(Spread::Constant, Rate::constant(4_000.0), 1, end_ns);
    let workload = Workload::new(EVERY_ANNOUNCE, Torrents::new(1_000, 310), 1);
    let batch = Some(Batch { operations: 4, wait: Duration::from_secs(60) });
    let streams =
        vec![Stream { kind: Some(Kind::Announce), pace: Pace::Open(schedule), batch, targets: vec![Together] }];
    let load = Load::start(streams, Vec::new(), &workload, Duration::from_secs(15));
    while !load.is_finished() {
        thread::sleep(Duration::from_millis(5));
    }
    load.stop(end_ns);
    let (mut statements, mut lost_writes) = (0, 0);
    load.finish(Duration::from_secs(5), |slice| {
        statements += slice.samples.iter().map(|sample| sample.statements).sum::<u32>();
        lost_writes += slice.lost_writes.iter().sum::<u64>();
    });
    assert_eq!((statements, lost_writes), (400 * 2 + 100, 100));
}

#[test]
fn a_rate_in_steps_is_followed() {
    let steps = "load.steps=[{duration_s=0.5, rate_ops=200}, {duration_s=10, rate_ops=1000}]";
    let set = [
        "load.rate_ops=[]",
        steps,
        "load.arrivals=constant",
        "snapshots.strategies=none",
        "snapshots.deadline_s=0.5",
        "sqlite.journal_mode=wal",
    ];
    let trial = &run(&set).trials[0];
    // Half a second at 200 a second, and the rest of the load at 1,000.
    let length_s: f64 = trial.phases.iter().map(|phase| phase.duration_s).sum();
    let expected = 100.0 + (length_s - 0.5) * 1_000.0;
    assert!((trial.offered_rate_ops.unwrap() - expected / length_s).abs() < 1.0, "{:?}", trial.offered_rate_ops);
    let due: u64 = trial.phases.iter().map(|phase| phase.counts().due()).sum();
    assert!((due as f64 - expected).abs() <= 2.0, "{due}, not {expected}");
    assert_eq!(trial.series.iter().map(|point| point.due).sum::<u64>(), due);
    // What was served after the end of the load is in no point.
    let served: u64 = trial.series.iter().map(|point| point.served).sum();
    assert!(served <= due && served + 100 > due, "{served} of {due}");
    assert!(trial.series[0].due.abs_diff(600) <= 2, "{:?}", trial.series);
}

/// Names the database to the process that holds its lock.
const HOLD: &str = "JOURNALBENCH_TEST_HOLD";

/// No test of its own: run in another process by the tests below, because SQLite's locks are between processes.
#[test]
fn hold_a_lock_for_another_test() {
    let Ok(database) = std::env::var(HOLD) else { return };
    let connection = Connection::open(database).unwrap();
    connection.busy_timeout(Duration::from_secs(10)).unwrap();
    connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    println!("\nlocked");
    thread::sleep(Duration::from_secs(1));
    connection.execute_batch("ROLLBACK").unwrap();
    println!("\nreleased");
}

/// When an exclusive lock was held.
struct Held {
    from: Instant,
    to: Instant,
}

/// Holds an exclusive lock on a database in another process for a second.
fn hold_lock(database: &Path) -> Held {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "load::hold_a_lock_for_another_test", "--nocapture"])
        .env(HOLD, database)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut wait_for = |word: &str| {
        lines.by_ref().find(|line| line == word).unwrap_or_else(|| panic!("the process never said {word}"));
        Instant::now()
    };
    let held = Held { from: wait_for("locked"), to: wait_for("released") };
    assert!(child.wait().unwrap().success());
    held
}

/// Three seconds of announces on one connection under `delete`, while another process holds an exclusive lock for one of
/// them.
fn run_against_a_lock(write_profile: WriteProfile, busy_timeout_ms: i64, rate_ops: f64) -> (Tally, f64) {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live.db");
    let dataset = Dataset { rows: 1_000, seed: 310, page_size_bytes: 4096, zero_share_ppm: 0 };
    let manifest = generate(&dataset, &live, &Arc::default(), &mut |_| ()).unwrap();
    let settings = Settings { busy_timeout_ms, ..database::settings(JournalMode::Delete) };
    let ledger = Ledger::create(&folder.path().join("ledger")).unwrap();
    let mut connection = sqlite::open(&live, &settings).unwrap();
    let session = ledger.attach(&mut connection).unwrap();
    let target = SqliteTarget::new(connection, session, dataset.torrents(), TransactionMode::Immediate);
    let workload = Workload::new(Mix { write_profile, ..EVERY_ANNOUNCE }, dataset.torrents(), 1);
    let end_ns = 3_000_000_000;
    let schedule = Schedule::new(Spread::Constant, Rate::constant(rate_ops), 1, end_ns);
    let streams =
        vec![Stream { kind: Some(Kind::Announce), pace: Pace::Open(schedule), batch: None, targets: vec![target] }];
    let load = Load::start(streams, Vec::new(), &workload, Duration::from_secs(15));
    thread::sleep(Duration::from_millis(700));
    let held = hold_lock(&live);
    let mut tally = Tally::default();
    // Its worker ends with the last operation of the schedule, however late the processors let it come to that.
    let begun = Instant::now();
    while !load.is_finished() && begun.elapsed() < Duration::from_secs(30) {
        load.drain(|slice| tally.add(slice));
        thread::sleep(Duration::from_millis(10));
    }
    load.stop(end_ns);
    assert_eq!(load.finish(Duration::from_secs(20), |slice| tally.add(slice)), 0);
    // Whatever was lost or retried, the ledger knows what happened.
    let last = replay::replay(&LedgerFile::open(ledger.path()).unwrap(), &manifest, |_| ()).unwrap();
    assert_eq!(oracle::content_digest(&live, &Arc::default()).unwrap(), last.digest);
    (tally, (held.to - held.from).as_secs_f64())
}

#[test]
fn a_lock_held_for_a_second_shows_in_everything_that_was_due_meanwhile() {
    let rate_ops = 500.0;
    let (tally, held_s) = run_against_a_lock(WriteProfile::EveryAnnounce, 5_000, rate_ops);
    let announces = tally.of(OperationKind::Announce);
    assert_eq!(announces.counts, Counts { served: 1_500, ..Counts::default() });
    // What was due in the second waited for its end, and for SQLite's busy handler to look again, which it does every
    // 100 ms at last: the longest wait says when it did. So `rate * (held - x)` operations waited longer than x, and
    // beside them only those that were due while the queue was worked off: in four tenths of a second, also where other tests
    // have the processors.
    let longest_s = announces.response.max() as f64 / 1e6;
    for tenth in 1..10_u32 {
        let longer_than_s = f64::from(tenth) / 10.0;
        let waited = announces.response.count_between(u64::from(tenth) * 100_000, u64::MAX) as f64;
        let least = rate_ops * (held_s - longer_than_s - 0.03).max(0.0);
        let most = rate_ops * (longest_s.max(held_s) - longer_than_s + 0.4);
        assert!((least..=most).contains(&waited), "{waited} waited over {longer_than_s} s, not {least} to {most}");
    }
    assert_eq!(announces.service.count_between(300_000, u64::MAX), 1, "service time shows it once a worker");
}

#[test]
fn a_tracker_that_gives_up_loses_writes_and_a_service_that_retries_does_not() {
    let (tally, _) = run_against_a_lock(WriteProfile::Tracker3, 100, 500.0);
    let announces = tally.of(OperationKind::Announce);
    assert_eq!(
        announces.counts,
        Counts { served: 1_500, ..Counts::default() },
        "every client was answered as if all were well"
    );
    assert!((5..=20).contains(&announces.lost_writes), "a write was given up every 100 ms: {}", announces.lost_writes);

    let (tally, _) = run_against_a_lock(WriteProfile::EveryAnnounce, 100, 500.0);
    let announces = tally.of(OperationKind::Announce);
    assert_eq!(announces.counts, Counts { served: 1_500, ..Counts::default() });
    assert_eq!(announces.lost_writes, 0);
}

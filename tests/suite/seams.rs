//! The two seams that other systems are to be put into: a target that is no SQLite, driven by the same load generator, and a
//! history that knows no ledger, judged by the same oracle.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use journalbench::{
    dataset::{Dataset, Manifest, generate},
    history::{Change, Commit, History, HistoryError},
    load::{Batch, Load, Pace, Stream},
    measure::{OperationKind, Tally},
    oracle::{self, Claim, Evidence, Examination, JudgeError, Question, SqliteChecks, Verdict},
    pace::{Rate, Schedule, Spread},
    target::{Execution, IdleWork, Target},
    torrents::{Portion, Torrent, Torrents},
    workload::{Kind, Mix, Operation, Workload, WriteProfile},
};
use rusqlite::{Connection, params};

/// A store that appends a line for each announce to a file, and counts what it was asked to do.
struct AppendOnlyFile {
    file: File,
    torrents: Torrents,
    batches: Arc<AtomicU64>,
    idle_calls: Arc<AtomicU64>,
}

impl AppendOnlyFile {
    fn append(&self, operations: &[Operation]) -> Execution {
        let mut lines = String::new();
        for torrent in operations.iter().flat_map(|operation| &operation.torrents) {
            lines.push_str(&self.torrents.info_hash(*torrent).to_string());
            lines.push('\n');
        }
        (&self.file).write_all(lines.as_bytes()).unwrap();
        Execution::default()
    }
}

impl Target for AppendOnlyFile {
    fn execute(&self, operation: &Operation, _: Instant) -> Execution {
        match operation.kind {
            Kind::Announce => self.append(std::slice::from_ref(operation)),
            Kind::Scrape => Execution { statements: 7, ..Execution::default() },
        }
    }

    fn execute_batch(&self, operations: &[Operation], _: Instant) -> Execution {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.append(operations)
    }

    fn idle(&self) -> IdleWork<'_> {
        Box::new(|_until| {
            self.idle_calls.fetch_add(1, Ordering::Relaxed);
        })
    }
}

#[test]
fn the_load_generator_drives_a_target_that_is_no_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("announces");
    let (batches, idle_calls) = (Arc::default(), Arc::default());
    let torrents = Torrents::new(1_000, 310);
    let mix = Mix { completed_share: 1.0, started_share: 0.0, stopped_share: 0.0, ..Mix::of(WriteProfile::Batched) };
    let workload = Workload::new(mix, torrents.clone(), 1);
    let end_ns = 500_000_000;
    let target = AppendOnlyFile {
        file: File::create_new(&path).unwrap(),
        torrents,
        batches: Arc::clone(&batches),
        idle_calls: Arc::clone(&idle_calls),
    };
    let stream = Stream {
        kind: None,
        pace: Pace::Open(Schedule::new(Spread::Constant, Rate::constant(2_000.0), 1, end_ns)),
        batch: Some(Batch { operations: 10, wait: Duration::from_secs(5) }),
        targets: vec![target],
    };
    let load = Load::start(vec![stream], Vec::new(), &workload, Duration::from_secs(15));
    let mut tally = Tally::default();
    while !load.is_finished() {
        load.drain(|slice| tally.add(slice));
        thread::sleep(Duration::from_millis(5));
    }
    load.stop(end_ns);
    assert_eq!(load.finish(Duration::from_secs(5), |slice| tally.add(slice)), 0);

    let [announces, scrapes] = OperationKind::REQUESTS.map(|kind| tally.of(kind).counts.served);
    assert_eq!(announces + scrapes, 1_000, "everything that was due was served");
    let lines = fs::read_to_string(&path).unwrap();
    let mut expected = Vec::new();
    let mut operation = Operation::default();
    for index in (0..1_000).filter(|index| workload.kind(*index) == Kind::Announce) {
        workload.operation(Kind::Announce, index, &mut operation);
        expected.push(workload.torrents().info_hash(operation.torrents[0]).to_string());
    }
    assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "each announce once, in order");
    assert_eq!(batches.load(Ordering::Relaxed), announces.div_ceil(10));
    assert_eq!(idle_calls.load(Ordering::Relaxed), 1_000, "once before each wait");
}

const DATASET: Dataset = Dataset { rows: 500, seed: 310, page_size_bytes: 1024, zero_share_ppm: 0 };

/// Writes that a client sent one at a time, and whose acknowledgements it has seen, in order.
struct AcknowledgedWrites {
    changes: Vec<Change>,
    /// Set where two writes were under way at once, so that nobody knows which was first.
    overlapping: bool,
}

impl History for AcknowledgedWrites {
    fn visit(&self, visit: &mut dyn FnMut(&Commit) -> Result<(), HistoryError>) -> Result<(), HistoryError> {
        if self.overlapping {
            return Err(HistoryError::OrderUnknown("two writes were under way at once".to_owned()));
        }
        for (number, change) in (1..).zip(&self.changes) {
            visit(&Commit { number, at_us: number * 1_000, changes: vec![*change], void: false })?;
        }
        Ok(())
    }

    fn changes_max(&self) -> Result<u64, HistoryError> {
        Ok(self.changes.len() as u64)
    }
}

fn examine(
    history: &dyn History,
    manifest: &Manifest,
    snapshot: &Path,
    commit_at_start: u64,
) -> Result<Examination, JudgeError> {
    // Reading a snapshot changes it.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("snapshot.db");
    fs::copy(snapshot, &file).unwrap();
    let evidence = Evidence {
        start: manifest,
        history,
        sqlite_checks: SqliteChecks::Ask,
        interrupted: &Arc::default(),
        pages_done: &AtomicU64::new(0),
    };
    let claim = Claim { portion: Portion::Whole, finished: true, commit_at_start, commit_at_end: 30, ended_us: 31_000 };
    oracle::examine(&evidence, &[Question { file: &file, claim }], |_| ()).pop().unwrap()
}

#[test]
fn the_oracle_judges_by_acknowledged_writes_where_there_is_no_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live.db");
    let manifest = generate(&DATASET, &live, &Arc::default(), &mut |_| ()).unwrap();
    let connection = Connection::open(&live).unwrap();
    let mut history = AcknowledgedWrites { changes: Vec::new(), overlapping: false };
    let copy = folder.path().join("copy.db");
    for number in 0..30_u64 {
        // What tracker 3.0.0 does for a completed download: an absolute count, autocommitting.
        let torrent = if number % 4 == 0 { Torrent::Unseen(number) } else { Torrent::Known(number * 7 % 500 + 1) };
        let count = i64::try_from(number).unwrap() + 5;
        let upsert = "INSERT INTO torrents (info_hash, completed) VALUES (?1, ?2)
            ON CONFLICT (info_hash) DO UPDATE SET completed = ?2";
        connection.execute(upsert, params![DATASET.torrents().info_hash(torrent).as_str(), count]).unwrap();
        history.changes.push(Change::StoreCount(torrent, count));
        if number == 19 {
            connection.execute("VACUUM INTO ?1", [copy.to_str().unwrap()]).unwrap();
        }
    }

    let exact = examine(&history, &manifest, &copy, 20).unwrap();
    assert_eq!((exact.judgement.verdict, exact.judgement.commit), (Verdict::Exact, Some(20)), "{exact:?}");
    assert_eq!(exact.judgement.age_commits, Some(10));
    let stale = examine(&history, &manifest, &copy, 21).unwrap();
    assert_eq!((stale.judgement.verdict, stale.judgement.missing_commits), (Verdict::Stale, Some(1)));

    Connection::open(&copy)
        .unwrap()
        .execute_batch("UPDATE torrents SET completed = completed + 1 WHERE id = 77")
        .unwrap();
    let torn = examine(&history, &manifest, &copy, 20).unwrap();
    assert_eq!(torn.judgement.verdict, Verdict::Torn);
    let difference = torn.difference.unwrap();
    assert_eq!((difference.nearest_commit, difference.rows), (20, 1));

    history.overlapping = true;
    let error = examine(&history, &manifest, &copy, 20).unwrap_err();
    assert_eq!(error.to_string(), "the order of the commits is not known: two writes were under way at once");
}

//! The VFS that counts: its counts are those of the system calls, its delay is kept, and its locks hold.

use std::{
    collections::BTreeMap,
    env, fs,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use journalbench::{
    io::{self, CheckpointFrames, FileCounts, FileKind, IoLog},
    measure::IoRole,
    report::{self, Format},
    results::PhaseName,
    snapshot::Strategy,
    sqlite::{self, JournalMode, Settings, Synchronous},
};
use rusqlite::{Connection, params};

use crate::common::{
    self,
    database::{self, UPSERT},
};

/// Names the folder of a process that a test starts: this program again, with one of its tests alone.
const FOLDER: &str = "JOURNALBENCH_TEST_IO_FOLDER";
/// Says what that process is to do.
const TASK: &str = "JOURNALBENCH_TEST_IO_TASK";

/// This program again, to run [`in_a_process_of_its_own`] alone.
fn again(wrapper: &[&str], folder: &Path, task: &str) -> Command {
    let this = env::current_exe().unwrap();
    let this = this.to_str().unwrap();
    let words = [wrapper, &[this, "--exact", "io::in_a_process_of_its_own", "--nocapture"]].concat();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env(FOLDER, folder).env(TASK, task).stdout(Stdio::null());
    command
}

/// What the tests below start; by itself it has nothing to do.
#[test]
fn in_a_process_of_its_own() {
    let (Some(folder), Ok(task)) = (env::var_os(FOLDER), env::var(TASK)) else { return };
    let folder = Path::new(&folder);
    match task.split_once(' ') {
        None => commit_in_each_mode(folder),
        Some((mode, number)) => write_beside_others(folder, mode, number),
    }
}

fn counted(path: &Path, settings: &Settings, delay: Duration) -> Connection {
    sqlite::open_through(path, settings, Some(io::vfs_with_delay(delay).unwrap())).unwrap()
}

fn name(mode: JournalMode, level: Synchronous) -> String {
    format!("{mode}-{level}")
}

/// Commits, reads, rolls back and checkpoints under every mode and level, each in a folder of its own between two marks, which are
/// names that do not exist, and writes down what was counted.
fn commit_in_each_mode(folder: &Path) {
    for (mode, level) in JournalMode::ALL.into_iter().flat_map(|mode| Synchronous::ALL.map(|level| (mode, level))) {
        let folder = folder.join(name(mode, level));
        let settings = Settings { synchronous: level, wal_autocheckpoint_pages: 20, ..database::settings(mode) };
        let _ = fs::metadata(folder.join("begin-mark"));
        io::count_here();
        let connection = counted(&folder.join("live.db"), &settings, Duration::ZERO);
        for number in 0..30 {
            connection.execute(UPSERT, params![format!("{number:040}")]).unwrap();
        }
        let rows: i64 = connection.query_row("SELECT sum(completed) FROM torrents", [], |row| row.get(0)).unwrap();
        assert!(rows >= 30);
        if mode != JournalMode::Off {
            connection.execute_batch("BEGIN IMMEDIATE; DELETE FROM torrents WHERE completed = 1; ROLLBACK").unwrap();
        }
        let mut log = IoLog::default();
        io::take(&mut log);
        let _ = fs::metadata(folder.join("end-mark"));
        let counts: BTreeMap<String, FileCounts> =
            FileKind::ALL.map(|kind| (kind.to_string(), *log.counts.of(kind))).into();
        fs::write(folder.join("counts.json"), serde_json::to_string(&counts).unwrap()).unwrap();
    }
}

#[test]
fn what_is_counted_is_what_the_system_was_asked() {
    let root = tempfile::tempdir().unwrap();
    let root_path = root.path().canonicalize().unwrap();
    for (mode, level) in JournalMode::ALL.into_iter().flat_map(|mode| Synchronous::ALL.map(|level| (mode, level))) {
        let folder = root_path.join(name(mode, level));
        fs::create_dir(&folder).unwrap();
        database::dataset(&folder);
    }
    let trace = root_path.join("trace");
    let calls = "trace=openat,pread64,pwrite64,fsync,fdatasync,ftruncate,unlink,stat,newfstatat,statx";
    let strace = ["strace", "-f", "-y", "-qq", "-s", "0", "-e", calls, "-o", trace.to_str().unwrap()];
    match again(&strace, &root_path, "count").status() {
        Ok(status) if status.success() => {}
        // Containers may forbid one process to trace another, and not every machine has strace.
        failed => return eprintln!("SKIPPED: strace does not run here: {failed:?}"),
    }
    let trace = fs::read_to_string(trace).unwrap();
    for (mode, level) in JournalMode::ALL.into_iter().flat_map(|mode| Synchronous::ALL.map(|level| (mode, level))) {
        let folder = root_path.join(name(mode, level));
        let counts = fs::read_to_string(folder.join("counts.json")).unwrap();
        let counts: BTreeMap<String, FileCounts> = serde_json::from_str(&counts).unwrap();
        let traced = traced(&trace, &folder);
        for kind in [FileKind::Main, FileKind::Journal, FileKind::Wal, FileKind::Folder] {
            let found = counts[&kind.to_string()];
            // What is asked for at the end of a file is more than there is.
            let found = FileCounts { read_bytes: 0, ..found };
            let expected = traced.get(&kind).copied().unwrap_or_default();
            assert_eq!(found, expected, "{kind} under {mode}, {level}");
        }
        let writes = traced.values().map(|counts| counts.writes).sum::<u64>();
        assert!(writes > 30, "{mode}, {level}: {writes} writes were traced");
    }
}

/// The system calls on the files of a folder between its marks.
fn traced(trace: &str, folder: &Path) -> BTreeMap<FileKind, FileCounts> {
    let folder = folder.to_str().unwrap();
    let mark = |name: &str| format!("{folder}/{name}\"");
    let (begin, end) = (mark("begin-mark"), mark("end-mark"));
    let lines = trace.lines().skip_while(|line| !line.contains(&begin)).take_while(|line| !line.contains(&end));
    let mut counts: BTreeMap<FileKind, FileCounts> = BTreeMap::new();
    for line in lines {
        let Some((call, result)) = line.rsplit_once(" = ") else { continue };
        let Some((call, arguments)) = call.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ').split_once('(')
        else {
            continue;
        };
        let result = result.split(['<', ' ']).next().unwrap().parse::<i64>().unwrap_or(-1);
        let Ok(result) = u64::try_from(result) else { continue };
        let Some(kind) = kind_of(arguments, folder) else { continue };
        let counts = counts.entry(kind).or_default();
        match call {
            "openat" if kind != FileKind::Folder => counts.opens += 1,
            "pread64" => counts.reads += 1,
            "pwrite64" => (counts.writes, counts.written_bytes) = (counts.writes + 1, counts.written_bytes + result),
            "fsync" | "fdatasync" => counts.syncs += 1,
            "ftruncate" => counts.truncates += 1,
            "unlink" => counts.deletes += 1,
            _ => {}
        }
    }
    counts
}

/// Which of the files of a folder the arguments of a system call name.
fn kind_of(arguments: &str, folder: &str) -> Option<FileKind> {
    let rest = &arguments[arguments.find(folder)? + folder.len()..];
    match &rest[..rest.find(['"', '>'])?] {
        "" => Some(FileKind::Folder),
        "/live.db" => Some(FileKind::Main),
        "/live.db-journal" => Some(FileKind::Journal),
        "/live.db-wal" => Some(FileKind::Wal),
        _ => None,
    }
}

#[test]
fn every_sync_takes_at_least_the_delay() {
    const DELAY: Duration = Duration::from_millis(4);
    const COMMITS: u32 = 5;
    // Syncs a commit, by mode and level: docs/sqlite.md, 35.
    for (mode, level, syncs) in [
        (JournalMode::Delete, Synchronous::Normal, 3),
        (JournalMode::Delete, Synchronous::Full, 4),
        (JournalMode::Delete, Synchronous::Extra, 5),
        (JournalMode::Truncate, Synchronous::Full, 5),
        (JournalMode::Persist, Synchronous::Full, 5),
        (JournalMode::Wal, Synchronous::Full, 1),
        (JournalMode::Wal, Synchronous::Off, 0),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (_, live) = database::dataset(folder.path());
        let connection = counted(&live, &Settings { synchronous: level, ..database::settings(mode) }, DELAY);
        let commit = || connection.execute(UPSERT, params!["a"]).unwrap();
        // The first commit makes the folder of a new WAL durable, too.
        commit();
        io::count_here();
        let begun = Instant::now();
        (0..COMMITS).for_each(|_| _ = commit());
        let took = begun.elapsed();
        let mut log = IoLog::default();
        io::take(&mut log);
        let counted: u64 = FileKind::ALL.iter().map(|kind| log.counts.of(*kind).syncs).sum();
        assert_eq!(counted, u64::from(COMMITS * syncs), "{mode}, {level}");
        assert!(took >= DELAY * COMMITS * syncs, "{mode}, {level}: {took:?}");
        assert_eq!(log.counts.commits, u64::from(COMMITS), "{mode}, {level}");
    }
}

#[test]
fn a_checkpoint_is_seen_with_its_parts() {
    let folder = tempfile::tempdir().unwrap();
    let (_, live) = database::dataset(folder.path());
    let settings = Settings { synchronous: Synchronous::Normal, ..database::settings(JournalMode::Wal) };
    let connection = counted(&live, &settings, Duration::from_millis(2));
    io::count_here();
    for number in 0..50 {
        connection.execute(UPSERT, params![format!("{number:040}")]).unwrap();
    }
    assert_eq!(io::checkpoints_here(), 0);
    let pages: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(2)).unwrap();
    assert_eq!((pages, io::checkpoints_here()), (0, 1), "the log is empty afterwards");
    let mut log = IoLog::default();
    io::take(&mut log);
    let [checkpoint] = log.checkpoints[..] else { panic!("{:?}", log.checkpoints) };
    assert_eq!(checkpoint.pages, log.counts.of(FileKind::Main).writes);
    assert!(checkpoint.pages > 10, "{checkpoint:?}");
    let least = Duration::from_millis(2);
    assert!(checkpoint.wal_sync >= least && checkpoint.main_sync >= least, "{checkpoint:?}");
    // A thread that does not ask has nothing counted.
    thread::scope(|scope| {
        scope.spawn(|| {
            connection_of_another_thread(&live, &settings);
        });
    });
}

#[test]
fn how_far_a_checkpoint_goes_is_what_sqlite_says_also_beside_a_reader() {
    let folder = tempfile::tempdir().unwrap();
    let (_, live) = database::dataset(folder.path());
    let settings = Settings { wal_autocheckpoint_pages: 0, ..database::settings(JournalMode::Wal) };
    let connection = counted(&live, &settings, Duration::ZERO);
    let write = |from: u32| {
        for number in from..from + 20 {
            connection.execute(UPSERT, params![format!("{number:040}")]).unwrap();
        }
    };
    let checkpoint = || {
        let mut log = IoLog::default();
        io::take(&mut log);
        let said: (i64, u32, u32) = connection
            .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .unwrap();
        io::take(&mut log);
        (said, log)
    };
    io::count_here();
    write(0);
    let reader = Connection::open(&live).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM torrents").unwrap();
    write(100);
    let ((busy, of, moved), log) = checkpoint();
    assert!(busy == 0 && moved < of, "{moved} of {of}");
    assert_eq!(log.checkpoints[0].frames, Some(CheckpointFrames { moved, of }));
    assert_eq!((log.counts.wal_restarts, log.counts.checkpoints_busy), (0, 0));
    reader.execute_batch("COMMIT").unwrap();
    let ((_, of, moved), log) = checkpoint();
    assert_eq!(moved, of);
    assert_eq!(log.checkpoints[0].frames, Some(CheckpointFrames { moved, of }));
    // All of the log is in the database, so that the next writer begins it at its front.
    write(200);
    let mut log = IoLog::default();
    io::take(&mut log);
    assert_eq!(log.counts.wal_restarts, 1);
}

fn connection_of_another_thread(live: &Path, settings: &Settings) {
    let connection = counted(live, settings, Duration::ZERO);
    connection.execute(UPSERT, params!["of another thread"]).unwrap();
    let mut log = IoLog::default();
    io::take(&mut log);
    assert!(log.is_empty() && io::checkpoints_here() == 0);
}

/// Commits that each process makes.
const COMMITS: u32 = 150;

/// Adds one to a counter again and again, beside other processes, and checkpoints in every way meanwhile.
fn write_beside_others(folder: &Path, mode: &str, number: &str) {
    let mode = JournalMode::ALL.into_iter().find(|known| known.to_string() == mode).unwrap();
    let settings = Settings { busy_timeout_ms: 60_000, wal_autocheckpoint_pages: 10, ..database::settings(mode) };
    let live = folder.join("live.db");
    // The first two count, the third is anybody else's program.
    let connection = match number {
        "3" => sqlite::open(&live, &settings).unwrap(),
        _ => counted(&live, &settings, Duration::ZERO),
    };
    let checkpoints = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"];
    for commit in 0..COMMITS {
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        connection.execute(UPSERT, params!["counter"]).unwrap();
        connection.execute_batch("COMMIT").unwrap();
        if mode.has_wal() && commit % 10 == 0 {
            let way = checkpoints[commit as usize / 10 % checkpoints.len()];
            // Where others are at the database it says so and moves what it can.
            connection.query_row(&format!("PRAGMA wal_checkpoint({way})"), [], |_| Ok(())).unwrap();
        }
    }
}

#[test]
fn locks_hold_between_processes_that_count_and_one_that_does_not() {
    for mode in [JournalMode::Wal, JournalMode::Delete, JournalMode::Truncate] {
        let folder = tempfile::tempdir().unwrap();
        let (_, live) = database::dataset(folder.path());
        drop(sqlite::open(&live, &database::settings(mode)).unwrap());
        let start = |number| again(&[], folder.path(), &format!("{mode} {number}")).spawn().unwrap();
        let children: Vec<Child> = (1..=3).map(start).collect();
        for mut child in children {
            assert!(child.wait().unwrap().success(), "{mode}");
        }
        let connection = Connection::open(&live).unwrap();
        let sql = "SELECT completed FROM torrents WHERE info_hash = 'counter'";
        let counter: u32 = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        assert_eq!(counter, 3 * COMMITS, "{mode}");
        assert_eq!(sqlite::check(&connection, "integrity_check").unwrap(), "ok", "{mode}");
    }
}

#[test]
fn a_trial_says_what_was_asked_of_the_disk_and_that_a_slower_one_was_emulated() {
    let keys = ["load.completed_share=0.02", "sqlite.wal_autocheckpoint_pages=10", "snapshots.strategies=none"];
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let slower = [&keys[..], &["sqlite.sync_delay_us=1000", "load.long_reader_s=0.02"]].concat();
    let results = common::run_kept(folder.path(), &slower);
    for trial in &results.trials {
        let io = trial.phase(PhaseName::Baseline).and_then(|phase| phase.io.as_ref()).unwrap();
        let syncs: u64 = io.files.sum().syncs;
        let syncs_a_commit = if trial.journal_mode.has_wal() { 1 } else { 4 };
        assert!(io.commits > 0 && syncs >= io.commits * syncs_a_commit, "{}: {io:?}", trial.id);
        assert!(io.syncs.iter().all(|syncs| syncs.latency.p50_us.is_some_and(|us| us >= 1_000)), "{}", trial.id);
        for role in [IoRole::Announces, IoRole::Scrapes, IoRole::LongReader] {
            assert!(io.roles.iter().any(|file| file.role == role && file.counts.reads > 0), "{role}: {}", trial.id);
        }
        let checkpoints = trial.series.iter().filter_map(|point| point.checkpoints).map(|point| point.count);
        assert_eq!(checkpoints.sum::<u64>() > 0, trial.journal_mode.has_wal(), "{}", trial.id);
        let has_wal = trial.journal_mode.has_wal();
        assert_eq!(io.checkpoints.count > 0, has_wal, "{}", trial.id);
        assert_eq!(io.longest_wal_read_s >= 0.02, has_wal, "{}: {}", trial.id, io.longest_wal_read_s);
        // A page for the torrent and one for the total at the least, for less than a hundred bytes of rows.
        assert!(io.write_amplification.is_some_and(|times| times > 50.0), "{}: {io:?}", trial.id);
        let disk_use = trial.disk_use.unwrap();
        assert_eq!(disk_use.shm_bytes_max > 0, has_wal, "{}", trial.id);
        assert!(disk_use.files_max >= 2 && (disk_use.files_max == 3) == has_wal, "{}: {disk_use:?}", trial.id);
        assert!(disk_use.disk_bytes_max >= results.dataset.found().unwrap().bytes, "{}: {disk_use:?}", trial.id);
    }
    let report = report::render_details(&results);
    assert!(report.contains("What a commit asks of the disk, in the baseline (emulated disk)"), "{report}");
    let without = [&keys[..], &["sqlite.count_io=false", "sqlite.journal_mode=wal"]].concat();
    let uncounted = common::run_kept(other.path(), &without);
    let phases = uncounted.trials.iter().flat_map(|trial| &trial.phases);
    assert!(phases.into_iter().all(|phase| phase.io.is_none()));
    let report = report::render(&uncounted, Format::Markdown);
    assert!(!report.contains("emulated") && !report.contains("asks of the disk"), "{report}");
}

#[test]
fn a_copy_by_this_program_counts_what_it_asked_of_the_disk_that_is_emulated_for_it_too() {
    let folder = tempfile::tempdir().unwrap();
    let keys = [
        "load.completed_share=0",
        "snapshots.strategies=[\"backup-one-step\", \"vacuum-into\", \"cp\"]",
        "snapshots.deadline_s=20",
        "phases.horizon_s=1",
        "sqlite.journal_mode=wal",
        "sqlite.sync_delay_us=150000",
    ];
    let results = common::run_kept(folder.path(), &keys);
    let bytes = results.dataset.found().unwrap().bytes;
    for trial in &results.trials {
        let snapshot = &trial.snapshots[0];
        let Some(io) = &snapshot.cost.io else {
            assert_eq!(trial.strategy, Strategy::Cp, "{:?}", snapshot.run);
            continue;
        };
        let main = io.files.iter().find(|io| io.file == FileKind::Main).unwrap().counts;
        assert!(main.read_bytes >= bytes / 2, "{}: {main:?}", trial.id);
        assert!(main.written_bytes >= snapshot.copy.bytes, "{}: {main:?}", trial.id);
        let syncs = io.files.iter().map(|io| io.counts.syncs).sum::<u64>() as f64;
        assert!(snapshot.run.duration_s >= syncs * 0.15, "{}: {syncs} in {} s", trial.id, snapshot.run.duration_s);
        assert!(syncs >= 1.0 || trial.strategy == Strategy::VacuumInto, "{}: {io:?}", trial.id);
    }
    assert_eq!(results.trials.iter().filter(|trial| trial.snapshots[0].cost.io.is_some()).count(), 2);
}

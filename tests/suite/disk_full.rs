//! A full disk at every stage of a run: it ends with an error or a row that names the stage and the room, keeps what it can,
//! and leaves nothing behind.
//!
//! The disk is a small file system of its own, mounted in a namespace that goes away with the program. Where it has room for
//! what a run is expected to need, it is filled while the run goes on: as soon as a file is there that only one stage makes,
//! the program is stopped, the rest is filled, and it goes on.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use journalbench::{
    oracle::Verdict,
    results::{Results, Stage, Status, TrialResult},
};
use tempfile::TempDir;

/// Scrapes and downloads on 60 MB of torrents, for a second.
const SCENARIO: &str = r#"
why = "a test"
expect = "no room"
[dataset]
rows = 550_000
[sqlite]
journal_mode = "wal"
[load]
rate_ops = 500
write_profile = "every-announce"
announce_share = 0.5
[snapshots]
strategies = "none"
least_free_bytes = 0
sqlite_checks = false
deadline_s = 0.5
[phases]
warmup_s = 0.1
baseline_s = 0.5
recovery_s = 0
"#;

/// Mounts a file system of `$1` at `$2`, puts on it what is in the folder `before`, runs the rest of the arguments, and writes
/// the names of what is left in the work folder, but for the cached datasets, to `$4`. Where `$3` names a file of a run, the file
/// system is filled when that is there and has content.
const SCRIPT: &str = r#"
    size=$1 disk=$2 trigger=$3 left=$4; shift 4
    mount -t tmpfs -o "size=$size" tmpfs "$disk" && mkdir "$disk/small" || exit 70
    mount -t tmpfs -o size=8k tmpfs "$disk/small" || exit 70
    if [ -d before ]; then cp -r before/. "$disk" || exit 70; fi
    "$@" & program=$!
    if [ -n "$trigger" ]; then
        is_there() { for file in "$disk"/work/runs/$trigger; do [ -s "$file" ] && return; done; false; }
        until is_there; do kill -0 $program 2>/dev/null || exit 71; done
        kill -STOP $program
        dd if=/dev/zero of="$disk/filler" bs=64k 2>/dev/null
        kill -CONT $program
    fi
    wait $program; status=$?
    mkdir -p "$disk/work"
    find "$disk/work" -mindepth 1 -not -path "$disk/work/datasets*" > "$left"
    exit $status
"#;

/// A place for one run, or a word that there is none here.
struct Disk {
    folder: TempDir,
}

impl Disk {
    fn new() -> Option<Self> {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(disk.path()).unwrap();
        let mount = disk.in_namespace().args(["sh", "-c", r#"mount -t tmpfs tmpfs "$0""#]).arg(disk.path()).output();
        let can_mount = mount.is_ok_and(|mount| mount.status.success());
        if !can_mount {
            println!("skipped: no file system can be mounted here");
        }
        can_mount.then_some(disk)
    }

    /// Has the disk begin with what a killed run has left in its work folder, or a killed snapshot in the folder of its copies.
    fn begin_with_what_was_left(&self, folder: &str, bytes: u64) {
        let folder = self.folder.path().join("before").join(folder);
        fs::create_dir_all(&folder).unwrap();
        let marked =
            "Removed by the next run of journalbench, unless the run that made it still holds the lock of this file.\n";
        fs::write(folder.join("journalbench-run"), marked).unwrap();
        let zeros = vec![0; usize::try_from(bytes).unwrap()];
        fs::write(folder.join("live.db"), zeros).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    fn in_namespace(&self) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount"]).current_dir(self.folder.path());
        command
    }

    /// Runs the scenario with the work folder on the small file system; the results go to `out`.
    fn run(&self, size: &str, trigger: &str, out: &Path, overrides: &[&str]) -> (Output, String) {
        let scenario = self.folder.path().join("full.toml");
        fs::write(&scenario, SCENARIO).unwrap();
        let work = self.path().join("work");
        let mut arguments = vec![Path::new("run"), &scenario, Path::new("--out"), out, Path::new("--work-dir"), &work];
        arguments.extend(overrides.iter().flat_map(|set| [Path::new("--set"), Path::new(set)]));
        self.start(size, trigger, &arguments)
    }

    /// Runs the program with these arguments, and says what it came to and what it said.
    fn start(&self, size: &str, trigger: &str, arguments: &[&Path]) -> (Output, String) {
        let left = self.folder.path().join("left");
        let mut command = self.in_namespace();
        command.args(["sh", "-c", SCRIPT, "sh", size]).arg(self.path()).arg(trigger).arg(&left);
        command.arg(env!("CARGO_BIN_EXE_journalbench")).args(arguments);
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{said}");
        assert!(!matches!(output.status.code(), Some(70 | 71) | None), "{:?}: {said}", output.status);
        assert_eq!(fs::read_to_string(left).unwrap(), "", "nothing is left in the work folder: {said}");
        (output, said)
    }

    /// The only trial of a run whose results lie on another disk, and the exit status.
    fn trial(&self, size: &str, trigger: &str, overrides: &[&str]) -> (TrialResult, Option<i32>) {
        let out = self.folder.path().join("out");
        let (output, said) = self.run(size, trigger, &out, overrides);
        let results = Results::load(&out.join("results.json"));
        let results = results.unwrap_or_else(|error| panic!("{error}: {said}"));
        let [trial] = results.trials.try_into().unwrap();
        (trial, output.status.code())
    }

    /// That a trial failed at a stage, with these words and what was free.
    fn assert_failed(&self, (trial, status): &(TrialResult, Option<i32>), stage: Stage, words: &[&str]) {
        assert_eq!((*status, trial.status), (Some(1), Status::Failed), "{:?}", trial.problems);
        let free = format!(" MB free in {}", self.path().join("work/runs").display());
        let is_it = |message: &str| words.iter().chain([&free.as_str()]).all(|words| message.contains(words));
        let is_told = trial.problems.iter().any(|problem| problem.stage == stage && is_it(&problem.message));
        assert!(is_told, "{words:?} and {free} in {:?}", trial.problems);
    }
}

#[test]
fn what_the_killed_have_left_is_removed_before_the_room_is_looked_at() {
    let Some(disk) = Disk::new() else { return };
    disk.begin_with_what_was_left("work/runs/run", 180_000_000);
    let (trial, status) = disk.trial("240m", "", &["dataset.rows=300_000"]);
    assert_eq!((status, trial.status), (Some(0), Status::Completed), "{:?}", trial.problems);

    let Some(disk) = Disk::new() else { return };
    disk.begin_with_what_was_left(".monday.db.journalbench", 60_000_000);
    let out = |name: &str| disk.path().join(name);
    for arguments in [
        [Path::new("generate"), Path::new("--size"), Path::new("30MB"), &out("big.db")].as_slice(),
        &[Path::new("snapshot"), Path::new("--keep-free"), Path::new("20MB"), &database(&disk), &out("tuesday.db")],
    ] {
        let (output, said) = disk.start("64m", "", arguments);
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains(".monday.db.journalbench, which a killed"), "{said}");
    }
}

/// Some 8 MB of database on a large disk.
fn database(disk: &Disk) -> PathBuf {
    let path = disk.folder.path().join("live.db");
    let sql = "CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(8000000))";
    rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    path
}

#[test]
fn while_the_dataset_is_generated() {
    let Some(disk) = Disk::new() else { return };
    let out = disk.folder.path().join("out");
    let (output, said) = disk.run("200m", "*/half-*", &out, &[]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let room = format!(" MB free in {}", disk.path().join("work").display());
    for words in ["cannot prepare the dataset: no room: about ", " MB needed and ", &room, "No space left on device"] {
        assert!(said.contains(words), "{words} in {said}");
    }
    assert!(!out.exists(), "there are no results");
}

#[test]
fn while_the_dataset_is_copied_for_a_trial() {
    let Some(disk) = Disk::new() else { return };
    let found = disk.trial("200m", "*/*/live.db", &[]);
    disk.assert_failed(&found, Stage::Prepare, &["no room: about ", " MB needed and 0.0 MB", "cannot copy "]);
}

#[test]
fn under_load_where_the_database_and_its_wal_grow() {
    for journal_mode in ["delete", "wal"] {
        let Some(disk) = Disk::new() else { return };
        let mode = format!("sqlite.journal_mode={journal_mode}");
        let found = disk.trial("200m", "*/*/ledger", &[&mode, "load.new_torrent_share=1"]);
        disk.assert_failed(&found, Stage::Load, &["operations failed because the disk was full; "]);
        let baseline = &found.0.phases[1];
        assert!(baseline.counts().failed > 0 && !found.0.series.is_empty(), "what was measured is there: {baseline:?}");
    }
}

#[test]
fn under_load_where_a_tracker_says_nothing_of_writes_that_fail() {
    for profile in ["tracker-3", "tracker-4"] {
        let Some(disk) = Disk::new() else { return };
        let profile = format!("load.write_profile={profile}");
        let set = [
            &profile,
            "load.started_share=0",
            "load.stopped_share=0",
            "load.completed_share=1",
            "load.new_torrent_share=1",
        ];
        let found = disk.trial("200m", "*/*/ledger", &set);
        disk.assert_failed(&found, Stage::Load, &[" writes were lost because the disk was full; "]);
    }
}

#[test]
fn under_load_where_only_the_ledger_grows() {
    let Some(disk) = Disk::new() else { return };
    // Fast enough that the room which the ledger has reserved is used up, that of 32,768 changes, and on few torrents: a count
    // that becomes longer may split a page.
    let set = [
        "sqlite.journal_mode=memory",
        "sqlite.synchronous=off",
        "load.arrivals=closed",
        "load.rate_ops=[]",
        "load.pool_connections=1",
        "load.announce_share=1",
        "load.write_profile=batched",
        "load.started_share=0",
        "load.stopped_share=0",
        "load.completed_share=1",
        "load.new_torrent_share=0",
        "load.zipf_exponent=4",
        "phases.baseline_s=20",
    ];
    let found = disk.trial("200m", "*/*/ledger", &set);
    disk.assert_failed(&found, Stage::Load, &["no room: 0.0 MB", "cannot write the ledger: No space left on device"]);
}

#[test]
fn while_a_snapshot_is_taken() {
    let Some(disk) = Disk::new() else { return };
    let set = [
        "dataset.rows=50_000",
        "load.announce_share=0",
        "snapshots.strategies=command",
        "snapshots.options.command.shell=true",
        "snapshots.options.command.line=cat {db} {db} {db} {db} {db} {db} {db} {db} > {out}",
    ];
    let (trial, status) = disk.trial("32m", "", &set);
    let snapshot = &trial.snapshots[0];
    let error = snapshot.run.error.as_deref().unwrap_or_default();
    assert!(error.contains("exit status 1") && error.contains("No space left on device"), "{error}");
    assert_eq!(snapshot.ruling.verdict, Some(Verdict::Unfinished), "{snapshot:?}");
    assert_eq!((status, trial.status, trial.live_database_matches_ledger), (Some(0), Status::Completed, Some(true)));
}

#[test]
fn while_the_results_are_written() {
    let Some(disk) = Disk::new() else { return };
    let (output, said) = disk.run("32m", "", &disk.path().join("small/out"), &["dataset.rows=50_000"]);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for words in ["cannot write ", "small/out/results.json", "No space left on device"] {
        assert!(said.contains(words), "{words} in {said}");
    }
}

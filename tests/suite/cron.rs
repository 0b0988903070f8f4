//! `journalbench snapshot` as a line for cron: killed, hung up, locked out, started twice, asked to keep a few copies.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};

/// A small database.
fn database(folder: &Path) -> PathBuf {
    let path = folder.join("live.db");
    let sql = "CREATE TABLE t (x); WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
        INSERT INTO t SELECT hex(randomblob(50)) FROM n;";
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    path
}

/// Another process with an EXCLUSIVE lock, until it is dropped.
struct Holder(Child);

impl Holder {
    fn of(live: &Path) -> Self {
        let mut child = Command::new("sqlite3").arg(live).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.as_mut().unwrap(), "BEGIN EXCLUSIVE;\nSELECT 'held';").unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
        Self(child)
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(arguments: &[&str], live: &Path, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_journalbench"));
    command.arg("snapshot").args(arguments).args([live, out]).stdin(Stdio::null());
    command
}

fn snapshot(arguments: &[&str], live: &Path, out: &Path) -> Output {
    command(arguments, live, out).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A snapshot that waits for a lock, and has said so.
fn waiting(arguments: &[&str], live: &Path, out: &Path) -> Child {
    let mut child = command(arguments, live, out).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("waiting for a lock") {
        assert!(stderr.read_line(&mut said).unwrap() > 0, "ended early: {said}");
    }
    child.stderr = Some(stderr.into_inner());
    child
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_raw(child.id().cast_signed()).unwrap(), signal).unwrap();
}

/// How many processes have a path in their command line.
fn processes_of(path: &Path) -> usize {
    let lines =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.filter(|line| text(line).contains(path.to_str().unwrap())).count()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Waits until nobody works on a folder any more, and says how long that took.
fn until_left(folder: &Path, others: usize) -> Duration {
    let begun = Instant::now();
    while processes_of(folder) > others {
        assert!(begun.elapsed() < Duration::from_secs(20), "{} processes still work there", processes_of(folder));
    }
    begun.elapsed()
}

#[test]
fn what_asks_it_to_stop_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let live = database(folder.path());
    let _holder = Holder::of(&live);
    for asked in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut child = waiting(&[], &live, &folder.path().join("out.db"));
        signal(&child, asked);
        assert_eq!(child.wait().unwrap().code(), Some(130), "{asked:?}");
        assert_eq!(names(folder.path()), ["live.db"], "{asked:?}");
        until_left(folder.path(), 1);
    }
}

#[test]
fn a_killed_one_takes_its_child_along_and_the_next_one_removes_what_it_left() {
    let folder = tempfile::tempdir().unwrap();
    let live = database(folder.path());
    let holder = Holder::of(&live);
    for strategy in ["held-copy", "vacuum-into"] {
        let mut child = waiting(&["--strategy", strategy], &live, &folder.path().join("monday.db"));
        assert_eq!(processes_of(folder.path()), 3, "the holder, the snapshot and its child");
        child.kill().unwrap();
        child.wait().unwrap();
        let lasted = until_left(folder.path(), 1);
        assert!(lasted < Duration::from_secs(1), "{strategy}: the child outlived it by {lasted:?}");
        assert_eq!(names(folder.path()), [".monday.db.journalbench", "live.db"]);
    }
    drop(holder);
    let foreign = folder.path().join(".mine.journalbench");
    fs::create_dir(&foreign).unwrap();
    let output = snapshot(&[], &live, &folder.path().join("tuesday.db"));
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains(".monday.db.journalbench, which a killed"), "{}", text(&output.stderr));
    assert_eq!(names(folder.path()), [".mine.journalbench", "live.db", "tuesday.db"]);
}

#[test]
fn clean_lists_first_and_removes_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let live = database(folder.path());
    let holder = Holder::of(&live);
    let mut child = waiting(&[], &live, &folder.path().join("out.db"));
    let clean = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_journalbench"));
        let output = command.arg("clean").arg(folder.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(clean(&["--remove"]).contains("no killed run or snapshot has left anything"), "one that is running");
    child.kill().unwrap();
    child.wait().unwrap();
    drop(holder);
    let listed = clean(&[]);
    assert!(listed.contains(".out.db.journalbench") && listed.contains("nothing was removed"), "{listed}");
    assert_eq!(names(folder.path()), [".out.db.journalbench", "live.db"]);
    clean(&["--remove"]);
    assert_eq!(names(folder.path()), ["live.db"]);
}

#[test]
fn a_second_one_to_the_same_copy_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let live = database(folder.path());
    let holder = Holder::of(&live);
    let out = folder.path().join("out.db");
    let first = waiting(&[], &live, &out);
    let second = snapshot(&[], &live, &out);
    assert_eq!(second.status.code(), Some(2));
    let said = text(&second.stderr);
    assert!(
        said.contains("is being made by another process") && said.contains(&format!("process {} (", first.id())),
        "{said}"
    );
    drop(holder);
    assert!(first.wait_with_output().unwrap().status.success());
    assert_eq!(names(folder.path()), ["live.db", "out.db"]);
}

#[test]
fn who_holds_the_lock_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let live = database(folder.path());
    let holder = Holder::of(&live);
    let out = folder.path().join("out.db");
    let held = format!("process {} (sqlite3) holds an EXCLUSIVE lock", holder.0.id());
    for (arguments, why) in [
        (["--strategy", "backup", "--deadline-s", "5"], "database is locked"),
        (["--strategy", "held-copy", "--deadline-s", "0.5"], "stopped at the deadline"),
    ] {
        let output = snapshot(&arguments, &live, &out);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let said = text(&output.stderr);
        assert!(said.contains(&held) && said.contains(why), "{arguments:?}: {said}");
    }
    drop(holder);
    assert!(snapshot(&["--keep-free", "0"], &live, &out).status.success());
}

#[test]
fn a_pipe_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let begun = Instant::now();
    let output = snapshot(&["--deadline-s", "2"], &pipe, &folder.path().join("out.db"));
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("not a regular file"), "{}", text(&output.stderr));
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_copy_that_stands_is_a_success_whoever_reads_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let live = database(folder.path());
    for (number, arguments) in [&[][..], &["--json"]].into_iter().enumerate() {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let out = folder.path().join(format!("{number}.db"));
        let output = command(arguments, &live, &out).stdout(full).output().unwrap();
        assert!(output.status.success() && out.exists(), "{}", text(&output.stderr));
        assert!(text(&output.stderr).contains("cannot write to standard output"), "{}", text(&output.stderr));
    }
}

#[test]
fn only_so_many_verified_copies_of_the_database_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let live = database(folder.path());
    let out = |name: &str| folder.path().join(name);
    assert!(snapshot(&[], &live, &out("not-verified.db")).status.success());
    for day in 1..=4 {
        let output = snapshot(&["--keep", "2", "--json"], &live, &out(&format!("day-{day}.db")));
        assert!(output.status.success(), "{}", text(&output.stderr));
        let said = text(&output.stdout);
        assert_eq!(said.lines().count(), 1, "{said}");
        let json: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(json["status"], "made");
        assert!(json["verify_s"].as_f64().is_some() && json["sync_s"].as_f64().is_some(), "{said}");
        assert_eq!((&json["verified_by"], json["integrity_check_s"].is_null()), (&"walk".into(), true), "{said}");
        let removed = json["removed"].as_array().unwrap();
        assert_eq!(removed.len(), usize::from(day > 2), "{said}");
    }
    let expected =
        ["day-3.db", "day-3.db.manifest.json", "day-4.db", "day-4.db.manifest.json", "live.db", "not-verified.db"];
    assert_eq!(names(folder.path()), expected);

    // A copy that is not sound neither counts nor costs one that is.
    let mut bytes = fs::read(&live).unwrap();
    let middle = bytes.len() / 4096 / 2 * 4096;
    bytes[middle..middle + 4096].fill(0);
    fs::write(&live, bytes).unwrap();
    let output = snapshot(&["--keep", "1", "--json"], &live, &out("day-5.db"));
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["status"], "unsound");
    assert!(names(folder.path()).contains(&"day-3.db".to_owned()));
    let output = snapshot(&["--json"], &live, &out("day-4.db"));
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["status"], "refused");
}

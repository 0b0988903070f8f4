//! The pace of `journalbench snapshot`: what is foreseen, bounded and refused; and copies that are smaller than the database.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use journalbench::{
    dataset::{Dataset, generate},
    oracle,
};
use rusqlite::Connection;
use serde_json::Value;

use crate::common::program::{names, text};

/// A tracker's database of some megabytes, of whose torrents most have a count of zero.
fn database(folder: &Path, journal_mode: &str) -> PathBuf {
    let live = folder.join("live.db");
    let dataset = Dataset { rows: 40_000, seed: 310, page_size_bytes: 4096, zero_share_ppm: 969_000 };
    generate(&dataset, &live, &Arc::default(), &mut |_| ()).unwrap();
    let connection = Connection::open(&live).unwrap();
    connection.pragma_update(None, "journal_mode", journal_mode).unwrap();
    connection.execute("UPDATE torrents SET completed = completed + 1 WHERE id = 7", []).unwrap();
    live
}

fn run(command: &str, arguments: &[&str], paths: &[&Path]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_journalbench"));
    program.arg(command).args(arguments).args(paths).stdin(Stdio::null()).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&text(&output.stdout)).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)))
}

#[test]
fn a_dry_run_says_how_long_and_whom_it_stops_and_leaves_nothing() {
    for (mode, stops) in [("wal", false), ("delete", true)] {
        let folder = tempfile::tempdir().unwrap();
        let live = database(folder.path(), mode);
        let before = names(folder.path());
        let out = folder.path().join("copy.db");
        let output = run("snapshot", &["--dry-run", "--json"], &[&live, &out]);
        assert!(output.status.success(), "{mode}: {}", text(&output.stderr));
        let said = json(&output);
        assert_eq!(said["status"], "planned", "{said}");
        assert!(said["expected_s"].as_f64().is_some_and(|expected_s| expected_s > 0.0), "{said}");
        assert_eq!(said["expected_stop_s"].is_null(), !stops, "{said}");
        let words = text(&run("snapshot", &["--dry-run"], &[&live, &out]).stdout);
        let said = if stops { "nobody could commit" } else { "nobody waits for a lock" };
        assert!(words.contains(said) && words.contains("nothing was copied"), "{mode}: {words}");
        assert_eq!(names(folder.path()), before, "{mode}");
    }
}

#[test]
fn a_longer_stop_than_is_allowed_is_refused_before_anything_is_copied() {
    let folder = tempfile::tempdir().unwrap();
    let live = database(folder.path(), "delete");
    let before = names(folder.path());
    let out = folder.path().join("copy.db");
    let output = run("snapshot", &["--stop-max", "100us"], &[&live, &out]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let words = text(&output.stderr);
    assert!(words.contains("nobody could commit for about") && words.contains("--stop-max"), "{words}");
    assert_eq!(names(folder.path()), before);
    let output = run("snapshot", &["--json"], &[&live, &out]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("nobody can commit until the copy is done, about"),
        "{}",
        text(&output.stderr)
    );
    assert!(json(&output)["stop_s"].as_f64().is_some_and(|stop_s| stop_s > 0.0));
}

#[test]
fn a_rate_is_kept_and_what_the_copy_did_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let live = database(folder.path(), "wal");
    let bytes = fs::metadata(&live).unwrap().len();
    let out = folder.path().join("copy.db");
    let begun = Instant::now();
    let output = run("snapshot", &["--max-rate", "4MB/s", "--wal-max", "1GB", "--json"], &[&live, &out]);
    let took = begun.elapsed();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(took >= Duration::from_secs_f64(bytes as f64 / 4e6 * 0.99), "{took:?} for {bytes}");
    let said = json(&output);
    assert_eq!(said["stop_s"], 0.0, "{said}");
    assert!(said["pace"]["rested_s"].as_f64().is_some_and(|rested_s| rested_s > 0.5), "{said}");
}

#[test]
fn what_does_not_go_together_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let live = database(folder.path(), "wal");
    for (arguments, name, words) in [
        (
            &["--strategy", "backup", "--max-rate", "1MB/s"][..],
            "x.db",
            "--max-rate is for held-copy-gentle and held-copy",
        ),
        (&["--strategy", "vacuum-into", "--zstd"], "x.db.zst", "--zstd is for"),
        (&["--zstd"], "x.db", "ends in .zst"),
        (&[], "x.db.zst", "compress it with --zstd"),
        (&["--max-rate", "fast"], "x.db", "is no rate"),
        (&["--stop-max", "soon"], "x.db", "is no time"),
        (&["--essential", "--strategy", "backup"], "x.db", "cannot be used with"),
    ] {
        let output = run("snapshot", arguments, &[&live, &folder.path().join(name)]);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(words), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn a_compressed_copy_is_smaller_verified_and_restored() {
    for mode in ["wal", "delete"] {
        let folder = tempfile::tempdir().unwrap();
        let live = database(folder.path(), mode);
        let out = folder.path().join("copy.db.zst");
        let output = run("snapshot", &["--zstd=1", "--verify", "--json"], &[&live, &out]);
        assert!(output.status.success(), "{mode}: {}", text(&output.stderr));
        assert_eq!(json(&output)["verified_by"], "walk");
        assert!(fs::metadata(&out).unwrap().len() < fs::metadata(&live).unwrap().len(), "{mode}");
        let restored = folder.path().join("restored.db");
        let output = run("restore", &[], &[&out, &restored]);
        assert!(output.status.success(), "{mode}: {}", text(&output.stderr));
        let digest = |path: &Path| oracle::content_digest(path, &Arc::default()).unwrap();
        assert_eq!(digest(&restored), digest(&live), "{mode}");
    }
}

#[test]
fn a_copy_of_what_is_essential_has_a_part_of_the_size_and_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let live = database(folder.path(), "wal");
    let out = folder.path().join("essential.db");
    let output = run("snapshot", &["--essential", "--verify"], &[&live, &out]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("this is no whole copy"), "{}", text(&output.stderr));
    assert!(fs::metadata(&out).unwrap().len() * 10 < fs::metadata(&live).unwrap().len());
    let rows = |path: &Path, sql: &str| {
        Connection::open(path).unwrap().query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let with_downloads = rows(&live, "SELECT count(*) FROM torrents WHERE completed > 0");
    assert_eq!(rows(&out, "SELECT count(*) FROM torrents"), with_downloads);
    // It takes the place of no whole copy.
    let whole = folder.path().join("whole.db");
    for (arguments, out) in
        [(&["--keep", "1"][..], &whole), (&["--essential", "--keep", "1"], &folder.path().join("e2.db"))]
    {
        let output = run("snapshot", arguments, &[&live, out]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert!(whole.exists() && !out.exists(), "{:?}", names(folder.path()));
}

//! `journalbench restore`: a copy with its manifest and without, compressed, damaged, killed on the way; and the drill for cron.

use std::{
    fs::{self, File},
    os::unix::fs::{FileExt as _, PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use journalbench::copies::Manifest;
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::program::{names, text};

/// A database of some megabytes, under WAL.
fn database(folder: &Path) -> PathBuf {
    let path = folder.join("live.db");
    let sql = "PRAGMA journal_mode = WAL; CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT UNIQUE, big BLOB);
        WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
        INSERT INTO t SELECT i, hex(randomblob(30)), zeroblob(i % 20 * 500) FROM n;";
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    path
}

fn run(command: &str, arguments: &[&str], paths: &[&Path]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_journalbench"));
    program.arg(command).args(arguments).args(paths).stdin(Stdio::null()).output().unwrap()
}

/// A folder with a verified copy, `copies/copy.db`, of a database elsewhere.
fn copy() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let live = database(folder.path());
    let copies = folder.path().join("copies");
    fs::create_dir(&copies).unwrap();
    let copy = copies.join("copy.db");
    let made = run("snapshot", &["--verify"], &[&live, &copy]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    (folder, copy)
}

fn json(output: &Output) -> Value {
    let said = text(&output.stdout);
    assert_eq!(said.lines().count(), 1, "{said}");
    serde_json::from_str(&said).unwrap()
}

fn manifest(copy: &Path) -> PathBuf {
    copy.with_file_name(format!("{}.manifest.json", copy.file_name().unwrap().to_str().unwrap()))
}

fn rows(path: &Path) -> i64 {
    Connection::open(path).unwrap().query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_manifest_says_what_anybody_can_check() {
    let (folder, copy) = copy();
    let sum = Command::new("sha256sum").arg(&copy).output().unwrap();
    let manifest = Manifest::read(&manifest(&copy)).unwrap().unwrap();
    assert!(text(&sum.stdout).starts_with(&format!("{} ", manifest.sha256)));
    assert!(manifest.is_of(&copy));
    let json = serde_json::to_value(&manifest).unwrap();
    assert_eq!((&json["header"]["journal_mode"], &json["verified"]["by"]), (&"wal".into(), &"walk".into()));
    assert_eq!(json["live"]["path"], folder.path().join("live.db").to_str().unwrap());
    assert_eq!((&json["compression"], &json["content_digest"]), (&Value::Null, &Value::Null), "it is no tracker's");
    assert_eq!(json["bytes"].as_u64().unwrap(), copy.metadata().unwrap().len());
    let mut more = json.clone();
    more["unknown"] = 1.into();
    assert!(serde_json::from_value::<Manifest>(more).is_err());
}

#[test]
fn a_copy_becomes_a_database_again() {
    let (folder, copy) = copy();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o640)).unwrap();
    let restored = folder.path().join("restored.db");
    let output = run("restore", &[], &[&copy, &restored]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    for words in
        ["as its manifest of ", "verified by reading every page: ok", "stop the program", "-wal", "is in the file"]
    {
        assert!(said.contains(words), "{words} in {said}");
    }
    assert_eq!(restored.metadata().unwrap().permissions().mode() & 0o777, 0o640);
    assert!(fs::read(&copy).unwrap() == fs::read(&restored).unwrap());
    assert_eq!(rows(&restored), 5000);

    // Without a manifest that is said, and the copy is read all the same.
    fs::remove_file(manifest(&copy)).unwrap();
    let again = folder.path().join("again.db");
    let output = run("restore", &["--json"], &[&copy, &again]);
    assert!(output.status.success() && text(&output.stderr).contains("nobody said"), "{}", text(&output.stderr));
    let line = json(&output);
    assert_eq!((&line["status"], &line["manifest"]), (&"restored".into(), &Value::Null));
    assert!(line["sha256"].as_str().is_some_and(|sum| sum.len() == 64), "{line}");
}

#[test]
fn a_link_is_what_it_leads_to() {
    let (folder, copy) = copy();
    let (link, restored) = (folder.path().join("latest.db"), folder.path().join("restored.db"));
    symlink(&copy, &link).unwrap();
    let output = run("restore", &[], &[&link, &restored]);
    assert!(
        output.status.success() && text(&output.stdout).contains("as its manifest of "),
        "{}",
        text(&output.stderr)
    );
    fs::write(copy.with_file_name("copy.db-wal"), "part of it").unwrap();
    let output = run("restore", &["--check"], &[&link]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("copy.db-wal is a part of"), "{}", text(&output.stderr));
}

#[test]
fn a_compressed_copy_is_unpacked() {
    let (folder, copy) = copy();
    let bytes = fs::read(&copy).unwrap();
    let packed = copy.with_file_name("copy.db.zst");
    fs::write(&packed, zstd::encode_all(bytes.as_slice(), 1).unwrap()).unwrap();
    let restored = folder.path().join("restored.db");
    let output = run("restore", &[], &[&packed, &restored]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(bytes == fs::read(&restored).unwrap());
    let mut torn = fs::read(&packed).unwrap();
    torn.truncate(torn.len() / 2);
    fs::write(&packed, torn).unwrap();
    let output = run("restore", &["--check", "--json"], &[&packed]);
    assert_eq!((output.status.code(), &json(&output)["status"]), (Some(3), &"unsound".into()));
    assert!(text(&output.stderr).contains("cannot be unpacked"), "{}", text(&output.stderr));
}

#[test]
fn a_drill_reads_everything_and_leaves_nothing() {
    let (folder, copy) = copy();
    let copies = copy.parent().unwrap();
    let before = names(copies);
    let scratch = folder.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    for arguments in [&["--check", "--json"][..], &["--check", "--json", "--work-dir", scratch.to_str().unwrap()]] {
        let output = run("restore", arguments, &[&copy]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(json(&output)["status"], "checked");
        assert_eq!((names(copies), names(&scratch).len()), (before.clone(), 0));
    }

    // One bit, in what no page counts.
    let file = File::options().read(true).write(true).open(&copy).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 70).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 70).unwrap();
    let output = run("restore", &["--check"], &[&copy]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("its SHA-256 is"), "{}", text(&output.stderr));
    // Without a manifest the pages tell, where they can.
    fs::remove_file(manifest(&copy)).unwrap();
    let bytes = fs::read(&copy).unwrap();
    // The schema itself, so that SQLite cannot even open it.
    file.write_all_at(&[0xff; 8], 100).unwrap();
    let output = run("restore", &["--check"], &[&copy]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    file.write_all_at(&bytes[100..108], 100).unwrap();
    file.write_all_at(&[0xff; 4096], bytes.len() as u64 / 4096 / 2 * 4096).unwrap();
    let restored = folder.path().join("restored.db");
    let output = run("restore", &[], &[&copy, &restored]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("restored.db was not made"), "{}", text(&output.stderr));
    file.set_len(50).unwrap();
    assert_eq!(run("restore", &["--check"], &[&copy]).status.code(), Some(3));
    assert_eq!(names(copies), ["copy.db"]);
    assert!(!restored.exists());
}

#[test]
fn what_cannot_be_done_is_refused() {
    let (folder, copy) = copy();
    let restored = folder.path().join("restored.db");
    for suffix in ["", "-wal", "-journal", "-shm"] {
        let file = folder.path().join(format!("restored.db{suffix}"));
        fs::write(&file, "mine").unwrap();
        let output = run("restore", &[], &[&copy, &restored]);
        assert_eq!(output.status.code(), Some(2), "{suffix}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(&format!("restored.db{suffix} exists")), "{}", text(&output.stderr));
        assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
        fs::remove_file(&file).unwrap();
    }
    let wal = copy.with_file_name("copy.db-wal");
    fs::write(&wal, "part of it").unwrap();
    let output = run("restore", &["--check", "--json"], &[&copy]);
    assert_eq!((output.status.code(), &json(&output)["status"]), (Some(2), &"refused".into()));
    fs::remove_file(wal).unwrap();
    for (arguments, paths, status, words) in [
        (&[][..], &[copy.as_path()][..], 2, "LIVE.db"),
        (&["--check"], &[&copy, &restored], 2, "cannot be used with"),
        (&[], &[&folder.path().join("gone.db"), &restored], 1, "gone.db"),
        (&[], &[folder.path(), &restored], 1, "not a regular file"),
        (&[], &[&copy, &folder.path().join("no/such/folder/a.db")], 1, "cannot create the folder"),
    ] {
        let output = run("restore", arguments, paths);
        assert_eq!(output.status.code(), Some(status), "{paths:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(words), "{words} in {}", text(&output.stderr));
    }
    let gone = folder.path().join("no/such/folder");
    let output = run("restore", &["--check", "--work-dir", gone.to_str().unwrap()], &[&copy]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("name another folder with --work-dir: cannot create the folder"));
    fs::write(manifest(&copy), "{}").unwrap();
    let output = run("restore", &["--check"], &[&copy]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("is no manifest"), "{}", text(&output.stderr));
    assert!(!restored.exists());
}

/// Stopped once its hidden folder has the file, so that what asks it to end comes in the middle of its work.
#[test]
fn what_asks_it_to_stop_on_the_way_leaves_nothing() {
    let (folder, copy) = copy();
    let (restored, before) = (folder.path().join("restored.db"), names(folder.path()));
    let unfinished = folder.path().join(".restored.db.journalbench/restored.db");
    for asked in [Signal::INT, Signal::TERM, Signal::HUP] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_journalbench"));
        command.arg("restore").args([&copy, &restored]).stdin(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        while !unfinished.exists() {
            assert!(child.try_wait().unwrap().is_none(), "it ended too early to be asked");
        }
        let pid = Pid::from_raw(child.id().cast_signed()).unwrap();
        for signal in [Signal::STOP, asked, Signal::CONT] {
            kill_process(pid, signal).unwrap();
        }
        assert_eq!(child.wait().unwrap().code(), Some(130), "{asked:?}");
        assert_eq!(names(folder.path()), before, "{asked:?}");
    }
}

#[test]
fn what_a_killed_one_has_left_is_removed_by_the_next() {
    let (folder, copy) = copy();
    let restored = folder.path().join("restored.db");
    let hidden = folder.path().join(".restored.db.journalbench");
    fs::create_dir(&hidden).unwrap();
    let marked =
        "Removed by the next run of journalbench, unless the run that made it still holds the lock of this file.\n";
    fs::write(hidden.join("journalbench-run"), marked).unwrap();
    fs::write(hidden.join("restored.db"), "half of it").unwrap();
    let output = run("restore", &[], &[&copy, &restored]);
    assert!(output.status.success() && text(&output.stderr).contains("which a killed"), "{}", text(&output.stderr));
    assert!(!hidden.exists() && rows(&restored) == 5000);
}

//! Names that a shell, a terminal or a programmer stumbles over: spaces, quotes, newlines, a leading dash, bytes that are no
//! UTF-8. Every command takes them, or refuses them in words.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use journalbench::oracle;
use rusqlite::Connection;

/// A third of a second of load on 50 torrents.
const SCENARIO: &str = r#"
why = "a test"
expect = "that it passes"
[dataset]
rows = 50
[sqlite]
journal_mode = "wal"
[load]
rate_ops = 100
[snapshots]
strategies = "vacuum-into"
deadline_s = 2 # an instant where nothing else runs
[phases]
warmup_s = 0
baseline_s = 0.1
recovery_s = 0
horizon_s = 0.1
"#;

/// Names of files and of folders.
fn names() -> Vec<OsString> {
    let mut names: Vec<OsString> =
        ["with space", "it's \"quoted\"", "new\nline", "-dash", "--", "$HOME;`id`*?", "%s{db}", "\u{1b}[31mred", "é"]
            .into_iter()
            .map(OsString::from)
            .collect();
    names.push(OsString::from_vec(b"no \xff\xfe utf-8".to_vec()));
    names
}

fn journalbench<S: AsRef<OsStr>>(folder: &Path, arguments: &[S]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_journalbench"));
    command.current_dir(folder).env("JOURNALBENCH_DIR", folder.join("work")).args(arguments).output().unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeed<S: AsRef<OsStr> + std::fmt::Debug>(folder: &Path, arguments: &[S]) {
    let output = journalbench(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", words(&output));
}

/// A small database in a folder of this name.
fn database(folder: &Path, name: &OsStr) -> PathBuf {
    let inner = folder.join(name);
    fs::create_dir(&inner).unwrap();
    let path = inner.join(name);
    succeed(
        folder,
        &[OsStr::new("generate"), OsStr::new("--rows"), OsStr::new("50"), OsStr::new("--"), path.as_os_str()],
    );
    path
}

#[test]
fn generate_and_report_take_any_name() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/results/seed-small");
    for name in names() {
        let folder = tempfile::tempdir().unwrap();
        let database = database(folder.path(), &name);
        oracle::content_digest(&database, &Arc::default()).unwrap();
        // By a relative name, after `--` or as ./-x.
        let json = folder.path().join(&name).join("results.json");
        fs::copy(&results, &json).unwrap();
        let inner = folder.path().join(&name);
        let dotted = Path::new(".").join(&name);
        fs::copy(&json, &database).unwrap();
        for arguments in [
            vec![OsStr::new("report"), OsStr::new("--"), name.as_os_str()],
            vec![OsStr::new("report"), dotted.as_os_str()],
        ] {
            succeed(&inner, &arguments);
        }
        fs::remove_file(inner.join(&name)).unwrap();
        let out = [OsStr::new("report"), OsStr::new("results.json"), OsStr::new("-o"), dotted.as_os_str()];
        succeed(&inner, &out);
        assert!(fs::read_to_string(inner.join(&name)).unwrap().lines().count() > 3);
        let refused = journalbench(&inner, &out);
        assert_eq!(refused.status.code(), Some(2));
        assert!(!words(&refused).contains('\u{1b}'), "{}", words(&refused));
    }
}

#[test]
fn snapshot_takes_any_name() {
    for name in names() {
        for strategy in ["held-copy-gentle", "held-copy", "vacuum-into", "backup", "cli-backup"] {
            let folder = tempfile::tempdir().unwrap();
            let live = database(folder.path(), &name);
            Connection::open(&live).unwrap().pragma_update(None, "journal_mode", "wal").unwrap();
            let mut out = name.clone();
            out.push(" out.db");
            let mut arguments = vec![OsStr::new("snapshot"), OsStr::new("--verify"), OsStr::new("--strategy")];
            arguments.extend([OsStr::new(strategy), OsStr::new("--"), name.as_os_str(), out.as_os_str()]);
            let inner = folder.path().join(&name);
            succeed(&inner, &arguments);
            let digest = |path: &Path| oracle::content_digest(path, &Arc::default()).unwrap();
            assert_eq!(digest(&inner.join(&out)), digest(&live), "{name:?} {strategy}");
            let left = fs::read_dir(&inner).unwrap().map(|entry| entry.unwrap().file_name());
            assert!(left.filter(|name| name.as_bytes().starts_with(b".")).count() == 0, "{name:?} {strategy}");
        }
    }
}

#[test]
fn a_cp_of_any_name_copies() {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join(OsStr::from_bytes(b"bin \xff"));
    fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink("/bin/cp", bin.join("cp")).unwrap();
    let live = database(folder.path(), OsStr::new("live"));
    let out = folder.path().join("out.db");
    let mut command = Command::new(env!("CARGO_BIN_EXE_journalbench"));
    let output = command.arg("snapshot").args([&live, &out]).env("PATH", &bin).output().unwrap();
    assert!(output.status.success(), "{}", words(&output));
    assert!(out.exists());
}

#[test]
fn run_and_verify_take_any_name() {
    for name in names() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join(&name);
        fs::create_dir(&inner).unwrap();
        fs::write(inner.join(&name), SCENARIO).unwrap();
        let mut arguments: Vec<&OsStr> = ["run", "--keep", "--out"].map(OsStr::new).to_vec();
        let out = Path::new("./").join("out").join(&name);
        let work = Path::new("./work").join(&name);
        arguments.extend([
            out.as_os_str(),
            OsStr::new("--work-dir"),
            work.as_os_str(),
            OsStr::new("--"),
            name.as_os_str(),
        ]);
        succeed(&inner, &arguments);
        let kept = out.join("kept/wal-full-100-vacuum-into-1");
        let snapshot = inner.join(&kept).join("snapshots/0/snapshot.db");
        let judged = inner.join("work").join(&name);
        fs::create_dir_all(&judged).unwrap();
        fs::copy(&snapshot, judged.join(&name)).unwrap();
        let judged = work.join(&name);
        let arguments =
            [OsStr::new("verify"), OsStr::new("--work-dir"), work.as_os_str(), kept.as_os_str(), judged.as_os_str()];
        succeed(&inner, &arguments);
    }
}

/// Results are text in UTF-8, and they name the database that was adopted: that is said before anything is measured.
#[test]
fn an_adopted_database_needs_a_name_in_utf_8() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join(OsStr::from_bytes(b"no \xff utf-8"));
    fs::create_dir(&inner).unwrap();
    let scenario = SCENARIO.replace("rows = 50", "path = \"own.db\"");
    fs::write(inner.join("own.toml"), scenario).unwrap();
    succeed(&inner, &["generate", "--rows", "50", "own.db"]);
    let scenario = inner.join("own.toml");
    let output = journalbench(&inner, &[OsStr::new("run"), OsStr::new("--dry-run"), scenario.as_os_str()]);
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
    assert!(
        words(&output).contains("dataset.path = ") && words(&output).contains("expected a path in UTF-8"),
        "{}",
        words(&output)
    );
    let output = journalbench(&inner, &["run", "--dry-run", "own.toml", "--set", "dataset.path=own.db"]);
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
    assert!(words(&output).contains("the path to the current folder is not UTF-8"), "{}", words(&output));
    let output = journalbench(&inner, &["run", "own.toml"]);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    assert!(words(&output).contains("its path is not UTF-8"), "{}", words(&output));
}

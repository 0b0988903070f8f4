//! What is refused, through the program: files without an end, figures that are none, settings that contradict each other. And
//! what is said of it: in words, once, and without what a terminal obeys.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
    time::{Duration, Instant},
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

const SCENARIO: &str = r#"
why = "a test"
expect = "words"
[dataset]
rows = 100
[sqlite]
journal_mode = "wal"
[load]
rate_ops = 100
[snapshots]
strategies = "none"
"#;

/// The program; it is killed where it does not end.
fn journalbench(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command.args(["--signal=KILL", "20", env!("CARGO_BIN_EXE_journalbench")]).args(arguments);
    command.current_dir(folder).env("JOURNALBENCH_DIR", folder.join("work")).output().unwrap()
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A folder that `verify` takes for a kept trial, and its files.
fn kept() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let kept = folder.path().join("kept");
    fs::create_dir_all(kept.join("snapshots/0")).unwrap();
    for (from, to) in [
        ("manifest/seed-generated", "dataset.json"),
        ("ledger/seed-downloads", "ledger"),
        ("claim/seed-finished", "snapshots/0/claim.json"),
        ("pages/seed-dataset", "snapshots/0/snapshot.db"),
    ] {
        fs::copy(corpus.join(from), kept.join(to)).unwrap();
    }
    fs::write(folder.path().join("test.toml"), SCENARIO).unwrap();
    fs::copy(corpus.join("results/seed-small"), folder.path().join("results.json")).unwrap();
    folder
}

#[test]
fn a_file_without_an_end_or_a_writer_is_refused_soon() {
    let folder = kept();
    let fifo = folder.path().join("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RWXU, 0).unwrap();
    let replace = |name: &str, by: &str| {
        let path = folder.path().join("kept").join(name);
        let _ = fs::remove_file(&path);
        std::os::unix::fs::symlink(by, path).unwrap();
    };
    let refused = |arguments: &[&str], code: i32, expected: &str| {
        let begun = Instant::now();
        let output = journalbench(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", words(&output));
        assert!(words(&output).contains(expected), "{arguments:?}: {}", words(&output));
        assert!(begun.elapsed() < Duration::from_secs(5), "{arguments:?}: {:?}", begun.elapsed());
    };
    refused(&["run", "/dev/zero"], 2, "/dev/zero: it is larger than 1048576 bytes");
    refused(&["run", "/dev/urandom"], 2, "/dev/urandom: it is larger than 1048576 bytes");
    refused(&["report", "/dev/zero"], 1, "/dev/zero: it is larger than 134217728 bytes");
    refused(&["run", "."], 2, "cannot read the scenario .: ");
    for trace in ["/dev/zero", "fifo"] {
        let set = format!("load.trace={trace}");
        let arguments =
            ["run", "test.toml", "--set", "load.arrivals=trace", "--set", "load.rate_ops=[]", "--set", &set];
        refused(&arguments, 2, "it is not a regular file");
    }
    refused(&["verify", "kept", "/dev/zero"], 1, "/dev/zero: is not a regular file");
    refused(&["verify", "kept", "fifo"], 1, "fifo: is not a regular file");
    refused(&["verify", "kept", "nothing"], 1, "nothing: no such file");
    let snapshot = "kept/snapshots/0/snapshot.db";
    for (name, expected) in [
        ("snapshots/0/claim.json", "claim.json: it is not a regular file"),
        ("ledger", "ledger: it is not a regular file"),
        ("dataset.json", "kept: it is not a regular file"),
    ] {
        for by in ["/dev/zero", fifo.to_str().unwrap()] {
            replace(name, by);
            refused(&["verify", "kept", snapshot], 1, expected);
        }
    }
    for (name, most) in [("snapshots/0/claim.json", 1_u64 << 16), ("dataset.json", 64 << 20)] {
        let folder = kept();
        let large = fs::File::options().write(true).open(folder.path().join("kept").join(name)).unwrap();
        large.set_len(most + 1).unwrap();
        let output = journalbench(folder.path(), &["verify", "kept", snapshot]);
        assert!(words(&output).contains(&format!("it is larger than {most} bytes")), "{}", words(&output));
    }
}

#[test]
fn verify_refuses_a_ledger_of_another_dataset() {
    let folder = kept();
    let ledger = folder.path().join("kept/ledger");
    let mut bytes = fs::read(&ledger).unwrap();
    // The first record that is about a torrent of the dataset.
    let record = bytes.chunks(32).position(|record| record[23] == 1 && record[22] == 0).unwrap();
    bytes[record * 32 + 16..][..7].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f]);
    fs::write(&ledger, bytes).unwrap();
    let output = journalbench(folder.path(), &["verify", "kept", "kept/snapshots/0/snapshot.db"]);
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    assert!(words(&output).contains("and the dataset has 60: they do not belong together"), "{}", words(&output));
}

#[test]
fn results_with_a_histogram_that_is_none_are_refused_by_its_place() {
    let folder = kept();
    let path = folder.path().join("results.json");
    let mut results: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for (pointer, place) in [
        ("/trials/0/phases/1/operations/1/response/histogram", "trials[0].phases[1].operations[1].response.histogram"),
        ("/trials/0/phases/1/operations/0/service/histogram", "trials[0].phases[1].operations[0].service.histogram"),
        ("/trials/0/phases/0/lag/histogram", "trials[0].phases[0].lag.histogram"),
    ] {
        *results.pointer_mut(pointer).unwrap() = "AAAA".into();
        fs::write(&path, results.to_string()).unwrap();
        let output = journalbench(folder.path(), &["report", "results.json"]);
        assert_eq!(output.status.code(), Some(1), "{}", words(&output));
        assert!(words(&output).contains(&format!("results.json: {place}")), "{}", words(&output));
    }
}

#[test]
fn what_a_terminal_obeys_never_reaches_it() {
    const HOSTILE: &str = "red \u{1b}[31m bell \u{7} up \r\u{9b}A back \u{8} del \u{7f} turned \u{202e}\u{2066}";
    let is_clean = |bytes: &[u8]| {
        let text = std::str::from_utf8(bytes).unwrap();
        let obeyed = |c: char| {
            c.is_control() && c != '\n' && c != '\t' || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!text.contains(obeyed), "{text:?}");
        text.to_owned()
    };
    let folder = kept();
    let path = folder.path().join("results.json");
    let mut results: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    results["scenario"]["why"] = HOSTILE.into();
    results["trials"][0]["snapshots"][0]["evidence"]["reason"] = HOSTILE.into();
    fs::write(&path, results.to_string()).unwrap();
    for format in ["text", "markdown"] {
        let output = journalbench(folder.path(), &["report", "results.json", "--format", format]);
        assert!(output.status.success(), "{}", words(&output));
        let text = is_clean(&output.stdout);
        assert!(text.contains("u001b") && text.contains("u202e"), "{text}");
    }
    // A file has the report as it is.
    let output = journalbench(folder.path(), &["report", "results.json", "--format", "markdown", "-o", "report.txt"]);
    assert!(output.status.success(), "{}", words(&output));
    assert!(fs::read_to_string(folder.path().join("report.txt")).unwrap().contains("red \u{1b}\\[31m bell"));

    // Standard error: a key of a scenario, and the name of a file.
    let scenario = SCENARIO.replace("[dataset]", "[dataset]\n\"\\u001b[31m\\u009b\" = 1");
    fs::write(folder.path().join("test.toml"), scenario).unwrap();
    let output = journalbench(folder.path(), &["run", "test.toml"]);
    assert!(is_clean(&output.stderr).contains("\\u001b[31m"), "{}", words(&output));
    let output = journalbench(folder.path(), &["report", "\u{1b}[31m.json"]);
    assert!(is_clean(&output.stderr).contains("cannot read \\u001b[31m.json"), "{}", words(&output));

    let output = journalbench(folder.path(), &["report", "results.json", "--\u{202e}"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(is_clean(&output.stderr).contains("unexpected argument '--\\u202e'"), "{}", words(&output));

    // JSON stays JSON: the name of a table is part of the evidence.
    let database = folder.path().join("hostile.db");
    let sql = format!("CREATE TABLE torrents (id INTEGER PRIMARY KEY); CREATE TABLE \"{HOSTILE}\" (x UNIQUE)");
    let connection = rusqlite::Connection::open(&database).unwrap();
    connection.execute_batch(&sql).unwrap();
    drop(connection);
    let mut bytes = fs::read(&database).unwrap();
    let last = bytes.len() - 4096;
    bytes[last] = 7;
    fs::write(&database, bytes).unwrap();
    let output = journalbench(folder.path(), &["verify", "kept", "hostile.db", "--json"]);
    assert_eq!(output.status.code(), Some(3), "{}", words(&output));
    let answer: serde_json::Value = serde_json::from_str(&is_clean(&output.stdout)).unwrap();
    assert!(answer.to_string().contains("red "), "{answer:#}");
    let output = journalbench(folder.path(), &["verify", "kept", "hostile.db"]);
    assert!(is_clean(&output.stdout).contains("red \\u001b[31m"), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn an_error_of_toml_is_said_once() {
    let folder = kept();
    fs::write(folder.path().join("test.toml"), "why = ").unwrap();
    let output = journalbench(folder.path(), &["run", "test.toml"]);
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
    assert_eq!(words(&output).matches("TOML parse error").count(), 1, "{}", words(&output));
}

#[test]
fn a_dataset_is_named_in_one_way() {
    let folder = kept();
    let dry = |scenario: &str, more: &[&str]| {
        fs::write(folder.path().join("test.toml"), scenario).unwrap();
        journalbench(folder.path(), &[&["run", "test.toml", "--dry-run"], more].concat())
    };
    let both = dry(&SCENARIO.replace("rows = 100", "rows = 100\nsize = \"1MB\""), &[]);
    assert_eq!(both.status.code(), Some(2));
    assert!(words(&both).contains("dataset.size = 1MB: expected either this or dataset.rows"), "{}", words(&both));
    let set = |assignment| ["--set", assignment];
    let both = dry(SCENARIO, &[set("dataset.size=1MB"), set("dataset.rows=5")].concat());
    assert_eq!(both.status.code(), Some(2));
    let expected = "--set dataset.size=1MB and --set dataset.rows=5: expected one of them";
    assert!(words(&both).contains(expected), "{}", words(&both));
    for one in [&set("dataset.size=1MB")[..], &[set("dataset.rows=5"), set("dataset.rows=6")].concat()] {
        let output = dry(SCENARIO, one);
        assert!(output.status.success(), "{one:?}: {}", words(&output));
    }
}

#[test]
fn a_size_below_the_smallest_database_is_refused() {
    let folder = kept();
    for (page_size_bytes, least) in [("4096", "40960B"), ("512", "7168B")] {
        let arguments = ["generate", "--size", "1kB", "--page-size-bytes", page_size_bytes, "small.db"];
        let output = journalbench(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(2), "{}", words(&output));
        assert!(words(&output).contains(&format!("--size 1kB: expected at least {least}")), "{}", words(&output));
        let output = journalbench(
            folder.path(),
            &["generate", "--size", least, "--page-size-bytes", page_size_bytes, "least.db"],
        );
        assert!(output.status.success(), "{}", words(&output));
        let path = folder.path().join("least.db");
        assert_eq!(format!("{}B", path.metadata().unwrap().len()), least);
        fs::remove_file(path).unwrap();
    }
    fs::write(folder.path().join("test.toml"), SCENARIO.replace("rows = 100", "size = \"1kB\"")).unwrap();
    let output = journalbench(folder.path(), &["run", "test.toml", "--dry-run"]);
    assert_eq!(output.status.code(), Some(2), "{}", words(&output));
    assert!(words(&output).contains("dataset.size = 1kB: expected 40960B to 1TB"), "{}", words(&output));
}

/// The oracle writes to a snapshot, and lets SQLite check it: neither runs what somebody has put into its schema.
#[test]
fn a_schema_that_never_ends_is_not_run() {
    let folder = kept();
    let path = folder.path().join("endless.db");
    fs::copy(folder.path().join("kept/snapshots/0/snapshot.db"), &path).unwrap();
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT count(*) FROM n";
    let sql = format!("CREATE TRIGGER t AFTER UPDATE ON torrents BEGIN {endless}; END;");
    rusqlite::Connection::open(&path).unwrap().execute_batch(&sql).unwrap();
    let output = journalbench(folder.path(), &["verify", "kept", "endless.db"]);
    assert_eq!(output.status.code(), Some(3), "{}", words(&output));
    assert!(String::from_utf8_lossy(&output.stdout).contains("the schema is not the dataset's"), "{}", words(&output));
    // A condition that asks for 40 MB of text.
    let sql = "DROP TRIGGER t; CREATE TABLE large (x CHECK (length(hex(zeroblob(20000000))) > 0));
        INSERT INTO large VALUES (1);";
    rusqlite::Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    let output = journalbench(folder.path(), &["verify", "kept", "endless.db", "--json"]);
    assert_eq!(output.status.code(), Some(3), "{}", words(&output));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["integrity_check"].as_str().unwrap().contains("too big"), "{answer:#}");
}

//! The two backup scripts of `scenarios/scripts/`, night after night: what they leave when they fail, and how long the last
//! good copy outlives it. The table of `docs/backup-scripts.md` is what this finds.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use journalbench::scenario::Scenario;
use rusqlite::Connection;

const DAY: Duration = Duration::from_secs(86_400);

/// Nights on which the backup fails.
const NIGHTS: u32 = 12;

/// Why the backup fails.
#[derive(Clone, Copy)]
enum Trouble {
    /// A transaction has written pages to the file and not committed yet.
    HalfWritten,
    /// Somebody holds the database locked.
    Locked,
    /// No file may grow beyond a part of the database.
    NoRoom,
    /// The database is not where the script looks.
    Missing,
}

impl Trouble {
    fn words(self) -> &'static str {
        match self {
            Self::HalfWritten => "a transaction is half written",
            Self::Locked => "the database is locked",
            Self::NoRoom => "there is no room for the copy",
            Self::Missing => "the database is not there",
        }
    }
}

/// A database of some hundred pages, all of its counts 0.
pub(super) fn database(folder: &Path) -> PathBuf {
    let path = folder.join("tracker.db");
    let connection = Connection::open(&path).unwrap();
    let sql = "CREATE TABLE torrents (id INTEGER PRIMARY KEY, info_hash TEXT NOT NULL, completed INTEGER NOT NULL);
        WITH RECURSIVE n (id) AS (VALUES (1) UNION ALL SELECT id + 1 FROM n WHERE id < 20000)
        INSERT INTO torrents SELECT id, hex(randomblob(20)), 0 FROM n;";
    connection.execute_batch(sql).unwrap();
    path
}

/// Runs a script while `trouble` lasts; returns its exit status.
fn run(script: &str, database: &Path, copy: &Path, trouble: Option<Trouble>) -> i32 {
    let connection = Connection::open(database).unwrap();
    let (sql, database) = match trouble {
        // A cache of ten pages has to write to the file before the commit.
        Some(Trouble::HalfWritten) => {
            ("PRAGMA cache_size = 10; BEGIN; UPDATE torrents SET completed = 1", database.to_owned())
        }
        Some(Trouble::Locked) => ("BEGIN EXCLUSIVE", database.to_owned()),
        Some(Trouble::Missing) => ("BEGIN", database.with_file_name("gone.db")),
        Some(Trouble::NoRoom) | None => ("BEGIN", database.to_owned()),
    };
    connection.execute_batch(sql).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/scripts").join(script);
    let limit = match trouble {
        // Where the signal is ignored, a write beyond the limit fails, as on a full disk.
        Some(Trouble::NoRoom) => "trap '' XFSZ; ulimit -f 512; ",
        Some(Trouble::HalfWritten | Trouble::Locked | Trouble::Missing) | None => "",
    };
    let line = format!(r#"{limit}exec "$0" "$@""#);
    let output = Command::new("sh").arg("-c").arg(line).arg(script).arg(database).arg(copy).output().unwrap();
    connection.execute_batch("ROLLBACK").unwrap();
    output.status.code().unwrap()
}

/// What somebody finds who restores a copy.
pub(super) fn restore(copy: &Path) -> &'static str {
    if !copy.exists() {
        return "nothing";
    }
    // As a restore does: without what lies beside the original.
    let connection = Connection::open(copy).unwrap();
    let check = connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    let sum = connection.query_row("SELECT sum(completed) FROM torrents", [], |row| row.get::<_, i64>(0));
    match (check.as_deref().unwrap_or("error"), sum) {
        ("ok", Ok(0)) => "the database",
        ("ok", Ok(_)) => "a state that never was; integrity_check: ok",
        ("ok", Err(_)) => "an empty database; integrity_check: ok",
        _ => "a damaged database",
    }
}

/// Makes every copy a day older.
pub(super) fn pass_a_day(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let file = File::options().append(true).open(entry.unwrap().path()).unwrap();
        let modified = file.metadata().unwrap().modified().unwrap();
        assert!(modified < SystemTime::now());
        file.set_modified(modified - DAY).unwrap();
    }
}

/// A good night, and then nights of trouble: a row of the table.
fn nights(script: &str, trouble: Trouble) -> String {
    let folder = tempfile::tempdir().unwrap();
    let database = database(folder.path());
    let copies = folder.path().join("copies");
    fs::create_dir(&copies).unwrap();
    let copy = |night: u32| copies.join(format!("night-{night}.db"));
    assert_eq!(run(script, &database, &copy(0), None), 0);
    assert_eq!(restore(&copy(0)), "the database");
    let (mut status, mut found, mut gone) = (0, "", None);
    for night in 1..=NIGHTS {
        pass_a_day(&copies);
        status = run(script, &database, &copy(night), Some(trouble));
        found = restore(&copy(night));
        if gone.is_none() && !copy(0).exists() && found != "the database" {
            gone = Some(night);
        }
    }
    let gone = gone.map_or_else(|| format!("never (in {NIGHTS} nights)"), |night| format!("in night {night}"));
    format!("| `{script}` | {} | {status} | {found} | {gone} |", trouble.words())
}

#[test]
fn the_documented_table_is_what_the_scripts_do() {
    let mut rows = Vec::new();
    for script in ["backup-today.sh", "backup-proposed.sh"] {
        for trouble in [Trouble::HalfWritten, Trouble::Locked, Trouble::NoRoom, Trouble::Missing] {
            rows.push(nights(script, trouble));
        }
    }
    let table = rows.join("\n");
    let document = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/backup-scripts.md")).unwrap();
    assert!(document.contains(&table), "docs/backup-scripts.md should say:\n{table}");
}

#[test]
fn retention_spares_what_is_seven_days_old_and_takes_what_is_eight() {
    for script in ["backup-today.sh", "backup-proposed.sh"] {
        let folder = tempfile::tempdir().unwrap();
        let database = database(folder.path());
        let copies = folder.path().join("copies");
        fs::create_dir(&copies).unwrap();
        for age in 0..10 {
            let file = File::create(copies.join(format!("age-{age}.db"))).unwrap();
            file.set_modified(SystemTime::now() - DAY * age - Duration::from_secs(60)).unwrap();
        }
        assert_eq!(run(script, &database, &copies.join("new.db"), None), 0);
        let left: Vec<_> = (0..10).filter(|age| copies.join(format!("age-{age}.db")).exists()).collect();
        assert_eq!(left, [0, 1, 2, 3, 4, 5, 6, 7], "{script}");
    }
}

#[test]
fn a_scenario_says_whether_a_shell_runs_its_command_and_an_older_record_had_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/strategies.toml");
    let load = |overrides: &[&str]| {
        let overrides: Vec<_> = overrides.iter().map(ToString::to_string).collect();
        Scenario::load(&path, &overrides).map_err(|error| error.to_string())
    };
    let command =
        |scenario: &Scenario| serde_json::to_value(scenario).unwrap()["snapshots"]["options"]["command"].clone();
    assert_eq!(command(&load(&[]).unwrap())["shell"], false, "results say what was done");
    let piped = "snapshots.options.command.line=cat {db} | gzip > {out}";
    let error = load(&[piped]).unwrap_err();
    for words in ["strategies.toml: snapshots.options.command.line = ", "'|' is shell syntax", "command.shell = true"] {
        assert!(error.contains(words), "{words} in {error}");
    }
    let scenario = load(&[piped, "snapshots.options.command.shell=true"]).unwrap();
    assert_eq!(command(&scenario)["shell"], true);
    // A record of an older version has no such key. It is read, and says no more when it is written again.
    let mut record = serde_json::to_value(&scenario).unwrap();
    record["snapshots"]["options"]["command"].as_object_mut().unwrap().remove("shell");
    let older: Scenario = serde_json::from_value(record.clone()).unwrap();
    assert_eq!(serde_json::to_value(&older).unwrap(), record);
    assert_eq!(older.snapshots.options.command.shell, None);
}

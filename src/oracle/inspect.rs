//! What a snapshot's files are by themselves, before any ledger is asked.
//!
//! In this order, because each step changes or opens what the one before has finished with:
//!
//! 1. SQLite opens the file as a restore would: a hot journal or a WAL beside it is recovered and folded into it.
//! 2. The file is read without SQLite ([`super::content`]): every page accounted for, every row in the digest.
//! 3. SQLite writes to the file once, and takes it back.
//! 4. `integrity_check` and `quick_check` are asked, where that is wanted, as what people rely on today.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::Instant,
};

use rusqlite::{Connection, ErrorCode, config::DbConfig, limits::Limit};

use super::{
    content::{Damage, FileContent},
    error::JudgeError,
    scan::Watch,
    walk::Findings,
};
use crate::{dataset::Manifest, digest::Digest, sqlite};

/// What the files are by themselves.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The digest of the content, or why there is none.
    pub content: Result<Digest, Damage>,
    /// What is wrong with its pages.
    pub findings: Findings,
    /// Pages of the database; 0 where it could not be read.
    pub pages: u32,
    /// How long reading the whole file took, in seconds, SQLite's part not counted.
    pub read_s: f64,
    /// What `PRAGMA integrity_check` says, where it was asked.
    pub integrity_check: Option<Check>,
    /// What `PRAGMA quick_check` says, where it was asked.
    pub quick_check: Option<Check>,
}

/// The answer of one of SQLite's own checks.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// `ok`, or the first lines of what was found, or SQLite's error.
    pub answer: String,
    /// How long it took in seconds, with the other check running beside it.
    pub duration_s: f64,
}

/// Whether SQLite's own checks are asked. They take many times as long as the oracle's reading, and tell which failures a
/// backup script could have noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SqliteChecks {
    /// `integrity_check` and `quick_check` are asked.
    Ask,
    /// Neither is asked.
    LeaveOut,
}

/// Reads a snapshot's main file and what lies beside it as a restore would. Nothing in this process may have it open
/// through SQLite. `pages_done` counts the pages that have been read.
///
/// # Errors
/// [`JudgeError::Interrupted`] only: whatever is wrong with the files is part of the inspection.
pub fn inspect(
    path: &Path,
    start: &Manifest,
    sqlite_checks: SqliteChecks,
    interrupted: &Arc<AtomicBool>,
    pages_done: &AtomicU64,
) -> Result<Inspection, JudgeError> {
    let mut inspection = read(path, start, interrupted, pages_done)?;
    match sqlite_checks {
        SqliteChecks::Ask => ask_sqlite(path, interrupted, &mut inspection)?,
        SqliteChecks::LeaveOut => {}
    }
    Ok(inspection)
}

/// The oracle's own reading.
fn read(
    path: &Path,
    start: &Manifest,
    interrupted: &Arc<AtomicBool>,
    pages_done: &AtomicU64,
) -> Result<Inspection, JudgeError> {
    let recovered = recover(path, interrupted);
    let begun = Instant::now();
    let Contained { mut content, findings, pages } =
        read_content(path, Some(start), Watch { interrupted, pages_done }, recovered);
    let read_s = begun.elapsed().as_secs_f64();
    stop_if(interrupted)?;
    if is_readable(&content)
        && let Err(error) = write_once(path, interrupted)
    {
        stop_if(interrupted)?;
        content = Err(Damage::Corrupt(format!("SQLite cannot write to it: {error}")));
    }
    Ok(Inspection { content, findings, pages, read_s, integrity_check: None, quick_check: None })
}

/// Asks both of SQLite's checks at once, and adds what they say.
fn ask_sqlite(path: &Path, interrupted: &Arc<AtomicBool>, inspection: &mut Inspection) -> Result<(), JudgeError> {
    let (integrity, quick) = thread::scope(|scope| {
        let integrity = scope.spawn(|| run_check(path, interrupted, "integrity_check"));
        let quick = run_check(path, interrupted, "quick_check");
        let panicked = |_| Check { answer: "error: the check panicked".into(), duration_s: 0.0 };
        (integrity.join().unwrap_or_else(panicked), quick)
    });
    stop_if(interrupted)?;
    if is_readable(&inspection.content) && integrity.answer != "ok" {
        inspection.content = Err(Damage::Corrupt(format!("integrity_check: {}", integrity.answer)));
    }
    (inspection.integrity_check, inspection.quick_check) = (Some(integrity), Some(quick));
    Ok(())
}

fn is_readable(content: &Result<Digest, Damage>) -> bool {
    match content {
        Ok(_) | Err(Damage::OtherSchema(_)) => true,
        Err(Damage::Unreadable(_) | Damage::Corrupt(_)) => false,
    }
}

/// The digest of all rows of all tables of a database that nobody has open, whatever its schema says beside the tracker's
/// tables, and without SQLite's checks. A WAL or a hot journal beside it is recovered first.
///
/// # Errors
/// [`Damage`].
pub fn content_digest(path: &Path, interrupted: &Arc<AtomicBool>) -> Result<Digest, Damage> {
    let watch = Watch { interrupted, pages_done: &AtomicU64::new(0) };
    let recovered = recover(path, interrupted);
    read_content(path, None, watch, recovered).content
}

/// The oracle's own reading of a file as it lies there: the digest of its content, or why there is none, and what is wrong
/// with its pages. Nothing beside it is recovered, SQLite is not asked, and nothing is written.
pub fn read_pages(path: &Path, start: &Manifest, interrupted: &AtomicBool) -> (Result<Digest, Damage>, Findings) {
    let watch = Watch { interrupted, pages_done: &AtomicU64::new(0) };
    let Contained { content, findings, .. } = read_content(path, Some(start), watch, Ok(()));
    (content, findings)
}

struct Contained {
    content: Result<Digest, Damage>,
    findings: Findings,
    pages: u32,
}

/// Reads the file that SQLite has recovered, or could not.
fn read_content(path: &Path, start: Option<&Manifest>, watch: Watch<'_>, recovered: rusqlite::Result<()>) -> Contained {
    let nothing = |damage| Contained { content: Err(damage), findings: Findings::default(), pages: 0 };
    if let Err(error) = &recovered
        && error.sqlite_error_code() != Some(ErrorCode::DatabaseCorrupt)
    {
        return nothing(Damage::Unreadable(error.to_string()));
    }
    let content = match FileContent::open(path) {
        Ok(content) => content,
        Err(damage) => return nothing(damage),
    };
    let (digest, mut findings) = content.sum(watch);
    if let Some(start) = start {
        content.check_header(&start.header, &mut findings);
    }
    let verdict = if let Some(first) = findings.sample.first() {
        let others = findings.count - 1;
        let more = if others == 0 { String::new() } else { format!(", and {others} more like this") };
        Err(Damage::Corrupt(format!("{first}{more}")))
    } else if let Err(error) = recovered {
        Err(Damage::Corrupt(error.to_string()))
    } else if start.is_some_and(|start| !same_schema(&content, start)) {
        Err(Damage::OtherSchema("the schema is not the dataset's".into()))
    } else {
        Ok(digest)
    };
    Contained { content: verdict, findings, pages: content.pages() }
}

/// The rows of the schema, in any order: VACUUM may change it.
fn same_schema(content: &FileContent, start: &Manifest) -> bool {
    let (mut found, mut expected) = (content.schema.clone(), start.schema.clone());
    found.sort_unstable();
    expected.sort_unstable();
    found == expected
}

/// Lets SQLite recover what lies beside the file, and fold it into the file.
fn recover(path: &Path, interrupted: &Arc<AtomicBool>) -> rusqlite::Result<()> {
    let connection = open(path, interrupted)?;
    // The first read rolls back a hot journal, or recovers a WAL.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let busy: i64 = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    debug_assert_eq!(busy, 0, "nothing else has it open");
    connection.close().map_err(|(_, error)| error)
}

/// A restored database is written to: one count is changed, and changed back, each in a commit of its own.
fn write_once(path: &Path, interrupted: &Arc<AtomicBool>) -> rusqlite::Result<()> {
    let connection = open(path, interrupted)?;
    // Nobody keeps what the oracle has read.
    connection.pragma_update(None, "synchronous", "off")?;
    for step in [1, -1] {
        let sql = "UPDATE torrents SET completed = completed + ?1 WHERE id = (SELECT max(id) FROM torrents)";
        connection.execute(sql, [step])?;
    }
    connection.close().map_err(|(_, error)| error)
}

fn run_check(path: &Path, interrupted: &Arc<AtomicBool>, pragma: &str) -> Check {
    let begun = Instant::now();
    let ask = || sqlite::check(&open(path, interrupted)?, pragma);
    let answer = ask().unwrap_or_else(|error| format!("error: {error}"));
    Check { answer, duration_s: begun.elapsed().as_secs_f64() }
}

/// Opens a file that may be anything: none of its triggers runs, and no value of it takes more memory than is stated here.
fn open(path: &Path, interrupted: &Arc<AtomicBool>) -> rusqlite::Result<Connection> {
    /// Far more than any value of a tracker's, which fit on a page.
    const VALUE_BYTES_MOST: i32 = 1 << 24;

    let connection = sqlite::open_file(path, interrupted)?;
    // A trigger that never ends would hold up the change of a count for ever.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MOST)?;
    connection.pragma_update(None, "cache_size", -32_000)?;
    Ok(connection)
}

fn stop_if(interrupted: &AtomicBool) -> Result<(), JudgeError> {
    if interrupted.load(Ordering::Relaxed) { Err(JudgeError::Interrupted) } else { Ok(()) }
}

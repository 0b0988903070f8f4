//! Whether a copy is sound: the oracle's reading of its structure, SQLite's own `integrity_check` where that is asked for or
//! needed, and that SQLite opens it.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::{
    digest::Digest,
    oracle::{self, Reading, Structure},
    pages::header::Header,
    progress, sqlite, work,
};

/// How a copy is to be checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// SQLite opens it, and nothing else is asked.
    Open,
    /// Its structure is read without SQLite, and `integrity_check` is asked of what is not understood.
    Walk,
    /// `PRAGMA integrity_check`.
    IntegrityCheck,
}

/// What found a copy sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VerifiedBy {
    /// The reading of its structure.
    Walk,
    /// The reading of its structure, and `integrity_check` of some of its tables.
    WalkAndIntegrityCheck,
    /// `integrity_check` of the whole.
    IntegrityCheck,
}

/// A check that said nothing against a copy.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// What was asked.
    pub by: VerifiedBy,
    /// Why it was not the reading alone, where that was asked for, in words.
    pub because: Option<String>,
    /// How long all of it took, in seconds.
    pub verify_s: f64,
    /// How long `integrity_check` took, in seconds, where it was asked.
    pub integrity_check_s: Option<f64>,
    /// The digest of a tracker's content.
    pub content: Option<Digest>,
}

/// What checking a copy came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Soundness {
    /// SQLite opens it, and nothing else was asked.
    Opened,
    /// It is sound.
    Sound(Checked),
    /// It is not: what was found, in words.
    Unsound(String),
}

impl fmt::Display for VerifiedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Walk => "reading every page",
            Self::WalkAndIntegrityCheck => "reading every page and integrity_check",
            Self::IntegrityCheck => "integrity_check",
        })
    }
}

/// Checks a copy that nobody else has open, and leaves nothing beside it.
///
/// # Errors
/// Where SQLite cannot open it, the check was interrupted, or something of SQLite's stays beside it.
pub fn check(copy: &Path, check: Check, interrupted: &Arc<AtomicBool>) -> Result<Soundness> {
    let begun = Instant::now();
    let soundness = match check {
        Check::Open => Soundness::Opened,
        Check::Walk => walk(copy, interrupted)?,
        Check::IntegrityCheck => ask(copy, interrupted, None)?,
    };
    let checked = match soundness {
        // SQLite may not even open it.
        Soundness::Unsound(_) => return Ok(soundness),
        Soundness::Opened => None,
        Soundness::Sound(checked) => Some(checked),
    };
    open(copy, interrupted)?;
    let verify_s = begun.elapsed().as_secs_f64();
    Ok(checked.map_or(Soundness::Opened, |checked| Soundness::Sound(Checked { verify_s, ..checked })))
}

fn walk(copy: &Path, interrupted: &Arc<AtomicBool>) -> Result<Soundness> {
    let page_bytes = Header::read(copy).map_or(0, |header| header.page_size_bytes());
    let pages_done = AtomicU64::new(0);
    let structure = progress::while_reading(&pages_done, work::file_bytes(copy), page_bytes, || {
        oracle::read_structure(copy, interrupted, &pages_done)
    })?;
    let Reading { findings, content, left_to_sqlite } = match structure {
        Structure::Read(reading) => reading,
        Structure::NotUnderstood(why) => return ask(copy, interrupted, Some((Vec::new(), why))),
        Structure::Unreadable(why) => return Ok(Soundness::Unsound(why)),
    };
    if let Some(first) = findings.sample.first() {
        let others = findings.count - 1;
        let more = if others == 0 { String::new() } else { format!(", and {others} more like this") };
        return Ok(Soundness::Unsound(format!("{first}{more}")));
    }
    if !left_to_sqlite.is_empty() {
        let why = format!("{} has an index or rows that only SQLite reads", left_to_sqlite.join(", "));
        let asked = ask(copy, interrupted, Some((left_to_sqlite, why)))?;
        return Ok(match asked {
            Soundness::Sound(checked) => {
                Soundness::Sound(Checked { by: VerifiedBy::WalkAndIntegrityCheck, content, ..checked })
            }
            Soundness::Opened | Soundness::Unsound(_) => asked,
        });
    }
    let by = VerifiedBy::Walk;
    Ok(Soundness::Sound(Checked { by, because: None, verify_s: 0.0, integrity_check_s: None, content }))
}

/// Asks `integrity_check`: of some tables and for a reason, where these are given, or else of the whole.
fn ask(copy: &Path, interrupted: &Arc<AtomicBool>, of: Option<(Vec<String>, String)>) -> Result<Soundness> {
    let _waiting = progress::Spinner::new("integrity_check reads the copy");
    let begun = Instant::now();
    let connection = sqlite::open_file(copy, interrupted).with_context(|| cannot_open(copy))?;
    let (tables, because) = of.map_or_else(|| (Vec::new(), None), |(tables, why)| (tables, Some(why)));
    // What it cannot read to the end is not sound either; an interrupt is noticed by the caller.
    let answer = |asked: rusqlite::Result<String>| asked.unwrap_or_else(|error| error.to_string());
    let answers: Vec<_> = if tables.is_empty() {
        vec![answer(sqlite::check(&connection, "integrity_check"))]
    } else {
        tables.iter().map(|table| answer(check_table(&connection, table))).collect()
    };
    close(connection, copy)?;
    Ok(match answers.into_iter().find(|answer| answer != "ok") {
        Some(answer) => Soundness::Unsound(format!("integrity_check: {answer}")),
        None => Soundness::Sound(Checked {
            by: VerifiedBy::IntegrityCheck,
            because,
            verify_s: 0.0,
            integrity_check_s: Some(begun.elapsed().as_secs_f64()),
            content: None,
        }),
    })
}

/// `integrity_check` of a table and its indexes.
fn check_table(connection: &Connection, table: &str) -> rusqlite::Result<String> {
    let sql = format!("PRAGMA integrity_check('{}')", table.replace('\'', "''"));
    let mut statement = connection.prepare(&sql)?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    let first = lines.take(3).collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(first.join("\n"))
}

fn cannot_open(copy: &Path) -> String {
    format!("SQLite cannot open the copy {}", copy.display())
}

/// Lets SQLite open the copy.
fn open(copy: &Path, interrupted: &Arc<AtomicBool>) -> Result<()> {
    let connection = sqlite::open_file(copy, interrupted).with_context(|| cannot_open(copy))?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).with_context(|| cannot_open(copy))?;
    close(connection, copy)?;
    for suffix in sqlite::SIDE_FILES {
        let beside = sqlite::side_file(copy, suffix);
        if beside.exists() {
            bail!("{} is still there after the copy was closed", beside.display());
        }
    }
    Ok(())
}

fn close(connection: Connection, copy: &Path) -> Result<()> {
    connection.close().map_err(|(_, error)| error).with_context(|| cannot_open(copy))
}

//! Was the database ever in this state? Snapshot files and a ledger in, a [`Verdict`] out.
//!
//! The oracle takes values and knows nothing of strategies: the same questions are asked of every file. It works in two
//! steps. [`inspect`] reads the files as a restore would, through SQLite, hot journal or WAL beside them included: the
//! digest of all rows of all tables, whether each unique index holds what its table holds in ascending order, whether
//! SQLite can write to the file, and what `integrity_check` and `quick_check` say, which is what people rely on today.
//! [`judge`] compares the digest with that of every state that the ledger proves.
//!
//! The rule for whatever is not understood: it is not `exact`.
//!
//! Inspecting changes the files (SQLite runs recovery, and one row is written last), so keep a copy of what matters.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Instant,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, types::ValueRef};
use serde::{Deserialize, Serialize};

use crate::{
    dataset::{Manifest, SCHEMA},
    digest::{self, Digest, Part},
    ledger::{self, ReplayError, State},
    sqlite,
};

/// What a snapshot is. The first that applies of: unfinished, unreadable, corrupt, torn, stale, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is S(k) for one k, and k is at least the last commit acknowledged before the snapshot began.
    Exact,
    /// It is S(k), but older than that: acknowledged commits are missing.
    Stale,
    /// It opens and is structurally sound, but is no S(k).
    Torn,
    /// Index and table disagree, or SQLite reports damage.
    Corrupt,
    /// SQLite cannot open or read it, or it has no tracker tables.
    Unreadable,
    /// The strategy failed or was stopped at its deadline.
    Unfinished,
}

/// What the oracle is told of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Whether the strategy ended in time and reported success.
    pub finished: bool,
    /// The last commit acknowledged before the snapshot began.
    pub commit_at_start: u64,
    /// The last commit issued when it had ended.
    pub commit_at_end: u64,
    /// When it had ended, in microseconds since the ledger was created.
    pub ended_us: u64,
}

/// A verdict and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// What the snapshot is.
    pub verdict: Verdict,
    /// Why, in words.
    pub reason: String,
    /// What the files left by an unfinished snapshot are.
    pub left_behind: Option<Verdict>,
    /// k, where the content is S(k).
    pub commit: Option<u64>,
    /// Commits issued by the end of the snapshot that it does not have.
    pub age_commits: Option<u64>,
    /// From the instant commit k was made (or the load began) to the end of the snapshot.
    pub age_s: Option<f64>,
    /// The snapshot's digest, where it could be read.
    pub digest: Option<Digest>,
}

impl Judgement {
    /// Whether somebody who trusts the strategy's word and `integrity_check` would be wrong about the snapshot.
    #[must_use]
    pub fn is_silent_failure(&self, claim: &Claim, integrity_check: &Check) -> bool {
        claim.finished && integrity_check.answer == "ok" && self.verdict != Verdict::Exact
    }
}

/// What the files are by themselves, before any ledger is asked.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The digest of the content, or why there is none.
    pub content: Result<Digest, Damage>,
    /// What `PRAGMA integrity_check` says.
    pub integrity_check: Check,
    /// What `PRAGMA quick_check` says.
    pub quick_check: Check,
}

/// The answer of one of SQLite's own checks.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// `ok`, or the first lines of what was found, or SQLite's error.
    pub answer: String,
    /// How long it took, with the other readings of the inspection running beside it.
    pub duration_s: f64,
}

/// Why a file's content cannot be a state of the database, whatever the ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// SQLite cannot open or read it, or there is nothing of a tracker's in it.
    Unreadable(String),
    /// SQLite reports damage, or index and table disagree.
    Corrupt(String),
    /// It reads well, but its schema is not the dataset's.
    OtherSchema(String),
}

/// Why the oracle cannot judge.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The ledger cannot be replayed.
    #[error(transparent)]
    Ledger(#[from] ReplayError),
    /// The caller asked to stop.
    #[error("interrupted while inspecting a snapshot")]
    Interrupted,
    /// The snapshot holds a commit that was issued after it had ended. The harness is at fault, not the snapshot.
    #[error(
        "the snapshot is commit {commit}, but only {issued} had been issued when it ended: the harness's own accounting is wrong"
    )]
    FromTheFuture {
        /// The commit found.
        commit: u64,
        /// The last one issued at its end.
        issued: u64,
    },
}

/// A table of the tracker (or SQLite's own `sqlite_sequence`) and how it is read.
struct Table {
    part: Part,
    /// Reads every row in the order of the table. Column 0 is the id and column 1 the text where there is an index.
    rows: &'static str,
    /// The unique index on column 1, where there is one.
    index: Option<Index>,
}

struct Index {
    name: &'static str,
    /// Reads every entry from the index alone, in its order: the text, the id.
    entries: &'static str,
}

const TABLES: [Table; 5] = [
    Table {
        part: Part::Torrents,
        rows: "SELECT id, info_hash, completed FROM torrents NOT INDEXED",
        index: Some(Index {
            name: "sqlite_autoindex_torrents_1",
            entries: "SELECT info_hash, id FROM torrents INDEXED BY sqlite_autoindex_torrents_1 ORDER BY info_hash",
        }),
    },
    Table {
        part: Part::Whitelist,
        rows: "SELECT id, info_hash FROM whitelist NOT INDEXED",
        index: Some(Index {
            name: "sqlite_autoindex_whitelist_1",
            entries: "SELECT info_hash, id FROM whitelist INDEXED BY sqlite_autoindex_whitelist_1 ORDER BY info_hash",
        }),
    },
    Table {
        part: Part::Keys,
        rows: "SELECT id, key, valid_until FROM keys NOT INDEXED",
        index: Some(Index {
            name: "sqlite_autoindex_keys_1",
            entries: "SELECT key, id FROM keys INDEXED BY sqlite_autoindex_keys_1 ORDER BY key",
        }),
    },
    Table {
        part: Part::Aggregate,
        rows: "SELECT id, metric_name, value FROM torrent_aggregate_metrics NOT INDEXED",
        index: Some(Index {
            name: "sqlite_autoindex_torrent_aggregate_metrics_1",
            entries: "SELECT metric_name, id FROM torrent_aggregate_metrics \
                INDEXED BY sqlite_autoindex_torrent_aggregate_metrics_1 ORDER BY metric_name",
        }),
    },
    Table { part: Part::Sequence, rows: "SELECT name, seq FROM sqlite_sequence", index: None },
];

/// Lines of an integrity check's answer that are kept.
const CHECK_LINES: usize = 3;

/// Reads a snapshot's main file and what lies beside it as a restore would.
///
/// # Errors
/// [`JudgeError::Interrupted`] only: whatever is wrong with the files is part of the inspection.
pub fn inspect(path: &Path, interrupted: &Arc<AtomicBool>) -> Result<Inspection, JudgeError> {
    // Held open throughout, so that a WAL beside the file is recovered once and not deleted by one reader under another.
    let first = open(path, interrupted);
    let inspection = thread::scope(|scope| {
        let check = |pragma: &'static str| move || run_check(path, interrupted, pragma);
        let integrity = scope.spawn(check("integrity_check"));
        let quick = scope.spawn(check("quick_check"));
        let content = match &first {
            Ok(connection) => read_content(path, connection, interrupted),
            Err(error) => Err(damage(error)),
        };
        let join = |thread: thread::ScopedJoinHandle<'_, Check>| {
            thread.join().unwrap_or_else(|_| Check { answer: "the check panicked".into(), duration_s: 0.0 })
        };
        Inspection { content, integrity_check: join(integrity), quick_check: join(quick) }
    });
    if interrupted.load(Ordering::Relaxed) {
        return Err(JudgeError::Interrupted);
    }
    let mut inspection = inspection;
    let readable = !matches!(inspection.content, Err(Damage::Unreadable(_) | Damage::Corrupt(_)));
    if let Some(connection) = first.ok().filter(|_| readable) {
        if inspection.integrity_check.answer != "ok" {
            let found = format!("integrity_check: {}", inspection.integrity_check.answer);
            inspection.content = Err(Damage::Corrupt(found));
        } else if let Err(error) = write_once(&connection) {
            inspection.content = Err(Damage::Corrupt(format!("SQLite cannot write to it: {error}")));
        }
    }
    Ok(inspection)
}

/// The digest of all rows of all tables of a database that nobody writes to, without the checks of [`inspect`].
///
/// # Errors
/// [`Damage`].
pub fn content_digest(path: &Path, interrupted: &Arc<AtomicBool>) -> Result<Digest, Damage> {
    let connection = open(path, interrupted).map_err(|error| damage(&error))?;
    check_schema(&connection)?;
    Ok(sum_tables(&connection).map_err(|error| damage(&error))?.iter().map(|sums| sums.rows).sum())
}

/// Judges inspected snapshots against a ledger, in one replay. Answers stand in the order of the questions.
///
/// # Errors
/// When the ledger cannot be replayed. A judgement that shows the harness at fault is an error of that snapshot alone.
pub fn judge(
    ledger: &Path,
    start: &Manifest,
    snapshots: &[(Claim, Inspection)],
) -> Result<Vec<Result<Judgement, JudgeError>>, JudgeError> {
    let mut matches: Vec<Option<State>> = vec![None; snapshots.len()];
    ledger::replay(ledger, start, |state| {
        for ((claim, inspection), found) in snapshots.iter().zip(&mut matches) {
            // A commit that changes nothing repeats a state: the largest counts that had been issued.
            let possible = state.commit <= claim.commit_at_end || found.is_none();
            if possible && inspection.content.as_ref().is_ok_and(|digest| *digest == state.digest) {
                *found = Some(*state);
            }
        }
    })?;
    Ok(snapshots.iter().zip(matches).map(|((claim, inspection), found)| judge_one(claim, inspection, found)).collect())
}

fn judge_one(claim: &Claim, inspection: &Inspection, found: Option<State>) -> Result<Judgement, JudgeError> {
    let (verdict, reason) = match (&inspection.content, found) {
        (Err(Damage::Unreadable(why)), _) => (Verdict::Unreadable, why.clone()),
        (Err(Damage::Corrupt(why)), _) => (Verdict::Corrupt, why.clone()),
        (Err(Damage::OtherSchema(why)), _) => (Verdict::Torn, why.clone()),
        (Ok(_), None) => (Verdict::Torn, "no commit of the run left this content".to_owned()),
        (Ok(_), Some(State { commit, .. })) if commit > claim.commit_at_end => {
            return Err(JudgeError::FromTheFuture { commit, issued: claim.commit_at_end });
        }
        (Ok(_), Some(State { commit, .. })) if commit < claim.commit_at_start => (
            Verdict::Stale,
            format!(
                "the state after commit {commit}: {} commits acknowledged before the snapshot began are missing",
                claim.commit_at_start - commit
            ),
        ),
        (Ok(_), Some(State { commit, void, .. })) => (
            Verdict::Exact,
            format!(
                "the state after commit {commit}{}",
                if void { ", which failed with an unknown outcome" } else { "" }
            ),
        ),
    };
    let mut judgement = Judgement {
        verdict,
        reason,
        left_behind: None,
        commit: found.map(|state| state.commit),
        age_commits: found.map(|state| claim.commit_at_end - state.commit),
        age_s: found.map(|state| claim.ended_us.saturating_sub(state.at_us) as f64 / 1e6),
        digest: inspection.content.as_ref().ok().copied(),
    };
    if !claim.finished {
        judgement.left_behind = Some(judgement.verdict);
        judgement.verdict = Verdict::Unfinished;
    }
    Ok(judgement)
}

fn open(path: &Path, interrupted: &Arc<AtomicBool>) -> rusqlite::Result<Connection> {
    let mut connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    sqlite::stop_when(&mut connection, interrupted)?;
    connection.pragma_update(None, "cache_size", -32_000)?;
    Ok(connection)
}

fn run_check(path: &Path, interrupted: &Arc<AtomicBool>, pragma: &str) -> Check {
    let begun = Instant::now();
    let ask = || {
        let connection = open(path, interrupted)?;
        let mut statement = connection.prepare(&format!("PRAGMA {pragma}({CHECK_LINES})"))?;
        let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
        lines.collect::<rusqlite::Result<Vec<_>>>()
    };
    let answer = ask().map_or_else(|error| format!("error: {error}"), |lines| lines.join("\n"));
    Check { answer, duration_s: begun.elapsed().as_secs_f64() }
}

/// Sums the tables on one thread and the indexes on another, and compares.
fn read_content(path: &Path, connection: &Connection, interrupted: &Arc<AtomicBool>) -> Result<Digest, Damage> {
    check_schema(connection)?;
    thread::scope(|scope| {
        let indexes = scope.spawn(|| {
            let connection = open(path, interrupted).map_err(|error| damage(&error))?;
            let indexes = TABLES.iter().filter_map(|table| table.index.as_ref());
            indexes.map(|index| sum_index(&connection, index)).collect::<Result<Vec<_>, Damage>>()
        });
        let tables = sum_tables(connection).map_err(|error| damage(&error))?;
        let found = indexes.join().unwrap_or_else(|_| Err(Damage::Corrupt("reading the indexes panicked".into())))?;
        let expected =
            TABLES.iter().zip(&tables).filter_map(|(table, sums)| Some((table.index.as_ref()?, sums.entries)));
        for ((index, of_table), of_index) in expected.zip(found) {
            if of_table != of_index {
                return Err(Damage::Corrupt(format!("{} does not hold the entries of its table", index.name)));
            }
        }
        Ok(tables.iter().map(|sums| sums.rows).sum())
    })
}

/// The tracker's tables must be there with the dataset's own text, and nothing else.
fn check_schema(connection: &Connection) -> Result<(), Damage> {
    let read = || {
        let mut statement = connection.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        rows.collect::<rusqlite::Result<Vec<_>>>()
    };
    let mut found = read().map_err(|error| Damage::Unreadable(error.to_string()))?;
    if !found.iter().any(|(name, _)| name == "torrents") {
        return Err(Damage::Unreadable(format!("a database without the tracker's tables ({} objects)", found.len())));
    }
    found.retain(|(name, _)| name != "sqlite_sequence");
    let mut texts: Vec<_> = found.iter().map(|(_, sql)| sql.as_str()).collect();
    let mut expected = SCHEMA.to_vec();
    texts.sort_unstable();
    expected.sort_unstable();
    if texts == expected { Ok(()) } else { Err(Damage::OtherSchema("the schema is not the dataset's".into())) }
}

/// What a table adds up to: its rows, and the entries that its index must have.
struct Sums {
    rows: Digest,
    entries: Digest,
}

fn sum_tables(connection: &Connection) -> rusqlite::Result<Vec<Sums>> {
    TABLES.iter().map(|table| sum_table(connection, table)).collect()
}

fn sum_table(connection: &Connection, table: &Table) -> rusqlite::Result<Sums> {
    let mut sums = Sums { rows: Digest::default(), entries: Digest::default() };
    let mut statement = connection.prepare(table.rows)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        sums.rows += digest::row(table.part, (0..columns).map(|column| row.get_ref_unwrap(column)));
        if table.index.is_some() {
            sums.entries += digest::row(Part::IndexEntry, [row.get_ref(1)?, row.get_ref(0)?]);
        }
    }
    Ok(sums)
}

/// The sum of an index's entries, which must stand in strictly ascending order: a lookup relies on it.
fn sum_index(connection: &Connection, index: &Index) -> Result<Digest, Damage> {
    let name = index.name;
    let read = || -> rusqlite::Result<Result<Digest, String>> {
        let mut statement = connection.prepare(index.entries)?;
        let mut rows = statement.query([])?;
        let mut sum = Digest::default();
        let mut last: Option<Vec<u8>> = None;
        while let Some(row) = rows.next()? {
            let (text, id) = (row.get_ref(0)?, row.get_ref(1)?);
            sum += digest::row(Part::IndexEntry, [text, id]);
            let ValueRef::Text(bytes) = text else {
                return Ok(Err(format!("{name} holds a value that is no text")));
            };
            if last.as_deref().is_some_and(|last| last >= bytes) {
                return Ok(Err(format!("{name} is out of order")));
            }
            let last = last.get_or_insert_default();
            last.clear();
            last.extend_from_slice(bytes);
        }
        Ok(Ok(sum))
    };
    read().map_err(|error| damage(&error))?.map_err(Damage::Corrupt)
}

/// A restored database is written to. Last of all, because it changes the content.
fn write_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute("UPDATE torrent_aggregate_metrics SET value = value + 1", [])?;
    Ok(())
}

fn damage(error: &rusqlite::Error) -> Damage {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => Damage::Corrupt(error.to_string()),
        _ => Damage::Unreadable(error.to_string()),
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::Stale => "stale",
            Self::Torn => "torn",
            Self::Corrupt => "corrupt",
            Self::Unreadable => "unreadable",
            Self::Unfinished => "unfinished",
        })
    }
}

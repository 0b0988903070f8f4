//! The tracker-shaped database that a trial starts from, S(0).
//!
//! A [`Dataset`] is a pure description (rows, seed, page size): every value of every row follows from it, so that the
//! ledger can replay commits without reading the file. [`generate`] makes the file, through SQLite, and knows its digest
//! when it is done. [`cache`] keeps generated files and hands out copies.
//!
//! Not here: what happens to the rows later ([`crate::workload`], [`crate::ledger`]).

pub mod cache;

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use rusqlite::{
    Connection, ToSql, params,
    types::{ToSqlOutput, ValueRef},
};
use serde::{Deserialize, Serialize};

use crate::{
    digest::{self, Digest, Part},
    random::mix,
    sqlite,
    torrents::{Torrent, Torrents},
};

/// Version of what a seed means: part of a cached dataset's identity, raised whenever the same seed would give other rows.
pub const FORMAT: u32 = 1;

/// The name of the one row of `torrent_aggregate_metrics`.
pub const DOWNLOADS_TOTAL: &str = "torrents_downloads_total";

/// The tracker's tables, in the order and with the text in which its 4.x releases create them.
pub const SCHEMA: [&str; 4] = [
    "CREATE TABLE whitelist (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            info_hash TEXT NOT NULL UNIQUE
        )",
    "CREATE TABLE keys (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            key TEXT NOT NULL UNIQUE,
            valid_until INTEGER
         )",
    "CREATE TABLE torrents (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            info_hash TEXT NOT NULL UNIQUE,
            completed INTEGER DEFAULT 0 NOT NULL
        )",
    "CREATE TABLE torrent_aggregate_metrics (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            metric_name TEXT NOT NULL UNIQUE,
            value INTEGER DEFAULT 0 NOT NULL
        )",
];

/// Rows of the live demo's `torrents` and `whitelist` (torrust-tracker #1651); datasets keep the proportion.
const DEMO_TORRENTS: u64 = 161_454_700;
const DEMO_WHITELIST: u64 = 30_076;
/// Rows of `keys`: as many as on the live demo, at any size.
const KEYS: u64 = 10;

/// Bytes a row of `torrents` takes in a database grown by inserts, index and interior pages included (`docs/sqlite.md`,
/// 32). For estimates of space only.
const BYTES_PER_ROW: u64 = 110;

/// What a generated database contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dataset {
    /// Rows of `torrents`.
    pub rows: u64,
    /// What every value follows from.
    pub seed: u64,
    /// Page size of the database file.
    pub page_size_bytes: u32,
}

/// What is known of a generated database without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`FORMAT`] when it was made.
    pub format: u32,
    /// What it contains.
    #[serde(flatten)]
    pub dataset: Dataset,
    /// Size of the file.
    pub bytes: u64,
    /// Sum over all rows of all tables: D(0).
    pub digest: Digest,
    /// Sum of `completed` over all torrents, which is the value of the aggregate.
    pub downloads: i64,
}

/// Why a dataset could not be made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// SQLite failed, the full disk included.
    #[error("cannot write {path}")]
    Sqlite {
        /// The file being written.
        path: String,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The caller asked to stop.
    #[error("interrupted while generating the dataset")]
    Interrupted,
}

impl Dataset {
    /// The torrents of this dataset.
    #[must_use]
    pub fn torrents(&self) -> Torrents {
        Torrents::new(self.rows, self.seed)
    }

    /// Rows of `whitelist`.
    #[must_use]
    pub fn whitelist_rows(&self) -> u64 {
        (self.rows.saturating_mul(DEMO_WHITELIST) / DEMO_TORRENTS).max(1)
    }

    /// About how many bytes the file takes, on the generous side.
    #[must_use]
    pub fn estimated_bytes(&self) -> u64 {
        // Twelve pages are the least: a root for each table and index, and the schema.
        self.rows * BYTES_PER_ROW + 12 * u64::from(self.page_size_bytes)
    }

    /// The `number`-th key (from 1): 32 alphanumeric characters and when it expires, in seconds since 1970; every fifth
    /// never does.
    fn key(&self, number: u64) -> (String, Option<i64>) {
        let hash = self.torrents().other_hash(1 << 40 | number);
        let expires = i64::try_from(1_800_000_000 + mix(self.seed ^ number) % 31_536_000).ok();
        (hash.as_str()[..32].to_owned(), expires.filter(|_| !number.is_multiple_of(5)))
    }
}

/// Writes the dataset to `path`, which must not exist, and returns what is known of it. `progress` is told the number of
/// rows done, every few thousand.
///
/// Rows go in through SQLite in id order, so the table is filled in sequence and the index at random places, as in a
/// database that has grown. Without a journal, because a half-made file is thrown away.
///
/// # Errors
/// [`GenerateError`]; the half-made file is the caller's to remove.
pub fn generate(
    dataset: &Dataset,
    path: &Path,
    interrupted: &Arc<AtomicBool>,
    progress: &mut dyn FnMut(u64),
) -> Result<Manifest, GenerateError> {
    let fail = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::OperationInterrupted) => GenerateError::Interrupted,
        _ => GenerateError::Sqlite { path: path.display().to_string(), source },
    };
    let mut connection = Connection::open(path).map_err(fail)?;
    sqlite::stop_when(&mut connection, interrupted).map_err(fail)?;
    let (digest, downloads) = fill(dataset, &connection, progress).map_err(fail)?;
    connection.close().map_err(|(_, source)| fail(source))?;
    let bytes = path.metadata().map_or(0, |metadata| metadata.len());
    Ok(Manifest { format: FORMAT, dataset: *dataset, bytes, digest, downloads })
}

fn fill(dataset: &Dataset, connection: &Connection, progress: &mut dyn FnMut(u64)) -> rusqlite::Result<(Digest, i64)> {
    connection.pragma_update(None, "page_size", dataset.page_size_bytes)?;
    connection.pragma_update(None, "journal_mode", "off")?;
    connection.pragma_update(None, "synchronous", "off")?;
    // Large enough for the whole index of a dataset of this way of generating.
    connection.pragma_update(None, "cache_size", -500_000)?;
    connection.execute_batch("BEGIN")?;
    for table in SCHEMA {
        connection.execute_batch(table)?;
    }
    let torrents = dataset.torrents();
    let mut filler = Filler { connection, digest: Digest::default() };
    for number in 1..=dataset.whitelist_rows() {
        filler.insert(
            Part::Whitelist,
            "INSERT INTO whitelist VALUES (?1, ?2)",
            params![number.cast_signed(), torrents.other_hash(number).as_str()],
        )?;
    }
    for number in 1..=KEYS {
        let (key, valid_until) = dataset.key(number);
        filler.insert(
            Part::Keys,
            "INSERT INTO keys VALUES (?1, ?2, ?3)",
            params![number.cast_signed(), key, valid_until],
        )?;
    }
    let mut downloads = 0;
    for id in 1..=dataset.rows {
        let completed = torrents.completed(id);
        downloads += completed;
        let info_hash = torrents.info_hash(Torrent::Known(id));
        let values = params![id.cast_signed(), info_hash.as_str(), completed];
        filler.insert(Part::Torrents, "INSERT INTO torrents VALUES (?1, ?2, ?3)", values)?;
        if id % 8_192 == 0 {
            progress(id);
        }
    }
    let values = params![1, DOWNLOADS_TOTAL, downloads];
    filler.insert(Part::Aggregate, "INSERT INTO torrent_aggregate_metrics VALUES (?1, ?2, ?3)", values)?;
    let sequences = [
        ("whitelist", dataset.whitelist_rows()),
        ("keys", KEYS),
        ("torrents", dataset.rows),
        ("torrent_aggregate_metrics", 1),
    ];
    for (table, last) in sequences {
        filler.digest += digest::sequence(table, last.cast_signed());
    }
    connection.execute_batch("COMMIT")?;
    progress(dataset.rows);
    Ok((filler.digest, downloads))
}

/// Inserts rows and adds up their hashes.
struct Filler<'c> {
    connection: &'c Connection,
    digest: Digest,
}

impl Filler<'_> {
    fn insert(&mut self, part: Part, sql: &str, values: &[&dyn ToSql]) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute(values)?;
        let values = values.iter().map(ToSql::to_sql).collect::<rusqlite::Result<Vec<_>>>()?;
        let values = values.iter().map(|value| match value {
            ToSqlOutput::Borrowed(value) => *value,
            ToSqlOutput::Owned(value) => value.into(),
            _ => ValueRef::Null,
        });
        self.digest += digest::row(part, values);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_gets_the_demo_s_whitelist() {
        let dataset = Dataset { rows: DEMO_TORRENTS, seed: 1, page_size_bytes: 4096 };
        assert_eq!(dataset.whitelist_rows(), DEMO_WHITELIST);
        assert_eq!(Dataset { rows: 10, ..dataset }.whitelist_rows(), 1);
    }

    #[test]
    fn a_generated_file_is_sound_and_has_the_tracker_s_shape() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dataset.db");
        let dataset = Dataset { rows: 5_000, seed: 310, page_size_bytes: 1024 };
        let manifest = generate(&dataset, &path, &Arc::default(), &mut |_| ()).unwrap();
        let connection = Connection::open(&path).unwrap();
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(sqlite::pragma_text(&connection, "integrity_check").unwrap(), "ok");
        assert_eq!(number("SELECT count(*) FROM torrents"), 5_000);
        assert_eq!(number("SELECT count(*) FROM keys"), 10);
        assert_eq!(number("SELECT sum(completed) FROM torrents"), manifest.downloads);
        assert_eq!(number("SELECT value FROM torrent_aggregate_metrics"), manifest.downloads);
        assert_eq!(number("SELECT seq FROM sqlite_sequence WHERE name = 'torrents'"), 5_000);
        assert_eq!(number("PRAGMA page_size"), 1024);
    }

    #[test]
    fn an_interrupt_ends_the_generation() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset { rows: 100_000, seed: 310, page_size_bytes: 4096 };
        let result = generate(&dataset, &folder.path().join("x.db"), &Arc::new(true.into()), &mut |_| ());
        assert!(matches!(result, Err(GenerateError::Interrupted)), "{result:?}");
    }
}

//! The same rows inserted through SQLite: the reference that generated files are compared with.
//!
//! Minutes where [`super::generate()`] takes seconds, and nothing of a run depends on it. What SQLite makes of the inserts
//! (its pages, its schema table, its header) is what a generated file has to be taken for.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
};

use rusqlite::{
    Connection, ToSql, params,
    types::{ToSqlOutput, ValueRef},
};

use super::{DOWNLOADS_TOTAL, Dataset, GenerateError, KEYS, Manifest, SCHEMA, SchemaRow, content::Sum};
use crate::{
    digest::{self, Part},
    pages::header::Header,
    sqlite,
};

/// Writes the dataset to `path`, which must not exist, and returns what is known of it. `progress` is told the number of
/// rows done, every few thousand.
///
/// Rows go in through SQLite in id order, so the table is filled in sequence and the index at random places, as in a
/// database that has grown. Without a journal, because a half-made file is thrown away.
///
/// # Errors
/// [`GenerateError`]; the half-made file is the caller's to remove.
pub fn insert(
    dataset: &Dataset,
    path: &Path,
    interrupted: &Arc<AtomicBool>,
    progress: &mut dyn FnMut(u64),
) -> Result<Manifest, GenerateError> {
    let fail = |source: rusqlite::Error| match source.sqlite_error_code() {
        Some(rusqlite::ErrorCode::OperationInterrupted) => GenerateError::Interrupted,
        _ => GenerateError::Sqlite { path: path.to_owned(), source },
    };
    let mut connection = Connection::open(path).map_err(fail)?;
    sqlite::stop_when(&mut connection, interrupted).map_err(fail)?;
    let sum = fill(dataset, &connection, progress).map_err(fail)?;
    let schema = SchemaRow::read_all(&connection).map_err(fail)?;
    connection.close().map_err(|(_, source)| fail(source))?;
    let read = |source| GenerateError::Io { path: path.to_owned(), source };
    let (bytes, header) = (path.metadata().map_err(read)?.len(), Header::read(path).map_err(read)?);
    Ok(Manifest::generated(dataset, bytes, sum, schema, header))
}

fn fill(dataset: &Dataset, connection: &Connection, progress: &mut dyn FnMut(u64)) -> rusqlite::Result<Sum> {
    connection.pragma_update(None, "page_size", dataset.page_size_bytes)?;
    connection.pragma_update(None, "journal_mode", "off")?;
    connection.pragma_update(None, "synchronous", "off")?;
    // Large enough for the whole index of a dataset of this way of generating.
    connection.pragma_update(None, "cache_size", -500_000)?;
    connection.execute_batch("BEGIN")?;
    for table in SCHEMA {
        connection.execute_batch(table)?;
    }
    let (torrents, whitelist) = (dataset.seeded(), dataset.whitelist());
    let mut filler = Filler { connection, sum: Sum::default() };
    for number in 1..=dataset.whitelist_rows() {
        filler.insert(
            Part::Whitelist,
            "INSERT INTO whitelist VALUES (?1, ?2)",
            params![number.cast_signed(), whitelist.info_hash(number).as_str()],
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
    for id in 1..=dataset.rows {
        let completed = torrents.completed(id);
        let info_hash = torrents.info_hash(id);
        let values = params![id.cast_signed(), info_hash.as_str(), completed];
        filler.insert(Part::Torrents, "INSERT INTO torrents VALUES (?1, ?2, ?3)", values)?;
        // The row itself is counted already.
        let digest = digest::torrent(id.cast_signed(), info_hash.as_bytes(), completed);
        filler.sum.downloads += completed;
        filler.sum.zeros += Sum::of_torrent(digest, completed).zeros;
        if id % 8_192 == 0 {
            progress(id);
        }
    }
    let downloads = filler.sum.downloads;
    let values = params![1, DOWNLOADS_TOTAL, downloads];
    filler.insert(Part::Aggregate, "INSERT INTO torrent_aggregate_metrics VALUES (?1, ?2, ?3)", values)?;
    for (table, last) in dataset.sequences() {
        filler.sum.digest += digest::sequence(table, last.cast_signed());
    }
    connection.execute_batch("COMMIT")?;
    progress(dataset.rows);
    Ok(filler.sum)
}

/// Inserts rows and adds up their hashes.
struct Filler<'c> {
    connection: &'c Connection,
    sum: Sum,
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
        let digest = digest::row(part, values);
        self.sum += Sum::of_other(digest);
        Ok(())
    }
}

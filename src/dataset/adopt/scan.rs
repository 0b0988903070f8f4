//! Reads every row of an adopted copy once: its digest, whether each index holds what its table holds, and the sample.
//!
//! Several threads take ranges of ids, and ranges of texts for the index, off one list. The answer does not depend on
//! which thread takes which: sums have no order, and neither has the sample.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use rusqlite::{Connection, OpenFlags, params, types::ValueRef};

use super::{ReadError, open, refuse, shape::Table};
use crate::{
    dataset::{Aggregate, DOWNLOADS_TOTAL},
    digest::{self, Digest, Part},
    torrents::{InfoHash, Sample, Sampled, Sampler},
};

/// Rows that are sampled at most: 40 MB in memory.
const SAMPLE_ROWS_MAX: usize = 1_000_000;

/// Ranges that each tree is cut into; the hexadecimal digits of the first two bytes of a text give as many.
const RANGES: i64 = 256;

/// What the rows say.
#[derive(Debug)]
pub struct ScanResult {
    pub rows: u64,
    pub digest: Digest,
    /// Of the torrents whose count is zero.
    pub zeros: Digest,
    pub sequence: i64,
    pub aggregate: Option<Aggregate>,
    pub sample: Sample,
}

/// What some ranges add up to.
struct Sums {
    rows: u64,
    digest: Digest,
    zeros: Digest,
    /// Of the entries that the indexes must have, and of those that they have.
    expected: Digest,
    found: Digest,
    sampler: Sampler,
}

/// A part of the reading.
#[derive(Debug, Clone, Copy)]
enum Task {
    /// The rows with ids from the first up to, but without, the second.
    Rows(Table, i64, Option<i64>),
    /// The index entries with texts in the range of this number.
    Entries(Table, i64),
}

pub fn scan(copy: &Path, tables: &[Table], interrupted: &Arc<AtomicBool>) -> Result<ScanResult, ReadError> {
    let connection = open(copy, OpenFlags::SQLITE_OPEN_READ_ONLY, interrupted)?;
    let (sequence, of_sequence) = read_sequence(&connection)?;
    let tasks = tasks(&connection, tables)?;
    let next = AtomicUsize::new(0);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut all = Sums::new();
    thread::scope(|scope| {
        let work = || work(copy, &tasks, &next, interrupted);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        for worker in workers {
            all.add(worker.join().unwrap_or_else(|_| refuse("reading it panicked"))?);
        }
        Ok::<_, ReadError>(())
    })?;
    if all.expected != all.found {
        return refuse(
            "a copy of it has an index that does not hold what its table holds; was a tracker writing to it?",
        );
    }
    let Some(sample) = all.sampler.finish() else { return refuse("its table torrents is empty") };
    let largest: i64 = connection.query_row("SELECT ifnull(max(id), 0) FROM torrents", [], |row| row.get(0))?;
    let sequence = match sequence {
        Some(sequence) if sequence >= largest => sequence,
        _ => return refuse("its sqlite_sequence does not know the largest id of torrents"),
    };
    let has_total = tables.iter().any(|table| table.part == Part::Aggregate);
    let aggregate = if has_total { read_aggregate(&connection)? } else { None };
    Ok(ScanResult { rows: all.rows, digest: all.digest + of_sequence, zeros: all.zeros, sequence, aggregate, sample })
}

/// What `sqlite_sequence` says of `torrents`, and the digest of all of it.
fn read_sequence(connection: &Connection) -> Result<(Option<i64>, Digest), ReadError> {
    let mut of_torrents = None;
    let mut digest = Digest::default();
    let mut statement = connection.prepare("SELECT name, seq FROM sqlite_sequence")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (name, value) = (row.get_ref(0)?, row.get_ref(1)?);
        digest += digest::row(Part::Sequence, [name, value]);
        if name == ValueRef::Text(b"torrents") {
            let ValueRef::Integer(value) = value else {
                return refuse("its sqlite_sequence holds something else than a number");
            };
            if of_torrents.replace(value).is_some() {
                return refuse("its sqlite_sequence has torrents twice");
            }
        }
    }
    Ok((of_torrents, digest))
}

fn read_aggregate(connection: &Connection) -> Result<Option<Aggregate>, ReadError> {
    let sql = "SELECT id, value FROM torrent_aggregate_metrics WHERE metric_name = ?1";
    let mut statement = connection.prepare(sql)?;
    let mut rows = statement.query([DOWNLOADS_TOTAL])?;
    Ok(match rows.next()? {
        Some(row) => Some(Aggregate { id: row.get(0)?, value: row.get(1)? }),
        None => None,
    })
}

fn tasks(connection: &Connection, tables: &[Table]) -> Result<Vec<Task>, ReadError> {
    let mut tasks = Vec::new();
    for table in tables {
        let sql = format!("SELECT ifnull(max(id), 0) FROM {}", table.name);
        let largest: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
        let step = (largest / RANGES).max(10_000);
        let mut from = i64::MIN;
        let mut to = step;
        while to < largest {
            tasks.push(Task::Rows(*table, from, Some(to)));
            (from, to) = (to, to.saturating_add(step));
        }
        tasks.push(Task::Rows(*table, from, None));
        tasks.extend((0..RANGES).map(|range| Task::Entries(*table, range)));
    }
    Ok(tasks)
}

fn work(copy: &Path, tasks: &[Task], next: &AtomicUsize, interrupted: &Arc<AtomicBool>) -> Result<Sums, ReadError> {
    let connection = open(copy, OpenFlags::SQLITE_OPEN_READ_ONLY, interrupted)?;
    let mut sums = Sums::new();
    while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
        match task {
            Task::Rows(table, from, to) => sums.read_rows(&connection, table, *from, *to)?,
            Task::Entries(table, range) => sums.read_entries(&connection, table, *range)?,
        }
    }
    Ok(sums)
}

impl Sums {
    fn new() -> Self {
        let none = Digest::default();
        Self { rows: 0, digest: none, zeros: none, expected: none, found: none, sampler: Sampler::new(SAMPLE_ROWS_MAX) }
    }

    fn add(&mut self, other: Self) {
        self.rows += other.rows;
        self.digest += other.digest;
        self.zeros += other.zeros;
        self.expected += other.expected;
        self.found += other.found;
        self.sampler.merge(other.sampler);
    }

    fn read_rows(
        &mut self,
        connection: &Connection,
        table: &Table,
        from: i64,
        to: Option<i64>,
    ) -> Result<(), ReadError> {
        let Table { name, text, .. } = table;
        let number = table.number.map(|number| format!(", {number}")).unwrap_or_default();
        let below = if to.is_some() { "AND id < ?2" } else { "AND ?2 IS NULL" };
        let sql = format!("SELECT id, {text}{number} FROM {name} NOT INDEXED WHERE id >= ?1 {below}");
        let mut statement = connection.prepare_cached(&sql)?;
        let columns = statement.column_count();
        let mut rows = statement.query(params![from, to])?;
        while let Some(row) = rows.next()? {
            let (id, text) = (row.get_ref(0)?, row.get_ref(1)?);
            let digest = digest::row(table.part, (0..columns).map(|column| row.get_ref_unwrap(column)));
            self.digest += digest;
            if table.part == Part::Torrents && row.get_ref(2)? == ValueRef::Integer(0) {
                self.zeros += digest;
            }
            self.expected += digest::row(Part::IndexEntry, [text, id]);
            match (table.part, text) {
                (Part::Torrents, _) => self.sample(id, text, row.get_ref(2)?)?,
                (_, ValueRef::Text(_)) => {}
                _ => return refuse(format!("its table {name} has a {} that is no text", table.text)),
            }
        }
        Ok(())
    }

    fn sample(&mut self, id: ValueRef<'_>, text: ValueRef<'_>, completed: ValueRef<'_>) -> Result<(), ReadError> {
        self.rows += 1;
        let (ValueRef::Integer(id), ValueRef::Integer(completed)) = (id, completed) else {
            return refuse("its table torrents has a count that is no whole number");
        };
        let info_hash = match text {
            ValueRef::Text(text) => InfoHash::to_bytes(text),
            _ => None,
        };
        let Some(info_hash) = info_hash else {
            return refuse(format!(
                "the torrent with id {id} has an info_hash that is not 40 lower-case hexadecimal digits"
            ));
        };
        self.sampler.offer(Sampled { id, completed, info_hash });
        Ok(())
    }

    fn read_entries(&mut self, connection: &Connection, table: &Table, range: i64) -> Result<(), ReadError> {
        let Table { name, text, .. } = table;
        // The first range begins with the least text, and the last one ends with the largest.
        let from = if range == 0 { String::new() } else { format!("{range:02x}") };
        let to = (range + 1 < RANGES).then(|| format!("{:02x}", range + 1));
        let below = if to.is_some() { format!("AND {text} < ?2") } else { "AND ?2 IS NULL".to_owned() };
        let index = format!("sqlite_autoindex_{name}_1");
        let sql = format!("SELECT {text}, id FROM {name} INDEXED BY {index} WHERE {text} >= ?1 {below}");
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params![from, to])?;
        while let Some(row) = rows.next()? {
            self.found += digest::row(Part::IndexEntry, [row.get_ref(0)?, row.get_ref(1)?]);
        }
        Ok(())
    }
}

//! The tracker-shaped database that a trial starts from, S(0).
//!
//! A [`Dataset`] is a pure description (rows, seed, page size): every value of every row follows from it, so that the
//! ledger can replay commits without reading the file. [`generate()`] makes the file, page by page, and knows its digest
//! when it is done; [`inserted`] makes one of the same rows through SQLite; [`adopt`] takes a copy of somebody's own. [`cache`]
//! keeps what was generated or adopted.
//!
//! Not here: what happens to the rows later ([`crate::workload`], [`crate::history`]).

pub mod adopt;
pub mod cache;
mod content;
mod fingerprint;
mod generate;
pub mod inserted;
mod layout;
mod manifest;
mod size;

use std::{io, path::PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use self::manifest::MANIFEST_BYTES_MOST;
pub use self::{
    generate::{BytesWritten, FileOptions, file_bytes, generate, generate_with, least_bytes, rows_for},
    layout::IndexFill,
    manifest::{Adopted, Aggregate, Manifest, ManifestError, Origin, SchemaRow, Stamp},
    size::{Size, SizeError},
};
use rusqlite::types::ValueRef;

use crate::{
    digest::{self, Digest, Part},
    random::mix,
    torrents::{Seeded, Torrents},
};

/// Version of what a seed means: part of a cached dataset's identity, raised whenever the same seed would give other rows.
pub(crate) const FORMAT: u32 = 2;

/// Rows of a dataset at most: of so many the smallest file takes 1.6 TB, and what is counted once a row stays a matter of minutes.
pub(crate) const ROWS_MOST: u64 = 1 << 34;

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

/// Bytes of the record of a row of `torrents`: four of header, the hash, and one or two of a count of downloads, of which the most
/// frequent has one (SQLite's file format, 2.1).
pub const TORRENT_RECORD_BYTES: u64 = 4 + 40 + 1;

/// Bytes of the record of the row of `torrent_aggregate_metrics`: four of header, the name, and four of a total of more than 8
/// million downloads.
pub const TOTAL_RECORD_BYTES: u64 = 4 + DOWNLOADS_TOTAL.len() as u64 + 4;

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
    /// Of a million rows of `torrents`, how many have a count of zero. Datasets of older versions have none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub zero_share_ppm: u32,
}

/// Whether a number is what older versions, which did not know it, had in its place.
pub(crate) fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

/// Where the database that a trial starts from comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// It is generated from this description.
    Generated(Dataset),
    /// A copy of the tracker database that lies here.
    Adopted(PathBuf),
}

/// Why a dataset could not be made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The file could not be written, or exists.
    #[error("cannot write {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// SQLite failed, the full disk included.
    #[error("cannot write {}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// SQLite's files have at most 2^32 - 2 pages.
    #[error("the rows take more than the 4,294,967,294 pages that a database can have")]
    TooLarge,
    /// The caller asked to stop.
    #[error("interrupted while generating the dataset")]
    Interrupted,
}

impl Dataset {
    /// The torrents of this dataset.
    #[must_use]
    pub fn torrents(&self) -> Torrents {
        Torrents::Seeded(self.seeded())
    }

    fn seeded(&self) -> Seeded {
        Seeded::new(self.rows, self.seed).with_zeros(self.zero_share_ppm)
    }

    /// Rows of `whitelist`.
    #[must_use]
    pub(crate) fn whitelist_rows(&self) -> u64 {
        (self.rows.saturating_mul(DEMO_WHITELIST) / DEMO_TORRENTS).max(1)
    }

    /// The info-hashes of `whitelist`, unrelated to those of `torrents`.
    fn whitelist(&self) -> Seeded {
        /// Any number: it keeps them apart from the torrents of the same seed.
        const WHITELIST: u64 = 0x7768_6974;
        Seeded::new(self.whitelist_rows(), mix(self.seed ^ WHITELIST))
    }

    /// The rows of `sqlite_sequence`: the largest id of each table, in the order of the first rows inserted.
    fn sequences(&self) -> [(&'static str, u64); 4] {
        [
            ("whitelist", self.whitelist_rows()),
            ("keys", KEYS),
            ("torrents", self.rows),
            ("torrent_aggregate_metrics", 1),
        ]
    }

    /// The rows of `whitelist` and `keys`: table, id, hash.
    pub(crate) fn small_rows(&self) -> impl Iterator<Item = (Part, i64, Digest)> {
        let whitelist = self.whitelist();
        let row = |part, id: u64, values: &[ValueRef<'_>]| {
            let id = id.cast_signed();
            let all = [ValueRef::Integer(id)].into_iter().chain(values.iter().copied());
            (part, id, digest::row(part, all))
        };
        let keys = (1..=KEYS).map(move |number| {
            let (key, expires) = self.key(number);
            let expires = expires.map_or(ValueRef::Null, ValueRef::Integer);
            row(Part::Keys, number, &[ValueRef::Text(key.as_bytes()), expires])
        });
        let listed = (1..=self.whitelist_rows())
            .map(move |id| row(Part::Whitelist, id, &[ValueRef::Text(whitelist.info_hash(id).as_bytes())]));
        listed.chain(keys)
    }

    /// About how many bytes the file takes, on the generous side.
    #[must_use]
    pub(crate) fn estimated_bytes(&self) -> u64 {
        // Twelve pages are the least: a root for each table and index, and the schema.
        self.rows * BYTES_PER_ROW + 12 * u64::from(self.page_size_bytes)
    }

    /// The `number`-th key (from 1): 32 alphanumeric characters and when it expires, in seconds since 1970; every fifth
    /// never does.
    fn key(&self, number: u64) -> (String, Option<i64>) {
        let hash = self.seeded().other_hash(1 << 40 | number);
        let expires = i64::try_from(1_800_000_000 + mix(self.seed ^ number) % 31_536_000).ok();
        (hash.as_str()[..32].to_owned(), expires.filter(|_| !number.is_multiple_of(5)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rusqlite::Connection;

    use super::*;
    use crate::sqlite;

    #[test]
    fn the_demo_gets_the_demo_s_whitelist() {
        let dataset = Dataset { rows: DEMO_TORRENTS, seed: 1, page_size_bytes: 4096, zero_share_ppm: 0 };
        assert_eq!(dataset.whitelist_rows(), DEMO_WHITELIST);
        assert_eq!(Dataset { rows: 10, ..dataset }.whitelist_rows(), 1);
    }

    #[test]
    fn a_generated_file_is_sound_and_has_the_tracker_s_shape() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("dataset.db");
        let dataset = Dataset { rows: 5_000, seed: 310, page_size_bytes: 1024, zero_share_ppm: 0 };
        let manifest = generate(&dataset, &path, &Arc::default(), &mut |_| ()).unwrap();
        let connection = Connection::open(&path).unwrap();
        let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(sqlite::pragma_text(&connection, "integrity_check").unwrap(), "ok");
        assert_eq!(number("SELECT count(*) FROM torrents"), 5_000);
        assert_eq!(number("SELECT count(*) FROM keys"), 10);
        let downloads = manifest.aggregate.unwrap().value;
        assert_eq!(number("SELECT sum(completed) FROM torrents"), downloads);
        assert_eq!(number("SELECT value FROM torrent_aggregate_metrics"), downloads);
        assert_eq!(manifest.header.page_size_bytes(), 1024);
        assert_eq!(number("SELECT seq FROM sqlite_sequence WHERE name = 'torrents'"), 5_000);
        assert_eq!(number("PRAGMA page_size"), 1024);
    }

    #[test]
    fn an_interrupt_ends_the_generation() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset { rows: 100_000, seed: 310, page_size_bytes: 4096, zero_share_ppm: 0 };
        let result = generate(&dataset, &folder.path().join("x.db"), &Arc::new(true.into()), &mut |_| ());
        assert!(matches!(result, Err(GenerateError::Interrupted)), "{result:?}");
    }
}

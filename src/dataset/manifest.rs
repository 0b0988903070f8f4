//! What is known of a dataset without reading its file.

use std::path::PathBuf;

use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use super::{Dataset, FORMAT};
use crate::{
    digest::Digest,
    pages::header::Header,
    random::mix,
    torrents::{Sample, Torrents},
};

/// What is known of the database that a trial starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of datasets when it was made.
    pub format: u32,
    /// Where it comes from.
    pub origin: Origin,
    /// Rows of `torrents`.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Sum over all rows of all tables: D(0).
    pub digest: Digest,
    /// What `sqlite_sequence` says of `torrents`: at least its largest id.
    pub sequence: i64,
    /// The total of downloads, where the database keeps one.
    pub aggregate: Option<Aggregate>,
    /// The rows of `sqlite_schema`, in the order of their rowids.
    pub schema: Vec<SchemaRow>,
    /// The file's first bytes.
    pub header: Header,
}

/// Where a dataset comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It was generated from this description.
    Generated(Dataset),
    /// It is a copy of somebody's own database.
    Adopted(Adopted),
}

/// A copy of somebody's own database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adopted {
    /// The files that were copied, the database first.
    pub files: Vec<Stamp>,
    /// The torrents that operations are about.
    pub sample: Sample,
}

/// What tells a file from what it was before: a write to it changes one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Where it is, without symbolic links.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// When it was last modified, in nanoseconds since 1970.
    pub modified_ns: i64,
}

/// The row of `torrent_aggregate_metrics` named [`DOWNLOADS_TOTAL`](super::DOWNLOADS_TOTAL).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aggregate {
    /// Its id.
    pub id: i64,
    /// Its value; in a generated dataset the sum of `completed` over all torrents.
    pub value: i64,
}

impl Manifest {
    /// That of a generated dataset.
    pub(super) fn generated(
        dataset: &Dataset,
        bytes: u64,
        (digest, downloads): (Digest, i64),
        schema: Vec<SchemaRow>,
        header: Header,
    ) -> Self {
        Self {
            format: FORMAT,
            origin: Origin::Generated(*dataset),
            rows: dataset.rows,
            bytes,
            digest,
            sequence: dataset.rows.cast_signed(),
            aggregate: Some(Aggregate { id: 1, value: downloads }),
            schema,
            header,
        }
    }

    /// The torrents that operations are about.
    #[must_use]
    pub fn torrents(&self) -> Torrents {
        /// Any number: it keeps the torrents that the database does not have apart from other uses of its digest.
        const UNSEEN: u64 = 0x6164_6f70;

        match &self.origin {
            Origin::Generated(dataset) => dataset.torrents(),
            // From its content: had the seed been the same for all, the torrents that one run adds to a database would be
            // no news to a run that adopts it.
            Origin::Adopted(adopted) => {
                let seed = mix(UNSEEN ^ self.digest.low_bits());
                Torrents::Sampled { sample: adopted.sample.clone(), seed }
            }
        }
    }
}

/// A row of `sqlite_schema`, without its root page, which VACUUM may change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SchemaRow {
    /// `table`, `index`, `view` or `trigger`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The table that it belongs to; its own name, where it is one.
    #[serde(rename = "tbl_name")]
    pub table: String,
    /// The text that made it; none for the index of a UNIQUE column.
    pub sql: Option<String>,
}

impl SchemaRow {
    /// Those of a database, in the order of their rowids.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn read_all(connection: &Connection) -> rusqlite::Result<Vec<Self>> {
        let mut statement = connection.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid")?;
        let rows = statement.query_map([], |row| {
            Ok(Self { kind: row.get(0)?, name: row.get(1)?, table: row.get(2)?, sql: row.get(3)? })
        })?;
        rows.collect()
    }
}

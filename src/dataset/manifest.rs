//! What is known of a dataset without reading its file.

use std::{
    fmt,
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use rusqlite::Connection;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{Dataset, FORMAT};
use crate::{
    digest::Digest,
    pages::HEADER_BYTES,
    random::mix,
    torrents::{Sample, Torrents},
};

/// What is known of the database that a trial starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`super::FORMAT`] when it was made.
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

/// The database header: the first 100 bytes of a file that no connection has open. In JSON 200 hexadecimal characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header(pub [u8; HEADER_BYTES]);

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

impl Header {
    /// Bytes of a page.
    #[must_use]
    pub fn page_size_bytes(&self) -> u32 {
        match u32::from(u16::from_be_bytes([self.0[16], self.0[17]])) {
            // 65,536 does not fit.
            1 => 65_536,
            bytes => bytes,
        }
    }

    /// That of a file, which this process must not have open through SQLite (`docs/sqlite.md`, 1).
    ///
    /// # Errors
    /// As the operating system says; [`io::ErrorKind::UnexpectedEof`] where the file is shorter.
    pub fn read(path: &Path) -> io::Result<Self> {
        let mut bytes = [0; HEADER_BYTES];
        File::open(path)?.read_exact_at(&mut bytes, 0)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Header {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
        let digits = digits.filter(|digits| digits.len() == 2 * HEADER_BYTES);
        let digits = digits.ok_or_else(|| D::Error::custom("a database header is 200 hexadecimal characters"))?;
        let mut bytes = [0; HEADER_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = u8::try_from(pair[0] << 4 | pair[1]).map_err(D::Error::custom)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_json() {
        let header = Header(std::array::from_fn(|n| u8::try_from(n * 5 % 256).unwrap()));
        let json = serde_json::to_string(&header).unwrap();
        assert_eq!(json.len(), 202);
        assert_eq!(serde_json::from_str::<Header>(&json).unwrap(), header);
        for wrong in ["\"\"", &json.replace('0', "g"), &json.replacen('0', "", 1)] {
            assert!(serde_json::from_str::<Header>(wrong).is_err(), "{wrong}");
        }
    }
}

//! What is known of a dataset without reading its file.

use std::{fmt, fs::File, io, os::unix::fs::FileExt, path::Path};

use rusqlite::Connection;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::Dataset;
use crate::{digest::Digest, pages::HEADER_BYTES};

/// What is known of a generated database without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`super::FORMAT`] when it was made.
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
    /// The rows of `sqlite_schema`, in the order of their rowids.
    pub schema: Vec<SchemaRow>,
    /// The file's first bytes.
    pub header: Header,
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

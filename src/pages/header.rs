//! The first 100 bytes of a database file: the one view of them, and what a new file begins with.
//!
//! Sections 1.3.1 to 1.3.17 of SQLite's "Database File Format" say what each byte means.

use std::{fmt, fs::File, io, os::unix::fs::FileExt, path::Path};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::{put_u16, put_u32, read::get_u32};

/// Bytes of the database header, at the beginning of page 1.
pub(crate) const HEADER_BYTES: usize = 100;

/// What every database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// The database header: the first 100 bytes of a file that no connection has open. In JSON 200 hexadecimal characters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Header(pub [u8; HEADER_BYTES]);

/// What a header says of the journal mode, in its write and read version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileVersion {
    /// One of the rollback modes: which one is each connection's own affair.
    Rollback,
    /// A write-ahead log.
    Wal,
    /// Bytes that SQLite does not write.
    Invalid {
        /// Byte 18.
        write: u8,
        /// Byte 19.
        read: u8,
    },
}

impl Header {
    /// Whether a database begins so.
    #[must_use]
    pub(crate) fn is_database(&self) -> bool {
        self.0.starts_with(MAGIC)
    }

    /// Bytes of a page.
    #[must_use]
    pub fn page_size_bytes(&self) -> u32 {
        match u32::from(u16::from_be_bytes([self.0[16], self.0[17]])) {
            // 65,536 does not fit.
            1 => 65_536,
            bytes => bytes,
        }
    }

    /// What it says of the journal mode.
    #[must_use]
    pub(crate) fn file_version(&self) -> FileVersion {
        match [self.0[18], self.0[19]] {
            [1, 1] => FileVersion::Rollback,
            [2, 2] => FileVersion::Wal,
            [write, read] => FileVersion::Invalid { write, read },
        }
    }

    /// Bytes at the end of each page that are reserved for an extension.
    #[must_use]
    pub(crate) fn reserved_bytes(&self) -> u8 {
        self.0[20]
    }

    /// Pages of the file; `None` where the number was written by a SQLite that did not keep it, so that it does not count.
    #[must_use]
    pub fn pages(&self) -> Option<u32> {
        let pages = get_u32(&self.0, 28);
        (pages > 0 && self.0[24..28] == self.0[92..96]).then_some(pages)
    }

    /// The first page of the freelist, or 0, and the number of pages on it.
    #[must_use]
    pub fn freelist(&self) -> (u32, u32) {
        (get_u32(&self.0, 32), get_u32(&self.0, 36))
    }

    /// Times that the file was changed in a rollback mode; under WAL it need not count.
    #[must_use]
    pub(crate) fn change_counter(&self) -> u32 {
        get_u32(&self.0, 24)
    }

    /// Times that the schema was changed.
    #[must_use]
    pub(crate) fn schema_cookie(&self) -> u32 {
        get_u32(&self.0, 40)
    }

    /// The format of the schema, 1 to 4; 0 in a database without tables.
    #[must_use]
    pub(crate) fn schema_format(&self) -> u32 {
        get_u32(&self.0, 44)
    }

    /// `SQLITE_VERSION_NUMBER` of the library that wrote the file last.
    #[must_use]
    pub(crate) fn sqlite_version_number(&self) -> u32 {
        get_u32(&self.0, 96)
    }

    /// Whether the file has pointer maps.
    #[must_use]
    pub(crate) fn has_auto_vacuum(&self) -> bool {
        get_u32(&self.0, 52) != 0
    }

    /// Whether texts are stored as UTF-8, as they are in a file without any, too.
    #[must_use]
    pub(crate) fn is_utf8(&self) -> bool {
        get_u32(&self.0, 56) <= 1
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

/// The database header's fields that differ from file to file; the others have SQLite's defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewHeader {
    /// A power of two from 512 to 65536.
    pub page_size_bytes: u32,
    /// Pages of the file.
    pub pages: u32,
    /// Times that the schema has changed.
    pub schema_cookie: u32,
    /// `SQLITE_VERSION_NUMBER` of the library that wrote the file last.
    pub sqlite_version: u32,
}

impl NewHeader {
    /// Writes the header to the first 100 bytes of page 1.
    pub fn write(&self, page: &mut [u8]) {
        /// Transactions that have changed the file: one, which made it.
        const CHANGE_COUNTER: u32 = 1;

        page[..16].copy_from_slice(MAGIC);
        // 65,536 does not fit and is stored as 1.
        put_u16(page, 16, if self.page_size_bytes == 65_536 { 1 } else { self.page_size_bytes as usize });
        // Write and read version 1 (a rollback journal); no bytes reserved at the end of a page; three fixed fractions.
        page[18..24].copy_from_slice(&[1, 1, 0, 64, 32, 32]);
        put_u32(page, 24, CHANGE_COUNTER);
        put_u32(page, 28, self.pages);
        // From 32: no freelist, neither first page nor count.
        put_u32(page, 40, self.schema_cookie);
        // Schema format 4: values 0 and 1 without a body, descending indexes.
        put_u32(page, 44, 4);
        // From 48: no suggested cache size, no auto-vacuum. Text encoding 1 is UTF-8.
        put_u32(page, 56, 1);
        // From 60: user version, incremental vacuum, application id, reserved: zero. The number of pages is valid for the
        // change counter that stands beside it.
        put_u32(page, 92, CHANGE_COUNTER);
        put_u32(page, 96, self.sqlite_version);
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

    #[test]
    fn what_a_new_file_begins_with_is_read_back() {
        for page_size_bytes in [512, 4096, 65_536] {
            let mut bytes = [0; HEADER_BYTES];
            NewHeader { page_size_bytes, pages: 77, schema_cookie: 4, sqlite_version: 3_054_001 }.write(&mut bytes);
            let header = Header(bytes);
            assert!(header.is_database() && header.is_utf8() && !header.has_auto_vacuum());
            assert_eq!((header.page_size_bytes(), header.pages()), (page_size_bytes, Some(77)));
            assert_eq!((header.file_version(), header.reserved_bytes()), (FileVersion::Rollback, 0));
            assert_eq!(header.freelist(), (0, 0));
        }
    }

    #[test]
    fn bytes_that_change_a_meaning_by_table() {
        let mut bytes = [0; HEADER_BYTES];
        NewHeader { page_size_bytes: 4096, pages: 77, schema_cookie: 4, sqlite_version: 1 }.write(&mut bytes);
        let with = |at: usize, byte: u8| {
            let mut changed = bytes;
            changed[at] = byte;
            Header(changed)
        };
        assert!(!with(3, b'x').is_database());
        assert_eq!(with(18, 3).file_version(), FileVersion::Invalid { write: 3, read: 1 });
        let mut wal = bytes;
        wal[18..20].fill(2);
        assert_eq!(Header(wal).file_version(), FileVersion::Wal);
        assert_eq!(with(27, 9).pages(), None, "the change counters differ");
        assert_eq!(with(31, 0).pages(), None, "no number");
        assert!(with(55, 1).has_auto_vacuum() && !with(59, 2).is_utf8());
        assert_eq!(with(20, 8).reserved_bytes(), 8);
    }
}

//! The manifest of a copy: a small file in JSON beside it, `COPY.manifest.json`, that is written once the copy was verified and
//! stands under its name.
//!
//! A copy without one is not verified, whatever else is known of it. A manifest says nothing of a file that is not as long as it
//! says, or was modified at another time: that is somebody else's by now.

use std::{
    fmt::Write as _,
    fs::Metadata,
    io,
    os::unix::{
        ffi::{OsStrExt, OsStringExt},
        fs::MetadataExt,
    },
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Sha256Sum, VerifiedBy};
use crate::{
    digest::Digest,
    pages::header::{FileVersion, Header},
    results::write_atomically,
    snapshot::Strategy,
    work,
};

/// The format of manifests that this program writes and reads.
const FORMAT: u32 = 1;

/// The most that is read of a manifest.
const MANIFEST_BYTES_MOST: u64 = 64 << 10;

/// What its name ends with, behind the whole name of the copy.
const SUFFIX: &str = ".manifest.json";

/// What is known of a verified copy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The format of the manifest: 1.
    pub format: u32,
    /// Size of the file, in bytes, as it lies there.
    pub bytes: u64,
    /// When the file was last modified, in nanoseconds since 1970.
    pub modified_ns: i64,
    /// Of the file as it lies there, for `sha256sum`.
    pub sha256: Sha256Sum,
    /// How the file is compressed, if it is.
    pub compression: Option<Compression>,
    /// Size of the database, in bytes; that of the file where that is not compressed.
    pub uncompressed_bytes: u64,
    /// The oracle's digest of all rows of a tracker's database; none of any other.
    pub content_digest: Option<Digest>,
    /// What the header of the database says.
    pub header: HeaderFacts,
    /// When the copy got its name.
    pub made_at: Timestamp,
    /// The database that it is a copy of.
    pub live: LivePath,
    /// How it was copied.
    pub strategy: Strategy,
    /// The version of this program.
    pub journalbench_version: String,
    /// How it was verified.
    pub verified: Verified,
}

/// How the file of a copy is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// Zstandard.
    Zstd,
}

/// What the header of a database file says, of what tells two copies apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderFacts {
    /// Bytes of a page.
    pub page_size_bytes: u32,
    /// Pages of the file; none where a SQLite wrote it that did not keep the number.
    pub pages: Option<u32>,
    /// Times that the file was changed in a rollback mode; under WAL it need not count.
    pub change_counter: u32,
    /// Times that the schema was changed.
    pub schema_cookie: u32,
    /// `wal`, or `rollback` for the other journal modes.
    pub journal_mode: FileMode,
    /// `SQLITE_VERSION_NUMBER` of the library that wrote the file last.
    pub sqlite_version_number: u32,
}

/// The journal mode that is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FileMode {
    /// Any of the modes with a rollback journal.
    Rollback,
    /// A write-ahead log.
    Wal,
    /// Bytes that SQLite does not write.
    Invalid,
}

/// The path of a live database: text, or its bytes in hexadecimal where it is no UTF-8.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LivePath {
    /// The path.
    Path(String),
    /// The bytes of a path that is no UTF-8.
    PathHex(String),
}

/// How a copy was verified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verified {
    /// By what.
    pub by: VerifiedBy,
    /// When it was found sound.
    pub at: Timestamp,
    /// How long that took, in seconds.
    pub duration_s: f64,
}

/// Why there is no manifest to be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The manifest.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It is none, or one of another format.
    #[error("{} is no manifest of a copy that this version reads: {why}", path.display())]
    Format {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl From<&Path> for LivePath {
    fn from(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => Self::Path(text.to_owned()),
            None => Self::PathHex(path.as_os_str().as_bytes().iter().fold(String::new(), |mut hex, byte| {
                // Writing to a String does not fail.
                let _ = write!(hex, "{byte:02x}");
                hex
            })),
        }
    }
}

impl HeaderFacts {
    /// Those of a header.
    #[must_use]
    pub fn of(header: &Header) -> Self {
        Self {
            page_size_bytes: header.page_size_bytes(),
            pages: header.pages(),
            change_counter: header.change_counter(),
            schema_cookie: header.schema_cookie(),
            journal_mode: match header.file_version() {
                FileVersion::Rollback => FileMode::Rollback,
                FileVersion::Wal => FileMode::Wal,
                FileVersion::Invalid { .. } => FileMode::Invalid,
            },
            sqlite_version_number: header.sqlite_version_number(),
        }
    }
}

/// Where the manifest of a copy is.
#[must_use]
pub fn manifest_path(copy: &Path) -> PathBuf {
    let mut name = copy.as_os_str().to_owned();
    name.push(SUFFIX);
    PathBuf::from(name)
}

impl Manifest {
    /// The number of the format.
    pub const FORMAT: u32 = FORMAT;

    /// The copy that a file of this name is the manifest of; none where it is no such name.
    #[must_use]
    pub fn copy_of(manifest: &Path) -> Option<PathBuf> {
        let name = manifest.file_name()?.as_bytes().strip_suffix(SUFFIX.as_bytes())?;
        let name = (!name.is_empty()).then(|| std::ffi::OsString::from_vec(name.to_vec()))?;
        Some(manifest.with_file_name(name))
    }

    /// Reads a manifest; `None` where there is none.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn read(path: &Path) -> Result<Option<Self>, ManifestError> {
        let bytes = match work::read_regular(path, MANIFEST_BYTES_MOST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ManifestError::Io { path: path.to_owned(), source }),
            Ok(bytes) => bytes,
        };
        let wrong = |why: String| ManifestError::Format { path: path.to_owned(), why };
        let manifest: Self = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
        if manifest.format == FORMAT {
            Ok(Some(manifest))
        } else {
            Err(wrong(format!("its format is {}, expected {FORMAT}", manifest.format)))
        }
    }

    /// Writes it whole and synced, or not at all.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        write_atomically(path, &json)
    }

    /// Whether a file is the one that the manifest speaks of, as far as its size and time of modification tell.
    #[must_use]
    pub fn is_of(&self, copy: &Path) -> bool {
        let is_it = |metadata: Metadata| {
            metadata.is_file() && (metadata.len(), modified_ns(&metadata)) == (self.bytes, self.modified_ns)
        };
        copy.symlink_metadata().is_ok_and(is_it)
    }
}

/// When a file was last modified, in nanoseconds since 1970.
pub(crate) fn modified_ns(metadata: &Metadata) -> i64 {
    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
}

//! What is done with each snapshot once it was taken.

use std::{ffi::OsString, fmt, path::Path};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The steps after each snapshot of a trial, all of them on copies.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepsPlan {
    /// In this order.
    pub steps: Vec<Step>,
    /// Whether they are done at once, while the load runs, in the snapshot's phase; otherwise after the load has ended.
    pub during_load: bool,
    /// Which backups are kept; all of them without the step [`Step::Retention`].
    pub retention: Option<Retention>,
}

/// Which backups are kept when another one was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Retention {
    /// So many, the last ones.
    Last(u32),
    /// Those that are younger than so many days.
    Days(f64),
}

/// Something that is done with a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// `PRAGMA quick_check`.
    QuickCheck,
    /// `PRAGMA integrity_check`.
    IntegrityCheck,
    /// Compression by the program `gzip`, at its default level.
    Gzip,
    /// Compression by the program `zstd`, at its default level.
    Zstd,
    /// A restore: decompression, where it was compressed in an earlier step, the queries of a tracker's start, one write.
    RestoreDrill,
    /// Deletion of older backups.
    Retention,
}

/// A program that compresses files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// `gzip`
    Gzip,
    /// `zstd`
    Zstd,
}

impl Compression {
    /// The program.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// What a file is called that it has compressed.
    #[must_use]
    pub(crate) fn name_of(self, file: &Path) -> OsString {
        let mut name = file.file_name().unwrap_or_default().to_owned();
        name.push(match self {
            Self::Gzip => ".gz",
            Self::Zstd => ".zst",
        });
        name
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::QuickCheck => "quick_check",
            Self::IntegrityCheck => "integrity_check",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::RestoreDrill => "restore_drill",
            Self::Retention => "retention",
        })
    }
}

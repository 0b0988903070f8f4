//! The state in which a trial finds its files and the memory of the operating system.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How each trial gets its copy of the dataset.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DatasetCopy {
    /// Byte by byte, into blocks of its own.
    #[default]
    Plain,
    /// By sharing blocks with the dataset until they are written to. Quick, but the file system's copying on write is then a
    /// part of what is measured.
    Reflink,
}

/// State of the operating system's page cache when a trial begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PageCache {
    /// The database was read once.
    #[default]
    Warm,
    /// The database was dropped from memory.
    Cold,
}

impl fmt::Display for PageCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
        })
    }
}

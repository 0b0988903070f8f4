//! What syncs cover of a copy that is said to be done.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::oracle::Verdict;

/// A copy of a database that nobody writes to, at the instant at which its strategy said that it is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CopyDurability {
    /// What the copy is, as long as the power stays.
    pub verdict: Verdict,
    /// Its files.
    pub files: Vec<FileDurability>,
}

/// A file of a copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileDurability {
    /// Its name.
    pub name: String,
    /// Whether a sync covers all that was written to it.
    pub content_synced: bool,
    /// Whether a sync of its folder covers its name.
    pub name_synced: bool,
    /// Whether a sync covers its name where any sync makes earlier changes of names durable, as on ext4 and XFS.
    pub name_synced_where_journaled: bool,
}

impl CopyDurability {
    /// Whether all of it is there under its name after a power loss, whatever the file system.
    #[must_use]
    pub fn survives(&self) -> bool {
        !self.files.is_empty() && self.files.iter().all(|file| file.content_synced && file.name_synced)
    }

    /// Whether it is on a file system with one journal for all names.
    #[must_use]
    pub fn survives_where_journaled(&self) -> bool {
        let is_covered = |file: &FileDurability| file.content_synced && file.name_synced_where_journaled;
        !self.files.is_empty() && self.files.iter().all(is_covered)
    }
}

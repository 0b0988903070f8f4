//! What a database, the files beside it and its copies take of the disk, over time.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The files beside the database in a point of the series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FilesBeside {
    /// Size of the rollback journal: the largest that one of the looks, every 20 ms, saw. One that was deleted has none.
    pub journal_bytes_max: u64,
    /// Bytes of the WAL that were written since it was last begun at its front: the most that one of the looks saw.
    pub wal_used_bytes_max: u64,
    /// Size of the shared memory's file: the largest that one of the looks saw.
    pub shm_bytes_max: u64,
    /// What everything takes of the disk at the end of a second: the database, the files beside it, and all copies; the most of
    /// several seconds.
    pub disk_bytes: u64,
}

/// The most that the files of a trial took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiskUse {
    /// Files that the database consisted of, itself among them: the most at one look.
    pub files_max: u64,
    /// Largest size of the rollback journal that was seen.
    pub journal_bytes_max: u64,
    /// Most of the WAL that was seen in use.
    pub wal_used_bytes_max: u64,
    /// Largest size of the shared memory's file that was seen.
    pub shm_bytes_max: u64,
    /// The most that everything took together, by a look each second and one at the end of each copy: the database, the files
    /// beside it, and all copies. The harness's ledger is not in it.
    pub disk_bytes_max: u64,
}

//! Whether a sync reaches a disk, as far as it can be seen from a program.
//!
//! No program can see what a disk, or the host of a virtual one, does with what it was told to write: a sync that takes its time
//! and comes from a disk's file system is believed. What can be seen is where it does nothing.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Latencies;

/// No disk confirms a write in less than this: the call did not reach one. In microseconds.
const FSYNC_US_LEAST: u64 = 5;

/// What a sync reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SyncEffect {
    /// A disk, as far as can be seen: what the host of a virtual disk keeps in its memory cannot be.
    ReachesADisk,
    /// Nothing: the files are in memory (tmpfs, ramfs), and are lost with it.
    InMemory,
    /// A disk that may keep it in its cache: the file system is mounted without barriers, so a power cut may lose or
    /// reorder what was synced.
    NoBarriers,
    /// Nothing: its median is shorter than a disk can be.
    TooFast,
    /// It cannot be told: there were too few syncs, or the files are on another machine or another program's.
    Unknown,
}

impl SyncEffect {
    /// What the type and the options of a file system, and the times of its fsync, tell.
    pub(super) fn of(file_system: &str, mount_options: &str, fsync: Option<Latencies>) -> Self {
        let median_us = fsync.and_then(|fsync| fsync.p50_us);
        if is_in_memory(file_system) {
            Self::InMemory
        } else if median_us.is_some_and(is_no_sync) {
            Self::TooFast
        } else if no_barriers(mount_options).is_some() {
            Self::NoBarriers
        } else if median_us.is_none() || file_system.is_empty() || is_remote(file_system) {
            Self::Unknown
        } else {
            Self::ReachesADisk
        }
    }
}

/// As the end of a sentence that begins with a sync.
impl fmt::Display for SyncEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ReachesADisk => "reaches a disk, as far as can be seen from here",
            Self::InMemory => "does nothing: the files are in memory",
            Self::NoBarriers => "may end in the cache of the disk: the file system is mounted without barriers",
            Self::TooFast => "does nothing: it takes less time than any disk needs",
            Self::Unknown => "reaches nobody knows what",
        })
    }
}

/// Whether a median fsync of so many microseconds has reached no disk.
pub(crate) fn is_no_sync(fsync_us: u64) -> bool {
    fsync_us < FSYNC_US_LEAST
}

/// Whether the files of a type of file system lie in memory.
pub(crate) fn is_in_memory(file_system: &str) -> bool {
    matches!(file_system, "tmpfs" | "ramfs")
}

/// Whether the files of a type of file system lie on another machine, or are served by a program.
pub(crate) fn is_remote(file_system: &str) -> bool {
    let types = [
        "9p", "afs", "beegfs", "ceph", "cifs", "fuse", "gfs2", "lustre", "nfs", "ocfs2", "smb3", "smbfs", "virtiofs",
        "vboxsf",
    ];
    // As in nfs4 and fuse.sshfs; fuseblk is a disk.
    let name = file_system.split('.').next().unwrap_or_default();
    types.contains(&name) || name == "nfs4"
}

/// The mount option that says that a sync need not reach the disk.
pub(crate) fn no_barriers(mount_options: &str) -> Option<&str> {
    mount_options.split(',').find(|option| matches!(*option, "nobarrier" | "barrier=0" | "barrier=none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sync_reaches_follows_from_the_file_system_and_its_time() {
        let fsync = |p50_us| Some(Latencies { count: 100, p50_us, p90_us: None, p99_us: None, max_us: 900 });
        for (file_system, mount_options, fsync, expected) in [
            ("ext4", "rw,relatime", fsync(Some(100)), SyncEffect::ReachesADisk),
            ("ext4", "rw", fsync(Some(5)), SyncEffect::ReachesADisk),
            ("ext4", "rw", fsync(Some(4)), SyncEffect::TooFast),
            ("ext4", "rw", fsync(Some(0)), SyncEffect::TooFast),
            ("ext4", "rw", fsync(None), SyncEffect::Unknown),
            ("ext4", "rw", None, SyncEffect::Unknown),
            ("ext4", "rw,nobarrier", fsync(Some(100)), SyncEffect::NoBarriers),
            ("ext4", "rw,barrier=0", fsync(Some(4)), SyncEffect::TooFast),
            ("ext4", "rw,barrier=1", fsync(Some(100)), SyncEffect::ReachesADisk),
            ("ext4", "rw,barrier=none", None, SyncEffect::NoBarriers),
            ("tmpfs", "rw", fsync(Some(100)), SyncEffect::InMemory),
            ("ramfs", "rw", None, SyncEffect::InMemory),
            ("nfs4", "rw", fsync(Some(100)), SyncEffect::Unknown),
            ("fuse.sshfs", "rw", fsync(Some(100)), SyncEffect::Unknown),
            ("fuseblk", "rw", fsync(Some(100)), SyncEffect::ReachesADisk),
            ("", "", fsync(Some(100)), SyncEffect::Unknown),
        ] {
            let effect = SyncEffect::of(file_system, mount_options, fsync);
            assert_eq!(effect, expected, "{file_system} {mount_options} {fsync:?}");
        }
    }
}

//! Looks at the files beside the live database, and at what everything in the folder of the trial takes of the disk.
//!
//! Nothing is opened: the main file may not be (`docs/sqlite.md`, 1), and the length of a file says enough.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use super::wal_sampler::WalSample;
use crate::{
    results::{DiskUse, FilesBeside},
    sqlite, work,
};

/// Bytes of the blocks that the operating system counts a file in, whatever its file system's are.
const BLOCK_BYTES: u64 = 512;

/// Looks at the files of one trial, and keeps the most that it saw.
pub struct DiskWatch {
    journal: PathBuf,
    shm: PathBuf,
    folder: PathBuf,
    /// What is the harness's own in it.
    ledger: PathBuf,
    seen: DiskUse,
    /// The last sum of everything, and the second in which it was made.
    disk_bytes: u64,
    summed_s: Option<u64>,
}

impl DiskWatch {
    /// Of a live database in the folder of its trial.
    pub fn new(live: &Path, ledger: &Path) -> Self {
        Self {
            journal: sqlite::side_file(live, "-journal"),
            shm: sqlite::side_file(live, "-shm"),
            folder: live.parent().unwrap_or(Path::new(".")).to_owned(),
            ledger: ledger.to_owned(),
            seen: DiskUse::default(),
            disk_bytes: 0,
            summed_s: None,
        }
    }

    /// Takes one look at the files beside the database, and once a second at everything.
    pub fn look(&mut self, now_s: u64, wal: WalSample) -> FilesBeside {
        if self.summed_s != Some(now_s) {
            self.summed_s = Some(now_s);
            self.sum();
        }
        let (journal, shm) = (size(&self.journal), size(&self.shm));
        let is_there = |bytes: Option<u64>| u64::from(bytes.is_some());
        let has_wal = u64::from(wal.file_bytes > 0);
        let files = 1 + is_there(journal) + is_there(shm) + has_wal;
        let (journal_bytes, shm_bytes) = (journal.unwrap_or(0), shm.unwrap_or(0));
        let seen = &mut self.seen;
        seen.files_max = seen.files_max.max(files);
        seen.journal_bytes_max = seen.journal_bytes_max.max(journal_bytes);
        seen.shm_bytes_max = seen.shm_bytes_max.max(shm_bytes);
        seen.wal_used_bytes_max = seen.wal_used_bytes_max.max(wal.used_bytes);
        FilesBeside {
            journal_bytes_max: journal_bytes,
            wal_used_bytes_max: wal.used_bytes,
            shm_bytes_max: shm_bytes,
            disk_bytes: self.disk_bytes,
        }
    }

    /// Adds up what everything takes now.
    pub fn sum(&mut self) {
        self.disk_bytes = taken_bytes(&self.folder, &self.ledger);
        self.seen.disk_bytes_max = self.seen.disk_bytes_max.max(self.disk_bytes);
    }

    /// The most that was seen.
    pub fn seen(&self) -> DiskUse {
        self.seen
    }
}

fn size(path: &Path) -> Option<u64> {
    path.symlink_metadata().ok().map(|found| found.len())
}

/// What a folder takes of the disk, but for one file in it. What vanishes meanwhile takes nothing.
fn taken_bytes(folder: &Path, except: &Path) -> u64 {
    let of_file = |path: PathBuf| match fs::symlink_metadata(&path) {
        Ok(found) if found.is_dir() => taken_bytes(&path, except),
        Ok(found) if found.is_file() && path != except => found.blocks() * BLOCK_BYTES,
        Ok(_) | Err(_) => 0,
    };
    work::files_in(folder).unwrap_or_default().into_iter().map(of_file).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_beside_and_all_copies_are_added_up() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, blocks: usize| fs::write(path(name), vec![1; blocks * 4096]).unwrap();
        write("live.db", 4);
        write("ledger", 9);
        let mut watch = DiskWatch::new(&path("live.db"), &path("ledger"));
        let sample = |file_bytes, used_bytes| WalSample { file_bytes, used_bytes, ..WalSample::default() };
        let looked = watch.look(0, sample(0, 0));
        assert_eq!((looked.journal_bytes_max, looked.disk_bytes), (0, 4 * 4096));
        assert_eq!(watch.seen().files_max, 1);
        write("live.db-journal", 1);
        fs::create_dir_all(path("snapshots/0")).unwrap();
        write("snapshots/0/snapshot.db", 3);
        let looked = watch.look(0, sample(0, 0));
        assert_eq!((looked.journal_bytes_max, looked.disk_bytes), (4096, 4 * 4096), "summed once a second");
        fs::remove_file(path("live.db-journal")).unwrap();
        write("live.db-shm", 2);
        let looked = watch.look(1, sample(8192, 4096));
        assert_eq!((looked.shm_bytes_max, looked.wal_used_bytes_max), (8192, 4096));
        assert_eq!(looked.disk_bytes, 9 * 4096);
        let most = DiskUse {
            files_max: 3,
            journal_bytes_max: 4096,
            wal_used_bytes_max: 4096,
            shm_bytes_max: 8192,
            disk_bytes_max: 9 * 4096,
        };
        assert_eq!(watch.seen(), most);
    }
}

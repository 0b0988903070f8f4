//! The first room of a trial: its folders, its copy of the dataset, and the state of the operating system's memory.

use std::{
    fs::{self, File},
    io::{self, Read},
    path::Path,
};

use anyhow::{Context as _, Result};
use rustix::fs::{Advice, fadvise, syncfs};

use super::{folder::TrialFolder, snapshot_run::Job};
use crate::{
    dataset::cache::Cached,
    interrupt::Interrupt,
    scenario::{DatasetCopy, PageCache, TrialPlan},
    work,
};

/// Makes the folders of the trial and of its snapshots, copies the dataset, writes it and everything else back to the disk,
/// and brings it into the page cache or out of it. The dataset itself leaves the page cache: of a database that is larger than half
/// of the memory, a part would have no place beside it.
///
/// Nothing has the database open yet, so that reading its file here takes nobody's locks away.
///
/// # Errors
/// As the operating system says; [`std::io::ErrorKind::Interrupted`] after an interrupt.
pub fn prepare(
    plan: &TrialPlan,
    dataset: &Cached,
    folder: &TrialFolder,
    jobs: &[Job],
    interrupt: &Interrupt,
) -> Result<()> {
    for path in [folder.path()].into_iter().chain(jobs.iter().map(|job| job.folder.as_path())) {
        fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
    }
    // That of an adopted database is large: it is written before everything is synced.
    let manifest = folder.manifest();
    fs::write(&manifest, serde_json::to_vec_pretty(&dataset.manifest)?)
        .with_context(|| format!("cannot write {}", manifest.display()))?;
    if !plan.target.has_own_database() {
        return Ok(());
    }
    let live = folder.live();
    match plan.dataset_copy {
        DatasetCopy::Plain => work::copy(&dataset.path, &live, interrupt.flag())
            .map_err(|error| work::explain_full(error, folder.path(), Some(dataset.manifest.bytes)))?,
        DatasetCopy::Reflink => work::reflink(&dataset.path, &live).context("dataset.copy = reflink")?,
    }
    drop_from_memory(&dataset.path).with_context(|| format!("cannot prepare {}", dataset.path.display()))?;
    settle(&live, plan.page_cache).with_context(|| format!("cannot prepare {}", live.display()))
}

/// Advice: what the kernel is busy with at that moment stays. It is given several times, since that is less each time.
fn drop_from_memory(path: &Path) -> io::Result<()> {
    const TIMES: usize = 3;

    let file = File::open(path)?;
    (0..TIMES).try_for_each(|_| Ok(fadvise(&file, 0, None, Advice::DontNeed)?))
}

fn settle(live: &Path, page_cache: PageCache) -> Result<()> {
    let mut file = File::open(live)?;
    file.sync_all()?;
    // Waits for the writeback of the whole file system, so that none of it falls into the trial.
    syncfs(&file)?;
    match page_cache {
        PageCache::Warm => {
            let mut buffer = vec![0; 1 << 20];
            while file.read(&mut buffer)? > 0 {}
        }
        PageCache::Cold => drop_from_memory(live)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::IoSliceMut;

    use rustix::{
        fs::statfs,
        io::{Errno, ReadWriteFlags, preadv2},
    };

    use super::*;

    const PAGE: usize = 4096;

    /// How many of a file's pages the operating system holds in memory: those that can be read without waiting for a disk.
    fn pages_in_memory(path: &Path, pages: u64) -> u64 {
        let file = File::open(path).unwrap();
        let is_held = |page: &u64| {
            let mut buffer = [0; PAGE];
            let slices = &mut [IoSliceMut::new(&mut buffer)];
            match preadv2(&file, slices, page * PAGE as u64, ReadWriteFlags::NOWAIT) {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(error, Errno::AGAIN);
                    false
                }
            }
        };
        // Asking does not read ahead: the flag says not to.
        (0..pages).filter(is_held).count() as u64
    }

    #[test]
    fn a_database_begins_in_memory_or_out_of_it() {
        const TMPFS_MAGIC: u64 = 0x0102_1994;
        let folder = tempfile::tempdir().unwrap();
        if u64::try_from(statfs(folder.path()).unwrap().f_type) == Ok(TMPFS_MAGIC) {
            println!("skipped: nothing can be dropped from a file system that is memory");
            return;
        }
        let path = folder.path().join("live.db");
        let pages = 500;
        fs::write(&path, vec![7; pages * PAGE]).unwrap();
        settle(&path, PageCache::Cold).unwrap();
        // It is advice: the kernel keeps the few pages that it is busy with.
        let held = pages_in_memory(&path, pages as u64);
        assert!(held <= pages as u64 / 10, "{held} of {pages} pages are still in memory");
        settle(&path, PageCache::Warm).unwrap();
        assert_eq!(pages_in_memory(&path, pages as u64), pages as u64);
    }
}

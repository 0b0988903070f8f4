//! Keeps generated datasets under the work folder and hands out copies of them.
//!
//! A dataset is two files in `datasets/`: the database and, written last, its manifest. What rows, seed, page size and
//! format name is generated once; a run never scans it.
//!
//! Everything here happens before a trial opens its database, so plain reads and writes of these files take no locks of
//! SQLite's away.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::{Context, Result};

use super::{Dataset, FORMAT, Manifest, Origin, generate};

/// A dataset that lies in the cache.
#[derive(Debug, Clone)]
pub struct Cached {
    /// The database; to be copied, never opened for writing.
    pub path: PathBuf,
    /// What is known of it.
    pub manifest: Manifest,
}

/// The cached dataset, if it is there and complete.
#[must_use]
pub fn find(work_dir: &Path, dataset: &Dataset) -> Option<Cached> {
    let path = path(work_dir, dataset);
    let manifest: Manifest = serde_json::from_slice(&fs::read(path.with_extension("json")).ok()?).ok()?;
    let whole = path.metadata().is_ok_and(|metadata| metadata.len() == manifest.bytes);
    (whole && manifest.format == FORMAT && manifest.origin == Origin::Generated(*dataset))
        .then_some(Cached { path, manifest })
}

/// The cached dataset, generated first if it is not there. What is half made lies in `scratch`, on the same file system,
/// which is the caller's to remove. `progress` is told the number of rows done.
///
/// # Errors
/// When the folder cannot be written, or as [`generate()`].
pub fn ensure(
    work_dir: &Path,
    scratch: &Path,
    dataset: &Dataset,
    interrupted: &Arc<AtomicBool>,
    progress: &mut dyn FnMut(u64),
) -> Result<Cached> {
    if let Some(cached) = find(work_dir, dataset) {
        return Ok(cached);
    }
    let path = path(work_dir, dataset);
    let folder = work_dir.join("datasets");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let half_path = scratch.join("dataset.db");
    let manifest = generate(dataset, &half_path, interrupted, progress)?;
    fs::rename(&half_path, &path).with_context(|| format!("cannot move the dataset to {}", path.display()))?;
    let half_manifest = scratch.join("dataset.json");
    fs::write(&half_manifest, serde_json::to_vec_pretty(&manifest)?)?;
    fs::rename(&half_manifest, path.with_extension("json"))?;
    Ok(Cached { path, manifest })
}

fn path(work_dir: &Path, dataset: &Dataset) -> PathBuf {
    let Dataset { rows, seed, page_size_bytes } = dataset;
    work_dir.join("datasets").join(format!("tracker-v{FORMAT}-rows{rows}-seed{seed}-page{page_size_bytes}.db"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATASET: Dataset = Dataset { rows: 300, seed: 1, page_size_bytes: 4096 };

    #[test]
    fn a_dataset_is_generated_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        assert!(find(folder.path(), &DATASET).is_none());
        let first = ensure(folder.path(), folder.path(), &DATASET, &Arc::default(), &mut |_| ()).unwrap();
        let again = ensure(folder.path(), folder.path(), &DATASET, &Arc::default(), &mut |_| panic!("generated again"))
            .unwrap();
        assert_eq!(first.manifest, again.manifest);
        assert!(find(folder.path(), &Dataset { seed: 2, ..DATASET }).is_none());
    }

    #[test]
    fn a_file_cut_short_is_not_reused() {
        let folder = tempfile::tempdir().unwrap();
        let cached = ensure(folder.path(), folder.path(), &DATASET, &Arc::default(), &mut |_| ()).unwrap();
        fs::File::options().write(true).open(&cached.path).unwrap().set_len(4096).unwrap();
        assert!(find(folder.path(), &DATASET).is_none());
    }

    #[test]
    fn an_interrupted_generation_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let large = Dataset { rows: 100_000, ..DATASET };
        assert!(ensure(folder.path(), folder.path(), &large, &Arc::new(true.into()), &mut |_| ()).is_err());
        assert_eq!(fs::read_dir(folder.path().join("datasets")).unwrap().count(), 0);
    }
}

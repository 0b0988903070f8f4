//! Keeps datasets under the work folder, so that each is generated, or adopted, once.
//!
//! A dataset is three files in `datasets/`: the database, the hash of its bytes and, written last, its manifest. What rows, seed, page size and
//! format name is generated once, and what path, size and time of modification name is adopted once; a run only reads its bytes once,
//! and makes it anew where they are not those of the hash.
//!
//! Everything here happens before a trial opens its database, so plain reads and writes of these files take no locks of
//! SQLite's away.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use anyhow::{Context, Result};

use super::{
    Adopted, Dataset, FORMAT, MANIFEST_BYTES_MOST, Manifest, Origin, Source, Stamp, adopt, fingerprint, generate,
};
use crate::work;

/// A dataset that lies in the cache.
#[derive(Debug, Clone)]
pub struct Cached {
    /// The database; to be copied, never opened for writing.
    pub path: PathBuf,
    /// What is known of it.
    pub manifest: Manifest,
}

/// A dataset that is being made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatasetEvent {
    /// So many rows are generated.
    Rows(u64),
    /// The original is being copied, and the copy is read.
    Adopting,
    /// The cached file is being read, to see whether it is as it was written.
    Checking,
    /// It is not, and is made anew.
    Damaged,
}

/// The cached dataset, if it is there and complete.
#[must_use]
pub fn find(work_dir: &Path, source: &Source) -> Option<Cached> {
    let path = match source {
        Source::Generated(dataset) => generated_path(work_dir, dataset),
        Source::Adopted(original) => adopted_path(work_dir, adopt::stamps(original).ok()?.first()?),
    };
    let manifest = read_manifest(&path)?;
    let whole = path.metadata().is_ok_and(|metadata| metadata.len() == manifest.bytes);
    let is_it = match (source, &manifest.origin) {
        (Source::Generated(dataset), Origin::Generated(made)) => made == dataset,
        (Source::Adopted(original), Origin::Adopted(made)) => {
            adopt::stamps(original).is_ok_and(|files| files == made.files)
        }
        (Source::Generated(_), Origin::Adopted(_)) | (Source::Adopted(_), Origin::Generated(_)) => false,
    };
    (whole && is_it && manifest.format == FORMAT).then_some(Cached { path, manifest })
}

/// The cached dataset, generated or adopted first if it is not there. What is half made lies in `scratch`, on the same file
/// system, which is the caller's to remove.
///
/// # Errors
/// When the folder cannot be written, or as [`generate()`] and [`adopt::adopt`].
pub fn ensure(
    work_dir: &Path,
    scratch: &Path,
    source: &Source,
    interrupted: &Arc<AtomicBool>,
    progress: &mut dyn FnMut(DatasetEvent),
) -> Result<Cached> {
    if let Some(cached) = find(work_dir, source) {
        progress(DatasetEvent::Checking);
        let describe = || format!("cannot read {}", cached.path.display());
        if fingerprint::is_as_noted(&cached.path, interrupted).with_context(describe)? {
            return Ok(cached);
        }
        progress(DatasetEvent::Damaged);
    }
    make(work_dir, scratch, source, interrupted, progress)
        .map_err(|error| work::explain_full(error, work_dir, bytes(work_dir, source).ok().map(|(bytes, _)| bytes)))
}

/// Generates or adopts a dataset that is not cached.
fn make(
    work_dir: &Path,
    scratch: &Path,
    source: &Source,
    interrupted: &Arc<AtomicBool>,
    progress: &mut dyn FnMut(DatasetEvent),
) -> Result<Cached> {
    let folder = work_dir.join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let half_path = scratch.join("dataset.db");
    let (path, manifest) = match source {
        Source::Generated(dataset) => {
            let rows = &mut |rows| progress(DatasetEvent::Rows(rows));
            (generated_path(work_dir, dataset), generate(dataset, &half_path, interrupted, rows)?)
        }
        Source::Adopted(original) => {
            progress(DatasetEvent::Adopting);
            let manifest = adopt::adopt(original, &half_path, interrupted)?;
            let Origin::Adopted(Adopted { files, .. }) = &manifest.origin else {
                anyhow::bail!("{} was adopted and has no files", original.display())
            };
            let stamp = files.first().context("a database without a file was adopted")?;
            remove_outdated(&folder, stamp);
            (adopted_path(work_dir, stamp), manifest)
        }
    };
    settle(&half_path, &path, &manifest, interrupted)?;
    Ok(Cached { path, manifest })
}

/// Moves a dataset that is made to its place. What takes long or may fail is done first: a database that lies there without its manifest
/// is removed by nobody.
fn settle(half_path: &Path, path: &Path, manifest: &Manifest, interrupted: &AtomicBool) -> Result<()> {
    fingerprint::note(half_path, interrupted).with_context(|| format!("cannot note the hash of {}", path.display()))?;
    fs::write(half_path.with_extension("json"), serde_json::to_vec_pretty(manifest)?)
        .with_context(|| format!("cannot write what is known of {}", path.display()))?;
    // A manifest that stays from a damaged file must not speak for the new one before that is whole.
    let _ = fs::remove_file(path.with_extension("json"));
    for extension in ["hash", "db", "json"] {
        fs::rename(half_path.with_extension(extension), path.with_extension(extension))
            .with_context(|| format!("cannot move the dataset to {}", path.display()))?;
    }
    Ok(())
}

/// Bytes of the dataset, and how many of them are still to be made: estimates where it is to be generated.
///
/// # Errors
/// As the operating system says of a database that is to be adopted.
pub fn bytes(work_dir: &Path, source: &Source) -> io::Result<(u64, u64)> {
    if let Some(cached) = find(work_dir, source) {
        return Ok((cached.manifest.bytes, 0));
    }
    let bytes = match source {
        Source::Generated(dataset) => dataset.estimated_bytes(),
        Source::Adopted(original) => adopt::stamps(original)?.iter().map(|file| file.bytes).sum(),
    };
    Ok((bytes, bytes))
}

/// The folder in the work folder.
const FOLDER: &str = "datasets";

fn generated_path(work_dir: &Path, dataset: &Dataset) -> PathBuf {
    let Dataset { rows, seed, page_size_bytes, zero_share_ppm } = dataset;
    let zeros = if *zero_share_ppm == 0 { String::new() } else { format!("-zeros{zero_share_ppm}") };
    work_dir.join(FOLDER).join(format!("tracker-v{FORMAT}-rows{rows}-seed{seed}-page{page_size_bytes}{zeros}.db"))
}

fn adopted_path(work_dir: &Path, original: &Stamp) -> PathBuf {
    let Stamp { path, bytes, modified_ns } = original;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    work_dir.join(FOLDER).join(format!("adopted-v{FORMAT}-{name}-bytes{bytes}-modified{modified_ns}.db"))
}

fn read_manifest(path: &Path) -> Option<Manifest> {
    Manifest::parse(&work::read_regular(&path.with_extension("json"), MANIFEST_BYTES_MOST).ok()?).ok()
}

/// Removes the copies of what an original was before.
fn remove_outdated(folder: &Path, now: &Stamp) {
    for path in work::files_in(folder).unwrap_or_default() {
        let Some(Manifest { origin: Origin::Adopted(Adopted { files, .. }), .. }) = read_manifest(&path) else {
            continue;
        };
        if files.first().is_some_and(|before| before.path == now.path) {
            // What cannot be removed now only takes up room. The manifest goes last: it is what leads here.
            for file in [path.with_extension("hash"), path.with_extension("db"), path.with_extension("json")] {
                let _ = fs::remove_file(file);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATASET: Dataset = Dataset { rows: 300, seed: 1, page_size_bytes: 4096, zero_share_ppm: 0 };

    #[test]
    fn a_dataset_is_generated_once_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::Generated(DATASET);
        assert!(find(folder.path(), &source).is_none());
        let first = ensure(folder.path(), folder.path(), &source, &Arc::default(), &mut |_| ()).unwrap();
        let again = ensure(folder.path(), folder.path(), &source, &Arc::default(), &mut |event| {
            assert_eq!(event, DatasetEvent::Checking, "generated again");
        })
        .unwrap();
        assert_eq!(first.manifest, again.manifest);
        assert!(find(folder.path(), &Source::Generated(Dataset { seed: 2, ..DATASET })).is_none());
    }

    #[test]
    fn a_file_cut_short_is_not_reused() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::Generated(DATASET);
        let cached = ensure(folder.path(), folder.path(), &source, &Arc::default(), &mut |_| ()).unwrap();
        fs::File::options().write(true).open(&cached.path).unwrap().set_len(4096).unwrap();
        assert!(find(folder.path(), &source).is_none());
    }

    #[test]
    fn a_damaged_file_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::Generated(DATASET);
        let ensure = || {
            let mut events = Vec::new();
            let cached =
                ensure(folder.path(), folder.path(), &source, &Arc::default(), &mut |event| events.push(event))
                    .unwrap();
            (cached, events)
        };
        let (cached, events) = ensure();
        assert!(!events.contains(&DatasetEvent::Checking));
        let whole = fs::read(&cached.path).unwrap();
        assert_eq!(ensure().1, [DatasetEvent::Checking]);
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        fs::write(&cached.path, &damaged).unwrap();
        let (cached, events) = ensure();
        assert_eq!(events[..2], [DatasetEvent::Checking, DatasetEvent::Damaged]);
        assert!(fs::read(&cached.path).unwrap() == whole, "the same bytes again");
        fs::remove_file(cached.path.with_extension("hash")).unwrap();
        assert!(ensure().1.contains(&DatasetEvent::Damaged), "a file that was half written has no hash");
    }

    #[test]
    fn an_interrupted_generation_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let large = Source::Generated(Dataset { rows: 100_000, ..DATASET });
        assert!(ensure(folder.path(), folder.path(), &large, &Arc::new(true.into()), &mut |_| ()).is_err());
        assert_eq!(fs::read_dir(folder.path().join("datasets")).unwrap().count(), 0);
    }

    #[test]
    fn a_dataset_whose_hash_is_interrupted_stays_where_it_was_made() {
        let folder = tempfile::tempdir().unwrap();
        let (half_path, path) = (folder.path().join("dataset.db"), folder.path().join("datasets/whole.db"));
        fs::create_dir(folder.path().join("datasets")).unwrap();
        let manifest = generate(&DATASET, &half_path, &Arc::default(), &mut |_| ()).unwrap();
        let in_place = || {
            let mut names: Vec<_> =
                fs::read_dir(folder.path().join("datasets")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        let error = settle(&half_path, &path, &manifest, &true.into()).unwrap_err();
        assert!(format!("{error:#}").contains("cannot note the hash of"), "{error:#}");
        assert!(half_path.exists() && in_place().is_empty(), "{:?}", in_place());
        settle(&half_path, &path, &manifest, &false.into()).unwrap();
        assert_eq!(in_place(), ["whole.db", "whole.hash", "whole.json"]);
        assert!(!half_path.exists() && fingerprint::is_as_noted(&path, &false.into()).unwrap());
    }
}

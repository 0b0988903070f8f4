//! The folder that a command puts results and their report into.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};

use super::{CommandError, absolute};
use crate::{
    lock_file::{LockError, LockFile},
    report::{self, Format},
    results::{Results, write_atomically},
    work,
};

/// The file of the results in their folder.
const RESULTS: &str = "results.json";

/// The file of their report in the same folder.
const REPORT: &str = "report.md";

/// The file of their page in the same folder.
const PAGE: &str = "report.html";

/// The file that one run at a time holds in the folder of its results.
const LOCK: &str = ".journalbench-lock";

/// The absolute path of a folder that is not there yet; an existing one is refused.
pub(super) fn new_path(path: &Path) -> Result<PathBuf, CommandError> {
    let path = absolute(path)?;
    if path.symlink_metadata().is_ok() { Err(refuse_existing(&path)) } else { Ok(path) }
}

fn refuse_existing(path: &Path) -> CommandError {
    CommandError::Usage(anyhow!(
        "--out {}: exists; name a folder that does not, nothing is overwritten",
        path.display()
    ))
}

/// The results folder, made before anything is measured so that an unwritable one is noticed first, and held by this process
/// alone. It is removed again, with the folders above it that were made for it, if nothing was put in.
pub(super) struct OutFolder {
    pub(super) path: PathBuf,
    made: Vec<PathBuf>,
    lock: LockFile,
}

impl OutFolder {
    /// A new one.
    pub(super) fn create(path: &Path) -> Result<Self, CommandError> {
        let describe = || format!("cannot create the results folder {}", path.display());
        let made: Vec<_> = path.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(describe)?;
        }
        match fs::create_dir(path) {
            // Somebody else has made it a moment ago.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(refuse_existing(path)),
            made => made.with_context(describe)?,
        }
        let lock = LockFile::take(&path.join(LOCK)).inspect_err(|_| remove_empty(&made)).with_context(describe)?;
        Ok(Self { path: path.to_owned(), made, lock })
    }

    /// One that an earlier sitting has made.
    pub(super) fn open(path: &Path) -> Result<Self, CommandError> {
        if !path.join(RESULTS).is_file() {
            let problem = format!("--resume {}: there is no {RESULTS} in it, so no trial has ended", path.display());
            return Err(CommandError::Usage(anyhow!("{problem}; begin anew")));
        }
        match LockFile::take(&path.join(LOCK)) {
            Ok(lock) => Ok(Self { path: path.to_owned(), made: Vec::new(), lock }),
            Err(LockError::Held { holder, .. }) => {
                Err(CommandError::Usage(anyhow!("--resume {}: the run is still going on: {holder}", path.display())))
            }
            Err(error) => Err(anyhow::Error::from(error).into()),
        }
    }

    pub(super) fn json(&self) -> PathBuf {
        self.path.join(RESULTS)
    }

    /// Saves the results, whole and synced.
    pub(super) fn save(&self, results: &Results) -> anyhow::Result<()> {
        let json = self.json();
        let saved = results.save(&json).with_context(|| format!("cannot write {}", json.display()));
        saved.map_err(|error| work::explain_full(error, &self.path, None))
    }

    /// What is in it.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        [RESULTS, REPORT, PAGE].map(|name| self.path.join(name)).to_vec()
    }

    /// Saves the results and their reports.
    pub(super) fn write(&self, results: &Results) -> anyhow::Result<()> {
        self.save(results)?;
        [(REPORT, Format::Markdown), (PAGE, Format::Html)].into_iter().try_for_each(|(name, format)| {
            let path = self.path.join(name);
            write_atomically(&path, report::render(results, format).as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))
                .map_err(|error| work::explain_full(error, &self.path, None))
        })
    }
}

impl Drop for OutFolder {
    fn drop(&mut self) {
        self.lock.remove();
        remove_empty(&self.made);
    }
}

/// Removes those of the folders that are empty, from the innermost on.
fn remove_empty(folders: &[PathBuf]) {
    for folder in folders {
        let _ = fs::remove_dir(folder);
    }
}

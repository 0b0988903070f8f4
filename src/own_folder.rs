//! A folder that belongs to one running process, and what killed processes have left of such folders.
//!
//! Its marker, a [`LockFile`], is what makes it so: a folder with the marker's text in it is this program's, and belongs to a
//! running process as long as the lock is held. It is removed when the value is dropped; a process that was killed cannot do
//! that, so the next one that works in that place removes what was abandoned there. Whatever else lies there is left alone.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder},
    io::{self, ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    lock_file::{self, LockError, LockFile},
    work,
};

/// The file that makes a folder this program's, and what it says.
const MARKER: &str = "journalbench-run";
const MARKED: &str =
    "Removed by the next run of journalbench, unless the run that made it still holds the lock of this file.\n";

/// The folder of all runs, under the work folder.
const RUNS: &str = "runs";

/// What the name of a folder ends with in which a copy is made beside its place.
const HIDDEN_SUFFIX: &str = ".journalbench";

/// A folder of this process.
#[derive(Debug)]
pub struct OwnFolder {
    path: PathBuf,
    marker: LockFile,
}

/// Another running process has the folder.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Busy(String);

/// A folder that a killed process has left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Abandoned {
    pub(crate) path: PathBuf,
    /// Of all files in it.
    pub(crate) bytes: u64,
}

impl OwnFolder {
    /// The folder of a run under `work_dir`, which is made too.
    ///
    /// # Errors
    /// When the folder cannot be made, or another run has it.
    pub(crate) fn of_run(work_dir: &Path) -> Result<Self> {
        let runs = work_dir.join(RUNS);
        fs::create_dir_all(&runs).with_context(|| format!("cannot create the work folder {}", work_dir.display()))?;
        Self::take(&runs.join("run")).map_err(|error| match error.downcast_ref() {
            Some(LockError::Held { holder, .. }) => busy(format!(
                "another run uses the work folder {}: {holder}; wait until it has ended, since two runs would measure each \
                other, or name another folder with --work-dir",
                work_dir.display()
            )),
            _ => error,
        })
    }

    /// A folder of this process under one that others use too, the system's for temporary files for example.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub(crate) fn under(folder: &Path) -> Result<Self> {
        Self::take(&folder.join(format!(".{}{HIDDEN_SUFFIX}", std::process::id())))
    }

    /// The hidden folder beside `out` in which it is made.
    ///
    /// # Errors
    /// When the folder cannot be made, or another process makes a copy of that name.
    pub(crate) fn beside(out: &Path) -> Result<Self> {
        let mut name = OsString::from(".");
        name.push(out.file_name().unwrap_or_default());
        name.push(HIDDEN_SUFFIX);
        Self::take(&out.with_file_name(name)).map_err(|error| match error.downcast_ref() {
            Some(LockError::Held { holder, .. }) => {
                busy(format!("{} is being made by another process: {holder}", out.display()))
            }
            _ => error,
        })
    }

    fn take(path: &Path) -> Result<Self> {
        let describe = || format!("cannot create the folder {}", path.display());
        let marker = loop {
            // What is made in it may be as private as the database is.
            let is_new = match DirBuilder::new().mode(0o700).create(path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
                made => made.map(|()| true).with_context(describe)?,
            };
            if !is_new && !is_ours(path) {
                bail!("{} exists and is not this program's: move it away", path.display());
            }
            match LockFile::take(&path.join(MARKER)) {
                // Who had the folder removed it meanwhile.
                Err(LockError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {}
                taken => break taken?,
            }
        };
        clear(path).with_context(|| format!("cannot remove what a killed run has left in {}", path.display()))?;
        marker.file().set_len(0).and_then(|()| marker.file().write_all(MARKED.as_bytes())).with_context(describe)?;
        Ok(Self { path: path.to_owned(), marker })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        let _ = clear(&self.path);
        // The marker goes last, so that a process which is killed meanwhile leaves a folder that is known for what it is.
        self.marker.remove();
        let _ = fs::remove_dir(&self.path);
        if let Some(runs) = self.path.parent().filter(|parent| parent.file_name() == Some(OsStr::new(RUNS))) {
            // Only where it is empty.
            let _ = fs::remove_dir(runs);
        }
    }
}

/// Removes all that is in a folder but its marker, as far as it can be removed.
///
/// # Errors
/// The first, of what cannot be removed.
fn clear(folder: &Path) -> io::Result<()> {
    let remove = |entry: PathBuf| match entry.file_name() {
        Some(name) if name == MARKER => Ok(()),
        // A link to a folder is removed, and not what is in that.
        _ if entry.symlink_metadata()?.is_dir() => fs::remove_dir_all(&entry),
        _ => fs::remove_file(&entry),
    };
    work::files_in(folder)?.into_iter().map(remove).fold(Ok(()), io::Result::and)
}

fn busy(words: String) -> anyhow::Error {
    Busy(words).into()
}

/// Whether a folder is this user's and holds the marker of this program, or nothing at all, as when its process was killed at
/// once. A link is nobody's.
fn is_ours(folder: &Path) -> bool {
    let own = rustix::process::geteuid().as_raw();
    if !folder.symlink_metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == own) {
        // One that has gone meanwhile is made again.
        return folder.symlink_metadata().is_err();
    }
    match fs::read(folder.join(MARKER)) {
        Ok(text) => text.is_empty() || text == MARKED.as_bytes(),
        Err(_) => work::files_in(folder).is_ok_and(|files| files.is_empty()),
    }
}

/// What killed processes have left in a folder: of runs, where it is a work folder, and of copies that were to stand in it.
pub(crate) fn abandoned_in(folder: &Path) -> Vec<Abandoned> {
    let is_hidden = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.starts_with(b".") && name.ends_with(HIDDEN_SUFFIX.as_bytes())
    };
    let runs = work::files_in(&folder.join(RUNS)).unwrap_or_default();
    let hidden = work::files_in(folder).unwrap_or_default().into_iter().filter(is_hidden);
    let is_abandoned = |path: &PathBuf| {
        let marker = path.join(MARKER);
        let is_folder = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        let is_ours = match fs::read(&marker) {
            // Its process was killed before it had written the text, or anything else.
            Ok(text) if text.is_empty() => work::files_in(path).is_ok_and(|files| files.len() == 1),
            Ok(text) => text == MARKED.as_bytes(),
            Err(_) => false,
        };
        is_folder && is_ours && lock_file::is_free(&marker)
    };
    let abandoned = runs.into_iter().chain(hidden).filter(is_abandoned);
    abandoned.map(|path| Abandoned { bytes: work::folder_bytes(&path), path }).collect()
}

/// Removes one of [`abandoned_in`].
///
/// # Errors
/// As the operating system says.
pub(crate) fn remove(abandoned: &Abandoned) -> Result<()> {
    let path = &abandoned.path;
    // Held until all is gone, so that nobody takes the folder over meanwhile.
    let marker = LockFile::take(&path.join(MARKER))?;
    drop(OwnFolder { path: path.clone(), marker });
    if path.symlink_metadata().is_ok() {
        bail!("cannot remove {}", path.display());
    }
    Ok(())
}

/// Removes all that [`abandoned_in`] finds, and says what was removed. What cannot be removed is tried again by the next one.
pub(crate) fn remove_abandoned(folder: &Path, mut say: impl FnMut(&str)) {
    for abandoned in abandoned_in(folder) {
        let Abandoned { path, bytes } = &abandoned;
        match remove(&abandoned) {
            Ok(()) => say(&format!(
                "removed {}, which a killed journalbench had left ({:.1} MB)",
                path.display(),
                *bytes as f64 / 1e6
            )),
            Err(error) => say(&format!("{error:#}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(path: PathBuf, file: &str, content: &str) -> PathBuf {
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join(file), content).unwrap();
        path
    }

    #[test]
    fn what_killed_runs_have_left_is_removed_and_nothing_else() {
        let work = tempfile::tempdir().unwrap();
        let runs = work.path().join(RUNS);
        let killed = make(runs.join("run-killed"), MARKER, MARKED);
        fs::create_dir(killed.join("trial")).unwrap();
        fs::write(killed.join("trial/live.db"), [0; 1000]).unwrap();
        let killed_at_once = make(runs.join("run-at-once"), MARKER, "");
        let thesis = make(runs.join("run-mine"), "lock", "my thesis");
        let other = make(runs.join("run-other"), MARKER, "something else");
        let link = runs.join("run-link");
        std::os::unix::fs::symlink(&thesis, &link).unwrap();
        let hidden = make(work.path().join(".copy.db.journalbench"), MARKER, MARKED);
        let visible = make(work.path().join("copy.db.journalbench"), MARKER, MARKED);

        let running = OwnFolder::of_run(work.path()).unwrap();
        let mut said = Vec::new();
        remove_abandoned(work.path(), |line| said.push(line.to_owned()));
        assert!(!killed.exists() && !killed_at_once.exists() && !hidden.exists());
        assert!(visible.exists() && running.path().exists());
        assert_eq!(said.len(), 3);
        assert!(said.iter().any(|line| line.contains("run-killed") && line.contains("(0.0 MB)")), "{said:?}");
        drop(running);
        assert_eq!(work::files_in(&runs).unwrap(), [link, thesis, other]);
    }

    #[test]
    fn two_runs_in_a_work_folder_are_refused_by_name() {
        let work = tempfile::tempdir().unwrap();
        let first = OwnFolder::of_run(work.path()).unwrap();
        let error = OwnFolder::of_run(work.path()).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(first);
        drop(OwnFolder::of_run(work.path()).unwrap());
        assert_eq!(work::files_in(work.path()).unwrap(), [] as [PathBuf; 0]);
    }

    #[test]
    fn a_link_in_its_place_is_not_followed_and_nobody_else_reads_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let (out, elsewhere) = (folder.path().join("out.db"), folder.path().join("elsewhere"));
        fs::create_dir(&elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, folder.path().join(".out.db.journalbench")).unwrap();
        assert!(OwnFolder::beside(&out).is_err());
        assert_eq!(work::files_in(&elsewhere).unwrap(), [] as [PathBuf; 0]);
        fs::remove_file(folder.path().join(".out.db.journalbench")).unwrap();
        let own = OwnFolder::beside(&out).unwrap();
        assert_eq!(own.path().metadata().unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_folder_of_the_same_name_is_taken_over_only_where_it_is_ours() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out.db");
        let hidden = make(folder.path().join(".out.db.journalbench"), "notes.txt", "mine");
        let error = OwnFolder::beside(&out).unwrap_err().to_string();
        assert!(error.contains("is not this program's"), "{error}");
        assert_eq!(work::files_in(&hidden).unwrap(), [hidden.join("notes.txt")]);
        fs::write(hidden.join(MARKER), MARKED).unwrap();
        drop(OwnFolder::beside(&out).unwrap());
        assert!(!hidden.exists());
    }
}

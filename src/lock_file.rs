//! A file that one process at a time holds: mutual exclusion that ends with the process, however it ends.
//!
//! The lock is the operating system's (`flock`), so that one whose holder was killed is free again at once. The file is removed
//! when it is given back. Where the lock is held, the error names the process, as far as `/proc/locks` tells.
//!
//! Never for a file of SQLite's: closing such a file would take away the locks that SQLite holds on it (`docs/sqlite.md`, 1).

use std::{
    fs::{self, File, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::lock_holders;

/// A file that this process holds until the value is dropped.
#[derive(Debug)]
pub(crate) struct LockFile {
    path: PathBuf,
    file: File,
}

/// Why a lock file is not held.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LockError {
    /// Another process holds it.
    #[error("{} is held by {holder}", path.display())]
    Held {
        /// The file.
        path: PathBuf,
        /// Who holds it, in words.
        holder: String,
    },
    /// It cannot be made, or not be locked.
    #[error("cannot lock {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl LockFile {
    /// Takes the lock, and makes the file where it is not there.
    ///
    /// # Errors
    /// [`LockError`].
    pub(crate) fn take(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: path.to_owned(), source };
        loop {
            let file =
                File::options().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) if is_named(&file, path) => return Ok(Self { path: path.to_owned(), file }),
                // The one who held it has removed it meanwhile: the lock is on a file that nobody else will find.
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let holder = lock_holders::of_file(path);
                    return Err(LockError::Held { path: path.to_owned(), holder });
                }
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
        }
    }

    /// The file, to be read and written.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Removes the file, while the lock is held. Who opens it between this and the end of the lock finds that the name is gone,
    /// and begins again.
    pub(crate) fn remove(&self) {
        // The name may be another file's by now, where this one was removed before.
        if is_named(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Whether a name still leads to a file that was opened by it.
fn is_named(file: &File, path: &Path) -> bool {
    let same = || -> io::Result<bool> {
        let (opened, named) = (file.metadata()?, path.symlink_metadata()?);
        Ok((opened.dev(), opened.ino()) == (named.dev(), named.ino()))
    };
    same().unwrap_or(false)
}

/// Whether nobody holds the lock of a file; a file that cannot be opened is nobody's.
pub(crate) fn is_free(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => file.try_lock().is_ok(),
        Err(error) => error.kind() == ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_the_second_names_the_first() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let first = LockFile::take(&path).unwrap();
        assert!(!is_free(&path));
        let error = LockFile::take(&path).unwrap_err().to_string();
        assert!(error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        assert!(!path.exists() && is_free(&path));
        drop(LockFile::take(&path).unwrap());
    }

    #[test]
    fn a_file_that_was_removed_and_made_again_is_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let opened = File::create(&path).unwrap();
        assert!(is_named(&opened, &path));
        fs::remove_file(&path).unwrap();
        assert!(!is_named(&opened, &path));
        let _other = File::create(&path).unwrap();
        assert!(!is_named(&opened, &path));
    }
}

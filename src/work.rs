//! Files and folders: copied, counted, and the room that is left for them.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

use anyhow::{Context, Result};
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

/// Copies a file byte by byte, never sharing blocks with the original: copy-on-write would become part of what a trial
/// measures.
///
/// # Errors
/// As the operating system says, [`io::ErrorKind::Interrupted`] where `interrupted` was set.
pub fn copy(from: &Path, to: &Path, interrupted: &AtomicBool) -> Result<()> {
    let copy = || {
        let mut source = File::open(from)?;
        let mut target = File::create_new(to)?;
        let mut buffer = vec![0; 1 << 20];
        loop {
            if interrupted.load(Ordering::Relaxed) {
                return Err(io::Error::from(io::ErrorKind::Interrupted));
            }
            match source.read(&mut buffer)? {
                0 => return Ok(()),
                length => target.write_all(&buffer[..length])?,
            }
        }
    };
    copy().with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))
}

/// Makes a file that shares its blocks with another until one of them is written to.
///
/// # Errors
/// As the operating system says; most file systems cannot.
pub fn reflink(from: &Path, to: &Path) -> Result<()> {
    let share = || -> io::Result<()> {
        let (source, target) = (File::open(from)?, File::create_new(to)?);
        Ok(rustix::fs::ioctl_ficlone(&target, &source)?)
    };
    share().with_context(|| format!("the file system cannot let {} share blocks with {}", to.display(), from.display()))
}

/// Copies a folder and all that is in it, as [`copy`] does.
///
/// # Errors
/// As [`copy`].
pub(crate) fn copy_folder(from: &Path, to: &Path, interrupted: &AtomicBool) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
    for path in files_in(from)? {
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_folder(&path, &target, interrupted)?;
        } else {
            copy(&path, &target, interrupted)?;
        }
    }
    Ok(())
}

/// The program of this name in a folder of the `PATH`.
#[must_use]
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let paths = std::env::var_os("PATH")?;
    std::env::split_paths(&paths).map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Bytes that are free for this user on the file system of a folder, or of its nearest parent that exists.
#[must_use]
pub(crate) fn free_bytes(folder: &Path) -> Option<u64> {
    let absolute = std::path::absolute(folder).ok()?;
    let existing = absolute.ancestors().find(|folder| folder.exists())?;
    let space = rustix::fs::statvfs(existing).ok()?;
    Some(space.f_bavail * space.f_frsize)
}

/// Says of an error of a full file system which folder is on it, what is still free, and what was `needed` where that is known.
/// Other errors stay as they are.
#[must_use]
pub(crate) fn explain_full(error: anyhow::Error, folder: &Path, needed: Option<u64>) -> anyhow::Error {
    if error.downcast_ref::<NoRoom>().is_some() || !error.chain().any(is_full) {
        return error;
    }
    let needed = needed.map_or_else(String::new, |bytes| format!("about {} needed and ", megabytes(bytes)));
    error.context(NoRoom(format!("no room: {needed}{}", free_room(folder))))
}

/// The explanation of an error, which is not explained again further up.
#[derive(Debug)]
struct NoRoom(String);

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is free in a folder, in words. A file system can be full of files as well as of bytes.
#[must_use]
pub(crate) fn free_room(folder: &Path) -> String {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let existing = absolute.ancestors().find(|folder| folder.exists()).unwrap_or(&absolute);
    match rustix::fs::statvfs(existing) {
        Ok(space) => {
            let free = megabytes(space.f_bavail * space.f_frsize);
            // Some file systems have no limit, and say that there are none.
            let files = if space.f_files > 0 && space.f_favail == 0 { ", and no file more," } else { "" };
            format!("{free}{files} free in {}", folder.display())
        }
        Err(error) => format!("what is free in {} is not known ({error})", folder.display()),
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// Whether an error says that a file system is full.
fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let io = error.downcast_ref().is_some_and(|error: &io::Error| error.kind() == io::ErrorKind::StorageFull);
    let sqlite = error.downcast_ref().and_then(rusqlite::Error::sqlite_error_code);
    io || sqlite == Some(rusqlite::ErrorCode::DiskFull)
}

/// The size of a file, or 0 where there is none.
#[must_use]
pub fn file_bytes(path: &Path) -> u64 {
    path.metadata().map_or(0, |metadata| metadata.len())
}

/// Bytes of all files in a folder and below it, as far as they can be seen.
#[must_use]
pub(crate) fn folder_bytes(folder: &Path) -> u64 {
    let entries = files_in(folder).unwrap_or_default();
    let bytes = |path: &PathBuf| match path.symlink_metadata() {
        Ok(metadata) if metadata.is_dir() => folder_bytes(path),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.iter().map(bytes).sum()
}

/// The files in a folder, by name.
///
/// # Errors
/// As the operating system says.
pub(crate) fn files_in(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files: Vec<_> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.sort();
    Ok(files)
}

/// Gives a file a name that nobody has, not even one who took it a moment ago, and syncs the folder of the name. Where that fails, it has
/// its old name.
///
/// # Errors
/// As the operating system says.
pub(crate) fn give_name(from: &Path, to: &Path) -> io::Result<()> {
    // A folder that cannot be synced says so before anything stands in it.
    let folder = to.parent().map(File::open).transpose()?;
    let is_linked = match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system cannot: a link to an existing name fails in the same way.
        Err(Errno::INVAL | Errno::NOSYS) => {
            fs::hard_link(from, to)?;
            true
        }
        renamed => {
            renamed?;
            false
        }
    };
    let synced = folder.map_or(Ok(()), |folder| folder.sync_all());
    if synced.is_err() {
        let _ = if is_linked { fs::remove_file(to) } else { fs::rename(to, from) };
    }
    synced
}

/// Reads a file whole that has no more than `most` bytes: one that never ends, as `/dev/zero`, is refused soon, and no file
/// takes more memory than twice that.
///
/// # Errors
/// As the operating system says; [`io::ErrorKind::FileTooLarge`], which says what is allowed.
pub fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    take_at_most(File::open(path)?, most)
}

/// As [`read_at_most`], of what is no file.
///
/// # Errors
/// As [`read_at_most`].
pub fn take_at_most(from: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let message = format!("it is larger than {most} bytes, the most that is read of such a file");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// As [`read_at_most`], of a file that nobody types the name of: a pipe or a device, which may never give a byte, is refused.
///
/// # Errors
/// As [`read_at_most`]; [`io::ErrorKind::InvalidInput`] where it is no regular file.
pub fn read_regular(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    check_regular(path)?;
    read_at_most(path, most)
}

/// Refuses what is no regular file: opening a pipe waits for whoever writes to it.
///
/// # Errors
/// As the operating system says; [`io::ErrorKind::InvalidInput`].
pub fn check_regular(path: &Path) -> io::Result<()> {
    if path.metadata()?.is_file() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_full_file_system_is_explained_and_once() {
        let folder = tempfile::tempdir().unwrap();
        let explain = |kind, needed| {
            let error = anyhow::Error::from(io::Error::from(kind)).context("cannot write");
            let error = explain_full(error, folder.path(), needed).context("cannot go on");
            format!("{:#}", explain_full(error, Path::new("/"), None))
        };
        let full = explain(io::ErrorKind::StorageFull, Some(2_200_000));
        assert!(full.starts_with("cannot go on: no room: about 2.2 MB needed and "), "{full}");
        assert!(full.contains(&format!(" MB free in {}: cannot write: ", folder.path().display())), "{full}");
        assert!(!explain(io::ErrorKind::StorageFull, None).contains("needed"));
        assert!(explain(io::ErrorKind::PermissionDenied, Some(1)).starts_with("cannot go on: cannot write"));
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
        let sqlite = anyhow::Error::from(rusqlite::Error::SqliteFailure(code, None));
        assert!(format!("{:#}", explain_full(sqlite, folder.path(), None)).starts_with("no room: "));
    }

    #[test]
    fn a_name_that_somebody_took_meanwhile_stays_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let (made, name) = (folder.path().join("made"), folder.path().join("name"));
        fs::write(&made, "new").unwrap();
        fs::write(&name, "theirs").unwrap();
        assert_eq!(give_name(&made, &name).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read(&made).unwrap(), fs::read(&name).unwrap()), (b"new".to_vec(), b"theirs".to_vec()));
        fs::remove_file(&name).unwrap();
        give_name(&made, &name).unwrap();
        assert_eq!((made.exists(), fs::read(&name).unwrap()), (false, b"new".to_vec()));
    }

    #[test]
    fn what_is_too_large_or_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, [7; 10]).unwrap();
        assert_eq!(read_at_most(&path, 10).unwrap(), [7; 10]);
        let error = read_at_most(&path, 9).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 9 bytes, the most that is read of such a file");
        let endless = read_at_most(Path::new("/dev/zero"), 1 << 20).unwrap_err();
        assert_eq!(endless.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_regular(&path, 10).unwrap(), [7; 10]);
        for no_file in [Path::new("/dev/null"), folder.path()] {
            assert_eq!(read_regular(no_file, 10).unwrap_err().to_string(), "it is not a regular file", "{no_file:?}");
        }
    }
}

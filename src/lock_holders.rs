//! Which process holds a lock on a file, as `/proc/locks` tells.
//!
//! Files are looked at by their numbers, never opened: opening and closing a database file would take away locks of SQLite's
//! (`docs/sqlite.md`, 1). What the kernel does not tell (another machine's lock on a network file system, a process of another
//! container) is said to be unknown.

use std::{
    fmt, fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::{major, minor};

/// The first of the bytes of a database file that SQLite locks: `PENDING_BYTE` of its file format.
const PENDING_BYTE: u64 = 0x4000_0000;
/// The last of them: the end of the shared range.
const LAST_BYTE: u64 = PENDING_BYTE + 511;

/// How often `/proc/locks` is read before a file counts as one without locks.
const READINGS_MOST: usize = 4;

/// The lock that keeps everybody else out, as it is named in a sentence.
const EXCLUSIVE: &str = "an EXCLUSIVE";

/// A lock on a file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lock {
    /// Whether nobody else can have a lock on the same bytes.
    is_exclusive: bool,
    /// `None` where it is not known.
    pid: Option<u32>,
    first: u64,
    last: u64,
}

/// A process that keeps readers out of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blocker {
    lock: &'static str,
    pid: Option<u32>,
}

impl fmt::Display for Blocker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} holds {} lock", process(self.pid), self.lock)
    }
}

/// The processes that keep readers out of a database: those with a PENDING or an EXCLUSIVE lock on its main file.
pub(crate) fn blockers(database: &Path) -> Vec<Blocker> {
    let exclusive = locks_on(database).into_iter().filter(|lock| lock.is_exclusive);
    let blocks = exclusive.filter_map(|lock| match (lock.first, lock.last) {
        (first, last) if last < PENDING_BYTE || first > LAST_BYTE => None,
        (_, last) if last > PENDING_BYTE + 1 => Some(Blocker { lock: EXCLUSIVE, pid: lock.pid }),
        (PENDING_BYTE, _) => Some(Blocker { lock: "a PENDING", pid: lock.pid }),
        // RESERVED alone keeps no reader out.
        _ => None,
    });
    let mut blockers: Vec<Blocker> = Vec::new();
    for blocker in blocks {
        // Who has EXCLUSIVE has PENDING too.
        match blockers.iter_mut().find(|known| known.pid == blocker.pid) {
            Some(known) if blocker.lock == EXCLUSIVE => *known = blocker,
            Some(_) => {}
            None => blockers.push(blocker),
        }
    }
    blockers
}

/// Who holds a lock on a file, in words.
pub(crate) fn of_file(path: &Path) -> String {
    locks_on(path).first().map_or_else(|| process(None), |lock| process(lock.pid))
}

/// The locks on a file. The kernel gives its list page by page and not as of one moment: a lock can be missed while others come
/// and go, so that a list without any is read again.
fn locks_on(path: &Path) -> Vec<Lock> {
    let Ok(metadata) = path.metadata() else { return Vec::new() };
    let file = format!("{:02x}:{:02x}:{}", major(metadata.dev()), minor(metadata.dev()), metadata.ino());
    let read = || -> Vec<Lock> {
        let text = fs::read_to_string("/proc/locks").unwrap_or_default();
        text.lines().filter_map(|line| parse(line, &file)).collect()
    };
    (0..READINGS_MOST).map(|_| read()).find(|locks| !locks.is_empty()).unwrap_or_default()
}

/// A line as `1: POSIX  ADVISORY  WRITE 1234 fd:00:5678 1073741826 1073742335`; `None` where it is of another file, or of a
/// process that still waits for the lock (`->`).
fn parse(line: &str, file: &str) -> Option<Lock> {
    let mut fields = line.split_whitespace().skip(1);
    let class = fields.next()?;
    let (_advisory, access, pid, of) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
    if class == "->" || of != file {
        return None;
    }
    let last = fields.next().zip(fields.next());
    let (first, last) = last.and_then(|(first, last)| Some((first.parse().ok()?, end(last)?)))?;
    // 0 stands for a process that cannot be seen from here, and -1 for a lock that is no process's.
    Some(Lock { is_exclusive: access == "WRITE", pid: pid.parse().ok().filter(|pid| *pid > 0), first, last })
}

fn end(text: &str) -> Option<u64> {
    if text == "EOF" { Some(u64::MAX) } else { text.parse().ok() }
}

/// A process by its number and the name of its program.
fn process(pid: Option<u32>) -> String {
    let Some(pid) = pid else { return "a process that is not known".to_owned() };
    let name = fs::read_to_string(PathBuf::from(format!("/proc/{pid}/comm"))).unwrap_or_default();
    match name.trim() {
        "" => format!("process {pid}"),
        name => format!("process {pid} ({name})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let file = "fd:00:5678";
        let lock = |is_exclusive, pid, first, last| Some(Lock { is_exclusive, pid, first, last });
        for (line, expected) in [
            ("1: POSIX  ADVISORY  WRITE 1234 fd:00:5678 1073741826 1073742335", {
                lock(true, Some(1234), 1_073_741_826, 1_073_742_335)
            }),
            ("2: FLOCK  ADVISORY  WRITE 9 fd:00:5678 0 EOF", lock(true, Some(9), 0, u64::MAX)),
            ("3: POSIX  ADVISORY  READ 9 fd:00:5678 1073741826 1073742335", {
                lock(false, Some(9), 1_073_741_826, 1_073_742_335)
            }),
            ("4: OFDLCK ADVISORY  WRITE -1 fd:00:5678 0 EOF", lock(true, None, 0, u64::MAX)),
            ("4: POSIX  ADVISORY  WRITE 0 fd:00:5678 0 EOF", lock(true, None, 0, u64::MAX)),
            ("1: -> POSIX  ADVISORY  WRITE 1234 fd:00:5678 0 EOF", None),
            ("1: POSIX  ADVISORY  WRITE 1234 fd:00:567 0 EOF", None),
            ("", None),
            ("1: POSIX", None),
            ("1: POSIX  ADVISORY  WRITE 1234 fd:00:5678 x EOF", None),
        ] {
            assert_eq!(parse(line, file), expected, "{line}");
        }
    }
}

//! The main file of a database, as the copying child process handles it: it is opened through SQLite, gets the contents of
//! its WAL, and is copied by `cp`.
//!
//! This process never reads the bytes of a live main file itself: closing it would drop the locks that SQLite holds on it for
//! this process (`docs/sqlite.md`, 1).

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, OpenFlags};

/// Opens an existing database for reading and writing.
pub(super) fn open(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(path, flags).with_context(|| format!("cannot open {}", path.display()))
}

/// Moves all of a WAL into its main file, and cuts it to no length. Does nothing in the other journal modes.
pub(super) fn checkpoint_all(connection: &Connection) -> Result<()> {
    let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy {
        bail!("the WAL could not be moved into the main file: somebody is reading or writing");
    }
    Ok(())
}

/// Copies a main file by running `cp`, which is a process of its own, so that this one loses no lock.
pub(super) fn copy(cp: &Path, from: &Path, to: &Path) -> Result<()> {
    let mut command = Command::new(cp);
    command.args([from, to]).stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().with_context(|| format!("cannot run {}", cp.display()))?;
    if status.success() { Ok(()) } else { bail!("cp ended with {status}") }
}

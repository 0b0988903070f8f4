//! Takes a copy of somebody's own tracker database for a dataset.
//!
//! The original is read with plain reads and never opened through SQLite. Its journal or WAL is copied along, and what has
//! to be recovered is recovered in the copy, which is then checked (`shape`), summed and sampled (`scan`).
//!
//! A database that is written to meanwhile cannot be adopted: its copy would be torn. A change that its size or its time
//! of modification shows is refused at once, and so is a copy that is not sound.

mod scan;
mod shape;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::UNIX_EPOCH,
};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{Adopted, FORMAT, Manifest, Origin, SchemaRow, Stamp};
use crate::{pages::header::Header, sqlite, work};

/// Why a database was not adopted.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// A file could not be read or written.
    #[error("dataset.path = {}: cannot copy it", path.display())]
    Io {
        /// The file that was to be copied.
        path: PathBuf,
        /// What went wrong.
        source: anyhow::Error,
    },
    /// SQLite cannot read the copy.
    #[error("dataset.path = {}: SQLite cannot read a copy of it; was a tracker writing to it?", path.display())]
    Sqlite {
        /// The original.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// It is no database that a trial could start from.
    #[error("dataset.path = {}: {reason}", path.display())]
    Refused {
        /// The original.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The caller asked to stop.
    #[error("interrupted while adopting a database")]
    Interrupted,
}

/// Why a copy is not taken; its path is the caller's to add.
#[derive(Debug)]
enum ReadError {
    Sqlite(rusqlite::Error),
    Refused(String),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn refuse<T>(reason: impl Into<String>) -> Result<T, ReadError> {
    Err(ReadError::Refused(reason.into()))
}

/// Whether a database has the tables of a tracker, and nothing else but what it notes its migrations in.
///
/// # Errors
/// What SQLite says.
pub(crate) fn is_trackers(connection: &Connection) -> rusqlite::Result<bool> {
    let mut schema = SchemaRow::read_all(connection)?;
    schema.retain(|row| row.table != shape::MIGRATIONS);
    match shape::check(connection, &schema) {
        Ok(_) => Ok(true),
        Err(ReadError::Refused(_)) => Ok(false),
        Err(ReadError::Sqlite(error)) => Err(error),
    }
}

/// The database and its journal or WAL, where there is something in it, as they are now.
///
/// # Errors
/// As the operating system says.
pub(crate) fn stamps(path: &Path) -> io::Result<Vec<Stamp>> {
    // SQLite, too, looks for the other files beside the file that a link leads to.
    let path = path.canonicalize()?;
    let stamp = |path: PathBuf| -> io::Result<Stamp> {
        let metadata = path.metadata()?;
        let modified = metadata.modified()?.duration_since(UNIX_EPOCH).map_err(io::Error::other)?;
        let modified_ns = i64::try_from(modified.as_nanos()).map_err(io::Error::other)?;
        Ok(Stamp { path, bytes: metadata.len(), modified_ns })
    };
    let mut files = vec![stamp(path.clone())?];
    for suffix in RECOVERED_FROM {
        match stamp(sqlite::side_file(&path, suffix)) {
            Ok(file) if file.bytes > 0 => files.push(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(files)
}

/// The files beside a database that hold a part of its content.
const RECOVERED_FROM: [&str; 2] = ["-wal", "-journal"];

/// Copies the database at `path` to `copy`, where nothing may be, and says what is known of the copy, which is whole and
/// synced. What is left at `copy` after an error is the caller's to remove.
///
/// # Errors
/// [`AdoptError`].
pub fn adopt(path: &Path, copy: &Path, interrupted: &Arc<AtomicBool>) -> Result<Manifest, AdoptError> {
    let io = |source: anyhow::Error| match source.downcast_ref::<io::Error>().map(io::Error::kind) {
        Some(io::ErrorKind::Interrupted) => AdoptError::Interrupted,
        _ => AdoptError::Io { path: path.to_owned(), source },
    };
    let refused = |reason: &str| AdoptError::Refused { path: path.to_owned(), reason: reason.to_owned() };
    let files = stamps(path).map_err(|error| io(error.into()))?;
    if files.iter().any(|file| file.path.to_str().is_none()) {
        return Err(refused("its path is not UTF-8, as the description of its copy is; move it"));
    }
    // What can be seen in the header is refused before gigabytes are copied.
    let header = Header::read(path).map_err(|_| refused("it is no SQLite database"))?;
    shape::check_header(&header).map_err(|reason| refused(&reason))?;
    let main = files.first().map(|file| file.path.clone()).unwrap_or_default();
    for file in &files {
        let suffix = RECOVERED_FROM.into_iter().find(|suffix| sqlite::side_file(&main, suffix) == file.path);
        work::copy(&file.path, &sqlite::side_file(copy, suffix.unwrap_or_default()), interrupted).map_err(io)?;
    }
    if stamps(path).map_err(|error| io(error.into()))? != files {
        return Err(refused("it was written to while it was copied; stop the tracker, or give a backup"));
    }
    let described = recover(copy, interrupted).and_then(|()| describe(copy, interrupted)).map_err(|failure| {
        let path = path.to_owned();
        match failure {
            ReadError::Sqlite(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => {
                AdoptError::Interrupted
            }
            ReadError::Sqlite(source) => AdoptError::Sqlite { path, source },
            ReadError::Refused(reason) => AdoptError::Refused { path, reason },
        }
    })?;
    let finish = || -> io::Result<(u64, Header)> {
        fs::File::open(copy)?.sync_all()?;
        Ok((copy.metadata()?.len(), Header::read(copy)?))
    };
    let (bytes, header) = finish().map_err(|error| io(error.into()))?;
    let Description { scanned, schema } = described;
    let manifest = Manifest {
        format: FORMAT,
        origin: Origin::Adopted(Adopted { files, sample: scanned.sample }),
        rows: scanned.rows,
        bytes,
        digest: scanned.digest,
        zeros: Some(scanned.zeros),
        sequence: scanned.sequence,
        aggregate: scanned.aggregate,
        schema,
        header,
    };
    // It would be no manifest when it is read again.
    manifest.check().map_err(|reason| refused(&reason))?;
    Ok(manifest)
}

fn open(copy: &Path, flags: OpenFlags, interrupted: &Arc<AtomicBool>) -> rusqlite::Result<Connection> {
    let mut connection = Connection::open_with_flags(copy, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    sqlite::stop_when(&mut connection, interrupted)?;
    connection.pragma_update(None, "cache_size", -32_000)?;
    Ok(connection)
}

/// Makes one file of the copy: what a hot journal or a WAL holds is brought into it.
fn recover(copy: &Path, interrupted: &Arc<AtomicBool>) -> Result<(), ReadError> {
    let connection = open(copy, OpenFlags::SQLITE_OPEN_READ_WRITE, interrupted)?;
    // The first reading rolls a hot journal back; leaving WAL runs a checkpoint and removes the log.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))?;
    connection.pragma_update(None, "journal_mode", "delete")?;
    if sqlite::pragma_text(&connection, "journal_mode")? != "delete" {
        return refuse("its WAL cannot be brought into a copy of it");
    }
    shape::drop_migrations(&connection)?;
    connection.close().map_err(|(_, error)| error)?;
    // What is left of a journal that was not hot.
    for suffix in sqlite::SIDE_FILES {
        let _ = fs::remove_file(sqlite::side_file(copy, suffix));
    }
    Ok(())
}

struct Description {
    scanned: scan::ScanResult,
    schema: Vec<SchemaRow>,
}

fn describe(copy: &Path, interrupted: &Arc<AtomicBool>) -> Result<Description, ReadError> {
    let connection = open(copy, OpenFlags::SQLITE_OPEN_READ_ONLY, interrupted)?;
    let schema = SchemaRow::read_all(&connection)?;
    let tables = shape::check(&connection, &schema)?;
    let answer = sqlite::check(&connection, "quick_check")?;
    if answer != "ok" {
        return refuse(format!("a copy of it is damaged ({answer}); was a tracker writing to it?"));
    }
    let scanned = scan::scan(copy, &tables, interrupted)?;
    Ok(Description { scanned, schema })
}

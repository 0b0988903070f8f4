//! Opens databases with explicit settings and reads them back; tells a busy database from a broken one.
//!
//! A benchmark of SQLite that leaves a setting unstated measures the default of whichever library it was linked to. So
//! every connection of a trial is opened through [`open`], which sets each pragma that changes speed and refuses to go
//! on where SQLite did not take the value.
//!
//! The live database of a trial is opened through SQLite and in no other way: closing any other file descriptor of it
//! would drop this process's POSIX locks (`docs/sqlite.md`, 1).

use std::{
    collections::BTreeMap,
    ffi::CStr,
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// SQLite's journal modes that a trial can run under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JournalMode {
    /// A rollback journal, deleted at each commit; SQLite's default.
    Delete,
    /// A rollback journal, cut to no length at each commit.
    Truncate,
    /// A rollback journal whose header is overwritten at each commit.
    Persist,
    /// A rollback journal in memory: a crash in a commit destroys the database.
    Memory,
    /// A write-ahead log.
    Wal,
    /// No journal: no rollback, and a crash in a commit destroys the database.
    Off,
}

impl JournalMode {
    /// Every mode.
    pub const ALL: [Self; 6] = [Self::Delete, Self::Truncate, Self::Persist, Self::Memory, Self::Wal, Self::Off];

    /// Whether commits go to a write-ahead log first.
    #[must_use]
    pub fn has_wal(self) -> bool {
        match self {
            Self::Wal => true,
            Self::Delete | Self::Truncate | Self::Persist | Self::Memory | Self::Off => false,
        }
    }
}

/// `PRAGMA synchronous`: when SQLite calls fsync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Synchronous {
    /// SQLite never calls it.
    Off,
    /// At the most critical moments; in WAL only around checkpoints.
    Normal,
    /// At every commit; SQLite's default.
    Full,
    /// As full, and the folder after a rollback journal is deleted.
    Extra,
}

impl Synchronous {
    /// Every level, the safest last.
    pub const ALL: [Self; 4] = [Self::Off, Self::Normal, Self::Full, Self::Extra];
}

/// How a write transaction of several statements begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TransactionMode {
    /// With no lock: the first statement takes it.
    Deferred,
    /// With the lock of the one writer.
    #[default]
    Immediate,
    /// In rollback modes without readers beside it; in WAL as immediate.
    Exclusive,
}

impl fmt::Display for TransactionMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deferred => "deferred",
            Self::Immediate => "immediate",
            Self::Exclusive => "exclusive",
        })
    }
}

impl TransactionMode {
    /// The statement that begins it.
    #[must_use]
    pub fn begin(self) -> &'static str {
        match self {
            Self::Deferred => "BEGIN DEFERRED",
            Self::Immediate => "BEGIN IMMEDIATE",
            Self::Exclusive => "BEGIN EXCLUSIVE",
        }
    }
}

/// The settings of a connection that change its speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `PRAGMA journal_mode`.
    pub journal_mode: JournalMode,
    /// `PRAGMA synchronous`.
    pub synchronous: Synchronous,
    /// Size of the page cache of the connection, in KiB (`PRAGMA cache_size` negated).
    pub cache_size_kib: i64,
    /// Bytes of the database that may be memory-mapped (`PRAGMA mmap_size`).
    pub mmap_size_bytes: i64,
    /// Pages in the WAL at which a commit runs a checkpoint (`PRAGMA wal_autocheckpoint`); 0 for never.
    pub wal_autocheckpoint_pages: i64,
    /// How long SQLite retries when the database is locked, in milliseconds (`PRAGMA busy_timeout`).
    pub busy_timeout_ms: i64,
}

/// The settings of an open connection as SQLite reports them, by pragma: those that [`open`] sets, and those that came
/// with the file or the library.
///
/// # Errors
/// What SQLite says.
pub(crate) fn read_back(connection: &Connection) -> rusqlite::Result<BTreeMap<String, String>> {
    let pragmas = [
        "journal_mode",
        "synchronous",
        "page_size",
        "cache_size",
        "mmap_size",
        "wal_autocheckpoint",
        "busy_timeout",
        "locking_mode",
        "auto_vacuum",
        "temp_store",
        "journal_size_limit",
        "cache_spill",
        "fullfsync",
        "checkpoint_fullfsync",
    ];
    pragmas.iter().map(|pragma| Ok(((*pragma).to_owned(), pragma_text(connection, pragma)?))).collect()
}

/// Why a database could not be opened with the settings asked for.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite refused.
    #[error("cannot open {}", path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A pragma was set and reads back as something else.
    #[error("{}: PRAGMA {pragma} was set to {wanted} and reads back as {found}", path.display())]
    NotTaken {
        /// The database.
        path: PathBuf,
        /// The pragma's name.
        pragma: &'static str,
        /// The value that was set.
        wanted: String,
        /// The value that SQLite reports.
        found: String,
    },
}

/// Opens an existing database for reading and writing with `settings`, each read back and compared.
///
/// # Errors
/// [`OpenError`] when the file is no database, is locked for longer than the busy timeout, or takes a setting otherwise.
pub fn open(path: &Path, settings: &Settings) -> Result<Connection, OpenError> {
    open_through(path, settings, None)
}

/// As [`open`], through a VFS of this name, or the system's own.
///
/// # Errors
/// As [`open`].
pub fn open_through(path: &Path, settings: &Settings, vfs: Option<&CStr>) -> Result<Connection, OpenError> {
    let sqlite = |source| OpenError::Sqlite { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = match vfs {
        Some(vfs) => Connection::open_with_flags_and_vfs(path, flags, vfs),
        None => Connection::open_with_flags(path, flags),
    };
    let connection = connection.map_err(sqlite)?;
    let timeout = u64::try_from(settings.busy_timeout_ms).unwrap_or(0);
    connection.busy_timeout(Duration::from_millis(timeout)).map_err(sqlite)?;
    connection.pragma_update(None, "journal_mode", settings.journal_mode.to_string()).map_err(sqlite)?;
    connection.pragma_update(None, "synchronous", settings.synchronous.to_string()).map_err(sqlite)?;
    connection.pragma_update(None, "cache_size", -settings.cache_size_kib).map_err(sqlite)?;
    connection.pragma_update(None, "mmap_size", settings.mmap_size_bytes).map_err(sqlite)?;
    connection.pragma_update(None, "wal_autocheckpoint", settings.wal_autocheckpoint_pages).map_err(sqlite)?;
    let expected = [
        ("journal_mode", settings.journal_mode.to_string()),
        ("synchronous", (settings.synchronous as i64).to_string()),
        ("cache_size", (-settings.cache_size_kib).to_string()),
        ("mmap_size", settings.mmap_size_bytes.to_string()),
        ("wal_autocheckpoint", settings.wal_autocheckpoint_pages.to_string()),
        ("busy_timeout", settings.busy_timeout_ms.to_string()),
    ];
    for (pragma, wanted) in expected {
        let found = pragma_text(&connection, pragma).map_err(sqlite)?;
        if found != wanted {
            return Err(OpenError::NotTaken { path: path.to_owned(), pragma, wanted, found });
        }
    }
    Ok(connection)
}

/// The value of a pragma as text, whatever its type.
///
/// # Errors
/// What SQLite says.
pub fn pragma_text(connection: &Connection, pragma: &str) -> rusqlite::Result<String> {
    connection.pragma_query_value(None, pragma, |row| {
        Ok(match row.get_ref(0)? {
            rusqlite::types::ValueRef::Integer(number) => number.to_string(),
            other => other.as_str().unwrap_or_default().to_owned(),
        })
    })
}

/// Opens a file that nobody else has open, with SQLite's defaults; long statements end with `SQLITE_INTERRUPT` soon after
/// `interrupted` is set.
///
/// # Errors
/// What SQLite says.
pub(crate) fn open_file(path: &Path, interrupted: &Arc<AtomicBool>) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    stop_when(&mut connection, interrupted)?;
    Ok(connection)
}

/// Makes long statements of `connection` end with `SQLITE_INTERRUPT` soon after `interrupted` is set.
///
/// # Errors
/// What SQLite says.
pub(crate) fn stop_when(connection: &mut Connection, interrupted: &Arc<AtomicBool>) -> rusqlite::Result<()> {
    let flag = Arc::clone(interrupted);
    connection.progress_handler(10_000, Some(move || flag.load(Ordering::Relaxed)))
}

/// What `PRAGMA integrity_check` or `quick_check` says: `ok`, or the first lines of what is wrong.
///
/// # Errors
/// What SQLite says.
pub fn check(connection: &Connection, pragma: &str) -> rusqlite::Result<String> {
    const LINES: u32 = 3;
    let mut statement = connection.prepare(&format!("PRAGMA {pragma}({LINES})"))?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?;
    Ok(lines.collect::<rusqlite::Result<Vec<_>>>()?.join("\n"))
}

/// Whether an error says that the database was locked for longer than the busy timeout.
#[must_use]
pub fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

/// A file that SQLite keeps beside a database: `main-wal`, `main-shm`, `main-journal`. Only names tie them.
#[must_use]
pub fn side_file(main: &Path, suffix: &str) -> PathBuf {
    let mut name = main.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// The suffixes of the files that SQLite keeps beside a database.
pub const SIDE_FILES: [&str; 3] = ["-wal", "-journal", "-shm"];

impl fmt::Display for JournalMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delete => "delete",
            Self::Truncate => "truncate",
            Self::Persist => "persist",
            Self::Memory => "memory",
            Self::Wal => "wal",
            Self::Off => "off",
        })
    }
}

impl fmt::Display for Synchronous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::Normal => "normal",
            Self::Full => "full",
            Self::Extra => "extra",
        })
    }
}

/// `sqlite_sequence` of a table: 0 where it never had a row.
///
/// # Errors
/// What SQLite says of the file.
pub(crate) fn sequence(path: &Path, table: &str) -> rusqlite::Result<i64> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let sequence = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
    connection.query_row(sequence, [table], |row| row.get(0)).optional().map(Option::unwrap_or_default)
}

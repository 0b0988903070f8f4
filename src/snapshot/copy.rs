//! The strategies that are this program's own, as they run in a child process of its binary.
//!
//! The child says on standard output how far it is and how long each part took, one [`Said`] a line in JSON; it fails with a
//! message on standard error and status 1, and leaves what it leaves.

use std::{
    ffi::OsString,
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};

use super::{
    backup::{self, Progress},
    held_copy,
    options::{BackupOptions, HoldOptions, WaitOptions},
};

/// The hidden subcommand of the binary that runs [`copy`].
pub const COMMAND: &str = "copy-process";

/// Progress is said no more often than this.
const BETWEEN_SAYINGS: Duration = Duration::from_millis(100);

/// What the child runs; as an argument of the command line, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The backup API.
    Backup(BackupOptions),
    /// `VACUUM INTO`.
    VacuumInto(WaitOptions),
    /// A held read transaction and the files, copied by this program `cp`.
    HeldCopy(HoldOptions, PathBuf),
    /// A checkpoint of all of the WAL, where there is one, and the main file, copied by this program `cp`.
    CheckpointAndCopy(WaitOptions, PathBuf),
}

/// What the child says.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// How far it is.
    Progress(Progress),
    /// A part has ended.
    Part(PartResult),
}

/// A part of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Waiting for the lock that it is done under.
    Lock,
    /// The main file.
    CopyMain,
    /// The WAL.
    CopyWal,
    /// The WAL of the copy, moved into the copy.
    Fold,
    /// The WAL of the live database, moved into its main file.
    Checkpoint,
}

/// How long a part took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PartResult {
    /// Which.
    pub part: Part,
    /// In seconds.
    pub duration_s: f64,
}

impl Part {
    /// In the order in which a copy comes to them.
    pub const ALL: [Self; 5] = [Self::Lock, Self::Checkpoint, Self::CopyMain, Self::CopyWal, Self::Fold];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lock => "lock",
            Self::CopyMain => "main file",
            Self::CopyWal => "WAL",
            Self::Fold => "fold",
            Self::Checkpoint => "checkpoint",
        })
    }
}

impl FromStr for Method {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

/// The command of the child process that copies `live` to `out`. Paths must be absolute.
#[must_use]
pub fn command(journalbench: &Path, method: &Method, live: &Path, out: &Path) -> Command {
    let mut command = Command::new(journalbench);
    // Numbers and paths: what has no JSON is a path that is not UTF-8, and the child refuses it in words.
    let method = serde_json::to_string(method).unwrap_or_default();
    command.args([COMMAND.into(), OsString::from(method), live.into(), out.into()]);
    command
}

/// Copies `live` to `out`.
///
/// # Errors
/// What SQLite and the operating system say, a locked database among it.
pub fn copy(method: &Method, live: &Path, out: &Path) -> Result<()> {
    match method {
        Method::Backup(options) => back_up(*options, live, out),
        Method::VacuumInto(options) => vacuum_into(*options, live, out),
        Method::HeldCopy(options, cp) => {
            let busy_timeout = Duration::from_millis(options.busy_timeout_ms);
            held_copy::copy(live, out, cp, busy_timeout, &mut |_| ())?
                .into_iter()
                .try_for_each(|part| say(Said::Part(part)))
        }
        Method::CheckpointAndCopy(options, cp) => checkpoint_and_copy(*options, cp, live, out),
    }
}

fn back_up(options: BackupOptions, live: &Path, out: &Path) -> Result<()> {
    let source = open(live)?;
    let mut target = Connection::open(out).with_context(|| format!("cannot open {}", out.display()))?;
    let mut last = Progress::default();
    let mut said: Option<Instant> = None;
    let copied = backup::backup(&source, &mut target, options, &mut |progress| {
        last = progress;
        if said.is_some_and(|said| said.elapsed() < BETWEEN_SAYINGS) {
            return Ok(());
        }
        said = Some(Instant::now());
        say(Said::Progress(progress))
    });
    say(Said::Progress(last))?;
    copied
}

fn vacuum_into(options: WaitOptions, live: &Path, out: &Path) -> Result<()> {
    let source = open(live)?;
    source.busy_timeout(Duration::from_millis(options.busy_timeout_ms))?;
    let name = out.to_str().with_context(|| format!("{} is not UTF-8", out.display()))?;
    source.execute("VACUUM INTO ?1", [name]).with_context(|| format!("cannot vacuum into {}", out.display()))?;
    Ok(())
}

/// Nobody may write meanwhile: that is the caller's business.
fn checkpoint_and_copy(options: WaitOptions, cp: &Path, live: &Path, out: &Path) -> Result<()> {
    let connection = open(live)?;
    connection.busy_timeout(Duration::from_millis(options.busy_timeout_ms))?;
    let begun = Instant::now();
    checkpoint_all(&connection)?;
    // Closed before the copy: another process reads the file, but this one has nothing to lose by it either.
    drop(connection);
    say(Said::Part(PartResult { part: Part::Checkpoint, duration_s: begun.elapsed().as_secs_f64() }))?;
    let begun = Instant::now();
    run_cp(cp, live, out)?;
    say(Said::Part(PartResult { part: Part::CopyMain, duration_s: begun.elapsed().as_secs_f64() }))
}

/// Moves all of a WAL into its main file, and cuts it to no length. Does nothing in the other journal modes.
pub(super) fn checkpoint_all(connection: &Connection) -> Result<()> {
    let busy: bool = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy {
        bail!("the WAL could not be moved into the main file: somebody is reading or writing");
    }
    Ok(())
}

/// Copies the main file of a database in a process of its own, so that no lock of this one goes (`docs/sqlite.md`, 1).
pub(super) fn run_cp(cp: &Path, live: &Path, out: &Path) -> Result<()> {
    let mut command = Command::new(cp);
    command.args([live, out]).stdin(Stdio::null()).stdout(Stdio::null());
    let status = command.status().with_context(|| format!("cannot run {}", cp.display()))?;
    if status.success() { Ok(()) } else { bail!("cp ended with {status}") }
}

fn open(live: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(live, flags).with_context(|| format!("cannot open {}", live.display()))
}

fn say(what: Said) -> Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &what)?;
    writeln!(out)?;
    Ok(out.flush()?)
}

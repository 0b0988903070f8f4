//! The strategies that are SQLite's own, as they run in a child process of this program's binary.
//!
//! The child says on standard output how far it is, one [`Progress`] a line in JSON, at most ten a second, and at the
//! end; it fails with a message on standard error and status 1, and leaves what it leaves.

use std::{
    io::{self, Write},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};
use serde::{Deserialize, Serialize};

/// The hidden subcommand of the binary that runs [`copy`].
pub const COMMAND: &str = "copy-process";

/// Pages that a step of the backup API copies, as in the `sqlite3` program.
pub const PAGES_PER_STEP: i32 = 100;

/// How long `VACUUM INTO` waits for its first lock, in milliseconds, as `sqlite3 -cmd '.timeout 5000'` would.
pub const VACUUM_BUSY_TIMEOUT_MS: u64 = 5_000;

/// What the child runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Method {
    /// The backup API as the `sqlite3` program's `.backup` uses it: 100 pages a step, no pause, no busy timeout.
    Backup,
    /// `VACUUM INTO`.
    VacuumInto,
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Pages that are still to be copied.
    pub remaining_pages: u64,
    /// Pages of the database.
    pub total_pages: u64,
    /// How often the copy has begun again because somebody else committed.
    pub restarts: u64,
    /// Pages that were copied before it did.
    pub pages_in_vain: u64,
}

impl Progress {
    /// The part that is done, from 0 to 1; `None` where the size is not known yet.
    #[must_use]
    pub fn done(self) -> Option<f64> {
        (self.total_pages > 0).then(|| 1.0 - self.remaining_pages as f64 / self.total_pages as f64)
    }
}

/// Copies `live` to `out`.
///
/// # Errors
/// What SQLite says: a locked database among it.
pub fn copy(method: Method, live: &Path, out: &Path) -> Result<()> {
    let source = Connection::open_with_flags(live, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .with_context(|| format!("cannot open {}", live.display()))?;
    match method {
        Method::Backup => backup(&source, out),
        Method::VacuumInto => vacuum_into(&source, out),
    }
}

fn backup(source: &Connection, out: &Path) -> Result<()> {
    source.busy_timeout(Duration::ZERO)?;
    let mut target = Connection::open(out).with_context(|| format!("cannot open {}", out.display()))?;
    let backup = Backup::new(source, &mut target)?;
    let mut report = Report::default();
    loop {
        match backup.step(PAGES_PER_STEP)? {
            StepResult::Done => {
                report.stepped(&backup);
                return report.say();
            }
            StepResult::More => report.stepped(&backup),
            StepResult::Busy => report.give_up("database is locked")?,
            StepResult::Locked => report.give_up("database table is locked")?,
            other => report.give_up(&format!("unexpected answer of sqlite3_backup_step: {other:?}"))?,
        }
        report.say_now_and_then()?;
    }
}

fn vacuum_into(source: &Connection, out: &Path) -> Result<()> {
    source.busy_timeout(Duration::from_millis(VACUUM_BUSY_TIMEOUT_MS))?;
    let name = out.to_str().with_context(|| format!("{} is not UTF-8", out.display()))?;
    source.execute("VACUUM INTO ?1", [name]).with_context(|| format!("cannot vacuum into {}", out.display()))?;
    Ok(())
}

/// Follows the steps of a backup.
#[derive(Default)]
struct Report {
    progress: Progress,
    said: Option<Instant>,
}

impl Report {
    /// After a step. One that began again leaves as many pages as the first one did, rather than fewer than before it.
    fn stepped(&mut self, backup: &Backup<'_, '_>) {
        let now = backup.progress();
        let pages = |count: i32| u64::try_from(count).unwrap_or(0);
        let first = self.progress.total_pages == 0;
        if !first && pages(now.remaining) >= self.progress.remaining_pages && self.progress.remaining_pages > 0 {
            self.progress.restarts += 1;
            self.progress.pages_in_vain += self.progress.total_pages - self.progress.remaining_pages;
        }
        self.progress.remaining_pages = pages(now.remaining);
        self.progress.total_pages = pages(now.pagecount);
    }

    fn say_now_and_then(&mut self) -> Result<()> {
        if self.said.is_some_and(|said| said.elapsed() < Duration::from_millis(100)) {
            return Ok(());
        }
        self.said = Some(Instant::now());
        self.say()
    }

    fn say(&self) -> Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, &self.progress)?;
        writeln!(out)?;
        Ok(out.flush()?)
    }

    fn give_up(&self, why: &str) -> Result<()> {
        self.say()?;
        bail!("{why}")
    }
}

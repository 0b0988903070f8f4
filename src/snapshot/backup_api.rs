//! SQLite's backup API, step by step, and how far it is.
//!
//! Which connection copies, and who is told of it, is the caller's business.

use std::{thread, time::Duration};

use anyhow::{Result, bail};
use rusqlite::{
    Connection,
    backup::{Backup, StepResult},
};
use serde::{Deserialize, Serialize};

use super::options::BackupOptions;

/// How far a copy is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyProgress {
    /// Pages that are still to be copied.
    pub remaining_pages: u64,
    /// Pages of the database.
    pub total_pages: u64,
    /// How often the copy has begun again because somebody else committed.
    pub restarts: u64,
    /// Pages that were copied before it did.
    pub pages_in_vain: u64,
}

impl CopyProgress {
    /// The part that is done, from 0 to 1; `None` where the size is not known yet.
    #[must_use]
    pub fn done(self) -> Option<f64> {
        (self.total_pages > 0).then(|| 1.0 - self.remaining_pages as f64 / self.total_pages as f64)
    }

    /// Copies so many pages, or all with -1. Says whether that was the last of them.
    ///
    /// # Errors
    /// What SQLite says, a locked database among it.
    pub fn step(&mut self, backup: &Backup<'_, '_>, pages: i32) -> Result<bool> {
        match backup.step(pages)? {
            StepResult::Done => {
                self.note_step(backup);
                Ok(true)
            }
            StepResult::More => {
                self.note_step(backup);
                Ok(false)
            }
            StepResult::Busy => bail!("database is locked"),
            StepResult::Locked => bail!("database table is locked"),
            other => bail!("unexpected answer of sqlite3_backup_step: {other:?}"),
        }
    }

    /// Takes over what SQLite counts after a step. A step that began the copy again leaves as many pages as the first one did,
    /// rather than fewer than before it.
    fn note_step(&mut self, backup: &Backup<'_, '_>) {
        let now = backup.progress();
        let pages = |count: i32| u64::try_from(count).unwrap_or(0);
        let first = self.total_pages == 0;
        if !first && pages(now.remaining) >= self.remaining_pages && self.remaining_pages > 0 {
            self.restarts += 1;
            self.pages_in_vain += self.total_pages - self.remaining_pages;
        }
        self.remaining_pages = pages(now.remaining);
        self.total_pages = pages(now.pagecount);
    }
}

/// Copies a whole database. `report` is told after every step, and before a failure.
///
/// # Errors
/// What SQLite says, a database that was locked for longer than the busy timeout among it; what `report` returns.
pub fn copy(
    source: &Connection,
    target: &mut Connection,
    options: BackupOptions,
    report: &mut dyn FnMut(CopyProgress) -> Result<()>,
) -> Result<()> {
    source.busy_timeout(Duration::from_millis(options.busy_timeout_ms))?;
    let backup = Backup::new(source, target)?;
    let mut progress = CopyProgress::default();
    loop {
        let is_last = progress.step(&backup, options.pages_per_step);
        report(progress)?;
        if is_last? {
            return Ok(());
        }
        if options.pause_ms > 0 {
            thread::sleep(Duration::from_millis(options.pause_ms));
        }
    }
}

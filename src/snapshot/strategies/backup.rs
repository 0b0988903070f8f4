//! `backup`: SQLite's backup API in a child process of this program's own binary, driven as the `sqlite3` program's `.backup`
//! drives it.
//!
//! **What it is for:** the copy that SQLite's own documentation offers for a live database. Unlike the program, this one says
//! how far it is and how often it began again, and its steps can be set.
//!
//! **What it costs:** between two steps it holds no lock, so it holds up nobody for long. Whenever somebody else commits it
//! begins again, so that under steady commits it never ends (`docs/sqlite.md`, 15). A locked database makes it fail at once.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use rusqlite::Connection;
use serde_json::json;

use crate::{
    snapshot::{
        backup_api::{self, CopyProgress},
        definition::{Definition, Isolation, LiveCopy, Procedure, WriterRole},
        main_file,
        options::{BackupOptions, OptionProblem, StrategyOptions, check_busy_timeout, within},
        protocol::{ChildMessage, Method},
    },
    torrents::Portion,
};

/// The row of the table of strategies.
pub const DEFINITION: Definition = Definition {
    isolation: Isolation::Isolated,
    writers: WriterRole::None,
    takes_snapshots: true,
    portion: Portion::Whole,
    begins_again: true,
    syncs_after: false,
    procedure: |site| Procedure::child(site.copy_process(&Method::Backup(site.options.backup))),
    options: |options| json!(options.backup),
    check,
    live_copy: |_| LiveCopy::Complete,
};

/// Progress is said no more often than this.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

fn check(options: &StrategyOptions, _is_used: bool) -> Result<(), OptionProblem> {
    let BackupOptions { pages_per_step, pause_ms, busy_timeout_ms } = options.backup;
    within("snapshots.options.backup.pages_per_step", pages_per_step, 1, 1 << 30)?;
    within("snapshots.options.backup.pause_ms", pause_ms, 0, 60_000)?;
    check_busy_timeout("snapshots.options.backup.busy_timeout_ms", busy_timeout_ms)
}

/// Copies in the child process, and says meanwhile how far it is.
pub fn copy(options: BackupOptions, live: &Path, out: &Path) -> Result<()> {
    let source = main_file::open(live)?;
    let mut target = Connection::open(out).with_context(|| format!("cannot open {}", out.display()))?;
    let mut latest = CopyProgress::default();
    let mut last_report: Option<Instant> = None;
    let result = backup_api::copy(&source, &mut target, options, &mut |progress| {
        latest = progress;
        if last_report.is_some_and(|instant| instant.elapsed() < PROGRESS_INTERVAL) {
            return Ok(());
        }
        last_report = Some(Instant::now());
        ChildMessage::Progress(progress).send()
    });
    // The last steps may have been too soon after the last report.
    ChildMessage::Progress(latest).send()?;
    result
}

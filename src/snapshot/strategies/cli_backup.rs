//! `cli-backup`: the real `sqlite3` program's `.backup`.
//!
//! **What it is for:** the command that is proposed wherever somebody asks how to back up a live database.
//!
//! **What it costs:** as `backup`: it holds up nobody for long, begins again whenever somebody else commits, and fails at once
//! on a locked database. It then leaves an empty file, which passes `integrity_check` (`docs/sqlite.md`, 14).

use std::{path::Path, process::Command};

use serde_json::json;

use crate::{
    snapshot::definition::{Definition, Isolation, LiveCopy, Procedure, SNAPSHOT_FILE, Site, WriterRole, command},
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
    procedure: |site| site.programs.with_sqlite3(|sqlite3| Procedure::child(dot_backup(sqlite3, site, None))),
    options: |_| json!({}),
    check: |_, _| Ok(()),
    live_copy: |_| LiveCopy::Complete,
};

/// `.backup`, after a `.timeout` where one is given. The target is named by its last part, which needs no quoting, and nobody's
/// ~/.sqliterc is read.
pub(super) fn dot_backup(sqlite3: &Path, site: &Site<'_>, timeout_ms: Option<u64>) -> Command {
    let mut command = command(sqlite3, ["-init", "/dev/null"]);
    if let Some(timeout_ms) = timeout_ms {
        command.args(["-cmd".to_owned(), format!(".timeout {timeout_ms}")]);
    }
    command.arg(site.live).arg(format!(".backup {SNAPSHOT_FILE}")).current_dir(site.folder);
    command
}

//! `cli-backup-timeout`: the real `sqlite3` program's `.backup`, after its `.timeout`.
//!
//! **What it is for:** it shows what the usual advice, a busy timeout, does for `.backup`.
//!
//! **What it costs:** as `cli-backup`, but a locked database makes it wait before it fails. It still begins again whenever
//! somebody else commits.

use serde_json::json;

use super::cli_backup::dot_backup;
use crate::{
    snapshot::{
        definition::{Definition, Isolation, LiveCopy, Procedure, WriterRole},
        options::check_busy_timeout,
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
    procedure: |site| {
        let timeout_ms = Some(site.options.cli_backup_timeout.busy_timeout_ms);
        site.programs.with_sqlite3(|sqlite3| Procedure::child(dot_backup(sqlite3, site, timeout_ms)))
    },
    options: |options| json!(options.cli_backup_timeout),
    check: |options, _| {
        let busy_timeout_ms = options.cli_backup_timeout.busy_timeout_ms;
        check_busy_timeout("snapshots.options.cli-backup-timeout.busy_timeout_ms", busy_timeout_ms)
    },
    live_copy: |_| LiveCopy::Complete,
};

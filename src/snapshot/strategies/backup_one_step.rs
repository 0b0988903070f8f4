//! `backup-one-step`: SQLite's backup API in a child process of this program's own binary, all pages in a single step.
//!
//! **What it is for:** a backup that no commit can make begin again, since it reads in one transaction.
//!
//! **What it costs:** that transaction lasts until the copy is done. In rollback modes it stops commits, and as soon as one
//! waits, new readers too (`docs/sqlite.md`, 2); in WAL mode it holds up nobody, but the WAL grows.

use serde_json::json;

use crate::{
    snapshot::{
        definition::{Definition, Isolation, LiveCopy, Procedure, Site, WriterRole},
        options::{BackupOptions, check_busy_timeout},
        protocol::Method,
    },
    torrents::Portion,
};

/// The row of the table of strategies.
pub const DEFINITION: Definition = Definition {
    isolation: Isolation::Isolated,
    writers: WriterRole::None,
    takes_snapshots: true,
    portion: Portion::Whole,
    begins_again: false,
    syncs_after: false,
    procedure,
    options: |options| json!(options.backup_one_step),
    check: |options, _| {
        check_busy_timeout("snapshots.options.backup-one-step.busy_timeout_ms", options.backup_one_step.busy_timeout_ms)
    },
    live_copy: |_| LiveCopy::Complete,
};

/// To the backup API, -1 pages are all pages.
const ALL_PAGES: i32 = -1;

fn procedure(site: &Site<'_>) -> Procedure {
    let busy_timeout_ms = site.options.backup_one_step.busy_timeout_ms;
    let options = BackupOptions { pages_per_step: ALL_PAGES, pause_ms: 0, busy_timeout_ms };
    Procedure::child(site.copy_process(&Method::Backup(options)))
}

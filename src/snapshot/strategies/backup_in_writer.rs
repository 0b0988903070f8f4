//! `backup-in-writer`: SQLite's backup API on the connection that writes, between its transactions; [`in_writer`] has the steps.
//!
//! **What it is for:** a backup in steps that ends although there are steady commits, because the writes of its own connection
//! are carried over into the copy instead of making it begin again.
//!
//! **What it costs:** each step takes the writer's time. It only works with one connection that writes, and only the program
//! that writes can do it (`docs/sqlite.md`, 16).
//!
//! [`in_writer`]: crate::snapshot::in_writer

use serde_json::json;

use crate::{
    snapshot::{
        definition::{Definition, Isolation, LiveCopy, Procedure, Task, WriterRole},
        options::within,
    },
    torrents::Portion,
};

/// The row of the table of strategies.
pub const DEFINITION: Definition = Definition {
    isolation: Isolation::Isolated,
    writers: WriterRole::Copies,
    takes_snapshots: true,
    portion: Portion::Whole,
    begins_again: false,
    syncs_after: false,
    procedure: |site| {
        Procedure::Run(Task::InWriter {
            out: site.out(),
            options: site.options.backup_in_writer,
            counted_sync_delay: site.counted_sync_delay,
        })
    },
    options: |options| json!(options.backup_in_writer),
    check: |options, _| {
        let pages_per_step = options.backup_in_writer.pages_per_step;
        within("snapshots.options.backup-in-writer.pages_per_step", pages_per_step, 1, 1 << 20)
    },
    live_copy: |_| LiveCopy::Refused("can only be done by the program that writes; use held-copy or vacuum-into"),
};

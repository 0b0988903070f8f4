//! `sqlite3-rsync`: the real `sqlite3_rsync` program of the SQLite project, from the live database to a new file.
//!
//! **What it is for:** the SQLite project's tool for copies of live databases, which can also go to another machine and sends
//! only the pages that differ. Here there is no older copy, so it sends all of them.
//!
//! **What it costs:** it runs two processes that talk to each other, and reads the database in one transaction. Few systems have
//! the program installed; where it is missing, the trial says so.

use serde_json::json;

use crate::{
    snapshot::definition::{Definition, Isolation, LiveCopy, Procedure, WriterRole, command},
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
    procedure: |site| {
        site.programs.with_sqlite3_rsync(|rsync| Procedure::child(command(rsync, [site.live, &site.out()])))
    },
    options: |_| json!({}),
    check: |_, _| Ok(()),
    live_copy: |_| LiveCopy::Complete,
};

//! `rsync`: copies the main file with the `rsync` program, while others write to it.
//!
//! **What it is for:** many backups are a nightly `rsync` of a folder that has a database in it.
//!
//! **What it costs:** as with `cp`, nobody is held up, and nothing protects the copy. It compares nothing where the copy is new: it
//! reads the file once, from its beginning to its end.

use serde_json::json;

use super::cp;
use crate::{
    snapshot::definition::{Definition, Isolation, Procedure, WriterRole, command},
    torrents::Portion,
};

/// The row of the table of strategies.
pub const DEFINITION: Definition = Definition {
    isolation: Isolation::Unprotected { luck: cp::luck },
    writers: WriterRole::None,
    takes_snapshots: true,
    portion: Portion::Whole,
    begins_again: false,
    syncs_after: false,
    procedure: |site| {
        site.programs.with_rsync(|rsync| {
            let mut command = command(rsync, ["-a", "--"]);
            command.args([site.live, &site.out()]);
            Procedure::child(command)
        })
    },
    options: |_| json!({}),
    check: |_, _| Ok(()),
    live_copy: cp::live_copy,
};

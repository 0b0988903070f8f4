//! `ionice-cp`: `cp` of the main file, with the least claim to the disk and to the processors, as backup scripts run it.
//!
//! **What it is for:** to see whether that is enough for others not to feel the copy. The kernel gives a process of the class
//! "idle" the disk when nobody else wants it, where its scheduler knows classes at all (`mq-deadline` since Linux 5.14 and `bfq`;
//! `none` does not).
//!
//! **What it costs:** what `cp` costs to what is copied. What it writes, the kernel writes to the disk later, in nobody's class.

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
        site.programs.with_ionice(|ionice| {
            let mut command = command(ionice, ["-c3", "nice", "cp"]);
            command.args([site.live, &site.out()]);
            Procedure::child(command)
        })
    },
    options: |_| json!({}),
    check: |_, _| Ok(()),
    live_copy: cp::live_copy,
};

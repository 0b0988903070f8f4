//! `cp-all`: copies the main file and whichever of SQLite's files lie beside it, one after the other, with the system's `cp`.
//!
//! **What it is for:** it is what is often advised for WAL mode: to copy "all three files". It shows whether that helps.
//!
//! **What it costs:** as with `cp`, nobody is held up, and nothing protects the copy: each of its files is of another moment.

use std::{ffi::OsStr, path::Path};

use serde_json::json;

use super::cp;
use crate::{
    snapshot::definition::{Definition, Isolation, LiveCopy, Procedure, Site, WriterRole, command},
    sqlite::JournalMode,
    torrents::Portion,
};

/// The row of the table of strategies.
pub const DEFINITION: Definition = Definition {
    isolation: Isolation::Unprotected { luck },
    writers: WriterRole::None,
    takes_snapshots: true,
    portion: Portion::Whole,
    begins_again: false,
    syncs_after: false,
    procedure,
    options: |_| json!({}),
    check: |_, _| Ok(()),
    live_copy: |_| LiveCopy::Refused(cp::COPIES_HALF_WRITTEN),
};

/// What `sh` does with `cp`, the database and the copy. A journal may go after the script has seen it and before `cp` opens it:
/// then there is none to copy.
const SCRIPT: &str = r#"set -e
for suffix in '' -wal -shm -journal; do
    if [ -e "$2$suffix" ]; then "$1" "$2$suffix" "$3$suffix" || [ ! -e "$2$suffix" ]; fi
done"#;

fn procedure(site: &Site<'_>) -> Procedure {
    site.programs.with_cp(|cp| {
        let out = site.out();
        let script = ["-c", SCRIPT, "cp-all"].map(OsStr::new);
        let paths = [cp, site.live, &out].map(Path::as_os_str);
        Procedure::child(command(Path::new("sh"), script.into_iter().chain(paths)))
    })
}

fn luck(mode: JournalMode) -> &'static str {
    match mode {
        JournalMode::Wal => "No checkpoint happened to write to the main file between its copy and that of the WAL.",
        JournalMode::Delete | JournalMode::Truncate | JournalMode::Persist | JournalMode::Memory | JournalMode::Off => {
            cp::luck(mode)
        }
    }
}

//! `cp`: copies the main file with the system's `cp`, while others write to it.
//!
//! **What it is for:** it is the backup that many databases have, and the speed that the other strategies are compared with.
//!
//! **What it costs:** it takes no lock, so it holds up nobody. Its copy may be part of one state and part of the next one; under
//! WAL it lacks what is committed and not yet in the main file. Where `cp` shares blocks by itself, as that of coreutils 9 does
//! on some file systems, it may be atomic (`docs/sqlite.md`, 6).

use serde_json::json;

use crate::{
    snapshot::definition::{Definition, Isolation, LiveCopy, Procedure, WriterRole, command},
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
    procedure: |site| site.programs.with_cp(|cp| Procedure::child(command(cp, [site.live, &site.out()]))),
    options: |_| json!({}),
    check: |_, _| Ok(()),
    live_copy,
};

/// Why a copy of the main file alone came out exact.
pub(super) fn luck(mode: JournalMode) -> &'static str {
    match mode {
        JournalMode::Wal => {
            "In WAL the main file changes only in checkpoints, and it holds what one left that ended just before it began \
            or while it ran."
        }
        JournalMode::Delete | JournalMode::Truncate | JournalMode::Persist | JournalMode::Memory | JournalMode::Off => {
            "None of them happened to change both a page that it had read and one that it had yet to read."
        }
    }
}

/// What a copy of the main file alone gives.
pub(super) fn live_copy(in_wal: bool) -> LiveCopy {
    LiveCopy::Refused(if in_wal {
        "leaves out what is committed and still in the WAL; held-copy is as fast and does not"
    } else {
        COPIES_HALF_WRITTEN
    })
}

/// Why a copy that nothing protects is refused.
pub(super) const COPIES_HALF_WRITTEN: &str =
    "copies what is half written; held-copy does the same under a lock of SQLite's";

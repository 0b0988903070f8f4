//! `vacuum-into`: SQLite's `VACUUM INTO` in a child process of this program's own binary.
//!
//! **What it is for:** a copy that is one state of the database and has no free pages, in one SQL statement.
//!
//! **What it costs:** it writes every table and index anew, which takes more of the processor than a copy of the pages. It reads
//! in one transaction until it is done: in rollback modes that stops commits, and as soon as one waits, new readers too
//! (`docs/sqlite.md`, 2); in WAL mode it holds up nobody, but the WAL grows.

use std::{env, path::Path, time::Duration};

use anyhow::{Context, Result};
use serde_json::json;

use crate::{
    snapshot::{
        definition::{Definition, Isolation, LiveCopy, Procedure, WriterRole},
        main_file,
        options::{WaitOptions, check_busy_timeout},
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
    procedure: |site| Procedure::child(site.copy_process(&Method::VacuumInto(site.options.vacuum_into))),
    options: |options| json!(options.vacuum_into),
    check: |options, _| {
        check_busy_timeout("snapshots.options.vacuum-into.busy_timeout_ms", options.vacuum_into.busy_timeout_ms)
    },
    live_copy: |_| LiveCopy::Complete,
};

/// Copies in the child process, which goes into the folder of the copy: SQLite takes the name of the copy as text, and the
/// path to it may be none. Paths must be absolute.
pub fn copy(options: WaitOptions, live: &Path, out: &Path) -> Result<()> {
    let source = main_file::open(live)?;
    source.busy_timeout(Duration::from_millis(options.busy_timeout_ms))?;
    let describe = || format!("cannot vacuum into {}", out.display());
    let (folder, name) = out.parent().zip(out.file_name()).with_context(describe)?;
    let name = name.to_str().context("the name of the copy is not UTF-8").with_context(describe)?;
    env::set_current_dir(folder).with_context(describe)?;
    source.execute("VACUUM INTO ?1", [name]).with_context(describe)?;
    Ok(())
}

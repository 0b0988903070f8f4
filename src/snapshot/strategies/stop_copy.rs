//! `stop-copy`: the writers are stopped, all of the WAL is moved into the main file, `cp` copies it, and the writers go on.
//!
//! **What it is for:** the backup that nobody doubts. It is what stopping the tracker for a backup costs, without the time that
//! the tracker takes to start.
//!
//! **What it costs:** no write gets through until the copy is done, which is the downtime in the results.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;
use serde_json::json;

use crate::{
    snapshot::{
        definition::{Definition, Isolation, LiveCopy, Procedure, Task, WriterRole},
        main_file,
        options::{WaitOptions, check_busy_timeout},
        protocol::{ChildMessage, Method, Part},
    },
    torrents::Portion,
};

/// The row of the table of strategies.
pub const DEFINITION: Definition = Definition {
    isolation: Isolation::Isolated,
    writers: WriterRole::Stopped,
    takes_snapshots: true,
    portion: Portion::Whole,
    begins_again: false,
    syncs_after: false,
    procedure: |site| {
        site.programs.with_cp(|cp| {
            let method = Method::CheckpointAndCopy(site.options.stop_copy, cp.to_owned());
            Procedure::Run(Task::WhileStopped(site.copy_process(&method)))
        })
    },
    options: |options| json!(options.stop_copy),
    check: |options, _| {
        check_busy_timeout("snapshots.options.stop-copy.busy_timeout_ms", options.stop_copy.busy_timeout_ms)
    },
    live_copy: |_| LiveCopy::Refused("cannot stop another program's writers; stop them yourself, and use held-copy"),
};

/// Copies in the child process. Nobody may write meanwhile: that is the caller's business.
pub fn copy(options: WaitOptions, cp: &Path, live: &Path, out: &Path) -> Result<()> {
    let connection = main_file::open(live)?;
    connection.busy_timeout(Duration::from_millis(options.busy_timeout_ms))?;
    let begin = Instant::now();
    main_file::checkpoint_all(&connection)?;
    // The connection is closed before the copy. `cp` is another process, so that this one would lose no lock; but it needs none
    // any more.
    drop(connection);
    ChildMessage::Part(Part::Checkpoint.since(begin)).send()?;
    let begin = Instant::now();
    main_file::copy(cp, live, out)?;
    ChildMessage::Part(Part::CopyMain.since(begin)).send()
}

//! The copying child process, which is a hidden subcommand of this program's binary.
//!
//! It finds the code for a [`Method`]; the code itself is in the files of the strategies. What the child is told and what it
//! says is in [`super::protocol`].

use std::{path::Path, time::Duration};

use anyhow::Result;

use super::{
    protocol::{ChildMessage, CopyIo, Method},
    strategies::{backup, essential, held_copy, stop_copy, vacuum_into},
};
use crate::io::{self, IoLog};

/// Copies `live` to `out`. Where a delay is named, if it be none, every sync takes so much longer, and what was asked of files is
/// counted and said at the end, whatever came of it.
///
/// # Errors
/// What SQLite and the operating system say, a locked database among it.
pub fn run(method: &Method, live: &Path, out: &Path, counted_sync_delay: Option<Duration>) -> Result<()> {
    let Some(delay) = counted_sync_delay else { return copy(method, live, out) };
    // Every connection of this process is meant, one that SQLite opens for a statement among them.
    io::make_default(delay)?;
    io::count_here();
    let copied = copy(method, live, out);
    let mut log = IoLog::default();
    io::take(&mut log);
    let said = ChildMessage::Io(CopyIo::new(&log.counts)).send();
    copied.and(said)
}

fn copy(method: &Method, live: &Path, out: &Path) -> Result<()> {
    match method {
        Method::Backup(options) => backup::copy(*options, live, out),
        Method::VacuumInto(options) => vacuum_into::copy(*options, live, out),
        Method::Essential(options) => essential::copy(*options, live, out),
        Method::HeldCopy(how) => held_copy::copy_and_report(how, live, out),
        Method::CheckpointAndCopy(options, cp) => stop_copy::copy(*options, cp, live, out),
    }
}

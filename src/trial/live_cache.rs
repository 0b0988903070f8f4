//! How much of the live database is in memory, as the program `fincore` of util-linux says.
//!
//! A process of its own asks, because one that has the database open through SQLite may not open its file in any other way
//! (`docs/sqlite.md`, 1). Where there is no such program, nobody knows.

use std::{path::Path, process::Command, time::Duration};

use crate::child::{self, Limits};

/// A look takes some milliseconds for a gigabyte.
const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes of a file that the page cache holds.
pub async fn cached_bytes(fincore: Option<&Path>, file: &Path) -> Option<u64> {
    let mut command = Command::new(fincore?);
    command.args(["--bytes", "--noheadings", "--output", "RES", "--"]).arg(file);
    let mut cached_bytes = None;
    let ended = child::run(command, &Limits::deadline(PATIENCE), |line| cached_bytes = line.trim().parse().ok()).await;
    cached_bytes.filter(|_| ended.succeeded())
}

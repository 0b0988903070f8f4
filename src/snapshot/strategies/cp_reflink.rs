//! `cp-reflink`: copies the main file with `cp --reflink=always`, where the file system can share blocks between files.
//!
//! **What it is for:** a copy that takes next to no time, however large the database is. It shows whether so short a copy still
//! falls into a transaction.
//!
//! **What it costs:** it takes no lock and reads nothing. Its copy may hold a transaction that is half written; under WAL it
//! lacks what is committed and not yet in the main file. Afterwards each write to a shared block needs a new one.

use std::{ffi::OsStr, fs, path::Path};

use serde_json::json;

use super::cp;
use crate::{
    snapshot::definition::{Definition, Isolation, Procedure, Site, WriterRole, command},
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
    procedure,
    options: |_| json!({}),
    check: |_, _| Ok(()),
    live_copy: cp::live_copy,
};

fn procedure(site: &Site<'_>) -> Procedure {
    site.programs.with_cp(|cp| match obstacle(cp, site.folder) {
        Some(obstacle) => Procedure::Unavailable(obstacle),
        None => Procedure::child(command(cp, arguments(site.live, &site.out()))),
    })
}

fn arguments<'a>(from: &'a Path, to: &'a Path) -> [&'a OsStr; 3] {
    [OsStr::new("--reflink=always"), from.as_os_str(), to.as_os_str()]
}

/// Why files near `folder` cannot be reflinked; tried with one of a few bytes.
fn obstacle(cp: &Path, folder: &Path) -> Option<String> {
    let near = folder.ancestors().find(|folder| folder.is_dir())?;
    let attempt = || -> std::io::Result<Option<String>> {
        let scratch = tempfile::tempdir_in(near)?;
        let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
        fs::write(&from, [0; 4096])?;
        let output = command(cp, arguments(&from, &to)).output()?;
        let message = String::from_utf8_lossy(&output.stderr);
        // The reason comes last; before it `cp` names the files.
        let reason = message.trim().rsplit(": ").next().unwrap_or_default();
        Ok((!output.status.success()).then(|| format!("the file system cannot share blocks between files: {reason}")))
    };
    attempt().unwrap_or_else(|error| Some(format!("cannot try a reflink: {error}")))
}

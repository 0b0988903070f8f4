//! A copy from nothing to its name: made in a hidden folder beside its place, checked, synced, and only then named.
//!
//! No half file ever stands under the name, and nothing is overwritten. A killed process leaves the hidden folder, which the
//! next copy in that place removes.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, bail};

use super::{
    Arguments, Order,
    copy::{Copied, copy},
    pace::Forecast,
    refuse_existing,
    retention::{self, Removal},
};
use crate::{
    interrupt::Interrupt,
    own_folder::OwnFolder,
    progress::{self, print_line},
    snapshot::SNAPSHOT_FILE,
    sqlite, work,
};

/// A copy that stands under its name.
pub(super) struct Made {
    pub(super) copied: Copied,
    /// What it was expected to take, where that was measured before.
    pub(super) forecast: Option<Forecast>,
    pub(super) bytes: u64,
    pub(super) sync_s: f64,
    /// How long `integrity_check` took, where it was asked.
    pub(super) integrity_check_s: Option<f64>,
    pub(super) removed: Vec<PathBuf>,
}

/// A copy that was only asked about.
pub(super) struct Planned {
    pub(super) forecast: Forecast,
    /// Of the database, with its WAL.
    pub(super) bytes: u64,
    pub(super) words: String,
}

/// How making a copy ended.
pub(super) enum Ending {
    Made(Made),
    Planned(Planned),
    /// It was made, and is not sound: what `integrity_check` said. Nothing stands under its name.
    Unsound(String),
    Interrupted,
}

/// Makes the copy in a hidden folder, which is this process's own until it ends.
pub(super) fn make(
    arguments: &Arguments,
    order: &Order,
    hidden: &OwnFolder,
    forecast: Option<Forecast>,
    interrupt: &Interrupt,
) -> Result<Ending> {
    let Order { out, .. } = order;
    let folder = hidden.path().join("copy");
    fs::create_dir(&folder).with_context(|| format!("cannot write in {}", hidden.path().display()))?;
    let copied = copy(arguments, order, &folder, interrupt)?;
    let copy = folder.join(SNAPSHOT_FILE);
    let checked = check(&copy, arguments.verifies(), interrupt)?;
    if let Some(checked) = checked.as_ref().filter(|checked| checked.answer != "ok") {
        return Ok(if interrupt.is_set() { Ending::Interrupted } else { Ending::Unsound(checked.answer.clone()) });
    }
    let begun = Instant::now();
    File::open(&copy)?.sync_all().with_context(|| format!("cannot sync {}", copy.display()))?;
    let sync_s = begun.elapsed().as_secs_f64();
    let bytes = work::file_bytes(&copy);
    refuse_existing(out)?;
    work::give_name(&copy, out).with_context(|| format!("cannot give the copy its name {}", out.display()))?;
    let removed = remove_outdated(arguments, order);
    Ok(Ending::Made(Made {
        copied,
        forecast,
        bytes,
        sync_s,
        integrity_check_s: checked.map(|checked| checked.duration_s),
        removed,
    }))
}

/// Removes older copies where that was asked for. The new copy stands, whatever becomes of them.
fn remove_outdated(arguments: &Arguments, order: &Order) -> Vec<PathBuf> {
    let Some(rule) = arguments.retention() else { return Vec::new() };
    match retention::apply(rule, &order.live, &order.out) {
        Ok(Removal { removed, problems }) => {
            for problem in problems {
                print_line(&format!("journalbench: {problem}"));
            }
            removed
        }
        Err(error) => {
            print_line(&format!("journalbench: the copy stands, and no older one was removed: {error:#}"));
            Vec::new()
        }
    }
}

struct Checked {
    answer: String,
    duration_s: f64,
}

/// Lets SQLite open the copy, and check it where that was asked for.
fn check(copy: &Path, verify: bool, interrupt: &Interrupt) -> Result<Option<Checked>> {
    let describe = || format!("SQLite cannot open the copy {}", copy.display());
    let connection = sqlite::open_file(copy, interrupt.flag()).with_context(describe)?;
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).with_context(describe)?;
    let mut checked = None;
    if verify {
        let _waiting = progress::Spinner::new("integrity_check reads the copy");
        let begun = Instant::now();
        // What it cannot read to the end is not sound either; an interrupt is noticed by the caller.
        let answer = sqlite::check(&connection, "integrity_check").unwrap_or_else(|error| error.to_string());
        checked = Some(Checked { answer, duration_s: begun.elapsed().as_secs_f64() });
    }
    connection.close().map_err(|(_, error)| error).with_context(describe)?;
    for suffix in sqlite::SIDE_FILES {
        let beside = sqlite::side_file(copy, suffix);
        if beside.exists() {
            bail!("{} is still there after the copy was closed", beside.display());
        }
    }
    Ok(checked)
}

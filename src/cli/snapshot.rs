//! `journalbench snapshot`: a copy of anybody's live SQLite database, as a line for cron.
//!
//! The copy is made in a hidden folder beside its place, checked, synced, and only then given its name: no half file ever
//! stands there, and nothing is overwritten. The live database is opened by a child process alone.

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

use super::{CommandError, CommandOutcome, absolute, print};
use crate::{
    child::{self, Limits, Room},
    dataset::Size,
    interrupt::Interrupt,
    pages::header::{FileVersion, Header},
    progress::{self, print_line},
    snapshot::{
        LiveCopy, Procedure, Programs, SNAPSHOT_FILE, Site, Strategy, StrategyOptions, Task,
        protocol::{ChildMessage, PartResult},
    },
    sqlite, work,
};

/// What stands below the options.
pub(super) const HELP: &str = "\
Exit status 0: the copy is complete and synced to disk under its name (with --verify: and integrity_check says ok).
Anything else: nothing stands under its name. 1 it failed; 2 usage, or no room; 3 it was made and is not sound.
Only one that is killed leaves something: a hidden folder .OUT.db* beside the copy, which can be deleted.

The database is only read. held-copy is as fast as cp. Under WAL it holds up nobody; in the other journal modes nobody
can commit until it is done, and once somebody waits to, nobody new can read. Under WAL, where nobody else has the
database open, an empty -wal and a -shm stay beside it, as with every reader that may not write.

Examples:
  journalbench snapshot /var/lib/tracker.db /backup/tracker.db
  journalbench snapshot --verify --keep-free 20GB tracker.db /backup/tracker-$(date +%F).db
  journalbench snapshot --strategy vacuum-into tracker.db smaller.db";

/// What the command is given.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[arg(long, value_name = "NAME", default_value = "held-copy", hide_possible_values = true, help = strategy_help())]
    strategy: Strategy,
    /// Ask SQLite's `integrity_check` of the copy before it gets its name
    #[arg(long)]
    verify: bool,
    /// Give up after so many seconds
    #[arg(long, value_name = "N", default_value_t = 3_600.0, value_parser = deadline)]
    deadline_s: f64,
    /// Give up when less than this is free beside the database (a WAL grows while it is copied) or beside the copy
    #[arg(long, value_name = "SIZE", default_value = "500MB")]
    keep_free: Size,
    /// The live database
    #[arg(value_name = "LIVE.db")]
    live: PathBuf,
    /// The copy; must not exist
    #[arg(value_name = "OUT.db")]
    out: PathBuf,
}

/// Names the strategies that can copy a live database under some journal mode.
fn strategy_help() -> String {
    let can_copy = |strategy: &&Strategy| {
        [true, false].into_iter().any(|in_wal| !matches!(strategy.live_copy(in_wal), LiveCopy::Refused(_)))
    };
    let names: Vec<_> = Strategy::all().iter().filter(can_copy).map(Strategy::to_string).collect();
    format!("How it is copied: {}", names.join(", "))
}

fn deadline(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| (0.1..=1e6).contains(seconds));
    seconds.ok_or_else(|| "expected 0.1 to 1000000".to_owned())
}

/// A copy that is to be made: checked, but for what only trying shows.
struct Order {
    live: PathBuf,
    out: PathBuf,
    /// Of `live`, with its WAL.
    bytes: u64,
    in_wal: bool,
}

/// Runs the command. `interrupt_again` is called at a second Ctrl-C.
pub(super) fn snapshot(arguments: &Arguments, interrupt_again: fn()) -> Result<CommandOutcome, CommandError> {
    let order = order(arguments)?;
    match arguments.strategy.live_copy(order.in_wal) {
        LiveCopy::Complete => {}
        LiveCopy::AtPrice(price) => print_line(&format!("{} {price}", order.live.display())),
        LiveCopy::Refused(advice) => {
            return Err(CommandError::Usage(anyhow!("--strategy {}: {advice}", arguments.strategy)));
        }
    }
    let interrupt = Interrupt::on_signals(interrupt_again).context("cannot watch for Ctrl-C")?;
    match make(arguments, &order, &interrupt) {
        Err(_) if interrupt.is_set() => Ok(CommandOutcome::Interrupted),
        made => Ok(made?),
    }
}

/// Refuses what cannot be done, before anything is written.
fn order(arguments: &Arguments) -> Result<Order, CommandError> {
    let Arguments { live, out, keep_free, .. } = arguments;
    // SQLite's side files lie beside what a link leads to.
    let live = live.canonicalize().with_context(|| format!("cannot find the database {}", live.display()))?;
    let out = absolute(out)?;
    refuse_existing(&out).map_err(CommandError::Usage)?;
    let header = Header::read(&live).ok().filter(Header::is_database);
    let Some(header) = header else {
        return Err(anyhow!("{} is no SQLite database", live.display()).into());
    };
    let bytes = work::file_bytes(&live) + work::file_bytes(&sqlite::side_file(&live, "-wal"));
    let needed = bytes + keep_free.bytes;
    if let Some(free) = work::free_bytes(&out).filter(|free| *free < needed) {
        return Err(CommandError::Usage(anyhow!(
            "{}: the copy takes {} MB and {keep_free} are to stay free, but {} MB are free there",
            out.display(),
            bytes / 1_000_000,
            free / 1_000_000
        )));
    }
    Ok(Order { live, out, bytes, in_wal: header.file_version() == FileVersion::Wal })
}

/// A file of SQLite's that stands beside the copy would become part of it (`docs/sqlite.md`, 23).
fn refuse_existing(out: &Path) -> Result<()> {
    let beside = sqlite::SIDE_FILES.map(|suffix| sqlite::side_file(out, suffix));
    match [out].into_iter().chain(beside.iter().map(PathBuf::as_path)).find(|file| file.symlink_metadata().is_ok()) {
        Some(file) if file == out => bail!("{} exists, and nothing is overwritten", file.display()),
        Some(file) => bail!(
            "{} exists, and SQLite would take it for a part of the copy: move it away, or name the copy otherwise",
            file.display()
        ),
        None => Ok(()),
    }
}

fn make(arguments: &Arguments, order: &Order, interrupt: &Interrupt) -> Result<CommandOutcome> {
    let Order { out, .. } = order;
    let parent = out.parent().with_context(|| format!("{} is no name for a file", out.display()))?;
    let mut prefix = OsString::from(".");
    prefix.push(out.file_name().unwrap_or_default());
    let hidden = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent);
    let hidden = hidden.with_context(|| format!("cannot write in {}", parent.display()))?;
    let copied = copy(arguments, order, hidden.path(), interrupt)?;
    let copy = hidden.path().join(SNAPSHOT_FILE);
    let checked = check(&copy, arguments.verify, interrupt)?;
    if let Some(answer) = checked.as_ref().filter(|checked| checked.answer != "ok").map(|checked| &checked.answer) {
        if interrupt.is_set() {
            return Ok(CommandOutcome::Interrupted);
        }
        print_line(&format!("journalbench: the copy is not sound, and {} was not made: {answer}", out.display()));
        return Ok(CommandOutcome::Found);
    }
    let begun = Instant::now();
    File::open(&copy)?.sync_all().with_context(|| format!("cannot sync {}", copy.display()))?;
    let sync_s = begun.elapsed().as_secs_f64();
    let bytes = work::file_bytes(&copy);
    refuse_existing(out)?;
    rename(&copy, out).with_context(|| format!("cannot give the copy its name {}", out.display()))?;
    File::open(parent)?.sync_all().with_context(|| format!("cannot sync {}", parent.display()))?;
    let parts: Vec<_> = copied.parts.iter().map(|part| format!("{} {:.2} s", part.part, part.duration_s)).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    let checked = checked.map(|checked| format!("integrity_check: ok, {:.2} s\n", checked.duration_s));
    print(&format!(
        "{}: {bytes} bytes\n{}: {:.2} s{parts}, sync {sync_s:.2} s\n{}",
        out.display(),
        arguments.strategy,
        copied.duration_s,
        checked.unwrap_or_default()
    ))?;
    Ok(CommandOutcome::Done)
}

struct Copied {
    duration_s: f64,
    parts: Vec<PartResult>,
}

/// Copies into the hidden folder, where one file is to be afterwards.
fn copy(arguments: &Arguments, order: &Order, folder: &Path, interrupt: &Interrupt) -> Result<Copied> {
    let this = std::env::current_exe().context("cannot find this program's own file")?;
    let (programs, options) = (Programs::find(this), StrategyOptions::default());
    let site = Site { programs: &programs, options: &options, live: &order.live, folder };
    let command = match arguments.strategy.procedure(&site) {
        Procedure::Run(Task::Child(command)) => command,
        Procedure::Unavailable(reason) => bail!(reason),
        Procedure::Nothing | Procedure::Run(Task::WhileStopped(_) | Task::InWriter { .. }) => {
            bail!("it takes no copy by itself")
        }
    };
    let beside = order.live.parent().unwrap_or(Path::new("/")).to_owned();
    let room = Room { folders: vec![folder.to_owned(), beside], least_free_bytes: arguments.keep_free.bytes };
    let limits = Limits { deadline: Duration::from_secs_f64(arguments.deadline_s), room: Some(room) };
    let mut parts = Vec::new();
    let mut display = progress::Bytes::new("copying");
    let out = folder.join(SNAPSHOT_FILE);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let ended = child::run(command, &limits, |line| {
            if let Ok(ChildMessage::Part(part)) = serde_json::from_str(line) {
                parts.push(part);
            }
        });
        let mut ended = std::pin::pin!(ended);
        let mut ticks = tokio::time::interval(Duration::from_millis(200));
        loop {
            tokio::select! {
                ended = &mut ended => return Some(ended),
                () = interrupt.wait() => return None,
                _ = ticks.tick() => display.show(work::file_bytes(&out), order.bytes),
            }
        }
    });
    display.finish();
    let Some(ended) = ended else { bail!("interrupted") };
    if let Some(error) = ended.error() {
        bail!("{error}");
    }
    let left = work::files_in(folder)?;
    if left != [out] {
        bail!("the strategy left {} files instead of one", left.len());
    }
    Ok(Copied { duration_s: ended.duration.as_secs_f64(), parts })
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

/// Renames a file to a name that nobody has, not even one who took it a moment ago.
fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // The file system cannot: a link to an existing name fails in the same way.
        Err(Errno::INVAL | Errno::NOSYS) => fs::hard_link(from, to),
        renamed => Ok(renamed?),
    }
}

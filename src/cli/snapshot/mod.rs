//! `journalbench snapshot`: a copy of anybody's live SQLite database, as a line for cron.
//!
//! Arguments in, words or a line of JSON out; how the copy is made is said in [`make`]. The live database is opened by a child
//! process alone.

mod copy;
mod make;
mod pace;
mod retention;

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use serde::Serialize;

use make::{Ending, Made, Planned};
use pace::{Forecast, Pace};
use retention::Rule;

use super::{CommandError, CommandOutcome, absolute, tell};
use crate::{
    child::watchdog::Watchdog,
    dataset::{Size, SizeError},
    interrupt::Interrupt,
    own_folder::{self, Busy, OwnFolder},
    pages::header::{FileVersion, Header},
    progress::print_line,
    snapshot::{LiveCopy, PaceResult, Strategy, protocol::PartResult},
    sqlite, work,
};

/// What stands below the options.
pub(super) const HELP: &str = "\
Exit status 0: the copy is complete and synced to disk under its name (with --verify: and integrity_check says ok).
Anything else: nothing stands under its name. 1 it failed; 2 refused: usage, no room, or another snapshot to OUT.db is
running; 3 it was made and is not sound; 130 it was interrupted (Ctrl-C, SIGTERM, SIGHUP).
One that is killed leaves a hidden folder .OUT.db.journalbench beside the copy; the next snapshot into that folder removes
it, and so does `journalbench clean`.

The database is only read. Under WAL nobody waits for a lock of held-copy-gentle; it reads and writes past the page cache,
syncs a MiB at a time, and rests, so that nobody waits for the disk either. In the other journal modes nobody can commit until
it is done, and once somebody waits to, nobody new can read: there it copies as fast as cp, says beforehand how long
that will be, and refuses more than --stop-max. Under WAL, where nobody else has the database open, an empty -wal and
a -shm stay beside it, as with every reader that may not write.

Examples:
  journalbench snapshot /var/lib/tracker.db /backup/tracker.db
  journalbench snapshot --verify --keep-free 20GB tracker.db /backup/tracker-$(date +%F).db
  journalbench snapshot --keep 7 --json tracker.db /backup/tracker-$(date +%F).db
  journalbench snapshot --dry-run tracker.db /backup/tracker.db
  journalbench snapshot --max-rate 100MB/s --wal-max 2GB tracker.db /backup/tracker.db
  journalbench snapshot --zstd tracker.db /backup/tracker.db.zst
  journalbench snapshot --strategy vacuum-into tracker.db smaller.db";

/// What the command is given.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[arg(long, value_name = "NAME", default_value = "held-copy-gentle", hide_possible_values = true, help = strategy_help())]
    strategy: Strategy,
    /// Copy a tracker's database without the torrents that nobody has downloaded, in a new file: on the live demo 3 % of the size.
    /// As --strategy essential
    #[arg(long, conflicts_with = "strategy")]
    essential: bool,
    /// Ask SQLite's `integrity_check` of the copy before it gets its name
    #[arg(long)]
    verify: bool,
    #[command(flatten)]
    pace: Pace,
    /// Give up after so many seconds
    #[arg(long, value_name = "N", default_value_t = 3_600.0, value_parser = deadline)]
    deadline_s: f64,
    /// Give up when less than this is free beside the database (a WAL grows while it is copied) or beside the copy
    #[arg(long, value_name = "SIZE", default_value = "500MB", value_parser = keep_free)]
    keep_free: KeepFree,
    /// Remove older copies of this database in the same folder, all but the last N (this one among them). Copies count
    /// that were made with --keep or --keep-days, which ask for --verify
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "keep_days")]
    keep: Option<u32>,
    /// As --keep, but for those that are not older than D days
    #[arg(long, value_name = "D", value_parser = clap::value_parser!(u32).range(1..))]
    keep_days: Option<u32>,
    /// Print one line of JSON, whatever comes of it
    #[arg(long)]
    json: bool,
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

/// Space that is to stay free.
#[derive(Debug, Clone, Copy)]
struct KeepFree(u64);

/// A size, or nothing at all.
fn keep_free(text: &str) -> Result<KeepFree, SizeError> {
    match text {
        "0" => Ok(KeepFree(0)),
        text => text.parse().map(|size: Size| KeepFree(size.bytes)),
    }
}

impl Arguments {
    /// How it is copied.
    fn strategy(&self) -> Strategy {
        if self.essential { Strategy::Essential } else { self.strategy }
    }

    fn retention(&self) -> Option<Rule> {
        self.keep.map(Rule::Last).or(self.keep_days.map(Rule::Days))
    }

    /// Only a copy that was verified counts.
    fn verifies(&self) -> bool {
        self.verify || self.retention().is_some()
    }
}

/// A copy that is to be made: checked, but for what only trying shows.
struct Order {
    live: PathBuf,
    out: PathBuf,
    /// Of `live`, with its WAL.
    bytes: u64,
    in_wal: bool,
}

impl Order {
    /// The folder that the copy is to stand in.
    fn parent(&self) -> &Path {
        self.out.parent().unwrap_or(Path::new("/"))
    }
}

/// What is printed with `--json`, in one line. What is not there did not come to be.
#[derive(Debug, Serialize)]
struct Line {
    /// `made`, `planned` (with --dry-run), `unsound`, `interrupted`, `refused` or `failed`.
    status: &'static str,
    live: String,
    out: String,
    strategy: Strategy,
    error: Option<String>,
    bytes: Option<u64>,
    duration_s: Option<f64>,
    /// How long the copy was expected to take, and for how long nobody could commit, where that was measured before.
    expected_s: Option<f64>,
    expected_stop_s: Option<f64>,
    parts: Vec<PartResult>,
    pace: Option<PaceResult>,
    sync_s: Option<f64>,
    integrity_check_s: Option<f64>,
    /// Older copies that were removed.
    removed: Vec<String>,
}

/// Runs the command. `interrupt_again` is called at a second Ctrl-C.
pub(super) fn snapshot(arguments: &Arguments, interrupt_again: fn()) -> Result<CommandOutcome, CommandError> {
    let ended = try_snapshot(arguments, interrupt_again);
    if arguments.json {
        let json = serde_json::to_string(&line(arguments, &ended)).context("cannot write the answer as JSON")?;
        tell(&format!("{json}\n"));
    }
    match ended? {
        Ending::Made(made) => {
            if !arguments.json {
                tell(&words(arguments, &made));
            }
            Ok(CommandOutcome::Done)
        }
        Ending::Planned(planned) => {
            if !arguments.json {
                tell(&planned.words);
            }
            Ok(CommandOutcome::Done)
        }
        Ending::Unsound(answer) => {
            let out = arguments.out.display();
            print_line(&format!("journalbench: the copy is not sound, and {out} was not made: {answer}"));
            Ok(CommandOutcome::Found)
        }
        Ending::Interrupted => Ok(CommandOutcome::Interrupted),
    }
}

fn try_snapshot(arguments: &Arguments, interrupt_again: fn()) -> Result<Ending, CommandError> {
    let order = order(arguments)?;
    arguments.pace.check(arguments.strategy(), &order.out).map_err(CommandError::Usage)?;
    let price = match arguments.strategy().live_copy(order.in_wal) {
        LiveCopy::Complete => None,
        LiveCopy::AtPrice(price) => Some(price),
        LiveCopy::Refused(advice) => {
            return Err(CommandError::Usage(anyhow!("--strategy {}: {advice}", arguments.strategy())));
        }
    };
    let interrupt = Interrupt::on_signals(interrupt_again).context("cannot watch for Ctrl-C")?;
    // Before the room is looked at, which it takes.
    own_folder::remove_abandoned(order.parent(), print_line);
    check_room(&order, arguments.keep_free)?;
    let refused = |error: anyhow::Error| if error.is::<Busy>() { CommandError::Usage(error) } else { error.into() };
    let hidden = OwnFolder::beside(&order.out).map_err(refused)?;
    let is_to_foresee = arguments.pace.dry_run || price.is_some();
    let forecast = is_to_foresee.then(|| pace::forecast(arguments, &order, hidden.path())).transpose()?;
    if let Some(forecast) = &forecast {
        if arguments.pace.dry_run {
            let words = forecast.words(&order, &arguments.pace);
            return Ok(Ending::Planned(Planned { forecast: forecast.clone(), bytes: order.bytes, words }));
        }
        forecast.refuse_long_stop(&arguments.pace, &order.live)?;
    }
    if let Some(price) = price {
        let took = forecast.as_ref().and_then(Forecast::took).map_or_else(String::new, |took| format!(", {took}"));
        print_line(&format!("{} {price}{took}", order.live.display()));
    }
    let this = std::env::current_exe().context("cannot find this program's own file")?;
    let _watchdog =
        Watchdog::start(&this).context("cannot start the process that ends the copy if this one is killed")?;
    match make::make(arguments, &order, &hidden, forecast, &interrupt) {
        Err(_) if interrupt.is_set() => Ok(Ending::Interrupted),
        made => Ok(made?),
    }
}

fn line(arguments: &Arguments, ended: &Result<Ending, CommandError>) -> Line {
    let mut line = Line {
        status: "failed",
        live: arguments.live.display().to_string(),
        out: arguments.out.display().to_string(),
        strategy: arguments.strategy(),
        error: None,
        bytes: None,
        duration_s: None,
        expected_s: None,
        expected_stop_s: None,
        parts: Vec::new(),
        pace: None,
        sync_s: None,
        integrity_check_s: None,
        removed: Vec::new(),
    };
    match ended {
        Ok(Ending::Made(made)) => {
            line.status = "made";
            (line.bytes, line.sync_s) = (Some(made.bytes), Some(made.sync_s));
            (line.duration_s, line.parts) = (Some(made.copied.duration_s), made.copied.parts.clone());
            line.pace = made.copied.pace;
            line.expect(made.forecast.as_ref());
            line.integrity_check_s = made.integrity_check_s;
            line.removed = made.removed.iter().map(|path| path.display().to_string()).collect();
        }
        Ok(Ending::Planned(planned)) => {
            (line.status, line.bytes) = ("planned", Some(planned.bytes));
            line.expect(Some(&planned.forecast));
        }
        Ok(Ending::Unsound(answer)) => (line.status, line.error) = ("unsound", Some(answer.clone())),
        Ok(Ending::Interrupted) => line.status = "interrupted",
        Err(error @ CommandError::Usage(_)) => (line.status, line.error) = ("refused", Some(error.to_string())),
        Err(error @ CommandError::Environment(_)) => line.error = Some(error.to_string()),
    }
    line
}

impl Line {
    fn expect(&mut self, forecast: Option<&Forecast>) {
        self.expected_s = forecast.and_then(Forecast::duration_s);
        self.expected_stop_s = forecast.and_then(Forecast::stop_s);
    }
}

fn words(arguments: &Arguments, made: &Made) -> String {
    let Made { copied, bytes, sync_s, .. } = made;
    let parts: Vec<_> = copied.parts.iter().map(|part| format!("{} {:.2} s", part.part, part.duration_s)).collect();
    let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
    let mut words = format!(
        "{}: {bytes} bytes\n{}: {:.2} s{parts}, sync {sync_s:.2} s\n",
        arguments.out.display(),
        arguments.strategy(),
        copied.duration_s
    );
    if let Some(pace) = &copied.pace {
        words += &pace::words(pace);
    }
    // Writing to a String does not fail.
    if let Some(duration_s) = made.integrity_check_s {
        let _ = writeln!(words, "integrity_check: ok, {duration_s:.2} s");
    }
    for path in &made.removed {
        let _ = writeln!(words, "removed {}", path.display());
    }
    words
}

/// Refuses what cannot be done, before anything is written.
fn order(arguments: &Arguments) -> Result<Order, CommandError> {
    let Arguments { live, out, .. } = arguments;
    // SQLite's side files lie beside what a link leads to.
    let live = live.canonicalize().with_context(|| format!("cannot find the database {}", live.display()))?;
    let out = absolute(out)?;
    refuse_existing(&out).map_err(CommandError::Usage)?;
    // Opening a pipe would wait for somebody who writes to it.
    work::check_regular(&live).with_context(|| format!("{} is no SQLite database", live.display()))?;
    let header = Header::read(&live).ok().filter(Header::is_database);
    let Some(header) = header else {
        return Err(anyhow!("{} is no SQLite database", live.display()).into());
    };
    if arguments.retention().is_some() && (live.to_str().is_none() || out.to_str().is_none()) {
        return Err(CommandError::Usage(anyhow!(
            "--keep: {} or {} is not UTF-8, and the note of the copies could not name it",
            live.display(),
            out.display()
        )));
    }
    let bytes = work::file_bytes(&live) + work::file_bytes(&sqlite::side_file(&live, "-wal"));
    Ok(Order { live, out, bytes, in_wal: header.file_version() == FileVersion::Wal })
}

fn check_room(order: &Order, keep_free: KeepFree) -> Result<(), CommandError> {
    let Order { out, bytes, .. } = order;
    let needed = bytes.saturating_add(keep_free.0);
    match work::free_bytes(out).filter(|free| *free < needed) {
        None => Ok(()),
        Some(free) => Err(CommandError::Usage(anyhow!(
            "{}: the copy takes {} MB and {} MB are to stay free (--keep-free), but {} MB are free there",
            out.display(),
            bytes / 1_000_000,
            keep_free.0 / 1_000_000,
            free / 1_000_000
        ))),
    }
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

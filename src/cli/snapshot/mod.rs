//! `journalbench snapshot`: a copy of anybody's live SQLite database, as a line for cron.
//!
//! Arguments in, words or a line of JSON out; how the copy is made is said in [`make`]. The live database is opened by a child
//! process alone.

mod copy;
mod make;
mod metrics;
mod pace;
mod retention;

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    time::Instant,
};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;

use make::{Ending, Made, Planned};
use pace::{Forecast, Pace};
use retention::Rule;

use super::{CommandError, CommandOutcome, absolute, tell};
use crate::{
    child::watchdog::Watchdog,
    copies::{Check, Sha256Sum, VerifiedBy, manifest_path},
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
Exit status 0: the copy is complete and synced to disk under its name (with --verify: and found sound).
Anything else: nothing stands under its name. 1 it failed; 2 refused: usage, no room, or another snapshot to OUT.db is
running; 3 it was made and is not sound; 130 it was interrupted (Ctrl-C, SIGTERM, SIGHUP).
One that is killed leaves a hidden folder .OUT.db.journalbench beside the copy; the next snapshot into that folder removes
it, and so does `journalbench clean`.

--verify reads every page of the copy and compares each index with its table, several times as fast as SQLite's
integrity_check, which it asks of what it does not understand (auto_vacuum, UTF-16, indexes on expressions) and says so. Of a
verified copy it writes OUT.db.manifest.json: size, SHA-256, header, how and when it was verified. `journalbench restore`
reads it, and --keep counts by it.

held-copy-gentle and held-copy only read the database. The strategies that are SQLite's own open it as a program that writes does:
what a crash has left is recovered, and the last one to close a database under WAL moves its -wal into it. Under WAL nobody waits for a lock of held-copy-gentle; it reads and writes past the page cache,
syncs a MiB at a time, and rests, so that a commit waits for little of it. In the other journal modes nobody can commit until
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
  journalbench snapshot --keep 7 --metrics /var/lib/node_exporter/tracker.prom tracker.db /backup/tracker-$(date +%F).db
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
    /// Check the copy before it gets its name, and write a manifest of it beside it: `walk` reads every page without SQLite,
    /// `integrity-check` asks SQLite, many times as slow
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "walk")]
    verify: Option<Verify>,
    #[command(flatten)]
    pace: Pace,
    /// Give up after so many seconds
    #[arg(long, value_name = "N", default_value_t = 3_600.0, value_parser = deadline)]
    deadline_s: f64,
    /// Give up when less than this is free beside the database (a WAL grows while it is copied) or beside the copy
    #[arg(long, value_name = "SIZE", default_value = "500MB", value_parser = keep_free)]
    keep_free: KeepFree,
    /// Remove older copies of this database, which is known by its path, in the same folder, all but the last N (this one among them).
    /// Copies count that were verified, by their manifests; asks for --verify
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "keep_days")]
    keep: Option<u32>,
    /// As --keep, but for those that are not older than D days
    #[arg(long, value_name = "D", value_parser = clap::value_parser!(u32).range(1..))]
    keep_days: Option<u32>,
    /// Print one line of JSON, whatever comes of it
    #[arg(long)]
    json: bool,
    /// Write figures for Prometheus into this file, whatever comes of it: for the text-file collector of its node exporter,
    /// which reads every FILE.prom in its folder. A file for each database
    #[arg(long, value_name = "FILE.prom", value_parser = metrics::file)]
    metrics: Option<PathBuf>,
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

/// How a copy is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Verify {
    Walk,
    IntegrityCheck,
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

    /// How the copy is checked. Only one that was verified counts for retention.
    fn check(&self) -> Check {
        match (self.verify, self.retention()) {
            (Some(Verify::IntegrityCheck), _) => Check::IntegrityCheck,
            (Some(Verify::Walk), _) | (None, Some(_)) => Check::Walk,
            (None, None) => Check::Open,
        }
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
    /// How long nobody could commit because the copy held its lock, where that is known.
    stop_s: Option<f64>,
    sync_s: Option<f64>,
    integrity_check_s: Option<f64>,
    /// How long finding it sound took, `integrity_check` included.
    verify_s: Option<f64>,
    verified_by: Option<VerifiedBy>,
    /// Why `integrity_check` was asked though it was not asked for.
    verified_because: Option<String>,
    sha256: Option<Sha256Sum>,
    /// The manifest that was written.
    manifest: Option<String>,
    /// Older copies that were removed.
    removed: Vec<String>,
}

/// Runs the command. `interrupt_again` is called at a second Ctrl-C.
pub(super) fn snapshot(arguments: &Arguments, interrupt_again: fn()) -> Result<CommandOutcome, CommandError> {
    let begun = Instant::now();
    let ended = try_snapshot(arguments, interrupt_again);
    // A question is no run.
    if let Some(file) = arguments.metrics.as_ref().filter(|_| !arguments.pace.dry_run) {
        let run = metrics::Run::new(&arguments.live, &ended, begun.elapsed());
        if let Err(error) = run.write(file) {
            print_line(&format!("journalbench: cannot write {}: {error}", file.display()));
        }
    }
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
        stop_s: None,
        sync_s: None,
        integrity_check_s: None,
        verify_s: None,
        verified_by: None,
        verified_because: None,
        sha256: None,
        manifest: None,
        removed: Vec::new(),
    };
    match ended {
        Ok(Ending::Made(made)) => {
            line.status = "made";
            (line.bytes, line.sync_s) = (Some(made.bytes), Some(made.sync_s));
            (line.duration_s, line.parts) = (Some(made.copied.duration_s), made.copied.parts.clone());
            (line.pace, line.stop_s) = (made.copied.pace, made.stop_s);
            line.expect(made.forecast.as_ref());
            if let Some(checked) = &made.checked {
                line.integrity_check_s = checked.integrity_check_s;
                line.verify_s = Some(checked.verify_s);
                line.verified_by = Some(checked.by);
                line.verified_because.clone_from(&checked.because);
            }
            if let Some(manifest) = &made.manifest {
                line.sha256 = Some(manifest.sha256);
                line.manifest = Some(manifest_path(&arguments.out).display().to_string());
            }
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
        words += &pace::words(pace, arguments.strategy(), made.in_wal);
    }
    // Writing to a String does not fail.
    if let Some(checked) = &made.checked {
        let because = checked.because.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
        let _ = writeln!(words, "verified by {}: ok, {:.2} s{because}", checked.by, checked.verify_s);
    }
    if let Some(manifest) = &made.manifest {
        let _ = writeln!(words, "{}  SHA-256", manifest.sha256);
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
    refuse_existing(&out).and_then(|()| refuse_manifest(&out)).map_err(CommandError::Usage)?;
    // Opening a pipe would wait for somebody who writes to it.
    work::check_regular(&live).with_context(|| format!("{} is no SQLite database", live.display()))?;
    let header = Header::read(&live).ok().filter(Header::is_database);
    let Some(header) = header else {
        return Err(anyhow!("{} is no SQLite database", live.display()).into());
    };
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

/// A manifest that is there already is another copy's.
fn refuse_manifest(out: &Path) -> Result<()> {
    let manifest = manifest_path(out);
    if manifest.symlink_metadata().is_ok() {
        bail!("{} exists, the manifest of another copy: move it away, or name the copy otherwise", manifest.display());
    }
    Ok(())
}

/// A file of SQLite's that stands beside the copy would become part of it (`docs/sqlite.md`, 23).
pub(super) fn refuse_existing(out: &Path) -> Result<()> {
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

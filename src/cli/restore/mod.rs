//! `journalbench restore`: a copy, back to a database that can be put in place; or, with `--check`, the proof that it could be.
//!
//! Arguments in, words or a line of JSON out; how it is made is said in [`make`].

mod make;

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use serde::Serialize;

use make::{Ending, Order, Restored};

use super::{CommandError, CommandOutcome, tell};
use crate::{
    copies::{FileMode, Sha256Sum, VerifiedBy, manifest_path},
    interrupt::Interrupt,
    own_folder::{self, Busy, OwnFolder},
    progress::print_line,
};

/// What stands below the options.
pub(super) const HELP: &str = "\
Exit status 0: the database is whole, sound and synced to disk under its name (with --check: it could be restored).
Anything else: nothing stands under its name. 1 it failed; 2 refused: usage, no room, or LIVE.db is there already; 3 the
copy is not what its manifest says, or not sound; 130 it was interrupted (Ctrl-C, SIGTERM, SIGHUP).
One that is killed leaves a hidden folder .LIVE.db.journalbench (with --check: .COPY.journalbench), which the next restore or
snapshot into that folder removes, and so does `journalbench clean`.

COPY may be compressed with zstd. Where COPY.manifest.json is beside it, size and SHA-256 are compared while it is copied;
then every page is read, as `journalbench snapshot --verify` does. COPY stays as it is.

Never restore over a database that a program has open: restore beside it, stop the program, move the old database and its
-wal, -shm and -journal aside together, move the new one into its place, start the program.

Examples:
  journalbench restore /backup/tracker-2026-11-27.db /var/lib/restored.db
  journalbench restore --check /backup/tracker-2026-11-27.db
  journalbench restore --check --json --work-dir /mnt/scratch /backup/tracker-2026-11-27.db.zst";

/// What the command is given.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Only prove that the copy can be restored: into a hidden folder, which is removed. A fire drill for cron
    #[arg(long, conflicts_with = "live")]
    check: bool,
    /// The folder that --check restores into [default: the one of the copy]
    #[arg(long, value_name = "DIR", requires = "check")]
    work_dir: Option<PathBuf>,
    /// Print one line of JSON, whatever comes of it
    #[arg(long)]
    json: bool,
    /// The copy
    #[arg(value_name = "COPY")]
    copy: PathBuf,
    /// The database that is made; must not exist
    #[arg(value_name = "LIVE.db", required_unless_present = "check")]
    live: Option<PathBuf>,
}

/// What is printed with `--json`, in one line. What is not there did not come to be.
#[derive(Debug, Serialize)]
struct Line {
    /// `restored`, `checked`, `unsound`, `interrupted`, `refused` or `failed`.
    status: &'static str,
    copy: String,
    live: Option<String>,
    error: Option<String>,
    /// The manifest that the copy was compared with.
    manifest: Option<String>,
    /// Of the database.
    bytes: Option<u64>,
    /// Of the copy's file.
    sha256: Option<Sha256Sum>,
    /// How long copying took, with unpacking and syncing.
    copy_s: Option<f64>,
    verify_s: Option<f64>,
    verified_by: Option<VerifiedBy>,
    /// Why `integrity_check` was asked.
    verified_because: Option<String>,
}

/// Runs the command. `interrupt_again` is called at a second Ctrl-C.
pub(super) fn restore(arguments: &Arguments, interrupt_again: fn()) -> Result<CommandOutcome, CommandError> {
    let ended = try_restore(arguments, interrupt_again);
    if arguments.json {
        let json = serde_json::to_string(&line(arguments, &ended)).context("cannot write the answer as JSON")?;
        tell(&format!("{json}\n"));
    }
    match ended? {
        (order, Ending::Restored(restored)) => {
            if !arguments.json {
                tell(&words(&order, &restored));
            }
            Ok(CommandOutcome::Done)
        }
        (order, Ending::Unsound(why)) => {
            let nothing = match &order.live {
                Some(live) => format!(", and {} was not made", live.display()),
                None => String::new(),
            };
            let copy = order.copy.display();
            print_line(&format!("journalbench: {copy} is no good copy{nothing}: {why}; take an older one"));
            Ok(CommandOutcome::Found)
        }
        (_, Ending::Interrupted) => Ok(CommandOutcome::Interrupted),
    }
}

fn try_restore(arguments: &Arguments, interrupt_again: fn()) -> Result<(Order, Ending), CommandError> {
    let order = make::order(arguments)?;
    if order.manifest.is_none() {
        let manifest = manifest_path(&order.copy);
        print_line(&format!("there is no {}: nobody said of this copy that it is sound", manifest.display()));
    }
    let interrupt = Interrupt::on_signals(interrupt_again).context("cannot watch for Ctrl-C")?;
    let place = order.place(arguments.work_dir.as_deref())?;
    // Before the room is looked at, which it takes.
    own_folder::remove_abandoned(place.parent().unwrap_or(Path::new("/")), print_line);
    order.check_room(&place)?;
    let refused = |error: anyhow::Error| match error.is::<Busy>() {
        true => CommandError::Usage(error),
        false if arguments.check => error.context("name another folder with --work-dir").into(),
        false => error.into(),
    };
    let hidden = OwnFolder::beside(&place).map_err(refused)?;
    let ending = match make::make(&order, &hidden, &interrupt) {
        Err(_) if interrupt.is_set() => Ending::Interrupted,
        ending => ending?,
    };
    Ok((order, ending))
}

fn line(arguments: &Arguments, ended: &Result<(Order, Ending), CommandError>) -> Line {
    let mut line = Line {
        status: "failed",
        copy: arguments.copy.display().to_string(),
        live: arguments.live.as_ref().map(|live| live.display().to_string()),
        error: None,
        manifest: None,
        bytes: None,
        sha256: None,
        copy_s: None,
        verify_s: None,
        verified_by: None,
        verified_because: None,
    };
    if let Ok((order, _)) = ended
        && order.manifest.is_some()
    {
        line.manifest = Some(manifest_path(&order.copy).display().to_string());
    }
    match ended {
        Ok((order, Ending::Restored(restored))) => {
            line.status = if order.live.is_some() { "restored" } else { "checked" };
            (line.bytes, line.copy_s) = (Some(restored.bytes), Some(restored.copy_s));
            line.sha256 = Some(restored.hashed.sha256);
            line.verify_s = Some(restored.checked.verify_s);
            line.verified_by = Some(restored.checked.by);
            line.verified_because.clone_from(&restored.checked.because);
        }
        Ok((_, Ending::Unsound(why))) => (line.status, line.error) = ("unsound", Some(why.clone())),
        Ok((_, Ending::Interrupted)) => line.status = "interrupted",
        Err(error @ CommandError::Usage(_)) => (line.status, line.error) = ("refused", Some(error.to_string())),
        Err(error @ CommandError::Environment(_)) => line.error = Some(error.to_string()),
    }
    line
}

fn words(order: &Order, restored: &Restored) -> String {
    let Restored { bytes, hashed, checked, copy_s, mode } = restored;
    let compared = match &order.manifest {
        Some(manifest) => format!("as its manifest of {:.0} says", manifest.made_at),
        None => "compared with nothing".to_owned(),
    };
    let because = checked.because.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    let mut words = format!(
        "{}  SHA-256, {compared}\n{bytes} bytes copied in {copy_s:.2} s\nverified by {}: ok, {:.2} s{because}\n",
        hashed.sha256, checked.by, checked.verify_s
    );
    // Writing to a String does not fail.
    let _ = match &order.live {
        None => writeln!(words, "{} can be restored", order.copy.display()),
        Some(live) => write!(words, "{}\n{}", live.display(), steps(live, *mode)),
    };
    words
}

/// What is left to do for whoever restores.
fn steps(live: &Path, mode: FileMode) -> String {
    let live = live.display();
    let of_mode = match mode {
        FileMode::Wal => "is in the file, and stays",
        FileMode::Rollback | FileMode::Invalid => {
            "is not in the file: a program that wants it has to set it again (PRAGMA journal_mode = WAL)"
        }
    };
    format!(
        "\nTo switch to it:\n\
        1. stop the program that has the old database open\n\
        2. move the old database aside together with its -wal, -shm and -journal: a -wal that stays would become part of the new one\n\
        3. move {live} to the old one's place, with the owner that the program runs as (chown)\n\
        4. start the program\n\
        journal_mode WAL {of_mode}.\n"
    )
}

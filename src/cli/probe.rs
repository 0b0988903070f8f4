//! `journalbench probe`: what the disk of a folder does, and which SQLite libraries there are. It says what it found; `doctor` judges it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::{CommandError, CommandOutcome, absolute, print, text::wrap};
use crate::{
    env::Environment,
    interrupt::Interrupt,
    own_folder::{self, OwnFolder},
    probe::{Effort, Latencies, SqliteFound, Throughput},
    progress::{Spinner, print_line},
    snapshot::Programs,
};

/// What stands below the help.
pub(super) const HELP: &str = "\
It takes some seconds, on a slow disk half a minute, in which nothing else should run. Files of up to 256 MiB, and of a tenth of what \
is free, are written into the folder, or beside its place where it is not there yet, and removed again. Every run measures the same in \
half a second, and its results have it.

Examples:
  journalbench probe
  journalbench probe /mnt/disk/work
  journalbench probe /mnt/disk/work --json > disk.json

Exit status: 0 it was measured; 1 nothing can be written there; 130 interrupted.";

/// What the command is given.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The folder that `run` would have as --work-dir
    #[arg(value_name = "DIR", env = "JOURNALBENCH_DIR", default_value = "journalbench-work")]
    folder: PathBuf,
    /// Print what a results.json has of it under `environment`
    #[arg(long)]
    json: bool,
}

/// Runs the command. `interrupt_again` is called at a second Ctrl-C.
pub(super) fn probe(arguments: &Arguments, interrupt_again: fn()) -> Result<CommandOutcome, CommandError> {
    let folder = absolute(&arguments.folder)?;
    let this = std::env::current_exe().context("cannot find this program")?;
    let interrupt = Interrupt::on_signals(interrupt_again).context("cannot watch for Ctrl-C")?;
    let existing = folder.ancestors().find(|folder| folder.exists()).unwrap_or(&folder);
    own_folder::remove_abandoned(existing, print_line);
    let own = OwnFolder::under(existing).with_context(|| {
        format!(
            "nothing can be written at {}: name a folder that you may write in, as in `journalbench probe DIR`, or set \
            JOURNALBENCH_DIR",
            folder.display()
        )
    })?;
    let environment = {
        let _waiting = Spinner::new("measuring the disk; nothing else should run meanwhile");
        Environment::read(own.path(), &Programs::find(this), Effort::Whole, interrupt.flag())
    };
    drop(own);
    if interrupt.is_set() {
        return Ok(CommandOutcome::Interrupted);
    }
    let text = if arguments.json {
        let json = serde_json::to_string_pretty(&environment).context("cannot write the findings as JSON")?;
        json + "\n"
    } else {
        render(&folder, existing, &environment)
    };
    print(&text)?;
    Ok(CommandOutcome::Done)
}

/// What was found, in words and a table.
fn render(folder: &Path, measured_in: &Path, environment: &Environment) -> String {
    let mut lines = place(folder, measured_in, environment);
    lines.push(String::new());
    lines.extend(times(environment));
    lines.push(String::new());
    lines.extend(speeds(environment));
    lines.push(String::new());
    lines.extend(sqlites(environment));
    lines.join("\n") + "\n"
}

/// Where it was measured, and what a sync reaches there.
fn place(folder: &Path, measured_in: &Path, environment: &Environment) -> Vec<String> {
    let known = |text: &str| if text.is_empty() { "unknown".to_owned() } else { text.to_owned() };
    let place = if folder == measured_in {
        folder.display().to_string()
    } else {
        format!("{}, which is not there yet: measured in {}", folder.display(), measured_in.display())
    };
    let file_system = match environment.mount_options.as_str() {
        "" => known(&environment.file_system),
        options => format!("{}, mounted with {options}", known(&environment.file_system)),
    };
    let effect = environment.disk_probe.as_ref().map_or_else(
        || "a sync was not measured".to_owned(),
        |disk| format!("a sync {}; the built-in SQLite calls {}", disk.sync_effect, environment.sqlite_sync_call),
    );
    let rows =
        [("folder", place), ("file system", file_system), ("kernel", known(&environment.kernel)), ("syncs", effect)];
    rows.iter().map(|(name, words)| labelled(name, words)).collect()
}

/// A line that begins with a word, and goes on below itself.
fn labelled(name: &str, words: &str) -> String {
    const WORDS_BEGIN: usize = 13;
    wrap(&format!("{name:<WORDS_BEGIN$}{words}"), &" ".repeat(WORDS_BEGIN))
}

/// The table of what was done again and again.
fn times(environment: &Environment) -> Vec<String> {
    let disk = environment.disk_probe.as_ref();
    let rows = [
        ("fsync of 4 KiB", disk.and_then(|disk| disk.fsync)),
        ("fdatasync of 4 KiB", disk.and_then(|disk| disk.fdatasync)),
        ("sync of a folder", disk.and_then(|disk| disk.folder_sync)),
        ("random read of 4 KiB", disk.and_then(|disk| disk.random_read)),
        ("random write of 4 KiB, synced", disk.and_then(|disk| disk.random_write)),
        ("timer: a sleep ends late by", environment.timer_late),
    ];
    let heading = line("microseconds", &["times", "median", "p90", "p99", "longest"].map(str::to_owned));
    let mut lines = vec![heading];
    lines.extend(rows.map(|(name, times)| row(name, times)));
    if rows.iter().flat_map(|(_, times)| times).any(|times| times.p99_us.is_none()) {
        lines.push(wrap("- is a percentile for which there were too few: a p99 needs 1,000, a median 20", "  "));
    }
    lines
}

fn row(name: &str, times: Option<Latencies>) -> String {
    let Some(Latencies { count, p50_us, p90_us, p99_us, max_us }) = times else {
        return format!("{name:<30}  not measured");
    };
    let percentile = |time_us: Option<u64>| time_us.map_or_else(|| "-".to_owned(), |us| us.to_string());
    let cells = [count.to_string(), percentile(p50_us), percentile(p90_us), percentile(p99_us), max_us.to_string()];
    line(name, &cells)
}

fn line(name: &str, cells: &[String; 5]) -> String {
    cells.iter().fold(format!("{name:<30}"), |line, cell| format!("{line} {cell:>8}"))
}

/// What was written and read from one end of a file to the other.
fn speeds(environment: &Environment) -> Vec<String> {
    let disk = environment.disk_probe.as_ref();
    let speed = |words: &str, throughput: Option<Throughput>| match throughput {
        None => format!("{words:<30}  not measured"),
        Some(Throughput { bytes, duration_s, bytes_per_s }) => {
            let (megabytes, megabytes_per_s) = (bytes as f64 / 1e6, bytes_per_s / 1e6);
            format!("{words:<30} {megabytes_per_s:>8.0} MB/s ({megabytes:.0} MB in {duration_s:.3} s)")
        }
    };
    vec![
        speed("writing a file, synced", disk.and_then(|disk| disk.sequential_write)),
        speed("reading it again from the disk", disk.and_then(|disk| disk.sequential_read)),
    ]
}

/// The SQLite libraries, with their compile options.
fn sqlites(environment: &Environment) -> Vec<String> {
    let mut lines = Vec::new();
    for found in environment.sqlite_found.as_deref().unwrap_or_default() {
        let SqliteFound { program, version, source_id, compile_options, has_wal_reset_bug } = found;
        let version = version.as_deref().unwrap_or("of unknown version");
        let source = source_id.as_ref().map_or_else(String::new, |id| format!(" ({id})"));
        let bug = match has_wal_reset_bug {
            Some(true) => {
                ", which has the WAL-reset bug (3.7.0 to 3.51.2, but for 3.44.6 and 3.50.7), unless the distribution has \
                taken over the fix"
            }
            Some(false) => ", without the WAL-reset bug",
            None => "",
        };
        lines.push(wrap(&format!("SQLite {version}, {program}{bug}{source}"), "  "));
        if let Some(options) = compile_options {
            lines.push(wrap(&format!("  compiled with {}", options.join(" ")), "    "));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::samples;

    #[test]
    fn what_was_measured_is_said_with_units_in_lines_of_a_terminal() {
        let text = render(Path::new("/work"), Path::new("/work"), &samples::environment());
        for expected in [
            "folder       /work\n",
            "file system  ext4, mounted with rw\n",
            "kernel       Linux 6.0\n",
            "a sync reaches a disk, as far as can be seen from here; the\n             built-in SQLite calls fsync\n",
            "microseconds                      times   median      p90      p99  longest\n",
            "fsync of 4 KiB                     1000      100      200      300      900\n",
            "sync of a folder                    500      200      400        -     1800\n",
            "- is a percentile for which there were too few",
            "writing a file, synced              500 MB/s (16 MB in 0.032 s)\n",
            "SQLite 3.54.1, built in, without the WAL-reset bug",
            "  compiled with THREADSAFE=1\n",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }

    #[test]
    fn what_is_not_known_is_said_to_be_so() {
        let mut environment = samples::of_before(&samples::results(Vec::new())).environment;
        environment.sqlite_found = Some(vec![SqliteFound {
            program: "/bin/sqlite3_rsync".to_owned(),
            version: None,
            source_id: None,
            compile_options: None,
            has_wal_reset_bug: None,
        }]);
        (environment.file_system, environment.mount_options) = (String::new(), String::new());
        let text = render(Path::new("/a/work"), Path::new("/a"), &environment);
        for expected in [
            "folder       /a/work, which is not there yet: measured in /a\n",
            "file system  unknown\n",
            "syncs        a sync was not measured\n",
            "fsync of 4 KiB                  not measured\n",
            "writing a file, synced          not measured\n",
            "SQLite of unknown version, /bin/sqlite3_rsync\n",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        environment.sqlite_found = samples::environment().sqlite_found;
        environment.sqlite_found.as_mut().unwrap()[1].has_wal_reset_bug = Some(true);
        let text = render(Path::new("/a"), Path::new("/a"), &environment);
        assert!(text.contains("which has the WAL-reset bug"), "{text}");
    }
}

//! `journalbench scenarios`: what the program has in it to run.

use std::{
    fs::{self, File},
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use clap::Args;
use comfy_table::{CellAlignment, ContentArrangement, presets::NOTHING};

use super::{CommandError, CommandOutcome, print, tell, text::COLUMNS};
use crate::{
    run,
    scenario::builtin::{self, BuiltIn},
};

/// What stands below the help.
pub(super) const HELP: &str = "\
Examples:
  journalbench scenarios
  journalbench run quick
  journalbench run quick --set load.rate_ops=4000
  journalbench scenarios --write my-scenarios        # to change them: journalbench run my-scenarios/quick.toml";

/// What the command is given.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Write all of them into this folder, with the traces and scripts that belong to them. No file is overwritten
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn scenarios(arguments: &Arguments) -> Result<CommandOutcome, CommandError> {
    match &arguments.write {
        Some(folder) => write(folder)?,
        None => print(&list()?)?,
    }
    Ok(CommandOutcome::Done)
}

/// A table of all scenarios.
fn list() -> anyhow::Result<String> {
    let mut table = comfy_table::Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(COLUMNS + 1);
    table.set_header(["scenario", "trials", "about", "at most", "disk, MB", "question"]);
    for scenario in builtin::all() {
        table.add_row(row(&scenario)?);
    }
    for column in table.column_iter_mut().skip(1).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    // The table has a space at both sides.
    let lines: Vec<_> =
        table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned()).collect();
    Ok(format!(
        "{}\n\nTimes are with the database made anew, on a disk that is not slow.\n\
        `journalbench run NAME` runs one, `journalbench scenarios --write DIR` writes\n\
        their files.\n",
        lines.join("\n")
    ))
}

fn row(built_in: &BuiltIn) -> anyhow::Result<[String; 6]> {
    // The files are those of this program, and a test reads each of them.
    let scenario = built_in.load(&[])?;
    let trials = scenario.trials();
    // A folder in which nothing is cached.
    let work_dir = Path::new("");
    Ok([
        built_in.name.to_owned(),
        trials.len().to_string(),
        time(run::duration_typical(&scenario, &trials, work_dir), f64::round),
        time(run::duration_bound(&scenario, &trials, work_dir), f64::ceil),
        run::bytes_needed(&scenario, &trials, work_dir, false).div_ceil(1_000_000).to_string(),
        scenario.why.clone(),
    ])
}

/// A duration as one says it, in whole seconds or minutes.
fn time(duration: Duration, whole: fn(f64) -> f64) -> String {
    let seconds = duration.as_secs_f64();
    if seconds <= 90.0 { format!("{:.0} s", whole(seconds)) } else { format!("{:.0} min", whole(seconds / 60.0)) }
}

/// Writes all files, or none where one of them is there already.
fn write(folder: &Path) -> Result<(), CommandError> {
    let files = builtin::files();
    let places: Vec<_> = files.iter().map(|file| folder.join(file.path)).collect();
    if let Some(place) = places.iter().find(|place| place.symlink_metadata().is_ok()) {
        return Err(CommandError::Usage(anyhow!(
            "--write {}: {} exists, and nothing is overwritten; name another folder, or move that file away",
            folder.display(),
            place.display()
        )));
    }
    for (file, place) in files.iter().zip(&places) {
        write_file(place, file.contents).with_context(|| format!("cannot write {}", place.display()))?;
    }
    let written: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
    tell(&format!("{}\n{} files were written\n", written.join("\n"), files.len()));
    Ok(())
}

fn write_file(place: &Path, contents: &[u8]) -> anyhow::Result<()> {
    if let Some(parent) = place.parent() {
        fs::create_dir_all(parent)?;
    }
    // A script can be run as it is.
    let mode = if contents.starts_with(b"#!") { 0o777 } else { 0o666 };
    let mut file = File::options().write(true).create_new(true).mode(mode).open(place)?;
    Ok(file.write_all(contents)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_scenario_and_fits_any_terminal() {
        let list = list().unwrap();
        for scenario in builtin::all() {
            assert!(
                list.lines().any(|line| line.trim_start().starts_with(scenario.name)),
                "{} in\n{list}",
                scenario.name
            );
        }
        assert!(list.lines().all(|line| line.chars().count() <= usize::from(COLUMNS)), "{list}");
    }

    #[test]
    fn times_are_said_as_one_says_them() {
        for (seconds, about, at_most) in [
            (0.6, "1 s", "1 s"),
            (74.2, "74 s", "75 s"),
            (90.0, "90 s", "90 s"),
            (90.1, "2 min", "2 min"),
            (140.0, "2 min", "3 min"),
        ] {
            let duration = Duration::from_secs_f64(seconds);
            assert_eq!((time(duration, f64::round).as_str(), time(duration, f64::ceil).as_str()), (about, at_most));
        }
    }
}

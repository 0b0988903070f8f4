//! `journalbench compare`: two runs of a scenario, before and after a change.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::{CommandError, CommandOutcome, print};
use crate::{
    analysis::{self, RunOutcome},
    progress::print_line,
    report::{self, Layout},
    results::Results,
};

/// What stands below the help.
pub(super) const HELP: &str = "\
Examples:
  journalbench compare before/results.json after/results.json
  journalbench compare full/results.json normal/results.json --force

Exit status: 0 no figure is worse; 1 a file cannot be read; 2 the runs are not comparable; 3 a figure is worse;
4 no figure is worse, but there are too few pairs of trials, or too much noise, to say that none is.";

/// What the command is given.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The results that are compared with
    #[arg(value_name = "BASE.json")]
    base: PathBuf,
    /// The results that are compared
    #[arg(value_name = "NEW.json")]
    new: PathBuf,
    /// Compare runs of different scenarios, machines or versions of SQLite all the same
    #[arg(long)]
    force: bool,
    /// How it looks
    #[arg(long, value_enum, default_value_t = Layout::Text)]
    format: Layout,
}

/// Runs the command.
pub(super) fn compare(arguments: &Arguments) -> Result<CommandOutcome, CommandError> {
    let load = |path| Results::load(path).map_err(anyhow::Error::from);
    let (base, new) = (load(&arguments.base)?, load(&arguments.new)?);
    let differences =
        analysis::differences(&base, &new).context("cannot compare what the results say of themselves")?;
    if !differences.is_empty() && !arguments.force {
        let error = anyhow!(
            "{} and {} are not comparable, they differ in\n  {}\n--force compares them all the same",
            arguments.base.display(),
            arguments.new.display(),
            differences.join("\n  ")
        );
        return Err(CommandError::Usage(error));
    }
    for difference in differences {
        print_line(&format!("the runs differ in {difference}"));
    }
    let comparison = analysis::compare(&base, &new);
    print(&report::render_comparison(&comparison, arguments.format))?;
    Ok(match comparison.outcome {
        RunOutcome::NoRegression => CommandOutcome::Done,
        RunOutcome::Regression => CommandOutcome::Found,
        RunOutcome::Inconclusive => CommandOutcome::Inconclusive,
    })
}

//! `journalbench limits`: how many commits a second a copy bears that begins again at each, from runs of several sizes.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;

use super::{CommandError, CommandOutcome, print};
use crate::{
    analysis::limits::{self, Asked},
    dataset::Size,
    report::{self, Layout},
    results::Results,
};

/// What stands below the help.
pub(super) const HELP: &str = "\
Examples:
  journalbench run limits --out limits-200mb
  journalbench run limits --set dataset.size=1GB --out limits-1gb
  journalbench limits limits-*/results.json --size 17GB --deadline-s 3600

What is fitted is (e^(rT) - 1)/r, the mean time of a copy that takes T seconds undisturbed and begins again at every commit, where r come a
second. Copies that a lock ended have another reason, and are told apart.";

/// What the command is given.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The results of runs with `backup`, `cli-backup` or `cli-backup-timeout`, best of several sizes and rates
    #[arg(value_name = "RESULTS.json", required = true)]
    results: Vec<PathBuf>,
    /// The size of the database that is asked about
    #[arg(long, value_name = "SIZE", default_value = "17GB")]
    size: Size,
    /// How long a copy of it may take, in seconds
    #[arg(long, value_name = "N", default_value_t = 3_600.0, value_parser = seconds)]
    deadline_s: f64,
    /// How it looks
    #[arg(long, value_enum, default_value_t = Layout::Text)]
    format: Layout,
}

/// Runs the command.
pub(super) fn limits(arguments: &Arguments) -> Result<CommandOutcome, CommandError> {
    let all: Vec<_> = arguments
        .results
        .iter()
        .map(|path| Results::load(path))
        .collect::<Result<_, _>>()
        .map_err(anyhow::Error::from)?;
    let asked = Asked { bytes: arguments.size.bytes, deadline_s: arguments.deadline_s };
    let copies = limits::copies(&all);
    if copies.is_empty() {
        let error = anyhow!(
            "no copy of backup, cli-backup or cli-backup-timeout is in the results: those begin again at commits"
        );
        return Err(CommandError::Usage(error));
    }
    let limits = limits::limits(&copies, asked);
    print(&report::render_limits(&copies, &limits, asked, arguments.format))?;
    Ok(CommandOutcome::Done)
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if f64::is_finite(seconds) && seconds > 0.0 => Ok(seconds),
        _ => Err("expected a number of seconds above 0".to_owned()),
    }
}

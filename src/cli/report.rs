//! `journalbench report`: the report of a run again.

use std::{env, fs::File, io::Write as _, path::PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::{CommandError, CommandOutcome, print};
use crate::{
    report::{self, Format},
    results::{Results, write_atomically},
};

/// What the command is given.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The results of a run
    #[arg(value_name = "RESULTS.json")]
    results: PathBuf,
    /// How it looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write to a file instead of standard output; it must not exist
    #[arg(short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace FILE where it exists
    #[arg(long, requires = "output")]
    overwrite: bool,
}

/// Runs the command.
pub(super) fn report(arguments: &Arguments) -> Result<CommandOutcome, CommandError> {
    if let Some(path) = arguments.output.as_ref().filter(|path| !arguments.overwrite && path.symlink_metadata().is_ok())
    {
        let error = anyhow!("-o {}: exists; name a file that does not, or add --overwrite", path.display());
        return Err(CommandError::Usage(error));
    }
    let results = Results::load(&arguments.results).map_err(anyhow::Error::from)?;
    if arguments.format == Format::Github {
        add_step_summary(&results)?;
    }
    let text = report::render(&results, arguments.format);
    match &arguments.output {
        Some(path) => {
            write_atomically(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        }
        None => print(&text)?,
    }
    Ok(CommandOutcome::Done)
}

/// Adds the whole report to the summary of a workflow's step, where this is one.
fn add_step_summary(results: &Results) -> anyhow::Result<()> {
    let Some(path) = env::var_os("GITHUB_STEP_SUMMARY").filter(|path| !path.is_empty()).map(PathBuf::from) else {
        return Ok(());
    };
    let summary = report::render(results, Format::Markdown);
    let file = File::options().append(true).create(true).open(&path);
    file.and_then(|mut file| file.write_all(summary.as_bytes()))
        .with_context(|| format!("cannot write the step summary to {}", path.display()))
}

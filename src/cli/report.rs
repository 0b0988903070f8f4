//! `journalbench report`: the report of a run again.

use std::{
    env,
    fs::File,
    io::{self, Write as _},
    path::PathBuf,
};

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::{CommandError, CommandOutcome, print, print_drawn};
use crate::{
    progress::print_line,
    report::{self, Colours, Format},
    results::{Results, write_atomically},
};

/// What the command is given.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The results of a run; of several runs, a page shows all (--format html)
    #[arg(value_name = "RESULTS.json", required = true)]
    results: Vec<PathBuf>,
    /// How it looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Print every table below the screen of the text format
    #[arg(long, conflicts_with = "output")]
    details: bool,
    /// Write to a file instead of standard output; it must not exist
    #[arg(short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace FILE where it exists
    #[arg(long, requires = "output")]
    overwrite: bool,
}

/// Runs the command.
pub(super) fn report(arguments: &Arguments) -> Result<CommandOutcome, CommandError> {
    super::check_output(arguments.output.as_deref(), arguments.overwrite)?;
    let load = |path: &PathBuf| super::load(path);
    let (first, others) = arguments.results.split_first().context("no results were named")?;
    if !others.is_empty() && arguments.format != Format::Html {
        let error = anyhow!("{} results were named: only --format html shows several", arguments.results.len());
        return Err(CommandError::Usage(error));
    }
    let results = load(first)?;
    if arguments.format == Format::Github {
        add_step_summary(&results)?;
    }
    let text = if others.is_empty() {
        report::render(&results, arguments.format)
    } else {
        let others = others.iter().map(load).collect::<anyhow::Result<Vec<_>>>()?;
        report::render_page(&[vec![results.clone()], others].concat())
    };
    match &arguments.output {
        Some(path) => {
            write_atomically(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        }
        None if arguments.format == Format::Text => show(&results, &[], arguments.details)?,
        None => print(&text)?,
    }
    Ok(CommandOutcome::Done)
}

/// Shows the report on a terminal, with the files that it was written to and, where they are asked for, all tables.
pub(super) fn show(results: &Results, files: &[PathBuf], with_details: bool) -> anyhow::Result<()> {
    let colours = match anstream::AutoStream::choice(&io::stdout()) {
        anstream::ColorChoice::Never => Colours::Plain,
        anstream::ColorChoice::Auto | anstream::ColorChoice::Always | anstream::ColorChoice::AlwaysAnsi => {
            Colours::Ansi
        }
    };
    print_drawn(&report::render_screen(results, colours))?;
    if with_details {
        print(&format!("\n{}", report::render_details(results)))?;
    }
    if !files.is_empty() {
        print("\n")?;
    }
    files.iter().try_for_each(|file| print(&format!("{}\n", file.display())))
}

/// Shows the report of files that stand, whether anybody can read of them or not: what cannot be printed is no failure.
pub(super) fn tell(results: &Results, files: &[PathBuf], with_details: bool) {
    if let Err(error) = show(results, files, with_details) {
        print_line(&format!("journalbench: {error:#}"));
    }
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

//! `journalbench render`: a text whose figures come from results.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::{CommandError, CommandOutcome, print};
use crate::{report, results::write_atomically};

/// What results may be in: as `run` writes them, or what gzip has made of that.
const FILES: [&str; 2] = ["results.json", "results.json.gz"];

/// What stands below the help.
pub(super) const HELP: &str = "\
Examples:
  echo 'Torn: {{ run(\"quick\").trials | map(attribute=\"snapshots\") | sum(start=[]) | where(verdict=\"torn\") | length }}' > torn.jinja
  journalbench render torn.jinja --results results
  journalbench render results/README.md.jinja --results results -o results/README.md --overwrite

A template is in the language of Jinja; docs/formats.md has what it can ask for. What is not in the results is an error.";

/// What the command is given.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The template
    #[arg(value_name = "TEMPLATE")]
    template: PathBuf,
    /// The folder of results: `run(\"NAME\")` is NAME/results.json in it, or NAME/results.json.gz
    #[arg(long, value_name = "DIR", default_value = "journalbench-out")]
    results: PathBuf,
    /// Write to a file instead of standard output; it must not exist
    #[arg(short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace FILE where it exists
    #[arg(long, requires = "output")]
    overwrite: bool,
}

/// Runs the command.
pub(super) fn render(arguments: &Arguments) -> Result<CommandOutcome, CommandError> {
    super::check_output(arguments.output.as_deref(), arguments.overwrite)?;
    let Arguments { template: path, results, output, .. } = arguments;
    let template = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let names = names(results).with_context(|| format!("cannot read --results {}", results.display()))?;
    let folder = results.clone();
    let load = move |name: &str| {
        let folder = folder.join(name);
        let path = FILES.map(|file| folder.join(file)).into_iter().find(|path| path.is_file());
        let path = path.with_context(|| format!("{} has no {}", folder.display(), FILES.join(" and no ")))?;
        super::load(&path)
    };
    let text = report::render_template(&path.display().to_string(), &template, &names, Box::new(load))
        .map_err(|error| CommandError::Usage(anyhow!("{}: {error:#}", path.display())))?;
    match output {
        Some(output) => {
            write_atomically(output, text.as_bytes()).with_context(|| format!("cannot write {}", output.display()))?;
        }
        None => print(&text)?,
    }
    Ok(CommandOutcome::Done)
}

/// The folders in which there are results.
fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if FILES.iter().any(|file| entry.path().join(file).is_file()) {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}

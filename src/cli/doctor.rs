//! `journalbench doctor`: whether a measurement here can be trusted, before there is one.

use std::{fmt::Write as _, path::PathBuf};

use anstyle::{AnsiColor, Style};
use anyhow::Context as _;
use clap::Args;

use super::{CommandError, CommandOutcome, absolute, text::wrap};
use crate::{
    doctor::{self, Finding, Level},
    machine::Machine,
    printable::printable,
    scenario::Scenario,
    snapshot::Programs,
};

/// What stands below the help.
pub(super) const HELP: &str = "\
It takes some three seconds, in which nothing else should run. `run` says afterwards, as warnings, what is wrong with a machine.

Examples:
  journalbench doctor
  journalbench doctor /mnt/disk/work
  journalbench doctor /mnt/disk/work --scenario strategies

Exit status: 0 nothing is bad; 1 something is, so figures would say little, or there would be none; 2 there is no such scenario.";

/// What the command is given.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The folder that `run` would have as --work-dir
    #[arg(value_name = "DIR", env = "JOURNALBENCH_DIR", default_value = "journalbench-work")]
    folder: PathBuf,
    /// The scenario that there must be room and memory for: the name of a built-in one, or a file
    #[arg(long, value_name = "NAME|SCENARIO.toml", default_value = "quick")]
    scenario: PathBuf,
}

/// Runs the command.
pub(super) fn doctor(arguments: &Arguments) -> Result<CommandOutcome, CommandError> {
    let folder = absolute(&arguments.folder)?;
    let scenario = Scenario::named(&arguments.scenario, &[]).map_err(|error| CommandError::Usage(error.into()))?;
    let this = std::env::current_exe().context("cannot find this program")?;
    let facts = doctor::read(&folder, &scenario, &Machine::default(), &Programs::find(this));
    let findings = doctor::examine(&facts);
    super::print_to(anstream::stdout().lock(), &render(&findings))?;
    let is_bad = findings.iter().any(|finding| finding.level == Level::Bad);
    Ok(if is_bad { CommandOutcome::Failed } else { CommandOutcome::Done })
}

/// The findings, a paragraph each, and what they come to; in colours, which are taken away where there is no terminal.
fn render(findings: &[Finding]) -> String {
    const WORDS_BEGIN: usize = 26;
    let indent = " ".repeat(WORDS_BEGIN);
    let mut text = String::new();
    for Finding { check, level, found, remedy } in findings {
        let style = style(*level);
        let words = wrap(&format!("{level:<9}{check:<17}{}", printable(found)), &indent);
        // The level is of ASCII, and nothing breaks before its end.
        let (level, rest) = words.split_at(level.to_string().len());
        // Writing to a String does not fail.
        let _ = writeln!(text, "{style}{level}{style:#}{rest}");
        if let Some(remedy) = remedy {
            let _ = writeln!(text, "{}", wrap(&format!("{indent}-> {}", printable(remedy)), &format!("{indent}   ")));
        }
    }
    text + &summary(findings)
}

/// What the findings come to, in a line.
fn summary(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (bad, warnings, unknown) = (count(Level::Bad), count(Level::Warning), count(Level::Unknown));
    let judgement = match (bad, warnings) {
        (0, 0) => "nothing speaks against a measurement here",
        (0, _) => "a measurement here is worth something, with what the warnings say in it",
        _ => "do not measure here before what is bad is mended",
    };
    format!("\n{judgement}: {bad} bad, {warnings} warnings, {unknown} unknown\n")
}

fn style(level: Level) -> Style {
    match level {
        Level::Ok => AnsiColor::Green.on_default(),
        Level::Unknown => AnsiColor::Cyan.on_default(),
        Level::Warning => AnsiColor::Yellow.on_default(),
        Level::Bad => AnsiColor::Red.on_default().bold(),
    }
}

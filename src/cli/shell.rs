//! `journalbench completions` and `journalbench man`: what a shell and `man` are told of the commands.

use anyhow::{Context as _, anyhow};
use clap::{Args, Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::{
    Man,
    roff::{Roff, roman},
};

use super::{Cli, CommandError, CommandOutcome, print};

/// What stands below the help of `completions`.
pub(super) const COMPLETIONS_HELP: &str = "\
Examples:
  journalbench completions bash > ~/.local/share/bash-completion/completions/journalbench
  journalbench completions zsh > ~/.zfunc/_journalbench          # a folder that is in fpath
  journalbench completions fish > ~/.config/fish/completions/journalbench.fish";

/// What stands below the help of `man`.
pub(super) const MAN_HELP: &str = "\
Examples:
  journalbench man | man -l -
  journalbench man run | man -l -
  journalbench man > ~/.local/share/man/man1/journalbench.1
  journalbench man run > ~/.local/share/man/man1/journalbench-run.1";

/// What `completions` is given.
#[derive(Debug, Args)]
pub(super) struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// What `man` is given.
#[derive(Debug, Args)]
pub(super) struct ManArguments {
    /// The command to explain; all of them in one line each, where it is left out
    command: Option<String>,
}

/// Runs `completions`.
pub(super) fn completions(arguments: &CompletionsArguments) -> Result<CommandOutcome, CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut visible(), env!("CARGO_PKG_NAME"), &mut script);
    print(&String::from_utf8(script).context("the completions are no text")?)?;
    Ok(CommandOutcome::Done)
}

/// Runs `man`.
pub(super) fn man(arguments: &ManArguments) -> Result<CommandOutcome, CommandError> {
    let mut program = visible().disable_help_subcommand(true);
    program.build();
    let command = match &arguments.command {
        None => program,
        Some(name) => program.find_subcommand(name).cloned().ok_or_else(|| {
            let names: Vec<_> = program.get_subcommands().map(Command::get_name).collect();
            CommandError::Usage(anyhow!("man {name}: there is no such command; expected one of {}", names.join(", ")))
        })?,
    };
    print(&page(command).context("cannot write the page")?)?;
    Ok(CommandOutcome::Done)
}

/// The commands that are for people: without those that `run` and `snapshot` start themselves.
fn visible() -> Command {
    let whole = Cli::command();
    let commands: Vec<_> = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned().collect();
    let program = Command::new(env!("CARGO_PKG_NAME")).version(env!("CARGO_PKG_VERSION")).subcommand_required(true);
    let about = whole.get_about().cloned().unwrap_or_default();
    let after_help = whole.get_after_help().cloned().unwrap_or_default();
    program.about(about).after_help(after_help).subcommands(commands)
}

/// The manual page of a command.
fn page(command: Command) -> anyhow::Result<String> {
    let below = command.get_after_help().map(ToString::to_string);
    let has_commands = command.get_subcommands().next().is_some();
    let man = Man::new(command).source(concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION")));
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if has_commands {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(below) = below {
        notes(&below).to_writer(&mut page)?;
    }
    Ok(String::from_utf8(page)?)
}

/// What stands below the help of a command: lines that are indented are to be typed and stay lines, the others are sentences.
fn notes(below: &str) -> Roff {
    let mut roff = Roff::default();
    roff.control("SH", ["NOTES"]);
    let mut in_lines = false;
    for line in below.lines() {
        if line.starts_with("  ") != in_lines {
            in_lines = !in_lines;
            roff.control(if in_lines { "nf" } else { "fi" }, []);
        }
        if line.is_empty() {
            roff.control("PP", []);
        } else {
            roff.text([roman(line)]);
        }
    }
    if in_lines {
        roff.control("fi", []);
    }
    roff
}

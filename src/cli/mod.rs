//! The commands: arguments in, text on standard output, an exit status. One file a command.

mod clean;
mod compare;
mod doctor;
mod generate;
mod limits;
mod merge;
mod out_folder;
mod probe;
mod render;
mod report;
mod restore;
mod run;
mod scenarios;
mod schema;
mod shell;
mod snapshot;
mod text;
mod verify;

use std::{
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::{
    child::watchdog,
    printable::printable,
    progress::print_line,
    results::Results,
    run::derive,
    snapshot::{
        copy_process,
        protocol::{self, Method},
    },
    trial::kill::committer,
};

/// Benchmark of SQLite journal modes and live backups under BitTorrent tracker load.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  journalbench scenarios
  journalbench doctor
  journalbench probe /mnt/disk
  journalbench run quick
  journalbench run quick --set load.rate_ops=17000 --out my-results
  journalbench run my-scenario.toml --dry-run
  journalbench report my-results/results.json --format markdown -o issue.md
  journalbench compare before/results.json after/results.json
  journalbench generate --size 17GB tracker.db
  journalbench verify my-results/kept/wal-full-8000-cp-1 backup.db
  journalbench snapshot --verify /var/lib/tracker.db /backup/tracker.db
  journalbench restore /backup/tracker.db /var/lib/restored.db
  journalbench restore --check /backup/tracker.db
  journalbench run --resume my-results
  journalbench run quick --shard 1/4 --out shard-1
  journalbench merge shard-*/results.json --out merged
  journalbench clean journalbench-work --remove
  journalbench schema > results.schema.json

Exit status: 0 done (a bad verdict is a finding, not an error); 1 the environment or a trial failed, or `doctor` found it bad;
2 usage or scenario, or no room; 3 a threshold is broken (with --strict: or inconclusive), `verify` found another verdict than exact, \
`snapshot --verify` or `restore` an unsound copy, `compare` a regression; 4 `compare` found no regression and cannot say that there is none;
130 interrupted, with what was measured so far written out.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario: generate the dataset, measure every trial, judge every snapshot, report
    Run(run::Arguments),
    /// List the scenarios that are built in: what each asks, and how long it takes
    #[command(after_help = scenarios::HELP)]
    Scenarios(scenarios::Arguments),
    /// Say whether a measurement on this machine and in this folder can be trusted, and what to do about it
    #[command(after_help = doctor::HELP)]
    Doctor(doctor::Arguments),
    /// Measure the disk of a folder, and say which SQLite libraries there are
    #[command(after_help = probe::HELP)]
    Probe(probe::Arguments),
    /// Join the results of the shards of a scenario, which several machines have run
    #[command(after_help = merge::HELP)]
    Merge(merge::Arguments),
    /// Make the report of a results.json again
    Report(report::Arguments),
    /// Write a text whose figures come from results
    #[command(after_help = render::HELP)]
    Render(render::Arguments),
    /// Compare two runs of a scenario, before and after a change
    #[command(after_help = compare::HELP)]
    Compare(compare::Arguments),
    /// Say how many commits a second a copy bears that begins again at each, as .backup does
    #[command(after_help = limits::HELP)]
    Limits(limits::Arguments),
    /// Make a tracker-shaped database from a seed: the same seed gives the same bytes
    Generate(generate::Arguments),
    /// Judge any file against a kept trial: was the database ever in this state?
    Verify(verify::Arguments),
    /// Copy any live SQLite database, whole and synced, or not at all
    #[command(after_help = snapshot::HELP)]
    Snapshot(snapshot::Arguments),
    /// Make a database of a copy again, whole, checked and synced, or prove that it could be done
    #[command(after_help = restore::HELP)]
    Restore(restore::Arguments),
    /// List what killed runs and snapshots have left in a folder, and remove it on request
    Clean(clean::Arguments),
    /// Print the JSON Schema of a results.json
    #[command(after_help = schema::HELP)]
    Schema,
    /// Print what has a shell complete the commands
    #[command(after_help = shell::COMPLETIONS_HELP)]
    Completions(shell::CompletionsArguments),
    /// Print the manual page of the program, or of one of its commands
    #[command(after_help = shell::MAN_HELP)]
    Man(shell::ManArguments),
    /// Copy a live database in a process of its own (used by `run` and `snapshot`)
    #[command(name = protocol::COMMAND, hide = true)]
    Copy {
        /// How
        method: Method,
        /// The database
        live: PathBuf,
        /// The copy
        out: PathBuf,
        /// Count what is asked of files, while every sync takes so many microseconds longer
        #[arg(long = protocol::COUNTED)]
        counted_sync_delay_us: Option<u64>,
    },
    /// Commit transactions until this process is killed (used by `run`)
    #[command(name = committer::COMMAND, hide = true)]
    CommitUntilKilled {
        /// The file that says what to commit
        task: PathBuf,
    },
    /// Wait for the end of standard input, and end the children of a program that was killed (used by `run` and `snapshot`)
    #[command(name = watchdog::COMMAND, hide = true)]
    WatchParent {
        /// What the children have in their environment
        mark: String,
    },
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub enum CommandError {
    /// The environment failed: exit status 1.
    Environment(anyhow::Error),
    /// The arguments or the scenario are wrong: exit status 2.
    Usage(anyhow::Error),
}

/// How a command ended that did what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CommandOutcome {
    Done,
    /// Some trials failed, and the results are written; or the machine is not fit to measure on.
    Failed,
    Interrupted,
    /// What was judged, measured or compared is not what it should be.
    Found,
    /// Nothing follows from what was compared.
    Inconclusive,
}

impl From<anyhow::Error> for CommandError {
    fn from(error: anyhow::Error) -> Self {
        Self::Environment(error)
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Environment(error) | Self::Usage(error)) = self;
        write!(f, "{error:#}")
    }
}

impl CommandError {
    /// The exit status that tells it.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Environment(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
        }
    }
}

/// Runs the command. `interrupt_again` is called at a second Ctrl-C, where the first has not ended the program yet.
///
/// # Errors
/// [`CommandError`], with the exit status that tells it.
pub fn main(cli: Cli, interrupt_again: fn()) -> Result<ExitCode, CommandError> {
    let ended = match cli.command {
        Command::Run(arguments) => run::run_scenario(&arguments, interrupt_again)?,
        Command::Scenarios(arguments) => scenarios::scenarios(&arguments)?,
        Command::Doctor(arguments) => doctor::doctor(&arguments)?,
        Command::Probe(arguments) => probe::probe(&arguments, interrupt_again)?,
        Command::Merge(arguments) => merge::merge(&arguments)?,
        Command::Report(arguments) => report::report(&arguments)?,
        Command::Compare(arguments) => compare::compare(&arguments)?,
        Command::Render(arguments) => render::render(&arguments)?,
        Command::Limits(arguments) => limits::limits(&arguments)?,
        Command::Generate(arguments) => generate::generate(&arguments, interrupt_again)?,
        Command::Verify(arguments) => verify::verify(&arguments, interrupt_again)?,
        Command::Snapshot(arguments) => snapshot::snapshot(&arguments, interrupt_again)?,
        Command::Restore(arguments) => restore::restore(&arguments, interrupt_again)?,
        Command::Clean(arguments) => clean::clean(&arguments)?,
        Command::Schema => schema::schema()?,
        Command::Completions(arguments) => shell::completions(&arguments)?,
        Command::Man(arguments) => shell::man(&arguments)?,
        Command::Copy { method, live, out, counted_sync_delay_us } => {
            let counted_sync_delay = counted_sync_delay_us.map(Duration::from_micros);
            copy_process::run(&method, &live, &out, counted_sync_delay)?;
            CommandOutcome::Done
        }
        Command::CommitUntilKilled { task } => {
            committer::run(&task)?;
            CommandOutcome::Done
        }
        Command::WatchParent { mark } => {
            watchdog::run(&mark);
            CommandOutcome::Done
        }
    };
    Ok(match ended {
        CommandOutcome::Done => ExitCode::SUCCESS,
        CommandOutcome::Failed => ExitCode::from(1),
        CommandOutcome::Interrupted => ExitCode::from(130),
        CommandOutcome::Found => ExitCode::from(3),
        CommandOutcome::Inconclusive => ExitCode::from(4),
    })
}

/// Prints what clap says instead of a command: help, the version, or what is wrong with the arguments. These are said as they
/// are, but for what a terminal obeys.
#[must_use]
pub fn print_usage(said: &clap::Error) -> ExitCode {
    if said.use_stderr() {
        print_line(said.to_string().trim_end());
    } else {
        // Where nobody reads the help, nothing else was asked for.
        let _ = said.print();
    }
    ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(2))
}

/// Says on standard error why a command failed.
pub fn print_error(failure: &CommandError) {
    print_line(&format!("journalbench: {failure}"));
}

/// Writes to standard output; a reader that has gone away is no error.
fn print(text: &str) -> anyhow::Result<()> {
    print_drawn(&printable(text))
}

/// Writes to standard output what is printable, or draws colours with escape sequences of its own.
fn print_drawn(text: &str) -> anyhow::Result<()> {
    print_to(io::stdout().lock(), text)
}

/// Writes to a form of standard output; a reader that has gone away is no error.
fn print_to(mut out: impl Write, text: &str) -> anyhow::Result<()> {
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// Writes to standard output of a file that stands, whether anybody can read of it or not: what cannot be printed is no failure.
fn tell(text: &str) {
    if let Err(error) = print(text) {
        print_line(&format!("journalbench: {error:#}"));
    }
}

/// Results of a file, with what follows from their trials as this program works it out: the program that wrote them may have been an older
/// one.
fn load(path: &Path) -> anyhow::Result<Results> {
    let mut results = Results::load(path)?;
    derive(&mut results);
    Ok(results)
}

/// Refuses to write to a file that exists, unless it may be replaced.
fn check_output(path: Option<&Path>, may_replace: bool) -> Result<(), CommandError> {
    match path.filter(|path| !may_replace && path.symlink_metadata().is_ok()) {
        Some(path) => Err(CommandError::Usage(anyhow::anyhow!(
            "-o {}: exists; name a file that does not, or add --overwrite",
            path.display()
        ))),
        None => Ok(()),
    }
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot make {} absolute", path.display()))
}

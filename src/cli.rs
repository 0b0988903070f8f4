//! The commands: arguments in, text on standard output, an exit status.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, anyhow};
use clap::{Args, Parser, Subcommand};

use crate::{
    dataset::{self, Dataset, GenerateError, IndexFill, Size},
    interrupt::Interrupt,
    progress::{self, Display},
    report::{self, Format},
    results::{Results, Status, write_atomically},
    run::{self, Options},
    scenario::Scenario,
    snapshot::{
        Programs,
        copy::{self, Method},
    },
    sqlite, work,
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
  journalbench run scenarios/quick.toml
  journalbench run scenarios/quick.toml --set load.rate_ops=17000 --out my-results
  journalbench run scenarios/quick.toml --dry-run
  journalbench report my-results/results.json --format markdown -o issue.md
  journalbench generate --size 17GB tracker.db

Exit status: 0 done (a bad verdict is a finding, not an error); 1 the environment or a trial failed;
2 usage or scenario, or no room; 130 interrupted, with what was measured so far written out.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario: generate the dataset, measure every trial, judge every snapshot, report
    Run(RunArguments),
    /// Make the report of a results.json again
    Report(ReportArguments),
    /// Make a tracker-shaped database from a seed: the same seed gives the same bytes
    Generate(GenerateArguments),
    /// Copy a live database in a process of its own (used by `run`)
    #[command(name = copy::COMMAND, hide = true)]
    Copy {
        /// How
        method: Method,
        /// The database
        live: PathBuf,
        /// The copy
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
struct RunArguments {
    /// The scenario
    #[arg(value_name = "SCENARIO.toml")]
    scenario: PathBuf,
    /// Folder for results.json and report.md; must not exist [default: journalbench-out/SCENARIO-TIMESTAMP]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Override a key of the scenario, as in `load.rate_ops=17000`; the value is TOML, or else a string
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Keep each trial's live database, snapshots and ledger in the results folder
    #[arg(long)]
    keep: bool,
    /// Print the trials that would run, and how long they take at most, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Folder for databases and the dataset cache; on the disk that is to be measured
    #[arg(long, value_name = "DIR", env = "JOURNALBENCH_DIR", default_value = "journalbench-work")]
    work_dir: PathBuf,
}

#[derive(Debug, Args)]
struct ReportArguments {
    /// The results of a run
    #[arg(value_name = "RESULTS.json")]
    results: PathBuf,
    /// How it looks
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write to a file instead of standard output
    #[arg(short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct GenerateArguments {
    #[command(flatten)]
    rows: RowsArguments,
    /// What every value follows from
    #[arg(long, value_name = "N", default_value_t = 310)]
    seed: u64,
    /// Page size of the file, a power of two from 512 to 65536
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = page_size)]
    page_size_bytes: u32,
    /// How full the pages of indexes are, from 0.5 to 1; random inserts leave them at about 0.9
    #[arg(long, value_name = "SHARE", default_value = "0.9", value_parser = index_fill)]
    index_fill: IndexFill,
    /// The file; must not exist
    #[arg(value_name = "OUT.db")]
    out: PathBuf,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct RowsArguments {
    /// Size of the file, as in 17GB: as many rows as come closest
    #[arg(long)]
    size: Option<Size>,
    /// Rows of `torrents`
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1 << 40))]
    rows: Option<u64>,
}

fn page_size(text: &str) -> Result<u32, String> {
    let power = text.parse().ok().filter(|bytes: &u32| bytes.is_power_of_two() && (512..=65_536).contains(bytes));
    power.ok_or_else(|| "expected a power of two from 512 to 65536".to_owned())
}

fn index_fill(text: &str) -> Result<IndexFill, String> {
    text.parse().ok().and_then(IndexFill::new).ok_or_else(|| "expected 0.5 to 1".to_owned())
}

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub enum Failure {
    /// The environment failed: exit status 1.
    Environment(anyhow::Error),
    /// The arguments or the scenario are wrong: exit status 2.
    Usage(anyhow::Error),
}

/// How a command ended that did what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Done,
    /// Some trials failed; the results are written.
    Failed,
    Interrupted,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Environment(error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Environment(error) | Self::Usage(error)) = self;
        write!(f, "{error:#}")
    }
}

impl Failure {
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
/// [`Failure`], with the exit status that tells it.
pub fn main(cli: Cli, interrupt_again: fn()) -> Result<ExitCode, Failure> {
    let ended = match cli.command {
        Command::Run(arguments) => run_scenario(&arguments, interrupt_again)?,
        Command::Report(arguments) => report(&arguments)?,
        Command::Generate(arguments) => generate(&arguments, interrupt_again)?,
        Command::Copy { method, live, out } => {
            copy::copy(method, &live, &out)?;
            Ended::Done
        }
    };
    Ok(match ended {
        Ended::Done => ExitCode::SUCCESS,
        Ended::Failed => ExitCode::from(1),
        Ended::Interrupted => ExitCode::from(130),
    })
}

fn run_scenario(arguments: &RunArguments, interrupt_again: fn()) -> Result<Ended, Failure> {
    let usage = |error: anyhow::Error| Failure::Usage(error);
    let scenario = Scenario::load(&arguments.scenario, &arguments.overrides).map_err(|error| usage(error.into()))?;
    let work_dir = absolute(&arguments.work_dir)?;
    if arguments.dry_run {
        print(&dry_run(&scenario, &work_dir))?;
        return Ok(Ended::Done);
    }
    let out_dir = match &arguments.out {
        Some(out) => absolute(out)?,
        None => absolute(&default_out(&scenario.name))?,
    };
    if out_dir.symlink_metadata().is_ok() {
        let error = anyhow!("--out {}: exists; name a folder that does not, nothing is overwritten", out_dir.display());
        return Err(usage(error));
    }
    run::check_room(&scenario, &work_dir, arguments.keep)
        .map_err(|error| usage(anyhow!("{}: {error}", arguments.scenario.display())))?;
    let interrupt = Interrupt::on_signals(interrupt_again).context("cannot watch for Ctrl-C")?;
    let out = OutFolder::create(&out_dir)?;
    let options = Options {
        work_dir,
        keep_in: arguments.keep.then(|| out_dir.join("kept")),
        out_dir: out_dir.clone(),
        programs: Programs::find(std::env::current_exe().context("cannot find this program")?),
        interrupt,
    };
    let mut display = Display::new();
    let results = run::run(&scenario, &options, &mut |event| display.show(&event));
    display.finish();
    let results = results?;
    let json = out_dir.join("results.json");
    let markdown = report::render(&results, Format::Markdown);
    results.save(&json).with_context(|| format!("cannot write {}", json.display()))?;
    write_atomically(&out_dir.join("report.md"), markdown.as_bytes())
        .with_context(|| format!("cannot write {}", out_dir.join("report.md").display()))?;
    out.keep();
    print(&format!("{}\n{}\n", report::render(&results, Format::Text), json.display()))?;
    Ok(if options.interrupt.is_set() {
        Ended::Interrupted
    } else if results.trials.iter().any(|trial| trial.status == Status::Failed) {
        Ended::Failed
    } else {
        Ended::Done
    })
}

fn report(arguments: &ReportArguments) -> Result<Ended, Failure> {
    let results = Results::load(&arguments.results).map_err(anyhow::Error::from)?;
    let text = report::render(&results, arguments.format);
    match &arguments.output {
        Some(path) => {
            write_atomically(path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))?;
        }
        None => print(&text)?,
    }
    Ok(Ended::Done)
}

fn generate(arguments: &GenerateArguments, interrupt_again: fn()) -> Result<Ended, Failure> {
    let GenerateArguments { rows, out, index_fill, .. } = arguments;
    let files = sqlite::SIDE_FILES.map(|suffix| sqlite::side_file(out, suffix));
    if let Some(file) = [out].into_iter().chain(&files).find(|file| file.symlink_metadata().is_ok()) {
        return Err(Failure::Usage(anyhow!("{}: exists, and nothing is overwritten", file.display())));
    }
    let interrupt = Interrupt::on_signals(interrupt_again).context("cannot watch for Ctrl-C")?;
    let dataset = match dataset_of(arguments, rows, &interrupt) {
        Err(Failure::Environment(error)) if interrupted(&error) => return Ok(Ended::Interrupted),
        dataset => dataset?,
    };
    let mut display = progress::Generation::new();
    let options = dataset::Options { index_fill: *index_fill, ..dataset::Options::default() };
    let result = dataset::generate_with(&dataset, &options, out, interrupt.flag(), &mut |done| display.show(done));
    display.finish();
    let manifest = match result {
        Err(GenerateError::Interrupted) => return Ok(Ended::Interrupted),
        result => result.map_err(anyhow::Error::from)?,
    };
    let dataset::Manifest { bytes, digest, .. } = manifest;
    print(&format!("rows    {}\nbytes   {bytes}\ndigest  {digest}\n{}\n", dataset.rows, out.display()))?;
    Ok(Ended::Done)
}

fn interrupted(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(GenerateError::Interrupted))
}

/// The dataset that was asked for, if there is room for it.
fn dataset_of(arguments: &GenerateArguments, rows: &RowsArguments, interrupt: &Interrupt) -> Result<Dataset, Failure> {
    /// Bytes that a row takes at the least, whatever the page size.
    const BYTES_PER_ROW_MIN: u64 = 95;

    let GenerateArguments { seed, page_size_bytes, index_fill, out, .. } = arguments;
    let (seed, page_size_bytes, index_fill) = (*seed, *page_size_bytes, *index_fill);
    let check_room = |needed: u64| match work::free_bytes(out).filter(|free| *free < needed) {
        None => Ok(()),
        Some(free) => Err(Failure::Usage(anyhow!(
            "{}: needs {} MB, and {} MB are free there",
            out.display(),
            needed / 1_000_000,
            free / 1_000_000
        ))),
    };
    let flag = interrupt.flag();
    // What is far too large is refused before its rows are gone through to size the file.
    let dataset = match *rows {
        RowsArguments { size: Some(size), .. } => {
            check_room(size.bytes)?;
            dataset::rows_for(size.bytes, seed, page_size_bytes, index_fill, flag).map_err(refused)?
        }
        RowsArguments { rows, .. } => Dataset { rows: rows.unwrap_or(1), seed, page_size_bytes },
    };
    check_room(dataset.rows * BYTES_PER_ROW_MIN)?;
    check_room(dataset::file_bytes(&dataset, index_fill, flag).map_err(refused)?)?;
    Ok(dataset)
}

fn refused(error: GenerateError) -> Failure {
    match error {
        GenerateError::TooLarge => Failure::Usage(error.into()),
        error => Failure::Environment(error.into()),
    }
}

fn dry_run(scenario: &Scenario, work_dir: &Path) -> String {
    let trials = scenario.trials();
    let mut lines: Vec<_> = trials.iter().map(crate::scenario::Trial::id).collect();
    let bound = run::duration_bound(scenario, work_dir).as_secs_f64();
    let needed = run::bytes_needed(scenario, work_dir, false) / 1_000_000;
    let free =
        work::free_bytes(work_dir).map_or_else(|| "unknown".to_owned(), |free| format!("{} MB", free / 1_000_000));
    lines.push(format!(
        "{} trials, {:.0} s of load each, at most {:.0} minutes in all",
        trials.len(),
        scenario.load_s(),
        (bound / 60.0).ceil()
    ));
    lines.push(format!("about {needed} MB needed in {} ({free} free)", work_dir.display()));
    lines.join("\n") + "\n"
}

fn default_out(name: &str) -> PathBuf {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    Path::new("journalbench-out").join(format!("{name}-{now}"))
}

fn absolute(path: &Path) -> anyhow::Result<PathBuf> {
    std::path::absolute(path).with_context(|| format!("cannot make {} absolute", path.display()))
}

/// The results folder, made before anything is measured so that an unwritable one is noticed first, and removed again,
/// with the folders above it that were made for it, if nothing was put in.
struct OutFolder {
    made: Vec<PathBuf>,
}

impl OutFolder {
    fn create(path: &Path) -> anyhow::Result<Self> {
        let describe = || format!("cannot create the results folder {}", path.display());
        let made = path.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
        let folder = Self { made };
        fs::create_dir_all(path).with_context(describe)?;
        let probe = path.join(".writable");
        File::create(&probe).and_then(|_| fs::remove_file(&probe)).with_context(describe)?;
        Ok(folder)
    }

    fn keep(mut self) {
        self.made.clear();
    }
}

impl Drop for OutFolder {
    fn drop(&mut self) {
        for folder in &self.made {
            // Only where it is empty.
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Writes to standard output; a reader that has gone away is no error.
fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

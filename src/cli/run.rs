//! `journalbench run`: a scenario in, a results folder out.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::{CommandError, CommandOutcome, absolute, print, tell};
use crate::{
    child::watchdog::Watchdog,
    dataset::Source,
    interrupt::Interrupt,
    lock_file::{LockError, LockFile},
    pages::header::Header,
    progress::{Display, print_line},
    report::{self, Format},
    results::{Results, Status, ThresholdOutcome, ThresholdResult, write_atomically},
    run::{self, Options},
    scenario::{Scenario, TrialPlan},
    snapshot::Programs,
    work,
};

/// The file of the results in their folder.
const RESULTS: &str = "results.json";

/// The file that one run at a time holds in the folder of its results.
const LOCK: &str = ".journalbench-lock";

/// What the command is given.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The scenario; may be left out with --resume
    #[arg(value_name = "SCENARIO.toml", required_unless_present = "resume")]
    scenario: Option<PathBuf>,
    /// Folder for results.json and report.md; must not exist [default: journalbench-out/SCENARIO-TIMESTAMP]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run whose results are in this folder: only its missing, failed and interrupted trials are run
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "dry_run"])]
    resume: Option<PathBuf>,
    /// Override a key of the scenario, as in `load.rate_ops=17000`; the value is TOML, or else a string
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "scenario")]
    overrides: Vec<String>,
    /// Keep each trial's live database, snapshots and ledger in the results folder
    #[arg(long)]
    keep: bool,
    /// Print the trials that would run, and how long they take at most, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// End with exit status 3 also where a threshold of the scenario is inconclusive
    #[arg(long)]
    strict: bool,
    /// Folder for databases and the dataset cache; on the disk that is to be measured
    #[arg(long, value_name = "DIR", env = "JOURNALBENCH_DIR", default_value = "journalbench-work")]
    work_dir: PathBuf,
}

/// Runs the command. `interrupt_again` is called at a second Ctrl-C.
pub(super) fn run_scenario(arguments: &Arguments, interrupt_again: fn()) -> Result<CommandOutcome, CommandError> {
    let work_dir = absolute(&arguments.work_dir)?;
    let (scenario, out, earlier) = match (&arguments.resume, &arguments.scenario) {
        (Some(folder), scenario) => {
            let out = OutFolder::open(&absolute(folder)?)?;
            let earlier = earlier(arguments, scenario.as_deref(), &out.json())?;
            check_room(arguments, &earlier.scenario, Some(&earlier), &work_dir)?;
            (earlier.scenario.clone(), out, Some(earlier))
        }
        (None, scenario) => {
            let path = scenario.as_deref().context("no scenario was named")?;
            let scenario = load(arguments, path)?;
            if arguments.dry_run {
                print(&dry_run(&scenario, &work_dir, arguments.keep))?;
                check_room(arguments, &scenario, None, &work_dir)?;
                return Ok(CommandOutcome::Done);
            }
            let out_dir = out_dir(arguments, &scenario)?;
            check_room(arguments, &scenario, None, &work_dir)?;
            (scenario, OutFolder::create(&out_dir)?, None)
        }
    };
    let interrupt = Interrupt::on_signals(interrupt_again).context("cannot watch for Ctrl-C")?;
    let this = std::env::current_exe().context("cannot find this program")?;
    let _watchdog =
        Watchdog::start(&this).context("cannot start the process that ends snapshots if this one is killed")?;
    let options = Options {
        work_dir,
        keep_in: arguments.keep.then(|| out.path.join("kept")),
        out_dir: out.path.clone(),
        programs: Programs::find(this),
        interrupt,
    };
    let results = measure(&scenario, &options, earlier, &out)?;
    out.write(&results)?;
    tell(&format!("{}\n{}\n", report::render(&results, Format::Text), out.json().display()));
    Ok(ended(&results, &options.interrupt, arguments.strict))
}

/// The scenario, and that the database it names is one.
fn load(arguments: &Arguments, path: &Path) -> Result<Scenario, CommandError> {
    let scenario = Scenario::load(path, &arguments.overrides).map_err(|error| CommandError::Usage(error.into()))?;
    if let Source::Adopted(path) = &scenario.dataset.source {
        let describe = || format!("dataset.path = {}", path.display());
        work::check_regular(path).with_context(describe)?;
        if !Header::read(path).with_context(describe)?.is_database() {
            return Err(anyhow!("{}: it is no SQLite database", describe()).into());
        }
    }
    Ok(scenario)
}

/// The results to go on from, which must be of the scenario, where one was named.
fn earlier(arguments: &Arguments, scenario: Option<&Path>, json: &Path) -> Result<Results, CommandError> {
    let earlier = Results::load(json).map_err(|error| CommandError::Usage(error.into()))?;
    if let Some(path) = scenario {
        let scenario = load(arguments, path)?;
        let refuse = |error: anyhow::Error| {
            CommandError::Usage(error.context(format!(
                "--resume {}: {} is not its scenario",
                json.display(),
                path.display()
            )))
        };
        run::check_scenario(&earlier, &scenario).map_err(refuse)?;
    }
    Ok(earlier)
}

/// The results folder that was asked for, or the default one; an existing one is refused.
fn out_dir(arguments: &Arguments, scenario: &Scenario) -> Result<PathBuf, CommandError> {
    let path = absolute(&arguments.out.clone().unwrap_or_else(|| default_out(&scenario.name)))?;
    if path.symlink_metadata().is_ok() { Err(refuse_existing(&path)) } else { Ok(path) }
}

fn refuse_existing(path: &Path) -> CommandError {
    CommandError::Usage(anyhow!(
        "--out {}: exists; name a folder that does not, nothing is overwritten",
        path.display()
    ))
}

fn check_room(
    arguments: &Arguments,
    scenario: &Scenario,
    earlier: Option<&Results>,
    work_dir: &Path,
) -> Result<(), CommandError> {
    let path = arguments.scenario.as_deref().unwrap_or(Path::new(&scenario.name));
    run::check_room(scenario, &run::missing(scenario, earlier), work_dir, arguments.keep)
        .map_err(|error| CommandError::Usage(anyhow!("{}: {error}", path.display())))
}

/// Runs the trials, with their progress on standard error, and saves the results after each.
fn measure(
    scenario: &Scenario,
    options: &Options,
    earlier: Option<Results>,
    out: &OutFolder,
) -> anyhow::Result<Results> {
    let mut display = Display::new();
    let results =
        run::run_on(scenario, options, earlier, &mut |results| out.save(results), &mut |event| display.show(&event));
    display.finish();
    if results.is_err() && out.json().exists() {
        print_line(&format!(
            "the trials that had ended are in {}; go on with: journalbench run --resume {}",
            out.json().display(),
            out.path.display()
        ));
    }
    results
}

/// How the run ended, once the thresholds that were not kept are named.
fn ended(results: &Results, interrupt: &Interrupt, strict: bool) -> CommandOutcome {
    let is_breach = |groups: &&[ThresholdResult]| match groups.first().map(ThresholdResult::outcome) {
        Some(ThresholdOutcome::Broken) => true,
        Some(ThresholdOutcome::Inconclusive) => strict,
        Some(ThresholdOutcome::Held) | None => false,
    };
    let breaches: Vec<_> =
        results.worst_thresholds().filter(is_breach).filter_map(report::threshold_sentence).collect();
    for breach in &breaches {
        print_line(breach);
    }
    if interrupt.is_set() {
        CommandOutcome::Interrupted
    } else if results.trials.iter().any(|trial| trial.status == Status::Failed) {
        CommandOutcome::Failed
    } else if breaches.is_empty() {
        CommandOutcome::Done
    } else {
        CommandOutcome::Found
    }
}

fn dry_run(scenario: &Scenario, work_dir: &Path, keep: bool) -> String {
    let trials = scenario.trials();
    let mut lines: Vec<_> = trials.iter().map(TrialPlan::id).collect();
    let bound = run::duration_bound(scenario, work_dir).as_secs_f64();
    let needed = run::bytes_needed(scenario, &trials, work_dir, keep) / 1_000_000;
    let free =
        work::free_bytes(work_dir).map_or_else(|| "unknown".to_owned(), |free| format!("{} MB", free / 1_000_000));
    lines.push(format!(
        "{} trials, {:.0} s of load each at most, and at most {:.0} minutes in all",
        trials.len(),
        scenario.load_s_max(),
        (bound / 60.0).ceil()
    ));
    lines.push(format!("about {needed} MB needed in {} ({free} free)", work_dir.display()));
    lines.join("\n") + "\n"
}

fn default_out(name: &str) -> PathBuf {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    Path::new("journalbench-out").join(format!("{name}-{now}"))
}

/// The results folder, made before anything is measured so that an unwritable one is noticed first, and held by this process
/// alone. It is removed again, with the folders above it that were made for it, if nothing was put in.
struct OutFolder {
    path: PathBuf,
    made: Vec<PathBuf>,
    lock: LockFile,
}

impl OutFolder {
    /// A new one.
    fn create(path: &Path) -> Result<Self, CommandError> {
        let describe = || format!("cannot create the results folder {}", path.display());
        let made: Vec<_> = path.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).with_context(describe)?;
        }
        match fs::create_dir(path) {
            // Somebody else has made it a moment ago.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Err(refuse_existing(path)),
            made => made.with_context(describe)?,
        }
        let lock = LockFile::take(&path.join(LOCK)).inspect_err(|_| remove_empty(&made)).with_context(describe)?;
        Ok(Self { path: path.to_owned(), made, lock })
    }

    /// One that an earlier sitting has made.
    fn open(path: &Path) -> Result<Self, CommandError> {
        if !path.join(RESULTS).is_file() {
            let problem = format!("--resume {}: there is no {RESULTS} in it, so no trial has ended", path.display());
            return Err(CommandError::Usage(anyhow!("{problem}; begin anew")));
        }
        match LockFile::take(&path.join(LOCK)) {
            Ok(lock) => Ok(Self { path: path.to_owned(), made: Vec::new(), lock }),
            Err(LockError::Held { holder, .. }) => {
                Err(CommandError::Usage(anyhow!("--resume {}: the run is still going on: {holder}", path.display())))
            }
            Err(error) => Err(anyhow::Error::from(error).into()),
        }
    }

    fn json(&self) -> PathBuf {
        self.path.join(RESULTS)
    }

    /// Saves the results, whole and synced.
    fn save(&self, results: &Results) -> anyhow::Result<()> {
        let json = self.json();
        let saved = results.save(&json).with_context(|| format!("cannot write {}", json.display()));
        saved.map_err(|error| work::explain_full(error, &self.path, None))
    }

    /// Saves the results and their report.
    fn write(&self, results: &Results) -> anyhow::Result<()> {
        self.save(results)?;
        let markdown = self.path.join("report.md");
        write_atomically(&markdown, report::render(results, Format::Markdown).as_bytes())
            .with_context(|| format!("cannot write {}", markdown.display()))
            .map_err(|error| work::explain_full(error, &self.path, None))
    }
}

impl Drop for OutFolder {
    fn drop(&mut self) {
        self.lock.remove();
        remove_empty(&self.made);
    }
}

/// Removes those of the folders that are empty, from the innermost on.
fn remove_empty(folders: &[PathBuf]) {
    for folder in folders {
        let _ = fs::remove_dir(folder);
    }
}

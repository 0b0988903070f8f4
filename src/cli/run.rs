//! `journalbench run`: a scenario in, a results folder out.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::{CommandError, CommandOutcome, absolute, print};
use crate::{
    dataset::Source,
    interrupt::Interrupt,
    progress::Display,
    report::{self, Format},
    results::{Results, Status, write_atomically},
    run::{self, Options},
    scenario::{Scenario, TrialPlan},
    snapshot::Programs,
    work,
};

/// What the command is given.
#[derive(Debug, Args)]
pub(super) struct Arguments {
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

/// Runs the command. `interrupt_again` is called at a second Ctrl-C.
pub(super) fn run_scenario(arguments: &Arguments, interrupt_again: fn()) -> Result<CommandOutcome, CommandError> {
    let scenario = load(arguments)?;
    let work_dir = absolute(&arguments.work_dir)?;
    if arguments.dry_run {
        print(&dry_run(&scenario, &work_dir, arguments.keep))?;
        check_room(arguments, &scenario, &work_dir)?;
        return Ok(CommandOutcome::Done);
    }
    let out_dir = out_dir(arguments, &scenario)?;
    check_room(arguments, &scenario, &work_dir)?;
    let interrupt = Interrupt::on_signals(interrupt_again).context("cannot watch for Ctrl-C")?;
    let out = OutFolder::create(&out_dir)?;
    let options = Options {
        work_dir,
        keep_in: arguments.keep.then(|| out_dir.join("kept")),
        out_dir: out_dir.clone(),
        programs: Programs::find(std::env::current_exe().context("cannot find this program")?),
        interrupt,
    };
    let results = measure(&scenario, &options)?;
    let json = write(&results, &out_dir)?;
    out.keep();
    print(&format!("{}\n{}\n", report::render(&results, Format::Text), json.display()))?;
    Ok(ended(&results, &options.interrupt))
}

/// The scenario, and that the database it names is there.
fn load(arguments: &Arguments) -> Result<Scenario, CommandError> {
    let scenario =
        Scenario::load(&arguments.scenario, &arguments.overrides).map_err(|error| CommandError::Usage(error.into()))?;
    if let Source::Adopted(path) = &scenario.dataset.source {
        fs::metadata(path).with_context(|| format!("dataset.path = {}", path.display()))?;
    }
    Ok(scenario)
}

/// The results folder that was asked for, or the default one; an existing one is refused.
fn out_dir(arguments: &Arguments, scenario: &Scenario) -> Result<PathBuf, CommandError> {
    let path = absolute(&arguments.out.clone().unwrap_or_else(|| default_out(&scenario.name)))?;
    if path.symlink_metadata().is_ok() {
        let error = anyhow!("--out {}: exists; name a folder that does not, nothing is overwritten", path.display());
        return Err(CommandError::Usage(error));
    }
    Ok(path)
}

fn check_room(arguments: &Arguments, scenario: &Scenario, work_dir: &Path) -> Result<(), CommandError> {
    run::check_room(scenario, work_dir, arguments.keep)
        .map_err(|error| CommandError::Usage(anyhow!("{}: {error}", arguments.scenario.display())))
}

/// Runs the trials, with their progress on standard error.
fn measure(scenario: &Scenario, options: &Options) -> anyhow::Result<Results> {
    let mut display = Display::new();
    let results = run::run(scenario, options, &mut |event| display.show(&event));
    display.finish();
    results
}

/// Writes the results and the report, and returns where the results are.
fn write(results: &Results, out_dir: &Path) -> anyhow::Result<PathBuf> {
    let (json, markdown) = (out_dir.join("results.json"), out_dir.join("report.md"));
    results.save(&json).with_context(|| format!("cannot write {}", json.display()))?;
    write_atomically(&markdown, report::render(results, Format::Markdown).as_bytes())
        .with_context(|| format!("cannot write {}", markdown.display()))?;
    Ok(json)
}

fn ended(results: &Results, interrupt: &Interrupt) -> CommandOutcome {
    if interrupt.is_set() {
        CommandOutcome::Interrupted
    } else if results.trials.iter().any(|trial| trial.status == Status::Failed) {
        CommandOutcome::Failed
    } else {
        CommandOutcome::Done
    }
}

fn dry_run(scenario: &Scenario, work_dir: &Path, keep: bool) -> String {
    let trials = scenario.trials();
    let mut lines: Vec<_> = trials.iter().map(TrialPlan::id).collect();
    let bound = run::duration_bound(scenario, work_dir).as_secs_f64();
    let needed = run::bytes_needed(scenario, work_dir, keep) / 1_000_000;
    let free =
        work::free_bytes(work_dir).map_or_else(|| "unknown".to_owned(), |free| format!("{} MB", free / 1_000_000));
    lines.push(format!(
        "{} trials, {:.0} s of load each, at most {:.0} minutes in all",
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

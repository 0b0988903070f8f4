//! `journalbench run`: a scenario in, a results folder out.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::{
    CommandError, CommandOutcome, absolute,
    out_folder::{self, OutFolder},
    print, report,
};
use crate::{
    child::watchdog::Watchdog,
    dataset::Source,
    interrupt::Interrupt,
    machine::Machine,
    pages::header::Header,
    progress::{Display, print_line},
    report::threshold_sentence,
    results::{Results, Status, ThresholdOutcome, ThresholdResult},
    run::{self, Only, Options, Start},
    scenario::{Scenario, Shard, TrialPlan},
    snapshot::Programs,
    work,
};

/// What the command is given.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Arguments {
    /// The scenario: a file, or the name of a built-in one (see `journalbench scenarios`); may be left out with --resume
    #[arg(value_name = "SCENARIO.toml|NAME", required_unless_present = "resume")]
    scenario: Option<PathBuf>,
    /// Folder for results.json, report.md and report.html; must not exist [default: journalbench-out/SCENARIO-TIMESTAMP]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run whose results are in this folder: only its missing, failed and interrupted trials are run
    #[arg(long, value_name = "DIR", conflicts_with_all = ["out", "dry_run"])]
    resume: Option<PathBuf>,
    /// Override a key of the scenario, as in `load.rate_ops=17000`; the value is TOML, or else a string
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "scenario")]
    overrides: Vec<String>,
    /// Run only every N-th block of pairs, from the I-th on, as in `1/4`: `merge` joins the results of all N
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Run only trials whose names contain this, as in `8000-cp`; may be given several times. The others can be run later, with --resume
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    only: Vec<String>,
    /// Keep each trial's live database, snapshots and ledger in the results folder
    #[arg(long)]
    keep: bool,
    /// Print the trials that would run, and how long they take at most, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Print every table below the screen
    #[arg(long)]
    details: bool,
    /// End with exit status 3 also where a threshold of the scenario is inconclusive
    #[arg(long)]
    strict: bool,
    /// Folder for databases and the dataset cache; on the disk that is to be measured
    #[arg(long, value_name = "DIR", env = "JOURNALBENCH_DIR", default_value = "journalbench-work")]
    work_dir: PathBuf,
}

impl Arguments {
    fn only(&self) -> Only {
        Only::new(self.only.clone())
    }
}

/// Runs the command. `interrupt_again` is called at a second Ctrl-C.
pub(super) fn run_scenario(arguments: &Arguments, interrupt_again: fn()) -> Result<CommandOutcome, CommandError> {
    let work_dir = absolute(&arguments.work_dir)?;
    let (scenario, out, start) = match (&arguments.resume, &arguments.scenario) {
        (Some(folder), scenario) => {
            let out = OutFolder::open(&absolute(folder)?)?;
            let earlier = earlier(arguments, scenario.as_deref(), &out.json())?;
            check_only(arguments, &earlier.scenario)?;
            check_room(arguments, &earlier.scenario, Some(&earlier), &work_dir)?;
            (earlier.scenario.clone(), out, Start::From(Box::new(earlier)))
        }
        (None, scenario) => {
            let path = scenario.as_deref().context("no scenario was named")?;
            let scenario = load(arguments, path)?;
            check_shard(arguments, &scenario)?;
            check_only(arguments, &scenario)?;
            if arguments.dry_run {
                print(&dry_run(&scenario, arguments, &work_dir))?;
                check_room(arguments, &scenario, None, &work_dir)?;
                return Ok(CommandOutcome::Done);
            }
            let default = || default_out(&scenario.name, arguments.shard);
            let out_dir = out_folder::new_path(&arguments.out.clone().unwrap_or_else(default))?;
            check_room(arguments, &scenario, None, &work_dir)?;
            (scenario, OutFolder::create(&out_dir)?, Start::Anew(arguments.shard))
        }
    };
    let interrupt = Interrupt::on_signals(interrupt_again).context("cannot watch for Ctrl-C")?;
    let this = std::env::current_exe().context("cannot find this program")?;
    let _watchdog =
        Watchdog::start(&this).context("cannot start the process that ends snapshots if this one is killed")?;
    let options = Options {
        work_dir,
        keep_in: arguments.keep.then(|| out.path.join(run::KEPT)),
        out_dir: out.path.clone(),
        programs: Programs::find(this),
        only: arguments.only(),
        machine: Machine::default(),
        interrupt,
    };
    let results = measure(&scenario, &options, start, &out)?;
    out.write(&results)?;
    report::tell(&results, &out.files(), arguments.details);
    Ok(ended(&results, &options.interrupt, arguments.strict))
}

/// The scenario, and that the database it names is one.
fn load(arguments: &Arguments, path: &Path) -> Result<Scenario, CommandError> {
    let scenario = Scenario::named(path, &arguments.overrides).map_err(|error| CommandError::Usage(error.into()))?;
    if let Source::Adopted(path) = &scenario.dataset.source {
        let describe = || format!("dataset.path = {}", path.display());
        work::check_regular(path).with_context(describe)?;
        if !Header::read(path).with_context(describe)?.is_database() {
            return Err(anyhow!("{}: it is no SQLite database", describe()).into());
        }
    }
    Ok(scenario)
}

/// Refuses a shard without trials: a machine that has nothing to do is a mistake in their number.
fn check_shard(arguments: &Arguments, scenario: &Scenario) -> Result<(), CommandError> {
    match arguments.shard {
        Some(shard) if scenario.trial_count_of(Some(shard)) == 0 => Err(CommandError::Usage(anyhow!(
            "--shard {shard}: this shard is empty, since there are fewer blocks of pairs in the scenario ({}) than shards",
            scenario.block_count()
        ))),
        _ => Ok(()),
    }
}

/// Refuses a choice that chooses nothing: a part of a name that no trial has.
fn check_only(arguments: &Arguments, scenario: &Scenario) -> Result<(), CommandError> {
    let trials = scenario.trials_of(arguments.shard);
    for part in &arguments.only {
        let first = trials.first().map(TrialPlan::id).unwrap_or_default();
        if Only::new(vec![part.clone()]).of(trials.clone()).is_empty() {
            return Err(CommandError::Usage(anyhow!(
                "--only {part}: no trial of the scenario has that in its name; expected a part of a name like {first}"
            )));
        }
    }
    Ok(())
}

/// The results to go on from, which must be of the scenario and of the shard, where they were named.
fn earlier(arguments: &Arguments, scenario: Option<&Path>, json: &Path) -> Result<Results, CommandError> {
    let earlier = Results::load(json).map_err(|error| CommandError::Usage(error.into()))?;
    run::check_shard(&earlier, arguments.shard)
        .map_err(|error| CommandError::Usage(error.context(format!("--resume {}", json.display()))))?;
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

fn check_room(
    arguments: &Arguments,
    scenario: &Scenario,
    earlier: Option<&Results>,
    work_dir: &Path,
) -> Result<(), CommandError> {
    let path = arguments.scenario.as_deref().unwrap_or(Path::new(&scenario.name));
    let shard = earlier.map_or(arguments.shard, |earlier| earlier.shard);
    let trials = arguments.only().of(run::missing(scenario, shard, earlier));
    run::check_room(scenario, &trials, work_dir, arguments.keep)
        .map_err(|error| CommandError::Usage(anyhow!("{}: {error}", path.display())))
}

/// Runs the trials, with their progress on standard error, and saves the results after each.
fn measure(scenario: &Scenario, options: &Options, start: Start, out: &OutFolder) -> anyhow::Result<Results> {
    let mut display = Display::new();
    let results =
        run::run_on(scenario, options, start, &mut |results| out.save(results), &mut |event| display.show(&event));
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
    let breaches: Vec<_> = results.worst_thresholds().filter(is_breach).filter_map(threshold_sentence).collect();
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

fn dry_run(scenario: &Scenario, arguments: &Arguments, work_dir: &Path) -> String {
    let trials = arguments.only().of(scenario.trials_of(arguments.shard));
    let mut lines: Vec<_> = trials.iter().map(TrialPlan::id).collect();
    let bound = run::duration_bound(scenario, &trials, work_dir).as_secs_f64();
    let needed = run::bytes_needed(scenario, &trials, work_dir, arguments.keep) / 1_000_000;
    let free =
        work::free_bytes(work_dir).map_or_else(|| "unknown".to_owned(), |free| format!("{} MB", free / 1_000_000));
    if let Some(shard) = arguments.shard {
        lines.push(format!("shard {shard} of the scenario's {} trials:", scenario.trials().len()));
    }
    lines.push(format!(
        "{} trials, {:.0} s of load each at most, and at most {:.0} minutes in all",
        trials.len(),
        scenario.load_s_max(),
        (bound / 60.0).ceil()
    ));
    lines.push(format!("about {needed} MB needed in {} ({free} free)", work_dir.display()));
    lines.join("\n") + "\n"
}

fn default_out(name: &str, shard: Option<Shard>) -> PathBuf {
    let now = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
    let shard = shard.map_or_else(String::new, |shard| format!("-{}-of-{}", shard.number(), shard.of()));
    Path::new("journalbench-out").join(format!("{name}{shard}-{now}"))
}

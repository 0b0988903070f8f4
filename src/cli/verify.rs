//! `journalbench verify`: any file, judged against a kept run.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::atomic::AtomicU64,
};

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde::Serialize;

use super::{CommandError, CommandOutcome, absolute, print};
use crate::{
    dataset::Manifest,
    history::{HistoryError, ledger::LedgerFile, replay},
    interrupt::Interrupt,
    oracle::{self, Claim, Difference, Evidence, Examination, Findings, Judgement, Question, SqliteChecks},
    own_folder::{self, OwnFolder},
    progress::{self, print_line},
    sqlite,
    torrents::Portion,
    trial::folder::TrialFolder,
    work,
};

/// What the command is given.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Folder of a trial that was kept with `run --keep`
    #[arg(value_name = "TRIAL_DIR")]
    trial: PathBuf,
    /// The file to judge; a -wal or -journal beside it is part of it. It stays as it is
    #[arg(value_name = "SNAPSHOT.db")]
    snapshot: PathBuf,
    /// Which of the trial's snapshots it is, or is to be compared with; may be left out where the trial has one
    #[arg(long = "snapshot", value_name = "N")]
    number: Option<usize>,
    /// Leave out SQLite's `integrity_check` and `quick_check`, which take many times as long
    #[arg(long)]
    oracle_only: bool,
    /// Print the verdict and the evidence as JSON
    #[arg(long)]
    json: bool,
    /// Folder for the copy that is read [default: the system's folder for temporary files]
    #[arg(long, value_name = "DIR")]
    work_dir: Option<PathBuf>,
}

/// The answer.
#[derive(Debug, Serialize)]
struct Answer {
    #[serde(flatten)]
    judgement: Judgement,
    /// Whether it is known which commits had been acknowledged before the snapshot began.
    staleness_known: bool,
    integrity_check: Option<String>,
    integrity_check_s: Option<f64>,
    quick_check: Option<String>,
    quick_check_s: Option<f64>,
    /// How long reading every page took.
    read_s: f64,
    pages: u32,
    damage: Findings,
    difference: Option<Difference>,
}

/// Runs the command.
pub(super) fn verify(arguments: &Arguments, interrupt_again: fn()) -> Result<CommandOutcome, CommandError> {
    let interrupt = Interrupt::on_signals(interrupt_again).context("cannot watch for Ctrl-C")?;
    match answer(arguments, &interrupt) {
        Err(_) if interrupt.is_set() => Ok(CommandOutcome::Interrupted),
        Err(failure) => Err(failure),
        Ok(answer) => {
            if arguments.json {
                let json = serde_json::to_string_pretty(&answer).context("cannot write the answer as JSON")?;
                print(&format!("{json}\n"))?;
            } else {
                print(&words(&answer))?;
            }
            Ok(if answer.judgement.verdict.is_exact() { CommandOutcome::Done } else { CommandOutcome::Found })
        }
    }
}

fn answer(arguments: &Arguments, interrupt: &Interrupt) -> Result<Answer, CommandError> {
    let Arguments { trial, snapshot, .. } = arguments;
    let trial = TrialFolder::new(trial);
    let manifest = trial.read_manifest()?;
    trial.check_ledger()?;
    let history = LedgerFile::open(&trial.ledger()).map_err(anyhow::Error::from)?;
    let claim = claim(arguments, &trial)?;
    let staleness_known = claim.is_some();
    let claim = match claim {
        Some(claim) => claim,
        None => any_time(&history, &manifest).map_err(anyhow::Error::from)?,
    };
    if !snapshot.is_file() {
        let problem = if snapshot.exists() { "is not a regular file" } else { "no such file" };
        return Err(anyhow!("{}: {problem}", snapshot.display()).into());
    }
    let folder = absolute(&arguments.work_dir.clone().unwrap_or_else(std::env::temp_dir))?;
    own_folder::remove_abandoned(&folder, print_line);
    let folder = OwnFolder::under(&folder).context("cannot make a temporary folder; name another with --work-dir")?;
    let copy = copy(snapshot, folder.path(), interrupt)?;
    let pages_done = AtomicU64::new(0);
    let evidence = Evidence {
        start: &manifest,
        history: &history,
        sqlite_checks: if arguments.oracle_only { SqliteChecks::LeaveOut } else { SqliteChecks::Ask },
        interrupted: interrupt.flag(),
        pages_done: &pages_done,
    };
    let examined =
        progress::while_reading(&pages_done, work::file_bytes(&copy), manifest.header.page_size_bytes(), || {
            oracle::examine(&evidence, &[Question { file: &copy, claim }], |_| ())
        });
    let examined = examined.into_iter().next().context("the oracle gave no answer")?;
    let Examination { inspection, judgement, difference } = examined.map_err(anyhow::Error::from)?;
    let (integrity, quick) = (inspection.integrity_check, inspection.quick_check);
    Ok(Answer {
        judgement,
        staleness_known,
        integrity_check_s: integrity.as_ref().map(|check| check.duration_s),
        integrity_check: integrity.map(|check| check.answer),
        quick_check_s: quick.as_ref().map(|check| check.duration_s),
        quick_check: quick.map(|check| check.answer),
        read_s: inspection.read_s,
        pages: inspection.pages,
        damage: inspection.findings,
        difference,
    })
}

/// The claim of a file of which the trial noted nothing: any state of it may be right.
fn any_time(history: &LedgerFile, start: &Manifest) -> Result<Claim, HistoryError> {
    let last = replay::replay(history, start, |_| ())?;
    Ok(Claim {
        portion: Portion::Whole,
        finished: true,
        commit_at_start: 0,
        commit_at_end: last.commit,
        ended_us: last.at_us,
    })
}

/// What the trial noted of the snapshot; nothing where it noted of none.
fn claim(arguments: &Arguments, trial: &TrialFolder) -> Result<Option<Claim>, CommandError> {
    let number = match (arguments.number, trial.count_snapshots()) {
        // The live database went on after every snapshot.
        (None, _) if is_same(&arguments.snapshot, &trial.live()) => return Ok(None),
        (Some(number), _) => number,
        (None, 0) => return Ok(None),
        (None, 1) => 0,
        (None, count) => {
            let last = count - 1;
            let trial = trial.path().display();
            return Err(CommandError::Usage(anyhow!(
                "{trial} has {count} snapshots: say which with --snapshot 0 to {last}"
            )));
        }
    };
    match trial.read_claim(number)? {
        None if arguments.number.is_some() => {
            Err(anyhow!("{} has no snapshot {number}", trial.path().display()).into())
        }
        claim => Ok(claim),
    }
}

/// Whether two paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    one.canonicalize().is_ok_and(|one| other.canonicalize().is_ok_and(|other| one == other))
}

/// Copies the snapshot and what lies beside it: judging changes the files.
fn copy(snapshot: &Path, folder: &Path, interrupt: &Interrupt) -> anyhow::Result<PathBuf> {
    let needed = work::file_bytes(snapshot);
    if let Some(free) = work::free_bytes(folder).filter(|free| *free < needed) {
        let (needed, free) = (needed / 1_000_000, free / 1_000_000);
        return Err(anyhow!(
            "{} has {free} MB free, the copy takes {needed} MB: name another folder with --work-dir",
            folder.display()
        ));
    }
    // What lies beside it lies beside what a link leads to.
    let snapshot = &snapshot.canonicalize().with_context(|| format!("cannot read {}", snapshot.display()))?;
    let copy = folder.join("snapshot.db");
    work::copy(snapshot, &copy, interrupt.flag())?;
    for suffix in ["-wal", "-journal"] {
        let beside = sqlite::side_file(snapshot, suffix);
        if beside.is_file() {
            work::copy(&beside, &sqlite::side_file(&copy, suffix), interrupt.flag())?;
        }
    }
    Ok(copy)
}

fn words(answer: &Answer) -> String {
    let Answer { judgement, .. } = answer;
    let mut text = format!("{}: {}\n", judgement.verdict, judgement.reason);
    // Writing to a String does not fail.
    let mut line = |words: String| {
        let _ = writeln!(text, "{words}");
    };
    if let Some(left_behind) = judgement.left_behind {
        line(format!("the strategy did not finish; what it left is {left_behind}"));
    }
    if !answer.staleness_known {
        line(
            "the trial noted of no such snapshot when it began: whether commits from before are missing is not known"
                .into(),
        );
    }
    if let (Some(commits), Some(seconds)) = (judgement.missing_commits, judgement.missing_s) {
        line(format!("missing: {commits} acknowledged commits, {seconds:.3} s"));
    }
    if let (Some(commits), Some(downloads)) = (judgement.age_commits, judgement.downloads_lost) {
        line(format!("lost on restore, as of the end of the snapshot: {commits} commits, {downloads} downloads"));
    }
    if let Some(difference) = &answer.difference {
        line(difference.to_string());
        difference.sample.iter().for_each(|row| line(format!("  {row}")));
    }
    if answer.damage.count > 0 {
        line(format!("{} things are wrong with its pages", answer.damage.count));
        answer.damage.sample.iter().for_each(|finding| line(format!("  {finding}")));
    }
    let checks = [
        ("integrity_check", &answer.integrity_check, answer.integrity_check_s),
        ("quick_check", &answer.quick_check, answer.quick_check_s),
    ];
    for (name, said, took_s) in checks {
        if let (Some(said), Some(took_s)) = (said, took_s) {
            line(format!("{name}: {said} ({took_s:.2} s)"));
        }
    }
    line(format!("{} pages read in {:.2} s", answer.pages, answer.read_s));
    text
}

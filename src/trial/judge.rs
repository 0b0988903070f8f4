//! The fifth room of a trial: all of its snapshots are examined, and each becomes a row of the results.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicU64,
};

use anyhow::Result;

use super::{
    conduct::SnapshotMeasurement,
    event::Event,
    folder::{self, TrialFolder, main_file},
    snapshot_run::SnapshotRun,
    tracker::Obligations,
};
use crate::{
    dataset::Manifest,
    history::History,
    interrupt::Interrupt,
    oracle::{self, Examination, Question, SqliteChecks},
    pages::header::{FileVersion, Header},
    results::{
        CopyCost, CopyCourse, CopyFiles, CopyJournalMode, CopyRun, Evidence, FileLeft, Recorded, Ruling,
        SnapshotResult, StepResult,
    },
    scenario::TrialPlan,
    snapshot::{CopyProgress, SNAPSHOT_FILE},
    work,
};

/// What the snapshots of a trial are judged by.
pub struct Court<'a> {
    /// Which checks are asked.
    pub plan: &'a TrialPlan,
    /// Where the snapshots lie.
    pub folder: &'a TrialFolder,
    /// Whether what the strategies left is kept, so that the oracle must read a copy.
    pub is_kept: bool,
    /// The database at the start.
    pub start: &'a Manifest,
    /// The commits after that.
    pub history: &'a dyn History,
    /// What the oracle may say.
    pub obligations: &'a Obligations,
    /// Set to stop.
    pub interrupt: &'a Interrupt,
}

/// Judges every snapshot. `steps` has what was done with each of them. A snapshot that cannot be judged is a row with its
/// error.
pub fn judge(
    court: &Court<'_>,
    snapshots: &[SnapshotMeasurement],
    steps: Vec<Vec<StepResult>>,
    tell: &mut dyn FnMut(Event),
) -> Vec<SnapshotResult> {
    let headers: Vec<_> =
        snapshots.iter().map(|snapshot| copy_journal_mode(&main_file(&snapshot.run.folder))).collect();
    let files: Vec<_> = snapshots.iter().map(|snapshot| set_aside(court, snapshot)).collect();
    let questions: Vec<_> = snapshots
        .iter()
        .zip(&files)
        .filter_map(|(snapshot, file)| {
            let claim = court.obligations.claim(snapshot.run.claim);
            Some(Question { file: file.as_ref().ok()?, claim })
        })
        .collect();
    let evidence = oracle::Evidence {
        start: court.start,
        history: court.history,
        sqlite_checks: if court.plan.sqlite_checks { SqliteChecks::Ask } else { SqliteChecks::LeaveOut },
        interrupted: court.interrupt.flag(),
        pages_done: &AtomicU64::new(0),
    };
    let of = questions.len();
    let mut examined =
        oracle::examine(&evidence, &questions, |number| tell(Event::Judging { number: number + 1, of })).into_iter();
    // What was judged has changed, and what was not is kept elsewhere; what cannot be removed goes with the trial's folder.
    let _ = fs::remove_dir_all(court.folder.judged_snapshots());
    let mut rows = Vec::new();
    for (((snapshot, file), header), steps) in snapshots.iter().zip(&files).zip(headers).zip(steps) {
        let examination = match file {
            Ok(_) => examined.next().map_or_else(
                || Err("the oracle gave no answer".to_owned()),
                |examination| examination.map_err(|error| error.to_string()),
            ),
            Err(error) => Err(format!("{error:#}")),
        };
        let objection = court.obligations.objection(&snapshot.run.claim, snapshot.run.advance);
        if court.is_kept && court.obligations.are_inferred() {
            let claim = court.obligations.claim(snapshot.run.claim);
            folder::write_claim(&snapshot.run.folder, claim, snapshot.run.deadline, objection.clone());
        }
        let examination = objection.map_or(examination, Err);
        rows.push(row(court.plan, snapshot, header, steps, examination));
    }
    rows
}

/// The rows of snapshots that nobody judges, and why nobody does.
pub fn leave_unjudged(
    plan: &TrialPlan,
    snapshots: &[SnapshotMeasurement],
    steps: Vec<Vec<StepResult>>,
    why: &str,
) -> Vec<SnapshotResult> {
    let rows = snapshots.iter().zip(steps);
    let unjudged = |(snapshot, steps): (&SnapshotMeasurement, _)| {
        let header = copy_journal_mode(&main_file(&snapshot.run.folder));
        row(plan, snapshot, header, steps, Err(why.to_owned()))
    };
    rows.map(unjudged).collect()
}

/// Moves what a strategy left to where the oracle may change it, or copies it where it is kept. Returns its main file.
fn set_aside(court: &Court<'_>, snapshot: &SnapshotMeasurement) -> Result<PathBuf> {
    let judged = court.folder.judged(snapshot.run.number);
    if let Some(parent) = judged.parent() {
        fs::create_dir_all(parent)?;
    }
    if court.is_kept {
        work::copy_folder(&snapshot.run.folder, &judged, court.interrupt.flag())?;
    } else {
        fs::rename(&snapshot.run.folder, &judged)?;
    }
    Ok(main_file(&judged))
}

/// What the header of a snapshot's main file says of its journal mode, before anything has opened it; `None` where it is
/// no database's.
fn copy_journal_mode(path: &Path) -> Option<CopyJournalMode> {
    let header = Header::read(path).ok().filter(Header::is_database)?;
    Some(match header.file_version() {
        FileVersion::Rollback => CopyJournalMode::Rollback,
        FileVersion::Wal => CopyJournalMode::Wal,
        FileVersion::Invalid { .. } => CopyJournalMode::Invalid,
    })
}

/// Whether no WAL or journal with content lies beside the main file; `None` where there is no main file with content.
fn stands_alone(files: &[FileLeft]) -> Option<bool> {
    let has_content = |name: &str| files.iter().any(|file| file.bytes > 0 && file.name == name);
    let needs = |suffix: &str| has_content(&format!("{SNAPSHOT_FILE}{suffix}"));
    has_content(SNAPSHOT_FILE).then(|| !needs("-wal") && !needs("-journal"))
}

fn row(
    plan: &TrialPlan,
    snapshot: &SnapshotMeasurement,
    header: Option<CopyJournalMode>,
    steps: Vec<StepResult>,
    examination: Result<Examination, String>,
) -> SnapshotResult {
    let SnapshotMeasurement { run, observation } = snapshot;
    SnapshotResult {
        strategy: plan.strategy,
        run: copy_run(run),
        progress: CopyCourse {
            parts: Recorded::Known(run.outcome.parts.clone()),
            restarts: run.progress.map(|progress| progress.restarts),
            pages_in_vain: Recorded::Known(run.progress.map(|progress| progress.pages_in_vain)),
            points: Recorded::Known(observation.progress.clone()),
        },
        cost: CopyCost {
            downtime_s: Recorded::Known(run.outcome.downtime.map(|downtime| downtime.as_secs_f64())),
            resources: Recorded::Known(run.outcome.resources),
            writer_cpu_s: Recorded::Known(run.outcome.writer_cpu.map(|cpu| cpu.as_secs_f64())),
            io: run.outcome.io.clone(),
            pace: run.outcome.pace,
            live_cached: run.live_cached,
        },
        copy: CopyFiles {
            bytes: run.files.iter().map(|file| file.bytes).sum(),
            files: run.files.clone(),
            copy_journal_mode: Recorded::Known(header),
            stands_alone: Recorded::Known(stands_alone(&run.files)),
        },
        wal: Recorded::Known(observation.wal.clone()),
        after: Recorded::Known(steps),
        ruling: match examination {
            Ok(examination) => ruling(run, examination),
            Err(why) => Ruling { judge_error: Some(why), ..Ruling::default() },
        },
    }
}

fn copy_run(run: &SnapshotRun) -> CopyRun {
    let (sync_s, sync_error) = match &run.sync {
        None => (None, None),
        Some(Ok(duration)) => (Some(duration.as_secs_f64()), None),
        Some(Err(error)) => (None, Some(error.clone())),
    };
    CopyRun {
        started_s: run.started_after.as_secs_f64(),
        late_s: Recorded::Known(run.late.as_secs_f64()),
        duration_s: run.outcome.duration.as_secs_f64(),
        sync_s: Recorded::Known(sync_s),
        sync_error: Recorded::Known(sync_error),
        deadline_s: run.deadline.as_secs_f64(),
        exit_status: run.outcome.exit_status,
        error: run.outcome.error.clone(),
        stderr: Recorded::Known(run.outcome.stderr.clone()),
        commit_at_start: run.claim.commit_at_start,
        commit_at_end: run.claim.commit_at_end,
        commits_lost: None,
    }
}

fn ruling(run: &SnapshotRun, examination: Examination) -> Ruling {
    let Examination { inspection, judgement, difference } = examination;
    let silent_failure = judgement.is_silent_failure(&run.claim, inspection.integrity_check.as_ref());
    let (integrity, quick) = (inspection.integrity_check, inspection.quick_check);
    Ruling {
        verdict: Some(judgement.verdict),
        judge_error: None,
        silent_failure,
        integrity_check_s: integrity.as_ref().map(|check| check.duration_s),
        integrity_check: integrity.map(|check| check.answer),
        quick_check_s: quick.as_ref().map(|check| check.duration_s),
        quick_check: quick.map(|check| check.answer),
        commit: judgement.commit,
        evidence: Evidence {
            reason: judgement.reason,
            left_behind: judgement.left_behind,
            age_commits: judgement.age_commits,
            age_s: judgement.age_s,
            missing_commits: Recorded::Known(judgement.missing_commits),
            missing_s: Recorded::Known(judgement.missing_s),
            downloads_lost: Recorded::Known(judgement.downloads_lost),
            damage: Recorded::Known(inspection.findings),
            difference: Recorded::Known(difference),
            read_s: Recorded::Known(inspection.read_s),
            digest: judgement.digest,
            progress: run.progress.and_then(CopyProgress::done),
        },
    }
}

//! After the load: every snapshot of a trial is read and judged, and what was measured of it and found is put together.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::atomic::AtomicU64,
};

use anyhow::{Context as _, Result};

use super::{
    Event,
    taking::{self, Taken},
    trial::Context,
    watch::Watched,
};
use crate::{
    ledger::Ledger,
    oracle::{self, Difference, Inspection, Judgement, Verdict},
    results::{CopyCost, CopyCourse, CopyFiles, CopyJournalMode, CopyRun, Evidence, FileLeft, Ruling, SnapshotResult},
    scenario::Trial,
    snapshot::{CopyProgress, SNAPSHOT_FILE},
    work,
};

/// Judges the snapshots of a trial, one after the other.
pub fn judge(
    context: &Context<'_>,
    trial: &Trial,
    snapshots: &[(Taken, Watched)],
    ledger: &Ledger,
    tell: &mut dyn FnMut(Event),
) -> Result<Vec<SnapshotResult>> {
    let mut results = Vec::new();
    for (number, snapshot) in (1..).zip(snapshots) {
        tell(Event::Judging { number, of: snapshots.len() });
        results.push(judge_one(context, trial, snapshot, ledger)?);
    }
    Ok(results)
}

fn judge_one(
    context: &Context<'_>,
    trial: &Trial,
    snapshot: &(Taken, Watched),
    ledger: &Ledger,
) -> Result<SnapshotResult> {
    let taken = &snapshot.0;
    let manifest = &context.dataset.manifest;
    let mode = copy_journal_mode(&taking::main_file(&taken.folder));
    let judged = judged_folder(&taken.folder);
    let inspection = inspect(context, &taken.folder, &judged)?;
    let questions = [(taken.claim, inspection)];
    let judgement = oracle::judge(ledger.path(), manifest, &questions)?.into_iter().next();
    let judgement = judgement.context("the oracle gave no answer")??;
    let is_torn = [Some(judgement.verdict), judgement.left_behind].contains(&Some(Verdict::Torn));
    let difference = if is_torn {
        let (file, flag) = (taking::main_file(&judged), context.options.interrupt.flag());
        oracle::difference(&file, ledger.path(), manifest, taken.claim.commit_at_end, flag)?
    } else {
        None
    };
    fs::remove_dir_all(&judged)?;
    let [(_, inspection)] = questions;
    Ok(result(trial, snapshot, mode, inspection, judgement, difference))
}

/// Reads the snapshot in its folder, which is empty afterwards unless it is kept.
fn inspect(context: &Context<'_>, folder: &Path, judged: &Path) -> Result<Inspection> {
    // Judging changes the files, so what is kept is set aside first.
    if context.options.keep_in.is_some() {
        work::copy_folder(folder, judged, context.options.interrupt.flag())?;
    } else {
        fs::rename(folder, judged)?;
    }
    let manifest = &context.dataset.manifest;
    let flag = context.options.interrupt.flag();
    let inspect = if context.scenario.keys.snapshots.sqlite_checks { oracle::inspect } else { oracle::inspect_alone };
    Ok(inspect(&taking::main_file(judged), manifest, flag, &AtomicU64::new(0))?)
}

/// What the header of a snapshot's main file says of its journal mode, before anything has opened it; `None` where it is
/// no database's.
fn copy_journal_mode(path: &Path) -> Option<CopyJournalMode> {
    let mut header = [0; 20];
    File::open(path).and_then(|file| file.read_exact_at(&mut header, 0)).ok()?;
    header.starts_with(b"SQLite format 3\0").then_some(match header[18..20] {
        [1, 1] => CopyJournalMode::Rollback,
        [2, 2] => CopyJournalMode::Wal,
        _ => CopyJournalMode::Invalid,
    })
}

/// Whether no WAL or journal with content lies beside the main file; `None` where there is no main file with content.
fn stands_alone(files: &[FileLeft]) -> Option<bool> {
    let has_content = |name: &str| files.iter().any(|file| file.bytes > 0 && file.name == name);
    let needs = |suffix: &str| has_content(&format!("{SNAPSHOT_FILE}{suffix}"));
    has_content(SNAPSHOT_FILE).then(|| !needs("-wal") && !needs("-journal"))
}

fn judged_folder(folder: &Path) -> PathBuf {
    folder.with_extension("judged")
}

fn result(
    trial: &Trial,
    (taken, watched): &(Taken, Watched),
    mode: Option<CopyJournalMode>,
    inspection: Inspection,
    judgement: Judgement,
    difference: Option<Difference>,
) -> SnapshotResult {
    let files = &taken.files;
    SnapshotResult {
        strategy: trial.strategy,
        run: CopyRun {
            started_s: taken.started_after.as_secs_f64(),
            late_s: taken.late.as_secs_f64().into(),
            duration_s: taken.outcome.duration.as_secs_f64(),
            sync_s: taken.sync.as_ref().and_then(|sync| Some(sync.as_ref().ok()?.as_secs_f64())).into(),
            sync_error: taken.sync.as_ref().and_then(|sync| sync.as_ref().err().cloned()).into(),
            deadline_s: taken.deadline.as_secs_f64(),
            exit_status: taken.outcome.exit_status,
            error: taken.outcome.error.clone(),
            stderr: taken.outcome.stderr.clone().into(),
            commit_at_start: taken.claim.commit_at_start,
            commit_at_end: taken.claim.commit_at_end,
        },
        progress: CopyCourse {
            parts: taken.outcome.parts.clone().into(),
            restarts: taken.progress.map(|progress| progress.restarts),
            pages_in_vain: taken.progress.map(|progress| progress.pages_in_vain).into(),
            points: watched.progress.clone().into(),
        },
        cost: CopyCost {
            downtime_s: taken.outcome.downtime.map(|downtime| downtime.as_secs_f64()).into(),
            resources: taken.outcome.resources.into(),
            writer_cpu_s: taken.outcome.writer_cpu.map(|cpu| cpu.as_secs_f64()).into(),
        },
        copy: CopyFiles {
            bytes: files.iter().map(|file| file.bytes).sum(),
            files: files.clone(),
            copy_journal_mode: mode.into(),
            stands_alone: stands_alone(files).into(),
        },
        wal: watched.wal.clone().into(),
        after: taken.after.clone().into(),
        ruling: ruling(taken, inspection, judgement, difference),
    }
}

fn ruling(taken: &Taken, inspection: Inspection, judgement: Judgement, difference: Option<Difference>) -> Ruling {
    let (integrity, quick) = (inspection.integrity_check.as_ref(), inspection.quick_check.as_ref());
    Ruling {
        verdict: Some(judgement.verdict),
        judge_error: None,
        silent_failure: judgement.is_silent_failure(&taken.claim, integrity),
        evidence: Evidence {
            reason: judgement.reason,
            left_behind: judgement.left_behind,
            age_commits: judgement.age_commits,
            age_s: judgement.age_s,
            missing_commits: judgement.missing_commits.into(),
            missing_s: judgement.missing_s.into(),
            downloads_lost: judgement.downloads_lost.into(),
            damage: inspection.findings.into(),
            difference: difference.into(),
            read_s: inspection.read_s.into(),
            digest: judgement.digest,
            progress: taken.progress.and_then(CopyProgress::done),
        },
        integrity_check: integrity.map(|check| check.answer.clone()),
        integrity_check_s: integrity.map(|check| check.duration_s),
        quick_check: quick.map(|check| check.answer.clone()),
        quick_check_s: quick.map(|check| check.duration_s),
        commit: judgement.commit,
    }
}

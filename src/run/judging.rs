//! After the load: every snapshot of a trial is read and judged, and what was measured of it and found is put together.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::AtomicU64,
};

use anyhow::Result;

use super::{
    Event,
    taking::{self, Taken},
    trial::Context,
};
use crate::{
    ledger::Ledger,
    oracle::{self, Claim, Inspection, Judgement},
    results::{Evidence, SnapshotResult},
    scenario::Trial,
    snapshot::copy::Progress,
    work,
};

/// Judges the snapshots of a trial, in one replay of its ledger.
pub fn judge(
    context: &Context<'_>,
    trial: &Trial,
    snapshots: &[Taken],
    ledger: &Ledger,
    tell: &mut dyn FnMut(Event),
) -> Result<Vec<SnapshotResult>> {
    let mut questions: Vec<(Claim, Inspection)> = Vec::new();
    for (number, taken) in (1..).zip(snapshots) {
        tell(Event::Judging { number, of: snapshots.len() });
        questions.push((taken.claim, inspect(context, &taken.folder)?));
    }
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    let judgements = oracle::judge(ledger.path(), &context.dataset.manifest, &questions)?;
    let all = snapshots.iter().zip(questions).zip(judgements);
    all.map(|((taken, (_, inspection)), judgement)| Ok(result(trial, taken, &inspection, judgement?))).collect()
}

/// Reads the snapshot in its folder, which is empty afterwards unless it is kept.
fn inspect(context: &Context<'_>, folder: &Path) -> Result<Inspection> {
    // Judging changes the files, so what is kept is set aside first.
    let judged = judged_folder(folder);
    if context.options.keep_in.is_some() {
        work::copy_folder(folder, &judged, context.options.interrupt.flag())?;
    } else {
        fs::rename(folder, &judged)?;
    }
    let manifest = &context.dataset.manifest;
    let flag = context.options.interrupt.flag();
    let inspection = oracle::inspect(&taking::main_file(&judged), manifest, flag, &AtomicU64::new(0))?;
    fs::remove_dir_all(&judged)?;
    Ok(inspection)
}

fn judged_folder(folder: &Path) -> PathBuf {
    folder.with_extension("judged")
}

fn result(trial: &Trial, taken: &Taken, inspection: &Inspection, judgement: Judgement) -> SnapshotResult {
    let (integrity, quick) = (&inspection.integrity_check, &inspection.quick_check);
    SnapshotResult {
        strategy: trial.strategy,
        started_s: taken.started_after.as_secs_f64(),
        late_s: taken.late.as_secs_f64(),
        duration_s: taken.ended.duration.as_secs_f64(),
        sync_s: taken.sync.as_ref().and_then(|sync| Some(sync.as_ref().ok()?.as_secs_f64())),
        sync_error: taken.sync.as_ref().and_then(|sync| sync.as_ref().err().cloned()),
        deadline_s: taken.deadline.as_secs_f64(),
        exit_status: taken.ended.exit_status(),
        error: taken.ended.error(),
        bytes: taken.files.iter().map(|file| file.bytes).sum(),
        files: taken.files.clone(),
        restarts: taken.progress.map(|progress| progress.restarts),
        verdict: Some(judgement.verdict),
        silent_failure: judgement.is_silent_failure(&taken.claim, integrity),
        evidence: Evidence {
            reason: judgement.reason,
            left_behind: judgement.left_behind,
            age_commits: judgement.age_commits,
            age_s: judgement.age_s,
            digest: judgement.digest,
            progress: taken.progress.and_then(Progress::done),
        },
        integrity_check: Some(integrity.answer.clone()),
        integrity_check_s: Some(integrity.duration_s),
        quick_check: Some(quick.answer.clone()),
        quick_check_s: Some(quick.duration_s),
        commit: judgement.commit,
        commit_at_start: taken.claim.commit_at_start,
        commit_at_end: taken.claim.commit_at_end,
    }
}

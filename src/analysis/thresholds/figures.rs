//! The values of the figures that thresholds name.
//!
//! An error is the reason, in words, why a figure is unknown.

use crate::{
    measure::{Counts, OperationKind, Percentile},
    oracle::Verdict,
    results::{
        Distribution, OperationResult, PhaseName, PhaseResult, Recorded, Results, SnapshotResult, Status, TrialResult,
    },
    snapshot::Strategy,
    sqlite::JournalMode,
    threshold::{Measured, Phase, PlainFigure, RunFigure, SnapshotFigure, Time},
};

/// The phases of a trial that a figure is of.
pub fn phases(trial: &TrialResult, phase: Phase) -> Vec<&PhaseResult> {
    let name = match phase {
        Phase::Baseline => PhaseName::Baseline,
        Phase::Snapshot => PhaseName::Snapshot,
        Phase::Recovery => PhaseName::Recovery,
    };
    trial.phases.iter().filter(|phase| phase.name == name).collect()
}

/// What was measured in phases, taken together. A percentile is infinite where its rank falls among operations that were not
/// served.
pub fn of_phases(phases: &[&PhaseResult], figure: Measured) -> Result<f64, String> {
    match figure {
        Measured::Time { kind, time, percentile } => time_us(phases, kind, time, percentile),
        Measured::Plain(PlainFigure::CommitsPerS) => a_second(phases, |phase| phase.achieved_commits_per_s),
        Measured::Plain(PlainFigure::OperationsPerS) => a_second(phases, |phase| phase.achieved_rate_ops),
        Measured::Plain(PlainFigure::StalledS) => stalled_s(phases),
        Measured::Plain(PlainFigure::NotServedShare) => not_served_share(phases),
    }
}

fn time_us(phases: &[&PhaseResult], kind: OperationKind, time: Time, percentile: Percentile) -> Result<f64, String> {
    let rows: Option<Vec<_>> = phases.iter().map(|phase| phase.operation(kind)).collect();
    let rows = rows.ok_or_else(|| format!("the results do not tell {kind}s from other operations"))?;
    let ranked = |counts: &Counts| match time {
        Time::Response => counts.due(),
        Time::Service => counts.due().saturating_sub(counts.dropped).saturating_sub(counts.never_served),
    };
    let total = rows.iter().map(|row| ranked(&row.counts)).fold(0, u64::saturating_add);
    if total < percentile.least() {
        let least = percentile.least();
        return Err(format!("a {percentile} takes {least} operations, and of {kind}s there were {total}"));
    }
    let times: Vec<_> = rows.iter().map(|row| of_time(row, time)).collect();
    let found = match times.as_slice() {
        [one] => one.get(percentile),
        several => merged(several, total, percentile)?,
    };
    match (found, time) {
        (Some(time_us), _) => Ok(time_us as f64),
        (None, Time::Response) => Ok(f64::INFINITY),
        // All that was begun has a service time.
        (None, Time::Service) => Err(format!("the results have no {percentile} of the service time of {kind}s")),
    }
}

fn of_time(row: &OperationResult, time: Time) -> &Distribution {
    match time {
        Time::Response => &row.response,
        Time::Service => &row.service,
    }
}

/// A percentile of several distributions together, among so many operations.
fn merged(several: &[&Distribution], total: u64, percentile: Percentile) -> Result<Option<u64>, String> {
    let mut all = crate::measure::histogram();
    for one in several {
        let histogram = one.histogram().map_err(|error| error.to_string())?;
        all.add(&histogram).map_err(|error| format!("the histograms of the phases do not go together: {error}"))?;
    }
    Ok(percentile.of(&all, total))
}

/// A rate over all of the phases.
fn a_second(phases: &[&PhaseResult], rate: fn(&PhaseResult) -> f64) -> Result<f64, String> {
    let duration_s: f64 = phases.iter().map(|phase| phase.duration_s).sum();
    let all: f64 = phases.iter().map(|phase| rate(phase) * phase.duration_s).sum();
    if duration_s > 0.0 { Ok(all / duration_s) } else { Err("the phase has no length".to_owned()) }
}

/// The longest of all phases.
fn stalled_s(phases: &[&PhaseResult]) -> Result<f64, String> {
    let stalls: Option<Vec<f64>> = phases.iter().map(|phase| phase.stalled_s.found().copied()).collect();
    let longest = stalls.and_then(|stalls| stalls.into_iter().reduce(f64::max));
    longest.ok_or_else(|| "the results do not say for how long commits were stalled".to_owned())
}

fn not_served_share(phases: &[&PhaseResult]) -> Result<f64, String> {
    let counts = phases.iter().fold(Counts::default(), |sum, phase| sum.plus(&phase.counts()));
    match counts.due() {
        0 => Err("no operation was due".to_owned()),
        due => Ok(due.saturating_sub(counts.served) as f64 / due as f64),
    }
}

/// The snapshots of a strategy under a journal mode.
pub fn snapshots<'a>(
    trials: &[&'a TrialResult],
    strategy: Strategy,
    journal_mode: JournalMode,
) -> Vec<&'a SnapshotResult> {
    let of_mode = trials.iter().filter(|trial| trial.journal_mode == journal_mode);
    of_mode.flat_map(|trial| &trial.snapshots).filter(|snapshot| snapshot.strategy == strategy).collect()
}

/// How many of these were judged, and how many of those are exact.
pub fn exact_of_judged(snapshots: &[&SnapshotResult]) -> (u64, u64) {
    let judged = || snapshots.iter().filter(|snapshot| snapshot.ruling.verdict.is_some());
    (judged().filter(|snapshot| snapshot.is_exact()).count() as u64, judged().count() as u64)
}

/// What snapshots came to.
pub fn of_snapshots(snapshots: &[&SnapshotResult], figure: SnapshotFigure) -> Result<f64, String> {
    if snapshots.is_empty() {
        return Err("no such snapshot was taken".to_owned());
    }
    match figure {
        SnapshotFigure::ExactShare => match exact_of_judged(snapshots) {
            (_, 0) => Err("no such snapshot was judged".to_owned()),
            (exact, judged) => Ok(exact as f64 / judged as f64),
        },
        SnapshotFigure::DurationS => Ok(snapshots.iter().map(|one| one.run.duration_s).fold(0.0, f64::max)),
        SnapshotFigure::SyncS => longest_sync_s(snapshots),
        SnapshotFigure::SizeBytes => Ok(snapshots.iter().map(|one| one.copy.bytes).max().unwrap_or(0) as f64),
        SnapshotFigure::Unfinished => {
            let is_unfinished = |one: &&&SnapshotResult| one.ruling.verdict == Some(Verdict::Unfinished);
            Ok(snapshots.iter().filter(is_unfinished).count() as f64)
        }
    }
}

fn longest_sync_s(snapshots: &[&SnapshotResult]) -> Result<f64, String> {
    let syncs: Vec<_> = snapshots.iter().map(|one| one.run.sync_s).collect();
    if syncs.iter().any(Recorded::is_unknown) {
        return Err("the results do not say how long syncs took".to_owned());
    }
    let longest = syncs.iter().filter_map(|sync_s| sync_s.found().copied()).reduce(f64::max);
    longest.ok_or_else(|| "no such snapshot was synced".to_owned())
}

/// What a whole run came to.
pub fn of_run(results: &Results, figure: RunFigure) -> Result<f64, String> {
    let snapshots = || results.trials.iter().flat_map(|trial| &trial.snapshots);
    let count = |is: fn(&SnapshotResult) -> bool| snapshots().filter(|snapshot| is(snapshot)).count() as f64;
    match figure {
        RunFigure::SilentFailures if !results.scenario.snapshots.sqlite_checks => {
            Err("which failures are silent is not known without SQLite's checks".to_owned())
        }
        RunFigure::SilentFailures => Ok(count(|snapshot| snapshot.ruling.silent_failure)),
        RunFigure::NotExact => Ok(count(|snapshot| snapshot.ruling.verdict.is_some() && !snapshot.is_exact())),
        RunFigure::UnjudgedSnapshots => Ok(count(|snapshot| snapshot.ruling.verdict.is_none())),
        RunFigure::FailedTrials => {
            let is_failed = |trial: &&TrialResult| match trial.status {
                Status::Failed => true,
                Status::Completed | Status::Skipped | Status::Interrupted => false,
            };
            Ok(results.trials.iter().filter(is_failed).count() as f64)
        }
        RunFigure::LostWrites => {
            let phases = results.trials.iter().flat_map(|trial| &trial.phases);
            let requests = phases.flat_map(PhaseResult::requests);
            Ok(requests.map(|one| one.lost_writes).fold(0, u64::saturating_add) as f64)
        }
    }
}

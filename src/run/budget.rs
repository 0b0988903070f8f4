//! What a run needs before it begins: room on the disk, and time.

use std::{path::Path, time::Duration};

use crate::{
    dataset::{Source, cache},
    measure, own_folder,
    power::IMAGES_BYTES_MOST,
    scenario::{Experiment, Retention, Scenario, TrialPlan},
    snapshot::Strategy,
    work,
};

/// Bytes that these trials need at their peak, on the generous side: the dataset where it is not cached, a trial's copy, its
/// snapshots, the backups that steps make of them, and half as much again for WAL, journal and ledger; all of that for every
/// trial where it is kept, and then the snapshots of a trial once more, for the oracle. A trial of power losses may record twice, and
/// has images beside that.
#[must_use]
pub(crate) fn bytes_needed(scenario: &Scenario, trials: &[TrialPlan], work_dir: &Path, keep: bool) -> u64 {
    // A database that is not there is an error of the run.
    let (bytes, cached) = cache::bytes(work_dir, &scenario.dataset.source).unwrap_or_default();
    let steps = &scenario.snapshots.steps;
    let backups = |snapshots: u64| match (steps.steps.as_slice(), steps.retention) {
        ([], _) => 0,
        // The newest, what it is restored to, and those that are kept.
        (_, Some(Retention::Last(most))) => 2 + snapshots.min(most.into()),
        (_, Some(Retention::Days(_)) | None) => 2 + snapshots,
    };
    let recorded_again_and_images = |plan: &TrialPlan| match &plan.experiment {
        Experiment::PowerLoss(_) if !plan.strategy.definition().takes_snapshots => {
            // The last image of a batch may be as large as a recording's own files.
            2 * (bytes + bytes / 2) + IMAGES_BYTES_MOST
        }
        Experiment::PowerLoss(_) | Experiment::Kill(_) | Experiment::Load => 0,
    };
    let of_trial = |plan: &TrialPlan| {
        let snapshots = snapshots_of(scenario, plan.strategy);
        bytes * (1 + snapshots + backups(snapshots)) + bytes / 2 + recorded_again_and_images(plan)
    };
    let judged = bytes * trials.iter().map(|plan| snapshots_of(scenario, plan.strategy)).max().unwrap_or(0);
    let each = trials.iter().map(of_trial);
    cached + if keep { each.sum::<u64>() + judged } else { each.max().unwrap_or(0) }
}

/// Refuses trials for which there is no room, also after what killed runs have left is removed, which a run begins with.
///
/// # Errors
/// The bytes needed and those free, in words.
pub(crate) fn check_room(scenario: &Scenario, trials: &[TrialPlan], work_dir: &Path, keep: bool) -> Result<(), String> {
    let needed = bytes_needed(scenario, trials, work_dir, keep);
    let left: u64 = own_folder::abandoned_in(work_dir).iter().map(|abandoned| abandoned.bytes).sum();
    let free = work::free_bytes(work_dir).map(|free| free.saturating_add(left));
    let Some(free) = free.filter(|free| *free < needed) else { return Ok(()) };
    let dataset = match &scenario.dataset.source {
        Source::Generated(dataset) => format!("dataset.rows = {}", dataset.rows),
        Source::Adopted(path) => format!("dataset.path = {}", path.display()),
    };
    Err(format!(
        "{dataset}: the run needs about {} MB in {}, and {} MB are free; use a smaller dataset or another --work-dir",
        needed / 1_000_000,
        work_dir.display(),
        free / 1_000_000
    ))
}

/// An upper bound of how long a run of these trials takes, without the time that a slow disk adds.
///
/// Assumed: generating, adopting and copying 50 MB a second, and 60 s for the oracle's readings of a gigabyte;
/// a load that ends with everything stuck until the client timeout.
#[must_use]
pub(crate) fn duration_bound(scenario: &Scenario, trials: &[TrialPlan], work_dir: &Path) -> Duration {
    let (bytes, to_make) = cache::bytes(work_dir, &scenario.dataset.source).unwrap_or_default();
    let bytes = bytes as f64;
    let generating_s = to_make as f64 / 50e6 + 1.0;
    let drain_s = scenario.client_timeout.as_secs_f64() + scenario.sqlite.busy_timeout_ms as f64 / 1e3;
    // The live database is read as well.
    let readings: u64 = trials.iter().map(|plan| 1 + snapshots_of(scenario, plan.strategy)).sum();
    let each_s = bytes / 50e6 + scenario.load_s_max() + drain_s + 1.0;
    Duration::from_secs_f64(generating_s + each_s * trials.len() as f64 + readings as f64 * bytes / 1e9 * 60.0)
}

/// How long a run of these trials takes on the machine of `results/`, within some tenths: copies end long before their deadline,
/// and nothing is stuck at the end.
///
/// Assumed of a gigabyte: 4 s to generate or copy it, 20 s for SQLite's own checks of a snapshot, 3 s for the oracle, and 2 s for
/// each step that follows a snapshot.
#[must_use]
pub(crate) fn duration_typical(scenario: &Scenario, trials: &[TrialPlan], work_dir: &Path) -> Duration {
    let (bytes, to_make) = cache::bytes(work_dir, &scenario.dataset.source).unwrap_or_default();
    let (gigabytes, to_make) = (bytes as f64 / 1e9, to_make as f64 / 1e9);
    let checks_s = if scenario.snapshots.sqlite_checks { 20.0 } else { 0.0 };
    let steps_s = 2.0 * scenario.snapshots.steps.steps.len() as f64;
    let of_trial = |plan: &TrialPlan| {
        match &plan.experiment {
            Experiment::Load => {}
            // It copies once.
            Experiment::PowerLoss(_) if plan.strategy.definition().takes_snapshots => return 1.0,
            Experiment::PowerLoss(power_loss) => return power_loss.images_in_all() as f64 / 100.0 + 10.0,
            Experiment::Kill(kill) => return kill.kills as f64 * (kill.after_s_max + 0.5),
        }
        let timeline = &plan.timeline;
        let last = timeline.snapshot_slices().last().copied().unwrap_or(timeline.baseline_end_slice());
        let each_s = gigabytes * (3.0 + checks_s + steps_s);
        let snapshots = snapshots_of(scenario, plan.strategy) as f64;
        // The live database is copied before, and read after.
        0.5 + measure::seconds(timeline.end_after(last, last)) + gigabytes * (4.0 + 3.0) + snapshots * each_s
    };
    Duration::from_secs_f64(to_make * 4.0 + trials.iter().map(of_trial).sum::<f64>())
}

/// Snapshots that a trial of a strategy takes.
fn snapshots_of(scenario: &Scenario, strategy: Strategy) -> u64 {
    if strategy.definition().takes_snapshots { scenario.snapshots.times_s.len() as u64 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_power_losses_need_room_too() {
        let work = tempfile::tempdir().unwrap();
        let needed = |name: &str, set: &[&str]| {
            let set: Vec<_> = set.iter().map(ToString::to_string).collect();
            let scenario = Scenario::named(Path::new(name), &set).unwrap();
            let dataset = cache::bytes(work.path(), &scenario.dataset.source).unwrap().0;
            (bytes_needed(&scenario, &scenario.trials()[..1], work.path(), false), dataset)
        };
        for rows in ["dataset.rows=1000", "dataset.rows=1000000"] {
            let (with_images, dataset) = needed("power-loss", &[rows]);
            // The dataset, two recordings, and the images with the last of them.
            assert_eq!(with_images, dataset + 3 * (dataset + dataset / 2) + IMAGES_BYTES_MOST, "{rows}");
            let (of_kill, dataset) = needed("kill", &[rows, "snapshots.strategies=none"]);
            assert_eq!(of_kill, dataset + dataset + dataset / 2, "{rows}");
        }
    }
}

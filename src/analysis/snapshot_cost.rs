//! What a snapshot costs the others, and over which time that is counted: over its horizon, which is equally long for every
//! strategy, or over the snapshot itself where that took longer. The clients of a slow copy still pay when its horizon has ended.

use super::pairs::{cannot_keep_up, groups};
use crate::{
    measure::Counts,
    results::{
        BackupStrategy, HorizonResult, OperationResult, PhaseName, PhaseResult, Results, TrialResult, WindowOperation,
    },
    snapshot::Strategy,
    sqlite::JournalMode,
    statistics::{self, PAIRS_LEAST},
};

/// The time over which the cost of a snapshot is counted.
pub struct CostWindow {
    /// How long it is.
    pub duration_s: f64,
    /// The announces, and the scrapes.
    pub requests: Vec<Requests>,
}

/// Requests of one kind.
pub struct Requests {
    /// So many were due.
    pub due: u64,
    /// How they ended.
    pub counts: Counts,
    /// The longest response time; `None` where one was not served, or none was due.
    pub longest_us: Option<u64>,
    /// Client-seconds that they lost; `None` where the file does not say.
    lost_client_s: Option<f64>,
}

impl CostWindow {
    fn of_horizon(horizon: &HorizonResult) -> Self {
        let requests = horizon.window.operations.iter().filter(|one| one.kind.is_request());
        let of_kind = |one: &WindowOperation| Requests {
            due: one.due,
            counts: one.counts,
            longest_us: one.response.max_us,
            lost_client_s: Some(one.lateness.lost_client_s),
        };
        Self { duration_s: horizon.window.duration_s, requests: requests.map(of_kind).collect() }
    }

    fn of_phase(phase: &PhaseResult) -> Self {
        let of_kind = |one: &OperationResult| Requests {
            due: one.due,
            counts: one.counts,
            longest_us: one.response.max_us,
            lost_client_s: one.lateness.known().map(|lateness| lateness.lost_client_s),
        };
        Self { duration_s: phase.duration_s, requests: phase.requests().map(of_kind).collect() }
    }

    fn lost_client_s(&self) -> Option<f64> {
        self.requests.iter().map(|one| one.lost_client_s).sum()
    }
}

/// That of each snapshot of a trial, or of the control in their stead.
#[must_use]
pub fn cost_windows(trial: &TrialResult) -> Vec<CostWindow> {
    let mut phases = trial.phases.iter().filter(|phase| phase.name == PhaseName::Snapshot);
    let window = |horizon: &HorizonResult| {
        let longer = phases.next().filter(|phase| phase.duration_s > horizon.window.duration_s);
        longer.map_or_else(|| CostWindow::of_horizon(horizon), CostWindow::of_phase)
    };
    trial.horizons.entries().iter().map(window).collect()
}

/// Client-seconds that a snapshot of the trial cost, beyond what the baseline loses in the same time; of several snapshots the
/// median. `None` where the file does not say.
pub(super) fn lost_client_s(trial: &TrialResult) -> Option<f64> {
    let baseline = trial.phase(PhaseName::Baseline)?;
    let a_second = CostWindow::of_phase(baseline).lost_client_s()? / baseline.duration_s;
    let cost = |window: &CostWindow| Some(window.lost_client_s()? - a_second * window.duration_s);
    statistics::median(&cost_windows(trial).iter().map(cost).collect::<Option<Vec<_>>>()?)
}

/// The trials under a journal mode whose costs count.
pub(super) struct Costs<'a> {
    /// By the conditions that they have in common. What a snapshot costs at one rate says nothing of another.
    groups: Vec<Vec<&'a TrialResult>>,
    /// The conditions, in words, under which more was offered than could be done: there the baseline itself loses ever more, and so
    /// a cost beyond it means nothing.
    saturated: Vec<String>,
}

impl<'a> Costs<'a> {
    pub(super) fn new(results: &'a Results, mode: JournalMode) -> Self {
        let mut costs = Self { groups: Vec::new(), saturated: Vec::new() };
        for group in groups(results) {
            let of_mode = group.trials.iter().copied().filter(|trial| trial.journal_mode == mode);
            if cannot_keep_up(of_mode.clone()) {
                costs.saturated.push(group.conditions.in_words(" and "));
            } else {
                costs.groups.push(of_mode.collect());
            }
        }
        costs
    }

    pub(super) fn trials(&self) -> impl Iterator<Item = &'a TrialResult> {
        self.groups.iter().flatten().copied()
    }

    /// What snapshots of a strategy cost, in client-seconds, by the conditions under which that is known.
    pub(super) fn of(&self, strategy: Strategy) -> Vec<Vec<f64>> {
        let of_group = |group: &Vec<&'a TrialResult>| {
            let own = group.iter().filter(|trial| trial.strategy == strategy);
            own.filter_map(|trial| lost_client_s(trial)).collect::<Vec<f64>>()
        };
        self.groups.iter().map(of_group).filter(|costs| !costs.is_empty()).collect()
    }

    /// Why costs are not known, or not compared, one a sentence.
    pub(super) fn open(&self, mode: JournalMode, exact: &[BackupStrategy]) -> Vec<String> {
        let costs: Vec<_> = exact.iter().map(|one| self.of(one.strategy)).collect();
        let mut open = Vec::new();
        if costs.iter().map(|groups| groups.concat().len()).any(|known| (1..PAIRS_LEAST).contains(&known)) {
            open.push(format!(
                "What a snapshot costs takes at least {PAIRS_LEAST} trials of each strategy to be compared."
            ));
        }
        if costs.iter().any(|groups| groups.len() > 1) {
            open.push(
                "A snapshot costs something else at each rate, and under each other condition: no one cost is given, and strategies \
                are compared in pairs of trials of the same conditions."
                    .to_owned(),
            );
        }
        let saturated = self.saturated.iter().filter(|_| !exact.is_empty());
        open.extend(saturated.map(|at| {
            format!(
                "At {at} more was offered than could be done under {mode}, so what a snapshot costs there is left out."
            )
        }));
        open
    }
}

/// Whether snapshots of a strategy have a cost under each of several conditions, and so no one cost.
pub fn has_several_costs(results: &Results, mode: JournalMode, strategy: Strategy) -> bool {
    Costs::new(results, mode).of(strategy).len() > 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::{Recorded, samples};

    /// A trial whose snapshot lasted so long, and cost so much, a request that nobody answered among it.
    fn trial(duration_s: f64, lost_client_s: f64) -> TrialResult {
        let mut trial = samples::trial(JournalMode::Wal, Strategy::VacuumInto);
        let phase = trial.phases.iter_mut().find(|phase| phase.name == PhaseName::Snapshot).unwrap();
        phase.duration_s = duration_s;
        for operation in &mut phase.operations {
            *operation = samples::operation(operation.kind, 1_000, 1);
            let Recorded::Known(lateness) = &mut operation.lateness else { panic!("the sample says it") };
            lateness.lost_client_s = lost_client_s;
        }
        trial
    }

    #[test]
    fn a_copy_that_outlasts_its_horizon_is_counted_whole() {
        let baseline_s = lost_client_s(&samples::trial(JournalMode::Wal, Strategy::None)).unwrap();
        assert!(baseline_s.abs() < 1e-9, "horizon and baseline lose the same in the sample");
        for (duration_s, counted_s, dropped) in [(0.5, 10.0, 0), (10.0, 10.0, 0), (20.0, 20.0, 1)] {
            let trial = trial(duration_s, 500.0);
            let windows = cost_windows(&trial);
            let found: Vec<_> = windows.iter().map(|one| (one.duration_s, one.requests[0].counts.dropped)).collect();
            assert_eq!(found, [(counted_s, dropped)], "a snapshot of {duration_s} s");
            let lost_s = lost_client_s(&trial).unwrap();
            assert_eq!(lost_s > 900.0, dropped > 0, "a snapshot of {duration_s} s: {lost_s}");
        }
        let before = samples::of_before(&samples::results(vec![trial(20.0, 500.0)]));
        assert_eq!(lost_client_s(&before.trials[0]), None, "an older file does not say");
    }
}

//! Whether a trial was disturbed by what else ran on the machine.
//!
//! Time that the hypervisor gave to other machines (steal) is none of the trial's own doing, so it has a limit of its own. A trial
//! makes tasks wait for processors and block devices itself (pressure); what is too much of that is seen beside the trials that
//! did the same.

use crate::{
    results::{Disturbance, DisturbedBy, Results, TrialResult},
    statistics,
};

/// Of less than so many like trials none can be called unlike.
const LIKE_TRIALS_LEAST: usize = 3;

/// By what each trial was disturbed, in the order of the trials; `None` of a trial of which nothing is known.
#[must_use]
pub fn disturbances(results: &Results) -> Vec<Option<Vec<Disturbance>>> {
    results.trials.iter().map(|trial| of_trial(results, trial)).collect()
}

fn of_trial(results: &Results, trial: &TrialResult) -> Option<Vec<Disturbance>> {
    let mut disturbances = Vec::new();
    let mut is_known = false;
    for by in DisturbedBy::ALL {
        let Some(share) = trial.disturbed_share(by) else { continue };
        is_known = true;
        let limit_share = limit_share(results, trial, by).filter(|limit_share| share > *limit_share);
        disturbances.extend(limit_share.map(|limit_share| Disturbance { by, share, limit_share }));
    }
    is_known.then_some(disturbances)
}

/// What the share of a trial is at most to be; `None` where there is nothing to compare it with.
fn limit_share(results: &Results, trial: &TrialResult, by: DisturbedBy) -> Option<f64> {
    let limits = &results.scenario.disturbance;
    match by {
        DisturbedBy::Steal => Some(limits.steal_share_max),
        DisturbedBy::ProcessorPressure | DisturbedBy::IoPressure => {
            let shares: Vec<_> = like_trials(results, trial).filter_map(|like| like.disturbed_share(by)).collect();
            let median = (shares.len() >= LIKE_TRIALS_LEAST).then(|| statistics::median(&shares)).flatten();
            median.map(|median| median + limits.pressure_share_max)
        }
    }
}

/// The trials that differ from one in their repetition alone, itself among them. Those that were run again because of this are
/// left out: what is found does not change when they are added.
fn like_trials<'a>(results: &'a Results, trial: &'a TrialResult) -> impl Iterator<Item = &'a TrialResult> {
    let key = |trial: &TrialResult| (trial.journal_mode, trial.strategy);
    results.trials.iter().filter(move |like| {
        like.status.is_whole()
            && like.repetition <= results.scenario.repetitions
            && key(like) == key(trial)
            && like.is_of(trial.conditions())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::{MachineUse, SeriesPoint, samples},
        snapshot::Strategy,
        sqlite::JournalMode,
    };

    /// Trials whose seconds had these shares of steal and of processor pressure, and what is found of each.
    fn found(trials: &[(f64, f64)]) -> Vec<Option<Vec<DisturbedBy>>> {
        let point = |steal: f64, pressure: f64| SeriesPoint {
            machine: Some(MachineUse {
                steal_share: Some(steal),
                processor_pressure_share: Some(pressure),
                ..MachineUse::default()
            }),
            ..SeriesPoint::default()
        };
        let trial = |&(steal, pressure): &(f64, f64)| TrialResult {
            // The mean of its seconds counts.
            series: vec![point(0.0, pressure), point(2.0 * steal, pressure), SeriesPoint::default()],
            ..samples::trial(JournalMode::Wal, Strategy::Cp)
        };
        let mut results = samples::results(trials.iter().map(trial).collect());
        results.scenario = samples::scenario(&["repetitions=9"]);
        let names = |found: Vec<Disturbance>| found.into_iter().map(|found| found.by).collect();
        disturbances(&results).into_iter().map(|found| found.map(names)).collect()
    }

    #[test]
    fn steal_has_a_limit_of_its_own_and_pressure_one_beside_like_trials() {
        use DisturbedBy::{ProcessorPressure, Steal};
        let none = || Some(Vec::new());
        assert_eq!(found(&[(0.05, 0.9)]), [none()], "at the limit, and nothing to compare with");
        assert_eq!(found(&[(0.051, 0.9), (0.0, 0.1)]), [Some(vec![Steal]), none()]);
        assert_eq!(found(&[(0.0, 0.9), (0.0, 0.1), (0.0, 0.2)]), [Some(vec![ProcessorPressure]), none(), none()]);
        assert_eq!(found(&[(0.0, 0.45), (0.0, 0.1), (0.0, 0.2)]), [none(), none(), none()], "not beyond 0.2 + 0.25");
        let both = found(&[(0.2, 1.0), (0.0, 0.1), (0.0, 0.2), (0.0, 0.3)]);
        assert_eq!(both[0], Some(vec![Steal, ProcessorPressure]));
        let unknown = samples::results(vec![samples::trial(JournalMode::Wal, Strategy::Cp)]);
        assert_eq!(disturbances(&unknown), [None], "nobody looked");
    }
}

//! What a reader should know before believing a figure, found in the figures themselves.

use super::environment;
use crate::{
    results::{DisturbedBy, Results, SnapshotResult, TrialResult, Warning},
    scenario::DatasetCopy,
    snapshot::Strategy,
    sqlite::JournalMode,
};

/// A deadline should be at least so many times what `cp` took.
const DEADLINE_IN_CPS: f64 = 10.0;

/// Everything that a reader of results should know; what they say of warnings themselves is not looked at.
#[must_use]
pub fn warnings(results: &Results) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for warning in results.environments().flat_map(environment::of_environment) {
        // What merged runs have in common is said once.
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
    warnings.extend(environment::unequal_fsync(results));
    warnings.extend(environment::larger_than_memory(results));
    match results.scenario.dataset.copy {
        DatasetCopy::Plain => {}
        DatasetCopy::Reflink => warnings.push(Warning::CopyOnWrite),
    }
    let trials = &results.trials;
    warnings.extend(trials.iter().filter_map(incomplete));
    let of_all = |names: Vec<String>, warning: fn(Vec<String>) -> Warning| (!names.is_empty()).then(|| warning(names));
    let ids = |is: &dyn Fn(&TrialResult) -> bool| {
        trials.iter().filter(|trial| is(trial)).map(|trial| trial.id.clone()).collect::<Vec<_>>()
    };
    let short = ids(&|trial| has_short_deadline(trial, trials));
    warnings.extend(of_all(short, |trials| Warning::ShortDeadline { trials }));
    warnings.extend(disturbed(trials));
    warnings.extend(of_all(ids(&TrialResult::is_saturated), |trials| Warning::Saturated { trials }));
    warnings.extend(of_all(generator_bound(trials), |phases| Warning::GeneratorBound { phases }));
    warnings
}

/// That a trial is not whole, or what went wrong in it.
fn incomplete(trial: &TrialResult) -> Option<Warning> {
    if trial.status.is_whole() && trial.problems.is_empty() {
        return None;
    }
    let complaints = trial.complaints();
    let reason = if complaints.is_empty() { trial.status.to_string() } else { complaints.join("; ") };
    Some(Warning::Incomplete { trial: trial.id.clone(), reason })
}

/// By what trials were disturbed, and which.
fn disturbed(trials: &[TrialResult]) -> Option<Warning> {
    let of = |by| trials.iter().flat_map(|trial| trial.disturbed.entries()).filter(move |found| found.by == by);
    let words = |by| {
        let most = of(by).map(|found| found.share).reduce(f64::max)?;
        Some(format!("{by} ({:.0} % of the time at most)", most * 100.0))
    };
    let by: Vec<_> = DisturbedBy::ALL.into_iter().filter_map(words).collect();
    let disturbed = trials.iter().filter(|trial| !trial.disturbed.entries().is_empty());
    let trials: Vec<_> = disturbed.map(|trial| trial.id.clone()).collect();
    (!trials.is_empty()).then_some(Warning::Disturbed { by, trials })
}

/// Whether a snapshot of the trial had less than [`DEADLINE_IN_CPS`] times the longest `cp` under the same journal mode.
fn has_short_deadline(trial: &TrialResult, trials: &[TrialResult]) -> bool {
    let least_s = DEADLINE_IN_CPS * longest_cp_s(trials, trial.journal_mode);
    trial.snapshots.iter().any(|snapshot| snapshot.run.deadline_s < least_s)
}

fn longest_cp_s(trials: &[TrialResult], journal_mode: JournalMode) -> f64 {
    let is_done = |snapshot: &&SnapshotResult| snapshot.strategy == Strategy::Cp && snapshot.run.exit_status == Some(0);
    let of_mode = trials.iter().filter(|trial| trial.journal_mode == journal_mode);
    let cps = of_mode.flat_map(|trial| &trial.snapshots).filter(is_done);
    cps.map(|snapshot| snapshot.run.duration_s).fold(0.0, f64::max)
}

/// Trials, phases and operations whose response time is partly the generator's own. In a saturated trial a queue hides that.
fn generator_bound(trials: &[TrialResult]) -> Vec<String> {
    let mut bound = Vec::new();
    for trial in trials.iter().filter(|trial| !trial.is_saturated()) {
        for phase in trial.phases.iter().filter(|phase| phase.name.is_reported()) {
            let is_bound = phase.requests().filter(|operation| operation.generator_bound.known() == Some(&true));
            bound.extend(is_bound.map(|operation| format!("{} ({} {}s)", trial.id, phase.name, operation.kind)));
        }
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        env::Environment,
        results::{MergedRun, PhaseName, Problem, Recorded, Stage, Status, samples},
    };

    /// What is warned of after a change to results without a fault.
    fn after(change: impl FnOnce(&mut Results)) -> Vec<Warning> {
        let mut results = samples::results(vec![
            samples::trial(JournalMode::Wal, Strategy::Cp),
            samples::trial(JournalMode::Delete, Strategy::VacuumInto),
        ]);
        results.environment.processors = 8;
        change(&mut results);
        warnings(&results)
    }

    #[test]
    fn results_without_a_fault_have_none() {
        assert_eq!(after(|_| ()), []);
    }

    #[test]
    fn of_the_machines_of_merged_runs_once() {
        let run = |fsync_us_p50| MergedRun {
            environment: Environment { fsync_us_p50, processors: 8, ..samples::environment() },
            ..samples::merged_run(1, 1)
        };
        let merged = |times: &[Option<u64>]| after(|results| results.merged = times.iter().copied().map(run).collect());
        assert_eq!(merged(&[Some(100), None, Some(25), Some(50)]), []);
        let unequal = |least_us, most_us| Warning::UnequalFsync { least_us, most_us };
        assert_eq!(merged(&[Some(100), Some(101), Some(25)]), [unequal(25, 101)]);
        let none = Warning::NoDurability { file_system: "ext4".into() };
        assert_eq!(merged(&[Some(100), Some(4), Some(3)]), [none, unequal(3, 100)]);
    }

    #[test]
    fn of_a_dataset_that_shares_its_blocks() {
        assert_eq!(after(|results| results.scenario.dataset.copy = DatasetCopy::Reflink), [Warning::CopyOnWrite]);
    }

    #[test]
    fn of_a_trial_that_is_not_whole() {
        let problem = |stage, message: &str| Problem { stage, message: message.to_owned() };
        let both = || vec![problem(Stage::Judge, "too large"), problem(Stage::Keep, "no room")];
        let all = "while a snapshot was judged: too large; while its files were kept: no room";
        for (status, reason, problems, expected) in [
            (Status::Completed, None, vec![], None),
            (
                Status::Completed,
                Some("no room"),
                vec![problem(Stage::Keep, "no room")],
                Some("while its files were kept: no room"),
            ),
            (Status::Interrupted, None, vec![], Some("interrupted")),
            (Status::Skipped, Some("no cp"), vec![], Some("no cp")),
            (Status::Failed, Some("too large"), both(), Some(all)),
        ] {
            let found = after(|results| {
                let trial = &mut results.trials[0];
                (trial.status, trial.reason, trial.problems) = (status, reason.map(str::to_owned), problems);
            });
            let warning =
                |reason: &str| Warning::Incomplete { trial: "wal-full-1000-cp-1".into(), reason: reason.into() };
            assert_eq!(found, expected.map(warning).into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn of_a_deadline_of_less_than_ten_times_a_cp() {
        let short = |trial: &str| vec![Warning::ShortDeadline { trials: vec![trial.to_owned()] }];
        for (cp_s, status, deadline_s, expected) in [
            (0.5, Some(0), 5.0, vec![]),
            (0.5, Some(0), 4.99, short("wal-full-1000-cp-1")),
            (0.5, Some(1), 4.99, vec![]),
            (0.5, None, 4.99, vec![]),
        ] {
            let found = after(|results| {
                let run = &mut results.trials[0].snapshots[0].run;
                (run.duration_s, run.exit_status, run.deadline_s) = (cp_s, status, deadline_s);
                // The other journal mode has its own cp, which is none here.
                results.trials[1].snapshots[0].run.deadline_s = 1.0;
            });
            assert_eq!(found, expected, "cp {cp_s} s, status {status:?}, deadline {deadline_s} s");
        }
        // Another strategy is measured by the cp of its mode.
        let found = after(|results| {
            results.trials[1].journal_mode = JournalMode::Wal;
            results.trials[1].snapshots[0].run.deadline_s = 4.0;
            results.trials[0].snapshots[0].run.duration_s = 0.5;
        });
        assert_eq!(found, short("delete-full-1000-vacuum-into-1"));
    }

    #[test]
    fn of_more_than_the_database_could_do() {
        let saturated = vec![Warning::Saturated { trials: vec!["wal-full-1000-cp-1".to_owned()] }];
        for (achieved_ops, expected) in [(950.0, vec![]), (949.0, saturated)] {
            let found = after(|results| results.trials[0].phases[0].achieved_rate_ops = achieved_ops);
            assert_eq!(found, expected, "{achieved_ops} of 1000");
        }
    }

    #[test]
    fn of_a_generator_that_was_late() {
        let bound = |results: &mut Results, name: PhaseName, is_bound: Recorded<bool>| {
            let phase = results.trials[0].phases.iter_mut().find(|phase| phase.name == name).unwrap();
            phase.operations[1].generator_bound = is_bound;
        };
        let of = |phase: &str| {
            vec![Warning::GeneratorBound { phases: vec![format!("wal-full-1000-cp-1 ({phase} scrapes)")] }]
        };
        for (name, is_bound, expected) in [
            (PhaseName::Snapshot, Recorded::Known(true), of("snapshot")),
            (PhaseName::Baseline, Recorded::Known(true), of("baseline")),
            (PhaseName::Baseline, Recorded::Known(false), vec![]),
            (PhaseName::Baseline, Recorded::Unknown, vec![]),
        ] {
            assert_eq!(after(|results| bound(results, name, is_bound)), expected, "{name} {is_bound:?}");
        }
        let saturated = after(|results| {
            bound(results, PhaseName::Snapshot, Recorded::Known(true));
            results.trials[0].phases[0].achieved_rate_ops = 1.0;
        });
        assert_eq!(saturated, [Warning::Saturated { trials: vec!["wal-full-1000-cp-1".to_owned()] }]);
    }
}

//! Two runs of one scenario compared: before and after a change of whatever is measured.
//!
//! A pair is the same trial of both: the same operations, strategy and repetition. The trials of a pair did not run next to each
//! other, so a machine that was another between the runs looks like a change: the noise floor is that of both runs, and the
//! rows say what the pairs say.
//!
//! The verdict on the runs as a whole rests on the figures of the baselines alone, and corrects for their number (Bonferroni):
//! with `m` figures each interval may miss in a share of `0.05 / m`, so that of runs that do not differ one in twenty at most is
//! called worse.

use super::{
    comparisons::{change, change_with, is_of, neighbours_of, noise_floor, ratios, subjects, timeout_us, value_us},
    likeness::{self, Difference, Machines},
    pairs::{Group, groups},
};
use crate::{
    results::{Change, Figure, Outcome, PhaseName, Results, Subject, TrialResult},
    scenario::Conditions,
    sqlite::JournalMode,
    statistics::ERROR_SHARE,
};

/// How two runs compare.
#[derive(Debug, Clone, PartialEq)]
pub struct RunComparison {
    /// Every figure that both have.
    pub changes: Vec<RunChange>,
    /// What follows for the runs as a whole.
    pub outcome: RunOutcome,
}

/// A figure of both runs.
#[derive(Debug, Clone, PartialEq)]
pub struct RunChange {
    /// The journal mode, in both.
    pub journal_mode: JournalMode,
    /// The conditions of the new run.
    pub conditions: Conditions,
    /// What is compared.
    pub subject: Subject,
    /// How it changed, with a 95 % interval of its own.
    pub change: Change,
    /// What follows where the number of figures is corrected for; `None` of what has no say in the outcome.
    pub corrected: Option<Outcome>,
}

/// What follows for runs as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunOutcome {
    /// No figure of a baseline is worse, and every median is better or the same.
    NoRegression,
    /// A figure of a baseline is worse.
    Regression,
    /// No figure is worse, and of a median nothing follows.
    Inconclusive,
}

/// Why two runs cannot be compared, in words, one for each thing that differs; what was measured under other conditions differs
/// by them.
///
/// # Errors
/// Where what differs cannot be written as JSON.
pub fn differences(base: &Results, new: &Results) -> serde_json::Result<Vec<String>> {
    let (one, other) = (base.schema_version, new.schema_version);
    let schema = (one != other).then(|| format!("schema_version: {one} and {other}"));
    let environment = likeness::of_environments(&base.environment, &new.environment, Machines::Compared)?;
    let scenario = likeness::of_measurements(&base.scenario, &new.scenario)?;
    let of_part = |part: &'static str, found: Vec<Difference>| {
        found.into_iter().map(move |difference| format!("{part}.{}", difference.between()))
    };
    Ok(schema.into_iter().chain(of_part("environment", environment)).chain(of_part("scenario", scenario)).collect())
}

/// Compares what both runs have of every journal mode.
#[must_use]
pub fn compare(base: &Results, new: &Results) -> RunComparison {
    let timeout_us = timeout_us(new);
    let mut measured: Vec<(RunChange, Vec<f64>)> = Vec::new();
    let (base_groups, new_groups) = (groups(base), groups(new));
    for (old, group) in new_groups.iter().filter_map(|group| Some((partner(&base_groups, &new_groups, group)?, group)))
    {
        if old.is_saturated() || group.is_saturated() {
            continue;
        }
        for &journal_mode in &new.scenario.sqlite.journal_modes {
            for subject in subjects(group) {
                let value = |trial: &TrialResult| value_us(trial, subject, timeout_us);
                let is_of_it = |trial: &TrialResult| trial.journal_mode == journal_mode && is_of(trial, subject);
                let pairs = pairs(&old.trials, &group.trials).into_iter().filter(|(trial, _)| is_of_it(trial));
                let ratios = ratios(pairs, value);
                if ratios.is_empty() {
                    continue;
                }
                let of_both = [&old.trials, &group.trials].into_iter();
                let same = of_both.flat_map(|trials| neighbours_of(trials, subject));
                let floor = noise_floor(&self::ratios(same.filter(|(trial, _)| is_of_it(trial)), value));
                let change = change(&ratios, floor);
                let row = RunChange { journal_mode, conditions: group.conditions, subject, change, corrected: None };
                measured.push((row, ratios));
            }
        }
    }
    correct(measured)
}

/// The group of the same rate and `synchronous`; where each run has one of these only, that may differ.
fn partner<'a>(base: &'a [Group<'a>], new: &[Group<'_>], group: &Group<'_>) -> Option<&'a Group<'a>> {
    let is_like = |one: &&Group<'_>| one.conditions == group.conditions;
    match (base, new) {
        ([only], [_]) => Some(only),
        (several, _) => several.iter().find(is_like),
    }
}

/// Trials of both runs that are the same trial.
fn pairs<'a>(base: &[&'a TrialResult], new: &[&'a TrialResult]) -> Vec<(&'a TrialResult, &'a TrialResult)> {
    let name = |trial: &TrialResult| (trial.journal_mode, trial.strategy, trial.repetition);
    let partner = |trial: &&'a TrialResult| {
        let same = new.iter().find(|other| name(other) == name(trial))?;
        Some((*trial, *same))
    };
    base.iter().filter_map(partner).collect()
}

/// Says of the figures of baselines what follows where their number is corrected for, and what follows in all.
fn correct(measured: Vec<(RunChange, Vec<f64>)>) -> RunComparison {
    let has_say = |row: &RunChange| row.subject.phase == PhaseName::Baseline;
    let figures = measured.iter().filter(|(row, _)| has_say(row)).count().max(1);
    let error_share = ERROR_SHARE / figures as f64;
    let corrected = measured.into_iter().map(|(row, ratios)| {
        let corrected = has_say(&row).then(|| change_with(&ratios, row.change.noise_floor, error_share).outcome);
        RunChange { corrected, ..row }
    });
    let changes: Vec<_> = corrected.collect();
    let is_worse = changes.iter().any(|row| row.corrected == Some(Outcome::Worse));
    let medians = || changes.iter().filter(|row| has_say(row) && is_median(row.subject.figure));
    let is_clear = medians().all(|row| matches!(row.change.outcome, Outcome::Better | Outcome::Same));
    let outcome = match (is_worse, is_clear && medians().next().is_some()) {
        (true, _) => RunOutcome::Regression,
        (false, true) => RunOutcome::NoRegression,
        (false, false) => RunOutcome::Inconclusive,
    };
    RunComparison { changes, outcome }
}

fn is_median(figure: Figure) -> bool {
    match figure {
        Figure::ServiceP50 | Figure::ResponseP50 => true,
        Figure::ServiceP99 | Figure::ResponseP99 => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{measure::OperationKind, results::samples, snapshot::Strategy};

    /// Repetitions of the control under wal, with commits that take so long, times what chance does.
    fn run(service_us: u64, repetitions: u32, chance: fn(u32) -> f64) -> Results {
        let trial = |repetition| {
            let mut trial = samples::trial(JournalMode::Wal, Strategy::None);
            trial.repetition = repetition;
            for operation in &mut trial.phases[0].operations {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
                let time_us = (service_us as f64 * chance(repetition)) as u64;
                for times in [&mut operation.service, &mut operation.response] {
                    (times.p50_us, times.p99_us) = (Some(time_us), Some(time_us * 3));
                }
            }
            trial
        };
        samples::results((1..=repetitions).map(trial).collect())
    }

    fn quiet(repetition: u32) -> f64 {
        1.0 + f64::from(repetition % 3) / 100.0
    }

    #[test]
    fn a_regression_is_found_and_nothing_else() {
        /// How long a commit takes, repetitions, and what chance does.
        type Run = (u64, u32, fn(u32) -> f64);
        let noise = |repetition: u32| if repetition.is_multiple_of(2) { 0.5 } else { 2.0 };
        let base = run(100_000, 12, quiet);
        let cases: [(&str, Run, RunOutcome); 6] = [
            ("the same", (100_000, 12, quiet), RunOutcome::NoRegression),
            ("a twentieth slower", (105_000, 12, quiet), RunOutcome::NoRegression),
            ("a fifth slower", (120_000, 12, quiet), RunOutcome::Regression),
            ("twice as fast", (50_000, 12, quiet), RunOutcome::NoRegression),
            ("a fifth slower, in five pairs", (120_000, 5, quiet), RunOutcome::Inconclusive),
            ("noise", (100_000, 12, noise), RunOutcome::Inconclusive),
        ];
        for (name, (service_us, repetitions, chance), outcome) in cases {
            let found = compare(&base, &run(service_us, repetitions, chance));
            assert_eq!(found.outcome, outcome, "{name}: {:#?}", found.changes);
            let commits = found.changes.iter().filter(|row| row.subject.kind == OperationKind::Commit);
            assert_eq!(commits.filter(|row| row.corrected.is_some()).count(), Figure::ALL.len(), "{name}");
        }
        assert_eq!(compare(&base, &samples::results(vec![])).outcome, RunOutcome::Inconclusive);
    }

    #[test]
    fn the_noise_of_a_strategy_is_not_the_difference_from_another() {
        let run = |us: u64| {
            let mut trials = Vec::new();
            for repetition in 1..=7 {
                for (strategy, times) in [(Strategy::VacuumInto, 1), (Strategy::HeldCopy, 8)] {
                    let mut trial = samples::trial(JournalMode::Wal, strategy);
                    trial.repetition = repetition;
                    trial.phases[1].operations.iter_mut().for_each(|one| one.response.p50_us = Some(us * times));
                    trials.push(trial);
                }
            }
            samples::results(trials)
        };
        let found = compare(&run(1_000), &run(2_000));
        let of_snapshots: Vec<_> = found
            .changes
            .iter()
            .filter(|row| row.subject.phase == PhaseName::Snapshot && row.subject.figure == Figure::ResponseP50)
            .map(|row| (row.change.noise_floor, row.change.outcome))
            .collect();
        assert!(!of_snapshots.is_empty());
        assert!(of_snapshots.iter().all(|found| *found == (Some(1.0), Outcome::Worse)), "{of_snapshots:?}");
    }

    #[test]
    fn six_pairs_are_enough_for_a_figure_and_not_for_a_run() {
        let found = compare(&run(100_000, 6, quiet), &run(150_000, 6, quiet));
        assert_eq!(found.outcome, RunOutcome::Inconclusive);
        assert!(found.changes.iter().all(|row| row.change.outcome == Outcome::Worse));
        assert!(found.changes.iter().all(|row| row.corrected == Some(Outcome::Inconclusive)));
    }

    #[test]
    fn what_differs_is_named() {
        let base = run(100, 1, quiet);
        assert_eq!(differences(&base, &base).unwrap(), Vec::<String>::new());
        let mut new = base.clone();
        new.environment.processors = 4;
        new.environment.sqlite_version = "3.60.0".to_owned();
        new.environment.build = None;
        new.environment.programs = None;
        new.scenario = samples::scenario(&["load.rate_ops=2000", "why=another question"]);
        assert_eq!(
            differences(&base, &new).unwrap(),
            [
                "environment.processors: 2 and 4",
                "environment.sqlite_version: \"3.54.1\" and \"3.60.0\"",
                "scenario.load.rate_ops: [1000.0] and [2000.0]"
            ]
        );
    }
}

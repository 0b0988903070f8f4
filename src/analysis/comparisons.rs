//! Journal modes compared in pairs of trials.
//!
//! A pair is two trials that differ only in their journal mode: same seed and so the same operations, same strategy, same
//! repetition, run next to each other, and in the other order every second time (A B B A). What is compared is the ratio of a
//! figure in each pair; the unit of evidence is the pair, not the operation.

use super::pairs::{Group, groups, neighbours, pairs};
use crate::{
    measure::OperationKind,
    results::{Change, Comparison, Figure, Outcome, PhaseName, Results, Subject, TrialResult},
    scenario::Conditions,
    snapshot::Strategy,
    sqlite::JournalMode,
    statistics::{self, ERROR_SHARE},
};

/// Ratios within this factor of 1, either way, count as the same: a tenth is less than any maintainer would act upon.
pub const SAME_MARGIN: f64 = 1.1;

/// The share of neighbours that differ by less than the noise floor.
const FLOOR_SHARE: f64 = 0.9;

/// The kinds whose figures are compared. Announces are those that commit and those that read together, and so are their times; they are
/// compared where none reads, as with a tracker that answers them without the database.
fn kinds(group: &Group<'_>) -> Vec<OperationKind> {
    let phases = || group.trials.iter().flat_map(|trial| &trial.phases);
    let due = |kind| -> u64 {
        phases().filter_map(|phase| phase.operation(kind)).map(|operation| operation.due).fold(0, u64::saturating_add)
    };
    let commits_apart = due(OperationKind::Commit) < due(OperationKind::Announce);
    let says_reads = phases().any(|phase| phase.operation(OperationKind::Read).is_some());
    let is_compared = |kind: &OperationKind| match kind {
        OperationKind::Announce => says_reads && due(OperationKind::Read) == 0 && commits_apart,
        OperationKind::Commit | OperationKind::Read | OperationKind::Scrape => true,
    };
    [OperationKind::Commit, OperationKind::Read, OperationKind::Scrape, OperationKind::Announce]
        .into_iter()
        .filter(is_compared)
        .collect()
}

/// Every figure of every kind, in the baseline and while each strategy took its snapshots, under delete, which is SQLite's own default,
/// and each of the other journal modes; without it, under the first of the scenario and the others. What no pair has is left out.
#[must_use]
pub fn comparisons(results: &Results) -> Vec<Comparison> {
    let modes = &results.scenario.sqlite.journal_modes;
    let Some(base) = modes.iter().find(|mode| **mode == JournalMode::Delete).or_else(|| modes.first()) else {
        return Vec::new();
    };
    let timeout_us = timeout_us(results);
    let mut comparisons = Vec::new();
    for group in groups(results).iter().filter(|group| !group.is_saturated()) {
        for new in modes.iter().filter(|mode| *mode != base) {
            for subject in subjects(group) {
                let times = times(group, (*base, *new), subject, timeout_us);
                if times.is_empty() {
                    continue;
                }
                let ratios: Vec<_> = times.iter().map(PairTimes::ratio).collect();
                let same = neighbours_of(&group.trials, subject).into_iter();
                let value = |trial: &TrialResult| value_us(trial, subject, timeout_us);
                let change = change(&ratios, noise_floor(&self::ratios(same, value)));
                comparisons.push(Comparison { base: *base, new: *new, conditions: group.conditions, subject, change });
            }
        }
    }
    comparisons
}

/// A time in both trials of a pair, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairTimes {
    /// Under the journal mode that the other is compared with.
    pub base_us: f64,
    /// Under the other.
    pub new_us: f64,
}

impl PairTimes {
    /// The second to the first.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.new_us / self.base_us
    }
}

/// What a comparison of these results rests on, pair by pair.
#[must_use]
pub fn pair_times(results: &Results, one: &Comparison) -> Vec<PairTimes> {
    let group = groups(results).into_iter().find(|group| group.conditions == one.conditions);
    group.map_or_else(Vec::new, |group| times(&group, (one.base, one.new), one.subject, timeout_us(results)))
}

fn times(
    group: &Group<'_>,
    (base, new): (JournalMode, JournalMode),
    subject: Subject,
    timeout_us: u64,
) -> Vec<PairTimes> {
    let all = pairs(&group.trials, |trial| trial.journal_mode == base, |trial| trial.journal_mode == new);
    let value = |trial| value_us(trial, subject, timeout_us);
    let times = |(base, new)| Some(PairTimes { base_us: value(base)?, new_us: value(new)? });
    all.into_iter().filter(|(trial, _)| is_of(trial, subject)).filter_map(times).collect()
}

pub(super) fn is_of(trial: &TrialResult, subject: Subject) -> bool {
    subject.strategy.is_none_or(|strategy| trial.strategy == strategy)
}

/// The trials that a noise floor is of: where a figure is of a strategy, those with other strategies are left out first, which do not
/// differ by chance.
pub(super) fn neighbours_of<'a>(
    trials: &[&'a TrialResult],
    subject: Subject,
) -> Vec<(&'a TrialResult, &'a TrialResult)> {
    neighbours(&trials.iter().copied().filter(|trial| is_of(trial, subject)).collect::<Vec<_>>())
}

/// A time of the baselines under one journal mode.
pub struct BaselineTime {
    /// Mode, `synchronous`, rate, kind and figure, in words.
    pub name: String,
    /// The median of the trials, in microseconds.
    pub median_us: f64,
    /// The least of them.
    pub least_us: f64,
    /// The most of them.
    pub most_us: f64,
    /// Trials that have it.
    pub trials: usize,
}

/// Every time of the baselines that any trial has, by journal mode.
#[must_use]
pub fn baseline_times(results: &Results) -> Vec<BaselineTime> {
    let timeout_us = timeout_us(results);
    let mut times = Vec::new();
    for group in groups(results).iter().filter(|group| !group.is_saturated()) {
        for mode in &results.scenario.sqlite.journal_modes {
            for subject in subjects(group).into_iter().filter(|subject| subject.phase == PhaseName::Baseline) {
                let of_mode = group.trials.iter().filter(|trial| trial.journal_mode == *mode);
                let values: Vec<f64> = of_mode.filter_map(|trial| value_us(trial, subject, timeout_us)).collect();
                let Some(median_us) = statistics::median(&values) else { continue };
                let Conditions { synchronous, offered_rate_ops, .. } = group.conditions;
                let rate = offered_rate_ops.map_or_else(String::new, |rate| format!(", {rate} operations a second"));
                let others = group.conditions.others(", ");
                times.push(BaselineTime {
                    name: format!(
                        "{mode}, synchronous {synchronous}{rate}{others}: {} {}",
                        subject.kind, subject.figure
                    ),
                    median_us,
                    least_us: values.iter().copied().fold(f64::INFINITY, f64::min),
                    most_us: values.iter().copied().fold(0.0, f64::max),
                    trials: values.len(),
                });
            }
        }
    }
    times
}

/// A client that has no answer has waited for so long.
#[must_use]
pub fn timeout_us(results: &Results) -> u64 {
    u64::try_from(results.scenario.client_timeout.as_micros()).unwrap_or(u64::MAX)
}

/// What the trials of a group can be compared by.
pub(super) fn subjects(group: &Group<'_>) -> Vec<Subject> {
    let mut strategies: Vec<Strategy> = Vec::new();
    for trial in &group.trials {
        if trial.phase(PhaseName::Snapshot).is_some() && !strategies.contains(&trial.strategy) {
            strategies.push(trial.strategy);
        }
    }
    let phases = std::iter::once((PhaseName::Baseline, None));
    let phases = phases.chain(strategies.into_iter().map(|strategy| (PhaseName::Snapshot, Some(strategy))));
    let kinds = kinds(group);
    let of_phase = |(phase, strategy)| {
        let of_kind = move |kind: &OperationKind| {
            let kind = *kind;
            Figure::ALL.map(|figure| Subject { phase, strategy, kind, figure })
        };
        kinds.iter().flat_map(of_kind)
    };
    phases.flat_map(of_phase).collect()
}

/// The figure in a trial, in microseconds; of several snapshots the median.
pub(super) fn value_us(trial: &TrialResult, subject: Subject, timeout_us: u64) -> Option<f64> {
    let phases = trial.phases.iter().filter(|phase| phase.name == subject.phase);
    let values = phases.filter_map(|phase| phase.operation(subject.kind));
    let values: Vec<f64> = values
        .filter_map(|operation| subject.figure.value_us(operation, timeout_us))
        .map(|time_us| time_us.max(1) as f64)
        .collect();
    statistics::median(&values)
}

/// The ratios of those pairs of which both have a value, second to first.
pub(super) fn ratios<'a>(
    pairs: impl Iterator<Item = (&'a TrialResult, &'a TrialResult)>,
    value: impl Fn(&TrialResult) -> Option<f64>,
) -> Vec<f64> {
    pairs.filter_map(|(base, new)| Some(value(new)? / value(base)?)).collect()
}

/// What nine of ten ratios of trials under the same mode differ from 1 by less than, as a factor.
pub(crate) fn noise_floor(ratios: &[f64]) -> Option<f64> {
    let distances: Vec<f64> = ratios.iter().map(|ratio| ratio.ln().abs()).collect();
    statistics::quantile(&distances, FLOOR_SHARE).map(f64::exp)
}

/// What the ratios of pairs say, with 95 % confidence.
#[must_use]
pub fn change(ratios: &[f64], noise_floor: Option<f64>) -> Change {
    change_with(ratios, noise_floor, ERROR_SHARE)
}

/// What ratios say, of which the interval may miss the median in `error_share` of all cases.
pub(super) fn change_with(ratios: &[f64], noise_floor: Option<f64>, error_share: f64) -> Change {
    let logarithms: Vec<f64> = ratios.iter().map(|ratio| ratio.ln()).collect();
    let ratio = statistics::median(&logarithms).map(f64::exp);
    let interval = statistics::median_interval(&logarithms, error_share).map(|interval| interval.map(f64::exp));
    let floor = noise_floor.unwrap_or(1.0);
    let outcome = match (ratio, interval) {
        (Some(_), Some(interval)) if interval.is_above(1.0 / SAME_MARGIN) && interval.is_below(SAME_MARGIN) => {
            Outcome::Same
        }
        (Some(ratio), Some(interval)) if interval.is_below(1.0) && ratio < 1.0 / floor => Outcome::Better,
        (Some(ratio), Some(interval)) if interval.is_above(1.0) && ratio > floor => Outcome::Worse,
        (Some(_) | None, Some(_) | None) => Outcome::Inconclusive,
    };
    Change { pairs: ratios.len() as u64, ratio, interval, noise_floor, outcome }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{results::samples, sqlite::JournalMode};

    #[test]
    fn a_change_is_what_its_interval_and_the_noise_say() {
        use Outcome::{Better, Inconclusive, Same, Worse};
        for (name, ratios, floor, outcome) in [
            ("nothing", &[][..], None, Inconclusive),
            ("too few pairs", &[0.5; 5], None, Inconclusive),
            ("half", &[0.5; 6], Some(1.3), Better),
            ("half, in all but noise", &[0.5; 6], Some(2.5), Inconclusive),
            ("double", &[2.0; 6], None, Worse),
            ("one pair of six the other way", &[2.0, 2.0, 2.0, 2.0, 2.0, 0.9], None, Inconclusive),
            ("a little, every time", &[1.05; 6], None, Same),
            ("nothing, every time", &[0.95, 1.0, 1.05, 1.0, 1.0, 1.0], Some(3.0), Same),
            ("from less to more", &[0.5, 0.7, 1.0, 1.3, 2.0, 1.1], None, Inconclusive),
        ] {
            let found = change(ratios, floor);
            assert_eq!((found.outcome, found.pairs), (outcome, ratios.len() as u64), "{name}: {found:?}");
        }
        let found = change(&[0.5, 1.0, 2.0, 4.0, 8.0, 16.0], None);
        assert!((found.ratio.unwrap() - 8.0_f64.sqrt()).abs() < 1e-9, "the median of the logarithms: {found:?}");
        let interval = found.interval.unwrap();
        assert!((interval.low - 0.5).abs() < 1e-9 && (interval.high - 16.0).abs() < 1e-9);
    }

    #[test]
    fn the_noise_floor_is_a_factor_either_way() {
        assert_eq!(noise_floor(&[]), None);
        let floor = noise_floor(&[1.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 4.0]).unwrap();
        assert!((floor - 2.0).abs() < 1e-9, "{floor}");
    }

    /// Seven repetitions of a strategy under both modes, of which wal takes twice as long for commits.
    fn seven() -> Results {
        let mut trials = Vec::new();
        for repetition in 1..=7 {
            for mode in [JournalMode::Delete, JournalMode::Wal] {
                let mut trial = samples::trial(mode, Strategy::VacuumInto);
                trial.repetition = repetition;
                let commits = trial.phases[0].operations.iter_mut().find(|one| one.kind == OperationKind::Commit);
                commits.unwrap().service.p50_us = Some(if mode == JournalMode::Wal { 200 } else { 100 });
                trials.push(trial);
            }
        }
        samples::results(trials)
    }

    fn of(results: &Results, phase: PhaseName, kind: OperationKind, figure: Figure) -> Option<Comparison> {
        let is_it =
            |one: &Comparison| (one.subject.phase, one.subject.kind, one.subject.figure) == (phase, kind, figure);
        comparisons(results).into_iter().find(is_it)
    }

    #[test]
    fn delete_is_what_the_others_are_compared_with_wherever_it_stands() {
        let mut results = seven();
        let in_order = comparisons(&results);
        results.scenario.sqlite.journal_modes.reverse();
        assert_eq!(comparisons(&results), in_order);
        assert!(!in_order.is_empty() && in_order.iter().all(|one| one.base == JournalMode::Delete));
    }

    #[test]
    fn modes_are_compared_pair_by_pair() {
        let results = seven();
        let commits = |results: &Results| {
            of(results, PhaseName::Baseline, OperationKind::Commit, Figure::ServiceP50).map(|found| found.change)
        };
        let found = commits(&results).unwrap();
        assert_eq!((found.pairs, found.outcome), (7, Outcome::Worse));
        assert_eq!(found.ratio.map(|ratio| (ratio * 1e6).round()), Some(2e6));
        let reads = of(&results, PhaseName::Baseline, OperationKind::Read, Figure::ServiceP50).unwrap();
        assert_eq!(reads.change.outcome, Outcome::Same);
        let snapshots = of(&results, PhaseName::Snapshot, OperationKind::Commit, Figure::ResponseP99).unwrap();
        assert_eq!(snapshots.subject.strategy, Some(Strategy::VacuumInto));
        // A trial that is not whole makes no pair, and of five pairs nothing follows.
        let mut fewer = seven();
        fewer.trials[0].status = crate::results::Status::Failed;
        fewer.trials[3].status = crate::results::Status::Interrupted;
        let found = commits(&fewer).unwrap();
        assert_eq!((found.pairs, found.outcome), (5, Outcome::Inconclusive));
        // Nothing is compared where the times only show a queue, nor what a file does not hold.
        let mut saturated = seven();
        saturated.trials.iter_mut().for_each(|trial| trial.phases[0].achieved_rate_ops = 1.0);
        assert_eq!(comparisons(&saturated), []);
        let mut few = seven();
        few.trials.iter_mut().for_each(|trial| trial.phases[0].operations.retain(|one| one.kind.is_request()));
        assert_eq!(commits(&few), None);
    }

    #[test]
    fn announces_are_compared_where_none_of_them_reads() {
        for (commits, reads, is_compared) in
            [(1_000, 1_000, false), (400, 600, false), (1_000, 0, false), (400, 0, true), (0, 0, true)]
        {
            let mut results = seven();
            for phase in results.trials.iter_mut().flat_map(|trial| &mut trial.phases) {
                for operation in &mut phase.operations {
                    match operation.kind {
                        OperationKind::Commit => operation.due = commits,
                        OperationKind::Read => operation.due = reads,
                        OperationKind::Announce | OperationKind::Scrape => {}
                    }
                }
            }
            let announces = of(&results, PhaseName::Baseline, OperationKind::Announce, Figure::ResponseP50);
            assert_eq!(announces.is_some(), is_compared, "{commits} commits and {reads} reads");
        }
    }

    #[test]
    fn the_noise_floor_of_a_strategy_is_of_its_own_trials() {
        let mut trials = Vec::new();
        for repetition in 1..=7 {
            for strategy in [Strategy::VacuumInto, Strategy::HeldCopy] {
                for mode in [JournalMode::Delete, JournalMode::Wal] {
                    let mut trial = samples::trial(mode, strategy);
                    trial.repetition = repetition;
                    let us = if strategy == Strategy::HeldCopy { 8_000 } else { 1_000 };
                    let commits = |one: &&mut crate::results::OperationResult| one.kind == OperationKind::Commit;
                    trial.phases[1].operations.iter_mut().find(commits).unwrap().response.p50_us = Some(us);
                    trials.push(trial);
                }
            }
        }
        let results = samples::results(trials);
        let found = of(&results, PhaseName::Snapshot, OperationKind::Commit, Figure::ResponseP50).unwrap();
        assert_eq!(found.change.noise_floor, Some(1.0), "trials of one strategy are alike");
    }
}

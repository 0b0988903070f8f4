//! What follows from comparisons and verdicts for those who have to decide. The rules stand in the results beside what they say.

use super::{
    comparisons::SAME_MARGIN,
    pairs::{Group, groups},
    small_number::small_number,
    snapshot_cost::{Costs, lost_client_s},
};
use crate::{
    results::{
        BackupDecision, BackupStrategy, Comparison, Decision, ModeDecision, ModeOutcome, Outcome, PhaseName, Results,
        SnapshotResult, TrialResult,
    },
    snapshot::{Isolation, Strategy},
    sqlite::JournalMode,
    statistics::{self, ERROR_SHARE, PAIRS_LEAST, share_interval},
    torrents::Portion,
};

/// What follows from a run, of which the journal modes have been compared.
#[must_use]
pub fn decision(results: &Results, comparisons: &[Comparison]) -> Decision {
    let modes = &results.scenario.sqlite.journal_modes;
    let has_both = [JournalMode::Delete, JournalMode::Wal].iter().all(|mode| modes.contains(mode));
    let backup = modes.iter().filter_map(|mode| backup(results, *mode));
    Decision { journal_mode: has_both.then(|| journal_mode(results, comparisons)), backup: backup.collect() }
}

/// Phase 4 of the plan in torrust-demo issue #86: "improves: keep WAL; no significant change: keep WAL; problems: revert".
fn rule() -> String {
    format!(
        "WAL is kept where a response time of commits, reads or scrapes (or of announces, where none of them reads) in \
        the baseline is better than under delete and none is worse, and where all of them are the same; delete comes back where one \
        is worse and none is better: response times are what clients wait. That has to follow at every rate, and under every other condition of the run. Better and worse take at least {PAIRS_LEAST} pairs of trials whose 95 % interval of the ratio leaves out 1, and a ratio beyond the noise floor; the same \
        is an interval within a factor of {SAME_MARGIN}. Anything else is open."
    )
}

fn journal_mode(results: &Results, comparisons: &[Comparison]) -> ModeDecision {
    let (mut because, mut open, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
    for group in groups(results) {
        let at = group.conditions.in_words(" and ");
        if group.is_saturated() {
            open.push(format!("At {at} more was offered than a mode could do, so response times are not compared."));
            outcomes.push(ModeOutcome::Open);
            continue;
        }
        let all: Vec<_> = comparisons.iter().filter(|one| is_baseline_of(one, &group)).collect();
        let (of_group, beside): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.subject.figure.is_felt());
        let found = |outcome| of_group.iter().filter(move |one| one.change.outcome == outcome);
        let is_worse = |one: &&&Comparison| one.change.outcome == Outcome::Worse;
        let against: Vec<_> = beside.iter().filter(is_worse).map(|one| words(one)).collect();
        if !against.is_empty() {
            open.push(format!("Against WAL at {at}: {}.", against.join("; ")));
        }
        let (better, worse, same) = (found(Outcome::Better), found(Outcome::Worse), found(Outcome::Same));
        let decided: Vec<_> = better.clone().chain(worse.clone()).map(|one| words(one)).collect();
        if !decided.is_empty() {
            because.push(format!("At {at}: {}.", decided.join("; ")));
        }
        let unclear: Vec<_> = found(Outcome::Inconclusive).map(|one| one.subject.to_string()).collect();
        if !unclear.is_empty() {
            open.push(format!("At {at} the data does not decide: {}.", unclear.join(", ")));
        }
        let all_same = !of_group.is_empty() && same.clone().count() == of_group.len();
        if all_same {
            because.push(format!("At {at} all {} response times are the same.", of_group.len()));
        }
        outcomes.push(match (better.count(), worse.count()) {
            (0, 0) if all_same => ModeOutcome::KeepWal,
            (1.., 0) => ModeOutcome::KeepWal,
            (0, 1..) => ModeOutcome::RevertToDelete,
            (_, _) => ModeOutcome::Open,
        });
    }
    let outcome = match outcomes.split_first() {
        Some((first, others)) if others.iter().all(|other| other == first) => *first,
        Some(_) | None => ModeOutcome::Open,
    };
    ModeDecision { outcome, rule: rule(), because, open }
}

fn is_baseline_of(one: &Comparison, group: &Group<'_>) -> bool {
    let is_baseline = one.subject.phase == PhaseName::Baseline;
    let has_modes = (one.base, one.new) == (JournalMode::Delete, JournalMode::Wal);
    is_baseline && has_modes && one.conditions == group.conditions
}

fn words(one: &Comparison) -> String {
    let ratio = one.change.ratio.unwrap_or(f64::NAN);
    let interval = one
        .change
        .interval
        .map_or_else(String::new, |interval| format!(" ({} to {})", factor(interval.low), factor(interval.high)));
    format!(
        "{} is {}, {} times as long{interval} in {} pairs",
        one.subject,
        one.change.outcome,
        factor(ratio),
        one.change.pairs
    )
}

/// With a digit that says something, also of a small one.
pub(super) fn factor(factor: f64) -> String {
    if factor < 0.1 { small_number(factor) } else { format!("{factor:.2}") }
}

/// The whole trials under a mode that took snapshots, and which of their strategies were exact every time.
fn backup(results: &Results, mode: JournalMode) -> Option<BackupDecision> {
    let is_of_mode = |trial: &&TrialResult| trial.journal_mode == mode && trial.status.is_whole();
    let trials: Vec<_> = results.trials.iter().filter(is_of_mode).collect();
    let strategies = strategies(&trials);
    if strategies.is_empty() {
        return None;
    }
    // Verdicts count of all of them, and costs of those that were not run again.
    let timed: Vec<_> = trials.iter().copied().filter(|trial| !results.is_replaced(trial)).collect();
    let costs = Costs::new(results, mode);
    let (mut exact, mut open, mut not_exact) = (Vec::new(), Vec::new(), Vec::new());
    for strategy in strategies {
        match judged(trials.iter().copied().filter(|trial| trial.strategy == strategy)) {
            (_, 0) => open.push(format!("No copy of {strategy} could be judged.")),
            (hits, of) if strategy.definition().portion == Portion::Essential => open.push(format!(
                "{strategy} was exact {hits} times of {of}, of the part that it copies: it leaves out the torrents that nobody has \
                downloaded."
            )),
            (hits, of) if hits == of => match strategy.definition().isolation {
                Isolation::Isolated | Isolation::Unknown => exact.push(backup_strategy(strategy, &timed, &costs, of)),
                Isolation::Unprotected { .. } => open.push(format!(
                    "{strategy} was exact {of} times of {of}, by chance: the next one may be stale or torn."
                )),
            },
            (hits, of) => not_exact.push(format!("{strategy} was exact {hits} times of {of}.")),
        }
    }
    rank(&costs, &mut exact);
    let because = [because(&exact), not_exact].concat();
    open.extend(costs.open(mode, &exact));
    Some(BackupDecision { journal_mode: mode, strategies: exact, because, open })
}

/// Those that took snapshots, in the order in which they ran.
fn strategies(trials: &[&TrialResult]) -> Vec<Strategy> {
    let mut strategies: Vec<Strategy> = Vec::new();
    for trial in trials.iter().filter(|trial| !trial.snapshots.is_empty()) {
        if !strategies.contains(&trial.strategy) {
            strategies.push(trial.strategy);
        }
    }
    strategies
}

/// Snapshots that were exact, and those that were judged.
fn judged<'a>(trials: impl Iterator<Item = &'a TrialResult>) -> (u64, u64) {
    let judged = trials.flat_map(|trial| &trial.snapshots).filter(|snapshot| snapshot.ruling.verdict.is_some());
    judged.fold((0, 0), |(exact, all), snapshot| (exact + u64::from(snapshot.is_exact()), all + 1))
}

/// A strategy that was exact every time: how long it took in these trials of all strategies, and what it cost.
fn backup_strategy(strategy: Strategy, timed: &[&TrialResult], costs: &Costs<'_>, exact: u64) -> BackupStrategy {
    let own = timed.iter().filter(|trial| trial.strategy == strategy);
    let durations_s: Vec<f64> =
        own.flat_map(|trial| &trial.snapshots).map(|snapshot: &SnapshotResult| snapshot.run.duration_s).collect();
    let (lost_client_s, interval) = match costs.of(strategy).as_slice() {
        [of_all] => (statistics::median(of_all), statistics::median_interval(of_all, ERROR_SHARE)),
        _ => (None, None),
    };
    BackupStrategy {
        strategy,
        exact,
        exact_share_least: share_interval(exact, exact).low,
        is_for_scripts: strategy.definition().is_for_scripts(),
        duration_s: statistics::median(&durations_s).unwrap_or_default(),
        lost_client_s,
        interval,
        is_unbeaten: false,
    }
}

/// Puts the cheapest first, by the median over all conditions, and says which of those for scripts are beaten by none: in pairs of
/// the same conditions and repetition, the interval of the difference does not lie above 0.
fn rank(costs: &Costs<'_>, strategies: &mut [BackupStrategy]) {
    let median_s = |one: &BackupStrategy| statistics::median(&costs.of(one.strategy).concat()).unwrap_or(f64::INFINITY);
    strategies.sort_by(|one, other| median_s(one).total_cmp(&median_s(other)));
    let candidates: Vec<Strategy> =
        strategies.iter().filter(|one| one.is_for_scripts).map(|one| one.strategy).collect();
    let trials: Vec<_> = costs.trials().collect();
    for one in strategies.iter_mut().filter(|one| one.is_for_scripts) {
        one.is_unbeaten = !candidates.iter().any(|other| is_beaten(&trials, one.strategy, *other));
    }
}

fn is_beaten(trials: &[&TrialResult], strategy: Strategy, other: Strategy) -> bool {
    let of = |trial: &TrialResult, repetition: u32| (trial.strategy, trial.repetition) == (other, repetition);
    let differences = trials.iter().filter(|trial| trial.strategy == strategy).filter_map(|trial| {
        let is_partner =
            |partner: &&&TrialResult| of(partner, trial.repetition) && partner.conditions() == trial.conditions();
        let partner = trials.iter().find(is_partner)?;
        Some(lost_client_s(trial)? - lost_client_s(partner)?)
    });
    let differences: Vec<f64> = differences.collect();
    statistics::median_interval(&differences, ERROR_SHARE).is_some_and(|interval| interval.is_above(0.0))
}

fn because(exact: &[BackupStrategy]) -> Vec<String> {
    let mut because: Vec<String> = exact
        .iter()
        .map(|one| {
            let least = (one.exact_share_least * 100.0 + 1e-9).floor();
            format!("{} was exact {} times of {}: at least {least} %.", one.strategy, one.exact, one.exact)
        })
        .collect();
    let unbeaten: Vec<_> = exact.iter().filter(|one| one.is_unbeaten).map(|one| one.strategy.to_string()).collect();
    because.extend(match unbeaten.as_slice() {
        [] => None,
        [only] if exact.iter().filter(|one| one.is_for_scripts).count() == 1 => {
            Some(format!("Of the strategies that were exact every time, {only} is the only one that a script can run."))
        }
        [winner] => Some(format!("Of those that a script can run, {winner} costs the least.")),
        several => Some(format!(
            "Of those that a script can run, these are equally good as far as is known: {}.",
            several.join(", ")
        )),
    });
    because
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        analysis::comparisons,
        measure::OperationKind,
        oracle::Verdict,
        results::{Recorded, samples},
    };

    /// Seven repetitions of two strategies under both modes, as whole trials, which `change` may change.
    fn seven(change: impl Fn(&mut TrialResult)) -> Results {
        let mut trials = Vec::new();
        for repetition in 1..=7 {
            for strategy in [Strategy::VacuumInto, Strategy::HeldCopy] {
                for mode in [JournalMode::Delete, JournalMode::Wal] {
                    let mut trial = samples::trial(mode, strategy);
                    trial.repetition = repetition;
                    change(&mut trial);
                    trials.push(trial);
                }
            }
        }
        samples::results(trials)
    }

    fn mode_of(results: &Results) -> ModeDecision {
        decision(results, &comparisons(results)).journal_mode.unwrap()
    }

    /// Under wal the median service time of a kind is so many times as long.
    fn longer(kind: OperationKind, times: u64) -> impl Fn(&mut TrialResult) {
        move |trial| {
            let operation = trial.phases[0].operations.iter_mut().find(|one| one.kind == kind).unwrap();
            let is_wal = trial.journal_mode == JournalMode::Wal;
            operation.response.p50_us = Some(if is_wal { 100 * times } else { 400 });
        }
    }

    #[test]
    fn wal_is_kept_unless_it_is_worse_or_nothing_follows() {
        use OperationKind::{Commit, Scrape};
        let both = |trial: &mut TrialResult| {
            longer(Commit, 1)(trial);
            longer(Scrape, 16)(trial);
        };
        assert_eq!(mode_of(&seven(|_| ())).outcome, ModeOutcome::KeepWal, "all are the same");
        let better = mode_of(&seven(longer(Commit, 1)));
        assert_eq!(better.outcome, ModeOutcome::KeepWal);
        assert!(better.rule.contains("has to follow at every rate"), "{}", better.rule);
        assert!(
            better.because[0].contains("commit response p50 (baseline) is better, 0.25 times as long"),
            "{better:?}"
        );
        assert_eq!(mode_of(&seven(longer(Commit, 16))).outcome, ModeOutcome::RevertToDelete);
        assert_eq!(mode_of(&seven(both)).outcome, ModeOutcome::Open, "one is better and one is worse");
        let service = mode_of(&seven(|trial| {
            longer(Commit, 1)(trial);
            let is_wal = trial.journal_mode == JournalMode::Wal;
            let scrapes = trial.phases[0].operations.iter_mut().find(|one| one.kind == Scrape).unwrap();
            scrapes.service.p50_us = Some(if is_wal { 200 } else { 100 });
        }));
        assert_eq!(service.outcome, ModeOutcome::KeepWal, "nobody waits for a service time alone");
        assert!(
            service.open[0].starts_with("Against WAL at 1000 operations a second")
                && service.open[0].contains(": scrape service p50 (baseline) is worse, 2.00 times"),
            "{service:?}"
        );
        let mut few = seven(|_| ());
        few.trials.truncate(8);
        let few = mode_of(&few);
        assert_eq!(few.outcome, ModeOutcome::Open);
        assert!(few.open[0].contains("the data does not decide: commit response p50 (baseline)"), "{few:?}");
        let saturated = mode_of(&seven(|trial| trial.phases[0].achieved_rate_ops = 1.0));
        assert_eq!(saturated.outcome, ModeOutcome::Open);
        let one_mode = seven(|_| ());
        let one_mode = Results { scenario: samples::scenario(&["sqlite.journal_mode=wal"]), ..one_mode };
        assert_eq!(decision(&one_mode, &[]).journal_mode, None);
    }

    fn backup_of(results: &Results) -> BackupDecision {
        decision(results, &[]).backup.into_iter().find(|one| one.journal_mode == JournalMode::Wal).unwrap()
    }

    #[test]
    fn a_winner_is_called_only_where_the_pairs_part() {
        let cheaper = |lost_s: fn(u32) -> f64| {
            move |trial: &mut TrialResult| {
                if trial.strategy == Strategy::VacuumInto {
                    let Recorded::Known(horizons) = &mut trial.horizons else { return };
                    for operation in &mut horizons[0].window.operations {
                        operation.lateness.lost_client_s -= lost_s(trial.repetition);
                    }
                }
            }
        };
        let parted = backup_of(&seven(cheaper(|_| 0.5)));
        assert_eq!(parted.strategies[0].strategy, Strategy::VacuumInto);
        assert!(parted.strategies[0].is_unbeaten && !parted.strategies[1].is_unbeaten, "{parted:?}");
        assert!(parted.because.iter().any(|said| said.contains("vacuum-into costs the least")), "{parted:?}");
        let alike = backup_of(&seven(cheaper(|repetition| if repetition == 1 { -0.1 } else { 0.5 })));
        assert!(alike.strategies.iter().all(|one| one.is_unbeaten), "{alike:?}");
        assert!(alike.because.iter().any(|said| said.contains("equally good as far as is known")), "{alike:?}");
        let exact = &alike.strategies[0];
        assert_eq!((exact.exact, (exact.exact_share_least * 100.0).round()), (7, 65.0));
    }

    /// [`seven`] at two rates, `VACUUM INTO` half a client-second cheaper; in the baselines at the second so much was achieved.
    fn at_two_rates(achieved_ops: f64) -> Results {
        let at = |rate_ops: f64, achieved_ops: f64| {
            seven(move |trial| {
                trial.offered_rate_ops = Some(rate_ops);
                (trial.phases[0].offered_rate_ops, trial.phases[0].achieved_rate_ops) = (rate_ops, achieved_ops);
                let Recorded::Known(horizons) = &mut trial.horizons else { return };
                for operation in &mut horizons[0].window.operations {
                    operation.lateness.lost_client_s += rate_ops / 1_000.0;
                    operation.lateness.lost_client_s -= if trial.strategy == Strategy::VacuumInto { 0.5 } else { 0.0 };
                }
            })
        };
        let mut results = at(1_000.0, 1_000.0);
        results.trials.extend(at(2_000.0, achieved_ops).trials);
        results.scenario = samples::scenario(&["load.rate_ops=[1000, 2000]"]);
        results
    }

    #[test]
    fn trials_of_several_conditions_have_no_one_cost_and_saturated_ones_have_none() {
        let is_open = |found: &BackupDecision, said: &str| found.open.iter().any(|open| open.contains(said));
        let (several, saturated) = ("no one cost is given", "At 2000 operations a second");
        for (achieved_ops, has_cost, is_several, is_saturated) in
            [(2_000.0, false, true, false), (100.0, true, false, true)]
        {
            let found = backup_of(&at_two_rates(achieved_ops));
            let vacuum = &found.strategies[0];
            assert_eq!(vacuum.strategy, Strategy::VacuumInto, "{found:?}");
            assert!(vacuum.is_unbeaten && !found.strategies[1].is_unbeaten, "{found:?}");
            assert_eq!((vacuum.lost_client_s.is_some(), vacuum.interval.is_some()), (has_cost, has_cost), "{found:?}");
            // Two kinds of requests, each a client-second dearer and half a one cheaper at the first rate.
            assert!(vacuum.lost_client_s.is_none_or(|lost_s| (lost_s - 1.0).abs() < 1e-9), "{found:?}");
            assert_eq!((is_open(&found, several), is_open(&found, saturated)), (is_several, is_saturated), "{found:?}");
            assert!(!is_open(&found, "at least 6 trials"), "{found:?}");
        }
    }

    #[test]
    fn a_trial_that_was_run_again_counts_by_its_verdict_and_not_by_its_cost() {
        let mut results = seven(|trial| {
            // The last repetition is the first one, run again.
            if trial.repetition == 1 {
                trial.snapshots[0].run.duration_s = 1_000.0;
            }
        });
        results.scenario.disturbance.rerun = true;
        results.scenario.repetitions = 6;
        assert_eq!(results.scenario.rerun_of(1), 7);
        let found = backup_of(&results);
        assert!(found.strategies.iter().all(|one| one.exact == 7 && one.duration_s < 1_000.0), "{found:?}");
        results.trials[1].snapshots[0].ruling.verdict = Some(Verdict::Torn);
        let found = backup_of(&results);
        assert!(found.because.contains(&"vacuum-into was exact 6 times of 7.".to_owned()), "{found:?}");
    }

    #[test]
    fn a_copy_that_nobody_could_judge_was_not_wrong() {
        let found = backup_of(&seven(|trial| trial.snapshots[0].ruling.verdict = None));
        assert_eq!((found.strategies.len(), found.because.len()), (0, 0), "{found:?}");
        assert!(found.open.contains(&"No copy of held-copy could be judged.".to_owned()), "{found:?}");
    }

    #[test]
    fn a_copy_of_a_part_is_told_apart_from_whole_ones() {
        let results = seven(|trial| {
            if trial.strategy == Strategy::VacuumInto {
                trial.strategy = Strategy::Essential;
                trial.snapshots.iter_mut().for_each(|snapshot| snapshot.ruling.verdict = Some(Verdict::Exact));
            }
        });
        let found = backup(&results, JournalMode::Wal).unwrap();
        assert!(found.strategies.iter().all(|one| one.strategy != Strategy::Essential), "{found:?}");
        let said = found.open.iter().filter(|line| line.starts_with("essential was exact 7 times of 7, of the part"));
        assert_eq!(said.count(), 1, "{found:?}");
    }

    #[test]
    fn only_what_was_exact_every_time_and_not_by_chance_can_be_relied_on() {
        let mut results = seven(|_| ());
        results.trials[1].snapshots = vec![samples::snapshot(Strategy::VacuumInto, Verdict::Torn)];
        results.trials.push(samples::trial(JournalMode::Wal, Strategy::Cp));
        let found = backup_of(&results);
        assert_eq!(found.strategies.iter().map(|one| one.strategy).collect::<Vec<_>>(), [Strategy::HeldCopy]);
        assert!(found.because.contains(&"vacuum-into was exact 6 times of 7.".to_owned()), "{found:?}");
        assert!(found.open.iter().any(|said| said.starts_with("cp was exact 1 times of 1, by chance")), "{found:?}");
        let only = "Of the strategies that were exact every time, held-copy is the only one that a script can run.";
        assert!(found.because.contains(&only.to_owned()), "{found:?}");
        let old = samples::of_before(&results);
        assert_eq!(backup_of(&old).strategies[0].lost_client_s, None, "an older file does not say what it cost");
    }
}

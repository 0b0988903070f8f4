//! What follows from a run, in sentences.

use super::{figure_text::number, figures::Block};
use crate::{
    analysis,
    results::{BackupDecision, BackupStrategy, ModeDecision, Results},
    sqlite::JournalMode,
};

/// The decision, with what it rests on and what is open; nothing where the results have none.
pub fn blocks(results: &Results) -> Vec<Block> {
    let Some(decision) = &results.decision else { return Vec::new() };
    let mut blocks = Vec::new();
    if let Some(mode) = &decision.journal_mode {
        blocks.push(Block::Heading(3, format!("Journal mode: {}", mode.outcome)));
        blocks.push(Block::List(of_mode(mode)));
    }
    for backup in &decision.backup {
        blocks.push(Block::Heading(3, format!("Backup under {}", backup.journal_mode)));
        blocks.push(Block::List(of_backup(results, backup)));
    }
    blocks
}

fn of_mode(mode: &ModeDecision) -> Vec<String> {
    let open = mode.open.iter().map(|open| format!("Open: {open}"));
    mode.because.iter().cloned().chain(open).chain([format!("The rule: {}", mode.rule)]).collect()
}

fn of_backup(results: &Results, backup: &BackupDecision) -> Vec<String> {
    let none = backup.strategies.is_empty().then(|| "No strategy was shown to be exact every time.".to_owned());
    let costs = backup.strategies.iter().map(|one| cost(results, backup.journal_mode, one));
    let open = backup.open.iter().map(|open| format!("Open: {open}"));
    none.into_iter().chain(backup.because.iter().cloned()).chain(costs).chain(open).collect()
}

fn cost(results: &Results, mode: JournalMode, one: &BackupStrategy) -> String {
    let took = format!("{} took {} s", one.strategy, number(one.duration_s));
    let lost = match (one.lost_client_s, one.interval) {
        (Some(lost_s), Some(interval)) => {
            format!("{} client-seconds ({} to {})", number(lost_s), number(interval.low), number(interval.high))
        }
        (Some(lost_s), None) => format!("{} client-seconds", number(lost_s)),
        (None, _) if analysis::has_several_costs(results, mode, one.strategy) => {
            return format!("{took}, and has no one cost: its trials are of several rates, or other conditions.");
        }
        (None, _) => "an unknown number of client-seconds".to_owned(),
    };
    format!("{took} and cost {lost} over the horizon, or over the copy where that took longer, beyond the baseline.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::{TrialResult, samples},
        snapshot::Strategy,
        statistics::Interval,
    };

    #[test]
    fn what_a_snapshot_cost_is_one_number_or_why_it_is_none() {
        let at = |rate_ops: f64| TrialResult {
            offered_rate_ops: Some(rate_ops),
            ..samples::trial(JournalMode::Wal, Strategy::VacuumInto)
        };
        let mut two_rates = samples::results(vec![at(1_000.0), at(2_000.0)]);
        two_rates.scenario = samples::scenario(&["load.rate_ops=[1000, 2000]"]);
        let before = samples::of_before(&samples::results(vec![at(1_000.0)]));
        let beyond = "over the horizon, or over the copy where that took longer, beyond the baseline.";
        let interval = Some(Interval { low: 0.5, high: 2.0 });
        for (results, lost_client_s, interval, said) in [
            (&before, Some(1.0), interval, format!(" and cost 1.00 client-seconds (0.50 to 2.00) {beyond}")),
            (&before, Some(1.0), None, format!(" and cost 1.00 client-seconds {beyond}")),
            (&before, None, None, format!(" and cost an unknown number of client-seconds {beyond}")),
            (
                &two_rates,
                None,
                None,
                ", and has no one cost: its trials are of several rates, or other conditions.".to_owned(),
            ),
        ] {
            let one = BackupStrategy {
                strategy: Strategy::VacuumInto,
                exact: 7,
                exact_share_least: 0.65,
                is_for_scripts: true,
                duration_s: 0.5,
                lost_client_s,
                interval,
                is_unbeaten: true,
            };
            assert_eq!(cost(results, JournalMode::Wal, &one), format!("vacuum-into took 0.50 s{said}"));
        }
    }
}

//! The verdicts by journal mode and strategy: the table that a README or an issue begins with.

use std::collections::BTreeMap;

use super::{
    context::groups,
    figures::{Column, Table, Unit, Value},
    snapshots::short_answer,
    summary::share,
};
use crate::{
    results::{Results, SnapshotResult},
    snapshot::Strategy,
    sqlite::JournalMode,
};

/// One row for each journal mode and strategy that took snapshots, of all groups together.
pub fn table(results: &Results) -> Table {
    let mut columns: Vec<_> = ["journal mode", "copied with", "the copy is", "exact"].map(Column::words).to_vec();
    columns.push(Column::of("time", Unit::Seconds));
    columns.push(Column::of("commits meanwhile", Unit::One));
    columns.push(Column::words("integrity_check"));
    let mut rows = Vec::new();
    for (mode, strategy) in order(results) {
        let snapshots: Vec<&SnapshotResult> = results
            .trials
            .iter()
            .filter(|trial| (trial.journal_mode, trial.strategy) == (mode, strategy))
            .flat_map(|trial| &trial.snapshots)
            .collect();
        if snapshots.is_empty() {
            continue;
        }
        let verdict = |snapshot: &&SnapshotResult| {
            Value::text(snapshot.ruling.verdict.map_or_else(|| "not judged".to_owned(), |verdict| verdict.to_string()))
        };
        let check = |snapshot: &&SnapshotResult| {
            snapshot
                .ruling
                .integrity_check
                .as_deref()
                .map_or(Value::NotApplicable, |text| Value::text(short_answer(text)))
        };
        let judged = snapshots.iter().filter(|snapshot| snapshot.ruling.verdict.is_some()).count() as u64;
        let exact = snapshots.iter().filter(|snapshot| snapshot.is_exact()).count() as u64;
        let values = [
            Value::text(mode.to_string()),
            Value::text(strategy.to_string()),
            Value::tally(snapshots.iter().map(verdict)),
            Value::text(format!("{exact} of {judged} ({})", share(exact, judged))),
            Value::range(snapshots.iter().map(|snapshot| snapshot.run.duration_s), Value::Duration),
            Value::counts(snapshots.iter().map(|snapshot| snapshot.commits_meanwhile()), Value::Count),
            Value::tally(snapshots.iter().map(check)),
        ];
        rows.push(values.map(Into::into).to_vec());
    }
    Table { columns, rows }
}

/// Journal modes and strategies, in the order of the scenario.
fn order(results: &Results) -> Vec<(JournalMode, Strategy)> {
    let mut seen: BTreeMap<(usize, usize), (JournalMode, Strategy)> = BTreeMap::new();
    for group in groups(results) {
        for (place, mode) in group.modes().enumerate() {
            for trial in group.of_mode(mode) {
                let strategies = &results.scenario.snapshots.strategies;
                let strategy = strategies.iter().position(|strategy| *strategy == trial.strategy);
                seen.insert((place, strategy.unwrap_or(usize::MAX)), (mode, trial.strategy));
            }
        }
    }
    seen.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oracle::Verdict, results::samples};

    #[test]
    fn every_mode_and_strategy_has_one_row_of_all_its_snapshots() {
        let trial = |mode, strategy| samples::trial(mode, strategy);
        let mut torn = trial(JournalMode::Delete, Strategy::Cp);
        torn.snapshots = vec![samples::snapshot(Strategy::Cp, Verdict::Torn)];
        let results = samples::results(vec![
            trial(JournalMode::Wal, Strategy::VacuumInto),
            trial(JournalMode::Delete, Strategy::Cp),
            torn,
            trial(JournalMode::Wal, Strategy::None),
        ]);
        let table = table(&results);
        let values = |row: usize| table.rows[row][..4].iter().map(|cell| cell.value.clone()).collect::<Vec<_>>();
        let tally = Value::Tally(vec![(Value::text("exact"), 1), (Value::text("torn"), 1)]);
        let of = |mode: &str, strategy: &str| [Value::text(mode), Value::text(strategy)];
        assert_eq!(values(0), [&of("delete", "cp")[..], &[tally, Value::text("1 of 2 (1 to 99 %)")]].concat());
        let exact = [Value::text("exact"), Value::text("1 of 1 (at least 5 %)")];
        assert_eq!(values(1), [&of("wal", "vacuum-into")[..], &exact].concat());
        assert_eq!(table.rows.len(), 2, "the control takes no snapshot");
    }
}

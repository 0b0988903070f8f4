//! The verdicts by journal mode and strategy: what a README, an issue, a screen or a page begins with.

use std::collections::BTreeMap;

use super::{
    context::groups,
    figures::{Column, Table, Unit, Value},
    notes::Note,
    snapshots::short_answer,
    summary::share,
};
use crate::{
    analysis::{CostWindow, cost_windows},
    measure::Counts,
    oracle::Verdict,
    results::{Recorded, Results, SnapshotResult, TrialResult},
    snapshot::{Isolation, Strategy},
    sqlite::JournalMode,
    statistics,
};

/// All snapshots of a strategy under a journal mode, of all groups together.
pub struct Entry<'a> {
    /// The journal mode of the database.
    pub journal_mode: JournalMode,
    /// How they were taken.
    pub strategy: Strategy,
    /// The snapshots with their trials, in the order in which they ran; at least one.
    pub snapshots: Vec<(&'a TrialResult, &'a SnapshotResult)>,
    /// The longest wait of a client over the horizon of each snapshot, or over the snapshot where that took longer.
    pub waits: Vec<Wait>,
}

/// How long the client waited that waited longest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// So many microseconds.
    Us(u64),
    /// It never had its answer.
    NoAnswer,
}

impl Entry<'_> {
    /// Snapshots that were judged.
    pub fn judged(&self) -> u64 {
        self.verdicts().count() as u64
    }

    /// Snapshots that were exact.
    pub fn exact(&self) -> u64 {
        self.verdicts().filter(|verdict| verdict.is_exact()).count() as u64
    }

    /// The verdict that came most often among those that were not exact.
    pub fn bad(&self) -> Option<Verdict> {
        let mut times: BTreeMap<String, (usize, Verdict)> = BTreeMap::new();
        for verdict in self.verdicts().filter(|verdict| !verdict.is_exact()) {
            times.entry(verdict.to_string()).or_insert((0, verdict)).0 += 1;
        }
        times.into_values().max_by_key(|(times, _)| *times).map(|(_, verdict)| verdict)
    }

    /// Snapshots that were not exact although the strategy reported success and SQLite's check said ok.
    pub fn silent_failures(&self) -> usize {
        self.snapshots.iter().filter(|(_, snapshot)| snapshot.ruling.silent_failure).count()
    }

    /// The median of their durations, in seconds.
    pub fn duration_s(&self) -> Option<f64> {
        statistics::median(&self.snapshots.iter().map(|(_, snapshot)| snapshot.run.duration_s).collect::<Vec<_>>())
    }

    /// The median of the waits: of an even number the longer of the two in the middle.
    pub fn wait(&self) -> Option<Wait> {
        let mut waits = self.waits.clone();
        waits.sort_unstable();
        waits.get(waits.len() / 2).copied()
    }

    /// Whether nothing but luck makes one of them exact.
    pub fn is_unprotected(&self) -> bool {
        match self.strategy.definition().isolation {
            Isolation::Unprotected { .. } => true,
            Isolation::Isolated | Isolation::Unknown => false,
        }
    }

    fn verdicts(&self) -> impl Iterator<Item = Verdict> {
        self.snapshots.iter().filter_map(|(_, snapshot)| snapshot.ruling.verdict)
    }
}

/// All that took snapshots, in the order of the scenario.
pub fn entries(results: &Results) -> Vec<Entry<'_>> {
    let entry = |(journal_mode, strategy)| {
        let is_of_it = |trial: &&TrialResult| (trial.journal_mode, trial.strategy) == (journal_mode, strategy);
        let trials: Vec<_> = results.trials.iter().filter(is_of_it).collect();
        let mut snapshots = Vec::new();
        for trial in &trials {
            snapshots.extend(trial.snapshots.iter().map(|snapshot| (*trial, snapshot)));
        }
        let horizons = trials.iter().filter(|trial| !trial.snapshots.is_empty());
        let waits = horizons.flat_map(|trial| cost_windows(trial)).filter_map(|window| wait(&window)).collect();
        (!snapshots.is_empty()).then_some(Entry { journal_mode, strategy, snapshots, waits })
    };
    order(results).into_iter().filter_map(entry).collect()
}

/// Of a time in which anything was due.
fn wait(window: &CostWindow) -> Option<Wait> {
    let requests = || window.requests.iter().filter(|one| one.due > 0);
    let is_answered = |counts: &Counts| counts.served == counts.due();
    if !requests().all(|one| is_answered(&one.counts)) {
        return Some(Wait::NoAnswer);
    }
    requests().filter_map(|one| one.longest_us).max().map(Wait::Us)
}

/// What stands above [`table`].
pub fn note() -> Note {
    Note::new(
        "The copies, by strategy and journal mode",
        "\"exact\": how many were a state that the database was in, no older than the last commit acknowledged before the copy \
        began, and where the share of all such copies lies with 95 % confidence. \"stale\": such a state, but older. \"torn\": \
        structurally sound, and never a state of the database. \"corrupt\": index and table disagree, or SQLite reports damage. \
        \"unreadable\": SQLite cannot read it. \"unfinished\": the strategy failed, or was stopped at its deadline. \"by chance\": nothing keeps the next one from being stale or \
        torn. \"integrity_check\": what SQLite says of copies that were finished. \"longest wait\": the longest response time of a client over the horizon, or over the copy where that took longer; the horizon begins with the copy and is equally long for every \
        strategy. \"no answer\": one was not served in time, or not before the load ended.",
    )
}

/// One row for each of them.
pub fn table(results: &Results) -> Table {
    let mut columns: Vec<_> = ["journal mode", "copied with", "the copy is", "exact"].map(Column::words).to_vec();
    columns.push(Column::of("time", Unit::Seconds));
    columns.push(Column::of("commits meanwhile", Unit::One));
    columns.push(Column::of("longest wait", Unit::Milliseconds));
    columns.push(Column::words("integrity_check"));
    let row = |entry: &Entry<'_>| {
        let snapshots = || entry.snapshots.iter().map(|(_, snapshot)| *snapshot);
        let verdict = |snapshot: &SnapshotResult| match snapshot.ruling.verdict {
            None => Value::text("not judged"),
            Some(Verdict::Exact) if entry.is_unprotected() => Value::text("exact by chance"),
            Some(verdict) => Value::text(verdict.to_string()),
        };
        let check = |snapshot: &SnapshotResult| match (snapshot.ruling.verdict, &snapshot.ruling.integrity_check) {
            // What is left of it is no copy, whatever SQLite says of it.
            (Some(Verdict::Unfinished), _) | (_, None) => Value::NotApplicable,
            (_, Some(answer)) => Value::text(short_answer(answer)),
        };
        let (exact, judged) = (entry.exact(), entry.judged());
        let values = [
            Value::text(entry.journal_mode.to_string()),
            Value::text(entry.strategy.to_string()),
            Value::tally(snapshots().map(verdict)),
            Value::text(format!("{exact} of {judged} ({})", share(exact, judged))),
            Value::range(snapshots().map(|snapshot| snapshot.run.duration_s), Value::Duration),
            Value::counts(snapshots().map(SnapshotResult::commits_meanwhile), Value::Count),
            waits(entry),
            Value::tally(snapshots().map(check)),
        ];
        values.map(Into::into).to_vec()
    };
    Table { columns, rows: entries(results).iter().map(row).collect() }
}

/// From the least to the most.
fn waits(entry: &Entry<'_>) -> Value {
    let is_unknown = |(trial, _): &(&TrialResult, &SnapshotResult)| matches!(trial.horizons, Recorded::Unknown);
    if entry.snapshots.iter().any(is_unknown) {
        return Value::Unknown;
    }
    let value = |wait: &Wait| match wait {
        Wait::Us(us) => Value::Response(*us),
        Wait::NoAnswer => Value::NoAnswer,
    };
    match (entry.waits.iter().min(), entry.waits.iter().max()) {
        (Some(least), Some(most)) if least < most => Value::Range(value(least).into(), value(most).into()),
        (Some(one), _) => value(one),
        (None, _) => Value::NotApplicable,
    }
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
    use crate::results::{PhaseName, samples};

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
        let tally = Value::Tally(vec![(Value::text("exact by chance"), 1), (Value::text("torn"), 1)]);
        let of = |mode: &str, strategy: &str| [Value::text(mode), Value::text(strategy)];
        assert_eq!(values(0), [&of("delete", "cp")[..], &[tally, Value::text("1 of 2 (1 to 99 %)")]].concat());
        let exact = [Value::text("exact"), Value::text("1 of 1 (at least 5 %)")];
        assert_eq!(values(1), [&of("wal", "vacuum-into")[..], &exact].concat());
        assert_eq!(table.rows.len(), 2, "the control takes no snapshot");
    }

    #[test]
    fn the_longest_wait_is_that_of_all_of_the_copy() {
        let of_horizon = samples::trial(JournalMode::Wal, Strategy::VacuumInto);
        let of_horizon_us = of_horizon.horizons.entries()[0].window.operations[0].response.max_us.unwrap();
        for (duration_s, expected_us) in [(10.0, of_horizon_us), (10.5, 30_000_000)] {
            let mut trial = of_horizon.clone();
            let phase = trial.phases.iter_mut().find(|phase| phase.name == PhaseName::Snapshot).unwrap();
            phase.duration_s = duration_s;
            phase.operations[0].response.max_us = Some(30_000_000);
            let results = samples::results(vec![trial]);
            assert_eq!(
                entries(&results)[0].wait(),
                Some(Wait::Us(expected_us)),
                "{duration_s} s beside a horizon of 10 s"
            );
        }
    }
}

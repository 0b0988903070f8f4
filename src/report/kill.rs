//! What kills left of a database and of its copies, by journal mode, synchronous level and strategy.

use std::collections::BTreeMap;

use super::{
    figure_text::{count, number},
    figures::{Block, Cell, Column, Table, Unit, Value},
    notes::Note,
    of_tables,
};
use crate::{
    results::{KillResult, KilledCopies, Outcomes, Results, TrialResult},
    statistics::share_interval,
};

/// All trials of kills.
fn kills(results: &Results) -> impl Iterator<Item = (&TrialResult, &KillResult)> {
    results.trials.iter().filter_map(|trial| Some((trial, trial.kill.as_ref()?)))
}

/// What a reader who has to decide wants first.
pub fn sentences(results: &Results) -> Vec<String> {
    let all = kills(results).map(|(_, kill)| kill.database).fold(Outcomes::default(), |sum, one| sum.plus(&one));
    if all.images == 0 {
        return Vec::new();
    }
    let harmed = all.lost.saturating_add(all.damaged());
    let most = number(share_interval(harmed, all.images).high * 100.0);
    let of = count(all.images as f64);
    let mut sentences = vec![match harmed {
        0 => format!(
            "Of {of} kills of the process that commits, none lost a commit that a client knew of, and none left a torn or damaged \
            database (at most {most} % of such kills, with 95 % confidence)."
        ),
        harmed => format!(
            "Of {of} kills of the process that commits, {} lost commits or left a torn or damaged database.",
            count(harmed as f64)
        ),
    }];
    let mut by_strategy: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for (trial, kill) in kills(results) {
        if let Some(copies) = &kill.copies {
            let (exact, finished) = by_strategy.entry(trial.strategy.to_string()).or_default();
            (*exact, *finished) = (exact.saturating_add(copies.exact), finished.saturating_add(copies.finished));
        }
    }
    let copies: Vec<_> =
        by_strategy.iter().map(|(name, (exact, finished))| format!("{name} {exact} of {finished}")).collect();
    if !copies.is_empty() {
        sentences.push(format!("Exact copies of those that were said to be well: {}.", copies.join(", ")));
    }
    sentences
}

/// The tables, where kills were asked for.
pub fn blocks(results: &Results) -> Vec<Block> {
    let has_any = kills(results).next().is_some();
    let heading = has_any.then(|| Block::Heading(2, "What a kill leaves".to_owned()));
    let tables = of_tables([(databases_note(), databases(results)), (copies_note(), copies(results))]);
    heading.into_iter().chain(tables).collect()
}

fn databases_note() -> Note {
    Note::new(
        "The database after each kill",
        "A process commits transactions until it is killed (SIGKILL) at some moment; SQLite has recovered what is left. \"kept\": every commit \
        that a client knew of is there. \"ahead\": and one more. \"lost\": one earlier state; \"torn\": no state that the database ever had. \
        \"lost or damaged at most\": with 95 % confidence no more of such kills lose or damage anything.",
    )
}

fn labels() -> Vec<Column> {
    ["mode", "synchronous", "strategy"].map(Column::words).into()
}

fn label(trial: &TrialResult) -> Vec<Value> {
    let names = [trial.journal_mode.to_string(), trial.synchronous.to_string(), trial.strategy.to_string()];
    names.map(Value::Text).into()
}

fn databases(results: &Results) -> Table {
    let mut columns = labels();
    let counts =
        ["kills", "in a transaction", "in a checkpoint", "kept", "ahead", "lost", "torn", "corrupt", "unreadable"];
    columns.extend(counts.map(|title| Column::of(title, Unit::One)));
    columns.push(Column::words("lost or damaged at most"));
    let row = |(trial, kill): (&TrialResult, &KillResult)| {
        let KillResult { kills, in_transaction, in_checkpoint, database, .. } = *kill;
        let Outcomes { kept, ahead, lost, torn, corrupt, unreadable, .. } = database;
        let most = share_interval(lost.saturating_add(database.damaged()), database.images).high * 100.0;
        let mut row = label(trial);
        row.extend(
            [kills, in_transaction, in_checkpoint, kept, ahead, lost, torn, corrupt, unreadable].map(Value::Count),
        );
        row.push(Value::Text(format!("{} %", number(most))));
        row.into_iter().map(Cell::from).collect()
    };
    Table { columns, rows: kills(results).map(row).collect() }
}

fn copies_note() -> Note {
    Note::new(
        "The copies that were taken meanwhile",
        "\"in a copy\": kills of the process that commits while the strategy copied. At every second kill the process that copies is killed, \
        too, unless it has ended. \"said well\": copies of which the strategy said so, and of these the exact, stale, torn and otherwise \
        damaged ones. \"killed\", \"failed\": those of which the process was killed, and those that failed by themselves; \"left exact\": of both, files \
        were left that hold a state which would pass.",
    )
}

fn copies(results: &Results) -> Table {
    let mut columns = labels();
    let counts =
        ["in a copy", "said well", "exact", "stale", "torn", "corrupt", "unreadable", "killed", "failed", "left exact"];
    columns.extend(counts.map(|title| Column::of(title, Unit::One)));
    columns.push(Column::words("because"));
    let rows = kills(results).filter_map(|(trial, kill)| {
        let KilledCopies { finished, exact, stale, torn, corrupt, unreadable, killed, failed, left_exact, errors } =
            kill.copies.as_ref()?;
        let mut row = label(trial);
        let counts = [finished, exact, stale, torn, corrupt, unreadable, killed, failed, left_exact];
        row.push(Value::Count(kill.in_copy));
        row.extend(counts.map(|count| Value::Count(*count)));
        row.push(if errors.is_empty() { Value::NotApplicable } else { Value::Text(errors.join("; ")) });
        Some(row.into_iter().map(Cell::from).collect())
    });
    Table { columns, rows: rows.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::{LossOutcome, samples},
        snapshot::Strategy,
        sqlite::JournalMode,
    };

    fn trial(strategy: Strategy, outcomes: &[LossOutcome], copies: Option<KilledCopies>) -> TrialResult {
        let mut trial = samples::trial(JournalMode::Wal, strategy);
        (trial.phases, trial.snapshots) = (Vec::new(), Vec::new());
        let mut kill = samples::kill();
        for outcome in outcomes {
            kill.database.add(*outcome);
        }
        kill.copies = copies;
        trial.kill = Some(kill);
        trial
    }

    #[test]
    fn what_was_lost_is_told_and_what_was_not_has_a_bound() {
        use LossOutcome::{Ahead, Kept, Lost};
        let copies = KilledCopies { finished: 3, exact: 2, stale: 1, killed: 1, ..KilledCopies::default() };
        let whole = samples::results(vec![
            trial(Strategy::None, &[Kept, Ahead], None),
            trial(Strategy::Cp, &[Kept], Some(copies)),
        ]);
        let found = sentences(&whole);
        assert!(found[0].starts_with("Of 3 kills of the process that commits, none lost"), "{found:?}");
        assert!(found[0].contains("at most 63.2 %"), "{found:?}");
        assert_eq!(found[1], "Exact copies of those that were said to be well: cp 2 of 3.");
        assert_eq!((databases(&whole).rows.len(), self::copies(&whole).rows.len()), (2, 1));
        let lossy = samples::results(vec![trial(Strategy::None, &[Kept, Lost(2)], None)]);
        assert_eq!(
            sentences(&lossy),
            ["Of 2 kills of the process that commits, 1 lost commits or left a torn or damaged database."]
        );
        let plain = samples::results(vec![samples::trial(JournalMode::Wal, Strategy::Cp)]);
        assert!(blocks(&plain).is_empty() && sentences(&plain).is_empty());
    }
}

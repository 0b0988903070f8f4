//! The report of two runs that are compared.

use super::{
    comparisons::{ratio, ratios},
    figures::{Block, Column, Table, Unit, Value},
};
use crate::{
    analysis::{RunChange, RunComparison, RunOutcome, SAME_MARGIN},
    scenario::Conditions,
    statistics::PAIRS_LEAST,
};

/// The verdict on the runs, and a row for each figure.
pub fn blocks(comparison: &RunComparison) -> Vec<Block> {
    let mut blocks = vec![
        Block::Heading(1, format!("journalbench compare: {}", words(comparison.outcome))),
        Block::Paragraph(explanation()),
    ];
    if comparison.changes.is_empty() {
        blocks.push(Block::Paragraph(
            "The runs have no trial and no figure in common that could be compared.".to_owned(),
        ));
    } else {
        blocks.push(Block::Table(table(comparison)));
    }
    blocks
}

fn words(outcome: RunOutcome) -> &'static str {
    match outcome {
        RunOutcome::NoRegression => "no regression",
        RunOutcome::Regression => "a regression",
        RunOutcome::Inconclusive => "inconclusive",
    }
}

fn explanation() -> String {
    format!(
        "A pair is the same trial of both runs. \"ratio\": the median of the pairs, new to base; above 1 is longer, and worse. \
        \"from\" and \"to\": where it lies with 95 % confidence, by the sign test; it takes {PAIRS_LEAST} pairs. \"noise\": nine of \
        ten pairs of neighbouring trials of one run, with the same strategy where the figure is of one, differ by a smaller factor. \"worse\": all of the interval lies above 1, and \
        the ratio beyond the noise. \"same\": all of it lies within a factor of {SAME_MARGIN}. \"corrected\": the same with intervals \
        that allow for the number of figures of the baseline; the runs differ where one of these is worse, and nothing follows \
        where a median of the baseline is inconclusive."
    )
}

fn table(comparison: &RunComparison) -> Table {
    let mut columns = vec![Column::words("mode"), Column::words("figure"), Column::of("pairs", Unit::One)];
    columns.extend(["ratio", "from", "to", "noise"].map(|title| Column::of(title, Unit::One)));
    columns.extend(["outcome", "corrected"].map(Column::words));
    let several_rates = comparison.changes.iter().any(|row| rate(row) != rate(&comparison.changes[0]));
    let row = |row: &RunChange| {
        let mode =
            if several_rates { format!("{} {}", row.journal_mode, rate(row)) } else { row.journal_mode.to_string() };
        let corrected = row.corrected.map_or(Value::NotApplicable, |outcome| Value::text(outcome.to_string()));
        let mut cells = vec![Value::text(mode).into(), Value::text(row.subject.to_string()).into()];
        cells.push(Value::Count(row.change.pairs).into());
        cells.extend(ratios(&row.change).map(|value| ratio(value).into()));
        cells.push(Value::text(row.change.outcome.to_string()).into());
        cells.push(corrected.into());
        cells
    };
    Table { columns, rows: comparison.changes.iter().map(row).collect() }
}

/// What tells groups of trials apart, in words.
fn rate(row: &RunChange) -> String {
    let Conditions { synchronous, offered_rate_ops, .. } = row.conditions;
    let rate = offered_rate_ops.map_or_else(|| "load".to_owned(), |rate| rate.to_string());
    format!("{synchronous}, {rate}/s{}", row.conditions.others(", "))
}

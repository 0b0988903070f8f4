//! The table of a report that compares journal modes, pair by pair.

use super::{
    context::Group,
    figures::{Column, Table, Unit, Value},
    notes::Note,
};
use crate::{
    analysis::SAME_MARGIN,
    results::{Change, Comparison, Results},
    statistics::PAIRS_LEAST,
};

/// What stands above [`table`].
pub fn note() -> Note {
    Note::new(
        "The journal modes, pair by pair",
        &format!(
            "A pair is two trials that differ in nothing but the journal mode and ran next to each other, every second time in the \
            other order. \"ratio\": the median of the pairs, the second mode to the first; below 1 is shorter. \"from\" and \"to\": \
            where it lies with 95 % confidence, by the sign test; it takes {PAIRS_LEAST} pairs. \"noise\": nine of ten pairs of \
            trials under one and the same mode, and with the same strategy where the figure is of one, differ by a smaller factor. \"better\" and \"worse\": all of the interval lies on one \
            side of 1, and the ratio beyond the noise. \"same\": all of it lies within a factor of {SAME_MARGIN}."
        ),
    )
}

/// Every figure that was compared in the group.
pub fn table(group: &Group<'_>, results: &Results) -> Table {
    let is_of_it = |one: &&Comparison| group.has(one);
    of(&results.comparisons.entries().iter().filter(is_of_it).collect::<Vec<_>>())
}

/// A row for each of these.
pub fn of(comparisons: &[&Comparison]) -> Table {
    let mut columns = vec![Column::words("modes"), Column::words("figure"), Column::of("pairs", Unit::One)];
    columns.extend(["ratio", "from", "to", "noise"].map(|title| Column::of(title, Unit::One)));
    columns.push(Column::words("outcome"));
    let row = |one: &&Comparison| {
        let mut values = vec![
            Value::text(format!("{} to {}", one.base, one.new)),
            Value::text(one.subject.to_string()),
            Value::Count(one.change.pairs),
        ];
        values.extend(ratios(&one.change).map(ratio));
        values.push(Value::text(one.change.outcome.to_string()));
        values.into_iter().map(Into::into).collect()
    };
    Table { columns, rows: comparisons.iter().map(row).collect() }
}

/// The ratio, its interval and the noise floor.
pub fn ratios(change: &Change) -> [Option<f64>; 4] {
    let interval = change.interval;
    [change.ratio, interval.map(|interval| interval.low), interval.map(|interval| interval.high), change.noise_floor]
}

/// A factor, where there is one.
pub fn ratio(factor: Option<f64>) -> Value {
    factor.map_or(Value::NotApplicable, Value::Ratio)
}

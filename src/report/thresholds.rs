//! The thresholds of the scenario, and whether they were kept: a row for each.

use super::{
    figure_text::{count, range},
    figures::{Block, Cell, Column, Table, Unit, Value},
    notes::Note,
};
use crate::results::{Results, ThresholdInterval, ThresholdResult};

fn note() -> Note {
    Note::new(
        "Whether the thresholds were kept",
        "The value is that of the side with figures, in their unit, or the left side less the right one where both have some. Of \
        figures that are measured it is the median over blocks of trials that differ in their journal mode only; it is held, or \
        broken, where all of the 95 % interval of that median is. \"-\": there is none.",
    )
}

/// The section, where the scenario has thresholds.
pub fn section(results: &Results) -> Vec<Block> {
    let rows: Vec<_> = results.worst_thresholds().map(row).collect();
    if rows.is_empty() {
        return Vec::new();
    }
    let columns = vec![
        Column::words("threshold"),
        Column::of("value", Unit::One),
        Column::of("limit", Unit::One),
        Column::of("95 % interval", Unit::One),
        Column::words("it is"),
        Column::words("because"),
    ];
    let heading = Block::Heading(2, "Thresholds".to_owned());
    vec![heading, Block::Note(note()), Block::Table(Table { columns, rows })]
}

/// A threshold in a line, for where there is no table: `groups` are all of its results, the worst first.
pub(crate) fn sentence(groups: &[ThresholdResult]) -> Option<String> {
    let worst = groups.first()?;
    Some(format!(
        "threshold {}: {}: value {}, limit {}, 95 % interval {}: {}",
        worst.outcome(),
        worst.expression,
        value(worst.value),
        worst.limit,
        interval(worst.interval),
        because(worst, groups.len())
    ))
}

fn row(groups: &[ThresholdResult]) -> Vec<Cell> {
    let Some(worst) = groups.first() else { return Vec::new() };
    let texts = [
        worst.expression.clone(),
        value(worst.value),
        worst.limit.to_string(),
        interval(worst.interval),
        worst.outcome().to_string(),
        because(worst, groups.len()),
    ];
    texts.map(|text| Value::Text(text).into()).to_vec()
}

fn value(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), figure)
}

fn interval(interval: Option<ThresholdInterval>) -> String {
    let bound = |bound: Option<f64>| bound.map_or_else(|| "no answer".to_owned(), figure);
    interval.map_or_else(|| "-".to_owned(), |interval| range(&bound(interval.low), &bound(interval.high)))
}

fn because(worst: &ThresholdResult, groups: usize) -> String {
    match (&worst.group, groups) {
        (None, _) => worst.because.clone(),
        (Some(group), 1) => format!("{group}: {}", worst.because),
        (Some(group), groups) => format!("{group}, the worst of {groups}: {}", worst.because),
    }
}

/// Four digits, however small: a share of a thousandth may be what a threshold is about.
fn figure(value: f64) -> String {
    if value.abs() >= 1_000.0 {
        let sign = if value < 0.0 { "-" } else { "" };
        return format!("{sign}{}", count(value.abs()));
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    #[expect(clippy::cast_possible_truncation, reason = "the logarithm of any number is below 400")]
    let digits_before = value.abs().log10().floor() as i32;
    let decimals = usize::try_from(3 - digits_before).unwrap_or(0).min(12);
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        report::{self, Format},
        results::{Recorded, samples},
    };

    fn of(held: Option<bool>, group: Option<&str>) -> ThresholdResult {
        ThresholdResult {
            expression: "wal.commit.service.p99_us < 5000".to_owned(),
            group: group.map(str::to_owned),
            value: Some(7_123.4),
            limit: 5_000.0,
            interval: Some(ThresholdInterval { low: Some(6_000.0), high: None }),
            held,
            because: "all of the interval breaks the limit; 8 blocks of trials".to_owned(),
        }
    }

    #[test]
    fn figures_have_four_digits_however_small() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.5, "0.5"),
            (0.000_312_34, "0.0003123"),
            (-0.731_24, "-0.7312"),
            (12.345, "12.35"),
            (999.96, "1000"),
            (1_000.4, "1,000"),
            (-54_321.0, "-54,321"),
            (1e-14, "0"),
        ] {
            assert_eq!(figure(value), text, "{value}");
        }
    }

    #[test]
    fn each_threshold_has_a_row_of_its_worst_group_in_both_formats() {
        let mut results = samples::results(Vec::new());
        assert!(section(&results).is_empty(), "there are none");
        results.thresholds = Recorded::Unknown;
        assert!(section(&results).is_empty(), "an older file");
        let other = ThresholdResult {
            expression: "silent_failures <= 0".to_owned(),
            value: None,
            limit: 0.0,
            interval: None,
            because: "only 1 of 4 trials were run".to_owned(),
            ..of(None, None)
        };
        results.thresholds = vec![of(Some(false), Some("8000 operations a second")), of(None, Some("x")), other].into();
        for report in [report::render_details(&results), report::render(&results, Format::Markdown)] {
            let words: Vec<_> = report.split_whitespace().filter(|word| *word != "|").collect();
            let words = words.join(" ").replace('\\', "");
            for expected in ["Thresholds", "7,123 5000 6,000 to no answer broken", "- 0 - inconclusive"] {
                assert!(words.contains(expected), "{expected} in {report}");
            }
        }
        let sentences: Vec<_> = results.worst_thresholds().filter_map(sentence).collect();
        let broken = "threshold broken: wal.commit.service.p99_us < 5000: value 7,123, limit 5000, 95 % interval 6,000 to no \
            answer: 8000 operations a second, the worst of 2: all of the interval breaks the limit; 8 blocks of trials";
        let unknown = "threshold inconclusive: silent_failures <= 0: value -, limit 0, 95 % interval -: only 1 of 4 trials were run";
        assert_eq!(sentences, [broken, unknown]);
    }
}

//! The report as a long table in CSV, for programs: one row a figure.
//!
//! What a file does not say has no row. A figure that there is none of (a percentile that falls among operations without an answer,
//! the sync of what was not synced) has the value `none`. `docs/formats.md` lists the columns.

use csv::Writer;

use super::listing::{self, Entry, Of, Unit, Value};
use crate::{measure::Percentile, results::Results};

const COLUMNS: [&str; 13] = [
    "trial",
    "journal_mode",
    "synchronous",
    "strategy",
    "repetition",
    "offered_rate_ops",
    "announce_connections",
    "completed_rate_ops",
    "part",
    "kind",
    "figure",
    "value",
    "unit",
];

/// Renders every figure of every trial.
#[must_use]
pub fn render(results: &Results) -> String {
    // Writing to memory fails for no row that is as long as the first.
    table(results).unwrap_or_default()
}

fn table(results: &Results) -> Option<String> {
    let mut table = Writer::from_writer(Vec::new());
    table.write_record(COLUMNS).ok()?;
    for trial in &results.trials {
        let labels = [
            trial.id.clone(),
            trial.journal_mode.to_string(),
            trial.synchronous.to_string(),
            trial.strategy.to_string(),
            trial.repetition.to_string(),
            trial.offered_rate_ops.map(|rate| rate.to_string()).unwrap_or_default(),
            trial.announce_connections.found().map(ToString::to_string).unwrap_or_default(),
            trial.completed_rate_ops.map(|rate| rate.to_string()).unwrap_or_default(),
        ];
        for entry in listing::of_trial(trial).into_iter().chain(listing::over_time(trial)) {
            let cells = [
                entry.part.clone(),
                entry.kind.map(|kind| kind.to_string()).unwrap_or_default(),
                figure(&entry),
                value(&entry.value),
                unit(entry.unit).to_owned(),
            ];
            table.write_record(labels.iter().chain(&cells)).ok()?;
        }
    }
    String::from_utf8(table.into_inner().ok()?).ok()
}

/// The name of a figure, with which of several it is.
fn figure(entry: &Entry) -> String {
    let name = entry.name;
    match &entry.of {
        Of::One => name.to_owned(),
        Of::Percentile(Percentile::P50) => format!("{name}_p50"),
        Of::Percentile(Percentile::P90) => format!("{name}_p90"),
        Of::Percentile(Percentile::P99) => format!("{name}_p99"),
        Of::Percentile(Percentile::P999) => format!("{name}_p999"),
        Of::Percentile(Percentile::Max) => format!("{name}_max"),
        Of::Named(of) => format!("{name}_{of}"),
    }
}

/// Numbers as the JSON has them: all digits, and no exponent.
fn value(value: &Value) -> String {
    match value {
        Value::Count(count) => count.to_string(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Word(word) => word.clone(),
        Value::NoAnswer | Value::None => "none".to_owned(),
        // These are not listed.
        Value::Unknown => String::new(),
    }
}

fn unit(unit: Unit) -> &'static str {
    match unit {
        Unit::Microseconds => "us",
        Unit::Seconds => "s",
        Unit::Bytes => "bytes",
        Unit::PerSecond => "1/s",
        Unit::One => "1",
        Unit::Word => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::{CopyCourse, Recorded, samples},
        snapshot::Strategy,
        sqlite::JournalMode,
    };

    /// The rows of a part and a kind of operation, without what says which trial they are of.
    fn rows(text: &str, part: &str, kind: &str) -> Vec<[String; 3]> {
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let rows = reader.records().map(Result::unwrap);
        let of_part = rows.filter(|row| &row[8] == part && &row[9] == kind);
        of_part.map(|row| [10, 11, 12].map(|column| row[column].to_owned())).collect()
    }

    #[test]
    fn a_figure_is_a_row_and_none_is_said_and_unknown_is_not() {
        let mut trial = samples::trial(JournalMode::Wal, Strategy::Cp);
        let scrape = trial.phases[0].operations.iter_mut().find(|operation| operation.due > 0).unwrap();
        let kind = scrape.kind.to_string();
        (scrape.response.p99_us, scrape.response.p999_us, scrape.due) = (None, None, 9_999);
        scrape.service.p99_us = None;
        trial.snapshots[0].run.sync_s = Recorded::Known(None);
        trial.snapshots[0].run.late_s = Recorded::Unknown;
        trial.snapshots[0].progress = CopyCourse { restarts: None, ..CopyCourse::default() };
        let text = render(&samples::results(vec![trial]));
        assert!(text.starts_with("trial,journal_mode,synchronous,strategy,repetition,offered_rate_ops,"), "{text}");
        assert!(text.contains("\nwal-full-1000-cp-1,wal,full,cp,1,1000,1,,trial,,status,completed,\n"), "{text}");
        let operations = rows(&text, "baseline", &kind);
        let value = |rows: &[[String; 3]], figure: &str| {
            let found = rows.iter().find(|row| row[0] == figure);
            found.map(|[_, value, unit]| format!("{value} {unit}"))
        };
        assert_eq!(value(&operations, "due").as_deref(), Some("9999 1"));
        assert_eq!(value(&operations, "response_p99").as_deref(), Some("none us"));
        assert_eq!(value(&operations, "response_p999"), None, "of too few");
        assert_eq!(value(&operations, "service_p99"), None, "nothing was begun");
        let snapshot = rows(&text, "snapshot", "");
        assert_eq!(value(&snapshot, "verdict").as_deref(), Some("exact "));
        assert_eq!(value(&snapshot, "copy_sync").as_deref(), Some("none s"));
        assert_eq!(value(&snapshot, "copy_late"), None);
        assert_eq!(value(&snapshot, "restarts"), None);
        assert!(value(&snapshot, "commits").is_some(), "the phase is of the same part");
    }

    #[test]
    fn what_repeats_has_a_number() {
        let mut trial = samples::trial(JournalMode::Wal, Strategy::Cp);
        let (phase, snapshot) = (trial.phases[1].clone(), trial.snapshots[0].clone());
        trial.phases.push(phase);
        trial.snapshots.push(snapshot);
        let text = render(&samples::results(vec![trial]));
        for part in ["baseline", "snapshot 1", "snapshot 2", "recovery"] {
            assert!(!rows(&text, part, "").is_empty(), "{part}");
        }
        assert!(rows(&text, "snapshot", "").is_empty());
        assert_eq!(rows(&text, "snapshot 1", ""), rows(&text, "snapshot 2", ""));
    }
}

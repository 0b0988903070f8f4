//! The report for a program that follows benchmarks over time: the list that `github-action-benchmark` and others take, of
//! figures of which a smaller one is better (`customSmallerIsBetter`).

use serde::Serialize;

use crate::{analysis, results::Results};

/// A figure of the baseline under a journal mode.
#[derive(Serialize)]
struct Entry {
    name: String,
    unit: &'static str,
    /// The median of the trials.
    value: f64,
    /// From the least of the trials to the most.
    range: String,
    extra: String,
}

/// Renders the figures of the baselines as JSON.
#[must_use]
pub fn render(results: &Results) -> String {
    let entries: Vec<Entry> = analysis::baseline_times(results)
        .into_iter()
        .map(|figure| Entry {
            name: figure.name,
            unit: "us",
            value: figure.median_us,
            range: format!("{:.0} to {:.0}", figure.least_us, figure.most_us),
            extra: format!("{} trials", figure.trials),
        })
        .collect();
    // Strings and finite numbers always become JSON.
    serde_json::to_string_pretty(&entries).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{results::samples, snapshot::Strategy, sqlite::JournalMode};

    #[test]
    fn every_figure_of_a_baseline_is_the_median_of_its_trials() {
        let mut trials: Vec<_> = (0..3).map(|_| samples::trial(JournalMode::Wal, Strategy::None)).collect();
        for (trial, time_us) in trials.iter_mut().zip([300, 100, 200]) {
            for operation in &mut trial.phases[0].operations {
                operation.service.p50_us = Some(time_us);
            }
        }
        let entries: serde_json::Value = serde_json::from_str(&render(&samples::results(trials))).unwrap();
        let expected = serde_json::json!({
            "name": "wal, synchronous full, 1000 operations a second: commit service p50",
            "unit": "us",
            "value": 200.0,
            "range": "100 to 300",
            "extra": "3 trials",
        });
        assert_eq!(entries[0], expected);
        assert_eq!(entries.as_array().unwrap().len(), 12, "three kinds, four figures");
    }
}

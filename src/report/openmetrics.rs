//! The report in the text format of `OpenMetrics` 1.0, for Prometheus: gauges in seconds and bytes, one a figure.
//!
//! A word is a gauge of 1 with the word as its label `value`. A percentile that falls among operations without an answer is
//! later than every time: infinite. A figure that there is none of has no sample. What a trial says of each of its seconds is left
//! out: a scrape is an instant.

use std::{collections::HashMap, fmt};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _, text},
    metrics::{MetricType, gauge::ConstGauge},
    registry::{self, Registry},
};

use super::listing::{self, Entry, Of, Unit, Value};
use crate::results::{Results, TrialResult};

/// The figures of one name.
#[derive(Debug)]
struct Family {
    name: &'static str,
    unit: Option<registry::Unit>,
    help: &'static str,
    samples: Vec<(Labels, f64)>,
}

type Labels = Vec<(&'static str, String)>;

/// All figures, by name in the order in which the names come up.
#[derive(Debug, Default)]
struct Families {
    all: Vec<Family>,
    by_name: HashMap<&'static str, usize>,
}

/// Renders the figures of every trial.
#[must_use]
pub fn render(results: &Results) -> String {
    let mut families = Families::default();
    for trial in &results.trials {
        for entry in listing::of_trial(trial) {
            families.add(&results.scenario.name, trial, entry);
        }
    }
    let mut registry = Registry::with_prefix("journalbench");
    registry.register_collector(Box::new(families));
    let mut page = String::new();
    // Writing to memory does not fail.
    if text::encode(&mut page, &registry).is_err() { String::new() } else { page }
}

impl Families {
    fn add(&mut self, scenario: &str, trial: &TrialResult, entry: Entry) {
        let Some(value) = number(&entry) else { return };
        let mut labels = vec![
            ("scenario", scenario.to_owned()),
            ("trial", trial.id.clone()),
            ("journal_mode", trial.journal_mode.to_string()),
            ("synchronous", trial.synchronous.to_string()),
            ("strategy", trial.strategy.to_string()),
            ("part", entry.part),
        ];
        labels.extend(entry.kind.map(|kind| ("kind", kind.to_string())));
        match entry.of {
            Of::One => {}
            Of::Percentile(percentile) => labels.push(("quantile", percentile.quantile().to_string())),
            Of::Named(of) => labels.push(("of", of)),
        }
        if let Value::Word(word) = entry.value {
            labels.push(("value", word));
        }
        let place = *self.by_name.entry(entry.name).or_insert_with(|| {
            self.all.push(Family { name: entry.name, unit: unit(entry.unit), help: entry.help, samples: Vec::new() });
            self.all.len() - 1
        });
        self.all[place].samples.push((labels, value));
    }
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Family { name, unit, help, samples } in &self.all {
            let mut family = encoder.encode_descriptor(name, &format!("{help}."), unit.as_ref(), MetricType::Gauge)?;
            for (labels, value) in samples {
                ConstGauge::new(*value).encode(family.encode_family(labels)?)?;
            }
        }
        Ok(())
    }
}

/// The value in base units; `None` where there is none.
fn number(entry: &Entry) -> Option<f64> {
    let number = match entry.value {
        Value::Count(count) => count as f64,
        Value::Integer(number) => number as f64,
        Value::Real(number) => number,
        Value::Word(_) => 1.0,
        Value::NoAnswer => f64::INFINITY,
        Value::None | Value::Unknown => return None,
    };
    Some(match entry.unit {
        Unit::Microseconds => number / 1e6,
        Unit::Seconds | Unit::Bytes | Unit::PerSecond | Unit::One | Unit::Word => number,
    })
}

fn unit(unit: Unit) -> Option<registry::Unit> {
    match unit {
        Unit::Microseconds | Unit::Seconds => Some(registry::Unit::Seconds),
        Unit::Bytes => Some(registry::Unit::Bytes),
        Unit::PerSecond => Some(registry::Unit::Other("per_second".to_owned())),
        Unit::One | Unit::Word => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{results::samples, snapshot::Strategy, sqlite::JournalMode};

    #[test]
    fn figures_are_gauges_in_base_units() {
        let mut trial = samples::trial(JournalMode::Wal, Strategy::Cp);
        let operation = &mut trial.phases[0].operations[0];
        (operation.response.p50_us, operation.response.p99_us) = (Some(1_500), None);
        trial.id = "a \"trial\"\\\n".to_owned();
        let text = render(&samples::results(vec![trial]));
        let of = r#"{scenario="sample",trial="a \"trial\"\\\n",journal_mode="wal",synchronous="full",strategy="cp","#;
        for line in [
            "# HELP journalbench_response_seconds Time from when an operation was due to its end.".to_owned(),
            "# TYPE journalbench_response_seconds gauge".to_owned(),
            "# UNIT journalbench_response_seconds seconds".to_owned(),
            format!(r#"journalbench_response_seconds{of}part="baseline",kind="announce",quantile="0.5"}} 0.0015"#),
            format!(r#"journalbench_response_seconds{of}part="baseline",kind="announce",quantile="0.99"}} inf"#),
            format!(r#"journalbench_verdict{of}part="snapshot",value="exact"}} 1.0"#),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n"));
    }
}

//! What a run found of one kind of operation in one phase.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{Distribution, Lateness, Recorded};
use crate::measure::{Counts, KindTally, OperationFailure, OperationKind, Percentile};

/// What was measured of one kind of operation in one phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct OperationResult {
    /// Which. Every operation is an announce or a scrape; some announces are a commit or a read as well.
    pub kind: OperationKind,
    /// Operations that were due: the sum of the next five.
    pub due: u64,
    /// How they ended.
    #[serde(flatten)]
    pub counts: Counts,
    /// Writes that were given up although the client was answered as if all were well.
    pub lost_writes: u64,
    /// Whether the generator's own lateness is over a tenth of the response time, at the 99th percentile.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub generator_bound: Recorded<bool>,
    /// Why operations failed.
    #[schemars(schema_with = "failures_schema")]
    pub failures: BTreeMap<OperationFailure, u64>,
    /// Where the 99th percentile of this phase lies among windows of the baseline that are as long as it; only for the
    /// time of a snapshot.
    pub placement: Option<Placement>,
    /// Response times; percentiles rank over everything due.
    pub response: Distribution,
    /// Service times of the operations that were begun.
    pub service: Distribution,
    /// How late the load generator was, its own part of the response time: how late idle workers woke; over a network, how late each
    /// request was sent.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub lag: Recorded<Distribution>,
    /// How many were late, and what that cost their clients.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub lateness: Recorded<Lateness>,
}

/// The 99th percentiles of the response time in windows of the baseline, to compare a phase of the same length with. Of a
/// window, `None` is later than every time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Placement {
    /// Length of a window, and of the phase.
    pub window_s: f64,
    /// Windows that the baseline was cut into.
    pub windows: u64,
    /// The smallest of their 99th percentiles.
    pub p99_least_us: Option<u64>,
    /// Their median.
    pub p99_median_us: Option<u64>,
    /// The largest of them.
    pub p99_most_us: Option<u64>,
    /// Windows whose 99th percentile is below the phase's.
    pub windows_below: u64,
}

impl OperationResult {
    /// What a tally says of one kind.
    #[must_use]
    pub fn new(kind: OperationKind, tally: &KindTally) -> Self {
        let counts = tally.counts;
        let response = Distribution::new(&tally.response, counts.due());
        let lag = Distribution::new(&tally.lag, tally.lag.len());
        Self {
            kind,
            due: counts.due(),
            counts,
            lost_writes: tally.lost_writes,
            generator_bound: is_over_a_tenth(lag.p99_us, response.p99_us).into(),
            failures: tally.failures.clone(),
            placement: None,
            response,
            service: Distribution::new(&tally.service, tally.service.len()),
            lag: lag.into(),
            lateness: Recorded::Unknown,
        }
    }

    /// A percentile of the response time, in microseconds; nothing of fewer operations than `least`. One that was not answered took at
    /// least `timeout_us`.
    #[must_use]
    pub fn response_us(&self, percentile: Percentile, least: u64, timeout_us: u64) -> Option<u64> {
        (self.due >= least.max(1)).then(|| self.response.get(percentile).unwrap_or(timeout_us))
    }

    /// Whether the generator's own lateness is over a tenth of the response time at a percentile, as far as the file says.
    #[must_use]
    pub fn is_generator_bound(&self, percentile: Percentile) -> Recorded<bool> {
        match &self.lag {
            Recorded::Known(lag) => is_over_a_tenth(lag.get(percentile), self.response.get(percentile)).into(),
            // An early file says it of one percentile.
            Recorded::Unknown if percentile == Percentile::P99 => self.generator_bound,
            Recorded::Unknown => Recorded::Unknown,
        }
    }
}

/// Names of failures with counts. What the library makes of a map knows no names that have words of their own.
fn failures_schema(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "propertyNames": generator.subschema_for::<OperationFailure>(),
        "additionalProperties": generator.subschema_for::<u64>(),
    })
}

fn is_over_a_tenth(lag_us: Option<u64>, response_us: Option<u64>) -> bool {
    lag_us.zip(response_us).is_some_and(|(lag_us, response_us)| lag_us.saturating_mul(10) > response_us)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::record;

    #[test]
    fn the_generator_binds_where_its_lag_is_over_a_tenth() {
        use Percentile::{P50, P99};
        for (lag, response, percentile, is_bound) in [
            (&[100][..], &[1_000][..], P99, false),
            (&[101], &[1_000], P99, true),
            (&[], &[1_000], P99, false),
            (&[100], &[], P99, false),
            (&[10, 900], &[50, 10_000], P50, true),
            (&[10, 900], &[50, 10_000], P99, false),
            (&[1, 2_000], &[50, 10_000], P50, false),
            (&[1, 2_000], &[50, 10_000], P99, true),
        ] {
            let mut tally = KindTally::default();
            for (times_us, histogram) in [(lag, &mut tally.lag), (response, &mut tally.response)] {
                for time_us in times_us {
                    record(histogram, *time_us);
                }
            }
            tally.counts.served = response.len() as u64;
            let result = OperationResult::new(OperationKind::Read, &tally);
            let words = format!("{percentile} of {lag:?} and {response:?}");
            assert_eq!(result.is_generator_bound(percentile), Recorded::Known(is_bound), "{words}");
            let early = OperationResult { lag: Recorded::Unknown, ..result.clone() };
            assert_eq!(early.is_generator_bound(P99), result.generator_bound, "{words}");
            assert_eq!(early.is_generator_bound(P50), Recorded::Unknown, "{words}");
        }
    }
}

//! How two journal modes, or two runs, compare: the ratio of a figure, pair by pair, and how sure that is.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{OperationResult, PhaseName};
use crate::{
    measure::{OperationKind, Percentile},
    scenario::Conditions,
    snapshot::Strategy,
    sqlite::JournalMode,
    statistics::Interval,
};

/// A figure under two journal modes of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Comparison {
    /// The mode that is compared with.
    pub base: JournalMode,
    /// The mode that is compared.
    pub new: JournalMode,
    /// What both have in common.
    #[serde(flatten)]
    pub conditions: Conditions,
    /// What is compared.
    #[serde(flatten)]
    pub subject: Subject,
    /// How it came out.
    #[serde(flatten)]
    pub change: Change,
}

/// What is compared: a figure of one kind of operation in one phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    /// The phase.
    pub phase: PhaseName,
    /// The strategy whose snapshots are taken in it; `None` of the baseline, which is the same for all.
    pub strategy: Option<Strategy>,
    /// The kind.
    pub kind: OperationKind,
    /// The figure.
    pub figure: Figure,
}

/// A time of operations, at a percentile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Figure {
    /// Median service time.
    #[serde(rename = "service.p50_us")]
    ServiceP50,
    /// 99th percentile of the service time.
    #[serde(rename = "service.p99_us")]
    ServiceP99,
    /// Median response time.
    #[serde(rename = "response.p50_us")]
    ResponseP50,
    /// 99th percentile of the response time.
    #[serde(rename = "response.p99_us")]
    ResponseP99,
}

/// How a figure changed, pair by pair.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Pairs of trials that have the figure.
    pub pairs: u64,
    /// The median of the ratios, new to base; below 1 is shorter. `None` without a pair.
    pub ratio: Option<f64>,
    /// Where that lies with 95 % confidence, by the order statistics of the pairs; `None` of fewer than six.
    pub interval: Option<Interval>,
    /// What trials under one and the same mode differ by: nine of ten neighbours have a ratio of less, either way. `None` where
    /// the run has no such trials.
    pub noise_floor: Option<f64>,
    /// What follows.
    pub outcome: Outcome,
}

/// What follows from a change. All figures are times, of which less is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The interval lies below 1, and the ratio beyond the noise floor.
    Better,
    /// The interval lies above 1, and the ratio beyond the noise floor.
    Worse,
    /// The interval lies within the margin of what counts as the same.
    Same,
    /// None of these, or too few pairs.
    Inconclusive,
}

impl Figure {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::ServiceP50, Self::ServiceP99, Self::ResponseP50, Self::ResponseP99];

    /// Its percentile.
    #[must_use]
    pub fn percentile(self) -> Percentile {
        match self {
            Self::ServiceP50 | Self::ResponseP50 => Percentile::P50,
            Self::ServiceP99 | Self::ResponseP99 => Percentile::P99,
        }
    }

    /// Whether it is a time that clients wait, and not only a part of one.
    #[must_use]
    pub fn is_felt(self) -> bool {
        match self {
            Self::ResponseP50 | Self::ResponseP99 => true,
            Self::ServiceP50 | Self::ServiceP99 => false,
        }
    }

    /// Whether it is of the slowest operations.
    #[must_use]
    pub fn is_tail(self) -> bool {
        match self {
            Self::ServiceP99 | Self::ResponseP99 => true,
            Self::ServiceP50 | Self::ResponseP50 => false,
        }
    }

    /// The same percentile of the service time.
    #[must_use]
    pub fn of_service(self) -> Self {
        if self.is_tail() { Self::ServiceP99 } else { Self::ServiceP50 }
    }

    /// Its value in microseconds; nothing of too few operations. One that was not answered took at least `timeout_us`.
    #[must_use]
    pub fn value_us(self, operation: &OperationResult, timeout_us: u64) -> Option<u64> {
        let percentile = self.percentile();
        match self {
            Self::ServiceP50 | Self::ServiceP99 => {
                // Those that were never begun have no service time.
                let begun = operation.due - operation.counts.dropped.min(operation.due);
                operation.service.get(percentile).filter(|_| begun >= percentile.least())
            }
            Self::ResponseP50 | Self::ResponseP99 => operation.response_us(percentile, percentile.least(), timeout_us),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ServiceP50 => "service p50",
            Self::ServiceP99 => "service p99",
            Self::ResponseP50 => "response p50",
            Self::ResponseP99 => "response p99",
        })
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.figure)?;
        match self.strategy {
            None => write!(f, " ({})", self.phase),
            Some(strategy) => write!(f, " ({} of {strategy})", self.phase),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Same => "same",
            Self::Inconclusive => "inconclusive",
        })
    }
}

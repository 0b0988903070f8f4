//! What became of a threshold.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What became of a threshold of the scenario; where its figures are of trials or of snapshots, in one of the groups that have
/// the same offered rate and the same `synchronous`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThresholdResult {
    /// As the scenario says it.
    pub expression: String,
    /// The group, where there are several. Those of one expression stand one after the other, the worst first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// What was compared, in the unit of its figures: of measured figures, the median over blocks of trials that differ in
    /// their journal mode only. `None` where it is unknown, and where it is later than every time: [`Self::because`] says
    /// which.
    pub value: Option<f64>,
    /// What it was compared with.
    pub limit: f64,
    /// Where the value lies in 95 of 100 cases, as far as that can be said.
    pub interval: Option<ThresholdInterval>,
    /// Whether it was kept; `None` where the data does not carry an answer.
    pub held: Option<bool>,
    /// Why, in words.
    pub because: String,
}

/// Bounds of a value; a list of both in files. One is `None` where it is later than every time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(from = "[Option<f64>; 2]", into = "[Option<f64>; 2]")]
pub struct ThresholdInterval {
    /// The lower bound.
    pub low: Option<f64>,
    /// The upper bound.
    pub high: Option<f64>,
}

impl From<[Option<f64>; 2]> for ThresholdInterval {
    fn from([low, high]: [Option<f64>; 2]) -> Self {
        Self { low, high }
    }
}

impl From<ThresholdInterval> for [Option<f64>; 2] {
    fn from(ThresholdInterval { low, high }: ThresholdInterval) -> Self {
        [low, high]
    }
}

/// Whether a threshold was kept, the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ThresholdOutcome {
    /// It was not.
    Broken,
    /// The data does not say.
    Inconclusive,
    /// It was.
    Held,
}

impl ThresholdResult {
    /// Whether it was kept.
    #[must_use]
    pub fn outcome(&self) -> ThresholdOutcome {
        match self.held {
            Some(true) => ThresholdOutcome::Held,
            Some(false) => ThresholdOutcome::Broken,
            None => ThresholdOutcome::Inconclusive,
        }
    }
}

impl fmt::Display for ThresholdOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Broken => "broken",
            Self::Inconclusive => "inconclusive",
            Self::Held => "held",
        })
    }
}

//! What follows from a run for those who have to decide: which journal mode, and which way to back up.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{snapshot::Strategy, sqlite::JournalMode, statistics::Interval};

/// What follows from a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// Of the journal modes `delete` and `wal`; `None` where the run does not have both.
    pub journal_mode: Option<ModeDecision>,
    /// Of the ways to back up, under each journal mode.
    pub backup: Vec<BackupDecision>,
}

/// Whether WAL is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModeDecision {
    /// What the rule says.
    pub outcome: ModeOutcome,
    /// The rule, in words.
    pub rule: String,
    /// The figures that it rests on, one a sentence.
    pub because: Vec<String>,
    /// What is missing, or speaks against it, one a sentence.
    pub open: Vec<String>,
}

/// What becomes of the journal mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ModeOutcome {
    /// WAL is better, or as good.
    KeepWal,
    /// WAL is worse.
    RevertToDelete,
    /// The data does not carry a decision.
    Open,
}

/// Which ways to back up can be relied on under a journal mode, and what they cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupDecision {
    /// The journal mode.
    pub journal_mode: JournalMode,
    /// The strategies that were exact every time, the least cost first; of several conditions, by the median of all of them.
    pub strategies: Vec<BackupStrategy>,
    /// What that rests on, one a sentence.
    pub because: Vec<String>,
    /// What is missing, or speaks against it, one a sentence.
    pub open: Vec<String>,
}

/// A strategy that was exact every time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackupStrategy {
    /// Which.
    pub strategy: Strategy,
    /// Snapshots that were judged; all of them were exact.
    pub exact: u64,
    /// The least share of all such snapshots that is exact, with 95 % confidence.
    pub exact_share_least: f64,
    /// Whether a script can run it while others write.
    pub is_for_scripts: bool,
    /// How long the copy took: the median.
    pub duration_s: f64,
    /// Client-seconds that a snapshot cost over the horizon, or over the copy where that took longer, beyond what the baseline
    /// loses in the same time: the median of the trials. `None` where that is not known, or where trials of several conditions
    /// have several. Those are left out in which more was offered than could be done.
    pub lost_client_s: Option<f64>,
    /// Where that lies with 95 % confidence; `None` of fewer than six trials, and where there is no one cost.
    pub interval: Option<Interval>,
    /// Whether no other strategy that a script can run cost less, as far as the pairs of trials tell.
    pub is_unbeaten: bool,
}

impl fmt::Display for ModeOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeepWal => "keep WAL",
            Self::RevertToDelete => "revert to delete",
            Self::Open => "open",
        })
    }
}

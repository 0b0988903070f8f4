//! What kills left of a database and of its copies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Outcomes;

/// Kills of a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KillResult {
    /// How often the process that commits was killed.
    pub kills: u64,
    /// Of these, while a transaction was under way.
    pub in_transaction: u64,
    /// Of these, while a checkpoint ran.
    pub in_checkpoint: u64,
    /// Of these, while the strategy copied.
    pub in_copy: u64,
    /// Commits that clients knew of, in all.
    pub acknowledged: u64,
    /// What became of the database, once it was recovered.
    pub database: Outcomes,
    /// What became of the copies; `None` where nothing was copied.
    pub copies: Option<KilledCopies>,
}

/// Copies that were taken while the process that commits was killed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KilledCopies {
    /// Copies of which the strategy said that all is well.
    pub finished: u64,
    /// Of these: a state that the database was in, and no older than it may be.
    pub exact: u64,
    /// An older one.
    pub stale: u64,
    /// No such state.
    pub torn: u64,
    /// Damaged.
    pub corrupt: u64,
    /// SQLite cannot read it.
    pub unreadable: u64,
    /// Copies of which the process was killed, too.
    pub killed: u64,
    /// Copies that failed by themselves.
    pub failed: u64,
    /// Of those that were killed or failed: what was left would pass as exact all the same.
    pub left_exact: u64,
    /// What those said that failed, each once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
}

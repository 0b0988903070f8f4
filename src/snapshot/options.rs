//! What a scenario can set for a strategy: `[snapshots.options.NAME]`, every key with its default.
//!
//! Which values a strategy can run with, its own file says.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::past_cache::CacheUse;

/// `[snapshots.options]`: a table for each strategy that has a choice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct StrategyOptions {
    /// Of `backup`.
    pub backup: BackupOptions,
    /// Of `backup-one-step`.
    pub backup_one_step: WaitOptions,
    /// Of `backup-in-writer`.
    pub backup_in_writer: StepOptions,
    /// Of `cli-backup-timeout`.
    pub cli_backup_timeout: WaitOptions,
    /// Of `vacuum-into`.
    pub vacuum_into: WaitOptions,
    /// Of `held-copy`.
    pub held_copy: HoldOptions,
    /// Of `held-copy-gentle`.
    pub held_copy_gentle: HoldOptions,
    /// Of `essential`.
    pub essential: WaitOptions,
    /// Of `stop-copy`.
    pub stop_copy: WaitOptions,
    /// Of `command`.
    pub command: CommandOptions,
}

/// How the backup API is driven; by default as the `sqlite3` program's `.backup` drives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BackupOptions {
    /// Pages that a step copies.
    pub pages_per_step: i32,
    /// How long to wait between two steps, in milliseconds.
    pub pause_ms: u64,
    /// How long a step waits for its lock, in milliseconds.
    pub busy_timeout_ms: u64,
}

/// How the writer's own connection copies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StepOptions {
    /// Pages that a step copies; no operation of the writer begins meanwhile.
    pub pages_per_step: i32,
}

/// How long to wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WaitOptions {
    /// How long, in milliseconds.
    pub busy_timeout_ms: u64,
}

/// How a copy under a held read transaction is made.
///
/// In rollback modes the copy is made by `cp` in any case, since nobody can commit until it is done; what is set here then says
/// how it is written to the disk afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HoldOptions {
    /// How long to wait for the lock that is then held, in milliseconds. In rollback modes, with writers flat out, one try in
    /// many takes 20 s (`docs/sqlite.md`, 2).
    pub busy_timeout_ms: u64,
    /// Whether the page cache stays as it was, and the copy rests so that others do not feel it. `normal` for `held-copy` and
    /// `neutral` for `held-copy-gentle` where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache: Option<CacheUse>,
    /// The most that it copies in a second, in bytes; as much as it can where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_rate_bytes_s: Option<u64>,
    /// After how many bytes the copy is synced: after 1 MiB with `cache = "neutral"` where nothing is said, and not at all with
    /// `normal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writeback_bytes: Option<u64>,
    /// How large the WAL may grow while it is held, in bytes: the copy hurries where it would, and is given up where it does. Any
    /// size where nothing is said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wal_bytes_max: Option<u64>,
}

/// A command line of the user's own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CommandOptions {
    /// The program and its arguments, in words as a POSIX shell splits and unquotes them, and no other shell syntax. `{db}`
    /// stands for the live database and `{out}` for the copy to make, in an empty folder of its own; both may be part of a
    /// word, and are what they are whatever characters they have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// Whether `sh` runs the line instead, with `{db}` and `{out}` quoted for it: then they must stand outside quotes. `false`
    /// where a scenario does not say. Only results of an older version say nothing here: they had every line run by `sh`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<bool>,
}

/// An option that a strategy cannot run with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OptionProblem {
    /// The key, from the top of a scenario.
    pub(crate) key: &'static str,
    /// The value that was found.
    pub(crate) found: String,
    /// What is allowed instead.
    pub(crate) allowed: String,
}

/// Pages that a step of the `sqlite3` program's `.backup` copies.
const PAGES_PER_STEP: i32 = 100;

impl Default for BackupOptions {
    fn default() -> Self {
        Self { pages_per_step: PAGES_PER_STEP, pause_ms: 0, busy_timeout_ms: 0 }
    }
}

impl Default for StepOptions {
    fn default() -> Self {
        Self { pages_per_step: PAGES_PER_STEP }
    }
}

impl Default for WaitOptions {
    fn default() -> Self {
        Self { busy_timeout_ms: 5_000 }
    }
}

impl Default for HoldOptions {
    fn default() -> Self {
        Self {
            busy_timeout_ms: 60_000,
            cache: None,
            max_rate_bytes_s: None,
            writeback_bytes: None,
            wal_bytes_max: None,
        }
    }
}

/// Refuses a number that is not from `least` to `most`.
pub(super) fn within<T: PartialOrd + fmt::Display + Copy>(
    key: &'static str,
    value: T,
    least: T,
    most: T,
) -> Result<(), OptionProblem> {
    if value >= least && value <= most {
        Ok(())
    } else {
        Err(OptionProblem { key, found: value.to_string(), allowed: format!("expected {least} to {most}") })
    }
}

/// Refuses to wait for a lock for more than an hour.
pub(super) fn check_busy_timeout(key: &'static str, busy_timeout_ms: u64) -> Result<(), OptionProblem> {
    within(key, busy_timeout_ms, 0, 3_600_000)
}

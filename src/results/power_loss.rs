//! What power losses would have left of a database.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::power::disk::DiskModel;

/// Power losses of a trial, all of them in the same recordings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PowerLossResult {
    /// Transactions that were committed.
    pub commits: u64,
    /// What was done to files meanwhile: writes, truncations, syncs, changes of names.
    pub events: u64,
    /// Transactions that were committed, a second, while nobody recorded.
    pub commits_per_s: f64,
    /// Syncs a transaction, those of the folder among them.
    pub syncs_per_commit: f64,
    /// By disk model, granule and way to draw instants.
    pub models: Vec<PowerLossModel>,
    /// What clients knew of and no sync had covered yet.
    pub exposure: Exposure,
}

/// Images of a disk model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PowerLossModel {
    /// What the disk may do.
    pub model: DiskModel,
    /// In units of so many bytes.
    pub granule_bytes: u64,
    /// At which instants.
    pub drawn: Drawn,
    /// What became of them.
    #[serde(flatten)]
    pub outcomes: Outcomes,
}

/// How instants are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Drawn {
    /// Each event as likely as another one: finds what is rare and short.
    ByEvent,
    /// Each moment as likely as another one: as power fails.
    ByTime,
}

impl Drawn {
    /// Both.
    pub const ALL: [Self; 2] = [Self::ByEvent, Self::ByTime];
}

impl fmt::Display for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ByEvent => "by event",
            Self::ByTime => "by time",
        })
    }
}

/// What a power loss, or a kill, left of a database once SQLite had recovered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossOutcome {
    /// Every commit of which a client knew.
    Kept,
    /// And one of which no client knew yet.
    Ahead,
    /// One state, from which so many are missing of which clients knew.
    Lost(u64),
    /// No state that the database ever had.
    Torn,
    /// Damage that the structure shows.
    Corrupt,
    /// SQLite cannot read it.
    Unreadable,
}

/// How many images became what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outcomes {
    /// How many there are.
    pub images: u64,
    /// Those that had every commit of which a client knew.
    pub kept: u64,
    /// Those that had one more.
    pub ahead: u64,
    /// Those in an earlier state.
    pub lost: u64,
    /// The most commits that one of these had lost.
    pub lost_most: u64,
    /// Those in no state that the database ever had.
    pub torn: u64,
    /// Those whose structure is damaged.
    pub corrupt: u64,
    /// Those that SQLite could not read.
    pub unreadable: u64,
}

impl Outcomes {
    /// Counts another one.
    pub fn add(&mut self, outcome: LossOutcome) {
        self.images += 1;
        match outcome {
            LossOutcome::Kept => self.kept += 1,
            LossOutcome::Ahead => self.ahead += 1,
            LossOutcome::Lost(commits) => {
                self.lost += 1;
                self.lost_most = self.lost_most.max(commits);
            }
            LossOutcome::Torn => self.torn += 1,
            LossOutcome::Corrupt => self.corrupt += 1,
            LossOutcome::Unreadable => self.unreadable += 1,
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            images: self.images.saturating_add(other.images),
            kept: self.kept.saturating_add(other.kept),
            ahead: self.ahead.saturating_add(other.ahead),
            lost: self.lost.saturating_add(other.lost),
            lost_most: self.lost_most.max(other.lost_most),
            torn: self.torn.saturating_add(other.torn),
            corrupt: self.corrupt.saturating_add(other.corrupt),
            unreadable: self.unreadable.saturating_add(other.unreadable),
        }
    }

    /// Those that are no state that the database ever had.
    #[must_use]
    pub fn damaged(&self) -> u64 {
        self.torn.saturating_add(self.corrupt).saturating_add(self.unreadable)
    }
}

/// Commits of which a client knew and that a power loss would take away if nothing arrived that no sync covers, at instants each as likely
/// as another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Exposure {
    /// How many instants were looked at.
    pub instants: u64,
    /// Commits: their median.
    pub commits_p50: u64,
    /// Their 99th percentile.
    pub commits_p99: u64,
    /// Their largest number.
    pub commits_max: u64,
    /// How long before the instant a client knew of the oldest of them, in microseconds: the median.
    pub age_p50_us: u64,
    /// The 99th percentile.
    pub age_p99_us: u64,
    /// The longest.
    pub age_max_us: u64,
}

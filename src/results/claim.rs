//! Claims that people made about WAL and about `.backup`, tested by a run.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{scenario::Conditions, statistics::Interval};

/// A claim, and what a run says of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// What is claimed.
    pub claim: String,
    /// Where it stands.
    pub source: ClaimSource,
    /// Whether it speaks for WAL, or for `.backup`, or against it.
    pub stance: Stance,
    /// How it was tested.
    pub how: String,
    /// The conditions of the trials that it was tested on.
    #[serde(flatten)]
    pub conditions: Conditions,
    /// The figure under `delete`; `None` where there is none.
    pub delete: Option<ClaimFigure>,
    /// The figure under `wal`; `None` where there is none.
    pub wal: Option<ClaimFigure>,
    /// What the figures count.
    pub unit: String,
    /// What follows.
    pub outcome: ClaimOutcome,
    /// What that rests on, in words.
    pub because: String,
}

/// A figure under one journal mode.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClaimFigure {
    /// Of trials the median, or the most where the claim is about what can be; of copies the share, in per cent.
    pub value: f64,
    /// Where it lies with 95 % confidence; `None` of too few trials, and of the most.
    pub interval: Option<Interval>,
    /// Trials, or copies, that it is of.
    pub of: u64,
}

/// Where a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ClaimSource {
    /// Issue #86 of torrust-demo: what speaks for WAL.
    #[serde(rename = "#86, for WAL")]
    ForWal,
    /// Issue #86: what speaks against it.
    #[serde(rename = "#86, against WAL")]
    AgainstWal,
    /// Issue #86: what its first phase measures.
    #[serde(rename = "#86, phase 1")]
    PhaseOne,
    /// Issue #85: the table that compares `.backup` with `cp`.
    #[serde(rename = "#85, table")]
    BackupTable,
    /// Issue #85: the list of what `.backup` does.
    #[serde(rename = "#85, list")]
    BackupList,
}

/// What a claim speaks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stance {
    /// For WAL, or for `.backup`.
    For,
    /// Against it.
    Against,
}

/// What follows from a test of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClaimOutcome {
    /// It is so.
    Holds,
    /// It is not so: the opposite is, or there is no difference.
    DoesNotHold,
    /// The run does not decide it.
    Open,
}

impl fmt::Display for ClaimSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ForWal => "#86, for WAL",
            Self::AgainstWal => "#86, against WAL",
            Self::PhaseOne => "#86, phase 1",
            Self::BackupTable => "#85, table",
            Self::BackupList => "#85, list",
        })
    }
}

impl fmt::Display for ClaimOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Holds => "holds",
            Self::DoesNotHold => "does not hold",
            Self::Open => "open",
        })
    }
}

//! The words of a verdict: what a snapshot is, and in which order the oracle decides it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a snapshot is. The first that applies of: unfinished, unreadable, corrupt, torn, stale, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is S(k) for one k, and k is at least the last commit acknowledged before the snapshot began.
    Exact,
    /// It is S(k), but older than that: acknowledged commits are missing.
    Stale,
    /// It opens and is structurally sound, but is no S(k).
    Torn,
    /// Index and table disagree, or SQLite reports damage.
    Corrupt,
    /// SQLite cannot open or read it, or it has no tracker tables.
    Unreadable,
    /// The strategy failed or was stopped at its deadline.
    Unfinished,
}

impl Verdict {
    /// Whether the snapshot is all that it should be.
    #[must_use]
    pub fn is_exact(self) -> bool {
        match self {
            Self::Exact => true,
            Self::Stale | Self::Torn | Self::Corrupt | Self::Unreadable | Self::Unfinished => false,
        }
    }

    /// Whether the rows of the snapshot can be compared, one by one, with those of the commit that is nearest to it.
    pub(crate) fn has_nearest_commit(self) -> bool {
        match self {
            Self::Torn => true,
            Self::Exact | Self::Stale | Self::Corrupt | Self::Unreadable | Self::Unfinished => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::Stale => "stale",
            Self::Torn => "torn",
            Self::Corrupt => "corrupt",
            Self::Unreadable => "unreadable",
            Self::Unfinished => "unfinished",
        })
    }
}

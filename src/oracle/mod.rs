//! Was the database ever in this state? Snapshot files and a ledger in, a [`Verdict`] out.
//!
//! The oracle takes values and knows nothing of strategies: the same questions are asked of every file. [`inspect`] finds
//! out what the files are by themselves, [`judge`] compares their digest with that of every state that the ledger proves,
//! and [`difference`] says how a torn one differs from the nearest. What it was tested with, and what SQLite's own checks
//! say of the same faults, is in `docs/oracle.md`.
//!
//! # Why a bad snapshot does not pass
//!
//! `exact` takes all of the following; the rule for whatever is not understood is that it is not `exact`.
//!
//! 1. **Its content is a state that the database was in.** Each state S(k) has a digest D(k), the sum of a keyed 128-bit
//!    hash of every row of every table, types included. The D(k) come from the commits in SQLite's own order
//!    ([`crate::ledger`] argues that order). Another set of rows has the same sum by accident only: one chance in 2^128.
//! 2. **It is not older than it may be**: k is at least the last commit that had been acknowledged when it began. Where
//!    several k have the same digest (a commit that changes nothing), the largest counts.
//! 3. **SQLite will find those rows.** A sum does not see where a row stands, so every page is accounted for: it has one
//!    owner (a cell, the schema or the freelist), or is the lock page; its cells, freeblocks and fragments add up to its
//!    size and do not overlap; keys ascend strictly and lie between those of the pages above; leaves lie at one depth; each
//!    index holds the entries of its table, compared by sums. So a lookup by key, which goes down by comparing keys, ends
//!    at the row that the sum counted.
//! 4. **The header lets SQLite use it**: what the dataset's header fixed is as it was, both versions say the same journal
//!    mode, the schema is the dataset's to the letter, SQLite writes to the file twice, and `integrity_check`, where it is
//!    asked, says ok.
//!
//! # Why a good one does not fail
//!
//! A copy is read as a restore would read it: SQLite first recovers the WAL or hot journal beside it. A commit that failed
//! after its hook may or may not have reached the file, so its state is a candidate until the next commit. What differs
//! between two files of the same content (order of pages, freelist, unused bytes, change counters, schema cookie, length
//! of an integer) is in no sum and breaks no rule.
//!
//! # Cost
//!
//! One sequential pass on all cores; memory of 8 bytes a page and a few mebibytes. Inspecting changes the files (SQLite
//! runs recovery, and a count is changed and changed back), so keep a copy of what matters.

mod content;
mod difference;
mod file;
mod inspect;
mod scan;
mod walk;

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};

pub use difference::{Difference, RowDifference, difference};
pub use inspect::{Check, Inspection, content_digest, inspect, inspect_alone};
pub use walk::{Finding, Findings};

use crate::{
    dataset::Manifest,
    digest::Digest,
    ledger::{self, ReplayError, State},
};

/// What a snapshot is. The first that applies of: unfinished, unreadable, corrupt, torn, stale, exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
}

/// What the oracle is told of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Whether the strategy ended in time and reported success.
    pub finished: bool,
    /// The last commit acknowledged before the snapshot began.
    pub commit_at_start: u64,
    /// The last commit issued when it had ended.
    pub commit_at_end: u64,
    /// When it had ended, in microseconds since the ledger was created.
    pub ended_us: u64,
}

/// A verdict and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    /// What the snapshot is.
    pub verdict: Verdict,
    /// Why, in words.
    pub reason: String,
    /// What the files left by an unfinished snapshot are.
    pub left_behind: Option<Verdict>,
    /// k, where the content is S(k).
    pub commit: Option<u64>,
    /// Commits issued by the end of the snapshot that it does not have.
    pub age_commits: Option<u64>,
    /// From the instant commit k was made (or the load began) to the end of the snapshot.
    pub age_s: Option<f64>,
    /// Of a stale snapshot: commits acknowledged before it began that it does not have.
    pub missing_commits: Option<u64>,
    /// Of a stale snapshot: from the instant commit k was made to that of the last one acknowledged before it began.
    pub missing_s: Option<f64>,
    /// Downloads counted by the end of the snapshot that it does not have.
    pub downloads_lost: Option<i64>,
    /// The snapshot's digest, where it could be read.
    pub digest: Option<Digest>,
}

impl Judgement {
    /// Whether somebody who trusts the strategy's word and `integrity_check` would be wrong about the snapshot. Where that was
    /// not asked, nobody knows, and it is no silent failure.
    #[must_use]
    pub fn is_silent_failure(&self, claim: &Claim, integrity_check: Option<&Check>) -> bool {
        let is_ok = integrity_check.is_some_and(|check| check.answer == "ok");
        claim.finished && is_ok && self.verdict != Verdict::Exact
    }
}

/// Why a file's content cannot be a state of the database, whatever the ledger says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Damage {
    /// SQLite cannot open or read it, or there is nothing of a tracker's in it.
    Unreadable(String),
    /// SQLite reports damage, or index and table disagree.
    Corrupt(String),
    /// It reads well, but its schema is not the dataset's.
    OtherSchema(String),
}

/// Why the oracle cannot judge.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The ledger cannot be replayed.
    #[error(transparent)]
    Ledger(#[from] ReplayError),
    /// The caller asked to stop.
    #[error("interrupted while inspecting a snapshot")]
    Interrupted,
    /// The snapshot holds a commit that was issued after it had ended. The harness is at fault, not the snapshot.
    #[error(
        "the snapshot is commit {commit}, but only {issued} had been issued when it ended: the harness's own accounting is wrong"
    )]
    FromTheFuture {
        /// The commit found.
        commit: u64,
        /// The last one issued at its end.
        issued: u64,
    },
}

/// Judges inspected snapshots against a ledger, in one replay. Answers stand in the order of the questions.
///
/// # Errors
/// When the ledger cannot be replayed. A judgement that shows the harness at fault is an error of that snapshot alone.
pub fn judge(
    ledger: &Path,
    start: &Manifest,
    snapshots: &[(Claim, Inspection)],
) -> Result<Vec<Result<Judgement, JudgeError>>, JudgeError> {
    let mut all: Vec<States> = vec![States::default(); snapshots.len()];
    ledger::replay(ledger, start, |state| {
        for ((claim, inspection), states) in snapshots.iter().zip(&mut all) {
            // A commit that changes nothing repeats a state: the largest counts that had been issued.
            let possible = state.commit <= claim.commit_at_end || states.found.is_none();
            if possible && inspection.content.as_ref().is_ok_and(|digest| *digest == state.digest) {
                states.found = Some(*state);
            }
            if state.commit <= claim.commit_at_start {
                states.start = Some(*state);
            }
            if state.commit <= claim.commit_at_end && !state.void {
                states.end = Some(*state);
            }
        }
    })?;
    Ok(snapshots.iter().zip(all).map(|((claim, inspection), states)| judge_one(claim, inspection, states)).collect())
}

/// What a replay finds for one snapshot.
#[derive(Debug, Clone, Copy, Default)]
struct States {
    /// The state that the snapshot is.
    found: Option<State>,
    /// The state after the last commit acknowledged before it began.
    start: Option<State>,
    /// The state after the last commit issued by its end.
    end: Option<State>,
}

fn judge_one(claim: &Claim, inspection: &Inspection, states: States) -> Result<Judgement, JudgeError> {
    let found = states.found;
    let (verdict, reason) = match (&inspection.content, found) {
        (Err(Damage::Unreadable(why)), _) => (Verdict::Unreadable, why.clone()),
        (Err(Damage::Corrupt(why)), _) => (Verdict::Corrupt, why.clone()),
        (Err(Damage::OtherSchema(why)), _) => (Verdict::Torn, why.clone()),
        (Ok(_), None) => (Verdict::Torn, "no commit of the run left this content".to_owned()),
        (Ok(_), Some(State { commit, .. })) if commit > claim.commit_at_end => {
            return Err(JudgeError::FromTheFuture { commit, issued: claim.commit_at_end });
        }
        (Ok(_), Some(State { commit, .. })) if commit < claim.commit_at_start => (
            Verdict::Stale,
            format!(
                "the state after commit {commit}: {} commits acknowledged before the snapshot began are missing",
                claim.commit_at_start - commit
            ),
        ),
        (Ok(_), Some(State { commit, void, .. })) => (
            Verdict::Exact,
            format!(
                "the state after commit {commit}{}",
                if void { ", which failed with an unknown outcome" } else { "" }
            ),
        ),
    };
    let mut judgement = Judgement {
        verdict,
        reason,
        left_behind: None,
        commit: found.map(|state| state.commit),
        age_commits: found.map(|state| claim.commit_at_end - state.commit),
        age_s: found.map(|state| claim.ended_us.saturating_sub(state.at_us) as f64 / 1e6),
        missing_commits: found
            .and_then(|found| claim.commit_at_start.checked_sub(found.commit))
            .filter(|count| *count > 0),
        missing_s: found
            .zip(states.start)
            .filter(|(found, start)| found.commit < start.commit)
            .map(|(found, start)| start.at_us.saturating_sub(found.at_us) as f64 / 1e6),
        downloads_lost: found.zip(states.end).map(|(found, end)| end.downloads - found.downloads),
        digest: inspection.content.as_ref().ok().copied(),
    };
    if !claim.finished {
        judgement.left_behind = Some(judgement.verdict);
        judgement.verdict = Verdict::Unfinished;
    }
    Ok(judgement)
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

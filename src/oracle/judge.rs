//! Compares the digest of a snapshot with that of every state of a history, and says what the snapshot is.
//!
//! The files themselves are read before, in [`super::inspect`]; whether their content is a state of the database is decided
//! here, from values alone.

use serde::{Deserialize, Serialize};

use super::{
    content::Damage,
    error::JudgeError,
    inspect::{Check, Inspection},
    verdict::Verdict,
};
use crate::{
    dataset::Manifest,
    digest::Digest,
    history::{
        Checked, History, HistoryError,
        replay::{self, State},
    },
    torrents::Portion,
};

/// What the oracle is told of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// How much of the database it is to hold.
    #[serde(default)]
    pub portion: Portion,
    /// Whether the strategy ended in time and reported success.
    pub finished: bool,
    /// The last commit acknowledged before the snapshot began.
    pub commit_at_start: u64,
    /// The last commit issued when it had ended.
    pub commit_at_end: u64,
    /// When it had ended, in microseconds since the history began.
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
        claim.finished && is_ok && !self.verdict.is_exact()
    }
}

/// Judges inspected snapshots against a history, in one replay. Answers stand in the order of the questions.
///
/// # Errors
/// When the history cannot tell its commits. A judgement that shows the harness at fault is an error of that snapshot alone.
pub fn judge(
    history: &dyn History,
    start: &Manifest,
    snapshots: &[(Claim, &Inspection)],
) -> Result<Vec<Result<Judgement, JudgeError>>, HistoryError> {
    let mut all: Vec<States> = vec![States::default(); snapshots.len()];
    replay::replay(&Checked::new(history, start.torrents()), start, |state| {
        for ((claim, inspection), states) in snapshots.iter().zip(&mut all) {
            // A commit that changes nothing repeats a state: the largest counts that had been issued.
            let possible = state.commit <= claim.commit_at_end || states.found.is_none();
            if possible
                && inspection.content.as_ref().is_ok_and(|digest| Some(*digest) == digest_of(claim.portion, state))
            {
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
    let answer = |((claim, inspection), states): (&(Claim, &Inspection), States)| judge_one(claim, inspection, states);
    Ok(snapshots.iter().zip(all).map(answer).collect())
}

/// The digest of a portion of a state; `None` where the dataset does not say which counts are zero.
fn digest_of(portion: Portion, state: &State) -> Option<Digest> {
    match portion {
        Portion::Whole => Some(state.digest),
        Portion::Essential => state.zeros.map(|zeros| state.digest - zeros),
    }
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
    if claim.portion == Portion::Essential && states.end.is_some_and(|end| end.zeros.is_none()) {
        return Err(JudgeError::ZerosUnknown);
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_silent_where_the_strategy_and_sqlite_both_say_that_all_is_well() {
        for (finished, answer, verdict, is_silent) in [
            (true, Some("ok"), Verdict::Torn, true),
            (true, Some("ok"), Verdict::Stale, true),
            (true, Some("ok"), Verdict::Corrupt, true),
            (true, Some("ok"), Verdict::Exact, false),
            (true, Some("row 7 missing from index"), Verdict::Torn, false),
            (true, None, Verdict::Torn, false),
            (false, Some("ok"), Verdict::Unfinished, false),
        ] {
            let judgement = Judgement {
                verdict,
                reason: String::new(),
                left_behind: None,
                commit: None,
                age_commits: None,
                age_s: None,
                missing_commits: None,
                missing_s: None,
                downloads_lost: None,
                digest: None,
            };
            let claim = Claim { portion: Portion::Whole, finished, commit_at_start: 1, commit_at_end: 2, ended_us: 3 };
            let check = answer.map(|answer| Check { answer: answer.to_owned(), duration_s: 0.1 });
            let context = format!("{verdict}, finished {finished}, {answer:?}");
            assert_eq!(judgement.is_silent_failure(&claim, check.as_ref()), is_silent, "{context}");
        }
    }
}

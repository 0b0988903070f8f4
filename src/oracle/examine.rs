//! All that the oracle can say of some snapshots: each file is read, all of them are judged in one replay, and those that
//! are torn are compared with the commit that they are nearest to.
//!
//! A snapshot that cannot be judged has an error of its own; the others keep their answers.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64},
    },
};

use super::{
    difference::{Difference, difference},
    error::JudgeError,
    inspect::{Inspection, SqliteChecks, inspect},
    judge::{Claim, Judgement, judge},
    verdict::Verdict,
};
use crate::{dataset::Manifest, history::History, torrents::Portion};

/// What snapshots are judged by.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// The database at the start.
    pub start: &'a Manifest,
    /// The commits after that.
    pub history: &'a dyn History,
    /// Whether SQLite's own checks are asked, too.
    pub sqlite_checks: SqliteChecks,
    /// Set to stop.
    pub interrupted: &'a Arc<AtomicBool>,
    /// Counts the pages that have been read.
    pub pages_done: &'a AtomicU64,
}

/// A snapshot to judge.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// Its main file. Reading it changes it and what lies beside it, as a restore would.
    pub file: &'a Path,
    /// What is known of how it was taken.
    pub claim: Claim,
}

/// Everything that was found of one snapshot.
#[derive(Debug, Clone)]
pub struct Examination {
    /// What its files are by themselves.
    pub inspection: Inspection,
    /// What it is, given the history.
    pub judgement: Judgement,
    /// Of a torn one: how it differs from the nearest commit, where that could be found out.
    pub difference: Option<Difference>,
}

/// Examines snapshots. `begin` is told the position, from 0, of each one whose reading begins. Answers stand in the order of
/// the questions.
pub fn examine(
    evidence: &Evidence<'_>,
    questions: &[Question<'_>],
    mut begin: impl FnMut(usize),
) -> Vec<Result<Examination, JudgeError>> {
    let Evidence { start, sqlite_checks, interrupted, pages_done, .. } = *evidence;
    let inspections: Vec<_> = (0..)
        .zip(questions)
        .map(|(position, question)| {
            begin(position);
            inspect(question.file, start, sqlite_checks, interrupted, pages_done)
        })
        .collect();
    let readable: Vec<_> = questions
        .iter()
        .zip(&inspections)
        .filter_map(|(question, inspection)| Some((question.claim, inspection.as_ref().ok()?)))
        .collect();
    let mut judgements = match judge(evidence.history, start, &readable) {
        Ok(judgements) => judgements.into_iter(),
        Err(error) => {
            let error = Arc::new(error);
            let all: Vec<_> = readable.iter().map(|_| Err(JudgeError::History(Arc::clone(&error)))).collect();
            all.into_iter()
        }
    };
    questions
        .iter()
        .zip(inspections)
        .map(|(question, inspection)| {
            let inspection = inspection?;
            // There is an answer for each inspection that succeeded.
            let judgement = judgements.next().unwrap_or(Err(JudgeError::Interrupted))?;
            let difference = compare(evidence, question, &judgement)?;
            Ok(Examination { inspection, judgement, difference })
        })
        .collect()
}

fn compare(
    evidence: &Evidence<'_>,
    question: &Question<'_>,
    judgement: &Judgement,
) -> Result<Option<Difference>, JudgeError> {
    // Every row that was left out would be a difference.
    if question.claim.portion == Portion::Essential {
        return Ok(None);
    }
    let is_torn = |verdict: Verdict| verdict.has_nearest_commit();
    if !is_torn(judgement.verdict) && !judgement.left_behind.is_some_and(is_torn) {
        return Ok(None);
    }
    let Evidence { start, history, interrupted, .. } = *evidence;
    difference(question.file, history, start, question.claim.commit_at_end, interrupted)
        .map_err(|error| JudgeError::History(Arc::new(error)))
}

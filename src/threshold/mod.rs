//! Thresholds: what a figure of a run must keep, as a scenario says it. Text in, a tree out in which every figure is known.
//!
//! An expression compares two sums of figures and numbers, as in `wal.commit.service.p99_us / delete.commit.service.p99_us < 1`.
//! It is read before anything runs, against what the scenario runs: a figure that could never be known is refused, with its
//! place and the names that may stand there. What became of it is found in [`crate::analysis`], and kept in
//! [`crate::results`].
//!
//! ```text
//! mod      an expression, read and put in order: a value, a comparison, a limit
//! grammar  text -> a tree of names
//! figure   a name -> a figure, or the nearest name
//! tree     numbers, figures, operators, comparisons
//! ```

mod figure;
mod grammar;
mod tree;

pub use figure::{Figure, Measured, Phase, PlainFigure, RunFigure, Scope, SnapshotFigure, Time};
pub use tree::{Comparison, Operator, Term};

/// Thresholds of a scenario at most.
pub(crate) const THRESHOLDS_MOST: usize = 100;

/// An expression, put in order: what is looked at stands on the left of the comparison, and a number on its right.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// As the scenario says it.
    pub expression: String,
    /// What is compared: the side that has figures. Where both have, the right one taken from the left one, so that the two
    /// are compared trial by trial.
    pub value: Term<Figure>,
    /// What must be true of it and the limit.
    pub comparison: Comparison,
    /// What it is compared with: 0 where both sides have figures.
    pub limit: f64,
}

/// Why an expression is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: {problem}")]
pub struct ThresholdError {
    /// Where, in characters from 1.
    column: usize,
    /// What was found there, and what may stand there.
    problem: String,
}

impl ThresholdError {
    /// At a byte of the expression.
    fn at(expression: &str, byte: usize, problem: String) -> Self {
        let before = expression.char_indices().take_while(|(at, _)| *at < byte).count();
        Self { column: before + 1, problem }
    }
}

impl Threshold {
    /// Reads an expression about what a scenario runs.
    ///
    /// # Errors
    /// [`ThresholdError`].
    pub fn parse(expression: &str, scope: Scope<'_>) -> Result<Self, ThresholdError> {
        let refuse = |byte, problem| ThresholdError::at(expression, byte, problem);
        let grammar::Parsed { left, comparison, comparison_at, right } = grammar::parse(expression)?;
        let mut known = |name: grammar::Name| {
            figure::find(&name.text, scope).map_err(|unknown| refuse(name.at + unknown.at, unknown.problem))
        };
        let (left, right) = (left.try_map(&mut known)?, right.try_map(&mut known)?);
        let (value, comparison, limit) = match (left.constant(), right.constant()) {
            (Some(_), Some(_)) => return Err(refuse(0, "no figure is named in it".to_owned())),
            (None, Some(limit)) => (left, comparison, limit),
            (Some(limit), None) => (right, comparison.mirrored(), limit),
            (None, None) => (Term::combined(Operator::Subtract, left, right), comparison, 0.0),
        };
        if !limit.is_finite() {
            return Err(refuse(0, "the side without a figure has no value".to_owned()));
        }
        let threshold = Self { expression: expression.to_owned(), value, comparison, limit };
        if comparison.is_of_equality() && threshold.is_measured() {
            let problem = format!(
                "`{comparison}` of a measured figure: no two trials measure quite the same, so that it would say nothing; \
                expected one of < <= > >="
            );
            return Err(refuse(comparison_at, problem));
        }
        Ok(threshold)
    }

    /// Whether a figure in it is measured in each trial, so that trials say how sure it is. The others are counts and facts.
    #[must_use]
    pub(crate) fn is_measured(&self) -> bool {
        self.value.figures().iter().any(|figure| matches!(figure, Figure::Trial { .. }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{snapshot::Strategy, sqlite::JournalMode};

    const SCOPE: Scope<'_> =
        Scope { journal_modes: &[JournalMode::Delete, JournalMode::Wal], strategies: &[Strategy::None, Strategy::Cp] };

    fn parse(expression: &str) -> Result<Threshold, String> {
        Threshold::parse(expression, SCOPE).map_err(|error| error.to_string())
    }

    #[test]
    fn the_number_stands_on_the_right() {
        for (expression, figures, comparison, limit) in [
            ("wal.commits_per_s > 2 * 50", 1, Comparison::Greater, 100.0),
            ("10 / 4 >= wal.commits_per_s", 1, Comparison::AtMost, 2.5),
            ("wal.commits_per_s < delete.commits_per_s + 1", 2, Comparison::Less, 0.0),
            ("0 == silent_failures", 1, Comparison::Equal, 0.0),
            ("lost_writes + not_exact != 3", 2, Comparison::Different, 3.0),
        ] {
            let threshold = parse(expression).unwrap();
            assert_eq!(threshold.expression, expression);
            assert_eq!((threshold.value.figures().len(), threshold.comparison), (figures, comparison), "{expression}");
            assert!((threshold.limit - limit).abs() < 1e-9, "{expression}: {}", threshold.limit);
        }
        let difference = parse("wal.commits_per_s < delete.commits_per_s + 1").unwrap();
        let value = difference.value.evaluate(&mut |figure| match figure {
            Figure::Trial { journal_mode: JournalMode::Wal, .. } => Ok(7.0),
            Figure::Trial { .. } => Ok(4.0),
            Figure::Snapshots { .. } | Figure::Run(_) => Err(()),
        });
        assert_eq!(value, Ok(2.0));
    }

    #[test]
    fn what_could_say_nothing_is_refused() {
        for (expression, error) in [
            ("1 < 2", "column 1: no figure is named in it"),
            ("lost_writes < 1 / 0", "column 1: the side without a figure has no value"),
            ("wal.commits_per_s == 5", "column 19: `==` of a measured figure: no two trials"),
            ("5 != wal.commits_per_s + lost_writes", "column 3: `!=` of a measured figure"),
            ("wal.commits_per_ss > 5", "column 5: `commits_per_ss` is unknown here, did you mean `commits_per_s`?"),
            ("(1 + lost_write) > 5", "column 6: `lost_write` is unknown here, did you mean `lost_writes`?"),
            ("é > 5", "column 1: found `é`, expected a number"),
        ] {
            let found = parse(expression).unwrap_err();
            assert!(found.starts_with(error), "{expression}: {found}");
        }
        assert!(parse("snapshot.cp.wal.exact_share == 1").is_ok(), "a count of what was judged");
    }
}

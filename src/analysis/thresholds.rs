//! What became of the thresholds of a scenario.
//!
//! Trials are compared where they differ in their journal mode only: a *block* has the same rate, `synchronous`, strategy and
//! repetition. An expression about measured figures has a value in each block, and of a group of blocks (one rate, one
//! `synchronous`) the median of these, with the interval of a median. It is kept where the whole interval keeps the limit, and
//! broken where the whole interval breaks it. Counts and facts need no interval: their value decides.
//!
//! Where anything is unknown, so is the whole: nobody can say whether the threshold was kept.

mod figures;

use std::collections::BTreeMap;

use crate::{
    results::{Results, Status, ThresholdInterval, ThresholdResult, TrialResult},
    scenario::Conditions,
    snapshot::Strategy,
    statistics::{ERROR_SHARE, Interval, PAIRS_LEAST, median, median_interval, share_interval},
    threshold::{Comparison, Figure, SnapshotFigure, Term, Threshold},
};

/// What became of each threshold of the scenario: one result, or one for each group, the worst first. What results say of
/// thresholds themselves is not looked at.
#[must_use]
pub fn thresholds(results: &Results) -> Vec<ThresholdResult> {
    let groups = groups(results);
    let mut found = Vec::new();
    for threshold in &results.scenario.thresholds {
        if has_groups(threshold) {
            let mut of_groups: Vec<_> = groups.iter().map(|group| result(threshold, group)).collect();
            of_groups.sort_by(|one, other| order(threshold.comparison, one, other));
            found.extend(of_groups);
        } else {
            found.push(result(threshold, &Group { results, name: None, trials: Vec::new() }));
        }
    }
    found
}

/// Whether it is about anything but the whole run.
fn has_groups(threshold: &Threshold) -> bool {
    threshold.value.figures().iter().any(|figure| match figure {
        Figure::Trial { .. } | Figure::Snapshots { .. } => true,
        Figure::Run(_) => false,
    })
}

/// The trials of one rate and one `synchronous`.
struct Group<'a> {
    results: &'a Results,
    /// Where there are several.
    name: Option<String>,
    trials: Vec<&'a TrialResult>,
}

/// Trials by journal mode that differ in nothing else.
type Block<'a> = Vec<&'a TrialResult>;

/// All groups that the scenario has.
fn groups(results: &Results) -> Vec<Group<'_>> {
    let all = results.scenario.conditions();
    let is_one = all.len() == 1;
    let group = |conditions: Conditions| Group {
        results,
        name: (!is_one).then(|| conditions.in_words(", ")),
        trials: results.trials.iter().filter(|trial| trial.is_of(conditions)).collect(),
    };
    all.into_iter().map(group).collect()
}

/// The worse comes first: broken, inconclusive, held, and of two alike the one that is nearer to being broken, or further
/// beyond the limit.
fn order(comparison: Comparison, one: &ThresholdResult, other: &ThresholdResult) -> std::cmp::Ordering {
    // A value that there is none of is unknown, or later than every time.
    let badness = |result: &ThresholdResult| {
        let value = result.value.unwrap_or(f64::INFINITY);
        match comparison {
            Comparison::Less | Comparison::AtMost => value,
            Comparison::Greater | Comparison::AtLeast => -value,
            Comparison::Equal => (value - result.limit).abs(),
            Comparison::Different => 0.0,
        }
    };
    one.outcome().cmp(&other.outcome()).then(badness(other).total_cmp(&badness(one)))
}

/// What is known of a value.
struct Finding {
    /// It may be infinite, and is no number where it is unknown.
    value: f64,
    interval: Option<Interval>,
    held: Option<bool>,
    because: String,
}

impl Finding {
    fn unknown(because: String) -> Self {
        Self { value: f64::NAN, interval: None, held: None, because }
    }
}

fn result(threshold: &Threshold, group: &Group<'_>) -> ThresholdResult {
    let found = if threshold.is_measured() { measured(threshold, group) } else { counted(threshold, group) };
    let Finding { value, interval, held, because } = found.unwrap_or_else(Finding::unknown);
    // JSON has no infinite number.
    let finite = |number: f64| Some(number).filter(|number| number.is_finite());
    ThresholdResult {
        expression: threshold.expression.clone(),
        group: group.name.clone(),
        value: finite(value),
        limit: threshold.limit,
        interval: interval.map(|Interval { low, high }| ThresholdInterval { low: finite(low), high: finite(high) }),
        held,
        because: if value.is_infinite() { format!("no answer is later than every time; {because}") } else { because },
    }
}

/// A value as it is, or why it is none.
fn number(value: f64) -> Result<f64, String> {
    if value.is_nan() {
        Err("it has no value: a division by 0, or one figure without an answer against another".to_owned())
    } else {
        Ok(value)
    }
}

/// Of counts and facts.
fn counted(threshold: &Threshold, group: &Group<'_>) -> Result<Finding, String> {
    let value = number(threshold.value.evaluate(&mut |figure| group.fact(*figure))?)?;
    let (interval, because) = match threshold.value {
        Term::Figure(Figure::Snapshots { strategy, journal_mode, figure: SnapshotFigure::ExactShare }) => {
            let snapshots = figures::snapshots(&group.trials, strategy, journal_mode);
            let (exact, judged) = figures::exact_of_judged(&snapshots);
            (Some(share_interval(exact, judged)), format!("{exact} of {judged} snapshots were exact"))
        }
        _ => (None, "it was counted, so its value decides".to_owned()),
    };
    let held = Some(threshold.comparison.holds(value, threshold.limit));
    Ok(Finding { value, interval, held, because })
}

/// Of figures that trials are the evidence of.
fn measured(threshold: &Threshold, group: &Group<'_>) -> Result<Finding, String> {
    let figures = threshold.value.figures();
    let blocks: Vec<Block<'_>> = group.blocks().into_iter().filter(|block| has_all(block, &figures)).collect();
    let value_of = |block: &Block<'_>| {
        let value = threshold.value.evaluate(&mut |figure| match figure {
            Figure::Trial { journal_mode, phase, figure } => {
                let trial = block.iter().find(|trial| trial.journal_mode == *journal_mode);
                let phases = trial.map_or_else(Vec::new, |trial| figures::phases(trial, *phase));
                figures::of_phases(&phases, *figure)
                    .map_err(|why| trial.map_or_else(|| why.clone(), |trial| format!("{}: {why}", trial.id)))
            }
            Figure::Snapshots { .. } | Figure::Run(_) => group.fact(*figure),
        });
        value.and_then(number)
    };
    let values = blocks.iter().map(value_of).collect::<Result<Vec<f64>, String>>()?;
    let value = median(&values).ok_or_else(|| "no block of trials has all of its figures".to_owned())?;
    let value = number(value)?;
    let many =
        if values.len() == 1 { "1 block of trials".to_owned() } else { format!("{} blocks of trials", values.len()) };
    let Some(interval) = median_interval(&values, ERROR_SHARE) else {
        let because = format!("{many}, and an interval takes {PAIRS_LEAST}");
        return Ok(Finding { value, interval: None, held: None, because });
    };
    let keeps = [interval.low, interval.high].map(|bound| threshold.comparison.holds(bound, threshold.limit));
    let (held, because) = match keeps {
        [true, true] => (Some(true), "all of the interval keeps the limit"),
        [false, false] => (Some(false), "all of the interval breaks the limit"),
        [true, false] | [false, true] => (None, "the limit lies in the interval"),
    };
    Ok(Finding { value, interval: Some(interval), held, because: format!("{because}; {many}") })
}

/// Whether a block has a trial and a phase for each figure of a trial.
fn has_all(block: &[&TrialResult], figures: &[&Figure]) -> bool {
    figures.iter().all(|figure| match figure {
        Figure::Trial { journal_mode, phase, .. } => {
            block.iter().any(|trial| trial.journal_mode == *journal_mode && !figures::phases(trial, *phase).is_empty())
        }
        Figure::Snapshots { .. } | Figure::Run(_) => true,
    })
}

impl<'a> Group<'a> {
    /// Its whole trials, but for those that were disturbed and run again, by what they have in common.
    fn blocks(&self) -> Vec<Block<'a>> {
        let mut blocks: BTreeMap<(Strategy, u32), Block<'a>> = BTreeMap::new();
        let is_measured = |trial: &&&TrialResult| trial.status.is_whole() && !self.results.is_replaced(trial);
        for &trial in self.trials.iter().filter(is_measured) {
            blocks.entry((trial.strategy, trial.repetition)).or_default().push(trial);
        }
        blocks.into_values().collect()
    }

    /// A figure that is a count or a fact. Of a run that was stopped none is final.
    fn fact(&self, figure: Figure) -> Result<f64, String> {
        let of = self.results.scenario.trial_count();
        let is_run = |trial: &&TrialResult| match trial.status {
            Status::Completed | Status::Skipped | Status::Failed => true,
            Status::Interrupted => false,
        };
        let run = self.results.of_scenario().filter(is_run).count();
        if run < of {
            return Err(format!("only {run} of {of} trials were run"));
        }
        match figure {
            Figure::Trial { .. } => Err("a figure of a trial is no fact".to_owned()),
            Figure::Snapshots { strategy, journal_mode, figure } => {
                figures::of_snapshots(&figures::snapshots(&self.trials, strategy, journal_mode), figure)
                    .map_err(|why| format!("{strategy} under {journal_mode}: {why}"))
            }
            Figure::Run(figure) => figures::of_run(self.results, figure),
        }
    }
}

#[cfg(test)]
mod tests;

//! What people claimed about WAL and about `.backup`, tested: the claims of torrust-demo issues #85 and #86, each with the figures
//! of both journal modes.
//!
//! `questions` is the table of claims, `measures` the figures of a trial or a copy that they are about; here is what follows. A
//! claim is added as a row of the table. A run that lacks what a claim needs leaves it open, and says what is missing.

mod measures;
mod questions;

use super::{
    comparisons::{change, noise_floor, ratios},
    decision::factor,
    pairs::{Group, groups, neighbours, pairs},
};
use crate::{
    results::{Claim, ClaimFigure, ClaimOutcome, Outcome, Results, TrialResult},
    sqlite::JournalMode,
    statistics::{self, ERROR_SHARE, Interval, PAIRS_LEAST, share_interval},
};
use measures::Copy;
use questions::{QUESTIONS, Question, Rule, Test};

/// The fewest copies of which something follows where all of them are alike: six of six are at least 61 %.
const COPIES_LEAST: u64 = 6;

/// What the figures of a trial are computed with.
struct Setting {
    /// When a client gives up.
    timeout_us: u64,
}

/// Every claim, tested on each group of trials that differ in journal mode, strategy and repetition only.
#[must_use]
pub fn claims(results: &Results) -> Vec<Claim> {
    let setting = Setting { timeout_us: super::comparisons::timeout_us(results) };
    let groups = groups(results);
    groups.iter().flat_map(|group| QUESTIONS.iter().map(|question| claim(question, group, &setting))).collect()
}

/// What a test found.
struct Found {
    delete: Option<ClaimFigure>,
    wal: Option<ClaimFigure>,
    outcome: ClaimOutcome,
    because: String,
}

fn claim(question: &Question, group: &Group<'_>, setting: &Setting) -> Claim {
    let found = match question.test {
        Test::Pairs { value, needs_headroom, wal_is } => {
            let is_queue = needs_headroom && group.is_saturated();
            let value = |trial: &TrialResult| if is_queue { None } else { value(trial, setting) };
            let found = of_pairs(group, value, wal_is);
            if is_queue { Found { because: QUEUE.to_owned(), ..found } } else { found }
        }
        Test::Beyond { value, limit } => beyond(group, value, limit),
        Test::During { value } => during(group, value),
        Test::Copies { hit, modes, rule } => copies(group, setting, hit, modes, rule),
    };
    let Found { delete, wal, outcome, because } = found;
    Claim {
        claim: question.claim.to_owned(),
        source: question.source,
        stance: question.stance,
        how: question.how.to_owned(),
        conditions: group.conditions,
        delete,
        wal,
        unit: question.unit.to_owned(),
        outcome,
        because,
    }
}

/// Why response times are not compared.
const QUEUE: &str = "more was offered than a mode could do, so its times are those of a queue";

fn of_mode<'a>(group: &'a Group<'_>, mode: JournalMode) -> impl Iterator<Item = &'a TrialResult> {
    group.trials.iter().copied().filter(move |trial| trial.journal_mode == mode)
}

/// The median under a mode, with its interval.
fn median_of(values: &[f64]) -> Option<ClaimFigure> {
    let value = statistics::median(values)?;
    let interval = statistics::median_interval(values, ERROR_SHARE);
    Some(ClaimFigure { value, interval, of: values.len() as u64 })
}

/// Which way a claim says that WAL differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WalIs {
    Less,
    More,
}

/// Compares the modes pair by pair: by the ratio where both have some, or else by the difference.
fn of_pairs(group: &Group<'_>, value: impl Fn(&TrialResult) -> Option<f64>, wal_is: WalIs) -> Found {
    let values = |mode| of_mode(group, mode).filter_map(&value).collect::<Vec<_>>();
    let (delete, wal) = (median_of(&values(JournalMode::Delete)), median_of(&values(JournalMode::Wal)));
    let is_of = |mode| move |trial: &TrialResult| trial.journal_mode == mode;
    let pairs = pairs(&group.trials, is_of(JournalMode::Delete), is_of(JournalMode::Wal));
    let pairs: Vec<_> = pairs.into_iter().filter_map(|(base, new)| Some((value(base)?, value(new)?))).collect();
    let has_ratios = pairs.iter().all(|(base, new)| *base > 0.0 && *new > 0.0);
    let (differs, because) = match pairs.len() {
        0 => (None, "the run has no pair of trials with this figure".to_owned()),
        few if few < PAIRS_LEAST => (None, format!("{few} pairs, and it takes {PAIRS_LEAST}")),
        _ if has_ratios => by_ratio(group, &value, &pairs),
        _ => by_difference(&pairs),
    };
    let outcome = match (differs, wal_is) {
        (Some(Differs::Less), WalIs::Less) | (Some(Differs::More), WalIs::More) => ClaimOutcome::Holds,
        (Some(_), _) => ClaimOutcome::DoesNotHold,
        (None, _) => ClaimOutcome::Open,
    };
    Found { delete, wal, outcome, because }
}

/// How WAL differs from delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Differs {
    Less,
    Same,
    More,
}

fn by_ratio(
    group: &Group<'_>,
    value: &impl Fn(&TrialResult) -> Option<f64>,
    pairs: &[(f64, f64)],
) -> (Option<Differs>, String) {
    let of_pairs: Vec<f64> = pairs.iter().map(|(base, new)| new / base).collect();
    let positive = |trial: &TrialResult| value(trial).filter(|value| *value > 0.0);
    let floor = noise_floor(&ratios(neighbours(&group.trials).into_iter(), positive));
    let change = change(&of_pairs, floor);
    let differs = match change.outcome {
        Outcome::Better => Some(Differs::Less),
        Outcome::Worse => Some(Differs::More),
        Outcome::Same => Some(Differs::Same),
        Outcome::Inconclusive => None,
    };
    let interval = change.interval.map_or_else(String::new, |interval| within(interval, factor));
    let ratio = change.ratio.map_or_else(String::new, factor);
    let noise = match (differs, floor) {
        (None, Some(floor)) => format!("; trials alike differ by up to {} times", factor(floor)),
        _ => String::new(),
    };
    (differs, format!("{ratio} times{interval} in {} pairs{noise}", change.pairs))
}

fn by_difference(pairs: &[(f64, f64)]) -> (Option<Differs>, String) {
    let differences: Vec<f64> = pairs.iter().map(|(base, new)| new - base).collect();
    let median = statistics::median(&differences).unwrap_or_default();
    let interval = statistics::median_interval(&differences, ERROR_SHARE);
    let differs = match interval {
        Some(interval) if interval.is_below(0.0) => Some(Differs::Less),
        Some(interval) if interval.is_above(0.0) => Some(Differs::More),
        Some(Interval { low: 0.0, high: 0.0 }) => Some(Differs::Same),
        Some(_) | None => None,
    };
    let interval = interval.map_or_else(String::new, |interval| within(interval, amount));
    (differs, format!("a difference of {}{interval} in {} pairs", amount(median), pairs.len()))
}

/// Whether the most that was seen under WAL is beyond a limit of its own trial.
fn beyond(group: &Group<'_>, value: measures::OfTrial, limit: measures::OfTrial) -> Found {
    let most = |mode| {
        let values: Vec<f64> = of_mode(group, mode).filter_map(value).collect();
        let of = values.len() as u64;
        let value = values.into_iter().reduce(f64::max)?;
        Some(ClaimFigure { value, interval: None, of })
    };
    let (delete, wal) = (most(JournalMode::Delete), most(JournalMode::Wal));
    let limits = || of_mode(group, JournalMode::Wal).filter_map(limit);
    let beyond = of_mode(group, JournalMode::Wal).filter(|trial| {
        let (value, limit) = (value(trial), limit(trial));
        value.zip(limit).is_some_and(|(value, limit)| value > limit)
    });
    let beyond = beyond.count();
    let (outcome, because) = match (wal, limits().reduce(f64::min)) {
        (Some(wal), Some(limit)) => {
            // What was not seen may be all the same.
            let outcome = if beyond > 0 { ClaimOutcome::Holds } else { ClaimOutcome::Open };
            (outcome, format!("beyond {} in {beyond} of {} trials", amount(limit), wal.of))
        }
        _ => (ClaimOutcome::Open, "the run has no trial under wal with this figure".to_owned()),
    };
    Found { delete, wal, outcome, because }
}

/// Whether a figure is larger while `.backup` runs than in the baseline of the same trial.
fn during(group: &Group<'_>, value: measures::OfPhase) -> Found {
    let of = |mode| {
        let trials = of_mode(group, mode).filter(|trial| measures::is_dot_backup(trial.strategy));
        let values: Vec<f64> = trials.filter_map(|trial| measures::beyond_baseline(trial, value)).collect();
        median_of(&values)
    };
    let (delete, wal) = (of(JournalMode::Delete), of(JournalMode::Wal));
    let intervals = [delete, wal].map(|figure| figure.and_then(|figure| figure.interval));
    let is_above = |interval: Option<Interval>| interval.is_some_and(|interval| interval.is_above(0.0));
    let outcome = match intervals {
        [one, other] if is_above(one) || is_above(other) => ClaimOutcome::Holds,
        [Some(one), Some(other)] if one.high <= 0.0 && other.high <= 0.0 => ClaimOutcome::DoesNotHold,
        _ => ClaimOutcome::Open,
    };
    let words = |mode: JournalMode, figure: Option<ClaimFigure>| match figure {
        None => format!("none under {mode}"),
        Some(figure) => format!("{} trials under {mode}", figure.of),
    };
    let because = format!("{}, {}", words(JournalMode::Delete, delete), words(JournalMode::Wal, wal));
    Found { delete, wal, outcome, because }
}

/// How many copies of `.backup` are as claimed.
fn copies(group: &Group<'_>, setting: &Setting, hit: measures::OfCopy, modes: &[JournalMode], rule: Rule) -> Found {
    let of = |mode: JournalMode| {
        let replaced = || group.replaced.iter().copied().filter(move |trial| trial.journal_mode == mode);
        let trials = || of_mode(group, mode).chain(replaced());
        let copies =
            || trials().flat_map(|trial| measures::copies(trial, setting)).filter_map(|copy: Copy<'_>| hit(&copy));
        let hits = copies().filter(|hit| *hit).count() as u64;
        (hits, copies().count() as u64)
    };
    let counted = modes.iter().map(|mode| (*mode, of(*mode))).collect::<Vec<_>>();
    let figure = |mode| {
        let (_, (hits, of)) = counted.iter().find(|(of_mode, _)| *of_mode == mode)?;
        let interval = share_interval(*hits, *of).map(|share| share * 100.0);
        (*of > 0).then(|| ClaimFigure { value: *hits as f64 / *of as f64 * 100.0, interval: Some(interval), of: *of })
    };
    let words: Vec<_> = counted.iter().map(|(mode, (hits, of))| format!("{hits} of {of} under {mode}")).collect();
    Found {
        delete: figure(JournalMode::Delete),
        wal: figure(JournalMode::Wal),
        outcome: rule.outcome(&counted),
        because: words.join(", "),
    }
}

impl Rule {
    /// What follows from hits and cases, by journal mode.
    fn outcome(self, counted: &[(JournalMode, (u64, u64))]) -> ClaimOutcome {
        let has_enough = counted.iter().all(|(_, (_, of))| *of >= COPIES_LEAST);
        let has_miss = counted.iter().any(|(_, (hits, of))| hits < of);
        let has_hit = counted.iter().any(|(_, (hits, _))| *hits > 0);
        match self {
            Self::Always if has_miss => ClaimOutcome::DoesNotHold,
            Self::Always if has_enough => ClaimOutcome::Holds,
            Self::Sometimes if has_hit => ClaimOutcome::Holds,
            Self::Sometimes if has_enough => ClaimOutcome::DoesNotHold,
            Self::Always | Self::Sometimes => ClaimOutcome::Open,
        }
    }
}

fn within(interval: Interval, words: impl Fn(f64) -> String) -> String {
    format!(" ({} to {})", words(interval.low), words(interval.high))
}

fn amount(amount: f64) -> String {
    if amount.abs() < 10.0 { format!("{amount:.2}") } else { format!("{amount:.0}") }
}

#[cfg(test)]
mod tests;

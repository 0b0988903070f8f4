//! The question of a scenario and its answer, a sentence each: what every report for people begins with.

use std::collections::BTreeMap;

use super::{
    context::Context,
    figure_text::number,
    matrix::{self, Entry},
    summary::{self, share},
};
use crate::{
    measure::OperationKind,
    results::{
        BackupDecision, BackupStrategy, Comparison, ModeDecision, ModeOutcome, Outcome, PhaseName, Results,
        ThresholdOutcome,
    },
    statistics::PAIRS_LEAST,
};

/// What a reader who has to decide wants first.
pub struct Answer {
    /// What was asked.
    pub question: String,
    /// What follows, a sentence each.
    pub sentences: Vec<String>,
    /// What does not, and why, a sentence each.
    pub open: Vec<String>,
}

/// Of a run.
pub fn answer(results: &Results) -> Answer {
    let entries = matrix::entries(results);
    let mut sentences = Vec::new();
    let mut open = summary::missing(results);
    if let Some(decision) = &results.decision {
        if let Some(mode) = &decision.journal_mode {
            sentences.push(of_mode(results, mode));
            open.extend(mode.open.iter().cloned());
        }
        sentences.extend(decision.backup.iter().map(of_backup));
        let has_few = |backup: &BackupDecision| backup.strategies.iter().any(|one| one.interval.is_none());
        if decision.backup.iter().any(has_few) {
            open.push(format!("What a snapshot costs takes {PAIRS_LEAST} trials of each strategy to be compared."));
        }
    }
    sentences.extend(thresholds(results));
    sentences.extend(no_backups(&entries));
    sentences.extend(summary::ceilings(results));
    open.extend(summary::not_judged(results));
    open.extend(summary::lucky(results));
    Answer { question: Context::new(results).why(), sentences, open }
}

fn of_mode(results: &Results, mode: &ModeDecision) -> String {
    let outcome = match mode.outcome {
        ModeOutcome::KeepWal => "Journal mode: keep WAL.",
        ModeOutcome::RevertToDelete => "Journal mode: revert to delete.",
        ModeOutcome::Open => "Journal mode: open.",
    };
    match most_telling(results) {
        Some(evidence) => format!("{outcome} {evidence}"),
        None => outcome.to_owned(),
    }
}

/// Of the response times of the baselines that a mode changed, the one that clients feel most: of commits before reads and
/// scrapes, and its 99th percentile before its median.
fn most_telling(results: &Results) -> Option<String> {
    let is_felt = |one: &&Comparison| {
        let is_told = matches!(one.change.outcome, Outcome::Better | Outcome::Worse);
        is_told && one.subject.phase == PhaseName::Baseline && one.subject.figure.is_felt()
    };
    let felt: Vec<_> = results.comparisons.entries().iter().filter(is_felt).collect();
    let one = felt.iter().min_by_key(|one| (interest(one.subject.kind), !one.subject.figure.is_tail()))?;
    let (ratio, interval) = (one.change.ratio?, one.change.interval?);
    Some(format!(
        "Under {} the {} {} takes {} times as long as under {} ({} to {}, {} pairs).",
        one.new,
        one.subject.kind,
        one.subject.figure,
        number(ratio),
        one.base,
        number(interval.low),
        number(interval.high),
        one.change.pairs
    ))
}

/// What became of the thresholds, the broken ones by name.
fn thresholds(results: &Results) -> Option<String> {
    let outcomes: Vec<_> = results.worst_thresholds().filter_map(|groups| groups.first()).collect();
    let of = |outcome| outcomes.iter().filter(move |one| one.outcome() == outcome);
    let count = |outcome| of(outcome).count();
    let broken: Vec<_> = of(ThresholdOutcome::Broken).map(|one| one.expression.clone()).collect();
    let named = if broken.is_empty() { String::new() } else { format!(" Broken: {}.", broken.join("; ")) };
    (!outcomes.is_empty()).then(|| {
        format!(
            "Thresholds: {} held, {} broken, {} inconclusive.{named}",
            count(ThresholdOutcome::Held),
            broken.len(),
            count(ThresholdOutcome::Inconclusive)
        )
    })
}

/// The lower, the more its times say of the journal mode.
fn interest(kind: OperationKind) -> u8 {
    match kind {
        OperationKind::Commit => 0,
        OperationKind::Read => 1,
        OperationKind::Scrape => 2,
        OperationKind::Announce => 3,
    }
}

/// Which way to back up.
fn of_backup(backup: &BackupDecision) -> String {
    let mode = backup.journal_mode;
    let best: Vec<_> = backup.strategies.iter().filter(|one| one.is_for_scripts && one.is_unbeaten).collect();
    if best.is_empty() {
        return format!("Backup under {mode}: no strategy that a script can run was exact every time.");
    }
    let words = |one: &&BackupStrategy| {
        format!("{}, exact {} of {} ({})", one.strategy, one.exact, one.exact, share(one.exact, one.exact))
    };
    let words: Vec<_> = best.iter().map(words).collect();
    format!("Backup under {mode}: {}.", words.join("; or "))
}

/// The strategies whose copies are not all exact, with how many were, under all journal modes together.
fn no_backups(entries: &[Entry<'_>]) -> Option<String> {
    let mut by_strategy: BTreeMap<_, (u64, u64)> = BTreeMap::new();
    for entry in entries {
        let (exact, judged) = by_strategy.entry(entry.strategy).or_default();
        (*exact, *judged) = (*exact + entry.exact(), *judged + entry.judged());
    }
    let bad = by_strategy.into_iter().filter(|(_, (exact, judged))| exact < judged);
    let words: Vec<_> = bad.map(|(strategy, (exact, judged))| format!("{strategy} {exact} of {judged}")).collect();
    let silent: usize = entries.iter().map(Entry::silent_failures).sum();
    let unnoticed = match silent {
        0 => String::new(),
        1 => " integrity_check said ok to one of the bad copies.".to_owned(),
        several => format!(" integrity_check said ok to {several} of the bad copies."),
    };
    (!words.is_empty()).then(|| format!("Not exact every time: {}.{unnoticed}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracle::Verdict,
        results::{Change, Figure, Subject, samples},
        run::derive,
        snapshot::Strategy,
        sqlite::{JournalMode, Synchronous},
        statistics::Interval,
    };

    #[test]
    fn the_answer_names_what_to_use_and_what_not() {
        let mut torn = samples::trial(JournalMode::Delete, Strategy::Cp);
        torn.snapshots = vec![samples::snapshot(Strategy::Cp, Verdict::Torn)];
        let mut results = samples::results(vec![
            samples::trial(JournalMode::Delete, Strategy::VacuumInto),
            torn,
            samples::trial(JournalMode::Wal, Strategy::VacuumInto),
        ]);
        derive(&mut results);
        let answer = answer(&results);
        assert_eq!(
            answer.sentences,
            [
                "Journal mode: open.",
                "Backup under delete: vacuum-into, exact 1 of 1 (at least 5 %).",
                "Backup under wal: vacuum-into, exact 1 of 1 (at least 5 %).",
                "Not exact every time: cp 0 of 1. integrity_check said ok to one of the bad copies."
            ]
        );
        assert!(answer.open.iter().any(|open| open.contains("takes 6 trials")), "{:?}", answer.open);
    }

    #[test]
    fn the_most_telling_figure_is_that_of_commits() {
        let comparison = |kind, figure, outcome| Comparison {
            base: JournalMode::Delete,
            new: JournalMode::Wal,
            synchronous: Synchronous::Full,
            offered_rate_ops: Some(1_000.0),
            announce_connections: None,
            subject: Subject { phase: PhaseName::Baseline, strategy: None, kind, figure },
            change: Change {
                pairs: 7,
                ratio: Some(0.25),
                interval: Some(Interval { low: 0.2, high: 0.3 }),
                noise_floor: None,
                outcome,
            },
        };
        let mut results = samples::results(Vec::new());
        results.comparisons = vec![
            comparison(OperationKind::Scrape, Figure::ResponseP99, Outcome::Better),
            comparison(OperationKind::Commit, Figure::ServiceP99, Outcome::Better),
            comparison(OperationKind::Commit, Figure::ResponseP99, Outcome::Inconclusive),
            comparison(OperationKind::Commit, Figure::ResponseP50, Outcome::Better),
        ]
        .into();
        let sentence = most_telling(&results).unwrap();
        assert_eq!(
            sentence,
            "Under wal the commit response p50 takes 0.25 times as long as under delete (0.20 to 0.30, 7 pairs)."
        );
    }
}

//! The question of a scenario and its answer, a sentence each: what every report for people begins with.

use std::collections::BTreeMap;

use super::{
    claims, conditions,
    context::Context,
    distinct,
    figure_text::number,
    kill,
    matrix::{self, Entry},
    power_loss,
    summary::{self, share},
};
use crate::{
    analysis::{self, PairTimes},
    measure::OperationKind,
    oracle::Verdict,
    results::{
        BackupDecision, BackupStrategy, Change, Comparison, ModeDecision, ModeOutcome, Outcome, PhaseName, Results,
        SnapshotResult, Status, Subject, ThresholdOutcome, TrialResult,
    },
    snapshot::{Isolation, Strategy},
    statistics::{self, PAIRS_LEAST},
};

/// From so many copies on a share says something: with 95 % confidence, ten exact ones of ten are 69 % at least.
const FEW: u64 = 10;

/// What a reader who has to decide wants first.
pub struct Answer {
    /// What was asked.
    pub question: String,
    /// Of what, and on which machine.
    pub setting: String,
    /// What follows, a sentence each.
    pub sentences: Vec<String>,
    /// What does not, and why, a sentence each.
    pub open: Vec<String>,
}

/// Of a run.
pub fn answer(results: &Results) -> Answer {
    let entries = matrix::entries(results);
    let mut sentences: Vec<String> = Context::new(results).emulation().into_iter().collect();
    sentences.extend(power_loss::sentences(results));
    sentences.extend(kill::sentences(results));
    let mut open = summary::missing(results);
    if let Some(decision) = &results.decision {
        if let Some(mode) = &decision.journal_mode {
            sentences.push(of_mode(results, mode));
            open.extend(mode.open.iter().cloned());
        }
        sentences.extend(decision.backup.iter().map(of_backup));
        // Where there is no cost, more trials need not give one.
        let is_of_few = |one: &BackupStrategy| one.lost_client_s.is_some() && one.interval.is_none();
        let has_few = |backup: &BackupDecision| backup.strategies.iter().any(is_of_few);
        if decision.backup.iter().any(has_few) {
            open.push(format!("What a snapshot costs takes {PAIRS_LEAST} trials of each strategy to be compared."));
        }
    }
    sentences.extend(claims::sentence(results));
    sentences.extend(thresholds(results));
    sentences.extend(no_backups(&entries));
    sentences.extend(summary::ceilings(results));
    open.extend(few(&entries));
    open.extend(skipped(results));
    open.extend(summary::not_judged(results));
    open.extend(summary::lucky(results));
    Answer { question: Context::new(results).why(), setting: conditions::in_a_sentence(results), sentences, open }
}

fn of_mode(results: &Results, mode: &ModeDecision) -> String {
    let outcome = match mode.outcome {
        ModeOutcome::KeepWal => "Journal mode: keep WAL, or change to it.",
        ModeOutcome::RevertToDelete => "Journal mode: keep delete, or change back to it.",
        ModeOutcome::Open => "Journal mode: open.",
    };
    match most_telling(results) {
        Some(evidence) => format!("{outcome} {}", in_words(results, evidence)),
        None => outcome.to_owned(),
    }
}

/// Of the response times of the baselines that a mode changed, the one that clients feel most: of commits before reads,
/// scrapes and announces, and its 99th percentile before its median.
fn most_telling(results: &Results) -> Option<&Comparison> {
    let is_felt = |one: &&Comparison| {
        let is_told = matches!(one.change.outcome, Outcome::Better | Outcome::Worse);
        is_told && one.subject.phase == PhaseName::Baseline && one.subject.figure.is_felt()
    };
    let felt: Vec<_> = results.comparisons.entries().iter().filter(is_felt).collect();
    felt.into_iter().min_by_key(|one| (interest(one.subject.kind), !one.subject.figure.is_tail()))
}

/// A response time under both modes, and beside it the service time, in which nobody waits for a connection.
fn in_words(results: &Results, one: &Comparison) -> String {
    let Subject { kind, figure, .. } = one.subject;
    let which = if figure.is_tail() { "99th percentile of the" } else { "median" };
    let times = analysis::pair_times(results, one);
    let median_ms = |of: fn(&PairTimes) -> f64| {
        let median_us = statistics::median(&times.iter().map(of).collect::<Vec<_>>());
        median_us.map_or_else(|| "unknown".to_owned(), |us| format!("{} ms", number(us / 1e3)))
    };
    let service = results.comparisons.entries().iter().find(|other| {
        let is_like = other.subject == Subject { figure: figure.of_service(), ..one.subject };
        is_like && other.conditions == one.conditions
    });
    let once_begun = service.map(|service| format!(" Once begun, it takes {}.", factor(service))).unwrap_or_default();
    format!(
        "The {which} response time of {} is {} under {} and {} under {}: {}.{once_begun}",
        with_article(kind),
        median_ms(|pair| pair.new_us),
        one.new,
        median_ms(|pair| pair.base_us),
        one.base,
        factor(one)
    )
}

fn with_article(kind: OperationKind) -> String {
    match kind {
        OperationKind::Announce => format!("an {kind}"),
        OperationKind::Commit | OperationKind::Read | OperationKind::Scrape => format!("a {kind}"),
    }
}

/// How many times as long, and how sure that is.
fn factor(one: &Comparison) -> String {
    let Change { ratio, interval, pairs, .. } = one.change;
    let ratio = ratio.map_or_else(|| "an unknown number of".to_owned(), number);
    let between = interval
        .map_or_else(String::new, |interval| format!("{} to {}, ", number(interval.low), number(interval.high)));
    format!("{ratio} times as long ({between}{pairs} pairs)")
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

/// Which way to back up. A command line of the user's own is always named, and other ways that no script can go where there is none
/// that one can.
fn of_backup(backup: &BackupDecision) -> String {
    let mode = backup.journal_mode;
    let (for_scripts, others): (Vec<_>, Vec<_>) = backup.strategies.iter().partition(|one| one.is_for_scripts);
    let is_of_user = |one: &&BackupStrategy| matches!(one.strategy.definition().isolation, Isolation::Unknown);
    let best = for_scripts.iter().copied().filter(|one| one.is_unbeaten);
    let others = others.into_iter().filter(|one| for_scripts.is_empty() || is_of_user(one));
    let words: Vec<_> = best.chain(others).map(exact_every_time).collect();
    if words.is_empty() {
        return format!("Backup under {mode}: no strategy that a script can run was shown to be exact every time.");
    }
    format!("Backup under {mode}: {}.", words.join("; or "))
}

/// How often a strategy was exact, and what speaks against relying on that in a script.
fn exact_every_time(one: &BackupStrategy) -> String {
    let BackupStrategy { strategy, exact, .. } = one;
    let but = match strategy.definition().isolation {
        Isolation::Unknown => ", and what protects it is not known here",
        Isolation::Isolated | Isolation::Unprotected { .. } if one.is_for_scripts => "",
        Isolation::Isolated | Isolation::Unprotected { .. } => ", and out of a script's reach",
    };
    format!("{strategy}, exact {exact} of {exact} ({} of all such copies){but}", share(*exact, *exact))
}

/// In which way a copy was no backup.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Failure {
    /// The strategy reported success and SQLite's check said ok.
    Silent,
    /// The strategy reported success, and SQLite's check did not say ok or was not asked.
    Noticed,
    /// The strategy failed or was stopped.
    Unfinished,
}

impl Failure {
    fn of(snapshot: &SnapshotResult) -> Option<Self> {
        match snapshot.ruling.verdict? {
            Verdict::Exact => None,
            Verdict::Unfinished => Some(Self::Unfinished),
            Verdict::Stale | Verdict::Torn | Verdict::Corrupt | Verdict::Unreadable => {
                Some(if snapshot.ruling.silent_failure { Self::Silent } else { Self::Noticed })
            }
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Silent => "No backup, although it was reported as done and integrity_check says ok",
            Self::Noticed => "No backup, although it was reported as done",
            Self::Unfinished => "Failed, or did not end in time",
        }
    }
}

/// The strategies whose copies are not all exact, by how they failed, with how many did, under all journal modes together.
fn no_backups(entries: &[Entry<'_>]) -> Vec<String> {
    let mut judged: BTreeMap<Strategy, u64> = BTreeMap::new();
    let mut failed: BTreeMap<Failure, BTreeMap<Strategy, u64>> = BTreeMap::new();
    for entry in entries {
        *judged.entry(entry.strategy).or_default() += entry.judged();
        for failure in entry.snapshots.iter().filter_map(|(_, snapshot)| Failure::of(snapshot)) {
            *failed.entry(failure).or_default().entry(entry.strategy).or_default() += 1;
        }
    }
    let sentence = |(failure, strategies): (Failure, BTreeMap<Strategy, u64>)| {
        let of = |strategy| judged.get(strategy).copied().unwrap_or_default();
        let words = strategies.iter().map(|(strategy, times)| format!("{strategy} {times} of {} times", of(strategy)));
        format!("{}: {}.", failure.title(), words.collect::<Vec<_>>().join(", "))
    };
    failed.into_iter().map(sentence).collect()
}

/// That of each strategy there are few copies, where that is so.
fn few(entries: &[Entry<'_>]) -> Option<String> {
    let most = entries.iter().map(Entry::judged).max().filter(|most| *most < FEW)?;
    let copies = if most == 1 { "one copy".to_owned() } else { format!("{most} copies at most") };
    Some(format!("Of {copies} with each strategy under each mode: that shows what can happen, not how often."))
}

/// What was not run here, and why.
fn skipped(results: &Results) -> Vec<String> {
    let is_skipped = |trial: &&TrialResult| trial.status == Status::Skipped;
    let words = |trial: &TrialResult| {
        format!("{} was not run: {}.", trial.strategy, trial.reason.as_deref().unwrap_or("nobody knows why"))
    };
    distinct(results.trials.iter().filter(is_skipped).map(words))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::{Figure, samples},
        run::derive,
        sqlite::JournalMode,
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
                "Backup under delete: vacuum-into, exact 1 of 1 (at least 5 % of all such copies).",
                "Backup under wal: vacuum-into, exact 1 of 1 (at least 5 % of all such copies).",
                "No backup, although it was reported as done and integrity_check says ok: cp 1 of 1 times."
            ]
        );
        assert!(answer.open.iter().any(|open| open.contains("takes 6 trials")), "{:?}", answer.open);
    }

    #[test]
    fn what_was_exact_is_named_whether_or_not_a_script_can_run_it() {
        use Strategy::{Command, Cp, StopCopy, VacuumInto};
        let found =
            |strategy: &str, but: &str| format!("{strategy}, exact 1 of 1 (at least 5 % of all such copies){but}");
        let of_user = found("command", ", and what protects it is not known here");
        let of_writers = found("stop-copy", ", and out of a script's reach");
        let for_scripts = found("vacuum-into", "");
        let none = "no strategy that a script can run was shown to be exact every time".to_owned();
        for (strategies, said) in [
            (&[Cp][..], none),
            (&[Command], of_user.clone()),
            (&[StopCopy], of_writers.clone()),
            (&[Command, StopCopy], format!("{of_user}; or {of_writers}")),
            (&[VacuumInto, StopCopy], for_scripts.clone()),
            (&[VacuumInto, Command], format!("{for_scripts}; or {of_user}")),
        ] {
            let trials = strategies.iter().map(|strategy| samples::trial(JournalMode::Wal, *strategy));
            let mut results = samples::results(trials.collect());
            derive(&mut results);
            let sentences = answer(&results).sentences;
            assert!(sentences.contains(&format!("Backup under wal: {said}.")), "{strategies:?}: {sentences:?}");
        }
    }

    #[test]
    fn the_most_telling_figure_is_that_of_commits() {
        let comparison = |kind, figure, outcome| Comparison {
            base: JournalMode::Delete,
            new: JournalMode::Wal,
            conditions: samples::conditions(),
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
        let sentence = in_words(&results, most_telling(&results).unwrap());
        assert_eq!(
            sentence,
            "The median response time of a commit is unknown under wal and unknown under delete: 0.25 times as long (0.20 to \
            0.30, 7 pairs)."
        );
    }
}

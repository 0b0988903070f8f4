//! The sentences, on results made by hand.

use super::*;
use crate::{
    results::{Recorded, StepResult, StepStatus, samples},
    scenario::Shard,
};

fn trial(mode: JournalMode, strategy: Strategy) -> TrialResult {
    samples::trial(mode, strategy)
}

fn with_verdicts(mode: JournalMode, strategy: Strategy, verdicts: &[Verdict]) -> TrialResult {
    let snapshots = verdicts.iter().map(|verdict| samples::snapshot(strategy, *verdict)).collect();
    TrialResult { snapshots, ..trial(mode, strategy) }
}

/// The four trials of the sample scenario.
fn whole() -> Results {
    let strategies = [Strategy::Cp, Strategy::VacuumInto];
    let both = |strategy| [JournalMode::Delete, JournalMode::Wal].map(|mode| trial(mode, strategy));
    samples::results(strategies.into_iter().flat_map(both).collect())
}

#[test]
fn trials_and_snapshots_that_are_missing_are_counted() {
    type Change = fn(&mut Results);
    let cases: [(Change, &[&str]); 9] = [
        (|_| (), &[]),
        (|results| results.trials.truncate(1), &["Not complete: of 4 trials 3 are missing and 0 were cut short."]),
        (
            |results| results.trials[3].status = Status::Interrupted,
            &["Not complete: of 4 trials 0 are missing and 1 were cut short."],
        ),
        (
            |results| results.trials[0].snapshots_not_taken = Recorded::Known(2),
            &[
                "delete-full-1000-cp-1: 2 snapshots of the schedule were not taken, because those before them took too long.",
            ],
        ),
        (|results| results.trials[0].snapshots_not_taken = Recorded::Unknown, &[]),
        (
            |results| {
                results.shard = Shard::new(2, 2).ok();
                results.trials.truncate(2);
            },
            &["A part: shard 2 of 2, 2 of the scenario's 4 trials."],
        ),
        (
            |results| {
                results.shard = Shard::new(2, 2).ok();
                results.trials.truncate(1);
            },
            &[
                "A part: shard 2 of 2, 1 of the scenario's 4 trials.",
                "Not complete: of 2 trials 1 are missing and 0 were cut short.",
            ],
        ),
        (
            |results| {
                results.merged = vec![samples::merged_run(1, 2)];
                results.trials.truncate(2);
                results.trials[1].status = Status::Interrupted;
            },
            &[
                "A part: shard 1 of 2, 2 of the scenario's 4 trials.",
                "Not complete: of 4 trials 0 are missing and 1 were cut short.",
            ],
        ),
        (|results| results.merged = vec![samples::merged_run(1, 2), samples::merged_run(2, 2)], &[]),
    ];
    for (number, (change, expected)) in cases.into_iter().enumerate() {
        let mut results = whole();
        change(&mut results);
        assert_eq!(missing(&results), expected, "case {number}");
    }
}

#[test]
fn a_ceiling_is_told_where_more_was_offered() {
    let ceilings = |results: &Results| {
        let group = &groups(results)[0];
        group.modes().filter_map(|mode| ceiling(group, mode)).collect::<Vec<_>>()
    };
    let mut results = whole();
    assert!(ceilings(&results).is_empty());
    let saturated = &mut results.trials[0].phases[0];
    (saturated.achieved_rate_ops, saturated.achieved_commits_per_s) = (700.0, 35.0);
    let saturated = &mut results.trials[2].phases[0];
    (saturated.achieved_rate_ops, saturated.achieved_commits_per_s) = (800.0, 40.0);
    assert_eq!(
        ceilings(&results),
        [
            "delete could not do 1,000 operations a second: its ceiling here was 35 to 40 commits a second (700 to 800 requests), \
          and 50 commits a second were offered. Its response times show how long the queue was, and are not compared."
        ]
    );
    let mut closed = whole();
    closed.scenario = samples::scenario(&["load.arrivals=closed", "load.rate_ops=[]"]);
    let sentences = ceilings(&closed);
    assert_eq!(sentences.len(), 2);
    let begin = "Closed loop, delete, synchronous full: 50 commits a second (1,000 requests).";
    assert!(sentences[0].starts_with(begin), "{sentences:?}");
}

#[test]
fn exact_snapshots_are_counted_by_strategy_and_mode() {
    let mut results = whole();
    assert_eq!(
        exact_strategies(&groups(&results)),
        [
            "Exact snapshots: cp under delete 1 of 1 (at least 5 %), cp under wal 1 of 1 (at least 5 %), vacuum-into under delete 1 \
            of 1 (at least 5 %), vacuum-into under wal 1 of 1 (at least 5 %)."
        ]
    );
    results.trials.truncate(1);
    results.trials[0] =
        with_verdicts(JournalMode::Delete, Strategy::Cp, &[Verdict::Exact, Verdict::Torn, Verdict::Stale]);
    results.trials[0].snapshots[2].ruling.verdict = None;
    assert_eq!(exact_strategies(&groups(&results)), ["Exact snapshots: cp under delete 1 of 2 (1 to 99 %)."]);
    assert!(
        not_judged(&results).is_some_and(|sentence| sentence.starts_with("Not judged: 1 snapshot, which is counted"))
    );
    results.trials[0].snapshots.clear();
    assert_eq!(exact_strategies(&groups(&results)), ["No snapshot was judged."]);
    assert_eq!(not_judged(&results), None);
}

#[test]
fn silent_failures_are_told_or_not_known() {
    let mut results = whole();
    let said = "Silent failures (success reported, integrity_check ok, not exact)";
    assert_eq!(silent_failures(&results), format!("{said}: none of 4 snapshots."));
    results.trials[0] = with_verdicts(JournalMode::Delete, Strategy::Cp, &[Verdict::Torn, Verdict::Torn]);
    results.trials[1] = with_verdicts(JournalMode::Wal, Strategy::Cp, &[Verdict::Stale]);
    assert_eq!(
        silent_failures(&results),
        format!("{said}: 3 of 5 snapshots: 2 x cp under delete (torn), cp under wal (stale).")
    );
    results.scenario = samples::scenario(&["snapshots.sqlite_checks=false"]);
    assert!(silent_failures(&results).contains("is not known"));
}

#[test]
fn luck_is_called_luck() {
    for (mode, strategy, why) in [
        (JournalMode::Delete, Strategy::Cp, Some("None of them happened to change both a page")),
        (JournalMode::Wal, Strategy::Cp, Some("In WAL the main file changes only in checkpoints")),
        (JournalMode::Wal, Strategy::CpAll, Some("No checkpoint happened to write to the main file")),
        (JournalMode::Wal, Strategy::VacuumInto, None),
    ] {
        let sentences = lucky(&samples::results(vec![trial(mode, strategy)]));
        assert_eq!(sentences.len(), usize::from(why.is_some()), "{sentences:?}");
        if let (Some(why), [sentence]) = (why, sentences.as_slice()) {
            assert!(sentence.contains("came out exact by chance: 10 commits were made in its 0.50 s."), "{sentence}");
            assert!(sentence.contains(why), "{sentence}");
        }
    }
    let twice = with_verdicts(JournalMode::Wal, Strategy::Cp, &[Verdict::Exact, Verdict::Stale, Verdict::Exact]);
    let sentences = lucky(&samples::results(vec![twice]));
    assert!(sentences[0].contains("by chance 2 times, as this one"), "{sentences:?}");
}

#[test]
fn retention_keeps_or_deletes_the_last_exact_backup() {
    use Verdict::{Exact, Stale, Torn};
    for (verdicts, kept, said) in [
        (&[Exact, Exact][..], &[&[0][..], &[0, 1]][..], "of the 2 backups that retention kept, 2 are exact."),
        (
            &[Exact, Torn],
            &[&[0], &[1]],
            "0 are exact; the last exact one was deleted after snapshot 2, which said that all was well.",
        ),
        (&[Stale, Torn], &[&[0], &[1]], "0 are exact; none ever was."),
    ] {
        let mut trial = with_verdicts(JournalMode::Wal, Strategy::Cp, verdicts);
        for (snapshot, kept) in trial.snapshots.iter_mut().zip(kept) {
            snapshot.after = vec![retention_step(kept)].into();
        }
        let sentence = retention(&trial).unwrap();
        assert!(sentence.ends_with(said), "{sentence}");
    }
    assert_eq!(retention(&trial(JournalMode::Wal, Strategy::Cp)), None, "there is no such step");
    let old = samples::of_before(&samples::results(vec![trial(JournalMode::Wal, Strategy::Cp)]));
    assert_eq!(retention(&old.trials[0]), None);
}

fn retention_step(kept: &[usize]) -> StepResult {
    StepResult {
        step: crate::scenario::Step::Retention,
        during_load: false,
        status: StepStatus::Done,
        duration_s: 0.0,
        answer: String::new(),
        input_bytes: None,
        output_bytes: None,
        decompress_s: None,
        kept: Some(kept.to_vec()),
    }
}

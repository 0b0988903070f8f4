use super::*;
use crate::{
    measure::{OperationKind, Percentile},
    oracle::Verdict,
    results::{Distribution, PhaseName, Recorded, samples},
    sqlite::{JournalMode, Synchronous},
};

const P99: &str = "wal.announce.service.p99_us";

/// Results of a scenario with one threshold and one strategy: one trial a mode and repetition, where the n-th repetition has
/// these times in microseconds under delete and wal.
fn results(threshold: &str, times_us: &[(u64, u64)]) -> Results {
    let set = [format!("thresholds={threshold}"), format!("repetitions={}", times_us.len().max(1))];
    let set: Vec<&str> = set.iter().map(String::as_str).chain(["snapshots.strategies=cp"]).collect();
    let mut results = samples::results(Vec::new());
    results.scenario = samples::scenario(&set);
    for (repetition, &(delete_us, wal_us)) in (1..).zip(times_us) {
        for (journal_mode, time_us) in [(JournalMode::Delete, delete_us), (JournalMode::Wal, wal_us)] {
            let mut trial = samples::trial(journal_mode, Strategy::Cp);
            trial.id = format!("{journal_mode}-full-1000-cp-{repetition}");
            trial.repetition = repetition;
            trial.phases[0].operations[OperationKind::Announce as usize].service.p99_us = Some(time_us);
            results.trials.push(trial);
        }
    }
    results
}

/// So many repetitions, in each of which wal takes 100 us, and then 1 us more than in the one before it.
fn repetitions(threshold: &str, count: u64) -> Results {
    results(threshold, &(0..count).map(|n| (200, 100 + n)).collect::<Vec<_>>())
}

/// What became of the one threshold, in its one group.
fn one(results: &Results) -> ThresholdResult {
    let mut all = thresholds(results);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

fn near(value: Option<f64>, expected: f64) -> bool {
    value.is_some_and(|value| (value - expected).abs() < 1e-9)
}

#[test]
fn the_interval_of_the_median_decides() {
    // Of six blocks the interval reaches from the least to the largest: 100 to 105.
    for (limit, blocks, held, because) in [
        ("< 106", 6, Some(true), "all of the interval keeps the limit; 6 blocks of trials"),
        ("< 105", 6, None, "the limit lies in the interval; 6 blocks of trials"),
        ("<= 105", 6, Some(true), "all of the interval keeps the limit; 6 blocks of trials"),
        ("<= 100", 6, None, "the limit lies in the interval; 6 blocks of trials"),
        ("< 100", 6, Some(false), "all of the interval breaks the limit; 6 blocks of trials"),
        ("> 99", 6, Some(true), "all of the interval keeps the limit; 6 blocks of trials"),
        (">= 105.5", 6, Some(false), "all of the interval breaks the limit; 6 blocks of trials"),
        ("< 1000", 5, None, "5 blocks of trials, and an interval takes 6"),
        ("< 1", 1, None, "1 block of trials, and an interval takes 6"),
    ] {
        let found = one(&repetitions(&format!("{P99} {limit}"), blocks));
        assert_eq!((found.held, found.because.as_str()), (held, because), "{limit} of {blocks}");
        assert!(near(found.value, 100.0 + (blocks - 1) as f64 / 2.0), "{found:?}");
        assert_eq!(found.interval.is_some(), blocks >= 6);
        assert_eq!(found.group, None, "there is one");
        if let Some(interval) = found.interval {
            assert!(near(interval.low, 100.0) && near(interval.high, 105.0), "{interval:?}");
        }
    }
    // A limit on the left says the same.
    assert_eq!(one(&repetitions(&format!("106 > {P99}"), 6)).held, Some(true));
}

#[test]
fn modes_are_compared_block_by_block() {
    // The modes overlap over all, and differ in each pair.
    let drifting: Vec<(u64, u64)> = (1..=6).map(|n| (100 * n, 80 * n)).collect();
    for (threshold, held, value) in [
        ("wal.announce.service.p99_us / delete.announce.service.p99_us < 0.9", Some(true), 0.8),
        ("wal.announce.service.p99_us / delete.announce.service.p99_us >= 0.9", Some(false), 0.8),
        ("wal.announce.service.p99_us < delete.announce.service.p99_us", Some(true), -70.0),
        ("wal.announce.service.p99_us < 300", None, 280.0),
    ] {
        let found = one(&results(threshold, &drifting));
        assert_eq!(found.held, held, "{threshold}: {found:?}");
        assert!(near(found.value, value), "{threshold}: {found:?}");
    }
    let ratio = "wal.announce.service.p99_us / delete.announce.service.p99_us < 0.9";
    let mut results = results(ratio, &drifting);
    results.trials.swap(0, 5);
    assert_eq!(one(&results).held, Some(true), "whatever the order in which they ran");
    // A block that lacks one of its trials, or whose trial is not whole, is left out.
    results.trials.retain(|trial| trial.id != "wal-full-1000-cp-2");
    assert_eq!(one(&results).because, "5 blocks of trials, and an interval takes 6");
    results.trials[0].status = Status::Failed;
    assert_eq!(one(&results).because, "4 blocks of trials, and an interval takes 6");
    results.trials.retain(|trial| trial.journal_mode == JournalMode::Wal);
    let found = one(&results);
    assert_eq!((found.value, found.because.as_str()), (None, "no block of trials has all of its figures"));
}

#[test]
fn blocks_without_the_phase_are_left_out() {
    let mut results = repetitions("wal.snapshot.announce.response.p90_us < 20000", 6);
    results.scenario = samples::scenario(&[
        "thresholds=wal.snapshot.announce.response.p90_us < 20000",
        "snapshots.strategies=[\"none\", \"cp\"]",
        "repetitions=6",
    ]);
    let controls =
        (1..=6).map(|repetition| TrialResult { repetition, ..samples::trial(JournalMode::Wal, Strategy::None) });
    results.trials.extend(controls);
    let found = one(&results);
    assert_eq!((found.held, found.because.ends_with("; 6 blocks of trials")), (Some(true), true), "{found:?}");
}

#[test]
fn what_was_not_served_is_later_than_every_time_and_too_few_say_nothing() {
    let response = "wal.announce.response.p99_us < 1000000";
    let mut results = repetitions(response, 6);
    for trial in &mut results.trials {
        trial.phases[0].operations[OperationKind::Announce as usize] =
            samples::operation(OperationKind::Announce, 980, 20);
    }
    let found = one(&results);
    assert_eq!((found.held, found.value), (Some(false), None), "{found:?}");
    assert_eq!(found.interval, Some(ThresholdInterval { low: None, high: None }));
    assert!(found.because.starts_with("no answer is later than every time; all of the interval breaks"), "{found:?}");
    // Half of them had an answer: the median lies between.
    for trial in results.trials.iter_mut().filter(|trial| trial.repetition < 4) {
        trial.phases[0].operations[OperationKind::Announce as usize] =
            samples::operation(OperationKind::Announce, 1_000, 0);
    }
    let found = one(&results);
    assert_eq!((found.held, found.value), (None, None), "{found:?}");
    assert!(found.interval.is_some_and(|interval| interval.low.is_some() && interval.high.is_none()), "{found:?}");

    for trial in results.trials.iter_mut().filter(|trial| trial.repetition == 3) {
        trial.phases[0].operations[OperationKind::Announce as usize] =
            samples::operation(OperationKind::Announce, 999, 0);
    }
    let found = one(&results);
    assert_eq!((found.held, found.value, found.interval), (None, None, None));
    let few = "wal-full-1000-cp-3: a p99 takes 1000 operations, and of announces there were 999";
    assert_eq!(found.because, few);
}

/// As a file has it that does not tell announces that commit from those that read.
fn of_earlier_files(results: &Results) -> Results {
    let mut earlier = samples::of_before(results);
    for phase in earlier.trials.iter_mut().flat_map(|trial| &mut trial.phases) {
        phase.operations.retain(|operation| operation.kind.is_request());
    }
    earlier
}

#[test]
fn figures_that_the_results_do_not_hold_are_unknown() {
    for (threshold, because) in [
        ("wal.commit.service.p99_us < 5000", "the results do not tell commits from other operations"),
        ("wal.read.response.max_us < 5000", "the results do not tell reads from other operations"),
        ("wal.stalled_s < 1", "the results do not say for how long commits were stalled"),
        ("wal.announce.service.p999_us < 1", "a p99.9 takes 10000 operations, and of announces there were 1000"),
        ("wal.commits_per_s / (wal.commits_per_s - wal.commits_per_s) < 1", "it has no value: a division by 0"),
    ] {
        let found = one(&of_earlier_files(&repetitions(threshold, 6)));
        assert_eq!((found.held, found.value, found.interval), (None, None, None), "{threshold}");
        assert!(found.because.contains(because), "{threshold}: {}", found.because);
    }
}

#[test]
fn rates_and_shares_are_those_of_the_phase() {
    for (threshold, value) in [
        ("wal.commits_per_s > 1", 50.0),
        ("wal.operations_per_s > 1", 1_000.0),
        ("wal.stalled_s < 1", 0.012),
        ("wal.recovery.operations_per_s > 1", 1_000.0),
        ("wal.not_served_share < 0.001", 0.0),
        ("wal.snapshot.not_served_share < 0.3", 0.25),
    ] {
        let mut results = repetitions(threshold, 6);
        for trial in &mut results.trials {
            // Of 2,000 operations 500 were not served.
            trial.phases[1].operations = vec![
                samples::operation(OperationKind::Announce, 500, 500),
                samples::operation(OperationKind::Scrape, 1_000, 0),
            ];
        }
        let found = one(&results);
        assert_eq!(found.held, Some(true), "{threshold}: {found:?}");
        assert!(near(found.value, value), "{threshold}: {found:?}");
    }
}

#[test]
fn phases_of_one_name_are_taken_together() {
    let mut results = repetitions("wal.snapshot.announce.response.p90_us < 5000", 6);
    for trial in &mut results.trials {
        // 100 operations of 1 to 10 ms, and 900 of 1 ms: the p90 of all is that of the 900.
        trial.phases[1].operations[0] = samples::operation(OperationKind::Announce, 100, 0);
        let mut second = samples::phase(PhaseName::Snapshot);
        let mut times = crate::measure::histogram();
        times.record_n(1_000, 900).unwrap();
        second.operations[0] = samples::operation(OperationKind::Announce, 900, 0);
        second.operations[0].response = Distribution::new(&times, 900);
        (second.duration_s, second.achieved_commits_per_s) = (30.0, 10.0);
        trial.phases.push(second);
    }
    let found = one(&results);
    assert_eq!((found.held, found.value), (Some(true), Some(1_000.0)), "{found:?}");
    results.scenario = samples::scenario(&["thresholds=wal.snapshot.commits_per_s > 10", "repetitions=6"]);
    assert!(near(one(&results).value, 20.0), "50 a second in 10 s, and 10 a second in 30 s");
}

#[test]
fn counts_and_facts_are_decided_by_their_value() {
    type Change = fn(&mut Results);
    let torn: Change = |results| results.trials[1].snapshots[0] = samples::snapshot(Strategy::Cp, Verdict::Torn);
    let unfinished: Change =
        |results| results.trials[1].snapshots[0] = samples::snapshot(Strategy::Cp, Verdict::Unfinished);
    let unjudged: Change = |results| results.trials[1].snapshots[0].ruling.verdict = None;
    let unsynced: Change = |results| results.trials[1].snapshots[0].run.sync_s = Recorded::Unknown;
    let slow: Change = |results| results.trials[1].snapshots[0].run.duration_s = 3.0;
    let none: Change = |results| results.trials.iter_mut().for_each(|trial| trial.snapshots.clear());
    let cases: [(&str, Change, Option<bool>, Option<f64>); 17] = [
        ("silent_failures <= 0", |_| (), Some(true), Some(0.0)),
        ("silent_failures <= 0", torn, Some(false), Some(1.0)),
        ("not_exact == 1", torn, Some(true), Some(1.0)),
        (
            "lost_writes == 0",
            |results| results.trials[0].phases[0].operations[0].lost_writes = 3,
            Some(false),
            Some(3.0),
        ),
        ("failed_trials < 1", |results| results.trials[0].status = Status::Failed, Some(false), Some(1.0)),
        ("unjudged_snapshots != 1", unjudged, Some(false), Some(1.0)),
        ("snapshot.cp.wal.exact_share == 1", |_| (), Some(true), Some(1.0)),
        ("snapshot.cp.wal.exact_share == 1", torn, Some(false), Some(0.5)),
        ("snapshot.cp.wal.exact_share == 1", unjudged, Some(true), Some(1.0)),
        ("snapshot.cp.delete.exact_share == 1", torn, Some(true), Some(1.0)),
        ("snapshot.cp.wal.exact_share == 1", none, None, None),
        ("snapshot.cp.wal.duration_s < 2", slow, Some(false), Some(3.0)),
        ("snapshot.cp.wal.sync_s <= 0.1", |_| (), Some(true), Some(0.1)),
        ("snapshot.cp.wal.sync_s <= 0.1", unsynced, None, None),
        ("snapshot.cp.wal.size_bytes < 9e6", |_| (), Some(true), Some(8e6)),
        ("snapshot.cp.wal.unfinished == 0", unfinished, Some(false), Some(1.0)),
        ("silent_failures + 2 * not_exact < 3", torn, Some(false), Some(3.0)),
    ];
    for (threshold, change, held, value) in cases {
        let mut results = repetitions(threshold, 2);
        change(&mut results);
        let found = one(&results);
        assert_eq!((found.held, found.value), (held, value), "{threshold}: {found:?}");
    }
    // The share has its interval: 2 of 2 are at least 22 %.
    let found = one(&repetitions("snapshot.cp.wal.exact_share == 1", 2));
    let interval = found.interval.unwrap();
    assert!(interval.low.is_some_and(|low| (low - 0.05_f64.sqrt()).abs() < 1e-6) && near(interval.high, 1.0));
    assert_eq!(found.because, "2 of 2 snapshots were exact");
    // Without SQLite's checks no failure is known to be silent.
    let mut results = repetitions("silent_failures <= 0", 2);
    results.scenario.snapshots.sqlite_checks = false;
    assert_eq!(one(&results).held, None);
}

#[test]
fn no_count_is_final_while_trials_are_missing() {
    for stop in [
        |results: &mut Results| drop(results.trials.pop()),
        |results: &mut Results| {
            results.trials[3].status = Status::Interrupted;
        },
        // One that was run again is none of those that are missing.
        |results: &mut Results| results.trials[3].repetition = results.scenario.rerun_of(1),
    ] {
        for threshold in ["silent_failures <= 0", "snapshot.cp.wal.exact_share == 1"] {
            let mut results = repetitions(threshold, 2);
            stop(&mut results);
            let found = one(&results);
            let expected = (None, None, "only 3 of 4 trials were run");
            assert_eq!((found.held, found.value, found.because.as_str()), expected, "{threshold}");
        }
    }
}

#[test]
fn each_group_has_its_result_and_the_worst_comes_first() {
    let threshold = "thresholds=[\"wal.announce.service.p99_us < 103\", \"silent_failures <= 0\"]";
    let set = [
        threshold,
        "repetitions=6",
        "snapshots.strategies=cp",
        "sqlite.synchronous=[\"normal\", \"full\"]",
        "load.rate_ops=[1000, 2000]",
    ];
    let mut results = repetitions("lost_writes == 0", 6);
    results.scenario = samples::scenario(&set);
    let first = results.trials.clone();
    for (synchronous, rate_ops, more_us) in [(Synchronous::Full, 2_000.0, 100), (Synchronous::Normal, 1_000.0, 50)] {
        let others = first.iter().cloned().map(|mut trial| {
            (trial.synchronous, trial.offered_rate_ops) = (synchronous, Some(rate_ops));
            let service = &mut trial.phases[0].operations[OperationKind::Announce as usize].service;
            service.p99_us = service.get(Percentile::P99).map(|time_us| time_us + more_us);
            trial
        });
        results.trials.extend(others);
    }
    let all = thresholds(&results);
    let found: Vec<_> = all.iter().map(|one| (one.group.as_deref(), one.held)).collect();
    let expected = [
        (Some("2000 operations a second, synchronous full"), Some(false)),
        (Some("1000 operations a second, synchronous normal"), Some(false)),
        (Some("2000 operations a second, synchronous normal"), None),
        (Some("1000 operations a second, synchronous full"), None),
        (None, None),
    ];
    assert_eq!(found, expected);
    results.thresholds = all.into();
    let worst: Vec<_> = results.worst_thresholds().map(|groups| (groups.len(), groups[0].held)).collect();
    assert_eq!(worst, [(4, Some(false)), (1, None)]);
    // What is saved is what is read.
    let json = serde_json::to_vec(&results).unwrap();
    assert_eq!(Results::parse(&json, "results.json".as_ref()).unwrap().thresholds, results.thresholds);
    assert!(samples::of_before(&results).thresholds.is_unknown());
}

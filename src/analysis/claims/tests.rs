use super::*;
use crate::{
    oracle::Verdict,
    results::{LockWaits, PhaseName, TrialResult, samples},
    snapshot::Strategy,
    sqlite::JournalMode::{Delete, Wal},
};

/// Seven repetitions of a strategy under both modes, as whole trials, which `change` may change.
fn seven(strategy: Strategy, change: impl Fn(&mut TrialResult)) -> Results {
    let mut trials = Vec::new();
    for repetition in 1..=7 {
        for mode in [Delete, Wal] {
            let mut trial = samples::trial(mode, strategy);
            trial.repetition = repetition;
            trial.disk_use = None;
            change(&mut trial);
            trials.push(trial);
        }
    }
    samples::results(trials)
}

fn find(results: &Results, claim: &str) -> Claim {
    let mut claims = claims(results);
    let place = claims.iter().position(|one| one.claim == claim);
    claims.swap_remove(place.unwrap_or_else(|| panic!("{claim}")))
}

fn outcome(results: &Results, claim: &str) -> ClaimOutcome {
    find(results, claim).outcome
}

#[test]
fn a_claim_about_times_holds_where_the_pairs_say_so() {
    let claim = "WAL has faster writes";
    let with = |us: fn(&TrialResult) -> u64| {
        seven(Strategy::None, move |trial| {
            let us = us(trial);
            let commits =
                trial.phases[0].operations.iter_mut().find(|one| one.kind == crate::measure::OperationKind::Commit);
            commits.unwrap().service.p50_us = Some(us);
        })
    };
    let faster = with(|trial| if trial.journal_mode == Wal { 1_000 } else { 4_000 });
    let found = find(&faster, claim);
    assert_eq!(found.outcome, ClaimOutcome::Holds);
    assert_eq!((found.delete.unwrap().value, found.wal.unwrap().value, found.wal.unwrap().of), (4.0, 1.0, 7));
    assert_eq!(found.because, "0.25 times (0.25 to 0.25) in 7 pairs");
    assert_eq!(outcome(&with(|_| 1_000), claim), ClaimOutcome::DoesNotHold, "the same is not faster");
    assert_eq!(
        outcome(&with(|trial| if trial.journal_mode == Wal { 4_000 } else { 1_000 }), claim),
        ClaimOutcome::DoesNotHold
    );
    let unclear = with(|trial| if trial.journal_mode == Wal && trial.repetition % 2 == 0 { 4_000 } else { 2_000 });
    assert_eq!(outcome(&unclear, claim), ClaimOutcome::Open);
    let mut few = with(|trial| if trial.journal_mode == Wal { 1_000 } else { 4_000 });
    few.trials.truncate(10);
    assert_eq!(find(&few, claim).because, "5 pairs, and it takes 6");
    assert_eq!(outcome(&few, claim), ClaimOutcome::Open);
}

#[test]
fn what_can_be_nothing_is_compared_by_its_differences() {
    let claim = "WAL has better concurrency";
    let waits = |delete_s: f64, wal_s: f64| {
        seven(Strategy::None, move |trial| {
            let duration_s = if trial.journal_mode == Wal { wal_s } else { delete_s };
            let io = trial.phases[0].io.as_mut().unwrap();
            io.lock_waits = vec![LockWaits { role: crate::measure::IoRole::Announces, count: 1, duration_s }];
        })
    };
    let found = find(&waits(1.0, 0.0), claim);
    assert_eq!((found.outcome, found.delete.unwrap().value), (ClaimOutcome::Holds, 100.0));
    assert_eq!(found.because, "a difference of -100 (-100 to -100) in 7 pairs");
    assert_eq!(outcome(&waits(0.0, 0.0), claim), ClaimOutcome::DoesNotHold);
    assert_eq!(outcome(&waits(0.0, 1.0), claim), ClaimOutcome::DoesNotHold);
    let uncounted = seven(Strategy::None, |trial| trial.phases[0].io = None);
    let found = find(&uncounted, claim);
    assert_eq!((found.outcome, found.delete), (ClaimOutcome::Open, None));
    assert_eq!(found.because, "the run has no pair of trials with this figure");
}

#[test]
fn latency_is_left_open_where_it_is_that_of_a_queue() {
    let faster = |achieved_ops: f64| {
        seven(Strategy::None, move |trial| {
            trial.phases[0].achieved_rate_ops = achieved_ops;
            let announces = trial.phases[0].operations.iter_mut();
            let announces = announces.filter(|one| one.kind == crate::measure::OperationKind::Announce);
            let us = if trial.journal_mode == Wal { 1_000 } else { 8_000 };
            announces.for_each(|one| one.response.p99_us = Some(us));
        })
    };
    assert_eq!(outcome(&faster(1_000.0), "WAL lowers the latency"), ClaimOutcome::Holds);
    let queue = find(&faster(100.0), "WAL lowers the latency");
    assert_eq!((queue.outcome, queue.because.as_str()), (ClaimOutcome::Open, QUEUE));
}

#[test]
fn a_wal_is_large_beyond_twice_what_a_commit_moves() {
    let claim = "The WAL can grow large";
    let with = |wal_bytes_max: u64| {
        let mut results = seven(Strategy::None, |trial| {
            trial.settings.insert("wal_autocheckpoint".to_owned(), "1000".to_owned());
            trial.settings.insert("page_size".to_owned(), "4096".to_owned());
            trial.disk_use = Some(crate::results::DiskUse::default());
            trial.wal_bytes_max = 4_000_000;
        });
        results.trials[3].wal_bytes_max = wal_bytes_max;
        find(&results, claim)
    };
    let large = with(9_000_000);
    assert_eq!((large.outcome, large.because.as_str()), (ClaimOutcome::Holds, "beyond 8.19 in 1 of 7 trials"));
    assert_eq!((large.wal.unwrap().value, large.delete.unwrap().value), (9.0, 0.0));
    assert_eq!(with(8_000_000).outcome, ClaimOutcome::Open, "it was not seen, and can be");
}

#[test]
fn copies_are_counted_and_one_that_is_not_so_is_enough() {
    let claim = ".backup gives a consistent snapshot";
    let all = seven(Strategy::CliBackup, |_| ());
    let found = find(&all, claim);
    assert_eq!((found.outcome, found.because.as_str()), (ClaimOutcome::Holds, "7 of 7 under delete, 7 of 7 under wal"));
    assert!(found.wal.unwrap().interval.unwrap().low > 60.0);
    assert_eq!(outcome(&all, ".backup gives a single file"), ClaimOutcome::Holds);
    let mut one_torn = seven(Strategy::Backup, |_| ());
    one_torn.trials[0].snapshots[0] = samples::snapshot(Strategy::Backup, Verdict::Torn);
    assert_eq!(outcome(&one_torn, claim), ClaimOutcome::DoesNotHold);
    // That a trial was disturbed and run again makes its copy no better.
    one_torn.scenario.disturbance.rerun = true;
    one_torn.scenario.repetitions = 6;
    assert!(one_torn.is_replaced(&one_torn.trials[0]));
    assert_eq!(outcome(&one_torn, claim), ClaimOutcome::DoesNotHold);
    // One that did not end is no copy, but does not work while others commit.
    let stopped = |trial: &mut TrialResult| trial.snapshots[0].run.exit_status = None;
    let unfinished = seven(Strategy::Backup, stopped);
    assert_eq!(outcome(&unfinished, claim), ClaimOutcome::Open);
    let concurrent = "Concurrent writes: .backup works while others commit";
    assert_eq!(find(&unfinished, concurrent).because, "0 of 7 under delete, 0 of 7 under wal");
    assert_eq!(outcome(&unfinished, concurrent), ClaimOutcome::DoesNotHold);
    assert_eq!(outcome(&all, concurrent), ClaimOutcome::Holds);
    // Other strategies say nothing of .backup.
    assert_eq!(outcome(&seven(Strategy::Cp, |_| ()), claim), ClaimOutcome::Open);
    let again = ".backup begins again when somebody commits";
    assert_eq!(outcome(&all, again), ClaimOutcome::Open, "the program does not say");
    let mut restarted = seven(Strategy::Backup, |trial| trial.snapshots[0].progress.restarts = Some(0));
    assert_eq!(outcome(&restarted, again), ClaimOutcome::DoesNotHold);
    restarted.trials[0].snapshots[0].progress.restarts = Some(3);
    assert_eq!(outcome(&restarted, again), ClaimOutcome::Holds);
}

#[test]
fn a_copy_locks_somebody_out_only_if_it_lasts_as_long_as_a_client_waits() {
    let claim = "Locking: .backup locks nobody out";
    for (duration_s, dropped, has_ended, expected) in [
        (10.0, 0, true, ClaimOutcome::Open),
        (10.0, 1, true, ClaimOutcome::Open),
        (15.0, 0, true, ClaimOutcome::Holds),
        (15.0, 1, true, ClaimOutcome::DoesNotHold),
        (15.0, 1, false, ClaimOutcome::Open),
    ] {
        let results = seven(Strategy::CliBackup, |trial| {
            trial.snapshots[0].run.duration_s = duration_s;
            let phase = trial.phases.iter_mut().find(|phase| phase.name == PhaseName::Snapshot).unwrap();
            for operation in &mut phase.operations {
                *operation = samples::operation(operation.kind, 1_000, dropped);
            }
            trial.snapshots[0].run.exit_status = has_ended.then_some(0);
        });
        assert_eq!(results.scenario.client_timeout.as_secs(), 15, "the sample's");
        let found = find(&results, claim);
        assert_eq!(found.outcome, expected, "{duration_s} s, {dropped} not served, ended: {has_ended}");
    }
}

#[test]
fn locks_are_waited_for_where_the_interval_says_so() {
    let claim = ".backup takes locks that others wait for";
    let with = |during_s: f64| {
        seven(Strategy::CliBackup, move |trial| {
            for phase in &mut trial.phases {
                let waited_s =
                    if phase.name == PhaseName::Snapshot && trial.journal_mode == Delete { during_s } else { 0.1 };
                let waits = LockWaits { role: crate::measure::IoRole::Announces, count: 1, duration_s: waited_s };
                phase.io.as_mut().unwrap().lock_waits = vec![waits];
            }
        })
    };
    let found = find(&with(2.1), claim);
    assert_eq!(found.outcome, ClaimOutcome::Holds);
    assert!((found.delete.unwrap().value - 200.0).abs() < 1e-9 && found.wal.unwrap().value == 0.0, "{found:?}");
    assert_eq!(outcome(&with(0.1), claim), ClaimOutcome::DoesNotHold);
    assert_eq!(outcome(&with(0.05), claim), ClaimOutcome::DoesNotHold);
}

#[test]
fn older_results_and_no_results_leave_everything_open() {
    let results = seven(Strategy::None, |_| ());
    let before = samples::of_before(&results);
    assert!(claims(&before).iter().all(|claim| !claim.because.is_empty() && claim.unit.len() > 1));
    assert_eq!(outcome(&before, "WAL has fewer fsync calls"), ClaimOutcome::Open);
    assert_eq!(claims(&samples::results(Vec::new())), []);
}

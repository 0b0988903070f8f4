//! Kills, from the scenario to the results: nothing is lost where the journal is a file, and a journal in memory is seen to be none.

use std::fs;

use journalbench::results::{KillResult, Results, Status};

use crate::common::program::{assert_refused, run_with, text};

const SCENARIO: &str = r#"
why = "a test"
expect = "that it passes"
[dataset]
rows = 5000
[sqlite]
journal_mode = ["delete", "wal"]
synchronous = "off"
cache_size_kib = 16
[load]
arrivals = "closed"
[kill]
kills = 10
after_s_max = 0.1
[snapshots]
strategies = ["none", "cp", "held-copy"]
deadline_s = 10
"#;

fn run(overrides: &[&str]) -> Vec<(String, KillResult)> {
    let folder = tempfile::tempdir().unwrap();
    let output = run_with(folder.path(), SCENARIO, overrides);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let path = folder.path().join("out/results.json");
    let results = Results::parse(&fs::read(&path).unwrap(), &path).unwrap();
    let killed = |trial: journalbench::results::TrialResult| {
        assert_eq!(trial.status, Status::Completed, "{:?}", trial.problems);
        (trial.id, trial.kill.unwrap())
    };
    results.trials.into_iter().map(killed).collect()
}

#[test]
fn a_kill_loses_nothing_even_without_a_sync_and_copies_are_judged() {
    let trials = run(&[]);
    assert_eq!(trials.len(), 6);
    for (id, found) in &trials {
        let database = found.database;
        assert_eq!((found.kills, database.images), (10, 10), "{id}");
        assert_eq!((database.lost, database.damaged()), (0, 0), "{id}: {database:?}");
        assert!(found.acknowledged > 10, "{id}: {found:?}");
        assert_eq!(found.copies.is_some(), !id.contains("none"), "{id}");
        if let Some(copies) = &found.copies {
            assert_eq!(copies.finished + copies.killed + copies.failed, 10, "{id}: {copies:?}");
            assert!(copies.killed <= 5, "every second one is left alone: {copies:?}");
            assert!(found.in_copy >= copies.killed, "a copy that is killed is under way: {found:?}");
            assert_eq!(copies.failed == 0, copies.errors.is_empty(), "{id}: {copies:?}");
            let judged = copies.exact + copies.stale + copies.torn + copies.corrupt + copies.unreadable;
            assert_eq!(judged, copies.finished, "{id}: {copies:?}");
            if id.contains("held-copy") {
                assert_eq!(copies.exact, copies.finished, "{id}: {copies:?}");
                assert!(copies.finished > 0, "{id}: {copies:?}");
            }
        }
    }
    assert!(trials.iter().any(|(_, found)| found.in_transaction > 0));
}

#[test]
fn a_journal_in_memory_does_not_outlive_its_process() {
    let trials = run(&["sqlite.journal_mode=memory", "snapshots.strategies=none", "kill.kills=25"]);
    let database = trials[0].1.database;
    assert!(database.damaged() > 0, "{database:?}");
}

#[test]
fn what_such_trials_cannot_do_is_refused_with_the_key() {
    for (set, why) in [
        ("snapshots.strategies=stop-copy", "snapshots.strategies = stop-copy: expected without it"),
        ("power_loss.images=10", "kill = both"),
        ("kill.kills=0", "kill.kills"),
        ("load.write_profile=tracker-3", "load.write_profile = tracker-3: expected completed-only"),
    ] {
        assert_refused(SCENARIO, set, why);
    }
}

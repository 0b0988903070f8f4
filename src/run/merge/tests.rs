//! Joining, on results made by hand.

use super::*;
use crate::{
    digest::Digest,
    env::Environment,
    results::{DatasetResult, Recorded, Sitting, Warning, samples},
    scenario::TrialPlan,
    snapshot::Strategy,
    sqlite::JournalMode,
};

/// Two repetitions of the sample scenario: four blocks of two trials.
fn scenario() -> crate::scenario::Scenario {
    samples::scenario(&["repetitions=2"])
}

/// A whole run of a shard, in `N.json`.
fn file(number: u32, of: u32) -> ShardFile {
    let shard = Shard::new(number, of).unwrap();
    let of_plan = |plan: TrialPlan| {
        let mode = plan.settings.journal_mode;
        let mut trial = samples::trial(mode, plan.strategy);
        (trial.id, trial.repetition) = (plan.id(), plan.repetition);
        // No trial is as fast as another, so that it matters which are compared.
        let is_wal = u64::from(mode == JournalMode::Wal);
        let p50_us = 1_000 + 300 * is_wal + 70 * u64::from(plan.repetition) + 10 * (plan.strategy as u64);
        for operation in trial.phases.iter_mut().flat_map(|phase| &mut phase.operations) {
            operation.response.p50_us = Some(p50_us);
        }
        trial
    };
    let trials: Vec<_> = scenario().trials_of(Some(shard)).into_iter().map(of_plan).collect();
    let started_at = format!("2026-01-0{}T00:00:00Z", 9 - number);
    let fsync_us_p50 = Recorded::Known(Some(100));
    let sitting = Sitting { started_at: started_at.clone(), duration_s: 10.0, trials: trials.len(), fsync_us_p50 };
    let results = Results {
        shard: Some(shard),
        started_at,
        duration_s: 10.0 * f64::from(number),
        sittings: vec![sitting].into(),
        scenario: scenario(),
        dataset: Some(dataset(1_000)).into(),
        environment: Environment { processors: 8, ..samples::environment() },
        ..samples::results(trials)
    };
    ShardFile { path: format!("{number}.json").into(), results }
}

fn dataset(rows: u64) -> DatasetResult {
    DatasetResult { rows, bytes: 1, page_size_bytes: 4096, digest: Digest::default(), sampled_rows: None }
}

/// The shards of a whole run of `of`.
fn shards(of: u32) -> Vec<ShardFile> {
    (1..=of).map(|number| file(number, of)).collect()
}

fn ids(results: &Results) -> Vec<&str> {
    results.trials.iter().map(|trial| trial.id.as_str()).collect()
}

#[test]
fn any_number_of_shards_in_any_order_makes_the_whole() {
    let planned: Vec<_> = scenario().trials().iter().map(TrialPlan::id).collect();
    for of in 1..=5 {
        let mut files = shards(of);
        // The fifth of four blocks is empty, and not missed.
        files.truncate(4);
        let runs = u32::try_from(files.len()).unwrap();
        files.reverse();
        let whole = merge(files, false).unwrap();
        assert_eq!(ids(&whole), planned, "{of} shards");
        assert_eq!((whole.shard, whole.warnings.as_slice()), (None, &[][..]));
        let numbers: Vec<_> = whole.merged.iter().map(|run| (run.shard.number(), run.shard.of())).collect();
        assert_eq!(numbers, (1..=runs).map(|number| (number, of)).collect::<Vec<_>>());
        assert_eq!(whole.sittings.entries().len(), numbers.len());
        let sum: f64 = (1..=runs).map(|number| 10.0 * f64::from(number)).sum();
        assert!((whole.duration_s - sum).abs() < 1e-9, "{}", whole.duration_s);
        assert_eq!(whole.started_at, format!("2026-01-0{}T00:00:00Z", 9 - runs), "the earliest");
    }
}

#[test]
fn like_machines_keep_what_they_are_and_what_is_warned_of() {
    let mut files = shards(2);
    files[1].results.environment.kernel = "Linux 6.0.9".to_owned();
    files[1].results.environment.fsync_us_p50 = Some(150);
    files[0].results.dataset = Recorded::Known(None);
    files[0].results.trials[1].phases[0].achieved_rate_ops = 1.0;
    let saturated = files[0].results.trials[1].id.clone();
    let whole = merge(files, false).unwrap();
    let kernels: Vec<_> = whole.environments().map(|environment| environment.kernel.as_str()).collect();
    assert_eq!(kernels, ["Linux 6.0", "Linux 6.0.9"]);
    assert_eq!(whole.dataset.found(), Some(&dataset(1_000)), "of the one that has made it");
    assert_eq!(whole.warnings, [Warning::Saturated { trials: vec![saturated] }]);
    let json = serde_json::to_vec(&whole).unwrap();
    assert_eq!(Results::parse(&json, Path::new("x.json")).unwrap().merged, whole.merged);
}

#[test]
fn what_is_no_other_shard_of_the_same_is_refused() {
    let whole = || ShardFile { path: "whole.json".into(), results: Results { shard: None, ..file(1, 1).results } };
    let merged = || ShardFile { path: "merged.json".into(), results: merge(shards(2), false).unwrap() };
    let copy = |number, of| ShardFile { path: "copy.json".into(), ..file(number, of) };
    let cases: [(Vec<ShardFile>, &[&str]); 6] = [
        (vec![], &["no results were named"]),
        (vec![whole()], &["whole.json is of the whole scenario: only"]),
        (vec![merged(), file(2, 2)], &["merged.json was merged already"]),
        (vec![file(1, 2), copy(1, 2)], &["1.json and copy.json are both shard 1/2"]),
        (vec![file(1, 2), copy(2, 3)], &["copy.json is shard 2/3, and 1.json is shard 1/2"]),
        (vec![merged(), whole(), file(1, 2), copy(1, 2)], &["merged.json", "whole.json", "are both shard 1/2"]),
    ];
    for (files, expected) in cases {
        let error = merge(files, true).unwrap_err().to_string();
        assert_eq!(error.lines().count(), if expected.len() == 1 { 1 } else { 1 + expected.len() }, "{error}");
        assert!(expected.iter().all(|words| error.contains(words)), "{error}");
    }
}

#[test]
fn what_differs_is_refused_by_file_and_name() {
    type Change = fn(&mut Results);
    let cases: [(Change, &str); 7] = [
        (
            |results| results.scenario = samples::scenario(&["repetitions=2", "load.seed=5"]),
            "2.json is of another scenario than 1.json: load.seed is 5 instead of",
        ),
        (
            |results| results.journalbench_version = "9.0.0".to_owned(),
            "2.json is of another program than 1.json: journalbench_version is 9.0.0 instead of 0.1.0",
        ),
        (
            |results| results.environment.processors = 64,
            "2.json is of another environment than 1.json: processors is 64 instead of 8",
        ),
        (
            |results| results.environment.sqlite_version = "3.60.0".to_owned(),
            "2.json is of another environment than 1.json: sqlite_version is \"3.60.0\" instead of \"3.54.1\"",
        ),
        (
            |results| results.dataset = Some(dataset(7)).into(),
            "2.json is of another dataset than 1.json: rows is 7 instead of 1000",
        ),
        (
            |results| results.trials.push(results.trials[0].clone()),
            "2.json has the trial delete-full-1000-vacuum-into-1 twice",
        ),
        (
            |results| results.trials[0].id = "delete-full-1000-cp-1".to_owned(),
            "2.json has the trial delete-full-1000-cp-1, which is none of its shard",
        ),
    ];
    for (change, expected) in cases {
        let mut files = shards(2);
        change(&mut files[1].results);
        let error = merge(files, true).unwrap_err().to_string();
        assert!(error.starts_with("nothing was merged: ") && error.contains(expected), "{error}");
    }
}

type Make = fn() -> Vec<ShardFile>;

#[test]
fn what_is_missing_is_refused_or_said() {
    fn stopped() -> Vec<ShardFile> {
        let mut files = shards(2);
        files[0].results.trials.pop();
        files
    }
    let cases: [(Make, &str, &str); 3] = [
        (
            || vec![file(3, 4)],
            "nothing was merged: shards 1, 2 and 4 of 4 are missing: --partial merges what there is",
            "shard 3 of 4, 2 of the scenario's 8 trials",
        ),
        (|| shards(4).split_off(1), "shard 1 of 4 is missing", "shards 2, 3 and 4 of 4, 6 of the scenario's 8 trials"),
        (stopped, "1.json has 3 of the 4 trials of its shard", "shards 1 and 2 of 2, 7 of the scenario's 8 trials"),
    ];
    for (files, expected, part) in cases {
        let error = merge(files(), false).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        let results = merge(files(), true).unwrap();
        assert_eq!(results.part().unwrap().to_string(), part);
        assert!(matches!(results.warnings.as_slice(), [Warning::Part(_)]), "{:?}", results.warnings);
    }
}

#[test]
fn kept_folders_are_named_from_where_the_results_are() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    fs::create_dir_all(run.join("kept/there")).unwrap();
    let mut results = file(1, 1).results;
    results.trials[0].kept_in = Some("kept/there".into());
    results.trials[1].kept_in = Some("kept/elsewhere".into());
    let json = run.join("results.json");
    results.save(&json).unwrap();
    let mut said = Vec::new();
    let file = ShardFile::load(&json, &mut |line| said.push(line)).unwrap();
    assert!(said.len() == 1 && said[0].contains("the kept folders of 1 trials are not there"), "{said:?}");
    let mut merged = merge(vec![file], false).unwrap();
    let out = folder.path().join("all/merged");
    fs::create_dir_all(&out).unwrap();
    name_kept_from(&mut merged, &out).unwrap();
    let kept: Vec<_> = merged.trials.iter().filter_map(|trial| trial.kept_in.as_deref()).collect();
    assert_eq!(kept, [Path::new("../../run/kept/there")]);
    assert!(out.join(kept[0]).is_dir());
}

#[test]
fn the_trials_of_a_pair_stay_next_to_each_other() {
    let whole = merge(shards(3), false).unwrap();
    for pair in whole.trials.chunks(2) {
        let [one, other] = pair else { panic!("{pair:?}") };
        assert_eq!((one.strategy, one.repetition), (other.strategy, other.repetition));
        let modes = [one.journal_mode, other.journal_mode];
        let forward = [JournalMode::Delete, JournalMode::Wal];
        assert_eq!(modes, if one.repetition == 1 { forward } else { [forward[1], forward[0]] });
    }
    assert_eq!(whole.trials[0].strategy, Strategy::Cp);
}

#[test]
fn what_follows_from_merged_shards_is_what_follows_from_the_whole() {
    let mut whole = Results { shard: None, ..file(1, 1).results };
    derive(&mut whole);
    assert!(!whole.comparisons.entries().is_empty() && whole.decision.is_some());
    for of in 1..=4 {
        let merged = merge(shards(of), false).unwrap();
        assert_eq!(merged.trials, whole.trials, "{of} shards");
        assert_eq!((&merged.comparisons, &merged.decision), (&whole.comparisons, &whole.decision), "{of} shards");
        assert_eq!(merged.warnings, whole.warnings, "{of} shards");
    }
}

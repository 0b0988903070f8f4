//! A scenario that is run in shards, and the results of these, joined.

use std::{fs, path::Path};

use crate::common::program::{folder_with_scenario, names, output, text};
use journalbench::results::{Results, TrialResult, Warning};
use serde_json::Value;

/// Three blocks of two trials of less than a second of load.
const SMALL: [&str; 8] = [
    "--set",
    "repetitions=3",
    "--set",
    "phases.warmup_s=0",
    "--set",
    "phases.baseline_s=0.1",
    "--set",
    "snapshots.deadline_s=0.3",
];

/// The trials of [`SMALL`], in the order in which they run.
const TRIALS: [&str; 6] = [
    "delete-full-1500-vacuum-into-1",
    "wal-full-1500-vacuum-into-1",
    "wal-full-1500-vacuum-into-2",
    "delete-full-1500-vacuum-into-2",
    "delete-full-1500-vacuum-into-3",
    "wal-full-1500-vacuum-into-3",
];

/// Runs [`SMALL`] with more arguments, and reads the results in `out`.
fn run(folder: &Path, out: &str, arguments: &[&str]) -> Results {
    let run = output(folder, &[&["run", "test.toml", "--out", out], &SMALL[..], arguments].concat());
    assert!(run.status.success(), "{}", text(&run.stderr));
    read(folder, out)
}

fn read(folder: &Path, out: &str) -> Results {
    Results::load(&folder.join(out).join("results.json")).unwrap()
}

fn ids(results: &Results) -> Vec<&str> {
    results.trials.iter().map(|trial| trial.id.as_str()).collect()
}

/// Starts a command that is to be refused, and gives its words.
fn refused(folder: &Path, arguments: &[&str], code: i32) -> String {
    let before = names(folder);
    let refused = output(folder, arguments);
    let said = text(&refused.stderr);
    assert_eq!((refused.status.code(), text(&refused.stdout)), (Some(code), String::new()), "{arguments:?}: {said}");
    assert_eq!(names(folder), before, "{arguments:?}");
    said
}

/// What was planned of a trial.
fn plan(trial: &TrialResult) -> String {
    let TrialResult { id, journal_mode, synchronous, strategy, strategy_options, write_profile, .. } = trial;
    let TrialResult { repetition, offered_rate_ops, page_cache, settings, .. } = trial;
    format!(
        "{id} {journal_mode} {synchronous} {strategy} {strategy_options} {write_profile} {repetition} {offered_rate_ops:?} \
        {page_cache} {settings:?}"
    )
}

#[test]
fn what_matters_most_is_run_first_and_the_rest_later() {
    let folder = folder_with_scenario();
    let folder = folder.path();
    let first = run(folder, "out", &["--only", "-2", "--only", "wal-full-1500-vacuum-into-1"]);
    assert_eq!(ids(&first), TRIALS[1..4]);
    let report = fs::read_to_string(folder.join("out/report.md")).unwrap();
    assert!(report.contains("Not complete: of 6 trials 3 are missing"), "{report}");
    let resumed = output(folder, &["run", "--resume", "out", "--only", "delete"]);
    assert!(resumed.status.success(), "{}", text(&resumed.stderr));
    assert_eq!(ids(&read(folder, "out")), [&TRIALS[1..4], &[TRIALS[0], TRIALS[4]]].concat());
    let said = refused(folder, &[&["run", "test.toml"], &SMALL[..], &["--only", "backup"]].concat(), 2);
    assert!(said.contains("--only backup: no trial") && said.contains(TRIALS[0]), "{said}");
}

#[test]
fn two_merged_shards_are_the_whole() {
    let folder = folder_with_scenario();
    let folder = folder.path();
    let whole = run(folder, "whole", &[]);
    assert_eq!(ids(&whole), TRIALS);
    let first = run(folder, "shard-1", &["--shard", "1/2", "--keep"]);
    assert_eq!(ids(&first), [&TRIALS[..2], &TRIALS[4..]].concat());
    let second = run(folder, "shard-2", &["--shard", "2/2"]);
    assert_eq!(ids(&second), TRIALS[2..4]);
    assert!(matches!(second.warnings.first(), Some(Warning::Part(_))), "{:?}", second.warnings);
    assert!(!second.warnings.iter().any(|warning| matches!(warning, Warning::Unfinished { .. })));
    let report = fs::read_to_string(folder.join("shard-2/report.md")).unwrap();
    assert!(report.contains("A part: shard 2 of 2, 2 of the scenario's 6 trials."), "{report}");

    let merge = ["merge", "shard-2/results.json", "shard-1/results.json", "--out"];
    let merged = output(folder, &[&merge[..], &["merged"]].concat());
    assert!(merged.status.success(), "{}", text(&merged.stderr));
    assert_eq!(names(&folder.join("merged")), ["report.html", "report.md", "results.json"]);
    let json = folder.join("merged/results.json");
    assert!(text(&merged.stdout).lines().any(|line| Some(line) == json.to_str()), "{}", text(&merged.stdout));
    let merged = read(folder, "merged");
    let plans = |results: &Results| results.trials.iter().map(plan).collect::<Vec<_>>();
    assert_eq!(plans(&merged), plans(&whole));
    assert_eq!((&merged.scenario, &merged.dataset), (&whole.scenario, &whole.dataset));
    for trial in &merged.trials {
        let of_shard = first.trials.iter().chain(&second.trials).find(|other| other.id == trial.id).unwrap();
        assert_eq!((&trial.phases, &trial.snapshots), (&of_shard.phases, &of_shard.snapshots), "{}", trial.id);
        assert_eq!(trial.kept_in.is_some(), of_shard.kept_in.is_some());
    }
    assert_eq!(merged.sittings.entries().len(), 2);
    assert!((merged.duration_s - first.duration_s - second.duration_s).abs() < 1e-9);
    assert_eq!((merged.part(), merged.shard, merged.merged.len()), (None, None, 2));
    // What a shard has kept is where the merged results say.
    let kept = merged.trials[0].kept_in.as_ref().unwrap();
    assert_eq!(kept, Path::new("../shard-1/kept").join(TRIALS[0]).as_path());
    for file in ["ledger", "live.db", "dataset.json"] {
        assert!(folder.join("merged").join(kept).join(file).exists(), "{file}");
    }
    let report = fs::read_to_string(folder.join("merged/report.md")).unwrap();
    assert!(report.contains("Merged from the runs of shards 1 and 2 of 2") && !report.contains("A part"), "{report}");

    assert!(refused(folder, &[&merge[..], &["merged"]].concat(), 2).contains("merged: exists"));
    let resumed = refused(folder, &["run", "--resume", "merged"], 2);
    assert!(resumed.contains("the results were merged: go on with the results of the shards"), "{resumed}");
    what_cannot_be_merged_is_refused(folder);
    what_a_shard_lacks_is_run_by_resume(folder);
}

/// Writes the results of the second shard with a change, and gives the words with which these are not merged.
fn changed(folder: &Path, change: impl FnOnce(&mut Value)) -> String {
    let mut json: Value = serde_json::from_slice(&fs::read(folder.join("shard-2/results.json")).unwrap()).unwrap();
    change(&mut json);
    fs::write(folder.join("changed.json"), serde_json::to_vec(&json).unwrap()).unwrap();
    refused(folder, &["merge", "shard-1/results.json", "changed.json", "--out", "none"], 2)
}

fn what_cannot_be_merged_is_refused(folder: &Path) {
    type Change = fn(&mut Value);
    let cases: [(Change, &str); 9] = [
        (
            |json| json["scenario"]["repetitions"] = 4.into(),
            "another scenario than shard-1/results.json: repetitions is 4",
        ),
        (
            |json| json["scenario"]["load"]["seed"] = 9.into(),
            "another scenario than shard-1/results.json: load.seed is 9",
        ),
        (|json| json["journalbench_version"] = "0.0.1".into(), "another program than shard-1/results.json"),
        (
            |json| json["environment"]["processor"] = "abacus".into(),
            "another environment than shard-1/results.json: processor is \"abacus\" instead of ",
        ),
        (
            |json| json["dataset"]["rows"] = 5.into(),
            "another dataset than shard-1/results.json: rows is 5 instead of 3000",
        ),
        (|json| json["shard"] = serde_json::json!({"number": 1, "of": 2}), "are both shard 1/2"),
        (|json| json["shard"]["of"] = 3.into(), "changed.json is shard 2/3, and shard-1/results.json is shard 1/2"),
        (
            |json| json["trials"][1]["id"] = TRIALS[2].into(),
            "changed.json has the trial wal-full-1500-vacuum-into-2 twice",
        ),
        (
            |json| json["trials"] = Value::Array(Vec::new()),
            "changed.json has 0 of the 2 trials of its shard: go on with it",
        ),
    ];
    for (change, expected) in cases {
        let said = changed(folder, change);
        assert!(said.contains("nothing was merged: ") && said.contains(expected), "{said}");
    }
    fs::write(folder.join("changed.json"), "{}").unwrap();
    for (arguments, code, expected) in [
        (&["shard-1/results.json"][..], 2, "shard 2 of 2 is missing: --partial merges what there is"),
        (&["shard-1/results.json", "shard-1/results.json"], 2, "are both shard 1/2"),
        (&["whole/results.json", "shard-2/results.json"], 2, "whole/results.json is of the whole scenario"),
        (&["merged/results.json"], 2, "merged/results.json was merged already"),
        (&["shard-1/results.json", "changed.json"], 1, "changed.json is not a results.json"),
        (&["gone.json"], 1, "cannot read gone.json"),
        (&[], 2, "required arguments"),
    ] {
        let said = refused(folder, &[&["merge"], arguments, &["--out", "none"]].concat(), code);
        assert!(said.contains(expected), "{said}");
    }
    // A part is merged where that is asked for. The file alone, without what was kept beside it:
    fs::copy(folder.join("shard-1/results.json"), folder.join("changed.json")).unwrap();
    let merged = output(folder, &["merge", "changed.json", "--partial", "--out", "part"]);
    assert!(merged.status.success(), "{}", text(&merged.stderr));
    let said = text(&merged.stderr);
    assert!(said.contains("changed.json: the kept folders of 4 trials are not there"), "{said}");
    let part = read(folder, "part");
    assert_eq!(part.part().unwrap().to_string(), "shard 1 of 2, 4 of the scenario's 6 trials");
    assert!(part.trials.iter().all(|trial| trial.kept_in.is_none()));
}

fn what_a_shard_lacks_is_run_by_resume(folder: &Path) {
    // As a kill before its last trial would have left it.
    let path = folder.join("shard-2/results.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    json["trials"].as_array_mut().unwrap().pop();
    fs::write(&path, serde_json::to_vec(&json).unwrap()).unwrap();
    for (shard, expected) in [("1/2", "the results are of shard 2/2, and not of 1/2"), ("2/4", "and not of 2/4")] {
        let said = refused(folder, &["run", "--resume", "shard-2", "--shard", shard], 2);
        assert!(said.contains(expected), "{said}");
    }
    let said = refused(folder, &["run", "--resume", "whole", "--shard", "1/2"], 2);
    assert!(said.contains("the results are of the whole scenario, and not of shard 1/2"), "{said}");
    let resumed = output(folder, &["run", "--resume", "shard-2", "--shard", "2/2"]);
    let said = text(&resumed.stderr);
    assert!(resumed.status.success() && said.contains("[2/2]") && !said.contains("[1/2]"), "{said}");
    let results = read(folder, "shard-2");
    assert_eq!((ids(&results), results.sittings.entries().len()), (TRIALS[2..4].to_vec(), 2));
    assert!(!results.warnings.iter().any(|warning| matches!(warning, Warning::Unfinished { .. })));
}

#[test]
fn a_dry_run_shows_the_trials_of_a_shard() {
    let folder = folder_with_scenario();
    let dry = |shard| {
        let run = output(folder.path(), &[&["run", "test.toml", "--dry-run", "--shard", shard], &SMALL[..]].concat());
        assert!(run.status.success(), "{}", text(&run.stderr));
        text(&run.stdout)
    };
    let first = [&TRIALS[..2], &TRIALS[4..]].concat().join("\n");
    let stdout = dry("1/2");
    assert!(stdout.starts_with(&format!("{first}\nshard 1/2 of the scenario's 6 trials:\n4 trials, ")), "{stdout}");
    let second = TRIALS[2..4].join("\n");
    let stdout = dry("2/2");
    assert!(stdout.starts_with(&format!("{second}\nshard 2/2 of the scenario's 6 trials:\n2 trials, ")), "{stdout}");
    assert_eq!(names(folder.path()), ["test.toml"]);
}

#[test]
fn what_is_no_shard_or_an_empty_one_is_refused_before_anything_is_written() {
    let folder = folder_with_scenario();
    for shard in ["0/4", "5/4", "1/0", "1", "one/four", ""] {
        let said = refused(folder.path(), &["run", "test.toml", &format!("--shard={shard}")], 2);
        assert!(said.contains("expected I/N with I from 1 to N, as in 1/4"), "{shard}: {said}");
    }
    for more in [&[][..], &["--dry-run"]] {
        let arguments = [&["run", "test.toml", "--shard", "4/4"], &SMALL[..], more].concat();
        let said = refused(folder.path(), &arguments, 2);
        assert!(
            said.contains("--shard 4/4: this shard is empty") && said.contains("blocks of pairs in the scenario (3)"),
            "{said}"
        );
    }
}

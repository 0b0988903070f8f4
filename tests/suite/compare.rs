//! `journalbench compare` and the reports for machines, as they are run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::{Value, json};

use crate::common::committed;

/// Committed results, changed.
fn results(folder: &Path, name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let mut results = committed::of("quick").json.clone();
    change(&mut results);
    let path = folder.join(name);
    fs::write(&path, serde_json::to_vec(&results).unwrap()).unwrap();
    path
}

/// Nine repetitions of the control under wal, whose scrapes take so many microseconds in all trials but for some noise.
fn scrapes_of(time_us: u64) -> impl FnOnce(&mut Value) {
    move |results| {
        let trials = results["trials"].as_array().unwrap();
        let control =
            trials.iter().find(|trial| trial["journal_mode"] == "wal" && trial["repetition"] == 1).unwrap().clone();
        let repetition = |number: u64| {
            let mut trial = control.clone();
            trial["repetition"] = number.into();
            trial["id"] = format!("wal-{number}").into();
            for phase in trial["phases"].as_array_mut().unwrap() {
                let operations = phase["operations"].as_array_mut().unwrap();
                operations.retain(|operation| operation["kind"] == "scrape");
                for operation in operations {
                    for figure in ["service", "response"] {
                        for percentile in ["p50_us", "p99_us"] {
                            operation[figure][percentile] = (time_us + number % 3).into();
                        }
                    }
                }
            }
            trial
        };
        results["trials"] = (1..=9).map(repetition).collect::<Vec<_>>().into();
    }
}

fn journalbench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_journalbench")).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_regression_has_an_exit_status_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    for (name, time_us) in [("base", 1_000), ("same", 1_010), ("slower", 1_400), ("faster", 500)] {
        results(folder.path(), name, scrapes_of(time_us));
    }
    for (base, new, status, words) in [
        ("base", "same", 0, "no regression"),
        ("base", "slower", 3, "a regression"),
        ("base", "faster", 0, "no regression"),
    ] {
        let output = journalbench(&["compare", &at(base), &at(new)]);
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(status), "{new}: {said}{}", text(&output.stderr));
        assert!(said.contains(&format!("journalbench compare: {words}")), "{said}");
        assert!(said.contains("scrape service p50 (baseline)"), "{said}");
    }
    let few = results(folder.path(), "few", |all| {
        scrapes_of(2_000)(all);
        all["trials"].as_array_mut().unwrap().truncate(5);
    });
    let output = journalbench(&["compare", &at("base"), &few.display().to_string(), "--format", "markdown"]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("# journalbench compare: inconclusive"), "{}", text(&output.stdout));
}

#[test]
fn runs_that_are_not_comparable_are_refused_by_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let base = results(folder.path(), "base", scrapes_of(1_000)).display().to_string();
    let other = results(folder.path(), "other", |all| {
        scrapes_of(1_000)(all);
        all["environment"]["processor"] = "another\u{1b}[2J".into();
        all["scenario"]["load"]["seed"] = 7.into();
    });
    let other = other.display().to_string();
    let refused = journalbench(&["compare", &base, &other]);
    assert_eq!((refused.status.code(), refused.stdout.len()), (Some(2), 0));
    let said = text(&refused.stderr);
    for words in ["not comparable", "environment.processor: ", "scenario.load.seed: 310 and 7", "--force", "\\u001b"] {
        assert!(said.contains(words), "{words} in {said}");
    }
    let forced = journalbench(&["compare", &base, &other, "--force"]);
    assert_eq!(forced.status.code(), Some(0), "{}", text(&forced.stderr));
    assert!(text(&forced.stderr).contains("the runs differ in scenario.load.seed"));
    let missing = journalbench(&["compare", &base, "/no/such/file"]);
    assert_eq!(missing.status.code(), Some(1));
}

#[test]
fn machines_read_reports_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = results(folder.path(), "results.json", |all| {
        all["trials"][0]["status"] = "failed".into();
        all["trials"][0]["problems"] = json!([{"stage": "load", "message": "no room"}]);
    });
    let path = path.display().to_string();
    let report = |format: &str| journalbench(&["report", &path, "--format", format]);
    let junit = text(&report("junit").stdout);
    assert!(junit.starts_with("<?xml") && junit.contains("under load: no room"), "{junit}");
    let figures: Value = serde_json::from_slice(&report("custom-smaller-is-better").stdout).unwrap();
    assert!(figures.as_array().unwrap().iter().all(|figure| figure["value"].as_f64().unwrap() > 0.0), "{figures}");
    let matrix = text(&report("matrix").stdout);
    assert!(matrix.starts_with("| journal mode | copied with |"), "{matrix}");
    let summary = folder.path().join("summary.md");
    fs::write(&summary, "earlier\n").unwrap();
    let github = Command::new(env!("CARGO_BIN_EXE_journalbench"))
        .args(["report", &path, "--format", "github"])
        .env("GITHUB_STEP_SUMMARY", &summary)
        .output()
        .unwrap();
    assert!(text(&github.stdout).contains("::error title="), "{}", text(&github.stdout));
    let written = fs::read_to_string(&summary).unwrap();
    assert!(written.starts_with("earlier\n# journalbench: quick"), "{written}");
}

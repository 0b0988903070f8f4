//! Thresholds of a scenario, through the program: what is refused, what a run says of them, and its exit status.

use crate::common::SCENARIO;
use crate::common::program::{folder_with_scenario, names, output, text};
use journalbench::results::{Results, ThresholdOutcome};

#[test]
fn a_threshold_that_could_never_be_known_is_refused_before_anything_runs() {
    let folder = folder_with_scenario();
    for (set, expected) in [
        (
            r#"thresholds=["lost_writes < 1", "wal.commit.servise.p99_us < 5000"]"#,
            "test.toml: thresholds[1] = \"wal.commit.servise.p99_us < 5000\": column 12: `servise` is unknown here, did you mean \
            `service`? Expected one of service, response",
        ),
        (
            "thresholds=persist.commits_per_s > 1",
            "thresholds[0] = \"persist.commits_per_s > 1\": column 1: `persist`: no trial of the scenario runs under this",
        ),
        (
            "thresholds=snapshot.held-copy.wal.exact_share == 1",
            "column 10: `held-copy`: no trial of the scenario runs this strategy. Expected one of vacuum-into",
        ),
        ("thresholds=wal.commits_per_s == 5", "column 19: `==` of a measured figure"),
        ("thresholds=lost_writes < (1 + 2", "column 21: the expression ends, expected one of + - * / or `)`"),
    ] {
        for more in [&["--dry-run"][..], &["--out", "out"]] {
            let run = output(folder.path(), &[&["run", "test.toml", "--set", set], more].concat());
            assert_eq!(run.status.code(), Some(2), "{set}: {}", text(&run.stderr));
            assert!(text(&run.stderr).contains(expected), "{set}: {}", text(&run.stderr));
            assert!(run.stdout.is_empty(), "{set}");
        }
    }
    assert_eq!(names(folder.path()), ["test.toml"]);
    assert!(!SCENARIO.contains("thresholds"));
}

#[test]
fn a_broken_threshold_is_named_and_ends_with_3() {
    let folder = folder_with_scenario();
    let set = r#"thresholds=["snapshot.vacuum-into.wal.size_bytes < 1000", "lost_writes == 0"]"#;
    let run =
        output(folder.path(), &["run", "test.toml", "--out", "out", "--set", set, "--set", "sqlite.journal_mode=wal"]);
    let stderr = text(&run.stderr);
    assert_eq!(run.status.code(), Some(3), "{stderr}");
    let lines: Vec<_> = stderr.lines().filter(|line| line.starts_with("threshold ")).collect();
    assert_eq!(lines.len(), 1, "{stderr}");
    assert!(lines[0].starts_with("threshold broken: snapshot.vacuum-into.wal.size_bytes < 1000: value "), "{stderr}");
    assert!(lines[0].ends_with(", limit 1000, 95 % interval -: it was counted, so its value decides"), "{stderr}");

    let results = Results::load(&folder.path().join("out/results.json")).unwrap();
    let outcomes: Vec<_> = results.worst_thresholds().map(|groups| groups[0].outcome()).collect();
    assert_eq!(outcomes, [ThresholdOutcome::Broken, ThresholdOutcome::Held]);
    // The report says it again, and only `run` judges by it.
    for format in [&["--details"][..], &["--format", "markdown"]] {
        let report = output(folder.path(), &[&["report", "out/results.json"], format].concat());
        assert!(report.status.success());
        let report = text(&report.stdout);
        for word in ["Thresholds", "broken", "held", "lost_writes == 0"] {
            assert!(report.contains(word), "{word} in {report}");
        }
    }
}

#[test]
fn an_inconclusive_threshold_ends_with_0_and_with_3_where_that_is_asked_for() {
    let folder = folder_with_scenario();
    // One block of trials has no interval, however clear it is.
    let arguments = [
        "run",
        "test.toml",
        "--set",
        "thresholds=wal.announce.service.p50_us / delete.announce.service.p50_us < 1e9",
        "--set",
        "snapshots.strategies=none",
    ];
    for (out, more, code, lines) in [("out", &[][..], 0, 0), ("strict", &["--strict"], 3, 1)] {
        let run = output(folder.path(), &[&arguments, &["--details", "--out", out][..], more].concat());
        let stderr = text(&run.stderr);
        assert_eq!(run.status.code(), Some(code), "{stderr}");
        let inconclusive = stderr.matches("threshold inconclusive: wal.announce.service.p50_us / delete.").count();
        assert_eq!(inconclusive, lines, "{stderr}");
        assert!(text(&run.stdout).contains("1 block of trials, and an"), "{}", text(&run.stdout));
    }
}

//! The files of `docs/monitoring/` and what `snapshot --metrics` writes, as Prometheus' and systemd's own programs check them,
//! where these are installed.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use rusqlite::Connection;

use crate::common::program::{names, text};

fn monitoring() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring")
}

/// Whether a program is there; where not, says that a test skips it.
fn is_there(program: &str) -> bool {
    let is_there = Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success());
    if !is_there {
        println!("skipped: {program} is not installed here");
    }
    is_there
}

fn snapshot(arguments: &[&str], paths: &[&Path]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_journalbench"));
    program.arg("snapshot").args(arguments).args(paths).stdin(Stdio::null()).output().unwrap()
}

/// That Prometheus reads a page, and has nothing to say against its names.
fn check_metrics(page: &str) {
    if !is_there("promtool") {
        return;
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}\n{page}");
}

/// The value of a gauge.
fn value(page: &str, name: &str) -> Option<f64> {
    let line = page.lines().find(|line| line.starts_with(&format!("journalbench_snapshot_{name}{{")))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn metrics_are_written_whatever_comes_of_it_and_prometheus_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let live = folder.path().join("live \"1\".db");
    Connection::open(&live).unwrap().execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    let file = folder.path().join("tracker.prom");
    let metrics = ["--verify", "--metrics", file.to_str().unwrap()];
    let page = || fs::read_to_string(&file).unwrap();

    // Refused, and nothing of an earlier one is known.
    let out = folder.path().join("out.db");
    fs::write(&out, "mine").unwrap();
    assert_eq!(snapshot(&metrics, &[&live, &out]).status.code(), Some(2));
    check_metrics(&page());
    assert_eq!((value(&page(), "success"), value(&page(), "last_success_timestamp_seconds")), (Some(0.0), None));
    fs::remove_file(&out).unwrap();

    let made = snapshot(&metrics, &[&live, &out]);
    assert!(made.status.success(), "{}", text(&made.stderr));
    let good = page();
    check_metrics(&good);
    assert_eq!(
        (value(&good, "success"), value(&good, "verified"), value(&good, "bytes")),
        (Some(1.0), Some(1.0), Some(8192.0))
    );

    fs::rename(&live, folder.path().join("gone")).unwrap();
    assert_eq!(snapshot(&metrics, &[&live, &folder.path().join("2.db")]).status.code(), Some(1));
    check_metrics(&page());
    let kept = "last_verified_timestamp_seconds";
    assert_eq!((value(&page(), "verified"), value(&page(), kept)), (Some(0.0), value(&good, kept)));
    assert_eq!(names(folder.path()), ["gone", "out.db", "out.db.manifest.json", "tracker.prom"]);

    let refused = snapshot(&["--metrics", "tracker.txt"], &[&live, &out]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains(".prom"), "{}", text(&refused.stderr));
}

#[test]
fn the_alerts_are_rules_and_fire_when_they_should() {
    if !is_there("promtool") {
        return;
    }
    for arguments in [["check", "rules", "alerts.yml"], ["test", "rules", "alerts.test.yml"]] {
        let output = Command::new("promtool").args(arguments).current_dir(monitoring()).output().unwrap();
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    }
}

#[test]
fn the_dashboard_and_the_alerts_ask_for_figures_that_are_written() {
    let dashboard = fs::read_to_string(monitoring().join("dashboard.json")).unwrap();
    let parsed: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    assert!(parsed["panels"].as_array().is_some_and(|panels| panels.len() >= 4), "{parsed}");
    let alerts = fs::read_to_string(monitoring().join("alerts.yml")).unwrap();
    let known = [
        "last_run_timestamp_seconds",
        "last_success_timestamp_seconds",
        "last_verified_timestamp_seconds",
        "success",
        "verified",
        "duration_seconds",
        "bytes",
    ];
    for asked in (dashboard + &alerts).split("journalbench_snapshot_").skip(1) {
        let name: String = asked.chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '_').collect();
        assert!(known.contains(&name.as_str()), "{name}");
    }
}

#[test]
fn systemd_takes_the_units() {
    if !is_there("systemd-analyze") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let units =
        ["journalbench-snapshot.service", "journalbench-snapshot.timer", "journalbench-snapshot-failed.service"];
    for unit in units {
        // The program is where the documents say; here it is elsewhere.
        let words = fs::read_to_string(monitoring().join(unit)).unwrap();
        let words = words.replace("/usr/local/bin/journalbench", env!("CARGO_BIN_EXE_journalbench"));
        fs::write(folder.path().join(unit), words).unwrap();
    }
    let mut verify = Command::new("systemd-analyze");
    let output = verify.args(["verify", "--man=no"]).args(units.map(|unit| folder.path().join(unit))).output().unwrap();
    let said = text(&output.stderr);
    let of_ours: Vec<_> = said.lines().filter(|line| line.contains("journalbench")).collect();
    assert!(output.status.success() && of_ours.is_empty(), "{said}");
}

//! The steps after a snapshot: each is timed and says what it found, on copies; what the strategy left stays as it is.

use crate::common;

use std::{fs, path::Path, process::Command};

use journalbench::{
    oracle::Verdict,
    report::{self, Format},
    results::{Results, SnapshotResult, Status, StepResult, StepStatus},
    scenario::{Scenario, Step},
    snapshot::Programs,
};

fn step(snapshot: &SnapshotResult, step: Step) -> &StepResult {
    snapshot.after.entries().iter().find(|result| result.step == step).unwrap()
}

fn has(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok()
}

/// The status that a compressor's step must have here.
fn expected(program: &str) -> StepStatus {
    if has(program) { StepStatus::Done } else { StepStatus::Skipped }
}

#[test]
fn every_step_is_done_on_copies_and_retention_keeps_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let steps = r#"["quick_check", "integrity_check", "gzip", "restore_drill", "zstd", "retention"]"#;
    let steps = format!("snapshots.after.steps={steps}");
    let overrides = ["sqlite.journal_mode=wal", "snapshots.at_s=[0, 0.2, 0.4]", &steps, "snapshots.after.keep_last=2"];
    let results = common::run_kept(folder.path(), &overrides);
    let trial = &results.trials[0];
    assert_eq!((trial.status, trial.snapshots.len()), (Status::Completed, 3), "{trial:?}");
    for snapshot in &trial.snapshots {
        assert_eq!(snapshot.ruling.verdict, Some(Verdict::Exact), "what the strategy left is judged: {snapshot:?}");
        assert_eq!(snapshot.after.entries().len(), 6);
        assert!(snapshot.after.entries().iter().all(|step| !step.during_load && step.status != StepStatus::Failed));
        assert_eq!(step(snapshot, Step::QuickCheck).answer, "ok");
        assert_eq!(step(snapshot, Step::IntegrityCheck).answer, "ok");
        for (compression, program) in [(Step::Gzip, "gzip"), (Step::Zstd, "zstd")] {
            let compressed = step(snapshot, compression);
            assert_eq!(compressed.status, expected(program), "{compressed:?}");
            if compressed.status == StepStatus::Done {
                assert_eq!(compressed.input_bytes, Some(snapshot.copy.bytes), "the claim beside it is no part of it");
                assert!(compressed.output_bytes.unwrap() * 10 < snapshot.copy.bytes * 9, "{compressed:?}");
                assert!(compressed.duration_s > 0.0);
            }
        }
        let drill = step(snapshot, Step::RestoreDrill);
        // Torrents, ten keys, the whitelist and the aggregate.
        let rows: u64 = drill.answer.split(' ').next().unwrap().parse().unwrap();
        assert!(rows > 3_010, "{drill:?}");
        assert!(drill.decompress_s.unwrap() < drill.duration_s);
    }
    let answers: Vec<_> =
        trial.snapshots.iter().map(|snapshot| step(snapshot, Step::Retention).answer.as_str()).collect();
    assert!(answers[0].starts_with("1 kept, 0 deleted") && answers[2].starts_with("2 kept, 1 deleted"), "{answers:?}");
    let numbers: Vec<_> = trial.snapshots.iter().map(|snapshot| step(snapshot, Step::Retention).kept.clone()).collect();
    assert_eq!(numbers, [Some(vec![0]), Some(vec![0, 1]), Some(vec![1, 2])]);
    let said = |results: &Results| report::render(results, Format::Markdown);
    assert!(said(&results).contains("of the 2 backups that retention kept, 2 are exact."), "{}", said(&results));
    let mut torn = results.clone();
    for snapshot in &mut torn.trials[0].snapshots[1..] {
        (snapshot.ruling.verdict, snapshot.ruling.silent_failure) = (Some(Verdict::Torn), true);
    }
    let gone = "0 are exact; the last exact one was deleted after snapshot 3, which said that all was well.";
    assert!(said(&torn).contains(gone), "{}", said(&torn));
    torn.trials[0].snapshots[0].ruling.verdict = Some(Verdict::Stale);
    assert!(said(&torn).contains("0 are exact; none ever was."), "{}", said(&torn));
    let kept = common::kept(folder.path(), trial);
    let backups: Vec<_> = ["0", "1", "2"].map(|number| kept.join("backups").join(number).exists()).into();
    assert_eq!(backups, [false, true, true]);
    assert!((0..3).all(|number| kept.join(format!("snapshots/{number}/snapshot.db")).exists()));
    // A backup is what a restore needs.
    if has("gzip") {
        let backup = kept.join("backups/2/snapshot.db.gz");
        let restored = Command::new("gzip").arg("-dc").arg(backup).output().unwrap().stdout;
        assert!(restored == fs::read(kept.join("snapshots/2/snapshot.db")).unwrap());
    }
}

#[test]
fn steps_during_the_load_lie_in_the_phase_of_their_snapshot_and_none_is_done_after_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    // In place of `cp`, what fails at its second call, and leaves a wrong copy at its first.
    let script = folder.path().join("cp.sh");
    let text = "#!/bin/sh\ntest \"$1\" != --version || exit\ntest ! -e \"$0.ran\" || exit 1\ntouch \"$0.ran\"\n\
        cp \"$1\" \"$2\"; printf xxxxxxxx | dd of=\"$2\" bs=1 seek=2048 conv=notrunc status=none\n";
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let programs = Programs { cp: Some(script), ..Programs::find(env!("CARGO_BIN_EXE_journalbench").into()) };
    let overrides = [
        "sqlite.journal_mode=delete",
        "snapshots.strategies=cp",
        "snapshots.at_s=[0, 0.8]",
        r#"snapshots.after.steps=["integrity_check", "restore_drill"]"#,
        "snapshots.after.during_load=true",
    ];
    let results = common::run_kept_with(folder.path(), &overrides, programs);
    let [first, second] = results.trials[0].snapshots.as_slice() else { panic!("{:?}", results.trials) };
    assert_eq!(first.wal, None.into(), "there is none to watch");
    let check = step(first, Step::IntegrityCheck);
    assert_eq!((check.status, check.during_load), (StepStatus::Failed, true), "{check:?}");
    assert_ne!(check.answer, "ok");
    assert_eq!(second.after.entries().len(), 2, "{second:?}");
    assert!(second.after.entries().iter().all(|step| step.status == StepStatus::Skipped), "{second:?}");
    let phase = results.trials[0].phases.iter().find(|phase| phase.name.to_string() == "snapshot").unwrap();
    let steps_s: f64 = first.after.entries().iter().map(|step| step.duration_s).sum();
    assert!(phase.duration_s >= first.run.duration_s + steps_s - 0.02, "{} s", phase.duration_s);
    let kept = common::kept(folder.path(), &results.trials[0]);
    assert!(!kept.join("backups/0").exists(), "nothing is kept without retention");
}

#[test]
fn retention_and_what_it_keeps_are_said_together() {
    let refusal = |overrides: &[&str]| {
        let overrides: Vec<_> = overrides.iter().map(ToString::to_string).collect();
        Scenario::parse("test", common::SCENARIO, Path::new("test.toml"), &overrides).unwrap_err().to_string()
    };
    let retention = r#"snapshots.after.steps=["retention"]"#;
    for (overrides, key) in [
        (&[retention][..], "snapshots.after.steps = retention"),
        (&[retention, "snapshots.after.keep_last=0"], "snapshots.after.keep_last = 0"),
        (&[retention, "snapshots.after.keep_last=1", "snapshots.after.keep_days=1"], "snapshots.after.keep_last = 1"),
        (&["snapshots.after.keep_days=7"], "snapshots.after = keep_days"),
        (&[r#"snapshots.after.steps=["gzip", "gzip"]"#], "snapshots.after.steps = gzip"),
        (&["snapshots.every_s=1"], "snapshots.every_s = 1"),
        (&["snapshots.count=2"], "snapshots.count = 2"),
        (&["snapshots.at_s=[0, 0]"], "snapshots.at_s = 0, 0"),
        (&["snapshots.at_s=[0]", "snapshots.every_s=1", "snapshots.count=2"], "snapshots.every_s = 1"),
    ] {
        let found = refusal(overrides);
        assert!(found.contains(&format!("{key}: expected")), "{overrides:?}: {found}");
    }
}

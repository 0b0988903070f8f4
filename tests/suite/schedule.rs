//! Several snapshots in one trial: when they begin, what they are judged by, and that the load lasts as long whatever
//! they do.

use crate::common;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use journalbench::{
    oracle::{Claim, Verdict},
    results::{CopyJournalMode, PhaseName, PhaseResult, Status, TrialResult},
    snapshot::Programs,
};

/// The phases after the warm-up.
fn names(trial: &TrialResult) -> Vec<PhaseName> {
    trial.phases.iter().skip(1).map(|phase| phase.name).collect()
}

fn end_s(phase: &PhaseResult) -> f64 {
    phase.started_s + phase.duration_s
}

#[test]
fn every_snapshot_of_a_schedule_has_its_phase_its_folder_and_its_claim() {
    let folder = tempfile::tempdir().unwrap();
    let strategies = r#"snapshots.strategies=["none", "vacuum-into"]"#;
    let overrides = [
        strategies,
        "sqlite.journal_mode=wal",
        "snapshots.at_s=[0, 0.6, 1.2]",
        "phases.recovery_s=0.1",
        "snapshots.deadline_s=1",
        "snapshots.sync=true",
    ];
    let results = common::run_kept(folder.path(), &overrides);
    assert_eq!(results.trials.len(), 2);
    let length_s = |trial: &TrialResult| end_s(trial.phases.last().unwrap());
    for trial in &results.trials {
        assert_eq!((trial.status, trial.live_database_matches_ledger), (Status::Completed, Some(true)), "{trial:?}");
        // Warm-up, baseline, 1.2 s to the last snapshot, its horizon; the jitter is at most a second.
        assert!((2.7..=3.7).contains(&length_s(trial)), "{} lasted {} s", trial.id, length_s(trial));
        let gaps = trial.phases.windows(2).map(|pair| (end_s(&pair[0]) - pair[1].started_s).abs());
        assert!(gaps.fold(0.0, f64::max) < 1e-9, "phases follow each other: {:?}", trial.phases);
    }
    let (control, copied): (Vec<_>, Vec<_>) = results.trials.iter().partition(|trial| trial.id.contains("none"));
    for trial in control {
        assert_eq!(names(trial), [PhaseName::Baseline, PhaseName::Recovery]);
    }
    for trial in copied {
        use PhaseName::{Baseline, Recovery, Snapshot};
        assert_eq!(names(trial), [Baseline, Snapshot, Recovery, Snapshot, Recovery, Snapshot, Recovery]);
        let phases = trial.phases.iter().filter(|phase| phase.name == Snapshot);
        let mut last_commit = 0;
        for (number, (snapshot, phase)) in trial.snapshots.iter().zip(phases).enumerate() {
            assert_eq!(
                snapshot.ruling.verdict,
                Some(Verdict::Exact),
                "{} {number}: {:?}",
                trial.id,
                snapshot.ruling.evidence
            );
            assert!(snapshot.ruling.commit.unwrap() > last_commit, "each is of its own time");
            last_commit = snapshot.ruling.commit.unwrap();
            let planned_s = trial.snapshots[0].run.started_s + 0.6 * f64::from(u32::try_from(number).unwrap());
            assert!(snapshot.run.started_s - snapshot.run.late_s.known().unwrap() - planned_s < 0.2, "{snapshot:?}");
            let (copied_s, synced_s) = (snapshot.run.duration_s, *snapshot.run.sync_s.found().unwrap());
            assert!(copied_s > 0.0 && synced_s > 0.0);
            let left_s = phase.duration_s - copied_s - synced_s;
            assert!((-0.02..0.2).contains(&left_s), "copy and sync lie within the phase: {left_s} s are neither");
            let header = (snapshot.copy.copy_journal_mode, snapshot.copy.stands_alone);
            assert_eq!(
                header,
                (Some(CopyJournalMode::Rollback).into(), Some(true).into()),
                "VACUUM INTO makes no WAL database"
            );
            assert!(phase.operations.iter().all(|operation| operation.placement.is_some()));

            let kept = common::kept(folder.path(), trial).join("snapshots").join(number.to_string());
            let claim: Claim = serde_json::from_slice(&fs::read(kept.join("claim.json")).unwrap()).unwrap();
            assert!(claim.finished);
            assert_eq!(
                (claim.commit_at_start, claim.commit_at_end),
                (snapshot.run.commit_at_start, snapshot.run.commit_at_end)
            );
            assert_eq!(snapshot.copy.bytes, kept.join("snapshot.db").metadata().unwrap().len());
        }
        assert_eq!(trial.snapshots.len(), 3);
    }
}

/// An executable file with this text.
fn script(folder: &Path, text: &str) -> PathBuf {
    let path = folder.join("script.sh");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_snapshot_that_would_overlap_the_one_before_waits_for_it_and_one_without_time_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    // In place of `cp`, what never ends: each takes its whole second.
    let never = script(folder.path(), "#!/bin/sh\ntest \"$1\" = --version || exec sleep 60\n");
    let programs = Programs { cp: Some(never), ..Programs::find(env!("CARGO_BIN_EXE_journalbench").into()) };
    let overrides = [
        "snapshots.strategies=cp",
        "sqlite.journal_mode=wal",
        "snapshots.every_s=0.4",
        "snapshots.count=5",
        "snapshots.deadline_s=1",
    ];
    let results = common::run_kept_with(folder.path(), &overrides, programs);
    let [trial] = results.trials.as_slice() else { panic!("{:?}", results.trials) };
    assert_eq!(trial.status, Status::Completed, "{trial:?}");
    let [first, second, third] = trial.snapshots.as_slice() else { panic!("{:?}", trial.snapshots) };
    assert_eq!(trial.snapshots_not_taken, 2.into());
    for snapshot in &trial.snapshots {
        assert_eq!((snapshot.ruling.verdict, snapshot.run.sync_s), (Some(Verdict::Unfinished), None.into()));
    }
    // At the earliest: a busy machine is later.
    assert!(first.run.late_s == 0.0.into() && *second.run.late_s.known().unwrap() >= 0.5, "{second:?}");
    assert!(second.run.started_s >= first.run.started_s + first.run.duration_s, "no two run at once");
    assert!((first.run.deadline_s, second.run.deadline_s) == (1.0, 1.0));
    assert!(third.run.deadline_s < 1.0, "the load ends when it ends: {third:?}");
    let not_done = trial.phases.iter().filter(|phase| phase.name == PhaseName::Snapshot).count();
    assert_eq!(not_done, 3, "one that is not taken has no phase");
}

/// Holds a read transaction for 0.7 s, and backs up in it.
const HELD_BACKUP: &str = r#"#!/bin/sh
test "$1" != --version || exec sqlite3 --version
{ echo '.timeout 900'; echo 'BEGIN; SELECT id FROM torrents LIMIT 1;'; sleep 0.7; echo "$4"; } | sqlite3 "$3" >&2
"#;

#[test]
fn the_wal_is_watched_around_a_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let sqlite3 = script(folder.path(), HELD_BACKUP);
    let programs = Programs { sqlite3: Some(sqlite3), ..Programs::find(env!("CARGO_BIN_EXE_journalbench").into()) };
    let overrides = [
        "snapshots.strategies=cli-backup",
        "sqlite.journal_mode=wal",
        "sqlite.checkpoint_thread_ms=5",
        "sqlite.wal_autocheckpoint_pages=50",
        "phases.recovery_s=0.5",
        "snapshots.deadline_s=3",
    ];
    let results = common::run_kept_with(folder.path(), &overrides, programs);
    let [wal] = results.trials.as_slice() else { panic!("{:?}", results.trials) };
    let snapshot = &wal.snapshots[0];
    let seen = snapshot.wal.found().unwrap();
    assert!(seen.start_bytes > 0 && seen.peak_bytes >= seen.start_bytes && seen.peak_after_bytes > 0, "{seen:?}");
    // The read transaction keeps the log from being restarted: it grows beyond what it ever was, and comes back.
    assert!(seen.peak_used_bytes > seen.baseline_peak_used_bytes, "{seen:?}");
    assert!(seen.peak_used_bytes <= seen.peak_bytes && seen.start_used_bytes <= seen.start_bytes, "{seen:?}");
    assert!(seen.back_after_s.is_some_and(|back_s| back_s < 1.5), "{seen:?}");
    assert!(seen.checkpoints.unwrap() > 10 && seen.restarts * 10 < seen.checkpoints.unwrap(), "{seen:?}");
    let held = wal.phases.iter().find(|phase| phase.name == PhaseName::Snapshot).unwrap();
    assert!(held.commits > 20, "nobody waited: {}", held.commits);
    let times: Vec<_> = snapshot.progress.points.entries().iter().map(|point| point.t_s).collect();
    assert!(times.len() > 10 && times.is_sorted(), "{:?}", snapshot.progress.points);
    assert_eq!(snapshot.ruling.verdict, Some(Verdict::Exact), "{snapshot:?}");
    assert_eq!(
        (snapshot.copy.copy_journal_mode, snapshot.copy.stands_alone),
        (Some(CopyJournalMode::Wal).into(), Some(true).into())
    );
}

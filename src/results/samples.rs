//! Results made by hand, for tests of what is read from them: small, whole and without a fault. A test changes what it is
//! about.

use std::{collections::BTreeMap, path::Path, time::Duration};

use super::{
    CopyCost, CopyCourse, CopyFiles, CopyRun, DiskUse, Distribution, Drawn, Evidence, Exposure, FileLeft,
    HorizonResult, IoResult, KillResult, Lateness, MergedRun, OperationResult, Outcomes, PartName, PartResult,
    PhaseName, PhaseResult, PowerLossModel, PowerLossResult, Recorded, Results, Ruling, SCHEMA_VERSION, SeriesPoint,
    Silence, SnapshotResult, Status, Times, TrackerResult, TrialResult, WindowOperation, WindowResult,
};
use crate::{
    env::{Build, Environment, Program},
    io::FileKind,
    measure::{IoRole, IoTally, KindTally, OperationKind, histogram, record},
    oracle::{Findings, Verdict},
    power::disk::DiskModel,
    probe::{DiskProbe, Latencies, SqliteFound, SyncEffect, Throughput},
    scenario::{Conditions, PageCache, Scenario, Shard},
    snapshot::{SNAPSHOT_FILE, Strategy},
    sqlite::{JournalMode, Synchronous},
    workload::WriteProfile,
};

/// A scenario of 1,000 operations a second under `delete` and `wal`, with these keys changed.
pub(crate) fn scenario(overrides: &[&str]) -> Scenario {
    const SCENARIO: &str = r#"
        why = "Is cp a backup?"
        expect = "not under load"
        [dataset]
        rows = 1000
        [sqlite]
        journal_mode = ["delete", "wal"]
        [load]
        rate_ops = 1000
        [snapshots]
        strategies = ["cp", "vacuum-into"]
    "#;
    let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
    Scenario::parse("sample", SCENARIO, Path::new("sample.toml"), &overrides).unwrap()
}

/// A machine of which there is nothing to warn, but that its processors are few.
pub(crate) fn environment() -> Environment {
    Environment {
        processor: "a processor".to_owned(),
        processors: 2,
        memory_bytes: 16_000_000_000,
        kernel: "Linux 6.0".to_owned(),
        file_system: "ext4".to_owned(),
        mount_options: "rw".to_owned(),
        fsync_us_p50: Some(100),
        sqlite_version: "3.54.1".to_owned(),
        sqlite_sync_call: "fsync".to_owned(),
        sqlite3_program_version: Some("3.54.1".to_owned()),
        cp_version: Some("cp 9.1".to_owned()),
        optimised_build: true,
        build: Some(Build {
            revision: Some("0123456789abcdef0123456789abcdef01234567".to_owned()),
            modified: Some(false),
            target: Some("x86_64-unknown-linux-gnu".to_owned()),
            profile: Some("release".to_owned()),
            rustc: Some("rustc 1.89.0".to_owned()),
        }),
        sqlite_source_id: Some("2026-01-01 00:00:00 0123456789abcdef".to_owned()),
        programs: Some(vec![Program {
            name: "cp".to_owned(),
            path: Some("/bin/cp".into()),
            version: Some("cp 9.1".to_owned()),
        }]),
        cpu_governors: Some(vec!["performance".to_owned()]),
        timer_late_us_p99: Some(80),
        timer_late: Some(latencies(200, 40)),
        disk_probe: Some(disk_probe()),
        sqlite_found: Some(["built in", "/bin/sqlite3"].map(sqlite_found).to_vec()),
    }
}

/// A disk that syncs in a tenth of a millisecond.
fn disk_probe() -> DiskProbe {
    let throughput = |bytes_per_s: u32| Throughput {
        bytes: 16_000_000,
        duration_s: 16e6 / f64::from(bytes_per_s),
        bytes_per_s: f64::from(bytes_per_s),
    };
    DiskProbe {
        fsync: Some(latencies(1_000, 100)),
        fdatasync: Some(latencies(1_000, 90)),
        folder_sync: Some(latencies(500, 200)),
        sequential_write: Some(throughput(500_000_000)),
        sequential_read: Some(throughput(1_000_000_000)),
        random_read: Some(latencies(1_000, 60)),
        random_write: Some(latencies(1_000, 110)),
        sync_effect: SyncEffect::ReachesADisk,
    }
}

/// So many times of which half are not longer than this.
fn latencies(count: u64, p50_us: u64) -> Latencies {
    let p99_us = (count >= 1_000).then_some(3 * p50_us);
    Latencies { count, p50_us: Some(p50_us), p90_us: Some(2 * p50_us), p99_us, max_us: 9 * p50_us }
}

/// One of the version that is built in.
fn sqlite_found(program: &str) -> SqliteFound {
    SqliteFound {
        program: program.to_owned(),
        version: Some("3.54.1".to_owned()),
        source_id: Some("2026-01-01 00:00:00 0123456789abcdef".to_owned()),
        compile_options: Some(vec!["THREADSAFE=1".to_owned()]),
        has_wal_reset_bug: Some(false),
    }
}

/// Results of [`scenario`] with these trials, and no warnings.
pub(crate) fn results(trials: Vec<TrialResult>) -> Results {
    Results {
        schema_version: SCHEMA_VERSION,
        journalbench_version: "0.1.0".to_owned(),
        started_at: "2026-01-01T00:00:00Z".to_owned(),
        duration_s: 60.0,
        sittings: Recorded::Unknown,
        scenario: scenario(&[]),
        shard: None,
        merged: Vec::new(),
        environment: environment(),
        dataset: Recorded::Known(None),
        warnings: Vec::new(),
        comparisons: Recorded::Known(Vec::new()),
        claims: Recorded::Known(Vec::new()),
        decision: None,
        thresholds: Recorded::Known(Vec::new()),
        trials,
    }
}

/// A run of a shard that was merged, of ten seconds.
pub(crate) fn merged_run(number: u32, of: u32) -> MergedRun {
    MergedRun {
        shard: Shard::new(number, of).unwrap(),
        started_at: "2026-01-01T00:00:00Z".to_owned(),
        duration_s: 10.0,
        environment: environment(),
    }
}

/// The conditions of [`trial`], where trials differ in nothing else.
pub(crate) fn conditions() -> Conditions {
    Conditions {
        synchronous: Synchronous::Full,
        offered_rate_ops: Some(1_000.0),
        announce_connections: None,
        completed_rate_ops: None,
    }
}

/// A whole trial at 1,000 operations a second: a baseline, one exact snapshot (none of the control), a recovery.
pub(crate) fn trial(journal_mode: JournalMode, strategy: Strategy) -> TrialResult {
    let is_control = strategy == Strategy::None;
    let names = [PhaseName::Baseline, PhaseName::Snapshot, PhaseName::Recovery];
    let names = names.into_iter().filter(|name| !is_control || *name != PhaseName::Snapshot);
    TrialResult {
        id: format!("{journal_mode}-full-1000-{strategy}-1"),
        journal_mode,
        synchronous: Synchronous::Full,
        strategy,
        strategy_options: serde_json::json!({}),
        write_profile: WriteProfile::CompletedOnly,
        repetition: 1,
        offered_rate_ops: Some(1_000.0),
        announce_connections: Recorded::Known(Some(1)),
        completed_rate_ops: None,
        achieved_rate_ops: 1_000.0,
        status: Status::Completed,
        reason: None,
        problems: Vec::new(),
        kept_in: None,
        page_cache: PageCache::Warm,
        settings: BTreeMap::new(),
        wal_bytes_max: 4_000_000,
        disk_use: Some(DiskUse {
            files_max: 3,
            journal_bytes_max: 0,
            wal_used_bytes_max: 2_000_000,
            shm_bytes_max: 32_768,
            disk_bytes_max: 20_000_000,
        }),
        live_database_matches_ledger: Some(true),
        phases: names.map(phase).collect(),
        snapshots: if is_control { Vec::new() } else { vec![snapshot(strategy, Verdict::Exact)] },
        horizons: Recorded::Known(vec![horizon(is_control)]),
        snapshots_not_taken: Recorded::Known(0),
        silences: Recorded::Known(vec![Silence {
            started_s: 5.1,
            duration_s: 0.012,
            unserved: 0,
            checkpoint_s: Some(0.002),
        }]),
        tracker: None,
        power_loss: None,
        copy_durability: None,
        kill: None,
        disturbed: Recorded::Known(Vec::new()),
        series: (0..3).map(second).collect(),
    }
}

/// A second of 1,000 operations, each later by a millisecond than that before it.
pub(crate) fn second(t_s: u64) -> SeriesPoint {
    let p99_us = Some((t_s + 1) * 1_000);
    SeriesPoint { t_s, due: 1_000, served: 1_000, p50_us: Some(100), p99_us, max_us: p99_us, ..SeriesPoint::default() }
}

/// Ten seconds in which all that was offered was achieved.
pub(crate) fn phase(name: PhaseName) -> PhaseResult {
    PhaseResult {
        name,
        started_s: 0.0,
        duration_s: 10.0,
        offered_rate_ops: 1_000.0,
        achieved_rate_ops: 1_000.0,
        offered_sql_per_s: 4_000.0,
        achieved_sql_per_s: 4_000.0,
        offered_commits_per_s: 50.0,
        achieved_commits_per_s: 50.0,
        commits: 500,
        longest_without_commit_s: 0.025,
        held_s: None,
        stalled_s: Recorded::Known(Some(0.012)),
        generator_bound: Recorded::Unknown,
        operations: OperationKind::ALL.map(|kind| operation(kind, 1_000, 0)).to_vec(),
        lag: Distribution::new(&histogram(), 0),
        io: Some(IoResult::new(&io(), 10.0)),
    }
}

/// A commit of the announces that wrote two pages of the WAL and synced it, after a wait for a lock; and a checkpoint.
fn io() -> IoTally {
    let mut io = IoTally::default();
    let counts = &mut io.roles[IoRole::Announces as usize];
    let wal = &mut counts.files[FileKind::Wal as usize];
    (wal.writes, wal.written_bytes, wal.syncs) = (4, 8_240, 1);
    (counts.lock_waits, counts.lock_wait, counts.commits) = (1, Duration::from_millis(1), 1);
    counts.row_bytes = 77;
    record(&mut io.sync, 120);
    record(io.syncs.entry(FileKind::Wal).or_insert_with(histogram), 120);
    io.checkpoints.count = 1;
    io.checkpoints.pages = 2;
    io
}

/// Operations that were served, in 1 to 10 ms, and as many as `dropped` that were not.
pub(crate) fn operation(kind: OperationKind, served: u64, dropped: u64) -> OperationResult {
    let tally = tally(served, dropped);
    let lateness = Lateness::new(&tally, 1_000, 15_000_000);
    OperationResult { lateness: lateness.into(), ..OperationResult::new(kind, &tally) }
}

fn tally(served: u64, dropped: u64) -> KindTally {
    let mut tally = KindTally::default();
    for number in 0..served {
        record(&mut tally.response, 1_000 * (1 + u32::try_from(number % 10).unwrap()));
        record(&mut tally.service, 500);
    }
    (tally.counts.served, tally.counts.dropped) = (served, dropped);
    tally
}

/// Kills of which nothing was judged.
pub(crate) fn kill() -> KillResult {
    KillResult {
        kills: 3,
        in_transaction: 2,
        in_checkpoint: 1,
        in_copy: 1,
        acknowledged: 1_000,
        database: Outcomes::default(),
        copies: None,
    }
}

/// Power losses of which no image was made.
pub(crate) fn power_loss() -> PowerLossResult {
    let exposure = Exposure {
        instants: 1_000,
        commits_p50: 3,
        commits_p99: 9,
        commits_max: 12,
        age_p50_us: 1_500,
        age_p99_us: 4_500,
        age_max_us: 6_000,
    };
    let of_strict = PowerLossModel {
        model: DiskModel::Strict,
        granule_bytes: 512,
        drawn: Drawn::ByEvent,
        outcomes: Outcomes::default(),
    };
    PowerLossResult {
        commits: 300,
        events: 4_000,
        commits_per_s: 1_000.0,
        syncs_per_commit: 1.5,
        models: vec![of_strict],
        exposure,
    }
}

/// A tracker that wrote all of a thousand writes.
pub(crate) fn tracker() -> TrackerResult {
    TrackerResult {
        version: Some("3.0.0".to_owned()),
        program_sha256: Some("5a".repeat(32)),
        torrents: 200,
        warming_writes: 200,
        writes_asked_for: 1_000,
        sequence_advanced_by: Some(1_200),
        doubtful_writes: 0,
        lost_writes: Some(0),
        lost: Vec::new(),
        unknown: None,
        receive_buffer_errors: Some(0),
        receive_buffer_errors_are_its_own: false,
        requests_dropped: Some(0),
        writes_withheld: Some(0),
        aborted_requests: 0,
        was_killed: false,
    }
}

/// The ten seconds from the beginning of a snapshot on, or those of the control.
fn horizon(is_control: bool) -> HorizonResult {
    let parts: &[_] = if is_control {
        &[(PartName::Settle, 0.0, 10.0)]
    } else {
        &[(PartName::Copy, 0.0, 0.5), (PartName::Sync, 0.5, 0.1), (PartName::Settle, 0.6, 9.4)]
    };
    let part = |(name, started_s, duration_s): &(PartName, f64, f64)| PartResult {
        name: *name,
        window: window(5.0 + started_s, *duration_s),
    };
    HorizonResult { window: window(5.0, 10.0), parts: parts.iter().map(part).collect() }
}

fn window(started_s: f64, duration_s: f64) -> WindowResult {
    let tally = tally(1_000, 0);
    let operation = |kind| WindowOperation {
        kind,
        due: tally.counts.due(),
        counts: tally.counts,
        response: Times::new(&tally.response, tally.counts.due()),
        service: Times::new(&tally.service, tally.service.len()),
        lateness: Lateness::new(&tally, 1_000, 15_000_000),
    };
    let operations = OperationKind::ALL.map(operation).to_vec();
    WindowResult { started_s, duration_s, stalled_s: Some(0.012), operations }
}

/// A snapshot that took half a second of its five, during ten commits.
pub(crate) fn snapshot(strategy: Strategy, verdict: Verdict) -> SnapshotResult {
    SnapshotResult {
        strategy,
        run: CopyRun {
            started_s: 5.0,
            late_s: Recorded::Known(0.0),
            duration_s: 0.5,
            sync_s: Recorded::Known(Some(0.1)),
            sync_error: Recorded::Known(None),
            deadline_s: 5.0,
            exit_status: Some(0),
            error: None,
            stderr: Recorded::Known(String::new()),
            commit_at_start: 100,
            commit_at_end: 110,
            commits_lost: None,
        },
        progress: CopyCourse {
            parts: Recorded::Known(Vec::new()),
            restarts: None,
            pages_in_vain: Recorded::Known(None),
            points: Recorded::Known(Vec::new()),
        },
        cost: CopyCost {
            downtime_s: Recorded::Known(None),
            resources: Recorded::Known(None),
            writer_cpu_s: Recorded::Known(None),
            io: None,
            pace: None,
            live_cached: None,
        },
        copy: CopyFiles {
            bytes: 8_000_000,
            files: vec![FileLeft { name: SNAPSHOT_FILE.to_owned(), bytes: 8_000_000 }],
            copy_journal_mode: Recorded::Known(None),
            stands_alone: Recorded::Known(Some(true)),
        },
        wal: Recorded::Known(None),
        after: Recorded::Known(Vec::new()),
        ruling: Ruling {
            verdict: Some(verdict),
            integrity_check: Some("ok".to_owned()),
            silent_failure: !verdict.is_exact(),
            evidence: Evidence {
                missing_commits: Recorded::Known(None),
                missing_s: Recorded::Known(None),
                downloads_lost: Recorded::Known(None),
                damage: Recorded::Known(Findings::default()),
                difference: Recorded::Known(None),
                read_s: Recorded::Known(0.1),
                ..Evidence::default()
            },
            ..Ruling::default()
        },
    }
}

/// As it stands in a file that an older program wrote, which says nothing of what is newer than itself.
pub(crate) fn of_before(results: &Results) -> Results {
    const NEWER: [&str; 50] = [
        "power_loss",
        "copy_durability",
        "kill",
        "silences",
        "checkpoint_s",
        "tracker",
        "live_cached",
        "pace",
        "claims",
        "timer_late",
        "disk_probe",
        "sqlite_found",
        "io",
        "disk_use",
        "files_beside",
        "checkpoints",
        "thresholds",
        "disturbed",
        "build",
        "sqlite_source_id",
        "programs",
        "announce_connections",
        "comparisons",
        "horizons",
        "stalled_s",
        "lateness",
        "dataset",
        "snapshots_not_taken",
        "problems",
        "generator_bound",
        "late_s",
        "sync_s",
        "sync_error",
        "stderr",
        "parts",
        "pages_in_vain",
        "downtime_s",
        "resources",
        "writer_cpu_s",
        "copy_journal_mode",
        "stands_alone",
        "wal",
        "after",
        "missing_commits",
        "missing_s",
        "downloads_lost",
        "damage",
        "difference",
        "read_s",
        "progress",
    ];
    fn strip(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(entries) => {
                // A phase always had a lag, its kinds had none.
                let is_kind = entries.contains_key("kind");
                let is_newer = |name: &str| NEWER.contains(&name) || (is_kind && name == "lag");
                entries.retain(|name, _| !is_newer(name));
                entries.values_mut().for_each(strip);
            }
            serde_json::Value::Array(entries) => entries.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let mut json = serde_json::to_value(results).unwrap();
    let scenario = json["scenario"].take();
    strip(&mut json);
    json["scenario"] = scenario;
    serde_json::from_value(json).unwrap()
}

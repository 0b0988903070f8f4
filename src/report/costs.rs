//! The tables of a report that speak of what snapshots cost: the machine, the others, and the WAL. One row a trial.

use super::{
    context::Group,
    figures::{Cell, Column, Table, Unit, Value},
    notes::Note,
    snapshots::{counted, ranged, trials},
    tables::{label_columns, labels, placed, response_value, strategy_label, worst},
};
use crate::{
    measure::{OperationKind, Percentile},
    results::{
        HorizonResult, Lateness, PartName, PhaseName, Recorded, Resources, SnapshotResult, TrialResult, WalResult,
        WindowResult,
    },
};

/// What stands above [`machine`].
pub fn machine_note() -> Note {
    Note::new(
        "What the snapshots used of the machine",
        "The figures are those of the process of the strategy and of the processes that it started. \"memory\": the largest \
        resident size of one of them. \"read\" and \"written\": bytes that went through system calls; \"from disk\" and \"to disk\": \
        the part of them that a disk had to read or will have to write. Where the writer itself copies there is no process: the \
        processor time is that of the writer's thread, and the rest is not known. \"writers stopped\": how long no write was let \
        through. Where a trial has several snapshots, a cell shows the range.",
    )
}

/// What stands above [`others`].
pub fn others_note() -> Note {
    Note::new(
        "What the snapshots cost the operations that were due meanwhile",
        "The time of a snapshot is that of its copy, its sync and the steps after it. Where a trial has several snapshots, the worst is shown. \"no \
        commit for\": the longest time without a commit, whether or not anybody wanted to write. \"windows\": the baseline is cut into windows that are as long as the \
        snapshot took; the range of their p99 in ms, and how many of them had a lower p99 than the snapshot.",
    )
}

/// What stands above [`horizon`].
pub fn horizon_note() -> Note {
    Note::new(
        "What the snapshots cost over the same time for every strategy",
        "The horizon begins with the snapshot and is equally long for every strategy, unless the load or the next snapshot ends it; \
        that of \"none\" begins when others take theirs. \"stalled\": the longest time in which a write was due or waiting and none \
        was committed, in the copy, in the harness's sync of it, and after both, the steps included. \"over 10 ms\" and so on: announces and scrapes \
        whose response took longer. One that its client gave up counts as late by the client timeout, one that the end of the load cut \
        off as late as it was then. \"client-seconds lost\": their response times beyond the \
        baseline's median, added up, and how many the baseline loses in as long. Where a trial has several snapshots, a cell shows \
        the range.",
    )
}

/// What stands above [`wal`].
pub fn wal_note() -> Note {
    Note::new(
        "The WAL around the snapshots",
        "\"in use\": frames that were written since the log was last restarted; the file itself stays as long as it ever was. \"back \
        after\": the time until no more was in use than the most in the baseline. \"restarts\": how often the log was restarted \
        during the copy. \"main file changed\": how many of the looks, one every 20 ms, saw that a checkpoint had written to the \
        main file. \"checkpoints\" and \"pages\": those of the checkpoint thread during the copy, where there is one. Where a trial \
        has several snapshots, a cell shows the range.",
    )
}

/// What they used of the machine; only of trials of which anything of that is known.
pub fn machine(group: &Group<'_>) -> Table {
    let mut columns = label_columns();
    columns.push(Column::of("CPU", Unit::Seconds));
    columns
        .extend(["memory", "read", "written", "from disk", "to disk"].map(|title| Column::of(title, Unit::Megabytes)));
    columns.push(Column::of("writers stopped", Unit::Seconds));
    let is_known = |snapshot: &SnapshotResult| {
        snapshot.cost.resources.found().is_some() || snapshot.cost.writer_cpu_s.found().is_some()
    };
    let row = |trial: &TrialResult| {
        let bytes = |value: fn(&Resources) -> u64| {
            counted(trial, Value::Bytes, |snapshot| snapshot.cost.resources.map(|used| used.as_ref().map(value)))
        };
        let mut cells = labels(trial);
        cells.extend([
            ranged(trial, Value::Duration, cpu_s),
            bytes(|used| used.memory_peak_bytes),
            bytes(|used| used.read_bytes),
            bytes(|used| used.written_bytes),
            bytes(|used| used.disk_read_bytes),
            bytes(|used| used.disk_written_bytes),
            ranged(trial, Value::Duration, |snapshot| snapshot.cost.downtime_s),
        ]);
        cells
    };
    let known = trials(group).filter(|trial| trial.snapshots.iter().any(is_known));
    Table { columns, rows: known.map(row).collect() }
}

/// Processor time of its process, or of the writer that copied.
fn cpu_s(snapshot: &SnapshotResult) -> Recorded<Option<f64>> {
    match snapshot.cost.resources {
        Recorded::Known(Some(used)) => Some(used.cpu_s()).into(),
        Recorded::Known(None) | Recorded::Unknown => snapshot.cost.writer_cpu_s,
    }
}

/// What they cost the others.
pub fn others(group: &Group<'_>) -> Table {
    let mut columns = label_columns();
    columns.push(Column::of("no commit for", Unit::Milliseconds));
    for kind in OperationKind::REQUESTS {
        columns.push(Column::of(&format!("{kind}s' p99"), Unit::Milliseconds));
        columns.push(Column::of("windows", Unit::Milliseconds));
    }
    let row = |trial: &TrialResult| {
        let mut cells = labels(trial);
        let phases = trial.phases.iter().filter(|phase| phase.name == PhaseName::Snapshot);
        let stretch_s = phases.map(|phase| phase.longest_without_commit_s).reduce(f64::max);
        cells.push(stretch_s.map_or(Value::NotApplicable, Value::Duration).into());
        for kind in OperationKind::REQUESTS {
            let operation = worst(trial, PhaseName::Snapshot, kind).and_then(|phase| phase.operation(kind));
            let p99 = operation.map(|operation| response_value(operation, Percentile::P99));
            // Windows that are as long as the snapshot have about as many operations as it has.
            let enough = operation.filter(|operation| operation.due >= Percentile::P99.least());
            let windows = enough.and_then(|operation| operation.placement).map(placed);
            cells.extend([p99, windows].map(|value| Cell::from(value.unwrap_or(Value::NotApplicable))));
        }
        cells
    };
    Table { columns, rows: trials(group).map(row).collect() }
}

/// What they cost over the horizon; only of trials of which that is known.
pub fn horizon(group: &Group<'_>) -> Table {
    let mut columns = label_columns();
    columns.push(Column::of("horizon", Unit::Seconds));
    columns.extend(["stalled in copy", "in sync", "after"].map(|title| Column::of(title, Unit::Milliseconds)));
    columns.extend(["over 10 ms", "over 100 ms", "over 1 s"].map(|title| Column::of(title, Unit::One)));
    columns.extend(["client-seconds lost", "baseline's"].map(|title| Column::of(title, Unit::Seconds)));
    let row = |trial: &&TrialResult| {
        let horizons = trial.horizons.entries();
        let of_each = |value: &dyn Fn(&HorizonResult) -> Option<f64>| {
            Cell::from(Value::range(horizons.iter().filter_map(value), Value::Duration))
        };
        let count = |value: fn(&WindowResult) -> u64| {
            Cell::from(Value::counts(horizons.iter().map(|horizon| value(&horizon.window)), Value::Count))
        };
        let stalled = |name: PartName| of_each(&move |horizon: &HorizonResult| stalled_s(horizon, name));
        (!horizons.is_empty()).then(|| {
            let mut cells = labels(trial);
            cells.extend([
                of_each(&|horizon| Some(horizon.window.duration_s)),
                stalled(PartName::Copy),
                stalled(PartName::Sync),
                of_each(&|horizon| stalled_after_s(horizon)),
                count(|window| requests(window).fold(0, |sum, late| sum.saturating_add(late.over_10_ms))),
                count(|window| requests(window).fold(0, |sum, late| sum.saturating_add(late.over_100_ms))),
                count(|window| requests(window).fold(0, |sum, late| sum.saturating_add(late.over_1_s))),
                of_each(&|horizon| Some(requests(&horizon.window).map(|late| late.lost_client_s).sum())),
                of_each(&|horizon| baseline_lost_s(trial, horizon.window.duration_s)),
            ]);
            cells
        })
    };
    Table { columns, rows: group.trials.iter().filter_map(row).collect() }
}

/// The longest stall in the parts of a name.
fn stalled_s(horizon: &HorizonResult, name: PartName) -> Option<f64> {
    let parts = horizon.parts.iter().filter(|part| part.name == name);
    parts.filter_map(|part| part.window.stalled_s).reduce(f64::max)
}

/// The longest in what follows the sync: the steps, and what the load still felt.
fn stalled_after_s(horizon: &HorizonResult) -> Option<f64> {
    [PartName::Steps, PartName::Settle].into_iter().filter_map(|part| stalled_s(horizon, part)).reduce(f64::max)
}

/// How late announces and scrapes were.
fn requests(window: &WindowResult) -> impl Iterator<Item = &Lateness> {
    let requests = window.operations.iter().filter(|operation| operation.kind.is_request());
    requests.map(|operation| &operation.lateness)
}

/// Client-seconds that the baseline loses in so long.
fn baseline_lost_s(trial: &TrialResult, duration_s: f64) -> Option<f64> {
    let baseline = trial.phase(PhaseName::Baseline)?;
    let lost_s = baseline.requests().map(|operation| operation.lateness.known().map(|late| late.lost_client_s));
    Some(lost_s.sum::<Option<f64>>()? / baseline.duration_s * duration_s)
}

/// The WAL around them; only of trials that have one. There is one journal mode that has, so the table does not say which.
pub fn wal(group: &Group<'_>) -> Table {
    let mut columns = vec![Column::words("strategy")];
    columns.extend(
        ["file at start", "file at most", "in use at start", "in use at most", "in use after"]
            .map(|title| Column::of(title, Unit::Megabytes)),
    );
    columns.push(Column::of("back after", Unit::Seconds));
    columns.extend(["restarts", "main file changed", "checkpoints", "pages"].map(|title| Column::of(title, Unit::One)));
    let row = |trial: &TrialResult| {
        let wals: Vec<&WalResult> = trial.snapshots.iter().filter_map(|snapshot| snapshot.wal.found()).collect();
        let bytes =
            |value: fn(&WalResult) -> u64| Cell::from(Value::counts(wals.iter().map(|wal| value(wal)), Value::Bytes));
        let times = |value: fn(&WalResult) -> Option<u64>| {
            Cell::from(Value::counts(wals.iter().filter_map(|wal| value(wal)), Value::Count))
        };
        (!wals.is_empty()).then(|| {
            vec![
                Value::text(strategy_label(trial)).into(),
                bytes(|wal| wal.start_bytes),
                bytes(|wal| wal.peak_bytes.max(wal.peak_after_bytes)),
                bytes(|wal| wal.start_used_bytes),
                bytes(|wal| wal.peak_used_bytes),
                bytes(|wal| wal.peak_after_used_bytes),
                back_after(&wals).into(),
                times(|wal| Some(wal.restarts)),
                times(|wal| Some(wal.main_file_changes)),
                times(|wal| wal.checkpoints),
                times(|wal| wal.checkpointed_pages),
            ]
        })
    };
    Table { columns, rows: trials(group).filter_map(row).collect() }
}

/// When no more of the WAL was in use than in the baseline.
fn back_after(wals: &[&WalResult]) -> Value {
    let back_s: Vec<f64> = wals.iter().filter_map(|wal| wal.back_after_s).collect();
    let (of, without) = (wals.len() as u64, (wals.len() - back_s.len()) as u64);
    let value = (!back_s.is_empty()).then(|| Value::range(back_s, Value::Duration).into());
    Value::Partly { value, without, of }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::context::groups, results::samples, snapshot::Strategy, sqlite::JournalMode};

    fn of(change: impl FnOnce(&mut SnapshotResult)) -> crate::results::Results {
        let mut trial = samples::trial(JournalMode::Wal, Strategy::Cp);
        change(&mut trial.snapshots[0]);
        samples::results(vec![trial])
    }

    #[test]
    fn the_processor_time_is_the_processes_or_the_writers() {
        let used = Resources { cpu_user_s: 1.0, cpu_system_s: 0.5, read_bytes: 7_000_000, ..Resources::default() };
        let process = of(|snapshot| snapshot.cost.resources = Some(used).into());
        let row = &machine(&groups(&process)[0]).rows[0];
        assert_eq!((&row[2].value, &row[4].value), (&Value::Duration(1.5), &Value::Bytes(7_000_000)));
        assert_eq!(row[8].value, Value::NotApplicable, "nobody was stopped");
        let writer = of(|snapshot| snapshot.cost.writer_cpu_s = Some(0.25).into());
        let row = &machine(&groups(&writer)[0]).rows[0];
        assert_eq!((&row[2].value, &row[4].value), (&Value::Duration(0.25), &Value::NotApplicable));
        for nothing in [of(|_| ()), samples::of_before(&process)] {
            assert!(machine(&groups(&nothing)[0]).rows.is_empty());
        }
    }

    #[test]
    fn the_wal_came_back_or_did_not() {
        let back = |back_after_s| WalResult { back_after_s, ..WalResult::at_start(0, 0) };
        let one = |value: f64| Some(Value::Duration(value).into());
        for (times_s, expected) in [
            (vec![Some(1.0)], Value::Partly { value: one(1.0), without: 0, of: 1 }),
            (vec![Some(1.0), None], Value::Partly { value: one(1.0), without: 1, of: 2 }),
            (vec![None, None], Value::Partly { value: None, without: 2, of: 2 }),
        ] {
            let wals: Vec<_> = times_s.into_iter().map(back).collect();
            assert_eq!(back_after(&wals.iter().collect::<Vec<_>>()), expected);
        }
    }

    #[test]
    fn a_trial_without_a_wal_has_no_row() {
        assert!(wal(&groups(&of(|_| ()))[0]).rows.is_empty());
        let with_wal = of(|snapshot| snapshot.wal = Some(WalResult::at_start(2_000_000, 1_000_000)).into());
        let table = wal(&groups(&with_wal)[0]);
        assert_eq!(table.rows[0].len(), table.columns.len());
        assert_eq!(
            (&table.rows[0][1].value, &table.rows[0][9].value),
            (&Value::Bytes(2_000_000), &Value::NotApplicable)
        );
    }

    #[test]
    fn what_the_others_paid_is_the_worst() {
        let mut trial = samples::trial(JournalMode::Wal, Strategy::Cp);
        trial.phases.push(samples::phase(PhaseName::Snapshot));
        trial.phases[3].longest_without_commit_s = 2.0;
        let results = samples::results(vec![trial]);
        let row = &others(&groups(&results)[0]).rows[0];
        assert_eq!((&row[2].value, &row[4].value), (&Value::Duration(2.0), &Value::NotApplicable));
        assert!(row[3].value.is_figure());
    }

    #[test]
    fn a_horizon_has_its_parts_and_what_the_baseline_loses_in_as_long() {
        let results = samples::results(vec![
            samples::trial(JournalMode::Wal, Strategy::Cp),
            samples::trial(JournalMode::Wal, Strategy::None),
        ]);
        let table = horizon(&groups(&results)[0]);
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
        let values = |row: usize| table.rows[row][2..].iter().map(|cell| cell.value.clone()).collect::<Vec<_>>();
        let found = values(0);
        let stalled = Value::Duration(0.012);
        assert_eq!(found[..4], [Value::Duration(10.0), stalled.clone(), stalled.clone(), stalled.clone()]);
        assert_eq!(found[4..7], [Value::Count(0), Value::Count(0), Value::Count(0)]);
        // Announces and scrapes of 1 to 10 ms, beyond a median of 1 ms.
        assert!(matches!(found[7], Value::Duration(lost_s) if (lost_s - 9.0).abs() < 0.05), "{found:?}");
        assert_eq!(found[7], found[8]);
        assert_eq!(values(1)[1..4], [Value::NotApplicable, Value::NotApplicable, stalled]);
        assert!(horizon(&groups(&samples::of_before(&results))[0]).rows.is_empty());
    }
}

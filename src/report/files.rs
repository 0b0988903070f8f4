//! The tables of a report that speak of what SQLite asked of its files, in the baseline: one row a trial of which that is known.

use super::{
    context::Group,
    figures::{Cell, Column, Table, Unit, Value},
    notes::Note,
    tables::{label_columns, labels},
};
use crate::{
    io::{FileCounts, FileKind},
    measure::Percentile,
    results::{CheckpointsResult, IoResult, LockWaits, PhaseName, SyncTimes, TrialResult},
};

/// Kinds of file that are made durable.
const SYNCED: [FileKind; 4] = [FileKind::Journal, FileKind::Wal, FileKind::Main, FileKind::Folder];

/// What stands above [`per_commit`].
pub fn per_commit_note() -> Note {
    Note::new(
        "What a commit asks of the disk, in the baseline",
        "Counted where SQLite asks, by everything that the load's connections did, divided by the commits. \"syncs\" of the journal, \
        the WAL, the database and its folder; in WAL, those of the database are a checkpoint's. \"writes\" and \"written\" are those \
        of all files together. \"sync p50\" and \"p99\": how long one of the most frequent kind took.",
    )
}

/// What stands above [`waits`].
pub fn waits_note() -> Note {
    Note::new(
        "Waits for locks and checkpoints, in the baseline",
        "\"lock waits\": how often a connection slept because the database was locked, and for how long in all. \"checkpoints\": how \
        often pages were moved from the WAL into the database, how many pages, and how long the longest took, its two syncs \
        included. \"commits with one\": the share of the commits that had to run a checkpoint, and the response time of the \
        slowest of them.",
    )
}

/// Syncs, writes and bytes for each commit.
pub fn per_commit(group: &Group<'_>) -> Table {
    let mut columns = label_columns();
    columns.push(Column::of("commits", Unit::One));
    columns.extend(["journal syncs", "WAL syncs", "database syncs", "folder syncs", "writes"].map(a_commit));
    columns.push(Column::of("written", Unit::Megabytes));
    columns.extend(["sync p50", "p99"].map(|title| Column::of(title, Unit::Milliseconds)));
    let row = |(trial, io): (&TrialResult, &IoResult)| {
        let a_commit = |count: u64| match io.commits {
            0 => Cell::from(Value::NotApplicable),
            commits => Cell::from(Value::Rate(count as f64 / commits as f64)),
        };
        let all = FileKind::ALL.map(|kind| io.of(kind)).iter().fold(FileCounts::default(), |sum, file| sum.plus(file));
        let mut cells = labels(trial);
        cells.push(Value::Count(io.commits).into());
        cells.extend(SYNCED.map(|kind| a_commit(io.of(kind).syncs)));
        cells.push(a_commit(all.writes));
        cells.push(Value::Bytes(all.written_bytes).into());
        let most_frequent = io.syncs.iter().max_by_key(|syncs| syncs.count);
        cells.extend([Percentile::P50, Percentile::P99].map(|percentile| sync_time(most_frequent, percentile)));
        cells
    };
    Table { columns, rows: baselines(group).map(row).collect() }
}

fn a_commit(title: &str) -> Column {
    Column::of(&format!("{title} a commit"), Unit::One)
}

fn sync_time(syncs: Option<&SyncTimes>, percentile: Percentile) -> Cell {
    match syncs {
        None => Value::NotApplicable,
        Some(syncs) if syncs.count < percentile.least() => Value::Few,
        Some(syncs) => syncs.latency.get(percentile).map_or(Value::NotApplicable, Value::Response),
    }
    .into()
}

/// What was waited for.
pub fn waits(group: &Group<'_>) -> Table {
    let mut columns = label_columns();
    columns.push(Column::of("lock waits", Unit::One));
    columns.push(Column::of("waited", Unit::Seconds));
    columns.extend(["checkpoints", "pages"].map(|title| Column::of(title, Unit::One)));
    columns.push(Column::of("longest", Unit::Milliseconds));
    columns.push(Column::words("commits with one"));
    columns.push(Column::of("slowest of them", Unit::Milliseconds));
    let row = |(trial, io): (&TrialResult, &IoResult)| {
        let CheckpointsResult { count, pages, longest_s, commits, commit_response, .. } = &io.checkpoints;
        let waits = io.lock_waits.iter().map(|LockWaits { count, .. }| *count).fold(0, u64::saturating_add);
        let share = match (io.commits, trial.journal_mode.has_wal()) {
            (0, _) | (_, false) => Value::NotApplicable,
            (of, true) => Value::text(format!("{:.2} %", *commits as f64 / of as f64 * 100.0)),
        };
        let mut cells = labels(trial);
        cells.extend([
            Value::Count(waits).into(),
            Value::Duration(io.lock_waits.iter().map(|waits| waits.duration_s).sum()).into(),
            Value::Count(*count).into(),
            Value::Count(*pages).into(),
            Value::Duration(*longest_s).into(),
            share.into(),
            commit_response.max_us.map_or(Value::NotApplicable, Value::Response).into(),
        ]);
        cells
    };
    Table { columns, rows: baselines(group).map(row).collect() }
}

fn baselines<'a>(group: &'a Group<'_>) -> impl Iterator<Item = (&'a TrialResult, &'a IoResult)> {
    group.trials.iter().filter_map(|trial| Some((*trial, trial.phase(PhaseName::Baseline)?.io.as_ref()?)))
}

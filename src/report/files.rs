//! The tables of a report that speak of what SQLite asked of its files, in the baseline: one row a trial of which that is known.

use super::{
    context::Group,
    figures::{Cell, Column, Table, Unit, Value},
    notes::Note,
    tables::{label_columns, labels},
};
use crate::{
    io::FileKind,
    measure::{OperationKind, Percentile},
    results::{CheckpointsResult, DiskUse, Distribution, IoResult, LockWaits, PhaseName, TrialResult},
};

/// Kinds of file that are made durable.
const SYNCED: [FileKind; 4] = [FileKind::Journal, FileKind::Wal, FileKind::Main, FileKind::Folder];

/// What stands above [`per_commit`].
pub fn per_commit_note() -> Note {
    Note::new(
        "What a commit asks of the disk, in the baseline",
        "Counted where SQLite asks, by everything that the load's connections did, divided by the commits. \"syncs\" of the journal, \
        the WAL, the database and its folder; in WAL, those of the database are a checkpoint's. \"writes\" and \"bytes\" are those \
        of all files together. \"x rows\": how many bytes SQLite wrote for each byte of the rows that were changed, indexes not \
        counted. \"to devices\": bytes that were written to block devices by whomever, the file system's journal and the harness's \
        ledger among them, in the seconds that lie wholly in the baseline. \"sync p50\" and \"p99\": how long a sync took, of whatever.",
    )
}

/// What stands above [`waits`].
pub fn waits_note() -> Note {
    Note::new(
        "Waits for locks and checkpoints, in the baseline",
        "\"lock waits\": how often a connection slept because the database was locked, and for how long in all. \"checkpoints\": how \
        often pages were moved from the WAL into the database, how many pages, and how long the longest took, its two syncs \
        included. \"commits with one\": the share of the announces that commit whose commit had to run a checkpoint, and the response time of the \
        slowest of them. \"cut short\": checkpoints that did not come to the end of the WAL, because a reader did not have all of \
        it. \"restarts\": how often a writer began the WAL at its front again. \"longest reader\": how long the \
        longest read transaction of the load held the WAL, so that it could not.",
    )
}

/// What stands above [`beside`].
pub fn beside_note() -> Note {
    Note::new(
        "The files of the database, and what everything took of the disk, at the most",
        "Of the whole trial, by looks every 20 ms. \"files\": how many the database consisted of at once, itself among them. \
        \"everything\": the database, the files beside it and all copies together, by a look each second and at the end of each \
        copy.",
    )
}

/// Syncs, writes and bytes for each commit.
pub fn per_commit(group: &Group<'_>) -> Table {
    let mut columns = label_columns();
    columns.push(Column::of("commits", Unit::One));
    columns.extend(["journal syncs", "WAL syncs", "database syncs", "folder syncs", "writes"].map(a_commit));
    columns.push(a_commit("bytes"));
    columns.push(Column::of("x rows", Unit::One));
    columns.push(Column::of("bytes to devices a commit", Unit::One));
    columns.extend(["sync p50", "p99"].map(|title| Column::of(title, Unit::Milliseconds)));
    let row = |(trial, io): (&TrialResult, &IoResult)| {
        let a_commit = |count: u64| match io.commits {
            0 => Cell::from(Value::NotApplicable),
            commits => Cell::from(Value::Rate(count as f64 / commits as f64)),
        };
        let all = io.files.sum();
        // A call that makes a folder durable with a file has one time.
        let timed = io.syncs.iter().map(|times| times.count).fold(0, u64::saturating_add);
        let rate = |value: Option<f64>| Cell::from(value.map_or(Value::NotApplicable, Value::Rate));
        let mut cells = labels(trial);
        cells.push(Value::Count(io.commits).into());
        cells.extend(SYNCED.map(|kind| a_commit(io.files.of(kind).syncs)));
        cells.push(a_commit(all.writes));
        cells.push(rate(io.written_bytes_per_commit));
        cells.push(rate(io.write_amplification));
        cells.push(rate(io.device.and_then(|device| device.written_bytes_per_commit)));
        cells.extend([Percentile::P50, Percentile::P99].map(|percentile| sync_time(&io.sync, timed, percentile)));
        cells
    };
    Table { columns, rows: baselines(group).map(row).collect() }
}

fn a_commit(title: &str) -> Column {
    Column::of(&format!("{title} a commit"), Unit::One)
}

fn sync_time(latency: &Distribution, count: u64, percentile: Percentile) -> Cell {
    match count {
        0 => Value::NotApplicable,
        few if few < percentile.least() => Value::Few,
        _ => latency.get(percentile).map_or(Value::NotApplicable, Value::Response),
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
    columns.extend(["cut short", "restarts"].map(|title| Column::of(title, Unit::One)));
    columns.push(Column::of("longest reader", Unit::Milliseconds));
    let row = |(trial, io): (&TrialResult, &IoResult)| {
        let CheckpointsResult { count, pages, longest_s, commits, commit_response, .. } = &io.checkpoints;
        let waits = io.lock_waits.iter().map(|LockWaits { count, .. }| *count).fold(0, u64::saturating_add);
        // A commit may be of several writes, and clients wait for each of these.
        let written = trial.phase(PhaseName::Baseline).and_then(|phase| phase.operation(OperationKind::Commit));
        let share = match (written.map_or(0, |written| written.counts.served), trial.journal_mode.has_wal()) {
            (0, _) | (_, false) => Value::NotApplicable,
            (of, true) => Value::text(format!("{:.2} %", *commits as f64 / of as f64 * 100.0)),
        };
        let mut cells = labels(trial);
        cells.extend([
            Value::Count(waits).into(),
            Value::Duration(io.lock_wait_s()).into(),
            Value::Count(*count).into(),
            Value::Count(*pages).into(),
            Value::Duration(*longest_s).into(),
            share.into(),
            commit_response.max_us.map_or(Value::NotApplicable, Value::Response).into(),
            of_wal(trial, Value::Count(io.checkpoints.incomplete)),
            of_wal(trial, Value::Count(io.wal_restarts)),
            of_wal(trial, Value::Duration(io.longest_wal_read_s)),
        ]);
        cells
    };
    Table { columns, rows: baselines(group).map(row).collect() }
}

/// The files that the database consisted of, and what everything took of the disk, in the whole trial.
pub fn beside(group: &Group<'_>) -> Table {
    let mut columns = label_columns();
    columns.push(Column::of("files", Unit::One));
    columns.extend(
        ["journal", "WAL", "WAL in use", "shared memory", "everything"].map(|title| Column::of(title, Unit::Megabytes)),
    );
    let row = |trial: &&TrialResult| {
        let DiskUse { files_max, journal_bytes_max, wal_used_bytes_max, shm_bytes_max, disk_bytes_max } =
            trial.disk_use?;
        let mut cells = labels(trial);
        cells.extend([
            Value::Count(files_max).into(),
            Value::Bytes(journal_bytes_max).into(),
            of_wal(trial, Value::Bytes(trial.wal_bytes_max)),
            of_wal(trial, Value::Bytes(wal_used_bytes_max)),
            of_wal(trial, Value::Bytes(shm_bytes_max)),
            Value::Bytes(disk_bytes_max).into(),
        ]);
        Some(cells)
    };
    Table { columns, rows: group.trials.iter().filter_map(row).collect() }
}

/// What there is in WAL only.
fn of_wal(trial: &TrialResult, value: Value) -> Cell {
    Cell::from(if trial.journal_mode.has_wal() { value } else { Value::NotApplicable })
}

fn baselines<'a>(group: &'a Group<'_>) -> impl Iterator<Item = (&'a TrialResult, &'a IoResult)> {
    group.trials.iter().filter_map(|trial| Some((*trial, trial.phase(PhaseName::Baseline)?.io.as_ref()?)))
}

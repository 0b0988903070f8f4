//! The table of a report that speaks of times in which nobody was served: what all clients notice at once.

use super::{
    context::Group,
    figures::{Cell, Column, Table, Unit, Value},
    notes::Note,
    tables::{label_columns, labels},
};
use crate::results::{PartName, SeriesPoint, Silence, SnapshotResult, TrialResult};

/// What is shorter is shown only as the longest of its trial.
const SHOWN_FROM_S: f64 = 0.1;

/// Less steal than this is none that the kernel has counted: it counts the time of processors in ticks of 10 ms (`USER_HZ`, proc(5)).
const STEAL_TICK_S: f64 = 0.01;

/// What stands above [`table`].
pub fn note() -> Note {
    Note::new(
        "When nobody was served",
        "Times after the warm-up in which requests were due or waiting and none was served, to the millisecond: the longest of each \
        trial, and of its five longest those of 100 ms and more. \"from\": seconds from the start of the load. \"not served\": requests that \
        were due in that time and never answered in time. \"meanwhile\": what lay over it of a snapshot, and how much of it checkpoints \
        took; where results do not say that, whether one began in one of its seconds. \"steal\": how much time of each processor the \
        hypervisor gave to other machines in the seconds in which it lies, from 10 ms on.",
    )
}

/// One row a silence; only of trials of which they are known.
pub fn table(group: &Group<'_>) -> Table {
    let mut columns = label_columns();
    columns.push(Column::of("nobody served for", Unit::Milliseconds));
    columns.push(Column::of("from", Unit::Seconds));
    columns.push(Column::of("not served", Unit::One));
    columns.push(Column::words("meanwhile"));
    let rows = group.trials.iter().flat_map(|trial| {
        let row = |silence: Silence| {
            let mut cells = labels(trial);
            cells.extend(
                [
                    Value::Duration(silence.duration_s),
                    Value::Duration(silence.started_s),
                    Value::Count(silence.unserved),
                    Value::text(meanwhile(trial, &silence)),
                ]
                .map(Cell::from),
            );
            cells
        };
        shown(trial.silences.entries()).into_iter().map(row)
    });
    Table { columns, rows: rows.collect() }
}

fn shown(silences: &[Silence]) -> Vec<Silence> {
    let longest = silences.iter().map(|silence| silence.duration_s).fold(0.0, f64::max);
    let is_shown = |silence: &&Silence| silence.duration_s >= SHOWN_FROM_S || silence.duration_s >= longest;
    silences.iter().filter(is_shown).copied().collect()
}

/// What lay over a silence, in words.
fn meanwhile(trial: &TrialResult, silence: &Silence) -> String {
    let overlaps =
        |started_s: f64, duration_s: f64| started_s < silence.ended_s() && silence.started_s < started_s + duration_s;
    let parts = trial.snapshots.iter().flat_map(copy_and_sync).chain(steps(trial));
    let is_over = |(_, started_s, duration_s): &(PartName, f64, f64)| overlaps(*started_s, *duration_s);
    let mut over: Vec<String> = super::distinct(parts.filter(is_over).map(|(name, ..)| name.to_string()));
    let seconds: Vec<_> =
        trial.series.iter().filter(|point| overlaps(point.t_s as f64, point.duration_s as f64)).collect();
    let begins_in = |point: &SeriesPoint| point.checkpoints.is_some_and(|checkpoints| checkpoints.count > 0);
    match silence.checkpoint_s {
        Some(checkpoint_s) if checkpoint_s > 0.0 => over.push(format!("a checkpoint ({:.0} ms)", checkpoint_s * 1e3)),
        None if seconds.iter().any(|point| begins_in(point)) => over.push("a checkpoint".to_owned()),
        Some(_) | None => {}
    }
    let stolen_s: f64 = seconds.iter().filter_map(|point| stolen_s(point)).sum();
    if stolen_s >= STEAL_TICK_S {
        over.push(format!("steal ({:.0} ms)", stolen_s * 1e3));
    }
    if over.is_empty() { "nothing of a snapshot".to_owned() } else { over.join(", ") }
}

/// When the copy of a snapshot and its sync began, and how long each took: all of it, which may be longer than its horizon.
fn copy_and_sync(snapshot: &SnapshotResult) -> impl Iterator<Item = (PartName, f64, f64)> {
    let run = &snapshot.run;
    let copy = (PartName::Copy, run.started_s, run.duration_s);
    let sync_s = run.sync_s.known().copied().flatten();
    let sync = sync_s.map(|sync_s| (PartName::Sync, run.started_s + run.duration_s, sync_s));
    std::iter::once(copy).chain(sync)
}

/// The steps after the snapshots of a trial, as far as horizons reach.
fn steps(trial: &TrialResult) -> impl Iterator<Item = (PartName, f64, f64)> {
    let parts = trial.horizons.entries().iter().flat_map(|horizon| &horizon.parts);
    let steps = parts.filter(|part| part.name == PartName::Steps);
    steps.map(|part| (part.name, part.window.started_s, part.window.duration_s))
}

/// How much time of each processor the hypervisor gave to other machines in a second of a trial, if that is known.
fn stolen_s(point: &SeriesPoint) -> Option<f64> {
    Some(point.machine.as_ref()?.steal_share? * point.duration_s as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        report::context::groups,
        results::{CheckpointTime, MachineUse, Recorded, samples},
        snapshot::Strategy,
        sqlite::JournalMode,
    };

    #[test]
    fn each_long_one_has_a_row_with_what_lay_over_it() {
        let silence = |started_s, duration_s, unserved| Silence { started_s, duration_s, unserved, checkpoint_s: None };
        let mut trial = samples::trial(JournalMode::Wal, Strategy::Cp);
        // The copy lasts from 5.0 to 5.5 s, its sync to 5.6 s, whatever the horizon.
        let run = &mut trial.snapshots[0].run;
        (run.started_s, run.duration_s, run.sync_s) = (5.0, 0.5, Some(0.1).into());
        trial.horizons = Recorded::Known(Vec::new());
        trial.silences = Recorded::Known(vec![
            silence(1.0, 0.01, 0),
            silence(2.5, 0.2, 1),
            silence(5.4, 0.15, 7),
            silence(8.0, 0.1, 0),
        ]);
        trial.series[2].checkpoints = Some(CheckpointTime { count: 1, duration_s: 0.2 });
        let table_of = |trial: TrialResult| table(&groups(&samples::results(vec![trial]))[0]);
        let rows = table_of(trial.clone()).rows;
        let cells: Vec<_> = rows.iter().map(|row| (row[2].value.clone(), row[5].value.clone())).collect();
        let expected = [(0.2, "a checkpoint"), (0.15, "copy, sync"), (0.1, "nothing of a snapshot")];
        assert_eq!(cells, expected.map(|(length_s, over)| (Value::Duration(length_s), Value::text(over))));
        let seen = |checkpoint_s| Silence { checkpoint_s: Some(checkpoint_s), ..silence(2.5, 0.2, 1) };
        for (checkpoint_s, expected) in [(0.15, "a checkpoint (150 ms)"), (0.0, "nothing of a snapshot")] {
            trial.silences = Recorded::Known(vec![seen(checkpoint_s)]);
            assert_eq!(table_of(trial.clone()).rows[0][5].value, Value::text(expected));
        }
        for (steal_share, expected) in
            [(Some(0.03), "steal (30 ms)"), (Some(0.009), "nothing of a snapshot"), (None, "nothing of a snapshot")]
        {
            trial.series[2].machine = Some(MachineUse { steal_share, ..MachineUse::default() });
            assert_eq!(table_of(trial.clone()).rows[0][5].value, Value::text(expected));
        }
        trial.silences = Recorded::Known(vec![silence(1.0, 0.01, 0), silence(2.5, 0.002, 0)]);
        assert_eq!(table_of(trial.clone()).rows.len(), 1, "the longest, though it is short");
        for none in [Recorded::Known(Vec::new()), Recorded::Unknown] {
            trial.silences = none;
            assert!(table_of(trial.clone()).rows.is_empty());
        }
    }
}

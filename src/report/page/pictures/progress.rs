//! How far copies were over time, of the strategies that say so: the backup API with its restarts.

use super::{Picture, Section, strategies};
use crate::{
    report::{
        context::Group,
        distinct,
        figures::{Column, Table, Unit, Value},
        page::plot::{Axis, Line, Plot, Stroke},
    },
    results::{SnapshotResult, TrialResult},
    snapshot::Strategy,
};

/// Of a group: a picture for each strategy of which anything is known.
pub fn section(group: &Group<'_>) -> Section {
    let strategies = distinct(snapshots(group).into_iter().map(|(_, snapshot)| snapshot.strategy));
    Section {
        title: "How far did a backup come, and how often did it begin again?".to_owned(),
        note: "SQLite's backup API begins again when somebody else writes to the database between two of its steps. A line that falls \
            back to 0 has begun again."
            .to_owned(),
        pictures: strategies.into_iter().map(|strategy| picture(group, strategy)).collect(),
    }
}

/// Those that said how far they were.
fn snapshots<'a>(group: &Group<'a>) -> Vec<(&'a TrialResult, &'a SnapshotResult)> {
    let mut all = Vec::new();
    for trial in &group.trials {
        let has_progress = |snapshot: &&SnapshotResult| {
            snapshot.progress.points.entries().iter().filter(|point| point.done.is_some()).count() > 1
        };
        all.extend(trial.snapshots.iter().filter(has_progress).map(|snapshot| (*trial, snapshot)));
    }
    all
}

fn picture(group: &Group<'_>, strategy: Strategy) -> Picture {
    let all: Vec<_> = snapshots(group).into_iter().filter(|(_, snapshot)| snapshot.strategy == strategy).collect();
    let line = |(trial, snapshot): &(&TrialResult, &SnapshotResult)| Line {
        label: trial.journal_mode.to_string(),
        ink: strategies::ink(group, trial.journal_mode),
        stroke: Stroke::Solid,
        points: snapshot
            .progress
            .points
            .entries()
            .iter()
            .map(|point| (point.t_s, point.done.map(|done| done * 100.0)))
            .collect(),
    };
    let lines: Vec<_> = all.iter().map(line).collect();
    let times = lines.iter().flat_map(|line| &line.points).map(|(t_s, _)| *t_s);
    let x = Axis::linear("seconds", times.collect::<Vec<_>>().into_iter());
    let y = Axis { range: (0.0, 100.0), ..Axis::linear("%", std::iter::once(100.0)) };
    let title = strategy.to_string();
    let plot = Plot { title: title.clone(), x, y, bands: Vec::new(), lines, dots: Vec::new(), reference: None };
    let mut columns = vec![Column::words("trial"), Column::of("took", Unit::Seconds), Column::words("how far at last")];
    columns.push(Column::of("restarts", Unit::One));
    let row = |(trial, snapshot): &(&TrialResult, &SnapshotResult)| {
        let last = snapshot.progress.points.entries().iter().rev().find_map(|point| point.done);
        let cells = [
            Value::text(trial.id.clone()),
            Value::Duration(snapshot.run.duration_s),
            last.map_or(Value::Unknown, |done| Value::text(format!("{:.0} %", done * 100.0))),
            snapshot.progress.restarts.map_or(Value::Unknown, Value::Count),
        ];
        cells.map(Into::into).to_vec()
    };
    let table = Table { columns, rows: all.iter().map(row).collect() };
    Picture { title, caption: String::new(), plots: vec![(plot, 200)], table }
}

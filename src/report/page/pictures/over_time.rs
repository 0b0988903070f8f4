//! A trial second by second: response times, and on the same clock the WAL and what the hypervisor took.

use super::{Picture, Section};
use crate::{
    measure::Percentile,
    report::{
        context::Group,
        figures::{Column, Table, Unit, Value},
        page::plot::{Axis, Band, Ink, Line, Plot, Stroke},
    },
    results::{PhaseName, SeriesPoint, TrialResult},
    snapshot::Strategy,
};

/// Pictures of a group at most: a page has to be opened.
const PICTURES_MOST: usize = 32;
/// Points of a line at most; a point of a longer trial stands for several, by the largest of them.
const POINTS_MOST: usize = 120;

/// Of a group: the first whole trial of each strategy and journal mode.
pub fn section(group: &Group<'_>) -> Section {
    let mut seen: Vec<(crate::sqlite::JournalMode, Strategy)> = Vec::new();
    let mut pictures = Vec::new();
    for trial in &group.trials {
        let key = (trial.journal_mode, trial.strategy);
        if trial.status.is_whole() && !seen.contains(&key) && !trial.series.is_empty() && pictures.len() < PICTURES_MOST
        {
            seen.push(key);
            pictures.push(picture(trial));
        }
    }
    pictures.sort_by_key(|(strategy, _)| *strategy);
    Section {
        title: "What did it look like, second by second?".to_owned(),
        note: format!(
            "The first trial of each strategy and journal mode, at most {PICTURES_MOST} of them. Shaded: a snapshot was taken. The \
            lower picture has the size of the WAL, the steal time, which the hypervisor gave to other machines, and the share of the time in \
            which a checkpoint was run, on the same clock."
        ),
        pictures: pictures.into_iter().map(|(_, picture)| picture).collect(),
    }
}

/// Several points of a series that are drawn as one.
struct Stretch {
    /// Its middle, in seconds from the start of the load.
    at_s: f64,
    p50_us: Option<u64>,
    p99_us: Option<u64>,
    max_us: Option<u64>,
    wal_bytes: u64,
    steal_share: Option<f64>,
    /// The share of the time in which a checkpoint was run.
    checkpoint_share: Option<f64>,
}

impl Stretch {
    fn of(points: &[SeriesPoint]) -> Self {
        let most = |of: fn(&SeriesPoint) -> Option<u64>| points.iter().filter_map(of).max();
        let steals = points.iter().filter_map(|point| point.machine.as_ref()?.steal_share);
        let shares = points.iter().filter_map(|point| Some(point.checkpoints?.duration_s / point.duration_s as f64));
        let begin = points.first().map_or(0, |point| point.t_s);
        let end = points.last().map_or(0, |point| point.t_s.saturating_add(point.duration_s));
        Self {
            at_s: f64::midpoint(begin as f64, end as f64),
            p50_us: most(|point| point.p50_us.filter(|_| point.served >= Percentile::P50.least())),
            p99_us: most(|point| point.p99_us.filter(|_| point.served >= Percentile::P99.least())),
            max_us: most(|point| point.max_us),
            wal_bytes: points.iter().map(|point| point.wal_bytes).max().unwrap_or_default(),
            steal_share: steals.reduce(f64::max),
            checkpoint_share: shares.reduce(f64::max),
        }
    }
}

fn picture(trial: &TrialResult) -> (Strategy, Picture) {
    let each = trial.series.len().div_ceil(POINTS_MOST).max(1);
    let stretches: Vec<_> = trial.series.chunks(each).map(Stretch::of).collect();
    let end_s = trial.series.last().map_or(1, |point| point.t_s.saturating_add(point.duration_s)) as f64;
    let x = || Axis { range: (0.0, end_s), ..Axis::linear("seconds", std::iter::once(end_s)) };
    let bands: Vec<_> = trial.phases.iter().filter(|phase| phase.name == PhaseName::Snapshot).map(band).collect();
    let line = |label: &str, ink, stroke, value: &dyn Fn(&Stretch) -> Option<f64>| Line {
        label: label.to_owned(),
        ink,
        stroke,
        points: stretches.iter().map(|stretch| (stretch.at_s, value(stretch))).collect(),
    };
    let ms = |us: Option<u64>| us.map(|us| us.max(1) as f64 / 1e3);
    let times = vec![
        line("max", Ink::Faint, Stroke::Solid, &|stretch| ms(stretch.max_us)),
        line("p99", Ink::First, Stroke::Solid, &|stretch| ms(stretch.p99_us)),
        line("p50", Ink::Second, Stroke::Solid, &|stretch| ms(stretch.p50_us)),
    ];
    let below = vec![
        line("WAL, MB", Ink::Third, Stroke::Solid, &|stretch| Some(stretch.wal_bytes as f64 / 1e6)),
        line("steal, %", Ink::First, Stroke::Dashed, &|stretch| Some(stretch.steal_share? * 100.0)),
        line("checkpoints, %", Ink::Second, Stroke::Solid, &|stretch| Some(stretch.checkpoint_share? * 100.0)),
    ];
    let title = format!("{} under {}", trial.strategy, trial.journal_mode);
    let values =
        |lines: &[Line]| -> Vec<f64> { lines.iter().flat_map(|line| &line.points).filter_map(|(_, y)| *y).collect() };
    let upper = Plot {
        title: title.clone(),
        x: x(),
        y: Axis::log("response, ms", values(&times).into_iter()),
        bands: bands.clone(),
        lines: times,
        dots: Vec::new(),
        reference: None,
    };
    let lower = Plot {
        title: String::new(),
        x: x(),
        y: Axis::linear("MB or %", values(&below).into_iter()),
        bands,
        lines: below,
        dots: Vec::new(),
        reference: None,
    };
    let caption = format!("Trial {}.", trial.id);
    let table = table(&stretches);
    (trial.strategy, Picture { title, caption, plots: vec![(upper, 190), (lower, 130)], table })
}

fn band(phase: &crate::results::PhaseResult) -> Band {
    // A snapshot of some milliseconds is still to be seen.
    let least_s = 0.05;
    Band {
        label: "a snapshot was taken".to_owned(),
        from: phase.started_s,
        to: phase.started_s + phase.duration_s.max(least_s),
        row: None,
    }
}

/// The same, in fewer rows where there are many.
fn table(stretches: &[Stretch]) -> Table {
    const ROWS_MOST: usize = 30;
    let mut columns = vec![Column::of("second", Unit::Seconds)];
    columns.extend(["p50", "p99", "max"].map(|title| Column::of(title, Unit::Milliseconds)));
    columns.push(Column::of("WAL", Unit::Megabytes));
    columns.push(Column::words("steal"));
    columns.push(Column::words("checkpoints"));
    let each = stretches.len().div_ceil(ROWS_MOST).max(1);
    let row = |stretches: &[Stretch]| {
        let most = |of: fn(&Stretch) -> Option<u64>| {
            stretches.iter().filter_map(of).max().map_or(Value::NotApplicable, Value::Response)
        };
        let steal = stretches.iter().filter_map(|stretch| stretch.steal_share).reduce(f64::max);
        let checkpoints = stretches.iter().filter_map(|stretch| stretch.checkpoint_share).reduce(f64::max);
        let percent = |share: f64| Value::text(format!("{:.1} %", share * 100.0));
        let cells = [
            Value::Duration(stretches.first().map_or(0.0, |stretch| stretch.at_s)),
            most(|stretch| stretch.p50_us),
            most(|stretch| stretch.p99_us),
            most(|stretch| stretch.max_us),
            Value::Bytes(stretches.iter().map(|stretch| stretch.wal_bytes).max().unwrap_or_default()),
            steal.map_or(Value::Unknown, percent),
            checkpoints.map_or(Value::NotApplicable, percent),
        ];
        cells.map(Into::into).to_vec()
    };
    Table { columns, rows: stretches.chunks(each).map(row).collect() }
}

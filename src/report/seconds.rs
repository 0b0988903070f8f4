//! The chart of the seconds of trials, or of longer stretches where a trial was long, and how a chart is drawn where there are only characters.

use super::{
    context::Group,
    figures::{Axis, Cell, Chart, Column, Point, Series, Table, Unit, Value},
    notes::Note,
    tables::strategy_label,
};
use crate::{
    measure::Percentile,
    results::{SeriesPoint, TrialResult},
};

/// A group of more trials has no chart: its rows would take more room than they are worth.
const TRIALS_MOST: usize = 16;
/// Characters of a line at most.
const BARS_MOST: usize = 60;
/// From nothing to all of the height.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Where there is no figure.
const NO_BAR: char = '·';

/// What stands above the chart.
pub fn note(group: &Group<'_>) -> Note {
    let words = Words::of(group);
    let Words { each, in_one, several, in_that } = &words;
    Note::new(
        &format!("The p99 of each {each}"),
        &format!(
            "A bar is the p99 response time of the operations that were served in {in_one}, whenever they were due; the lowest bar of a row \
            is its least p99, the highest its most. Of a trial of more than {} s, a bar stands for the worst of several \
            {several}. {NO_BAR}: fewer than {} operations were served in {in_that}, as in a stall. A group of more than \
            {TRIALS_MOST} trials has no such chart.",
            BARS_MOST as u64 * stretch_s(group),
            Percentile::P99.least()
        ),
    )
}

/// What the stretch of a point is called.
struct Words {
    each: String,
    in_one: String,
    several: &'static str,
    in_that: &'static str,
}

impl Words {
    fn of(group: &Group<'_>) -> Self {
        match stretch_s(group) {
            1 => {
                let (each, in_one) = ("second".to_owned(), "one second".to_owned());
                Self { each, in_one, several: "seconds", in_that: "that second" }
            }
            long_s => {
                let (each, in_one) = (format!("{long_s} s"), format!("{long_s} s"));
                Self { each, in_one, several: "such stretches", in_that: "that time" }
            }
        }
    }
}

/// How long a point is: a second, and more in a long trial. Trials of a group differ by a second at most, so that one may
/// have longer points than another; the longest are spoken of.
fn stretch_s(group: &Group<'_>) -> u64 {
    let points = group.trials.iter().flat_map(|trial| &trial.series);
    points.map(|point| point.duration_s).max().unwrap_or(1)
}

/// The p99 of each point of each trial; none where there is nothing to show, or too much.
pub fn chart(group: &Group<'_>) -> Option<Chart> {
    if group.trials.len() > TRIALS_MOST {
        return None;
    }
    let series: Vec<_> = group.trials.iter().map(|trial| series(trial)).collect();
    let has_figure = |series: &Series| series.points.iter().any(|point| point.y.is_some());
    let series: Vec<_> = series.into_iter().filter(has_figure).collect();
    (!series.is_empty()).then(|| Chart {
        title: format!("p99 response time of each {}", Words::of(group).each),
        x: Axis { title: "length".to_owned(), unit: Unit::Seconds },
        y: Axis { title: "p99".to_owned(), unit: Unit::Milliseconds },
        series,
    })
}

fn series(trial: &TrialResult) -> Series {
    let is_enough = |point: &&SeriesPoint| point.served >= Percentile::P99.least();
    let p99_ms = |point: &SeriesPoint| {
        Some(point).filter(is_enough).and_then(|point| point.p99_us).map(|time_us| time_us as f64 / 1e3)
    };
    let point = |point: &SeriesPoint| Point { x: point.t_s as f64, y: p99_ms(point) };
    let end_s = trial.series.last().map_or(0, |last| last.t_s.saturating_add(last.duration_s));
    Series {
        label: format!("{} {}", trial.journal_mode, strategy_label(trial)),
        points: trial.series.iter().map(point).collect(),
        end: end_s as f64,
    }
}

/// A chart as a table: a row for each line, with its length, the range of its values, and a bar for each point.
pub fn as_table(chart: &Chart) -> Table {
    let columns = vec![
        Column::words("trial"),
        Column::of(&chart.x.title, chart.x.unit),
        Column::of(&chart.y.title, chart.y.unit),
        Column::words(&chart.title),
    ];
    let row = |series: &Series| {
        let range = Value::range(series.points.iter().filter_map(|point| point.y), |y| on_axis(&chart.y, y));
        let cells: [Value; 4] = [
            Value::text(series.label.as_str()),
            on_axis(&chart.x, series.end),
            range,
            Value::text(sparkline(&series.points)),
        ];
        cells.map(Cell::from).to_vec()
    };
    Table { columns, rows: chart.series.iter().map(row).collect() }
}

/// A number of an axis as a value of its unit.
fn on_axis(axis: &Axis, number: f64) -> Value {
    match axis.unit {
        Unit::Seconds => Value::Duration(number),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time, in whole microseconds")]
        Unit::Milliseconds => Value::Response((number * 1e3).round() as u64),
        Unit::Megabytes | Unit::One | Unit::Words => Value::Rate(number),
    }
}

/// A bar for each point, or for the worst of as many points as it takes to keep the line short.
fn sparkline(points: &[Point]) -> String {
    let of_each = points.len().div_ceil(BARS_MOST).max(1);
    let worst = |points: &[Point]| points.iter().filter_map(|point| point.y).reduce(f64::max);
    let heights: Vec<Option<f64>> = points.chunks(of_each).map(worst).collect();
    let least = heights.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let most = heights.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    let bar = |height: f64| {
        let share = if most > least { (height - least) / (most - least) } else { 0.0 };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share from 0 to 1, of eight bars"
        )]
        let place = (share * (BARS.len() - 1) as f64).round() as usize;
        BARS[place.min(BARS.len() - 1)]
    };
    heights.into_iter().map(|height| height.map_or(NO_BAR, bar)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::context::groups, results::samples, snapshot::Strategy, sqlite::JournalMode};

    fn points(heights: &[Option<f64>]) -> Vec<Point> {
        heights.iter().enumerate().map(|(x, y)| Point { x: x as f64, y: *y }).collect()
    }

    #[test]
    fn bars_reach_from_the_least_to_the_most() {
        for (heights, bars) in [
            (&[][..], ""),
            (&[Some(5.0)], "▁"),
            (&[Some(5.0), Some(5.0)], "▁▁"),
            (&[Some(1.0), Some(8.0), None, Some(2.0)], "▁█·▂"),
            (&[None, None], "··"),
        ] {
            assert_eq!(sparkline(&points(heights)), bars);
        }
        let mut long = vec![Some(1.0); 150];
        long[149] = Some(9.0);
        long[0] = None;
        let bars = sparkline(&points(&long));
        assert_eq!(bars.chars().count(), 50, "three seconds each");
        assert!(bars.starts_with('▁') && bars.ends_with('█'), "{bars}");
    }

    #[test]
    fn a_second_of_too_few_operations_has_no_figure() {
        let mut trial = samples::trial(JournalMode::Wal, Strategy::Cp);
        trial.series[1].served = 99;
        let results = samples::results(vec![trial]);
        let chart = chart(&groups(&results)[0]).unwrap();
        assert_eq!(chart.series[0].label, "wal cp");
        let heights: Vec<_> = chart.series[0].points.iter().map(|point| point.y).collect();
        assert_eq!(heights, [Some(1.0), None, Some(3.0)]);
        let table = as_table(&chart);
        let values: Vec<_> = table.rows[0].iter().map(|cell| cell.value.clone()).collect();
        let range = Value::Range(Value::Response(1_000).into(), Value::Response(3_000).into());
        assert_eq!(values, [Value::text("wal cp"), Value::Duration(3.0), range, Value::text("▁·█")]);
    }

    #[test]
    fn the_points_of_a_long_trial_say_how_long_they_are() {
        let mut trial = samples::trial(JournalMode::Wal, Strategy::Cp);
        let short = samples::results(vec![trial.clone()]);
        for (point, t_s) in trial.series.iter_mut().zip([0, 4, 8]) {
            (point.t_s, point.duration_s) = (t_s, 4);
        }
        trial.series[2].duration_s = 1;
        let long = samples::results(vec![trial]);
        for (results, title, above, length_s) in [
            (short, "p99 response time of each second", "served in one second, whenever they were due; the", 3.0),
            (long, "p99 response time of each 4 s", "served in 4 s, whenever they were due; the", 9.0),
        ] {
            let group = &groups(&results)[0];
            let chart = chart(group).unwrap();
            assert_eq!(chart.title, title);
            assert!(note(group).explanation.contains(above), "{}", note(group).explanation);
            assert_eq!(as_table(&chart).rows[0][1].value, Value::Duration(length_s));
        }
    }

    #[test]
    fn a_group_of_many_trials_or_of_few_operations_has_no_chart() {
        let trial = || samples::trial(JournalMode::Wal, Strategy::Cp);
        let is_drawn = |trials: Vec<TrialResult>| chart(&groups(&samples::results(trials))[0]).is_some();
        assert!(is_drawn((0..TRIALS_MOST).map(|_| trial()).collect()));
        assert!(!is_drawn((0..=TRIALS_MOST).map(|_| trial()).collect()));
        let mut quiet = trial();
        quiet.series.iter_mut().for_each(|second| second.served = 5);
        assert!(!is_drawn(vec![quiet]));
    }
}

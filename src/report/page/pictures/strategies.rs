//! What each copy took and how long it held the writers up: every snapshot a dot.

use super::{Picture, Section};
use crate::{
    report::{
        context::Group,
        distinct,
        figures::{Column, Table, Unit, Value},
        page::plot::{Axis, Dots, Ink, Plot},
    },
    results::TrialResult,
    snapshot::Strategy,
    sqlite::JournalMode,
};

/// What a snapshot, or a trial, took or cost, in seconds.
struct Cost {
    journal_mode: JournalMode,
    strategy: Strategy,
    seconds: f64,
}

/// Of a group.
pub fn section(group: &Group<'_>) -> Section {
    let took = costs(group, |trial| trial.snapshots.iter().map(|snapshot| snapshot.run.duration_s).collect());
    let took = picture("How long each copy took", group, &took);
    let stalled = costs(group, |trial| {
        // The control has horizons, too.
        let of_snapshots = trial.horizons.entries().iter().take(trial.snapshots.len());
        of_snapshots.filter_map(|horizon| horizon.window.stalled_s).collect()
    });
    let stalled = picture("How long writes waited and none was committed", group, &stalled);
    Section {
        title: "What does each copy take, and what does it cost the others?".to_owned(),
        note: "Every dot is a snapshot; where it is of nobody being served, a trial. How long writes waited is counted over the horizon, which \
            begins with the snapshot and is equally long for every strategy."
            .to_owned(),
        pictures: [took, stalled, silences(group)].into_iter().flatten().collect(),
    }
}

/// What everybody notices of a copy, and of none: the longest silence of each trial.
pub fn silences(group: &Group<'_>) -> Option<Picture> {
    let longest = costs(group, |trial| {
        let silences = trial.silences.known();
        silences.map(|all| all.iter().map(|silence| silence.duration_s).fold(0.0, f64::max)).into_iter().collect()
    });
    picture("The longest time in which nobody was served", group, &longest)
}

fn costs(group: &Group<'_>, of: impl Fn(&TrialResult) -> Vec<f64>) -> Vec<Cost> {
    let of_trial = |trial: &&TrialResult| -> Vec<Cost> {
        let cost = |seconds| Cost { journal_mode: trial.journal_mode, strategy: trial.strategy, seconds };
        of(trial).into_iter().map(cost).collect()
    };
    group.trials.iter().flat_map(of_trial).collect()
}

/// The ink of a journal mode: the first two of a scenario are told apart, and all others are alike.
pub fn ink(group: &Group<'_>, mode: JournalMode) -> Ink {
    match group.modes().position(|one| one == mode) {
        Some(0) => Ink::First,
        Some(1) => Ink::Second,
        Some(_) | None => Ink::Third,
    }
}

fn picture(title: &str, group: &Group<'_>, costs: &[Cost]) -> Option<Picture> {
    if costs.is_empty() {
        return None;
    }
    let strategies = distinct(costs.iter().map(|cost| cost.strategy));
    let modes: Vec<_> = group.modes().collect();
    let row = |cost: &Cost| {
        let strategy = strategies.iter().position(|strategy| *strategy == cost.strategy).unwrap_or_default();
        let mode = modes.iter().position(|mode| *mode == cost.journal_mode).unwrap_or_default();
        // The modes lie a little above and below the row of their strategy.
        strategy as f64 + 0.3 * (mode as f64 - (modes.len() as f64 - 1.0) / 2.0)
    };
    let dots = |mode: &JournalMode| Dots {
        label: mode.to_string(),
        ink: ink(group, *mode),
        points: costs.iter().filter(|cost| cost.journal_mode == *mode).map(|cost| (cost.seconds, row(cost))).collect(),
    };
    let plot = Plot {
        title: title.to_owned(),
        x: Axis::log("seconds", costs.iter().map(|cost| cost.seconds)),
        y: Axis::rows(strategies.iter().map(ToString::to_string).collect()),
        bands: Vec::new(),
        lines: Vec::new(),
        dots: modes.iter().map(dots).collect(),
        reference: None,
    };
    let height = 70 + 26 * u32::try_from(strategies.len()).unwrap_or(0);
    let mut columns = ["copied with", "journal mode"].map(Column::words).to_vec();
    columns.push(Column::of("each", Unit::Seconds));
    let mut rows = Vec::new();
    for strategy in &strategies {
        for mode in &modes {
            let of_it = costs.iter().filter(|cost| (cost.strategy, cost.journal_mode) == (*strategy, *mode));
            let figures: Vec<_> = of_it.map(|cost| crate::report::figure_text::number(cost.seconds)).collect();
            if !figures.is_empty() {
                let cells = [strategy.to_string(), mode.to_string(), figures.join(", ")];
                rows.push(cells.map(|text| Value::text(text).into()).to_vec());
            }
        }
    }
    let caption = "On an axis of powers of ten; a dot at its left end is 0.".to_owned();
    Some(Picture { title: title.to_owned(), caption, plots: vec![(plot, height)], table: Table { columns, rows } })
}

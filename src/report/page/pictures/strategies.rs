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

/// A snapshot: how long it took, and for how long nobody could commit over its horizon, in seconds.
struct Cost {
    journal_mode: JournalMode,
    strategy: Strategy,
    duration_s: f64,
    stalled_s: Option<f64>,
}

/// Of a group.
pub fn section(group: &Group<'_>) -> Section {
    let costs = costs(group);
    let strategies = distinct(costs.iter().map(|cost| cost.strategy));
    let took = picture("How long each copy took", "seconds", &strategies, group, &costs, |cost| Some(cost.duration_s));
    let stalled_title = "How long writes waited and none was committed";
    let stalled = picture(stalled_title, "seconds", &strategies, group, &costs, |cost| cost.stalled_s);
    Section {
        title: "What does each copy take, and what does it cost the others?".to_owned(),
        note: "Every dot is a snapshot. What others waited is counted over the horizon, which begins with the snapshot and is equally \
            long for every strategy."
            .to_owned(),
        pictures: [took, stalled].into_iter().flatten().collect(),
    }
}

fn costs(group: &Group<'_>) -> Vec<Cost> {
    let of_trial = |trial: &&TrialResult| -> Vec<Cost> {
        let stalled_s = |number: usize| trial.horizons.entries().get(number)?.window.stalled_s;
        let cost = |(number, snapshot): (usize, &crate::results::SnapshotResult)| Cost {
            journal_mode: trial.journal_mode,
            strategy: snapshot.strategy,
            duration_s: snapshot.run.duration_s,
            stalled_s: stalled_s(number),
        };
        trial.snapshots.iter().enumerate().map(cost).collect()
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

fn picture(
    title: &str,
    x_title: &str,
    strategies: &[Strategy],
    group: &Group<'_>,
    costs: &[Cost],
    figure: fn(&Cost) -> Option<f64>,
) -> Option<Picture> {
    if !costs.iter().any(|cost| figure(cost).is_some()) {
        return None;
    }
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
        points: costs
            .iter()
            .filter(|cost| cost.journal_mode == *mode)
            .filter_map(|cost| Some((figure(cost)?, row(cost))))
            .collect(),
    };
    let plot = Plot {
        title: title.to_owned(),
        x: Axis::log(x_title, costs.iter().filter_map(figure)),
        y: Axis::rows(strategies.iter().map(ToString::to_string).collect()),
        bands: Vec::new(),
        lines: Vec::new(),
        dots: modes.iter().map(dots).collect(),
        reference: None,
    };
    let height = 70 + 26 * u32::try_from(strategies.len()).unwrap_or(0);
    let mut columns = ["copied with", "journal mode"].map(Column::words).to_vec();
    columns.push(Column::of("each snapshot", Unit::Seconds));
    let mut rows = Vec::new();
    for strategy in strategies {
        for mode in &modes {
            let of_it = costs.iter().filter(|cost| (cost.strategy, cost.journal_mode) == (*strategy, *mode));
            let figures: Vec<_> = of_it.filter_map(figure).map(crate::report::figure_text::number).collect();
            if !figures.is_empty() {
                let cells = [strategy.to_string(), mode.to_string(), figures.join(", ")];
                rows.push(cells.map(|text| Value::text(text).into()).to_vec());
            }
        }
    }
    let caption = "On an axis of powers of ten; a dot at its left end is 0.".to_owned();
    Some(Picture { title: title.to_owned(), caption, plots: vec![(plot, height)], table: Table { columns, rows } })
}

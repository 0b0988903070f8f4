//! How the time of a copy grows with the database, over several runs.

use super::{Picture, Section};
use crate::{
    report::{
        distinct,
        figure_text::number,
        figures::{Column, Table, Unit, Value},
        page::plot::{Axis, Dots, Ink, Plot},
    },
    results::Results,
    snapshot::Strategy,
    sqlite::JournalMode,
};

/// A copy: of how large a database, and how long it took.
struct Copy {
    strategy: Strategy,
    journal_mode: JournalMode,
    gigabytes: f64,
    duration_s: f64,
}

/// A picture for each strategy, where the databases are of more than one size.
pub fn section(all: &[Results]) -> Section {
    let copies = copies(all);
    let first = copies.first().map_or(0.0, |copy| copy.gigabytes);
    let has_sizes = copies.iter().any(|copy| (copy.gigabytes - first).abs() > first * 0.01);
    let mut strategies: Vec<Strategy> = copies.iter().map(|copy| copy.strategy).collect();
    strategies.sort_unstable();
    strategies.dedup();
    Section {
        title: "How does the time of a copy grow with the database?".to_owned(),
        note: "Every dot is a snapshot, over all runs of this page.".to_owned(),
        pictures: if has_sizes {
            strategies.iter().map(|strategy| picture(*strategy, &copies)).collect()
        } else {
            Vec::new()
        },
    }
}

fn copies(all: &[Results]) -> Vec<Copy> {
    let mut copies = Vec::new();
    for results in all {
        let Some(dataset) = results.dataset.found() else { continue };
        for trial in &results.trials {
            copies.extend(trial.snapshots.iter().map(|snapshot| Copy {
                strategy: snapshot.strategy,
                journal_mode: trial.journal_mode,
                gigabytes: dataset.bytes as f64 / 1e9,
                duration_s: snapshot.run.duration_s,
            }));
        }
    }
    copies
}

fn picture(strategy: Strategy, copies: &[Copy]) -> Picture {
    let mine: Vec<_> = copies.iter().filter(|copy| copy.strategy == strategy).collect();
    let modes = distinct(mine.iter().map(|copy| copy.journal_mode));
    let dots = |(place, mode): (usize, &JournalMode)| Dots {
        label: mode.to_string(),
        ink: [Ink::First, Ink::Second].get(place).copied().unwrap_or(Ink::Third),
        points: mine
            .iter()
            .filter(|copy| copy.journal_mode == *mode)
            .map(|copy| (copy.gigabytes, copy.duration_s))
            .collect(),
    };
    let plot = Plot {
        title: strategy.to_string(),
        x: Axis::log("GB", mine.iter().map(|copy| copy.gigabytes)),
        y: Axis::log("seconds", mine.iter().map(|copy| copy.duration_s)),
        bands: Vec::new(),
        lines: Vec::new(),
        dots: modes.iter().enumerate().map(dots).collect(),
        reference: None,
    };
    let columns = vec![Column::words("journal mode"), Column::of("GB", Unit::One), Column::of("took", Unit::Seconds)];
    let row = |copy: &&Copy| {
        let cells = [
            Value::text(copy.journal_mode.to_string()),
            Value::text(number(copy.gigabytes)),
            Value::Duration(copy.duration_s),
        ];
        cells.map(Into::into).to_vec()
    };
    let table = Table { columns, rows: mine.iter().map(row).collect() };
    Picture { title: strategy.to_string(), caption: String::new(), plots: vec![(plot, 220)], table }
}

//! What each step of safety costs: commits a second beside the commits that a power loss took.

use super::{Picture, Section};
use crate::{
    report::{
        page::plot::{Axis, Dots, Ink, Plot},
        power_loss::{Level, levels, table},
    },
    results::Results,
    sqlite::JournalMode,
};

/// The most dots that a picture can tell apart by their colour.
const INKS: [Ink; 4] = [Ink::First, Ink::Second, Ink::Third, Ink::Faint];

/// Of a run of power losses.
pub fn section(results: &Results) -> Section {
    let levels = levels(results);
    Section {
        title: "What does each step of safety cost?".to_owned(),
        note: "Each row is a synchronous level. To the right is what is faster on this disk, and what a power loss takes more of."
            .to_owned(),
        pictures: if levels.is_empty() { Vec::new() } else { vec![cost(&levels), loss(&levels)] },
    }
}

fn cost(levels: &[Level<'_>]) -> Picture {
    picture(levels, "Commits a second", "commits a second", "", Level::commits_per_s)
}

fn loss(levels: &[Level<'_>]) -> Picture {
    let caption = "Of the images in one state of the database; at the left edge are levels that lost none. Torn and damaged images are in the table.";
    picture(levels, "Most commits lost", "commits", caption, |level| level.outcomes().lost_most as f64)
}

fn picture<'a>(
    levels: &[Level<'a>],
    title: &str,
    axis: &str,
    caption: &str,
    value: impl Fn(&Level<'a>) -> f64,
) -> Picture {
    let mut names: Vec<String> = Vec::new();
    let mut modes: Vec<JournalMode> = Vec::new();
    for level in levels {
        let name = level.synchronous.to_string();
        if !names.contains(&name) {
            names.push(name);
        }
        if !modes.contains(&level.journal_mode) {
            modes.push(level.journal_mode);
        }
    }
    let count = modes.len() as f64;
    let dots = modes.iter().enumerate().map(|(place, mode)| {
        let of_mode = levels.iter().filter(|level| level.journal_mode == *mode);
        let row = |level: &Level<'a>| names.iter().position(|name| *name == level.synchronous.to_string());
        // Beside each other in a row, so that equal values are both seen.
        let aside = (place as f64 - (count - 1.0) / 2.0) * 0.15;
        let points = of_mode.filter_map(|level| Some((value(level), row(level)? as f64 + aside)));
        Dots { label: mode.to_string(), ink: INKS[place % INKS.len()], points: points.collect() }
    });
    let plot = Plot {
        title: title.to_owned(),
        x: Axis::log(axis, levels.iter().map(&value)),
        y: Axis::rows(names.clone()),
        bands: Vec::new(),
        lines: Vec::new(),
        dots: dots.collect(),
        reference: None,
    };
    let height = 80 + 40 * u32::try_from(names.len()).unwrap_or(0);
    Picture { title: title.to_owned(), caption: caption.to_owned(), plots: vec![(plot, height)], table: table(levels) }
}

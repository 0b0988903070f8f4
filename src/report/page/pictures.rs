//! The pictures of a page: what they show, and the tables behind them.

mod over_time;
mod power_loss;
mod progress;
mod ratios;
mod sizes;
mod spectrum;
mod strategies;

use super::plot::Plot;
use crate::{
    report::{
        context::{Context, Group, groups},
        figures::Table,
    },
    results::Results,
};

/// A picture, and what stands beside it.
pub struct Picture {
    /// What it shows, in a few words.
    pub title: String,
    /// How to read it, and what it says of itself that a picture cannot.
    pub caption: String,
    /// One below the other on the same x, with their heights.
    pub plots: Vec<(Plot, u32)>,
    /// The same figures.
    pub table: Table,
}

/// Pictures that answer one question.
pub struct Section {
    /// The question.
    pub title: String,
    /// How to read all of them.
    pub note: String,
    /// Its pictures.
    pub pictures: Vec<Picture>,
}

/// The sections of a run that have pictures.
pub fn sections(results: &Results) -> Vec<Section> {
    let groups = groups(results);
    let is_one = groups.len() == 1;
    let mut sections = vec![power_loss::section(results), ratios::section(results)];
    for group in &groups {
        let at = if is_one { String::new() } else { format!(": {}", group.title()) };
        let of_group: [fn(&Group<'_>) -> Section; 4] =
            [strategies::section, spectrum::section, over_time::section, progress::section];
        sections.extend(of_group.map(|section| {
            let section = section(group);
            Section { title: format!("{}{at}", section.title), ..section }
        }));
    }
    sections.retain(|section| !section.pictures.is_empty());
    let pictures = sections.iter_mut().flat_map(|section| &mut section.pictures);
    pictures.for_each(|picture| picture.title.push_str(Context::new(results).mark()));
    sections
}

/// The picture that says most of a run at one glance: how long nobody was served, in the group with the most trials; where that is not
/// known, the first one.
pub fn headline(results: &Results) -> Option<Picture> {
    let mut groups = groups(results);
    groups.sort_by_key(|group| std::cmp::Reverse(group.trials.len()));
    let of_groups = groups.first().and_then(strategies::silences);
    of_groups.or_else(|| sections(results).into_iter().flat_map(|section| section.pictures).next())
}

/// What several runs of one scenario show together that one cannot: how a copy's time grows with the database.
pub fn of_sizes(all: &[Results]) -> Option<Section> {
    Some(sizes::section(all)).filter(|section| !section.pictures.is_empty())
}

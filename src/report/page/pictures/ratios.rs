//! The journal modes, pair by pair: every pair a dot, the interval of the median a line, the noise floor a band.

use super::{Picture, Section};
use crate::{
    analysis::{self, PairTimes},
    report::{
        comparisons,
        context::{Group, groups},
        page::plot::{Axis, Band, Dots, Ink, Line, Plot, Stroke},
    },
    results::{Comparison, PhaseName, Results},
};

/// Of the baselines of all groups.
pub fn section(results: &Results) -> Section {
    let groups = groups(results);
    let is_one = groups.len() == 1;
    Section {
        title: "Does WAL help?".to_owned(),
        note: "A ratio below 1 is shorter under the second journal mode. Each dot is a pair of trials that ran next to each other. \
            The line is where the median of the pairs lies with 95 % confidence; it takes six pairs. The band is the noise floor: \
            nine of ten pairs of trials under one and the same mode differ by less."
            .to_owned(),
        pictures: groups.iter().flat_map(|group| of_group(group, results, is_one)).collect(),
    }
}

fn of_group(group: &Group<'_>, results: &Results, is_one: bool) -> Vec<Picture> {
    let of_baseline = |one: &&Comparison| one.subject.phase == PhaseName::Baseline && group.has(one);
    let all: Vec<_> = results.comparisons.entries().iter().filter(of_baseline).collect();
    let mut pictures = Vec::new();
    for mode in group.modes() {
        let rows: Vec<_> = all.iter().copied().filter(|one| one.new == mode).collect();
        if let Some(first) = rows.first() {
            let at = if is_one { String::new() } else { format!(", {}", group.title()) };
            let title = format!("{} to {} in the baseline{at}", first.base, first.new);
            pictures.push(picture(title, &rows, results));
        }
    }
    pictures
}

fn picture(title: String, rows: &[&Comparison], results: &Results) -> Picture {
    let names = rows.iter().map(|one| format!("{} {}", one.subject.kind, one.subject.figure)).collect();
    let ratios: Vec<Vec<f64>> =
        rows.iter().map(|one| analysis::pair_times(results, one).iter().map(PairTimes::ratio).collect()).collect();
    let floors = rows.iter().filter_map(|one| one.change.noise_floor).flat_map(|floor| [floor, floor.recip()]);
    let intervals =
        rows.iter().filter_map(|one| one.change.interval).flat_map(|interval| [interval.low, interval.high]);
    let all = ratios.iter().flatten().copied().chain(floors).chain(intervals).chain([1.0]);
    let band = |(row, one): (usize, &&Comparison)| {
        let floor = one.change.noise_floor?;
        Some(Band { label: "noise floor".to_owned(), from: floor.recip(), to: floor, row: Some(row) })
    };
    let line = |(row, one): (usize, &&Comparison)| {
        let interval = one.change.interval?;
        let at = |x: f64| (x.max(1e-6), Some(row as f64));
        Some(Line {
            label: "95 % interval of the median".to_owned(),
            ink: Ink::Second,
            stroke: Stroke::Solid,
            points: vec![at(interval.low), at(interval.high)],
        })
    };
    let points =
        ratios.iter().enumerate().flat_map(|(row, ratios)| ratios.iter().map(move |ratio| (*ratio, row as f64 + 0.22)));
    let plot = Plot {
        title: title.clone(),
        x: Axis::log("ratio, times as long", all),
        y: Axis::rows(names),
        bands: rows.iter().enumerate().filter_map(band).collect(),
        lines: rows.iter().enumerate().filter_map(line).collect(),
        dots: vec![Dots { label: "pair of trials".to_owned(), ink: Ink::First, points: points.collect() }],
        reference: Some(1.0),
    };
    let height = 70 + 22 * u32::try_from(rows.len()).unwrap_or(0);
    Picture { title, caption: String::new(), plots: vec![(plot, height)], table: comparisons::of(rows) }
}

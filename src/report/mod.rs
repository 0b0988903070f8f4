//! Results in, a report out: pure functions, one file a format.
//!
//! What is said is found once, as a list of `Block`s: tables of typed cells, charts, and sentences (`figures`). How a
//! figure is written is the same for every format (`figure_text`); how it looks is the business of `screen` and `terminal`, of
//! `markdown` (for an issue) and of `page` (for a browser). A new format is a variant of [`Format`], its arm in [`render`], and a file.
//!
//! Every trial has its own rows. What is said of several trials is a count, a range, or the median of their pairs with its
//! interval.

mod answer;
mod claims;
mod comparisons;
mod conditions;
mod context;
mod costs;
mod csv;
mod decision;
mod figure_text;
mod figures;
mod files;
mod github;
mod junit;
mod kill;
mod limits;
mod listing;
mod markdown;
mod matrix;
mod notes;
mod openmetrics;
mod page;
mod power_loss;
mod real_tracker;
mod runs;
mod screen;
mod seconds;
mod silences;
mod smaller_is_better;
mod snapshots;
mod summary;
mod tables;
mod template;
mod terminal;
mod thresholds;

use clap::ValueEnum;

use crate::{
    analysis::{
        RunComparison,
        limits::{Asked, Copies, Limit},
    },
    results::Results,
    snapshot::Strategy,
};
use context::{Context, Group, groups};
use figure_text::sentence;
use figures::{Block, Table};
use notes::Note;
pub use screen::Colours;
pub use template::{Load, render as render_template};
pub(crate) use thresholds::sentence as threshold_sentence;

/// A format of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One screen of a terminal.
    Text,
    /// GitHub's Markdown, for an issue.
    Markdown,
    /// One page for a browser, with pictures.
    Html,
    /// One picture, as a file that other pages can show: how long nobody was served with each copy.
    Svg,
    /// The verdicts by journal mode and strategy, as a table in Markdown.
    Matrix,
    /// A file in the format of `JUnit`, in which each trial is a test.
    Junit,
    /// Annotations of a GitHub workflow; the Markdown becomes its step summary.
    Github,
    /// JSON for a program that follows benchmarks over time (customSmallerIsBetter).
    CustomSmallerIsBetter,
    /// Every figure as a row of a long table, for `DuckDB`, pandas or R.
    Csv,
    /// Every figure but those of single seconds in the text format of `OpenMetrics`, for Prometheus.
    #[value(name = "openmetrics")]
    OpenMetrics,
}

/// How what people read is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// Tables for a terminal.
    Text,
    /// GitHub's Markdown, for an issue.
    Markdown,
}

/// Renders the report in a format.
#[must_use]
pub fn render(results: &Results, format: Format) -> String {
    match format {
        Format::Text => screen::render(results, Colours::Plain),
        Format::Markdown => markdown::render(&blocks(results)),
        Format::Html => page::render(std::slice::from_ref(results)),
        Format::Svg => page::render_picture(results),
        Format::Matrix => markdown::render(&[Block::Table(matrix::table(results))]),
        Format::Junit => junit::render(results),
        Format::Github => github::render(results),
        Format::CustomSmallerIsBetter => smaller_is_better::render(results),
        Format::Csv => csv::render(results),
        Format::OpenMetrics => openmetrics::render(results),
    }
}

/// Renders the report for a terminal, on one screen.
#[must_use]
pub fn render_screen(results: &Results, colours: Colours) -> String {
    screen::render(results, colours)
}

/// Renders a page for a browser, of one run or of several.
#[must_use]
pub fn render_page(all: &[Results]) -> String {
    page::render(all)
}

/// Renders every table for a terminal.
#[must_use]
pub fn render_details(results: &Results) -> String {
    terminal::render(&blocks(results))
}

/// Renders how two runs compare, in a format.
#[must_use]
pub fn render_comparison(comparison: &RunComparison, layout: Layout) -> String {
    lay_out(&runs::blocks(comparison), layout)
}

/// Renders how many commits a second copies bear, in a format.
#[must_use]
pub fn render_limits(copies: &[Copies], limits: &[Limit], asked: Asked, layout: Layout) -> String {
    lay_out(&limits::blocks(copies, limits, asked), layout)
}

fn lay_out(blocks: &[Block], layout: Layout) -> String {
    match layout {
        Layout::Text => terminal::render(blocks),
        Layout::Markdown => markdown::render(blocks),
    }
}

/// The whole report: the answer, what it rests on in a few figures, and behind it everything else by question.
#[must_use]
pub fn blocks(results: &Results) -> Vec<Block> {
    let answer = answer::answer(results);
    let mut blocks = vec![
        Block::Heading(1, format!("journalbench: {}", results.scenario.name)),
        Block::Paragraph(Context::new(results).question()),
        Block::Paragraph(answer.setting),
        Block::List(answer.sentences),
    ];
    let matrix = matrix::table(results);
    if !matrix.rows.is_empty() {
        blocks.extend([Block::Note(matrix::note()), Block::Table(matrix)]);
        mark(&mut blocks, Context::new(results).mark());
    }
    blocks.extend(power_loss::blocks(results));
    blocks.extend(kill::blocks(results));
    if !answer.open.is_empty() {
        blocks.extend([Block::Heading(2, "What is open".to_owned()), Block::List(answer.open)]);
    }
    blocks.extend(thresholds::section(results));
    blocks.push(Block::Heading(2, "The figures".to_owned()));
    blocks.extend(details("What does each strategy do?", glossary(results)));
    blocks.extend(details("Which copy is exact? In words", vec![Block::List(summary::sentences(results))]));
    blocks.extend(details("What was decided by which rule?", decision::blocks(results)));
    let groups = groups(results);
    for group in &groups {
        if groups.len() > 1 {
            blocks.push(Block::Heading(3, group.title()));
        }
        blocks.extend(of_group(group, results));
    }
    if !results.warnings.is_empty() {
        blocks.push(Block::Heading(2, "Warnings".to_owned()));
        blocks.push(Block::List(results.warnings.iter().map(ToString::to_string).collect()));
    }
    blocks.push(Block::Heading(2, "How it was measured".to_owned()));
    blocks.push(Block::List(conditions::sentences(results)));
    blocks
}

/// What the strategies of the run are.
fn glossary(results: &Results) -> Vec<Block> {
    let words = |strategy: Strategy| format!("{strategy}: {}", sentence(&strategy.description()));
    let strategies = distinct(results.trials.iter().map(|trial| trial.strategy));
    let mut sentences: Vec<_> = strategies.into_iter().map(words).collect();
    sentences.extend(conditions::strategy_options(results));
    if sentences.is_empty() { Vec::new() } else { vec![Block::List(sentences)] }
}

/// The questions that the figures of a group answer.
fn of_group(group: &Group<'_>, results: &Results) -> Vec<Block> {
    let mut blocks = Vec::new();
    blocks.extend(details("Which claims of issues #85 and #86 hold?", claims::blocks(group, results)));
    blocks.extend(details("Does WAL help? The journal modes, pair by pair", of_modes(group, results)));
    blocks.extend(details(
        "What became of each copy?",
        of_tables([
            (snapshots::what_note(), snapshots::what(group)),
            (snapshots::evidence_note(), snapshots::evidence(group)),
            (snapshots::after_note(), snapshots::after(group)),
        ]),
    ));
    blocks.extend(details(
        "What did each copy take, and what did it cost the others?",
        of_tables([
            (snapshots::took_note(), snapshots::took(group)),
            (snapshots::parts_note(), snapshots::parts(group)),
            (costs::machine_note(), costs::machine(group)),
            (costs::horizon_note(), costs::horizon(group)),
            (costs::others_note(), costs::others(group)),
            (costs::wal_note(), costs::wal(group)),
        ]),
    ));
    blocks.extend(details("How long did clients wait?", of_operations(group)));
    blocks.extend(details("When was nobody served?", of_tables([(silences::note(), silences::table(group))])));
    blocks.extend(details(
        "What did the tracker write and answer?",
        of_tables([
            (real_tracker::writes_note(), real_tracker::writes(group)),
            (real_tracker::unanswered_note(), real_tracker::unanswered(group)),
        ]),
    ));
    blocks.extend(details(
        "What did SQLite do to the disk?",
        of_tables([
            (files::per_commit_note(), files::per_commit(group)),
            (files::waits_note(), files::waits(group)),
            (files::beside_note(), files::beside(group)),
        ]),
    ));
    mark(&mut blocks, Context::new(results).mark());
    blocks
}

/// Adds a mark to the title of each table.
fn mark(blocks: &mut [Block], mark: &str) {
    for block in blocks {
        match block {
            Block::Note(note) => note.title.push_str(mark),
            Block::Details(_, inner) => self::mark(inner, mark),
            Block::Heading(..) | Block::Paragraph(_) | Block::List(_) | Block::Table(_) | Block::Chart(_) => {}
        }
    }
}

/// Blocks under a title; nothing where there are none.
fn details(title: &str, blocks: Vec<Block>) -> Option<Block> {
    (!blocks.is_empty()).then(|| Block::Details(title.to_owned(), blocks))
}

fn of_modes(group: &Group<'_>, results: &Results) -> Vec<Block> {
    of_tables([(comparisons::note(), comparisons::table(group, results))])
}

/// The tables and the chart of a group that speak of operations.
fn of_operations(group: &Group<'_>) -> Vec<Block> {
    let mut blocks = vec![Block::Note(tables::rates_note()), Block::Table(tables::rates(group))];
    for (place, kind) in tables::kinds(group).into_iter().enumerate() {
        blocks.push(Block::Note(tables::response_note(group, kind, place == 0)));
        blocks.push(Block::Table(tables::response(group, kind)));
    }
    if let Some(chart) = seconds::chart(group) {
        blocks.extend([Block::Note(seconds::note(group)), Block::Chart(chart)]);
    }
    let errors = tables::errors(group);
    // What became of the writes of a tracker is another question.
    let is_of_tracker = group.trials.iter().any(|trial| trial.tracker.is_some());
    let all_served = if is_of_tracker {
        "Every operation was served in time."
    } else {
        "Every operation was served in time, and no write was lost."
    };
    blocks.extend(if errors.rows.is_empty() {
        vec![Block::Paragraph(all_served.to_owned())]
    } else {
        vec![Block::Note(tables::errors_note()), Block::Table(errors)]
    });
    blocks
}

/// Those tables that have rows, each under its note.
fn of_tables(tables: impl IntoIterator<Item = (Note, Table)>) -> Vec<Block> {
    let with_rows = tables.into_iter().filter(|(_, table)| !table.rows.is_empty());
    with_rows.flat_map(|(note, table)| [Block::Note(note), Block::Table(table)]).collect()
}

/// Each once, in the order in which they come first.
fn distinct<T: PartialEq>(all: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen = Vec::new();
    for one in all {
        if !seen.contains(&one) {
            seen.push(one);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{results::samples, sqlite::JournalMode};

    fn flat(blocks: Vec<Block>) -> Vec<Block> {
        let flat = |block| match block {
            Block::Details(_, blocks) => flat(blocks),
            other => vec![other],
        };
        blocks.into_iter().flat_map(flat).collect()
    }

    #[test]
    fn every_row_has_a_cell_for_each_column_and_both_formats_say_the_same() {
        let trials = [Strategy::None, Strategy::Cp, Strategy::VacuumInto]
            .map(|strategy| samples::trial(JournalMode::Wal, strategy));
        let results = samples::results(trials.to_vec());
        for results in [samples::of_before(&results), results] {
            let tables = flat(blocks(&results)).into_iter().filter_map(|block| match block {
                Block::Table(table) => Some(table),
                Block::Chart(chart) => Some(seconds::as_table(&chart)),
                Block::Heading(..) | Block::Paragraph(_) | Block::List(_) | Block::Note(_) | Block::Details(..) => None,
            });
            for table in tables {
                assert!(!table.rows.is_empty(), "{table:?}");
                assert!(table.rows.iter().all(|row| row.len() == table.columns.len()), "{table:?}");
            }
            let markdown = render(&results, Format::Markdown);
            let text = render_details(&results);
            for words in ["vacuum-into", "▁▅█", "1,000 / 1,000", "How it was measured"] {
                assert!(markdown.contains(words) && text.contains(words), "{words} in {text}");
            }
        }
    }
}

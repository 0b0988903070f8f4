//! Results in, a report out: pure functions, one file a format.
//!
//! What is said stands here, once, as a list of [`Block`]s; how it looks is the business of [`text`] (for a terminal)
//! and [`markdown`] (for an issue). A new format renders the same blocks.
//!
//! Nothing is averaged over trials: every trial has its own rows, and a sentence that speaks of several gives the range.

pub mod markdown;
mod snapshots;
mod summary;
mod tables;
pub mod text;

use std::fmt::Write as _;

use clap::ValueEnum;

use crate::{
    results::{Results, TrialResult},
    scenario::{Arrivals, Keys, Scenario},
    sqlite::Synchronous,
    workload::Kind,
};

/// A format of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Tables for a terminal.
    Text,
    /// GitHub's Markdown, for an issue.
    Markdown,
}

/// One part of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Block {
    /// A heading of level 1 or 2.
    Heading(u8, String),
    /// A paragraph.
    Paragraph(String),
    /// Sentences, one a line.
    List(Vec<String>),
    /// A table.
    Table(Table),
}

/// A table; every row has as many cells as there are columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The columns.
    pub columns: Vec<Column>,
    /// Its cells.
    pub rows: Vec<Vec<String>>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What stands above it.
    pub title: String,
    /// Whether it holds numbers, which stand to the right.
    pub numbers: bool,
}

/// Renders the report in a format.
#[must_use]
pub fn render(results: &Results, format: Format) -> String {
    let blocks = blocks(results);
    match format {
        Format::Text => text::render(&blocks),
        Format::Markdown => markdown::render(&blocks),
    }
}

/// The whole report.
#[must_use]
pub fn blocks(results: &Results) -> Vec<Block> {
    let keys = &results.scenario.keys;
    let mut blocks = vec![
        Block::Heading(1, format!("journalbench: {}", results.scenario.name)),
        Block::Paragraph(format!("Question: {} Expected: {}", sentence(&keys.why), sentence(&keys.expect))),
        Block::List(summary::sentences(results)),
    ];
    for group in groups(results) {
        blocks.push(Block::Heading(2, group.title()));
        blocks.push(Block::Paragraph("Rates in the baseline, a second, offered / achieved (a write is offered as a commit, whether or not it is batched):".to_owned()));
        blocks.push(Block::Table(tables::rates(&group)));
        blocks.push(Block::Paragraph(tables::RESPONSE_NOTE.to_owned()));
        for kind in Kind::ALL {
            blocks.push(Block::Paragraph(
                match kind {
                    Kind::Announce => "Announces:",
                    Kind::Scrape => "Scrapes:",
                }
                .to_owned(),
            ));
            blocks.push(Block::Table(tables::response(&group, kind)));
        }
        blocks.push(Block::Paragraph(
            match tables::errors(&group) {
                Some(_) => {
                    "What was not served, and writes that were lost though the client was answered as if all were well:"
                }
                None => "Every operation was served in time, and no write was lost.",
            }
            .to_owned(),
        ));
        blocks.extend(tables::errors(&group).map(Block::Table));
        blocks.extend(of_snapshots(&group));
    }
    if !results.warnings.is_empty() {
        blocks.push(Block::Heading(2, "Warnings".to_owned()));
        blocks.push(Block::List(results.warnings.iter().map(ToString::to_string).collect()));
    }
    blocks.push(Block::Heading(2, "How it was measured".to_owned()));
    blocks.push(Block::List(conditions(results)));
    blocks
}

/// The tables of the snapshots of a group that have rows, each under its note.
fn of_snapshots(group: &Group<'_>) -> Vec<Block> {
    let tables = [
        (snapshots::WHAT_NOTE, snapshots::what(group)),
        ("How they ended, and what the verdict rests on:", snapshots::evidence(group)),
        (snapshots::TOOK_NOTE, snapshots::took(group)),
        (snapshots::PARTS_NOTE, snapshots::parts(group)),
        (snapshots::COSTS_NOTE, snapshots::costs(group)),
        (snapshots::OTHERS_NOTE, snapshots::others(group)),
        (snapshots::WAL_NOTE, snapshots::wal(group)),
        ("What was done with the copies afterwards:", snapshots::after(group)),
    ];
    let with_rows = tables.into_iter().filter(|(_, table)| !table.rows.is_empty());
    with_rows.flat_map(|(note, table)| [Block::Paragraph(note.to_owned()), Block::Table(table)]).collect()
}

/// Trials that may be compared: the same offered rate and the same `synchronous`.
struct Group<'a> {
    /// `None` where the rate is not one number.
    rate_ops: Option<f64>,
    synchronous: Synchronous,
    keys: &'a Keys,
    /// By journal mode, then in the order in which they ran.
    trials: Vec<&'a TrialResult>,
}

impl Group<'_> {
    fn title(&self) -> String {
        let Self { synchronous, keys, .. } = self;
        format!("{}, {}, synchronous {synchronous}", self.rate(), keys.load.write_profile)
    }

    /// The offered rate in words.
    fn rate(&self) -> String {
        match (self.rate_ops, self.keys.load.arrivals) {
            (Some(1.0), _) => "1 operation a second".to_owned(),
            (Some(rate_ops), _) => format!("{} operations a second", count(rate_ops)),
            (None, Arrivals::Closed) => "as fast as the database answers".to_owned(),
            (None, Arrivals::Trace) => "the rate of the trace".to_owned(),
            (None, Arrivals::Constant | Arrivals::Poisson) => "a rate in steps".to_owned(),
        }
    }

    fn is_saturated(&self) -> bool {
        self.trials.iter().any(|trial| trial.is_saturated())
    }
}

fn groups(results: &Results) -> Vec<Group<'_>> {
    let keys = &results.scenario.keys;
    let mut groups = Vec::new();
    for rate_ops in results.scenario.rates() {
        for &synchronous in &keys.sqlite.synchronous {
            let mut trials = Vec::new();
            for &journal_mode in &keys.sqlite.journal_mode {
                trials.extend(results.trials.iter().filter(|trial| {
                    trial.journal_mode == journal_mode
                        && trial.synchronous == synchronous
                        && rate_ops.is_none_or(|rate_ops| trial.offered_rate_ops == Some(rate_ops))
                }));
            }
            if !trials.is_empty() {
                groups.push(Group { rate_ops, synchronous, keys, trials });
            }
        }
    }
    groups
}

fn conditions(results: &Results) -> Vec<String> {
    let (keys, environment) = (&results.scenario.keys, &results.environment);
    let fsync = environment.fsync_us_p50.map_or_else(|| "unknown".to_owned(), |time| format!("{time} us"));
    let program = environment.sqlite3_program_version.as_deref().unwrap_or("not installed");
    let cp = environment.cp_version.as_deref().unwrap_or("cp of unknown version");
    vec![
        dataset(results),
        format!(
            "Load: {}, {}; {}; {} % announces, Zipf exponent {}, scrapes of 1 to {} hashes; client timeout {} s.",
            keys.load.arrivals,
            keys.load.write_profile,
            connections(&results.scenario),
            number(keys.load.announce_share * 100.0),
            keys.load.zipf_exponent,
            keys.load.scrape_hashes_max,
            keys.client_timeout_s
        ),
        format!(
            "SQLite {} ({}), cache {} KiB a connection, mmap {} bytes, autocheckpoint at {} pages, checkpoint thread \
            every {} ms (0: none), transactions {}, busy timeout {} ms.",
            environment.sqlite_version,
            environment.sqlite_sync_call,
            keys.sqlite.cache_size_kib,
            keys.sqlite.mmap_size_bytes,
            keys.sqlite.wal_autocheckpoint_pages,
            keys.sqlite.checkpoint_thread_ms,
            keys.sqlite.transaction_mode,
            keys.sqlite.busy_timeout_ms
        ),
        format!("Programs: sqlite3 {program}, {cp}. {}", strategy_options(results)),
        format!(
            "Machine: {} x {}, {} GB of memory, {}, {} ({}), fsync {fsync} at the median.",
            environment.processors,
            environment.processor,
            environment.memory_bytes / 1_000_000_000,
            environment.kernel,
            environment.file_system,
            environment.mount_options
        ),
        format!(
            "journalbench {}, begun {}, {} s in all; schema version {}.",
            results.journalbench_version,
            results.started_at,
            number(results.duration_s),
            results.schema_version
        ),
    ]
}

fn dataset(results: &Results) -> String {
    let keys = &results.scenario.keys;
    // Results of before have no description of their own.
    let described = results.dataset.as_ref();
    let rows = described.map_or(keys.dataset.rows, |dataset| dataset.rows);
    let page_size_bytes = described.map_or(keys.sqlite.page_size_bytes, |dataset| dataset.page_size_bytes);
    let megabytes = described.map_or_else(String::new, |dataset| format!(", {} MB", count(dataset.bytes as f64 / 1e6)));
    let origin = match described.and_then(|dataset| dataset.sampled_rows) {
        Some(sampled) => format!("adopted, operations on {} of them", count(sampled as f64)),
        None => format!("seed {}", keys.dataset.seed),
    };
    format!(
        "Dataset: {} torrents{megabytes}, {origin}, pages of {page_size_bytes} bytes; page cache {}.",
        count(rows as f64),
        keys.sqlite.page_cache
    )
}

/// What the strategies ran with that they have a choice of.
fn strategy_options(results: &Results) -> String {
    let mut all: Vec<String> = Vec::new();
    for trial in &results.trials {
        let options = trial.strategy_options.as_object().into_iter().flatten();
        let options: Vec<_> = options.map(|(name, value)| format!("{name} {value}")).collect();
        let text = format!("{}: {}", trial.strategy, options.join(", "));
        if !options.is_empty() && !all.contains(&text) {
            all.push(text);
        }
    }
    if all.is_empty() { String::new() } else { format!("Options: {}.", all.join("; ")) }
}

fn connections(scenario: &Scenario) -> String {
    let load = &scenario.keys.load;
    if scenario.is_pooled() {
        return format!("{} connections for both kinds", load.pool_connections);
    }
    format!("{} announce and {} scrape connections", load.announce_connections, load.scrape_connections)
}

fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.ends_with(['.', '?', '!']) { text.to_owned() } else { format!("{text}.") }
}

/// A count with its thousands apart.
fn count(value: f64) -> String {
    if value < 10.0 && value.fract() != 0.0 {
        return number(value);
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        size if size < 0.1 => 3,
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        size if size < 1e4 => 0,
        _ => return count(value),
    };
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = write!(text, "{value:.decimals$}");
    text
}

/// Microseconds as milliseconds.
fn milliseconds(time_us: u64) -> String {
    number(time_us as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_counts_their_thousands() {
        for (value, text) in [
            (0.0, "0"),
            (0.0123, "0.012"),
            (0.5, "0.50"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1234.0, "1234"),
            (123_456.0, "123,456"),
        ] {
            assert_eq!(number(value), text);
        }
        for (value, text) in
            [(0.0, "0"), (0.5, "0.50"), (999.0, "999"), (1e3, "1,000"), (17_000.0, "17,000"), (1e6, "1,000,000")]
        {
            assert_eq!(count(value), text);
        }
        assert_eq!(milliseconds(1_500), "1.50");
    }
}

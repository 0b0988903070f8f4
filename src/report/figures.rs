//! What a report is made of before it is words: tables of typed cells, charts, and the sentences between them.
//!
//! A figure keeps its value and its kind, so that a format, a comparison or a threshold reads it without taking text apart.
//! How a figure is written is the business of `figure_text`, beside it.

use super::notes::Note;

/// One part of a report.
#[derive(Debug, Clone, PartialEq)]
pub enum Block {
    /// A heading of level 1 to 3.
    Heading(u8, String),
    /// A paragraph.
    Paragraph(String),
    /// Sentences, one a line.
    List(Vec<String>),
    /// A table.
    Table(Table),
    /// A chart.
    Chart(Chart),
    /// What stands above a table or a chart.
    Note(Note),
    /// What is shown to those who ask for it, under a title.
    Details(String, Vec<Block>),
}

/// A table; every row has as many cells as there are columns.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// The columns.
    pub columns: Vec<Column>,
    /// Its cells.
    pub rows: Vec<Vec<Cell>>,
}

/// A column of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What stands above it, without the unit.
    pub title: String,
    /// What its figures are written in.
    pub unit: Unit,
}

/// What the figures of a column or an axis are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// They are words; a figure among them names its own unit.
    Words,
    /// Plain numbers.
    One,
    /// Seconds.
    Seconds,
    /// Thousandths of a second.
    Milliseconds,
    /// Millions of bytes.
    Megabytes,
}

/// A cell of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Cell {
    /// What it says.
    pub value: Value,
    /// What a reader should know of it.
    pub mark: Option<Mark>,
}

/// What a reader should know of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// The lag of the load generator is over a tenth of it.
    GeneratorBound,
}

/// What a cell says.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Words.
    Text(String),
    /// A number of things.
    Count(u64),
    /// A number of things a second.
    Rate(f64),
    /// A time, in seconds.
    Duration(f64),
    /// A factor.
    Ratio(f64),
    /// A response time, in microseconds: what a histogram holds.
    Response(u64),
    /// An amount of bytes.
    Bytes(u64),
    /// From the least of several to the most.
    Range(Box<Value>, Box<Value>),
    /// What was offered and what was achieved of it, a second.
    Achieved {
        /// A number of things a second.
        offered: f64,
        /// A number of things a second.
        achieved: f64,
    },
    /// Different values and how often each came; a single one is not repeated.
    Tally(Vec<(Value, u64)>),
    /// Amounts by name.
    Breakdown(Vec<(String, u64)>),
    /// Files by name, with their sizes in bytes; and how many other snapshots left files of other names.
    Files(Vec<(String, u64)>, u64),
    /// A range among windows, and how many of them were lower than the figure beside it.
    Placed {
        /// The range.
        among: Box<Value>,
        /// Windows that were lower.
        below: u64,
        /// Windows in all.
        of: u64,
    },
    /// What came to pass for some of them, and for how many it did not.
    Partly {
        /// A value of those for which it did; nothing where it did for none.
        value: Option<Box<Value>>,
        /// So many for which it did not.
        without: u64,
        /// So many in all.
        of: u64,
    },
    /// Too few operations for such a figure.
    Few,
    /// Later than every time: so many were not served.
    NoAnswer,
    /// There is no such thing here.
    NotApplicable,
    /// The results file does not say.
    Unknown,
}

/// Lines over one axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// What its points lie along.
    pub x: Axis,
    /// What they measure.
    pub y: Axis,
    /// Its lines.
    pub series: Vec<Series>,
}

/// An axis of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// What it is.
    pub title: String,
    /// What its numbers are in.
    pub unit: Unit,
}

/// A line of a chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What it is of.
    pub label: String,
    /// Ascending along x, in the units of the axes.
    pub points: Vec<Point>,
    /// Where along x the stretch of the last point ends.
    pub end: f64,
}

/// A point of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Where it lies along x.
    pub x: f64,
    /// Its value; `None` where there is no figure.
    pub y: Option<f64>,
}

impl Column {
    /// A column of words.
    #[must_use]
    pub fn words(title: &str) -> Self {
        Self { title: title.to_owned(), unit: Unit::Words }
    }

    /// A column of figures in a unit.
    #[must_use]
    pub fn of(title: &str, unit: Unit) -> Self {
        Self { title: title.to_owned(), unit }
    }
}

impl Unit {
    /// Whether it is one of figures, which stand to the right.
    #[must_use]
    pub fn is_numeric(self) -> bool {
        match self {
            Self::Words => false,
            Self::One | Self::Seconds | Self::Milliseconds | Self::Megabytes => true,
        }
    }
}

impl Value {
    /// Words.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// The least and the most of some figures; there is nothing to say of none.
    pub fn range(figures: impl IntoIterator<Item = f64>, of: impl Fn(f64) -> Self) -> Self {
        let figures: Vec<f64> = figures.into_iter().collect();
        let least = figures.iter().copied().reduce(f64::min);
        let most = figures.iter().copied().reduce(f64::max);
        match (least, most) {
            (Some(least), Some(most)) if least < most => Self::Range(of(least).into(), of(most).into()),
            (_, Some(one)) => of(one),
            (_, None) => Self::NotApplicable,
        }
    }

    /// The same of counts.
    pub fn counts(counts: impl IntoIterator<Item = u64>, of: impl Fn(u64) -> Self) -> Self {
        let counts: Vec<u64> = counts.into_iter().collect();
        match (counts.iter().min(), counts.iter().max()) {
            (Some(&least), Some(&most)) if least < most => Self::Range(of(least).into(), of(most).into()),
            (Some(&one), _) => of(one),
            (None, _) => Self::NotApplicable,
        }
    }

    /// How often each of some values comes, in the order in which they first do.
    pub fn tally(values: impl IntoIterator<Item = Self>) -> Self {
        let mut tally: Vec<(Self, u64)> = Vec::new();
        for value in values {
            match tally.iter_mut().find(|(known, _)| *known == value) {
                Some((_, times)) => *times += 1,
                None => tally.push((value, 1)),
            }
        }
        match tally.len() {
            0 => Self::NotApplicable,
            1 => tally.remove(0).0,
            _ => Self::Tally(tally),
        }
    }

    /// Whether it is a figure, which a mark can be about.
    #[must_use]
    pub fn is_figure(&self) -> bool {
        match self {
            Self::Count(_)
            | Self::Rate(_)
            | Self::Duration(_)
            | Self::Ratio(_)
            | Self::Response(_)
            | Self::Bytes(_)
            | Self::Range(..)
            | Self::Achieved { .. }
            | Self::Placed { .. } => true,
            Self::Text(_)
            | Self::Tally(_)
            | Self::Breakdown(_)
            | Self::Files(..)
            | Self::Partly { .. }
            | Self::Few
            | Self::NoAnswer
            | Self::NotApplicable
            | Self::Unknown => false,
        }
    }
}

impl From<Value> for Cell {
    fn from(value: Value) -> Self {
        Self { value, mark: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_figures_are_a_range_and_several_values_a_tally() {
        let seconds = |figures: &[f64]| Value::range(figures.iter().copied(), Value::Duration);
        let range = Value::Range(Value::Duration(0.25).into(), Value::Duration(1.0).into());
        for (figures, value) in [
            (&[][..], Value::NotApplicable),
            (&[2.0], Value::Duration(2.0)),
            (&[2.0, 2.0], Value::Duration(2.0)),
            (&[0.5, 0.25, 1.0], range),
        ] {
            assert_eq!(seconds(figures), value);
        }
        let counted = Value::Range(Value::Count(1).into(), Value::Count(3).into());
        assert_eq!(Value::counts([3, 1, 2], Value::Count), counted);
        assert_eq!(Value::counts([], Value::Bytes), Value::NotApplicable);

        let texts = |texts: &[&str]| Value::tally(texts.iter().map(|text| Value::text(*text)));
        assert_eq!(texts(&[]), Value::NotApplicable);
        assert_eq!(texts(&["exact", "exact"]), Value::text("exact"));
        let several = vec![(Value::text("exact"), 2), (Value::text("stale"), 1)];
        assert_eq!(texts(&["exact", "stale", "exact"]), Value::Tally(several));
    }
}

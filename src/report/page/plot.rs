//! What a picture shows, before it is drawn: axes, bands, lines and dots. How it is drawn is the business of `draw`.

/// A picture with one pair of axes.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// What stands above it.
    pub title: String,
    /// From left to right.
    pub x: Axis,
    /// From below to above.
    pub y: Axis,
    /// Stretches along x that are shaded.
    pub bands: Vec<Band>,
    /// In the order in which they are drawn.
    pub lines: Vec<Line>,
    /// Drawn above the lines.
    pub dots: Vec<Dots>,
    /// A value along x that a line marks from below to above.
    pub reference: Option<f64>,
}

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What it is, with its unit.
    pub title: String,
    /// How values lie along it.
    pub scale: Scale,
    /// Its ends, in values.
    pub range: (f64, f64),
}

/// How values lie along an axis.
#[derive(Debug, Clone, PartialEq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By their logarithm; what is not above 0 lies at the lower end.
    Log,
    /// Percentiles, as a share from 0 to 1: by the logarithm of what is beyond them, as `HdrHistogram` plots them.
    Percentile,
    /// Rows with names, the first of which is at the top: row n lies at n.
    Rows(Vec<String>),
}

/// A colour, by what it stands for. A page has other colours for them in the light than in the dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ink {
    /// The first of what is compared, and the journal mode `delete`.
    First,
    /// The second, and the journal mode `wal`.
    Second,
    /// A third.
    Third,
    /// What is beside the matter.
    Faint,
}

/// How a line runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stroke {
    /// Without a gap.
    Solid,
    /// With gaps: told apart without its colour.
    Dashed,
}

/// A line.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What it is of; lines of one label have one entry in the legend.
    pub label: String,
    /// Its colour.
    pub ink: Ink,
    /// How it runs.
    pub stroke: Stroke,
    /// Ascending along x; it is interrupted where there is no value.
    pub points: Vec<(f64, Option<f64>)>,
}

/// Dots of one kind.
#[derive(Debug, Clone, PartialEq)]
pub struct Dots {
    /// What they are of.
    pub label: String,
    /// Their colour.
    pub ink: Ink,
    /// Where they lie.
    pub points: Vec<(f64, f64)>,
}

/// A stretch along x, over the whole height or over one row.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// What it means.
    pub label: String,
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// The row that it is of; all of the height where none.
    pub row: Option<usize>,
}

impl Axis {
    /// An axis of even distances from 0 to the largest value.
    pub fn linear(title: &str, values: impl Iterator<Item = f64>) -> Self {
        let most = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
        let most = if most > 0.0 { most * 1.05 } else { 1.0 };
        Self { title: title.to_owned(), scale: Scale::Linear, range: (0.0, most) }
    }

    /// An axis of powers of ten that has room for all values above 0.
    pub fn log(title: &str, values: impl Iterator<Item = f64>) -> Self {
        let known = || f64::INFINITY;
        let (mut least, mut most) = (known(), 0.0_f64);
        for value in values.filter(|value| *value > 0.0 && value.is_finite()) {
            (least, most) = (least.min(value), most.max(value));
        }
        if most == 0.0 {
            (least, most) = (0.1, 1.0);
        }
        let (low, mut high) = (least.log10().floor(), most.log10().ceil());
        if low >= high {
            high = low + 1.0;
        }
        Self { title: title.to_owned(), scale: Scale::Log, range: (10_f64.powf(low), 10_f64.powf(high)) }
    }

    /// An axis of rows.
    pub fn rows(names: Vec<String>) -> Self {
        let count = names.len() as f64;
        Self { title: String::new(), scale: Scale::Rows(names), range: (-0.5, count - 0.5) }
    }

    /// An axis of percentiles up to the largest that so many operations have.
    pub fn percentiles(operations: u64) -> Self {
        let beyond = (operations.max(100) as f64).recip();
        Self { title: "percentile".to_owned(), scale: Scale::Percentile, range: (0.0, 1.0 - beyond) }
    }

    /// Where a value lies, as a number on an even axis.
    pub fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(self.range.0).log10(),
            Scale::Percentile => -(1.0 - value.min(self.range.1)).log10(),
            // The first row is at the top.
            Scale::Rows(_) => -value,
        }
    }

    /// Its ends, as numbers on an even axis.
    pub fn ends(&self) -> (f64, f64) {
        let (from, to) = (self.place(self.range.0), self.place(self.range.1));
        (from.min(to), from.max(to))
    }

    /// What stands beside a mark at a place on the even axis; empty where nothing should.
    pub fn label(&self, place: f64) -> String {
        match &self.scale {
            Scale::Linear => trimmed(place),
            Scale::Log => trimmed(10_f64.powf(place)),
            Scale::Percentile if (place - place.round()).abs() > 0.01 => String::new(),
            Scale::Percentile => {
                let beyond = 10_f64.powf(-place.round());
                format!("{} %", trimmed((1.0 - beyond) * 100.0))
            }
            Scale::Rows(names) => {
                let row = -place;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "a row of the few there are"
                )]
                let name =
                    ((row - row.round()).abs() < 0.01).then(|| names.get(row.round().max(0.0) as usize)).flatten();
                name.cloned().unwrap_or_default()
            }
        }
    }
}

/// A number with as many digits as it needs.
fn trimmed(number: f64) -> String {
    let text = if number.abs() >= 1_000.0 { format!("{number:.0}") } else { format!("{number:.4}") };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_lie_where_they_should() {
        let log = Axis::log("ms", [0.03, 0.0, 47.0].into_iter());
        assert_eq!(log.range, (0.01, 100.0));
        assert!((log.place(1.0) - 0.0).abs() < 1e-9 && (log.place(0.0) + 2.0).abs() < 1e-9);
        assert_eq!((log.label(-2.0).as_str(), log.label(2.0).as_str()), ("0.01", "100"));
        assert_eq!(Axis::log("ms", std::iter::empty()).range, (0.1, 1.0));
        assert_eq!(Axis::log("ms", [10.0].into_iter()).range, (10.0, 100.0));
        let percentiles = Axis::percentiles(10_000);
        assert!((percentiles.place(0.99) - 2.0).abs() < 1e-9 && (percentiles.place(1.0) - 4.0).abs() < 1e-9);
        assert_eq!(
            [0.0, 1.0, 2.0, 3.0, 1.5].map(|place| percentiles.label(place)),
            ["0 %", "90 %", "99 %", "99.9 %", ""]
        );
        let rows = Axis::rows(vec!["cp".to_owned(), "backup".to_owned()]);
        assert_eq!(rows.ends(), (-1.5, 0.5));
        assert_eq!([-0.0, -1.0, -0.5].map(|place| rows.label(place)), ["cp", "backup", ""]);
        assert_eq!(Axis::linear("s", [2.0, 20.0].into_iter()).range, (0.0, 21.0));
    }
}

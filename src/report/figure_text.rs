//! How a figure is written: the one place where values become text, for every format.

use std::fmt::Write as _;

use super::figures::{Cell, Column, Mark, Unit, Value};
use crate::analysis::small_number;

/// A heading with its unit.
pub fn heading(column: &Column) -> String {
    match suffix(column.unit) {
        None => column.title.clone(),
        Some(unit) => format!("{}, {unit}", column.title),
    }
}

/// A cell of a column of this unit.
pub fn cell(cell: &Cell, unit: Unit) -> String {
    let text = value(&cell.value, unit);
    match cell.mark {
        None => text,
        Some(Mark::GeneratorBound) => format!("{text} *"),
    }
}

/// A value where the unit stands elsewhere already; among words it names its own.
pub fn value(value: &Value, unit: Unit) -> String {
    let nested = |inner: &Value| self::value(inner, unit);
    match value {
        Value::Text(text) => text.clone(),
        Value::Count(number) => count(*number as f64),
        Value::Rate(rate) => count(*rate),
        Value::Duration(time_s) => match unit {
            Unit::Milliseconds => number(time_s * 1e3),
            Unit::Seconds => number(*time_s),
            Unit::Words | Unit::One | Unit::Megabytes => format!("{} s", number(*time_s)),
        },
        Value::Response(time_us) => match unit {
            Unit::Milliseconds => number(*time_us as f64 / 1e3),
            Unit::Seconds => number(*time_us as f64 / 1e6),
            Unit::Words | Unit::One | Unit::Megabytes => response(Some(*time_us)),
        },
        Value::Ratio(factor) => number(*factor),
        Value::Bytes(bytes) => match unit {
            Unit::Megabytes => number(*bytes as f64 / 1e6),
            Unit::Words | Unit::One | Unit::Seconds | Unit::Milliseconds => megabytes(*bytes),
        },
        Value::Range(least, most) => range(&nested(least), &nested(most)),
        Value::Achieved { offered, achieved } => format!("{} / {}", count(*offered), count(*achieved)),
        Value::Tally(values) => {
            // A value with a comma in it would not be told from the next.
            let texts: Vec<_> = values.iter().map(|(value, times)| (nested(value), times)).collect();
            let between = if texts.iter().any(|(text, _)| text.contains(',')) { "; " } else { ", " };
            // Nor would a number that it begins with be told from how often it came.
            let has_number = texts.iter().any(|(text, _)| text.starts_with(|first: char| first.is_ascii_digit()));
            let by = if has_number { " x " } else { " " };
            texts.iter().map(|(text, times)| format!("{times}{by}{text}")).collect::<Vec<_>>().join(between)
        }
        Value::Breakdown(amounts) => amounts
            .iter()
            .map(|(name, times)| format!("{name} {}", count(*times as f64)))
            .collect::<Vec<_>>()
            .join(", "),
        Value::Files(files, others) => {
            let names: Vec<_> = files.iter().map(|(name, bytes)| format!("{name} {}", megabytes(*bytes))).collect();
            let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            if *others == 0 { names } else { format!("{names}; {others} left others") }
        }
        Value::Placed { among, below, of } => format!("{}; {below} of {of} lower", nested(among)),
        Value::Partly { value: Some(value), without: 0, .. } => nested(value),
        Value::Partly { value: Some(value), without, of } => format!("{}; {without} of {of} did not", nested(value)),
        Value::Partly { value: None, .. } => "did not".to_owned(),
        Value::Few => "few".to_owned(),
        Value::NoAnswer => "no answer".to_owned(),
        Value::NotApplicable => "-".to_owned(),
        Value::Unknown => "unknown".to_owned(),
    }
}

/// A unit as it stands behind a heading.
fn suffix(unit: Unit) -> Option<&'static str> {
    match unit {
        Unit::Words | Unit::One => None,
        Unit::Seconds => Some("s"),
        Unit::Milliseconds => Some("ms"),
        Unit::Megabytes => Some("MB"),
    }
}

/// Two texts, or the one that both are.
pub fn range(least: &str, most: &str) -> String {
    if least == most { most.to_owned() } else { format!("{least} to {most}") }
}

/// A size in words.
fn megabytes(bytes: u64) -> String {
    if bytes == 0 { "empty".to_owned() } else { format!("{} MB", number(bytes as f64 / 1e6)) }
}

/// A count with its thousands apart.
pub fn count(value: f64) -> String {
    if value.abs() < 10.0 && value.fract() != 0.0 {
        return number(value);
    }
    let digits = format!("{:.0}", value.abs());
    let mut text = String::from(if value < 0.0 { "-" } else { "" });
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Three significant digits; two below 0.1.
pub fn number(value: f64) -> String {
    // A sum of nothing is -0 in floating point.
    let value = value + 0.0;
    let decimals = match value.abs() {
        0.0 => 0,
        size if size < 0.1 => return small_number(value),
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

/// A time in microseconds, as milliseconds with their unit; none is later than every time.
pub fn response(time_us: Option<u64>) -> String {
    time_us.map_or_else(|| "no answer".to_owned(), |time_us| format!("{} ms", number(time_us as f64 / 1e3)))
}

/// What a scenario says, as a sentence.
pub fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.ends_with(['.', '?', '!']) { text.to_owned() } else { format!("{text}.") }
}

/// The beginning of a text: at most so many characters.
pub fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        text.to_owned()
    } else {
        text.chars().take(most.saturating_sub(3)).chain("...".chars()).collect()
    }
}

/// The first line of a text.
pub fn first_line(text: &str) -> &str {
    text.trim().lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_counts_their_thousands() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (0.000_000_4, "<0.000001"),
            (-0.000_000_4, ">-0.000001"),
            (0.000_52, "0.00052"),
            (0.001_66, "0.0017"),
            (0.005, "0.005"),
            (0.0123, "0.012"),
            (0.0999, "0.100"),
            (0.1, "0.10"),
            (0.5, "0.50"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1234.0, "1234"),
            (123_456.0, "123,456"),
            (-1.234, "-1.23"),
            (-951_515.03, "-951,515"),
        ] {
            assert_eq!(number(value), text);
        }
        for (value, text) in [
            (0.0, "0"),
            (0.5, "0.50"),
            (999.0, "999"),
            (1e3, "1,000"),
            (17_000.0, "17,000"),
            (1e6, "1,000,000"),
            (-0.5, "-0.50"),
            (-1e3, "-1,000"),
        ] {
            assert_eq!(count(value), text);
        }
        assert_eq!(response(Some(1_500)), "1.50 ms");
        assert_eq!(response(None), "no answer");
    }

    #[test]
    fn every_value_has_its_words() {
        let seconds = |least, most| Value::Range(Value::Duration(least).into(), Value::Duration(most).into());
        let text = Value::text;
        for (value, unit, words) in [
            (text("wal"), Unit::Words, "wal"),
            (Value::Count(1_234), Unit::One, "1,234"),
            (Value::Rate(0.36), Unit::One, "0.36"),
            (Value::Rate(8_000.4), Unit::One, "8,000"),
            (Value::Duration(0.025), Unit::Seconds, "0.025"),
            (Value::Duration(0.025), Unit::Milliseconds, "25.0"),
            (Value::Duration(0.025), Unit::Words, "0.025 s"),
            (Value::Response(3_275), Unit::Milliseconds, "3.27"),
            (Value::Response(3_276), Unit::Milliseconds, "3.28"),
            (Value::Response(3_276_000), Unit::Seconds, "3.28"),
            (Value::Response(3_276), Unit::Words, "3.28 ms"),
            (Value::Ratio(0.5), Unit::One, "0.50"),
            (Value::Bytes(0), Unit::Megabytes, "0"),
            (Value::Bytes(4_000_000), Unit::Megabytes, "4.00"),
            (Value::Bytes(4_000_000), Unit::Words, "4.00 MB"),
            (seconds(0.5, 1.0), Unit::Seconds, "0.50 to 1.00"),
            (seconds(0.5001, 0.5002), Unit::Seconds, "0.50"),
            (Value::Achieved { offered: 1_000.0, achieved: 99.5 }, Unit::One, "1,000 / 100"),
            (Value::Tally(vec![(text("exact"), 2), (text("stale"), 1)]), Unit::Words, "2 exact, 1 stale"),
            (Value::Tally(vec![(text("1 kept"), 2), (text("none"), 1)]), Unit::Words, "2 x 1 kept, 1 x none"),
            (Value::Tally(vec![(text("a, b"), 2), (text("c"), 1)]), Unit::Words, "2 a, b; 1 c"),
            (
                Value::Breakdown(vec![("busy".into(), 3), ("dropped".into(), 2_000)]),
                Unit::Words,
                "busy 3, dropped 2,000",
            ),
            (
                Value::Files(vec![("a".into(), 2_000_000), ("a-wal".into(), 0)], 0),
                Unit::Words,
                "a 2.00 MB, a-wal empty",
            ),
            (Value::Files(vec![], 2), Unit::Words, "none; 2 left others"),
            (
                Value::Placed { among: seconds(0.001, 0.002).into(), below: 3, of: 4 },
                Unit::Milliseconds,
                "1.00 to 2.00; 3 of 4 lower",
            ),
            (Value::Partly { value: Some(Value::Duration(1.0).into()), without: 0, of: 2 }, Unit::Seconds, "1.00"),
            (
                Value::Partly { value: Some(Value::Duration(1.0).into()), without: 1, of: 2 },
                Unit::Seconds,
                "1.00; 1 of 2 did not",
            ),
            (Value::Partly { value: None, without: 2, of: 2 }, Unit::Seconds, "did not"),
            (Value::Few, Unit::Milliseconds, "few"),
            (Value::NoAnswer, Unit::Milliseconds, "no answer"),
            (Value::NotApplicable, Unit::Milliseconds, "-"),
            (Value::Unknown, Unit::Milliseconds, "unknown"),
        ] {
            assert_eq!(super::value(&value, unit), words);
        }
        let marked = Cell { value: Value::Duration(0.5), mark: Some(Mark::GeneratorBound) };
        assert_eq!(cell(&marked, Unit::Milliseconds), "500 *");
    }

    #[test]
    fn a_heading_names_its_unit() {
        for (unit, words) in [
            (Unit::Words, "copy"),
            (Unit::One, "copy"),
            (Unit::Seconds, "copy, s"),
            (Unit::Milliseconds, "copy, ms"),
            (Unit::Megabytes, "copy, MB"),
        ] {
            assert_eq!(heading(&Column::of("copy", unit)), words);
        }
    }

    #[test]
    fn a_long_text_is_cut_short() {
        assert_eq!(shorten("abcdef", 6), "abcdef");
        assert_eq!(shorten("abcdefg", 6), "abc...");
        assert_eq!(first_line("\n one\ntwo"), "one");
        assert_eq!((sentence(" why? ").as_str(), sentence("why").as_str()), ("why?", "why."));
    }
}

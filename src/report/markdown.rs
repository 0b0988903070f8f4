//! The report for an issue: GitHub's Markdown.

use super::{
    figure_text,
    figures::{Block, Table},
    seconds,
};

/// Renders blocks as Markdown.
#[must_use]
pub fn render(blocks: &[Block]) -> String {
    let mut parts = Vec::new();
    for block in blocks {
        parts.push(match block {
            Block::Heading(level, text) => format!("{} {}", "#".repeat(usize::from(*level)), escape(text)),
            Block::Paragraph(text) => escape(text),
            Block::List(sentences) => {
                sentences.iter().map(|sentence| format!("- {}", escape(sentence))).collect::<Vec<_>>().join("\n")
            }
            Block::Table(table) => draw(table),
            Block::Chart(chart) => draw(&seconds::as_table(chart)),
        });
    }
    parts.join("\n\n") + "\n"
}

fn draw(table: &Table) -> String {
    let line = |cells: &mut dyn Iterator<Item = String>| format!("| {} |", cells.collect::<Vec<_>>().join(" | "));
    let rule = |is_numeric| if is_numeric { "---:" } else { "---" };
    let mut lines = vec![
        line(&mut table.columns.iter().map(|column| escape(&figure_text::heading(column)))),
        line(&mut table.columns.iter().map(|column| rule(column.unit.is_numeric()).to_owned())),
    ];
    lines.extend(table.rows.iter().map(|row| {
        let cells = row.iter().zip(&table.columns);
        line(&mut cells.map(|(cell, column)| escape(&figure_text::cell(cell, column.unit))))
    }));
    lines.join("\n")
}

/// Keeps text from the outside (an error message, a scenario's words) from becoming markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => escaped.push(' '),
            '|' | '<' | '>' | '*' | '`' | '[' | ']' | '\\' | '#' => {
                escaped.push('\\');
                escaped.push(character);
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::figures::{Cell, Column, Mark, Unit, Value};

    #[test]
    fn cells_cannot_break_the_table() {
        let marked = Cell { value: Value::Duration(0.5), mark: Some(Mark::GeneratorBound) };
        let table = Table {
            columns: vec![Column::words("error"), Column::of("p99", Unit::Milliseconds)],
            rows: vec![vec![Value::text("a|b\nc").into(), marked]],
        };
        let drawn = "| error | p99, ms |\n| --- | ---: |\n| a\\|b c | 500 \\* |\n";
        assert_eq!(render(&[Block::Table(table)]), drawn);
    }
}

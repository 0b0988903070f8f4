//! The report for a terminal.

use comfy_table::{CellAlignment, ContentArrangement, presets::NOTHING};

use super::{
    figure_text,
    figures::{Block, Table},
    seconds,
};

/// Width of the text, and of a table where there is no terminal.
const COLUMNS: u16 = 120;

/// Renders blocks as plain text; tables are as wide as the terminal allows.
#[must_use]
pub fn render(blocks: &[Block]) -> String {
    let mut parts = Vec::new();
    for block in blocks {
        parts.push(match block {
            Block::Heading(1, text) => format!("{text}\n{}", "=".repeat(text.chars().count())),
            Block::Heading(_, text) => format!("{text}\n{}", "-".repeat(text.chars().count())),
            Block::Paragraph(text) => wrap(text, ""),
            Block::List(sentences) => {
                sentences.iter().map(|sentence| wrap(&format!("* {sentence}"), "  ")).collect::<Vec<_>>().join("\n")
            }
            Block::Table(table) => draw(table),
            Block::Chart(chart) => draw(&seconds::as_table(chart)),
        });
    }
    parts.join("\n\n") + "\n"
}

/// Breaks a text between words into lines of at most [`COLUMNS`]; all but the first are indented.
fn wrap(text: &str, indent: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        let fits = line.chars().count() + 1 + word.chars().count() <= usize::from(COLUMNS);
        if line.is_empty() {
            line.push_str(word);
        } else if fits {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(format!("{indent}{word}"));
        }
    }
    lines.join("\n")
}

fn draw(table: &Table) -> String {
    let mut drawn = comfy_table::Table::new();
    drawn.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if !drawn.is_tty() {
        drawn.set_width(COLUMNS);
    }
    drawn.set_header(table.columns.iter().map(figure_text::heading));
    drawn.add_rows(table.rows.iter().map(|row| {
        let cells = row.iter().zip(&table.columns);
        cells.map(|(cell, column)| figure_text::cell(cell, column.unit)).collect::<Vec<_>>()
    }));
    for (column, drawn) in table.columns.iter().zip(drawn.column_iter_mut()) {
        drawn.set_cell_alignment(if column.unit.is_numeric() { CellAlignment::Right } else { CellAlignment::Left });
    }
    drawn.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        let text = "word ".repeat(60);
        let wrapped = wrap(text.trim_end(), "  ");
        assert!(wrapped.lines().count() > 2 && wrapped.lines().all(|line| line.chars().count() <= 120));
        assert_eq!(wrapped.split_whitespace().count(), 60);
        let long = "x".repeat(200);
        assert_eq!(wrap(&long, ""), long, "a word is never broken");
    }
}

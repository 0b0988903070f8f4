//! The report for a terminal.

use comfy_table::{CellAlignment, ContentArrangement, presets::NOTHING};

use super::{
    figure_text,
    figures::{Block, Table},
    notes::Note,
    seconds,
};

/// Width of the text, and of a table where there is no terminal.
const COLUMNS: u16 = 120;

/// Renders blocks as plain text; tables are as wide as the terminal allows.
#[must_use]
pub fn render(blocks: &[Block]) -> String {
    let mut explained = Vec::new();
    parts(blocks, &mut explained).join("\n\n") + "\n"
}

/// Each block as text; a note is explained where it stands first.
fn parts<'a>(blocks: &'a [Block], explained: &mut Vec<&'a Note>) -> Vec<String> {
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
            Block::Note(note) if note.explanation.is_empty() || explained.contains(&note) => format!("{}:", note.title),
            Block::Note(note) => {
                explained.push(note);
                wrap(&format!("{}. {}", note.title, note.explanation), "")
            }
            Block::Details(title, blocks) => {
                let title = format!("{title}\n{}", "-".repeat(title.chars().count()));
                [vec![title], self::parts(blocks, explained)].concat().join("\n\n")
            }
        });
    }
    parts
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
    fn a_note_is_explained_once() {
        let note = |title, explanation| Block::Note(Note::new(title, explanation));
        let times = || note("Times", "They are in seconds.");
        let inner = Block::Details("More".to_owned(), vec![times()]);
        let drawn = render(&[times(), inner, note("Sizes", "")]);
        assert_eq!(drawn, "Times. They are in seconds.\n\nMore\n----\n\nTimes:\n\nSizes:\n");
    }

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

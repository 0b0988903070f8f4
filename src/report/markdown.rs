//! The report for an issue: GitHub's Markdown.

use super::{Block, Table};

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
        });
    }
    parts.join("\n\n") + "\n"
}

fn draw(table: &Table) -> String {
    let line = |cells: &mut dyn Iterator<Item = String>| format!("| {} |", cells.collect::<Vec<_>>().join(" | "));
    let mut lines = vec![
        line(&mut table.columns.iter().map(|column| escape(&column.title))),
        line(&mut table.columns.iter().map(|column| if column.numbers { "---:" } else { "---" }.to_owned())),
    ];
    lines.extend(table.rows.iter().map(|row| line(&mut row.iter().map(|cell| escape(cell)))));
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
    use crate::report::Column;

    #[test]
    fn cells_cannot_break_the_table() {
        let table = Table {
            columns: vec![
                Column { title: "error".into(), numbers: false },
                Column { title: "n".into(), numbers: true },
            ],
            rows: vec![vec!["a|b\nc".into(), "1".into()]],
        };
        assert_eq!(render(&[Block::Table(table)]), "| error | n |\n| --- | ---: |\n| a\\|b c | 1 |\n");
    }
}

//! The report for a terminal.

use comfy_table::{CellAlignment, ContentArrangement, presets::NOTHING};

use super::{Block, Table};

/// Renders blocks as plain text, as wide as the terminal allows.
#[must_use]
pub fn render(blocks: &[Block]) -> String {
    let mut parts = Vec::new();
    for block in blocks {
        parts.push(match block {
            Block::Heading(1, text) => format!("{text}\n{}", "=".repeat(text.chars().count())),
            Block::Heading(_, text) => format!("{text}\n{}", "-".repeat(text.chars().count())),
            Block::Paragraph(text) => text.clone(),
            Block::List(sentences) => {
                sentences.iter().map(|sentence| format!("* {sentence}")).collect::<Vec<_>>().join("\n")
            }
            Block::Table(table) => draw(table),
        });
    }
    parts.join("\n\n") + "\n"
}

fn draw(table: &Table) -> String {
    let mut drawn = comfy_table::Table::new();
    drawn.load_style(NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    drawn.set_header(table.columns.iter().map(|column| &column.title));
    drawn.add_rows(&table.rows);
    for (column, drawn) in table.columns.iter().zip(drawn.column_iter_mut()) {
        drawn.set_cell_alignment(if column.numbers { CellAlignment::Right } else { CellAlignment::Left });
    }
    drawn.trim_fmt()
}

//! The report for an issue: GitHub's Markdown.

use super::{
    figure_text,
    figures::{Block, Table},
    notes::Note,
    seconds,
};

/// Characters that an issue or a comment of GitHub holds.
const CHARACTERS_MOST: usize = 65_536;

/// Renders blocks as Markdown. What is too long for an issue loses its longest details, and says so.
#[must_use]
pub fn render(blocks: &[Block]) -> String {
    let mut blocks = blocks.to_vec();
    loop {
        let rendered = render_all(&blocks);
        if rendered.chars().count() <= CHARACTERS_MOST || !leave_out_longest(&mut blocks) {
            return rendered;
        }
    }
}

fn render_all(blocks: &[Block]) -> String {
    let mut footnotes = Vec::new();
    let mut parts = parts(blocks, &mut footnotes);
    let footnote = |(number, note): (usize, &&Note)| format!("[^{number}]: {}", escape(&note.explanation));
    parts.extend((1..).zip(&footnotes).map(footnote));
    parts.join("\n\n") + "\n"
}

/// Each block as Markdown; what has to be explained becomes a footnote.
fn parts<'a>(blocks: &'a [Block], footnotes: &mut Vec<&'a Note>) -> Vec<String> {
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
            Block::Note(note) if note.explanation.is_empty() => format!("**{}**", escape(&note.title)),
            Block::Note(note) => format!("**{}** [^{}]", escape(&note.title), number(note, footnotes)),
            Block::Details(title, blocks) => {
                let inner = self::parts(blocks, footnotes).join("\n\n");
                format!("<details>\n<summary>{}</summary>\n\n{inner}\n\n</details>", in_html(title))
            }
        });
    }
    parts
}

/// Which footnote a note is, from 1.
fn number<'a>(note: &'a Note, footnotes: &mut Vec<&'a Note>) -> usize {
    let place = footnotes.iter().position(|known| *known == note);
    place.unwrap_or_else(|| {
        footnotes.push(note);
        footnotes.len() - 1
    }) + 1
}

/// Leaves out the details that take most room; false where there are none any more.
fn leave_out_longest(blocks: &mut [Block]) -> bool {
    let length = |block: &Block| match block {
        Block::Details(_, blocks) if !is_left_out(blocks) => render_all(blocks).len(),
        Block::Details(..)
        | Block::Heading(..)
        | Block::Paragraph(_)
        | Block::List(_)
        | Block::Table(_)
        | Block::Chart(_)
        | Block::Note(_) => 0,
    };
    match blocks.iter_mut().max_by_key(|block| length(block)) {
        Some(Block::Details(_, blocks)) if !is_left_out(blocks) => {
            *blocks = vec![Block::Paragraph(LEFT_OUT.to_owned())];
            true
        }
        _ => false,
    }
}

/// What stands where details were too long.
const LEFT_OUT: &str = "Left out here, where an issue has no room for it: journalbench report --details prints it.";

fn is_left_out(blocks: &[Block]) -> bool {
    matches!(blocks, [Block::Paragraph(text)] if text == LEFT_OUT)
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

/// Text in an element of HTML, where Markdown has no say.
fn in_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Keeps text from the outside (an error message, a scenario's words) from becoming markup.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut before = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let is_in_word = |beside: Option<char>| beside.is_some_and(char::is_alphanumeric);
        match character {
            '\n' | '\r' => escaped.push(' '),
            // Within a word it is no markup, and what is copied from a report is mostly a name.
            '_' if is_in_word(before) && is_in_word(characters.peek().copied()) => escaped.push('_'),
            '|' | '<' | '>' | '*' | '`' | '[' | ']' | '\\' | '#' | '_' | '~' | '&' => {
                escaped.push('\\');
                escaped.push(character);
            }
            _ => escaped.push(character),
        }
        before = Some(character);
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

    #[test]
    fn words_from_outside_are_no_markup() {
        for (words, expected) in [
            ("integrity_check of a_b.db", "integrity_check of a_b.db"),
            ("cp of /srv/__old__/_a_", "cp of /srv/\\_\\_old\\_\\_/\\_a\\_"),
            ("~~ok~~ &lt;b&gt;", "\\~\\~ok\\~\\~ \\&lt;b\\&gt;"),
        ] {
            assert_eq!(escape(words), expected);
        }
    }

    #[test]
    fn a_definition_is_one_footnote_however_often_it_is_needed() {
        let note = |title, explanation| Block::Note(Note::new(title, explanation));
        let times = || note("Times", "They are in seconds.");
        let inner = Block::Details("More <b>".to_owned(), vec![times(), note("Sizes", "")]);
        let expected = "**Times** [^1]\n\n<details>\n<summary>More &lt;b&gt;</summary>\n\n**Times** [^1]\n\n**Sizes**\n\n\
            </details>\n\n[^1]: They are in seconds.\n";
        assert_eq!(render(&[times(), inner]), expected);
    }

    #[test]
    fn what_an_issue_has_no_room_for_is_left_out_with_a_word() {
        let details = |length| Block::Details("More".to_owned(), vec![Block::Paragraph("x".repeat(length))]);
        let rendered = render(&[details(30_000), details(40_000), Block::Paragraph("end".to_owned())]);
        assert!(rendered.len() < 31_000 && rendered.matches(LEFT_OUT).count() == 1 && rendered.ends_with("end\n"));
        let nothing_to_leave_out = render(&[Block::Paragraph("x".repeat(70_000))]);
        assert!(nothing_to_leave_out.len() > 70_000);
    }
}

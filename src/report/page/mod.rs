//! The report for a browser: one file that asks for nothing else, readable in the light and in the dark, on a phone, with a
//! keyboard and with a screen reader. Behind every picture is the table of its figures.
//!
//! What the pictures show is found in `pictures`, drawn in `draw`; the tables are those of every other format.

mod draw;
mod pictures;
mod plot;
mod single;
mod verdicts;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{
    answer::{Answer, answer},
    context::Context,
    figure_text,
    figures::{Block, Table},
    glossary,
    notes::Note,
    of_group,
};
use crate::{
    printable::printable,
    report::{conditions, context::groups, decision, kill, power_loss, summary, thresholds},
    results::Results,
};
use pictures::{Picture, Section};
use plot::{Plot, Stroke};
pub use single::render as render_picture;

/// How the page looks.
const STYLE: &str = include_str!("style.css");

/// Renders a page of one run, or of several below each other.
#[must_use]
pub fn render(all: &[Results]) -> String {
    let title = match all {
        [one] => format!("journalbench: {}", one.scenario.name),
        several => format!("journalbench: {} runs", several.len()),
    };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (shown(&title)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    @if all.len() > 1 { (contents(all)) }
                    @if let Some(section) = pictures::of_sizes(all) { (of_section(&section, "sizes")) }
                    @for (number, results) in all.iter().enumerate() { (run(results, number)) }
                }
            }
        }
    };
    page.into_string()
}

/// Text from a file, without what could steer a display.
fn shown(text: &str) -> String {
    printable(text).into_owned()
}

fn contents(all: &[Results]) -> Markup {
    html! {
        h1 { "journalbench" }
        nav aria-label="Runs" {
            ul {
                @for (number, results) in all.iter().enumerate() {
                    li { a href=(format!("#run-{number}")) { (shown(&results.scenario.name)) ", begun " (shown(&results.started_at)) } }
                }
            }
        }
    }
}

fn run(results: &Results, number: usize) -> Markup {
    let Answer { setting, sentences, open, .. } = answer(results);
    let groups = groups(results);
    let mut explained = Vec::new();
    let strategies = glossary(results);
    let decision = decision::blocks(results);
    let thresholds = thresholds::section(results);
    let losses = [power_loss::blocks(results), kill::blocks(results)].concat();
    let of_groups: Vec<_> = groups.iter().map(|group| (group.title(), of_group(group, results))).collect();
    html! {
        article id=(format!("run-{number}")) {
            h1 { "journalbench: " (shown(&results.scenario.name)) }
            p { (shown(&Context::new(results).question())) }
            p { (shown(&setting)) }
            (list(&sentences, "answer"))
            (verdicts::section(results))
            (blocks(&losses, &mut explained))
            @if !open.is_empty() { h2 { "What is open" } (list(&open, "open")) }
            (blocks(&thresholds, &mut explained))
            @if !results.warnings.is_empty() {
                h2 { "Warnings" }
                (list(&results.warnings.iter().map(ToString::to_string).collect::<Vec<_>>(), "warnings"))
            }
            @for (place, section) in pictures::sections(results).iter().enumerate() {
                (of_section(section, &format!("run-{number}-{place}")))
            }
            h2 { "Every figure" }
            details { summary { "What does each strategy do?" } (blocks(&strategies, &mut explained)) }
            details { summary { "Which copy is exact? In words" } (list(&summary::sentences(results), "words")) }
            @if !decision.is_empty() {
                details { summary { "What was decided by which rule?" } (blocks(&decision, &mut explained)) }
            }
            @for (title, of_group) in &of_groups {
                @if of_groups.len() > 1 { h3 { (shown(title)) } }
                (blocks(of_group, &mut explained))
            }
            h2 { "How it was measured" }
            (list(&conditions::sentences(results), "conditions"))
        }
    }
}

fn list(sentences: &[String], class: &str) -> Markup {
    html! { ul class=(class) { @for sentence in sentences { li { (shown(sentence)) } } } }
}

/// Pictures beside each other, as many as there is room for.
fn of_section(section: &Section, id: &str) -> Markup {
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (shown(&section.title)) }
            p class="note" { (shown(&section.note)) }
            div class="pictures" {
                @for picture in &section.pictures { (of_picture(picture)) }
            }
        }
    }
}

fn of_picture(picture: &Picture) -> Markup {
    let described = format!("{}. The figures are in the table below.", picture.title);
    html! {
        figure {
            figcaption { strong { (shown(&picture.title)) } " " (shown(&picture.caption)) (legend(&picture.plots)) }
            div role="img" aria-label=(shown(&described)) {
                @for (plot, height) in &picture.plots {
                    @if let Some(svg) = draw::svg(plot, *height) { (PreEscaped(svg)) }
                }
            }
            details { summary { "Table" span class="hidden" { " of " (shown(&picture.title)) } } (table(&picture.table, &picture.title)) }
        }
    }
}

/// What lines, dots and bands mean: one entry a label.
fn legend(plots: &[(Plot, u32)]) -> Markup {
    let mut entries: Vec<(&str, &str, &str)> = Vec::new();
    for (plot, _) in plots {
        let lines = plot.lines.iter().map(|line| {
            let class = match line.stroke {
                Stroke::Solid => "line",
                Stroke::Dashed => "line dashed",
            };
            (line.label.as_str(), class, draw::variable(line.ink))
        });
        let dots = plot.dots.iter().map(|dots| (dots.label.as_str(), "dot", draw::variable(dots.ink)));
        let bands = plot.bands.iter().map(|band| (band.label.as_str(), "band", "shade"));
        for entry in lines.chain(dots).chain(bands) {
            if !entries.contains(&entry) {
                entries.push(entry);
            }
        }
    }
    html! {
        ul class="legend" {
            @for (label, class, variable) in entries {
                li { span class=(class) style=(format!("--ink: var(--{variable})")) {} (shown(label)) }
            }
        }
    }
}

/// Blocks as elements; a note is explained where it stands first.
fn blocks<'a>(all: &'a [Block], explained: &mut Vec<&'a Note>) -> Markup {
    let mut parts = Vec::new();
    let mut title = "Figures";
    for block in all {
        parts.push(match block {
            Block::Heading(1 | 2, text) => html! { h2 { (shown(text)) } },
            Block::Heading(_, text) => html! { h3 { (shown(text)) } },
            Block::Paragraph(text) => html! { p { (shown(text)) } },
            Block::List(sentences) => list(sentences, "figures"),
            Block::Table(found) => table(found, title),
            // It has its own picture.
            Block::Chart(_) => html! {},
            Block::Note(note) => {
                title = &note.title;
                let is_new = !note.explanation.is_empty() && !explained.contains(&note);
                if is_new {
                    explained.push(note);
                }
                html! { p class="note" { strong { (shown(&note.title)) "." } @if is_new { " " (shown(&note.explanation)) } } }
            }
            Block::Details(summary, inner) => {
                html! { details { summary { (shown(summary)) } (blocks(inner, explained)) } }
            }
        });
    }
    html! { @for part in parts { (part) } }
}

/// A table that is moved sideways by itself where a screen is narrow, by the keyboard as well.
fn table(table: &Table, title: &str) -> Markup {
    html! {
        div class="table" tabindex="0" role="region" aria-label=(shown(title)) {
            table {
                thead {
                    tr {
                        @for column in &table.columns {
                            th scope="col" class=(class(column.unit.is_numeric())) { (shown(&figure_text::heading(column))) }
                        }
                    }
                }
                tbody {
                    @for row in &table.rows {
                        tr {
                            @for (cell, column) in row.iter().zip(&table.columns) {
                                td class=(class(column.unit.is_numeric())) { (shown(&figure_text::cell(cell, column.unit))) }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn class(is_numeric: bool) -> &'static str {
    if is_numeric { "number" } else { "words" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{results::samples, run::derive, snapshot::Strategy, sqlite::JournalMode};

    #[test]
    fn a_page_asks_for_nothing_and_escapes_what_it_shows() {
        let mut trial = samples::trial(JournalMode::Wal, Strategy::Cp);
        trial.id = "<script>alert(1)</script>".to_owned();
        let mut results = samples::results(vec![trial, samples::trial(JournalMode::Delete, Strategy::VacuumInto)]);
        results.scenario = samples::scenario(&["why=<b>\u{202e}"]);
        derive(&mut results);
        for all in [vec![results.clone()], vec![results.clone(), samples::of_before(&results)], Vec::new()] {
            let page = render(&all);
            for word in ["http:", "https:", "<script", "<b>", "@import", "url(", "\u{202e}"] {
                let outside = page.replace("http://www.w3.org/2000/svg", "");
                assert!(!outside.contains(word), "{word}");
            }
            assert!(page.contains("<html lang=\"en\">") && page.contains("prefers-color-scheme"));
        }
        let page = render(&[results]);
        assert!(page.contains("<svg") && page.contains("var(--second)") && !page.contains("#010000"), "{page}");
    }
}

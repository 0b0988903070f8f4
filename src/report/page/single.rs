//! One picture of a run as a file of its own, which a README can show: readable in the light and in the dark, like the page.

use maud::{PreEscaped, html};

use super::{STYLE, draw, pictures, shown};
use crate::results::Results;

/// Lines of the title and of the legend, in units of the picture.
const LINE: u32 = 18;

/// Renders the picture that says most.
#[must_use]
pub fn render(results: &Results) -> String {
    let picture = pictures::headline(results);
    let drawn: Vec<(String, u32)> = picture
        .iter()
        .flat_map(|picture| &picture.plots)
        .filter_map(|(plot, height)| Some((draw::svg(plot, *height)?, *height)))
        .collect();
    let title = picture.as_ref().map_or("There is no picture of this run", |picture| &picture.title);
    let mut entries: Vec<(&str, &str)> = Vec::new();
    for dots in picture.iter().flat_map(|picture| &picture.plots).flat_map(|(plot, _)| &plot.dots) {
        entries.push((dots.label.as_str(), draw::variable(dots.ink)));
    }
    let head = 3 * LINE;
    let (width, height) = (draw::WIDTH, head + drawn.iter().map(|(_, height)| height).sum::<u32>());
    let mut top = head;
    let mut places = Vec::new();
    for (svg, height) in &drawn {
        places.push(svg.replacen(
            "<svg ",
            &format!("<svg x=\"0\" y=\"{top}\" width=\"{width}\" height=\"{height}\" "),
            1,
        ));
        top += height;
    }
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox=(format!("0 0 {width} {height}")) width=(2 * width) height=(2 * height) role="img" aria-label=(shown(title)) {
            style { (PreEscaped(colours())) }
            rect width=(width) height=(height) fill="var(--back)" {}
            text x="8" y=(LINE) font-size="12" font-weight="bold" font-family="sans-serif" fill="var(--text)" { (shown(title)) }
            @for (number, (label, variable)) in (0_u32..).zip(&entries) {
                circle cx=(14 + number * 90) cy=(2 * LINE - 4) r="4" fill=(format!("var(--{variable})")) {}
                text x=(24 + number * 90) y=(2 * LINE) font-size="12" font-family="sans-serif" fill="var(--text)" { (shown(label)) }
            }
            @for place in &places { (PreEscaped(place)) }
        }
    };
    picture.into_string() + "\n"
}

/// The colours of the page's style sheet: all before its first rule of another kind.
fn colours() -> &'static str {
    STYLE.split("\n* {").next().unwrap_or(STYLE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{results::samples, snapshot::Strategy, sqlite::JournalMode};

    #[test]
    fn a_picture_stands_alone_and_has_its_colours() {
        let trials = vec![
            samples::trial(JournalMode::Delete, Strategy::Cp),
            samples::trial(JournalMode::Wal, Strategy::VacuumInto),
        ];
        let picture = render(&samples::results(trials));
        for part in
            ["nobody was served", ">wal</text>", "--second: #0060a8", "prefers-color-scheme: dark", "var(--second)"]
        {
            assert!(picture.contains(part), "{part}: {picture}");
        }
        // Two in the legend, and one a trial.
        assert_eq!(picture.matches("<circle").count(), 4, "{picture}");
        assert!(!picture.contains("box-sizing") && picture.ends_with("</svg>\n"));
        assert!(render(&samples::results(Vec::new())).contains("There is no picture"));
    }
}

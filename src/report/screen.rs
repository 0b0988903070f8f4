//! The report on a terminal: one screen of 80 columns and at most 45 lines, whatever the scenario. Everything else is in the other
//! formats, and in [`super::terminal`], which draws the tables.
//!
//! What does not fit is cut off and counted, never left out without a word.

use anstyle::{AnsiColor, Style};

use super::{
    answer::{Answer, answer},
    distinct,
    figure_text::{number, shorten},
    matrix::{self, Entry, Wait},
};
use crate::{
    analysis::{self, PairTimes},
    measure::OperationKind,
    printable::printable,
    results::{Change, Comparison, Figure, Outcome, PhaseName, Results},
    snapshot::Strategy,
    sqlite::JournalMode,
    statistics::{self, share_interval},
};

/// Columns of a line at most.
const COLUMNS: usize = 80;
/// Lines at most, those for the files among them.
const LINES: usize = 45;
/// Lines that name the files.
const FILE_LINES: usize = 4;
/// Warnings that are shown.
const WARNINGS: usize = 5;
/// Strategies that are shown.
const STRATEGIES: usize = 14;

/// Whether words are coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// By escape sequences.
    Ansi,
    /// Not at all.
    Plain,
}

/// A text, and how it looks.
#[derive(Clone)]
struct Span {
    text: String,
    style: Style,
}

impl Span {
    fn plain(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::new() }
    }

    fn of(text: impl Into<String>, colour: AnsiColor) -> Self {
        Self { text: text.into(), style: Style::new().fg_color(Some(colour.into())) }
    }

    fn bold(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::new().bold() }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// A line.
type Line = Vec<Span>;

/// Draws the screen of a run.
#[must_use]
pub fn render(results: &Results, colours: Colours) -> String {
    let answer = answer(results);
    let mut lines = head(results, &answer);
    let matrix = matrix(results);
    let modes = modes(results);
    let warnings_most = results.warnings.len().min(WARNINGS);
    let open_lines = wrapped_list(&answer.open);
    for section in [matrix, modes] {
        add(&mut lines, section);
    }
    // What is left of the screen is for what is open and for the warnings.
    let left = LINES.saturating_sub(FILE_LINES + lines.len() + warnings_most + 3);
    add(&mut lines, titled("Open", cut(open_lines, left.max(2))));
    let left = LINES.saturating_sub(FILE_LINES + lines.len() + 2);
    add(&mut lines, titled("Warnings", warnings(results, warnings_most.min(left))));
    lines.truncate(LINES - FILE_LINES);
    let drawn: Vec<_> = lines.iter().map(|line| draw(line, colours)).collect();
    drawn.join("\n") + "\n"
}

/// Adds lines below an empty one.
fn add(lines: &mut Vec<Line>, section: Vec<Line>) {
    if !section.is_empty() {
        lines.push(Line::new());
        lines.extend(section);
    }
}

fn titled(title: &str, lines: Vec<Line>) -> Vec<Line> {
    if lines.is_empty() { lines } else { [vec![vec![Span::bold(title)]], lines].concat() }
}

/// The first lines, and how many there are beside them.
fn cut(mut lines: Vec<Line>, most: usize) -> Vec<Line> {
    if lines.len() > most {
        let most = most.saturating_sub(1);
        let more = lines.len() - most;
        lines.truncate(most);
        lines.push(vec![Span::plain(format!("  and {more} more lines: --details"))]);
    }
    lines
}

/// The question and its answer.
fn head(results: &Results, answer: &Answer) -> Vec<Line> {
    const QUESTION_LINES: usize = 3;
    const SETTING_LINES: usize = 2;
    const ANSWER_LINES: usize = 10;
    let question = wrap(&format!("{}: {}", results.scenario.name, answer.question), 0);
    let mut lines: Vec<Line> = question.into_iter().take(QUESTION_LINES).map(|line| vec![Span::bold(line)]).collect();
    let setting = wrap(&answer.setting, 0).into_iter().take(SETTING_LINES);
    lines.extend(setting.map(|line| vec![Span::plain(line)]));
    let sentences = answer.sentences.iter().flat_map(|sentence| bullet(sentence));
    lines.extend(cut(sentences.collect(), ANSWER_LINES));
    lines
}

fn wrapped_list(sentences: &[String]) -> Vec<Line> {
    sentences.iter().flat_map(|sentence| bullet(sentence)).collect()
}

/// A sentence behind a star, on three lines at most.
fn bullet(sentence: &str) -> Vec<Line> {
    const LINES_EACH: usize = 3;
    let mut lines = wrap(&format!("* {sentence}"), 2);
    if lines.len() > LINES_EACH {
        lines.truncate(LINES_EACH);
        if let Some(last) = lines.last_mut() {
            *last = shorten(&format!("{last} ..."), COLUMNS);
        }
    }
    lines.into_iter().map(|line| vec![Span::plain(line)]).collect()
}

/// Lines of [`COLUMNS`] at most, but for words that are longer; all but the first are indented.
fn wrap(text: &str, indent: usize) -> Vec<String> {
    let indent = " ".repeat(indent);
    textwrap::wrap(text, textwrap::Options::new(COLUMNS).subsequent_indent(&indent))
        .into_iter()
        .map(std::borrow::Cow::into_owned)
        .collect()
}

/// The strategies by journal mode.
fn matrix(results: &Results) -> Vec<Line> {
    let entries = matrix::entries(results);
    let strategies = distinct(entries.iter().map(|entry| entry.strategy));
    let modes: Vec<JournalMode> = distinct(entries.iter().map(|entry| entry.journal_mode));
    let mut lines = Vec::new();
    // Beside each other there is room for two.
    for modes in modes.chunks(2) {
        let rows = |bounds| {
            let row = |strategy: &Strategy| matrix_row(&entries, *strategy, modes, bounds);
            [vec![matrix_head(modes)], strategies.iter().map(row).collect()].concat()
        };
        let columns = [vec![Side::Left], [Side::Left, Side::Right, Side::Right].repeat(modes.len())].concat();
        let all = Some(rows(Bounds::All)).filter(|rows| width(rows) <= COLUMNS);
        let rows = all.unwrap_or_else(|| rows(Bounds::OfExact));
        lines.extend(cut(table(&rows, &columns), STRATEGIES + 1));
    }
    if !lines.is_empty() {
        let legend = "seconds: medians of the copy's time and of the longest wait of a client over the horizon, or over the copy where that \
                      took longer";
        lines.extend(wrap(legend, 0).into_iter().map(|line| vec![Span::of(line, AnsiColor::BrightBlack)]));
    }
    lines
}

/// Which shares are shown with a bound.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bounds {
    All,
    /// Of strategies that were exact every time: the others are out of the question whatever the bound.
    OfExact,
}

fn matrix_head(modes: &[JournalMode]) -> Line {
    let of_mode = |mode: &JournalMode| [format!("exact under {mode}"), "time".to_owned(), "wait".to_owned()];
    let titles = modes.iter().flat_map(of_mode);
    ["copied with".to_owned()].into_iter().chain(titles).map(Span::bold).collect()
}

fn matrix_row(entries: &[Entry<'_>], strategy: Strategy, modes: &[JournalMode], bounds: Bounds) -> Line {
    let mut row = vec![Span::plain(strategy.to_string())];
    for mode in modes {
        let entry = entries.iter().find(|entry| (entry.journal_mode, entry.strategy) == (*mode, strategy));
        row.extend(entry.map_or_else(|| ["-"; 3].map(Span::plain), |entry| cells(entry, bounds)));
    }
    row
}

/// Verdict with share and bound, time, and what the clients felt.
fn cells(entry: &Entry<'_>, bounds: Bounds) -> [Span; 3] {
    let time = entry.duration_s().map_or_else(|| "-".to_owned(), number);
    let wait = match entry.wait() {
        None => "-".to_owned(),
        Some(Wait::NoAnswer) => "never".to_owned(),
        Some(Wait::Us(us)) => number(us as f64 / 1e6),
    };
    [verdict(entry, bounds), Span::plain(time), Span::plain(wait)]
}

fn verdict(entry: &Entry<'_>, bounds: Bounds) -> Span {
    let (exact, judged) = (entry.exact(), entry.judged());
    if judged == 0 {
        return Span::of("not judged", AnsiColor::Yellow);
    }
    let interval = share_interval(exact, judged);
    // What is a whole number but for rounding is that number.
    let (low, high) = ((interval.low * 100.0 + 1e-9).floor(), (interval.high * 100.0 - 1e-9).ceil());
    let Some(bad) = entry.bad() else {
        return Span::of(format!("{exact}/{judged} exact >={low}%"), AnsiColor::Green);
    };
    let bound = match (bounds, exact) {
        (Bounds::OfExact, _) => String::new(),
        (Bounds::All, 0) => format!(" <={high}%"),
        (Bounds::All, _) => format!(" {low}-{high}%"),
    };
    Span::of(format!("{exact}/{judged} {bad}{bound}"), AnsiColor::Red)
}

/// The journal modes side by side: the service times of the first group that was compared.
fn modes(results: &Results) -> Vec<Line> {
    const KINDS: [OperationKind; 3] = [OperationKind::Commit, OperationKind::Read, OperationKind::Scrape];
    let comparisons = results.comparisons.entries();
    let is_shown = |one: &&Comparison| {
        one.subject.phase == PhaseName::Baseline
            && matches!(one.subject.figure, Figure::ServiceP50 | Figure::ServiceP99)
            && KINDS.contains(&one.subject.kind)
    };
    let shown: Vec<_> = comparisons.iter().filter(is_shown).collect();
    let Some(first) = shown.first() else { return Vec::new() };
    let is_like_first =
        |one: &&&Comparison| (one.base, one.new, one.conditions) == (first.base, first.new, first.conditions);
    let mut rows = vec![
        ["service time", &first.base.to_string(), &first.new.to_string(), "ratio", "95 %", "outcome"]
            .map(Span::bold)
            .to_vec(),
    ];
    for one in shown.iter().filter(is_like_first) {
        rows.push(comparison_row(results, one));
    }
    let others = shown.iter().filter(|one| !is_like_first(one)).count();
    let sides = [Side::Left, Side::Right, Side::Right, Side::Right, Side::Right, Side::Left];
    let mut lines = table(&rows, &sides);
    if others > 0 {
        lines.push(vec![Span::plain(format!("and {others} more at other rates, connections or levels: --details"))]);
    }
    lines
}

fn comparison_row(results: &Results, one: &Comparison) -> Line {
    let times = analysis::pair_times(results, one);
    let median = |of: fn(&PairTimes) -> f64| {
        let median = statistics::median(&times.iter().map(of).collect::<Vec<_>>());
        median.map_or_else(|| "-".to_owned(), |us| format!("{} ms", number(us / 1e3)))
    };
    let Change { ratio, interval, outcome, pairs, .. } = one.change;
    let factor = |factor: Option<f64>| factor.map_or_else(|| "-".to_owned(), number);
    let between = interval.map_or_else(
        || if pairs == 1 { "1 pair".to_owned() } else { format!("{pairs} pairs") },
        |interval| format!("{} to {}", number(interval.low), number(interval.high)),
    );
    let outcome = match outcome {
        Outcome::Better => Span::of(outcome.to_string(), AnsiColor::Green),
        Outcome::Worse => Span::of(outcome.to_string(), AnsiColor::Red),
        Outcome::Same | Outcome::Inconclusive => Span::plain(outcome.to_string()),
    };
    let percentile = if one.subject.figure.is_tail() { "p99" } else { "p50" };
    let title = format!("{} {percentile}", one.subject.kind);
    let words = [title, median(|pair| pair.base_us), median(|pair| pair.new_us), factor(ratio), between];
    words.map(Span::plain).into_iter().chain([outcome]).collect()
}

/// The warnings, a line each, on so many lines.
fn warnings(results: &Results, most: usize) -> Vec<Line> {
    let of = results.warnings.len();
    let line = |text: String| vec![Span::of(shorten(&format!("* {text}"), COLUMNS), AnsiColor::Yellow)];
    let mut lines: Vec<_> = results.warnings.iter().take(most).map(|warning| line(warning.to_string())).collect();
    if of > most && most > 0 {
        lines.pop();
        lines.push(vec![Span::plain(format!("  and {} more: --details", of - most + 1))]);
    }
    lines
}

/// The side of its column that a cell stands at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// How wide each column is.
fn widths(rows: &[Line]) -> Vec<usize> {
    let count = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(Span::width).max();
    (0..count).map(|column| width(column).unwrap_or_default()).collect()
}

/// How wide they are together, a blank between two of them.
fn width(rows: &[Line]) -> usize {
    let widths = widths(rows);
    widths.iter().sum::<usize>() + widths.len().saturating_sub(1)
}

/// Cells below each other, two blanks apart where there is room for that.
fn table(rows: &[Line], sides: &[Side]) -> Vec<Line> {
    let widths = widths(rows);
    let gap = if width(rows) + widths.len() <= COLUMNS { 2 } else { 1 };
    let padded = |(column, span): (usize, &Span)| {
        let blanks = " ".repeat(widths[column].saturating_sub(span.width()));
        let gap = " ".repeat(if column == 0 { 0 } else { gap });
        match sides.get(column) {
            Some(Side::Right) => [Span::plain(gap + &blanks), span.clone(), Span::plain("")],
            Some(Side::Left) | None => [Span::plain(gap), span.clone(), Span::plain(blanks)],
        }
    };
    rows.iter().map(|row| fit(row.iter().enumerate().flat_map(padded).collect())).collect()
}

/// Cuts off what is beyond the last column.
fn fit(line: Line) -> Line {
    let mut left = COLUMNS;
    let mut fitting = Line::new();
    for span in line {
        let text: String = span.text.chars().take(left).collect();
        left -= text.chars().count();
        fitting.push(Span { text, style: span.style });
    }
    fitting
}

fn draw(line: &Line, colours: Colours) -> String {
    let draw = |span: &Span| match colours {
        Colours::Plain => printable(&span.text).into_owned(),
        Colours::Ansi => format!("{}{}{}", span.style.render(), printable(&span.text), span.style.render_reset()),
    };
    let drawn: String = line.iter().map(draw).collect();
    match colours {
        Colours::Plain => drawn.trim_end().to_owned(),
        Colours::Ansi => drawn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        oracle::Verdict,
        results::{TrialResult, Warning, samples},
        run::derive,
    };

    /// Trials of every strategy under every journal mode, and twenty warnings.
    fn large() -> Results {
        let modes = [JournalMode::Delete, JournalMode::Wal, JournalMode::Persist, JournalMode::Truncate];
        let trials = Strategy::all().iter().flat_map(|strategy| modes.map(|mode| samples::trial(mode, *strategy)));
        let mut trials: Vec<TrialResult> = trials.collect();
        for trial in trials.iter_mut().filter(|trial| !trial.snapshots.is_empty()) {
            trial.snapshots[0].ruling.verdict = Some(Verdict::Unfinished);
        }
        let mut results = samples::results(trials);
        results.scenario = samples::scenario(&["sqlite.journal_mode=[\"delete\", \"wal\", \"persist\", \"truncate\"]"]);
        derive(&mut results);
        results.warnings = vec![Warning::DebugBuild; 20];
        results
    }

    #[test]
    fn it_is_one_screen_whatever_there_is_to_say() {
        for results in [large(), samples::results(Vec::new()), samples::of_before(&large())] {
            let screen = render(&results, Colours::Plain);
            let lines = screen.lines().count();
            assert!((1..=LINES - FILE_LINES).contains(&lines), "{lines} lines:\n{screen}");
            assert!(screen.lines().all(|line| line.chars().count() <= COLUMNS), "{screen}");
        }
        let screen = render(&large(), Colours::Plain);
        assert!(screen.contains("0/1 unfinished") && screen.contains("more: --details"), "{screen}");
    }

    #[test]
    fn colours_change_no_word() {
        let mut results = samples::results(vec![samples::trial(JournalMode::Wal, Strategy::VacuumInto)]);
        results.scenario = samples::scenario(&["why=escape \u{1b}[31m"]);
        derive(&mut results);
        let (plain, coloured) = (render(&results, Colours::Plain), render(&results, Colours::Ansi));
        assert!(!plain.contains('\u{1b}'), "{plain}");
        let stripped = anstream::adapter::strip_str(&coloured).to_string();
        let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        assert_eq!(trimmed(&stripped), trimmed(&plain));
        assert!(coloured.contains("\u{1b}[32m1/1 exact >=5%\u{1b}[0m"), "{coloured:?}");
    }
}

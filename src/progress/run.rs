//! The display of a run: on a terminal one line that says what is happening, how far, how long still, and how the last
//! seconds answered; elsewhere a line at each change of phase and at each end of a trial, and nothing else.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal as _},
    time::{Duration, Instant},
};

use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use super::print_line;
use crate::{
    printable::printable,
    run::Event,
    trial::{self, Tick},
};

/// Seconds whose response time the line shows.
const SECONDS_SHOWN: usize = 8;

/// The display of one run.
pub struct Display {
    /// `None` where standard error is no terminal.
    line: Option<ProgressBar>,
    /// The trial that runs, as in `[3/12] wal-cp-1`; empty before the first.
    trial: String,
    phase: String,
    forecast: Forecast,
    answers: Answers,
}

impl Display {
    /// A display on standard error.
    #[must_use]
    pub fn new() -> Self {
        Self::on(io::stderr().is_terminal().then(moving_line))
    }

    fn on(line: Option<ProgressBar>) -> Self {
        Self {
            line,
            trial: String::new(),
            phase: String::new(),
            forecast: Forecast::default(),
            answers: Answers::default(),
        }
    }

    /// Shows an event.
    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Said(words) => self.lasting(words),
            Event::Generating { rows, of } => {
                self.moving("dataset", &format!("generating the dataset: {rows} of {of} rows"));
            }
            Event::Checking => self.moving("checking", "reading the cached dataset, to see whether it is whole"),
            Event::Adopting => self.moving("dataset", "copying the database and reading the copy"),
            Event::TrialBegun { number, of, id, more } => {
                self.trial = format!("[{number}/{of}] {id}");
                self.phase.clear();
                self.answers = Answers::default();
                self.forecast.begin(Instant::now(), *more);
            }
            Event::Trial(event) => self.show_trial(event),
            Event::TrialEnded { summary } => {
                self.forecast.end(Instant::now());
                let number = self.trial.split(' ').next().unwrap_or_default();
                self.lasting(&format!("{number} {summary}"));
            }
        }
    }

    fn show_trial(&mut self, event: &trial::Event) {
        match event {
            trial::Event::Preparing => self.doing("preparing", "copying the dataset"),
            trial::Event::Measuring(tick) => self.measuring(tick),
            trial::Event::Steps { number, of } => {
                self.doing("after", &format!("the steps after snapshot {number} of {of}"));
            }
            trial::Event::Judging { number, of } => {
                self.doing("judging", &format!("the oracle reads snapshot {number} of {of}"));
            }
            trial::Event::Checking => self.doing("checking", "the live database is compared with the ledger"),
            trial::Event::Recording => self.doing("recording", "transactions are committed and recorded"),
            trial::Event::Images { done, of } => {
                self.doing("images", &format!("what power losses left is judged: {done} of {of} images"));
            }
            trial::Event::Kills { done, of } => self.doing("kills", &format!("{done} of {of} kills")),
        }
    }

    /// The load runs: how far it is, and how it answers.
    fn measuring(&mut self, tick: &Tick) {
        self.answers.add(tick);
        self.forecast.load(Duration::from_secs_f64((tick.of_s - tick.elapsed_s).max(0.0)), tick.of_s);
        let Tick { phase, elapsed_s, of_s, achieved_rate_ops, snapshot, wal_bytes, .. } = tick;
        let what = format!("{}: {phase} {elapsed_s:.0}/{of_s:.0} s", self.trial);
        let text = match &self.line {
            // What a narrow terminal cuts off comes last.
            Some(_) => {
                let bars: String = self.answers.bars.iter().collect();
                let copied = snapshot.map(|done| format!(", {:.0} % copied", done * 100.0)).unwrap_or_default();
                let (left, p99) = (self.time_left(), &self.answers.p99);
                let wal_mb = *wal_bytes as f64 / 1e6;
                format!("{what}{left}, p99 {bars} {p99}{copied}, WAL {wal_mb:.1} MB, {achieved_rate_ops:.0}/s")
            }
            None => what,
        };
        self.moving(&phase.to_string(), &text);
    }

    /// Something that a trial does beside its load.
    fn doing(&mut self, phase: &str, what: &str) {
        self.forecast.load(Duration::ZERO, 0.0);
        let left = match &self.line {
            Some(_) => self.time_left(),
            None => String::new(),
        };
        self.moving(phase, &format!("{}: {what}{left}", self.trial));
    }

    fn time_left(&self) -> String {
        self.forecast.words(Instant::now()).map(|left| format!(", {left} left")).unwrap_or_default()
    }

    /// Ends the moving line.
    pub fn finish(&self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }

    /// Something that goes on: the moving line, or a plain line when `phase` is new.
    fn moving(&mut self, phase: &str, text: &str) {
        if let Some(line) = &self.line {
            line.set_message(printable(text).into_owned());
        } else if self.phase != phase {
            print_line(text);
        }
        phase.clone_into(&mut self.phase);
    }

    /// Something that stays on the screen.
    fn lasting(&mut self, text: &str) {
        match &self.line {
            Some(line) => line.println(printable(text)),
            None => print_line(text),
        }
    }
}

impl Default for Display {
    fn default() -> Self {
        Self::new()
    }
}

fn moving_line() -> ProgressBar {
    let line = ProgressBar::new_spinner();
    // A template that is a constant and valid; a bad one would only cost the style.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        line.set_style(style);
    }
    line.enable_steady_tick(Duration::from_millis(200));
    line
}

/// How the last seconds answered.
#[derive(Default)]
struct Answers {
    /// A bar a second, the latest last.
    bars: VecDeque<char>,
    /// The 99th percentile of the last second, in words.
    p99: String,
    /// The second of the last bar.
    second: f64,
}

impl Answers {
    /// Adds a second; a tick that came for another reason within one changes its bar.
    fn add(&mut self, tick: &Tick) {
        if tick.elapsed_s - self.second >= 0.5 {
            self.second = tick.elapsed_s;
            self.bars.push_back(' ');
            self.bars.drain(..self.bars.len().saturating_sub(SECONDS_SHOWN));
        }
        if let Some(last) = self.bars.back_mut() {
            *last = tick.p99_us.map_or(' ', bar);
        }
        self.p99 = tick.p99_us.map_or_else(|| "-".to_owned(), |time| format!("{:.1} ms", time as f64 / 1e3));
    }
}

/// A bar for a response time: the lowest is a third of a millisecond or less, each further one three times as long, the
/// highest a third of a second or more. So the same bar means the same time on every machine.
fn bar(time_us: u64) -> char {
    match time_us {
        0..=316 => '▁',
        317..=1_000 => '▂',
        1_001..=3_162 => '▃',
        3_163..=10_000 => '▄',
        10_001..=31_623 => '▅',
        31_624..=100_000 => '▆',
        100_001..=316_228 => '▇',
        _ => '█',
    }
}

/// How long a run still takes.
#[derive(Default)]
struct Forecast {
    /// When the trial that runs began.
    begun: Option<Instant>,
    /// Trials after it.
    more: usize,
    ended: u32,
    /// How long those that have ended took together.
    took: Duration,
    /// Of the load that runs.
    load_left: Duration,
    /// How long the loads last, as long as no trial has ended.
    load: Duration,
}

impl Forecast {
    fn begin(&mut self, now: Instant, more: usize) {
        (self.begun, self.more) = (Some(now), more);
    }

    fn end(&mut self, now: Instant) {
        if let Some(begun) = self.begun.take() {
            self.ended += 1;
            self.took += now.saturating_duration_since(begun);
        }
    }

    /// A load has this much left of its length.
    fn load(&mut self, left: Duration, of_s: f64) {
        self.load_left = left;
        self.load = self.load.max(Duration::from_secs_f64(of_s));
    }

    /// About as long as the trials that have ended took each; before one has, with a plus, as long as the loads that are
    /// still to come. Nothing before the first load.
    fn words(&self, now: Instant) -> Option<String> {
        let more = u32::try_from(self.more).unwrap_or(u32::MAX);
        if self.load.is_zero() {
            return None;
        }
        if self.ended == 0 {
            let left = self.load_left + self.load.saturating_mul(more);
            return Some(format!("{:#}+", HumanDuration(left)));
        }
        let each = self.took / self.ended;
        let this = self.begun.map_or(Duration::ZERO, |begun| each.saturating_sub(now.saturating_duration_since(begun)));
        Some(format!("{:#}", HumanDuration(this.max(self.load_left) + each.saturating_mul(more))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::PhaseName;

    fn hidden() -> Display {
        Display::on(Some(ProgressBar::hidden()))
    }

    fn tick(elapsed_s: f64, p99_us: Option<u64>) -> Event {
        Event::Trial(trial::Event::Measuring(Tick {
            phase: PhaseName::Snapshot,
            elapsed_s,
            of_s: 25.0,
            achieved_rate_ops: 9_800.4,
            p99_us,
            wal_bytes: 4_120_000,
            snapshot: Some(0.45),
        }))
    }

    fn message(display: Display) -> String {
        display.line.map(|line| line.message()).unwrap_or_default()
    }

    #[test]
    fn the_moving_line_has_nothing_that_a_terminal_obeys() {
        let mut display = hidden();
        display.moving("load", "a\u{1b}[2Jb\r");
        assert_eq!(message(display), "a\\u001b[2Jb\\u000d");
    }

    #[test]
    fn the_moving_line_says_what_how_far_how_well_and_how_long_still() {
        let mut display = hidden();
        display.show(&Event::TrialBegun { number: 3, of: 12, id: "wal-cp-1".to_owned(), more: 9 });
        display.show(&tick(1.0, None));
        display.show(&tick(2.0, Some(300)));
        // The phase has changed within a second: no bar of its own.
        display.show(&tick(2.1, Some(300)));
        display.show(&tick(3.0, Some(3_240)));
        assert_eq!(
            message(display),
            "[3/12] wal-cp-1: snapshot 3/25 s, 4m+ left, p99  ▁▄ 3.2 ms, 45 % copied, WAL 4.1 MB, 9800/s"
        );
    }

    #[test]
    fn the_line_shows_the_last_seconds_alone() {
        let mut answers = Answers::default();
        for second in 1..=40_u32 {
            let Event::Trial(trial::Event::Measuring(tick)) = tick(second.into(), Some(100)) else { return };
            answers.add(&tick);
        }
        assert_eq!(answers.bars.len(), SECONDS_SHOWN);
    }

    #[test]
    fn each_bar_is_three_times_as_long_as_the_one_below() {
        let bars: String = [0, 100, 1_000, 2_000, 5_000, 20_000, 50_000, 200_000, 400_000].map(bar).iter().collect();
        assert_eq!(bars, "▁▁▂▃▄▅▆▇█");
    }

    #[test]
    fn the_time_left_is_that_of_the_loads_until_a_trial_has_ended() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut forecast = Forecast::default();
        forecast.begin(at(0), 3);
        assert_eq!(forecast.words(at(1)), None);
        forecast.load(Duration::from_secs(15), 20.0);
        assert_eq!(forecast.words(at(5)).as_deref(), Some("75s+"));
        forecast.end(at(30));
        forecast.begin(at(30), 2);
        forecast.load(Duration::from_secs(20), 20.0);
        assert_eq!(forecast.words(at(40)).as_deref(), Some("80s"), "20 s of this one, and two of 30 s");
        // A trial that takes longer than the others did has at least its load to do.
        assert_eq!(forecast.words(at(70)).as_deref(), Some("80s"));
    }
}

//! Draws what happens in a run on standard error: a line that moves on a terminal, plain lines elsewhere.

use std::{
    io::IsTerminal,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::run::{Event, Tick};

/// How often a plain line is written while nothing changes.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// The display of one run.
pub struct Display {
    /// `None` where standard error is no terminal.
    line: Option<ProgressBar>,
    trial: String,
    phase: String,
    last_plain: Instant,
}

impl Display {
    /// A display on standard error.
    #[must_use]
    pub fn new() -> Self {
        let line = std::io::stderr().is_terminal().then(|| {
            let line = ProgressBar::new_spinner();
            // A template that is a constant and valid; a bad one would only cost the style.
            if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
                line.set_style(style);
            }
            line.enable_steady_tick(Duration::from_millis(200));
            line
        });
        Self { line, trial: String::new(), phase: String::new(), last_plain: Instant::now() }
    }

    /// Shows an event.
    pub fn show(&mut self, event: &Event) {
        match event {
            Event::Generating { rows, of } => {
                self.moving("dataset", &format!("generating the dataset: {rows} of {of} rows"));
            }
            Event::TrialBegun { number, of, id } => {
                self.trial = format!("[{number}/{of}] {id}");
                self.phase.clear();
            }
            Event::Preparing => self.moving("preparing", &format!("{}: copying the dataset", self.trial)),
            Event::Measuring(tick) => self.moving(&tick.phase.to_string(), &format!("{}: {}", self.trial, words(tick))),
            Event::Judging => self.moving("judging", &format!("{}: the oracle reads the snapshot", self.trial)),
            Event::TrialEnded { summary } => {
                let number = self.trial.split(' ').next().unwrap_or_default();
                self.lasting(&format!("{number} {summary}"));
            }
        }
    }

    /// Ends the moving line.
    pub fn finish(&self) {
        if let Some(line) = &self.line {
            line.finish_and_clear();
        }
    }

    /// Something that goes on: the moving line, or a plain line when `phase` is new and now and then.
    fn moving(&mut self, phase: &str, text: &str) {
        if let Some(line) = &self.line {
            line.set_message(text.to_owned());
        } else if self.phase != phase || self.last_plain.elapsed() >= PLAIN_EVERY {
            eprintln!("{text}");
            self.last_plain = Instant::now();
        }
        phase.clone_into(&mut self.phase);
    }

    /// Something that stays on the screen.
    fn lasting(&mut self, text: &str) {
        match &self.line {
            Some(line) => line.println(text),
            None => eprintln!("{text}"),
        }
    }
}

impl Default for Display {
    fn default() -> Self {
        Self::new()
    }
}

fn words(tick: &Tick) -> String {
    let p99 = tick.p99_us.map_or_else(|| "-".to_owned(), |time| format!("{:.1} ms", time as f64 / 1e3));
    let snapshot = tick.snapshot.map(|done| format!(", snapshot {:.0} %", done * 100.0)).unwrap_or_default();
    format!(
        "{} {:.0}/{:.0} s, {:.0} operations/s, p99 {p99}, WAL {:.1} MB{snapshot}",
        tick.phase,
        tick.elapsed_s,
        tick.of_s,
        tick.achieved_rate_ops,
        tick.wal_bytes as f64 / 1e6
    )
}

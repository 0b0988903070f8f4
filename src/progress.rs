//! Draws what happens in a run, or while a dataset is made, on standard error: a line that moves on a terminal, plain
//! lines elsewhere.

use std::{
    io::{self, IsTerminal, Write as _},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    printable::printable,
    run::Event,
    trial::{self, Tick},
};

/// How often a plain line is written while nothing changes.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Writes a line to standard error. One that is closed or full must not end what the line speaks of.
pub fn print_line(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(text));
}

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
            Event::Said(words) => self.lasting(words),
            Event::Generating { rows, of } => {
                self.moving("dataset", &format!("generating the dataset: {rows} of {of} rows"));
            }
            Event::Checking => self.moving("checking", "reading the cached dataset, to see whether it is whole"),
            Event::Adopting => self.moving("dataset", "copying the database and reading the copy"),
            Event::TrialBegun { number, of, id } => {
                self.trial = format!("[{number}/{of}] {id}");
                self.phase.clear();
            }
            Event::Trial(event) => self.show_trial(event),
            Event::TrialEnded { summary } => {
                let number = self.trial.split(' ').next().unwrap_or_default();
                self.lasting(&format!("{number} {summary}"));
            }
        }
    }

    fn show_trial(&mut self, event: &trial::Event) {
        let (phase, text) = match event {
            trial::Event::Preparing => ("preparing".to_owned(), "copying the dataset".to_owned()),
            trial::Event::Measuring(tick) => (tick.phase.to_string(), words(tick)),
            trial::Event::Steps { number, of } => {
                ("after".to_owned(), format!("the steps after snapshot {number} of {of}"))
            }
            trial::Event::Judging { number, of } => {
                ("judging".to_owned(), format!("the oracle reads snapshot {number} of {of}"))
            }
            trial::Event::Checking => {
                ("checking".to_owned(), "the live database is compared with the ledger".to_owned())
            }
        };
        self.moving(&phase, &format!("{}: {text}", self.trial));
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
            line.set_message(printable(text).into_owned());
        } else if self.phase != phase || self.last_plain.elapsed() >= PLAIN_EVERY {
            print_line(text);
            self.last_plain = Instant::now();
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

/// The display of a file that is being made: bytes, rate and time left.
pub struct Bytes {
    what: &'static str,
    /// `None` where standard error is no terminal.
    bar: Option<ProgressBar>,
    begun: Instant,
    last_plain: Instant,
}

impl Bytes {
    /// A display on standard error, of work that this word describes.
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            let template = "{bar:32} {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, {eta} left";
            // A template that is a constant and valid; a bad one would only cost the style.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar
        });
        let now = Instant::now();
        Self { what, bar, begun: now, last_plain: now }
    }

    /// Shows how far it is.
    pub fn show(&mut self, bytes: u64, of_bytes: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(of_bytes);
            bar.set_position(bytes);
        } else if self.last_plain.elapsed() >= PLAIN_EVERY {
            self.last_plain = Instant::now();
            let bytes_per_s = bytes as f64 / self.begun.elapsed().as_secs_f64();
            print_line(&format!(
                "{}: {:.1} of {:.1} GB, {:.0} MB/s, {:.0} s left",
                self.what,
                bytes as f64 / 1e9,
                of_bytes as f64 / 1e9,
                bytes_per_s / 1e6,
                of_bytes.saturating_sub(bytes) as f64 / bytes_per_s.max(1.0)
            ));
        }
    }

    /// Ends the bar.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Says on a terminal that something goes on, until it is dropped.
pub struct Spinner(Option<ProgressBar>);

impl Spinner {
    /// For what this says.
    #[must_use]
    pub fn new(what: &'static str) -> Self {
        Self(std::io::stderr().is_terminal().then(|| {
            let line = ProgressBar::new_spinner().with_message(what);
            line.enable_steady_tick(Duration::from_millis(200));
            line
        }))
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(line) = &self.0 {
            line.finish_and_clear();
        }
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

/// Shows how many of a file's pages were read while `work` runs; nothing on a file that is read in a moment.
pub fn while_reading<T>(pages_done: &AtomicU64, bytes: u64, page_size_bytes: u32, work: impl FnOnce() -> T + Send) -> T
where
    T: Send,
{
    let pages = (bytes / u64::from(page_size_bytes.max(1))).max(1);
    thread::scope(|scope| {
        let (done, finished) = mpsc::channel::<()>();
        scope.spawn(move || {
            let line = std::io::stderr().is_terminal().then(ProgressBar::new_spinner);
            let mut every = Duration::from_secs(2);
            while finished.recv_timeout(every) == Err(mpsc::RecvTimeoutError::Timeout) {
                let read = pages_done.load(Ordering::Relaxed).min(pages);
                let message = if read < pages {
                    format!("reading: {read} of {pages} pages")
                } else {
                    "every page is read; asking SQLite".to_owned()
                };
                if let Some(line) = &line {
                    line.set_message(message);
                    line.tick();
                    every = Duration::from_millis(200);
                } else {
                    print_line(&message);
                    every = PLAIN_EVERY;
                }
            }
            if let Some(line) = line {
                line.finish_and_clear();
            }
        });
        let result = work();
        drop(done);
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moving_line_has_nothing_that_a_terminal_obeys() {
        let mut display = Display { line: Some(ProgressBar::hidden()), ..Display::new() };
        display.moving("load", "a\u{1b}[2Jb\r");
        assert_eq!(display.line.map(|line| line.message()), Some("a\\u001b[2Jb\\u000d".to_owned()));
    }
}

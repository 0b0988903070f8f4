//! Draws what goes on, on standard error: a line that moves on a terminal, plain lines elsewhere. A run has a display of
//! its own ([`Display`]); here are those of a file that is made or read.

mod run;

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

pub use run::Display;

use crate::printable::printable;

/// How often a plain line is written of a file that is made or read.
const PLAIN_EVERY: Duration = Duration::from_secs(10);

/// Writes a line to standard error. One that is closed or full must not end what the line speaks of.
pub fn print_line(text: &str) {
    let _ = writeln!(io::stderr(), "{}", printable(text));
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

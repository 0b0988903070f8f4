//! What the command line says of the pace of a copy, and what follows from it before anything is copied.

use std::{fmt, path::Path, time::Duration};

use anyhow::{Result, anyhow, bail};
use clap::Args;
use jiff::SignedDuration;

use super::{Arguments, Order};
use crate::{
    cli::CommandError,
    dataset::Size,
    progress,
    snapshot::{CacheUse, Expected, HoldOptions, PaceResult, Strategy},
};

/// How fast, for how long, and how small.
#[derive(Debug, Args)]
pub(super) struct Pace {
    /// Copy no more than this in a second, as in 200MB/s. Without it the copy takes what the others leave of the disk: it rests
    /// after each piece, and the longer the longer that took
    #[arg(long, value_name = "RATE", value_parser = rate)]
    max_rate: Option<Size>,
    /// Under WAL: hurry before the WAL grows beyond this while the copy holds it, and give the copy up where it does
    #[arg(long, value_name = "SIZE")]
    wal_max: Option<Size>,
    /// In the other journal modes, where nobody can commit until the copy is done: refuse one that would take longer than this,
    /// as in 30s or 2m
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = time)]
    stop_max: Duration,
    /// Say what would be done, how long it would take and whom it would stop, and copy nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Compress the copy while it is made, with checksums; OUT.db then ends in .zst. Level 1 to 19, 3 where none is named
    #[arg(long, value_name = "LEVEL", num_args = 0..=1, require_equals = true, default_missing_value = "3",
        value_parser = clap::value_parser!(i32).range(1..=19))]
    pub(super) zstd: Option<i32>,
}

fn rate(text: &str) -> Result<Size, String> {
    let refuse = |_| format!("`{text}` is no rate: expected a size a second, as in 200MB/s");
    let size: Size = text.strip_suffix("/s").unwrap_or(text).parse().map_err(refuse)?;
    if size.bytes < 1 << 16 { Err("expected at least 64KiB/s".to_owned()) } else { Ok(size) }
}

fn time(text: &str) -> Result<Duration, String> {
    let refuse = || format!("`{text}` is no time: expected one as in 10s, 2m or 1h");
    let time: SignedDuration = text.parse().map_err(|_| refuse())?;
    Duration::try_from(time).map_err(|_| refuse())
}

/// What a copy will take.
#[derive(Debug, Clone)]
pub(super) struct Forecast {
    strategy: Strategy,
    in_wal: bool,
    /// Where it could be measured beforehand.
    expected: Option<Expected>,
    free_bytes: Option<u64>,
}

impl Pace {
    /// The options of a strategy that holds a read transaction.
    pub(super) fn hold(&self, strategy: Strategy) -> Option<HoldOptions> {
        let options = HoldOptions {
            max_rate_bytes_s: self.max_rate.map(|rate| rate.bytes),
            wal_bytes_max: self.wal_max.map(|size| size.bytes),
            ..HoldOptions::default()
        };
        if strategy == Strategy::HeldCopyGentle {
            Some(options.or(CacheUse::Neutral))
        } else if strategy == Strategy::HeldCopy {
            Some(options.or(CacheUse::Normal))
        } else {
            None
        }
    }

    /// Refuses what does not go together.
    pub(super) fn check(&self, strategy: Strategy, out: &Path) -> Result<()> {
        let is_held = self.hold(strategy).is_some();
        for (option, is_given) in [
            ("--max-rate", self.max_rate.is_some()),
            ("--wal-max", self.wal_max.is_some()),
            ("--zstd", self.zstd.is_some()),
        ] {
            if is_given && !is_held {
                bail!("{option} is for held-copy-gentle and held-copy, and --strategy says {strategy}");
            }
        }
        let is_named_so = out.extension().is_some_and(|extension| extension == "zst");
        match self.zstd {
            Some(_) if !is_named_so => bail!(
                "with --zstd the name of the copy ends in .zst, so that nobody takes it for a database: {}.zst",
                out.display()
            ),
            None if is_named_so => {
                bail!("{} ends in .zst: compress it with --zstd, or name it otherwise", out.display())
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// What a copy will take, measured in a folder on the file system where it is to stand.
pub(super) fn forecast(arguments: &Arguments, order: &Order, folder: &Path) -> Result<Forecast> {
    let strategy = arguments.strategy();
    let hold = arguments.pace.hold(strategy);
    let _waiting = progress::Spinner::new("measuring how fast a copy is");
    let expected = hold.map(|options| options.expected(&order.live, order.in_wal, folder)).transpose()?;
    Ok(Forecast { strategy, in_wal: order.in_wal, expected, free_bytes: crate::work::free_bytes(&order.out) })
}

impl Forecast {
    /// How long nobody can commit, in seconds, where that is to be expected and was measured.
    pub(super) fn stop_s(&self) -> Option<f64> {
        self.expected.filter(|_| !self.in_wal).map(|expected| expected.duration_s)
    }

    /// How long the copy takes, in seconds, where that was measured.
    pub(super) fn duration_s(&self) -> Option<f64> {
        self.expected.map(|expected| expected.duration_s)
    }

    /// Refuses a copy that would stop commits for longer than is allowed.
    pub(super) fn refuse_long_stop(&self, pace: &Pace, live: &Path) -> Result<(), CommandError> {
        let Some(stop_s) = self.too_long_stop_s(pace) else { return Ok(()) };
        Err(CommandError::Usage(anyhow!(
            "{}: nobody could commit for about {stop_s:.1} s, and --stop-max allows {:.1} s. Allow more with --stop-max \
            {:.0}s, or put the database into WAL mode (PRAGMA journal_mode=WAL), where nobody waits for the copy",
            live.display(),
            pace.stop_max.as_secs_f64(),
            (stop_s * 1.5).ceil()
        )))
    }

    fn too_long_stop_s(&self, pace: &Pace) -> Option<f64> {
        self.stop_s().filter(|stop_s| *stop_s > pace.stop_max.as_secs_f64())
    }

    /// How long the copy takes, in words.
    pub(super) fn took(&self) -> Option<impl fmt::Display> {
        self.expected.map(Took)
    }

    /// All of it, for somebody who wants to know before.
    pub(super) fn words(&self, order: &Order, pace: &Pace) -> String {
        let refused = match self.too_long_stop_s(pace) {
            Some(_) => format!("it would be refused: --stop-max allows {:.1} s\n", pace.stop_max.as_secs_f64()),
            None => String::new(),
        };
        let free = self.free_bytes.map_or_else(String::new, |free| format!("; {} MB are free there", free / 1_000_000));
        format!(
            "{}: {} MB with its WAL, {}\n{} would copy it to {}{}{free}\n{}\n{refused}nothing was copied\n",
            order.live.display(),
            order.bytes / 1_000_000,
            if self.in_wal { "in WAL mode" } else { "not in WAL mode" },
            self.strategy,
            order.out.display(),
            self.expected.map_or_else(String::new, |expected| format!(" in {}", Took(expected))),
            match (self.in_wal, self.stop_s()) {
                (true, _) =>
                    "nobody waits for a lock of the copy; the WAL grows by what is committed meanwhile".to_owned(),
                (false, Some(stop_s)) => format!(
                    "nobody could commit for those {stop_s:.1} s, and once somebody waits to, nobody new could read"
                ),
                (false, None) => "how long it would hold up commits is not known beforehand".to_owned(),
            }
        )
    }
}

/// How long, and from what that is known.
struct Took(Expected);

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Expected { duration_s, bytes, sampled_bytes } = self.0;
        let rate = bytes as f64 / duration_s.max(f64::MIN_POSITIVE) / 1e6;
        write!(f, "about {duration_s:.1} s, at {rate:.0} MB/s, measured on {} MB of it", sampled_bytes / 1_000_000)
    }
}

/// What a copy at a pace did, and what its file systems could not do.
pub(super) fn words(pace: &PaceResult, strategy: Strategy, in_wal: bool) -> String {
    let PaceResult { longest_piece_s, rested_s, pressed_s, wal_bytes_max, .. } = *pace;
    let mut words = vec![format!("rested {rested_s:.2} s; the slowest MiB took {:.0} ms", longest_piece_s * 1e3)];
    if in_wal {
        words.push(format!("the WAL had {:.1} MB at most", wal_bytes_max as f64 / 1e6));
    }
    if pressed_s > 0.0 {
        words.push(format!("hurried for {pressed_s:.1} s, so that the WAL kept to --wal-max"));
    }
    // In rollback modes it is not asked of them.
    let is_asked = in_wal && strategy == Strategy::HeldCopyGentle;
    if is_asked && !pace.is_written_past_cache {
        let what = "the file system of the copy does not write past the page cache: the copy went through it, and out of it after \
            each sync";
        words.push(what.to_owned());
    }
    if is_asked && !pace.is_read_past_cache {
        let what = "the file system of the database does not read past the page cache: the copy came through it";
        words.push(what.to_owned());
    }
    words.push(String::new());
    words.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_system_cannot_do_is_said_where_it_was_asked() {
        let pace = PaceResult { wal_bytes_max: 2_000_000, ..PaceResult::default() };
        for (strategy, in_wal, lines) in
            [(Strategy::HeldCopyGentle, true, 4), (Strategy::HeldCopy, true, 2), (Strategy::HeldCopyGentle, false, 1)]
        {
            let said = words(&pace, strategy, in_wal);
            assert_eq!(said.lines().count(), lines, "{strategy} {in_wal}: {said}");
        }
        let past = PaceResult {
            is_read_past_cache: true,
            is_written_past_cache: true,
            pressed_s: 1.0,
            ..PaceResult::default()
        };
        assert!(words(&past, Strategy::HeldCopyGentle, true).ends_with("kept to --wal-max\n"));
    }

    #[test]
    fn rates_and_times_by_table() {
        for (text, bytes) in [
            ("200MB/s", Some(200_000_000)),
            ("1GiB/s", Some(1 << 30)),
            ("64KiB", Some(1 << 16)),
            ("9kB/s", None),
            ("fast", None),
        ] {
            assert_eq!(rate(text).ok().map(|rate| rate.bytes), bytes, "{text}");
        }
        for (text, seconds) in
            [("10s", Some(10)), ("2m", Some(120)), ("1h 5s", Some(3_605)), ("-1s", None), ("10", None), ("soon", None)]
        {
            assert_eq!(time(text).ok(), seconds.map(Duration::from_secs), "{text}");
        }
    }
}

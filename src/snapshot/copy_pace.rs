//! How fast a copy goes: as fast as others let it.
//!
//! A copy works a piece at a time, and rests after each. It rests a quarter of the time that the piece took where that is what a
//! piece takes in quiet; where it took twice as long somebody else was using the disk, and it rests longer in proportion to
//! both. What is quiet for a piece that was in memory is another time than for one that comes from the disk. So its share of the disk's time falls from four fifths to a half, a third and less, and nobody has to say how
//! fast the disk is. The system's own measure, `/proc/pressure/io`, is of no use here: it counts this copy's waiting, too.
//!
//! Where the WAL comes close to its bound while the copy holds it, resting ends.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::past_cache::ReadFrom;

/// The share of a quiet piece's time that is rested after it.
const REST: f64 = 0.25;
/// How many times longer than in quiet a piece is taken to have lasted at most.
const SLOWNESS_MOST: f64 = 8.0;
/// No rest is longer.
const REST_MOST: Duration = Duration::from_millis(200);
/// By how much what is taken for quiet rises with each piece, so that one lucky piece is forgotten after some hundreds.
const FORGET: f64 = 1.002;

/// The pace of a copy.
#[derive(Debug)]
pub(super) struct CopyPace {
    begun: Instant,
    yields: bool,
    max_rate_bytes_s: Option<u64>,
    bytes: u64,
    /// What a piece takes in quiet that was in memory.
    quiet_from_cache_s: Option<f64>,
    /// What one takes that comes from the disk.
    quiet_from_disk_s: Option<f64>,
    /// Pieces so far.
    pub(super) pieces: u64,
    /// The longest that one took.
    pub(super) longest_piece: Duration,
    /// Rested so far.
    pub(super) rested: Duration,
}

impl CopyPace {
    /// Of a copy that begins now. `yields` has it rest; the rate is a bound in any case.
    pub(super) fn begin(yields: bool, max_rate_bytes_s: Option<u64>) -> Self {
        Self {
            begun: Instant::now(),
            yields,
            max_rate_bytes_s,
            bytes: 0,
            quiet_from_cache_s: None,
            quiet_from_disk_s: None,
            pieces: 0,
            longest_piece: Duration::ZERO,
            rested: Duration::ZERO,
        }
    }

    /// Rests after a piece of so many bytes that took so long, unless the copy is pressed.
    pub(super) fn after_piece(&mut self, bytes: u64, read_from: ReadFrom, took: Duration, is_pressed: bool) {
        self.bytes += bytes;
        self.pieces += 1;
        self.longest_piece = self.longest_piece.max(took);
        let yielding = self.yielding(read_from, took);
        if is_pressed {
            return;
        }
        let rest = yielding.max(self.keeping_rate(self.begun.elapsed()));
        if !rest.is_zero() {
            let before = Instant::now();
            thread::sleep(rest);
            self.rested += before.elapsed();
        }
    }

    /// How long to rest so that others can work; notes what a piece takes.
    fn yielding(&mut self, read_from: ReadFrom, took: Duration) -> Duration {
        let took_s = took.as_secs_f64();
        let quiet = match read_from {
            ReadFrom::Cache => &mut self.quiet_from_cache_s,
            ReadFrom::Disk => &mut self.quiet_from_disk_s,
        };
        let quiet_s = quiet.map_or(took_s, |quiet_s| took_s.min(quiet_s * FORGET));
        *quiet = Some(quiet_s);
        if !self.yields || took_s <= 0.0 {
            return Duration::ZERO;
        }
        let slowness = (took_s / quiet_s).clamp(1.0, SLOWNESS_MOST);
        Duration::try_from_secs_f64(took_s * REST * slowness).unwrap_or(REST_MOST).min(REST_MOST)
    }

    /// How long to rest so that the bound on the rate holds.
    fn keeping_rate(&self, elapsed: Duration) -> Duration {
        let Some(rate) = self.max_rate_bytes_s.filter(|rate| *rate > 0) else { return Duration::ZERO };
        let due = Duration::try_from_secs_f64(self.bytes as f64 / rate as f64).unwrap_or(Duration::MAX);
        due.saturating_sub(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_more_where_a_piece_takes_longer_than_in_quiet() {
        for (pieces_ms, rest_ms) in [
            (&[4.0][..], 1.0),
            (&[4.0, 4.0], 1.0),
            (&[4.0, 8.0], 4.0),
            (&[4.0, 16.0], 16.0),
            (&[4.0, 32.0], 64.0),
            (&[4.0, 64.0], 128.0),
            (&[4.0, 4_000.0], 200.0),
            (&[8.0, 4.0], 1.0),
            (&[0.0, 4.0], 8.0),
        ] {
            let mut pace = CopyPace::begin(true, None);
            let mut rest = Duration::ZERO;
            for piece_ms in pieces_ms {
                rest = pace.yielding(ReadFrom::Disk, Duration::from_secs_f64(piece_ms / 1e3));
            }
            let rest_is_ms = rest.as_secs_f64() * 1e3;
            assert!((rest_is_ms - rest_ms).abs() < 0.02 * rest_ms, "{pieces_ms:?}: {rest_is_ms}");
        }
        assert_eq!(CopyPace::begin(false, None).yielding(ReadFrom::Disk, Duration::from_secs(1)), Duration::ZERO);
    }

    #[test]
    fn a_piece_from_the_disk_is_not_slow_because_one_from_memory_was_fast() {
        let mut pace = CopyPace::begin(true, None);
        for (read_from, piece_ms, rest_ms) in
            [(ReadFrom::Cache, 4, 1), (ReadFrom::Disk, 8, 2), (ReadFrom::Disk, 16, 8), (ReadFrom::Cache, 8, 4)]
        {
            let rest = pace.yielding(read_from, Duration::from_millis(piece_ms));
            assert!(
                rest.abs_diff(Duration::from_millis(rest_ms)) < Duration::from_micros(100),
                "{read_from:?}: {rest:?}"
            );
        }
    }

    #[test]
    fn a_rate_is_a_bound() {
        let mut pace = CopyPace::begin(false, Some(100));
        pace.bytes = 250;
        for (elapsed_ms, rest_ms) in [(0, 2_500), (1_000, 1_500), (2_500, 0), (9_000, 0)] {
            let elapsed = Duration::from_millis(elapsed_ms);
            assert_eq!(pace.keeping_rate(elapsed), Duration::from_millis(rest_ms), "after {elapsed_ms} ms");
        }
        assert_eq!(CopyPace::begin(true, None).keeping_rate(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn who_is_pressed_rests_not() {
        let mut pace = CopyPace::begin(true, Some(1));
        pace.after_piece(1 << 20, ReadFrom::Disk, Duration::from_secs(1), true);
        assert_eq!((pace.pieces, pace.rested), (1, Duration::ZERO));
    }
}

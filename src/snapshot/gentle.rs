//! A database copied from its first page to its last, at a pace that others do not feel.
//!
//! The pages come from the main file and from a copy of the WAL ([`super::wal_frames`]), the file is read and written without a
//! trace in the page cache ([`super::past_cache`]), and the copy rests after every piece ([`super::copy_pace`]). Why that is one
//! state of the database is the business of [`super::held_copy`], which holds a read transaction meanwhile.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    copy_pace::CopyPace,
    past_cache::{self, BLOCK_BYTES, Block, CacheUse, PIECE_BYTES, ReadFrom, Source, Target},
    wal_frames::WalFrames,
};
use crate::sqlite;

/// How a copy is made that is not left to `cp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    /// Whether the page cache stays as it was.
    pub(super) cache: CacheUse,
    /// The most that it copies in a second.
    pub(super) max_rate_bytes_s: Option<u64>,
    /// After how many bytes it is synced; by default 1 MiB where the cache stays as it was, and never elsewhere.
    pub(super) writeback_bytes: Option<u64>,
    /// How large the WAL may grow meanwhile.
    pub(super) wal_bytes_max: Option<u64>,
    /// At which level of zstd it is compressed, if it is.
    pub(super) zstd_level: Option<i32>,
}

/// What a copy at a pace did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PaceResult {
    /// Pieces that it was copied in.
    pub pieces: u64,
    /// The longest that reading, writing and syncing one of them took, in seconds.
    pub longest_piece_s: f64,
    /// How long it rested, in all, in seconds.
    pub rested_s: f64,
    /// How long it did not rest because the WAL came close to its bound, in seconds.
    pub pressed_s: f64,
    /// The largest size of the live WAL that it saw, in bytes; 0 where there was none.
    pub wal_bytes_max: u64,
    /// Bytes of the main file that were read past the page cache.
    pub read_past_cache_bytes: u64,
    /// Bytes of the main file that were taken from the page cache, or came through it.
    pub read_through_cache_bytes: u64,
    /// Whether what was not in the page cache was read past it; else it came through it.
    pub is_read_past_cache: bool,
    /// Whether the copy was written past the page cache.
    pub is_written_past_cache: bool,
}

impl Manner {
    fn pace(self) -> CopyPace {
        CopyPace::begin(self.cache == CacheUse::Neutral, self.max_rate_bytes_s)
    }

    fn sync_every_bytes(self) -> Option<u64> {
        let default = match self.cache {
            CacheUse::Neutral => Some(PIECE_BYTES as u64),
            CacheUse::Normal => None,
        };
        self.writeback_bytes.or(default)
    }
}

/// A live database that is held.
pub(super) struct Live<'a> {
    /// Its main file.
    pub(super) main: &'a mut Source,
    /// What a copy of its WAL holds.
    pub(super) frames: &'a WalFrames,
    /// The WAL itself, of which the size is watched.
    pub(super) wal: &'a Path,
    /// Its size when the holding began.
    pub(super) wal_first_bytes: u64,
}

/// Where the pages go.
enum Sink {
    Plain(Target),
    Compressed(zstd::Encoder<'static, Target>),
}

impl Sink {
    fn create(out: &Path, bytes: u64, manner: Manner) -> io::Result<Self> {
        // How small it will be compressed, nobody knows.
        let expected_bytes = if manner.zstd_level.is_some() { 0 } else { bytes };
        let target = Target::create(out, expected_bytes, manner.cache, manner.sync_every_bytes())?;
        let Some(level) = manner.zstd_level else { return Ok(Self::Plain(target)) };
        let mut encoder = zstd::Encoder::new(target, level)?;
        encoder.include_checksum(true)?;
        encoder.set_pledged_src_size(Some(bytes))?;
        Ok(Self::Compressed(encoder))
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(target) => target.write_all(bytes),
            Self::Compressed(encoder) => encoder.write_all(bytes),
        }
    }

    /// Says whether it was written past the page cache.
    fn finish(self) -> io::Result<bool> {
        let target = match self {
            Self::Plain(target) => target,
            Self::Compressed(encoder) => encoder.finish()?,
        };
        let is_past_cache = target.is_past_cache;
        target.finish()?;
        Ok(is_past_cache)
    }
}

/// Copies a database to a file that it makes. `after_piece` is told how many bytes are copied.
pub(super) fn copy(live: Live<'_>, out: &Path, manner: Manner, after_piece: &mut dyn FnMut(u64)) -> Result<PaceResult> {
    let Live { main: source, frames, wal, wal_first_bytes } = live;
    let main_bytes = source.length().context("cannot look at the live database")?;
    let bytes = frames.database_bytes().unwrap_or(main_bytes);
    let describe = || format!("cannot write {}", out.display());
    let mut target = Sink::create(out, bytes, manner).with_context(describe)?;
    let mut pace = manner.pace();
    let mut watch = WalWatch::begin(wal, wal_first_bytes, manner.wal_bytes_max);
    let mut block = Block::new();
    let mut offset = 0;
    while offset < bytes {
        let begun = Instant::now();
        let length = usize::try_from(bytes - offset).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
        // Whole blocks are read past the cache, also at the end.
        let blocks = &mut block.bytes()[..length.next_multiple_of(BLOCK_BYTES)];
        let (read, read_from) = source.read_at(blocks, offset).context("cannot read the live database")?;
        let piece = &mut blocks[..length];
        frames.overlay(piece, offset, read.min(length)).context("cannot read the live database")?;
        target.write(piece).with_context(describe)?;
        offset += length as u64;
        let is_pressed = watch.is_pressed(offset as f64 / bytes as f64)?;
        pace.after_piece(length as u64, read_from, begun.elapsed(), is_pressed);
        after_piece(offset);
    }
    let is_written_past_cache = target.finish().with_context(describe)?;
    Ok(PaceResult {
        pressed_s: watch.pressed.as_secs_f64(),
        wal_bytes_max: watch.most_bytes,
        read_past_cache_bytes: source.past_cache_bytes,
        read_through_cache_bytes: source.through_cache_bytes,
        is_read_past_cache: source.is_past_cache(),
        is_written_past_cache,
        ..said_by(&pace)
    })
}

/// Copies parts of a file, each a piece long, as [`copy`] copies all of it, and says how long that took.
pub(super) fn copy_parts(from: &Path, offsets: &[u64], out: &Path, manner: Manner) -> io::Result<Duration> {
    let begun = Instant::now();
    let mut source = Source::open(from, manner.cache)?;
    let bytes = (offsets.len() * PIECE_BYTES) as u64;
    let mut target = Sink::create(out, bytes, manner)?;
    let mut pace = manner.pace();
    let mut block = Block::new();
    for offset in offsets {
        let begun = Instant::now();
        let (read, read_from) = source.read_at(block.bytes(), *offset)?;
        target.write(&block.bytes()[..read])?;
        pace.after_piece(read as u64, read_from, begun.elapsed(), false);
    }
    target.finish()?;
    Ok(begun.elapsed())
}

/// Compresses a copy that was made at full speed, and removes it.
pub(super) fn compress(plain: &Path, out: &Path, manner: Manner) -> Result<PaceResult> {
    let describe = || format!("cannot compress {}", plain.display());
    let mut source = Source::open(plain, manner.cache).with_context(describe)?;
    let frames = unnamed_file_beside(out).and_then(WalFrames::read).with_context(describe)?;
    let nothing = sqlite::side_file(plain, "-wal");
    let live = Live { main: &mut source, frames: &frames, wal: &nothing, wal_first_bytes: 0 };
    let pace = copy(live, out, manner, &mut |_| ())?;
    fs::remove_file(plain).with_context(|| format!("cannot remove {}", plain.display()))?;
    Ok(pace)
}

/// Writes to the disk what a copy at full speed has left in memory.
pub(super) fn write_back(out: &Path, manner: Manner) -> Result<PaceResult> {
    let mut pace = manner.pace();
    let mut begun = Instant::now();
    let written = past_cache::write_back(out, |bytes| {
        pace.after_piece(bytes, ReadFrom::Cache, begun.elapsed(), false);
        begun = Instant::now();
    });
    written.with_context(|| format!("cannot write back {}", out.display()))?;
    Ok(said_by(&pace))
}

fn said_by(pace: &CopyPace) -> PaceResult {
    PaceResult {
        pieces: pace.pieces,
        longest_piece_s: pace.longest_piece.as_secs_f64(),
        rested_s: pace.rested.as_secs_f64(),
        ..PaceResult::default()
    }
}

/// The live WAL, which grows as long as the copy holds it.
struct WalWatch<'a> {
    wal: &'a Path,
    bound_bytes: Option<u64>,
    first_bytes: u64,
    most_bytes: u64,
    pressed: Duration,
    pressed_since: Option<Instant>,
}

impl<'a> WalWatch<'a> {
    fn begin(wal: &'a Path, first_bytes: u64, bound_bytes: Option<u64>) -> Self {
        let (pressed, pressed_since) = (Duration::ZERO, None);
        Self { wal, bound_bytes, first_bytes, most_bytes: first_bytes, pressed, pressed_since }
    }

    /// Looks at the WAL when so much of the copy is done, from 0 to 1: whether it would grow beyond its bound at this pace.
    /// Fails where it has.
    fn is_pressed(&mut self, done: f64) -> Result<bool> {
        let now_bytes = bytes_of(self.wal);
        self.most_bytes = self.most_bytes.max(now_bytes);
        let is_pressed = match self.bound_bytes {
            None => false,
            Some(bound_bytes) if now_bytes > self.first_bytes && now_bytes > bound_bytes => bail!(
                "{} has grown to {now_bytes} bytes while the copy held it, and {bound_bytes} were allowed; {:.0} % were \
                copied. Allow more, copy faster, or copy when fewer commit",
                self.wal.display(),
                done * 100.0
            ),
            Some(bound_bytes) => is_to_hurry(self.first_bytes, now_bytes, bound_bytes, done),
        };
        let since = self.pressed_since.take();
        self.pressed += since.map_or(Duration::ZERO, |since| since.elapsed());
        self.pressed_since = is_pressed.then(Instant::now);
        Ok(is_pressed)
    }
}

/// Whether a WAL that has grown from `first_bytes` to `now_bytes` would come within a tenth of its bound by the end.
fn is_to_hurry(first_bytes: u64, now_bytes: u64, bound_bytes: u64, done: f64) -> bool {
    let grown = now_bytes.saturating_sub(first_bytes) as f64;
    let at_end = first_bytes as f64 + grown / done.max(f64::MIN_POSITIVE);
    grown > 0.0 && at_end > 0.9 * bound_bytes as f64
}

/// Size of a file that may not be there.
pub(super) fn bytes_of(file: &Path) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.len())
}

/// A file without a name, beside the copy, which goes when it is closed.
pub(super) fn unnamed_file_beside(out: &Path) -> io::Result<File> {
    tempfile::tempfile_in(out.parent().unwrap_or(Path::new(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_hurries_where_the_wal_would_come_close_to_its_bound() {
        for (first, now, bound, done, expected) in [
            (0, 0, 100, 0.5, false),
            (0, 10, 100, 0.5, false),
            (0, 44, 100, 0.5, false),
            (0, 46, 100, 0.5, true),
            (50, 60, 100, 0.5, false),
            (50, 60, 100, 0.2, true),
            (200, 200, 100, 0.1, false),
            (0, 1, 100, 0.0, true),
        ] {
            assert_eq!(is_to_hurry(first, now, bound, done), expected, "{first} {now} {bound} {done}");
        }
    }
}

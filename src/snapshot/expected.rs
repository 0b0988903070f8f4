//! How long a copy under a held read transaction will take, from a part of the database that is copied beforehand.
//!
//! The part is spread over the file, so that it is in memory as far as the rest is; it is copied without a lock, to a file that
//! is removed at once. What comes of it is an expectation: whoever else uses the disk meanwhile is in it, and whoever comes
//! later is not.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
    time::Instant,
};

use anyhow::{Context, Result};
use procfs_core::{FromRead as _, Meminfo};

use super::{
    gentle::{self, bytes_of},
    options::HoldOptions,
    past_cache::{CacheUse, PIECE_BYTES, Source},
};

/// Pieces of the part at most: 128 MiB.
const PIECES_MOST: u64 = 128;

/// What a copy is expected to take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    /// How long, in seconds, once it has its lock.
    pub(crate) duration_s: f64,
    /// Bytes of the database.
    pub(crate) bytes: u64,
    /// Bytes that were copied to find out.
    pub(crate) sampled_bytes: u64,
}

impl HoldOptions {
    /// What a copy of a live database with these options is expected to take, in a folder on the file system that the copy is to
    /// stand on. This process must not have the database open through SQLite.
    pub(crate) fn expected(self, live: &Path, in_wal: bool, folder: &Path) -> Result<Expected> {
        let bytes = bytes_of(live);
        let pieces = (bytes / PIECE_BYTES as u64).clamp(1, PIECES_MOST);
        let offsets: Vec<u64> =
            (0..pieces).map(|piece| bytes / pieces * piece / PIECE_BYTES as u64 * PIECE_BYTES as u64).collect();
        let sampled_bytes = (pieces * PIECE_BYTES as u64).min(bytes);
        let place = tempfile::tempdir_in(folder).context("cannot measure how fast a copy is")?;
        let out = place.path().join("part");
        let describe = || format!("cannot measure how fast {} is copied", live.display());
        let duration_s = match self.manner().filter(|_| in_wal) {
            Some(manner) => {
                let took = gentle::copy_parts(live, &offsets, &out, manner).with_context(describe)?;
                took.as_secs_f64() * bytes as f64 / sampled_bytes.max(1) as f64
            }
            None => at_full_speed(live, bytes, &offsets, &out).with_context(describe)?,
        };
        Ok(Expected { duration_s, bytes, sampled_bytes })
    }
}

/// What `cp` takes: memory is fast as long as the kernel lets pages wait there to be written, and then the disk is what counts.
fn at_full_speed(live: &Path, bytes: u64, offsets: &[u64], out: &Path) -> io::Result<f64> {
    let begun = Instant::now();
    let mut source = Source::open(live, CacheUse::Normal)?;
    let mut target = fs::File::create_new(out)?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut sampled = 0;
    for offset in offsets {
        let (read, _) = source.read_at(&mut piece, *offset)?;
        target.write_all(&piece[..read])?;
        sampled += read;
    }
    let to_memory_s = begun.elapsed().as_secs_f64();
    target.sync_data()?;
    let to_disk_s = begun.elapsed().as_secs_f64();
    let in_memory = (bytes as f64).min(waiting_bytes_most());
    let a_byte = |duration_s: f64| duration_s / sampled.max(1) as f64;
    Ok(in_memory * a_byte(to_memory_s) + (bytes as f64 - in_memory) * a_byte(to_disk_s))
}

/// How much the kernel lets wait to be written before it makes writers wait, as it says in `/proc/sys/vm`; nothing where it does
/// not say.
fn waiting_bytes_most() -> f64 {
    let number = |file: &str| fs::read_to_string(file).ok()?.trim().parse::<f64>().ok();
    let bytes = number("/proc/sys/vm/dirty_bytes").filter(|bytes| *bytes > 0.0);
    let share = || {
        let available_bytes = Meminfo::from_file("/proc/meminfo").ok()?.mem_available?;
        Some(available_bytes as f64 * number("/proc/sys/vm/dirty_ratio")? / 100.0)
    };
    bytes.or_else(share).unwrap_or(0.0)
}

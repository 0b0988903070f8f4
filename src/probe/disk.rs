//! Syncs, reads and writes in a folder, on files that are removed again.
//!
//! Times are those of a program: what a disk does shows in them as far as the file system lets it. Files are read from the disk,
//! not from the kernel's memory, which is told to forget them first. The host of a virtual disk, and the disk itself, may have
//! them in theirs all the same. On a file system in memory, nothing is forgotten.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use rustix::{
    fs::{Advice, fadvise},
    process::{Resource, getrlimit},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Effort, Latencies, Pace, SyncEffect};
use crate::{random::mix, work};

/// Bytes that are synced, and that are read and written at random places: a page of SQLite's.
const PAGE_BYTES: usize = 4096;

/// Bytes of one write or read of those that follow each other.
const PIECE_BYTES: usize = 1 << 20;

/// After so many bytes of those that are written one after the other, they are synced: a disk that is far slower than memory
/// would otherwise be waited for at the end, for longer than anybody meant to.
const SYNC_EVERY_BYTES: u64 = 16 << 20;

/// What a disk does, as a program sees it in a folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DiskProbe {
    /// `fsync` of a file of which 4 KiB were overwritten before each; `None` where it could not be measured.
    pub fsync: Option<Latencies>,
    /// `fdatasync` of the same; `None` where it could not be measured.
    pub fdatasync: Option<Latencies>,
    /// `fsync` of a folder in which a file was made or removed before each; `None` where it could not be measured.
    pub folder_sync: Option<Latencies>,
    /// Writing a new file from its beginning to its end, with an `fdatasync` after each 16 MiB and at the end; `None` where
    /// there was no room.
    pub sequential_write: Option<Throughput>,
    /// Reading that file from its beginning to its end, from the disk; `None` where there was none.
    pub sequential_read: Option<Throughput>,
    /// Reading 4 KiB at a random place of that file, each place once, from the disk; `None` where there was none.
    pub random_read: Option<Latencies>,
    /// Overwriting 4 KiB at a random place of that file, with an `fdatasync` after each, which is a part of the time; `None`
    /// where there was none.
    pub random_write: Option<Latencies>,
    /// What a sync reaches.
    pub sync_effect: SyncEffect,
}

/// How fast bytes were written or read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Throughput {
    /// How many.
    pub bytes: u64,
    /// How long it took.
    pub duration_s: f64,
    /// Bytes a second.
    pub bytes_per_s: f64,
}

impl Throughput {
    /// Of so many bytes in this time; `None` of no bytes.
    fn of(bytes: u64, duration: Duration) -> Option<Self> {
        // A clock that has not moved must not make it infinite, which JSON has no word for.
        let duration_s = duration.max(Duration::from_nanos(1)).as_secs_f64();
        (bytes > 0).then(|| Self { bytes, duration_s, bytes_per_s: bytes as f64 / duration_s })
    }
}

impl DiskProbe {
    /// Measures in a folder, which must exist and lies on a file system of this type and options. It ends soon after
    /// `interrupted` is set, with what there is. What could not be measured is `None`.
    #[must_use]
    pub fn measure(
        folder: &Path,
        file_system: &str,
        mount_options: &str,
        effort: Effort,
        interrupted: &AtomicBool,
    ) -> Self {
        let site = Site { folder, effort, interrupted };
        let fsync = site.file_sync(effort.pace_of_fsync(), File::sync_all).ok().flatten();
        let file = site.on_file().unwrap_or_default();
        Self {
            fsync,
            fdatasync: site.file_sync(effort.pace(), File::sync_data).ok().flatten(),
            folder_sync: site.folder_sync().ok().flatten(),
            sequential_write: file.sequential_write,
            sequential_read: file.sequential_read,
            random_read: file.random_read,
            random_write: file.random_write,
            sync_effect: SyncEffect::of(file_system, mount_options, fsync),
        }
    }
}

/// What is measured on one file.
#[derive(Debug, Default)]
struct OnFile {
    sequential_write: Option<Throughput>,
    sequential_read: Option<Throughput>,
    random_read: Option<Latencies>,
    random_write: Option<Latencies>,
}

/// Where and how much is measured.
#[derive(Debug, Clone, Copy)]
struct Site<'a> {
    folder: &'a Path,
    effort: Effort,
    interrupted: &'a AtomicBool,
}

impl Site<'_> {
    /// Syncs a file again and again, of which a page was overwritten.
    fn file_sync(self, pace: Pace, sync: fn(&File) -> io::Result<()>) -> io::Result<Option<Latencies>> {
        let path = tempfile::Builder::new().prefix("sync-").tempfile_in(self.folder)?.into_temp_path();
        let file = File::options().write(true).open(&path)?;
        let content = [0; PAGE_BYTES];
        // The file has its size, and its blocks, before the first sync that counts.
        file.write_all_at(&content, 0)?;
        file.sync_all()?;
        self.times(pace, |_| {
            file.write_all_at(&content, 0)?;
            timed(|| sync(&file))
        })
    }

    /// Syncs a folder again and again, in which a file was made or removed.
    fn folder_sync(self) -> io::Result<Option<Latencies>> {
        let inner = tempfile::Builder::new().prefix("folder-").tempdir_in(self.folder)?;
        let (opened, name) = (File::open(inner.path())?, inner.path().join("file"));
        opened.sync_all()?;
        self.times(self.effort.pace(), |number| {
            if number % 2 == 0 {
                File::create_new(&name)?;
            } else {
                fs::remove_file(&name)?;
            }
            timed(|| opened.sync_all())
        })
    }

    /// Writes a file from its beginning to its end, reads it so, and reads and writes at random places of it.
    fn on_file(self) -> io::Result<OnFile> {
        let bytes = bytes_that_fit(self.effort.sequential_bytes(), work::free_bytes(self.folder), file_bytes_most());
        if bytes == 0 {
            return Ok(OnFile::default());
        }
        let path = tempfile::Builder::new().prefix("disk-").tempfile_in(self.folder)?.into_temp_path();
        let file = File::options().read(true).write(true).open(&path)?;
        let sequential_write = self.write(&file, bytes)?;
        file.sync_all()?;
        // One that was stopped is as long as it was written.
        let bytes = sequential_write.map_or(0, |written| written.bytes);
        Ok(OnFile {
            sequential_write,
            sequential_read: self.read(&path)?,
            random_read: self.read_pages(&path, bytes)?,
            random_write: self.write_pages(&file, bytes)?,
        })
    }

    /// Writes from the beginning, until so many bytes are written or patience ends.
    fn write(self, file: &File, bytes: u64) -> io::Result<Option<Throughput>> {
        let mut piece = noise();
        let begun = Instant::now();
        let mut written: u64 = 0;
        while written < bytes && self.goes_on(begun) {
            stamp(&mut piece, written);
            file.write_all_at(&piece, written)?;
            written += PIECE_BYTES as u64;
            if written.is_multiple_of(SYNC_EVERY_BYTES) {
                file.sync_data()?;
            }
        }
        if !written.is_multiple_of(SYNC_EVERY_BYTES) {
            file.sync_data()?;
        }
        Ok(Throughput::of(written, begun.elapsed()))
    }

    /// Reads from the beginning, until the end or until patience ends.
    fn read(self, path: &Path) -> io::Result<Option<Throughput>> {
        let file = forgotten(path)?;
        let mut piece = vec![0; PIECE_BYTES];
        let begun = Instant::now();
        let mut read: u64 = 0;
        while self.goes_on(begun) {
            match file.read_at(&mut piece, read)? {
                0 => break,
                length => read += length as u64,
            }
        }
        Ok(Throughput::of(read, begun.elapsed()))
    }

    /// Reads pages of a file of so many bytes.
    fn read_pages(self, path: &Path, bytes: u64) -> io::Result<Option<Latencies>> {
        let file = forgotten(path)?;
        // Without it the kernel reads what follows, too. One that does not know of it measures that.
        let _ = fadvise(&file, 0, None, Advice::Random);
        let mut page = [0; PAGE_BYTES];
        let places = places(bytes, READS);
        self.times(self.effort.pace().at_most(places.len()), |number| {
            timed(|| file.read_exact_at(&mut page, places[number]))
        })
    }

    /// Overwrites pages of a file of so many bytes, each synced.
    fn write_pages(self, file: &File, bytes: u64) -> io::Result<Option<Latencies>> {
        let mut page = [0; PAGE_BYTES];
        let places = places(bytes, WRITES);
        self.times(self.effort.pace().at_most(places.len()), |number| {
            stamp(&mut page, places[number]);
            timed(|| {
                file.write_all_at(&page, places[number])?;
                file.sync_data()
            })
        })
    }

    /// The times of something that is done again and again, and told how often it was done.
    fn times(self, pace: Pace, mut once: impl FnMut(usize) -> io::Result<Duration>) -> io::Result<Option<Latencies>> {
        let mut times = Vec::new();
        let begun = Instant::now();
        while pace.goes_on(times.len(), begun.elapsed()) && !self.is_interrupted() {
            times.push(once(times.len())?);
        }
        Ok(Latencies::of(times))
    }

    fn goes_on(self, begun: Instant) -> bool {
        begun.elapsed() < self.effort.pace().patience && !self.is_interrupted()
    }

    fn is_interrupted(self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

impl Pace {
    /// The same, for no more than so many times.
    fn at_most(self, times: usize) -> Self {
        Self { times_most: self.times_most.min(times), ..self }
    }
}

fn timed(call: impl FnOnce() -> io::Result<()>) -> io::Result<Duration> {
    let begun = Instant::now();
    call()?;
    Ok(begun.elapsed())
}

/// A synced file, of which the kernel has nothing in memory any more, as far as it does as it is told.
fn forgotten(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    fadvise(&file, 0, None, Advice::DontNeed)?;
    Ok(file)
}

/// How many bytes a file may have that is to have `wanted`: whole pieces, and no more than a tenth of what is free, since others
/// need it, too. The limit on files is the process's own; beyond it the kernel would end it.
fn bytes_that_fit(wanted: u64, free: Option<u64>, limit: Option<u64>) -> u64 {
    let most = wanted.min(free.map_or(0, |free| free / 10)).min(limit.unwrap_or(u64::MAX));
    most - most % PIECE_BYTES as u64
}

/// The largest file that this process may write; `None` for any.
fn file_bytes_most() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

/// Names the order of the places that are read, and of those that are written: they differ.
const READS: u64 = 1;
const WRITES: u64 = 2;

/// The places of the pages of a file of so many bytes, each once, in an order that looks random and is the same for a seed.
fn places(bytes: u64, seed: u64) -> Vec<u64> {
    let page_bytes = PAGE_BYTES as u64;
    let mut pages: Vec<u64> = (0..bytes / page_bytes).collect();
    pages.sort_by_cached_key(|page| mix(page ^ mix(seed)));
    pages.into_iter().map(|page| page * page_bytes).collect()
}

/// A piece of a file that no disk can write as less than it is: what is equal or compresses might be.
fn noise() -> Vec<u8> {
    (0..(PIECE_BYTES / 8) as u64).flat_map(|number| mix(number).to_le_bytes()).collect()
}

/// Makes the pages in a buffer differ from those of every other place.
fn stamp(buffer: &mut [u8], place: u64) {
    for (number, page) in (0..).zip(buffer.chunks_mut(PAGE_BYTES)) {
        if let Some(first) = page.first_chunk_mut() {
            *first = mix(place + number).to_le_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn measure(folder: &Path, effort: Effort, interrupted: bool) -> DiskProbe {
        DiskProbe::measure(folder, "ext4", "rw", effort, &AtomicBool::new(interrupted))
    }

    #[test]
    fn a_folder_is_measured_in_time_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let probe = measure(folder.path(), Effort::InRun, false);
        // Whatever else the machine does: seconds at most a call.
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
        for times in [probe.fsync, probe.fdatasync, probe.folder_sync, probe.random_read, probe.random_write] {
            assert!(times.is_some_and(|times| times.count > 0 && times.p50_us.is_none_or(|p50| p50 <= times.max_us)));
        }
        let written = probe.sequential_write.unwrap();
        assert!(written.bytes.is_multiple_of(1 << 20) && written.bytes <= 16 << 20, "{written:?}");
        assert!(written.duration_s > 0.0 && written.bytes_per_s > 0.0, "{written:?}");
        assert!(probe.sequential_read.unwrap().bytes <= written.bytes);
        assert_eq!(work::files_in(folder.path()).unwrap(), [] as [std::path::PathBuf; 0]);
    }

    #[test]
    fn what_cannot_be_measured_is_unknown() {
        let folder = tempfile::tempdir().unwrap();
        let nothing = DiskProbe {
            fsync: None,
            fdatasync: None,
            folder_sync: None,
            sequential_write: None,
            sequential_read: None,
            random_read: None,
            random_write: None,
            sync_effect: SyncEffect::Unknown,
        };
        assert_eq!(measure(&folder.path().join("none"), Effort::InRun, false), nothing);
        assert_eq!(measure(folder.path(), Effort::Whole, true), nothing, "interrupted before it began");
        assert_eq!(work::files_in(folder.path()).unwrap(), [] as [std::path::PathBuf; 0]);
    }

    #[test]
    fn a_file_is_whole_pieces_and_leaves_room() {
        const MIB: u64 = 1 << 20;
        for (wanted, free, limit, expected) in [
            (16 * MIB, Some(160 * MIB), None, 16 * MIB),
            (16 * MIB, Some(160 * MIB - 1), None, 15 * MIB),
            (256 * MIB, Some(u64::MAX), None, 256 * MIB),
            (16 * MIB, Some(9 * MIB), None, 0),
            (16 * MIB, Some(0), None, 0),
            (16 * MIB, None, None, 0),
            (16 * MIB, Some(u64::MAX), Some(5 * MIB - 1), 4 * MIB),
            (16 * MIB, Some(u64::MAX), Some(0), 0),
        ] {
            assert_eq!(bytes_that_fit(wanted, free, limit), expected, "{free:?} free, {limit:?}");
        }
    }

    #[test]
    fn places_are_pages_each_once_in_two_orders() {
        let bytes = 100 * PAGE_BYTES as u64;
        let (reads, writes) = (places(bytes, READS), places(bytes, WRITES));
        assert_ne!(reads, writes);
        for places in [&reads, &writes] {
            assert!(!places.is_sorted() && places.iter().all(|place| place.is_multiple_of(PAGE_BYTES as u64)));
            let all: HashSet<_> = places.iter().collect();
            assert_eq!((all.len(), places.iter().max()), (100, Some(&(bytes - PAGE_BYTES as u64))));
        }
        assert_eq!(places(0, READS), [] as [u64; 0]);
        assert_eq!(places(PAGE_BYTES as u64 - 1, READS), [] as [u64; 0]);
    }

    #[test]
    fn no_two_pages_are_alike() {
        let mut piece = noise();
        stamp(&mut piece, 0);
        let mut pages: HashSet<Vec<u8>> = piece.chunks(PAGE_BYTES).map(<[u8]>::to_vec).collect();
        stamp(&mut piece, PIECE_BYTES as u64);
        pages.extend(piece.chunks(PAGE_BYTES).map(<[u8]>::to_vec));
        assert_eq!(pages.len(), 2 * PIECE_BYTES / PAGE_BYTES);
        stamp(&mut [], 7);
    }

    #[test]
    fn a_speed_is_finite_and_there_is_none_of_nothing() {
        assert_eq!(Throughput::of(0, Duration::from_secs(1)), None);
        let speed = Throughput::of(10, Duration::from_secs(4)).unwrap();
        assert!((speed.bytes_per_s - 2.5).abs() < 1e-9, "{speed:?}");
        assert!(Throughput::of(10, Duration::ZERO).unwrap().bytes_per_s.is_finite());
    }
}

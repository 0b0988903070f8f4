//! A large file read and another one written without a trace in the system's page cache.
//!
//! **What for:** a copy by `cp` reads the whole database into memory and leaves as much again there as pages to be written. The
//! database's own pages have to make room, and the sync at the end, or the next commit's, waits until all of it is on the disk.
//!
//! * **Reading:** a piece that is in memory, all of it, is taken from there, which spares the disk, and does not come nearer to
//!   staying there by that; any other is read past the cache (`O_DIRECT`): what is not in memory does not come in, and what is stays.
//! * **Writing:** past the cache, into space that was allocated before, and synced after so many bytes: a commit that is synced
//!   meanwhile waits for that much at most. Without these syncs the disk's own cache fills, and a commit's sync waits for all
//!   of it (`docs/copying.md` has figures).
//!
//! Where a file system knows one of these calls not, the file goes through the cache, and what was written is thrown out of it after
//! each sync; [`Source`] and [`Target`] say so. Nothing here knows of databases, and `source` must be a file that this process may open.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    num::NonZeroU64,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
};

use rustix::{
    fs::{Advice, FallocateFlags, OFlags, fadvise, fallocate, fcntl_getfl, fcntl_setfl},
    io::{Errno, ReadWriteFlags},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::cached::is_all_cached;

/// Bytes that are read and written at once.
pub(super) const PIECE_BYTES: usize = 1 << 20;

/// What the memory and the lengths of transfers past the cache must be a multiple of, on any disk of today.
pub(super) const BLOCK_BYTES: usize = 4096;

/// Whether a copy leaves the page cache as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CacheUse {
    /// It goes through the page cache, as `cp` does.
    Normal,
    /// What it reads and writes does not stay there, and what was there does.
    Neutral,
}

/// Memory for transfers past the cache.
pub(super) struct Block {
    bytes: Vec<u8>,
    begin: usize,
}

impl Block {
    pub(super) fn new() -> Self {
        let bytes = vec![0; PIECE_BYTES + BLOCK_BYTES];
        // Documented to be possibly more than the length; then transfers fail, and go through the cache.
        let begin = bytes.as_ptr().align_offset(BLOCK_BYTES).min(BLOCK_BYTES);
        Self { bytes, begin }
    }

    pub(super) fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes[self.begin..self.begin + PIECE_BYTES]
    }
}

/// Where a piece of a file was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadFrom {
    /// All of it was in the page cache, or it came through it because there was no other way.
    Cache,
    /// Past the page cache.
    Disk,
}

/// A file to read, from its beginning to its end.
#[derive(Debug)]
pub(super) struct Source {
    through_cache: File,
    /// The same, opened for reading past the cache.
    past_cache: Option<File>,
    /// Bytes that were read past the cache.
    pub(super) past_cache_bytes: u64,
    /// Bytes that were taken from the cache, or came through it.
    pub(super) through_cache_bytes: u64,
}

impl Source {
    pub(super) fn open(path: &Path, cache: CacheUse) -> io::Result<Self> {
        let through_cache = File::open(path)?;
        let is_neutral = cache == CacheUse::Neutral;
        // Some file systems know no such files.
        // The flag is one of the lowest bits of a C `int`.
        let flag = OFlags::DIRECT.bits().cast_signed();
        let open_past_cache = || OpenOptions::new().read(true).custom_flags(flag).open(path).ok();
        let past_cache = if is_neutral { open_past_cache() } else { None };
        if is_neutral {
            // Reading neither ages the other pages nor brings in the next ones. Advice: a kernel may know it not.
            let _ = fadvise(&through_cache, 0, None, Advice::Random);
            let _ = fadvise(&through_cache, 0, None, Advice::NoReuse);
        }
        Ok(Self { through_cache, past_cache, past_cache_bytes: 0, through_cache_bytes: 0 })
    }

    /// Whether what is not in memory is read past the cache.
    pub(super) fn is_past_cache(&self) -> bool {
        self.past_cache.is_some()
    }

    /// Bytes of the file, now.
    pub(super) fn length(&self) -> io::Result<u64> {
        Ok(self.through_cache.metadata()?.len())
    }

    /// Fills the buffer from an offset, as far as the file goes. Offset and length are multiples of [`BLOCK_BYTES`].
    /// Says how many bytes that were, and where from.
    pub(super) fn read_at(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<(usize, ReadFrom)> {
        if let Some(past_cache) = self.past_cache.as_ref().filter(|_| !self.is_in_cache(buffer.len(), offset)) {
            match read_all(past_cache, buffer, offset) {
                Ok(read) => {
                    self.past_cache_bytes += read as u64;
                    return Ok((read, ReadFrom::Disk));
                }
                Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => self.past_cache = None,
                Err(error) => return Err(error),
            }
        }
        let read = read_all(&self.through_cache, buffer, offset)?;
        self.through_cache_bytes += read as u64;
        Ok((read, ReadFrom::Cache))
    }

    /// Whether a part of the file is in memory, as far as the file goes. Where nobody knows, it is not.
    fn is_in_cache(&self, length: usize, offset: u64) -> bool {
        let left = self.length().unwrap_or(0).saturating_sub(offset);
        let length = left.min(length as u64);
        length > 0 && is_all_cached(&self.through_cache, offset, length) == Some(true)
    }
}

/// A file to write, from its beginning to its end.
pub(super) struct Target {
    file: File,
    /// Whether it is written past the cache.
    pub(super) is_past_cache: bool,
    /// Whether what went through the cache is thrown out of it.
    throws_out: bool,
    /// What is to be written next.
    block: Block,
    filled: usize,
    written_bytes: u64,
    synced_bytes: u64,
    sync_every_bytes: Option<u64>,
}

impl Target {
    /// Makes a file that becomes about so large. It is synced after so many bytes, if at all.
    pub(super) fn create(
        path: &Path,
        expected_bytes: u64,
        cache: CacheUse,
        sync_every_bytes: Option<u64>,
    ) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        let is_neutral = cache == CacheUse::Neutral;
        let go_past_cache = || fcntl_setfl(&file, fcntl_getfl(&file)?.union(OFlags::DIRECT));
        let is_past_cache = is_neutral && go_past_cache().is_ok();
        // Better now than when the disk is full. Some file systems cannot: then space is allocated as it is written.
        if let Err(error @ Errno::NOSPC) = fallocate(&file, FallocateFlags::KEEP_SIZE, 0, expected_bytes.max(1)) {
            return Err(error.into());
        }
        Ok(Self {
            file,
            is_past_cache,
            throws_out: is_neutral,
            block: Block::new(),
            filled: 0,
            written_bytes: 0,
            synced_bytes: 0,
            sync_every_bytes,
        })
    }

    /// Writes the rest, and gives back what was allocated in vain. What was not synced by then, the caller syncs.
    pub(super) fn finish(mut self) -> io::Result<()> {
        let length = self.written_bytes + self.filled as u64;
        if self.filled > 0 {
            // A whole block is written past the cache, and cut.
            let filled = self.filled;
            let whole = filled.next_multiple_of(BLOCK_BYTES);
            self.block.bytes()[filled..whole].fill(0);
            self.write_block(whole)?;
        }
        self.file.set_len(length)
    }

    fn write_block(&mut self, length: usize) -> io::Result<()> {
        let Self { file, block, written_bytes, .. } = self;
        let bytes = &block.bytes()[..length];
        let written = file.write_all_at(bytes, *written_bytes);
        if let Err(error) = written {
            if !self.is_past_cache || error.raw_os_error() != Some(Errno::INVAL.raw_os_error()) {
                return Err(error);
            }
            fcntl_setfl(&*file, fcntl_getfl(&*file)?.difference(OFlags::DIRECT))?;
            self.is_past_cache = false;
            file.write_all_at(bytes, *written_bytes)?;
        }
        self.written_bytes += length as u64;
        self.filled = 0;
        let unsynced = self.written_bytes - self.synced_bytes;
        if self.sync_every_bytes.is_some_and(|most| unsynced >= most) {
            self.file.sync_data()?;
            if self.throws_out && !self.is_past_cache {
                throw_out(&self.file, self.synced_bytes, unsynced);
            }
            self.synced_bytes = self.written_bytes;
        }
        Ok(())
    }
}

/// Writes what fills a piece, and keeps the rest.
impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = &mut self.block.bytes()[self.filled..];
        let now = bytes.len().min(room.len());
        room[..now].copy_from_slice(&bytes[..now]);
        self.filled += now;
        if self.filled == PIECE_BYTES {
            self.write_block(PIECE_BYTES)?;
        }
        Ok(now)
    }

    /// Does nothing: what does not fill a piece can be written at the end only.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to the disk what a file that was just written has in memory, a piece at a time with a sync of that piece alone, and
/// throws it out of memory. `after_piece` is told how many bytes that were.
pub(super) fn write_back(path: &Path, mut after_piece: impl FnMut(u64)) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut block = Block::new();
    let mut offset = 0;
    loop {
        let read = read_all(&file, block.bytes(), offset)?;
        if read == 0 {
            return Ok(());
        }
        write_synced(&file, &block.bytes()[..read], offset)?;
        throw_out(&file, offset, read as u64);
        offset += read as u64;
        after_piece(read as u64);
    }
}

/// Writes with `RWF_DSYNC`, which syncs these bytes and no others of the file.
fn write_synced(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwritev2(file, &[io::IoSlice::new(bytes)], offset, ReadWriteFlags::DSYNC) {
            Ok(written) => {
                bytes = &bytes[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            // A kernel or file system that does not know it: the whole file is synced then.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => return file.sync_data(),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Reads until the buffer is full or the file ends.
fn read_all(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        // Past the cache only the end of the file comes in part of a block, and the next read would not begin at one.
        if filled % BLOCK_BYTES != 0 {
            break;
        }
    }
    Ok(filled)
}

/// Advice: where it is not taken, pages stay in memory.
fn throw_out(file: &File, offset: u64, length: u64) {
    if let Some(length) = NonZeroU64::new(length) {
        let _ = fadvise(file, offset, Some(length), Advice::DontNeed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: [usize; 7] = [0, 1, 4_095, 4_096, PIECE_BYTES - 1, PIECE_BYTES, 3 * PIECE_BYTES + 1_234];

    fn content(length: usize) -> Vec<u8> {
        (0..length).map(|at| (at % 251).to_le_bytes()[0]).collect()
    }

    #[test]
    fn what_is_read_is_the_file_whether_it_is_in_memory_or_not() {
        let folder = tempfile::tempdir().unwrap();
        for length in LENGTHS {
            let path = folder.path().join(length.to_string());
            std::fs::write(&path, content(length)).unwrap();
            for (cache, is_in_memory) in
                [(CacheUse::Normal, true), (CacheUse::Neutral, true), (CacheUse::Neutral, false)]
            {
                let file = File::open(&path).unwrap();
                file.sync_all().unwrap();
                if !is_in_memory {
                    throw_out(&file, 0, length as u64);
                }
                let mut source = Source::open(&path, cache).unwrap();
                let (mut read, mut block) = (Vec::new(), Block::new());
                loop {
                    let offset = read.len();
                    let left = PIECE_BYTES.min(length - offset) as u64;
                    let is_cached = left > 0 && is_all_cached(&file, offset as u64, left) == Some(true);
                    let (bytes, read_from) = source.read_at(block.bytes(), offset as u64).unwrap();
                    if source.is_past_cache() {
                        let expected = if is_cached { ReadFrom::Cache } else { ReadFrom::Disk };
                        assert_eq!(read_from, expected, "{length} {is_in_memory} at {offset}");
                    }
                    if bytes == 0 {
                        break;
                    }
                    read.extend_from_slice(&block.bytes()[..bytes]);
                }
                let context = format!("{length} {cache:?} {is_in_memory}: {source:?}");
                assert!(read == content(length), "{context}");
                let all = source.past_cache_bytes + source.through_cache_bytes;
                assert_eq!(all, length as u64, "{context}");
            }
        }
    }

    #[test]
    fn what_is_written_is_the_file_however_it_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        for length in LENGTHS {
            for (cache, sync_every_bytes) in [
                (CacheUse::Normal, None),
                (CacheUse::Normal, Some(4_096)),
                (CacheUse::Neutral, None),
                (CacheUse::Neutral, Some(4_096)),
                (CacheUse::Neutral, Some(2 << 20)),
            ] {
                for expected_bytes in [0, length as u64, 9 << 20] {
                    let path = folder.path().join("written");
                    let mut target = Target::create(&path, expected_bytes, cache, sync_every_bytes).unwrap();
                    for part in content(length).chunks(300_001) {
                        target.write_all(part).unwrap();
                    }
                    target.finish().unwrap();
                    assert!(std::fs::read(&path).unwrap() == content(length), "{length} {cache:?} {expected_bytes}");
                    std::fs::remove_file(&path).unwrap();
                }
            }
        }
    }

    #[test]
    fn what_exists_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "somebody's").unwrap();
        assert!(Target::create(&path, 10, CacheUse::Neutral, None).is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"somebody's");
    }

    #[test]
    fn writing_back_changes_nothing_and_tells_of_each_piece() {
        let folder = tempfile::tempdir().unwrap();
        for length in LENGTHS {
            let path = folder.path().join(length.to_string());
            std::fs::write(&path, content(length)).unwrap();
            let mut told = 0;
            write_back(&path, |bytes| told += bytes).unwrap();
            assert_eq!(told, length as u64);
            assert!(std::fs::read(&path).unwrap() == content(length), "{length}");
        }
    }
}

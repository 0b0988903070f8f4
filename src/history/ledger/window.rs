//! A part of a ledger's file, mapped into memory to be written.
//!
//! What is stored into a shared mapping is in the operating system's hands at once, as the bytes of a write are, but without
//! a system call: it outlives a killed process as well as they do, and a power loss as little.
//!
//! A store for which there is no file, or no room on the disk, would end the process with SIGBUS. So the room is reserved
//! before a part is mapped, where a full disk is an error like any other; and nobody cuts the file while it is mapped: it
//! was created by this process, in the folder of its run, which other runs leave alone as long as this one holds its lock.
//! Should a user cut it by hand, or the disk fail, the process ends, and what it had acknowledged is in the file as after
//! any kill.

#![expect(unsafe_code, reason = "mapped memory is reached through a pointer")]

use std::{fs::File, io, os::unix::fs::FileExt, slice, sync::atomic::AtomicU64};

use memmap2::{MmapOptions, MmapRaw};
use rustix::{
    fs::{FallocateFlags, fallocate},
    io::{Errno, retry_on_intr},
};

use super::record::{RECORD_BYTES, RECORD_WORDS};

/// Bytes of a window: two seconds of 17,000 records each. A process that is killed leaves fewer zeros than the reader takes
/// for holes, and the commit that needs the next window waits for tens of microseconds and not for milliseconds.
pub(super) const WINDOW_BYTES: usize = 1 << 20;

/// Records in a window.
pub(super) const WINDOW_RECORDS: usize = WINDOW_BYTES / RECORD_BYTES;

/// A window. It is unmapped when it is dropped.
#[derive(Debug)]
pub(super) struct Window(MmapRaw);

impl Window {
    /// Maps the window of this number, from 0. Its room on the disk is reserved before; what is there stays.
    ///
    /// # Errors
    /// That there is no room, and what else the operating system says.
    pub(super) fn open(file: &File, number: usize) -> io::Result<Self> {
        let start = number as u64 * WINDOW_BYTES as u64;
        match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), start, WINDOW_BYTES as u64)) {
            Err(Errno::OPNOTSUPP) => write_zeros(file, start + WINDOW_BYTES as u64)?,
            reserved => reserved?,
        }
        MmapOptions::new().offset(start).len(WINDOW_BYTES).map_raw(file).map(Self)
    }

    /// The places of its records. Other processes may read the file meanwhile, or even write to it.
    pub(super) fn records(&self) -> &[[AtomicU64; RECORD_WORDS]] {
        let first = self.0.as_ptr();
        #[expect(
            clippy::cast_ptr_alignment,
            reason = "a mapping begins at a page, and a window at a multiple of its size"
        )]
        let first = first.cast::<[AtomicU64; RECORD_WORDS]>();
        // SAFETY: the mapping is `WINDOW_BYTES` long, readable and writable, begins at a page, and stays as long as `self`,
        // which the slice borrows. Every bit pattern is a valid integer. Nothing in this process refers to the memory but
        // as atomic integers, so that whatever another process stores there is a race of atomics only.
        unsafe { slice::from_raw_parts(first, WINDOW_RECORDS) }
    }
}

/// Makes a file as long as `end` where the file system reserves no room otherwise.
fn write_zeros(file: &File, end: u64) -> io::Result<()> {
    let from = file.metadata()?.len();
    let zeros = vec![0; usize::try_from(end.saturating_sub(from)).map_err(io::Error::other)?];
    file.write_all_at(&zeros, from)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::*;

    #[test]
    fn a_window_is_a_part_of_its_file_and_keeps_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        let store =
            |number| Window::open(&file, number).unwrap().records()[1][0].store(number as u64 + 5, Ordering::Release);
        store(0);
        store(2);
        assert_eq!(Window::open(&file, 0).unwrap().records()[1][0].load(Ordering::Acquire), 5);
        write_zeros(&file, 2 * WINDOW_BYTES as u64).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 3 * WINDOW_BYTES);
        let found: Vec<_> = (0..bytes.len()).filter(|place| bytes[*place] != 0).collect();
        assert_eq!(found, [RECORD_BYTES, 2 * WINDOW_BYTES + RECORD_BYTES]);
        write_zeros(&file, 4 * WINDOW_BYTES as u64).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 4 * WINDOW_BYTES as u64);
    }
}

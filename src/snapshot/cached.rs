//! Whether a part of a file is in the page cache, all of it: the system call `cachestat` of Linux 6.5 and later.
//!
//! It looks and changes nothing: nothing is read, nothing comes nearer to staying or going. `mincore` would need a mapping of the
//! live file, and `RWF_NOWAIT` begins to read what it does not find.

#![expect(unsafe_code, reason = "there is no safe wrapper of the system call")]

use std::{fs::File, os::fd::AsRawFd};

/// What is asked: `struct cachestat_range` of `linux/mman.h`.
#[repr(C)]
struct Range {
    offset_bytes: u64,
    length_bytes: u64,
}

/// What is answered: `struct cachestat` of `linux/mman.h`, in pages.
#[repr(C)]
#[derive(Default)]
struct Answer {
    in_cache: u64,
    dirty: u64,
    in_writeback: u64,
    evicted: u64,
    recently_evicted: u64,
}

/// Its number where it is the same on all processors, which leaves out Alpha and MIPS.
const NUMBER: Option<libc::c_long> =
    if cfg!(all(target_os = "linux", target_pointer_width = "64", not(target_arch = "mips64"))) {
        Some(451)
    } else {
        None
    };

/// Whether every page of a part of a file is in the page cache; `None` where the system does not say.
///
/// A file system with pages larger than the processor's counts as many of these.
pub(super) fn is_all_cached(file: &File, offset_bytes: u64, length_bytes: u64) -> Option<bool> {
    let number = NUMBER?;
    let range = Range { offset_bytes, length_bytes };
    let mut answer = Answer::default();
    let flags: libc::c_uint = 0;
    // SAFETY: both structures are laid out as the kernel has them, are valid for the length of the call, and the kernel
    // writes to the second alone, no more than its size. The descriptor is open as long as `file` is.
    let status = unsafe { libc::syscall(number, file.as_raw_fd(), &raw const range, &raw mut answer, flags) };
    let page_bytes = rustix::param::page_size() as u64;
    let first_page = offset_bytes / page_bytes;
    let pages = (offset_bytes + length_bytes).div_ceil(page_bytes) - first_page;
    (status == 0).then_some(answer.in_cache >= pages)
}

#[cfg(test)]
mod tests {
    use std::{io::Write as _, num::NonZeroU64};

    use rustix::fs::{Advice, fadvise};

    use super::*;

    /// Whether this kernel knows the call: from 6.5 on.
    fn is_known() -> bool {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut numbers = release.split(|character: char| !character.is_ascii_digit()).map(str::parse);
        let mut next = || numbers.next().and_then(Result::ok).unwrap_or(0_u32);
        (next(), next()) >= (6, 5)
    }

    /// Where the kernel does not say, there is nothing to see.
    #[test]
    fn it_tells_what_is_in_memory_from_what_is_not() {
        let mut file = tempfile::tempfile_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        // What is written at once may lie in memory as one block, which leaves it as one.
        for _ in 0..3 {
            file.write_all(&vec![7; 1 << 20]).unwrap();
        }
        file.sync_all().unwrap();
        let Some(is_cached) = is_all_cached(&file, 0, 3 << 20) else {
            return assert!(!is_known(), "this kernel knows cachestat");
        };
        assert!(is_cached);
        fadvise(&file, 1 << 20, NonZeroU64::new(1 << 20), Advice::DontNeed).unwrap();
        for (offset, length, expected) in [
            (0, 1 << 20, true),
            (1 << 20, 1 << 20, false),
            (2 << 20, 1 << 20, true),
            (0, 3 << 20, false),
            (4_096, 1, true),
        ] {
            assert_eq!(is_all_cached(&file, offset, length), Some(expected), "{offset} {length}");
        }
    }
}

//! The shared memory of a database in WAL mode: its locks tell how long a reader holds the log and whether a checkpoint found
//! another under way, and its first page how far a checkpoint went.
//!
//! What is relied on, beside what [`super`] does: the first region that is mapped stays where it is until `xShmUnmap`, and begins with
//! the header of the WAL's index, whose layout is a part of SQLite's file format (`walformat.html`, 2). Regions are pages of memory, so that the numbers in it are aligned.

use std::{
    ffi::{c_int, c_void},
    ptr,
    time::Instant,
};

use rusqlite::ffi::{
    SQLITE_BUSY, SQLITE_OK, SQLITE_SHM_EXCLUSIVE, SQLITE_SHM_LOCK, SQLITE_SHM_SHARED, SQLITE_SHM_UNLOCK, sqlite3_file,
};

use super::File;
use crate::io::{counts::FileKind, record};

/// The lock of a checkpointer.
const CHECKPOINT_LOCK: c_int = 1;

/// The first of the locks that read transactions hold, of `WAL_READ_LOCK(0)` to the last; those before it are the writer's, the
/// checkpointer's and that of a recovery (`wal.c`).
const FIRST_READ_LOCK: c_int = 3;

/// Where the header of the index has `mxFrame`, the frames in the log.
const LOG_FRAMES_AT: usize = 16;

/// Where it has `nBackfillAttempted`: a checkpoint sets it, before it moves a page, to the frame up to which it will.
const MOVED_FRAMES_AT: usize = 128;

/// `xShmMap`: the first region is mapped once a connection.
pub(super) unsafe extern "C" fn map(
    file: *mut sqlite3_file,
    region: c_int,
    bytes: c_int,
    extend: c_int,
    out: *mut *mut c_void,
) -> c_int {
    // SAFETY: see `pass_on`; `out` is a place for the address, which is null where nothing was mapped.
    unsafe {
        let result = pass_on!(file, xShmMap, region, bytes, extend, out);
        if region == 0 {
            record::file(FileKind::Shm, |counts| counts.opens += 1);
            (*file.cast::<File>()).index = (*out).cast_const().cast();
        }
        result
    }
}

/// `xShmUnmap`.
pub(super) unsafe extern "C" fn unmap(file: *mut sqlite3_file, delete: c_int) -> c_int {
    // SAFETY: see `pass_on`; nobody looks at the index any more.
    unsafe {
        (*file.cast::<File>()).index = ptr::null();
        pass_on!(file, xShmUnmap, delete)
    }
}

/// `xShmLock`: a read transaction holds a shared lock from its beginning to its end, a checkpoint an exclusive one.
pub(super) unsafe extern "C" fn lock(file: *mut sqlite3_file, offset: c_int, count: c_int, flags: c_int) -> c_int {
    // SAFETY: see `pass_on`; a file is used by one thread at a time, so that nobody else has a reference to it.
    unsafe {
        let result = pass_on!(file, xShmLock, offset, count, flags);
        let is = |flag: c_int| flags & flag != 0;
        if offset == CHECKPOINT_LOCK && is(SQLITE_SHM_LOCK) && is(SQLITE_SHM_EXCLUSIVE) && result == SQLITE_BUSY {
            record::checkpoint_was_busy();
        }
        if is(SQLITE_SHM_SHARED) && offset >= FIRST_READ_LOCK && result == SQLITE_OK {
            let since = &mut (*file.cast::<File>()).wal_read_since;
            if is(SQLITE_SHM_LOCK) {
                *since = Some(Instant::now());
            } else if is(SQLITE_SHM_UNLOCK)
                && let Some(since) = since.take()
            {
                record::wal_was_read(since.elapsed());
            }
        }
        result
    }
}

/// `xShmBarrier`.
pub(super) unsafe extern "C" fn barrier(file: *mut sqlite3_file) {
    // SAFETY: see `pass_on`.
    unsafe { pass_on!(file, xShmBarrier) }
}

/// How many frames the log has; `None` where no index is mapped. Others may add to them at any time.
///
/// SAFETY of its uses: `file` is a file of ours that is open.
pub(super) unsafe fn log_frames(file: *mut sqlite3_file) -> Option<u32> {
    // SAFETY: as of this function.
    unsafe { number_in_index(file, LOG_FRAMES_AT) }
}

/// How far the checkpoint goes that this connection makes; `None` where no index is mapped. It holds the checkpointer's lock, so that
/// nobody else sets that.
///
/// SAFETY of its uses: `file` is a file of ours that is open.
pub(super) unsafe fn moved_frames(file: *mut sqlite3_file) -> Option<u32> {
    // SAFETY: as of this function.
    unsafe { number_in_index(file, MOVED_FRAMES_AT) }
}

/// SAFETY of its uses: `file` is a file of ours that is open, and the place is in the first region of the index.
unsafe fn number_in_index(file: *mut sqlite3_file, at: usize) -> Option<u32> {
    // SAFETY: the index is null or mapped, with a region of 32 KiB. Others may write to it, so the number is read once.
    unsafe {
        let index = (*file.cast::<File>()).index;
        (!index.is_null()).then(|| index.byte_add(at).read_volatile())
    }
}

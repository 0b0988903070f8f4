//! The VFS: every call of SQLite's is passed on to the system's own VFS, and noted.
//!
//! Unsafe code here relies on:
//!
//! * SQLite calls a method of a file only between a successful `xOpen` (or one that failed and set `pMethods`) and `xClose`, with the
//!   pointer that `xOpen` was given, and gives `xOpen` zeroed or stale memory of `szOsFile` bytes, aligned to 8.
//! * The real file lies behind ours in that memory, at [`REAL_AT`], and is never moved.
//! * The system's VFS outlives the process: `sqlite3_vfs_find` gives a pointer to static memory.
//! * Ours does, too: it is leaked when it is registered, once for each manner ([`register`]).
#![allow(unsafe_code)]

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    mem::{align_of, size_of},
    ptr, slice, thread,
    time::{Duration, Instant},
};

use rusqlite::ffi::{
    SQLITE_FCNTL_CKPT_DONE, SQLITE_FCNTL_CKPT_START, SQLITE_FCNTL_COMMIT_PHASETWO, SQLITE_FCNTL_VFSNAME,
    SQLITE_IOCAP_POWERSAFE_OVERWRITE, SQLITE_NOMEM, SQLITE_OK, SQLITE_OPEN_CREATE, SQLITE_OPEN_MAIN_DB,
    SQLITE_OPEN_MAIN_JOURNAL, SQLITE_OPEN_SUPER_JOURNAL, SQLITE_OPEN_WAL, sqlite3_file, sqlite3_filename,
    sqlite3_io_methods, sqlite3_mprintf, sqlite3_vfs,
};

use super::{
    counts::FileKind,
    record,
    recording::{FileEvent, note},
};
use register::Manner;
pub use register::{make_default, recording_vfs, vfs_with_delay};

/// Why there is no VFS.
#[derive(Debug, thiserror::Error)]
pub enum VfsError {
    /// SQLite did not initialise itself, or has no VFS of the system's.
    #[error("SQLite has no VFS of this system's")]
    NoSystemVfs,
    /// SQLite refused ours.
    #[error("SQLite did not take a VFS: error {0}")]
    Refused(c_int),
}

/// What is particular to one of our VFSs.
struct Own {
    real: *mut sqlite3_vfs,
    manner: Manner,
}

/// A file of ours, at the beginning of the memory that SQLite gives a file.
#[repr(C)]
struct File {
    base: sqlite3_file,
    real: *mut sqlite3_file,
    own: *const Own,
    kind: FileKind,
    /// Its number in the recording, where there is one.
    recorded: Option<u32>,
    /// Whether its first sync makes its folder durable, too: that of a journal or a WAL that may have been created.
    syncs_folder: bool,
    /// Since when a read transaction in WAL has gone on.
    wal_read_since: Option<Instant>,
    /// The first region of the WAL's index, while it is mapped; or null.
    index: *const u32,
}

/// Where the real file begins in the memory of a file.
const REAL_AT: usize = size_of::<File>().next_multiple_of(8);
const _: () = assert!(align_of::<File>() <= 8, "SQLite aligns the memory of a file to 8 bytes");

/// Calls a method of the real file behind one of ours.
///
/// SAFETY of its uses: `$file` is a file of ours that is open, so its real file is, and a method of our table is only called where
/// the real table has it ([`table_for`]).
macro_rules! pass_on {
    ($file:expr, $method:ident $(, $argument:expr)*) => {{
        let real = (*$file.cast::<File>()).real;
        match (*(*real).pMethods).$method {
            Some(method) => method(real $(, $argument)*),
            // SQLite requires each of these of every VFS of the version that this one says it has.
            None => std::process::abort(),
        }
    }};
}

/// Calls a function of the system's VFS.
///
/// SAFETY of its uses: `$vfs` is one of ours, whose own part and real VFS live for ever.
macro_rules! ask_system {
    ($vfs:expr, $function:ident $(, $argument:expr)*) => {{
        let real = (*(*$vfs).pAppData.cast::<Own>()).real;
        match (*real).$function {
            Some(function) => function(real $(, $argument)*),
            None => std::process::abort(),
        }
    }};
}

mod register;
// Below the macros, which it uses.
mod shm;

/// Which kind of file SQLite opens.
fn kind_of(flags: c_int) -> FileKind {
    let is = |kind: c_int| flags & kind != 0;
    if is(SQLITE_OPEN_MAIN_DB) {
        FileKind::Main
    } else if is(SQLITE_OPEN_MAIN_JOURNAL) {
        FileKind::Journal
    } else if is(SQLITE_OPEN_WAL) {
        FileKind::Wal
    } else {
        FileKind::Temp
    }
}

/// Of which kind a file that is deleted was: only its name says so.
fn kind_of_name(name: &CStr) -> FileKind {
    let name = name.to_bytes();
    if name.ends_with(b"-journal") {
        FileKind::Journal
    } else if name.ends_with(b"-wal") {
        FileKind::Wal
    } else {
        FileKind::Temp
    }
}

/// `xOpen`: the real file is opened behind ours. Where that fails and the real VFS still wants to be closed, ours does, too.
unsafe extern "C" fn open(
    vfs: *mut sqlite3_vfs,
    name: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives a file memory of szOsFile bytes, which holds ours and the real one behind it.
    unsafe {
        let real = file.byte_add(REAL_AT);
        // The memory may hold anything; null says that there is nothing to close.
        (*file).pMethods = ptr::null();
        (*real).pMethods = ptr::null();
        let result = ask_system!(vfs, xOpen, name, real, flags, out_flags);
        let Some(methods) = (*real).pMethods.as_ref() else { return result };
        let kind = kind_of(flags);
        let may_create = flags & SQLITE_OPEN_CREATE != 0;
        let is_log = flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL | SQLITE_OPEN_SUPER_JOURNAL) != 0;
        file.cast::<File>().write(File {
            base: sqlite3_file { pMethods: table_for(methods) },
            real,
            own: (*vfs).pAppData.cast(),
            kind,
            recorded: recorded(vfs, name, kind),
            syncs_folder: may_create && is_log,
            wal_read_since: None,
            index: ptr::null(),
        });
        record::file(kind, |counts| counts.opens += 1);
        result
    }
}

/// The number of an opened file in the recording. Those that SQLite needs for as long as it has them open are not recorded.
///
/// SAFETY of its uses: the VFS is one of ours, and the name is null or a string of SQLite's.
unsafe fn recorded(vfs: *mut sqlite3_vfs, name: *const c_char, kind: FileKind) -> Option<u32> {
    let is_kept = match kind {
        FileKind::Main | FileKind::Journal | FileKind::Wal => !name.is_null(),
        FileKind::Shm | FileKind::Temp | FileKind::Folder => false,
    };
    // SAFETY: as above.
    unsafe {
        let is_recorded = (*(*vfs).pAppData.cast::<Own>()).manner.is_recorded;
        if is_kept && is_recorded { note(FileEvent::Opened { name: CStr::from_ptr(name) }) } else { None }
    }
}

/// Methods of files, by version of their table and by whether there is shared memory: SQLite asks both of the table, and WAL is
/// possible only where there is.
static WITH_SHM: [sqlite3_io_methods; 3] = [methods(1, true), methods(2, true), methods(3, true)];
static WITHOUT_SHM: [sqlite3_io_methods; 3] = [methods(1, false), methods(2, false), methods(3, false)];

fn table_for(real: &sqlite3_io_methods) -> &'static sqlite3_io_methods {
    let tables = if real.iVersion >= 2 && real.xShmMap.is_some() { &WITH_SHM } else { &WITHOUT_SHM };
    match real.iVersion {
        ..=1 => &tables[0],
        2 => &tables[1],
        3.. => &tables[2],
    }
}

const fn methods(version: c_int, shm: bool) -> sqlite3_io_methods {
    sqlite3_io_methods {
        iVersion: version,
        xClose: Some(close),
        xRead: Some(read),
        xWrite: Some(write),
        xTruncate: Some(truncate),
        xSync: Some(sync),
        xFileSize: Some(file_size),
        xLock: Some(lock),
        xUnlock: Some(unlock),
        xCheckReservedLock: Some(check_reserved_lock),
        xFileControl: Some(file_control),
        xSectorSize: Some(sector_size),
        xDeviceCharacteristics: Some(device_characteristics),
        xShmMap: if shm { Some(shm::map) } else { None },
        xShmLock: if shm { Some(shm::lock) } else { None },
        xShmBarrier: if shm { Some(shm::barrier) } else { None },
        xShmUnmap: if shm { Some(shm::unmap) } else { None },
        xFetch: if version >= 3 { Some(fetch) } else { None },
        xUnfetch: if version >= 3 { Some(unfetch) } else { None },
    }
}

/// `xClose`.
unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: see `pass_on`. Whatever it says, the file is closed.
    unsafe {
        let result = pass_on!(file, xClose);
        (*file).pMethods = ptr::null();
        result
    }
}

/// `xRead`. At the end of a file it may read less; what was asked for is counted.
unsafe extern "C" fn read(file: *mut sqlite3_file, buffer: *mut c_void, bytes: c_int, at: i64) -> c_int {
    // SAFETY: see `pass_on`; the buffer is passed on as it came.
    unsafe {
        record::file((*file.cast::<File>()).kind, |counts| {
            counts.reads += 1;
            counts.read_bytes += u64::try_from(bytes).unwrap_or(0);
        });
        pass_on!(file, xRead, buffer, bytes, at)
    }
}

/// `xWrite`.
unsafe extern "C" fn write(file: *mut sqlite3_file, buffer: *const c_void, bytes: c_int, at: i64) -> c_int {
    // SAFETY: see `pass_on`; the buffer is passed on as it came.
    unsafe {
        let kind = (*file.cast::<File>()).kind;
        record::written(kind, u64::try_from(bytes).unwrap_or(0));
        // The header is written where the log begins anew, and at no other time.
        if kind == FileKind::Wal && at == 0 {
            record::wal_restarted();
        }
        if let Some(number) = (*file.cast::<File>()).recorded {
            let length = usize::try_from(bytes).unwrap_or(0);
            let bytes = slice::from_raw_parts(buffer.cast::<u8>(), length);
            note(FileEvent::Written { file: number, at: u64::try_from(at).unwrap_or(0), bytes });
        }
        pass_on!(file, xWrite, buffer, bytes, at)
    }
}

/// `xTruncate`.
unsafe extern "C" fn truncate(file: *mut sqlite3_file, bytes: i64) -> c_int {
    // SAFETY: see `pass_on`.
    unsafe {
        record::file((*file.cast::<File>()).kind, |counts| counts.truncates += 1);
        if let Some(number) = (*file.cast::<File>()).recorded {
            note(FileEvent::Truncated { file: number, bytes: u64::try_from(bytes).unwrap_or(0) });
        }
        pass_on!(file, xTruncate, bytes)
    }
}

/// `xSync`. The first of a new journal or WAL syncs the folder as well, in the same call, and then not again; where the file itself
/// cannot be synced, its folder is not either.
unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: see `pass_on`; a file is used by one thread at a time, so that nobody else has a reference to it.
    unsafe {
        let begun = Instant::now();
        let result = pass_on!(file, xSync, flags);
        let ours = &mut *file.cast::<File>();
        let with_folder = result == SQLITE_OK && std::mem::take(&mut ours.syncs_folder);
        delay((*ours.own).manner.sync_delay, 1 + u32::from(with_folder));
        record::synced(ours.kind, with_folder, begun, Instant::now());
        if let Some(file) = ours.recorded.filter(|_| result == SQLITE_OK) {
            note(FileEvent::Synced { file, with_folder });
        }
        result
    }
}

/// `xDelete`, which makes the folder durable afterwards where it is asked to.
unsafe extern "C" fn delete(vfs: *mut sqlite3_vfs, name: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: see `ask_system`; the name is a string of SQLite's.
    unsafe {
        let begun = Instant::now();
        let result = ask_system!(vfs, xDelete, name, sync_folder);
        if result == SQLITE_OK {
            record::file(kind_of_name(CStr::from_ptr(name)), |counts| counts.deletes += 1);
            // Other bits of it are reserved.
            let with_folder = sync_folder & 1 != 0;
            let manner = (*(*vfs).pAppData.cast::<Own>()).manner;
            if with_folder {
                delay(manner.sync_delay, 1);
                record::synced(FileKind::Folder, false, begun, Instant::now());
            }
            if manner.is_recorded {
                note(FileEvent::Deleted { name: CStr::from_ptr(name), with_folder });
            }
        }
        result
    }
}

fn delay(each: Duration, syncs: u32) {
    if !each.is_zero() {
        thread::sleep(each * syncs);
    }
}

/// `xFileControl`: SQLite says by it when it commits and when a checkpoint moves pages, and asks for the name of the VFS.
unsafe extern "C" fn file_control(file: *mut sqlite3_file, operation: c_int, argument: *mut c_void) -> c_int {
    // SAFETY: see `pass_on`; the argument is passed on as it came.
    unsafe {
        match operation {
            SQLITE_FCNTL_COMMIT_PHASETWO => record::committed(),
            SQLITE_FCNTL_CKPT_START => record::checkpoint_begins(shm::log_frames(file)),
            SQLITE_FCNTL_CKPT_DONE => record::checkpoint_has_copied(shm::moved_frames(file)),
            _ => {}
        }
        let result = pass_on!(file, xFileControl, operation, argument);
        if operation == SQLITE_FCNTL_VFSNAME && result == SQLITE_OK {
            // The argument is a place for a name, which the real VFS has allocated with SQLite's allocator; %z frees it.
            let place = argument.cast::<*mut c_char>();
            let name = sqlite3_mprintf(c"journalbench/%z".as_ptr(), *place);
            if name.is_null() {
                return SQLITE_NOMEM;
            }
            *place = name;
        }
        result
    }
}

/// `xSleep`: how the busy handler waits for a lock.
unsafe extern "C" fn sleep(vfs: *mut sqlite3_vfs, microseconds: c_int) -> c_int {
    // SAFETY: see `ask_system`.
    unsafe {
        let begun = Instant::now();
        let slept = ask_system!(vfs, xSleep, microseconds);
        record::slept(begun.elapsed());
        slept
    }
}

/// `xDeviceCharacteristics`: what SQLite may rely on when the power goes.
unsafe extern "C" fn device_characteristics(file: *mut sqlite3_file) -> c_int {
    // SAFETY: see `pass_on`.
    unsafe {
        let found = pass_on!(file, xDeviceCharacteristics);
        let hides = (*(*file.cast::<File>()).own).manner.hides_safe_overwrite;
        if hides { found & !SQLITE_IOCAP_POWERSAFE_OVERWRITE } else { found }
    }
}

/// Methods that are passed on and not noted.
macro_rules! pass_on_method {
    ($name:ident, $method:ident $(, $argument:ident: $type:ty)*) => {
        unsafe extern "C" fn $name(file: *mut sqlite3_file $(, $argument: $type)*) -> c_int {
            // SAFETY: see `pass_on`.
            unsafe { pass_on!(file, $method $(, $argument)*) }
        }
    };
}

pass_on_method!(file_size, xFileSize, bytes: *mut i64);
pass_on_method!(lock, xLock, level: c_int);
pass_on_method!(unlock, xUnlock, level: c_int);
pass_on_method!(check_reserved_lock, xCheckReservedLock, out: *mut c_int);
pass_on_method!(sector_size, xSectorSize);
pass_on_method!(fetch, xFetch, at: i64, bytes: c_int, out: *mut *mut c_void);
pass_on_method!(unfetch, xUnfetch, at: i64, page: *mut c_void);

/// Functions of the system's VFS that are passed on and not noted.
macro_rules! ask_system_function {
    ($name:ident, $function:ident, $result:ty $(, $argument:ident: $type:ty)*) => {
        unsafe extern "C" fn $name(vfs: *mut sqlite3_vfs $(, $argument: $type)*) -> $result {
            // SAFETY: see `ask_system`.
            unsafe { ask_system!(vfs, $function $(, $argument)*) }
        }
    };
}

/// A function of a loaded library.
type Symbol = Option<unsafe extern "C" fn(*mut sqlite3_vfs, *mut c_void, *const c_char)>;

ask_system_function!(access, xAccess, c_int, name: *const c_char, flags: c_int, out: *mut c_int);
ask_system_function!(full_path, xFullPathname, c_int, name: *const c_char, bytes: c_int, out: *mut c_char);
ask_system_function!(dl_open, xDlOpen, *mut c_void, name: *const c_char);
ask_system_function!(dl_sym, xDlSym, Symbol, library: *mut c_void, name: *const c_char);
ask_system_function!(randomness, xRandomness, c_int, bytes: c_int, out: *mut c_char);
ask_system_function!(current_time, xCurrentTime, c_int, out: *mut f64);
ask_system_function!(current_time_int64, xCurrentTimeInt64, c_int, out: *mut i64);
ask_system_function!(last_error, xGetLastError, c_int, bytes: c_int, out: *mut c_char);

/// `xDlError`.
unsafe extern "C" fn dl_error(vfs: *mut sqlite3_vfs, bytes: c_int, out: *mut c_char) {
    // SAFETY: see `ask_system`.
    unsafe { ask_system!(vfs, xDlError, bytes, out) }
}

/// `xDlClose`.
unsafe extern "C" fn dl_close(vfs: *mut sqlite3_vfs, library: *mut c_void) {
    // SAFETY: see `ask_system`.
    unsafe { ask_system!(vfs, xDlClose, library) }
}

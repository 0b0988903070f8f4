//! Our VFSs, registered with SQLite: one for each [`Manner`], for as long as the process lives.

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, c_int},
    ptr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rusqlite::ffi::{SQLITE_OK, sqlite3_initialize, sqlite3_vfs, sqlite3_vfs_find, sqlite3_vfs_register};

use super::{
    Own, REAL_AT, VfsError, access, current_time, current_time_int64, delete, dl_close, dl_error, dl_open, dl_sym,
    full_path, last_error, open, randomness, sleep,
};

/// Names of the VFSs that are registered.
static REGISTERED: Mutex<BTreeMap<Manner, &'static CStr>> = Mutex::new(BTreeMap::new());

/// In what our VFSs differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Manner {
    /// Every sync takes so much longer.
    pub sync_delay: Duration,
    /// Whether what is done to files goes into a recording ([`super::begin_recording`]).
    pub is_recorded: bool,
    /// Whether SQLite is not told that bytes beside those of a write are safe when the power goes.
    pub hides_safe_overwrite: bool,
}

/// The name of a VFS that notes what it passes on, under which every sync takes at least so much longer: one of a file, and one of a
/// folder. Registered with SQLite at the first call with a delay, for as long as the process lives.
///
/// # Errors
/// [`VfsError`] where SQLite has no VFS to pass calls on to, or does not take another.
pub fn vfs_with_delay(sync_delay: Duration) -> Result<&'static CStr, VfsError> {
    named(Manner { sync_delay, ..Manner::default() })
}

/// The name of a VFS under which what is done to files goes into the recording that goes on when they are opened. Without
/// `has_safe_overwrite` SQLite is told that a write may damage bytes beside its own when the power goes.
///
/// # Errors
/// As [`vfs_with_delay`].
pub fn recording_vfs(has_safe_overwrite: bool) -> Result<&'static CStr, VfsError> {
    named(Manner { is_recorded: true, hides_safe_overwrite: !has_safe_overwrite, ..Manner::default() })
}

fn named(manner: Manner) -> Result<&'static CStr, VfsError> {
    let mut registered = REGISTERED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(name) = registered.get(&manner) {
        return Ok(name);
    }
    let name = register(manner)?;
    registered.insert(manner, name);
    Ok(name)
}

/// Has every connection that this process opens from now on, and that names no VFS, go through the one of [`vfs_with_delay`].
///
/// # Errors
/// As [`vfs_with_delay`].
pub fn make_default(sync_delay: Duration) -> Result<(), VfsError> {
    let name = vfs_with_delay(sync_delay)?;
    // SAFETY: SQLite is initialised; the name is a string that lives for ever, and so does the VFS that was registered under it.
    match unsafe { sqlite3_vfs_register(sqlite3_vfs_find(name.as_ptr()), 1) } {
        SQLITE_OK => Ok(()),
        error => Err(VfsError::Refused(error)),
    }
}

fn register(manner: Manner) -> Result<&'static CStr, VfsError> {
    // SAFETY: it may be called at any time, from any thread.
    if unsafe { sqlite3_initialize() } != SQLITE_OK {
        return Err(VfsError::NoSystemVfs);
    }
    // SAFETY: SQLite is initialised; a null name asks for the default, which is null or lives for ever.
    let real = unsafe { sqlite3_vfs_find(ptr::null()) };
    // SAFETY: as above.
    let Some(theirs) = (unsafe { real.as_ref() }) else { return Err(VfsError::NoSystemVfs) };
    let Manner { sync_delay, is_recorded, hides_safe_overwrite } = manner;
    let recorded = if is_recorded { "-recorded" } else { "" };
    let hidden = if hides_safe_overwrite { "-without-safe-overwrite" } else { "" };
    let name = CString::new(format!("journalbench-{}{recorded}{hidden}", sync_delay.as_nanos())).unwrap_or_default();
    let name: &'static CStr = Box::leak(name.into_boxed_c_str());
    let own = Box::leak(Box::new(Own { real, manner }));
    let size = theirs.szOsFile.saturating_add(c_int::try_from(REAL_AT).unwrap_or(c_int::MAX));
    let vfs = Box::leak(Box::new(sqlite3_vfs {
        // Version 3 adds the overriding of system calls, which would reach the system's VFS alone.
        iVersion: theirs.iVersion.min(2),
        szOsFile: size,
        mxPathname: theirs.mxPathname,
        pNext: ptr::null_mut(),
        zName: name.as_ptr(),
        pAppData: ptr::from_mut(own).cast(),
        xOpen: Some(open),
        xDelete: Some(delete),
        xAccess: Some(access),
        xFullPathname: Some(full_path),
        xDlOpen: Some(dl_open),
        xDlError: Some(dl_error),
        xDlSym: Some(dl_sym),
        xDlClose: Some(dl_close),
        xRandomness: Some(randomness),
        xSleep: Some(sleep),
        xCurrentTime: Some(current_time),
        xGetLastError: Some(last_error),
        xCurrentTimeInt64: theirs.xCurrentTimeInt64.is_some().then_some(current_time_int64),
        xSetSystemCall: None,
        xGetSystemCall: None,
        xNextSystemCall: None,
    }));
    // SAFETY: everything in it lives for ever, and it is no default.
    match unsafe { sqlite3_vfs_register(vfs, 0) } {
        SQLITE_OK => Ok(name),
        error => Err(VfsError::Refused(error)),
    }
}

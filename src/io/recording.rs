//! What SQLite did to its files, call by call, for whoever wants to know what a power loss would have left of them.
//!
//! Only one recording of this process goes on at a time, and only files that are opened through a VFS that records are in it. Calls
//! are noted one after another behind a lock, so that the order of what is noted is one that can have happened: a change before it is made,
//! a sync when it is done.

use std::{
    ffi::CStr,
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Something that happened to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileEvent<'a> {
    /// A name came to stand for a file, which was created empty where nobody knew it.
    Opened {
        /// Its name.
        name: &'a CStr,
    },
    /// Bytes are written.
    Written {
        /// The file.
        file: u32,
        /// Where.
        at: u64,
        /// What.
        bytes: &'a [u8],
    },
    /// It is cut, or grows by zeros.
    Truncated {
        /// The file.
        file: u32,
        /// Its size afterwards.
        bytes: u64,
    },
    /// It was made durable, and its folder where that was part of it.
    Synced {
        /// The file.
        file: u32,
        /// Whether the folder was synced after it.
        with_folder: bool,
    },
    /// A name was removed, and the folder synced where that was asked for.
    Deleted {
        /// The name.
        name: &'a CStr,
        /// Whether the folder was synced.
        with_folder: bool,
    },
    /// A transaction with this number begins to commit.
    Begun(u64),
    /// The client of a transaction was told that it is committed.
    Acknowledged(u64),
}

/// Takes down what happens.
pub trait Recorder: Send {
    /// Notes an event. Returns the number of the file that was opened; of other events it means nothing.
    fn note(&mut self, event: FileEvent<'_>) -> u32;
}

static RECORDER: Mutex<Option<Box<dyn Recorder>>> = Mutex::new(None);

/// Ends the recording when it is dropped.
#[derive(Debug)]
pub struct Recording(());

/// Begins a recording of all files that are opened from now on through a VFS that records; `None` where one goes on.
#[must_use]
pub fn begin(recorder: Box<dyn Recorder>) -> Option<Recording> {
    let mut place = lock();
    if place.is_some() {
        return None;
    }
    *place = Some(recorder);
    Some(Recording(()))
}

impl Drop for Recording {
    fn drop(&mut self) {
        lock().take();
    }
}

/// Notes an event where a recording goes on.
pub(super) fn note(event: FileEvent<'_>) -> Option<u32> {
    lock().as_mut().map(|recorder| recorder.note(event))
}

/// Notes that the transaction with this number begins to commit.
pub fn note_begun(commit: u64) {
    note(FileEvent::Begun(commit));
}

/// Notes that the client of the transaction with this number knows that it is committed.
pub fn note_acknowledged(commit: u64) {
    note(FileEvent::Acknowledged(commit));
}

fn lock() -> MutexGuard<'static, Option<Box<dyn Recorder>>> {
    RECORDER.lock().unwrap_or_else(PoisonError::into_inner)
}

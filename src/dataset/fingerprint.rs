//! A hash of a cached file's bytes, noted beside it, by which damage and half-written files are found.
//!
//! The digest of a dataset is a sum over its rows and takes their decoding; this one only says whether the bytes are those that
//! were written. It protects against accidents, not against somebody who changes both files.

use std::{
    fs::{self, File},
    hash::Hasher as _,
    io::{self, ErrorKind, Read as _},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::work;

/// The extension of the note.
const EXTENSION: &str = "hash";

/// Bytes that are read at once.
const PIECE_BYTES: usize = 1 << 20;

/// Notes the hash of a file.
///
/// # Errors
/// As the operating system says; [`ErrorKind::Interrupted`].
pub(super) fn note(path: &Path, interrupted: &AtomicBool) -> io::Result<()> {
    fs::write(path.with_extension(EXTENSION), hash(path, interrupted)?)
}

/// Whether a file has the hash that was noted; not where none was.
///
/// # Errors
/// As [`note`].
pub(super) fn is_as_noted(path: &Path, interrupted: &AtomicBool) -> io::Result<bool> {
    match work::read_regular(&path.with_extension(EXTENSION), 64) {
        Ok(noted) => Ok(noted == hash(path, interrupted)?.as_bytes()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn hash(path: &Path, interrupted: &AtomicBool) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = SipHasher13::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        if interrupted.load(Ordering::Relaxed) {
            return Err(ErrorKind::Interrupted.into());
        }
        match file.read(&mut piece)? {
            0 => return Ok(format!("{:032x}\n", hasher.finish128().as_u128())),
            length => hasher.write(&piece[..length]),
        }
    }
}

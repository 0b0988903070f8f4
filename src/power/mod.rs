//! What a power loss leaves of files: what was done to them is taken down call by call, and from that follows what a disk may hold at an
//! instant.
//!
//! No power is cut, and no disk is asked: what a disk may do to writes that no sync covers is a model, which is stated with every
//! result ([`disk::DiskModel`]). What files in such a state are worth is not decided here.
//!
//! [`log`] is what happened, in order, in a file; [`disk`] is what may be there at each instant of it. Of another program [`calls`] says
//! what it has synced.

pub mod calls;
pub mod disk;
pub mod log;

/// Bytes of the images that lie on the disk at once at most, but for the last of them: it may be as large as it is.
pub const IMAGES_BYTES_MOST: u64 = 64 << 20;

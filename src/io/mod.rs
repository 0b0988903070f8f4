//! What SQLite asks of its files, counted and in part timed where it asks: a VFS of SQLite's that passes every call on to the
//! system's own.
//!
//! Calls are counted for the thread that makes them, so that each connection's work is known by the thread that it works in, with
//! nothing shared and nothing locked. A thread that wants its calls counted says so ([`count_here`]) and takes the counts out
//! from time to time ([`take`]). Every other thread pays a look at a flag of its own.
//!
//! Everything is counted; only syncs, waits for locks and checkpoints are timed, since two looks at the clock around each read and
//! write would cost a commit two to four per cent (`docs/sqlite.md`, 37).
//!
//! What it cannot see: reads of a memory-mapped database, and what the system's VFS does by itself to the `-shm` file.

mod counts;
mod record;
mod recording;
mod vfs;

pub use counts::{Checkpoint, CheckpointFrames, FileCounts, FileKind, IoCounts, IoLog, TimedSync};
pub use record::{checkpoints_here, count_here, note_rows, take};
pub use recording::{FileEvent, Recorder, Recording, begin as begin_recording, note_acknowledged, note_begun};
pub use vfs::{VfsError, make_default, recording_vfs, vfs_with_delay};

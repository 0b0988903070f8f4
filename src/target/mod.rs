//! What executes the operations of a load: one file for each kind of target, an implementation of [`crate::load::Target`].
//!
//! * [`sqlite`]: a connection to a SQLite database, with the SQL that a write profile runs for an operation.
//! * [`queue`] and [`checkpoint`]: what works beside such connections on threads of its own.
//!
//! A target knows nothing of when operations are due, of snapshots or of results.

pub mod checkpoint;
pub mod queue;
pub mod sqlite;

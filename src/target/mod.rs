//! What a load drives: the interface, and one file for each kind of target that implements it.
//!
//! A [`Target`] executes operations: a SQLite database through a write profile's SQL, or a tracker over a network. The load
//! generator knows nothing of either. A target knows nothing of when operations are due, of snapshots or of results.
//!
//! * [`sqlite`]: a connection to a SQLite database, with the SQL that a write profile runs for an operation.
//! * `queue`, `checkpoint` and `long_reader`: what works beside such connections on threads of its own, as [`Background`].

pub(crate) mod checkpoint;
pub(crate) mod long_reader;
pub(crate) mod queue;
pub mod sqlite;
pub(crate) mod tracker_memory;

use std::{io as std_io, time::Instant};

use crate::{
    io::IoLog,
    measure::{OperationFailure, Slice},
    workload::Operation,
};

/// Executes operations, one at a time, on the thread that owns it.
pub trait Target: Send + 'static {
    /// Executes one operation. `until` is when its client gives up: a target that retries stops then.
    fn execute(&self, operation: &Operation, until: Instant) -> Execution;

    /// Executes several operations together, all or none of them: each of them writes, and all share one write transaction.
    fn execute_batch(&self, operations: &[Operation], until: Instant) -> Execution;

    /// Called on the target's own thread, before its first operation.
    fn begin(&self) {}

    /// Puts what was asked of files on this thread since the last call into an empty log, whose memory may be used again. A target
    /// that has no files leaves it empty.
    fn take_io(&self, _log: &mut IoLog) {}

    /// The hold that the last execution asked for is over.
    fn release(&self) {}

    /// What the target does of its own between operations; most do nothing. It is called once before each wait for the next
    /// operation, with the instant at which that wait ends, and should return by then.
    fn idle(&self) -> IdleWork<'_> {
        Box::new(|_until| ())
    }
}

/// Sends requests over a network, one after another, on the thread that owns it.
pub trait Requests: Send {
    /// Sends the request of an operation. `number` is what its answer is known by.
    ///
    /// # Errors
    /// As the operating system says: then nothing was sent.
    fn send(&mut self, number: u32, operation: &Operation) -> std_io::Result<()>;
}

/// Takes the answers to the requests that another thread sends.
pub trait Answers: Send {
    /// Passes on the answers that come until an instant.
    ///
    /// # Errors
    /// As the operating system says: then nothing comes for now.
    fn receive(&mut self, until: Instant, take: &mut dyn FnMut(Answer)) -> std_io::Result<()>;
}

/// An answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// The number of the request.
    pub number: u32,
    /// When it came.
    pub at: Instant,
    /// What was wrong, if it was no success.
    pub failure: Option<OperationFailure>,
}

/// The work of a target between operations, with whatever it remembers from one time to the next.
pub type IdleWork<'a> = Box<dyn FnMut(Instant) + 'a>;

/// What came of executing an operation, or several together.
#[derive(Debug, Default)]
pub struct Execution {
    /// What the client was shown, if it was not success.
    pub failure: Option<OperationFailure>,
    /// SQL statements that ran, retries included, `BEGIN` and `COMMIT` not counted.
    pub statements: u32,
    /// Writes that were given up although the client is answered as if all were well.
    pub lost_writes: u64,
    /// How many of them were given up because the disk was full.
    pub lost_to_full_disk: u64,
    /// Why the trial cannot go on, if it cannot: its history is no longer whole.
    pub fatal: Option<String>,
    /// Whether a checkpoint was run meanwhile, on this thread.
    pub carried_checkpoint: bool,
    /// Until when nothing else of its stream is to begin, for reasons of the target's own. No client waits for that: all that follows is
    /// due by so much later. [`Target::release`] is called then.
    pub hold_until: Option<Instant>,
    /// Whether it is not known that the write was made, or when.
    pub is_doubtful: bool,
}

impl Execution {
    /// Whether what writes is known to have committed when it ended: nothing failed, and nothing was given up silently.
    #[must_use]
    pub(crate) fn has_committed(&self) -> bool {
        self.failure.is_none() && self.lost_writes == 0 && !self.is_doubtful
    }
}

/// Work beside the operations, on a thread of its own. It ends soon after [`LoadContext::is_stopped`].
pub type Background = Box<dyn FnOnce(&dyn LoadContext) + Send>;

/// What a background thread has of the load.
pub trait LoadContext {
    /// Whether the load has stopped.
    fn is_stopped(&self) -> bool;

    /// Reports what happened at an instant: `fill` is given an empty slice that lies there.
    fn report(&self, at: Instant, fill: &mut dyn FnMut(&mut Slice));

    /// Says that the trial cannot go on.
    fn fail(&self, why: String);
}

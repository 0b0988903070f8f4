//! What a trial tells while it runs. Drawing it is the business of [`crate::progress`].

use crate::results::PhaseName;

/// Something that happened in a trial.
#[derive(Debug, Clone)]
pub enum Event {
    /// The trial's database is being copied and brought into the page cache, or out of it.
    Preparing,
    /// The load runs; told once a second and when a phase begins.
    Measuring(Tick),
    /// The steps after a snapshot are done.
    Steps {
        /// From 1.
        number: usize,
        /// Snapshots of the trial.
        of: usize,
    },
    /// The oracle reads a snapshot.
    Judging {
        /// From 1.
        number: usize,
        /// Snapshots of the trial.
        of: usize,
    },
    /// The live database is compared with the ledger.
    Checking,
    /// Transactions are committed and recorded.
    Recording,
    /// Images of what a power loss would leave are judged.
    Images {
        /// So many are done.
        done: u64,
        /// So many are to be.
        of: u64,
    },
    /// Processes are killed, and what they left is judged.
    Kills {
        /// So many were.
        done: u64,
        /// So many are to be.
        of: u64,
    },
}

/// How a trial is doing.
#[derive(Debug, Clone, Copy)]
pub struct Tick {
    /// The phase that it is in.
    pub phase: PhaseName,
    /// Seconds since the load began.
    pub elapsed_s: f64,
    /// Seconds that it will last.
    pub of_s: f64,
    /// Operations served in the last second.
    pub achieved_rate_ops: f64,
    /// 99th percentile of the response times of the last second.
    pub p99_us: Option<u64>,
    /// Size of the WAL.
    pub wal_bytes: u64,
    /// How much of the snapshot is done, from 0 to 1.
    pub snapshot: Option<f64>,
}

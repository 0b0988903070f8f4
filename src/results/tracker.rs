//! What became of a real tracker in a trial, and of the writes that it was asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The tracker of a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrackerResult {
    /// The version of its program, where cargo installed it and has noted that beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The SHA-256 sum of its program, in hexadecimal; `None` where it ran before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program_sha256: Option<String>,
    /// Torrents that requests were about.
    pub torrents: u64,
    /// Writes that made their clients known, before the load.
    pub warming_writes: u64,
    /// Writes that clients asked for under load: their completed downloads.
    pub writes_asked_for: u64,
    /// By how much `sqlite_sequence` of `torrents` has grown: by one for each write, those before the load among them; `None` where
    /// the database is not the trial's own.
    pub sequence_advanced_by: Option<i64>,
    /// Writes that took as long as the tracker waits for a lock, or were asked for more than once.
    pub doubtful_writes: u64,
    /// Writes that were never made, although the client was answered; `None` where that is not known.
    pub lost_writes: Option<u64>,
    /// The first of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<LostWrite>,
    /// Why it is not known what was written, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<String>,
    /// Packets that the system dropped during the load because a socket's buffer was full; `None` where it does not say.
    pub receive_buffer_errors: Option<u64>,
    /// Whether these are of the tracker alone; else of everything in this machine's network namespace.
    pub receive_buffer_errors_are_its_own: bool,
    /// How many of them were sent to the tracker: requests that it did not read. The others are of other sockets, as of this program's
    /// own, which take the answers. `None` where the system does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_dropped: Option<u64>,
    /// Writes that were not asked for before the load ended, because this program had waited for the tracker to give up another one. They
    /// are not among those that were due. `None` in a file that does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes_withheld: Option<u64>,
    /// Requests of which its log says that it gave them up.
    pub aborted_requests: u64,
    /// Whether it did not end when it was asked to.
    pub was_killed: bool,
}

/// A write that was never made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LostWrite {
    /// Its number in the history.
    pub commit: u64,
    /// The torrent, in hexadecimal.
    pub info_hash: String,
    /// The count that was to be stored.
    pub count: i64,
}

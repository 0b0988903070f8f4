//! Why the oracle cannot judge a snapshot: never a verdict, always the row of that snapshot alone.

use std::sync::Arc;

use crate::history::HistoryError;

/// Why the oracle cannot judge.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// Only rows with a count were to be copied, and an older version noted of the dataset nothing of the others.
    #[error("which torrents had a count of zero at the start is not known of this dataset: have it made again")]
    ZerosUnknown,
    /// The history cannot tell its commits.
    #[error("{0}")]
    History(Arc<HistoryError>),
    /// The caller asked to stop.
    #[error("interrupted while inspecting a snapshot")]
    Interrupted,
    /// The snapshot holds a commit that was issued after it had ended. The harness is at fault, not the snapshot.
    #[error(
        "the snapshot is commit {commit}, but only {issued} had been issued when it ended: the harness's own accounting is wrong"
    )]
    FromTheFuture {
        /// The commit found.
        commit: u64,
        /// The last one issued at its end.
        issued: u64,
    },
}

//! The commits that a database made, in order: what the oracle judges a snapshot against.
//!
//! A [`History`] knows which transactions were committed, in the order in which the database committed them, and what each
//! of them changed. From that and from the dataset, [`replay`] derives every state that the database was ever in. Where the
//! commits come from is the history's own affair: the [`ledger`] of a trial has them from SQLite's commit hook; a database
//! that belongs to another program has them from its acknowledgements.
//!
//! Nothing here knows of snapshots or verdicts.

pub mod ledger;
pub mod replay;

use std::{io, path::PathBuf};

use crate::torrents::{Torrent, Torrents};

/// The commits of a database in order.
pub trait History: Sync {
    /// Visits every commit in the order of their numbers, which begin at 1 and ascend by one. A commit whose outcome is not
    /// known stands at its place, marked.
    ///
    /// # Errors
    /// [`HistoryError`], or the first error that `visit` returns.
    fn visit(&self, visit: &mut dyn FnMut(&Commit) -> Result<(), HistoryError>) -> Result<(), HistoryError>;

    /// How many changes all commits have together, at the most. The memory of a replay is planned by it.
    ///
    /// # Errors
    /// [`HistoryError`].
    fn changes_max(&self) -> Result<u64, HistoryError>;

    /// How many of the changes are about torrents that the dataset does not have, at the most: with the torrents of the
    /// dataset, more rows than these cannot have been written. A history that does not count them says nothing here.
    ///
    /// # Errors
    /// [`HistoryError`].
    fn unseen_max(&self) -> Result<u64, HistoryError> {
        self.changes_max()
    }
}

/// One write transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// Its place in the order of commits, from 1.
    pub number: u64,
    /// When it was made, in microseconds since the history began.
    pub at_us: u64,
    /// What it changed, in this order.
    pub changes: Vec<Change>,
    /// Whether it failed after the database had begun to commit it, so that it is not known to have happened.
    pub void: bool,
}

/// What a transaction does to the content, as one statement or a fixed group of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Upsert of the torrent, adding one to its count or inserting it with 1, and one more in the aggregate.
    Download(Torrent),
    /// Upsert of the torrent with this absolute count.
    StoreCount(Torrent, i64),
    /// One more for a torrent that has a row; no upsert, so `sqlite_sequence` stays.
    CountTorrent(Torrent),
    /// One more in the aggregate.
    CountTotal,
    /// Nothing: a transaction that changed no row.
    Nothing,
}

/// Why a history cannot tell its commits.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// Its file could not be read.
    #[error("cannot read the ledger {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A record of its file is not what may stand at its place.
    #[error("the ledger {} is damaged at record {record}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The position of the record, from 0.
        record: u64,
    },
    /// A commit is about a torrent that the dataset does not have.
    #[error("commit {commit} is about torrent {torrent}, and the dataset has {torrents}: they do not belong together")]
    OtherDataset {
        /// The commit.
        commit: u64,
        /// The number of the torrent.
        torrent: u64,
        /// How many torrents the dataset has a number for.
        torrents: u64,
    },
    /// It is not known in which order the commits were made, so that no state can be derived.
    #[error("the order of the commits is not known: {0}")]
    OrderUnknown(String),
    /// The replay could not use its temporary file.
    #[error("cannot use a temporary file for the replay")]
    Scratch(#[source] io::Error),
}

impl Change {
    /// The torrent whose row it writes.
    fn torrent(self) -> Option<Torrent> {
        match self {
            Self::Download(torrent) | Self::StoreCount(torrent, _) | Self::CountTorrent(torrent) => Some(torrent),
            Self::CountTotal | Self::Nothing => None,
        }
    }
}

impl Commit {
    /// The torrents whose rows it writes.
    pub(crate) fn torrents(&self) -> impl Iterator<Item = Torrent> {
        self.changes.iter().filter_map(|change| change.torrent())
    }
}

/// A history whose commits must all be about torrents that there are: a ledger that lies beside another dataset than its own
/// is an error, not a verdict.
pub(crate) struct Checked<'a> {
    history: &'a dyn History,
    torrents: Torrents,
}

impl<'a> Checked<'a> {
    /// The history of a database that began with these torrents.
    pub(crate) fn new(history: &'a dyn History, torrents: Torrents) -> Self {
        Self { history, torrents }
    }
}

impl History for Checked<'_> {
    fn visit(&self, visit: &mut dyn FnMut(&Commit) -> Result<(), HistoryError>) -> Result<(), HistoryError> {
        self.history.visit(&mut |commit| {
            let foreign = commit.torrents().find_map(|torrent| match torrent {
                Torrent::Known(number) if !self.torrents.has(torrent) => Some(number),
                Torrent::Known(_) | Torrent::Unseen(_) => None,
            });
            match foreign {
                Some(torrent) => {
                    let (commit, torrents) = (commit.number, self.torrents.numbered());
                    Err(HistoryError::OtherDataset { commit, torrent, torrents })
                }
                None => visit(commit),
            }
        })
    }

    fn changes_max(&self) -> Result<u64, HistoryError> {
        self.history.changes_max()
    }

    fn unseen_max(&self) -> Result<u64, HistoryError> {
        self.history.unseen_max()
    }
}

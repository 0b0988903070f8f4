//! The transactions of a trial of power losses or of kills: downloads, one transaction after another, with large ones and ones that are rolled
//! back between them.

use std::{io, sync::Arc};

use anyhow::Result;
use rusqlite::{Connection, params};

use crate::{
    dataset::{DOWNLOADS_TOTAL, Manifest},
    history::{
        Change,
        ledger::{Ledger, Session},
    },
    random::mix,
    target::sqlite::{COUNT_TOTAL, UPSERT},
    torrents::Torrent,
};

/// Each transaction with a number that is a multiple of this is large: its pages do not fit in a small cache, and are written before it
/// commits.
const LARGE_EVERY: u64 = 25;
const LARGE_DOWNLOADS: u64 = 200;

/// Before each with a number that is a multiple of this, one is rolled back.
const ROLLED_BACK_EVERY: u64 = 10;
const ROLLED_BACK_DOWNLOADS: u64 = 3;

/// Those are about other torrents: what is written of them before they are rolled back must be no state that comes to be.
const ROLLED_BACK: u64 = 1 << 63;

/// How far a transaction is, by the number of its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commit {
    /// Its transaction begins.
    Begins(u64),
    /// It has succeeded.
    Acknowledged(u64),
}

/// A connection that commits transactions, each of which goes through a ledger. No other connection commits.
pub struct Transactions<'a> {
    /// The connection.
    pub connection: Connection,
    /// Its side of the ledger.
    pub session: Session,
    /// The ledger.
    pub ledger: Arc<Ledger>,
    /// The database at the start.
    pub start: &'a Manifest,
    /// What the torrents follow from.
    pub seed: u64,
}

impl Transactions<'_> {
    /// Commits the transaction with this number, from 1. `tell` hears when it begins to commit, and when it has.
    ///
    /// # Errors
    /// What SQLite says, or `tell`.
    pub fn commit(&self, number: u64, tell: &mut dyn FnMut(Commit) -> io::Result<()>) -> Result<()> {
        if number.is_multiple_of(ROLLED_BACK_EVERY) {
            // It has no hook, and gets no number.
            self.write(number | ROLLED_BACK, ROLLED_BACK_DOWNLOADS)?;
            self.connection.prepare_cached("ROLLBACK")?.execute([])?;
        }
        let downloads = if number.is_multiple_of(LARGE_EVERY) { LARGE_DOWNLOADS } else { 1 };
        let commit = self.ledger.issued() + 1;
        // Before its pages are written, all of which may be on the disk before it commits.
        tell(Commit::Begins(commit))?;
        let torrents = self.write(number, downloads)?;
        self.session.begin(torrents.into_iter().map(Change::Download));
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.session.acknowledge();
        tell(Commit::Acknowledged(commit))?;
        Ok(())
    }

    /// Begins a transaction and counts downloads.
    fn write(&self, number: u64, downloads: u64) -> Result<Vec<Torrent>> {
        let all = self.start.torrents();
        let seed = mix(self.seed ^ mix(number));
        let pick = |place: u64| Torrent::Known(1 + mix(seed ^ place) % all.numbered());
        let torrents: Vec<_> = (0..downloads).map(pick).collect();
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        for torrent in &torrents {
            self.connection.prepare_cached(UPSERT)?.execute(params![all.info_hash(*torrent).as_str()])?;
            if self.start.aggregate.is_some() {
                self.connection.prepare_cached(COUNT_TOTAL)?.execute(params![DOWNLOADS_TOTAL])?;
            }
        }
        Ok(torrents)
    }
}

//! A tracker's connection to its database: the SQL that a write profile runs for an operation.
//!
//! Like a service that means well, it retries what SQLite calls busy until the operation's client has given up, and then
//! shows an error; a write is never given up silently.

use std::time::Instant;

use rusqlite::{Connection, ErrorCode, params};

use super::{Backend, Executed};
use crate::{
    dataset::DOWNLOADS_TOTAL,
    ledger::{Change, Session},
    measure::Failure,
    sqlite,
    torrents::{Torrent, Torrents},
    workload::Operation,
};

const READ: &str = "SELECT completed FROM torrents WHERE info_hash = ?1";
const UPSERT: &str = "INSERT INTO torrents (info_hash, completed) VALUES (?1, 1)
    ON CONFLICT (info_hash) DO UPDATE SET completed = completed + 1";
const COUNT: &str = "UPDATE torrent_aggregate_metrics SET value = value + 1 WHERE metric_name = ?1";

/// One connection of the tracker.
pub struct Database {
    connection: Connection,
    session: Session,
    torrents: Torrents,
}

impl Database {
    /// A connection whose commits go through `session`, to a database of these torrents.
    #[must_use]
    pub fn new(connection: Connection, session: Session, torrents: Torrents) -> Self {
        Self { connection, session, torrents }
    }

    fn read(&self, torrents: &[Torrent]) -> rusqlite::Result<()> {
        // Several hashes are read in one transaction, as one consistent answer.
        let together = torrents.len() > 1;
        if together {
            self.connection.prepare_cached("BEGIN")?.execute([])?;
        }
        let mut statement = self.connection.prepare_cached(READ)?;
        for torrent in torrents {
            let info_hash = self.torrents.info_hash(*torrent);
            let mut rows = statement.query(params![info_hash.as_str()])?;
            while rows.next()?.is_some() {}
        }
        if together {
            self.connection.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }

    fn download(&self, torrent: Torrent) -> rusqlite::Result<()> {
        let info_hash = self.torrents.info_hash(torrent);
        self.session.begin(Change::Download(torrent));
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        self.connection.prepare_cached(UPSERT)?.execute(params![info_hash.as_str()])?;
        self.connection.prepare_cached(COUNT)?.execute(params![DOWNLOADS_TOTAL])?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.session.acknowledge();
        Ok(())
    }

    /// Leaves no transaction open after an error. SQLite itself has rolled back after some errors and not after others.
    fn clean_up(&self) -> Option<String> {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            return Some(format!("cannot roll back: {error}"));
        }
        self.session.fail().err().map(|error| format!("cannot write the ledger: {error}"))
    }
}

impl Backend for Database {
    fn execute(&mut self, operation: &Operation, until: Instant) -> Executed {
        let mut statements = 0;
        loop {
            let result = match operation.torrents.first() {
                Some(torrent) if operation.writes => self.download(*torrent),
                _ => self.read(&operation.torrents),
            };
            statements += operation.asks().statements;
            let Err(error) = result else { return Executed { result: Ok(()), statements, fatal: None } };
            let fatal = self.clean_up();
            if fatal.is_some() || !sqlite::is_busy(&error) || Instant::now() >= until {
                return Executed { result: Err(failure(&error)), statements, fatal };
            }
        }
    }
}

fn failure(error: &rusqlite::Error) -> Failure {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Failure::Busy,
        Some(ErrorCode::DiskFull) => Failure::DiskFull,
        Some(ErrorCode::SystemIoFailure) => Failure::InputOutput,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Failure::Corrupt,
        _ => Failure::Other,
    }
}

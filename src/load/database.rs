//! A tracker's connection to its database: the SQL that a write profile runs for an operation.
//!
//! The generic profiles are a service that means well: what SQLite calls busy is retried until the operation's client
//! has given up, and then an error is shown; a write is never given up silently. The `tracker-*` profiles do what those
//! trackers do, silent losses included, and count them.

use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, params};
use serde::{Deserialize, Serialize};
use tokio::sync::{RwLock, RwLockReadGuard};

use super::{Backend, Executed, Turn, background::Queued};
use crate::{
    dataset::DOWNLOADS_TOTAL,
    ledger::{Change, Session},
    measure::Failure,
    random::mix,
    snapshot::in_writer::{self, Errand},
    sqlite,
    torrents::{InfoHash, Torrent, Torrents},
    workload::{Action, Event, Operation},
};

const READ: &str = "SELECT completed FROM torrents WHERE info_hash = ?1";
const UPSERT: &str = "INSERT INTO torrents (info_hash, completed) VALUES (?1, 1)
    ON CONFLICT (info_hash) DO UPDATE SET completed = completed + 1";
const COUNT_TOTAL: &str = "UPDATE torrent_aggregate_metrics SET value = value + 1 WHERE metric_name = ?1";
/// With the text of the trackers.
const STORE_COUNT: &str = "INSERT INTO torrents (info_hash, completed) VALUES (?1, ?2) \
    ON CONFLICT(info_hash) DO UPDATE SET completed = ?2";
const COUNT_TORRENT: &str = "UPDATE torrents SET completed = completed + 1 WHERE info_hash = ?";
const READ_TOTAL: &str = "SELECT value FROM torrent_aggregate_metrics WHERE metric_name = ?";

/// How a write transaction of several statements begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransactionMode {
    /// With no lock: the first statement takes it.
    Deferred,
    /// With the lock of the one writer.
    #[default]
    Immediate,
    /// In rollback modes without readers beside it; in WAL as immediate.
    Exclusive,
}

impl fmt::Display for TransactionMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deferred => "deferred",
            Self::Immediate => "immediate",
            Self::Exclusive => "exclusive",
        })
    }
}

impl TransactionMode {
    fn begin(self) -> &'static str {
        match self {
            Self::Deferred => "BEGIN DEFERRED",
            Self::Immediate => "BEGIN IMMEDIATE",
            Self::Exclusive => "BEGIN EXCLUSIVE",
        }
    }
}

/// The download counts that a tracker holds in memory, in fixed memory: torrents that share one of 2^20 counters share
/// its increments. What reaches the database is what the ledger says, so the oracle is not misled by it.
#[derive(Debug, Clone)]
pub struct MemoryCounts(Arc<[AtomicU32]>);

impl Default for MemoryCounts {
    fn default() -> Self {
        Self((0..1 << 20).map(|_| AtomicU32::new(0)).collect())
    }
}

impl MemoryCounts {
    /// The torrent's count after an event.
    fn after(&self, torrents: &Torrents, torrent: Torrent, event: Event) -> i64 {
        let (number, stored) = match torrent {
            Torrent::Known(number) => (number, torrents.completed(number)),
            Torrent::Unseen(number) => (!number, 0),
        };
        #[expect(clippy::cast_possible_truncation, reason = "the lowest 20 bits are meant")]
        let counter = &self.0[mix(number) as usize % self.0.len()];
        let since_start = match event {
            Event::Completed => counter.fetch_add(1, Ordering::Relaxed) + 1,
            Event::None | Event::Started | Event::Stopped => counter.load(Ordering::Relaxed),
        };
        stored + i64::from(since_start)
    }
}

/// Every write holds it open while it lasts. Who closes it, by locking it for writing, knows that nobody writes: those that
/// come later wait, in the order in which they came.
pub type Gate = Arc<RwLock<()>>;

/// One connection of the tracker.
pub struct Database {
    connection: Connection,
    session: Session,
    torrents: Torrents,
    transaction_mode: TransactionMode,
    counts: MemoryCounts,
    /// Where downloads are queued for the listener, where there is one.
    queue: Option<mpsc::SyncSender<Queued>>,
    /// Closed while nobody is to write, where that can come.
    gate: Option<Gate>,
    /// Copies that this connection is asked to make, where that can come.
    errands: Option<mpsc::Receiver<Errand>>,
    /// SQL statements that have run to their end, `BEGIN` and `COMMIT` not counted.
    ran: Cell<u32>,
}

impl Database {
    /// A connection whose commits go through `session`, to a database of these torrents.
    #[must_use]
    pub fn new(
        connection: Connection,
        session: Session,
        torrents: Torrents,
        transaction_mode: TransactionMode,
    ) -> Self {
        Self {
            connection,
            session,
            torrents,
            transaction_mode,
            counts: MemoryCounts::default(),
            queue: None,
            gate: None,
            errands: None,
            ran: Cell::new(0),
        }
    }

    /// Writes only while this gate is open.
    #[must_use]
    pub fn behind(self, gate: Option<Gate>) -> Self {
        Self { gate, ..self }
    }

    /// Takes errands between operations.
    #[must_use]
    pub fn with_errands(self, errands: mpsc::Receiver<Errand>) -> Self {
        Self { errands: Some(errands), ..self }
    }

    /// Waits until the gate is open, and keeps it so while it lives.
    fn pass_gate(&self) -> Option<RwLockReadGuard<'_, ()>> {
        self.gate.as_ref().map(|gate| gate.blocking_read())
    }

    /// With what the connections of one tracker share: its counts, and the queue of its listener.
    #[must_use]
    pub fn of_tracker(self, counts: &MemoryCounts, queue: Option<mpsc::SyncSender<Queued>>) -> Self {
        Self { counts: counts.clone(), queue, ..self }
    }

    /// The listener's own connection queues nothing.
    #[must_use]
    pub fn without_queue(self) -> Self {
        Self { queue: None, ..self }
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
            self.count(1);
        }
        if together {
            self.connection.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }

    fn download(&self, torrents: &[Torrent]) -> rusqlite::Result<()> {
        self.session.begin(torrents.iter().map(|torrent| Change::Download(*torrent)));
        self.connection.prepare_cached(self.transaction_mode.begin())?.execute([])?;
        for torrent in torrents {
            let info_hash = self.torrents.info_hash(*torrent);
            self.connection.prepare_cached(UPSERT)?.execute(params![info_hash.as_str()])?;
            self.connection.prepare_cached(COUNT_TOTAL)?.execute(params![DOWNLOADS_TOTAL])?;
            self.count(2);
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.session.acknowledge();
        Ok(())
    }

    /// Runs one autocommitting statement that changes what `change` says.
    fn autocommit(&self, change: Change, sql: &str, values: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<()> {
        self.session.begin([change]);
        self.connection.prepare_cached(sql)?.execute(values)?;
        self.count(1);
        self.session.acknowledge();
        Ok(())
    }

    fn store_count(&self, torrent: Torrent, info_hash: &InfoHash, count: i64) -> rusqlite::Result<()> {
        // The trackers bind the number as text; the column's affinity makes it one again.
        let text = count.to_string();
        self.autocommit(Change::StoreCount(torrent, count), STORE_COUNT, params![info_hash.as_str(), text])
    }

    fn count(&self, statements: u32) {
        self.ran.set(self.ran.get().saturating_add(statements));
    }

    /// Retries a write while the database is busy and the client waits; then shows it the error.
    fn retry_write(&self, until: Instant, attempt: impl Fn() -> rusqlite::Result<()>) -> Executed {
        let _open = self.pass_gate();
        self.retry(until, attempt)
    }

    /// Retries while the database is busy and the client waits; then shows it the error.
    fn retry(&self, until: Instant, attempt: impl Fn() -> rusqlite::Result<()>) -> Executed {
        /// SQLite has waited already, for its busy timeout; where that is 0, this keeps the thread from spinning.
        const PAUSE: Duration = Duration::from_millis(1);
        let mut executed = Executed::default();
        loop {
            let result = attempt();
            executed.statements = executed.statements.saturating_add(self.ran.take());
            let Err(error) = result else { return executed };
            executed.fatal = self.clean_up();
            if executed.fatal.is_some() || !sqlite::is_busy(&error) || Instant::now() >= until {
                executed.failure = Some(failure(&error));
                return executed;
            }
            thread::sleep(PAUSE);
        }
    }

    /// Runs a write once; where it fails, it is lost.
    fn once(&self, attempt: impl FnOnce() -> rusqlite::Result<()>) -> Executed {
        let _open = self.pass_gate();
        let result = attempt();
        let statements = self.ran.take();
        match result {
            Ok(()) => Executed { statements, ..Executed::default() },
            Err(_) => Executed { statements, lost_writes: 1, fatal: self.clean_up(), ..Executed::default() },
        }
    }

    /// What a newer tracker's listener does for a download: the torrent and then the aggregate, each read and written by
    /// itself; an error is logged and the write never made.
    pub(super) fn count_download(&self, torrent: Torrent) -> Executed {
        let info_hash = self.torrents.info_hash(torrent);
        let count_torrent = || {
            let mut read = self.connection.prepare_cached(READ)?;
            let known = read.query(params![info_hash.as_str()])?.next()?.is_some();
            self.count(1);
            if known {
                self.autocommit(Change::CountTorrent(torrent), COUNT_TORRENT, params![info_hash.as_str()])
            } else {
                self.store_count(torrent, &info_hash, 1)
            }
        };
        let count_total = || {
            let mut read = self.connection.prepare_cached(READ_TOTAL)?;
            if read.query(params![DOWNLOADS_TOTAL])?.next()?.is_none() {
                return Err(rusqlite::Error::QueryReturnedNoRows);
            }
            self.count(1);
            self.autocommit(Change::CountTotal, COUNT_TOTAL, params![DOWNLOADS_TOTAL])
        };
        let (torrent, total) = (self.once(count_torrent), self.once(count_total));
        Executed {
            failure: None,
            statements: torrent.statements + total.statements,
            lost_writes: torrent.lost_writes + total.lost_writes,
            fatal: torrent.fatal.or(total.fatal),
        }
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
    fn execute(&self, operation: &Operation, until: Instant) -> Executed {
        let Some(&torrent) = operation.torrents.first() else { return Executed::default() };
        match operation.action {
            Action::Nothing => Executed::default(),
            Action::Read => self.retry(until, || self.read(&operation.torrents)),
            Action::Download => self.download_together(&operation.torrents, until),
            Action::StoreCount => {
                let count = self.counts.after(&self.torrents, torrent, operation.event);
                self.once(|| self.store_count(torrent, &self.torrents.info_hash(torrent), count))
            }
            Action::Queue => {
                let queued = Queued { torrent, at: Instant::now() };
                let full = self.queue.as_ref().is_none_or(|queue| queue.try_send(queued).is_err());
                // Two writes: the torrent's and the aggregate's.
                Executed { lost_writes: if full { 2 } else { 0 }, ..Executed::default() }
            }
        }
    }

    fn download_together(&self, torrents: &[Torrent], until: Instant) -> Executed {
        self.retry_write(until, || self.download(torrents))
    }

    fn serve(&self, turn: &mut Turn<'_, Self>) {
        loop {
            let errand = self.errands.as_ref().and_then(|errands| errands.try_recv().ok());
            let over = match errand {
                Some(errand) => in_writer::run(&self.connection, &errand, &mut |step| turn(self, step)),
                None => turn(self, &mut |_| ()),
            };
            if over.is_break() {
                return;
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

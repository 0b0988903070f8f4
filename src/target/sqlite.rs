//! A connection to a tracker's SQLite database as a target: the SQL that a write profile runs for an operation.
//!
//! The generic profiles are a service that means well: what SQLite calls busy is retried until the operation's client
//! has given up, and then an error is shown; a write is never given up silently. The `tracker-*` profiles do what those
//! trackers do, silent losses included, and count them.

use std::{
    cell::Cell,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, params};
use tokio::sync::{RwLock, RwLockReadGuard};

use super::{Execution, IdleWork, Target};
use super::{
    queue::{QueuedEvent, WRITES_PER_DOWNLOAD},
    tracker_memory::TrackerMemory,
};
use crate::{
    dataset::{DOWNLOADS_TOTAL, TORRENT_RECORD_BYTES, TOTAL_RECORD_BYTES},
    history::{Change, ledger::Session},
    io::{self, IoLog},
    measure::OperationFailure,
    snapshot::in_writer::{CopyRequest, WriterCopy},
    sqlite::{self, TransactionMode},
    torrents::{InfoHash, Torrent, Torrents},
    work,
    workload::{Action, Event, Operation},
};

const READ: &str = "SELECT completed FROM torrents WHERE info_hash = ?1";
/// Counts a download of a torrent.
pub(crate) const UPSERT: &str = "INSERT INTO torrents (info_hash, completed) VALUES (?1, 1)
    ON CONFLICT (info_hash) DO UPDATE SET completed = completed + 1";
/// Counts a download in the total.
pub(crate) const COUNT_TOTAL: &str = "UPDATE torrent_aggregate_metrics SET value = value + 1 WHERE metric_name = ?1";
/// With the text of the trackers.
const STORE_COUNT: &str = "INSERT INTO torrents (info_hash, completed) VALUES (?1, ?2) \
    ON CONFLICT(info_hash) DO UPDATE SET completed = ?2";
const COUNT_TORRENT: &str = "UPDATE torrents SET completed = completed + 1 WHERE info_hash = ?";
const READ_TOTAL: &str = "SELECT value FROM torrent_aggregate_metrics WHERE metric_name = ?";

/// Every write holds it open while it lasts. Who closes it, by locking it for writing, knows that nobody writes: those that
/// come later wait, in the order in which they came.
pub type Gate = Arc<RwLock<()>>;

/// One connection of the tracker.
pub struct SqliteTarget {
    connection: Connection,
    session: Session,
    torrents: Torrents,
    transaction_mode: TransactionMode,
    memory: TrackerMemory,
    /// Where events are queued for the listener, where there is one.
    queue: Option<mpsc::SyncSender<QueuedEvent>>,
    /// Closed while nobody is to write, where that can come.
    gate: Option<Gate>,
    /// Copies that this connection is asked to make, where that can come.
    copy_requests: Option<mpsc::Receiver<CopyRequest>>,
    /// SQL statements that have run to their end, `BEGIN` and `COMMIT` not counted.
    ran: Cell<u32>,
}

impl SqliteTarget {
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
            memory: TrackerMemory::default(),
            queue: None,
            gate: None,
            copy_requests: None,
            ran: Cell::new(0),
        }
    }

    /// Writes only while this gate is open.
    #[must_use]
    pub fn behind(self, gate: Option<Gate>) -> Self {
        Self { gate, ..self }
    }

    /// Copies the database when it is asked to, between operations.
    #[must_use]
    pub(crate) fn with_copy_requests(self, requests: mpsc::Receiver<CopyRequest>) -> Self {
        Self { copy_requests: Some(requests), ..self }
    }

    /// Waits until the gate is open, and keeps it so while it lives.
    fn pass_gate(&self) -> Option<RwLockReadGuard<'_, ()>> {
        self.gate.as_ref().map(|gate| gate.blocking_read())
    }

    /// With what the connections of one tracker share: its memory, and the queue of its listener.
    #[must_use]
    pub(crate) fn of_tracker(self, memory: &TrackerMemory, queue: Option<mpsc::SyncSender<QueuedEvent>>) -> Self {
        Self { memory: memory.clone(), queue, ..self }
    }

    /// The listener's own connection queues nothing.
    #[must_use]
    pub(crate) fn without_queue(self) -> Self {
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

    /// Counts downloads of these torrents, in one transaction.
    fn download(&self, torrents: impl Iterator<Item = Torrent> + Clone) -> rusqlite::Result<()> {
        self.session.begin(torrents.clone().map(Change::Download));
        let mut row_bytes = TOTAL_RECORD_BYTES;
        self.connection.prepare_cached(self.transaction_mode.begin())?.execute([])?;
        for torrent in torrents {
            let info_hash = self.torrents.info_hash(torrent);
            self.connection.prepare_cached(UPSERT)?.execute(params![info_hash.as_str()])?;
            self.connection.prepare_cached(COUNT_TOTAL)?.execute(params![DOWNLOADS_TOTAL])?;
            self.count(2);
            row_bytes += TORRENT_RECORD_BYTES;
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        self.session.acknowledge();
        io::note_rows(row_bytes);
        Ok(())
    }

    /// Runs one autocommitting statement that changes what `change` says.
    fn autocommit(&self, change: Change, sql: &str, values: &[&dyn rusqlite::ToSql]) -> rusqlite::Result<()> {
        let row_bytes = match change {
            Change::Nothing => 0,
            Change::CountTotal => TOTAL_RECORD_BYTES,
            Change::CountTorrent(_) | Change::StoreCount(..) | Change::Download(_) => TORRENT_RECORD_BYTES,
        };
        self.session.begin([change]);
        self.connection.prepare_cached(sql)?.execute(values)?;
        self.count(1);
        self.session.acknowledge();
        io::note_rows(row_bytes);
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
    fn retry_write(&self, until: Instant, attempt: impl Fn() -> rusqlite::Result<()>) -> Execution {
        let _open = self.pass_gate();
        self.retry(until, attempt)
    }

    /// Retries while the database is busy and the client waits; then shows it the error.
    fn retry(&self, until: Instant, attempt: impl Fn() -> rusqlite::Result<()>) -> Execution {
        /// SQLite has waited already, for its busy timeout; where that is 0, this keeps the thread from spinning.
        const PAUSE: Duration = Duration::from_millis(1);
        let mut execution = Execution::default();
        loop {
            let result = attempt();
            execution.statements = execution.statements.saturating_add(self.ran.take());
            let Err(error) = result else { return execution };
            execution.fatal = self.clean_up();
            if execution.fatal.is_some() || !sqlite::is_busy(&error) || Instant::now() >= until {
                execution.failure = Some(failure(&error));
                return execution;
            }
            thread::sleep(PAUSE);
        }
    }

    /// Reads a torrent that the tracker sees for the first time since it began. An error there is what the client is shown.
    fn look(&self, torrent: Torrent) -> Execution {
        if self.memory.set_seen(torrent, true) {
            return Execution::default();
        }
        let result = self.read(&[torrent]);
        let statements = self.ran.take();
        let failure = result.err().map(|error| failure(&error));
        if failure.is_some() {
            self.memory.set_seen(torrent, false);
        }
        Execution { failure, statements, ..Execution::default() }
    }

    /// Tells the listener of an event; false where its queue is full.
    fn queue_event(&self, torrent: Torrent, is_download: bool) -> bool {
        let event = QueuedEvent { torrent, is_download, at: Instant::now() };
        self.queue.as_ref().is_some_and(|queue| queue.try_send(event).is_ok())
    }

    /// Runs a write once; where it fails, it is lost.
    fn once(&self, attempt: impl FnOnce() -> rusqlite::Result<()>) -> Execution {
        let _open = self.pass_gate();
        let result = attempt();
        let statements = self.ran.take();
        match result {
            Ok(()) => Execution { statements, ..Execution::default() },
            Err(error) => Execution {
                statements,
                lost_writes: 1,
                lost_to_full_disk: u64::from(failure(&error) == OperationFailure::DiskFull),
                fatal: self.clean_up(),
                ..Execution::default()
            },
        }
    }

    /// What a newer tracker's listener does for a download: the torrent and then the aggregate, each read and written by
    /// itself; an error is logged and the write never made.
    #[must_use]
    pub fn count_download(&self, torrent: Torrent) -> Execution {
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
        Execution {
            failure: None,
            statements: torrent.statements + total.statements,
            lost_writes: torrent.lost_writes + total.lost_writes,
            lost_to_full_disk: torrent.lost_to_full_disk + total.lost_to_full_disk,
            fatal: torrent.fatal.or(total.fatal),
            carried_checkpoint: false,
            hold_until: None,
            is_doubtful: false,
        }
    }

    /// Leaves no transaction open after an error. SQLite itself has rolled back after some errors and not after others.
    fn clean_up(&self) -> Option<String> {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            return Some(format!("cannot roll back: {error}"));
        }
        let error = anyhow::Error::from(self.session.fail().err()?).context("cannot write the ledger");
        Some(format!("{:#}", work::explain_full(error, self.session.ledger_path(), None)))
    }
}

/// Notes whether a checkpoint was run while something was executed.
fn noting_checkpoints(execute: impl FnOnce() -> Execution) -> Execution {
    let before = io::checkpoints_here();
    let execution = execute();
    Execution { carried_checkpoint: io::checkpoints_here() > before, ..execution }
}

impl SqliteTarget {
    fn execute_one(&self, operation: &Operation, until: Instant) -> Execution {
        let Some(&torrent) = operation.torrents.first() else { return Execution::default() };
        match operation.action {
            Action::Nothing => Execution::default(),
            Action::Read => self.retry(until, || self.read(&operation.torrents)),
            Action::Download => self.retry_write(until, || self.download(operation.torrents.iter().copied())),
            Action::StoreCount => {
                let count = self.memory.count_after(torrent, operation.event);
                self.once(|| self.store_count(torrent, &self.torrents.info_hash(torrent), count))
            }
            Action::Look => self.look(torrent),
            Action::Queue => {
                let execution = self.look(torrent);
                let is_download = operation.event == Event::Completed;
                let is_lost = execution.failure.is_none() && !self.queue_event(torrent, is_download);
                Execution { lost_writes: if is_lost && is_download { WRITES_PER_DOWNLOAD } else { 0 }, ..execution }
            }
        }
    }
}

impl Target for SqliteTarget {
    fn execute(&self, operation: &Operation, until: Instant) -> Execution {
        noting_checkpoints(|| self.execute_one(operation, until))
    }

    fn execute_batch(&self, operations: &[Operation], until: Instant) -> Execution {
        let torrents = operations.iter().flat_map(|operation| operation.torrents.iter().copied());
        noting_checkpoints(|| self.retry_write(until, || self.download(torrents.clone())))
    }

    fn begin(&self) {
        io::count_here();
    }

    fn take_io(&self, log: &mut IoLog) {
        io::take(log);
    }

    fn idle(&self) -> IdleWork<'_> {
        let Some(requests) = &self.copy_requests else { return Box::new(|_until| ()) };
        let mut running: Option<WriterCopy<'_>> = None;
        Box::new(move |until| {
            if running.is_none() {
                running = requests.try_recv().ok().map(|request| WriterCopy::begin(&self.connection, request));
            }
            if running.as_mut().is_some_and(|copy| copy.step_until(until).is_break()) {
                running = None;
            }
        })
    }
}

/// How an error of SQLite's is counted.
fn failure(error: &rusqlite::Error) -> OperationFailure {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => OperationFailure::Busy,
        Some(ErrorCode::DiskFull) => OperationFailure::DiskFull,
        Some(ErrorCode::SystemIoFailure) => OperationFailure::InputOutput,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => OperationFailure::Corrupt,
        _ => OperationFailure::Other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::{
        dataset::{Dataset, generate},
        history::ledger::Ledger,
        sqlite::{JournalMode, Settings, Synchronous},
        workload::Kind,
    };

    const DATASET: Dataset = Dataset { rows: 100, seed: 310, page_size_bytes: 1024, zero_share_ppm: 0 };
    const SETTINGS: Settings = Settings {
        journal_mode: JournalMode::Delete,
        synchronous: Synchronous::Off,
        cache_size_kib: 2000,
        mmap_size_bytes: 0,
        wal_autocheckpoint_pages: 1000,
        busy_timeout_ms: 0,
    };

    /// What one download comes to while another connection has run `lock`: the statements that ran, and whether a transaction
    /// had to be rolled back.
    fn against(mode: TransactionMode, lock: &str) -> (u32, bool) {
        let folder = tempfile::tempdir().unwrap();
        let live = folder.path().join("live.db");
        generate(&DATASET, &live, &Arc::default(), &mut |_| ()).unwrap();
        let ledger = Ledger::create(&folder.path().join("ledger")).unwrap();
        let mut connection = sqlite::open(&live, &SETTINGS).unwrap();
        let rolled_back = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&rolled_back);
        connection.rollback_hook(Some(move || _ = seen.fetch_add(1, Ordering::Relaxed))).unwrap();
        let session = ledger.attach(&mut connection).unwrap();
        let target = SqliteTarget::new(connection, session, DATASET.torrents(), mode);
        let other = Connection::open(&live).unwrap();
        other.execute_batch(lock).unwrap();
        let operation = Operation {
            kind: Kind::Announce,
            event: Event::Completed,
            action: Action::Download,
            torrents: vec![Torrent::Known(7)],
        };
        let execution = target.execute(&operation, Instant::now());
        assert_eq!(execution.failure, Some(OperationFailure::Busy), "{mode}");
        (execution.statements, rolled_back.load(Ordering::Relaxed) > 0)
    }

    #[test]
    fn a_transaction_takes_its_lock_when_its_mode_says_so() {
        use TransactionMode::{Deferred, Exclusive, Immediate};
        let reader = "BEGIN; SELECT count(*) FROM torrents";
        let writer = "BEGIN IMMEDIATE";
        for (mode, lock, expected) in [
            // Beside a reader only an exclusive lock cannot be had at the beginning; the others fail in COMMIT.
            (Deferred, reader, (2, true)),
            (Immediate, reader, (2, true)),
            (Exclusive, reader, (0, false)),
            // Beside a writer a deferred transaction begins, and fails in its first statement.
            (Deferred, writer, (0, true)),
            (Immediate, writer, (0, false)),
            (Exclusive, writer, (0, false)),
        ] {
            assert_eq!(against(mode, lock), expected, "{mode}, beside {lock}");
        }
    }

    #[test]
    fn a_newer_tracker_reads_a_torrent_when_it_sees_it_first() {
        let folder = tempfile::tempdir().unwrap();
        let live = folder.path().join("live.db");
        generate(&DATASET, &live, &Arc::default(), &mut |_| ()).unwrap();
        let ledger = Ledger::create(&folder.path().join("ledger")).unwrap();
        let mut connection = sqlite::open(&live, &SETTINGS).unwrap();
        let session = ledger.attach(&mut connection).unwrap();
        let (queue, queued) = mpsc::sync_channel(2);
        let target = SqliteTarget::new(connection, session, DATASET.torrents(), TransactionMode::Immediate)
            .of_tracker(&TrackerMemory::default(), Some(queue));
        let said = |event, number| {
            let action = if event == Event::None { Action::Look } else { Action::Queue };
            let torrents = vec![Torrent::Known(number)];
            target.execute(&Operation { kind: Kind::Announce, event, action, torrents }, Instant::now())
        };
        let other = Connection::open(&live).unwrap();
        other.execute_batch("BEGIN EXCLUSIVE").unwrap();
        let busy = said(Event::Completed, 7);
        assert_eq!((busy.failure, busy.lost_writes), (Some(OperationFailure::Busy), 0));
        assert!(queued.try_recv().is_err(), "a client that was refused is not counted");
        other.execute_batch("COMMIT").unwrap();
        let mut reads = Vec::new();
        for (event, number) in
            [(Event::None, 7), (Event::None, 7), (Event::Started, 8), (Event::Completed, 7), (Event::Completed, 8)]
        {
            let execution = said(event, number);
            assert_eq!(execution.failure, None);
            reads.push((execution.statements, execution.lost_writes));
        }
        // The queue has room for two events, of whatever kind.
        assert_eq!(reads, [(1, 0), (0, 0), (1, 0), (0, 0), (0, WRITES_PER_DOWNLOAD)]);
        let is_download: Vec<_> = queued.try_iter().map(|event| event.is_download).collect();
        assert_eq!(is_download, [false, true]);
    }
}

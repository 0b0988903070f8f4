//! What was committed, in which order, and when it was acknowledged; and the digest of the database after each commit.
//!
//! # The order is SQLite's own
//!
//! SQLite calls a connection's commit hook while that connection alone may write: in rollback modes after it has taken
//! the EXCLUSIVE lock, in WAL under the write lock. A counter taken in the hook is therefore the order in which the
//! transactions commit, for any number of connections of this process. That number is the transaction's *token*, and the
//! records of its changes are written to the ledger file there and then, before SQLite makes the commit durable. What
//! the load generator believes of its own success plays no part.
//!
//! * A transaction that never reaches its hook (busy, rolled back) takes no token and leaves no record.
//! * One that fails after its hook (an I/O error, a full disk) is followed by a *void* record. Whether its pages reached
//!   the file is unknown, so its state is a candidate until the next commit: a copy that is in it is in a state that the
//!   database may have been in.
//! * If the record cannot be written, the hook turns the commit into a rollback: nothing is ever committed unrecorded.
//!
//! Replayed in token order from S(0), the records give S(k) and its digest D(k) for every k ([`replay`]). This happens
//! after the trial; on the measured path a commit costs one `pwrite` of 32 bytes a change. The records are in the
//! operating system's hands as soon as they are written, so they outlive a killed harness.
//!
//! # The file
//!
//! Records of 32 bytes, little-endian: token (from 1), microseconds since the ledger was created, change, value. The
//! records of a transaction stand together; tokens ascend by one, void records apart, which stand anywhere after theirs.

use std::{
    collections::{HashMap, HashSet},
    fs::File,
    io::{self, BufReader, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use rusqlite::Connection;

use crate::{
    dataset::{Aggregate, DOWNLOADS_TOTAL, Manifest},
    digest::{self, Digest},
    torrents::{Torrent, Torrents},
};

const RECORD_BYTES: usize = 32;

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

/// The ledger of a trial while it is written.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    path: PathBuf,
    created: Instant,
    tokens: AtomicU64,
    records: AtomicU64,
    sessions: Mutex<Vec<Arc<Shared>>>,
}

/// One writing connection's side of the ledger.
#[derive(Debug)]
pub struct Session {
    ledger: Arc<Ledger>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// What the open transaction changes; set before it commits, read in its hook.
    pending: Mutex<Pending>,
    /// Token that the hook took for the transaction in progress; 0 before.
    token: AtomicU64,
    /// Largest token of a commit that returned success on this connection.
    acknowledged: AtomicU64,
}

#[derive(Debug, Default)]
struct Pending {
    changes: Vec<Change>,
    encoded: Vec<u8>,
    error: Option<io::Error>,
}

impl Ledger {
    /// Creates an empty ledger; `path` must not exist. Times in it count from now.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn create(path: &Path) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            file: File::create_new(path)?,
            path: path.to_owned(),
            created: Instant::now(),
            tokens: AtomicU64::new(0),
            records: AtomicU64::new(0),
            sessions: Mutex::default(),
        }))
    }

    /// The ledger's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The instant from which the times in the ledger count.
    #[must_use]
    pub fn created(&self) -> Instant {
        self.created
    }

    /// Largest token issued so far: no snapshot finished by now can hold a later commit.
    #[must_use]
    pub fn issued(&self) -> u64 {
        self.tokens.load(Ordering::Acquire)
    }

    /// Largest token acknowledged so far: a snapshot begun now must hold it.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        let sessions = lock(&self.sessions);
        sessions.iter().map(|shared| shared.acknowledged.load(Ordering::Acquire)).max().unwrap_or(0)
    }

    /// Makes every commit of `connection` go through this ledger.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn attach(self: &Arc<Self>, connection: &mut Connection) -> rusqlite::Result<Session> {
        let shared = Arc::<Shared>::default();
        lock(&self.sessions).push(Arc::clone(&shared));
        let (ledger, hooked) = (Arc::clone(self), Arc::clone(&shared));
        connection.commit_hook(Some(move || {
            let mut pending = lock(&hooked.pending);
            let Pending { changes, encoded, error } = &mut *pending;
            match ledger.append(changes, encoded) {
                Ok(token) => {
                    hooked.token.store(token, Ordering::Release);
                    false
                }
                Err(cause) => {
                    *error = Some(cause);
                    true
                }
            }
        }))?;
        Ok(Session { ledger: Arc::clone(self), shared })
    }

    /// Takes the next token and writes the records of its changes. Called in a commit hook, so never by two threads at once.
    fn append(&self, changes: &[Change], encoded: &mut Vec<u8>) -> io::Result<u64> {
        let token = self.tokens.load(Ordering::Relaxed) + 1;
        encoded.clear();
        let at_us = self.elapsed_us();
        for change in if changes.is_empty() { &[Change::Nothing] } else { changes } {
            encode(token, at_us, Entry::Change(*change), encoded);
        }
        self.write(encoded)?;
        self.tokens.store(token, Ordering::Release);
        Ok(token)
    }

    /// Notes that the transaction with this token failed after its hook.
    fn void(&self, token: u64) -> io::Result<()> {
        let mut encoded = Vec::with_capacity(RECORD_BYTES);
        encode(token, self.elapsed_us(), Entry::Void, &mut encoded);
        self.write(&encoded)
    }

    fn write(&self, encoded: &[u8]) -> io::Result<()> {
        let place = self.records.fetch_add((encoded.len() / RECORD_BYTES) as u64, Ordering::Relaxed);
        self.file.write_all_at(encoded, place * RECORD_BYTES as u64)
    }

    fn elapsed_us(&self) -> u64 {
        u64::try_from(self.created.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

impl Session {
    /// Says what the transaction that this connection runs next will change, in the order in which it does. Before its
    /// commit.
    pub fn begin(&self, changes: impl IntoIterator<Item = Change>) {
        self.shared.token.store(0, Ordering::Relaxed);
        let mut pending = lock(&self.shared.pending);
        pending.changes.clear();
        pending.changes.extend(changes);
    }

    /// Says that SQLite reported the commit as done.
    pub fn acknowledge(&self) {
        let token = self.shared.token.swap(0, Ordering::Relaxed);
        self.shared.acknowledged.fetch_max(token, Ordering::Release);
    }

    /// Says that the transaction failed. If it had taken a token, the token is void.
    ///
    /// # Errors
    /// When the ledger cannot be written, now or in the hook: the trial is then not to be judged.
    pub fn fail(&self) -> io::Result<()> {
        if let Some(error) = lock(&self.shared.pending).error.take() {
            return Err(error);
        }
        match self.shared.token.swap(0, Ordering::Relaxed) {
            0 => Ok(()),
            token => self.ledger.void(token),
        }
    }
}

/// A poisoned lock is taken all the same: the data is a list that is valid at every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Content of a record beside its token and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Change(Change),
    Void,
}

/// The kind of a record, in the top byte of its change field. Zero is no kind, so a hole in the file is none.
mod kind {
    pub const DOWNLOAD: u64 = 1;
    pub const NOTHING: u64 = 2;
    pub const VOID: u64 = 3;
    pub const STORE_COUNT: u64 = 4;
    pub const COUNT_TORRENT: u64 = 5;
    pub const COUNT_TOTAL: u64 = 6;
}

const KIND_SHIFT: u32 = 56;
/// Set where the torrent is one that the dataset does not have.
const UNSEEN: u64 = 1 << 55;

fn encode(token: u64, at_us: u64, entry: Entry, out: &mut Vec<u8>) {
    let torrent = |torrent| match torrent {
        Torrent::Known(id) => id,
        Torrent::Unseen(number) => number | UNSEEN,
    };
    let (kind, rest, value) = match entry {
        Entry::Change(Change::Download(of)) => (kind::DOWNLOAD, torrent(of), 0),
        Entry::Change(Change::StoreCount(of, count)) => (kind::STORE_COUNT, torrent(of), count.cast_unsigned()),
        Entry::Change(Change::CountTorrent(of)) => (kind::COUNT_TORRENT, torrent(of), 0),
        Entry::Change(Change::CountTotal) => (kind::COUNT_TOTAL, 0, 0),
        Entry::Change(Change::Nothing) => (kind::NOTHING, 0, 0),
        Entry::Void => (kind::VOID, 0, 0),
    };
    for field in [token, at_us, kind << KIND_SHIFT | rest, value] {
        out.extend_from_slice(&field.to_le_bytes());
    }
}

/// A record as read: token, microseconds, content. `None` where the bytes are no record.
fn decode(record: &[u8; RECORD_BYTES]) -> Option<(u64, u64, Entry)> {
    let field = |n: usize| record[n * 8..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let (token, at_us, change, value) = (field(0), field(1), field(2), field(3));
    let rest = change & ((1 << KIND_SHIFT) - 1);
    let torrent = if rest & UNSEEN == 0 { Torrent::Known(rest) } else { Torrent::Unseen(rest & !UNSEEN) };
    let entry = match change >> KIND_SHIFT {
        kind::DOWNLOAD => Entry::Change(Change::Download(torrent)),
        kind::STORE_COUNT => Entry::Change(Change::StoreCount(torrent, value.cast_signed())),
        kind::COUNT_TORRENT => Entry::Change(Change::CountTorrent(torrent)),
        kind::COUNT_TOTAL => Entry::Change(Change::CountTotal),
        kind::NOTHING => Entry::Change(Change::Nothing),
        kind::VOID => Entry::Void,
        _ => return None,
    };
    (token > 0).then_some((token, at_us, entry))
}

/// Why a ledger cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file could not be read.
    #[error("cannot read the ledger {}", path.display())]
    Io {
        /// The ledger's file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A record is not what may stand at its place.
    #[error("the ledger {} is damaged at record {record}", path.display())]
    Damaged {
        /// The ledger's file.
        path: PathBuf,
        /// Its position, from 0.
        record: u64,
    },
}

/// One state that the database was in, or (a candidate) may have been in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The commit number k.
    pub commit: u64,
    /// When its token was taken, in microseconds since the ledger was created; 0 for S(0).
    pub at_us: u64,
    /// D(k).
    pub digest: Digest,
    /// Whether the commit failed after its hook, so that it is not known to have happened.
    pub void: bool,
}

/// Replays a ledger from the dataset it started from and visits S(0), S(1), ... in order, void commits as candidates at
/// their place. Returns the last state that is not void.
///
/// A record that was cut off at the end, as by a kill, ends the replay; it belongs to a commit that had not happened.
/// Memory grows with the number of different torrents that were written.
///
/// # Errors
/// [`ReplayError`].
pub fn replay(path: &Path, start: &Manifest, mut visit: impl FnMut(&State)) -> Result<State, ReplayError> {
    let mut voids = HashSet::new();
    read(path, |_, token, _, entry| {
        if entry == Entry::Void {
            voids.insert(token);
        }
        true
    })?;
    let mut content = Content::new(start);
    let mut last = State { commit: 0, at_us: 0, digest: content.digest, void: false };
    visit(&last);
    let mut open = Transaction::default();
    let mut close = |open: &mut Transaction, content: &mut Content| {
        let void = voids.contains(&open.token);
        let before = void.then(|| content.saved(&open.changes));
        open.changes.drain(..).for_each(|change| content.apply(change));
        let state = State { commit: open.token, at_us: open.at_us, digest: content.digest, void };
        visit(&state);
        match before {
            Some(before) => content.restore(before),
            None => last = state,
        }
    };
    read(path, |_, token, at_us, entry| {
        let Entry::Change(change) = entry else { return true };
        if token == open.token + 1 {
            if open.token > 0 {
                close(&mut open, &mut content);
            }
            open.token = token;
            open.at_us = at_us;
        } else if token != open.token {
            return false;
        }
        open.changes.push(change);
        true
    })?;
    if open.token > 0 {
        close(&mut open, &mut content);
    }
    Ok(last)
}

#[derive(Default)]
struct Transaction {
    token: u64,
    at_us: u64,
    changes: Vec<Change>,
}

/// Reads every record; `accept` says whether it may stand where it does.
fn read(path: &Path, mut accept: impl FnMut(u64, u64, u64, Entry) -> bool) -> Result<(), ReplayError> {
    let io = |source| ReplayError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(io)?;
    let records = file.metadata().map_err(io)?.len() / RECORD_BYTES as u64;
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut record = [0; RECORD_BYTES];
    for number in 0..records {
        reader.read_exact(&mut record).map_err(io)?;
        let damaged = ReplayError::Damaged { path: path.to_owned(), record: number };
        match decode(&record) {
            Some((token, at_us, entry)) if accept(number, token, at_us, entry) => {}
            _ => return Err(damaged),
        }
    }
    Ok(())
}

/// The part of the content that commits change, and the digest of all of it.
#[derive(Debug)]
struct Content {
    torrents: Torrents,
    /// Id and count of every torrent that was written; the others are as in the dataset.
    written: HashMap<Torrent, (i64, i64)>,
    /// `sqlite_sequence` of `torrents`: every upsert moves it on by one, even one that only updates.
    sequence: i64,
    /// The total of downloads, where the database keeps one.
    aggregate: Option<Aggregate>,
    digest: Digest,
}

/// What [`Content::restore`] needs to take a transaction back.
struct Saved {
    rows: Vec<(Torrent, Option<(i64, i64)>)>,
    sequence: i64,
    aggregate: Option<Aggregate>,
    digest: Digest,
}

impl Content {
    fn new(start: &Manifest) -> Self {
        Self {
            torrents: start.torrents(),
            written: HashMap::new(),
            sequence: start.sequence,
            aggregate: start.aggregate,
            digest: start.digest,
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Download(torrent) => {
                self.upsert(torrent, |before| before.unwrap_or(0) + 1);
                self.count_download();
            }
            Change::StoreCount(torrent, count) => self.upsert(torrent, |_| count),
            Change::CountTorrent(torrent) => {
                if let Some((id, completed)) = self.row(torrent) {
                    self.store(torrent, id, completed + 1);
                }
            }
            Change::CountTotal => self.count_download(),
            Change::Nothing => {}
        }
    }

    /// `INSERT INTO torrents ... ON CONFLICT (info_hash) DO UPDATE SET completed = ...`; `count` is told the count that
    /// the row had, if there was one.
    fn upsert(&mut self, torrent: Torrent, count: impl FnOnce(Option<i64>) -> i64) {
        let before = self.row(torrent);
        self.digest -= digest::sequence("torrents", self.sequence);
        self.sequence += 1;
        self.digest += digest::sequence("torrents", self.sequence);
        let id = before.map_or(self.sequence, |(id, _)| id);
        self.store(torrent, id, count(before.map(|(_, completed)| completed)));
    }

    /// The row of a torrent becomes this.
    fn store(&mut self, torrent: Torrent, id: i64, completed: i64) {
        let info_hash = self.torrents.info_hash(torrent);
        if let Some((id, completed)) = self.row(torrent) {
            self.digest -= digest::torrent(id, info_hash.as_bytes(), completed);
        }
        self.digest += digest::torrent(id, info_hash.as_bytes(), completed);
        self.written.insert(torrent, (id, completed));
    }

    /// `UPDATE torrent_aggregate_metrics SET value = value + 1 WHERE metric_name = 'torrents_downloads_total'`.
    fn count_download(&mut self) {
        let Some(Aggregate { id, value }) = &mut self.aggregate else { return };
        self.digest -= digest::aggregate(*id, DOWNLOADS_TOTAL, *value);
        *value += 1;
        self.digest += digest::aggregate(*id, DOWNLOADS_TOTAL, *value);
    }

    fn row(&self, torrent: Torrent) -> Option<(i64, i64)> {
        self.written.get(&torrent).copied().or(match torrent {
            Torrent::Known(number) => Some((self.torrents.id(number), self.torrents.completed(number))),
            Torrent::Unseen(_) => None,
        })
    }

    fn saved(&self, changes: &[Change]) -> Saved {
        let rows = changes.iter().filter_map(|change| match change {
            Change::Download(torrent) | Change::StoreCount(torrent, _) | Change::CountTorrent(torrent) => {
                Some((*torrent, self.written.get(torrent).copied()))
            }
            Change::CountTotal | Change::Nothing => None,
        });
        Saved { rows: rows.collect(), sequence: self.sequence, aggregate: self.aggregate, digest: self.digest }
    }

    fn restore(&mut self, saved: Saved) {
        for (torrent, row) in saved.rows {
            match row {
                Some(row) => self.written.insert(torrent, row),
                None => self.written.remove(&torrent),
            };
        }
        (self.sequence, self.aggregate, self.digest) = (saved.sequence, saved.aggregate, saved.digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_their_encoding() {
        let entries = [
            Entry::Change(Change::Download(Torrent::Known(161_454_700))),
            Entry::Change(Change::Download(Torrent::Unseen(u64::from(u32::MAX) * 7))),
            Entry::Change(Change::StoreCount(Torrent::Known(1), -5)),
            Entry::Change(Change::StoreCount(Torrent::Unseen(0), i64::MAX)),
            Entry::Change(Change::CountTorrent(Torrent::Known(2))),
            Entry::Change(Change::CountTotal),
            Entry::Change(Change::Nothing),
            Entry::Void,
        ];
        for entry in entries {
            let mut bytes = Vec::new();
            encode(7, 1_000_001, entry, &mut bytes);
            let record = bytes.as_slice().try_into().unwrap();
            assert_eq!(decode(record), Some((7, 1_000_001, entry)));
        }
        assert_eq!(decode(&[0; RECORD_BYTES]), None, "a hole is no record");
    }

    #[test]
    fn a_commit_that_cannot_be_recorded_does_not_happen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("live.db");
        // Refuses every write, as a full disk does.
        let full = Path::new("/dev/full");
        let ledger = Arc::new(Ledger {
            file: File::options().write(true).open(full).unwrap(),
            path: full.to_owned(),
            created: Instant::now(),
            tokens: AtomicU64::new(0),
            records: AtomicU64::new(0),
            sessions: Mutex::default(),
        });
        let mut connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
        let session = ledger.attach(&mut connection).unwrap();
        session.begin([Change::Nothing]);
        connection.execute("UPDATE t SET x = 2", []).unwrap_err();
        assert!(connection.is_autocommit());
        let error = session.fail().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!((ledger.issued(), ledger.acknowledged()), (0, 0));
        let stored: i64 = connection.query_row("SELECT x FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(stored, 1);
    }
}

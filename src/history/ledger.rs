//! The history of a trial: what was committed through SQLite's commit hook, in which order, and what was acknowledged.
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
//! Replayed in token order from S(0), the records give S(k) and its digest D(k) for every k ([`super::replay`]). This
//! happens after the trial; on the measured path a commit costs one `pwrite` of 32 bytes a change. The records are in the
//! operating system's hands as soon as they are written, so they outlive a killed harness.
//!
//! # The file
//!
//! Records of 32 bytes, little-endian: token (from 1; the top 16 bits count the records of the transaction that are still
//! to come), microseconds since the ledger was created, change, value. The records of a transaction stand together; tokens
//! ascend by one, void records apart, which stand anywhere after theirs.
//!
//! A killed harness may leave a transaction whose last records are missing: its commit had not begun, and the replay ends
//! before it. It may leave a hole of zeros where a void record was to be written; the transaction that this would have
//! voided then counts as committed, so that a good snapshot may be called torn, but no bad one exact.
//!
//! A file that is none of this is damaged: one with more zeros than a harness can leave, a transaction of more changes than a
//! batch has, or counts whose sum has no place in 64 bits.

use std::{
    collections::HashSet,
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

use super::{Change, Commit, History, HistoryError};
use crate::{torrents::Torrent, work};

const RECORD_BYTES: usize = 32;

/// Records of zeros in a file at most. A killed harness leaves as many as its last transaction has, and one for each connection.
const HOLES_MOST: u64 = 1 << 20;

/// Changes of one transaction at most: those of a batch of 100,000 operations, some times over.
const CHANGES_MOST: usize = 1 << 20;

/// All counts together that transactions store, at most, so that sums of them stay in range.
const COUNTS_MOST: u64 = 1 << 61;

/// The ledger of a trial while it is written.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    path: PathBuf,
    created: Instant,
    tokens: AtomicU64,
    records: AtomicU64,
    sessions: Mutex<Vec<Arc<SessionState>>>,
}

/// One writing connection's side of the ledger.
#[derive(Debug)]
pub struct Session {
    ledger: Arc<Ledger>,
    state: Arc<SessionState>,
}

#[derive(Debug, Default)]
struct SessionState {
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
    pub(crate) fn created(&self) -> Instant {
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
        sessions.iter().map(|session| session.acknowledged.load(Ordering::Acquire)).max().unwrap_or(0)
    }

    /// Makes every commit of `connection` go through this ledger.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn attach(self: &Arc<Self>, connection: &mut Connection) -> rusqlite::Result<Session> {
        let state = Arc::<SessionState>::default();
        lock(&self.sessions).push(Arc::clone(&state));
        let (ledger, hooked) = (Arc::clone(self), Arc::clone(&state));
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
        Ok(Session { ledger: Arc::clone(self), state })
    }

    /// Takes the next token and writes the records of its changes. Called in a commit hook, so never by two threads at once.
    fn append(&self, changes: &[Change], encoded: &mut Vec<u8>) -> io::Result<u64> {
        let token = self.tokens.load(Ordering::Relaxed) + 1;
        encoded.clear();
        let at_us = self.elapsed_us();
        let changes = if changes.is_empty() { &[Change::Nothing] } else { changes };
        for (place, change) in (1..).zip(changes) {
            encode(token, changes.len() - place, at_us, Entry::Change(*change), encoded);
        }
        self.write(encoded)?;
        self.tokens.store(token, Ordering::Release);
        Ok(token)
    }

    /// Notes that the transaction with this token failed after its hook.
    fn void(&self, token: u64) -> io::Result<()> {
        let mut encoded = Vec::with_capacity(RECORD_BYTES);
        encode(token, 0, self.elapsed_us(), Entry::Void, &mut encoded);
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
    /// The file of the ledger that it writes to.
    pub(crate) fn ledger_path(&self) -> &Path {
        self.ledger.path()
    }

    /// Says what the transaction that this connection runs next will change, in the order in which it does. Before its
    /// commit.
    pub fn begin(&self, changes: impl IntoIterator<Item = Change>) {
        self.state.token.store(0, Ordering::Relaxed);
        let mut pending = lock(&self.state.pending);
        pending.changes.clear();
        pending.changes.extend(changes);
    }

    /// Says that SQLite reported the commit as done.
    pub fn acknowledge(&self) {
        let token = self.state.token.swap(0, Ordering::Relaxed);
        self.state.acknowledged.fetch_max(token, Ordering::Release);
    }

    /// Says that the transaction failed. If it had taken a token, the token is void.
    ///
    /// # Errors
    /// When the ledger cannot be written, now or in the hook: the trial is then not to be judged.
    pub fn fail(&self) -> io::Result<()> {
        if let Some(error) = lock(&self.state.pending).error.take() {
            return Err(error);
        }
        match self.state.token.swap(0, Ordering::Relaxed) {
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
/// Where the number of records to come begins, in the token's field.
const TO_COME_SHIFT: u32 = 48;
/// Set where the torrent is one that the dataset does not have.
const UNSEEN: u64 = 1 << 55;

fn encode(token: u64, to_come: usize, at_us: u64, entry: Entry, out: &mut Vec<u8>) {
    // That it is 0 in the last record only is what counts.
    let to_come = u64::from(u16::try_from(to_come).unwrap_or(u16::MAX));
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
    for field in [to_come << TO_COME_SHIFT | token, at_us, kind << KIND_SHIFT | rest, value] {
        out.extend_from_slice(&field.to_le_bytes());
    }
}

/// A record as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Record {
    token: u64,
    /// Whether it is the last of its transaction.
    is_last: bool,
    at_us: u64,
    entry: Entry,
}

/// `None` where the bytes are no record.
fn decode(record: &[u8; RECORD_BYTES]) -> Option<Record> {
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
    let is_last = token >> TO_COME_SHIFT == 0;
    let token = token & ((1 << TO_COME_SHIFT) - 1);
    (token > 0).then_some(Record { token, is_last, at_us, entry })
}

/// The file of a ledger, read as a history.
///
/// A transaction whose last record is missing, as after a kill, ends the history: its commit had not happened.
#[derive(Debug)]
pub struct LedgerFile {
    path: PathBuf,
    records: u64,
    /// Those of them that are about a torrent that the dataset does not have.
    unseen: u64,
    /// The tokens of the commits that failed after their hook: one for each error that the disk answered a commit with, some
    /// 20 bytes in memory.
    voids: HashSet<u64>,
}

impl LedgerFile {
    /// Opens the file as long as it is now.
    ///
    /// # Errors
    /// [`HistoryError::Read`] and [`HistoryError::Damaged`].
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let read = |source| HistoryError::Read { path: path.to_owned(), source };
        work::check_regular(path).map_err(read)?;
        let records = path.metadata().map_err(read)?.len() / RECORD_BYTES as u64;
        let mut file = Self { path: path.to_owned(), records, unseen: 0, voids: HashSet::new() };
        let (mut unseen, mut voids, mut counts) = (0, HashSet::new(), 0_u64);
        file.read(|record| {
            match record.entry {
                Entry::Void => drop(voids.insert(record.token)),
                Entry::Change(change) => {
                    if let Change::StoreCount(_, count) = change {
                        counts = counts.saturating_add(count.unsigned_abs());
                    }
                    unseen += u64::from(matches!(change.torrent(), Some(Torrent::Unseen(_))));
                }
            }
            Ok(counts <= COUNTS_MOST)
        })?;
        (file.unseen, file.voids) = (unseen, voids);
        Ok(file)
    }

    /// Reads every record; `accept` says whether it may stand where it does.
    fn read(&self, mut accept: impl FnMut(Record) -> Result<bool, HistoryError>) -> Result<(), HistoryError> {
        let read = |source| HistoryError::Read { path: self.path.clone(), source };
        let mut reader = BufReader::with_capacity(1 << 16, File::open(&self.path).map_err(read)?);
        let mut record = [0; RECORD_BYTES];
        let mut holes = 0;
        for number in 0..self.records {
            reader.read_exact(&mut record).map_err(read)?;
            // The place of a void record that a killed harness did not come to write.
            let is_hole = record == [0; RECORD_BYTES];
            holes += u64::from(is_hole);
            let is_accepted =
                if is_hole { holes <= HOLES_MOST } else { decode(&record).map(&mut accept).transpose()? == Some(true) };
            if !is_accepted {
                return Err(HistoryError::Damaged { path: self.path.clone(), record: number });
            }
        }
        Ok(())
    }
}

impl History for LedgerFile {
    fn visit(&self, visit: &mut dyn FnMut(&Commit) -> Result<(), HistoryError>) -> Result<(), HistoryError> {
        let mut open = Commit::default();
        let mut is_open = false;
        self.read(|Record { token, is_last, at_us, entry }| {
            let Entry::Change(change) = entry else { return Ok(true) };
            if token != open.number + u64::from(!is_open) {
                return Ok(false);
            }
            if !is_open {
                open.changes.clear();
                (open.number, open.at_us, open.void) = (token, at_us, self.voids.contains(&token));
            }
            if open.changes.len() == CHANGES_MOST {
                return Ok(false);
            }
            open.changes.push(change);
            is_open = !is_last;
            if is_last {
                visit(&open)?;
            }
            Ok(true)
        })
    }

    fn changes_max(&self) -> Result<u64, HistoryError> {
        Ok(self.records)
    }

    fn unseen_max(&self) -> Result<u64, HistoryError> {
        Ok(self.unseen)
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
            for to_come in [0, 1, 70_000] {
                bytes.clear();
                encode(7, to_come, 1_000_001, entry, &mut bytes);
                let record = bytes.as_slice().try_into().unwrap();
                let expected = Record { token: 7, is_last: to_come == 0, at_us: 1_000_001, entry };
                assert_eq!(decode(record), Some(expected));
            }
        }
        assert_eq!(decode(&[0; RECORD_BYTES]), None, "a hole is no record");
    }

    /// What is read of records that are written so.
    fn read(write: impl FnOnce(&mut Vec<u8>)) -> Result<u64, HistoryError> {
        let mut bytes = Vec::new();
        write(&mut bytes);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        std::fs::write(&path, bytes).unwrap();
        let mut changes = 0;
        LedgerFile::open(&path)?.visit(&mut |commit| {
            changes += commit.changes.len() as u64;
            Ok(())
        })?;
        Ok(changes)
    }

    #[test]
    fn what_no_harness_writes_is_damage() {
        let nothing =
            |token, to_come, out: &mut Vec<u8>| encode(token, to_come, 5, Entry::Change(Change::Nothing), out);
        let holes = |count: u64| {
            move |out: &mut Vec<u8>| {
                nothing(1, 0, out);
                out.resize(out.len() + usize::try_from(count).unwrap() * RECORD_BYTES, 0);
                nothing(2, 0, out);
            }
        };
        assert_eq!(read(holes(HOLES_MOST)).unwrap(), 2);
        let damaged = |result: Result<u64, HistoryError>, at: u64| {
            let error = result.unwrap_err();
            assert!(matches!(error, HistoryError::Damaged { record, .. } if record == at), "{error}");
        };
        damaged(read(holes(HOLES_MOST + 1)), HOLES_MOST + 1);
        let changes =
            |count: usize| move |out: &mut Vec<u8>| (1..=count).for_each(|place| nothing(1, count - place, out));
        assert_eq!(read(changes(CHANGES_MOST)).unwrap(), CHANGES_MOST as u64);
        damaged(read(changes(CHANGES_MOST + 1)), CHANGES_MOST as u64);
        let counts = |second: i64| {
            move |out: &mut Vec<u8>| {
                for (token, count) in [(1, -(1 << 60)), (2, second)] {
                    encode(token, 0, 5, Entry::Change(Change::StoreCount(Torrent::Known(1), count)), out);
                }
            }
        };
        assert_eq!(read(counts(1 << 60)).unwrap(), 2);
        damaged(read(counts((1 << 60) + 1)), 1);
        damaged(read(counts(i64::MIN)), 1);
        let folder = tempfile::tempdir().unwrap();
        let error = LedgerFile::open(folder.path()).unwrap_err();
        assert!(matches!(error, HistoryError::Read { .. }), "{error}");
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

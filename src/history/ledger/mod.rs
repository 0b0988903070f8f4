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
//! happens after the trial; on the measured path a commit costs a look at the clock and 32 bytes a change, stored into a
//! shared mapping of the file. There the records are in the operating system's hands at once, as after a write but without
//! a system call a commit, so they outlive a killed harness (`docs/oracle.md` has what that costs). The file grows a MiB
//! at a time: one commit in 32,768 reserves that much of the disk, and maps it instead of the MiB before.
//!
//! The hook runs on the threads of all writing connections, one after another, as SQLite lets them. Only a void record can
//! come while another connection commits: for its sake the file is behind a lock, which hooks among themselves never wait
//! for.
//!
//! # The file
//!
//! Records of 32 bytes, little-endian: token (from 1; the top 16 bits count the records of the transaction that are still
//! to come), microseconds since the ledger was created, change, value. The records of a transaction stand together; tokens
//! ascend by one, void records apart, which stand anywhere after theirs.
//!
//! [`Ledger::close`] cuts the file behind its last record. A killed harness leaves zeros behind it, to the end of a MiB, and
//! they are no records. It may leave a transaction whose last records are missing, or whose last record has no token yet,
//! which is stored last: its commit had not begun, and the replay ends before it. A void record that it did not come to
//! write is missing; the transaction that this would have voided then counts as committed, so that a good snapshot may be
//! called torn, but no bad one exact. A hole of zeros between records is read as such a void record, too.
//!
//! A file that is none of this is damaged: one with more zeros than a harness can leave, a transaction of more changes than a
//! batch has, or counts whose sum has no place in 64 bits.

mod file;
mod record;
mod window;
mod writer;

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use rusqlite::Connection;

pub use file::LedgerFile;

use super::Change;
use record::{Entry, encode};
use writer::Writer;

/// The ledger of a trial while it is written.
#[derive(Debug)]
pub struct Ledger {
    writer: Mutex<Writer>,
    path: PathBuf,
    created: Instant,
    tokens: AtomicU64,
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
    error: Option<io::Error>,
}

impl Ledger {
    /// Creates an empty ledger; `path` must not exist. Times in it count from now.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn create(path: &Path) -> io::Result<Arc<Self>> {
        Ok(Arc::new(Self {
            writer: Mutex::new(Writer::create(path)?),
            path: path.to_owned(),
            created: Instant::now(),
            tokens: AtomicU64::new(0),
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

    /// A session of commits that another program makes, which are issued when they are asked for.
    #[must_use]
    pub fn session(self: &Arc<Self>) -> Session {
        let state = Arc::<SessionState>::default();
        lock(&self.sessions).push(Arc::clone(&state));
        Session { ledger: Arc::clone(self), state }
    }

    /// Makes every commit of `connection` go through this ledger.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn attach(self: &Arc<Self>, connection: &mut Connection) -> rusqlite::Result<Session> {
        let session = self.session();
        let (ledger, hooked) = (Arc::clone(self), Arc::clone(&session.state));
        connection.commit_hook(Some(move || {
            let mut pending = lock(&hooked.pending);
            let Pending { changes, error } = &mut *pending;
            match ledger.append(changes) {
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
        Ok(session)
    }

    /// Ends the file behind its last record. A commit that comes later is turned into a rollback.
    ///
    /// # Errors
    /// When the file cannot be cut: it then ends with zeros, which readers take for none.
    pub fn close(&self) -> io::Result<()> {
        lock(&self.writer).close()
    }

    /// Takes the next token and writes the records of its changes. Called in a commit hook, so never by two threads at once.
    fn append(&self, changes: &[Change]) -> io::Result<u64> {
        let mut writer = lock(&self.writer);
        let token = self.tokens.load(Ordering::Relaxed) + 1;
        let at_us = self.elapsed_us();
        let changes = if changes.is_empty() { &[Change::Nothing] } else { changes };
        let to_come = (0..changes.len()).rev();
        let records =
            to_come.zip(changes).map(|(to_come, change)| encode(token, to_come, at_us, Entry::Change(*change)));
        writer.append(records)?;
        self.tokens.store(token, Ordering::Release);
        Ok(token)
    }

    /// Notes that the transaction with this token failed after its hook.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub(crate) fn void(&self, token: u64) -> io::Result<()> {
        lock(&self.writer).append([encode(token, 0, self.elapsed_us(), Entry::Void)].into_iter())
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

    /// Issues a transaction that another program is asked to make, with what it will change, before it is asked. Returns its number.
    /// Only one of a ledger may be under way at a time, so that the order in which they are issued is that of the commits.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub fn issue(&self, changes: impl IntoIterator<Item = Change>) -> io::Result<u64> {
        self.begin(changes);
        let token = self.ledger.append(&lock(&self.state.pending).changes)?;
        self.state.token.store(token, Ordering::Release);
        Ok(token)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_that_cannot_be_recorded_does_not_happen() {
        let folder = tempfile::tempdir().unwrap();
        let (path, file) = (folder.path().join("live.db"), folder.path().join("ledger"));
        std::fs::write(&file, "").unwrap();
        // Opened to be read only, so that it cannot grow.
        let writer = Writer::new(std::fs::File::open(&file).unwrap());
        let ledger = Arc::new(Ledger {
            writer: Mutex::new(writer),
            path: file,
            created: Instant::now(),
            tokens: AtomicU64::new(0),
            sessions: Mutex::default(),
        });
        let mut connection = Connection::open(&path).unwrap();
        connection.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
        let session = ledger.attach(&mut connection).unwrap();
        session.begin([Change::Nothing]);
        connection.execute("UPDATE t SET x = 2", []).unwrap_err();
        assert!(connection.is_autocommit());
        let error = session.fail().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::BADF.raw_os_error()));
        assert_eq!((ledger.issued(), ledger.acknowledged()), (0, 0));
        let stored: i64 = connection.query_row("SELECT x FROM t", [], |row| row.get(0)).unwrap();
        assert_eq!(stored, 1);
    }
}

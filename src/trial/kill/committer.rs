//! The process that commits until it is killed, and the file by which it says how far it is: what it has written there stays when it is
//! killed, since the operating system has it.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{
    dataset::Manifest,
    history::ledger::Ledger,
    sqlite::{self, JournalMode, Settings},
    trial::transactions::{Commit, Transactions},
};

/// The hidden subcommand of the binary that is this process.
pub const COMMAND: &str = "commit-until-killed";

/// In WAL a checkpoint of its own comes after so many transactions, so that kills fall into some; every second one begins the WAL anew.
const CHECKPOINT_EVERY: u64 = 20;

/// What to commit, and to what.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    /// The database.
    pub database: PathBuf,
    /// What it began as.
    pub manifest: PathBuf,
    /// Where commits are recorded; not there yet.
    pub ledger: PathBuf,
    /// Where it says how far it is.
    pub progress: PathBuf,
    /// The settings of the connection.
    pub settings: Settings,
    /// What the torrents follow from.
    pub seed: u64,
}

/// What it is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    /// Neither of both.
    Other = 0,
    /// It writes a transaction, or commits it.
    Transaction = 1,
    /// It runs a checkpoint.
    Checkpoint = 2,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Progress {
    /// The last commit whose transaction has begun.
    pub begun: u64,
    /// The last one that has succeeded.
    pub acknowledged: u64,
    /// What it is doing.
    pub doing: Doing,
}

/// The file in which it says so: three numbers of 64 bits, little-endian.
#[derive(Debug)]
pub(super) struct ProgressFile(File);

impl ProgressFile {
    /// A new one, in which nothing has begun.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        file.set_len(24)?;
        Ok(Self(file))
    }

    /// One that is there.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self(File::options().read(true).write(true).open(path)?))
    }

    /// What it says.
    pub fn read(&self) -> io::Result<Progress> {
        let number = |at| {
            let mut bytes = [0; 8];
            self.0.read_exact_at(&mut bytes, at).map(|()| u64::from_le_bytes(bytes))
        };
        // In this order: what begins later is not acknowledged yet.
        let (acknowledged, begun, doing) = (number(8)?, number(0)?, number(16)?);
        let doing = match doing {
            1 => Doing::Transaction,
            2 => Doing::Checkpoint,
            _ => Doing::Other,
        };
        Ok(Progress { begun, acknowledged, doing })
    }

    fn put(&self, at: u64, number: u64) -> io::Result<()> {
        self.0.write_all_at(&number.to_le_bytes(), at)
    }

    fn tell(&self, commit: Commit) -> io::Result<()> {
        match commit {
            Commit::Begins(number) => {
                self.put(0, number)?;
                self.doing(Doing::Transaction)
            }
            Commit::Acknowledged(number) => {
                self.put(8, number)?;
                self.doing(Doing::Other)
            }
        }
    }

    fn doing(&self, doing: Doing) -> io::Result<()> {
        self.put(16, doing as u64)
    }
}

/// Commits until this process is killed.
///
/// # Errors
/// What SQLite or the operating system says.
pub fn run(task: &Path) -> Result<()> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let task: Task = serde_json::from_slice(&read(task)?).context("no task of this program")?;
    let manifest = Manifest::parse(&read(&task.manifest)?)?;
    let progress = ProgressFile::open(&task.progress).context("cannot open the file of its progress")?;
    let mut connection = sqlite::open(&task.database, &task.settings)?;
    let ledger = Ledger::create(&task.ledger).context("cannot create the ledger")?;
    let session = ledger.attach(&mut connection)?;
    let transactions = Transactions { connection, session, ledger, start: &manifest, seed: task.seed };
    for number in 1.. {
        transactions.commit(number, &mut |commit| progress.tell(commit))?;
        if task.settings.journal_mode == JournalMode::Wal && number % CHECKPOINT_EVERY == 0 {
            let kind = if number % (2 * CHECKPOINT_EVERY) == 0 { "TRUNCATE" } else { "PASSIVE" };
            progress.doing(Doing::Checkpoint)?;
            let pragma = format!("PRAGMA wal_checkpoint({kind})");
            // Busy is an answer, too.
            transactions.connection.query_row(&pragma, [], |row| row.get::<_, i64>(0))?;
            progress.doing(Doing::Other)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_last_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("progress");
        let file = ProgressFile::create(&path).unwrap();
        let read = || ProgressFile::open(&path).unwrap().read().unwrap();
        assert_eq!(read(), Progress { begun: 0, acknowledged: 0, doing: Doing::Other });
        file.tell(Commit::Begins(1)).unwrap();
        assert_eq!(read(), Progress { begun: 1, acknowledged: 0, doing: Doing::Transaction });
        file.tell(Commit::Acknowledged(1)).unwrap();
        file.doing(Doing::Checkpoint).unwrap();
        assert_eq!(read(), Progress { begun: 1, acknowledged: 1, doing: Doing::Checkpoint });
    }
}

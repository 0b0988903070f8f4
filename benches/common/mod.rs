//! What benches share: a folder on a disk, a dataset, and connections with stated settings.

#![allow(dead_code, reason = "not every bench needs all of it")]

pub mod committer;
pub mod ratio;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use criterion::Criterion;
use journalbench::{
    analysis,
    dataset::{Dataset, generate},
    env::Environment,
    history::ledger::Ledger,
    probe::Effort,
    snapshot::Programs,
    sqlite::{self, JournalMode, Settings, Synchronous, TransactionMode},
    target::sqlite::SqliteTarget,
    work,
};
use tempfile::TempDir;

/// What every bench of a database starts from: 21 MB.
pub const DATASET: Dataset = Dataset { rows: 200_000, seed: 310, page_size_bytes: 4096, zero_share_ppm: 0 };

/// A folder that is removed at the end, with the dataset in it.
pub struct Site {
    folder: TempDir,
    dataset: PathBuf,
}

impl Site {
    /// In `JOURNALBENCH_DIR`, or else in the build's own folder, so that the disk is measured and not a /tmp in memory.
    pub fn new() -> Self {
        let parent = std::env::var_os("JOURNALBENCH_DIR").unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
        let folder = tempfile::tempdir_in(parent).expect("the work folder is there and writable");
        let environment = Environment::read(folder.path(), &programs(), Effort::InRun, &AtomicBool::new(false));
        for warning in analysis::of_environment(&environment) {
            eprintln!("warning: {warning}");
        }
        let dataset = folder.path().join("dataset.db");
        generate(&DATASET, &dataset, &Arc::default(), &mut |_| ()).expect("there is room for the dataset");
        Self { folder, dataset }
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A copy of the dataset.
    pub fn copy(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        work::copy(&self.dataset, &path, &false.into()).expect("there is room for a copy");
        path
    }

    /// A database of its own and a connection to it as a trial has them, ledger included.
    pub fn database(&self, name: &str, journal_mode: JournalMode, synchronous: Synchronous) -> SqliteTarget {
        self.connect(&self.copy(&format!("{name}.db")), name, journal_mode, synchronous)
    }

    /// A connection to a database that is there, as a trial has it. `name` is its ledger's.
    pub fn connect(
        &self,
        live: &Path,
        name: &str,
        journal_mode: JournalMode,
        synchronous: Synchronous,
    ) -> SqliteTarget {
        let mut connection =
            sqlite::open(live, &settings(journal_mode, synchronous)).expect("SQLite takes the settings");
        let ledger = Ledger::create(&self.path().join(format!("{name}.ledger"))).expect("the folder is writable");
        let session = ledger.attach(&mut connection).expect("a hook can be set");
        SqliteTarget::new(connection, session, DATASET.torrents(), TransactionMode::Immediate)
    }
}

/// The programs that strategies run, the one that was built with the bench among them.
pub fn programs() -> Programs {
    Programs::find(env!("CARGO_BIN_EXE_journalbench").into())
}

/// SQLite's defaults but for these two.
pub fn settings(journal_mode: JournalMode, synchronous: Synchronous) -> Settings {
    Settings {
        journal_mode,
        synchronous,
        cache_size_kib: 2000,
        mmap_size_bytes: 0,
        wal_autocheckpoint_pages: 1000,
        busy_timeout_ms: 5000,
    }
}

/// Criterion with times that let all benches together end within ten minutes.
pub fn criterion(measurement_s: f64, sample_size: usize) -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs_f64(measurement_s))
        .sample_size(sample_size)
}

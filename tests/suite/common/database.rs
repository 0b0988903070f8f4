//! A small tracker's database with a ledger, for tests that write to it by hand.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use journalbench::{
    dataset::{Dataset, Manifest, generate},
    history::{Change, ledger::Session},
    sqlite::{self, JournalMode, Settings, Synchronous},
    torrents::Torrent,
};
use rusqlite::{Connection, params};

/// A download, as the generic write profiles have it.
pub const UPSERT: &str = "INSERT INTO torrents (info_hash, completed) VALUES (?1, 1)
    ON CONFLICT (info_hash) DO UPDATE SET completed = completed + 1";
/// One more in the aggregate.
pub const COUNT: &str = "UPDATE torrent_aggregate_metrics SET value = value + 1";

/// Settings for tests that do not ask about syncs: no fsync, no automatic checkpoint, five seconds of patience.
pub fn settings(journal_mode: JournalMode) -> Settings {
    Settings {
        journal_mode,
        synchronous: Synchronous::Off,
        cache_size_kib: 2000,
        mmap_size_bytes: 0,
        wal_autocheckpoint_pages: 0,
        busy_timeout_ms: 5000,
    }
}

/// A generated dataset of 500 rows, `live.db` in a folder.
pub fn dataset(folder: &Path) -> (Manifest, PathBuf) {
    let path = folder.join("live.db");
    let dataset = Dataset { rows: 500, seed: 310, page_size_bytes: 1024, zero_share_ppm: 0 };
    (generate(&dataset, &path, &Arc::default(), &mut |_| ()).unwrap(), path)
}

/// Tries one download in a transaction of its own, which ends with `end`, and tells the ledger what came of it: false where
/// the database was busy.
pub fn try_download(connection: &Connection, session: &Session, info_hash: &str, torrent: Torrent, end: &str) -> bool {
    session.begin([Change::Download(torrent)]);
    let attempt = || {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        connection.execute(UPSERT, params![info_hash])?;
        connection.execute(COUNT, [])?;
        connection.execute_batch(end)
    };
    match attempt() {
        Ok(()) => {
            session.acknowledge();
            true
        }
        Err(error) => {
            assert!(sqlite::is_busy(&error), "{error}");
            if !connection.is_autocommit() {
                connection.execute_batch("ROLLBACK").unwrap();
            }
            session.fail().unwrap();
            false
        }
    }
}

/// One download, tried again while the database is busy.
pub fn download(connection: &Connection, session: &Session, manifest: &Manifest, torrent: Torrent) {
    let info_hash = manifest.torrents().info_hash(torrent);
    while !try_download(connection, session, info_hash.as_str(), torrent, "COMMIT") {}
}

//! What a scenario drives: SQLite by this program's own SQL, or a real tracker over UDP.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use toml::Table;

use super::{
    file::{ArrivalsKey, Keys, LoadKeys, SqliteKeys, default},
    load::StreamPlan,
    validate::{Refusal, within},
};
use crate::{
    snapshot::{Strategy, WriterRole},
    sqlite::{JournalMode, Synchronous, TransactionMode},
    tracker::swarm,
    workload::{Kind, Mix, WriteProfile},
};

/// `[target]`: what is driven.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TargetKeys {
    /// What it is.
    pub kind: TargetKind,
    /// The tracker's program; else what `JOURNALBENCH_TRACKER` names, or `torrust-tracker` on the `PATH`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub program: Option<PathBuf>,
    /// Where a tracker listens that runs already: then none is started, and there is load but no snapshot, since its database is
    /// somebody else's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<SocketAddr>,
    /// Keys of the tracker's own configuration that go before those that this program gives it.
    #[serde(skip_serializing_if = "Table::is_empty")]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub config: Table,
    /// Torrents that requests are about, spread over the dataset.
    pub torrents: u32,
    /// Sockets that requests come from, beside that of completed downloads.
    pub sockets: u32,
    /// After how long a request without an answer is sent again, and after twice that once more, in seconds (BEP 15: 15 s).
    pub retry_s: f64,
}

/// What can be driven.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TargetKind {
    /// A SQLite database, by the SQL of a write profile.
    #[default]
    Sqlite,
    /// The Torrust tracker, over UDP, with its own SQL.
    TorrustTracker,
}

impl Default for TargetKeys {
    fn default() -> Self {
        Self {
            kind: TargetKind::Sqlite,
            program: None,
            address: None,
            config: Table::new(),
            torrents: 1_000,
            sockets: 4,
            retry_s: 15.0,
        }
    }
}

impl TargetKeys {
    /// Whether nothing is said of it.
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What trials drive.
#[derive(Debug, Clone, PartialEq)]
pub enum TargetPlan {
    /// A SQLite database, by the SQL of a write profile.
    Sqlite,
    /// A tracker that each trial starts.
    Tracker {
        /// The program, where the scenario names one.
        program: Option<PathBuf>,
        /// Keys that go before ours.
        config: Table,
        /// How it is asked.
        requests: RequestsPlan,
    },
    /// A tracker that runs already.
    RunningTracker {
        /// Where it listens.
        address: SocketAddr,
        /// How it is asked.
        requests: RequestsPlan,
    },
}

/// How a tracker is asked.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RequestsPlan {
    /// Torrents that requests are about.
    pub torrents: u32,
    /// Sockets that they come from.
    pub sockets: u32,
    /// After how long one without an answer is sent again.
    pub retry: Duration,
}

impl TargetPlan {
    /// How a tracker is asked, where one is.
    #[must_use]
    pub fn requests(&self) -> Option<RequestsPlan> {
        match self {
            Self::Sqlite => None,
            Self::Tracker { requests, .. } | Self::RunningTracker { requests, .. } => Some(*requests),
        }
    }

    /// Whether each trial has a database of its own, which can be copied and judged.
    #[must_use]
    pub fn has_own_database(&self) -> bool {
        match self {
            Self::Sqlite | Self::Tracker { .. } => true,
            Self::RunningTracker { .. } => false,
        }
    }
}

/// Checks the keys of the target, and that the others ask for nothing that it cannot do.
pub(super) fn check(keys: &Keys) -> Result<(), Refusal> {
    let target = &keys.target;
    match target.kind {
        TargetKind::Sqlite if target.is_default() => Ok(()),
        TargetKind::Sqlite => {
            let allowed = "expected \"torrust-tracker\" with the other keys of the target".to_owned();
            Err(("target.kind", "sqlite".to_owned(), allowed))
        }
        TargetKind::TorrustTracker => check_tracker(keys),
    }
}

fn check_tracker(keys: &Keys) -> Result<(), Refusal> {
    let Keys { target, sqlite, load, snapshots, .. } = keys;
    within("target.torrents", target.torrents, 1, swarm::TORRENTS_MOST)?;
    within("target.sockets", target.sockets, 1, 64)?;
    within("target.retry_s", target.retry_s, 0.01, 1_000.0)?;
    let in_writer = |strategy: &&Strategy| strategy.definition().writers != WriterRole::None;
    if let Some(strategy) = snapshots.strategies.iter().find(in_writer) {
        let allowed = "expected one that asks nothing of the connections that write: they are the tracker's".to_owned();
        return Err(("snapshots.strategies", strategy.to_string(), allowed));
    }
    if let Some((address, path)) = target.address.zip(keys.dataset.path.as_ref()) {
        let allowed = format!(
            "expected a dataset of our own beside target.address = {address}: if that tracker's database is meant, its counts would be \
            overwritten"
        );
        return Err(("dataset.path", path.display().to_string(), allowed));
    }
    if let Some(address) = target.address {
        check_running(keys, address)?;
    }
    check_load(load)?;
    check_sqlite(sqlite)
}

/// Of a tracker that runs already nothing is known but its address.
fn check_running(keys: &Keys, address: SocketAddr) -> Result<(), Refusal> {
    let Keys { target, sqlite, snapshots, .. } = keys;
    if target.program.is_some() || !target.config.is_empty() {
        let allowed = "expected no program and no config beside it: it runs already".to_owned();
        return Err(("target.address", address.to_string(), allowed));
    }
    if let Some(strategy) = snapshots.strategies.iter().find(|strategy| **strategy != Strategy::None) {
        let allowed =
            "expected none: the database of a tracker that runs already is somebody else's, and nothing is known of it";
        return Err(("snapshots.strategies", strategy.to_string(), allowed.to_owned()));
    }
    if sqlite.journal_mode.len() > 1 {
        let found = sqlite.journal_mode.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let allowed =
            "expected one, that of the tracker's database: of a tracker that runs already it cannot be set".to_owned();
        return Err(("sqlite.journal_mode", found, allowed));
    }
    Ok(())
}

/// What writes must be one request at a time, of clients that the tracker knows.
fn check_load(load: &LoadKeys) -> Result<(), Refusal> {
    if load.write_profile != WriteProfile::Tracker3 {
        let allowed = "expected tracker-3, which is what the program writes".to_owned();
        return Err(("load.write_profile", load.write_profile.to_string(), allowed));
    }
    if load.arrivals == ArrivalsKey::Closed {
        let allowed = "expected constant or poisson: a tracker's clients do not wait for each other".to_owned();
        return Err(("load.arrivals", "closed".to_owned(), allowed));
    }
    if load.long_reader_s > 0.0 {
        let allowed = "expected 0: nobody but the tracker has the database open".to_owned();
        return Err(("load.long_reader_s", load.long_reader_s.to_string(), allowed));
    }
    if load.pool_connections != default::pool_connections() {
        let allowed =
            "expected the default: the tracker has its own; target.sockets says how many clients' there are".to_owned();
        return Err(("load.pool_connections", load.pool_connections.to_string(), allowed));
    }
    for (key, share) in [
        ("load.started_share", load.started_share),
        ("load.stopped_share", load.stopped_share),
        ("load.new_torrent_share", load.new_torrent_share),
    ] {
        if share > 0.0 {
            let allowed = "expected 0: the tracker writes then, and nobody knows in which order".to_owned();
            return Err((key, share.to_string(), allowed));
        }
    }
    Ok(())
}

/// The file carries the journal mode and nothing else: the tracker sets no pragma.
fn check_sqlite(sqlite: &SqliteKeys) -> Result<(), Refusal> {
    let is_carried = |mode: &JournalMode| matches!(mode, JournalMode::Delete | JournalMode::Wal);
    if let Some(mode) = sqlite.journal_mode.iter().find(|mode| !is_carried(mode)) {
        let allowed =
            "expected delete or wal: the tracker sets no pragma, and a database file carries no other mode".to_owned();
        return Err(("sqlite.journal_mode", mode.to_string(), allowed));
    }
    if sqlite.synchronous != [Synchronous::Full] {
        let found = sqlite.synchronous.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(("sqlite.synchronous", found, NOT_CARRIED.to_owned()));
    }
    if sqlite.transaction_mode != TransactionMode::default() {
        return Err(("sqlite.transaction_mode", sqlite.transaction_mode.to_string(), NOT_CARRIED.to_owned()));
    }
    for (key, found, by_default) in [
        ("sqlite.cache_size_kib", sqlite.cache_size_kib, default::cache_size_kib()),
        ("sqlite.mmap_size_bytes", sqlite.mmap_size_bytes, 0),
        ("sqlite.wal_autocheckpoint_pages", sqlite.wal_autocheckpoint_pages, default::wal_autocheckpoint_pages()),
        ("sqlite.busy_timeout_ms", sqlite.busy_timeout_ms, default::busy_timeout_ms()),
        ("sqlite.checkpoint_thread_ms", sqlite.checkpoint_thread_ms.cast_signed(), 0),
        ("sqlite.sync_delay_us", sqlite.sync_delay_us.cast_signed(), 0),
    ] {
        if found != by_default {
            return Err((key, found.to_string(), NOT_CARRIED.to_owned()));
        }
    }
    Ok(())
}

const NOT_CARRIED: &str =
    "expected the default: the tracker sets no pragma, and a database file carries only its journal mode";

/// The plan that checked keys ask for.
pub(super) fn plan(target: &TargetKeys) -> TargetPlan {
    let TargetKeys { kind, program, address, config, torrents, sockets, retry_s } = target;
    let requests = RequestsPlan { torrents: *torrents, sockets: *sockets, retry: Duration::from_secs_f64(*retry_s) };
    match (kind, *address) {
        (TargetKind::Sqlite, _) => TargetPlan::Sqlite,
        (TargetKind::TorrustTracker, Some(address)) => TargetPlan::RunningTracker { address, requests },
        (TargetKind::TorrustTracker, None) => {
            TargetPlan::Tracker { program: program.clone(), config: config.clone(), requests }
        }
    }
}

/// The mix of the completed downloads, and the share of announces among everything else.
pub(super) fn worker_mix(mix: &Mix) -> Mix {
    let completed = mix.announce_share * mix.completed_share;
    let announce_share = ((mix.announce_share - completed) / (1.0 - completed)).clamp(0.0, 1.0);
    Mix { completed_share: 1.0, announce_share: if announce_share.is_nan() { 0.0 } else { announce_share }, ..*mix }
}

/// The streams to a tracker: completed downloads, one at a time, and everything else over several sockets.
pub(super) fn streams(mix: &Mix, sockets: u32) -> Vec<StreamPlan> {
    let completed = mix.announce_share * mix.completed_share;
    vec![
        StreamPlan { kind: Some(Kind::Announce), share: completed, connections: 1, batch: None },
        StreamPlan { kind: None, share: 1.0 - completed, connections: sockets, batch: None },
    ]
}

//! The file format of a scenario: every key, its default, and what it means. Nothing is checked here but types, and nobody
//! outside [`super`] sees these: what a scenario asks for is a [`super::Scenario`].

use std::{borrow::Cow, path::PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};

use super::{
    kill::KillKeys,
    machine::{DatasetCopy, PageCache},
    one_or_many::{OneOrMany, one_as_itself, one_or_many},
    power_loss::PowerLossKeys,
    steps::Step,
    target::TargetKeys,
};
use crate::{
    dataset::Size,
    snapshot::{Strategy, StrategyOptions},
    sqlite::{JournalMode, Synchronous, TransactionMode},
    workload::WriteProfile,
};

/// A scenario as results keep it: its keys with every default filled in, and what was read beside them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// The file's name without its extension.
    pub name: String,
    /// Every key.
    #[serde(flatten)]
    pub keys: Keys,
    /// The lines of the trace file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace_points: Vec<super::trace::TracePoint>,
}

/// A scenario stands in results as its record.
impl JsonSchema for super::Scenario {
    fn schema_name() -> Cow<'static, str> {
        "Scenario".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Record::json_schema(generator)
    }
}

/// The keys of a scenario file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Why the scenario exists: the question that it answers.
    pub why: String,
    /// What its author expects to see.
    pub expect: String,
    /// How often every trial is run; their order alternates.
    #[serde(default = "default::repetitions")]
    pub repetitions: u32,
    /// When a client gives up, in seconds after the operation was due (BEP 15: 15 s).
    #[serde(default = "default::client_timeout_s")]
    pub client_timeout_s: f64,
    /// What figures must keep, as in `wal.commit.service.p99_us < 5000`; `docs/running.md` has the language.
    #[serde(deserialize_with = "one_or_many", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<String>")]
    pub thresholds: Vec<String>,
    /// What is driven: SQLite, where nothing is said.
    #[serde(default, skip_serializing_if = "TargetKeys::is_default")]
    pub target: TargetKeys,
    /// The database at the start.
    pub dataset: DatasetKeys,
    /// Settings of every connection.
    pub sqlite: SqliteKeys,
    /// The traffic.
    pub load: LoadKeys,
    /// What is copied, and how.
    pub snapshots: SnapshotKeys,
    /// How long each phase lasts.
    #[serde(default)]
    pub phases: PhaseKeys,
    /// When a trial counts as disturbed by what else the machine does.
    #[serde(default)]
    pub disturbance: DisturbanceKeys,
    /// What power losses would leave of the database: trials do this and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_loss: Option<PowerLossKeys>,
    /// What kills leave of the database and of its copies: trials do this and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill: Option<KillKeys>,
}

/// `[dataset]`: the database at the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatasetKeys {
    /// Rows of `torrents`.
    #[serde(default)]
    pub rows: u64,
    /// Size of the file, instead of rows; resolved to as many rows as come closest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// A tracker's own database, of which a copy is adopted, instead of rows; relative to the scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// What every value of a generated dataset follows from.
    #[serde(default = "default::seed")]
    pub seed: u64,
    /// Of the rows of `torrents` of a generated dataset, how many have a count of zero, from 0 to 1. On the live demo 0.969.
    #[serde(default, skip_serializing_if = "crate::dataset::is_zero")]
    pub zero_share: f64,
    /// How each trial gets its copy.
    #[serde(default)]
    pub copy: DatasetCopy,
}

/// `[sqlite]`: the settings of every connection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteKeys {
    /// Journal modes; a trial for each.
    #[serde(deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<JournalMode>")]
    pub journal_mode: Vec<JournalMode>,
    /// When SQLite calls fsync; a trial for each.
    #[serde(deserialize_with = "one_or_many", default = "default::synchronous")]
    #[schemars(with = "OneOrMany<Synchronous>")]
    pub synchronous: Vec<Synchronous>,
    /// Page size of the database file, in bytes.
    #[serde(default = "default::page_size_bytes")]
    pub page_size_bytes: u32,
    /// Page cache of each connection, in KiB.
    #[serde(default = "default::cache_size_kib")]
    pub cache_size_kib: i64,
    /// Bytes of the database that may be memory-mapped.
    #[serde(default)]
    pub mmap_size_bytes: i64,
    /// Pages in the WAL at which a commit runs a checkpoint; 0 for never.
    #[serde(default = "default::wal_autocheckpoint_pages")]
    pub wal_autocheckpoint_pages: i64,
    /// How long SQLite retries when the database is locked, in milliseconds.
    #[serde(default = "default::busy_timeout_ms")]
    pub busy_timeout_ms: i64,
    /// How a write transaction of several statements begins.
    #[serde(default)]
    pub transaction_mode: TransactionMode,
    /// How often a thread of its own runs a passive checkpoint, in milliseconds; 0 for no such thread.
    #[serde(default)]
    pub checkpoint_thread_ms: u64,
    /// Whether the operating system holds the database in memory when a trial begins.
    #[serde(default)]
    pub page_cache: PageCache,
    /// Whether what SQLite asks of its files is counted, by a VFS of this program's.
    #[serde(default = "default::count_io")]
    pub count_io: bool,
    /// How much longer every sync takes, at least, of a file and of a folder, in microseconds: a slower disk is emulated.
    #[serde(default)]
    pub sync_delay_us: u64,
}

/// `load.arrivals`: when operations are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ArrivalsKey {
    /// Open loop, with equal gaps.
    Constant,
    /// Open loop, with exponentially distributed gaps, as of many independent clients.
    Poisson,
    /// Open loop, with exponentially distributed gaps, at the rate of a file.
    Trace,
    /// Closed loop: as fast as the database answers. Finds the ceiling; its response times hide every stall.
    Closed,
}

/// One of `[[load.steps]]`: a stretch of time and its rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepKeys {
    /// How long it lasts, in seconds.
    pub duration_s: f64,
    /// Operations that arrive, a second.
    pub rate_ops: f64,
    /// The rate at its end, where it is a ramp.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_end_ops: Option<f64>,
}

/// `[load]`: the traffic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadKeys {
    /// How arrivals are spread.
    #[serde(default = "default::arrivals")]
    pub arrivals: ArrivalsKey,
    /// Operations that arrive, a second; a trial for each.
    #[serde(deserialize_with = "one_or_many", default)]
    #[schemars(with = "OneOrMany<f64>")]
    pub rate_ops: Vec<f64>,
    /// A rate that changes over time, instead of `rate_ops`. The last step's rate goes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepKeys>,
    /// A file of `t_s,ops_per_s`, for arrivals = "trace"; relative to the scenario.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<PathBuf>,
    /// What the trace's rates are multiplied with.
    #[serde(default = "default::trace_scale")]
    pub trace_scale: f64,
    /// What reaches the database of an announce.
    #[serde(default = "default::write_profile")]
    pub write_profile: WriteProfile,
    /// Share of operations that are announces; the others are scrapes.
    #[serde(default = "default::announce_share")]
    pub announce_share: f64,
    /// Share of announces that complete a download.
    #[serde(default = "default::completed_share")]
    pub completed_share: f64,
    /// Announces that complete a download, a second, instead of their share: a trial for each number.
    #[serde(deserialize_with = "one_or_many", default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrMany<f64>")]
    pub completed_rate_ops: Vec<f64>,
    /// Share of announces that begin a download.
    #[serde(default = "default::started_share")]
    pub started_share: f64,
    /// Share of announces that leave.
    #[serde(default = "default::stopped_share")]
    pub stopped_share: f64,
    /// Share of announces for torrents that the dataset does not have.
    #[serde(default = "default::new_torrent_share")]
    pub new_torrent_share: f64,
    /// Exponent of the Zipf distribution of popularity.
    #[serde(default = "default::zipf_exponent")]
    pub zipf_exponent: f64,
    /// Largest number of info-hashes in a scrape.
    #[serde(default = "default::scrape_hashes_max")]
    pub scrape_hashes_max: u32,
    /// Connections (and threads) for announces, where scrapes have their own: a trial for each number.
    #[serde(
        default = "default::announce_connections",
        deserialize_with = "one_or_many",
        serialize_with = "one_as_itself"
    )]
    #[schemars(with = "OneOrMany<u32>")]
    pub announce_connections: Vec<u32>,
    /// Connections (and threads) for scrapes.
    #[serde(default = "default::scrape_connections")]
    pub scrape_connections: u32,
    /// Connections (and threads) that announces and scrapes share, in the `tracker-*` profiles and the closed loop.
    #[serde(default = "default::pool_connections")]
    pub pool_connections: u32,
    /// Writes that the batched profile puts into one transaction at most.
    #[serde(default = "default::batch_operations")]
    pub batch_operations: u32,
    /// How long the first write of a batch waits for the others, in milliseconds.
    #[serde(default = "default::batch_wait_ms")]
    pub batch_wait_ms: u64,
    /// How long a connection of its own holds a read transaction, again and again, in seconds; 0 for no such connection.
    #[serde(default)]
    pub long_reader_s: f64,
    /// What the operations follow from.
    #[serde(default = "default::seed")]
    pub seed: u64,
}

/// `[snapshots]`: what is copied, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotKeys {
    /// Ways to copy the database; a trial for each.
    #[serde(deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany<Strategy>")]
    pub strategies: Vec<Strategy>,
    /// When a snapshot is stopped, in seconds after it began.
    #[serde(default = "default::deadline_s")]
    pub deadline_s: f64,
    /// When the snapshots of a trial begin, in seconds from `phases.baseline_s` on, ascending; the baseline lasts until the
    /// first. One at 0, where neither this nor `every_s` is given. One that would overlap the one before it begins when that
    /// has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_s: Vec<f64>,
    /// From the beginning of one snapshot to that of the next, in seconds: `count` of them from 0 on, instead of `at_s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_s: Option<f64>,
    /// How many snapshots there are with `every_s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// A snapshot is given up when less than this is free on its file system, in bytes: what reads the database in WAL mode
    /// lets the WAL grow as long as it lasts.
    #[serde(default = "default::least_free_bytes")]
    pub least_free_bytes: u64,
    /// Whether the oracle asks SQLite's `integrity_check` and `quick_check` of each snapshot, to tell which failures are
    /// silent: they take many times as long as it does itself.
    #[serde(default = "default::sqlite_checks")]
    pub sqlite_checks: bool,
    /// Whether the harness syncs what a strategy left, before its time is up. Where it is left out, each strategy's copy is
    /// synced as those who use it do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync: Option<bool>,
    /// What is done with each snapshot once it was taken.
    #[serde(default)]
    pub after: AfterKeys,
    /// What is set for a strategy: `[snapshots.options.NAME]`.
    #[serde(default)]
    pub options: StrategyOptions,
}

/// `[snapshots.after]`: what is done with each snapshot once it was taken, on copies.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AfterKeys {
    /// In this order.
    pub steps: Vec<Step>,
    /// Whether they are done at once, while the load runs, in the snapshot's phase; otherwise after the load has ended.
    pub during_load: bool,
    /// Backups that the retention keeps at most: the last ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_last: Option<u32>,
    /// Days after which the retention deletes a backup, instead of `keep_last`; parts of a day are as good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_days: Option<f64>,
}

/// `[phases]`: how long each phase lasts.
#[expect(clippy::struct_field_names, reason = "a key has its unit last")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PhaseKeys {
    /// Load that is not reported, in seconds.
    pub warmup_s: f64,
    /// Load without a snapshot, in seconds.
    pub baseline_s: f64,
    /// Load after the end of the last snapshot, in seconds, at the least: it lasts until the end of the horizon as well.
    pub recovery_s: f64,
    /// From the beginning of each snapshot on, in seconds: what the others had to pay is compared over this time, the same for
    /// every strategy. 10, or the deadline and the recovery together where that is less.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub horizon_s: Option<f64>,
}

/// `[disturbance]`: when a trial counts as disturbed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DisturbanceKeys {
    /// A trial is disturbed where the hypervisor gave more than this share of the processors' time to other machines.
    pub steal_share_max: f64,
    /// A trial is disturbed where tasks waited for processors or block devices for a share of the time that is by more than this
    /// above the median of its repetitions.
    pub pressure_share_max: f64,
    /// Whether the trials of a pair of which one was disturbed are run again at the end, once.
    pub rerun: bool,
}

impl Default for DisturbanceKeys {
    fn default() -> Self {
        Self { steal_share_max: 0.05, pressure_share_max: 0.25, rerun: false }
    }
}

impl Default for PhaseKeys {
    fn default() -> Self {
        Self { warmup_s: 2.0, baseline_s: 5.0, recovery_s: 2.0, horizon_s: None }
    }
}

/// What a key is where it is left out.
pub(super) mod default {
    use super::{ArrivalsKey, Synchronous, WriteProfile};
    use crate::workload::Mix;

    const MIX: Mix = Mix::of(WriteProfile::CompletedOnly);

    pub fn repetitions() -> u32 {
        1
    }
    pub fn count_io() -> bool {
        true
    }
    pub fn client_timeout_s() -> f64 {
        15.0
    }
    pub fn seed() -> u64 {
        310
    }
    pub fn synchronous() -> Vec<Synchronous> {
        vec![Synchronous::Full]
    }
    pub fn page_size_bytes() -> u32 {
        4096
    }
    pub fn cache_size_kib() -> i64 {
        2000
    }
    pub fn wal_autocheckpoint_pages() -> i64 {
        1000
    }
    pub fn busy_timeout_ms() -> i64 {
        5000
    }
    pub fn arrivals() -> ArrivalsKey {
        ArrivalsKey::Poisson
    }
    pub fn write_profile() -> WriteProfile {
        WriteProfile::CompletedOnly
    }
    pub fn trace_scale() -> f64 {
        1.0
    }
    pub fn announce_share() -> f64 {
        MIX.announce_share
    }
    pub fn started_share() -> f64 {
        MIX.started_share
    }
    pub fn stopped_share() -> f64 {
        MIX.stopped_share
    }
    pub fn completed_share() -> f64 {
        MIX.completed_share
    }
    pub fn new_torrent_share() -> f64 {
        MIX.new_torrent_share
    }
    pub fn zipf_exponent() -> f64 {
        MIX.zipf_exponent
    }
    pub fn scrape_hashes_max() -> u32 {
        MIX.scrape_hashes_max
    }
    pub fn announce_connections() -> Vec<u32> {
        vec![1]
    }
    pub fn scrape_connections() -> u32 {
        4
    }
    pub fn pool_connections() -> u32 {
        10
    }
    pub fn batch_operations() -> u32 {
        100
    }
    pub fn batch_wait_ms() -> u64 {
        10
    }
    pub fn sqlite_checks() -> bool {
        true
    }
    pub fn least_free_bytes() -> u64 {
        500_000_000
    }
    pub fn deadline_s() -> f64 {
        5.0
    }
}

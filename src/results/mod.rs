//! What a run found: the JSON that others build on, saved and loaded whole.
//!
//! Names are in snake case with the unit last. Histograms are kept whole (base64 of a compressed `HdrHistogram` V2, in
//! microseconds), beside the scenario with every default filled in and the environment, so that a figure can be
//! questioned later. [`Results::save`] writes atomically.

mod snapshot;

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{Serializer, V2DeflateSerializer},
};
use serde::{Deserialize, Serialize};

pub use crate::child::Resources;
pub use snapshot::{
    CopyJournalMode, Evidence, FileLeft, ProgressPoint, SnapshotResult, StepResult, StepStatus, WalResult,
};

use crate::{
    dataset::{Manifest, Origin},
    digest::Digest,
    env::Environment,
    measure::{self, Counts, Failure, KindTally},
    scenario::{PageCache, Scenario},
    snapshot::Strategy,
    sqlite::{JournalMode, Synchronous},
    warning::Warning,
    workload::{Kind, WriteProfile},
};

/// Raised when a name in the JSON changes its meaning or goes away.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything that a run found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA_VERSION`] of the program that wrote it.
    pub schema_version: u32,
    /// Version of the program.
    pub journalbench_version: String,
    /// When the run began, in RFC 3339.
    pub started_at: String,
    /// How long it took, dataset and verification included.
    pub duration_s: f64,
    /// What was run, with every default filled in.
    pub scenario: Scenario,
    /// Where.
    pub environment: Environment,
    /// The database that every trial began with; `None` where none was made.
    #[serde(default)]
    pub dataset: Option<DatasetResult>,
    /// What a reader should know before believing a figure.
    pub warnings: Vec<Warning>,
    /// Nothing yet.
    pub decision: Option<()>,
    /// One for each trial that was begun, in the order in which they ran.
    pub trials: Vec<TrialResult>,
}

/// What is known of the database that every trial began with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetResult {
    /// Rows of `torrents`.
    pub rows: u64,
    /// Size of the file.
    pub bytes: u64,
    /// Page size of the file.
    pub page_size_bytes: u32,
    /// Sum over all rows of all tables.
    pub digest: Digest,
    /// Of an adopted database: rows that operations are about.
    pub sampled_rows: Option<u64>,
}

impl DatasetResult {
    /// Of a dataset with this manifest.
    #[must_use]
    pub fn new(manifest: &Manifest) -> Self {
        Self {
            rows: manifest.rows,
            bytes: manifest.bytes,
            page_size_bytes: manifest.header.page_size_bytes(),
            digest: manifest.digest,
            sampled_rows: match &manifest.origin {
                Origin::Generated(_) => None,
                Origin::Adopted(adopted) => Some(adopted.sample.rows().len() as u64),
            },
        }
    }
}

/// Whether a trial is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It ran to its end.
    Completed,
    /// It cannot run here.
    Skipped,
    /// The harness or the database failed; what was measured is not to be relied on.
    Failed,
    /// It was stopped by the user.
    Interrupted,
}

/// What one trial found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrialResult {
    /// Unique in the run.
    pub id: String,
    /// Journal mode of the database.
    pub journal_mode: JournalMode,
    /// When SQLite called fsync.
    pub synchronous: Synchronous,
    /// How the snapshot was taken.
    pub strategy: Strategy,
    /// The options that the strategy ran with.
    pub strategy_options: serde_json::Value,
    /// What reached the database of an announce.
    pub write_profile: WriteProfile,
    /// From 1.
    pub repetition: u32,
    /// Operations that arrived, a second: as the scenario says, or on average over the load where it changes; `None` in
    /// the closed loop.
    pub offered_rate_ops: Option<f64>,
    /// Operations that were served, a second, over all phases but the warm-up.
    pub achieved_rate_ops: f64,
    /// Whether it is whole.
    pub status: Status,
    /// Why it was skipped or failed.
    pub reason: Option<String>,
    /// Folder with ledger, live database and snapshots, relative to this file.
    pub kept_in: Option<PathBuf>,
    /// State of the page cache when it began.
    pub page_cache: PageCache,
    /// The settings of the connections, by pragma, as SQLite reports them.
    pub settings: BTreeMap<String, String>,
    /// Largest size of the WAL that was seen.
    pub wal_bytes_max: u64,
    /// Whether the live database itself, read after the load had ended, was what the ledger says: the harness's check
    /// of itself. `None` where the trial was interrupted before it.
    pub live_database_matches_ledger: Option<bool>,
    /// In time order; names may repeat.
    pub phases: Vec<PhaseResult>,
    /// In time order.
    pub snapshots: Vec<SnapshotResult>,
    /// Snapshots of the schedule whose turn did not come, because those before them took too long.
    #[serde(default)]
    pub snapshots_not_taken: u64,
    /// One for each second of the load.
    pub series: Vec<SeriesPoint>,
}

/// One second of a trial.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SeriesPoint {
    /// When it began, in seconds from the start of the load.
    pub t_s: u64,
    /// Operations that were due in it.
    pub due: u64,
    /// Operations that were served in it.
    pub served: u64,
    /// Operations due in it that were not served in time, or never.
    pub errors: u64,
    /// Write transactions that were committed in it.
    pub commits: u64,
    /// Median response time of the operations that were served in it.
    pub p50_us: Option<u64>,
    /// 99th percentile of those.
    pub p99_us: Option<u64>,
    /// Largest of those.
    pub max_us: Option<u64>,
    /// Operations that were due and not begun, at its end.
    pub backlog: u64,
    /// Size of the WAL at its end.
    pub wal_bytes: u64,
}

/// The part of a trial that a phase is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    /// Load that is not reported.
    Warmup,
    /// No snapshot is running.
    Baseline,
    /// A snapshot is running.
    Snapshot,
    /// After a snapshot; for `none`, the time that others have for theirs as well.
    Recovery,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completed => "completed",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        })
    }
}

impl fmt::Display for PhaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warmup => "warmup",
            Self::Baseline => "baseline",
            Self::Snapshot => "snapshot",
            Self::Recovery => "recovery",
        })
    }
}

/// What was measured in one phase. An operation belongs to the phase in which it was due, a commit to the phase in
/// which it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PhaseResult {
    /// Which part of the trial.
    pub name: PhaseName,
    /// When it began, in seconds from the start of the load.
    pub started_s: f64,
    /// How long it lasted.
    pub duration_s: f64,
    /// Operations that arrived, a second: those due, divided by the duration.
    pub offered_rate_ops: f64,
    /// Operations that were served in the phase, a second, whenever they were due.
    pub achieved_rate_ops: f64,
    /// SQL statements that the operations due in it ask for, a second, `BEGIN` and `COMMIT` not counted.
    pub offered_sql_per_s: f64,
    /// SQL statements that were executed for them, a second, retries included.
    pub achieved_sql_per_s: f64,
    /// Write transactions that the operations due in it ask for, a second.
    pub offered_commits_per_s: f64,
    /// Write transactions that were committed, a second.
    pub achieved_commits_per_s: f64,
    /// Write transactions that were committed.
    pub commits: u64,
    /// Longest stretch of the phase without a commit; of a snapshot, with what reaches beyond it.
    pub longest_without_commit_s: f64,
    /// By kind.
    pub operations: Vec<OperationResult>,
    /// How late idle workers woke.
    pub lag: Distribution,
}

/// What was measured of one kind of operation in one phase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OperationResult {
    /// Announce or scrape.
    pub kind: Kind,
    /// Operations that were due: the sum of the next five.
    pub due: u64,
    /// How they ended.
    #[serde(flatten)]
    pub counts: Counts,
    /// Writes that were given up although the client was answered as if all were well.
    pub lost_writes: u64,
    /// Whether the generator's own lateness is over a tenth of the response time, at the 99th percentile.
    #[serde(default)]
    pub generator_bound: bool,
    /// Why operations failed.
    pub failures: BTreeMap<Failure, u64>,
    /// Where the 99th percentile of this phase lies among windows of the baseline that are as long as it; only for the
    /// time of a snapshot.
    pub placement: Option<Placement>,
    /// Response times; percentiles rank over everything due.
    pub response: Distribution,
    /// Service times of the operations that were begun.
    pub service: Distribution,
}

/// The 99th percentiles of the response time in windows of the baseline, to compare a phase of the same length with. Of a
/// window, `None` is later than every time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Placement {
    /// Length of a window, and of the phase.
    pub window_s: f64,
    /// Windows that the baseline was cut into.
    pub windows: u64,
    /// The smallest of their 99th percentiles.
    pub p99_least_us: Option<u64>,
    /// Their median.
    pub p99_median_us: Option<u64>,
    /// The largest of them.
    pub p99_most_us: Option<u64>,
    /// Windows whose 99th percentile is below the phase's.
    pub windows_below: u64,
}

/// A distribution of times. A percentile is `None` where its rank falls among operations that were not served, or where
/// nothing was due.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    /// Median.
    pub p50_us: Option<u64>,
    /// 90th percentile.
    pub p90_us: Option<u64>,
    /// 99th percentile.
    pub p99_us: Option<u64>,
    /// 99.9th percentile; `None` also where fewer than 10,000 operations were due.
    pub p999_us: Option<u64>,
    /// Largest.
    pub max_us: Option<u64>,
    /// Base64 of a compressed `HdrHistogram` V2, in microseconds.
    pub histogram: String,
}

/// No 99.9th percentile from fewer operations than this: it would rest on fewer than ten of them.
pub const P999_LEAST: u64 = 10_000;

impl Distribution {
    /// The distribution of `histogram`, with percentiles ranked over `total` operations.
    #[must_use]
    pub fn new(histogram: &Histogram<u64>, total: u64) -> Self {
        let percentile = |quantile| measure::percentile(histogram, total, quantile);
        Self {
            p50_us: percentile(0.5),
            p90_us: percentile(0.9),
            p99_us: percentile(0.99),
            p999_us: percentile(0.999).filter(|_| total >= P999_LEAST),
            max_us: percentile(1.0),
            histogram: encode(histogram),
        }
    }
}

impl OperationResult {
    /// What a tally says of one kind; `lag` is that of all workers.
    #[must_use]
    pub fn new(kind: Kind, tally: &KindTally, lag: &Histogram<u64>) -> Self {
        let counts = tally.counts;
        let lag_us = measure::percentile(lag, lag.len(), 0.99);
        let response_us = measure::percentile(&tally.response, counts.due(), 0.99);
        Self {
            kind,
            due: counts.due(),
            counts,
            lost_writes: tally.lost_writes,
            generator_bound: lag_us.zip(response_us).is_some_and(|(lag_us, response_us)| lag_us * 10 > response_us),
            failures: tally.failures.clone(),
            placement: None,
            response: Distribution::new(&tally.response, counts.due()),
            service: Distribution::new(&tally.service, tally.service.len()),
        }
    }
}

impl PhaseResult {
    /// Counts of all kinds together.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.operations.iter().fold(Counts::default(), |sum, operation| sum.plus(&operation.counts))
    }

    /// The operations of one kind.
    #[must_use]
    pub fn operation(&self, kind: Kind) -> Option<&OperationResult> {
        self.operations.iter().find(|operation| operation.kind == kind)
    }
}

impl TrialResult {
    /// Whether more was offered than the database could do: in the baseline, less than 95 % of what was due was served
    /// in time.
    #[must_use]
    pub fn is_saturated(&self) -> bool {
        let baseline = self.phase(PhaseName::Baseline).filter(|_| self.offered_rate_ops.is_some());
        baseline.is_some_and(|phase| phase.achieved_rate_ops < 0.95 * phase.offered_rate_ops)
    }

    /// The first phase of a name.
    #[must_use]
    pub fn phase(&self, name: PhaseName) -> Option<&PhaseResult> {
        self.phases.iter().find(|phase| phase.name == name)
    }
}

fn encode(histogram: &Histogram<u64>) -> String {
    let mut bytes = Vec::new();
    // Writing to memory fails for no histogram of these bounds.
    match V2DeflateSerializer::new().serialize(histogram, &mut bytes) {
        Ok(_) => BASE64_STANDARD.encode(bytes),
        Err(_) => String::new(),
    }
}

/// Why results could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// It is not what [`Results::save`] writes.
    #[error("{} is not a results.json of schema version {SCHEMA_VERSION}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: serde_json::Error,
    },
    /// It was written by another version.
    #[error("{} has schema version {found}, this program reads {SCHEMA_VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
}

impl Results {
    /// Writes the results as JSON, atomically.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        write_atomically(path, &json)
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let bytes = fs::read(path).map_err(|source| LoadError::Read { path: path.to_owned(), source })?;
        let format = |source| LoadError::Format { path: path.to_owned(), source };
        let json: serde_json::Value = serde_json::from_slice(&bytes).map_err(format)?;
        match json["schema_version"].as_u64() {
            Some(found) if found != u64::from(SCHEMA_VERSION) => {
                Err(LoadError::Version { path: path.to_owned(), found })
            }
            _ => serde_json::from_value(json).map_err(format),
        }
    }
}

/// Writes a file under a temporary name in the same folder, syncs it, and renames it.
///
/// # Errors
/// As the operating system says.
pub fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().permissions(permissions()).tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Those of a file that is made in the ordinary way, before the umask: temporary files are private otherwise.
fn permissions() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}

//! What a run found: the JSON that others build on, saved and loaded whole. What it means is no matter of this module.
//!
//! Names are in snake case with the unit last. Histograms are kept whole (base64 of a compressed `HdrHistogram` V2, in
//! microseconds), beside the scenario with every default filled in and the environment, so that a figure can be
//! questioned later. [`Results::save`] writes atomically.
//!
//! What an older program did not write is [`Recorded::Unknown`] when its file is loaded, and stays away when that is saved
//! again: nothing that was not recorded turns into a zero or a "no".

mod claim;
mod comparison;
mod copy_durability;
mod decision;
mod disk_use;
mod distribution;
mod files;
mod horizon;
mod kill;
mod machine;
mod operation;
mod part;
mod power_loss;
mod recorded;
#[cfg(test)]
pub(crate) mod samples;
mod schema;
mod silence;
mod snapshot;
mod threshold;
mod tracker;
mod trial;
mod warning;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use crate::child::Resources;
pub use claim::{Claim, ClaimFigure, ClaimOutcome, ClaimSource, Stance};
pub use comparison::{Change, Comparison, Figure, Outcome, Subject};
pub use copy_durability::{CopyDurability, FileDurability};
pub use decision::{BackupDecision, BackupStrategy, Decision, ModeDecision, ModeOutcome};
pub use disk_use::{DiskUse, FilesBeside};
pub use distribution::{Distribution, HistogramError};
pub use files::{CheckpointsResult, DeviceIo, FileIo, FilesIo, IoResult, LockWaits, SyncTimes};
pub use horizon::{HorizonResult, Lateness, PartName, PartResult, Times, WindowOperation, WindowResult};
pub use kill::{KillResult, KilledCopies};
pub use machine::{Disturbance, DisturbedBy, MachineUse};
pub use operation::{OperationResult, Placement};
pub use part::{MergedRun, Part};
pub use power_loss::{Drawn, Exposure, LossOutcome, Outcomes, PowerLossModel, PowerLossResult};
pub use recorded::Recorded;
pub use schema::schema;
pub use silence::Silence;
pub use snapshot::{
    CopyCost, CopyCourse, CopyFiles, CopyJournalMode, CopyRun, Evidence, FileLeft, LiveCached, ProgressPoint, Ruling,
    SnapshotResult, StepResult, StepStatus, WalResult,
};
pub use threshold::{ThresholdInterval, ThresholdOutcome, ThresholdResult};
pub use tracker::{LostWrite, TrackerResult};
pub use trial::{CheckpointTime, PhaseName, PhaseResult, Problem, SeriesPoint, Stage, Status, TrialResult};
pub use warning::Warning;

use crate::{
    dataset::{Manifest, Origin},
    digest::Digest,
    env::Environment,
    scenario::{SNAPSHOTS_MOST, Scenario, Shard, TRIALS_MOST},
    work,
};

/// Bytes of a results file at most. Reading one takes forty times its size in memory, at the worst.
const BYTES_MOST: u64 = 128 << 20;

/// Raised when a name in the JSON changes its meaning or goes away.
pub const SCHEMA_VERSION: u32 = 1;

/// Everything that a run found. Names end with their unit: `_us` and `_ms` are times in microseconds and milliseconds, `_s` times in
/// seconds, `_bytes` lengths in bytes, `_ops` operations a second, `_per_s` other things a second, and a `_share` is a number from 0
/// to 1. What an older program did not write is absent; null says that there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "Results of journalbench", extend("$id" = "urn:journalbench:results:1"))]
pub struct Results {
    /// Version of this format: raised when a name changes its meaning or goes away.
    #[schemars(extend("const" = SCHEMA_VERSION))]
    pub schema_version: u32,
    /// Version of the program.
    pub journalbench_version: String,
    /// When the run began, in RFC 3339.
    pub started_at: String,
    /// How long it took, dataset and verification included; of all sittings together.
    pub duration_s: f64,
    /// The stretches of time in which it was run: one, unless it was stopped and resumed.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub sittings: Recorded<Vec<Sitting>>,
    /// What was run, with every default filled in.
    pub scenario: Scenario,
    /// Which shard of the scenario's trials was to be run: all of them where the name is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The runs of shards that were joined into these results, by number; absent in the results of one run.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub merged: Vec<MergedRun>,
    /// Where; of merged runs, where the first was made.
    pub environment: Environment,
    /// The database that every trial began with; `None` where none was made.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub dataset: Recorded<Option<DatasetResult>>,
    /// What a reader should know before believing a figure.
    pub warnings: Vec<Warning>,
    /// How the journal modes compare, pair by pair.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub comparisons: Recorded<Vec<Comparison>>,
    /// The claims of issues #85 and #86 of torrust-demo, tested on each group of trials that can be compared.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub claims: Recorded<Vec<Claim>>,
    /// What follows from it for those who have to decide; `None` where a run has no trial, and in early files.
    pub decision: Option<Decision>,
    /// What became of the thresholds of the scenario, in its order.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub thresholds: Recorded<Vec<ThresholdResult>>,
    /// One for each trial that was begun, in the order in which they ran; of merged runs, in that of the scenario.
    pub trials: Vec<TrialResult>,
}

/// A stretch of time in which a run went on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sitting {
    /// When it began, in RFC 3339.
    pub started_at: String,
    /// How long it took; as far as was saved, where it was killed.
    pub duration_s: f64,
    /// Trials that were run in it and saved; those that failed or were interrupted have been run again since.
    pub trials: usize,
    /// Median time of an fsync before its trials, in microseconds: each sitting has the disk as it is then. `None` where there were
    /// too few for one.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub fsync_us_p50: Recorded<Option<u64>>,
}

/// What is known of the database that every trial began with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// One of its histograms is none.
    #[error("{}: {at}.histogram is no histogram", path.display())]
    Histogram {
        /// The file.
        path: PathBuf,
        /// Where in it.
        at: String,
        /// What is wrong.
        source: Box<HistogramError>,
    },
    /// It holds more of something than any run makes.
    #[error("{}: {at}: {found}, expected at most {most}", path.display())]
    TooMany {
        /// The file.
        path: PathBuf,
        /// Where in it.
        at: String,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
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

/// What gzip has compressed, as it was; anything else as it is.
fn inflated(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
    /// RFC 1952, 2.3.1.
    const GZIP: [u8; 2] = [0x1f, 0x8b];

    if !bytes.starts_with(&GZIP) {
        return Ok(bytes);
    }
    work::take_at_most(MultiGzDecoder::new(bytes.as_slice()), BYTES_MOST)
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

    /// Reads what [`Self::save`] wrote, or what gzip has made of it.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(path: &Path) -> Result<Self, LoadError> {
        let bytes = work::read_at_most(path, BYTES_MOST);
        let read = |source| LoadError::Read { path: path.to_owned(), source };
        let bytes = bytes.map_err(read)?;
        Self::parse(&inflated(bytes).map_err(read)?, path)
    }

    /// As [`Self::load`], from bytes; `path` is for messages.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self, LoadError> {
        /// All that is asked of another version. Where even that is missing, the whole says what is wrong.
        #[derive(Deserialize, JsonSchema)]
        struct Version {
            schema_version: u64,
        }

        match serde_json::from_slice(bytes) {
            Ok(Version { schema_version: found }) if found != u64::from(SCHEMA_VERSION) => {
                return Err(LoadError::Version { path: path.to_owned(), found });
            }
            _ => {}
        }
        let format = |source| LoadError::Format { path: path.to_owned(), source };
        let results: Self = serde_json::from_slice(bytes).map_err(format)?;
        results.check_numbers(path)?;
        results.check_histograms(path)?;
        Ok(results)
    }

    /// The results of each threshold, in the order of the scenario: the first of them is the worst.
    pub fn worst_thresholds(&self) -> impl Iterator<Item = &[ThresholdResult]> {
        self.thresholds.entries().chunk_by(|one, other| one.expression == other.expression)
    }

    /// Refuses more trials than a scenario can have, or more snapshots than a trial: a report takes its time by them.
    fn check_numbers(&self, path: &Path) -> Result<(), LoadError> {
        let at_most = |at: String, found: usize, most: usize| match found {
            found if found > most => Err(LoadError::TooMany { path: path.to_owned(), at, found, most }),
            _ => Ok(()),
        };
        at_most("trials".to_owned(), self.trials.len(), TRIALS_MOST)?;
        let mut trials = self.trials.iter().enumerate();
        trials
            .try_for_each(|(n, trial)| at_most(format!("trials[{n}].snapshots"), trial.snapshots.len(), SNAPSHOTS_MOST))
    }

    /// Refuses histograms that are none.
    fn check_histograms(&self, path: &Path) -> Result<(), LoadError> {
        let check = |distribution: &Distribution, at: &dyn Fn() -> String| match distribution.histogram() {
            Ok(_) => Ok(()),
            Err(source) => Err(LoadError::Histogram { path: path.to_owned(), at: at(), source: source.into() }),
        };
        for (t, trial) in self.trials.iter().enumerate() {
            for (p, phase) in trial.phases.iter().enumerate() {
                let at = |what: &str| format!("trials[{t}].phases[{p}].{what}");
                check(&phase.lag, &|| at("lag"))?;
                for (o, operation) in phase.operations.iter().enumerate() {
                    check(&operation.response, &|| at(&format!("operations[{o}].response")))?;
                    check(&operation.service, &|| at(&format!("operations[{o}].service")))?;
                    if let Some(lag) = operation.lag.known() {
                        check(lag, &|| at(&format!("operations[{o}].lag")))?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Writes a file under a temporary name in the same folder, syncs it, renames it, and syncs the folder.
///
/// # Errors
/// As the operating system says.
pub fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().permissions(permissions()).tempfile_in(folder)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The name is on the disk when the folder is.
    fs::File::open(folder)?.sync_all()
}

/// Those of a file that is made in the ordinary way, before the umask: temporary files are private otherwise.
fn permissions() -> fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o666)
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write::GzEncoder};

    use super::*;
    use crate::{
        measure::Counts,
        report::{self, Format},
        snapshot::Strategy,
        sqlite::JournalMode,
    };

    fn parse(results: &Results) -> Result<Results, String> {
        let json = serde_json::to_vec(results).unwrap();
        Results::parse(&json, Path::new("results.json")).map_err(|error| error.to_string())
    }

    #[test]
    fn more_than_any_run_makes_is_refused() {
        let mut trial = samples::trial(JournalMode::Wal, Strategy::Cp);
        (trial.phases, trial.series) = (Vec::new(), Vec::new());
        let many = samples::results(vec![trial.clone(); TRIALS_MOST + 1]);
        assert_eq!(parse(&many).unwrap_err(), "results.json: trials: 10001, expected at most 10000");
        trial.snapshots = vec![trial.snapshots[0].clone(); SNAPSHOTS_MOST];
        let mut results = samples::results(vec![trial]);
        assert_eq!(parse(&results).unwrap(), results);
        let one = results.trials[0].snapshots[0].clone();
        results.trials[0].snapshots.push(one);
        assert_eq!(parse(&results).unwrap_err(), "results.json: trials[0].snapshots: 10001, expected at most 10000");
    }

    #[test]
    fn what_gzip_has_made_of_results_is_read_and_a_part_of_it_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json.gz");
        let results = samples::results(vec![samples::trial(JournalMode::Wal, Strategy::Cp)]);
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&serde_json::to_vec(&results).unwrap()).unwrap();
        let packed = encoder.finish().unwrap();
        fs::write(&path, &packed).unwrap();
        assert_eq!(Results::load(&path).unwrap(), results);
        fs::write(&path, &packed[..packed.len() / 2]).unwrap();
        let error = Results::load(&path).unwrap_err().to_string();
        assert!(error.contains("results.json.gz"), "{error}");
    }

    #[test]
    fn another_version_is_named_and_what_is_none_is_said() {
        let error = |json: &str| Results::parse(json.as_bytes(), Path::new("x.json")).unwrap_err().to_string();
        assert_eq!(error(r#"{"schema_version": 7, "more": []}"#), "x.json has schema version 7, this program reads 1");
        for other in ["", "[]", "{}", r#"{"schema_version": "1"}"#, r#"{"schema_version": 1}"#] {
            assert_eq!(error(other), "x.json is not a results.json of schema version 1", "{other}");
        }
    }

    #[test]
    fn sums_of_any_numbers_are_reported() {
        let mut results = samples::results(vec![samples::trial(JournalMode::Wal, Strategy::Cp)]);
        let most = u64::MAX;
        for operation in results.trials[0].phases.iter_mut().flat_map(|phase| &mut phase.operations) {
            (operation.due, operation.lost_writes) = (most, most);
            operation.counts =
                Counts { served: most, failed: most, timed_out: most, dropped: most, never_served: most };
        }
        let results = parse(&results).unwrap();
        let counts = results.trials[0].phases[0].counts();
        assert_eq!((counts.served, counts.due()), (most, most));
        for report in [report::render_details(&results), report::render(&results, Format::Markdown)] {
            assert!(report.contains("18,446,744,073,709,551,616"));
        }
    }
}

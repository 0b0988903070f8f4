//! What a run found: the JSON that others build on, saved and loaded whole. What it means is no matter of this module.
//!
//! Names are in snake case with the unit last. Histograms are kept whole (base64 of a compressed `HdrHistogram` V2, in
//! microseconds), beside the scenario with every default filled in and the environment, so that a figure can be
//! questioned later. [`Results::save`] writes atomically.
//!
//! What an older program did not write is [`Recorded::Unknown`] when its file is loaded, and stays away when that is saved
//! again: nothing that was not recorded turns into a zero or a "no".

mod distribution;
mod recorded;
#[cfg(test)]
pub(crate) mod samples;
mod snapshot;
mod trial;
mod warning;

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub use crate::child::Resources;
pub use distribution::{Distribution, HistogramError};
pub use recorded::Recorded;
pub use snapshot::{
    CopyCost, CopyCourse, CopyFiles, CopyJournalMode, CopyRun, Evidence, FileLeft, ProgressPoint, Ruling,
    SnapshotResult, StepResult, StepStatus, WalResult,
};
pub use trial::{OperationResult, PhaseName, PhaseResult, Placement, Problem, SeriesPoint, Stage, Status, TrialResult};
pub use warning::Warning;

use crate::{
    dataset::{Manifest, Origin},
    digest::Digest,
    env::Environment,
    scenario::Scenario,
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
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub dataset: Recorded<Option<DatasetResult>>,
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

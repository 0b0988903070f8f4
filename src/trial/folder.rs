//! The files of a trial: where each of them lies, and how a kept trial is read again.
//!
//! With the manifest, the ledger and the claims, a snapshot can be judged at any later time: `journalbench verify` does.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::{
    dataset::{MANIFEST_BYTES_MOST, Manifest},
    oracle::Claim,
    snapshot::SNAPSHOT_FILE,
    work,
};

/// The name of the file in a snapshot's folder that says what to judge it by.
const CLAIM_FILE: &str = "claim.json";
/// Bytes of that file at most.
const CLAIM_BYTES_MOST: u64 = 1 << 16;

/// The file that says how long the ledger was when the trial was kept.
const KEPT_FILE: &str = "kept.json";

/// The most that is read of it.
const KEPT_BYTES_MOST: u64 = 4096;

/// The folder of a trial.
#[derive(Debug, Clone)]
pub struct TrialFolder {
    path: PathBuf,
}

/// What a trial notes of a snapshot, for somebody who judges it later.
#[derive(Debug, Serialize, Deserialize)]
struct ClaimFile {
    #[serde(flatten)]
    claim: Claim,
    deadline_s: f64,
    /// Why it is not to be judged, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unjudged: Option<String>,
}

/// What a kept trial notes of itself.
#[derive(Debug, Serialize, Deserialize)]
struct KeptFile {
    ledger_bytes: u64,
}

impl TrialFolder {
    /// A folder that is there, or will be made.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database that the load runs against.
    #[must_use]
    pub fn live(&self) -> PathBuf {
        self.path.join("live.db")
    }

    /// What was committed to it.
    #[must_use]
    pub fn ledger(&self) -> PathBuf {
        self.path.join("ledger")
    }

    /// What it began as.
    #[must_use]
    pub fn manifest(&self) -> PathBuf {
        self.path.join("dataset.json")
    }

    /// The folder of a snapshot, by number from 0.
    #[must_use]
    pub fn snapshot(&self, number: usize) -> PathBuf {
        self.snapshots().join(number.to_string())
    }

    /// The folder for what the oracle reads of a snapshot, since reading changes the files.
    #[must_use]
    pub fn judged(&self, number: usize) -> PathBuf {
        self.judged_snapshots().join(number.to_string())
    }

    /// The folder of all of these.
    #[must_use]
    pub fn judged_snapshots(&self) -> PathBuf {
        self.path.join("judged")
    }

    /// The folder for the backups that steps make of snapshots.
    #[must_use]
    pub fn backups(&self) -> PathBuf {
        self.path.join("backups")
    }

    fn snapshots(&self) -> PathBuf {
        self.path.join("snapshots")
    }

    /// How many snapshots have a folder.
    #[must_use]
    pub fn count_snapshots(&self) -> usize {
        let entries = fs::read_dir(self.snapshots());
        entries.map_or(0, |entries| entries.flatten().filter(|entry| entry.path().is_dir()).count())
    }

    /// Reads what the database began as.
    ///
    /// # Errors
    /// When the file is not there, or is no manifest.
    pub fn read_manifest(&self) -> Result<Manifest> {
        let path = self.manifest();
        let json = work::read_regular(&path, MANIFEST_BYTES_MOST).with_context(|| {
            format!("cannot read {}: TRIAL_DIR is a folder that `run --keep` has kept", path.display())
        })?;
        Manifest::parse(&json).with_context(|| format!("{} is not a dataset's description", path.display()))
    }

    /// Reads what the trial noted of a snapshot; `None` where it noted nothing.
    ///
    /// # Errors
    /// When the file cannot be read, or is none that a trial has written.
    pub fn read_claim(&self, number: usize) -> Result<Option<Claim>> {
        let path = self.snapshot(number).join(CLAIM_FILE);
        let json = match work::read_regular(&path, CLAIM_BYTES_MOST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let file: ClaimFile = serde_json::from_slice(&json)
            .with_context(|| format!("{} is not what a run writes of a snapshot", path.display()))?;
        if let Some(why) = file.unjudged {
            bail!("snapshot {number} is not to be judged: {why}");
        }
        Ok(Some(file.claim))
    }

    /// Refuses a ledger that is not as long as it was when the trial was kept: what a snapshot lacks would seem never to have
    /// been committed. Whether it is whole is not known where the trial noted nothing.
    ///
    /// # Errors
    /// How long it is and was; when that cannot be read.
    pub fn check_ledger(&self) -> Result<()> {
        let (path, ledger) = (self.path.join(KEPT_FILE), self.ledger());
        let json = match work::read_regular(&path, KEPT_BYTES_MOST) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            read => read.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let KeptFile { ledger_bytes } = serde_json::from_slice(&json)
            .with_context(|| format!("{} is not what a run writes of a kept trial", path.display()))?;
        let found = ledger.metadata().with_context(|| format!("cannot read {}", ledger.display()))?.len();
        if found != ledger_bytes {
            bail!(
                "the ledger {} is not whole: it has {found} bytes and had {ledger_bytes} when the trial was kept",
                ledger.display()
            );
        }
        Ok(())
    }

    /// Moves the folder to `kept`, and says where that is, relative to `out_dir`.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn keep(&self, kept: &Path, out_dir: &Path) -> Result<PathBuf> {
        let describe = || format!("cannot keep the files in {}", kept.display());
        if let Ok(ledger) = self.ledger().metadata() {
            let file = KeptFile { ledger_bytes: ledger.len() };
            fs::write(self.path.join(KEPT_FILE), serde_json::to_vec(&file)?).with_context(describe)?;
        }
        if let Some(parent) = kept.parent() {
            fs::create_dir_all(parent).with_context(describe)?;
        }
        match fs::rename(&self.path, kept) {
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                work::copy_folder(&self.path, kept, &AtomicBool::new(false))?;
            }
            moved => moved.with_context(describe)?,
        }
        Ok(kept.strip_prefix(out_dir).unwrap_or(kept).to_owned())
    }
}

/// Notes in a snapshot's folder what somebody needs who judges it later. Where it cannot be written (a full disk), the trial
/// still judges by the claim in memory.
pub fn write_claim(snapshot_folder: &Path, claim: Claim, deadline: Duration, unjudged: Option<String>) {
    let file = ClaimFile { claim, deadline_s: deadline.as_secs_f64(), unjudged };
    if let Ok(json) = serde_json::to_string_pretty(&file) {
        let _ = fs::write(snapshot_folder.join(CLAIM_FILE), json + "\n");
    }
}

/// The file that a snapshot's strategy makes in its folder.
#[must_use]
pub fn main_file(snapshot_folder: &Path) -> PathBuf {
    snapshot_folder.join(SNAPSHOT_FILE)
}

/// The files that a strategy left in its folder.
///
/// # Errors
/// As the operating system says.
pub fn files_left(snapshot_folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = work::files_in(snapshot_folder)?;
    files.retain(|file| file.is_file() && file.file_name() != Some(OsStr::new(CLAIM_FILE)));
    Ok(files)
}

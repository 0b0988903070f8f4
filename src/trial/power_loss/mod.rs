//! A trial of power losses: transactions are committed and what SQLite does to its files is recorded; images of what a power loss would
//! have left are made from that, recovered by plain SQLite, and judged. A trial of a strategy asks what is left of its copy instead (`copies`).
//!
//! Counts of images are no probabilities: they say what can happen, and how much can be lost, not how often.

mod copies;
mod exposure;
pub(super) mod images;

use std::{
    ffi::CStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::{
    event::Event,
    transactions::{Commit, Transactions},
};
use crate::{
    dataset::cache::Cached,
    history::ledger::{Ledger, LedgerFile},
    interrupt::Interrupt,
    io::{IoLog, begin_recording, count_here, note_acknowledged, note_begun, recording_vfs, take, vfs_with_delay},
    power::{
        disk::{Disk, DiskModel, DiskRules},
        log::{self, Log},
    },
    random::mix,
    results::{Drawn, Exposure, LossOutcome, Outcomes, PowerLossModel, PowerLossResult},
    scenario::{PowerLossPlan, TrialPlan},
    snapshot::Programs,
    sqlite, work,
};
use images::Images;

/// The file name of the database.
const DATABASE: &str = "live.db";

/// Instants of the exposure at most: as many as there are images of a model, where these are fewer.
const EXPOSURE_INSTANTS_MOST: u64 = 1_000;

/// What a trial of power losses needs.
pub struct PowerLossTrial<'a> {
    /// The plan of the trial.
    pub plan: &'a TrialPlan,
    /// What is asked.
    pub power_loss: &'a PowerLossPlan,
    /// The dataset.
    pub dataset: &'a Cached,
    /// The programs that strategies run.
    pub programs: &'a Programs,
    /// The folder of the trial.
    pub folder: &'a Path,
    /// Set to stop.
    pub interrupt: &'a Interrupt,
}

/// A recording, and the history of what was committed meanwhile.
struct Recorded {
    log: Log,
    history: LedgerFile,
}

impl PowerLossTrial<'_> {
    /// Commits, records, makes images and judges them.
    ///
    /// # Errors
    /// What SQLite or the operating system says; that a recording is not what happened.
    pub fn run(&self, tell: &mut dyn FnMut(Event)) -> Result<PowerLossResult> {
        tell(Event::Recording);
        let (commits_per_s, syncs_per_commit) = self.cost()?;
        let mut recorded = self.record(true)?;
        let events = recorded.log.events;
        let exposure = self.exposure(&recorded)?;
        let mut models = Vec::new();
        let (mut done, of) = (0, self.power_loss.images_in_all());
        for has_safe_overwrite in [true, false] {
            let is_meant = |rules: &&DiskRules| rules.model.has_safe_overwrite() == has_safe_overwrite;
            let rules: Vec<_> = self.power_loss.rules.iter().filter(is_meant).collect();
            if !has_safe_overwrite && !rules.is_empty() {
                recorded = self.record(false)?;
            }
            for rules in rules {
                for drawn in Drawn::ALL {
                    let outcomes = self.outcomes(&recorded, *rules, drawn, &mut || {
                        done += 1;
                        tell(Event::Images { done, of });
                    })?;
                    let DiskRules { model, granule_bytes, .. } = *rules;
                    models.push(PowerLossModel { model, granule_bytes, drawn, outcomes });
                }
            }
        }
        Ok(PowerLossResult {
            commits: self.power_loss.commits,
            events,
            commits_per_s,
            syncs_per_commit,
            models,
            exposure,
        })
    }

    /// Transactions a second and syncs a transaction, while nobody records.
    fn cost(&self) -> Result<(f64, f64)> {
        let own = self.prepare("cost")?;
        let ledger = Ledger::create(&own.join("ledger")).context("cannot create the ledger")?;
        let load = self.load(&own, vfs_with_delay(Duration::ZERO)?, &ledger)?;
        count_here();
        let begun = Instant::now();
        self.commit_all(&load)?;
        let took_s = begun.elapsed().as_secs_f64();
        let mut counted = IoLog::default();
        take(&mut counted);
        let syncs: u64 = counted.counts.files.iter().map(|file| file.syncs).sum();
        drop(load);
        ledger.close()?;
        fs::remove_dir_all(&own).with_context(|| format!("cannot remove {}", own.display()))?;
        let commits = self.power_loss.commits as f64;
        Ok((commits / took_s, syncs as f64 / commits))
    }

    /// A folder with a copy of the dataset that is durable, its journal mode included: nothing that a recording finds can be lost.
    fn prepare(&self, name: &str) -> Result<PathBuf> {
        let own = self.folder.join(name);
        fs::create_dir_all(&own).with_context(|| format!("cannot create {}", own.display()))?;
        let live = own.join(DATABASE);
        work::copy(&self.dataset.path, &live, self.interrupt.flag())?;
        drop(sqlite::open(&live, &self.plan.settings)?);
        for path in [&live, &own] {
            File::open(path)
                .and_then(|file| file.sync_all())
                .with_context(|| format!("cannot sync {}", path.display()))?;
        }
        Ok(own)
    }

    fn load(&self, own: &Path, vfs: &'static CStr, ledger: &Arc<Ledger>) -> Result<Transactions<'_>> {
        let mut connection = sqlite::open_through(&own.join(DATABASE), &self.plan.settings, Some(vfs))?;
        let session = ledger.attach(&mut connection)?;
        let seed = self.plan.workload_seed;
        Ok(Transactions { connection, session, ledger: Arc::clone(ledger), start: &self.dataset.manifest, seed })
    }

    /// Commits all transactions. A recording that goes on learns of each when it begins to commit, and when it has.
    fn commit_all(&self, load: &Transactions<'_>) -> Result<()> {
        for number in 1..=self.power_loss.commits {
            if self.interrupt.is_set() {
                return Err(interrupted());
            }
            let committed = load.commit(number, &mut |commit| {
                match commit {
                    Commit::Begins(commit) => note_begun(commit),
                    Commit::Acknowledged(commit) => note_acknowledged(commit),
                }
                Ok(())
            });
            committed.with_context(|| format!("transaction {number}"))?;
        }
        Ok(())
    }

    fn record(&self, has_safe_overwrite: bool) -> Result<Recorded> {
        let own = self.prepare(if has_safe_overwrite { "recorded" } else { "recorded-without-safe-overwrite" })?;
        let vfs = recording_vfs(has_safe_overwrite)?;
        let (writer, ended) = log::create(&own.join("recording"), &own.join(DATABASE)).context("cannot record")?;
        let ledger = Ledger::create(&own.join("ledger")).context("cannot create the ledger")?;
        let load = {
            let _recording = begin_recording(Box::new(writer)).context("another recording goes on in this process")?;
            let load = self.load(&own, vfs, &ledger)?;
            self.commit_all(&load)?;
            load
        };
        let log = ended.log().context("cannot write the recording")?;
        // Before the connection is closed, whose last checkpoint is in no recording. Reading the database takes its locks away, and nobody
        // else has it open.
        check_replay(&log, &own)?;
        drop(load);
        ledger.close()?;
        Ok(Recorded { log, history: LedgerFile::open(ledger.path())? })
    }

    fn images<'e>(&'e self, recorded: &'e Recorded, folder: &'e Path) -> Images<'e> {
        let start = &self.dataset.manifest;
        Images { log: &recorded.log, history: &recorded.history, start, folder, interrupt: self.interrupt }
    }

    fn outcomes(
        &self,
        recorded: &Recorded,
        rules: DiskRules,
        drawn: Drawn,
        done: &mut dyn FnMut(),
    ) -> Result<Outcomes> {
        let folder = tempfile::tempdir_in(self.folder).context("cannot create a folder for images")?;
        let kind = rules.granule_bytes ^ ((rules.model as u64) << 32) ^ ((drawn as u64) << 40);
        let seed = mix(self.plan.workload_seed ^ kind);
        let mut outcomes = Outcomes::default();
        let half = self.power_loss.images / 2;
        let images = match drawn {
            Drawn::ByEvent => self.power_loss.images - half,
            Drawn::ByTime => half,
        };
        self.images(recorded, folder.path()).judge(rules, images, drawn, seed, &mut |_, outcome| {
            outcomes.add(outcome);
            done();
        })?;
        Ok(outcomes)
    }

    /// What nothing but syncs has made durable: images of which all else is lost.
    fn exposure(&self, recorded: &Recorded) -> Result<Exposure> {
        let folder = tempfile::tempdir_in(self.folder).context("cannot create a folder for images")?;
        let rules =
            DiskRules { model: DiskModel::Strict, granule_bytes: 4096, keep: 0.0, garbage: 0.0, ignored_sync: None };
        let acknowledged_ns = exposure::acknowledged_ns(&recorded.log).context("cannot read the recording")?;
        let (images, seed) = (self.images(recorded, folder.path()), mix(self.plan.workload_seed));
        let mut found = Vec::new();
        let instants = self.power_loss.images.min(EXPOSURE_INSTANTS_MOST);
        images.judge(rules, instants, Drawn::ByTime, seed, &mut |at_ns, outcome| {
            let lost = match outcome {
                LossOutcome::Lost(commits) => Some(commits),
                LossOutcome::Kept | LossOutcome::Ahead => Some(0),
                // Without a sync nothing is in one state: all that clients know of is at stake.
                LossOutcome::Torn | LossOutcome::Corrupt | LossOutcome::Unreadable => None,
            };
            found.push((at_ns, lost));
        })?;
        Ok(exposure::of(&found, &acknowledged_ns))
    }
}

/// That a recording is whole: replayed to its end, it is the files that lie there, byte for byte.
fn check_replay(log: &Log, folder: &Path) -> Result<()> {
    let rules = DiskRules { model: DiskModel::Strict, granule_bytes: 512, keep: 1.0, garbage: 0.0, ignored_sync: None };
    let mut disk = Disk::new(log, &rules);
    for event in log.events().context("cannot read the recording")? {
        disk.advance(event.context("cannot read the recording")?)?;
    }
    let mut files = Vec::new();
    for (name, content) in disk.whole().context("cannot read the recording")? {
        let path = folder.join(&name);
        let there = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        ensure!(there == content, "the recording is not what happened: {} is something else", path.display());
        files.push(path);
    }
    // A journal that a recording has forgotten would be left over.
    for suffix in ["-journal", "-wal"] {
        let path = folder.join(format!("{DATABASE}{suffix}"));
        ensure!(files.contains(&path) || !path.exists(), "the recording does not know {}", path.display());
    }
    Ok(())
}

/// What long work ends with after an interrupt.
pub(super) fn interrupted() -> anyhow::Error {
    io::Error::from(io::ErrorKind::Interrupted).into()
}

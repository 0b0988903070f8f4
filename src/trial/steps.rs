//! What is done with a snapshot once it was taken: SQLite's checks, compression, a restore drill, retention.
//!
//! All of it is done on copies in a folder of its own, so that what the oracle judges is what the strategy left. The copies
//! themselves are made before the clock of a step starts. Retention deletes what this module has made, and nothing else.

use std::{
    cell::RefCell,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{
    blocking,
    folder::{files_left, main_file},
};
use crate::{
    child::{self, Limits},
    interrupt::Interrupt,
    results::{StepResult, StepStatus},
    scenario::{Compression, Retention, Step, StepsPlan},
    sqlite, work,
};

/// A compressor that takes longer than this hangs.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);

/// The exit status of a shell that does not find its program.
const NOT_FOUND: i32 = 127;

/// The steps of a scenario, and the backups of one trial that they made.
pub struct Steps {
    plan: StepsPlan,
    /// In the trial's own folder.
    folder: PathBuf,
    interrupted: Arc<AtomicBool>,
    /// Oldest first.
    kept: RefCell<Vec<Backup>>,
}

struct Backup {
    /// Of the snapshot that it is of, in the trial.
    number: usize,
    folder: PathBuf,
    made: Instant,
}

/// What a step outcome.
struct StepOutcome {
    duration: Duration,
    status: StepStatus,
    answer: String,
    input_bytes: Option<u64>,
    output_bytes: Option<u64>,
    decompress: Option<Duration>,
    kept: Option<Vec<usize>>,
}

impl StepOutcome {
    fn new(duration: Duration, status: StepStatus, answer: String) -> Self {
        Self { duration, status, answer, input_bytes: None, output_bytes: None, decompress: None, kept: None }
    }
}

/// A snapshot that steps are done with.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    /// Its place in the trial, from 0.
    pub number: usize,
    /// Its folder, whose files are never changed here.
    pub folder: &'a Path,
    /// Whether the strategy said that all is well; otherwise the steps are skipped.
    pub finished: bool,
}

/// One snapshot on its way through the steps.
struct Passage<'a> {
    /// Its place in the trial, from 0.
    number: usize,
    /// What the strategy left; never changed here.
    snapshot: &'a Path,
    /// The backup that is made of it.
    backup: PathBuf,
    /// For copies that a step needs.
    scratch: PathBuf,
    /// How the backup was last compressed.
    compressed: Option<Compression>,
}

impl Steps {
    /// The steps of a scenario, in a trial whose copies go to `folder`, which need not exist.
    pub fn new(plan: &StepsPlan, folder: PathBuf, interrupt: &Interrupt) -> Self {
        Self { plan: plan.clone(), folder, interrupted: Arc::clone(interrupt.flag()), kept: RefCell::default() }
    }

    /// Whether they are done at once, while the load runs.
    pub fn are_during_load(&self) -> bool {
        self.plan.during_load
    }

    /// Does every step with one snapshot. `load_end` is when the load ends, or ended.
    pub async fn run(&self, candidate: Candidate<'_>, load_end: Instant) -> Vec<StepResult> {
        let Candidate { number, folder: snapshot, finished } = candidate;
        let backup = self.folder.join(number.to_string());
        let scratch = self.folder.join("scratch").join(number.to_string());
        let mut passage = Passage { number, snapshot, backup, scratch, compressed: None };
        let mut results = Vec::new();
        for &step in &self.plan.steps {
            let during_load = Instant::now() < load_end;
            let outcome = if finished {
                self.step(step, &mut passage).await
            } else {
                Ok(StepOutcome::new(Duration::ZERO, StepStatus::Skipped, "there is no finished snapshot".to_owned()))
            };
            let outcome = outcome
                .unwrap_or_else(|error| StepOutcome::new(Duration::ZERO, StepStatus::Failed, format!("{error:#}")));
            results.push(StepResult {
                step,
                during_load,
                status: outcome.status,
                duration_s: outcome.duration.as_secs_f64(),
                answer: outcome.answer,
                input_bytes: outcome.input_bytes,
                output_bytes: outcome.output_bytes,
                decompress_s: outcome.decompress.map(|time| time.as_secs_f64()),
                kept: outcome.kept,
            });
        }
        // The whole folder goes with the trial's in any case.
        let _ = fs::remove_dir_all(self.folder.join("scratch"));
        if !self.plan.steps.contains(&Step::Retention) {
            let _ = fs::remove_dir_all(&passage.backup);
        }
        results
    }

    /// Does every step with all snapshots of a trial, after the load: the results of each snapshot, in their order. An
    /// interrupt ends them.
    ///
    /// # Errors
    /// When there is no runtime to wait with.
    pub fn run_all<'a>(
        &self,
        snapshots: impl Iterator<Item = Candidate<'a>>,
        interrupt: &Interrupt,
        mut tell: impl FnMut(usize),
    ) -> io::Result<Vec<Vec<StepResult>>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let load_end = Instant::now();
        let results = snapshots.map(|snapshot| {
            if self.plan.steps.is_empty() {
                return Vec::new();
            }
            tell(snapshot.number + 1);
            runtime.block_on(async {
                tokio::select! {
                    results = self.run(snapshot, load_end) => results,
                    () = interrupt.wait() => Vec::new(),
                }
            })
        });
        Ok(results.collect())
    }

    async fn step(&self, step: Step, passage: &mut Passage<'_>) -> Result<StepOutcome> {
        match step {
            Step::QuickCheck => self.check(passage, "quick_check").await,
            Step::IntegrityCheck => self.check(passage, "integrity_check").await,
            Step::Gzip => compress(passage, Compression::Gzip).await,
            Step::Zstd => compress(passage, Compression::Zstd).await,
            Step::RestoreDrill => self.drill(passage).await,
            Step::Retention => self.retain(passage).await,
        }
    }

    /// Copies what the strategy left to `to`, which must not exist.
    async fn copy(&self, passage: &Passage<'_>, to: PathBuf) -> Result<()> {
        let (from, interrupted) = (passage.snapshot.to_owned(), Arc::clone(&self.interrupted));
        blocking::run(move || {
            fs::create_dir_all(&to)?;
            for file in files_left(&from)? {
                work::copy(&file, &to.join(file.file_name().unwrap_or_default()), &interrupted)?;
            }
            Ok(())
        })
        .await
    }

    /// One of SQLite's checks, on a copy.
    async fn check(&self, passage: &Passage<'_>, pragma: &'static str) -> Result<StepOutcome> {
        let copy = passage.scratch.join(pragma);
        self.copy(passage, copy.clone()).await?;
        let interrupted = Arc::clone(&self.interrupted);
        blocking::run(move || {
            let begun = Instant::now();
            let answer = ask(&main_file(&copy), pragma, &interrupted);
            let duration = begun.elapsed();
            fs::remove_dir_all(&copy)?;
            Ok(match answer {
                Ok(answer) if answer == "ok" => StepOutcome::new(duration, StepStatus::Done, answer),
                Ok(answer) => StepOutcome::new(duration, StepStatus::Failed, answer),
                Err(error) => StepOutcome::new(duration, StepStatus::Failed, error.to_string()),
            })
        })
        .await
    }

    /// Restores the backup as after a disaster: decompresses it where it was compressed, and starts a tracker on it.
    async fn drill(&self, passage: &Passage<'_>) -> Result<StepOutcome> {
        let restored = passage.scratch.join("restored");
        let begun = Instant::now();
        match passage.compressed {
            Some(compression) => decompress(passage, compression, &restored).await?,
            None => self.copy(passage, restored.clone()).await?,
        }
        let restoring = begun.elapsed();
        let interrupted = Arc::clone(&self.interrupted);
        blocking::run(move || {
            let found = start_tracker(&main_file(&restored), &interrupted);
            let duration = begun.elapsed();
            fs::remove_dir_all(&restored)?;
            let (status, answer) = match found {
                Ok(rows) => (StepStatus::Done, format!("{rows} rows read, one written")),
                Err(error) => (StepStatus::Failed, error.to_string()),
            };
            Ok(StepOutcome { decompress: Some(restoring), ..StepOutcome::new(duration, status, answer) })
        })
        .await
    }

    /// Puts the backup with those that are kept, and deletes those that are too many or too old.
    async fn retain(&self, passage: &Passage<'_>) -> Result<StepOutcome> {
        if passage.compressed.is_none() {
            self.copy(passage, passage.backup.clone()).await?;
        }
        let begun = Instant::now();
        let mut kept = self.kept.borrow_mut();
        kept.push(Backup { number: passage.number, folder: passage.backup.clone(), made: begun });
        let surplus = match self.plan.retention {
            None => 0,
            Some(Retention::Last(most)) => kept.len().saturating_sub(most as usize),
            Some(Retention::Days(days)) => {
                let oldest = Duration::from_secs_f64(days * 86_400.0);
                kept.iter().take_while(|backup| backup.made.elapsed() > oldest).count()
            }
        };
        let mut deleted_bytes = 0;
        let deleted: Vec<_> = kept.drain(..surplus).collect();
        for backup in &deleted {
            deleted_bytes += total_bytes(&backup.folder)?;
            fs::remove_dir_all(&backup.folder)?;
        }
        let answer = format!("{} kept, {} deleted ({deleted_bytes} bytes)", kept.len(), deleted.len());
        let numbers = kept.iter().map(|backup| backup.number).collect();
        Ok(StepOutcome { kept: Some(numbers), ..StepOutcome::new(begun.elapsed(), StepStatus::Done, answer) })
    }
}

fn total_bytes(folder: &Path) -> io::Result<u64> {
    Ok(files_left(folder)?.iter().map(|file| work::file_bytes(file)).sum())
}

/// Compresses every file, as its program does without options, one after the other. The result is not synced.
async fn compress(passage: &mut Passage<'_>, compression: Compression) -> Result<StepOutcome> {
    fs::create_dir_all(&passage.backup)?;
    let begun = Instant::now();
    let (mut input_bytes, mut output_bytes) = (0, 0);
    for file in files_left(passage.snapshot)? {
        let out = passage.backup.join(compression.name_of(&file));
        let Some(()) = filter(compression.name(), "-qc", &file, &out).await? else {
            let why = format!("there is no program `{}` on the PATH", compression.name());
            return Ok(StepOutcome::new(Duration::ZERO, StepStatus::Skipped, why));
        };
        input_bytes += work::file_bytes(&file);
        output_bytes += work::file_bytes(&out);
    }
    let duration = begun.elapsed();
    passage.compressed = Some(compression);
    let answer = format!("{:.2} : 1", input_bytes as f64 / output_bytes.max(1) as f64);
    let outcome = StepOutcome::new(duration, StepStatus::Done, answer);
    Ok(StepOutcome { input_bytes: Some(input_bytes), output_bytes: Some(output_bytes), ..outcome })
}

async fn decompress(passage: &Passage<'_>, compression: Compression, restored: &Path) -> Result<()> {
    fs::create_dir_all(restored)?;
    for file in files_left(passage.snapshot)? {
        let compressed = passage.backup.join(compression.name_of(&file));
        let out = restored.join(file.file_name().unwrap_or_default());
        filter(compression.name(), "-qdc", &compressed, &out).await?.context("the program is gone")?;
    }
    Ok(())
}

/// Runs a program that writes to standard output what it makes of a file; `None` where there is no such program.
async fn filter(program: &str, options: &str, from: &Path, to: &Path) -> Result<Option<()>> {
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec "$0" "$1" "$2" > "$3""#, program, options]).arg(from).arg(to);
    let ended = child::run(command, &Limits::deadline(PATIENCE), |_| ()).await;
    match ended.error() {
        None => Ok(Some(())),
        Some(_) if ended.exit_status() == Some(NOT_FOUND) => Ok(None),
        Some(error) => bail!("{program}: {error}"),
    }
}

/// The first lines of the answer of one of SQLite's checks.
fn ask(path: &Path, pragma: &str, interrupted: &Arc<AtomicBool>) -> rusqlite::Result<String> {
    sqlite::check(&sqlite::open_file(path, interrupted)?, pragma)
}

/// What a tracker reads when it starts, and one download; returns the rows read.
fn start_tracker(path: &Path, interrupted: &Arc<AtomicBool>) -> rusqlite::Result<u64> {
    const AGGREGATE: &str = "torrent_aggregate_metrics";
    let connection = sqlite::open_file(path, interrupted)?;
    let mut queries = vec![
        "SELECT info_hash FROM whitelist",
        "SELECT key, valid_until FROM keys",
        "SELECT info_hash, completed FROM torrents",
    ];
    // Trackers before version 4 have no such table.
    if connection.table_exists(None, AGGREGATE)? {
        queries.push("SELECT value FROM torrent_aggregate_metrics WHERE metric_name = 'torrents_downloads_total'");
    }
    let mut read = 0;
    for query in queries {
        let mut statement = connection.prepare(query)?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {
            read += 1;
        }
    }
    connection.execute(
        "INSERT INTO torrents (info_hash, completed) VALUES (?1, 1) \
         ON CONFLICT(info_hash) DO UPDATE SET completed = completed + 1",
        ["ffffffffffffffffffffffffffffffffffffffff"],
    )?;
    Ok(read)
}

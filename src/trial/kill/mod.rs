//! A trial of kills: a process of this program commits until it is killed at some moment, while a strategy copies the database; the database
//! is recovered and judged, and so is what the strategy left.
//!
//! A kill is no power loss: what a process has written is in the operating system's hands. So nothing may be lost under any setting, and
//! what is lost all the same says something of the settings (`journal_mode` off and memory) or of SQLite.

pub mod committer;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::AtomicU64,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rand::RngExt as _;

use super::{
    event::Event,
    folder,
    power_loss::{images::outcome, interrupted},
};
use crate::{
    child::{self, ChildOutcome, Limits, watchdog},
    dataset::cache::Cached,
    history::ledger::LedgerFile,
    interrupt::Interrupt,
    oracle::{self, Claim, Evidence, Judgement, Question, SqliteChecks, Verdict},
    random::{generator, mix},
    results::{KillResult, KilledCopies, Outcomes},
    scenario::{KillPlan, TrialPlan},
    snapshot::{Procedure, Programs, Site, Task as CopyTask},
    sqlite,
    torrents::Portion,
    work,
};
use committer::{Doing, Progress, ProgressFile, Task};

/// How long the process that commits may take to its first commit.
const FIRST_COMMIT_WITHIN: Duration = Duration::from_secs(20);

const LOOK_EVERY: Duration = Duration::from_millis(1);

/// What a trial of kills needs.
pub struct KillTrial<'a> {
    /// The plan of the trial.
    pub plan: &'a TrialPlan,
    /// What is asked.
    pub kill: &'a KillPlan,
    /// The dataset.
    pub dataset: &'a Cached,
    /// The programs that strategies run.
    pub programs: &'a Programs,
    /// The folder of the trial.
    pub folder: &'a Path,
    /// Set to stop.
    pub interrupt: &'a Interrupt,
}

/// The moments of a kill.
#[derive(Debug, Clone, Copy)]
struct Moments {
    /// When the strategy begins, after the first commit.
    copy: Duration,
    /// When the process that commits is killed, after the first commit.
    kill: Duration,
    /// Whether the strategy's process is killed as well.
    kills_copy: bool,
}

/// A kill, before anything was judged.
struct Killed {
    live: PathBuf,
    ledger: PathBuf,
    /// What the process had said when it was killed.
    progress: Progress,
    /// Whether the strategy copied then.
    in_copy: bool,
    copy: Option<Copied>,
}

/// What a strategy left.
struct Copied {
    file: PathBuf,
    claim: Claim,
    /// Why it failed by itself, where it did.
    error: Option<String>,
}

/// What those say at most that fail, each once.
const ERRORS_MOST: usize = 10;

impl KillTrial<'_> {
    /// Kills, and judges what is left.
    ///
    /// # Errors
    /// What SQLite or the operating system says; that a process did not commit, or that the oracle cannot judge.
    pub fn run(&self, tell: &mut dyn FnMut(Event)) -> Result<KillResult> {
        let mut found = KillResult {
            kills: 0,
            in_transaction: 0,
            in_checkpoint: 0,
            in_copy: 0,
            acknowledged: 0,
            database: Outcomes::default(),
            copies: None,
        };
        fs::create_dir_all(self.folder).with_context(|| format!("cannot create {}", self.folder.display()))?;
        for number in 0..self.kill.kills {
            if self.interrupt.is_set() {
                return Err(interrupted());
            }
            tell(Event::Kills { done: number, of: self.kill.kills });
            let folder = tempfile::tempdir_in(self.folder).context("cannot create a folder")?;
            let killed = self.kill_one(number, folder.path()).with_context(|| format!("kill {}", number + 1))?;
            self.judge(&killed, &mut found)?;
        }
        Ok(found)
    }

    /// Has a process commit, kills it, and waits for the strategy.
    fn kill_one(&self, number: u64, folder: &Path) -> Result<Killed> {
        let (live, progress_path) = (folder.join("live.db"), folder.join("progress"));
        work::copy(&self.dataset.path, &live, self.interrupt.flag())?;
        drop(sqlite::open(&live, &self.plan.settings)?);
        let seed = mix(self.plan.workload_seed ^ number);
        let task = Task {
            database: live.clone(),
            manifest: folder.join("dataset.json"),
            ledger: folder.join("ledger"),
            progress: progress_path.clone(),
            settings: self.plan.settings,
            seed,
        };
        fs::write(&task.manifest, serde_json::to_vec(&self.dataset.manifest)?).context("cannot write the manifest")?;
        let progress = ProgressFile::create(&progress_path).context("cannot create the file of its progress")?;
        let mut process = Committer::start(&self.programs.journalbench, &task, folder)?;
        let first = process.wait_for_first_commit(&progress, self.interrupt)?;
        let moments = self.moments(number, seed);
        let snapshot = folder.join("snapshot");
        fs::create_dir(&snapshot).with_context(|| format!("cannot create {}", snapshot.display()))?;
        let site = Site {
            programs: self.programs,
            options: &self.plan.strategy_options,
            live: &live,
            folder: &snapshot,
            counted_sync_delay: None,
        };
        let copy = match self.plan.strategy.procedure(&site) {
            Procedure::Run(CopyTask::Child(command)) => Some(command),
            Procedure::Nothing => None,
            // Both were asked before, or are refused by the scenario.
            Procedure::Run(CopyTask::WhileStopped(_) | CopyTask::InWriter { .. }) | Procedure::Unavailable(_) => {
                bail!("{} cannot copy here", self.plan.strategy)
            }
        };
        let copying = copy.map(|command| self.copy_aside(command, moments, first, &progress_path));
        thread::sleep((first + moments.kill).saturating_duration_since(Instant::now()));
        let killed_at = Instant::now();
        process.kill()?;
        let progress = progress.read().context("cannot read its progress")?;
        let (mut in_copy, mut left) = (false, None);
        if let Some(copying) = copying {
            let Ok(copied) = copying.join() else { bail!("the thread of the strategy has panicked") };
            let CopyRun { begun, ended, killed, finished, error, commit_at_start, commit_at_end } = copied?;
            // Where both are killed at one moment, either may be first.
            in_copy = killed || (begun < killed_at && killed_at < ended);
            let portion = self.plan.strategy.definition().portion;
            let claim = Claim { portion, finished, commit_at_start, commit_at_end, ended_us: 0 };
            // Each kill has a folder of its own, and the same error in each of them is one.
            let error = error.map(|error| error.replace(&format!("{}/", folder.display()), ""));
            left = Some(Copied { file: folder::main_file(&snapshot), claim, error });
        }
        Ok(Killed { live, ledger: task.ledger, progress, in_copy, copy: left })
    }

    fn moments(&self, number: u64, seed: u64) -> Moments {
        let mut random = generator(seed, number);
        let kill_s = random.random_range(0.0..=self.kill.after_s_max);
        let copy_s = random.random_range(0.0..=kill_s);
        let kills_copy = number % 2 == 1;
        Moments { copy: Duration::from_secs_f64(copy_s), kill: Duration::from_secs_f64(kill_s), kills_copy }
    }

    /// Runs a strategy on a thread of its own, from its moment on.
    fn copy_aside(
        &self,
        command: Command,
        moments: Moments,
        first: Instant,
        progress: &Path,
    ) -> thread::JoinHandle<Result<CopyRun>> {
        let (progress, deadline) = (progress.to_owned(), self.plan.timeline.deadline());
        thread::spawn(move || {
            let progress = ProgressFile::open(&progress).context("cannot open the file of its progress")?;
            thread::sleep((first + moments.copy).saturating_duration_since(Instant::now()));
            let commit_at_start = progress.read()?.acknowledged;
            let begun = Instant::now();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let limits = Limits::deadline(deadline);
            let outcome: Option<ChildOutcome> = runtime.block_on(async {
                let copying = child::run(command, &limits, |_| ());
                if moments.kills_copy {
                    // Where the time is up it is dropped, and killed by that.
                    tokio::time::timeout_at((first + moments.kill).into(), copying).await.ok()
                } else {
                    Some(copying.await)
                }
            });
            let killed = outcome.is_none();
            let finished = outcome.as_ref().is_some_and(ChildOutcome::succeeded);
            let error = outcome.and_then(|outcome| outcome.error());
            let commit_at_end = progress.read()?.begun;
            Ok(CopyRun { begun, ended: Instant::now(), killed, finished, error, commit_at_start, commit_at_end })
        })
    }

    /// Judges what a kill left, and counts it.
    fn judge(&self, killed: &Killed, found: &mut KillResult) -> Result<()> {
        let Killed { live, ledger, progress, in_copy, copy } = killed;
        let Progress { begun, acknowledged, doing } = *progress;
        let portion = Portion::Whole;
        let of_live =
            Claim { portion, finished: true, commit_at_start: acknowledged, commit_at_end: begun, ended_us: 0 };
        let mut questions = vec![Question { file: live, claim: of_live }];
        questions.extend(copy.as_ref().map(|copy| Question { file: &copy.file, claim: copy.claim }));
        let history = LedgerFile::open(ledger)?;
        let pages_done = AtomicU64::new(0);
        let evidence = Evidence {
            start: &self.dataset.manifest,
            history: &history,
            sqlite_checks: SqliteChecks::LeaveOut,
            interrupted: self.interrupt.flag(),
            pages_done: &pages_done,
        };
        let mut examined = oracle::examine(&evidence, &questions, |_| ()).into_iter();
        let mut next = || examined.next().context("not everything was judged");
        found.kills += 1;
        found.in_transaction += u64::from(doing == Doing::Transaction);
        found.in_checkpoint += u64::from(doing == Doing::Checkpoint);
        found.in_copy += u64::from(*in_copy);
        found.acknowledged += acknowledged;
        found.database.add(outcome(&of_live, &next()??.judgement));
        if let Some(copy) = copy {
            count(&next()??.judgement, copy, found.copies.get_or_insert_default());
        }
        Ok(())
    }
}

/// How the copy of a strategy went.
struct CopyRun {
    begun: Instant,
    ended: Instant,
    /// Whether its own process was killed.
    killed: bool,
    finished: bool,
    error: Option<String>,
    commit_at_start: u64,
    commit_at_end: u64,
}

fn count(judgement: &Judgement, copy: &Copied, copies: &mut KilledCopies) {
    copies.finished += u64::from(judgement.verdict != Verdict::Unfinished);
    match judgement.verdict {
        Verdict::Exact => copies.exact += 1,
        Verdict::Stale => copies.stale += 1,
        Verdict::Torn => copies.torn += 1,
        Verdict::Corrupt => copies.corrupt += 1,
        Verdict::Unreadable => copies.unreadable += 1,
        Verdict::Unfinished => {
            copies.left_exact += u64::from(judgement.left_behind.is_some_and(Verdict::is_exact));
            let Some(error) = &copy.error else {
                copies.killed += 1;
                return;
            };
            copies.failed += 1;
            if copies.errors.len() < ERRORS_MOST && !copies.errors.contains(error) {
                copies.errors.push(error.clone());
            }
        }
    }
}

/// The process that commits; killed when this is dropped.
struct Committer {
    child: Child,
    stderr: PathBuf,
}

impl Committer {
    fn start(program: &Path, task: &Task, folder: &Path) -> Result<Self> {
        let (path, stderr) = (folder.join("task.json"), folder.join("stderr"));
        fs::write(&path, serde_json::to_vec(task)?).with_context(|| format!("cannot write {}", path.display()))?;
        let mut command = Command::new(program);
        command.arg(committer::COMMAND).arg(&path).stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(File::create(&stderr).with_context(|| format!("cannot create {}", stderr.display()))?);
        watchdog::mark(&mut command);
        let child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { child, stderr })
    }

    /// Waits until it has committed, and says when that was.
    fn wait_for_first_commit(&mut self, progress: &ProgressFile, interrupt: &Interrupt) -> Result<Instant> {
        let begun = Instant::now();
        while progress.read().context("cannot read its progress")?.acknowledged == 0 {
            if let Some(status) = self.child.try_wait()? {
                let said = fs::read(&self.stderr).unwrap_or_default();
                bail!("the process that commits has ended ({status}): {}", String::from_utf8_lossy(&said).trim());
            }
            if interrupt.is_set() {
                return Err(interrupted());
            }
            if begun.elapsed() > FIRST_COMMIT_WITHIN {
                bail!("the process that commits has not committed within {} s", FIRST_COMMIT_WITHIN.as_secs());
            }
            thread::sleep(LOOK_EVERY);
        }
        Ok(Instant::now())
    }

    fn kill(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let said = fs::read(&self.stderr).unwrap_or_default();
            bail!("the process that commits has ended ({status}): {}", String::from_utf8_lossy(&said).trim());
        }
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        // Both fail only where it has ended and was waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

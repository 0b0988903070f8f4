//! What a power loss leaves of a copy that is said to be done: its strategy is run under strace, and what it has not synced may be lost.

use std::{ffi::OsStr, fs, path::Path, process::Command, sync::atomic::AtomicU64};

use anyhow::{Context as _, Result, bail, ensure};

use super::{DATABASE, PowerLossTrial};
use crate::{
    child::{self, Limits},
    history::ledger::{Ledger, LedgerFile},
    oracle::{self, Claim, Evidence, Question, SqliteChecks},
    power::calls::{Calls, TRACED},
    results::{CopyDurability, FileDurability},
    snapshot::{Procedure, Site, Task},
    trial::folder,
    work,
};

impl PowerLossTrial<'_> {
    /// Has the strategy copy a database that nobody writes to, and finds out what of the copy syncs cover.
    ///
    /// # Errors
    /// That there is no strace, that the copy failed, or what the operating system says.
    pub fn copy(&self) -> Result<CopyDurability> {
        let strace = work::on_path("strace").context(
            "there is no strace on the PATH, which shows what a copying program syncs; install it (on Debian: apt-get install strace)",
        )?;
        let own = self.prepare("copied")?;
        // As strace names files.
        let out = own.join("copy");
        fs::create_dir(&out).with_context(|| format!("cannot create {}", out.display()))?;
        let out = fs::canonicalize(&out).with_context(|| format!("cannot find {}", out.display()))?;
        let site = Site {
            programs: self.programs,
            options: &self.plan.strategy_options,
            live: &own.join(DATABASE),
            folder: &out,
            counted_sync_delay: None,
        };
        let Procedure::Run(Task::Child(copying)) = self.plan.strategy.procedure(&site) else {
            bail!("{} has no process of its own to follow", self.plan.strategy)
        };
        let trace = own.join("trace");
        let limits = Limits::deadline(self.plan.timeline.deadline());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let outcome = runtime.block_on(child::run(traced(&strace, &trace, &copying), &limits, |_| ()));
        if let Some(error) = outcome.error() {
            bail!("{} did not copy: {error}", self.plan.strategy);
        }
        let mut calls = Calls::default();
        let text = fs::read(&trace).with_context(|| format!("cannot read {}", trace.display()))?;
        String::from_utf8_lossy(&text).lines().for_each(|line| calls.read(line));
        let files = files(&calls, &out)?;
        Ok(CopyDurability { verdict: self.verdict(&own, &folder::main_file(&out))?, files })
    }

    /// What the copy is, while the power stays.
    fn verdict(&self, own: &Path, copy: &Path) -> Result<oracle::Verdict> {
        let ledger = Ledger::create(&own.join("ledger")).context("cannot create the ledger")?;
        ledger.close()?;
        let history = LedgerFile::open(ledger.path())?;
        let pages_done = AtomicU64::new(0);
        let evidence = Evidence {
            start: &self.dataset.manifest,
            history: &history,
            sqlite_checks: SqliteChecks::LeaveOut,
            interrupted: self.interrupt.flag(),
            pages_done: &pages_done,
        };
        let portion = self.plan.strategy.definition().portion;
        let claim = Claim { portion, finished: true, commit_at_start: 0, commit_at_end: 0, ended_us: 0 };
        let mut examined = oracle::examine(&evidence, &[Question { file: copy, claim }], |_| ());
        let examination = examined.pop().context("the copy was not judged")??;
        Ok(examination.judgement.verdict)
    }
}

/// The same command under strace, which follows all that it starts.
fn traced(strace: &Path, trace: &Path, copying: &Command) -> Command {
    let mut command = Command::new(strace);
    command.args(["-f", "-y", "-qq", "-s", "0", "-e"]).arg(format!("trace={TRACED}"));
    command.arg("-o").arg(trace).arg("--").arg(copying.get_program()).args(copying.get_args());
    for (name, value) in copying.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    if let Some(folder) = copying.get_current_dir() {
        command.current_dir(folder);
    }
    command
}

/// The files in a folder with what syncs cover of them.
fn files(calls: &Calls, out: &Path) -> Result<Vec<FileDurability>> {
    let mut files = Vec::new();
    for path in folder::files_left(out)? {
        let found = calls.files().find(|(found, _)| *found == path);
        let name = path.file_name().unwrap_or(OsStr::new("")).to_string_lossy().into_owned();
        let Some((_, coverage)) = found else { bail!("strace does not say who has made {}", path.display()) };
        files.push(FileDurability {
            name,
            content_synced: coverage.content,
            name_synced: coverage.name,
            name_synced_where_journaled: coverage.name_where_journaled,
        });
    }
    ensure!(!files.is_empty(), "it left no file");
    Ok(files)
}

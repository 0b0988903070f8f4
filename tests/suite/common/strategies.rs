//! Strategies run one by one, outside a trial.

use std::{
    path::Path,
    process::Output,
    sync::Arc,
    time::{Duration, Instant},
};

use journalbench::snapshot::{
    Procedure, Programs, Site, Strategy, StrategyOptions, Task,
    in_writer::{CopyRequest, WriterCopy, WriterMessage},
};
use rusqlite::Connection;
use tokio::sync::mpsc::unbounded_channel;

/// Options under which nothing waits long for a lock.
pub fn impatient() -> StrategyOptions {
    let mut options = StrategyOptions::default();
    for wait in [&mut options.backup_one_step, &mut options.cli_backup_timeout, &mut options.vacuum_into] {
        wait.busy_timeout_ms = 50;
    }
    options.stop_copy.busy_timeout_ms = 50;
    options.essential.busy_timeout_ms = 50;
    options.held_copy.busy_timeout_ms = 50;
    options.held_copy_gentle.busy_timeout_ms = 50;
    options.command.line = Some("cp {db} {out}".to_owned());
    options.command.shell = Some(false);
    options
}

/// Those that copy any database, a tracker's or not.
pub fn of_any_database() -> impl Iterator<Item = Strategy> {
    Strategy::all().iter().copied().filter(|strategy| *strategy != Strategy::Essential)
}

/// How a strategy ended.
#[derive(Debug)]
pub struct Ran {
    pub succeeded: bool,
    pub said: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self { succeeded: output.status.success(), said: String::from_utf8_lossy(&output.stderr).trim().to_owned() }
    }
}

/// Runs a strategy to its end. `wrap` may run a child process otherwise. `None` where it cannot run here, or is none.
pub fn run(
    strategy: Strategy,
    options: &StrategyOptions,
    live: &Path,
    folder: &Path,
    wrap: &dyn Fn(std::process::Command) -> std::process::Command,
) -> Option<Ran> {
    let programs = Programs::find(env!("CARGO_BIN_EXE_journalbench").into());
    match strategy.procedure(&Site { programs: &programs, options, live, folder, counted_sync_delay: None }) {
        Procedure::Nothing => None,
        Procedure::Unavailable(why) => {
            use Strategy::{CpReflink, IoniceCp, Rsync, Sqlite3Rsync};
            assert!(matches!(strategy, CpReflink | Sqlite3Rsync | IoniceCp | Rsync), "{strategy}: {why}");
            None
        }
        Procedure::Run(Task::Child(command) | Task::WhileStopped(command)) => {
            Some(wrap(command).output().unwrap().into())
        }
        Procedure::Run(Task::InWriter { out, options, counted_sync_delay }) => {
            let writer = Connection::open(live).unwrap();
            writer.busy_timeout(Duration::from_millis(50)).unwrap();
            let (listener, mut messages) = unbounded_channel();
            let request = CopyRequest { out, options, counted_sync_delay, listener, cancelled: Arc::default() };
            let mut copy = WriterCopy::begin(&writer, request);
            while copy.step_until(Instant::now()).is_continue() {}
            drop(copy);
            loop {
                if let WriterMessage::Ended { result, .. } = messages.blocking_recv().unwrap() {
                    let said = result.as_ref().err().cloned().unwrap_or_default();
                    return Some(Ran { succeeded: result.is_ok(), said });
                }
            }
        }
    }
}

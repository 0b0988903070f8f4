//! What a strategy says of itself, and what it says it with: where a snapshot is taken, and what is then run.
//!
//! A [`Definition`] is data and plain functions, a row of a table. It says what a strategy runs and what everybody else in this
//! program has to know of it, so that nobody else asks which strategy it is. Nothing here runs anything.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use serde_json::Value;

use super::{
    options::{OptionProblem, StepOptions, StrategyOptions},
    protocol::{self, Method},
};
use crate::{sqlite::JournalMode, torrents::Portion, work::on_path};

/// The name of a snapshot's main file in the folder that is its own.
pub const SNAPSHOT_FILE: &str = "snapshot.db";

/// All that the program knows of a strategy.
#[derive(Debug, Clone, Copy)]
pub struct Definition {
    /// Whether what it copies is one state of the database.
    pub isolation: Isolation,
    /// What it asks of those who write.
    pub writers: WriterRole,
    /// Whether it takes snapshots; the control takes none, and its procedure is [`Procedure::Nothing`].
    pub takes_snapshots: bool,
    /// How much of the database its copy is to hold. One of a part is never counted beside whole ones.
    pub portion: Portion,
    /// Whether it begins again whenever another connection commits.
    pub begins_again: bool,
    /// Whether those who use it sync the copy when it has ended. SQLite's own ways sync what they write, and scripts that call
    /// `cp` sync nothing.
    pub syncs_after: bool,
    /// What it runs at a site.
    pub(crate) procedure: fn(&Site<'_>) -> Procedure,
    /// Which of the options it runs with, for the results.
    pub(crate) options: fn(&StrategyOptions) -> Value,
    /// Refuses options of its own that it cannot run with. It is asked of every strategy, and told whether a scenario uses
    /// it: only then must something be set that has no default.
    pub(crate) check: fn(&StrategyOptions, is_used: bool) -> Result<(), OptionProblem>,
    /// What it gives of a database that other programs write to.
    pub(crate) live_copy: fn(in_wal: bool) -> LiveCopy,
}

/// Whether what a strategy copies is one state of the database.
#[derive(Debug, Clone, Copy)]
pub enum Isolation {
    /// It is: the strategy reads through SQLite, or under a lock of SQLite's, or while nobody writes.
    Isolated,
    /// Nothing protects the copy from the writes that are made meanwhile.
    Unprotected {
        /// The reason, as a sentence, why a copy came out exact all the same, under a journal mode.
        luck: fn(JournalMode) -> &'static str,
    },
    /// It cannot be known, or there is no copy.
    Unknown,
}

/// What a strategy asks of those who write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriterRole {
    /// Nothing: they do not know that a snapshot is taken.
    None,
    /// They are stopped while it runs.
    Stopped,
    /// One of them takes the copy, on the connection that it writes with.
    Copies,
}

/// What a strategy gives of a database that other programs write to, as `journalbench snapshot` copies it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LiveCopy {
    /// A complete copy.
    Complete,
    /// A complete copy at a price that has to be said before; the sentence begins after the name of the database.
    AtPrice(&'static str),
    /// No complete copy: why, and what to use instead; the sentence begins after the name of the strategy.
    Refused(&'static str),
}

/// What a strategy runs, or why it cannot.
#[derive(Debug)]
pub enum Procedure {
    /// Nothing: there is no snapshot.
    Nothing,
    /// A task that takes a snapshot.
    Run(Task),
    /// The strategy cannot run here, for the reason given.
    Unavailable(String),
}

/// A task that takes a snapshot. A child process ends with status 0 where it believes that the snapshot is good.
#[derive(Debug)]
pub enum Task {
    /// A child process.
    Child(Command),
    /// A child process, while nobody writes.
    WhileStopped(Command),
    /// The connection that writes copies by itself: [`super::in_writer`].
    InWriter {
        /// The copy to make.
        out: PathBuf,
        /// How its steps are taken.
        options: StepOptions,
        /// As [`Site::counted_sync_delay`].
        counted_sync_delay: Option<Duration>,
    },
}

/// Where a snapshot is taken, and what is there to take it with. Paths must be absolute.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The programs that there are.
    pub programs: &'a Programs,
    /// What was set for strategies.
    pub options: &'a StrategyOptions,
    /// The live database.
    pub live: &'a Path,
    /// The snapshot's own folder, which is empty or will be made: its file becomes [`SNAPSHOT_FILE`].
    pub folder: &'a Path,
    /// Where this program copies itself, what it asks of files is counted, and every sync takes at least so much longer; `None`
    /// where nobody counts.
    pub counted_sync_delay: Option<Duration>,
}

/// The programs that strategies run.
#[derive(Debug, Clone)]
pub struct Programs {
    /// This program.
    pub journalbench: PathBuf,
    /// `cp`, where it is installed.
    pub cp: Option<PathBuf>,
    /// `sqlite3`, where it is installed.
    pub sqlite3: Option<PathBuf>,
    /// `sqlite3_rsync`, where it is installed.
    pub sqlite3_rsync: Option<PathBuf>,
    /// `ionice`, where it is installed.
    pub ionice: Option<PathBuf>,
    /// `fincore`, where it is installed: no way to copy, but what says how much of a file is in memory.
    pub fincore: Option<PathBuf>,
    /// `rsync`, where it is installed.
    pub rsync: Option<PathBuf>,
    /// `sh`, where it is installed: what runs a command line of the user's own.
    pub sh: Option<PathBuf>,
}

impl Definition {
    /// Whether a script that knows nothing of the writers can take such a copy, and can rely on it: a whole one.
    #[must_use]
    pub(crate) fn is_for_scripts(&self) -> bool {
        matches!((self.isolation, self.writers, self.portion), (Isolation::Isolated, WriterRole::None, Portion::Whole))
    }
}

impl Procedure {
    /// Runs a child process, and asks nothing of the writers.
    pub(super) fn child(command: Command) -> Self {
        Self::Run(Task::Child(command))
    }
}

impl Site<'_> {
    /// The snapshot's main file.
    pub(super) fn out(&self) -> PathBuf {
        self.folder.join(SNAPSHOT_FILE)
    }

    /// This program's own binary in a child process, which copies the live database by a method.
    pub(super) fn copy_process(&self, method: &Method) -> Command {
        protocol::command(&self.programs.journalbench, method, self.live, &self.out(), self.counted_sync_delay)
    }
}

impl Programs {
    /// Finds the system's programs on the PATH.
    #[must_use]
    pub fn find(journalbench: PathBuf) -> Self {
        Self {
            journalbench,
            cp: on_path("cp"),
            sqlite3: on_path("sqlite3"),
            sqlite3_rsync: on_path("sqlite3_rsync"),
            ionice: on_path("ionice"),
            fincore: on_path("fincore"),
            rsync: on_path("rsync"),
            sh: on_path("sh"),
        }
    }

    /// What is run with `cp`.
    pub(super) fn with_cp(&self, procedure: impl FnOnce(&Path) -> Procedure) -> Procedure {
        with(self.cp.as_deref(), "cp", procedure)
    }

    /// What is run with `sqlite3`.
    pub(super) fn with_sqlite3(&self, procedure: impl FnOnce(&Path) -> Procedure) -> Procedure {
        with(self.sqlite3.as_deref(), "sqlite3", procedure)
    }

    /// What is run with `sqlite3_rsync`.
    pub(super) fn with_sqlite3_rsync(&self, procedure: impl FnOnce(&Path) -> Procedure) -> Procedure {
        with(self.sqlite3_rsync.as_deref(), "sqlite3_rsync", procedure)
    }

    /// What is run with `ionice`.
    pub(super) fn with_ionice(&self, procedure: impl FnOnce(&Path) -> Procedure) -> Procedure {
        with(self.ionice.as_deref(), "ionice", procedure)
    }

    /// What is run with `rsync`.
    pub(super) fn with_rsync(&self, procedure: impl FnOnce(&Path) -> Procedure) -> Procedure {
        with(self.rsync.as_deref(), "rsync", procedure)
    }
}

fn with(program: Option<&Path>, name: &str, procedure: impl FnOnce(&Path) -> Procedure) -> Procedure {
    let missing = || Procedure::Unavailable(format!("there is no program `{name}` on the PATH"));
    program.map_or_else(missing, procedure)
}

/// A program and its arguments.
pub(super) fn command(program: &Path, arguments: impl IntoIterator<Item: AsRef<OsStr>>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

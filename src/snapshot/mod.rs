//! The ways to copy a live database: what each one runs.
//!
//! Every strategy is a child process, as an administrator would run it: either a program of the system, or this
//! program's own binary doing what [`copy`] says. The process that has the database open never touches its file
//! otherwise (`docs/sqlite.md`, 1).
//!
//! Nothing here knows of load, of deadlines or of verdicts. A new strategy is a variant of [`Strategy`] and its arms.

pub mod copy;

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
    process::Command,
};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use copy::Method;

/// A way to take a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// No snapshot: the control.
    None,
    /// `cp` of the main file.
    Cp,
    /// What the `sqlite3` program's `.backup` does, in this program's own binary.
    Backup,
    /// The real `sqlite3` program's `.backup`.
    CliBackup,
    /// `VACUUM INTO`, in this program's own binary.
    VacuumInto,
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
}

/// What a strategy runs, or why it cannot.
#[derive(Debug)]
pub enum Plan {
    /// Nothing.
    Nothing,
    /// A child process that ends with status 0 where it believes that the snapshot is good.
    Run(Command),
    /// The strategy cannot run here.
    Skip(String),
}

/// The name of a snapshot's main file in the folder that is its own.
pub const SNAPSHOT_FILE: &str = "snapshot.db";

impl Strategy {
    /// Every strategy, the control first.
    pub const ALL: [Self; 5] = [Self::None, Self::Cp, Self::Backup, Self::CliBackup, Self::VacuumInto];

    /// What it runs to copy `live` into `folder`, which is empty, as [`SNAPSHOT_FILE`]. Paths must be absolute.
    #[must_use]
    pub fn plan(self, programs: &Programs, live: &Path, folder: &Path) -> Plan {
        let out = folder.join(SNAPSHOT_FILE);
        let missing = |name: &str| Plan::Skip(format!("there is no program `{name}` on the PATH"));
        match self {
            Self::None => Plan::Nothing,
            Self::Cp => programs.cp.as_ref().map_or_else(|| missing("cp"), |cp| run(cp, [live.into(), out.into()])),
            Self::Backup => own(programs, Method::Backup, live, &out),
            Self::VacuumInto => own(programs, Method::VacuumInto, live, &out),
            Self::CliBackup => programs.sqlite3.as_ref().map_or_else(
                || missing("sqlite3"),
                |sqlite3| {
                    // The target is named by its last part, which needs no quoting, and nobody's ~/.sqliterc is read.
                    let backup = format!(".backup {SNAPSHOT_FILE}");
                    let mut plan = run(sqlite3, ["-init".into(), "/dev/null".into(), live.into(), backup.into()]);
                    if let Plan::Run(command) = &mut plan {
                        command.current_dir(folder);
                    }
                    plan
                },
            ),
        }
    }

    /// Whether it reads the database through SQLite or under a lock of SQLite's, so that it sees one state of it.
    #[must_use]
    pub fn is_isolated(self) -> bool {
        match self {
            Self::None | Self::Cp => false,
            Self::Backup | Self::CliBackup | Self::VacuumInto => true,
        }
    }

    /// The options that it runs with, for the results.
    #[must_use]
    pub fn options(self) -> Value {
        match self {
            Self::None | Self::Cp | Self::CliBackup => json!({}),
            Self::Backup => json!({ "pages_per_step": copy::PAGES_PER_STEP, "pause_ms": 0, "busy_timeout_ms": 0 }),
            Self::VacuumInto => json!({ "busy_timeout_ms": copy::VACUUM_BUSY_TIMEOUT_MS }),
        }
    }
}

impl Programs {
    /// Finds the system's programs on the PATH.
    #[must_use]
    pub fn find(journalbench: PathBuf) -> Self {
        let on_path = |name: &str| {
            let paths = std::env::var_os("PATH")?;
            std::env::split_paths(&paths).map(|folder| folder.join(name)).find(|program| program.is_file())
        };
        Self { journalbench, cp: on_path("cp"), sqlite3: on_path("sqlite3") }
    }
}

fn run(program: &Path, arguments: impl IntoIterator<Item = OsString>) -> Plan {
    let mut command = Command::new(program);
    command.args(arguments);
    Plan::Run(command)
}

fn own(programs: &Programs, method: Method, live: &Path, out: &Path) -> Plan {
    let name = method.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
    run(&programs.journalbench, [copy::COMMAND.into(), name.into(), live.into(), out.into()])
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Cp => "cp",
            Self::Backup => "backup",
            Self::CliBackup => "cli-backup",
            Self::VacuumInto => "vacuum-into",
        })
    }
}

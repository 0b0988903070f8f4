//! The ways to copy a live database: what each one runs.
//!
//! Nearly every strategy is a child process, as an administrator would run it: a program of the system, or this program's
//! own binary doing what [`copy`] says. The process that has the database open never touches its file otherwise
//! (`docs/sqlite.md`, 1). One strategy stops the writers while its child runs, and one is done by the writer itself: their
//! [`Task`]s say so.
//!
//! Nothing here knows of load, of deadlines or of verdicts. A new strategy is a variant of [`Strategy`] and its arms.

pub mod backup;
pub mod copy;
pub mod held_copy;
pub mod in_writer;
pub mod options;

use std::{
    ffi::OsString,
    fmt, fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    process::Command,
};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use copy::Method;
use options::{Options, StepOptions};

/// A way to take a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// No snapshot: the control.
    None,
    /// `cp` of the main file.
    Cp,
    /// `cp` of the main file and of whichever files of SQLite's lie beside it.
    CpAll,
    /// `cp --reflink=always` of the main file.
    CpReflink,
    /// What the `sqlite3` program's `.backup` does, in this program's own binary.
    Backup,
    /// The backup API in a single step.
    BackupOneStep,
    /// The backup API on the connection that writes.
    BackupInWriter,
    /// The real `sqlite3` program's `.backup`.
    CliBackup,
    /// The same, with a busy timeout.
    CliBackupTimeout,
    /// `VACUUM INTO`, in this program's own binary.
    VacuumInto,
    /// A held read transaction, and `cp`: [`held_copy`].
    HeldCopy,
    /// Writers are stopped, the WAL is moved into the main file, `cp`, and they go on.
    StopCopy,
    /// The real `sqlite3_rsync` program.
    Sqlite3Rsync,
    /// A command line of the user's own.
    Command,
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
}

/// What a snapshot is made of, and how. Paths must be absolute.
#[derive(Debug, Clone, Copy)]
pub struct Site<'a> {
    /// The programs that there are.
    pub programs: &'a Programs,
    /// What was set for strategies.
    pub options: &'a Options,
    /// The live database.
    pub live: &'a Path,
    /// The snapshot's own folder, which is empty or will be made: its file becomes [`SNAPSHOT_FILE`].
    pub folder: &'a Path,
}

/// What a strategy runs, or why it cannot.
#[derive(Debug)]
pub enum Plan {
    /// Nothing.
    Nothing,
    /// This.
    Run(Task),
    /// The strategy cannot run here.
    Skip(String),
}

/// What a strategy runs. A child process ends with status 0 where it believes that the snapshot is good.
#[derive(Debug)]
pub enum Task {
    /// A child process.
    Child(Command),
    /// A child process, while nobody writes.
    WhileStopped(Command),
    /// The connection that writes copies by itself: [`in_writer`].
    InWriter {
        /// Where to.
        out: PathBuf,
        /// How.
        options: StepOptions,
    },
}

/// The name of a snapshot's main file in the folder that is its own.
pub const SNAPSHOT_FILE: &str = "snapshot.db";

/// What `cp-all` has `sh` do with `cp`, the database and the copy. A journal may go between the look and the copy: then there
/// is none to copy.
const CP_ALL: &str = r#"set -e
for suffix in '' -wal -shm -journal; do
    if [ -e "$2$suffix" ]; then "$1" "$2$suffix" "$3$suffix" || [ ! -e "$2$suffix" ]; fi
done"#;

impl Strategy {
    /// Every strategy, the control first.
    pub const ALL: [Self; 14] = [
        Self::None,
        Self::Cp,
        Self::CpAll,
        Self::CpReflink,
        Self::Backup,
        Self::BackupOneStep,
        Self::BackupInWriter,
        Self::CliBackup,
        Self::CliBackupTimeout,
        Self::VacuumInto,
        Self::HeldCopy,
        Self::StopCopy,
        Self::Sqlite3Rsync,
        Self::Command,
    ];

    /// What it runs.
    #[must_use]
    pub fn plan(self, site: &Site<'_>) -> Plan {
        let Site { programs, options, live, folder } = *site;
        let out = folder.join(SNAPSHOT_FILE);
        let own = |method: Method| copy::command(&programs.journalbench, &method, live, &out);
        let with = |program: &Option<PathBuf>, name: &str, task: &dyn Fn(&Path) -> Task| {
            let missing = || Plan::Skip(format!("there is no program `{name}` on the PATH"));
            program.as_ref().map_or_else(missing, |program| Plan::Run(task(program)))
        };
        let with_cp = |task: &dyn Fn(&Path) -> Task| with(&programs.cp, "cp", task);
        let child = |command: Command| Plan::Run(Task::Child(command));
        match self {
            Self::None => Plan::Nothing,
            Self::Cp => with_cp(&|cp| Task::Child(run(cp, [live.into(), out.clone().into()]))),
            Self::CpAll => with_cp(&|cp| {
                let arguments: [OsString; 6] =
                    ["-c".into(), CP_ALL.into(), "cp-all".into(), cp.into(), live.into(), out.clone().into()];
                Task::Child(run(Path::new("sh"), arguments))
            }),
            Self::CpReflink => match programs.cp.as_ref().and_then(|cp| reflink_obstacle(cp, folder)) {
                Some(obstacle) => Plan::Skip(obstacle),
                None => {
                    with_cp(&|cp| Task::Child(run(cp, ["--reflink=always".into(), live.into(), out.clone().into()])))
                }
            },
            Self::Backup => child(own(Method::Backup(options.backup))),
            Self::BackupOneStep => {
                let busy_timeout_ms = options.backup_one_step.busy_timeout_ms;
                child(own(Method::Backup(options::BackupOptions { pages_per_step: -1, pause_ms: 0, busy_timeout_ms })))
            }
            Self::BackupInWriter => Plan::Run(Task::InWriter { out, options: options.backup_in_writer }),
            Self::CliBackup => {
                with(&programs.sqlite3, "sqlite3", &|sqlite3| Task::Child(cli_backup(sqlite3, live, folder, None)))
            }
            Self::CliBackupTimeout => with(&programs.sqlite3, "sqlite3", &|sqlite3| {
                let timeout_ms = options.cli_backup_timeout.busy_timeout_ms;
                Task::Child(cli_backup(sqlite3, live, folder, Some(timeout_ms)))
            }),
            Self::VacuumInto => child(own(Method::VacuumInto(options.vacuum_into))),
            Self::HeldCopy => with_cp(&|cp| Task::Child(own(Method::HeldCopy(options.held_copy, cp.to_owned())))),
            Self::StopCopy => {
                with_cp(&|cp| Task::WhileStopped(own(Method::CheckpointAndCopy(options.stop_copy, cp.to_owned()))))
            }
            Self::Sqlite3Rsync => with(&programs.sqlite3_rsync, "sqlite3_rsync", &|rsync| {
                Task::Child(run(rsync, [live.into(), out.clone().into()]))
            }),
            Self::Command => match &options.command.line {
                None => Plan::Skip("snapshots.options.command.line does not say what to run".to_owned()),
                Some(line) => child(shell(line, live, &out)),
            },
        }
    }

    /// Whether it reads the database through SQLite or under a lock of SQLite's, or while nobody writes, so that it sees one
    /// state of it. `None` of a command, of which nobody knows.
    #[must_use]
    pub fn is_isolated(self) -> Option<bool> {
        match self {
            Self::None | Self::Cp | Self::CpAll | Self::CpReflink => Some(false),
            Self::Command => None,
            Self::Backup
            | Self::BackupOneStep
            | Self::BackupInWriter
            | Self::CliBackup
            | Self::CliBackupTimeout
            | Self::VacuumInto
            | Self::HeldCopy
            | Self::StopCopy
            | Self::Sqlite3Rsync => Some(true),
        }
    }

    /// Whether it takes the help of those who write, so that no script can do it by itself.
    #[must_use]
    pub fn needs_writers(self) -> bool {
        match self {
            Self::BackupInWriter | Self::StopCopy => true,
            Self::None
            | Self::Cp
            | Self::CpAll
            | Self::CpReflink
            | Self::Backup
            | Self::BackupOneStep
            | Self::CliBackup
            | Self::CliBackupTimeout
            | Self::VacuumInto
            | Self::HeldCopy
            | Self::Sqlite3Rsync
            | Self::Command => false,
        }
    }

    /// Which of the options it runs with, for the results.
    #[must_use]
    pub fn options(self, options: &Options) -> Value {
        match self {
            Self::None | Self::Cp | Self::CpAll | Self::CpReflink | Self::CliBackup | Self::Sqlite3Rsync => json!({}),
            Self::Backup => json!(options.backup),
            Self::BackupOneStep => json!(options.backup_one_step),
            Self::BackupInWriter => json!(options.backup_in_writer),
            Self::CliBackupTimeout => json!(options.cli_backup_timeout),
            Self::VacuumInto => json!(options.vacuum_into),
            Self::HeldCopy => json!(options.held_copy),
            Self::StopCopy => json!(options.stop_copy),
            Self::Command => json!(options.command),
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
        Self { journalbench, cp: on_path("cp"), sqlite3: on_path("sqlite3"), sqlite3_rsync: on_path("sqlite3_rsync") }
    }
}

fn run(program: &Path, arguments: impl IntoIterator<Item = OsString>) -> Command {
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

/// The target is named by its last part, which needs no quoting, and nobody's ~/.sqliterc is read.
fn cli_backup(sqlite3: &Path, live: &Path, folder: &Path, timeout_ms: Option<u64>) -> Command {
    let mut command = run(sqlite3, ["-init".into(), "/dev/null".into()]);
    if let Some(timeout_ms) = timeout_ms {
        command.args(["-cmd".to_owned(), format!(".timeout {timeout_ms}")]);
    }
    command.arg(live).arg(format!(".backup {SNAPSHOT_FILE}")).current_dir(folder);
    command
}

/// Why files near `folder` cannot be reflinked; tried with one of a few bytes.
fn reflink_obstacle(cp: &Path, folder: &Path) -> Option<String> {
    let near = folder.ancestors().find(|folder| folder.is_dir())?;
    let tried = || -> std::io::Result<Option<String>> {
        let scratch = tempfile::tempdir_in(near)?;
        let (from, to) = (scratch.path().join("from"), scratch.path().join("to"));
        fs::write(&from, [0; 4096])?;
        let output = run(cp, ["--reflink=always".into(), from.into(), to.into()]).output()?;
        let says = String::from_utf8_lossy(&output.stderr);
        // Its last words: before them it names the files.
        let why = says.trim().rsplit(": ").next().unwrap_or_default();
        Ok((!output.status.success()).then(|| format!("the file system cannot share blocks between files: {why}")))
    };
    tried().unwrap_or_else(|error| Some(format!("cannot try a reflink: {error}")))
}

/// The user's own command line, with the paths in their places.
fn shell(text: &str, live: &Path, out: &Path) -> Command {
    let places: [(&str, &Path); 2] = [("{db}", live), ("{out}", out)];
    let mut filled = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        filled.extend_from_slice(before.as_bytes());
        let place = places.iter().find(|(place, _)| from.starts_with(place));
        filled.extend(place.map_or_else(|| b"{".to_vec(), |(_, path)| quoted(path)));
        rest = &from[place.map_or(1, |(place, _)| place.len())..];
    }
    filled.extend_from_slice(rest.as_bytes());
    run(Path::new("sh"), ["-c".into(), OsString::from_vec(filled)])
}

/// In single quotes, so that the shell takes it as it is.
fn quoted(path: &Path) -> Vec<u8> {
    let mut quoted = vec![b'\''];
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'\'' => quoted.extend_from_slice(br"'\''"),
            other => quoted.push(*other),
        }
    }
    quoted.push(b'\'');
    quoted
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Cp => "cp",
            Self::CpAll => "cp-all",
            Self::CpReflink => "cp-reflink",
            Self::Backup => "backup",
            Self::BackupOneStep => "backup-one-step",
            Self::BackupInWriter => "backup-in-writer",
            Self::CliBackup => "cli-backup",
            Self::CliBackupTimeout => "cli-backup-timeout",
            Self::VacuumInto => "vacuum-into",
            Self::HeldCopy => "held-copy",
            Self::StopCopy => "stop-copy",
            Self::Sqlite3Rsync => "sqlite3-rsync",
            Self::Command => "command",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_gets_its_paths_quoted() {
        let (live, out) = (Path::new("/a b/it's.db"), Path::new("/c/$HOME.db"));
        for (line, expected) in [
            ("cp {db} {out}", r"cp '/a b/it'\''s.db' '/c/$HOME.db'"),
            ("{out}{db}", r"'/c/$HOME.db''/a b/it'\''s.db'"),
            ("awk '{print}' {d}", "awk '{print}' {d}"),
            ("", ""),
        ] {
            let command = shell(line, live, out);
            let arguments: Vec<_> = command.get_args().collect();
            assert_eq!(arguments, [std::ffi::OsStr::new("-c"), expected.as_ref()]);
        }
        let echo = shell("printf '%s|' {db} {out}", live, out).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&echo.stdout), "/a b/it's.db|/c/$HOME.db|");
    }

    #[test]
    fn names_are_those_of_scenarios() {
        for strategy in Strategy::ALL {
            assert_eq!(json!(strategy), json!(strategy.to_string()));
        }
    }
}

//! The ways to copy a live database: what each one runs.
//!
//! Nearly every strategy is a child process, as an administrator would run it: a program of the system, or this program's
//! own binary in a `copy_process`. The process that has the database open never touches its file otherwise
//! (`docs/sqlite.md`, 1). One strategy stops the writers while its child runs, and one is done by the writer itself: their
//! [`Task`]s say so.
//!
//! Nothing here knows of load, of deadlines or of verdicts. A new strategy is a variant of [`Strategy`], its line in the table
//! [`Strategy::definition`], and a file in `strategies/` with its [`Definition`].
//!
//! ```text
//! mod          the strategies and their table
//! strategies/  one a file: its definition, and its code in the child
//! copy_process finds that code in the child
//! definition   what a strategy says of itself
//! protocol     what the child is told, and says
//! main_file    opened, checkpointed and copied in the child
//! gentle       a copy at a pace that others do not feel: of the
//! wal_frames   pages in a WAL, read and written
//! past_cache   without a trace in the page cache
//! cached       (what of a file is in there), at a
//! copy_pace    pace that yields
//! expected     how long it will take
//! in_writer    the copy on the connection that writes
//! backup_api   SQLite's backup, step by step
//! options      what a scenario can set
//! ```

mod backup_api;
mod cached;
mod copy_pace;
pub(crate) mod copy_process;
mod definition;
mod expected;
mod gentle;
pub mod in_writer;
mod main_file;
pub(crate) mod options;
mod past_cache;
pub mod protocol;
mod strategies;
mod wal_frames;

use std::fmt;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use backup_api::CopyProgress;
pub(crate) use definition::LiveCopy;
pub use definition::{Definition, Isolation, Procedure, Programs, SNAPSHOT_FILE, Site, Task, WriterRole};
pub(crate) use expected::Expected;
pub use gentle::PaceResult;
pub(crate) use options::OptionProblem;
pub use options::{HoldOptions, StrategyOptions};
pub use past_cache::CacheUse;
pub use strategies::held_copy;

/// A way to take a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, ValueEnum, Serialize, Deserialize, JsonSchema)]
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
    /// `ionice -c3 nice cp` of the main file.
    IoniceCp,
    /// The real `rsync -a` of the main file.
    Rsync,
    /// The backup API in steps of some pages, as the `sqlite3` program's `.backup` does it, in this program's own binary.
    Backup,
    /// The backup API in a single step.
    BackupOneStep,
    /// The backup API on the connection that writes, between its transactions.
    BackupInWriter,
    /// The real `sqlite3` program's `.backup`.
    CliBackup,
    /// The real `sqlite3` program's `.timeout` and `.backup`.
    CliBackupTimeout,
    /// `VACUUM INTO`, in this program's own binary.
    VacuumInto,
    /// `cp` of the database and of its WAL while a read transaction is held, and the WAL folded into the copy.
    HeldCopy,
    /// As `held-copy`, past the page cache and at a pace that others do not feel.
    HeldCopyGentle,
    /// A database without the torrents that nobody has downloaded, in this program's own binary: no whole copy.
    Essential,
    /// Writers are stopped, the WAL is moved into the main file, `cp`, and they go on.
    StopCopy,
    /// The real `sqlite3_rsync` program.
    Sqlite3Rsync,
    /// A command line of the user's own.
    Command,
}

impl Strategy {
    /// The table of strategies: what is known of each.
    #[must_use]
    pub fn definition(self) -> &'static Definition {
        use strategies as defined;
        match self {
            Self::None => &defined::none::DEFINITION,
            Self::Cp => &defined::cp::DEFINITION,
            Self::CpAll => &defined::cp_all::DEFINITION,
            Self::CpReflink => &defined::cp_reflink::DEFINITION,
            Self::IoniceCp => &defined::ionice_cp::DEFINITION,
            Self::Rsync => &defined::rsync::DEFINITION,
            Self::Backup => &defined::backup::DEFINITION,
            Self::BackupOneStep => &defined::backup_one_step::DEFINITION,
            Self::BackupInWriter => &defined::backup_in_writer::DEFINITION,
            Self::CliBackup => &defined::cli_backup::DEFINITION,
            Self::CliBackupTimeout => &defined::cli_backup_timeout::DEFINITION,
            Self::VacuumInto => &defined::vacuum_into::DEFINITION,
            Self::HeldCopy => &defined::held_copy::DEFINITION,
            Self::HeldCopyGentle => &defined::held_copy_gentle::DEFINITION,
            Self::Essential => &defined::essential::DEFINITION,
            Self::StopCopy => &defined::stop_copy::DEFINITION,
            Self::Sqlite3Rsync => &defined::sqlite3_rsync::DEFINITION,
            Self::Command => &defined::command::DEFINITION,
        }
    }

    /// What it is, in a few words.
    #[must_use]
    pub fn description(self) -> String {
        let value = self.to_possible_value();
        value.and_then(|value| value.get_help().map(ToString::to_string)).unwrap_or_default()
    }

    /// Every strategy, the control first.
    #[must_use]
    pub fn all() -> &'static [Self] {
        Self::value_variants()
    }

    /// What it runs at a site.
    #[must_use]
    pub fn procedure(self, site: &Site<'_>) -> Procedure {
        (self.definition().procedure)(site)
    }

    /// Which of the options it runs with, for the results.
    #[must_use]
    pub fn options(self, options: &StrategyOptions) -> Value {
        (self.definition().options)(options)
    }

    /// What it gives of a database that other programs write to.
    pub(crate) fn live_copy(self, in_wal: bool) -> LiveCopy {
        (self.definition().live_copy)(in_wal)
    }

    /// Refuses options of its own that it cannot run with; `is_used` where a scenario runs it.
    pub(crate) fn check(self, options: &StrategyOptions, is_used: bool) -> Result<(), OptionProblem> {
        (self.definition().check)(options, is_used)
    }
}

/// The name that scenarios, results and the command line have for it.
impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Only a variant that the command line leaves out would have no name there, and there is none.
        let value = self.to_possible_value().ok_or(fmt::Error)?;
        f.write_str(value.get_name())
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, path::Path};

    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_those_of_scenarios() {
        for strategy in Strategy::all() {
            assert_eq!(json!(strategy), json!(strategy.to_string()));
        }
    }

    #[test]
    fn each_has_a_definition_of_its_own() {
        // Two lines of the table with the same definition would run the same, unless options tell them apart.
        let folder = tempfile::tempdir().unwrap();
        let programs = Programs {
            journalbench: "journalbench".into(),
            cp: Some("cp".into()),
            sqlite3: Some("sqlite3".into()),
            sqlite3_rsync: Some("sqlite3_rsync".into()),
            ionice: Some("ionice".into()),
            fincore: Some("fincore".into()),
            rsync: Some("rsync".into()),
            sh: Some("sh".into()),
        };
        let mut options = StrategyOptions::default();
        options.command.line = Some("true".to_owned());
        let (live, folder) = (Path::new("/live.db"), folder.path());
        let site = Site { programs: &programs, options: &options, live, folder, counted_sync_delay: None };
        let procedures: HashSet<_> = Strategy::all().iter().map(|one| format!("{:?}", one.procedure(&site))).collect();
        assert_eq!(procedures.len(), Strategy::all().len(), "{procedures:#?}");
    }

    #[test]
    fn what_a_definition_says_is_what_its_procedure_does() {
        let folder = tempfile::tempdir().unwrap();
        let programs = Programs::find("journalbench".into());
        let options = StrategyOptions::default();
        let live = Path::new("/live.db");
        let (options, folder) = (&options, folder.path());
        let site = Site { programs: &programs, options, live, folder, counted_sync_delay: None };
        for strategy in Strategy::all() {
            let expected = match strategy.procedure(&site) {
                Procedure::Run(Task::WhileStopped(_)) => WriterRole::Stopped,
                Procedure::Run(Task::InWriter { .. }) => WriterRole::Copies,
                Procedure::Run(Task::Child(_)) | Procedure::Nothing | Procedure::Unavailable(_) => WriterRole::None,
            };
            assert_eq!(strategy.definition().writers, expected, "{strategy}");
            let is_nothing = matches!(strategy.procedure(&site), Procedure::Nothing);
            assert_eq!(strategy.definition().takes_snapshots, !is_nothing, "{strategy}");
        }
    }

    #[test]
    fn options_out_of_range_are_refused_by_the_key_of_their_own_strategy() {
        let mut options = StrategyOptions::default();
        for wait in [
            &mut options.backup_one_step,
            &mut options.cli_backup_timeout,
            &mut options.vacuum_into,
            &mut options.essential,
            &mut options.stop_copy,
        ] {
            wait.busy_timeout_ms = 3_600_001;
        }
        options.held_copy.busy_timeout_ms = 3_600_001;
        options.held_copy_gentle.writeback_bytes = Some(0);
        options.backup.pages_per_step = 0;
        options.backup_in_writer.pages_per_step = 0;
        for &strategy in Strategy::all() {
            let has_options = strategy.options(&options) != json!({}) || strategy == Strategy::Command;
            let problem = strategy.check(&options, true).err();
            assert_eq!(problem.is_some(), has_options, "{strategy}: {problem:?}");
            let table = format!("snapshots.options.{strategy}.");
            assert!(problem.is_none_or(|problem| problem.key.starts_with(&table)), "{strategy}");
            assert_eq!(strategy.check(&StrategyOptions::default(), false), Ok(()), "{strategy}");
        }
    }
}

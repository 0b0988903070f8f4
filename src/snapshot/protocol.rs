//! What the copying child process is told, and what it says.
//!
//! The strategies that are this program's own copy in a child process of its binary, because the process that has the live
//! database open may not open its file in any other way (`docs/sqlite.md`, 1). The child is told a [`Method`] and two paths on
//! its command line. It says on standard output how far it is and how long each part took, one [`ChildMessage`] a line in JSON.
//! It fails with a message on standard error and status 1, and leaves what it has written by then.
//!
//! How a copy is made is not said here: the strategies' own files do.

use std::{
    ffi::OsString,
    fmt,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
    str::FromStr,
    time::{Duration, Instant},
};

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    backup_api::CopyProgress,
    gentle::PaceResult,
    options::{BackupOptions, HoldOptions, WaitOptions},
};
use crate::io::{FileCounts, FileKind, IoCounts};

/// The hidden subcommand of the binary that is the copying child.
pub(crate) const COMMAND: &str = "copy-process";

/// How the child copies; as an argument of its command line, in JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// The backup API.
    Backup(BackupOptions),
    /// `VACUUM INTO`.
    VacuumInto(WaitOptions),
    /// What is essential, in a new database.
    Essential(WaitOptions),
    /// A held read transaction and the files, copied by this program `cp` or, where the options ask for that, by the child.
    HeldCopy(HeldCopy),
    /// A checkpoint of all of the WAL, where there is one, and the main file, copied by this program `cp`.
    CheckpointAndCopy(WaitOptions, #[serde(with = "any_path")] PathBuf),
}

/// What the child is told of a copy under a held read transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldCopy {
    /// The program `cp`.
    #[serde(with = "any_path")]
    pub cp: PathBuf,
    /// How the copy is made.
    pub options: HoldOptions,
    /// At which level of zstd the copy is compressed, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zstd_level: Option<i32>,
}

/// What the child says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChildMessage {
    /// How far it is.
    Progress(CopyProgress),
    /// A part has ended.
    Part(PartResult),
    /// How a copy at a pace went.
    Pace(PaceResult),
    /// What it asked of files; said last.
    Io(CopyIo),
}

/// What the copying child process asked of files: of the live database, whose pages it reads, and of the copy, which it writes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CopyIo {
    /// By kind of file; those of which nothing was asked are left out.
    pub files: Vec<CopyFileIo>,
    /// Times that it slept because a database was locked.
    pub lock_waits: u64,
    /// How long, in all.
    pub lock_wait_s: f64,
}

/// What it asked of one kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CopyFileIo {
    /// Which files.
    pub file: FileKind,
    /// How often, and how much.
    #[serde(flatten)]
    pub counts: FileCounts,
}

impl CopyIo {
    /// What was counted.
    #[must_use]
    pub fn new(counts: &IoCounts) -> Self {
        let of_kind = |file: FileKind| CopyFileIo { file, counts: *counts.of(file) };
        Self {
            files: FileKind::ALL.map(of_kind).into_iter().filter(|io| io.counts != FileCounts::default()).collect(),
            lock_waits: counts.lock_waits,
            lock_wait_s: counts.lock_wait.as_secs_f64(),
        }
    }
}

/// A part of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CopyPart")]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Waiting for the lock that it is done under.
    Lock,
    /// The main file.
    CopyMain,
    /// The WAL.
    CopyWal,
    /// The WAL of the copy, moved into the copy.
    Fold,
    /// The WAL of the live database, moved into its main file.
    Checkpoint,
    /// The copy, written to the disk at a pace, when the lock has been given back.
    WriteBack,
}

/// How long a part took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "CopyPartResult")]
pub struct PartResult {
    /// The part.
    pub part: Part,
    /// How long it took, in seconds.
    pub duration_s: f64,
}

impl Part {
    /// In the order in which a copy comes to them.
    pub const ALL: [Self; 6] =
        [Self::Lock, Self::Checkpoint, Self::CopyMain, Self::CopyWal, Self::Fold, Self::WriteBack];

    /// The part that began at an instant and ends now.
    pub(super) fn since(self, begin: Instant) -> PartResult {
        PartResult { part: self, duration_s: begin.elapsed().as_secs_f64() }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lock => "lock",
            Self::CopyMain => "main file",
            Self::CopyWal => "WAL",
            Self::Fold => "fold",
            Self::Checkpoint => "checkpoint",
            Self::WriteBack => "write-back",
        })
    }
}

impl FromStr for Method {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        serde_json::from_str(text)
    }
}

impl ChildMessage {
    /// Says it to the parent process.
    ///
    /// # Errors
    /// The parent no longer listens.
    pub(super) fn send(&self) -> Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, self)?;
        writeln!(out)?;
        Ok(out.flush()?)
    }
}

/// The argument after which the child is told by how much every sync is to take longer, in microseconds, while it counts.
pub(crate) const COUNTED: &str = "counted-sync-delay-us";

/// The command of the child process that copies `live` to `out`. Paths must be absolute. It counts what it asks of files where a
/// delay of its syncs is named, if it be none.
#[must_use]
pub fn command(
    journalbench: &Path,
    method: &Method,
    live: &Path,
    out: &Path,
    counted_sync_delay: Option<Duration>,
) -> Command {
    let mut command = Command::new(journalbench);
    // Numbers, and paths of any bytes: there is nothing in a method that JSON cannot say.
    let method = serde_json::to_string(method).unwrap_or_default();
    command.args([COMMAND.into(), OsString::from(method), live.into(), out.into()]);
    if let Some(delay) = counted_sync_delay {
        command.args([format!("--{COUNTED}"), delay.as_micros().to_string()]);
    }
    command
}

/// A path in JSON: its text, or its bytes where they are none.
mod any_path {
    use std::{
        ffi::OsString,
        os::unix::ffi::{OsStrExt as _, OsStringExt as _},
        path::{Path, PathBuf},
    };

    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};

    #[derive(Deserialize)]
    #[serde(untagged)]
    enum AnyPath {
        Text(PathBuf),
        Bytes(Vec<u8>),
    }

    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        match path.to_str() {
            Some(text) => serializer.serialize_str(text),
            None => path.as_os_str().as_bytes().serialize(serializer),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        Ok(match AnyPath::deserialize(deserializer)? {
            AnyPath::Text(path) => path,
            AnyPath::Bytes(bytes) => OsString::from_vec(bytes).into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    #[test]
    fn a_method_survives_the_command_line_whatever_its_path() {
        for cp in [
            OsString::from("/usr/bin/cp"),
            OsString::from("/a b/\"'\n/cp"),
            OsString::from_vec(b"/\xff\xfe/cp".to_vec()),
        ] {
            let method =
                Method::HeldCopy(HeldCopy { cp: cp.into(), options: HoldOptions::default(), zstd_level: Some(3) });
            let (program, live, out) = (Path::new("/journalbench"), Path::new("/live.db"), Path::new("/out.db"));
            let command = command(program, &method, live, out, None);
            let told = command.get_args().nth(1).and_then(|method| method.to_str()).unwrap();
            assert_eq!(told.parse::<Method>().unwrap(), method);
        }
    }
}

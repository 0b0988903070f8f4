//! Whether what is measured on a machine can be trusted, before anything is measured.
//!
//! [`read`] looks around, in a few seconds; [`examine`] says what that means: a function of what was read, without a clock or a
//! file. What is wrong with a machine is wrong by the limits of [`crate::analysis`], by which `run` warns afterwards.

mod checks;
mod read;

use std::{fmt, path::PathBuf};

pub(crate) use checks::examine;
pub(crate) use read::read;

use crate::{env::Environment, results::MachineUse};

/// What was read of a machine and of the folder that is to be measured in.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    /// The folder, which need not be there yet.
    pub folder: PathBuf,
    /// Why nothing can be written there; `None` where it can.
    pub refused: Option<String>,
    /// The machine, its programs, and the file system of the folder.
    pub environment: Environment,
    /// What the machine did while nothing of this program ran.
    pub at_rest: MachineUse,
    /// Bytes that are free in the folder.
    pub free_bytes: Option<u64>,
    /// Bytes of memory that programs can have.
    pub available_memory_bytes: Option<u64>,
    /// What a run would need.
    pub demand: Demand,
}

/// What a scenario asks of a machine.
#[derive(Debug, Clone)]
pub(crate) struct Demand {
    /// The scenario's name.
    pub scenario: String,
    /// Bytes that its database has.
    pub database_bytes: u64,
    /// Bytes that it needs in the folder at its peak.
    pub room_bytes: u64,
    /// The share of the processors' time that the hypervisor may give to other machines.
    pub steal_share_max: f64,
}

/// What was found out about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// What was looked at.
    pub check: Check,
    pub level: Level,
    /// What is there, in words.
    pub found: String,
    /// What to do about it; `None` where nothing needs to be done.
    pub remedy: Option<String>,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// It could not be found out, so it may be anything.
    Unknown,
    /// Figures have something in them that is not SQLite's.
    Warning,
    /// Figures say nothing, or there would be none.
    Bad,
}

/// What is looked at, in the order in which it is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    FileSystem,
    Fsync,
    Room,
    Memory,
    Processors,
    Governor,
    Steal,
    ProcessorPressure,
    IoPressure,
    Timer,
    Sqlite,
    Programs,
    Build,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Unknown => "unknown",
            Self::Warning => "warning",
            Self::Bad => "bad",
        })
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::FileSystem => "file system",
            Self::Fsync => "fsync",
            Self::Room => "free room",
            Self::Memory => "memory",
            Self::Processors => "processors",
            Self::Governor => "governor",
            Self::Steal => "steal",
            Self::ProcessorPressure => "other programs",
            Self::IoPressure => "other I/O",
            Self::Timer => "timer",
            Self::Sqlite => "SQLite",
            Self::Programs => "programs",
            Self::Build => "build",
        })
    }
}

//! What a reader should know before believing a figure.
//!
//! A closed set, kept in the results and shown in every report. Which of them there are is found by
//! [`crate::analysis`]; none of them stops a run.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Part;

/// One thing to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "warning", rename_all = "snake_case")]
pub enum Warning {
    /// The program was built without optimisation.
    DebugBuild,
    /// The databases lie on a file system where fsync does nothing.
    NoDurability {
        /// Its type.
        file_system: String,
    },
    /// The databases lie on another machine's disk, or are served by a program.
    RemoteFileSystem {
        /// Its type.
        file_system: String,
    },
    /// The file system was told that a sync need not reach the disk.
    NoBarriers {
        /// By this mount option.
        option: String,
    },
    /// The load, those who read, the copy and the kernel shared few processors.
    FewProcessors {
        /// So many.
        processors: usize,
    },
    /// The clock of the processors was kept low while they had little to do.
    SlowGovernor {
        /// By these.
        governors: Vec<String>,
    },
    /// A sleep until an instant ended late.
    LateTimer {
        /// So much, one of a hundred, in microseconds.
        late_us: u64,
    },
    /// Memory could not hold the database and its copy.
    LargerThanMemory {
        /// Of the database.
        bytes: u64,
        /// Of the machine.
        memory_bytes: u64,
    },
    /// SQLite is of a version with the WAL-reset bug.
    WalReset {
        /// Whose SQLite.
        program: String,
        /// Its version.
        version: String,
    },
    /// The generator was late by more than a tenth of the response time that it measured.
    GeneratorBound {
        /// In these trials and phases, for these operations.
        phases: Vec<String>,
    },
    /// More was offered than the database could do: response times are lengths of a queue.
    Saturated {
        /// In these trials.
        trials: Vec<String>,
    },
    /// Something else had too much of the machine.
    Disturbed {
        /// By what, and how much of the time at the most, as in `steal (8 % at most)`.
        by: Vec<String>,
        /// In these trials.
        trials: Vec<String>,
    },
    /// Snapshots were given less than ten times as long as a `cp` took.
    ShortDeadline {
        /// In these trials.
        trials: Vec<String>,
    },
    /// The databases of the trials shared blocks with the dataset.
    CopyOnWrite,
    /// An fsync took much longer before one run or sitting than before another.
    UnequalFsync {
        /// Median time where it was least, in microseconds.
        least_us: u64,
        /// Median time where it was most, in microseconds.
        most_us: u64,
    },
    /// Not all trials were run that were to be.
    Unfinished {
        /// So many were.
        trials: usize,
        /// Of so many.
        of: usize,
    },
    /// The results are of some shards of the scenario.
    Part(Part),
    /// The trial is not whole, or something went wrong in it.
    Incomplete {
        /// Of this trial.
        trial: String,
        /// Why: all of its problems.
        reason: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DebugBuild => f.write_str("journalbench was built without optimisation: use `cargo run --release`"),
            Self::NoDurability { file_system } => {
                write!(f, "the databases lie on {file_system}, where fsync does nothing: no durability was measured")
            }
            Self::RemoteFileSystem { file_system } => f.write_str(&remote_file_system(file_system)),
            Self::NoBarriers { option } => f.write_str(&no_barriers(option)),
            Self::FewProcessors { processors } => f.write_str(&few_processors(*processors)),
            Self::SlowGovernor { governors } => f.write_str(&slow_governor(governors)),
            Self::LateTimer { late_us } => f.write_str(&late_timer(*late_us)),
            Self::LargerThanMemory { bytes, memory_bytes } => f.write_str(&larger_than_memory(*bytes, *memory_bytes)),
            Self::WalReset { program, version } => write!(
                f,
                "{program} uses SQLite {version}, which has the WAL-reset bug (SQLite 3.51.3 fixed it, and a distribution may have \
                taken over that fix)"
            ),
            Self::GeneratorBound { phases } => write!(
                f,
                "the load generator was late by more than a tenth of the p99 response time, so a part of that p99 is \
                its own, in {}",
                some(phases, "cases")
            ),
            Self::Saturated { trials } => write!(
                f,
                "the load was more than the database could do, so the response times only show how long the queue was, in {}",
                some(trials, "trials")
            ),
            Self::Disturbed { by, trials } => write!(
                f,
                "the machine was busy with something else, by {}, in {}",
                by.join(" and "),
                some(trials, "trials")
            ),
            Self::ShortDeadline { trials } => write!(
                f,
                "a snapshot had less than ten times as long as cp took under the same journal mode, so a strategy that was stopped \
                at its deadline may only have been a little slower, in {}",
                some(trials, "trials")
            ),
            Self::CopyOnWrite => f.write_str(
                "the database of each trial began as a reflink of the dataset, so what was measured includes the file system's \
                copying on write",
            ),
            Self::UnequalFsync { least_us, most_us } => write!(
                f,
                "the median fsync took {least_us} us before the trials of one sitting and {most_us} us before those of another: \
                trials of different sittings may differ for that alone, also those of a pair that was run in two of them"
            ),
            Self::Unfinished { trials, of } => write!(
                f,
                "only {trials} of {of} trials are here: `journalbench run --resume` with the folder of these results runs the \
                others"
            ),
            Self::Part(part) => write!(
                f,
                "this is a part, {part}: `journalbench merge` with the results of all shards makes the whole \
                (first `journalbench run --resume`, where a shard was stopped)"
            ),
            Self::Incomplete { trial, reason } => write!(f, "{trial}: {reason}"),
        }
    }
}

fn remote_file_system(file_system: &str) -> String {
    format!(
        "the databases lie on {file_system}: its server or its network was measured, and SQLite's locks are only as good as its \
        own"
    )
}

fn no_barriers(option: &str) -> String {
    format!(
        "the file system is mounted with {option}: an fsync did not wait for the disk, and no durability was measured"
    )
}

fn few_processors(processors: usize) -> String {
    let processors = if processors == 1 { "one processor".to_owned() } else { format!("{processors} processors") };
    format!(
        "the load generator, the database, the copy and the kernel shared {processors}: every time has in it what they waited for \
        each other"
    )
}

fn slow_governor(governors: &[String]) -> String {
    format!(
        "the clock of the processors was governed by {}, so that short work at a low rate took longer than it has to",
        governors.join(", ")
    )
}

fn late_timer(late_us: u64) -> String {
    format!(
        "before the trials began, one of a hundred sleeps ended {late_us} us late or later: response times have that in them"
    )
}

fn larger_than_memory(bytes: u64, memory_bytes: u64) -> String {
    format!(
        "the database has {} MB and the machine {} MB of memory, which does not hold it beside its copy: the disk was measured, too",
        bytes / 1_000_000,
        memory_bytes / 1_000_000
    )
}

/// A list's length and its first entries.
fn some(names: &[String], of_what: &str) -> String {
    const MOST: usize = 4;
    let shown = names[..names.len().min(MOST)].join(", ");
    match names.len() {
        1 => shown,
        all @ ..=MOST => format!("{all} {of_what}: {shown}"),
        all => format!("{all} {of_what}: {shown} and {} more", all - MOST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_list_is_cut_short() {
        let names: Vec<String> = (1..=6).map(|number| format!("trial-{number}")).collect();
        assert_eq!(some(&names[..1], "trials"), "trial-1");
        assert_eq!(some(&names[..2], "trials"), "2 trials: trial-1, trial-2");
        assert_eq!(some(&names, "trials"), "6 trials: trial-1, trial-2, trial-3, trial-4 and 2 more");
    }
}

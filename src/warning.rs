//! What a reader should know before believing a figure.
//!
//! A closed set: each is found by the code that can know, kept in the results, and shown in every report. None of them
//! stops a run.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One thing to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "warning", rename_all = "snake_case")]
pub enum Warning {
    /// The program was built without optimisation.
    DebugBuild,
    /// The databases lie on a file system where fsync does nothing.
    NoDurability {
        /// Its type.
        file_system: String,
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
    /// Snapshots were given less than ten times as long as a `cp` took.
    ShortDeadline {
        /// In these trials.
        trials: Vec<String>,
    },
    /// The databases of the trials shared blocks with the dataset.
    CopyOnWrite,
    /// The trial is not whole.
    Incomplete {
        /// Of this trial.
        trial: String,
        /// Why.
        reason: String,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DebugBuild => f.write_str("built without optimisation: use `cargo run --release`"),
            Self::NoDurability { file_system } => {
                write!(f, "the databases lie on {file_system}, where fsync does nothing: no durability was measured")
            }
            Self::WalReset { program, version } => {
                write!(
                    f,
                    "{program} has SQLite {version}, which has the WAL-reset bug (fixed in 3.51.3, unless backported)"
                )
            }
            Self::GeneratorBound { phases } => write!(
                f,
                "the generator's own lag was over a tenth of the p99 response time, so that p99 (marked * in the tables) is partly its own, in {}",
                some(phases, "cases")
            ),
            Self::Saturated { trials } => write!(
                f,
                "more was offered than the database could do, so response times are lengths of a queue, in {}",
                some(trials, "trials")
            ),
            Self::ShortDeadline { trials } => write!(
                f,
                "a deadline was less than ten times what cp took under the same journal mode, so that who was stopped at it may \
                only have been a little slower, in {}",
                some(trials, "trials")
            ),
            Self::CopyOnWrite => f.write_str(
                "each trial's database began as a reflink of the dataset: the file system's copying on write is a part of what \
                was measured",
            ),
            Self::Incomplete { trial, reason } => write!(f, "{trial}: {reason}"),
        }
    }
}

/// A list's length and its first entries.
fn some(names: &[String], of_what: &str) -> String {
    const MOST: usize = 4;
    let shown = names[..names.len().min(MOST)].join(", ");
    match names.len() {
        all @ ..=MOST => format!("{all} {of_what}: {shown}"),
        all => format!("{all} {of_what}: {shown} and {} more", all - MOST),
    }
}

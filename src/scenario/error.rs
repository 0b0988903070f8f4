//! Why a scenario is refused: the file, the key, what was found and what is allowed.

use std::path::PathBuf;

use super::thresholds::ThresholdProblem;

/// Why a scenario is refused.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// There is no file of this name, and no built-in scenario either.
    #[error("{}: no such file, and no scenario of that name is built in{}; `journalbench scenarios` lists those that are", name.display(), meant(*nearest))]
    Unknown {
        /// The name.
        name: PathBuf,
        /// The built-in scenario whose name is most like it.
        nearest: Option<&'static str>,
    },
    /// The file could not be read.
    #[error("cannot read the scenario {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// It is no TOML.
    #[error("{}: {problem}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what. It is no source, or it would be said twice.
        problem: String,
    },
    /// A key is unknown, missing or of another type.
    #[error("{}: {key}: {problem}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The key, or the table that it is in.
        key: String,
        /// What was found and what is expected.
        problem: String,
    },
    /// A value is out of range.
    #[error("{}: {key} = {found}: {allowed}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// Its value.
        found: String,
        /// What is allowed.
        allowed: String,
    },
    /// A threshold cannot be read, or could never be known to be kept.
    #[error("{}: {problem}", path.display())]
    Threshold {
        /// The file.
        path: PathBuf,
        /// Which one, where in it, and what may stand there.
        problem: ThresholdProblem,
    },
    /// The trace file is no list of `t_s,ops_per_s`.
    #[error("load.trace = {}: {problem}; expected lines of t_s,ops_per_s under that heading, times ascending from 0", path.display())]
    Trace {
        /// The trace file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An override is not of the form `KEY=VALUE`.
    #[error("--set {0}: expected KEY=VALUE, as in --set load.rate_ops=17000")]
    Set(String),
    /// An override names a path from here, and here is no text in UTF-8.
    #[error("--set {0}: the path to the current folder is not UTF-8; name the file by an absolute path")]
    SetHere(String),
    /// Two overrides say the same thing in two ways.
    #[error("--set {0} and --set {1}: expected one of them")]
    SetTwice(String, String),
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!(" (did you mean `{nearest}`?)"))
}

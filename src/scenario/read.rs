//! From the text of a scenario to a [`Scenario`]: read, overridden, validated.

use std::{
    io,
    path::{Path, PathBuf},
};

use super::{Scenario, ScenarioError, file, from_keys, overrides, thresholds, trace, validate};
use crate::work;

/// Bytes of a scenario file at most.
const BYTES_MOST: u64 = 1 << 20;

impl Scenario {
    /// Reads, overrides and validates a scenario file. An override is `KEY=VALUE` with a dotted key; the value is TOML,
    /// or else a string.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ScenarioError> {
        let read = |source| ScenarioError::Read { path: path.to_owned(), source };
        let no_text = |_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8");
        let bytes = work::read_at_most(path, BYTES_MOST).map_err(read)?;
        let text = String::from_utf8(bytes).map_err(no_text).map_err(read)?;
        let name = path.file_stem().map_or_else(|| "scenario".into(), |stem| stem.to_string_lossy().into_owned());
        Self::parse(&name, &text, path, overrides)
    }

    /// As [`Self::load`], from text; `path` is for messages, and what the scenario names lies beside it.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn parse(name: &str, text: &str, path: &Path, overrides: &[String]) -> Result<Self, ScenarioError> {
        Self::parse_with(name, text, path, overrides, &|trace| trace::read(&beside(path, trace)))
    }

    /// As [`Self::parse`], with what reads a trace that the scenario names.
    pub(super) fn parse_with(
        name: &str,
        text: &str,
        path: &Path,
        overrides: &[String],
        read_trace: &dyn Fn(&Path) -> Result<Vec<trace::TracePoint>, ScenarioError>,
    ) -> Result<Self, ScenarioError> {
        let syntax =
            |source: toml::de::Error| ScenarioError::Syntax { path: path.to_owned(), problem: source.to_string() };
        let mut table: toml::Table = text.parse().map_err(syntax)?;
        overrides::set_all(&mut table, overrides)?;
        let mut keys: file::Keys = serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|error| {
            let key = match error.path().to_string() {
                at if at == "." => "at the top level".to_owned(),
                at => at,
            };
            ScenarioError::Key { path: path.to_owned(), key, problem: error.inner().to_string().trim().to_owned() }
        })?;
        keys.dataset.path = keys.dataset.path.map(|file| beside(path, &file));
        keys.target.program = keys.target.program.map(|file| beside(path, &file));
        let refuse = |(key, found, allowed)| ScenarioError::Value { path: path.to_owned(), key, found, allowed };
        if let Some(file) = keys.dataset.path.as_ref().filter(|file| file.to_str().is_none()) {
            let allowed = "expected a path in UTF-8, as results name it: move it, or the scenario".to_owned();
            return Err(refuse(("dataset.path", file.display().to_string(), allowed)));
        }
        validate::resolve_size(&mut keys).and_then(|()| validate::check(&keys)).map_err(refuse)?;
        let thresholds =
            thresholds::read(&keys).map_err(|problem| ScenarioError::Threshold { path: path.to_owned(), problem })?;
        let trace_points = match &keys.load.trace {
            Some(trace) => read_trace(trace)?,
            None => Vec::new(),
        };
        from_keys::plan(file::Record { name: name.to_owned(), keys, trace_points }, thresholds).map_err(refuse)
    }
}

/// A file that a scenario names: relative to its own, or absolute.
fn beside(scenario: &Path, file: &Path) -> PathBuf {
    scenario.parent().unwrap_or(Path::new("")).join(file)
}

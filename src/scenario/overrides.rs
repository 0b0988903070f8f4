//! Keys that the command line sets: `--set KEY=VALUE`.

use super::error::ScenarioError;

/// Sets a dotted key in a table, making the tables on the way.
pub(super) fn set(table: &mut toml::Table, assignment: &str) -> Result<(), ScenarioError> {
    /// Three ways to say one thing: the one that is given replaces what the file says.
    const DATASETS: [&str; 3] = ["dataset.rows", "dataset.size", "dataset.path"];

    let refuse = || ScenarioError::Set(assignment.to_owned());
    let (key, value) = assignment.split_once('=').ok_or_else(refuse)?;
    let (key, value) = (key.trim(), value.trim());
    let value = format!("value = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("value").filter(|_| parsed.is_empty()))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut parts: Vec<&str> = key.split('.').collect();
    let last = parts.pop().filter(|last| !last.is_empty()).ok_or_else(refuse)?;
    let mut table = table;
    for part in parts {
        let entry = table.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        table = entry.as_table_mut().ok_or_else(refuse)?;
    }
    if DATASETS.contains(&key) {
        DATASETS.iter().filter_map(|key| key.split_once('.')).for_each(|(_, other)| drop(table.remove(other)));
    }
    table.insert(last.to_owned(), from_here(key, value));
    Ok(())
}

/// A path on the command line is relative to where that is given, not to the scenario.
fn from_here(key: &str, value: toml::Value) -> toml::Value {
    match value {
        toml::Value::String(path) if ["dataset.path", "load.trace"].contains(&key) => {
            let absolute = std::path::absolute(&path).ok().and_then(|path| path.into_os_string().into_string().ok());
            toml::Value::String(absolute.unwrap_or(path))
        }
        other => other,
    }
}

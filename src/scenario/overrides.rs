//! Keys that the command line sets: `--set KEY=VALUE`.

use super::error::ScenarioError;

/// Three ways to say one thing: the one that is given replaces what the file says.
const DATASETS: [&str; 3] = ["dataset.rows", "dataset.size", "dataset.path"];

/// Sets every key in a table, in their order.
pub(super) fn set_all(table: &mut toml::Table, assignments: &[String]) -> Result<(), ScenarioError> {
    // The file is replaced, but neither of two overrides is meant to be.
    let dataset_key = |assignment: &&String| {
        let key = assignment.split_once('=').map_or("", |(key, _)| key.trim());
        DATASETS.into_iter().find(|dataset_key| *dataset_key == key)
    };
    let mut datasets = assignments.iter().filter_map(|one| Some((dataset_key(&one)?, one)));
    if let Some((first_key, first)) = datasets.next()
        && let Some((_, other)) = datasets.find(|(key, _)| *key != first_key)
    {
        return Err(ScenarioError::SetTwice(first.clone(), other.clone()));
    }
    assignments.iter().try_for_each(|assignment| set(table, assignment))
}

/// Sets a dotted key in a table, making the tables on the way.
fn set(table: &mut toml::Table, assignment: &str) -> Result<(), ScenarioError> {
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
    let value = from_here(key, value).ok_or_else(|| ScenarioError::SetHere(assignment.to_owned()))?;
    table.insert(last.to_owned(), value);
    Ok(())
}

/// A path on the command line is relative to where that is given, not to the scenario; nothing where that has no text.
fn from_here(key: &str, value: toml::Value) -> Option<toml::Value> {
    match value {
        toml::Value::String(path) if ["dataset.path", "load.trace", "target.program"].contains(&key) => {
            let absolute = std::path::absolute(&path).map_or(path.into(), std::path::PathBuf::into_os_string);
            absolute.into_string().ok().map(toml::Value::String)
        }
        other => Some(other),
    }
}

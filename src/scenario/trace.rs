//! A trace file: the rate of arrivals over time, as exported from a dashboard.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::ScenarioError;
use crate::work;

/// Bytes of a trace file at most: a line for each second of a week.
const BYTES_MOST: u64 = 16 << 20;

/// Seconds: 30 years.
const TIME_MOST_S: f64 = 1e9;

/// A line of a trace file: `t_s,ops_per_s`. The rate holds until the next line.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TracePoint {
    /// Seconds since the start of the load.
    pub t_s: f64,
    /// Operations that arrive, a second.
    pub ops_per_s: f64,
}

/// Reads a trace; every rate is checked, so that a schedule can be made of it.
pub fn read(path: &Path) -> Result<Vec<TracePoint>, ScenarioError> {
    let bytes = work::read_regular(path, BYTES_MOST)
        .map_err(|error| ScenarioError::Trace { path: path.to_owned(), problem: error.to_string() })?;
    parse(path, &bytes)
}

/// As [`read`], of what is in the file; `path` is for messages.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Vec<TracePoint>, ScenarioError> {
    let refuse = |problem: String| ScenarioError::Trace { path: path.to_owned(), problem };
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes);
    let points: Result<Vec<TracePoint>, _> = reader.deserialize().collect();
    let points = points.map_err(|error| refuse(error.to_string()))?;
    check(&points).map_err(refuse)?;
    Ok(points)
}

/// Refuses points that no schedule can be made of.
pub fn check(points: &[TracePoint]) -> Result<(), String> {
    let mut last_s = None;
    for (line, TracePoint { t_s, ops_per_s }) in (2..).zip(points) {
        let is_in_order = match last_s {
            None => *t_s == 0.0,
            Some(last_s) => *t_s > last_s && *t_s <= TIME_MOST_S,
        };
        if !is_in_order {
            return Err(format!("line {line}: t_s = {t_s}"));
        }
        if !(0.0..=1e6).contains(ops_per_s) {
            return Err(format!("line {line}: ops_per_s = {ops_per_s}, from 0 to 1000000"));
        }
        last_s = Some(*t_s);
    }
    if points.is_empty() { Err("it has no lines".to_owned()) } else { Ok(()) }
}

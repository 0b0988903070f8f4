//! A trace file: the rate of arrivals over time, as exported from a dashboard.

use std::path::Path;

use super::{error::ScenarioError, file::TracePoint};

/// Reads a trace; every rate is checked, so that a schedule can be made of it.
pub fn read(path: &Path) -> Result<Vec<TracePoint>, ScenarioError> {
    let refuse = |problem: String| ScenarioError::Trace { path: path.to_owned(), problem };
    let mut reader =
        csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(|error| refuse(error.to_string()))?;
    let mut points: Vec<TracePoint> = Vec::new();
    for line in reader.deserialize() {
        let point: TracePoint = line.map_err(|error| refuse(error.to_string()))?;
        let last_s = points.last().map(|last| last.t_s);
        if last_s.is_some_and(|last_s| point.t_s <= last_s) || (last_s.is_none() && point.t_s != 0.0) {
            return Err(refuse(format!("line {}: t_s = {}", points.len() + 2, point.t_s)));
        }
        if !(0.0..=1e6).contains(&point.ops_per_s) {
            return Err(refuse(format!(
                "line {}: ops_per_s = {}, from 0 to 1000000",
                points.len() + 2,
                point.ops_per_s
            )));
        }
        points.push(point);
    }
    if points.is_empty() { Err(refuse("it has no lines".to_owned())) } else { Ok(points) }
}

//! The tables of a report: one row a trial, or one a trial and kind of operation.

use super::{Column, Group, Table, count, milliseconds, number};
use crate::{
    results::{Distribution, OperationResult, P999_LEAST, PhaseName, PhaseResult, Placement, TrialResult},
    workload::Kind,
};

/// What stands above the tables of response times.
pub const RESPONSE_NOTE: &str = "Response time in milliseconds, from the instant an operation was due, ranked over \
    everything due. \"no answer\": so many were not served in time. \"few\": too few operations for that figure. *: the \
    generator's own lag is over a tenth of it. \"snapshot\" is while it ran, in steps of 10 ms, and \"recovery\" after it, \
    both together as long for every strategy; the control has recovery only; of several the worst is shown. \
    \"no commit for\": the longest stretch without one, in milliseconds.";

/// Percentiles from fewer operations than these are not shown.
const P50_LEAST: u64 = 10;
const P99_LEAST: u64 = 100;

/// Requests, SQL operations and commits a second, offered and achieved, in the baseline.
pub fn rates(group: &Group<'_>) -> Table {
    let columns = columns(
        &["mode", "strategy"],
        &["requests/s", "SQL operations/s", "commits/s", "WAL in the trial at most, MB"],
    );
    let row = |trial: &&TrialResult| {
        let mut cells = labels(trial);
        match trial.phase(PhaseName::Baseline) {
            Some(phase) => cells.extend([
                format!("{} / {}", count(phase.offered_rate_ops), count(phase.achieved_rate_ops)),
                format!("{} / {}", count(phase.offered_sql_per_s), count(phase.achieved_sql_per_s)),
                format!("{} / {}", count(phase.offered_commits_per_s), count(phase.achieved_commits_per_s)),
                number(trial.wal_bytes_max as f64 / 1e6),
            ]),
            None => cells.extend([trial.status.to_string(), String::new(), String::new(), String::new()]),
        }
        cells
    };
    Table { columns, rows: group.trials.iter().map(row).collect() }
}

/// Response times of one kind of operation, at the baseline, while snapshots ran and after them.
pub fn response(group: &Group<'_>, kind: Kind) -> Table {
    let mut columns = columns(&["mode", "strategy", "when"], &["due", "p50", "p99", "p99.9", "max"]);
    if kind == Kind::Announce {
        columns.push(Column { title: "no commit for".into(), numbers: true });
    }
    let mut rows = Vec::new();
    for trial in &group.trials {
        for (when, phase) in shown(trial, kind) {
            let Some(operation) = phase.operation(kind) else { continue };
            let mut cells = labels(trial);
            cells.push(when);
            cells.push(count(operation.due as f64));
            cells.extend(times(operation));
            if kind == Kind::Announce {
                cells.push(number(phase.longest_without_commit_s * 1e3));
            }
            rows.push(cells);
        }
    }
    Table { columns, rows }
}

/// The phases of a trial that are shown, and when they were: of several of a name, the worst.
fn shown(trial: &TrialResult, kind: Kind) -> Vec<(String, &PhaseResult)> {
    let of_name = |name| {
        let phase = worst(trial, name, kind)?;
        let all = trial.phases.iter().filter(|phase| phase.name == name).count();
        Some((if all == 1 { name.to_string() } else { format!("{name}, worst of {all}") }, phase))
    };
    [PhaseName::Baseline, PhaseName::Snapshot, PhaseName::Recovery].into_iter().filter_map(of_name).collect()
}

/// Of the phases of a name, the one whose 99th percentile for a kind of operation is the largest.
pub fn worst(trial: &TrialResult, name: PhaseName, kind: Kind) -> Option<&PhaseResult> {
    // No answer is later than every time; a phase in which nothing was due has no say.
    let p99_us = |phase: &&PhaseResult| {
        let operation = phase.operation(kind).filter(|operation| operation.due > 0);
        operation.map_or(0, |operation| operation.response.p99_us.unwrap_or(u64::MAX))
    };
    trial.phases.iter().filter(|phase| phase.name == name).max_by_key(p99_us)
}

/// What went wrong with operations, where anything did: one row a trial, phase and kind.
pub fn errors(group: &Group<'_>) -> Option<Table> {
    let mut columns = columns(&["mode", "strategy", "when", "kind", "errors"], &["of", "lost writes"]);
    columns.swap(4, 5);
    let mut rows = Vec::new();
    for trial in &group.trials {
        for phase in trial.phases.iter().filter(|phase| phase.name != PhaseName::Warmup) {
            for operation in &phase.operations {
                let found = failures(operation);
                if found.is_empty() && operation.lost_writes == 0 {
                    continue;
                }
                let mut cells = labels(trial);
                cells.extend([phase.name.to_string(), operation.kind.to_string(), count(operation.due as f64)]);
                cells.extend([found, count(operation.lost_writes as f64)]);
                rows.push(cells);
            }
        }
    }
    (!rows.is_empty()).then_some(Table { columns, rows })
}

/// The worst phase in which a snapshot ran; for the control, the time that others have for theirs.
pub fn while_it_ran(trial: &TrialResult) -> Option<&PhaseResult> {
    worst(trial, PhaseName::Snapshot, Kind::Announce).or_else(|| trial.phase(PhaseName::Recovery))
}

/// A time, or why there is none.
fn time(value: Option<u64>, due: u64) -> String {
    match value {
        Some(time_us) => milliseconds(time_us),
        None if due == 0 => "-".to_owned(),
        None => "no answer".to_owned(),
    }
}

/// The 99th percentile of the response time.
pub fn p99_of(operation: &OperationResult) -> String {
    if operation.due < P99_LEAST { "few".to_owned() } else { time(operation.response.p99_us, operation.due) }
}

fn times(operation: &OperationResult) -> [String; 4] {
    let due = operation.due;
    let Distribution { p50_us, p999_us, max_us, .. } = operation.response;
    let enough = |least, value| if due < least { "few".to_owned() } else { time(value, due) };
    let p99 = if operation.generator_bound { format!("{} *", p99_of(operation)) } else { p99_of(operation) };
    [enough(P50_LEAST, p50_us), p99, enough(P999_LEAST, p999_us), time(max_us, due)]
}

/// The 99th percentiles of the baseline's windows that are as long as the phase.
pub fn placed(placement: Placement) -> String {
    let text = |time: Option<u64>| time.map_or_else(|| "no answer".to_owned(), milliseconds);
    let Placement { windows, windows_below, .. } = placement;
    let (least, most) = (text(placement.p99_least_us), text(placement.p99_most_us));
    let range = if least == most { most } else { format!("{least} to {most}") };
    format!("{range}; {windows_below} of {windows} lower")
}

/// What became of the operations that were not served, where there are any.
fn failures(operation: &OperationResult) -> String {
    let counts = operation.counts;
    let failures = operation.failures.iter().map(|(failure, times)| (failure.to_string(), *times));
    let others = [("timed out", counts.timed_out), ("dropped", counts.dropped), ("never served", counts.never_served)];
    let all = failures.chain(others.map(|(name, times)| (name.to_owned(), times)));
    let parts = all.filter(|(_, times)| *times > 0).map(|(name, times)| format!("{name} {}", count(times as f64)));
    parts.collect::<Vec<_>>().join(", ")
}

/// What a row begins with: the journal mode and the strategy.
pub fn labels(trial: &TrialResult) -> Vec<String> {
    let strategy = match trial.repetition {
        1 => trial.strategy.to_string(),
        again => format!("{} ({again})", trial.strategy),
    };
    vec![trial.journal_mode.to_string(), strategy]
}

/// Columns of text, then columns of numbers.
pub fn columns(texts: &[&str], numbers: &[&str]) -> Vec<Column> {
    let column = |numbers| move |title: &&str| Column { title: (*title).to_owned(), numbers };
    texts.iter().map(column(false)).chain(numbers.iter().map(column(true))).collect()
}

//! The tables of a report: one row a trial, or one a trial and kind of operation.

use super::{Column, Group, Table, count, milliseconds, number};
use crate::{
    results::{
        Distribution, OperationResult, P999_LEAST, PhaseName, PhaseResult, Placement, SnapshotResult, TrialResult,
    },
    workload::Kind,
};

/// What stands above the tables of response times.
pub const RESPONSE_NOTE: &str = "Response time in milliseconds, from the instant an operation was due, ranked over \
    everything due. \"no answer\": so many were not served in time. \"few\": too few operations for that figure. *: the \
    generator's own lag is over a tenth of it. \"snapshot\" is while it ran, in steps of 10 ms, and \"recovery\" after it, \
    both together as long for every strategy; the control has recovery only. \"no commit for\": the longest stretch \
    without one, in milliseconds. \"baseline windows' p99\": what windows of the baseline that are as long as the snapshot \
    had, and how many of them were lower than its own.";

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

/// Response times of one kind of operation, at the baseline and while the snapshot ran.
pub fn response(group: &Group<'_>, kind: Kind) -> Table {
    let mut columns = columns(&["mode", "strategy", "when"], &["due", "p50", "p99", "p99.9", "max"]);
    if kind == Kind::Announce {
        columns.push(Column { title: "no commit for".into(), numbers: true });
    }
    columns.push(Column { title: "baseline windows' p99".into(), numbers: false });
    columns.push(Column { title: "errors".into(), numbers: false });
    if kind == Kind::Announce {
        columns.push(Column { title: "lost writes".into(), numbers: true });
    }
    let mut rows = Vec::new();
    for trial in &group.trials {
        let is_shown = |phase: &&PhaseResult| phase.name != PhaseName::Warmup;
        for phase in trial.phases.iter().filter(is_shown) {
            let Some(operation) = phase.operation(kind) else { continue };
            let mut cells = labels(trial);
            cells.push(phase.name.to_string());
            cells.push(count(operation.due as f64));
            cells.extend(times(operation));
            if kind == Kind::Announce {
                cells.push(number(phase.longest_without_commit_s * 1e3));
            }
            cells.push(operation.placement.map(placed).unwrap_or_default());
            cells.push(errors(operation));
            if kind == Kind::Announce {
                cells.push(count(operation.lost_writes as f64));
            }
            rows.push(cells);
        }
    }
    Table { columns, rows }
}

/// What became of each snapshot.
pub fn snapshots(group: &Group<'_>) -> Table {
    let mut columns = columns(&["mode", "strategy", "outcome"], &["time, s", "MB", "commits meanwhile"]);
    let texts = ["verdict", "integrity_check", "quick_check", "silent failure", "evidence"];
    columns.extend(texts.map(|title| Column { title: title.into(), numbers: false }));
    let mut rows = Vec::new();
    for trial in &group.trials {
        for snapshot in &trial.snapshots {
            let mut cells = labels(trial);
            cells.extend([
                outcome(snapshot),
                number(snapshot.duration_s),
                number(snapshot.bytes as f64 / 1e6),
                count(snapshot.commit_at_end.saturating_sub(snapshot.commit_at_start) as f64),
                snapshot.verdict.map_or_else(|| "not judged".to_owned(), |verdict| verdict.to_string()),
                first_line(snapshot.integrity_check.as_deref()),
                first_line(snapshot.quick_check.as_deref()),
                if snapshot.silent_failure { "SILENT" } else { "no" }.to_owned(),
                evidence(snapshot),
            ]);
            rows.push(cells);
        }
    }
    Table { columns, rows }
}

/// The phase in which the snapshot ran; for the control, the time that others have for theirs.
pub fn while_it_ran(trial: &TrialResult) -> Option<&PhaseResult> {
    trial.phase(PhaseName::Snapshot).or_else(|| trial.phase(PhaseName::Recovery))
}

/// A time, or why there is none.
fn time(value: Option<u64>, due: u64) -> String {
    match value {
        Some(time_us) => milliseconds(time_us),
        None if due == 0 => "-".to_owned(),
        None => "no answer".to_owned(),
    }
}

fn times(operation: &OperationResult) -> [String; 4] {
    let due = operation.due;
    let Distribution { p50_us, p99_us, p999_us, max_us, .. } = operation.response;
    let enough = |least, value| if due < least { "few".to_owned() } else { time(value, due) };
    let p99 = enough(P99_LEAST, p99_us);
    let p99 = if operation.generator_bound { format!("{p99} *") } else { p99 };
    [enough(P50_LEAST, p50_us), p99, enough(P999_LEAST, p999_us), time(max_us, due)]
}

/// The 99th percentiles of the baseline's windows that are as long as the phase.
fn placed(placement: Placement) -> String {
    let text = |time: Option<u64>| time.map_or_else(|| "no answer".to_owned(), milliseconds);
    let Placement { windows, windows_below, .. } = placement;
    format!("{} to {}; {windows_below} of {windows} lower", text(placement.p99_least_us), text(placement.p99_most_us))
}

fn errors(operation: &OperationResult) -> String {
    let counts = operation.counts;
    let failures = operation.failures.iter().map(|(failure, times)| (failure.to_string(), *times));
    let others = [("timed out", counts.timed_out), ("dropped", counts.dropped), ("never served", counts.never_served)];
    let all = failures.chain(others.map(|(name, times)| (name.to_owned(), times)));
    let parts: Vec<_> =
        all.filter(|(_, times)| *times > 0).map(|(name, times)| format!("{name} {}", count(times as f64))).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

fn outcome(snapshot: &SnapshotResult) -> String {
    let error = snapshot.error.as_deref().map_or("done", |error| error.lines().next().unwrap_or_default());
    shorten(error)
}

fn evidence(snapshot: &SnapshotResult) -> String {
    let mut parts = Vec::new();
    if let Some(left) = snapshot.evidence.left_behind {
        parts.push(format!("left behind: {left}"));
    }
    if let Some(restarts) = snapshot.restarts.filter(|restarts| *restarts > 0) {
        parts.push(format!("began again {} times", count(restarts as f64)));
    }
    if let Some(done) = snapshot.evidence.progress.filter(|done| *done < 1.0) {
        parts.push(format!("{:.0} % of a pass done at last", done * 100.0));
    }
    parts.push(snapshot.evidence.reason.lines().next().unwrap_or_default().to_owned());
    parts.join("; ")
}

fn first_line(text: Option<&str>) -> String {
    shorten(text.and_then(|text| text.lines().next()).unwrap_or("-"))
}

fn shorten(text: &str) -> String {
    const MOST: usize = 90;
    if text.chars().count() <= MOST {
        text.to_owned()
    } else {
        text.chars().take(MOST - 3).chain("...".chars()).collect()
    }
}

fn labels(trial: &TrialResult) -> Vec<String> {
    let strategy = match trial.repetition {
        1 => trial.strategy.to_string(),
        again => format!("{} ({again})", trial.strategy),
    };
    vec![trial.journal_mode.to_string(), strategy]
}

fn columns(texts: &[&str], numbers: &[&str]) -> Vec<Column> {
    let column = |numbers| move |title: &&str| Column { title: (*title).to_owned(), numbers };
    texts.iter().map(column(false)).chain(numbers.iter().map(column(true))).collect()
}

//! The tables of a report that speak of operations: one row a trial, or one a trial and phase. And what all tables share.

use super::{
    context::Group,
    figure_text::count,
    figures::{Cell, Column, Mark, Table, Unit, Value},
    notes::Note,
};
use crate::{
    measure::{OperationKind, Percentile},
    results::{OperationResult, PhaseName, PhaseResult, Placement, Recorded, TrialResult},
};

/// What stands above [`rates`].
pub fn rates_note() -> Note {
    Note::new(
        "Rates in the baseline, a second, offered / achieved",
        "A write is offered as one commit, even where it shares its transaction with others. \"WAL at most\": the largest size \
        of the WAL in the whole trial.",
    )
}

/// The kinds of operation that a group has tables of: commits, reads and scrapes where the file tells them apart, announces
/// where it does not or where some of them are neither.
pub fn kinds(group: &Group<'_>) -> Vec<OperationKind> {
    let due = |kind| -> u64 {
        let phases = group.trials.iter().flat_map(|trial| &trial.phases);
        let due = phases.filter_map(|phase| phase.operation(kind)).map(|operation| operation.due);
        due.fold(0, u64::saturating_add)
    };
    let announces_apart = due(OperationKind::Commit).saturating_add(due(OperationKind::Read));
    let is_shown = |kind: &OperationKind| match kind {
        OperationKind::Announce => announces_apart < due(OperationKind::Announce) || announces_apart == 0,
        OperationKind::Scrape => true,
        OperationKind::Commit | OperationKind::Read => due(*kind) > 0,
    };
    OperationKind::ALL.into_iter().filter(is_shown).collect()
}

/// What stands above [`response`] for the first kind of a group, and for those after it.
pub fn response_note(group: &Group<'_>, kind: OperationKind, is_first: bool) -> Note {
    let title = match kind {
        OperationKind::Announce => "Response and service times of announces",
        OperationKind::Scrape => "Response and service times of scrapes",
        OperationKind::Commit => "Response and service times of announces that commit",
        OperationKind::Read => "Response and service times of announces that read",
    };
    if !is_first {
        // The tables of all kinds stand one below the other.
        return Note::new(title, "");
    }
    let mark = if group.has_unknown_marks() {
        "Unknown: this results file does not say for which operations the load generator itself was late, so no figure is marked."
    } else {
        "*: the load generator itself was late by more than a tenth of this figure, at this percentile."
    };
    let least = |percentile: Percentile| count(percentile.least() as f64);
    let explanation = format!(
        "A response time begins at the instant at which the operation was due, a service time when a connection took it up: what \
        lies between is waiting for a connection, and the generator's own lateness. Percentiles of the response rank over all \
        operations that were due, those of the service over all that were begun. \"no answer\": the operation at this rank was \
        not served in time. \"few\": there were too few operations for this figure (p50 takes {}, p99 {}, p99.9 {}: ten are \
        later). \"-\": nothing was due. {mark} \"snapshot\" is the time while a snapshot was taken, its sync and the steps after it included, in \
        units of 10 ms, and \"recovery\" is the time after it; the strategy \"none\" has a recovery only. Where a trial has several \
        snapshots, the worst is shown. \"stalled\": the longest time in which a write was due or waiting and none was committed.",
        least(Percentile::P50),
        least(Percentile::P99),
        least(Percentile::P999)
    );
    Note::new(title, &explanation)
}

/// Requests, SQL operations and commits a second, offered and achieved, in the baseline.
pub fn rates(group: &Group<'_>) -> Table {
    let mut columns = label_columns();
    columns.extend(["requests/s", "SQL operations/s", "commits/s"].map(|title| Column::of(title, Unit::One)));
    columns.push(Column::of("WAL at most", Unit::Megabytes));
    let row = |trial: &&TrialResult| {
        let mut cells = labels(trial);
        if let Some(phase) = trial.phase(PhaseName::Baseline) {
            cells.extend([
                achieved(phase.offered_rate_ops, phase.achieved_rate_ops),
                achieved(phase.offered_sql_per_s, phase.achieved_sql_per_s),
                achieved(phase.offered_commits_per_s, phase.achieved_commits_per_s),
                Value::Bytes(trial.wal_bytes_max).into(),
            ]);
        } else {
            cells.push(Value::text(trial.status.to_string()).into());
            cells.extend((0..3).map(|_| Cell::from(Value::NotApplicable)));
        }
        cells
    };
    Table { columns, rows: group.trials.iter().map(row).collect() }
}

fn achieved(offered: f64, achieved: f64) -> Cell {
    Value::Achieved { offered, achieved }.into()
}

/// Times of one kind of operation, at the baseline, while snapshots ran and after them.
pub fn response(group: &Group<'_>, kind: OperationKind) -> Table {
    let mut columns = label_columns();
    columns.push(Column::words("when"));
    columns.push(Column::of("due", Unit::One));
    columns.extend(RESPONSE.map(|percentile| Column::of(&percentile.to_string(), Unit::Milliseconds)));
    columns.extend(SERVICE.map(|percentile| Column::of(&format!("service {percentile}"), Unit::Milliseconds)));
    let with_stalls = match kind {
        OperationKind::Announce | OperationKind::Commit => true,
        OperationKind::Scrape | OperationKind::Read => false,
    };
    if with_stalls {
        columns.push(Column::of("stalled", Unit::Milliseconds));
    }
    let mut rows = Vec::new();
    for trial in &group.trials {
        for (when, phase) in reported(trial, kind) {
            let Some(operation) = phase.operation(kind) else { continue };
            let mut cells = labels(trial);
            cells.push(Value::text(when).into());
            cells.push(Value::Count(operation.due).into());
            cells.extend(RESPONSE.map(|percentile| response_cell(operation, percentile)));
            cells.extend(SERVICE.map(|percentile| Cell::from(service_value(operation, percentile))));
            if with_stalls {
                cells.push(stalled(phase).into());
            }
            rows.push(cells);
        }
    }
    Table { columns, rows }
}

/// The percentiles of the response time that tables show.
const RESPONSE: [Percentile; 4] = [Percentile::P50, Percentile::P99, Percentile::P999, Percentile::Max];

/// Those of the service time.
const SERVICE: [Percentile; 2] = [Percentile::P50, Percentile::P99];

fn stalled(phase: &PhaseResult) -> Value {
    match phase.stalled_s {
        Recorded::Known(Some(stalled_s)) => Value::Duration(stalled_s),
        Recorded::Known(None) | Recorded::Unknown => Value::Unknown,
    }
}

/// The phases of a trial that are shown, and when they were: of several of a name, the worst.
fn reported(trial: &TrialResult, kind: OperationKind) -> Vec<(String, &PhaseResult)> {
    let mut names: Vec<PhaseName> = Vec::new();
    for phase in trial.phases.iter().filter(|phase| phase.name.is_reported()) {
        if !names.contains(&phase.name) {
            names.push(phase.name);
        }
    }
    let of_name = |name: PhaseName| {
        let phase = worst(trial, name, kind)?;
        let all = trial.phases.iter().filter(|phase| phase.name == name).count();
        Some((if all == 1 { name.to_string() } else { format!("{name}, worst of {all}") }, phase))
    };
    names.into_iter().filter_map(of_name).collect()
}

/// Of the phases of a name, the one whose 99th percentile for a kind of operation is the largest.
pub fn worst(trial: &TrialResult, name: PhaseName, kind: OperationKind) -> Option<&PhaseResult> {
    // No answer is later than every time; a phase in which nothing was due has no say.
    let p99_us = |phase: &&PhaseResult| {
        let operation = phase.operation(kind).filter(|operation| operation.due > 0);
        operation.map_or(0, |operation| operation.response.p99_us.unwrap_or(u64::MAX))
    };
    trial.phases.iter().filter(|phase| phase.name == name).max_by_key(p99_us)
}

/// What stands above [`errors`].
pub fn errors_note() -> Note {
    Note::new(
        "Operations that were not served in time, and lost writes",
        "A lost write was given up, although the client was answered as if it had been made.",
    )
}

/// What went wrong with operations: one row a trial, phase and kind for which anything did.
pub fn errors(group: &Group<'_>) -> Table {
    let mut columns = label_columns();
    columns.extend(["when", "kind"].map(Column::words));
    columns.push(Column::of("due", Unit::One));
    columns.push(Column::words("errors"));
    columns.push(Column::of("lost writes", Unit::One));
    let mut rows = Vec::new();
    for trial in &group.trials {
        for phase in trial.phases.iter().filter(|phase| phase.name.is_reported()) {
            for operation in phase.requests() {
                let found = failures(operation);
                if found.is_empty() && operation.lost_writes == 0 {
                    continue;
                }
                let mut cells = labels(trial);
                cells.extend([
                    Value::text(phase.name.to_string()).into(),
                    Value::text(operation.kind.to_string()).into(),
                    Value::Count(operation.due).into(),
                    Value::Breakdown(found).into(),
                    Value::Count(operation.lost_writes).into(),
                ]);
                rows.push(cells);
            }
        }
    }
    Table { columns, rows }
}

/// A percentile of the response time, or why there is none.
pub fn response_value(operation: &OperationResult, percentile: Percentile) -> Value {
    match operation.response.get(percentile) {
        _ if operation.due == 0 => Value::NotApplicable,
        _ if operation.due < percentile.least() => Value::Few,
        Some(time_us) => Value::Response(time_us),
        None => Value::NoAnswer,
    }
}

fn response_cell(operation: &OperationResult, percentile: Percentile) -> Cell {
    let value = response_value(operation, percentile);
    let is_bound = operation.is_generator_bound(percentile) == Recorded::Known(true);
    let mark = (is_bound && value.is_figure()).then_some(Mark::GeneratorBound);
    Cell { value, mark }
}

/// A percentile of the service time of what was begun, or why there is none.
fn service_value(operation: &OperationResult, percentile: Percentile) -> Value {
    let never_begun = operation.counts.dropped.saturating_add(operation.counts.never_served);
    let begun = operation.due.saturating_sub(never_begun);
    match operation.service.get(percentile) {
        _ if operation.due == 0 => Value::NotApplicable,
        Some(time_us) if begun >= percentile.least() => Value::Response(time_us),
        _ => Value::Few,
    }
}

/// The 99th percentiles of the baseline's windows that are as long as the phase.
pub fn placed(placement: Placement) -> Value {
    let value = |time_us: Option<u64>| time_us.map_or(Value::NoAnswer, Value::Response);
    let Placement { windows, windows_below, .. } = placement;
    let (least, most) = (value(placement.p99_least_us), value(placement.p99_most_us));
    let among = if least == most { most } else { Value::Range(least.into(), most.into()) };
    Value::Placed { among: among.into(), below: windows_below, of: windows }
}

/// What became of the operations that were not served, where there are any.
fn failures(operation: &OperationResult) -> Vec<(String, u64)> {
    let counts = operation.counts;
    let failures = operation.failures.iter().map(|(failure, times)| (failure.to_string(), *times));
    let others = [("timed out", counts.timed_out), ("dropped", counts.dropped), ("never served", counts.never_served)];
    let all = failures.chain(others.map(|(name, times)| (name.to_owned(), times)));
    all.filter(|(_, times)| *times > 0).collect()
}

/// What a row begins with: the journal mode and the strategy.
pub fn labels(trial: &TrialResult) -> Vec<Cell> {
    vec![Value::text(trial.journal_mode.to_string()).into(), Value::text(strategy_label(trial)).into()]
}

/// The strategy of a trial, and which repetition it is where it is not the first.
pub fn strategy_label(trial: &TrialResult) -> String {
    match trial.repetition {
        1 => trial.strategy.to_string(),
        again => format!("{} ({again})", trial.strategy),
    }
}

/// The columns of [`labels`].
pub fn label_columns() -> Vec<Column> {
    ["mode", "strategy"].map(Column::words).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        report::context::groups,
        results::{Results, samples},
        snapshot::Strategy,
        sqlite::JournalMode,
    };

    fn of(trial: TrialResult) -> Results {
        samples::results(vec![trial])
    }

    #[test]
    fn a_percentile_is_a_figure_or_says_why_not() {
        let ms = |time_ms: u64| Value::Response(time_ms * 1_000);
        for (served, dropped, percentile, value) in [
            (0, 0, Percentile::P50, Value::NotApplicable),
            (19, 0, Percentile::P50, Value::Few),
            (20, 0, Percentile::P50, ms(5)),
            (10, 11, Percentile::P50, Value::NoAnswer),
            (999, 0, Percentile::P99, Value::Few),
            (1_000, 0, Percentile::P99, ms(10)),
            (980, 20, Percentile::P99, Value::NoAnswer),
            (990, 10, Percentile::P99, ms(10)),
            (9_999, 0, Percentile::P999, Value::Few),
            (10_000, 0, Percentile::P999, ms(10)),
            (1, 0, Percentile::Max, ms(1)),
            (1, 1, Percentile::Max, Value::NoAnswer),
        ] {
            let operation = samples::operation(OperationKind::Announce, served, dropped);
            let found = response_value(&operation, percentile);
            match (&found, &value) {
                // A histogram has three digits.
                (Value::Response(found), Value::Response(value)) => assert!(found.abs_diff(*value) * 1_000 <= *value),
                _ => assert_eq!(found, value, "{percentile:?} of {served} served and {dropped} dropped"),
            }
        }
    }

    #[test]
    fn only_a_figure_that_is_known_to_be_the_generators_is_marked() {
        for (due, is_bound, percentile, mark) in [
            (1_000, Recorded::Known(true), Percentile::P99, Some(Mark::GeneratorBound)),
            (1_000, Recorded::Known(true), Percentile::P50, None),
            (1_000, Recorded::Known(false), Percentile::P99, None),
            (1_000, Recorded::Unknown, Percentile::P99, None),
            (50, Recorded::Known(true), Percentile::P99, None),
        ] {
            let whole = samples::operation(OperationKind::Scrape, due, 0);
            let operation = OperationResult { generator_bound: is_bound, lag: Recorded::Unknown, ..whole };
            assert_eq!(response_cell(&operation, percentile).mark, mark, "{due} {is_bound:?} {percentile:?}");
        }
    }

    #[test]
    fn an_older_file_says_that_marks_are_unknown() {
        let results = of(samples::trial(JournalMode::Wal, Strategy::Cp));
        let says = |results: &Results, words: &str| {
            response_note(&groups(results)[0], OperationKind::Announce, true).explanation.contains(words)
        };
        assert!(says(&results, "*: the load generator itself was late"));
        let old = samples::of_before(&results);
        assert!(
            says(&old, "does not say for which operations the load generator itself was late") && !says(&old, "*:")
        );
    }

    #[test]
    fn a_trial_without_a_baseline_has_a_row_with_its_status() {
        let mut trial = samples::trial(JournalMode::Wal, Strategy::Cp);
        trial.phases.clear();
        trial.status = crate::results::Status::Skipped;
        let results = of(trial);
        let table = rates(&groups(&results)[0]);
        assert_eq!(table.rows[0].len(), table.columns.len());
        assert_eq!(table.rows[0][2].value, Value::text("skipped"));
    }

    #[test]
    fn of_several_phases_of_a_name_the_worst_is_shown() {
        let mut trial = samples::trial(JournalMode::Wal, Strategy::Cp);
        trial.phases.push(samples::phase(PhaseName::Snapshot));
        trial.phases[3].operations[0].response.p99_us = None;
        trial.phases[3].longest_without_commit_s = 7.0;
        let found: Vec<_> = reported(&trial, OperationKind::Announce).into_iter().map(|(when, _)| when).collect();
        assert_eq!(found, ["baseline", "snapshot, worst of 2", "recovery"]);
        let snapshot = worst(&trial, PhaseName::Snapshot, OperationKind::Announce).unwrap();
        assert_eq!(snapshot.longest_without_commit_s.to_string(), "7");
    }

    #[test]
    fn what_was_not_served_is_broken_down() {
        let mut trial = samples::trial(JournalMode::Wal, Strategy::Cp);
        assert_eq!(errors(&groups(&of(trial.clone()))[0]).rows, Vec::<Vec<Cell>>::new());
        trial.phases[1].operations[1] = samples::operation(OperationKind::Scrape, 10, 3);
        let results = of(trial);
        let table = errors(&groups(&results)[0]);
        let values: Vec<_> = table.rows[0][2..].iter().map(|cell| cell.value.clone()).collect();
        let dropped = Value::Breakdown(vec![("dropped".to_owned(), 3)]);
        let expected = [Value::text("snapshot"), Value::text("scrape"), Value::Count(13), dropped, Value::Count(0)];
        assert_eq!(values, expected);
    }

    #[test]
    fn a_placement_is_a_range_among_windows() {
        let placement = Placement {
            window_s: 1.0,
            windows: 4,
            p99_least_us: Some(1_000),
            p99_median_us: Some(2_000),
            p99_most_us: None,
            windows_below: 2,
        };
        let among = Value::Range(Value::Response(1_000).into(), Value::NoAnswer.into());
        assert_eq!(placed(placement), Value::Placed { among: among.into(), below: 2, of: 4 });
        let all_alike = Placement { p99_least_us: None, ..placement };
        assert_eq!(placed(all_alike), Value::Placed { among: Value::NoAnswer.into(), below: 2, of: 4 });
    }
}

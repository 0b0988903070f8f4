//! The tables of a report that speak of snapshots: one row a trial, whatever the number of its snapshots. Where there are
//! several, a cell gives the range.

use super::{
    context::Group,
    figure_text::{first_line, number, shorten},
    figures::{Cell, Column, Table, Unit, Value},
    notes::Note,
    tables::{label_columns, labels},
};
use crate::{
    oracle::Verdict,
    results::{LiveCached, Recorded, Ruling, SnapshotResult, StepResult, TrialResult},
    snapshot::protocol::Part,
};

/// Characters of an answer or an error that a cell has room for.
const ANSWER_MOST: usize = 40;
const ERROR_MOST: usize = 60;

/// What stands above [`what`].
pub fn what_note() -> Note {
    Note::new(
        "The snapshots",
        "\"files\": what the strategy left, before anything opened it. \"a restore gets\": the journal mode that the header of the \
        copy asks for. \"alone\": the copy needs no WAL and no journal beside it.",
    )
}

/// What stands above [`evidence`].
pub fn evidence_note() -> Note {
    Note::new("How each strategy ended, and what the verdict rests on", "")
}

/// What stands above [`took`].
pub fn took_note() -> Note {
    Note::new(
        "How long the snapshots took",
        "\"copy\" ends when the process of the strategy ends. \"sync\" is the fsync of its files after that: the backup API and \
        VACUUM INTO have synced their file already, cp has not. \"in vain\": pages that the backup API copied and had to copy \
        again. Where a trial has several snapshots, a cell shows the range.",
    )
}

/// What stands above [`parts`].
pub fn parts_note() -> Note {
    Note::new("The parts of the copying", "")
}

/// What stands above [`after`].
pub fn after_note() -> Note {
    Note::new("What was done with the copies afterwards", "")
}

/// The trials of a group that have snapshots.
pub fn trials<'a>(group: &'a Group<'_>) -> impl Iterator<Item = &'a TrialResult> {
    group.trials.iter().copied().filter(|trial| !trial.snapshots.is_empty())
}

/// The range of what the snapshots of a trial have of a figure; unknown where the file does not say of one of them.
pub fn ranged(
    trial: &TrialResult,
    of: fn(f64) -> Value,
    figure: impl Fn(&SnapshotResult) -> Recorded<Option<f64>>,
) -> Cell {
    let figures: Vec<_> = trial.snapshots.iter().map(figure).collect();
    if figures.iter().any(Recorded::is_unknown) {
        return Value::Unknown.into();
    }
    Value::range(figures.iter().filter_map(|figure| figure.found().copied()), of).into()
}

/// The same of a count.
pub fn counted(
    trial: &TrialResult,
    of: fn(u64) -> Value,
    count: impl Fn(&SnapshotResult) -> Recorded<Option<u64>>,
) -> Cell {
    let counts: Vec<_> = trial.snapshots.iter().map(count).collect();
    if counts.iter().any(Recorded::is_unknown) {
        return Value::Unknown.into();
    }
    Value::counts(counts.iter().filter_map(|count| count.found().copied()), of).into()
}

/// What each snapshot is.
pub fn what(group: &Group<'_>) -> Table {
    let mut columns = label_columns();
    columns.extend(
        ["taken", "verdict", "silent failure", "integrity_check", "files", "a restore gets", "alone"]
            .map(Column::words),
    );
    let row = |trial: &TrialResult| {
        let each = |value: fn(&SnapshotResult) -> Value| Cell::from(Value::tally(trial.snapshots.iter().map(value)));
        let mut cells = labels(trial);
        cells.extend([
            Value::Count(trial.snapshots.len() as u64).into(),
            each(verdict),
            each(silent_failure),
            each(|snapshot| optional_text(snapshot.ruling.integrity_check.as_deref())),
            files(trial).into(),
            each(restored_mode),
            each(|snapshot| match snapshot.copy.stands_alone {
                Recorded::Unknown => Value::Unknown,
                Recorded::Known(None) => Value::NotApplicable,
                Recorded::Known(Some(true)) => Value::text("yes"),
                Recorded::Known(Some(false)) => Value::text("no"),
            }),
        ]);
        cells
    };
    Table { columns, rows: trials(group).map(row).collect() }
}

fn verdict(snapshot: &SnapshotResult) -> Value {
    let ruling = &snapshot.ruling;
    Value::text(match (ruling.verdict, &ruling.judge_error) {
        (Some(verdict), _) => verdict.to_string(),
        (None, Some(error)) => shorten(&format!("not judged: {}", first_line(error)), ERROR_MOST),
        (None, None) => "not judged".to_owned(),
    })
}

/// Whether a copy failed silently.
fn silent_failure(snapshot: &SnapshotResult) -> Value {
    match is_silent_failure(&snapshot.ruling) {
        None => Value::Unknown,
        Some(true) => Value::text("SILENT"),
        Some(false) => Value::text("no"),
    }
}

/// The same; `None` where nobody knows, because SQLite was not asked of a copy that was finished and is not exact.
pub fn is_silent_failure(ruling: &Ruling) -> Option<bool> {
    let is_asked = ruling.integrity_check.is_some();
    match ruling.verdict {
        Some(Verdict::Stale | Verdict::Torn | Verdict::Corrupt | Verdict::Unreadable) if !is_asked => None,
        Some(_) | None => Some(ruling.silent_failure),
    }
}

fn restored_mode(snapshot: &SnapshotResult) -> Value {
    match snapshot.copy.copy_journal_mode {
        Recorded::Unknown => Value::Unknown,
        Recorded::Known(None) => Value::text("no database"),
        Recorded::Known(Some(mode)) => Value::text(mode.to_string()),
    }
}

fn optional_text(text: Option<&str>) -> Value {
    text.map_or(Value::NotApplicable, |text| Value::text(short_answer(text)))
}

/// As much of an answer of SQLite's as a cell has room for.
pub fn short_answer(text: &str) -> String {
    shorten(first_line(text), ANSWER_MOST)
}

/// How each ended, and what its verdict rests on.
pub fn evidence(group: &Group<'_>) -> Table {
    let mut columns = label_columns();
    columns.extend(["it said", "evidence"].map(Column::words));
    let row = |trial: &TrialResult| {
        let mut cells = labels(trial);
        cells.push(Value::tally(trial.snapshots.iter().map(outcome)).into());
        // Of several, the first that is the matter of most interest: the one that is not as the others should be.
        let of_interest = trial.snapshots.iter().find(|snapshot| !snapshot.is_exact());
        let shown = of_interest.or(trial.snapshots.first()).map(reasons).unwrap_or_default();
        let others = trial.snapshots.len().saturating_sub(1);
        cells.push(Value::text(if others == 0 { shown } else { format!("{shown} (and {others} more)") }).into());
        cells
    };
    Table { columns, rows: trials(group).map(row).collect() }
}

/// What taking them took.
pub fn took(group: &Group<'_>) -> Table {
    let mut columns = label_columns();
    columns.extend(["copy", "sync", "deadline"].map(|title| Column::of(title, Unit::Seconds)));
    columns.push(Column::of("size", Unit::Megabytes));
    columns.extend(["commits meanwhile", "restarts", "pages in vain"].map(|title| Column::of(title, Unit::One)));
    let is_looked_at = trials(group).flat_map(|trial| &trial.snapshots).any(|one| one.cost.live_cached.is_some());
    columns.extend(is_looked_at.then(|| Column::of("live database no longer in memory", Unit::Megabytes)));
    let row = |trial: &TrialResult| {
        let mut cells = labels(trial);
        cells.extend([
            ranged(trial, Value::Duration, |snapshot| Some(snapshot.run.duration_s).into()),
            ranged(trial, Value::Duration, |snapshot| snapshot.run.sync_s),
            ranged(trial, Value::Duration, |snapshot| Some(snapshot.run.deadline_s).into()),
            counted(trial, Value::Bytes, |snapshot| Some(snapshot.copy.bytes).into()),
            counted(trial, Value::Count, |snapshot| Some(snapshot.commits_meanwhile()).into()),
            counted(trial, Value::Count, |snapshot| snapshot.progress.restarts.into()),
            counted(trial, Value::Count, |snapshot| snapshot.progress.pages_in_vain),
        ]);
        let lost =
            || counted(trial, Value::Bytes, |snapshot| snapshot.cost.live_cached.map(LiveCached::lost_bytes).into());
        cells.extend(is_looked_at.then(lost));
        cells
    };
    Table { columns, rows: trials(group).map(row).collect() }
}

/// The parts of the copying, of the strategies that say.
pub fn parts(group: &Group<'_>) -> Table {
    let mut columns = label_columns();
    let occurs = |part: &Part| {
        let mut all = trials(group).flat_map(|trial| &trial.snapshots).flat_map(|one| one.progress.parts.entries());
        all.any(|result| result.part == *part)
    };
    let parts: Vec<Part> = Part::ALL.into_iter().filter(occurs).collect();
    columns.extend(parts.iter().map(|part| Column::of(&part.to_string(), Unit::Seconds)));
    let row = |trial: &TrialResult| {
        let times = |part: Part| {
            let all = trial.snapshots.iter().flat_map(|snapshot| snapshot.progress.parts.entries());
            let of_part = all.filter(|result| result.part == part);
            Cell::from(Value::range(of_part.map(|result| result.duration_s), Value::Duration))
        };
        let mut cells = labels(trial);
        cells.extend(parts.iter().copied().map(times));
        cells
    };
    let has_parts = |snapshot: &SnapshotResult| !snapshot.progress.parts.entries().is_empty();
    let with_parts = trials(group).filter(|trial| trial.snapshots.iter().any(has_parts));
    Table { columns, rows: with_parts.map(row).collect() }
}

/// The steps after them: a row a step.
pub fn after(group: &Group<'_>) -> Table {
    let mut columns = label_columns();
    columns.extend(["step", "done", "came out", "answer"].map(Column::words));
    columns.push(Column::of("time", Unit::Seconds));
    let mut rows = Vec::new();
    for trial in trials(group) {
        let Some(first) = trial.snapshots.first() else { continue };
        for (place, step) in first.after.entries().iter().enumerate() {
            let steps: Vec<&StepResult> =
                trial.snapshots.iter().filter_map(|snapshot| snapshot.after.entries().get(place)).collect();
            let each = |value: fn(&StepResult) -> Value| Cell::from(Value::tally(steps.iter().map(|step| value(step))));
            let mut cells = labels(trial);
            cells.extend([
                Value::text(step.step.to_string()).into(),
                each(|step| Value::text(if step.during_load { "during the load" } else { "after the load" })),
                each(|step| Value::text(step.status.to_string())),
                each(|step| optional_text(Some(&step.answer))),
                Value::range(steps.iter().map(|step| step.duration_s), Value::Duration).into(),
            ]);
            rows.push(cells);
        }
    }
    Table { columns, rows }
}

/// Names and sizes of what was left: of several snapshots, of the first, and how many left others.
fn files(trial: &TrialResult) -> Value {
    let names =
        |snapshot: &SnapshotResult| snapshot.copy.files.iter().map(|file| file.name.clone()).collect::<Vec<_>>();
    let Some(first) = trial.snapshots.first() else { return Value::NotApplicable };
    let others = trial.snapshots.iter().filter(|snapshot| names(snapshot) != names(first)).count();
    Value::Files(first.copy.files.iter().map(|file| (file.name.clone(), file.bytes)).collect(), others as u64)
}

fn outcome(snapshot: &SnapshotResult) -> Value {
    let stderr = snapshot.run.stderr.known().map_or("", |stderr| stderr.trim());
    let words = match (&snapshot.run.error, stderr) {
        (Some(error), _) => first_line(error).to_owned(),
        (None, "") => "done".to_owned(),
        (None, stderr) => format!("done, and: {}", first_line(stderr)),
    };
    Value::text(shorten(&words, ERROR_MOST))
}

fn reasons(snapshot: &SnapshotResult) -> String {
    let evidence = &snapshot.ruling.evidence;
    let mut parts = Vec::new();
    if let Some(left) = evidence.left_behind {
        parts.push(format!("left behind: {left}"));
    }
    if let Some(done) = evidence.progress.filter(|done| *done < 1.0) {
        parts.push(format!("{:.0} % of the last pass done", done * 100.0));
    }
    if let Some(late_s) = snapshot.run.late_s.known().filter(|late_s| **late_s > 0.0) {
        parts.push(format!("begun {} s late", number(*late_s)));
    }
    parts.extend(snapshot.run.sync_error.found().map(|error| format!("not synced: {error}")));
    parts.push(first_line(&evidence.reason).to_owned());
    parts.extend(snapshot.ruling.judge_error.as_ref().map(|error| format!("not judged: {}", first_line(error))));
    parts.retain(|part| !part.is_empty());
    parts.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        report::context::groups,
        results::{CopyJournalMode, Results, samples},
        snapshot::Strategy,
        sqlite::JournalMode,
    };

    fn values(table: &Table, row: usize) -> Vec<Value> {
        assert!(table.rows.iter().all(|row| row.len() == table.columns.len()));
        table.rows[row].iter().map(|cell| cell.value.clone()).collect()
    }

    fn of(snapshots: Vec<SnapshotResult>) -> Results {
        let trial = samples::trial(JournalMode::Wal, Strategy::Cp);
        samples::results(vec![TrialResult { snapshots, ..trial }])
    }

    fn snapshot() -> SnapshotResult {
        samples::snapshot(Strategy::Cp, Verdict::Exact)
    }

    #[test]
    fn a_failure_is_silent_only_where_sqlite_was_asked() {
        for (verdict, is_asked, value) in [
            (Verdict::Exact, true, Value::text("no")),
            (Verdict::Exact, false, Value::text("no")),
            (Verdict::Torn, true, Value::text("SILENT")),
            (Verdict::Torn, false, Value::Unknown),
            (Verdict::Stale, false, Value::Unknown),
            (Verdict::Unfinished, false, Value::text("no")),
        ] {
            let mut snapshot = samples::snapshot(Strategy::Cp, verdict);
            if !is_asked {
                (snapshot.ruling.integrity_check, snapshot.ruling.silent_failure) = (None, false);
            }
            assert_eq!(silent_failure(&snapshot), value, "{verdict}, asked: {is_asked}");
        }
    }

    #[test]
    fn a_header_is_a_mode_no_database_or_unknown() {
        for (mode, value) in [
            (Recorded::Known(Some(CopyJournalMode::Wal)), Value::text("wal")),
            (Recorded::Known(None), Value::text("no database")),
            (Recorded::Unknown, Value::Unknown),
        ] {
            let mut snapshot = snapshot();
            snapshot.copy.copy_journal_mode = mode;
            assert_eq!(restored_mode(&snapshot), value);
        }
    }

    #[test]
    fn what_an_older_file_lacks_is_unknown_and_its_tables_are_left_out() {
        let old = samples::of_before(&of(vec![snapshot()]));
        let group = &groups(&old)[0];
        assert_eq!(values(&what(group), 0)[7..], [Value::Unknown, Value::Unknown]);
        let took = values(&took(group), 0);
        assert_eq!((&took[2], &took[3], &took[8]), (&Value::Duration(0.5), &Value::Unknown, &Value::Unknown));
        assert!(parts(group).rows.is_empty() && after(group).rows.is_empty());
    }

    #[test]
    fn a_snapshot_that_cannot_be_judged_says_why() {
        let mut snapshot = snapshot();
        snapshot.ruling.verdict = None;
        assert_eq!(verdict(&snapshot), Value::text("not judged"));
        snapshot.ruling.judge_error = Some("the ledger ends early\nat 7".to_owned());
        assert_eq!(verdict(&snapshot), Value::text("not judged: the ledger ends early"));
        assert_eq!(reasons(&snapshot), "not judged: the ledger ends early");
    }

    #[test]
    fn several_snapshots_share_a_row() {
        let mut second = samples::snapshot(Strategy::Cp, Verdict::Torn);
        second.run.duration_s = 0.7;
        second.run.sync_s = Recorded::Known(None);
        second.copy.files[0].name.push_str("-wal");
        let results = of(vec![snapshot(), second]);
        let group = &groups(&results)[0];
        let what = values(&what(group), 0);
        assert_eq!(what[2], Value::Count(2));
        assert_eq!(what[3], Value::Tally(vec![(Value::text("exact"), 1), (Value::text("torn"), 1)]));
        assert_eq!(what[4], Value::Tally(vec![(Value::text("no"), 1), (Value::text("SILENT"), 1)]));
        assert_eq!(what[6], Value::Files(vec![("snapshot.db".to_owned(), 8_000_000)], 1));
        let took = values(&took(group), 0);
        assert_eq!(took[2], Value::Range(Value::Duration(0.5).into(), Value::Duration(0.7).into()));
        assert_eq!(took[3], Value::Duration(0.1), "of those that were synced");
    }

    #[test]
    fn what_it_said_and_what_that_was_worth() {
        let mut failed = snapshot();
        failed.run.error = Some("exit status 1: database is locked\nmore".to_owned());
        failed.run.late_s = Recorded::Known(0.5);
        failed.ruling.evidence.left_behind = Some(Verdict::Unreadable);
        failed.ruling.evidence.progress = Some(0.25);
        failed.ruling.evidence.reason = "an empty file".to_owned();
        assert_eq!(outcome(&failed), Value::text("exit status 1: database is locked"));
        let all = "left behind: unreadable; 25 % of the last pass done; begun 0.50 s late; an empty file";
        assert_eq!(reasons(&failed), all);
        let mut talkative = snapshot();
        talkative.run.stderr = Recorded::Known("a warning\n".to_owned());
        assert_eq!(outcome(&talkative), Value::text("done, and: a warning"));
        talkative.run.stderr = Recorded::Unknown;
        assert_eq!(outcome(&talkative), Value::text("done"));
    }
}

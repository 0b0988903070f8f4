//! The tables of a report that speak of snapshots: one row a trial, whatever the number of its snapshots. Where there are
//! several, a cell gives the range.

use super::{
    Group, Table, count, number,
    tables::{columns, labels, p99_of, placed, worst},
};
use crate::{
    results::{PhaseName, Resources, SnapshotResult, StepResult, TrialResult, WalResult},
    snapshot::protocol::Part,
    workload::Kind,
};

/// What stands above [`what`].
pub const WHAT_NOTE: &str = "The snapshots. \"files\": what was left, before anything opened it. \"a restore gets\": the \
    journal mode that the header of the copy asks for. \"alone\": no WAL or journal with content is needed beside it.";

/// What stands above [`took`].
pub const TOOK_NOTE: &str = "What taking them took. \"copy\" ends with the strategy's process; \"sync\" is the fsync of what \
    it left, after that: the backup API and VACUUM INTO have synced their file by then, cp has not. \"in vain\": pages that \
    the backup API copied and had to copy again. Where there are several snapshots in a trial, the range.";

/// What stands above [`others`].
pub const OTHERS_NOTE: &str = "What they cost the others, copy and sync together; of several snapshots in a trial the worst. \
    \"no commit for\": the longest stretch without one. \"baseline windows\": the p99 of windows of the baseline that are as \
    long, and how many of them were lower. Times in milliseconds.";

/// What stands above [`wal`].
pub const WAL_NOTE: &str = "The WAL, in MB. \"in use\": frames written since the log was last restarted; its file stays as \
    long as it ever was. \"back after\": seconds until no more was in use than in the baseline at most. \"restarts\" of the \
    log, and checkpoints of the checkpoint thread (pages moved), while it was copied; \"main file changed\": looks, one each \
    20 ms, that found that a checkpoint had written. Where there are several snapshots in a trial, the range.";

/// What stands above [`costs`].
pub const COSTS_NOTE: &str = "What they used: the strategy's process and what it started; of several snapshots in a trial the \
    range. \"memory\": the largest resident size of one of them. \"read\" and \"written\" through system calls, and what of it \
    came from a disk or is for a disk to write. The copy that a writer makes itself has no process: its processor time is \
    of the writer's thread, and the rest is not told apart. \"writers stopped\": how long no write was let through.";

/// What stands above [`parts`].
pub const PARTS_NOTE: &str = "Of the copying, its parts, in seconds:";

fn trials<'a>(group: &'a Group<'_>) -> impl Iterator<Item = &'a TrialResult> {
    group.trials.iter().copied().filter(|trial| !trial.snapshots.is_empty())
}

/// What each snapshot is.
pub fn what(group: &Group<'_>) -> Table {
    let titles = [
        "mode",
        "strategy",
        "taken",
        "verdict",
        "silent failure",
        "integrity_check",
        "files",
        "a restore gets",
        "alone",
    ];
    let row = |trial: &TrialResult| {
        let each = |text: fn(&SnapshotResult) -> String| tallied(trial.snapshots.iter().map(text));
        let mut cells = labels(trial);
        cells.extend([
            trial.snapshots.len().to_string(),
            each(|snapshot| snapshot.verdict.map_or_else(|| "not judged".to_owned(), |verdict| verdict.to_string())),
            each(|snapshot| if snapshot.silent_failure { "SILENT" } else { "no" }.to_owned()),
            each(|snapshot| first_line(snapshot.integrity_check.as_deref(), 40)),
            files(trial),
            each(|snapshot| {
                snapshot.copy_journal_mode.map_or_else(|| "no database".to_owned(), |mode| mode.to_string())
            }),
            each(|snapshot| snapshot.stands_alone.map_or("-", |alone| if alone { "yes" } else { "no" }).to_owned()),
        ]);
        cells
    };
    Table { columns: columns(&titles, &[]), rows: trials(group).map(row).collect() }
}

/// How each ended, and what its verdict rests on.
pub fn evidence(group: &Group<'_>) -> Table {
    let row = |trial: &TrialResult| {
        let mut cells = labels(trial);
        cells.push(tallied(trial.snapshots.iter().map(outcome)));
        // Of several, the first that is the matter of most interest: the one that is not as the others should be.
        let of_interest = trial.snapshots.iter().find(|snapshot| !snapshot.is_exact());
        let shown = of_interest.or(trial.snapshots.first()).map(reasons).unwrap_or_default();
        let others = trial.snapshots.len().saturating_sub(1);
        cells.push(if others == 0 { shown } else { format!("{shown} (and {others} more)") });
        cells
    };
    Table {
        columns: columns(&["mode", "strategy", "it said", "evidence"], &[]),
        rows: trials(group).map(row).collect(),
    }
}

/// What taking them took.
pub fn took(group: &Group<'_>) -> Table {
    let numbers = ["copy, s", "sync, s", "deadline, s", "MB", "commits meanwhile", "restarts", "pages in vain"];
    let row = |trial: &TrialResult| {
        let each = |value: fn(&SnapshotResult) -> Option<f64>| range(trial.snapshots.iter().filter_map(value), number);
        let whole = |value: fn(&SnapshotResult) -> Option<u64>| {
            range(trial.snapshots.iter().filter_map(value).map(|value| value as f64), count)
        };
        let mut cells = labels(trial);
        cells.extend([
            each(|snapshot| Some(snapshot.duration_s)),
            each(|snapshot| snapshot.sync_s),
            each(|snapshot| Some(snapshot.deadline_s)),
            each(|snapshot| Some(snapshot.bytes as f64 / 1e6)),
            whole(|snapshot| Some(snapshot.commit_at_end.saturating_sub(snapshot.commit_at_start))),
            whole(|snapshot| snapshot.restarts),
            whole(|snapshot| snapshot.pages_in_vain),
        ]);
        cells
    };
    Table { columns: columns(&["mode", "strategy"], &numbers), rows: trials(group).map(row).collect() }
}

/// What they used of the machine; only of trials where that is known.
pub fn costs(group: &Group<'_>) -> Table {
    let numbers =
        ["CPU, s", "memory, MB", "read, MB", "written, MB", "from disk, MB", "to disk, MB", "writers stopped, s"];
    let is_known = |snapshot: &SnapshotResult| snapshot.resources.is_some() || snapshot.writer_cpu_s.is_some();
    let row = |trial: &TrialResult| {
        let of = |value: fn(&Resources) -> f64| {
            range(trial.snapshots.iter().filter_map(|snapshot| snapshot.resources.as_ref().map(value)), number)
        };
        let cpu_s = trial
            .snapshots
            .iter()
            .filter_map(|snapshot| snapshot.resources.as_ref().map(Resources::cpu_s).or(snapshot.writer_cpu_s));
        let mut cells = labels(trial);
        cells.extend([
            range(cpu_s, number),
            of(|used| used.memory_peak_bytes as f64 / 1e6),
            of(|used| used.read_bytes as f64 / 1e6),
            of(|used| used.written_bytes as f64 / 1e6),
            of(|used| used.disk_read_bytes as f64 / 1e6),
            of(|used| used.disk_written_bytes as f64 / 1e6),
            range(trial.snapshots.iter().filter_map(|snapshot| snapshot.downtime_s), number),
        ]);
        cells
    };
    let known = trials(group).filter(|trial| trial.snapshots.iter().any(is_known));
    Table { columns: columns(&["mode", "strategy"], &numbers), rows: known.map(row).collect() }
}

/// The parts of the copying, of the strategies that say.
pub fn parts(group: &Group<'_>) -> Table {
    let row = |trial: &TrialResult| {
        let times = |part: Part| {
            let all = trial.snapshots.iter().flat_map(|snapshot| &snapshot.parts);
            range(all.filter(|result| result.part == part).map(|result| result.duration_s), number)
        };
        let mut cells = labels(trial);
        cells.extend(Part::ALL.map(times));
        cells
    };
    let with_parts = trials(group).filter(|trial| trial.snapshots.iter().any(|snapshot| !snapshot.parts.is_empty()));
    let titles = Part::ALL.map(|part| part.to_string());
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    Table { columns: columns(&["mode", "strategy"], &titles), rows: with_parts.map(row).collect() }
}

/// What they cost the others.
pub fn others(group: &Group<'_>) -> Table {
    let texts = ["mode", "strategy"];
    let numbers = ["no commit for", "announces' p99", "baseline windows", "scrapes' p99", "baseline windows"];
    let row = |trial: &TrialResult| {
        let mut cells = labels(trial);
        let phases = || trial.phases.iter().filter(|phase| phase.name == PhaseName::Snapshot);
        let stretch_s = phases().map(|phase| phase.longest_without_commit_s).fold(0.0, f64::max);
        cells.push(number(stretch_s * 1e3));
        for kind in Kind::ALL {
            let operation = worst(trial, PhaseName::Snapshot, kind).and_then(|phase| phase.operation(kind));
            cells.push(operation.map(p99_of).unwrap_or_default());
            cells.push(operation.and_then(|operation| operation.placement).map(placed).unwrap_or_default());
        }
        cells
    };
    Table { columns: columns(&texts, &numbers), rows: trials(group).map(row).collect() }
}

/// The WAL around them; only of trials that have one.
pub fn wal(group: &Group<'_>) -> Table {
    let numbers = [
        "file at start",
        "file at most",
        "in use at start",
        "in use at most",
        "in use after",
        "back after, s",
        "restarts",
        "main file changed",
        "checkpoints (pages)",
    ];
    let mut rows = Vec::new();
    for trial in trials(group) {
        let wals: Vec<&WalResult> = trial.snapshots.iter().filter_map(|snapshot| snapshot.wal.as_ref()).collect();
        if wals.is_empty() {
            continue;
        }
        let each = |value: fn(&WalResult) -> u64| range(wals.iter().map(|wal| value(wal) as f64 / 1e6), number);
        let whole = |value: fn(&WalResult) -> u64| range(wals.iter().map(|wal| value(wal) as f64), count);
        let back = range(wals.iter().filter_map(|wal| wal.back_after_s), number);
        let never = wals.iter().filter(|wal| wal.back_after_s.is_none()).count();
        let checkpoints = wals.iter().filter_map(|wal| Some((wal.checkpoints?, wal.checkpointed_pages?)));
        let (runs, pages): (Vec<_>, Vec<_>) = checkpoints.map(|(runs, pages)| (runs as f64, pages as f64)).unzip();
        let mut cells = labels(trial);
        cells.extend([
            each(|wal| wal.start_bytes),
            each(|wal| wal.peak_bytes.max(wal.peak_after_bytes)),
            each(|wal| wal.start_used_bytes),
            each(|wal| wal.peak_used_bytes),
            each(|wal| wal.peak_after_used_bytes),
            match (never, wals.len()) {
                (0, _) => back,
                (never, all) if never == all => "did not".to_owned(),
                (never, all) => format!("{back}; {never} of {all} did not"),
            },
            whole(|wal| wal.restarts),
            whole(|wal| wal.main_file_changes),
            if runs.is_empty() {
                "no thread".to_owned()
            } else {
                format!("{} ({})", range(runs.into_iter(), count), range(pages.into_iter(), count))
            },
        ]);
        rows.push(cells);
    }
    Table { columns: columns(&["strategy"], &numbers), rows: rows.into_iter().map(without_mode).collect() }
}

/// Every journal mode but one has no WAL, so the mode says nothing in a table of it.
fn without_mode(mut cells: Vec<String>) -> Vec<String> {
    cells.remove(0);
    cells
}

/// The steps after them: a row a step.
pub fn after(group: &Group<'_>) -> Table {
    let mut rows = Vec::new();
    for trial in trials(group) {
        let Some(first) = trial.snapshots.first() else { continue };
        for place in 0..first.after.len() {
            let steps: Vec<&StepResult> =
                trial.snapshots.iter().filter_map(|snapshot| snapshot.after.get(place)).collect();
            let when = |step: &&StepResult| if step.during_load { "during" } else { "after" }.to_owned();
            let mut cells = labels(trial);
            cells.push(first.after[place].step.to_string());
            cells.push(tallied(steps.iter().map(when)));
            cells.push(tallied(steps.iter().map(|step| step.status.to_string())));
            cells.push(tallied(steps.iter().map(|step| shorten(&step.answer, 40))));
            cells.push(range(steps.iter().map(|step| step.duration_s), number));
            rows.push(cells);
        }
    }
    let texts = ["mode", "strategy", "step", "the load's time", "came out", "answer"];
    Table { columns: columns(&texts, &["time, s"]), rows }
}

/// Names and sizes of what was left: of several snapshots, of the first, and how many left others.
fn files(trial: &TrialResult) -> String {
    let of = |snapshot: &SnapshotResult| {
        let files = snapshot.files.iter().map(|file| format!("{} {}", file.name, megabytes(file.bytes)));
        let files: Vec<_> = files.collect();
        if files.is_empty() { "none".to_owned() } else { files.join(", ") }
    };
    let names = |snapshot: &SnapshotResult| snapshot.files.iter().map(|file| file.name.clone()).collect::<Vec<_>>();
    let Some(first) = trial.snapshots.first() else { return String::new() };
    let others = trial.snapshots.iter().filter(|snapshot| names(snapshot) != names(first)).count();
    if others == 0 { of(first) } else { format!("{}; {others} left others", of(first)) }
}

fn megabytes(bytes: u64) -> String {
    if bytes == 0 { "empty".to_owned() } else { format!("{} MB", number(bytes as f64 / 1e6)) }
}

fn outcome(snapshot: &SnapshotResult) -> String {
    let said = |text: &str| text.trim().lines().next().unwrap_or_default().to_owned();
    let words = match (&snapshot.error, snapshot.stderr.trim()) {
        (Some(error), _) => said(error),
        (None, "") => "done".to_owned(),
        (None, stderr) => format!("done, and: {}", said(stderr)),
    };
    shorten(&words, 60)
}

fn reasons(snapshot: &SnapshotResult) -> String {
    let mut parts = Vec::new();
    if let Some(left) = snapshot.evidence.left_behind {
        parts.push(format!("left behind: {left}"));
    }
    if let Some(done) = snapshot.evidence.progress.filter(|done| *done < 1.0) {
        parts.push(format!("{:.0} % of a pass done at last", done * 100.0));
    }
    if snapshot.late_s > 0.0 {
        parts.push(format!("begun {} s late", number(snapshot.late_s)));
    }
    parts.extend(snapshot.sync_error.as_ref().map(|error| format!("not synced: {error}")));
    parts.push(snapshot.evidence.reason.lines().next().unwrap_or_default().to_owned());
    parts.join("; ")
}

/// The least and the most of some values, or the one that both are.
fn range(values: impl Iterator<Item = f64>, text: fn(f64) -> String) -> String {
    let values: Vec<f64> = values.collect();
    if values.is_empty() {
        return "-".to_owned();
    }
    let least = text(values.iter().copied().fold(f64::INFINITY, f64::min));
    let most = text(values.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    if least == most { most } else { format!("{least} to {most}") }
}

/// The text that all have, or each one with how often it comes.
fn tallied(texts: impl Iterator<Item = String>) -> String {
    let mut counts: Vec<(String, usize)> = Vec::new();
    for text in texts {
        match counts.iter_mut().find(|(known, _)| *known == text) {
            Some((_, times)) => *times += 1,
            None => counts.push((text, 1)),
        }
    }
    match counts.as_slice() {
        [(text, _)] => text.clone(),
        several => several.iter().map(|(text, times)| format!("{times} {text}")).collect::<Vec<_>>().join(", "),
    }
}

fn first_line(text: Option<&str>, most: usize) -> String {
    shorten(text.and_then(|text| text.lines().next()).unwrap_or("-"), most)
}

fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        text.to_owned()
    } else {
        text.chars().take(most.saturating_sub(3)).chain("...".chars()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_values_are_a_range_and_several_texts_are_counted() {
        assert_eq!(range([0.5, 0.25, 1.0].into_iter(), number), "0.25 to 1.00");
        assert_eq!(range([2.0, 2.0].into_iter(), count), "2");
        assert_eq!(range(std::iter::empty(), count), "-");
        let texts = |texts: &[&str]| tallied(texts.iter().map(ToString::to_string));
        assert_eq!(texts(&["exact", "exact"]), "exact");
        assert_eq!(texts(&["exact", "stale", "exact"]), "2 exact, 1 stale");
    }
}

//! The tables of a report that speak of a real tracker: what became of the writes that it was asked for, and of what it did not answer.

use super::{
    context::Group,
    figures::{Cell, Column, Table, Unit, Value},
    notes::Note,
    tables::{label_columns, labels},
};
use crate::results::TrackerResult;

/// What stands above [`writes`].
pub fn writes_note() -> Note {
    Note::new(
        "What the tracker wrote",
        "A reply is no evidence of a write: a write that waits for a lock for over five seconds is given up, and the reply looks as \
        always. What was written is counted from the sequence of the table of torrents, which each write raises by one. \"doubtful\": \
        writes that took as long as that, or were asked for more than once; what comes after one is asked for when the tracker must have \
        given it up, and so much later. \"withheld\": for that reason not asked for before the load ended. \"lost\": answered and never \
        written. Where that is not known, the copies of the trial that would need it have no verdict.",
    )
}

/// What stands above [`unanswered`].
pub fn unanswered_note() -> Note {
    Note::new(
        "What the tracker did not read or gave up",
        "\"dropped\": packets that the system dropped because a socket's buffer was full, during the load; of the tracker alone where \
        it has a network namespace of its own, else of all programs of the machine. \"to the tracker\": those of them that were sent to it; \
        the others may be answers, which this program did not read in time. \"given up\": requests of which the tracker's log says that it \
        ended them, because it serves so many at once and no more.",
    )
}

/// One row a trial that drove a tracker.
pub fn writes(group: &Group<'_>) -> Table {
    let mut columns = label_columns();
    columns.extend(["asked for", "withheld", "doubtful", "lost"].map(|title| Column::of(title, Unit::One)));
    columns.extend(["version", "what is not known"].map(Column::words));
    rows(group, columns, |tracker| {
        vec![
            Value::Count(tracker.writes_asked_for),
            tracker.writes_withheld.map_or(Value::Unknown, Value::Count),
            Value::Count(tracker.doubtful_writes),
            tracker.lost_writes.map_or(Value::Unknown, Value::Count),
            tracker.version.clone().map_or(Value::Unknown, Value::Text),
            tracker.unknown.clone().map_or(Value::NotApplicable, Value::Text),
        ]
    })
}

/// One row a trial that drove a tracker.
pub fn unanswered(group: &Group<'_>) -> Table {
    let mut columns = label_columns();
    columns.extend(["dropped", "to the tracker", "given up"].map(|title| Column::of(title, Unit::One)));
    columns.push(Column::words("dropped of"));
    rows(group, columns, |tracker| {
        let whose = if tracker.receive_buffer_errors_are_its_own { "the tracker" } else { "the whole machine" };
        vec![
            tracker.receive_buffer_errors.map_or(Value::Unknown, Value::Count),
            tracker.requests_dropped.map_or(Value::Unknown, Value::Count),
            Value::Count(tracker.aborted_requests),
            Value::text(whose),
        ]
    })
}

fn rows(group: &Group<'_>, columns: Vec<Column>, values: impl Fn(&TrackerResult) -> Vec<Value>) -> Table {
    let row = |trial: &&crate::results::TrialResult| {
        let tracker = trial.tracker.as_ref()?;
        Some(labels(trial).into_iter().chain(values(tracker).into_iter().map(Cell::from)).collect())
    };
    Table { columns, rows: group.trials.iter().filter_map(row).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{report::context::groups, results::samples, snapshot::Strategy, sqlite::JournalMode};

    #[test]
    fn what_is_not_known_is_not_nought() {
        let mut trial = samples::trial(JournalMode::Wal, Strategy::Cp);
        assert!(writes(&groups(&samples::results(vec![trial.clone()]))[0]).rows.is_empty());
        trial.tracker = Some(TrackerResult { lost_writes: Some(2), ..samples::tracker() });
        let known = samples::results(vec![trial.clone()]);
        let row = &writes(&groups(&known)[0]).rows[0];
        assert_eq!((&row[2].value, &row[5].value), (&Value::Count(1_000), &Value::Count(2)));
        let tracker = TrackerResult { lost_writes: None, receive_buffer_errors: None, ..samples::tracker() };
        trial.tracker = Some(TrackerResult { unknown: Some("never answered".to_owned()), ..tracker });
        let unknown = samples::results(vec![trial]);
        let group = &groups(&unknown)[0];
        let row = &writes(group).rows[0];
        assert_eq!((&row[5].value, &row[7].value), (&Value::Unknown, &Value::text("never answered")));
        let row = &unanswered(group).rows[0];
        assert_eq!((&row[2].value, &row[5].value), (&Value::Unknown, &Value::text("the whole machine")));
    }
}

//! The report of how many commits a second copies bear that begin again at each: what became of them, and what follows.

use super::{
    figure_text::number,
    figures::{Block, Cell, Column, Table, Unit, Value},
    notes::Note,
    of_tables,
};
use crate::{
    analysis::limits::{Asked, Copies, Fitted, Limit, mean_s, measured_undisturbed_s},
    statistics::Interval,
};

/// All of it: sentences first.
pub fn blocks(copies: &[Copies], limits: &[Limit], asked: Asked) -> Vec<Block> {
    let mut blocks = vec![Block::Heading(1, "journalbench limits".to_owned())];
    let mut sentences: Vec<String> = limits.iter().map(|limit| in_words(limit, asked)).collect();
    sentences.extend(locks(copies));
    if sentences.is_empty() {
        sentences.push(
            "Nothing follows: it takes copies that began again at commits and some that ended all the same.".to_owned(),
        );
    }
    blocks.push(Block::List(sentences));
    blocks.extend(of_tables([
        (prediction_note(asked), prediction(limits)),
        (times_note(), times(copies, limits)),
        (copies_note(), of_copies(copies, limits)),
    ]));
    blocks
}

fn in_words(limit: &Limit, asked: Asked) -> String {
    let Limit { journal_mode, strategy, gap_s, half_end_at, most_end_at, .. } = limit;
    let size = number(asked.bytes as f64 / 1e9);
    let needs = format!(
        "{strategy} under {journal_mode}: a database of {size} GB needs {} s between two commits",
        fitted(gap_s)
    );
    match (half_end_at, most_end_at) {
        (Some(half), Some(most)) => format!(
            "{needs}. Half of the copies end within {} s at up to {} commits a second, 95 of a hundred at up to {}.",
            number(asked.deadline_s),
            fitted(half),
            fitted(most)
        ),
        // There is a rate wherever the likeliest gap fits, though its interval may reach beyond the deadline.
        _ => format!("{needs}, which is more than the {} s that it may.", number(asked.deadline_s)),
    }
}

/// What locks ended, which no model of beginning again has.
fn locks(copies: &[Copies]) -> Vec<String> {
    let with_locks =
        super::distinct(copies.iter().filter(|one| one.locked > 0).map(|one| (one.journal_mode, one.strategy)));
    let words = |(journal_mode, strategy)| {
        let of = || copies.iter().filter(move |one| (one.journal_mode, one.strategy) == (journal_mode, strategy));
        let sum = |value: fn(&Copies) -> u64| of().map(value).sum::<u64>();
        format!(
            "{strategy} under {journal_mode} fails in another way: a lock of a commit ended {} of {} copies, after {} commits in all.",
            sum(|one| one.locked),
            sum(Copies::count),
            sum(|one| one.commits_meanwhile)
        )
    };
    with_locks.into_iter().map(words).collect()
}

fn fitted(fitted: &Fitted) -> String {
    let Fitted { value, interval: Interval { low, high } } = fitted;
    format!("{} ({} to {})", number(*value), number(*low), number(*high))
}

fn prediction_note(asked: Asked) -> Note {
    Note::new(
        &format!("What follows for {} GB", number(asked.bytes as f64 / 1e9)),
        &format!(
            "A copy that begins again at every commit ends in the first gap between two commits that is as long as it can be disturbed, T. \
            Commits come at random at a rate r: a gap is as long with the probability e^(-rT), and the mean time until the copy has ended is \
            (e^(rT) - 1)/r. T grows with the size; the time for a byte is the one that makes what was seen likeliest, with its interval of \
            95 % (likelihood ratio): what chance leaves open, while the model, and a disk and memory that serve a larger file as fast, are taken \
            for granted. \"at 1 a second\": the mean time at one commit a second. Deadline: {} s.",
            number(asked.deadline_s)
        ),
    )
}

fn prediction(limits: &[Limit]) -> Table {
    let mut columns = vec![Column::words("mode"), Column::words("strategy")];
    columns.extend(
        ["gap needed, s", "half end up to, commits/s", "95 % end up to, commits/s", "at 1 a second, s"]
            .map(Column::words),
    );
    let rows = limits.iter().map(|limit| {
        let or_none = |one: &Option<Fitted>| one.as_ref().map_or(Value::NotApplicable, |one| Value::text(fitted(one)));
        [
            Value::text(limit.journal_mode.to_string()),
            Value::text(limit.strategy.to_string()),
            Value::text(fitted(&limit.gap_s)),
            or_none(&limit.half_end_at),
            or_none(&limit.most_end_at),
            Value::text(range_of(&limit.gap_s.map(|gap_s| mean_s(1.0, gap_s)))),
        ]
        .map(Cell::from)
        .to_vec()
    });
    Table { columns, rows: rows.collect() }
}

/// Of what may be too large for anything but its order of magnitude.
fn range_of(mean_s: &Fitted) -> String {
    let Interval { low, high } = mean_s.interval;
    if high < 1e5 { fitted(mean_s) } else { format!("{low:.0e} to {high:.0e}") }
}

fn times_note() -> Note {
    Note::new(
        "The gap that a copy needs, and how long it takes",
        "\"gap needed\": by the model, from how many copies of all sizes no commit disturbed. \"whole copy\": the median time of those of \
        this size that no commit disturbed, which the model did not ask for. It is longer where a part of the copy cannot be disturbed, \
        as the sync of its file at the end.",
    )
}

fn times(copies: &[Copies], limits: &[Limit]) -> Table {
    let mut columns = vec![Column::words("mode"), Column::words("strategy"), Column::of("size", Unit::Megabytes)];
    columns.push(Column::words("gap needed, s"));
    columns.push(Column::of("whole copy", Unit::Seconds));
    columns.push(Column::of("of copies", Unit::One));
    let mut rows = Vec::new();
    for limit in limits {
        let of_limit = |one: &&Copies| (one.journal_mode, one.strategy) == (limit.journal_mode, limit.strategy);
        for bytes in super::distinct(copies.iter().filter(of_limit).map(|one| one.bytes)) {
            let measured = measured_undisturbed_s(copies, limit, bytes);
            let cells = [
                Value::text(limit.journal_mode.to_string()),
                Value::text(limit.strategy.to_string()),
                Value::Bytes(bytes),
                Value::text(fitted(&limit.s_per_byte.map(|s_per_byte| s_per_byte * bytes as f64))),
                measured.map_or(Value::NotApplicable, |(median_s, _)| Value::Duration(median_s)),
                Value::Count(measured.map_or(0, |(_, of)| of as u64)),
            ];
            rows.push(cells.map(Cell::from).to_vec());
        }
    }
    Table { columns, rows }
}

fn copies_note() -> Note {
    Note::new(
        "What became of each copy",
        "\"ended\": well and within the deadline. \"locked\": SQLite found the database locked and gave up. \"stopped\": at the deadline. \
        \"undisturbed\": no commit came meanwhile. \"begun again\": in all copies together, as the strategy says, or else as many commits as came meanwhile. \"time\": of those that \
        ended. \"mean by the model\": without a deadline.",
    )
}

fn of_copies(copies: &[Copies], limits: &[Limit]) -> Table {
    let mut columns = vec![Column::words("mode"), Column::words("strategy"), Column::of("size", Unit::Megabytes)];
    columns.extend(
        [
            "commits/s",
            "copies",
            "ended",
            "exact",
            "locked",
            "stopped",
            "failed",
            "undisturbed",
            "begun again",
            "commits meanwhile",
        ]
        .map(|title| Column::of(title, Unit::One)),
    );
    columns.extend(["time", "mean by the model"].map(|title| Column::of(title, Unit::Seconds)));
    let rows = copies.iter().map(|one| {
        let limit =
            limits.iter().find(|limit| (limit.journal_mode, limit.strategy) == (one.journal_mode, one.strategy));
        let mean_s = limit.map(|limit| mean_s(one.rate, limit.s_per_byte.value * one.bytes as f64));
        [
            Value::text(one.journal_mode.to_string()),
            Value::text(one.strategy.to_string()),
            Value::Bytes(one.bytes),
            Value::Rate(one.rate),
            Value::Count(one.count()),
            Value::Count(one.ended_s.len() as u64),
            Value::Count(one.exact),
            Value::Count(one.locked),
            Value::Count(one.stopped),
            Value::Count(one.failed),
            Value::Count(one.undisturbed_s.len() as u64),
            Value::Count(one.begun_again),
            Value::Count(one.commits_meanwhile),
            Value::range(one.ended_s.iter().copied(), Value::Duration),
            mean_s.map_or(Value::NotApplicable, Value::Duration),
        ]
        .map(Cell::from)
        .to_vec()
    });
    Table { columns, rows: rows.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{snapshot::Strategy, sqlite::JournalMode};

    #[test]
    fn a_gap_is_too_long_where_the_likeliest_is() {
        let fitted = |value: f64, low: f64, high: f64| Fitted { value, interval: Interval { low, high } };
        let limit = |half_end_at: Option<Fitted>| Limit {
            journal_mode: JournalMode::Delete,
            strategy: Strategy::Backup,
            s_per_byte: fitted(2e-9, 1e-9, 4e-9),
            gap_s: fitted(20.0, 10.0, 40.0),
            half_end_at,
            most_end_at: half_end_at,
        };
        let needs = "backup under delete: a database of 10.0 GB needs 20.0 (10.0 to 40.0) s between two commits";
        let rate = "0.50 (0 to 2.00)";
        for (deadline_s, half_end_at, then) in [
            (15.0, None, ", which is more than the 15.0 s that it may.".to_owned()),
            (
                30.0,
                Some(fitted(0.5, 0.0, 2.0)),
                format!(
                    ". Half of the copies end within 30.0 s at up to {rate} commits a second, 95 of a hundred at up to {rate}."
                ),
            ),
        ] {
            let said = in_words(&limit(half_end_at), Asked { bytes: 10_000_000_000, deadline_s });
            assert_eq!(said, format!("{needs}{then}"));
        }
    }
}

//! Which commit a torn snapshot is nearest to, which rows differ from it, and which commits explain what was found.
//!
//! A torn snapshot has some rows as they were after one commit and some as they were after another. The file is read once
//! more for the rows that the run wrote; all others must be as in the dataset. Then the history is replayed, and after each
//! commit it is known how many rows differ: the commit with the fewest is the nearest one.

use std::{
    collections::HashMap,
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use rusqlite::types::ValueRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    content::{FileContent, Meaning},
    scan::{Visitor, Watch},
};
use crate::{
    dataset::{Manifest, Origin},
    digest::{self, Digest, Part},
    history::{
        History, HistoryError,
        replay::{self, Rows},
    },
    torrents::{Torrent, Torrents},
};

/// By how much a snapshot differs from the state that it is nearest to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    /// The commit with the fewest differing rows; of several, the last.
    pub nearest_commit: u64,
    /// Rows that are missing, that should not be there, or that have other values than after that commit.
    pub rows: u64,
    /// The first of them.
    pub sample: Vec<RowDifference>,
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RowDifference {
    /// Its table.
    pub of: String,
    /// Its id.
    pub row: i64,
    /// What it should be, in words.
    pub expected: String,
    /// What it is.
    pub found: String,
    /// The first and the last commit after which it was what was found; none where it never was.
    pub found_after_commits: Option<(u64, u64)>,
}

/// Differing rows that are described.
const SAMPLE: usize = 10;
/// Histories with more changes are not compared row by row: it would take more memory than is allowed for.
const CHANGES_MAX: u64 = 1_000_000;

/// Compares a file that was inspected with every commit up to `last_commit`. `None` where the run wrote too many rows for
/// that, or where the file could not be read.
///
/// # Errors
/// When the history cannot tell its commits.
pub(super) fn difference(
    path: &Path,
    history: &dyn History,
    start: &Manifest,
    last_commit: u64,
    interrupted: &Arc<AtomicBool>,
) -> Result<Option<Difference>, HistoryError> {
    if history.changes_max()? > CHANGES_MAX {
        return Ok(None);
    }
    let Ok(file) = FileContent::open(path) else { return Ok(None) };
    let mut ids = HashMap::new();
    replay::replay_rows(history, start, |rows, commit| {
        for torrent in commit.torrents() {
            if let Some((id, _)) = rows.row(torrent) {
                ids.insert(id, torrent);
            }
        }
    })?;
    let torrents = start.torrents();
    let known_rows = matches!(start.origin, Origin::Generated(_)).then_some(start.rows);
    let visitor =
        || Collector { meanings: file.meanings(), torrents: &torrents, ids: &ids, known_rows, found: Found::default() };
    let (_, collectors) = file.scan(Watch { interrupted, pages_done: &AtomicU64::new(0) }, visitor);
    if interrupted.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let found = collectors.into_iter().fold(Found::default(), |sum, collector| sum.plus(collector.found));
    let fixed = fixed_differences(start, &found, &ids, known_rows);
    nearest(history, start, last_commit, &ids, &found, fixed).map(Some)
}

/// What was found of the rows that a run writes, and of the others that differ.
#[derive(Default)]
struct Found {
    /// Of each torrent that was written, by id: whether its info-hash is the right one, and its count.
    written: HashMap<i64, (bool, i64)>,
    /// Rows of torrents that the run did not write and that are as in the dataset.
    untouched: u64,
    /// Other rows of torrents.
    others: Vec<RowDifference>,
    others_count: u64,
    /// Rows of `whitelist` and `keys`.
    small: HashMap<Digest, (Part, i64)>,
    aggregate: Option<i64>,
    sequence: Option<i64>,
}

impl Found {
    fn plus(mut self, other: Self) -> Self {
        self.written.extend(other.written);
        self.untouched += other.untouched;
        self.others.extend(other.others);
        self.others_count += other.others_count;
        self.small.extend(other.small);
        self.aggregate = self.aggregate.or(other.aggregate);
        self.sequence = self.sequence.or(other.sequence);
        self
    }
}

struct Collector<'a> {
    meanings: &'a [Meaning],
    torrents: &'a Torrents,
    ids: &'a HashMap<i64, Torrent>,
    known_rows: Option<u64>,
    found: Found,
}

impl Collector<'_> {
    fn torrent(&mut self, id: i64, text: &[u8], completed: i64) {
        if let Some(torrent) = self.ids.get(&id) {
            let same = self.torrents.info_hash(*torrent).as_bytes() == text;
            self.found.written.insert(id, (same, completed));
            return;
        }
        let Some(rows) = self.known_rows else { return };
        let number = u64::try_from(id).ok().filter(|number| (1..=rows).contains(number));
        let expected =
            number.map(|number| (self.torrents.info_hash(Torrent::Known(number)), self.torrents.completed(number)));
        match expected {
            Some((hash, count)) if hash.as_bytes() == text && count == completed => self.found.untouched += 1,
            expected => {
                // A changed row is no missing one.
                self.found.untouched += u64::from(expected.is_some());
                let expected =
                    expected.map_or_else(|| "no such row".to_owned(), |(hash, count)| format!("{hash}, {count}"));
                let found = format!("{}, {completed}", String::from_utf8_lossy(text));
                self.found.others_count += 1;
                if self.found.others.len() < SAMPLE {
                    let of = "torrents".to_owned();
                    self.found.others.push(RowDifference { of, row: id, expected, found, found_after_commits: None });
                }
            }
        }
    }
}

impl Visitor for Collector<'_> {
    fn row(&mut self, tree: usize, _: u32, values: &[ValueRef<'_>]) {
        let Meaning::Rows { part, .. } = self.meanings[tree] else { return };
        match (part, values) {
            (Part::Torrents, [ValueRef::Integer(id), ValueRef::Text(text), ValueRef::Integer(completed)]) => {
                self.torrent(*id, text, *completed);
            }
            (Part::Torrents, [ValueRef::Integer(id), ..]) => self.torrent(*id, b"values of other types", 0),
            (Part::Whitelist | Part::Keys, [ValueRef::Integer(id), ..]) => {
                self.found.small.insert(digest::row(part, values.iter().copied()), (part, *id));
            }
            (Part::Aggregate, [.., ValueRef::Integer(value)]) => self.found.aggregate = Some(*value),
            (Part::Sequence, [ValueRef::Text(b"torrents"), ValueRef::Integer(value)]) => {
                self.found.sequence = Some(*value);
            }
            _ => {}
        }
    }

    fn entry(&mut self, _: usize, _: u32, _: &[u8], _: i64) {}
}

/// Rows that differ whatever the commit, and how many.
fn fixed_differences(
    start: &Manifest,
    found: &Found,
    ids: &HashMap<i64, Torrent>,
    known_rows: Option<u64>,
) -> (u64, Vec<RowDifference>) {
    let (mut count, mut sample) = (found.others_count, found.others.clone());
    let (Origin::Generated(dataset), Some(rows)) = (&start.origin, known_rows) else { return (count, sample) };
    let written = ids.values().filter(|torrent| matches!(torrent, Torrent::Known(_))).count() as u64;
    let missing = (rows - written.min(rows)).saturating_sub(found.untouched);
    if missing > 0 {
        count += missing;
        let expected = format!("{missing} rows that the run did not write");
        let of = "torrents".to_owned();
        sample.push(RowDifference { of, row: 0, expected, found: "nothing".into(), found_after_commits: None });
    }
    let mut left = found.small.clone();
    let mut small = |part: Part, row: i64, expected: &str, found: &str| {
        count += 1;
        if sample.len() < SAMPLE {
            let of = part.table().unwrap_or("an index").to_owned();
            let (expected, found) = (expected.to_owned(), found.to_owned());
            sample.push(RowDifference { of, row, expected, found, found_after_commits: None });
        }
    };
    for (part, id, digest) in dataset.small_rows() {
        if left.remove(&digest).is_none() {
            small(part, id, "the dataset's row", "another, or none");
        }
    }
    for (part, id) in left.into_values() {
        small(part, id, "no such row", "a row");
    }
    (count, sample)
}

/// The rows that commits change, as one commit left them, beside what was found.
struct Compared<'a> {
    found: &'a Found,
    ids: &'a HashMap<i64, Torrent>,
}

impl Compared<'_> {
    fn differs(&self, rows: &Rows, id: i64, torrent: Torrent) -> bool {
        let expected = rows.row(torrent).map(|(_, completed)| (true, completed));
        expected != self.found.written.get(&id).copied()
    }

    /// Differences of the two rows that nearly every commit changes.
    fn counters(&self, rows: &Rows) -> [(&'static str, i64, Option<i64>, Option<i64>); 2] {
        let aggregate = rows.aggregate();
        let aggregate_id = aggregate.map_or(0, |aggregate| aggregate.id);
        [
            (
                "torrent_aggregate_metrics",
                aggregate_id,
                aggregate.map(|aggregate| aggregate.value),
                self.found.aggregate,
            ),
            ("sqlite_sequence", 0, Some(rows.sequence()), self.found.sequence),
        ]
    }

    /// How many of the two counters differ.
    fn differing_counters(&self, rows: &Rows) -> u64 {
        self.counters(rows).iter().filter(|row| row.2 != row.3).count() as u64
    }

    /// The commit from which the fewest rows differ, and how many do.
    fn nearest_commit(
        &self,
        history: &dyn History,
        start: &Manifest,
        last_commit: u64,
    ) -> Result<(u64, u64), HistoryError> {
        let at_start = Rows::at_start(start);
        let mut differing: HashMap<i64, bool> =
            self.ids.iter().map(|(id, torrent)| (*id, self.differs(&at_start, *id, *torrent))).collect();
        let mut count = differing.values().filter(|differs| **differs).count() as u64;
        let mut best = (count + self.differing_counters(&at_start), 0);
        replay::replay_rows(history, start, |rows, commit| {
            for torrent in commit.torrents() {
                let Some((id, _)) = rows.row(torrent) else { continue };
                let now = self.differs(rows, id, torrent);
                if let Some(before) = differing.insert(id, now) {
                    count = count + u64::from(now) - u64::from(before);
                }
            }
            let all = count + self.differing_counters(rows);
            if commit.number <= last_commit && all <= best.0 {
                best = (all, commit.number);
            }
        })?;
        Ok(best)
    }

    /// The first rows that differ from a commit.
    fn pick(&self, history: &dyn History, start: &Manifest, commit_number: u64) -> Result<Vec<Picked>, HistoryError> {
        let mut picked = Vec::new();
        let mut pick = |rows: &Rows| {
            let mut all: Vec<_> = self.ids.iter().filter(|(id, torrent)| self.differs(rows, **id, **torrent)).collect();
            all.sort_unstable_by_key(|(id, _)| **id);
            for (id, torrent) in all.into_iter().take(SAMPLE) {
                let expected = rows.row(*torrent).map(|(_, completed)| completed);
                let found = self.found.written.get(id).copied();
                picked.push(Picked { torrent: Some(*torrent), of: "torrents", id: *id, expected, found });
            }
            for (of, id, expected, found) in self.counters(rows).into_iter().filter(|row| row.2 != row.3) {
                picked.push(Picked { torrent: None, of, id, expected, found: found.map(|value| (true, value)) });
            }
        };
        if commit_number == 0 {
            pick(&Rows::at_start(start));
        }
        replay::replay_rows(history, start, |rows, commit| {
            if commit.number == commit_number {
                pick(rows);
            }
        })?;
        Ok(picked)
    }

    /// Of each picked row, the first and the last commit after which it was what was found.
    fn spans(
        &self,
        history: &dyn History,
        start: &Manifest,
        picked: &[Picked],
    ) -> Result<Vec<Option<(u64, u64)>>, HistoryError> {
        let mut spans = vec![None; picked.len()];
        let mut note = |rows: &Rows, commit: u64| {
            for (span, Picked { torrent, of, id, found, .. }) in spans.iter_mut().zip(picked) {
                let counter =
                    || self.counters(rows).iter().any(|row| row.0 == *of && row.2 == found.map(|found| found.1));
                let as_found = torrent.map_or_else(counter, |torrent| !self.differs(rows, *id, torrent));
                if as_found {
                    *span = Some((span.map_or(commit, |(first, _)| first), commit));
                }
            }
        };
        note(&Rows::at_start(start), 0);
        replay::replay_rows(history, start, |rows, commit| note(rows, commit.number))?;
        Ok(spans)
    }
}

/// A row that differs from the nearest commit, before it is put into words.
struct Picked {
    /// `None` for one of the two counters.
    torrent: Option<Torrent>,
    of: &'static str,
    id: i64,
    expected: Option<i64>,
    /// Whether its info-hash is the right one, and its count.
    found: Option<(bool, i64)>,
}

fn nearest(
    history: &dyn History,
    start: &Manifest,
    last_commit: u64,
    ids: &HashMap<i64, Torrent>,
    found: &Found,
    (fixed, mut sample): (u64, Vec<RowDifference>),
) -> Result<Difference, HistoryError> {
    let compared = Compared { found, ids };
    let (rows, nearest_commit) = compared.nearest_commit(history, start, last_commit)?;
    let picked = compared.pick(history, start, nearest_commit)?;
    let spans = compared.spans(history, start, &picked)?;
    let words = |value: Option<i64>| value.map_or_else(|| "no row".to_owned(), |value| value.to_string());
    for (Picked { of, id, expected, found, .. }, found_after_commits) in picked.into_iter().zip(spans) {
        let found = match found {
            Some((false, value)) => format!("another info-hash, {value}"),
            found => words(found.map(|(_, value)| value)),
        };
        sample.push(RowDifference {
            of: of.to_owned(),
            row: id,
            expected: words(expected),
            found,
            found_after_commits,
        });
    }
    sample.truncate(SAMPLE);
    Ok(Difference { nearest_commit, rows: rows + fixed, sample })
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "nearest to commit {}, from which {} rows differ", self.nearest_commit, self.rows)
    }
}

impl fmt::Display for RowDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { of, row, expected, found, found_after_commits } = self;
        write!(f, "{of}, row {row}: expected {expected}, found {found}, ")?;
        match found_after_commits {
            Some((first, last)) if first == last => write!(f, "as after commit {first}"),
            Some((first, last)) => write!(f, "as after commits {first} to {last}"),
            None => f.write_str("as after no commit"),
        }
    }
}

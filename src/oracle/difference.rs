//! Which commit a torn snapshot is nearest to, which rows differ from it, and which commits explain what was found.
//!
//! A torn snapshot has some rows as they were after one commit and some as they were after another. The file is read once
//! more for the rows that the run wrote; all others must be as in the dataset. Then the ledger is replayed, and after each
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
use serde::{Deserialize, Serialize};

use super::{
    content::{Content as File, Meaning},
    scan::{Visitor, Watch},
};
use crate::{
    dataset::{Manifest, Origin},
    digest::{self, Digest, Part},
    ledger::{self, Content, ReplayError},
    torrents::{Torrent, Torrents},
};

/// By how much a snapshot differs from the state that it is nearest to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The commit with the fewest differing rows; of several, the last.
    pub nearest_commit: u64,
    /// Rows that are missing, that should not be there, or that have other values than after that commit.
    pub rows: u64,
    /// The first of them.
    pub sample: Vec<RowDifference>,
}

/// A row that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
/// Ledgers with more records are not compared row by row: it would take more memory than is allowed for.
const RECORDS_MAX: u64 = 1_000_000;

/// Compares a file that was inspected with every commit up to `last_commit`. `None` where the run wrote too many rows for
/// that, or where the file could not be read.
///
/// # Errors
/// When the ledger cannot be replayed.
pub fn difference(
    path: &Path,
    ledger: &Path,
    start: &Manifest,
    last_commit: u64,
    interrupted: &Arc<AtomicBool>,
) -> Result<Option<Difference>, ReplayError> {
    if ledger::records(ledger).map_or(true, |records| records > RECORDS_MAX) {
        return Ok(None);
    }
    let Ok(file) = File::open(path) else { return Ok(None) };
    let mut ids = HashMap::new();
    ledger::replay_content(ledger, start, |content, transaction| {
        for torrent in transaction.torrents() {
            if let Some((id, _)) = content.row(torrent) {
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
    nearest(ledger, start, last_commit, &ids, &found, fixed).map(Some)
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
            let of = if part == Part::Keys { "keys" } else { "whitelist" }.to_owned();
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
    fn differs(&self, content: &Content, id: i64, torrent: Torrent) -> bool {
        let expected = content.row(torrent).map(|(_, completed)| (true, completed));
        expected != self.found.written.get(&id).copied()
    }

    /// Differences of the two rows that nearly every commit changes.
    fn counters(&self, content: &Content) -> [(&'static str, i64, Option<i64>, Option<i64>); 2] {
        let aggregate = content.aggregate();
        let aggregate_id = aggregate.map_or(0, |aggregate| aggregate.id);
        [
            (
                "torrent_aggregate_metrics",
                aggregate_id,
                aggregate.map(|aggregate| aggregate.value),
                self.found.aggregate,
            ),
            ("sqlite_sequence", 0, Some(content.sequence()), self.found.sequence),
        ]
    }
}

fn nearest(
    ledger: &Path,
    start: &Manifest,
    last_commit: u64,
    ids: &HashMap<i64, Torrent>,
    found: &Found,
    (fixed, mut sample): (u64, Vec<RowDifference>),
) -> Result<Difference, ReplayError> {
    let compared = Compared { found, ids };
    let at_start = Content::at_start(start);
    let counters = |content: &Content| compared.counters(content).iter().filter(|row| row.2 != row.3).count() as u64;
    let mut differing: HashMap<i64, bool> = HashMap::new();
    for (id, torrent) in compared.ids {
        differing.insert(*id, compared.differs(&at_start, *id, *torrent));
    }
    let mut count = differing.values().filter(|differs| **differs).count() as u64;
    let mut best = (count + counters(&at_start), 0);
    ledger::replay_content(ledger, start, |content, transaction| {
        for torrent in transaction.torrents() {
            let Some((id, _)) = content.row(torrent) else { continue };
            let now = compared.differs(content, id, torrent);
            if let Some(before) = differing.insert(id, now) {
                count = count + u64::from(now) - u64::from(before);
            }
        }
        let rows = count + counters(content);
        if transaction.token <= last_commit && rows <= best.0 {
            best = (rows, transaction.token);
        }
    })?;
    let (rows, nearest_commit) = best;
    let mut picked = Vec::new();
    let mut pick = |content: &Content| {
        let mut all: Vec<_> = ids.iter().filter(|(id, torrent)| compared.differs(content, **id, **torrent)).collect();
        all.sort_unstable_by_key(|(id, _)| **id);
        for (id, torrent) in all.into_iter().take(SAMPLE) {
            let expected = content.row(*torrent).map(|(_, completed)| completed);
            picked.push((Some(*torrent), "torrents", *id, expected, found.written.get(id).copied()));
        }
        for (of, id, expected, found) in compared.counters(content).into_iter().filter(|row| row.2 != row.3) {
            picked.push((None, of, id, expected, found.map(|value| (true, value))));
        }
    };
    if nearest_commit == 0 {
        pick(&at_start);
    }
    ledger::replay_content(ledger, start, |content, transaction| {
        if transaction.token == nearest_commit {
            pick(content);
        }
    })?;
    let mut spans: Vec<Option<(u64, u64)>> = vec![None; picked.len()];
    let mut note = |content: &Content, token: u64| {
        for (span, (torrent, of, id, _, found)) in spans.iter_mut().zip(&picked) {
            let as_found = match torrent {
                Some(torrent) => !compared.differs(content, *id, *torrent),
                None => {
                    compared.counters(content).iter().any(|row| row.0 == *of && row.2 == found.map(|found| found.1))
                }
            };
            if as_found {
                *span = Some((span.map_or(token, |(first, _)| first), token));
            }
        }
    };
    note(&at_start, 0);
    ledger::replay_content(ledger, start, |content, transaction| note(content, transaction.token))?;
    let words = |value: Option<i64>| value.map_or_else(|| "no row".to_owned(), |value| value.to_string());
    for ((_, of, row, expected, found), found_after_commits) in picked.into_iter().zip(spans) {
        let found = match found {
            Some((false, value)) => format!("another info-hash, {value}"),
            found => words(found.map(|(_, value)| value)),
        };
        sample.push(RowDifference { of: of.to_owned(), row, expected: words(expected), found, found_after_commits });
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

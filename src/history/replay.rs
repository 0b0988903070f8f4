//! From the commits of a history to the digest of the database after each of them.
//!
//! What a commit changes is known from the history and from the rows that it touches, so a replay keeps the rows that the
//! run wrote, no others. Where even those would take more memory than allowed, the torrents are dealt out to several
//! passes: digests are sums, so each pass adds what its torrents contribute to each commit, in a temporary file of 40
//! bytes a commit, and the last one visits the states.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Seek, Write},
};

use super::{Change, Commit, History, HistoryError};
use crate::{
    dataset::{Aggregate, DOWNLOADS_TOTAL, Manifest},
    digest::{self, Digest},
    random::mix,
    torrents::{Torrent, Torrents},
};

/// Memory that [`replay`] may take for the rows that a run wrote, in bytes.
const REPLAY_BYTES: u64 = 64 << 20;

/// Bytes that one written row takes in memory, at the most.
const ROW_BYTES: u64 = 96;

/// One state that the database was in, or (a candidate) may have been in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The commit number k.
    pub commit: u64,
    /// When its token was taken, in microseconds since the ledger was created; 0 for S(0).
    pub at_us: u64,
    /// D(k).
    pub digest: Digest,
    /// Sum over the rows of `torrents` whose count is zero, where the dataset says which these were in S(0).
    pub zeros: Option<Digest>,
    /// Downloads that were counted since S(0): by how much the sum of `completed` has grown.
    pub downloads: i64,
    /// Whether the commit failed after its hook, so that it is not known to have happened.
    pub void: bool,
}

/// Replays a history from the dataset it started from and visits S(0), S(1), ... in order, void commits as candidates at
/// their place. Returns the last state that is not void. Takes 64 MiB of memory for the rows that were written.
///
/// # Errors
/// [`HistoryError`].
pub fn replay(history: &dyn History, start: &Manifest, visit: impl FnMut(&State)) -> Result<State, HistoryError> {
    replay_within(history, start, REPLAY_BYTES, visit)
}

/// As [`replay`], with another bound on memory, in bytes.
///
/// # Errors
/// [`HistoryError`].
pub fn replay_within(
    history: &dyn History,
    start: &Manifest,
    memory_bytes: u64,
    mut visit: impl FnMut(&State),
) -> Result<State, HistoryError> {
    let passes = (rows_max(history, start)? * ROW_BYTES).div_ceil(memory_bytes.max(ROW_BYTES)).max(1);
    let mut totals = None;
    for pass in 0..passes - 1 {
        totals = Some(add_pass(history, start, Share { pass, passes }, totals)?);
    }
    let mut totals = totals.map(PassTotals::new).transpose().map_err(HistoryError::Scratch)?;
    let mut rows = Rows::new(start, Share { pass: passes - 1, passes });
    let mut last = State { commit: 0, at_us: 0, digest: start.digest, zeros: start.zeros(), downloads: 0, void: false };
    visit(&last);
    history.visit(&mut |commit| {
        let mut moved = rows.apply_all(commit);
        if let Some(totals) = &mut totals {
            moved = moved.plus(totals.next().map_err(HistoryError::Scratch)?);
        }
        let state = State {
            commit: commit.number,
            at_us: commit.at_us,
            digest: last.digest + moved.digest,
            zeros: last.zeros.map(|zeros| zeros + moved.zeros),
            downloads: last.downloads + moved.downloads,
            void: commit.void,
        };
        visit(&state);
        if !commit.void {
            last = state;
        }
        Ok(())
    })?;
    Ok(last)
}

/// Rows that a run can have written: one for each change at the most, and no more than there are torrents to write.
fn rows_max(history: &dyn History, start: &Manifest) -> Result<u64, HistoryError> {
    let torrents = start.torrents().numbered().saturating_add(history.unseen_max()?);
    Ok(history.changes_max()?.min(torrents))
}

/// Visits S(1), S(2), ... with the rows that each commit left, void commits left out. Memory grows with the number of
/// torrents that were written: ask [`History::changes_max`] before.
pub(crate) fn replay_rows(
    history: &dyn History,
    start: &Manifest,
    mut visit: impl FnMut(&Rows, &Commit),
) -> Result<(), HistoryError> {
    let mut rows = Rows::new(start, Share::WHOLE);
    history.visit(&mut |commit| {
        rows.apply_all(commit);
        if !commit.void {
            visit(&rows, commit);
        }
        Ok(())
    })
}

/// What a transaction adds to the digest and to the downloads.
#[derive(Debug, Clone, Copy, Default)]
struct Moved {
    digest: Digest,
    zeros: Digest,
    downloads: i64,
}

impl Moved {
    fn plus(self, other: Self) -> Self {
        Self {
            digest: self.digest + other.digest,
            zeros: self.zeros + other.zeros,
            downloads: self.downloads + other.downloads,
        }
    }
}

/// One pass of a replay that takes several: adds up what its torrents contribute to each commit.
fn add_pass(history: &dyn History, start: &Manifest, share: Share, before: Option<File>) -> Result<File, HistoryError> {
    let scratch = HistoryError::Scratch;
    let mut before = before.map(PassTotals::new).transpose().map_err(scratch)?;
    let mut out = BufWriter::new(tempfile::tempfile().map_err(scratch)?);
    let mut rows = Rows::new(start, share);
    history.visit(&mut |commit| {
        let mut moved = rows.apply_all(commit);
        if let Some(before) = &mut before {
            moved = moved.plus(before.next().map_err(scratch)?);
        }
        out.write_all(&moved.digest.to_bytes()).map_err(scratch)?;
        out.write_all(&moved.zeros.to_bytes()).map_err(scratch)?;
        out.write_all(&moved.downloads.to_le_bytes()).map_err(scratch)
    })?;
    out.into_inner().map_err(|error| scratch(error.into_error()))
}

/// What earlier passes added up, commit by commit.
struct PassTotals(BufReader<File>);

impl PassTotals {
    fn new(mut file: File) -> io::Result<Self> {
        file.rewind()?;
        Ok(Self(BufReader::new(file)))
    }

    fn next(&mut self) -> io::Result<Moved> {
        let (mut digest, mut zeros, mut downloads) = ([0; 16], [0; 16], [0; 8]);
        self.0.read_exact(&mut digest)?;
        self.0.read_exact(&mut zeros)?;
        self.0.read_exact(&mut downloads)?;
        let (digest, zeros) = (Digest::from_bytes(digest), Digest::from_bytes(zeros));
        Ok(Moved { digest, zeros, downloads: i64::from_le_bytes(downloads) })
    }
}

/// The torrents of one pass: one in `passes` of them.
#[derive(Debug, Clone, Copy)]
struct Share {
    pass: u64,
    passes: u64,
}

impl Share {
    const WHOLE: Self = Self { pass: 0, passes: 1 };

    fn holds(self, torrent: Torrent) -> bool {
        let number = match torrent {
            Torrent::Known(number) => number << 1,
            Torrent::Unseen(number) => number << 1 | 1,
        };
        self.passes == 1 || mix(number) % self.passes == self.pass
    }
}

/// The rows that commits change, and what they add to the digest of all of them.
#[derive(Debug)]
pub(crate) struct Rows {
    torrents: Torrents,
    share: Share,
    /// Id and count of every torrent that was written; the others are as in the dataset.
    written: HashMap<Torrent, (i64, i64)>,
    /// `sqlite_sequence` of `torrents`: every upsert moves it on by one, even one that only updates.
    sequence: i64,
    /// The total of downloads, where the database keeps one.
    aggregate: Option<Aggregate>,
    digest: Digest,
    zeros: Digest,
    downloads: i64,
}

/// What [`Rows::restore`] needs to take a transaction back.
struct Saved {
    rows: Vec<(Torrent, Option<(i64, i64)>)>,
    sequence: i64,
    aggregate: Option<Aggregate>,
    digest: Digest,
    zeros: Digest,
    downloads: i64,
}

impl Rows {
    fn new(start: &Manifest, share: Share) -> Self {
        Self {
            torrents: start.torrents(),
            share,
            written: HashMap::new(),
            sequence: start.sequence,
            aggregate: start.aggregate,
            digest: Digest::default(),
            zeros: Digest::default(),
            downloads: 0,
        }
    }

    /// S(0).
    pub(crate) fn at_start(start: &Manifest) -> Self {
        Self::new(start, Share::WHOLE)
    }

    /// `sqlite_sequence` of `torrents`.
    pub(crate) fn sequence(&self) -> i64 {
        self.sequence
    }

    /// The row that keeps the total of downloads, where there is one.
    pub(crate) fn aggregate(&self) -> Option<Aggregate> {
        self.aggregate
    }

    /// Makes the changes of a transaction, unless it is void. Returns what they add.
    fn apply_all(&mut self, commit: &Commit) -> Moved {
        let (digest, zeros, downloads) = (self.digest, self.zeros, self.downloads);
        let before = commit.void.then(|| self.saved(commit));
        commit.changes.iter().for_each(|change| self.apply(*change));
        let moved =
            Moved { digest: self.digest - digest, zeros: self.zeros - zeros, downloads: self.downloads - downloads };
        if let Some(before) = before {
            self.restore(before);
        }
        moved
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Download(torrent) => {
                self.upsert(torrent, |before| before.unwrap_or(0) + 1);
                self.count_download();
            }
            Change::StoreCount(torrent, count) => self.upsert(torrent, |_| count),
            Change::CountTorrent(torrent) => {
                if let Some((id, completed)) = self.row(torrent).filter(|_| self.share.holds(torrent)) {
                    self.store(torrent, id, completed + 1);
                }
            }
            Change::CountTotal => self.count_download(),
            Change::Nothing => {}
        }
    }

    /// `INSERT INTO torrents ... ON CONFLICT (info_hash) DO UPDATE SET completed = ...`; `count` is told the count that
    /// the row had, if there was one.
    fn upsert(&mut self, torrent: Torrent, count: impl FnOnce(Option<i64>) -> i64) {
        self.sequence += 1;
        if self.share.pass == 0 {
            self.digest -= digest::sequence("torrents", self.sequence - 1);
            self.digest += digest::sequence("torrents", self.sequence);
        }
        if !self.share.holds(torrent) {
            return;
        }
        let before = self.row(torrent);
        let id = before.map_or(self.sequence, |(id, _)| id);
        self.store(torrent, id, count(before.map(|(_, completed)| completed)));
    }

    /// The row of a torrent becomes this.
    fn store(&mut self, torrent: Torrent, id: i64, completed: i64) {
        let info_hash = self.torrents.info_hash(torrent);
        let hash = |id, completed| digest::torrent(id, info_hash.as_bytes(), completed);
        let of_zero = |hash, completed| if completed == 0 { hash } else { Digest::default() };
        if let Some((id, completed)) = self.row(torrent) {
            let before = hash(id, completed);
            self.digest -= before;
            self.zeros -= of_zero(before, completed);
            self.downloads -= completed;
        }
        let after = hash(id, completed);
        self.downloads += completed;
        self.digest += after;
        self.zeros += of_zero(after, completed);
        self.written.insert(torrent, (id, completed));
    }

    /// `UPDATE torrent_aggregate_metrics SET value = value + 1 WHERE metric_name = 'torrents_downloads_total'`.
    fn count_download(&mut self) {
        let Some(Aggregate { id, value }) = self.aggregate.as_mut().filter(|_| self.share.pass == 0) else { return };
        self.digest -= digest::aggregate(*id, DOWNLOADS_TOTAL, *value);
        *value += 1;
        self.digest += digest::aggregate(*id, DOWNLOADS_TOTAL, *value);
    }

    /// Id and count of a torrent's row, if it has one.
    pub(crate) fn row(&self, torrent: Torrent) -> Option<(i64, i64)> {
        self.written.get(&torrent).copied().or(match torrent {
            Torrent::Known(number) => Some((self.torrents.id(number), self.torrents.completed(number))),
            Torrent::Unseen(_) => None,
        })
    }

    fn saved(&self, commit: &Commit) -> Saved {
        let rows = commit.torrents().map(|torrent| (torrent, self.written.get(&torrent).copied())).collect();
        let Self { sequence, aggregate, digest, zeros, downloads, .. } = *self;
        Saved { rows, sequence, aggregate, digest, zeros, downloads }
    }

    fn restore(&mut self, saved: Saved) {
        for (torrent, row) in saved.rows {
            match row {
                Some(row) => self.written.insert(torrent, row),
                None => self.written.remove(&torrent),
            };
        }
        (self.sequence, self.aggregate) = (saved.sequence, saved.aggregate);
        (self.digest, self.zeros, self.downloads) = (saved.digest, saved.zeros, saved.downloads);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::dataset::{Dataset, generate};

    /// So many commits of one download each; every fifth, from the first on, of a torrent that the dataset does not have.
    struct Downloads {
        commits: u64,
        counts_unseen: bool,
        visits: std::sync::atomic::AtomicU64,
    }

    impl History for Downloads {
        fn visit(&self, visit: &mut dyn FnMut(&Commit) -> Result<(), HistoryError>) -> Result<(), HistoryError> {
            self.visits.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            (0..self.commits).try_for_each(|n| {
                let torrent = if n % 5 == 0 { Torrent::Unseen(n) } else { Torrent::Known(n % 100 + 1) };
                visit(&Commit { number: n + 1, at_us: n, changes: vec![Change::Download(torrent)], void: false })
            })
        }

        fn changes_max(&self) -> Result<u64, HistoryError> {
            Ok(self.commits)
        }

        fn unseen_max(&self) -> Result<u64, HistoryError> {
            Ok(if self.counts_unseen { self.commits.div_ceil(5) } else { self.commits })
        }
    }

    #[test]
    fn passes_are_planned_by_the_rows_that_can_be_written() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset { rows: 100, seed: 1, page_size_bytes: 1024, zero_share_ppm: 0 };
        let start = generate(&dataset, &folder.path().join("db"), &Arc::default(), &mut |_| ()).unwrap();
        let mut digests = Vec::new();
        for (commits, counts_unseen, rows_a_pass, passes) in [
            (0, true, 10, 1),
            // Fewer changes than rows.
            (50, true, 10, 5),
            // 100 rows and 200 that are new, of 1,000 changes.
            (1_000, true, 100, 3),
            (1_000, true, 300, 1),
            (1_000, true, 299, 2),
            (1_000, false, 100, 10),
        ] {
            let history = Downloads { commits, counts_unseen, visits: 0.into() };
            let last = replay_within(&history, &start, rows_a_pass * ROW_BYTES, |_| ()).unwrap();
            let context = format!("{commits} commits, {rows_a_pass} rows a pass");
            assert_eq!(history.visits.into_inner(), passes, "{context}");
            digests.extend((commits == 1_000).then_some(last.digest));
        }
        assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
    }

    #[test]
    fn a_history_that_is_checked_has_as_many_rows() {
        let folder = tempfile::tempdir().unwrap();
        let dataset = Dataset { rows: 100, seed: 1, page_size_bytes: 1024, zero_share_ppm: 0 };
        let start = generate(&dataset, &folder.path().join("db"), &Arc::default(), &mut |_| ()).unwrap();
        let history = Downloads { commits: 1_000, counts_unseen: true, visits: 0.into() };
        let checked = crate::history::Checked::new(&history, start.torrents());
        assert_eq!((rows_max(&history, &start).unwrap(), rows_max(&checked, &start).unwrap()), (300, 300));
    }
}

//! The file of a ledger, read as a history.

use std::{
    collections::HashSet,
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use super::{
    record::{Entry, RECORD_BYTES, Record, decode},
    window::WINDOW_BYTES,
};
use crate::{
    history::{Change, Commit, History, HistoryError},
    torrents::Torrent,
    work,
};

/// Records of zeros in a file at most. A killed harness leaves as many as the file had grown ahead.
const HOLES_MOST: u64 = 1 << 20;

/// Changes of one transaction at most: those of a batch of 100,000 operations, some times over.
const CHANGES_MOST: usize = 1 << 20;

/// All counts together that transactions store, at most, so that sums of them stay in range.
const COUNTS_MOST: u64 = 1 << 61;

/// The file of a ledger, read as a history.
///
/// A transaction whose last record is missing, as after a kill, ends the history: its commit had not happened.
#[derive(Debug)]
pub struct LedgerFile {
    path: PathBuf,
    /// Records in the file; those of zeros at its end are none.
    records: u64,
    /// Whether the file is as long as one that was not closed, so that its last record may be cut short.
    is_open_ended: bool,
    /// Those of them that are about a torrent that the dataset does not have.
    unseen: u64,
    /// The tokens of the commits that failed after their hook: one for each error that the disk answered a commit with, some
    /// 20 bytes in memory.
    voids: HashSet<u64>,
}

impl LedgerFile {
    /// Opens the file as long as it is now.
    ///
    /// # Errors
    /// [`HistoryError::Read`] and [`HistoryError::Damaged`].
    pub fn open(path: &Path) -> Result<Self, HistoryError> {
        let read = |source| HistoryError::Read { path: path.to_owned(), source };
        work::check_regular(path).map_err(read)?;
        let bytes = path.metadata().map_err(read)?.len();
        let (records, is_open_ended) = (bytes / RECORD_BYTES as u64, bytes.is_multiple_of(WINDOW_BYTES as u64));
        let mut file = Self { path: path.to_owned(), records, is_open_ended, unseen: 0, voids: HashSet::new() };
        let (mut unseen, mut voids, mut counts) = (0, HashSet::new(), 0_u64);
        let records = file.read(|record| {
            match record.entry {
                Entry::Void => drop(voids.insert(record.token)),
                Entry::Change(change) => {
                    if let Change::StoreCount(_, count) = change {
                        counts = counts.saturating_add(count.unsigned_abs());
                    }
                    unseen += u64::from(matches!(change.torrent(), Some(Torrent::Unseen(_))));
                }
            }
            Ok(counts <= COUNTS_MOST)
        })?;
        (file.records, file.unseen, file.voids) = (records, unseen, voids);
        Ok(file)
    }

    /// Reads every record; `accept` says whether it may stand where it does. Returns how many there are before the zeros at
    /// the end.
    fn read(&self, mut accept: impl FnMut(Record) -> Result<bool, HistoryError>) -> Result<u64, HistoryError> {
        let read = |source| HistoryError::Read { path: self.path.clone(), source };
        let damaged = |record| HistoryError::Damaged { path: self.path.clone(), record };
        let mut reader = BufReader::with_capacity(1 << 16, File::open(&self.path).map_err(read)?);
        let mut record = [0; RECORD_BYTES];
        let (mut holes, mut records, mut cut_short) = (0, 0, None);
        for number in 0..self.records {
            reader.read_exact(&mut record).map_err(read)?;
            if record == [0; RECORD_BYTES] {
                holes += 1;
                if holes > HOLES_MOST {
                    return Err(damaged(number));
                }
            } else if let Some(cut_short) = cut_short {
                // It is the last one or damaged.
                return Err(damaged(cut_short));
            } else if self.is_open_ended && record.starts_with(&[0; size_of::<u64>()]) {
                cut_short = Some(number);
            } else if decode(&record).map(&mut accept).transpose()? == Some(true) {
                records = number + 1;
            } else {
                return Err(damaged(number));
            }
        }
        Ok(records)
    }
}

impl History for LedgerFile {
    fn visit(&self, visit: &mut dyn FnMut(&Commit) -> Result<(), HistoryError>) -> Result<(), HistoryError> {
        let mut open = Commit::default();
        let mut is_open = false;
        self.read(|Record { token, is_last, at_us, entry }| {
            let Entry::Change(change) = entry else { return Ok(true) };
            if token != open.number + u64::from(!is_open) {
                return Ok(false);
            }
            if !is_open {
                open.changes.clear();
                (open.number, open.at_us, open.void) = (token, at_us, self.voids.contains(&token));
            }
            if open.changes.len() == CHANGES_MOST {
                return Ok(false);
            }
            open.changes.push(change);
            is_open = !is_last;
            if is_last {
                visit(&open)?;
            }
            Ok(true)
        })
        .map(drop)
    }

    fn changes_max(&self) -> Result<u64, HistoryError> {
        Ok(self.records)
    }

    fn unseen_max(&self) -> Result<u64, HistoryError> {
        Ok(self.unseen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::ledger::record::{bytes, encode};

    /// What is read of records that are written so.
    fn read(write: impl FnOnce(&mut Vec<u8>)) -> Result<u64, HistoryError> {
        let mut bytes = Vec::new();
        write(&mut bytes);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        std::fs::write(&path, bytes).unwrap();
        let mut changes = 0;
        LedgerFile::open(&path)?.visit(&mut |commit| {
            changes += commit.changes.len() as u64;
            Ok(())
        })?;
        Ok(changes)
    }

    #[test]
    fn what_no_harness_writes_is_damage() {
        let nothing = |token, to_come, out: &mut Vec<u8>| {
            out.extend(bytes(encode(token, to_come, 5, Entry::Change(Change::Nothing))));
        };
        let holes = |count: u64| {
            move |out: &mut Vec<u8>| {
                nothing(1, 0, out);
                out.resize(out.len() + usize::try_from(count).unwrap() * RECORD_BYTES, 0);
                nothing(2, 0, out);
            }
        };
        assert_eq!(read(holes(HOLES_MOST)).unwrap(), 2);
        let damaged = |result: Result<u64, HistoryError>, at: u64| {
            let error = result.unwrap_err();
            assert!(matches!(error, HistoryError::Damaged { record, .. } if record == at), "{error}");
        };
        damaged(read(holes(HOLES_MOST + 1)), HOLES_MOST + 1);
        let changes =
            |count: usize| move |out: &mut Vec<u8>| (1..=count).for_each(|place| nothing(1, count - place, out));
        assert_eq!(read(changes(CHANGES_MOST)).unwrap(), CHANGES_MOST as u64);
        damaged(read(changes(CHANGES_MOST + 1)), CHANGES_MOST as u64);
        let counts = |second: i64| {
            move |out: &mut Vec<u8>| {
                for (token, count) in [(1, -(1 << 60)), (2, second)] {
                    out.extend(bytes(encode(token, 0, 5, Entry::Change(Change::StoreCount(Torrent::Known(1), count)))));
                }
            }
        };
        assert_eq!(read(counts(1 << 60)).unwrap(), 2);
        damaged(read(counts((1 << 60) + 1)), 1);
        damaged(read(counts(i64::MIN)), 1);
        let folder = tempfile::tempdir().unwrap();
        let error = LedgerFile::open(folder.path()).unwrap_err();
        assert!(matches!(error, HistoryError::Read { .. }), "{error}");
    }

    #[test]
    fn what_a_killed_harness_leaves_ends_the_history() {
        let record = |token: u64| bytes(encode(token, 0, 5, Entry::Change(Change::Nothing)));
        let cut_short = |from: usize| [vec![0; from], record(3)[from..].to_vec()].concat();
        let file = |last: Vec<u8>, length: usize| {
            move |out: &mut Vec<u8>| {
                out.extend([record(1), record(2), last].concat());
                out.resize(length, 0);
            }
        };
        assert_eq!(read(file(record(3), WINDOW_BYTES)).unwrap(), 3);
        for from in [8, 16] {
            assert_eq!(read(file(cut_short(from), WINDOW_BYTES)).unwrap(), 2);
        }
        let at_the_end = |out: &mut Vec<u8>| {
            (1..(WINDOW_BYTES / RECORD_BYTES) as u64).for_each(|token| out.extend(record(token)));
            out.extend(cut_short(8));
        };
        assert_eq!(read(at_the_end).unwrap(), (WINDOW_BYTES / RECORD_BYTES) as u64 - 1);
        for (last, length) in [
            (cut_short(8), 3 * RECORD_BYTES),
            (cut_short(8), WINDOW_BYTES - RECORD_BYTES),
            ([cut_short(8), record(4)].concat(), WINDOW_BYTES),
            ([cut_short(8), cut_short(8)].concat(), WINDOW_BYTES),
            ([record(3)[..16].to_vec(), vec![0; 16]].concat(), WINDOW_BYTES),
        ] {
            let error = read(file(last, length)).unwrap_err();
            assert!(matches!(error, HistoryError::Damaged { record: 2, .. }), "{error}");
        }
    }

    #[test]
    fn zeros_at_the_end_are_no_records() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        std::fs::write(&path, bytes(encode(1, 0, 5, Entry::Change(Change::Nothing)))).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(WINDOW_BYTES as u64).unwrap();
        assert_eq!(LedgerFile::open(&path).unwrap().changes_max().unwrap(), 1);
    }
}

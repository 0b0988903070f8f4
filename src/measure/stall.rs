//! The longest times in which somebody waited for a commit and nobody's write was committed.
//!
//! A stretch without a commit says little by itself: perhaps nobody wanted to write. A *stall* begins when a write is due while
//! none waits, or with the last commit where others still wait, and ends with the next commit, or when nobody waits any more.
//! It is known to the millisecond, from when writes were due and when they ended.
//!
//! Operations are told when they have ended, so a time is looked at only when it is [`KEPT_MS`] old; what ends even later
//! counts as if it had been due then.

use std::collections::VecDeque;

/// How long after a time its operations may still be told of, in milliseconds: longer than any client waits and SQLite tries.
const KEPT_MS: u64 = 300_000;

/// Finds stalls.
#[derive(Debug, Default)]
pub struct StallTracker {
    /// One for each millisecond from `first_ms` on.
    cells: VecDeque<Cell>,
    first_ms: u64,
    /// Writes that wait at the beginning of the first cell.
    waiting: u64,
    /// When the stall began that goes on there.
    since_ms: Option<u64>,
}

/// What happened in one millisecond.
#[derive(Debug, Default, Clone, Copy)]
struct Cell {
    due: u32,
    ended: u32,
    committed: bool,
}

impl StallTracker {
    /// So many writes were due at a time, in milliseconds from the start of the load.
    pub fn due(&mut self, at_ms: u64, writes: u64) {
        if let Some(cell) = self.cell(at_ms, writes) {
            cell.due = cell.due.saturating_add(u32::try_from(writes).unwrap_or(u32::MAX));
        }
    }

    /// So many of those that were due ended at a time: with a commit, or without.
    pub fn ended(&mut self, at_ms: u64, writes: u64, committed: bool) {
        if let Some(cell) = self.cell(at_ms, writes) {
            cell.ended = cell.ended.saturating_add(u32::try_from(writes).unwrap_or(u32::MAX));
            cell.committed |= committed;
        }
    }

    fn cell(&mut self, at_ms: u64, writes: u64) -> Option<&mut Cell> {
        if writes == 0 {
            return None;
        }
        // What is told too late is counted where there is still something to count.
        let place = usize::try_from(at_ms.saturating_sub(self.first_ms)).ok()?;
        if place >= self.cells.len() {
            self.cells.resize(place + 1, Cell::default());
        }
        self.cells.get_mut(place)
    }

    /// It is this time now: passes on the stalls that have ended and are old enough to be known, as `(from_ms, to_ms)`.
    pub fn advance(&mut self, now_ms: u64, stall: impl FnMut(u64, u64)) {
        self.close_until(now_ms.saturating_sub(KEPT_MS), stall);
    }

    /// The load has ended at this time: passes on the stalls that are left, the one that goes on among them.
    pub fn finish(&mut self, end_ms: u64, mut stall: impl FnMut(u64, u64)) {
        self.close_until(end_ms, &mut stall);
        if let Some(since_ms) = self.since_ms.take() {
            stall(since_ms, end_ms);
        }
    }

    fn close_until(&mut self, end_ms: u64, mut stall: impl FnMut(u64, u64)) {
        while self.first_ms < end_ms {
            let Some(cell) = self.cells.pop_front() else {
                self.first_ms = end_ms;
                return;
            };
            if let Some((from_ms, to_ms)) = self.close(cell) {
                stall(from_ms, to_ms);
            }
            self.first_ms += 1;
        }
    }

    /// Goes beyond a cell, and returns the stall that ended in it.
    fn close(&mut self, Cell { due, ended, committed }: Cell) -> Option<(u64, u64)> {
        let at_ms = self.first_ms;
        if self.waiting > 0 || due > 0 {
            self.since_ms.get_or_insert(at_ms);
        }
        self.waiting = (self.waiting + u64::from(due)).saturating_sub(u64::from(ended));
        let has_ended = committed || self.waiting == 0;
        let since_ms = if has_ended { self.since_ms.take() } else { None };
        if self.waiting > 0 {
            self.since_ms.get_or_insert(at_ms);
        }
        since_ms.map(|since_ms| (since_ms, at_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stalls of writes that were each due at a time, ended at another, and were committed or not.
    fn stalls(writes: &[(u64, u64, bool)], end_ms: u64) -> Vec<(u64, u64)> {
        let mut tracker = StallTracker::default();
        for (due_ms, ended_ms, committed) in writes {
            tracker.due(*due_ms, 1);
            tracker.ended(*ended_ms, 1, *committed);
        }
        let mut found = Vec::new();
        tracker.finish(end_ms, |from_ms, to_ms| {
            if to_ms > from_ms {
                found.push((from_ms, to_ms));
            }
        });
        found
    }

    #[test]
    fn a_stall_lasts_while_somebody_waits_and_nobody_commits() {
        for (name, writes, expected) in [
            ("nobody writes", &[][..], &[][..]),
            ("one at once", &[(5, 5, true)], &[]),
            ("nobody waits between them", &[(5, 5, true), (500, 500, true)], &[]),
            ("one that takes its time", &[(5, 30, true)], &[(5, 30)]),
            ("two behind each other", &[(5, 30, true), (10, 70, true)], &[(5, 30), (30, 70)]),
            ("one that was waiting when another was due", &[(5, 70, true), (10, 30, true)], &[(5, 30), (30, 70)]),
            ("one that fails is no commit", &[(5, 30, false), (10, 70, true)], &[(5, 70)]),
            ("one that fails alone", &[(5, 30, false), (40, 70, true)], &[(5, 30), (40, 70)]),
            ("one that waits at the end", &[(5, 500, true)], &[(5, 100)]),
            ("many", &[(1, 2, true), (2, 3, true), (3, 9, true), (4, 9, true)], &[(1, 2), (2, 3), (3, 9)]),
        ] {
            assert_eq!(stalls(writes, 100), expected, "{name}");
        }
    }

    #[test]
    fn it_is_known_while_the_load_goes_on_and_takes_no_more_memory() {
        let mut tracker = StallTracker::default();
        let mut found = Vec::new();
        for second in 0..2_000_u64 {
            // Each second one write waits for as many milliseconds as it has come.
            tracker.due(second * 1_000, 1);
            tracker.ended(second * 1_000 + second % 900, 1, true);
            tracker.advance(second * 1_000, |from_ms, to_ms| found.push(to_ms - from_ms));
            assert!(tracker.cells.len() <= usize::try_from(KEPT_MS).unwrap() + 1_000);
        }
        assert_eq!(found.len(), 1_699, "those of the last five minutes may still change");
        assert!(found.iter().enumerate().all(|(second, stalled_ms)| *stalled_ms == second as u64 % 900));
        tracker.finish(2_000_000, |from_ms, to_ms| found.push(to_ms - from_ms));
        assert_eq!(found.len(), 2_000);
    }

    #[test]
    fn what_is_told_too_late_leaves_the_count_whole() {
        let mut tracker = StallTracker::default();
        tracker.due(1, 1);
        tracker.ended(2, 1, true);
        tracker.advance(KEPT_MS + 50, |_, _| ());
        // It was due long before, and ends only now.
        tracker.due(10, 1);
        tracker.ended(KEPT_MS + 60, 1, true);
        let mut found = Vec::new();
        tracker.finish(KEPT_MS + 100, |from_ms, to_ms| found.push((from_ms, to_ms)));
        assert_eq!(found, [(50, KEPT_MS + 60)]);
        assert_eq!(tracker.waiting, 0);
    }
}

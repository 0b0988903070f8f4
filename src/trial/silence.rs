//! Finds the longest times in which requests were due or waiting and none was served: the write that everybody waits for, the
//! packets that nobody reads.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    ops::{Add as _, Range},
    time::Instant,
};

use crate::{
    measure::{Outcome, SLICE_NS, SeenCheckpoint, Slice, StallTracker},
    results::Silence,
};

/// So many of a trial are kept: the longest.
const KEPT: usize = 5;

const SLICE_MS: u64 = SLICE_NS / 1_000_000;

/// The longest silences of a load so far.
#[derive(Debug)]
pub struct SilenceLog {
    /// When the load began.
    start: Instant,
    tracker: StallTracker,
    /// When the warm-up ends.
    begin_ms: u64,
    /// In milliseconds from the start of the load, the longest first.
    longest_ms: Vec<Range<u64>>,
    /// Requests that were not served in time, by the slice in which they were due.
    unserved: BTreeMap<u64, u64>,
    /// Checkpoints, in seconds from the start of the load: some dozens of bytes each.
    checkpoints_s: Vec<Range<f64>>,
}

impl SilenceLog {
    /// Of a load that begins at an instant.
    pub fn new(start: Instant) -> Self {
        Self {
            start,
            tracker: StallTracker::default(),
            begin_ms: 0,
            longest_ms: Vec::new(),
            unserved: BTreeMap::new(),
            checkpoints_s: Vec::new(),
        }
    }

    /// The warm-up ends before this slice.
    pub fn begin(&mut self, first_slice: u64) {
        self.begin_ms = first_slice * SLICE_MS;
    }

    /// Adds what one worker did in one slice. Clients wait for so many slices.
    pub fn add(&mut self, slice: &Slice, client_timeout_slices: u64) {
        let at_ms = slice.index * SLICE_MS;
        let mut unserved = 0;
        for sample in &slice.samples {
            let is_served = sample.outcome == Outcome::Served;
            let due_us = sample.ended_us.saturating_sub(u64::from(sample.response_us));
            self.tracker.due(due_us / 1_000, 1);
            self.tracker.ended(sample.ended_us / 1_000, 1, is_served);
            unserved += u64::from(!is_served);
        }
        let (dropped, never_served): (u64, u64) = (slice.dropped.iter().sum(), slice.never_served.iter().sum());
        self.tracker.due(at_ms, dropped + never_served);
        self.tracker.ended(at_ms + client_timeout_slices * SLICE_MS, dropped, false);
        unserved += dropped + never_served;
        let of_start = |checkpoint: SeenCheckpoint| {
            let from_s = checkpoint.begun.saturating_duration_since(self.start).as_secs_f64();
            from_s..from_s + checkpoint.duration.as_secs_f64()
        };
        self.checkpoints_s.extend(slice.checkpoints().map(of_start));
        if unserved > 0 {
            *self.unserved.entry(slice.index).or_default() += unserved;
        }
        let (longest_ms, begin_ms) = (&mut self.longest_ms, self.begin_ms);
        self.tracker.advance(at_ms, |from_ms, to_ms| note(longest_ms, from_ms.max(begin_ms)..to_ms));
    }

    /// The load has ended.
    pub fn finish(&mut self, end_ms: u64) {
        let (longest_ms, begin_ms) = (&mut self.longest_ms, self.begin_ms);
        self.tracker.finish(end_ms, |from_ms, to_ms| note(longest_ms, from_ms.max(begin_ms)..to_ms));
    }

    /// The longest of them after the warm-up, in time order.
    pub fn longest(&self) -> Vec<Silence> {
        let mut longest = self.longest_ms.clone();
        longest.sort_unstable_by_key(|silence| silence.start);
        longest.into_iter().map(|silence| self.silence(silence)).collect()
    }

    fn silence(&self, ms: Range<u64>) -> Silence {
        let slices = ms.start / SLICE_MS..=ms.end / SLICE_MS;
        let (started_s, duration_s) = (ms.start as f64 / 1e3, (ms.end - ms.start) as f64 / 1e3);
        let overlap_s = |one: &Range<f64>| one.end.min(started_s + duration_s) - one.start.max(started_s);
        let checkpoint_s =
            self.checkpoints_s.iter().map(overlap_s).filter(|overlap_s| *overlap_s > 0.0).fold(0.0, f64::add);
        Silence {
            started_s,
            duration_s,
            unserved: self.unserved.range(slices).map(|(_, requests)| requests).sum(),
            checkpoint_s: Some(checkpoint_s.min(duration_s)),
        }
    }
}

/// Keeps a silence where it is one of the longest.
fn note(longest_ms: &mut Vec<Range<u64>>, silence: Range<u64>) {
    if silence.is_empty() {
        return;
    }
    let length = |silence: &Range<u64>| Reverse(silence.end - silence.start);
    let place = longest_ms.partition_point(|longer| length(longer) <= length(&silence));
    if place < KEPT {
        longest_ms.insert(place, silence);
        longest_ms.truncate(KEPT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Class, Sample};
    use std::time::Duration;

    fn sample(due_ms: u64, ended_ms: u64, outcome: Outcome) -> Sample {
        Sample {
            class: Class::ReadingAnnounce,
            outcome,
            response_us: u32::try_from((ended_ms - due_ms) * 1_000).unwrap(),
            service_us: 1,
            lag_us: None,
            ended_us: ended_ms * 1_000,
            committed: false,
            carried_checkpoint: false,
            statements: 1,
        }
    }

    #[test]
    fn the_longest_are_kept_with_what_was_not_served_in_them() {
        let start = Instant::now();
        let mut log = SilenceLog::new(start);
        log.begin(100);
        for (from_ms, length_ms) in [(1_990, 20), (2_040, 5), (2_045, 100), (5_500, 1_000)] {
            let (begun, duration) = (start + Duration::from_millis(from_ms), Duration::from_millis(length_ms));
            let seen_checkpoints = vec![SeenCheckpoint { begun, duration }];
            log.add(&Slice { index: 0, seen_checkpoints, ..Slice::default() }, 20);
        }
        let slice = |at_ms: u64, samples: Vec<_>| Slice { index: at_ms / SLICE_MS, samples, ..Slice::default() };
        // In the warm-up; then seven, of which the last goes on to the end of the load.
        log.add(&slice(10, vec![sample(10, 900, Outcome::Served)]), 20);
        for (number, length_ms) in (2..).zip([50, 60, 5, 70, 80, 30]) {
            let due_ms = number * 1_000;
            let waits = vec![
                sample(due_ms, due_ms + length_ms, Outcome::Served),
                sample(due_ms + 1, due_ms + 2, Outcome::TimedOut),
            ];
            log.add(&slice(due_ms, waits), 20);
        }
        log.add(&Slice { index: 900, dropped: [3, 0, 0, 0], never_served: [0, 0, 0, 1], ..Slice::default() }, 20);
        log.finish(10_000);
        let found: Vec<_> = log.longest().iter().map(|one| (one.started_s, one.duration_s, one.unserved)).collect();
        assert_eq!(found, [(2.0, 0.05, 1), (3.0, 0.06, 1), (5.0, 0.07, 1), (6.0, 0.08, 1), (9.0, 1.0, 4)]);
        let in_ms = |one: &Silence| (one.checkpoint_s.unwrap() * 1e3).round();
        assert_eq!(log.longest().iter().map(in_ms).collect::<Vec<_>>(), [20.0, 0.0, 0.0, 80.0, 0.0]);
    }

    #[test]
    fn where_all_are_served_at_once_there_is_none() {
        let mut log = SilenceLog::new(Instant::now());
        let served = (0..10).map(|at_ms| sample(at_ms, at_ms, Outcome::Served)).collect();
        log.add(&Slice { index: 0, samples: served, ..Slice::default() }, 1_500);
        log.finish(1_000);
        assert!(log.longest().is_empty());
    }
}

//! What was seen of a snapshot from outside: how far it was, and what became of the WAL while it ran and after it.

use std::path::Path;

use super::wal_sampler::WalSample;
use crate::{
    measure::seconds,
    results::{ProgressPoint, WalResult},
    snapshot::CopyProgress,
    work,
};

/// Points of a snapshot's progress that are kept at most; beyond, every second one goes.
const POINTS_MAX: usize = 64;

/// A snapshot that runs, as the conductor knows it.
#[derive(Clone, Copy)]
pub struct RunningSnapshot<'a> {
    /// The slice in which it began.
    pub first_slice: u64,
    /// The file that it makes.
    pub out: &'a Path,
    /// What its strategy last said of its progress.
    pub said: Option<CopyProgress>,
}

/// What was seen of one snapshot.
pub struct Observation {
    /// Of the WAL; `None` in the other journal modes.
    pub wal: Option<WalResult>,
    /// How far it was, over time.
    pub progress: Vec<ProgressPoint>,
    /// One look in so many adds a point.
    stride: u64,
    looks: u64,
    /// The slice in which the snapshot ended; `None` while it runs.
    ended_slice: Option<u64>,
}

impl Observation {
    /// Of a snapshot that begins; `before` is the last sample of the WAL, where there is one.
    pub fn begin(before: Option<WalSample>) -> Self {
        let wal = before.map(|before| WalResult::at_start(before.file_bytes, before.used_bytes));
        Self { wal, progress: Vec::new(), stride: 1, looks: 0, ended_slice: None }
    }

    /// The snapshot has ended in this slice.
    pub fn end(&mut self, now: u64) {
        self.ended_slice = Some(now);
    }

    /// Adds a sample of the WAL and the one before it, taken while the snapshot ran or after it. `baseline_used_bytes` is the
    /// most that was in use in the baseline.
    pub fn note_wal(&mut self, now: u64, before: WalSample, sample: WalSample, baseline_used_bytes: u64) {
        let Some(wal) = &mut self.wal else { return };
        wal.baseline_peak_used_bytes = baseline_used_bytes;
        let WalSample { file_bytes, used_bytes, .. } = sample;
        let Some(ended_slice) = self.ended_slice else {
            wal.peak_bytes = wal.peak_bytes.max(file_bytes);
            wal.peak_used_bytes = wal.peak_used_bytes.max(used_bytes);
            wal.restarts += u64::from(before.sequence != sample.sequence);
            wal.main_file_changes += u64::from(before.main_changed_ns != sample.main_changed_ns);
            return;
        };
        wal.peak_after_bytes = wal.peak_after_bytes.max(file_bytes);
        wal.peak_after_used_bytes = wal.peak_after_used_bytes.max(used_bytes);
        if wal.back_after_s.is_none() && used_bytes <= baseline_used_bytes {
            wal.back_after_s = Some(seconds(now - ended_slice));
        }
    }

    /// Adds how far the snapshot is.
    pub fn note_progress(&mut self, now: u64, running: RunningSnapshot<'_>) {
        if self.looks.is_multiple_of(self.stride) {
            self.progress.push(ProgressPoint {
                t_s: seconds(now - running.first_slice),
                bytes: work::file_bytes(running.out),
                done: running.said.and_then(CopyProgress::done),
            });
        }
        self.looks += 1;
        if self.progress.len() > POINTS_MAX {
            let mut is_kept = false;
            self.progress.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            self.stride *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_thinned_evenly() {
        let mut observation = Observation::begin(None);
        for now in 0..1_000 {
            let running = RunningSnapshot { first_slice: 0, out: Path::new("/no/such"), said: None };
            observation.note_progress(now, running);
        }
        assert!((POINTS_MAX / 2..=POINTS_MAX).contains(&observation.progress.len()));
        let gaps: Vec<_> = observation.progress.windows(2).map(|pair| pair[1].t_s - pair[0].t_s).collect();
        assert!(gaps.iter().all(|gap| (gap - gaps[0]).abs() < 1e-9), "{gaps:?}");
    }

    #[test]
    fn the_wal_is_followed_while_a_snapshot_runs_and_after_it() {
        let sample = |file_bytes, used_bytes, sequence, main_changed_ns| WalSample {
            file_bytes,
            used_bytes,
            sequence,
            main_changed_ns,
        };
        let samples = [sample(100, 40, 1, 7), sample(300, 300, 1, 7), sample(300, 20, 2, 8), sample(300, 90, 2, 8)];
        let mut observation = Observation::begin(Some(samples[0]));
        observation.note_wal(10, samples[0], samples[1], 50);
        observation.note_wal(12, samples[1], samples[2], 50);
        observation.end(12);
        observation.note_wal(14, samples[2], samples[3], 50);
        observation.note_wal(112, samples[3], sample(400, 50, 2, 9), 50);
        observation.note_wal(212, samples[3], sample(400, 10, 3, 9), 50);
        let wal = observation.wal.unwrap();
        assert_eq!((wal.start_bytes, wal.start_used_bytes), (100, 40));
        assert_eq!((wal.peak_bytes, wal.peak_used_bytes), (300, 300));
        assert_eq!((wal.restarts, wal.main_file_changes), (1, 1), "only while it ran");
        assert_eq!((wal.peak_after_bytes, wal.peak_after_used_bytes), (400, 90));
        assert_eq!(wal.back_after_s, Some(1.0), "the first look at which no more was in use than in the baseline");
    }
}

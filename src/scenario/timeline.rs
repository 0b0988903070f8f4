//! When the phases of a trial begin and end, and when its snapshots are due, in slices of time from the start of the load.
//!
//! Everything that depends on these instants asks here, so that the load, the snapshots and the report have one clock.

use std::time::Duration;

use crate::{
    measure::{seconds, slices},
    random::mix,
    snapshot::Strategy,
};

/// A late snapshot that has less time than this until the load ends is not begun.
const DEADLINE_MIN_S: f64 = 0.1;

/// The most by which the beginning of a snapshot is put off, in seconds.
pub(super) const JITTER_S_MAX: f64 = 1.0;

/// How long each part of a trial lasts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Phases {
    /// Load that is not reported, in seconds.
    pub warmup_s: f64,
    /// Load without a snapshot, in seconds.
    pub baseline_s: f64,
    /// Load after the end of the last snapshot, in seconds, at the least.
    pub recovery_s: f64,
    /// From the beginning of each snapshot on: what the others had to pay is compared over this time, in seconds.
    pub horizon_s: f64,
}

/// The instants of one trial. Until the first snapshot has ended they are the same for every strategy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeline {
    baseline_slice: u64,
    /// When each snapshot should begin, ascending.
    snapshot_slices: Vec<u64>,
    /// In this slice each snapshot has passed its deadline.
    snapshots_end_slice: u64,
    end_slice: u64,
    recovery_slices: u64,
    horizon_slices: u64,
    deadline: Duration,
}

/// The turn of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The slice in which it should begin.
    pub planned_slice: u64,
    /// The slice in which it does: later, where the one before it has not ended in time.
    pub first_slice: u64,
    /// When it is stopped, from its beginning.
    pub deadline: Duration,
}

impl Timeline {
    /// Snapshots are due at these times, in seconds after the baseline and the `jitter_s` that lengthens it; each is stopped
    /// `deadline_s` after it began. The load ends when the last horizon and the last recovery have.
    #[must_use]
    pub fn new(phases: &Phases, times_s: &[f64], deadline_s: f64, jitter_s: f64) -> Self {
        let baseline_slice = slices(phases.warmup_s);
        let origin = baseline_slice + slices(phases.baseline_s + jitter_s);
        let last_slice = origin + slices(times_s.last().copied().unwrap_or(0.0));
        let snapshots_end_slice = last_slice + slices(deadline_s);
        let (recovery_slices, horizon_slices) = (slices(phases.recovery_s), slices(phases.horizon_s));
        Self {
            baseline_slice,
            snapshot_slices: times_s.iter().map(|at_s| origin + slices(*at_s)).collect(),
            snapshots_end_slice,
            // Only one that comes after another can begin late, until shortly before the last deadline.
            end_slice: (snapshots_end_slice + recovery_slices)
                .max(if times_s.len() > 1 { snapshots_end_slice } else { last_slice } + horizon_slices),
            recovery_slices,
            horizon_slices,
            deadline: Duration::from_secs_f64(deadline_s),
        }
    }

    /// The slice in which the warm-up ends and the baseline begins.
    #[must_use]
    pub(crate) fn baseline_slice(&self) -> u64 {
        self.baseline_slice
    }

    /// The slice in which the baseline ends: the first snapshot is due, in a trial that takes any.
    #[must_use]
    pub(crate) fn baseline_end_slice(&self) -> u64 {
        self.snapshot_slices.first().copied().unwrap_or(self.snapshots_end_slice)
    }

    /// The slice in which the load ends at the latest.
    #[must_use]
    pub(crate) fn end_slice(&self) -> u64 {
        self.end_slice
    }

    /// The slice in which the load ends, where the last snapshot began and ended in these; of the control, where it would have
    /// begun last.
    #[must_use]
    pub(crate) fn end_after(&self, first_slice: u64, ended_slice: u64) -> u64 {
        (ended_slice + self.recovery_slices).max(first_slice + self.horizon_slices).min(self.end_slice)
    }

    /// When a snapshot is stopped, after it began.
    #[must_use]
    pub(crate) fn deadline(&self) -> Duration {
        self.deadline
    }

    /// How long a horizon is, in slices.
    #[must_use]
    pub(crate) fn horizon_slices(&self) -> u64 {
        self.horizon_slices
    }

    /// The slices in which snapshots should begin, ascending.
    #[must_use]
    pub(crate) fn snapshot_slices(&self) -> &[u64] {
        &self.snapshot_slices
    }

    /// How long the load lasts at the most, in seconds.
    #[must_use]
    pub(crate) fn load_s(&self) -> f64 {
        seconds(self.end_slice)
    }

    /// Snapshots that are planned.
    #[must_use]
    pub fn snapshots(&self) -> usize {
        self.snapshot_slices.len()
    }

    /// The turn of the snapshot `number`, from 0, where it may not begin before the slice `earliest`. `None` where no time is
    /// left for it, and so for none after it either.
    #[must_use]
    pub fn turn(&self, number: usize, earliest: u64) -> Option<Turn> {
        let planned_slice = *self.snapshot_slices.get(number)?;
        let first_slice = planned_slice.max(earliest);
        let left_s = seconds(self.snapshots_end_slice.saturating_sub(first_slice));
        let deadline = self.deadline.min(Duration::from_secs_f64(left_s));
        (left_s >= DEADLINE_MIN_S).then_some(Turn { planned_slice, first_slice, deadline })
    }
}

/// By how much the baseline of a trial is longer than the scenario says, in seconds, from 0.02 to [`JITTER_S_MAX`]: the
/// same for all journal modes, another for each strategy and repetition.
///
/// At one rate of commits, checkpoints come at regular times. A snapshot that always began at the same time would
/// always meet the same state of the WAL.
pub(super) fn jitter_s(seed: u64, strategy: Strategy) -> f64 {
    let random = mix(mix(seed) ^ strategy as u64);
    0.02 + (random % 99) as f64 / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const PHASES: Phases = Phases { warmup_s: 2.0, baseline_s: 5.0, recovery_s: 3.0, horizon_s: 1.0 };

    #[test]
    fn phases_follow_each_other_by_table() {
        for (times_s, deadline_s, jitter_s, expected) in [
            (&[0.0][..], 10.0, 0.0, [200, 700, 2_000]),
            (&[0.0], 10.0, 0.37, [200, 737, 2_037]),
            (&[1.5], 10.0, 0.0, [200, 850, 2_150]),
            (&[0.0, 20.0, 40.0], 10.0, 1.0, [200, 800, 6_100]),
            (&[0.0], 0.1, 0.02, [200, 702, 1_012]),
        ] {
            let timeline = Timeline::new(&PHASES, times_s, deadline_s, jitter_s);
            let found = [timeline.baseline_slice(), timeline.baseline_end_slice(), timeline.end_slice()];
            assert_eq!(found, expected, "{times_s:?}, {deadline_s} s, {jitter_s} s");
            assert_eq!(timeline.snapshots(), times_s.len());
        }
    }

    #[test]
    fn the_load_ends_with_the_last_recovery_and_the_last_horizon() {
        // Horizon and recovery in seconds; the slice in which the one snapshot, due in slice 700, has ended.
        for (horizon_s, recovery_s, ended_slice, latest, expected) in [
            (1.0, 3.0, 710, 2_000, 1_010),
            (1.0, 3.0, 1_700, 2_000, 2_000),
            (20.0, 3.0, 710, 2_700, 2_700),
            (20.0, 3.0, 1_700, 2_700, 2_700),
            (1.0, 0.0, 710, 1_700, 800),
        ] {
            let phases = Phases { recovery_s, horizon_s, ..PHASES };
            let timeline = Timeline::new(&phases, &[0.0], 10.0, 0.0);
            let words = format!("horizon {horizon_s} s, recovery {recovery_s} s, ended in {ended_slice}");
            assert_eq!((timeline.end_slice(), timeline.end_after(700, ended_slice)), (latest, expected), "{words}");
        }
    }

    #[test]
    fn a_late_snapshot_has_less_time_and_one_without_time_is_not_begun() {
        // The first is due in slice 700, the second in slice 1700, and in slice 2700 both must have ended.
        let timeline = Timeline::new(&PHASES, &[0.0, 10.0], 10.0, 0.0);
        let turn = |planned_slice, first_slice, deadline_ms| {
            Some(Turn { planned_slice, first_slice, deadline: Duration::from_millis(deadline_ms) })
        };
        for (number, earliest, expected) in [
            (0, 0, turn(700, 700, 10_000)),
            (1, 800, turn(1_700, 1_700, 10_000)),
            (1, 1_701, turn(1_700, 1_701, 9_990)),
            (1, 2_690, turn(1_700, 2_690, 100)),
            (1, 2_691, None),
            (1, 9_999, None),
            (2, 0, None),
        ] {
            assert_eq!(timeline.turn(number, earliest), expected, "snapshot {number}, not before {earliest}");
        }
    }
}

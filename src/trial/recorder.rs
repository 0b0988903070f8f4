//! The parts of a trial, and the slices of time that lie in them.
//!
//! Parts follow each other without a gap. One begins at a slice that lies ahead when it is chosen, so whatever has been
//! handed over already lies in a part that is known. Phases and horizons are put together from parts when the load has ended.

use std::time::{Duration, Instant};

use super::{
    series::{Points, WindowLog},
    silence::SilenceLog,
};
use crate::{
    measure::{Class, Outcome, SLICE_NS, Slice, StallTracker, Tally, slices},
    results::{PartName, PhaseName},
};

/// A part of a trial that is measured by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Load that is not reported.
    Warmup,
    /// No snapshot is running.
    Baseline,
    /// A part of a snapshot's horizon, or of a snapshot that lasts beyond it.
    Of(PartName),
    /// What comes after a snapshot and its horizon.
    Recovery,
}

impl Part {
    /// The phase that it belongs to.
    pub fn phase(self) -> PhaseName {
        match self {
            Self::Warmup => PhaseName::Warmup,
            Self::Baseline => PhaseName::Baseline,
            Self::Of(PartName::Copy | PartName::Sync | PartName::Steps) => PhaseName::Snapshot,
            Self::Of(PartName::Settle) | Self::Recovery => PhaseName::Recovery,
        }
    }

    /// What it is where it goes on beyond the horizon.
    fn beyond_horizon(self) -> Self {
        match self {
            Self::Of(PartName::Settle) => Self::Recovery,
            other => other,
        }
    }
}

/// A part of a trial and what was measured in it.
pub struct Segment {
    /// Which part it is.
    pub part: Part,
    /// Its first slice of time.
    pub first_slice: u64,
    /// The slice after its last.
    pub end_slice: u64,
    /// Whether it is the first of a horizon.
    pub begins_horizon: bool,
    /// Whether it lies in a horizon.
    pub is_in_horizon: bool,
    /// The operations that were due in it.
    pub tally: Tally,
    /// Operations that were served and ended in it, whenever they were due.
    pub completed: u64,
    /// SQL statements that were executed by operations that ended in it, and beside the operations.
    pub statements: u64,
    /// Of the baseline: every operation, for windows.
    pub log: WindowLog,
    /// The longest stall that lies in it as a whole, in milliseconds.
    pub stalled_ms: u64,
}

/// Puts slices into parts.
pub struct Recorder {
    /// In time order.
    pub segments: Vec<Segment>,
    /// What was added since the display last looked.
    pub recent: Tally,
    /// How it went over time.
    pub points: Points,
    /// Stalls that reach from one part into another, in milliseconds from the start of the load.
    pub crossing_stalls_ms: Vec<(u64, u64)>,
    /// Times in which nobody was served.
    pub silences: SilenceLog,
    /// Operations that were due after the end of the load, and begun all the same before it had stopped.
    pub beyond: Tally,
    stalls: StallTracker,
    /// The slice in which the latest horizon ends.
    horizon_end: u64,
    client_timeout_slices: u64,
}

impl Recorder {
    /// Of a load that begins at an instant: a warm-up that lasts until the end, for other parts to cut short.
    pub fn new(start: Instant, end_slice: u64, client_timeout: Duration) -> Self {
        let mut recorder = Self {
            segments: Vec::new(),
            recent: Tally::default(),
            points: Points::new(start, end_slice),
            crossing_stalls_ms: Vec::new(),
            silences: SilenceLog::new(start),
            beyond: Tally::default(),
            stalls: StallTracker::default(),
            horizon_end: 0,
            client_timeout_slices: slices(client_timeout.as_secs_f64()),
        };
        recorder.push(Part::Warmup, 0, end_slice, false);
        recorder
    }

    /// The phase that a slice lies in; the last one where it lies after the end.
    pub fn phase_at(&self, slice: u64) -> PhaseName {
        let begun = self.segments.iter().rev().find(|segment| segment.first_slice <= slice);
        begun.map_or(PhaseName::Warmup, |segment| segment.part.phase())
    }

    /// A part begins at a slice that lies ahead, in place of whatever was to follow there.
    pub fn begin(&mut self, part: Part, first_slice: u64) {
        let end_slice = self.end();
        let first_slice = first_slice.min(end_slice);
        if part == Part::Baseline {
            self.silences.begin(first_slice);
        }
        self.cut(first_slice);
        // A horizon that has begun ends in its middle.
        if first_slice < self.horizon_end && self.horizon_end < end_slice {
            self.push(part, first_slice, self.horizon_end, true);
            self.push(part.beyond_horizon(), self.horizon_end, end_slice, false);
        } else {
            let is_in_horizon = first_slice < self.horizon_end;
            self.push(if is_in_horizon { part } else { part.beyond_horizon() }, first_slice, end_slice, is_in_horizon);
        }
    }

    /// A horizon of this length begins with a part, at a slice that lies ahead, and ends any horizon before it.
    pub fn begin_horizon(&mut self, part: PartName, first_slice: u64, length: u64) {
        self.horizon_end = first_slice + length;
        let place = self.segments.iter().filter(|segment| segment.first_slice < first_slice).count();
        self.begin(Part::Of(part), first_slice);
        if let Some(first) = self.segments.get_mut(place) {
            first.begins_horizon = true;
        }
    }

    /// The load ends in this slice, which lies ahead, or at its planned end where that is before.
    pub fn close(&mut self, slice: u64) -> u64 {
        let end = self.end().min(slice);
        self.cut(end);
        self.points.end(end);
        end
    }

    /// The slice in which the load ends, as far as is known.
    pub fn end(&self) -> u64 {
        self.segments.last().map_or(0, |last| last.end_slice)
    }

    /// Takes away what lies at a slice and after it.
    fn cut(&mut self, slice: u64) {
        self.segments.retain(|segment| segment.first_slice < slice);
        if let Some(last) = self.segments.last_mut() {
            last.end_slice = last.end_slice.min(slice);
        }
    }

    fn push(&mut self, part: Part, first_slice: u64, end_slice: u64, is_in_horizon: bool) {
        self.segments.push(Segment {
            part,
            first_slice,
            end_slice,
            begins_horizon: false,
            is_in_horizon,
            tally: Tally::default(),
            completed: 0,
            statements: 0,
            log: WindowLog::default(),
            stalled_ms: 0,
        });
    }

    fn segment_of(&mut self, slice: u64) -> Option<&mut Segment> {
        segment_of(&mut self.segments, slice)
    }

    /// Adds what one worker did in one slice.
    pub fn add(&mut self, slice: &Slice) {
        if slice.is_empty() {
            return;
        }
        if let Some(segment) = self.segment_of(slice.index) {
            segment.tally.add(slice);
            segment.statements += slice.background_statements;
            if segment.part == Part::Baseline {
                segment.log.add(slice);
            }
        } else {
            self.beyond.add(slice);
        }
        for sample in &slice.samples {
            if let Some(segment) = self.segment_of(sample.ended_slice()) {
                segment.completed += u64::from(sample.outcome == Outcome::Served);
                segment.statements += u64::from(sample.statements);
            }
        }
        self.recent.add(slice);
        self.points.add(slice);
        self.silences.add(slice, self.client_timeout_slices);
        self.add_writes(slice);
    }

    /// Notes when writes waited.
    fn add_writes(&mut self, slice: &Slice) {
        const CLASS: Class = Class::CommittingAnnounce;
        let at_ms = |slice: u64| slice * SLICE_NS / 1_000_000;
        for sample in slice.samples.iter().filter(|sample| sample.class == CLASS) {
            let due_us = sample.ended_us.saturating_sub(u64::from(sample.response_us));
            self.stalls.due(due_us / 1_000, 1);
            self.stalls.ended(sample.ended_us / 1_000, 1, sample.committed);
        }
        let (dropped, never_served) = (slice.dropped[CLASS as usize], slice.never_served[CLASS as usize]);
        self.stalls.due(at_ms(slice.index), dropped + never_served);
        // The clients of those that never began have waited until they gave up.
        self.stalls.ended(at_ms(slice.index + self.client_timeout_slices), dropped, false);
        let (segments, crossing) = (&mut self.segments, &mut self.crossing_stalls_ms);
        self.stalls.advance(at_ms(slice.index), |from_ms, to_ms| note_stall(segments, crossing, from_ms, to_ms));
    }

    /// Everything has been added.
    pub fn finish(&mut self) {
        let end_ms = self.end() * SLICE_NS / 1_000_000;
        let (segments, crossing) = (&mut self.segments, &mut self.crossing_stalls_ms);
        self.stalls.finish(end_ms, |from_ms, to_ms| note_stall(segments, crossing, from_ms, to_ms));
        self.silences.finish(end_ms);
    }
}

fn segment_of(segments: &mut [Segment], slice: u64) -> Option<&mut Segment> {
    segments.iter_mut().rev().find(|segment| segment.first_slice <= slice && slice < segment.end_slice)
}

/// Notes a stall: of the part that it lies in, or as one that crosses parts.
fn note_stall(segments: &mut [Segment], crossing_ms: &mut Vec<(u64, u64)>, from_ms: u64, to_ms: u64) {
    if from_ms == to_ms {
        return;
    }
    let slice_of = |at_ms: u64| at_ms * 1_000_000 / SLICE_NS;
    match segment_of(segments, slice_of(from_ms)) {
        Some(segment) if slice_of(to_ms - 1) < segment.end_slice => {
            segment.stalled_ms = segment.stalled_ms.max(to_ms - from_ms);
        }
        Some(_) | None => crossing_ms.push((from_ms, to_ms)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(15);

    fn parts(recorder: &Recorder) -> Vec<(Part, u64, u64, bool)> {
        let part = |segment: &Segment| (segment.part, segment.first_slice, segment.end_slice, segment.is_in_horizon);
        recorder.segments.iter().map(part).collect()
    }

    #[test]
    fn parts_follow_each_other_whatever_was_planned() {
        use PartName::{Copy, Settle, Sync};
        let mut recorder = Recorder::new(Instant::now(), 1_000, TIMEOUT);
        recorder.begin(Part::Baseline, 100);
        recorder.begin(Part::Recovery, 300);
        recorder.begin_horizon(Copy, 300, 200);
        let before = [(Part::Warmup, 0, 100, false), (Part::Baseline, 100, 300, false)];
        let copy = [(Part::Of(Copy), 300, 500, true), (Part::Of(Copy), 500, 1_000, false)];
        assert_eq!(parts(&recorder), [before, copy].concat());
        recorder.begin(Part::Of(Sync), 340);
        recorder.begin(Part::Of(Settle), 350);
        let after = [
            (Part::Of(Copy), 300, 340, true),
            (Part::Of(Sync), 340, 350, true),
            (Part::Of(Settle), 350, 500, true),
            (Part::Recovery, 500, 1_000, false),
        ];
        assert_eq!(parts(&recorder)[2..], after);
        assert!(recorder.segments[2].begins_horizon && !recorder.segments[3].begins_horizon);
        // The next snapshot begins before that horizon has ended, and lasts longer than its own.
        recorder.begin_horizon(Copy, 400, 200);
        recorder.begin(Part::Of(Sync), 700);
        recorder.begin(Part::Of(Settle), 710);
        let next = [
            (Part::Of(Settle), 350, 400, true),
            (Part::Of(Copy), 400, 600, true),
            (Part::Of(Copy), 600, 700, false),
            (Part::Of(Sync), 700, 710, false),
            (Part::Recovery, 710, 1_000, false),
        ];
        assert_eq!(parts(&recorder)[4..], next);
        assert_eq!(recorder.close(750), 750);
        assert_eq!(parts(&recorder).last(), Some(&(Part::Recovery, 710, 750, false)));
        assert_eq!(recorder.close(2_000), 750);
    }

    #[test]
    fn a_stall_is_of_its_part_or_crosses_parts() {
        let mut recorder = Recorder::new(Instant::now(), 100, TIMEOUT);
        recorder.begin(Part::Baseline, 50);
        for (from_ms, to_ms) in [(10, 40), (100, 120), (480, 500), (490, 510), (600, 600), (900, 2_000)] {
            note_stall(&mut recorder.segments, &mut recorder.crossing_stalls_ms, from_ms, to_ms);
        }
        assert_eq!(recorder.segments.iter().map(|segment| segment.stalled_ms).collect::<Vec<_>>(), [30, 0]);
        assert_eq!(recorder.crossing_stalls_ms, [(490, 510), (900, 2_000)]);
    }

    #[test]
    fn writes_that_wait_are_found_in_slices() {
        use crate::measure::Sample;
        let sample = |class, ended_us, response_us, committed| Sample {
            class,
            outcome: Outcome::Served,
            response_us,
            service_us: 1,
            lag_us: None,
            ended_us,
            committed,
            carried_checkpoint: false,
            statements: 1,
        };
        let mut recorder = Recorder::new(Instant::now(), 2_000, TIMEOUT);
        recorder.add(&Slice {
            index: 10,
            samples: vec![
                sample(Class::CommittingAnnounce, 150_000, 48_000, true),
                // Neither a read nor a write that was given up silently is a commit.
                sample(Class::ReadingAnnounce, 120_000, 15_000, false),
                sample(Class::CommittingAnnounce, 130_000, 25_000, false),
            ],
            ..Slice::default()
        });
        // Somebody wanted to write, and gave up.
        recorder.add(&Slice { index: 100, dropped: [1, 0, 0, 0], ..Slice::default() });
        recorder.finish();
        assert_eq!(recorder.segments[0].stalled_ms, 15_000);
        let mut short = Recorder::new(Instant::now(), 50, TIMEOUT);
        short.add(&Slice {
            index: 10,
            samples: vec![sample(Class::CommittingAnnounce, 150_000, 48_000, true)],
            ..Slice::default()
        });
        short.finish();
        assert_eq!(short.segments[0].stalled_ms, 48);
    }
}

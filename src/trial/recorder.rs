//! Phases, and the slices of time that lie in them.
//!
//! Phases follow each other without a gap. One begins at a slice that lies ahead when it is chosen, so whatever has been
//! handed over already lies in a phase that is known.

use super::series::{Points, WindowLog};
use crate::{
    measure::{Outcome, Slice, Tally},
    results::PhaseName,
};

/// A phase and what was measured in it.
pub struct Phase {
    /// Which part of the trial it is.
    pub name: PhaseName,
    /// Its first slice of time.
    pub first_slice: u64,
    /// The slice after its last.
    pub end_slice: u64,
    /// The operations that were due in it.
    pub tally: Tally,
    /// Operations that were served and ended in it, whenever they were due.
    pub completed: u64,
    /// SQL statements that were executed by operations that ended in it, and beside the operations.
    pub statements: u64,
    /// Of the baseline: every operation, for windows.
    pub log: WindowLog,
}

/// Puts slices into phases.
pub struct Recorder {
    /// In time order.
    pub phases: Vec<Phase>,
    /// What was added since the display last looked.
    pub recent: Tally,
    /// How it went over time.
    pub points: Points,
}

impl Recorder {
    /// A warm-up that lasts until the end, for other phases to cut short.
    pub fn new(end_slice: u64) -> Self {
        let mut recorder = Self { phases: Vec::new(), recent: Tally::default(), points: Points::new(end_slice) };
        recorder.begin(PhaseName::Warmup, 0);
        recorder.close(end_slice);
        recorder
    }

    /// The phase that a slice lies in; the last one where it lies after the end.
    pub fn phase_at(&self, slice: u64) -> PhaseName {
        let begun = self.phases.iter().rev().find(|phase| phase.first_slice <= slice);
        begun.map_or(PhaseName::Warmup, |phase| phase.name)
    }

    /// The last phase ends and another begins at a slice that lies ahead.
    pub fn begin(&mut self, name: PhaseName, first_slice: u64) {
        let end_slice = match self.phases.last_mut() {
            Some(last) => {
                let first_slice = first_slice.min(last.end_slice);
                std::mem::replace(&mut last.end_slice, first_slice)
            }
            None => u64::MAX,
        };
        let first_slice = first_slice.min(end_slice);
        self.phases.push(Phase {
            name,
            first_slice,
            end_slice,
            tally: Tally::default(),
            completed: 0,
            statements: 0,
            log: WindowLog::default(),
        });
    }

    /// The load ends in this slice, or at its planned end where that was before.
    pub fn close(&mut self, slice: u64) -> u64 {
        for phase in &mut self.phases {
            phase.end_slice = phase.end_slice.min(slice);
        }
        self.points.end(slice);
        self.phases.last().map_or(slice, |last| last.end_slice)
    }

    fn phase_of(&mut self, slice: u64) -> Option<&mut Phase> {
        self.phases.iter_mut().rev().find(|phase| phase.first_slice <= slice && slice < phase.end_slice)
    }

    /// Adds what one worker did in one slice.
    pub fn add(&mut self, slice: &Slice) {
        if slice.is_empty() {
            return;
        }
        if let Some(phase) = self.phase_of(slice.index) {
            phase.tally.add(slice);
            phase.statements += slice.background_statements;
            if phase.name == PhaseName::Baseline {
                phase.log.add(slice);
            }
        }
        for sample in &slice.samples {
            if let Some(phase) = self.phase_of(u64::from(sample.ended_slice)) {
                phase.completed += u64::from(sample.outcome == Outcome::Served);
                phase.statements += u64::from(sample.statements);
            }
        }
        self.recent.add(slice);
        self.points.add(slice);
    }
}

//! What the figures of a trial need to know of its commits: how many were made in each phase and in each point of the series,
//! and the longest stretches without one.
//!
//! An hour can have sixty million commits, so that their times are never held: they pass by once, in order, and what is
//! remembered of them is some numbers for each phase and each point.

use super::evaluate::{Phase, overlap_s};
use crate::{
    measure::seconds,
    results::{PhaseName, SeriesPoint},
};

/// Counts the commits of a trial as they pass by.
#[derive(Debug, Clone, PartialEq)]
pub struct Commits {
    /// In time order, as the phases are.
    phases: Vec<PhaseCommits>,
    /// In time order, as the points are.
    points: Vec<PointCommits>,
    /// The phase and the point that the next commit is looked for from.
    phase: usize,
    point: usize,
    /// When the last one was made that has passed by.
    last_s: Option<f64>,
    /// Times in which the harness asked for none.
    holds_s: Vec<(f64, f64)>,
}

/// The commits of a phase.
#[derive(Debug, Clone, PartialEq)]
pub struct PhaseCommits {
    from_s: f64,
    to_s: f64,
    /// Whether a stretch without a commit counts whole where it reaches beyond the phase.
    touching: bool,
    /// How many were made in it.
    pub count: u64,
    /// The longest stretch without one, but for the times in it in which the harness asked for none.
    pub longest_without_s: f64,
    /// Where the stretch begins that the next commit ends.
    open_s: f64,
}

#[derive(Debug, Clone, PartialEq)]
struct PointCommits {
    from_s: f64,
    to_s: f64,
    count: u64,
}

impl Commits {
    /// None yet, of a trial with these phases and points, which follow each other, and these times in which the harness asked for none.
    pub fn new(phases: &[Phase], series: &[SeriesPoint], holds_s: &[(f64, f64)]) -> Self {
        let point = |point: &SeriesPoint| PointCommits {
            from_s: point.t_s as f64,
            to_s: (point.t_s + point.duration_s) as f64,
            count: 0,
        };
        Self {
            phases: phases.iter().map(PhaseCommits::new).collect(),
            points: series.iter().map(point).collect(),
            phase: 0,
            point: 0,
            last_s: None,
            holds_s: holds_s.to_vec(),
        }
    }

    /// A commit that was made so many seconds after the start of the load, not before the one that was added last.
    pub fn add(&mut self, at_s: f64) {
        while let Some(phase) = self.phases.get_mut(self.phase) {
            if at_s < phase.to_s {
                phase.add(at_s, &self.holds_s);
                break;
            }
            phase.end(at_s, &self.holds_s);
            self.phase += 1;
            if let Some((next, last_s)) = self.phases.get_mut(self.phase).zip(self.last_s) {
                next.begin_after(last_s);
            }
        }
        while let Some(point) = self.points.get_mut(self.point) {
            if at_s < point.to_s {
                point.count += u64::from(at_s >= point.from_s);
                break;
            }
            self.point += 1;
        }
        self.last_s = Some(at_s);
    }

    /// What there is to say of each phase and of each point, in their order, once all commits have passed by.
    pub fn finish(mut self) -> (Vec<PhaseCommits>, Vec<u64>) {
        for number in self.phase..self.phases.len() {
            let phase = &mut self.phases[number];
            // Those after the one that the last commit was looked for in have seen none.
            if let Some(last_s) = self.last_s.filter(|last_s| *last_s < phase.from_s) {
                phase.begin_after(last_s);
            }
            phase.end(phase.to_s, &self.holds_s);
        }
        (self.phases, self.points.into_iter().map(|point| point.count).collect())
    }
}

impl PhaseCommits {
    fn new(phase: &Phase) -> Self {
        let (from_s, to_s) = (seconds(phase.first_slice), seconds(phase.end_slice));
        // A stretch that reaches beyond a snapshot counts whole: a short one is not to look better than it was. What reaches
        // into the phases beside it is not theirs.
        let touching = match phase.name {
            PhaseName::Snapshot => true,
            PhaseName::Warmup | PhaseName::Baseline | PhaseName::Recovery => false,
        };
        Self { from_s, to_s, touching, count: 0, longest_without_s: 0.0, open_s: from_s }
    }

    /// The last commit before it was made at this time. Where there is none, the stretch begins with the phase.
    fn begin_after(&mut self, last_s: f64) {
        if self.touching {
            self.open_s = last_s;
        }
    }

    /// A commit that was made before its end.
    fn add(&mut self, at_s: f64, holds_s: &[(f64, f64)]) {
        if at_s < self.from_s {
            return self.begin_after(at_s);
        }
        self.count += 1;
        self.close_stretch(at_s, holds_s);
    }

    /// The first commit after it was made at this time, or its own end is all that is known.
    fn end(&mut self, next_s: f64, holds_s: &[(f64, f64)]) {
        self.close_stretch(if self.touching { next_s } else { self.to_s }, holds_s);
    }

    fn close_stretch(&mut self, at_s: f64, holds_s: &[(f64, f64)]) {
        let without_s = at_s - self.open_s - overlap_s(holds_s, self.open_s, at_s);
        self.longest_without_s = self.longest_without_s.max(without_s);
        self.open_s = at_s;
    }
}

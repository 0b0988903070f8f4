//! Says once a second, and when the phase changes, how a trial is doing.

use std::path::{Path, PathBuf};

use super::{
    event::{Event, Tick},
    observation::RunningSnapshot,
    recorder::Recorder,
};
use crate::{
    measure::{self, seconds},
    results::PhaseName,
    snapshot::CopyProgress,
    work,
};

/// What was last said, and when.
pub struct Ticker {
    live: PathBuf,
    of_s: f64,
    phase: Option<PhaseName>,
    last_slice: u64,
    achieved_rate_ops: f64,
    p99_us: Option<u64>,
}

/// What a look at the clock, the files and the snapshot found.
pub struct Look<'a> {
    /// The slice of time that it happened in.
    pub now: u64,
    /// Size of the WAL.
    pub wal_bytes: u64,
    /// The snapshot that runs.
    pub running: Option<RunningSnapshot<'a>>,
}

impl Ticker {
    /// For a load on the live database that lasts until a slice.
    pub fn new(live: &Path, end_slice: u64) -> Self {
        Self {
            live: live.to_owned(),
            of_s: seconds(end_slice),
            phase: None,
            last_slice: 0,
            achieved_rate_ops: 0.0,
            p99_us: None,
        }
    }

    /// Tells, where it is time to.
    pub fn show(&mut self, recorder: &mut Recorder, look: &Look<'_>, tell: &mut dyn FnMut(Event)) {
        let now = look.now;
        let phase = recorder.phase_at(now);
        let since_s = seconds(now - self.last_slice);
        if since_s < 1.0 && self.phase == Some(phase) {
            return;
        }
        // A part of a second says little of a rate; the figures of the second before still stand.
        if since_s >= 0.5 {
            let mut served = measure::histogram();
            for class in &recorder.recent.classes {
                // A histogram that grows takes all that another of its kind holds.
                let _ = served.add(&class.response);
            }
            self.achieved_rate_ops = served.len() as f64 / since_s;
            self.p99_us = measure::percentile(&served, served.len(), 0.99);
            recorder.recent.reset();
            self.last_slice = now;
        }
        self.phase = Some(phase);
        tell(Event::Measuring(Tick {
            phase,
            elapsed_s: seconds(now),
            of_s: self.of_s,
            achieved_rate_ops: self.achieved_rate_ops,
            p99_us: self.p99_us,
            wal_bytes: look.wal_bytes,
            snapshot: self.snapshot_done(look),
        }));
    }

    /// What the strategy says of itself, or else the size of its file.
    fn snapshot_done(&self, look: &Look<'_>) -> Option<f64> {
        let RunningSnapshot { out, said, .. } = look.running?;
        said.and_then(CopyProgress::done).or_else(|| {
            let live = work::file_bytes(&self.live);
            (live > 0).then(|| (work::file_bytes(out) as f64 / live as f64).min(1.0))
        })
    }
}

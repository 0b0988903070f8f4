//! What all threads of a load share: when it began, whether it has stopped, and why it cannot go on.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::measure::SLICE_NS;

/// Shared by all threads of a load. While operations run it is only read.
#[derive(Debug)]
pub(super) struct Control {
    /// Due times count from here.
    pub start: Instant,
    /// Nanoseconds from the start at which the load stopped; `u64::MAX` while it runs.
    stop_ns: AtomicU64,
    fatal: Mutex<Option<String>>,
}

impl Control {
    pub fn new(start: Instant) -> Self {
        Self { start, stop_ns: AtomicU64::new(u64::MAX), fatal: Mutex::default() }
    }

    pub fn stop_ns(&self) -> u64 {
        self.stop_ns.load(Ordering::Relaxed)
    }

    pub fn is_stopped(&self) -> bool {
        self.stop_ns() != u64::MAX
    }

    /// The first stop counts.
    pub fn stop(&self, stop_ns: u64) {
        self.stop_ns.fetch_min(stop_ns, Ordering::Relaxed);
    }

    /// The slice of time that an instant lies in.
    pub fn slice_at(&self, instant: Instant) -> u64 {
        nanoseconds(instant.saturating_duration_since(self.start)) / SLICE_NS
    }

    /// The first reason counts: later ones are often its consequences.
    pub fn fail(&self, why: String) {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
    }

    pub fn fatal(&self) -> Option<String> {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

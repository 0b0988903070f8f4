//! What a thread of the load notes of its operations, slice by slice, and hands over when it goes on to another.

use std::sync::{Arc, Mutex, mpsc};

use crate::measure::Slice;

/// The slice that a thread fills, and where full ones go.
pub(super) struct Notes {
    /// The slice of time that the last operation was due in.
    pub slice: Slice,
    slices: mpsc::Sender<Slice>,
    /// Slices that were handed over and have come back, for their memory.
    spare: Arc<Mutex<mpsc::Receiver<Slice>>>,
}

impl Notes {
    pub fn new(slices: mpsc::Sender<Slice>, spare: Arc<Mutex<mpsc::Receiver<Slice>>>) -> Self {
        Self { slice: Slice::default(), slices, spare }
    }

    /// Hands over what was noted, where there is something.
    pub fn hand_over(&mut self) {
        if self.slice.is_empty() {
            return;
        }
        let spare = self.spare.try_lock().ok().and_then(|spare| spare.try_recv().ok());
        let mut next = spare.unwrap_or_default();
        // It holds what was noted in it before.
        next.reset(self.slice.index);
        let full = std::mem::replace(&mut self.slice, next);
        // Nobody takes it where the load was given up.
        let _ = self.slices.send(full);
    }

    /// Goes to a slice of time; what was noted of another one is handed over.
    pub fn enter(&mut self, index: u64) {
        if index != self.slice.index {
            self.hand_over();
            self.slice.reset(index);
        }
    }
}

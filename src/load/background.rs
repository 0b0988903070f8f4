//! Work beside the operations, on a thread of its own: a tracker's listener, a checkpoint thread.

use std::{
    sync::{Arc, mpsc},
    time::Instant,
};

use super::control::Control;
use crate::measure::Slice;

/// Work that ends soon after [`BackgroundContext::is_stopped`].
pub type Background = Box<dyn FnOnce(BackgroundContext) + Send>;

/// What a background thread has of the load.
pub struct BackgroundContext {
    pub(super) control: Arc<Control>,
    pub(super) slices: mpsc::Sender<Slice>,
}

impl BackgroundContext {
    /// Whether the load has stopped.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.control.is_stopped()
    }

    /// Reports what happened at an instant: `fill` is given an empty slice that lies there.
    pub fn report(&self, at: Instant, fill: impl FnOnce(&mut Slice)) {
        let mut slice = Slice { index: self.control.slice_at(at), ..Slice::default() };
        fill(&mut slice);
        // Nobody takes it where the load was given up.
        let _ = self.slices.send(slice);
    }

    /// Says that the trial cannot go on.
    pub fn fail(&self, why: String) {
        self.control.fail(why);
    }
}

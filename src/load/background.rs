//! What a target's background threads have of the load.

use std::{
    sync::{Arc, mpsc},
    time::Instant,
};

use super::control::Control;
use crate::{measure::Slice, target::LoadContext};

/// For one background thread.
pub(super) struct BackgroundContext {
    pub control: Arc<Control>,
    pub slices: mpsc::Sender<Slice>,
}

impl LoadContext for BackgroundContext {
    fn is_stopped(&self) -> bool {
        self.control.is_stopped()
    }

    fn report(&self, at: Instant, fill: &mut dyn FnMut(&mut Slice)) {
        let mut slice = Slice { index: self.control.slice_at(at), ..Slice::default() };
        fill(&mut slice);
        // Nobody takes it where the load was given up.
        let _ = self.slices.send(slice);
    }

    fn fail(&self, why: String) {
        self.control.fail(why);
    }
}

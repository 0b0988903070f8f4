//! Times in which nobody was served: what all clients notice at once.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A time in which requests were due or waiting and none was served.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Silence {
    /// When it began, in seconds from the start of the load, to the millisecond.
    pub started_s: f64,
    /// How long it lasted.
    pub duration_s: f64,
    /// Requests that were due in it and not served in time, or never.
    pub unserved: u64,
    /// How much of it checkpoints took; `None` where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_s: Option<f64>,
}

impl Silence {
    /// When it ended.
    #[must_use]
    pub fn ended_s(&self) -> f64 {
        self.started_s + self.duration_s
    }
}

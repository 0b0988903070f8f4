//! What the trials of a scenario do.

use super::{KillPlan, PowerLossPlan};

/// What trials do.
#[derive(Debug, Clone, PartialEq)]
pub enum Experiment {
    /// A load runs for some time, and snapshots are taken meanwhile.
    Load,
    /// Transactions are recorded, and images are made of what power losses would leave.
    PowerLoss(PowerLossPlan),
    /// Processes that commit, and that copy, are killed.
    Kill(KillPlan),
}

impl Experiment {
    /// Whether a load runs over time, whose figures can be compared.
    #[must_use]
    pub fn has_load(&self) -> bool {
        match self {
            Self::Load => true,
            Self::PowerLoss(_) | Self::Kill(_) => false,
        }
    }
}

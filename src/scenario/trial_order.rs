//! Which trials a scenario has, and in which order they run.

use super::{Scenario, TrialPlan};
use crate::{
    snapshot::Strategy,
    sqlite::{JournalMode, Synchronous},
};

/// What tells a trial from the others of its scenario.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub journal_mode: JournalMode,
    pub synchronous: Synchronous,
    pub strategy: Strategy,
    pub rate_ops: Option<f64>,
    /// `None` where all trials have the same number.
    pub announce_connections: Option<u32>,
    pub repetition: u32,
}

impl Scenario {
    /// The trials in the order in which they run: repetitions outermost, every second one backwards (A B B A), so that
    /// a drift of the machine falls on all alike.
    #[must_use]
    pub fn trials(&self) -> Vec<TrialPlan> {
        let mut once = Vec::new();
        for rate_ops in self.rates_ops() {
            for announce_connections in self.load.connection_choices() {
                for &synchronous in &self.sqlite.synchronous {
                    for &strategy in &self.snapshots.strategies {
                        for &journal_mode in &self.sqlite.journal_modes {
                            once.push(Choice {
                                journal_mode,
                                synchronous,
                                strategy,
                                rate_ops,
                                announce_connections,
                                repetition: 1,
                            });
                        }
                    }
                }
            }
        }
        let mut all = Vec::new();
        for repetition in 1..=self.repetitions {
            let again = once.iter().map(|choice| self.plan_of(Choice { repetition, ..*choice }));
            if repetition % 2 == 1 {
                all.extend(again);
            } else {
                all.extend(again.rev());
            }
        }
        all
    }
}

//! Which trials of a scenario run in a sitting: what takes hours is begun with what matters most.

use crate::scenario::TrialPlan;

/// Trials whose names contain one of these; all where there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Only(Vec<String>);

impl Only {
    /// Those that contain one of these.
    #[must_use]
    pub fn new(parts: Vec<String>) -> Self {
        Self(parts)
    }

    /// Those of some trials that are to run, in their order.
    #[must_use]
    pub fn of(&self, mut trials: Vec<TrialPlan>) -> Vec<TrialPlan> {
        trials.retain(|plan| self.has(&plan.id()));
        trials
    }

    /// Whether a trial of this name is to run.
    #[must_use]
    pub(super) fn has(&self, id: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|part| id.contains(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_name_is_enough() {
        let id = "wal-full-8000-cp-1";
        for (parts, is_in) in
            [(&[][..], true), (&["-cp-"], true), (&["none", "8000"], true), (&["delete", "-2"], false)]
        {
            let only = Only::new(parts.iter().map(|part| (*part).to_owned()).collect());
            assert_eq!(only.has(id), is_in, "{parts:?}");
        }
    }
}

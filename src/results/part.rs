//! Which part of a scenario results hold: all of it, a shard, or shards that were joined.

use std::{collections::BTreeSet, fmt};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Results, TrialResult};
use crate::{
    env::Environment,
    scenario::{Shard, TrialPlan, shards_named},
};

/// A run of a shard that was joined with others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MergedRun {
    /// Which shard it ran.
    pub shard: Shard,
    /// When it began, in RFC 3339.
    pub started_at: String,
    /// How long it took, of all its sittings together.
    pub duration_s: f64,
    /// Where.
    pub environment: Environment,
}

/// Some shards of a scenario, of which trials are missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// These shards, by number.
    pub shards: Vec<u32>,
    /// Of so many.
    pub of_shards: u32,
    /// With so many trials.
    pub trials: usize,
    /// Of so many.
    pub of_trials: usize,
}

impl Results {
    /// How many trials were to be run: those of the shard, or else all of the scenario, and what is run again.
    #[must_use]
    pub fn trials_planned(&self) -> usize {
        self.scenario.trial_count_of(self.shard) + self.reruns().len()
    }

    /// What is run again at the end, where the scenario asks for it: the blocks in which a trial was disturbed.
    #[must_use]
    pub(crate) fn reruns(&self) -> Vec<TrialPlan> {
        let disturbed = self.trials.iter().filter(|trial| !trial.disturbed.entries().is_empty());
        let disturbed: BTreeSet<&str> = disturbed.map(|trial| trial.id.as_str()).collect();
        if !self.scenario.disturbance.rerun || disturbed.is_empty() {
            return Vec::new();
        }
        self.scenario.reruns_of(self.shard, |plan| disturbed.contains(plan.id().as_str()))
    }

    /// Whether a trial was run again as a whole trial, whose figures count instead of its own. What its snapshots were is
    /// counted all the same.
    #[must_use]
    pub(crate) fn is_replaced(&self, trial: &TrialResult) -> bool {
        let rerun = self.scenario.rerun_of(trial.repetition);
        self.scenario.disturbance.rerun
            && trial.repetition <= self.scenario.repetitions
            && self.trials.iter().any(|other| {
                other.status.is_whole()
                    && (other.repetition, other.strategy) == (rerun, trial.strategy)
                    && other.journal_mode == trial.journal_mode
                    && other.is_of(trial.conditions())
            })
    }

    /// Its trials but for those that were run again, of which the scenario has none.
    pub(crate) fn of_scenario(&self) -> impl Iterator<Item = &TrialResult> {
        self.trials.iter().filter(|trial| trial.repetition <= self.scenario.repetitions)
    }

    /// Where its trials were run: in one place, or in that of each merged run.
    pub fn environments(&self) -> impl Iterator<Item = &Environment> {
        let own = self.merged.is_empty().then_some(&self.environment);
        own.into_iter().chain(self.merged.iter().map(|run| &run.environment))
    }

    /// Which part of the scenario this is; `None` where no trial is missing, and where the run was to be of all of them.
    #[must_use]
    pub fn part(&self) -> Option<Part> {
        let shards: Vec<_> = self.shard.iter().chain(self.merged.iter().map(|run| &run.shard)).collect();
        let of_trials = self.scenario.trial_count();
        // A shard may be all that there is.
        let here = if self.shard.is_some() { self.trials_planned() } else { self.of_scenario().count() };
        let first = shards.first().filter(|_| here < of_trials)?;
        Some(Part {
            shards: shards.iter().map(|shard| shard.number()).collect(),
            of_shards: first.of(),
            trials: self.of_scenario().count(),
            of_trials,
        })
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shards, of_shards, trials, of_trials } = self;
        write!(f, "{}, {trials} of the scenario's {of_trials} trials", shards_named(shards, *of_shards))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{results::samples, snapshot::Strategy, sqlite::JournalMode};

    /// A part of the four trials of the sample scenario, which are two blocks.
    fn part(shard: Option<(u32, u32)>, merged: &[(u32, u32)], trials: usize) -> Option<String> {
        let mut results = samples::results(vec![samples::trial(JournalMode::Wal, Strategy::Cp); trials]);
        results.shard = shard.map(|(number, of)| Shard::new(number, of).unwrap());
        results.merged = merged.iter().map(|(number, of)| samples::merged_run(*number, *of)).collect();
        assert_eq!(results.environments().count(), merged.len().max(1));
        results.part().map(|part| part.to_string())
    }

    #[test]
    fn a_part_is_what_shards_lack_trials_of_the_scenario() {
        assert_eq!(part(None, &[], 4), None);
        assert_eq!(part(None, &[], 1), None, "a run of the whole that was stopped");
        assert_eq!(part(Some((1, 1)), &[], 1), None, "the same, as one shard");
        assert_eq!(part(Some((2, 2)), &[], 2).as_deref(), Some("shard 2 of 2, 2 of the scenario's 4 trials"));
        assert_eq!(part(Some((2, 2)), &[], 1).as_deref(), Some("shard 2 of 2, 1 of the scenario's 4 trials"));
        assert_eq!(part(None, &[(1, 2), (2, 2)], 4), None);
        let stopped = part(None, &[(1, 2), (2, 2)], 3);
        assert_eq!(stopped.as_deref(), Some("shards 1 and 2 of 2, 3 of the scenario's 4 trials"));
        // A trial that was run again stands for no other one.
        let mut rerun = samples::results(vec![samples::trial(JournalMode::Wal, Strategy::Cp); 2]);
        rerun.shard = Some(Shard::new(2, 2).unwrap());
        rerun.trials[1].repetition = rerun.scenario.rerun_of(1);
        assert_eq!(rerun.part().unwrap().to_string(), "shard 2 of 2, 1 of the scenario's 4 trials");
        // Of three shards of two blocks, the third is empty.
        assert_eq!(part(None, &[(1, 3), (2, 3)], 4), None);
        assert_eq!(part(None, &[(2, 3)], 2).as_deref(), Some("shard 2 of 3, 2 of the scenario's 4 trials"));
    }
}

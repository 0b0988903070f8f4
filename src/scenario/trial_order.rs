//! Which trials a scenario or a shard of it has, and in which order they run.

use super::{Conditions, Scenario, Shard, TrialPlan};
use crate::{snapshot::Strategy, sqlite::JournalMode};

/// What tells a trial from the others of its scenario.
#[derive(Debug, Clone, Copy)]
pub(super) struct Choice {
    pub journal_mode: JournalMode,
    pub conditions: Conditions,
    pub strategy: Strategy,
    pub repetition: u32,
}

impl Scenario {
    /// The trials in the order in which they run: repetitions outermost, every second one backwards (A B B A), so that
    /// a drift of the machine falls on all alike. Journal modes are innermost: the trials that differ in nothing else, a block,
    /// run next to each other.
    #[must_use]
    pub fn trials(&self) -> Vec<TrialPlan> {
        self.trials_of(None)
    }

    /// Those of [`Self::trials`] that a shard has, in their order: all where there is none. With N shards, block b, from 0,
    /// belongs to shard (b mod N) + 1.
    #[must_use]
    pub fn trials_of(&self, shard: Option<Shard>) -> Vec<TrialPlan> {
        let choices = self.choices();
        let blocks = choices.chunks(self.block_len()).enumerate();
        let is_own = |block: usize| shard.is_none_or(|shard| shard.has(block));
        let own = blocks.filter(|(number, _)| is_own(*number)).flat_map(|(_, block)| block);
        own.map(|choice| self.plan_of(*choice)).collect()
    }

    /// What is run once more at the end: the blocks of a shard, or of the whole, in which a trial is one of these. They are
    /// repetitions of their own, beyond those that the scenario asks for, and so with operations of their own.
    #[must_use]
    pub(crate) fn reruns_of(
        &self,
        shard: Option<Shard>,
        is_to_be_rerun: impl Fn(&TrialPlan) -> bool,
    ) -> Vec<TrialPlan> {
        let again = |plan: &TrialPlan| {
            self.plan_of(Choice {
                journal_mode: plan.settings.journal_mode,
                conditions: plan.conditions,
                strategy: plan.strategy,
                repetition: self.rerun_of(plan.repetition),
            })
        };
        let trials = self.trials_of(shard);
        let blocks = trials.chunks(self.block_len()).filter(|block| block.iter().any(&is_to_be_rerun));
        blocks.flatten().map(again).collect()
    }

    /// The repetition that a repetition is run again as.
    #[must_use]
    pub(crate) fn rerun_of(&self, repetition: u32) -> u32 {
        repetition.saturating_add(self.repetitions)
    }

    /// How many trials a shard has, or the whole where there is none.
    #[must_use]
    pub(crate) fn trial_count_of(&self, shard: Option<Shard>) -> usize {
        match shard {
            None => self.trial_count(),
            Some(shard) => shard.count(self.block_count()) * self.block_len(),
        }
    }

    /// How many blocks its trials are.
    #[must_use]
    pub(crate) fn block_count(&self) -> usize {
        self.trial_count() / self.block_len()
    }

    /// How many trials a block has.
    fn block_len(&self) -> usize {
        // A scenario has a journal mode; a chunk of none would be a panic.
        self.sqlite.journal_modes.len().max(1)
    }

    fn choices(&self) -> Vec<Choice> {
        let mut once = Vec::new();
        for conditions in self.conditions() {
            for &strategy in &self.snapshots.strategies {
                for &journal_mode in &self.sqlite.journal_modes {
                    once.push(Choice { journal_mode, conditions, strategy, repetition: 1 });
                }
            }
        }
        let mut all = Vec::new();
        for repetition in 1..=self.repetitions {
            let again = once.iter().map(|choice| Choice { repetition, ..*choice });
            if repetition % 2 == 1 {
                all.extend(again);
            } else {
                all.extend(again.rev());
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    /// Scenarios of several shapes, with the trials of a block and the blocks.
    fn shapes() -> Vec<(Scenario, usize, usize)> {
        const SCENARIO: &str = r#"
            why = "a question"
            expect = "an answer"
            [dataset]
            rows = 1000
            [sqlite]
            journal_mode = "wal"
            [load]
            rate_ops = 8000
            [snapshots]
            strategies = "none"
        "#;
        let three = "snapshots.strategies=[\"none\", \"cp\", \"vacuum-into\"]";
        let both = "sqlite.journal_mode=[\"delete\", \"wal\"]";
        let shapes: [(&[&str], usize, usize); 7] = [
            (&[], 1, 1),
            (&[both], 2, 1),
            (&[both, "repetitions=5"], 2, 5),
            (&[both, three, "repetitions=4"], 2, 12),
            (&[both, "load.completed_rate_ops=[1, 20, 200]"], 2, 3),
            (&["sqlite.journal_mode=[\"delete\", \"wal\", \"persist\"]", three, "repetitions=2"], 3, 6),
            (
                &[both, three, "repetitions=3", "load.rate_ops=[1, 2]", "sqlite.synchronous=[\"full\", \"normal\"]"],
                2,
                36,
            ),
        ];
        let parse = |(set, modes, blocks): (&[&str], usize, usize)| {
            let set: Vec<_> = set.iter().map(ToString::to_string).collect();
            (Scenario::parse("test", SCENARIO, Path::new("test.toml"), &set).unwrap(), modes, blocks)
        };
        shapes.into_iter().map(parse).collect()
    }

    /// A trial's name without its journal mode: what the trials of a block share.
    fn block_of(id: &str) -> &str {
        id.split_once('-').unwrap().1
    }

    fn ids(scenario: &Scenario, shard: Option<Shard>) -> Vec<String> {
        scenario.trials_of(shard).iter().map(TrialPlan::id).collect()
    }

    #[test]
    fn every_trial_is_in_one_shard_and_the_trials_of_a_block_are_together() {
        for (scenario, modes, blocks) in shapes() {
            let all = ids(&scenario, None);
            assert_eq!((scenario.block_count(), all.len()), (blocks, blocks * modes));
            for of in 1..=13 {
                let mut seen = BTreeSet::new();
                for number in 1..=of {
                    let shard = Shard::new(number, of).unwrap();
                    let own = ids(&scenario, Some(shard));
                    assert_eq!(own.len(), scenario.trial_count_of(Some(shard)), "{shard}");
                    assert!(own.iter().is_sorted_by_key(|id| all.iter().position(|other| other == id)), "{shard}");
                    for (number, block) in own.chunks(modes).enumerate() {
                        assert_eq!(block.len(), modes, "{shard}");
                        assert!(block.iter().all(|id| block_of(id) == block_of(&block[0])), "{shard}: {block:?}");
                        // Block b is the n-th of shard (b mod N) + 1.
                        let first = (number * of as usize + shard.number() as usize - 1) * modes;
                        assert_eq!(block, &all[first..first + modes], "{shard}");
                    }
                    seen.extend(own);
                }
                let counts = (1..=of).map(|number| scenario.trial_count_of(Shard::new(number, of).ok()));
                assert_eq!((seen.len(), counts.sum::<usize>()), (all.len(), all.len()), "{of} shards: each trial once");
            }
        }
    }

    #[test]
    fn blocks_are_dealt_out_in_the_order_in_which_they_run() {
        let (scenario, ..) = shapes().swap_remove(3);
        let own = |number| ids(&scenario, Shard::new(number, 5).ok());
        assert_eq!(own(1)[..2], ["delete-full-8000-none-1", "wal-full-8000-none-1"]);
        // The second repetition runs backwards.
        assert_eq!(own(1)[2..4], ["wal-full-8000-none-2", "delete-full-8000-none-2"]);
        assert_eq!(own(4)[..2], ["wal-full-8000-vacuum-into-2", "delete-full-8000-vacuum-into-2"]);
    }
}

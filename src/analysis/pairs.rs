//! Which trials may be compared with each other.

use crate::{
    results::{Results, TrialResult},
    scenario::Conditions,
};

/// Whole trials that differ in journal mode, strategy and repetition only, in the order in which they ran.
pub struct Group<'a> {
    /// What they have in common.
    pub conditions: Conditions,
    /// Those whose times count.
    pub trials: Vec<&'a TrialResult>,
    /// Those that were disturbed and run again: what became of their copies counts, and their times do not.
    pub replaced: Vec<&'a TrialResult>,
}

impl Group<'_> {
    /// Whether more was offered than the database could do under one of the modes: then times only show how long a queue was.
    pub fn is_saturated(&self) -> bool {
        let of_mode = |mode| self.trials.iter().copied().filter(move |trial| trial.journal_mode == mode);
        self.trials.iter().any(|trial| cannot_keep_up(of_mode(trial.journal_mode)))
    }
}

/// Whether more was offered than the database could do in more than half of some trials: one stall at the end of a short
/// baseline is no ceiling.
pub fn cannot_keep_up<'a>(trials: impl Iterator<Item = &'a TrialResult>) -> bool {
    let (mut saturated, mut all) = (0, 0);
    for trial in trials {
        saturated += usize::from(trial.is_saturated());
        all += 1;
    }
    saturated * 2 > all
}

/// The groups of a run, in the order of its scenario.
pub fn groups(results: &Results) -> Vec<Group<'_>> {
    let group = |conditions: Conditions| {
        let is_of_it = |trial: &&TrialResult| trial.status.is_whole() && trial.is_of(conditions);
        let (replaced, trials) =
            results.trials.iter().filter(is_of_it).partition(|trial: &&TrialResult| results.is_replaced(trial));
        Group { conditions, trials, replaced }
    };
    let groups = results.scenario.conditions().into_iter().map(group);
    groups.filter(|group| !group.trials.is_empty()).collect()
}

/// The pairs of a trial that is a base and one that is new, of the same strategy and repetition.
pub fn pairs<'a>(
    trials: &[&'a TrialResult],
    is_base: impl Fn(&TrialResult) -> bool,
    is_new: impl Fn(&TrialResult) -> bool,
) -> Vec<(&'a TrialResult, &'a TrialResult)> {
    let partner = |base: &TrialResult| {
        let is_partner = |trial: &&&TrialResult| (trial.strategy, trial.repetition) == (base.strategy, base.repetition);
        trials.iter().filter(|trial| is_new(trial)).find(is_partner).copied()
    };
    trials.iter().filter(|trial| is_base(trial)).filter_map(|base| Some((*base, partner(base)?))).collect()
}

/// Trials under one and the same journal mode that ran one after the other, but for those under other modes: each with the
/// next one.
pub fn neighbours<'a>(trials: &[&'a TrialResult]) -> Vec<(&'a TrialResult, &'a TrialResult)> {
    let next = |(place, trial): (usize, &&'a TrialResult)| {
        let after = trials[place + 1..].iter().find(|after| after.journal_mode == trial.journal_mode);
        after.map(|after| (*trial, *after))
    };
    trials.iter().enumerate().filter_map(next).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{results::samples, snapshot::Strategy, sqlite::JournalMode};

    #[test]
    fn a_mode_cannot_keep_up_where_most_of_its_trials_could_not() {
        for (saturated, of, cannot) in
            [(0, 0, false), (0, 3, false), (1, 2, false), (1, 3, false), (2, 3, true), (1, 1, true)]
        {
            let mut trials = vec![samples::trial(JournalMode::Wal, Strategy::Cp); of];
            trials[..saturated].iter_mut().for_each(|trial| trial.phases[0].achieved_rate_ops = 1.0);
            assert_eq!(cannot_keep_up(trials.iter()), cannot, "{saturated} of {of}");
        }
    }

    #[test]
    fn pairs_and_neighbours_by_their_order() {
        use JournalMode::{Delete, Wal};
        let trial = |mode, strategy, repetition| TrialResult { repetition, ..samples::trial(mode, strategy) };
        let all = [
            trial(Delete, Strategy::Cp, 1),
            trial(Wal, Strategy::Cp, 1),
            trial(Delete, Strategy::None, 1),
            trial(Wal, Strategy::None, 1),
            trial(Wal, Strategy::Cp, 2),
        ];
        let trials: Vec<_> = all.iter().collect();
        let place = |trial: &TrialResult| all.iter().position(|one| std::ptr::eq(one, trial)).unwrap();
        let places = |pairs: Vec<(&TrialResult, &TrialResult)>| {
            pairs.into_iter().map(|(base, new)| (place(base), place(new))).collect::<Vec<_>>()
        };
        let of = |mode| move |trial: &TrialResult| trial.journal_mode == mode;
        assert_eq!(places(pairs(&trials, of(Delete), of(Wal))), [(0, 1), (2, 3)]);
        assert_eq!(places(pairs(&trials, of(Wal), of(Delete))), [(1, 0), (3, 2)]);
        assert_eq!(places(neighbours(&trials)), [(0, 2), (1, 3), (3, 4)]);
    }
}

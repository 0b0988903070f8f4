//! What follows from the trials of results and stands in them: computed in one place, for a run that has got further, for
//! shards that were joined, and for a file that an older program wrote.

use crate::{
    analysis,
    results::{Recorded, Results, Warning},
};

/// Computes it anew. What results say of it already is not looked at.
pub fn derive(results: &mut Results) {
    for (place, disturbances) in analysis::disturbances(results).into_iter().enumerate() {
        results.trials[place].disturbed = disturbances.map_or(Recorded::Unknown, Recorded::Known);
    }
    let comparisons = analysis::comparisons(results);
    let has_load = results.scenario.experiment.has_load();
    let is_decided = has_load && !results.trials.is_empty();
    results.decision = is_decided.then(|| analysis::decision(results, &comparisons));
    results.comparisons = comparisons.into();
    results.claims = if has_load { analysis::claims(results) } else { Vec::new() }.into();
    results.thresholds = analysis::thresholds(results).into();
    let (trials, of) = (results.trials.len(), results.trials_planned());
    let part = results.part();
    // Merged results cannot be resumed: they are a part instead.
    let unfinished = (results.merged.is_empty() && trials < of).then_some(Warning::Unfinished { trials, of });
    results.warnings =
        unfinished.into_iter().chain(part.map(Warning::Part)).chain(analysis::warnings(results)).collect();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::{MergedRun, Part, samples},
        scenario::Shard,
        snapshot::Strategy,
        sqlite::JournalMode,
    };

    /// The shard, the merged shards, how many trials there are, and what is warned of.
    type Case<'a> = (Option<u32>, &'a [u32], usize, Vec<Warning>);

    #[test]
    fn what_is_missing_is_warned_of_first() {
        let part = |shards: &[u32], trials| {
            Warning::Part(Part { shards: shards.to_vec(), of_shards: 2, trials, of_trials: 4 })
        };
        let unfinished = |trials, of| Warning::Unfinished { trials, of };
        let debug = || Warning::DebugBuild;
        let cases: [Case<'_>; 7] = [
            (None, &[], 4, vec![debug()]),
            (None, &[], 3, vec![unfinished(3, 4), debug()]),
            (Some(1), &[], 2, vec![part(&[1], 2), debug()]),
            (Some(1), &[], 1, vec![unfinished(1, 2), part(&[1], 1), debug()]),
            (None, &[1, 2], 4, vec![debug()]),
            (None, &[1, 2], 3, vec![part(&[1, 2], 3), debug()]),
            (None, &[2], 2, vec![part(&[2], 2), debug()]),
        ];
        for (number, (shard, merged, trials, expected)) in cases.into_iter().enumerate() {
            let mut results = samples::results(vec![samples::trial(JournalMode::Wal, Strategy::Cp); trials]);
            results.environment.optimised_build = false;
            results.environment.processors = 8;
            results.shard = shard.map(|number| Shard::new(number, 2).unwrap());
            let environment = || results.environment.clone();
            let run = |number: &u32| MergedRun { environment: environment(), ..samples::merged_run(*number, 2) };
            results.merged = merged.iter().map(run).collect();
            results.warnings = vec![Warning::CopyOnWrite];
            derive(&mut results);
            assert_eq!(results.warnings, expected, "case {number}");
        }
    }
}

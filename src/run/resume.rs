//! A run that goes on where an earlier sitting of it has ended, stopped or killed.
//!
//! What was measured on one machine under one scenario stays comparable only there, so both must be what they were. Trials that
//! have ended stay; the missing, failed and interrupted ones are run, in the order of the scenario and with its seeds.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};

use crate::{
    analysis::likeness::{self, Difference, Machines},
    env::Environment,
    results::{Results, Status, TrialResult},
    scenario::{Scenario, Shard, TrialPlan},
};

/// Refuses to go on under another scenario.
///
/// # Errors
/// What differs.
pub(crate) fn check_scenario(earlier: &Results, scenario: &Scenario) -> Result<()> {
    let differences = likeness::of_scenarios(&earlier.scenario, scenario)?;
    if !differences.is_empty() {
        let words = likeness::in_words(&differences, Difference::since_then);
        bail!("the results are of another scenario: {words}");
    }
    Ok(())
}

/// Refuses to go on with another part of the scenario than the one that was begun; `asked` is the shard that was named, if any.
///
/// # Errors
/// Which part was begun.
pub(crate) fn check_shard(earlier: &Results, asked: Option<Shard>) -> Result<()> {
    if !earlier.merged.is_empty() {
        bail!("the results were merged: go on with the results of the shards, and merge those again");
    }
    match (earlier.shard, asked) {
        (_, None) => Ok(()),
        (Some(shard), Some(asked)) if shard == asked => Ok(()),
        (Some(shard), Some(asked)) => bail!("the results are of shard {shard}, and not of {asked}"),
        (None, Some(asked)) => bail!("the results are of the whole scenario, and not of shard {asked}"),
    }
}

/// Refuses to go on on another machine, or with another program.
pub(super) fn check_machine(earlier: &Results, environment: &Environment) -> Result<()> {
    let mut differences = likeness::of_environments(&earlier.environment, environment, Machines::Same)?;
    differences.extend(likeness::of_programs(earlier, env!("CARGO_PKG_VERSION")));
    if !differences.is_empty() {
        let words = likeness::in_words(&differences, Difference::since_then);
        bail!("the results were measured on another machine, or it has changed: {words}");
    }
    Ok(())
}

/// The trials of a scenario, or of a shard of it, that are still to be run.
pub(crate) fn missing(scenario: &Scenario, shard: Option<Shard>, earlier: Option<&Results>) -> Vec<TrialPlan> {
    let trials = || earlier.iter().flat_map(|results| &results.trials).filter(|trial| has_ended(trial));
    let is_missing = |plan: &TrialPlan| !trials().any(|trial| trial.id == plan.id());
    let reruns = earlier.map_or_else(Vec::new, Results::reruns);
    scenario.trials_of(shard).into_iter().chain(reruns).filter(is_missing).collect()
}

/// Leaves the trials that have ended, and removes what the others had kept.
pub(super) fn leave_ended(earlier: &mut Results, out_dir: &Path) -> Result<()> {
    let (ended, others): (Vec<_>, Vec<_>) = std::mem::take(&mut earlier.trials).into_iter().partition(has_ended);
    earlier.trials = ended;
    others.iter().filter_map(|trial| trial.kept_in.as_ref()).try_for_each(|kept| remove_kept(&out_dir.join(kept)))
}

/// Removes what a trial has kept that is to be run again, or that was killed before its result was saved.
pub(super) fn remove_kept(kept: &Path) -> Result<()> {
    match fs::remove_dir_all(kept) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}, which an unfinished trial has kept", kept.display()))
        }
        _ => Ok(()),
    }
}

fn has_ended(trial: &TrialResult) -> bool {
    match trial.status {
        Status::Completed | Status::Skipped => true,
        Status::Failed | Status::Interrupted => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{results::samples, snapshot::Strategy, sqlite::JournalMode};

    #[test]
    fn another_scenario_machine_or_program_is_refused_with_what_differs() {
        let results = samples::results(Vec::new());
        assert!(check_scenario(&results, &results.scenario).is_ok());
        let error = check_scenario(&results, &samples::scenario(&["load.rate_ops=17"])).unwrap_err().to_string();
        assert_eq!(error, "the results are of another scenario: load.rate_ops is [17.0] and was [1000.0]");

        let mut environment = results.environment.clone();
        environment.fsync_us_p50 = Some(987);
        assert!(check_machine(&results, &environment).is_ok(), "a figure that is measured");
        environment.memory_bytes += 1;
        let error = check_machine(&results, &environment).unwrap_err().to_string();
        assert!(error.contains("memory_bytes is"), "{error}");
        let earlier = Results { journalbench_version: "0.0.0".to_owned(), ..results.clone() };
        let error = check_machine(&earlier, &results.environment).unwrap_err().to_string();
        assert!(error.contains("and was 0.0.0"), "{error}");
    }

    #[test]
    fn another_shard_and_merged_results_are_refused() {
        let shard = |number| Shard::new(number, 2).unwrap();
        for (begun, asked, expected) in [
            (None, None, None),
            (Some(1), None, None),
            (Some(1), Some(1), None),
            (Some(1), Some(2), Some("the results are of shard 1/2, and not of 2/2")),
            (None, Some(2), Some("the results are of the whole scenario, and not of shard 2/2")),
        ] {
            let results = Results { shard: begun.map(shard), ..samples::results(Vec::new()) };
            let refused = check_shard(&results, asked.map(shard)).err().map(|error| error.to_string());
            assert_eq!(refused.as_deref(), expected);
        }
        let merged = Results { merged: vec![samples::merged_run(1, 2)], ..samples::results(Vec::new()) };
        let error = check_shard(&merged, None).unwrap_err().to_string();
        assert!(error.starts_with("the results were merged"), "{error}");
    }

    #[test]
    fn what_has_ended_stays_and_what_the_others_kept_goes() {
        let out = tempfile::tempdir().unwrap();
        let of = |status, kept: &str| {
            fs::create_dir_all(out.path().join(kept)).unwrap();
            let trial = samples::trial(JournalMode::Wal, Strategy::Cp);
            TrialResult { status, kept_in: Some(kept.into()), ..trial }
        };
        let mut results = samples::results(vec![
            of(Status::Completed, "kept/1"),
            of(Status::Failed, "kept/2"),
            of(Status::Skipped, "kept/3"),
            of(Status::Interrupted, "kept/4"),
        ]);
        leave_ended(&mut results, out.path()).unwrap();
        let statuses: Vec<_> = results.trials.iter().map(|trial| trial.status).collect();
        assert_eq!(statuses, [Status::Completed, Status::Skipped]);
        let exists = ["kept/1", "kept/2", "kept/3", "kept/4"].map(|kept| out.path().join(kept).exists());
        assert_eq!(exists, [true, false, true, false]);
    }
}

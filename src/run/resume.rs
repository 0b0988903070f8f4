//! A run that goes on where an earlier sitting of it has ended, stopped or killed.
//!
//! What was measured on one machine under one scenario stays comparable only there, so both must be what they were. Trials that
//! have ended stay; the missing, failed and interrupted ones are run, in the order of the scenario and with its seeds.

use std::{
    ffi::OsStr,
    fs,
    path::{Component, Path},
};

use anyhow::{Context as _, Result, bail};

use super::Only;
use crate::{
    analysis::likeness::{self, Difference, Machines},
    env::Environment,
    results::{Results, Status, TrialResult},
    scenario::{Scenario, Shard, TrialPlan},
};

/// The folder in that of the results in which `--keep` keeps the files of trials.
pub(crate) const KEPT: &str = "kept";

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

/// Leaves the trials that have ended and those that this sitting does not run, and gives back the others.
pub(super) fn leave_ended(earlier: &mut Results, only: &Only) -> Vec<TrialResult> {
    let stays = |trial: &TrialResult| has_ended(trial) || !only.has(&trial.id);
    let (staying, others) = std::mem::take(&mut earlier.trials).into_iter().partition(stays);
    earlier.trials = staying;
    others
}

/// Removes what a trial has kept that is to be run again. Where its results name another folder than a trial's own, somebody has
/// changed them, and that folder stays: nobody loses what this program did not make.
pub(super) fn remove_kept_of(trial: &TrialResult, out_dir: &Path) -> Result<()> {
    match &trial.kept_in {
        Some(kept) if is_own(kept, &trial.id) => remove_kept(&out_dir.join(kept)),
        _ => Ok(()),
    }
}

/// Whether a path in a results file is the one that `--keep` gives a trial of this name.
fn is_own(kept: &Path, id: &str) -> bool {
    let own = [OsStr::new(KEPT), OsStr::new(id)].map(Component::Normal);
    kept.components().eq(own)
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
    fn what_has_ended_stays_and_so_does_what_this_sitting_leaves_out() {
        let of = |status, id: &str| {
            let trial = samples::trial(JournalMode::Wal, Strategy::Cp);
            TrialResult { status, id: id.to_owned(), ..trial }
        };
        for (only, expected, dropped) in [
            (&[][..], &["1", "3"][..], &["2", "4"][..]),
            (&["4"], &["1", "2", "3"], &["4"]),
            (&["1", "5"], &["1", "2", "3", "4"], &[]),
        ] {
            let mut results = samples::results(vec![
                of(Status::Completed, "1"),
                of(Status::Failed, "2"),
                of(Status::Skipped, "3"),
                of(Status::Interrupted, "4"),
            ]);
            let chosen = Only::new(only.iter().map(|part| (*part).to_owned()).collect());
            let others = leave_ended(&mut results, &chosen);
            let ids = |trials: &[TrialResult]| trials.iter().map(|trial| trial.id.clone()).collect::<Vec<_>>();
            assert_eq!(ids(&results.trials), expected, "{only:?}");
            assert_eq!(ids(&others), dropped, "{only:?}");
        }
    }

    #[test]
    fn only_the_folder_of_a_trial_itself_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let absolute = out.join("kept/wal-1");
        for (kept, is_removed) in [
            (Some("kept/wal-1"), true),
            (Some("kept/wal-2"), false),
            (Some("kept"), false),
            (Some("wal-1"), false),
            (Some("kept/wal-1/snapshots"), false),
            (Some("kept/../kept/wal-1"), false),
            (Some("../out/kept/wal-1"), false),
            (Some(".."), false),
            (Some(""), false),
            (absolute.to_str(), false),
            (None, false),
        ] {
            for name in ["wal-1/snapshots", "wal-2"] {
                fs::create_dir_all(out.join("kept").join(name)).unwrap();
            }
            let trial = samples::trial(JournalMode::Wal, Strategy::Cp);
            let trial = TrialResult { id: "wal-1".to_owned(), kept_in: kept.map(Into::into), ..trial };
            remove_kept_of(&trial, &out).unwrap();
            assert_eq!(out.join("kept/wal-1/snapshots").exists(), !is_removed, "{kept:?}");
            assert!(out.join("kept/wal-2").exists(), "{kept:?}");
        }
        // What is gone already is no error, and neither is a name that leads elsewhere.
        for (id, kept) in [("wal-3", "kept/wal-3"), ("..", "kept/.."), ("/", "/"), ("", "kept")] {
            let trial = samples::trial(JournalMode::Wal, Strategy::Cp);
            remove_kept_of(&TrialResult { id: id.to_owned(), kept_in: Some(kept.into()), ..trial }, &out).unwrap();
        }
        assert!(out.join("kept/wal-1").exists());
    }
}

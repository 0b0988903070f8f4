//! A run that goes on where an earlier sitting of it has ended, stopped or killed.
//!
//! What was measured on one machine under one scenario stays comparable only there, so both must be what they were. Trials that
//! have ended stay; the missing, failed and interrupted ones are run, in the order of the scenario and with its seeds.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail};
use serde::Serialize;
use serde_json::Value;

use crate::{
    env::Environment,
    results::{Results, Status, TrialResult},
    scenario::{Scenario, TrialPlan},
};

/// The keys of the environment that are measured anew and never come out the same.
const MEASURED: [&str; 1] = ["fsync_us_p50"];

/// How many differences are named.
const NAMED: usize = 5;

/// Refuses to go on under another scenario.
///
/// # Errors
/// What differs.
pub(crate) fn check_scenario(earlier: &Results, scenario: &Scenario) -> Result<()> {
    let differences = differences(&earlier.scenario, scenario)?;
    if !differences.is_empty() {
        bail!("the results are of another scenario: {}", differences.join("; "));
    }
    Ok(())
}

/// Refuses to go on on another machine, or with another program.
pub(super) fn check_machine(earlier: &Results, environment: &Environment) -> Result<()> {
    let mut differences = differences(&earlier.environment, environment)?;
    let version = env!("CARGO_PKG_VERSION");
    if earlier.journalbench_version != version {
        differences.push(format!("journalbench_version is {version} and was {}", earlier.journalbench_version));
    }
    if !differences.is_empty() {
        bail!("the results were measured on another machine, or it has changed: {}", differences.join("; "));
    }
    Ok(())
}

/// The trials of a scenario that are still to be run.
pub(crate) fn missing(scenario: &Scenario, earlier: Option<&Results>) -> Vec<TrialPlan> {
    let trials = || earlier.iter().flat_map(|results| &results.trials).filter(|trial| has_ended(trial));
    let is_missing = |plan: &TrialPlan| !trials().any(|trial| trial.id == plan.id());
    scenario.trials().into_iter().filter(is_missing).collect()
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

/// In which values two things differ, as results would say them.
fn differences(was: &impl Serialize, is: &impl Serialize) -> Result<Vec<String>> {
    let (was, is) = (serde_json::to_value(was)?, serde_json::to_value(is)?);
    let mut differences = Vec::new();
    compare("", &was, &is, &mut differences);
    let more = differences.len().saturating_sub(NAMED);
    differences.truncate(NAMED);
    if more > 0 {
        differences.push(format!("and {more} more"));
    }
    Ok(differences)
}

fn compare(at: &str, was: &Value, is: &Value, differences: &mut Vec<String>) {
    if let (Value::Object(was_keys), Value::Object(is_keys)) = (was, is) {
        let names = was_keys.keys().chain(is_keys.keys().filter(|name| !was_keys.contains_key(*name)));
        for name in names.filter(|name| !MEASURED.contains(&name.as_str())) {
            let at = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
            compare(&at, &was[name.as_str()], &is[name.as_str()], differences);
        }
    } else if was != is {
        differences.push(format!("{at} is {is} and was {was}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{results::samples, snapshot::Strategy, sqlite::JournalMode};

    #[test]
    fn another_scenario_or_machine_is_refused_with_what_differs() {
        let results = samples::results(Vec::new());
        assert!(check_scenario(&results, &results.scenario).is_ok());
        let other = samples::scenario(&["load.rate_ops=17", "repetitions=3"]);
        let error = check_scenario(&results, &other).unwrap_err().to_string();
        assert!(
            error.contains("load.rate_ops is [17.0] and was [1000.0]") && error.contains("repetitions is 3 and was"),
            "{error}"
        );

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

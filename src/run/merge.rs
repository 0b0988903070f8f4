//! The results of the shards of a scenario, joined into results of the whole.
//!
//! Figures of several machines may stand in one table only where the same program did its part of the same work on machines of
//! one kind ([`Machines::Alike`]). Whatever else differs is refused. Both trials of a pair come from one shard, and so from one
//! machine: nothing here can tear them apart.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, anyhow, bail};

use super::derive;
use crate::{
    analysis::likeness::{self, Difference, Machines},
    results::{MergedRun, Results},
    scenario::{Shard, shards_named},
};

/// Results to be joined with others, and where they are from.
#[derive(Debug)]
pub(crate) struct ShardFile {
    path: PathBuf,
    results: Results,
}

impl ShardFile {
    /// Reads results. Their kept folders are named by absolute paths, until [`name_kept_from`] says from where. A folder that
    /// is not there, because the file alone was brought from another machine, is named no longer, and `say` gets a line.
    ///
    /// # Errors
    /// When the file cannot be read, or is none that a run writes.
    pub(crate) fn load(path: &Path, say: &mut dyn FnMut(String)) -> Result<Self> {
        let mut results = Results::load(path)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = fs::canonicalize(folder).with_context(|| format!("cannot find {}", folder.display()))?;
        let mut gone = 0;
        for trial in &mut results.trials {
            let Some(kept) = trial.kept_in.take() else { continue };
            trial.kept_in = Some(folder.join(kept)).filter(|kept| kept.is_dir());
            gone += usize::from(trial.kept_in.is_none());
        }
        if gone > 0 {
            let path = path.display();
            say(format!(
                "{path}: the kept folders of {gone} trials are not there, so the merged results name none of them"
            ));
        }
        Ok(Self { path: path.to_owned(), results })
    }

    /// The shard, which only results have that passed [`not_shards`].
    fn shard(&self) -> Option<Shard> {
        self.results.shard
    }
}

/// Names the kept folders of merged results as seen from the folder that these are to be in.
///
/// # Errors
/// When a results file cannot name one.
pub(crate) fn name_kept_from(results: &mut Results, folder: &Path) -> Result<()> {
    let folder = fs::canonicalize(folder).with_context(|| format!("cannot find {}", folder.display()))?;
    for kept in results.trials.iter_mut().filter_map(|trial| trial.kept_in.as_mut()) {
        let relative = pathdiff::diff_paths(&*kept, &folder).filter(|path| path.to_str().is_some());
        *kept = relative.ok_or_else(|| {
            anyhow!("the kept folder {} has no name in UTF-8, as a results file needs it: rename it", kept.display())
        })?;
    }
    Ok(())
}

/// Joins the results of shards, in the order of the scenario. Where trials are missing, the results are a part of it and say
/// so; without `allow_part` that is refused.
///
/// # Errors
/// All that keeps them from being joined, each in a line that names the file.
pub(crate) fn merge(mut files: Vec<ShardFile>, allow_part: bool) -> Result<Results> {
    files.sort_by_key(|file| file.shard().map(|shard| (shard.of(), shard.number())));
    refuse(&not_shards(&files))?;
    let mut problems = differences(&files)?;
    problems.extend(foreign_trials(&files));
    refuse(&problems)?;
    if !allow_part {
        refuse(&missing(&files))?;
    }
    join(files)
}

fn refuse(problems: &[String]) -> Result<()> {
    match problems {
        [] => Ok(()),
        [problem] => bail!("nothing was merged: {problem}"),
        several => bail!("nothing was merged:\n  {}", several.join("\n  ")),
    }
}

/// Results that are not each another shard of the same number of shards.
fn not_shards(files: &[ShardFile]) -> Vec<String> {
    let mut problems = Vec::new();
    let mut seen: Option<(&ShardFile, Shard)> = None;
    for file in files {
        let path = file.path.display();
        match (file.shard(), seen) {
            _ if !file.results.merged.is_empty() => {
                problems.push(format!("{path} was merged already: name the results of its shards instead"));
                continue;
            }
            (None, _) => {
                problems.push(format!("{path} is of the whole scenario: only the results of shards can be merged"));
            }
            (Some(shard), Some((before, other))) if shard.of() != other.of() => {
                problems.push(format!("{path} is shard {shard}, and {} is shard {other}", before.path.display()));
            }
            (Some(shard), Some((before, other))) if shard == other => {
                problems.push(format!("{} and {path} are both shard {shard}", before.path.display()));
            }
            (Some(_), _) => {}
        }
        seen = file.shard().map(|shard| (file, shard)).or(seen);
    }
    problems
}

/// In what results differ from the first of them.
fn differences(files: &[ShardFile]) -> Result<Vec<String>> {
    let Some((first, others)) = files.split_first() else { bail!("no results were named") };
    let with_dataset = files.iter().find_map(|file| Some((file, file.results.dataset.found()?)));
    let mut problems = Vec::new();
    for file in others {
        let (one, other) = (&first.results, &file.results);
        let mut note = |what: &str, first: &ShardFile, differences: &[Difference]| {
            if !differences.is_empty() {
                let words = likeness::in_words(differences, Difference::instead);
                let (path, first) = (file.path.display(), first.path.display());
                problems.push(format!("{path} is of another {what} than {first}: {words}"));
            }
        };
        note("scenario", first, &likeness::of_scenarios(&one.scenario, &other.scenario)?);
        note("program", first, likeness::of_programs(one, &other.journalbench_version).as_slice());
        note("environment", first, &likeness::of_environments(&one.environment, &other.environment, Machines::Alike)?);
        if let Some(((first, one), other)) = with_dataset.zip(other.dataset.found()) {
            note("dataset", first, &likeness::of_datasets(one, other)?);
        }
    }
    Ok(problems)
}

/// Trials that are not of the shard of their file, or stand in it twice.
fn foreign_trials(files: &[ShardFile]) -> Vec<String> {
    let mut problems = Vec::new();
    for ShardFile { path, results } in files {
        let scenario = &results.scenario;
        let plans = scenario.trials_of(results.shard).into_iter().chain(scenario.reruns_of(results.shard, |_| true));
        let own: BTreeSet<_> = plans.map(|plan| plan.id()).collect();
        let mut seen = BTreeSet::new();
        for id in results.trials.iter().map(|trial| &trial.id) {
            if !own.contains(id) {
                problems.push(format!("{} has the trial {id}, which is none of its shard", path.display()));
            } else if !seen.insert(id) {
                problems.push(format!("{} has the trial {id} twice", path.display()));
            }
        }
    }
    problems
}

/// What is missing of the scenario.
fn missing(files: &[ShardFile]) -> Vec<String> {
    let mut problems = Vec::new();
    let Some((first, shard)) = files.first().and_then(|first| Some((first, first.shard()?))) else { return problems };
    // Shards beyond the number of blocks are empty.
    let blocks = u32::try_from(first.results.scenario.block_count()).unwrap_or(u32::MAX);
    let here: BTreeSet<_> = files.iter().filter_map(ShardFile::shard).map(Shard::number).collect();
    let missing: Vec<_> = (1..=shard.of().min(blocks)).filter(|number| !here.contains(number)).collect();
    if !missing.is_empty() {
        problems.push(format!("{} missing: --partial merges what there is", is_or_are(&missing, shard.of())));
    }
    for ShardFile { path, results } in files {
        let (trials, of) = (results.trials.len(), results.trials_planned());
        if trials < of {
            problems.push(format!(
                "{} has {trials} of the {of} trials of its shard: go on with it (`journalbench run --resume`), or merge what \
                there is (--partial)",
                path.display()
            ));
        }
    }
    problems
}

fn is_or_are(shards: &[u32], of: u32) -> String {
    format!("{} {}", shards_named(shards, of), if shards.len() == 1 { "is" } else { "are" })
}

/// Joins what can be joined.
fn join(files: Vec<ShardFile>) -> Result<Results> {
    let merged = files.iter().filter_map(|file| merged_run(&file.results)).collect();
    let mut runs = files.into_iter().map(|file| file.results);
    let mut all = runs.next().context("no results were named")?;
    let mut sittings = all.sittings.entries().to_vec();
    for run in runs {
        all.duration_s += run.duration_s;
        // All are in UTC and of one form, so that the first in the alphabet is the earliest.
        all.started_at = all.started_at.min(run.started_at);
        sittings.extend_from_slice(run.sittings.entries());
        if all.dataset.found().is_none() {
            all.dataset = run.dataset;
        }
        all.trials.extend(run.trials);
    }
    let plans = all.scenario.trials().into_iter().chain(all.scenario.reruns_of(None, |_| true));
    let order: BTreeMap<_, _> = plans.map(|plan| plan.id()).zip(0..).collect();
    all.trials.sort_by_key(|trial| order.get(&trial.id).copied());
    all.sittings = sittings.into();
    all.shard = None;
    all.merged = merged;
    derive(&mut all);
    Ok(all)
}

fn merged_run(results: &Results) -> Option<MergedRun> {
    Some(MergedRun {
        shard: results.shard?,
        started_at: results.started_at.clone(),
        duration_s: results.duration_s,
        environment: results.environment.clone(),
    })
}

#[cfg(test)]
mod tests;

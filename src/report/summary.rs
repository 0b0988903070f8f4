//! The sentences at the top of a report: what a reader who has to decide wants first.
//!
//! Each states what was seen, with the figures that it rests on.

use std::collections::BTreeMap;

use super::{
    context::{Context, Group, groups},
    figure_text::{count, number, range},
};
use crate::{
    analysis,
    oracle::Verdict,
    results::{PhaseName, PhaseResult, Results, SnapshotResult, Status, TrialResult},
    snapshot::{Isolation, Strategy},
    sqlite::JournalMode,
    statistics::share_interval,
};

pub fn sentences(results: &Results) -> Vec<String> {
    let groups = groups(results);
    let mut sentences = missing(results);
    sentences.extend(ceilings(results));
    sentences.extend(exact_strategies(&groups));
    sentences.extend(not_judged(results));
    sentences.extend(results.scenario.experiment.has_load().then(|| silent_failures(results)));
    sentences.extend(lucky(results));
    sentences.extend(results.trials.iter().filter_map(retention));
    sentences
}

/// What modes could do, where more was offered.
pub fn ceilings(results: &Results) -> Vec<String> {
    let of_group =
        |group: &Group<'_>| -> Vec<String> { group.modes().filter_map(|mode| ceiling(group, mode)).collect() };
    groups(results).iter().flat_map(of_group).collect()
}

/// What shards, an interrupt, or snapshots that took too long, have left out.
pub fn missing(results: &Results) -> Vec<String> {
    let mut sentences: Vec<_> = results.part().map(|part| format!("A part: {part}.")).into_iter().collect();
    let (all, begun) = (results.trials_planned(), results.trials.len());
    let was_cut_short = |trial: &&TrialResult| match trial.status {
        Status::Interrupted => true,
        Status::Completed | Status::Skipped | Status::Failed => false,
    };
    let cut_short = results.trials.iter().filter(was_cut_short).count();
    // What merged results lack is in their part.
    let not_begun = if results.merged.is_empty() { all.saturating_sub(begun) } else { 0 };
    if not_begun > 0 || cut_short > 0 {
        sentences
            .push(format!("Not complete: of {all} trials {not_begun} are missing and {cut_short} were cut short."));
    }
    for trial in &results.trials {
        if let Some(not_taken) = trial.snapshots_not_taken.known().filter(|not_taken| **not_taken > 0) {
            sentences.push(format!(
                "{}: {not_taken} snapshots of the schedule were not taken, because those before them took too long.",
                trial.id
            ));
        }
    }
    sentences
}

/// What a mode could do, where more was offered.
fn ceiling(group: &Group<'_>, mode: JournalMode) -> Option<String> {
    if !group.is_closed_loop() && !analysis::cannot_keep_up(group.of_mode(mode)) {
        return None;
    }
    let phases: Vec<_> = group.of_mode(mode).filter_map(|trial| trial.phase(PhaseName::Baseline)).collect();
    let least_and_most = |value: fn(&PhaseResult) -> f64| {
        let values = || phases.iter().map(|phase| value(phase));
        let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
        range(&count(least), &count(most))
    };
    if phases.is_empty() {
        return None;
    }
    let commits = least_and_most(|phase| phase.achieved_commits_per_s);
    let requests = least_and_most(|phase| phase.achieved_rate_ops);
    if group.is_closed_loop() {
        return Some(format!(
            "Closed loop, {mode}, synchronous {}: {commits} commits a second ({requests} requests). A closed loop waits for the \
            database, so its response times hide every stall.",
            group.conditions.synchronous
        ));
    }
    let offered = least_and_most(|phase| phase.offered_commits_per_s);
    Some(format!(
        "{mode} could not do {}: its ceiling here was {commits} commits a second ({requests} requests), and {offered} commits a \
        second were offered. Its response times show how long the queue was, and are not compared.",
        group.rate()
    ))
}

/// Snapshots that nobody knows the worth of.
pub fn not_judged(results: &Results) -> Option<String> {
    let all = results.trials.iter().flat_map(|trial| &trial.snapshots);
    let not_judged = all.filter(|snapshot| snapshot.ruling.verdict.is_none()).count();
    (not_judged > 0).then(|| {
        let snapshots = if not_judged == 1 {
            "1 snapshot, which is".to_owned()
        } else {
            format!("{not_judged} snapshots, which are")
        };
        format!("Not judged: {snapshots} counted neither as exact nor otherwise; the tables say why.")
    })
}

fn judged(results: &Results) -> impl Iterator<Item = (&TrialResult, &SnapshotResult, Verdict)> {
    let all = results.trials.iter().flat_map(|trial| trial.snapshots.iter().map(move |snapshot| (trial, snapshot)));
    all.filter_map(|(trial, snapshot)| Some((trial, snapshot, snapshot.ruling.verdict?)))
}

/// Where the share of all such snapshots lies with 95 % confidence, in words.
pub fn share(hits: u64, of: u64) -> String {
    let interval = share_interval(hits, of);
    // What is a whole number but for rounding is that number.
    let (low, high) = ((interval.low * 100.0 + 1e-9).floor(), (interval.high * 100.0 - 1e-9).ceil());
    match (hits == 0, hits == of) {
        (true, _) => format!("at most {high} %"),
        (false, true) => format!("at least {low} %"),
        (false, false) => format!("{low} to {high} %"),
    }
}

/// How many of the snapshots of each strategy were exact, group by group where there are several.
fn exact_strategies(groups: &[Group<'_>]) -> Vec<String> {
    let sentence = |group: &Group<'_>| {
        let mut by_strategy: BTreeMap<(Strategy, String), (u64, u64)> = BTreeMap::new();
        for trial in &group.trials {
            for snapshot in trial.snapshots.iter().filter(|snapshot| snapshot.ruling.verdict.is_some()) {
                let key = (snapshot.strategy, trial.journal_mode.to_string());
                let (exact, all) = by_strategy.entry(key).or_default();
                *exact += u64::from(snapshot.is_exact());
                *all += 1;
            }
        }
        let part = |((strategy, mode), (exact, all)): (&(Strategy, String), &(u64, u64))| {
            format!("{strategy} under {mode} {exact} of {all} ({})", share(*exact, *all))
        };
        let parts: Vec<_> = by_strategy.iter().map(part).collect();
        let at = if groups.len() == 1 { String::new() } else { format!(" at {}", group.title()) };
        (!parts.is_empty()).then(|| format!("Exact snapshots{at}: {}.", parts.join(", ")))
    };
    let sentences: Vec<_> = groups.iter().filter_map(sentence).collect();
    if sentences.is_empty() { vec!["No snapshot was judged.".to_owned()] } else { sentences }
}

fn silent_failures(results: &Results) -> String {
    if !Context::new(results).has_sqlite_checks() {
        return "Which failures are silent is not known, because SQLite's checks were left out.".to_owned();
    }
    let all = judged(results).count();
    let mut silent: BTreeMap<String, u64> = BTreeMap::new();
    for (trial, _, verdict) in judged(results).filter(|(_, snapshot, _)| snapshot.ruling.silent_failure) {
        let which = format!("{} under {} ({verdict})", trial.strategy, trial.journal_mode);
        *silent.entry(which).or_default() += 1;
    }
    let said = "Silent failures (success reported, integrity_check ok, not exact)";
    if silent.is_empty() {
        return format!("{said}: none of {all} snapshots.");
    }
    let part = |(which, times): (&String, &u64)| if *times == 1 { which.clone() } else { format!("{times} x {which}") };
    let parts: Vec<_> = silent.iter().map(part).collect();
    format!("{said}: {} of {all} snapshots: {}.", silent.values().sum::<u64>(), parts.join(", "))
}

/// Copies that nothing protects and that came out exact all the same.
pub fn lucky(results: &Results) -> Vec<String> {
    let mut by_strategy: BTreeMap<(Strategy, String), Vec<(&TrialResult, &SnapshotResult)>> = BTreeMap::new();
    for (trial, snapshot, verdict) in judged(results) {
        if verdict.is_exact() {
            by_strategy.entry((trial.strategy, trial.journal_mode.to_string())).or_default().push((trial, snapshot));
        }
    }
    by_strategy.into_values().filter_map(|exact| lucky_ones(&exact)).collect()
}

/// One sentence of the exact copies of a strategy under a journal mode; none where they are exact for a better reason than luck.
fn lucky_ones(exact: &[(&TrialResult, &SnapshotResult)]) -> Option<String> {
    let (trial, snapshot) = exact.first()?;
    let why = match trial.strategy.definition().isolation {
        Isolation::Unprotected { luck } => luck(trial.journal_mode),
        Isolation::Isolated | Isolation::Unknown => return None,
    };
    let times = if exact.len() == 1 { String::new() } else { format!(" {} times, as this one", exact.len()) };
    Some(format!(
        "{} under {} came out exact by chance{times}: {} commits were made in its {} s. {why} The next one may be stale \
        or torn.",
        trial.strategy,
        trial.journal_mode,
        count(snapshot.commits_meanwhile() as f64),
        number(snapshot.run.duration_s)
    ))
}

/// Whether the last exact backup of a trial outlived its retention.
fn retention(trial: &TrialResult) -> Option<String> {
    let is_exact = |number: &usize| trial.snapshots.get(*number).is_some_and(SnapshotResult::is_exact);
    let kept = |snapshot: &'_ SnapshotResult| snapshot.after.entries().iter().find_map(|step| step.kept.clone());
    let after_each: Vec<_> =
        (0..).zip(&trial.snapshots).filter_map(|(number, snapshot)| Some((number, kept(snapshot)?))).collect();
    let (_, last) = after_each.last()?;
    let exact = last.iter().filter(|number| is_exact(number)).count();
    let left = format!("{}: of the {} backups that retention kept, {exact} are exact", trial.id, last.len());
    let deletions = after_each.windows(2).filter(|pair| pair[0].1.iter().any(is_exact));
    let deleted = deletions.filter(|pair| !pair[1].1.iter().any(is_exact)).map(|pair| pair[1].0).next_back();
    Some(match deleted {
        _ if exact > 0 => format!("{left}."),
        Some(number) => {
            let missed = trial.snapshots.get(number)?;
            let said =
                if missed.ruling.silent_failure { "which said that all was well" } else { "which was not exact" };
            format!("{left}; the last exact one was deleted after snapshot {}, {said}.", number + 1)
        }
        None => format!("{left}; none ever was."),
    })
}

#[cfg(test)]
mod tests;

//! The sentences at the top of a report: what a reader who has to decide wants first.
//!
//! Each states what was seen, with the figures that it rests on.

use std::collections::BTreeMap;

use super::{
    context::{Context, Group, groups},
    figure_text::{count, number, range, response},
    tables,
};
use crate::{
    measure::Percentile,
    oracle::Verdict,
    results::{OperationResult, PhaseName, PhaseResult, Results, SnapshotResult, Status, TrialResult},
    snapshot::{Isolation, Strategy},
    sqlite::JournalMode,
    workload::Kind,
};

pub fn sentences(results: &Results) -> Vec<String> {
    let groups = groups(results);
    let mut sentences = missing(results);
    for group in &groups {
        sentences.extend(comparison(group));
        sentences.extend(group.modes().filter_map(|mode| ceiling(group, mode)));
    }
    sentences.extend(exact_strategies(&groups));
    sentences.extend(not_judged(results));
    sentences.extend(groups.iter().flat_map(|group| group.modes().filter_map(|mode| cheapest(group, mode))));
    sentences.push(silent_failures(results));
    sentences.extend(lucky(results));
    sentences.extend(results.trials.iter().filter_map(retention));
    sentences
}

/// What an interrupt, or snapshots that took too long, have left out.
fn missing(results: &Results) -> Vec<String> {
    let (all, begun) = (Context::new(results).trials(), results.trials.len());
    let was_cut_short = |trial: &&TrialResult| match trial.status {
        Status::Interrupted => true,
        Status::Completed | Status::Skipped | Status::Failed => false,
    };
    let cut_short = results.trials.iter().filter(was_cut_short).count();
    let mut sentences = Vec::new();
    if begun < all || cut_short > 0 {
        let not_begun = all.saturating_sub(begun);
        sentences.push(format!("Interrupted: of {all} trials {not_begun} are missing and {cut_short} were cut short."));
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

/// The baselines of a journal mode.
fn baselines<'a>(group: &Group<'a>, mode: JournalMode) -> Vec<&'a PhaseResult> {
    group.of_mode(mode).filter_map(|trial| trial.phase(PhaseName::Baseline)).collect()
}

/// What is compared between journal modes.
const COMPARED: [(Kind, Percentile); 4] = [
    (Kind::Announce, Percentile::P50),
    (Kind::Announce, Percentile::P99),
    (Kind::Announce, Percentile::Max),
    (Kind::Scrape, Percentile::P99),
];

/// How the journal modes compared before any snapshot began: the figures for which every trial had enough operations.
fn comparison(group: &Group<'_>) -> Option<String> {
    let modes: Vec<(JournalMode, Vec<&PhaseResult>)> =
        group.modes().map(|mode| (mode, baselines(group, mode))).filter(|(_, phases)| !phases.is_empty()).collect();
    if group.is_saturated() || group.is_closed_loop() || modes.len() < 2 {
        return None;
    }
    let operations = |phases: &[&PhaseResult], kind| -> Option<Vec<OperationResult>> {
        phases.iter().map(|phase| phase.operation(kind).cloned()).collect()
    };
    let has_enough = |kind, percentile: Percentile| {
        modes.iter().all(|(_, phases)| {
            operations(phases, kind).is_some_and(|all| all.iter().all(|one| one.due >= percentile.least()))
        })
    };
    let figures: Vec<_> = COMPARED.into_iter().filter(|(kind, percentile)| has_enough(*kind, *percentile)).collect();
    if figures.is_empty() {
        return None;
    }
    let part = |(mode, phases): &(JournalMode, Vec<&PhaseResult>)| {
        let figure = |(number, (kind, percentile)): (usize, &(Kind, Percentile))| {
            let operations = operations(phases, *kind).unwrap_or_default();
            let times = range_of_times(operations.iter().map(|operation| operation.response.get(*percentile)));
            // The kind is named where it begins.
            let is_next = number.checked_sub(1).is_some_and(|before| figures[before].0 == *kind);
            if is_next { format!("{percentile} {times}") } else { format!("{kind}s {percentile} {times}") }
        };
        format!("{mode}: {}", figures.iter().enumerate().map(figure).collect::<Vec<_>>().join(", "))
    };
    let parts: Vec<_> = modes.iter().map(part).collect();
    let trials = modes.iter().map(|(_, phases)| phases.len()).max().unwrap_or(0);
    let of = if trials == 1 { "one trial each".to_owned() } else { format!("range of {trials} trials each") };
    Some(format!("At {}, before any snapshot, {} ({of}).", group.title(), parts.join("; ")))
}

/// The least and the most of some response times; "no answer" is later than every time.
fn range_of_times(times: impl Iterator<Item = Option<u64>>) -> String {
    let (mut least, mut most) = (None, Some(0));
    for time in times {
        least = [least, time].into_iter().flatten().min();
        most = most.zip(time).map(|(most, time)| u64::max(most, time));
    }
    range(&response(least), &response(most))
}

/// What a mode could do, where more was offered.
fn ceiling(group: &Group<'_>, mode: JournalMode) -> Option<String> {
    let is_at_it = |trial: &&TrialResult| group.is_closed_loop() || trial.is_saturated();
    let at_it = group.of_mode(mode).filter(is_at_it);
    let phases: Vec<_> = at_it.filter_map(|trial| trial.phase(PhaseName::Baseline)).collect();
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
            group.synchronous
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
fn not_judged(results: &Results) -> Option<String> {
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
            format!("{strategy} under {mode} {exact} of {all}")
        };
        let parts: Vec<_> = by_strategy.iter().map(part).collect();
        let at = if groups.len() == 1 { String::new() } else { format!(" at {}", group.title()) };
        (!parts.is_empty()).then(|| format!("Exact snapshots{at}: {}.", parts.join(", ")))
    };
    let sentences: Vec<_> = groups.iter().filter_map(sentence).collect();
    if sentences.is_empty() { vec!["No snapshot was judged.".to_owned()] } else { sentences }
}

/// What a strategy cost at its worst.
#[derive(Default)]
struct Cost {
    /// 99th percentile of the announces that were due while it ran; without an answer it is later than every time.
    p99_us: u64,
    /// Whether that rests on too few of them to be told.
    has_few: bool,
    duration_s: f64,
}

/// Of the strategies that a script can run and that were always exact under a mode, by more than luck, the one in whose
/// window announces waited least.
fn cheapest(group: &Group<'_>, mode: JournalMode) -> Option<String> {
    let always_exact = |strategy: Strategy| {
        let of_strategy = group.of_mode(mode).filter(|trial| trial.strategy == strategy);
        let mut snapshots = of_strategy.flat_map(|trial| &trial.snapshots).peekable();
        snapshots.peek().is_some() && snapshots.all(SnapshotResult::is_exact)
    };
    let mut costs: BTreeMap<Strategy, Cost> = BTreeMap::new();
    let is_candidate = |strategy: Strategy| strategy.definition().is_for_scripts() && always_exact(strategy);
    for trial in group.of_mode(mode).filter(|trial| is_candidate(trial.strategy)) {
        let phase = tables::while_it_ran(trial);
        let Some(announces) = phase.and_then(|phase| phase.operation(Kind::Announce)) else { continue };
        let p99_us = if announces.due == 0 { 0 } else { announces.response.p99_us.unwrap_or(u64::MAX) };
        let cost = costs.entry(trial.strategy).or_default();
        cost.p99_us = cost.p99_us.max(p99_us);
        cost.has_few |= announces.due < Percentile::P99.least();
        cost.duration_s =
            trial.snapshots.iter().map(|snapshot| snapshot.run.duration_s).fold(cost.duration_s, f64::max);
    }
    let order =
        |cost: &Cost, other: &Cost| cost.p99_us.cmp(&other.p99_us).then(cost.duration_s.total_cmp(&other.duration_s));
    let (strategy, cost) = costs.into_iter().min_by(|(_, one), (_, other)| order(one, other))?;
    let p99 = match cost {
        Cost { has_few: true, .. } => "too few announces were due while it ran for a p99".to_owned(),
        Cost { p99_us: u64::MAX, .. } => "the p99 of announces due while it ran had no answer".to_owned(),
        Cost { p99_us, .. } => format!("the p99 of announces due while it ran was {}", response(Some(p99_us))),
    };
    Some(format!(
        "Under {mode} at {}, the cheapest strategy that was exact every time and that a script can run was {strategy}: {p99}, and \
        it took {} s.",
        group.rate(),
        number(cost.duration_s)
    ))
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
fn lucky(results: &Results) -> Vec<String> {
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
        "{} under {} came out exact by chance{times}: {} commits were made in its {} s. {why} Nothing keeps another one \
        from being stale or torn.",
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

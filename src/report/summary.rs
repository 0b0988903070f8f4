//! The sentences at the top of a report: what a reader who has to decide wants first.
//!
//! Each states what was seen, with the figures that it rests on.

use std::collections::BTreeMap;

use super::{Group, count, groups, milliseconds, number, tables};
use crate::{
    oracle::Verdict,
    results::{PhaseName, PhaseResult, Results, SnapshotResult, Status, TrialResult},
    scenario::Arrivals,
    snapshot::{Isolation, Strategy},
    sqlite::JournalMode,
    workload::Kind,
};

pub fn sentences(results: &Results) -> Vec<String> {
    let groups = groups(results);
    let mut sentences = Vec::new();
    sentences.extend(missing(results));
    for group in &groups {
        sentences.extend(comparison(group));
        sentences.extend(modes(group).filter_map(|mode| ceiling(group, mode)));
    }
    sentences.extend(exact_strategies(&groups));
    sentences.extend(groups.iter().flat_map(|group| modes(group).filter_map(|mode| cheapest(group, mode))));
    sentences.push(silent_failures(results));
    sentences.extend(lucky(results));
    sentences.extend(results.trials.iter().filter_map(retention));
    sentences
}

/// What an interrupt, or snapshots that took too long, have left out.
fn missing(results: &Results) -> Vec<String> {
    let (all, begun) = (results.scenario.trials().len(), results.trials.len());
    let cut_short = results.trials.iter().filter(|trial| trial.status == Status::Interrupted).count();
    let mut sentences = Vec::new();
    if begun < all || cut_short > 0 {
        let not_begun = all.saturating_sub(begun);
        sentences.push(format!("Interrupted: of {all} trials {not_begun} are missing and {cut_short} were cut short."));
    }
    for trial in results.trials.iter().filter(|trial| trial.snapshots_not_taken > 0) {
        sentences.push(format!(
            "{}: {} snapshots of the schedule were not taken, because those before them took too long.",
            trial.id, trial.snapshots_not_taken
        ));
    }
    sentences
}

fn modes<'a>(group: &'a Group<'_>) -> impl Iterator<Item = JournalMode> + use<'a> {
    group.keys.sqlite.journal_mode.iter().copied()
}

fn baselines<'a>(group: &'a Group<'_>, mode: JournalMode) -> impl Iterator<Item = &'a PhaseResult> + use<'a> {
    let of_mode = group.trials.iter().filter(move |trial| trial.journal_mode == mode);
    of_mode.filter_map(|trial| trial.phase(PhaseName::Baseline))
}

/// How the journal modes compared before any snapshot began.
fn comparison(group: &Group<'_>) -> Option<String> {
    if group.is_saturated() || group.keys.load.arrivals == Arrivals::Closed {
        return None;
    }
    // Without an operation there is nothing to compare: no percentile would read as "no answer".
    let is_idle = |phase: &PhaseResult| phase.operation(Kind::Announce).is_none_or(|announces| announces.due == 0);
    if modes(group).any(|mode| baselines(group, mode).any(is_idle)) {
        return None;
    }
    let mut parts = Vec::new();
    for mode in modes(group) {
        let range = |percentile: fn(&PhaseResult) -> Option<u64>| {
            let mut times: Vec<_> = baselines(group, mode).map(percentile).collect();
            // "No answer" is later than every time.
            times.sort_by_key(|time| time.unwrap_or(u64::MAX));
            let text = |time: &Option<u64>| {
                time.map_or_else(|| "no answer".to_owned(), |time| format!("{} ms", milliseconds(time)))
            };
            let (first, last) = (text(times.first()?), text(times.last()?));
            Some(if first == last { first } else { format!("{first} to {last}") })
        };
        let p50 = range(|phase| phase.operation(Kind::Announce)?.response.p50_us);
        let p99 = range(|phase| phase.operation(Kind::Announce)?.response.p99_us);
        let max = range(|phase| phase.operation(Kind::Announce)?.response.max_us);
        let scrapes = range(|phase| phase.operation(Kind::Scrape)?.response.p99_us);
        if let (Some(p50), Some(p99), Some(max), Some(scrapes)) = (p50, p99, max, scrapes) {
            parts.push(format!("{mode}: announces p50 {p50}, p99 {p99}, max {max}, scrapes p99 {scrapes}"));
        }
    }
    (parts.len() > 1).then(|| {
        let trials = modes(group).map(|mode| baselines(group, mode).count()).max().unwrap_or(0);
        let unit = if trials == 1 { "trial".to_owned() } else { format!("range of {trials} trials each") };
        format!("At {}, before any snapshot, {} ({unit}).", group.title(), parts.join("; "))
    })
}

/// What a mode could do, where more was offered.
fn ceiling(group: &Group<'_>, mode: JournalMode) -> Option<String> {
    let closed = group.keys.load.arrivals == Arrivals::Closed;
    let of_mode = group.trials.iter().filter(|trial| trial.journal_mode == mode);
    let saturated: Vec<_> = of_mode.filter(|trial| closed || trial.is_saturated()).collect();
    let phases: Vec<_> = saturated.iter().filter_map(|trial| trial.phase(PhaseName::Baseline)).collect();
    let least_and_most = |value: fn(&PhaseResult) -> f64| {
        let values = || phases.iter().map(|phase| value(phase));
        let (least, most) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
        if count(least) == count(most) { count(most) } else { format!("{} to {}", count(least), count(most)) }
    };
    if phases.is_empty() {
        return None;
    }
    if closed {
        return Some(format!(
            "Closed loop, {mode}, synchronous {}: {} commits a second ({} requests). A closed loop waits for the database, so its response \
            times hide every stall.",
            group.synchronous,
            least_and_most(|phase| phase.achieved_commits_per_s),
            least_and_most(|phase| phase.achieved_rate_ops),
        ));
    }
    Some(format!(
        "{mode} could not do {}: its ceiling here was {} commits a second ({} requests) where {} \
            commits were offered; its response times are lengths of a queue and not compared.",
        group.rate(),
        least_and_most(|phase| phase.achieved_commits_per_s),
        least_and_most(|phase| phase.achieved_rate_ops),
        least_and_most(|phase| phase.offered_commits_per_s),
    ))
}

fn judged(results: &Results) -> impl Iterator<Item = (&TrialResult, &SnapshotResult, Verdict)> {
    let all = results.trials.iter().flat_map(|trial| trial.snapshots.iter().map(move |snapshot| (trial, snapshot)));
    all.filter_map(|(trial, snapshot)| Some((trial, snapshot, snapshot.verdict?)))
}

/// How many of the snapshots of each strategy were exact, group by group where there are several.
fn exact_strategies(groups: &[Group<'_>]) -> Vec<String> {
    let sentence = |group: &Group<'_>| {
        let mut by_strategy: BTreeMap<(Strategy, String), (u64, u64)> = BTreeMap::new();
        for trial in &group.trials {
            for snapshot in trial.snapshots.iter().filter(|snapshot| snapshot.verdict.is_some()) {
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

/// Of the strategies that a script can run and that were always exact under a mode, by more than luck, the one in whose
/// window announces waited least.
fn cheapest(group: &Group<'_>, mode: JournalMode) -> Option<String> {
    let of_mode: Vec<_> = group.trials.iter().filter(|trial| trial.journal_mode == mode).collect();
    let always_exact = |strategy: Strategy| {
        let mut verdicts =
            of_mode.iter().filter(|trial| trial.strategy == strategy).flat_map(|trial| &trial.snapshots).peekable();
        verdicts.peek().is_some() && verdicts.all(|snapshot| snapshot.verdict == Some(Verdict::Exact))
    };
    // The worst repetition counts. An announce without an answer is later than every time.
    let mut costs: BTreeMap<Strategy, (u64, f64)> = BTreeMap::new();
    let is_candidate = |strategy: Strategy| strategy.definition().is_for_scripts() && always_exact(strategy);
    for trial in of_mode.iter().filter(|trial| is_candidate(trial.strategy)) {
        let response = tables::while_it_ran(trial)?.operation(Kind::Announce)?.response.clone();
        let duration_s = trial.snapshots.iter().map(|snapshot| snapshot.duration_s).fold(0.0, f64::max);
        let cost = costs.entry(trial.strategy).or_default();
        *cost = (cost.0.max(response.p99_us.unwrap_or(u64::MAX)), cost.1.max(duration_s));
    }
    let (strategy, (p99_us, duration_s)) =
        costs.into_iter().min_by(|(_, one), (_, other)| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)))?;
    let p99 = match p99_us {
        u64::MAX => "had no answer".to_owned(),
        time_us => format!("was {} ms", milliseconds(time_us)),
    };
    Some(format!(
        "Under {mode} at {}, the cheapest strategy that was exact every time and that a script can run was {strategy}: the p99 of \
        announces due while it ran {p99}, and it took {} s.",
        group.rate(),
        number(duration_s)
    ))
}

fn silent_failures(results: &Results) -> String {
    if !results.scenario.keys.snapshots.sqlite_checks {
        return "Which failures are silent is not known: SQLite's checks were left out.".to_owned();
    }
    let all = judged(results).count();
    let mut silent: BTreeMap<String, u64> = BTreeMap::new();
    for (trial, _, verdict) in judged(results).filter(|(_, snapshot, _)| snapshot.silent_failure) {
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
        if verdict == Verdict::Exact {
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
        count(snapshot.commit_at_end.saturating_sub(snapshot.commit_at_start) as f64),
        number(snapshot.duration_s)
    ))
}

/// Whether the last exact backup of a trial outlived its retention.
fn retention(trial: &TrialResult) -> Option<String> {
    let is_exact = |number: &usize| trial.snapshots.get(*number).is_some_and(SnapshotResult::is_exact);
    let kept = |snapshot: &'_ SnapshotResult| snapshot.after.iter().find_map(|step| step.kept.clone());
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
            let said = if missed.silent_failure { "which said that all was well" } else { "which was not exact" };
            format!("{left}; the last exact one was deleted after snapshot {}, {said}.", number + 1)
        }
        None => format!("{left}; none ever was."),
    })
}

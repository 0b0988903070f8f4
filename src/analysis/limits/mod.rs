//! Up to how many commits a second a copy ends that begins again at every commit of another connection: what was seen in several runs,
//! the model that was fitted to it, and what follows for another size.

mod model;

use std::collections::BTreeMap;

pub use model::{Attempts, Fitted, fit, longest_gap_s, mean_s, rate_that_ends, share_that_ends};

use crate::{
    results::{Results, SnapshotResult, TrialResult},
    snapshot::Strategy,
    sqlite::JournalMode,
    statistics::{Interval, median},
};

/// The copies of a strategy, of a database of one size, at one rate of commits.
#[derive(Debug, Clone, PartialEq)]
pub struct Copies {
    /// Journal mode of the database.
    pub journal_mode: JournalMode,
    /// How they were taken.
    pub strategy: Strategy,
    /// Size of the database.
    pub bytes: u64,
    /// Commits a second.
    pub rate: f64,
    /// So many that ended well, with the times that they took, in seconds.
    pub ended_s: Vec<f64>,
    /// Of these, the ones that no commit disturbed.
    pub undisturbed_s: Vec<f64>,
    /// Of those that ended, the ones that are exact.
    pub exact: u64,
    /// Failed on a lock of somebody else's.
    pub locked: u64,
    /// Stopped at the deadline.
    pub stopped: u64,
    /// Failed otherwise.
    pub failed: u64,
    /// So many that were disturbed by a commit before their first attempt had ended, those that a lock ended left out.
    pub disturbed: u64,
    /// Of these, how long the ones lasted that were stopped at the deadline, in seconds.
    pub disturbed_and_stopped_s: Vec<f64>,
    /// How often they began again, all together: as the strategy says, or else as many commits as came meanwhile.
    pub begun_again: u64,
    /// Commits that came while they were taken.
    pub commits_meanwhile: u64,
}

impl Copies {
    /// None yet.
    fn none(journal_mode: JournalMode, strategy: Strategy, bytes: u64, rate: f64) -> Self {
        Self {
            journal_mode,
            strategy,
            bytes,
            rate,
            ended_s: Vec::new(),
            undisturbed_s: Vec::new(),
            exact: 0,
            locked: 0,
            stopped: 0,
            failed: 0,
            disturbed: 0,
            disturbed_and_stopped_s: Vec::new(),
            begun_again: 0,
            commits_meanwhile: 0,
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ended_s.len() as u64 + self.locked + self.stopped + self.failed
    }
}

/// What was found of a strategy under a journal mode, and what follows.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// Journal mode of the database.
    pub journal_mode: JournalMode,
    /// How copies were taken.
    pub strategy: Strategy,
    /// The time in which a commit disturbs the copy, for a byte, in seconds.
    pub s_per_byte: Fitted,
    /// How long the gap between two commits is that a copy of the larger database needs, in seconds: the time in which a commit disturbs
    /// it. What comes after that, as the sync of its file, makes it longer.
    pub gap_s: Fitted,
    /// Up to how many commits a second half of such copies end within the deadline; the interval is that of the time for a byte. It
    /// begins at 0 where the longest gap that chance leaves open is beyond the deadline. `None` where the likeliest gap is, so that
    /// they would not end even undisturbed.
    pub half_end_at: Option<Fitted>,
    /// The same of 95 of a hundred.
    pub most_end_at: Option<Fitted>,
}

/// What is asked of a larger database.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    /// Its size.
    pub bytes: u64,
    /// How long a copy may take, in seconds.
    pub deadline_s: f64,
}

/// All copies of strategies that begin again, by journal mode, strategy, size and rate.
#[must_use]
pub fn copies(all: &[Results]) -> Vec<Copies> {
    let mut found: BTreeMap<(JournalMode, Strategy, u64, u64), Copies> = BTreeMap::new();
    for results in all {
        let Some(dataset) = results.dataset.found() else { continue };
        for trial in results.trials.iter().filter(|trial| trial.strategy.definition().begins_again) {
            let Some(rate) = rate(trial) else { continue };
            let key = (trial.journal_mode, trial.strategy, dataset.bytes, rate.to_bits());
            let none = || Copies::none(trial.journal_mode, trial.strategy, dataset.bytes, rate);
            let of_key = found.entry(key).or_insert_with(none);
            trial.snapshots.iter().for_each(|snapshot| add(of_key, snapshot));
        }
    }
    found.into_values().collect()
}

/// Commits a second: as the scenario says, or else as many as all phases together were to have.
fn rate(trial: &TrialResult) -> Option<f64> {
    let offered = || {
        let (commits, seconds) = trial.phases.iter().fold((0.0, 0.0), |(commits, seconds), phase| {
            (commits + phase.offered_commits_per_s * phase.duration_s, seconds + phase.duration_s)
        });
        (seconds > 0.0).then(|| commits / seconds)
    };
    trial.completed_rate_ops.or_else(offered)
}

fn add(copies: &mut Copies, snapshot: &SnapshotResult) {
    let begun_again = snapshot.progress.restarts.unwrap_or_else(|| snapshot.commits_meanwhile());
    let error = snapshot.run.error.as_deref();
    let is_locked = error.is_some_and(|error| error.contains("locked"));
    match error {
        None => {
            copies.ended_s.push(snapshot.run.duration_s);
            if begun_again == 0 {
                copies.undisturbed_s.push(snapshot.run.duration_s);
            }
            copies.exact += u64::from(snapshot.is_exact());
        }
        Some(_) if is_locked => copies.locked += 1,
        Some(_) if snapshot.run.exit_status.is_none() => {
            copies.stopped += 1;
            copies.disturbed_and_stopped_s.extend((begun_again > 0).then_some(snapshot.run.duration_s));
        }
        Some(_) => copies.failed += 1,
    }
    copies.disturbed += u64::from(begun_again > 0 && !is_locked);
    copies.begun_again += begun_again;
    copies.commits_meanwhile += snapshot.commits_meanwhile();
}

/// What was fitted to copies that end or begin again, and what follows. Where a lock ended one of ten and more, that is another way to
/// fail, and nothing is fitted.
#[must_use]
pub fn limits(copies: &[Copies], asked: Asked) -> Vec<Limit> {
    let mut groups: BTreeMap<(JournalMode, Strategy), Vec<&Copies>> = BTreeMap::new();
    for one in copies {
        groups.entry((one.journal_mode, one.strategy)).or_default().push(one);
    }
    let limit = |((journal_mode, strategy), group): ((JournalMode, Strategy), Vec<&Copies>)| {
        let locked: u64 = group.iter().map(|one| one.locked).sum();
        let all: u64 = group.iter().map(|one| one.count()).sum();
        let s_per_byte = fit(&group.iter().map(|one| attempts(one, &group)).collect::<Vec<_>>());
        let s_per_byte = s_per_byte.filter(|_| locked * 10 < all)?;
        let gap_s = s_per_byte.map(|s_per_byte| s_per_byte * asked.bytes as f64);
        let end_at = |share: f64| {
            let of = |gap_s: f64| rate_that_ends(share, gap_s, asked.deadline_s);
            let Fitted { value, interval } = gap_s;
            // The longer it takes, the fewer commits it bears.
            let low = of(interval.high).unwrap_or(0.0);
            Some(Fitted { value: of(value)?, interval: Interval { low, high: of(interval.low)? } })
        };
        let (half_end_at, most_end_at) = (end_at(0.5), end_at(0.95));
        Some(Limit { journal_mode, strategy, s_per_byte, gap_s, half_end_at, most_end_at })
    };
    groups.into_iter().filter_map(limit).collect()
}

/// What the model is fitted to. A copy that was stopped before an undisturbed one would have ended is left out: without a commit it would
/// not have ended either and so count for nothing, so that it must not count where a commit came. Copies of its size, at any rate,
/// say how long that is; where none of them was undisturbed, all count.
fn attempts(copies: &Copies, group: &[&Copies]) -> Attempts {
    let of_size = group.iter().filter(|one| one.bytes == copies.bytes);
    let undisturbed_s = median(&of_size.flat_map(|one| one.undisturbed_s.iter().copied()).collect::<Vec<_>>());
    let is_too_short = |stopped_s: &&f64| undisturbed_s.is_some_and(|undisturbed_s| **stopped_s < undisturbed_s);
    let left_out = copies.disturbed_and_stopped_s.iter().filter(is_too_short).count() as u64;
    Attempts {
        bytes: copies.bytes as f64,
        rate: copies.rate,
        undisturbed: copies.undisturbed_s.len() as u64,
        disturbed: copies.disturbed.saturating_sub(left_out),
    }
}

/// How long copies of a size took that no commit disturbed, the median, in seconds, and of how many; `None` of none.
#[must_use]
pub fn measured_undisturbed_s(copies: &[Copies], limit: &Limit, bytes: u64) -> Option<(f64, usize)> {
    let is_like =
        |one: &&Copies| (one.journal_mode, one.strategy, one.bytes) == (limit.journal_mode, limit.strategy, bytes);
    let all: Vec<f64> = copies.iter().filter(is_like).flat_map(|one| one.undisturbed_s.iter().copied()).collect();
    median(&all).map(|median_s| (median_s, all.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{oracle::Verdict, results::samples};

    fn none() -> Copies {
        Copies::none(JournalMode::Delete, Strategy::Backup, 1_000_000_000, 1.0)
    }

    /// A copy that began again so often, and was stopped after so long or ended well.
    fn snapshot(restarts: u64, stopped_s: Option<f64>) -> SnapshotResult {
        let mut snapshot = samples::snapshot(Strategy::Backup, Verdict::Exact);
        snapshot.progress.restarts = Some(restarts);
        if let Some(stopped_s) = stopped_s {
            snapshot.run.duration_s = stopped_s;
            snapshot.run.exit_status = None;
            snapshot.run.error = Some("stopped at its deadline".to_owned());
        }
        snapshot
    }

    #[test]
    fn a_copy_that_was_stopped_before_it_could_have_ended_is_not_fitted() {
        // An undisturbed one takes half a second.
        for (restarts, stopped_s, has_undisturbed, disturbed) in [
            (3, None, true, 1),
            (3, Some(0.6), true, 1),
            (3, Some(0.5), true, 1),
            (3, Some(0.4), true, 0),
            (3, Some(0.4), false, 1),
            (0, Some(0.4), true, 0),
        ] {
            let (mut at_one_rate, mut at_another) = (none(), Copies { rate: 2.0, ..none() });
            add(&mut at_one_rate, &snapshot(restarts, stopped_s));
            if has_undisturbed {
                add(&mut at_another, &snapshot(0, None));
            }
            let fitted = attempts(&at_one_rate, &[&at_one_rate, &at_another]);
            let words =
                format!("{restarts} times again, stopped after {stopped_s:?}, one undisturbed: {has_undisturbed}");
            assert_eq!((fitted.disturbed, fitted.undisturbed), (disturbed, 0), "{words}");
        }
    }

    #[test]
    fn only_a_likeliest_gap_beyond_the_deadline_leaves_no_rate() {
        let copies = Copies { undisturbed_s: vec![1.0; 6], ended_s: vec![1.0; 12], disturbed: 6, ..none() };
        let of = |deadline_s: f64| {
            limits(std::slice::from_ref(&copies), Asked { bytes: copies.bytes, deadline_s }).remove(0)
        };
        let gap_s = of(100.0).gap_s;
        for (deadline_s, has_rate, begins_at_0) in [
            (gap_s.interval.high * 1.1, true, false),
            (gap_s.value * 1.1, true, true),
            (gap_s.value * 0.9, false, false),
        ] {
            let Limit { half_end_at, most_end_at, .. } = of(deadline_s);
            for found in [half_end_at, most_end_at] {
                assert_eq!(found.is_some(), has_rate, "{deadline_s} s of {gap_s:?}");
                let low = found.map_or(1.0, |found| found.interval.low);
                assert_eq!(low <= 0.0, begins_at_0, "{deadline_s} s of {gap_s:?}: {found:?}");
                assert!(
                    found.is_none_or(|found| found.interval.low < found.value && found.value < found.interval.high)
                );
            }
        }
    }
}

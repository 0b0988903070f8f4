//! The fourth room of a trial: from what was measured, and the times of the commits, to the figures of its results.
//!
//! Everything here is a pure function of values: no clock, no file, no database.

use super::recorder::Phase;
use crate::{
    load::Pace,
    measure::{SLICE_NS, seconds},
    results::{Distribution, OperationResult, PhaseName, PhaseResult, Recorded, SeriesPoint},
    scenario::StreamSchedule,
    workload::{Kind, Workload},
};

/// When the commits of a trial were made, in seconds from the start of the load, ascending.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CommitTimes(Vec<f64>);

/// The figures of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// In time order.
    pub phases: Vec<PhaseResult>,
    /// One for each second of the load.
    pub series: Vec<SeriesPoint>,
    /// Operations that were served, a second, over all phases but the warm-up.
    pub achieved_rate_ops: f64,
}

/// Computes the figures of a trial.
pub fn evaluate(phases: &[Phase], series: &[SeriesPoint], commits: &CommitTimes) -> Figures {
    let mut results: Vec<_> = phases.iter().map(|phase| phase_result(phase, commits)).collect();
    place(phases, &mut results);
    let with_commits = |point: &SeriesPoint| {
        let (from_s, to_s) = (point.t_s as f64, (point.t_s + 1) as f64);
        SeriesPoint { commits: commits.between(from_s, to_s).len() as u64, ..point.clone() }
    };
    Figures {
        phases: results,
        series: series.iter().map(with_commits).collect(),
        achieved_rate_ops: achieved_rate_ops(phases),
    }
}

impl CommitTimes {
    /// Of these times, which must ascend.
    pub fn new(times_s: Vec<f64>) -> Self {
        Self(times_s)
    }

    /// How many were made before an instant.
    fn count_before(&self, at_s: f64) -> usize {
        self.0.partition_point(|time_s| *time_s < at_s)
    }

    /// Those that were made from an instant on and before another.
    fn between(&self, from_s: f64, to_s: f64) -> &[f64] {
        let (first, end) = (self.count_before(from_s), self.count_before(to_s));
        &self.0[first..end.max(first)]
    }

    /// The longest stretch without a commit that lies between two instants: what reaches beyond them is cut off.
    fn longest_gap_within(&self, from_s: f64, to_s: f64) -> f64 {
        longest_gap(from_s, self.between(from_s, to_s), to_s)
    }

    /// The longest stretch without a commit that touches the time between two instants, with what reaches beyond them. Where
    /// there is no commit before, or none after, it is cut off at the instant.
    fn longest_gap_touching(&self, from_s: f64, to_s: f64) -> f64 {
        let last_before = self.count_before(from_s).checked_sub(1).and_then(|last| self.0.get(last));
        let first_after = self.0.get(self.count_before(to_s));
        let (before, after) = (last_before.copied().unwrap_or(from_s), first_after.copied().unwrap_or(to_s));
        longest_gap(before, self.between(from_s, to_s), after)
    }
}

fn longest_gap(before: f64, within: &[f64], after: f64) -> f64 {
    let edges: Vec<f64> = std::iter::once(before).chain(within.iter().copied()).chain([after]).collect();
    edges.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max)
}

fn phase_result(phase: &Phase, commits: &CommitTimes) -> PhaseResult {
    let (from_s, to_s) = (seconds(phase.first_slice), seconds(phase.end_slice));
    let duration_s = to_s - from_s;
    let within = commits.between(from_s, to_s).len();
    // A stretch that reaches beyond a snapshot counts whole: a short one is not to look better than it was. What reaches
    // into the phases beside it is not theirs.
    let longest_without_commit_s = match phase.name {
        PhaseName::Snapshot => commits.longest_gap_touching(from_s, to_s),
        PhaseName::Warmup | PhaseName::Baseline | PhaseName::Recovery => commits.longest_gap_within(from_s, to_s),
    };
    let a_second = |count: u64| count as f64 / duration_s;
    let tallies = || Kind::ALL.into_iter().zip(&phase.tally.kinds);
    PhaseResult {
        name: phase.name,
        started_s: from_s,
        duration_s,
        offered_rate_ops: a_second(phase.tally.counts().due()),
        achieved_rate_ops: a_second(phase.completed),
        offered_sql_per_s: a_second(phase.tally.asked.statements),
        achieved_sql_per_s: a_second(phase.statements),
        offered_commits_per_s: a_second(phase.tally.asked.commits),
        achieved_commits_per_s: a_second(within as u64),
        commits: within as u64,
        longest_without_commit_s,
        generator_bound: Recorded::Unknown,
        operations: tallies().map(|(kind, tally)| OperationResult::new(kind, tally, &phase.tally.lag)).collect(),
        lag: Distribution::new(&phase.tally.lag, phase.tally.lag.len()),
    }
}

fn achieved_rate_ops(phases: &[Phase]) -> f64 {
    let reported = || {
        phases.iter().filter(|phase| match phase.name {
            PhaseName::Warmup => false,
            PhaseName::Baseline | PhaseName::Snapshot | PhaseName::Recovery => true,
        })
    };
    let length_s = seconds(reported().map(|phase| phase.end_slice - phase.first_slice).sum());
    if length_s == 0.0 { 0.0 } else { reported().map(|phase| phase.completed).sum::<u64>() as f64 / length_s }
}

/// Places the snapshots' percentiles among those of baseline windows of the same length.
fn place(phases: &[Phase], results: &mut [PhaseResult]) {
    let Some(baseline) = phases.iter().find(|phase| phase.name == PhaseName::Baseline) else { return };
    for (phase, result) in phases.iter().zip(results).filter(|(phase, _)| phase.name == PhaseName::Snapshot) {
        let length = phase.end_slice - phase.first_slice;
        for operation in &mut result.operations {
            let range = (baseline.first_slice, baseline.end_slice);
            operation.placement = baseline.log.place(operation.kind, range, length, operation.response.p99_us);
        }
    }
}

/// Every operation that the schedules hold must have been accounted for, phase by phase and kind by kind. The closed loop
/// has no schedule.
///
/// # Errors
/// Which phase has other numbers, in words.
pub fn check_accounts(streams: &[StreamSchedule], workload: &Workload, phases: &[Phase]) -> Result<(), String> {
    let mut due = vec![[0; Kind::ALL.len()]; phases.len()];
    for stream in streams {
        let Pace::Open(mut schedule) = stream.pace.clone() else { return Ok(()) };
        let mut phase = 0;
        for index in 0.. {
            let Some(slice) = schedule.due_ns(index).map(|due_ns| due_ns / SLICE_NS) else { break };
            while phases.get(phase).is_some_and(|phase| slice >= phase.end_slice) {
                phase += 1;
            }
            let Some(counts) = due.get_mut(phase) else { break };
            counts[stream.kind.unwrap_or_else(|| workload.kind(index)) as usize] += 1;
        }
    }
    for (phase, due) in phases.iter().zip(due) {
        let accounted = phase.tally.kinds.each_ref().map(|kind| kind.counts.due());
        if due != accounted {
            return Err(format!(
                "{due:?} announces and scrapes were due in {}, but {accounted:?} are accounted for",
                phase.name
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        measure::{Outcome, Sample, Slice, Tally},
        pace::{Rate, Schedule, Spread},
        torrents::Torrents,
        trial::series::WindowLog,
        workload::{Mix, Work, WriteProfile},
    };

    /// An empty phase from one second to another.
    fn phase(name: PhaseName, from_s: u64, to_s: u64) -> Phase {
        Phase {
            name,
            first_slice: from_s * 100,
            end_slice: to_s * 100,
            tally: Tally::default(),
            completed: 0,
            statements: 0,
            log: WindowLog::default(),
        }
    }

    fn sample(kind: Kind, response_us: u32, lag_us: Option<u32>) -> Sample {
        Sample {
            kind,
            outcome: Outcome::Served,
            response_us,
            service_us: 1 + response_us / 2,
            lag_us,
            ended_slice: 0,
            statements: 2,
        }
    }

    /// A slice of served announces with these response times.
    fn announces(index: u64, responses_us: impl IntoIterator<Item = u32>) -> Slice {
        let samples = responses_us.into_iter().map(|response_us| sample(Kind::Announce, response_us, None));
        Slice { index, samples: samples.collect(), ..Slice::default() }
    }

    fn figures_of(phase: Phase, commits: &[f64]) -> PhaseResult {
        let figures = evaluate(&[phase], &[], &CommitTimes::new(commits.to_vec()));
        figures.phases.into_iter().next().unwrap()
    }

    #[test]
    fn the_longest_stretch_without_a_commit_by_table() {
        use PhaseName::{Baseline, Recovery, Snapshot};
        // A phase from second 10 to second 20.
        for (name, phase_name, commits, expected_s) in [
            ("inside", Baseline, &[10.5, 11.0, 14.0, 19.5][..], 5.5),
            ("inside, of a snapshot", Snapshot, &[9.9, 10.5, 11.0, 14.0, 19.5, 20.1], 5.5),
            ("at its beginning", Baseline, &[13.0, 19.0], 6.0),
            ("at its end", Baseline, &[10.0, 12.0], 8.0),
            ("across its beginning: what is before is not the baseline's", Baseline, &[4.0, 13.0, 19.0], 6.0),
            ("across its beginning: a snapshot has all of it", Snapshot, &[4.0, 13.0, 19.0, 20.0], 9.0),
            ("across its end: a recovery is cut off", Recovery, &[10.0, 19.0, 25.0], 9.0),
            ("beyond the end of a snapshot", Snapshot, &[10.0, 19.0, 29.5], 10.5),
            ("beyond a snapshot on both sides", Snapshot, &[3.0, 27.0], 24.0),
            ("no commit at all", Baseline, &[], 10.0),
            ("no commit at all, of a snapshot", Snapshot, &[], 10.0),
            ("a snapshot after the last commit", Snapshot, &[7.0], 13.0),
            ("a snapshot before the first commit", Snapshot, &[26.0], 16.0),
            ("commits at its very edges", Baseline, &[10.0, 20.0], 10.0),
        ] {
            let result = figures_of(phase(phase_name, 10, 20), commits);
            let found_s = result.longest_without_commit_s;
            assert!((found_s - expected_s).abs() < 1e-9, "{name}: {found_s} s, not {expected_s} s");
        }
    }

    #[test]
    fn commits_belong_to_the_phase_in_which_they_were_made() {
        let commits = CommitTimes::new(vec![0.5, 1.0, 1.5, 1.999, 2.0, 7.0]);
        let phases =
            [phase(PhaseName::Warmup, 0, 1), phase(PhaseName::Baseline, 1, 2), phase(PhaseName::Recovery, 2, 4)];
        let points: Vec<_> = (0..4).map(|t_s| SeriesPoint { t_s, due: 9, ..SeriesPoint::default() }).collect();
        let figures = evaluate(&phases, &points, &commits);
        assert_eq!(figures.phases.iter().map(|phase| phase.commits).collect::<Vec<_>>(), [1, 3, 1]);
        let a_second: Vec<_> = figures.phases.iter().map(|phase| phase.achieved_commits_per_s).collect();
        assert_eq!(a_second, [1.0, 3.0, 0.5]);
        assert_eq!(figures.series.iter().map(|point| point.commits).collect::<Vec<_>>(), [1, 3, 1, 0]);
        assert!(figures.series.iter().all(|point| point.due == 9), "the rest of a point stays");
    }

    #[test]
    fn rates_are_what_was_due_and_what_was_done_divided_by_the_length() {
        let mut baseline = phase(PhaseName::Baseline, 2, 6);
        baseline.tally.add(&Slice {
            dropped: [10, 0],
            never_served: [0, 5],
            asked: Work { statements: 100, commits: 40 },
            ..announces(200, [1_000; 25])
        });
        (baseline.completed, baseline.statements) = (30, 90);
        let result = figures_of(baseline, &[2.5, 3.5]);
        assert_eq!((result.started_s, result.duration_s), (2.0, 4.0));
        assert_eq!((result.offered_rate_ops, result.achieved_rate_ops), (10.0, 7.5));
        assert_eq!((result.offered_sql_per_s, result.achieved_sql_per_s), (25.0, 22.5));
        assert_eq!((result.offered_commits_per_s, result.achieved_commits_per_s), (10.0, 0.5));
        let announces = result.operation(Kind::Announce).unwrap();
        assert_eq!((announces.due, announces.counts.served, announces.counts.dropped), (35, 25, 10));
        assert_eq!(result.operation(Kind::Scrape).unwrap().counts.never_served, 5);
    }

    #[test]
    fn the_rate_of_a_trial_leaves_out_the_warm_up() {
        let mut phases = [
            phase(PhaseName::Warmup, 0, 10),
            phase(PhaseName::Baseline, 10, 12),
            phase(PhaseName::Snapshot, 12, 13),
            phase(PhaseName::Recovery, 13, 14),
        ];
        for (phase, completed) in phases.iter_mut().zip([90_000, 200, 30, 50]) {
            phase.completed = completed;
        }
        let rate_ops = |phases: &[Phase]| evaluate(phases, &[], &CommitTimes::default()).achieved_rate_ops;
        assert!((rate_ops(&phases) - 70.0).abs() < 1e-9);
        assert!(rate_ops(&phases[..1]).abs() < 1e-9, "nothing but a warm-up");
    }

    #[test]
    fn percentiles_rank_over_everything_due() {
        // 1,000 served in 1 to 1,000 us; then as many, or a few, that were not.
        for (dropped, p50, p99, max) in [
            (0, Some(500), Some(990), Some(1_000)),
            (9, Some(505), Some(999), None),
            (11, Some(506), None, None),
            (999, Some(1_000), None, None),
            (1_001, None, None, None),
        ] {
            let mut baseline = phase(PhaseName::Baseline, 0, 1);
            baseline.tally.add(&Slice { dropped: [dropped, 0], ..announces(0, 1..=1_000) });
            let result = figures_of(baseline, &[]);
            let response = &result.operation(Kind::Announce).unwrap().response;
            assert_eq!((response.p50_us, response.p99_us, response.max_us), (p50, p99, max), "{dropped} dropped");
            assert_eq!(response.p999_us, None, "from fewer than 10,000 operations");
        }
        let mut large = phase(PhaseName::Baseline, 0, 1);
        large.tally.add(&announces(0, (1..=10_000).map(|number| number / 100 + 1)));
        assert!(figures_of(large, &[]).operation(Kind::Announce).unwrap().response.p999_us.is_some());
        let nothing = figures_of(phase(PhaseName::Baseline, 0, 1), &[]);
        assert_eq!(nothing.operation(Kind::Scrape).unwrap().response.p50_us, None);
    }

    #[test]
    fn a_snapshot_is_placed_among_windows_of_the_baseline() {
        let mut baseline = phase(PhaseName::Baseline, 0, 4);
        // The p99 of each second: 1, 2, 3 and 4 ms.
        for second in 0..4_u32 {
            baseline.log.add(&announces(u64::from(second) * 100, [(second + 1) * 1_000; 10]));
        }
        let mut snapshot = phase(PhaseName::Snapshot, 4, 5);
        snapshot.tally.add(&announces(400, [2_500; 10]));
        let figures = evaluate(&[baseline, snapshot], &[], &CommitTimes::default());
        let of = |phase: usize, kind| figures.phases[phase].operation(kind).unwrap().placement;
        let placement = of(1, Kind::Announce).unwrap();
        assert_eq!((placement.windows, placement.windows_below), (4, 2));
        assert_eq!((placement.p99_least_us, placement.p99_most_us), (Some(1_000), Some(4_000)));
        assert_eq!(of(0, Kind::Announce), None, "the baseline is placed nowhere");
        assert_eq!(of(1, Kind::Scrape), None, "no scrape was due");
        let alone = evaluate(&[phase(PhaseName::Snapshot, 0, 1)], &[], &CommitTimes::default());
        assert_eq!(alone.phases[0].operation(Kind::Announce).unwrap().placement, None, "there is no baseline");
    }

    #[test]
    fn operations_that_are_missing_from_the_accounts_are_noticed() {
        let (rate_ops, end_s) = (10.0, 4);
        let schedule = Schedule::new(Spread::Constant, Rate::constant(rate_ops), 1, end_s * 1_000_000_000);
        let stream = |kind, pace| StreamSchedule { kind, pace, connections: 1, batch: None };
        let workload = Workload::new(Mix::of(WriteProfile::CompletedOnly), Torrents::new(100, 1), 1);
        let full = |from_s: u64, to_s: u64| {
            let mut phase = phase(PhaseName::Baseline, from_s, to_s);
            for index in from_s * 10..to_s * 10 {
                phase.tally.add(&announces(index * 10, [50]));
            }
            phase
        };
        let open = [stream(Some(Kind::Announce), Pace::Open(schedule))];
        assert_eq!(check_accounts(&open, &workload, &[full(0, 3), full(3, 4)]), Ok(()));
        let mut short = [full(0, 3), full(3, 4)];
        short[1].tally = Tally::default();
        short[1].tally.add(&announces(300, [50; 9]));
        let error = check_accounts(&open, &workload, &short).unwrap_err();
        assert!(error.contains("[10, 0]") && error.contains("[9, 0]") && error.contains("baseline"), "{error}");
        let mut other_kind = [full(0, 3), full(3, 4)];
        other_kind[0].tally.add(&Slice { dropped: [0, 1], ..Slice::default() });
        assert!(check_accounts(&open, &workload, &other_kind).is_err(), "a scrape that nobody asked for");
        let closed = [stream(None, Pace::Closed)];
        assert_eq!(check_accounts(&closed, &workload, &short), Ok(()), "the closed loop has no schedule");
    }
}

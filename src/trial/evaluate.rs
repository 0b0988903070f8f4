//! The fourth room of a trial: from what was measured, and what is known of the commits, to the figures of its results.
//!
//! Everything here is a pure function of values: no clock, no file, no database.

use super::{
    commits::{Commits, PhaseCommits},
    recorder::Phase,
};
use crate::{
    load::Pace,
    measure::{SLICE_NS, seconds},
    results::{Distribution, OperationResult, PhaseName, PhaseResult, Recorded, SeriesPoint},
    scenario::StreamSchedule,
    workload::{Kind, Workload},
};

/// The figures of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// In time order.
    pub phases: Vec<PhaseResult>,
    /// All of the load, in points of equal length.
    pub series: Vec<SeriesPoint>,
    /// Operations that were served, a second, over all phases but the warm-up.
    pub achieved_rate_ops: f64,
}

/// Computes the figures of a trial. All of its commits have passed by `commits`, which was made for these phases and points.
pub fn evaluate(phases: &[Phase], series: &[SeriesPoint], commits: Commits) -> Figures {
    let (of_phases, of_points) = commits.finish();
    let mut results: Vec<_> =
        phases.iter().zip(&of_phases).map(|(phase, commits)| phase_result(phase, commits)).collect();
    place(phases, &mut results);
    let with_commits = |(point, commits): (&SeriesPoint, u64)| SeriesPoint { commits, ..point.clone() };
    Figures {
        phases: results,
        series: series.iter().zip(of_points).map(with_commits).collect(),
        achieved_rate_ops: achieved_rate_ops(phases),
    }
}

fn phase_result(phase: &Phase, commits: &PhaseCommits) -> PhaseResult {
    let (from_s, to_s) = (seconds(phase.first_slice), seconds(phase.end_slice));
    let duration_s = to_s - from_s;
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
        achieved_commits_per_s: a_second(commits.count),
        commits: commits.count,
        longest_without_commit_s: commits.longest_without_s,
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
        with_commits(&[phase], &[], commits).phases.into_iter().next().unwrap()
    }

    fn with_commits(phases: &[Phase], series: &[SeriesPoint], times_s: &[f64]) -> Figures {
        let mut commits = Commits::new(phases, series);
        for at_s in times_s {
            commits.add(*at_s);
        }
        evaluate(phases, series, commits)
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
        let commits = [0.5, 1.0, 1.5, 1.999, 2.0, 7.0];
        let phases =
            [phase(PhaseName::Warmup, 0, 1), phase(PhaseName::Baseline, 1, 2), phase(PhaseName::Recovery, 2, 4)];
        let points: Vec<_> = (0..4).map(|t_s| SeriesPoint { t_s, due: 9, ..SeriesPoint::default() }).collect();
        let figures = with_commits(&phases, &points, &commits);
        assert_eq!(figures.phases.iter().map(|phase| phase.commits).collect::<Vec<_>>(), [1, 3, 1]);
        let a_second: Vec<_> = figures.phases.iter().map(|phase| phase.achieved_commits_per_s).collect();
        assert_eq!(a_second, [1.0, 3.0, 0.5]);
        assert_eq!(figures.series.iter().map(|point| point.commits).collect::<Vec<_>>(), [1, 3, 1, 0]);
        assert!(figures.series.iter().all(|point| point.due == 9), "the rest of a point stays");
    }

    #[test]
    fn stretches_reach_from_phase_to_phase_by_table() {
        use PhaseName::{Baseline, Recovery, Snapshot, Warmup};
        // Warm-up to second 2, baseline to 6, a snapshot to 7, recovery to 10, a snapshot to 11, recovery to 12.
        let ends = [(Warmup, 2), (Baseline, 6), (Snapshot, 7), (Recovery, 10), (Snapshot, 11), (Recovery, 12)];
        let begins = [0].into_iter().chain(ends.map(|(_, end_s)| end_s));
        let phases: Vec<_> = begins.zip(ends).map(|(from_s, (name, to_s))| phase(name, from_s, to_s)).collect();
        let points =
            [(0, 4), (4, 4), (8, 4)].map(|(t_s, duration_s)| SeriesPoint { t_s, duration_s, ..SeriesPoint::default() });
        for (name, commits, longest_s, in_points) in [
            ("none at all", &[][..], [2.0, 4.0, 1.0, 3.0, 1.0, 1.0], [0, 0, 0]),
            ("before all", &[-1.0], [2.0, 4.0, 8.0, 3.0, 12.0, 1.0], [0, 0, 0]),
            ("one in the middle", &[6.5], [2.0, 4.0, 0.5, 3.0, 4.5, 1.0], [0, 1, 0]),
            ("one after all", &[12.5], [2.0, 4.0, 6.5, 3.0, 2.5, 1.0], [0, 0, 0]),
            ("around both snapshots", &[1.0, 5.0, 9.0, 11.5], [1.0, 3.0, 4.0, 2.0, 2.5, 0.5], [1, 1, 2]),
            ("at every edge", &[2.0, 6.0, 7.0, 10.0, 11.0], [2.0, 4.0, 4.0, 3.0, 3.0, 1.0], [1, 2, 2]),
            ("twice at one instant", &[7.0, 7.0, 10.0], [2.0, 4.0, 1.0, 3.0, 3.0, 1.0], [0, 2, 1]),
        ] {
            let figures = with_commits(&phases, &points, commits);
            let found_s: Vec<_> = figures.phases.iter().map(|phase| phase.longest_without_commit_s).collect();
            assert_eq!(found_s, longest_s, "{name}");
            let found: Vec<_> = figures.series.iter().map(|point| point.commits).collect();
            assert_eq!(found, in_points, "{name}");
        }
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
        let rate_ops = |phases: &[Phase]| with_commits(phases, &[], &[]).achieved_rate_ops;
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
        let figures = with_commits(&[baseline, snapshot], &[], &[]);
        let of = |phase: usize, kind| figures.phases[phase].operation(kind).unwrap().placement;
        let placement = of(1, Kind::Announce).unwrap();
        assert_eq!((placement.windows, placement.windows_below), (4, 2));
        assert_eq!((placement.p99_least_us, placement.p99_most_us), (Some(1_000), Some(4_000)));
        assert_eq!(of(0, Kind::Announce), None, "the baseline is placed nowhere");
        assert_eq!(of(1, Kind::Scrape), None, "no scrape was due");
        let alone = with_commits(&[phase(PhaseName::Snapshot, 0, 1)], &[], &[]);
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

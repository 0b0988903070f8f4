//! The figures of measurements that were made by hand.

use super::*;
use crate::{
    measure::{Class, Outcome, Sample, Slice},
    pace::{Rate, Schedule, Spread},
    results::PartName,
    torrents::Torrents,
    trial::series::WindowLog,
    workload::{Mix, Work, WriteProfile},
};

/// An empty phase from one second to another.
fn phase(name: PhaseName, from_s: u64, to_s: u64) -> Segment {
    let part = match name {
        PhaseName::Warmup => Part::Warmup,
        PhaseName::Baseline => Part::Baseline,
        PhaseName::Snapshot => Part::Of(PartName::Copy),
        PhaseName::Recovery => Part::Recovery,
    };
    segment(part, from_s * 100, to_s * 100)
}

/// An empty part from one slice to another; a copy begins its horizon, and nothing else lies in one.
fn segment(part: Part, first_slice: u64, end_slice: u64) -> Segment {
    Segment {
        part,
        first_slice,
        end_slice,
        begins_horizon: part == Part::Of(PartName::Copy),
        is_in_horizon: part == Part::Of(PartName::Copy),
        tally: Tally::default(),
        completed: 0,
        statements: 0,
        log: WindowLog::default(),
        stalled_ms: 0,
    }
}

fn measured<'a>(segments: &'a [Segment], series: &'a [SeriesPoint]) -> Measured<'a> {
    let client_timeout = Duration::from_secs(15);
    Measured {
        segments,
        crossing_stalls_ms: &[],
        silences: &[],
        series,
        client_timeout,
        knows_stalls: true,
        unclear_s: &[],
        holds_s: &[],
        knows_checkpoints: false,
        knows_io: false,
    }
}

fn sample(class: Class, response_us: u32, lag_us: Option<u32>) -> Sample {
    Sample {
        class,
        outcome: Outcome::Served,
        response_us,
        service_us: 1 + response_us / 2,
        lag_us,
        ended_us: 0,
        committed: class == Class::CommittingAnnounce,
        carried_checkpoint: false,
        statements: 2,
    }
}

/// A slice of served announces with these response times.
fn announces(index: u64, responses_us: impl IntoIterator<Item = u32>) -> Slice {
    let samples = responses_us.into_iter();
    let samples = samples.map(|response_us| sample(Class::CommittingAnnounce, response_us, None));
    Slice { index, samples: samples.collect(), ..Slice::default() }
}

fn figures_of(phase: Segment, commits: &[f64]) -> PhaseResult {
    with_commits(&[phase], &[], commits).phases.into_iter().next().unwrap()
}

fn with_commits(segments: &[Segment], series: &[SeriesPoint], times_s: &[f64]) -> Figures {
    let mut commits = Commits::new(&phases(segments), series, &[]);
    for at_s in times_s {
        commits.add(*at_s);
    }
    evaluate(&measured(segments, series), commits)
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
    let phases = [phase(PhaseName::Warmup, 0, 1), phase(PhaseName::Baseline, 1, 2), phase(PhaseName::Recovery, 2, 4)];
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
        dropped: [10, 0, 0, 0],
        never_served: [0, 0, 0, 5],
        asked: Work { statements: 100, commits: 40 },
        ..announces(200, [1_000; 25])
    });
    (baseline.completed, baseline.statements) = (30, 90);
    let result = figures_of(baseline, &[2.5, 3.5]);
    assert_eq!((result.started_s, result.duration_s), (2.0, 4.0));
    assert_eq!((result.offered_rate_ops, result.achieved_rate_ops), (10.0, 7.5));
    assert_eq!((result.offered_sql_per_s, result.achieved_sql_per_s), (25.0, 22.5));
    assert_eq!((result.offered_commits_per_s, result.achieved_commits_per_s), (10.0, 0.5));
    let announces = result.operation(OperationKind::Announce).unwrap();
    assert_eq!((announces.due, announces.counts.served, announces.counts.dropped), (35, 25, 10));
    assert_eq!(result.operation(OperationKind::Scrape).unwrap().counts.never_served, 5);
}

#[test]
fn the_rate_of_a_trial_leaves_out_the_warm_up() {
    let mut phases = vec![
        phase(PhaseName::Warmup, 0, 10),
        phase(PhaseName::Baseline, 10, 12),
        phase(PhaseName::Snapshot, 12, 13),
        phase(PhaseName::Recovery, 13, 14),
    ];
    for (phase, completed) in phases.iter_mut().zip([90_000, 200, 30, 50]) {
        phase.completed = completed;
    }
    let rate_ops = |phases: &[Segment]| with_commits(phases, &[], &[]).achieved_rate_ops;
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
        baseline.tally.add(&Slice { dropped: [dropped, 0, 0, 0], ..announces(0, 1..=1_000) });
        let result = figures_of(baseline, &[]);
        let response = &result.operation(OperationKind::Announce).unwrap().response;
        assert_eq!((response.p50_us, response.p99_us, response.max_us), (p50, p99, max), "{dropped} dropped");
        assert_eq!(response.p999_us, None, "from fewer than 10,000 operations");
    }
    let mut large = phase(PhaseName::Baseline, 0, 1);
    large.tally.add(&announces(0, (1..=10_000).map(|number| number / 100 + 1)));
    assert!(figures_of(large, &[]).operation(OperationKind::Announce).unwrap().response.p999_us.is_some());
    let nothing = figures_of(phase(PhaseName::Baseline, 0, 1), &[]);
    assert_eq!(nothing.operation(OperationKind::Scrape).unwrap().response.p50_us, None);
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
    let placement = of(1, OperationKind::Announce).unwrap();
    assert_eq!((placement.windows, placement.windows_below), (4, 2));
    assert_eq!((placement.p99_least_us, placement.p99_most_us), (Some(1_000), Some(4_000)));
    assert_eq!(of(0, OperationKind::Announce), None, "the baseline is placed nowhere");
    assert_eq!(of(1, OperationKind::Scrape), None, "no scrape was due");
    let alone = with_commits(&[phase(PhaseName::Snapshot, 0, 1)], &[], &[]);
    assert_eq!(alone.phases[0].operation(OperationKind::Announce).unwrap().placement, None, "there is no baseline");
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
    let none = Tally::default();
    let open = [stream(Some(Kind::Announce), Pace::Open(schedule))];
    assert_eq!(check_accounts(&open, &workload, &[full(0, 3), full(3, 4)], &none), Ok(()));
    let mut short = [full(0, 3), full(3, 4)];
    short[1].tally = Tally::default();
    short[1].tally.add(&announces(300, [50; 9]));
    let error = check_accounts(&open, &workload, &short, &none).unwrap_err();
    assert!(error.contains("[10, 0]") && error.contains("[9, 0]") && error.contains("baseline"), "{error}");
    let mut other_kind = [full(0, 3), full(3, 4)];
    other_kind[0].tally.add(&Slice { dropped: [0, 0, 0, 1], ..Slice::default() });
    assert!(check_accounts(&open, &workload, &other_kind, &none).is_err(), "a scrape that nobody asked for");
    // The harness held the stream for a second: what was due in the first part came in the second one, and ten operations not at all.
    let mut held = [full(0, 2), full(2, 4)];
    held[0].tally.held_us = 1_000_000;
    held[1].tally = Tally::default();
    held[1].tally.add(&Slice { withheld: [10, 0, 0, 0], ..announces(300, [50; 10]) });
    assert_eq!(check_accounts(&open, &workload, &held, &none), Ok(()));
    // Two of these were put off, and begun after the end, where another one is that was due only then.
    held[1].tally = Tally::default();
    held[1].tally.add(&Slice { withheld: [8, 0, 0, 0], ..announces(300, [50; 10]) });
    let mut beyond = Tally::default();
    beyond.add(&announces(400, [50; 3]));
    assert_eq!(check_accounts(&open, &workload, &held, &beyond), Ok(()));
    assert!(check_accounts(&open, &workload, &held, &none).is_err());
    held[1].tally.add(&announces(300, [50; 3]));
    let error = check_accounts(&open, &workload, &held, &none).unwrap_err();
    assert!(error.contains("[40, 0]") && error.contains("[41, 0]") && error.contains("in all"), "{error}");
    let closed = [stream(None, Pace::Closed)];
    assert_eq!(check_accounts(&closed, &workload, &short, &none), Ok(()), "the closed loop has no schedule");
}

#[test]
fn parts_make_phases_and_horizons() {
    use PartName::{Copy, Settle, Sync};
    let horizon = |part, first_slice, end_slice| Segment {
        is_in_horizon: true,
        ..segment(Part::Of(part), first_slice, end_slice)
    };
    let mut segments = vec![
        segment(Part::Warmup, 0, 100),
        segment(Part::Baseline, 100, 200),
        horizon(Copy, 200, 250),
        horizon(Sync, 250, 260),
        horizon(Settle, 260, 300),
        segment(Part::Recovery, 300, 350),
        // One that begins at once after the one before it, and lasts longer than its horizon.
        horizon(Copy, 350, 450),
        Segment { begins_horizon: false, is_in_horizon: false, ..segment(Part::Of(Copy), 450, 500) },
        segment(Part::Of(Sync), 500, 500),
        horizon(Copy, 500, 510),
        horizon(Settle, 510, 600),
    ];
    for (place, millions) in [(1, 1), (2, 2), (3, 3), (4, 4), (6, 6), (7, 7)] {
        segments[place].tally.add(&announces(0, [millions * 1_000_000]));
    }
    segments[2].stalled_ms = 20;
    let figures = evaluate(
        &Measured { crossing_stalls_ms: &[(2_450, 2_750), (5_990, 6_500)], ..measured(&segments, &[]) },
        Commits::new(&phases(&segments), &[], &[]),
    );
    let found: Vec<_> = figures.phases.iter().map(|phase| (phase.name, phase.started_s, phase.duration_s)).collect();
    let expected = [
        (PhaseName::Warmup, 0.0, 1.0),
        (PhaseName::Baseline, 1.0, 1.0),
        (PhaseName::Snapshot, 2.0, 0.6),
        (PhaseName::Recovery, 2.6, 0.9),
        (PhaseName::Snapshot, 3.5, 1.5),
        (PhaseName::Snapshot, 5.0, 0.1),
        (PhaseName::Recovery, 5.1, 0.9),
    ];
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found.0, expected.0);
        assert!((found.1 - expected.1).abs() < 1e-9 && (found.2 - expected.2).abs() < 1e-9, "{found:?}");
    }
    assert_eq!(found.len(), expected.len());
    let stalled_s: Vec<_> = figures.phases.iter().map(|phase| phase.stalled_s.found().copied().unwrap()).collect();
    // The stall of the snapshot counts whole, what is left of it for the recovery is cut off.
    assert_eq!(stalled_s, [0.0, 0.0, 0.3, 0.15, 0.0, 0.0, 0.01]);
    let horizon = &figures.horizons[0];
    assert_eq!((horizon.window.started_s, horizon.window.duration_s), (2.0, 1.0));
    let parts: Vec<_> = horizon.parts.iter().map(|part| (part.name, part.window.stalled_s)).collect();
    assert_eq!(parts, [(Copy, Some(0.05)), (Sync, Some(0.1)), (Settle, Some(0.15))]);
    let commits = horizon.window.operation(OperationKind::Commit).unwrap();
    assert_eq!((commits.due, commits.lateness.over_1_s), (3, 3));
    let lost_s = commits.lateness.lost_client_s;
    assert!((lost_s - (2.0 + 3.0 + 4.0 - 3.0 * 1.0)).abs() < 0.05, "beyond the baseline's median: {lost_s}");
    let lengths_s: Vec<_> = figures.horizons.iter().map(|horizon| horizon.window.duration_s).collect();
    assert_eq!(lengths_s.len(), 3);
    assert!((lengths_s[1] - 1.0).abs() < 1e-9, "what lasts beyond the horizon is not in it");
    let unknown = Measured { knows_stalls: false, ..measured(&segments, &[]) };
    let unknown = evaluate(&unknown, Commits::new(&phases(&segments), &[], &[]));
    assert!(unknown.phases.iter().all(|phase| phase.stalled_s == Recorded::Known(None)));
    assert_eq!(unknown.horizons[0].window.stalled_s, None);
    // From 2.2 to 3.2 s it is not known when a write was made; and for 0.3 s of that the harness asked for none.
    let (unclear_s, holds_s) = ([(2.2, 3.2)], [(2.9, 3.2)]);
    let commits = Commits::new(&phases(&segments), &[], &holds_s);
    let held = evaluate(&Measured { unclear_s: &unclear_s, holds_s: &holds_s, ..measured(&segments, &[]) }, commits);
    let stalls = held.phases.iter().map(|phase| phase.stalled_s.found().copied().is_some());
    assert_eq!(stalls.collect::<Vec<_>>(), [true, true, false, false, true, true, true]);
    let held_s = held.phases.iter().map(|phase| phase.held_s.map(|held_s| (held_s * 1e3).round()));
    assert_eq!(held_s.collect::<Vec<_>>(), [None, None, None, Some(300.0), None, None, None]);
    let without_s = held.phases[3].longest_without_commit_s;
    assert!((without_s - 0.6).abs() < 1e-9, "of 0.9 s: {without_s}");
}

#[test]
fn what_reached_devices_is_of_the_seconds_that_lie_wholly_in_the_phase() {
    let point = |t_s: u64, written_bytes: Option<u64>| SeriesPoint {
        t_s,
        commits: 10 + t_s,
        machine: Some(MachineUse { written_bytes, process_written_bytes: Some(7), ..MachineUse::default() }),
        ..SeriesPoint::default()
    };
    let of = |points: &[SeriesPoint]| {
        let mut phase = crate::results::samples::phase(PhaseName::Baseline);
        (phase.started_s, phase.duration_s) = (1.5, 2.5);
        note_device(&mut phase, points);
        phase.io.unwrap().device
    };
    let points: Vec<_> = (0..5).map(|t_s| point(t_s, Some(1_000 * (t_s + 1)))).collect();
    // Second 1 began before the phase, and second 4 after it.
    let device = of(&points).unwrap();
    assert_eq!((device.duration_s, device.commits, device.written_bytes), (2.0, 25, 7_000));
    assert_eq!((device.written_bytes_per_commit, device.charged_bytes), (Some(280.0), Some(14)));
    let rows = device.write_amplification.unwrap();
    assert!((rows - 280.0 / 77.0).abs() < 1e-9, "a commit of the phase changed 77 bytes of rows: {rows}");
    // What nobody read is in the next reading, with its time and its commits.
    let mut unread = points.clone();
    unread[2].machine = None;
    let device = of(&unread).unwrap();
    assert_eq!((device.duration_s, device.commits, device.written_bytes), (2.0, 25, 4_000));
    // A reading that is of the time before the phase, too, is not of the phase.
    let mut unread = points.clone();
    unread[1].machine = None;
    let device = of(&unread).unwrap();
    assert_eq!((device.duration_s, device.commits, device.written_bytes), (1.0, 13, 4_000));
    assert_eq!(of(&points[..2]), None, "no second lies in it");
    assert_eq!(of(&[point(2, None)]), None, "the kernel did not tell");
}

//! The fourth room of a trial: from what was measured, and what is known of the commits, to the figures of its results.
//!
//! Everything here is a pure function of values: no clock, no file, no database.

use std::{ops::Range, time::Duration};

use super::{
    commits::{Commits, PhaseCommits},
    recorder::{Part, Segment},
};
use crate::{
    load::Pace,
    measure::{OperationKind, Percentile, SLICE_NS, Tally, seconds},
    results::{
        DeviceIo, Distribution, HorizonResult, IoResult, Lateness, MachineUse, OperationResult, PartResult, PhaseName,
        PhaseResult, Recorded, SeriesPoint, Silence, Times, WindowOperation, WindowResult,
    },
    scenario::StreamSchedule,
    workload::{Kind, Workload},
};

/// What was measured in a trial.
#[derive(Clone, Copy)]
pub struct Measured<'a> {
    /// The parts of the load, in time order; those without a slice are no parts.
    pub segments: &'a [Segment],
    /// Stalls that reach from one part into another, in milliseconds from the start of the load.
    pub crossing_stalls_ms: &'a [(u64, u64)],
    /// The longest times after the warm-up in which nobody was served.
    pub silences: &'a [Silence],
    /// How it went over time.
    pub series: &'a [SeriesPoint],
    /// When a client gives up.
    pub client_timeout: Duration,
    /// Whether the writes are those that operations wait for, so that stalls are known.
    pub knows_stalls: bool,
    /// Times in which it is not known when a write was made, or whether, in seconds from the start of the load.
    pub unclear_s: &'a [(f64, f64)],
    /// Times in which the harness asked for no write, for reasons of its own, in seconds from the start of the load.
    pub holds_s: &'a [(f64, f64)],
    /// Whether somebody looked for checkpoints.
    pub knows_checkpoints: bool,
    /// Whether somebody counted what was asked of the files.
    pub knows_io: bool,
}

/// A phase of a trial: parts that follow each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// Which part of the trial it is.
    pub name: PhaseName,
    /// Its first slice of time.
    pub first_slice: u64,
    /// The slice after its last.
    pub end_slice: u64,
    /// The places of its parts.
    segments: Range<usize>,
}

/// The figures of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// In time order.
    pub phases: Vec<PhaseResult>,
    /// In time order.
    pub horizons: Vec<HorizonResult>,
    /// The longest times after the warm-up in which nobody was served.
    pub silences: Vec<Silence>,
    /// All of the load, in points of equal length.
    pub series: Vec<SeriesPoint>,
    /// Operations that were served, a second, over all phases but the warm-up.
    pub achieved_rate_ops: f64,
    /// Operations that were due, a second, over all phases.
    pub offered_rate_ops: f64,
}

/// The phases that parts make. Each snapshot is a phase of its own, whatever stands before it.
pub fn phases(segments: &[Segment]) -> Vec<Phase> {
    let mut phases: Vec<Phase> = Vec::new();
    for (place, segment) in segments.iter().enumerate().filter(|(_, segment)| segment.first_slice < segment.end_slice) {
        let name = segment.part.phase();
        let begins_snapshot = segment.begins_horizon && name == PhaseName::Snapshot;
        match phases.last_mut().filter(|last| last.name == name && !begins_snapshot) {
            Some(last) => (last.end_slice, last.segments.end) = (segment.end_slice, place + 1),
            None => phases.push(Phase {
                name,
                first_slice: segment.first_slice,
                end_slice: segment.end_slice,
                segments: place..place + 1,
            }),
        }
    }
    phases
}

/// Computes the figures of a trial. All of its commits have passed by `commits`, which was made for its phases and points.
pub fn evaluate(measured: &Measured<'_>, commits: Commits) -> Figures {
    let (of_phases, of_points) = commits.finish();
    let phases = phases(measured.segments);
    let medians_us = medians_us(measured, &phases);
    let room = Room { measured, medians_us };
    let results = phases.iter().zip(&of_phases);
    let mut results: Vec<_> = results.map(|(phase, commits)| room.phase_result(phase, commits)).collect();
    place(measured, &phases, &mut results);
    let with_commits = |(point, commits): (&SeriesPoint, u64)| SeriesPoint { commits, ..point.clone() };
    let series: Vec<_> = measured.series.iter().zip(of_points).map(with_commits).collect();
    for phase in &mut results {
        note_device(phase, &series);
    }
    Figures {
        phases: results,
        horizons: room.horizons(),
        silences: silences(measured),
        series,
        achieved_rate_ops: achieved_rate_ops(measured.segments),
        offered_rate_ops: offered_rate_ops(measured.segments),
    }
}

/// The silences; nothing is said of checkpoints where nobody looked for them.
fn silences(measured: &Measured<'_>) -> Vec<Silence> {
    let known = |silence: &Silence| Silence {
        checkpoint_s: silence.checkpoint_s.filter(|_| measured.knows_checkpoints),
        ..*silence
    };
    measured.silences.iter().map(known).collect()
}

/// The baseline's medians by kind, in the order of [`OperationKind::ALL`]; 0 where there is none.
fn medians_us(measured: &Measured<'_>, phases: &[Phase]) -> [u64; OperationKind::ALL.len()] {
    let baseline = phases.iter().find(|phase| phase.name == PhaseName::Baseline);
    let tally = baseline.map(|phase| sum(&measured.segments[phase.segments.clone()])).unwrap_or_default();
    OperationKind::ALL.map(|kind| {
        let of_kind = tally.of(kind);
        Percentile::P50.of(&of_kind.response, of_kind.counts.due()).unwrap_or(0)
    })
}

fn sum(segments: &[Segment]) -> Tally {
    let mut tally = Tally::default();
    for segment in segments {
        tally.plus(&segment.tally);
    }
    tally
}

/// What the figures of a stretch are computed from.
struct Room<'a> {
    measured: &'a Measured<'a>,
    medians_us: [u64; OperationKind::ALL.len()],
}

/// Whether a stall that reaches beyond a stretch counts whole for it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Beyond {
    Counts,
    IsCutOff,
}

impl Room<'_> {
    fn phase_result(&self, phase: &Phase, commits: &PhaseCommits) -> PhaseResult {
        let segments = &self.measured.segments[phase.segments.clone()];
        let tally = sum(segments);
        let (from_s, to_s) = (seconds(phase.first_slice), seconds(phase.end_slice));
        let duration_s = to_s - from_s;
        let a_second = |count: u64| count as f64 / duration_s;
        let lag = tally.lag();
        let beyond = match phase.name {
            PhaseName::Snapshot => Beyond::Counts,
            PhaseName::Warmup | PhaseName::Baseline | PhaseName::Recovery => Beyond::IsCutOff,
        };
        PhaseResult {
            name: phase.name,
            started_s: from_s,
            duration_s,
            offered_rate_ops: a_second(tally.counts().due()),
            achieved_rate_ops: a_second(segments.iter().map(|segment| segment.completed).sum()),
            offered_sql_per_s: a_second(tally.asked.statements),
            achieved_sql_per_s: a_second(segments.iter().map(|segment| segment.statements).sum()),
            offered_commits_per_s: a_second(tally.asked.commits),
            achieved_commits_per_s: a_second(commits.count),
            commits: commits.count,
            longest_without_commit_s: commits.longest_without_s,
            held_s: Some(overlap_s(self.measured.holds_s, from_s, to_s)).filter(|held_s| *held_s > 0.0),
            stalled_s: self.stalled_s(segments, beyond).into(),
            generator_bound: Recorded::Unknown,
            operations: self.operations(&tally),
            lag: Distribution::new(&lag, lag.len()),
            io: self.measured.knows_io.then(|| IoResult::new(&tally.io, duration_s)),
        }
    }

    fn operations(&self, tally: &Tally) -> Vec<OperationResult> {
        let kinds = OperationKind::ALL.into_iter().zip(self.medians_us);
        let of_kind = kinds.map(|(kind, median_us)| {
            let tally = tally.of(kind);
            let lateness = Lateness::new(&tally, median_us, self.client_timeout_us());
            OperationResult { lateness: lateness.into(), ..OperationResult::new(kind, &tally) }
        });
        of_kind.collect()
    }

    fn client_timeout_us(&self) -> u64 {
        u64::try_from(self.measured.client_timeout.as_micros()).unwrap_or(u64::MAX)
    }

    /// The longest stall in parts that follow each other.
    fn stalled_s(&self, segments: &[Segment], beyond: Beyond) -> Option<f64> {
        let (first, last) = (segments.first()?, segments.last()?);
        let in_ms = |slice: u64| slice * SLICE_NS / 1_000_000;
        let (first_ms, end_ms) = (in_ms(first.first_slice), in_ms(last.end_slice));
        let crossing = self.measured.crossing_stalls_ms.iter();
        let crossing = crossing.filter(|(from_ms, to_ms)| *from_ms < end_ms && *to_ms > first_ms);
        let length_ms = |(from_ms, to_ms): &(u64, u64)| match beyond {
            Beyond::Counts => to_ms - from_ms,
            Beyond::IsCutOff => (*to_ms).min(end_ms) - (*from_ms).max(first_ms),
        };
        let longest_ms = crossing.map(length_ms).chain(segments.iter().map(|segment| segment.stalled_ms)).max();
        let is_clear = overlap_s(self.measured.unclear_s, first_ms as f64 / 1e3, end_ms as f64 / 1e3) == 0.0;
        longest_ms.filter(|_| self.measured.knows_stalls && is_clear).map(|longest_ms| longest_ms as f64 / 1e3)
    }

    fn horizons(&self) -> Vec<HorizonResult> {
        let segments = self.measured.segments;
        let begins = (0..segments.len()).filter(|place| segments[*place].begins_horizon);
        let horizon = |begin: usize| {
            let after = segments[begin + 1..].iter();
            let parts = 1 + after.take_while(|segment| segment.is_in_horizon && !segment.begins_horizon).count();
            &segments[begin..begin + parts]
        };
        begins.map(|begin| self.horizon(horizon(begin))).collect()
    }

    fn horizon(&self, segments: &[Segment]) -> HorizonResult {
        let part = |segment: &Segment| match segment.part {
            Part::Of(name) if segment.first_slice < segment.end_slice => {
                Some(PartResult { name, window: self.window(std::slice::from_ref(segment)) })
            }
            Part::Of(_) | Part::Warmup | Part::Baseline | Part::Recovery => None,
        };
        HorizonResult { window: self.window(segments), parts: segments.iter().filter_map(part).collect() }
    }

    fn window(&self, segments: &[Segment]) -> WindowResult {
        let tally = sum(segments);
        let first_slice = segments.first().map_or(0, |first| first.first_slice);
        let end_slice = segments.last().map_or(0, |last| last.end_slice);
        let kinds = OperationKind::ALL.into_iter().zip(self.medians_us);
        let of_kind = kinds.map(|(kind, median_us)| {
            let tally = tally.of(kind);
            WindowOperation {
                kind,
                due: tally.counts.due(),
                counts: tally.counts,
                response: Times::new(&tally.response, tally.counts.due()),
                service: Times::new(&tally.service, tally.service.len()),
                lateness: Lateness::new(&tally, median_us, self.client_timeout_us()),
            }
        });
        WindowResult {
            started_s: seconds(first_slice),
            duration_s: seconds(end_slice - first_slice),
            stalled_s: self.stalled_s(segments, Beyond::IsCutOff),
            operations: of_kind.collect(),
        }
    }
}

/// How much of a stretch lies in times that do not overlap each other, in seconds.
pub fn overlap_s(times_s: &[(f64, f64)], from_s: f64, to_s: f64) -> f64 {
    times_s.iter().map(|(begin_s, end_s)| (end_s.min(to_s) - begin_s.max(from_s)).max(0.0)).sum()
}

fn achieved_rate_ops(segments: &[Segment]) -> f64 {
    let reported = || segments.iter().filter(|segment| segment.part.phase().is_reported());
    let length_s = seconds(reported().map(|segment| segment.end_slice - segment.first_slice).sum());
    if length_s == 0.0 { 0.0 } else { reported().map(|segment| segment.completed).sum::<u64>() as f64 / length_s }
}

fn offered_rate_ops(segments: &[Segment]) -> f64 {
    let length_s = seconds(segments.iter().map(|segment| segment.end_slice - segment.first_slice).sum());
    let due: u64 = segments.iter().map(|segment| segment.tally.counts().due()).sum();
    if length_s == 0.0 { 0.0 } else { due as f64 / length_s }
}

/// Says what reached block devices in the points that lie wholly in a phase.
fn note_device(phase: &mut PhaseResult, series: &[SeriesPoint]) {
    let (from_s, to_s) = (phase.started_s, phase.started_s + phase.duration_s);
    let Some(io) = &mut phase.io else { return };
    let lies_within =
        |point: &&SeriesPoint| point.t_s as f64 >= from_s && (point.t_s + point.duration_s) as f64 <= to_s;
    let before = series.iter().filter(|point| (point.t_s as f64) < from_s).max_by_key(|point| point.t_s);
    let is_read_at_begin = before.is_none_or(|before| before.machine.is_some());
    let readings = readings(series.iter().filter(lies_within), is_read_at_begin);
    let length_s: u64 = readings.iter().map(|(length_s, ..)| length_s).sum();
    let commits = readings.iter().map(|(_, commits, _)| commits).sum();
    let sum = |bytes: fn(&MachineUse) -> Option<u64>| {
        readings.iter().map(|(.., machine)| bytes(machine)).sum::<Option<u64>>().filter(|_| length_s > 0)
    };
    io.device = sum(|machine| machine.written_bytes).map(|written_bytes| DeviceIo {
        charged_bytes: sum(|machine| machine.process_written_bytes),
        ..DeviceIo::new(length_s as f64, commits, written_bytes, io.row_bytes_per_commit())
    });
}

/// What the machine did in points that follow each other, with the length and the commits of all the time that a reading is of: that since
/// the one before it. The first one is left out where it is of time before the first point, too.
fn readings<'a>(points: impl Iterator<Item = &'a SeriesPoint>, is_read_at_begin: bool) -> Vec<(u64, u64, MachineUse)> {
    let mut readings = Vec::new();
    let mut since = is_read_at_begin.then_some((0, 0));
    for point in points {
        let all = since.map(|(length_s, commits)| (length_s + point.duration_s, commits + point.commits));
        if let Some(machine) = point.machine {
            readings.extend(all.map(|(length_s, commits)| (length_s, commits, machine)));
            since = Some((0, 0));
        } else {
            since = all;
        }
    }
    readings
}

/// Places the snapshots' percentiles among those of baseline windows of the same length.
fn place(measured: &Measured<'_>, phases: &[Phase], results: &mut [PhaseResult]) {
    let baseline = measured.segments.iter().find(|segment| segment.part == Part::Baseline);
    let Some(baseline) = baseline else { return };
    for (phase, result) in phases.iter().zip(results).filter(|(phase, _)| phase.name == PhaseName::Snapshot) {
        let length = phase.end_slice - phase.first_slice;
        for operation in &mut result.operations {
            let range = (baseline.first_slice, baseline.end_slice);
            operation.placement = baseline.log.place(operation.kind, range, length, operation.response.p99_us);
        }
    }
}

/// Every operation that the schedules hold must have been accounted for, part by part and kind by kind; where the harness held a stream,
/// what was due in one part was asked for in a later one, `beyond` the end, or not at all, and only the sums are compared. The closed loop
/// has no schedule.
///
/// # Errors
/// In which phase there are other numbers, in words.
pub fn check_accounts(
    streams: &[StreamSchedule],
    workload: &Workload,
    segments: &[Segment],
    beyond: &Tally,
) -> Result<(), String> {
    let mut due = vec![[0; Kind::ALL.len()]; segments.len()];
    for stream in streams {
        let Pace::Open(mut schedule) = stream.pace.clone() else { return Ok(()) };
        let mut place = 0;
        for index in 0.. {
            let Some(slice) = schedule.due_ns(index).map(|due_ns| due_ns / SLICE_NS) else { break };
            while segments.get(place).is_some_and(|segment| slice >= segment.end_slice) {
                place += 1;
            }
            let Some(counts) = due.get_mut(place) else { break };
            counts[stream.kind.unwrap_or_else(|| workload.kind(index)) as usize] += 1;
        }
    }
    let accounted = |tally: &Tally| {
        Kind::ALL.map(|kind| {
            let tally = tally.of(kind.into());
            tally.counts.due() + tally.withheld
        })
    };
    let is_held = |tally: &Tally| tally.held_us > 0;
    if segments.iter().map(|segment| &segment.tally).chain([beyond]).any(is_held) {
        let sum = sums(segments.iter().map(|segment| accounted(&segment.tally)));
        let (due, beyond) = (sums(due.into_iter()), accounted(beyond));
        // Some of what came beyond the end was put off, and the rest was due only then.
        let is_whole = |kind: usize| due[kind].checked_sub(sum[kind]).is_some_and(|rest| rest <= beyond[kind]);
        return if (0..Kind::ALL.len()).all(is_whole) {
            Ok(())
        } else {
            Err(format!("{due:?} announces and scrapes were due in all, but {sum:?} are accounted for"))
        };
    }
    for (segment, due) in segments.iter().zip(due) {
        let accounted = accounted(&segment.tally);
        if due != accounted {
            return Err(format!(
                "{due:?} announces and scrapes were due in {}, but {accounted:?} are accounted for",
                segment.part.phase()
            ));
        }
    }
    Ok(())
}

/// By kind.
fn sums(counts: impl Iterator<Item = [u64; Kind::ALL.len()]>) -> [u64; Kind::ALL.len()] {
    counts.fold([0; Kind::ALL.len()], |mut sum, counts| {
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        sum
    })
}

#[cfg(test)]
mod tests;

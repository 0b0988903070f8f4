//! The figures of phases, windows and seconds: what became of the operations in them.

use super::{
    List, Of,
    Unit::{Bytes, Microseconds, One, PerSecond, Seconds, Word},
    Value, files, if_known, in_json,
};
use crate::{
    measure::{Counts, Percentile},
    results::{
        CheckpointTime, Distribution, Lateness, MachineUse, OperationResult, PhaseResult, Placement, Recorded,
        SeriesPoint, Times, WindowOperation, WindowResult,
    },
};

/// What the rate says that was reached, of a phase and of a trial.
pub(super) const ACHIEVED_RATE: &str = "Operations that were served, a second";

const PERCENTILES: [Percentile; 5] =
    [Percentile::P50, Percentile::P90, Percentile::P99, Percentile::P999, Percentile::Max];

const RESPONSE: &str = "Time from when an operation was due to its end";
const SERVICE: &str = "Time from when an operation was begun to its end";
const LAG: &str = "How late idle workers of the load generator woke";

/// The figures of a phase.
pub(super) fn phase(figures: &mut List, part: &str, phase: &PhaseResult) {
    let PhaseResult {
        name: _,
        started_s,
        duration_s,
        offered_rate_ops,
        achieved_rate_ops,
        offered_sql_per_s,
        achieved_sql_per_s,
        offered_commits_per_s,
        achieved_commits_per_s,
        commits,
        longest_without_commit_s,
        held_s,
        stalled_s,
        generator_bound,
        operations,
        lag,
        io,
    } = phase;
    figures.at(part, None);
    stretch(figures, *started_s, *duration_s);
    figures.put("offered_rate", PerSecond, "Operations that were due, a second", *offered_rate_ops);
    figures.put("achieved_rate", PerSecond, ACHIEVED_RATE, *achieved_rate_ops);
    figures.put("offered_sql_rate", PerSecond, "SQL statements that were asked for, a second", *offered_sql_per_s);
    figures.put("achieved_sql_rate", PerSecond, "SQL statements that were executed, a second", *achieved_sql_per_s);
    figures.put("offered_commit_rate", PerSecond, "Commits that were asked for, a second", *offered_commits_per_s);
    figures.put("achieved_commit_rate", PerSecond, "Commits that were made, a second", *achieved_commits_per_s);
    figures.put("commits", One, COMMITS, *commits);
    figures.put("longest_without_commit", Seconds, "Longest stretch without a commit", *longest_without_commit_s);
    figures.put(
        "held",
        Seconds,
        "How long the load generator asked for no write, for reasons of its own",
        if_known(*held_s),
    );
    stalled(figures, stalled_s.found().copied());
    figures.put("generator_bound", Word, GENERATOR_BOUND, *generator_bound);
    distribution(figures, "lag", LAG, lag, 0);
    for operation in operations {
        figures.at(part, Some(operation.kind));
        of_kind(figures, operation);
    }
    if let Some(io) = io {
        figures.at(part, None);
        files::io(figures, io);
    }
}

const COMMITS: &str = "Commits that were made";
const GENERATOR_BOUND: &str =
    "Whether the generator's own lag is over a tenth of the response time at the 99th percentile";

/// When a part of the trial was.
fn stretch(figures: &mut List, started_s: f64, duration_s: f64) {
    figures.put("started", Seconds, "When it began, from the start of the load", started_s);
    figures.put("duration", Seconds, "How long it lasted", duration_s);
}

fn stalled(figures: &mut List, stalled_s: Option<f64>) {
    let help = "Longest time in which a write was due or waiting and none was committed";
    figures.put("stalled", Seconds, help, if_known(stalled_s));
}

fn of_kind(figures: &mut List, operation: &OperationResult) {
    let OperationResult {
        kind: _,
        due,
        counts,
        lost_writes,
        generator_bound,
        failures,
        placement,
        response,
        service,
        lag,
        lateness,
    } = operation;
    ends(figures, *due, counts);
    let given_up = "Writes that were given up although the client was answered as if all were well";
    figures.put("lost_writes", One, given_up, *lost_writes);
    figures.put("generator_bound", Word, GENERATOR_BOUND, *generator_bound);
    for (failure, count) in failures {
        let of = Of::Named(in_json(failure));
        figures.put_of("failures", of, One, "Operations that failed, by the error", *count);
    }
    if let Some(placement) = placement {
        placed(figures, placement);
    }
    distribution(figures, "response", RESPONSE, response, *due);
    distribution(figures, "service", SERVICE, service, 0);
    if let Recorded::Known(lag) = lag {
        distribution(figures, "lag", LAG, lag, 0);
    }
    if let Recorded::Known(lateness) = lateness {
        late(figures, lateness);
    }
}

/// How the operations ended.
fn ends(figures: &mut List, due: u64, counts: &Counts) {
    let Counts { served, failed, timed_out, dropped, never_served } = *counts;
    figures.put("due", One, "Operations that were due", due);
    figures.put("served", One, "Operations that ended within the client timeout", served);
    figures.put("failed", One, "Operations that ended with an error", failed);
    figures.put("timed_out", One, "Operations that began and ended after the client timeout", timed_out);
    figures.put("dropped", One, "Operations that had not begun when the client timeout passed", dropped);
    figures.put("never_served", One, "Operations that had not begun when the load ended", never_served);
}

fn placed(figures: &mut List, placement: &Placement) {
    let Placement { window_s, windows, p99_least_us, p99_median_us, p99_most_us, windows_below } = *placement;
    let or_no_answer = |p99_us: Option<u64>| p99_us.map_or(Value::NoAnswer, Value::Count);
    figures.put("window", Seconds, "Length of the windows of the baseline that are as long as the snapshot", window_s);
    figures.put("windows", One, "Windows of the baseline that are as long as the snapshot", windows);
    let least = "Smallest 99th percentile of the response time in such a window";
    figures.put("windows_p99_least", Microseconds, least, or_no_answer(p99_least_us));
    let median = "Median of the 99th percentiles of the response time in such windows";
    figures.put("windows_p99_median", Microseconds, median, or_no_answer(p99_median_us));
    let most = "Largest 99th percentile of the response time in such a window";
    figures.put("windows_p99_most", Microseconds, most, or_no_answer(p99_most_us));
    figures.put(
        "windows_below",
        One,
        "Such windows whose 99th percentile is below that of the snapshot",
        windows_below,
    );
}

/// The percentiles of a distribution that ranks over `ranked` operations besides those that have a time.
pub(super) fn distribution(
    figures: &mut List,
    name: &'static str,
    help: &'static str,
    distribution: &Distribution,
    ranked: u64,
) {
    let Distribution { p50_us: _, p90_us: _, p99_us: _, p999_us: _, max_us: _, histogram: _ } = distribution;
    for percentile in PERCENTILES {
        // Files do not have the 99.9th of few operations.
        let least = if percentile == Percentile::P999 { percentile.least() } else { 1 };
        figures.percentile(name, help, percentile, distribution.get(percentile), ranked >= least);
    }
}

pub(super) fn times(figures: &mut List, name: &'static str, help: &'static str, times: &Times, ranked: u64) {
    let Times { p50_us: _, p90_us: _, p99_us: _, p999_us: _, max_us: _ } = times;
    for percentile in PERCENTILES {
        figures.percentile(name, help, percentile, times.get(percentile), ranked > 0);
    }
}

impl List {
    /// A percentile; where there is none although it is ranked over something, it falls among what was not answered.
    fn percentile(
        &mut self,
        name: &'static str,
        help: &'static str,
        percentile: Percentile,
        time_us: Option<u64>,
        is_ranked: bool,
    ) {
        let none = if is_ranked { Value::NoAnswer } else { Value::Unknown };
        self.put_of(name, Of::Percentile(percentile), Microseconds, help, time_us.map_or(none, Value::Count));
    }
}

fn late(figures: &mut List, lateness: &Lateness) {
    let Lateness { over_10_ms, over_100_ms, over_1_s, lost_client_s } = *lateness;
    figures.put("over_10_ms", One, "Operations whose response took longer than 10 ms", over_10_ms);
    figures.put("over_100_ms", One, "Operations whose response took longer than 100 ms", over_100_ms);
    figures.put("over_1_s", One, "Operations whose response took longer than 1 s", over_1_s);
    let beyond = "Response times beyond the median of the baseline, added up";
    figures.put("lost_client_time", Seconds, beyond, lost_client_s);
}

/// The figures of a window.
pub(super) fn window(figures: &mut List, part: &str, window: &WindowResult) {
    let WindowResult { started_s, duration_s, stalled_s, operations } = window;
    figures.at(part, None);
    stretch(figures, *started_s, *duration_s);
    stalled(figures, *stalled_s);
    for operation in operations {
        let WindowOperation { kind, due, counts, response, service, lateness } = operation;
        figures.at(part, Some(*kind));
        ends(figures, *due, counts);
        times(figures, "response", RESPONSE, response, *due);
        times(figures, "service", SERVICE, service, 0);
        late(figures, lateness);
    }
}

/// The figures of a point of the series.
pub(super) fn second(figures: &mut List, point: &SeriesPoint) {
    let SeriesPoint {
        t_s,
        duration_s,
        due,
        served,
        errors,
        commits,
        p50_us,
        p99_us,
        max_us,
        backlog,
        wal_bytes,
        machine,
        checkpoints,
        files_beside,
    } = point;
    stretch(figures, *t_s as f64, *duration_s as f64);
    figures.put("due", One, "Operations that were due", *due);
    figures.put("served", One, "Operations that ended in it, within the client timeout", *served);
    figures.put("errors", One, "Operations that were not served in time, or never", *errors);
    figures.put("commits", One, COMMITS, *commits);
    let times = [(Percentile::P50, p50_us), (Percentile::P99, p99_us), (Percentile::Max, max_us)];
    for (percentile, time_us) in times {
        figures.percentile(
            "served_response",
            "Response time of the operations that were served",
            percentile,
            *time_us,
            false,
        );
    }
    figures.put("backlog", One, "Operations that were due and not begun, at the most", *backlog);
    figures.put("wal", Bytes, "Size of the WAL, at the most", *wal_bytes);
    if let Some(machine) = machine {
        machine_use(figures, machine);
    }
    if let Some(CheckpointTime { count, duration_s }) = checkpoints {
        figures.put("checkpoints", One, "Checkpoints that began in it", *count);
        figures.put("checkpoint_time", Seconds, "How much of it checkpoints took", *duration_s);
    }
    if let Some(files) = files_beside {
        files::files_beside(figures, files);
    }
}

fn machine_use(figures: &mut List, machine: &MachineUse) {
    let MachineUse {
        user_share,
        system_share,
        steal_share,
        processor_pressure_share,
        io_pressure_share,
        memory_pressure_share,
        page_faults,
        read_bytes,
        written_bytes,
        dirty_bytes_max,
        writeback_bytes_max,
        resident_bytes_max,
        process_read_bytes,
        process_written_bytes,
    } = *machine;
    let of_processors = "Share of the time of all processors, from 0 to 1";
    figures.put("user_share", One, of_processors, if_known(user_share));
    figures.put("system_share", One, of_processors, if_known(system_share));
    figures.put("steal_share", One, of_processors, if_known(steal_share));
    let waiting = "Share of the time in which some task waited, from 0 to 1";
    figures.put("processor_pressure_share", One, waiting, if_known(processor_pressure_share));
    figures.put("io_pressure_share", One, waiting, if_known(io_pressure_share));
    figures.put("memory_pressure_share", One, waiting, if_known(memory_pressure_share));
    figures.put("page_faults", One, "Page faults that read from a block device", if_known(page_faults));
    figures.put("device_read", Bytes, "Read from block devices", if_known(read_bytes));
    figures.put("device_written", Bytes, "Written to block devices", if_known(written_bytes));
    figures.put(
        "dirty_max",
        Bytes,
        "Memory still to be written to a block device, at the most",
        if_known(dirty_bytes_max),
    );
    let writeback = "Memory that was being written to a block device, at the most";
    figures.put("writeback_max", Bytes, writeback, if_known(writeback_bytes_max));
    figures.put("resident_max", Bytes, "Memory of the program, at the most", if_known(resident_bytes_max));
    let read = "Read from block devices for the program";
    figures.put("process_device_read", Bytes, read, if_known(process_read_bytes));
    let written = "What the kernel charged the program with writing to block devices, whole folios among it";
    figures.put("process_device_written", Bytes, written, if_known(process_written_bytes));
}

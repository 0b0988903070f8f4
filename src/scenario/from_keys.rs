//! From checked keys to a scenario: into types that cannot say what was refused.

use std::time::Duration;

use super::{
    DatasetPlan, Disturbance, Experiment, FilesPlan, Scenario, SnapshotPlan, SqlitePlan,
    file::{AfterKeys, ArrivalsKey, DatasetKeys, DisturbanceKeys, Keys, LoadKeys, PhaseKeys, Record, SnapshotKeys},
    kill::{self, KillKeys},
    load::{Arrivals, LoadPlan, OfferedRate, StreamPlan},
    power_loss::{self, PowerLossKeys},
    steps::{Retention, StepsPlan},
    target,
    timeline::Phases,
    trace::{self, TracePoint},
    validate::{self, HORIZON_S_MOST, RATE_OPS_MOST, Refusal},
};
use crate::{
    dataset::{Dataset, Source},
    load::Batch,
    pace::{self, Rate, Spread},
    threshold::Threshold,
    workload::{Kind, Mix},
};

/// The scenario that checked keys ask for, with the thresholds that were read of them.
pub fn plan(record: Record, thresholds: Vec<Threshold>) -> Result<Scenario, Refusal> {
    let Record { name, keys, trace_points } = &record;
    if keys.load.arrivals == ArrivalsKey::Trace {
        let found = format!("{} points", trace_points.len());
        trace::check(trace_points).map_err(|problem| ("load.trace", found, problem))?;
        let most_ops = trace_points.iter().map(|point| point.ops_per_s).fold(0.0, f64::max);
        let scale = keys.load.trace_scale;
        if most_ops * scale > RATE_OPS_MOST {
            let allowed =
                format!("expected at most {}: the trace has {most_ops} operations a second", RATE_OPS_MOST / most_ops);
            return Err(("load.trace_scale", scale.to_string(), allowed));
        }
    }
    let Keys {
        why,
        expect,
        repetitions,
        client_timeout_s,
        thresholds: _,
        target,
        dataset,
        sqlite,
        load,
        snapshots,
        phases,
        disturbance,
        power_loss,
        kill,
    } = keys;
    let scenario = Scenario {
        name: name.clone(),
        why: why.clone(),
        expect: expect.clone(),
        repetitions: *repetitions,
        client_timeout: Duration::from_secs_f64(*client_timeout_s),
        thresholds,
        target: target::plan(target),
        dataset: DatasetPlan { source: source(dataset, sqlite.page_size_bytes), copy: dataset.copy },
        sqlite: SqlitePlan {
            journal_modes: sqlite.journal_mode.clone(),
            synchronous: sqlite.synchronous.clone(),
            cache_size_kib: sqlite.cache_size_kib,
            mmap_size_bytes: sqlite.mmap_size_bytes,
            wal_autocheckpoint_pages: sqlite.wal_autocheckpoint_pages,
            busy_timeout_ms: sqlite.busy_timeout_ms,
            transaction_mode: sqlite.transaction_mode,
            checkpoint_interval: (sqlite.checkpoint_thread_ms > 0)
                .then(|| Duration::from_millis(sqlite.checkpoint_thread_ms)),
            page_cache: sqlite.page_cache,
            files: if sqlite.count_io {
                FilesPlan::Counted { sync_delay: Duration::from_micros(sqlite.sync_delay_us) }
            } else {
                FilesPlan::Uncounted
            },
        },
        load: load_plan(load, trace_points),
        snapshots: snapshot_plan(snapshots),
        phases: phases_plan(phases, snapshots.deadline_s),
        disturbance: disturbance_plan(*disturbance),
        experiment: experiment(power_loss.as_ref(), kill.as_ref()),
        record,
    };
    validate::check_scenario(&scenario)?;
    Ok(scenario)
}

/// What is checked before: a scenario asks for one of both at most.
fn experiment(power_loss: Option<&PowerLossKeys>, kill: Option<&KillKeys>) -> Experiment {
    match (power_loss, kill) {
        (Some(keys), _) => Experiment::PowerLoss(power_loss::plan(keys)),
        (None, Some(keys)) => Experiment::Kill(kill::plan(keys)),
        (None, None) => Experiment::Load,
    }
}

fn disturbance_plan(disturbance: DisturbanceKeys) -> Disturbance {
    let DisturbanceKeys { steal_share_max, pressure_share_max, rerun } = disturbance;
    Disturbance { steal_share_max, pressure_share_max, rerun }
}

fn phases_plan(phases: &PhaseKeys, deadline_s: f64) -> Phases {
    let PhaseKeys { warmup_s, baseline_s, recovery_s, horizon_s } = *phases;
    let horizon_s = horizon_s.unwrap_or(HORIZON_S_MOST.min(deadline_s + recovery_s));
    Phases { warmup_s, baseline_s, recovery_s, horizon_s }
}

fn source(dataset: &DatasetKeys, page_size_bytes: u32) -> Source {
    match &dataset.path {
        Some(path) => Source::Adopted(path.clone()),
        None => Source::Generated(generated(dataset, page_size_bytes)),
    }
}

pub(super) fn generated(dataset: &DatasetKeys, page_size_bytes: u32) -> Dataset {
    // From 0 to a million: what is not from 0 to 1 is refused.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
    let zero_share_ppm = (dataset.zero_share * 1e6).round() as u32;
    Dataset { rows: dataset.rows, seed: dataset.seed, page_size_bytes, zero_share_ppm }
}

fn load_plan(load: &LoadKeys, trace_points: &[TracePoint]) -> LoadPlan {
    let mix = Mix {
        write_profile: load.write_profile,
        started_share: load.started_share,
        stopped_share: load.stopped_share,
        completed_share: load.completed_share,
        announce_share: load.announce_share,
        new_torrent_share: load.new_torrent_share,
        zipf_exponent: load.zipf_exponent,
        scrape_hashes_max: load.scrape_hashes_max,
    };
    let arrivals = arrivals(load, trace_points);
    let batch = load
        .write_profile
        .is_batched()
        .then(|| Batch { operations: load.batch_operations as usize, wait: Duration::from_millis(load.batch_wait_ms) });
    let is_pooled = load.write_profile.is_pooled() || arrivals.is_closed();
    let streams = if is_pooled {
        vec![StreamPlan { kind: None, share: 1.0, connections: load.pool_connections, batch }]
    } else {
        let (announces, scrapes) = (load.announce_share, 1.0 - load.announce_share);
        let most = load.announce_connections.iter().copied().max().unwrap_or(1);
        vec![
            StreamPlan { kind: Some(Kind::Announce), share: announces, connections: most, batch },
            StreamPlan { kind: Some(Kind::Scrape), share: scrapes, connections: load.scrape_connections, batch: None },
        ]
    };
    // A pool serves announces and scrapes, whatever their own numbers are.
    let announce_connections = if is_pooled { Vec::new() } else { load.announce_connections.clone() };
    let long_reader = (load.long_reader_s > 0.0).then(|| Duration::from_secs_f64(load.long_reader_s));
    let completed_rates_ops = load.completed_rate_ops.clone();
    LoadPlan { arrivals, streams, announce_connections, completed_rates_ops, mix, long_reader, seed: load.seed }
}

fn arrivals(load: &LoadKeys, trace_points: &[TracePoint]) -> Arrivals {
    let rate = || {
        if !load.rate_ops.is_empty() {
            return OfferedRate::Constant(load.rate_ops.clone());
        }
        let steps = load.steps.iter().map(|step| pace::Step {
            duration_s: step.duration_s,
            from_ops: step.rate_ops,
            to_ops: step.rate_end_ops.unwrap_or(step.rate_ops),
        });
        OfferedRate::Steps(Rate::steps(&steps.collect::<Vec<_>>()))
    };
    match load.arrivals {
        ArrivalsKey::Constant => Arrivals::Open { spread: Spread::Constant, rate: rate() },
        ArrivalsKey::Poisson => Arrivals::Open { spread: Spread::Poisson, rate: rate() },
        ArrivalsKey::Trace => {
            let rate = OfferedRate::Trace(trace_rate(trace_points, load.trace_scale));
            Arrivals::Open { spread: Spread::Poisson, rate }
        }
        ArrivalsKey::Closed => Arrivals::Closed,
    }
}

fn trace_rate(points: &[TracePoint], scale: f64) -> Rate {
    let ends = points.iter().skip(1).map(|point| point.t_s).chain(std::iter::once(f64::INFINITY));
    let steps = points.iter().zip(ends).map(|(point, end_s)| {
        let rate_ops = point.ops_per_s * scale;
        // The last one goes on, whatever its length.
        let duration_s = (end_s - point.t_s).min(1e9);
        pace::Step { duration_s, from_ops: rate_ops, to_ops: rate_ops }
    });
    Rate::steps(&steps.collect::<Vec<_>>())
}

fn snapshot_plan(snapshots: &SnapshotKeys) -> SnapshotPlan {
    let times_s = match snapshots.every_s {
        Some(every_s) => (0..snapshots.count.unwrap_or(1)).map(|n| f64::from(n) * every_s).collect(),
        None if snapshots.at_s.is_empty() => vec![0.0],
        None => snapshots.at_s.clone(),
    };
    let AfterKeys { steps, during_load, keep_last, keep_days } = &snapshots.after;
    let retention = keep_last.map(Retention::Last).or(keep_days.map(Retention::Days));
    SnapshotPlan {
        strategies: snapshots.strategies.clone(),
        times_s,
        deadline_s: snapshots.deadline_s,
        free_bytes_min: snapshots.least_free_bytes,
        sqlite_checks: snapshots.sqlite_checks,
        sync: snapshots.sync,
        steps: StepsPlan { steps: steps.clone(), during_load: *during_load, retention },
        options: snapshots.options.clone(),
    }
}

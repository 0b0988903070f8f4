//! The plan of a trial: everything that it is to do. In which order trials run is not decided here (`trial_order`).

use std::time::Duration;

use super::{
    Arrivals, Conditions, DatasetCopy, Experiment, FilesPlan, OfferedRate, PageCache, Scenario, StepsPlan,
    target::{self, TargetPlan},
    timeline::{self, Timeline},
    trial_order::Choice,
};
use crate::{
    load::{Batch, Pace},
    measure::SLICE_NS,
    pace::{Rate, Schedule},
    random::mix,
    snapshot::{Strategy, StrategyOptions},
    sqlite::{Settings, TransactionMode},
    workload::{Kind, Mix},
};

/// Has arrivals draw other numbers than the operations that arrive: else what an operation is would follow from when it comes.
const ARRIVALS: u64 = 0x6172_7269;

/// Everything that one trial is to do: one journal mode x one strategy x one offered rate x one repetition.
#[derive(Debug, Clone)]
pub struct TrialPlan {
    /// The settings of every connection, the journal mode among them.
    pub settings: Settings,
    /// How the snapshots are taken.
    pub strategy: Strategy,
    /// What is set for strategies.
    pub strategy_options: StrategyOptions,
    /// The number of the repetition, from 1.
    pub repetition: u32,
    /// What it has in common with the trials that it is compared with.
    pub conditions: Conditions,
    /// Operations that arrive, a second: one number, or on average over the load; `None` in the closed loop.
    pub offered_rate_ops: Option<f64>,
    /// What it drives.
    pub target: TargetPlan,
    /// When its phases and its snapshots are due.
    pub timeline: Timeline,
    /// The streams of operations.
    pub streams: Vec<StreamSchedule>,
    /// The shares and sizes of the workload.
    pub mix: Mix,
    /// What the operations follow from: repetitions do different operations, journal modes and strategies the same ones.
    pub workload_seed: u64,
    /// When a client gives up, after the operation was due.
    pub client_timeout: Duration,
    /// How a write transaction of several statements begins.
    pub transaction_mode: TransactionMode,
    /// How often a thread of its own runs a passive checkpoint, where there is one.
    pub checkpoint_interval: Option<Duration>,
    /// How long a connection of its own holds a read transaction, again and again, where there is one.
    pub long_reader: Option<Duration>,
    /// How it gets its copy of the dataset.
    pub dataset_copy: DatasetCopy,
    /// Whether the operating system holds the database in memory when it begins.
    pub page_cache: PageCache,
    /// How SQLite reaches its files.
    pub files: FilesPlan,
    /// A snapshot is given up when less than this is free on its file system.
    pub free_bytes_min: u64,
    /// Whether SQLite's own checks are asked of each snapshot.
    pub sqlite_checks: bool,
    /// Whether the harness syncs what the strategy left.
    pub syncs: bool,
    /// What is done with each snapshot once it was taken.
    pub steps: StepsPlan,
    /// What it does.
    pub experiment: Experiment,
}

/// A stream of operations, and when they are due.
#[derive(Debug, Clone)]
pub struct StreamSchedule {
    /// The kind of every operation in it; `None` where the workload chooses for each.
    pub kind: Option<Kind>,
    /// When they are due.
    pub pace: Pace,
    /// Connections, each with a thread of its own.
    pub connections: u32,
    /// Writes that go into one transaction, in the batched profile.
    pub batch: Option<Batch>,
}

impl TrialPlan {
    /// The shares and sizes of the operations that workers execute. Those of a tracker's have downloads completed, and nothing else.
    pub(crate) fn worker_mix(&self) -> Mix {
        match self.target {
            TargetPlan::Sqlite => self.mix,
            TargetPlan::Tracker { .. } | TargetPlan::RunningTracker { .. } => target::worker_mix(&self.mix),
        }
    }
}

impl Scenario {
    /// The instants of a trial whose baseline is longer by so much.
    pub(super) fn timeline(&self, jitter_s: f64) -> Timeline {
        Timeline::new(&self.phases, &self.snapshots.times_s, self.snapshots.deadline_s, jitter_s)
    }

    /// The plan of one trial.
    pub(super) fn plan_of(&self, choice: Choice) -> TrialPlan {
        let Choice { journal_mode, conditions, strategy, repetition } = choice;
        let Conditions { synchronous, offered_rate_ops: rate_ops, completed_rate_ops, .. } = conditions;
        let (sqlite, snapshots) = (&self.sqlite, &self.snapshots);
        let seed = self.load.seed ^ u64::from(repetition);
        let timeline = self.timeline(timeline::jitter_s(seed, strategy));
        let rate = self.rate(rate_ops);
        let load_s = timeline.load_s();
        TrialPlan {
            settings: Settings {
                journal_mode,
                synchronous,
                cache_size_kib: sqlite.cache_size_kib,
                mmap_size_bytes: sqlite.mmap_size_bytes,
                wal_autocheckpoint_pages: sqlite.wal_autocheckpoint_pages,
                busy_timeout_ms: sqlite.busy_timeout_ms,
            },
            strategy,
            strategy_options: snapshots.options.clone(),
            repetition,
            conditions,
            offered_rate_ops: rate_ops.or_else(|| rate.as_ref().map(|rate| rate.arrivals_until(load_s) / load_s)),
            streams: self.streams(seed, rate.as_ref(), conditions, &timeline),
            target: self.target.clone(),
            timeline,
            mix: self.load.mix_of(rate_ops, completed_rate_ops),
            workload_seed: mix(seed),
            client_timeout: self.client_timeout,
            transaction_mode: sqlite.transaction_mode,
            checkpoint_interval: sqlite.checkpoint_interval,
            long_reader: self.load.long_reader,
            dataset_copy: self.dataset.copy,
            page_cache: sqlite.page_cache,
            files: sqlite.files,
            free_bytes_min: snapshots.free_bytes_min,
            sqlite_checks: snapshots.sqlite_checks,
            syncs: snapshots.sync.unwrap_or(strategy.definition().syncs_after),
            steps: snapshots.steps.clone(),
            experiment: self.experiment.clone(),
        }
    }

    /// Operations that arrive, as they change over the load of a trial; `None` in the closed loop.
    fn rate(&self, rate_ops: Option<f64>) -> Option<Rate> {
        match (&self.load.arrivals, rate_ops) {
            (Arrivals::Closed, _) => None,
            (Arrivals::Open { rate: OfferedRate::Steps(rate) | OfferedRate::Trace(rate), .. }, _) => Some(rate.clone()),
            (Arrivals::Open { rate: OfferedRate::Constant(_), .. }, rate_ops) => rate_ops.map(Rate::constant),
        }
    }

    fn streams(
        &self,
        seed: u64,
        rate: Option<&Rate>,
        conditions: Conditions,
        timeline: &Timeline,
    ) -> Vec<StreamSchedule> {
        let Conditions { offered_rate_ops, announce_connections, completed_rate_ops, .. } = conditions;
        let end_ns = timeline.end_slice() * SLICE_NS;
        let of_target = match &self.target {
            TargetPlan::Sqlite => self.load.streams.clone(),
            TargetPlan::Tracker { requests, .. } | TargetPlan::RunningTracker { requests, .. } => {
                let mix = self.load.mix_of(offered_rate_ops, completed_rate_ops);
                target::streams(&mix, requests.sockets)
            }
        };
        let streams = of_target.iter().map(|stream| {
            let number = stream.kind.map_or(0, |kind| 1 + kind as u64);
            let pace = match (&self.load.arrivals, rate) {
                (Arrivals::Open { spread, .. }, Some(rate)) => Pace::Open(Schedule::new(
                    *spread,
                    rate.scaled(stream.share),
                    mix(mix(seed) ^ ARRIVALS ^ number),
                    end_ns,
                )),
                (Arrivals::Open { .. }, None) | (Arrivals::Closed, _) => Pace::Closed,
            };
            let connections = match stream.kind {
                Some(Kind::Announce) => announce_connections.unwrap_or(stream.connections),
                Some(Kind::Scrape) | None => stream.connections,
            };
            StreamSchedule { kind: stream.kind, pace, connections, batch: stream.batch }
        });
        streams.collect()
    }
}

impl TrialPlan {
    /// A name for it that no other trial of its scenario has, fit for a folder.
    #[must_use]
    pub fn id(&self) -> String {
        let Self { settings: Settings { journal_mode, .. }, strategy, repetition, .. } = self;
        let Conditions { synchronous, offered_rate_ops, announce_connections, completed_rate_ops } = self.conditions;
        let rate = offered_rate_ops.map_or_else(|| "load".to_owned(), |rate_ops| rate_ops.to_string());
        let connections = announce_connections.map_or_else(String::new, |number| format!("-{number}-connections"));
        let completed = completed_rate_ops.map_or_else(String::new, |rate_ops| format!("-{rate_ops}-completed"));
        format!("{journal_mode}-{synchronous}-{rate}{connections}{completed}-{strategy}-{repetition}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        results::samples,
        torrents::Torrents,
        workload::{Event, Operation, Workload},
    };

    #[test]
    fn what_an_operation_is_does_not_follow_from_when_it_comes() {
        let scenario = samples::scenario(&["load.write_profile=tracker-3", "load.completed_share=0.1"]);
        let plan = &scenario.trials()[0];
        let [StreamSchedule { kind: None, pace: Pace::Open(schedule), .. }] = plan.streams.as_slice() else {
            panic!("{:?}", plan.streams)
        };
        let workload = Workload::new(plan.worker_mix(), Torrents::new(1_000, 1), plan.workload_seed);
        let (mut schedule, mut before_ns, mut operation) = (schedule.clone(), 0, Operation::default());
        let (mut gaps_ns, mut completed_ns) = (Vec::new(), Vec::new());
        for index in 0.. {
            let Some(due_ns) = schedule.due_ns(index) else { break };
            let length_ns = due_ns - std::mem::replace(&mut before_ns, due_ns);
            gaps_ns.push(length_ns);
            workload.operation(workload.kind(index), index, &mut operation);
            if operation.event == Event::Completed {
                completed_ns.push(length_ns);
            }
        }
        let mean = |gaps: &[u64]| gaps.iter().sum::<u64>() as f64 / gaps.len() as f64;
        assert!(completed_ns.len() > 300, "{} of {}", completed_ns.len(), gaps_ns.len());
        let ratio = mean(&completed_ns) / mean(&gaps_ns);
        assert!((0.7..1.4).contains(&ratio), "those before completed downloads are {ratio} times as long as all");
    }
}

//! What a run found of its trials: phases, operations and seconds.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    CopyDurability, DiskUse, Distribution, Disturbance, DisturbedBy, FilesBeside, HorizonResult, IoResult, KillResult,
    MachineUse, OperationResult, PowerLossResult, Recorded, Silence, SnapshotResult, TrackerResult,
};
use crate::{
    measure::{Counts, OperationKind},
    scenario::{Conditions, PageCache},
    snapshot::Strategy,
    sqlite::{JournalMode, Synchronous},
    workload::WriteProfile,
};

/// Whether a trial is whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It ran to its end.
    Completed,
    /// It cannot run here.
    Skipped,
    /// The harness or the database failed; what was measured is not to be relied on.
    Failed,
    /// It was stopped by the user.
    Interrupted,
}

/// Where in a trial something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Its folder and its copy of the dataset.
    Prepare,
    /// The connections to the database.
    Connect,
    /// The load, and the snapshots that were taken meanwhile.
    Load,
    /// The figures of what was measured.
    Evaluate,
    /// The steps after a snapshot.
    Steps,
    /// The oracle's reading of a snapshot.
    Judge,
    /// The comparison of the live database with the ledger.
    Check,
    /// Its files, which were to be kept.
    Keep,
}

/// Something that went wrong in a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Where.
    pub stage: Stage,
    /// What, in words.
    pub message: String,
}

/// What one trial found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrialResult {
    /// Unique in the run.
    pub id: String,
    /// Journal mode of the database.
    pub journal_mode: JournalMode,
    /// When SQLite called fsync.
    pub synchronous: Synchronous,
    /// How the snapshot was taken.
    pub strategy: Strategy,
    /// The options that the strategy ran with.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub strategy_options: serde_json::Value,
    /// What reached the database of an announce.
    pub write_profile: WriteProfile,
    /// From 1.
    pub repetition: u32,
    /// Operations that arrived, a second: as the scenario says, or on average over the load where it changes; `None` in
    /// the closed loop.
    pub offered_rate_ops: Option<f64>,
    /// Connections for announces; `None` where a pool served announces and scrapes.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub announce_connections: Recorded<Option<u32>>,
    /// Announces that complete a download, a second, where the scenario says their number and not their share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_rate_ops: Option<f64>,
    /// The tracker that was driven, where one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tracker: Option<TrackerResult>,
    /// What power losses would have left of its database, where that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub power_loss: Option<PowerLossResult>,
    /// What syncs cover of the copy of its strategy, where that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy_durability: Option<CopyDurability>,
    /// What kills left of its database and of copies, where that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kill: Option<KillResult>,
    /// Operations that were served, a second, over all phases but the warm-up.
    pub achieved_rate_ops: f64,
    /// Whether it is whole.
    pub status: Status,
    /// Why it was skipped, or the first of its problems.
    pub reason: Option<String>,
    /// Everything that went wrong in it, in the order in which it did.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// Folder with ledger, live database and snapshots, relative to this file.
    pub kept_in: Option<PathBuf>,
    /// State of the page cache when it began.
    pub page_cache: PageCache,
    /// The settings of the connections, by pragma, as SQLite reports them.
    pub settings: BTreeMap<String, String>,
    /// Largest size of the WAL that was seen.
    pub wal_bytes_max: u64,
    /// The most that its files took of the disk; `None` where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_use: Option<DiskUse>,
    /// Whether the live database itself, read after the load had ended, was what the ledger says: the harness's check
    /// of itself. `None` where the trial was interrupted before it.
    pub live_database_matches_ledger: Option<bool>,
    /// In time order; names may repeat.
    pub phases: Vec<PhaseResult>,
    /// In time order.
    pub snapshots: Vec<SnapshotResult>,
    /// One for each snapshot, in time order; of the control, one for each time at which others take a snapshot.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub horizons: Recorded<Vec<HorizonResult>>,
    /// Snapshots of the schedule whose turn did not come, because those before them took too long.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub snapshots_not_taken: Recorded<u64>,
    /// The longest times in which requests were due or waiting and none was served, but for the warm-up, in time order.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub silences: Recorded<Vec<Silence>>,
    /// By what its figures were disturbed beyond the limits of its scenario.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub disturbed: Recorded<Vec<Disturbance>>,
    /// All of the load, in points of equal length but for the last: a second each, or as many whole seconds as keep them at
    /// 1,000 at most.
    pub series: Vec<SeriesPoint>,
}

/// A stretch of a trial. Counts and percentiles are of all that happened in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SeriesPoint {
    /// When it began, in seconds from the start of the load.
    pub t_s: u64,
    /// How long it is, in seconds; 1 where the file does not say.
    #[serde(default = "one_second", skip_serializing_if = "is_one_second")]
    pub duration_s: u64,
    /// Operations that were due in it.
    pub due: u64,
    /// Operations that were served in it.
    pub served: u64,
    /// Operations due in it that were not served in time, or never.
    pub errors: u64,
    /// Write transactions that were committed in it.
    pub commits: u64,
    /// Median response time of the operations that were served in it.
    pub p50_us: Option<u64>,
    /// 99th percentile of those.
    pub p99_us: Option<u64>,
    /// Largest of those.
    pub max_us: Option<u64>,
    /// Operations that were due and not begun: the most at the end of one of its seconds.
    pub backlog: u64,
    /// Size of the WAL: the largest at the end of one of its seconds.
    pub wal_bytes: u64,
    /// What the machine did meanwhile; `None` where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<MachineUse>,
    /// Checkpoints in it; `None` where there was none, or nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoints: Option<CheckpointTime>,
    /// The files beside the database; `None` where nobody looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files_beside: Option<FilesBeside>,
}

/// Checkpoints in a point of the series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CheckpointTime {
    /// How many began in it.
    pub count: u64,
    /// How much of it they took.
    pub duration_s: f64,
}

/// What a point is that says nothing of its length.
fn one_second() -> u64 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one_second(duration_s: &u64) -> bool {
    *duration_s == one_second()
}

impl Default for SeriesPoint {
    /// A first second in which nothing happened.
    fn default() -> Self {
        Self {
            t_s: 0,
            duration_s: one_second(),
            due: 0,
            served: 0,
            errors: 0,
            commits: 0,
            p50_us: None,
            p99_us: None,
            max_us: None,
            backlog: 0,
            wal_bytes: 0,
            machine: None,
            checkpoints: None,
            files_beside: None,
        }
    }
}

/// The part of a trial that a phase is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PhaseName {
    /// Load that is not reported.
    Warmup,
    /// No snapshot is running.
    Baseline,
    /// A snapshot is running.
    Snapshot,
    /// After a snapshot; for `none`, the time that others have for theirs as well.
    Recovery,
}

impl Status {
    /// Whether its figures are those of a whole trial.
    #[must_use]
    pub fn is_whole(self) -> bool {
        match self {
            Self::Completed => true,
            Self::Skipped | Self::Failed | Self::Interrupted => false,
        }
    }
}

impl PhaseName {
    /// Whether its figures are reported.
    #[must_use]
    pub fn is_reported(self) -> bool {
        match self {
            Self::Warmup => false,
            Self::Baseline | Self::Snapshot | Self::Recovery => true,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Prepare => "while its database was prepared",
            Self::Connect => "while the database was opened",
            Self::Load => "under load",
            Self::Evaluate => "while its figures were put together",
            Self::Steps => "in the steps after a snapshot",
            Self::Judge => "while a snapshot was judged",
            Self::Check => "while the live database was checked",
            Self::Keep => "while its files were kept",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage, self.message)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Completed => "completed",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Interrupted => "interrupted",
        })
    }
}

impl fmt::Display for PhaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warmup => "warmup",
            Self::Baseline => "baseline",
            Self::Snapshot => "snapshot",
            Self::Recovery => "recovery",
        })
    }
}

/// What was measured in one phase. An operation belongs to the phase in which it was due, a commit to the phase in
/// which it was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PhaseResult {
    /// Which part of the trial.
    pub name: PhaseName,
    /// When it began, in seconds from the start of the load.
    pub started_s: f64,
    /// How long it lasted.
    pub duration_s: f64,
    /// Operations that arrived, a second: those due, divided by the duration.
    pub offered_rate_ops: f64,
    /// Operations that were served in the phase, a second, whenever they were due.
    pub achieved_rate_ops: f64,
    /// SQL statements that the operations due in it ask for, a second, `BEGIN` and `COMMIT` not counted.
    pub offered_sql_per_s: f64,
    /// SQL statements that were executed for them, a second, retries included.
    pub achieved_sql_per_s: f64,
    /// Write transactions that the operations due in it ask for, a second.
    pub offered_commits_per_s: f64,
    /// Write transactions that were committed, a second.
    pub achieved_commits_per_s: f64,
    /// Write transactions that were committed, and of a tracker are known to have been.
    pub commits: u64,
    /// Longest stretch of the phase without a commit; of a snapshot, with what reaches beyond it. Time in which this program asked for no
    /// write (`held_s`) is not in it.
    pub longest_without_commit_s: f64,
    /// How long this program asked for no write, because it waited for a tracker to give one up; absent where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_s: Option<f64>,
    /// The longest time in which a write was due or waiting and none was committed; of a snapshot, with what reaches beyond
    /// it. `None` where it is not known, because a listener writes what operations queue, or because a tracker wrote at a time that nobody
    /// knows.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub stalled_s: Recorded<Option<f64>>,
    /// In early files, of all kinds together: whether the generator's own lag is over a tenth of the response time of one of
    /// them. Later ones say it of each kind.
    #[serde(default, skip_serializing_if = "Recorded::is_unknown")]
    pub generator_bound: Recorded<bool>,
    /// By kind.
    pub operations: Vec<OperationResult>,
    /// How late the load generator was: how late idle workers woke; over a network, how late each request was sent.
    pub lag: Distribution,
    /// What SQLite asked of its files; `None` where nobody counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub io: Option<IoResult>,
}

impl PhaseResult {
    /// Announces and scrapes: every operation is one of them.
    pub fn requests(&self) -> impl Iterator<Item = &OperationResult> {
        self.operations.iter().filter(|operation| operation.kind.is_request())
    }

    /// Counts of all operations together.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.requests().fold(Counts::default(), |sum, operation| sum.plus(&operation.counts))
    }

    /// The operations of one kind.
    #[must_use]
    pub fn operation(&self, kind: OperationKind) -> Option<&OperationResult> {
        self.operations.iter().find(|operation| operation.kind == kind)
    }
}

impl TrialResult {
    /// Whether more was offered than the database could do: in the baseline, less than 95 % of the rate that was offered was
    /// served, whenever that was due.
    #[must_use]
    pub fn is_saturated(&self) -> bool {
        let baseline = self.phase(PhaseName::Baseline).filter(|_| self.offered_rate_ops.is_some());
        baseline.is_some_and(|phase| phase.achieved_rate_ops < 0.95 * phase.offered_rate_ops)
    }

    /// The share of its time that something took which may disturb it, from 0 to 1; `None` where nobody looked.
    #[must_use]
    pub fn disturbed_share(&self, by: DisturbedBy) -> Option<f64> {
        let shares =
            self.series.iter().filter_map(|point| Some((point.duration_s as f64, by.share(point.machine.as_ref()?)?)));
        let (length_s, sum_s) =
            shares.fold((0.0, 0.0), |(length_s, sum_s), (own_s, share)| (length_s + own_s, sum_s + own_s * share));
        (length_s > 0.0).then(|| sum_s / length_s)
    }

    /// The conditions that it ran under.
    #[must_use]
    pub(crate) fn conditions(&self) -> Conditions {
        Conditions {
            synchronous: self.synchronous,
            offered_rate_ops: self.offered_rate_ops,
            announce_connections: self.announce_connections.found().copied(),
            completed_rate_ops: self.completed_rate_ops,
        }
    }

    /// Whether it ran under these conditions; where they say `None`, trials of its scenario do not differ in that.
    #[must_use]
    pub(crate) fn is_of(&self, conditions: Conditions) -> bool {
        let own = self.conditions();
        let has_rate = conditions.offered_rate_ops.is_none_or(|rate_ops| own.offered_rate_ops == Some(rate_ops));
        let has_connections =
            conditions.announce_connections.is_none_or(|number| own.announce_connections == Some(number));
        let has_completed =
            conditions.completed_rate_ops.is_none_or(|rate_ops| own.completed_rate_ops == Some(rate_ops));
        has_rate && has_connections && has_completed && own.synchronous == conditions.synchronous
    }

    /// Everything that went wrong in it, in words: each problem with its stage, or what an older file says in its stead.
    #[must_use]
    pub fn complaints(&self) -> Vec<String> {
        let all: Vec<_> = self.problems.iter().map(ToString::to_string).collect();
        if all.is_empty() { self.reason.iter().cloned().collect() } else { all }
    }

    /// The first phase of a name.
    #[must_use]
    pub fn phase(&self, name: PhaseName) -> Option<&PhaseResult> {
        self.phases.iter().find(|phase| phase.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::results::samples;

    #[test]
    fn a_trial_is_saturated_below_95_percent_of_what_was_offered() {
        for (offered_ops, achieved_ops, is_open, is_saturated) in [
            (1_000.0, 1_000.0, true, false),
            (1_000.0, 950.0, true, false),
            (1_000.0, 949.9, true, true),
            (1_000.0, 0.0, true, true),
            (0.0, 0.0, true, false),
            (1_000.0, 1.0, false, false),
        ] {
            let mut trial = samples::trial(JournalMode::Wal, Strategy::None);
            trial.offered_rate_ops = is_open.then_some(offered_ops);
            let baseline = &mut trial.phases[0];
            (baseline.offered_rate_ops, baseline.achieved_rate_ops) = (offered_ops, achieved_ops);
            assert_eq!(trial.is_saturated(), is_saturated, "{achieved_ops} of {offered_ops}");
        }
        let none = TrialResult { phases: Vec::new(), ..samples::trial(JournalMode::Wal, Strategy::None) };
        assert!(!none.is_saturated(), "nothing was measured");
    }

    #[test]
    fn a_point_that_says_nothing_of_its_length_is_a_second() {
        for (duration_s, says) in [(1, None), (4, Some(4))] {
            let point = SeriesPoint { t_s: 8, duration_s, due: 5, ..SeriesPoint::default() };
            let json = serde_json::to_value(&point).unwrap();
            assert_eq!(json.get("duration_s").and_then(serde_json::Value::as_u64), says);
            assert_eq!(serde_json::from_value::<SeriesPoint>(json).unwrap(), point);
        }
    }

    #[test]
    fn all_problems_are_told_or_what_an_older_file_says() {
        let mut trial = samples::trial(JournalMode::Wal, Strategy::None);
        assert!(trial.complaints().is_empty());
        trial.reason = Some("it was".to_owned());
        assert_eq!(trial.complaints(), ["it was"]);
        trial.problems = vec![
            Problem { stage: Stage::Load, message: "it was".to_owned() },
            Problem { stage: Stage::Keep, message: "no room".to_owned() },
        ];
        assert_eq!(trial.complaints(), ["under load: it was", "while its files were kept: no room"]);
        let json = serde_json::to_value(&trial.problems).unwrap();
        assert_eq!(json[1], serde_json::json!({"stage": "keep", "message": "no room"}));
    }
}

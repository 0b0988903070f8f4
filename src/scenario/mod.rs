//! A TOML file in, a validated [`Scenario`] and the plans of its trials out.
//!
//! The keys of the file are private to this module: what leaves it is a plan in which what cannot run cannot be said.
//! Validation happens once, before anything is written, and an error names the file, the key, what was found and what is
//! allowed.
//!
//! The scenarios of `scenarios/` are in the program: [`builtin`].
//!
//! Nothing here opens a database or starts a thread.

pub mod builtin;
mod conditions;
mod error;
mod experiment;
mod file;
mod from_keys;
mod kill;
mod load;
mod machine;
mod one_or_many;
mod overrides;
mod power_loss;
mod read;
mod shard;
mod steps;
mod target;
mod thresholds;
mod timeline;
mod trace;
mod trial_order;
mod trial_plan;
mod validate;

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

pub use conditions::Conditions;
pub use error::ScenarioError;
pub use experiment::Experiment;
pub use kill::KillPlan;
pub use load::{Arrivals, LoadPlan, OfferedRate, StreamPlan};
pub use machine::{DatasetCopy, PageCache};
pub use power_loss::PowerLossPlan;
pub(crate) use shard::named as shards_named;
pub use shard::{Shard, ShardError};
pub use steps::{Compression, Retention, Step, StepsPlan};
pub use target::{RequestsPlan, TargetPlan};
pub use thresholds::ThresholdProblem;
pub use timeline::{Phases, Timeline, Turn};
pub use trial_plan::{StreamSchedule, TrialPlan};

use crate::{
    dataset::Source,
    snapshot::{Strategy, StrategyOptions},
    sqlite::{JournalMode, Synchronous, TransactionMode},
    threshold::Threshold,
};

/// Trials of a scenario at most.
pub(crate) const TRIALS_MOST: usize = 10_000;

/// Snapshots of a trial at most.
pub(crate) const SNAPSHOTS_MOST: usize = 10_000;

/// A validated scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The file's name without its extension.
    pub name: String,
    /// Why it exists: the question that it answers.
    pub why: String,
    /// What its author expects to see.
    pub expect: String,
    /// How often every trial is run.
    pub repetitions: u32,
    /// When a client gives up, after the operation was due.
    pub client_timeout: Duration,
    /// What its figures must keep.
    pub thresholds: Vec<Threshold>,
    /// What is driven.
    pub target: TargetPlan,
    /// The database at the start.
    pub dataset: DatasetPlan,
    /// The settings of every connection.
    pub sqlite: SqlitePlan,
    /// The traffic.
    pub load: LoadPlan,
    /// What is copied, and how.
    pub snapshots: SnapshotPlan,
    /// How long each phase lasts.
    pub phases: Phases,
    /// When a trial counts as disturbed by what else the machine does.
    pub disturbance: Disturbance,
    /// What its trials do.
    pub experiment: Experiment,
    /// The keys that all of this was made of; results keep them.
    record: file::Record,
}

/// The database at the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetPlan {
    /// Where it comes from.
    pub source: Source,
    /// How each trial gets its copy.
    pub copy: DatasetCopy,
}

/// The settings of every connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlitePlan {
    /// A trial for each.
    pub journal_modes: Vec<JournalMode>,
    /// When SQLite calls fsync; a trial for each.
    pub synchronous: Vec<Synchronous>,
    /// Page cache of each connection, in KiB.
    pub cache_size_kib: i64,
    /// Bytes of the database that may be memory-mapped.
    pub mmap_size_bytes: i64,
    /// Pages in the WAL at which a commit runs a checkpoint; 0 for never.
    pub wal_autocheckpoint_pages: i64,
    /// How long SQLite retries when the database is locked, in milliseconds.
    pub busy_timeout_ms: i64,
    /// How a write transaction of several statements begins.
    pub transaction_mode: TransactionMode,
    /// How often a thread of its own runs a passive checkpoint, where there is one.
    pub checkpoint_interval: Option<Duration>,
    /// Whether the operating system holds the database in memory when a trial begins.
    pub page_cache: PageCache,
    /// How SQLite reaches its files.
    pub files: FilesPlan,
}

/// How SQLite reaches its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilesPlan {
    /// Through the system's own VFS: nobody counts what it asks for.
    Uncounted,
    /// Through one that counts, and under which every sync takes so much longer.
    Counted {
        /// At least so much.
        sync_delay: Duration,
    },
}

impl FilesPlan {
    /// How much longer every sync takes; `None` where nobody counts.
    #[must_use]
    pub fn sync_delay(self) -> Option<Duration> {
        match self {
            Self::Uncounted => None,
            Self::Counted { sync_delay } => Some(sync_delay),
        }
    }
}

/// When a trial counts as disturbed by what else the machine does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Disturbance {
    /// The share of the processors' time that the hypervisor may give to other machines.
    pub steal_share_max: f64,
    /// By how much the share of the time in which tasks wait may be above the median of like trials.
    pub pressure_share_max: f64,
    /// Whether the trials of a pair of which one was disturbed are run again at the end.
    pub rerun: bool,
}

/// What is copied, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct SnapshotPlan {
    /// Ways to copy the database; a trial for each.
    pub strategies: Vec<Strategy>,
    /// When the snapshots of a trial are due, in seconds after [`Phases::baseline_s`], ascending; at least one.
    pub times_s: Vec<f64>,
    /// When a snapshot is stopped, in seconds after it began.
    pub deadline_s: f64,
    /// A snapshot is given up when less than this is free on its file system.
    pub free_bytes_min: u64,
    /// Whether SQLite's own checks are asked of each snapshot, to tell which failures are silent.
    pub sqlite_checks: bool,
    /// Whether the harness syncs what a strategy left; `None` for each as those who use it do.
    pub sync: Option<bool>,
    /// What is done with each snapshot once it was taken.
    pub steps: StepsPlan,
    /// What is set for strategies.
    pub options: StrategyOptions,
}

impl Scenario {
    /// How many trials it has.
    #[must_use]
    pub(crate) fn trial_count(&self) -> usize {
        let SqlitePlan { journal_modes, synchronous, .. } = &self.sqlite;
        let (connections, completed) = (self.load.connection_choices().len(), self.load.completed_choices().len());
        let strategies = self.snapshots.strategies.len();
        let once = [self.rates_ops().len(), connections, completed, synchronous.len(), strategies, journal_modes.len()];
        let repetitions = usize::try_from(self.repetitions).unwrap_or(usize::MAX);
        once.into_iter().fold(repetitions, usize::saturating_mul)
    }

    /// How long the load of one trial lasts, in seconds, at the most.
    #[must_use]
    pub(crate) fn load_s_max(&self) -> f64 {
        match &self.experiment {
            Experiment::Load => self.timeline(timeline::JITTER_S_MAX).load_s(),
            Experiment::PowerLoss(power_loss) => power_loss.duration_s_max(),
            Experiment::Kill(kill) => kill.duration_s_max(self.snapshots.deadline_s),
        }
    }

    /// The offered rates that trials are made for; `None` stands for one that is not one number.
    #[must_use]
    pub(crate) fn rates_ops(&self) -> Vec<Option<f64>> {
        self.load.arrivals.rates_ops()
    }
}

impl Serialize for Scenario {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.record.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Scenario {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let record = file::Record::deserialize(deserializer)?;
        let refuse = |(key, found, allowed)| D::Error::custom(format!("scenario.{key} = {found}: {allowed}"));
        validate::check(&record.keys).map_err(refuse)?;
        let thresholds =
            thresholds::read(&record.keys).map_err(|problem| D::Error::custom(format!("scenario.{problem}")))?;
        from_keys::plan(record, thresholds).map_err(refuse)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const SCENARIO: &str = r#"
        why = "a question"
        expect = "an answer"
        [dataset]
        rows = 1000
        [sqlite]
        journal_mode = ["delete", "wal"]
        [load]
        rate_ops = 8000
        [snapshots]
        strategies = ["none", "cp"]
    "#;

    fn parse(text: &str, overrides: &[&str]) -> Result<Scenario, String> {
        let overrides: Vec<_> = overrides.iter().map(ToString::to_string).collect();
        Scenario::parse("test", text, Path::new("test.toml"), &overrides).map_err(|error| error.to_string())
    }

    #[test]
    fn lists_expand_and_repetitions_alternate() {
        let scenario = parse(SCENARIO, &["repetitions=2"]).unwrap();
        let ids: Vec<_> = scenario.trials().iter().map(TrialPlan::id).collect();
        assert_eq!(ids[..2], ["delete-full-8000-none-1", "wal-full-8000-none-1"]);
        assert_eq!(ids[3..5], ["wal-full-8000-cp-1", "wal-full-8000-cp-2"]);
        assert_eq!(ids[7], "delete-full-8000-none-2");
    }

    #[test]
    fn overrides_take_toml_or_a_string() {
        let set = ["load.rate_ops=[8000, 17000]", "sqlite.synchronous=normal", "phases.warmup_s=1", "why=because"];
        let scenario = parse(SCENARIO, &set).unwrap();
        assert_eq!(scenario.rates_ops(), [Some(8_000.0), Some(17_000.0)]);
        assert_eq!(scenario.sqlite.synchronous, [Synchronous::Normal]);
        assert!((scenario.phases.warmup_s - 1.0).abs() < 1e-9);
        assert_eq!(scenario.why, "because");
        assert_eq!(scenario.trials().len(), 8);
    }

    fn rate_of(scenario: &Scenario) -> crate::pace::Rate {
        match &scenario.load.arrivals {
            Arrivals::Open { rate: OfferedRate::Steps(rate) | OfferedRate::Trace(rate), .. } => rate.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn rows_of(scenario: &Scenario) -> u64 {
        match &scenario.dataset.source {
            Source::Generated(dataset) => dataset.rows,
            Source::Adopted(path) => panic!("{path:?}"),
        }
    }

    /// The keys as a file that somebody could have written.
    fn as_toml(scenario: &Scenario) -> String {
        toml::to_string(&scenario.record.keys).unwrap()
    }

    #[test]
    fn the_write_profile_and_the_arrivals_decide_the_streams() {
        use crate::workload::Kind::{Announce, Scrape};
        let streams = |set: &[&str]| {
            let scenario =
                parse(SCENARIO, &[&["load.pool_connections=7", "load.announce_connections=2"], set].concat());
            let plan = scenario.unwrap().load;
            let streams: Vec<_> = plan.streams.iter().map(|stream| (stream.kind, stream.connections)).collect();
            let batched: Vec<_> = plan.streams.iter().map(|stream| stream.batch.is_some()).collect();
            (streams, batched)
        };
        let apart = vec![(Some(Announce), 2), (Some(Scrape), 4)];
        let pool = vec![(None, 7)];
        assert_eq!(streams(&[]), (apart.clone(), vec![false, false]));
        assert_eq!(streams(&["load.write_profile=batched"]), (apart, vec![true, false]), "scrapes write nothing");
        for profile in ["tracker-3", "tracker-4"] {
            let set = format!("load.write_profile={profile}");
            assert_eq!(streams(&[&set]), (pool.clone(), vec![false]), "{profile}");
        }
        assert_eq!(streams(&["load.rate_ops=[]", "load.arrivals=closed"]), (pool.clone(), vec![false]));
        let closed_batches = ["load.rate_ops=[]", "load.arrivals=closed", "load.write_profile=batched"];
        assert_eq!(streams(&closed_batches), (pool, vec![true]));
    }

    #[test]
    fn steps_and_traces_say_the_rate() {
        let steps = [
            "load.rate_ops=[]",
            "load.steps=[{duration_s=2, rate_ops=10}, {duration_s=2, rate_ops=0, rate_end_ops=40}]",
        ];
        let scenario = parse(SCENARIO, &steps).unwrap();
        let trial = scenario.trials().remove(0);
        assert_eq!((trial.conditions.offered_rate_ops, trial.id().as_str()), (None, "delete-full-load-none-1"));
        let rate = rate_of(&scenario);
        for (at_s, arrivals) in [(1.0, 10.0), (2.0, 20.0), (3.0, 30.0), (4.0, 60.0), (5.0, 100.0)] {
            assert!((rate.arrivals_until(at_s) - arrivals).abs() < 1e-9, "{at_s} s: {}", rate.arrivals_until(at_s));
        }
        let folder = tempfile::tempdir().unwrap();
        let trace = folder.path().join("trace.csv");
        let read = |text: &str| {
            std::fs::write(&trace, text).unwrap();
            let set = format!("load.trace={}", trace.display());
            parse(SCENARIO, &["load.rate_ops=[]", "load.arrivals=trace", "load.trace_scale=0.5", &set])
        };
        let scenario = read("t_s,ops_per_s\n0,100\n10, 300\n20,0\n30,50\n").unwrap();
        let rate = rate_of(&scenario);
        for (at_s, arrivals) in [(10.0, 500.0), (20.0, 2_000.0), (30.0, 2_000.0), (40.0, 2_250.0)] {
            assert!((rate.arrivals_until(at_s) - arrivals).abs() < 1e-3, "{at_s} s: {}", rate.arrivals_until(at_s));
        }
        let mut json = serde_json::to_value(&scenario).unwrap();
        json["trace_points"][1]["t_s"] = 0.into();
        let error = serde_json::from_value::<Scenario>(json).unwrap_err().to_string();
        assert!(error.contains("scenario.load.trace = 4 points: line 3: t_s = 0"), "{error}");
        for (text, problem) in [
            ("t_s,ops_per_s\n", "it has no lines"),
            ("t_s,ops_per_s\n1,5\n", "line 2: t_s = 1"),
            ("t_s,ops_per_s\n0,5\n0,6\n", "line 3: t_s = 0"),
            ("t_s,ops_per_s\n0,-5\n", "line 2: ops_per_s = -5"),
            ("t_s,ops_per_s\n0,nan\n", "line 2: ops_per_s = NaN"),
            ("t_s,ops_per_s\n0,5\nnan,5\n", "line 3: t_s = NaN"),
            ("t_s,ops_per_s\n0,5\n1e10,5\n", "line 3: t_s = 10000000000"),
            ("t_s,ops_per_s\n0,many\n", "invalid float"),
            ("time,rate\n0,5\n", "missing field `t_s`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains("trace.csv") && error.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn what_would_take_too_long_or_too_much_memory_is_refused() {
        let numbers = format!("{:?}", (1..=10_001).collect::<Vec<_>>());
        let (rates, times) = (format!("load.rate_ops={numbers}"), format!("snapshots.at_s={numbers}"));
        let steps = format!("load.steps=[{}]", "{duration_s = 1, rate_ops = 1},".repeat(1_000));
        let nightly = ["snapshots.every_s=1", "snapshots.count=10000"];
        let cases: [(&[&str], &str); 6] = [
            (&[&rates], "load.rate_ops = 10001 values: expected at most 10000"),
            (&[&times], "snapshots.at_s = 10001 times: expected at most 10000"),
            (
                &["repetitions=1000", "load.rate_ops=[1, 2, 3]"],
                "repetitions = 1000, which makes 12000 trials: expected",
            ),
            (&["repetitions=250", "load.rate_ops=[]", &steps], "1000 trials of 1 snapshots and 1000 stretches"),
            (&[&["repetitions=26"], &nightly[..]].concat(), "104 trials of 10000 snapshots and 0 stretches"),
            (&["dataset.size=2TB"], "dataset.size = 2TB: expected 40960B to 1TB with pages of 4096 bytes"),
        ];
        for (set, expected) in cases {
            let error = parse(SCENARIO, set).unwrap_err();
            assert!(error.contains(expected), "{error:.300}");
        }
        for set in [&[&["repetitions=25"], &nightly[..]].concat()[..], &["repetitions=3", "load.rate_ops=[1, 2]"]] {
            let scenario = parse(SCENARIO, set).unwrap();
            assert_eq!(scenario.trial_count(), scenario.trials().len(), "{set:?}");
        }
    }

    #[test]
    fn a_size_becomes_rows() {
        let text = SCENARIO.replace("rows = 1000", "size = \"20MB\"");
        let scenario = parse(&text, &[]).unwrap();
        let rows = rows_of(&scenario);
        assert!((180_000..190_000).contains(&rows), "{rows}");
        assert_eq!(parse(&as_toml(&scenario), &[]).unwrap(), scenario);
        assert_eq!(rows_of(&parse(&text, &["dataset.rows=5"]).unwrap()), 5, "instead of the size");
        let both = text.replace("size =", "rows = 5\nsize =");
        let error = parse(&both, &[]).unwrap_err();
        assert!(error.contains("test.toml: dataset.size = 20MB: expected either this or dataset.rows"), "{error}");
        let own = parse(&text, &["dataset.path=my.db"]).unwrap();
        assert_eq!(own.dataset.source, Source::Adopted(std::path::absolute("my.db").unwrap()), "from here");
        let own = parse(&text.replace("size = \"20MB\"", "path = \"my.db\""), &[]).unwrap();
        assert_eq!(own.dataset.source, Source::Adopted("my.db".into()), "beside test.toml");
        for (set, expected) in [
            ("dataset.size=big", "test.toml: dataset.size: `big` is no size"),
            ("sqlite.page_size_bytes=7", "test.toml: sqlite.page_size_bytes = 7: expected a power of two"),
        ] {
            let error = parse(&text, &[set]).unwrap_err();
            assert!(error.contains(expected), "--set {set}:\n{error}");
        }
    }

    #[test]
    fn a_resolved_scenario_is_a_scenario() {
        let scenario = parse(SCENARIO, &[]).unwrap();
        assert_eq!(parse(&as_toml(&scenario), &[]).unwrap(), scenario);
        let json = serde_json::to_value(&scenario).unwrap();
        assert_eq!((&json["name"], &json["load"]["scrape_connections"]), (&"test".into(), &4.into()));
        assert_eq!(serde_json::from_value::<Scenario>(json.clone()).unwrap(), scenario, "as results keep it");
        let mut impossible = json;
        impossible["load"]["announce_share"] = 7.into();
        let error = serde_json::from_value::<Scenario>(impossible).unwrap_err().to_string();
        assert!(error.contains("scenario.load.announce_share = 7: expected 0 to 1"), "{error}");
    }

    #[test]
    fn bad_input_is_refused_with_file_key_found_and_allowed() {
        for (set, expected) in [
            ("load.rate_opss=1", "test.toml: load.rate_opss: unknown field `rate_opss`, expected one of `arrivals`"),
            ("speed=1", "unknown field `speed`, expected one of `why`"),
            ("load.rate_ops=fast", "test.toml: load.rate_ops: invalid type: string \"fast\", expected f64"),
            ("load.rate_ops=0", "test.toml: load.rate_ops = 0: expected 0.001 to 1000000"),
            (
                "load.rate_ops=[]",
                "load.arrivals = open loop, Poisson arrivals with no rate at all: expected exactly one of",
            ),
            ("load.arrivals=closed", "load.arrivals = closed loop with load.rate_ops: expected no rate with it"),
            (
                "load.arrivals=trace",
                "at the rate of a trace with load.rate_ops: expected exactly one of load.trace with it",
            ),
            ("load.steps=[{duration_s=1, rate_ops=5}]", "with load.rate_ops and load.steps: expected exactly one of"),
            ("load.started_share=0.99", "started_share + stopped_share + completed_share = 1.09"),
            ("load.rate_ops=[1, 1]", "test.toml: load.rate_ops = 1: expected every value once"),
            ("load.announce_share=1.5", "test.toml: load.announce_share = 1.5: expected 0 to 1"),
            ("load.zipf_exponent=nan", "test.toml: load.zipf_exponent = NaN: expected 0 to 10"),
            ("dataset.copy=hardlink", "dataset.copy: unknown variant `hardlink`, expected `plain` or `reflink`"),
            ("dataset.rows=0", "test.toml: dataset.rows = 0: expected 1 to 17179869184"),
            ("dataset.rows=-5", "test.toml: dataset.rows: invalid value: integer `-5`, expected u64"),
            ("sqlite.journal_mode=fast", "unknown variant `fast`, expected one of `delete`"),
            ("sqlite.page_size_bytes=1000", "test.toml: sqlite.page_size_bytes = 1000: expected a power of two"),
            (
                "snapshots.strategies=[\"scp\"]",
                "snapshots.strategies[0]: unknown variant `scp`, expected one of `none`",
            ),
            (
                "snapshots.options.backup.pages=5",
                "snapshots.options.backup.pages: unknown field `pages`, expected one of `pages_per_step`",
            ),
            ("snapshots.options.rsync.x=5", "unknown field `rsync`, expected one of `backup`, `backup-one-step`"),
            (
                "snapshots.options.backup.pages_per_step=0",
                "test.toml: snapshots.options.backup.pages_per_step = 0: expected 1 to 1073741824",
            ),
            (
                "snapshots.strategies=command",
                "test.toml: snapshots.options.command.line = \"\": expected the command line of the strategy `command`",
            ),
            ("repetitions", "--set repetitions: expected KEY=VALUE"),
            ("=1", "--set =1: expected KEY=VALUE"),
            ("why.because=1", "--set why.because=1: expected KEY=VALUE"),
        ] {
            let error = parse(SCENARIO, &[set]).unwrap_err();
            assert!(error.contains(expected), "--set {set}:\n{error}");
        }
        let error = parse(SCENARIO, &["dataset.path=my.db", "dataset.seed=5"]).unwrap_err();
        assert!(error.contains("my.db: expected either this or dataset.rows, dataset.size, dataset.seed"), "{error}");
        let two_writers = ["snapshots.strategies=backup-in-writer", "load.announce_connections=2"];
        let error = parse(SCENARIO, &two_writers).unwrap_err();
        assert!(
            error.contains("snapshots.strategies = backup-in-writer: expected without it, or one connection"),
            "{error}"
        );
        assert!(parse(SCENARIO, &two_writers[..1]).is_ok());
        let error = parse(&SCENARIO.replace("rows = 1000", ""), &[]).unwrap_err();
        assert!(error.contains("test.toml: dataset.rows = 0: expected 1 to 17179869184, or dataset.size"), "{error}");
        assert!(parse("why = ", &[]).unwrap_err().contains("test.toml: TOML parse error at line 1"), "syntax");
    }
}

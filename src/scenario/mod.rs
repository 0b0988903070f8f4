//! A TOML file in, a validated [`Scenario`] and its trials out.
//!
//! [`Keys`] is the file format: every key with its default, unknown keys refused. [`Scenario`] is the validated thing.
//! Validation happens once, before anything is written, and an error names the file, the key, what was found and what is
//! allowed.

mod keys;
mod validate;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use keys::{
    AfterKeys, Arrivals, Compression, DatasetCopy, DatasetKeys, Keys, LoadKeys, PageCache, PhaseKeys, SnapshotKeys,
    SqliteKeys, Step, StepKeys, TracePoint,
};

use crate::{
    dataset::{Dataset, Source},
    load::Batch,
    pace::{self, Rate, Spread},
    random::mix,
    snapshot::Strategy,
    sqlite::{JournalMode, Settings, Synchronous},
    workload::{Mix, WriteProfile},
};

/// The most by which the beginning of a snapshot is put off, in seconds.
pub const JITTER_S: f64 = 1.0;

/// A validated scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// The file's name without its extension.
    pub name: String,
    /// Every key, defaults filled in.
    #[serde(flatten)]
    pub keys: Keys,
    /// The lines of the trace file.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trace_points: Vec<TracePoint>,
}

/// One journal mode x one strategy x one offered rate x one repetition.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Journal mode of the database.
    pub journal_mode: JournalMode,
    /// When SQLite calls fsync.
    pub synchronous: Synchronous,
    /// How the snapshot is taken.
    pub strategy: Strategy,
    /// Operations that arrive, a second; `None` where steps or a trace say so, or in the closed loop.
    pub rate_ops: Option<f64>,
    /// From 1.
    pub repetition: u32,
}

/// Why a scenario is refused.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file could not be read.
    #[error("cannot read the scenario {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// It is no TOML.
    #[error("{}: {source}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: toml::de::Error,
    },
    /// A key is unknown, missing or of another type.
    #[error("{}: {key}: {problem}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The key, or the table that it is in.
        key: String,
        /// What was found and what is expected.
        problem: String,
    },
    /// A value is out of range.
    #[error("{}: {key} = {found}: {allowed}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// Its value.
        found: String,
        /// What is allowed.
        allowed: String,
    },
    /// The trace file is no list of `t_s,ops_per_s`.
    #[error("load.trace = {}: {problem}; expected lines of t_s,ops_per_s under that heading, times ascending from 0", path.display())]
    Trace {
        /// The trace file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// An override is not of the form `KEY=VALUE`.
    #[error("--set {0}: expected KEY=VALUE, as in --set load.rate_ops=17000")]
    Set(String),
}

impl Scenario {
    /// Reads, overrides and validates a scenario file. An override is `KEY=VALUE` with a dotted key; the value is TOML,
    /// or else a string.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, ScenarioError> {
        let read = |source| ScenarioError::Read { path: path.to_owned(), source };
        let text = std::fs::read_to_string(path).map_err(read)?;
        let name = path.file_stem().map_or_else(|| "scenario".into(), |stem| stem.to_string_lossy().into_owned());
        Self::parse(&name, &text, path, overrides)
    }

    /// As [`Self::load`], from text; `path` is for messages.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn parse(name: &str, text: &str, path: &Path, overrides: &[String]) -> Result<Self, ScenarioError> {
        let syntax = |source| ScenarioError::Syntax { path: path.to_owned(), source };
        let mut table: toml::Table = text.parse().map_err(syntax)?;
        for assignment in overrides {
            set(&mut table, assignment)?;
        }
        let mut keys: Keys = serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|error| {
            let key = match error.path().to_string() {
                at if at == "." => "at the top level".to_owned(),
                at => at,
            };
            ScenarioError::Key { path: path.to_owned(), key, problem: error.inner().to_string().trim().to_owned() }
        })?;
        validate::resolve_size(&mut keys)
            .and_then(|()| validate::check(&keys))
            .map_err(|(key, found, allowed)| ScenarioError::Value { path: path.to_owned(), key, found, allowed })?;
        let beside = |file: &Path| path.parent().unwrap_or(Path::new("")).join(file);
        let trace_points = match &keys.load.trace {
            Some(trace) => validate::read_trace(&beside(trace))?,
            None => Vec::new(),
        };
        keys.dataset.path = keys.dataset.path.map(|file| beside(&file));
        Ok(Self { name: name.to_owned(), keys, trace_points })
    }

    /// The trials in the order in which they run: repetitions outermost, every second one backwards (A B B A), so that
    /// a drift of the machine falls on all alike.
    #[must_use]
    pub fn trials(&self) -> Vec<Trial> {
        let Keys { sqlite, snapshots, repetitions, .. } = &self.keys;
        let mut once = Vec::new();
        for rate_ops in self.rates() {
            for &synchronous in &sqlite.synchronous {
                for &strategy in &snapshots.strategies {
                    for &journal_mode in &sqlite.journal_mode {
                        once.push(Trial { journal_mode, synchronous, strategy, rate_ops, repetition: 1 });
                    }
                }
            }
        }
        let mut all = Vec::new();
        for repetition in 1..=*repetitions {
            let again = once.iter().map(|trial| Trial { repetition, ..*trial });
            if repetition % 2 == 1 {
                all.extend(again);
            } else {
                all.extend(again.rev());
            }
        }
        all
    }

    /// The offered rates that trials are made for: those of `rate_ops`, or the one that steps, a trace or the closed loop
    /// stand for.
    #[must_use]
    pub fn rates(&self) -> Vec<Option<f64>> {
        match self.keys.load.rate_ops.as_slice() {
            [] => vec![None],
            rates => rates.iter().copied().map(Some).collect(),
        }
    }

    /// Operations that arrive, as they change over the load of a trial; `None` in the closed loop.
    #[must_use]
    pub fn rate(&self, trial: &Trial) -> Option<Rate> {
        let load = &self.keys.load;
        match (load.arrivals, trial.rate_ops) {
            (Arrivals::Closed, _) => None,
            (Arrivals::Trace, _) => {
                let points = &self.trace_points;
                let ends = points.iter().skip(1).map(|point| point.t_s).chain(std::iter::once(f64::INFINITY));
                let steps = points.iter().zip(ends).map(|(point, end_s)| {
                    let rate_ops = point.ops_per_s * load.trace_scale;
                    // The last one goes on, whatever its length.
                    let duration_s = (end_s - point.t_s).min(1e9);
                    pace::Step { duration_s, from_ops: rate_ops, to_ops: rate_ops }
                });
                Some(Rate::steps(&steps.collect::<Vec<_>>()))
            }
            (Arrivals::Constant | Arrivals::Poisson, Some(rate_ops)) => Some(Rate::constant(rate_ops)),
            (Arrivals::Constant | Arrivals::Poisson, None) => {
                let steps = load.steps.iter().map(|step| pace::Step {
                    duration_s: step.duration_s,
                    from_ops: step.rate_ops,
                    to_ops: step.rate_end_ops.unwrap_or(step.rate_ops),
                });
                Some(Rate::steps(&steps.collect::<Vec<_>>()))
            }
        }
    }

    /// How gaps are spread in the open loop.
    #[must_use]
    pub fn spread(&self) -> Spread {
        match self.keys.load.arrivals {
            Arrivals::Constant => Spread::Constant,
            Arrivals::Poisson | Arrivals::Trace | Arrivals::Closed => Spread::Poisson,
        }
    }

    /// Whether announces and scrapes come in one stream, over one pool of connections.
    #[must_use]
    pub fn is_pooled(&self) -> bool {
        self.keys.load.write_profile.is_pooled() || self.keys.load.arrivals == Arrivals::Closed
    }

    /// Writes that go into one transaction, in the batched profile.
    #[must_use]
    pub fn batch(&self) -> Option<Batch> {
        let load = &self.keys.load;
        (load.write_profile == WriteProfile::Batched).then(|| Batch {
            operations: load.batch_operations as usize,
            wait: Duration::from_millis(load.batch_wait_ms),
        })
    }

    /// Where the database at the start comes from.
    #[must_use]
    pub fn source(&self) -> Source {
        let Keys { dataset, sqlite, .. } = &self.keys;
        match &dataset.path {
            Some(path) => Source::Adopted(path.clone()),
            None => Source::Generated(Dataset {
                rows: dataset.rows,
                seed: dataset.seed,
                page_size_bytes: sqlite.page_size_bytes,
            }),
        }
    }

    /// Settings of every connection of a trial.
    #[must_use]
    pub fn settings(&self, trial: &Trial) -> Settings {
        let keys = &self.keys.sqlite;
        Settings {
            journal_mode: trial.journal_mode,
            synchronous: trial.synchronous,
            cache_size_kib: keys.cache_size_kib,
            mmap_size_bytes: keys.mmap_size_bytes,
            wal_autocheckpoint_pages: keys.wal_autocheckpoint_pages,
            busy_timeout_ms: keys.busy_timeout_ms,
        }
    }

    /// The shares and sizes of the workload.
    #[must_use]
    pub fn mix(&self) -> Mix {
        let keys = &self.keys.load;
        Mix {
            write_profile: keys.write_profile,
            started_share: keys.started_share,
            stopped_share: keys.stopped_share,
            completed_share: keys.completed_share,
            announce_share: keys.announce_share,
            new_torrent_share: keys.new_torrent_share,
            zipf_exponent: keys.zipf_exponent,
            scrape_hashes_max: keys.scrape_hashes_max,
        }
    }

    /// When a client gives up.
    #[must_use]
    pub fn client_timeout(&self) -> Duration {
        Duration::from_secs_f64(self.keys.client_timeout_s)
    }

    /// Length of the load of one trial, in seconds, at the most; after the baseline it is the same for every strategy.
    #[must_use]
    pub fn load_s(&self) -> f64 {
        let PhaseKeys { warmup_s, baseline_s, recovery_s } = self.keys.phases;
        warmup_s + baseline_s + JITTER_S + self.snapshots_s() + recovery_s
    }

    /// When the snapshots of a trial begin, in seconds after [`PhaseKeys::baseline_s`], ascending.
    #[must_use]
    pub fn snapshot_times_s(&self) -> Vec<f64> {
        let SnapshotKeys { at_s, every_s, count, .. } = &self.keys.snapshots;
        match every_s {
            Some(every_s) => (0..count.unwrap_or(1)).map(|n| f64::from(n) * every_s).collect(),
            None if at_s.is_empty() => vec![0.0],
            None => at_s.clone(),
        }
    }

    /// From [`PhaseKeys::baseline_s`] to the deadline of the last snapshot, in seconds: no snapshot runs longer.
    #[must_use]
    pub fn snapshots_s(&self) -> f64 {
        self.snapshot_times_s().last().copied().unwrap_or(0.0) + self.keys.snapshots.deadline_s
    }

    /// By how much the baseline of a trial is longer than the scenario says, in seconds, from 0.02 to [`JITTER_S`]: the
    /// same for all journal modes, another for each strategy and repetition.
    ///
    /// At one rate of commits, checkpoints come at regular times. A snapshot that always began at the same time would
    /// always meet the same state of the WAL.
    #[must_use]
    pub fn jitter_s(&self, trial: &Trial) -> f64 {
        let random = mix(mix(self.keys.load.seed ^ u64::from(trial.repetition)) ^ trial.strategy as u64);
        0.02 + (random % 99) as f64 / 100.0
    }
}

impl Trial {
    /// A name for it that no other trial of its scenario has, fit for a folder.
    #[must_use]
    pub fn id(&self) -> String {
        let Self { journal_mode, synchronous, strategy, rate_ops, repetition } = self;
        let rate = rate_ops.map_or_else(|| "load".to_owned(), |rate_ops| rate_ops.to_string());
        format!("{journal_mode}-{synchronous}-{rate}-{strategy}-{repetition}")
    }
}

/// Sets a dotted key in a table, making the tables on the way.
fn set(table: &mut toml::Table, assignment: &str) -> Result<(), ScenarioError> {
    /// Three ways to say one thing: the one that is given replaces what the file says.
    const DATASETS: [&str; 3] = ["dataset.rows", "dataset.size", "dataset.path"];

    let refuse = || ScenarioError::Set(assignment.to_owned());
    let (key, value) = assignment.split_once('=').ok_or_else(refuse)?;
    let (key, value) = (key.trim(), value.trim());
    let value = format!("value = {value}")
        .parse::<toml::Table>()
        .ok()
        .and_then(|mut parsed| parsed.remove("value").filter(|_| parsed.is_empty()))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    let mut parts: Vec<&str> = key.split('.').collect();
    let last = parts.pop().filter(|last| !last.is_empty()).ok_or_else(refuse)?;
    let mut table = table;
    for part in parts {
        let entry = table.entry(part).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        table = entry.as_table_mut().ok_or_else(refuse)?;
    }
    if DATASETS.contains(&key) {
        DATASETS.iter().filter_map(|key| key.split_once('.')).for_each(|(_, other)| drop(table.remove(other)));
    }
    table.insert(last.to_owned(), from_here(key, value));
    Ok(())
}

/// A path on the command line is relative to where that is given, not to the scenario.
fn from_here(key: &str, value: toml::Value) -> toml::Value {
    match value {
        toml::Value::String(path) if ["dataset.path", "load.trace"].contains(&key) => {
            let absolute = std::path::absolute(&path).ok().and_then(|path| path.into_os_string().into_string().ok());
            toml::Value::String(absolute.unwrap_or(path))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
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
        let ids: Vec<_> = scenario.trials().iter().map(Trial::id).collect();
        assert_eq!(ids[..2], ["delete-full-8000-none-1", "wal-full-8000-none-1"]);
        assert_eq!(ids[3..5], ["wal-full-8000-cp-1", "wal-full-8000-cp-2"]);
        assert_eq!(ids[7], "delete-full-8000-none-2");
    }

    #[test]
    fn overrides_take_toml_or_a_string() {
        let set = ["load.rate_ops=[8000, 17000]", "sqlite.synchronous=normal", "phases.warmup_s=1", "why=because"];
        let scenario = parse(SCENARIO, &set).unwrap();
        assert_eq!(scenario.keys.load.rate_ops, [8_000.0, 17_000.0]);
        assert_eq!(scenario.keys.sqlite.synchronous, [Synchronous::Normal]);
        assert!((scenario.keys.phases.warmup_s - 1.0).abs() < 1e-9);
        assert_eq!(scenario.keys.why, "because");
        assert_eq!(scenario.trials().len(), 8);
    }

    #[test]
    fn steps_and_traces_say_the_rate() {
        let steps = [
            "load.rate_ops=[]",
            "load.steps=[{duration_s=2, rate_ops=10}, {duration_s=2, rate_ops=0, rate_end_ops=40}]",
        ];
        let scenario = parse(SCENARIO, &steps).unwrap();
        let trial = scenario.trials()[0];
        assert_eq!((trial.rate_ops, trial.id().as_str()), (None, "delete-full-load-none-1"));
        let rate = scenario.rate(&trial).unwrap();
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
        let rate = scenario.rate(&scenario.trials()[0]).unwrap();
        for (at_s, arrivals) in [(10.0, 500.0), (20.0, 2_000.0), (30.0, 2_000.0), (40.0, 2_250.0)] {
            assert!((rate.arrivals_until(at_s) - arrivals).abs() < 1e-3, "{at_s} s: {}", rate.arrivals_until(at_s));
        }
        for (text, problem) in [
            ("t_s,ops_per_s\n", "it has no lines"),
            ("t_s,ops_per_s\n1,5\n", "line 2: t_s = 1"),
            ("t_s,ops_per_s\n0,5\n0,6\n", "line 3: t_s = 0"),
            ("t_s,ops_per_s\n0,-5\n", "line 2: ops_per_s = -5"),
            ("t_s,ops_per_s\n0,many\n", "invalid float"),
            ("time,rate\n0,5\n", "missing field `t_s`"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains("trace.csv") && error.contains(problem), "{text}: {error}");
        }
    }

    #[test]
    fn a_size_becomes_rows() {
        let text = SCENARIO.replace("rows = 1000", "size = \"20MB\"");
        let scenario = parse(&text, &[]).unwrap();
        let rows = scenario.keys.dataset.rows;
        assert!((180_000..190_000).contains(&rows), "{rows}");
        assert_eq!(parse(&toml::to_string(&scenario.keys).unwrap(), &[]).unwrap(), scenario);
        assert_eq!(parse(&text, &["dataset.rows=5"]).unwrap().keys.dataset.rows, 5, "instead of the size");
        let both = text.replace("size =", "rows = 5\nsize =");
        let error = parse(&both, &[]).unwrap_err();
        assert!(error.contains("test.toml: dataset.size = 20MB: expected either this or dataset.rows"), "{error}");
        let own = parse(&text, &["dataset.path=my.db"]).unwrap();
        assert_eq!(own.source(), Source::Adopted(std::path::absolute("my.db").unwrap()), "from here");
        let own = parse(&text.replace("size = \"20MB\"", "path = \"my.db\""), &[]).unwrap();
        assert_eq!(own.source(), Source::Adopted("my.db".into()), "beside test.toml");
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
        let text = toml::to_string(&scenario.keys).unwrap();
        assert_eq!(parse(&text, &[]).unwrap(), scenario);
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
            ("dataset.rows=0", "test.toml: dataset.rows = 0: expected 1 to 1099511627776"),
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
        assert!(error.contains("test.toml: dataset.rows = 0: expected 1 to 1099511627776, or dataset.size"), "{error}");
        assert!(parse("why = ", &[]).unwrap_err().contains("test.toml: TOML parse error at line 1"), "syntax");
    }
}

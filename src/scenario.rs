//! A TOML file in, a validated [`Scenario`] and its trials out.
//!
//! [`Keys`] is the file format: every key with its default, unknown keys refused. [`Scenario`] is the validated thing.
//! Validation happens once, before anything is written, and an error names the file, the key, what was found and what is
//! allowed.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Duration,
};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{self, IntoDeserializer, SeqAccess, Visitor, value::Error as ValueError},
};

use crate::{
    dataset::{self, Dataset, IndexFill, Size},
    pace::Arrivals,
    snapshot::Strategy,
    sqlite::{JournalMode, Settings, Synchronous},
    workload::{Mix, WriteProfile},
};

/// The keys of a scenario file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Why the scenario exists: the question that it answers.
    pub why: String,
    /// What its author expects to see.
    pub expect: String,
    /// How often every trial is run; their order alternates.
    #[serde(default = "default::repetitions")]
    pub repetitions: u32,
    /// When a client gives up, in seconds after the operation was due (BEP 15: 15 s).
    #[serde(default = "default::client_timeout_s")]
    pub client_timeout_s: f64,
    /// The database at the start.
    pub dataset: DatasetKeys,
    /// Settings of every connection.
    pub sqlite: SqliteKeys,
    /// The traffic.
    pub load: LoadKeys,
    /// What is copied, and how.
    pub snapshots: SnapshotKeys,
    /// How long each phase lasts.
    #[serde(default)]
    pub phases: PhaseKeys,
}

/// `[dataset]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetKeys {
    /// Rows of `torrents`.
    #[serde(default)]
    pub rows: u64,
    /// Size of the file, instead of rows; resolved to as many rows as come closest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// What every value follows from.
    #[serde(default = "default::seed")]
    pub seed: u64,
}

/// `[sqlite]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqliteKeys {
    /// Journal modes; a trial for each.
    #[serde(deserialize_with = "one_or_many")]
    pub journal_mode: Vec<JournalMode>,
    /// When SQLite calls fsync; a trial for each.
    #[serde(deserialize_with = "one_or_many", default = "default::synchronous")]
    pub synchronous: Vec<Synchronous>,
    /// Page size of the database file, in bytes.
    #[serde(default = "default::page_size_bytes")]
    pub page_size_bytes: u32,
    /// Page cache of each connection, in KiB.
    #[serde(default = "default::cache_size_kib")]
    pub cache_size_kib: i64,
    /// Bytes of the database that may be memory-mapped.
    #[serde(default)]
    pub mmap_size_bytes: i64,
    /// Pages in the WAL at which a commit runs a checkpoint; 0 for never.
    #[serde(default = "default::wal_autocheckpoint_pages")]
    pub wal_autocheckpoint_pages: i64,
    /// How long SQLite retries when the database is locked, in milliseconds.
    #[serde(default = "default::busy_timeout_ms")]
    pub busy_timeout_ms: i64,
    /// Whether the operating system holds the database in memory when a trial begins.
    #[serde(default)]
    pub page_cache: PageCache,
}

/// State of the operating system's page cache when a trial begins.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageCache {
    /// The database was read once.
    #[default]
    Warm,
    /// The database was dropped from memory.
    Cold,
}

/// `[load]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadKeys {
    /// How arrivals are spread.
    #[serde(default = "default::arrivals")]
    pub arrivals: Arrivals,
    /// Operations that arrive, a second; a trial for each.
    #[serde(deserialize_with = "one_or_many")]
    pub rate_ops: Vec<f64>,
    /// What reaches the database of an announce.
    #[serde(default = "default::write_profile")]
    pub write_profile: WriteProfile,
    /// Share of operations that are announces; the others are scrapes.
    #[serde(default = "default::announce_share")]
    pub announce_share: f64,
    /// Share of announces that complete a download.
    #[serde(default = "default::completed_share")]
    pub completed_share: f64,
    /// Share of announces for torrents that the dataset does not have.
    #[serde(default = "default::new_torrent_share")]
    pub new_torrent_share: f64,
    /// Exponent of the Zipf distribution of popularity.
    #[serde(default = "default::zipf_exponent")]
    pub zipf_exponent: f64,
    /// Largest number of info-hashes in a scrape.
    #[serde(default = "default::scrape_hashes_max")]
    pub scrape_hashes_max: u32,
    /// Connections (and threads) for announces.
    #[serde(default = "default::announce_connections")]
    pub announce_connections: u32,
    /// Connections (and threads) for scrapes.
    #[serde(default = "default::scrape_connections")]
    pub scrape_connections: u32,
    /// What the operations follow from.
    #[serde(default = "default::seed")]
    pub seed: u64,
}

/// `[snapshots]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotKeys {
    /// Ways to copy the database; a trial for each.
    #[serde(deserialize_with = "one_or_many")]
    pub strategies: Vec<Strategy>,
    /// When a snapshot is stopped, in seconds after it began.
    #[serde(default = "default::deadline_s")]
    pub deadline_s: f64,
}

/// `[phases]`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhaseKeys {
    /// Load that is not reported, in seconds.
    pub warmup_s: f64,
    /// Load without a snapshot, in seconds.
    pub baseline_s: f64,
    /// Load after the snapshot's deadline, in seconds.
    pub recovery_s: f64,
}

impl Default for PhaseKeys {
    fn default() -> Self {
        Self { warmup_s: 2.0, baseline_s: 5.0, recovery_s: 2.0 }
    }
}

mod default {
    use super::{Arrivals, Synchronous, WriteProfile};

    pub fn repetitions() -> u32 {
        1
    }
    pub fn client_timeout_s() -> f64 {
        15.0
    }
    pub fn seed() -> u64 {
        310
    }
    pub fn synchronous() -> Vec<Synchronous> {
        vec![Synchronous::Full]
    }
    pub fn page_size_bytes() -> u32 {
        4096
    }
    pub fn cache_size_kib() -> i64 {
        2000
    }
    pub fn wal_autocheckpoint_pages() -> i64 {
        1000
    }
    pub fn busy_timeout_ms() -> i64 {
        5000
    }
    pub fn arrivals() -> Arrivals {
        Arrivals::Poisson
    }
    pub fn write_profile() -> WriteProfile {
        WriteProfile::CompletedOnly
    }
    pub fn announce_share() -> f64 {
        0.9
    }
    pub fn completed_share() -> f64 {
        0.05
    }
    pub fn new_torrent_share() -> f64 {
        0.01
    }
    pub fn zipf_exponent() -> f64 {
        1.0
    }
    pub fn scrape_hashes_max() -> u32 {
        74
    }
    pub fn announce_connections() -> u32 {
        1
    }
    pub fn scrape_connections() -> u32 {
        4
    }
    pub fn deadline_s() -> f64 {
        5.0
    }
}

/// A validated scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scenario {
    /// The file's name without its extension.
    pub name: String,
    /// Every key, defaults filled in.
    #[serde(flatten)]
    pub keys: Keys,
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
    /// Operations that arrive, a second.
    pub rate_ops: f64,
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
        resolve_size(&mut keys)
            .and_then(|()| validate(&keys))
            .map_err(|(key, found, allowed)| ScenarioError::Value { path: path.to_owned(), key, found, allowed })?;
        Ok(Self { name: name.to_owned(), keys })
    }

    /// The trials in the order in which they run: repetitions outermost, every second one backwards (A B B A), so that
    /// a drift of the machine falls on all alike.
    #[must_use]
    pub fn trials(&self) -> Vec<Trial> {
        let Keys { sqlite, load, snapshots, repetitions, .. } = &self.keys;
        let mut once = Vec::new();
        for &rate_ops in &load.rate_ops {
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

    /// The database at the start.
    #[must_use]
    pub fn dataset(&self) -> Dataset {
        let Keys { dataset, sqlite, .. } = &self.keys;
        Dataset { rows: dataset.rows, seed: dataset.seed, page_size_bytes: sqlite.page_size_bytes }
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
            completed_share: keys.completed_share,
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

    /// Length of the load of one trial, in seconds: the same for every strategy.
    #[must_use]
    pub fn load_s(&self) -> f64 {
        let PhaseKeys { warmup_s, baseline_s, recovery_s } = self.keys.phases;
        warmup_s + baseline_s + self.keys.snapshots.deadline_s + recovery_s
    }
}

impl Trial {
    /// A name for it that no other trial of its scenario has, fit for a folder.
    #[must_use]
    pub fn id(&self) -> String {
        let Self { journal_mode, synchronous, strategy, rate_ops, repetition } = self;
        format!("{journal_mode}-{synchronous}-{rate_ops}-{strategy}-{repetition}")
    }
}

impl fmt::Display for PageCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Warm => "warm",
            Self::Cold => "cold",
        })
    }
}

/// Sets a dotted key in a table, making the tables on the way.
fn set(table: &mut toml::Table, assignment: &str) -> Result<(), ScenarioError> {
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
    table.insert(last.to_owned(), value);
    Ok(())
}

/// The key, what was found and what is allowed.
type Refusal = (&'static str, String, String);

/// Turns the size of a dataset into its rows, which takes seconds for one of many gigabytes.
fn resolve_size(keys: &mut Keys) -> Result<(), Refusal> {
    let Keys { dataset, sqlite, .. } = keys;
    match dataset.size.take() {
        None if dataset.rows == 0 => Err((
            "dataset.rows",
            "0".to_owned(),
            format!("expected 1 to {}, or dataset.size, as in \"17GB\"", 1_u64 << 40),
        )),
        None => Ok(()),
        Some(size) if dataset.rows != 0 => {
            Err(("dataset.size", size.to_string(), "expected either this or dataset.rows".to_owned()))
        }
        Some(size) => {
            page_size(sqlite.page_size_bytes)?;
            within("dataset.size", size.bytes, 1, 1 << 46)?;
            let (fill, never) = (IndexFill::default(), AtomicBool::new(false));
            let found = dataset::rows_for(size.bytes, dataset.seed, sqlite.page_size_bytes, fill, &never);
            let found = found.map_err(|error| ("dataset.size", size.to_string(), error.to_string()))?;
            dataset.rows = found.rows;
            Ok(())
        }
    }
}

fn page_size(bytes: u32) -> Result<(), Refusal> {
    if bytes.is_power_of_two() && (512..=65_536).contains(&bytes) {
        return Ok(());
    }
    let allowed = "expected a power of two from 512 to 65536".to_owned();
    Err(("sqlite.page_size_bytes", bytes.to_string(), allowed))
}

/// Checks every value that its type alone does not.
fn validate(keys: &Keys) -> Result<(), Refusal> {
    let Keys { repetitions, client_timeout_s, dataset, sqlite, load, snapshots, phases, .. } = keys;
    within("repetitions", *repetitions, 1, 1_000)?;
    within("client_timeout_s", *client_timeout_s, 0.001, 100.0)?;
    within("dataset.rows", dataset.rows, 1, 1 << 40)?;
    page_size(sqlite.page_size_bytes)?;
    within("sqlite.cache_size_kib", sqlite.cache_size_kib, 1, 1 << 30)?;
    within("sqlite.mmap_size_bytes", sqlite.mmap_size_bytes, 0, 0x7fff_0000)?;
    within("sqlite.wal_autocheckpoint_pages", sqlite.wal_autocheckpoint_pages, 0, i64::from(i32::MAX))?;
    within("sqlite.busy_timeout_ms", sqlite.busy_timeout_ms, 0, 600_000)?;
    within("load.announce_share", load.announce_share, 0.0, 1.0)?;
    within("load.completed_share", load.completed_share, 0.0, 1.0)?;
    within("load.new_torrent_share", load.new_torrent_share, 0.0, 1.0)?;
    within("load.zipf_exponent", load.zipf_exponent, 0.0, 10.0)?;
    within("load.scrape_hashes_max", load.scrape_hashes_max, 1, 74)?;
    within("load.announce_connections", load.announce_connections, 1, 1_000)?;
    within("load.scrape_connections", load.scrape_connections, 1, 1_000)?;
    for rate_ops in &load.rate_ops {
        within("load.rate_ops", *rate_ops, 0.001, 1e6)?;
    }
    within("snapshots.deadline_s", snapshots.deadline_s, 0.1, 1e6)?;
    within("phases.warmup_s", phases.warmup_s, 0.0, 1e6)?;
    within("phases.baseline_s", phases.baseline_s, 0.1, 1e6)?;
    within("phases.recovery_s", phases.recovery_s, 0.0, 1e6)?;
    distinct("sqlite.journal_mode", &sqlite.journal_mode)?;
    distinct("sqlite.synchronous", &sqlite.synchronous)?;
    distinct("load.rate_ops", &load.rate_ops)?;
    distinct("snapshots.strategies", &snapshots.strategies)
}

fn within<T: PartialOrd + fmt::Display + Copy>(key: &'static str, value: T, least: T, most: T) -> Result<(), Refusal> {
    if value >= least && value <= most {
        Ok(())
    } else {
        Err((key, value.to_string(), format!("expected {least} to {most}")))
    }
}

fn distinct<T: PartialEq + fmt::Display>(key: &'static str, list: &[T]) -> Result<(), Refusal> {
    if list.is_empty() {
        return Err((key, "[]".to_owned(), "expected at least one value".to_owned()));
    }
    match list.iter().enumerate().find(|(n, value)| list[..*n].contains(value)) {
        Some((_, twice)) => Err((key, twice.to_string(), "expected every value once".to_owned())),
        None => Ok(()),
    }
}

/// A value, or a list of values.
fn one_or_many<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    struct OneOrMany<T>(std::marker::PhantomData<T>);

    fn one<'de, T: Deserialize<'de>, E: de::Error>(value: impl IntoDeserializer<'de, ValueError>) -> Result<Vec<T>, E> {
        T::deserialize(value.into_deserializer()).map(|value| vec![value]).map_err(E::custom)
    }

    impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a value or a list of values")
        }
        fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
            one(value.to_owned())
        }
        fn visit_i64<E: de::Error>(self, value: i64) -> Result<Self::Value, E> {
            one(value)
        }
        fn visit_f64<E: de::Error>(self, value: f64) -> Result<Self::Value, E> {
            one(value)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            let mut values = Vec::new();
            while let Some(value) = list.next_element()? {
                values.push(value);
            }
            Ok(values)
        }
    }

    deserializer.deserialize_any(OneOrMany(std::marker::PhantomData))
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
    fn a_size_becomes_rows() {
        let text = SCENARIO.replace("rows = 1000", "size = \"20MB\"");
        let scenario = parse(&text, &[]).unwrap();
        let rows = scenario.keys.dataset.rows;
        assert!((180_000..190_000).contains(&rows), "{rows}");
        assert_eq!(parse(&toml::to_string(&scenario.keys).unwrap(), &[]).unwrap(), scenario);
        for (set, expected) in [
            ("dataset.rows=5", "test.toml: dataset.size = 20MB: expected either this or dataset.rows"),
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
            ("load.rate_ops=[]", "test.toml: load.rate_ops = []: expected at least one value"),
            ("load.rate_ops=[1, 1]", "test.toml: load.rate_ops = 1: expected every value once"),
            ("load.announce_share=1.5", "test.toml: load.announce_share = 1.5: expected 0 to 1"),
            ("load.zipf_exponent=nan", "test.toml: load.zipf_exponent = NaN: expected 0 to 10"),
            ("dataset.rows=0", "test.toml: dataset.rows = 0: expected 1 to 1099511627776"),
            ("dataset.rows=-5", "test.toml: dataset.rows: invalid value: integer `-5`, expected u64"),
            ("sqlite.journal_mode=fast", "unknown variant `fast`, expected one of `delete`"),
            ("sqlite.page_size_bytes=1000", "test.toml: sqlite.page_size_bytes = 1000: expected a power of two"),
            (
                "snapshots.strategies=[\"scp\"]",
                "snapshots.strategies[0]: unknown variant `scp`, expected one of `none`",
            ),
            ("repetitions", "--set repetitions: expected KEY=VALUE"),
            ("=1", "--set =1: expected KEY=VALUE"),
            ("why.because=1", "--set why.because=1: expected KEY=VALUE"),
        ] {
            let error = parse(SCENARIO, &[set]).unwrap_err();
            assert!(error.contains(expected), "--set {set}:\n{error}");
        }
        let error = parse(&SCENARIO.replace("rows = 1000", ""), &[]).unwrap_err();
        assert!(error.contains("test.toml: dataset.rows = 0: expected 1 to 1099511627776, or dataset.size"), "{error}");
        assert!(parse("why = ", &[]).unwrap_err().contains("test.toml: TOML parse error at line 1"), "syntax");
    }
}

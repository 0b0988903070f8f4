//! Every figure of a trial, one by one, for the formats that programs read: its name, its unit, what it says, and where in the trial
//! it belongs.
//!
//! The order is that of the results, and what a file does not say is not listed. Structs are taken apart field by field, so that a
//! field that is added has to be listed, or said not to be a figure. What is left out: histograms, samples of damage and of
//! differing rows, and what was set and not measured.

mod files;
mod kill;
mod operations;
mod power_loss;
mod snapshots;
mod tracker;

use std::fmt;

use serde::Serialize;

use crate::{
    measure::{OperationKind, Percentile},
    results::{HorizonResult, PhaseName, Recorded, TrialResult},
};

/// A figure of a trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The part of the trial that it is of: `trial`, a phase, a snapshot, a window; with a number where there are several.
    pub part: String,
    /// The kind of operation that it is of.
    pub kind: Option<OperationKind>,
    /// What it is called, without its unit.
    pub name: &'static str,
    /// Which of the figures of this name it is.
    pub of: Of,
    /// What its value counts.
    pub unit: Unit,
    /// What it says, in a sentence without a full stop.
    pub help: &'static str,
    /// Its value.
    pub value: Value,
}

/// Which of several figures of one name.
#[derive(Debug, Clone, PartialEq)]
pub enum Of {
    /// There is one.
    One,
    /// A percentile of a distribution.
    Percentile(Percentile),
    /// That of something with a name: a step, a file.
    Named(String),
}

/// What a value counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Microseconds,
    Seconds,
    Bytes,
    PerSecond,
    /// A count, a share, or a number such as that of a commit.
    One,
    /// Nothing: it is a word.
    Word,
}

/// What a figure is.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Count(u64),
    Integer(i64),
    Real(f64),
    /// A word of a closed set, `true` and `false` among them.
    Word(String),
    /// A percentile that falls among operations without an answer: later than every time.
    NoAnswer,
    /// There is none.
    None,
    /// Nobody knows: not listed.
    Unknown,
}

/// All figures of a trial, but for those of [`over_time`].
pub fn of_trial(trial: &TrialResult) -> Vec<Entry> {
    let mut figures = List::default();
    figures.at("trial", None);
    trial_itself(&mut figures, trial);
    for (number, silence) in (1..).zip(trial.silences.entries()) {
        figures.at(numbered("silence", number, true), None);
        tracker::silence(&mut figures, silence);
    }
    let names: Vec<PhaseName> = trial.phases.iter().map(|phase| phase.name).collect();
    for (place, phase) in trial.phases.iter().enumerate() {
        let of_name = |names: &[PhaseName]| names.iter().filter(|name| **name == phase.name).count();
        let (number, several) = (of_name(&names[..=place]), of_name(&names) > 1);
        operations::phase(&mut figures, &numbered(phase.name, number, several), phase);
    }
    let several = trial.snapshots.len() > 1;
    for (number, snapshot) in (1..).zip(&trial.snapshots) {
        figures.at(numbered("snapshot", number, several), None);
        snapshots::snapshot(&mut figures, snapshot);
    }
    let horizons = trial.horizons.entries();
    for (number, HorizonResult { window, parts }) in (1..).zip(horizons) {
        let several = horizons.len() > 1;
        operations::window(&mut figures, &numbered("horizon", number, several), window);
        for part in parts {
            operations::window(&mut figures, &numbered(part.name, number, several), &part.window);
        }
    }
    figures.entries
}

/// What a trial says of each second of its load and of the progress of its snapshots.
pub fn over_time(trial: &TrialResult) -> Vec<Entry> {
    let mut figures = List::default();
    let several = trial.snapshots.len() > 1;
    for (number, snapshot) in (1..).zip(&trial.snapshots) {
        for (place, point) in (1..).zip(snapshot.progress.points.entries()) {
            figures.at(format!("{} progress {place}", numbered("snapshot", number, several)), None);
            snapshots::progress(&mut figures, point);
        }
    }
    for point in &trial.series {
        figures.at(format!("second {}", point.t_s), None);
        operations::second(&mut figures, point);
    }
    figures.entries
}

/// The name of a part, with its number where there are several.
fn numbered(name: impl fmt::Display, number: usize, several: bool) -> String {
    if several { format!("{name} {number}") } else { name.to_string() }
}

/// What a trial says of itself as a whole.
fn trial_itself(figures: &mut List, trial: &TrialResult) {
    let TrialResult {
        id: _,
        journal_mode: _,
        synchronous: _,
        strategy: _,
        strategy_options: _,
        write_profile: _,
        repetition: _,
        offered_rate_ops: _,
        announce_connections: _,
        completed_rate_ops: _,
        tracker,
        power_loss,
        copy_durability,
        kill,
        achieved_rate_ops,
        status,
        reason: _,
        problems: _,
        kept_in: _,
        page_cache: _,
        settings: _,
        wal_bytes_max,
        disk_use,
        live_database_matches_ledger,
        phases: _,
        snapshots: _,
        horizons: _,
        snapshots_not_taken,
        silences: _,
        disturbed,
        series: _,
    } = trial;
    figures.put("status", Unit::Word, "Whether the trial is whole", Value::word(status));
    figures.put("achieved_rate", Unit::PerSecond, operations::ACHIEVED_RATE, *achieved_rate_ops);
    figures.put("wal_max", Unit::Bytes, "Largest size of the WAL that was seen", *wal_bytes_max);
    if let Some(disk_use) = disk_use {
        files::disk_use(figures, disk_use);
    }
    let matches = "Whether the live database was what the ledger says after the load";
    figures.put("live_database_matches_ledger", Unit::Word, matches, if_known(*live_database_matches_ledger));
    let not_taken = "Snapshots of the schedule whose turn did not come";
    figures.put("snapshots_not_taken", Unit::One, not_taken, *snapshots_not_taken);
    if let Some(tracker) = tracker {
        tracker::tracker(figures, tracker);
    }
    if let Some(power_loss) = power_loss {
        power_loss::power_loss(figures, power_loss);
    }
    if let Some(copy) = copy_durability {
        power_loss::copy(figures, copy);
    }
    if let Some(kill) = kill {
        kill::kill(figures, kill);
    }
    for disturbance in disturbed.entries() {
        let by = || Of::Named(in_json(&disturbance.by));
        let share = "Share of the time in which the trial was disturbed, from 0 to 1";
        figures.put_of("disturbed_share", by(), Unit::One, share, disturbance.share);
        let limit = "The limit beyond which it counts as disturbed, from 0 to 1";
        figures.put_of("disturbed_limit_share", by(), Unit::One, limit, disturbance.limit_share);
    }
}

/// Figures that are being listed, and where they belong.
#[derive(Debug, Default)]
struct List {
    part: String,
    kind: Option<OperationKind>,
    entries: Vec<Entry>,
}

impl List {
    /// Goes on with the figures of a part of the trial and of a kind of operation.
    fn at(&mut self, part: impl Into<String>, kind: Option<OperationKind>) {
        (self.part, self.kind) = (part.into(), kind);
    }

    /// Lists a figure, where it is known.
    fn put(&mut self, name: &'static str, unit: Unit, help: &'static str, value: impl Into<Value>) {
        self.put_of(name, Of::One, unit, help, value);
    }

    /// As [`Self::put`], one of several figures of a name.
    fn put_of(&mut self, name: &'static str, of: Of, unit: Unit, help: &'static str, value: impl Into<Value>) {
        let value = value.into();
        if value != Value::Unknown {
            self.entries.push(Entry { part: self.part.clone(), kind: self.kind, name, of, unit, help, value });
        }
    }
}

/// The name that a variant has in the JSON.
fn in_json(variant: &impl Serialize) -> String {
    match serde_json::to_value(variant) {
        Ok(serde_json::Value::String(name)) => name,
        // Only variants come here, all of which have a name.
        Ok(_) | Err(_) => String::new(),
    }
}

/// A value that is not known where there is none.
fn if_known(value: Option<impl Into<Value>>) -> Value {
    value.map_or(Value::Unknown, Into::into)
}

impl Value {
    /// The name of a variant.
    fn word(variant: impl Serialize) -> Self {
        Self::Word(in_json(&variant))
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Real(number)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Word(yes.to_string())
    }
}

impl<T: Into<Self>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

impl<T: Into<Self>> From<Recorded<T>> for Value {
    fn from(value: Recorded<T>) -> Self {
        match value {
            Recorded::Unknown => Self::Unknown,
            Recorded::Known(value) => value.into(),
        }
    }
}
